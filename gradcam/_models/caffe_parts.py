"""Caffemodels that do not describe a whole network: is what they say that of the known network?

Some tools write only a part of what Caffe does: blobs and names, sometimes types or parameters. The
names then tell the network. What the file says beside them must not contradict it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from gradcam._engine.layers import Attribute, Layer, pair
from gradcam._importers import caffe_input
from gradcam._pictures.presets import Preset
from gradcam._text import printable
from gradcam._weights.caffe_schema import SOURCES
from gradcam._weights.graph import Graph, Node
from gradcam._weights.tensors import WeightsError

_OPERATIONS: dict[str, tuple[str, ...]] = {
    "Convolution": ("conv",),
    "InnerProduct": ("linear",),
    "Pooling": ("max_pool", "average_pool", "global_average_pool", "global_max_pool"),
    "ReLU": ("relu",),
    "LRN": ("local_response_norm",),
}
"""Types of layers, and the operations that they can be."""

_WITHOUT_EFFECT = (
    *SOURCES,
    *("Accuracy", "Dropout", "Flatten", "Silence", "Softmax", "SoftmaxWithLoss", "Split"),
)
"""Types of layers that a network of a known family may have or not."""

_POOLS = ("max_pool", "average_pool")
_DEFAULTS = {"stride": (1, 1), "pad": (0, 0), "dilation": (1, 1)}
_OF_LAYERS = {"only", "phase", "unknown"}
"""Attributes that are not of the message of parameters."""


def check(graph: Graph, layers: Sequence[Layer], title: str) -> None:
    """Raise WeightsError if a layer of the file contradicts the known network.

    Parameters
    ----------
    graph : Graph
        Of kind "caffe parts".
    layers : sequence of Layer
        Of the known network.
    title : str
        Its name, for messages.
    """
    for op, nodes in _by_type(graph.nodes).items():
        own = [layer for layer in layers if layer.op in _OPERATIONS.get(op, ())]
        names = {name: layer for layer in own for name in (layer.name, *layer.aliases)}
        if all(node.name in names for node in nodes):
            own = [names[node.name] for node in nodes]
        elif len(nodes) != len(own):
            raise _contradiction(f"it has {len(nodes)} layers of the type {op}", title, len(own))
        for node, layer in zip(nodes, own, strict=True):
            for name, stated, known in _differences(node, layer):
                text = f"{op} {printable(node.name)!r} has {name} {stated}"
                raise _contradiction(text, title, known)


def preset(
    graph: Graph, channels: int, usual: Preset | None
) -> tuple[Preset | None, tuple[str, ...]]:
    """Return how pictures become input: what the file says, or else as usual; and notes on it."""
    notes: list[str] = []
    for node in graph.nodes:
        if {"mean_value", "mean_file", "scale"} & node.attributes.keys() and node.op in SOURCES:
            source = caffe_input.source_of(node, notes)
            return caffe_input.preset_of(source, channels, None, notes), tuple(notes)
    return usual, ()


def _by_type(nodes: Iterable[Node]) -> dict[str, list[Node]]:
    found: dict[str, list[Node]] = {}
    for node in nodes:
        if node.op and node.op not in _WITHOUT_EFFECT:
            found.setdefault(node.op, []).append(node)
    return found


def _contradiction(stated: str, title: str, known: object) -> WeightsError:
    return WeightsError(
        f"the file has the names of {title}, but {stated}, where {title} has {known}. What each "
        f"layer reads, or some parameter, is missing in the file, so that its own network cannot "
        f"be followed: save it with Caffe (net.save), or build it with gradcam.Network.from_layers"
    )


def _differences(node: Node, layer: Layer) -> list[tuple[str, object, object]]:
    """Return the parameters that differ: the name, the file's value, the known one."""
    attributes, known = node.attributes, layer.attributes
    found: list[tuple[str, object, object]] = []
    if node.op == "Pooling":
        stated = attributes.get("pool", 0 if attributes.keys() - _OF_LAYERS else None)
        if stated is not None and stated != _method(layer):
            name = {0: "MAX", 1: "AVE", 2: "STOCHASTIC"}.get(
                stated if isinstance(stated, int) else -1
            )
            found.append(("pool", name or stated, layer.op))
        if attributes.get("global_pooling", 0) != layer.op.startswith("global"):
            found.append(("global_pooling", attributes.get("global_pooling", 0), layer.op))
    if node.op == "ReLU" and attributes.get("negative_slope", 0.0) != 0:
        found.append(("negative_slope", attributes["negative_slope"], layer.op))
    if node.op == "Convolution" and "group" in attributes:
        found.append(("group", attributes["group"], known.get("groups", 1)))
    if node.op in ("Convolution", "Pooling"):
        found += _windows(node, layer)
    if node.op == "LRN":
        own = {"local_size": "size", "alpha": "alpha", "beta": "beta", "k": "k"}
        found += [(n, attributes[n], known.get(own[n])) for n in own if n in attributes]
    return [each for each in found if each[1] != each[2]]


def _method(layer: Layer) -> int:
    return int("average" in layer.op)


def _windows(node: Node, layer: Layer) -> list[tuple[str, object, object]]:
    """Return the kernel, stride, padding and dilation that the file states, and the known ones."""
    weights = np.shape(layer.weights.get("weight", ()))[2:]
    kernel = layer.attributes.get("kernel", weights or 1)
    known: dict[str, Attribute] = {
        "kernel_size": kernel,
        "stride": layer.attributes.get("stride", kernel if node.op == "Pooling" else 1),
        "pad": layer.attributes.get("padding", 0),
        "dilation": layer.attributes.get("dilation", 1),
    }
    found: list[tuple[str, object, object]] = []
    for name, value in known.items():
        stated = _stated(node, name)
        if stated is not None and not (name == "kernel_size" and layer.op.startswith("global")):
            found.append((name, stated, pair(value)))
    return found


def _stated(node: Node, name: str) -> tuple[int, int] | None:
    """Return a parameter for rows and columns, if the file has it."""
    short = "kernel" if name == "kernel_size" else name
    rows, columns = (node.attributes.get(f"{short}_{axis}") for axis in "hw")
    if isinstance(rows, int) or isinstance(columns, int):
        default = _DEFAULTS.get(name, (0, 0))[0]
        return (
            rows if isinstance(rows, int) else default,
            columns if isinstance(columns, int) else default,
        )
    values = node.attributes.get(name)
    if isinstance(values, tuple) and values:
        return int(values[0]), int(values[-1])
    # A message of parameters without this one has Caffe's default.
    return _DEFAULTS.get(name) if node.attributes.keys() - _OF_LAYERS else None
