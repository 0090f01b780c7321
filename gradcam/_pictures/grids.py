"""Many pictures in one: grids with words, and a curve beside them; mosaics without words."""

from __future__ import annotations

import math
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

_SIZE, _BOLD = 10.5, 12
"""Of the words below pictures, and of those above columns and beside rows, in points."""

_LINE, _CHARACTER = 0.2, 0.084
"""The height of a line, and the mean width of a character, in inches."""

_GAP, _MARGIN = 0.14, 0.15


@dataclass(frozen=True)
class Cell:
    """A picture of a grid and what belongs to it.

    Attributes
    ----------
    pixels : (H, W, 3) array of uint8
    words : str
        Below it.
    boxes : sequence of (x0, y0, x1, y1)
        Drawn in white on black.
    frame : str
        The colour of a line around the picture; empty for none.
    note : str
        In white on black, in the lower left corner of the first box, or of the picture.
    """

    pixels: NDArray[np.uint8]
    words: str = ""
    boxes: Sequence[tuple[float, float, float, float]] = ()
    frame: str = ""
    note: str = ""


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
    smallest: float = _SMALLEST,
) -> Figure:
    """Draw pictures in rows and columns.

    Parameters
    ----------
    cells : list of lists of Cell
        Pictures of different sizes are drawn with longer sides of one length.
    heading, details : str
        Above the pictures, and below them.
    columns, rows : list of str
        Words above the columns and beside the rows; long ones are drawn in several lines.
    curve : Curve, optional
        Drawn at the right of the pictures.
    smallest : float
        The smallest longer side of a picture, in inches. If the words below the pictures are
        short, it may be less than usual, for more pictures in a row.
    """
    with figures.default_settings():
        return _Grid(cells, heading, details, columns, rows, curve, smallest).figure()


def mosaic(
    tiles: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    *,
    columns: int | None = None,
    zoom: int = 1,
    gap: int = 2,
) -> NDArray[np.uint8]:
    """Return many small pictures as one, row by row on white.

    Parameters
    ----------
    tiles : (N, h, w, 3) array of uint8, or a list of (h, w, 3)
        All of one size; at least one.
    columns : int, optional
        By default about as many as rows, so that the whole is about square.
    zoom : int
        Pixels of the result for a pixel of a tile, along each side.
    gap : int
        Pixels between tiles and around them.

    Returns
    -------
    (H, W, 3) array of uint8
    """
    enlarged = np.repeat(np.repeat(np.asarray(tiles), zoom, 1), zoom, 2)
    count, height, width = enlarged.shape[:3]
    if columns is None:
        columns = max(1, round(math.sqrt(count * (height + gap) / (width + gap))))
    columns = min(columns, count)
    rows = -(-count // columns)
    down, across = height + gap, width + gap
    whole = np.full((rows * down + gap, columns * across + gap, 3), 255, np.uint8)
    for number, tile in enumerate(enlarged):
        row, column = divmod(number, columns)
        top, left = gap + row * down, gap + column * across
        whole[top : top + height, left : left + width] = tile
    return whole


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
        smallest: float,
    ) -> None:
        self.cells, self.curve = cells, curve
        self.rows = ["\n".join(_lines(row, 16)) for row in rows]
        across = max(map(len, cells))
        lines = [line for row in self.rows for line in row.split("\n")]
        self.left = _MARGIN + max((columns_of(line) for line in lines), default=0) * 0.115
        room = min(_SIDE, _WIDEST / across - _GAP, _HIGHEST / len(cells) - _GAP)
        room = max(room, smallest)
        self.sizes = [[_size(cell, room) for cell in row] for row in cells]
        self.heights = [max(height for _, height in row) for row in self.sizes]
        widest = max(width for row in self.sizes for width, _ in row)
        self.step = max(widest, smallest) + _GAP
        inside = self.step - _GAP
        self.words = [["\n".join(_fitted(cell.words, inside)) for cell in row] for row in cells]
        titles = [_fitted(title, inside, _BOLD, "bold") for title in columns]
        self.columns = ["\n".join(title) for title in titles]
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
        above = max(map(len, titles), default=0)
        self.head = 0.12 + 0.26 * len(self.heading) + (0.07 + _LINE * above) * bool(above)
        self.tall = self.foot + self.head + sum(self.below) + sum(self.heights)
        self.tall += len(cells) * _GAP
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
        for place, words in enumerate(self.columns):
            above = (self._middle(place), y + 0.1)
            self._text(figure, words, *above, _BOLD, "baseline", "center", True)
        for number, height in enumerate(self.heights):
            y -= height
            self._draw_row(figure, number, y)
            if number < len(self.rows):
                beside = (self.left - 0.1, y + height / 2)
                self._text(figure, self.rows[number], *beside, _BOLD, "center", "right", True)
            y -= self.below[number] + _GAP
        top = self.tall - 0.1
        self._text(figure, "\n".join(self.heading), _MARGIN, top, 13, "top", "left", True)
        self._text(figure, "\n".join(self.details), _MARGIN, self.foot - 0.06, 10, "top", "left")
        if self.curve is not None:
            self._draw(figure, self.curve)
        return figure

    def _middle(self, place: int) -> float:
        """Return the horizontal centre of a column."""
        return self.left + place * self.step + (self.step - _GAP) / 2

    def _draw_row(self, figure: Figure, number: int, y: float) -> None:
        """Draw the pictures of a row, whose lower end is at `y`, with the words below them."""
        row = zip(self.cells[number], self.words[number], self.sizes[number], strict=True)
        for place, (cell, word, (width, height)) in enumerate(row):
            x = self._middle(place)
            bottom = y + (self.heights[number] - height) / 2
            ax = self._axes(figure, x - width / 2, bottom, width, height)
            figures.show(ax, cell.pixels)
            figures.bare(ax)
            for box in cell.boxes:
                figures.draw_box(ax, box, 1.2)
            if cell.frame:
                _frame(ax, cell.frame)
            if cell.note:
                _write_note(ax, cell)
            self._text(figure, word, x, y - 0.05, _SIZE, "top", "center")

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


