"""The concepts of a scene, each with its mask: the classes of its objects, and colours.

They are what :func:`gradcam.inside.dissect` names units by, as the Broden data set is in Network
Dissection (Bau et al. 2017), whose kinds of concepts include objects and the eleven colours that
most languages have a word for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradcam._pictures.image import read_picture
from gradcam._text import brief
from gradcam.inside._concepts import Concept
from gradcam.pictograms._scenes import Scene

CLASS, COLOUR = "class", "colour"
"""The kinds of concepts."""

COLOURS = (
    *("black", "grey", "white", "red", "orange", "brown"),
    *("yellow", "green", "blue", "purple", "pink"),
)
"""The eleven basic colour terms (Berlin and Kay 1969), in the order of :func:`colour_numbers`."""

_BLACK, _GREY, _WHITE, _RED, _ORANGE, _BROWN, _YELLOW, _GREEN, _BLUE, _PURPLE, _PINK = range(11)

_HUES = (
    (0, _RED),
    (15, _ORANGE),
    (45, _YELLOW),
    (70, _GREEN),
    (170, _BLUE),
    (255, _PURPLE),
    (305, _PINK),
    (335, _RED),
)
"""From which hue on, in degrees, a colour has this name, if nothing else applies."""


def concepts(scene: Scene) -> dict[Concept, NDArray[np.bool_]]:
    """Return the concepts that occur in a scene, with their masks.

    Parameters
    ----------
    scene : Scene

    Returns
    -------
    dict of Concept to (H, W) array of bool
        Of the kind "class": each class of the scene, with the visible pixels of its objects. Of the
        kind "colour": each colour that a pixel of the picture has, see :func:`colours`.

    Examples
    --------
    >>> from gradcam import pictograms
    >>> found = pictograms.concepts(pictograms.scene(7, classes=["cat", "dog"]))
    >>> [each.name for each in found if each.kind == "class"]
    ['cat', 'dog']
    """
    if not isinstance(scene, Scene):
        raise TypeError(
            f"scene: expected that of gradcam.pictograms.scene(seed), got {brief(scene)}"
        )
    found: dict[Concept, NDArray[np.bool_]] = {}
    for each in scene.objects:
        concept = Concept(each.label, CLASS)
        found[concept] = found[concept] | each.mask if concept in found else each.mask
    return found | colours(scene.picture)


def colours(picture: object) -> dict[Concept, NDArray[np.bool_]]:
    """Return the colours that occur in a picture, with their masks. Each pixel has one colour.

    Parameters
    ----------
    picture : path, Pillow image or array
        As of :meth:`gradcam.Network.forward`; an array of floats is none.

    Returns
    -------
    dict of Concept to (H, W) array of bool
        Of the kind "colour".

    Notes
    -----
    The colour is that of these rules that comes first, of the hue (0 to 360 degrees), the
    saturation and the value (0 to 1) of HSV:

    1. black: value below 0.2;
    2. white: saturation below 0.15, value 0.8 or more; grey: saturation below 0.15;
    3. dark, value below 0.65: brown if the hue is from 335 to 15 and the saturation below 0.6, or
       the hue is from 15 to 60; green if the hue is from 60 to 70 (olive);
    4. pink: hue from 335 to 15, saturation below 0.5;
    5. by the hue: red from 335 to 15, orange to 45, yellow to 70, green to 170, blue to 255, purple
       to 305, pink to 335.
    """
    numbers = colour_numbers(read_picture(picture))
    return {
        Concept(COLOURS[n], COLOUR): numbers == n
        for n in np.flatnonzero(np.bincount(numbers.ravel(), minlength=len(COLOURS))).tolist()
    }


def colour_numbers(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the position in `COLOURS` of each pixel's colour, (H, W); see :func:`colours`."""
    hue, saturation, value = _hsv(picture)
    found = np.full(hue.shape, _RED, np.uint8)
    for begin, name in _HUES[1:]:
        found[hue >= begin] = name
    is_red = found == _RED
    found[is_red & (saturation < 0.5)] = _PINK
    dark = value < 0.65
    found[dark & is_red & (saturation < 0.6)] = _BROWN
    found[dark & (hue >= 15) & (hue < 60)] = _BROWN
    found[dark & (hue >= 60) & (hue < 70)] = _GREEN
    plain = saturation < 0.15
    found[plain] = np.where(value[plain] >= 0.8, _WHITE, _GREY)
    found[value < 0.2] = _BLACK
    return found


def _hsv(picture: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
    """Return hue (0 to 360), saturation and value (0 to 1) of an RGB picture, (H, W) each."""
    red, green, blue = (picture[..., n].astype(np.float32) for n in range(3))
    high, low = picture.max(2).astype(np.float32), picture.min(2).astype(np.float32)
    chroma = high - low
    divisor = np.maximum(chroma, 1)
    hue = np.where(
        high == red,
        (green - blue) / divisor % 6,
        np.where(high == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    )
    return 60 * hue, chroma / np.maximum(high, 1), high / np.float32(255)
