"""DenseNet (Huang et al., 2017): each layer of a block reads the maps of all layers before it.

Between blocks, a transition halves channels and size. The ReLU after the last normalisation,
``relu5``, is a function and not a module in torchvision; it is the layer of Grad-CAM.
"""

from __future__ import annotations

from functools import partial

from gradcam._models.architecture import Architecture, register
from gradcam._models.table import Table, published

_SIGNS = {
    "torchvision": "features.denseblock4.denselayer1.conv1",
    "torchvision-2017": "features.denseblock4.denselayer1.conv.1",
}
"""timm's DenseNets have torchvision's names. torchvision's published files have older ones."""


def _older(name: str) -> dict[str, str]:
    """Return the name in torchvision's files of 2017: "conv.1" for "conv1"."""
    return {"torchvision-2017": f"{name[:-1]}.{name[-1]}"}


def _same(name: str) -> dict[str, str]:
    return {"torchvision-2017": name}


def _conv(table: Table, name: str, units: int, kernel: int = 1, stride: int = 1) -> str:
    inner = "denselayer" in name
    stored = _older(name) if inner else _same(name)
    return table.conv(name, units, kernel, stride=stride, stored=stored)


def _norm_relu(table: Table, norm: str, relu: str, after: str = "") -> str:
    stored = _older(norm) if "denselayer" in norm else _same(norm)
    table.norm(norm, after=after, stored=stored)
    return table.add(relu, "relu")


def _rows(growth: int, blocks: tuple[int, ...], channels: int) -> Table:
    table = Table()
    _conv(table, "features.conv0", channels, 7, 2)
    _norm_relu(table, "features.norm0", "features.relu0")
    table.add("features.pool0", "max_pool", kernel=3, stride=2, padding=1)
    for number, count in enumerate(blocks, 1):
        block = f"features.denseblock{number}"
        maps = [table.last]
        for i in range(1, count + 1):
            maps.append(_dense_layer(table, f"{block}.denselayer{i}", maps, growth))
        table.add(block, "concatenate", *maps)
        channels += count * growth
        if number < len(blocks):
            channels //= 2
            name = f"features.transition{number}"
            _norm_relu(table, f"{name}.norm", f"{name}.relu")
            _conv(table, f"{name}.conv", channels)
            table.add(f"{name}.pool", "average_pool", kernel=2, stride=2, also=(name,))
    last = "features.norm5"
    table.norm(last, also=(last, "features"), stored=_same(last))
    table.add("relu5", "relu")
    table.classifier("classifier", stored=_same("classifier"))
    return table


def _dense_layer(table: Table, name: str, maps: list[str], growth: int) -> str:
    """Add a layer that reads all maps before it in its block; return the name of its map."""
    if len(maps) > 1:
        table.add(f"{name}.concatenation", "concatenate", *maps)
    _norm_relu(table, f"{name}.norm1", f"{name}.relu1")
    _conv(table, f"{name}.conv1", 4 * growth)
    _norm_relu(table, f"{name}.norm2", f"{name}.relu2")
    table.conv(f"{name}.conv2", growth, 3, stored=_older(f"{name}.conv2"), also=(name,))
    return table.last


_DENSENETS = (
    ("121", 32, (6, 12, 24, 16), 64, ("densenet121-a639ec97.pth", 30.845)),
    ("161", 48, (6, 12, 36, 24), 96, ("densenet161-8d451a50.pth", 110.369)),
    ("169", 32, (6, 12, 32, 32), 64, ("densenet169-b2777c0a.pth", 54.708)),
    ("201", 32, (6, 12, 48, 32), 64, ("densenet201-c1103571.pth", 77.373)),
)
"""Depth, growth of the channels, layers in each block, first channels, torchvision's file."""

for _depth, _growth, _blocks, _channels, _file in _DENSENETS:
    register(
        Architecture(
            f"densenet{_depth}",
            f"DenseNet-{_depth}",
            partial(_rows, _growth, _blocks, _channels),
            signs=_SIGNS,
            published=published(_file),
        )
    )
