"""Pictures made by the network: the ascent against its float64 twin, and the functions' results."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
import synthesis_twin
from helpers import largest_difference
from PIL import Image
from synthesis_twin import RELU1, SCORES, Twin, small

import gradcam
from gradcam._results.objectives import Class, LogOdds, Objectives
from gradcam._synthesis import bases, regularisers
from gradcam._synthesis.aims import Matching, Raising
from gradcam._synthesis.ascent import Limits, _Direction, ascend
from gradcam._synthesis.canvas import Canvas
from gradcam._synthesis.recipe import Recipe
from gradcam._synthesis.regularisers import View
from gradcam._synthesis.results import precise

FAST = {"steps": 3, "jitter": 1, "zoom": 0.1}


@pytest.fixture(scope="module")
def network():
    return small()[0]


@pytest.fixture(scope="module")
def tape(network):
    return network.forward(picture())


def picture(height=16, width=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def one_hot(index):
    return lambda scores: np.eye(len(scores))[index]


def log_odds(index):
    def seeds(scores):
        shares = np.exp(scores)
        shares[index] = 0
        return np.eye(len(scores))[index] - shares / shares.sum()

    return seeds


# --- the twin ---

RECIPES = {
    "simonyan": dict(optimiser="gradient", basis="pixels", l2=0.05, step=0.05),
    "blur": dict(optimiser="gradient", basis="pixels", blur=0.8, blur_every=2, step=0.05),
    "variation": dict(optimiser="gradient", basis="pixels", total_variation=0.02, step=0.05),
    "fourier": dict(optimiser="gradient", basis="fourier", step=0.05),
    "all": dict(
        optimiser="adam", basis="fourier", l2=0.01, total_variation=0.01, jitter=3, zoom=0.3
    ),
    "sign": dict(optimiser="sign", basis="pixels", step=0.01),
}


@pytest.mark.parametrize("order", ["RGB", "BGR"])
@pytest.mark.parametrize("name", RECIPES)
def test_steps_agree_with_the_twin(name, order):
    options = {"steps": 5, "step": 0.02, "seed": 3, **RECIPES[name]}
    network, reference = small(order=order)
    twin, canvas = Twin(network, reference), Canvas.of(network)
    start = np.random.default_rng(5).uniform(0.2, 0.8, (1, 3, 16, 16)).astype(np.float32)
    limits = Limits(np.float32(0), np.float32(1))
    found, history = ascend(Raising(network, [Class(2)]), canvas, start, Recipe(**options), limits)
    expected = twin.ascend(start[0].astype(np.float64), SCORES, one_hot(2), **options)
    assert np.abs(expected - start[0]).max() > 0.01
    assert largest_difference(found[0], expected) <= 1e-5
    assert all(each.shape == (5, 1) for each in history.values())


def test_the_adversarial_steps_agree_with_the_twin(network, tape):
    canvas, twin = Canvas.of(network), Twin(network, small()[1])
    start = canvas.from_pixels(picture())
    low, high = np.maximum(start - 8 / 255, 0), np.minimum(start + 8 / 255, 1)
    recipe = Recipe(steps=6, step=2.5 * 8 / 255 / 6, optimiser="sign", basis="pixels")
    found, _ = ascend(
        Raising(network, [LogOdds(4)]), canvas, start[None], recipe, Limits(low, high)
    )
    expected = twin.ascend(
        *(start.astype(np.float64), SCORES, log_odds(4)),
        **{"steps": 6, "step": recipe.step, "optimiser": "sign", "low": low, "high": high},
    )
    assert largest_difference(found[0], expected) <= 1e-5
    made = gradcam.adversarial(tape, 4, bound=8, steps=6)
    np.testing.assert_array_equal(made.picture, canvas.pixels(found[0]))


def test_the_inversion_agrees_with_the_twin(network, tape):
    canvas, twin = Canvas.of(network), Twin(network, small()[1])
    code = tape.activation("relu1")
    start = np.array(np.broadcast_to(canvas.mean, (1, 3, 16, 16)), np.float32)
    recipe = Recipe(steps=4, step=0.01, optimiser="gradient", basis="pixels", total_variation=1e-3)
    limits = Limits(np.float32(0), np.float32(1))
    found, history = ascend(Matching(network, "relu1", code), canvas, start, recipe, limits)
    target = twin.record(canvas.from_pixels(picture()).astype(np.float64)).activation(RELU1)[0]

    def seeds(output):
        return -2 * (output - target) / (target**2).sum()

    expected = twin.ascend(
        *(start[0].astype(np.float64), RELU1, seeds),
        **{"steps": 4, "step": 0.01, "total_variation": 1e-3},
    )
    assert largest_difference(found[0], expected) <= 1e-5
    assert history["error"][-1] < history["error"][0]


def test_the_canvas_is_what_the_network_reads(network, tape):
    canvas = Canvas.of(network)
    values = canvas.from_pixels(picture())
    np.testing.assert_array_equal(canvas.pixels(values), picture())
    np.testing.assert_array_equal(canvas.input_of(values), tape.input[0])
    np.testing.assert_allclose(canvas.to_input(values[None]), tape.input, atol=2e-6)


# --- regularisers, by finite differences ---


def check_gradient(function, values, gradient):
    """Compare a gradient with central differences along random directions, in float64."""
    rng = np.random.default_rng(1)
    for _ in range(3):
        along = rng.standard_normal(values.shape)
        by_differences = (function(values + 1e-3 * along) - function(values - 1e-3 * along)) / 2e-3
        assert by_differences == pytest.approx(np.vdot(gradient, along), rel=1e-6)


@pytest.mark.parametrize("name", ["l2", "total_variation"])
def test_gradients_of_penalties(name):
    values = np.random.default_rng(0).standard_normal((2, 3, 6, 5))
    mean = np.full((3, 1, 1), 0.4)

    def penalty(given):
        if name == "l2":
            return regularisers.l2(given, mean)
        return regularisers.total_variation(given)

    check_gradient(lambda given: penalty(given)[0].sum(), values, penalty(values)[1])


@pytest.mark.parametrize("view", [View((2, -3)), View((0, 1), 0.7), View((-1, 0), 1.4), View()])
def test_views_are_linear_and_their_gradient_is_the_transpose(view):
    rng = np.random.default_rng(0)
    values, seed = (rng.standard_normal((2, 3, 9, 7)).astype(np.float32) for _ in range(2))
    assert np.vdot(view(values), seed) == pytest.approx(
        np.vdot(values, view.gradient(seed)), rel=1e-4
    )


@pytest.mark.parametrize("size", [(8, 8), (7, 10), (9, 5)])
def test_the_gradient_of_the_fourier_basis_is_its_transpose(size):
    rng = np.random.default_rng(0)
    basis = bases.make("fourier", size, colours=True)
    one, other = (rng.standard_normal((1, 3, *size)).astype(np.float32) for _ in range(2))
    ahead, back = np.vdot(basis.to_values(one), other), np.vdot(one, basis.gradient(other))
    assert ahead == pytest.approx(back, rel=1e-4)


def test_blur_keeps_a_constant_and_has_a_gaussians_weights():
    constant = np.full((1, 1, 5, 9), 0.3, np.float32)
    np.testing.assert_allclose(regularisers.blur(constant, 1.5), constant, rtol=1e-6)
    point = np.zeros((1, 1, 21, 21), np.float32)
    point[0, 0, 10, 10] = 1
    weights = synthesis_twin.blurring(1.2, 21)
    np.testing.assert_allclose(
        regularisers.blur(point, 1.2)[0, 0], weights @ point[0, 0] @ weights.T, atol=1e-4
    )


def test_the_gradient_of_the_log_odds(network, tape):
    scores = tape.scores[0].astype(np.float64)

    def odds(given):
        p = np.exp(given - given.max())
        return np.log(p[1] / (p.sum() - p[1]))

    seeds = LogOdds(1).seeds(tape, 0)["fc"]
    for index in range(5):
        along = 1e-4 * np.eye(5)[index]
        slope = (odds(scores + along) - odds(scores - along)) / 2e-4
        assert slope == pytest.approx(seeds[index], abs=1e-5)
    assert LogOdds(1).value(tape, 0) == pytest.approx(odds(scores), rel=1e-5)


# --- class models and pictures for units ---


def test_a_class_model(network):
    before = network.forward(np.zeros((3, 16, 16), np.float32)).scores[0, 2]
    made = gradcam.visualise(network, 2, steps=20, jitter=0, zoom=0, step=0.02)
    assert isinstance(made, gradcam.Visualisation)
    assert made.picture.shape == (16, 16, 3) and made.picture.dtype == np.uint8
    assert made.score > before + 0.1
    assert made.history["score"][-1] > made.history["score"][0]
    assert made.history["score"][0] == pytest.approx(before, rel=1e-4)
    again = network.forward(made.picture, size="original")
    np.testing.assert_array_equal(again.input[0], made.input)
    assert made.score == again.scores[0, 2] and made.probability == again.probabilities[0, 2]
    assert made.tape.saliency(2).raw.shape == (3, 16, 16)


def test_l2_keeps_the_picture_near_the_mean(network):
    far, near = gradcam.sweep(
        network, 2, l2=[0.0, 10.0], steps=20, optimiser="gradient", basis="pixels", step=0.02
    )
    mean = 255 * np.array([0.5, 0.4, 0.3])
    sizes = [np.abs(each.picture - mean).mean() for each in (far, near)]
    assert sizes[1] < 0.5 * sizes[0]
    assert set(near.history) == {"score", "probability", "l2", "total_variation"}


def test_a_softmax_has_a_smaller_gradient_but_can_be_raised(network):
    made = gradcam.visualise(network, 2, on="probability", **FAST)
    assert made.history["probability"].shape == (3,)
    assert made.probability == pytest.approx(made.tape.probabilities[0, 2])


def test_several_objectives_are_as_one_by_one(network):
    asked = [3, gradcam.Unit("relu2", 1), gradcam.Unit("conv2", 0, (8, 8)), gradcam.Class(0) * 2]
    together = gradcam.visualise(network, asked, **FAST)
    assert len(together) == 4 and together[1].target is None
    assert together[1].label == "unit 1 of relu2"
    for objective, made in zip(asked, together, strict=True):
        alone = gradcam.visualise(network, objective, **FAST)
        difference = alone.picture.astype(int) - made.picture
        assert np.abs(difference).max() <= 1
        assert alone.score == pytest.approx(made.score, rel=1e-2)


def test_results_are_reproducible(network):
    first, second = (gradcam.visualise(network, 1, **FAST, seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.picture, second.picture)
    other = gradcam.visualise(network, 1, **FAST, seed=5)
    assert (other.picture != first.picture).any()
    threads = gradcam.get_num_threads()
    try:
        gradcam.set_num_threads(1)
        alone = gradcam.visualise(network, 1, **FAST, seed=4)
    finally:
        gradcam.set_num_threads(threads)
    np.testing.assert_array_equal(first.picture, alone.picture)


def test_the_order_of_channels_does_not_matter():
    rgb, bgr = (
        gradcam.visualise(small(order=order)[0], 2, steps=4, optimiser="gradient")
        for order in ("RGB", "BGR")
    )
    assert np.abs(rgb.picture.astype(int) - bgr.picture).max() <= 1


def grey(bias):
    kernel = np.random.default_rng(0).standard_normal((2, 1, 3, 3)).astype(np.float32)
    layers = [
        gradcam.Layer(
            "conv",
            "conv",
            weights={"weight": kernel, "bias": np.array([0, bias], np.float32)},
            attributes={"padding": 1},
        ),
        gradcam.Layer("relu", "relu"),
        gradcam.Layer("pool", "global_average_pool"),
        gradcam.Layer("scores", "flatten"),
    ]
    return gradcam.Network.from_layers(layers, channels=1)


def test_a_network_without_a_preset():
    made = gradcam.visualise(grey(0.0), gradcam.Unit("conv", 0), size=12, steps=5)
    assert made.input.shape == (1, 12, 12) and made.picture.shape == (12, 12, 3)
    assert "no input preset" in made.notes[0] and made.probability is None
    assert "not clipped" in made.used
    with pytest.raises(ValueError, match="give the size"):
        gradcam.visualise(grey(0.0), 0)
    with pytest.raises(ValueError, match="no input preset for pictures"):
        gradcam.adversarial(grey(0.0).forward(np.zeros((1, 12, 12), np.float32)), 1)


def test_a_unit_that_never_fires():
    with pytest.raises(ValueError, match=r"unit 1 of relu: .* never fires"):
        gradcam.visualise(grey(-1e4), gradcam.Unit("relu", 1), size=12)


def test_a_unit_that_fires_on_noise():
    made = gradcam.visualise(grey(-0.05), gradcam.Unit("relu", 1), size=12, steps=10)
    assert made.score > 0 and "noise was added" in " ".join(made.notes)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"steps": 0}, ValueError, "steps: expected 1 or more"),
        ({"steps": 2.5}, TypeError, "steps: expected an integer"),
        ({"step": 0}, ValueError, "step: expected more than 0"),
        ({"l2": -1}, ValueError, "l2: expected 0 or more"),
        ({"blur": np.nan}, ValueError, "blur: expected 0 or more"),
        ({"jitter": 16}, ValueError, "jitter: 16 pixels is not less than"),
        ({"zoom": 1}, ValueError, "zoom: expected a share below 1"),
        ({"size": (1, 16)}, ValueError, "zoom: a picture of 1 x 16 cannot be enlarged"),
        ({"basis": "wavelets"}, ValueError, "basis: expected 'fourier', 'pixels'"),
        ({"optimiser": "sgd"}, ValueError, "optimiser: expected"),
        ({"on": "logit"}, ValueError, "on: expected"),
        ({"size": (16, 16, 3)}, ValueError, "size: expected an int"),
        ({"start": np.zeros((16, 16), np.uint8)}, ValueError, "start: expected"),
    ],
)
def test_options_that_are_refused(options, error, message, network):
    with pytest.raises(error, match=message):
        gradcam.visualise(network, 1, **options)


def test_objectives_that_are_refused(network):
    for given, error in (
        (None, ValueError),
        ([], ValueError),
        ("cat", ValueError),
        (9, IndexError),
    ):
        with pytest.raises(error):
            gradcam.visualise(network, given)
    with pytest.raises(ValueError, match="one or two options"):
        gradcam.sweep(network, 1, l2=0.1)
    with pytest.raises(TypeError, match="objective: sweep takes one"):
        gradcam.sweep(network, [1, 2], l2=[0.1])
    for wrong in (None, network.forward(picture())):
        with pytest.raises(TypeError, match="expected a network"):
            gradcam.visualise(wrong, 1)
    with pytest.raises(TypeError, match="start: expected"):
        gradcam.visualise(network, 1, start="x")


def test_a_sweep_is_checked_before_its_first_picture(network, monkeypatch):
    made = gradcam.sweep(network, 1, l2=np.array([0, 0.1]), steps=1)
    assert made.column_words == ["l2 0", "l2 0.1"]
    monkeypatch.setattr("gradcam._synthesis.visualise.ascend", None)
    for options in ({"l2": [0, -1]}, {"jitter": [0, 16]}, {"basis": ["pixels", "x"]}):
        with pytest.raises(ValueError, match=next(iter(options))):
            gradcam.sweep(network, 1, **options)


def test_notes_stay_in_figures():
    made = gradcam.visualise(grey(0.0), [gradcam.Unit("conv", 0)], size=12, steps=1)
    assert made._notes() == list(made[0].notes) != []
    assert "no input preset" in " ".join(each.get_text() for each in made.plot().texts)


def test_a_start_of_ones_own(network):
    made = gradcam.visualise(network, 1, start=picture(), steps=1, step=1e-4)
    assert np.abs(made.picture.astype(int) - picture()).max() <= 1


# --- changed pictures ---


@pytest.mark.parametrize("shape", [(16, 16), (50, 71)])
def test_an_adversarial_picture_survives_a_file(shape, tmp_path):
    """Also of a picture that the preset resizes and crops: the file is read like any other."""
    network = small()[0]
    preset = gradcam.Preset("cropped", size=16, shorter_side=20)
    layers = list(network.layers.values())
    network = gradcam.Network.from_layers(layers[1:], preset=preset, name="small")
    tape = network.forward(picture(*shape))
    target = int(tape.scores[0].argmin())
    made = gradcam.adversarial(tape, target, bound=8)
    assert isinstance(made, gradcam.Perturbation)
    assert np.abs(made.change).max() <= 8 and made.change.any()
    assert made.score > made.score_before
    assert made.probability > made.probability_before == tape.probabilities[0, target]
    top, left, bottom, right = made.region
    outside = made.change.copy()
    outside[top:bottom, left:right] = 0
    assert not outside.any()
    made.save(tmp_path / "made.png")
    again = network.forward(tmp_path / "made.png")
    np.testing.assert_array_equal(again.input[0], made.input)
    assert again.probabilities[0, target] == made.probability


@pytest.mark.parametrize("bound", [1, 2.7, 20])
def test_the_bound_holds_after_rounding(bound, tape):
    for made in (
        gradcam.adversarial(tape, 3, bound=bound, steps=5),
        gradcam.edit(tape, 3, bound=bound, steps=5, step=0.1, jitter=1),
    ):
        assert 0 < np.abs(made.change).max() <= bound


def test_edits_of_several_targets(tape):
    made = gradcam.edit(tape, [1, gradcam.Unit("relu2", 0)], steps=4, jitter=1)
    assert len(made) == 2 and made[1].target is None
    assert all(each.score > each.score_before for each in made)
    top = gradcam.edit(tape, steps=4, jitter=1)
    assert top.target.index == tape.scores[0].argmax()


def test_explanations_before_and_after(tape):
    made = gradcam.adversarial(tape, 4, bound=4, steps=3)
    pairs = made.explain("grad_cam", [1, 4])
    for before, after in pairs:
        assert before == tape.grad_cam(before.target.index)
        assert after == made.tape.grad_cam(after.target.index)
    assert drawn(made.compare()).shape[0] > 100
    assert len(made.explain()) == len({4, int(tape.scores[0].argmax())})


def test_a_network_without_probabilities_is_compared():
    layers = list(small()[0].layers.values())[1:-1]
    network = gradcam.Network.from_layers(layers, preset=small()[0].preset, name="small")
    made = gradcam.edit(network.forward(picture()), 1, steps=1, jitter=1)
    assert made.probability is None and drawn(made.compare()).shape[0] > 100


def test_an_objective_that_no_step_can_raise(tape):
    silent = gradcam.Function("nothing", ("fc",), lambda _: 0.0, lambda _: {"fc": np.zeros(5)})
    with pytest.raises(ValueError, match="nothing: the gradient is zero at this picture"):
        gradcam.edit(tape, silent)


@pytest.mark.parametrize("optimiser", ["adam", "gradient"])
def test_tiny_gradients_make_the_same_steps(optimiser):
    given = np.random.default_rng(0).standard_normal((1, 3, 4, 4)).astype(np.float32)
    usual, tiny = _Direction(optimiser), _Direction(optimiser)
    for _ in range(2):
        expected = usual(given)
        np.testing.assert_allclose(tiny(given * np.float32(1e-30)), expected, rtol=1e-5)


def test_what_adversarial_refuses(network, tape):
    for bound in (0, 0.5, 256, np.nan):
        with pytest.raises(ValueError, match="bound: expected 1 to 255"):
            gradcam.adversarial(tape, 1, bound=bound)
    with pytest.raises(TypeError, match="bound: expected a number"):
        gradcam.edit(tape, 1, bound="8")
    with pytest.raises(TypeError, match="expected a class"):
        gradcam.adversarial(tape, gradcam.Unit("relu2", 0))
    with pytest.raises(TypeError, match="tape of one picture"):
        gradcam.edit(network.forward([picture(), picture()]), 1)
    with pytest.raises(ValueError, match="steps: expected 1 or more"):
        gradcam.adversarial(tape, 1, steps=0)
    for step in (True, "1"):
        with pytest.raises(TypeError, match="step: expected a number"):
            gradcam.adversarial(tape, 1, step=step)
    with pytest.raises(ValueError, match="name the class"):
        gradcam.adversarial(tape, None)
    with pytest.raises(TypeError, match="targets: expected a list"):
        gradcam.edit(tape, 1, steps=1).compare(targets="cat")
    with pytest.raises(TypeError, match="layer: expected the name"):
        gradcam.invert(tape, None)


# --- inversion, scores ---


def test_inversion(tape):
    made = gradcam.invert(tape, "relu1", steps=40, step=0.01)
    assert isinstance(made, gradcam.Inversion) and made.layer == "relu1"
    assert made.error < 0.7 < made.history["error"][0]
    code = made.tape.activation("relu1") - tape.activation("relu1")
    size = np.linalg.norm(tape.activation("relu1"))
    assert made.error == pytest.approx(np.linalg.norm(code) / size, rel=1e-3)
    np.testing.assert_array_equal(made.original, picture())
    several = gradcam.invert(tape, ["relu1", "fc"], steps=2)
    assert [each.layer for each in several] == ["relu1", "fc"]
    with pytest.raises(ValueError, match="relu9"):
        gradcam.invert(tape, ["relu1", "relu9"])


def test_scores_of_made_and_real_pictures(network):
    made = gradcam.visualise(network, [1, 3], **FAST)
    pictures = [picture(seed=seed) for seed in range(5)]
    found = gradcam.synthesised_scores(network, made, pictures, batch=2)
    scores = network.forward(pictures).scores
    np.testing.assert_allclose(found.real, scores[:, [1, 3]].T, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.made, [each.score for each in made], rtol=1e-6)
    np.testing.assert_array_equal(found.top, scores.argmax(1))
    assert found.ratio.shape == (2,) and "real up to" in repr(found)
    assert drawn(found.plot()).shape[1] > 300
    with pytest.raises(ValueError, match="at least one real picture"):
        gradcam.synthesised_scores(network, made, [])
    unit = gradcam.visualise(network, gradcam.Unit("relu2", 1), **FAST)
    with pytest.raises(ValueError, match="another network"):
        gradcam.synthesised_scores(small()[0], made, pictures)
    with pytest.raises(TypeError, match=r"gradcam\.visualise, got str"):
        gradcam.synthesised_scores(network, "cat", pictures)
    with pytest.raises(TypeError, match="batch: expected an integer"):
        gradcam.synthesised_scores(network, made, pictures, batch="a")
    low = dataclasses.replace(found, real=np.full((2, 5), -1, np.float32))
    assert np.isnan(low.ratio).all()
    with pytest.raises(ValueError, match="made for classes"):
        gradcam.synthesised_scores(network, unit, pictures)


# --- figures and files ---


def drawn(figure):
    with Image.open(io.BytesIO(figure._repr_png_())) as image:
        return np.asarray(image.convert("RGB"))


def test_figures(network, tape):
    one = gradcam.visualise(network, 2, **FAST)
    assert one.caption.startswith("Class model: class 2, score ")
    assert "3 steps of Adam, Fourier basis" in one.caption
    plain, curve = drawn(one.plot()), drawn(one.plot(history=True))
    assert curve.shape[1] > plain.shape[1] > 300
    flat = gradcam.visualise(network, 2, size=(4, 60), steps=2, jitter=0)
    (axes,) = flat.plot(history=True).axes[1:]
    assert axes.get_window_extent().height > 100
    grid = gradcam.sweep(network, 2, l2=[0, 1e-3], basis=["pixels", "fourier"], steps=1, jitter=0)
    assert len(grid) == 4 and [len(row) for row in grid.rows] == [2, 2]
    assert grid.row_words == ["l2 0", "l2 0.001"]
    assert grid.column_words == ["basis pixels", "basis fourier"]
    assert grid.details == "1 step of Adam, total variation 0.01, zoom 0.3."
    for each in (grid, gradcam.invert(tape, ["relu1"], steps=1), gradcam.edit(tape, 1, steps=1)):
        assert drawn(each.plot()).std() > 5
        assert "<figure" in each._repr_html_()


@pytest.mark.parametrize(
    ("probability", "words"),
    [
        (0.5, "50.0 %"),
        (0.999, "99.9 %"),
        (0.9991, "99.91 %"),
        (0.99989999, "99.98 %"),
        (0.9999, "99.99 %"),
        (0.99991, "> 99.99 %"),
        (0.99999, "> 99.99 %"),
        (0.999991, "> 99.999 %"),
        (1.0, "> 99.999 %"),
        (0.0005, "< 0.1 %"),
    ],
)
def test_probabilities_in_words_are_true(probability, words):
    assert precise(probability) == words


def test_saving(network, tmp_path):
    made = gradcam.visualise(network, 2, **FAST)
    made.save(tmp_path / "made.png")
    with Image.open(tmp_path / "made.png") as image:
        np.testing.assert_array_equal(np.asarray(image), made.picture)
    assert made._repr_png_().startswith(b"\x89PNG")
    np.testing.assert_array_equal(np.asarray(made), made.picture)
    with pytest.raises(ValueError, match="saved as one of"):
        made.save(tmp_path / "made.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["made.png"]


def test_an_interruption_ends_the_work(network, monkeypatch, tmp_path):
    calls = []

    def gradient(self, forward, layer, rule="gradient"):
        calls.append(layer)
        raise KeyboardInterrupt

    monkeypatch.setattr(Objectives, "gradient", gradient)
    with pytest.raises(KeyboardInterrupt):
        gradcam.visualise(network, 2, progress=True)
    assert len(calls) == 1


@pytest.mark.slow
def test_the_paper_of_grad_cam(tmp_path):
    """p > 0.9999 for an absent class after 8 grey levels, also from the file."""
    network = gradcam.pictograms.model()
    tape = network.forward(gradcam.pictograms.example("cat_and_dog"))
    made = gradcam.adversarial(tape, "goose")
    made.save(tmp_path / "made.png")
    again = network.forward(tmp_path / "made.png")
    assert made.probability > 0.9999 and again.probabilities[0, made.target.index] > 0.9999
    assert np.abs(made.change).max() <= 8


# --- the command line ---


def run(*arguments, code=0):
    from click.testing import CliRunner

    from gradcam import _cli as cli

    command = [str(each) for each in arguments]
    result = CliRunner().invoke(cli.main, command, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


@pytest.fixture
def folder(tmp_path, monkeypatch, network):
    """A folder with a picture; the pictograms network is the small one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gradcam.pictograms, "model", lambda: network)
    Image.fromarray(picture(20, 30)).save("a.png")
    return tmp_path


