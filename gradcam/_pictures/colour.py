"""From arrays to pixels: tables of colours, overlays, and PNG files.

A colour stands for a number between 0 and 1.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcam._pictures import encoding

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

COMPRESSION = 2
"""zlib's level for PNG files: an eighth larger than at its default, 6, and five times as fast."""


def colour(map: ArrayLike, cmap: str = "jet") -> NDArray[np.uint8]:
    """Turn a map into colours.

    Parameters
    ----------
    map
        Any shape, usually (H, W); values outside 0 to 1 take the nearest end's colour.
    cmap
        A matplotlib colour map's name, or ``"paper"``: the blue, cyan, yellow and red of the
        Grad-CAM paper's own code.

    Returns
    -------
    (..., 3) uint8, RGB.

    Raises
    ------
    ValueError
        If the map holds NaN, or no colour map has this name.
    """
    values = np.asarray(map)
    table = _table(cmap)
    result = np.empty((*values.shape, 3), np.uint8)
    flat, pixels = values.reshape(-1), result.reshape(-1, 3)
    for band in _bands(len(flat), 1):
        table.take(_steps(flat[band], len(table)), axis=0, out=pixels[band], mode="clip")
    return result


def overlay(
    picture: ArrayLike,
    map: ArrayLike,
    cmap: str = "jet",
    alpha: float = 0.5,
    region: tuple[float, float, float, float] | None = None,
) -> NDArray[np.uint8]:
    """Lay the colours of a map over a picture.

    Parameters
    ----------
    picture
        (H, W, 3) uint8, RGB.
    map
        (H, W), values 0 to 1.
    cmap
        See `colour`.
    alpha
        How much of the result is the map's colour: 0 shows the picture alone, 1 the map.
    region
        (top, left, bottom, right), in pixels: the part of the picture that the network saw.
        Outside it the picture stays uncoloured and fades to grey, because no evidence could
        be found there. None: all of the picture was seen.

    Returns
    -------
    (H, W, 3) uint8: ``(1 - alpha) * picture + alpha * colour(map)``, rounded.
    """
    below = np.asarray(picture)
    values = np.asarray(map)
    if below.dtype != np.uint8 or below.ndim != 3 or below.shape[2] != 3:
        raise ValueError(f"the picture must be (H, W, 3) uint8, not {below.shape} {below.dtype}")
    if values.shape != below.shape[:2]:
        raise ValueError(
            f"the map must have the picture's height and width {below.shape[:2]}, "
            f"not {values.shape}"
        )
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie between 0 and 1, not {alpha}")
    # Fixed point with 8 binary places: both tables hold 256 times what they stand for.
    shares = np.rint(256.0 * (1 - alpha) * np.arange(256)).astype(np.uint16)
    table = np.rint(256.0 * alpha * _table(cmap)).astype(np.uint16) + np.uint16(128)
    result = np.empty_like(below, order="C")
    for band in _bands(*values.shape):
        mixed = table.take(_steps(values[band], len(table)), axis=0, mode="clip")
        mixed += shares[below[band]]
        np.right_shift(mixed, 8, out=result[band], casting="unsafe")
    if region is not None:
        fade_outside(result, below, region)
    return result


def fade_outside(
    shown: NDArray[np.uint8],
    picture: NDArray[np.uint8],
    region: tuple[float, float, float, float],
) -> None:
    """Show the picture, faded to grey, where the network did not see it; `shown` is changed.

    Parameters
    ----------
    shown, picture
        (H, W, 3) uint8, RGB.
    region
        (top, left, bottom, right), in pixels: the part that was seen. A pixel counts as seen if
        its centre was, those on the very edge too.
    """
    top, left = (max(0, math.ceil(side - 0.5)) for side in region[:2])
    bottom, right = (math.floor(side + 0.5) for side in region[2:])
    for outside in (
        np.s_[:top],
        np.s_[bottom:],
        np.s_[top:bottom, :left],
        np.s_[top:bottom, right:],
    ):
        shown[outside] = picture[outside] // 2 + 64


def _bands(height: int, width: int) -> Iterator[slice]:
    """Cut rows into bands of a megapixel, so that large pictures need little beside themselves."""
    rows = max(1, 2**20 // max(1, width))
    return (slice(top, top + rows) for top in range(0, height, rows))


def _steps(values: NDArray[np.generic], count: int) -> NDArray[np.intp]:
    """Return the step of each value on a scale of `count` steps from 0 to 1."""
    if np.isnan(values).any():
        raise ValueError("the map holds NaN: there is no colour for it")
    steps = values.astype(np.float32).clip(0, 1)
    steps *= np.float32(count)
    return np.minimum(steps.astype(np.intp), count - 1)


def png(pixels: NDArray[np.uint8], side: int | None = None) -> bytes:
    """Return the pixels as a PNG file.

    Parameters
    ----------
    pixels : (H, W, 3) or (H, W) array of uint8
    side : int, optional
        Make the picture smaller so that its longer side has at most this many pixels.
    """
    from PIL import Image

    image = Image.fromarray(pixels)
    if side is not None:
        image.thumbnail((side, side))
    return encoding.png(np.asarray(image))


# The corners of jet, as matplotlib has it: where on the scale, and how much of the colour.
_JET = (
    ((0, 0.35, 0.66, 0.89, 1), (0, 0, 1, 1, 0.5)),
    ((0, 0.125, 0.375, 0.64, 0.91, 1), (0, 0, 1, 1, 0, 0)),
    ((0, 0.11, 0.34, 0.65, 1), (0.5, 1, 1, 0, 0)),
)


@cache
def _table(cmap: str) -> NDArray[np.uint8]:
    """Return the colours of a colour map, (N, 3), from 0 to 1.

    Those of heat maps are made here: to import matplotlib takes longer than to explain a picture.
    """
    if cmap == "paper":
        return (255 * _paper()).astype(np.uint8)
    if cmap == "jet":
        steps = np.arange(256)
        shares = [np.interp(steps, 255 * np.array(at), values) for at, values in _JET]
        return (255 * np.stack(shares, axis=1)).astype(np.uint8)
    colours = colour_map(cmap)
    table = np.asarray(colours(np.arange(colours.N), bytes=True), np.uint8)[:, :3]
    return np.ascontiguousarray(table)


def _paper() -> NDArray[np.float64]:
    """Return the colours of the Grad-CAM paper's own code, (N, 3), 0 to 1."""
    v = np.linspace(0, 1, 4 * 255 + 1)  # a step for each of its colours
    red, green, blue = 4 * v - 2, np.minimum(4 * v, 4 - 4 * v), 2 - 4 * v
    return np.stack([red, green, blue], axis=1).clip(0, 1)


@cache
def colour_map(name: str) -> Colormap:
    """Return the colour map of that name: matplotlib's, or "paper"."""
    import matplotlib
    from matplotlib.colors import ListedColormap

    if name == "paper":
        return ListedColormap(_paper(), name="paper")
    try:
        return matplotlib.colormaps[name]
    except (KeyError, TypeError):
        known = ["paper", *matplotlib.colormaps]
        near = difflib.get_close_matches(str(name), known, 3)
        hint = f"did you mean {' or '.join(near)}?" if near else "try jet, viridis or paper"
        raise ValueError(f"no colour map is called {name!r}: {hint}") from None
