"""Contributions by gradients along a path from a baseline to the picture.

x is the picture, x' the baseline, S the score. Contributions add up to S(x) - S(x'), up to the
error of a sum with finitely many steps, which is noted.

- Integrated gradients: (x - x') times the mean of dS/dx along the straight line from x' to x
  (Sundararajan, Taly and Yan, 2017).
- Blur integrated gradients: the path is x blurred less and less (Xu, Venugopalan and Sundararajan,
  2020).
- Expected gradients: the mean over random baselines x' and random points of the lines
  (Erion et al., 2021).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.forward_pass import ForwardPass
from gradcam._engine.layers import INPUT
from gradcam._methods import passes
from gradcam._methods.baselines import baseline_pictures, note_completeness
from gradcam._methods.blur import check_sigma, gaussian_blur
from gradcam._methods.estimates import Estimate, note_error, stacked
from gradcam._methods.replacements import Replacement, bounds, finite
from gradcam._registry import method
from gradcam._results import notes
from gradcam._results.objectives import Objectives
from gradcam._text import brief

_F32 = NDArray[np.float32]
_F64 = NDArray[np.float64]

Quadrature = Literal["gauss_legendre", "middle", "trapezoid", "left", "right"]
"""The points and weights of a sum that stands for the integral along a straight line."""

_POINTS = 64
"""Points of Gauss and Legendre's rule on one part of a line."""

BlurQuadrature = Literal["chords", "authors"]
"""The same along the path of blurred pictures."""


@method(title="Integrated gradients", source="Sundararajan et al. 2017", view="contribution")
def integrated_gradients(
    tape: ForwardPass,
    objective: Objectives,
    *,
    steps: int = 50,
    baseline: Replacement = "black",
    quadrature: Quadrature = "gauss_legendre",
    batch: int | None = None,
    progress: bool = False,
) -> _F32:
    """What each value of the input contributed to the score, compared with a baseline.

    Raw values: (x - x') times the mean gradient on the straight line from x' to x, (C, h, w).

    Parameters
    ----------
    steps : int
        Points on the line; for "trapezoid" 2 or more.
    baseline : float, "black", "grey", "mean", "blur", "noise", or (C,) or (C, h, w) array
        x': preprocessed values, black, mid-grey, the picture's mean colour, the picture blurred
        with a standard deviation of a tenth of its shorter side, or normal noise with the
        picture's mean and standard deviation in each channel. Black and grey are 0 if the network
        has no input preset. captum's default is 0.
    quadrature : "gauss_legendre", "middle", "trapezoid", "left" or "right"
        As in captum, but that the weights of "trapezoid" add up to 1, not to 1 - 1 / steps.
        "gauss_legendre" with more than 64 steps divides the line into equal parts with at most 64
        points each, so that memory and time are in proportion to the steps.
    batch : int, optional
        Points in a pass; by default 8 of 224 x 224 pixels, or as many pixels of another size.
    progress : bool
        Whether to show a progress bar on standard error.

    Raises
    ------
    ValueError
        If there are no steps, or the baseline does not have the shape of a picture.
    """
    passes.positive("steps", steps)
    places, weights = quadrature_points(quadrature, steps)
    starts = baseline_pictures(tape, baseline)
    size = passes.batch_size(tape, batch, gradients=True)
    found = []
    with passes.bar(len(tape) * steps, "Integrated gradients", progress) as done:
        for n, (x, start) in enumerate(zip(tape.input, starts, strict=True)):
            way = x.astype(np.float64) - start

            def along(chosen: slice, start: _F32 = start, way: _F64 = way) -> tuple[_F64, _F64]:
                share = _column(places[chosen])
                return start + share * way, _column(weights[chosen]) * way

            found.append(_along_path(tape, objective, n, steps, size, along, done))
    contributions = stacked(found, objective.count)
    note_completeness(tape, objective, contributions, starts)
    return contributions


