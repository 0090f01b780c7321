"""Which layers become random together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from gradcam._engine.graph import Graph
from gradcam._engine.layers import WEIGHTED
from gradcam._methods.passes import positive
from gradcam.measures._random_weights import layer_with_weights, with_weights

Stages = int | Sequence[str] | None
"""How many stages, or the lowest layer of each; None: one for each convolution and fully connected
layer."""


def groups_of(graph: Graph, stages: Stages) -> list[list[str]]:
    """Return the layers of each stage, from the top of the network down.

    A stage ends at a convolution or fully connected layer; scales, normalisations and slopes above
    it belong to it.

    Raises
    ------
    ValueError
        If a layer is unknown or has no weights, or there is no such layer.
    TypeError
        If it is something else.
    """
    if isinstance(stages, str):
        raise TypeError(f"stages: expected a number or a list of layers, got {stages!r}")
    names = with_weights(graph)[::-1]
    if isinstance(stages, Sequence):
        ends = [layer_with_weights(graph, name) for name in stages]
        if not ends:
            raise ValueError("stages: an empty list of layers; give at least one")
        return _divided(names, ends)[0]
    weighted = [name for name in names if graph.layers[name].op in WEIGHTED]
    if not weighted:
        raise ValueError(f"{graph.name} has no convolution or fully connected layer")
    groups, rest = _divided(names, weighted)
    groups[-1] += rest
    return groups if stages is None else _merged(groups, positive("stages", stages))


def _divided(names: Sequence[str], ends: Sequence[str]) -> tuple[list[list[str]], list[str]]:
    """Divide names after each of `ends`; return also those after the last."""
    groups: list[list[str]] = []
    group: list[str] = []
    for name in names:
        group.append(name)
        if name in ends:
            groups.append(group)
            group = []
    return groups, group


def _merged(groups: list[list[str]], count: int) -> list[list[str]]:
    """Return `count` groups of nearly as many of the given ones, or all if they are fewer."""
    count = min(count, len(groups))
    bounds = [len(groups) * n // count for n in range(count + 1)]
    return [
        [name for group in groups[first:last] for name in group] for first, last in pairwise(bounds)
    ]
