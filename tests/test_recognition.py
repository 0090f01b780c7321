"""Architectures are recognised by the structure of their layers, whatever their names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import gradcam
from gradcam import Layer, WeightsError
from gradcam._engine.layers import _folded
from gradcam._importers.imported import Imported
from gradcam._models import checksums, recognition
from gradcam._models.architecture import find, registered
from gradcam._models.loading import Options, network_of
from gradcam._models.recognition import recognised, tensor_names


def imported(layers, **options):
    options = {"size": None, "target_layer": "", "classes": 7, **options}
    return Imported(tuple(layers), 3, fixed=False, name="net", title="a graph", **options)


def layers_of(name, width=4, **options):
    architecture = find(name)
    tensors = architecture.random_tensors(width=width, fc=5, classes=7, **options)
    return architecture.layers(tensors)


def renamed(layers):
    """The same layers with other names, their inputs spelled out."""
    names, result, before = {"input": "input"}, [], "input"
    for number, layer in enumerate(layers):
        inputs = tuple(names[name] for name in layer.inputs or (before,))
        before, names[layer.name] = layer.name, f"n{number}"
        result.append(replace(layer, name=f"n{number}", inputs=inputs, aliases=()))
    return result, names


def folded(layers):
    """The same layers with batch normalisation folded into convolutions, as exporters do."""
    result, new = [], {}
    for layer in layers:
        layer = replace(layer, inputs=tuple(new.get(name, name) for name in layer.inputs))
        before = next((each for each in result if each.name in layer.inputs), None)
        if layer.op == "batch_norm" and before is not None and before.op == "conv":
            result.remove(before)
            new[layer.name] = before.name
            result.append(replace(_folded(before, layer), name=before.name))
        else:
            result.append(layer)
    return result


def test_the_table_of_checksums_has_every_architecture():
    names = {name for names in checksums.CHECKSUMS.values() for name in names}
    assert names == {architecture.name for architecture in registered()}
    for name in ("alexnet", "squeezenet1_1", "vgg11_bn"):
        for view in recognition._views_of(find(name)):
            assert name in checksums.CHECKSUMS[view.checksum]


@pytest.mark.slow
def test_the_table_of_checksums_is_up_to_date():
    """If not, write what `recognition.checksums` returns to gradcam/_models/checksums.py."""
    assert recognition.checksums() == checksums.CHECKSUMS


def _some(architecture):
    quick = ("alexnet", "convnext_tiny", "googlenet", "resnext50_32x4d", "resnet18", "vgg16_gap")
    quick += ("efficientnet_b2", "mobilenet_v2", "shufflenet_v2_x0_5", "vgg11", "vgg11_bn")
    marks = () if architecture.name in quick else pytest.mark.slow
    return pytest.param(architecture, marks=marks, id=architecture.name)


@pytest.mark.parametrize("architecture", [*map(_some, registered())])
def test_every_architecture_is_recognised_by_its_structure(architecture):
    layers, names = renamed(architecture.layers(architecture.zero_tensors()))
    found = recognised(imported(layers))
    assert found.architecture == architecture.name
    aliases = {layer.name: layer.aliases for layer in found.layers}
    for row in architecture.rows:
        assert set(aliases[names[row.name]]) == {row.name, *row.aliases}
    if architecture.target_layer:
        assert found.target_layer == names[architecture.target_layer]
    affine = any(row.op == "affine" for row in architecture.rows)
    expected = {
        (names[row.name], key): tensor
        for row in architecture.rows
        for key, tensor in row.parameters.items()
    }
    assert tensor_names(found) == expected or affine


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "vgg11_bn"])
def test_batch_normalisation_may_be_folded(name):
    layers, names = renamed(layers_of(name))
    found = recognised(imported(folded(layers)))
    assert found.architecture == {"vgg11_bn": "vgg11"}.get(name, name)
    assert tensor_names(found) == {} or name == "vgg11_bn"
    network = gradcam.Network.from_layers(found.layers)
    last = "relu5_2" if name.startswith("vgg") else find(name).rows[-6].name
    assert network.names(last)[0] in names.values()
    if name == "resnet18":  # bn1 is the convolution's output now, and conv1 has none
        assert network.names("bn1")[0] == names["conv1"]
        with pytest.raises(ValueError, match="no layer is called 'conv1'"):
            network.names("conv1")


def test_names_of_the_file_decide_between_equal_structures():
    """A VGG whose batch normalisations an exporter folded, with the names of its modules."""
    architecture = find("vgg11_bn")
    layers = [
        replace(layer, name=layer.aliases[0], aliases=()) if layer.aliases else layer
        for layer in architecture.layers(architecture.random_tensors(width=2, fc=3, classes=4))
    ]
    spelled, before = [], "input"
    for layer in layers:
        spelled.append(replace(layer, inputs=(before,)))
        before = layer.name
    found = recognised(imported(folded(spelled)))
    assert found.architecture == "vgg11_bn"


def test_what_makes_no_difference():
    """Without dropout, softmax, adaptive pooling; pooling that rounds up where nothing is left."""
    layers, names = renamed(layers_of("vgg11"))
    kept, new = [], {}
    for layer in layers:
        inputs = tuple(new.get(name, name) for name in layer.inputs)
        if layer.op in ("dropout", "adaptive_average_pool", "softmax"):
            new[layer.name] = inputs[0]
            continue
        if layer.op == "max_pool":
            layer = replace(layer, attributes={**layer.attributes, "ceil_mode": True})
        kept.append(replace(layer, inputs=inputs))
    found = recognised(imported(kept, size=(224, 224)))
    assert found.architecture == "vgg11"
    assert "relu5_2" in found.layers[[e.name for e in kept].index(names["relu5_2"])].aliases
    assert recognised(imported(kept, size=(230, 224))).architecture == ""


@pytest.mark.parametrize(
    "change",
    [
        {"op": "gelu"},
        {"attributes": {"low": 0.0, "high": 1.0}, "op": "clip"},
        {"attributes": {"kernel": 3, "stride": 2}, "op": "max_pool"},
    ],
)
def test_other_networks_are_not_recognised(change):
    layers, names = renamed(layers_of("vgg11"))
    number = [layer.name for layer in layers].index(names["relu4_2"])
    layers[number] = replace(layers[number], **change)
    assert recognised(imported(layers)).architecture == ""


@pytest.mark.parametrize("key", ["stride", "padding", "dilation"])
def test_other_attributes_are_not_recognised(key):
    layers, _ = renamed(layers_of("resnet18"))
    weights, attributes = layers[0].weights, {**layers[0].attributes, key: (3, 2)}
    layers[0] = replace(layers[0], attributes=attributes, weights=weights)
    assert recognised(imported(layers)).architecture == ""


def test_the_names_of_the_file_are_kept():
    """Where an architecture's name is that of another layer, none of its names is added."""
    layers, _ = renamed(layers_of("vgg11"))
    layers[0] = replace(layers[0], aliases=("features.3",))
    found = recognised(imported(layers))
    assert found.architecture == "vgg11"
    assert [layer.aliases for layer in found.layers] == [layer.aliases for layer in layers]


