"""Folders of Hugging Face: a network, its labels and its preset from three files."""

from __future__ import annotations

import json
import os
import pickle
import re

import model_folders
import numpy as np
import pytest
from model_folders import CONFIG, PREPROCESSOR, tensors, write, write_parts

import gradcam
from gradcam import WeightsError
from gradcam._models import architecture
from gradcam._pictures.image import prepare
from gradcam._weights import folder
from gradcam._weights.tensors import Weights

X = np.random.default_rng(1).standard_normal((2, 3, 37, 50)).astype(np.float32)


def forward(path, **options):
    return gradcam.load(path, **options).forward(X, input="normalised")


def refused(path, match):
    with pytest.raises(WeightsError, match=match):
        gradcam.load(path)


def test_a_folder_is_a_network_with_labels_and_preset(tmp_path):
    net = gradcam.load(write(tmp_path))
    tape = net.forward(X, input="normalised")
    expected = model_folders.scores(X, tensors())
    np.testing.assert_allclose(tape.scores, expected, atol=1e-5 * np.abs(expected).max())
    assert [each.label for each in net.labels] == ["cat", "dog", "hen"]
    assert net.name == "resnet"
    assert (net.preset.size, net.preset.shorter_side) == (224, 256)
    assert net.preset.interpolation == "bicubic"
    assert net.about == ""
    for name in ("resnet.encoder.stages.1", "stages.1.layers.0", "stages.1"):
        assert net.names(net.target_layer).count(name) == 1
    picture = np.zeros((60, 80, 3), np.uint8)
    assert net.forward(picture).scores.shape == (1, 3)


def test_weights_in_parts(tmp_path):
    write_parts(tmp_path)
    expected = forward(write(tmp_path / "whole")).scores
    np.testing.assert_array_equal(forward(tmp_path).scores, expected)


def test_the_file_of_weights_alone_is_none_of_the_known_networks(tmp_path):
    write(tmp_path)
    refused(tmp_path / "model.safetensors", "tensors are")


@pytest.mark.parametrize("write_folder", [write, write_parts])
def test_pickled_networks_are_loaded_again(tmp_path, write_folder):
    write_folder(tmp_path)
    net = gradcam.load(tmp_path)
    content = pickle.dumps(net)
    assert len(content) < 4000
    scores = net.forward(X, input="normalised").scores
    found = pickle.loads(content)
    np.testing.assert_array_equal(found.forward(X, input="normalised").scores, scores)
    changed = {**PREPROCESSOR, "resample": 2}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(changed))
    with pytest.raises(WeightsError, match="the file has changed since the network was pickled"):
        pickle.loads(content)
    again = pickle.loads(pickle.dumps(net))  # with its weights
    assert again.preset == net.preset
    np.testing.assert_array_equal(again.forward(X, input="normalised").scores, scores)


def test_files_of_a_folder_say_that_the_folder_is_needed(tmp_path):
    words = f"load the folder {re.escape(str(tmp_path))}"
    write(tmp_path)
    for name in ("config.json", "model.safetensors"):
        refused(tmp_path / name, words)
    write(tmp_path, weights=timm_files("efficientnet_b0"))
    with pytest.warns(gradcam.WeightsWarning, match=f"tf_efficientnet_b0.*{words}"):
        gradcam.load(tmp_path / "model.safetensors")


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "efficientnet_lite0", "efficientnet_b0"])
def test_two_networks_of_timm_with_the_same_tensors(name):
    """TensorFlow's borders and epsilon, or PyTorch's: the names do not say it."""
    with pytest.warns(gradcam.WeightsWarning, match=r"other borders .* is assumed"):
        gradcam.load(timm_files(name))


def timm_files(name):
    """The tensors of a narrow network by timm's names."""
    found = architecture.find(name)
    tensors = found.random_tensors(width=4, classes=2)
    return {
        f"{row.stored_as('timm')}.{parameter}": tensors[tensor]
        for row in found.rows
        for parameter, tensor in row.parameters.items()
    }


