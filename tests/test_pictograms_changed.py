"""Scenes in which an object is partly covered, or has the texture of another class."""

from __future__ import annotations

import itertools
import pickle
import tracemalloc

import numpy as np
import pytest

from gradcam.pictograms import _covers, _textures, class_index, scene
from gradcam.pictograms._drawing import OPAQUE


def patch_of(each, number=0):
    return each._recipe.placed[number].patch


def opacity(placed, size):
    """The opacity of a pictogram in the whole picture."""
    whole = np.zeros(size, np.uint8)
    height, width = placed.size
    whole[placed.y : placed.y + height, placed.x : placed.x + width] = placed.patch[..., 3]
    return whole


@pytest.mark.parametrize("shading", [True, False])
def test_a_texture_changes_nothing_else(shading):
    plain = scene(7, classes=["elephant", "dog"])
    changed = plain.textured(0, "leopard", shading=shading)
    differ = (plain.picture != changed.picture).any(2)
    assert not differ[opacity(plain._recipe.placed[0], differ.shape) == 0].any()
    assert differ[plain.objects[0].mask].mean() > 0.95
    for one, other in zip(plain.objects, changed.objects, strict=True):
        assert (one.index, one.label, one.box) == (other.index, other.label, other.box)
        np.testing.assert_array_equal(one.mask, other.mask)
    np.testing.assert_array_equal(patch_of(plain)[..., 3], patch_of(changed)[..., 3])


def test_a_texture_is_of_the_pictogram_that_would_replace_the_object():
    plain = scene(3, classes=["elephant"])
    source = patch_of(plain.replaced(0, "leopard"))
    known = {tuple(each) for each in source[source[..., 3] == 255][:, :3].tolist()}
    changed = patch_of(plain.textured(0, "leopard", shading=False))
    used = {tuple(each) for each in changed[..., :3].reshape(-1, 3).tolist()}
    assert used <= known and len(used) > 50


def test_shading_keeps_the_inner_lines():
    plain = scene(3, classes=["elephant"])
    luma, shaded, flat = (
        patch_of(each)[..., :3].astype(float).mean(2)
        for each in (
            plain,
            plain.textured(0, "leopard"),
            plain.textured(0, "leopard", shading=False),
        )
    )
    inside = patch_of(plain)[..., 3] == 255
    usual = np.median(luma[inside])
    dark, bright = inside & (luma < 0.6 * usual), inside & (luma > 1.05 * usual)
    assert dark.sum() > 20 and bright.sum() > 20
    assert (shaded[dark] <= flat[dark]).all() and shaded[dark].mean() < 0.7 * flat[dark].mean()
    assert shaded[bright].mean() > 1.02 * flat[bright].mean()


def test_a_colour_without_a_pattern():
    plain = scene(3, classes=["elephant"])
    source = _textures.sample(patch_of(plain.replaced(0, "leopard")))
    flat = patch_of(plain.textured(0, "leopard", shading=False, pattern=False))
    assert (flat[..., :3] == np.floor(source.mean((0, 1)))).all()
    shaded = patch_of(plain.textured(0, "leopard", pattern=False))
    assert len(np.unique(shaded[..., :3])) > 20
    np.testing.assert_array_equal(shaded[..., 3], patch_of(plain)[..., 3])


def test_textured_scenes_are_drawn_again():
    plain = scene(7, classes=["elephant", "dog"])
    changed = plain.textured(0, "leopard")
    again = pickle.loads(pickle.dumps(plain)).textured(0, class_index("leopard"))
    np.testing.assert_array_equal(changed.picture, again.picture)
    np.testing.assert_array_equal(changed.without(0).picture, plain.without(0).picture)
    moved = changed.without(1).moved(0, (4, -3))
    placed = changed._recipe.placed[0], moved._recipe.placed[0]
    np.testing.assert_array_equal(placed[0].patch, placed[1].patch)
    assert not np.array_equal(changed.picture, plain.textured(0, "zebra").picture)


def test_every_texture_can_be_drawn():
    small = scene(4, classes=["airliner"], size=(64, 64))
    for index in range(36):
        assert small.textured(0, index).objects[0].label == "airliner"


