"""EfficientNet-B0 to B4 (Tan and Le, 2019) and EfficientNet-Lite0 to Lite4.

B0 to B4 are those of torchvision and of timm's ``efficientnet_b0`` and so on. timm's
``tf_efficientnet_b0`` and so on have the same tensors, but another padding and another epsilon: a
file does not say so, and is computed as the former.

Lite has no squeeze and excitation, ReLU6 instead of SiLU, and the padding and the epsilon of
TensorFlow. TensorFlow's padding "same" depends on the size of a map: with stride 2, the padding of
an even size is one smaller at the top and left than at the bottom and right. Here it is that of
each network's own input size, for any input, as in the package ``efficientnet_lite_pytorch``. That
of Lite0, 224, is right for all multiples of 32. timm's ``efficientnet_lite0`` has the same tensors
as its ``tf_efficientnet_lite0``, and is computed as the latter.
"""

from __future__ import annotations

import math
from functools import partial

from gradcam._models.architecture import Architecture, register, timm_doubt
from gradcam._models.mobilenet import Inverted, inverted
from gradcam._models.table import DEPTHWISE, Table, published, rounded
from gradcam._pictures import presets
from gradcam._pictures.presets import Preset

_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
"""Expansion, kernel, stride, channels and blocks of each stage of B0."""


