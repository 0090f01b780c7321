"""The tensors of an ONNX file: in the file itself, or in another one beside it.

Only those that are asked for are looked at. A file beside is opened by its bare name, in the
model's own folder; a path, or a link that leads elsewhere, is refused. A model that is a link has
two folders, its own and that of its target: caches keep the model and its data side by side under
other names, and give them theirs by links.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcam._weights.protobuf import Message
from gradcam._weights.tensors import as_float32, from_bfloat16

_DIMS, _DATA_TYPE, _SEGMENT, _NAME, _RAW_DATA = 1, 2, 3, 8, 9
_FLOAT_DATA, _INT32_DATA, _DOUBLE_DATA = 4, 5, 10
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_KEY, _VALUE = 1, 2
_MAX_DIMENSIONS = 32

_DTYPES = {1: "<f4", 10: "<f2", 11: "<f8", 16: "<u2"}
"""By TensorProto's data_type; NumPy has no bfloat16 (16): its bits, widened below."""

_BFLOAT16 = 16
_CONVERTED = {10: "float16", 11: "float64", _BFLOAT16: "bfloat16"}
"""The types that become float32, in words."""


class Tensors:
    """The initialisers and constants of a graph, by name.

    Parameters
    ----------
    path : str
        The model's file.
    initialisers : iterable of Message
        TensorProtos with names.
    """

    def __init__(self, path: str, initialisers: Iterable[Message]):
        self._path = path
        self._messages: dict[str, Message] = {}
        self._arrays: dict[int, NDArray[Any]] = {}
        self._neighbours: dict[str, _Neighbour] = {}
        for message in initialisers:
            self.add(message.text(_NAME), message)

    def __contains__(self, name: str) -> bool:
        return name in self._messages

    def add(self, name: str, message: Message) -> None:
        """Take a tensor in; its name must be new."""
        message.name = f"tensor {name!r}"
        if name in self._messages:
            raise message.error("stands twice")
        self._messages[name] = message

    def alias(self, names: Sequence[str], of: Sequence[str]) -> None:
        """Give tensors that are there further names."""
        for name, other in zip(names, of, strict=False):
            if name in self._messages:
                raise self._messages[name].error("stands twice")
            self._messages[name] = self._messages[other]

    def array(self, name: str) -> NDArray[Any]:
        """A tensor of floating numbers as float32: a view of its file where it is that there."""
        message = self._messages[name]
        key = id(message)
        if key not in self._arrays:  # a tensor that is used twice is converted once
            self._arrays[key] = self._read(message)
        return self._arrays[key]

    @property
    def beside(self) -> bool:
        """Whether a tensor that was asked for lies in another file."""
        return bool(self._neighbours)

    def converted(self, name: str) -> str | None:
        """The type of a tensor in the file, where :meth:`array` gives it another one."""
        message = self._messages.get(name)
        return None if message is None else _CONVERTED.get(message.integer(_DATA_TYPE))

    def _read(self, message: Message) -> NDArray[Any]:
        kind = message.integer(_DATA_TYPE)
        if kind not in _DTYPES:
            raise message.error(
                f"holds numbers of ONNX's type {kind}, expected floating numbers "
                f"(quantised models are not read)"
            )
        shape = tuple(int(d) for d in message.integers(_DIMS, _MAX_DIMENSIONS))
        if min(shape, default=1) < 1:
            raise message.error(f"has shape {shape}")
        if message.chunks(_SEGMENT):
            raise message.error("comes in segments, which are not read")
        values = self._values(message, np.dtype(_DTYPES[kind]), math.prod(shape))
        if values.size != math.prod(shape):
            raise message.error(f"has shape {shape}, but holds {values.size} numbers")
        values = values.reshape(shape)
        if kind == _BFLOAT16:
            values = from_bfloat16(values)
        return as_float32(values)

    def _values(self, message: Message, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
        """The numbers in a row, from whichever field they are in."""
        if message.integer(_DATA_LOCATION):
            return self._outside(message, count * dtype.itemsize).view(dtype)
        raw = message.chunks(_RAW_DATA)
        if raw:
            if len(raw[-1]) % dtype.itemsize:
                raise message.error(f"holds {len(raw[-1])} bytes, of numbers of {dtype.itemsize}")
            return np.frombuffer(raw[-1], dtype)
        if dtype.itemsize == 2:  # the bits of 16-bit numbers stand in a field of integers
            return message.integers(_INT32_DATA, count, "<u2").view(dtype)
        found = message.floats(_FLOAT_DATA if dtype.itemsize == 4 else _DOUBLE_DATA, dtype.str)
        return np.empty(0, dtype) if found is None else found

    def _outside(self, message: Message, needed: int) -> NDArray[np.uint8]:
        """The bytes of a tensor that lies in another file."""
        pairs = message.messages(_EXTERNAL_DATA, "external_data")
        entries = {pair.text(_KEY): pair.text(_VALUE) for pair in pairs}
        location = entries.get("location", "")
        begin, length = (
            _natural(entries.get(key, d)) for key, d in (("offset", "0"), ("length", ""))
        )
        if "length" not in entries:
            length = needed
        if begin is None or length != needed:
            raise message.error(
                f"needs {needed} bytes of {location!r}, the file says offset "
                f"{entries.get('offset')!r}, length {entries.get('length')!r}"
            )
        if location not in self._neighbours:
            self._neighbours[location] = _Neighbour(self._path, location, message)
        return self._neighbours[location].take(begin, needed, message)


class _Neighbour:
    """A file beside the model, with the numbers of some of its tensors."""

    def __init__(self, model: str, name: str, message: Message):
        if not name or name in (".", "..") or set(name) & set("/\\\0") or os.path.isabs(name):
            raise message.error(
                f"is to lie in {name!r}, expected the bare name of a file beside the model"
            )
        folder = os.path.realpath(os.path.dirname(os.path.abspath(model)))
        place = os.path.realpath(os.path.join(folder, name))
        if os.path.dirname(place) not in (folder, os.path.dirname(os.path.realpath(model))):
            raise message.error(
                f"lies in {name!r}, which is a link out of the model's folder; copy the file there"
            )
        if not os.path.isfile(place):
            raise message.error(f"lies in {name!r}, which is not beside the model; put it there")
        self._name = name
        self._size = self._left = os.path.getsize(place)
        self._data = np.memmap(place, np.uint8, "r") if self._size else np.empty(0, np.uint8)

    def take(self, begin: int, length: int, message: Message) -> NDArray[np.uint8]:
        """A tensor's bytes. Together they cannot be more than the file, however they overlap."""
        self._left -= length
        if begin + length > self._size or self._left < 0:
            raise message.error(
                f"needs {length} bytes from {begin} of {self._name!r}, which has {self._size} in "
                f"all (truncated, or not this model's)"
            )
        return np.asarray(self._data[begin : begin + length])


def _natural(text: str) -> int | None:
    """The number that the text is, or None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
