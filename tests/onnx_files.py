"""ONNX models for tests, written field by field, so every field can be invalid.

Field numbers and types from onnx/onnx.proto in github.com/onnx/onnx. A network is a list of
:class:`Op` that a test changes before :func:`model` converts it to bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import vggs
import wire

from gradcam._importers.imported import Choices
from gradcam._importers.onnx import importing
from gradcam._weights import onnx as reader

FLOAT, INT64, FLOAT16, DOUBLE, BFLOAT16 = 1, 7, 10, 11, 16


@dataclass(eq=False)
class Op:
    """One operation of a chain: its inputs are the previous output and the parameters."""

    op: str
    parameters: list[np.ndarray | str] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    domain: str = ""


def layers(name: str, tensors: dict[str, np.ndarray]) -> list[Op]:
    """The operations of a VGG, as PyTorch's exporter writes them."""
    found = []
    for caffe, torchvision, _ in vggs.layers(name):
        roles = ("weight", "bias", "running_mean", "running_var")
        parameters: list[Any] = [
            tensors[f"{torchvision}.{role}"] for role in roles if f"{torchvision}.{role}" in tensors
        ]
        if caffe.startswith("conv"):
            found.append(Op("Conv", parameters, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}))
        elif caffe.startswith("bn"):
            found.append(Op("BatchNormalization", parameters, {"epsilon": 1e-5}))
        elif caffe.startswith("relu"):
            found.append(Op("Relu"))
        elif caffe.startswith("pool"):
            found.append(Op("MaxPool", [], {"kernel_shape": [2, 2], "strides": [2, 2]}))
        elif caffe == "flatten":
            found.append(Op("Flatten"))
        elif caffe.startswith("fc"):
            found.append(Op("Gemm", parameters, {"transB": 1}))
    return found


def model(
    ops: list[Op],
    *,
    tensors: dict[str, bytes] | None = None,
    nodes: list[bytes] | None = None,
    outputs: list[str] | None = None,
) -> bytes:
    """A chain with the input "image"; parameters given by name are in `tensors` or `nodes`."""
    initializers = dict(tensors or {})
    every = list(nodes or [])
    before = "image"
    for number, op in enumerate(ops):
        inputs = [before]
        for i, parameter in enumerate(op.parameters):
            if isinstance(parameter, str):
                inputs.append(parameter)
            else:
                inputs.append(f"p{number}.{i}")
                initializers[inputs[-1]] = tensor(inputs[-1], parameter)
        before = f"m{number}"
        every.append(node(op.op, inputs, [before], op.domain, **op.attributes))
    graph = (
        [(1, each) for each in every]
        + [(2, "graph")]
        + [(5, each) for each in initializers.values()]
    )
    graph.append((11, wire.message((1, "image"))))
    graph += [(12, wire.message((1, name))) for name in (outputs or [before])]
    opset = wire.message((1, ""), (2, 17))
    return wire.message((1, 8), (2, "test"), (7, wire.message(*graph)), (8, opset))


def declared(name: str, shape: tuple[int | None, ...] | None) -> bytes:
    """A ValueInfoProto; None for a size that is left open, or for no shape at all."""
    if shape is None:
        return wire.message((1, name))
    sizes = [wire.message((1, n)) if n else wire.message((2, "any")) for n in shape]
    kind = wire.message((1, wire.message((1, FLOAT), (2, wire.message(*[(1, d) for d in sizes])))))
    return wire.message((1, name), (2, kind))


def node(op: str, inputs: list[str], outputs: list[str], domain: str = "", **attributes) -> bytes:
    fields: list[tuple[int, Any]] = [(1, name) for name in inputs]
    fields += [(2, name) for name in outputs]
    fields += [(3, f"{op}_{outputs[0] if outputs else ''}"), (4, op)]
    fields += [(5, attribute(name, value)) for name, value in attributes.items()]
    return wire.message(*fields, *([(7, domain)] if domain else []))


def attribute(name: str, value: int | float | str | bytes | list[int]) -> bytes:
    """An AttributeProto; bytes are an encoded tensor."""
    kinds: list[tuple[type, int, int]] = [(int, 3, 2), (float, 2, 1), (str, 4, 3), (bytes, 5, 4)]
    for kind, number, declared in kinds:
        if isinstance(value, kind):
            return wire.message((1, name), (number, value), (20, declared))
    assert isinstance(value, list)
    return wire.message((1, name), *[(8, each) for each in value], (20, 7))


def tensor(name: str, values: np.ndarray, **changes: Any) -> bytes:
    """A TensorProto with raw_data; `changes`: dims, kind, data (fields), extra (fields)."""
    kinds = {"float32": FLOAT, "int64": INT64, "float16": FLOAT16, "float64": DOUBLE}
    dims = changes.get("dims", values.shape)
    kind = changes.get("kind", kinds.get(str(values.dtype)))
    data = changes.get("data", [(9, np.ascontiguousarray(values).tobytes())])
    extra = changes.get("extra", [])
    return wire.message(*[(1, d) for d in dims], (2, kind), (8, name), *data, *extra)


def external(name: str, values: np.ndarray, **entries: str) -> bytes:
    """A tensor in another file; `entries`: location, offset, length."""
    pairs = [(13, wire.message((1, key), (2, value))) for key, value in entries.items()]
    return tensor(name, values, data=pairs, extra=[(14, 1)])


def named(path: str | Path) -> dict[str, np.ndarray]:
    """The weights of the network in a file, by their layers' operations and numbers."""
    kinds = {"conv": "conv", "batch_norm": "bn", "linear": "linear"}
    counts = dict.fromkeys(kinds, 0)
    found = {}
    for layer in importing.imported(reader.read(path), Choices()).layers:
        if layer.op in kinds:
            counts[layer.op] += 1
            for role, values in layer.weights.items():
                found[f"{kinds[layer.op]}{counts[layer.op]}.{role}"] = np.asarray(values)
    return found
