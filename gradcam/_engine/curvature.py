"""Second derivatives under a tape's decisions: Hessian-vector products, layer by layer.

The backward pass is differentiated along a direction at the input. Each layer gets a gradient and
the change of that gradient along the direction, and passes both back:

    dx = J^T dy,    dx' = J^T dy' + (J')^T dy

J' is the change of the layer's Jacobian along the direction. It is zero for every layer that is
linear under the decisions of the forward pass: convolutions, ReLUs, max pooling. So the score of a
ReLU network has no second derivative; its probability has that of the softmax.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.layers import Layer
from gradcam._engine.one_layer import OneLayer
from gradcam._engine.rule_pass import between
from gradcam._engine.tangent import (
    expanded,
    normal_tangent,
    normalised,
    per_channel,
    product_factors,
    response_scale,
    window_sums,
)

_F32 = NDArray[np.float32]
_F64 = NDArray[np.float64]


def is_linear_in_pieces(layers: Mapping[str, Layer], start: str, source: str) -> bool:
    """Return whether `start` is a linear function of `source` under the decisions of a pass."""
    active = between(layers, start, [source]) - {source}
    return not any(layers[name].op in _CHANGES for name in active)


def hessian_products(
    layers: Mapping[str, Layer],
    outputs: Mapping[str, _F32],
    source: str,
    seeds: Mapping[str, _F32],
    seed_changes: Mapping[str, _F32],
    tangents: Mapping[str, _F32],
) -> _F32 | None:
    """Return the change of the gradients by the output of `source` along a direction.

    Parameters
    ----------
    layers : mapping of str to Layer
        Of the network, in the order in which they run.
    outputs : mapping of str to (N, ...) array
        Of every layer between `source` and the seeds.
    source : str
    seeds : mapping of str to (S, N, ...) array
        The gradients by the layers that the objectives read.
    seed_changes : mapping of str to (S, N, ...) array
        How these gradients change along the direction; those that are missing do not.
    tangents : mapping of str to (1, N, ...) array
        How the layers' outputs change along the direction; those that are missing do not.

    Returns
    -------
    (S, N, ...) array, or None if it is zero
    """
    active = set().union(*(between(layers, each, [source]) for each in seeds))
    curved = [name for name in active - {source} if layers[name].op in _CHANGES]
    above = set().union(*(between(layers, each, curved) for each in seeds))
    arrived = {name: each for name, each in seeds.items() if name in active}
    changes = {name: each for name, each in seed_changes.items() if name in active}
    for name in reversed([name for name in layers if name in active and name != source]):
        layer, gradient, change = layers[name], arrived.pop(name, None), changes.pop(name, None)
        one = OneLayer(layer, [outputs[each] for each in layer.inputs], outputs[name])
        if gradient is not None:
            if above & set(layer.inputs):  # further down, nothing needs the gradient
                _add(arrived, layer.inputs, one.vjp(gradient), above)
            bent = _CHANGES.get(layer.op)
            if bent is not None:
                moved = [tangents.get(each) for each in layer.inputs]
                _add(changes, layer.inputs, bent(one, moved, tangents[name], gradient), active)
        if change is not None:
            _add(changes, layer.inputs, one.vjp(change), active)
    return changes.get(source)


def _add(
    totals: dict[str, _F32], names: Sequence[str], parts: Sequence[_F32], active: set[str]
) -> None:
    for name, part in zip(names, parts, strict=True):
        if name in active:
            totals[name] = totals[name] + part if name in totals else part


_Moved = Sequence["_F32 | None"]
_Change = Callable[[OneLayer, _Moved, _F32, _F32], list[_F32]]
"""From the tangents of a layer's inputs, (1, N, ...), that of its output, and what arrives at its
output, (S, N, ...), to the change of what it passes to each input."""


def _elementwise(second: Callable[[OneLayer, _F64], _F64]) -> _Change:
    """f''(x) t dy of a function of each value by itself."""

    def change(layer: OneLayer, moved: _Moved, out: _F32, dy: _F32) -> list[_F32]:
        bend = second(layer, layer.inputs[0].astype(np.float64))
        return [(bend * cast(_F32, moved[0]) * dy).astype(np.float32)]

    return change


def _logistic(x: _F64) -> tuple[_F64, _F64, _F64]:
    """Return the sigmoid of x with its first and second derivative."""
    e = np.exp(-np.abs(x))
    s = np.where(x < 0, e, 1.0) / (1 + e)
    slope = e / (1 + e) ** 2
    return s, slope, slope * (1 - 2 * s)


def _sigmoid(layer: OneLayer, x: _F64) -> _F64:
    return _logistic(x)[2]


def _silu(layer: OneLayer, x: _F64) -> _F64:
    _, slope, bend = _logistic(x)
    return 2 * slope + x * bend


def _tanh(layer: OneLayer, x: _F64) -> _F64:
    y = np.tanh(x)
    return cast(_F64, -2 * y * (1 - y * y))


def _elu(layer: OneLayer, x: _F64) -> _F64:
    alpha = float(cast(float, layer.attributes.get("alpha", 1.0)))
    return np.where(x > 0, 0.0, alpha * np.exp(np.minimum(x, 0)))


def _hard_swish(layer: OneLayer, x: _F64) -> _F64:
    return np.where(np.abs(x) < 3, 1 / 3, 0.0)


def _gelu(layer: OneLayer, x: _F64) -> _F64:
    if not layer.attributes.get("approximate", False):  # x times the normal distribution
        return np.exp(-x * x / 2) * (2 - x * x) / math.sqrt(2 * math.pi)
    root, cubic = 2 * math.sqrt(2 / math.pi), 0.044715
    _, slope, bend = _logistic(root * (x + cubic * x**3))
    inner, inner_bend = root * (1 + 3 * cubic * x * x), root * 6 * cubic * x
    return 2 * slope * inner + x * (bend * inner**2 + slope * inner_bend)


def _softmax(layer: OneLayer, moved: _Moved, out: _F32, dy: _F32) -> list[_F32]:
    """J^T dy = p (dy - sum of p dy)."""
    p, change, g = (each.astype(np.float64) for each in (layer.output, out, dy))
    total, total_change = ((g * each).sum(axis=2, keepdims=True) for each in (p, change))
    return [(change * (g - total) - p * total_change).astype(np.float32)]


def _log_softmax(layer: OneLayer, moved: _Moved, out: _F32, dy: _F32) -> list[_F32]:
    """J^T dy = dy - p sum of dy; the change of p is p times that of log p."""
    change = np.exp(layer.output.astype(np.float64)) * out
    return [(-change * dy.sum(axis=2, keepdims=True, dtype=np.float64)).astype(np.float32)]


def _multiply(layer: OneLayer, moved: _Moved, out: _F32, dy: _F32) -> list[_F32]:
    """J^T dy = dy times the other input, summed over the positions that an input does not have."""
    rank = product_factors(layer)[0].ndim + 1
    parts = []
    for x, other in zip(layer.inputs, reversed(moved), strict=True):
        if other is None:
            parts.append(np.zeros((len(dy), *x.shape), np.float32))
            continue
        part = dy.astype(np.float64) * expanded(other, rank)
        shape = (len(dy), *x.shape)
        if part.size != math.prod(shape):
            part = part.sum(axis=(-2, -1))
        parts.append(part.reshape(shape).astype(np.float32))
    return parts


def _local_response_norm(layer: OneLayer, moved: _Moved, out: _F32, dy: _F32) -> list[_F32]:
    """J^T dy = dy s^-b - 2 r b x (sum over the windows that hold x of dy x s^(-b-1))."""
    scale, rate, beta, (low, high) = response_scale(layer)
    x, t, g = (each.astype(np.float64) for each in (layer.inputs[0], cast(_F32, moved[0]), dy))
    change = 2 * rate * window_sums(x * t, low, high)
    power = scale ** (-beta - 1)
    terms = window_sums(g * x * power, -high, -low)
    bent = g * (t * power - (beta + 1) * x * scale ** (-beta - 2) * change)
    inside = t * terms + x * window_sums(bent, -high, -low)
    return [(-beta * g * power * change - 2 * rate * beta * inside).astype(np.float32)]


def _layer_norm(layer: OneLayer, moved: _Moved, out: _F32, dy: _F32) -> list[_F32]:
    """J^T dy = (u - mean u - n mean(u n)) / d, u = dy times the weights, n the normal values."""
    normal, deviation = normalised(layer)
    tangent = cast(_F32, moved[0])
    u = dy.astype(np.float64) * per_channel(layer.weights["weight"], layer.output)
    change = normal_tangent(normal, deviation, tangent)
    widening = (normal * tangent).mean(axis=2, keepdims=True)  # of the deviation
    mean, dot, dot_change = (
        each.mean(axis=2, keepdims=True) for each in (u, u * normal, u * change)
    )
    passed = (u - mean - normal * dot) / deviation
    bent = -(change * dot + normal * dot_change) - passed * widening
    return [(bent / deviation).astype(np.float32)]


_CHANGES: dict[str, _Change] = {
    "sigmoid": _elementwise(_sigmoid),
    "silu": _elementwise(_silu),
    "tanh": _elementwise(_tanh),
    "elu": _elementwise(_elu),
    "gelu": _elementwise(_gelu),
    "hard_swish": _elementwise(_hard_swish),
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "multiply": _multiply,
    "local_response_norm": _local_response_norm,
    "layer_norm": _layer_norm,
}
"""The operations whose derivative depends on their input; all others are linear, or linear in
pieces."""
