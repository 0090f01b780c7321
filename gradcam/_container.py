"""The file format of the cache: named arrays, with a digest for each piece of 64 KB.

    magic        16 bytes, which include the version of the format
    check        4 bytes: CRC-32 of the rest of the header
    sizes        2 x 4 bytes: of the header, and of the description
    description  JSON: kind, key, source, metadata, and [name, type, shape, offset] of each section
    digests      8 bytes for each piece of the sections: its fingerprint
    zeros        up to a multiple of PIECE, where the header ends
    sections     the arrays; each begins at a multiple of PIECE and is padded with zeros to one

Numbers are little-endian; offsets are counted from the end of the header. So each piece belongs to
one section, and sections can be used where they are, in the mapped file. Opening a file reads its
header only; the digests of a section are compared by :meth:`Container.check`.

CRC-32 and the fingerprints of the core, which are several times as fast, detect accidents: a
damaged disk, an interrupted write, a program that writes to the wrong file. An attacker can compute
them too; against attackers, :mod:`gradcam._cache` uses only files that no other user can write.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gradcam import _core
from gradcam._files import atomic_write

VERSION = 2
"""The version of the format: increase this with every change."""

MAGIC = f"gradcam cache {VERSION}\n".encode()
"""The first 16 bytes of a file."""

PIECE = 1 << 16
"""Bytes that have one digest."""

_FIXED = len(MAGIC) + 12
"""Bytes before the description."""

_MAX_HEADER = 64 << 20
"""The maximum size of a header, in bytes; those of VGG-16 have 64 or 128 KB."""

_DTYPES = ("<f4", "<f8", "<f2", "<u2", "|u1")
"""The types of sections."""

Key = Mapping[str, object]
"""What a content was computed from: values that JSON preserves, so lists instead of tuples."""


class ForeignError(ValueError):
    """A file that does not begin with :data:`MAGIC`: not written in this format."""


class DamagedError(ValueError):
    """A file of this format that is incomplete, or has changed since it was written."""


class Container:
    """A mapped file of the cache.

    Attributes
    ----------
    path : pathlib.Path
    identity : tuple of int
        The device and the inode: another file at the same path has another identity.
    kind : str
    key : dict of str to object
        What the content was computed from.
    source : str
        The path of the weight file that it was first computed for.
    metadata : dict of str to str
    sections : dict of str to array
        Read-only views of the mapped file.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Read the header of an open file and map the sections.

        Raises
        ------
        ForeignError, DamagedError, OSError
            An empty file counts as damaged.
        """
        status = os.fstat(file.fileno())
        header = _read_header(file, status.st_size)
        self.path = Path(file.name)
        self.identity = status.st_dev, status.st_ino
        self.kind = header.kind
        self.key = header.key
        self.source = header.source
        self.metadata = header.metadata
        self._places = {place.name: place for place in header.places}
        self._digests = header.digests
        self._checked = np.zeros(len(header.digests), np.bool_)
        self._data = np.empty(0, np.uint8)
        if len(header.digests):
            self._data = np.asarray(np.memmap(file, np.uint8, "r", offset=header.size))
        self.sections = {name: self._section(place) for name, place in self._places.items()}

    def _section(self, place: _Section) -> NDArray[Any]:
        values = self._data[place.offset : place.offset + place.size]
        return values.view(place.dtype).reshape(place.shape)

    def check(self, names: Iterable[str] | None = None) -> None:
        """Compare the digests of sections, by default of all; pieces are compared only once.

        Raises
        ------
        DamagedError
            If a piece has changed.
        """
        wanted = np.zeros_like(self._checked)
        for name in self._places if names is None else names:
            place = self._places[name]
            wanted[place.offset // PIECE : place.end // PIECE] = True
        pieces = np.flatnonzero(wanted & ~self._checked)
        good = _digests(self._data, pieces) == self._digests[pieces]
        if not good.all():
            raise DamagedError(f"{np.count_nonzero(~good)} of its pieces of 64 KB have changed")
        self._checked[pieces] = True


def is_foreign(file: BinaryIO) -> bool:
    """Return whether another program wrote this open file; an empty file is not foreign."""
    return file.read(len(MAGIC)) not in (b"", MAGIC)


def read_source(file: BinaryIO) -> str:
    """Return the source of an open file; "" if its header cannot be read."""
    try:
        return _read_header(file, os.fstat(file.fileno()).st_size).source
    except ValueError:
        return ""


def min_file_size(sections: Mapping[str, NDArray[Any]]) -> int:
    """Return the size of a file with these sections, in bytes, if the description is short."""
    return PIECE + sum(_padded(values.nbytes) for values in sections.values())


def write(
    path: Path,
    kind: str,
    key: Key,
    sections: Mapping[str, NDArray[Any]],
    source: str = "",
    metadata: Mapping[str, str] | None = None,
    *,
    scattered: bool = False,
) -> None:
    """Write a file that only this user can read and write; if that fails, leave no file behind.

    With `scattered`, readers use only some parts of the sections. Linux stores what is written at
    once in large pages, of up to 2 MB, and a process that reads one byte of a page has all of it in
    its memory. Therefore the sections are then written in pieces of 64 KB.

    Raises
    ------
    ValueError
        If the type of a section or the size of the header is not supported.
    OSError
        If the file cannot be written.
    """
    arrays = [np.asarray(values, order="C") for values in sections.values()]
    places = _arrange(zip(sections, ((a.dtype.str, a.shape) for a in arrays), strict=True))
    description = {
        "kind": kind,
        "key": key,
        "source": source,
        "metadata": metadata or {},
        "sections": [[s.name, s.dtype, s.shape, s.offset] for s in places],
    }
    contents = [array.reshape(-1).view(np.uint8) for array in arrays]
    header = _header_bytes(json.dumps(description).encode(), contents)
    with atomic_write(path, 0o600) as file:
        file.write(header)
        for content in contents:
            step = PIECE if scattered else max(content.size, 1)
            for begin in range(0, content.size, step):
                file.write(content.data[begin : begin + step])
            file.write(bytes(_padded(content.size) - content.size))


# --- headers ---


@dataclass(frozen=True)
class _Section:
    """The place of an array; its offset and end are in bytes after the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def end(self) -> int:
        return self.offset + _padded(self.size)


