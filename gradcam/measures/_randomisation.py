"""The maps of networks with random weights, and how much they are like the trained network's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcam._methods.passes import real
from gradcam._pictures import figures
from gradcam._results.explanation import Explanation
from gradcam.critique import _slide
from gradcam.measures._given import is_flat
from gradcam.measures._panels import MOST, legend, lines, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_F64 = NDArray[np.float64]

_LIKE, _UPPER = 0.5, 0.5
"""A map survives if it has this correlation with this share of the layers, the upper ones, random.
"""

_NAMES, _LONGEST = 20, 8
"""Layers whose names fit below the lines, and characters of a name."""


@dataclass(frozen=True, eq=False)
class Randomisation:
    """What :func:`cascading_randomisation` found: K stages, from the top layer down.

    Attributes
    ----------
    label : str
        What was explained.
    layers : tuple of K str
        The lowest layer that is random in each stage.
    counts : tuple of K int
        Layers with weights that become random in each stage.
    independent : bool
        Whether the layers of one stage alone are random; otherwise those of earlier stages are,
        too.
    correlations : (K,) array of float64
        Spearman's rank correlation, -1 to 1, of the map (:attr:`gradcam.Explanation.evidence`, at
        its own resolution) with that of the trained network; NaN if one of them is flat.
    signed_correlations : (K,) array of float64
        The same of the raw values with their signs.
    similarities : (K,) array of float64
        Structural similarity of the maps at the network's input, each scaled to 0..1; NaN if one is
        flat, or the input is smaller than 11 x 11.
    trained : Explanation
    explanations : tuple of K Explanation
        Their ``origin`` is None.
    """

    label: str
    layers: tuple[str, ...]
    counts: tuple[int, ...]
    independent: bool
    correlations: _F64
    signed_correlations: _F64
    similarities: _F64
    trained: Explanation
    explanations: tuple[Explanation, ...]

    def survives(self, correlation: float = _LIKE, share: float = _UPPER) -> bool:
        """Return whether the map survives random weights in the upper layers.

        Parameters
        ----------
        correlation : float
            The rank correlation below which a map has not survived, -1 to 1; a flat map has not.
        share : float
            Of the layers that become random, from the top down, above 0 and up to 1. The upper half
            holds the most of what a network knows of classes.

        Raises
        ------
        ValueError, TypeError
            If `correlation` or `share` is not such a number.
        """
        if not -1 <= real("correlation", correlation) <= 1:
            raise ValueError(f"correlation: expected a number from -1 to 1, got {correlation!r}")
        last = self._last(share)
        return bool((self.correlations[: last + 1] >= correlation).all())

    def _last(self, share: float) -> int:
        """Return the last stage in which at most this share of the layers is random, or the first.

        Raises
        ------
        TypeError, ValueError
            If the share is not a number above 0 and up to 1.
        """
        if not 0 < real("share", share) <= 1:
            raise ValueError(f"share: expected a number above 0 and up to 1, got {share!r}")
        random = np.cumsum(self.counts)
        within = random <= share * random[-1] * (1 + 1e-12)
        return max(0, int(within.sum()) - 1)

    @property
    def finding(self) -> str:
        """What was found, in a sentence."""
        what = f"{self.trained.title}, {self.label}"
        if is_flat(self.trained):
            return f"{what}: the map of the trained network is flat, so that nothing is compared"
        if self.survives():
            last = self._last(_UPPER)
            return (
                f"{what}: the map survives. With random weights in {self._stage(last)} its rank "
                f"correlation with the trained network's is still "
                f"{_number(self.correlations[last])}: it shows the picture more than what was "
                f"learnt"
            )
        below = int(np.argmax(~(self.correlations >= _LIKE)))
        return (
            f"{what}: with random weights in {self._stage(below)} the rank correlation with the "
            f"trained network's map is {_number(self.correlations[below])}: the map depends on "
            f"what was learnt"
        )

    def _stage(self, k: int) -> str:
        """Return which layers are random in stage `k`, in words."""
        if self.independent:
            if self.counts[k] == 1:
                return f"{self.layers[k]} alone"
            return f"{self.counts[k]} layers down to {self.layers[k]}"
        count = sum(self.counts[: k + 1])
        if count == 1:
            return self.layers[k]
        return f"the {count} layers down to {self.layers[k]}"

    def plot(self) -> Figure:
        """Draw the maps of up to seven stages, and the correlations of all, for a slide."""
        with figures.default_settings():
            figure = _slide.new(self.finding)
            shown = np.unique(np.linspace(0, len(self.layers) - 1, MOST - 1).round().astype(int))
            words = [self._below(k) for k in shown]
            maps = [self.trained, *(self.explanations[k] for k in shown)]
            panels(figure, maps, ["trained", *words])
            self._draw_lines(lines(figure))
            return figure

    def _below(self, k: int) -> str:
        """Return what is written below a map."""
        value = self.correlations[k]
        found = "flat" if np.isnan(value) else f"correlation {_number(value)}"
        if self._named:
            return f"{'' if self.independent else 'to '}{self.layers[k]}\n{found}"
        return f"{self._place(k)}\n{found}"

    @property
    def _named(self) -> bool:
        """Whether the names of the layers fit below the lines."""
        return len(self.layers) <= _NAMES and max(map(len, self.layers)) <= _LONGEST

    def _place(self, k: int) -> str:
        """Return a stage in numbers."""
        if self.independent:
            return f"stage {k + 1}"
        return f"{sum(self.counts[: k + 1])} of {sum(self.counts)} layers"

    def _draw_lines(self, ax: Axes) -> None:
        """Draw the correlations and the similarity by stage."""
        places = np.arange(len(self.layers) + 1)
        words = "stage, from the top" if self.independent else "random layers, from the top"
        if self._named:
            ax.set_xticks(places, ["trained", *self.layers], rotation=35, ha="right")
            words = "the random layer" if self.independent else "the lowest random layer"
        elif not self.independent:
            places = np.cumsum([0, *self.counts])
        for values, name, colour, style in (
            (self.correlations, "rank correlation, maps", _slide.BLUE, "o-"),
            (self.signed_correlations, "rank correlation, signed values", _slide.RED, "s-"),
            (self.similarities, "structural similarity", _slide.GREY, "^--"),
        ):
            ax.plot(places, [1.0, *values], style, color=colour, markersize=6, label=name)
        ax.set_ylim(min(-0.1, float(np.nanmin([*self._values(), 0]) - 0.05)), 1.05)
        _slide.label(ax, words, "likeness")
        legend(ax)

    def _values(self) -> list[float]:
        rows = (self.correlations, self.signed_correlations, self.similarities)
        return [float(value) for row in rows for value in row]


def _number(value: float) -> str:
    """Return a correlation with two digits."""
    return "not defined (a flat map)" if np.isnan(value) else f"{value:.2f}".replace("-", "−")
