"""ResNet (He et al., 2016), ResNeXt (Xie et al., 2017) and Wide ResNet (Zagoruyko et al., 2016).

Four stages of residual blocks. The blocks of ResNet-18 and -34 have two 3x3 convolutions; those of
the others reduce the channels, convolve 3x3, and expand them fourfold. A stage halves the size in
the 3x3 convolution of its first block, as in torchvision and timm; the authors' Caffe models do so
in the 1x1 convolution before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from gradcam._models.architecture import Architecture, Trained, register
from gradcam._models.table import SECOND, Table, published

_SIGNS = {"torchvision": "layer4.0.conv1"}
"""timm's ResNets have torchvision's names."""


def _rows(blocks: tuple[int, ...], bottleneck: bool, groups: int = 1, width: int = 64) -> Table:
    """Return the table; `width` is that of each group in the first stage."""
    table = Table()
    table.conv("conv1", 64, 7, stride=2)
    table.norm("bn1")
    table.add("relu", "relu")
    table.add("maxpool", "max_pool", kernel=3, stride=2, padding=1)
    channels = 64
    for stage, count in enumerate(blocks):
        planes = 64 << stage
        for i in range(count):
            name = f"layer{stage + 1}.{i}"
            names = [name, f"{name}.relu"]
            if i == count - 1:
                names.insert(0, f"layer{stage + 1}")
            stride = 2 if stage and not i else 1
            before, out = table.last, planes * (4 if bottleneck else 1)
            if bottleneck:
                inner = planes * width // 64 * groups
                convolutions = [(inner, 1, 1, 1), (inner, 3, stride, groups), (out, 1, 1, 1)]
            else:
                convolutions = [(out, 3, stride, 1), (out, 3, 1, 1)]
            branch = _branch(table, name, convolutions)
            shortcut = before
            if stride != 1 or channels != out:
                table.conv(f"{name}.downsample.0", out, stride=stride, after=before)
                shortcut = table.norm(f"{name}.downsample.1", also=(f"{name}.downsample",))
            table.add(f"{name}.add", "add", branch, shortcut)
            table.add(names[0], "relu", also=tuple(names[1:]))
            channels = out
    table.classifier("fc")
    return table


def _branch(table: Table, name: str, convolutions: list[tuple[int, int, int, int]]) -> str:
    """Add a block's convolutions: channels, kernel, stride and groups of each."""
    for i, (units, kernel, stride, groups) in enumerate(convolutions, 1):
        if i > 1:
            table.add(f"{name}.relu{i - 1}", "relu")
        table.conv(f"{name}.conv{i}", units, kernel, stride=stride, groups=groups)
        table.norm(f"{name}.bn{i}")
    return table.last


def _register(
    name: str, title: str, files: Iterable[Trained], blocks: tuple[int, ...], *shape: int
) -> None:
    bottleneck = name not in ("resnet18", "resnet34")
    table = partial(_rows, blocks, bottleneck, *shape)
    register(Architecture(name, title, table, signs=_SIGNS, published=tuple(files)))


_18, _34, _50 = (2, 2, 2, 2), (3, 4, 6, 3), (3, 4, 6, 3)
_101, _152 = (3, 4, 23, 3), (3, 8, 36, 3)

_register("resnet18", "ResNet-18", published(("resnet18-f37072fd.pth", 44.661)), _18)
_register("resnet34", "ResNet-34", published(("resnet34-b627a593.pth", 83.275)), _34)
_register(
    "resnet50",
    "ResNet-50",
    published(("resnet50-0676ba61.pth", 97.781), ("resnet50-11ad3fa6.pth", 97.79)),
    _50,
)
_register(
    "resnet101",
    "ResNet-101",
    published(("resnet101-63fe2227.pth", 170.511), ("resnet101-cd907fc2.pth", 170.53)),
    _101,
)
_register(
    "resnet152",
    "ResNet-152",
    published(("resnet152-394f9c45.pth", 230.434), ("resnet152-f82ba261.pth", 230.474)),
    _152,
)
_register(
    "resnext50_32x4d",
    "ResNeXt-50 32x4d",
    published(("resnext50_32x4d-7cdf4587.pth", 95.789), ("resnext50_32x4d-1a0047aa.pth", 95.833)),
    _50,
    32,
    4,
)
_register(
    "resnext101_32x8d",
    "ResNeXt-101 32x8d",
    published(
        ("resnext101_32x8d-8ba56ff5.pth", 339.586), ("resnext101_32x8d-110c445d.pth", 339.673)
    ),
    _101,
    32,
    8,
)
_register(
    "resnext101_64x4d",
    "ResNeXt-101 64x4d",
    published(("resnext101_64x4d-173b62eb.pth", 319.318), presets=(SECOND,)),
    _101,
    64,
    4,
)
_register(
    "wide_resnet50_2",
    "Wide ResNet-50-2",
    published(("wide_resnet50_2-95faca4d.pth", 131.82), ("wide_resnet50_2-9ba9bcbe.pth", 263.124)),
    _50,
    1,
    128,
)
_register(
    "wide_resnet101_2",
    "Wide ResNet-101-2",
    published(
        ("wide_resnet101_2-32ee1156.pth", 242.896), ("wide_resnet101_2-d733dc28.pth", 484.747)
    ),
    _101,
    1,
    128,
)
