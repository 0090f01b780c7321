"""Groups of nodes that mean one operation, replaced by one node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from gradcam._importers.onnx.functions import Functions
from gradcam._importers.onnx.normalisations import Norms
from gradcam._importers.onnx.order import needed
from gradcam._weights.graph import Node

_UNFINISHED = (
    "The graph has so many products that activations written as several nodes were "
    "looked for only in its last part."
)


def fused(
    nodes: Sequence[Node], constants: Mapping[str, NDArray[Any]], inputs: Sequence[str], output: str
) -> tuple[list[Node], tuple[str, ...]]:
    """Return fewer nodes with the same result, and notes for the user.

    Parameters
    ----------
    nodes : sequence of Node
        Each after those that it reads.
    constants : mapping of str to array
    inputs : sequence of str
        Of the graph.
    output : str
        The value that is needed.

    Returns
    -------
    list of Node
        Those that `output` depends on, each after those that it reads.
    tuple of str
        What was not looked for.
    """
    nodes = _without_identities(nodes, output)
    makers = {name: node for node in nodes for name in node.outputs}
    functions, norms = Functions(makers, constants), Norms(makers, constants)
    positions, result = {}, {}
    for place in reversed(range(len(nodes))):
        node = nodes[place]
        node = functions.activation(node) or norms.normalisation(node) or node
        node = _without_repeats(node, makers)
        positions[node] = place
        result.update(dict.fromkeys(node.outputs, node))
    notes = () if functions.trials > 0 else (_UNFINISHED,)
    return needed(output, result, {*constants, *inputs}, positions), notes


def _without_identities(nodes: Sequence[Node], output: str) -> list[Node]:
    """Return the nodes without those that only give a value a second name."""
    names: dict[str, str] = {}
    result = []
    for node in nodes:
        if any(name in names for name in node.inputs):
            node = replace(node, inputs=tuple(names.get(name, name) for name in node.inputs))
        if node.op == "Identity" and len(node.inputs) == 1 and node.outputs[:1] != (output,):
            names.update(dict.fromkeys(node.outputs, node.inputs[0]))
            continue
        result.append(node)
    return result


def _without_repeats(node: Node, makers: Mapping[str, Node]) -> Node:
    """Return a product whose factor was repeated to the shape of the other one, without that."""
    if node.op != "Mul" or len(node.inputs) != 2:
        return node
    for factor, other in (node.inputs, node.inputs[::-1]):
        repeat = makers.get(factor)
        if repeat is None or repeat.op != "Expand" or len(repeat.inputs) != 2:
            continue
        shape = makers.get(repeat.inputs[1])
        whole = shape is not None and shape.op == "Shape" and not shape.attributes
        if whole and shape is not None and shape.inputs == (other,):
            return replace(node, inputs=(other, repeat.inputs[0]))
    return node
