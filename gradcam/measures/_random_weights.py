"""The same network with random weights: what remains of a map was not learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcam._engine.assembly import assemble
from gradcam._engine.forward_pass import listed
from gradcam._engine.graph import Graph
from gradcam._engine.layers import WEIGHTED, Layer
from gradcam._engine.network import Network
from gradcam._methods.passes import check_seed, one_of
from gradcam._results.explanation import Explanation

_F32 = NDArray[np.float32]

Draw = Literal["initial", "normal", "permuted"]
"""How weights are drawn: as before training, as normal numbers, or in another order."""

_NEUTRAL = {"scale": 1.0, "shift": 0.0, "bias": 0.0}
"""Initial values; the weights of convolutions and fully connected layers are drawn."""


def randomised(
    network: Graph,
    layers: str | Sequence[str] | None = None,
    seed: int = 0,
    *,
    draw: Draw = "initial",
) -> Network:
    """Return the same network with random weights in some layers.

    Parameters
    ----------
    network : Network
        It is not changed; the weights of all other layers are shared.
    layers : str or sequence of str, optional
        Layers with weights, by any of their names; by default all. A batch normalisation that was
        folded into a convolution is a part of it.
    seed : int
        What is drawn for a layer depends on the seed and the layer alone, not on the other layers.
    draw : "initial", "normal" or "permuted"
        "initial": as before training. Weights of convolutions and fully connected layers are
        normal with mean 0 and variance 2 / inputs of a unit (He et al., 2015), biases 0, scales 1,
        slopes of PReLU 0.25. "normal": normal with the mean and the standard deviation of the
        layer's trained weights, and of its biases. "permuted": the trained values in a random
        order.

    Returns
    -------
    Network

    Raises
    ------
    ValueError
        If a layer is unknown or has no weights, the list is empty, or an option is wrong.
    TypeError
        If it is not a network.

    References
    ----------
    Adebayo et al., "Sanity Checks for Saliency Maps", 2018.
    """
    if not isinstance(network, Graph):
        raise TypeError(f"network: expected a Network, got {type(network).__name__}")
    check_seed(seed)
    one_of("draw", draw, get_args(Draw))
    names = with_weights(network)
    if layers is not None:
        names = [layer_with_weights(network, name) for name in listed(layers)]
        if not names:
            raise ValueError("layers: an empty list of layers; give at least one")
    drawn = {name: redrawn(network, name, seed, draw) for name in names}
    return rebuilt(network, drawn)


def alone(explanation: Explanation) -> Explanation:
    """Return an explanation without its origin, which would hold the network."""
    return replace(explanation, origin=None)


def with_weights(graph: Graph) -> list[str]:
    """Return the layers that have weights, in the order in which they run."""
    return [name for name, layer in graph.layers.items() if layer.weights]


def layer_with_weights(graph: Graph, layer: str) -> str:
    """Return the first name of a layer, having checked that it has weights."""
    name = graph.names(layer)[0]
    if not graph.layers[name].weights:
        raise ValueError(
            f"the layer {layer!r} has no weights; the layers with weights are "
            f"{', '.join(with_weights(graph))}"
        )
    return name


def redrawn(graph: Graph, name: str, seed: int, draw: Draw) -> Layer:
    """Return a layer with random weights."""
    layer = graph.layers[name]
    random = np.random.default_rng((seed, graph.index(name)))
    weights = {
        key: _drawn(random, layer, key, as_float(values), draw)
        for key, values in layer.weights.items()
    }
    return replace(layer, weights=weights)


def _drawn(random: np.random.Generator, layer: Layer, key: str, values: _F32, draw: Draw) -> _F32:
    """Draw one array of weights."""
    if draw == "permuted":
        return random.permutation(values.ravel()).reshape(values.shape)
    if draw == "normal":
        mean, deviation = values.mean(dtype=np.float64), values.std(dtype=np.float64)
    elif key == "weight" and layer.op in WEIGHTED:
        mean, deviation = 0.0, (2 / max(1, values[0].size)) ** 0.5
    else:
        slope = 0.25 if layer.op == "prelu" else 1.0
        return np.full(values.shape, _NEUTRAL.get(key, slope), np.float32)
    found = random.standard_normal(values.shape, np.float32)
    found *= np.float32(deviation)
    found += np.float32(mean)
    return found


def as_float(values: ArrayLike) -> _F32:
    """Return weights as float32; bits of bfloat16, which are stored as uint16, too."""
    array = np.asarray(values)
    if array.dtype == np.uint16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return np.asarray(array, np.float32)


def rebuilt(graph: Graph, changed: dict[str, Layer]) -> Network:
    """Return the network with other layers in place of those of the same names."""
    layers = [changed.get(name, layer) for name, layer in graph.layers.items()]
    # How each convolution is computed is one of the layer's attributes.
    assembled = assemble(layers, graph.core.channels, "winograd")
    assembled = replace(assembled, target_layer=graph.target_layer)
    network = Network.from_assembled(assembled, graph.labels, graph.preset, graph.name)
    network.redrawn = graph.redrawn or graph
    return network
