"""The pictures that a function is given: a folder, a list or an array, with their classes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from gradcam._annotations.by_class import checked_labels, pictures_by_class
from gradcam._annotations.truth import AnnotationError
from gradcam._files import expanded
from gradcam._pictures.folders import is_passed_over, pictures_in
from gradcam._pictures.image import is_picture_source
from gradcam._text import brief
from gradcam.inside._picture_set import path_of

if TYPE_CHECKING:
    from gradcam._engine.network import BatchArray, PictureLike

    Pictures = str | os.PathLike[str] | Iterable[PictureLike] | BatchArray


class Given(NamedTuple):
    """Pictures.

    Attributes
    ----------
    pictures : list of pictures, or (N, C, H, W) array of floats
    labels : tuple of str, or None
        The class of each.
    folder : str
        Where they were found; empty if they were not given as a folder.
    """

    pictures: Sequence[PictureLike] | BatchArray
    labels: tuple[str, ...] | None
    folder: str

    @property
    def input_size(self) -> tuple[int, int] | None:
        """Height and width of preprocessed input; None for pictures."""
        if isinstance(self.pictures, np.ndarray):
            return int(self.pictures.shape[-2]), int(self.pictures.shape[-1])
        return None

    @property
    def paths(self) -> list[str]:
        """The path of each picture.

        Raises
        ------
        ValueError
            If one is not a file.
        """
        paths = [path_of(each) for each in self.pictures]
        if None in paths:
            raise ValueError("file: codes of pictures that are not files cannot be found again")
        return cast("list[str]", paths)


def read_given(pictures: Pictures, labels: Sequence[str] | None) -> Given:
    """Find the pictures, and check their labels.

    Raises
    ------
    ValueError
        If there is no picture, or are not as many labels; if a folder is not as
        :func:`pictures_by_class` says.
    TypeError
        If it is a single picture, or labels are not strings.
    """
    if isinstance(pictures, (str, os.PathLike)):
        if labels is not None:
            raise ValueError(
                "labels: a folder has the names of the folders in it as labels; for other labels, "
                "give a list of pictures"
            )
        return _of_folder(expanded(pictures))
    if is_picture_source(pictures) or getattr(pictures, "ndim", 4) != 4:
        raise TypeError(f"expected a folder or several pictures, got {brief(pictures)}")
    if isinstance(pictures, np.ndarray) and pictures.dtype.kind == "f":
        return Given(pictures, _labels(labels, len(pictures)), "")
    if not isinstance(pictures, Iterable):
        raise TypeError(f"expected a folder or several pictures, got {brief(pictures)}")
    listed = list(pictures)
    return Given(listed, _labels(labels, len(listed)), "")


def _of_folder(folder: str) -> Given:
    """Return the pictures of a folder: by class, if there are folders in it."""
    root = Path(folder)
    if root.is_file():
        raise ValueError(
            f"{root}: expected a folder of pictures, got a file; for one picture, [it]"
        )
    if any(each.is_dir() and not is_passed_over(each) for each in root.iterdir()):
        try:
            found = pictures_by_class(root)
        except AnnotationError as error:
            raise AnnotationError(
                f"{error}.  If the folders are not classes, name a folder with pictures alone, or "
                f"give a list of pictures"
            ) from None
        labels = tuple(found.classes[number] for number in found.numbers)
        return Given(list(found.paths), labels, folder)
    return Given(pictures_in(root), None, folder)


def _labels(labels: Sequence[str] | None, count: int) -> tuple[str, ...] | None:
    if labels is None:
        return None
    return checked_labels(labels, count)


def refuse_input(pictures: object) -> None:
    """Raise TypeError for preprocessed input, where pictures are needed."""
    if isinstance(pictures, np.ndarray) and pictures.dtype.kind == "f" and pictures.ndim == 4:
        raise TypeError(
            "pictures: expected pictures, got preprocessed input, an array of floats of shape "
            f"{pictures.shape}: give the pictures themselves, as paths or as arrays of uint8"
        )
