"""ONNX files that are small but ask for much: refused in bounded time and memory."""

from __future__ import annotations

import numpy as np
import pytest
import wire
from onnx_files import node, tensor

import gradcam
from gradcam import WeightsError
from gradcam._importers import builder


def integers(name: str, *values: int) -> bytes:
    return tensor(name, np.array(values, np.int64))


def model(nodes: list[bytes], *tensors: bytes, shape=(1, 3, 8, 8)) -> bytes:
    """A graph from the input "x" of a shape to the output "y"."""
    dims = [(1, wire.message((1, size))) for size in shape]
    kind = wire.message((1, wire.message((1, 1), (2, wire.message(*dims)))))
    fields = [(1, each) for each in nodes] + [(2, "g")] + [(5, each) for each in tensors]
    fields += [(11, wire.message((1, "x"), (2, kind))), (12, wire.message((1, "y")))]
    opset = wire.message((1, ""), (2, 17))
    return wire.message((1, 8), (7, wire.message(*fields)), (8, opset))


def chain(op: str, count: int) -> list[bytes]:
    names = ["x", *(f"v{i}" for i in range(count - 1)), "y"]
    return [node(op, [names[i]], [names[i + 1]]) for i in range(count)]


POOLED = node("GlobalAveragePool", ["z"], ["y"])
FILLED = node("ConstantOfShape", ["s"], ["w"])
CASES = {
    "a constant of 4 GB": (
        [FILLED, node("Reshape", ["w", "m"], ["e"]), node("Add", ["x", "e"], ["y"])],
        [integers("s", 1 << 15, 1 << 15), integers("m", -1)],
        r"ConstantOfShape 'ConstantOfShape_w': computes a constant of shape \(32768, 32768\)",
    ),
    "a copy of a constant": (
        [
            *(FILLED, node("Transpose", ["w"], ["t"]), node("Reshape", ["t", "m"], ["e"])),
            node("Add", ["x", "e"], ["y"]),
        ],
        [integers("s", 1 << 14, 3 << 13), integers("m", -1)],
        "Reshape 'Reshape_e': computes a constant",
    ),
    "many classes": (
        [FILLED, node("Conv", ["x", "w"], ["z"]), POOLED],
        [integers("s", 2_000_000, 3, 1, 1)],
        "ends in 2000000 scores, at most 1000000 expected",
    ),
    "channels that are doubled": (
        [
            node("Concat", ["x", "x"], ["v0"], axis=1),
            *(node("Concat", [f"v{i}"] * 2, [f"v{i + 1}"], axis=1) for i in range(39)),
            node("GlobalAveragePool", ["v39"], ["y"]),
        ],
        [],
        "ends in 3298534883328 scores",
    ),
    "padding": (
        [node("Pad", ["x", "p"], ["z"]), POOLED],
        [integers("p", 0, 0, 1 << 40, 1 << 40, 0, 0, 1 << 40, 1 << 40)],
        "the padding must be",
    ),
    "a pooling": (
        [node("MaxPool", ["x"], ["z"], kernel_shape=[1 << 40] * 2, pads=[1 << 39] * 4), POOLED],
        [],
        "window must be|has windows of",
    ),
    "a cycle": (
        [node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), node("Relu", ["b"], ["y"])],
        [],
        "Add 'Add_a': depends on its own result: the graph has a cycle",
    ),
    "many outputs": (
        [node("Split", ["x", "s"], ["y", *(f"o{i}" for i in range(9999))], axis=1)],
        [integers("s", *[1] * 10_000)],
        "splits 3 into parts",
    ),
    "many dimensions": (
        [node("Reshape", ["x", "s"], ["z"]), node("Relu", ["z"], ["y"])],
        [integers("s", *[1] * 100_000, -1)],
        r"Reshape 'Reshape_z': cannot reshape \(1, 3, 8, 8\) to 100001 dimensions",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_refused(case, tmp_path):
    nodes, tensors, message = CASES[case]
    path = tmp_path / "x.onnx"
    path.write_bytes(model(nodes, *tensors))
    with pytest.raises(WeightsError, match=message):
        gradcam.load(path)


def test_a_deep_graph_needs_no_recursion(tmp_path):
    path = tmp_path / "x.onnx"
    path.write_bytes(model(chain("Tanh", 1500)))
    with pytest.raises(WeightsError, match=r"ends in \(1, 3, 8, 8\)"):
        gradcam.load(path)


def test_too_many_layers(tmp_path, monkeypatch):
    monkeypatch.setattr(builder, "MAX_LAYERS", 5)
    path = tmp_path / "x.onnx"
    path.write_bytes(model(chain("Tanh", 6)))
    with pytest.raises(WeightsError, match="Tanh 'Tanh_y': is layer 6; networks of more"):
        gradcam.load(path)


def test_constants_that_the_file_does_not_hold_are_read_once(tmp_path):
    """Weights by ConstantOfShape, as the models for tests of the onnx package have them."""
    path = tmp_path / "x.onnx"
    value = tensor("v", np.array([0.5], np.float32))
    filled = node("ConstantOfShape", ["s"], ["w"], value=value)
    nodes = [filled, node("Conv", ["x", "w"], ["z"]), POOLED]
    path.write_bytes(model(nodes, integers("s", 2, 3, 3, 3)))
    net = gradcam.load(path)
    x = np.ones((3, 8, 8), np.float32)
    np.testing.assert_allclose(net.forward(x).scores, [[13.5, 13.5]], rtol=1e-6)
