"""DeepLIFT's rescale rule (Shrikumar, Greenside and Kundaje, 2017), over two passes.

x is a layer's input and y its output in the pass of the picture, x' and y' in the pass of the
baseline. A multiplier m says how much of the score's difference each value carries for each unit of
its own difference to the baseline; from a layer's output to its input:

- layers that are linear in their input: m is multiplied by the transposed weights, as a gradient.
- functions of single values (ReLU, sigmoid, ...): ``m (y - y') / (x - x')``.
- max pooling, as captum states it: ``m (max(y, y') - y')`` goes to the position of the picture's
  maximum, ``m (y - max(y, y'))`` to that of the baseline's; what arrives is divided by ``x - x'``.
- functions of several values (products, softmax, normalisations): m times the derivative, averaged
  along the straight line from x' to x. For functions of single values that is the rescale rule.

Every step keeps ``sum(m (x - x')) = sum(m (y - y'))``, so that the contributions ``m (x - x')`` at
the network's input add up to the score minus the baseline's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.forward_pass import ForwardPass
from gradcam._engine.layers import INPUT, SMOOTH, Layer
from gradcam._engine.one_layer import OneLayer
from gradcam._engine.rule_pass import between
from gradcam._methods.baselines import baseline_pictures, note_completeness
from gradcam._methods.estimates import stacked
from gradcam._methods.replacements import Replacement
from gradcam._registry import method
from gradcam._results import notes
from gradcam._results.objectives import Objectives
from gradcam._results.rules import RECTIFIERS

_F32 = NDArray[np.float32]

_SINGLE = (*RECTIFIERS, *SMOOTH, "sigmoid")
"""Functions of single values."""

_MAXIMA = ("max_pool", "global_max_pool")

_POINTS = {"multiply": 1, "local_response_norm": 16, "layer_norm": 16, "softmax": 64}
_POINTS["log_softmax"] = _POINTS["softmax"]
"""Functions of several values, with the points of the Gauss-Legendre sum along the line.

One point is exact for a product.
"""

_EXACT = ("relu", "relu6", "clip")
"""Functions whose values are x or constants, so that ``y - y'`` has no rounding of its own."""

_KINKS = {
    **dict.fromkeys(("leaky_relu", "prelu", "elu"), (0.0,)),
    **dict.fromkeys(("hard_sigmoid", "hard_swish"), (-3.0, 3.0)),
}
"""Where the other functions of single values have no derivative; between these, and within a
distance of 1, four points give its mean to the digits of float32."""


@method(title="DeepLIFT", source="Shrikumar et al. 2017", view="contribution")
def deep_lift(tape: ForwardPass, objective: Objectives, *, baseline: Replacement = "black") -> _F32:
    """What each value of the input contributed to the score, by DeepLIFT's rescale rule.

    Raw values: multiplier times (x - x'), (C, h, w). They add up to the score minus the
    baseline's; the error is noted. Where x = x', the derivative stands for the quotient.

    Of equal values in a window of max pooling the first one counts. A baseline of one colour makes
    many of them, which rounding can make different: networks that are loaded with ``conv="direct"``
    round less.

    captum computes the same, with these differences: its rule of max pooling has no effect where a
    ReLU lies directly before the pooling, since the ReLU's hook reads the gradient first; it keeps
    one value where windows overlap, which are added up here; where x = x' at a pooling it reads the
    gradient of the batch's first picture; it has another rule for softmax, and none for products
    and normalisations.

    Parameters
    ----------
    baseline : float, "black", "grey", "mean", "blur", "noise", or (C,) or (C, h, w) array
        As of `integrated_gradients`.

    Raises
    ------
    ValueError
        If the baseline does not have the shape of a picture.
    """
    starts = baseline_pictures(tape, baseline)
    found = []
    for n, (x, start) in enumerate(zip(tape.input, starts, strict=True)):
        multipliers = _Passes(tape, x, start).multipliers(_seeds(tape, objective, n))
        found.append((multipliers * (x - start))[:, 0])
    contributions = stacked(found, objective.count)
    note_completeness(tape, objective, contributions, starts)
    return contributions


def _seeds(tape: ForwardPass, objective: Objectives, n: int) -> dict[str, _F32]:
    """Return the gradients of picture `n`'s objectives by the layers they read, (S, 1, ...)."""
    found: dict[str, _F32] = {}
    for s, each in enumerate(objective.each[n]):
        for layer, values in each.seeds(tape, n).items():
            name = tape.graph.names(layer)[0]
            shape = (len(objective.each[n]), 1, *values.shape)
            found.setdefault(name, np.zeros(shape, np.float32))[s, 0] += values
    return found


