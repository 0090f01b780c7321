"""Weights in all layouts, rearranged here by simple loops, give the same network bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import peer

import gradcam
from gradcam._importers import axes
from gradcam._models import architecture
from gradcam._models.architecture import Architecture, Row
from gradcam._models.checkpoints import identify
from gradcam.weights import Weights, WeightsError

CONVOLUTIONS = {
    "vgg11": ["1_1", "2_1", "3_1", "3_2", "4_1", "4_2", "5_1", "5_2"],
    "vgg13": [f"{block}_{i}" for block in range(1, 6) for i in (1, 2)],
    "vgg16": ["1_1", "1_2", "2_1", "2_2", *(f"{b}_{i}" for b in (3, 4, 5) for i in (1, 2, 3))],
    "vgg19": ["1_1", "1_2", "2_1", "2_2", *(f"{b}_{i}" for b in (3, 4, 5) for i in (1, 2, 3, 4))],
}
"""Block and number of each convolution, from the paper's table 1."""

LINEAR = {"classifier.0": "fc6", "classifier.3": "fc7", "classifier.6": "fc8"}
GRID = 7


def tensors(name="vgg16", classes=5, seed=1):
    """Return tensors of a narrow network; all values are different, also biases and variances."""
    state_dict = getattr(gradcam, name).random_tensors(width=4, fc=8, classes=classes, seed=seed)
    generator = np.random.default_rng(seed)
    for key, values in state_dict.items():
        if values.ndim == 1:
            state_dict[key] = generator.uniform(0.5, 1.5, values.shape).astype(np.float32)
    return state_dict


def layers(state_dict, name="vgg16"):
    """Return (Caffe name, weight, bias) of each convolution and linear layer, in order."""
    names = iter([f"conv{each}" for each in CONVOLUTIONS[name.removesuffix("_bn")]])
    return [
        (LINEAR.get(key[:-7]) or next(names), weight, state_dict[f"{key[:-7]}.bias"])
        for key, weight in state_dict.items()
        if key.endswith(".weight") and weight.ndim > 1
    ]


def outputs_last(caffe, weight):
    """Return (O, I, H, W) as (H, W, I, O), (O, I) as (I, O), element by element.

    The inputs of fc6 are then a map flattened as H, W, C instead of C, H, W.
    """
    if weight.ndim == 4:
        result = np.empty([weight.shape[axis] for axis in (2, 3, 1, 0)], np.float32)
        for h, w, i, o in np.ndindex(result.shape):
            result[h, w, i, o] = weight[o, i, h, w]
        return result
    result = np.empty(weight.shape[::-1], np.float32)
    channels = len(result) // GRID**2
    for i, o in np.ndindex(result.shape):
        source = i
        if caffe == "fc6":
            position, channel = divmod(i, channels)
            source = channel * GRID**2 + position
        result[i, o] = weight[o, source]
    return result


# --- the layouts, as the libraries write them ---


def keras(state_dict, name="vgg16", rename=lambda layer, caffe: layer):
    names = {"fc6": "fc1", "fc7": "fc2", "fc8": "predictions"}
    found = {}
    for caffe, weight, bias in layers(state_dict, name):
        layer = rename(names.get(caffe) or f"block{caffe[4]}_conv{caffe[6]}", caffe)
        found[f"{layer}/kernel"] = outputs_last(caffe, weight)
        found[f"{layer}/bias"] = bias
    return found


def keras_default_names(state_dict, name="vgg16", first=0):
    """Layers with Keras's default names: conv2d, conv2d_1, ... dense, dense_1, dense_2."""
    counts = {"conv2d": first, "dense": first}

    def rename(layer, caffe):
        kind = "conv2d" if caffe.startswith("conv") else "dense"
        number, counts[kind] = counts[kind], counts[kind] + 1
        return f"{kind}_{number}" if number else kind

    return keras(state_dict, name, rename)


