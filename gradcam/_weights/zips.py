"""The members of a zip file, each checked before it is used.

`zipfile` reads the directory and inflates. What it does not check is checked here: that members
lie apart from each other and inside the file, that none claims more than deflate can give, that
no name comes twice.
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
"""The longest directory that is read, in bytes: 100,000 members and more."""

_LOCAL_HEADER = 30
"""Bytes of a member's own header, before its name and extra field."""

_EXPANSION = 1032
"""Deflate makes at most this many bytes out of one."""

_PIECE = 1 << 20


@dataclass(frozen=True)
class Member:
    """One member: `stored` bytes of the file from `start` on, which give `size` bytes."""

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
        Open for reading; it stays the caller's.
    path : path
        For messages.

    Raises
    ------
    WeightsError
        Where it is no zip file, or its members cannot all be what they claim.
    """

    def __init__(self, file: BinaryIO, path: str | os.PathLike[str]) -> None:
        self.path = path
        self._file = file
        try:
            self._archive = zipfile.ZipFile(_Sparing(file))
        except Exception as error:  # zipfile meets damage with errors of every type
            raise WeightsError(
                f"{path}: a zip file (PyTorch, Keras or .npz?) that is damaged or cut short "
                f"({error})"
            ) from error
        self.members: dict[str, Member] = {}
        for info in self._archive.infolist():
            if info.filename in self.members:
                raise WeightsError(f"{path}: holds {info.filename!r} twice")
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
                f"{where}: {info.compress_size} bytes cannot hold the {info.file_size} it claims"
            )
        if info.header_offset < 0:
            raise WeightsError(f"{where}: begins before the file does")
        self._file.seek(info.header_offset)
        header = self._file.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER or header[:4] != b"PK\x03\x04":
            raise WeightsError(f"{where}: no zip header where one should be")
        lengths = (int.from_bytes(header[i : i + 2], "little") for i in (26, 28))
        start = info.header_offset + _LOCAL_HEADER + sum(lengths)
        return Member(info.filename, start, info.compress_size, info.file_size, deflated)

    def _check_apart(self) -> None:
        """Members lie one after the other, before the directory."""
        end = 0
        for member in sorted(self.members.values(), key=lambda m: (m.start, m.stored)):
            if member.start < end:
                raise WeightsError(f"{self.path}: {member.name} lies over another member")
            end = member.start + member.stored
        if end > self._archive.start_dir:
            raise WeightsError(f"{self.path}: a member lies over the directory, or is truncated")

    def read(self, member: Member) -> NDArray[np.uint8]:
        """A member's bytes, inflated.

        Raises
        ------
        MemoryError
            Where they are more than there is memory for.
        WeightsError
            Where they are damaged.
        """
        ask_for(member.size, f"{self.path}: {member.name}")
        values = np.empty(member.size, np.uint8)
        self.read_into(member, values)
        return values

    def read_into(self, member: Member, values: NDArray[np.uint8]) -> None:
        """The same into an array of the member's size, for whose memory the caller cares."""
        try:
            with self._archive.open(member.name) as stream:
                fill(values, stream)
                stream.read(1)  # at the end the checksum is compared
        except Exception as error:  # zipfile and zlib meet damage with errors of every type
            raise WeightsError(f"{self.path}: {member.name}: damaged ({error})") from error


def ask_for(size: int, what: str) -> None:
    """MemoryError where `size` bytes are more than are available, before they are touched."""
    available = _core.available_memory()
    if available is not None and size > available:
        raise MemoryError(f"{what} needs {size} bytes of memory, {available} are available")


def fill(values: NDArray[np.uint8], stream: Any) -> None:
    """Read exactly as many bytes as `values` has; EOFError where there are fewer."""
    view = values.data
    done = 0
    while done < len(view):
        count = stream.readinto(view[done : done + _PIECE])
        if not count:
            raise EOFError(f"it ends after {done} of {len(view)} bytes")
        done += count


class _Sparing(io.RawIOBase):
    """A file that refuses to read very much at once.

    `zipfile` reads the whole directory, as long as the file says it is, and keeps ten times as
    much.
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
        there = max(self._size - self._file.tell(), 0)
        size = there if size < 0 else min(size, there)
        if size > _DIRECTORY:
            raise ValueError(f"a directory of more than {_DIRECTORY} bytes")
        return self._file.read(size)