class _Passes:
    """The passes of one picture and of its baseline, and the way of multipliers through them."""

    def __init__(self, tape: ForwardPass, x: _F32, start: _F32) -> None:
        self.layers: Mapping[str, Layer] = tape.graph.layers
        self._tape = tape
        self._inputs = (x[None], start[None])
        self._both: tuple[ForwardPass, ForwardPass] = (tape, tape)

    def multipliers(self, seeds: Mapping[str, _F32]) -> _F32:
        """Return the multipliers of the network's input, (S, 1, C, h, w).

        Parameters
        ----------
        seeds : mapping of str to (S, 1, ...) array
            The multipliers of the layers that the objectives read.
        """
        active = set().union(*(between(self.layers, start, [INPUT]) for start in seeds))
        self._run(active)
        arrived = dict(seeds)
        for name in reversed([name for name in self.layers if name in active]):
            if name not in arrived or name == INPUT:
                continue
            layer, multipliers = self.layers[name], arrived.pop(name)
            for source, part in zip(layer.inputs, self._step(layer, multipliers), strict=True):
                if source in active:
                    arrived[source] = arrived[source] + part if source in arrived else part
        if INPUT in arrived:
            return arrived[INPUT]
        count = len(next(iter(seeds.values())))
        return np.zeros((count, *self._inputs[0].shape), np.float32)

    def _run(self, active: set[str]) -> None:
        """Run both passes, and keep the outputs that the rules read."""
        read: set[str] = set()
        for name in active - {INPUT}:
            layer = self.layers[name]
            if layer.op in (*_SINGLE, *_MAXIMA, *_POINTS):
                read.update((name, *layer.inputs))
        x, start = self._inputs
        keep = [name for name in self.layers if name in read]
        self._both = self._tape.run(x, keep), self._tape.run(start, keep)

    def _step(self, layer: Layer, multipliers: _F32) -> Sequence[_F32]:
        """Return the multipliers of each input of a layer, from those of its output."""
        if layer.op in _SINGLE:
            return [multipliers * self._slope(layer)]
        if layer.op in _MAXIMA:
            return [self._of_maxima(layer, multipliers)]
        if layer.op in _POINTS:
            return self._averaged(layer, multipliers)
        if layer.op == "add":
            return [multipliers] * len(layer.inputs)
        if layer.op == "concatenate":
            sizes = [self._tape.shape(name)[0] for name in layer.inputs]
            return np.split(multipliers, np.cumsum(sizes)[:-1], axis=2)
        return [self._vjp(layer, multipliers)]

    def _vjp(self, layer: Layer, multipliers: _F32, which: int = 0) -> _F32:
        """Return the vector-Jacobian product at a layer with one input, in one of the passes."""
        (found,) = self._both[which].backward(layer.name, multipliers, layer.inputs)
        return found

    def _read(self, name: str) -> tuple[_F32, _F32]:
        """Return a layer's output in both passes, each (1, ...)."""
        first, second = (each.activation(name) for each in self._both)
        return first, second

    def _slope(self, layer: Layer) -> _F32:
        """Return ``(y - y') / (x - x')`` at a function of single values, (1, ...).

        Where y - y' would lose digits in float32, it is the mean derivative between x' and x,
        which is the same.
        """
        x, other = self._read(layer.inputs[0])
        y, at_other = self._read(layer.name)
        difference = x - other
        if layer.op in _EXACT:
            near = difference == 0
        else:
            near = np.abs(difference) <= 1
            for kink in _KINKS.get(layer.op, ()):
                near &= (x > kink) == (other > kink)
        slope: _F32 = np.divide(y - at_other, difference, out=np.zeros_like(x), where=~near)
        if near.any():
            ones = np.ones((1, *y.shape), np.float32)
            (mean,) = self._mean_derivative(layer, ones, 1 if layer.op in _EXACT else 4)
            slope[near] = mean[0][near]
        return slope

    def _of_maxima(self, layer: Layer, multipliers: _F32) -> _F32:
        """Return the multipliers of max pooling: see the top of this file."""
        x, other = self._read(layer.inputs[0])
        y, at_other = self._read(layer.name)
        larger: _F32 = np.maximum(y, at_other)
        parts = self._vjp(layer, multipliers * (larger - at_other))
        parts += self._vjp(layer, multipliers * (y - larger), 1)
        equal = x == other
        np.divide(parts, x - other, out=parts, where=~equal)
        if equal.any():
            parts[:, equal] = self._vjp(layer, multipliers)[:, equal]
        return parts

    def _averaged(self, layer: Layer, multipliers: _F32) -> list[_F32]:
        """Return m times the mean derivative of a function of several values."""
        notes.add(
            f"DeepLIFT has no rule for {layer.op}: the derivative was averaged along the straight "
            f"line between both passes."
        )
        return self._mean_derivative(layer, multipliers, _POINTS[layer.op])

    def _mean_derivative(self, layer: Layer, multipliers: _F32, count: int) -> list[_F32]:
        """Return m times the derivative, averaged along the line between both passes.

        Parameters
        ----------
        layer : Layer
        multipliers : (S, 1, ...) array
            m, of the layer's output.
        count : int
            Points of the Gauss-Legendre sum.
        """
        both = [self._read(name) for name in layer.inputs]
        one = OneLayer(layer, [x for x, _ in both], self._read(layer.name)[0])
        points, weights = np.polynomial.legendre.leggauss(count)
        total = [np.zeros((len(multipliers), *x.shape)) for x, _ in both]
        for place, weight in zip((points + 1) / 2, weights / 2, strict=True):
            inputs = [other + np.float32(place) * (x - other) for x, other in both]
            for sums, part in zip(total, one.vjp(multipliers, inputs=inputs), strict=True):
                sums += weight * part
        return [each.astype(np.float32) for each in total]
