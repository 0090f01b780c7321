"""Every architecture against its author's: torchvision, timm, or PyTorch code here.

Random weights, random statistics of batch normalisation, two random pictures. Compared are the
scores, Grad-CAM, the gradient by the pixels, and the output of every module of the author's that
has the name of a layer.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers import largest_difference, peer

import gradcam
from gradcam._models import published
from gradcam._models.architecture import registered

torch = peer("torch")
torchvision = peer("torchvision")

import families  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

pytestmark = pytest.mark.peers

LIMIT = 1e-5
"""Of all differences, relative to the largest value of the reference."""

TERMS = 1e-6
"""Of Grad-CAM, relative to the largest sum of the magnitudes of its terms, if these cancel."""

SIZES = {"alexnet": (96, 80), "inception_v3": (107, 123)}
"""Of the input; the others take 64 x 96."""

QUICK = {
    *("alexnet", "resnet18", "resnet50", "resnext50_32x4d", "densenet121", "squeezenet1_0"),
    *("squeezenet1_1", "googlenet", "inception_v3", "mobilenet_v2", "mobilenet_v3_small"),
    *("mobilenet_v3_large", "mnasnet0_5", "shufflenet_v2_x0_5", "efficientnet_b0"),
    *("regnet_y_400mf", "regnet_x_400mf", "convnext_tiny"),
}
"""One or two of each family; the others are slow tests."""

OWN = [each.name for each in registered() if each.signs and hasattr(torchvision.models, each.name)]


def quick_or_slow(names):
    slow = pytest.mark.slow
    return [each if each in QUICK else pytest.param(each, marks=slow) for each in names]


def check(net, model, size, target=""):
    found = families.compare(net, model, size, target)
    print(net.name, *(f"{each:.1e}" for each in found))
    assert max(found.scores, found.gradient, found.modules) < LIMIT, found
    assert found.grad_cam < LIMIT or found.grad_cam_terms < TERMS, found


@pytest.mark.filterwarnings("ignore:The default weight initialization")
@pytest.mark.parametrize("name", quick_or_slow(OWN))
def test_torchvision(name):
    model = families.randomised(getattr(torchvision.models, name), weights=None)
    net = families.network(model)
    assert net.name == name
    check(net, model, SIZES.get(name, (64, 96)))


FIRST = {"resnet18": "conv1", "mobilenet_v2": "features.0.0", "squeezenet1_1": "features.0"}
"""The first convolution of a network."""


def grey_model(name):
    """Return a network of seven classes whose input has one channel."""
    model = getattr(torchvision.models, name)(weights=None, num_classes=7)
    first = model.get_submodule(FIRST[name])
    sizes = (first.kernel_size, first.stride, first.padding)
    grey = nn.Conv2d(1, first.out_channels, *sizes, bias=first.bias is not None)
    parent, _, attribute = FIRST[name].rpartition(".")
    setattr(model.get_submodule(parent), attribute, grey)
    return model


@pytest.mark.parametrize("name", FIRST)
def test_other_classes_and_grey_input(name):
    model = families.randomised(grey_model, name)
    net = families.network(model)
    assert (net.name, len(net.labels), net.core.channels) == (name, 7, 1)
    check(net, model, (64, 96))
    with pytest.raises(ValueError, match=r"takes grey pictures.*preset='0\.\.1'"):
        net.forward(np.zeros((8, 8, 3), np.uint8))


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_torchvisions_transform_of_the_input_is_the_preset(name):
    preset = getattr(gradcam, name)().preset
    pixels = np.random.default_rng(3).integers(0, 256, (20, 3))
    ours = (pixels / preset.scale - preset.mean) / preset.std
    usual = (pixels / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    x = torch.tensor(usual.T.reshape(1, 3, 5, 4))
    model = torchvision.models.get_model(name, weights=None, init_weights=False)
    model.transform_input = True
    theirs = model._transform_input(x).numpy().reshape(3, 20).T
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


TIMM = {
    "resnet18": ("resnet18", "layer4"),
    "resnext50_32x4d": ("resnext50_32x4d", "layer4"),
    "densenet121": ("densenet121", "features.norm5"),
    "mobilenetv2_100": ("mobilenet_v2", "bn2"),
    "mobilenetv3_small_100": ("mobilenet_v3_small", "blocks.5"),
    "mobilenetv3_large_100": ("mobilenet_v3_large", "blocks.6"),
    "efficientnet_b0": ("efficientnet_b0", "bn2"),
    "efficientnet_b1": ("efficientnet_b1", "bn2"),
    "efficientnet_b2": ("efficientnet_b2", "bn2"),
    "efficientnet_b3": ("efficientnet_b3", "bn2"),
    "efficientnet_b4": ("efficientnet_b4", "bn2"),
    "tf_efficientnet_lite0": ("efficientnet_lite0", "bn2"),
    "regnety_004": ("regnet_y_400mf", "s4"),
    "regnetx_032": ("regnet_x_3_2gf", "s4"),
    "convnext_tiny": ("convnext_tiny", "stages.3"),
}
"""Of networks of timm: the name here, and the module whose output is our target_layer's."""

LONG = ("efficientnet_b1", "efficientnet_b2", "efficientnet_b3", "efficientnet_b4", "regnetx_032")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in LONG else n for n in TIMM]
)
def test_timm(name):
    timm = peer("timm")
    ours, target = TIMM[name]
    model = families.randomised(timm.create_model, name)
    net = families.network(model)
    assert net.name == ours
    check(net, model, (64, 96), target)


