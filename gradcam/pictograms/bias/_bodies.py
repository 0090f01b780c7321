"""A person without hair: legs, clothes, arms, head and face."""

from __future__ import annotations

import math

import numpy as np

from gradcam.pictograms.bias._looks import Look, shaded
from gradcam.pictograms.bias._pen import Pen, oval, smooth

_SHOULDER = (0.55, 1.22)
_WHITE, _FRAME, _BLUSH = (250, 250, 250), (44, 44, 52), (236, 92, 92)


def hand(look: Look) -> tuple[float, float]:
    """Return where the hand with the tool is."""
    turn = math.radians(look.reach)
    return _SHOULDER[0] + 1.05 * math.cos(turn), _SHOULDER[1] - 1.05 * math.sin(turn)


def draw_body(pen: Pen, look: Look) -> None:
    """Draw legs, clothes and the arm without a tool."""
    for side in (-1, 1):
        pen.limb([(side * 0.3, 2.1), (side * 0.34, 2.95)], look.trousers, 0.42)
        pen.oval(side * 0.42, 3.05, 0.34, 0.2, look.shoes)
    turn = math.radians(look.other)
    elbow = (-0.55 - 0.55 * math.cos(turn), 1.22 + 0.55 * math.sin(turn))
    free = (-0.62 - 0.75 * math.cos(turn), 1.22 + 1.02 * math.sin(turn))
    pen.limb([(-_SHOULDER[0], _SHOULDER[1]), elbow, free], look.shirt, 0.32)
    pen.oval(*free, 0.2, 0.2, look.skin)
    _draw_shirt(pen, look)


def _draw_shirt(pen: Pen, look: Look) -> None:
    """Draw the shirt with its pattern, and an apron if there is one."""
    right = [(0.3, 0.86), (0.68, 1.08), (0.64, 1.7), (0.74, 2.34)]
    left = [(-x, y) for x, y in reversed(right)]
    pen.polygon(smooth([*right, (0.0, 2.42), *left]), look.shirt)
    _PATTERNS[look.pattern](pen, look)
    if look.has_apron:
        _draw_apron(pen, look)


def _plain(pen: Pen, look: Look) -> None:
    """Draw no pattern."""


def _stripes(pen: Pen, look: Look) -> None:
    for y in (1.25, 1.6, 1.95):
        pen.line([(-0.58, y), (0.58, y)], look.second, 0.11)


def _dots(pen: Pen, look: Look) -> None:
    for y, places in ((1.3, (-0.4, 0.0, 0.4)), (1.65, (-0.2, 0.2)), (2.0, (-0.42, 0.0, 0.42))):
        for x in places:
            pen.oval(x, y, 0.08, 0.08, look.second, 0)


def _buttons(pen: Pen, look: Look) -> None:
    pen.line([(0.0, 1.0), (0.0, 2.3)], shaded(look.shirt, 0.7), 0.05)
    for y in (1.3, 1.65, 2.0):
        pen.oval(0.1, y, 0.05, 0.05, _WHITE, 0)


_PATTERNS = (_plain, _stripes, _dots, _buttons)


def _draw_apron(pen: Pen, look: Look) -> None:
    for side in (-1, 1):
        pen.line([(side * 0.32, 1.0), (side * 0.36, 1.4)], look.apron, 0.09)
    right = [(0.4, 1.3), (0.46, 1.72), (0.6, 1.86), (0.58, 2.5)]
    left = [(-x, y) for x, y in reversed(right)]
    pen.polygon([*right, *left], look.apron)
    pocket = [(-0.26, 1.95), (0.26, 1.95), (0.22, 2.25), (-0.22, 2.25)]
    pen.polygon(pocket, shaded(look.apron, 0.9))


def draw_head(pen: Pen, look: Look) -> None:
    """Draw neck, ears, head and face."""
    pen.limb([(0, 0.8), (0, 1.0)], shaded(look.skin, 0.9), 0.34)
    for side in (-1, 1):
        pen.oval(side * 0.99, 0.14, 0.17, 0.2, look.skin)
    pen.oval(0, 0, 1.0, 0.97, look.skin)
    for side in (-1, 1):
        _draw_cheek_and_eye(pen, look, side)
    pen.line(oval(0, 0.26, 0.06, 0.06, 20, 160), shaded(look.skin, 0.7), 0.05)
    pen.polygon(oval(0, 0.44, 0.26, look.smile, 0, 180), (150, 52, 58), 0.03)
    if look.glasses:
        for side in (-1, 1):
            pen.line(oval(side * 0.37, 0.12, 0.27, 0.25), _FRAME, 0.05, closed=True)
        pen.line([(-0.1, 0.08), (0.1, 0.08)], _FRAME, 0.05)


def _draw_cheek_and_eye(pen: Pen, look: Look, side: int) -> None:
    """Draw those of one side, with the eyebrow."""
    red, green, blue = (int(0.75 * a + 0.25 * b) for a, b in zip(look.skin, _BLUSH, strict=True))
    pen.oval(side * 0.58, 0.4, 0.17, 0.11, (red, green, blue), 0)
    pen.oval(side * 0.37, 0.12, 0.13, 0.17, (34, 28, 30), 0)
    pen.oval(side * 0.37, 0.14, 0.09, 0.12, look.eyes, 0)
    pen.oval(side * 0.37 + 0.04, 0.06, 0.045, 0.05, _WHITE, 0)
    pen.line(oval(side * 0.37, -0.05, 0.2, 0.16, 225, 315), shaded(look.hair, 0.75), 0.06)


def draw_arm(pen: Pen, look: Look) -> None:
    """Draw the arm that holds the tool, without its hand."""
    end = np.asarray(hand(look))
    elbow = (np.asarray(_SHOULDER) + end) / 2 + (0.05, 0.14)
    pen.limb([_SHOULDER, elbow, end], look.shirt, 0.32)


def draw_hand(pen: Pen, look: Look) -> None:
    """Draw the hand that holds the tool."""
    pen.oval(*hand(look), 0.2, 0.2, look.skin)
