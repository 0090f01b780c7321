"""Are gradients small where the network is confident?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.forward_pass import ForwardPass
from gradcam._engine.network import Network
from gradcam._engine.tape import Tape
from gradcam._methods.passes import positive, real
from gradcam._pictures import figures
from gradcam._results.objectives import Class, Objectives
from gradcam._text import counted
from gradcam.critique import _slide
from gradcam.critique._confidence import factor, log_odds, norm, probability
from gradcam.critique._target import class_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gradcam._engine.network import PictureLike
    from gradcam._engine.stream import OnError
    from gradcam.critique._target import ClassLike

_F64 = NDArray[np.float64]

_TICKS = (1e-8, 1e-6, 1e-4, 0.01, 0.1, 0.5, 0.9, 0.99)
_NINES = (4, 6, 8, 10, 12, 15)
"""The probabilities at the axis: these, and 1 minus these powers of a tenth."""


@dataclass(frozen=True, eq=False)
class Norms:
    """How long gradients are, and how confident the network is.

    Attributes
    ----------
    classes : tuple of str
        The class explained, for each of M pictures or steps.
    log_odds : (M,) array of float64
        The network's confidence: log(p / (1 - p)).
    score_norm : (M,) array of float64
        The length of the score's gradient by the input.
    log_odds_norm : (M,) array of float64
        The length of the gradient of the log-odds.
    is_path : bool
        Whether they are steps of one path, in order, or different pictures.
    """

    classes: tuple[str, ...]
    log_odds: _F64
    score_norm: _F64
    log_odds_norm: _F64
    is_path: bool = False

    @property
    def probability(self) -> _F64:
        """(M,) p, 0 to 1."""
        return probability(self.log_odds)

    @property
    def probability_norm(self) -> _F64:
        """(M,) the length of the probability's gradient: p (1 - p) times that of the log-odds."""
        return factor(self.log_odds) * self.log_odds_norm

    @property
    def finding(self) -> str:
        """What was found, in a sentence."""
        spreads = []
        for values in (self.score_norm, self.probability_norm):
            used = values[values > 0]
            spreads.append(_slide.times(used.max() / used.min()) if used.size else "1")
        low, high = (confidence(each) for each in (self.log_odds.min(), self.log_odds.max()))
        what = self.classes[0] if self.is_path else counted(len(self.classes), "picture")
        return (
            f"{what}, p from {low} to {high}: the score's gradient varies by a factor of "
            f"{spreads[0]}, the probability's by a factor of {spreads[1]}"
        )

    def plot(self) -> Figure:
        """Draw the lengths of both gradients against the confidence, for a slide."""
        with figures.default_settings():
            figure = _slide.new(self.finding)
            ax = _slide.axes(figure, 1.35, 1.05, 11.5, 4.9)
            line = "-" if self.is_path else ""
            for values, words, colour, marker in (
                (self.score_norm, "score", _slide.BLUE, "o"),
                (self.probability_norm, "probability", _slide.RED, "s"),
            ):
                ax.plot(
                    *(self.log_odds, np.where(values > 0, values, np.nan), line + marker),
                    color=colour,
                    markersize=8,
                    label=f"gradient of the {words}",
                )
            self._draw_bound(ax)
            ax.set_yscale("log")
            _confidence_axis(ax, self.log_odds)
            unit = "length of the gradient,\nper unit of the input"
            _slide.label(ax, "confidence: probability of the class", unit)
            _slide.legend(ax)
            return figure

    def _draw_bound(self, ax: Axes) -> None:
        """Draw p (1 - p) times the median length of the gradient of the log-odds."""
        odds = np.linspace(self.log_odds.min(), self.log_odds.max(), 200)
        typical = float(np.median(self.log_odds_norm))
        if typical > 0:
            ax.plot(
                *(odds, factor(odds) * typical, "--"),
                color=_slide.GREY,
                label=f"p(1 − p) times {_slide.number(typical)}",
            )


def confidence(odds: float) -> str:
    """Return a probability in percent, with as many digits as tell it from 1."""
    p = float(probability(np.float64(odds)))
    if p <= 0.99:
        return f"{100 * p:.2g} %"
    rest = float(np.exp(-odds))  # 1 - p
    return f"{100 * p:.1f} %" if rest > 1e-3 else f"1 − {rest:.0e}".replace("e-0", "e-")


def _confidence_axis(ax: Axes, odds: _F64) -> None:
    """Make the horizontal axis one of probabilities, at the distances of their log-odds."""
    places = [float(np.log(p / (1 - p))) for p in _TICKS] + [n * np.log(10) for n in _NINES]
    words = [f"{100 * p:g} %" if p >= 1e-4 else f"{p:.0e}".replace("e-0", "e-") for p in _TICKS]
    words += [f"1 − 1e-{n}" for n in _NINES]
    low, high = float(odds.min()), float(odds.max())
    room = max(0.05 * (high - low), 0.5)
    ax.set_xlim(low - room, high + room)
    shown = [n for n, place in enumerate(places) if low - room <= place <= high + room]
    ax.set_xticks([places[n] for n in shown], [words[n] for n in shown])


