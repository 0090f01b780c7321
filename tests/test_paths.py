"""Methods along paths and input x gradient: the float64 twin, sums, baselines and refusals."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import vggs
from helpers import largest_difference

import gradcam
from gradcam._methods import paths
from gradcam._methods.blur import gaussian_blur

SHAPE = (2, 3, 32, 48)
CLASSES = [3, 7]
TENSORS = vggs.tensors("vgg11")
NET = gradcam.vgg11(TENSORS)
PLAIN = gradcam.Network.from_layers(list(NET.layers.values()))  # without a preset
TWIN, NUMBERS = vggs.twin("vgg11", TENSORS)
RELUS = [layer for layer in NET.layers if layer.startswith("relu")]
X = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)


@pytest.fixture(scope="module")
def tape():
    return NET.forward(X)


def gradient_of(index: int) -> reference.Gradient:
    """The twin's gradients of a class's score; the network decides the signs of ReLUs' inputs."""

    def gradient(points):
        taken = NET.forward(points.astype(np.float32), keep=RELUS)
        decisions = {NUMBERS[name]: taken.activation(name) for name in RELUS}
        record = TWIN.forward(points, decisions)
        return reference.pixel_gradient(record, NUMBERS["fc8"], [index] * len(points))

    return gradient


def raw(explanations) -> np.ndarray:
    return np.stack([each.raw for each in explanations])


def test_input_x_gradient(tape):
    found = raw(tape.input_x_gradient(CLASSES))
    np.testing.assert_array_equal(found, X * raw(tape.saliency(CLASSES)))
    assert tape.input_x_gradient(3)[0].view == "contribution"


@pytest.mark.parametrize("rule", ["gauss_legendre", "middle", "trapezoid", "left", "right"])
def test_integrated_gradients(rule, tape):
    start = np.random.default_rng(2).standard_normal(SHAPE[1:]).astype(np.float32)
    options = {"steps": 5, "baseline": start, "quadrature": rule}
    found = raw(tape.integrated_gradients(CLASSES, **options, batch=3))
    for n, index in enumerate(CLASSES):
        expected = reference.straight_path(gradient_of(index), X[n], start, rule, 5)
        assert largest_difference(found[n], expected) < 1e-5


@pytest.mark.parametrize("rule", ["chords", "authors"])
def test_blur_integrated_gradients(rule, tape):
    options = {"steps": 4, "max_sigma": 3.0, "quadrature": rule}
    found = raw(tape.blur_integrated_gradients(CLASSES, **options, batch=3))
    for n, index in enumerate(CLASSES):
        expected = reference.blur_path(gradient_of(index), X[n], 3.0, rule, 4)
        assert largest_difference(found[n], expected) < 1e-5


def test_expected_gradients(tape):
    """The mean over the draws, one by one."""
    given = np.random.default_rng(3).standard_normal((4, *SHAPE[1:])).astype(np.float32)
    found = raw(tape.expected_gradients(CLASSES, samples=6, baselines=given, seed=5))
    for n, index in enumerate(CLASSES):
        starts, shares = paths._Draws(tape, X[n], given, 6, 5).next(slice(0, 6))
        assert {start.tobytes() for start in starts} <= {np.float64(b).tobytes() for b in given}
        assert len({start.tobytes() for start in starts}) > 1
        total = [
            (X[n] - start) * gradient_of(index)((start + share * (X[n] - start))[None])[0]
            for start, share in zip(starts, shares, strict=True)
        ]
        assert largest_difference(found[n], np.mean(total, axis=0)) < 1e-5


@pytest.mark.parametrize("preset", ["torchvision", None])
def test_draws_are_uniform(preset):
    tape = (NET if preset else PLAIN).forward(X[:1])
    starts, shares = paths._Draws(tape, X[0], None, 400, 0).next(slice(0, 400))
    assert abs(shares.mean() - 0.5) < 0.05 and shares.min() < 0.02 < 0.98 < shares.max()
    black, white = (np.array(each) for each in NET.preset.bounds)
    low, high = (black, white) if preset else (X[0].min(), X[0].max())
    assert (low <= starts.min((0, 2, 3))).all() and (starts.min((0, 2, 3)) < low + 0.01).all()
    assert (starts.max((0, 2, 3)) <= high).all() and (high - 0.01 < starts.max((0, 2, 3))).all()
    np.testing.assert_allclose(starts.mean((0, 2, 3)), (low + high) / 2, atol=0.02)


