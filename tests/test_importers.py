"""What all importers share: values that are seen in several ways, and the builder of layers."""

from __future__ import annotations

import numpy as np
import pytest

from gradcam import Network
from gradcam._importers.builder import Builder, same_padding
from gradcam._importers.imported import Imported
from gradcam._importers.probabilities import ends_in_probabilities
from gradcam._importers.values import output_of
from gradcam._models.loading import Options, network_of
from gradcam._weights.tensors import WeightsError

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def run(imported: Imported, x: np.ndarray) -> np.ndarray:
    """The output of the last layer, for input (N, C, H, W)."""
    network = Network.from_layers(imported.layers, channels=imported.channels)
    return network.forward(x).scores


def test_a_transposed_value_that_is_transposed_back_is_itself():
    value = output_of("relu", (4, 5, 6), "NCHW")
    nhwc = value.transposed([0, 2, 3, 1])
    assert nhwc.shape == (1, 5, 6, 4)
    assert nhwc.is_arranged("NHWC")
    assert nhwc.transposed([0, 3, 1, 2]) == value


@pytest.mark.parametrize("shape", [(1, -1), (1, 120), (-1, 120), (1, 4, 30), (1, 2, 2, 5, 6)])
def test_a_reshaped_value_goes_back(shape):
    value = output_of("relu", (4, 5, 6), "NCHW")
    assert value.reshaped(shape).reshaped((1, 4, 5, 6)) == value


def test_reshapes_that_do_not_fit_are_refused():
    value = output_of("relu", (4, 5, 6), "NCHW")
    for shape in [(1, 7), (1, -1, -1), (1, 0, 120), (1, 3, 40)]:
        with pytest.raises(ValueError, match="cannot"):
            value.reshaped(shape)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_weights_have_the_order_in_which_the_map_was_flattened(layout):
    """flatten, then linear, for maps in both arrangements; the inputs also as a transposed view."""
    x, weight = normal(2, 3, 4, 5), normal(7, 60)
    for matrix in (weight, np.ascontiguousarray(weight.T).T, weight.astype(np.float64)):
        builder = Builder(3, 4, 5, layout)
        value = builder.linear(builder.input.reshaped((1, -1)), "fc", matrix)
        imported = builder.finish(value, size=None, name="n", title="t")
        seen = x if layout == "NCHW" else x.transpose(0, 2, 3, 1)
        np.testing.assert_allclose(run(imported, x), seen.reshape(2, -1) @ weight.T, atol=1e-5)
        assert imported.fixed
        assert imported.size == (4, 5)
        assert imported.in_place == (layout == "NCHW" and matrix.flags.c_contiguous)


def test_a_shuffle_of_channels_is_found():
    builder = Builder(6, 3, 3)
    parts = builder.input.reshaped((1, 2, 3, 3, 3)).transposed([0, 2, 1, 3, 4])
    value = builder.arranged(parts.reshaped((1, 6, 3, 3)), "NCHW")
    pooled = builder.global_pool(value, "pool", "average_pool")
    imported = builder.finish(pooled, size=None, name="n", title="t")
    x = normal(2, 6, 3, 3)
    shuffled = x.reshape(2, 2, 3, 3, 3).transpose(0, 2, 1, 3, 4).reshape(2, 6, 3, 3)
    np.testing.assert_allclose(run(imported, x), shuffled.mean(axis=(2, 3)), atol=1e-6)
    assert [layer.op for layer in imported.layers].count("channel_shuffle") == 1


def test_parts_of_shuffled_channels_read_one_shuffle():
    """As in ShuffleNetV2, where the two halves of a shuffled map go different ways."""
    builder = Builder(6, 3, 3)
    parts = builder.input.reshaped((1, 2, 3, 3, 3)).transposed([0, 2, 1, 3, 4])
    whole = parts.reshaped((1, 6, 3, 3))
    first, second = (builder.slice(whole, 1, 2 * i, 2 * i + 2, f"part{i}") for i in (0, 1))
    joined = builder.concatenate([second, whole, first], 1, "joined")
    pooled = builder.global_pool(joined, "pool", "average_pool")
    imported = builder.finish(pooled, size=None, name="n", title="t")
    x = normal(2, 6, 3, 3)
    shuffled = x.reshape(2, 2, 3, 3, 3).transpose(0, 2, 1, 3, 4).reshape(2, 6, 3, 3)
    shuffled = np.concatenate([shuffled[:, 2:4], shuffled, shuffled[:, :2]], 1)
    np.testing.assert_allclose(run(imported, x), shuffled.mean(axis=(2, 3)), atol=1e-6)
    assert [layer.op for layer in imported.layers].count("channel_shuffle") == 1