@dataclass(frozen=True)
class _Header:
    """What a header says; `size` is its own, in bytes."""

    kind: str
    key: dict[str, object]
    source: str
    metadata: dict[str, str]
    places: list[_Section]
    digests: NDArray[np.uint64]
    size: int


def _padded(size: int) -> int:
    return -(-size // PIECE) * PIECE


def _arrange(arrays: Iterable[tuple[str, tuple[str, tuple[int, ...]]]]) -> list[_Section]:
    """Return the places of arrays, given by names, types and shapes, one after the other."""
    places: list[_Section] = []
    for name, (dtype, shape) in arrays:
        if dtype not in _DTYPES:
            raise ValueError(f"section {name!r} has type {dtype}; expected {', '.join(_DTYPES)}")
        places.append(_Section(name, dtype, tuple(shape), places[-1].end if places else 0))
    return places


def _header_bytes(text: bytes, contents: Iterable[NDArray[np.uint8]]) -> bytes:
    """Return the header with this description, for sections with these contents."""
    table = b"".join(_digests_of(each).astype("<u8").tobytes() for each in contents)
    size = _padded(_FIXED + len(text) + len(table))
    if size > _MAX_HEADER:
        raise ValueError(f"a header of {size} bytes; expected at most {_MAX_HEADER}")
    rest = _number(size) + _number(len(text)) + text + table
    rest = rest.ljust(size - len(MAGIC) - 4, b"\0")
    return MAGIC + _number(zlib.crc32(rest)) + rest


def _read_header(file: BinaryIO, file_size: int) -> _Header:
    start = file.read(_FIXED)
    if start and start[: len(MAGIC)] != MAGIC:
        raise ForeignError("it does not begin like a cache file of this version")
    check, size, length = (int.from_bytes(start[i : i + 4], "little") for i in (16, 20, 24))
    if len(start) < _FIXED or not _FIXED + length <= size <= min(file_size, _MAX_HEADER):
        raise DamagedError("its header is incomplete")
    rest = start[20:] + file.read(size - _FIXED)
    if zlib.crc32(rest) != check:
        raise DamagedError("its header has changed")
    try:
        header = _parse(rest[8 : 8 + length], rest[8 + length :], size)
    except (ValueError, TypeError, KeyError) as error:
        raise DamagedError(f"its header is invalid ({error!r})") from error
    if file_size != size + len(header.digests) * PIECE:
        raise DamagedError(f"it has {file_size:,} bytes, but its sections need another size")
    return header


def _parse(text: bytes, table: bytes, size: int) -> _Header:
    """Return the header with this description, followed by these digests."""
    description = json.loads(text)
    stated = description["sections"]
    places = _arrange((name, (dtype, shape)) for name, dtype, shape, _ in stated)
    if [place.offset for place in places] != [offset for *_, offset in stated]:
        raise ValueError("sections that are not one after the other")
    count = places[-1].end // PIECE if places else 0
    return _Header(
        kind=description["kind"],
        key=description["key"],
        source=description["source"],
        metadata=description["metadata"],
        places=places,
        digests=np.frombuffer(table, "<u8", count).astype(np.uint64),
        size=size,
    )


def _number(value: int) -> bytes:
    return value.to_bytes(4, "little")


# --- digests ---


def _digests(data: NDArray[np.uint8], pieces: NDArray[np.intp]) -> NDArray[np.uint64]:
    """Return the digests of these pieces of the data, computed by several threads."""
    if not len(pieces):
        return np.empty(0, np.uint64)
    return _core.fingerprints(data, PIECE, pieces)


def _digests_of(content: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the digests of all pieces of a section, which is padded with zeros."""
    whole = content.size // PIECE
    digests = _digests(content, np.arange(whole))
    if whole * PIECE == content.size:
        return digests
    last = np.zeros(PIECE, np.uint8)
    last[: content.size - whole * PIECE] = content[whole * PIECE :]
    return np.append(digests, _digests(last, np.arange(1)))
