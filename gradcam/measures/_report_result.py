"""What a report on one map found, and its figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcam._pictures import colour, figures
from gradcam._results.explanation import Explanation, no_flat_warnings
from gradcam._results.report import Check
from gradcam._text import wrap
from gradcam.critique import _slide
from gradcam.measures import _report_words
from gradcam.measures._correlation import spearman
from gradcam.measures._curve import Curve
from gradcam.measures._report_words import number, two, verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_F32 = NDArray[np.float32]

_GREEN = "#2e7d32"
_ROWS = {
    "weights": "random weights",
    "edges": "edge detector",
    "pixels": "deletion",
}


@dataclass(frozen=True, eq=False)
class Report:
    """Whether a map is right: what lies beside it, the checks, and a sentence.

    Rank correlations are Spearman's, at the resolution of the map, before it is resized. A map
    that is flat has no order: its rank correlations count as 0.

    Attributes
    ----------
    explanation : Explanation
        The map that was checked.
    edges : (h, w) array of float32
        The edges of the network's input, averaged to the resolution of the map.
    random_weights : tuple of Explanation
        The same method on the network with random weights, three times. Their ``origin`` is None,
        so that a report does not hold those networks.
    others : tuple of Explanation
        The same method for other classes, or other answers to a question or words of a caption;
        empty if there are none.
    other_layer : Explanation or None
        The same method at the nearest layer below with a finer map, if the method has a layer.
    layer_correlation : float
        The rank correlation with it, at the resolution of the input; NaN without such a layer.
    deletion, edges_deletion : Curve or None
        Pixels are deleted in the order of the map, and of the edges. None if the map is flat; those
        of the edges also if a picture of one colour has none. Finer maps are averaged to 14 x 14
        values first: single pixels, deleted here and there, look like noise, which lowers the score
        in any order. If the map shows what speaks against the class (the method's ``against``), the
        negated score is watched: without these pixels the score should rise.
    random_deletions : tuple of Curve
        The same in five random orders, as a uniform map gives: maps of random values, which have
        the map's resolution.
    checks : tuple of Check
        "weights": the mean rank correlation with the maps of random weights is below 0.5. "edges":
        the rank correlation with the edges is below 0.5. "class": the lowest rank correlation with
        the maps of other classes is below 0.9. "pixels": the area under the deletion curve is below
        the lowest one of random orders; a map of random values passes this check in one of six
        cases. Only "flat", which is not passed, if the map is flat. The limits of rank correlations
        are conventions.
    kind : str
        What `others` are: "class", "answer" of a question or "word" of a caption.
    names : tuple of str
        What the figure calls each of `others`.
    """

    explanation: Explanation
    edges: _F32
    random_weights: tuple[Explanation, ...]
    others: tuple[Explanation, ...]
    other_layer: Explanation | None
    layer_correlation: float
    deletion: Curve | None
    edges_deletion: Curve | None
    random_deletions: tuple[Curve, ...]
    checks: tuple[Check, ...]
    kind: str = "class"
    names: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the map passes all checks."""
        return all(each.passed for each in self.checks)

    @property
    def finding(self) -> str:
        """What was found, in a sentence."""
        return _report_words.finding(self.explanation, self.checks)

    @property
    def nearest_other(self) -> Explanation | None:
        """The map of `others` that differs most, on which the check "class" is based."""
        return min(self.others, key=lambda each: correlation(self.explanation, each), default=None)

    def plot(self) -> Figure:
        """Draw the maps, the deletion curves and the checks, for a slide."""
        return _draw(self)


def correlation(one: Explanation, other: Explanation) -> float:
    """Return the rank correlation of two maps at their own resolution; 0 if one is flat."""
    return ranked(one.evidence, other.evidence)


def ranked(one: _F32, other: _F32) -> float:
    """Return the rank correlation of two maps; 0 if one is flat."""
    found = spearman(one, other)
    return 0.0 if np.isnan(found) else found


def _draw(report: Report) -> Figure:
    """Draw a report for a slide."""
    with figures.default_settings(), no_flat_warnings():
        figure = _slide.new(_title(report))
        panels = _panels(report)
        width = 12.6 / len(panels)
        for number, (words, pixels, below) in enumerate(panels):
            place = (0.4 + number * width, 3.9, width - 0.15, 1.8)
            ax = _slide.picture(figure, place, pixels)
            _slide.heading(ax, words, size=_fitting(words, width - 0.15))
            _slide.below(ax, below, size=12)
        if report.deletion is not None:
            _draw_deletion(report, _slide.axes(figure, 1.1, 0.8, 5.6, 1.6))
            _draw_checks(report, _slide.axes(figure, 7.3, 0.4, 5.7, 2.9))
        return figure


def _title(report: Report) -> str:
    """Return the finding; if it is longer than three lines, the number of failed checks."""
    if len(wrap(report.finding, _slide.COLUMNS)) <= 3:
        return report.finding
    return verdict(report.explanation, report.checks)


def _panels(report: Report) -> list[tuple[str, NDArray[np.uint8], str]]:
    """Return the pictures with what stands above and below them."""
    found = report.explanation
    values = {each.name: two(each.value) for each in report.checks}
    lines = _cut(wrap(found.words, 20), keep_end=report.kind == "answer")
    explained = "\n".join([*lines, found.certainty])
    panels = [
        ("Picture", found.picture, explained),
        (found.title, found.image, "the map\nthat is checked"),
        ("Edge detector", _edges(report), _below(values.get("edges"))),
    ]
    if report.random_weights:
        words = f"rank correlation\n{values['weights']}"
        panels.append(("Random weights", report.random_weights[0].image, words))
    other = report.nearest_other
    if other is not None:
        words = f"rank correlation\n{values['class']}"
        panels.append((report.names[report.others.index(other)], other.image, words))
    if report.other_layer is not None:
        words = f"rank correlation\n{two(report.layer_correlation)}"
        panels.append((f"at {report.other_layer.layer}", report.other_layer.image, words))
    return panels


def _cut(lines: Sequence[str], keep_end: bool) -> list[str]:
    """Return the first two lines, or the last two; dots stand for the others."""
    if len(lines) <= 2:
        return [*lines]
    return [f"... {lines[-2]}", lines[-1]] if keep_end else [lines[0], f"{lines[1]} ..."]


def _below(value: str | None) -> str:
    return "" if value is None else f"rank correlation\n{value}"


def _fitting(words: str, width: float) -> float:
    """Return the size of type at which a heading is at most so many inches wide."""
    wide = figures.text_width(words, _slide.SMALL, "normal")
    return min(_slide.SMALL, _slide.SMALL * width / wide) if wide else _slide.SMALL


def _edges(report: Report) -> NDArray[np.uint8]:
    """Return the edges in the style of the map."""
    found = report.explanation
    on_picture = found.geometry.to_picture(report.edges, found.resize)
    scaled = on_picture / (np.percentile(on_picture, 99.5) or on_picture.max() or 1)
    scaled = np.minimum(scaled, 1)
    if found.over_picture:
        return colour.overlay(found.picture, scaled, "inferno", None, found.region)
    return colour.colour(scaled, "gray")


def _draw_deletion(report: Report, ax: Axes) -> None:
    """Draw the curves."""
    own, by_edges = report.deletion, report.edges_deletion
    assert own is not None
    shares = 100 * own.shares
    values = np.stack([each.values for each in report.random_deletions])
    ax.fill_between(shares, values.min(0), values.max(0), color=_slide.GREY, alpha=0.2, lw=0)
    mean = float(np.mean([each.auc for each in report.random_deletions]))
    lines = (
        (values.mean(0), _slide.GREY, f"random orders, as of\na uniform map {number(mean)}"),
        (_values(by_edges), _slide.RED, _edges_words(by_edges)),
        (own.values, _slide.BLUE, f"map {number(own.auc)}"),
    )
    for line, tint, words in lines:
        ax.plot(shares[: len(line)], line, color=tint, linewidth=2.5, label=words)
    ax.set_xlim(0, 100)
    _slide.label(ax, "pixels deleted, %", own.on)
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(
        *(handles[::-1], labels[::-1]),
        title="Area under the curve",
        title_fontsize=12,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.98),
        ncols=3,
        fontsize=12,
        frameon=False,
        handlelength=1.2,
        columnspacing=1.2,
    )


