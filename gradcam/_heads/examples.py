"""The pictures that a classifier learns from, their classes, and the folds of cross-validation."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from gradcam._annotations.by_class import checked_labels, pictures_by_class
from gradcam._engine.stream import FAILURES
from gradcam._files import expanded, file_digest
from gradcam._labels.classes import spelling_key
from gradcam._pictures.decoding import is_pillow
from gradcam._pictures.image import is_picture_source, read_picture
from gradcam._text import brief

if TYPE_CHECKING:
    from gradcam._engine.network import BatchArray, PictureLike

_I64 = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Examples:
    """Pictures and their classes.

    Attributes
    ----------
    classes : tuple of str
        Sorted.
    pictures : sequence of pictures, or (N, C, H, W) array of floats
    numbers : (N,) array of int64
        The class of each picture.
    sources : tuple of str
        The path of each picture; "picture 12" for one that is not a file, counted from 1.
    """

    classes: tuple[str, ...]
    pictures: Sequence[PictureLike] | BatchArray
    numbers: _I64
    sources: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.numbers)

    def part(self, positions: _I64) -> Examples:
        """Return some of the pictures; all classes stay."""
        if isinstance(self.pictures, np.ndarray):
            some: Sequence[PictureLike] | BatchArray = self.pictures[positions]
        else:
            some = [self.pictures[n] for n in positions.tolist()]
        sources = tuple(self.sources[n] for n in positions.tolist())
        return replace(self, pictures=some, numbers=self.numbers[positions], sources=sources)

    def contents(self) -> _I64:
        """Return a number for each picture that is the same for pictures of the same content."""
        known: dict[object, int] = {}
        found = [known.setdefault(_content(each, n), n) for n, each in enumerate(self.pictures)]
        return np.array(found, np.int64)


def examples(
    pictures: str | os.PathLike[str] | Iterable[PictureLike] | BatchArray,
    labels: Sequence[str] | None,
) -> Examples:
    """Return pictures and their classes, having checked them.

    Parameters
    ----------
    pictures : path, iterable of pictures, or (N, C, H, W) array of floats
        A path is that of a folder with a folder for each class.
    labels : sequence of str or None
        The class of each picture, unless the folders say it.

    Raises
    ------
    ValueError, TypeError, OSError
        If the classes are not given, or given twice; if there is a single one, or two have names
        that are the same for people.
    """
    if isinstance(pictures, (str, os.PathLike)):
        if labels is not None:
            raise ValueError("labels is for a list of pictures: a folder has a folder for each")
        found = pictures_by_class(pictures)
        sources = tuple(map(str, found.paths))
        given = Examples(found.classes, found.paths, found.numbers, sources)
    else:
        given = _labelled(pictures, labels)
    if len(given.classes) < 2:
        raise ValueError(
            f"all pictures are of one class, {given.classes[0]!r}: a classifier needs two or more"
        )
    _check_names(given.classes)
    return given


def _labelled(
    pictures: Iterable[PictureLike] | BatchArray, labels: Sequence[str] | None
) -> Examples:
    if is_picture_source(pictures) or not isinstance(pictures, Iterable):
        raise TypeError(
            f"expected a folder with a folder for each class, or a list of pictures and labels=, "
            f"got {brief(pictures)}"
        )
    is_float = isinstance(pictures, np.ndarray) and pictures.dtype.kind == "f"
    listed = pictures if is_float else list(pictures)
    if labels is None:
        raise ValueError("labels: a list of pictures needs the name of the class of each")
    pictures = cast("Sequence[PictureLike] | BatchArray", listed)
    names = checked_labels(labels, len(pictures))
    if not names:
        raise ValueError("no pictures")
    classes = tuple(sorted(set(names)))
    numbers = np.array([classes.index(each) for each in names], np.int64)
    sources = tuple(
        os.fsdecode(each) if isinstance(each, (str, os.PathLike)) else f"picture {n}"
        for n, each in enumerate(pictures, 1)
    )
    return Examples(classes, pictures, numbers, sources)


def _check_names(classes: Sequence[str]) -> None:
    """Raise ValueError if the name of a class is empty, or two differ in spelling alone."""
    known: dict[str, str] = {}
    for name in classes:
        if not name.strip():
            raise ValueError("labels: the name of a class is empty")
        other = known.setdefault(spelling_key(name), name)
        if other != name:
            raise ValueError(
                f"the classes {other!r} and {name!r} differ only in capitals, spaces or hyphens: "
                f"rename one, or put their pictures together"
            )


def _content(picture: object, number: int) -> object:
    """Return what two pictures of the same content have in common."""
    if isinstance(picture, (str, os.PathLike)):
        try:
            return "file", file_digest(expanded(picture), "blake2b")
        except OSError:  # it cannot be read as a picture either
            return number
    if isinstance(picture, bytes):
        return "file", hashlib.blake2b(picture).hexdigest()
    if isinstance(picture, np.ndarray):
        return picture.shape, picture.dtype.str, hashlib.blake2b(picture.tobytes()).digest()
    if is_pillow(picture):  # as the network reads it: a palette, for example, is not in its bytes
        try:
            read = read_picture(cast("PictureLike", picture))
        except FAILURES:
            return number
        return read.shape, hashlib.blake2b(read.tobytes()).digest()
    return number


def together(contents: _I64, codes: NDArray[np.float64]) -> _I64:
    """Return numbers that are equal for pictures of equal content, and of equal codes.

    Parameters
    ----------
    contents : (N,) array
        Equal for equal content.
    codes : (N, D) array
    """
    found, first = np.array(contents, np.int64), dict[bytes, int]()
    for n, code in enumerate(codes + 0.0):  # -0 becomes 0
        other = first.setdefault(code.tobytes(), n)
        if found[other] != found[n]:
            found[found == found[n]] = found[other]
    return found


# ------------------------------------------------------------------------ folds


@dataclass(frozen=True, eq=False)
class Folds:
    """Which fold of cross-validation each picture is in.

    Attributes
    ----------
    numbers : (N,) array of int64
        From 0. Pictures of the same content are in the same fold, and each class is in each fold.
    count : int
    notes : tuple of str
        What the user should know.
    doubts : tuple of str
        What makes the accuracy doubtful.
    """

    numbers: _I64
    count: int
    notes: tuple[str, ...]
    doubts: tuple[str, ...]


def assign_folds(given: Examples, contents: _I64, count: int, seed: int) -> Folds:
    """Assign the pictures of each class to folds, in random order.

    Parameters
    ----------
    given : Examples
    contents : (N,) array
        A number for each picture, equal for equal content or code.
    count : int
        How many folds there should be.
    seed : int

    Raises
    ------
    ValueError
        If a class has fewer than two pictures of its own.
    """
    notes = []
    shared = _shared(contents, given.numbers)
    own = _own(given, contents, shared)
    smallest = min(own, key=lambda name: len(own[name]))
    if len(own[smallest]) < count:
        count = len(own[smallest])
        notes.append(
            f"The class {smallest!r} has only {count} different pictures, so that there are "
            f"{count} folds."
        )
    copies = len(contents) - len(set(contents.tolist()))
    if copies:
        notes.append(
            f"{copies} {_are('picture', copies)} the same as another, or "
            f"{'has' if copies == 1 else 'have'} the same code: copies are held out together."
        )
    rng = np.random.default_rng(seed)
    order = [each for some in (*own.values(), shared) for each in rng.permutation(some).tolist()]
    fold_of = {content: turn % count for turn, content in enumerate(order)}
    numbers = np.array([fold_of[each] for each in contents.tolist()], np.int64)
    return Folds(numbers, count, tuple(notes), tuple(_about_shared(given, contents, shared)))


def _shared(contents: _I64, numbers: _I64) -> list[int]:
    """Return the contents that are in several classes."""
    classes: defaultdict[int, set[int]] = defaultdict(set)
    for content, number in zip(contents.tolist(), numbers.tolist(), strict=True):
        classes[content].add(number)
    return [content for content, found in classes.items() if len(found) > 1]


def _own(given: Examples, contents: _I64, shared: Sequence[int]) -> dict[str, list[int]]:
    """Return the different contents of each class that no other class has.

    Raises
    ------
    ValueError
        If a class has fewer than two.
    """
    own = {}
    for number, name in enumerate(given.classes):
        all_of = sorted(set(contents[given.numbers == number].tolist()))
        own[name] = [each for each in all_of if each not in set(shared)]
        if len(own[name]) < 2:
            more = "" if len(own[name]) == len(all_of) else ", beside those of other classes"
            raise ValueError(
                f"the class {name!r} has {len(own[name])} different picture"
                f"{'s' * (len(own[name]) != 1)}{more}: it needs two or more, one to learn from and "
                f"one to test with"
            )
    return own


def _about_shared(given: Examples, contents: _I64, shared: Sequence[int]) -> list[str]:
    """Say which pictures are in several classes."""
    if not shared:
        return []
    first = np.flatnonzero(contents == shared[0]).tolist()
    example = " and ".join(
        f"{given.sources[n]} ({given.classes[given.numbers[n]]})"
        for n in _of_two(given.numbers, first)
    )
    count = len(shared)
    return [
        f"{count} {_are('picture', count)} in several classes, or the network sees no difference, "
        f"for example {example}: the accuracy is doubtful."
    ]


def _of_two(numbers: _I64, positions: Sequence[int]) -> tuple[int, int]:
    """Return the first of the pictures, and the first of another class."""
    first = positions[0]
    return first, next(n for n in positions if numbers[n] != numbers[first])


def _are(noun: str, count: int) -> str:
    return f"{noun} is" if count == 1 else f"{noun}s are"
