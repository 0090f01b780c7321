"""The maps of a layer, for methods that explain a layer."""

from __future__ import annotations

from itertools import islice

import numpy as np
from numpy.typing import NDArray

from gradcam import _core
from gradcam._engine.forward_pass import ForwardPass
from gradcam._methods.passes import layers_read
from gradcam._results.objectives import Objectives

_F32 = NDArray[np.float32]


def maps_of(tape: ForwardPass, layer: str) -> _F32:
    """Return the maps of a layer, (N, K, u, v).

    Raises
    ------
    ValueError
        If the layer has no spatial map.
    """
    shape = tape.shape(layer)
    if len(shape) != 3 or shape[1] * shape[2] == 1:
        raise ValueError(
            f"layer {layer!r} has no spatial map (its shape is {shape}), so it has no positions in "
            f"the picture: choose a convolution, ReLU or pooling before it, for example "
            f"{tape.graph.target_layer!r}"
        )
    return tape.activation(layer)


def check_feeds(tape: ForwardPass, objective: Objectives, layer: str) -> None:
    """Raise ValueError if an objective reads a layer that `layer` does not feed.

    Such an objective, or that term of a sum, does not depend on the maps of `layer`.
    """
    read = {name for n in range(len(tape)) for name in layers_read(tape, objective, n)}
    fed = set(tape.graph.names(layer)[:1])
    for each in islice(tape.graph.layers.values(), tape.graph.index(layer) + 1, None):
        if not fed.isdisjoint(each.inputs):
            fed.add(each.name)
    others = sorted(read - fed)
    if others:
        raise ValueError(
            f"the objective reads {', '.join(map(repr, others))}, which {layer!r} does not change: "
            f"choose a layer below what is explained"
        )


def weighted_sums(weights: _F32, maps: _F32) -> _F32:
    """Return the sums over channels of weight times map: (S, N, K), (N, K, u, v) -> (S, N, u, v).

    Before any ReLU.
    """
    return np.stack([_core.weighted_sum(each, maps) for each in weights])
