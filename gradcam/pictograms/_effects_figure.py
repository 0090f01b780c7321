"""The figure of the effects of a scene's objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcam._pictures import figures
from gradcam._results.objectives import On
from gradcam._text import wrap
from gradcam.critique import _slide

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Shown:
    """What the figure shows.

    Attributes
    ----------
    picture : (H, W, 3) array of uint8
    on : "score" or "probability"
    objects : sequence of K str
    classes : sequence of str
        Of the columns; one or more of the objects' labels.
    values : (K, columns) array
        Shapley values.
    """

    picture: NDArray[np.uint8]
    on: On
    objects: Sequence[str]
    classes: Sequence[str]
    values: NDArray[np.float64]


def draw(shown: Shown) -> Figure:
    """Draw the scene beside a table of the Shapley values, with what was found as the title."""
    with figures.default_settings():
        figure = _slide.new(_title(shown))
        _slide.picture(figure, (0.5, 1.2, 4.6, 4.6), shown.picture)
        _table(_slide.axes(figure, 7.2, 1.3, 5.6, 4.0), shown)
        note = (
            f"Shapley values of the {shown.on}. The scene was drawn with every choice of its "
            f"objects, {2 ** len(shown.objects)} pictures."
        )
        text, style = figures.text_style(note)
        figure.text(0.035, 0.06, text, size=_slide.SMALL, **style)
        return figure


def _title(shown: Shown) -> str:
    """Return whether each object raises the score of its own class most."""
    others = []
    for name, effects in zip(shown.classes, shown.values.T, strict=True):
        cause = shown.objects[int(effects.argmax())]
        of = f"the {shown.on} of {name}"
        if effects.max() <= 0:
            others.append(f"no object raises {of}")
        elif cause != name:
            others.append(f"{of} is raised most by the {cause}")
    if not others:
        return f"The {shown.on} of each class is raised most by its own object"
    title = ", ".join(others)
    return title[0].upper() + title[1:]


_NAMES = 1.4
"""Inches that the names of the rows and the space beside them take."""

_COLUMNS = 11
"""Characters in a line of a name: it is not wider than a column, if there are four."""


def _broken(names: Sequence[str]) -> list[str]:
    """Return names in lines that fit beside the rows and above the columns."""
    return ["\n".join(wrap(each, _COLUMNS)) for each in names]


def _table(ax: Axes, shown: Shown) -> None:
    size = float(np.abs(shown.values).max()) or 1.0
    ax.imshow(shown.values, cmap="RdBu_r", vmin=-size, vmax=size, aspect="auto")
    for (row, column), value in np.ndenumerate(shown.values):
        ink = "white" if abs(value) > 0.6 * size else "black"
        text = f"{value:+.2f}".replace("-", "−")
        ax.text(column, row, text, ha="center", va="center", size=_slide.LARGE, color=ink)
    ax.set_xticks(range(len(shown.classes)), _broken(shown.classes), size=_slide.SMALL)
    ax.set_yticks(range(len(shown.objects)), _broken(shown.objects), size=_slide.SMALL)
    ax.xaxis.tick_top()
    ax.xaxis.set_label_position("top")
    ax.set_xlabel(f"{shown.on} of", size=_slide.LARGE, labelpad=10)
    ax.set_ylabel("effect of the object", size=_slide.LARGE)
    ax.yaxis.set_label_coords(-_NAMES / ax.get_position().width / _slide.WIDTH, 0.5)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
