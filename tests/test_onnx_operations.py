"""Operations of ONNX against float64 NumPy, and graphs that are refused, each in one sentence."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import onnx_files
import pytest
from onnx_files import node, tensor
from wire import message

import gradcam
from gradcam import WeightsError

RNG = np.random.default_rng(5)
X = RNG.normal(size=(2, 4, 7, 6))


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def graph(nodes: list[bytes], tensors: dict[str, np.ndarray] | None = None, **options) -> bytes:
    """A graph from "x" to "y"; `options`: shape, outputs, opset."""
    held = [(5, tensor(name, values)) for name, values in (tensors or {}).items()]
    shape = options.get("shape", (1, 4, 7, 6))
    inputs = options.get("inputs", {"x": shape})
    fields = [(1, each) for each in nodes] + held
    fields += [(11, onnx_files.declared(name, sizes)) for name, sizes in inputs.items()]
    fields += [(12, message((1, name))) for name in options.get("outputs", ["y"])]
    opset = message((1, ""), (2, options.get("opset", 17)))
    return message((1, 8), (2, "test"), (7, message(*fields)), (8, opset))


POOL = [node("GlobalAveragePool", ["h"], ["p"]), node("Flatten", ["p"], ["y"])]
"""From a map "h" to the mean of each channel, "y"."""


def mean(h: np.ndarray) -> np.ndarray:
    return h.mean(axis=(2, 3))


@pytest.fixture
def load(tmp_path):
    """A function that loads a graph's bytes."""

    def of(data: bytes, **options) -> gradcam.Network:
        path = tmp_path / "x.onnx"
        path.write_bytes(data)
        return gradcam.load(path, **options)

    return of


def layers(network: gradcam.Network) -> list[gradcam.Layer]:
    return list(network.layers.values())


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def erf(x):
    return np.vectorize(math.erf)(x)


def elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * (np.exp(x) - 1))


def f32(value):
    return np.asarray(value, np.float32)


GELU = X * (1 + erf(X / math.sqrt(2))) / 2
TANH_GELU = X * (1 + np.tanh(math.sqrt(2 / math.pi) * (X + 0.044715 * X**3))) / 2
SLOPES = normal(4, 1, 1)

ELEMENTWISE: dict[str, tuple[list[bytes], dict[str, np.ndarray], np.ndarray, int]] = {
    name: (nodes, tensors, expected, opset)
    for name, nodes, tensors, expected, opset in [
        ("relu", [node("Relu", ["x"], ["h"])], {}, np.maximum(X, 0), 17),
        ("leaky", [node("LeakyRelu", ["x"], ["h"], alpha=0.3)], {}, np.where(X > 0, X, 0.3 * X), 7),
        (
            "prelu",
            [node("PRelu", ["x", "s"], ["h"])],
            {"s": SLOPES},
            np.where(X > 0, X, SLOPES * X),
            9,
        ),
        ("elu", [node("Elu", ["x"], ["h"], alpha=0.7)], {}, elu(X, 0.7), 7),
        ("selu", [node("Selu", ["x"], ["h"])], {}, 1.0507009873554805 * elu(X, 1.6732632), 7),
        ("celu", [node("Celu", ["x"], ["h"], alpha=0.5)], {}, 0.5 * elu(X / 0.5), 12),
        ("clip 6", [node("Clip", ["x"], ["h"], min=-0.5, max=1.0)], {}, np.clip(X, -0.5, 1), 7),
        (
            "clip 13",
            [node("Clip", ["x", "", "high"], ["h"])],
            {"high": f32(0.5)},
            np.minimum(X, 0.5),
            13,
        ),
        (
            "min, max",
            [node("Max", ["x", "low"], ["a"]), node("Min", ["high", "a"], ["h"])],
            {"low": f32(-0.25), "high": f32([0.5])},
            np.clip(X, -0.25, 0.5),
            13,
        ),
        ("sigmoid", [node("Sigmoid", ["x"], ["h"])], {}, sigmoid(X), 13),
        (
            "hard sigmoid",
            [node("HardSigmoid", ["x"], ["h"], alpha=0.3, beta=0.4)],
            {},
            np.clip(0.3 * X + 0.4, 0, 1),
            7,
        ),
        ("hard swish", [node("HardSwish", ["x"], ["h"])], {}, X * np.clip(X / 6 + 0.5, 0, 1), 14),
        ("swish", [node("Swish", ["x"], ["h"], alpha=1.5)], {}, X * sigmoid(1.5 * X), 24),
        ("tanh", [node("Tanh", ["x"], ["h"])], {}, np.tanh(X), 7),
        ("gelu", [node("Gelu", ["x"], ["h"])], {}, GELU, 20),
        (
            "tanh gelu",
            [node("Gelu", ["x"], ["h"], approximate="tanh")],
            {},
            TANH_GELU,
            20,
        ),
        (
            "gelu spelled out",
            [
                node("Div", ["x", "root"], ["a"]),
                node("Erf", ["a"], ["b"]),
                node("Add", ["b", "one"], ["c"]),
                node("Mul", ["x", "c"], ["d"]),
                node("Mul", ["d", "half"], ["h"]),
            ],
            {"root": f32(2**0.5), "one": f32(1), "half": f32(0.5)},
            GELU,
            13,
        ),
        (
            "tanh gelu spelled out",
            [
                node("Pow", ["x", "three"], ["a"]),
                node("Mul", ["a", "k"], ["b"]),
                node("Add", ["x", "b"], ["c"]),
                node("Mul", ["c", "root"], ["d"]),
                node("Tanh", ["d"], ["e"]),
                node("Add", ["e", "one"], ["f"]),
                node("Mul", ["x", "half"], ["g"]),
                node("Mul", ["g", "f"], ["h"]),
            ],
            {
                **{"three": f32(3), "k": f32(0.044715), "one": f32(1), "half": f32(0.5)},
                "root": f32((2 / math.pi) ** 0.5),
            },
            TANH_GELU,
            13,
        ),
        (
            "hard swish spelled out",
            [
                node("Add", ["x", "three"], ["a"]),
                node("Clip", ["a", "zero", "six"], ["b"]),
                node("Mul", ["x", "b"], ["c"]),
                node("Div", ["c", "six"], ["h"]),
            ],
            {"three": f32(3), "zero": f32(0), "six": f32(6)},
            X * np.clip(X / 6 + 0.5, 0, 1),
            13,
        ),
        (
            "swish spelled out",
            [node("Sigmoid", ["x"], ["a"]), node("Mul", ["a", "x"], ["h"])],
            {},
            X * sigmoid(X),
            13,
        ),
        (
            "arithmetic",
            [
                node("Mul", ["x", "v"], ["a"]),
                node("Sub", ["v", "a"], ["b"]),
                node("Div", ["b", "two"], ["c"]),
                node("Neg", ["c"], ["d"]),
                node("Sub", ["d", "x"], ["e"]),
                node("Sum", ["e", "x", "x"], ["f"]),
                node("Mean", ["f", "x"], ["h"]),
            ],
            {"v": SLOPES, "two": f32(2)},
            (-(SLOPES - X * SLOPES) / 2 + X + X) / 2,
            13,
        ),
        ("square", [node("Pow", ["x", "two"], ["h"])], {"two": f32(2)}, X**2, 13),
        (
            "no effect",
            [
                node("Identity", ["x"], ["a"]),
                node("Cast", ["a"], ["b"], to=1),
                node("Dropout", ["b", "", ""], ["c"]),
                node("Pow", ["c", "one"], ["h"]),
            ],
            {"one": f32(1)},
            X,
            13,
        ),
    ]
}


