"""The table of all methods as text."""

from __future__ import annotations

from collections.abc import Sequence

from gradcam._registry import METHODS
from gradcam._tables import as_text
from gradcam._text import wrap
from gradcam.pictograms._columns import COLUMNS, Column, Evaluation, Figure, Row

_WIDTH = 98

_RANK = "causal\nrank"

_SHOWN = {key: column for key, column in COLUMNS.items() if column.note}

_TITLES = [column.title for column in _SHOWN.values()]
_TITLES.insert(list(_SHOWN).index("overlap") + 1, _RANK)


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
    for title in ("n", *_TITLES):
        table.add_column(title if "\n" in title else f"\n{title}", justify="right")
    for row, rank in zip(rows, causal_ranks(rows), strict=True):
        name = row["title"] if row["network"] == network else f"{row['title']} *"
        cells = [cell(column, row["figures"][key]) for key, column in _SHOWN.items()]
        cells.insert(_TITLES.index(_RANK), "-" if rank is None else str(rank))
        table.add_row(name, f"{row['scenes']}/{row['passes']}", *cells)
    return as_text(table)


def causal_ranks(rows: Sequence[Row]) -> list[int | None]:
    """Return the place of each row by the mean of causal order and causal share, 1 is the best.

    Equal rows share a place. None for a row without these figures.
    """
    means: list[float | None] = []
    for row in rows:
        order, share = (row["figures"][key]["mean"] for key in ("order", "overlap"))
        means.append(None if order is None or share is None else (order + share) / 2)
    known = [mean for mean in means if mean is not None]
    return [None if mean is None else 1 + sum(one > mean for one in known) for mean in means]


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
        f"Scenes of two objects; maps of both. Causal order and share: scenes of four objects, the "
        f"map of one. Occlusion, deletion, insertion and random weights: the map of the first "
        f"object of fewer scenes, because they need further passes of the network. n: scenes / "
        f"these fewer scenes. Deletion and insertion have {evaluation['steps']} steps.",
        "±: half of the 95 % bootstrap interval of the mean over scenes. It is too narrow for "
        "fewer than 20 scenes. ±0: the interval is narrower than the last digit.",
    ]
    notes += [f"* on the network {name}, not {first}." for name in others]
    for key, column in _SHOWN.items():
        notes.append(f"{_plain(column.title)}: {column.note}.")
        if key == "overlap":
            notes.append(
                f"{_plain(_RANK)}: place by the mean of causal order and causal share, 1 is the "
                f"best; places of methods that differ by less than ± are not certain. Scenes in "
                f"which no object raises the score do not count for order, share and rank."
            )
    for row in evaluation["rows"]:
        method = METHODS.get(row["method"])
        if method is not None and method.against:
            notes.append(
                f"{row['title']} shows what lowers the score, so that it is bad in most columns."
            )
    notes += [f"{name} was left out: {reason}" for name, reason in evaluation["skipped"].items()]
    return [line for note in notes for line in wrap(note, _WIDTH)]


def _plain(title: str) -> str:
    """Return a title in one line."""
    return title.replace("/\n", "/").replace("\n", " ").removesuffix(" %")
