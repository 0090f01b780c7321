"""MobileNetV2 (Sandler et al., 2018) and V3 (Howard et al., 2019).

Inverted residual blocks: a 1x1 convolution expands the channels, a depthwise one follows, in V3
with squeeze and excitation, and a 1x1 convolution reduces them again, without a non-linearity.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import count
from typing import NamedTuple

from gradcam._models.architecture import Architecture, register, timm_doubt
from gradcam._models.table import DEPTHWISE, FIRST, Table, published, rounded
from gradcam._pictures.presets import Preset

_BICUBIC = Preset("timm", shorter_side=256, interpolation="bicubic")


class Inverted(NamedTuple):
    """An inverted residual block.

    Attributes
    ----------
    expanded, units : int
        Channels inside the block and of its output.
    kernel, stride : int
        Of the depthwise convolution.
    activation : str
    squeezed : int
        Channels between the convolutions of squeeze and excitation; 0 without it.
    """

    expanded: int
    units: int
    kernel: int
    stride: int
    activation: str
    squeezed: int = 0


def inverted(
    table: Table,
    name: str,
    channels: int,
    block: Inverted,
    timm: str,
    *,
    gates: tuple[str, str] = ("", ""),
    also: tuple[str, ...] = (),
) -> int:
    """Add a block of torchvision's MobileNetV3 or EfficientNet.

    Parameters
    ----------
    table : Table
    name, timm : str
        Of the block, in torchvision and in timm.
    channels : int
        Of its input.
    block : Inverted
    gates : (str, str)
        The activations of squeeze and excitation.
    also : tuple of str
        Further names of its output.

    Returns
    -------
    int
        The channels of its output.
    """
    parts, timm_norms = count(), count(1)
    before, residual = table.last, block.stride == 1 and channels == block.units
    expands = block.expanded != channels

    def convolution(
        kind: str,
        units: int | None,
        kernel: int = 1,
        stride: int = 1,
        activation: str = "",
        also: tuple[str, ...] = (),
    ) -> None:
        table.convolution(
            f"{name}.block.{next(parts)}",
            units,
            kernel,
            stride=stride,
            activation=activation,
            timm=(f"{timm}.{kind}", f"{timm}.bn{next(timm_norms)}"),
            also=also,
        )

    if expands:
        convolution("conv_pw", block.expanded, activation=block.activation)
    convolution("conv_dw", DEPTHWISE, block.kernel, block.stride, block.activation)
    if block.squeezed:
        stored = {"timm": (f"{timm}.se.conv_reduce", f"{timm}.se.conv_expand")}
        part = f"{name}.block.{next(parts)}"
        table.squeeze(part, block.squeezed, block.expanded, *gates, stored=stored)
    names = (f"{name}.block",) if residual else (name, f"{name}.block", *also)
    convolution("conv_pwl" if expands else "conv_pw", block.units, also=names)
    if residual:
        table.add(name, "add", table.last, before, also=also)
    return block.units


_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, blocks and stride of each stage."""


def _rows_v2() -> Table:
    table = Table()
    relu6 = "relu6"
    table.convolution("features.0", 32, 3, stride=2, activation=relu6, timm=("conv_stem", "bn1"))
    channels, number = 32, count(1)
    for stage, (expansion, units, blocks, stride) in enumerate(_V2):
        for i in range(blocks):
            block = Inverted(channels * expansion, units, 3, 1 if i else stride, relu6)
            name = f"features.{next(number)}"
            channels = _block_v2(table, name, channels, block, f"blocks.{stage}.{i}")
    table.convolution(
        "features.18",
        1280,
        activation=relu6,
        timm=("conv_head", "bn2"),
        also=("features",),
    )
    table.classifier("classifier.1", dropout="classifier.0", stored={"timm": "classifier"})
    return table


def _block_v2(table: Table, name: str, channels: int, block: Inverted, timm: str) -> int:
    parts, norms, before = count(), count(1), table.last
    expands = block.expanded != channels
    if expands:
        table.convolution(
            f"{name}.conv.{next(parts)}",
            block.expanded,
            activation=block.activation,
            timm=(f"{timm}.conv_pw", f"{timm}.bn{next(norms)}"),
        )
    table.convolution(
        f"{name}.conv.{next(parts)}",
        DEPTHWISE,
        3,
        stride=block.stride,
        activation=block.activation,
        timm=(f"{timm}.conv_dw", f"{timm}.bn{next(norms)}"),
    )
    residual = block.stride == 1 and channels == block.units
    stored = {"timm": f"{timm}.conv_pwl" if expands else f"{timm}.conv_pw"}
    table.conv(f"{name}.conv.{next(parts)}", block.units, stored=stored)
    also = (f"{name}.conv",) if residual else (name, f"{name}.conv")
    stored = {"timm": f"{timm}.bn{next(norms)}"}
    table.norm(f"{name}.conv.{next(parts)}", stored=stored, also=also)
    if residual:
        table.add(name, "add", table.last, before)
    return block.units