@pytest.mark.parametrize("case", ELEMENTWISE)
def test_operations_on_each_value(case, load):
    nodes, tensors, expected, opset = ELEMENTWISE[case]
    network = load(graph([*nodes, *POOL], tensors, opset=opset), head="softmax")
    np.testing.assert_allclose(network.forward(X).scores, mean(expected), atol=2e-6)


def test_groups_of_nodes_become_one_layer(load):
    for case, op in [
        ("gelu spelled out", "gelu"),
        ("tanh gelu spelled out", "gelu"),
        ("hard swish spelled out", "hard_swish"),
        ("swish spelled out", "silu"),
    ]:
        nodes, tensors, _, opset = ELEMENTWISE[case]
        ops = [layer.op for layer in layers(load(graph([*nodes, *POOL], tensors, opset=opset)))]
        assert ops == ["input", op, "global_average_pool", "flatten", "softmax"]


# --- weights, normalisations, poolings ----------------------------------------------------------


def windows(x: np.ndarray, size: tuple[int, int], stride: int = 1) -> np.ndarray:
    """(N, C, H', W', R, S)."""
    found = np.lib.stride_tricks.sliding_window_view(x, size, axis=(2, 3))
    return found[:, :, ::stride, ::stride]


def padded(x: np.ndarray, top: int, left: int, bottom: int, right: int, value=0.0) -> np.ndarray:
    return np.pad(x, [(0, 0), (0, 0), (top, bottom), (left, right)], constant_values=value)


W33 = normal(5, 4, 3, 3)


def conv(x: np.ndarray, stride: int = 1) -> np.ndarray:
    return np.einsum("nchwrs,kcrs->nkhw", windows(x, (3, 3), stride), np.float64(W33))


