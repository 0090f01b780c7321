"""A person drawn on a background: which part is in front of which, and whose each pixel is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from gradcam.pictograms._drawing import OPAQUE, Drawn, draw_ground, finish, paste
from gradcam.pictograms.bias._bodies import draw_arm, draw_body, draw_hand, draw_head
from gradcam.pictograms.bias._hair import draw_behind, draw_front
from gradcam.pictograms.bias._looks import SIDE, Look, random_look
from gradcam.pictograms.bias._pen import Layer, Pen
from gradcam.pictograms.bias._things import draw_thing

BODY, HAIR, TOOL = 1, 2, 3
"""The numbers of the parts in `Drawn.owner`."""


def draw(rng: np.random.Generator, thing: str | None, hair: str) -> tuple[Drawn, Look]:
    """Draw a random person with a thing in the hand, or None, and short or long hair.

    The random numbers that are used depend on neither of both.
    """
    look = random_look(rng)
    canvas = draw_ground(rng, (SIDE, SIDE), 1.0)
    owner = np.zeros((SIDE, SIDE), np.uint8)
    for number, (patch, x, y) in _layers(look, thing, hair):
        paste(canvas, patch, x, y)
        region = owner[y : y + patch.shape[0], x : x + patch.shape[1]]
        region[patch[..., 3] >= OPAQUE] = number
    return Drawn(finish(rng, canvas), owner), look


def _layers(look: Look, thing: str | None, hair: str) -> Iterator[tuple[int, Layer]]:
    """Yield the layers from the back to the front, each with the number of its part."""
    steps: list[tuple[int, Callable[[Pen], None]]] = [
        (HAIR, lambda pen: draw_behind(pen, look, hair)),
        (BODY, lambda pen: draw_body(pen, look)),
        (BODY, lambda pen: draw_head(pen, look)),
        (HAIR, lambda pen: draw_front(pen, look, hair)),
        (BODY, lambda pen: draw_arm(pen, look)),
        (BODY, lambda pen: draw_hand(pen, look)),
    ]
    if thing is not None:
        steps.insert(5, (TOOL, lambda pen: draw_thing(pen, look, thing)))
    for number, step in steps:
        pen = Pen(look)
        step(pen)
        layer = pen.layer()
        if layer is not None:
            yield number, layer
