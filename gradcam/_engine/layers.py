"""Layers of a network: what a user states, checked, and batch normalisation folded."""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import SupportsIndex, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcam import _core
from gradcam._results.relevance import WEIGHTED as WEIGHTED
from gradcam._results.rules import RECTIFIERS
from gradcam._text import printable
from gradcam._weights.storage import Storage, check_storage, stored
from gradcam._weights.tensors import WeightsError

INPUT = "input"
"""The name and the operation of layer 0."""

POOLS = (
    *("max_pool", "average_pool", "adaptive_average_pool"),
    *("global_average_pool", "global_max_pool"),
)
SEVERAL_INPUTS = ("add", "multiply", "concatenate")
HEADS = ("softmax", "log_softmax", "sigmoid")
SMOOTH = ("clip", "elu", "hard_sigmoid", "silu", "hard_swish", "tanh", "gelu")
"""Activations that are no rectifiers; a sigmoid is one of :data:`HEADS`."""

OPS = (
    *(*WEIGHTED, "batch_norm", "affine", *RECTIFIERS, *SMOOTH, *POOLS),
    *(*HEADS, "flatten", "dropout", *SEVERAL_INPUTS, "slice", "channel_shuffle"),
    *("local_response_norm", "layer_norm"),
)
"""The operations of layers; arguments as in :class:`gradcam._core.NetworkBuilder`."""

NONLINEAR = (*SMOOTH, *HEADS, "multiply", "local_response_norm", "layer_norm")
"""Operations that are not linear, whose derivative is taken under every rule of rectifiers."""

Attribute = int | float | bool | str | Sequence[int]
"""The value of a layer's attribute."""