def test_what_a_folder_does_not_read_is_said(tmp_path):
    found = Weights(tensors(), objects={"cfg": "my.Cfg"}, notes=("Objects.",))
    content = folder.read(write(tmp_path), lambda path: found)
    assert (content.notes, content.objects) == (("Objects.",), {"cfg": "my.Cfg"})
    assert "Objects." in gradcam.load(content).about


def test_settings_that_are_not_followed_are_said(tmp_path):
    net = gradcam.load(
        write(tmp_path, {**CONFIG, "mixed": 1, "note": "mine", "torchscript": False})
    )
    assert "settings that this family does not have in transformers: mixed, note." in net.about


def test_several_labels_end_in_a_sigmoid(tmp_path):
    config = {**CONFIG, "problem_type": "multi_label_classification"}
    tape = forward(write(tmp_path, config))
    np.testing.assert_allclose(tape.probabilities, 1 / (1 + np.exp(-tape.scores)), atol=1e-6)
    softmax = forward(tmp_path, head="softmax").probabilities
    np.testing.assert_allclose(softmax.sum(1), 1, atol=1e-6)


def test_made_up_labels_are_none(tmp_path):
    generic = {str(i): f"LABEL_{i}" for i in range(3)}
    net = gradcam.load(write(tmp_path, {**CONFIG, "id2label": generic}))
    assert net.labels[1].label == "class_1"


