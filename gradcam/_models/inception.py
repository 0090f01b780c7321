"""Inception v3 (Szegedy et al., 2016), as in torchvision.

Its input has the mean 0.5 and the deviation 0.5, which the preset provides, as
:mod:`gradcam._models.googlenet` explains. The tensors of the auxiliary classifier ``AuxLogits`` are
ignored.
"""

from __future__ import annotations

from gradcam._models.architecture import Architecture, register
from gradcam._models.googlenet import convolution
from gradcam._models.table import Pair, Table, published
from gradcam._pictures.presets import Preset

_PRESET = Preset("inception_v3", mean=(0.5,) * 3, std=(0.5,) * 3, size=299, shorter_side=342)

_Branch = tuple[tuple[str, int, Pair], ...]
"""Name, channels and kernel of each convolution of a branch."""


def _rows() -> Table:
    table = Table()
    convolution(table, "Conv2d_1a_3x3", 32, 3, stride=2, padding=0)
    convolution(table, "Conv2d_2a_3x3", 32, 3, padding=0)
    convolution(table, "Conv2d_2b_3x3", 64, 3)
    table.add("maxpool1", "max_pool", kernel=3, stride=2)
    convolution(table, "Conv2d_3b_1x1", 80)
    convolution(table, "Conv2d_4a_3x3", 192, 3, padding=0)
    table.add("maxpool2", "max_pool", kernel=3, stride=2)
    for name, pooled in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
        _module_a(table, name, pooled)
    _reduction(
        table,
        "Mixed_6a",
        (("branch3x3", 384, 3),),
        (("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)),
    )
    for name, inner in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
        _module_c(table, name, inner)
    _reduction(
        table,
        "Mixed_7a",
        (("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3)),
        (
            ("branch7x7x3_1", 192, 1),
            ("branch7x7x3_2", 192, (1, 7)),
            ("branch7x7x3_3", 192, (7, 1)),
            ("branch7x7x3_4", 192, 3),
        ),
    )
    _module_e(table, "Mixed_7b")
    _module_e(table, "Mixed_7c")
    table.classifier("fc", dropout="dropout")
    return table


def _branch(table: Table, name: str, before: str, branch: _Branch) -> str:
    for part, units, kernel in branch:
        before = convolution(table, f"{name}.{part}", units, kernel, after=before)
    return before


def _pooled(table: Table, name: str, before: str, units: int) -> str:
    table.add(f"{name}.pool", "average_pool", before, kernel=3, stride=1, padding=1)
    return convolution(table, f"{name}.branch_pool", units)


def _module_a(table: Table, name: str, pooled: int) -> None:
    before = table.last
    branches: tuple[_Branch, ...] = (
        (("branch1x1", 64, 1),),
        (("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)),
        (("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)),
    )
    parts = [_branch(table, name, before, branch) for branch in branches]
    table.add(name, "concatenate", *parts, _pooled(table, name, before, pooled))


def _module_c(table: Table, name: str, inner: int) -> None:
    before = table.last
    branches: tuple[_Branch, ...] = (
        (("branch1x1", 192, 1),),
        (
            ("branch7x7_1", inner, 1),
            ("branch7x7_2", inner, (1, 7)),
            ("branch7x7_3", 192, (7, 1)),
        ),
        (
            ("branch7x7dbl_1", inner, 1),
            ("branch7x7dbl_2", inner, (7, 1)),
            ("branch7x7dbl_3", inner, (1, 7)),
            ("branch7x7dbl_4", inner, (7, 1)),
            ("branch7x7dbl_5", 192, (1, 7)),
        ),
    )
    parts = [_branch(table, name, before, branch) for branch in branches]
    table.add(name, "concatenate", *parts, _pooled(table, name, before, 192))


def _module_e(table: Table, name: str) -> None:
    before = table.last
    parts = [_branch(table, name, before, (("branch1x1", 320, 1),))]
    stems: tuple[tuple[_Branch, str], ...] = (
        ((("branch3x3_1", 384, 1),), "branch3x3_2"),
        ((("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3)), "branch3x3dbl_3"),
    )
    for stem, fork in stems:
        inner = _branch(table, name, before, stem)
        parts.append(convolution(table, f"{name}.{fork}a", 384, (1, 3), after=inner))
        parts.append(convolution(table, f"{name}.{fork}b", 384, (3, 1), after=inner))
    table.add(name, "concatenate", *parts, _pooled(table, name, before, 192))


def _reduction(table: Table, name: str, *branches: _Branch) -> None:
    """Add a module that halves the size, in the last convolution of each branch and a pooling."""
    before, parts = table.last, []
    for branch in branches:
        inner = _branch(table, name, before, branch[:-1])
        part, units, kernel = branch[-1]
        parts.append(
            convolution(table, f"{name}.{part}", units, kernel, stride=2, padding=0, after=inner)
        )
    parts.append(table.add(f"{name}.branch_pool", "max_pool", before, kernel=3, stride=2))
    table.add(name, "concatenate", *parts)


register(
    Architecture(
        "inception_v3",
        "Inception v3",
        _rows,
        eps=1e-3,
        signs={"torchvision": "Mixed_7c.branch_pool.conv"},
        presets={"torchvision": _PRESET},
        unused=r"AuxLogits\..*",
        published=published(("inception_v3_google-0cc3c7bd.pth", 103.903), presets=(_PRESET,)),
    )
)
