"""Annotations in COCO's JSON: one file for all pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gradcam._annotations.names import Names
from gradcam._annotations.outlines import outline
from gradcam._annotations.truth import Annotated, Annotation, AnnotationError, Size
from gradcam._text import brief

MAX_BYTES = 1 << 29
"""The size of the largest file that is read: 512 MB. COCO's own have 20 to 450 MB."""

_Entry = dict[str, object]


class _Picture(NamedTuple):
    """One picture of the file: its entry in `images`, and its annotations."""

    image: _Entry
    annotations: list[_Entry]


def read(path: Path, folders: Sequence[Path]) -> tuple[Names[_Picture], ReadOne]:
    """Read a file; return its pictures, and what reads the annotation of one of them.

    Annotations are checked when their picture is asked for, so that one that is wrong concerns its
    own picture alone. Those of pictures that the file does not list are left out.

    Raises
    ------
    AnnotationError
        If it is not JSON, or does not have COCO's `images`, `annotations` and `categories`.
    OSError
        If the file cannot be read.
    """
    try:
        content = _parsed(path)
        images, annotations, categories = (
            _entries(content, name) for name in ("images", "annotations", "categories")
        )
        pictures = _pictures(images)
        for number, each in enumerate(annotations):
            place = f"annotations[{number}]"
            found = pictures.get(_id(each, "image_id", place))
            if found is not None:
                found.annotations.append(each)
        labels = _labels(categories)
    except AnnotationError as error:
        raise AnnotationError(f"{path}: {error}") from None
    names: Names[_Picture] = Names(folders)
    for picture in pictures.values():
        names.add(str(picture.image["file_name"]), picture)
    return names, ReadOne(str(path), labels)


@dataclass(frozen=True)
class ReadOne:
    """Reads the annotation of one picture."""

    path: str
    labels: Mapping[object, str]

    def __call__(self, picture: _Picture) -> Annotation:
        """Return the annotation of a picture."""
        source = f"{self.path}: {picture.image['file_name']}"
        try:
            size = _size(picture.image)
            objects = tuple(
                _object(each, self.labels, number)
                for number, each in enumerate(picture.annotations, 1)
            )
        except AnnotationError as error:
            raise AnnotationError(f"{source}: {error}") from None
        return Annotation(source, size, objects, no_size=size is None)


def _parsed(path: Path) -> _Entry:
    with open(path, "rb") as file:
        text = file.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise AnnotationError(f"larger than {MAX_BYTES >> 20} MB: split the file")
    try:
        content = json.loads(text, parse_int=_integer, parse_constant=_refuse)
    except RecursionError:
        raise AnnotationError("the JSON is nested too deeply for COCO's") from None
    except json.JSONDecodeError as error:
        raise AnnotationError(
            f"not complete, valid JSON: line {error.lineno}, column {error.colno} ({error.msg})"
        ) from None
    except UnicodeDecodeError:
        raise AnnotationError("the JSON is not text in UTF-8") from None
    if not isinstance(content, dict):
        raise AnnotationError("expected a JSON object with images, annotations and categories")
    return content


def _integer(digits: str) -> int:
    if len(digits) > 20:
        raise AnnotationError(f"the JSON has the number {digits[:20]}...")
    return int(digits)


def _refuse(name: str) -> object:
    raise AnnotationError(f"the JSON has the number {name}")


def _entries(content: _Entry, name: str) -> list[_Entry]:
    entries = content.get(name)
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise AnnotationError(
            f"{name}: expected a list of objects, as COCO's instances have images, annotations "
            f"and categories"
        )
    return entries


def _pictures(images: Sequence[_Entry]) -> dict[object, _Picture]:
    pictures: dict[object, _Picture] = {}
    for number, image in enumerate(images):
        place = f"images[{number}]"
        identity = _id(image, "id", place)
        name = image.get("file_name")
        if not isinstance(name, str) or not name.strip("/. "):
            raise AnnotationError(f"{place}: expected a file_name, got {brief(name)}")
        if identity in pictures:
            raise AnnotationError(f"{place}: the id {brief(identity)} is used twice")
        pictures[identity] = _Picture(image, [])
    return pictures


def _labels(categories: Sequence[_Entry]) -> dict[object, str]:
    labels: dict[object, str] = {}
    for number, each in enumerate(categories):
        place = f"categories[{number}]"
        identity, name = _id(each, "id", place), each.get("name")
        if not isinstance(name, str) or not name.strip():
            raise AnnotationError(f"{place}: expected a name, got {brief(name)}")
        if identity in labels:
            raise AnnotationError(f"{place}: the id {brief(identity)} is used twice")
        labels[identity] = name.strip()
    return labels


def _id(entry: _Entry, name: str, place: str) -> object:
    found = entry.get(name)
    if type(found) not in (int, str):
        raise AnnotationError(f"{place}: expected {name}, a number or a text, got {brief(found)}")
    return found


def _size(image: _Entry) -> Size | None:
    values = image.get("height"), image.get("width")
    if all(each in (None, 0) for each in values):
        return None
    height, width = values
    if type(height) is not int or type(width) is not int or min(height, width) < 0:
        raise AnnotationError(f"expected height and width in pixels, got {brief(values)}")
    return height, width


def _object(entry: _Entry, labels: Mapping[object, str], number: int) -> Annotated:
    identity = _id(entry, "category_id", f"object {number}")
    if identity not in labels:
        raise AnnotationError(
            f"object {number}: there is no category with the id {brief(identity)}"
        )
    label = labels[identity]
    try:
        box = None if entry.get("bbox") is None else _box(entry["bbox"])
        segmentation = entry.get("segmentation")
        draw = None if segmentation in (None, []) else outline(segmentation)
        if box is None and draw is None:
            raise AnnotationError("it has neither a bbox nor a segmentation")
    except AnnotationError as error:
        raise AnnotationError(f"object {number}, {label[:80]!r}: {error}") from None
    return Annotated(label, box, draw, crowd=entry.get("iscrowd") == 1)


def _box(given: object) -> tuple[float, float, float, float]:
    if (
        not isinstance(given, list)
        or len(given) != 4
        or not all(type(each) in (int, float) for each in given)
    ):
        raise AnnotationError(f"expected the bbox [x, y, width, height], got {brief(given)}")
    x, y, width, height = map(float, given)
    return x, y, x + width, y + height
