"""ONNX: a graph of operations with its weights, read where it is a VGG.

The tensors of such a file have any names ("features.0.weight", "onnx::Conv_42", "vgg0_dense0_bias"
or worse), so the graph is walked from its input: it is to be a chain of a VGG's operations, with a
VGG's attributes, in one of the family's four depths. What stands in the way is named. Field
numbers are those of onnx/onnx.proto in github.com/onnx/onnx; the package itself would parse the
whole file into memory.

Two things are read as they are meant rather than as they stand. Pooling that rounds up equals
pooling that rounds down on even maps, which all are for images of the published size. And average
pooling before the first fully connected layer is taken as torchvision's, which has no effect
there; where it has, the layer after it has another width, and does not fit the network.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcam._weights import protobuf
from gradcam._weights.onnx_tensors import Tensors
from gradcam._weights.protobuf import BYTES, VARINT, Message
from gradcam._weights.tensors import EPS, Weights, WeightsError, listed

FORMAT = "ONNX"

_MODEL = dict.fromkeys((2, 3, 4, 6, 7, 8, 14, 20, 25, 26), BYTES) | dict.fromkeys((1, 5), VARINT)
"""ModelProto: ir_version is the first, 1, and model_version 5; the others are texts or messages."""

_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_VALUE_NAME = 1
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_OP, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 3, 4, 5, 7
_ATTRIBUTE_NAME, _ATTRIBUTE_FLOAT, _ATTRIBUTE_INT, _ATTRIBUTE_TEXT = 1, 2, 3, 4
_ATTRIBUTE_TENSOR, _ATTRIBUTE_INTS = 5, 8

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
}
"""ONNX operations and what they are in a VGG; those that do nothing to an image aside."""

_NOTHING = ("Cast", "Dropout", "Identity")
"""Operations that change no map: Cast is to be from one floating type to another."""

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
    "linear": ("add", "linear relu", "softmax", "the end"),
    "add": ("linear relu", "softmax", "the end"),
    "linear relu": ("flatten", "linear"),
    "softmax": ("the end",),
}
"""What may come after what; the order of a VGG's layers, whatever their number."""

_ROLES = ("weight", "bias", "running_mean", "running_var")
"""The parameters of an operation in the order of its inputs, by PyTorch's names."""

_BLOCKS = {(1, 1, 2, 2, 2), (2, 2, 2, 2, 2), (2, 2, 3, 3, 3), (2, 2, 4, 4, 4)}
"""Convolutions between poolings, in VGG-11, 13, 16 and 19."""

_SHAPE_ARITHMETIC = {"Cast", "Concat", "Gather", "Identity", "Slice", "Squeeze", "Unsqueeze"}
"""What older exporters compute Reshape's target with, from the operation Shape."""


def recognise(start: bytes) -> bool:
    """Whether a file that begins with `start` can be an ONNX model.

    The format has no signature: the file is to begin with the version, a small number, and to
    go on with fields that a model has.
    """
    return start[:1] == b"\x08" and protobuf.begins_with(start, _MODEL)


def read(path: str | os.PathLike[str]) -> Weights:
    """Map the weights of a VGG's graph, named by its order.

    "conv1.weight" (out, in, 3, 3), "conv1.bias", "bn1.weight", "bn1.bias", "bn1.running_mean",
    "bn1.running_var", "linear1.weight" (out, in), "linear1.bias", each kind counted from 1; the
    metadata's "eps" is batch normalisation's where it is not 1e-5. Biases that the graph leaves
    out are zeros. Tensors may lie in a file beside this one, as larger models keep them.

    Raises
    ------
    WeightsError
        Where the file is truncated or damaged, or the graph is no VGG's.
    """
    path = os.fspath(path)
    model = protobuf.open_message(path, FORMAT)
    graph = model.message(_MODEL_GRAPH, "the graph")
    if graph is None:
        raise model.error("no graph (a TensorFlow SavedModel or a Caffe .solverstate?)")
    tensors = Tensors(path, graph.messages(_GRAPH_INITIALIZER, "an initialiser"))
    layers = _layers(_chain(_Graph(path, graph, tensors)), path)
    found, metadata = _parameters(layers, tensors), _metadata(layers, path)
    if tensors.beside:
        # A copy of what lies in another order is kept for the next time, and found by this file
        # (gradcam/_models/converted.py): it would outlive a change of the file beside. So there
        # must be no need of one.
        found = {name: np.ascontiguousarray(values) for name, values in found.items()}
    return Weights(found, metadata, FORMAT, _dtypes(layers, tensors))


