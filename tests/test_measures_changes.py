"""Measures that change the picture: curves, ROAD, change of confidence, occlusion."""

from __future__ import annotations

import numpy as np
import pytest
import small_vggs

from gradcam import (
    Explanation,
    FlatMapWarning,
    Layer,
    Network,
    Probability,
    Unit,
    measures,
    vgg16,
)
from gradcam.measures._imputation import linear_imputation
from gradcam.measures._order import descending, region_means

SIZE = 32
PICTURE = np.random.default_rng(3).standard_normal((3, SIZE, SIZE), np.float32)
MAP = np.random.default_rng(4).permutation(SIZE * SIZE).reshape(SIZE, SIZE) / 1024.0


@pytest.fixture(scope="module")
def tape():
    return vgg16(small_vggs.tensors()).forward(PICTURE)


def by_hand(tape, map, start, end, counts, target):
    """The twin: one picture at a time, with loops, in float64."""
    order = np.argsort(-map.ravel(), kind="stable")
    values = []
    for count in counts:
        picture = start.astype(np.float64).reshape(3, -1).copy()
        picture[:, order[:count]] = end.reshape(3, -1)[:, order[:count]]
        forward = tape.run(picture.reshape(1, 3, SIZE, SIZE))
        scores = forward.scores[0].astype(np.float64)
        values.append(np.exp(scores[target]) / np.exp(scores).sum())
    return np.array(values)


@pytest.mark.parametrize("baseline", [0.0, "mean"])
def test_deletion_and_insertion(tape, baseline):
    zero = np.zeros_like(PICTURE)
    mean = np.broadcast_to(PICTURE.mean((1, 2), keepdims=True), PICTURE.shape)
    other = zero if baseline == 0 else mean
    counts = [0, 102, 205, 307, 410, 512, 614, 717, 819, 922, 1024]
    options = {"steps": 10, "baseline": baseline, "batch": 4}
    for measure, start, end in (
        (measures.deletion, PICTURE, other),
        (measures.insertion, other, PICTURE),
    ):
        curve = measure(tape, MAP, 2, **options)
        desired = by_hand(tape, MAP, start, end, counts, 2)
        np.testing.assert_allclose(curve.shares, np.array(counts) / 1024)
        np.testing.assert_allclose(curve.values, desired, rtol=1e-5)
        shares = np.array(counts) / 1024
        areas = [(shares[k + 1] - shares[k]) * (desired[k] + desired[k + 1]) / 2 for k in range(10)]
        assert curve.auc == pytest.approx(sum(areas), rel=1e-5)
        assert curve.aopc == pytest.approx(np.mean(desired[0] - desired), abs=1e-6)


def test_a_curve_does_not_depend_on_the_batch(tape):
    one = measures.deletion(tape, MAP, 2, steps=7, batch=1)
    all_ = measures.deletion(tape, MAP, 2, steps=7)
    np.testing.assert_allclose(one.values, all_.values, rtol=1e-5)
    assert (one.title, one.label, one.on) == ("Deletion", "class_2", "probability")
    assert measures.deletion(tape, MAP, 2, on="score", steps=1).on == "score"


def test_equal_values_are_in_a_random_order_that_the_seed_fixes(tape):
    flat = np.ones((SIZE, SIZE))
    with pytest.warns(FlatMapWarning, match="order is random"):
        first = measures.deletion(tape, flat, 2, steps=4, seed=1)
    with pytest.warns(FlatMapWarning):
        again = measures.deletion(tape, flat, 2, steps=4, seed=1)
    with pytest.warns(FlatMapWarning):
        other = measures.deletion(tape, flat, 2, steps=4, seed=2)
    np.testing.assert_array_equal(first.values, again.values)
    assert abs(first.values - other.values)[1:-1].max() > 1e-4
    places = descending(np.array([[1.0, 3.0], [1.0, 1.0]]), 0)
    assert places[0, 1] == 0 and sorted(places.ravel()) == [0, 1, 2, 3]


def test_small_pictures_have_at_most_a_step_for_each_pixel():
    tape = vgg16(small_vggs.tensors()).forward(PICTURE)
    curve = measures.pixel_flipping(tape, MAP, 2, region=8, steps=100, baseline=0.0)
    assert len(curve.values) == 17 and curve.shares[-1] == 1


def test_regions_are_replaced_as_a_whole(tape):
    means, regions = region_means(MAP.astype(np.float32), 9)
    assert regions.max() == 15 and (regions == 5).sum() == 81 and (regions == 15).sum() == 25
    assert means[5] == pytest.approx(MAP[9:18, 9:18].mean(), rel=1e-6)
    curve = measures.pixel_flipping(tape, MAP, 2, region=9, until=0.25, steps=4, baseline=0.0)
    order = np.argsort(-means)
    changed, desired = PICTURE.copy(), []
    for k in range(5):
        desired.append(tape.run(changed[None]).probabilities[0, 2])
        changed[:, regions == order[k]] = 0
    np.testing.assert_allclose(curve.values, desired, rtol=1e-5)
    least = measures.pixel_flipping(tape, MAP, 2, first="least", steps=4, baseline=0.0)
    most = measures.pixel_flipping(tape, -MAP, 2, first="most", steps=4, baseline=0.0)
    np.testing.assert_array_equal(least.values, most.values)


