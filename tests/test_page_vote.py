"""A whole vote on the live page, by keyboard, in a headless browser."""

from __future__ import annotations

import pytest

from gradcam import _page
from gradcam._page import votes

READY = "!!document.querySelector('.vote .answers:not([inert])')"
AT = "document.querySelector('.vote .place')?.textContent"
LEAVES = "window.dispatchEvent(new Event('beforeunload', {cancelable: true}))"
WAIT = 120  # seconds, on a computer that does much else


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return _page.write(tmp_path_factory.mktemp("page") / "live.html")


def opened(browser, file, **options):
    """The page with the vote, which has not begun."""
    page = browser.open(file, **options)
    page.wait_for("!!window.gradcam", WAIT)
    page.click("#tab-vote")
    page.wait_for("!document.querySelector('#panel-vote').hidden")
    return page


def begin(page, seed, parts):
    """Fill in the first screen by keyboard."""
    page.evaluate(
        f"document.querySelector('.vote select').value = '{parts}';"
        f"document.querySelector('.vote input').value = {seed};"
        "document.querySelector('.vote .begin button').focus()"
    )
    page.press("Enter")


def wait_for_question(page, number, count):
    page.wait_for(f"{AT} === 'Question {number} of {count}' && {READY}", WAIT)


def texts(page, selector):
    return page.evaluate(f"[...document.querySelectorAll('{selector}')].map((e) => e.textContent)")


def test_a_whole_vote_by_keyboard(browser, file, tmp_path):
    page = opened(browser, file)
    begin(page, 7, "pairs,comparisons")
    for number in range(1, 33):
        if number == 21:
            page.wait_for("!!document.querySelector('.vote .break')", WAIT)
            page.press("p")
        wait_for_question(page, number, 32)
        page.press("1" if number <= 20 else str(1 + number % 5))
    page.wait_for("!!document.querySelector('.vote .results')", WAIT)
    shown = texts(page, ".vote td:last-child")
    assert shown == ["61.23 %", "60.37 %", "53.33 %", "44.44 %", "no figure", "+1.27", "+1.00"]
    page.press("n")  # not before the answers are saved
    assert page.evaluate("!!document.querySelector('.vote .results')")
    before = page.text("h1")
    page.evaluate("location.hash = 'v1/sea'")
    page.wait_for("!document.getElementById('problem').hidden")
    assert page.text("#problem").startswith("A vote is open here: ") and page.text("h1") == before
    assert page.evaluate(LEAVES) is False
    page.press("s")
    saved = browser.wait_for_download()
    found = votes.read(saved)
    assert saved.name == f"vote-{found[0].session}.csv"
    assert [each.question for each in found] == [*range(1, 33)]
    assert {each.seed for each in found} == {7}
    joined = votes.Votes()
    joined.add("saved", found)
    assert {row.answers for row in joined.discrimination} == {4}
    assert {row.answers for row in joined.trust} == {6}
    right = [f"{row.counts[1]} of 4" for row in joined.discrimination]
    assert [text.split(":")[0] for text in texts(page, ".vote td:nth-child(3)")[:5]] == right
    assert (
        page.evaluate("localStorage.length + sessionStorage.length + document.cookie.length") == 0
    )
    assert page.evaluate(LEAVES) is True
    page.press("n")
    page.wait_for("!!document.querySelector('.vote .start')")
    page.check()


def test_a_pause_and_an_early_end(browser, file):
    page = opened(browser, file)
    begin(page, 3, "comparisons")
    wait_for_question(page, 1, 12)
    page.press("p")
    page.wait_for("!!document.querySelector('.vote .break')")
    assert not page.evaluate("!!document.querySelector('.vote canvas')")
    page.press("p")
    wait_for_question(page, 1, 12)
    page.press("5")
    wait_for_question(page, 2, 12)
    page.click("#tab-maps")  # the clock stops there
    page.click("#tab-vote")
    page.wait_for("!!document.querySelector('.vote .break')")
    page.press("e")
    page.wait_for("!!document.querySelector('.vote .results')")
    page.press("s")
    (answer,) = votes.read(browser.wait_for_download())
    assert (answer.kind, answer.question, answer.answer) == ("trust", 21, "clearly right")
    page.check()


def test_a_failure_is_told_and_ends_the_vote(browser, file):
    page = opened(browser, file)
    page.evaluate("Worker.prototype.postMessage = () => { throw new Error('it is lost'); }")
    begin(page, 3, "pairs")
    page.wait_for("!!document.querySelector('.vote .results')", WAIT)
    assert page.text(".vote [role=alert]") == (
        "The vote has ended early: The request could not be sent: it is lost."
    )
    assert page.text(".vote h2") == "No question was answered"
    assert not page.evaluate("!!document.querySelector('.vote [data-key=s]')")


def test_nothing_but_the_picture_tells_the_answer(browser, file):
    """All that a program sees of a question is the same, whichever of the two is explained."""
    page = opened(browser, file)
    begin(page, 5, "pairs")
    wait_for_question(page, 1, 20)
    first, second = texts(page, ".vote .answers .words")
    text = page.evaluate(
        "(() => { const copy = document.querySelector('.vote').cloneNode(true);"
        " copy.querySelector('.answers').remove(); return copy.outerHTML; })()"
    )
    assert first not in text and second not in text
    assert "A map, to be judged by eye" in text
    one, other = page.evaluate(
        "[...document.querySelectorAll('.vote .answers button')].map((button) => ["
        " button.className, button.type, button.getAttributeNames(),"
        " [...button.children].map((e) => [e.tagName, e.className, e.getAttributeNames()])])"
    )
    assert one == other
    page.check()


def test_keys_are_not_answers_elsewhere(browser, file):
    """Not in a field, not twice by one long press, and not while another part is shown."""
    page = opened(browser, file)
    page.click(".vote input")
    page.press("1")
    assert page.evaluate("document.querySelector('.vote input').value").count("1") >= 1
    assert page.evaluate("!!document.querySelector('.vote .start')")
    begin(page, 9, "pairs")
    wait_for_question(page, 1, 20)
    for more in ("repeat", "ctrlKey"):
        page.evaluate(
            f"document.dispatchEvent(new KeyboardEvent('keydown', {{key: '1', {more}: true}}))"
        )
    assert page.evaluate(AT) == "Question 1 of 20"
    page.click("#tab-maps")
    page.press("p")
    page.click("#tab-vote")
    assert page.text(".vote h2") == "A pause"
    page.check()


@pytest.mark.parametrize("options", [{"width": 360, "height": 740, "mobile": True}, {"dark": True}])
def test_it_fits(browser, file, options):
    """Nothing is wider than the screen, and every button is large enough for a finger."""
    page = opened(browser, file, **options)
    check_size(page)
    begin(page, 2, "comparisons")
    wait_for_question(page, 1, 12)
    check_size(page)
    page.press("3")
    wait_for_question(page, 2, 12)
    page.press("p")
    page.press("e")
    page.wait_for("!!document.querySelector('.vote .results')")
    check_size(page)
    page.check()


def check_size(page):
    width, wide = page.evaluate("[innerWidth, document.documentElement.scrollWidth]")
    assert wide <= width
    low = "Math.min(...[...document.querySelectorAll('.vote button')].map((e) => e.offsetHeight))"
    assert page.evaluate(low) >= 44