CONFIGURATIONS = {
    "labels of other numbers": ({"id2label": {"1": "a", "2": "b", "3": "c"}}, "the numbers 0 to 2"),
    "too few labels": ({"id2label": {"0": "a", "1": "b"}}, "2 labels for a network of 3 classes"),
    "labels in a list": ({"id2label": ["a", "b", "c"]}, "id2label is .*expected an object"),
    "labels that are numbers": ({"id2label": {"0": 1, "1": 2, "2": 3}}, "names that are strings"),
    "code": ({"auto_map": {"AutoModel": "m.Model"}}, "auto_map names code .*which is not run"),
    "quantised": ({"quantization_config": {"bits": 4}}, "the weights are quantised"),
    "no classifier": (
        {"architectures": ["ResNetModel"]},
        r"\['ResNetModel'\], which has no scores",
    ),
    "regression": ({"problem_type": "regression"}, "problem_type is 'regression'"),
    "another family": ({"model_type": "x" * 999}, "model_type 'x+.* is not known here, known are"),
    "a transformer": (
        {"model_type": "vit"},
        "'vit' is a transformer, whose attention is not supported",
    ),
    "no operation": (
        {"model_type": "convnextv2"},
        "global response normalisation is not supported",
    ),
    "no family": ({"model_type": None}, "model_type '' is not known here"),
    "activation": ({"hidden_act": "mish"}, "embedder.activation: the activation 'mish' is not"),
    "type": ({"depths": "many"}, "depths is 'many', expected a list of 1 to 1000 integers"),
    "huge": ({"depths": [1, 10**30]}, "depths is .*expected integers from 1 to"),
    "length": ({"depths": [1]}, r"depths is \[1\], expected 2 entries, as hidden_sizes has"),
    "not a choice": ({"layer_type": "deep"}, "layer_type is 'deep', expected one of basic, bottle"),
    "not a flag": ({"downsample_in_first_stage": 1}, "is 1, expected true or false"),
    "deeper": (
        {"depths": [1, 2]},
        r"tensor 'resnet.encoder.stages.1.layers.1.layer.0.convol.* miss",
    ),
    "less deep": ({"depths": [1], "hidden_sizes": [4]}, r"has shape \(3, 6\), expected \(3, 4\)"),
    "wider": ({"hidden_sizes": [4, 8]}, r"has shape \(6, 4, 3, 3\), expected \(8, 4, 3, 3\)"),
    "channels": ({"num_channels": 1}, r"has shape \(4, 3, 7, 7\), expected \(4, 1, 7, 7\)"),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_configurations_that_are_refused(name, tmp_path):
    settings, match = CONFIGURATIONS[name]
    refused(write(tmp_path, {**CONFIG, **settings}), match)


def test_an_input_that_is_too_large(tmp_path):
    config = {**CONFIG, "image_size": 1 << 20}
    refused(write(tmp_path, config, None), "image_size is 1048576, expected at most 16384 pixels")


PREPROCESSORS = {
    "none": (None, "there is no preprocessor_config.json"),
    "unknown": ({"image_processor_type": "MyProcessor"}, "the image processor 'MyProcessor' is"),
    "unknown setting": ({**PREPROCESSOR, "do_flip": True}, "the setting 'do_flip' is not known"),
    "uncropped": ({**PREPROCESSOR, "do_resize": False}, "do_resize is false"),
    "enlarged": ({**PREPROCESSOR, "crop_pct": 1.5}, "crop_pct is 1.5, more than 1"),
    "filter": ({**PREPROCESSOR, "resample": 1}, "resample is 1"),
    "size": ({**PREPROCESSOR, "size": {"longest_edge": 9}}, "size has longest_edge"),
    "padded": (
        {"image_processor_type": "ViTImageProcessor", "do_center_crop": True, "crop_size": 300},
        "a picture is resized to a square before it is cropped",
    ),
}


@pytest.mark.parametrize("name", PREPROCESSORS)
def test_input_that_no_preset_expresses(name, tmp_path):
    preprocessor, words = PREPROCESSORS[name]
    net = gradcam.load(write(tmp_path, preprocessor=preprocessor))
    assert net.preset is None
    assert f"Pictures need preset=, because {words}" in net.about
    with pytest.raises(ValueError, match="no input preset"):
        net.forward(np.zeros((9, 9, 3), np.uint8))
    given = gradcam.load(tmp_path, preset="0..1")
    assert given.forward(np.zeros((9, 9, 3), np.uint8)) and "preset=" not in given.about


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"image_mean": "red"}, "image_mean is 'red', expected a list of numbers"),
        ({"image_std": [1, 0, 1]}, "invalid input preset"),
        ({"size": {"shortest_edge": -1}}, "size: shortest_edge is -1, expected an integer from 1"),
        ({"size": {"shortest_edge": 1 << 15}}, "invalid input preset"),
        ({"rescale_factor": 0}, "rescale_factor is 0, expected a number from"),
        ({"resample": [3]}, r"resample is \[3\], expected an integer from 0"),
        ({"do_normalize": "yes"}, "do_normalize is 'yes', expected true or false"),
        ({"image_mean": [0.5]}, "image_mean is .*expected three numbers"),
    ],
)
def test_preprocessors_that_are_refused(settings, match, tmp_path):
    refused(write(tmp_path, preprocessor={**PREPROCESSOR, **settings}), match)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"image_processor_type": "ConvNextImageProcessorFast"}, (255, 224, 256, "bicubic")),
        ({"feature_extractor_type": "ConvNextFeatureExtractor"}, (255, 224, 256, "bicubic")),
        ({"size": 224}, (255, 224, 256, "bicubic")),
        ({"size": {"shortest_edge": 384}, "resample": 2}, (255, 384, None, "bilinear")),
        ({"rescale_factor": 1 / 127.5, "resample": 0}, (127.5, 224, 256, "nearest")),
        ({"do_rescale": False}, (1, 224, 256, "bicubic")),
    ],
)
def test_presets(settings, expected, tmp_path):
    preprocessor = {**PREPROCESSOR, **settings}
    if "feature_extractor_type" in settings:
        del preprocessor["image_processor_type"]
    preset = gradcam.load(write(tmp_path, preprocessor=preprocessor)).preset
    assert (preset.scale, preset.size, preset.shorter_side, preset.interpolation) == expected


