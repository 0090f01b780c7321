"""Maps of two classes, and maps of noisy pictures, of a network whose maps are known."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from gradcam import Layer, Network, measures


@pytest.fixture(scope="module")
def network():
    """The score of class k is the mean of channel k, whose map is Grad-CAM's but for a factor."""
    kernel = np.eye(3, dtype=np.float32)[:, :, None, None]
    return Network.from_layers(
        [
            Layer("conv", "conv", weights={"weight": kernel}),
            Layer("relu", "relu"),
            Layer("mean", "global_average_pool"),
            Layer("scores", "flatten"),
            Layer("prob", "softmax"),
        ],
        labels=["left", "right", "nothing"],
    )


@pytest.fixture(scope="module")
def tape(network):
    picture = np.zeros((3, 12, 16), np.float32)
    picture[0, :, :4] = 3
    picture[1, 3:9, 2:10] = 1
    return network.forward(picture, input="normalised")


def test_two_classes(tape):
    found = measures.discrimination(tape, "grad_cam", ["left", "right"])
    assert found.classes == ("left", "right") and found.energies is None
    assert found.shares is None and found.right is None
    assert found.cosine == pytest.approx(12 / (48 * 48) ** 0.5)
    left, right = (tape.input[0, k] for k in (0, 1))
    assert found.correlation == measures.spearman(left, right)


def test_masks_and_the_observer(tape):
    masks = [(0, 0, 4, 12), tape.input[0, 1] > 0]
    found = measures.discrimination(tape, "grad_cam", ["left", "right"], masks=masks)
    np.testing.assert_allclose(found.energies, [[1, 12 / 48], [12 / 48, 1]])
    np.testing.assert_allclose(found.shares, [1, 1])
    assert found.right.all()
    other = measures.discrimination(tape, "grad_cam", ["left", "right"], masks=masks[::-1])
    assert not other.right.any()
    same = measures.discrimination(tape, "grad_cam", ["left", "right"], masks=masks[:1] * 2)
    assert not same.right.any()  # the observer cannot tell


@pytest.mark.filterwarnings("ignore::gradcam.FlatMapWarning")
def test_flat_maps_tell_nothing_apart(tape):
    masks = [(0, 0, 4, 12), (0, 0, 16, 12)]
    found = measures.discrimination(tape, "grad_cam", ["left", "nothing"], masks=masks)
    assert np.isnan(found.cosine) and np.isnan(found.correlation)
    np.testing.assert_array_equal(found.energies, [[1, 1], [0, 0]])
    assert not found.right.any()


def test_pairs_of_three_classes(tape):
    three = measures.discrimination(tape, "saliency", ["left", "right", "nothing"])
    assert np.isnan(three.cosine)  # the gradient of a mean is the same everywhere
    pictures = tape.run(tape.input).graph.forward(
        np.random.default_rng(0).standard_normal((3, 9, 9)).astype(np.float32), input="normalised"
    )
    names = ["left", "right", "nothing"]
    found = measures.discrimination(pictures, "grad_cam", names)
    pairs = [
        measures.discrimination(pictures, "grad_cam", [a, b])
        for a, b in (names[:2], names[1:], names[::2])
    ]
    assert found.cosine == pytest.approx(np.mean([each.cosine for each in pairs]))
    assert found.correlation == pytest.approx(np.mean([each.correlation for each in pairs]))


def test_wrong_arguments_of_discrimination(tape):
    with pytest.raises(ValueError, match="a list of two or more"):
        measures.discrimination(tape, "grad_cam", ["left"])
    for classes in (None, "left", (each for each in (0, 1)), 3):
        with pytest.raises(TypeError, match="classes: expected a list of classes"):
            measures.discrimination(tape, "grad_cam", classes)
    with pytest.raises(TypeError, match="masks: expected a list of regions"):
        measures.discrimination(tape, "grad_cam", [0, 1], masks=3)
    with pytest.raises(ValueError, match="different ones, got left, left"):
        measures.discrimination(tape, "grad_cam", ["left", 0])
    with pytest.raises(ValueError, match="one for each of 2 classes, got 1"):
        measures.discrimination(tape, "grad_cam", [0, 1], masks=[(0, 0, 1, 1)])
    with pytest.raises(ValueError, match="outside the picture"):
        measures.discrimination(tape, "grad_cam", [0, 1], masks=[(0, 0, 1, 1), (90, 0, 91, 1)])


def noisy(tape, sigma, number, seed=0):
    noise = np.random.default_rng((seed, number)).standard_normal(tape.input.shape[1:])
    return np.float32(tape.input[0] + sigma * np.float32(noise))


