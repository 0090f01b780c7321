"""Hair, short and long: the part behind the person, and the part in front."""

from __future__ import annotations

import numpy as np

from gradcam.pictograms.bias._looks import Look, shaded
from gradcam.pictograms.bias._pen import Pen, smooth

_Corners = list[tuple[float, float]]

_STRAIGHT, _WAVES, _TAILS = range(3)
_SHORT, _CURLS, _SPIKES = range(3)
"""Cuts of long and of short hair, by `Look.style`."""


def draw_behind(pen: Pen, look: Look, hair: str) -> None:
    """Draw the hair behind the body: much if it is long, else its edge around the head."""
    tone = shaded(look.hair, 0.85)
    if hair == "short" or look.style == _TAILS:
        pen.oval(0, -0.12, 1.06, 1.0, tone)
    if hair == "long":
        end = 1.35 + look.length
        outlines, strands = _tails(end) if look.style == _TAILS else _falling(end, look.style)
        for outline in outlines:
            pen.polygon(smooth(outline), tone)
        for strand in strands:
            pen.line(smooth(strand, closed=False), shaded(look.hair, 0.62), 0.045)


def _falling(end: float, style: int) -> tuple[list[_Corners], list[_Corners]]:
    """Return the outline of open hair that ends at the height `end`, and its strands."""
    right = [(0.75, -0.9), (1.08, -0.3)]
    if style == _STRAIGHT:
        right += [(1.16, 0.5), (1.2, end), (0.6, end + 0.12)]
        waves = [0.0] * 6
    else:
        heights = np.linspace(0.2, end, 6).tolist()
        waves = [0.12 if n % 2 else -0.08 for n in range(6)]
        right += [(1.22 + wave, y) for wave, y in zip(waves, heights, strict=True)]
        right += [(0.55, end + 0.2)]
    outline = [(0, -1.12), *right, *[(-x, y) for x, y in reversed(right)]]
    down = np.linspace(0.55, end, 6).tolist()
    strands = [
        [(side * (x + wave), y) for wave, y in zip(waves, down, strict=True)]
        for side in (-1, 1)
        for x in (0.66, 0.84, 1.02)
    ]
    return [outline], strands


def _tails(end: float) -> tuple[list[_Corners], list[_Corners]]:
    """Return the outlines of two tails that end at the height `end`, and their strands."""
    tail = [(0.95, 0.05), (1.35, 0.2), (1.55, 0.8), (1.42, end), (1.2, end + 0.25)]
    tail += [(1.12, end), (1.15, 0.8), (1.02, 0.4)]
    strands = [
        [(1.2 + 0.1 * n, 0.35), (1.27 + 0.12 * n, 0.8), (1.22 + 0.1 * n, end)] for n in (0, 1)
    ]
    return _both_sides([tail]), _both_sides(strands)


def _both_sides(lines: list[_Corners]) -> list[_Corners]:
    return [[(side * x, y) for x, y in line] for side in (-1, 1) for line in lines]


def draw_front(pen: Pen, look: Look, hair: str) -> None:
    """Draw the hair on the forehead and at the sides of the face."""
    low = 0.12 if hair == "short" else 0.62
    top = [(-1.04, low), (-1.1, -0.25), (-0.85, -0.85), (-0.35, -1.16), (0.3, -1.18)]
    top += [(0.85, -0.85), (1.1, -0.25), (1.04, low)]
    fringe = _FRINGES[look.fringe]
    pen.polygon(smooth([*top, (0.9, 0.0), (0.8, -0.36), *fringe, (-0.9, 0.0)]), look.hair)
    bright = shaded(look.hair, 1.25)
    pen.line(smooth([(-0.55, -0.85), (-0.2, -1.0), (0.15, -1.02)], closed=False), bright, 0.07)
    if hair == "long" and look.style == _TAILS:
        for side in (-1, 1):
            pen.oval(side * 1.06, 0.1, 0.15, 0.17, look.second)  # ribbons
    elif hair == "short" and look.style == _CURLS:
        for x, y in ((-0.8, -0.85), (-0.45, -1.1), (0.0, -1.2), (0.45, -1.1), (0.8, -0.85)):
            pen.oval(x, y, 0.26, 0.24, look.hair)
            pen.oval(x * 0.9, y * 0.9, 0.22, 0.2, look.hair, 0)
    elif hair == "short" and look.style == _SPIKES:
        pen.polygon(_SPIKE_LINE, look.hair)
        pen.oval(0, -0.85, 0.72, 0.26, look.hair, 0)


_FRINGES: tuple[_Corners, ...] = (
    [(0.3, -0.62), (-0.3, -0.5), (-0.82, -0.28)],  # parted at the side
    [(0.4, -0.33), (0.0, -0.3), (-0.4, -0.33), (-0.8, -0.36)],  # straight
    [(0.4, -0.52), (0.02, -0.78), (-0.4, -0.52), (-0.8, -0.36)],  # parted in the middle
)

_SPIKE_LINE: _Corners = [
    *[(-0.7, -0.95), (-0.5, -1.3), (-0.25, -1.12), (0.05, -1.42)],
    *[(0.28, -1.12), (0.6, -1.28), (0.72, -0.92)],
]
