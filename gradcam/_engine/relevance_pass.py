"""A backward pass under rules of relevance: what the C core needs for it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcam import _core
from gradcam._engine.graph import Graph
from gradcam._engine.layers import HEADS, OPS, Layer
from gradcam._engine.rule_pass import between
from gradcam._results import notes
from gradcam._results.relevance import WEIGHTED, Composite, LayerRule

_F32 = NDArray[np.float32]

_READ = (*WEIGHTED, "add", "average_pool", "adaptive_average_pool", "global_average_pool")
"""The operations that share relevance by what their inputs contribute."""

_NORMS = ("local_response_norm", "layer_norm")

_BYTES = 256 << 20
"""Of the activations that a pass keeps, unless those of a single picture are more."""


def read_layers(layers: Mapping[str, Layer], start: str, wanted: Sequence[str]) -> list[str]:
    """Return the layers whose outputs the core reads, in the order in which they run."""
    active = between(layers, start, wanted)
    read = {
        source
        for name in active
        if layers[name].op in _READ and active & set(layers[name].inputs)
        for source in layers[name].inputs
    }
    return [name for name in layers if name in read]


def core_rules(
    graph: Graph, rule: LayerRule | Composite, size: tuple[int, int]
) -> list[_core.Rule]:
    """Return the rules as the core takes them, one for each layer of the network.

    Parameters
    ----------
    graph : Graph
    rule : LayerRule or Composite
    size : (height, width)
        Of the network's input.

    Raises
    ------
    ValueError
        If a composite names an operation or a layer that does not exist, or a rule lacks a
        parameter.
    """
    layers, bounds = graph.layers, None if graph.preset is None else graph.preset.bounds
    if isinstance(rule, Composite):
        unknown = ", ".join(op for op in rule.ops if op not in OPS)
        if unknown:
            raise ValueError(
                f"Composite: unknown operations, {unknown}; the operations are {', '.join(OPS)}"
            )
        each = rule.rules(layers, graph.names)
    else:
        each = dict.fromkeys(layers, rule)
    found: list[_core.Rule] = []
    for name, layer in layers.items():
        own = each[name]
        if layer.op in WEIGHTED:
            channels = graph.shape(layer.inputs[0], size)[0]
            found.append((own.name, own.parameters(channels, bounds)))
        else:
            found.append((own.name, own.stabiliser()))
    return found


def check_start(layers: Mapping[str, Layer], start: str, rule: LayerRule | Composite) -> None:
    """Raise ValueError if relevance cannot start at the output of a layer."""
    if layers[start].op in HEADS:
        raise ValueError(
            f"rule {rule.name!r} carries no relevance through {start!r}, a {layers[start].op}: "
            f"explain the score below it (on='score'), not the probability"
        )


def add_notes(layers: Mapping[str, Layer], start: str, wanted: Sequence[str]) -> None:
    """Note at which layers there is no agreed rule."""
    active = between(layers, start, wanted)
    passed = [layers[name] for name in active if active & set(layers[name].inputs)]
    ops = {layer.op for layer in passed}
    norms = [op for op in _NORMS if op in ops]
    if norms:
        notes.add(
            f"No rule of relevance is agreed on for {', '.join(norms)}: it passed relevance on "
            f"unchanged."
        )
    if "multiply" in ops:
        notes.add(
            "At products all relevance went to the map, none to its factors; if both inputs are "
            "maps, half to each."
        )


def pictures_at_a_time(count: int, shapes: Sequence[tuple[int, ...]]) -> list[slice]:
    """Divide `count` pictures so that maps of these shapes take a bounded memory."""
    size = 4 * sum(map(math.prod, shapes))
    step = max(1, _BYTES // max(size, 1))
    return [slice(first, min(first + step, count)) for first in range(0, count, step)]


def check_seeds(seeds: ArrayLike, shape: tuple[int, ...]) -> _F32:
    """Return seeds as float32, (S, N, ...).

    Raises
    ------
    ValueError
        If they do not have the shape of the batch's output.
    """
    given = np.asarray(seeds, np.float32)
    if given.shape[1:] != shape:
        raise ValueError(f"seeds must have the shape (S, *{shape}), got {given.shape}")
    return given
