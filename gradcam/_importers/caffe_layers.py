"""Caffe's types of layers, each written as layers of the core."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from gradcam._importers.axes import as_float32
from gradcam._importers.builder import Builder
from gradcam._importers.values import Value
from gradcam._text import printable
from gradcam._weights.graph import Node
from gradcam._weights.tensors import WeightsError

Array = NDArray[Any]
Pair = tuple[int, int]

_MAX_NUMBER = 1 << 16
"""The largest number that is accepted as a parameter: of positions, channels or groups."""

_POOLS = ("max_pool", "average_pool")
"""Operations by Caffe's numbers of its enumeration PoolMethod."""

_PROD, _SUM = 0, 1
_FLOOR = 1
"""BVLC's number of the rounding down, in the enumeration RoundMode."""


def title_of(node: Node) -> str:
    """Return a layer's type and name, for messages."""
    return f"{printable(node.op)} {printable(node.name)!r}:"


@dataclass(frozen=True)
class Call:
    """A layer that is to be written.

    Attributes
    ----------
    builder : Builder
    node : Node
    values : tuple of Value
        What it reads.
    blobs : tuple of array
    notes : list of str
        Grows by what is taken for granted.
    """

    builder: Builder
    node: Node
    values: tuple[Value, ...]
    blobs: tuple[Array, ...]
    notes: list[str]

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def value(self) -> Value:
        """The only value that it reads."""
        self.inputs(1)
        return self.values[0]

    def inputs(self, *counts: int) -> tuple[Value, ...]:
        """Return what it reads, having checked how many there are."""
        unknown = self.node.attributes.get("unknown")
        if unknown:
            raise WeightsError(
                f"has parameters that BVLC's Caffe does not have (fields {unknown}): another "
                f"version of Caffe wrote the file"
            )
        if len(self.values) not in counts:
            expected = " or ".join(map(str, counts))
            raise WeightsError(f"reads {len(self.values)} layers, expected {expected}")
        return self.values

    def whole(self, name: str, default: int) -> int:
        """Return a parameter that is an integer."""
        value = self.node.attributes.get(name, default)
        if not isinstance(value, int) or abs(value) > _MAX_NUMBER:
            raise WeightsError(f"has {name} {value}")
        return value

    def real(self, name: str, default: float) -> float:
        """Return a parameter that is a finite number."""
        value = self.node.attributes.get(name, default)
        if not isinstance(value, float) or not math.isfinite(value):
            raise WeightsError(f"has {name} {value}")
        return value

    def several(self, name: str) -> tuple[float, ...]:
        """Return a parameter that is a list of numbers."""
        value = self.node.attributes.get(name, ())
        if not isinstance(value, tuple) or not all(math.isfinite(each) for each in value):
            raise WeightsError(f"has {name} {value}")
        return tuple(value)

    def pair(self, name: str, default: Pair, short: str = "") -> Pair:
        """Return a parameter for rows and columns, of one number, two, or two parameters."""
        rows, columns = f"{short or name}_h", f"{short or name}_w"
        if {rows, columns} & self.node.attributes.keys():
            return self.whole(rows, default[0]), self.whole(columns, default[1])
        values = [int(each) for each in self.several(name)] or list(default)
        if len(values) > 2 or any(abs(value) > _MAX_NUMBER for value in values):
            raise WeightsError(f"has {name} {tuple(values)[:8]}")
        return values[0], values[-1]

    def axis(self, default: int, value: Value, also: str = "") -> int:
        """Return the parameter ``axis``, or `also`, its name before, counted from the first."""
        found = self.whole("axis", self.whole(also, default) if also else default)
        if not -len(value.shape) <= found < len(value.shape):
            raise WeightsError(f"has axis {found} for {value.shape}")
        return found % len(value.shape)

    def refuse(self) -> NoReturn:
        """Raise WeightsError for a type of layer that is not known."""
        raise WeightsError(
            "layers of this type cannot be imported: no layer of gradcam computes the same"
        )


Written = Sequence[Value]
"""What a layer writes: one value for each top."""


# ------------------------------------------------------------------------ weighted layers