def test_noise_is_measured_as_defined(network, tape):
    options = {"sigmas": [0, 0.5, 8], "samples": 3, "region": (0, 0, 4, 12), "tolerance": 0}
    found = measures.noise_robustness(tape, "grad_cam", "left", **options)
    assert found.unit == "values of the input" and found.label == "left"
    np.testing.assert_array_equal(found.sigmas, [0, 0.5, 8])
    clean = tape.grad_cam("left").evidence
    for row, sigma in enumerate((0, 0.5, 8)):
        for number in range(3):
            other = network.forward(noisy(tape, sigma, number), input="normalised")
            place = row, number
            assert found.scores[place] == pytest.approx(other.scores[0, 0], rel=1e-5)
            assert found.probabilities[place] == pytest.approx(other.probabilities[0, 0], rel=1e-5)
            map = other.grad_cam("left").evidence
            assert found.correlations[place] == pytest.approx(
                measures.spearman(clean, map), abs=1e-5
            )
            assert found.same_top[place] == (other.scores[0].argmax() == 0)
            assert found.pointing[place] == measures.pointing(map, (0, 0, 4, 12), 0)
    assert not found.pointing.all() and found.pointing[0].all()
    np.testing.assert_allclose(found.mean_correlations, found.correlations.mean(1))
    few = measures.noise_robustness(tape, "grad_cam", "left", **options, batch=2)
    np.testing.assert_allclose(few.correlations, found.correlations, atol=1e-5)


def test_noise_and_black_and_white(network):
    """With a preset the noise is a share of its range, and the picture is cut off there."""
    seen = Network.from_layers(list(network.layers.values()), preset="torchvision-straight")
    tape = seen.forward(np.full((8, 8, 3), 240, np.uint8), size=(8, 8))
    black, white = (np.float32(each)[:, None, None] for each in seen.preset.bounds)
    cut = measures._noise._noisy(tape, 0.5, 0, slice(0, 1), True)[0]
    whole = measures._noise._noisy(tape, 0.5, 0, slice(0, 1), False)[0]
    noise = (whole - tape.input[0]) / (white - black)
    expected = np.random.default_rng((0, 0)).standard_normal((3, 8, 8))
    np.testing.assert_allclose(noise, 0.5 * expected, atol=1e-5)
    np.testing.assert_array_equal(cut, np.clip(whole, black, white))
    found = measures.noise_robustness(tape, "grad_cam", sigmas=[0.5], samples=2)
    assert found.unit == "from black to white" and found.pointing is None
    assert found.examples[0].picture.shape == (8, 8, 3)


def test_findings_of_noise(tape):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = measures.noise_robustness(
            *(tape, "grad_cam", "nothing"), sigmas=[1, 0], samples=2, region=(0, 0, 9, 9)
        )
    assert not found.pointing[1].any() and np.isnan(found.mean_correlations).all()
    assert found.finding.startswith("Grad-CAM, nothing: with noise of 1, the probability is ")
    assert "all maps are flat" in found.finding
    left = measures.noise_robustness(tape, "grad_cam", sigmas=[0], samples=2)
    assert left.finding.endswith(
        "the rank correlation of the maps is 1.00 and the top class stays in 100.0 % of the "
        "pictures"
    )


def test_wrong_arguments_of_noise(tape):
    for sigmas in ([], [-1], [np.nan]):
        with pytest.raises(ValueError, match="sigmas: "):
            measures.noise_robustness(tape, "grad_cam", sigmas=sigmas)
    for sigmas in (None, 0.1, "0.1", (each for each in (0.1,))):
        with pytest.raises(TypeError, match="sigmas: expected a list of numbers"):
            measures.noise_robustness(tape, "grad_cam", sigmas=sigmas)
    for tolerance, error in (("x", TypeError), (np.nan, ValueError), (-3, ValueError)):
        with pytest.raises(error, match="tolerance: expected a number"):
            measures.noise_robustness(tape, "grad_cam", tolerance=tolerance)
    with pytest.raises(TypeError, match="clip: expected True or False"):
        measures.noise_robustness(tape, "grad_cam", clip="no")
    with pytest.raises(TypeError, match="sigmas: expected a number, got '1'"):
        measures.noise_robustness(tape, "grad_cam", sigmas=["1"])
    with pytest.raises(ValueError, match="samples"):
        measures.noise_robustness(tape, "grad_cam", samples=0)


@pytest.mark.slow
def test_the_figure_of_noise(tape):
    figure = measures.noise_robustness(tape, "grad_cam", sigmas=[0.1, 0, 1], samples=2).plot()
    words = [text.get_text().split("\n")[0] for ax in figure.axes[:-1] for text in ax.texts]
    assert words == ["noise 0", "noise 0.1", "noise 1"]
