"""Linear weights stored in 16 bits: rounding when loading, and exact conversion back."""

from __future__ import annotations

import nets
import numpy as np
import pytest
import reference
import vggs
from helpers import assert_close

import gradcam
from gradcam import Layer, Network, WeightsError, _core
from gradcam._weights.storage import stored

HALVES = ["float16", "bfloat16"]


def bfloat16(values: np.ndarray) -> np.ndarray:
    """Rounded to the nearest, by comparing with both neighbours; ties to even."""
    values = np.asarray(values, np.float32)
    low = (values.view(np.uint32) & 0xFFFF0000).view(np.float32)
    high = (low.view(np.uint32) + 0x10000).view(np.float32)
    exact = values.astype(np.float64)
    up = np.abs(high - exact) < np.abs(exact - low)
    tie = np.abs(high - exact) == np.abs(exact - low)
    odd = (low.view(np.uint32) >> 16 & 1).astype(bool)
    return np.where(up | (tie & odd), high, low)


def rounded(values: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "float16":
        return values.astype(np.float16).astype(np.float32)
    return bfloat16(values) if dtype == "bfloat16" else values


def widened(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


@pytest.mark.parametrize("dtype", HALVES)
def test_rounding(dtype):
    rng = np.random.default_rng(0)
    scales = np.float32(2.0) ** rng.integers(-30, 15, (600, 1))
    values = (rng.standard_normal((600, 37)) * scales).astype(np.float32)
    values[:2] = [[0.0] * 37, [-0.0] * 37]
    values[2, :4] = [1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-11, 1 + 3 * 2**-11]  # ties
    result = stored(values, dtype)
    found = result.astype(np.float32) if dtype == "float16" else widened(result)
    np.testing.assert_array_equal(found, rounded(values, dtype))
    np.testing.assert_array_equal(np.signbit(found), np.signbit(values))


def test_arrays_of_the_right_type_are_not_copied():
    half = np.ones((3, 4), np.float16)
    assert stored(half, "float16") is half
    single = np.ones((3, 4), np.float32)
    assert stored(single, "float32") is single


@pytest.mark.parametrize(("dtype", "value"), [("float16", 65520.0), ("bfloat16", -3.4e38)])
def test_too_large(dtype, value):
    values = np.ones((300, 4), np.float32)
    values[290, 1] = value
    with pytest.raises(WeightsError, match=f"too large for {dtype}"):
        stored(values, dtype)
    values[290, 1] *= 0.99
    stored(values, dtype)


@pytest.mark.parametrize("count", [1, 2, 5, 8, 13])
@pytest.mark.parametrize("dtype", ["float32", *HALVES])
def test_both_directions(dtype, count, cpu_level):
    rng = np.random.default_rng(count)
    weight = nets.kernel(rng, 37, 2100)
    weight[0, :2] = 3e-7, -6e-8  # subnormal in float16
    bias = nets.normal(rng, 37)
    ours, twin = _core.NetworkBuilder(2100), reference.Builder(2100)
    ours.relu(ours.linear(ours.flatten(0), stored(weight, dtype), bias, dtype=dtype))
    twin.relu(twin.linear(twin.flatten(0), rounded(weight, dtype), bias))
    x = nets.normal(rng, count, 2100, 1, 1)
    tape = ours.build().forward(x)
    record = twin.build().forward(x, {3: tape.activation(3)})
    assert_close(tape.activation(3), record.outputs[3], "sum")
    seeds = nets.normal(rng, 3, count, 37)
    for rule in ("gradient", "guided", "deconvnet"):
        (gradient,) = tape.backward(3, seeds, [1], rule)
        assert_close(gradient, record.backward(3, seeds, [1], rule)[0], "sum")


@pytest.mark.parametrize("dtype", ["float32", *HALVES])
def test_a_vector_has_the_same_bits_in_any_batch(dtype, cpu_level):
    rng = np.random.default_rng(0)
    builder = _core.NetworkBuilder(2100)
    builder.linear(builder.flatten(0), stored(nets.kernel(rng, 37, 2100), dtype), dtype=dtype)
    network = builder.build()
    x, seeds = nets.normal(rng, 9, 2100, 1, 1), nets.normal(rng, 9, 37)
    seeds[rng.random(seeds.shape) < 0.5] = 0
    together = network.forward(x)
    gradients = together.backward(2, seeds[None], [1])[0][0]
    for n in range(9):
        alone = network.forward(x[n : n + 1])
        np.testing.assert_array_equal(alone.activation(2)[0], together.activation(2)[n])
        (gradient,) = alone.backward(2, seeds[None, n : n + 1], [1])
        np.testing.assert_array_equal(gradient[0, 0], gradients[n])
    (sets,) = network.forward(x[:1]).backward(2, seeds[:, None], [1])
    np.testing.assert_array_equal(sets[:, 0], gradients)


@pytest.mark.parametrize("dtype", HALVES)
def test_vgg(dtype):
    tensors = vggs.tensors()
    for name in list(tensors):
        if name.startswith("classifier") and name.endswith("weight"):
            tensors[name][0, 0] = 1e-6
    rough = {
        name: rounded(values, dtype)
        if name.startswith("classifier") and name.endswith("weight")
        else values
        for name, values in tensors.items()
    }
    halved = gradcam.vgg16(tensors, fc_dtype=dtype)
    whole = gradcam.vgg16(rough)
    x = nets.normal(np.random.default_rng(0), 2, 3, 64, 64)
    ours, expected = halved.forward(x), whole.forward(x)
    assert_close(ours.scores, expected.scores, "network")
    for one, other in zip(ours.grad_cam([1, 2]), expected.grad_cam([1, 2]), strict=True):
        assert_close(one.raw, other.raw, "network")


@pytest.mark.parametrize("dtype", HALVES)
def test_a_single_layer(dtype):
    weight = nets.normal(np.random.default_rng(0), 4, 3)
    given = weight.astype(np.float16) if dtype == "float16" else weight
    layer = Layer("scores", "linear", weights={"weight": given}, attributes={"dtype": dtype})
    network = Network.from_layers([Layer("flat", "flatten"), layer])
    x = np.ones((1, 3, 1, 1), np.float32)
    expected = rounded(weight, dtype).astype(float).sum(1)
    assert_close(network.forward(x).scores[0], expected, "sum")


def test_refused():
    with pytest.raises(ValueError, match=r"fc_dtype.*'float64'"):
        gradcam.vgg16(vggs.tensors(), fc_dtype="float64")
    layer = Layer("a", "linear", weights={"weight": np.eye(3)}, attributes={"dtype": "half"})
    with pytest.raises(ValueError, match=r"'a'.*half"):
        Network.from_layers([Layer("flat", "flatten"), layer])
    large = Layer(
        "a", "linear", weights={"weight": 1e6 * np.eye(3)}, attributes={"dtype": "float16"}
    )
    with pytest.raises(ValueError, match=r"'a'.*too large for float16"):
        Network.from_layers([Layer("flat", "flatten"), large])
    builder = _core.NetworkBuilder(3)
    with pytest.raises(TypeError, match="array of float16, not of float32"):
        builder.linear(builder.flatten(0), np.eye(3, dtype=np.float32), dtype="float16")
    with pytest.raises(TypeError, match="array of uint16"):
        builder.linear(1, np.eye(3), dtype="bfloat16")
    with pytest.raises(ValueError, match="not as 'int8'"):
        builder.linear(1, np.eye(3), dtype="int8")
    with pytest.raises(ValueError, match="2 axes"):
        builder.linear(1, np.ones(3, np.float16), dtype="float16")