def _rows(width: float, depth: float) -> Table:
    table = Table()
    channels = rounded(32 * width)
    stem = ("conv_stem", "bn1")
    table.convolution("features.0", channels, 3, stride=2, activation="silu", timm=stem)
    for stage, (expansion, kernel, stride, base, repeats) in enumerate(_STAGES):
        units, blocks = rounded(base * width), math.ceil(repeats * depth)
        for i in range(blocks):
            expanded, squeezed = channels * expansion, max(1, channels // 4)
            block = Inverted(expanded, units, kernel, 1 if i else stride, "silu", squeezed)
            channels = inverted(
                table,
                f"features.{stage + 1}.{i}",
                channels,
                block,
                f"blocks.{stage}.{i}",
                gates=("silu", "sigmoid"),
                also=(f"features.{stage + 1}",) if i == blocks - 1 else (),
            )
    head, also = ("conv_head", "bn2"), ("features",)
    table.convolution("features.8", 4 * channels, activation="silu", timm=head, also=also)
    table.classifier("classifier.1", dropout="classifier.0", stored={"timm": "classifier"})
    return table


def _bicubic(name: str, size: int, shorter_side: int) -> Preset:
    return Preset(name, size=size, shorter_side=shorter_side, interpolation="bicubic")


_B = (
    ("b0", 1.0, 1.0, (224, 256), ("efficientnet_b0_rwightman-7f5810bc.pth", 20.451)),
    ("b1", 1.0, 1.1, (240, 256), ("efficientnet_b1_rwightman-bac287d4.pth", 30.134)),
    ("b2", 1.1, 1.2, (288, 288), ("efficientnet_b2_rwightman-c35c1473.pth", 35.174)),
    ("b3", 1.2, 1.4, (300, 320), ("efficientnet_b3_rwightman-b3899882.pth", 47.184)),
    ("b4", 1.4, 1.8, (380, 384), ("efficientnet_b4_rwightman-23ab8bcd.pth", 74.489)),
)
"""Widths and depths relative to B0, size of the input and of the shorter side, torchvision's
file."""

_B1_SECOND = ("efficientnet_b1-c27df63c.pth", 30.136)
_B1_PRESET = Preset("efficientnet_b1-255", size=240, shorter_side=255)

for _name, _width, _depth, _sizes, _file in _B:
    _preset = _bicubic(f"efficientnet_{_name}", *_sizes)
    _files = (_file, _B1_SECOND) if _name == "b1" else (_file,)
    register(
        Architecture(
            f"efficientnet_{_name}",
            f"EfficientNet-{_name.upper()}",
            partial(_rows, _width, _depth),
            signs={"torchvision": "features.1.0.block.0.0", "timm": "conv_stem"},
            presets={"torchvision": _preset, "timm": _preset},
            doubts=timm_doubt(f"efficientnet_{_name}", f"tf_efficientnet_{_name}"),
            published=published(*_files, presets=(_preset, _B1_PRESET)),
        )
    )


# ------------------------------------------------------------------------ Lite


class _Lite:
    """Builds the table of an EfficientNet-Lite with the names of EfficientNet-PyTorch."""

    def __init__(self, size: int) -> None:
        self.table = Table()
        self._size = size

    def conv_norm(
        self,
        conv: str,
        norm: str,
        units: int | None,
        kernel: int = 1,
        stride: int = 1,
        *,
        timm: tuple[str, str],
        also: tuple[str, ...] = (),
    ) -> None:
        """Add a convolution with TensorFlow's padding for the present size, and its norm."""
        total = (kernel - 1) if stride == 1 or self._size % stride else kernel - stride
        total = max(total, 0)
        begin, end = total // 2, total - total // 2
        padding = (begin, begin, end, end)
        self._size = -(-self._size // stride)
        stored = {"timm": timm[0]}
        self.table.conv(conv, units, kernel, stride=stride, padding=padding, stored=stored)
        self.table.norm(norm, stored={"timm": timm[1]}, also=also)


def _lite_rows(width: float, depth: float, size: int) -> Table:
    lite = _Lite(size)
    table, channels, number = lite.table, 32, 0
    lite.conv_norm("_conv_stem", "_bn0", channels, 3, 2, timm=("conv_stem", "bn1"))
    table.add("_stem.relu6", "relu6")
    for stage, (expansion, kernel, stride, base, repeats) in enumerate(_STAGES):
        units = rounded(base * width)
        blocks = repeats if stage in (0, 6) else math.ceil(repeats * depth)
        for i in range(blocks):
            block = Inverted(channels * expansion, units, kernel, 1 if i else stride, "relu6")
            _lite_block(lite, number, f"blocks.{stage}.{i}", channels, block)
            channels, number = units, number + 1
    lite.conv_norm("_conv_head", "_bn1", 1280, timm=("conv_head", "bn2"))
    table.add("_head.relu6", "relu6")
    table.classifier("_fc", dropout="_dropout", stored={"timm": "classifier"})
    return table


def _lite_block(lite: _Lite, number: int, timm: str, channels: int, block: Inverted) -> None:
    table, name, before = lite.table, f"_blocks.{number}", lite.table.last
    expands, residual = block.expanded != channels, block.stride == 1 and channels == block.units
    first = 1 if expands else 0
    if expands:
        stored = (f"{timm}.conv_pw", f"{timm}.bn1")
        lite.conv_norm(f"{name}._expand_conv", f"{name}._bn0", block.expanded, timm=stored)
        table.add(f"{name}.relu6_0", "relu6")
    stored = (f"{timm}.conv_dw", f"{timm}.bn{first + 1}")
    depthwise = (DEPTHWISE, block.kernel, block.stride)
    lite.conv_norm(f"{name}._depthwise_conv", f"{name}._bn1", *depthwise, timm=stored)
    table.add(f"{name}.relu6_1", "relu6")
    stored = (f"{timm}.conv_pwl" if expands else f"{timm}.conv_pw", f"{timm}.bn{first + 2}")
    also = () if residual else (name,)
    lite.conv_norm(f"{name}._project_conv", f"{name}._bn2", block.units, timm=stored, also=also)
    if residual:
        table.add(name, "add", table.last, before)


_LITE = (
    ("lite0", 1.0, 1.0, 224),
    ("lite1", 1.0, 1.1, 240),
    ("lite2", 1.1, 1.2, 260),
    ("lite3", 1.2, 1.4, 280),
    ("lite4", 1.4, 1.8, 300),
)
"""Widths and depths relative to Lite0, and the size of the input. The shorter side is resized to 32
more, as TensorFlow's preprocessing crops."""


def _lite_preset(name: str, size: int) -> Preset:
    if name == "lite0":
        return presets.find("efficientnet-lite")
    mean, std = (127.0,) * 3, (128.0,) * 3
    return Preset(f"efficientnet-{name}", "RGB", 1.0, mean, std, size, size + 32, "bicubic")


for _name, _width, _depth, _side in _LITE:
    _preset = _lite_preset(_name, _side)
    register(
        Architecture(
            f"efficientnet_{_name}",
            f"EfficientNet-{_name.capitalize()}",
            partial(_lite_rows, _width, _depth, _side),
            eps=1e-3,
            signs={"efficientnet-pytorch": "_blocks.0._depthwise_conv", "timm": "conv_stem"},
            presets={"efficientnet-pytorch": _preset, "timm": _preset},
            doubts=timm_doubt(f"tf_efficientnet_{_name}", f"efficientnet_{_name}"),
        )
    )