def dense_imputation(picture, removed):
    """The twin: the equations as a matrix, solved by elimination."""
    h, w = removed.shape
    unknown = [tuple(each) for each in np.argwhere(removed)]
    number = {place: k for k, place in enumerate(unknown)}
    matrix, right = np.zeros((len(unknown),) * 2), np.zeros((len(unknown), len(picture)))
    for k, (y, x) in enumerate(unknown):
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                place, weight = (y + dy, x + dx), 1 / 6 if dy * dx == 0 else 1 / 12
                if (dy, dx) == (0, 0) or not (0 <= place[0] < h and 0 <= place[1] < w):
                    continue
                matrix[k, k] += weight
                if place in number:
                    matrix[k, number[place]] -= weight
                else:
                    right[k] += weight * picture[:, place[0], place[1]]
    found = picture.astype(np.float64).copy()
    found[:, removed] = np.linalg.solve(matrix, right).T
    return found


@pytest.mark.parametrize("size", [(17, 24), (1, 9)])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_linear_imputation(size, share):
    rng = np.random.default_rng(5)
    picture = rng.standard_normal((3, *size))
    picture[1] = 0  # a channel that is solved at once
    removed = descending(rng.random(size), 0) < int(share * np.prod(size))
    np.testing.assert_allclose(
        linear_imputation(picture, removed), dense_imputation(picture, removed), atol=1e-7
    )


def test_linear_imputation_of_large_holes():
    picture = np.random.default_rng(6).standard_normal((2, 20, 31))
    removed = np.ones((20, 31), bool)
    removed[3, 5] = removed[:, 30] = False
    found = linear_imputation(picture, removed)
    np.testing.assert_allclose(found, dense_imputation(picture, removed), atol=1e-7)
    np.testing.assert_array_equal(linear_imputation(picture, removed & False), picture)


def test_road(tape):
    found = measures.road(tape, MAP, 2, shares=(0.1, 0.25), noise=0)
    desired = []
    for values in (MAP, -MAP):
        for kept in (921, 768):  # of 1024: those below the percentile
            removed = descending(values, 0) < 1024 - kept
            changed = dense_imputation(PICTURE, removed)
            desired.append(tape.run(changed[None].astype(np.float32)).probabilities[0, 2])
    np.testing.assert_allclose([*found.most, *found.least], desired, rtol=1e-5)
    before = tape.probabilities[0, 2]
    assert found.most_change == pytest.approx(np.mean(desired[:2]) - before, abs=1e-6)
    assert found.least_change == pytest.approx(np.mean(desired[2:]) - before, abs=1e-6)
    combined = (np.mean(desired[2:]) - np.mean(desired[:2])) / 2
    assert found.combined == pytest.approx(combined, abs=1e-6)
    noisy = measures.road(tape, MAP, 2, shares=(0.1, 0.25), seed=3)
    again = measures.road(tape, MAP, 2, shares=(0.1, 0.25), seed=3, batch=1)
    np.testing.assert_allclose(noisy.most, again.most, rtol=1e-5)
    assert abs(noisy.most - found.most).max() > 1e-6


def test_confidence_change(tape):
    scaled = (MAP - MAP.min()) / (MAP.max() - MAP.min())
    found = measures.confidence_change(tape, 3 * MAP + 1, 2)
    after = tape.run((PICTURE * scaled.astype(np.float32))[None]).probabilities[0, 2]
    before = tape.probabilities[0, 2]
    assert found.before == pytest.approx(before) and found.after == pytest.approx(after, rel=1e-5)
    assert found.loss == pytest.approx(max(0, before - after), abs=1e-6)
    assert found.drop == pytest.approx(found.loss / before)
    assert found.increase == (after > before)


def test_average_confidence_change(tape):
    Change = measures.ConfidenceChange
    with pytest.warns(FlatMapWarning, match="flat"):
        flat = measures.confidence_change(tape, np.ones((SIZE, SIZE)), 2)
    assert np.isnan(flat.after) and np.isnan(flat.drop) and not flat.increase
    found = measures.average_confidence_change([Change(0.5, 0.4), Change(0.5, 0.75), flat])
    assert found.drop == pytest.approx(0.1) and found.increase == 0.5
    assert (found.pictures, found.left_out) == (2, 1)
    with pytest.raises(ValueError, match="got none"):
        measures.average_confidence_change([])
    for wrong in ([1.0], 1.0):
        with pytest.raises(TypeError, match=r"results of confidence_change, got 1\.0"):
            measures.average_confidence_change(wrong)


