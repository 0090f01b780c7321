"""The family of class activation maps against the float64 twin, and what it refuses."""

from __future__ import annotations

import nets
import numpy as np
import pytest
import reference
import reference_cams
import vggs
from helpers import largest_difference

import gradcam
from gradcam import Layer, Network
from gradcam._methods import cam_scores, full_grad

FAMILY = [row.name for row in gradcam._methods.cam_family.ROWS] + ["grad_cam_plus_plus"]
DIVIDED_BY_SUMS = ("x_grad_cam", "grad_cam_plus_plus")
"""Sums of maps with negative and positive values can be close to zero."""

CLASSES = [1, 3]
LIMIT = 1e-5


def features(rng: np.random.Generator) -> list[Layer]:
    """Two convolutions with ReLUs; channel 2 of the first is zero for every picture."""
    bias = nets.normal(rng, 6, scale=0.3)
    bias[2] = -100
    first = {"weight": nets.kernel(rng, 6, 3, 3, 3), "bias": bias}
    second = {"weight": nets.kernel(rng, 9, 6, 3, 3), "bias": nets.normal(rng, 9, scale=0.3)}
    return [
        Layer("conv1", "conv", (), first, {"padding": 1}),
        Layer("relu1", "relu"),
        Layer("pool1", "max_pool", (), {}, {"kernel": 2}),
        Layer("conv2", "conv", (), second, {"padding": 1}),
        Layer("relu2", "relu"),
    ]


def linear(rng, name, out, width, **attributes):
    weights = {"weight": nets.kernel(rng, out, width), "bias": nets.normal(rng, out, scale=0.3)}
    return Layer(name, "linear", (), weights, attributes)


def with_fully_connected(seed: int = 0, **attributes) -> list[Layer]:
    rng = np.random.default_rng(seed)
    return [
        *features(rng),
        Layer("pool2", "max_pool", (), {}, {"kernel": 2}),
        Layer("flatten", "flatten"),
        linear(rng, "fc1", 7, 9 * 12, **attributes),
        Layer("relu3", "relu"),
        linear(rng, "fc2", 5, 7),
        Layer("prob", "softmax"),
    ]


def with_global_pooling(seed: int = 0, pooling: str = "global_average_pool") -> list[Layer]:
    rng = np.random.default_rng(seed)
    return [
        *features(rng),
        Layer("pool", pooling),
        Layer("flatten", "flatten"),
        Layer("drop", "dropout"),
        linear(rng, "fc", 5, 9),
        Layer("prob", "softmax"),
    ]


class Both:
    """A network and its twin on the same pictures; the twin takes the network's decisions."""

    def __init__(self, layers: list[Layer], scores: str):
        self.layers = layers
        self.twin, self.numbers = reference_cams.build(layers)
        x = nets.normal(np.random.default_rng(5), 2, 3, 16, 12)
        relus = [layer.name for layer in layers if layer.op == "relu"]
        network = Network.from_layers(layers)
        self.scores = self.numbers[scores]
        self.tape = network.forward(x, keep=relus)
        self.record = self.record_of(self.tape, relus)

    def record_of(self, forward, relus=("relu1", "relu2", "relu3")) -> reference.Record:
        decisions = {self.numbers[name]: forward.activation(name) for name in relus}
        return self.twin.forward(forward.input, decisions)

    def maps_and_gradients(self, layer: str, index: int, record=None):
        record = record or self.record
        number = self.numbers[layer]
        seeds = reference.class_seeds(record, self.scores, [index] * len(record.outputs[0]))
        return record.outputs[number], record.backward(self.scores, seeds, [number])[0][0]

    def check(self, method: str, layer: str, expected, **options) -> None:
        """Compare raw values of both classes for both pictures, relative to the largest."""
        found = self.tape.explain(method, [CLASSES] * 2, layer=layer, **options)
        for n, explanations in enumerate(found):
            for index, explanation in zip(CLASSES, explanations, strict=True):
                difference = largest_difference(explanation.raw, expected(index)[n])
                assert difference <= LIMIT, (n, index, difference)


@pytest.fixture(scope="module")
def connected():
    return Both(with_fully_connected(), "fc2")


@pytest.fixture(scope="module")
def pooled():
    return Both(with_global_pooling(), "fc")


# --- gradients ---


