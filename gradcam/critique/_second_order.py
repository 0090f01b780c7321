"""Is the first derivative enough?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcam._engine.curvature import is_linear_in_pieces
from gradcam._engine.tape import Tape
from gradcam._methods.passes import integer, real
from gradcam._pictures import figures
from gradcam._results.objectives import Class, Objective, Probability
from gradcam.critique import _slide
from gradcam.critique._confidence import log_odds, norm
from gradcam.critique._target import class_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gradcam.critique._target import ClassLike

_F64 = NDArray[np.float64]
_BATCH = 16
"""Pictures in a pass."""

_FARTHEST = 0.1
"""The default of `reach` at most."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A number along the line x + t v, and its Taylor series at t = 0.

    Attributes
    ----------
    steps : (T,) array of float64
        t, the distance from the picture, as a share of the input's length.
    true : (T,) array of float64
        The number itself, by forward passes.
    kept : (T,) array of float64, or None
        What the number would be with the decisions at t = 0: which ReLUs are active, where the
        maxima are. None if the network is not linear between its decisions.
    value, slope, curvature : float
        At t = 0: the number, its first and its second derivative by t, under the decisions of the
        forward pass.
    """

    steps: _F64
    true: _F64
    kept: _F64 | None
    value: float
    slope: float
    curvature: float

    @property
    def first(self) -> _F64:
        """(T,) the first-order approximation."""
        return self.value + self.slope * self.steps

    @property
    def second(self) -> _F64:
        """(T,) the second-order approximation."""
        return self.first + self.curvature / 2 * self.steps**2

    @property
    def terms(self) -> tuple[float, float]:
        """The first-order and the second-order term at the end of the line."""
        reach = float(self.steps[-1])
        return self.slope * reach, self.curvature / 2 * reach**2

    @property
    def errors(self) -> tuple[float, float]:
        """The mean absolute error of the first-order and of the second-order approximation."""
        one, two = (float(np.abs(each - self.true).mean()) for each in (self.first, self.second))
        return one, two


@dataclass(frozen=True, eq=False)
class SecondOrder:
    """How far first and second derivatives predict a class's score and probability.

    Attributes
    ----------
    label : str
        The class.
    score, probability : Curve
    """

    label: str
    score: Curve
    probability: Curve

    @property
    def finding(self) -> str:
        """What was found, in a sentence."""
        score, probability = self.score.terms, self.probability.terms
        return (
            f"{self.label}, {100 * self.score.steps[-1]:.2g} % of the input's length away: "
            f"second-order term of the score {_slide.signed(score[1])} (first-order "
            f"{_slide.signed(score[0])}), of the probability {_slide.signed(probability[1])} "
            f"(first-order {_slide.signed(probability[0])})"
        )

    def plot(self) -> Figure:
        """Draw both numbers along the line with their approximations, for a slide."""
        with figures.default_settings():
            figure = _slide.new(self.finding)
            for curve, words, left, colour in (
                (self.score, "score", 1.25, _slide.BLUE),
                (self.probability, "probability", 7.75, _slide.RED),
            ):
                ax = _slide.axes(figure, left, 1.05, 5.2, 4.5)
                _draw(ax, curve, colour)
                _slide.label(ax, "distance, % of the input's length", words)
                one, two = curve.errors
                errors = f"mean error: first order {one:.2g}, second order {two:.2g}"
                _slide.heading(ax, errors, colour, _slide.SMALL)
                _slide.legend(ax, "lower right")
            return figure


def _draw(ax: Axes, curve: Curve, colour: str) -> None:
    x = 100 * curve.steps
    ax.plot(x, curve.true, "-", color=colour, linewidth=4, label="true")
    if curve.kept is not None:
        ax.plot(x, curve.kept, "-", color="#3a9b5c", linewidth=3, label="with the decisions kept")
    ax.plot(x, curve.first, "--", color="black", linewidth=2, label="first order")
    ax.plot(x, curve.second, ":", color=_slide.GREY, linewidth=3.5, label="second order")
    low, high = curve.true.min(), curve.true.max()
    room = 0.6 * (high - low) or 1.0
    ax.set_ylim(low - room, high + room)
    ax.axvline(0, color="0.7", linewidth=1, zorder=0)


def second_order(
    tape: Tape,
    target: ClassLike = None,
    direction: ArrayLike | None = None,
    *,
    reach: float | None = None,
    points: int = 41,
) -> SecondOrder:
    """Compare a class's score and probability along a line with their Taylor series.

    Second derivatives are exact Hessian-vector products under the decisions of the forward pass.
    That of the score of a ReLU network is zero: what is left between the decisions is linear.

    Parameters
    ----------
    tape : Tape
        Of one picture.
    target : int, str, Target or None
        A class; None is the most probable one.
    direction : (C, H, W) array, optional
        At the network's input; its length has no effect. By default the gradient of the score.
    reach : float, optional
        How far the line goes on either side of the picture, as a share of the input's length. By
        default as far as the log-odds change by 1 to first order.
    points : int
        Along the line, 3 or more.

    Raises
    ------
    ValueError
        If the direction is zero or has the wrong shape, `reach` or `points` is too small, or the
        network has no probabilities.
    """
    index = class_of(tape, target)
    objectives: tuple[Objective, ...] = (Class(index), Probability(index))
    if reach is not None and not 0 < real("reach", reach) < np.inf:
        raise ValueError(f"reach: expected a number above 0, got {reach}")
    points = integer("points", points)
    if points < 3:
        raise ValueError(f"points: expected 3 or more, got {points}")
    gradients = tape.gradient(list(objectives))
    unit = _unit(tape, gradients[0, 0] if direction is None else direction) * norm(tape.input)
    bends = tape.hessian_product(list(objectives), unit[None])
    if reach is None:
        rise = abs(float((tape.gradient(log_odds(tape, index))[0] * unit).sum()))
        reach = min(1 / rise, _FARTHEST) if rise else _FARTHEST
    steps = np.linspace(-reach, reach, points)
    true = _along(tape, unit, steps, objectives)
    kept = _with_decisions(tape, unit, steps, objectives)
    curves = [
        Curve(
            steps=steps,
            true=true[number],
            kept=None if kept is None else kept[number],
            value=float(objective.value(tape, 0)),
            slope=float((gradients[number, 0].astype(np.float64) * unit).sum()),
            curvature=float((bends[number, 0].astype(np.float64) * unit).sum()),
        )
        for number, objective in enumerate(objectives)
    ]
    return SecondOrder(str(tape.labels[index]), *curves)


def _unit(tape: Tape, direction: ArrayLike) -> _F64:
    """Return a direction at the input, of length 1."""
    given = np.asarray(direction, np.float64)
    if given.shape != tape.input.shape[1:]:
        raise ValueError(
            f"direction: expected the shape of the input, {tape.input.shape[1:]}, got {given.shape}"
        )
    length = norm(given)
    if not 0 < length < np.inf:
        raise ValueError("direction: all values are zero, or some are not finite")
    return given / length


def _along(tape: Tape, direction: _F64, steps: _F64, objectives: tuple[Objective, ...]) -> _F64:
    """Return the values of objectives along a line, (S, T)."""
    found = []
    for first in range(0, len(steps), _BATCH):
        some = steps[first : first + _BATCH]
        moved = tape.input[0] + some[:, None, None, None] * direction
        forward = tape.run(moved, record=False)
        found.append([objective.values(forward) for objective in objectives])
    return np.concatenate(found, axis=1).astype(np.float64)


def _with_decisions(
    tape: Tape, direction: _F64, steps: _F64, objectives: tuple[Objective, ...]
) -> _F64 | None:
    """Return the same with the decisions of the tape, if it is linear between them."""
    start, end = tape.start, tape.graph.names(tape.score_layer)[0]
    if not is_linear_in_pieces(tape.graph.layers, end, start):
        return None
    slopes = tape.jvp(direction[None, None], end)[0, 0]
    forward = tape.run_from(end, tape.scores[0] + steps[:, None] * slopes, record=False)
    return np.array([objective.values(forward) for objective in objectives], np.float64)
