"""Figures of pictures in a plane: at their points, or in a grid."""

from __future__ import annotations

import colorsys
import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcam._pictures import figures
from gradcam._scikit import scikit
from gradcam._text import width, wrap
from gradcam.inside._picture_set import SIDE, PictureSet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_U8 = NDArray[np.uint8]
_F64 = NDArray[np.float64]
_I64 = NDArray[np.int64]

_FRAME, _GAP = 3, 2
"""Pixels of a frame, and of white around it."""

_CANVAS = 1400
"""The side of the picture at whose points the small copies are drawn, in pixels."""

_INCHES = 10.0
"""Its side in the figure."""

_SHARE = 0.5
"""The small copies are so large that all together would cover this share of the picture."""

_LARGEST = 140
"""The side of a small copy as it is drawn, at most."""

_LISTED, _TALL = 80, 40
"""Classes whose colours are listed, and how many below each other."""


def snapped(points: _F64) -> _I64:
    """Return a cell of a square grid for each point: (M, 2) rows and columns, all different."""
    optimize = scikit("scipy.optimize", "the grid")
    side = math.ceil(math.sqrt(len(points)))
    places = _stretched(points) * (side - 1)
    rows, columns = np.divmod(np.arange(side * side), side)
    cells = np.stack([side - 1 - rows, columns], 1)  # the grid's row 0 is at the top
    cost = (places[:, 1, None] - cells[:, 0]) ** 2 + (places[:, 0, None] - cells[:, 1]) ** 2
    _, found = optimize.linear_sum_assignment(cost)
    return np.stack([rows[found], columns[found]], 1)


def _stretched(points: _F64) -> _F64:
    """Return points whose coordinates are 0 to 1 along each axis."""
    low, high = points.min(0), points.max(0)
    return np.asarray((points - low) / np.where(high > low, high - low, 1))


def _fitted(points: _F64) -> _F64:
    """Return points in a square from 0 to 1, on one scale along both axes."""
    low, high = points.min(0), points.max(0)
    return np.asarray((points - (low + high) / 2) / ((high - low).max() or 1) + 0.5)


def grid_figure(pictures: PictureSet, cells: _I64, heading: str, details: str) -> Figure:
    """Draw small copies in the cells of a grid."""
    colours = class_colours(len(pictures.classes))
    side = int(cells.max()) + 1
    step = SIDE + 2 * (_FRAME + _GAP)
    whole = np.full((side * step, side * step, 3), 255, np.uint8)
    for n, (row, column) in enumerate(cells):
        tile = _framed(pictures, n, SIDE, colours)
        top, left = row * step + _GAP, column * step + _GAP
        whole[top : top + len(tile), left : left + len(tile)] = tile
    with figures.default_settings():
        figure, ax = _figure(pictures, heading, details, colours, ("", ""))
        ax.imshow(whole, interpolation="antialiased")
        figures.bare(ax)
        return figure


def scatter_figure(
    pictures: PictureSet,
    points: _F64,
    order: _I64,
    heading: str,
    details: str,
    axes: tuple[str, str],
) -> Figure:
    """Draw small copies at their points, in this order; those that would overlap are dots."""
    colours = class_colours(len(pictures.classes))
    shown = int(math.sqrt(_SHARE / len(pictures)) * _CANVAS)
    side = min(max(shown, SIDE), _LARGEST)
    places = _fitted(points)
    whole, left_out = _pasted(pictures, places, order, side, colours)
    if left_out.size:
        details = (
            f"{details} {left_out.size} pictures that would cover others are dots, which may lie "
            f"behind a picture."
        )
    with figures.default_settings():
        figure, ax = _figure(pictures, heading, details, colours, axes)
        margin = (whole.shape[0] - _CANVAS) / 2
        at = places[left_out] * _CANVAS + margin
        dots = np.full((len(left_out), 3), 0.4)
        if pictures.labels is not None:
            dots = colours[pictures.numbers[left_out]] / 255
        ax.scatter(at[:, 0], whole.shape[0] - at[:, 1], s=9, c=dots, linewidths=0, zorder=1)
        ax.imshow(whole, interpolation="antialiased", zorder=2)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_ticks([])
        ax.spines[:].set_color("0.7")
        return figure


