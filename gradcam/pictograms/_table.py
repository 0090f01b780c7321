"""The table of all methods as text."""

from __future__ import annotations

from collections.abc import Sequence

from gradcam._tables import as_text
from gradcam._text import wrap
from gradcam.pictograms._columns import COLUMNS, Column, Evaluation, Figure, Row

_WIDTH = 98


_SHOWN = {key: column for key, column in COLUMNS.items() if column.note}


def to_text(evaluation: Evaluation) -> str:
    """Return the accuracy, the table, and what its columns are."""
    first = next(iter(evaluation["accuracy"]))
    table = rows_to_text(evaluation["rows"], first)
    lines = [*_accuracies(evaluation), "", table, "", *_notes(evaluation)]
    return "\n".join([*lines, f"{evaluation['seconds']:.0f} s"])


def rows_to_text(rows: Sequence[Row], network: str) -> str:
    """Return the table; rows of other networks than this one have an asterisk."""
    from rich.table import Table  # slow to import

    table = Table("\nmethod", box=None, pad_edge=False)
    table.add_column("\nn", justify="right")
    for column in _SHOWN.values():
        table.add_column(column.title, justify="right")
    for row in rows:
        name = row["title"] if row["network"] == network else f"{row['title']} *"
        cells = (cell(column, row["figures"][key]) for key, column in _SHOWN.items())
        table.add_row(name, f"{row['scenes']}/{row['passes']}", *cells)
    return as_text(table)


def cell(column: Column, figure: Figure) -> str:
    """Return a mean, and half the width of its interval."""
    if figure["mean"] is None:
        return "-"
    if column.kind == "time":
        return f"{figure['mean']:.3g}" if figure["mean"] < 100 else f"{figure['mean']:.0f}"
    factor, digits = (100, 0) if column.kind == "share" else (1, 2)
    if column.kind == "ratio":
        digits = 1
    text = f"{factor * figure['mean']:.{digits}f}"
    if figure["low"] is None or figure["high"] is None:
        return text
    half = f"{factor * (figure['high'] - figure['low']) / 2:.{digits}f}"
    return f"{text} ±{half.removeprefix('0') if digits == 2 else half}"


def _accuracies(evaluation: Evaluation) -> list[str]:
    return [
        f"{name}: accuracy on {found['scenes']} scenes of one object {found['one']:.1%}, of two "
        f"objects {found['two']:.1%}"
        for name, found in evaluation["accuracy"].items()
    ]


def _notes(evaluation: Evaluation) -> list[str]:
    """Return what the table means, in lines."""
    first, *others = evaluation["accuracy"]
    notes = [
        f"Scenes of two objects, each asked for. n: scenes / scenes with further passes of the "
        f"network ({evaluation['steps']} steps of deletion and insertion). ±: half of the 95 % "
        f"bootstrap interval of the mean over scenes."
    ]
    notes += [f"* on the network {name}, not {first}." for name in others]
    notes += [f"{_plain(column.title)}: {column.note}." for column in _SHOWN.values()]
    notes += [f"{name} was left out: {reason}" for name, reason in evaluation["skipped"].items()]
    return [line for note in notes for line in wrap(note, _WIDTH)]


def _plain(title: str) -> str:
    """Return a title in one line."""
    return title.replace("-\n", "").replace("/\n", "/").replace("\n", " ").removesuffix(" %")
