"""The files in folders of pictures."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from gradcam._files import expanded
from gradcam._pictures.decoding import SUFFIXES

NO_PICTURE = "there is no picture in this folder"

OUT = "gradcam-out"
"""The folder that commands write to, unless another is named: it is not looked for pictures."""


def is_passed_over(folder: Path) -> bool:
    """Return whether a folder inside another is hidden, or holds what commands wrote."""
    return folder.name.startswith(".") or folder.name == OUT


def walk(folder: Path, out: Path | None = None) -> Iterator[Path]:
    """Yield the files in a folder and its folders in order, and folders that cannot be read.

    Hidden files and folders are skipped, and so are the folder `out` and folders with the name
    :data:`OUT`.
    """
    known = {os.path.realpath(each) for each in (folder, *([out] if out else []))}
    unreadable: list[Path] = []

    def is_new(path: Path) -> bool:
        real = os.path.realpath(path)
        if is_passed_over(path) or real in known:  # a link may lead back to a folder above
            return False
        known.add(real)
        return True

    def note(error: OSError) -> None:
        unreadable.append(Path(error.filename))

    for name, folders, files in os.walk(folder, onerror=note, followlinks=True):
        parent = Path(name)
        folders[:] = [each for each in sorted(folders) if is_new(parent / each)]
        for path in (parent / each for each in sorted(files) if not each.startswith(".")):
            if path.is_file() or not path.exists():  # not a pipe or a device
                yield path
    yield from unreadable


def pictures_in(folder: str | os.PathLike[str], *, or_none: bool = False) -> list[Path]:
    """Return the pictures in a folder and its folders, in order; nothing is opened.

    Files that are not pictures by their suffix, hidden ones, and what commands wrote to folders of
    the name "gradcam-out" are left out.

    Raises
    ------
    ValueError
        If there is none, unless `or_none`.
    PermissionError, FileNotFoundError, NotADirectoryError
        If the folder, or one inside it, cannot be read.
    """
    root = Path(expanded(folder))
    os.scandir(root).close()  # raises what is wrong with the folder itself
    files = list(walk(root))
    for each in files:
        if each.is_dir():  # walk yields folders that cannot be read
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(each))
    found = [each for each in files if each.suffix.lower() in SUFFIXES]
    if not found and not or_none:
        raise ValueError(f"{root}: {NO_PICTURE}")
    return found
