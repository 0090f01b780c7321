"""Caffe's .caffemodel: a NetParameter message with the layers and their blobs of numbers.

Field numbers are from BVLC's ``caffe.proto`` (src/caffe/proto in github.com/BVLC/caffe).
NetParameter has ``layers`` of the old type V1LayerParameter, as in the files of 2014, or ``layer``
of the new type; BlobProto has its shape in a message or in four fields of the old type. Files that
Caffe itself writes hold the whole network beside the blobs: each layer's type, what it reads and
writes ("bottom", "top"), and its parameters.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from gradcam._weights import protobuf
from gradcam._weights.caffe_schema import (
    CONVOLUTIONS,
    LAYERS,
    MESSAGES,
    OLD_TYPES,
    SEVERAL_INPUTS,
    SEVERAL_OUTPUTS,
    SOURCES,
    Kind,
    Parameters,
)
from gradcam._weights.graph import Attribute, Graph, Node
from gradcam._weights.protobuf import BYTES, VARINT, Message
from gradcam._weights.tensors import Weights, as_float32

FORMAT = "Caffe model"

_NET = dict.fromkeys((1, 2, 3, 6, 8, 100), BYTES) | dict.fromkeys((4, 5, 7), VARINT)
"""Wire types of NetParameter's fields: name, layers, input, state, input_shape, layer; input_dim,
two flags."""

_NET_NAME, _NET_INPUT, _NET_INPUT_DIM, _NET_INPUT_SHAPE = 1, 3, 4, 8


class _Fields(NamedTuple):
    """Numbers of the fields of a layer, and of NetParameter's field of such layers."""

    layers: int
    name: int
    type: int
    bottom: int
    top: int
    blobs: int
    include: int
    exclude: int


_OLD = _Fields(2, 4, 5, 2, 3, 6, 32, 33)
_NEW = _Fields(100, 1, 2, 3, 4, 7, 8, 9)
_PHASE = 10
"""The field of LayerParameter for the phase of the net that was saved."""

_RULE_PHASE = 1
_PHASES = ("TRAIN", "TEST")

_FIRST_MESSAGE = 100
"""The lowest field of LayerParameter for parameters of one type of layer."""

_V0_LAYER = 1
"""The field of V1LayerParameter for a layer of the type before the end of 2013."""

_BLOB_DATA, _BLOB_DOUBLE_DATA, _BLOB_SHAPE = 5, 8, 7
_BLOB_OLD_SHAPE = (1, 2, 3, 4)
_BLOB_KNOWN = 9
"""The highest field of BVLC's BlobProto; NVIDIA's and Intel's have more, for 16-bit numbers."""

_SHAPE_DIM = 1
_MAX_DIMENSIONS = 32
_MAX_NUMBERS = 4096
"""Of one parameter: points of a slice, coefficients."""


def recognise(start: bytes) -> bool:
    """Whether a file that begins with `start` can be a caffemodel.

    The format has no signature. The file must begin with the network's name, which is printable,
    and continue with a field of a network, if `start` contains it.
    """
    if start[:1] != b"\n" or len(start) < 2:  # newline: the tag of the name
        return False
    name = start[2 : 2 + start[1]]
    whole = len(name) == start[1]
    known = protobuf.begins_with(start, _NET) if whole else start[1] < 0x80
    return known and name.decode("utf-8", "ignore").isprintable()


