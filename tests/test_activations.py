"""Activations: accuracy over their whole range, rules, heads, notes, and errors."""

from __future__ import annotations

import math
import pickle

import nets
import numpy as np
import pytest
import reference

import gradcam
from gradcam import Layer, _core
from gradcam._cli import records
from gradcam._engine.layers import NONLINEAR, OPS
from gradcam.rules import DECONVNET, GUIDED, RECTIFIERS, Rule

# --- numbers ---


def everywhere() -> np.ndarray:
    """Numbers of every size, both signs, and those where exponentials end."""
    rng = np.random.default_rng(0)
    sizes = 10.0 ** rng.uniform(-44, 38, 4000) * rng.choice([-1, 1], 4000)
    ends = [0.0, -0.0, 3.0, -3.0, 87.3, -87.3, 88.8, -88.8, 103.9, -104.1, 3.4e38, -3.4e38]
    x = [rng.uniform(-1, 1, 4000), rng.uniform(-20, 20, 4000), rng.uniform(-110, 110, 2000), sizes]
    return np.concatenate([*x, ends]).astype(np.float32)


# Absolute errors where values and derivatives cross zero or end below the normal floats; the
# rest is relative.
ATOL = {"gelu-tanh": (4e-9, 4e-7), "gelu": (1e-36, 4e-7), "silu": (1e-36, 4e-7)}


@pytest.mark.parametrize("name", nets.ACTIVATIONS)
def test_values_and_derivatives_over_the_whole_range(name, cpu_level):
    x = everywhere()
    found = []
    for builder in (_core.NetworkBuilder(1), reference.Builder(1)):
        nets.ACTIVATIONS[name](builder, 0)
        with np.errstate(all="ignore"):
            tape = builder.build().forward(x.reshape(1, 1, 1, -1))
        ones = np.ones((1, 1, 1, 1, len(x)), np.float32)
        found.append((tape.activation(1).ravel(), tape.backward(1, ones, [0])[0].ravel()))
    (y, dx), (right, derivative) = found
    atol, slope_atol = ATOL.get(name, (1e-44, 4e-7 if name == "hard-swish" else 1e-44))
    sensible = np.isfinite(derivative)  # the twin's own products overflow
    assert np.isfinite(y).all() and np.isfinite(dx).all() and sensible.mean() > 0.9
    np.testing.assert_allclose(y, right, rtol=4e-7, atol=atol)
    if name != "tanh":  # the twin's 1 - tanh^2 cancels
        np.testing.assert_allclose(dx[sensible], derivative[sensible], rtol=6e-7, atol=slope_atol)


def test_a_nan_stays_one(cpu_level):
    x = np.full((1, 1, 1, 1), np.nan, np.float32)
    weight = np.array([[[[3e38]]]], np.float32)
    for function in nets.ACTIVATIONS.values():
        builder = _core.NetworkBuilder(1)
        huge = builder.conv(0, weight)  # infinite, less infinite
        function(builder, builder.add([huge, builder.affine(huge, [-1.0], [0.0])]))
        x = np.full((1, 1, 1, 1), 1e30, np.float32)
        assert np.isnan(builder.build().forward(x).activation(4)).all()


def test_a_map_of_many_pieces_is_the_same_for_every_number_of_threads(fast_level):
    """Of rows longer than what a thread takes at a time, plain and with slopes of channels."""
    x = nets.normal(np.random.default_rng(1), 2, 3, 130, 140)
    before = _core.get_num_threads()
    for function in (*nets.ACTIVATIONS.values(), lambda b, x: b.prelu(x, [0.1, -0.2, 0.3])):
        builder, twin = _core.NetworkBuilder(3), reference.Builder(3)
        for each in (builder, twin):
            function(each, 0)
        network, results = builder.build(), []
        try:
            for threads in (1, 3):
                _core.set_num_threads(threads)
                tape = network.forward(x)
                gradient = tape.backward(1, np.stack([x, -x]), [0], "guided")[0]
                results.append((tape.activation(1), gradient))
        finally:
            _core.set_num_threads(before)
        for one, three in zip(*results, strict=True):
            assert np.array_equal(one, three)
        record = twin.build().forward(x)
        np.testing.assert_allclose(results[0][0], record.outputs[1], rtol=1e-6, atol=1e-7)
        right = record.backward(1, np.stack([x, -x]), [0], "guided")[0]
        np.testing.assert_allclose(results[0][1], right, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["sigmoid", "hard-sigmoid", "clip-above"])
