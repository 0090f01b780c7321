"""Which value of an ONNX graph holds the class scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gradcam._importers.onnx.operation import shown, title
from gradcam._importers.values import Value
from gradcam._weights.graph import Graph, Node
from gradcam._weights.tensors import WeightsError, listed

_LABELS = ("ArgMax", "TopK", "ai.onnx.ml.ZipMap")
"""Operations that turn scores into labels."""

_AFTER_LABELS = ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "ai.onnx.ml.LabelEncoder")
"""Operations that may follow those."""

_AXES = {"ArgMax": 0, "TopK": -1}
"""The axis of an operation that does not say it."""

_NOTES = {
    "ArgMax": "The file ends in the number of the best class; its scores are used.",
    "TopK": "The file ends in a choice of the best classes; the scores of all classes are used.",
    "ai.onnx.ml.ZipMap": "The file ends in a score for each label; the scores alone are used.",
}


@dataclass(frozen=True)
class End:
    """Where a graph ends for gradcam.

    Attributes
    ----------
    scores : str
        The value with the class scores.
    labels : tuple of Node
        What turns them into labels in the file.
    """

    scores: str
    labels: tuple[Node, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of it."""
        return tuple(dict.fromkeys(_NOTES[node.op] for node in self.labels))


def scores(graph: Graph, makers: Mapping[str, Node], output: str | None) -> End:
    """Return where the class scores are.

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
    labels = {name: _label(name, makers) for name in chosen}
    found = {name: node.inputs[0] if node else name for name, node in labels.items()}
    if len(set(found.values())) > 1:
        raise WeightsError(
            f"the graph has {len(graph.outputs)} outputs: choose the one with the class scores, "
            f"output=... ({listed(map(repr, graph.outputs))})"
        )
    last = next(iter(found.values()))
    return End(last, tuple(dict.fromkeys(node for node in labels.values() if node)))


def check(end: End, value: Value) -> None:
    """Raise WeightsError if the labels are not made of the best scores of the classes."""
    rank = len(value.dims)
    for node in end.labels:
        if node.op not in _AXES:
            continue
        axis = node.attributes.get("axis", _AXES[node.op])
        if not isinstance(axis, int) or not -rank <= axis < rank:
            raise WeightsError(f"{title(node)}: has axis {shown(axis)} of {rank} dimensions")
        if value.dims[axis] != value.whole("C"):
            raise WeightsError(
                f"{title(node)}: is over axis {axis} of {value.shape}, expected the classes"
            )
        if node.attributes.get("largest", 1) != 1:
            raise WeightsError(f"{title(node)}: chooses the smallest scores, expected the largest")


def _label(name: str, makers: Mapping[str, Node]) -> Node | None:
    """Return the node that turns scores into the labels that an output holds, if one does."""
    at, steps = name, 0
    while at in makers and makers[at].inputs and steps < len(makers):
        node = makers[at]
        if node.op in _LABELS:
            return node
        if node.op not in _AFTER_LABELS:
            break
        at, steps = node.inputs[0], steps + 1
    return None
