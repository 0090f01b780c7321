"""AlexNet (Krizhevsky, 2014: "One weird trick"), as in torchvision: one path, no normalisation."""

from __future__ import annotations

from gradcam._models.architecture import Architecture, register
from gradcam._models.table import Table, published

_SIDE = 6
"""Height and width of the map that the first fully connected layer takes."""


def _rows() -> Table:
    table = Table()
    table.conv("features.0", 64, 11, stride=4, padding=2, bias=True)
    table.add("features.1", "relu")
    table.add("features.2", "max_pool", kernel=3, stride=2)
    table.conv("features.3", 192, 5, bias=True)
    table.add("features.4", "relu")
    table.add("features.5", "max_pool", kernel=3, stride=2)
    for number, units in ((6, 384), (8, 256), (10, 256)):
        table.conv(f"features.{number}", units, 3, bias=True)
        table.add(f"features.{number + 1}", "relu")
    table.add("features.12", "max_pool", kernel=3, stride=2, also=("features",))
    table.add("avgpool", "adaptive_average_pool", size=_SIDE)
    table.add("flatten", "flatten")
    for number in (0, 3):
        table.add(f"classifier.{number}", "dropout")
        table.linear(f"classifier.{number + 1}", 4096)
        table.add(f"classifier.{number + 2}", "relu")
    table.linear("classifier.6")
    table.add("prob", "softmax")
    return table


register(
    Architecture(
        "alexnet",
        "AlexNet",
        _rows,
        signs={"torchvision": "classifier.4"},
        published=published(("alexnet-owt-7be5be79.pth", 233.087)),
    )
)
