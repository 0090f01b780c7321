"""The figures of both kinds of networks as a table of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gradcam._tables import as_text
from gradcam._text import counted, wrap
from gradcam.pictograms.bias._measured import Measured
from gradcam.pictograms.bias._results import Trained
from gradcam.pictograms.bias._sets import KINDS, PER_CLASS, SHARES, Kind

_WIDTH = 98

_SECTIONS: Mapping[str, Mapping[str, str]] = {
    "right answers, %": {
        "accuracy": "all, each group alike",
        "cook_short": "cooks with short hair, as usual",
        "cook_long": "cooks with long hair",
        "painter_long": "painters with long hair, as usual",
        "painter_short": "painters with short hair",
        "as_biased": "all, groups as in the biased set",
    },
    "energy of Grad-CAM, %": {
        "on_hair": "on the hair",
        "on_tool": "on the tool",
        "on_body": "on the rest of the person",
        "on_ground": "elsewhere",
        "hair_of_both": "on the hair, of hair and tool",
    },
    "maximum of Grad-CAM, %": {
        "hair_pointing": "on the hair, or 15 pixels beside it",
        "tool_pointing": "on the tool, or 15 pixels beside it",
    },
    "answers, %": {
        "hair_flips": "change if the hair is changed",
        "tool_flips": "change if the tool is changed",
        "short_painters": "painter, without tool, short hair",
        "long_painters": "painter, without tool, long hair",
    },
    "score of painter less that of cook": {
        "hair_effect": "more with long hair",
        "tool_effect": "more with a brush",
    },
}
"""The sections, and of each row the attribute of `Measured` and the title."""

_POINTS = ("hair_effect", "tool_effect")
"""Rows that are no shares."""


def to_text(
    stored: Sequence[Trained],
    areas: Mapping[str, float],
    anew: Mapping[Kind, Measured],
    looks: int,
) -> str:
    """Return the table and what it shows.

    Parameters
    ----------
    stored : sequence of Trained
        All networks that were trained.
    areas : mapping of str to float
        The shares of a map that is the same everywhere, by the names of the rows.
    anew : mapping of str to Measured
        The figures of the networks that ship, on `looks` looks.
    looks : int
    """
    from rich.table import Table  # slow to import

    numbers = len({each.number for each in stored})
    table = Table("", box=None, pad_edge=False)
    for kind in KINDS:
        table.add_column(f"{kind},\n{numbers} trainings", justify="right")
    for kind in KINDS:
        table.add_column(f"{kind},\nshipped", justify="right")
    table.add_column("even\nmap", justify="right")
    for title, rows in _SECTIONS.items():
        table.add_row(title)
        for name, words in rows.items():
            several = [_several(stored, kind, name) for kind in KINDS]
            one = [_number(getattr(anew[kind], name), name) for kind in KINDS]
            flat = _number(areas[name], name) if name in areas else ""
            table.add_row(f"  {words}", *several, *one, flat)
    return "\n".join([as_text(table), "", *wrap(_note(numbers, looks), _WIDTH)])


def _several(stored: Sequence[Trained], kind: Kind, name: str) -> str:
    """Return the mean and the standard deviation over the trainings."""
    values = [getattr(each.measured, name) for each in stored if each.kind == kind]
    return (
        f"{_number(float(np.mean(values)), name)} ± {_number(float(np.std(values, ddof=1)), name)}"
    )


def _number(value: float, name: str) -> str:
    return f"{value:.2f}" if name in _POINTS else f"{100 * value:.1f}"


def _note(numbers: int, looks: int) -> str:
    cooks, painters = (round(100 * share) for share in SHARES["biased"].values())
    return (
        f"Each network was trained on {PER_CLASS} cooks and {PER_CLASS} painters. In the biased "
        f"sets {cooks} % of the cooks have short hair and {painters} % of the painters long hair, "
        f"in the balanced sets half of each. Mean ± standard deviation over {numbers} trainings on "
        f"different people, as stored. The two networks that ship were measured now on "
        f"{4 * looks} people: {counted(looks, 'look')}, each as cook and as painter, with short "
        f"and with long hair. The maps explain the answer, right or wrong. An even map has the "
        f"same value everywhere."
    )
