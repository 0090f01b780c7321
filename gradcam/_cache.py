"""The user's cache folder: where it is, which files in it are used, and its size.

The environment variable GRADCAM_CACHE names another folder, or is ``off``. In that folder, the
files of :mod:`gradcam._container` are in a subfolder; nothing else in either folder is changed.
Downloads are in another subfolder (:mod:`gradcam._models.published`).

Two rules protect the user:

- A file is removed or replaced only if its name and its first bytes are those of a file that
  gradcam wrote. Symbolic links, folders and files of other programs are left alone.
- A folder or a file that belongs to another user, or that other users can write, is not used: its
  content could be anybody's. A warning says so once, and what to do.

Nothing here raises an error if the cache cannot be used: then contents are computed in memory.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

from numpy.typing import NDArray

from gradcam import _container
from gradcam._container import Container, DamagedError, ForeignError, Key
from gradcam._files import free_bytes, temporary_target

MAX_BYTES = 4 << 30
"""The maximum size of all files together: enough for two VGG-16, which take about 970 MB each, or
1.5 GB if their weights had to be converted."""

MAX_AGE = 24 * 3600.0
"""Seconds after which a temporary file is considered abandoned."""

_FOLDER = f"gradcam-cache-{_container.VERSION}"
"""The subfolder. Versions with another file format have another one."""

Kind = Literal["forward", "backward", "input-major", "sums", "converted"]
"""What a file contains: transformed weights of one kind (:mod:`gradcam._engine.transformed`), or
the weights of a file in another order (:mod:`gradcam._models.converted`)."""

_NAME = re.compile(rf"({'|'.join(get_args(Kind))})-[0-9a-f]{{32}}\.gradcam")

_warned: set[str] = set()


class _Distrusted(Exception):
    """A file or folder that other users can change; the message says what to do."""


@dataclass(frozen=True)
class Entry:
    """A file of the cache.

    Attributes
    ----------
    path : pathlib.Path
    kind : str
        See :data:`Kind`.
    size : int
        In bytes.
    last_used : float
        In seconds since 1970.
    source : str
        The path of the weight file that it was first computed for; "" if it cannot be read.
    """

    path: Path
    kind: str
    size: int
    last_used: float
    source: str


# --- folders ---


def folder() -> Path | None:
    """Return the cache folder; None if caching is off or there is no home folder."""
    named = os.environ.get("GRADCAM_CACHE")
    if named == "off":
        return None
    if named:
        return Path(os.path.expanduser(named))
    home = Path(os.path.expanduser("~"))
    if not home.is_absolute():
        return None
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "gradcam"
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else home / ".cache") / "gradcam"


def make_folder(path: Path) -> None:
    """Create a subfolder of the cache folder, and that folder, for this user only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)


def is_private(path: Path) -> bool:
    """Return whether a subfolder of the cache folder, and that folder, can be used."""
    try:
        _check_folders(path)
    except (OSError, _Distrusted):
        return False
    return True


def _own_folder(create: bool = False) -> Path | None:
    """Return the folder of the cache's files; None if it cannot be used.

    Raises OSError, in particular if it does not exist.
    """
    cache = folder()
    if cache is None:
        return None
    own = cache.absolute() / _FOLDER
    if create:
        make_folder(own)
    try:
        _check_folders(own)
    except _Distrusted as reason:
        _warn(f"the cache is not used: {reason}")
        return None
    return own


def _check_folders(path: Path) -> None:
    """Raise _Distrusted unless this folder and the one that contains it can be used."""
    for each, state in ((path.parent, os.stat), (path, os.lstat)):
        status = state(each)
        if not stat.S_ISDIR(status.st_mode):
            raise _Distrusted(f"{each} is not a folder; set GRADCAM_CACHE to another folder")
        _check_owner(each, status)


