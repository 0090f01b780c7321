"""Networks of one size, or of a chosen size: pictures, batches, streams, the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from test_stored import whole

import gradcam
from gradcam import Layer, Network, WeightsError, weights
from gradcam._cli.app import main
from gradcam._models.loading import Options, network_of

PICTURE = np.random.default_rng(0).integers(0, 256, (60, 50, 3), dtype=np.uint8)


@pytest.fixture
def fixed():
    """Made for inputs of 20 x 24."""
    return network_of(whole(), Options())


def test_pictures_are_resized_to_the_size_of_the_network(fixed):
    assert fixed.forward(PICTURE).input.shape == (1, 3, 20, 24)
    assert fixed.forward([PICTURE, PICTURE[::-1]]).input.shape == (2, 3, 20, 24)
    assert fixed.forward(PICTURE, size=(20, 24)).input.shape == (1, 3, 20, 24)
    ((_, tape),) = fixed.stream([PICTURE, PICTURE])
    assert tape.input.shape == (2, 3, 20, 24)
    assert tape.grad_cam(1)[0].map.shape == (60, 50)


def test_other_sizes_are_refused_by_name(fixed):
    message = "mine is made for inputs of 20 x 24, got "
    for size, text in ((224, "224 x 224"), ((24, 20), "24 x 20"), ("original", "60 x 50")):
        with pytest.raises(ValueError, match=message + text):
            fixed.forward(PICTURE, size=size)
        with pytest.raises(ValueError, match=message + text):
            list(fixed.stream([PICTURE], size=size))
    with pytest.raises(ValueError, match=message + "224 x 224"):
        fixed.forward(np.zeros((2, 3, 224, 224), np.float32))
    with pytest.raises(ValueError, match=message + "16 x 16"):
        gradcam.visualise(fixed, 1, size=16, steps=1)


def test_a_preset_that_crops_fills_a_size_that_is_not_square():
    """The picture covers 256 / 224 of the input's size, and its centre is taken."""
    layers = [Layer("pool", "global_average_pool"), Layer("scores", "flatten")]
    network = Network.from_layers(layers, preset="torchvision")
    network.size = (112, 56)
    picture = np.zeros((128, 400, 3), np.uint8)
    picture[:, 172:228] = 255  # the columns that the crop keeps
    tape = network.forward(picture)
    assert tape.input.shape == (1, 3, 112, 56)
    assert (tape.input > 2).all()


def test_a_chosen_size_is_that_of_pictures(tmp_path):
    weights.save(gradcam.vgg11.random_tensors(width=2, fc=4, classes=3), tmp_path / "w")
    network = gradcam.load(tmp_path / "w", size=(64, 96))
    assert network.forward(PICTURE).input.shape == (1, 3, 64, 96)
    assert network.forward(PICTURE, size=48).input.shape == (1, 3, 48, 48)
    assert gradcam.vgg11(tmp_path / "w", size=64).input_size == (64, 64)
    with pytest.raises(WeightsError, match="only files with a graph have outputs"):
        gradcam.load(tmp_path / "w", output="scores")
    assert gradcam.load(tmp_path / "w", size=np.array([64, 96])).size == (64, 96)
    assert gradcam.load(tmp_path / "w", size=np.int64(64)).size == (64, 64)
    for size in (0, "224", (1, 2, 3), 1.5, True, (64, True)):
        with pytest.raises(ValueError, match="size: expected an int"):
            gradcam.load(tmp_path / "w", size=size)


@pytest.mark.parametrize(
    ("option", "value"),
    [("name", 3), ("output", 3), ("target_layer", 3), ("mmap", "no"), ("labels", 3)],
)
def test_options_of_other_types_are_refused(option, value):
    with pytest.raises(TypeError, match=f"{option}: expected"):
        gradcam.load(gradcam.vgg11.random_tensors(width=1, fc=1, classes=3), **{option: value})


def test_the_target_layer_is_chosen(fixed):
    assert "target layer sum" in repr(fixed)
    layers = [layer for layer in fixed.layers.values() if layer.op != "input"]
    assert Network.from_layers(layers, target_layer="elu").target_layer == "elu"
    assert Network.from_layers(whole().layers, target_layer="bn").target_layer == "bn"
    with pytest.raises(ValueError, match="ask for 'bn'"):
        Network.from_layers(whole().layers, target_layer="first")
    assert Network.from_layers(layers).target_layer == "shift"
    with pytest.raises(ValueError, match="no layer is called 'none'"):
        Network.from_layers(layers, target_layer="none")


