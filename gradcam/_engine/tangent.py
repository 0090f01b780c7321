"""Forward-mode derivatives under a tape's decisions: Jacobian-vector products, layer by layer.

A tangent is the derivative of a layer's output along a direction at another layer below. ReLUs pass
it where their input was positive, max pooling at the positions of its maxima, and every other layer
multiplies it by its derivative at the values of the forward pass. So the product is exact for the
function that the network computes with these decisions, and it is the transpose of the backward
pass: ``<u, J v> = <J^T u, v>``.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import SupportsIndex, cast

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.layers import SMOOTH, Attribute, Layer, pair
from gradcam._engine.one_layer import OneLayer
from gradcam._engine.rule_pass import between
from gradcam._results.rules import RECTIFIERS

_F32 = NDArray[np.float32]
_F64 = NDArray[np.float64]

ELEMENTWISE = (*RECTIFIERS, *SMOOTH, "sigmoid")
"""Operations on each value by itself."""

Tangents = Sequence["_F32 | None"]
"""The tangent of each of a layer's inputs, (S, N, ...); None: zero."""


def tangents(
    layers: Mapping[str, Layer],
    outputs: Mapping[str, _F32],
    source: str,
    given: _F32,
    wanted: Collection[str],
) -> dict[str, _F32]:
    """Carry `given` from the output of `source` up to the layers wanted.

    Parameters
    ----------
    layers : mapping of str to Layer
        Of the network, in the order in which they run.
    outputs : mapping of str to (N, ...) array
        Of every layer that `gradcam._engine.rule_pass.needed` names.
    source : str
    given : (S, N, ...) array
        S directions: each of the shape of the batch's output of `source`.
    wanted : collection of str

    Returns
    -------
    dict of str to (S, N, ...) array
        Of the layers wanted that `source` feeds; the tangents of all others are zero.
    """
    active = set().union(*(between(layers, each, [source]) for each in wanted))
    readers = Counter(each for name in active for each in layers[name].inputs)
    found = {source: given} if source in active else {}
    for name in (name for name in layers if name in active and name != source):
        layer = layers[name]
        one = OneLayer(layer, [outputs[each] for each in layer.inputs], outputs[name])
        found[name] = _moved(one, [found.get(each) for each in layer.inputs])
        readers.subtract(layer.inputs)
        for each in layer.inputs:
            if readers[each] == 0 and each not in wanted:
                found.pop(each, None)
    return {name: found[name] for name in wanted if name in found}


def window_sums(values: _F64, low: int, high: int) -> _F64:
    """Return for each channel c the sum over the channels from c + low to c + high, (..., C, h, w).

    Channels that do not exist count as zero.
    """
    channels = values.shape[-3]
    total = np.zeros_like(values)
    for offset in range(max(low, 1 - channels), min(high, channels - 1) + 1):
        first, last = max(0, -offset), min(channels, channels - offset)
        total[..., first:last, :, :] += values[..., first + offset : last + offset, :, :]
    return total