def _convolution(call: Call) -> Written:
    value, attributes = call.value, call.node.attributes
    weight, bias = _weight_and_bias(call)
    if call.whole("axis", 1) != 1 or weight.ndim != 4:
        raise WeightsError("is not a convolution of maps over their channels")
    kernel = call.pair("kernel_size", (0, 0), "kernel")
    if kernel != weight.shape[2:] or call.whole("num_output", len(weight)) != len(weight):
        raise WeightsError(
            f"has weights of shape {weight.shape}, but num_output "
            f"{attributes.get('num_output')} and kernels of {kernel}"
        )
    depthwise = call.node.op != "Convolution"  # forks' types for one group for each channel
    groups = value.channels if depthwise else call.whole("group", 1)
    _check_bias(bias, len(weight))
    rows, columns = call.pair("pad", (0, 0))
    stride, dilation = call.pair("stride", (1, 1)), call.pair("dilation", (1, 1))
    if min(rows, columns) < 0 or min(*stride, *dilation) < 1 or groups < 1 or len(weight) % groups:
        raise WeightsError(
            f"has padding {(rows, columns)}, strides {stride}, dilations {dilation} and {groups} "
            f"groups for {len(weight)} outputs"
        )
    padding = (rows, columns, rows, columns)
    found = call.builder.conv(
        value,
        call.name,
        weight,
        bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    return [found]


def _weight_and_bias(call: Call) -> tuple[Array, Array | None]:
    """Return the blobs of a layer, of which the second one may be absent."""
    expected = 1 if call.node.attributes.get("bias_term") == 0 else 2
    if len(call.blobs) != expected:
        raise WeightsError(f"has {len(call.blobs)} blobs of weights, expected {expected}")
    weight = call.blobs[0]
    bias = call.blobs[1].reshape(-1) if expected == 2 else None
    return weight, bias


def _check_bias(bias: Array | None, outputs: int) -> None:
    if bias is not None and bias.size != outputs:
        raise WeightsError(f"has {bias.size} biases for {outputs} outputs")


def _inner_product(call: Call) -> Written:
    value = call.value
    weight, bias = _weight_and_bias(call)
    if weight.ndim == 4 and weight.shape[:2] == (1, 1):  # of files of 2014
        weight = weight[0, 0]
    axis = call.axis(1, value)
    value = value.reshaped((*value.shape[:axis], -1))
    if call.whole("transpose", 0):
        weight = weight.T
    if weight.ndim != 2 or len(weight) != call.whole("num_output", len(weight)):
        raise WeightsError(
            f"has weights of shape {weight.shape} for {call.node.attributes.get('num_output')} "
            f"outputs"
        )
    _check_bias(bias, len(weight))
    return [call.builder.linear(value, call.name, weight, bias)]


def _batch_norm(call: Call) -> Written:
    value = call.value
    if len(call.blobs) != 3:
        raise WeightsError(
            f"has {len(call.blobs)} blobs, expected the mean, the variance and their factor"
        )
    if call.whole("use_global_stats", 1) == 0:
        if call.whole("phase", 1) != 0:
            raise WeightsError(
                "normalises by the mean of each batch (use_global_stats: false), so that a "
                "picture's result depends on the other ones"
            )
        _note_once(call, "Batch normalisations use the stored means and variances, as in tests.")
    factor = float(call.blobs[2].reshape(-1)[0])
    factor = 0.0 if factor == 0 else 1 / factor
    mean = call.blobs[0].reshape(-1).astype(np.float64) * factor
    variance = call.blobs[1].reshape(-1).astype(np.float64) * factor + call.real("eps", 1e-5)
    channels = value.shape[1] if len(value.shape) > 1 else 1
    if not mean.size == variance.size == channels:
        raise WeightsError(
            f"has {mean.size} means and {variance.size} variances for {channels} channels"
        )
    if not np.all(variance > 0):
        raise WeightsError("has variances that are negative or not numbers")
    scale = 1 / np.sqrt(variance)
    return [_affine(call, value, scale, -mean * scale, 1)]


def _note_once(call: Call, text: str) -> None:
    if text not in call.notes:
        call.notes.append(text)


def _scale(call: Call) -> Written:
    values = call.inputs(1, 2)
    if len(values) == 2:
        return [_by_factors(call, *values)]
    expected = 1 + call.whole("bias_term", 0)
    if len(call.blobs) != expected:
        raise WeightsError(f"has {len(call.blobs)} blobs, expected {expected}")
    shift = call.blobs[1] if expected == 2 else 0.0
    return [_affine(call, values[0], call.blobs[0], shift, call.axis(1, values[0]))]


def _by_factors(call: Call, value: Value, factors: Value) -> Value:
    """Return the product of a map and the factors that another layer computes."""
    start = call.axis(1, value)
    if call.whole("bias_term", 0):
        raise WeightsError("multiplies two layers and adds a bias, which is not supported")
    if factors.shape != value.shape[start : start + len(factors.shape)]:
        raise WeightsError(f"multiplies {value.shape} by {factors.shape} from axis {start} on")
    after = len(value.dims) - start - len(factors.dims)
    return call.builder.product(value, _with_ones(factors, after), call.name)


def _with_ones(value: Value, count: int) -> Value:
    """Return the value with so many dimensions of size 1 after its own."""
    return value.with_dims((*value.dims, *[()] * count))


def _bias(call: Call) -> Written:
    values = call.inputs(1, 2)
    if len(values) == 2:
        return [call.builder.sum(values, call.name)]
    if len(call.blobs) != 1:
        raise WeightsError(f"has {len(call.blobs)} blobs, expected 1")
    return [_affine(call, values[0], 1.0, call.blobs[0], call.axis(1, values[0]))]


def _affine(
    call: Call, value: Value, scale: Array | float, shift: Array | float, axis: int
) -> Value:
    """Add a scale and a shift whose arrays lie along the axes of the value from `axis` on."""
    one = call.whole("num_axes", 1) == 0
    placed = [_placed(value, each, axis, one) for each in (scale, shift)]
    return call.builder.scale_and_shift(value, call.name, *placed)


def _placed(value: Value, array: Array | float, axis: int, one: bool) -> Array | float:
    """Return an array as it lies along the axes of the value, or the one number for all."""
    if isinstance(array, float) or (array.size == 1 and (one or array.ndim == 0)):
        return float(np.asarray(array).reshape(-1)[0])
    if array.shape != value.shape[axis : axis + array.ndim]:
        raise WeightsError(f"has values of shape {array.shape} for {value.shape} from axis {axis}")
    after = len(value.shape) - axis - array.ndim
    return np.asarray(array).reshape(*array.shape, *[1] * after)


# ------------------------------------------------------------------------ poolings


def _pooling(call: Call) -> Written:
    value = call.builder.arranged(call.value, "NCHW")
    method = call.whole("pool", 0)
    if not 0 <= method < len(_POOLS):
        raise WeightsError("is a stochastic pooling, which is not supported")
    op = _POOLS[method]
    if call.whole("global_pooling", 0):
        return [call.builder.global_pool(value, call.name, op)]
    kernel = call.pair("kernel_size", (0, 0), "kernel")
    stride, pad = call.pair("stride", (1, 1)), call.pair("pad", (0, 0))
    if min(*kernel, *stride) < 1 or any(not 0 <= p < k for p, k in zip(pad, kernel, strict=True)):
        raise WeightsError(f"has windows of {kernel}, strides {stride} and padding {pad}")
    ceil = _rounds_up(call, value, kernel, stride, pad)
    kernel = _clipped(value, kernel, stride, pad, ceil)
    rows, columns = pad
    found = call.builder.pool(
        value,
        call.name,
        op,
        kernel,
        stride=stride,
        padding=(rows, columns, rows, columns),
        ceil_mode=ceil,
        count_include_pad=True,
    )
    return [found]


def _rooms(value: Value, kernel: Pair, pad: Pair) -> list[int]:
    """Return by how much a window can move, in rows and columns."""
    return [n + 2 * p - k for n, k, p in zip(value.extent, kernel, pad, strict=True)]


def _rounds_up(call: Call, value: Value, kernel: Pair, stride: Pair, pad: Pair) -> bool:
    """Whether the number of windows is rounded up and differs from that rounded down."""
    if not any(r % s for r, s in zip(_rooms(value, kernel, pad), stride, strict=True)):
        return False
    if "round_mode" not in call.node.attributes:
        return True
    _note_once(
        call,
        "The file says how poolings round (round_mode); it is taken as BVLC's Caffe numbers it.",
    )
    return call.whole("round_mode", 0) != _FLOOR


def _clipped(value: Value, kernel: Pair, stride: Pair, pad: Pair, ceil: bool) -> Pair:
    """Return the windows, cut to the map if only one fits because its number is rounded up.

    Raises
    ------
    WeightsError
        If the last window would begin after the map, which Caffe cuts off only beside padding.
    """
    found = []
    for room, size, window, step, extra in zip(
        _rooms(value, kernel, pad), value.extent, kernel, stride, pad, strict=True
    ):
        if ceil and -step < room < 0:
            window = size + 2 * extra
        elif ceil and not any(pad) and -(-room // step) * step >= size:
            raise WeightsError(
                f"has windows of {kernel} with strides {stride}, of which the last one has no "
                f"positions on a map of {value.extent}"
            )
        found.append(window)
    return found[0], found[1]


# ------------------------------------------------------------------------ each value by itself


def _relu(call: Call) -> Written:
    slope = call.real("negative_slope", 0.0)
    if slope == 0:
        op = {"ReLU": "relu", "ReLU6": "relu6"}[call.node.op]
        return [call.builder.elementwise(call.value, call.name, op)]
    if call.node.op != "ReLU":
        raise WeightsError(f"has negative_slope {slope:g}, which is not supported")
    return [call.builder.elementwise(call.value, call.name, "leaky_relu", slope=slope)]


def _prelu(call: Call) -> Written:
    value = call.builder.padded(call.value)
    if len(call.blobs) != 1 or call.blobs[0].size not in (1, value.channels):
        raise WeightsError(f"has slopes that do not fit {value.channels} channels")
    weights = {"weight": as_float32(call.blobs[0]).reshape(-1)}
    found = call.builder.add(call.name, "prelu", [value], value.core, weights)
    return [value.of(found.layer)]


def _elu(call: Call) -> Written:
    alpha = call.real("alpha", 1.0)
    return [call.builder.elementwise(call.value, call.name, "elu", alpha=alpha)]


def _plain(op: str) -> Callable[[Call], Written]:
    return lambda call: [call.builder.elementwise(call.value, call.name, op)]


def _dropout(call: Call) -> Written:
    value = call.builder.elementwise(call.value, call.name, "dropout")
    if call.whole("scale_train", 1) == 0:
        keep = 1 - call.real("dropout_ratio", 0.5)
        value = call.builder.scale_and_shift(value, f"{call.name}.scale", keep)
    return [value]


def _power(call: Call) -> Written:
    if call.real("power", 1.0) != 1:
        raise WeightsError(
            f"raises to the power {call.real('power', 1.0):g}; only a scale and a shift, power 1, "
            f"is supported"
        )
    scale, shift = call.real("scale", 1.0), call.real("shift", 0.0)
    return [call.builder.scale_and_shift(call.value, call.name, scale, shift)]


def _local_response_norm(call: Call) -> Written:
    value = call.builder.arranged(call.value, "NCHW")
    size = call.whole("local_size", 5)
    if call.whole("norm_region", 0) != 0:
        raise WeightsError("normalises within each channel, which is not supported")
    if size < 1 or size % 2 == 0:
        raise WeightsError(f"has local_size {size}; Caffe takes odd numbers alone")
    alpha, beta, k = (call.real(n, d) for n, d in (("alpha", 1.0), ("beta", 0.75), ("k", 1.0)))
    found = call.builder.elementwise(
        value, call.name, "local_response_norm", size=size, alpha=alpha, beta=beta, k=k
    )
    return [found]


def _softmax(call: Call) -> Written:
    value = call.value
    if value.axis(call.axis(1, value)) != "C":
        raise WeightsError(f"is not over the channels of {value.shape}")
    return [call.builder.elementwise(value, call.name, "softmax")]


# ------------------------------------------------------------------------ several values


def _eltwise(call: Call) -> Written:
    values = list(call.inputs(*range(2, 1 + max(2, len(call.values)))))
    operation, factors = call.whole("operation", _SUM), call.several("coeff")
    if operation == _PROD and not factors:
        found = values[0]
        for i, value in enumerate(values[1:], 2):
            name = call.name if i == len(values) else f"{call.name}.{i}"
            found = call.builder.product(found, value, name)
        return [found]
    if operation != _SUM:
        raise WeightsError("takes the maximum of several layers, which is not supported")
    if len(factors) not in (0, len(values)):
        raise WeightsError(f"has {len(factors)} coefficients for {len(values)} layers")
    for i, factor in enumerate(factors):
        if factor != 1:
            name = f"{call.name}.{i + 1}"
            values[i] = call.builder.scale_and_shift(values[i], name, factor)
    return [call.builder.sum(values, call.name)]


def _axpy(call: Call) -> Written:
    factors, value, other = call.inputs(3)
    factors = _with_ones(factors, len(value.dims) - len(factors.dims))
    product = call.builder.product(value, factors, f"{call.name}.product")
    return [call.builder.sum([product, other], call.name)]


def _concat(call: Call) -> Written:
    values = call.inputs(*range(1, 1 + max(1, len(call.values))))
    if len(values) == 1:
        return values
    axis = call.axis(1, values[0], "concat_dim")
    return [call.builder.concatenate(values, axis, call.name)]


def _slice(call: Call) -> Written:
    value, parts = call.value, max(1, len(call.node.outputs))
    axis = call.axis(1, value, "slice_dim")
    size = value.shape[axis]
    points = [int(point) for point in call.several("slice_point")]
    if not points:
        if size % parts:
            raise WeightsError(f"cuts {size} channels into {parts} equal parts")
        points = list(range(size // parts, size, size // parts))
    bounds = [0, *points, size]
    if len(bounds) != parts + 1 or bounds != sorted(bounds):
        raise WeightsError(f"has slice_point {tuple(points)[:8]} for {parts} parts of {size}")
    return [
        call.builder.slice(value, axis, start, stop, call.node.outputs[i] or call.name)
        for i, (start, stop) in enumerate(pairwise(bounds))
    ]


# ------------------------------------------------------------------------ shapes


def _flatten(call: Call) -> Written:
    value, shape = call.value, call.value.shape
    start = call.axis(1, value)
    end = call.whole("end_axis", -1)
    if not -len(shape) <= end < len(shape) or end % len(shape) < start:
        raise WeightsError(f"has axis {start} and end_axis {end} for {shape}")
    return [value.reshaped((*shape[:start], -1, *shape[end % len(shape) + 1 :]))]


def _reshape(call: Call) -> Written:
    value, shape = call.value, call.value.shape
    start = call.whole("axis", 0)
    start += len(shape) + 1 if start < 0 else 0
    count = call.whole("num_axes", -1)
    end = len(shape) if count < 0 else start + count
    if not 0 <= start <= end <= len(shape):
        raise WeightsError(f"has axis {start} and num_axes {count} for {shape}")
    sizes = []
    for i, size in enumerate(int(each) for each in call.several("shape")):
        if size == 0 and start + i >= len(shape):
            raise WeightsError(f"keeps axis {start + i} of {shape}")
        sizes.append(shape[start + i] if size == 0 else size)
    return [value.reshaped((*shape[:start], *sizes, *shape[end:]))]


def _permute(call: Call) -> Written:
    value = call.value
    order = [int(each) for each in call.several("order")]
    order += [i for i in range(len(value.shape)) if i not in order]
    return [value.transposed(order)]


LAYERS: dict[str, Callable[[Call], Written]] = {
    "Axpy": _axpy,
    "BatchNorm": _batch_norm,
    "Bias": _bias,
    "Concat": _concat,
    "Convolution": _convolution,
    "ConvolutionDepthwise": _convolution,
    "DepthwiseConvolution": _convolution,
    "Dropout": _dropout,
    "ELU": _elu,
    "Eltwise": _eltwise,
    "Flatten": _flatten,
    "InnerProduct": _inner_product,
    "LRN": _local_response_norm,
    "PReLU": _prelu,
    "Permute": _permute,
    "Pooling": _pooling,
    "Power": _power,
    "ReLU": _relu,
    "ReLU6": _relu,
    "Reshape": _reshape,
    "Scale": _scale,
    "Sigmoid": _plain("sigmoid"),
    "Slice": _slice,
    "Softmax": _softmax,
    "TanH": _plain("tanh"),
}
"""How layers of each type are written."""