def read(path: str | os.PathLike[str]) -> Weights:
    """Map a caffemodel into memory: "LAYER.weight", "LAYER.bias", "LAYER.2", ... and the graph.

    Shapes are those of the file: in old files all have four dimensions, for example (1, 1, out, in)
    for inner products. Float32 tensors are views of the mapped file; float64 ones are converted to
    float32.

    Returns
    -------
    Weights
        With a graph of kind "caffe" if the file describes the network, or else of kind "caffe
        parts", or None if it says nothing beside names and blobs. A node's operation is Caffe's
        type of layer, its attributes are the parameters by Caffe's names, those that the file
        states; and "only", the phase ("TRAIN", "TEST") that a layer is for, "phase", the number of
        the phase of the saved net, and "unknown", numbers of fields that BVLC's schema lacks.
        Without bottoms in the whole file, its layers are a chain in its order.

    Raises
    ------
    WeightsError
        If the file is truncated or damaged, has no weights, or has weights of 16 bits.
    """
    net = protobuf.open_message(path, FORMAT)
    tensors: dict[str, NDArray[Any]] = {}
    dtypes: dict[str, str] = {}
    seen: set[str] = set()
    nodes = list(_inputs(net))
    for fields in (_OLD, _NEW):
        for layer in net.messages(fields.layers, "a layer"):
            name, blobs = layer.text(fields.name), layer.messages(fields.blobs, "a blob")
            if fields is _OLD and layer.chunks(_V0_LAYER):
                raise net.error(
                    "layers of the type of 2013, which only Caffe reads; convert the file with its "
                    "tool upgrade_net_proto_binary"
                )
            layer.name = f"layer {name!r}"
            nodes.extend(_nodes(layer, name, fields))
            if not blobs:
                continue
            if not name or name in seen:
                raise net.error(f"two layers with weights are named {name!r}")
            seen.add(name)
            for i, blob in enumerate(blobs):
                blob.name = f"layer {name!r}, blob {i}"
                role = ("weight", "bias")[i] if i < 2 else str(i)
                values = _values(blob)
                tensors[f"{name}.{role}"] = as_float32(values)
                if values.dtype.itemsize > 4:
                    dtypes[f"{name}.{role}"] = "float64"
    if not tensors:
        raise net.error("no layer has weights (a definition without them, or another format)")
    title = net.text(_NET_NAME)
    return Weights(
        tensors, {"name": title} if title else {}, FORMAT, dtypes, graph=_graph(nodes, seen)
    )


# ------------------------------------------------------------------------ the graph


def _graph(nodes: Sequence[Node], weighted: set[str]) -> Graph | None:
    """Return the graph, and whether it is the whole network; None if no layer has a type."""
    chain = not any(node.inputs for node in nodes)
    sources = [node for node in nodes if _is_source(node, chain)]
    layers = [node for node in nodes if not _is_source(node, chain)]
    if not any(node.op for node in layers):
        return None
    whole = all(
        node.op and (chain or node.inputs) and _is_stated(node, weighted) for node in layers
    )
    if chain:
        several = (*SEVERAL_INPUTS, *SEVERAL_OUTPUTS)
        whole = whole and not any(node.op in several for node in layers)
    inputs = tuple(name for node in sources for name in node.outputs)
    return Graph(tuple(nodes), inputs, (), kind="caffe" if whole else "caffe parts")


def _is_source(node: Node, chain: bool) -> bool:
    """Whether a layer reads nothing: of a type that does, or of one that is not known here."""
    return node.op in SOURCES or (not chain and not node.inputs and node.op not in ("", *LAYERS))


def _is_stated(node: Node, weighted: set[str]) -> bool:
    """Whether the file has the parameters without which Caffe does not accept such a layer."""
    kernel = {"kernel_size", "kernel_h"} & node.attributes.keys()
    if node.op == "Pooling":
        return bool(kernel) or "global_pooling" in node.attributes
    if node.op in CONVOLUTIONS:
        return node.name in weighted and bool(kernel)
    return node.op != "InnerProduct" or node.name in weighted


def _inputs(net: Message) -> Iterator[Node]:
    """Yield the inputs that the net itself lists, as layers."""
    names = net.texts(_NET_INPUT)
    shapes = [_dimensions(shape) for shape in net.messages(_NET_INPUT_SHAPE, "input_shape")]
    numbers = net.integers(_NET_INPUT_DIM, 4 * max(1, len(names))).tolist()
    for i, name in enumerate(names):
        shape = tuple(numbers[4 * i : 4 * i + 4])
        if len(shapes) in (1, len(names)):
            shape = shapes[i % len(shapes)]
        yield Node("Input", name, (), (name,), {"shape": shape} if shape else {})


def _nodes(layer: Message, name: str, fields: _Fields) -> Iterator[Node]:
    """Yield a layer; of a source of several tops one node each, numbered by its attribute "top"."""
    if fields is _OLD:
        kind = layer.integer(fields.type)
        op = OLD_TYPES.get(kind, f"type {kind}" if kind else "")
    else:
        op = layer.text(fields.type)
    attributes, shapes = _attributes(layer, op, fields)
    bottoms, tops = tuple(layer.texts(fields.bottom)), tuple(layer.texts(fields.top))
    if op not in SOURCES:
        if shapes:
            attributes["shape"] = shapes[0]
        yield Node(op, name, bottoms, tops, attributes)
        return
    for i, top in enumerate(tops or (name,)):
        own: dict[str, Attribute] = {**attributes, "top": i}
        if shapes:
            own["shape"] = shapes[min(i, len(shapes) - 1)]
        yield Node(op, name, (), (top,), own)


