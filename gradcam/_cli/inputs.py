"""The pictures that a command reads, and the names of its outputs."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gradcam._pictures.decoding import SUFFIXES
from gradcam._pictures.folders import walk


@dataclass(frozen=True)
class Job(os.PathLike[str]):
    """One picture of a command.

    Attributes
    ----------
    number : int
        Its position among the pictures.
    path : Path
    name : str
        The name of its outputs in the output folder, without a suffix: ``sub/dir/cat``.
    """

    number: int
    path: Path
    name: str

    def __fspath__(self) -> str:
        return str(self.path)


@dataclass
class Found:
    """The pictures that were found.

    Attributes
    ----------
    names : dict of Path to str
        Each picture, and the name that its outputs should have. A folder in it is one without
        pictures.
    ignored : Counter of str
        How many files in the folders are not pictures, by their suffix.
    """

    names: dict[Path, str] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)
    _seen: set[str] = field(default_factory=set)

    def add(self, path: Path, name: str) -> None:
        """Add a picture, unless it was found before."""
        absolute = os.path.abspath(path)
        if absolute not in self._seen:
            self._seen.add(absolute)
            self.names[path] = name


def find(paths: Sequence[Path], out: Path | None = None) -> Found:
    """Find pictures in files and in folders of folders.

    An output is named after the picture's path below the folder that was given; if several folders
    were given, with the folder's own name before it. Hidden files and folders are skipped, and so
    is the folder `out`.
    """
    found = Found()
    several = sum(map(os.path.isdir, paths)) > 1
    for path in paths:
        if os.path.isdir(path):
            _add_folder(found, path, Path(path.resolve().name) if several else Path(), out)
        else:
            found.add(path, path.stem)
    return found


def _add_folder(found: Found, folder: Path, above: Path, out: Path | None) -> None:
    """Add the pictures in a folder; a folder that is empty or cannot be read is added itself."""
    is_empty = True
    for path in walk(folder, out):
        if path.suffix.lower() in SUFFIXES or os.path.isdir(path):
            is_empty = False
            found.add(path, (above / path.relative_to(folder).with_suffix("")).as_posix())
        else:
            known = re.fullmatch(r"\.[a-z0-9_]{1,12}", path.suffix.lower())
            found.ignored[known[0] if known else "other"] += 1
    if is_empty:
        found.add(folder, folder.name)


def output_names(wanted: Sequence[str], taken: Collection[str] = ()) -> list[str]:
    """Return a different name for each one wanted: a number is added to a name that is taken.

    Upper and lower case count as equal, as they do in the file systems of macOS and Windows.
    """
    # A wanted name is never given to another: of cat, cat and cat-2, the second is cat-3.
    seen = {name.casefold() for name in taken}
    unavailable = seen | {name.casefold() for name in wanted}
    names = []
    for name in wanted:
        if name.casefold() in seen:
            number = 2
            while f"{name}-{number}".casefold() in unavailable:
                number += 1
            name = f"{name}-{number}"
            unavailable.add(name.casefold())
        seen.add(name.casefold())
        names.append(name)
    return names


def make_jobs(found: Found, out: Path | None, earlier: Mapping[str, str]) -> list[Job]:
    """Return a job for each picture.

    Parameters
    ----------
    found : Found
    out : Path or None
        The output folder.
    earlier : dict of str to str
        Names of earlier runs, by the picture's path relative to `out`. A picture keeps its name,
        and no other picture gets it as long as that picture exists.
    """
    base = out or Path()
    places = {relative(path, base): name for path, name in found.names.items()}
    kept: dict[str, str] = {}
    taken = {
        name.casefold()
        for place, name in earlier.items()
        if place not in places and (base / place).exists()
    }
    for place, name in places.items():
        before = earlier.get(place, "")
        if re.fullmatch(re.escape(name) + r"(-\d+)?", before) and before.casefold() not in taken:
            kept[place] = before
            taken.add(before.casefold())
    new = [place for place in places if place not in kept]
    kept |= zip(new, output_names([places[place] for place in new], taken), strict=True)
    paths = zip(found.names, places, strict=True)
    return [Job(number, path, kept[place]) for number, (path, place) in enumerate(paths)]


def relative(path: Path, base: Path) -> str:
    """Return the path relative to a folder, so that both can be moved together."""
    return os.path.relpath(path, base)
