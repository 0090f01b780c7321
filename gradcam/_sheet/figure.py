"""A sheet as figures: a row for each picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gradcam._pictures.grids import Cell, grid
from gradcam._results.explanation import no_flat_warnings
from gradcam._sheet.content import ClassMap, Content, SheetRow, ordinal
from gradcam._text import percent, printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ROWS = 5
"""Pictures in a figure."""

_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}

_LONGEST = 60
"""Characters of a picture's name; the end of a longer one is shown."""


def pages(sheet: Content) -> int:
    """Return how many figures a sheet has."""
    return math.ceil(len(sheet.rows) / _ROWS)


def draw(sheet: Content, page: int) -> Figure:
    """Draw the pictures of a page, which begins with 1."""
    rows = sheet.rows[_ROWS * (page - 1) : _ROWS * page]
    most = max(len(row.maps) for row in rows)
    classes = (f"{ordinal(rank)} class".capitalize() for rank in range(1, most + 1))
    with no_flat_warnings():
        cells = [_cells(row) for row in rows]
    return grid(
        cells,
        heading=_heading(sheet, most, page),
        details=details(sheet),
        columns=["Picture", *classes],
    )


def _heading(sheet: Content, most: int, page: int) -> str:
    count = pages(sheet)
    heading = title(sheet, most)
    return f"{heading}, page {page} of {count}" if count > 1 else heading


def title(sheet: Content, most: int) -> str:
    """Return what a sheet shows."""
    number = f"{_NUMBERS.get(most, most)} " if most > 1 else ""
    classes = f"{number}most probable class{'es' if most > 1 else ''}"
    seen = "what the maps lie on" if sheet.has_truth else "where the network finds them"
    return f"The {classes}, and {seen} ({sheet.method})"


def details(sheet: Content) -> str:
    """Return what colours and numbers mean."""
    shown = [row.maps[0].explanation for row in sheet.rows]
    texts = [f"Network: {sheet.network}."]
    if shown[0].over_picture:
        texts.append("Each map is drawn from its minimum to its maximum.")
    if any(each.region is not None for each in shown):
        texts.append("The network did not see the faded parts.")
    if sheet.has_truth:
        texts.append("Shares are of the map's positive values.")
    texts += dict.fromkeys(note for row in sheet.rows for note in row.notes)
    if sheet.about:
        texts.append(f"{sheet.about[:1].upper()}{sheet.about[1:].rstrip('.')}.")
    return " ".join(texts)


def _cells(row: SheetRow) -> list[Cell]:
    name = printable(row.name)
    name = name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :]}"
    return [Cell(row.picture, name), *(Cell(each.image, _words(each)) for each in row.maps)]


def _words(found: ClassMap) -> str:
    synset = f"{found.target.synset}, " if found.target.synset else ""
    lines = [printable(str(found.target)), f"{synset}{percent(found.probability)}"]
    return "\n".join([*lines, *found.parts])
