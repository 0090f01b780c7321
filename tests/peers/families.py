"""Networks of PyTorch's libraries beside gradcam's, with random weights and statistics.

Two correct float32 programs can differ in the sign of a few ReLUs' inputs, and one difference
changes a gradient by far more than rounding does. So PyTorch's gradient is computed in float64 with
gradcam's decisions: which inputs the rectifiers pass, and where the maxima of the poolings are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from helpers import largest_difference
from torch import nn

import gradcam

SLOPES = {
    "relu": lambda y: (y > 0).double(),
    "relu6": lambda y: ((y > 0) & (y < 6)).double(),
}
"""The derivative of each rectifier, from its output."""

MAXIMA = ("max_pool", "global_max_pool")

RECTIFIERS = {
    "relu": lambda x: x.clamp(min=0),
    "relu6": lambda x: x.clamp(0, 6),
}


class Differences(NamedTuple):
    """The largest differences, each relative to the largest value of the reference.

    Grad-CAM is a sum over channels. With random weights its terms cancel, in some networks nearly
    completely. Therefore its difference is given twice: also relative to the largest sum of the
    terms' magnitudes.
    """

    scores: float
    grad_cam: float
    grad_cam_terms: float
    gradient: float
    modules: float


class _Decided(torch.autograd.Function):
    """A rectifier with a given derivative."""

    @staticmethod
    def forward(ctx, x, op, slope):
        ctx.save_for_backward(slope)
        return RECTIFIERS[op](x)

    @staticmethod
    def backward(ctx, g):
        (slope,) = ctx.saved_tensors
        return g * slope, None, None


class _Decisions:
    """Replaces PyTorch's rectifiers and max poolings, in the order of gradcam's layers."""

    def __init__(self, tape):
        layers = tape.graph.layers
        self._tape = tape
        self._relus = iter([each for each in layers.values() if each.op in SLOPES])
        self._pools = iter([each for each in layers.values() if each.op in MAXIMA])
        self.outputs: dict[str, torch.Tensor] = {}

    def rectify(self, op, x):
        layer = next(self._relus)
        assert layer.op == op, layer
        y = torch.tensor(self._tape.activation(layer.name))
        assert y.shape == x.shape, layer
        result = _Decided.apply(x, op, SLOPES[op](y))
        self.outputs[layer.name] = result
        return result

    def relu(self, x, inplace=False):
        return self.rectify("relu", x)

    def relu6(self, x, inplace=False):
        return self.rectify("relu6", x)

    def hardtanh(self, x, min_val=-1.0, max_val=1.0, inplace=False):
        assert (min_val, max_val) == (0, 6)
        return self.rectify("relu6", x)

    def max_pool2d(self, x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, **_):
        layer = next(self._pools)
        before = torch.tensor(self._tape.activation(layer.inputs[0])).double()
        assert before.shape == x.shape, layer
        _, indices = F.max_pool2d_with_indices(before, kernel_size, stride, padding, 1, ceil_mode)
        return x.flatten(2).gather(2, indices.flatten(2)).view(indices.shape)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[_Decisions]:
        names = ("relu", "relu6", "hardtanh", "max_pool2d")
        with contextlib.ExitStack() as stack:
            for name in names:
                stack.enter_context(mock.patch.object(F, name, getattr(self, name)))
            yield self
        assert next(self._relus, None) is None and next(self._pools, None) is None


def randomised(make: Callable[..., nn.Module], *arguments, **options) -> nn.Module:
    """Make a model in evaluation mode, with random weights, parameters and statistics."""
    torch.manual_seed(0)
    model = make(*arguments, **options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
        if isinstance(module, (nn.BatchNorm2d, nn.LayerNorm)):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
        for name, parameter in module.named_parameters(recurse=False):
            if name in ("layer_scale", "gamma"):
                nn.init.uniform_(parameter, 0.2, 1)
            elif name == "bias" and isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.normal_(parameter, 0, 0.1)
    return model.eval()


def _outputs_of_modules(model: nn.Module, names) -> tuple[dict[str, np.ndarray], list]:
    """Return a dict that a forward pass fills with the outputs of modules, and the hooks."""
    outputs: dict[str, np.ndarray] = {}
    modules = dict(model.named_modules())

    def hook(name):
        def remember(module, inputs, output):
            outputs[name] = output.detach().numpy().copy()  # the next module may work in place

        return remember

    found = [name for name in names if name in modules]
    return outputs, [modules[name].register_forward_hook(hook(name)) for name in found]


def _in_order(output: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a module's output with this shape; ConvNeXt's blocks have the channels last."""
    last = output.ndim == len(shape) == 4 and output.shape != shape
    return output.transpose(0, 3, 1, 2) if last else output.reshape(shape)


def compare(net, model: nn.Module, size: tuple[int, int], target: str = "") -> Differences:
    """Return the differences of a network from the author's, for two random pictures.

    net : gradcam.Network with the model's weights. target: the module whose output is that of
    gradcam's target_layer, if the model's modules have other names; these are not compared then.
    """
    shape = (2, net.core.channels, *size)
    x = np.random.default_rng(5).standard_normal(shape).astype(np.float32)
    tape = net.forward(x, input="normalised")
    class_ = int(tape.scores[0].argmax())
    cams = np.stack([each.raw for each in tape.grad_cam(class_)])
    kept = net.forward(x, input="normalised", keep=list(net.layers)[1:])
    gradients = np.stack([each.raw for each in kept.explain("saliency", class_)])
    names = set() if target else {name for each in net.layers for name in net.names(each)}
    outputs, hooks = _outputs_of_modules(model.double(), names)
    decisions = _Decisions(kept)
    maps: list[torch.Tensor] = []
    target = target or net.target_layer
    if target in dict(model.named_modules()):
        module = model.get_submodule(target)
        hooks.append(module.register_forward_hook(lambda m, i, output: maps.append(output)))
    inputs = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    with decisions.in_use():
        scores = model(inputs)
    for hook in hooks:
        hook.remove()
    last = maps[-1] if maps else decisions.outputs[target]
    pooled, pixels = torch.autograd.grad(scores[:, class_].sum(), (last, inputs))
    terms = (pooled.mean((2, 3), keepdim=True) * last).detach().numpy()
    cam = terms.sum(1)
    modules = [
        largest_difference(kept.activation(name), _in_order(output, kept.activation(name).shape))
        for name, output in outputs.items()
    ]
    return Differences(
        largest_difference(tape.scores, scores.detach().numpy()),
        largest_difference(cams, cam),
        float(np.abs(cams - cam).max() / np.abs(terms).sum(1).max()),
        largest_difference(gradients, pixels.numpy()),
        max(modules, default=0.0),
    )


def network(model: nn.Module) -> gradcam.Network:
    """Return gradcam's network with a model's weights."""
    return gradcam.load(model.float().state_dict())
