"""Names of layers that the author of an ONNX file would recognise.

PyTorch's exporters write the modules around a node, "/layer4/layer4.2/relu/Relu" or as metadata;
the names of weights are those of their modules, "features.0.weight". Keras and tf2onnx write
"functional_1/block1_conv1/convolution".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Mapping, Sequence

from gradcam._weights.graph import Node

_ROLES = ("weight", "bias", "kernel", "gamma", "running_mean")
"""What follows the name of a module in the name of its weights."""

_WEIGHTED = ("Conv", "Gemm", "MatMul", "BatchNormalization", "LayerNormalization", "PRelu")

_NUMBER = re.compile(r"_\d+$")

_VIEWS = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""Operations that become no layer."""

_INNER = {"batchnorm", "moments", "Gelu", "convolution", "depthwise", "separable_conv2d", "MatMul"}
"""Names that TensorFlow gives to parts of a layer."""

_MAX_LENGTH = 200
"""Characters of a path; longer ones are left out."""

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
    named = [module for module in modules.values() if module]
    if 2 * sum(module.endswith("_1") for module in named) > len(named):  # by TensorFlow
        modules = {node: module.removesuffix("_1") for node, module in modules.items()}
    present = set(modules.values())
    containers = {  # the other prefixes of long paths would take much memory
        module[:end]
        for module in present
        for end in (match.start() for match in re.finditer(r"\.", module))
        if module[:end] in present
    }
    calls = _calls(nodes, {n: m for n, m in modules.items() if m and m not in containers})
    # The name of a call is that of its result, which nodes that compute nothing may follow.
    last = {name: node for node, name in calls.items()}
    last |= {name: node for node, name in calls.items() if node.op not in _VIEWS}
    counts: Counter[str] = Counter()
    result: dict[Node, Names] = {}
    for node, module in modules.items():
        name = calls.get(node, module)
        if last.get(name) is not node:
            name = f"{name}.{_operator(node)}".removeprefix(".")
            counts[name] += 1
            name = f"{name}_{counts[name] - 1}" if counts[name] > 1 else name
        also = node.name or next(iter(node.outputs), "")
        result[node] = name, (also,) if also and also != name else ()
    return result


def _calls(nodes: Sequence[Node], modules: Mapping[Node, str]) -> dict[Node, str]:
    """Return the names of calls of modules: "relu", and "relu_1" if it is used once more.

    Nodes of one module that read each other belong to one call.
    """
    makers = {name: node for node in nodes for name in node.outputs if name}
    counts: Counter[str] = Counter()
    calls: dict[Node, str] = {}
    for node, module in modules.items():
        before = [makers[name] for name in node.inputs if name in makers]
        same = [calls[each] for each in before if modules.get(each) == module and each in calls]
        if same:
            calls[node] = same[0]
            continue
        calls[node] = f"{module}_{counts[module]}" if counts[module] else module
        counts[module] += 1
    return calls


def _operator(node: Node) -> str:
    """Return the name of a node without modules and number: "relu"; else its operation."""
    last = _NUMBER.sub("", node.name.rsplit("/", 1)[-1].removeprefix("node_"))
    return (last or node.op).lower()


def _module(node: Node, tensors: Container[str]) -> str:
    """Return the path of the module that a node belongs to; empty if the file does not say it."""
    found = _path_of(node, tensors)
    return found if len(found) <= _MAX_LENGTH else ""


def _path_of(node: Node, tensors: Container[str]) -> str:
    if node.scope:
        return node.scope
    weights = [name for name in node.inputs[1:] if name in tensors]
    if node.op in _WEIGHTED:
        for name in weights:
            module, _, role = name.rpartition(".")
            if role in _ROLES and module:
                return module
    if node.name.startswith("/"):
        return _path([part for part in node.name.split("/") if part][:-1])
    candidates = (node.name, *node.outputs, *(weights if node.op in _WEIGHTED else ()))
    found = next((found for found in map(_keras_layer, candidates) if found), "")
    return found or node.name.rpartition("/")[0]


def _keras_layer(name: str) -> str:
    """Return the layer in "functional_1/bn_conv1/batchnorm/add_1", or an empty text."""
    inner = [part for part in name.split("/")[1:-1] if part not in _INNER]
    return inner[-1] if inner else ""


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
