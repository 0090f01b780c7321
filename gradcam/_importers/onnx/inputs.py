"""The input of an ONNX graph: its size, its channels, and the order of its axes."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gradcam._importers.imported import DEFAULT_SIZE
from gradcam._importers.onnx.operation import Array, shown
from gradcam._weights.graph import Graph, Node
from gradcam._weights.tensors import WeightsError

_USUAL_CHANNELS = 3
_TO_NCHW = (0, 3, 1, 2)


@dataclass(frozen=True)
class Picture:
    """The input of a graph.

    Attributes
    ----------
    channels, height, width, batch : int
    layout : "NCHW" or "NHWC"
    declared : bool
        Whether the file says the height and the width.
    chosen : bool
        Whether the caller says them.
    """

    channels: int
    height: int
    width: int
    batch: int
    layout: str
    declared: bool
    chosen: bool


def picture(
    graph: Graph,
    name: str,
    nodes: Sequence[Node],
    constants: Mapping[str, Array],
    size: tuple[int, int] | None,
) -> Picture:
    """Return what is known of an input.

    Parameters
    ----------
    graph : Graph
    name : str
        Of the input.
    nodes : sequence of Node
        Those that the scores depend on.
    constants : mapping of str to array
    size : (height, width) or None
        What the caller chooses, where the file leaves the size open.

    Raises
    ------
    WeightsError
        If it has not four dimensions.
    """
    shape = graph.shapes.get(name, (None,) * 4)
    if len(shape) != 4:
        raise WeightsError(
            f"the input {shown(name)} has the shape {_words(shape)}, expected four dimensions: "
            f"batch, channels, rows, columns"
        )
    first, transposed = _first_convolution(name, nodes, constants)
    nhwc = transposed or _ends_in_channels(shape, first)
    batch, rows, columns, channels = shape if nhwc else (shape[0], *shape[2:], shape[1])
    height, width = size or DEFAULT_SIZE
    return Picture(
        channels or first or _USUAL_CHANNELS,
        rows or height,
        columns or width,
        batch or 1,
        "NHWC" if nhwc else "NCHW",
        rows is not None and columns is not None,
        size is not None,
    )


def _ends_in_channels(shape: Sequence[int | None], first: int | None) -> bool:
    """Whether the last of four sizes is that of the channels, of which a convolution reads
    `first`, if that is known."""
    if first is None:
        return shape[3] in (1, 3) and shape[1] not in (1, 3)
    return shape[1] != first and shape[3] == first


def _words(shape: Sequence[int | None]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"


def _first_convolution(
    name: str, nodes: Sequence[Node], constants: Mapping[str, Array]
) -> tuple[int | None, bool]:
    """Return the channels that the first convolution reads, and whether the first Transpose before
    it is from NHWC to NCHW."""
    readers: dict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        for each in dict.fromkeys(node.inputs):
            readers[each].append(node)
    waiting, seen, order = deque([name]), {name}, None
    while waiting:
        for node in readers[waiting.popleft()]:
            weight = constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
            if node.op == "Conv" and weight is not None and weight.ndim == 4:
                groups = node.attributes.get("group", 1)
                channels = weight.shape[1] * (groups if isinstance(groups, int) else 1)
                return channels, order == _TO_NCHW
            if node.op == "Transpose" and order is None:
                order = node.attributes.get("perm", ())
            new = [output for output in node.outputs if output and output not in seen]
            seen.update(new)
            waiting.extend(new)
    return None, order == _TO_NCHW