@pytest.mark.parametrize(
    ("method", "layer"),
    [
        (method, layer)
        for method in FAMILY
        for layer in ("conv1", "relu1", "relu2", "pool2")
        if layer != "conv1" or method not in DIVIDED_BY_SUMS
    ],
)
def test_the_table(method, layer, connected):
    twin = getattr(reference_cams, method)
    connected.check(method, layer, lambda index: twin(*connected.maps_and_gradients(layer, index)))


def test_grad_cam_plus_plus_of_the_paper(connected):
    def twin(index):
        return reference_cams.grad_cam_plus_plus(
            *connected.maps_and_gradients("relu2", index), epsilon=0
        )

    connected.check("grad_cam_plus_plus", "relu2", twin, epsilon=0.0)


def test_any_objective(connected):
    """HiResCAM is linear in the objective."""
    first, second = (each.raw for each in connected.tape.hires_cam([[1, 3], 0])[0])
    difference, _ = connected.tape.hires_cam(gradcam.Difference(1, 3))
    np.testing.assert_allclose(difference.raw, first - second, atol=1e-6)
    unit, _ = connected.tape.layer_cam(gradcam.Unit("relu3", 2))
    assert unit.label == "unit 2 of relu3" and unit.raw.shape == (8, 6)


def test_the_sign_of_eigen_cam(connected):
    maps = connected.tape.activation("relu2")
    for n, (one, other) in enumerate(connected.tape.eigen_cam([CLASSES] * 2)):
        np.testing.assert_array_equal(one.raw, other.raw)
        assert np.corrcoef(one.raw.ravel(), maps[n].sum(0).ravel())[0, 1] > 0


@pytest.mark.parametrize("gradient", ["signed", "absolute"])
@pytest.mark.parametrize("pooling", ["mean", "max"])
@pytest.mark.parametrize("rule", ["gradient", "guided", "deconvnet"])
def test_the_ablations_of_the_paper(gradient, pooling, rule, connected):
    def twin(index):
        maps = connected.record.outputs[connected.numbers["relu1"]]
        seeds = reference.class_seeds(connected.record, connected.scores, [index] * 2)
        number = connected.numbers["relu1"]
        (g,) = connected.record.backward(connected.scores, seeds, [number], rule)[0]
        g = np.abs(g) if gradient == "absolute" else g
        weights = g.mean((2, 3)) if pooling == "mean" else g.max((2, 3))
        return reference_cams.weighted(weights, maps)

    options = {"gradient": gradient, "pooling": pooling, "rule": rule}
    connected.check("grad_cam", "relu1", twin, **options)


def test_without_relu_all_values_are_shown(connected):
    plain, _ = connected.tape.grad_cam(1)
    found, _ = connected.tape.grad_cam(1, relu=False)
    np.testing.assert_array_equal(found.raw, plain.raw)
    assert (found.view, plain.view) == ("range", "map")
    assert found.evidence.max() == found.raw.max() - found.raw.min() > plain.evidence.max()


def test_smooth_grad_cam_plus_plus(connected):
    tape, samples, level = connected.tape, 3, 0.2
    found = tape.smooth_grad_cam_plus_plus(
        CLASSES[0], layer="relu2", samples=samples, noise=level, seed=4
    )
    for n, picture in enumerate(tape.input):
        deviation = level * (picture.max() - picture.min())
        copies = np.stack(
            [
                picture
                + deviation
                * np.random.default_rng((4, i)).standard_normal(picture.shape, np.float32)
                for i in range(samples)
            ]
        )
        record = connected.record_of(tape.run(copies, keep=["relu1", "relu2", "relu3"]))
        _, g = connected.maps_and_gradients("relu2", CLASSES[0], record)
        maps = connected.record.outputs[connected.numbers["relu2"]][n][None]
        powers = [(g**p).mean(0)[None] for p in (1, 2, 3)]
        weights = reference_cams.plus_plus_weights(maps, *powers, 1e-6)
        assert largest_difference(found[n].weights, weights[0]) <= LIMIT
        assert largest_difference(found[n].raw, reference_cams.weighted(weights, maps)[0]) <= LIMIT


def test_smooth_grad_cam_plus_plus_without_noise_is_grad_cam_plus_plus(connected):
    options = {"samples": 2, "noise": 0.0}
    pairs = zip(
        connected.tape.smooth_grad_cam_plus_plus(3, **options),
        connected.tape.grad_cam_plus_plus(3),
        strict=True,
    )
    for smooth, plain in pairs:
        np.testing.assert_allclose(smooth.raw, plain.raw, rtol=1e-6, atol=1e-7)


