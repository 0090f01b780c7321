"""Networks for the live page: a description, from which its core builds them, and weights.

The description states each layer as it runs, with batch normalisation folded and every option
spelled out, so that the page needs no defaults (``page/layers.js``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.graph import Graph
from gradcam._engine.layers import INPUT, Attribute, Layer, pair

Value = None | bool | int | float | str | Sequence["Value"] | Mapping[str, "Value"]
"""What JSON can hold."""

Description = dict[str, Value]

_Given = Mapping[str, Attribute]


@dataclass(frozen=True)
class Described:
    """A network for the page.

    Attributes
    ----------
    description : dict
        For JSON: ``name``, ``about``, ``labels`` (in words), ``synsets``, ``size`` (height, width),
        ``channels``, ``preset``, ``score_layer``, ``probability_layer`` (or None),
        ``target_layer``, and ``layers``. A layer has ``name``, ``op``, ``inputs`` (numbers of
        layers), ``attributes`` and ``weights``: of each tensor its ``shape``, the ``offset`` of its
        first byte in `weights`, and whether it is ``half``, float16 instead of float32.
    weights : bytes
        All tensors, little-endian, each at a multiple of 4 bytes.
    """

    description: Description
    weights: bytes


def describe(network: Graph, *, rounded: bool = False) -> Described:
    """Return a network for the page.

    Parameters
    ----------
    network : Network
        With a preset of three channels. Linear weights of bfloat16 are stored as float32.
    rounded : bool
        Store all weights as float16: half the bytes, but for weights that float16 does not hold
        exactly the page's numbers are not quite those of Python. By default only tensors that lose
        nothing are stored as float16.

    Raises
    ------
    ValueError
        If the network has no preset, or its preset is not for its channels; if a weight is too
        large for float16.
    """
    preset, channels = network.preset, network.core.channels
    if preset is None or channels != 3:
        raise ValueError(
            f"{network.name}: the page shows networks that take RGB pictures by an input preset, "
            f"got one of {channels} channel(s) with the preset {preset and preset.name}"
        )
    tensors = _Tensors(rounded)
    numbers = {name: number for number, name in enumerate(network.layers)}
    layers = [_layer(layer, numbers, tensors) for layer in network.layers.values()]
    description: Description = {
        "name": network.name,
        "about": network.about,
        "labels": [str(target) for target in network.labels],
        "synsets": [target.synset for target in network.labels],
        "size": list(network.input_size),
        "channels": channels,
        "preset": {
            "channel_order": preset.channel_order,
            "scale": preset.scale,
            "mean": list(preset.mean),
            "std": list(preset.std),
        },
        "score_layer": network.score_layer,
        "probability_layer": network.probability_layer,
        "target_layer": network.target_layer,
        "layers": layers,
    }
    return Described(description, bytes(tensors.stored))


def _layer(layer: Layer, numbers: Mapping[str, int], tensors: _Tensors) -> Description:
    op, attributes = _operation(layer)
    bfloat16 = layer.op == "linear" and layer.attributes.get("dtype") == "bfloat16"
    weights = {
        key: tensors.add(
            _widened(np.asarray(values)) if bfloat16 and key == "weight" else values,
            f"layer {layer.name!r}: its {key}",
        )
        for key, values in layer.weights.items()
    }
    return {
        "name": layer.name,
        "op": op,
        "inputs": [numbers[name] for name in layer.inputs],
        "attributes": attributes,
        "weights": weights,
    }


def _widened(bits: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return bfloat16, whose bits are the upper half of a float32's, as float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


class _Tensors:
    """Tensors one after the other."""

    def __init__(self, rounded: bool) -> None:
        self.stored = bytearray()
        self._rounded = rounded

    def add(self, values: object, name: str) -> Description:
        wide = np.asarray(values, "<f4")
        with np.errstate(over="ignore"):
            narrow = wide.astype("<f2")
        if self._rounded and not np.isfinite(narrow).all():
            raise ValueError(f"{name} is too large for float16")
        half = self._rounded or np.array_equal(narrow.astype("<f4"), wide)
        offset = len(self.stored)
        self.stored += (narrow if half else wide).tobytes()
        self.stored += bytes(-len(self.stored) % 4)
        return {"shape": list(wide.shape), "offset": offset, "half": bool(half)}


# --- what the core is told of each operation ---


def _operation(layer: Layer) -> tuple[str, Description]:
    """Return the operation as the page knows it, with all of its attributes."""
    given = layer.attributes
    if layer.op == "global_average_pool":
        return "adaptive_average_pool", {"size": [1, 1]}
    if layer.op == "gelu" and given.get("approximate", False):
        return "gelu_tanh", {}
    return layer.op, _ATTRIBUTES.get(layer.op, _none)(given)


def _none(given: _Given) -> Description:
    return {}


def _conv(given: _Given) -> Description:
    return {
        "stride": list(pair(given.get("stride", 1))),
        "padding": _padding(given),
        "dilation": list(pair(given.get("dilation", 1))),
        "groups": _number(given, "groups", 1),
        "exact": bool(given.get("exact", False)),
    }


def _pool(given: _Given) -> Description:
    kernel = pair(given["kernel"])
    stride = given.get("stride")
    divisor = given.get("divisor")
    return {
        "kernel": list(kernel),
        "stride": list(kernel if stride is None else pair(stride)),
        "padding": _padding(given),
        "ceil_mode": bool(given.get("ceil_mode", False)),
        "include_pad": bool(given.get("count_include_pad", True)),
        "divisor": 0 if divisor is None else _number(given, "divisor", 0),
    }


def _padding(given: _Given) -> list[Value]:
    """Return the padding above, below, to the left and to the right."""
    padding = given.get("padding", 0)
    if isinstance(padding, Sequence) and len(padding) == 4:
        top, left, bottom, right = (int(each) for each in cast("Sequence[int]", padding))
        return [top, bottom, left, right]
    rows, columns = pair(padding)
    return [rows, rows, columns, columns]


def _clip(given: _Given) -> Description:
    return {name: _finite(float(cast(float, given[name]))) for name in ("low", "high")}


def _finite(value: float) -> float | str:
    """Return a number, or as a text what JSON has no number for."""
    return value if math.isfinite(value) else ("inf" if value > 0 else "-inf")


def _number(given: _Given, name: str, default: float) -> float:
    return cast(float, given.get(name, default))


def _numbers(**defaults: float) -> Callable[[_Given], Description]:
    """Return a function that returns these attributes."""
    return lambda given: {name: _number(given, name, value) for name, value in defaults.items()}


_ATTRIBUTES: Mapping[str, Callable[[_Given], Description]] = {
    INPUT: _none,
    "conv": _conv,
    "max_pool": _pool,
    "average_pool": _pool,
    "adaptive_average_pool": lambda given: {"size": list(pair(given["size"]))},
    "clip": _clip,
    "leaky_relu": _numbers(slope=0.01),
    "elu": lambda given: {"slope": _number(given, "alpha", 1.0)},
    "slice": _numbers(start=0, stop=0),
    "channel_shuffle": _numbers(groups=1),
    "local_response_norm": _numbers(size=0, alpha=1e-4, beta=0.75, k=1.0),
    "layer_norm": _numbers(eps=1e-6),
}