_LARGE = (
    ((16, 16, 3, 1, "relu", False),),
    ((64, 24, 3, 2, "relu", False), (72, 24, 3, 1, "relu", False)),
    ((72, 40, 5, 2, "relu", True), (120, 40, 5, 1, "relu", True), (120, 40, 5, 1, "relu", True)),
    (
        (240, 80, 3, 2, "hard_swish", False),
        (200, 80, 3, 1, "hard_swish", False),
        (184, 80, 3, 1, "hard_swish", False),
        (184, 80, 3, 1, "hard_swish", False),
    ),
    ((480, 112, 3, 1, "hard_swish", True), (672, 112, 3, 1, "hard_swish", True)),
    (
        (672, 160, 5, 2, "hard_swish", True),
        (960, 160, 5, 1, "hard_swish", True),
        (960, 160, 5, 1, "hard_swish", True),
    ),
)
"""The stages in timm; of each block: expanded channels, channels, kernel, stride, activation, and
whether it has squeeze and excitation."""

_SMALL = (
    ((16, 16, 3, 2, "relu", True),),
    ((72, 24, 3, 2, "relu", False), (88, 24, 3, 1, "relu", False)),
    (
        (96, 40, 5, 2, "hard_swish", True),
        (240, 40, 5, 1, "hard_swish", True),
        (240, 40, 5, 1, "hard_swish", True),
    ),
    ((120, 48, 5, 1, "hard_swish", True), (144, 48, 5, 1, "hard_swish", True)),
    (
        (288, 96, 5, 2, "hard_swish", True),
        (576, 96, 5, 1, "hard_swish", True),
        (576, 96, 5, 1, "hard_swish", True),
    ),
)

_Stages = Sequence[Sequence[tuple[int, int, int, int, str, bool]]]


def _rows_v3(stages: _Stages, hidden: int) -> Table:
    table = Table()
    swish = "hard_swish"
    stem = ("conv_stem", "bn1")
    table.convolution("features.0", 16, 3, stride=2, activation=swish, timm=stem)
    channels, number = 16, count(1)
    for stage, blocks in enumerate(stages):
        for i, (expanded, units, kernel, stride, activation, squeezes) in enumerate(blocks):
            squeezed = rounded(expanded // 4) if squeezes else 0
            block = Inverted(expanded, units, kernel, stride, activation, squeezed)
            name, timm = f"features.{next(number)}", f"blocks.{stage}.{i}"
            gates = ("relu", "hard_sigmoid")
            channels = inverted(table, name, channels, block, timm, gates=gates)
    last = f"blocks.{len(stages)}.0"
    table.convolution(
        f"features.{next(number)}",
        6 * channels,
        activation=swish,
        timm=(f"{last}.conv", f"{last}.bn1"),
        also=("features",),
    )
    table.add("avgpool", "global_average_pool")
    table.add("flatten", "flatten")
    table.linear("classifier.0", hidden, stored={"timm": "conv_head"})
    table.add("classifier.1", swish)
    table.add("classifier.2", "dropout")
    table.linear("classifier.3", stored={"timm": "classifier"})
    table.add("prob", "softmax")
    return table


register(
    Architecture(
        "mobilenet_v2",
        "MobileNetV2",
        _rows_v2,
        signs={"torchvision": "features.17.conv.3", "timm": "conv_stem"},
        presets={"timm": _BICUBIC},
        published=published(
            ("mobilenet_v2-b0353104.pth", 13.555), ("mobilenet_v2-7ebf99e0.pth", 13.598)
        ),
    )
)

_V3 = (
    ("small", "Small", (_SMALL, 1024), (("mobilenet_v3_small-047dcff4.pth", 9.829),)),
    (
        "large",
        "Large",
        (_LARGE, 1280),
        (("mobilenet_v3_large-8738ca79.pth", 21.114), ("mobilenet_v3_large-5c1a4163.pth", 21.107)),
    ),
)

for _size, _title, _form, _files in _V3:
    register(
        Architecture(
            f"mobilenet_v3_{_size}",
            f"MobileNetV3-{_title}",
            partial(_rows_v3, *_form),
            eps=1e-3,
            signs={"torchvision": "features.1.block.0.0", "timm": "conv_stem"},
            presets={"torchvision": FIRST, "timm": _BICUBIC},
            eps_of={"timm": 1e-5},
            doubts=timm_doubt(f"mobilenetv3_{_size}_100", f"tf_mobilenetv3_{_size}_100"),
            published=published(*_files),
        )
    )
