"""Pictures by class: a folder that has a folder for each class, as torchvision and Keras expect."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradcam._annotations.truth import AnnotationError
from gradcam._files import expanded
from gradcam._labels.classes import as_python
from gradcam._pictures.decoding import SUFFIXES
from gradcam._pictures.folders import is_passed_over, pictures_in
from gradcam._text import brief

_PARTS = frozenset(("train", "training", "val", "valid", "validation", "test", "testing"))
"""Names of folders that are parts of a data set, not classes."""


@dataclass(frozen=True, eq=False)
class ByClass:
    """Pictures and their classes.

    Attributes
    ----------
    classes : tuple of str
        The names of the folders, sorted.
    paths : tuple of Path
        Class by class, sorted within each.
    numbers : (N,) array of int64
        The class of each picture: its position in `classes`.
    """

    classes: tuple[str, ...]
    paths: tuple[Path, ...]
    numbers: NDArray[np.int64]

    @property
    def counts(self) -> dict[str, int]:
        """How many pictures each class has."""
        counts = np.bincount(self.numbers, minlength=len(self.classes)).tolist()
        return dict(zip(self.classes, counts, strict=True))


def pictures_by_class(folder: str | os.PathLike[str]) -> ByClass:
    """Find the pictures in a folder that has a folder for each class.

    Pictures in folders inside a class's folder belong to this class. Files that are not pictures by
    their suffix, and hidden ones, are left out, and so is a folder "gradcam-out", which commands
    write to. Nothing is opened.

    Raises
    ------
    AnnotationError
        If there are no folders with pictures, pictures lie beside the folders, a class has no
        pictures, or the folders are parts of a data set such as train and test.
    FileNotFoundError, NotADirectoryError, PermissionError
        If the folder, or one inside it, cannot be read.
    """
    root = Path(expanded(folder))
    inside = sorted(each for each in root.iterdir() if not is_passed_over(each))
    folders = [each for each in inside if each.is_dir()]
    loose = [each for each in inside if each.suffix.lower() in SUFFIXES and not each.is_dir()]
    if not folders or loose:
        found = f"{loose[0].name} beside the folders" if folders else "no folders"
        raise AnnotationError(
            f"{root}: expected a folder for each class, with its pictures, found {found}"
        )
    if {each.name.lower() for each in folders} <= _PARTS:
        raise AnnotationError(
            f"{root}: {_listed([each.name for each in folders])} seem to be the parts of a data "
            f"set, not classes: name one of these folders"
        )
    paths = [pictures_in(each, or_none=True) for each in folders]
    empty = [each.name for each, found in zip(folders, paths, strict=True) if not found]
    if empty:
        raise AnnotationError(
            f"{root}: no pictures in the folder{'s' if len(empty) > 1 else ''} {_listed(empty)}: "
            f"each folder is a class and needs at least one"
        )
    numbers = np.repeat(np.arange(len(folders)), [len(found) for found in paths])
    every = tuple(path for found in paths for path in found)
    return ByClass(tuple(each.name for each in folders), every, numbers.astype(np.int64))


def checked_labels(labels: object, count: int) -> tuple[str, ...]:
    """Return the class of each of so many pictures.

    Raises
    ------
    TypeError
        If it is not a list of strings.
    ValueError
        If there are not as many labels.
    """
    given = as_python(labels)
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise TypeError(f"labels: expected a list of strings, got {brief(labels)}")
    if not all(isinstance(each, str) for each in given):
        raise TypeError(f"labels: expected a list of strings, got {brief(labels)}")
    if len(given) != count:
        raise ValueError(f"labels: expected one for each of {count} pictures, got {len(given)}")
    return tuple(map(str, given))  # NumPy's strings are of another type


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
