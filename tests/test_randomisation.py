"""Random weights, and what remains of a map; structural similarity."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import replace

import nets
import numpy as np
import pytest

import gradcam
from gradcam import Layer, Network, measures


def convolution(rng, name, out, channels):
    weights = {"weight": nets.kernel(rng, out, channels, 3, 3), "bias": nets.normal(rng, out)}
    return Layer(name, "conv", weights=weights, attributes={"padding": 1}, aliases=(f"{name}_0",))


def network(conv="winograd"):
    """Weights of every kind: convolutions, a scale, slopes, float16 and bfloat16 matrices."""
    rng = np.random.default_rng(3)
    return Network.from_layers(
        [
            convolution(rng, "one", 9, 3),
            Layer("slopes", "prelu", weights={"weight": nets.normal(rng, 9)}),
            Layer("scale", "affine", weights={"scale": nets.normal(rng, 9), "shift": np.zeros(9)}),
            convolution(rng, "two", 10, 9),
            Layer("relu", "relu"),
            Layer("pool", "max_pool", attributes={"kernel": 2}),
            Layer("flat", "flatten"),
            *(
                Layer(
                    name,
                    "linear",
                    weights={"weight": nets.kernel(rng, out, size), "bias": nets.normal(rng, out)},
                    attributes={"dtype": dtype},
                )
                for name, out, size, dtype in (
                    ("half", 12, 640, "float16"),
                    ("brain", 7, 12, "bfloat16"),
                )
            ),
            Layer("prob", "softmax"),
        ],
        conv=conv,
    )


@pytest.fixture(scope="module")
def trained():
    return network()


@pytest.fixture(scope="module")
def tape(trained):
    return trained.forward(nets.normal(np.random.default_rng(4), 3, 16, 16))


def test_initial_weights(trained):
    made = measures.randomised(trained)
    kernel = made.layers["two"].weights["weight"]
    assert kernel.std() == pytest.approx((2 / 81) ** 0.5, rel=0.1)
    assert abs(kernel.mean()) < 0.02
    assert not made.layers["two"].weights["bias"].any()
    np.testing.assert_array_equal(made.layers["slopes"].weights["weight"], np.float32(0.25))
    np.testing.assert_array_equal(made.layers["scale"].weights["scale"], 1)
    assert made.layers["half"].weights["weight"].dtype == np.float16
    assert made.layers["brain"].weights["weight"].dtype == np.uint16
    assert made.target_layer == trained.target_layer and made.labels == trained.labels


def test_normal_and_permuted_weights(trained):
    normal = measures.randomised(trained, "half", draw="normal").layers["half"].weights["weight"]
    old = np.float32(trained.layers["half"].weights["weight"])
    assert np.float32(normal).std() == pytest.approx(old.std(), rel=0.05)
    permuted = measures.randomised(trained, ["one", "brain"], draw="permuted")
    for name, key in (("one", "weight"), ("one", "bias"), ("brain", "weight")):
        new, old = permuted.layers[name].weights[key], trained.layers[name].weights[key]
        assert not np.array_equal(new, old)
        np.testing.assert_array_equal(np.sort(new, None), np.sort(old, None))


def test_other_layers_stay_and_draws_do_not_depend_on_them(trained, tape):
    one = measures.randomised(trained, "two_0", seed=5)  # an alias
    both = measures.randomised(trained, ["two", "half"], seed=5)
    for key, values in one.layers["two"].weights.items():
        np.testing.assert_array_equal(values, both.layers["two"].weights[key])
    assert one.layers["half"].weights["weight"] is trained.layers["half"].weights["weight"]
    other = measures.randomised(trained, "two", seed=6)
    scores = [each.forward(tape.input[0]).scores for each in (trained, one, other)]
    assert abs(scores[0] - scores[1]).max() > 1e-3 and abs(scores[1] - scores[2]).max() > 1e-3
    np.testing.assert_array_equal(trained.forward(tape.input[0]).scores, tape.scores)


def test_a_folded_network_stays_as_it_runs():
    """A convolution computed by its definition stays so, and names of layers stay."""
    exact = measures.randomised(network("direct"))
    assert exact.layers["two"].attributes["exact"] is True
    assert exact.names("two") == ("two", "two_0")


def test_wrong_arguments_of_randomised(trained):
    with pytest.raises(ValueError, match="'relu' has no weights; the layers with weights are one"):
        measures.randomised(trained, "relu")
    with pytest.raises(ValueError, match="no layer is called 'three'"):
        measures.randomised(trained, ["three"])
    with pytest.raises(ValueError, match="layers: an empty list"):
        measures.randomised(trained, [])
    with pytest.raises(ValueError, match="draw: expected 'initial' or"):
        measures.randomised(trained, draw="uniform")
    with pytest.raises(ValueError, match="seed"):
        measures.randomised(trained, seed=-1)
    with pytest.raises(TypeError, match="expected a Network, got list"):
        measures.randomised([])


def test_the_cascade_is_of_the_randomised_networks(trained, tape):
    found = measures.cascading_randomisation(tape, "saliency", 2, seed=7)
    assert found.layers == ("brain", "half", "two", "one") and found.counts == (1, 1, 1, 3)
    names = ["brain", "half", "two", "scale", "slopes", "one"]
    clean = tape.saliency(2)
    for k, count in enumerate((1, 2, 3, 6)):
        made = measures.randomised(trained, names[:count], seed=7)
        again = made.forward(tape.input[0], input="normalised").saliency(2)
        np.testing.assert_array_equal(again.raw, found.explanations[k].raw)
        assert found.correlations[k] == measures.spearman(clean.evidence, again.evidence)
        assert found.signed_correlations[k] == measures.spearman(clean.raw, again.raw)
    assert found.trained == clean and found.trained.origin is None


def test_independent_stages(trained, tape):
    found = measures.cascading_randomisation(
        tape, "grad_cam", "class_2", independent=True, stages=["half", "scale"]
    )
    assert found.layers == ("half", "scale") and found.counts == (2, 2)
    made = measures.randomised(trained, ["two", "scale"]).forward(tape.input[0], input="normalised")
    np.testing.assert_array_equal(made.grad_cam(2).raw, found.explanations[1].raw)


def test_stages_are_merged_and_survival_counts_layers(tape):
    found = measures.cascading_randomisation(tape, "saliency", stages=2)
    assert found.layers == ("half", "one") and found.counts == (2, 4)
    many = measures.cascading_randomisation(tape, "saliency", stages=9)
    assert many.counts == (1, 1, 1, 3)
    level = many.correlations
    assert many.survives(level[:3].min()) and not many.survives(level[:3].min() + 1e-6)
    assert many.survives(level.min(), share=1)
    with pytest.raises(ValueError, match="share: expected a number above 0"):
        many.survives(share=0)
    with pytest.raises(ValueError, match="correlation: expected a number from -1 to 1, got nan"):
        many.survives(np.nan)
    for wrong in ({"correlation": "x"}, {"share": "x"}):
        with pytest.raises(TypeError, match="expected a number, got 'x'"):
            many.survives(**wrong)


def test_findings(tape):
    found = measures.cascading_randomisation(tape, "saliency", 2, stages=4)
    like = replace(found, correlations=np.array([0.9, 0.8, 0.7, -0.1]))
    assert like.survives() and like.finding == (
        "Simonyan saliency, class 2: the map survives. With random weights in the 3 layers down to "
        "two its rank correlation with the trained network's is still 0.70: it shows the picture "
        "more than what was learnt"
    )
    unlike = replace(found, correlations=np.array([0.9, np.nan, 0.7, 0.7]), independent=True)
    assert not unlike.survives() and unlike.finding.endswith(
        "with random weights in half alone the rank correlation with the trained network's map is "
        "not defined (a flat map): the map depends on what was learnt"
    )


@pytest.mark.slow
def test_the_figure(tape):
    found = measures.cascading_randomisation(tape, "saliency", 2, stages=4)
    found = replace(found, correlations=np.array([0.9, np.nan, 0.7, -0.7]))
    figure = found.plot()
    assert len(figure.axes) == 6  # trained, four stages, the lines
    assert [text.get_text() for text in figure.axes[2].texts] == ["to half\nflat"]


def test_a_flat_map_is_not_compared():
    """No unit of the layer is active: the trained network's map is zero."""
    flat = Network.from_layers(
        [
            Layer("conv", "conv", weights={"weight": np.zeros((3, 3, 1, 1)), "bias": -np.ones(3)}),
            Layer("relu", "relu"),
            Layer("mean", "global_average_pool"),
            Layer("scores", "flatten"),
        ]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tape = flat.forward(np.ones((3, 12, 12), np.float32))
        found = measures.cascading_randomisation(tape, "grad_cam", 1)
        assert np.isnan(found.correlations).all() and np.isnan(found.similarities).all()
        assert "the map of the trained network is flat" in found.finding and not found.survives()


@pytest.mark.parametrize("rounding", [0, 1e-7])
def test_a_map_of_one_value_is_flat(tape, rounding):
    """Also if it is not zero, and the values differ by rounding."""
    found = measures.cascading_randomisation(tape, "grad_cam", 2, stages=1)
    raw = np.full(found.trained.raw.shape, 0.5, np.float32)
    raw[0, 0] += np.float32(rounding)
    flat = replace(found, trained=replace(found.trained, raw=raw))
    assert flat.trained.evidence.any()
    assert "the map of the trained network is flat" in flat.finding


def test_wrong_arguments_of_the_cascade(tape):
    with pytest.raises(TypeError, match="stages: expected a number or a list"):
        measures.cascading_randomisation(tape, "saliency", stages="two")
    with pytest.raises(ValueError, match="stages: expected 1 or more"):
        measures.cascading_randomisation(tape, "saliency", stages=0)
    with pytest.raises(ValueError, match="an empty list of layers"):
        measures.cascading_randomisation(tape, "saliency", stages=[])
    with pytest.raises(ValueError, match="got a list"):
        measures.cascading_randomisation(tape, "saliency", [1, 2])
    with pytest.raises(TypeError, match="no layer can be chosen for saliency"):
        measures.cascading_randomisation(tape, "saliency", layer="two")
    with pytest.raises(TypeError, match="a layer is given by its name"):
        measures.cascading_randomisation(tape, "grad_cam", layer=5)
    with pytest.raises(TypeError, match="independent: expected True or False"):
        measures.cascading_randomisation(tape, "saliency", independent="no")
    with pytest.raises(ValueError, match="no method is called 'salience'"):
        measures.cascading_randomisation(tape, "salience")


def test_structural_similarity_of_a_window():
    """One window: the formula with the weights of a Gaussian, in plain NumPy."""
    rng = np.random.default_rng(0)
    a, b = rng.uniform(size=(2, 11, 11))
    g = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    w = np.outer(g, g) / g.sum() ** 2
    ma, mb = (w * a).sum(), (w * b).sum()
    va, vb = (w * (a - ma) ** 2).sum(), (w * (b - mb) ** 2).sum()
    covariance = (w * (a - ma) * (b - mb)).sum()
    c1, c2 = 0.01**2, 0.03**2
    expected = (2 * ma * mb + c1) * (2 * covariance + c2)
    expected /= (ma**2 + mb**2 + c1) * (va + vb + c2)
    assert measures.structural_similarity(a, b) == pytest.approx(expected, abs=1e-12)
    assert measures.structural_similarity(a, a) == pytest.approx(1)
    scaled = measures.structural_similarity(7 * a, 7 * b, range=7)
    assert scaled == pytest.approx(expected, abs=1e-12)
    with pytest.raises(ValueError, match="at least 11 x 11"):
        measures.structural_similarity(a[1:], b[1:])
    with pytest.raises(ValueError, match="range"):
        measures.structural_similarity(a, b, range=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["convnext_tiny", "resnet18", "densenet121", "mobilenet_v3_small"])
def test_every_network_can_be_randomised(name):
    """With folded and other batch normalisations; the result is pickled like any network."""
    network = getattr(gradcam, name)(weights=None)
    picture = nets.normal(np.random.default_rng(0), 3, 64, 64)
    made = measures.randomised(network, seed=3)
    before, after = (each.forward(picture, input="normalised").scores for each in (network, made))
    assert not np.array_equal(before, after)
    again = pickle.loads(pickle.dumps(made)).forward(picture, input="normalised").scores
    np.testing.assert_array_equal(again, after)
    found = measures.cascading_randomisation(
        network.forward(picture, input="normalised"), "saliency", stages=3
    )
    weights = sum(bool(layer.weights) for layer in network.layers.values())
    assert sum(found.counts) == weights and len(found.layers) == 3
    assert np.isfinite(found.correlations).all()
