"""Families of networks: recognised by their tensors, named as their users know, described rightly.

tests/peers/test_families_torch.py compares their results with their authors' implementations.
"""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
from helpers import run_python

import gradcam
from gradcam import WeightsError
from gradcam._models import layouts
from gradcam._models.architecture import find, registered
from gradcam._models.checkpoints import identify
from gradcam._models.layouts import LAYOUTS
from gradcam._weights.tensors import Weights

FAMILIES = [architecture for architecture in registered() if architecture.signs]

CASES = [
    pytest.param(architecture, layout, id=f"{architecture.name}, {layout.library}")
    for architecture in FAMILIES
    for layout in LAYOUTS
    if not layout.counted and not layout.outputs_last and layout.library in architecture.signs
]


def stored(architecture, layout, tensors=None):
    """Return tensors of an architecture with the names of a layout."""
    tensors = architecture.zero_tensors() if tensors is None else tensors
    names = {}
    for row in architecture.rows:
        for parameter, name in row.parameters.items():
            names[name] = layout.tensor_name(row.stored_as(layout.library), parameter)
    return {names[name]: values for name, values in tensors.items()}


def layout_of(library):
    return next(layout for layout in LAYOUTS if layout.library == library)


def torchvisions(name):
    return stored(find(name), layout_of("torchvision"))


@pytest.mark.parametrize(("architecture", "layout"), CASES)
def test_every_layout_is_recognised(architecture, layout):
    tensors = {f"module.{name}": values for name, values in stored(architecture, layout).items()}
    tensors["module.bn1.num_batches_tracked"] = np.array(3)
    found = identify(Weights(tensors))
    assert (found.architecture, found.layout) == (architecture.name, layout.title)
    assert (found.classes, found.channels) == (1000, 3)
    assert found.ignored == ("module.bn1.num_batches_tracked",)


def test_names_of_all_networks():
    names = [each.name for each in registered()]
    assert len(names) == len(set(names)) == 64
    for name in names:
        constructor = getattr(gradcam, name)
        assert name in gradcam.__all__ and constructor.name == name
        assert constructor.architecture.title in constructor.__doc__


def test_tables_are_made_when_they_are_needed():
    program = (
        "import gradcam; from gradcam._models.architecture import registered;"
        "print(sum('rows' in each.__dict__ for each in registered()));"
        "gradcam.load(gradcam.resnet18.random_tensors(width=4));"
        "print({each.name for each in registered() if 'rows' in each.__dict__} - "
        "{each.name for each in registered() if 'layer4.0.conv1' in each.signs.values()})"
    )
    assert run_python(program) == "0\nset()"


def test_classes_and_channels_may_differ():
    tensors = gradcam.resnet18.random_tensors(width=4, classes=7)
    tensors["conv1.weight"] = np.ones((4, 1, 7, 7), np.float32)
    network = gradcam.resnet18(tensors)
    assert (len(network.labels), network.core.channels) == (7, 1)
    x = np.random.default_rng(1).standard_normal((1, 1, 64, 64)).astype(np.float32)
    assert network.forward(x).grad_cam(3)[0].map.shape == (64, 64)
    with pytest.raises(ValueError, match="takes grey pictures, of one channel"):
        network.forward(np.zeros((32, 32, 3), np.uint8))


def test_wide_networks_are_told_apart_by_their_shapes():
    for name in ("resnet50", "wide_resnet50_2", "resnext50_32x4d"):
        assert identify(Weights(torchvisions(name))).architecture == name
    narrow = gradcam.resnet50.random_tensors(width=8, classes=2)
    assert identify(Weights(narrow)).architecture == "resnet50"


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("googlenet", ["aux1.conv.conv.weight", "aux2.fc1.bias", "aux1.conv.bn.running_mean"]),
        ("inception_v3", ["AuxLogits.conv0.conv.weight", "AuxLogits.fc.weight"]),
    ],
)
def test_auxiliary_classifiers_are_ignored(name, extra):
    tensors = torchvisions(name) | {each: np.ones((2, 3), np.float32) for each in extra}
    found = identify(Weights({f"model.{key}": values for key, values in tensors.items()}))
    assert found.architecture == name
    assert found.ignored == tuple(f"model.{each}" for each in extra)
    tensors["aux3.weight"] = np.ones((2, 3), np.float32)
    with pytest.raises(WeightsError, match=r"unexpected.*aux3\.weight"):
        identify(Weights(tensors))


def test_errors_name_the_closest_network():
    tensors = torchvisions("resnet34")
    del tensors["layer3.5.conv2.weight"]
    with pytest.raises(WeightsError, match=r"closest network is ResNet-34.*layer3\.5\.conv2"):
        identify(Weights(tensors))
    tensors = torchvisions("resnet18") | {"layer2.0.conv2.weight": np.ones((128, 9, 3, 3))}
    with pytest.raises(WeightsError, match=r"'layer2\.0\.conv2\.weight' has shape"):
        identify(Weights(tensors))
    with pytest.raises(WeightsError, match=r"of a resnet18: use gradcam\.resnet18"):
        gradcam.resnet34(gradcam.resnet18.random_tensors(width=2))
    bodies = {name: t for name, t in torchvisions("resnet18").items() if not name.startswith("fc")}
    with pytest.raises(WeightsError, match=r"only the convolutions of ResNet-18.*\(fc\)"):
        identify(Weights(bodies))


