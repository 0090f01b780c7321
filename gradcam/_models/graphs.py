"""Recognise a VGG in the graph of an ONNX file, and name its tensors by their order.

The tensors of such a file have any names ("features.0.weight", "onnx::Conv_42", "vgg0_dense0_bias"
or worse), so the graph is followed from its input: it must be a chain of a VGG's operations, with a
VGG's attributes, in one of the family's four depths. The error names what does not fit.

Two attributes are interpreted. Pooling that rounds up is accepted: it equals pooling that rounds
down on even maps, and all maps are even for images of the published size. Average pooling before
the first fully connected layer is taken for torchvision's, which has no effect there; if it has
one, the next layer has another width, and does not fit the network.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gradcam._text import printable
from gradcam._weights.graph import Graph, Node
from gradcam._weights.tensors import EPS, Weights, WeightsError, listed

_STEPS = {
    "Conv": "conv",
    "BatchNormalization": "bn",
    "Relu": "relu",
    "MaxPool": "pool",
    "AveragePool": "average",
    "GlobalAveragePool": "average",
    "Flatten": "flatten",
    "Reshape": "flatten",
    "Gemm": "linear",
    "MatMul": "linear",
    "Add": "add",
    "Softmax": "softmax",
    "Sigmoid": "sigmoid",
}
"""ONNX's operations and their names in :data:`_FOLLOWERS`."""

_NO_EFFECT = ("Cast", "Dropout", "Identity")
"""Operations that do not change a map: Cast must convert to a floating-point type."""

_FLOATING = (1, 10, 11, 16)
"""ONNX's numbers of the types float32, float16, double and bfloat16."""

_FOLLOWERS = {
    "": ("conv",),
    "conv": ("bn", "relu"),
    "bn": ("relu",),
    "relu": ("conv", "pool"),
    "pool": ("conv", "average", "flatten"),
    "average": ("flatten",),
    "flatten": ("flatten", "linear"),
    "linear": ("add", "linear relu", "softmax", "sigmoid", "the end"),
    "add": ("linear relu", "softmax", "sigmoid", "the end"),
    "linear relu": ("flatten", "linear"),
    "softmax": ("the end",),
    "sigmoid": ("the end",),
}
"""The operations that may follow each operation in a VGG, whatever the number of layers."""

_PARAMETERS = ("weight", "bias", "running_mean", "running_var")
"""PyTorch's names of an operation's parameters, in the order of its inputs."""

_BLOCKS = {(1, 1, 2, 2, 2), (2, 2, 2, 2, 2), (2, 2, 3, 3, 3), (2, 2, 4, 4, 4)}
"""Number of convolutions in each block of VGG-11, 13, 16 and 19."""

_SHAPE_ARITHMETIC = {"Cast", "Concat", "Gather", "Identity", "Slice", "Squeeze", "Unsqueeze"}
"""Operations with which older exporters compute Reshape's target from the operation Shape."""

_Tensors = dict[str, NDArray[Any]]
_Step = tuple[str, Node]
"""An operation of the chain, with its name in :data:`_FOLLOWERS`."""

_T = TypeVar("_T", int, float, str, tuple[int, ...])


def name_tensors(weights: Weights) -> Weights:
    """Name the tensors of a VGG's graph by their order.

    "conv1.weight" (out, in, 3, 3), "conv1.bias", "bn1.weight", "bn1.bias", "bn1.running_mean",
    "bn1.running_var", "linear1.weight" (out, in), "linear1.bias", each kind numbered from 1; the
    metadata's "eps" is that of batch normalisation if it is not 1e-5, and its "head" is "softmax"
    or "sigmoid" if the graph ends in one. Biases that the graph does not have are zeros.

    Parameters
    ----------
    weights : Weights
        Without a graph they are returned unchanged.

    Returns
    -------
    Weights
        Without a graph.

    Raises
    ------
    WeightsError
        If the graph is not a VGG.
    """
    graph = weights.graph
    if graph is None:
        return weights
    tensors, dtypes = dict(weights.tensors), dict(weights.dtypes)
    layers = _layers(_chain(graph, _constant_nodes(graph, tensors, dtypes)))
    found = _parameters(layers, tensors)
    metadata = {**weights.metadata, **_metadata(layers)}
    if graph.external:
        # The cache identifies the converted copy of a file by that file alone
        # (gradcam/_models/converted.py): the copy would remain in use after a change of the
        # external file. Contiguous tensors need no copy.
        found = {name: np.ascontiguousarray(values) for name, values in found.items()}
    return Weights(found, metadata, weights.format, _dtypes(layers, dtypes))


