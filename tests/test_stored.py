"""Networks as tensors and metadata: gradcam's own files, from which the same network is loaded."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
import vggs
from test_recognition import imported, layers_of, renamed

import gradcam
from gradcam import Labels, Layer, Network, WeightsError, weights
from gradcam._importers import stored
from gradcam._importers.imported import Choices, Imported
from gradcam._models.loading import Options, network_of
from gradcam._weights.safetensors import write
from gradcam._weights.tensors import Weights

RNG = np.random.default_rng(5)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def small():
    """Layers with attributes of every kind."""
    norm = {key: normal(4) for key in ("weight", "bias", "running_mean")}
    norm["running_var"] = np.abs(normal(4)) + 1
    same = {"stride": (2, 1), "padding": (0, 1, 2, 1), "dilation": (1, 2), "groups": 1}
    return [
        Layer("input scaled", "affine", ("input",), {"scale": normal(3), "shift": normal(3)}),
        Layer("conv", "conv", (), {"weight": normal(4, 3, 3, 3)}, same, ("first", "features.0")),
        Layer("bn", "batch_norm", (), norm, {"eps": 0.1 + 0.2}),
        Layer("clip", "clip", ("bn",), {}, {"low": -math.inf, "high": 1 / 3}),
        Layer("elu", "elu", ("bn",), {}, {"alpha": 0.7}),
        Layer("sum", "add", ("clip", "elu")),
        Layer("pool", "average_pool", (), {}, {"kernel": 2, "count_include_pad": False}),
        Layer("shift", "affine", (), {"scale": normal(4), "shift": np.zeros(4, np.float32)}),
        Layer("mean", "global_average_pool"),
        Layer("flat", "flatten"),
        Layer("scores", "linear", (), {"weight": normal(5, 4), "bias": normal(5)}),
    ]


def whole(**options):
    preset = gradcam.Preset("mine", mean=(0.1, 0.2, 0.3), size=20)
    return Imported(
        layers=tuple(small()),
        channels=3,
        classes=5,
        size=(20, 24),
        fixed=True,
        target_layer="sum",
        name="mine",
        title="a graph of mine",
        preset=preset,
        labels=Labels(list("abcde"), ["", "n01440764", "", "", ""]),
        notes=("Something was taken for granted.",),
        **options,
    )


X = normal(2, 3, 20, 24)


def again(network, tmp_path, **options):
    weights.save(network, tmp_path / "w.safetensors", **options)
    return gradcam.load(tmp_path / "w.safetensors")


def assert_same(found, network, x=X):
    np.testing.assert_array_equal(found.forward(x).scores, network.forward(x).scores)
    assert list(found.layers) == list(network.layers)
    assert [found.names(name) for name in found.layers] == [
        network.names(name) for name in network.layers
    ]
    for key in ("preset", "name", "size", "fixed", "target_layer", "about"):
        assert getattr(found, key) == getattr(network, key), key
    assert list(found.labels) == list(network.labels)


def test_what_was_written_comes_back():
    before = whole()
    found = stored.imported(Weights(*stored.encoded(before)), Choices())
    for mine, read in zip(before.layers, found.layers, strict=True):
        assert (mine.name, mine.op, mine.inputs, mine.aliases) == (
            *(read.name, read.op, read.inputs, read.aliases),
        )
        assert mine.attributes == read.attributes
        assert mine.weights.keys() == read.weights.keys()
        for key, values in mine.weights.items():
            np.testing.assert_array_equal(values, read.weights[key])
    for key in ("channels", "classes", "size", "fixed", "target_layer", "name", "title", "preset"):
        assert getattr(before, key) == getattr(found, key), key
    assert list(before.labels) == list(found.labels) and before.notes == found.notes


def test_a_file_holds_the_same_network(tmp_path):
    network = network_of(whole(), Options())
    found = again(network, tmp_path)
    assert_same(found, network)
    assert found.target_layer == "sum" and found.labels[1].synset == "n01440764"
    assert found.layers["scores"].weights["weight"].base is not None  # mapped
    text = str(weights.describe(tmp_path / "w.safetensors"))
    assert "made from   a network of gradcam" in text and "3 x 20 x 24; this size only" in text
    assert "Something was taken for granted." in text and "layers" not in text


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_of_16_bits_come_back(tmp_path, dtype):
    network = network_of(whole(), Options(fc_dtype=dtype))
    found = again(network, tmp_path)
    assert_same(found, network)
    assert found.layers["scores"].attributes["dtype"] == dtype


def test_a_file_of_half_the_size_is_rounded(tmp_path):
    network = network_of(whole(), Options())
    found = again(network, tmp_path, dtype="float16")
    scores = network.forward(X).scores
    np.testing.assert_allclose(found.forward(X).scores, scores, rtol=2e-3, atol=5e-3)
    assert (found.forward(X).scores != scores).any()


def test_the_caller_chooses_as_with_every_file(tmp_path):
    weights.save(network_of(whole(), Options()), tmp_path / "w")
    network = gradcam.load(tmp_path / "w", labels=list("vwxyz"), preset="0..1", target_layer="elu")
    assert (network.labels[0].label, network.preset.name) == ("v", "0..1")
    assert network.target_layer == "elu"
    for options in ({"size": 224}, {"output": "other"}, {"target_layer": "none"}):
        with pytest.raises(ValueError, match=r"20 x 24|output='o|is called 'none'"):
            gradcam.load(tmp_path / "w", **options)
    with pytest.raises(WeightsError, match="another network"):
        gradcam.vgg16(tmp_path / "w")


def test_a_network_of_a_family_is_written_with_torchvisions_names(tmp_path):
    tensors = vggs.tensors("vgg11_bn")
    network = gradcam.vgg11_bn(tensors, preset="caffe")
    weights.save(tensors, tmp_path / "source")
    weights.convert(tmp_path / "source", tmp_path / "w.safetensors", preset="caffe")
    found = weights.load(tmp_path / "w.safetensors").tensors
    expected = {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked")}
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, name)
    assert_same(gradcam.vgg11_bn(tmp_path / "w.safetensors"), network, normal(1, 3, 32, 48))


def test_an_imported_family_is_written_with_torchvisions_names(tmp_path):
    """A graph whose layers have other names, with the same weights."""
    layers, _ = renamed(layers_of("resnet18"))
    tensors, metadata = stored.encoded(imported(layers))
    weights.save(tensors, tmp_path / "source", metadata)
    assert (
        gradcam.weights.convert(tmp_path / "source", tmp_path / "w.safetensors").architecture
        == "resnet18"
    )
    names = gradcam.resnet18.random_tensors(width=4, classes=7).keys()
    assert weights.load(tmp_path / "w.safetensors").tensors.keys() == names
    x = normal(1, 3, 48, 48)
    first, second = (gradcam.load(tmp_path / name) for name in ("source", "w.safetensors"))
    assert_same(second, first, x)
    assert gradcam.resnet18(tmp_path / "source").names("layer4.1.bn2")[0].startswith("n")
    with pytest.raises(WeightsError, match=r"a resnet18: use gradcam\.resnet18"):
        gradcam.resnet50(tmp_path / "source")


def test_networks_are_pickled_with_what_they_were_loaded_with(tmp_path):
    network = network_of(whole(), Options())
    assert_same(pickle.loads(pickle.dumps(network)), network)  # by value
    weights.save(network, tmp_path / "w")
    network = gradcam.load(tmp_path / "w", labels=list("vwxyz"), target_layer="elu")
    content = pickle.dumps(network)
    assert len(content) < 2000
    assert_same(pickle.loads(content), network)


def test_a_chosen_size_is_pickled_too(tmp_path):
    weights.save(vggs.tensors("vgg11"), tmp_path / "w")
    network = gradcam.load(tmp_path / "w", size=(32, 48), target_layer="relu4_2")
    found = pickle.loads(pickle.dumps(network))
    assert (found.size, found.target_layer) == ((32, 48), "relu4_2")
    picture = np.zeros((50, 50, 3), np.uint8)
    assert found.forward(picture).input.shape == (1, 3, 32, 48)
    assert found.forward(picture, size=64).input.shape == (1, 3, 64, 64)


def damaged(change):
    """The metadata of a small network, changed."""
    tensors, metadata = stored.encoded(whole())
    content = json.loads(metadata[stored.KEY])
    change(content)
    return Weights(tensors, {**metadata, stored.KEY: json.dumps(content)})


def put(*path):
    *keys, last, value = path

    def change(content):
        for key in keys:
            content = content[key]
        content[last] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        put("layers", []),
        put("layers", {}),
        put("layers", 0, 7),
        put("layers", 0, "op", "conv3d"),
        put("layers", 0, "op", None),
        put("layers", 0, "name", ""),
        put("layers", 0, "name", "bn"),
        put("layers", 0, "name", 3),
        put("layers", 0, "inputs", "input"),
        put("layers", 0, "inputs", ["scores"]),
        put("layers", 0, "inputs", [["input"]]),
        put("layers", 0, "inputs", ["input", "input"]),
        put("layers", 1, "aliases", ["bn"]),
        put("layers", 1, "aliases", 2),
        put("layers", 1, "weights", {"weight": "none"}),
        put("layers", 1, "weights", {"weight": 3}),
        put("layers", 1, "weights", {"weight": "bn.bias"}),
        put("layers", 1, "weights", ["conv.weight"]),
        put("layers", 1, "weights", {}),
        put("layers", 10, "weights", "input", "conv.weight"),
        put("layers", 1, "attributes", "stride", 0),
        put("layers", 1, "attributes", "stride", [2, 1, 3]),
        put("layers", 1, "attributes", "stride", "two"),
        put("layers", 1, "attributes", "stride", None),
        put("layers", 1, "attributes", "stride", [1.5, 2]),
        put("layers", 1, "attributes", "padding", 1 << 62),
        put("layers", 1, "attributes", "padding", -1),
        put("layers", 1, "attributes", "input", 1),
        put("layers", 1, "attributes", "groups", 0),
        put("layers", 1, "attributes", []),
        put("layers", 2, "attributes", "eps", -100.0),
        put("layers", 2, "attributes", "eps", "small"),
        put("layers", 3, "attributes", "low", math.nan),
        put("layers", 3, "attributes", {}),
        put("layers", 6, "attributes", {}),
        put("layers", 6, "attributes", "kernel", 99),
        put("layers", 10, "op", "relu"),
        put("channels", 4),
        put("channels", 0),
        put("channels", "3"),
        put("classes", 6),
        put("classes", 10**30),
        put("classes", True),
        put("size", [20]),
        put("size", [0, 20]),
        put("size", [20, 10**6]),
        put("size", 20),
        put("fixed", 1),
        put("target_layer", "none"),
        put("target_layer", None),
        put("name", 1),
        put("notes", [1]),
        put("notes", "text"),
    ],
)
def test_damaged_metadata_is_refused(change):
    content = damaged(change)
    try:
        network = gradcam.load(content)
    except WeightsError:
        return
    # What only the size of a picture decides is found with the picture.
    with pytest.raises(ValueError, match="input"):
        network.forward(X)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "null", '{"layers": 1}', "1e999"])
def test_metadata_that_is_not_json_is_refused(text):
    with pytest.raises(WeightsError, match="metadata"):
        gradcam.load(Weights({}, {stored.KEY: text}))


def test_entries_of_other_programs_have_no_meaning_here():
    tensors = gradcam.alexnet.random_tensors(width=1, fc=2, classes=3)
    for entry in ({"layers": "12"}, {"layers": "[]", "channels": "3"}):
        assert gradcam.load(Weights(tensors, entry)).name == "alexnet"


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("adaptive_average_pool", {"size": 100_000}),
        ("conv", {"padding": 10**6}),
    ],
)
def test_maps_that_no_machine_can_hold_are_refused(tmp_path, op, attributes):
    weight = {"weight": normal(4, 3, 1, 1)} if op == "conv" else {}
    own = [Layer("large", op, ("input",), weight, attributes), Layer("mean", "global_average_pool")]
    found = replace(whole(), layers=tuple(own), classes=4 if weight else 3, labels=None)
    found = replace(found, size=None, fixed=False, target_layer="large")
    path = tmp_path / "w.safetensors"
    tensors, metadata = stored.encoded(found)
    write(tensors, path, metadata)
    with pytest.raises(WeightsError, match=r"w\.safetensors: .*are more than this machine can"):
        gradcam.load(path)
    assert "are more than this machine" in weights.describe(path).reason


def test_many_layers_are_refused():
    content = damaged(lambda found: found["layers"].extend(found["layers"][-1:] * 20_000))
    with pytest.raises(WeightsError, match="20011 layers; expected 1 to 20000"):
        gradcam.load(content)


def test_labels_and_preset_of_the_file_are_checked():
    tensors, metadata = stored.encoded(whole())
    for key, value in (("classes", "[1]"), ("classes", '[["", "a"]]'), ("preset", '{"size": 0}')):
        with pytest.raises(WeightsError):
            gradcam.load(Weights(tensors, {**metadata, key: value}))


def test_what_save_refuses(tmp_path):
    network = Network.from_layers(small())
    with pytest.raises(ValueError, match=r"not \.npz"):
        weights.save(network, tmp_path / "w.npz")
    assert list(tmp_path.iterdir()) == []