def frossard(state_dict, name="vgg16"):
    found = {}
    for caffe, weight, bias in layers(state_dict, name):
        found[f"{caffe}_W"], found[f"{caffe}_b"] = outputs_last(caffe, weight), bias
    return dict(sorted(found.items()))


def caffe(state_dict, name="vgg16", old=False, last="fc8"):
    found = {}
    for layer, weight, bias in layers(state_dict, name):
        layer = last if layer == "fc8" else layer
        if old and weight.ndim == 2:
            weight = weight[None, None]
        found[f"{layer}.weight"] = weight
        found[f"{layer}.bias"] = bias[None, None, None] if old else bias
    return found


def timm(state_dict):
    found = {}
    names = {"classifier.0": "pre_logits.fc1", "classifier.3": "pre_logits.fc2"}
    for key, values in state_dict.items():
        layer, _, parameter = key.rpartition(".")
        if layer in names and parameter == "weight":
            side = GRID if layer == "classifier.0" else 1
            values = values.reshape(len(values), -1, side, side)
        layer = "head.fc" if layer == "classifier.6" else names.get(layer, layer)
        found[f"{layer}.{parameter}"] = values
    return found


def prefixed(prefix, state_dict):
    return {prefix + key: values for key, values in state_dict.items()}


def parallel(state_dict):
    """DataParallel around the features only, as in PyTorch's ImageNet example."""
    return {key.replace("features.", "features.module."): v for key, v in state_dict.items()}