# ------------------------------------------------------------------------ errors and attributes


def _not_a_vgg(text: str) -> WeightsError:
    return WeightsError(f"an ONNX graph that is not a VGG: {text}")


def _title(node: Node) -> str:
    """Return the operation and the name of a node, for messages."""
    return f"{printable(node.op)} {node.name!r}" if node.name else printable(node.op)


def _error(node: Node, text: str) -> WeightsError:
    return _not_a_vgg(f"{_title(node)} {text}")


def _shown(value: object) -> str:
    return printable(f"{value!r:.100}")


def _attribute(node: Node, name: str, default: _T) -> _T:
    """Return an attribute of the type of `default`."""
    value = node.attributes.get(name, default)
    floats = isinstance(value, tuple) and any(type(each) is not int for each in value)
    if not isinstance(value, type(default)) or floats:
        kind = "integers" if isinstance(default, tuple) else type(default).__name__
        raise _error(node, f"has {name} {_shown(value)}, expected {kind}")
    return value


def _check(node: Node, name: str, default: _T, *allowed: _T) -> _T:
    """Return an attribute, which must have one of the allowed values."""
    value = _attribute(node, name, default)
    if value not in allowed:
        expected = " or ".join(map(str, allowed))
        raise _error(node, f"has {name} {_shown(value)}, expected {expected}")
    return value


# ------------------------------------------------------------------------ the chain of layers


def _constant_nodes(graph: Graph, tensors: _Tensors, dtypes: dict[str, str]) -> set[Node]:
    """Return the nodes that do not depend on the image's values: names of tensors, shapes.

    The further names are added to `tensors` and `dtypes`.
    """
    nodes: set[Node] = set()
    shapes: set[str] = set()
    for node in graph.nodes:
        known = all(name in shapes or name in tensors for name in node.inputs)
        if node.op == "Identity" and all(name in tensors for name in node.inputs[:1]):
            for name, source in zip(node.outputs, node.inputs, strict=False):
                if name in tensors:
                    raise WeightsError(f"tensor {name!r} is defined twice")
                tensors[name] = tensors[source]
                if source in dtypes:
                    dtypes[name] = dtypes[source]
        elif node.op in ("Constant", "Shape") or (node.op in _SHAPE_ARITHMETIC and known):
            shapes.update(node.outputs)
        else:
            continue
        nodes.add(node)
    return nodes


def _chain(graph: Graph, constant: set[Node]) -> list[Node]:
    """Return the operations from the image to the scores, which must not branch."""
    if len(graph.inputs) != 1:
        raise _not_a_vgg(f"it has {len(graph.inputs)} inputs, expected one image")
    users: dict[str, list[Node]] = defaultdict(list)
    unused = {node: None for node in graph.nodes if node not in constant}
    for node in unused:
        for name in set(node.inputs):
            users[name].append(node)
    chain: list[Node] = []
    value = graph.inputs[0]
    while users[value]:
        if len(users[value]) > 1:
            named = " and ".join(map(_title, users[value][:2]))
            raise _not_a_vgg(f"it branches into {named}")
        (node,) = users[value]
        if node not in unused or not node.outputs:
            raise _error(node, "is part of a cycle or has no output")
        if node.inputs[0] != value and node.op != "Add":
            raise _error(node, f"takes the map {value!r} as a parameter")
        del unused[node]
        chain.append(node)
        value = node.outputs[0]
    if unused:
        if any(node.op == "ConstantOfShape" for node in unused):
            raise WeightsError(
                "an ONNX graph that computes its weights (ConstantOfShape) instead of storing "
                "them: a model for tests, without trained weights"
            )
        raise _error(next(iter(unused)), "is not on the way from the image to the scores")
    if value not in graph.outputs:
        raise _not_a_vgg(f"its last value {value!r} is not its output")
    return chain


