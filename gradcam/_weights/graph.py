"""A graph of operations, as a file describes a network: the nodes and the names of their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Attribute = int | float | str | tuple[int, ...] | tuple[float, ...] | NDArray[np.generic] | None
"""The value of a node's attribute; None for a value of any other type, which is not read."""


@dataclass(frozen=True, eq=False)
class Node:
    """One operation. Two nodes are equal only if they are the same object.

    Attributes
    ----------
    op : str
        The operation, with its domain if that is not the standard one: "Conv", "com.example.Foo".
    name : str
        The node's name, which can be empty.
    inputs, outputs : tuple of str
        Names of values; an empty name is an optional input or output that is not used.
    attributes : mapping of str to Attribute
    scope : str
        The module of the program that made the file, "layer4.1.conv2", if the file says it.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    scope: str = ""


@dataclass(frozen=True)
class Graph:
    """The operations of a file, in its order.

    A node's input is another node's output, an input of the graph, or a tensor of the same name in
    :attr:`gradcam.weights.Weights.tensors`.

    Attributes
    ----------
    kind : str
        Whose operations they are: "onnx", "caffe", ...: the importer's name.
    nodes : tuple of Node
        Constants are not among them: their values are tensors.
    inputs, outputs : tuple of str
        Names of values. Tensors are not inputs, even if the file lists them as such.
    external : bool
        Whether tensors are stored in other files than the graph.
    shapes : mapping of str to tuple
        The declared shapes of inputs and outputs; None for a size that is left open. Values whose
        shape is not declared are missing.
    opset : int
        The version of the standard operations, 0 if the file does not say it.
    producer : str
        The program that wrote the file, with its version: "pytorch 2.13.0".
    """

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    external: bool = False
    kind: str = "onnx"
    shapes: Mapping[str, tuple[int | None, ...]] = field(default_factory=dict)
    opset: int = 0
    producer: str = ""


@dataclass(frozen=True, eq=False)
class ModelFolder:
    """What a folder says beside the weights.

    Attributes
    ----------
    kind : str
        Whose folder it is: "transformers" or "timm".
    config : mapping of str to object
        The content of config.json.
    preprocessor : mapping of str to object, or None
        That of preprocessor_config.json, if there is one.
    external : bool
        Whether tensors are stored in several files.
    """

    kind: str
    config: Mapping[str, object]
    preprocessor: Mapping[str, object] | None
    external: bool