@method(title="Blur integrated gradients", source="Xu et al. 2020", view="contribution")
def blur_integrated_gradients(
    tape: ForwardPass,
    objective: Objectives,
    *,
    steps: int = 50,
    max_sigma: float = 50.0,
    quadrature: BlurQuadrature = "chords",
    batch: int | None = None,
    progress: bool = False,
) -> _F32:
    """What each value of the input contributed to the score, compared with the blurred picture.

    Raw values: the integral of gradient times move along the path of blurred pictures, from the
    most blurred to the picture itself, (C, h, w). Gaussians end at 4 sigma, and the preprocessed
    picture goes on with zeros outside, as in the authors' code.

    Parameters
    ----------
    steps : int
        Gradients that are computed.
    max_sigma : float
        The standard deviation of the most blurred picture, in pixels of the input; at most 10
        times the input's longer side.
    quadrature : "chords" or "authors"
        "chords": the path is a polygon through the pictures blurred with max_sigma (i / steps)^2;
        the gradient in the middle of each side is multiplied by the difference of its ends.
        "authors": the sum of ``BlurIG`` in the authors' package ``saliency``, the gradients at
        sigma_i = i * max_sigma / steps, i < steps, times differences to sigma_i + 0.01. It needs
        many more steps: a small blur changes a picture most.
    batch, progress
        As of `integrated_gradients`.

    Raises
    ------
    ValueError
        If there are no steps, or `max_sigma` is not above 0 or too large.
    """
    passes.positive("steps", steps)
    check_sigma("max_sigma", max_sigma, tape.size)
    if max_sigma == 0:
        raise ValueError("max_sigma: expected a number of pixels above 0, got 0")
    passes.one_of("quadrature", quadrature, get_args(BlurQuadrature))
    sides = _chords if quadrature == "chords" else _steps_of_authors
    size = passes.batch_size(tape, batch, gradients=True)
    found = []
    with passes.bar(len(tape) * steps, "Blur integrated gradients", progress) as done:
        for n, x in enumerate(tape.input):

            def along(chosen: slice, x: _F32 = x) -> tuple[_F64, _F64]:
                return sides(x, np.arange(chosen.start, chosen.stop), steps, max_sigma)

            found.append(_along_path(tape, objective, n, steps, size, along, done))
    contributions = stacked(found, objective.count)
    most = _blurred(tape.input, max_sigma).astype(np.float32)
    note_completeness(tape, objective, contributions, most)
    return contributions


def _chords(x: _F32, numbers: NDArray[np.int_], steps: int, max_sigma: float) -> tuple[_F64, _F64]:
    """Return the middles of some sides of the polygon, and the moves along them."""
    ends = [*numbers, numbers[-1] + 1]
    corners = np.stack([_blurred(x, max_sigma * (end / steps) ** 2) for end in ends])
    return (corners[1:] + corners[:-1]) / 2, corners[:-1] - corners[1:]


def _steps_of_authors(
    x: _F32, numbers: NDArray[np.int_], steps: int, max_sigma: float
) -> tuple[_F64, _F64]:
    """Return the points and the moves of the authors' code."""
    width, small = max_sigma / steps, 0.01
    here = np.stack([_blurred(x, number * width) for number in numbers])
    there = np.stack([_blurred(x, number * width + small) for number in numbers])
    return here, (here - there) * (width / small)


@method(title="Expected gradients", source="Erion et al. 2021", view="contribution")
def expected_gradients(
    tape: ForwardPass,
    objective: Objectives,
    *,
    samples: int = 100,
    baselines: Literal["noise"] | NDArray[np.floating] = "noise",
    seed: int = 0,
    batch: int | None = None,
    progress: bool = False,
) -> _F32:
    """What each value of the input contributed to the score, compared with random baselines.

    Raw values: the mean of (x - x') times the gradient at x' + a (x - x'), (C, h, w); for each
    sample, x' is one of the baselines, and a is uniform between 0 and 1. captum's GradientShap
    computes the same if its noise is 0.

    Parameters
    ----------
    samples : int
    baselines : "noise" or (M, C, h, w) array
        Preprocessed pictures, for example of the training set; each sample takes one at random.
        "noise": each value of each sample is uniform between black and white, or between the
        picture's smallest and largest value if the network has no input preset.
    seed : int
        Of the random numbers, which are the same for every picture and whatever `batch` is.
    batch, progress
        As of `integrated_gradients`.

    Raises
    ------
    ValueError
        If `samples` is below 1, or the baselines do not have the shape of pictures.
    """
    passes.positive("samples", samples)
    passes.check_seed(seed)
    given = _checked_baselines(tape, baselines)
    size = passes.batch_size(tape, batch, gradients=True)
    estimates = []
    with passes.bar(len(tape) * samples, "Expected gradients", progress) as done:
        for n, x in enumerate(tape.input):
            estimate = Estimate()
            drawn = _Draws(tape, x, given, samples, seed)
            for chosen in passes.even_batches(samples, size):
                starts, shares = drawn.next(chosen)
                points = (starts + shares * (x - starts)).astype(np.float32)
                gradients = _gradients(tape, objective, n, points)
                estimate.add((gradients * (x - starts)).astype(np.float32))
                done(len(points))
            estimates.append(estimate)
    note_error(samples, [each.relative_error() for each in estimates], seed)
    return stacked([each.value() for each in estimates], objective.count)


