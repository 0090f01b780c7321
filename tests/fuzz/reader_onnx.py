"""The reader and the importer of ONNX files, fuzzed; each file has external data."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import onnx_files
import vggs
from onnx_files import Op
from wire_mutations import mutate

import gradcam
from gradcam._weights import onnx
from gradcam.weights import Weights

__all__ = ["mutate", "read", "seeds"]

EXTERNAL_DATA = "onnx-neighbour"


def read(path: str) -> Weights:
    neighbour = os.path.join(os.path.dirname(path), EXTERNAL_DATA)
    if not os.path.exists(neighbour):
        Path(neighbour).write_bytes(bytes(range(256)) * 4)
    weights = onnx.read(path)
    for values in weights.tensors.values():
        values.sum()
    gradcam.load(weights)
    return weights


def seeds() -> list[bytes]:
    """VGG-11s of one channel: plain; batch normalisation and MatMul; constants; many types."""
    tensors = _narrow("vgg11")
    plain = onnx_files.layers("vgg11", tensors)
    normalised = []
    for op in onnx_files.layers("vgg11_bn", _narrow("vgg11_bn")):
        if op.op == "Gemm":
            weight, bias = op.parameters
            normalised += [Op("MatMul", [weight.T]), Op("Add", [bias])]
        else:
            normalised.append(op)
    return [
        onnx_files.model(plain),
        onnx_files.model(normalised),
        _with_constants(tensors),
        _with_types(tensors),
        *_other_networks(),
        (
            Path(onnx_files.__file__).parent / "data" / "onnx" / "vgg11_torchscript.onnx"
        ).read_bytes(),
    ]


def _other_networks() -> list[bytes]:
    """Blocks of other families: each operation that the importer knows occurs in one of them."""
    from test_onnx_operations import ELEMENTWISE, NORMS, PARTS, POOL, graph, normal

    ones = np.ones(4, np.float32)
    tensors = {"g": ones, "b": ones, "g3": ones[:, None, None], "b3": ones[:, None, None]}
    tensors |= {"two": np.full((), 2, np.float32), "eps": np.full((), 1e-3, np.float32)}
    found = [
        graph([*nodes, *POOL], tensors, opset=opset)
        for nodes, tensors, _, opset in [*ELEMENTWISE.values(), *PARTS.values()]
    ]
    found += [graph([*nodes, *POOL], tensors) for nodes in NORMS.values()]
    node = onnx_files.node
    pools = {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_LOWER"}
    nhwc = [
        node("Transpose", ["x"], ["a"], perm=[0, 3, 1, 2]),
        node("Conv", ["a", "w"], ["b"], auto_pad="SAME_UPPER", strides=[2, 2], group=2),
        node("MaxPool", ["b"], ["c"], ceil_mode=1, **pools),
        node("AveragePool", ["c"], ["d"], count_include_pad=1, **pools),
        node("LRN", ["d"], ["e"], size=3),
        node("ReduceMean", ["e"], ["f"], axes=[2, 3], keepdims=0),
        node("Gemm", ["f", "v"], ["g"], alpha=0.5),
        node("Softmax", ["g"], ["y"], axis=-1),
    ]
    weights = {"w": normal(4, 2, 3, 3), "v": normal(4, 3)}
    return [*found, graph(nhwc, weights, shape=(None, 9, 8, 4))]


def _narrow(name: str) -> dict[str, np.ndarray]:
    shapes = vggs.tensors(name, divide=64, hidden=(1, 1), classes=1)
    found = {}
    for key, values in shapes.items():
        sizes = (
            (1, 49)
            if values.ndim == 2 and values.shape[1] > 1
            else tuple(3 if size == 3 else 1 for size in values.shape)
        )
        found[key] = np.full(sizes, 0.5, np.float32)
    return found


def _with_constants(tensors: dict[str, np.ndarray]) -> bytes:
    """Reshape by computed shapes, Dropout, a Constant as a weight, an Identity of a bias."""
    ops = onnx_files.layers("vgg11", tensors)
    weight, bias = ops[0].parameters
    ops[0].parameters = ["w", "b"]
    flatten = next(op for op in ops if op.op == "Flatten")
    flatten.op, flatten.parameters = "Reshape", ["target"]
    ops[-2:-2] = [Op("Dropout", [], {"ratio": 0.5})]
    node = onnx_files.node
    nodes = [
        node("Constant", [], ["w"], value=onnx_files.tensor("", weight)),
        node("Identity", ["b0"], ["b"]),
        node("Shape", ["image"], ["shape"]),
        node("Gather", ["shape", "b0"], ["batch"]),
        node("Concat", ["batch", "shape"], ["target"], axis=0),
    ]
    tensor = onnx_files.tensor("b0", bias)
    return onnx_files.model(
        [*ops, Op("Softmax", [], {"axis": 1})], tensors={"b0": tensor}, nodes=nodes
    )


def _with_types(tensors: dict[str, np.ndarray]) -> bytes:
    """float16, float64, bfloat16, numbers in typed fields, and external data."""
    ops = onnx_files.layers("vgg11", tensors)
    initializers = {}

    def put(op: Op, number: int, **changes) -> None:
        name, values = f"x{len(initializers)}", op.parameters[number]
        make = onnx_files.external if "location" in changes else onnx_files.tensor
        initializers[name] = make(name, values, **changes)
        op.parameters[number] = name

    convolutions = [op for op in ops if op.op == "Conv"]
    convolutions[1].parameters[0] = convolutions[1].parameters[0].astype(np.float16)
    convolutions[2].parameters[0] = convolutions[2].parameters[0].astype(np.float64)
    put(convolutions[3], 0, kind=onnx_files.BFLOAT16, data=[(5, b"\x80\x7e" * 9)])
    put(convolutions[4], 0, kind=onnx_files.FLOAT16, data=[(5, 0x3800)] * 9)
    put(convolutions[5], 0, data=[(4, 0.5)] * 9)
    put(convolutions[6], 0, kind=onnx_files.DOUBLE, data=[(10, np.full(9, 0.5).tobytes())])
    put(convolutions[7], 0, location=EXTERNAL_DATA, offset="4", length="36")
    put(convolutions[7], 1, location=EXTERNAL_DATA)
    return onnx_files.model(ops, tensors=initializers)