def pngs():
    return sorted(path.name for path in Path("gradcam-out").glob("*.png"))


MODEL = ("--model", "pictograms")


def test_visualise_command(folder, network):
    options = ("--class", 2, "--unit", "relu2:1", "--steps", 2, "--jitter", 1, "--seed", 3)
    lines = [json.loads(line) for line in run("visualise", *MODEL, *options, "--json").splitlines()]
    unit = "visualise-unit_1_of_relu2"
    assert pngs() == sorted(
        [
            f"{unit}.png",
            f"{unit}-figure.png",
            "visualise-class_2.png",
            "visualise-class_2-figure.png",
        ]
    )
    made = gradcam.visualise(network, 2, steps=2, jitter=1, seed=3)
    np.testing.assert_array_equal(np.asarray(Image.open(lines[0]["file"])), made.picture)
    assert lines[0]["score"] == pytest.approx(made.score, rel=1e-3)
    assert "visualise-class_2.png" in run("visualise", *MODEL, "--class", 2, "--steps", 1)
    run("visualise", *MODEL, "--class", 2, "--steps", 1, "--sweep", "l2=0,1e-2")
    assert "visualise-class_2-sweep.png" in pngs()
    scores = ("--class", 2, "--steps", 1, "--real", "a.png", "--json")
    found = json.loads(run("visualise", *MODEL, *scores).splitlines()[-1])
    real = network.forward("a.png").scores[0, 2]
    (scored,) = found["scores"]
    assert scored["class"]["index"] == 2 and scored["scores"] == [pytest.approx(real, rel=1e-4)]
    assert "visualise-scores.png" in pngs() and found["pictures"] == ["a.png"]
    assert "--real goes" in run("visualise", *MODEL, "-u", "fc:1", "--real", "a.png", code=2)
    assert "--class NAME" in run("visualise", *MODEL, code=2)
    assert "expected LAYER:INDEX" in run("visualise", *MODEL, "--unit", "relu2", code=2)
    assert "is not a number" in run("visualise", *MODEL, "-c", 1, "--sweep", "l2=x", code=2)
    assert "--sweep" in run("visualise", *MODEL, "-c", 1, "--sweep", "colour=1", code=2)
    assert "not a whole number" in run(
        "visualise", *MODEL, "-c", 1, "--sweep", "jitter=1,1.5", code=2
    )
    against = ("-u", "fc:1", "--against", 2)
    assert "name it with --class" in run("visualise", *MODEL, *against, code=2)
    assert "no such file" in run("visualise", *MODEL, "-c", 1, "--real", "b.png", code=2)


