"""What a sheet says about all pictures: its title, its notes, and the table of its summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from gradcam._sheet.content import Content, SheetRow, ordinal
from gradcam._sheet.summary import FEWEST, RankSummary, interval
from gradcam._text import percent

_NUMBERS = ("", "", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

_MOST_NAMES = 5
"""Unknown classes that are named."""

UNKNOWN = "Classes of objects that the network does not know, or not for certain"

CAPTION = f"What the maps lie on, on average (95 % intervals from {FEWEST} pictures on)"
"""Of the table of the summary."""

COLUMNS = (
    *("Map of the", "Class is in the picture", "On its own object", "On other objects"),
    *("On the ground", "Area of the ground"),
)
"""The titles of the columns of that table."""


def cells(of: RankSummary) -> tuple[str, ...]:
    """Return a row of the table; of a mean of other pictures their number is given."""
    shown = []
    for mean in (of.own, of.others, of.ground):
        few = f", n = {mean.size}" if 0 < mean.size != of.pictures else ""
        shown.append(f"{interval(mean)}{few}")
    present = f"{of.present} of {of.known}" if of.known else "–"
    area = percent(of.ground_area) if of.ground.size else "–"
    return (f"{ordinal(of.rank)} class", present, *shown, area)


def title(sheet: Content, rows: Sequence[SheetRow]) -> str:
    """Return what rows of a sheet show."""
    most = max(len(row.maps) for row in rows)
    if most == 1:
        classes, seen = "class", "what its map lies on" if sheet.has_truth else "where it is seen"
    else:
        classes = "classes"
        seen = "what their maps lie on" if sheet.has_truth else "where the network finds them"
    number = f"{_NUMBERS[most]} " if most > 1 else ""
    return f"The {number}most probable {classes}, and {seen} ({sheet.method})"


def details(sheet: Content) -> list[str]:
    """Return what colours and numbers mean."""
    shown = [row.maps[0].explanation for row in sheet.rows]
    texts = [f"Network: {sheet.network}."]
    if shown[0].over_picture:
        texts.append("Each map is drawn from its minimum to its maximum.")
    if any(each.region is not None for each in shown):
        texts.append("The network did not see the faded parts.")
    if sheet.has_truth:
        texts.append("Shares are of the map's positive values.")
    if sheet.about:
        texts.append(f"{sheet.about[:1].upper()}{sheet.about[1:].rstrip('.')}.")
    return texts


def notes(rows: Sequence[SheetRow]) -> list[str]:
    """Return the notes of rows; how many rows a note is about, unless it is about all of them."""
    counts = Counter(note for row in rows for note in row.notes)
    return [
        note if count == len(rows) else f"{count} of {len(rows)} pictures: {note}"
        for note, count in counts.items()
    ]


def doubts(sheet: Content) -> Iterator[str]:
    """Yield what is left out of the summary, in sentences."""
    if not sheet.has_truth:
        return
    missing = sum(row.ground_area is None for row in sheet.rows)
    if missing:
        yield f"It is not known what is where in {missing} of {len(sheet.rows)} pictures."
    if unknown := sheet.unknown:
        named = [f"{name} ({n})" for name, n in unknown.most_common(_MOST_NAMES)]
        more = ", ..." if len(unknown) > _MOST_NAMES else ""
        pictures = sum(bool(row.unknown) for row in sheet.rows)
        yield (
            f"{UNKNOWN}: {', '.join(named)}{more}. Whether a map "
            f"lies on an object of its class is not known in {pictures} of {len(sheet.rows)} "
            f"pictures."
        )
    flat = [f"{ordinal(each.rank)} class {each.flat}" for each in sheet.summary if each.flat]
    if flat:
        yield f"Flat maps, left out of the shares: {', '.join(flat)}."
