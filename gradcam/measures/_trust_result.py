"""How two networks were rated by their maps, and the figure of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcam._methods.bootstrap import Interval, bootstrap
from gradcam._pictures import figures
from gradcam._text import percent, wrap
from gradcam.critique import _slide

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_F64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Trust:
    """How an observer rates two networks that both answer rightly, by their maps alone.

    Attributes
    ----------
    networks : tuple of two str
        The networks' names.
    accuracies : tuple of two float
        The share of all cases whose most probable class is right, 0 to 1.
    cases : int
        How many there are.
    right : (R,) array of int
        The cases in which both networks are right: those that are rated.
    methods : tuple of str
    titles : tuple of str
        Their names in figures.
    values : (M, 2, R) array of float64
        What the observer measured of each network's map: 0 if it is flat.
    slightly, clearly : float
        How many times the other value one must be, for a rating of 1 and of 2.
    """

    networks: tuple[str, str]
    accuracies: tuple[float, float]
    cases: int
    right: NDArray[np.int64]
    methods: tuple[str, ...]
    titles: tuple[str, ...]
    values: _F64
    slightly: float
    clearly: float

    @property
    def names(self) -> tuple[str, str]:
        """The networks' names; with "(first)" and "(second)" if they are equal."""
        one, other = self.networks
        return self.networks if one != other else (f"{one} (first)", f"{other} (second)")

    @property
    def ratings(self) -> NDArray[np.int64]:
        """The rating of each case, (M, R), as in the paper.

        2: the first network is clearly more reliable; 1: slightly more; 0: equally; -1 and -2: the
        second one is.
        """
        return rate(self.values[:, 0], self.values[:, 1], self.slightly, self.clearly)

    @property
    def means(self) -> tuple[Interval, ...]:
        """The mean rating by each method, with its 95 % bootstrap interval."""
        return tuple(bootstrap(each) for each in self.ratings)

    @property
    def preferred(self) -> _F64:
        """The shares of the cases in which the first network, neither and the second is preferred.

        (M, 3), each row adds up to 1.
        """
        signs = np.sign(self.ratings)
        return np.stack([(signs == sign).mean(1) for sign in (1, 0, -1)], axis=1)

    @property
    def agrees(self) -> tuple[bool, ...]:
        """Whether the observer prefers the more accurate network, by each method.

        The whole interval of the mean rating must lie on its side of 0. False if both networks are
        equally accurate.
        """
        first, second = self.accuracies
        sign = np.sign(first - second)
        ends = [(sign * each.low, sign * each.high) for each in self.means]
        return tuple(bool(sign) and min(end) > 0 for end in ends)

    @property
    def finding(self) -> str:
        """What was found, in a sentence."""
        first, second = self.accuracies
        both = f"Both networks are right in {len(self.right)} of {self.cases} cases"
        if first == second:
            return f"{both}. They are equally accurate, so that there is no better one"
        better = self.names[0] if first > second else self.names[1]
        told = [
            f"{title} ({_signed(mean.mean)})"
            for title, mean, agrees in zip(self.titles, self.means, self.agrees, strict=True)
            if agrees
        ]
        if not told:
            return f"{both}: there, no method's maps favour {better}, the more accurate one"
        return f"{both}: there, {better}, the more accurate one, is favoured by {_listed(told)}"

    def plot(self) -> Figure:
        """Draw the ratings by each method, for a slide."""
        return _draw(self)


def rate(first: _F64, second: _F64, slightly: float, clearly: float) -> NDArray[np.int64]:
    """Return ratings from -2 to 2, of two arrays of numbers of 0 or more."""
    sides = []
    for one, other in ((first, second), (second, first)):
        sides.append(1 * (one > slightly * other) + 1 * (one > clearly * other))
    return np.asarray(sides[0] - sides[1], np.int64)


def _signed(mean: float) -> str:
    return f"{mean:+.2f}".replace("-", "−")


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _draw(trust: Trust) -> Figure:
    """Draw the shares of the cases in which each network is preferred, and the mean ratings."""
    with figures.default_settings():
        height, bottom = 0.3 + min(3.9, 0.9 * len(trust.methods)), 1.35
        above = 1.05 + 0.34 * len(wrap(trust.finding, _slide.COLUMNS))
        figure = _slide.new(trust.finding, bottom + height + above)
        _draw_shares(trust, _slide.axes(figure, 2.9, bottom, 5.1, height))
        _draw_means(trust, _slide.axes(figure, 8.6, bottom, 4.3, height))
        first, second = map(percent, trust.accuracies)
        text, style = figures.text_style(
            f"Right answers: {trust.names[0]} {first}, {trust.names[1]} {second}"
        )
        y = 0.2 / figure.get_figheight()
        figure.text(0.035, y, text, size=_slide.SMALL, color=_slide.GREY, **style)
        return figure


def _draw_shares(trust: Trust, ax: Axes) -> None:
    """Draw one bar for each method: the first network, neither, the second."""
    rows = -np.arange(len(trust.methods))
    names = (trust.names[0], "neither", trust.names[1])
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
    _slide.heading(ax, "grey: neither, or the less accurate one", _slide.GREY, size=12)