def test_sweeps_of_classes_with_one_label_keep_apart(folder, network, monkeypatch):
    monkeypatch.setattr(network, "labels", gradcam.Labels(["crane", "crane", "a", "b", "c"]))
    asked = ("-c", 0, "-c", 1, "--steps", 1, "--sweep", "clip=true,false", "--json")
    lines = [json.loads(line) for line in run("visualise", *MODEL, *asked).splitlines()]
    assert pngs() == ["visualise-crane-0-sweep.png", "visualise-crane-1-sweep.png"]
    assert [each["swept"] for each in lines[0]["pictures"]] == [{"clip": True}, {"clip": False}]
    assert "not clipped" in lines[0]["pictures"][1]["used"]


def test_commands_that_change_pictures(folder, network):
    run("adversarial", "a.png", *MODEL, "--class", 4, "--steps", 3)
    run("edit", "a.png", *MODEL, "--class", 4, "--steps", 1)
    stem = "a-adversarial-class_4"
    expected = [f"{stem}{end}.png" for end in ("", "-figure", "-grad_cam")]
    assert pngs() == sorted([*expected, "a-edit-class_4.png", "a-edit-class_4-figure.png"])
    made = gradcam.adversarial(network.forward("a.png"), 4, steps=3)
    np.testing.assert_array_equal(np.asarray(Image.open(f"gradcam-out/{stem}.png")), made.picture)
    record = json.loads(run("adversarial", "a.png", *MODEL, "-c", 4, "--steps", 3, "--json"))
    assert record["made"][0]["probability"] == pytest.approx(made.probability, rel=1e-4)
    assert "--class NAME" in run("adversarial", "a.png", *MODEL, code=2)


def test_invert_command(folder):
    record = json.loads(
        run("invert", "a.png", *MODEL, "-l", "relu1", "-l", "fc", "--steps", 2, "--json")
    )
    assert [each["layer"] for each in record["made"]] == ["relu1", "fc"]
    assert pngs() == sorted(
        f"a-invert-{layer}{end}.png" for layer in ("relu1", "fc") for end in ("", "-figure")
    )
    assert "relu9" in run("invert", "a.png", *MODEL, "-l", "relu9", code=2)
