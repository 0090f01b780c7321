"""Protocol Buffers' wire format, read in place: the two formats built on it are mapped, not parsed.

A message is a row of fields: a tag (field number and wire type), then a number or a length with
that many bytes, which may be a message again (https://protobuf.dev/programming-guides/encoding).
The libraries for it turn a file of half a gigabyte into objects, which takes twice the file's
size in memory; here the tensors stay where they are, as views of the mapped file. Only fields
that are asked for are entered, so no depth of nesting costs anything, and every length is checked
against the bytes that are left. Groups, which neither format uses, are refused.
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
"""More fields in one file than any network needs: what bounds the time that a file can take."""

_MAX_NUMBER = (1 << 29) - 1
_MAX_TEXT = 4096
_BLOCK = 1 << 20
"""Bytes of packed varints, or fields in a row, that are looked at together."""

Value = int | memoryview | NDArray[np.uint8]
"""Of a field: a varint, a length's bytes, or a run of fixed-width fields as rows of bytes."""


@dataclass
class File:
    """A mapped file, for messages about it, and how many more fields it may hold."""

    path: str
    kind: str
    fields_left: int = MAX_FIELDS

    def error(self, text: str) -> WeightsError:
        return WeightsError(f"{self.path}: unreadable as {self.kind}: {text}")


class Message:
    """The fields of one message, found but not entered.

    Parameters
    ----------
    data : memoryview
        All of the message's bytes.
    file : File
    name : str
        What the message is, for errors.
    """

    def __init__(self, data: memoryview, file: File, name: str):
        self.file, self.name = file, name
        self._fields: dict[int, list[Value]] = {}
        position = 0
        while position < len(data):
            file.fields_left -= 1
            if file.fields_left < 0:
                raise file.error(f"more than {MAX_FIELDS} fields, where a network has thousands")
            try:
                number, value, position = _field(data, position)
            except ValueError as error:
                raise self.error(str(error)) from None
            self._fields.setdefault(number, []).append(value)

    def error(self, text: str) -> WeightsError:
        return self.file.error(f"{self.name}: {text}")

    def numbers(self) -> list[int]:
        """The numbers of the fields that are there."""
        return list(self._fields)

    def messages(self, number: int, name: str) -> list[Message]:
        """The messages in a repeated field."""
        return [Message(data, self.file, name) for data in self.chunks(number)]

    def message(self, number: int, name: str) -> Message | None:
        """The message in a field that may stand once, or None."""
        found = self.messages(number, name)
        if len(found) > 1:
            raise self.error(f"field {number} ({name}) stands {len(found)} times, expected once")
        return found[0] if found else None

    def chunks(self, number: int) -> list[memoryview]:
        """What a repeated field of bytes, text or messages holds, not copied."""
        found = []
        for value in self._fields.get(number, []):
            if not isinstance(value, memoryview):
                raise self.error(f"field {number} holds numbers, expected bytes")
            found.append(value)
        return found

    def texts(self, number: int) -> list[str]:
        """A repeated field of text."""
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
        """A field of text; of several the last, as the format wants it."""
        return (self.texts(number) or [default])[-1]

    def integer(self, number: int, default: int = 0) -> int:
        """A field of one signed integer; of several the last."""
        found = self._fields.get(number, [default])[-1]
        if not isinstance(found, int):
            raise self.error(f"field {number} is no integer")
        return found - (1 << 64) if found >= 1 << 63 else found

    def integers(self, number: int, most: int, dtype: str = "<i8") -> NDArray[np.integer]:
        """A repeated field of integers, packed or not, at most this many; their low bits."""
        found = []
        for value in self._fields.get(number, []):
            if isinstance(value, int):
                found.append(np.array([value], np.uint64).astype(dtype))
            elif isinstance(value, memoryview) and len(value) <= 10 * most:
                try:
                    found.append(_varints(value, dtype))
                except ValueError as error:
                    raise self.error(f"field {number}: {error}") from None
            else:
                raise self.error(f"field {number} is no list of at most {most} integers")
        if sum(len(part) for part in found) > most:
            raise self.error(f"field {number} holds more than {most} integers")
        return np.concatenate(found) if found else np.empty(0, dtype)

    def floats(self, number: int, dtype: str) -> NDArray[np.floating] | None:
        """A repeated field of fixed-width numbers, packed or not, or None.

        A view of the file where they are in one piece, as every writer leaves them.
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
    """Map a file that is one message; `kind` is what it is to be, in words.

    Raises
    ------
    WeightsError
        Where its fields do not fill it exactly: it is truncated, damaged or something else.
    """
    file = File(os.fspath(path), kind)
    if os.path.getsize(path) == 0:
        raise file.error("the file is empty")
    return Message(np.memmap(path, np.uint8, "r").data, file, "the file")


def begins_with(start: bytes, wire_types: Mapping[int, int]) -> bool:
    """Whether a file that begins with `start` can be a message of these fields.

    At least two fields must begin within `start`, and all that do must be of this schema.
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
        pass  # the field goes on beyond what is known of the file
    return seen > 1


def _field(data: memoryview, start: int) -> tuple[int, Value, int]:
    """The field that begins there: its number, its value, and where the next one begins."""
    tag, position = _varint(data, start)
    number, wire = tag >> 3, tag & 7
    if not 0 < number <= _MAX_NUMBER:
        raise ValueError(f"{number} is no number of a field")
    if wire == VARINT:
        return number, *_varint(data, position)
    if wire == BYTES:
        length, position = _varint(data, position)
        if length > len(data) - position:
            raise ValueError(
                f"field {number} claims {length} bytes, {len(data) - position} are left "
                f"(truncated, or something else)"
            )
        return number, data[position : position + length], position + length
    if wire in _FIXED:
        run = _run(data, start, position, _FIXED[wire])
        return number, run[:, position - start :], start + run.size
    raise ValueError(f"field {number} is a group or of no known type")


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """The unsigned number that begins there, and where it ends."""
    value = 0
    for shift, byte in enumerate(data[position : position + 10]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            if value >> 64:
                raise ValueError("a number of more than 64 bits")
            return value, position + shift + 1
    raise ValueError("a number that does not end (truncated, or something else)")


def _run(data: memoryview, start: int, position: int, width: int) -> NDArray[np.uint8]:
    """The fields with one tag that follow each other, each a row: unpacked numbers."""
    step = position + width - start
    count = (len(data) - start) // step
    if count == 0:
        raise ValueError("a number is cut off (truncated, or something else)")
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
    """All numbers of a packed field, block by block, so that little memory is needed besides."""
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
