"""The look of a person: all that depends neither on the profession nor on the length of the hair.

Two people of one seed have the same look, so that a person can be drawn again with another tool or
another length of hair, and everything else stays exactly the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Colour = tuple[int, int, int]

SIDE = 224
"""Height and width of the pictures in pixels."""

_SKINS: tuple[Colour, ...] = (
    *((255, 219, 186), (241, 194, 150), (222, 166, 118), (184, 124, 82), (136, 88, 58)),
    *((108, 72, 52),),
)
_HAIRS: tuple[Colour, ...] = (
    *((38, 30, 30), (72, 46, 32), (118, 74, 42), (172, 112, 54), (222, 178, 92)),
    *((176, 74, 38), (150, 148, 150), (92, 58, 116), (52, 92, 128)),
)
_EYES: tuple[Colour, ...] = ((62, 42, 32), (48, 84, 110), (62, 98, 62))
_CLOTHES: tuple[Colour, ...] = (
    *((204, 70, 66), (62, 116, 186), (74, 148, 92), (232, 176, 62), (134, 88, 160)),
    *((236, 232, 224), (64, 74, 92), (232, 132, 150), (70, 160, 164), (150, 108, 78)),
)
_WOODS: tuple[Colour, ...] = (
    (206, 158, 98),
    (166, 112, 66),
    (118, 76, 48),
    (196, 70, 58),
    (58, 96, 160),
)
_METALS: tuple[Colour, ...] = ((214, 168, 106), (186, 188, 194), (110, 112, 120), (96, 66, 50))
_PAINTS: tuple[Colour, ...] = (
    *((226, 84, 70), (70, 128, 196), (244, 196, 66), (96, 172, 102), (232, 120, 168)),
)


@dataclass(frozen=True)
class Look:
    """What a person looks like; lengths in radii of the head, angles in degrees.

    Attributes
    ----------
    radius : float
        Of the head, in pixels.
    x, y : float
        The centre of the head, in pixels.
    lean : float
        The turn of the whole person, clockwise.
    mirrored : bool
        The tool is then in the hand at the left of the picture.
    skin, hair, eyes, shirt, second, trousers, shoes, apron : Colour
    pattern, style, fringe : int
        Which pattern the shirt has, and how the hair is cut.
    length : float
        Of long hair, in addition to the least.
    glasses, has_apron : bool
    smile : float
    reach : float
        The direction of the arm with the tool, from the side (0) upwards.
    other : float
        The direction of the other arm, from the side (0) downwards.
    turn : float
        Of the tool, from upright to the side: it is not in front of the hair.
    tool : float
        The length of the tool.
    wood, metal, paint : Colour
        Of the tool's handle; of the head of a spoon, metal or wood; of that of a brush.
    """

    radius: float
    x: float
    y: float
    lean: float
    mirrored: bool
    skin: Colour
    hair: Colour
    eyes: Colour
    shirt: Colour
    second: Colour
    trousers: Colour
    shoes: Colour
    apron: Colour
    pattern: int
    style: int
    fringe: int
    length: float
    glasses: bool
    has_apron: bool
    smile: float
    reach: float
    other: float
    turn: float
    tool: float
    wood: Colour
    metal: Colour
    paint: Colour


def random_look(rng: np.random.Generator) -> Look:
    """Return a random look."""
    radius, mirrored = rng.uniform(29, 38), bool(rng.random() < 0.5)
    # Inside the picture: the hair, the feet, the free arm and the tool at the end of the other arm.
    free, tool = 1.7 * radius, 3.2 * radius
    left, right = (tool, free) if mirrored else (free, tool)
    return Look(
        radius=radius,
        x=rng.uniform(left, SIDE - right),
        y=rng.uniform(1.5 * radius, SIDE - 3.6 * radius),
        lean=rng.normal(0, 4),
        mirrored=mirrored,
        skin=_one_of(rng, _SKINS, 6),
        hair=_one_of(rng, _HAIRS, 8),
        eyes=_one_of(rng, _EYES, 6),
        shirt=_one_of(rng, _CLOTHES, 14),
        second=_one_of(rng, _CLOTHES, 14),
        trousers=_one_of(rng, _CLOTHES, 14),
        shoes=_one_of(rng, _CLOTHES, 14),
        apron=_one_of(rng, _CLOTHES, 14),
        pattern=int(rng.integers(4)),
        style=int(rng.integers(3)),
        fringe=int(rng.integers(3)),
        length=rng.uniform(0, 0.7),
        glasses=bool(rng.random() < 0.25),
        has_apron=bool(rng.random() < 0.5),
        smile=rng.uniform(0.12, 0.3),
        reach=rng.uniform(-40, 30),
        other=rng.uniform(20, 75),
        turn=rng.uniform(35, 105),
        tool=rng.uniform(1.45, 1.8),
        wood=_one_of(rng, _WOODS, 10),
        metal=_one_of(rng, _METALS, 10),
        paint=_one_of(rng, _PAINTS, 10),
    )


def _one_of(rng: np.random.Generator, colours: tuple[Colour, ...], jitter: float) -> Colour:
    """Return a random colour with a random change of each channel."""
    chosen = np.asarray(colours[int(rng.integers(len(colours)))]) + rng.normal(0, jitter, 3)
    red, green, blue = (int(value) for value in chosen.clip(0, 255))
    return red, green, blue


def shaded(colour: Colour, by: float) -> Colour:
    """Return a colour that is brighter (`by` above 1) or darker."""
    red, green, blue = (max(0, min(255, int(value * by))) for value in colour)
    return red, green, blue
