"""Recognise protocol buffers that are not weights read here, by their first fields."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gradcam._weights.protobuf import BYTES, VARINT

_MAX_FIELDS = 3
"""Fields at the beginning of a message that are examined."""

_SNAPSHOT = re.compile(rb"[^\x00-\x1f]{1,512}\.caffemodel(\.h5)?")


def message(start: bytes) -> str | None:
    """Describe a file that begins with these bytes of a message; None if it is not known.

    SavedModel, GraphDef: tensorflow/core/protobuf/saved_model.proto, framework/graph.proto in
    github.com/tensorflow/tensorflow. Model: mlmodel/format/Model.proto in
    github.com/apple/coremltools. ProgramDesc: paddle/fluid/framework/framework.proto in
    github.com/PaddlePaddle/Paddle. SolverState, BlobProto: caffe.proto.
    """
    fields = _first_fields(start)
    first, second = fields.get(1), fields.get(2)
    if isinstance(first, int) and isinstance(second, bytes):
        return _numbered(second)
    if isinstance(first, int) and isinstance(second, int) and isinstance(fields.get(3), int):
        return (
            "a blob of Caffe (.binaryproto), perhaps the mean of its training pictures, not weights"
        )
    if isinstance(first, bytes):
        return _nested(first)
    return None


def _numbered(second: bytes) -> str | None:
    """Describe a message of a number, then this field of bytes."""
    if _SNAPSHOT.fullmatch(second):
        return (
            "the state of a training with Caffe (.solverstate), not weights: pass the .caffemodel "
            "of the same number"
        )
    inner = _first_fields(second, 1).get(1)
    if not isinstance(inner, bytes):
        return None
    if inner[:1] == b"\x0a":  # ModelDescription: of a feature, its name
        return (
            "a Core ML model (.mlmodel), which is not supported: use the network that it was made "
            "from, or that network's ONNX file"
        )
    return (
        "a TensorFlow SavedModel's graph, without its weights: convert the folder that holds it "
        "with python -m tf2onnx.convert --saved-model"
    )


def _nested(first: bytes) -> str | None:
    """Describe a message that begins with this field of bytes."""
    fields = _first_fields(first)
    name, op = fields.get(1), fields.get(2)
    if _is_text(name) and _is_text(op):  # NodeDef
        return (
            "a TensorFlow graph (GraphDef, .pb): convert it with python -m tf2onnx.convert "
            "--graphdef, which also takes the names of its inputs and outputs"
        )
    if name == 0 and isinstance(op, int):  # BlockDesc: its number, and its parent's
        return (
            "a network of PaddlePaddle (.pdmodel): convert it, with its .pdiparams, with "
            "paddle2onnx"
        )
    return None


def _is_text(value: int | bytes | None) -> bool:
    return (
        isinstance(value, bytes)
        and bool(value)
        and value.isascii()
        and not (any(byte < 32 for byte in value))
    )


def _first_fields(data: bytes, count: int = _MAX_FIELDS) -> Mapping[int, int | bytes]:
    """Return the first fields of a message: numbers, and bytes, which may be cut off."""
    found: dict[int, int | bytes] = {}
    position = 0
    for _ in range(count):
        tag, position = _number(data, position)
        if tag & 7 == VARINT:
            value, position = _number(data, position)
            found.setdefault(tag >> 3, value)
        elif tag & 7 == BYTES:
            length, position = _number(data, position)
            found.setdefault(tag >> 3, data[position : position + length])
            position += length
        else:
            break
        if not 0 <= position < len(data):
            break
    return found


def _number(data: bytes, position: int) -> tuple[int, int]:
    """Return the varint at `position`, and where it ends; -1 if it does not end in the data."""
    value = 0
    for shift, byte in enumerate(data[position : position + 10]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, position + shift + 1
    return 7, len(data)
