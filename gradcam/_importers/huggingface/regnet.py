"""RegNetForImageClassification (Radosavovic et al., 2020): X, and Y with squeeze and excitation."""

from __future__ import annotations

from gradcam._importers.huggingface.modules import Modules
from gradcam._importers.huggingface.resnet import convolution, join
from gradcam._importers.huggingface.settings import Settings
from gradcam._importers.values import Value


def features(modules: Modules, settings: Settings, value: Value) -> Value:
    """Add all layers up to the features that the classifier reads."""
    activation = settings.text("hidden_act", "relu")
    units = settings.whole("embedding_size", 32)
    widths = settings.wholes("hidden_sizes", (128, 192, 512, 1088))
    depths = settings.wholes("depths", (2, 6, 12, 2))
    group = settings.whole("groups_width", 64)
    squeezes = settings.choice("layer_type", "y", ("x", "y")) == "y"
    first = 2 if settings.flag("downsample_in_first_stage", True) else 1
    if len(depths) != len(widths):
        raise settings.wrong("depths", f"{len(widths)} entries, as hidden_sizes has")
    value = convolution(modules, value, "regnet.embedder.embedder", units, 3, 2, activation)
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        name = f"regnet.encoder.stages.{stage}"
        for i in range(depth):
            stride = 1 if i else 2 if stage else first
            also = (name,) if i == depth - 1 else ()
            path, before = f"{name}.layers.{i}", value
            groups = max(1, width // group)
            layer = f"{path}.layer"
            value = convolution(modules, value, f"{layer}.0", width, 1, 1, activation)
            value = convolution(modules, value, f"{layer}.1", width, 3, stride, activation, groups)
            if squeezes:
                # Python's round, which transformers calls: halves to even.
                value = _squeeze(modules, value, f"{layer}.2", round(before.channels / 4))
            value = convolution(modules, value, f"{layer}.{3 if squeezes else 2}", width, 1)
            value = join(modules, before, value, path, stride, activation, also)
    return modules.mean(value, "regnet.pooler")


def _squeeze(modules: Modules, value: Value, path: str, reduced: int) -> Value:
    """Add squeeze and excitation (Hu et al., 2018)."""
    inner = f"{path}.attention"
    gate = modules.mean(value, f"{path}.pooler")
    gate = modules.conv(gate, f"{inner}.0", reduced, 1, bias=True)
    gate = modules.activation(gate, f"{inner}.1", "relu")
    gate = modules.conv(gate, f"{inner}.2", value.channels, 1, bias=True)
    gate = modules.activation(gate, f"{inner}.3", "sigmoid", inner)
    return modules.gated(value, gate, path)