@pytest.mark.parametrize("padding", [(1, 2, 0, 3), (-1, 0, 0, -2), (2, 0, -1, 1)])
def test_zeros_are_added_and_rows_cut_off_by_a_layer(padding):
    top, left, bottom, right = padding
    x = normal(1, 2, 6, 7)
    builder = Builder(2, 6, 7)
    value = builder.elementwise(builder.pad(builder.input, padding), "tanh", "tanh")
    assert value.shape == (1, 2, 6 + top + bottom, 7 + left + right)
    imported = builder.finish(builder.vector(value), size=None, name="n", title="t")
    kept = x[:, :, max(0, -top) : 6 + min(0, bottom), max(0, -left) : 7 + min(0, right)]
    grown = [(max(0, top), max(0, bottom)), (max(0, left), max(0, right))]
    expected = np.tanh(np.pad(kept, [(0, 0), (0, 0), *grown]))
    network = Network.from_layers(imported.layers, channels=2, labels=["?"] * expected.size)
    np.testing.assert_allclose(network.forward(x).scores, expected.reshape(1, -1), atol=1e-6)


def test_a_convolution_takes_the_zeros_around_its_input():
    builder = Builder(2, 6, 6, "NHWC")
    padded = builder.pad(builder.input, (0, 0, 1, 1))
    value = builder.conv(padded, "conv", normal(3, 2, 3, 3), layout="NHWC", stride=(2, 2))
    assert value.core == (3, 3, 3)
    assert value.shape == (1, 3, 3, 3)
    pooled = builder.global_pool(value, "pool", "average_pool", layout="NHWC")
    imported = builder.finish(pooled, size=None, name="n", title="t")
    assert [layer.op for layer in imported.layers] == ["conv", "global_average_pool", "flatten"]
    assert imported.layers[0].attributes["padding"] == (0, 0, 1, 1)
    assert imported.target_layer == "conv"
    assert not imported.fixed


def test_a_scale_and_a_shift_are_folded_into_the_convolution_before_them():
    weight, scale, shift, x = (
        normal(4, 3, 1, 1),
        normal(4, 1, 1),
        normal(4, 1, 1),
        normal(1, 3, 5, 5),
    )
    builder = Builder(3, 5, 5)
    value = builder.conv(builder.input, "conv", weight)
    value = builder.scale_and_shift(value, "mul", scale)
    value = builder.scale_and_shift(value, "add", 1.0, shift)
    pooled = builder.global_pool(value, "pool", "max_pool")
    imported = builder.finish(pooled, size=None, name="n", title="t")
    assert [layer.op for layer in imported.layers] == ["conv", "global_max_pool", "flatten"]
    maps = np.einsum("oi,nihw->nohw", weight[:, :, 0, 0], x) * scale + shift
    np.testing.assert_allclose(run(imported, x), maps.max(axis=(2, 3)), atol=1e-5)


def test_arrays_that_differ_by_position_are_refused():
    builder = Builder(3, 5, 5)
    with pytest.raises(WeightsError, match="other axes than the channels"):
        builder.scale_and_shift(builder.input, "add", 1.0, normal(5, 1))


def test_a_value_times_its_sigmoid_is_silu():
    x = normal(1, 3, 4, 4)
    builder = Builder(3, 4, 4)
    gate = builder.elementwise(builder.input, "sigmoid", "sigmoid")
    value = builder.product(builder.input, gate, "mul")
    pooled = builder.global_pool(value, "pool", "average_pool")
    imported = builder.finish(pooled, size=None, name="n", title="t")
    assert [layer.op for layer in imported.layers] == ["silu", "global_average_pool", "flatten"]
    expected = (x / (1 + np.exp(-x))).mean(axis=(2, 3))
    np.testing.assert_allclose(run(imported, x), expected, atol=1e-6)