METHODS = ["integrated_gradients", "blur_integrated_gradients", "expected_gradients"]


@pytest.mark.parametrize("method", METHODS)
def test_batches_and_pictures_do_not_change_the_result(method, tape):
    count = {"samples" if method == "expected_gradients" else "steps": 7}
    together = tape.explain(method, [[3, 7], [7]], **count)
    alone = NET.forward(X[:1]).explain(method, [[3, 7]], **count, batch=1)
    for one, other in zip(alone[0], together[0], strict=True):
        assert largest_difference(one.raw, other.raw) < 1e-5
    assert [len(each) for each in together] == [2, 1]


@pytest.mark.parametrize("method", METHODS)
def test_probabilities_and_sums_of_classes(method, tape):
    """Linear in the objective."""
    count = {"samples" if method == "expected_gradients" else "steps": 3}
    one, two, both = (
        tape.explain(method, target, **count)[0].raw
        for target in (gradcam.Class(1), gradcam.Class(2), gradcam.Difference(1, 2))
    )
    assert largest_difference(both, one - two) < 1e-5
    assert tape.explain(method, 1, on="probability", **count)[0].raw.any()


def test_the_error_of_the_sum_is_noted(tape):
    """It is the one that the note says, and becomes small with many steps."""
    baseline_scores = NET.forward(np.zeros(SHAPE, np.float32)).scores[:, 3]
    differences = tape.scores[:, 3] - baseline_scores
    errors = []
    for steps in (1, 100):
        found = tape.integrated_gradients(3, steps=steps, baseline=0.0, quadrature="middle")
        errors.append(np.abs(raw(found).sum((1, 2, 3), dtype=np.float64) - differences).max())
        assert f"an error of at most {errors[-1]:.2g}" in found[0].notes[-1]
    assert errors[1] < 0.05 * np.abs(differences).min() < errors[0]


@pytest.mark.parametrize("method", [*METHODS, "smooth_grad", "var_grad"])
def test_no_pass_has_more_pictures_than_the_batch(method, tape, monkeypatch, capsys):
    """So memory does not grow with the number of steps. The bar is not on standard output."""
    sizes = []
    run = gradcam.ForwardPass.run

    def counted(self, input, keep=(), *, record=True):
        sizes.append(len(input))
        return run(self, input, keep, record=record)

    monkeypatch.setattr(gradcam.ForwardPass, "run", counted)
    name = "steps" if "integrated" in method else "samples"
    tape.explain(method, 3, **{name: 11}, batch=4, progress=True)
    assert max(sizes) == 4 and sum(sizes) in (22, 24)  # the latter with the baselines' scores
    captured = capsys.readouterr()
    assert not captured.out


def test_quadratures_integrate_polynomials():
    degrees = {"gauss_legendre": 11, "middle": 1, "trapezoid": 1, "left": 0, "right": 0}
    for name, degree in degrees.items():
        points, weights = paths.quadrature_points(name, 6)
        for power in range(degree + 1):
            assert weights @ points**power == pytest.approx(1 / (power + 1), abs=1e-14)
        assert abs(weights @ points ** (degree + 1) - 1 / (degree + 2)) > 1e-9


@pytest.mark.parametrize("steps", [64, 65, 200, 1001])
def test_many_points_of_gauss_and_legendre(steps, monkeypatch):
    largest = []
    rule = np.polynomial.legendre.leggauss
    monkeypatch.setattr(
        np.polynomial.legendre, "leggauss", lambda n: (largest.append(n), rule(n))[1]
    )
    points, weights = paths.quadrature_points("gauss_legendre", steps)
    assert len(points) == len(weights) == steps and max(largest) <= 64
    assert (np.diff(points) > 0).all() and points[0] > 0 and points[-1] < 1
    assert weights @ np.exp(points) == pytest.approx(np.e - 1, abs=1e-13)


@pytest.mark.parametrize("zero_outside", [True, False])
@pytest.mark.parametrize("sigma", [0, 0.05, 0.7, 3.0, 50.0])
def test_blur(sigma, zero_outside):
    found = gaussian_blur(X, sigma, zero_outside=zero_outside)
    expected = reference.blur(X, sigma, zero_outside=zero_outside)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_baselines():
    picture = vggs.picture(32, 48)
    net = gradcam.vgg11(TENSORS, preset="caffe")
    tape = net.forward(picture, size=(32, 48))
    black = -np.array([103.939, 116.779, 123.68])[:, None, None] * np.ones((1, 32, 48))
    named = {
        "black": black,
        "mean": tape.input[0].mean((1, 2), keepdims=True) * np.ones((1, 32, 48)),
        "blur": reference.blur(tape.input[0], 3.2),
    }
    for name, array in named.items():
        one, other = (
            tape.integrated_gradients(3, steps=2, baseline=each).raw
            for each in (name, array.astype(np.float32))
        )
        assert largest_difference(one, other) < 1e-4, name
    two = tape.integrated_gradients(3, steps=2, baseline=2.0).raw
    other = tape.integrated_gradients(3, steps=2, baseline=np.full((3, 32, 48), 2.0)).raw
    np.testing.assert_array_equal(two, other)


