"""Which value of an ONNX graph holds the class scores."""

from __future__ import annotations

from collections.abc import Mapping

from gradcam._importers.onnx.operation import shown
from gradcam._weights.graph import Graph, Node
from gradcam._weights.tensors import WeightsError, listed

_LABELS = ("ArgMax", "TopK", "ai.onnx.ml.ZipMap", "ai.onnx.ml.LabelEncoder")
"""Operations that turn scores into labels."""

_AFTER_LABELS = ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze")
"""Operations that may follow those."""


def scores(
    graph: Graph, makers: Mapping[str, Node], output: str | None
) -> tuple[str, tuple[str, ...]]:
    """Return the value with the class scores, and notes for the user.

    Parameters
    ----------
    graph : Graph
    makers : mapping of str to Node
        The node that computes each value.
    output : str or None
        The output that the caller chooses.

    Raises
    ------
    WeightsError
        If there are several outputs and none is chosen, or there is no such output.
    """
    if not graph.outputs:
        raise WeightsError("the graph has no output")
    if output is not None and output not in graph.outputs:
        raise WeightsError(
            f"the graph has no output {shown(output)}; its outputs are {listed(graph.outputs)}"
        )
    chosen = graph.outputs if output is None else (output,)
    found = {name: _before_labels(name, makers) for name in chosen}
    if len(set(found.values())) > 1:
        raise WeightsError(
            f"the graph has {len(graph.outputs)} outputs: choose the one with the class scores, "
            f"output=... ({listed(map(repr, graph.outputs))})"
        )
    last = next(iter(found.values()))
    if any(name != last for name in found):
        return last, ("The file ends in the number of the best class; its scores are used.",)
    return last, ()


def _before_labels(name: str, makers: Mapping[str, Node]) -> str:
    """Return the scores that labels are made of; any other output itself."""
    at, steps = name, 0
    while at in makers and makers[at].inputs and steps < len(makers):
        node = makers[at]
        if node.op in _LABELS:
            return node.inputs[0]
        if node.op not in _AFTER_LABELS:
            break
        at, steps = node.inputs[0], steps + 1
    return name
