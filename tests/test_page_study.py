"""The questions of the live page's vote, and its file of answers, under node."""

from __future__ import annotations

from collections import Counter

import pytest
from helpers import run_node

from gradcam._methods.bootstrap import share
from gradcam._page import votes
from gradcam._page.data import contents
from gradcam._page.networks import describe
from gradcam.pictograms import model, weak_model

SEEDS = range(300)
CONTENTS = contents()
LABELS = [each["label"] for each in CONTENTS["classes"]]
UNKNOWN = LABELS[::3]
"""What the weaker network does not recognise in these tests."""
SESSIONS = ({"session": "s0123456789ab", "seed": 7}, {"session": "sba9876543210", "seed": 8})
SIDES = ("left", "right")


@pytest.fixture(scope="module")
def page():
    given = {"contents": CONTENTS, "seeds": [*SEEDS], "votes": SESSIONS, "unknown": UNKNOWN}
    return run_node("web_vote.mjs", given=given)


def labels_of(scene):
    return [each["label"] for each in scene["objects"]]


def side_and_place(pair):
    """On which side the explained object is, and the number of the right answer."""
    side = SIDES[labels_of(pair["scene"]).index(pair["target"])]
    return side, pair["options"].index(pair["target"])


def test_every_method_is_asked_equally_often_in_balance(page):
    expected = Counter((m, s, p) for m in votes.DISCRIMINATION for s in SIDES for p in (0, 1))
    for plan in page["plans"]:
        assert len(plan["pairs"]) == 20
        assert Counter((p["method"], *side_and_place(p)) for p in plan["pairs"]) == expected
        comparisons = Counter((each["method"], each["better"]) for each in plan["comparisons"])
        assert comparisons == {(m, side): 3 for m in votes.TRUST for side in SIDES}


def test_scenes_and_classes_of_a_vote(page):
    """No scene and no target comes twice, and every class is in a scene."""
    for plan in page["plans"]:
        assert plan["read"]
        assert len(set(plan["scenes"])) == 20
        assert len({pair["target"] for pair in plan["pairs"]}) == 20
        assert {each for pair in plan["pairs"] for each in labels_of(pair["scene"])} == set(LABELS)
        for pair in plan["pairs"]:
            assert (
                set(pair["options"]) == set(labels_of(pair["scene"])) and len(pair["options"]) == 2
            )
            left, right = pair["scene"]["objects"]
            assert right["x"] - left["x"] > (left["length"] + right["length"]) / 2


def within(counts, size, chance):
    """Whether no count is further from what is expected than five standard deviations."""
    far = 5 * (size * chance * (1 - chance)) ** 0.5
    return all(abs(count - size * chance) < far for count in counts)


def test_over_many_seeds_nothing_is_preferred(page):
    plans, size = page["plans"], len(SEEDS)
    targets = Counter(pair["target"] for plan in plans for pair in plan["pairs"])
    assert within([targets[label] for label in LABELS], size, 20 / 36)
    for method in votes.DISCRIMINATION:
        at = [sum(plan["pairs"][n]["method"] == method for plan in plans) for n in range(20)]
        assert within(at, size, 1 / 5)
    for place in range(12):
        left = sum(plan["comparisons"][place]["better"] == "left" for plan in plans)
        assert within([left], size, 1 / 2)


def test_a_seed_has_one_plan(page):
    texts = {tuple(plan["scenes"]) for plan in page["plans"]}
    assert len(texts) == len(SEEDS)
    again = {"contents": CONTENTS, "seeds": [7], "votes": [], "unknown": []}
    assert run_node("web_vote.mjs", given=again)["plans"][0] == page["plans"][7]


def test_candidates_have_each_class_once_in_turn(page):
    for scenes in page["candidates"]:
        assert sorted(label for scene in scenes for label in labels_of(scene)) == sorted(LABELS)
        for thing in (scene["objects"][0] for scene in scenes):
            assert 70 <= thing["length"] <= 120
            assert all(
                0.6 * thing["length"] <= thing[k] <= 224 - 0.6 * thing["length"] for k in "xy"
            )
    orders = {tuple(labels_of(scene)[0] for scene in scenes) for scenes in page["candidates"]}
    assert len(orders) == len(SEEDS)


