"""Annotations as a folder of masks: pictures whose pixels are 0 outside the object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from gradcam._annotations import tables
from gradcam._annotations.names import Names
from gradcam._annotations.truth import Annotated, Annotation, AnnotationError, Mask, Size
from gradcam._pictures.decoding import MAX_PIXELS

SUFFIXES = frozenset((".png", ".bmp", ".gif", ".pgm", ".pbm", ".tif", ".tiff", ".webp"))
"""Suffixes of files that store values exactly; JPEG changes them."""

CLASSES = "classes.csv"
"""The file of the folder that names the class of each picture."""


@dataclass(frozen=True)
class ReadOne:
    """Reads the masks of one picture.

    The class of a mask is that of ``classes.csv`` in the folder, else the name of the folder in
    which the mask lies, else of the folder in which the picture lies.
    """

    folder: Path
    names: Names[Path]
    classes: Names[str] | None

    def __call__(self, picture: Path, masks: Sequence[Path]) -> Annotation:
        """Return the annotation of a picture."""
        objects = tuple(
            Annotated(self._label(picture, mask), None, partial(_mask, mask)) for mask in masks
        )
        return Annotation(str(masks[0]) if len(masks) == 1 else str(self.folder), None, objects)

    def _label(self, picture: Path, mask: Path) -> str:
        if self.classes is not None:
            label = self.classes.one(picture)
            if label is None:
                raise AnnotationError(f"{self.folder / CLASSES} names no class for this picture")
            return label
        below = mask.relative_to(self.folder).parent.parts or self.names.below(picture)
        if not below:
            raise AnnotationError(
                f"{mask}: the class of the mask is unknown: name it in {self.folder / CLASSES} "
                f"(columns picture, class), or put the masks into a folder for each class"
            )
        return below[-1]


def _mask(path: Path, size: Size) -> Mask:
    """Read a mask: True where a pixel is not 0, in any channel."""
    from PIL import Image

    try:
        with Image.open(path) as file:
            if file.width * file.height > MAX_PIXELS:
                raise AnnotationError(f"more than {MAX_PIXELS} pixels")
            if file.format == "JPEG":
                raise AnnotationError("a JPEG file does not store values exactly: save it as PNG")
            if file.mode in ("LA", "PA", "RGBA", "La", "RGBa"):
                raise AnnotationError("a mask cannot be transparent: save it without alpha channel")
            values = np.asarray(file)
    except AnnotationError as error:
        raise AnnotationError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise
    except Exception as error:  # Pillow's decoders raise almost anything
        raise AnnotationError(f"{path}: the mask cannot be read: {error}") from None
    found: Mask = np.asarray(values != 0)
    return np.asarray(found.any(axis=2)) if found.ndim == 3 else found


def read_classes(folder: Path, folders: Sequence[Path]) -> Names[str] | None:
    """Return the classes that ``classes.csv`` names; None if there is no such file."""
    path = folder / CLASSES
    return tables.read_classes(path, folders) if path.is_file() else None