@pytest.mark.parametrize(
    "attributes, pads, stride",
    [
        ({}, (0, 0, 0, 0), 1),
        ({"pads": [1, 2, 0, 1]}, (1, 2, 0, 1), 1),
        ({"auto_pad": "SAME_UPPER"}, (1, 1, 1, 1), 1),
        ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, (1, 0, 1, 1), 2),
        ({"auto_pad": "SAME_LOWER", "strides": [2, 2]}, (1, 1, 1, 0), 2),
        ({"auto_pad": "VALID", "strides": [2, 2]}, (0, 0, 0, 0), 2),
    ],
)
def test_convolution(attributes, pads, stride, load):
    nodes = [node("Conv", ["x", "w", "b"], ["h"], **attributes), *POOL]
    bias = normal(5)
    network = load(graph(nodes, {"w": W33, "b": bias}))
    expected = mean(conv(padded(X, *pads), stride)) + bias
    np.testing.assert_allclose(network.forward(X).scores, expected, atol=1e-5)
    assert network.fixed == ("SAME" in attributes.get("auto_pad", "") and stride == 2)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("ceil_mode", [0, 1])
@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [0, 1, 0, 0]])
def test_poolings(op, ceil_mode, pads, load):
    attributes = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": pads, "ceil_mode": ceil_mode}
    network = load(graph([node(op, ["x"], ["h"], **attributes), *POOL]))
    fill = -np.inf if op == "MaxPool" else np.nan
    x = padded(X, *pads, value=fill)
    if ceil_mode:
        x = padded(x, 0, 0, x.shape[2] % 2, x.shape[3] % 2, value=fill)
    seen = windows(x, (2, 2), 2)
    pooled = seen.max(axis=(4, 5)) if op == "MaxPool" else np.nanmean(seen, axis=(4, 5))
    np.testing.assert_allclose(network.forward(X).scores, mean(pooled), atol=1e-6)


def test_padding_that_counts(load):
    attributes = {"kernel_shape": [2, 2], "strides": [1, 1], "pads": [1, 1, 0, 0]}
    nodes = [node("AveragePool", ["x"], ["h"], count_include_pad=1, **attributes), *POOL]
    expected = windows(padded(X, 1, 1, 0, 0), (2, 2)).mean(axis=(4, 5))
    np.testing.assert_allclose(load(graph(nodes)).forward(X).scores, mean(expected), atol=1e-6)


@pytest.mark.parametrize("axes", ["attribute", "input"])
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("op, function", [("ReduceMean", np.mean), ("ReduceMax", np.max)])
def test_reductions_over_positions(op, function, keepdims, axes, load):
    inputs, tensors, attributes = ["x"], {}, {"keepdims": keepdims}
    if axes == "input":
        inputs, tensors = ["x", "axes"], {"axes": np.array([-2, -1])}
    else:
        attributes["axes"] = [2, 3]
    nodes = [node(op, inputs, ["p"], **attributes), node("Flatten", ["p"], ["y"])]
    network = load(graph(nodes, tensors, opset=18 if axes == "input" else 13))
    np.testing.assert_allclose(network.forward(X).scores, function(X, axis=(2, 3)), atol=1e-6)


def test_a_sum_over_positions_and_means_over_one_axis_and_channels(load):
    nodes = [
        node("ReduceMean", ["x"], ["m"], axes=[1], keepdims=1),
        node("Mul", ["x", "m"], ["h"]),
        node("ReduceMean", ["h"], ["a"], axes=[3], keepdims=0),
        node("ReduceMean", ["a"], ["b"], axes=[2], keepdims=0),
        node("ReduceSum", ["h", "axes"], ["c"], keepdims=0),
        node("Add", ["b", "c"], ["y"]),
    ]
    h = X * X.mean(axis=1, keepdims=True)
    network = load(graph(nodes, {"axes": np.array([2, 3])}))
    expected = h.mean(axis=(2, 3)) + h.sum(axis=(2, 3))
    np.testing.assert_allclose(network.forward(X).scores, expected, rtol=1e-4, atol=1e-5)
    assert network.fixed