@pytest.mark.parametrize("shape", [(5, 7), (9, 6), (1, 4), (6, 1)])
def test_the_largest_rectangle_is_that_of_all(shape):
    rng = np.random.default_rng(shape[0])
    for share in (0.5, 0.8, 1.0):
        mask = rng.random(shape) < share
        best = max(
            (
                (bottom - top) * (right - left) * min(bottom - top, right - left)
                for top, bottom in itertools.combinations(range(shape[0] + 1), 2)
                for left, right in itertools.combinations(range(shape[1] + 1), 2)
                if mask[top:bottom, left:right].all()
            ),
            default=0,
        )
        top, left, bottom, right = _textures._largest_rectangle(mask)
        height, width = bottom - top, right - left
        if best:
            assert mask[top:bottom, left:right].all()
            assert height * width * min(height, width) == best


def test_a_cut_is_the_cheapest_of_all_paths():
    rng = np.random.default_rng(2)
    for rows, columns in ((1, 3), (4, 1), (5, 3), (4, 4)):
        difference = rng.integers(0, 50, (rows, columns))
        costs = {
            path: sum(difference[row, column] for row, column in enumerate(path))
            for path in itertools.product(range(columns), repeat=rows)
            if all(abs(a - b) <= 1 for a, b in itertools.pairwise(path))
        }
        assert costs[tuple(_textures._cut(difference).tolist())] == min(costs.values())


def test_a_regular_texture_is_continued_without_seams():
    y, x = np.mgrid[:24, :24]
    stripes = np.repeat((200 * ((x + y) % 6 < 3))[..., None], 3, axis=2)
    found = _textures.quilt(stripes, (70, 90), np.random.default_rng(0))
    y, x = np.mgrid[:70, :90]
    candidates = [np.repeat((200 * ((x + y + n) % 6 < 3))[..., None], 3, 2) for n in range(6)]
    assert any(np.array_equal(found, each) for each in candidates)


def test_a_quilt_of_a_single_pixel():
    found = _textures.quilt(np.full((1, 1, 3), 9), (4, 5), np.random.default_rng(0))
    np.testing.assert_array_equal(found, np.full((4, 5, 3), 9))


def hidden_share(plain, covered, number=0):
    return 1 - covered.objects[number].mask.sum() / plain.objects[number].mask.sum()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_a_cover_hides_a_share(share, seed):
    plain = scene(40 + seed, objects=1)
    covered = plain.covered(0, share, seed=seed)
    assert hidden_share(plain, covered) == pytest.approx(share, abs=0.02)
    assert not (covered.objects[0].mask & ~plain.objects[0].mask).any()
    differ = (plain.picture != covered.picture).any(2)
    cover = opacity(covered._recipe.covers[0], differ.shape)
    assert not differ[cover == 0].any() and differ[cover > 0].mean() > 0.9
    hidden = cover >= OPAQUE
    np.testing.assert_array_equal(covered.objects[0].mask, plain.objects[0].mask & ~hidden)


def test_covers_remain_and_spare_other_objects():
    plain = scene(7, classes=["cat", "dog"])
    covered = plain.covered(0, 0.4, seed=2)
    np.testing.assert_array_equal(covered.objects[1].mask, plain.objects[1].mask)
    twice = covered.covered(1, 0.6)
    assert hidden_share(plain, twice, 1) == pytest.approx(0.6, abs=0.02)
    assert len(twice._recipe.covers) == 2
    cover = opacity(covered._recipe.covers[0], plain.picture.shape[:2])
    differ = (covered.without(0).picture != plain.without(0).picture).any(2)
    assert not differ[cover == 0].any() and differ[cover > 0].mean() > 0.9
    np.testing.assert_array_equal(plain.covered(0, 0.4, seed=2).picture, covered.picture)
    assert not np.array_equal(plain.covered(0, 0.4, seed=3).picture, covered.picture)


@pytest.mark.parametrize(("seed", "share"), [(6, 0.9999), (32, 0.9999), (36, 0.9999), (7, 0.97)])
def test_covers_hide_no_object_entirely(seed, share):
    plain = scene(seed, objects=1 + seed % 4)
    covered = plain.covered(0, share, seed=seed)
    assert all(each.mask.any() for each in covered.objects)
    assert hidden_share(plain, covered) == pytest.approx(share, abs=0.02)


