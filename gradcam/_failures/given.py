"""Pictures and the classes that they truly have: from folders, lists or scenes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

import numpy as np

from gradcam._annotations.by_class import pictures_by_class
from gradcam._annotations.scenes import SceneLike, is_scene
from gradcam._labels.classes import Target, as_python
from gradcam._pictures.image import is_picture_source
from gradcam._text import brief

if TYPE_CHECKING:
    from gradcam._engine.network import PictureLike


Name: TypeAlias = "str | int | Target"
"""A class: its label, synset or index, or itself."""

Source: TypeAlias = "PictureLike | SceneLike"
"""A picture as it was given."""


class Labelled(NamedTuple):
    """A picture and its true classes.

    Attributes
    ----------
    source : Source
    names : tuple of str, int or Target
        One class; of a scene with several objects, the class of each.
    """

    source: Source
    names: tuple[Name, ...]

    @property
    def picture(self) -> PictureLike:
        """What the network can read."""
        return picture_of(self.source)


def picture_of(source: Source) -> PictureLike:
    """Return the picture of a scene; anything else is a picture itself."""
    return source.picture if is_scene(source) else cast("PictureLike", source)


def labelled(
    pictures: str | os.PathLike[str] | Iterable[object], labels: Iterable[Name] | None
) -> Iterable[Labelled]:
    """Return the pictures with their classes: those of a folder as a list, others one by one.

    Raises
    ------
    TypeError
        If `pictures` is a single picture, an element is neither a scene nor a pair of a picture
        and its class, a picture is preprocessed input, or a label is something else.
    ValueError
        If there are not as many labels as pictures, or labels for a folder; if a scene has no
        object.
    AnnotationError, OSError
        As of :func:`pictures_by_class`.
    """
    given: object = pictures
    if isinstance(given, (str, os.PathLike)):
        if labels is not None:
            raise ValueError(
                f"labels: the folders in {given} name the classes; leave out labels=, or give a "
                f"list of pictures"
            )
        return _of_folder(given)
    one = is_picture_source(given) or (isinstance(given, np.ndarray) and given.ndim < 4)
    if one or is_scene(given) or not isinstance(given, Iterable):
        raise TypeError(
            f"pictures: expected a folder with a folder for each class, or several pictures, got "
            f"{'one scene' if is_scene(given) else type(given).__name__}"
        )
    if labels is None:
        return map(_paired, given)
    names = as_python(labels)
    if isinstance(names, (str, bytes, Mapping, Set)) or not isinstance(names, Iterable):
        raise TypeError(f"labels: expected a label for each picture, got {brief(labels)}")
    return _zipped(given, names)


def _of_folder(folder: str | os.PathLike[str]) -> list[Labelled]:
    found = pictures_by_class(folder)
    numbers = found.numbers.tolist()
    return [
        Labelled(path, (found.classes[number],))
        for path, number in zip(found.paths, numbers, strict=True)
    ]


def _zipped(pictures: Iterable[object], labels: Iterable[object]) -> Iterator[Labelled]:
    """Yield each picture with its label."""
    try:
        for picture, label in zip(pictures, labels, strict=True):
            yield Labelled(_picture(picture), (_checked(label),))
    except ValueError as error:
        if "zip()" not in str(error):
            raise
        raise ValueError(
            "labels: expected as many labels as pictures, got "
            + ("fewer" if "shorter" in str(error) else "more")
        ) from None


def _paired(given: object) -> Labelled:
    """Return a scene or a pair of a picture and its class as one that is labelled."""
    if is_scene(given):
        names = tuple(each.label for each in given.objects)
        if not names:
            raise ValueError("pictures: a scene has no object, so that nothing in it is right")
        return Labelled(given, names)
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise TypeError(
            f"pictures: expected scenes or pairs (picture, label), got {brief(given)}: give the "
            f"labels of pictures with labels="
        )
    return Labelled(_picture(given[0]), (_checked(given[1]),))


def _picture(given: object) -> Source:
    """Return a picture, having refused an array of real numbers, which would be input."""
    if "float" in str(getattr(given, "dtype", "")):
        raise TypeError(
            f"pictures: expected files, Pillow images, or arrays of uint8, (H, W, 3), got a float "
            f"array of shape {tuple(getattr(given, 'shape', ()))}: preprocessed input and pictures "
            f"of floats are not taken here"
        )
    return cast("Source", given)


def _checked(label: object) -> Name:
    """Return a label, which is a text, an index or a class."""
    found = as_python(label)
    if isinstance(found, bool) or not isinstance(found, (str, int, Target)):
        raise TypeError(f"labels: expected a label, synset or index, got {brief(label)}")
    return found
