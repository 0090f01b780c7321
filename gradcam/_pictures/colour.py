"""From arrays to pixels: tables of colours, overlays, and PNG files.

A colour stands for a number between 0 and 1.
"""

from __future__ import annotations

import base64
import difflib
import math
import zlib
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcam._pictures import encoding

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

_MAX_OPACITY = 0.8
"""The opacity where a map is 1, if it rises with the map: the picture stays visible there."""

_AS_PUBLISHED = {"jet": 0.5, "paper": 0.5}
"""Colour maps that are blended with one opacity over the coloured picture."""

COMPRESSION = 2
"""zlib's level for PNG files: an eighth larger than at its default, 6, and five times as fast."""


def colour(map: ArrayLike, cmap: str = "inferno") -> NDArray[np.uint8]:
    """Turn a map into colours.

    Parameters
    ----------
    map
        Any shape, usually (H, W); values outside 0 to 1 take the nearest end's colour.
    cmap
        A matplotlib colour map's name, or ``"paper"``: the blue, cyan, yellow and red of the
        Grad-CAM paper's own code. The default, inferno, grows lighter in even steps from black to
        pale yellow: it can be read in grey print and by colour-blind people.

    Returns
    -------
    (..., 3) uint8, RGB.

    Raises
    ------
    ValueError
        If the map contains NaN, or no colour map has this name.
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
    cmap: str = "inferno",
    alpha: float | None = None,
    region: tuple[float, float, float, float] | None = None,
) -> NDArray[np.uint8]:
    """Lay the colours of a map over a picture.

    By default the picture is grey, so that every colour is the map's, and the opacity of the
    colours rises with the map's value v::

        result = (1 - 0.8 v) * grey + 0.8 v * colour(v)

    Where the map is 0, the grey picture is unchanged; where it is 1, a fifth of the picture is
    still visible. ``"jet"`` and ``"paper"`` are blended as in the papers and in pytorch-grad-cam,
    over the picture in its own colours and with the same opacity everywhere::

        result = 0.5 * picture + 0.5 * colour(v)

    Parameters
    ----------
    picture
        (H, W, 3) uint8, RGB.
    map
        (H, W), values 0 to 1.
    cmap
        See `colour`.
    alpha
        A constant opacity of the colours over the coloured picture: 0 shows the picture alone, 1
        the map alone. None: as described above, which depends on `cmap`.
    region
        (top, left, bottom, right), in pixels: the part of the picture that the network saw.
        Outside it the picture is not coloured and has less contrast, because no evidence can
        be found there. None: all of the picture was seen.

    Returns
    -------
    (H, W, 3) uint8, rounded.
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
    if alpha is not None and not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be between 0 and 1, not {alpha}")
    blend = _blend(cmap, alpha)
    if _constant_opacity(cmap, alpha) is None:
        below = grey(below)[:, :, None]
    result = np.empty((*values.shape, 3), np.uint8)
    for band in _bands(*values.shape):
        first = _steps(values[band], blend.shape[1] // 256) * 256
        for channel, table in enumerate(blend):
            result[band, :, channel] = table.take(first + below[band, :, channel % below.shape[2]])
    if region is not None:
        fade_outside(result, below, region)
    return result


def grey(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the grey values of a picture, (H, W): the luma of ITU-R BT.601."""
    from PIL import Image

    values: NDArray[np.uint8] = np.asarray(Image.fromarray(picture).convert("L"))
    return values


def blend_words(cmap: str, alpha: float | None = None) -> str:
    """Return in words how `overlay` blends."""
    constant = _constant_opacity(cmap, alpha)
    if constant is None:
        return f"over the grey picture, opacity 0 to {_MAX_OPACITY:g}"
    return f"over the picture, opacity {constant:g}"


def scale_bar(cmap: str, alpha: float | None = None) -> NDArray[np.uint8]:
    """Return the colours of `overlay` over every grey, (256, N, 3) uint8.

    The map's value rises from left to right; the picture below is white at the top and black at
    the bottom.
    """
    blend = _blend(cmap, alpha)
    return np.ascontiguousarray(blend.reshape(3, -1, 256).transpose(2, 1, 0)[::-1])


def plain_bar(cmap: str) -> NDArray[np.uint8]:
    """Return the colours of `colour`, (1, N, 3) uint8, from left to right."""
    return _table(cmap).reshape(1, -1, 3)


def _constant_opacity(cmap: str, alpha: float | None) -> float | None:
    """Return the opacity if it is the same everywhere; None if it rises with the map."""
    return _AS_PUBLISHED.get(cmap) if alpha is None else alpha


@lru_cache(maxsize=8)
def _blend(cmap: str, alpha: float | None) -> NDArray[np.uint8]:
    """Return what a colour over a pixel gives, (3, N * 256): channels, steps of the map, pixels."""
    table = _table(cmap)
    constant = _constant_opacity(cmap, alpha)
    share = np.linspace(0, _MAX_OPACITY, len(table)) if constant is None else np.array([constant])
    share = share[:, None, None]
    mixed = (1 - share) * np.arange(256)[:, None] + share * table[:, None, :]
    planes = np.rint(mixed).astype(np.uint8).transpose(2, 0, 1)
    return np.ascontiguousarray(planes).reshape(3, -1)


def fade_outside(
    shown: NDArray[np.uint8],
    picture: NDArray[np.uint8],
    region: tuple[float, float, float, float],
) -> None:
    """Show the picture with less contrast where the network did not see it; changes `shown`.

    Parameters
    ----------
    shown
        (H, W, 3) uint8, RGB.
    picture
        (H, W, 3) or (H, W, 1) uint8.
    region
        (top, left, bottom, right), in pixels: the part that was seen. A pixel counts as seen if
        its centre was, also if it is exactly on the edge.
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
        raise ValueError("the map contains NaN: there is no colour for it")
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


# The 256 colours of inferno, as matplotlib has them: (3, 256) second differences, int8.
_INFERNO = (
    b"c-oCpixPk!2piY`|8iv_V_?^nnq|2c0<ddz!|3xGuWQL0(1vuq{a)a-8aM^_9HE86NS^?@r(UX+PTbDKwKBnWVT*"
    b"qL67H$WI_ihXw=hCnbys}T-NsZ35&$VLpL!r*CJ`Kt^TBl9@Z5?*02k%N^0kKVJpGtl39Fm7x|KA<pCqQxV?2PXm"
    b"d5&KdMq4IGm57h@tM*H"
)

# The corners of jet, as matplotlib has it: where on the scale, and how much of the colour.
_JET = (
    ((0, 0.35, 0.66, 0.89, 1), (0, 0, 1, 1, 0.5)),
    ((0, 0.125, 0.375, 0.64, 0.91, 1), (0, 0, 1, 1, 0, 0)),
    ((0, 0.11, 0.34, 0.65, 1), (0.5, 1, 1, 0, 0)),
)


@cache
def _table(cmap: str) -> NDArray[np.uint8]:
    """Return the colours of a colour map, (N, 3), from 0 to 1.

    Those of heat maps are computed here: importing matplotlib takes longer than explaining a
    picture.
    """
    if cmap == "inferno":
        second = np.frombuffer(zlib.decompress(base64.b85decode(_INFERNO)), np.int8)
        return np.ascontiguousarray(second.reshape(3, 256).cumsum(1).cumsum(1).T, np.uint8)
    if cmap == "paper":
        return (255 * _paper()).astype(np.uint8)
    if cmap == "gray":
        return np.repeat((255 * np.linspace(0, 1, 256)).astype(np.uint8)[:, None], 3, axis=1)
    if cmap == "jet":
        steps = np.arange(256)
        shares = [np.interp(steps, 255 * np.array(at), values) for at, values in _JET]
        return (255 * np.stack(shares, axis=1)).astype(np.uint8)
    colours = _colour_map(cmap)
    table = np.asarray(colours(np.arange(colours.N), bytes=True), np.uint8)[:, :3]
    return np.ascontiguousarray(table)


def _paper() -> NDArray[np.float64]:
    """Return the colours of the Grad-CAM paper's own code, (N, 3), 0 to 1."""
    v = np.linspace(0, 1, 4 * 255 + 1)  # a step for each of its colours
    red, green, blue = 4 * v - 2, np.minimum(4 * v, 4 - 4 * v), 2 - 4 * v
    return np.stack([red, green, blue], axis=1).clip(0, 1)


@cache
def _colour_map(name: str) -> Colormap:
    """Return matplotlib's colour map of that name."""
    import matplotlib

    try:
        return matplotlib.colormaps[name]
    except (KeyError, TypeError):
        known = ["paper", *matplotlib.colormaps]
        near = difflib.get_close_matches(str(name), known, 3)
        hint = f"did you mean {' or '.join(near)}?" if near else "try inferno, jet or paper"
        raise ValueError(f"no colour map is called {name!r}: {hint}") from None