def test_smooth_grad_cam_plus_plus_notes_its_error(connected):
    tape, options = connected.tape, {"samples": 4, "seed": 2}
    (note,) = tape.smooth_grad_cam_plus_plus(3, **options)[0].notes
    assert "4 random samples (seed 2)" in note
    assert note.endswith("% of the largest value of the mean gradient.")
    constant = Network.from_layers(connected.layers).forward(np.ones((3, 16, 12), np.float32))
    notes = constant.smooth_grad_cam_plus_plus(3, **options).notes
    assert any("no noise was added" in note for note in notes)


def test_the_noise_does_not_depend_on_the_batch(connected):
    found = [
        connected.tape.smooth_grad_cam_plus_plus(3, samples=5, batch=batch)[1].raw
        for batch in (2, 5)
    ]
    np.testing.assert_allclose(*found, rtol=1e-5)


# --- scores ---


@pytest.mark.parametrize("layer", ["relu1", "relu2"])
def test_score_cam(layer, connected):
    def twin(index):
        number = connected.numbers[layer]
        weights = reference_cams.score_weights(connected.record, number, connected.scores, index)
        return reference_cams.weighted(weights, connected.record.outputs[number])

    connected.check("score_cam", layer, twin, batch=4)


def test_score_cam_computes_flat_channels_once(monkeypatch, connected):
    counts = []
    run = type(connected.tape).run

    def counted(self, input, *arguments, **options):
        counts.append(len(input))
        return run(self, input, *arguments, **options)

    monkeypatch.setattr(type(connected.tape), "run", counted)
    maps = connected.tape.activation("relu1")
    maps = maps.reshape(*maps.shape[:2], -1)
    flat = (maps.min(2) == maps.max(2)).sum(1)
    assert flat.all()
    connected.tape.score_cam(1, layer="relu1", batch=100)
    assert counts == [count for each in flat for count in (6 - each, 1)]


@pytest.mark.parametrize("layer", ["conv1", "relu1", "relu2", "pool2"])
def test_ablation_cam(layer, connected):
    def twin(index):
        number = connected.numbers[layer]
        weights = reference_cams.ablation_weights(connected.record, number, connected.scores, index)
        return reference_cams.weighted(weights, connected.record.outputs[number])

    connected.check("ablation_cam", layer, twin, batch=4)


def smooth_between(seed: int = 0) -> list[Layer]:
    """Operations on single channels, for which an input of zero gives other values than zero."""
    rng = np.random.default_rng(seed)
    scale = {"scale": 1 + nets.normal(rng, 9), "shift": nets.normal(rng, 9)}
    return [
        *features(rng),
        Layer("norm", "affine", (), scale),
        Layer("sigmoid", "sigmoid"),
        Layer("pool2", "average_pool", (), {}, {"kernel": 2}),
        Layer("flatten", "flatten"),
        linear(rng, "fc2", 5, 9 * 12),
    ]


CHAINS = {
    "fully connected": with_fully_connected,
    "float16": lambda: with_fully_connected(dtype="float16"),
    "bfloat16": lambda: with_fully_connected(dtype="bfloat16"),
    "global pooling": with_global_pooling,
    "global maximum": lambda: with_global_pooling(pooling="global_max_pool"),
    "other operations": smooth_between,
}


@pytest.mark.parametrize("chain", CHAINS)
def test_ablation_cam_by_one_product_with_the_linear_layer(chain, monkeypatch):
    x = nets.normal(np.random.default_rng(6), 3, 16, 12)
    network = Network.from_layers(CHAINS[chain]())
    starts = []
    run_from = gradcam.Tape.run_from

    def recorded(self, layer, *arguments, **options):
        starts.append(layer)
        return run_from(self, layer, *arguments, **options)

    monkeypatch.setattr(gradcam.Tape, "run_from", recorded)
    fast = network.forward(x).ablation_cam([1, 3], layer="relu2")
    first = "fc1" if "fc1" in network.layers else "fc" if "fc" in network.layers else "fc2"
    assert starts == ["relu2", first]
    monkeypatch.setattr(cam_scores, "_linear_above", lambda graph, layer: None)
    slow = network.forward(x).ablation_cam([1, 3], layer="relu2")
    assert starts[2:] == ["relu2"]
    for one, other in zip(fast, slow, strict=True):
        assert largest_difference(one.weights, other.weights) <= LIMIT


