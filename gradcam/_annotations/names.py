"""Which annotation belongs to which picture: by their names and folders."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
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
    folder that was given, the folders of names do not matter. :meth:`expect` states all pictures;
    a thing that would then belong to pictures of several folders belongs to none: that is an error.

    Parameters
    ----------
    folders : iterable of Path
        The folders of pictures that were given.
    """

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        self._roots = sorted((_parts(folder) for folder in folders), key=len, reverse=True)
        self._named: dict[str, list[_Named[T]]] = {}
        self._known: dict[_Parts, _Parts] = {}
        self._pictures: dict[str, list[Path]] = {}
        self._claims: dict[str, dict[int, list[Path]]] = {}
        self.example = ""
        self.count = 0

    def add(self, name: str, value: T) -> None:
        """Add a thing whose name is a path, with or without a picture's suffix."""
        path = PurePosixPath(name)
        suffix = path.suffix if path.suffix.lower() in SUFFIXES else ""
        folders = self._known.setdefault(path.parent.parts, path.parent.parts)
        stem = path.name.removesuffix(suffix)
        self._named.setdefault(stem, []).append(_Named(folders, sys.intern(suffix), value))
        self.example = self.example or name
        self.count += 1

    def expect(self, pictures: Iterable[Path]) -> None:
        """State all pictures, so that one thing cannot belong to pictures of several folders."""
        by_stem: defaultdict[str, list[Path]] = defaultdict(list)
        for picture in pictures:
            by_stem[_stem(picture)[0]].append(picture)
        self._pictures = {stem: several for stem, several in by_stem.items() if len(several) > 1}
        self._claims = {}

    def all(self, picture: Path) -> list[T]:
        """Return everything that belongs to a picture.

        Raises
        ------
        AnnotationError
            If it belongs to a picture of another folder as well.
        """
        found = self._all(picture)
        self._check_alone(picture, found)
        return [each.value for each in found]

    def _check_alone(self, picture: Path, found: Sequence[_Named[T]]) -> None:
        stem, _ = _stem(picture)
        if not found or stem not in self._pictures:
            return
        if stem not in self._claims:
            claims: defaultdict[int, list[Path]] = defaultdict(list)
            for one in self._pictures[stem]:
                for each in self._all(one):
                    claims[id(each)].append(one)
            self._claims[stem] = claims
        folder = _parts(picture.parent)
        for each in found:
            claimed = self._claims[stem].get(id(each), [])
            other = next((one for one in claimed if _parts(one.parent) != folder), None)
            if other is not None:
                raise AnnotationError(
                    f"{len(claimed)} pictures have the name of this annotation, among them "
                    f"{picture} and {other}: the folders in its name must say which one is meant"
                )

    def _all(self, picture: Path) -> list[_Named[T]]:
        stem, suffix = _stem(picture)
        named = self._named.get(stem, [])
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
        return same or found

    def one(self, picture: Path) -> T | None:
        """Return what belongs to a picture; None if nothing does.

        Raises
        ------
        AnnotationError
            If several things do, or it belongs to a picture of another folder as well.
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


def _stem(picture: Path) -> tuple[str, str]:
    """Return the name of a picture without its suffix, and the suffix."""
    suffix = picture.suffix if picture.suffix.lower() in SUFFIXES else ""
    return picture.name.removesuffix(suffix), suffix


def _parts(folder: Path) -> _Parts:
    return Path(os.path.abspath(folder)).parts


def _ends_with(parts: Sequence[str], end: Sequence[str]) -> bool:
    return not end or tuple(parts[-len(end) :]) == tuple(end)
