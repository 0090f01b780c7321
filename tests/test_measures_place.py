"""Measures of a place: regions, boxes, pointing, energy, masks, seeds, localization error."""

from __future__ import annotations

import itertools
import sys
import warnings

import numpy as np
import pytest
from test_methods import flood

from gradcam import measures, pictograms
from gradcam._pictures.segments import high_values, otsu, segments
from gradcam.measures import Pointed

INF, NAN = float("inf"), float("nan")
FLAT = np.full((6, 9), 3.0)


@pytest.fixture(scope="module")
def scene():
    return pictograms.scene(7, classes=["cat", "dog"], size=(100, 150))


@pytest.fixture(scope="module")
def cat(scene):
    return pictograms.model().forward(scene.picture).grad_cam("cat")


def random_map(shape=(13, 19), seed=0):
    """With equal values, zeros, and an own largest value."""
    values = np.random.default_rng(seed).normal(size=shape).round(1).astype(np.float32)
    return np.maximum(values, 0) * np.float32(0.7)


def random_mask(shape=(13, 19), seed=1):
    return np.random.default_rng(seed).random(shape) < 0.2


# ------------------------------------------------------------------------ regions


def test_region_mask_of_boxes_and_masks():
    mask = measures.region_mask((1, 2, 4, 3), (5, 6))
    assert mask.shape == (5, 6) and mask.sum() == 3 and mask[2, 1:4].all()
    both = measures.region_mask([(0, 0, 1, 1), (4, 4, 99, 99)], (5, 6))
    assert both.sum() == 3 and both[0, 0] and both[4, 4:].all()
    assert measures.region_mask((-5, -5, 2, 1), (5, 6)).sum() == 2  # clipped
    np.testing.assert_array_equal(measures.region_mask(mask, (5, 6)), mask)
    # Pixels that are covered in part belong to it.
    assert measures.region_mask((1.5, 1.9, 2.1, 2.1), (5, 6)).nonzero()[0].tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("region", "error", "message"),
    [
        ((6, 0, 9, 5), ValueError, r"\(6, 0, 9, 5\) lies outside the picture of 5 x 6"),
        ([(0, 0, 2, 2), (0, -3, 2, 0)], ValueError, r"\(0, -3, 2, 0\) lies outside"),
        ((3, 0, 3, 5), ValueError, r"\(3, 0, 3, 5\) is empty"),
        ((3, 4, 1, 5), ValueError, "x0 < x1"),
        ((0, 0, NAN, 5), ValueError, "is empty"),
        ((0, 0, INF, 5), ValueError, "is empty"),
        ((0, 0, 5), ValueError, "expected a box"),
        ([], ValueError, "expected a box"),
        ("cat", TypeError, "expected a box"),
        (None, TypeError, "expected a box"),
        (("1", "2", "3", "4"), TypeError, "expected a box"),
        ((True, True, True, True), TypeError, "expected a box"),
        ((0, 0, 1e-200, 1e-200), ValueError, "its area is not a normal number"),
        ((-1e200, -1e200, 1e200, 1e200), ValueError, "its area is not a normal number"),
        (np.zeros((5, 6), bool), ValueError, "at least one pixel"),
        (np.ones((6, 5), bool), ValueError, "6 x 5 pixels, the picture of 5 x 6"),
        (np.ones((5, 6), np.uint8), ValueError, "mask .* of bool"),
    ],
)
def test_bad_regions_are_refused(region, error, message):
    with pytest.raises(error, match=message):
        measures.region_mask(region, (5, 6))


def test_iou_of_boxes():
    assert measures.iou((0, 0, 4, 2), (0, 0, 4, 2)) == 1
    assert measures.iou((0, 0, 4, 2), (2, 0, 6, 2)) == pytest.approx(4 / 12)
    assert measures.iou((0, 0, 2, 2), (2, 0, 4, 2)) == 0
    assert measures.iou((0, 0, 1, 1), (0.5, 0, 1.5, 1)) == pytest.approx(1 / 3)


