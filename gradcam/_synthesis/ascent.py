"""The loop that changes pictures step by step, so that numbers of a network rise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gradcam._synthesis import bases, regularisers
from gradcam._synthesis.canvas import Canvas
from gradcam._synthesis.recipe import OptimiserName, Recipe
from gradcam._synthesis.regularisers import View

_F32 = NDArray[np.float32]
_F64 = NDArray[np.float64]

Terms = dict[str, _F32]
"""Numbers by name, each (N,)."""


class Aim(Protocol):
    """What is raised: a number for each picture."""

    def __call__(self, input: _F32) -> tuple[Terms, _F32]:
        """Return numbers to record, and the gradient by the input, (N, C, h, w)."""


@dataclass(frozen=True)
class Limits:
    """The smallest and the largest values, of shapes that fit (N, C, h, w); None: no limit."""

    low: _F32 | None = None
    high: _F32 | None = None

    def __call__(self, values: _F32) -> _F32:
        """Return the values within the limits."""
        if self.low is None and self.high is None:
            return values
        return np.clip(values, self.low, self.high)


class _Direction:
    """The direction of the next step: a function of the gradient and, for Adam, of earlier ones."""

    _FIRST, _SECOND = 0.9, 0.999

    def __init__(self, optimiser: OptimiserName) -> None:
        self.optimiser = optimiser
        self.count = 0
        self.mean: _F64 | None = None
        self.square: _F64 | None = None

    def __call__(self, gradient: _F32) -> _F32:
        """Return the direction; 0 for pictures whose gradients are 0."""
        if self.optimiser == "sign":
            return np.sign(gradient, dtype=np.float32)
        wide = gradient.astype(np.float64)  # squares of small values are not 0
        if self.optimiser == "gradient":
            size = np.sqrt(np.mean(wide**2, axis=(1, 2, 3), keepdims=True))
            unit: _F32 = (wide / np.maximum(size, np.finfo(np.float64).tiny)).astype(np.float32)
            return unit
        return self._adam(wide)

    def _adam(self, gradient: _F64) -> _F32:
        """Return Adam's direction (Kingma and Ba, 2015), without its epsilon."""
        if self.mean is None or self.square is None:
            self.mean, self.square = np.zeros_like(gradient), np.zeros_like(gradient)
        self.count += 1
        self.mean += (1 - self._FIRST) * (gradient - self.mean)
        self.square += (1 - self._SECOND) * (gradient**2 - self.square)
        size = np.sqrt(self.square / (1 - self._SECOND**self.count))
        size *= 1 - self._FIRST**self.count
        found = np.divide(self.mean, size, out=np.zeros_like(gradient), where=size > 0)
        return found.astype(np.float32)


def ascend(
    aim: Aim,
    canvas: Canvas,
    start: _F32,
    recipe: Recipe,
    limits: Limits,
    done: Callable[[int], None] = lambda count: None,
) -> tuple[_F32, Mapping[str, _F32]]:
    """Change pictures so that what is aimed at rises.

    All pictures of a batch are shifted and enlarged in the same way, so that a picture does not
    depend on the others.

    Parameters
    ----------
    aim : Aim
    canvas : Canvas
    start : (N, C, h, w) array
        The values at the start.
    recipe : Recipe
    limits : Limits
    done : callable
        Called with 1 after each step.

    Returns
    -------
    values : (N, C, h, w) array
    history : mapping of str to (steps, N) array
        What the aim recorded of the picture as it was seen at the start of each step, and each
        penalty, which was subtracted.
    """
    size = (start.shape[2], start.shape[3])
    basis = bases.make(recipe.basis, size, colours=canvas.preset is not None)
    direction, rng = _Direction(recipe.optimiser), np.random.default_rng(recipe.seed)
    values, history = start, list[Terms]()
    for number in range(1, recipe.steps + 1):
        view = View.random(rng, recipe.jitter, recipe.zoom)
        terms, by_input = aim(canvas.to_input(view(values)))
        gradient = view.gradient(canvas.gradient(by_input))
        gradient = gradient + _penalties(values, canvas, recipe, terms)
        step = direction(basis.gradient(gradient.astype(np.float32)))
        values = values + np.float32(recipe.step) * basis.to_values(step)
        if recipe.blur and number % recipe.blur_every == 0 and number < recipe.steps:
            values = regularisers.blur(values, recipe.blur)
        values = limits(values)
        history.append(terms)
        done(1)
    return values, {name: np.stack([each[name] for each in history]) for name in history[0]}


def _penalties(values: _F32, canvas: Canvas, recipe: Recipe, terms: Terms) -> _F32:
    """Return minus the gradient of the penalties; add their values to `terms`."""
    gradient = np.zeros((), np.float32)
    if recipe.l2:
        size, by_values = regularisers.l2(values, canvas.mean)
        terms["l2"] = np.float32(recipe.l2) * size
        gradient = gradient - np.float32(recipe.l2) * by_values
    if recipe.total_variation:
        size, by_values = regularisers.total_variation(values)
        terms["total_variation"] = np.float32(recipe.total_variation) * size
        gradient = gradient - np.float32(recipe.total_variation) * by_values
    return gradient
