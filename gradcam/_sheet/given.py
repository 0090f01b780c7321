"""Pictures as they were given: a picture or several, scenes, or a folder; their names and truth."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from gradcam._annotations.reading import Annotations, open_annotations
from gradcam._annotations.scenes import SceneLike, is_scene
from gradcam._files import expanded
from gradcam._labels.classes import Labels
from gradcam._pictures.folders import pictures_in
from gradcam._pictures.image import is_picture_source
from gradcam._sheet import truth
from gradcam._sheet.truth import Objects, Size, Truth
from gradcam._text import brief

if TYPE_CHECKING:
    from gradcam._engine.network import PictureLike

Tell = Callable[[object, Labels, Size], Truth | None]
"""``tell(picture, labels, size)`` returns what is true of a picture; None if that is not known."""


@dataclass(frozen=True, eq=False)
class Given:
    """A picture as it was given.

    Attributes
    ----------
    picture : picture or scene
    source : picture
        What the network reads.
    name : str
    tell : callable
    """

    picture: PictureLike | SceneLike
    source: PictureLike
    name: str
    tell: Tell


def given(
    pictures: PictureLike | SceneLike | Iterable[PictureLike | SceneLike],
    true: str | os.PathLike[str] | Annotations | Iterable[Objects | None] | None,
    names: Iterable[str] | None,
) -> Iterable[Given]:
    """Return the pictures with their names and their truth: a list, or an iterator of an iterator.

    Raises
    ------
    ValueError, TypeError
        If `true` or `names` has another length than the pictures, or `pictures` is something else.
    AnnotationError, OSError
        If annotations cannot be read.
    """
    every = _several(pictures)
    if isinstance(true, (str, os.PathLike)):
        true = _opened(Path(expanded(true)), pictures)
    if isinstance(true, Annotations):
        every = list(every)
        true.expect(Path(each) for each in every if isinstance(each, (str, os.PathLike)))
        tells: Iterable[Tell | None] = repeat(partial(_read, true))
    elif true is None:
        tells = repeat(None)
    else:
        _check_length("truth", true, every)
        tells = (partial(_told, objects) for objects in true)
    if names is not None:
        _check_length("names", names, every)
    called = repeat(None) if names is None else iter(names)
    found = map(_one, range(1, 1 << 62), every, tells, called)
    return list(found) if isinstance(every, Sized) else found


def _several(
    pictures: PictureLike | SceneLike | Iterable[PictureLike | SceneLike],
) -> Iterable[PictureLike | SceneLike]:
    """Return several pictures, also if one or a folder was given."""
    if is_scene(pictures):
        return [pictures]
    if isinstance(pictures, (str, os.PathLike)) and os.path.isdir(expanded(pictures)):
        return pictures_in(pictures)
    single = isinstance(pictures, np.ndarray) and pictures.ndim in (2, 3)
    if is_picture_source(pictures) or single:
        return [cast("PictureLike", pictures)]
    if not isinstance(pictures, Iterable):
        raise TypeError(f"pictures: expected a picture, a scene or several, got {brief(pictures)}")
    return cast("Iterable[PictureLike | SceneLike]", pictures)


def _one(
    number: int, picture: PictureLike | SceneLike, tell: Tell | None, name: str | None
) -> Given:
    """Return one picture with its name and its truth."""
    if is_scene(picture):
        if tell is not None:
            raise ValueError("truth: scenes bring their own truth: leave it out, or give pictures")
        objects = [(each.label, each.mask) for each in picture.objects]
        labels = ", ".join(each.label.replace("_", " ") for each in picture.objects)
        called = f"scene {number}: {labels or 'no objects'}" if name is None else name
        return Given(picture, picture.picture, called, partial(_told, objects))
    source = cast("PictureLike", picture)
    if name is None:
        path = isinstance(source, (str, os.PathLike))
        name = os.fspath(cast("str", source)) if path else f"picture {number}"
    return Given(source, source, name, tell or _unknown)


def _told(objects: Objects | None, _: object, labels: Labels, size: Size) -> Truth | None:
    """Tell what the caller, or the scene, says."""
    return None if objects is None else truth.located(objects, labels, size)


def _read(annotations: Annotations, picture: object, labels: Labels, size: Size) -> Truth | None:
    """Tell what a file says."""
    return truth.of_file(annotations, picture, labels, size)


def _unknown(_: object, labels: Labels, size: Size) -> None:
    """Tell nothing."""


def _opened(path: Path, pictures: object) -> Annotations:
    """Open annotations; if a folder of pictures was given, the folders below it count."""
    folders = []
    if isinstance(pictures, (str, os.PathLike)) and os.path.isdir(expanded(pictures)):
        folders.append(Path(expanded(pictures)))
    return open_annotations(path, folders)


def _check_length(name: str, given: object, every: object) -> None:
    """Raise ValueError if a list has another length than the list of pictures."""
    if isinstance(given, Sized) and isinstance(every, Sized) and len(given) != len(every):
        raise ValueError(
            f"{name}: expected one element for each of the {len(every)} pictures, got {len(given)}"
        )
