"""Backward rules in Python: over single layers, through any network, beside those of the core."""

from __future__ import annotations

import nets
import numpy as np
import pytest
import vggs
from helpers import assert_close
from test_layers import residual

import gradcam
from gradcam import Layer, Network, rules

RNG = np.random.default_rng(5)


def joined() -> list[Layer]:
    """Branches that are concatenated, average and overlapping max pooling, two groups."""

    def conv(name, source, out, channels, **attributes):
        weight = nets.kernel(RNG, out, channels, 3, 3)
        weights = {"weight": weight, "bias": nets.normal(RNG, out)}
        return Layer(name, "conv", (source,), weights, {"padding": 1, **attributes})

    return [
        conv("stem", "input", 8, 3, stride=2),
        Layer("relu0", "relu"),
        conv("left", "relu0", 4, 4, groups=2),
        Layer("relu1", "relu"),
        conv("right", "relu0", 6, 8, dilation=2, padding=2),
        Layer("both", "concatenate", ("relu1", "right", "relu0")),
        Layer("pool", "max_pool", attributes={"kernel": 3, "stride": 2, "padding": 1}),
        Layer("mean", "average_pool", attributes={"kernel": 2}),
        Layer("flat", "flatten"),
        Layer("scores", "linear", weights={"weight": nets.kernel(RNG, 5, 18 * 2 * 3)}),
        Layer("prob", "softmax"),
    ]


def scaled() -> list[Layer]:
    """Squeeze and excitation with the factors first, a product of vectors, moved channels."""
    mix = nets.kernel(RNG, 8, 8, 1, 1)
    return [
        Layer("stem", "conv", weights={"weight": nets.kernel(RNG, 8, 3, 3, 3)}),
        Layer("mean", "global_average_pool", ("stem",)),
        Layer("mix", "conv", weights={"weight": mix}),
        Layer("factors", "sigmoid"),
        Layer("scaled", "multiply", ("factors", "stem")),
        Layer("shuffled", "channel_shuffle", attributes={"groups": 2}),
        Layer("part", "slice", attributes={"start": 1, "stop": 7}),
        Layer("last", "global_average_pool"),
        Layer("flat", "flatten"),
        Layer("shares", "sigmoid"),
        Layer("both", "multiply", ("flat", "shares")),
        Layer("scores", "linear", weights={"weight": nets.kernel(RNG, 5, 6)}),
        Layer("prob", "softmax"),
    ]


NETWORKS = {
    "a chain": lambda: gradcam.vgg11(vggs.tensors("vgg11")),
    "a chain with batch norm": lambda: gradcam.vgg11_bn(vggs.tensors("vgg11_bn")),
    "residual": lambda: Network.from_layers(residual()),
    "joined": lambda: Network.from_layers(joined()),
    "scaled": lambda: Network.from_layers(scaled()),
}
SHAPES = {"residual": (2, 3, 7, 9), "joined": (2, 3, 18, 26), "scaled": (2, 3, 7, 9)}


@pytest.fixture(scope="module", params=NETWORKS)
def tape(request):
    shape = SHAPES.get(request.param, (2, 3, 32, 64))
    x = np.random.default_rng(0).standard_normal(shape)
    return NETWORKS[request.param]().forward(x)


@pytest.mark.parametrize("name", rules.RULES)
def test_the_rules_of_the_core_are_the_same_in_python(name, tape):
    """Also from a layer in the middle, and with several layers wanted."""
    rule = rules.Rule(name, rules.RULES[name].steps)
    wanted = ["input", tape.graph.target_layer, tape.score_layer]
    for start in (tape.score_layer, tape.probability_layer):
        seeds = np.random.default_rng(1).standard_normal((3, *tape.activation(start).shape))
        ours = tape.backward(start, seeds, wanted, rule)
        core = tape.backward(start, seeds, wanted, name)
        for one, other in zip(ours, core, strict=True):
            assert_close(one, other, "network")


def excite(layer, relevance):
    weights = {"weight": np.maximum(layer.weights["weight"], 0)}
    total = layer.forward(weights=weights)
    share = np.divide(relevance, total, out=np.zeros_like(relevance), where=total > 0)
    return [layer.inputs[0] * layer.vjp(share, weights=weights)[0]]


def share_of_sum(layer, relevance):
    total = layer.output
    share = np.divide(relevance, total, out=np.zeros_like(relevance), where=total != 0)
    return [x * share for x in layer.inputs]


def keep(layer, relevance):
    return [relevance]


EXCITATION = rules.Rule(
    "excitation",
    {"conv": excite, "linear": excite, "add": share_of_sum} | dict.fromkeys(["relu"], keep),
)


