"""The curve of a measure that changes the picture, and its figure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcam._pictures import figures
from gradcam.critique import _slide

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_F64 = NDArray[np.float64]

_CHANGE = {"Deletion": "deleted", "Insertion": "inserted", "Pixel flipping": "replaced"}


@dataclass(frozen=True, eq=False)
class Curve:
    """The value of what a map explains, while the picture is changed in the order of the map.

    Attributes
    ----------
    title : str
        Of the measure.
    label : str
        What the map explains: the class, or another objective.
    on : str
        What the values are: "probability", "score" or "value"; after "negated" with the other sign.
    shares : (K,) array
        The share of the pixels that are changed, rising from 0 to at most 1.
    values : (K,) array
        Of the probability 0 to 1, else in units of the score.
    pictures : (P, h, w, 3) array of uint8
        Some of the changed pictures, as the network sees them.
    picture_shares : (P,) array
        The share of the pixels that are changed in these.
    """

    title: str
    label: str
    on: str
    shares: _F64
    values: _F64
    pictures: NDArray[np.uint8] = field(repr=False)
    picture_shares: _F64 = field(repr=False)

    @property
    def auc(self) -> float:
        """The area under the curve by the trapezoid rule, divided by the range of the shares.

        If all pixels are changed, it is the area itself.
        """
        widths = np.diff(self.shares)
        means = (self.values[1:] + self.values[:-1]) / 2
        return float((widths * means).sum() / widths.sum())

    @property
    def aopc(self) -> float:
        """The area over the perturbation curve: the mean of the first value minus each value.

        Samek et al. (2017): the mean is over all K values, of which the first contributes 0.
        """
        return float((self.values[0] - self.values).mean())

    def plot(self) -> Figure:
        """Draw the curve below some of the changed pictures, for a slide."""
        return _draw(self)


def _draw(curve: Curve) -> Figure:
    """Draw a curve for a slide."""
    with figures.default_settings():
        figure = _slide.new(_title(curve))
        changed = _CHANGE[curve.title]
        count = len(curve.pictures)
        width = 11.6 / count
        for number, pixels in enumerate(curve.pictures):
            place = (1.2 + number * width, 4.15, width - 0.2, 1.75)
            ax = _slide.picture(figure, place, pixels)
            _slide.below(ax, f"{100 * curve.picture_shares[number]:.3g} % {changed}")
        ax = _slide.axes(figure, 1.2, 0.9, 11.6, 2.65)
        ax.fill_between(100 * curve.shares, curve.values, color=_slide.BLUE, alpha=0.15)
        ax.plot(100 * curve.shares, curve.values, color=_slide.BLUE, linewidth=3)
        at = curve.shares.searchsorted(curve.picture_shares)
        ax.plot(
            100 * curve.picture_shares,
            curve.values[at],
            "o",
            color=_slide.BLUE,
            markersize=9,
            clip_on=False,
        )
        ax.set_xlim(0, 100 * float(curve.shares[-1]))
        if curve.on == "probability":
            ax.set_ylim(0, 1.02)
        _slide.label(ax, f"pixels {changed}, %", curve.on)
        return figure


def _title(curve: Curve) -> str:
    first, last = _slide.signed(curve.values[0]), _slide.signed(curve.values[-1])
    return (
        f"{curve.title}: the {curve.on} of {_label(curve)} goes from {first} to {last}; area "
        f"under the curve {_slide.signed(curve.auc)}"
    )


def _label(curve: Curve) -> str:
    """Return what the map explains, as it is read: labels of classes have underscores."""
    return curve.label if curve.on == "value" else curve.label.replace("_", " ")