def _size(cell: Cell, room: float) -> tuple[float, float]:
    """Return the width and the height of a picture in a square of `room` inches."""
    height, width = cell.pixels.shape[:2]
    return figures.fit(width, height, room, room)


def _frame(ax: Axes, colour: str) -> None:
    """Draw a line around a picture, just outside of it."""
    for spine in ax.spines.values():
        spine.set(visible=True, color=colour, linewidth=3)


def _write_note(ax: Axes, cell: Cell) -> None:
    """Write a cell's note into its first box, or into the picture."""
    from matplotlib.patheffects import withStroke

    height, width = cell.pixels.shape[:2]
    left, _, _, bottom = cell.boxes[0] if cell.boxes else (0, 0, width, height)
    left, bottom = min(left, 0.66 * width), max(bottom, 0.16 * height)  # inside the picture
    text, style = figures.text_style(cell.note)
    ax.annotate(
        *(text, (left - 0.5, bottom - 0.5), (4, 4)),
        textcoords="offset points",
        color="white",
        size=9.5,
        weight="bold",
        path_effects=[withStroke(linewidth=2.5, foreground="black")],
        **style,
    )


def _lines(words: str, count: int) -> list[str]:
    """Return words in lines of at most `count` characters."""
    return [part for line in words.split("\n") for part in wrap(line, count)] if words else []


def _fitted(words: str, room: float, size: float = _SIZE, weight: str = "normal") -> list[str]:
    """Return words in lines of at most `room` inches; by default as below a picture."""
    lines = []
    for line in words.split("\n") if words else []:
        count = int(room / _CHARACTER)
        parts = wrap(line, count)
        while count > 1 and any(figures.text_width(part, size, weight) > room for part in parts):
            count -= 1
            parts = wrap(line, count)
        lines += parts
    return lines
