"""The driver of the browser (browser.py), on a small page."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest
from browser import Browser, BrowserError, PageError

PAGE = """<!doctype html><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Small</title>
<style>body { margin: 0; background: white } @media (prefers-color-scheme: dark) {
  body { background: black } } #box { width: 200px; height: 100px; background: red;
  touch-action: none }</style>
<div id="box"></div><input id="word"><input id="file" type="file">
<a id="save" download="saved.csv" href="data:text/csv,a,b">save</a>
<script>
const heard = [];
for (const name of ["pointerdown", "pointermove", "pointerup"])
  box.addEventListener(name, (event) => heard.push(
    [name, event.pointerType, Math.round(event.clientX), Math.round(event.clientY)]));
addEventListener("keydown", (event) => heard.push(["key", event.key, event.shiftKey]));
addEventListener("wheel", (event) => heard.push(["wheel", event.deltaY]));
box.addEventListener("dragover", (event) => event.preventDefault());
box.addEventListener("drop", async (event) => {
  event.preventDefault();
  const file = event.dataTransfer.files[0];
  heard.push(["drop", file.name, await file.text()]);
});
file.addEventListener("change", async () =>
  heard.push(["file", file.files[0].name, await file.files[0].text()]));
</script>"""


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "a page.html"
    path.write_text(PAGE, "utf-8")
    return path


@pytest.fixture
def page(browser, small):
    return browser.open(small, width=400, height=300)


def test_values_and_errors(page):
    assert page.evaluate("document.title") == "Small"
    assert page.evaluate("Promise.resolve({a: [1, 2.5, null]})") == {"a": [1, 2.5, None]}
    assert page.evaluate("undefined") is None
    with pytest.raises(PageError, match="TypeError: no"):
        page.evaluate("(() => { throw new TypeError('no') })()")
    with pytest.raises(PageError, match="late"):
        page.evaluate("Promise.reject(new Error('late'))")
    page.evaluate("setTimeout(() => { globalThis.later = 7 }, 50)")
    assert page.wait_for("globalThis.later") == 7
    assert page.wait_for("() => 1") == {}  # true, though no JSON
    with pytest.raises(PageError, match=r"not true within 0\.1 s: false"):
        page.wait_for("false", seconds=0.1)
    page.check()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("setTimeout(() => { throw new Error('uncaught') })", "Error: uncaught"),
        ("Promise.reject(new Error('unhandled')), 0", "Error: unhandled"),
        ("console.error('bad', 3)", "bad 3"),
        ("new Worker(URL.createObjectURL(new Blob(['console.error(`w`)'])))", "w"),
        ("new Worker(URL.createObjectURL(new Blob(['throw new Error(`lost`)'])))", "Error: lost"),
    ],
)
def test_errors_are_collected(page, script, message):
    page.evaluate(f"{script}; 0")
    page.wait_for("new Promise((done) => setTimeout(() => done(true), 200))")
    assert any(message in error for error in page.errors)
    with pytest.raises(AssertionError, match="the page has errors"):
        page.check()


@pytest.mark.parametrize("worker", [False, True])
def test_requests_are_recorded_and_fail(page, worker):
    ask = "fetch('http://example.org/x').then(() => 'arrived', () => 'failed')"
    if worker:
        source = f"{ask}.then(postMessage)"
        ask = f"""new Promise((done) => {{
            const address = URL.createObjectURL(new Blob([{source!r}.replaceAll("\\\\'", "'")]));
            new Worker(address).onmessage = (event) => done(event.data); }})"""
    assert page.evaluate(ask) == "failed"
    assert "http://example.org/x" in page.requests
    page.errors.clear()
    with pytest.raises(AssertionError, match=r"asked for http://example\.org/x"):
        page.check()


def test_keys_mouse_and_touch(browser, small):
    page = browser.open(small, width=400, height=300)
    page.press("a")
    page.press("Shift+Tab")
    page.drag((10, 20), (50, 60), steps=2)
    page.wheel((10, 10), 120)
    page.wait_for("heard.some(([name]) => name === 'wheel')")
    heard = page.evaluate("heard")
    assert heard[0] == ["key", "a", False]
    assert ["key", "Tab", True] in heard
    moves = [entry for entry in heard if entry[1:2] == ["mouse"]]
    assert moves[-4:] == [
        ["pointerdown", "mouse", 10, 20],
        ["pointermove", "mouse", 30, 40],
        ["pointermove", "mouse", 50, 60],
        ["pointerup", "mouse", 50, 60],
    ]
    assert heard[-1] == ["wheel", 120]
    page.click("#word")
    for character in "é9":
        page.press(character)
    page.press("Backspace")
    assert page.evaluate("word.value") == "é"
    phone = browser.open(small, width=360, height=640, mobile=True)
    assert phone.evaluate("[innerWidth, devicePixelRatio, navigator.maxTouchPoints]") == [360, 2, 5]
    phone.swipe((20, 20), (60, 20), steps=2)
    assert phone.evaluate("heard.map(([name, kind]) => name + kind)") == [
        *("pointerdowntouch", "pointermovetouch", "pointermovetouch", "pointeruptouch")
    ]


def test_files(browser, page, tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("some words")
    page.drop_files("#box", path)
    page.choose_files("#file", path)
    assert page.wait_for("heard.length === 2 && heard") == [
        ["drop", "words.txt", "some words"],
        ["file", "words.txt", "some words"],
    ]
    page.click("#save")
    assert browser.wait_for_download().read_text() == "a,b"
    with pytest.raises(BrowserError, match=r"nothing was saved within 0\.1 s"):
        browser.wait_for_download(0.1)


def test_screenshots_and_colours(browser, small, tmp_path):
    from PIL import Image

    for dark, ground in ((False, (255, 255, 255)), (True, (0, 0, 0))):
        page = browser.open(small, width=300, height=250, dark=dark)
        page.screenshot(tmp_path / "shot.png")
        with Image.open(tmp_path / "shot.png") as picture:
            assert picture.size == (300, 250)
            assert picture.convert("RGB").getpixel((10, 10)) == (255, 0, 0)
            assert picture.convert("RGB").getpixel((250, 240)) == ground
    page.evaluate("document.body.style.height = '900px'")
    page.screenshot(tmp_path / "whole.png", whole=True)
    with Image.open(tmp_path / "whole.png") as picture:
        assert picture.size == (300, 900)


def test_scripts_before_those_of_the_page(browser, small):
    page = browser.open(small, first="delete globalThis.WebAssembly")
    assert page.evaluate("typeof WebAssembly") == "undefined"


def test_wrong_addresses(browser, tmp_path):
    with pytest.raises(FileNotFoundError):
        browser.open(tmp_path / "none.html")
    with pytest.raises(BrowserError, match="ERR_"):
        browser.open("http://example.org/")


def processes(word):
    """The numbers of the processes whose command contains a word, and of our dead children."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent = (path / "stat").read_text().rpartition(")")[2].split()[:2]
            if word in (path / "cmdline").read_text() or (state, parent) == ("Z", str(os.getpid())):
                yield int(path.name)


def test_the_end_leaves_nothing(browser, small):
    """`browser` skips the test where none is installed."""
    before = set(os.listdir("/proc/self/fd"))
    with Browser(seconds=30) as other:
        folder = other.downloads.parent
        page = other.open(small)
        assert [*processes(str(folder))]
        with pytest.raises(BrowserError, match=r"no answer to Runtime\.evaluate"):
            other.seconds = 0.2
            page.evaluate("(() => { for (;;); })()")
    assert not folder.exists()
    assert not [*processes(str(folder))]
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_browser_that_ends(browser, small):
    with Browser() as other:
        page = other.open(small)
        for number in processes(str(other.downloads.parent)):
            os.kill(number, signal.SIGKILL)
        with pytest.raises(BrowserError, match="the browser has ended"):
            page.evaluate("1")
