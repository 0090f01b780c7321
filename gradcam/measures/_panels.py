"""A row of maps at the top of a slide."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradcam._results.explanation import Explanation, FlatMapWarning
from gradcam.critique import _slide

if TYPE_CHECKING:
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FlatMapWarning)
            pixels = each.image
        box = (left + place * (width + _GAP), _BOTTOM, width, _HEIGHT)
        _slide.below(_slide.picture(figure, box, pixels), text)