class _Draws:
    """The random baselines and places of expected gradients."""

    def __init__(
        self,
        tape: ForwardPass,
        x: _F32,
        baselines: _F32 | None,
        samples: int,
        seed: int,
    ) -> None:
        self._random = np.random.default_rng(seed)
        self._shares = _column(self._random.uniform(size=samples))
        self._shape = x.shape
        self._given = baselines
        if baselines is None:
            self._limits = _noise_range(tape, x)
        else:
            self._chosen = self._random.integers(len(baselines), size=samples)

    def next(self, chosen: slice) -> tuple[_F64, _F64]:
        """Return baselines (B, C, h, w) and places (B, 1, 1, 1), of samples in their order."""
        if self._given is not None:
            return self._given[self._chosen[chosen]].astype(np.float64), self._shares[chosen]
        low, high = self._limits
        count = chosen.stop - chosen.start
        shares = self._random.random((count, *self._shape), np.float32)
        return low + shares * (high - low), self._shares[chosen]


def quadrature_points(name: Quadrature, steps: int) -> tuple[_F64, _F64]:
    """Return points between 0 and 1 and their weights, which add up to 1.

    Raises
    ------
    ValueError
        If the name is unknown, or "trapezoid" has less than 2 points.
    """
    passes.one_of("quadrature", name, get_args(Quadrature))
    if name == "gauss_legendre":
        return _gauss_legendre(steps)
    whole = np.arange(steps, dtype=np.float64)
    same = np.full(steps, 1 / steps)
    if name == "middle":
        return (whole + 0.5) / steps, same
    if name == "left":
        return whole / steps, same
    if name == "right":
        return (whole + 1) / steps, same
    if steps < 2:
        raise ValueError(f"steps: the trapezoid rule needs 2 or more, got {steps}")
    weights = np.full(steps, 1 / (steps - 1))
    weights[[0, -1]] /= 2
    return whole / (steps - 1), weights


def _gauss_legendre(steps: int) -> tuple[_F64, _F64]:
    """Return the points of Gauss and Legendre's rule, on equal parts of the line if they are many.

    One rule for all points would need a matrix of steps x steps.
    """
    parts = -(-steps // _POINTS)
    fewer, larger = divmod(steps, parts)
    rules = {
        count: np.polynomial.legendre.leggauss(count) for count in {fewer, fewer + (larger > 0)}
    }
    places, weights = np.empty(steps), np.empty(steps)
    first = 0
    for part in range(parts):
        count = fewer + (part < larger)
        points, shares = rules[count]
        places[first : first + count] = (part + (points + 1) / 2) / parts
        weights[first : first + count] = shares / (2 * parts)
        first += count
    return places, weights


def _along_path(
    tape: ForwardPass,
    objective: Objectives,
    n: int,
    steps: int,
    size: int,
    along: Callable[[slice], tuple[_F64, _F64]],
    done: Callable[[int], None],
) -> _F64:
    """Return the sum of gradient times move over all points of picture `n`'s path, (S, C, h, w).

    Parameters
    ----------
    steps : int
        Points.
    size : int
        Points in a pass.
    along : callable
        Returns, for a slice of the points, the points and the moves, each (B, C, h, w).
    """
    total: _F64 = np.zeros((len(objective.each[n]), *tape.input.shape[1:]))
    for chosen in passes.even_batches(steps, size):
        points, moves = along(chosen)
        gradients = _gradients(tape, objective, n, points.astype(np.float32))
        for b, move in enumerate(moves):
            total += gradients[:, b] * move
        done(len(points))
    return total


def _gradients(tape: ForwardPass, objective: Objectives, n: int, points: _F32) -> _F32:
    """Return the gradients of picture `n`'s objectives at variants of it, (S, B, C, h, w)."""
    return objective.variants(n, len(points)).gradient(tape.run(points), INPUT)


def _column(values: NDArray[np.floating]) -> _F64:
    """Return (B,) values so that they multiply (B, C, h, w) pictures."""
    return np.asarray(values, np.float64)[:, None, None, None]


def _blurred(x: _F32, sigma: float) -> _F64:
    return gaussian_blur(x, sigma, zero_outside=True)


def _checked_baselines(tape: ForwardPass, given: object) -> _F32 | None:
    """Return the pictures that were given; None for "noise".

    Raises
    ------
    ValueError
        If they are not finite pictures of the input's shape.
    """
    if isinstance(given, str) and given == "noise":
        return None
    shape = tape.input.shape[1:]
    axes = ", ".join(map(str, shape))
    expected = f"baselines: expected 'noise' or an array of preprocessed pictures, (M, {axes}), got"
    values = np.asarray(given)
    if values.dtype.kind not in "fiu":
        raise ValueError(f"{expected} {brief(given)}")
    if values.shape[1:] != shape or len(values) == 0:
        raise ValueError(f"{expected} the shape {values.shape}")
    return finite("baselines", values)


def _noise_range(tape: ForwardPass, x: _F32) -> tuple[_F64, _F64]:
    """Return the smallest and the largest value of random baselines."""
    known = bounds(tape)
    values = "black and white" if known else "the picture's smallest and largest value"
    notes.add(f"The baselines are noise, uniform between {values}.")
    low, high = (np.full((1, 1, 1), each, np.float64) for each in (x.min(), x.max()))
    return known or (low, high)
