"""The networks of keras.applications: how pictures become their input."""

from __future__ import annotations

import re

from gradcam._pictures.presets import PRESETS, Preset
from gradcam._weights.keras_model import KerasLayer

CLASSES = 1000
"""Of the published weights."""

_FAMILIES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("densenet(121|169|201)", "keras-torch", ("conv2_block1_0_bn", "pool4_conv")),
    ("inception_resnet_v2", "keras-tf", ("block35_1_mixed", "conv_7b")),
    ("inception_v3", "keras-tf", ("mixed0", "mixed10")),
    (r"mobilenet_\d\.\d+_\d+", "keras-tf", ("conv_dw_13", "conv_preds")),
    (r"mobilenetv2_\d\.\d+_\d+", "keras-tf", ("block_16_project", "Conv_1")),
    ("nasnet_(mobile|large)|NASNet", "keras-tf", ("stem_conv1", "stem_bn1")),
    ("resnet(50|101|152)", "keras", ("conv1_conv", "conv5_block3_out")),
    ("resnet(50|101|152)v2", "keras-tf", ("conv1_conv", "post_relu")),
    ("vgg16", "keras", ("block5_conv3", "fc2")),
    ("vgg19", "keras", ("block5_conv4", "fc2")),
    ("xception", "keras-tf", ("block1_conv1", "block14_sepconv2")),
)
"""The names of models, the presets of their ``preprocess_input``, and layers that they have.

ConvNeXt, EfficientNet, EfficientNetV2 and MobileNetV3 scale their input themselves.
"""


def family_of(model: KerasLayer) -> tuple[str, str] | None:
    """Return the name of a published network and of its preset, if the model is one by its name
    and has the layers of that family, with or without its own classes."""
    names = {layer.name for layer in model.layers or ()}
    for pattern, preset, signs in _FAMILIES:
        if re.fullmatch(pattern, model.name) and names.issuperset(signs[:1]):
            return model.name, preset
    return None


def preset_of(model: KerasLayer, classes: int) -> Preset | None:
    """Return the preset of a published network; None if it is not one as published.

    One with other classes was trained by somebody else, who may scale pictures in another way.
    """
    found = family_of(model)
    if found is None or classes != CLASSES:
        return None
    name, preset = found
    names = {layer.name for layer in model.layers or ()}
    signs = next(s for pattern, _, s in _FAMILIES if re.fullmatch(pattern, name))
    return PRESETS[preset] if names.issuperset(signs) else None
