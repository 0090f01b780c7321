"""Figures in the proportions of a slide, with type that can be read from the back of a room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from gradcam._pictures import figures
from gradcam._text import wrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 13.33, 7.5
"""Of a slide, in inches."""

TITLE, LARGE, SMALL = 20, 17, 14
"""Sizes of type, in points."""

BLUE, RED, GREY = "#1f5fa8", "#c8501e", "#6b6b6b"

COLUMNS = 76
"""Characters in a line of a title."""


def new(title: str, height: float = HEIGHT) -> Figure:
    """Return an empty slide with its title, in at most three lines."""
    figure = figures.figure_class()(figsize=(WIDTH, height), dpi=100)
    text, style = figures.text_style("\n".join(wrap(title, COLUMNS)))
    style |= {"ha": "left", "va": "top", "size": TITLE, "weight": "bold", "linespacing": 1.15}
    figure.text(0.035, 1 - 0.3 / height, text, **style)
    return figure


def axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Add axes; sizes are in inches from the lower left corner."""
    wide, high = figure.get_size_inches()
    return figure.add_axes((left / wide, bottom / high, width / wide, height / high))


def label(ax: Axes, x: str, y: str) -> None:
    """Write what the axes are, and leave out what is not needed."""
    for axis, words in ((ax.xaxis, x), (ax.yaxis, y)):
        text, style = figures.text_style(words)
        axis.set_label_text(text, fontsize=LARGE, **style)
    ax.tick_params(labelsize=SMALL)
    ax.grid(True, color="0.88", linewidth=1)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def heading(ax: Axes, words: str, colour: str = "black", size: float = LARGE) -> None:
    """Write a line above the axes."""
    text, style = figures.text_style(words)
    ax.set_title(text, fontsize=size, color=colour, pad=10, **style)


def legend(ax: Axes, place: Literal["best", "lower right"] = "best") -> None:
    """Explain the lines."""
    ax.legend(loc=place, fontsize=SMALL, framealpha=0.9)


def picture(
    figure: Figure, place: tuple[float, float, float, float], pixels: NDArray[np.uint8]
) -> Axes:
    """Show pixels in axes of their own, as large as they fit into `place`, as of :func:`axes`."""
    left, bottom, width, height = place
    wide, high = figures.fit(pixels.shape[1], pixels.shape[0], width, height)
    ax = axes(figure, left + (width - wide) / 2, bottom + (height - high) / 2, wide, high)
    figures.show(ax, pixels)
    figures.bare(ax)
    return ax


def below(ax: Axes, words: str, size: float = SMALL) -> None:
    """Write lines below a picture."""
    text, style = figures.text_style(words)
    ax.annotate(
        *(text, (0.5, 0), (0, -8)),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="center",
        va="top",
        size=size,
        **style,
    )


def number(value: float) -> str:
    """Return a number with three digits."""
    return f"{value:.3g}"


def times(ratio: float) -> str:
    """Return a ratio with two digits: ``0.19``, ``1.3``, ``27``, ``4,100``."""
    return f"{ratio:.2g}" if ratio < 10 else f"{float(f'{ratio:.2g}'):,.0f}"


def signed(value: float) -> str:
    """Return a number with two digits and a minus sign."""
    return f"{value:.2g}".replace("-", "−", 1) if value < 0 else f"{value:.2g}"