def test_iou_of_several_boxes_and_masks():
    rng = np.random.default_rng(4)
    for _ in range(30):
        corners = np.sort(rng.integers(0, 12, (2, 3, 2, 2)), axis=2)
        corners[:, :, 1] += 1
        one, other = corners.reshape(2, 3, 4).tolist()
        masks = [measures.region_mask(each, (13, 13)) for each in (one, other)]
        expected = (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()
        for a, b in ((one, other), (masks[0], other), (one, masks[1]), masks):
            assert measures.iou(a, b) == pytest.approx(expected, abs=1e-12)
    with pytest.raises(ValueError, match="13 x 13 pixels, the picture of 12 x 13"):
        measures.iou(masks[0][1:], masks[1])


# ------------------------------------------------------------------------ boxes


@pytest.mark.parametrize("density", [0.0, 0.1, 0.5, 0.7])
def test_all_segments(density):
    mask = np.random.default_rng(2).random((23, 17)) < density
    found, expected = segments(mask), flood(mask)
    pairs = [(area, tuple(box)) for area, box in zip(*found[::-1], strict=True)]
    pairs = [(int(area), tuple(map(int, box))) for area, box in pairs]
    # flood() finds segments in row-major order, and the sort is stable.
    assert pairs == sorted(expected, key=lambda pair: -pair[0])


@pytest.mark.parametrize("threshold", [0.15, 0.6, 1.0])
def test_boxes_of_a_map(threshold):
    values = random_map()
    expected = sorted(flood(values >= np.float32(threshold * values.max())), key=lambda s: -s[0])
    assert threshold == 1 or len(expected) > 3
    found = measures.boxes(values, threshold, "all")
    assert found == [box for _, box in expected]
    assert measures.boxes(values, threshold) == found[:1]
    assert all(type(side) is int for box in found for side in box)


def test_boxes_of_an_explanation_are_its_box(cat):
    assert measures.boxes(cat) == [cat.box()] == measures.boxes(cat.map)
    assert measures.boxes(cat, "otsu") == [cat.box("otsu")]
    assert cat.box("otsu") != cat.box()


def otsu_twin(values):
    """The threshold of the smallest variance within the two parts, tried one by one."""
    counts, edges = np.histogram(np.float64(values), 256)
    centres = (edges[1:] + edges[:-1]) / 2
    within = []
    for n in range(1, 256):
        parts = [(counts[:n], centres[:n]), (counts[n:], centres[n:])]
        means = [(c * x).sum() / c.sum() for c, x in parts]
        within.append(sum((c * (x - m) ** 2).sum() for (c, x), m in zip(parts, means, strict=True)))
    return centres[int(np.argmin(within))]  # of the last bin of the lower part


def test_otsu():
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(1, 0.8, 9000), rng.normal(4, 1, 3000)])
    values = values.reshape(100, 120).astype(np.float32)
    assert otsu(values) == pytest.approx(otsu_twin(values), rel=1e-12)
    assert 2 < otsu(values) < 3
    np.testing.assert_array_equal(high_values(values, "otsu"), values > otsu(values))