def _pasted(
    pictures: PictureSet, places: _F64, order: _I64, side: int, colours: _U8
) -> tuple[_U8, _I64]:
    """Return an RGBA picture with the small copies that do not overlap, and which are left out."""
    outer = side + 2 * _FRAME
    whole = np.zeros((_CANVAS + outer + 2 * _GAP,) * 2 + (4,), np.uint8)
    taken = np.zeros(whole.shape[:2], bool)
    left_out = []
    for n in order:
        left = round(places[n, 0] * _CANVAS) + _GAP
        top = round((1 - places[n, 1]) * _CANVAS) + _GAP
        around = np.s_[top - _GAP : top + outer + _GAP, left - _GAP : left + outer + _GAP]
        if taken[around].any():
            left_out.append(n)
            continue
        tile = _framed(pictures, int(n), side, colours)
        whole[top : top + outer, left : left + outer, :3] = tile
        whole[top : top + outer, left : left + outer, 3] = 255
        taken[top : top + outer, left : left + outer] = True
    return whole, np.array(left_out, np.int64)


def _framed(pictures: PictureSet, n: int, side: int, colours: _U8) -> _U8:
    """Return a picture of `side` x `side` pixels in the frame of its class.

    Large ones are read again, and show the centre of a picture that is not square.
    """
    from PIL import Image

    copy = pictures.pixels[n] if side <= SIDE else _centre(pictures.look(n, 2 * side))
    if copy.shape[:2] != (side, side):
        resample = Image.Resampling.BICUBIC
        copy = np.asarray(Image.fromarray(copy).resize((side, side), resample))
    colour = colours[pictures.numbers[n]] if pictures.labels is not None else 190
    tile = np.empty((side + 2 * _FRAME, side + 2 * _FRAME, 3), np.uint8)
    tile[:] = colour
    tile[_FRAME:-_FRAME, _FRAME:-_FRAME] = copy
    return tile


def _centre(picture: _U8) -> _U8:
    """Return the largest square in the middle of a picture."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top : top + side, left : left + side]


def class_colours(count: int) -> _U8:
    """Return a colour for each class, (count, 3): hues apart, dark and light ones in turn."""
    found = [
        colorsys.hls_to_rgb(n * 0.618034 % 1, (0.42, 0.6, 0.3)[n % 3], (0.9, 0.75)[n % 2])
        for n in range(count)
    ]
    return np.rint(np.array(found, np.float64).reshape(count, 3) * 255).astype(np.uint8)


def _figure(
    pictures: PictureSet, heading: str, details: str, colours: _U8, axes: tuple[str, str]
) -> tuple[Figure, Axes]:
    """Return a figure with a heading, words below, the classes at the right; and its axes."""
    classes = pictures.classes if len(pictures.classes) <= _LISTED else ()
    if len(pictures.classes) > _LISTED:
        details += f" The names of the {len(pictures.classes)} classes are too many to be listed."
    across = -(-len(classes) // _TALL)
    names = [_short(name) for name in classes]
    right = across * (0.5 + 0.088 * max(map(width, names), default=0))
    left, bottom = (0.4 if axes[1] else 0.15), (0.35 if axes[0] else 0.1)
    whole = left + _INCHES + right + 0.25
    lines = wrap(details, int((whole - 0.4) / 0.083))
    top = wrap(heading, int((whole - 0.3) / 0.125))
    below, above = 0.15 + 0.19 * len(lines), 0.15 + 0.26 * len(top)
    tall = below + bottom + _INCHES + above
    figure = figures.figure_class()(figsize=(whole, tall), dpi=100)
    place = (left / whole, (below + bottom) / tall, _INCHES / whole, _INCHES / tall)
    ax = figure.add_axes(place)
    for words, y, size, weight in ((top, tall - 0.1, 13, "bold"), (lines, below, 10, "normal")):
        text, style = figures.text_style("\n".join(words))
        style |= {"fontsize": size, "fontweight": weight, "va": "top"}
        figure.text(0.15 / whole, y / tall, text, **style)
    ax.set_xlabel(axes[0], fontsize=11)
    ax.set_ylabel(axes[1], fontsize=11)
    for n, name in enumerate(names):
        column, row = divmod(n, _TALL)
        x = left + _INCHES + 0.2 + column * right / across
        y = (below + bottom + _INCHES - row * _INCHES / _TALL) / tall
        text, style = figures.text_style(name)
        style |= {"va": "top", "fontsize": 11}
        figure.text(x / whole, y, "■", color=tuple(colours[n] / 255), va="top", fontsize=11)
        figure.text((x + 0.2) / whole, y, text, **style)
    return figure, ax


def _short(name: str) -> str:
    return name if width(name) <= 22 else f"{name[:20]}…"