def test_what_is_assumed_is_noted(tape):
    (found,) = PLAIN.forward(X[:1]).integrated_gradients(3, steps=2)
    (zero,) = PLAIN.forward(X[:1]).integrated_gradients(3, steps=2, baseline=0.0)
    assert "no input preset" in found.notes[0] and len(zero.notes) == 1
    np.testing.assert_array_equal(found.raw, zero.raw)
    (found,) = PLAIN.forward(X[:1]).expected_gradients(3, samples=1)
    assert "smallest and largest value" in found.notes[0]
    assert "between black and white" in tape.expected_gradients(3, samples=1)[0].notes[0]


BAD = [
    ("integrated_gradients", {"steps": 0}, ValueError, "steps: expected 1 or more"),
    ("integrated_gradients", {"steps": 2.5}, TypeError, "steps: expected an integer"),
    ("integrated_gradients", {"batch": 0}, ValueError, "batch: expected 1 or more"),
    ("integrated_gradients", {"quadrature": "simpson"}, ValueError, "'gauss_legendre' or 'middle'"),
    ("integrated_gradients", {"quadrature": "trapezoid", "steps": 1}, ValueError, "2 or more"),
    ("integrated_gradients", {"baseline": np.zeros((3, 8, 8))}, ValueError, r"\(3, 32, 48\)"),
    ("integrated_gradients", {"baseline": np.zeros(4)}, ValueError, r"shape \(4,\)"),
    ("integrated_gradients", {"baseline": "white"}, ValueError, "'black', 'grey', 'mean', 'blur'"),
    ("integrated_gradients", {"baseline": None}, TypeError, "a number"),
    ("integrated_gradients", {"baseline": True}, TypeError, "a number"),
    ("integrated_gradients", {"baseline": np.nan}, ValueError, "finite"),
    ("blur_integrated_gradients", {"steps": 0}, ValueError, "steps: expected 1 or more"),
    ("blur_integrated_gradients", {"max_sigma": 0.0}, ValueError, "max_sigma"),
    ("blur_integrated_gradients", {"max_sigma": True}, TypeError, "max_sigma: expected a number"),
    ("blur_integrated_gradients", {"max_sigma": 1e9}, ValueError, "at most 480 pixels, 10 times"),
    ("integrated_gradients", {"baseline": 1e39}, ValueError, "finite numbers of float32"),
    ("blur_integrated_gradients", {"quadrature": "left"}, ValueError, "'chords' or 'authors'"),
    ("expected_gradients", {"samples": 0}, ValueError, "samples: expected 1 or more"),
    ("expected_gradients", {"seed": 0.5}, TypeError, "seed: expected an integer"),
    ("expected_gradients", {"baselines": "black"}, ValueError, "'noise'"),
    ("expected_gradients", {"baselines": np.zeros((3, 32, 48))}, ValueError, r"\(M, "),
    ("expected_gradients", {"baselines": np.zeros((0, 3, 16, 24))}, ValueError, r"\(0, 3"),
    ("expected_gradients", {"baselines": np.full((1, *SHAPE[1:]), np.inf)}, ValueError, "finite"),
    ("deep_lift", {"baseline": np.zeros((3, 8, 8))}, ValueError, r"\(3, 32, 48\)"),
]


@pytest.mark.parametrize(("method", "options", "error", "words"), BAD)
def test_what_is_refused(method, options, error, words, tape):
    with pytest.raises(error, match=words):
        tape.explain(method, 3, **options)


def test_options_as_text():
    read = gradcam.METHODS["integrated_gradients"].read_option
    assert read("baseline", "blur") == "blur" and read("baseline", "-1.5") == -1.5
    assert read("batch", "none") is None and read("quadrature", "left") == "left"
    with pytest.raises(ValueError, match="baseline must be a number or 'black' or 'grey' or"):
        read("baseline", "white")
