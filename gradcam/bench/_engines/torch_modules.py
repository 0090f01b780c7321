"""The modules of PyTorch's side: torchvision's own where it has the network, else from the rows.

Both get the same tensors. What the packages need is changed: ReLUs do not work in place where
gradients are computed, and DenseNet's last ReLU, a function in torchvision, becomes a module.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from gradcam._engine.layers import HEADS, INPUT, Layer, complete
from gradcam._models.architecture import Architecture

_OPTIONS: dict[str, dict[str, object]] = {
    "googlenet": {"aux_logits": False, "transform_input": False, "init_weights": False},
    "inception_v3": {"aux_logits": False, "transform_input": False, "init_weights": False},
}


def build(architecture: Architecture, tensors: Mapping[str, torch.Tensor]) -> nn.Module:
    """Return a network in evaluation mode, with these tensors.

    Raises
    ------
    ModuleNotFoundError
        If torchvision is not installed.
    """
    torchvision = import_torchvision()
    if architecture.name in torchvision.models.list_models(torchvision.models):
        options = _OPTIONS.get(architecture.name, {})
        model: nn.Module = torchvision.models.get_model(architecture.name, weights=None, **options)
        missing, unexpected = model.load_state_dict(dict(tensors), strict=False)
        missing = [name for name in missing if not name.endswith("num_batches_tracked")]
        if missing or unexpected:
            raise ValueError(f"other tensors than torchvision's: {missing[:3]} {unexpected[:3]}")
        if architecture.name.startswith("densenet"):
            classifier = model.get_submodule("classifier")
            delattr(model, "classifier")  # to come after the ReLU again
            model.add_module("relu5", nn.ReLU())
            model.add_module("classifier", classifier)
            setattr(model, "forward", types.MethodType(_densenet_forward, model))  # noqa: B010
    else:
        model = FromRows(architecture, tensors)
    return model.eval()


def import_torchvision() -> types.ModuleType:
    """Import torchvision, also with a PyTorch that its wheel was not built for.

    Its compiled operations cannot be loaded then, and the import fails because two of them are
    unknown to PyTorch. The networks do not use them.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        for operation in ("nms", "qnms"):
            torch.library.define(
                f"torchvision::{operation}",
                "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
            )
        return importlib.import_module("torchvision")


def _densenet_forward(model: Any, x: torch.Tensor) -> torch.Tensor:
    maps = F.adaptive_avg_pool2d(model.relu5(model.features(x)), 1)
    scores: torch.Tensor = model.classifier(torch.flatten(maps, 1))
    return scores


def without_in_place(model: nn.Module) -> nn.Module:
    """Let no activation overwrite its input, which hooks and gradients need."""
    for module in model.modules():
        if getattr(module, "inplace", False):
            setattr(module, "inplace", False)  # noqa: B010
    return model


def fold(model: nn.Module) -> bool:
    """Fold batch normalisations into the convolutions that alone feed them; whether any was."""
    pairs = model.pairs() if isinstance(model, FromRows) else _pairs(model)
    for conv, norm in pairs:
        parts: list[Any] = [model.get_submodule(conv), model.get_submodule(norm)]
        model.set_submodule(conv, nn.utils.fusion.fuse_conv_bn_eval(*parts))
        model.set_submodule(norm, nn.Identity())
    return bool(pairs)


def _pairs(model: nn.Module) -> list[tuple[str, str]]:
    """Return the names of each such convolution and its normalisation, in a trace of the model."""
    traced = torch.fx.symbolic_trace(model)
    modules = dict(traced.named_modules())
    pairs = []
    for node in traced.graph.nodes:
        if node.op != "call_module" or not isinstance(modules[node.target], nn.BatchNorm2d):
            continue
        before = node.args[0]
        is_conv = before.op == "call_module" and isinstance(modules[before.target], nn.Conv2d)
        if is_conv and len(before.users) == 1:
            pairs.append((before.target, node.target))
    return pairs