def normalised(h: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    d = h - h.mean(axis=1, keepdims=True)
    found = d / np.sqrt((d * d).mean(axis=1, keepdims=True) + 1e-3)
    return found * gamma.reshape(-1, 1, 1) + beta.reshape(-1, 1, 1)


NORMS = {
    "LayerNormalization": [
        node("Transpose", ["x"], ["a"], perm=[0, 2, 3, 1]),
        node("LayerNormalization", ["a", "g", "b"], ["c"], axis=-1, epsilon=1e-3),
        node("Transpose", ["c"], ["h"], perm=[0, 3, 1, 2]),
    ],
    "PyTorch": [
        node("ReduceMean", ["x"], ["m"], axes=[1]),
        node("Sub", ["x", "m"], ["d"]),
        node("Pow", ["d", "two"], ["s"]),
        node("ReduceMean", ["s"], ["v"], axes=[1]),
        node("Add", ["v", "eps"], ["e"]),
        node("Sqrt", ["e"], ["r"]),
        node("Div", ["d", "r"], ["n"]),
        node("Mul", ["n", "g3"], ["k"]),
        node("Add", ["k", "b3"], ["h"]),
    ],
    "TensorFlow": [
        node("ReduceMean", ["x"], ["m"], axes=[1]),
        node("Sub", ["x", "m"], ["d"]),
        node("Mul", ["d", "d"], ["s"]),
        node("ReduceMean", ["s"], ["v"], axes=[1]),
        node("Add", ["v", "eps"], ["e"]),
        node("Sqrt", ["e"], ["r"]),
        node("Reciprocal", ["r"], ["i"]),
        node("Mul", ["i", "g3"], ["k"]),
        node("Mul", ["x", "k"], ["xk"]),
        node("Mul", ["m", "k"], ["mk"]),
        node("Sub", ["b3", "mk"], ["rest"]),
        node("Add", ["xk", "rest"], ["h"]),
    ],
    "Keras": [
        node("ReduceMean", ["x"], ["m"], axes=[1]),
        node("Sub", ["x", "m"], ["d"]),
        node("Mul", ["d", "d"], ["s"]),
        node("ReduceMean", ["s"], ["v"], axes=[1]),
        node("Add", ["v", "eps"], ["e"]),
        node("Sqrt", ["e"], ["r"]),
        node("Reciprocal", ["r"], ["i"]),
        node("Mul", ["i", "g3"], ["k"]),
        node("Mul", ["x", "k"], ["xk"]),
        node("Neg", ["m"], ["minus"]),
        node("Mul", ["minus", "k"], ["mk"]),
        node("Add", ["mk", "b3"], ["rest"]),
        node("Add", ["xk", "rest"], ["h"]),
    ],
}


@pytest.mark.parametrize("form", NORMS)
def test_layer_normalisation(form, load):
    gamma, beta = normal(4), normal(4)
    tensors = {"g": gamma, "b": beta, "g3": gamma[:, None, None], "b3": beta[:, None, None]}
    tensors |= {"two": f32(2), "eps": f32(1e-3)}
    network = load(graph([*NORMS[form], *POOL], tensors))
    np.testing.assert_allclose(
        network.forward(X).scores, mean(normalised(X, gamma, beta)), atol=1e-5
    )
    ops = [layer.op for layer in layers(network)]
    assert ops == ["input", "layer_norm", "global_average_pool", "flatten", "softmax"]


def test_batch_and_local_response_normalisation(load):
    values = [normal(4), normal(4), normal(4), np.abs(normal(4)) + 0.5]
    nodes = [
        node("LRN", ["x"], ["a"], size=3, alpha=0.3, beta=0.6, bias=1.5),
        node("BatchNormalization", ["a", "g", "b", "m", "v"], ["h"], epsilon=1e-2),
        *POOL,
    ]
    network = load(graph(nodes, dict(zip("gbmv", values, strict=True))))
    squares = np.pad(X**2, [(0, 0), (1, 1), (0, 0), (0, 0)])
    near = squares[:, :-2] + squares[:, 1:-1] + squares[:, 2:]
    g, b, m, v = (np.float64(each).reshape(-1, 1, 1) for each in values)
    h = (X / (1.5 + 0.1 * near) ** 0.6 - m) / np.sqrt(v + 1e-2) * g + b
    np.testing.assert_allclose(network.forward(X).scores, mean(h), atol=1e-5)


@pytest.mark.parametrize("form", ["Gemm", "Gemm, transposed", "MatMul"])
def test_linear_layers(form, load):
    weight, bias = normal(3, 168), normal(3)
    nodes = [node("Flatten", ["x"], ["f"])]
    tensors = {"w": weight if "transposed" in form else np.ascontiguousarray(weight.T), "b": bias}
    factors = (1.0, 1.0)
    if form == "MatMul":
        nodes += [node("MatMul", ["f", "w"], ["m"]), node("Add", ["b", "m"], ["y"])]
    else:
        factors = (0.5, 2.0)
        attributes = {"transB": int("transposed" in form), "alpha": 0.5, "beta": 2.0}
        nodes += [node("Gemm", ["f", "w", "b"], ["y"], **attributes)]
    network = load(graph(nodes, tensors))
    expected = factors[0] * X.reshape(2, -1) @ np.float64(weight).T + factors[1] * bias
    np.testing.assert_allclose(network.forward(X).scores, expected, atol=1e-5)
    assert (network.size, network.fixed) == ((7, 6), True)


# --- arrangements and parts ---------------------------------------------------------------------

PARTS: dict[str, tuple[list[bytes], dict[str, np.ndarray], np.ndarray, int]] = {
    "split, concat": (
        [
            node("Split", ["x", "sizes"], ["a", "b"], axis=1),
            node("Concat", ["b", "a", "b"], ["h"], axis=-3),
        ],
        {"sizes": np.array([1, 3])},
        np.concatenate([X[:, 1:], X[:, :1], X[:, 1:]], axis=1),
        13,
    ),
    "split into equal parts": (
        [
            node("Split", ["x"], ["a", "b"], axis=1, num_outputs=2),
            node("Mul", ["a", "b"], ["h"]),
        ],
        {},
        X[:, :2] * X[:, 2:],
        18,
    ),
    "slice 9": ([node("Slice", ["x"], ["h"], axes=[1, 2], starts=[1, -6], ends=[9, 6])], {},
                X[:, 1:, 1:6], 9),
    "slice 13": (
        [node("Slice", ["x", "starts", "ends", "axes", "steps"], ["h"])],
        {
            **{"starts": np.array([1, 0]), "ends": np.array([2**31, 7]), "axes": np.array([3, 2])},
            "steps": np.array([2, 2]),
        },
        X[:, :, ::2, 1::2],
        13,
    ),
    "reversed channels": (
        [node("Slice", ["x", "starts", "ends", "axes", "steps"], ["h"])],
        {
            **{"starts": np.array([-1]), "ends": np.array([-(2**63) + 1]), "axes": np.array([1])},
            "steps": np.array([-1]),
        },
        X[:, ::-1],
        13,
    ),
    "gather": (
        [
            node("Gather", ["x", "two"], ["a"], axis=1),
            node("Unsqueeze", ["a", "axis"], ["b"]),
            node("Gather", ["x", "some"], ["c"], axis=1),
            node("Concat", ["b", "c"], ["h"], axis=1),
        ],
        {"two": np.array(2), "axis": np.array([1]), "some": np.array([3, 0])},
        X[:, [2, 3, 0]],
        13,
    ),
    "pad 10": ([node("Pad", ["x"], ["h"], pads=[0, 0, 1, 2, 0, 0, 0, -1])], {},
               padded(X, 1, 2, 0, 0)[..., :-1], 10),
    "pad 18": (
        [node("Pad", ["x", "pads", "zero", "axes"], ["h"])],
        {"pads": np.array([1, 2, 1, 0]), "zero": f32(0), "axes": np.array([2, 1])},
        np.pad(X, [(0, 0), (2, 0), (1, 1), (0, 0)]),
        18,
    ),
    "shuffle": (
        [
            node("Reshape", ["x", "apart"], ["a"]),
            node("Transpose", ["a"], ["b"], perm=[0, 2, 1, 3, 4]),
            node("Reshape", ["b", "again"], ["c"]),
            node("Relu", ["x"], ["d"]),
            node("Add", ["c", "d"], ["h"]),
        ],
        {"apart": np.array([0, 2, -1, 7, 6]), "again": np.array([0, 4, 7, 6])},
        X[:, [0, 2, 1, 3]] + np.maximum(X, 0),
        13,
    ),
    "channels last": (
        [
            node("Transpose", ["x"], ["a"], perm=[0, 2, 3, 1]),
            node("Mul", ["a", "v"], ["b"]),
            node("MatMul", ["b", "w"], ["c"]),
            node("Transpose", ["c"], ["h"], perm=[0, 3, 1, 2]),
        ],
        {"v": SLOPES.reshape(-1), "w": W33[:, :, 0, 0].T.copy()},
        np.einsum("nchw,kc->nkhw", X * SLOPES, W33[:, :, 0, 0]),
        13,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PARTS)
def test_parts_and_arrangements(case, load):
    nodes, tensors, expected, opset = PARTS[case]
    network = load(graph([*nodes, *POOL], tensors, opset=opset))
    np.testing.assert_allclose(network.forward(X).scores, mean(expected), atol=1e-5)


def test_shapes_are_computed(load):
    """``x.view(x.size(0), -1)``, and a mean that is divided by the number of positions."""
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["n"], axis=0),
        node("Unsqueeze", ["n", "axis"], ["ns"]),
        node("Concat", ["ns", "rest"], ["target"], axis=0),
        node("Slice", ["s", "two", "four"], ["sizes"]),
        node("ReduceProd", ["sizes"], ["count"], keepdims=0),
        node("Cast", ["count"], ["floats"], to=1),
        node("ReduceSum", ["x", "positions"], ["sum"]),
        node("Div", ["sum", "floats"], ["m"]),
        node("Reshape", ["m", "target"], ["y"]),
    ]
    numbers = {"zero": 0, "axis": [0], "rest": [-1], "two": [2], "four": [4], "positions": [2, 3]}
    tensors = {name: np.array(value) for name, value in numbers.items()}
    network = load(graph(nodes, tensors))
    np.testing.assert_allclose(network.forward(X).scores, mean(X), atol=1e-6)
    assert network.fixed