def _check_owner(path: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise _Distrusted(
            f"{path} belongs to another user; set GRADCAM_CACHE to a folder of your own"
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _Distrusted(
            f"other users can write {path}; run: chmod go-w '{path}', or set GRADCAM_CACHE to "
            f"another folder"
        )


# --- reading and writing ---


def find(kind: Kind, digest: str, key: Key) -> Container | None:
    """Return a file of the cache whose pieces have not been checked yet; None if there is none.

    Parameters
    ----------
    kind : str
        See :data:`Kind`.
    digest : str
        32 hexadecimal digits, which depend on `key`.
    key : mapping of str to object
        What the content was computed from. A file with another key is not used.
    """
    path = _place(kind, digest)
    if path is None:
        return None
    try:
        with _opened(path) as file:
            container = Container(file)
            if container.kind != kind or container.key != key:
                return None
            with suppress(OSError):  # a read-only file system
                os.utime(file.fileno())  # marks it as used
            return container
    except _Distrusted as reason:
        _warn(f"a file in the cache is not used: {reason}")
    except ForeignError:
        _warn(f"{path}: gradcam did not write this file, and does not use it; remove it")
    except DamagedError as reason:
        _remove(path, str(reason))
    except (OSError, ValueError):
        pass
    return None


def usable(container: Container, names: Iterable[str] | None = None) -> bool:
    """Return whether sections have their digests, by default all; if not, remove the file."""
    try:
        container.check(names)
    except DamagedError as reason:
        discard(container, str(reason))
        return False
    return True


def discard(container: Container, reason: str) -> None:
    """Remove a file with wrong content, unless it has been replaced; the reason is a warning."""
    with suppress(OSError):
        status = container.path.lstat()
        if (status.st_dev, status.st_ino) == container.identity:
            _remove(container.path, reason)


def store(
    kind: Kind,
    digest: str,
    key: Key,
    sections: Mapping[str, NDArray[Any]],
    source: str = "",
    metadata: Mapping[str, str] | None = None,
    *,
    scattered: bool = False,
) -> bool:
    """Write a file if there is space for it; return whether it was written.

    Parameters
    ----------
    kind, digest, key
        As in :func:`find`.
    sections : mapping of str to array
    source : str
        The path of the weight file.
    metadata : mapping of str to str, optional
    scattered : bool
        Whether readers use only some parts of the sections.
    """
    path = _place(kind, digest, create=True)
    if path is None or (os.path.lexists(path) and _status(path) is None):  # not gradcam's
        return False
    try:
        _remove_abandoned(path.parent)
        if not _make_room(path, _container.min_file_size(sections)):
            return False
        _container.write(path, kind, key, sections, source, metadata, scattered=scattered)
    except (OSError, ValueError):
        return False
    return True


def has_room(size: int) -> bool:
    """Return whether a file of `size` bytes can probably be written."""
    try:
        own = _own_folder(create=True)
        if own is None or size > MAX_BYTES or not os.access(own, os.W_OK):
            return False
        return free_bytes(own) >= 4 * size
    except OSError:
        return False


def _place(kind: Kind, digest: str, create: bool = False) -> Path | None:
    """Return the path of a file; None if the cache cannot be used."""
    try:
        own = _own_folder(create)
    except OSError:
        return None
    return None if own is None else own / f"{kind}-{digest}.gradcam"


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file that only this user can write.

    Raises OSError for symbolic links, folders and special files, and _Distrusted.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO would block
    with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path} is not a regular file")
        _check_owner(path, status)
        yield file


# --- removing ---


def entries() -> list[Entry]:
    """Return the files of the cache, the most recently used first."""
    found = []
    for path, status in _own_files():
        with suppress(OSError, _Distrusted), _opened(path) as file:
            source = _container.read_source(file)
            kind = path.name.rpartition("-")[0]
            found.append(Entry(path, kind, status.st_size, status.st_mtime, source))
    return sorted(found, key=lambda entry: -entry.last_used)


def clear(source: str | None = None) -> int:
    """Remove files of the cache, but no downloads; return the size of the removed files.

    Parameters
    ----------
    source : str, optional
        Remove only the files that were first computed for this weight file.
    """
    removed = 0
    for entry in entries():
        if source in (None, entry.source):
            with suppress(OSError):
                entry.path.unlink()
                removed += entry.size
    return removed


def _own_files() -> list[tuple[Path, os.stat_result]]:
    """Return the files that gradcam wrote, with their states; an empty list if that is unknown."""
    try:
        own = _own_folder()
        return [] if own is None else _files(own)
    except OSError:
        return []


def _files(own: Path) -> list[tuple[Path, os.stat_result]]:
    found = ((path, _status(path)) for path in own.iterdir() if _NAME.fullmatch(path.name))
    return [(path, status) for path, status in found if status is not None]


def _status(path: Path) -> os.stat_result | None:
    """Return the state of a file; None unless gradcam wrote it and no other user can write it."""
    with suppress(OSError, _Distrusted), _opened(path) as file:
        return None if _container.is_foreign(file) else os.fstat(file.fileno())
    return None


def _make_room(path: Path, size: int) -> bool:
    """Return whether a file of `size` bytes can be written; remove others if that is necessary.

    The least recently used files are removed first, until all together have at most MAX_BYTES.
    Three times `size` must remain free on the disk.
    """
    if size > MAX_BYTES:
        return False
    files = _files(path.parent)
    freed = sum(status.st_size for each, status in files if each == path)
    others = [(status, each) for each, status in files if each != path]
    total = size + sum(status.st_size for status, _ in others)
    removable = []
    for status, each in sorted(others, key=lambda file: file[0].st_mtime):
        if total > MAX_BYTES:
            removable.append(each)
            total -= status.st_size
            freed += status.st_size
    if free_bytes(path.parent) + freed < 4 * size:
        return False
    for each in removable:
        each.unlink(missing_ok=True)
    return True


def _remove_abandoned(own: Path) -> None:
    """Remove the temporary files of processes that were killed."""
    for path in own.iterdir():
        if _NAME.fullmatch(temporary_target(path.name) or ""):
            status = _status(path)
            if status is not None and status.st_mtime < time.time() - MAX_AGE:
                path.unlink(missing_ok=True)


def _remove(path: Path, reason: str) -> None:
    """Remove a damaged file that gradcam wrote, and warn."""
    if _status(path) is None:
        return
    try:
        path.unlink()
        outcome = "it is removed, and its content is computed again"
    except OSError as error:
        outcome = f"it is not used, and cannot be removed ({error.strerror})"
    _warn(f"{path} is damaged ({reason}): {outcome}")


def _warn(message: str) -> None:
    """Issue a warning, but each only once in a process."""
    if message not in _warned:
        _warned.add(message)
        warnings.warn(message, RuntimeWarning, stacklevel=2)
