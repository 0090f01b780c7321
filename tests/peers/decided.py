"""PyTorch's gradient with gradcam's decisions, for models of any library that runs on PyTorch.

Two correct float32 programs can differ in the sign of a few ReLUs' inputs, and one difference
changes a gradient by far more than rounding does. So PyTorch's gradient is computed in float64 with
gradcam's decisions: which inputs the rectifiers pass, and where the maxima of the poolings are. The
layer that belongs to an operation of PyTorch is found by its values, whatever its name and place.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from helpers import largest_difference
from torch.overrides import TorchFunctionMode

NEAR = 1e-3
"""The largest difference, relative to the largest value, of a layer that is found by its values."""


class _Sloped(torch.autograd.Function):
    """A function with a given derivative."""

    @staticmethod
    def forward(ctx, x, y, slope):
        ctx.save_for_backward(slope)
        return y.clone()

    @staticmethod
    def backward(ctx, g):
        (slope,) = ctx.saved_tensors
        return g * slope, None, None


def _between(low: float, high: float, slope: float = 1.0) -> Callable[[torch.Tensor], Any]:
    return lambda y: ((y > low) & (y < high)).double() * slope


class Decisions(TorchFunctionMode):
    """Runs a model with the decisions of a tape, and finds the output of its target layer.

    tape : of gradcam, of all layers.

    Attributes
    ----------
    unknown : list of str
        Operations with decisions whose layer was not found; their own decisions are used.
    """

    def __init__(self, tape: Any, target: str) -> None:
        super().__init__()
        self.unknown: list[str] = []
        self.target = torch.tensor(tape.activation(target)).double()
        self.found: list[tuple[float, torch.Tensor]] = []
        self._layers: dict[tuple[int, ...], list[torch.Tensor]] = defaultdict(list)
        for name in tape.graph.layers:
            values = torch.tensor(tape.activation(name)).double()
            self._layers[tuple(values.shape)].append(values)

    def nearest(self, x: torch.Tensor) -> torch.Tensor | None:
        """Return the output of the layer that has these values, in either order of axes."""
        x = x.detach().double()
        shape = tuple(x.shape)
        candidates = list(self._layers[shape])
        if x.ndim == 4:
            channels_first = self._layers[(shape[0], shape[3], *shape[1:3])]
            candidates += [each.permute(0, 2, 3, 1) for each in channels_first]
        best, least = None, NEAR * max(float(x.abs().max()), 1e-30)
        for values in candidates:
            if x.ndim == 4 and float((values[0, 0, 0] - x[0, 0, 0]).abs().max()) > least:
                continue
            difference = float((values - x).abs().max())
            if difference <= least:
                best, least = values, difference
        return best

    def by_output(self, x, y, slope) -> torch.Tensor:
        """Return y, with its slope as a function of the layer's output."""
        found = self.nearest(y)
        if found is None:
            self.unknown.append("rectifier")
        return _Sloped.apply(x, y.detach(), slope(y.detach() if found is None else found))

    # ------------------------------------------------------------ functions of PyTorch

    def relu(self, x, inplace=False):
        return self.by_output(x, torch.relu(x), _between(0, math.inf))

    def relu6(self, x, inplace=False):
        return self.hardtanh(x, 0.0, 6.0)

    def hardtanh(self, x, min_val=-1.0, max_val=1.0, inplace=False):
        return self.by_output(x, x.clamp(min_val, max_val), _between(min_val, max_val))

    def clamp(self, x, min=None, max=None):
        if isinstance(min, torch.Tensor) or isinstance(max, torch.Tensor):
            return torch.clamp(x, min, max)
        low, high = (-math.inf if min is None else min), (math.inf if max is None else max)
        return self.hardtanh(x, low, high)

    def clamp_min(self, x, min):
        return self.clamp(x, min)

    def hardsigmoid(self, x, inplace=False):
        return self.by_output(x, F.hardsigmoid(x), _between(0, 1, 1 / 6))

    def leaky_relu(self, x, negative_slope=0.01, inplace=False):
        def slope(y):
            return torch.where(y > 0, 1.0, negative_slope).double()

        return self.by_output(x, F.leaky_relu(x, negative_slope), slope)

    def hardswish(self, x, inplace=False):
        found = self.nearest(x)
        if found is None:
            self.unknown.append("hardswish")
            return F.hardswish(x)
        point = found.clone().requires_grad_()
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(F.hardswish(point).sum(), point)
        return _Sloped.apply(x, F.hardswish(x.detach()), slope)

    def max_pool2d(self, x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, **_):
        found = self.nearest(x)
        if found is None:
            self.unknown.append("max_pool2d")
            found = x.detach()
        _, indices = F.max_pool2d_with_indices(
            found, kernel_size, stride, padding, dilation, ceil_mode
        )
        return x.flatten(2).gather(2, indices.flatten(2)).view(indices.shape)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "").rstrip("_")
        own = getattr(self, name, None) if name in _DECIDED else None
        first = args[0] if args else None
        if own is not None and isinstance(first, torch.Tensor) and first.requires_grad:
            result = own(*args, **(kwargs or {}))
        else:
            result = func(*args, **(kwargs or {}))
        self._compare(result)
        return result

    def _compare(self, result: object) -> None:
        """Remember a result that can be the target layer's output."""
        if not isinstance(result, torch.Tensor) or not result.requires_grad:
            return
        target = self.target
        if result.ndim == 4 and result.shape == target.shape:
            self.found.append((float((result.detach() - target).abs().max()), result))
        elif result.ndim == 4 and result.shape == target.permute(0, 2, 3, 1).shape:
            other = result.permute(0, 3, 1, 2).detach()
            self.found.append((float((other - target).abs().max()), result))


