"""Scores and maps of noisy pictures, by the deviation of the noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam._pictures import figures
from gradcam._results.explanation import Explanation
from gradcam._text import percent
from gradcam.critique import _slide
from gradcam.measures._panels import MOST, legend, lines, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_F64 = NDArray[np.float64]


class Noisy(NamedTuple):
    """What was measured of one noisy picture: see :class:`NoiseRobustness`."""

    score: float
    probability: float | None
    correlation: float
    same_top: bool
    pointing: bool | None


@dataclass(frozen=True, eq=False)
class NoiseRobustness:
    """What :func:`noise_robustness` found, for K deviations and M noisy pictures of each.

    Attributes
    ----------
    label : str
        What was explained.
    title : str
        The method.
    sigmas : (K,) array of float64
        Standard deviations of the noise.
    unit : str
        What 1 stands for in `sigmas`: "from black to white", or "values of the input" if the
        network has no preset.
    scores : (K, M) array of float64
        The class's score; the value of another objective.
    probabilities : (K, M) array of float64, or None
        The class's probability, if it is one and the network has probabilities.
    correlations : (K, M) array of float64
        Spearman's rank correlation of the map with that of the picture without noise, -1 to 1; NaN
        if one of them is flat.
    same_top : (K, M) array of bool
        Whether the top class is that of the picture without noise.
    pointing : (K, M) array of bool, or None
        Whether the map's maximum lies on the object, if a region was given.
    examples : tuple of K Explanation
        The first noisy picture of each deviation, at the size of the network's input.
    """

    label: str
    title: str
    sigmas: _F64
    unit: str
    scores: _F64
    probabilities: _F64 | None
    correlations: _F64
    same_top: NDArray[np.bool_]
    pointing: NDArray[np.bool_] | None
    examples: tuple[Explanation, ...]

    @property
    def mean_correlations(self) -> _F64:
        """(K,) the mean over the noisy pictures whose map is not flat; NaN if all are."""
        defined = ~np.isnan(self.correlations)
        counts = defined.sum(1)
        sums = np.where(defined, self.correlations, 0).sum(1)
        means: _F64 = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
        return means

    @property
    def finding(self) -> str:
        """What was found, in a sentence."""
        last = int(self.sigmas.argmax())
        like = self.mean_correlations[last]
        parts = [f"the rank correlation of the maps is {like:.2f}"]
        if np.isnan(like):
            parts = ["all maps are flat"]
        if self.probabilities is not None:
            parts.insert(0, f"the probability is {percent(self.probabilities[last].mean())}")
        parts.append(f"the top class stays in {percent(self.same_top[last].mean())}")
        if self.pointing is not None:
            parts.append(f"the map points at the object in {percent(self.pointing[last].mean())}")
        words = f"{', '.join(parts[:-1])} and {parts[-1]} of the pictures".replace("-", "−")
        return f"{self.title}, {self.label}: with noise of {self.sigmas[last]:g}, {words}"

    def plot(self) -> Figure:
        """Draw maps of up to seven deviations, and the means of all, for a slide."""
        with figures.default_settings():
            figure = _slide.new(self.finding)
            order = np.argsort(self.sigmas)
            shown = np.linspace(0, len(order) - 1, min(MOST, len(order))).round().astype(int)
            chosen = order[np.unique(shown)]
            words = [self._below(k) for k in chosen]
            panels(figure, [self.examples[k] for k in chosen], words)
            self._draw_lines(lines(figure), order)
            return figure

    def _below(self, k: int) -> str:
        """Return what is written below the first picture of a deviation."""
        chance = "" if self.probabilities is None else f"\np {percent(self.probabilities[k, 0])}"
        return f"noise {self.sigmas[k]:g}{chance}"

    def _draw_lines(self, ax: Axes, order: NDArray[np.intp]) -> None:
        """Draw the means by deviation."""
        x, found = self.sigmas[order], []
        if self.probabilities is not None:
            found.append((self.probabilities.mean(1), "probability", _slide.BLUE, "o-"))
        found.append((self.mean_correlations, "rank correlation of the maps", _slide.RED, "s-"))
        found.append((self.same_top.mean(1), "share: same top class", _slide.GREY, "^--"))
        if self.pointing is not None:
            found.append((self.pointing.mean(1), "share: points at the object", "black", "v:"))
        for values, words, colour, style in found:
            ax.plot(x, values[order], style, color=colour, markersize=7, label=words)
        low = min(0.0, float(np.nanmin([*self.mean_correlations, 0])))
        ax.set_ylim(low - 0.05, 1.05)
        _slide.label(ax, f"standard deviation of the noise (1: {self.unit})", "mean")
        legend(ax)


def gathered(
    label: str,
    title: str,
    sigmas: _F64,
    unit: str,
    rows: Sequence[Sequence[Noisy]],
    examples: tuple[Explanation, ...],
) -> NoiseRobustness:
    """Return what was measured as arrays."""
    columns = {
        name: [[getattr(each, name) for each in row] for row in rows] for name in Noisy._fields
    }
    missing = {name for name, values in columns.items() if values[0][0] is None}
    return NoiseRobustness(
        label=label,
        title=title,
        sigmas=sigmas,
        unit=unit,
        scores=np.array(columns["score"]),
        probabilities=None if "probability" in missing else np.array(columns["probability"]),
        correlations=np.array(columns["correlation"]),
        same_top=np.array(columns["same_top"], bool),
        pointing=None if "pointing" in missing else np.array(columns["pointing"], bool),
        examples=examples,
    )