def test_a_cover_spares_others_at_its_best_of_all_places():
    mask, other = np.zeros((2, 40, 60), bool)
    mask[10:30, 10:30], other[10:30, 31:50] = True, True
    found = _covers.cover(np.random.default_rng(0), mask, [other], 0.5)
    cover = opacity(found, mask.shape) >= OPAQUE
    away, lost = _covers._costs(mask, [other], found.patch[..., 3] >= OPAQUE, 0.5)
    near = away <= max(away.min(), 0.01 * mask.sum())
    assert (cover & other).sum() == lost[near].min() == 0
    assert abs((cover & mask).sum() - 0.5 * mask.sum()) == away[found.y, found.x]


def test_a_share_that_no_distractor_can_hide():
    mask = np.zeros((8, 8), bool)
    mask[3:5, 3:5] = True
    other = np.zeros((8, 8), bool)
    with pytest.raises(ValueError, match="another seed or a smaller share"):
        _covers.cover(np.random.default_rng(0), mask, [other], 0.9)  # the other has no pixel


def test_a_second_texture_replaces_the_first():
    plain = scene(3, classes=["elephant"])
    expected, again = plain.textured(0, "zebra").picture, plain.textured(0, "leopard")
    np.testing.assert_array_equal(again.textured(0, "zebra").picture, expected)
    colour = plain.textured(0, "pizza", pattern=False)
    np.testing.assert_array_equal(colour.textured(0, "zebra").picture, expected)
    replaced = plain.textured(0, "pizza").replaced(0, "dog")
    np.testing.assert_array_equal(
        replaced.textured(0, "zebra").picture,
        plain.replaced(0, "dog").textured(0, "zebra").picture,
    )


def test_hidden_pixels_are_counted_exactly():
    rng = np.random.default_rng(0)
    mask, opaque = rng.random((13, 17)) < 0.5, rng.random((4, 6)) < 0.7
    found = _covers._hidden(mask, opaque)
    windows = np.lib.stride_tricks.sliding_window_view(mask, opaque.shape)
    np.testing.assert_array_equal(found, (windows & opaque).sum((2, 3)))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda s: s.covered(0, 0), ValueError, "share: expected a number between 0 and 1, got 0"),
        (lambda s: s.covered(0, 1), ValueError, "between 0 and 1, got 1"),
        (lambda s: s.covered(0, np.nan), ValueError, "between 0 and 1, got nan"),
        (lambda s: s.covered(0, 10**400), ValueError, "share: expected a number, got one"),
        (lambda s: s.covered(0, "half"), TypeError, "share"),
        (lambda s: s.covered(3, 0.5), IndexError, "no object 3"),
        (lambda s: s.covered(0, 0.5, seed=-1), ValueError, "seed"),
        (lambda s: s.textured(3, "leopard"), IndexError, "no object 3"),
        (lambda s: s.textured(0, "unicorn"), ValueError, "unicorn"),
        (lambda s: s.textured(0, "leopard", shading="yes"), TypeError, "shading"),
        (lambda s: s.textured(0, "leopard", pattern=1), TypeError, "pattern"),
    ],
)
def test_wrong_changes(change, error, message):
    with pytest.raises(error, match=message):
        change(scene(7, classes=["cat", "dog"]))


def test_large_textures_need_little_memory():
    rng = np.random.default_rng(3)
    patch = np.full((900, 700, 4), 255, np.uint8)
    patch[:, :100, 3] = 0
    colours = rng.integers(0, 256, (10, 8, 3))
    texture = np.full((600, 480, 4), 255, np.uint8)
    texture[..., :3] = np.repeat(np.repeat(colours, 60, 0), 60, 1)
    tracemalloc.start()
    found = _textures.fill(patch, texture, np.random.default_rng(0), shading=False)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 250e6
    np.testing.assert_array_equal(found[..., 3], patch[..., 3])
    known = {tuple(each) for each in colours.reshape(-1, 3).tolist()}
    used = [tuple(each) in known for each in found[::9, ::9, :3].reshape(-1, 3).tolist()]
    assert np.mean(used) > 0.6  # but for the borders of the patches of colour