_DECIDED = {
    *("relu", "relu6", "hardtanh", "clamp", "clamp_min", "hardsigmoid", "leaky_relu"),
    *("hardswish", "max_pool2d"),
}


class Reference(NamedTuple):
    """Of PyTorch, in float64 with gradcam's decisions.

    `target` is the difference of the target layer's output; Grad-CAM is signed, and `terms` is the
    largest sum of the magnitudes that it adds.
    """

    scores: np.ndarray
    gradient: np.ndarray
    grad_cam: np.ndarray | None
    terms: float
    target: float
    unknown: list[str]


def reference(
    run: Callable[[torch.Tensor], torch.Tensor], tape: Any, target: str, x: np.ndarray, class_: int
) -> Reference:
    """Return what PyTorch computes for one class.

    run : the model in float64, from the input to the scores. tape : of all layers.
    """
    inputs = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    with Decisions(tape, target) as mode:
        scores = run(inputs)
    difference, last = min(mode.found, key=lambda pair: pair[0], default=(math.inf, None))
    wanted = [inputs] if last is None else [inputs, last]
    pixels, *rest = torch.autograd.grad(scores[:, class_].sum(), wanted)
    cam, size = None, math.nan
    if rest and last is not None:
        channels_last = last.shape != mode.target.shape
        axes, channel = ((1, 2), 3) if channels_last else ((2, 3), 1)
        terms = (rest[0].mean(axes, keepdim=True) * last).detach()
        cam, size = terms.sum(channel).numpy(), float(terms.abs().sum(channel).max())
    scale = max(float(mode.target.abs().max()), 1e-30)
    return Reference(
        scores.detach().numpy(), pixels.numpy(), cam, size, difference / scale, mode.unknown
    )


class Differences(NamedTuple):
    """The largest differences: of probabilities; others relative to the reference's largest value.

    Grad-CAM's is relative to the largest sum of the magnitudes that it adds: with random weights
    these cancel, in some networks nearly completely.
    """

    probabilities: float
    scores: float
    gradient: float
    grad_cam: float

    def __str__(self) -> str:
        return "  ".join(f"{each:.1e}" for each in self)


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(np.float64(scores) - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def compare(
    net: Any, run: Callable[[torch.Tensor], torch.Tensor], x: np.ndarray, file_scores: np.ndarray
) -> Differences:
    """Return the differences of a network from the tool that runs its file, and from PyTorch.

    x : the network's input (N, C, H, W). run : the model in float64, from this to the scores.
    file_scores : what the file's own tool computes.
    """
    tape = net.forward(x, input="normalised", keep=list(net.layers)[1:])
    class_ = int(tape.scores[0].argmax())
    right = reference(run, tape, net.target_layer, x, class_)
    cams = np.stack([each.raw for each in tape.grad_cam(class_)])
    gradients = np.stack([each.raw for each in tape.explain("saliency", class_)])
    cam = math.inf
    if right.grad_cam is not None and right.target < NEAR:
        cam = float(np.abs(cams - right.grad_cam).max()) / right.terms
    return Differences(
        float(np.abs(softmax(tape.scores) - softmax(file_scores)).max()),
        max(largest_difference(tape.scores, each) for each in (file_scores, right.scores)),
        largest_difference(gradients, right.gradient),
        cam,
    )
