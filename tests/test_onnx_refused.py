"""ONNX graphs that compute something else than a network of gradcam could: refused, by name."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_files import node, tensor
from test_onnx_operations import POOL, graph

import gradcam
from gradcam import WeightsError
from gradcam._importers.onnx import functions, normalisations
from gradcam._importers.onnx.attributes import ATTRIBUTES
from gradcam._importers.onnx.interpreter import OPERATIONS

MEAN = [node("GlobalAveragePool", ["x"], ["p"]), node("Flatten", ["p"], ["f"])]
ROWS = [node("Reshape", ["x", "rows"], ["r"])]
BACK = [node("Reshape", ["q", "back"], ["h"]), *POOL]
"""From (channels, positions) to the scores."""

TENSORS = {
    **{"rows": np.array([4, 15]), "back": np.array([1, 4, 3, 5]), "none": np.zeros(0, np.int64)},
    **{"w": np.ones((15, 3), np.float32), "one": np.ones((1, 3), np.float32)},
    **{"fours": np.ones((4, 1), np.float32), "g": np.arange(15, dtype=np.float32)},
    **{"last": np.array([1]), "eps": np.float32(1e-3)},
    "cut": np.array([0, 0, -2, 0, 0, 0, -1, 0]),
    "far": np.array([0, 0, -(1 << 40), 0, 0, 0, 0, 0]),
    "grey": np.ones((1, 4, 1, 1), np.float32),
}

CASES: dict[str, tuple[list[bytes], str]] = {
    "softmax of the batch": (
        [node("Flatten", ["x"], ["f"]), node("Softmax", ["f"], ["y"], axis=0)],
        r"Softmax .*is over axis 0 of \(1, 60\)",
    ),
    "softmax of positions": (
        [*ROWS, node("Softmax", ["r"], ["q"], axis=1), *BACK],
        "Softmax .*4, 15",
    ),
    "a factor for each position": ([*ROWS, node("Mul", ["r", "g"], ["q"]), *BACK], "Mul .*4, 15"),
    "a product over positions": ([*ROWS, node("MatMul", ["r", "w"], ["y"])], "MatMul .*4, 15"),
    "a product of a grey map": (
        [node("Conv", ["x", "grey"], ["a"]), node("MatMul", ["a", "one"], ["h"]), *POOL],
        r"MatMul .*over the last axis of \(1, 1, 7, 1\)",
    ),
    "a product of a batch": (
        [
            *(*MEAN, node("MatMul", ["f", "fours"], ["a"]), node("Squeeze", ["a", "last"], ["b"])),
            node("MatMul", ["b", "one"], ["y"]),
        ],
        "MatMul .*over the last axis",
    ),
    "a product of a number": (
        [
            *(*MEAN, node("MatMul", ["f", "fours"], ["a"]), node("Reshape", ["a", "none"], ["b"])),
            node("MatMul", ["b", "one"], ["y"]),
        ],
        r"MatMul .*for inputs of \(\)",
    ),
    "no parts": ([node("Split", ["x"], ["h"], axis=1, num_outputs=0), *POOL], "num_outputs 0"),
    "all rows cut off": ([node("Pad", ["x", "cut"], ["h"]), *POOL], r"cuts 2 \+ 1 rows"),
    "more than all rows": ([node("Pad", ["x", "far"], ["h"]), *POOL], "cuts 1099511627776"),
    "a misspelled attribute": (
        [node("MaxPool", ["x"], ["h"], kernel_shape=[2, 2], stride=[2, 2]), *POOL],
        "MaxPool .*has an attribute 'stride', which ONNX does not define",
    ),
    "an attribute of none": (
        [node("Relu", ["x"], ["h"], foo=3), *POOL],
        r"Relu .*attribute 'foo', .*\(it has none\)",
    ),
    "labels over the batch": (
        [*MEAN, node("ArgMax", ["f"], ["y"])],
        r"ArgMax .*is over axis 0 of \(1, 4\), expected the classes",
    ),
    "the smallest scores": (
        [*MEAN, node("TopK", ["f", "last"], ["y", "i"], largest=0)],
        "TopK .*chooses the smallest scores",
    ),
    "a normalisation over rows, spelled out": (
        [
            node("ReduceMean", ["x"], ["m"], axes=[2]),
            *(node("Sub", ["x", "m"], ["d"]), node("Mul", ["d", "d"], ["s"])),
            node("ReduceMean", ["s"], ["v"], axes=[2]),
            *(node("Add", ["v", "eps"], ["e"]), node("Sqrt", ["e"], ["q"])),
            *(node("Div", ["d", "q"], ["h"]), *POOL),
        ],
        "Div 'Div_h', the last node of a LayerNormalization written as several nodes: normalises",
    ),
    "another Constant": (
        [
            node("Constant", [], ["k"], "com.acme", value=tensor("", np.float32(2))),
            *(node("Mul", ["x", "k"], ["h"]), *POOL),
        ],
        r"com\.acme\.Constant .*of the domain",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_refused(case, tmp_path):
    nodes, pattern = CASES[case]
    shape = (1, 4, 7, 1) if case == "a product of a grey map" else (1, 4, 3, 5)
    path = tmp_path / "x.onnx"
    path.write_bytes(graph(nodes, TENSORS, shape=shape))
    with pytest.raises(WeightsError, match=pattern):
        gradcam.load(path)


def test_what_is_taken_for_granted_is_said(tmp_path):
    path = tmp_path / "x.onnx"

    def about(nodes: list[bytes], **options: object) -> str:
        path.write_bytes(graph(nodes, {**TENSORS, "k": np.float32([1 / 57])}, **options))
        return gradcam.load(path).about

    scaled = [node("Mul", ["x", "k"], ["h"]), *POOL]
    assert "RGB was taken" in about(scaled, shape=(1, 3, 4, 4))
    assert about(scaled) == ""
    assert "opset 27 was taken" in about(scaled, opset=0)
    best = [*MEAN, node("TopK", ["f", "last"], ["y", "i"])]
    assert "a choice of the best classes" in about(best)
    assert "a choice of the best classes" in about(best, outputs=["i"])


def test_the_attributes_of_every_operation_are_known():
    assert set(ATTRIBUTES) - {"Shape"} == set(OPERATIONS) - {normalisations.OPERATION}


def test_a_convolution_along_few_channels_with_a_long_kernel(tmp_path):
    """Numbers that would read only zeros are not followed."""
    path = tmp_path / "x.onnx"
    kernel = np.zeros((1, 1, 200_001), np.float32)
    kernel[0, 0, 99_999:100_002] = 2, 3, 5
    nodes = [
        *(*MEAN, node("Unsqueeze", ["f", "last"], ["u"])),
        node("Conv", ["u", "kernel"], ["c"], pads=[100_000, 100_000]),
        node("Squeeze", ["c", "last"], ["y"]),
    ]
    path.write_bytes(graph(nodes, {**TENSORS, "kernel": kernel}))
    x = np.random.default_rng(15).normal(size=(1, 4, 7, 6))
    before, at, after = (np.pad(x.mean((2, 3)), ((0, 0), (1, 1)))[:, i : i + 4] for i in range(3))
    np.testing.assert_allclose(
        gradcam.load(path).forward(x).scores, 2 * before + 3 * at + 5 * after, atol=1e-5
    )


def test_activations_that_were_not_looked_for(tmp_path, monkeypatch):
    path = tmp_path / "x.onnx"
    gate = [node("Tanh", ["x"], ["s"]), node("Mul", ["s", "x"], ["m"])]
    last = [node("Tanh", ["m"], ["t"]), node("Mul", ["t", "m"], ["h"]), *POOL]
    monkeypatch.setattr(functions.Functions.__init__, "__defaults__", (1,))
    path.write_bytes(graph([*gate, *last]))
    assert "only in its last part" in gradcam.load(path).about
    path.write_bytes(graph([node("Erf", ["x"], ["s"]), *gate[1:], *last]))
    with pytest.raises(WeightsError, match=r"Erf .*not supported.*only in its last part"):
        gradcam.load(path)
