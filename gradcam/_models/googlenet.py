"""GoogLeNet (Szegedy et al., 2015), as in torchvision: with batch normalisation.

torchvision's weights come from TensorFlow, and expect input with the mean 0.5 and the deviation
0.5; its ``transform_input`` converts the usual input to that. Here the preset does so. Pass
``preset="torchvision"`` for a network that was trained with ``transform_input=False``.

The auxiliary classifiers ``aux1`` and ``aux2`` are part of training only; their tensors are
ignored.
"""

from __future__ import annotations

from gradcam._models.architecture import Architecture, register
from gradcam._models.table import Pair, Table, published
from gradcam._pictures.presets import Preset

_PRESET = Preset("googlenet", mean=(0.5,) * 3, std=(0.5,) * 3, shorter_side=256)

_INCEPTIONS = {
    "inception3a": (64, 96, 128, 16, 32, 32),
    "inception3b": (128, 128, 192, 32, 96, 64),
    "maxpool3": (3,),
    "inception4a": (192, 96, 208, 16, 48, 64),
    "inception4b": (160, 112, 224, 24, 64, 64),
    "inception4c": (128, 128, 256, 24, 64, 64),
    "inception4d": (112, 144, 288, 32, 64, 64),
    "inception4e": (256, 160, 320, 32, 128, 128),
    "maxpool4": (2,),
    "inception5a": (256, 160, 320, 32, 128, 128),
    "inception5b": (384, 192, 384, 48, 128, 128),
}
"""Channels of the convolutions of each module, or the kernel of a pooling."""


def convolution(
    table: Table,
    name: str,
    units: int,
    kernel: Pair = 1,
    *,
    stride: int = 1,
    padding: Pair | None = None,
    after: str = "",
    also: tuple[str, ...] = (),
) -> str:
    """Add a convolution, its batch normalisation and its ReLU: torchvision's BasicConv2d."""
    table.conv(f"{name}.conv", units, kernel, stride=stride, padding=padding, after=after)
    table.norm(f"{name}.bn")
    return table.add(name, "relu", also=also)


def _rows() -> Table:
    table = Table()
    convolution(table, "conv1", 64, 7, stride=2)
    table.add("maxpool1", "max_pool", kernel=3, stride=2, ceil_mode=True)
    convolution(table, "conv2", 64)
    convolution(table, "conv3", 192, 3)
    table.add("maxpool2", "max_pool", kernel=3, stride=2, ceil_mode=True)
    for name, numbers in _INCEPTIONS.items():
        if len(numbers) == 1:
            table.add(name, "max_pool", kernel=numbers[0], stride=2, ceil_mode=True)
        else:
            _inception(table, name, *numbers)
    table.classifier("fc", dropout="dropout")
    return table


def _inception(
    table: Table, name: str, one: int, reduce3: int, three: int, reduce5: int, five: int, pool: int
) -> None:
    """Add a module; its third branch has 3x3 convolutions in torchvision, not the paper's 5x5."""
    before = table.last
    parts = [convolution(table, f"{name}.branch1", one)]
    for branch, reduced, units in (("branch2", reduce3, three), ("branch3", reduce5, five)):
        convolution(table, f"{name}.{branch}.0", reduced, after=before)
        also = (f"{name}.{branch}",)
        parts.append(convolution(table, f"{name}.{branch}.1", units, 3, also=also))
    table.add(
        f"{name}.branch4.0", "max_pool", before, kernel=3, stride=1, padding=1, ceil_mode=True
    )
    parts.append(convolution(table, f"{name}.branch4.1", pool, also=(f"{name}.branch4",)))
    table.add(name, "concatenate", *parts)


register(
    Architecture(
        "googlenet",
        "GoogLeNet",
        _rows,
        eps=1e-3,
        signs={"torchvision": "inception5b.branch4.1.conv"},
        presets={"torchvision": _PRESET},
        unused=r"aux[12]\..*",
        published=published(("googlenet-1378be20.pth", 49.731), presets=(_PRESET,)),
    )
)