def run(capsys, *arguments, code=0):
    with pytest.raises(SystemExit) as ended:
        main([str(each) for each in arguments])
    assert ended.value.code in (code, None if code == 0 else code)
    return capsys.readouterr()


@pytest.fixture
def files(tmp_path, fixed, monkeypatch):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Image.fromarray(PICTURE).save("a.png")
    weights.save(fixed, "fixed.safetensors")
    plain = Network.from_layers(
        [Layer("relu", "relu"), Layer("pool", "global_average_pool"), Layer("scores", "flatten")]
    )
    weights.save(plain, "plain.safetensors")


def test_the_command_line_takes_a_size_and_a_preset(files, capsys):
    (line,) = run(capsys, "predict", "a.png", "--weights", "fixed.safetensors", "--json").out.split(
        "\n"
    )[:1]
    assert len(json.loads(line)["predictions"]) == 5
    found = run(capsys, "predict", "a.png", "--weights", "fixed.safetensors", "--size=8", code=2)
    assert "made for inputs of 20 x 24 only" in found.err
    found = run(capsys, "predict", "a.png", "--weights", "plain.safetensors", code=2)
    assert "no input preset for pictures" in found.err and "--preset" in found.err
    arguments = ("predict", "a.png", "--weights", "plain.safetensors", "--preset=0..1")
    assert json.loads(run(capsys, *arguments, "--size=8x9", "--json").out)
    assert "expected N or HEIGHTxWIDTH" in run(capsys, *arguments, "--size=8x", code=2).err


def test_info_shows_layers_and_what_the_file_says(files, capsys):
    text = run(capsys, "info", "fixed.safetensors").out
    for part in (
        "mine, 5 classes",
        "3 x 20 x 24; this size only",
        "Grad-CAM at  sum",
        "in the file",
        "Something was taken for granted.",
    ):
        assert part in text, part
    text = run(capsys, "info", "plain.safetensors", "--size=10x12").out
    assert "3 x 10 x 12; other sizes are possible" in text
    assert "none: pass --preset" in text
    for option in ("--output=nope", "--output=", "--size=10"):
        found = run(capsys, "info", "fixed.safetensors", option, code=2).err
        assert found.startswith("Error: fixed.safetensors: --") and "=" not in found
    content = json.loads(run(capsys, "info", "plain.safetensors", "--json", "--size=10").out)
    shapes = {each["name"]: each["shape"] for each in content["network"]["layers"]}
    assert shapes["relu"] == [3, 10, 10]
    run(capsys, "convert", "fixed.safetensors", "again.safetensors")
    again = run(capsys, "info", "again.safetensors").out
    assert "Something was taken for granted." in again and "this size only" in again


def test_labels_of_1001_classes(tmp_path):
    layers = [Layer("pool", "global_average_pool"), Layer("scores", "flatten")]
    kernel = np.zeros((1001, 3), np.float32)
    layers.append(Layer("fc", "linear", weights={"weight": kernel}))
    from test_recognition import imported

    before = imported(layers, classes=1001)
    labels = network_of(before, Options()).labels
    assert (labels[0].label, labels[1].label) == ("background", "tench")
    assert labels.find("n01440764").index == 1
    (tmp_path / "names.txt").write_text("\n".join(f"name {i} of it" for i in range(1000)))
    with pytest.raises(WeightsError, match=r"1000 labels for .* 1001 classes; .* 'background'"):
        network_of(before, Options(labels=tmp_path / "names.txt"))


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("{0: 'a cat', 1: \"dog's\"}", "a cat"),
        ('["x", "y"]', "x"),
        ("['a cat', \"dog's\",]", "a cat"),
        ("['it\\'s']", "it's"),
        ("[print()]", None),
        ('{"1": "y", "0": "x"}', "x"),
        ("{0: 'a', 2: 'b'}", None),
        ("{0: print()}", None),
        ("{" * 100_000, None),
        ("[" * 100_000, None),
        ("resnet", None),
        ("", None),
    ],
)
def test_names_that_other_programs_write(text, first):
    labels = gradcam.Labels.from_metadata({"names": text})
    assert (labels[0].label if labels else None) == first


def test_names_of_something_else_are_left_out():
    tensors = gradcam.alexnet.random_tensors(width=1, fc=2, classes=3)
    network = gradcam.load(gradcam.weights.Weights(tensors, {"names": "['a', 'b']"}))
    assert network.labels[2].label == "class_2"
    assert "names in the file's metadata (2) are not used: the network has 3" in network.about
    network = gradcam.load(gradcam.weights.Weights(tensors, {"names": "['a', 'b', 'c']"}))
    assert network.labels[2].label == "c" and network.about == ""
