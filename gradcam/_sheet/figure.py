"""A sheet as figures: a row for each picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gradcam._pictures.grids import Cell, grid
from gradcam._results.explanation import no_flat_warnings
from gradcam._sheet import words
from gradcam._sheet.content import ClassMap, Content, SheetRow, ordinal
from gradcam._sheet.shape import how_drawn, widened
from gradcam._text import percent, printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ROWS = 5
"""Pictures in a figure."""

_LONGEST = 60
"""Characters of a picture's name; the end of a longer one is shown."""


def pages(pictures: int) -> int:
    """Return how many figures a sheet of so many pictures has."""
    return math.ceil(pictures / _ROWS)


def draw(sheet: Content, page: int) -> Figure:
    """Draw the pictures of a page, which begins with 1."""
    rows = sheet.rows[_ROWS * (page - 1) : _ROWS * page]
    most = max(len(row.maps) for row in rows)
    classes = (f"{ordinal(rank)} class".capitalize() for rank in range(1, most + 1))
    with no_flat_warnings():
        cells = [_cells(row) for row in rows]
    heading, count = words.title(sheet, rows), pages(len(sheet.rows))
    return grid(
        cells,
        heading=f"{heading}, page {page} of {count}" if count > 1 else heading,
        details=" ".join((*words.details(sheet), *words.notes(rows), *words.doubts(sheet))),
        columns=["Picture", *classes],
    )


def _cells(row: SheetRow) -> list[Cell]:
    name = printable(row.name)
    name = name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :]}"
    name = "\n".join(filter(None, (name, how_drawn(row.picture))))
    maps = (Cell(widened(each.image), _words(each)) for each in row.maps)
    return [Cell(widened(row.picture), name), *maps]


def _words(found: ClassMap) -> str:
    synset = f"{found.target.synset}, " if found.target.synset else ""
    lines = [printable(str(found.target)), f"{synset}{percent(found.probability)}"]
    return "\n".join([*lines, *found.parts])
