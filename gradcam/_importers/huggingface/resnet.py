"""ResNetForImageClassification (He et al., 2016): basic and bottleneck blocks."""

from __future__ import annotations

from gradcam._importers.huggingface.modules import Modules
from gradcam._importers.huggingface.settings import Settings
from gradcam._importers.values import Value


def features(modules: Modules, settings: Settings, value: Value) -> Value:
    """Add all layers up to the features that the classifier reads."""
    activation = settings.text("hidden_act", "relu")
    units = settings.whole("embedding_size", 64)
    widths = settings.wholes("hidden_sizes", (256, 512, 1024, 2048))
    depths = settings.wholes("depths", (3, 4, 6, 3))
    bottleneck = settings.choice("layer_type", "bottleneck", ("basic", "bottleneck")) != "basic"
    in_bottleneck = settings.flag("downsample_in_bottleneck", False)
    first = 2 if settings.flag("downsample_in_first_stage", False) else 1
    if len(depths) != len(widths):
        raise settings.wrong("depths", f"{len(widths)} entries, as hidden_sizes has")
    embedder = "resnet.embedder.embedder"
    value = convolution(modules, value, embedder, units, 7, 2, activation)
    value = modules.max_pool(value, "resnet.embedder.pooler", 3, 2, 1)
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        name = f"resnet.encoder.stages.{stage}"
        for i in range(depth):
            stride = 1 if i else 2 if stage else first
            also = (name,) if i == depth - 1 else ()
            path, before = f"{name}.layers.{i}", value
            if bottleneck:
                value = _bottleneck(modules, value, path, width, stride, in_bottleneck)
            else:
                value = _basic(modules, value, path, width, stride)
            value = join(modules, before, value, path, stride, activation, also)
    return modules.mean(value, "resnet.pooler")


def _basic(modules: Modules, value: Value, path: str, width: int, stride: int) -> Value:
    value = convolution(modules, value, f"{path}.layer.0", width, 3, stride, "relu")
    return convolution(modules, value, f"{path}.layer.1", width, 3)


def _bottleneck(
    modules: Modules, value: Value, path: str, width: int, stride: int, in_bottleneck: bool
) -> Value:
    first, second = (stride, 1) if in_bottleneck else (1, stride)
    inner = width // 4
    value = convolution(modules, value, f"{path}.layer.0", inner, 1, first, "relu")
    value = convolution(modules, value, f"{path}.layer.1", inner, 3, second, "relu")
    return convolution(modules, value, f"{path}.layer.2", width, 1)


def convolution(
    modules: Modules,
    value: Value,
    path: str,
    units: int,
    kernel: int,
    stride: int = 1,
    activation: str = "",
    groups: int = 1,
) -> Value:
    """Add a convolution with its batch normalisation and activation."""
    conv = f"{path}.convolution"
    value = modules.conv(
        value, conv, units, kernel, stride=stride, padding=kernel // 2, groups=groups
    )
    also = () if activation else (path,)
    value = modules.batch_norm(value, f"{path}.normalization", also=also)
    if activation:
        value = modules.activation(value, f"{path}.activation", activation, path)
    return value


def join(
    modules: Modules,
    before: Value,
    branch: Value,
    path: str,
    stride: int,
    activation: str,
    also: tuple[str, ...],
) -> Value:
    """Add the shortcut of a block to its branch, and the activation after the sum."""
    if stride != 1 or before.channels != branch.channels:
        before = convolution(modules, before, f"{path}.shortcut", branch.channels, 1, stride)
    value = modules.add(branch, before, f"{path}.add")
    return modules.activation(value, f"{path}.activation", activation, path, *also)