LAYOUTS = {
    "torchvision": (lambda m: m, "vgg16", "torchvision's", "torchvision"),
    "torchvision, reversed": (
        lambda m: dict(reversed(m.items())),
        "vgg16",
        "torchvision's",
        "torchvision",
    ),
    "state_dict": (lambda m: prefixed("state_dict.", m), "vgg11", "torchvision's", "torchvision"),
    "model": (lambda m: prefixed("model.", m), "vgg13_bn", "torchvision's", "torchvision"),
    "Lightning": (
        lambda m: prefixed("state_dict.net.backbone.", m),
        "vgg16",
        "torchvision's",
        "torchvision",
    ),
    "DataParallel": (lambda m: prefixed("module.", m), "vgg19", "torchvision's", "torchvision"),
    "DataParallel of the features": (
        lambda m: prefixed("state_dict.", parallel(m)),
        "vgg16",
        "torchvision's",
        "torchvision",
    ),
    "torch.compile": (
        lambda m: prefixed("_orig_mod.", m),
        "vgg16",
        "torchvision's",
        "torchvision",
    ),
    "timm": (timm, "vgg16", "timm's", "torchvision"),
    "timm, bn": (timm, "vgg19_bn", "timm's", "torchvision"),
    "timm, wrapped": (lambda m: prefixed("model.", timm(m)), "vgg11", "timm's", "torchvision"),
    "Keras": (keras, "vgg16", "Keras's", "keras"),
    "Keras, 19": (lambda m: keras(m, "vgg19"), "vgg19", "Keras's", "keras"),
    "Keras, sorted by name": (
        lambda m: dict(sorted(keras(m).items())),
        "vgg16",
        "Keras's",
        "keras",
    ),
    "Keras, nested": (
        lambda m: keras(m, rename=lambda k, c: k if c[:2] == "fc" else f"vgg16/{k}"),
        "vgg16",
        "Keras's",
        "keras",
    ),
    "Keras, renamed last layer": (
        lambda m: keras(m, rename=lambda k, c: "doctor_or_nurse" if c == "fc8" else k),
        "vgg16",
        "Keras's",
        "keras",
    ),
    "Keras, renamed linear layers": (
        lambda m: keras(m, rename=lambda k, c: f"dense_{c[2]}" if c[:2] == "fc" else k),
        "vgg16",
        "Keras's",
        "keras",
    ),
    "Keras, default names": (
        keras_default_names,
        "vgg16",
        "Keras's, in the order of the layers",
        "keras",
    ),
    "Keras, default names, sorted": (
        lambda m: dict(sorted(keras_default_names(m, "vgg19", first=4).items())),
        "vgg19",
        "Keras's, in the order of the layers",
        "keras",
    ),
    "Keras, arbitrary names": (
        lambda m: keras(m, rename=lambda k, c: f"{sum(map(ord, c)) % 7}{c}x"),
        "vgg16",
        "Keras's, in the order of the layers",
        "keras",
    ),
    "Frossard": (frossard, "vgg16", "Frossard's", "frossard"),
    "Caffe": (caffe, "vgg16", "Caffe's", "caffe"),
    "Caffe, old": (lambda m: caffe(m, old=True), "vgg16", "Caffe's", "caffe"),
    "Caffe, 19": (lambda m: caffe(m, "vgg19", old=True), "vgg19", "Caffe's", "caffe"),
    "Caffe, fine-tuned": (lambda m: caffe(m, last="fc8_style"), "vgg16", "Caffe's", "caffe"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_all_layouts_give_the_same_network(name):
    to_layout, architecture, layout, preset = LAYOUTS[name]
    state_dict = tensors(architecture)
    content = Weights(to_layout(state_dict))
    found = identify(content)
    assert (found.architecture, found.layout) == (architecture, layout)
    assert (found.preset.name, found.classes, found.ignored) == (preset, 5, ())
    converted = found.tensors()
    assert list(converted) == list(state_dict)
    for key, values in state_dict.items():
        assert converted[key].flags.c_contiguous
        np.testing.assert_array_equal(converted[key], values, key)
    x = np.random.default_rng(2).standard_normal((1, 3, 32, 40)).astype(np.float32)
    network = gradcam.load(content)
    expected = getattr(gradcam, architecture)(state_dict).forward(x).scores
    np.testing.assert_array_equal(network.forward(x).scores, expected)
    assert network.preset == gradcam.PRESETS[preset] and network.name == architecture


@pytest.mark.parametrize(
    "name", [f"vgg{n}{norm}" for n in (11, 13, 16, 19) for norm in ("", "_bn")]
)
def test_every_vgg_is_recognised(name):
    state_dict = tensors(name, classes=2)
    for rearranged in (state_dict, timm(state_dict)):
        assert identify(Weights(rearranged)).architecture == name
    if not name.endswith("_bn"):
        for to_layout in (keras, keras_default_names, frossard, caffe):
            assert identify(Weights(to_layout(state_dict, name))).architecture == name


@pytest.mark.parametrize("to_layout", [lambda m: m, timm, caffe, lambda m: caffe(m, old=True)])
def test_tensors_in_the_right_order_are_not_copied(to_layout):
    state_dict = {key: np.asarray(values) for key, values in tensors().items()}
    found = identify(Weights(to_layout(state_dict)))
    assert found.in_place
    for key, values in found.tensors().items():
        assert np.shares_memory(values, state_dict[key]), key


def test_tensors_are_converted_only_when_requested(monkeypatch):
    content = Weights(keras(tensors()))
    monkeypatch.setattr(axes, "transposed", None)
    found = identify(content)
    assert not found.in_place and found.classes == 5
    with pytest.raises(TypeError):
        found.tensors()


@pytest.mark.parametrize("positions, channels, outputs", [(1, 1, 1), (9, 70, 130), (49, 65, 63)])
def test_reordering(positions, channels, outputs):
    """Compare with the definition, for sizes that are not multiples of a tile."""
    weight = np.arange(positions * channels * outputs, dtype=np.float32).reshape(-1, outputs)
    found = axes.transposed(weight, positions)
    expected = weight.reshape(positions, channels, outputs).T.reshape(outputs, -1)
    np.testing.assert_array_equal(found, expected)


def test_integers_and_doubles_become_float32():
    state_dict = tensors()
    state_dict["features.0.bias"] = np.arange(4)
    state_dict["classifier.3.weight"] = state_dict["classifier.3.weight"].astype(np.float64)
    converted = identify(Weights(state_dict)).tensors()
    assert {values.dtype for values in converted.values()} == {np.dtype(np.float32)}


# --- metadata ---


def test_metadata_overrides_the_layout():
    content = Weights(keras(tensors()), {"preset": "torchvision"})
    assert identify(content).preset.name == "torchvision"
    assert gradcam.load(content, preset="caffe").preset.name == "caffe"


def test_eps_of_batch_normalisation():
    state_dict = tensors("vgg11_bn")
    x = np.random.default_rng(2).standard_normal((1, 3, 32, 32)).astype(np.float32)
    scores = [
        gradcam.load(Weights(state_dict, metadata)).forward(x).scores
        for metadata in ({}, {"eps": "1e-5"}, {"eps": "0.5"})
    ]
    np.testing.assert_array_equal(scores[0], scores[1])
    shifted = state_dict | {
        key: values + np.float32(0.5 - 1e-5)
        for key, values in state_dict.items()
        if key.endswith("running_var")
    }
    np.testing.assert_allclose(scores[2], gradcam.load(shifted).forward(x).scores, rtol=1e-4)
    for eps in ("0", "-1", "nan", "inf", "small"):
        with pytest.raises(WeightsError, match=r"eps .* must be a positive number"):
            identify(Weights(state_dict, {"eps": eps}))


TRAINING_STATE = {
    "epoch": np.array(3),
    "best_acc1": np.array(71.5),
    "features.1.num_batches_tracked": np.array(7),
    "optimizer.state.0.exp_avg": np.ones(4),
    "optimizer_states.0.state.3.momentum_buffer": np.ones((2, 2)),
    "optimizer.features.0.weight": np.ones(4),
    "lr_schedulers.0.base_lrs": np.ones(1),
    "state_dict.criterion.weight": np.ones(5),
    "n_averaged": np.ones(1),
    "rng_state": np.ones(5056, np.uint8),
}


def test_training_state_is_ignored():
    state_dict = prefixed("state_dict.", tensors("vgg11_bn"))
    found = identify(Weights(state_dict | TRAINING_STATE))
    assert found.architecture == "vgg11_bn" and found.ignored == tuple(TRAINING_STATE)


@pytest.mark.parametrize("average", ["state_dict_ema.", "model_ema.module.", "ema.", "net.ema."])
def test_running_average_of_the_network_is_ignored(average):
    state_dict, other = prefixed("state_dict.", tensors()), prefixed(average, tensors(seed=9))
    for content in (state_dict | other, other | state_dict):
        found = identify(Weights(content))
        assert set(found.ignored) == set(other)
        np.testing.assert_array_equal(
            found.tensors()["features.0.weight"], state_dict["state_dict.features.0.weight"]
        )
    assert identify(Weights(other)).ignored == ()


# --- errors and their messages ---


def without(state_dict, *parts):
    return {key: values for key, values in state_dict.items() if not any(p in key for p in parts)}


def check_error(state_dict, *parts):
    with pytest.raises(WeightsError) as caught:
        identify(Weights(state_dict))
    for part in parts:
        assert part in str(caught.value)
    return str(caught.value)


def test_error_for_two_networks_names_their_prefixes():
    student, teacher = prefixed("student.", tensors()), prefixed("teacher.", tensors("vgg11"))
    check_error(student | teacher, "2 networks", "'student.', 'teacher.'", "to a separate file")
    check_error(student | tensors(), "'student.', ''")
    check_error(
        keras(tensors(), rename=lambda k, c: f"a/{k}")
        | keras(tensors(), rename=lambda k, c: f"b/{k}"),
        "two networks, with the tensors a/block1_conv1/kernel and b/block1_conv1/kernel",
    )
    check_error(
        tensors() | prefixed("module.", tensors()), "features.0.weight and module.features.0"
    )


@pytest.mark.parametrize("to_layout", [lambda m: m, timm, keras, frossard, caffe])
def test_convolutions_alone_are_refused(to_layout):
    ends = ("classifier", "fc", "predictions", "linear", "head")
    state_dict = without(to_layout(tensors()), *ends)
    assert len(state_dict) == 26
    check_error(state_dict, "only the convolutions of VGG-16", "fully connected layers")


def test_error_for_keras_without_top():
    check_error(
        without(keras(tensors()), "fc", "pred"), "include_top=True", "fc1, fc2, predictions"
    )
    check_error(without(keras_default_names(tensors()), "dense"), "include_top=True")


@pytest.mark.parametrize(
    "state_dict, message",
    [
        (
            without(tensors(), "features.2"),
            "missing features.2.weight, features.2.bias, features.21.weight",
        ),
        (without(keras(tensors()), "block1"), "missing block1_conv1/kernel"),
        (without(frossard(tensors()), "fc7"), "missing fc7_W, fc7_b"),
        (without(caffe(tensors()), "conv5_3"), "missing conv5_3.weight, conv5_3.bias"),
        (without(timm(tensors()), "head"), "missing head.fc.weight, head.fc.bias"),
        (without(keras(tensors()), "fc2/bias"), "missing fc2/bias"),
        (without(keras(tensors()), "predictions", "fc2"), "missing fc2/kernel"),
        (
            without(keras_default_names(tensors()), "dense_2"),
            "13 convolutions and 2 fully connected layers; the known networks have 8 and 3",
        ),
        (
            tensors() | {"features.99.weight": np.ones(3)},
            "VGG-16, but the tensors differ: unexpected features.99.weight",
        ),
        (
            tensors() | {"auxiliary.weight": np.ones((2, 2))},
            "unexpected auxiliary.weight",
        ),
        (
            prefixed("backbone.", tensors()) | {"head.weight": np.ones((2, 5))},
            "unexpected head.weight",
        ),
        (
            keras(tensors()) | {"batch_normalization/gamma": np.ones(4)},
            "unexpected batch_normalization/gamma",
        ),
        (
            keras(tensors()) | {"extra/kernel": np.ones((5, 2)), "extra/bias": np.ones(2)},
            "unexpected extra/kernel, extra/bias",
        ),
        (caffe(tensors()) | {"loss3.weight": np.ones((5, 2))}, "unexpected loss3.weight"),
        ({}, "the file holds no tensors"),
        ({"epoch": np.array(1)}, "the file holds no tensors"),
        (
            {"layer1.0.conv1.weight": np.ones((2, 2, 3, 3))},
            "the tensors are layer1.0.conv1.weight",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_missing_and_unexpected_tensors_are_named(state_dict, message):
    check_error(state_dict, message)


def test_very_long_names_are_refused_quickly():
    check_error(
        keras_default_names(tensors()) | {"9" * 10**6 + "/kernel": np.ones((2, 2))}, "1000007 char"
    )


def with_shape(state_dict, key, shape):
    assert key in state_dict
    return state_dict | {key: np.ones(shape, np.float32)}


@pytest.mark.parametrize(
    "state_dict, message",
    [
        (
            with_shape(tensors(), "features.2.weight", (4, 5, 3, 3)),
            "'features.2.weight' has shape (4, 5, 3, 3), expected (any, 4, 3, 3)",
        ),
        (
            with_shape(keras(tensors()), "block1_conv2/kernel", (3, 3, 5, 4)),
            "'block1_conv2/kernel' has shape (3, 3, 5, 4), expected (3, 3, 4, any)",
        ),
        (
            with_shape(keras(tensors()), "block1_conv2/kernel", (5, 5, 4, 4)),
            "(5, 5, 4, 4), expected (3, 3, 4, any)",
        ),
        (
            with_shape(keras(tensors()), "fc1/kernel", (512, 8)),
            "'fc1/kernel' has shape (512, 8), expected (1568, any)",
        ),
        (
            with_shape(frossard(tensors()), "fc7_W", (8, 8, 1)),
            "'fc7_W' has shape (8, 8, 1), expected (8, any)",
        ),
        (
            with_shape(caffe(tensors(), old=True), "fc7.weight", (1, 1, 8, 9)),
            "'fc7.weight' has shape (1, 1, 8, 9), expected (any, 8)",
        ),
        (
            with_shape(timm(tensors()), "pre_logits.fc1.weight", (8, 32, 6, 6)),
            "(8, 32, 6, 6), expected (any, 1568)",
        ),
        (with_shape(tensors(), "classifier.6.bias", (4,)), "shape (4,), expected (5,)"),
        (with_shape(tensors(), "classifier.6.weight", (0, 8)), "(0, 8), expected (any, 8)"),
        (
            tensors() | {"features.0.bias": np.ones(4, complex)},
            "'features.0.bias' has type complex128, expected real numbers",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_errors_of_wrong_shapes_name_the_tensors_of_the_file(state_dict, message):
    check_error(state_dict, message)


def test_nan_is_reported_with_its_layer():
    state_dict = keras(tensors())
    state_dict["block3_conv2/kernel"][1, 1, 0, 0] = np.nan
    with pytest.raises(WeightsError, match=r"conv3_2.*block3_conv2|conv3_2.*holds NaN"):
        gradcam.load(state_dict)


def test_wrong_number_of_labels():
    with pytest.raises(ValueError, match="2 labels for a network of 5 classes"):
        gradcam.load(tensors(), labels=["doctor", "nurse"])
    content = Weights(tensors(), gradcam.Labels(["doctor", "nurse"]).to_metadata())
    with pytest.raises(ValueError, match="2 labels for a network of 5 classes"):
        gradcam.load(content)
    named = gradcam.load(Weights(tensors(classes=2), content.metadata))
    assert [target.label for target in named.labels] == ["doctor", "nurse"]


def test_labels_as_array_and_as_bytes():
    network = gradcam.load(tensors(), labels=np.array(list("abcde")))
    assert [target.label for target in network.labels] == list("abcde")
    with pytest.raises(
        TypeError, match=r"labels: expected names of classes or the path .* b'abcde'"
    ):
        gradcam.load(tensors(), labels=b"abcde")


@pytest.mark.parametrize(
    "metadata, message",
    [
        ({"preset": "nobody"}, "no input preset is called 'nobody'"),
        (gradcam.Labels(["doctor"]).to_metadata(), "1 labels for a network of 5 classes"),
        ({"classes": "[3]"}, "classes"),
    ],
)
def test_metadata_errors_name_the_file(metadata, message, tmp_path):
    path = tmp_path / "w.safetensors"
    gradcam.weights.save(tensors(), path, metadata)
    for function in (
        gradcam.load,
        lambda p: gradcam.weights.convert(p, tmp_path / "new.safetensors"),
    ):
        with pytest.raises(WeightsError, match=rf"w\.safetensors: .*{message}"):
            function(path)
    assert not (tmp_path / "new.safetensors").exists()


def test_preset_argument_overrides_invalid_metadata(tmp_path):
    path = tmp_path / "w.safetensors"
    gradcam.weights.save(tensors(), path, {"preset": "nobody"})
    assert gradcam.load(path, preset="caffe").preset.name == "caffe"
    gradcam.weights.convert(path, tmp_path / "new.safetensors", preset="caffe")
    assert gradcam.load(tmp_path / "new.safetensors").preset.name == "caffe"
    with pytest.raises(ValueError, match=r"^no input preset is called 'other'"):
        gradcam.load(path, preset="other")


# --- dicts ---


class Tensor:
    """The part of PyTorch's tensors that these tests need."""

    def __init__(self, values, requires_grad=False):
        self.values, self.requires_grad = values, requires_grad

    def __array__(self, *arguments, **options):
        if self.requires_grad:
            raise RuntimeError("Use tensor.detach().numpy() instead.")
        return self.values


def test_a_checkpoint_of_nested_dicts():
    state_dict = tensors()
    state = {"state": {0: {"exp_avg": np.ones(3), "step": 4}}, "param_groups": [{"lr": 0.1}]}
    content = {
        "epoch": 3,
        "arch": "vgg16",
        "best": None,
        "state_dict": {name: Tensor(values) for name, values in state_dict.items()},
        "optimizer": state,
    }
    x = np.random.default_rng(2).standard_normal((1, 3, 32, 32)).astype(np.float32)
    expected = gradcam.vgg16(state_dict).forward(x).scores
    np.testing.assert_array_equal(gradcam.load(content).forward(x).scores, expected)


def test_dicts_that_are_refused():
    state_dict = {name: Tensor(values) for name, values in tensors().items()}
    state_dict["features.2.weight"].requires_grad = True
    with pytest.raises(WeightsError, match=r"'features\.2\.weight' cannot be read.*detach"):
        gradcam.load(state_dict)
    with pytest.raises(WeightsError, match=r"'features\.2\.weight' cannot be read"):
        gradcam.load({"features.2.weight": [[1, 2], [3]]})
    with pytest.raises(WeightsError, match=r"two tensors are called 'a\.b'"):
        gradcam.load({"a.b": np.ones(2), "a": {"b": np.ones(2)}})
    recursive: dict = {}
    recursive["again"] = recursive
    with pytest.raises(WeightsError, match="inside themselves"):
        gradcam.load(recursive)


def test_a_module_is_refused_with_a_hint_to_its_state_dict():
    class Model:
        def state_dict(self):
            return tensors()

    for function in (gradcam.load, gradcam.vgg16):
        with pytest.raises(TypeError, match=r"got a Model; pass its state_dict\(\)"):
            function(Model())


# --- other architectures ---


def residual_rows():
    """A stem, a residual block with a depthwise convolution, a concatenation, and a classifier."""

    def conv(name, units, before, **options):
        yield Row(name, "conv", (before,), units=units, bias=False, torchvision=name, **options)
        yield Row(f"{name}_bn", "batch_norm", torchvision=f"{name}_bn")

    padded = {"padding": 1}
    yield from conv("stem", 4, "input", kernel=(3, 3), attributes=padded)
    yield Row("stem_relu", "relu")
    yield from conv("deep", 4, "stem_relu", kernel=(3, 3), attributes=padded | {"groups": 4})
    yield from conv("flat", 4, "stem_relu", kernel=(1, 1))
    yield Row("sum", "add", ("deep_bn", "flat_bn"))
    yield Row("both", "concatenate", ("sum", "stem_relu"))
    yield Row("pool", "adaptive_average_pool", attributes={"size": 2})
    yield Row("flatten", "flatten")
    yield Row("scores", "linear", units=10, torchvision="scores")


@pytest.fixture
def residual(monkeypatch):
    monkeypatch.setattr(architecture, "_registry", dict(architecture._registry))
    found = Architecture("residual", "Residual network", residual_rows, eps=1e-3)
    architecture.register(found)
    return found


def test_a_registered_architecture_with_branches_is_recognised(residual):
    state_dict = residual.random_tensors(classes=6, seed=1)
    assert state_dict["deep.weight"].shape == (4, 1, 3, 3) and "deep.bias" not in state_dict
    assert state_dict["scores.weight"].shape == (6, 8 * 4)
    found = identify(Weights(prefixed("model.", state_dict)))
    assert (found.architecture, found.classes, found.eps) == ("residual", 6, 1e-3)
    network = gradcam.load(state_dict)
    x = np.random.default_rng(2).standard_normal((1, 3, 8, 8)).astype(np.float32)
    tape = network.forward(x, keep=["stem_relu", "deep_bn", "flat_bn", "both"])
    both = np.concatenate(
        [tape.activation("deep_bn") + tape.activation("flat_bn"), tape.activation("stem_relu")], 1
    )
    np.testing.assert_allclose(tape.activation("both"), both, rtol=1e-5, atol=1e-6)
    with pytest.raises(WeightsError, match=r"weights of a residual: use gradcam\.residual,"):
        gradcam.vgg16(state_dict)


def test_shapes_of_branches_are_checked(residual):
    state_dict = residual.random_tensors()
    check_error(
        with_shape(state_dict, "deep.weight", (4, 4, 3, 3)), "(4, 4, 3, 3), expected (any, 1, 3, 3)"
    )
    check_error(
        with_shape(state_dict, "flat.weight", (4, 4, 3, 3)), "(4, 4, 3, 3), expected (any, 4, 1, 1)"
    )
    check_error(with_shape(state_dict, "scores.weight", (10, 17)), "(10, 17), expected (any, 32)")
    check_error(
        without(state_dict, "flat.w"), "the closest network is Residual network", "flat.weight"
    )


def test_the_registry(residual):
    assert architecture.find("residual") is residual is architecture.registered()[-1]
    with pytest.raises(ValueError, match="two architectures are called 'residual'"):
        architecture.register(residual)
    with pytest.raises(ValueError, match=r"unknown architecture 'vgg17'; expected .*vgg11, "):
        architecture.find("vgg17")


# --- Keras ---


def swapped(state_dict):
    """conv5_2 was created after conv5_3, and the second dense layer before the first."""
    names = {"conv2d_11": "conv2d_12", "conv2d_12": "conv2d_11", "dense": "dense_1"}
    names["dense_1"] = "dense"
    parts = [(name.split("/"), values) for name, values in keras_default_names(state_dict).items()]
    return {f"{names.get(layer, layer)}/{kind}": values for (layer, kind), values in parts}


def test_the_order_of_the_file_overrides_numbers():
    state_dict = tensors()
    converted = identify(Weights(swapped(state_dict), ordered=True)).tensors()
    for key, values in state_dict.items():
        np.testing.assert_array_equal(converted[key], values, key)
    with pytest.raises(WeightsError, match="has shape"):  # by number, dense is the first
        identify(Weights(swapped(state_dict)))


def test_layers_of_an_h5_file_are_in_the_order_of_the_file(tmp_path):
    state_dict = tensors()
    with peer("h5py").File(tmp_path / "w.h5", "w") as file:
        content = swapped(state_dict)
        layer_names = list(dict.fromkeys(name.split("/")[0] for name in content))
        file.attrs["layer_names"] = [name.encode() for name in layer_names]
        for layer in layer_names:
            weight_names = [f"{layer}/kernel:0".encode(), f"{layer}/bias:0".encode()]
            file.create_group(layer).attrs["weight_names"] = weight_names
            for kind in ("kernel", "bias"):
                file[layer].create_dataset(f"{layer}/{kind}:0", data=content[f"{layer}/{kind}"])
    x = np.random.default_rng(2).standard_normal((1, 3, 32, 32)).astype(np.float32)
    expected = gradcam.vgg16(state_dict).forward(x).scores
    found = gradcam.load(tmp_path / "w.h5").forward(x).scores
    np.testing.assert_array_equal(found, expected)


def normalised(state_dict, biases):
    found = {}
    for name, values in keras_default_names(state_dict).items():
        if biases or not name.startswith("conv") or name.endswith("kernel"):
            found[name] = values
        if name.startswith("conv") and name.endswith("kernel"):
            layer = name.split("/")[0].replace("conv2d", "batch_normalization")
            for kind in ("gamma", "beta", "moving_mean", "moving_variance"):
                found[f"{layer}/{kind}"] = np.ones(values.shape[-1], np.float32)
    return found


@pytest.mark.parametrize("biases", [True, False])
def test_batch_normalisation_of_keras_is_refused(biases):
    check_error(
        normalised(tensors(), biases), "whether it comes before or after the ReLU", "model.save("
    )
    incomplete = without(normalised(tensors(), biases), "conv2d_3", "batch_normalization_3")
    words = "an unknown network: 12 convolutions and 3 fully connected layers"
    assert "model.save(" not in check_error(incomplete, words)
