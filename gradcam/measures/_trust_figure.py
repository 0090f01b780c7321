"""The figure of trust: which network an observer prefers, by each method."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gradcam._pictures import figures
from gradcam._text import percent
from gradcam.critique import _slide

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gradcam.measures._trust import Trust


def draw(trust: Trust) -> Figure:
    """Draw the shares of the cases in which each network is preferred, and the mean ratings."""
    with figures.default_settings():
        figure = _slide.new(trust.finding)
        height = min(4.2, 0.9 * len(trust.methods) + 0.3)
        bottom = 1.35
        _draw_shares(trust, _slide.axes(figure, 2.9, bottom, 5.1, height))
        _draw_means(trust, _slide.axes(figure, 8.6, bottom, 4.3, height))
        first, second = map(percent, trust.accuracies)
        text, style = figures.text_style(
            f"Right answers: {trust.networks[0]} {first}, {trust.networks[1]} {second}"
        )
        figure.text(0.035, 0.03, text, size=_slide.SMALL, color=_slide.GREY, **style)
        return figure


def _draw_shares(trust: Trust, ax: Axes) -> None:
    """Draw one bar for each method: the first network, neither, the second."""
    rows = -np.arange(len(trust.methods))
    names = (trust.networks[0], "neither", trust.networks[1])
    start = np.zeros(len(rows))
    for shares, words, tint in zip(
        trust.preferred.T, names, (_slide.BLUE, "0.85", _slide.RED), strict=True
    ):
        ax.barh(rows, 100 * shares, 0.6, left=100 * start, color=tint, label=words)
        start += shares
    ax.set_yticks(rows, trust.titles, fontsize=_slide.SMALL)
    ax.set_xlim(0, 100)
    ax.set_ylim(rows[-1] - 0.5, 0.5)
    _slide.label(ax, "cases in which it is preferred, %", "")
    ax.grid(False, axis="y")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, fontsize=12, frameon=False)


def _draw_means(trust: Trust, ax: Axes) -> None:
    """Draw the mean rating of each method with its interval."""
    for row, (mean, agrees) in enumerate(zip(trust.means, trust.agrees, strict=True)):
        tint = _slide.BLUE if agrees else _slide.GREY
        ax.plot([mean.low, mean.high], [-row, -row], color=tint, linewidth=4, alpha=0.5)
        ax.plot(mean.mean, -row, "o", color=tint, markersize=11)
    ax.axvline(0, color="black", linewidth=1)
    ax.set_xlim(-2, 2)
    ax.set_ylim(-len(trust.methods) + 0.5, 0.5)
    ax.set_yticks([])
    _slide.label(ax, "mean rating, with 95 % interval", "")
    _slide.heading(ax, "grey: not told from 0, or wrong", _slide.GREY, size=12)
