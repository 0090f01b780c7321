"""A patch of a picture that a unit responds to."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcam._pictures.image import Geometry, read_picture

if TYPE_CHECKING:
    from gradcam._engine.network import PictureLike

Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1), in pixels; x1 and y1 are exclusive."""


@dataclass(frozen=True, eq=False, repr=False)
class Patch:
    """What one position of a unit saw of a picture.

    Attributes
    ----------
    unit : int
    value : float
        The unit's value there.
    position : (row, column) or None
        On the layer's map; None for a layer without positions.
    number : int
        The picture's position among those that were read, from 0.
    source : picture
        As it was given: a path, an array, ...
    field : (x0, y0, x1, y1)
        The receptive field in pixels of the network's input, exact: the smallest box around all
        pixels that the value depends on, clipped to the input.
    geometry : Geometry
        How the input lies on the picture.
    """

    unit: int
    value: float
    position: tuple[int, int] | None
    number: int
    source: PictureLike
    field: tuple[int, int, int, int]
    geometry: Geometry

    def __repr__(self) -> str:
        box = ", ".join(f"{side:.4g}" for side in self.box)
        return f"<Patch of unit {self.unit}: {self.value:.4g}, picture {self.number}, box ({box})>"

    @property
    def name(self) -> str:
        """The picture's path, or its number in words."""
        if isinstance(self.source, (str, os.PathLike)):
            return os.fsdecode(self.source)
        return f"picture {self.number}"

    @property
    def box(self) -> Box:
        """The field on the original picture, in pixels.

        It is exact in pixels of the input. Where the picture was resized, a pixel of the input is a
        mean of neighbouring pixels, of which some can lie just outside of the box.
        """
        top, left, bottom, right = self.geometry.region
        height, width = self.geometry.input
        x0, y0, x1, y1 = self.field
        # Divided last: the edges of an input that is not cropped are exactly the picture's.
        across, down = right - left, bottom - top
        return (
            left + x0 * across / width,
            top + y0 * down / height,
            left + x1 * across / width,
            top + y1 * down / height,
        )

    @property
    def sees_all(self) -> bool:
        """Whether the field is the whole input."""
        return self.field == (0, 0, *self.geometry.input[::-1])

    @property
    def sees_picture(self) -> bool:
        """Whether the field is the whole picture."""
        return self.sees_all and not self.geometry.cropped

    @property
    def picture(self) -> NDArray[np.uint8]:
        """(H, W, 3): the original picture; one that was given as a path is read again."""
        return read_picture(self.source)

    @property
    def crop(self) -> NDArray[np.uint8]:
        """The part of the picture inside :attr:`box`, whose sides are rounded outwards."""
        x0, y0, x1, y1 = (round(side, 6) for side in self.box)  # without errors of rounding
        return self.picture[math.floor(y0) : math.ceil(y1), math.floor(x0) : math.ceil(x1)]
