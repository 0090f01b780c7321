"""Figures of questions: maps of several answers, at several layers, and beside the attention."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.tape import Tape, check_one
from gradcam._methods.passes import elements
from gradcam._pictures import figures, grids
from gradcam._pictures.colour import blend_words, overlay
from gradcam._pictures.grids import Cell
from gradcam._results.explanation import no_flat_warnings
from gradcam._results.objectives import Objective
from gradcam._text import percent, wrap
from gradcam.vqa._attention import Attention

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDEST, _SIDE = 13.5, 3.1
"""The largest width of the pictures together, and their largest longer side, in inches."""

_GAP, _LEFT, _HEAD, _FOOT, _ABOVE = 0.18, 0.35, 0.5, 0.55, 0.5
_BLUE, _GREY = "#1f5fa8", "#b8c4d4"

_METHODS = ("grad_cam", "guided_grad_cam")

_OWN_SCALE = "each map is scaled to its own maximum"


def answers(
    tape: Tape,
    question: str,
    top: Sequence[tuple[str, float]],
    objectives: Mapping[str, Objective],
) -> Figure:
    """Draw the picture, bars of the most probable answers, and two maps of each objective.

    Each answer has a column: Grad-CAM above Guided Grad-CAM.

    Parameters
    ----------
    tape : Tape
    question : str
    top : sequence of (answer, probability)
    objectives : mapping of str to Objective
        By answer.
    """
    check_one(tape)
    made = [tape.explain(method, list(objectives.values())) for method in _METHODS]
    with figures.default_settings(), no_flat_warnings():
        page = _Page(tape.picture, len(objectives))
        page.head(question)
        figures.show(page.cell(0, 0), tape.picture)
        _draw_bars(page.bars(), top, objectives)
        for row, explanations in enumerate(made):
            each = zip(explanations, objectives, strict=True)
            for column, (found, name) in enumerate(each, start=1):
                ax = page.cell(row, column)
                figures.show(ax, found.image)
                method = found.title if found.map.any() else f"{found.title}: all zero"
                page.title(row, column, method, f"{name}, {found.certainty}")
        page.foot(f"Grad-CAM: {blend_words('inferno')}; {_OWN_SCALE}. Guided Grad-CAM: grey is 0.")
        return page.figure


class _Page:
    """Where the parts of the figure of answers lie, in inches from its lower left corner."""

    def __init__(self, picture: NDArray[np.uint8], count: int) -> None:
        room = min(_SIDE, (_WIDEST - 2 * _LEFT) / (1 + count) - _GAP)
        height, width = picture.shape[:2]
        self.width, self.height = figures.fit(width, height, room, room)
        self.step = max(self.width, 2.0) + _GAP
        self.whole = 2 * _LEFT + (1 + count) * self.step
        self.tall = _HEAD + 2 * (self.height + _ABOVE) + _FOOT
        self.figure = figures.figure_class()(figsize=(self.whole, self.tall), dpi=100)

    def cell(self, row: int, column: int) -> Axes:
        """Return bare axes for a picture."""
        x = _LEFT + column * self.step + (self.step - self.width) / 2
        ax = self._axes(x, self._bottom(row), self.width, self.height)
        figures.bare(ax)
        return ax

    def bars(self) -> Axes:
        """Return axes for the bars, below the picture."""
        x = _LEFT + 1.05
        return self._axes(x, self._bottom(1), self.step - 1.35, self.height)

    def title(self, row: int, column: int, method: str, answer: str) -> None:
        """Write the answer above a column, and the method above each of its pictures."""
        x = _LEFT + (column + 0.5) * self.step
        y = self._bottom(row) + self.height
        self._text(method, x, y + 0.05, 10.5, "center")
        if row == 0:
            self._text(answer, x, y + 0.24, 12, "center", "bold")

    def head(self, question: str) -> None:
        """Write the question above everything."""
        lines = wrap(question, int((self.whole - 2 * _LEFT) / 0.13))
        shown = lines[0] if len(lines) == 1 else f"{lines[0]} ..."
        self._text(shown, _LEFT, self.tall - 0.36, 15, "left", "bold")

    def foot(self, words: str) -> None:
        """Write what the colours mean below everything."""
        lines = wrap(words, int((self.whole - 2 * _LEFT) / 0.07))
        for number, line in enumerate(lines[:2]):
            self._text(line, _LEFT, _FOOT - 0.25 - 0.19 * number, 9.5, "left")

    def _bottom(self, row: int) -> float:
        return _FOOT + (1 - row) * (self.height + _ABOVE)

    def _axes(self, x: float, y: float, width: float, height: float) -> Axes:
        whole, tall = self.whole, self.tall
        return self.figure.add_axes((x / whole, y / tall, width / whole, height / tall))

    def _text(
        self, text: str, x: float, y: float, size: float, ha: str, weight: str = "normal"
    ) -> None:
        text, style = figures.text_style(text)
        style |= {"size": size, "ha": ha, "va": "baseline", "weight": weight}
        self.figure.text(x / self.whole, y / self.tall, text, **style)


def _draw_bars(ax: Axes, top: Sequence[tuple[str, float]], shown: Collection[str]) -> None:
    """Draw the probabilities of answers; those that are explained are blue."""
    places = np.arange(len(top))
    colours = [_BLUE if name in shown else _GREY for name, _ in top]
    ax.barh(places, [share for _, share in top], color=colours, height=0.62)
    ax.set(xlim=(0, 1), ylim=(len(top) - 0.4, -0.6), xticks=[])
    names = [figures.text_style("\n".join(wrap(name, 12)))[0] for name, _ in top]
    ax.set_yticks(places, names, fontsize=10.5)
    ax.tick_params(length=0)
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    for place, (_, share) in enumerate(top):
        inside = share > 0.6
        ax.annotate(
            *(percent(share), (share, place), (-4 if inside else 4, 0)),
            textcoords="offset points",
            ha="right" if inside else "left",
            va="center",
            fontsize=10,
            color="white" if inside and top[place][0] in shown else "black",
        )


def layers(tape: Tape, objective: Objective, names: Sequence[str] | None = None) -> Figure:
    """Draw Grad-CAM of an objective at several layers, by default at each block."""
    check_one(tape)
    chosen = _blocks(tape) if names is None else elements("layers", names, "names of layers")
    if not chosen:
        raise ValueError("layers: an empty list of layers; give at least one")
    found = [tape.explain("grad_cam", objective, layer=layer) for layer in chosen]
    with no_flat_warnings():
        cells = [Cell(tape.picture, "the picture")]
        for each in found:
            _, height, width = tape.shape(each.layer)
            zero = "" if each.map.any() else ": all zero"
            cells.append(Cell(each.image, f"{each.layer}{zero}\n{height} x {width}"))
    rows = _rows(cells, 5)
    return grids.grid(
        rows,
        heading=f"Grad-CAM from layer to layer: {found[0].label}, {found[0].certainty}",
        details=f"Colours: {blend_words('inferno')}; {_OWN_SCALE}.",
    )


def _rows(cells: Sequence[Cell], most: int) -> list[Sequence[Cell]]:
    """Divide cells into rows of about the same length."""
    count = -(-len(cells) // most)
    step = -(-len(cells) // count)
    return [cells[first : first + step] for first in range(0, len(cells), step)]


def _blocks(tape: Tape) -> list[str]:
    """Return each residual block; without any, the last map before each pooling."""
    found = list(tape.graph.layers.values())
    sums = {each.name for each in found if each.op == "add"}
    blocks = [each.name for each in found if each.op == "relu" and sums & set(each.inputs)]
    if not blocks:
        pooled = [each.inputs[0] for each in found if each.op == "max_pool"]
        blocks = [name for name in pooled if len(tape.shape(name)) == 3]
    return list(dict.fromkeys([*blocks, tape.graph.target_layer]))


def attention(
    tape: Tape, objective: Objective, words: Sequence[str], levels: Mapping[str, Attention]
) -> Figure:
    """Draw the attention of each level over the picture, the words' shares below it, Grad-CAM."""
    check_one(tape)
    found = tape.explain("grad_cam", objective)
    with no_flat_warnings():
        cells = [Cell(tape.picture), *(_attended(tape, each, words) for each in levels.values())]
        cells.append(Cell(found.image, f"layer {found.layer}"))
    return grids.grid(
        [cells],
        heading=f"{found.label}, {found.certainty}",
        details=(
            f"Attention: where the network looks, at each level of the question; below it, how "
            f"much of the attention each word or phrase has. Colours: {blend_words('inferno')}; "
            f"attention is scaled to its own minimum and maximum, Grad-CAM to its maximum."
        ),
        columns=["Picture", *(f"Attention: {name}" for name in levels), "Grad-CAM"],
    )


def _attended(tape: Tape, level: Attention, words: Sequence[str]) -> Cell:
    """Return the picture with the attention over it, and the words with their shares."""
    on_picture = tape.geometry.to_picture(level.positions, "half_pixel")
    size = float(on_picture.max() - on_picture.min()) or 1.0
    pixels = overlay(tape.picture, (on_picture - on_picture.min()) / np.float32(size))
    return Cell(pixels, _shares(words, level.words))


def _shares(words: Iterable[str], shares: NDArray[np.float32]) -> str:
    return "\n".join(
        f"{word}  {percent(float(share))}" for word, share in zip(words, shares, strict=True)
    )