def _no_vgg(path: str, text: str) -> WeightsError:
    return WeightsError(f"{path}: an ONNX graph that is no VGG's: {text}")


@dataclass(eq=False)
class _Node:
    """One operation of the graph."""

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Message]
    path: str

    def __str__(self) -> str:
        return f"{self.op} {self.name!r}" if self.name else self.op

    def error(self, text: str) -> WeightsError:
        return _no_vgg(self.path, f"{self} {text}")

    def integer(self, name: str, default: int) -> int:
        found = self.attributes.get(name)
        return found.integer(_ATTRIBUTE_INT) if found else default

    def integers(self, name: str, default: Sequence[int]) -> list[int]:
        found = self.attributes.get(name)
        return found.integers(_ATTRIBUTE_INTS, 32).tolist() if found else list(default)

    def number(self, name: str, default: float) -> float:
        """A float32, as the shortest number that is the same as float32."""
        found = self.attributes.get(name)
        values = found.floats(_ATTRIBUTE_FLOAT, "<f4") if found else None
        return default if values is None else float(str(values[-1]))

    def text(self, name: str, default: str) -> str:
        found = self.attributes.get(name)
        return found.text(_ATTRIBUTE_TEXT) if found else default

    def expect(self, name: str, found: Any, *allowed: Any) -> None:
        """An attribute must have one of the values that it has in a VGG."""
        if found not in allowed:
            raise self.error(f"has {name} {found!r}, expected {' or '.join(map(str, allowed))}")


class _Graph:
    """The operations, which of them belong to the shape of Reshape, and the ends."""

    def __init__(self, path: str, graph: Message, tensors: Tensors):
        self.path = path
        self.nodes = [self._node(node) for node in graph.messages(_GRAPH_NODE, "a node")]
        inputs = (v.text(_VALUE_NAME) for v in graph.messages(_GRAPH_INPUT, "an input"))
        self.inputs = [name for name in inputs if name not in tensors]  # old files list both
        self.outputs = [v.text(_VALUE_NAME) for v in graph.messages(_GRAPH_OUTPUT, "an output")]
        self.aside = self._aside(tensors)

    def _node(self, message: Message) -> _Node:
        attributes = {}
        for attribute in message.messages(_NODE_ATTRIBUTE, "an attribute"):
            attributes[attribute.text(_ATTRIBUTE_NAME)] = attribute
        domain, op = message.text(_NODE_DOMAIN), message.text(_NODE_OP)
        return _Node(
            op if domain in ("", "ai.onnx") else f"{domain}.{op}",
            message.text(_NODE_NAME),
            message.texts(_NODE_INPUT),
            message.texts(_NODE_OUTPUT),
            attributes,
            self.path,
        )

    def _aside(self, tensors: Tensors) -> set[_Node]:
        """The operations that no image passes through: constants, other names, shapes."""
        aside: set[_Node] = set()
        shapes: set[str] = set()
        for node in self.nodes:
            constant = node.op == "Constant" and len(node.outputs) == 1
            if constant and "value" in node.attributes:
                value = node.attributes["value"].message(_ATTRIBUTE_TENSOR, "a constant")
                if value is not None:
                    tensors.add(node.outputs[0], value)
            elif node.op == "Identity" and all(name in tensors for name in node.inputs[:1]):
                tensors.alias(node.outputs, node.inputs)
            elif constant or self._is_shape(node, shapes, tensors):
                shapes.update(node.outputs)
            else:
                continue
            aside.add(node)
        return aside

    @staticmethod
    def _is_shape(node: _Node, shapes: set[str], tensors: Tensors) -> bool:
        """Whether the operation takes a map's shape, or computes with shapes and constants only."""
        known = all(name in shapes or name in tensors for name in node.inputs)
        return node.op == "Shape" or (node.op in _SHAPE_ARITHMETIC and known)


