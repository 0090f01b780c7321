"""Make an imported list of layers shorter: several layers that compute one operation become one.

- Layers that the scores do not depend on are left out.
- ``x * sigmoid(x)`` is silu, and ``x * hard_sigmoid(x)`` hard_swish; a clip between 0 and 6, or
  from 0 on, is relu6 or relu.
- A scale and shift of channels is folded into the convolution, linear layer or layer normalisation
  before it, and into another scale and shift; one that changes nothing is left out.

Names that disappear become names of the layer that holds their result, if it has the same output.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.layers import WEIGHTED, Layer

_GATED = {"sigmoid": "silu", "hard_sigmoid": "hard_swish"}


def simplified(layers: Sequence[Layer], last: str) -> tuple[Layer, ...]:
    """Return a shorter list of layers with the same result, which ends with the layer `last`."""
    found = _reachable({layer.name: layer for layer in layers}, last)
    for step in (_clipped, _gated, _without_identities, _folded):
        found = _reachable(step(found, last), last)
    return tuple(found.values())


_Layers = dict[str, Layer]


def _reachable(layers: Mapping[str, Layer], last: str) -> _Layers:
    """Return the layers that the last one depends on, in their order."""
    needed, waiting = {last}, [last]
    while waiting:
        for name in layers[waiting.pop()].inputs:
            if name in layers and name not in needed:
                needed.add(name)
                waiting.append(name)
    return {name: layer for name, layer in layers.items() if name in needed}


def _readers(layers: Mapping[str, Layer]) -> Counter[str]:
    return Counter(name for layer in layers.values() for name in layer.inputs)


def _clipped(layers: _Layers, last: str) -> _Layers:
    """Rectifiers that are written as a clip."""
    bounds: dict[tuple[object, object], str] = {(0.0, 6.0): "relu6", (0.0, math.inf): "relu"}
    return {
        name: replace(layer, op=bounds[key], attributes={})
        if layer.op == "clip"
        and (key := (layer.attributes.get("low"), layer.attributes.get("high"))) in bounds
        else layer
        for name, layer in layers.items()
    }


def _gated(layers: _Layers, last: str) -> _Layers:
    """Products of a value and its own sigmoid."""
    readers = _readers(layers)
    result = dict(layers)
    for name, layer in layers.items():
        if layer.op != "multiply":
            continue
        for value, gate in (layer.inputs, layer.inputs[::-1]):
            found = layers.get(gate)
            if (
                found is not None
                and found.op in _GATED
                and found.inputs == (value,)
                and readers[gate] == 1
            ):
                result[name] = replace(layer, op=_GATED[found.op], inputs=(value,))
                break
    return result


def _without_identities(layers: _Layers, last: str) -> _Layers:
    """Scales and shifts that change nothing, left out."""
    result: _Layers = {}
    renamed: dict[str, str] = {}
    for name, layer in layers.items():
        layer = replace(layer, inputs=tuple(renamed.get(each, each) for each in layer.inputs))
        before = result.get(layer.inputs[0])
        if layer.op == "affine" and before is not None and name != last:
            scale, shift = _numbers(layer)
            if (scale == 1).all() and (shift == 0).all():
                renamed[name] = before.name
                result[before.name] = replace(before, aliases=(*before.aliases, name))
                continue
        result[name] = layer
    return result


def _folded(layers: _Layers, last: str) -> _Layers:
    """Scales and shifts of channels, folded into the layer before them if nothing else reads it."""
    readers = _readers(layers)
    result: _Layers = {}
    for name, layer in layers.items():
        before = result.get(layer.inputs[0])
        if (
            layer.op == "affine"
            and before is not None
            and readers[before.name] == 1
            and before.op in _FOLDS
        ):
            del result[before.name]
            layer = _FOLDS[before.op](before, layer, *_numbers(layer))
        result[name] = layer
    return result


_F64 = NDArray[np.float64]


def _numbers(layer: Layer) -> tuple[_F64, _F64]:
    """Return the scale and the shift of an affine layer."""
    scale, shift = (np.asarray(layer.weights[key], np.float64) for key in ("scale", "shift"))
    return scale, shift


def _into_weights(before: Layer, layer: Layer, scale: _F64, shift: _F64) -> Layer:
    """Return the convolution or linear layer `before` and the scale after it as one layer."""
    weight = np.asarray(before.weights["weight"])
    bias = before.weights.get("bias")
    if bias is not None:
        shift = shift + np.asarray(bias, np.float64) * scale
    if (scale != 1).any():
        weight = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    weights: dict[str, NDArray[Any]] = {
        "weight": weight.astype(np.float32, copy=False),
        "bias": shift.astype(np.float32),
    }
    return Layer(layer.name, before.op, before.inputs, weights, before.attributes, layer.aliases)


def _into_scale(before: Layer, layer: Layer, scale: _F64, shift: _F64) -> Layer:
    """Return two scales and shifts as one."""
    first = {key: np.asarray(before.weights[key], np.float64) for key in ("scale", "shift")}
    weights = {
        "scale": (first["scale"] * scale).astype(np.float32),
        "shift": (first["shift"] * scale + shift).astype(np.float32),
    }
    return Layer(layer.name, "affine", before.inputs, weights, {}, layer.aliases)


def _into_norm(before: Layer, layer: Layer, scale: _F64, shift: _F64) -> Layer:
    """Return a layer normalisation and the scale after it as one layer."""
    bias = before.weights.get("bias")
    if bias is not None:
        shift = shift + np.asarray(bias, np.float64) * scale
    weights = {
        "weight": (np.asarray(before.weights["weight"], np.float64) * scale).astype(np.float32),
        "bias": shift.astype(np.float32),
    }
    return Layer(layer.name, before.op, before.inputs, weights, before.attributes, layer.aliases)


_FOLDS = {
    **dict.fromkeys(WEIGHTED, _into_weights),
    "affine": _into_scale,
    "layer_norm": _into_norm,
}
