"""From a list of layers to a network of the core: names, inputs, and batch normalisation folded."""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import ArrayLike

from gradcam import _core
from gradcam._weights.storage import check_storage, stored
from gradcam._weights.tensors import WeightsError

INPUT = "input"
"""The name of layer 0."""

_POOLS = ("max_pool", "average_pool", "adaptive_average_pool", "global_average_pool")
_SEVERAL_INPUTS = ("add", "concatenate")
OPS = (
    *("conv", "linear", "batch_norm", "affine", "relu", *_POOLS),
    *("softmax", "flatten", "dropout", *_SEVERAL_INPUTS),
)
"""The operations that a layer can name; arguments as in :class:`gradcam._core.NetworkBuilder`."""


Convolution = Literal["winograd", "direct"]
"""How 3x3 convolutions of stride 1 are computed: fast, or by their definition."""


def check_convolution(name: str | None) -> Convolution:
    """The way asked for; by default that of GRADCAM_CONV, else "winograd".

    Raises
    ------
    ValueError
        For an unknown one; the message says where it was asked for.
    """
    source = "GRADCAM_CONV" if name is None else "conv"
    name = os.environ.get("GRADCAM_CONV", "winograd") if name is None else name
    if name not in get_args(Convolution):
        raise ValueError(f"{source}: expected 'winograd' or 'direct', got {name!r}")
    return cast(Convolution, name)


@dataclass(frozen=True)
class Layer:
    """One layer of a network.

    Attributes
    ----------
    name : str
        Unique in the network.
    op : str
        One of :data:`OPS`.
    inputs : tuple of str
        Names of the layers that feed it. Empty: the layer before, or ``"input"`` for the first.
    weights : mapping of str to array
        By the operation's own names: ``weight`` and ``bias`` (conv: (K, C / groups, R, S),
        linear: (out, in)); ``scale`` and ``shift`` (affine); ``weight``, ``bias``,
        ``running_mean`` and ``running_var`` (batch_norm), each (C,).
    attributes : mapping of str to anything
        ``stride``, ``padding``, ``dilation``, ``groups``, ``kernel``, ``ceil_mode``,
        ``count_include_pad``, ``size``; ``eps`` of batch_norm (default 1e-5); ``exact`` of conv,
        True for one that is computed by its definition whatever the network's `conv` says;
        ``dtype`` of linear, in which its weight is stored: "float32", "float16" or "bfloat16".
    aliases : tuple of str
        Its names elsewhere.
    """

    name: str
    op: str
    inputs: tuple[str, ...] = ()
    weights: Mapping[str, ArrayLike] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()


