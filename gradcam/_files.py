"""Atomic writes, digests of files, free disk space, files by their names."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_CHUNK = 1 << 20
_MAX_NAME = 255
"""Bytes of a file's name."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of writing, which do not name the file."""


def expanded(path: str | os.PathLike[str]) -> str:
    """Return a path in which ``~`` is the user's home folder, unless a file has that name."""
    name = os.fspath(path)
    return os.path.expanduser(name) if name[:1] == "~" and not os.path.lexists(name) else name


def file_digest(path: str | os.PathLike[str], algorithm: str) -> str:
    """Return the hexadecimal digest of a file's bytes, by an algorithm of :mod:`hashlib`."""
    import hashlib  # slow to import

    running = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file:
        left = os.fstat(file.fileno()).st_size  # so that reading a growing file ends, too
        while left > 0 and (chunk := file.read(min(_CHUNK, left))):
            running.update(chunk)
            left -= len(chunk)
    return running.hexdigest()


def free_bytes(folder: str | os.PathLike[str]) -> int:
    """Return the bytes that this user can still write to the folder's disk."""
    system = os.statvfs(folder)
    return system.f_bavail * system.f_frsize


def fitting(name: str, more: int = 0) -> str:
    """Return a file name that file systems accept: of a long one, a part and a digest of it all.

    `more` is the number of bytes that will be added to it.
    """
    limit = _MAX_NAME - more
    if len(os.fsencode(name)) <= limit:
        return name
    import hashlib  # slow to import

    stem, suffix = os.path.splitext(name)
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    kept = os.fsencode(stem)[: limit - len(os.fsencode(suffix)) - 9].decode("utf-8", "ignore")
    return f"{kept}-{digest}{suffix}"


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: int = 0o666) -> Iterator[BinaryIO]:
    """Open a temporary file in the folder of `path` and rename it to `path` after the block.

    If the block raises, `path` is unchanged and the temporary file is removed. The file is created
    with the permissions `mode`, less those that the process's umask removes. ``~`` is the
    user's home folder.
    """
    final = Path(expanded(path))
    if not final.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(final.parent))
    temporary = final.with_name(f".{fitting(final.name, 14)}.{os.urandom(4).hex()}.tmp")
    try:
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            yield file
        os.replace(temporary, final)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and (
            os.fspath(error.filename or "") == str(temporary)
            or (error.filename is None and error.errno in _FULL)
        ):
            raise type(error)(error.errno, error.strerror, str(final)) from None
        raise


def temporary_target(name: str) -> str | None:
    """Return the final name of a temporary file of :func:`atomic_write`; None for other files."""
    match = re.fullmatch(r"\.(.+)\.[0-9a-f]{8}\.tmp", name)
    return match[1] if match else None


def file_state(path: str | os.PathLike[str]) -> tuple[int, ...] | None:
    """Return what normally changes if a file changes; None if there is no such file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def sampled_digest(path: str | os.PathLike[str], samples: int = 32, block: int = 4096) -> str:
    """Return a digest of a file's size and of blocks spread evenly over it."""
    import hashlib  # slow to import

    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(str(size).encode())
        for i in range(samples):
            file.seek(max(size - block, 0) * i // (samples - 1))
            digest.update(file.read(block))
    return digest.hexdigest()


def file_called(name: str, files: Iterable[Path], kind: str) -> Path:
    """Return the file of that name, its ending left out.

    Raises
    ------
    ValueError
        If there is none; the message calls the files `kind` and lists their names.
    """
    names = {path.stem: path for path in files}
    if name not in names:
        raise ValueError(f"no {kind} is called {name!r}; known are {', '.join(names)}")
    return names[name]
