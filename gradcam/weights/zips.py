"""Zip files as weight files use them: .npz, PyTorch's, Keras 3's. The cautious way into them.

Python's zipfile does the reading. This file bounds what it costs: a directory of members no
longer than :data:`MOST_DIRECTORY`, no member's name twice, members stored or deflated only (the
others unpack without a limit), and no more unpacked than :data:`MOST_GROWTH` allows. A stored
member is not read at all: :meth:`Zip.place` says where its bytes lie, to be mapped.

Checksums are those of members that are read; mapped ones are as they are.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from gradcam.weights.tensors import WeightsError

MOST_DIRECTORY = 1 << 22
"""Bytes of the list of members: a VGG-16 with its optimiser takes about 10,000."""

MOST_GROWTH = 16
"""How many times the file's size deflated members may be together, beyond the first 16 MB.
Weights shrink by a tenth; a bomb by a thousand."""

_CHUNK = 1 << 20

_LOCAL_HEADER = 30
"""Bytes of a zip member's own header, before its name and extra field."""


@contextmanager
def opened(path: str | os.PathLike[str], kind: str) -> Iterator[Zip]:
    """The zip file at `path`, for reading.

    Parameters
    ----------
    path : path
    kind : str
        What it is read as, for messages.

    Raises
    ------
    WeightsError
        Also in place of anything that zipfile or the block meets in a damaged file.
    OSError
        Where the file cannot be opened.
    """
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(_Bounded(file)) as archive:
                yield Zip(archive, file, path)
        except (WeightsError, MemoryError):
            raise
        except Exception as error:  # zipfile and NumPy meet damage with errors of every type
            text = str(error) or type(error).__name__
            raise WeightsError(f"{path}: unreadable as {kind} ({text[:200]})") from error


class Zip:
    """An open zip file.

    Attributes
    ----------
    file : the file itself
    size : its length in bytes
    unpacked : bytes of the members that were read so far
    members : dict of str to zipfile.ZipInfo, in the order of its directory
    """

    def __init__(
        self, archive: zipfile.ZipFile, file: BinaryIO, path: str | os.PathLike[str]
    ) -> None:
        self.file = file
        self.size = os.fstat(file.fileno()).st_size
        self.members = {member.filename: member for member in archive.infolist()}
        self._archive = archive
        self._path = path
        self.unpacked = 0
        if len(self.members) != len(archive.infolist()):
            raise WeightsError(f"{path}: the zip file holds one name twice")

    def place(self, member: zipfile.ZipInfo) -> int | None:
        """Where in the file the member's bytes lie, all of them; None where they are packed."""
        self._check(member)
        if member.compress_type != zipfile.ZIP_STORED:
            return None
        self.file.seek(member.header_offset)
        header = self.file.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER or header[:4] != b"PK\x03\x04":
            raise WeightsError(
                f"{self._path}: {member.filename!r}: no zip header where one should be"
            )
        name, extra = (int.from_bytes(header[i : i + 2], "little") for i in (26, 28))
        start = member.header_offset + _LOCAL_HEADER + name + extra
        if start + member.file_size > self.size or member.compress_size != member.file_size:
            raise WeightsError(f"{self._path}: {member.filename!r}: truncated")
        return start

    def read(self, member: zipfile.ZipInfo) -> bytearray:
        """The member's bytes, unpacked and in agreement with its checksum."""
        self._check(member)
        self.unpacked += member.file_size
        if self.unpacked > MOST_GROWTH * self.size + (1 << 24):
            raise WeightsError(
                f"{self._path}: unpacks to more than {MOST_GROWTH} times its {self.size} bytes, "
                f"which weights never do (a zip bomb?)"
            )
        content = bytearray(member.file_size)
        view = memoryview(content)
        with self._archive.open(member) as stream:
            for start in range(0, len(view), _CHUNK):  # in one, zipfile would unpack to any size
                part = view[start : start + _CHUNK]
                if stream.readinto(part) != len(part):  # type: ignore[attr-defined]
                    raise WeightsError(f"{self._path}: {member.filename!r}: truncated")
        return content

    def _check(self, member: zipfile.ZipInfo) -> None:
        if member.flag_bits & 1:
            raise WeightsError(f"{self._path}: {member.filename!r}: encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise WeightsError(
                f"{self._path}: {member.filename!r}: packed in a way that is not read here; "
                f"unzip the file and zip it again with stored or deflated members"
            )


class _Bounded:
    """A file as zipfile uses it, which takes the whole directory in one read: not any length."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, count: int = -1) -> bytes:
        if count > MOST_DIRECTORY:
            raise ValueError(f"a part of {count} bytes, where at most {MOST_DIRECTORY} are read")
        return self._file.read(count)
