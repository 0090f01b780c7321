"""What is known about how a classifier was trained: its accuracy on pictures that were held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam._methods.bootstrap import Interval, share
from gradcam._pictures import figures
from gradcam._text import percent, width, wrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Wrong(NamedTuple):
    """A picture that was wrong when it was held out.

    Attributes
    ----------
    source : str
        Its path; "picture 12" for one that is not a file, counted from 1.
    label, predicted : str
        Its class, and the one that was most probable.
    probability : float
        Of the latter.
    """

    source: str
    label: str
    predicted: str
    probability: float


@dataclass(frozen=True, eq=False, repr=False)
class Training:
    """How a classifier was trained, and how often it is right.

    Everything about accuracy comes from cross-validation: each picture was held out once, and
    classified by what was learnt without its fold. The classifier itself has learnt from all
    pictures.

    Attributes
    ----------
    classes : tuple of str
    sources : tuple of str
        The path of each picture; "picture 12" for one that is not a file, counted from 1.
    numbers : (N,) array of int64
        The class of each picture.
    fold : (N,) array of int64
        The fold in which each was held out, from 0.
    probabilities : (N, K) array of float64
        Of each picture when it was held out, 0 to 1.
    network, layer : str
        The codes are this layer of this network.
    C : float
        scikit-learn's C of the classifier: 1 / the strength of the L2 penalty.
    strengths : tuple of float
        C in each fold, chosen without that fold.
    seconds : float
        The time of everything.
    skipped : tuple of (str, str)
        The pictures that could not be read, and why.
    notes : tuple of str
        What was not done as asked, and why.
    doubts : tuple of str
        What makes the accuracy doubtful; each was a warning.
    """

    classes: tuple[str, ...]
    sources: tuple[str, ...]
    numbers: NDArray[np.int64]
    fold: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    network: str
    layer: str
    C: float
    strengths: tuple[float, ...]
    seconds: float
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """(N,) the most probable class of each picture when it was held out."""
        return np.asarray(self.probabilities.argmax(1), np.int64)

    @property
    def accuracy(self) -> float:
        """The share of the held-out pictures whose most probable class is right, 0 to 1."""
        return self.interval.mean

    @property
    def interval(self) -> Interval:
        """The accuracy with its 95 % interval (Wilson 1927), as if pictures were independent."""
        return share(int(np.sum(self.predicted == self.numbers)), len(self.numbers))

    @property
    def chance(self) -> float:
        """The accuracy of a classifier that always names the class with the most pictures."""
        return max(self.counts.values()) / len(self.numbers)

    @property
    def per_fold(self) -> tuple[float, ...]:
        """The accuracy in each fold, 0 to 1."""
        right = self.predicted == self.numbers
        return tuple(float(right[self.fold == each].mean()) for each in range(len(self.strengths)))

    @property
    def counts(self) -> Mapping[str, int]:
        """How many pictures each class has."""
        counts = np.bincount(self.numbers, minlength=len(self.classes)).tolist()
        return dict(zip(self.classes, counts, strict=True))

    @property
    def recall(self) -> Mapping[str, float]:
        """The share of each class's pictures that were right when held out, 0 to 1."""
        right, counts = self.confusion.diagonal(), self.confusion.sum(1)
        return dict(zip(self.classes, (right / counts).tolist(), strict=True))

    @property
    def confusion(self) -> NDArray[np.int64]:
        """(K, K) how many held-out pictures of the row's class were taken for the column's."""
        found = np.zeros((len(self.classes),) * 2, np.int64)
        np.add.at(found, (self.numbers, self.predicted), 1)
        return found

    @property
    def wrong(self) -> tuple[Wrong, ...]:
        """The pictures that were wrong when held out, the most confident first."""
        highest = self.probabilities.max(1)
        places = np.flatnonzero(self.predicted != self.numbers)
        places = places[np.argsort(-highest[places], kind="stable")]
        return tuple(
            Wrong(
                self.sources[n],
                self.classes[self.numbers[n]],
                self.classes[self.predicted[n]],
                float(highest[n]),
            )
            for n in places.tolist()
        )

    @property
    def finding(self) -> str:
        """How often it is right, in a sentence."""
        found = self.interval
        return (
            f"{percent(found.mean)} of {found.size} held-out pictures are right "
            f"(95 % interval {percent(found.low)} to {percent(found.high)})"
        )

    @property
    def details(self) -> str:
        """How that was measured, in a sentence."""
        return (
            f"{len(self.strengths)}-fold cross-validation, {len(self.classes)} classes; "
            f"a classifier that always names the most frequent class is right in "
            f"{percent(self.chance)}; C = {self.C:g}; codes: layer {self.layer} of {self.network}."
        )

    def __repr__(self) -> str:
        return f"<Training: {self.finding}; {len(self.classes)} classes>"

    def plot(self) -> Figure:
        """Draw the confusion matrix of the held-out pictures."""
        with figures.default_settings():
            return _draw(self)


