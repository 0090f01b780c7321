"""What people hold: all things have a handle of the same kind, and differ in their small head.

The professions have a spoon, of metal or wood, and a brush with paint. The others are for the
training of the network before it sees these two.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcam.pictograms.bias._bodies import hand
from gradcam.pictograms.bias._looks import Look, shaded
from gradcam.pictograms.bias._pen import Pen, oval, smooth

TOOLS = {"cook": "spoon", "painter": "brush"}
"""The tool of each profession."""

_FERRULE = (198, 200, 206)

_HANDLE = 0.66
"""The end of the handle, in lengths of the thing."""


class _Hand:
    """Draws the parts of a thing in the hand of a person.

    The thing has length 1 and stands upright on (0, 0); y points down.
    """

    def __init__(self, pen: Pen, look: Look) -> None:
        self._pen, self.look = pen, look
        turn = math.radians(look.turn)
        self._matrix = np.array(
            [[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]
        )
        self._place = np.asarray(hand(look))

    def polygon(self, points: ArrayLike, colour: tuple[int, int, int], line: float = 0.05) -> None:
        self._pen.polygon(self._placed(points), colour, line)

    def handle(self) -> None:
        self._pen.limb(self._placed([(0, 0), (0, -_HANDLE)]), self.look.wood, 0.11)

    def line(self, points: ArrayLike, colour: tuple[int, int, int], width: float) -> None:
        self._pen.limb(self._placed(points), colour, width)

    def _placed(self, points: ArrayLike) -> NDArray[np.float64]:
        upright = np.asarray(points, np.float64) * self.look.tool + (0, 0.25)
        moved: NDArray[np.float64] = upright @ self._matrix.T + self._place
        return moved


def draw_thing(pen: Pen, look: Look, name: str) -> None:
    """Draw a thing of `THINGS` in the hand."""
    hand = _Hand(pen, look)
    hand.handle()
    THINGS[name](hand)


def _spoon(hand: _Hand) -> None:
    hand.polygon(oval(0, -0.83, 0.15, 0.2), hand.look.metal)
    hand.polygon(oval(0, -0.83, 0.085, 0.13), shaded(hand.look.metal, 0.84), 0)


def _brush(hand: _Hand) -> None:
    hand.polygon([(-0.07, -0.62), (0.07, -0.62), (0.09, -0.74), (-0.09, -0.74)], _FERRULE)
    tip = [(-0.1, -0.74), (0.1, -0.74), (0.13, -0.86), (0.0, -1.04), (-0.13, -0.86)]
    hand.polygon(smooth(tip), hand.look.paint)


def _hammer(hand: _Hand) -> None:
    hand.polygon([(-0.26, -0.95), (0.18, -0.95), (0.28, -0.8), (-0.26, -0.72)], hand.look.metal)


def _fork(hand: _Hand) -> None:
    hand.polygon([(-0.14, -0.66), (0.14, -0.66), (0.14, -0.78), (-0.14, -0.78)], hand.look.metal)
    for x in (-0.11, 0.0, 0.11):
        hand.line([(x, -0.78), (x, -1.02)], hand.look.metal, 0.04)


def _knife(hand: _Hand) -> None:
    blade = [(-0.07, -0.62), (0.1, -0.62), (0.14, -0.85), (0.06, -1.08), (-0.07, -0.98)]
    hand.polygon(blade, hand.look.metal)


def _wand(hand: _Hand) -> None:
    angles = np.radians(np.arange(10) * 36 - 90)
    size = np.where(np.arange(10) % 2, 0.11, 0.26)
    star = np.stack([size * np.cos(angles), -0.84 + size * np.sin(angles)], axis=1)
    hand.polygon(star, hand.look.paint)


def _lollipop(hand: _Hand) -> None:
    hand.polygon(oval(0, -0.84, 0.22, 0.22), hand.look.paint)
    hand.polygon(oval(0, -0.84, 0.22, 0.22, 0, 180), hand.look.second, 0)


def _ring(hand: _Hand) -> None:
    hand.line([*oval(0, -0.85, 0.18, 0.18)], hand.look.paint, 0.07)


def _flag(hand: _Hand) -> None:
    hand.polygon([(0.0, -0.6), (0.0, -1.02), (0.42, -0.92), (0.36, -0.66)], hand.look.paint)


def _flower(hand: _Hand) -> None:
    for angle in np.radians(np.arange(5) * 72 - 90):
        x, y = 0.14 * math.cos(angle), -0.84 + 0.14 * math.sin(angle)
        hand.polygon(oval(x, y, 0.1, 0.1), hand.look.paint)
    hand.polygon(oval(0, -0.84, 0.08, 0.08), hand.look.second)


def _rake(hand: _Hand) -> None:
    hand.line([(-0.26, -0.72), (0.26, -0.72)], hand.look.metal, 0.05)
    for x in (-0.26, -0.09, 0.09, 0.26):
        hand.line([(x, -0.72), (x, -0.92)], hand.look.metal, 0.04)


def _mirror(hand: _Hand) -> None:
    hand.polygon([(-0.2, -0.62), (0.2, -0.62), (0.2, -1.0), (-0.2, -1.0)], hand.look.paint)
    hand.polygon([(-0.13, -0.69), (0.13, -0.69), (0.13, -0.93), (-0.13, -0.93)], (206, 228, 238), 0)


THINGS: dict[str, Callable[[_Hand], None]] = {
    "spoon": _spoon,
    "brush": _brush,
    "hammer": _hammer,
    "fork": _fork,
    "knife": _knife,
    "wand": _wand,
    "lollipop": _lollipop,
    "ring": _ring,
    "flag": _flag,
    "flower": _flower,
    "rake": _rake,
    "mirror": _mirror,
}
"""How the heads are drawn, by name."""

OTHERS = tuple(name for name in THINGS if name not in TOOLS.values())
"""Those that no profession has."""