def response_scale(layer: OneLayer) -> tuple[_F64, float, float, tuple[int, int]]:
    """Return what a local response normalisation divides by, before its power beta is taken.

    Returns
    -------
    scale : (N, C, h, w) array
        ``k + alpha / size * sum of squares``.
    rate : float
        alpha / size.
    beta : float
    window : (low, high)
        The channels of a window, relative to its own.
    """
    size = _integer(layer.attributes["size"])
    alpha, beta, k = (
        float(cast(float, layer.attributes.get(name, default)))
        for name, default in (("alpha", 1e-4), ("beta", 0.75), ("k", 1.0))
    )
    window = (-(size // 2), (size - 1) // 2)
    squares = layer.inputs[0].astype(np.float64) ** 2
    return k + alpha / size * window_sums(squares, *window), alpha / size, beta, window


def normalised(layer: OneLayer) -> tuple[_F64, _F64]:
    """Return the values of a layer normalisation before its weights, and the deviation."""
    x = layer.inputs[0].astype(np.float64)
    eps = float(cast(float, layer.attributes.get("eps", 1e-6)))
    deviation = np.sqrt(x.var(axis=1, keepdims=True) + eps)
    return (x - x.mean(axis=1, keepdims=True)) / deviation, deviation


def per_channel(values: _F32, like: NDArray[np.generic]) -> _F32:
    """Return (C,) values in a shape that multiplies (N, C, ...) arrays."""
    return values.reshape(-1, *[1] * (like.ndim - 2))


def product_factors(layer: OneLayer) -> tuple[_F32, _F32]:
    """Return the two inputs of a product with as many axes each."""
    one, other = layer.inputs
    rank = max(one.ndim, other.ndim)
    return expanded(one, rank), expanded(other, rank)


def expanded(values: _F32, rank: int) -> _F32:
    """Return values with axes of length 1 at the end, so that they have `rank` axes."""
    return values.reshape(*values.shape, *[1] * (rank - values.ndim))


def _moved(layer: OneLayer, given: Tangents) -> _F32:
    """Return the tangent of a layer's output from those of its inputs."""
    if layer.op == "add":
        return cast(_F32, sum(each for each in given if each is not None))
    if layer.op == "concatenate":
        return _concatenated(layer, given)
    if layer.op == "multiply":
        return _multiplied(layer, given)
    (tangent,) = given
    assert tangent is not None  # the layer's only input is fed by the source
    if layer.op in ELEMENTWISE:
        (slope,) = layer.vjp(np.ones_like(layer.output)[None])
        return tangent * slope
    step = _NOT_LINEAR.get(layer.op)
    return _linear(layer, tangent) if step is None else step(layer, tangent)


def _linear(layer: OneLayer, tangent: _F32) -> _F32:
    """A linear layer, without its bias."""
    if layer.op == "affine":
        return tangent * per_channel(layer.weights["scale"], layer.output)
    weights = {"weight": layer.weights["weight"]} if "weight" in layer.weights else None
    stacked = tangent.reshape(-1, *tangent.shape[2:])
    out = layer.forward(inputs=[stacked], weights=weights)
    return out.reshape(*tangent.shape[:2], *out.shape[1:])


def _concatenated(layer: OneLayer, given: Tangents) -> _F32:
    sets = next(len(each) for each in given if each is not None)
    parts = [
        np.zeros((sets, *x.shape), np.float32) if each is None else each
        for x, each in zip(layer.inputs, given, strict=True)
    ]
    return np.concatenate(parts, axis=2)


def _multiplied(layer: OneLayer, given: Tangents) -> _F32:
    """d(a b) = b da + a db."""
    one, other = product_factors(layer)
    terms = [
        expanded(tangent, one.ndim + 1) * factor
        for tangent, factor in zip(given, (other, one), strict=True)
        if tangent is not None
    ]
    return cast(_F32, sum(terms))


def _max_pool(layer: OneLayer, tangent: _F32) -> _F32:
    """The tangent at the first maximum of each window, in row-major order."""
    x, attributes = layer.inputs[0], layer.attributes
    kernel = pair(attributes["kernel"])
    stride = pair(attributes.get("stride") or kernel)
    top, left = _before(attributes.get("padding", 0))
    height, width = layer.output.shape[2:]
    rows, columns = (height - 1) * stride[0] + 1, (width - 1) * stride[1] + 1
    bottom = max(0, rows + kernel[0] - 1 - top - x.shape[2])
    right = max(0, columns + kernel[1] - 1 - left - x.shape[3])
    around = ((top, bottom), (left, right))
    values = np.pad(x, ((0, 0), (0, 0), *around), constant_values=-np.inf)
    moving = np.pad(tangent, ((0, 0), (0, 0), (0, 0), *around))
    best = np.full(layer.output.shape, -np.inf, np.float32)
    moved = np.zeros((len(tangent), *layer.output.shape), np.float32)
    for row, column in np.ndindex(*kernel):
        down = slice(row, row + rows, stride[0])
        across = slice(column, column + columns, stride[1])
        here = values[:, :, down, across]
        larger = here > best
        np.copyto(best, here, where=larger)
        np.copyto(moved, moving[..., down, across], where=larger)
    return moved


def _global_max_pool(layer: OneLayer, tangent: _F32) -> _F32:
    x = layer.inputs[0]
    first = x.reshape(*x.shape[:2], -1).argmax(-1)[None, :, :, None]
    flat = tangent.reshape(*tangent.shape[:3], -1)
    moved: _F32 = np.take_along_axis(flat, np.broadcast_to(first, (*flat.shape[:3], 1)), -1)
    return moved.reshape(len(tangent), *layer.output.shape)


def _softmax(layer: OneLayer, tangent: _F32) -> _F32:
    """p (t - sum of p t)."""
    p = layer.output.astype(np.float64)
    moved: _F64 = p * (tangent - (p * tangent).sum(axis=2, keepdims=True))
    return moved.astype(np.float32)


def _log_softmax(layer: OneLayer, tangent: _F32) -> _F32:
    """t - sum of p t."""
    p = np.exp(layer.output.astype(np.float64))
    moved: _F64 = tangent - (p * tangent).sum(axis=2, keepdims=True)
    return moved.astype(np.float32)


def _local_response_norm(layer: OneLayer, tangent: _F32) -> _F32:
    scale, rate, beta, window = response_scale(layer)
    x, t = layer.inputs[0].astype(np.float64), tangent.astype(np.float64)
    change = 2 * rate * window_sums(x * t, *window)
    return (t * scale**-beta - beta * x * scale ** (-beta - 1) * change).astype(np.float32)


def _layer_norm(layer: OneLayer, tangent: _F32) -> _F32:
    normal, deviation = normalised(layer)
    weight = per_channel(layer.weights["weight"], layer.output)
    return (weight * normal_tangent(normal, deviation, tangent)).astype(np.float32)


def normal_tangent(normal: _F64, deviation: _F64, tangent: _F32) -> _F64:
    """Return the tangent of normalised values, over the channels, from that of the input."""
    t = tangent.astype(np.float64)
    mean, dot = (each.mean(axis=2, keepdims=True) for each in (t, t * normal))
    moved: _F64 = (t - mean - normal * dot) / deviation
    return moved


_NOT_LINEAR: dict[str, Callable[[OneLayer, _F32], _F32]] = {
    "max_pool": _max_pool,
    "global_max_pool": _global_max_pool,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "local_response_norm": _local_response_norm,
    "layer_norm": _layer_norm,
}


def _integer(value: Attribute) -> int:
    return operator.index(cast(SupportsIndex, value))


def _before(padding: Attribute) -> tuple[int, int]:
    """Return the padding at the top and on the left, from one, two or four numbers."""
    if isinstance(padding, Sequence) and not isinstance(padding, str):
        return padding[0], padding[1]
    return pair(padding)