# --- the end ------------------------------------------------------------------------------------


def attention_along_channels(**attributes) -> list[bytes]:
    """Each channel times a factor, from the means around it (Wang et al., 2020)."""
    return [
        node("ReduceMean", ["x"], ["m"], axes=[2, 3], keepdims=0),
        node("Reshape", ["m", "row"], ["r"]),
        node("Conv", ["r", "w", "b"], ["c"], **{"pads": [1, 1], **attributes}),
        node("Sigmoid", ["c"], ["s"]),
        node("Reshape", ["s", "column"], ["f"]),
        node("Shape", ["x"], ["size"]),
        node("Expand", ["f", "size"], ["e"]),
        node("Mul", ["x", "e"], ["h"]),
        *POOL,
    ]


ALONG = {
    "row": np.array([1, 1, -1]),
    "column": np.array([1, -1, 1, 1]),
    "w": normal(1, 1, 3),
    "b": normal(1),
}


def test_a_convolution_along_the_channels(load):
    found = load(graph(attention_along_channels(), ALONG)).forward(f32(X)).scores
    around = np.pad(mean(X), ((0, 0), (1, 1)))
    along = sum(ALONG["w"][0, 0, i] * around[:, i : i + 4] for i in range(3)) + ALONG["b"]
    np.testing.assert_allclose(found, mean(X) * sigmoid(along), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("attributes", [{"pads": [1, 0]}, {"strides": [2]}, {"group": 2}])
def test_other_convolutions_of_three_dimensions_are_refused(attributes, load):
    with pytest.raises(WeightsError, match=r"Conv 'Conv_c': (reads|has)"):
        load(graph(attention_along_channels(**attributes), ALONG))


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Sigmoid"])
@pytest.mark.parametrize("opset", [11, 13])
def test_heads(op, opset, load):
    axis = {} if op == "Sigmoid" or opset == 13 else {"axis": 1}
    nodes = [POOL[0], node("Flatten", ["p"], ["f"]), node(op, ["f"], ["y"], **axis)]
    nodes.insert(0, node("Relu", ["x"], ["h"]))
    network = load(graph(nodes, opset=opset))
    ours = {"Softmax": "softmax", "LogSoftmax": "log_softmax", "Sigmoid": "sigmoid"}
    assert layers(network)[-1].op == ours[op]
    np.testing.assert_allclose(network.forward(X).scores, mean(np.maximum(X, 0)), atol=1e-6)


def test_labels_at_the_end_are_left_out(load):
    nodes = [node("Relu", ["x"], ["h"]), *POOL, node("ArgMax", ["y"], ["best"], axis=1)]
    for outputs in (["best"], ["best", "y"]):
        network = load(graph(nodes, outputs=outputs))
        assert len(network.labels) == 4
        assert "its scores are used" in network.about


def test_one_of_several_outputs(load):
    nodes = [node("Relu", ["x"], ["h"]), *POOL, node("Relu", ["y"], ["z"])]
    data = graph(nodes, outputs=["y", "z"])
    with pytest.raises(WeightsError, match=r"has 2 outputs: choose .*output=\.\.\. \('y', 'z'\)"):
        load(data)
    assert load(data, output="y").forward(X).scores.min() >= 0
    with pytest.raises(WeightsError, match=r"no output 'h'; its outputs are y, z"):
        load(data, output="h")


# --- the input ----------------------------------------------------------------------------------

W11 = normal(5, 3, 1, 1)


def first(nodes: list[bytes], shape: tuple[int | None, ...] | None, **tensors) -> bytes:
    conv = node("Conv", ["c", "w"], ["h"])
    return graph([*nodes, conv, *POOL], {"w": W11, **tensors}, shape=shape)


@pytest.mark.parametrize("shape", [(None, 8, 9, 3), (2, 8, 9, 3), (None, None, None, 3), None])
def test_channels_last(shape, load):
    network = load(first([node("Transpose", ["x"], ["c"], perm=[0, 3, 1, 2])], shape))
    x = RNG.normal(size=(2, 3, 8, 9))
    expected = np.einsum("nchw,kc->nk", x, W11[:, :, 0, 0]) / 72
    np.testing.assert_allclose(network.forward(x).scores, expected, atol=1e-5)
    assert (network.size, network.fixed) == (((8, 9) if shape and shape[1] else None), False)


def test_a_grey_picture_with_its_channel_last(load):
    """Such a Transpose is written as a Reshape."""
    nodes = [
        node("Reshape", ["x", "shape"], ["c"]),
        node("Conv", ["c", "k"], ["h"]),
        *POOL,
    ]
    kernel = normal(3, 1, 2, 2)
    tensors = {"shape": np.array([-1, 1, 6, 5]), "k": kernel}
    network = load(graph(nodes, tensors, shape=(None, 6, 5, 1)))
    x = RNG.normal(size=(2, 1, 6, 5))
    expected = mean(np.einsum("nchwrs,kcrs->nkhw", windows(x, (2, 2)), kernel))
    np.testing.assert_allclose(network.forward(x).scores, expected, atol=1e-5)


def test_scaled_pixels(load):
    x = RNG.uniform(0, 255, (1, 3, 8, 9))
    shifted = [node("Div", ["x", "k"], ["a"]), node("Sub", ["a", "one"], ["c"])]
    network = load(first(shifted, (1, 3, 8, 9), k=f32(127.5), one=f32(1)))
    assert network.preset is not None and network.preset.name == "0..255"
    expected = np.einsum("nchw,kc->nk", x / 127.5 - 1, W11[:, :, 0, 0]) / 72
    np.testing.assert_allclose(network.forward(x).scores, expected, atol=1e-5)
    assert load(first([node("Relu", ["x"], ["c"])], (1, 3, 8, 9))).preset is None


def test_sizes(load):
    flatten = [node("Flatten", ["x"], ["f"]), node("Gemm", ["f", "w"], ["y"])]
    weight = normal(3 * 8 * 9, 2)
    data = graph(flatten, {"w": weight}, shape=(None, 3, None, None))
    with pytest.raises(WeightsError, match=r"leaves the size .* open, and 224 x 224 was taken"):
        load(data)
    assert load(data, size=(8, 9)).size == (8, 9)
    right = graph(flatten, {"w": weight}, shape=(1, 3, 8, 9))
    with pytest.raises(WeightsError, match=r"made for inputs of 8 x 9 only"):
        load(right, size=9)
    assert load(right, size=(8, 9)).fixed
    options = {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"}
    strided = first([node("MaxPool", ["x"], ["c"], **options)], (None, 3, None, None))
    assert "does not say the size of its input; 224 x 224" in load(strided).about
    assert "size" not in load(strided, size=9).about
    pooled = first([node("Relu", ["x"], ["c"])], (1, 3, 8, 9))
    assert load(pooled).size == (8, 9) and load(pooled, size=12).size == (12, 12)


# --- refusals -----------------------------------------------------------------------------------

ONE = {"k": f32(1), "w": W33, "three": normal(3), "i": np.array([1, 0])}

REFUSED: dict[str, tuple[bytes | list[bytes], str]] = {
    name: (node(op, inputs, ["h"], **attributes), pattern)
    for name, op, inputs, attributes, pattern in [
        (
            "quantised",
            "QuantizeLinear",
            ["x", "k"],
            {},
            "QuantizeLinear 'QuantizeLinear_h': .*quan",
        ),
        ("recurrent", "LSTM", ["x"], {}, "LSTM .* is recurrent"),
        ("segmentation", "ConvTranspose", ["x", "w"], {}, "makes maps larger"),
        ("detection", "NonMaxSuppression", ["x"], {}, "detection of objects"),
        ("loop", "Loop", ["x"], {}, "decides at run time"),
        ("attention", "MatMul", ["x", "x"], {}, "MatMul .* is attention"),
        ("groups", "InstanceNormalization", ["x", "k", "k"], {}, "statistics of each picture"),
        ("unknown", "Mish", ["x"], {}, "Mish .*from_layers"),
        ("missing", "Add", ["x", "lost"], {}, "reads 'lost', which nothing in the file computes"),
        ("channels", "Conv", ["x", "three"], {}, r"weights of shape \(3,\)"),
        ("no weights", "Conv", ["x"], {}, "has no parameter 1"),
        ("pads", "Conv", ["x", "w"], {"pads": [1, 1]}, r"has pads \(1, 1\)"),
        ("groups of 3", "Conv", ["x", "w"], {"group": 3}, "in 3 groups for a map of 4"),
        ("auto_pad", "Conv", ["x", "w"], {"auto_pad": "BEST"}, "auto_pad 'BEST'"),
        ("strides", "Conv", ["x", "w"], {"strides": [0, 1]}, "strides"),
        ("text", "Conv", ["x", "w"], {"group": "1"}, "has group '1', expected int"),
        ("large", "MaxPool", ["x"], {"kernel_shape": [9, 9]}, "windows of"),
        ("dilated", "MaxPool", ["x"], {"kernel_shape": [2, 2], "dilations": [2, 2]}, "gaps"),
        ("shapes", "Add", ["x", "three"], {}, "combines shapes"),
        ("divisor", "Div", ["k", "x"], {}, "divides by a map"),
        ("exponent", "Pow", ["x", "k3"], {}, "exponent 3"),
        ("integers", "Cast", ["x"], {"to": 7}, "converts a map to ONNX's type 7"),
        ("order", "Transpose", ["x"], {"perm": [0, 1]}, "cannot order"),
        ("axis", "Concat", ["x", "x"], {"axis": 2}, "only channels can be joined"),
        ("reflect", "Pad", ["x", "pads"], {"mode": "reflect"}, "by 'reflect'; only zeros"),
        ("even", "LRN", ["x"], {"size": 4}, "size 4, expected an odd"),
        ("no channel", "Slice", ["x", "one", "two", "one", "minus"], {}, "takes no channel of 4"),
        ("min of maps", "Max", ["x", "x"], {}, "compares two maps"),
        ("reshape", "Reshape", ["x", "i"], {}, "cannot reshape"),
        ("training", "BatchNormalization", ["x", *"gbmv"], {"training_mode": 1}, "evaluation mode"),
    ]
}


@pytest.mark.parametrize("case", REFUSED)
def test_operations_that_are_refused(case, load):
    made, pattern = REFUSED[case]
    tensors = {**ONE, "k3": f32(3), "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])}
    tensors |= {"one": np.array([1]), "two": np.array([2]), "minus": np.array([-1])}
    tensors |= {name: np.ones(4, np.float32) for name in "gbmv"}
    with pytest.raises(WeightsError, match=f"x.onnx: an ONNX graph: .*{pattern}") as error:
        load(graph([made, *POOL], tensors))
    assert re.match(r"[^\n]{20,400}$", str(error.value))


def test_a_domain_of_ones_own(load):
    with pytest.raises(WeightsError, match=r"com\.acme\.Foo .*of the domain 'com\.acme'"):
        load(graph([node("Foo", ["x"], ["h"], "com.acme"), *POOL]))
    with pytest.raises(WeightsError, match=r"is a function inside the file.*PyTorch 2\.5"):
        load(graph([node("aten_relu", ["x"], ["h"], "pkg.onnxscript.torch_lib"), *POOL]))


def test_graphs_that_are_no_classifiers(load):
    relu = node("Relu", ["x"], ["h"])
    cases: list[tuple[list[bytes], dict, str]] = [
        ([node("Relu", ["x"], ["y"])], {}, "expected one score for each class"),
        ([node("Relu", ["b"], ["y"]), node("Relu", ["y"], ["b"])], {}, "the graph has a cycle"),
        ([relu, *POOL, node("Relu", ["x"], ["h"])], {}, "'h' is defined twice"),
        ([relu, *POOL], {"outputs": []}, "has no output"),
        ([node("Relu", ["k"], ["y"])], {}, "depend on 0 inputs"),
        ([relu, *POOL], {"shape": (1, 4)}, r"the shape \(1, 4\), expected four"),
        ([relu, *POOL], {"opset": 99}, "opset 99, newer than"),
        ([relu, *POOL], {"opset": 5}, "opset 5; the oldest supported one is 7"),
    ]
    for nodes, options, pattern in cases:
        with pytest.raises(WeightsError, match=pattern):
            load(graph(nodes, {"k": f32(1)}, **options))
    two = {"x": (1, 4, 7, 6), "mask": (1, 4, 7, 6)}
    with pytest.raises(WeightsError, match=r"depend on 2 inputs \('x', 'mask'\)"):
        load(graph([node("Add", ["x", "mask"], ["h"]), *POOL], inputs=two))
    unused = load(graph([relu, *POOL], inputs=two))
    assert unused.size == (7, 6)


# --- names --------------------------------------------------------------------------------------


def named(nodes: list[tuple[str, str, list[str], str]], tensors=("w",)) -> Callable[..., list[str]]:
    def of(load) -> list[str]:
        made = [
            message(*((1, i) for i in inputs), (2, output), (3, name), (4, op))
            for op, name, inputs, output in nodes
        ]
        arrays = {name: W33[:4, :, :1, :1] for name in tensors}
        return [layer.name for layer in layers(load(graph([*made, *POOL], arrays)))][1:-3]

    return of


@pytest.mark.parametrize(
    "nodes, expected",
    [
        (
            [
                ("Conv", "/layer4/layer4.1/conv2/Conv", ["x", "w"], "a"),
                ("Relu", "/layer4/layer4.1/relu/Relu", ["a"], "b"),
                ("Add", "/layer4/layer4.1/Add", ["a", "b"], "c"),
                ("Relu", "/layer4/layer4.1/relu_1/Relu", ["c"], "h"),
            ],
            ["layer4.1.conv2", "layer4.1.relu", "layer4.1.add", "layer4.1.relu_1"],
        ),
        (
            [
                ("Conv", "functional_1/block1_conv1/convolution", ["x", "w"], "a"),
                ("Relu", "functional_1/block1_conv1/Relu", ["a"], "b"),
                ("Relu", "functional_1/re_lu/Relu", ["b"], "h"),
            ],
            ["block1_conv1.convolution", "block1_conv1", "re_lu"],
        ),
        (
            [
                ("Conv", "Conv_0", ["x", "features.0.weight"], "a"),
                ("Relu", "Relu_1", ["a"], "b"),
                ("Relu", "", ["b"], "h"),
            ],
            ["features.0", "relu", "relu_1"],
        ),
    ],
)
def test_names_of_layers(nodes, expected, load):
    assert named(nodes, ("w", "features.0.weight"))(load) == expected


def test_the_names_of_nodes_are_further_names(load):
    nodes = [node("Conv", ["x", "features.0.weight"], ["h"]), *POOL]
    network = load(graph(nodes, {"features.0.weight": W33}))
    assert network.forward(X).activation("Conv_h").shape == (2, 5, 5, 4)
    assert network.target_layer == "features.0"


# --- hostile files ------------------------------------------------------------------------------


def test_a_long_chain_takes_linear_time(load):
    """Each of 1000 nodes has the name of all others."""
    nodes = [
        message((1, f"v{i - 1}" if i else "x"), (2, f"v{i}"), (3, "a/b/c"), (4, "Relu"))
        for i in range(1000)
    ]
    nodes.append(node("GlobalAveragePool", ["v999"], ["p"]))
    assert len(load(graph([*nodes, POOL[1]])).layers) > 1000