def test_networks_are_compared_where_both_are_right(page):
    for vote in page["votes"]:
        rows = [row for row in vote["rows"] if row["kind"] == "trust"]
        classes = [row["scene"].split("/")[2].split("=")[0].split(".")[0] for row in rows]
        assert len(set(classes)) == len(rows) == 12
        assert not set(classes) & set(UNKNOWN)
        prompts = [each["prompt"] for each in vote["shown"][20:]]
        assert all(name.replace("_", " ") in p for name, p in zip(classes, prompts, strict=True))


def test_maps_stand_on_the_side_that_is_stored(page):
    """The maps of the better network are bright here, those of the other one are dark."""
    for vote in page["votes"]:
        for row, shown in zip(vote["rows"][20:], vote["shown"][20:], strict=True):
            assert shown["bright"] == [row["target"] == "left", row["target"] == "right"]


def test_maps_are_of_the_target(page):
    for vote in page["votes"]:
        asked = [each for each in vote["requests"] if each["maps"]]
        for row, request in zip(vote["rows"][:20], asked, strict=False):
            assert request["network"] == "pictograms" and request["scene"] == row["scene"]
            (wish,) = request["maps"]
            assert (wish["method"], LABELS[wish["target"]]) == (row["method"], row["target"])


def test_both_networks_have_the_classes_of_the_page():
    for network in (model(), weak_model()):
        found = describe(network).description["labels"]
        assert [str(each).replace(" ", "_") for each in found] == LABELS


def test_a_search_without_end_ends(page):
    assert page["failed"] == (
        "Error: There are no more scenes to which both networks give the right answer."
    )


def test_the_page_and_the_reader_have_the_same_constants(page):
    found = page["constants"]
    assert tuple(found["COLUMNS"]) == votes.COLUMNS
    assert tuple(found["DISCRIMINATION"]) == votes.DISCRIMINATION
    assert tuple(found["TRUST"]) == votes.TRUST
    assert found["PAPER"] == {"discrimination": votes.PAPER_SHARES, "trust": votes.PAPER_MEANS}
    assert {each["words"]: each["value"] for each in found["ANSWERS"]} == votes.RATINGS
    assert found["NETWORKS"] == {"better": "pictograms", "other": "weak"}


def test_intervals_are_those_of_gradcam(page):
    for each in page["wilson"]:
        expected = share(each["count"], each["size"])
        assert [each["share"], each["low"], each["high"]] == pytest.approx(expected[:3], abs=1e-12)


def test_files_of_the_page_are_read_as_they_were_answered(page, tmp_path):
    joined = votes.Votes()
    for number, vote in enumerate(page["votes"]):
        file = tmp_path / f"{number}.csv"
        file.write_text(vote["csv"], "utf-8", newline="")
        found = votes.read(file)
        for answer, row in zip(found, vote["rows"], strict=True):
            for name in ("session", "seed", "question", "kind", "method", "scene"):
                assert getattr(answer, name) == row[name]
            assert (answer.target, answer.answer) == (row["target"], row["answer"])
            assert answer.value == (
                row["right"] if row["kind"] == "discrimination" else row["score"]
            )
            assert answer.milliseconds == row["milliseconds"]
        joined.add(str(file), found)
    assert joined.sessions == 2 and len(joined.answers) == 64
    for row, shown in zip(joined.discrimination, page["tables"]["discrimination"], strict=True):
        assert (row.method, row.answers, row.counts[1]) == (
            *(shown["method"], shown["count"], shown["right"]),
        )
        told = [shown["share"], shown["low"], shown["high"]]
        assert told == pytest.approx(row.value[:3], abs=1e-12)
    for row, shown in zip(joined.trust, page["tables"]["trust"], strict=True):
        assert (row.method, row.answers) == (shown["method"], shown["count"])
        assert list(row.counts) == shown["counts"]
        assert shown["mean"] == pytest.approx(row.value.mean, abs=1e-12)
