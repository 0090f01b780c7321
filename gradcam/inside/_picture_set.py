"""What is kept of the pictures of a set: where they are, their classes, small copies."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.forward_pass import ForwardPass
from gradcam._engine.stream import FAILURES
from gradcam._files import expanded
from gradcam._pictures.image import read_picture, render

if TYPE_CHECKING:
    from gradcam._engine.network import PictureLike

SIDE = 32
"""The side of a small copy, in pixels."""


@dataclass(frozen=True, eq=False)
class PictureSet:
    """The pictures of a set.

    Attributes
    ----------
    sources : tuple
        The pictures as they were given; None for those that were not kept.
    labels : tuple of str, or None
        The class of each picture, if it is known.
    pixels : (N, 32, 32, 3) array of uint8
        Small copies of what the network saw, RGB: :func:`small`.
    """

    sources: tuple[PictureLike | None, ...]
    labels: tuple[str, ...] | None
    pixels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.sources)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The labels, each once, in the order in which they first occur."""
        return tuple(dict.fromkeys(self.labels or ()))

    @cached_property
    def numbers(self) -> NDArray[np.int64]:
        """(N,) the class of each picture: its place in :attr:`classes`."""
        places = {label: place for place, label in enumerate(self.classes)}
        return np.array([places[label] for label in self.labels or ()], np.int64)

    @property
    def vectors(self) -> NDArray[np.uint8]:
        """(N, 3072) the pixels of the small copies."""
        return self.pixels.reshape(len(self.pixels), -1)

    def name(self, place: int) -> str:
        """Return the path of a picture; for others "picture 1", counted from 1."""
        return path_of(self.sources[place]) or f"picture {place + 1}"

    def among(self, places: Sequence[int] | NDArray[np.int64]) -> PictureSet:
        """Return some of the pictures."""
        chosen = [int(place) for place in places]
        labels = None if self.labels is None else tuple(self.labels[n] for n in chosen)
        return PictureSet(tuple(self.sources[n] for n in chosen), labels, self.pixels[chosen])

    def look(self, place: int, side: int) -> NDArray[np.uint8]:
        """Return a picture with a longer side of at most `side` pixels, to be shown.

        It is read again; if that is not possible, it is the small copy.
        """
        source = self.sources[place]
        if source is not None:
            try:
                return _reduced(read_picture(source), side)
            except (*FAILURES, TypeError):
                pass  # a file that has gone, or a stream that was read
        return np.asarray(self.pixels[place])


def path_of(source: object) -> str | None:
    """Return the path of a picture that is a file, else None."""
    return os.fsdecode(source) if isinstance(source, (str, os.PathLike)) else None


def source_key(source: object) -> object:
    """Return what is equal for pictures that are the same file, or the same object in memory."""
    path = path_of(source)
    if path is not None:
        return os.path.realpath(expanded(path))
    if isinstance(source, np.ndarray):  # a part of an array is a new object each time
        return source.ctypes.data, source.shape, source.strides, source.dtype.str
    return id(source)


def small(tape: ForwardPass) -> NDArray[np.uint8]:
    """Return what the network saw of each picture of a pass, reduced to 32 x 32 pixels.

    The network's input is rendered as RGB of 0 to 255, and each pixel of the small copy is the
    mean of the pixels that it covers. A picture that is not square is compressed.

    Returns
    -------
    (N, 32, 32, 3) array of uint8
    """
    from PIL import Image

    copies = np.empty((len(tape), SIDE, SIDE, 3), np.uint8)
    for n, values in enumerate(tape.input):
        seen = Image.fromarray(render(values, tape.graph.preset))
        copies[n] = np.asarray(seen.resize((SIDE, SIDE), Image.Resampling.BOX))
    return copies


def _reduced(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return a picture whose longer side has at most `side` pixels."""
    height, width = picture.shape[:2]
    zoom = side / max(height, width)
    if zoom >= 1:
        return picture
    from PIL import Image

    size = max(1, round(width * zoom)), max(1, round(height * zoom))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))
