"""The builder's methods with PyTorch autograd, for any dtype.

The rules of each rectifier are one `torch.autograd.Function`. As in reference.py, `decisions` (the
maps of another program) determine the signs of the inputs of rectifiers and the positions of the
maxima, so that two correct programs can be compared although rounding may change these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F


def pad(x: torch.Tensor, padding: Any, value: float) -> torch.Tensor:
    """Pad a map; `padding` as the builder takes it."""
    if isinstance(padding, int):
        padding = (padding, padding)
    top, left, bottom, right = padding if len(padding) == 4 else (*padding, *padding)
    return F.pad(x, (left, right, top, bottom), value=value)


class RuleRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, decisive, rule, limit):
        ctx.rule = rule
        passes = (decisive > 0) & (decisive < limit)
        ctx.save_for_backward(passes)
        return torch.where(passes, x, torch.where(decisive > 0, limit, 0.0).to(x.dtype))

    @staticmethod
    def backward(ctx, g):
        (passes,) = ctx.saved_tensors
        if ctx.rule != "gradient":
            g = g.clamp(min=0)
        if ctx.rule != "deconvnet":
            g = g * passes
        return g, None, None, None


class RuleLeaky(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, decisive, rule, slopes):
        ctx.rule = rule
        one = torch.ones_like(x)
        slope = slopes.reshape(-1, *[1] * (x.ndim - 2)) * one
        factors = torch.where(decisive > 0, one, slope)
        ctx.save_for_backward(factors, slope)
        return x * factors

    @staticmethod
    def backward(ctx, g):
        factors, slope = ctx.saved_tensors
        signs = torch.where(g > 0, torch.ones_like(g), slope)
        if ctx.rule != "gradient":
            g = g * signs
        return (g if ctx.rule == "deconvnet" else g * factors), None, None, None


Node = tuple[Callable[..., torch.Tensor], tuple[int, ...], str]


def without_late_windows(pooled, size, padding, stride):
    """Windows of a padded map without those that begin beyond the map and its first padding."""
    strides = (stride, stride) if isinstance(stride, int) else stride
    counts = [-(-(size[i] + padding[i]) // strides[i]) for i in (0, 1)]
    return pooled[:, :, : counts[0], : counts[1]]


class Builder:
    """Like `reference.Builder`. dtype: of all computations."""

    def __init__(self, channels: int, dtype: torch.dtype = torch.float64):
        self.dtype = dtype
        self.nodes: list[Node | None] = [None]

    def _tensor(self, array: Any) -> torch.Tensor | None:
        return None if array is None else torch.as_tensor(np.asarray(array)).to(self.dtype)

    def _append(self, function: Callable, inputs: Sequence[int], kind: str = "") -> int:
        self.nodes.append((function, tuple(inputs), kind))
        return len(self.nodes) - 1

    def conv(self, input, weight, bias=None, *, stride=1, padding=0, dilation=1, groups=1):
        w, b = self._tensor(weight), self._tensor(bias)

        def convolve(x):
            return F.conv2d(pad(x, padding, 0.0), w, b, stride, 0, dilation, groups)

        return self._append(convolve, [input])

    def linear(self, input, weight, bias=None):
        w, b = self._tensor(weight), self._tensor(bias)
        return self._append(lambda x: F.linear(x, w, b), [input])

    def relu(self, input):
        return self._relu(input, math.inf)

    def relu6(self, input):
        return self._relu(input, 6.0)

    def _relu(self, input, limit):
        return self._append(lambda x, d, rule: RuleRelu.apply(x, d, rule, limit), [input], "relu")

    def max_pool(self, input, kernel, *, stride=None, padding=0, ceil_mode=False):
        """With padding on four sides, of the padded map, without windows that begin beyond it."""
        four = not isinstance(padding, int) and len(padding) == 4
        inside = 0 if four else padding
        options = {"ceil_mode": ceil_mode, "return_indices": True}

        def pool(x, decisions):
            decisions = x if decisions is None else decisions
            size = x.shape[2:]
            if four:
                x, decisions = (pad(each, padding, -math.inf) for each in (x, decisions))
            _, indices = F.max_pool2d(decisions, kernel, stride, inside, **options)
            if four:
                indices = without_late_windows(indices, size, padding, stride or kernel)
            return x.flatten(2).gather(2, indices.flatten(2)).view(indices.shape)

        return self._append(pool, [input], "max_pool")

    def global_max_pool(self, input):
        def pool(x, decisions):
            decisions = x if decisions is None else decisions
            first = decisions.flatten(2).argmax(-1, keepdim=True)
            return x.flatten(2).gather(2, first)[..., None]

        return self._append(pool, [input], "max_pool")

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
        def pool(x):
            if isinstance(padding, int) or len(padding) == 2:
                return F.avg_pool2d(
                    x, kernel, stride, padding, ceil_mode, count_include_pad, divisor
                )
            y = F.avg_pool2d(pad(x, padding, 0.0), kernel, stride, 0, ceil_mode, True, divisor)
            if not (count_include_pad or divisor):
                inside = pad(torch.ones_like(x), padding, 0.0)
                y = y / F.avg_pool2d(inside, kernel, stride, 0, ceil_mode)
            return without_late_windows(y, x.shape[2:], padding, stride or kernel)

        return self._append(pool, [input])

    def adaptive_average_pool(self, input, size):
        return self._append(lambda x: F.adaptive_avg_pool2d(x, size), [input])

    def global_average_pool(self, input):
        return self._append(lambda x: x.mean((2, 3), keepdim=True), [input])

    def affine(self, input, scale, shift):
        a, b = self._tensor(scale), self._tensor(shift)

        def scaled(x):
            shape = (-1, *[1] * (x.ndim - 2))
            return a.reshape(shape) * x + b.reshape(shape)

        return self._append(scaled, [input])

    def batch_norm(self, input, running_mean, running_var, weight=None, bias=None, *, eps=1e-5):
        """Not of the core: there it is an affine layer, or a part of the layer before."""
        given = [self._tensor(each) for each in (running_mean, running_var, weight, bias)]
        return self._append(lambda x: F.batch_norm(x, *given, eps=eps), [input])

    def local_response_norm(self, input, size, *, alpha=1e-4, beta=0.75, k=1.0):
        return self._append(lambda x: F.local_response_norm(x, size, alpha, beta, k), [input])

    def layer_norm(self, input, weight, bias=None, *, eps=1e-6):
        w, b = self._tensor(weight), self._tensor(bias)

        def norm(x):
            return F.layer_norm(x.movedim(1, -1), w.shape, w, b, eps).movedim(-1, 1)

        return self._append(norm, [input])

    def softmax(self, input):
        return self._append(lambda x: F.softmax(x, dim=1), [input])

    def log_softmax(self, input):
        return self._append(lambda x: F.log_softmax(x, dim=1), [input])

    def clip(self, input, low, high):
        return self._append(lambda x: F.hardtanh(x, low, high), [input])

    def leaky_relu(self, input, slope=0.01):
        return self._leaky(input, self._tensor([np.float32(slope)]))

    def prelu(self, input, weight):
        return self._leaky(input, self._tensor(weight))

    def _leaky(self, input, slopes):
        return self._append(
            lambda x, d, rule: RuleLeaky.apply(x, d, rule, slopes), [input], "leaky"
        )

    def elu(self, input, alpha=1.0):
        return self._append(lambda x: F.elu(x, float(np.float32(alpha))), [input])

    def sigmoid(self, input):
        return self._append(torch.sigmoid, [input])

    def hard_sigmoid(self, input):
        return self._append(lambda x: (x / 6 + 0.5).clamp(0, 1), [input])

    def silu(self, input):
        return self._append(F.silu, [input])

    def hard_swish(self, input):
        return self._append(F.hardswish, [input])

    def tanh(self, input):
        return self._append(torch.tanh, [input])

    def gelu(self, input, approximate=False):
        form = "tanh" if approximate else "none"
        return self._append(lambda x: F.gelu(x, approximate=form), [input])

    def flatten(self, input):
        return self._append(lambda x: x.flatten(1), [input])

    def dropout(self, input):
        return self._append(lambda x: x.view_as(x), [input])

    def add(self, inputs):
        return self._append(lambda *xs: sum(xs), inputs)

    def concatenate(self, inputs):
        return self._append(lambda *xs: torch.cat(xs, dim=1), inputs)

    def multiply(self, inputs):
        def product(a, b):
            rank = max(a.ndim, b.ndim)
            wide = (x.reshape(*x.shape, *[1] * (rank - x.ndim)) for x in (a, b))
            return torch.mul(*wide)

        return self._append(product, inputs)

    def slice(self, input, start, stop):
        return self._append(lambda x: x[:, start:stop], [input])

    def channel_shuffle(self, input, groups):
        def shuffle(x):
            y = F.channel_shuffle(x if x.ndim == 4 else x[..., None, None], groups)
            return y.reshape(x.shape)

        return self._append(shuffle, [input])

    def build(self) -> Network:
        return Network(self.nodes, self.dtype)


class Network:
    def __init__(self, nodes: list[Node | None], dtype: torch.dtype):
        self.nodes = nodes
        self.dtype = dtype

    def __len__(self) -> int:
        return len(self.nodes)

    def forward(
        self, x: Any, decisions: Mapping[int, Any] | None = None, rule: str = "gradient"
    ) -> Record:
        """Run the network; the rule is fixed here, because autograd records it with the ReLU."""
        maps = {i: torch.tensor(map_, dtype=self.dtype) for i, map_ in (decisions or {}).items()}
        outputs = [torch.tensor(np.asarray(x), dtype=self.dtype, requires_grad=True)]
        for number, (function, inputs, kind) in enumerate(self.nodes[1:], start=1):
            xs = [outputs[i] for i in inputs]
            if kind == "relu":
                y = function(xs[0], maps.get(number, xs[0].detach()), rule)
            elif kind == "leaky":
                y = function(xs[0], maps.get(inputs[0], xs[0].detach()), rule)
            elif kind == "max_pool":
                y = function(xs[0], maps.get(inputs[0]))
            else:
                y = function(*xs)
            outputs.append(y)
        return Record(outputs)


class Record:
    def __init__(self, outputs: list[torch.Tensor]):
        self.outputs = outputs

    def activation(self, layer: int) -> np.ndarray:
        return self.outputs[layer].detach().numpy()

    def backward(self, layer: int, seeds: Any, wanted: Sequence[int]) -> list[np.ndarray]:
        results: list[list[np.ndarray]] = [[] for _ in wanted]
        for seed in np.asarray(seeds):
            gradients = torch.autograd.grad(
                self.outputs[layer],
                [self.outputs[number] for number in wanted],
                torch.as_tensor(seed).to(self.outputs[layer].dtype),
                retain_graph=True,
                allow_unused=True,
            )
            for result, gradient, number in zip(results, gradients, wanted, strict=True):
                zeros = torch.zeros_like(self.outputs[number])
                result.append((zeros if gradient is None else gradient).numpy())
        return [np.stack(each) for each in results]
