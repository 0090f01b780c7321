"""Figures of captions: the one of the Grad-CAM paper, and a map for each word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradcam._engine.tape import Tape
from gradcam._pictures.grids import Cell, grid
from gradcam._registry import METHODS
from gradcam._results.explanation import no_flat_warnings
from gradcam._text import brief
from gradcam.captioning._words import Words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gradcam._registry import Method

_IN_A_ROW = 7
"""Words in a row of the strip."""


def whole(tape: Tape, caption: Words) -> Figure:
    """Draw the picture, Grad-CAM and Guided Grad-CAM of a caption, side by side."""
    _check(tape)
    with no_flat_warnings():
        maps = [tape.explain(name, caption) for name in ("grad_cam", "guided_grad_cam")]
        cells = [Cell(tape.picture), *(Cell(each.image) for each in maps)]
    return grid(
        [cells],
        heading=f"“{caption.text}”",
        details=f"What the log-probability of the caption, {maps[0].score:.2f}, depends on. Each "
        f"map is scaled to its own maximum.",
        columns=["Picture", *(each.title for each in maps)],
    )


def strip(tape: Tape, words: Sequence[Words], method: str | Method) -> Figure:
    """Draw a map for each word, in rows, with the word and its probability below it."""
    _check(tape)
    found = METHODS.find(method)
    with no_flat_warnings():
        maps = tape.explain(found, list(words))
        cells = [Cell(each.image, f"{each.label}\n{each.certainty}") for each in maps]
    cells = [Cell(tape.picture, "picture"), *cells]
    rows = -(-len(cells) // _IN_A_ROW)
    across = -(-len(cells) // rows)
    return grid(
        [cells[first : first + across] for first in range(0, len(cells), across)],
        heading=f"“{' '.join(each.text for each in words)}”",
        details=f"{found.title} of each word, and its probability after the words before it. Each "
        f"map is scaled to its own maximum.",
    )


def _check(tape: object) -> None:
    if not isinstance(tape, Tape):
        raise TypeError(
            f"tape: expected the tape of one picture, captioner.network.forward(picture), got "
            f"{brief(tape)}"
        )
