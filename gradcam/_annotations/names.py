"""Which annotation belongs to which picture: by their names and folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Generic, NamedTuple, TypeVar

from gradcam._annotations.truth import AnnotationError
from gradcam._pictures.decoding import SUFFIXES

T = TypeVar("T")

_Parts = tuple[str, ...]


class _Named(NamedTuple, Generic[T]):
    """Something with a name: its folders, its suffix, and the thing itself."""

    folders: _Parts
    suffix: str
    value: T


class Names(Generic[T]):
    """Things that are found by the name of a picture.

    A name without its suffix must be equal. Of several with that name, those are taken whose
    folders agree with the picture's for the longest way; for a picture that lies directly in a
    folder that was given, the folders of names do not matter.

    Parameters
    ----------
    folders : iterable of Path
        The folders of pictures that were given.
    """

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        self._roots = sorted((_parts(folder) for folder in folders), key=len, reverse=True)
        self._named: dict[str, list[_Named[T]]] = {}
        self._known: dict[_Parts, _Parts] = {}
        self.example = ""
        self.count = 0

    def add(self, name: str, value: T) -> None:
        """Add a thing whose name is a path, with or without a picture's suffix."""
        path = PurePosixPath(name)
        suffix = path.suffix if path.suffix.lower() in SUFFIXES else ""
        folders = self._known.setdefault(path.parent.parts, path.parent.parts)
        stem = path.name.removesuffix(suffix)
        self._named.setdefault(stem, []).append(_Named(folders, suffix, value))
        self.example = self.example or name
        self.count += 1

    def all(self, picture: Path) -> list[T]:
        """Return everything that belongs to a picture."""
        suffix = picture.suffix if picture.suffix.lower() in SUFFIXES else ""
        named = self._named.get(picture.name.removesuffix(suffix), [])
        if not named:
            return []
        where = _parts(picture.parent)
        agreeing = [each for each in named if _ends_with(where, each.folders)]
        if agreeing:
            longest = max(len(each.folders) for each in agreeing)
            found = [each for each in agreeing if len(each.folders) == longest]
        else:
            below = self.below(picture)
            found = [each for each in named if _ends_with(each.folders, below)]
        same = [each for each in found if each.suffix == suffix]
        return [each.value for each in same or found]

    def one(self, picture: Path) -> T | None:
        """Return what belongs to a picture; None if nothing does.

        Raises
        ------
        AnnotationError
            If several things do.
        """
        found = self.all(picture)
        if len(found) > 1:
            raise AnnotationError(
                f"{len(found)} annotations have the name of this picture, and their folders do not "
                f"say which one belongs to it"
            )
        return found[0] if found else None

    def below(self, picture: Path) -> _Parts:
        """Return the folders between the folder that was given and a picture."""
        where = _parts(picture.parent)
        root = next((root for root in self._roots if where[: len(root)] == root), where)
        return where[len(root) :]


def _parts(folder: Path) -> _Parts:
    return Path(os.path.abspath(folder)).parts


def _ends_with(parts: Sequence[str], end: Sequence[str]) -> bool:
    return not end or tuple(parts[-len(end) :]) == tuple(end)
