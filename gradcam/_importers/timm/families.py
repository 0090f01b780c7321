"""ConvNeXt (Liu et al., 2022) and RegNet (Radosavovic et al., 2020) as timm builds them.

A name of timm says the family; how many blocks a stage has, how many channels and groups, is seen
in the names and shapes of the tensors.
"""

from __future__ import annotations

from gradcam._importers.huggingface.modules import Modules
from gradcam._importers.values import Value

CLASSIFIER = "head.fc"
"""The linear layer at the end."""


def convnext(modules: Modules, value: Value, eps: float) -> Value:
    """Add all layers of a ConvNeXt up to the features that the classifier reads."""
    width = modules.shape("stem.0.weight", 4)[0]
    value = modules.conv(value, "stem.0", width, 4, stride=4, bias=True)
    value = modules.layer_norm(value, "stem.1", eps=eps)
    for stage in modules.numbers("stages.{}.blocks.0.conv_dw.weight"):
        name = f"stages.{stage}"
        if stage:
            width = modules.shape(f"{name}.downsample.1.weight", 4)[0]
            value = modules.layer_norm(value, f"{name}.downsample.0", eps=eps)
            value = modules.conv(value, f"{name}.downsample.1", width, 2, stride=2, bias=True)
        blocks = modules.numbers(f"{name}.blocks.{{}}.conv_dw.weight")
        for i in blocks:
            also = (name,) if i == blocks[-1] else ()
            value = _convnext_block(modules, value, f"{name}.blocks.{i}", eps, also)
    value = modules.mean(value, "head.global_pool")
    return modules.layer_norm(value, "head.norm", eps=eps)


def _convnext_block(
    modules: Modules, value: Value, path: str, eps: float, also: tuple[str, ...]
) -> Value:
    before, width = value, value.channels
    value = modules.conv(value, f"{path}.conv_dw", width, 7, padding=3, groups=width, bias=True)
    value = modules.layer_norm(value, f"{path}.norm", eps=eps)
    value = modules.linear(value, f"{path}.mlp.fc1", 4 * width)
    value = modules.activation(value, f"{path}.mlp.act", "gelu")
    value = modules.linear(value, f"{path}.mlp.fc2", width)
    value = modules.scale(value, f"{path}.gamma", f"{path}.gamma")
    return modules.add(value, before, path, *also)


def regnet(modules: Modules, value: Value, eps: float) -> Value:
    """Add all layers of a RegNet, X or Y, up to the features that the classifier reads."""
    value = _convolution(modules, value, "stem", 3, 2, eps, "relu")
    for stage in modules.numbers("s{}.b1.conv1.conv.weight", 1):
        blocks = modules.numbers(f"s{stage}.b{{}}.conv1.conv.weight", 1)
        for i in blocks:
            also = (f"s{stage}",) if i == blocks[-1] else ()
            value = _regnet_block(modules, value, f"s{stage}.b{i}", 2 if i == 1 else 1, eps, also)
    return modules.mean(value, "head.global_pool")


def _regnet_block(
    modules: Modules, value: Value, path: str, stride: int, eps: float, also: tuple[str, ...]
) -> Value:
    before = value
    value = _convolution(modules, value, f"{path}.conv1", 1, 1, eps, "relu")
    value = _convolution(modules, value, f"{path}.conv2", 3, stride, eps, "relu")
    if modules.numbers(f"{path}.se.fc{{}}.weight", 1):
        value = _squeeze(modules, value, f"{path}.se")
    value = _convolution(modules, value, f"{path}.conv3", 1, 1, eps)
    if stride != 1 or before.channels != value.channels:
        before = _convolution(modules, before, f"{path}.downsample", 1, stride, eps)
    value = modules.add(value, before, f"{path}.add")
    return modules.activation(value, f"{path}.act3", "relu", path, *also)


def _squeeze(modules: Modules, value: Value, path: str) -> Value:
    """Add squeeze and excitation (Hu et al., 2018)."""
    reduced = modules.shape(f"{path}.fc1.weight", 4)[0]
    gate = modules.mean(value, f"{path}.mean")
    gate = modules.conv(gate, f"{path}.fc1", reduced, 1, bias=True)
    gate = modules.activation(gate, f"{path}.act", "relu")
    gate = modules.conv(gate, f"{path}.fc2", value.channels, 1, bias=True)
    gate = modules.activation(gate, f"{path}.gate", "sigmoid")
    return modules.gated(value, gate, path)


def _convolution(
    modules: Modules,
    value: Value,
    path: str,
    kernel: int,
    stride: int,
    eps: float,
    activation: str = "",
) -> Value:
    """Add a convolution with its batch normalisation and activation, which timm has in one."""
    conv, norm = f"{path}.conv", f"{path}.bn"
    units, inputs, _, _ = modules.shape(f"{conv}.weight", 4)
    groups = max(1, value.channels // max(1, inputs))
    value = modules.conv(
        value, conv, units, kernel, stride=stride, padding=kernel // 2, groups=groups
    )
    if not activation:
        return modules.batch_norm(value, norm, eps=eps, also=(path,))
    value = modules.batch_norm(value, norm, eps=eps, name=f"{norm}.scale")
    return modules.activation(value, norm, activation, path)
