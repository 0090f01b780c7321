"""ConvNextForImageClassification (Liu et al., 2022)."""

from __future__ import annotations

from gradcam._importers.huggingface.modules import Modules
from gradcam._importers.huggingface.settings import Settings
from gradcam._importers.values import Value

_EPS = 1e-6
"""Of all layer normalisations but the last one, whose epsilon is a setting."""


def features(modules: Modules, settings: Settings, value: Value) -> Value:
    """Add all layers up to the features that the classifier reads."""
    activation = settings.text("hidden_act", "gelu")
    patch = settings.pair("patch_size", 4)
    stages = settings.whole("num_stages", 4)
    widths = settings.wholes("hidden_sizes", (96, 192, 384, 768))
    depths = settings.wholes("depths", (3, 3, 9, 3))
    eps = settings.real("layer_norm_eps", 1e-12, 0, 1)
    scaled = settings.real("layer_scale_init_value", 1e-6, -1e9, 1e9) > 0
    if not stages == len(widths) == len(depths):
        raise settings.wrong("num_stages", "as many as hidden_sizes and depths have entries")
    name = "convnext.embeddings"
    value = modules.conv(
        value, f"{name}.patch_embeddings", widths[0], patch, stride=patch, bias=True
    )
    value = modules.layer_norm(value, f"{name}.layernorm", eps=_EPS)
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        name = f"convnext.encoder.stages.{stage}"
        if stage or width != value.channels:
            down = f"{name}.downsampling_layer"
            value = modules.layer_norm(value, f"{down}.0", eps=_EPS)
            value = modules.conv(value, f"{down}.1", width, 2, stride=2, bias=True)
        for i in range(depth):
            also = (name,) if i == depth - 1 else ()
            value = _layer(modules, value, f"{name}.layers.{i}", activation, scaled, also)
    value = modules.mean(value, "convnext.pooler")
    return modules.layer_norm(value, "convnext.layernorm", eps=eps)


def _layer(
    modules: Modules, value: Value, path: str, activation: str, scaled: bool, also: tuple[str, ...]
) -> Value:
    before, width = value, value.channels
    value = modules.conv(value, f"{path}.dwconv", width, 7, padding=3, groups=width, bias=True)
    value = modules.layer_norm(value, f"{path}.layernorm", eps=_EPS)
    value = modules.linear(value, f"{path}.pwconv1", 4 * width)
    value = modules.activation(value, f"{path}.act", activation)
    value = modules.linear(value, f"{path}.pwconv2", width)
    if scaled:
        tensor = f"{path}.layer_scale_parameter"
        value = modules.scale(value, tensor, tensor)
    return modules.add(value, before, path, *also)
