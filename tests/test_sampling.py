"""SmoothGrad, SmoothGrad squared, VarGrad, and the wrapper that samples any method."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import largest_difference
from test_paths import CLASSES, NET, SHAPE, X, gradient_of, raw

import gradcam
from gradcam import METHODS, Evidence
from gradcam._methods.estimates import Estimate
from gradcam._registry import Method
from gradcam._results import notes

STATISTICS = {"smooth_grad": "mean", "smooth_grad_squared": "square", "var_grad": "variance"}


@pytest.fixture(scope="module")
def tape():
    return NET.forward(X)


def noisy(n: int, samples: int, noise: float, seed: int) -> np.ndarray:
    """The copies of picture `n`, drawn at once."""
    rngs = [np.random.default_rng((seed, number)) for number in range(samples)]
    draws = np.stack([rng.standard_normal(SHAPE[1:], np.float32) for rng in rngs])
    return X[n] + np.float32(noise) * np.float32(X[n].max() - X[n].min()) * draws


def combined(values: np.ndarray, statistic: str) -> np.ndarray:
    values = values.astype(np.float64)
    if statistic == "variance":
        return values.var(0)
    return (values**2 if statistic == "square" else values).mean(0)


@pytest.mark.parametrize("method", STATISTICS)
def test_gradients_of_noisy_copies(method, tape):
    found = raw(tape.explain(method, CLASSES, samples=5, noise=0.1, seed=9, batch=2))
    for n, index in enumerate(CLASSES):
        gradients = gradient_of(index)(noisy(n, 5, 0.1, 9))
        assert largest_difference(found[n], combined(gradients, STATISTICS[method])) < 1e-5


@pytest.mark.parametrize("method", STATISTICS)
def test_batches_and_pictures_do_not_change_the_result(method, tape):
    together = tape.explain(method, [[3, 7], [7]], samples=7)
    alone = NET.forward(X[:1]).explain(method, [[3, 7]], samples=7, batch=2)
    for one, other in zip(alone[0], together[0], strict=True):
        assert largest_difference(one.raw, other.raw) < 1e-5
    assert [len(each) for each in together] == [2, 1]
    again = tape.explain(method, [[3, 7], [7]], samples=7)
    np.testing.assert_array_equal(again[0][1].raw, together[0][1].raw)
    other = tape.explain(method, 3, samples=7, seed=1)[0]
    assert largest_difference(other.raw, together[0][0].raw) > 1e-3


def test_smooth_grad_is_the_wrapper_around_saliency(tape):
    for method, statistic in STATISTICS.items():
        wrapped = gradcam.smooth("saliency", samples=4, statistic=statistic)
        (one, _), (other, _) = tape.explain(method, 3, samples=4), tape.explain(wrapped, 3)
        np.testing.assert_array_equal(one.raw, other.raw)
        assert one.view == other.view == "magnitude" and one.notes == other.notes


def test_the_wrapper_samples_a_method_with_a_layer_and_weights(tape):
    wrapped = gradcam.smooth("grad_cam", samples=4, noise=0.1, batch=3)
    found = tape.explain(wrapped, CLASSES, layer="relu3_2")
    for n, each in enumerate(found):
        every = NET.forward(noisy(n, 4, 0.1, 0)).grad_cam(CLASSES[n], layer="relu3_2")
        assert largest_difference(each.raw, raw(every).mean(0)) < 1e-5
        assert largest_difference(each.weights, np.mean([e.weights for e in every], 0)) < 1e-5
        assert (each.view, each.layer) == ("map", "relu3_2")
    assert wrapped.takes_layer and wrapped.title == "Mean of Grad-CAM"
    assert wrapped.name == "mean_of_grad_cam"


def test_the_wrapper_samples_any_method(tape):
    """One of the user's, with options; its view can be that of its evidence."""

    def shifted(tape, objective, *, by: float = 1.0):
        """The input plus a number."""
        values = np.stack([tape.input + by] * objective.count)
        return Evidence(values, view="contribution")

    mine = Method("shifted", "Shifted", "Nobody 2026", "signed", shifted)
    wrapped = gradcam.smooth(mine, samples=3)
    found = tape.explain(wrapped, 3, by=2.0)[0]
    expected = noisy(0, 3, 0.15, 0).mean(0) + 2
    np.testing.assert_allclose(found.raw, expected, atol=1e-6)
    assert found.view == "contribution" and wrapped.options == ("by",)
    assert "3 noisy copies" in wrapped.documentation and "plus a number" in wrapped.documentation
    assert wrapped.read_option("by", "4") == 4
    with pytest.raises(TypeError, match="no option 'to'"):
        tape.explain(wrapped, 3, to=1)
    squares = gradcam.smooth(mine, samples=3, statistic="square")
    assert squares.view == tape.explain(squares, 3)[0].view == "magnitude"
    changed = gradcam.smooth(mine.with_options(by=5.0), samples=3)
    np.testing.assert_allclose(tape.explain(changed, 3)[0].raw, expected + 3, atol=1e-5)


def test_a_method_with_a_wrong_shape_is_refused(tape):
    wrong = Method("wrong", "Wrong", "Nobody 2026", "map", lambda tape, objective: tape.input)
    with pytest.raises(ValueError, match="'wrong' returned an array"):
        tape.explain(gradcam.smooth(wrong, samples=2), 3)


def test_the_wrapper_is_a_column_of_compare():
    tape = gradcam.pictograms.model().forward(gradcam.pictograms.example("cat_and_dog"))
    wrapped = gradcam.smooth("saliency", samples=1, title="Smoothed")
    figure = gradcam.compare(tape, ["cat"], methods=["saliency", wrapped])
    assert "Smoothed" in {text.get_text() for ax in figure.axes for text in ax.texts}


