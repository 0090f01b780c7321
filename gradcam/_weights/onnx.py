"""ONNX files: the tensors by the names in the file, and the graph of operations.

Field numbers are from onnx/onnx.proto in github.com/onnx/onnx. The onnx package itself would parse
the whole file into memory; here tensors are views of the mapped file.
"""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np

from gradcam._weights import protobuf
from gradcam._weights.graph import Attribute, Graph, Node
from gradcam._weights.onnx_tensors import Tensors
from gradcam._weights.protobuf import BYTES, VARINT, Message
from gradcam._weights.tensors import Weights, WeightsError

FORMAT = "ONNX"

_MODEL = dict.fromkeys((2, 3, 4, 6, 7, 8, 14, 20, 25, 26), BYTES) | dict.fromkeys((1, 5), VARINT)
"""Wire types of ModelProto's fields: ir_version (1), model_version (5), texts and messages."""

_MODEL_PRODUCER, _MODEL_PRODUCER_VERSION, _MODEL_GRAPH = 2, 3, 7
_MODEL_OPSET, _MODEL_METADATA = 8, 14
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_MAX_METADATA = 1 << 20
"""Bytes of a text of the metadata: the names of many thousand classes."""

_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_VALUE_NAME, _VALUE_TYPE, _TYPE_TENSOR, _TENSOR_SHAPE, _SHAPE_DIM, _DIM_SIZE = 1, 2, 1, 2, 1, 1
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_OP, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 3, 4, 5, 7
_NODE_METADATA = 9
_ATTRIBUTE_NAME, _ATTRIBUTE_TYPE = 1, 20

_SCOPES = "pkg.torch.onnx.name_scopes"
"""A node's metadata in which PyTorch lists the modules around it, as a Python list of texts."""

_STANDARD = ("", "ai.onnx")
"""The domain of the standard operations."""

_FLOAT, _INT, _STRING, _TENSOR, _FLOATS, _INTS = 1, 2, 3, 4, 6, 7
_ATTRIBUTE_FIELDS = {_FLOAT: 2, _INT: 3, _STRING: 4, _TENSOR: 5, _FLOATS: 7, _INTS: 8}
"""The field of an attribute's value by AttributeProto.type, for the types that are read."""

_CONSTANTS: dict[str, np.dtype[Any]] = {
    **dict.fromkeys(("value_int", "value_ints"), np.dtype(np.int64)),
    **dict.fromkeys(("value_float", "value_floats"), np.dtype(np.float32)),
}
"""The types of the attributes of Constant that are numbers; ``value`` is a tensor."""


def recognise(start: bytes) -> bool:
    """Whether a file that begins with `start` can be an ONNX model.

    The format has no signature. The file must begin with the version, a small number, and
    continue with fields of a model.
    """
    return start[:1] == b"\x08" and protobuf.begins_with(start, _MODEL)


def read(path: str | os.PathLike[str]) -> Weights:
    """Map an ONNX file into memory.

    The tensors are the initialisers and constants of the graph. Those of types that NumPy does not
    have (strings, 8-bit floats, 4-bit integers, ...) are left out. Tensors can be stored in a file
    beside this one, as exporters of large models do.

    Raises
    ------
    WeightsError
        If the file is truncated or damaged.
    """
    path = os.fspath(path)
    model = protobuf.open_message(path, FORMAT)
    graph = model.message(_MODEL_GRAPH, "the graph")
    if graph is None:
        raise model.error("no graph (a TensorFlow SavedModel or a Caffe .solverstate?)")
    tensors = Tensors(path)
    for message in graph.messages(_GRAPH_INITIALIZER, "an initialiser"):
        tensors.add(message)
    nodes = [_node(message, tensors) for message in graph.messages(_GRAPH_NODE, "a node")]
    inputs = _declared(graph, _GRAPH_INPUT, "an input")
    outputs = _declared(graph, _GRAPH_OUTPUT, "an output")
    shapes = {name: shape for name, shape in {**outputs, **inputs}.items() if shape is not None}
    return Weights(
        tensors.arrays,
        metadata=_entries(model, _MODEL_METADATA),
        format=FORMAT,
        dtypes=tensors.dtypes,
        graph=Graph(
            nodes=tuple(node for node in nodes if node is not None),
            inputs=tuple(name for name in inputs if name not in tensors.arrays),
            outputs=tuple(outputs),
            external=tensors.external,
            shapes=shapes,
            opset=_opset(model),
            producer=f"{model.text(_MODEL_PRODUCER)} {model.text(_MODEL_PRODUCER_VERSION)}".strip(),
        ),
    )


def _opset(model: Message) -> int:
    """Return the version of the standard operations; 0 if the file does not say it."""
    versions = [0]
    for entry in model.messages(_MODEL_OPSET, "an opset"):
        if entry.text(_OPSET_DOMAIN) in _STANDARD:
            versions.append(entry.integer(_OPSET_VERSION))
    return versions[-1]