def test_channels_that_fill_up_the_last_block_stay_zero(name, fast_level):
    """The windows of the layer after the activation reach beyond the last of 9 channels."""
    rng = np.random.default_rng(5)
    kernel, x = nets.kernel(rng, 9, 3, 3, 3), nets.normal(rng, 2, 3, 7, 9)
    results = []
    for builder in (_core.NetworkBuilder(3), reference.Builder(3)):
        nets.ACTIVATIONS[name](builder, builder.conv(0, kernel, padding=1))
        builder.local_response_norm(2, 7, alpha=2.0)
        tape = builder.build().forward(x)
        results.append((tape.activation(3), tape.backward(3, np.ones((1, 2, 9, 7, 9)), [0])[0]))
    for found, right in zip(*results, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-6)


# --- networks of layers ---


def scores(*middle: Layer, head: str | None = "softmax") -> list[Layer]:
    """Convolution, some layers, a score for each of 4 classes, and a head."""
    rng = np.random.default_rng(2)
    weights = {"weight": nets.kernel(rng, 9, 3, 3, 3), "bias": nets.normal(rng, 9, scale=0.1)}
    layers = [
        Layer("conv", "conv", weights=weights, attributes={"padding": 1}),
        *middle,
        Layer("pool", "global_average_pool"),
        Layer("flat", "flatten"),
        Layer("fc", "linear", weights={"weight": nets.normal(rng, 4, 9)}),
    ]
    return [*layers, Layer("head", head)] if head else layers


def tape_of(layers: list[Layer]) -> gradcam.Tape:
    x = nets.normal(np.random.default_rng(3), 3, 12, 13)
    return gradcam.Network.from_layers(layers, channels=3).forward(x)


RECTIFIED = {
    "relu": Layer("act", "relu"),
    "relu6": Layer("act", "relu6"),
    "leaky": Layer("act", "leaky_relu"),
    "steep": Layer("act", "leaky_relu", attributes={"slope": 0.3}),
    "prelu": Layer("act", "prelu", weights={"weight": np.linspace(-0.2, 0.5, 9)}),
}


@pytest.mark.parametrize("name", RECTIFIED)
@pytest.mark.parametrize("rule", [GUIDED, DECONVNET])
def test_rules_of_rectifiers_in_python_and_in_the_core(name, rule):
    tape = tape_of(scores(RECTIFIED[name]))
    ours = tape.gradient(1, rule=rule)
    in_python = tape.gradient(1, rule=Rule("the same", rule.steps))
    np.testing.assert_allclose(in_python, ours, rtol=1e-5, atol=1e-7)
    assert np.abs(ours - tape.gradient(1)).max() > 0
    assert tape.guided_backprop(1).notes == ()


def test_a_rule_of_rectifiers_changes_nothing_at_other_layers():
    for op, attributes in (("silu", {}), ("clip", {"low": -1, "high": 1.0}), ("gelu", {})):
        tape = tape_of(scores(Layer("act", op, attributes=attributes)))
        for rule in ("guided", "deconvnet"):
            assert np.array_equal(tape.gradient(1, rule=rule), tape.gradient(1))


@pytest.mark.filterwarnings("ignore::gradcam.FlatMapWarning")
def test_an_explanation_says_where_the_derivative_was_taken(tmp_path):
    tape = tape_of(scores(Layer("a", "relu"), Layer("b", "tanh"), Layer("c", "silu")))
    for method in ("guided_backprop", "deconvnet", "guided_grad_cam", "deconv_grad_cam"):
        found = tape.explain(method, 1)
        (note,) = found.notes
        assert "at silu, tanh layers the derivative was taken" in note
        assert note in repr(found) and note in found.caption
        assert found.target is not None
        record = records.explanation(found, {"png": tmp_path / "a.png"})
        assert record["notes"] == [note]
        found.save(tmp_path / "a.npz")
        assert gradcam.Explanation.load(tmp_path / "a.npz").notes == found.notes
        assert pickle.loads(pickle.dumps(found)).notes == found.notes
    for method in ("saliency", "grad_cam"):
        assert tape.explain(method, 1).notes == ()
    # The head belongs to what is explained.
    relu = tape_of(scores(Layer("a", "relu")))
    assert relu.guided_backprop(1, on="probability").notes == ()
    assert gradcam.Explanation.load(tmp_path / "a.npz") == found


