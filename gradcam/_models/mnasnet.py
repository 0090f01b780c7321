"""MNASNet B1 (Tan et al., 2019), of four widths, as in torchvision."""

from __future__ import annotations

from functools import partial

from gradcam._models.architecture import Architecture, register
from gradcam._models.table import DEPTHWISE, FIRST, SECOND, Table, published, rounded

_STAGES = (
    (24, 3, 2, 3, 3),
    (40, 5, 2, 3, 3),
    (80, 5, 2, 6, 3),
    (96, 3, 1, 6, 2),
    (192, 5, 2, 6, 4),
    (320, 3, 1, 6, 1),
)
"""Channels, kernel, stride, expansion and blocks of each stage, at width 1."""


def _rows(width: float) -> Table:
    table = Table()
    stem, channels = rounded(32 * width), rounded(16 * width)
    table.conv("layers.0", stem, 3, stride=2)
    table.norm("layers.1")
    table.add("layers.2", "relu")
    table.conv("layers.3", DEPTHWISE, 3)
    table.norm("layers.4")
    table.add("layers.5", "relu")
    table.conv("layers.6", channels)
    table.norm("layers.7")
    for number, (base, kernel, stride, expansion, blocks) in enumerate(_STAGES, 8):
        units = rounded(base * width)
        for i in range(blocks):
            also = (f"layers.{number}",) if i == blocks - 1 else ()
            name, step = f"layers.{number}.{i}", 1 if i else stride
            _block(table, name, (channels, channels * expansion, units), kernel, step, also)
            channels = units
    table.conv("layers.14", 1280)
    table.norm("layers.15")
    table.add("layers.16", "relu", also=("layers",))
    table.classifier("classifier.1", dropout="classifier.0")
    return table


def _block(
    table: Table,
    name: str,
    channels: tuple[int, int, int],
    kernel: int,
    stride: int,
    also: tuple[str, ...],
) -> None:
    """Add a block; `channels` are those of its input, inside and of its output."""
    before, (inputs, expanded, units) = table.last, channels
    table.conv(f"{name}.layers.0", expanded)
    table.norm(f"{name}.layers.1")
    table.add(f"{name}.layers.2", "relu")
    table.conv(f"{name}.layers.3", DEPTHWISE, kernel, stride=stride)
    table.norm(f"{name}.layers.4")
    table.add(f"{name}.layers.5", "relu")
    table.conv(f"{name}.layers.6", units)
    residual = stride == 1 and inputs == units
    names = (f"{name}.layers",) if residual else (name, f"{name}.layers", *also)
    table.norm(f"{name}.layers.7", also=names)
    if residual:
        table.add(name, "add", table.last, before, also=also)


_FILES = {
    "0_5": (("mnasnet0.5_top1_67.823-3ffadce67e.pth", 8.591), FIRST),
    "0_75": (("mnasnet0_75-7090bc5f.pth", 12.303), SECOND),
    "1_0": (("mnasnet1.0_top1_73.512-f206786ef8.pth", 16.915), FIRST),
    "1_3": (("mnasnet1_3-a4c69d6f.pth", 24.246), SECOND),
}

for _width, (_file, _preset) in _FILES.items():
    register(
        Architecture(
            f"mnasnet{_width}",
            f"MNASNet {_width.replace('_', '.')}",
            partial(_rows, float(_width.replace("_", "."))),
            signs={"torchvision": "layers.8.0.layers.0"},
            published=published(_file, presets=(_preset,)),
        )
    )