# --- EfficientNet-Lite: the block structure of its authors in PyTorch ---


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's padding "same", for the size of its input."""

    def forward(self, x):
        padding = []
        for n, kernel, stride in zip(x.shape[:1:-1], self.kernel_size, self.stride, strict=True):
            total = max((math.ceil(n / stride) - 1) * stride + kernel - n, 0)
            padding += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, padding), self.weight, None, self.stride, 0, 1, self.groups)


def norm(channels):
    return nn.BatchNorm2d(channels, eps=1e-3)


class LiteBlock(nn.Module):
    def __init__(self, channels, expansion, units, kernel, stride):
        super().__init__()
        inner = channels * expansion
        self.residual = stride == 1 and channels == units
        if expansion > 1:
            self._expand_conv = SameConv(channels, inner, 1, bias=False)
            self._bn0 = norm(inner)
        self._depthwise_conv = SameConv(inner, inner, kernel, stride, groups=inner, bias=False)
        self._bn1 = norm(inner)
        self._project_conv = SameConv(inner, units, 1, bias=False)
        self._bn2 = norm(units)

    def forward(self, x):
        y = x
        if hasattr(self, "_expand_conv"):
            y = F.relu6(self._bn0(self._expand_conv(y)))
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return y + x if self.residual else y


class Lite(nn.Module):
    """Tan and Le's EfficientNet-Lite; the first and the last stage are not repeated more often."""

    STAGES = (
        *((1, 1, 16, 3, 1), (2, 6, 24, 3, 2), (2, 6, 40, 5, 2), (3, 6, 80, 3, 2)),
        *((3, 6, 112, 5, 1), (4, 6, 192, 5, 2), (1, 6, 320, 3, 1)),
    )

    def __init__(self, width, depth):
        super().__init__()
        self._conv_stem = SameConv(3, 32, 3, 2, bias=False)
        self._bn0 = norm(32)
        channels, blocks = 32, []
        for i, (repeats, expansion, base, kernel, stride) in enumerate(self.STAGES):
            units = int(base * width + 4) // 8 * 8
            units += 8 * (units < 0.9 * base * width)
            count = repeats if i in (0, 6) else math.ceil(repeats * depth)
            for k in range(count):
                blocks.append(LiteBlock(channels, expansion, units, kernel, 1 if k else stride))
                channels = units
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv(channels, 1280, 1, bias=False)
        self._bn1 = norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x):
        x = F.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        x = F.relu6(self._bn1(self._conv_head(x)))
        return self._fc(x.mean((2, 3)))


LITE = {
    "efficientnet_lite0": (1.0, 1.0, (64, 96)),
    "efficientnet_lite1": (1.0, 1.1, (240, 48)),
    "efficientnet_lite2": (1.1, 1.2, (68, 260)),
    "efficientnet_lite3": (1.2, 1.4, (280, 56)),
    "efficientnet_lite4": (1.4, 1.8, (76, 300)),
}
"""Width, depth, and a size for which the padding is that of the network's own input size."""


@pytest.mark.parametrize(
    "name", [n if n.endswith("0") else pytest.param(n, marks=pytest.mark.slow) for n in LITE]
)
def test_efficientnet_lite(name):
    width, depth, size = LITE[name]
    model = families.randomised(Lite, width, depth)
    net = families.network(model)
    assert (net.name, net.layers["_bn0"].op) == (name, "conv")
    check(net, model, size)


def test_the_padding_of_lite_is_that_of_its_own_size():
    model = families.randomised(Lite, 1.0, 1.0)
    net = families.network(model)
    model = model.double()
    for size, right in ((96, True), (90, False)):  # TensorFlow pads 90 differently
        x = np.random.default_rng(5).standard_normal((1, 3, size, 64)).astype(np.float32)
        scores = model(torch.tensor(x).double()).detach().numpy()
        found = largest_difference(net.forward(x, input="normalised").scores, scores)
        assert found < LIMIT if right else found > 1e-3


# --- VGG-16-GAP ---


class Gap(nn.Module):
    def __init__(self, groups):
        super().__init__()
        layers, channels = [], 3
        for units in (64, 64, 0, 128, 128, 0, *[256] * 3, 0, *[512] * 3, 0, *[512] * 3):
            if units:
                layers += [nn.Conv2d(channels, units, 3, padding=1), nn.ReLU()]
                channels = units
            else:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.CAM_conv = nn.Conv2d(512, 1024, 3, padding=1, groups=groups)
        self.CAM_fc = nn.Linear(1024, 10)

    def forward(self, x):
        return self.CAM_fc(F.relu(self.CAM_conv(self.features(x))).mean((2, 3)))


@pytest.mark.parametrize("groups", [1, 2])
def test_vgg16_gap(groups):
    model = families.randomised(Gap, groups)
    net = families.network(model)
    assert (net.name, net.target_layer) == ("vgg16_gap", "CAM_relu")
    check(net, model, (48, 64))


# --- published weights ---


def test_published_weights_are_those_of_torchvision():
    files = [file for file in published.FILES if file.preset is not None]
    assert len(files) > 70
    for file in files:
        enum = torchvision.models.get_model_weights(file.architecture)
        weights = enum[{"imagenet": "IMAGENET1K_V1"}.get(file.weights, file.weights)]
        assert file.urls == (weights.url,)
        assert abs(file.size - weights.meta["_file_size"] * 2**20) < 1500
        check_preset(file.preset, weights.transforms())
        latest = published._published(file.architecture, "DEFAULT")
        assert latest.urls == (enum.DEFAULT.url,)


def check_preset(preset, transforms):
    assert [preset.size] == transforms.crop_size
    assert [preset.shorter_side or preset.size] == transforms.resize_size
    assert preset.interpolation == transforms.interpolation.value
    if preset.mean != (0.5, 0.5, 0.5):  # GoogLeNet and Inception: see above
        assert list(preset.mean) == transforms.mean and list(preset.std) == transforms.std