def test_nonlinear_operations_are_those_that_are_no_rectifiers():
    assert not set(NONLINEAR) & set(RECTIFIERS)
    assert set(RECTIFIERS) < set(OPS)


def test_a_log_softmax_is_a_head():
    tapes = {head: tape_of(scores(head=head)) for head in ("softmax", "log_softmax")}
    plain, logarithm = tapes["softmax"], tapes["log_softmax"]
    assert logarithm.score_layer == "fc" and logarithm.probability_layer == "head"
    np.testing.assert_allclose(logarithm.probabilities, plain.probabilities, rtol=1e-6)
    np.testing.assert_allclose(
        logarithm.activation("head"), np.log(plain.probabilities), rtol=1e-5, atol=1e-6
    )
    assert np.array_equal(logarithm.scores, plain.scores)
    assert logarithm.top(2)[0][1:2] == plain.top(2)[0][1:2]
    assert len(logarithm.present(0.2)) == len(plain.present(0.2))
    for layer in ("input", "conv"):
        ours = logarithm.gradient(1, layer, on="probability")
        right = plain.gradient(1, layer, on="probability")
        np.testing.assert_allclose(ours, right, rtol=1e-4, atol=1e-6 * np.abs(right).max())
    for name in ("score", "probability"):
        a, b = (each.grad_cam(1, layer="conv", on=name) for each in (logarithm, plain))
        np.testing.assert_allclose(a.raw, b.raw, rtol=1e-4, atol=1e-6 * np.abs(b.raw).max())
        assert a.probability == pytest.approx(b.probability, rel=1e-6)


def test_a_network_with_all_activations_is_pickled():
    middle = [
        Layer("clip", "clip", attributes={"low": -0.5, "high": 2.0}),
        Layer("prelu", "prelu", weights={"weight": np.full(9, 0.3)}),
        Layer("elu", "elu", attributes={"alpha": 0.5}),
        Layer("gelu", "gelu", attributes={"approximate": True}),
        *(Layer(op, op) for op in ("hard_sigmoid", "silu", "hard_swish", "tanh", "leaky_relu")),
    ]
    network = gradcam.Network.from_layers(scores(*middle, head="log_softmax"), channels=3)
    again = pickle.loads(pickle.dumps(network))
    x = nets.normal(np.random.default_rng(4), 2, 3, 9, 9)
    assert np.array_equal(network.forward(x).scores, again.forward(x).scores)
    assert again.layers["elu"].attributes == {"alpha": 0.5}


# --- errors ---

BAD = {
    "clip": (ValueError, "low must be less than high", lambda b: b.clip(0, 1.0, 1.0)),
    "clip nan": (ValueError, "less than high", lambda b: b.clip(0, math.nan, 1.0)),
    "slope": (ValueError, "the slope must be a finite", lambda b: b.leaky_relu(0, math.inf)),
    "alpha": (ValueError, "alpha must be a finite", lambda b: b.elu(0, math.nan)),
    "no slopes": (ValueError, "weight is empty", lambda b: b.prelu(0, np.zeros(0))),
    "rank": (ValueError, "weight", lambda b: b.prelu(0, np.zeros((3, 1)))),
    "approximate": (TypeError, "True or False, not 'none'", lambda b: b.gelu(0, "none")),
    "input": (ValueError, "no layer 5", lambda b: b.silu(5)),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_activations_are_refused(name):
    error, message, make = BAD[name]
    with pytest.raises(error, match=message):
        make(_core.NetworkBuilder(3))


def test_slopes_are_one_or_one_for_each_channel():
    builder = _core.NetworkBuilder(3)
    builder.prelu(0, [0.1, 0.2])
    with pytest.raises(ValueError, match=r"2 slopes, but the input has 3 channels: give 1 slope"):
        builder.build().shapes(4, 4)
    with pytest.raises(TypeError, match="prelu needs a weight"):
        gradcam.Network.from_layers(scores(Layer("act", "prelu")), channels=3)
