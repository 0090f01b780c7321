"""Figures of pictures that a network made: a grid with words, and a curve beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcam._pictures import figures
from gradcam._text import width as columns_of
from gradcam._text import wrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDEST, _HIGHEST = 13.0, 10.5
"""The largest width and height of the cells together, in inches."""

_SIDE, _SMALLEST = 3.4, 1.7
"""The longer side of a cell, in inches: the largest, and the smallest."""

_LINE, _CHARACTER = 0.2, 0.084
"""The height of a line, and the width of a character, in inches."""

_GAP, _MARGIN = 0.14, 0.15


@dataclass(frozen=True)
class Cell:
    """A picture of a grid, (H, W, 3) uint8, and the words below it."""

    pixels: NDArray[np.uint8]
    words: str = ""


@dataclass(frozen=True)
class Curve:
    """Numbers from step to step, and their name."""

    values: NDArray[np.float32]
    name: str


def grid(
    cells: Sequence[Sequence[Cell]],
    *,
    heading: str,
    details: str = "",
    columns: Sequence[str] = (),
    rows: Sequence[str] = (),
    curve: Curve | None = None,
) -> Figure:
    """Draw pictures in rows and columns.

    Parameters
    ----------
    cells : list of lists of Cell
        Of one size.
    heading, details : str
        Above the pictures, and below them.
    columns, rows : list of str
        Words above the columns and beside the rows.
    curve : Curve, optional
        Drawn at the right of the pictures.
    """
    with figures.default_settings():
        return _Grid(cells, heading, details, columns, rows, curve).figure()


class _Grid:
    """Where the parts of a figure lie, in inches from its lower left corner."""

    def __init__(
        self,
        cells: Sequence[Sequence[Cell]],
        heading: str,
        details: str,
        columns: Sequence[str],
        rows: Sequence[str],
        curve: Curve | None,
    ) -> None:
        self.cells, self.columns, self.curve = cells, columns, curve
        self.rows = ["\n".join(wrap(row, 16)) for row in rows]
        across = max(map(len, cells))
        lines = [line for row in self.rows for line in row.split("\n")]
        self.left = _MARGIN + max((columns_of(line) for line in lines), default=0) * 0.115
        height, width = cells[0][0].pixels.shape[:2]
        room = min(_SIDE, _WIDEST / across - _GAP, _HIGHEST / len(cells) - _GAP)
        room = max(room, _SMALLEST)
        self.width, self.height = figures.fit(width, height, room, room)
        self.step = max(self.width, _SMALLEST) + _GAP
        count = int((self.step - _GAP) / _CHARACTER)
        self.words = [["\n".join(_lines(cell.words, count)) for cell in row] for row in cells]
        self.below = [
            _LINE * max(1 + word.count("\n") if word else 0 for word in row) + 0.06
            for row in self.words
        ]
        inner = across * self.step - _GAP + (0 if curve is None else 4.0)
        self.whole = max(self.left + inner + _MARGIN, 4.2)
        self.heading = wrap(heading, int((self.whole - 2 * _MARGIN) / 0.125)) if heading else []
        self.details = wrap(details, int((self.whole - 2 * _MARGIN) / 0.08)) if details else []
        spare = self.whole - self.left - inner - _MARGIN
        self.left += spare / 2 if not rows else 0
        self.foot = _MARGIN + 0.19 * len(self.details)
        self.head = 0.12 + 0.26 * len(self.heading) + (0.27 if columns else 0)
        self.tall = self.foot + self.head + sum(self.below) + len(cells) * (self.height + _GAP)
        if curve is not None:
            self.tall = max(self.tall, self._bottom + _SMALLEST + self.head)

    @property
    def _bottom(self) -> float:
        """The height of the curve's lower end."""
        return self.foot + self.below[-1] + _GAP + 0.45

    def figure(self) -> Figure:
        """Return the figure."""
        figure = figures.figure_class()(figsize=(self.whole, self.tall), dpi=100)
        y = self.tall - self.head
        for number, (row, words) in enumerate(zip(self.cells, self.words, strict=True)):
            y -= self.height
            for place, (cell, word) in enumerate(zip(row, words, strict=True)):
                x = self.left + place * self.step + (self.step - _GAP - self.width) / 2
                ax = self._axes(figure, x, y, self.width, self.height)
                figures.show(ax, cell.pixels)
                figures.bare(ax)
                self._text(figure, word, x + self.width / 2, y - 0.05, 10.5, "top", "center")
                if number == 0 and place < len(self.columns):
                    above = (x + self.width / 2, y + self.height + 0.06)
                    self._text(figure, self.columns[place], *above, 12, "bottom", "center", True)
            if number < len(self.rows):
                beside = (self.left - 0.1, y + self.height / 2)
                self._text(figure, self.rows[number], *beside, 12, "center", "right", True)
            y -= self.below[number] + _GAP
        top = self.tall - 0.1
        self._text(figure, "\n".join(self.heading), _MARGIN, top, 13, "top", "left", True)
        self._text(figure, "\n".join(self.details), _MARGIN, self.foot - 0.06, 10, "top", "left")
        if self.curve is not None:
            self._draw(figure, self.curve)
        return figure

    def _draw(self, figure: Figure, curve: Curve) -> None:
        """Draw the curve at the right of the pictures."""
        bottom = self._bottom
        height = self.tall - self.head - bottom
        ax = self._axes(figure, self.whole - 3.35, bottom, 3.2, height)
        ax.plot(np.arange(1, len(curve.values) + 1), curve.values, color="tab:blue")
        ax.set_xlabel("step", fontsize=11)
        ax.set_ylabel(curve.name, fontsize=11)
        ax.spines[["top", "right"]].set_visible(False)

    def _axes(self, figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
        whole, tall = self.whole, self.tall
        return figure.add_axes((x / whole, y / tall, width / whole, height / tall))

    def _text(
        self,
        figure: Figure,
        text: str,
        x: float,
        y: float,
        size: float,
        va: str,
        ha: str,
        bold: bool = False,
    ) -> None:
        if not text:
            return
        text, style = figures.text_style(text)
        style |= {"fontsize": size, "fontweight": "bold" if bold else "normal"}
        figure.text(x / self.whole, y / self.tall, text, va=va, ha=ha, linespacing=1.15, **style)


def _lines(words: str, count: int) -> list[str]:
    """Return words in lines of at most `count` characters."""
    return [part for line in words.split("\n") for part in wrap(line, count)] if words else []
