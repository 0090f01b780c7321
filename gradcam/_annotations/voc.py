"""Annotations in PASCAL VOC's XML, as ILSVRC's are: a file for each picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gradcam._annotations.truth import Annotated, Annotation, AnnotationError, Size
from gradcam._text import brief

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_BYTES = 1 << 22
"""The size of the largest file that is read: 4 MB. A usual one has 1 to 50 KB."""


def read(path: Path) -> Annotation:
    """Read the annotation of one picture.

    `bndbox` counts pixels from 1 and its `xmax` and `ymax` are inclusive. A missing or zero `size`
    is unknown. An object's `name` is a label or a synset; its `part` elements are not read.

    Raises
    ------
    AnnotationError
        If the file is not such an annotation, is damaged, or has a DTD or entities.
    OSError
        If the file cannot be read.
    """
    with open(path, "rb") as file:
        content = file.read(MAX_BYTES + 1)
    source = str(path)
    try:
        root = _parsed(content)
        if root.tag != "annotation":
            raise AnnotationError(
                f"the XML begins with <{root.tag[:80]}>, not with <annotation> as PASCAL VOC's"
            )
        objects = tuple(_object(each, n) for n, each in enumerate(root.findall("object"), 1))
        size = _picture_size(root)
        return Annotation(source, size, objects, no_size=size is None)
    except AnnotationError as error:
        raise AnnotationError(f"{source}: {error}") from None


def _parsed(content: bytes) -> Element:
    from defusedxml import ElementTree
    from defusedxml.common import DefusedXmlException

    if len(content) > MAX_BYTES:
        raise AnnotationError(f"larger than {MAX_BYTES >> 20} MB, not the annotation of a picture")
    if not content.strip():
        raise AnnotationError("the file is empty")
    try:
        root: Element = ElementTree.fromstring(content, forbid_dtd=True)
    except DefusedXmlException:
        raise AnnotationError(
            "the XML has a DTD or entities, which are not read: remove the part <!DOCTYPE ...>"
        ) from None
    except ElementTree.ParseError as error:
        raise AnnotationError(f"not complete, valid XML: {error}") from None
    except (ValueError, LookupError) as error:  # of its encoding
        raise AnnotationError(f"the XML cannot be decoded: {error}") from None
    return root


def _picture_size(root: Element) -> Size | None:
    """Return height and width; None if they are not given, or zero."""
    size = root.find("size")
    if size is None:
        return None
    values = [size.findtext(name) for name in ("height", "width")]
    if None in values:
        return None
    height, width = (_number(value, "size") for value in values)
    if height == width == 0:
        return None
    return _whole(height), _whole(width)


def _whole(value: float) -> int:
    if value != math.floor(value) or not 0 <= value < 1 << 31:
        raise AnnotationError(f"size: {value:g} is not a number of pixels")
    return int(value)


def _object(element: Element, number: int) -> Annotated:
    about = f"object {number}"
    label = (element.findtext("name") or "").strip()
    if not label:
        raise AnnotationError(f"{about} has no name")
    box = element.find("bndbox")
    if box is None:
        raise AnnotationError(f"{about}, {label[:80]!r}, has no bndbox")
    values: Mapping[str, float] = {
        name: _number(box.findtext(name), f"{about}, {label[:80]!r}: {name}")
        for name in ("xmin", "ymin", "xmax", "ymax")
    }
    return Annotated(
        label, (values["xmin"] - 1, values["ymin"] - 1, values["xmax"], values["ymax"])
    )


def _number(text: str | None, about: str) -> float:
    try:
        value = float((text or "").replace("_", "?"))  # Python reads 1_0 as 10
    except ValueError:
        raise AnnotationError(f"{about}: expected a number, got {brief(text)}") from None
    if not math.isfinite(value):
        raise AnnotationError(f"{about}: expected a finite number, got {brief(text)}")
    return value