def test_ablation_cam_of_objectives_between(connected):
    """A unit below the linear layer cannot be read from a pass that starts there."""
    found, _ = connected.tape.ablation_cam(gradcam.Unit("pool2", 4), layer="relu2")
    assert np.flatnonzero(found.weights).tolist() == [4]
    score = connected.tape.activation("pool2")[0, 4].mean()
    assert found.weights[4] == pytest.approx(score) and found.score == pytest.approx(score)
    with pytest.raises(ValueError, match=r"reads 'relu1', which 'relu2' does not change"):
        connected.tape.ablation_cam(gradcam.Unit("relu1", 4), layer="relu2")


@pytest.mark.parametrize(
    "method",
    [
        *("grad_cam", "counterfactual", "guided_grad_cam", "layer_cam", "grad_cam_plus_plus"),
        *("smooth_grad_cam_plus_plus", "excitation_backprop", "contrastive_excitation_backprop"),
    ],
)
def test_a_term_that_the_layer_does_not_change_is_refused(method, connected):
    both = gradcam.Class(1) + gradcam.Unit("relu1", 4)
    for objective in (gradcam.Unit("relu1", 4), both):
        with pytest.raises(ValueError, match=r"reads 'relu1', which 'relu2' does not change"):
            connected.tape.explain(method, objective, layer="relu2")


def test_a_layer_beside_the_explained_one_is_refused():
    layers = with_fully_connected()
    layers[5:5] = [Layer("beside", "relu", ("conv2",)), Layer("sum", "add", ("beside", "relu2"))]
    tape = Network.from_layers(layers).forward(nets.normal(np.random.default_rng(6), 3, 16, 12))
    with pytest.raises(ValueError, match=r"reads 'beside', which 'relu2' does not change"):
        tape.grad_cam(gradcam.Unit("beside", 1), layer="relu2")
    assert tape.grad_cam(1, layer="relu2").raw.any()


@pytest.mark.filterwarnings("ignore::gradcam.FlatMapWarning")
def test_a_unit_that_does_not_fire_is_noted(connected):
    silent = gradcam.Unit("relu1", 2)
    found, _ = connected.tape.saliency(silent)
    assert found.notes == ("The unit 2 of relu1 does not fire on this picture: its value is 0.",)
    assert not connected.tape.saliency(gradcam.Unit("relu1", 1))[0].notes


def test_ablation_cam_needs_a_layer_that_everything_above_reads_through():
    layers = with_fully_connected()
    layers[5:5] = [Layer("sum", "add", ("conv2", "relu2"))]
    tape = Network.from_layers(layers).forward(nets.normal(np.random.default_rng(6), 3, 16, 12))
    assert tape.ablation_cam(1, layer="sum").raw.shape == (8, 6)
    with pytest.raises(ValueError, match=r"reads layer conv2.*choose a layer through which"):
        tape.ablation_cam(1, layer="relu2")


def test_ablation_cam_of_a_negative_score(connected):
    plain, _ = connected.tape.ablation_cam(1)
    negated, _ = connected.tape.ablation_cam(-1 * gradcam.Class(1))
    np.testing.assert_allclose(negated.weights, -plain.weights, rtol=1e-5)


# --- CAM ---


@pytest.mark.parametrize("pooling", ["global_average_pool", "adaptive_average_pool"])
def test_cam_is_grad_cam_times_the_positions(pooling):
    layers = with_global_pooling(pooling="global_average_pool")
    if pooling == "adaptive_average_pool":
        layers[5] = Layer("pool", pooling, (), {}, {"size": 1})
    tape = Network.from_layers(layers).forward(nets.normal(np.random.default_rng(6), 3, 16, 12))
    found, grad_cam = tape.cam(2), tape.grad_cam(2, layer="relu2")
    np.testing.assert_array_equal(found.weights, layers[8].weights["weight"][2])
    np.testing.assert_allclose(found.raw, 48 * grad_cam.raw, rtol=1e-5, atol=1e-6)
    assert (found.layer, found.raw.shape) == ("relu2", (8, 6))
    twin, numbers = reference_cams.build(layers)
    maps = twin.forward(tape.input).outputs[numbers["relu2"]]
    weights = np.asarray(layers[8].weights["weight"], np.float64)[[2]]
    assert largest_difference(found.raw, reference_cams.weighted(weights, maps)[0]) <= LIMIT


