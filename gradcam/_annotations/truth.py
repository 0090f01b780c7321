"""Ground truth: which objects a picture shows and where, as files say it and on the picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcam._pictures.segments import Box

Mask = NDArray[np.bool_]

Size = tuple[int, int]
"""Height and width in pixels."""

TOLERANCE = 1.0
"""Pixels by which a box may reach beyond the picture. It is clipped, and that is counted."""


class AnnotationError(ValueError):
    """Raised for annotations that cannot be used; the message says which and why."""


@dataclass(frozen=True)
class Annotated:
    """One object as a file describes it; nothing is checked against the picture.

    Attributes
    ----------
    label : str
        Its class, as the file names it.
    box : (x0, y0, x1, y1) or None
        In pixels; x1 and y1 are exclusive.
    draw : callable or None
        Returns the object's mask for a picture of this size.
    crowd : bool
        Whether it is a group of objects, which has no box of its own.
    """

    label: str
    box: tuple[float, float, float, float] | None = None
    draw: Callable[[Size], Mask] | None = None
    crowd: bool = False

    @property
    def has_place(self) -> bool:
        """Whether it says where the object is: a crowd's box alone does not."""
        return self.draw is not None or not self.crowd


@dataclass(frozen=True)
class Annotation:
    """What a file says about one picture.

    Attributes
    ----------
    source : str
        The file, for messages.
    size : (height, width) or None
        Of the picture, if the file says it.
    objects : tuple of Annotated
    no_size : bool
        Whether the file should say the size of the picture, but leaves it out or says 0.
    """

    source: str
    size: Size | None
    objects: tuple[Annotated, ...]
    no_size: bool = False


@dataclass(frozen=True, eq=False)
class TrueObject:
    """One object of a picture.

    Attributes
    ----------
    label : str
        Its class, as the file names it.
    box : (x0, y0, x1, y1) or None
        In pixels of the picture, x1 and y1 exclusive; None for a crowd.
    mask : (H, W) array of bool, or None
    clipped : bool
        Whether its box reached beyond the picture by at most one pixel, and was clipped.
    """

    label: str
    box: Box | None
    mask: Mask | None = None
    clipped: bool = False


def placed(
    annotation: Annotation,
    size: Size,
    *,
    labels: Collection[str] | None = None,
    ignore_size: bool = False,
) -> Iterator[TrueObject]:
    """Yield the objects on a picture of this size, having checked that they lie on it.

    They are drawn one at a time. Crowds that have only a box are left out. Edges of boxes are
    rounded to whole pixels; each box keeps at least one pixel.

    Parameters
    ----------
    annotation : Annotation
    size : (height, width)
    labels : collection of str, optional
        The classes whose objects are needed; others are not drawn.
    ignore_size : bool
        Accept an annotation that gives the picture another size.

    Raises
    ------
    AnnotationError
        If the annotation gives another size, or a box is empty, inverted, not finite, or reaches
        beyond the picture by more than :data:`TOLERANCE`, or a mask has another size or is empty.
    """
    if annotation.size not in (None, size) and not ignore_size:
        assert annotation.size is not None
        turned = ", perhaps turned as its EXIF data say" if annotation.size == size[::-1] else ""
        raise AnnotationError(
            f"{annotation.source}: it describes a picture of {_size(annotation.size)} pixels, but "
            f"this one has {_size(size)}{turned}, so that boxes would be misplaced"
        )
    for number, each in enumerate(annotation.objects, 1):
        if each.has_place and (labels is None or each.label in labels):
            about = f"{annotation.source}: object {number}, {each.label[:80]!r}"
            yield _placed(each, size, about)


def _placed(given: Annotated, size: Size, about: str) -> TrueObject:
    mask = None if given.draw is None else _drawn(given.draw, size, about)
    box, clipped = None, False
    if given.box is not None:
        box, clipped = _checked_box(given.box, size, about)
    elif mask is not None:
        box = bounding_box(mask)
    return TrueObject(given.label, None if given.crowd else box, mask, clipped)


def bounding_box(mask: Mask) -> Box:
    """Return the box around a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _drawn(draw: Callable[[Size], Mask], size: Size, about: str) -> Mask:
    try:
        mask = draw(size)
    except AnnotationError as error:
        raise AnnotationError(f"{about}: {error}") from None
    if mask.shape != size:
        raise AnnotationError(
            f"{about}: the mask has {_size(mask.shape)} pixels, the picture {_size(size)}"
        )
    if not mask.any():
        raise AnnotationError(f"{about}: the mask is empty: it has no pixel of the object")
    return mask


def _checked_box(
    given: tuple[float, float, float, float], size: Size, about: str
) -> tuple[Box, bool]:
    """Return a box in whole pixels, and whether it was clipped."""
    shown = "(" + ", ".join(f"{each:.15g}" for each in given) + ")"
    if not all(map(math.isfinite, given)):
        raise AnnotationError(f"{about}: the box {shown} is not made of finite numbers")
    x0, y0, x1, y1 = given
    if x1 <= x0 or y1 <= y0:
        kind = "inverted" if x1 < x0 or y1 < y0 else "empty"
        raise AnnotationError(f"{about}: the box {shown} is {kind}: x0 < x1 and y0 < y1 expected")
    height, width = size
    beyond = max(-x0, -y0, x1 - width, y1 - height)
    if beyond > TOLERANCE or x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
        raise AnnotationError(
            f"{about}: the box {shown} reaches beyond the picture of {_size(size)} pixels"
        )
    left, top = _edge(x0, width - 1), _edge(y0, height - 1)
    right, bottom = max(left + 1, _edge(x1, width)), max(top + 1, _edge(y1, height))
    return (left, top, right, bottom), beyond > 0


def _edge(position: float, limit: int) -> int:
    return int(min(max(math.floor(position + 0.5), 0), limit))


def _size(size: tuple[int, ...]) -> str:
    """Return a size as people write it: width x height."""
    return " x ".join(map(str, reversed(size)))