def _values(curve: Curve | None) -> NDArray[np.float64]:
    """Return the values of a curve; none if there is no curve."""
    return np.empty(0) if curve is None else curve.values


def _edges_words(curve: Curve | None) -> str:
    """Return what the legend says of the edges."""
    return "the picture\nhas no edges" if curve is None else f"edges {number(curve.auc)}"


def _draw_checks(report: Report, ax: Axes) -> None:
    """Write the checks as a table."""
    ax.set_axis_off()
    ax.set_xlim(0, 1)
    rows = len(report.checks) + 1
    ax.set_ylim(-rows + 0.5, 0.5)
    for x, words in ((0, "check"), (0.42, "value"), (0.62, "must be below"), (1, "")):
        _write(ax, x, 0, words, colour=_slide.GREY)
    names = _ROWS | {"class": f"another {report.kind}"}
    for row, each in enumerate(report.checks, start=1):
        _write_row(ax, -row, names[each.name], each)


def _write_row(ax: Axes, y: float, name: str, check: Check) -> None:
    verdict, tint = ("passed", _GREEN) if check.passed else ("failed", _slide.RED)
    write = number if check.name == "pixels" else two
    _write(ax, 0, y, name)
    _write(ax, 0.42, y, write(check.value))
    _write(ax, 0.62, y, write(check.limit))
    _write(ax, 1, y, verdict, colour=tint, right=True)


def _write(
    ax: Axes, x: float, y: float, words: str, *, colour: str = "black", right: bool = False
) -> None:
    text, style = figures.text_style(words)
    ax.text(
        *(x, y, text),
        ha="right" if right else "left",
        va="center",
        size=_slide.LARGE,
        color=colour,
        **style,
    )