def norm_against_confidence(
    network: Network,
    pictures: Iterable[PictureLike] | NDArray[np.floating],
    target: ClassLike = None,
    *,
    batch: int = 8,
    on_error: OnError[PictureLike] = "raise",
    progress: bool = False,
) -> Norms:
    """Measure the gradients of the score and of the probability for many pictures.

    Parameters
    ----------
    network : Network
    pictures : iterable of pictures, or (N, C, H, W) array of floats
        As of :meth:`gradcam.Network.stream`: paths, arrays, Pillow images. An array of floats is
        preprocessed input.
    target : int, str, Target or None
        A class; None is the most probable one of each picture.
    batch : int
        Pictures in a pass.
    on_error : "raise", "skip" or callable
        What happens with pictures that cannot be read, as of :meth:`gradcam.Network.stream`.
    progress : bool
        Show a progress bar on standard error.

    Raises
    ------
    ValueError
        If there is no picture, the network has no probabilities, or the class is unknown.
    """
    batch = positive("batch", batch)
    index = None if target is None else network.labels.find(target).index
    classes: list[str] = []
    parts: list[_F64] = []
    tapes: Iterable[ForwardPass]
    if isinstance(pictures, np.ndarray) and pictures.dtype.kind == "f":
        tapes = _preprocessed(network, pictures, batch)
    else:
        stream = network.stream(pictures, batch, on_error=on_error, progress=progress)
        tapes = (tape for _, tape in stream)
    for tape in tapes:
        found = tape.scores.argmax(1).tolist() if index is None else [index] * len(tape)
        parts.append(_measured(tape, found)[0])
        classes += [str(tape.labels[one]) for one in found]
    if not parts:
        raise ValueError("pictures: there is none; give at least one")
    odds, scores, of_odds = np.concatenate(parts, axis=1)
    return Norms(tuple(classes), odds, scores, of_odds)


def _preprocessed(
    network: Network, values: NDArray[np.floating], batch: int
) -> Iterator[ForwardPass]:
    """Pass preprocessed pictures through a network, a batch at a time."""
    if values.ndim != 4:
        raise ValueError(f"pictures: preprocessed input is (N, C, H, W), got {values.shape}")
    for first in range(0, len(values), batch):
        yield network.forward(values[first : first + batch], input="normalised")


_LONGEST_STEP = 0.01
"""As a share of the input's length."""


def norm_along_ascent(
    tape: Tape, target: ClassLike = None, *, steps: int = 40, gain: float = 0.4
) -> Norms:
    """Raise a class's probability by gradient ascent, and measure the gradients on the way.

    Every step changes the input along the gradient of the log-odds, as far as that gradient says
    that they rise by `gain`, but by no more than 1 % of the input's length. A step that does not
    raise them is left out, and later ones are half as long.

    Parameters
    ----------
    tape : Tape
        Of one picture, where the path begins.
    target : int, str, Target or None
        A class; None is the most probable one.
    steps : int
        Tries, 1 or more.
    gain : float
        Of the log-odds in each step, to first order; above 0.

    Raises
    ------
    ValueError
        If `steps` or `gain` is too small, the network has no probabilities, or the class is
        unknown.
    """
    index = class_of(tape, target)
    steps = positive("steps", steps)
    if not 0 < real("gain", gain) < np.inf:
        raise ValueError(f"gain: expected a number above 0, got {gain}")
    x = tape.input.astype(np.float64)
    longest = _LONGEST_STEP * norm(x)
    measured, gradient = _measured(tape, [index])
    parts = [measured]
    for _ in range(steps):
        size = norm(gradient)
        if size == 0:
            break
        moved = x + min(gain / size, longest) / size * gradient
        measured, next_gradient = _measured(tape.run(moved), [index])
        if measured[0] > parts[-1][0]:
            x, gradient = moved, next_gradient
            parts.append(measured)
        else:
            gain, longest = gain / 2, longest / 2
    odds, scores, of_odds = np.concatenate(parts, axis=1)
    label = str(tape.labels[index])
    return Norms((label,) * len(parts), odds, scores, of_odds, is_path=True)


def _measured(forward: ForwardPass, classes: list[int]) -> tuple[_F64, NDArray[np.float32]]:
    """Return log-odds and the lengths of both gradients, (3, N), and the gradients of log-odds."""
    odds = [log_odds(forward, index) for index in classes]
    each = tuple((Class(index), one) for index, one in zip(classes, odds, strict=True))
    gradients = Objectives(each, (True,) * len(each)).gradient(forward, "input")
    found = [
        (one.value(forward, n), norm(gradients[0, n]), norm(gradients[1, n]))
        for n, one in enumerate(odds)
    ]
    return np.array(found).T, gradients[1]