@pytest.mark.parametrize(
    ("kind", "std"),
    [
        ("ConvNext", 0.5),
        ("EfficientNet", 0.25),  # divided twice
        ("MobileNetV1", 0.5),
        ("MobileNetV2", 0.5),
        ("Bit", 0.26862954),
    ],
)
def test_means_and_deviations_that_a_file_leaves_out(kind, std, tmp_path):
    settings = {"image_processor_type": f"{kind}ImageProcessor"}
    if kind == "EfficientNet":
        settings["size"] = {"height": 9, "width": 9}
    preset = gradcam.load(write(tmp_path, preprocessor=settings)).preset
    assert (preset.std[0], preset.mean[0] == 0.5) == (std, kind != "Bit")


def test_the_crop_is_rounded_down(tmp_path):
    """The rows above it: int(3 / 2), where torchvision's crop has round(3 / 2)."""
    size = {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 9}}
    settings = {**PREPROCESSOR, **size, "crop_size": 6, "resample": 0}
    del settings["crop_pct"]
    preset = gradcam.load(write(tmp_path, preprocessor=settings)).preset
    picture = np.arange(81 * 3, dtype=np.uint8).reshape(9, 9, 3)
    values, _ = prepare(picture, preset, (6, 6))
    pixels = picture[1:7, 1:7].transpose(2, 0, 1) / 255
    mean, std = (np.array(each)[:, None, None] for each in (preset.mean, preset.std))
    np.testing.assert_allclose(values, (pixels - mean) / std, atol=1e-6)


def test_info_shows_a_folder(tmp_path):
    text = str(gradcam.weights.describe(write(tmp_path, preprocessor=None)))
    assert "a folder of transformers, safetensors" in text
    assert "resnet, 3 classes" in text
    assert "in the file" in text
    assert "Pictures need preset=, because there is no preprocessor_config.json" in text
    described = gradcam.weights.describe(write_parts(tmp_path / "parts")[0].parent)
    assert described.bytes > 5000
    assert described.sha256 is None
    assert described.preset == "ConvNext of preprocessor_config.json"


def test_a_folder_becomes_one_file(tmp_path):
    write(tmp_path / "folder")
    target = tmp_path / "net.safetensors"
    gradcam.weights.convert(tmp_path / "folder", target)
    net, expected = gradcam.load(target), gradcam.load(tmp_path / "folder")
    assert (net.preset, net.target_layer) == (expected.preset, expected.target_layer)
    assert [each.label for each in net.labels] == ["cat", "dog", "hen"]
    np.testing.assert_array_equal(
        net.forward(X, input="normalised").scores, expected.forward(X, input="normalised").scores
    )


# ------------------------------------------------------------------------ damaged folders


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"{", "config.json: not JSON"),
        (b"[1]", "config.json: expected a JSON object, got a list"),
        (b"\xff", "config.json: not JSON"),
        (b'{"a": NaN}', "NaN is not a number of JSON"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "config.json: not JSON"),
        (b'{"a": ' + b"1" * 5000 + b"}", "config.json: not JSON"),
        (b" " * (9 << 20), "more than 8388608 bytes"),
    ],
)
def test_files_that_are_not_json(content, match, tmp_path):
    write(tmp_path)
    (tmp_path / "config.json").write_bytes(content)
    refused(tmp_path, match)


def test_a_part_that_is_missing(tmp_path):
    files = write_parts(tmp_path)
    os.remove(files[1])
    refused(tmp_path, "the file model-00002-of-00003.safetensors is missing in the folder")


def test_parts_that_do_not_fit_their_list(tmp_path):
    files = write_parts(tmp_path)
    files[1].write_bytes(files[0].read_bytes())
    refused(tmp_path, "has no tensor .* which the list of the parts expects there")