def _layers(chain: list[Node]) -> list[_Step]:
    """Name the operations of the chain, which must have the order of a VGG."""
    layers: list[_Step] = []
    before, last = "", None
    for node in chain:
        if node.op == "Cast":
            _check(node, "to", 0, *_FLOATING)
        if node.op in _NO_EFFECT:
            continue
        step = _STEPS.get(node.op)
        if step is None:
            raise _error(node, "is not an operation of a VGG")
        if step == "relu" and before in ("linear", "add"):
            step = "linear relu"
        if step not in _FOLLOWERS[before]:
            where = f"cannot follow {_title(last)}" if last else "cannot be the first operation"
            raise _error(node, where)
        layers.append((step, node))
        before, last = step, node
    if "the end" not in _FOLLOWERS[before]:
        end = _title(last) if last else "nothing"
        raise _not_a_vgg(f"it ends with {end}, expected a fully connected layer")
    _check_depth([step for step, _ in layers])
    return layers


def _check_depth(steps: list[str]) -> None:
    """Raise WeightsError unless the numbers of layers are those of VGG-11, 13, 16 or 19."""
    linear = steps.count("linear")
    if linear != 3:
        raise _not_a_vgg(f"it has {linear} fully connected layers, expected 3")
    letters = "".join(step[0] for step in steps if step in ("conv", "pool"))
    blocks = tuple(len(block) for block in letters.split("p")[:-1])
    if blocks not in _BLOCKS:
        raise _not_a_vgg(
            f"convolutions in blocks of {listed(map(str, blocks))}: neither VGG-11, 13, 16 nor 19"
        )


def _numbered(layers: list[_Step]) -> Iterator[tuple[str, Node, str]]:
    """Add the layers' names in :func:`name_tensors`; an Add has the name of its MatMul."""
    counts: Counter[str] = Counter()
    for step, node in layers:
        counts[step] += 1
        name = f"linear{counts['linear']}" if step == "add" else f"{step}{counts[step]}"
        yield step, node, name


# ------------------------------------------------------------------------ tensors


def _parameters(layers: list[_Step], tensors: _Tensors) -> _Tensors:
    """Check the attributes of every operation, and name the tensors."""
    found: _Tensors = {}
    before = None
    for step, node, name in _numbered(layers):
        if step == "conv":
            found |= _convolution(node, tensors, name)
        elif step == "bn":
            found |= _normalisation(node, tensors, name)
        elif step == "linear":
            found |= _linear(node, tensors, name)
        elif step == "add":
            found[f"{name}.bias"] = _added(node, before, tensors, found[f"{name}.bias"])
        elif step == "pool":
            _check_pooling(node, (2, 2))
        elif node.op == "AveragePool":
            _check_pooling(node)
        elif node.op == "Flatten":
            _check(node, "axis", 1, 1, -3)
        before = node
    return found


def _dtypes(layers: list[_Step], dtypes: dict[str, str]) -> dict[str, str]:
    """Return the types of the tensors that were converted, by their new names."""
    found = {}
    for step, node, name in _numbered(layers):
        roles = ("bias", "bias") if step == "add" else ("", *_PARAMETERS)
        for role, source in zip(roles, node.inputs, strict=False):
            if role and source in dtypes:
                found[f"{name}.{role}"] = dtypes[source]
    return found


def _metadata(layers: list[_Step]) -> dict[str, str]:
    """Return the head, and the batch normalisations' one epsilon if it is not 1e-5."""
    epsilons = [_attribute(node, "epsilon", EPS) for step, node in layers if step == "bn"]
    convolutions = [step for step, _ in layers].count("conv")
    if len(epsilons) not in (0, convolutions) or len(set(epsilons)) > 1:
        raise _not_a_vgg(
            f"{len(epsilons)} batch normalisations for {convolutions} convolutions, with epsilons "
            f"{listed(map(str, sorted(set(epsilons))))}; expected one for each, with one epsilon"
        )
    metadata = {"eps": str(epsilons[0])} if epsilons and epsilons[0] != EPS else {}
    last, _ = layers[-1]
    return metadata | ({"head": last} if last in ("softmax", "sigmoid") else {})


