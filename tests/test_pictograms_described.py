"""Described scenes: what is said of them is true, and tests never share layouts with training."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gradcam.pictograms import described, questions
from gradcam.pictograms._attributes import ATTRIBUTES, attributes
from gradcam.pictograms._captions import CAPTION_WORDS, captions, mask_of, parse
from gradcam.pictograms._colouring import COLOURS
from gradcam.pictograms._described import NOUNS, RELATIONS, for_tests
from gradcam.pictograms._described_maps import TESTS, TRAINING, numbered_scene
from gradcam.pictograms._questions import ANSWERS, QUESTION_WORDS


@pytest.fixture(scope="module")
def scenes():
    return [described(seed, side=112) for seed in range(150)]


def test_the_same_seed_gives_the_same_scene():
    first, second = described(5), described(5)
    assert np.array_equal(first.picture, second.picture)
    assert first.layout == second.layout
    assert not np.array_equal(first.picture, described(6).picture)


def test_groups_hold_all_objects_once(scenes):
    for scene in scenes:
        members = [member for group in scene.groups for member in group.members]
        assert members == list(range(len(scene.scene.objects)))
        assert len({group.noun for group in scene.groups}) == len(scene.groups)
        for group in scene.groups:
            labels = {scene.scene.objects[member].label for member in group.members}
            assert labels == {group.noun.label}


def test_objects_have_their_colours(scenes):
    """The mean colour of a part is nearest to the colour that is said, but for few."""
    right = []
    for scene in scenes:
        for group in scene.groups:
            for member in group.members:
                halves = scene.halves[member]
                assert len(halves) == len(group.colours)
                for colour, half in zip(group.colours, halves, strict=True):
                    mean = scene.picture[half].mean(0)
                    direction = mean - mean.min() * 0.6
                    near = {
                        name: direction
                        @ np.array(rgb)
                        / np.linalg.norm(direction)
                        / np.linalg.norm(rgb)
                        for name, rgb in COLOURS.items()
                    }
                    right.append(max(near, key=near.get) == colour)
    assert np.mean(right) > 0.9


def test_halves_divide_the_mask(scenes):
    for scene in scenes:
        for group in scene.groups:
            for member in group.members:
                halves = scene.halves[member]
                mask = scene.scene.objects[member].mask
                assert np.array_equal(np.logical_or.reduce(halves), mask)
                assert sum(half.sum() for half in halves) == mask.sum()


def test_objects_hide_little_of_each_other(scenes):
    for scene in scenes:
        everything = range(len(scene.scene.objects))
        for member in everything:
            alone = scene.scene.without(*(n for n in everything if n != member)).objects[0].mask
            assert scene.scene.objects[member].mask.sum() >= 0.89 * alone.sum()


def test_sizes_are_told_apart(scenes):
    lengths = {"small": [], "large": []}
    for scene in scenes:
        for group in scene.groups:
            for member in group.members:
                x0, y0, x1, y1 = scene.scene.objects[member].box
                lengths[group.size].append(max(x1 - x0, y1 - y0))
    assert np.quantile(lengths["small"], 0.95) < np.quantile(lengths["large"], 0.05)


def test_relations(scenes):
    opposite = dict(zip(RELATIONS, ("right of", "left of", "below", "above"), strict=True))
    found = 0
    for scene in scenes:
        for a, b in itertools.permutations(scene.groups, 2):
            for relation in RELATIONS:
                clear = scene.stands(a, relation, b)
                assert clear == scene.stands(b, opposite[relation], a)
                assert not clear or scene.may_stand(a, relation, b)
                if clear:
                    found += 1
                    axis, sign = {"left of": (0, -1), "right of": (0, 1)}.get(
                        relation, (1, -1 if relation == "above" else 1)
                    )
                    ours = [scene.centres[m, axis] for m in a.members]
                    others = [scene.centres[m, axis] for m in b.members]
                    assert (min(ours) > max(others)) if sign > 0 else (max(ours) < min(others))
    assert found > 50


def test_captions_are_true_and_are_read_again(scenes):
    rng = np.random.default_rng(0)
    for scene in scenes:
        for text in captions(scene, rng, 4):
            words = text.split()
            assert set(words) <= set(CAPTION_WORDS)
            assert not for_tests(text)
            found = parse(words)
            assert all(phrase.is_true_of(scene) for phrase in found.phrases)
            assert found.relation_is_true_of(scene) in (None, True)
            for phrase in found.phrases:
                assert words[phrase.stop - 1] in (phrase.noun, scene.group(phrase.noun).noun.plural)
                assert np.array_equal(mask_of(scene, phrase), scene.mask(scene.group(phrase.noun)))
        assert all(for_tests(text) for text in captions(scene, rng, 4, tests=True))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "word 0"),
        ("cat", "word 0"),
        ("a red", "word 2"),
        ("a cats", "word 1"),
        ("two cat", "word 1"),
        ("a cat left of", "word 4"),
        ("a cat and a dog above a boat", "word 5"),
        ("a cat near a dog", "word 2"),
    ],
)
def test_what_is_no_caption_is_refused(text, place):
    with pytest.raises(ValueError, match=place):
        parse(text.split())


def test_false_phrases_are_found_out(scenes):
    scene = next(s for s in scenes if len(s.groups) == 1 and s.groups[0].count == 1)
    group = scene.groups[0]
    other = next(n.word for n in NOUNS if n != group.noun)
    wrong = "small" if group.size == "large" else "large"
    for text in (f"a {other}", f"two {group.noun.plural}", f"a {wrong} {group.noun.word}"):
        assert not parse(text.replace("a e", "an e").split()).phrases[0].is_true_of(scene)


def test_questions_have_true_answers(scenes):
    rng = np.random.default_rng(0)
    kinds = set()
    for scene in scenes:
        for question in questions(scene, rng, 3):
            words = question.text.rstrip("?").split()
            assert set(words) <= set(QUESTION_WORDS)
            assert question.answer in ANSWERS
            assert question.answer == _answer(scene, words)
            assert all(group in scene.groups for group in question.groups)
            kinds.add(question.kind)
    assert kinds == {"colour", "presence", "relation", "count"}


def _answer(scene, words):
    """Answer a question plainly, from its words."""
    if words[:2] == ["what", "colour"]:
        return " and ".join(sorted(scene.group(words[-1]).colours))
    if words[0] == "how":
        group = scene.group(words[2])
        return str(group.count if group else 0)
    if words[:2] == ["is", "there"]:
        group = scene.group(words[-1])
        colours = [word for word in words if word in COLOURS]
        return "yes" if group and all(c in group.colours for c in colours) else "no"
    relation = " ".join(words[2:-2])
    here = scene.group(words[-1])
    there = [g for g in scene.groups if g is not here and scene.stands(g, relation, here)]
    return there[0].noun.word if there else "nothing"


def test_answers_are_balanced():
    rng = np.random.default_rng(1)
    answers = {"presence": [], "count": []}
    for seed in range(400):
        for question in questions(described(seed, side=64), rng, 2):
            if question.kind in answers:
                answers[question.kind].append(question.answer)
    assert 0.42 < np.mean([answer == "yes" for answer in answers["presence"]]) < 0.58
    assert max(np.mean([a == str(n) for a in answers["count"]]) for n in range(5)) < 0.4


def test_attributes(scenes):
    for scene in scenes:
        present = {a for a, yes in zip(ATTRIBUTES, attributes(scene), strict=True) if yes}
        said = {g.noun.word for g in scene.groups}
        said |= {f"{g.size} {g.noun.word}" for g in scene.groups}
        said |= {colour for g in scene.groups for colour in g.colours}
        said |= {f"{colour} {g.noun.word}" for g in scene.groups for colour in g.colours}
        assert present == said


def test_layouts_of_tests_never_occur_in_training():
    training = {numbered_scene(n, TRAINING, 64).layout for n in range(150)}
    tests = {numbered_scene(n, TESTS, 64).layout for n in range(50)}
    assert not training & tests
    assert all(map(for_tests, tests))
    assert not any(map(for_tests, training))


def test_bad_arguments():
    with pytest.raises(ValueError, match="side"):
        described(1, side=10)
    with pytest.raises((ValueError, TypeError), match="seed"):
        described(-1)
