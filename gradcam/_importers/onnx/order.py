"""The nodes of a graph that a value depends on, each after those whose results it reads."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence

from gradcam._importers.onnx.operation import shown, title
from gradcam._weights.graph import Node
from gradcam._weights.tensors import WeightsError


def producers(nodes: Iterable[Node], known: Container[str]) -> dict[str, Node]:
    """Return the node that computes each value.

    Raises
    ------
    WeightsError
        If a value is computed twice, or a node computes what is `known` already.
    """
    found: dict[str, Node] = {}
    for node in nodes:
        for name in node.outputs:
            if name in found or (name and name in known):
                raise WeightsError(f"{title(node)}: the value {shown(name)} is defined twice")
            if name:
                found[name] = node
    return found


def needed(
    output: str, makers: Mapping[str, Node], known: Container[str], positions: Mapping[Node, int]
) -> list[Node]:
    """Return the nodes that `output` depends on, in the order of the file where that is possible.

    Parameters
    ----------
    output : str
        A value.
    makers : mapping of str to Node
        As of :func:`producers`.
    known : container of str
        Values that need no node: inputs and constants.
    positions : mapping of Node to int
        The places of the nodes in the file.

    Raises
    ------
    WeightsError
        If a value is missing, or nodes depend on each other in a cycle.
    """
    found: dict[Node, None] = {}
    waiting = [makers[output]] if output in makers else []
    while waiting:
        node = waiting.pop()
        if node in found:
            continue
        found[node] = None
        for name in node.inputs:
            if not name or name in known:
                continue
            if name not in makers:
                raise WeightsError(
                    f"{title(node)}: reads {shown(name)}, which nothing in the file computes or "
                    f"stores in a supported type"
                )
            waiting.append(makers[name])
    return _sorted(found, makers, known, positions)


def _sorted(
    nodes: Iterable[Node],
    makers: Mapping[str, Node],
    known: Container[str],
    positions: Mapping[Node, int],
) -> list[Node]:
    """Return nodes in topological order; of several possible ones, the first in the file first."""
    open_inputs: dict[Node, int] = {}
    readers: dict[Node, list[Node]] = defaultdict(list)
    for node in nodes:
        sources = {makers[name] for name in node.inputs if name and name not in known}
        open_inputs[node] = len(sources)
        for source in sources:
            readers[source].append(node)
    numbered = {positions[node]: node for node in open_inputs}
    ready = [place for place, node in numbered.items() if not open_inputs[node]]
    heapq.heapify(ready)
    result = []
    while ready:
        node = numbered[heapq.heappop(ready)]
        result.append(node)
        for reader in readers[node]:
            open_inputs[reader] -= 1
            if not open_inputs[reader]:
                heapq.heappush(ready, positions[reader])
    if len(result) < len(open_inputs):
        stuck = min(set(open_inputs) - set(result), key=positions.__getitem__)
        raise WeightsError(f"{title(stuck)}: depends on its own result: the graph has a cycle")
    return result


def inputs_of(nodes: Sequence[Node], inputs: Sequence[str]) -> list[str]:
    """Return those inputs of the graph that the nodes read."""
    read = {name for node in nodes for name in node.inputs}
    return [name for name in inputs if name in read]