def test_two_networks_in_one_file():
    tensors = torchvisions("resnet18")
    both = {f"{side}.{name}": t for side in ("teacher", "student") for name, t in tensors.items()}
    with pytest.raises(WeightsError, match="holds 2 networks"):
        identify(Weights(both))


TARGETS = {
    "resnet18": ("layer4", {"layer4.1", "layer4.1.relu"}),
    "alexnet": ("features.11", set()),
    "squeezenet1_1": ("features.12", {"features"}),
    "vgg16_gap": ("CAM_relu", set()),
    "mnasnet0_5": ("layers.16", {"layers"}),
}


@pytest.mark.parametrize("name", TARGETS)
def test_target_layers(name):
    target, others = TARGETS[name]
    make = getattr(gradcam, name)
    network = make(make.random_tensors(width=8, fc=8, classes=3))
    assert network.target_layer == pickle.loads(pickle.dumps(network)).target_layer == target
    assert set(network.names(target)) == {target} | others


def test_presets():
    for name, preset in {
        "resnet50": ("torchvision", 224, 256, "bilinear"),
        "inception_v3": ("inception_v3", 299, 342, "bilinear"),
        "efficientnet_b3": ("efficientnet_b3", 300, 320, "bicubic"),
        "convnext_tiny": ("convnext_tiny", 224, 236, "bilinear"),
    }.items():
        found = identify(Weights(torchvisions(name))).preset
        assert (found.name, found.size, found.shorter_side, found.interpolation) == preset
    lite = identify(Weights(stored(find("efficientnet_lite2"), layout_of("timm"))))
    assert (lite.preset.size, lite.preset.mean, lite.eps) == (260, (127.0,) * 3, 1e-3)
    small = identify(Weights(stored(find("mobilenet_v3_small"), layout_of("timm"))))
    assert small.eps == 1e-5 and identify(Weights(torchvisions("mobilenet_v3_small"))).eps == 1e-3


def test_converted_files_keep_the_epsilon_of_the_layout(tmp_path):
    architecture = find("mobilenet_v3_small")
    source, target = tmp_path / "timm.safetensors", tmp_path / "converted.safetensors"
    gradcam.weights.save(stored(architecture, layout_of("timm")), source)
    gradcam.weights.convert(source, target)
    network = gradcam.mobilenet_v3_small(target)
    assert network.preset.interpolation == "bicubic"
    x = np.ones((1, 3, 64, 64), np.float32)
    np.testing.assert_array_equal(network.forward(x).scores, gradcam.load(source).forward(x).scores)
    assert gradcam.weights.load(target).tensors.keys() == torchvisions(architecture.name).keys()


def test_a_later_file_has_its_own_preset(tmp_path, monkeypatch):
    published = pytest.importorskip("gradcam._models.published")
    path = tmp_path / "weights.safetensors"
    gradcam.weights.save(gradcam.resnet50.random_tensors(width=2, classes=3), path)
    monkeypatch.setattr(published, "fetch", lambda *_: path)
    assert gradcam.resnet50("IMAGENET1K_V2").preset.shorter_side == 232
    assert gradcam.resnet50("DEFAULT").preset.shorter_side == 232
    assert gradcam.resnet50("imagenet").preset.shorter_side == 256
    assert gradcam.resnet50("DEFAULT", preset="caffe").preset.name == "caffe"


def test_the_padding_of_lite_follows_its_own_size():
    def padding(name):
        rows = {row.name: row for row in find(name).rows}
        strided = [row for row in rows.values() if row.attributes.get("stride") == 2]
        return [row.attributes["padding"] for row in strided]

    even3, even5, odd5 = (0, 0, 1, 1), (1, 1, 2, 2), (2, 2, 2, 2)
    assert padding("efficientnet_lite0") == [even3, even3, even5, even3, even5]
    assert padding("efficientnet_lite1") == [even3, even3, even5, even3, odd5]


def test_wrapped_names_of_layers_end_alike():
    """The name of one layer may end that of another: "conv1" and "layer1.0.conv1"."""
    tensors = {f"model.module.{name}": t for name, t in torchvisions("resnet18").items()}
    found = identify(Weights(tensors))
    assert found.architecture == "resnet18" and not found.ignored
    pattern = layouts.ANY_PREFIX + r"(?P<layer>conv1|layer\d\.\d\.conv1)"
    assert re.fullmatch(pattern, "model.layer1.0.conv1")["layer"] == "layer1.0.conv1"
