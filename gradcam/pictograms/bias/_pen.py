"""Shapes in the coordinates of a person, drawn on transparent layers of the size of a picture.

The origin is the centre of the head, one unit is its radius; x points to the hand with the tool, y
down. Shapes are drawn three times as large and then made smaller, so that their edges are smooth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from gradcam.pictograms.bias._looks import SIDE, Colour, Look, shaded

_ZOOM = 3
_LINE = 0.05
"""The width of outlines, in units."""

_MANY = 16
"""Points of a line that is a curve."""

_Points = NDArray[np.float64]


class Layer(NamedTuple):
    """Pixels with their opacity, (h, w, 4), and the place of their upper left corner."""

    patch: NDArray[np.uint8]
    x: int
    y: int


class Pen:
    """Draws shapes on one layer.

    Parameters
    ----------
    look : Look
        Says where the person is, how large, and how it is turned.
    """

    def __init__(self, look: Look) -> None:
        self._image = Image.new("RGBA", (SIDE * _ZOOM, SIDE * _ZOOM))
        self._draw = ImageDraw.Draw(self._image)
        turn = math.radians(look.lean)
        across = -1 if look.mirrored else 1
        self._scale = look.radius * _ZOOM
        self._matrix = self._scale * np.array(
            [[across * math.cos(turn), across * math.sin(turn)], [-math.sin(turn), math.cos(turn)]]
        )
        self._origin = np.array([look.x, look.y]) * _ZOOM

    def layer(self) -> Layer | None:
        """Return what was drawn, cropped to its visible pixels; None if nothing is in the picture.

        The corner is at whole pixels of the picture.
        """
        box = self._image.getbbox()
        if box is None:
            return None
        x0, y0 = box[0] // _ZOOM, box[1] // _ZOOM
        x1, y1 = -(-box[2] // _ZOOM), -(-box[3] // _ZOOM)
        part = self._image.crop((x0 * _ZOOM, y0 * _ZOOM, x1 * _ZOOM, y1 * _ZOOM))
        return Layer(np.asarray(part.reduce(_ZOOM)), x0, y0)

    def polygon(self, points: ArrayLike, colour: Colour, line: float = _LINE) -> None:
        """Draw a polygon with an outline in a darker tone; `line` 0 for none."""
        placed = self._placed(points)
        self._draw.polygon(placed, fill=colour)
        if line:
            self.line(points, shaded(colour, 0.62), line, closed=True)

    def line(
        self, points: ArrayLike, colour: Colour, width: float, *, closed: bool = False
    ) -> None:
        """Draw a line through points, with round ends."""
        placed = self._placed(points)
        if closed:
            placed = [*placed, *placed[:2]]
        wide = max(1, round(width * self._scale))
        joint = "curve" if len(placed) < _MANY else None  # slow, and curves have no corners
        self._draw.line(placed, fill=colour, width=wide, joint=joint)
        for x, y in () if closed else (placed[0], placed[-1]):
            r = wide / 2
            self._draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)

    def limb(self, points: ArrayLike, colour: Colour, width: float) -> None:
        """Draw a line with an outline."""
        self.line(points, shaded(colour, 0.62), width + 2 * _LINE * 0.7)
        self.line(points, colour, width)

    def oval(
        self, x: float, y: float, rx: float, ry: float, colour: Colour, line: float = _LINE
    ) -> None:
        """Draw an ellipse with an outline."""
        self.polygon(oval(x, y, rx, ry), colour, line)

    def _placed(self, points: ArrayLike) -> list[tuple[float, float]]:
        """Return points in pixels of the large layer."""
        found = np.asarray(points, np.float64) @ self._matrix.T + self._origin
        return [(float(x), float(y)) for x, y in found]


def oval(x: float, y: float, rx: float, ry: float, start: float = 0, end: float = 360) -> _Points:
    """Return points of an ellipse, from one angle to another: 0 is +x, 90 is down."""
    angles = np.radians(np.linspace(start, end, max(8, int(abs(end - start) / 8))))
    return np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], axis=1)


def smooth(corners: Sequence[tuple[float, float]], *, closed: bool = True) -> _Points:
    """Return points of a smooth curve through corners, a Catmull-Rom spline."""
    points = np.asarray(corners, np.float64)
    if closed:
        around = np.concatenate([points[-1:], points, points[:2]])
    else:
        around = np.concatenate([points[:1], points, points[-1:]])
    t = np.linspace(0, 1, 8, endpoint=False)[:, None]
    parts = []
    for a, b, c, d in zip(around, around[1:], around[2:], around[3:], strict=False):
        parts.append(
            b
            + t * (c - a) / 2
            + t**2 * (a - 2.5 * b + 2 * c - d / 2)
            + t**3 * (1.5 * (b - c) + (d - a) / 2)
        )
    return np.concatenate(parts if closed else [*parts, points[-1:]])