def _chain(graph: _Graph) -> list[_Node]:
    """The operations from the image to the scores, in order; nothing may branch off."""
    if len(graph.inputs) != 1:
        raise _no_vgg(graph.path, f"it has {len(graph.inputs)} inputs, expected one image")
    users: dict[str, list[_Node]] = defaultdict(list)
    for node in graph.nodes:
        if node not in graph.aside:
            for name in set(node.inputs):
                users[name].append(node)
    left = {node for node in graph.nodes if node not in graph.aside}
    chain: list[_Node] = []
    value = graph.inputs[0]
    while users[value]:
        if len(users[value]) > 1:
            named = " and ".join(str(node) for node in users[value][:2])
            raise _no_vgg(graph.path, f"it branches into {named}")
        (node,) = users[value]
        if node not in left or not node.outputs:
            raise node.error("leads in a circle or nowhere")
        if node.inputs[0] != value and node.op != "Add":
            raise node.error(f"takes the map {value!r} as a parameter")
        left.remove(node)
        chain.append(node)
        value = node.outputs[0]
    if left:
        raise next(iter(n for n in graph.nodes if n in left)).error(
            "is not on the way from the image to the scores"
        )
    if value not in graph.outputs:
        raise _no_vgg(graph.path, f"its last value {value!r} is not its output")
    return chain


def _layers(chain: list[_Node], path: str) -> list[tuple[str, _Node]]:
    """The operations and what they are in a VGG: one of the family's four."""
    layers: list[tuple[str, _Node]] = []
    before, last = "", None
    for node in chain:
        if node.op == "Cast":
            node.expect("to", node.integer("to", 0), *_FLOATING)
        if node.op in _NOTHING:
            continue
        here = _STEPS.get(node.op)
        if here is None:
            raise node.error("is no operation of a VGG")
        if here == "relu" and before in ("linear", "add"):
            here = "linear relu"
        if here not in _FOLLOWERS[before]:
            raise node.error(f"does not come after {last} there" if last else "does not come first")
        layers.append((here, node))
        before, last = here, node
    kinds = [kind for kind, _ in layers]
    if "the end" not in _FOLLOWERS[before]:
        raise _no_vgg(path, f"it ends with {last or 'nothing'}, expected a fully connected layer")
    if kinds.count("linear") != 3:
        raise _no_vgg(path, f"it has {kinds.count('linear')} fully connected layers, not three")
    letters = "".join(kind[0] for kind in kinds if kind in ("conv", "pool"))
    blocks = tuple(len(block) for block in letters.split("p")[:-1])
    if blocks not in _BLOCKS:
        raise _no_vgg(
            path,
            f"convolutions in blocks of {listed(map(str, blocks))}: neither VGG-11, 13, 16 nor 19",
        )
    return layers


def _numbered(layers: list[tuple[str, _Node]]) -> Iterator[tuple[str, _Node, str]]:
    """The layers with the names that :func:`read` gives them; an Add is a part of its MatMul."""
    counts: Counter[str] = Counter()
    for kind, node in layers:
        counts[kind] += 1
        name = f"linear{counts['linear']}" if kind == "add" else f"{kind}{counts[kind]}"
        yield kind, node, name


def _parameters(layers: list[tuple[str, _Node]], tensors: Tensors) -> dict[str, NDArray[Any]]:
    """Checks every operation's attributes; the tensors by the names of :func:`read`."""
    found: dict[str, NDArray[Any]] = {}
    before = None
    for kind, node, name in _numbered(layers):
        if kind == "conv":
            found |= _convolution(node, tensors, name)
        elif kind == "bn":
            found |= _normalisation(node, tensors, name)
        elif kind == "linear":
            found |= _linear(node, tensors, name)
        elif kind == "add":
            found[f"{name}.bias"] = _added(node, before, tensors, found[f"{name}.bias"])
        elif kind == "pool":
            _check_pooling(node, [2, 2])
        elif node.op == "AveragePool":
            _check_pooling(node)
        elif node.op == "Flatten":
            node.expect("axis", node.integer("axis", 1), 1, -3)
        before = node
    return found


def _dtypes(layers: list[tuple[str, _Node]], tensors: Tensors) -> dict[str, str]:
    """The types of the tensors that were converted, by the names of :func:`read`."""
    found = {}
    for kind, node, name in _numbered(layers):
        roles = ("bias", "bias") if kind == "add" else ("", *_ROLES)
        for role, source in zip(roles, node.inputs, strict=False):
            dtype = tensors.converted(source)
            if role and dtype:
                found[f"{name}.{role}"] = dtype
    return found


def _metadata(layers: list[tuple[str, _Node]], path: str) -> dict[str, str]:
    """Batch normalisation's epsilon, where it is not the usual one; all are to have the same."""
    epsilons = [node.number("epsilon", EPS) for kind, node in layers if kind == "bn"]
    convolutions = [kind for kind, _ in layers].count("conv")
    if len(epsilons) not in (0, convolutions) or len(set(epsilons)) > 1:
        raise _no_vgg(
            path,
            f"{len(epsilons)} batch normalisations for {convolutions} convolutions, with epsilons "
            f"{listed(map(str, sorted(set(epsilons))))}; expected as many, all alike",
        )
    return {"eps": str(epsilons[0])} if epsilons and epsilons[0] != EPS else {}


