"""Whether neighbours are of the same class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcam._methods.bootstrap import Interval, bootstrap
from gradcam._pictures import figures
from gradcam._text import counted, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_F64 = NDArray[np.float64]

_NAMES = {"code": "in code", "pixels": "in pixels", "plane": "in the plane"}
_COLOURS = {"code": "tab:blue", "pixels": "tab:orange", "plane": "tab:green"}


@dataclass(frozen=True, eq=False, repr=False)
class Precision:
    """The share of the nearest neighbours that have the class of their picture.

    Attributes
    ----------
    count : int
        Neighbours of each picture.
    shares : dict of str to (Q,) array of float64
        The share for each picture, 0 to 1, by where neighbours were looked for: "code", "pixels",
        "plane".
    labels : tuple of str
        The class of each of these pictures.
    chances : (Q,) array of float64
        The expected share of neighbours drawn at random, for each picture.
    best : float
        The highest mean share that is possible: below 1 if a class has too few pictures.
    seed : int
        Of the bootstrap.
    """

    count: int
    shares: Mapping[str, _F64]
    labels: tuple[str, ...]
    chances: _F64
    best: float
    seed: int = 0

    @property
    def chance(self) -> float:
        """The mean share of neighbours drawn at random."""
        return float(self.chances.mean())

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """The mean shares with 95 % intervals: the bootstrap over pictures."""
        return {name: bootstrap(each, seed=self.seed) for name, each in self.shares.items()}

    def __getitem__(self, name: str) -> Interval:
        """Return the mean share of "code", "pixels" or "plane", with its interval."""
        if name not in self.shares:
            raise KeyError(f"expected {' or '.join(map(repr, self.shares))}, got {name!r}")
        return self.intervals[name]

    @cached_property
    def by_class(self) -> dict[str, dict[str, float]]:
        """The mean shares of each class."""
        labels = np.array(self.labels)
        return {
            label: {name: float(each[labels == label].mean()) for name, each in self.shares.items()}
            for label in dict.fromkeys(self.labels)
        }

    @property
    def finding(self) -> str:
        """What was found, in a sentence."""
        parts = [
            f"{percent(each.mean)} {_NAMES[name]}" + _between(each)
            for name, each in self.intervals.items()
        ]
        most = f", at most {percent(self.best)}" if self.best < 1 else ""
        nearest = "the nearest neighbour" if self.count == 1 else f"{self.count} nearest neighbours"
        return (
            f"Of {nearest}, the share of the same class is {', '.join(parts)}; by chance "
            f"{percent(self.chance)}{most}; {counted(len(self.labels), 'picture')}, "
            f"{counted(len(self.by_class), 'class', 'classes')}"
        )

    def __repr__(self) -> str:
        found = ", ".join(f"{name} {each}" for name, each in self.intervals.items())
        return f"<Precision at {self.count}: {found}, chance {self.chance:.3g}>"

    def plot(self) -> Figure:
        """Draw the mean share of each class as bars, with 95 % intervals, and that by chance."""
        with figures.default_settings():
            names, count = list(self.shares), len(self.by_class)
            tall = 1.6 + 0.1 * count * (len(names) + 1)
            figure = figures.figure_class()(figsize=(8.5, tall), dpi=100, layout="constrained")
            ax = figure.add_subplot()
            height = 1 / (len(names) + 1)
            for n, name in enumerate(names):
                places = np.arange(count) + (n - (len(names) - 1) / 2) * height
                shares = [each[name] for each in self.by_class.values()]
                words = f"{_NAMES[name]}: {percent(self[name].mean)}"
                ax.barh(places, shares, height, color=_COLOURS[name], label=words)
                low, high = self._reach(name)
                ax.hlines(places, low, high, color="0.25", linewidth=1)
            chance = f"by chance: {percent(self.chance)}"
            rows = np.arange(count)
            ax.vlines(self._chances(), rows - 0.5, rows + 0.5, "black", "dotted", label=chance)
            ax.set(xlim=(0, 1), ylim=(count - 0.5, -0.5))
            self._name_classes(ax)
            ax.spines[["top", "right"]].set_visible(False)
            figure.suptitle("Are the nearest neighbours of the same class?", fontweight="bold")
            figure.legend(loc="outside lower center", ncols=4, frameon=False)
            return figure

    def _reach(self, name: str) -> tuple[list[float], list[float]]:
        """Return the ends of the interval of each class; NaN for one without a width."""
        labels = np.array(self.labels)
        found = [
            bootstrap(self.shares[name][labels == label], seed=self.seed) for label in self.by_class
        ]
        return [each.low for each in found], [each.high for each in found]

    def _chances(self) -> list[float]:
        """Return the share by chance of each class."""
        labels = np.array(self.labels)
        return [float(self.chances[labels == label].mean()) for label in self.by_class]

    def _name_classes(self, ax: Axes) -> None:
        """Write the classes and what is measured beside the axes."""
        drawn = [figures.text_style(label) for label in self.by_class]
        ax.set_yticks(np.arange(len(drawn)), [text for text, _ in drawn])
        for tick, (_, style) in zip(ax.get_yticklabels(), drawn, strict=True):
            tick.update(style)
        of = "neighbour" if self.count == 1 else f"{self.count} neighbours"
        ax.set_xlabel(f"share of the nearest {of} in the class of the picture, 95 % intervals")


def precision(
    count: int,
    same: Mapping[str, NDArray[np.bool_]],
    labels: tuple[str, ...],
    others: NDArray[np.int64],
    sizes: NDArray[np.int64] | int,
    seed: int,
) -> Precision:
    """Return the precision of neighbours.

    Parameters
    ----------
    count : int
    same : dict of str to (Q, count) array of bool
        Which neighbours have the class of their picture.
    labels : tuple of str
        Of the Q pictures.
    others : (Q,) array of int64
        How many pictures that can be neighbours have the class of each.
    sizes : int or (Q,) array of int64
        How many pictures can be neighbours.
    seed : int
    """
    shares = {name: each.mean(1) for name, each in same.items()}
    best = float((np.minimum(others, count) / count).mean())
    return Precision(count, shares, labels, np.asarray(others / sizes), best, seed)


def _between(found: Interval) -> str:
    """Return an interval in words; none if it has no width, or there is a single picture."""
    return "" if not found.low < found.high else f" ({percent(found.low)} to {percent(found.high)})"


NO_LABELS = (
    "precision needs the class of each picture: give a folder that has a folder for each class, or "
    "labels="
)
