"""Operations of ONNX with weights, normalisations and poolings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gradcam._importers.builder import same_padding
from gradcam._importers.onnx import normalisations
from gradcam._importers.onnx.operation import Array, Operation, Pair, shown
from gradcam._importers.values import NO_PADDING, Padding, Value
from gradcam._weights.tensors import WeightsError

TRAINING = "is in training mode; export the model in evaluation mode"


def _padding(operation: Operation, value: Value, kernel: Pair, stride: Pair, step: Pair) -> Padding:
    """Return the zeros around a map, (top, left, bottom, right), by pads or auto_pad."""
    kind = operation.text("auto_pad", "NOTSET")
    if kind == "NOTSET":
        pads = operation.integers("pads", NO_PADDING)
        if len(pads) != 4 or min(pads) < 0:
            raise WeightsError(f"has pads {shown(pads)}, expected four numbers, none below zero")
        return pads
    if kind == "VALID":
        return NO_PADDING
    if kind not in ("SAME_UPPER", "SAME_LOWER"):
        raise WeightsError(f"has auto_pad {shown(kind)}, which ONNX does not define")
    (top, left, bottom, right), depends = same_padding(value.extent, kernel, stride, step)
    operation.builder.fixed |= depends
    return (top, left, bottom, right) if kind == "SAME_UPPER" else (bottom, right, top, left)


def _conv(operation: Operation) -> Value:
    if len(operation.value().dims) == 3:
        return _along_channels(operation, operation.value())
    value = operation.builder.arranged(_map(operation), "NCHW")
    weight, bias = operation.parameter(1), operation.optional(2)
    if weight.ndim != 4:
        raise WeightsError(
            f"has weights of shape {weight.shape}, expected (out, in, rows, columns)"
        )
    kernel = (weight.shape[2], weight.shape[3])
    if operation.pair("kernel_shape", kernel) != kernel:
        raise WeightsError(
            f"has kernel_shape {operation.pair('kernel_shape', kernel)}, and weights of shape "
            f"{weight.shape}"
        )
    stride, step = operation.pair("strides", (1, 1)), operation.pair("dilations", (1, 1))
    if min(*stride, *step) < 1:
        raise WeightsError(f"has strides {stride} and dilations {step}, expected at least 1")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise WeightsError(f"has a bias of shape {bias.shape}, expected {weight.shape[:1]}")
    return operation.builder.conv(
        value,
        operation.name,
        weight,
        bias,
        stride=stride,
        padding=_padding(operation, value, kernel, stride, step),
        dilation=step,
        groups=operation.integer("group", 1),
        aliases=operation.aliases,
    )


_MAX_MATRIX = 1 << 26
"""Numbers of the matrix that a convolution along the channels becomes."""


def _along_channels(operation: Operation, value: Value) -> Value:
    """Add a convolution of one row along the channels of a map of one position, (N, 1, C), as a
    linear layer: the attention of Wang et al. (2020)."""
    weight, bias = operation.parameter(1), operation.optional(2)
    pads = operation.integers("pads", (0, 0))
    if (
        value.dims[1:] != ((), value.whole("C"))
        or value.is_map
        or weight.shape[:2] != (1, 1)
        or weight.ndim != 3
        or weight.shape[2] != sum(pads) + 1
        or len(pads) != 2
        or min(pads) < 0
    ):
        raise WeightsError(f"reads {value.shape}, {_FOUR}")
    for name in ("strides", "dilations"):
        operation.require(name, (1,), (1,))
    operation.require("group", 1, 1)
    operation.require("auto_pad", "NOTSET", "NOTSET")
    count = value.channels
    if count * count > _MAX_MATRIX:
        raise WeightsError(f"is along {count} channels, which are too many")
    matrix = np.zeros((count, count), np.float32)
    for i in range(max(0, pads[0] - count + 1), min(weight.shape[2], pads[0] + count)):
        shift = i - pads[0]  # the others read zeros alone
        rows = np.arange(max(0, -shift), min(count, count - shift))
        matrix[rows, rows + shift] = weight[0, 0, i]
    if bias is not None:
        bias = np.broadcast_to(bias.reshape(-1), (count,))
    found = operation.builder.linear(
        value.arranged("NC"), operation.name, matrix, bias, aliases=operation.aliases
    )
    return found.with_dims(value.dims)


_FOUR = (
    "expected four dimensions: batch, channels, rows, columns (sound and volumes are not supported)"
)


def _map(operation: Operation) -> Value:
    """Return the first input, which must have four dimensions."""
    value = operation.value()
    if len(value.dims) != 4:
        raise WeightsError(f"reads {value.shape}, {_FOUR}")
    return value


def _batch_norm(operation: Operation) -> Value:
    if operation.integer("training_mode", 0) or any(operation.node.outputs[1:]):
        raise WeightsError(TRAINING)
    value = operation.value()
    if len(value.dims) < 2 or value.dims[1] != value.whole("C"):
        raise WeightsError(f"reads {value.shape}, whose second axis is not that of the channels")
    weight, bias, mean, variance = (operation.parameter(i) for i in range(1, 5))
    return operation.builder.batch_norm(
        value,
        operation.name,
        mean,
        variance,
        weight,
        bias,
        eps=operation.number("epsilon", 1e-5),
        aliases=operation.aliases,
    )


def _gemm(operation: Operation) -> Value:
    """``alpha * x W + beta * b``, with W transposed or not."""
    operation.require("transA", 0, 0)
    weight, bias = operation.parameter(1), operation.optional(2)
    if weight.ndim != 2:
        raise WeightsError(f"has weights of shape {weight.shape}, expected a matrix")
    weight = weight if operation.integer("transB", 0) else weight.T
    alpha, beta = operation.number("alpha", 1.0), operation.number("beta", 1.0)
    if alpha != 1:
        weight = np.float32(alpha) * weight
    if bias is not None:
        if bias.size != 1 and (bias.size != len(weight) or bias.shape[-1:] != (bias.size,)):
            raise WeightsError(f"has a bias of shape {bias.shape}, expected ({len(weight)},)")
        bias = np.broadcast_to(np.float32(beta) * bias.reshape(-1), (len(weight),))
    return _linear(operation, operation.value(), weight, bias)


def _matmul(operation: Operation) -> Value:
    weight = operation.parameter(1)
    while weight.ndim > 2 and weight.shape[0] == 1:
        weight = weight[0]
    if weight.ndim != 2:
        raise WeightsError(f"has weights of shape {weight.shape}, expected a matrix")
    return _linear(operation, operation.value(), weight.T, None)


def _linear(operation: Operation, value: Value, weight: Array, bias: Array | None) -> Value:
    return operation.builder.linear(value, operation.name, weight, bias, aliases=operation.aliases)


def _layer_norm(operation: Operation) -> Value:
    value = operation.value()
    rank = len(value.dims)
    axis = operation.axis(operation.integer("axis", -1), rank)
    if any(operation.node.outputs[1:]):
        raise WeightsError("has several outputs, expected the normalised values alone")
    return _normalised(
        operation,
        value,
        range(axis, rank),
        operation.parameter(1),
        operation.optional(2),
        operation.number("epsilon", 1e-5),
    )


def _spelled_out(operation: Operation) -> Value:
    """A layer normalisation that was recognised; see :mod:`.normalisations`."""
    value = operation.value()
    axes = operation.axes(operation.integers("axes", ()), len(value.dims))
    return _normalised(
        operation,
        value,
        axes,
        operation.optional(1),
        operation.optional(2),
        operation.number("epsilon", 0.0),
    )


def _normalised(
    operation: Operation,
    value: Value,
    axes: Sequence[int],
    weight: Array | None,
    bias: Array | None,
    eps: float,
) -> Value:
    """Add a layer normalisation over the channels, which must be the only axis."""
    if [dim for axis in axes for dim in value.dims[axis]] != list(value.whole("C")):
        raise WeightsError(
            f"normalises over the axes {tuple(axes)} of {value.shape}, expected the channels alone"
        )
    for array in (weight, bias):
        if array is not None and array.size != value.channels:
            raise WeightsError(f"has {array.size} weights for {value.channels} channels")
    return operation.builder.layer_norm(
        value, operation.name, weight, bias, eps=eps, aliases=operation.aliases
    )


def _local_response_norm(operation: Operation) -> Value:
    size, value = operation.integer("size", 0), operation.builder.arranged(_map(operation), "NCHW")
    if size < 1 or size % 2 == 0:
        raise WeightsError(f"has size {size}, expected an odd number of channels")
    return operation.builder.elementwise(
        value,
        operation.name,
        "local_response_norm",
        operation.aliases,
        size=size,
        alpha=operation.number("alpha", 1e-4),
        beta=operation.number("beta", 0.75),
        k=operation.number("bias", 1.0),
    )


# ------------------------------------------------------------------------ poolings


def _pool(op: str) -> Callable[[Operation], Value]:
    def run(operation: Operation) -> Value:
        if any(operation.node.outputs[1:]):
            raise WeightsError("returns the positions of the maxima, which is not supported")
        operation.require("dilations", (1, 1), (1, 1), "poolings with gaps are not supported")
        value = operation.builder.arranged(_map(operation), "NCHW")
        kernel = operation.pair("kernel_shape", (0, 0))
        stride = operation.pair("strides", (1, 1))
        if min(*kernel, *stride) < 1:
            raise WeightsError(f"has kernel_shape {kernel} and strides {stride}")
        return operation.builder.pool(
            value,
            operation.name,
            op,
            kernel,
            stride=stride,
            padding=_padding(operation, value, kernel, stride, (1, 1)),
            ceil_mode=bool(operation.integer("ceil_mode", 0)),
            count_include_pad=bool(operation.integer("count_include_pad", 0)),
            aliases=operation.aliases,
        )

    return run


def _global_pool(op: str) -> Callable[[Operation], Value]:
    def run(operation: Operation) -> Value:
        return operation.builder.global_pool(
            _map(operation), operation.name, op, aliases=operation.aliases
        )

    return run


OPERATIONS: dict[str, Callable[[Operation], Value]] = {
    "AveragePool": _pool("average_pool"),
    "BatchNormalization": _batch_norm,
    "Conv": _conv,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_pool("average_pool"),
    "GlobalMaxPool": _global_pool("max_pool"),
    "LRN": _local_response_norm,
    "LayerNormalization": _layer_norm,
    "MatMul": _matmul,
    "MaxPool": _pool("max_pool"),
    normalisations.OPERATION: _spelled_out,
}
"""The function of each operation of ONNX."""