def test_cam_of_vgg16_gap():
    tensors = {k: v for k, v in vggs.tensors().items() if k.startswith("features")}
    rng = np.random.default_rng(2)
    tensors["CAM_conv.weight"] = nets.kernel(rng, 40, 32, 3, 3)
    tensors["CAM_fc.weight"] = nets.kernel(rng, 10, 40)
    tensors |= {"CAM_conv.bias": nets.normal(rng, 40), "CAM_fc.bias": nets.normal(rng, 10)}
    tape = gradcam.vgg16_gap(tensors).forward(nets.normal(rng, 3, 48, 32))
    found, grad_cam = tape.cam(7), tape.grad_cam(7)
    np.testing.assert_array_equal(found.weights, tensors["CAM_fc.weight"][7])
    assert largest_difference(found.raw, 6 * grad_cam.raw) <= LIMIT
    assert found.layer == "CAM_relu"


def test_cam_of_an_average_pooling_over_everything():
    layers = with_global_pooling()
    layers[5] = Layer("pool", "average_pool", (), {}, {"kernel": (8, 6)})
    x = nets.normal(np.random.default_rng(6), 3, 16, 12)
    plain = Network.from_layers(with_global_pooling()).forward(x).cam(2)
    found = Network.from_layers(layers).forward(x).cam(2)
    np.testing.assert_allclose(found.raw, plain.raw, rtol=1e-5, atol=1e-6)


def test_cam_of_a_convolution_of_the_means():
    layers, x = with_global_pooling(), nets.normal(np.random.default_rng(6), 3, 16, 12)
    weights = dict(layers[8].weights)
    plain = Network.from_layers(layers).forward(x).cam(2)
    weights["weight"] = weights["weight"][:, :, None, None]
    layers[6:9] = [Layer("conv", "conv", (), weights), Layer("out", "flatten")]
    found = Network.from_layers(layers).forward(x).cam(2)
    np.testing.assert_allclose(found.raw, plain.raw, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        (with_fully_connected(), r"'fc2' reads 'relu3' \(relu\)"),
        (with_global_pooling(pooling="global_max_pool"), r"reads 'pool' \(global_max_pool\)"),
        ([*features(np.random.default_rng(0)), Layer("g", "global_average_pool"),
          Layer("out", "flatten")], r"scores are the output of 'g' \(global_average_pool\)"),
    ],
)  # fmt: skip
def test_cam_says_why_not_and_names_grad_cam(layers, reason):
    tape = Network.from_layers(layers).forward(nets.normal(np.random.default_rng(6), 3, 16, 12))
    with pytest.raises(ValueError, match=f"CAM needs .*{reason}.*Use grad_cam"):
        tape.cam(1)
    with pytest.raises(TypeError, match="no layer can be chosen for cam"):
        tape.cam(1, layer="relu2")


# --- FullGrad ---


def test_full_grad(connected):
    for index in CLASSES:
        names = ["input", "conv1", "conv2"]
        gradients = [connected.maps_and_gradients(name, index) for name in names]
        biases = [layer.weights["bias"][:, None, None] for layer in connected.layers if
                  layer.op == "conv"]  # fmt: skip
        terms = [gradients[0][0] * gradients[0][1]]
        terms += [bias * g for bias, (_, g) in zip(biases, gradients[1:], strict=True)]
        expected = reference_cams.full_grad(terms, (16, 12))
        for n, found in enumerate(connected.tape.full_grad(index)):
            assert largest_difference(found.raw, expected[n]) <= LIMIT
            assert found.layer == "input" and not found.notes


@pytest.mark.parametrize("head", [with_fully_connected, with_global_pooling])
def test_full_grad_adds_up_to_the_score(head):
    """Also with a batch normalisation that is folded, and one that is not."""
    rng = np.random.default_rng(8)
    layers = head()

    def norm(name, size):
        values = {key: 1 + nets.normal(rng, size, scale=0.2) for key in ("weight", "running_var")}
        values |= {key: nets.normal(rng, size, scale=0.2) for key in ("bias", "running_mean")}
        return Layer(name, "batch_norm", (), values)

    layers[4:4] = [norm("folded", 9)]
    layers[3:3] = [norm("kept", 6)]
    tape = Network.from_layers(layers).forward(nets.normal(rng, 2, 3, 16, 12))
    asked = tape.ask([[1, 3], [2]])
    first = dict(full_grad.contributions(tape, asked, 0))
    assert {"input", "conv1", "kept", "folded"} < set(first)
    for s, score in enumerate((tape.scores[[0, 1], [1, 2]], tape.scores[[0], [3]])):
        terms = [values for _, values in full_grad.contributions(tape, asked, s)]
        total = sum(each.reshape(2, -1).sum(1, dtype=np.float64) for each in terms)
        np.testing.assert_allclose(total[: len(score)], score, rtol=2e-5, atol=2e-5)


