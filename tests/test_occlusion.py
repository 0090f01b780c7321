"""Occlusion and RISE against their float64 twins, and what they refuse."""

from __future__ import annotations

import nets
import numpy as np
import pytest
import reference
import reference_perturbation as twin
from helpers import largest_difference

import gradcam
from gradcam import Difference, Function, Layer, Probability, Unit
from gradcam._engine import crop_pass, crop_plan
from gradcam._methods.passes import layers_read

SIZE = (45, 36)
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
LIMIT = 1e-5


class Both:
    """A network, with a preset, and its twin, on the same two pictures."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        first = {"weight": nets.kernel(rng, 8, 3, 3, 3), "bias": nets.normal(rng, 8, scale=0.3)}
        second = {"weight": nets.kernel(rng, 12, 8, 3, 3)}
        scores = {"weight": nets.kernel(rng, 4, 12 * 6 * 4)}
        layers = [
            Layer("conv1", "conv", (), first, {"padding": 1}),
            Layer("relu1", "relu"),
            Layer("pool1", "max_pool", (), {}, {"kernel": 2, "ceil_mode": True}),
            Layer("conv2", "conv", (), second, {"padding": 1, "stride": 2}),
            Layer("relu2", "relu"),
            Layer("pool2", "max_pool", (), {}, {"kernel": 2}),
            Layer("flat", "flatten"),
            Layer("scores", "linear", (), scores),
            Layer("prob", "softmax"),
        ]
        self.x = rng.standard_normal((2, 3, *SIZE)).astype(np.float32)
        self.network = gradcam.Network.from_layers(layers, preset="torchvision")
        self.tape = self.network.forward(self.x)
        self.bare = gradcam.Network.from_layers(layers)
        builder = reference.Builder(3)
        number, self.numbers = 0, {}
        for layer in layers:
            number = getattr(builder, layer.op)(number, **layer.weights, **layer.attributes)
            self.numbers[layer.name] = number
        self.twin = builder.build()

    def values(self, layer: str, weights: np.ndarray):
        """The twin's function: the sum of one layer's outputs times weights."""

        def values(pictures: np.ndarray) -> np.ndarray:
            outputs = self.twin.forward(pictures).outputs[self.numbers[layer]]
            return (outputs * weights).reshape(len(pictures), -1).sum(1)

        return values


@pytest.fixture(scope="module")
def both() -> Both:
    return Both()


def squares(outputs):
    return float((outputs["relu2"] ** 2).sum())


OBJECTIVES = {
    "class": (2, "scores", [0, 0, 1, 0]),
    "probability": (Probability(1), "prob", [0, 1, 0, 0]),
    "difference": (Difference(3, 0), "scores", [-1, 0, 0, 1]),
    "unit": (Unit("relu2", 5), "relu2", np.eye(12)[5][:, None, None] / (12 * 9)),
    "first layer": (Unit("relu1", 1), "relu1", np.eye(8)[1][:, None, None] / (45 * 36)),
}


@pytest.mark.parametrize(
    "values, recompute", [("difference", True), ("difference", False), ("score", True)]
)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_occlusion_against_the_twin(name, values, recompute, both, monkeypatch):
    # As if copies cost nothing: on crops although the network is small.
    monkeypatch.setattr(crop_plan, "_COPY", 1e-9)
    made = []
    plan = crop_plan.make_plan
    monkeypatch.setattr(crop_pass, "make_plan", lambda *each: made.append(plan(*each)) or made[-1])
    objective, layer, weights = OBJECTIVES[name]
    options = {"patch": (9, 7), "stride": (8, 7), "baseline": 0.5, "recompute": recompute}
    found = both.tape.occlusion(objective, values=values, **options)
    hidden = np.full((3, *SIZE), 0.5)
    for n, each in enumerate(found):
        scores = both.values(layer, np.asarray(weights))
        right = twin.occlusion(scores, both.x[n], hidden, (9, 7), (8, 7), values)
        assert largest_difference(each.raw, right) < LIMIT
        assert each.view == ("map" if values == "difference" else "range")
        assert each.raw.shape == SIZE and each.layer == "input"
    assert [bool(each.stages) for each in made] == [True] * recompute


def test_a_function_and_lists_of_objectives(both):
    function = Function("squares", ("relu2",), squares, lambda o: {"relu2": 2 * o["relu2"]})
    asked = [[1, function], [0]]
    found = both.tape.occlusion(asked, patch=12, stride=6, baseline=0)
    assert [len(each) for each in found] == [2, 1]
    for n, targets in enumerate(asked):
        for s, target in enumerate(targets):
            scores = both.values("scores", np.eye(4)[target if s == 0 else 0])
            if s:
                scores = lambda x: (  # noqa: E731
                    (both.twin.forward(x).outputs[both.numbers["relu2"]] ** 2).sum((1, 2, 3))
                )
            right = twin.occlusion(scores, both.x[n], np.zeros((3, *SIZE)), (12, 12), (6, 6))
            assert largest_difference(found[n][s].raw, right) < LIMIT


def replaced(name, x: np.ndarray) -> np.ndarray:
    """What the twin puts in place of a picture."""
    if not isinstance(name, str):
        values = np.asarray(name)
        return np.broadcast_to(values[:, None, None] if values.ndim == 1 else values, x.shape)
    if name == "grey":
        return np.broadcast_to(((0.5 - MEAN) / STD)[:, None, None], x.shape)
    if name == "mean":
        return np.broadcast_to(x.mean((1, 2), dtype=np.float64)[:, None, None], x.shape)
    axes = []  # of the blur, with a standard deviation of 2
    for size in SIZE:
        distance = np.abs(np.arange(size)[:, None] - np.arange(size))
        weights = np.exp(-0.5 * (distance / 2.0) ** 2) * (distance <= 8)
        axes.append(weights / weights.sum(1, keepdims=True))
    return axes[0] @ x.astype(np.float64) @ axes[1].T


@pytest.mark.parametrize(
    "baseline",
    ["grey", "mean", "blur", -1.5, [0.1, 0.2, 0.3], np.linspace(-1, 1, 3 * 45 * 36)],
    ids=["grey", "mean", "blur", "number", "colour", "picture"],
)
def test_baselines(baseline, both):
    if not isinstance(baseline, (str, float)):
        baseline = np.array(baseline)
        baseline = baseline.reshape(3, *SIZE) if baseline.size > 3 else baseline
    found = both.tape.occlusion(1, patch=15, stride=15, baseline=baseline, sigma=2.0)
    for n, each in enumerate(found):
        right = twin.occlusion(
            both.values("scores", np.eye(4)[1]),
            *(both.x[n], replaced(baseline, both.x[n]), (15, 15), (15, 15)),
        )
        assert largest_difference(each.raw, right) < LIMIT
        assert each.notes == ()


def test_noise_is_seeded_and_does_not_depend_on_the_batch(both):
    options = {"patch": 15, "stride": 15, "baseline": "noise"}
    found = both.tape.occlusion(1, **options)
    np.testing.assert_array_equal(found[0].raw, both.tape.occlusion(1, **options)[0].raw)
    other = both.tape.occlusion(1, seed=1, **options)[0]
    assert largest_difference(found[0].raw, other.raw) > 1e-3
    for n in (0, 1):
        alone = both.network.forward(both.x[n]).occlusion(1, **options)
        assert largest_difference(alone.raw, found[n].raw) < LIMIT


def test_noise_has_the_mean_and_the_deviation_of_the_picture(both):
    from gradcam._methods.replacements import replacements

    x = both.x * np.array([1, 2, 3], np.float32)[:, None, None] + 5
    noise = replacements(both.network.forward(x, input="normalised"), "noise", 1.0, 0)
    np.testing.assert_allclose(noise.mean((2, 3)), x.mean((2, 3)), atol=0.3)
    np.testing.assert_allclose(noise.std((2, 3)), x.std((2, 3)), rtol=0.05)


def test_grey_without_a_preset_is_noted(both):
    (found, _) = both.bare.forward(both.x).occlusion(1, patch=20, stride=20)
    assert "no input preset" in found.notes[0]
    (right, _) = both.tape.occlusion(1, patch=20, stride=20, baseline=0)
    np.testing.assert_array_equal(found.raw, right.raw)


def test_a_patch_as_large_as_the_picture(both):
    found = both.tape.occlusion(1, patch=SIZE, stride=SIZE, baseline=0)[0]
    lost = both.tape.scores[0, 1] - both.network.forward(np.zeros((1, 3, *SIZE))).scores[0, 1]
    np.testing.assert_allclose(found.raw, np.full(SIZE, lost), rtol=1e-5)


def test_batches_and_pictures_do_not_change_the_result(both):
    options = {"patch": 10, "stride": 5, "baseline": "mean"}
    whole = both.tape.occlusion(1, **options)
    for batch in (1, 7):
        for n, each in enumerate(both.tape.occlusion(1, batch=batch, **options)):
            assert largest_difference(each.raw, whole[n].raw) < LIMIT


def test_layers_that_objectives_read(both):
    asked = both.tape.ask([Difference(1, 2), [Unit("relu1", 0) + Unit("relu2", 1), 0]])
    assert layers_read(both.tape, asked, 0) == ["scores"]
    assert layers_read(both.tape, asked, 1) == ["relu1", "relu2", "scores"]
    function = Function("f", ("conv1", "scores"), lambda o: 0.0, lambda o: {"scores": [0] * 4})
    assert function.reads(both.tape, 0) == {"conv1", "scores"}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"patch": 46}, "patch: expected 1 to 45 rows and 1 to 36 columns"),
        ({"patch": (40, 37)}, "patch: .* got 40 x 37"),
        ({"patch": 0}, "patch: .* got 0 x 0"),
        ({"stride": 0}, "stride: expected 1 or more"),
        ({"stride": (8, 17)}, "stride: .* at most the patch, 16 x 16"),
        ({"baseline": "gray"}, "baseline: expected 'black', 'grey', 'mean', 'blur', 'noise'"),
        ({"baseline": np.zeros(4)}, r"baseline: .* got the shape \(4,\)"),
        ({"baseline": np.zeros((3, 9, 9))}, r"baseline: .*\(3, 45, 36\)"),
        ({"baseline": float("nan")}, "must be finite"),
        ({"baseline": "blur", "sigma": -1}, "sigma"),
        ({"baseline": "noise", "seed": -1}, "seed: expected an integer of 0 or more"),
        ({"values": "scores"}, "values: expected 'difference' or 'score'"),
        ({"batch": 0}, "batch: expected 1 or more"),
    ],
)
def test_wrong_options(options, message, both):
    with pytest.raises(ValueError, match=message):
        both.tape.occlusion(1, **options)


@pytest.mark.parametrize("options", [{"patch": 1.5}, {"stride": (1, 2, 3)}, {"baseline": None}])
def test_options_of_a_wrong_type(options, both):
    with pytest.raises(TypeError, match=next(iter(options))):
        both.tape.occlusion(1, **options)


def test_options_from_text():
    read = gradcam.METHODS["occlusion"].read_option
    assert read("patch", "32") == 32
    assert read("stride", "16,8") == (16, 8)
    assert read("baseline", "0.5") == 0.5
    assert read("baseline", "blur") == "blur"
    assert read("recompute", "false") is False
    with pytest.raises(ValueError, match="'blur' or 'noise', got 'gray'"):
        read("baseline", "gray")


@pytest.mark.parametrize("method", ["occlusion", "rise"])
def test_a_progress_bar_on_request(method, both, capsys):
    options = {"patch": 20, "stride": 20} if method == "occlusion" else {"samples": 3}
    both.tape.explain(method, 1, **options)
    assert capsys.readouterr().err == ""
    both.tape.explain(method, 1, progress=True, **options)
    assert capsys.readouterr().err


# --- RISE ---


@pytest.mark.parametrize("on", ["score", "probability"])
def test_rise_against_the_twin(on, both):
    options = {"samples": 20, "cells": 4, "probability": 0.3, "seed": 5}
    found = both.tape.rise([1, 3], on=on, batch=6, **options)
    for n, each in enumerate(found):
        layer = "scores" if on == "score" else "prob"
        scores = both.values(layer, np.eye(4)[[1, 3][n]])
        right, error = twin.rise(scores, both.x[n], *options.values())
        assert largest_difference(each.raw, right) < LIMIT
        assert each.view == "range"
        if n == 0:
            first = 100 * np.sqrt((error**2).mean()) / np.ptp(right)
    told = float(each.notes[0].split("error is ")[1].split(" %")[0])
    second = 100 * np.sqrt((error**2).mean()) / np.ptp(right)
    assert told == pytest.approx(max(first, second), rel=0.05)


def test_rise_is_the_same_for_every_batch(both):
    for n, each in enumerate(both.tape.rise(2, samples=11, batch=4)):
        other = both.tape.rise(2, samples=11)[n]
        assert largest_difference(each.raw, other.raw) < LIMIT
    (one, _) = both.tape.rise(2, samples=1)
    assert one.notes == ("One random sample: its error is not known.",)


def test_masks_are_visible_with_the_probability():
    from gradcam._methods.rise import _masks

    masks = _masks(slice(0, 300), 7, 0.3, 0, (30, 44))
    assert masks.shape == (300, 30, 44) and masks.min() >= 0 and masks.max() <= 1
    assert masks.mean() == pytest.approx(0.3, abs=0.02)
    np.testing.assert_allclose(masks.mean(0), 0.3, atol=0.12)  # everywhere


@pytest.mark.parametrize(
    "options, message",
    [
        ({"samples": 0}, "samples: expected 1 or more"),
        ({"cells": 0}, "cells"),
        ({"probability": 0}, "probability: expected a number above 0 and below 1"),
        ({"probability": 1.0}, "probability"),
        ({"seed": 1.5}, "seed: expected an integer, got 1.5"),
        ({"probability": True}, "probability: expected a number, got True"),
    ],
)
def test_wrong_options_of_rise(options, message, both):
    with pytest.raises((ValueError, TypeError), match=message):
        both.tape.rise(1, **options)