@pytest.mark.parametrize("factors", [(3, 1, 1), (1, 4, 4), (3,)])
def test_a_map_times_a_factor_for_each_channel_or_position(factors):
    x = normal(2, 3, 4, 4)
    builder = Builder(3, 4, 4)
    if factors == (1, 4, 4):
        gate = builder.conv(builder.input, "gate", np.ones((1, 3, 1, 1), np.float32))
        expected = x * x.sum(axis=1, keepdims=True)
    else:
        gate = builder.global_pool(builder.input, "gate", "average_pool")
        expected = x * x.mean(axis=(2, 3), keepdims=True)
    if factors == (3,):
        gate = builder.vector(gate).reshaped((1, 3, 1, 1))
    value = builder.product(gate, builder.input, "mul")
    pooled = builder.global_pool(value, "pool", "average_pool")
    imported = builder.finish(pooled, size=None, name="n", title="t")
    np.testing.assert_allclose(run(imported, x), expected.mean(axis=(2, 3)), atol=1e-5)


@pytest.mark.parametrize("order", [[0, 2, 3, 1], [0, 1]])
def test_factors_along_another_axis_are_refused(order):
    """A vector (1, 4) lies along the columns of a map (1, 4, 4, 4), whatever they are."""
    builder = Builder(4, 4, 4)
    gate = builder.global_pool(builder.input, "gate", "average_pool")
    gate = gate.transposed(order) if len(order) == 4 else gate.without([2, 3])
    for pair in ((builder.input, gate), (gate, builder.input)):
        with pytest.raises(WeightsError, match="arranged differently"):
            builder.product(*pair, "mul")
    with pytest.raises(WeightsError, match="one shape and arrangement"):
        builder.sum([builder.input, gate], "add")


def test_factors_of_a_vector_lie_along_the_last_axis():
    x = normal(2, 3, 4, 5)
    builder = Builder(3, 4, 5, "NHWC")
    gate = builder.global_pool(builder.input, "gate", "average_pool", layout="NHWC")
    value = builder.product(builder.input, gate.without([1, 2]), "mul")
    pooled = builder.global_pool(value, "pool", "average_pool", layout="NHWC")
    imported = builder.finish(pooled, size=None, name="n", title="t")
    np.testing.assert_allclose(run(imported, x), x.mean(axis=(2, 3)) ** 2, atol=1e-5)


def test_a_pooling_in_ceil_mode_takes_no_zeros_of_the_map():
    x = normal(1, 2, 8, 8)
    builder = Builder(2, 8, 8)
    value = builder.pad(builder.elementwise(builder.input, "relu", "relu"), (0, 0, 1, 1))
    value = builder.pool(value, "pool", "max_pool", (3, 3), stride=(4, 4), ceil_mode=True)
    assert value.core == (2, 3, 3)
    pooled = builder.global_pool(value, "mean", "average_pool")
    imported = builder.finish(pooled, size=None, name="n", title="t")
    padded = np.pad(np.maximum(x, 0), [(0, 0), (0, 0), (0, 1), (0, 1)])
    windows = [[padded[..., i : i + 3, j : j + 3] for j in (0, 4, 8)] for i in (0, 4, 8)]
    expected = np.mean([w.max(axis=(2, 3)) for row in windows for w in row], axis=0)
    np.testing.assert_allclose(run(imported, x), expected, atol=1e-6)
    assert imported.target_layer == "relu"


def test_a_scale_of_one_that_several_layers_read():
    """conv -> times 1 -> its double and itself: the double is not folded into the convolution."""
    x, weight = normal(1, 3, 4, 4), normal(2, 3, 1, 1)
    builder = Builder(3, 4, 4)
    same = builder.scale_and_shift(builder.conv(builder.input, "conv", weight), "same", 1.0)
    value = builder.sum([builder.scale_and_shift(same, "double", 2.0), same], "sum")
    pooled = builder.global_pool(value, "pool", "average_pool")
    imported = builder.finish(pooled, size=None, name="n", title="t")
    expected = 3 * np.einsum("nchw,kc->nk", x, weight[..., 0, 0]) / 16
    np.testing.assert_allclose(run(imported, x), expected, atol=1e-5)