class FromRows(nn.Module):
    """A network as its rows describe it, layer by layer."""

    def __init__(self, architecture: Architecture, tensors: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        layers = complete(architecture.layers({n: t.numpy() for n, t in tensors.items()}))
        self.layers = layers[:-1] if layers[-1].op in HEADS else layers
        for layer in self.layers:
            self.add_module(_attribute(layer.name), _module(layer))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs = {INPUT: x}
        for layer in self.layers:
            module = self.get_submodule(_attribute(layer.name))
            outputs[layer.name] = module(*(outputs[name] for name in layer.inputs))
        return outputs[self.layers[-1].name]

    def pairs(self) -> list[tuple[str, str]]:
        """As `_pairs`; only of convolutions without padding of their own."""
        from gradcam._engine.layers import foldable

        return [
            (f"{_attribute(conv)}.1" if self._is_padded(conv) else _attribute(conv), _attribute(n))
            for conv, n in ((conv, norm.name) for conv, norm in foldable(self.layers).items())
        ]

    def _is_padded(self, name: str) -> bool:
        return isinstance(self.get_submodule(_attribute(name)), nn.Sequential)


def _attribute(name: str) -> str:
    """Return a layer's name without dots, as a module needs it."""
    return name.replace(".", "__")


class _Function(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.function(*inputs)
        return result


_SIMPLE: dict[str, Any] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "hard_sigmoid": nn.Hardsigmoid,
    "hard_swish": nn.Hardswish,
    "flatten": nn.Flatten,
    "dropout": nn.Dropout,
    "global_average_pool": lambda: nn.AdaptiveAvgPool2d(1),
    "add": lambda: _Function(lambda *xs: sum(xs[1:], xs[0])),
    "multiply": lambda: _Function(torch.mul),
    "concatenate": lambda: _Function(lambda *xs: torch.cat(xs, 1)),
}


def _module(layer: Layer) -> nn.Module:
    if layer.op in _SIMPLE:
        module: nn.Module = _SIMPLE[layer.op]()
        return module
    weights = {key: torch.as_tensor(values) for key, values in layer.weights.items()}
    attributes: dict[str, Any] = dict(layer.attributes)
    if layer.op == "conv":
        return _conv(weights, attributes)
    if layer.op == "linear":
        module = nn.Linear(weights["weight"].shape[1], weights["weight"].shape[0])
    elif layer.op == "batch_norm":
        module = nn.BatchNorm2d(len(weights["weight"]), eps=attributes["eps"])
    elif layer.op == "max_pool":
        return nn.MaxPool2d(
            attributes["kernel"],
            attributes.get("stride"),
            attributes.get("padding", 0),
            ceil_mode=attributes.get("ceil_mode", False),
        )
    elif layer.op == "adaptive_average_pool":
        return nn.AdaptiveAvgPool2d(attributes["size"])
    else:
        raise ValueError(f"{layer.name}: no module of PyTorch for {layer.op} is known here")
    module.load_state_dict(weights, strict=False)
    return module


def _conv(weights: Mapping[str, torch.Tensor], attributes: Mapping[str, Any]) -> nn.Module:
    weight = weights["weight"]
    padding = attributes.get("padding", 0)
    sides = (padding, padding) if isinstance(padding, int) else tuple(padding)
    top, left, bottom, right = sides if len(sides) == 4 else (*sides, *sides)
    same = (top, left) == (bottom, right)
    groups = attributes.get("groups", 1)
    conv = nn.Conv2d(
        weight.shape[1] * groups,
        weight.shape[0],
        tuple(weight.shape[2:]),  # type: ignore[arg-type]
        attributes.get("stride", 1),
        (top, left) if same else 0,
        attributes.get("dilation", 1),
        groups,
        bias="bias" in weights,
    )
    conv.load_state_dict(dict(weights))
    return conv if same else nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), conv)
