"""The figure of a layer without positions: its strongest units, and all values, sorted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcam._pictures import figures
from gradcam._text import wrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 13.0, 4.6
"""In inches."""

_BARS = 12
_BLUE = "#1f5fa8"


def draw(
    values: NDArray[np.float32],
    names: Sequence[str],
    picture: NDArray[np.uint8],
    heading: str,
) -> Figure:
    """Draw the picture, bars of the largest values, and all values in falling order.

    Parameters
    ----------
    values : (F,) array of float32
    names : sequence of str
        The units in words.
    picture : (H, W, 3) array of uint8
    heading : str
    """
    figure = figures.figure_class()(figsize=(_WIDTH, _HEIGHT), dpi=100)
    text, style = figures.text_style("\n".join(wrap(heading, 100)))
    style |= {"ha": "left", "va": "top", "size": 13, "weight": "bold"}
    figure.text(0.015, 0.97, text, **style)
    wide, high = figures.fit(picture.shape[1], picture.shape[0], 3.1, 3.3)
    seen = _axes(figure, 0.2 + (3.1 - wide) / 2, 0.5 + (3.3 - high) / 2, wide, high)
    figures.show(seen, picture)
    figures.bare(seen)
    order = np.argsort(-values, kind="stable")
    _draw_bars(_axes(figure, 5.3, 0.6, 2.9, 3.15), values, names, order[:_BARS])
    _draw_curve(_axes(figure, 9.2, 0.6, 3.6, 3.15), values[order])
    return figure


def _axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Add axes; sizes are in inches from the lower left corner."""
    return figure.add_axes((left / _WIDTH, bottom / _HEIGHT, width / _WIDTH, height / _HEIGHT))


def _draw_bars(
    ax: Axes, values: NDArray[np.float32], names: Sequence[str], units: NDArray[np.int64]
) -> None:
    """Draw the values of some units, the first at the top."""
    places = np.arange(len(units))
    ax.barh(places, values[units], color=_BLUE)
    text, style = figures.text_style("\n".join(_short(names[unit]) for unit in units))
    ax.set_yticks(places, text.split("\n"), **style)
    ax.invert_yaxis()
    ax.set_title("the largest values", fontsize=11.5)
    _tidy(ax)


def _draw_curve(ax: Axes, values: NDArray[np.float32]) -> None:
    """Draw all values, which fall from the left to the right."""
    ranks = np.arange(1, len(values) + 1)
    ax.fill_between(ranks, values, step="mid", color=_BLUE, alpha=0.35, linewidth=0)
    ax.step(ranks, values, where="mid", color=_BLUE)
    ax.axhline(0, color="0.4", linewidth=0.8)
    ax.set_xlabel(f"units, sorted (1 to {len(values):,})", fontsize=11)
    ax.set_title("all values", fontsize=11.5)
    _tidy(ax)


def _tidy(ax: Axes) -> None:
    ax.tick_params(labelsize=10.5)
    ax.spines[["top", "right"]].set_visible(False)


def _short(name: str) -> str:
    """Return a name that fits beside a bar."""
    return name if len(name) <= 18 else f"{name[:17]}…"
