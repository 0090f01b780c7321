"""The figure of patches: a row for each unit, receptive fields and values in white."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcam._pictures import grids
from gradcam._pictures.grids import Cell
from gradcam._text import three_digits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gradcam.inside._patch import Patch

_SIDE = 360
"""The longest side of a picture in the figure, in pixels."""

_ROOM = 0.6, 0.4
"""The share of the picture's width and height that a box needs for a number in it."""

_COLUMNS, _ROWS = 9, 40
"""Pictures in a row, and rows, at most; a unit with more patches has several rows."""


def draw(patches: Mapping[int, Sequence[Patch]], heading: str, *, crop: bool) -> Figure:
    """Draw the patches of all units.

    Parameters
    ----------
    patches : mapping of int to sequence of Patch
        By unit; at least one of each.
    heading : str
    crop : bool
        Draw the receptive fields alone, without the rest of the pictures.
    """
    shown = _fitting(patches)
    rows, names = [], []
    for unit, found in shown.items():
        cells = [_cell(each, crop) for each in found]
        parts = [cells[first : first + _COLUMNS] for first in range(0, len(cells), _COLUMNS)]
        rows += parts
        names += [f"unit {unit}", *[""] * (len(parts) - 1)]
    details = _details([each for found in shown.values() for each in found], crop)
    if len(shown) < len(patches):
        details += f" These are the first {len(shown)} of {len(patches)} units."
    return grids.grid(rows, heading=heading, details=details, rows=names, smallest=1.25)


def _fitting(patches: Mapping[int, Sequence[Patch]]) -> dict[int, Sequence[Patch]]:
    """Return the first units whose rows fit into a figure: at least one unit."""
    shown: dict[int, Sequence[Patch]] = {}
    left = _ROWS
    for unit, found in patches.items():
        left -= -(-len(found) // _COLUMNS)
        if shown and left < 0:
            break
        shown[unit] = found[: _ROWS * _COLUMNS]
    return shown


def _details(every: Sequence[Patch], crop: bool) -> str:
    """Return what is seen, in words."""
    whole = [each.sees_picture for each in every]
    alone = crop or all(whole)
    seen = "Each picture is all that a unit sees" if alone else "The box is all that a unit sees"
    field = "the whole input" if all(each.sees_all for each in every) else "its receptive field"
    if any(whole) and not alone:
        field += "; without a box, it sees the whole picture"
    if any(each.geometry.input != each.geometry.picture for each in every) and not all(whole):
        field += ", exact in pixels of the network's input, to which the pictures were resized"
    return f"{seen}: {field}. The numbers are the unit's values, the largest first."


def _cell(patch: Patch, crop: bool) -> Cell:
    """Return a patch as it is drawn, no larger than is seen."""
    value = three_digits(patch.value)
    if crop:
        return Cell(_small(patch.crop)[0], value)
    pixels, zoom = _small(patch.picture)
    if patch.sees_picture:
        return Cell(pixels, note=value)
    x0, y0, x1, y1 = (side * zoom for side in patch.box)
    shares = (x1 - x0) / pixels.shape[1], (y1 - y0) / pixels.shape[0]
    if shares[0] < _ROOM[0] or shares[1] < _ROOM[1]:  # the number would hide what is in the box
        return Cell(pixels, value, boxes=[(x0, y0, x1, y1)])
    return Cell(pixels, boxes=[(x0, y0, x1, y1)], note=value)


def _small(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """Return a picture reduced to what can be seen, and by what its sides were multiplied."""
    from PIL import Image

    height, width = pixels.shape[:2]
    zoom = min(1.0, _SIDE / max(height, width))
    if zoom == 1:
        return pixels, 1.0
    size = max(1, round(width * zoom)), max(1, round(height * zoom))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX)), zoom
