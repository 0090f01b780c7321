"""ShuffleNetV2 (Ma et al., 2018), of four widths, as in torchvision.

A block passes half of its channels on unchanged, convolves the others, and mixes both halves with a
channel shuffle; the first block of each stage convolves all of them twice and halves the size.
"""

from __future__ import annotations

from functools import partial

from gradcam._models.architecture import Architecture, register
from gradcam._models.table import DEPTHWISE, FIRST, SECOND, Table, published

_BLOCKS = {"stage2": 4, "stage3": 8, "stage4": 4}


def _rows(widths: tuple[int, int, int], last: int) -> Table:
    table = Table()
    table.conv("conv1.0", 24, 3, stride=2)
    table.norm("conv1.1")
    table.add("conv1", "relu", also=("conv1.2",))
    table.add("maxpool", "max_pool", kernel=3, stride=2, padding=1)
    for (stage, blocks), units in zip(_BLOCKS.items(), widths, strict=True):
        for i in range(blocks):
            also = (stage,) if i == blocks - 1 else ()
            _block(table, f"{stage}.{i}", units // 2, 1 if i else 2, also)
    table.conv("conv5.0", last)
    table.norm("conv5.1")
    table.add("conv5", "relu", also=("conv5.2",))
    table.classifier("fc")
    return table


def _block(table: Table, name: str, half: int, stride: int, also: tuple[str, ...]) -> None:
    before = table.last
    if stride == 1:
        first = table.add(f"{name}.half1", "slice", before, start=0, stop=half)
        before = table.add(f"{name}.half2", "slice", before, start=half, stop=2 * half)
    else:
        branch = f"{name}.branch1"
        table.conv(f"{branch}.0", DEPTHWISE, 3, stride=stride, after=before)
        table.norm(f"{branch}.1")
        table.conv(f"{branch}.2", half)
        table.norm(f"{branch}.3")
        first = table.add(f"{branch}.4", "relu", also=(branch,))
    branch = f"{name}.branch2"
    table.conv(f"{branch}.0", half, after=before)
    table.norm(f"{branch}.1")
    table.add(f"{branch}.2", "relu")
    table.conv(f"{branch}.3", DEPTHWISE, 3, stride=stride)
    table.norm(f"{branch}.4")
    table.conv(f"{branch}.5", half)
    table.norm(f"{branch}.6")
    second = table.add(f"{branch}.7", "relu", also=(branch,))
    table.add(f"{name}.concatenation", "concatenate", first, second)
    table.add(name, "channel_shuffle", groups=2, also=also)


_SHUFFLENETS = (
    ("0_5", (48, 96, 192), 1024, ("shufflenetv2_x0.5-f707e7126e.pth", 5.282), FIRST),
    ("1_0", (116, 232, 464), 1024, ("shufflenetv2_x1-5666bf0f80.pth", 8.791), FIRST),
    ("1_5", (176, 352, 704), 1024, ("shufflenetv2_x1_5-3c479a10.pth", 13.557), SECOND),
    ("2_0", (244, 488, 976), 2048, ("shufflenetv2_x2_0-8be3c8ee.pth", 28.433), SECOND),
)

for _width, _widths, _last, _file, _preset in _SHUFFLENETS:
    register(
        Architecture(
            f"shufflenet_v2_x{_width}",
            f"ShuffleNetV2 x{_width.replace('_', '.')}",
            partial(_rows, _widths, _last),
            signs={"torchvision": "stage4.0.branch2.0"},
            published=published(_file, presets=(_preset,)),
        )
    )