@pytest.mark.parametrize(
    ("index", "match"),
    [
        ({"a": "../model.safetensors"}, "expected the name of a file in the folder"),
        ({"a": "/etc/passwd"}, "expected the name of a file in the folder"),
        ({"a": 3}, "expected the name of a file in the folder"),
        ({"a": ""}, "expected the name of a file in the folder"),
        ({"a": ".."}, r"\.\.: not a file"),
        ({}, "expected an object weight_map"),
        (["a"], "expected an object weight_map"),
        ({f"t{i}": f"f{i}" for i in range(1001)}, "lists 1001 files"),
    ],
)
def test_lists_of_parts_that_are_refused(index, match, tmp_path):
    write(tmp_path)
    os.remove(tmp_path / "model.safetensors")
    text = json.dumps({"weight_map": index})
    (tmp_path / "model.safetensors.index.json").write_text(text)
    refused(tmp_path, match)


def test_links_out_of_the_folder_are_not_followed(tmp_path):
    outside = write(tmp_path / "outside")
    folder = write(tmp_path / "folder")
    os.remove(folder / "model.safetensors")
    os.symlink(outside / "model.safetensors", folder / "model.safetensors")
    refused(folder, "is a link to a file outside of the folder")


def test_the_cache_of_hugging_face_consists_of_links(tmp_path):
    blobs = write(tmp_path / "blobs")
    snapshot = tmp_path / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
        os.symlink(f"../../blobs/{name}", snapshot / name)
    np.testing.assert_array_equal(forward(snapshot).scores, forward(blobs).scores)


def test_folders_without_weights(tmp_path):
    write(tmp_path)
    os.remove(tmp_path / "model.safetensors")
    refused(tmp_path, "has a config.json but no weights: expected model.safetensors or pytorch")
    (tmp_path / "tf_model.h5").write_bytes(b"")
    refused(tmp_path, "weights of TensorFlow: load them in transformers")
    os.mkdir(tmp_path / "model.safetensors")
    refused(tmp_path, "model.safetensors: not a file")