def _convolution(node: Node, tensors: _Tensors, name: str) -> _Tensors:
    padding = _check(node, "auto_pad", "NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER")
    if padding == "NOTSET":
        _check(node, "pads", (0, 0, 0, 0), (1, 1, 1, 1))
    _check(node, "strides", (1, 1), (1, 1))
    _check(node, "dilations", (1, 1), (1, 1))
    _check(node, "group", 1, 1)
    weight, *bias = _inputs(node, tensors, 1, 2)
    if weight.ndim != 4 or weight.shape[2:] != (3, 3):
        raise _error(node, f"has weights of shape {weight.shape}, expected (out, in, 3, 3)")
    return {
        f"{name}.weight": weight,
        f"{name}.bias": bias[0] if bias else np.zeros(len(weight), np.float32),
    }


def _normalisation(node: Node, tensors: _Tensors, name: str) -> _Tensors:
    if _attribute(node, "training_mode", 0) or len([o for o in node.outputs if o]) > 1:
        raise _error(node, "is in training mode; export the network in evaluation mode")
    values = _inputs(node, tensors, 4, 4)
    return {f"{name}.{role}": value for role, value in zip(_PARAMETERS, values, strict=True)}


def _linear(node: Node, tensors: _Tensors, name: str) -> _Tensors:
    """Gemm computes alpha * x W + beta * b, with W transposed or not; MatMul computes x W."""
    _check(node, "transA", 0, 0)
    weight, *bias = _inputs(node, tensors, 1, 1 if node.op == "MatMul" else 2)
    if weight.ndim != 2:
        raise _error(node, f"has weights of shape {weight.shape}, expected a matrix")
    if not _attribute(node, "transB", 0):
        weight = weight.T
    _check(node, "alpha", 1.0, 1.0)
    if bias:
        _check(node, "beta", 1.0, 1.0)
    zeros = np.zeros(len(weight), np.float32)
    return {
        f"{name}.weight": weight,
        f"{name}.bias": _vector(node, bias[0], zeros) if bias else zeros,
    }


def _added(node: Node, before: Node | None, tensors: _Tensors, zeros: NDArray[Any]) -> NDArray[Any]:
    """Return the bias in an Add that follows a MatMul."""
    others = [name for name in node.inputs if name in tensors]
    if before is None or before.op != "MatMul" or len(node.inputs) != 2 or len(others) != 1:
        raise _error(node, "adds something other than the bias of a MatMul")
    return _vector(node, _floats(others[0], tensors), zeros)


def _vector(node: Node, bias: NDArray[Any], zeros: NDArray[Any]) -> NDArray[Any]:
    if bias.size != zeros.size or bias.shape[-1:] != zeros.shape:
        raise _error(node, f"has a bias of shape {bias.shape}, expected {zeros.shape}")
    return bias.reshape(zeros.shape)


def _check_pooling(node: Node, kernel: tuple[int, int] | None = None) -> None:
    """Check that the windows do not overlap, and that they have the size `kernel` if given."""
    window = _attribute(node, "kernel_shape", ())
    _check(node, "kernel_shape", window, kernel or window)
    _check(node, "strides", (1, 1), window)
    _check(node, "pads", (0, 0, 0, 0), (0, 0, 0, 0))
    _check(node, "dilations", (1, 1), (1, 1))
    _check(node, "auto_pad", "NOTSET", "NOTSET", "VALID")


def _inputs(node: Node, tensors: _Tensors, minimum: int, maximum: int) -> list[NDArray[Any]]:
    """Return the operation's parameters: all inputs but the first, which is the map."""
    names = list(node.inputs[1:])
    while names and not names[-1]:  # optional and not used
        names.pop()
    if not minimum <= len(names) <= maximum:
        raise _error(node, f"has {len(names)} parameters, expected {minimum} to {maximum}")
    for name in names:
        if name not in tensors:
            raise _error(node, f"takes {name!r}, which is not a tensor of the file")
    return [_floats(name, tensors) for name in names]


def _floats(name: str, tensors: _Tensors) -> NDArray[Any]:
    """Return a tensor of floating-point numbers."""
    values = tensors[name]
    if values.dtype.kind != "f":
        raise WeightsError(
            f"tensor {name!r} holds {values.dtype}, expected floating-point numbers "
            f"(quantised models are not supported)"
        )
    return values
