"""The figure of units: the pictures in which each is strongest, bright where it fires."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam._pictures import grids

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_REST, _GREY = 0.25, 72
"""Where a unit does not fire, this share of the picture remains, on this grey: on black, a
dark place in which it fires could not be seen."""

_LINE = np.array((255, 221, 0), np.uint8)
"""The colour of the line around the places where a unit fires."""


class Row(NamedTuple):
    """A unit and its pictures: pixels (H, W, 3), where it fires (H, W), its largest value."""

    words: str
    iou: float
    pictures: Sequence[tuple[NDArray[np.uint8], NDArray[np.bool_], float]]


def draw(rows: Sequence[Row], finding: str, layer: str, note: str = "") -> Figure:
    """Draw a row of pictures for each unit; `note` ends the words below."""
    cells = [
        [
            grids.Cell(highlighted(pixels, fires), f"{value:#.3g}")
            for pixels, fires, value in row.pictures
        ]
        for row in rows
    ]
    return grids.grid(
        cells,
        heading=finding,
        details=(
            f"In each row the pictures in which a unit of {layer} is strongest, with its largest "
            f"value below. It fires in the bright places: its map, enlarged, reaches its threshold."
            f"{note}"
        ),
        rows=[f"{row.words}\nIoU {row.iou:.2f}" for row in rows],
        smallest=1.0,
    )


def highlighted(picture: NDArray[np.uint8], fires: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return a picture that is faded where a unit does not fire.

    There is a line around the places where it fires, unless the line would cover more than
    half as many pixels.
    """
    faded = picture * _REST + (1 - _REST) * _GREY
    shown = np.where(fires[..., None], picture, faded.astype(np.uint8))
    edge = _edge(fires, max(1, round(min(fires.shape) / 112)))
    if 2 * np.count_nonzero(edge) <= np.count_nonzero(fires):
        shown[edge] = _LINE
    return shown


def _edge(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Return the pixels just outside a mask, `width` pixels wide along rows and columns."""
    grown = mask.copy()
    for _ in range(width):
        wider = grown.copy()
        wider[1:] |= grown[:-1]
        wider[:-1] |= grown[1:]
        wider[:, 1:] |= grown[:, :-1]
        wider[:, :-1] |= grown[:, 1:]
        grown = wider
    edge: NDArray[np.bool_] = grown & ~mask
    return edge
