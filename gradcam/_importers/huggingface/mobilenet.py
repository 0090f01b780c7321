"""MobileNetV1ForImageClassification (Howard et al., 2017) and V2 (Sandler et al., 2018)."""

from __future__ import annotations

from typing import NamedTuple

from gradcam._importers.huggingface.modules import Modules, same_padding
from gradcam._importers.huggingface.settings import Settings
from gradcam._importers.values import Value

_STRIDES_V1 = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)

_CHANNELS_V2 = (16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320)
_STRIDES_V2 = (2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1)


class _Common(NamedTuple):
    """The settings of all convolutions of a network."""

    activation: str
    tf_padding: bool
    eps: float

    @classmethod
    def of(cls, settings: Settings) -> _Common:
        return cls(
            settings.text("hidden_act", "relu6"),
            settings.flag("tf_padding", True),
            settings.real("layer_norm_eps", 0.001, 0, 1),
        )

    def add(
        self,
        modules: Modules,
        value: Value,
        path: str,
        units: int,
        kernel: int = 1,
        stride: int = 1,
        dilation: int = 1,
        *,
        depthwise: bool = False,
        linear: bool = False,
        also: tuple[str, ...] = (),
    ) -> Value:
        """Add a convolution with its batch normalisation and activation."""
        top = (kernel - 1) // 2 * dilation
        padding = (top, top, top, top)
        if self.tf_padding:
            padding = same_padding(value.extent, kernel, stride, dilation)
            if stride > 1 and kernel > 1:
                modules.builder.fixed = True
        value = modules.conv(
            value,
            f"{path}.convolution",
            units,
            kernel,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=value.channels if depthwise else 1,
        )
        names = (path, *also)
        norm = f"{path}.normalization"
        value = modules.batch_norm(value, norm, eps=self.eps, also=names if linear else ())
        if not linear:
            value = modules.activation(value, f"{path}.activation", self.activation, *names)
        return value


def features_v1(modules: Modules, settings: Settings, value: Value) -> Value:
    """Add all layers of MobileNetV1 up to the features that the classifier reads."""
    common = _Common.of(settings)
    multiplier = settings.real("depth_multiplier", 1.0, 1e-3, 1e3)
    least = settings.whole("min_depth", 8)
    depth = 32
    units = max(int(depth * multiplier), least)
    value = common.add(modules, value, "mobilenet_v1.conv_stem", units, 3, 2)
    for i, stride in enumerate(_STRIDES_V1):
        if stride == 2 or i == 0:
            depth *= 2
            units = max(int(depth * multiplier), least)
        name = "mobilenet_v1.layer"
        channels = value.channels
        value = common.add(modules, value, f"{name}.{2 * i}", channels, 3, stride, depthwise=True)
        value = common.add(modules, value, f"{name}.{2 * i + 1}", units)
    return modules.mean(value, "mobilenet_v1.pooler")


def features_v2(modules: Modules, settings: Settings, value: Value) -> Value:
    """Add all layers of MobileNetV2 up to the features that the classifier reads."""
    common, widths = _Common.of(settings), _Widths.of(settings)
    ratio = settings.real("expand_ratio", 6.0, 1e-3, 1e3)
    limit = settings.whole("output_stride", 32)
    channels = [widths.of_network(each) for each in _CHANNELS_V2]
    value = _stem(modules, settings, common, value, widths.of_network(32), channels[0])
    reached, dilation = 2, 1  # the stride of the stem
    for i, (units, stride) in enumerate(zip(channels[1:], _STRIDES_V2, strict=True)):
        spread = 1
        if reached == limit:
            spread, dilation, stride = dilation, dilation * stride, 1
        else:
            reached *= stride
        path, before = f"mobilenet_v2.layer.{i}", value
        expanded = widths.rounded(round(value.channels * ratio))
        value = common.add(modules, value, f"{path}.expand_1x1", expanded)
        value = common.add(
            modules, value, f"{path}.conv_3x3", expanded, 3, stride, spread, depthwise=True
        )
        residual = stride == 1 and before.channels == units
        also = () if residual else (path,)
        value = common.add(modules, value, f"{path}.reduce_1x1", units, linear=True, also=also)
        if residual:
            value = modules.add(before, value, path)
    fine = settings.flag("finegrained_output", True) and widths.multiplier < 1
    last = 1280 if fine else widths.of_network(1280)
    value = common.add(modules, value, "mobilenet_v2.conv_1x1", last)
    return modules.mean(value, "mobilenet_v2.pooler")


class _Widths(NamedTuple):
    """How numbers of channels are computed."""

    multiplier: float
    divisor: int
    least: int

    @classmethod
    def of(cls, settings: Settings) -> _Widths:
        return cls(
            settings.real("depth_multiplier", 1.0, 1e-3, 1e3),
            settings.whole("depth_divisible_by", 8),
            settings.whole("min_depth", 8),
        )

    def of_network(self, channels: int) -> int:
        """Return the channels of a network of this width, for those of the usual one."""
        return self.rounded(round(channels * self.multiplier))

    def rounded(self, channels: int) -> int:
        """Return the nearest multiple of the divisor that is not more than 10 % smaller."""
        nearest = max(self.least, int(channels + self.divisor / 2) // self.divisor * self.divisor)
        return nearest + self.divisor if nearest < 0.9 * channels else nearest


def _stem(
    modules: Modules, settings: Settings, common: _Common, value: Value, inner: int, units: int
) -> Value:
    path = "mobilenet_v2.conv_stem"
    value = common.add(modules, value, f"{path}.first_conv", inner, 3, 2)
    if not settings.flag("first_layer_is_expansion", True):
        value = common.add(modules, value, f"{path}.expand_1x1", inner)
    value = common.add(modules, value, f"{path}.conv_3x3", inner, 3, depthwise=True)
    return common.add(modules, value, f"{path}.reduce_1x1", units, linear=True, also=(path,))
