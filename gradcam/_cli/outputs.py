"""Files that a command writes; checked before any work, so that none of the user's is lost."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gradcam._files import fitting
from gradcam._pictures.folders import OUT

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check_not_replaced(written: Iterable[Path | None], read: Iterable[Path]) -> None:
    """Raise UsageError if a file that is written is one that is read.

    Parameters
    ----------
    written : iterable of Path or None
        Names may have ``*`` in them, for a part that is not known yet. None is left out.
    read : iterable of Path
    """
    names: dict[str, list[str]] = {}
    for file in written:
        if file is not None:
            names.setdefault(os.path.realpath(file.parent), []).append(file.name)
    for file in read:
        for folder, name in {_place(file), os.path.split(os.path.realpath(file))}:
            if any(name == each or fnmatchcase(name, each) for each in names.get(folder, ())):
                raise _replaced(file)


def check_pictures_kept(out: Path, ends: Collection[str], names: Mapping[Path, str]) -> None:
    """Raise UsageError if what a command writes for its pictures would replace one of them.

    Parameters
    ----------
    out : Path
        The folder that is written to.
    ends : collection of str
        How the names of the files for a picture go on after the name of its outputs, with ``*`` for
        a part that is not known yet: ``-grad_cam-*.png``.
    names : mapping of Path to str
        Each picture, and the name of its outputs in `out`.
    """
    top = os.path.join(os.path.realpath(out), "")
    starts, folded = {name.casefold() for name in names.values()}, [e.casefold() for e in ends]
    for picture, place in _places(names):
        if place.startswith(top):
            name = place.removeprefix(top).casefold()
            cuts = (cut for cut in range(1, len(name)) if name[:cut] in starts)
            if any(fnmatchcase(name[cut:], end) for cut in cuts for end in folded):
                raise _replaced(picture)


def _places(files: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Yield each file with its absolute path; a link also with that of its target."""
    folders: dict[Path, str] = {}
    for file in files:
        if file.parent not in folders:
            folders[file.parent] = os.path.realpath(file.parent)
        yield file, os.path.join(folders[file.parent], file.name)
        if file.is_symlink():
            yield file, os.path.realpath(file)


def _replaced(file: Path) -> click.UsageError:
    return click.UsageError(
        f"{file} is read, and what is written would replace it: choose another folder or name for "
        f"what is written."
    )


def _place(file: Path) -> tuple[str, str]:
    """Return the folder of a file and its name; it may be a link itself."""
    return os.path.realpath(file.parent), file.name


def check_outside(out: Path, folder: Path, option: str = "--out") -> None:
    """Raise UsageError if what is written would lie in a folder whose files are all read.

    A folder of the name of :data:`gradcam._pictures.folders.OUT` is not read.
    """
    whole, inside = folder.resolve(), out.resolve()
    if whole in (inside, *inside.parents) and OUT not in inside.relative_to(whole).parts:
        raise click.UsageError(
            f"{option} {out}: it is in {folder}, so that what is written would be taken for a "
            f"picture or a class: choose another folder."
        )


def save_figure(figure: Figure, path: Path, dpi: int) -> Path:
    """Write a figure as PNG, in a folder that is made if missing; a long name is shortened."""
    from gradcam import plot

    file = path.with_name(fitting(path.name))
    file.parent.mkdir(parents=True, exist_ok=True)
    plot.save(figure, file, dpi=dpi)
    return file


def check_writable(files: Iterable[Path]) -> None:
    """Raise OSError if a file cannot be written, or its folder not be made; nothing is made."""
    for file in files:
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, "a folder has the name of this file", str(file))
        folder = file.parent
        while not os.path.lexists(folder) and folder != folder.parent:
            folder = folder.parent
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise type(error)(error.errno, "nothing can be written here", str(folder)) from None
