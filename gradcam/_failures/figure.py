"""The figure of failures: the wrong and the right class side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from gradcam._pictures.grids import Cell, grid
from gradcam._results.explanation import Explanation, no_flat_warnings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WRONG, _RIGHT = "#c8501e", "#1f7a3d"
"""The colours around the maps of the wrong class and of the right one."""


class Row(NamedTuple):
    """One failure.

    Attributes
    ----------
    name : str
        Of the picture.
    wrong, right : lists of Explanation
        One for each method.
    boxes : list of (x0, y0, x1, y1)
        Of the objects, if they are known.
    """

    name: str
    wrong: Sequence[Explanation]
    right: Sequence[Explanation]
    boxes: Sequence[tuple[float, float, float, float]]


def draw(rows: Sequence[Row], heading: str) -> Figure:
    """Draw a row for each failure: the picture, the maps of the wrong class, and of the right one.

    Parameters
    ----------
    rows : list of Row
        At least one, all with the same methods.
    heading : str
    """
    first, *others = (each.title for each in rows[0].wrong)
    columns = ["Picture", f"Wrong: {first}", *others, f"Right: {first}", *others]
    with no_flat_warnings():
        cells = [_cells(each) for each in rows]
    details = (
        "Below each map: its class and the probability of that. Each map is scaled to its own "
        "maximum."
        + (f" {first} over the picture shows where, {others[0]} shows what." if others else "")
    )
    return grid(cells, heading=heading, details=details, columns=columns)


def _cells(row: Row) -> list[Cell]:
    first = row.right[0]
    cells = [Cell(first.picture, f"truth: {first.words}\n{row.name}", row.boxes)]
    for found, colour in ((row.wrong, _WRONG), (row.right, _RIGHT)):
        for each in found:
            cells.append(Cell(each.image, f"{each.words} {each.certainty}", frame=colour))
    return cells