@pytest.mark.parametrize("published", ["resnet50", "wide_resnet50_2"])
def test_of_equal_structures_the_widths_decide(published):
    architecture = find(published)
    layers, _ = renamed(architecture.layers(architecture.zero_tensors()))
    assert recognised(imported(layers)).architecture == published


def test_the_usual_preset_is_used_where_the_library_is_known():
    layers, _ = renamed(layers_of("mobilenet_v3_small"))
    assert recognised(imported(layers)).preset is None
    found = recognised(imported(layers, library="torchvision"))
    assert found.preset == find("mobilenet_v3_small").presets["torchvision"]
    assert "MobileNetV3-Small" in found.notes[0] and "pass preset=" in found.notes[0]
    own = recognised(imported(layers, library="torchvision", preset=gradcam.PRESETS["caffe"]))
    assert own.preset.name == "caffe" and own.notes == ()
    network = network_of(imported(layers, library="torchvision"), Options(preset="0..1"))
    assert network.preset.name == "0..1"


def test_layers_that_are_malformed_are_refused_by_the_assembly():
    layers = [Layer("a", "adaptive_average_pool"), Layer("b", "flatten")]
    with pytest.raises(WeightsError, match="layer 'a'"):
        network_of(imported(layers), Options())
    layers = [Layer("a", "relu", ("z",)), Layer("b", "flatten")]
    with pytest.raises(WeightsError, match="no earlier layer is called 'z'"):
        network_of(imported(layers), Options())


def test_concatenations_of_concatenations_end():
    """2^60 parts, if all were listed."""
    layers = [Layer("c0", "concatenate", ("input", "input"))]
    for number in range(60):
        layers.append(Layer(f"c{number + 1}", "concatenate", (f"c{number}",) * 2))
    assert recognised(imported(layers)).architecture == ""


def test_a_note_says_what_was_taken_for_granted():
    layers, _ = renamed(layers_of("resnet18"))
    network = network_of(recognised(imported(layers, library="torchvision")), Options())
    assert network.about.startswith("How pictures become input is not stored")
    x = np.zeros((1, 3, 32, 32), np.float32)
    assert network.forward(x).scores.shape == (1, 7)
