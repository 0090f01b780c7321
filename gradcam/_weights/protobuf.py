"""The wire format of Protocol Buffers, read in place, for ONNX and Caffe.

A message is a sequence of fields: a tag (field number and wire type), then a number, or a length
and that many bytes, which can be a message again
(https://protobuf.dev/programming-guides/encoding). The usual libraries parse a file of half a
gigabyte into objects, which takes twice the file's size in memory; here tensors are views of the
mapped file. Only the messages that a caller asks for are parsed, so deep nesting costs nothing, and
every length is checked against the number of bytes that follow. Groups, which neither format uses,
are refused.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcam._weights.tensors import WeightsError

VARINT, BYTES = 0, 2
_FIXED = {1: 8, 5: 4}
"""Wire types of numbers of fixed width, and the width in bytes."""

MAX_FIELDS = 1 << 18
"""Maximum number of fields in one file, which bounds the time for reading it."""

_MAX_NUMBER = (1 << 29) - 1
_MAX_TEXT = 4096
_BLOCK = 1 << 20
"""Bytes of packed varints, or fields of the same tag, that are examined together."""

Value = int | memoryview | NDArray[np.uint8]
"""The value of a field: a varint; bytes; or consecutive fields of fixed width as rows of bytes."""


@dataclass
class File:
    """A mapped file, for error messages, and the number of fields that it may still contain."""

    path: str
    kind: str
    fields_left: int = MAX_FIELDS

    def error(self, text: str) -> WeightsError:
        return WeightsError(f"{self.path}: unreadable as {self.kind}: {text}")

    def count(self, fields: int) -> None:
        """Raise WeightsError if the file has more than MAX_FIELDS fields with these."""
        self.fields_left -= fields
        if self.fields_left < 0:
            raise self.error(f"more than {MAX_FIELDS} fields; a network has thousands")


class Message:
    """The fields of one message; the messages in them are parsed on demand.

    Parameters
    ----------
    data : memoryview
        The bytes of the message.
    file : File
    name : str
        What the message describes, for errors.
    """

    def __init__(self, data: memoryview, file: File, name: str) -> None:
        self.file, self.name = file, name
        self._fields: dict[int, list[Value]] = {}
        position = 0
        while position < len(data):
            file.count(1)
            try:
                number, value, position = _field(data, position)
            except ValueError as error:
                raise self.error(str(error)) from None
            self._fields.setdefault(number, []).append(value)

    def error(self, text: str) -> WeightsError:
        return self.file.error(f"{self.name}: {text}")

    def numbers(self) -> list[int]:
        """Return the numbers of the fields that the message contains."""
        return list(self._fields)

    def has(self, number: int) -> bool:
        """Whether the message contains this field."""
        return number in self._fields

    def holds_bytes(self, number: int) -> bool:
        """Whether the field holds bytes, text or messages; False for a field of numbers."""
        return any(isinstance(value, memoryview) for value in self._fields.get(number, []))

    def messages(self, number: int, name: str) -> list[Message]:
        """Return the messages in a repeated field."""
        return [Message(data, self.file, name) for data in self.chunks(number)]

    def message(self, number: int, name: str) -> Message | None:
        """Return the message in an optional field, or None."""
        found = self.messages(number, name)
        if len(found) > 1:
            raise self.error(f"field {number} ({name}) occurs {len(found)} times, expected once")
        return found[0] if found else None

    def chunks(self, number: int) -> list[memoryview]:
        """Return the values of a repeated field of bytes, text or messages, without a copy."""
        found = []
        for value in self._fields.get(number, []):
            if not isinstance(value, memoryview):
                raise self.error(f"field {number} holds numbers, expected bytes")
            found.append(value)
        return found

    def texts(self, number: int) -> list[str]:
        """Return the values of a repeated field of text."""
        found = []
        for data in self.chunks(number):
            if len(data) > _MAX_TEXT:
                raise self.error(f"field {number}: a text of {len(data)} bytes, expected a name")
            try:
                found.append(str(data, "utf-8"))
            except UnicodeDecodeError:
                raise self.error(f"field {number}: not text") from None
        return found

    def text(self, number: int, default: str = "") -> str:
        """Return a field of text; the last of several, as the format specifies."""
        return (self.texts(number) or [default])[-1]

    def integer(self, number: int, default: int = 0) -> int:
        """Return a field of one signed integer; the last of several."""
        found = self._fields.get(number, [default])[-1]
        if not isinstance(found, int):
            raise self.error(f"field {number} is not an integer")
        return found - (1 << 64) if found >= 1 << 63 else found

    def integers(self, number: int, max_count: int, dtype: str = "<i8") -> NDArray[np.integer]:
        """Return a repeated field of integers, packed or not, reduced to the bits of `dtype`."""
        found = []
        for value in self._fields.get(number, []):
            if isinstance(value, int):
                found.append(np.array([value], np.uint64).astype(dtype))
            elif isinstance(value, memoryview) and len(value) <= 10 * max_count:
                try:
                    found.append(_varints(value, dtype))
                except ValueError as error:
                    raise self.error(f"field {number}: {error}") from None
            else:
                raise self.error(f"field {number} is not a list of at most {max_count} integers")
        if sum(len(part) for part in found) > max_count:
            raise self.error(f"field {number} holds more than {max_count} integers")
        return np.concatenate(found) if found else np.empty(0, dtype)

    def floats(self, number: int, dtype: str) -> NDArray[np.floating] | None:
        """Return a repeated field of fixed-width numbers, packed or not, or None.

        A view of the file if the numbers are contiguous, as every library writes them.
        """
        width = np.dtype(dtype).itemsize
        found = []
        for value in self._fields.get(number, []):
            if isinstance(value, memoryview) and len(value) % width == 0:
                found.append(np.frombuffer(value, dtype))
            elif isinstance(value, np.ndarray) and value.shape[1] == width:
                found.append(value.view(dtype)[:, 0])
            else:
                raise self.error(f"field {number} does not hold numbers of {width} bytes")
        if not found:
            return None
        return found[0] if len(found) == 1 else np.concatenate(found)


def open_message(path: str | os.PathLike[str], kind: str) -> Message:
    """Map a file that is one message; `kind` is the format in words.

    Raises
    ------
    WeightsError
        If the fields do not fill the file exactly: it is truncated, damaged or of another format.
    """
    file = File(os.fspath(path), kind)
    if os.path.getsize(path) == 0:
        raise file.error("the file is empty")
    return Message(np.memmap(path, np.uint8, "r").data, file, "the file")


def begins_with(start: bytes, wire_types: Mapping[int, int]) -> bool:
    """Whether a file that begins with `start` can be a message of these fields.

    At least two fields must begin within `start`, and all that do must be in the schema.
    """
    data, position, seen = memoryview(start), 0, 0
    try:
        while position < len(data):
            tag, _ = _varint(data, position)
            if wire_types.get(tag >> 3) != tag & 7:
                return False
            seen += 1
            position = _field(data, position)[2]
    except ValueError:
        pass  # the field continues after `start`
    return seen > 1


def _field(data: memoryview, start: int) -> tuple[int, Value, int]:
    """Parse the field at `start`: return its number, its value, and where the next one begins."""
    tag, position = _varint(data, start)
    number, wire = tag >> 3, tag & 7
    if not 0 < number <= _MAX_NUMBER:
        raise ValueError(f"{number} is not a valid field number")
    if wire == VARINT:
        return number, *_varint(data, position)
    if wire == BYTES:
        length, position = _varint(data, position)
        if length > len(data) - position:
            raise ValueError(
                f"field {number} claims {length} bytes, {len(data) - position} follow "
                f"(truncated, or another format)"
            )
        return number, data[position : position + length], position + length
    if wire in _FIXED:
        run = _run(data, start, position, _FIXED[wire])
        return number, run[:, position - start :], start + run.size
    raise ValueError(f"field {number} is a group or of an unknown type")


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """Parse the unsigned number at `position`: return it, and where it ends."""
    value = 0
    for shift, byte in enumerate(data[position : position + 10]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            if value >> 64:
                raise ValueError("a number of more than 64 bits")
            return value, position + shift + 1
    raise ValueError("a number that does not end (truncated, or another format)")


def _run(data: memoryview, start: int, position: int, width: int) -> NDArray[np.uint8]:
    """Return consecutive fields with the same tag, one a row: unpacked numbers."""
    step = position + width - start
    count = (len(data) - start) // step
    if count == 0:
        raise ValueError("a number is cut off (truncated, or another format)")
    rows = np.frombuffer(data, np.uint8, count * step, start).reshape(count, step)
    tag = rows[0, : step - width]
    end, block = 1, 1
    while end < count:
        same = (rows[end : end + block, : len(tag)] == tag).all(axis=1)
        if not same.all():
            end += int(same.argmin())
            break
        end, block = end + len(same), min(2 * block, _BLOCK)
    return rows[:end]


def _varints(data: memoryview, dtype: str) -> NDArray[np.integer]:
    """Decode the numbers of a packed field, in blocks, which bounds the additional memory."""
    raw = np.frombuffer(data, np.uint8)
    parts = [np.empty(0, dtype)]
    position = 0
    while position < len(raw):
        block = raw[position : position + _BLOCK]
        ends = np.flatnonzero(block < 0x80) + 1
        if len(ends) == 0:
            raise ValueError("a number that does not end")
        begins = np.concatenate([[0], ends[:-1]])
        lengths = ends - begins
        if lengths.max() > 10:
            raise ValueError("a number of more than 64 bits")
        values = np.zeros(len(ends), np.uint64)
        for i in range(int(lengths.max())):
            longer = lengths > i
            low = (block[begins[longer] + i] & 0x7F).astype(np.uint64)
            values[longer] |= low << np.uint64(7 * i)
        parts.append(values.astype(dtype))
        position += int(ends[-1])
    return np.concatenate(parts)
