"""Figures of captions: the one of the Grad-CAM paper, and a map for each word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradcam._engine.tape import Tape, check_one
from gradcam._pictures.colour import blend_words
from gradcam._pictures.grids import Cell, grid
from gradcam._registry import METHODS
from gradcam._results.explanation import Explanation, no_flat_warnings
from gradcam.captioning._words import Words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gradcam._registry import Method

_OWN_SCALE = "Each map is scaled to its own maximum."

_IN_A_ROW = 7
"""Words in a row of the strip."""


def whole(tape: Tape, caption: Words) -> Figure:
    """Draw the picture, Grad-CAM and Guided Grad-CAM of a caption, side by side."""
    check_one(tape)
    with no_flat_warnings():
        maps = [tape.explain(name, caption) for name in ("grad_cam", "guided_grad_cam")]
        cells = [Cell(tape.picture), *(Cell(each.image) for each in maps)]
        titles = [_title(each) for each in maps]
    return grid(
        [cells],
        heading=f"“{caption.text}”",
        details=f"What raises the log-probability of the caption, {maps[0].score:.2f}. "
        f"Grad-CAM: {blend_words('inferno')}. Guided Grad-CAM: grey is 0. {_OWN_SCALE}",
        columns=["Picture", *titles],
    )


def strip(tape: Tape, words: Sequence[Words], method: str | Method) -> Figure:
    """Draw a map for each word, in rows, with the word and its probability below it."""
    check_one(tape)
    found = METHODS.find(method)
    with no_flat_warnings():
        maps = tape.explain(found, list(words))
        cells = [Cell(each.image, _below(each)) for each in maps]
    cells = [Cell(tape.picture, "picture"), *cells]
    rows = -(-len(cells) // _IN_A_ROW)
    across = -(-len(cells) // rows)
    return grid(
        [cells[first : first + across] for first in range(0, len(cells), across)],
        heading=f"“{' '.join(each.text for each in words)}”",
        details=f"{found.title} of each word, and its probability after the words before it. "
        f"{_OWN_SCALE}",
    )


def _title(found: Explanation) -> str:
    return found.title if found.map.any() else f"{found.title}: zero"


def _below(found: Explanation) -> str:
    """Return what stands below the map of a word."""
    return f"{found.label}\n{found.certainty}" + ("" if found.map.any() else "\n(map is zero)")
