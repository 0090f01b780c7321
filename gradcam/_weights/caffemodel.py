"""Caffe's .caffemodel: a NetParameter message with the layers and their blobs of numbers.

Field numbers are from BVLC's ``caffe.proto`` (src/caffe/proto in github.com/BVLC/caffe).
NetParameter has ``layers`` of the old type V1LayerParameter, as in the files of 2014, or ``layer``
of the new type; BlobProto has its shape in a message or in four fields of the old type. The types
of layers are not read: the definition of the network is in another file (.prototxt).
"""

from __future__ import annotations

import math
import os
from typing import Any

from numpy.typing import NDArray

from gradcam._weights import protobuf
from gradcam._weights.protobuf import BYTES, VARINT, Message
from gradcam._weights.tensors import Weights, as_float32

FORMAT = "Caffe model"

_NET = dict.fromkeys((1, 2, 3, 6, 8, 100), BYTES) | dict.fromkeys((4, 5, 7), VARINT)
"""Wire types of NetParameter's fields: name, layers, input, state, input_shape, layer; input_dim,
two flags."""

_NET_NAME = 1
_LAYERS = {2: (4, 6), 100: (1, 7)}
"""NetParameter's fields of layers, old and new, and their fields of the name and the blobs."""

_V0_LAYER = 1
"""The field of V1LayerParameter for a layer of the type before the end of 2013."""

_BLOB_DATA, _BLOB_DOUBLE_DATA, _BLOB_SHAPE = 5, 8, 7
_BLOB_OLD_SHAPE = (1, 2, 3, 4)
_BLOB_KNOWN = 9
"""The highest field of BVLC's BlobProto; NVIDIA's and Intel's have more, for 16-bit numbers."""

_SHAPE_DIM = 1
_MAX_DIMENSIONS = 32


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
    """Map a caffemodel into memory: "LAYER.weight" and "LAYER.bias", in the file's order.

    Shapes are those of the file: in old files all have four dimensions, for example (1, 1, out, in)
    for inner products. Float32 tensors are views of the mapped file; float64 ones are converted to
    float32.

    Raises
    ------
    WeightsError
        If the file is truncated or damaged, has no weights, or has weights of 16 bits.
    """
    net = protobuf.open_message(path, FORMAT)
    tensors: dict[str, NDArray[Any]] = {}
    dtypes: dict[str, str] = {}
    seen = set()
    for field, (name_field, blobs_field) in _LAYERS.items():
        for layer in net.messages(field, "a layer"):
            name, blobs = layer.text(name_field), layer.messages(blobs_field, "a blob")
            if field == 2 and layer.chunks(_V0_LAYER):
                raise net.error(
                    "layers of the type of 2013, which only Caffe reads; convert the file with its "
                    "tool upgrade_net_proto_binary"
                )
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
    name = net.text(_NET_NAME)
    return Weights(tensors, {"name": name} if name else {}, FORMAT, dtypes)


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
        dimensions = tuple(int(d) for d in shape.integers(_SHAPE_DIM, _MAX_DIMENSIONS))
    else:
        dimensions = tuple(blob.integer(field) for field in _BLOB_OLD_SHAPE)
    if min(dimensions, default=1) < 1:
        raise blob.error(f"has shape {dimensions}")
    return dimensions