def test_flat_maps_have_no_box_and_count_as_errors():
    region = (1, 1, 4, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for flat in (FLAT, 0 * FLAT, -FLAT):
            for threshold in (0.15, "otsu"):
                assert measures.boxes(flat, threshold) == []
                assert measures.boxes(flat, threshold, "all") == []
            assert measures.mask_iou(flat, region) == 0
            best = measures.best_mask_iou(flat, region)
            assert best.iou == 0 and np.isnan(best.threshold)
            assert not measures.pointing(flat, region)
        assert np.isnan(measures.energy_inside(0 * FLAT, region))
        assert np.isnan(measures.inside_outside(0 * FLAT, region))
        assert measures.energy_inside(FLAT, region) == pytest.approx(9 / 54)
        assert measures.inside_outside(FLAT, region) == 1
    negative = -1 - random_map()
    assert measures.boxes(negative) == [] and measures.boxes(negative, "otsu")
    assert measures.best_mask_iou(negative, region).iou == 0


@pytest.mark.parametrize("threshold", [0, -0.1, 1.1, NAN, "best", None, True])
def test_bad_thresholds_are_refused(threshold):
    with pytest.raises(ValueError, match="share above 0 and up to 1, or 'otsu'"):
        measures.boxes(random_map(), threshold)
    with pytest.raises(ValueError, match="'largest' or 'all'"):
        measures.boxes(random_map(), segments="first")


# ------------------------------------------------------------------------ pointing


@pytest.mark.parametrize("tolerance", [0, 1, 2.5, 15, 1e6])
def test_pointing_is_the_distance_to_the_nearest_pixel(tolerance):
    hits = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        values, mask = rng.random((31, 23)), np.zeros((31, 23), bool)
        mask[tuple(rng.integers(0, (31, 23), (3, 2)).T)] = True
        place = np.unravel_index(values.argmax(), values.shape)
        nearest = min(np.hypot(y - place[0], x - place[1]) for y, x in np.argwhere(mask))
        hits.append(nearest <= tolerance)
        assert measures.pointing(values, mask, tolerance) == hits[-1]
    assert any(hits) or tolerance < 1


def test_pointing_at_boxes():
    values = np.zeros((20, 30))
    values[4, 7] = 1
    assert measures.pointing(values, (7, 4, 8, 5), 0)
    assert not measures.pointing(values, (8, 4, 12, 9), 0)
    assert measures.pointing(values, [(20, 10, 25, 15), (8, 5, 12, 9)], 1.5)
    assert not measures.pointing(values, (8, 5, 12, 9), 1.4)
    for tolerance in (-1, NAN, INF):
        with pytest.raises(ValueError, match="tolerance: expected a number of 0 or more"):
            measures.pointing(values, (8, 5, 12, 9), tolerance)
    for wrong in (True, "1", None):
        with pytest.raises(TypeError, match="tolerance: expected a number"):
            measures.pointing(values, (8, 5, 12, 9), wrong)


def test_pointed_of_an_explanation(cat, scene):
    mask = next(each.mask for each in scene.objects if each.label == "cat")
    assert measures.pointed(cat, mask) == Pointed(float(cat.raw.max()), True, True)
    assert measures.pointed(cat, ~mask, 0) == Pointed(float(cat.raw.max()), True, False)
    assert measures.pointed(cat, None) == Pointed(float(cat.raw.max()), False, False)


def drawn_pictures(count=40):
    """High maps of present classes that mostly point at them, lower ones of absent classes."""
    rng = np.random.default_rng(3)
    pictures = []
    for _ in range(count):
        picture = []
        for is_in in (True, *(rng.random(4) < 0.3)):
            peak = round(rng.normal(3 if is_in else 1), 1)
            picture.append(Pointed(peak, bool(is_in), bool(is_in and rng.random() < 0.8)))
        pictures.append(picture)
    return pictures


def accuracy_twin(pictures, threshold):
    maps = [each for picture in pictures for each in picture]
    right = [
        m.inside if m.present and m.peak >= threshold else not m.present and m.peak < threshold
        for m in maps
    ]
    return sum(right) / len(maps)


def test_rejection_at_a_threshold():
    pictures = [
        [Pointed(5, True, True), Pointed(2, False, False), Pointed(1, True, True)],
        [Pointed(4, True, False), Pointed(3, False, False)],
    ]
    found = measures.pointing_with_rejection(pictures, 2.5)
    assert (found.accuracy, found.precision, found.recall) == (2 / 5, 1 / 3, 1 / 3)
    assert (found.pictures, found.maps) == (2, 5)
    none = measures.pointing_with_rejection(pictures)
    assert (none.accuracy, none.precision, none.recall) == (2 / 5, 2 / 5, 2 / 3)
    every = measures.pointing_with_rejection(pictures, INF)
    assert every.accuracy == 2 / 5 and np.isnan(every.precision) and every.recall == 0


def test_fitted_rejection():
    pictures = drawn_pictures()
    found = measures.fit_rejection(pictures)
    order = np.random.default_rng(0).permutation(40)
    fitted, judged = ([pictures[i] for i in part] for part in (order[:13], order[13:]))
    peaks = sorted({m.peak for picture in fitted for m in picture})
    tried = [-INF, *(np.mean(pair) for pair in itertools.pairwise(peaks)), INF]
    best = max(tried, key=lambda t: accuracy_twin(fitted, t))
    assert found.threshold == pytest.approx(best, abs=1e-12) and np.isfinite(best)
    assert found.pictures == 27 and found.maps == 135
    assert found.accuracy == pytest.approx(accuracy_twin(judged, best))
    assert found.accuracy > measures.pointing_with_rejection(judged).accuracy
    assert measures.fit_rejection(pictures, seed=1) != found
    present = [[Pointed(1, True, True)], [Pointed(2, True, True)]]
    assert measures.fit_rejection(present).threshold == -INF
    absent = [[Pointed(1, False, False)], [Pointed(2, False, False)]]
    assert measures.fit_rejection(absent).threshold == INF


def test_bad_rejections_are_refused():
    for pictures in ([], [[]], [[Pointed(NAN, True, True)]]):
        with pytest.raises(ValueError, match="one or more"):
            measures.pointing_with_rejection(pictures)
    with pytest.raises(ValueError, match="threshold"):
        measures.pointing_with_rejection(drawn_pictures(2), NAN)
    with pytest.raises(ValueError, match="judged on others"):
        measures.fit_rejection(drawn_pictures(1))
    with pytest.raises(ValueError, match="between 0 and 1"):
        measures.fit_rejection(drawn_pictures(2), 1)
    with pytest.raises(TypeError, match="share: expected a number"):
        measures.fit_rejection(drawn_pictures(2), "a")
    with pytest.raises(TypeError, match="threshold: expected a number"):
        measures.pointing_with_rejection(drawn_pictures(2), True)
    with pytest.raises(ValueError, match="seed: expected an integer of 0 or more"):
        measures.fit_rejection(drawn_pictures(2), seed=-1)


# ------------------------------------------------------------------------ energy, masks


def test_energy_inside_and_the_ratio():
    values, mask = random_map() - 0.2, random_mask()
    positive = np.maximum(np.float64(values), 0)
    inside, outside = positive[mask], positive[~mask]
    assert measures.energy_inside(values, mask) == pytest.approx(inside.sum() / positive.sum())
    expected = inside.mean() / outside.mean()
    assert measures.inside_outside(values, mask) == pytest.approx(expected, rel=1e-6)
    assert np.isnan(measures.inside_outside(values, np.ones_like(mask)))
    assert measures.inside_outside(mask.astype(float), mask) == INF
    assert measures.inside_outside((~mask).astype(float), mask) == 0
    with pytest.raises(ValueError, match="the picture of 13 x 19"):
        measures.energy_inside(values, mask[1:])


def test_energy_of_a_cat_lies_in_its_box(cat, scene):
    boxes = {each.label: each.box for each in scene.objects}
    assert (
        measures.energy_inside(cat, boxes["cat"]) > 0.5 > measures.energy_inside(cat, boxes["dog"])
    )
    assert measures.inside_outside(cat, boxes["cat"]) > 3


def mask_iou_twin(values, mask, limit):
    return (mask & (values >= limit)).sum() / (mask | (values >= limit)).sum()


@pytest.mark.parametrize("seed", range(8))
def test_mask_iou_at_all_thresholds(seed):
    mask = random_mask(seed=seed)
    values = random_map(seed=seed + 50) + (0.5 * mask if seed % 2 else 0)
    values = values.astype(np.float32) - np.float32(0.1)
    high = values.max()
    limits = np.unique(values[values > 0])
    best = max(limits[::-1], key=lambda limit: mask_iou_twin(values, mask, limit))
    found = measures.best_mask_iou(values, mask)
    assert found.iou == mask_iou_twin(values, mask, best)
    assert found.threshold == pytest.approx(best / high, rel=1e-6)
    assert measures.mask_iou(values, mask, found.threshold) == found.iou
    expected = mask_iou_twin(values, mask, np.float32(0.4) * high)
    assert measures.mask_iou(values, mask, 0.4) == expected


def test_best_mask_iou_of_the_mask_itself():
    mask = random_mask()
    assert measures.best_mask_iou(mask * 0.3, mask) == measures.BestMaskIoU(1.0, 1.0)
    missed = measures.best_mask_iou(1.0 * ~mask, mask)
    assert missed.iou == 0 and np.isnan(missed.threshold)


# ------------------------------------------------------------------------ seeds


def test_seeds_by_size_and_by_height():
    large, small = np.zeros((2, 4, 6))
    large[:, :4], large[0, 0] = 6, 10
    small[1:3, 3:5], small[1, 4] = 0.4, 1
    expected = np.zeros((4, 6), int)
    expected[:, :4] = 1
    expected[1:3, 3:5] = 2
    np.testing.assert_array_equal(measures.seeds([large, small]), expected)
    np.testing.assert_array_equal(measures.seeds([small, large], [2, 1]), expected)
    expected[1:3, 3] = 1  # 0.6 of the maximum against 0.4
    np.testing.assert_array_equal(measures.seeds([large, small], conflicts="highest"), expected)
    # At 0.5 the small one is a pixel.
    expected[1:3, 4] = [7, 0]
    np.testing.assert_array_equal(
        measures.seeds([large, small, 0 * small, 1 + 0 * small], [1, 7, 3, 4], threshold=0.5),
        expected,
    )


def test_bad_seeds_are_refused():
    values = random_map()
    with pytest.raises(ValueError, match="one size"):
        measures.seeds([values, values[1:]])
    with pytest.raises(ValueError, match="one size"):
        measures.seeds([])
    for classes in ([0, 1], [2], [2, 2]):
        with pytest.raises(ValueError, match="label above 0 for each of 2 maps"):
            measures.seeds([values, values], classes)
    with pytest.raises(ValueError, match="up to 65535"):
        measures.seeds([values], [2**70])
    for wrong in (1.7, True, "1"):
        with pytest.raises(TypeError, match="classes: expected an integer"):
            measures.seeds([values], [wrong])
    with pytest.raises(ValueError, match="'smallest' or 'highest'"):
        measures.seeds([values], conflicts="first")


def test_seeds_iou_over_pictures():
    rng = np.random.default_rng(6)
    found = [rng.integers(0, 4, shape) for shape in ((7, 9), (5, 4))]
    true = [rng.choice([0, 1, 3, 5, 255], each.shape).astype(np.uint8) for each in found]
    result = measures.seeds_iou(iter(found), iter(true))
    a, b = (np.concatenate([each.ravel() for each in both]) for both in (found, true))
    a, b = a[b != 255], b[b != 255]
    expected = {c: ((a == c) & (b == c)).sum() / ((a == c) | (b == c)).sum() for c in (0, 1, 3)}
    assert result.classes == pytest.approx(expected | {2: 0, 5: 0})
    assert result.mean == pytest.approx(sum(expected.values()) / 5)
    unsigned = [each.astype(np.uint64) for each in found]
    assert measures.seeds_iou(unsigned, true) == result
    with pytest.raises(TypeError, match="ignore: expected an integer"):
        measures.seeds_iou(found, true, ignore="255")
    one = measures.seeds_iou(found[0], true[0], ignore=None)
    assert one.classes[255] == 0
    same = measures.seeds_iou(found[0], found[0])
    assert same == measures.SeedsIoU(dict.fromkeys(range(4), 1.0), 1.0)


def test_bad_labels_are_refused():
    labels = np.ones((3, 4), int)
    for found, true, message in (
        (labels, labels[1:], "shape of the truth"),
        (labels, labels * 0.5, "integers"),
        (labels, -labels, "0 for the background"),
        (labels, labels * 2**40, "from 1 to 65535, got 1 to 1099511627776"),
        (labels, labels * 255, "one or more pictures"),
        ([labels], [labels, labels], "shorter|longer"),
        ([], [], "one or more pictures"),
    ):
        with pytest.raises(ValueError, match=message):
            measures.seeds_iou(found, true)


# ------------------------------------------------------------------------ localization error

TRUTH = ("cat", [(0, 0, 10, 10), (20, 20, 30, 30)])


@pytest.mark.parametrize(
    ("predictions", "truth", "right"),
    [
        # right: class top-1, class top-5, located top-1, located top-5, flat maps, known
        ([("cat", (20, 20, 30, 29))], TRUTH, (1, 1, 1, 1, 0, 1)),
        ([("cat", [(50, 50, 60, 60), (0, 0, 10, 6)])], TRUTH, (1, 1, 1, 1, 0, 1)),
        ([("cat", (0, 0, 10, 5))], TRUTH, (1, 1, 0, 0, 0, 1)),  # an IoU of 0.5 is not above it
        ([("cat", []), ("dog", (0, 0, 10, 10))], TRUTH, (1, 1, 0, 0, 1, 1)),
        ([("dog", (0, 0, 10, 10)), ("cat", (0, 0, 9, 9))], TRUTH, (0, 1, 0, 1, 0, 1)),
        ([("dog", (0, 0, 10, 10)), ("cow", None)], TRUTH, (0, 0, 0, 0, 1, 1)),
        ([("cat", (0, 0, 10, 10))], ("cat", []), (1, 1, 0, 0, 0, 0)),
        ([("cat", (0, 0, 10, 10))], None, (0, 0, 0, 0, 0, 0)),
        ([("dog", (0, 0, 5, 9)), ("cat", (1, 1, 5, 5))], {"cat": (1, 1, 5, 5), "dog": []},
         (1, 1, 0, 1, 0, 1)),
    ],
)  # fmt: skip
def test_the_outcome_of_one_picture(predictions, truth, right):
    found = measures.localization_outcome(predictions, truth)
    assert right == (
        *(found.class_top1, found.class_top5, found.located_top1, found.located_top5),
        *(found.flat, found.known),
    )


def test_localization_error_over_pictures():
    predictions = [
        [(3, (0, 0, 10, 10)), (4, (0, 0, 10, 9))],
        [(3, (0, 0, 10, 10)), (4, (0, 0, 10, 9))],
        [(np.int64(3), []), (4, (0, 0, 10, 9))],
        [(3, (0, 0, 10, 10))],
    ]
    truths = [(3, (0, 0, 10, 10)), (4, (0, 0, 10, 10)), (3, (0, 0, 10, 10)), None]
    found = measures.localization_error(iter(predictions), iter(truths))
    assert (found.pictures, found.flat, found.unknown) == (4, 1, 1)
    assert (found.classification_top1, found.classification_top5) == (2 / 4, 1 / 4)
    assert (found.localization_top1, found.localization_top5) == (3 / 4, 2 / 4)
    outcomes = map(measures.localization_outcome, predictions, truths)
    assert measures.localization_total(outcomes) == found
    strict = measures.localization_error(predictions, truths, min_iou=0.95)
    assert strict.localization_top5 == 3 / 4
    assert str(found).splitlines()[-1].split() == (
        ["75.00", "%", "50.00", "%", "50.00", "%", "25.00", "%", "4", "1", "1"]
    )
    assert np.isnan(measures.localization_total([]).localization_top1)


@pytest.mark.parametrize(
    ("predictions", "truth", "error", "message"),
    [
        ([], TRUTH, ValueError, "1 to 5"),
        ([(i, None) for i in range(6)], None, ValueError, "1 to 5 of them, got 6"),
        ([("cat", None), ("cat", None)], TRUTH, ValueError, "occurs twice"),
        ([(3, None)], TRUTH, TypeError, "all classes as indices or all as names"),
        ([(3, None), ("cat", None)], None, TypeError, "all classes as indices or all as names"),
        ([(0.5, None)], TRUTH, TypeError, "an index or a name"),
        ([(True, None)], TRUTH, TypeError, "an index or a name"),
        ([("cat", (0, 0, 0, 5))], TRUTH, ValueError, "is empty"),
        ([("cat", np.ones((5, 5), bool))], TRUTH, TypeError, "got a mask"),
    ],
)
def test_bad_predictions_are_refused(predictions, truth, error, message):
    with pytest.raises(error, match=message):
        measures.localization_outcome(predictions, truth)


def test_bad_numbers_of_pictures_and_limits_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        measures.localization_error([[(3, None)]], [])
    with pytest.raises(ValueError, match="min_iou"):
        measures.localization_outcome([(3, None)], None, min_iou=1)
    with pytest.raises(TypeError, match="min_iou: expected a number"):
        measures.localization_outcome([(3, None)], None, min_iou="0.5")


# ------------------------------------------------------------------------ GrabCut


def test_grabcut_without_opencv(monkeypatch, cat):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match=r'pip install "gradcam\[localization\]"'):
        measures.grabcut_box(cat)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"foreground": 0.2}, ValueError, "0 <= background < foreground <= 1"),
        ({"background": -0.1}, ValueError, "0 <= background < foreground <= 1"),
        ({"background": True}, TypeError, "background: expected a number"),
        ({"foreground": "1"}, TypeError, "foreground: expected a number"),
        ({"iterations": -1}, ValueError, "0 or more"),
        ({"iterations": 1.5}, TypeError, "iterations: expected an integer"),
        ({"iterations": True}, TypeError, "iterations: expected an integer"),
        ({"seed": -1}, ValueError, "seed: expected an integer of 0 or more"),
        ({"seed": 2**40}, ValueError, "seed: expected 0 to 2147483647"),
        ({"seed": "1"}, TypeError, "seed: expected an integer"),
        ({"picture": np.zeros((3, 4, 3), np.uint8)}, ValueError, "expected RGB of uint8"),
        ({"picture": np.zeros((100, 150, 3))}, ValueError, "got float64"),
    ],
)
def test_bad_input_of_grabcut_is_refused(change, error, message, cat):
    with pytest.raises(error, match=message):
        measures.grabcut_box(cat, **change)


def test_grabcut_of_an_array_needs_a_picture(cat):
    with pytest.raises(TypeError, match="give the picture"):
        measures.grabcut_box(cat.map)