def test_a_git_lfs_pointer(tmp_path):
    write(tmp_path)
    (tmp_path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    refused(tmp_path, "run git lfs pull")


def test_tensors_that_do_not_fit(tmp_path):
    content = tensors()
    name = "resnet.embedder.embedder.normalization.bias"
    refused(write(tmp_path, weights={**content, name: np.zeros(5)}), rf"{name}' has shape \(5,\)")
    with open(tmp_path / "model.safetensors", "wb") as file:  # of NumPy in fact
        np.savez(file, **{**content, name: np.zeros(4, np.int64)})
    refused(tmp_path, "has type int64, expected floating-point numbers")
    refused(write(tmp_path, weights={**content, "extra.weight": np.zeros(2)}), "tensors extra.weig")
    del content["classifier.1.weight"]
    refused(write(tmp_path, weights=content), "without a classifier there are no scores")


# ------------------------------------------------------------------------ timm

TIMM = {
    "architecture": "vgg11",
    "num_classes": 4,
    "global_pool": "avg",
    "model_args": {"num_classes": 4, "in_chans": 3},
    "label_names": ["n02084071", "n02121808", "n01503061", "n02512053"],
    "label_descriptions": {"n02084071": "dog", "n02121808": "cat", "n01503061": "bird"},
    "pretrained_cfg": {
        "input_size": [3, 64, 64],
        "interpolation": "bicubic",
        "crop_pct": 0.9,
        "crop_mode": "center",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
    },
}


def timm_vgg11():
    """The weights of a narrow VGG-11, with timm's names."""
    from gradcam._models import architecture, checkpoints  # noqa: F401  registers the networks

    found = architecture.find("vgg11").random_tensors(width=2, fc=5, classes=4)
    names = {"classifier.0": "pre_logits.fc1", "classifier.3": "pre_logits.fc2"}
    names["classifier.6"] = "head.fc"
    result = {}
    for name, values in found.items():
        layer, _, ending = name.rpartition(".")
        if layer in ("classifier.0", "classifier.3") and ending == "weight":
            side = 7 if layer == "classifier.0" else 1
            values = values.reshape(len(values), -1, side, side)
        result[f"{names.get(layer, layer)}.{ending}"] = values
    return found, result


@pytest.fixture(scope="module")
def vgg11():
    return timm_vgg11()


def write_timm(folder, vgg11, **changes):
    return write(folder, {**TIMM, **changes}, None, vgg11[1])


def test_a_folder_of_timm(tmp_path, vgg11):
    net = gradcam.load(write_timm(tmp_path, vgg11))
    x = X[:, :, :32, :48]
    expected = gradcam.vgg11(vgg11[0]).forward(x, input="normalised").scores
    ours = gradcam.load(tmp_path, size=(32, 48)).forward(x, input="normalised").scores
    np.testing.assert_array_equal(ours, expected)
    assert [(each.synset, each.label) for each in net.labels][1:] == [
        ("n02121808", "cat"),
        ("n01503061", "bird"),
        ("n02512053", "n02512053"),
    ]
    assert (net.preset.size, net.preset.shorter_side, net.size) == (64, 71, (64, 64))
    assert (net.preset.mean, net.preset.interpolation) == ((0.5,) * 3, "bicubic")
    prefixed = {f"timm_model.{name}": values for name, values in vgg11[1].items()}
    write(tmp_path, {**TIMM, "model_type": "timm_wrapper"}, None, prefixed)
    again = gradcam.load(tmp_path, size=(32, 48)).forward(x, input="normalised").scores
    np.testing.assert_array_equal(again, expected)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"architecture": "resnet50d"}, "architecture is 'resnet50d', which is not among"),
        ({"architecture": "vgg13"}, "architecture is 'vgg13', but the tensors are those of vgg11"),
        ({"architecture": 5}, "architecture is 5, expected a string"),
        ({"global_pool": "max"}, "global_pool is not 'avg'"),
        ({"global_pool": ["avg"]}, "global_pool is not 'avg'"),
        ({"model_args": {"act_layer": "gelu"}}, "was made with act_layer, which is not known here"),
        ({"model_args": {"output_stride": 0}}, "was made with output_stride, which is not known"),
        ({"num_classes": 1000}, "num_classes is 1000, but the tensors end in 4 scores"),
        ({"pretrained_cfg": {"input_size": [1, 64, 64]}}, "has 1 channel, but the tensors take 3"),
        ({"pretrained_cfg": {"input_size": [3, 1 << 19, 64]}}, "height and width, up to 16384"),
        ({"label_names": ["a", "b"]}, "2 labels for a network of 4 classes"),
        ({"label_names": "abcd"}, "label_names is 'abcd', expected a list of strings"),
        ({"pretrained_cfg": {"input_size": [3, 256, 256]}}, "up to 224 pixels"),
        ({"pretrained_cfg": {"input_size": [3, 64]}}, "expected channels, height and width"),
        ({"pretrained_cfg": []}, "pretrained_cfg is .*expected an object"),
    ],
)
def test_folders_of_timm_that_are_refused(changes, match, tmp_path, vgg11):
    refused(write_timm(tmp_path, vgg11, **changes), match)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"crop_mode": "border"}, "crop_mode is 'border' with a crop_pct of 0.9"),
        ({"interpolation": "lanczos"}, "the interpolation 'lanczos' is not known here"),
        ({"input_size": [3, 64, 48]}, "input_size is 64 x 48, not a square"),
        ({"mean": [0.5]}, "because mean has 1 and std 3 numbers, not three each"),
    ],
)
def test_input_of_timm_that_no_preset_expresses(changes, words, tmp_path, vgg11):
    data = {**TIMM["pretrained_cfg"], **changes}
    net = gradcam.load(write_timm(tmp_path, vgg11, pretrained_cfg=data))
    assert net.preset is None
    assert words in net.about


