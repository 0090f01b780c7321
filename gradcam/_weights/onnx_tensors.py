"""The tensors of an ONNX file, stored in the file itself or in another one beside it.

A file beside is given by its bare name and must be in the model's folder; a path, or a link to
another folder, is refused. A model that is a link has two folders, its own and that of its target:
caches store a model and its data side by side under other names, and link to both.
"""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcam._weights.protobuf import Message
from gradcam._weights.tensors import WeightsError, as_float32, from_bfloat16

_DIMS, _DATA_TYPE, _SEGMENT, _NAME, _RAW_DATA = 1, 2, 3, 8, 9
_FLOAT_DATA, _INT32_DATA, _INT64_DATA, _DOUBLE_DATA, _UINT64_DATA = 4, 5, 7, 10, 11
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_KEY, _VALUE = 1, 2
_MAX_DIMENSIONS = 32
_MAX_BYTES = 1 << 62

_BOOL, _BFLOAT16 = 9, 16
_DTYPES = {
    **{1: "<f4", 10: "<f2", 11: "<f8"},
    **{2: "u1", 3: "i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 12: "<u4", 13: "<u8"},
    _BOOL: "u1",
    _BFLOAT16: "<u2",  # NumPy has no bfloat16: the bits are read, and converted to float32
}
"""By TensorProto.data_type."""

_FIELDS = {1: _FLOAT_DATA, 7: _INT64_DATA, 11: _DOUBLE_DATA, 12: _UINT64_DATA, 13: _UINT64_DATA}
"""The field of the numbers if they are not raw bytes; int32_data for all other types."""

_CONVERTED = {10: "float16", 11: "float64", _BFLOAT16: "bfloat16"}
"""The types that are converted to float32."""


class Tensors:
    """The tensors of a graph, each read when it is added.

    Parameters
    ----------
    path : str
        The model's file.

    Attributes
    ----------
    arrays : dict of str to array
    dtypes : dict of str to str
        The types of those that were converted.
    """

    def __init__(self, path: str) -> None:
        self.arrays: dict[str, NDArray[np.generic]] = {}
        self.dtypes: dict[str, str] = {}
        self._path = path
        self._files: dict[str, _ExternalFile] = {}

    @property
    def external(self) -> bool:
        """Whether a tensor is stored in another file."""
        return bool(self._files)

    def add(self, message: Message, name: str | None = None) -> None:
        """Add a TensorProto by its own name or the one given, unless NumPy lacks its type."""
        name = message.text(_NAME) if name is None else name
        message.name = f"tensor {name!r}"
        values = self.read(message)
        if values is None:
            return
        self.add_array(name, values)
        dtype = _CONVERTED.get(message.integer(_DATA_TYPE))
        if dtype is not None:
            self.dtypes[name] = dtype

    def add_array(self, name: str, values: NDArray[np.generic]) -> None:
        """Add a tensor that is not a TensorProto."""
        if name in self.arrays:
            raise WeightsError(f"{self._path}: tensor {name!r}: is defined twice")
        self.arrays[name] = values

    def read(self, message: Message) -> NDArray[np.generic] | None:
        """Return the array of a TensorProto, or None if NumPy does not have its type.

        Floating-point numbers are returned as float32; without a copy if they are stored as such.
        """
        kind = message.integer(_DATA_TYPE)
        if kind < 1:
            raise message.error(f"has ONNX's type {kind}, which does not exist")
        if kind not in _DTYPES:
            return None
        if message.chunks(_SEGMENT):
            raise message.error("is stored in segments, which are not supported")
        dtype = np.dtype(_DTYPES[kind])
        shape = tuple(int(d) for d in message.integers(_DIMS, _MAX_DIMENSIONS))
        if min(shape, default=0) < 0 or math.prod(d or 1 for d in shape) >= _MAX_BYTES // 8:
            raise message.error(f"has shape {shape}")
        values = self._numbers(message, dtype, math.prod(shape), kind)
        if values.size != math.prod(shape):
            raise message.error(f"has shape {shape}, but holds {values.size} numbers")
        values = values.reshape(shape)
        if kind == _BFLOAT16:
            return from_bfloat16(values)
        return np.asarray(values != 0) if kind == _BOOL else as_float32(values)

    def _numbers(
        self, message: Message, dtype: np.dtype[Any], count: int, kind: int
    ) -> NDArray[Any]:
        """Return the numbers in one dimension, from the field in which they are stored."""
        if message.integer(_DATA_LOCATION):
            return self._external(message, count * dtype.itemsize).view(dtype)
        raw = message.chunks(_RAW_DATA)
        if raw:
            if len(raw[-1]) % dtype.itemsize:
                raise message.error(f"holds {len(raw[-1])} bytes, of numbers of {dtype.itemsize}")
            return np.frombuffer(raw[-1], dtype)
        field = _FIELDS.get(kind, _INT32_DATA)
        if field in (_FLOAT_DATA, _DOUBLE_DATA):
            found = message.floats(field, dtype.str)
            return np.empty(0, dtype) if found is None else found
        if dtype.kind == "f":  # float16: its bits are stored in a field of integers
            return message.integers(field, count, "<u2").view(dtype)
        return message.integers(field, count, dtype.str)

    def _external(self, message: Message, needed: int) -> NDArray[np.uint8]:
        """Return the bytes of a tensor that is stored in another file."""
        pairs = message.messages(_EXTERNAL_DATA, "external_data")
        entries = {pair.text(_KEY): pair.text(_VALUE) for pair in pairs}
        location = entries.get("location", "")
        offset = _natural(entries.get("offset", "0"))
        length = _natural(entries["length"]) if "length" in entries else needed
        if offset is None or length != needed:
            raise message.error(
                f"needs {needed} bytes of {location!r}, the file says offset "
                f"{entries.get('offset')!r}, length {entries.get('length')!r}"
            )
        if location not in self._files:
            self._files[location] = _ExternalFile(self._path, location, message)
        return self._files[location].take(offset, needed, message)


class _ExternalFile:
    """A file in the model's folder that stores the numbers of some of its tensors."""

    def __init__(self, model: str, name: str, message: Message) -> None:
        if not name or name in (".", "..") or set(name) & set("/\\\0") or os.path.isabs(name):
            raise message.error(
                f"is stored in {name!r}, expected the bare name of a file beside the model"
            )
        folder = os.path.realpath(os.path.dirname(os.path.abspath(model)))
        target = os.path.realpath(os.path.join(folder, name))
        if os.path.dirname(target) not in (folder, os.path.dirname(os.path.realpath(model))):
            raise message.error(
                f"is stored in {name!r}, a link out of the model's folder; copy the file there"
            )
        if not os.path.isfile(target):
            raise message.error(
                f"is stored in {name!r}, which is not beside the model; put it there"
            )
        self._name = name
        self._size = self._left = os.path.getsize(target)
        self._data = np.memmap(target, np.uint8, "r") if self._size else np.empty(0, np.uint8)

    def take(self, offset: int, length: int, message: Message) -> NDArray[np.uint8]:
        """Return a tensor's bytes; all tensors together cannot take more than the file's size."""
        self._left -= length
        if offset + length > self._size or self._left < 0:
            raise message.error(
                f"needs {length} bytes from {offset} of {self._name!r}, which has {self._size} in "
                f"all (truncated, or the file of another model)"
            )
        return np.asarray(self._data[offset : offset + length])


def _natural(text: str) -> int | None:
    """Return the number that a text of digits stands for, else None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
