"""RegNet (Radosavovic et al., 2020): X, and Y with squeeze and excitation, up to 32 GF.

Residual bottleneck blocks with grouped convolutions; widths and depths are those of torchvision.
"""

from __future__ import annotations

from functools import partial

from gradcam._models.architecture import Architecture, register
from gradcam._models.table import Table, published
from gradcam._pictures.presets import Preset

_BICUBIC = Preset("timm", shorter_side=232, interpolation="bicubic")


def _rows(
    depths: tuple[int, ...], widths: tuple[int, ...], groups: tuple[int, ...], squeezes: bool
) -> Table:
    """Return the table; `groups` are the channels of each group."""
    table = Table()
    table.convolution("stem", 32, 3, stride=2, activation="relu", timm=("stem.conv", "stem.bn"))
    channels = 32
    for stage, (depth, units, group) in enumerate(zip(depths, widths, groups, strict=True), 1):
        for i in range(depth):
            also: tuple[str, ...] = (f"trunk_output.block{stage}",) if i == depth - 1 else ()
            if also and stage == len(depths):
                also += ("trunk_output",)
            squeezed = round(channels / 4) if squeezes else 0
            sizes = (channels, units, units // group, squeezed)
            _block(table, stage, i, sizes, also)
            channels = units
    table.classifier("fc", stored={"timm": "head.fc"})
    return table


def _block(
    table: Table, stage: int, i: int, sizes: tuple[int, int, int, int], also: tuple[str, ...]
) -> None:
    """Add a block; `sizes` are input and output channels, groups, and squeezed channels."""
    name, timm = f"trunk_output.block{stage}.block{stage}-{i}", f"s{stage}.b{i + 1}"
    channels, units, groups, squeezed = sizes
    before, shortcut, stride = table.last, table.last, 1 if i else 2
    if channels != units or stride != 1:
        stored = (f"{timm}.downsample.conv", f"{timm}.downsample.bn")
        shortcut = table.convolution(f"{name}.proj", units, stride=stride, timm=stored)
    options = {"a": (1, 1, 1), "b": (3, stride, groups), "c": (1, 1, 1)}
    for number, (part, (kernel, step, parts)) in enumerate(options.items(), 1):
        if part == "c" and squeezed:
            inner = {"timm": (f"{timm}.se.fc1", f"{timm}.se.fc2")}
            table.squeeze(f"{name}.f.se", squeezed, units, "relu", "sigmoid", stored=inner)
        table.convolution(
            f"{name}.f.{part}",
            units,
            kernel,
            stride=step,
            groups=parts,
            activation="" if part == "c" else "relu",
            timm=(f"{timm}.conv{number}.conv", f"{timm}.conv{number}.bn"),
            after=before if part == "a" else "",
            also=(f"{name}.f",) if part == "c" else (),
        )
    table.add(f"{name}.add", "add", shortcut, table.last)
    names = (*also, name, f"{name}.activation")
    table.add(names[0], "relu", also=names[1:])


_Y = (
    ("400mf", (1, 3, 6, 6), (48, 104, 208, 440), 8, ("c65dace8", "e6988f5f"), 16.806),
    ("800mf", (1, 3, 8, 2), (64, 144, 320, 784), 16, ("1b27b58c", "58fc7688"), 24.774),
    ("1_6gf", (2, 6, 17, 2), (48, 120, 336, 888), 24, ("b11a554e", "0d7bc02a"), 43.152),
    ("3_2gf", (2, 5, 13, 1), (72, 216, 576, 1512), 24, ("b5a9779c", "9180c971"), 74.567),
    ("8gf", (2, 4, 10, 1), (224, 448, 896, 2016), 56, ("d0d0e4a8", "dc2b1b54"), 150.701),
    ("16gf", (2, 4, 11, 1), (224, 448, 1232, 3024), 112, ("9e6ed7dd", "3e4a00f9"), 319.49),
    ("32gf", (2, 5, 12, 1), (232, 696, 1392, 3712), 232, ("4dee3f7a", "8db6d4b5"), 554.076),
)
"""Depths, widths, channels of a group, the digests of torchvision's two files and their size."""

_X = (
    ("400mf", (1, 2, 7, 12), (32, 64, 160, 400), 16, ("adf1edd5", "62229a5f"), 21.258),
    ("800mf", (1, 3, 7, 5), (64, 128, 288, 672), 16, ("ad17e45c", "94a99ebd"), 27.945),
    ("1_6gf", (2, 4, 10, 2), (72, 168, 408, 912), 24, ("e3633e7f", "a12f2b72"), 35.339),
    ("3_2gf", (2, 6, 15, 2), (96, 192, 432, 1008), 48, ("f342aeae", "7071aa85"), 58.756),
    ("8gf", (2, 5, 15, 1), (80, 240, 720, 1920), 120, ("03ceed89", "2b70d774"), 151.456),
    ("16gf", (2, 6, 13, 1), (256, 512, 896, 2048), 128, ("2007eb11", "ba3796d7"), 207.627),
    ("32gf", (2, 7, 13, 1), (336, 672, 1344, 2520), 168, ("9d47f8d0", "6eb8fdc6"), 412.039),
)

for _kind, _networks in (("y", _Y), ("x", _X)):
    for _size, _depths, _widths, _group, _digests, _mebibytes in _networks:
        _name = f"regnet_{_kind}_{_size}"
        _groups = tuple(min(_group, width) for width in _widths)
        register(
            Architecture(
                _name,
                f"RegNet{_kind.upper()}-{_size.upper().replace('_', '.')}",
                partial(_rows, _depths, _widths, _groups, _kind == "y"),
                signs={
                    "torchvision": "trunk_output.block4.block4-0.proj.0",
                    "timm": "s4.b1.conv1.conv",
                },
                presets={"timm": _BICUBIC},
                published=published(*((f"{_name}-{each}.pth", _mebibytes) for each in _digests)),
            )
        )
