"""ConvNeXt-Tiny (Liu et al., 2022): depthwise 7x7 convolutions and layer normalisation.

The two linear layers of a block, which torchvision and timm apply at each position, are 1x1
convolutions here.
"""

from __future__ import annotations

from gradcam._models.architecture import Architecture, register
from gradcam._models.table import DEPTHWISE, Table, published
from gradcam._pictures.presets import Preset

_PRESET = Preset("convnext_tiny", shorter_side=236)
_BICUBIC = Preset("timm", shorter_side=236, interpolation="bicubic")

_DEPTHS, _WIDTHS = (3, 3, 9, 3), (96, 192, 384, 768)
_EPS = 1e-6


def _rows() -> Table:
    table = Table()
    table.conv("features.0.0", 96, 4, stride=4, padding=0, bias=True, stored={"timm": "stem.0"})
    _norm(table, "features.0.1", "stem.1", ("features.0",))
    for stage, (depth, width) in enumerate(zip(_DEPTHS, _WIDTHS, strict=True)):
        module, timm = f"features.{2 * stage + 1}", f"stages.{stage}"
        if stage:
            before = f"features.{2 * stage}"
            _norm(table, f"{before}.0", f"{timm}.downsample.0")
            stored = {"timm": f"{timm}.downsample.1"}
            table.conv(f"{before}.1", width, 2, stride=2, padding=0, bias=True, stored=stored)
        for i in range(depth):
            also: tuple[str, ...] = (module,) if i == depth - 1 else ()
            if also and stage == len(_DEPTHS) - 1:
                also += ("features",)
            _block(table, f"{module}.{i}", f"{timm}.blocks.{i}", width, also)
    table.add("avgpool", "global_average_pool")
    _norm(table, "classifier.0", "head.norm")
    table.add("classifier.1", "flatten")
    table.linear("classifier.2", stored={"timm": "head.fc"})
    table.add("prob", "softmax")
    return table


def _norm(table: Table, name: str, timm: str, also: tuple[str, ...] = ()) -> None:
    table.norm(name, "layer_norm", eps=_EPS, stored={"timm": timm}, also=also)


def _block(table: Table, name: str, timm: str, width: int, also: tuple[str, ...]) -> None:
    before = table.last
    table.conv(f"{name}.block.0", DEPTHWISE, 7, bias=True, stored={"timm": f"{timm}.conv_dw"})
    _norm(table, f"{name}.block.2", f"{timm}.norm")
    table.conv(f"{name}.block.3", 4 * width, bias=True, stored={"timm": f"{timm}.mlp.fc1"})
    table.add(f"{name}.block.4", "gelu")
    table.conv(f"{name}.block.5", width, bias=True, stored={"timm": f"{timm}.mlp.fc2"})
    table.scale(f"{name}.layer_scale", name, timm)
    names = (*also, name)
    table.add(names[0], "add", table.last, before, also=names[1:])


register(
    Architecture(
        "convnext_tiny",
        "ConvNeXt-Tiny",
        _rows,
        signs={"torchvision": "features.7.0.block.0", "timm": "stages.3.blocks.0.conv_dw"},
        presets={"torchvision": _PRESET, "timm": _BICUBIC},
        published=published(("convnext_tiny-983f1562.pth", 109.119), presets=(_PRESET,)),
    )
)
