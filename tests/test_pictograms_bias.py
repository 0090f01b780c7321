"""People of two professions: drawing, masks, the same person drawn again."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from gradcam.pictograms import bias
from gradcam.pictograms.bias import _drawing, _things

MASKS = ("body_mask", "hair_mask", "tool_mask")


def changed(first, second):
    return (first.picture != second.picture).any(axis=2)


def far_from(pixels, *masks):
    """How many of the pixels are more than two rows or columns away from all masks."""
    around = Image.fromarray(np.any(masks, axis=0)).convert("L").filter(ImageFilter.MaxFilter(5))
    return int((pixels & (np.asarray(around) == 0)).sum())


def test_a_seed_says_what_is_drawn():
    first, again = bias.person(5), bias.person(5)
    assert first.picture.shape == (224, 224, 3) and first.picture.dtype == np.uint8
    np.testing.assert_array_equal(first.picture, again.picture)
    assert (first.profession, first.hair) == (again.profession, again.hair)
    assert changed(first, bias.person(6)).mean() > 0.5


def test_hair_and_profession_are_independent_if_they_are_not_chosen():
    people = [bias.person(seed) for seed in range(48)]
    groups = {(p.profession, p.hair) for p in people}
    assert len(groups) == 4
    assert all(bias.PROFESSIONS[p.index] == p.profession for p in people)


@pytest.mark.parametrize("seed", range(12))
def test_masks_are_apart_and_none_is_empty(seed):
    person = bias.person(seed)
    masks = np.stack([getattr(person, name) for name in MASKS])
    assert masks.sum(axis=0).max() == 1
    assert all(mask.sum() > 40 for mask in masks)
    assert person.tool_mask.sum() < person.hair_mask.sum() < person.picture.size / 3


@pytest.mark.parametrize("seed", range(6))
def test_another_tool_changes_pixels_at_the_tool_only(seed):
    person = bias.person(seed)
    other = person.with_other_tool()
    assert (other.seed, other.hair) == (person.seed, person.hair)
    assert other.profession != person.profession
    different = changed(person, other)
    assert different.any()
    assert far_from(different, person.tool_mask, other.tool_mask) == 0
    assert not changed(person, other.with_other_tool()).any()


@pytest.mark.parametrize("seed", range(6))
def test_other_hair_changes_pixels_at_the_hair_only(seed):
    person = bias.person(seed)
    other = person.with_other_hair()
    assert (other.seed, other.profession) == (person.seed, person.profession)
    assert {person.hair, other.hair} == set(bias.HAIRS)
    different = changed(person, other)
    assert different.any()
    # Between arm and body, hair may shine through the smooth edges of both.
    assert far_from(different, person.hair_mask, other.hair_mask) < 10
    long, short = (
        p.hair_mask.sum() for p in (person, other)[:: 1 if person.hair == "long" else -1]
    )
    assert long > short


def test_without_its_tool_a_person_is_the_same_elsewhere():
    person = bias.person(2)
    empty = person.without_tool()
    assert not empty.tool_mask.any()
    assert far_from(changed(person, empty), person.tool_mask) == 0
    np.testing.assert_array_equal(empty.picture, person.with_other_tool().without_tool().picture)


def test_the_picture_is_made_of_its_layers():
    """An owner of the pixels is the last layer that is opaque there."""
    drawn, look = _drawing.draw(np.random.default_rng(3), "spoon", "long")
    owner = np.zeros(drawn.owner.shape, int)
    for number, (patch, x, y) in _drawing._layers(look, "spoon", "long"):
        for (row, column), alpha in np.ndenumerate(patch[..., 3]):
            if alpha >= 128:
                owner[y + row, x + column] = number
    np.testing.assert_array_equal(drawn.owner, owner)


def test_everyone_is_inside_the_picture():
    for seed in range(30):
        person = bias.person(seed, hair="long")
        for name in MASKS:
            mask = getattr(person, name)
            assert not (mask[[0, -1]].any() or mask[:, [0, -1]].any()), (seed, name)


def test_the_tool_is_not_in_front_of_the_hair():
    for seed in range(30):
        person = bias.person(seed, hair="long")
        hidden = person.without_tool().hair_mask & person.tool_mask
        assert hidden.sum() < 0.25 * person.tool_mask.sum(), seed


def test_every_thing_is_drawn_and_looks_different():
    drawn = {}
    for name in _things.THINGS:
        picture, _ = _drawing.draw(np.random.default_rng(1), name, "short")
        assert (picture.owner == _drawing.TOOL).sum() > 40
        drawn[name] = picture.picture.tobytes()
    assert len(set(drawn.values())) == len(_things.THINGS)
    assert set(_things.OTHERS) == set(_things.THINGS) - {"spoon", "brush"}


@pytest.mark.parametrize("seed", [-1, 1.5, True, "3"])
def test_a_wrong_seed_is_refused(seed):
    with pytest.raises((TypeError, ValueError), match="seed"):
        bias.person(seed)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="profession: expected 'cook' or 'painter', got 'nurse'"):
        bias.person(0, profession="nurse")
    with pytest.raises(ValueError, match="hair: expected 'short' or 'long', got 'curly'"):
        bias.person(0, hair="curly")
