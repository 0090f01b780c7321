"""What is true of a picture, whoever says it: a scene, an annotation, or the caller."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradcam._annotations.reading import Annotations
from gradcam._annotations.truth import placed
from gradcam._labels.classes import Labels, known_class
from gradcam._text import brief
from gradcam.measures._regions import Region, region_boxes, region_mask

Size = tuple[int, int]
"""(height, width), in pixels."""

Objects = Sequence[tuple[str, Region]]
"""The objects of a picture: the class of each, and where it is: a mask, a box or several boxes."""


@dataclass(frozen=True, eq=False)
class Known:
    """An object of a picture.

    Attributes
    ----------
    name : str
        Its class as people write it; several of one class are numbered from the left.
    index : int or None
        The class in the network; None if the network does not know it, or not for certain.
    mask : (H, W) array of bool
    """

    name: str
    index: int | None
    mask: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Truth:
    """What is true of a picture.

    Attributes
    ----------
    objects : tuple of Known
    notes : tuple of str
        What to know about them, in sentences.
    unknown : tuple of str
        The classes of objects that the network does not know, or not for certain.
    """

    objects: tuple[Known, ...]
    notes: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


BOXES = "Objects are boxes here: ground inside a box counts as the object."
NUMBERED = "Objects of one class are numbered from the left."
CROWDS = "Groups whose place is not known count as the ground."


def of_file(
    annotations: Annotations, picture: object, labels: Labels, size: Size, class_indices: bool
) -> Truth | None:
    """Return what a file of annotations says about a picture of this size.

    None if it says nothing, or of none of its objects where it is.

    Raises
    ------
    TypeError
        If the picture is not a path.
    AnnotationError, OSError
        If the annotation is wrong.
    """
    if not isinstance(picture, (str, os.PathLike)):
        raise TypeError(
            f"truth: annotations belong to pictures by their names, so the pictures must be paths, "
            f"got {brief(picture)}"
        )
    annotation = annotations.of(Path(picture))
    if annotation is None:
        return None
    found: list[tuple[str, Region]] = []
    for each in placed(annotation, size):
        region = each.box if each.mask is None else each.mask
        if region is not None:
            found.append((each.label, region))
    if not found:
        return None
    truth = located(found, labels, size, class_indices)
    if all(each.has_place for each in annotation.objects):
        return truth
    return replace(truth, notes=(*truth.notes, CROWDS))


def located(objects: Objects, labels: Labels, size: Size, class_indices: bool = False) -> Truth:
    """Return the objects of a picture of this size as masks, each with its class and name.

    Raises
    ------
    ValueError, TypeError
        If a region is empty or of another size.
    """
    found, boxes, unknown = [], False, []
    for label, region in objects:
        boxes |= region_boxes(region) is not None
        target = known_class(labels, label, class_indices=class_indices)
        if target is None:
            unknown.append(label)
        name = label.replace("_", " ") if target is None else str(target)
        mask = region_mask(region, size)
        found.append(Known(name, None if target is None else target.index, mask))
    named = _numbered(found)
    notes = (BOXES,) * boxes + (NUMBERED,) * (named != found)
    return Truth(tuple(named), notes, tuple(dict.fromkeys(unknown)))


def _numbered(objects: list[Known]) -> list[Known]:
    """Return the objects with different names: several of one class get numbers, from the left."""
    counts = Counter(each.name for each in objects)
    left = sorted(range(len(objects)), key=lambda n: _centre(objects[n].mask))
    seen: Counter[str] = Counter()
    named = list(objects)
    for n in left:
        name = objects[n].name
        seen[name] += 1
        if counts[name] > 1:
            named[n] = Known(f"{name} {seen[name]}", objects[n].index, objects[n].mask)
    return named


def _centre(mask: NDArray[np.bool_]) -> float:
    """Return the mean column of a mask."""
    columns = mask.sum(0)
    return float((columns * np.arange(len(columns))).sum() / columns.sum())