class Names:
    """The layers of a network by number and by every name.

    Attributes
    ----------
    layers : tuple of str
        The first name of each layer; the position is the layer's number in the core.
    """

    def __init__(self) -> None:
        self.layers: tuple[str, ...] = ()
        self._aliases: list[tuple[str, ...]] = []
        self._index: dict[str, int] = {}
        self._folded: dict[str, str] = {}

    def add(self, name: str, aliases: Sequence[str] = ()) -> None:
        """Name the next layer."""
        every = tuple(dict.fromkeys((name, *aliases)))
        for alias in every:
            if alias in self._index or alias in self._folded:
                raise ValueError(f"two layers are called {alias!r}")
            self._index[alias] = len(self.layers)
        self.layers += (name,)
        self._aliases.append(every)

    def fold(self, layer: Layer, into: str) -> None:
        """Remember that `layer` has no map of its own because it became part of another."""
        self._folded.update(dict.fromkeys((layer.name, *layer.aliases), into))

    def index(self, name: str) -> int:
        """The number of the layer of that name.

        Raises
        ------
        ValueError
            For an unknown name (lists the layers), or one that was folded into another layer.
        TypeError
            For anything but a string.
        """
        if not isinstance(name, str):
            raise TypeError(f"a layer is given by its name (str), got {name!r}")
        if name in self._index:
            return self._index[name]
        if name in self._folded:
            into = self._folded[name]
            raise ValueError(
                f"layer {name!r} has no map of its own: the batch normalisation {into!r} was "
                f"folded into it; ask for {into!r}"
            )
        near = difflib.get_close_matches(name, list(self._index), n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(f"no layer is called {name!r}{hint}; there are {', '.join(self.layers)}")

    def of(self, name: str) -> tuple[str, ...]:
        """Every name of the layer that `name` names, its first name first."""
        return self._aliases[self.index(name)]


@dataclass(frozen=True)
class Node:
    """What one layer of the core computes.

    Attributes
    ----------
    op : str
        The operation; ``"input"`` for layer 0.
    inputs : tuple of int
        The numbers of the layers that feed it.
    weights : int
        How many weights it reads, biases aside.
    products : int
        Multiplications for each value of its output: the weights that one output channel has.
    """

    op: str
    inputs: tuple[int, ...] = ()
    weights: int = 0
    products: int = 0


@dataclass(frozen=True)
class Graph:
    """What a list of layers became.

    Attributes
    ----------
    core : _core.Network
    names : Names
    nodes : tuple of Node
        By number.
    scores : str
        The layer that holds the class scores: the last, or what feeds a last softmax.
    probabilities : str or None
        The last layer where it is a softmax.
    classes : int or None
        How many scores there are; None where that depends on the size of the input.
    target : str
        The last layer with a map that is not itself a pooling: Grad-CAM's usual choice.
    """

    core: _core.Network
    names: Names
    nodes: tuple[Node, ...]
    scores: str
    probabilities: str | None
    classes: int | None
    target: str


def build(layers: Sequence[Layer], channels: int, conv: Convolution = "winograd") -> Graph:
    """Build the network that `layers` describe, for pictures of `channels` channels.

    A batch normalisation whose input is a convolution or linear layer that feeds nothing else is
    folded into that layer: scaled weights and one bias, computed in float64 and rounded once.

    Raises
    ------
    ValueError
        For an unknown operation, a name twice, an input that no earlier layer has, or weights
        and attributes that the operation refuses: the message begins with the layer's name.
    TypeError
        For missing or unknown weights and attributes.
    """
    layers = _with_inputs(layers)
    consumers = Counter(name for layer in layers for name in layer.inputs)
    by_name = {layer.name: layer for layer in layers}
    folds = {
        layer.inputs[0]: layer
        for layer in layers
        if layer.op == "batch_norm"
        and consumers[layer.inputs[0]] == 1
        and layer.inputs[0] in by_name
        and by_name[layer.inputs[0]].op in ("conv", "linear")
    }
    builder = _core.NetworkBuilder(channels)
    names = Names()
    names.add(INPUT)
    nodes = [Node(INPUT)]
    numbers = {INPUT: 0}
    spatial = {INPUT: True}
    widths: dict[str, int | None] = {INPUT: channels}
    target = INPUT
    for layer in layers:
        _require_finite(layer)
        if layer.name in folds:
            # Emitted as its batch normalisation, when that comes.
            names.fold(layer, into=folds[layer.name].name)
            continue
        source = layer
        if layer.op == "batch_norm":
            folded = layer.inputs[0] in folds
            source = _folded(by_name[layer.inputs[0]], layer) if folded else _affine(layer)
            _require_finite(source)
        missing = [name for name in source.inputs if name not in numbers]
        if missing:
            raise ValueError(
                f"layer {layer.name!r}: no earlier layer is called {', '.join(map(repr, missing))}"
            )
        inputs = [numbers[name] for name in source.inputs]
        if conv == "direct" and source.op == "conv":
            source = replace(source, attributes={**source.attributes, "exact": True})
        number = _emit(builder, source, inputs)
        nodes.append(_node(source, inputs))
        names.add(layer.name, layer.aliases)
        numbers[layer.name] = number
        widths[layer.name] = _width(source, [widths[name] for name in source.inputs], spatial)
        spatial[layer.name] = spatial[source.inputs[0]] and not _ends_space(source)
        if spatial[layer.name] and source.op not in (*_POOLS, "dropout"):
            target = layer.name
    last = layers[-1]
    softmax = last.op == "softmax"
    return Graph(
        core=builder.build(),
        names=names,
        nodes=tuple(nodes),
        scores=last.inputs[0] if softmax else last.name,
        probabilities=last.name if softmax else None,
        classes=widths[last.name],
        target=target,
    )


def _with_inputs(layers: Sequence[Layer]) -> list[Layer]:
    """The layers, each with its inputs spelt out."""
    if not layers:
        raise ValueError("a network needs at least one layer")
    result: list[Layer] = []
    for layer in layers:
        if not isinstance(layer, Layer):
            raise TypeError(f"expected a list of Layer, got {type(layer).__name__} in it")
        if not isinstance(layer.name, str) or not layer.name:
            raise TypeError(f"the name of a layer is a string, got {layer.name!r}")
        if isinstance(layer.inputs, str):
            raise TypeError(
                f"layer {layer.name!r}: inputs is a tuple of names, got the string {layer.inputs!r}"
            )
        if layer.op not in OPS:
            raise ValueError(
                f"layer {layer.name!r}: unknown operation {layer.op!r}; there are {', '.join(OPS)}"
            )
        if layer.op in ("conv", "linear") and "weight" not in layer.weights:
            raise TypeError(f"layer {layer.name!r}: {layer.op} needs a weight")
        inputs = tuple(layer.inputs) or (result[-1].name if result else INPUT,)
        if len(inputs) > 1 and layer.op not in _SEVERAL_INPUTS:
            raise ValueError(f"layer {layer.name!r}: {layer.op} has one input, got {inputs}")
        result.append(
            Layer(layer.name, layer.op, inputs, layer.weights, layer.attributes, layer.aliases)
        )
    return result


def _require_finite(layer: Layer) -> None:
    for key, values in layer.weights.items():
        if values is not None and not _core.all_finite(values):
            also = f" ({', '.join(layer.aliases)})" if layer.aliases else ""
            raise WeightsError(f"layer {layer.name!r}{also}: its {key} holds NaN or infinity")


def _emit(builder: _core.NetworkBuilder, layer: Layer, inputs: list[int]) -> int:
    """Add one layer to the core's network; what it complains about is prefixed with the name."""
    arguments = {**layer.weights, **layer.attributes}
    op = layer.op
    if op == "global_average_pool":
        op, arguments = "adaptive_average_pool", {"size": 1}
    try:
        if op == "linear" and "dtype" in arguments:
            check_storage(arguments["dtype"], "dtype")
            weight = np.asarray(arguments["weight"])
            arguments["weight"] = stored(weight, arguments["dtype"])
        method = getattr(builder, op)
        number: int = method(inputs if op in _SEVERAL_INPUTS else inputs[0], **arguments)
    except (TypeError, ValueError) as error:
        raise type(error)(f"layer {layer.name!r} ({layer.op}): {error}") from error
    return number


def _node(layer: Layer, inputs: list[int]) -> Node:
    if layer.op not in ("conv", "linear"):
        return Node(layer.op, tuple(inputs))
    weight = np.asarray(layer.weights["weight"])
    return Node(layer.op, tuple(inputs), weight.size, weight[0].size)


def _width(layer: Layer, inputs: list[int | None], spatial: Mapping[str, bool]) -> int | None:
    """How many channels or units come out; None where the size of the picture decides."""
    if layer.op in ("conv", "linear"):
        return len(np.asarray(layer.weights["weight"]))
    if layer.op == "concatenate":
        known = [width for width in inputs if width is not None]
        return sum(known) if len(known) == len(inputs) else None
    if layer.op == "flatten" and spatial[layer.inputs[0]]:
        return None
    return inputs[0]


def _pair(size: Any) -> Sequence[Any]:
    return size if isinstance(size, Sequence) else (size, size)


def _ends_space(layer: Layer) -> bool:
    """Whether what comes out has no positions any more."""
    size = layer.attributes.get("size")
    to_one = layer.op == "adaptive_average_pool" and tuple(_pair(size)) == (1, 1)
    return to_one or layer.op in ("flatten", "linear", "global_average_pool")


def _scale_and_shift(layer: Layer) -> tuple[Any, Any]:
    """Batch normalisation at inference as ``scale * x + shift``, in float64.

    scale = weight / sqrt(running_var + eps), shift = bias - running_mean * scale
    (Ioffe and Szegedy, 2015).
    """
    values = {name: np.asarray(array, np.float64) for name, array in layer.weights.items()}
    if not {"running_mean", "running_var"} <= values.keys():
        raise TypeError(f"layer {layer.name!r}: batch_norm needs running_mean and running_var")
    variance = values["running_var"] + layer.attributes.get("eps", 1e-5)
    if not np.all(variance > 0):
        raise WeightsError(f"layer {layer.name!r}: running_var is negative or not a number")
    scale = values.get("weight", 1.0) / np.sqrt(variance)
    return scale, values.get("bias", 0.0) - values["running_mean"] * scale


def _affine(layer: Layer) -> Layer:
    scale, shift = _scale_and_shift(layer)
    weights = {"scale": scale.astype(np.float32), "shift": shift.astype(np.float32)}
    return Layer(layer.name, "affine", layer.inputs, weights)


def _folded(layer: Layer, norm: Layer) -> Layer:
    """`layer` with the batch normalisation `norm` after it as one layer."""
    scale, shift = _scale_and_shift(norm)
    weight = np.asarray(layer.weights["weight"], np.float64)
    bias = layer.weights.get("bias")
    if scale.shape != weight.shape[:1]:
        raise WeightsError(
            f"layer {norm.name!r}: batch_norm has {scale.size} channels, "
            f"{layer.name!r} before it has {len(weight)}"
        )
    if bias is not None:
        shift = shift + np.asarray(bias, np.float64) * scale
    weight = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    weights = {"weight": weight.astype(np.float32), "bias": shift.astype(np.float32)}
    return Layer(norm.name, layer.op, layer.inputs, weights, layer.attributes)
