"""CAM, for networks that end in global average pooling and one linear layer (Zhou et al., 2016)."""

from __future__ import annotations

import numpy as np

from gradcam._engine.forward_pass import ForwardPass
from gradcam._engine.graph import Graph
from gradcam._engine.layers import Layer, pair
from gradcam._methods.maps import check_feeds, maps_of, weighted_sums
from gradcam._registry import method
from gradcam._results.explanation import Evidence
from gradcam._results.objectives import Objectives

_IDENTITIES = ("flatten", "dropout")
"""Operations that leave values as they are."""


@method(title="CAM", source="Zhou et al. 2016", view="map")
def cam(tape: ForwardPass, objective: Objectives) -> Evidence:
    """Where the last maps raise the score, by the weights of the last linear layer.

    Raw values: sum_k w_k A^k before the ReLU, (u, v), of the maps A^k that global average pooling
    reads. The weights w_k are those of the class in the linear layer; of another objective, its
    gradient by the mean of A^k. Grad-CAM at the same layer is this divided by u v.

    Raises
    ------
    ValueError
        If the network does not end in global average pooling and one linear layer, which may be
        a convolution of 1 x 1.
    """
    pooling = _last_pooling(tape)
    (layer,) = tape.graph.layers[pooling].inputs
    maps = maps_of(tape, layer)
    check_feeds(tape, objective, pooling)
    gradient = objective.gradient(tape, pooling)
    weights = gradient.reshape(gradient.shape[:3])
    return Evidence(weighted_sums(weights, maps), weights, layer=layer)


def _last_pooling(tape: ForwardPass) -> str:
    """Return the global average pooling that the layer of the scores reads."""
    graph = tape.graph
    scores = _computing(graph, graph.score_layer)
    if not _is_linear(tape, scores):
        raise _error(graph, f"its scores are the output of {_words(scores)}")
    below = _computing(graph, scores.inputs[0])
    if not _averages_all(tape, below):
        raise _error(graph, f"its last linear layer {scores.name!r} reads {_words(below)}")
    return below.name


def _computing(graph: Graph, name: str) -> Layer:
    """Return the layer that computes the values of a layer, which may leave them as they are."""
    layer = graph.layers[name]
    while layer.op in _IDENTITIES:
        layer = graph.layers[layer.inputs[0]]
    return layer


def _is_linear(tape: ForwardPass, layer: Layer) -> bool:
    """Return whether a layer is linear, or a convolution of a single position by one of 1 x 1."""
    if layer.op != "conv":
        return layer.op == "linear"
    kernel = np.shape(layer.weights["weight"])[2:]
    sizes = [kernel, *(tape.shape(name)[1:] for name in (layer.name, *layer.inputs))]
    return all(size == (1, 1) for size in sizes)


def _averages_all(tape: ForwardPass, layer: Layer) -> bool:
    """Return whether a layer is the mean over all positions of a map."""
    if not layer.inputs or tape.shape(layer.name)[1:] != (1, 1):
        return False
    if layer.op in ("global_average_pool", "adaptive_average_pool"):
        return True
    whole = tape.shape(layer.inputs[0])[1:]
    return (
        layer.op == "average_pool"
        and pair(layer.attributes["kernel"]) == whole
        and not np.any(layer.attributes.get("padding", 0))
        and layer.attributes.get("divisor") in (None, whole[0] * whole[1])
    )


def _words(layer: Layer) -> str:
    return f"{layer.name!r} ({layer.op})"


def _error(graph: Graph, reason: str) -> ValueError:
    return ValueError(
        f"CAM needs a network that ends in global average pooling and one linear layer; of "
        f"{graph.name}, {reason}. Use grad_cam, which works for every network and, where CAM "
        f"exists, is the same up to a factor"
    )
