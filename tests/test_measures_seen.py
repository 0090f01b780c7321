"""Pixels that a crop removed count in no measure of a map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers import peer
from small_pictograms import LABELS

from gradcam import Explanation, Preset, measures, pictograms, testing, vgg11
from gradcam._pictures.image import Geometry
from gradcam.measures._given import map_at_input, seen_of
from gradcam.pictograms._effects import Effects
from gradcam.testing import _failure, _session, _slides

SIZE = 64, 104
ROWS, COLUMNS = slice(0, 64), slice(20, 84)


@pytest.fixture(scope="module")
def drawn():
    return pictograms.scene(3, size=SIZE)


@pytest.fixture(scope="module")
def whole(drawn):
    return pictograms.model().forward(drawn.picture, size=(32, 32)).grad_cam("cat")


@pytest.fixture
def no_pictures(monkeypatch, tmp_path):
    monkeypatch.setattr(_session, "_session", lambda: None)
    monkeypatch.setenv("GRADCAM_PICTURES", str(tmp_path / "pictures"))
    monkeypatch.setattr(_failure, "_failures", {})
    monkeypatch.setattr(_slides, "slide", lambda *arguments: np.zeros((1, 1, 3), np.uint8))


def cropped(whole, seed, region=(0.0, 20.0, 64.0, 84.0)):
    """Return an explanation with random values, of a network that saw the middle of the picture."""
    raw = np.random.default_rng(seed).random((4, 4)).astype(np.float32) + np.float32(0.2)
    return replace(whole, raw=raw, geometry=Geometry(SIZE, (64, 64), region))


def part(explanation):
    """Return the part of the map that the network saw, as a map of its own."""
    return np.ascontiguousarray(explanation.map[ROWS, COLUMNS])


def moved(boxes):
    return [(x0 + 20, y0, x1 + 20, y1) for x0, y0, x1, y1 in boxes]


def test_what_was_seen(whole):
    seen = seen_of(cropped(whole, 0))
    assert seen.shape == SIZE and seen[ROWS, COLUMNS].all() and seen.sum() == 64 * 64
    assert seen_of(whole) is None and seen_of(whole.map) is None


def test_inside_outside(whole):
    found, box = cropped(whole, 0), (10, 4, 42, 30)
    expected = measures.inside_outside(part(found), (0, 4, 22, 30))
    assert measures.inside_outside(found, box) == pytest.approx(expected, rel=1e-12)
    assert np.isnan(measures.inside_outside(found, (0, 0, 20, 64)))  # nothing that it saw
    assert np.isnan(measures.inside_outside(found, (20, 0, 84, 64)))  # all that it saw


@pytest.mark.parametrize("seed", range(3))
def test_otsu(whole, seed):
    found = cropped(whole, seed)
    inner = part(found)
    expected = moved(measures.boxes(inner, "otsu", "all"))
    assert measures.boxes(found, "otsu", "all") == expected
    assert [found.box("otsu")] == measures.boxes(found, "otsu") == expected[:1]
    mask = np.zeros(SIZE, bool)
    mask[5:45, 28:60] = True
    iou = measures.mask_iou(inner, mask[ROWS, COLUMNS], "otsu")
    assert measures.mask_iou(found, mask, "otsu") == iou
    assert measures.mask_iou(found.map, mask, "otsu") != iou  # of an array all pixels count
    labels = measures.seeds([found], threshold="otsu")
    np.testing.assert_array_equal(labels[ROWS, COLUMNS], measures.seeds([inner], threshold="otsu"))
    assert labels.sum() == labels[ROWS, COLUMNS].sum()


@pytest.mark.parametrize("seed", range(3))
def test_overlap_with_a_mask_that_the_crop_cuts(whole, seed):
    found, mask = cropped(whole, seed), np.zeros(SIZE, bool)
    mask[5:45, 8:44], inner = True, part(found)
    shown = np.ascontiguousarray(mask[ROWS, COLUMNS])
    for threshold in (0.15, 0.6, "otsu"):
        expected = measures.mask_iou(inner, shown, threshold)
        assert measures.mask_iou(found, mask, threshold) == expected > 0
    best = measures.best_mask_iou(found, mask)
    assert best == measures.best_mask_iou(inner, shown)
    assert measures.mask_iou(found, mask, best.threshold) == best.iou
    assert measures.best_mask_iou(found.map, mask).iou < best.iou  # of an array all pixels count


def test_overlap_with_a_mask_that_the_network_did_not_see(whole):
    found, box = cropped(whole, 0), (0, 0, 20, 64)
    best = measures.best_mask_iou(found, box)
    assert all(np.isnan([measures.mask_iou(found, box), best.iou, best.threshold]))
    assert measures.mask_iou(found.map, box) == 0


def test_grabcut(whole):
    peer("cv2")
    found = cropped(whole, 1)
    pixels = np.ascontiguousarray(found.picture[ROWS, COLUMNS])
    expected = measures.grabcut_box(part(found), pixels)
    assert [measures.grabcut_box(found)] == moved([expected])


def test_complexity(whole):
    found = cropped(whole, 0)
    for measure in (measures.complexity, measures.sparseness):
        assert measure(found) == pytest.approx(measure(part(found)), rel=1e-12)


def test_agreement_with_effects(whole, drawn):
    half, seen, unseen = np.zeros((3, *SIZE), bool)
    half[5:15, 10:30], seen[5:15, 40:60], unseen[5:15, :9] = True, True, True
    objects = tuple(replace(drawn.objects[0], mask=mask) for mask in (half, seen, unseen))
    true = Effects(replace(drawn, objects=objects), LABELS, "score", np.ones((8, len(LABELS))))
    found = cropped(whole, 0)
    values = np.array([found.map[5:15, 20:30].mean(), found.map[seen].mean(), 0])
    given = pictograms.agreement(found, true).given
    np.testing.assert_allclose(given, values / values.sum(), rtol=1e-6)


@pytest.mark.usefixtures("no_pictures")
def test_maps_agree_only_where_something_was_seen(whole, tmp_path):
    one, other = cropped(whole, 0), cropped(whole, 1)
    apart = measures.spearman(part(one), part(other))
    assert apart < 0.4 < measures.spearman(one.map, other.map)  # the zeros agree
    with pytest.raises(AssertionError, match=f"is {apart:.2f}; at least 0.4 was expected"):
        testing.assert_maps_agree(one, other, 0.4)
    with pytest.raises(AssertionError, match=f"is {apart:.2f}; at least 0.4 was expected"):
        testing.assert_maps_agree(one, other.map, 0.4)
    testing.assert_maps_agree(one, one, 1)
    other.save(tmp_path / "a.npz", map=False)
    with pytest.raises(AssertionError, match=f"is {apart:.2f}; at least 0.4 was expected"):
        testing.assert_matches_stored(one, tmp_path / "a.npz", 0.4, update=False)
    left, right = (cropped(whole, 0, (0.0, x, 64.0, x + 40)) for x in (0.0, 50.0))
    with pytest.raises(ValueError, match="no common part"):
        testing.assert_maps_agree(left, right)


def test_a_map_that_can_lie_on_two_things_is_refused():
    weights = vgg11.random_tensors(width=2, fc=8, classes=3, seed=5)
    network = vgg11(weights, preset=Preset("crop", size=32, shorter_side=36))
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    tape = network.forward(picture)
    assert tape.size == tape.geometry.picture and tape.geometry.cropped
    found = tape.grad_cam(0)
    assert map_at_input(tape, found).shape == (32, 32)
    with pytest.raises(ValueError, match=r"both of 32 x 32 pixels, but .* give an Explanation"):
        map_at_input(tape, np.asarray(found.evidence.max() * np.ones((32, 32))))


def test_an_explanation_of_another_picture_of_one_size_is_refused(tmp_path):
    scenes = [pictograms.scene(seed, size=(64, 64)).picture for seed in (1, 2)]
    first, second = (pictograms.model().forward(each, size=(32, 32)) for each in scenes)
    cat = first.grad_cam("cat")
    with pytest.raises(ValueError, match="different pictures of 64 x 64 pixels"):
        map_at_input(second, cat)
    other_size = pictograms.model().forward(scenes[0], size=(48, 48))
    with pytest.raises(ValueError, match="different parts of the picture, or at different sizes"):
        map_at_input(other_size, cat)
    cat.save(tmp_path / "cat.npz", map=False)
    loaded = Explanation.load(tmp_path / "cat.npz")  # without its picture: it cannot be compared
    np.testing.assert_array_equal(map_at_input(first, loaded), map_at_input(first, cat))