def _entries(message: Message, field: int) -> dict[str, str]:
    """Return pairs of texts; those that are not text, or very long, are left out."""
    found = {}
    for entry in message.messages(field, "metadata"):
        value = (entry.chunks(_ENTRY_VALUE) or [memoryview(b"")])[-1]
        try:
            if len(value) <= _MAX_METADATA:
                found[entry.text(_ENTRY_KEY)] = str(value, "utf-8")
        except (WeightsError, UnicodeDecodeError):
            continue
    return found


def _declared(graph: Message, field: int, name: str) -> dict[str, tuple[int | None, ...] | None]:
    """Return the names of inputs or outputs with their declared shapes, if they have one."""
    return {value.text(_VALUE_NAME): _shape(value) for value in graph.messages(field, name)}


def _shape(value: Message) -> tuple[int | None, ...] | None:
    """Return the declared shape of a value; None for each size that is left open."""
    kind = value.message(_VALUE_TYPE, "a type")
    tensor = kind.message(_TYPE_TENSOR, "a tensor's type") if kind else None
    shape = tensor.message(_TENSOR_SHAPE, "a shape") if tensor else None
    if shape is None:
        return None
    sizes = [dim.integer(_DIM_SIZE) for dim in shape.messages(_SHAPE_DIM, "a dimension")]
    return tuple(size if size > 0 else None for size in sizes)


def _node(message: Message, tensors: Tensors) -> Node | None:
    """Read a node; None if it is a constant, whose value is added to the tensors."""
    op, domain = message.text(_NODE_OP), message.text(_NODE_DOMAIN)
    outputs = message.texts(_NODE_OUTPUT)
    attributes = {}
    constant = op == "Constant" and domain in _STANDARD and len(outputs) == 1
    for attribute in message.messages(_NODE_ATTRIBUTE, "an attribute"):
        name = attribute.text(_ATTRIBUTE_NAME)
        if constant and name == "value":
            for tensor in attribute.messages(_ATTRIBUTE_FIELDS[_TENSOR], "a constant"):
                tensors.add(tensor, outputs[0])
            return None
        attributes[name] = _value(attribute, tensors)
    if constant and len(attributes) == 1:
        ((name, value),) = attributes.items()
        if _is_numbers(name, value):
            tensors.add_array(outputs[0], np.asarray(value, _CONSTANTS[name]))
            return None
    return Node(
        op=op if domain in _STANDARD else f"{domain}.{op}",
        name=message.text(_NODE_NAME),
        inputs=tuple(message.texts(_NODE_INPUT)),
        outputs=tuple(outputs),
        attributes=attributes,
        scope=_scope(message),
    )


def _is_numbers(name: str, value: Attribute) -> bool:
    """Whether an attribute of Constant is one number, or several, of the type that it names."""
    if name not in _CONSTANTS:
        return False
    kind = int if _CONSTANTS[name].kind == "i" else float
    if name.endswith("s"):
        return isinstance(value, tuple) and all(type(each) is kind for each in value)
    return type(value) is kind


def _scope(node: Message) -> str:
    """Return the module around a node: the last but one of the scopes, of which the last is the
    node itself."""
    text = _entries(node, _NODE_METADATA).get(_SCOPES, "")
    scopes = re.findall(r"'([^']*)'", text)
    return scopes[-2] if len(scopes) > 1 else ""


def _value(attribute: Message, tensors: Tensors) -> Attribute:
    """Return the value of an attribute; None for types that are not read (graphs, lists of texts).

    Files of old versions do not store the type: it is the one whose field is present.
    """
    present = [kind for kind, field in _ATTRIBUTE_FIELDS.items() if field in attribute.numbers()]
    kind = attribute.integer(_ATTRIBUTE_TYPE) or (present[0] if present else 0)
    field = _ATTRIBUTE_FIELDS.get(kind, 0)
    if kind == _INT:
        return attribute.integer(field)
    if kind == _INTS:
        integers = attribute.integers(field, attribute.file.fields_left).tolist()
        attribute.file.count(len(integers))
        return tuple(integers)
    if kind in (_FLOAT, _FLOATS):
        floats = _floats(attribute, field)
        return floats if kind == _FLOATS else floats[-1] if floats else 0.0
    if kind == _STRING:
        try:
            return attribute.text(field)
        except WeightsError:  # bytes that are not text, or very long
            return None
    if kind == _TENSOR:
        found = attribute.message(field, "a tensor")
        return None if found is None else tensors.read(found)
    return None


def _floats(attribute: Message, field: int) -> tuple[float, ...]:
    """Return float32 numbers, each as the shortest decimal number that rounds to it."""
    values = attribute.floats(field, "<f4")
    if values is None:
        return ()
    attribute.file.count(len(values))
    return tuple(float(str(value)) for value in values)