def _attributes(
    layer: Message, op: str, fields: _Fields
) -> tuple[dict[str, Attribute], list[tuple[int, ...]]]:
    """Return the parameters of a layer, and the shapes among them."""
    found: dict[str, Attribute] = {}
    shapes: list[tuple[int, ...]] = []
    unknown: list[int] = []
    for message in LAYERS.get(op, ()):
        number = message.old if fields is _OLD else message.new
        content = None if number is None else layer.message(number, "its parameters")
        if content is not None:
            found |= _parameters(content, message, shapes)
            unknown += [each for each in content.numbers() if each not in message.fields]
    if fields is _NEW:
        unknown += _foreign_messages(layer, op)
        if layer.has(_PHASE):
            found["phase"] = layer.integer(_PHASE)
    only = _only(layer, fields)
    if only:
        found["only"] = only
    if unknown:
        found["unknown"] = tuple(unknown)
    return found, shapes


def _parameters(
    content: Message, message: Parameters, shapes: list[tuple[int, ...]]
) -> dict[str, Attribute]:
    found: dict[str, Attribute] = {}
    for number, (name, kind) in message.fields.items():
        if not content.has(number) or kind == "unused":
            continue
        if kind == "shapes":
            shapes += [_dimensions(shape) for shape in content.messages(number, "a shape")]
        else:
            found[name] = _value(content, number, kind)
    return found


def _value(content: Message, number: int, kind: Kind) -> Attribute:
    if kind == "int":
        return content.integer(number)
    if kind == "ints":
        return tuple(int(each) for each in content.integers(number, _MAX_NUMBERS))
    if kind == "text":
        return content.text(number)
    values = content.floats(number, "<f4")
    if values is None or not 0 < values.size <= _MAX_NUMBERS:
        raise content.error(f"field {number} does not hold 1 to {_MAX_NUMBERS} numbers")
    numbers = tuple(float(each) for each in values)
    return numbers if kind == "floats" else numbers[-1]


def _foreign_messages(layer: Message, op: str) -> list[int]:
    """Return the fields of a layer that hold messages which BVLC's schema does not have for it."""
    if op not in LAYERS or op in SOURCES:
        return []
    own = {message.new for message in LAYERS[op]}
    return [
        number
        for number in layer.numbers()
        if number >= _FIRST_MESSAGE
        and number not in own
        and number not in MESSAGES
        and layer.holds_bytes(number)
    ]


def _only(layer: Message, fields: _Fields) -> str:
    """Return the only phase that a layer is for, if it has rules about phases alone."""
    allowed = set(_PHASES)
    for number, included in ((fields.include, True), (fields.exclude, False)):
        named = set()
        for rule in layer.messages(number, "a rule"):
            if rule.numbers() == [_RULE_PHASE]:
                named.add(_PHASES[min(1, max(0, rule.integer(_RULE_PHASE)))])
        if named:
            allowed &= named if included else set(_PHASES) - named
    return allowed.pop() if len(allowed) == 1 else ""


# ------------------------------------------------------------------------ blobs


def _values(blob: Message) -> NDArray[Any]:
    """Return the array of a blob, float32 or float64."""
    single, double = blob.floats(_BLOB_DATA, "<f4"), blob.floats(_BLOB_DOUBLE_DATA, "<f8")
    if single is not None and double is not None:
        raise blob.error("holds its numbers twice, as float32 and as float64")
    values = single if double is None else double
    if values is None:
        if max(blob.numbers(), default=0) > _BLOB_KNOWN:
            raise blob.error(
                "holds its numbers in a format of NVIDIA's or Intel's Caffe (16 bits?); "
                "save it with BVLC's Caffe, as float32"
            )
        raise blob.error("holds no numbers (a definition without weights?)")
    shape = _shape(blob)
    if math.prod(shape) != values.size:
        raise blob.error(f"has shape {shape}, but holds {values.size} numbers")
    return values.reshape(shape)


def _shape(blob: Message) -> tuple[int, ...]:
    shape = blob.message(_BLOB_SHAPE, "shape")
    if shape is not None:
        dimensions = _dimensions(shape)
    else:
        dimensions = tuple(blob.integer(field) for field in _BLOB_OLD_SHAPE)
    if min(dimensions, default=1) < 1:
        raise blob.error(f"has shape {dimensions}")
    return dimensions


def _dimensions(shape: Message) -> tuple[int, ...]:
    return tuple(int(d) for d in shape.integers(_SHAPE_DIM, _MAX_DIMENSIONS))
