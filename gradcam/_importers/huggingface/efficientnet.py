"""EfficientNetForImageClassification (Tan and Le, 2019).

transformers pads a convolution of stride 2 by one zero less at the top and left, whatever the size
of the map; TensorFlow does so for even sizes alone. Here it is as in transformers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from gradcam._importers.huggingface.modules import Modules
from gradcam._importers.huggingface.settings import Settings
from gradcam._importers.values import Padding, Value
from gradcam._weights.tensors import WeightsError


class _Stages(NamedTuple):
    """What the settings say of each stage, as lists of one length, and of all of them."""

    channels: tuple[int, ...]
    units: tuple[int, ...]
    kernels: tuple[int, ...]
    strides: tuple[int, ...]
    repeats: tuple[int, ...]
    expansions: tuple[int, ...]
    square: tuple[int, ...]
    depth: float
    width: float
    divisor: int
    squeeze: float
    activation: str
    eps: float

    @classmethod
    def of(cls, settings: Settings) -> _Stages:
        square = settings.get("depthwise_padding", [])
        found = cls(
            settings.wholes("in_channels", (32, 16, 24, 40, 80, 112, 192)),
            settings.wholes("out_channels", (16, 24, 40, 80, 112, 192, 320)),
            settings.wholes("kernel_sizes", (3, 3, 5, 3, 5, 5, 3)),
            settings.wholes("strides", (1, 2, 2, 2, 1, 2, 1)),
            settings.wholes("num_block_repeats", (1, 2, 2, 3, 3, 4, 1)),
            settings.wholes("expand_ratios", (1, 6, 6, 6, 6, 6, 6)),
            settings.wholes("depthwise_padding", (), low=0) if square else (),
            settings.real("depth_coefficient", 3.1, 1e-3, 1e3),
            settings.real("width_coefficient", 2.0, 1e-3, 1e3),
            settings.whole("depth_divisor", 8),
            settings.real("squeeze_expansion_ratio", 0.25, 0, 1e3),
            settings.text("hidden_act", "swish"),
            settings.real("batch_norm_eps", 0.001, 0, 1),
        )
        for key, each in zip(
            ("out_channels", "kernel_sizes", "strides", "num_block_repeats", "expand_ratios"),
            found[1:6],
            strict=True,
        ):
            if not isinstance(each, tuple) or len(each) != len(found.channels):
                raise settings.wrong(key, f"{len(found.channels)} entries, as in_channels has")
        if not set(found.strides) <= {1, 2}:
            raise settings.wrong("strides", "1 or 2 for each stage")
        return found

    def rounded(self, channels: int) -> int:
        """Return the channels of a network of this width, for those of the usual one."""
        wanted = channels * self.width
        nearest = max(self.divisor, int(wanted + self.divisor / 2) // self.divisor * self.divisor)
        return nearest + self.divisor if nearest < 0.9 * wanted else nearest


def features(modules: Modules, settings: Settings, value: Value) -> Value:
    """Add all layers up to the features that the classifier reads."""
    stages = _Stages.of(settings)
    pooling = settings.choice("pooling_type", "mean", ("mean", "max"))
    name = "efficientnet.embeddings"
    value = modules.conv(
        value,
        f"{name}.convolution",
        stages.rounded(32),
        3,
        stride=2,
        padding=(0, 0, 1, 1),
    )
    value = modules.batch_norm(value, f"{name}.batchnorm", eps=stages.eps)
    value = modules.activation(value, f"{name}.activation", stages.activation, name)
    number = 0
    for stage in range(len(stages.channels)):
        for i in range(math.ceil(stages.depth * stages.repeats[stage])):
            value = _block(modules, value, stages, stage, i, number)
            number += 1
    name, last = "efficientnet.encoder", settings.whole("hidden_dim", 2560)
    value = modules.conv(value, f"{name}.top_conv", stages.rounded(1280), 1)
    if last != value.channels:
        raise settings.wrong("hidden_dim", f"{value.channels}, the channels of the last map")
    value = modules.batch_norm(value, f"{name}.top_bn", eps=stages.eps)
    value = modules.activation(value, f"{name}.top_activation", stages.activation)
    pool = modules.mean if pooling == "mean" else modules.maximum
    return pool(value, "efficientnet.pooler")


def _block(
    modules: Modules, value: Value, stages: _Stages, stage: int, i: int, number: int
) -> Value:
    """Add block `number`, which is block `i` of its stage."""
    path, before = f"efficientnet.encoder.blocks.{number}", value
    stride = 1 if i else stages.strides[stage]
    ratio = stages.expansions[stage]
    if ratio != 1:
        name = f"{path}.expansion"
        value = modules.conv(value, f"{name}.expand_conv", value.channels * ratio, 1)
        value = modules.batch_norm(value, f"{name}.expand_bn", eps=stages.eps)
        value = modules.activation(value, f"{name}.expand_act", stages.activation, name)
    name, kernel = f"{path}.depthwise_conv", stages.kernels[stage]
    if kernel == 1 and stride == 2:
        raise WeightsError(f"{name}: kernel_sizes of 1 at a stride of 2 are not supported")
    value = modules.conv(
        value,
        f"{name}.depthwise_conv",
        value.channels,
        kernel,
        stride=stride,
        padding=_padding(kernel, stride, number in stages.square),
        groups=value.channels,
    )
    value = modules.batch_norm(value, f"{name}.depthwise_norm", eps=stages.eps)
    value = modules.activation(value, f"{name}.depthwise_act", stages.activation, name)
    reduced = max(1, int(before.channels * stages.squeeze))
    value = _squeeze(modules, value, f"{path}.squeeze_excite", reduced, stages.activation)
    units, name = stages.rounded(stages.units[stage]), f"{path}.projection"
    value = modules.conv(value, f"{name}.project_conv", units, 1)
    residual = stride == 1 and i > 0
    names = () if residual else (name, path)
    value = modules.batch_norm(value, f"{name}.project_bn", eps=stages.eps, also=names)
    return modules.add(value, before, path, name) if residual else value


def _padding(kernel: int, stride: int, square: bool) -> Padding:
    """Return the padding of a depthwise convolution."""
    half = kernel // 2
    if stride == 1:  # PyTorch's "same"
        return (kernel - 1) // 2, (kernel - 1) // 2, half, half
    return (half, half, half, half) if square else (half - 1, half - 1, half, half)


def _squeeze(modules: Modules, value: Value, path: str, reduced: int, activation: str) -> Value:
    """Add squeeze and excitation (Hu et al., 2018)."""
    gate = modules.mean(value, f"{path}.squeeze")
    gate = modules.conv(gate, f"{path}.reduce", reduced, 1, bias=True)
    gate = modules.activation(gate, f"{path}.act_reduce", activation)
    gate = modules.conv(gate, f"{path}.expand", value.channels, 1, bias=True)
    gate = modules.activation(gate, f"{path}.act_expand", "sigmoid")
    return modules.gated(value, gate, path)