def test_occlusion_correlation(tape):
    occlusion = tape.occlusion(2, patch=8, stride=4, baseline=0.0)
    desired = measures.spearman(MAP, occlusion.raw)
    options = {"patch": 8, "stride": 4, "baseline": 0.0}
    assert measures.occlusion_correlation(tape, MAP, 2, **options) == pytest.approx(desired)
    for given in (occlusion, occlusion.raw):
        assert measures.occlusion_correlation(tape, MAP, 2, occlusion=given) == desired
    assert measures.occlusion_correlation(tape, occlusion.raw, 2, occlusion=occlusion) == 1
    with pytest.warns(FlatMapWarning, match="NaN"):
        flat = np.ones((SIZE, SIZE))
        assert np.isnan(measures.occlusion_correlation(tape, flat, 2, occlusion=occlusion))


def test_occlusion_maps_of_something_else_are_refused(tape, tmp_path):
    options = {"patch": 8, "stride": 8, "baseline": 0.0}
    chance = tape.occlusion(Probability(2), **options)
    found = measures.occlusion_correlation(tape, MAP, 2, on="probability", occlusion=chance)
    same = measures.occlusion_correlation(tape, tape.saliency(Probability(2)), occlusion=chance)
    assert -1 <= same <= 1
    chance.save(tmp_path / "occlusion.npz")
    loaded = Explanation.load(tmp_path / "occlusion.npz")
    for on in ("score", "probability"):
        again = measures.occlusion_correlation(tape, MAP, 2, on=on, occlusion=loaded)
        assert again == found
    unit = tape.occlusion(Unit("conv1_1", 0), **options)
    other = r"the score of class_2 \(2\), got that of "
    for given, message in (
        (tape.occlusion(2, values="score", **options), "values='difference'"),
        (tape.rise(2, samples=8, batch=8), "by the method 'occlusion'"),
        (tape.occlusion(1, **options), rf"{other}the score of class_1 \(1\)"),
        (chance, rf"{other}the probability of class_2 \(2\)"),
        (unit, f"{other}unit 0 of conv1_1"),
    ):
        with pytest.raises(ValueError, match=message):
            measures.occlusion_correlation(tape, MAP, 2, occlusion=given)
    with pytest.raises(ValueError, match=r"got that of class_2 \(2\)"):
        measures.occlusion_correlation(tape, MAP, 1, occlusion=loaded)


MEASURES = [
    *(measures.deletion, measures.insertion, measures.pixel_flipping, measures.road),
    *(measures.confidence_change, measures.occlusion_correlation),
]


@pytest.mark.parametrize("measure", MEASURES)
def test_bad_input(tape, measure):
    with pytest.raises(TypeError, match="of one picture"):
        measure(vgg16(small_vggs.tensors()).forward(PICTURE[None]), MAP)
    with pytest.raises(ValueError, match="resize it first"):
        measure(tape, MAP[:5])
    with pytest.raises(IndexError):
        measure(tape, MAP, 99)
    with pytest.raises(ValueError, match="'score' or 'probability'"):
        measure(tape, MAP, on="loss")
    with pytest.raises(ValueError, match="expected one class or objective, got a list of 2"):
        measure(tape, MAP, [0, 1])


@pytest.mark.parametrize("measure", [each for each in MEASURES if each is not measures.road])
def test_wrong_baselines(tape, measure):
    with pytest.raises(ValueError, match="baseline: expected"):
        measure(tape, MAP, baseline="pink")
    layers = [
        Layer("conv", "conv", (), {"weight": PICTURE[None, :, :3, :3]}),
        Layer("flat", "flatten"),
        Layer("scores", "linear", (), {"weight": np.ones((3, 30 * 30), np.float32)}),
        Layer("prob", "softmax"),
    ]
    unknown = Network.from_layers(layers).forward(PICTURE)
    with pytest.raises(ValueError, match="no input preset"):
        measure(unknown, MAP, baseline="black")


def test_options_out_of_range(tape):
    for name, value in (("steps", 0), ("seed", -1)):
        with pytest.raises(ValueError, match=f"{name}: expected"):
            measures.deletion(tape, MAP, **{name: value})
    for name, value in (("first", "last"), ("region", 33), ("until", 0)):
        with pytest.raises(ValueError, match=f"{name}: expected"):
            measures.pixel_flipping(tape, MAP, **{name: value})
    for name, value in (("shares", (0, 0.5)), ("shares", ()), ("noise", -1)):
        with pytest.raises(ValueError, match=f"{name}: expected"):
            measures.road(tape, MAP, **{name: value})
    for shares in (0.5, "0.5", None, (each for each in (0.5,)), {0.5}, np.array(0.5)):
        with pytest.raises(TypeError, match="shares: expected a list of numbers"):
            measures.road(tape, MAP, shares=shares)


def test_the_figure_of_a_curve(tape):
    curve = measures.deletion(tape, MAP, 2, steps=10)
    np.testing.assert_allclose(curve.picture_shares, [0, 102 / 1024, 205 / 1024, 0.5, 1])
    assert curve.pictures.shape == (5, SIZE, SIZE, 3)
    figure = curve.plot()
    *pictures, ax = figure.axes
    assert len(pictures) == 5 and ax.get_ylabel() == "probability"
    drawn = ax.lines[0].get_xydata()
    np.testing.assert_allclose(drawn, np.stack([100 * curve.shares, curve.values], 1))
    assert f"area under the curve {curve.auc:.2g}" in figure.texts[0].get_text().replace("\n", " ")