@dataclass(frozen=True, eq=False)
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
        linear: (out, in); layer_norm: (C,)); ``scale`` and ``shift`` (affine); ``weight``,
        ``bias``, ``running_mean`` and ``running_var`` (batch_norm), each (C,); ``weight`` of
        prelu: its slopes, (C,) or (1,).
    attributes : mapping of str to number, string or pair
        ``stride``, ``padding`` (on all sides; vertical and horizontal; or top, left, bottom and
        right), ``dilation``, ``groups``, ``kernel``, ``ceil_mode``, ``count_include_pad``,
        ``divisor``, ``size``; ``start`` and ``stop`` of slice: the channels from the one up to, but
        not including, the other; ``alpha``, ``beta`` and ``k`` of local_response_norm; ``low`` and
        ``high`` of clip; ``slope`` of leaky_relu; ``alpha`` of elu; ``approximate`` of gelu (True:
        by tanh); ``eps`` of batch_norm (default 1e-5) and layer_norm (1e-6); ``exact`` of conv,
        True for one that is computed by its definition whatever the network's `conv` says;
        ``dtype`` of linear, in which its weight is stored: "float32", "float16" or "bfloat16",
        whose bits are an array of uint16.
    aliases : tuple of str
        Its names in other frameworks.
    """

    name: str
    op: str
    inputs: tuple[str, ...] = ()
    weights: Mapping[str, ArrayLike] = field(default_factory=dict)
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    def __repr__(self) -> str:
        shapes = ", ".join(f"{key} {np.shape(value)}" for key, value in self.weights.items())
        return f"<Layer {printable(self.name)}: {self.op}{f' ({shapes})' if shapes else ''}>"

    @property
    def weight_count(self) -> int:
        """How many weights a convolution or fully connected layer reads, biases aside."""
        return math.prod(np.shape(self.weights["weight"])) if self.op in WEIGHTED else 0

    @property
    def products(self) -> int:
        """Multiplications for each value of its output: the weights of one output channel."""
        return math.prod(np.shape(self.weights["weight"])[1:]) if self.op in WEIGHTED else 0


def complete(layers: Sequence[Layer]) -> list[Layer]:
    """Check each layer by itself, and return the layers with their inputs spelled out.

    Raises
    ------
    ValueError
        If there is no layer, an operation is unknown, or an operation has too many inputs.
    TypeError
        If something else than a layer is in the list, or a layer has no name or no weight.
    """
    if not layers:
        raise ValueError("a network needs at least one layer")
    result: list[Layer] = []
    for layer in layers:
        if isinstance(layer, Layer) and layer.op == layer.name == INPUT:
            continue  # of a network's layers
        _check(layer)
        inputs = tuple(layer.inputs) or (result[-1].name if result else INPUT,)
        if len(inputs) > 1 and layer.op not in SEVERAL_INPUTS:
            raise ValueError(f"layer {layer.name!r}: {layer.op} has one input, got {inputs}")
        result.append(replace(layer, inputs=inputs))
    return result


def _check(layer: Layer) -> None:
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
            f"layer {layer.name!r}: unknown operation {layer.op!r}; the operations are "
            f"{', '.join(OPS)}"
        )
    if layer.op in (*WEIGHTED, "prelu") and "weight" not in layer.weights:
        raise TypeError(f"layer {layer.name!r}: {layer.op} needs a weight")


def foldable(layers: Sequence[Layer]) -> dict[str, Layer]:
    """Return the batch normalisations that can be folded, by the layer that they follow.

    That layer is a convolution or fully connected, and feeds nothing else.
    """
    consumers = Counter(name for layer in layers for name in layer.inputs)
    weighted: set[str] = set()
    found = {}
    for layer in layers:
        if layer.op in WEIGHTED:
            weighted.add(layer.name)
        before = layer.inputs[0]
        if layer.op == "batch_norm" and before in weighted and consumers[before] == 1:
            found[before] = layer
    return found


def as_run(layer: Layer, before: Layer | None, *, check: bool = True) -> Layer:
    """Return the layer as the core runs it, with weights that the core reads in place.

    Parameters
    ----------
    layer : Layer
        Batch normalisation becomes ``scale * x + shift``, or a part of the layer before it.
    before : Layer or None
        The convolution or fully connected layer that a batch normalisation is folded into.
    check : bool
        Whether the weights of the layer itself are checked.

    Raises
    ------
    WeightsError
        If a weight is not finite, also after folding or rounding.
    """
    if check:
        require_finite(layer)
    if layer.op == "batch_norm":
        layer = _affine(layer) if before is None else _folded(before, layer)
        require_finite(layer)
    dtype = layer.attributes.get("dtype", "float32") if layer.op == "linear" else "float32"
    weights = {
        key: _in_place(values, layer.op, dtype if key == "weight" else "float32", layer.name)
        for key, values in layer.weights.items()
        if values is not None
    }
    return replace(layer, weights=weights)


def require_finite(layer: Layer) -> None:
    """Raise WeightsError, naming the layer, if a weight is NaN or infinite."""
    for key, values in layer.weights.items():
        if values is not None and not _core.all_finite(values):
            also = f" ({', '.join(layer.aliases)})" if layer.aliases else ""
            raise WeightsError(f"layer {layer.name!r}{also}: its {key} holds NaN or infinity")


def _in_place(values: ArrayLike, op: str, dtype: object, name: str) -> NDArray[np.generic]:
    """Return weights in the layout that the core reads, copied only if they are not in it."""
    array = np.asarray(values)
    if op == "linear" and dtype != "float32":
        if dtype == "bfloat16" and array.dtype == np.uint16:
            return np.ascontiguousarray(array)  # its bits already, of a layer that has run before
        try:
            check_storage(dtype, "dtype")
            storage: Storage = "float16" if dtype == "float16" else "bfloat16"
            return np.ascontiguousarray(stored(array, storage))
        except ValueError as error:
            raise type(error)(f"layer {name!r} ({op}): {error}") from error
    if array.dtype.kind not in "fiub" or array.ndim == 0:
        return array  # the core's error says what is wrong
    # A fully connected matrix is read from a mapped file at any address.
    if op == "linear" and array.ndim == 2:
        return np.require(array, np.float32, "C")
    return np.require(array, np.float32, ("C", "A"))


def _scale_and_shift(layer: Layer) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return batch normalisation at inference as ``scale * x + shift``, in float64.

    scale = weight / sqrt(running_var + eps), shift = bias - running_mean * scale
    (Ioffe and Szegedy, 2015).
    """
    values = {name: np.asarray(array, np.float64) for name, array in layer.weights.items()}
    if not {"running_mean", "running_var"} <= values.keys():
        raise TypeError(f"layer {layer.name!r}: batch_norm needs running_mean and running_var")
    eps = layer.attributes.get("eps", 1e-5)
    if not isinstance(eps, (int, float)):
        raise TypeError(f"layer {layer.name!r}: eps is a number, got {eps!r}")
    variance = values["running_var"] + eps
    if not np.all(variance > 0):
        raise WeightsError(f"layer {layer.name!r}: running_var is negative or not a number")
    scale = np.asarray(values.get("weight", 1.0) / np.sqrt(variance))
    return scale, np.asarray(values.get("bias", 0.0) - values["running_mean"] * scale)


def _affine(layer: Layer) -> Layer:
    scale, shift = _scale_and_shift(layer)
    weights = {"scale": scale.astype(np.float32), "shift": shift.astype(np.float32)}
    return Layer(layer.name, "affine", layer.inputs, weights, aliases=layer.aliases)


def _folded(layer: Layer, norm: Layer) -> Layer:
    """Return `layer` and the batch normalisation `norm` after it as one layer."""
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
    return Layer(norm.name, layer.op, layer.inputs, weights, layer.attributes, norm.aliases)


def pair(value: Attribute) -> tuple[int, int]:
    """Return an attribute for rows and for columns, of one number or two."""
    both = value if isinstance(value, Sequence) else (value, value)
    rows, columns = cast("Sequence[SupportsIndex]", both)
    return operator.index(rows), operator.index(columns)