@pytest.mark.parametrize("after", ["dropout", "one", "clip", "relu", "another"])
def test_layers_without_effect_after_the_head_are_left_out(after):
    builder = Builder(3, 4, 4)
    pooled = builder.global_pool(builder.input, "pool", "average_pool")
    value = builder.elementwise(pooled, "prob", "softmax")
    if after == "one":
        value = builder.scale_and_shift(value, "after", 1.0)
    elif after == "clip":
        value = builder.elementwise(value, "after", "clip", low=0.0, high=1.0)
    elif after == "another":  # one that is added after the head, and that nothing reads
        builder.elementwise(pooled, "after", "relu")
    else:
        value = builder.elementwise(value, "after", after)
    imported = builder.finish(value, size=None, name="n", title="t")
    ops = [layer.op for layer in imported.layers]
    assert ops == ["global_average_pool", "flatten", "softmax"]
    assert imported.layers[-1].aliases == (() if after == "another" else ("after",))


@pytest.mark.parametrize("end", ["mean", "both", "percent", "hard"])
def test_probabilities_that_no_head_makes_are_known(end):
    """No second softmax follows them."""
    builder = Builder(3, 4, 4)
    pooled = builder.global_pool(builder.input, "pool", "average_pool")
    first = builder.elementwise(pooled, "p", "hard_sigmoid" if end == "hard" else "sigmoid")
    value = builder.scale_and_shift(first, "rest", -1.0, 1.0)
    value = builder.sum([first, value], "mean") if end == "mean" else value
    value = builder.concatenate([first, value], 1, "both") if end == "both" else value
    value = builder.scale_and_shift(value, "percent", 100.0) if end == "percent" else value
    value = first if end == "hard" else value
    imported = builder.finish(value, size=None, name="n", title="t")
    assert ends_in_probabilities(imported.layers)
    with pytest.raises(WeightsError, match=f"{end if end != 'hard' else 'p'}'.*head='sigmoid'"):
        network_of(imported, Options())
    assert network_of(imported, Options(head="sigmoid")).probability_layer == "prob"
    scores = builder.linear(builder.vector(value), "fc", normal(2, value.channels))
    gated = builder.product(pooled, first, "gated")
    for each in (scores, gated):
        layers = builder.finish(each, size=None, name="n", title="t").layers
        assert not ends_in_probabilities(layers)


def test_zeros_before_the_last_pooling_are_not_the_target():
    builder = Builder(3, 4, 4)
    value = builder.conv(builder.input, "conv", normal(2, 3, 1, 1))
    value = builder.global_pool(builder.pad(value, (1, 1, 0, 0)), "pool", "average_pool")
    imported = builder.finish(value, size=None, name="n", title="t")
    assert [layer.name for layer in imported.layers][:2] == ["conv", "conv.padded"]
    assert imported.target_layer == "conv"


def test_padding_same_puts_the_larger_half_after_the_map():
    assert same_padding((5, 6), (3, 3), (2, 2), (1, 1)) == ((1, 0, 1, 1), True)
    assert same_padding((5, 5), (2, 4), (1, 1), (1, 2)) == ((0, 3, 1, 3), False)


def test_a_softmax_of_a_map_of_one_position_is_the_head():
    builder = Builder(3, 4, 4)
    pooled = builder.global_pool(builder.input, "pool", "average_pool")
    value = builder.elementwise(pooled, "prob", "softmax")
    imported = builder.finish(value, size=None, name="n", title="t")
    assert [layer.op for layer in imported.layers] == ["global_average_pool", "flatten", "softmax"]


def test_a_graph_that_ends_in_a_map_is_no_classifier():
    builder = Builder(3, 4, 4)
    with pytest.raises(WeightsError, match="not a classifier"):
        builder.finish(
            builder.elementwise(builder.input, "r", "relu"), size=None, name="", title=""
        )


@pytest.mark.parametrize("pooled", [False, True])
def test_a_map_that_has_one_position_for_one_size_alone(pooled):
    """Flattened, it fits only this size of the input; after global pooling, any size."""
    builder = Builder(2, 6, 6)
    value = builder.conv(builder.input, "conv", normal(3, 2, 6, 6))
    value = builder.elementwise(value, "relu", "relu")
    if pooled:
        value = builder.global_pool(value, "pool", "average_pool")
    value = builder.linear(builder.vector(value), "fc", normal(4, 3))
    imported = builder.finish(value, size=None, name="n", title="t")
    assert imported.fixed != pooled
    assert imported.size == (None if pooled else (6, 6))
