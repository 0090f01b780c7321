"""A float64 twin of the core and of the methods, in plain NumPy.

It shares no code with gradcam: all tests of numerical results compare with this file.
`Builder` has the methods of `gradcam._core.NetworkBuilder`, so that one description of a
network builds both. Each layer states its forward pass and its gradient to the input side
by side; test_reference.py compares the gradients with finite differences.

Pooling, averaging and resizing are linear and separable, so each is written as a matrix for
the rows and a matrix for the columns: y = R x C^T, and the gradient is R^T dy C.

In float32, rounding may change the sign of a pre-activation or the position of the maximum in
a pooling window; one such change has a much larger effect on a gradient than rounding itself.
So `Network.forward` accepts `decisions`: the maps of another program, which then determine the
signs of the ReLUs' inputs and the positions of the maxima.

It is not fast, does not compute in float32, and does not check arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Array = np.ndarray
Pair = int | tuple[int, int]
Padding = Pair | tuple[int, int, int, int]
Sides = tuple[tuple[int, int], tuple[int, int]]


def pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def sides(padding: Padding) -> Sides:
    """Padding (before, after) of each axis, from one, two or four numbers."""
    if isinstance(padding, int) or len(padding) == 2:
        vertical, horizontal = pair(padding)
        return (vertical, vertical), (horizontal, horizontal)
    top, left, bottom, right = padding
    return (top, bottom), (left, right)


def conv_size(size: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int) -> int:
    return (size + sum(padding) - dilation * (kernel - 1) - 1) // stride + 1


def pool_size(
    size: int, kernel: int, stride: int, padding: tuple[int, int], ceil_mode: bool
) -> int:
    """PyTorch's rule: in ceil mode no window may start beyond the picture and its left padding."""
    if not ceil_mode:
        return (size + sum(padding) - kernel) // stride + 1
    count = -(-(size + sum(padding) - kernel) // stride) + 1
    if (count - 1) * stride >= size + padding[0]:
        count -= 1
    return count


# --- layers ---
# forward(inputs, decision_map) -> (output, state); backward(dy, state, rule) -> dinputs
# `decision_map` is another program's map, which determines the decisions (see above), or None.


@dataclass(frozen=True)
class Conv:
    """y[n, o, i, j] = b[o] + sum over c, u, v of w[o, c, u, v] x[n, c, i s + u d - p, ...]."""

    weight: Array
    bias: Array | None
    stride: tuple[int, int]
    padding: Sides
    dilation: tuple[int, int]
    groups: int

    def _taps(self, out_height: int, out_width: int):
        """For each kernel position: its weights (G, O/G, C/G) and its input pixels."""
        out, per_group, kh, kw = self.weight.shape
        weight = self.weight.reshape(self.groups, out // self.groups, per_group, kh, kw)
        for u in range(kh):
            for v in range(kw):
                top, left = u * self.dilation[0], v * self.dilation[1]
                rows = slice(top, top + (out_height - 1) * self.stride[0] + 1, self.stride[0])
                columns = slice(left, left + (out_width - 1) * self.stride[1] + 1, self.stride[1])
                yield weight[..., u, v], rows, columns

    def forward(self, inputs, decision_map):
        (x,) = inputs
        n, c, h, w = x.shape
        kh, kw = self.weight.shape[2:]
        oh = conv_size(h, kh, self.stride[0], self.padding[0], self.dilation[0])
        ow = conv_size(w, kw, self.stride[1], self.padding[1], self.dilation[1])
        padded = np.pad(x, ((0, 0), (0, 0), *self.padding))
        y = np.zeros((n, self.groups, self.weight.shape[0] // self.groups, oh * ow))
        for weight, rows, columns in self._taps(oh, ow):
            pixels = padded[:, :, rows, columns].reshape(n, self.groups, c // self.groups, oh * ow)
            y += weight @ pixels
        y = y.reshape(n, -1, oh, ow)
        if self.bias is not None:
            y += self.bias[:, None, None]
        return y, x.shape

    def backward(self, dy, state, rule):
        n, c, h, w = state
        (top, bottom), (left, right) = self.padding
        oh, ow = dy.shape[2:]
        dy = dy.reshape(n, self.groups, -1, oh * ow)
        padded = np.zeros((n, c, top + h + bottom, left + w + right))
        for weight, rows, columns in self._taps(oh, ow):
            part = weight.transpose(0, 2, 1) @ dy
            padded[:, :, rows, columns] += part.reshape(n, c, oh, ow)
        return [padded[:, :, top : top + h, left : left + w]]


@dataclass(frozen=True)
class Linear:
    weight: Array
    bias: Array | None

    def forward(self, inputs, decision_map):
        (x,) = inputs
        y = x @ self.weight.T
        return (y if self.bias is None else y + self.bias), None

    def backward(self, dy, state, rule):
        return [dy @ self.weight]


@dataclass(frozen=True)
class Relu:
    """y = min(max(x, 0), limit).

    The gradient is g times (0 < x < limit), (g > 0) or both, depending on the rule.
    """

    limit: float = np.inf

    def forward(self, inputs, decision_map):
        (x,) = inputs
        decisive = x if decision_map is None else decision_map
        passes = (decisive > 0) & (decisive < self.limit)
        return np.where(passes, x, np.where(decisive > 0, self.limit, 0.0)), passes

    def backward(self, dy, state, rule):
        if rule == "gradient":
            return [dy * state]
        if rule == "guided":
            return [dy * (dy > 0) * state]
        if rule == "deconvnet":
            return [dy * (dy > 0)]
        raise ValueError(rule)


@dataclass(frozen=True)
class MaxPool:
    """The gradient goes to the first maximum of each window, in row-major order."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: Sides
    ceil_mode: bool

    def windows(self, x: Array) -> Array:
        """(N, C, OH, OW, kernel height * kernel width), -inf outside the picture."""
        (kh, kw), (sh, sw) = self.kernel, self.stride
        (top, bottom), (left, right) = self.padding
        n, c, h, w = x.shape
        oh = pool_size(h, kh, sh, self.padding[0], self.ceil_mode)
        ow = pool_size(w, kw, sw, self.padding[1], self.ceil_mode)
        bottom = max(bottom, (oh - 1) * sh + kh - h - top)
        right = max(right, (ow - 1) * sw + kw - w - left)
        border = ((0, 0), (0, 0), (top, bottom), (left, right))
        padded = np.pad(x, border, constant_values=-np.inf)
        windows = sliding_window_view(padded, self.kernel, axis=(2, 3))[:, :, ::sh, ::sw]
        return windows[:, :, :oh, :ow].reshape(n, c, oh, ow, kh * kw)

    def forward(self, inputs, decision_map):
        (x,) = inputs
        first = self.windows(x if decision_map is None else decision_map).argmax(axis=-1)
        y = np.take_along_axis(self.windows(x), first[..., None], axis=-1)[..., 0]
        return y, (x.shape, first)

    def backward(self, dy, state, rule):
        (n, c, h, w), first = state
        (kh, kw), (sh, sw) = self.kernel, self.stride
        top, left = self.padding[0][0], self.padding[1][0]
        oh, ow = dy.shape[2:]
        rows, columns = (oh - 1) * sh + 1, (ow - 1) * sw + 1
        padded = np.zeros((n, c, max(top + h, rows + kh), max(left + w, columns + kw)))
        for u in range(kh):
            for v in range(kw):
                part = padded[:, :, u : u + rows : sh, v : v + columns : sw]
                part += np.where(first == u * kw + v, dy, 0.0)
        return [padded[:, :, top : top + h, left : left + w]]


def average_matrix(
    size: int,
    kernel: int,
    stride: int,
    padding: tuple[int, int],
    ceil_mode: bool,
    include_pad: bool,
    divisor: int | None,
) -> Array:
    """(out, in): each row averages one window; padding counts in the divisor if include_pad."""
    matrix = np.zeros((pool_size(size, kernel, stride, padding, ceil_mode), size))
    for i, row in enumerate(matrix):
        start = i * stride - padding[0]
        end = min(start + kernel, size + padding[1])
        inside = range(max(start, 0), min(end, size))
        counted = end - start if include_pad else len(inside)
        row[inside.start : inside.stop] = 1 / (divisor or counted)
    return matrix


def adaptive_matrix(size: int, out: int) -> Array:
    """(out, in): row i averages from floor(i size / out) up to ceil((i + 1) size / out)."""
    matrix = np.zeros((out, size))
    for i, row in enumerate(matrix):
        start, end = i * size // out, -(-(i + 1) * size // out)
        row[start:end] = 1 / (end - start)
    return matrix


@dataclass(frozen=True)
class AveragePool:
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: Sides
    ceil_mode: bool
    count_include_pad: bool
    divisor: int | None

    def forward(self, inputs, decision_map):
        (x,) = inputs
        rows, columns = (
            average_matrix(
                x.shape[2 + axis],
                self.kernel[axis],
                self.stride[axis],
                self.padding[axis],
                self.ceil_mode,
                self.count_include_pad,
                self.divisor and (self.divisor if axis == 0 else 1),
            )
            for axis in (0, 1)
        )
        return rows @ x @ columns.T, (rows, columns)

    def backward(self, dy, state, rule):
        rows, columns = state
        return [rows.T @ dy @ columns]


@dataclass(frozen=True)
class GlobalMaxPool(MaxPool):
    """One window: the whole map."""

    def windows(self, x):
        return x.reshape(*x.shape[:2], 1, 1, -1)

    def backward(self, dy, state, rule):
        (n, c, h, w), first = state
        return [np.where(np.arange(h * w) == first[..., 0], dy[..., 0], 0.0).reshape(n, c, h, w)]


@dataclass(frozen=True)
class AdaptiveAveragePool:
    size: tuple[int, int]

    def forward(self, inputs, decision_map):
        (x,) = inputs
        rows = adaptive_matrix(x.shape[2], self.size[0])
        columns = adaptive_matrix(x.shape[3], self.size[1])
        return rows @ x @ columns.T, (rows, columns)

    def backward(self, dy, state, rule):
        rows, columns = state
        return [rows.T @ dy @ columns]


@dataclass(frozen=True)
class Affine:
    scale: Array
    shift: Array

    def forward(self, inputs, decision_map):
        (x,) = inputs
        shape = (-1,) + (1,) * (x.ndim - 2)
        return self.scale.reshape(shape) * x + self.shift.reshape(shape), shape

    def backward(self, dy, state, rule):
        return [self.scale.reshape(state) * dy]


@dataclass(frozen=True)
class LocalResponseNorm:
    """y_c = x_c (k + alpha / size * sum of x_j^2)^-beta, `size` channels from c - size // 2 on."""

    size: int
    alpha: float
    beta: float
    k: float

    def _band(self, channels: int) -> Array:
        """(C, C): 1 where the second channel is in the window of the first."""
        distance = np.arange(channels) - np.arange(channels)[:, None]
        return ((-(self.size // 2) <= distance) & (distance <= (self.size - 1) // 2)).astype(float)

    def forward(self, inputs, decision_map):
        (x,) = inputs
        sums = np.einsum("cj,njhw->nchw", self._band(x.shape[1]), x**2)
        scale = self.k + self.alpha / self.size * sums
        return x * scale**-self.beta, (x, scale)

    def backward(self, dy, state, rule):
        x, scale = state
        terms = dy * x * scale ** (-self.beta - 1)
        sums = np.einsum("jc,njhw->nchw", self._band(x.shape[1]), terms)
        return [dy * scale**-self.beta - 2 * self.alpha / self.size * self.beta * x * sums]


@dataclass(frozen=True)
class LayerNorm:
    """Over the channels (axis 1)."""

    weight: Array
    bias: Array
    eps: float

    def forward(self, inputs, decision_map):
        (x,) = inputs
        shape = (-1,) + (1,) * (x.ndim - 2)
        deviation = np.sqrt(x.var(axis=1, keepdims=True) + self.eps)
        normal = (x - x.mean(axis=1, keepdims=True)) / deviation
        y = normal * self.weight.reshape(shape)
        return (y if self.bias is None else y + self.bias.reshape(shape)), (normal, deviation)

    def backward(self, dy, state, rule):
        normal, deviation = state
        g = dy * self.weight.reshape(-1, *[1] * (normal.ndim - 2))
        mean, dot = (each.mean(axis=1, keepdims=True) for each in (g, g * normal))
        return [(g - mean - normal * dot) / deviation]


@dataclass(frozen=True)
class Softmax:
    """Over the channels (axis 1). dx = p (g - sum of g p)."""

    def forward(self, inputs, decision_map):
        (x,) = inputs
        e = np.exp(x - x.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        return p, p

    def backward(self, dy, state, rule):
        return [state * (dy - (dy * state).sum(axis=1, keepdims=True))]


@dataclass(frozen=True)
class LogSoftmax:
    """Over the channels. dx = g - p sum of g."""

    def forward(self, inputs, decision_map):
        (x,) = inputs
        shifted = x - x.max(axis=1, keepdims=True)
        y = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return y, np.exp(y)

    def backward(self, dy, state, rule):
        return [dy - state * dy.sum(axis=1, keepdims=True)]


@dataclass(frozen=True)
class Leaky:
    """y = x where x > 0, else slope x; slopes (1,) or (C,).

    With s(v) = 1 where v > 0, else the slope, the gradient is g s(x), g s(g) or g s(x) s(g).
    """

    slopes: Array

    def forward(self, inputs, decision_map):
        (x,) = inputs
        slopes = self.slopes.reshape(-1, *[1] * (x.ndim - 2))
        factors = np.where((x if decision_map is None else decision_map) > 0, 1.0, slopes)
        return x * factors, (factors, slopes)

    def backward(self, dy, state, rule):
        factors, slopes = state
        signs = np.where(dy > 0, 1.0, slopes)
        if rule == "gradient":
            return [dy * factors]
        return [dy * signs * (factors if rule == "guided" else 1.0)]


@dataclass(frozen=True)
class Activation:
    """function(x, decisive): the values and the derivatives; `decisive` says which side of a kink
    each x is on."""

    function: Callable[[Array, Array], tuple[Array, Array]]

    def forward(self, inputs, decision_map):
        (x,) = inputs
        return self.function(x, x if decision_map is None else decision_map)

    def backward(self, dy, state, rule):
        return [dy * state]


def clipped(low: float, high: float, scale: float = 1.0, shift: float = 0.0) -> Any:
    """low <= scale x + shift <= high, by the side of the limits that `decisive` is on."""

    def function(x, decisive):
        line = scale * decisive + shift
        inside = (low < line) & (line < high)
        y = np.where(inside, scale * x + shift, np.where(line > low, high, low))
        return y, scale * inside

    return function


def sigmoid(x, _):
    """1 - p is the sigmoid of -x."""
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e), e / (1 + e) ** 2


def gated(gate: Any) -> Any:
    """x times a function of x."""

    def function(x, decisive):
        y, slope = gate(x, decisive)
        return x * y, y + x * slope

    return function


def elu(alpha: float) -> Any:
    def function(x, decisive):
        low = np.minimum(x, 0)
        return (
            np.where(decisive > 0, x, alpha * np.expm1(low)),
            np.where(decisive > 0, 1.0, alpha * np.exp(low)),
        )

    return function


def normal_distribution(x, _):
    share = np.vectorize(math.erfc)(-x / math.sqrt(2)) / 2
    return share, np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def normal_by_tanh(x, _):
    root = math.sqrt(2 / math.pi)
    y, slope = sigmoid(2 * root * (x + 0.044715 * x**3), None)
    return y, slope * 2 * root * (1 + 3 * 0.044715 * x * x)


@dataclass(frozen=True)
class Flatten:
    def forward(self, inputs, decision_map):
        (x,) = inputs
        return x.reshape(len(x), -1), x.shape

    def backward(self, dy, state, rule):
        return [dy.reshape(state)]


@dataclass(frozen=True)
class Identity:
    def forward(self, inputs, decision_map):
        return inputs[0], None

    def backward(self, dy, state, rule):
        return [dy]


@dataclass(frozen=True)
class Add:
    def forward(self, inputs, decision_map):
        return sum(inputs), len(inputs)

    def backward(self, dy, state, rule):
        return [dy] * state


@dataclass(frozen=True)
class Concatenate:
    def forward(self, inputs, decision_map):
        return np.concatenate(inputs, axis=1), [x.shape[1] for x in inputs]

    def backward(self, dy, state, rule):
        return np.split(dy, np.cumsum(state)[:-1], axis=1)


@dataclass(frozen=True)
class Multiply:
    """One input may have one position: the factors of the other's channels."""

    def forward(self, inputs, decision_map):
        a, b = inputs
        rank = max(a.ndim, b.ndim)
        wide = [x.reshape(*x.shape, *[1] * (rank - x.ndim)) for x in inputs]
        return wide[0] * wide[1], (wide, a.shape, b.shape)

    def backward(self, dy, state, rule):
        (a, b), *shapes = state
        return [
            (dy * other)
            .sum(
                axis=tuple(i for i in range(2, dy.ndim) if own.shape[i] != dy.shape[i]),
                keepdims=True,
            )
            .reshape(shape)
            for own, other, shape in zip((a, b), (b, a), shapes, strict=True)
        ]


@dataclass(frozen=True)
class Slice:
    start: int
    stop: int

    def forward(self, inputs, decision_map):
        (x,) = inputs
        return x[:, self.start : self.stop], x.shape

    def backward(self, dy, state, rule):
        dx = np.zeros(state)
        dx[:, self.start : self.stop] = dy
        return [dx]


@dataclass(frozen=True)
class ChannelShuffle:
    """The channels as a matrix of `groups` rows, transposed."""

    groups: int

    def _order(self, channels: int) -> Array:
        return np.arange(channels).reshape(self.groups, -1).T.ravel()

    def forward(self, inputs, decision_map):
        (x,) = inputs
        return x[:, self._order(x.shape[1])], None

    def backward(self, dy, state, rule):
        dx = np.zeros_like(dy)
        dx[:, self._order(dy.shape[1])] = dy
        return [dx]


# --- the graph ---

RECTIFIERS = (Relu, Leaky)
DECIDED_BY_INPUT = (MaxPool, Leaky, Activation)


def double(array: Any) -> Array | None:
    return None if array is None else np.asarray(array, dtype=np.float64)


class Builder:
    """The methods of `_core.NetworkBuilder`; each returns the number of the new layer."""

    def __init__(self, channels: int):
        self.nodes: list[tuple[Any, tuple[int, ...]]] = [(None, ())]

    def _append(self, layer: Any, inputs: Sequence[int]) -> int:
        self.nodes.append((layer, tuple(inputs)))
        return len(self.nodes) - 1

    def conv(self, input, weight, bias=None, *, stride=1, padding=0, dilation=1, groups=1):
        sizes = pair(stride), sides(padding), pair(dilation)
        return self._append(Conv(double(weight), double(bias), *sizes, groups), [input])

    def linear(self, input, weight, bias=None):
        return self._append(Linear(double(weight), double(bias)), [input])

    def relu(self, input):
        return self._append(Relu(), [input])

    def relu6(self, input):
        return self._append(Relu(6.0), [input])

    def max_pool(self, input, kernel, *, stride=None, padding=0, ceil_mode=False):
        stride = kernel if stride is None else stride
        return self._append(MaxPool(pair(kernel), pair(stride), sides(padding), ceil_mode), [input])

    def global_max_pool(self, input):
        return self._append(GlobalMaxPool(pair(0), pair(0), sides(0), False), [input])

    def average_pool(
        self,
        input,
        kernel,
        *,
        stride=None,
        padding=0,
        ceil_mode=False,
        count_include_pad=True,
        divisor=None,
    ):
        stride = kernel if stride is None else stride
        sizes = pair(kernel), pair(stride), sides(padding)
        return self._append(AveragePool(*sizes, ceil_mode, count_include_pad, divisor), [input])

    def adaptive_average_pool(self, input, size):
        return self._append(AdaptiveAveragePool(pair(size)), [input])

    def global_average_pool(self, input):
        return self.adaptive_average_pool(input, 1)

    def affine(self, input, scale, shift):
        return self._append(Affine(double(scale), double(shift)), [input])

    def batch_norm(self, input, running_mean, running_var, weight=1.0, bias=0.0, *, eps=1e-5):
        """Not of the core: there it is an affine layer, or a part of the layer before."""
        scale = double(weight) / np.sqrt(double(running_var) + eps)
        return self.affine(input, scale, double(bias) - double(running_mean) * scale)

    def local_response_norm(self, input, size, *, alpha=1e-4, beta=0.75, k=1.0):
        return self._append(LocalResponseNorm(size, alpha, beta, k), [input])

    def layer_norm(self, input, weight, bias=None, *, eps=1e-6):
        return self._append(LayerNorm(double(weight), double(bias), eps), [input])

    def softmax(self, input):
        return self._append(Softmax(), [input])

    def log_softmax(self, input):
        return self._append(LogSoftmax(), [input])

    def clip(self, input, low, high):
        return self._append(Activation(clipped(low, high)), [input])

    def leaky_relu(self, input, slope=0.01):
        return self._append(Leaky(double([np.float32(slope)])), [input])

    def prelu(self, input, weight):
        return self._append(Leaky(double(weight)), [input])

    def elu(self, input, alpha=1.0):
        return self._append(Activation(elu(float(np.float32(alpha)))), [input])

    def sigmoid(self, input):
        return self._append(Activation(sigmoid), [input])

    def hard_sigmoid(self, input):
        return self._append(Activation(clipped(0.0, 1.0, 1 / 6, 0.5)), [input])

    def silu(self, input):
        return self._append(Activation(gated(sigmoid)), [input])

    def hard_swish(self, input):
        return self._append(Activation(gated(clipped(0.0, 1.0, 1 / 6, 0.5))), [input])

    def tanh(self, input):
        return self._append(Activation(lambda x, _: (np.tanh(x), 1 - np.tanh(x) ** 2)), [input])

    def gelu(self, input, approximate=False):
        gate = normal_by_tanh if approximate else normal_distribution
        return self._append(Activation(gated(gate)), [input])

    def flatten(self, input):
        return self._append(Flatten(), [input])

    def dropout(self, input):
        return self._append(Identity(), [input])

    def add(self, inputs):
        return self._append(Add(), inputs)

    def concatenate(self, inputs):
        return self._append(Concatenate(), inputs)

    def multiply(self, inputs):
        return self._append(Multiply(), inputs)

    def slice(self, input, start, stop):
        return self._append(Slice(start, stop), [input])

    def channel_shuffle(self, input, groups):
        return self._append(ChannelShuffle(groups), [input])

    def build(self) -> Network:
        return Network(list(self.nodes))


class Network:
    def __init__(self, nodes: list[tuple[Any, tuple[int, ...]]]):
        self.nodes = nodes

    def __len__(self) -> int:
        return len(self.nodes)

    def deciding(self) -> list[int]:
        """The layers whose maps determine all decisions: ReLUs, and the inputs of the others."""
        numbers = {i for i, (layer, _) in enumerate(self.nodes) if isinstance(layer, Relu)}
        for layer, inputs in self.nodes:
            if isinstance(layer, DECIDED_BY_INPUT):
                numbers.add(inputs[0])
        return sorted(numbers)

    def forward(self, x: Any, decisions: Mapping[int, Any] | None = None) -> Record:
        """Every layer's output. decisions: {layer: its output as another program computed it}."""
        decision_maps = decisions or {}
        outputs, states = [double(x)], [None]
        for number, (layer, inputs) in enumerate(self.nodes[1:], start=1):
            source = inputs[0] if isinstance(layer, DECIDED_BY_INPUT) else number
            y, state = layer.forward([outputs[i] for i in inputs], decision_maps.get(source))
            outputs.append(y)
            states.append(state)
        return Record(self, outputs, states)


@dataclass
class Record:
    """One forward pass, like `_core.Tape`."""

    network: Network
    outputs: list[Array]
    states: list[Any]

    def activation(self, layer: int) -> Array:
        return self.outputs[layer]

    def backward(
        self, layer: int, seeds: Any, wanted: Sequence[int], rule: str = "gradient"
    ) -> list[Array]:
        """Gradients of sum(seed * output of layer), for each seed: (S, N, ...) each."""
        found: list[list[Array]] = [[] for _ in wanted]
        for seed in double(seeds):
            gradients = {layer: seed}
            for number in range(layer, min(wanted, default=layer), -1):
                if number not in gradients:
                    continue
                node, inputs = self.network.nodes[number]
                parts = node.backward(gradients[number], self.states[number], rule)
                for source, part in zip(inputs, parts, strict=True):
                    gradients[source] = gradients.get(source, 0.0) + part
            for gradients_of_layer, number in zip(found, wanted, strict=True):
                zeros = np.zeros_like(self.outputs[number])
                gradients_of_layer.append(gradients.get(number, zeros))
        return [np.stack(each) for each in found]


# --- resizing and normalising ---


def resize_matrix(
    size: int, out: int, method: str, start: float = 0.0, end: float | None = None
) -> Array:
    """(out, size): the weights of each output pixel; the map covers start to end of `out`.

    half_pixel: pixel centres lie at i + 1/2; align_corners: the outermost centres coincide;
    nearest: the map's pixel that contains the centre. Pixels with the centre outside are zero.
    """
    end = float(out) if end is None else end
    matrix = np.zeros((out, size))
    for i, row in enumerate(matrix):
        if not start <= i + 0.5 <= end:
            continue
        share = (i + 0.5 - start) / (end - start)
        if method == "nearest":
            row[min(int(share * size), size - 1)] = 1
            continue
        if method == "half_pixel":
            place = share * size - 0.5
        elif method == "align_corners":
            place = (i - start) * (size - 1) / (end - start - 1) if end - start > 1 else 0.0
        else:
            raise ValueError(method)
        place = min(max(place, 0.0), size - 1.0)
        low = math.floor(place)
        row[low] += 1 - (place - low)
        row[min(low + 1, size - 1)] += place - low
    return matrix


def resize(
    maps: Any,
    size: tuple[int, int],
    method: str = "half_pixel",
    region: tuple[float, float, float, float] | None = None,
) -> Array:
    """Bilinear (or nearest) resizing of the last two axes; region = (top, left, bottom, right)."""
    maps = double(maps)
    top, left, bottom, right = region or (0.0, 0.0, float(size[0]), float(size[1]))
    rows = resize_matrix(maps.shape[-2], size[0], method, top, bottom)
    columns = resize_matrix(maps.shape[-1], size[1], method, left, right)
    return rows @ maps @ columns.T


def area_matrix(size: int, out: int) -> Array:
    """(out, size): the mean of equal parts of an axis; the identity if size <= out."""
    if size <= out:
        return np.eye(size)
    edges = np.arange(out + 1) * size / out
    begin, end = edges[:-1, None], edges[1:, None]
    places = np.arange(size)[None, :]
    overlap = np.minimum(end, places + 1) - np.maximum(begin, places)
    return np.maximum(overlap, 0) * out / size


def resize_to_picture(
    maps: Any,
    size: tuple[int, int],
    method: str = "half_pixel",
    region: tuple[float, float, float, float] | None = None,
) -> Array:
    """As `resize`, but the bilinear methods average first along axes with fewer output pixels."""
    maps = double(maps)
    if method != "nearest":
        top, left, bottom, right = region or (0.0, 0.0, float(size[0]), float(size[1]))
        rows = area_matrix(maps.shape[-2], max(1, round(bottom - top)))
        columns = area_matrix(maps.shape[-1], max(1, round(right - left)))
        maps = rows @ maps @ columns.T
    return resize(maps, size, method, region)


def normalise(picture: Array) -> Array:
    """Min-max to [0, 1]; a flat map becomes zero."""
    low, high = picture.min(), picture.max()
    return np.zeros_like(picture) if high == low else (picture - low) / (high - low)


# --- the methods ---


def class_seeds(record: Record, layer: int, classes: Sequence[int]) -> Array:
    """Seeds (1, N, K): class classes[n] for picture n."""
    seeds = np.zeros((1, *record.outputs[layer].shape))
    seeds[0, np.arange(len(classes)), list(classes)] = 1
    return seeds


def pixel_gradient(
    record: Record, output: int, classes: Sequence[int], rule: str = "gradient"
) -> Array:
    """(N, C, H, W): "gradient" for saliency, "guided" or "deconvnet" for the other two."""
    return record.backward(output, class_seeds(record, output, classes), [0], rule)[0][0]


def saliency(record: Record, output: int, classes: Sequence[int]) -> Array:
    """(N, H, W): max over colour channels of abs(dS_c/dx). Simonyan et al. 2014."""
    return np.abs(pixel_gradient(record, output, classes)).max(axis=1)


def grad_cam(
    record: Record, output: int, layer: int, classes: Sequence[int], sign: float = 1.0
) -> tuple[Array, Array]:
    """alpha (N, K) and the signed map (N, u, v). Selvaraju et al. 2017.

    alpha_k = mean over positions of sign * dS_c/dA^k; map = sum_k alpha_k A^k. The ReLU is the
    caller's. sign = -1: the counterfactual.
    """
    seeds = sign * class_seeds(record, output, classes)
    gradient = record.backward(output, seeds, [layer])[0][0]
    alpha = gradient.mean(axis=(2, 3))
    return alpha, np.einsum("nk,nkuv->nuv", alpha, record.outputs[layer])


def combined(
    record: Record,
    output: int,
    layer: int,
    classes: Sequence[int],
    rule: str,
    method: str = "half_pixel",
) -> Array:
    """Guided Grad-CAM (rule "guided") or Deconv Grad-CAM: pixel gradient * resized ReLU(map)."""
    _, cam = grad_cam(record, output, layer, classes)
    size = record.outputs[0].shape[2:]
    weight = resize(np.maximum(cam, 0), size, method)
    return pixel_gradient(record, output, classes, rule) * weight[:, None]


Gradient = Callable[[Array], Array]
"""Gradients at points: (B, C, H, W) to (B, C, H, W)."""


def blur(x: Array, sigma: float, *, zero_outside: bool = False) -> Array:
    """Gaussian blur of the last two axes, row by row and column by column; ends at 4 sigma."""
    if sigma == 0:
        return double(x)
    radius = int(4 * sigma + 0.5)
    kernel = np.array([math.exp(-0.5 * (i / sigma) ** 2) for i in range(-radius, radius + 1)])
    kernel /= kernel.sum()

    def along(row: Array) -> Array:
        full = np.convolve(row, kernel)[radius : radius + len(row)]
        shares = np.convolve(np.ones(len(row)), kernel)[radius : radius + len(row)]
        return full if zero_outside else full / shares

    return np.apply_along_axis(along, -2, np.apply_along_axis(along, -1, double(x)))


def straight_path(gradient: Gradient, x: Array, start: Array, rule: str, steps: int) -> Array:
    """(C, H, W): integrated gradients, the points of the line one by one. Sundararajan et al."""
    total = np.zeros_like(double(x))
    for i in range(steps):
        if rule == "gauss_legendre":
            roots, weights = np.polynomial.legendre.leggauss(steps)
            place, weight = 0.5 + roots[i] / 2, weights[i] / 2
        elif rule == "trapezoid":
            place, weight = i / (steps - 1), (0.5 if i in (0, steps - 1) else 1) / (steps - 1)
        else:
            place = (i + {"left": 0.0, "middle": 0.5, "right": 1.0}[rule]) / steps
            weight = 1 / steps
        point = double(start) + place * (double(x) - start)
        total += weight * gradient(point[None])[0] * (double(x) - start)
    return total


def blur_path(gradient: Gradient, x: Array, max_sigma: float, rule: str, steps: int) -> Array:
    """(C, H, W): blur integrated gradients; "authors": as BlurIG in their code. Xu et al. 2020."""
    total = np.zeros_like(double(x))
    for i in range(steps):
        if rule == "authors":
            sigma = i * max_sigma / steps
            point = blur(x, sigma, zero_outside=True)
            slope = (blur(x, sigma + 0.01, zero_outside=True) - point) / 0.01
            total -= max_sigma / steps * slope * gradient(point[None])[0]
        else:
            ends = [max_sigma * (end / steps) ** 2 for end in (i, i + 1)]
            near, far = (blur(x, sigma, zero_outside=True) for sigma in ends)
            total += gradient((near + far)[None] / 2)[0] * (near - far)
    return total


OF_SINGLE = (Relu, Leaky, Activation)
OF_SEVERAL = {Multiply: 1, LocalResponseNorm: 16, LayerNorm: 16, Softmax: 64, LogSoftmax: 64}


def deep_lift(record: Record, start: Record, layer: int, seed: Array) -> Array:
    """(N, C, H, W): DeepLIFT's rescale rule for seed * output of layer. Shrikumar et al. 2017.

    Max pooling as in captum; functions of several values by the mean derivative on the line.
    """
    multipliers = {layer: double(seed)}
    for number in range(layer, 0, -1):
        if number not in multipliers:
            continue
        node, inputs = record.network.nodes[number]
        parts = _lifted(node, number, inputs, multipliers[number], record, start)
        for source, part in zip(inputs, parts, strict=True):
            multipliers[source] = multipliers.get(source, 0.0) + part
    return multipliers.get(0, 0.0) * (record.outputs[0] - start.outputs[0])


def _lifted(node, number, inputs, m, record, start) -> list[Array]:
    """The multipliers of a layer's inputs."""
    xs, others = ([each.outputs[i] for i in inputs] for each in (record, start))
    (y, state), (y0, state0) = (
        (each.outputs[number], each.states[number]) for each in (record, start)
    )
    slopes = node.backward(m, state, "gradient")
    if type(node) in OF_SEVERAL:
        roots, weights = np.polynomial.legendre.leggauss(OF_SEVERAL[type(node)])
        total = [np.zeros_like(x) for x in xs]
        for place, weight in zip((roots + 1) / 2, weights / 2, strict=True):
            line = [o + place * (x - o) for x, o in zip(xs, others, strict=True)]
            parts = node.backward(m, node.forward(line, None)[1], "gradient")
            total = [sums + weight * part for sums, part in zip(total, parts, strict=True)]
        return total
    if not isinstance(node, (*OF_SINGLE, MaxPool)):
        return slopes
    difference = xs[0] - others[0]
    if isinstance(node, MaxPool):
        larger = np.maximum(y, y0)
        (moved,) = node.backward(m * (larger - y0), state, "gradient")
        moved = moved + node.backward(m * (y - larger), state0, "gradient")[0]
    else:
        moved = m * (y - y0)
    ratio = np.divide(moved, difference, out=np.zeros_like(moved), where=difference != 0)
    return [np.where(difference == 0, slopes[0], ratio)]
