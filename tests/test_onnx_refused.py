"""ONNX graphs that compute something else than a network of gradcam could: refused, by name."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_files import node, tensor
from test_onnx_operations import POOL, graph

import gradcam
from gradcam import WeightsError

MEAN = [node("GlobalAveragePool", ["x"], ["p"]), node("Flatten", ["p"], ["f"])]
ROWS = [node("Reshape", ["x", "rows"], ["r"])]
BACK = [node("Reshape", ["q", "back"], ["h"]), *POOL]
"""From (channels, positions) to the scores."""

TENSORS = {
    **{"rows": np.array([4, 15]), "back": np.array([1, 4, 3, 5]), "none": np.zeros(0, np.int64)},
    **{"w": np.ones((15, 3), np.float32), "one": np.ones((1, 3), np.float32)},
    **{"fours": np.ones((4, 1), np.float32), "g": np.arange(15, dtype=np.float32)},
    "last": np.array([1]),
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