def test_excitation_backprop_keeps_the_sum():
    """Zhang et al. 2016: a probability is handed down, whatever lies between."""
    network = gradcam.pictograms.model()
    tape = network.forward(gradcam.pictograms.example("cat_and_dog"))
    for layer in ("relu5_3", "pool4", "relu4_3"):
        maps = tape.gradient(["cat", "dog"], layer, rule=EXCITATION)
        assert maps.shape == (2, *tape.activation(layer).shape) and maps.min() >= 0
        np.testing.assert_allclose(maps.sum((2, 3, 4)), 1, rtol=1e-4)
    cat, dog = maps.sum(2)[:, 0]
    assert not np.array_equal(cat, dog)


def test_a_rule_serves_methods_too():
    tape = gradcam.pictograms.model().forward(gradcam.pictograms.example("flamingo"))
    asked = tape.ask(None)
    raw = asked.gradient(tape, "pool4", EXCITATION)
    assert raw.shape == (1, 1, *tape.shape("pool4"))


def test_weights_that_were_changed_are_used():
    """A layer by itself: forward and its derivative with other weights and other inputs."""
    tape = gradcam.vgg11(vggs.tensors("vgg11")).forward(RNG.standard_normal((1, 3, 32, 64)))
    seen = {}

    def look(layer, gradient):
        twice = {key: 2 * np.asarray(value) for key, value in layer.weights.items()}
        seen[layer.name] = (
            layer.output,
            layer.forward(),
            layer.forward(weights=twice),
            layer.forward(inputs=[np.zeros_like(layer.inputs[0])]),
            layer.vjp(gradient),
            layer.vjp(gradient, weights=twice),
        )
        return layer.vjp(gradient)

    rule = rules.Rule("look", {"conv": look, "linear": look})
    tape.gradient(3, rule=rule)
    assert len(seen) == 8 + 3
    for output, again, twice, at_zero, gradient, steeper in seen.values():
        assert_close(again, output, "network")
        assert_close(twice, 2 * output, "network")
        assert at_zero.shape == output.shape  # the bias alone
        assert_close(steeper[0], 2 * gradient[0], "network")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_of_16_bits_are_numbers_to_a_rule(dtype):
    network = gradcam.vgg11(vggs.tensors("vgg11"), fc_dtype=dtype)
    tape = network.forward(RNG.standard_normal((1, 3, 32, 64)))

    def multiply(layer, gradient):
        return [gradient @ np.asarray(layer.weights["weight"], np.float32)]

    rule = rules.Rule("multiply", {"linear": multiply})
    assert_close(tape.gradient(3, "pool5", rule=rule), tape.gradient(3, "pool5"), "network")


def test_what_a_rule_must_return(tape):
    for step in (lambda layer, g: [], lambda layer, g: [g[..., :1]], lambda layer, g: [g, g]):
        with pytest.raises(ValueError, match=r"rule 'wrong' at layer .* returned the shapes"):
            tape.gradient(0, rule=rules.Rule("wrong", {"linear": step}))


def test_rules_cannot_change_what_others_use(tape):
    def write(layer, gradient):
        gradient *= 2
        return [gradient]

    seeds = np.ones((1, *tape.scores.shape), np.float32)
    for op in ("relu", "linear", "add", "concatenate"):
        if op in {layer.op for layer in tape.graph.layers.values()}:
            with pytest.raises(ValueError, match="read-only"):
                tape.backward(tape.score_layer, seeds, ["input"], rules.Rule("write", {op: write}))
    assert (seeds == 1).all()
    found = tape.backward(tape.score_layer, seeds, [tape.score_layer], EXCITATION)[0]
    assert found.flags.writeable and not np.shares_memory(found, seeds)


def test_a_rule_on_a_pass_from_the_middle():
    tape = gradcam.vgg11(vggs.tensors("vgg11")).forward(RNG.standard_normal((1, 3, 32, 64)))
    head = tape.run_from("relu4_1", tape.activation("relu4_1"))
    rule = rules.Rule("guided in Python", rules.GUIDED.steps)
    asked = tape.ask(3)
    assert_close(
        asked.gradient(head, "relu4_1", rule), asked.gradient(tape, "relu4_1", "guided"), "network"
    )
    with pytest.raises(ValueError, match="layer relu1_1"):
        asked.gradient(head, "relu1_1")
    with pytest.raises(ValueError, match="read-only"):
        head.input[:] = 0


def test_misspelled_operations_are_refused(tape):
    with pytest.raises(ValueError, match=r"unknown operations, Conv2d; the operations are conv"):
        tape.gradient(0, rule=rules.Rule("wrong", {"Conv2d": keep}))


def test_unknown_rules_are_refused(tape):
    with pytest.raises(ValueError, match="gradient, guided, deconvnet"):
        tape.gradient(0, rule="lrp")
    with pytest.raises(ValueError, match="seeds must have the shape"):
        tape.backward(tape.score_layer, np.zeros((1, 2, 99)), ["input"], EXCITATION)