_MOST_NAMED = 60
"""Classes whose names are written at a confusion matrix."""

_MOST_COUNTED = 30
"""Classes for which the numbers are written in its cells."""


def _draw(training: Training) -> Figure:
    """Draw the confusion matrix, as large as its classes need."""
    names = [_short(name) for name in training.classes]
    count = len(names)
    side = min(10.0, max(3.6, 0.52 * count))
    size = min(12.0, max(5.0, 62 * side / count)) if count <= _MOST_NAMED else 12.0
    longest = max(map(width, names)) if count <= _MOST_NAMED else 0
    beside = 0.6 + longest * size * 0.0078
    wide = max(beside + side + 0.3, 5.2)
    title = wrap(training.finding, int((wide - 0.3) / 0.11))
    more = f" The names of {count} classes are too many to be written." * (count > _MOST_NAMED)
    details = wrap(training.details + more, int((wide - 0.3) / 0.075))
    head, foot = 0.3 + 0.23 * len(title), 0.25 + 0.18 * len(details)
    tall = head + side + beside + foot
    figure = figures.figure_class()(figsize=(wide, tall), dpi=100)
    text, style = figures.text_style("\n".join(title))
    figure.text(0.15 / wide, 1 - 0.12 / tall, text, size=12, weight="bold", va="top", **style)
    text, style = figures.text_style("\n".join(details))
    figure.text(0.15 / wide, 0.12 / tall, text, size=9.5, color="0.3", va="bottom", **style)
    ax = figure.add_axes((beside / wide, (foot + beside) / tall, side / wide, side / tall))
    _matrix(ax, training.confusion, names, size)
    return figure


def _short(name: str) -> str:
    """Return a name, or the beginning of a long one."""
    first, *rest = wrap(name, 18)
    return f"{first} …" if rest else first


def _matrix(ax: Axes, counts: NDArray[np.int64], names: Sequence[str], size: float) -> None:
    """Draw the counts in colours that are shares of a row."""
    shares = counts / counts.sum(1, keepdims=True)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    places = range(len(names)) if len(names) <= _MOST_NAMED else []
    shown = [figures.text_style(name) for name in (names if places else ())]
    for axis, rotation in ((ax.xaxis, 90), (ax.yaxis, 0)):
        axis.set_ticks(list(places), [text for text, _ in shown], fontsize=size, rotation=rotation)
        for label, (_, style) in zip(axis.get_ticklabels(), shown, strict=True):
            label.set(family=style["fontfamily"], parse_math=False)
        axis.set_tick_params(length=0)
    ax.set_xlabel("most probable class", fontsize=12)
    ax.set_ylabel("class of the picture", fontsize=12)
    if len(names) > _MOST_COUNTED:
        return
    for (row, column), value in np.ndenumerate(counts):
        if value:
            colour = "white" if shares[row, column] > 0.5 else "black"
            ax.text(column, row, str(value), ha="center", va="center", color=colour, size=size)
