"""Names of layers that the author of an ONNX file would recognise.

PyTorch's exporters write the modules around a node, "/layer4/layer4.2/relu/Relu" or as metadata;
the names of weights are those of their modules, "features.0.weight". Keras and tf2onnx write
"functional_1/block1_conv1/convolution".
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence

from gradcam._weights.graph import Node

_ROLES = ("weight", "bias", "kernel", "gamma", "running_mean")
"""What follows the name of a module in the name of its weights."""

_WEIGHTED = ("Conv", "Gemm", "MatMul", "BatchNormalization", "LayerNormalization", "PRelu")

_NUMBER = re.compile(r"_\d+$")

Names = tuple[str, tuple[str, ...]]
"""The name of a layer, and further ones."""


def names(nodes: Sequence[Node], tensors: Container[str]) -> dict[Node, Names]:
    """Return the names of the layer that each node becomes.

    Parameters
    ----------
    nodes : sequence of Node
    tensors : container of str
        The names of the weights.
    """
    modules = {node: _module(node, tensors) for node in nodes}
    containers = {
        module[:end]
        for module in modules.values()
        for end in (match.start() for match in re.finditer(r"\.", module))
    }
    result = {}
    for node, module in modules.items():
        operator = _operator(node)
        if not module:
            name = operator
        elif module in containers:
            name = f"{module}.{operator}"
        else:
            name = module
        also = (node.name.lstrip("/"), node.name, *node.outputs[:1])
        result[node] = name, tuple(each for each in also if each and each != name)
    return result


def _operator(node: Node) -> str:
    """Return the name of a node without modules: "Relu_1", or its operation."""
    last = node.name.rsplit("/", 1)[-1]
    return (last or node.op).removeprefix("node_").lower()


def _module(node: Node, tensors: Container[str]) -> str:
    """Return the path of the module that a node belongs to; empty if the file does not say it."""
    if node.scope:
        return node.scope
    if node.op in _WEIGHTED:
        for name in node.inputs[1:]:
            module, _, role = name.rpartition(".")
            if role in _ROLES and module and name in tensors:
                return module
    parts = [part for part in node.name.split("/") if part]
    if node.name.startswith("/"):
        return _path(parts[:-1])
    return parts[-2] if len(parts) > 1 else ""


def _path(parts: Sequence[str]) -> str:
    """Return the path of nested modules: "layer4", "layer4.2", "relu" are "layer4.2.relu".

    A part that begins with the part before it, as those of a Sequential do, replaces it.
    """
    path: list[str] = []
    for part in parts:
        if path and part.startswith(f"{path[-1]}."):
            path.pop()
        path.append(part)
    return ".".join(path)