# ------------------------------------------------------------------------ families of every size


def renamed(tensors, names):
    """The tensors, with the parts of their names that `names` has replaced in turn."""
    result = {}
    for name, values in tensors.items():
        for old, new in names.items():
            name = re.sub(old, new, name)
        result[name] = values
    return result


CONVNEXT = {
    r"convnext.embeddings.patch_embeddings": "stem.0",
    r"convnext.embeddings.layernorm": "stem.1",
    r"convnext.encoder.stages.(\d).downsampling_layer": r"stages.\1.downsample",
    r"convnext.encoder.stages.(\d).layers": r"stages.\1.blocks",
    r"convnext.layernorm": "head.norm",
    r"classifier": "head.fc",
    r"\.dwconv": ".conv_dw",
    r"\.layernorm": ".norm",
    r"pwconv": "mlp.fc",
    r"layer_scale_parameter": "gamma",
}
"""From transformers' names to timm's."""


def convnext():
    """Random weights of a ConvNeXt of two stages, with transformers' names."""
    rng = np.random.default_rng(2)
    shapes = {"convnext.embeddings.patch_embeddings": (4, 3, 4, 4), "classifier": (3, 6)}
    shapes |= {"convnext.embeddings.layernorm": (4,), "convnext.layernorm": (6,)}
    for stage, (width, depth) in enumerate(((4, 1), (6, 2))):
        name = f"convnext.encoder.stages.{stage}"
        if stage:
            shapes[f"{name}.downsampling_layer.0"] = (4,)
            shapes[f"{name}.downsampling_layer.1"] = (6, 4, 2, 2)
        for i in range(depth):
            layer = f"{name}.layers.{i}"
            shapes[f"{layer}.dwconv"] = (width, 1, 7, 7)
            shapes[f"{layer}.layernorm"] = (width,)
            shapes[f"{layer}.pwconv1"] = (4 * width, width)
            shapes[f"{layer}.pwconv2"] = (width, 4 * width)
            shapes[f"{layer}.layer_scale_parameter"] = ()
    result = {}
    for name, shape in shapes.items():
        if not shape:
            width = result[f"{name.rpartition('.')[0]}.dwconv.bias"].shape
            result[name] = rng.normal(0, 1, width).astype(np.float32)
            continue
        result[f"{name}.weight"] = rng.normal(0, 0.5, shape).astype(np.float32)
        result[f"{name}.bias"] = rng.normal(0, 0.5, shape[0]).astype(np.float32)
    return result


def test_one_convnext_in_both_libraries(tmp_path):
    config = {
        **CONFIG,
        "architectures": ["ConvNextForImageClassification"],
        "model_type": "convnext",
        "hidden_sizes": [4, 6],
        "depths": [1, 2],
        "num_stages": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
    }
    content = convnext()
    expected = forward(write(tmp_path / "a", config, None, content)).scores
    assert np.ptp(expected) > 0.1
    other = renamed(content, CONVNEXT)
    settings = {**TIMM, "architecture": "convnext_nano.d1h_in1k", "label_names": ["a", "b", "c"]}
    settings["num_classes"] = 3
    net = gradcam.load(write(tmp_path / "b", settings, None, other))
    assert (net.name, net.size, net.preset.name) == ("convnext_nano", None, "timm")
    np.testing.assert_array_equal(net.forward(X, input="normalised").scores, expected)
    refused(
        write(tmp_path / "b", settings, None, {**other, "head.pre_logits.fc.weight": np.ones(3)}),
        "convnext_nano has no layers with the tensors head.pre_logits.fc.weight",
    )
    del other["stem.0.weight"]
    refused(write(tmp_path / "b", settings, None, other), "'stem.0.weight' is missing")
