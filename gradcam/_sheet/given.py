"""Pictures as they were given: a picture or several, scenes, or a folder; their names and truth."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np

from gradcam._annotations.reading import Annotations, open_annotations
from gradcam._annotations.scenes import SceneLike, is_scene
from gradcam._annotations.truth import AnnotationError
from gradcam._files import expanded
from gradcam._labels.classes import Labels
from gradcam._pictures.folders import pictures_in
from gradcam._pictures.image import is_picture_source
from gradcam._sheet import truth
from gradcam._sheet.truth import Objects, Size, Truth
from gradcam._text import brief
from gradcam.measures._regions import Region

if TYPE_CHECKING:
    from gradcam._engine.network import PictureLike

T = TypeVar("T")

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
    class_indices: bool = False,
    first: int = 1,
) -> Iterable[Given]:
    """Return the pictures with their names and their truth: a list, or an iterator of an iterator.

    Parameters
    ----------
    pictures, true, names, class_indices
        As of :func:`gradcam.class_sheet`.
    first : int
        The number of the first picture, in its name if it has no other one.

    Raises
    ------
    ValueError, TypeError
        If `true` or `names` has another length than the pictures or other elements, or `pictures`
        is something else.
    AnnotationError, OSError
        If annotations cannot be read, or none belongs to a picture.
    """
    every = _several(pictures)
    tells: Iterable[Tell | None] | None = None
    if isinstance(true, (str, os.PathLike)):
        true = _opened(Path(expanded(true)), pictures)
    if isinstance(true, Annotations):
        every = list(every)
        _expect(true, every)
        always = partial(_read, true, class_indices)
    else:
        always = None
        if true is not None:
            tells = map(partial(_teller, class_indices), _column("truth", true, every))
    if names is not None:
        names = map(_name, _column("names", names, every))
    found = _rows(every, tells, names, always, first)
    return list(found) if isinstance(every, Sized) else found


def _column(name: str, given: Iterable[T], every: object) -> Iterable[T]:
    """Return an argument that has one element for each picture, having checked what is known."""
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        raise TypeError(
            f"{name}: expected a list with one element for each picture, got {brief(given)}"
        )
    if isinstance(given, Sized) and isinstance(every, Sized) and len(given) != len(every):
        raise ValueError(
            f"{name}: expected one element for each of the {len(every)} pictures, got {len(given)}"
        )
    return given


def _rows(
    every: Iterable[PictureLike | SceneLike],
    tells: Iterable[Tell | None] | None,
    names: Iterable[str] | None,
    always: Tell | None,
    first: int,
) -> Iterator[Given]:
    """Yield each picture with what belongs to it.

    Raises
    ------
    ValueError
        If one of the iterators ends before another one.
    """
    columns = {"pictures": every, "truth": tells, "names": names}
    known = {name: column for name, column in columns.items() if column is not None}
    end = object()
    for number, elements in enumerate(zip_longest(*known.values(), fillvalue=end), first):
        row = dict(zip(known, elements, strict=True))
        ended = [name for name, element in row.items() if element is end]
        if ended:
            others = " and ".join(sorted(row.keys() - ended))
            raise ValueError(
                f"{ended[0]}: expected one element for each picture, got {number - first}, and "
                f"more of {others}"
            )
        yield _one(
            number,
            cast("PictureLike | SceneLike", row["pictures"]),
            cast("Tell | None", row.get("truth", always)),
            cast("str | None", row.get("names")),
        )


def _expect(annotations: Annotations, every: Sequence[object]) -> None:
    """State the pictures; raise AnnotationError if none of the annotations belongs to one."""
    paths = [Path(each) for each in every if isinstance(each, (str, os.PathLike))]
    annotations.expect(paths)
    if paths and not any(_is_annotated(annotations, path) for path in paths):
        raise AnnotationError(
            f"{annotations.path}: none of its {annotations.count} annotations (for example "
            f"{annotations.example!r}) belongs to one of the pictures (for example "
            f"{paths[0].name!r}): their names must agree"
        )


def _is_annotated(annotations: Annotations, path: Path) -> bool:
    """Return whether a picture has an annotation, right or wrong."""
    try:
        return annotations.of(path) is not None
    except (ValueError, OSError):
        return True


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
            raise ValueError("truth: a scene has its own truth: leave truth= out, or give pictures")
        objects = [(each.label, each.mask) for each in picture.objects]
        labels = ", ".join(each.label.replace("_", " ") for each in picture.objects)
        called = f"scene {number}: {labels or 'no objects'}" if name is None else name
        return Given(picture, picture.picture, called, partial(_told, objects, False))
    source = cast("PictureLike", picture)
    if name is None:
        path = isinstance(source, (str, os.PathLike))
        name = os.fspath(cast("str", source)) if path else f"picture {number}"
    return Given(source, source, name, tell or _unknown)


def _name(given: object) -> str:
    if not isinstance(given, str):
        raise TypeError(f"names: expected a text for each picture, got {brief(given)}")
    return given


def _teller(class_indices: bool, given: object) -> Tell:
    """Return what tells what the caller says of one picture, having checked it."""
    if given is None:
        return _unknown
    if isinstance(given, (list, tuple)) and given and isinstance(given[0], str):
        raise TypeError(
            f"truth: expected a list of (label, region) for each picture, got {brief(given)}: one "
            f"object of one picture is [[(label, region)]]"
        )
    if isinstance(given, (str, bytes, Mapping, np.ndarray)) or not isinstance(given, Iterable):
        raise TypeError(
            f"truth: expected a list of (label, region), or None, for each picture, got "
            f"{brief(given)}"
        )
    return partial(_told, [_object(each) for each in given], class_indices)


def _object(given: object) -> tuple[str, Region]:
    """Return an object of a picture, a pair of a label and a region."""
    if not isinstance(given, (tuple, list)) or len(given) != 2 or not isinstance(given[0], str):
        raise TypeError(f"truth: expected (label, region) for each object, got {brief(given)}")
    label, region = given
    if not label.strip():
        raise ValueError("truth: the label of an object is empty")
    is_mask = isinstance(region, np.ndarray) and region.ndim == 2 and region.shape[1] != 4
    if is_mask and region.dtype != bool:
        raise TypeError(
            f"truth: the mask of {label!r} is of {region.dtype}; expected bool: mask > 0"
        )
    return label, region


def _told(objects: Objects, class_indices: bool, _: object, labels: Labels, size: Size) -> Truth:
    """Tell what the caller, or the scene, says."""
    return truth.located(objects, labels, size, class_indices)


def _read(
    annotations: Annotations, class_indices: bool, picture: object, labels: Labels, size: Size
) -> Truth | None:
    """Tell what a file says."""
    return truth.of_file(annotations, picture, labels, size, class_indices)


def _unknown(_: object, labels: Labels, size: Size) -> None:
    """Tell nothing."""


def _opened(path: Path, pictures: object) -> Annotations:
    """Open annotations; if a folder of pictures was given, the folders below it count."""
    folders = []
    if isinstance(pictures, (str, os.PathLike)) and os.path.isdir(expanded(pictures)):
        folders.append(Path(expanded(pictures)))
    return open_annotations(path, folders)
