"""SqueezeNet (Iandola et al., 2016), versions 1.0 and 1.1.

The scores are the means of the maps of the last convolution after its ReLU, one map for each class.
Grad-CAM is computed at the maps before it, ``features.12``.
"""

from __future__ import annotations

from functools import partial

from gradcam._models.architecture import Architecture, register
from gradcam._models.table import Table, published

_FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
"""Channels that each block is squeezed to, and that each of its two convolutions expands to."""


def _rows(channels: int, kernel: int, pools: tuple[int, ...]) -> Table:
    """Return the table; `pools` are the poolings' positions in torchvision's ``features``."""
    table = Table()
    table.conv("features.0", channels, kernel, stride=2, padding=0, bias=True)
    table.add("features.1", "relu")
    fires = iter(_FIRES)
    for number in range(2, 13):
        if number in pools:
            table.add(f"features.{number}", "max_pool", kernel=3, stride=2, ceil_mode=True)
        else:
            also = ("features",) if number == 12 else ()
            _fire(table, f"features.{number}", *next(fires), also)
    table.add("classifier.0", "dropout")
    table.conv("classifier.1", 1000, bias=True)
    table.add("classifier.2", "relu")
    table.add("classifier.3", "global_average_pool", also=("classifier",))
    table.add("flatten", "flatten")
    table.add("prob", "softmax")
    return table


def _fire(table: Table, name: str, squeezed: int, expanded: int, also: tuple[str, ...]) -> None:
    table.conv(f"{name}.squeeze", squeezed, bias=True)
    before = table.add(f"{name}.squeeze_activation", "relu")
    parts = []
    for part, kernel in (("expand1x1", 1), ("expand3x3", 3)):
        table.conv(f"{name}.{part}", expanded, kernel, bias=True, after=before)
        parts.append(table.add(f"{name}.{part}_activation", "relu"))
    table.add(name, "concatenate", *parts, also=also)


_SQUEEZENETS = (
    ("1_0", (96, 7, (2, 6, 11)), ("squeezenet1_0-b66bff10.pth", 4.778)),
    ("1_1", (64, 3, (2, 5, 8)), ("squeezenet1_1-b8a52dc0.pth", 4.729)),
)

for _version, _form, _file in _SQUEEZENETS:
    register(
        Architecture(
            f"squeezenet{_version}",
            f"SqueezeNet {_version.replace('_', '.')}",
            partial(_rows, *_form),
            signs={"torchvision": "features.12.expand3x3"},
            target_layer="features.12",
            published=published(_file),
        )
    )