def test_only_notes_that_hold_for_all_copies_are_kept(tape):
    def noting(tape, objective):
        notes.add("Always.")
        notes.add(f"Only of {tape.input[0, 0, 0, 0]}.")
        return objective.gradient(tape, "input")

    mine = Method("noting", "Noting", "Nobody 2026", "signed", noting)
    (found, _) = tape.explain(gradcam.smooth(mine, samples=3, batch=1), 3)
    assert found.notes[0] == "Always." and "Only" not in " ".join(found.notes)


def test_no_noise_is_the_plain_gradient(tape):
    found = tape.smooth_grad(3, samples=2, noise=0)
    np.testing.assert_allclose(raw(found), raw(tape.saliency(3)), atol=1e-7)


def test_a_constant_picture_has_no_noise():
    (found,) = NET.forward(np.ones((1, *SHAPE[1:]), np.float32)).smooth_grad(3, samples=2)
    assert any("no noise was added" in note for note in found.notes)


# --- estimates ---


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_estimates_of_known_distributions(offset):
    """Values and errors against NumPy's; far from zero too, where plain sums lose the variance."""
    rng = np.random.default_rng(0)
    values = (offset + rng.standard_normal((2, 1000, 5))).astype(np.float32)
    double = values.astype(np.float64)
    for statistic, samples in (("mean", double), ("square", double**2), ("variance", double)):
        estimate = Estimate(statistic)
        for part in np.split(values, [1, 7, 400], axis=1):
            estimate.add(part)
        expected = samples.var(1) if statistic == "variance" else samples.mean(1)
        np.testing.assert_allclose(estimate.value(), expected, rtol=1e-9)
        if statistic != "variance":
            error = samples.std(1, ddof=1) / 1000**0.5
            np.testing.assert_allclose(estimate.error(), error, rtol=1e-9)
    # Of normal values: the error of the variance is about sqrt(2 / n) of it.
    np.testing.assert_allclose(estimate.error(), (2 / 1000) ** 0.5, rtol=0.25)


def test_the_error_is_that_of_repeated_estimates():
    """The spread of 400 estimates of 50 samples each is the error that one of them tells."""
    rng = np.random.default_rng(1)
    for statistic in ("mean", "square", "variance"):
        estimates = []
        for _ in range(400):
            estimate = Estimate(statistic)
            estimate.add(rng.exponential(size=(1, 50, 1)).astype(np.float32))
            estimates.append((estimate.value().item(), estimate.error().item() ** 2))
        values, squares = np.array(estimates).T
        assert values.std() == pytest.approx(squares.mean() ** 0.5, rel=0.15)


def test_the_error_is_noted(tape):
    many, few = (tape.smooth_grad(3, samples=n)[0].notes[-1] for n in (16, 4))
    shares = [float(note.split("up to ")[1].split(" %")[0]) for note in (many, few)]
    assert 0 < shares[0] < shares[1] < 100
    assert "16 random samples (seed 0)" in many
    assert "error is not known" in tape.smooth_grad(3, samples=1)[0].notes[-1]


def test_what_the_noise_does_to_the_score_is_noted(tape):
    (found,) = NET.forward(X[:1]).smooth_grad(3, samples=6, noise=0.3)
    mean = NET.forward(noisy(0, 6, 0.3, 0)).scores[:, 3].mean()
    assert found.notes[0] == (
        f"The score is {tape.scores[0, 3]:.3g}; of the noisy copies it is {mean:.3g} on average."
    )
    both = tape.smooth_grad([[3, 7], [7]], samples=6, noise=0.3)[0][0]
    changes = [
        abs(NET.forward(noisy(n, 6, 0.3, 0)).scores[:, c].mean() - tape.scores[n, c])
        for n, c in ((0, 3), (0, 7), (1, 7))
    ]
    assert f"differ by up to {max(changes):.2g} from" in both.notes[0]


# --- refusals ---

BAD = [
    ({"samples": 0}, ValueError, "samples: expected 1 or more"),
    ({"samples": 1.5}, TypeError, "samples: expected an integer"),
    ({"noise": -0.1}, ValueError, "noise: expected a number of 0 or more"),
    ({"noise": np.nan}, ValueError, "noise: expected a number of 0 or more"),
    ({"batch": 0}, ValueError, "batch: expected 1 or more"),
    ({"seed": -1}, ValueError, "seed: expected an integer"),
    ({"samples": True}, TypeError, "samples: expected an integer, got True"),
    ({"noise": "loud"}, TypeError, "noise: expected a number, got 'loud'"),
    ({"noise": True}, TypeError, "noise: expected a number"),
]


@pytest.mark.parametrize(("options", "error", "words"), BAD)
def test_what_is_refused(options, error, words, tape):
    with pytest.raises(error, match=words):
        tape.smooth_grad(3, **options)
    with pytest.raises(error, match=words):
        gradcam.smooth("grad_cam", **options)


def test_other_refusals(tape):
    with pytest.raises(ValueError, match="a variance needs at least 2"):
        tape.var_grad(3, samples=1)
    with pytest.raises(ValueError, match="statistic: expected 'mean' or 'square' or 'variance'"):
        gradcam.smooth("saliency", statistic="median")
    with pytest.raises(ValueError, match="no method is called 'saliencies'"):
        gradcam.smooth("saliencies")
    wrapped = gradcam.smooth("grad_cam_plus_plus")
    assert wrapped.name not in METHODS and wrapped.title == "Mean of Grad-CAM++"
