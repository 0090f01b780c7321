"""The members of a zip file, each checked before it is used.

`zipfile` reads the directory and decompresses. This module makes the checks that it lacks: members
are inside the file and do not overlap, none claims a larger size than deflate can produce, and no
name occurs twice.
"""

from __future__ import annotations

import io
import os
import zipfile
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gradcam import _core
from gradcam._weights.tensors import WeightsError

_DIRECTORY = 16 << 20
"""Maximum size of the directory in bytes: more than 100,000 members."""

_LOCAL_HEADER = 30
"""Size of the header before each member, without its name and extra field."""

_EXPANSION = 1032
"""The maximum compression ratio of deflate."""

_CHUNK = 1 << 20
"""Bytes that are read at a time."""


@dataclass(frozen=True)
class Member:
    """One member: `stored` bytes of the file from `start`, which decompress to `size` bytes."""

    name: str
    start: int
    stored: int
    size: int
    deflated: bool


class Archive:
    """The members of a zip file by name, in its directory's order.

    Parameters
    ----------
    file : binary file
        Open for reading; the caller closes it.
    path : path
        For messages.

    Raises
    ------
    WeightsError
        If it is not a zip file, or the entries of its members are wrong.
    """

    def __init__(self, file: BinaryIO, path: str | os.PathLike[str]) -> None:
        self.path = path
        self._file = file
        try:
            self._archive = zipfile.ZipFile(_BoundedFile(file))
        except Exception as error:  # zipfile raises errors of many types for damaged files
            raise WeightsError(
                f"{path}: a zip file (PyTorch, Keras or .npz?) that is damaged or cut short "
                f"({error})"
            ) from error
        self.members: dict[str, Member] = {}
        for info in self._archive.infolist():
            if info.filename in self.members:
                raise WeightsError(f"{path}: contains {info.filename!r} twice")
            self.members[info.filename] = self._member(info)
        self._check_apart()

    def _member(self, info: zipfile.ZipInfo) -> Member:
        where = f"{self.path}: {info.filename}"
        if info.flag_bits & 1:
            raise WeightsError(f"{where}: encrypted; save it without a password")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise WeightsError(f"{where}: compressed by method {info.compress_type}, not deflate")
        deflated = info.compress_type == zipfile.ZIP_DEFLATED
        limit = info.compress_size * _EXPANSION if deflated else info.compress_size
        if info.file_size > limit or (not deflated and info.file_size != limit):
            raise WeightsError(
                f"{where}: {info.compress_size} bytes cannot contain the {info.file_size} it claims"
            )
        if info.header_offset < 0:
            raise WeightsError(f"{where}: begins before the file")
        self._file.seek(info.header_offset)
        header = self._file.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER or header[:4] != b"PK\x03\x04":
            raise WeightsError(f"{where}: its zip header is missing")
        lengths = (int.from_bytes(header[i : i + 2], "little") for i in (26, 28))
        start = info.header_offset + _LOCAL_HEADER + sum(lengths)
        return Member(info.filename, start, info.compress_size, info.file_size, deflated)

    def _check_apart(self) -> None:
        """Raise WeightsError if members overlap each other or the directory."""
        end = 0
        for member in sorted(self.members.values(), key=lambda m: (m.start, m.stored)):
            if member.start < end:
                raise WeightsError(f"{self.path}: {member.name} overlaps another member")
            end = member.start + member.stored
        if end > self._archive.start_dir:
            raise WeightsError(f"{self.path}: a member overlaps the directory, or is truncated")

    def read(self, member: Member) -> NDArray[np.uint8]:
        """Return the decompressed bytes of a member.

        Raises
        ------
        MemoryError
            If there is not enough memory for them.
        WeightsError
            If they are damaged.
        """
        check_memory(member.size, f"{self.path}: {member.name}")
        values = np.empty(member.size, np.uint8)
        self.read_into(member, values)
        return values

    def read_into(self, member: Member, values: NDArray[np.uint8]) -> None:
        """Read a member into an array of its size."""
        try:
            with self._archive.open(member.name) as stream:
                fill(values, stream)
                stream.read(1)  # compares the checksum at the end
        except Exception as error:  # zipfile and zlib raise errors of many types
            raise WeightsError(f"{self.path}: {member.name}: damaged ({error})") from error


def check_memory(size: int, purpose: str) -> None:
    """Raise MemoryError if `size` bytes are more than the available memory."""
    available = _core.available_memory()
    if available is not None and size > available:
        raise MemoryError(f"{purpose} needs {size} bytes of memory, {available} are available")


def fill(values: NDArray[np.uint8], stream: Any) -> None:
    """Fill an array with bytes from a stream; EOFError if there are fewer."""
    view = values.data
    done = 0
    while done < len(view):
        count = stream.readinto(view[done : done + _CHUNK])
        if not count:
            raise EOFError(f"it ends after {done} of {len(view)} bytes")
        done += count


class _BoundedFile(io.RawIOBase):
    """A file with a maximum number of bytes for each read.

    `zipfile` reads the whole directory, whatever the size in the file, and its objects take ten
    times as much memory.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        left = max(self._size - self._file.tell(), 0)
        size = left if size < 0 else min(size, left)
        if size > _DIRECTORY:
            raise ValueError(f"a directory of more than {_DIRECTORY} bytes")
        return self._file.read(size)