def test_full_grad_names_what_it_does_not_show():
    layers = with_fully_connected()
    layers[4] = Layer("relu2", "relu6")
    tape = Network.from_layers(layers).forward(nets.normal(np.random.default_rng(6), 3, 16, 12))
    assert "what relu6 layers add is not shown" in tape.full_grad(1).notes[0]
    probability = tape.full_grad(1, on="probability").notes[0]
    assert "what relu6, softmax layers add" in probability


# --- several layers ---


def test_several_layers_are_averaged(connected):
    names = ["relu1", "pool1", "relu2"]
    single = [connected.tape.layer_cam(CLASSES, layer=name) for name in names]
    for n, found in enumerate(connected.tape.layer_cam(CLASSES, layer=names)):
        maps = [np.maximum(each[n].raw, 0) for each in single]
        maps = [reference.resize(reference.normalise(each), (16, 12)) for each in maps]
        np.testing.assert_allclose(found.raw, np.mean(maps, 0), atol=1e-6)
        assert (found.layer, found.weights) == ("relu1, pool1, relu2", None)
        assert "strengths of classes cannot be compared" in found.caption
    alone, _ = connected.tape.grad_cam(1, layer=["relu1"])
    np.testing.assert_array_equal(alone.raw, connected.tape.grad_cam(1, layer="relu1")[0].raw)


def test_compare_averages_layers_too(connected):
    tape = Network.from_layers(connected.layers).forward(connected.tape.input[0])
    figure = gradcam.compare(tape, [1], methods=["layer_cam"], layer=["relu1", "relu2"])
    assert len(figure.axes) == 3  # the picture, one map and the colour bar
    assert "mean of relu1, relu2" in [text.get_text() for text in figure.axes[1].texts]
    with pytest.raises(ValueError, match="has no effect on saliency"):
        gradcam.compare(tape, [1], methods=["saliency"], layer=["relu1", "relu2"])


def test_layers_that_cannot_be_averaged_are_refused(connected):
    tape = connected.tape
    with pytest.raises(ValueError, match="guided_grad_cam has the view 'signed'"):
        tape.guided_grad_cam(1, layer=["relu1", "relu2"])
    with pytest.raises(ValueError, match="with these options, maps of several layers cannot"):
        tape.grad_cam(1, layer=["relu1", "relu2"], relu=False)
    with pytest.raises(ValueError, match="empty list of layers"):
        tape.grad_cam(1, layer=[])


# --- what is refused ---


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("grad_cam", {"gradient": "squared"}, "gradient: expected 'signed' or 'absolute'"),
        ("grad_cam", {"pooling": "sum"}, "pooling: expected 'mean' or 'max', got 'sum'"),
        ("grad_cam", {"rule": "lrp0"}, "rule: expected"),
        ("grad_cam_plus_plus", {"epsilon": -1.0}, "epsilon: expected a number of 0 or more"),
        ("smooth_grad_cam_plus_plus", {"samples": 0}, "samples: expected 1 or more"),
        ("smooth_grad_cam_plus_plus", {"noise": float("nan")}, "noise: expected a number"),
        ("smooth_grad_cam_plus_plus", {"seed": -1}, "seed: expected"),
        ("score_cam", {"batch": 0}, "batch: expected 1 or more"),
        ("ablation_cam", {"batch": 0}, "batch: expected 1 or more"),
        ("eigen_cam", {"layer": "fc1"}, "no spatial map"),
        ("full_grad", {"resize": "cubic"}, "resize"),
    ],
)
def test_options_that_are_refused(method, options, words, connected):
    with pytest.raises(ValueError, match=words):
        connected.tape.explain(method, 1, **options)


def test_a_progress_bar_on_request(capsys, connected):
    for method in ("score_cam", "ablation_cam", "smooth_grad_cam_plus_plus"):
        connected.tape.explain(method, 1, progress=True)
        assert capsys.readouterr().err