def _convolution(node: _Node, tensors: Tensors, name: str) -> dict[str, NDArray[Any]]:
    padding = node.text("auto_pad", "NOTSET")
    node.expect("auto_pad", padding, "NOTSET", "SAME_UPPER", "SAME_LOWER")
    if padding == "NOTSET":
        node.expect("pads", node.integers("pads", [0, 0, 0, 0]), [1, 1, 1, 1])
    node.expect("strides", node.integers("strides", [1, 1]), [1, 1])
    node.expect("dilations", node.integers("dilations", [1, 1]), [1, 1])
    node.expect("group", node.integer("group", 1), 1)
    weight, *bias = _inputs(node, tensors, 1, 2)
    if weight.ndim != 4 or weight.shape[2:] != (3, 3):
        raise node.error(f"has weights of shape {weight.shape}, expected (out, in, 3, 3)")
    return {
        f"{name}.weight": weight,
        f"{name}.bias": bias[0] if bias else np.zeros(len(weight), np.float32),
    }


def _normalisation(node: _Node, tensors: Tensors, name: str) -> dict[str, NDArray[Any]]:
    if node.integer("training_mode", 0) or len([o for o in node.outputs if o]) > 1:
        raise node.error("normalises as in training; export the network in evaluation mode")
    values = _inputs(node, tensors, 4, 4)
    return {f"{name}.{role}": value for role, value in zip(_ROLES, values, strict=True)}


def _linear(node: _Node, tensors: Tensors, name: str) -> dict[str, NDArray[Any]]:
    """Gemm computes alpha * x W + beta * b, with W transposed or not; MatMul x W."""
    node.expect("transA", node.integer("transA", 0), 0)
    weight, *bias = _inputs(node, tensors, 1, 1 if node.op == "MatMul" else 2)
    if weight.ndim != 2:
        raise node.error(f"has weights of shape {weight.shape}, expected a matrix")
    if not node.integer("transB", 0):
        weight = weight.T
    node.expect("alpha", node.number("alpha", 1), 1)
    if bias:
        node.expect("beta", node.number("beta", 1), 1)
    zeros = np.zeros(len(weight), np.float32)
    return {
        f"{name}.weight": weight,
        f"{name}.bias": _vector(node, bias[0], zeros) if bias else zeros,
    }


def _added(
    node: _Node, before: _Node | None, tensors: Tensors, zeros: NDArray[Any]
) -> NDArray[Any]:
    """The bias that an Add brings to the MatMul before it."""
    others = [name for name in node.inputs if name in tensors]
    if before is None or before.op != "MatMul" or len(node.inputs) != 2 or len(others) != 1:
        raise node.error("adds something else than the bias of a MatMul")
    return _vector(node, tensors.array(others[0]), zeros)


def _vector(node: _Node, bias: NDArray[Any], zeros: NDArray[Any]) -> NDArray[Any]:
    if bias.size != zeros.size or bias.shape[-1:] != zeros.shape:
        raise node.error(f"has a bias of shape {bias.shape}, expected {zeros.shape}")
    return bias.reshape(zeros.shape)


def _check_pooling(node: _Node, kernel: list[int] | None = None) -> None:
    """2x2 in steps of two; or, without `kernel`, windows that tile the map."""
    window = node.integers("kernel_shape", [])
    node.expect("kernel_shape", window, kernel or window)
    node.expect("strides", node.integers("strides", [1, 1]), window)
    node.expect("pads", node.integers("pads", [0, 0, 0, 0]), [0, 0, 0, 0])
    node.expect("dilations", node.integers("dilations", [1, 1]), [1, 1])
    node.expect("auto_pad", node.text("auto_pad", "NOTSET"), "NOTSET", "VALID")


def _inputs(node: _Node, tensors: Tensors, least: int, most: int) -> list[NDArray[Any]]:
    """The operation's parameters: every input but the first, which is the map."""
    names = node.inputs[1:]
    while names and not names[-1]:  # left out
        names.pop()
    if not least <= len(names) <= most:
        raise node.error(f"has {len(names)} parameters, expected {least} to {most}")
    for name in names:
        if name not in tensors:
            raise node.error(f"takes {name!r}, which is none of the file's tensors")
    return [tensors.array(name) for name in names]
