"""A backward pass under rules of relevance: what the C core needs for it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from gradcam import _core
from gradcam._engine.graph import Graph
from gradcam._engine.layers import INPUT, OPS, WEIGHTED, Layer
from gradcam._engine.rule_pass import between
from gradcam._results import notes
from gradcam._results.relevance import Bounds, Composite, LayerRule

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
    layers = graph.layers
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
            bounds = _bounds(graph, layer.inputs[0], channels)
            found.append((own.name, own.parameters(channels, bounds)))
        else:
            found.append((own.name, own.stabiliser()))
    return found


def _bounds(graph: Graph, source: str, channels: int) -> Bounds | None:
    """Return the values of black and of white in each channel of what a layer reads.

    None: the network has no preset, or this is not the input itself, nor the input flattened.
    """
    while graph.layers[source].op in ("dropout", "flatten"):
        source = graph.layers[source].inputs[0]
    if source != INPUT or graph.preset is None:
        return None
    low, high = (np.asarray(each, np.float32) for each in graph.preset.bounds)
    times = max(channels // len(low), 1)  # the positions of each channel follow one another
    return np.repeat(low, times).tolist(), np.repeat(high, times).tolist()


def check_start(graph: Graph, start: str, rule: LayerRule | Composite) -> None:
    """Raise ValueError if relevance would start at the probabilities."""
    head = graph.probability_layer
    if head is not None and start == graph.names(head)[0]:
        raise ValueError(
            f"rule {rule.name!r} carries no relevance through {start!r}, a "
            f"{graph.layers[start].op}: "
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
