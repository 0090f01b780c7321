"""Folders that transformers and timm wrote, beside the models in PyTorch and their preprocessing.

Small configurations with random weights and statistics, two random pictures. Compared are the
scores, Grad-CAM, the gradient by the pixels, and the output of every module that has the name of a
layer; and the input that the folder's own image processor makes of a picture.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import peer

import gradcam
from gradcam._importers.huggingface.preprocessing import _COMMON, _DEFAULTS
from gradcam._pictures.image import prepare

torch = peer("torch")
transformers = peer("transformers")
timm = peer("timm")

import families  # noqa: E402
from timm.models import save_for_hf  # noqa: E402
from torch import nn  # noqa: E402

pytestmark = pytest.mark.peers

LIMIT = 1e-5
"""Of all differences, relative to the largest value of the reference."""

MODULES = 3e-5
"""Of the outputs of modules inside, which differ by more than the scores that they end in."""

TERMS = 1e-6
"""Of Grad-CAM, relative to the largest sum of the magnitudes of its terms, if these cancel."""

LABELS = {i: f"kind {i}" for i in range(5)}

SMALL = {"hidden_sizes": [8, 16, 24], "depths": [1, 2, 1], "id2label": LABELS}
NARROW = {"depth_multiplier": 0.25, "id2label": LABELS}

CONFIGURATIONS = {
    "resnet-basic": ("ResNet", {**SMALL, "embedding_size": 8, "layer_type": "basic"}),
    "resnet-basic-downsampled": (
        "ResNet",
        {
            **SMALL,
            "embedding_size": 12,
            "layer_type": "basic",
            "downsample_in_first_stage": True,
            "hidden_act": "silu",
        },
    ),
    "resnet-bottleneck": ("ResNet", {**SMALL, "embedding_size": 8}),
    "resnet-bottleneck-downsampled": (
        "ResNet",
        {**SMALL, "embedding_size": 8, "downsample_in_bottleneck": True, "num_channels": 1},
    ),
    "regnet-x": (
        "RegNet",
        {**SMALL, "embedding_size": 8, "groups_width": 4, "layer_type": "x"},
    ),
    "regnet-y": (
        "RegNet",
        {
            **SMALL,
            "embedding_size": 32,
            "hidden_sizes": [32, 48],
            "depths": [2, 1],
            "groups_width": 16,
            "downsample_in_first_stage": False,
            "hidden_act": "gelu",
        },
    ),
    "convnext": ("ConvNext", {**SMALL, "num_stages": 3}),
    "convnext-unscaled": (
        "ConvNext",
        {
            **SMALL,
            "num_stages": 3,
            "patch_size": 2,
            "layer_scale_init_value": 0.0,
            "hidden_act": "gelu_pytorch_tanh",
            "layer_norm_eps": 1e-3,
        },
    ),
    "mobilenet-v1": ("MobileNetV1", NARROW),
    "mobilenet-v1-odd": ("MobileNetV1", {**NARROW, "min_depth": 12, "tf_padding": False}),
    "mobilenet-v2": ("MobileNetV2", NARROW),
    "mobilenet-v2-dilated": (
        "MobileNetV2",
        {
            **NARROW,
            "output_stride": 8,
            "first_layer_is_expansion": False,
            "finegrained_output": False,
            "expand_ratio": 3.0,
        },
    ),
    "mobilenet-v2-odd": ("MobileNetV2", {**NARROW, "tf_padding": False, "hidden_act": "relu"}),
    "efficientnet": (
        "EfficientNet",
        {
            "width_coefficient": 0.25,
            "depth_coefficient": 0.5,
            "hidden_dim": 320,
            "depthwise_padding": [2],
            "id2label": LABELS,
        },
    ),
    "efficientnet-max": (
        "EfficientNet",
        {
            "width_coefficient": 0.5,
            "depth_coefficient": 0.2,
            "hidden_dim": 640,
            "pooling_type": "max",
            "squeeze_expansion_ratio": 0.5,
            "hidden_act": "relu6",
            "batch_norm_eps": 0.01,
            "id2label": LABELS,
        },
    ),
}
"""The class in transformers and its settings."""

SIZES = {"mobilenet-v1": (61, 75), "mobilenet-v2": (75, 64), "efficientnet": (63, 78)}
"""Of the input; the others take 64 x 96."""


def model_of(name):
    """Return a model of transformers with random weights, whose result is its scores."""
    family, settings = CONFIGURATIONS[name]
    config = getattr(transformers, f"{family}Config")(**settings)
    model = families.randomised(getattr(transformers, f"{family}ForImageClassification"), config)
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
        scale = getattr(module, "layer_scale_parameter", None)
        if scale is not None:
            nn.init.uniform_(scale, 0.2, 1)
    return model


def scores_alone(model):
    inner = model.forward
    model.forward = lambda x: inner(x).logits
    return model


def check(net, model, size, target=""):
    found = families.compare(net, model, size, target)
    print(net.name, *(f"{each:.1e}" for each in found))
    assert max(found.scores, found.gradient) < LIMIT, found
    assert found.modules < MODULES, found
    assert found.grad_cam < LIMIT or found.grad_cam_terms < TERMS, found


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_transformers(name, tmp_path):
    model = model_of(name)
    model.save_pretrained(tmp_path)
    size = SIZES.get(name, (64, 96))
    net = gradcam.load(tmp_path, size=size)
    assert [each.label for each in net.labels] == list(LABELS.values())
    assert net.core.channels == model.config.num_channels
    assert net.preset is None
    assert "no preprocessor_config.json" in net.about
    x = np.random.default_rng(5).standard_normal((2, net.core.channels, *size))
    with torch.no_grad():
        expected = model(torch.tensor(x, dtype=torch.float32)).logits.softmax(1).numpy()
    ours = net.forward(x.astype(np.float32), input="normalised").probabilities
    assert np.abs(ours - expected).max() < LIMIT
    check(net, scores_alone(model), size)


def test_shards_and_pickles(tmp_path):
    """Weights in several parts, and the format before safetensors."""
    model = model_of("resnet-basic")
    model.save_pretrained(tmp_path / "whole")
    model.save_pretrained(tmp_path / "parts", max_shard_size="20KB")
    assert len(list((tmp_path / "parts").glob("model-*.safetensors"))) > 2
    old = tmp_path / "old"
    model.config.save_pretrained(old)
    torch.save(model.state_dict(), old / "pytorch_model.bin")
    x = np.random.default_rng(5).standard_normal((2, 3, 64, 48)).astype(np.float32)
    scores = [
        gradcam.load(tmp_path / each).forward(x, input="normalised").scores
        for each in ("whole", "parts", "old")
    ]
    np.testing.assert_array_equal(scores[1], scores[0])
    np.testing.assert_array_equal(scores[2], scores[0])


# ------------------------------------------------------------------------ pictures

PROCESSORS = {
    "convnext-224": ("ConvNext", {"size": {"shortest_edge": 224}, "crop_pct": 0.875}),
    "convnext-384": ("ConvNext", {"size": {"shortest_edge": 384}}),
    "convnext-bilinear": (
        "ConvNext",
        {"size": {"shortest_edge": 97}, "crop_pct": 0.9, "resample": 2},
    ),
    "mobilenet-v1": ("MobileNetV1", {}),
    "mobilenet-v2": (
        "MobileNetV2",
        {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "crop_size": 129},
    ),
    "efficientnet": ("EfficientNet", {"size": {"height": 160, "width": 160}, "resample": 0}),
    "efficientnet-offset": (
        "EfficientNet",
        {
            "size": {"height": 160, "width": 160},
            "rescale_offset": True,
            "rescale_factor": 1 / 127.5,
            "include_top": False,
            "do_normalize": False,
        },
    ),
    "bit": ("Bit", {}),
    "vit": ("ViT", {}),
    "unscaled": ("ViT", {"do_rescale": False, "do_normalize": False, "resample": 3}),
}
"""Image processors of transformers and their settings."""

PICTURES = ((211, 160), (150, 331), (401, 301))
"""Heights and widths."""


@pytest.mark.parametrize("name", PROCESSORS)
def test_preset(name, tmp_path):
    """The input of a picture, beside the processor with Pillow's resizing: the same to rounding.

    Both backends crop the same pixels. Those of torchvision resize with other code, which rounds
    some values in the other direction.
    """
    family, settings = PROCESSORS[name]
    processor = getattr(transformers, f"{family}ImageProcessorPil")(**settings)
    model_of("resnet-basic").save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    net = gradcam.load(tmp_path)
    assert net.about == ""
    side = net.preset.size
    rng = np.random.default_rng(3)
    for height, width in PICTURES:
        coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
        picture = coarse.repeat(8, 0).repeat(8, 1)[:height, :width].astype(np.uint8)
        expected = processor(picture, return_tensors="np")["pixel_values"][0]
        ours, _ = prepare(picture, net.preset, (side, side))
        difference = np.abs(ours - expected).max() / np.abs(expected).max()
        print(name, f"{difference:.1e}")
        assert difference < 1e-6


@pytest.mark.parametrize("family", _DEFAULTS)
def test_what_a_preprocessor_leaves_out(family):
    """The table of settings that a file may leave out, beside the classes of transformers."""
    ours = {**_COMMON, **_DEFAULTS[family]}
    found = getattr(transformers, f"{family}ImageProcessorPil")
    for key, value in ours.items():
        theirs = getattr(found, key, None)
        if key in ("do_center_crop", "crop_size") and not theirs:
            assert not ours["do_center_crop"]  # it has no crop at all
        else:
            assert list(np.ravel(value)) == list(np.ravel(theirs)), key


UNKNOWN_PROCESSORS = {
    "longer": ("ViT", {"size": {"height": 160, "width": 200}}, "size is 160 x 200, not a square"),
    "uncropped": ("Bit", {"do_center_crop": False}, "inputs keep the shape of the picture"),
    "lanczos": ("ConvNext", {"resample": 1}, "resample is 1"),
    "unresized": ("ViT", {"do_resize": False}, "do_resize is false"),
    "levit": ("Levit", {}, "image processor 'LevitImageProcessor' is not known"),
}


@pytest.mark.parametrize("name", UNKNOWN_PROCESSORS)
def test_presets_that_cannot_be_expressed(name, tmp_path):
    family, settings, words = UNKNOWN_PROCESSORS[name]
    model_of("resnet-basic").save_pretrained(tmp_path)
    getattr(transformers, f"{family}ImageProcessorPil")(**settings).save_pretrained(tmp_path)
    net = gradcam.load(tmp_path)
    assert net.preset is None
    assert words in net.about
    with pytest.raises(ValueError, match="no input preset for pictures"):
        net.forward(np.zeros((60, 60, 3), np.uint8))
    assert gradcam.load(tmp_path, preset="torchvision").preset.name == "torchvision"


# ------------------------------------------------------------------------ timm

TIMM = {
    "resnet18": ((64, 48), "layer4"),
    "densenet121": ((64, 48), "features.norm5"),
    "mobilenetv2_100": ((61, 75), "bn2"),
    "mobilenetv3_small_100": ((61, 75), "blocks.5"),
    "tf_mobilenetv3_small_100": ((61, 75), "blocks.5"),
    "efficientnet_b0": ((61, 75), "bn2"),
    "tf_efficientnet_b0": ((75, 64), "bn2"),
    "efficientnet_lite0": ((61, 75), "bn2"),
    "tf_efficientnet_lite1": ((61, 75), "bn2"),
    "regnetx_002": ((64, 48), ""),
    "regnety_008": ((61, 75), ""),
    "convnext_atto": ((61, 75), ""),
    "convnext_tiny": ((64, 48), ""),
}
"""The size of the input, and the module whose output is our target_layer's, if it has another name;
else the outputs of all modules are compared."""


QUICK = (
    "resnet18",
    "regnetx_002",
    "convnext_atto",
    "mobilenetv3_small_100",
    "tf_mobilenetv3_small_100",
    "efficientnet_lite0",
)
"""One of each treatment of the padding; the others are slow tests."""


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in TIMM]
)
def test_timm(name, tmp_path):
    size, target = TIMM[name]
    model = families.randomised(timm.create_model, name, num_classes=5)
    save_for_hf(
        model, tmp_path, safe_serialization=True, model_config={"label_names": [*LABELS.values()]}
    )
    net = gradcam.load(tmp_path, size=size)
    assert net.name == name
    assert [each.label for each in net.labels] == list(LABELS.values())
    check(net, model, size, target)
    data = timm.data.resolve_model_data_config(model)
    transform = timm.data.create_transform(**data, is_training=False)
    from PIL import Image

    picture = np.random.default_rng(3).integers(0, 256, (301, 250, 3), dtype=np.uint8)
    expected = transform(Image.fromarray(picture)).numpy()
    ours, _ = prepare(picture, net.preset, (net.preset.size,) * 2)
    assert np.abs(ours - expected).max() < 2e-6


def test_timm_vgg(tmp_path):
    """Its first linear layer is a convolution in timm: the same up to 224 pixels alone."""
    model = families.randomised(timm.create_model, "vgg11_bn", num_classes=5)
    save_for_hf(model, tmp_path, safe_serialization=True)
    x = np.random.default_rng(5).standard_normal((2, 3, 64, 96)).astype(np.float32)
    with torch.no_grad():
        expected = model(torch.tensor(x)).numpy()
    net = gradcam.load(tmp_path, size=(64, 96))
    ours = net.forward(x, input="normalised").scores
    assert np.abs(ours - expected).max() < LIMIT * np.abs(expected).max()
    assert gradcam.load(tmp_path).size == (224, 224)
    with pytest.raises(gradcam.WeightsError, match="up to 224 pixels, and this one takes 256 x"):
        gradcam.load(tmp_path, size=256)


def test_timm_of_transformers(tmp_path):
    """A network of timm that transformers saved, with its own names of tensors."""
    from transformers import TimmWrapperConfig, TimmWrapperForImageClassification

    config = TimmWrapperConfig(architecture="resnet18", num_labels=5)
    model = families.randomised(TimmWrapperForImageClassification, config)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["architecture"] == "resnet18"
    check(gradcam.load(tmp_path), scores_alone(model), (64, 48), "timm_model.layer4")
