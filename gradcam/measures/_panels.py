"""A slide with a row of maps, and lines below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradcam._results.explanation import Explanation, no_flat_warnings
from gradcam.critique import _slide

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 7
"""Maps in a row."""

_LEFT, _WIDTH, _GAP = 0.45, 12.45, 0.15
_BOTTOM, _HEIGHT = 4.35, 1.75


def panels(figure: Figure, maps: Sequence[Explanation], words: Sequence[str]) -> None:
    """Draw maps as their methods are usually shown, with one or two lines below each.

    Flat maps are drawn without a warning: the words say so.
    """
    width = (_WIDTH - (MOST - 1) * _GAP) / MOST
    left = _LEFT + (MOST - len(maps)) * (width + _GAP) / 2
    for place, (each, text) in enumerate(zip(maps, words, strict=True)):
        with no_flat_warnings():
            pixels = each.image
        box = (left + place * (width + _GAP), _BOTTOM, width, _HEIGHT)
        _slide.below(_slide.picture(figure, box, pixels), text)


def lines(figure: Figure) -> Axes:
    """Add axes below the row, with room for a legend at their right."""
    return _slide.axes(figure, 1.35, 1.1, 7.9, 2.35)


def legend(ax: Axes) -> None:
    """Explain the lines at the right of the axes."""
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=_slide.SMALL, frameon=False)
