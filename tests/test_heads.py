"""Networks that differ from a published one in their head, their numbers or their names."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import vggs
from click.testing import CliRunner
from PIL import Image

import gradcam
from gradcam._cli import main
from gradcam._models import adapted
from gradcam._models.checkpoints import identify
from gradcam._models.heads import room
from gradcam._models.places import network_tensors
from gradcam.weights import Weights, WeightsError

RNG = np.random.default_rng(3)
X = RNG.standard_normal((2, 3, 32, 64)).astype(np.float32)
WIDTH = 8
"""Channels of the last map of the VGGs here."""


def linear(inputs, outputs, bias=True):
    found = {"weight": RNG.standard_normal((outputs, inputs)).astype(np.float32) / inputs**0.5}
    return found | ({"bias": RNG.standard_normal(outputs).astype(np.float32)} if bias else {})


def norm(width):
    return {
        "weight": RNG.uniform(0.5, 1.5, width).astype(np.float32),
        "bias": RNG.standard_normal(width).astype(np.float32),
        "running_mean": RNG.standard_normal(width).astype(np.float32),
        "running_var": RNG.uniform(0.5, 1.5, width).astype(np.float32),
        "num_batches_tracked": np.array(3),
    }


def convolutions(name="vgg11"):
    tensors = vggs.tensors(name, divide=64)
    return {key: values for key, values in tensors.items() if key.startswith("features")}


def named(layers):
    """Return the tensors of layers by their names in a file."""
    return {f"{name}.{key}": v for name, values in layers.items() for key, v in values.items()}


def apply(vectors, layers, relus):
    """Compute a head in float64; ReLUs follow the layers in `relus`."""
    for name, values in layers.items():
        values = {key: np.asarray(v, np.float64) for key, v in values.items()}
        if "running_var" in values:
            scale = values["weight"] / np.sqrt(values["running_var"] + 1e-5)
            vectors = (vectors - values["running_mean"]) * scale + values["bias"]
        else:
            vectors = vectors @ values["weight"].T + values.get("bias", 0)
        if name in relus:
            vectors = np.maximum(vectors, 0)
    return vectors


def last_map(trunk, name="vgg11"):
    """Return the last map of a VGG, by the published network."""
    tensors = {**vggs.tensors(name, divide=64, hidden=(2, 2), classes=2), **trunk}
    return getattr(gradcam, name)(tensors).forward(X, keep="pool5").activation("pool5")


def averaged(maps, side):
    """Average (N, C, h, w) maps to side x side, as PyTorch does."""

    def edges(length):
        return [(i * length // side, -(-(i + 1) * length // side)) for i in range(side)]

    rows, columns = edges(maps.shape[2]), edges(maps.shape[3])
    found = [[maps[:, :, a:b, c:d].mean((2, 3), np.float64) for c, d in columns] for a, b in rows]
    return np.array(found).transpose(2, 3, 0, 1).reshape(len(maps), -1)


W = WIDTH * 49
HEADS = {
    "two": ({"classifier.0": linear(W, 6), "classifier.3": linear(6, 4)}, ["classifier.0"]),
    "directly": ({"classifier.0": linear(W, 6), "classifier.1": linear(6, 4)}, []),
    "nested": (
        {
            "classifier.0": linear(W, 6),
            "classifier.3": linear(6, 5),
            "classifier.6.0": linear(5, 7),
            "classifier.6.3": linear(7, 4),
        },
        ["classifier.0", "classifier.3", "classifier.6.0"],
    ),
    "blocks": (
        {"head.0.0": linear(W, 6), "head.1.0": linear(6, 5), "head.2": linear(5, 4)},
        ["head.0.0", "head.1.0"],
    ),
    "named": ({"fc1": linear(W, 6), "fc2": linear(6, 4, bias=False)}, ["fc1"]),
    "normalised": (
        {
            "fc.0": norm(W),
            "fc.2": linear(W, 6, bias=False),
            "fc.3": norm(6),
            "fc.6": linear(6, 5),
            "fc.8": norm(5),
            "fc.10": linear(5, 4),
        },
        ["fc.3", "fc.6"],
    ),
    "one by one": ({"classifier": linear(WIDTH, 4)}, []),
    "three by three": ({"classifier.1": linear(WIDTH * 9, 4)}, []),
}


@pytest.mark.parametrize("case", HEADS)
@pytest.mark.parametrize("prefix", ["", "model.", "state_dict.backbone."])
def test_heads(case, prefix):
    layers, relus = HEADS[case]
    trunk = convolutions()
    content = {prefix + key: values for key, values in trunk.items()}
    content |= {prefix.replace("backbone.", "") + key: v for key, v in named(layers).items()}
    with pytest.warns(gradcam.WeightsWarning, match="leaves nothing to assume"):
        network = gradcam.load(content)
    maps = last_map(trunk)
    first = next(iter(layers.values()))
    width = first["weight"].shape[-1]
    expected = apply(averaged(maps, round((width / WIDTH) ** 0.5)), layers, relus)
    found = network.forward(X)
    np.testing.assert_allclose(found.scores, expected, rtol=1e-4, atol=1e-4)
    assert network.name == "vgg11" and network.target_layer == "relu5_2"
    assert network.names(list(layers)[-1]) and network.about
    sentences = {"two": "what follows the linear layer classifier.0: a ReLU is assumed",
                 "directly": "no module between the linear layer classifier.0 and the next",
                 "three by three": "takes a map of 3 x 3"}  # fmt: skip
    assert sentences.get(case, "") in network.about


def test_assumptions_go_with_the_network(tmp_path):
    layers, _ = HEADS["two"]
    old, new, saved = (str(tmp_path / f"{name}.safetensors") for name in ("old", "new", "saved"))
    gradcam.weights.save({**convolutions(), **named(layers)}, old)
    with pytest.warns(gradcam.WeightsWarning, match="a ReLU is assumed"):
        gradcam.weights.convert(old, new)
    with pytest.warns(gradcam.WeightsWarning, match="a ReLU is assumed"):
        network = gradcam.load(new)
    gradcam.weights.save(network, saved)
    with pytest.warns(gradcam.WeightsWarning, match="a ReLU is assumed"):
        assert gradcam.load(saved).about == network.about
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    options = ("--weights", old, "--preset", "torchvision", "--size", "32")
    found = CliRunner().invoke(main, ["predict", str(tmp_path / "a.png"), *options]).stderr
    assert found.startswith("Warning: ") and found.count("a ReLU is assumed") == 1, found


CERTAIN = {
    "a sequence of one": {"classifier.1": linear(W, 4)},
    "the last of a sequence": {
        "classifier.0": linear(W, 6),
        "classifier.3": linear(6, 5),
        "classifier.6.1": linear(5, 4),
    },
    "another name": {"head.fc": linear(W, 4)},
}


@pytest.mark.parametrize("case", CERTAIN)
def test_heads_that_leave_nothing_open(case):
    layers = CERTAIN[case]
    trunk = convolutions()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = gradcam.load(trunk | named(layers))
        scores = network.forward(X, input="normalised").scores
    expected = apply(averaged(last_map(trunk), 7), layers, list(layers)[:-1])
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)
    assert network.about == ""


@pytest.mark.parametrize(
    "layers",
    [
        {"fc.0": linear(W, 6), "fc.2": linear(5, 4)},
        {"fc.0": linear(W, 6), "fc.1": norm(6)},
        {"fc.0": linear(WIDTH * 6, 4)},
        {"fc.0": linear(W, 6), "fc.1": {"weight_g": np.ones(6), "weight_v": np.ones((6, 6))}},
        {"fc.0": {"weight": np.ones((4, W, 3), np.float32)}},
    ],
    ids=["widths", "no last layer", "no grid", "weight norm", "three axes"],
)
def test_heads_that_are_refused(layers):
    with pytest.raises(WeightsError, match=r"closest network is VGG-11, but.*unexpected fc"):
        gradcam.load(convolutions() | named(layers))


@pytest.mark.parametrize("name", ["prob", "relu", "flatten", "avgpool", "input", "fc.0.relu"])
def test_heads_with_the_names_of_other_layers(name, resnet):
    content = {key: values for key, values in resnet.items() if not key.startswith("fc")}
    renamed = {f"{name}.{key}": resnet[f"fc.{key}"] for key in ("weight", "bias")}
    network = gradcam.load(content | renamed)
    expected = gradcam.resnet18(resnet).forward(X).scores
    np.testing.assert_array_equal(network.forward(X).scores, expected)
    width = resnet["fc.weight"].shape[1]
    hidden = named({"fc.0": linear(width, width)})
    with pytest.warns(gradcam.WeightsWarning, match="a ReLU is assumed"):
        assert len(gradcam.load(content | hidden | renamed).labels) == 3


def test_a_gap_after_the_first_batch_normalisation_is_mentioned():
    content = {**convolutions(), **named({"classifier.0": norm(WIDTH)})}
    said = r"what follows the batch normalisation classifier\.0: dropout.* no activation"
    with pytest.warns(gradcam.WeightsWarning, match=said):
        gradcam.load({**content, **named({"classifier.2": linear(WIDTH, 4)})})
    with pytest.warns(gradcam.WeightsWarning, match="a map of 1 x 1"):
        network = gradcam.load(content | named({"classifier.1": linear(WIDTH, 4)}))
    assert "normalisation" not in network.about


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("a.0", "a.1", False),
        ("a.0", "a.2", True),
        ("0", "3", True),
        ("a.5", "a.6.0", False),
        ("a.5", "a.6.1", True),
        ("a.6.0", "a.7", None),
        ("fc1", "fc2", None),
        ("a.0", "b.1", None),
        ("a.x", "a.1", None),
    ],
)
def test_room_between_modules(first, second, expected):
    assert room(first, second) is expected


def test_activations_of_mobilenet_v3_with_a_head_of_its_own():
    """Its published head has a hard swish; a head of other widths is not the published one."""
    tensors = gradcam.mobilenet_v3_small.random_tensors(classes=3)
    published = gradcam.load(tensors)
    assert published.about == "" and published.layers["classifier.1"].op == "hard_swish"
    tensors["classifier.0.weight"] = linear(576, 16)["weight"]
    tensors["classifier.0.bias"] = np.zeros(16, np.float32)
    tensors["classifier.3.weight"] = linear(16, 3)["weight"]
    with pytest.warns(gradcam.WeightsWarning, match="a ReLU is assumed"):
        network = gradcam.load(tensors)
    assert network.layers["classifier.0.relu"].op == "relu"


# --- numbers and names ---

CHILDREN = {"conv1": "0", "bn1": "1", **{f"layer{n}": str(n + 3) for n in range(1, 5)}, "fc": "10"}


def numbered(tensors, prefix=""):
    """Return a ResNet's tensors as those of ``nn.Sequential(*model.children())``."""
    found = {}
    for key, values in tensors.items():
        first, _, rest = key.partition(".")
        found[f"{prefix}{CHILDREN[first]}.{rest}"] = values
    return found


@pytest.fixture(scope="module")
def resnet():
    tensors = gradcam.resnet18.random_tensors(width=4, classes=3)
    for key, values in tensors.items():
        if values.ndim == 1:
            tensors[key] = RNG.uniform(0.5, 1.5, values.shape).astype(np.float32)
    return tensors


def test_a_network_that_was_taken_apart(resnet):
    expected = gradcam.resnet18(resnet).forward(X).scores
    assert identify(Weights(numbered(resnet))).layout == "torchvision's modules by their numbers"
    trunk = {key: values for key, values in resnet.items() if not key.startswith("fc")}
    parted = numbered(trunk, "features.") | {"fc.weight": resnet["fc.weight"]}
    parted["fc.bias"] = resnet["fc.bias"]
    for content in (numbered(resnet), parted):
        np.testing.assert_allclose(gradcam.load(content).forward(X).scores, expected, rtol=1e-5)


def test_a_learner_of_fastai(resnet):
    trunk = {key: values for key, values in resnet.items() if not key.startswith("fc")}
    layers = {
        "1.2": norm(64),
        "1.4": linear(64, 6, bias=False),
        "1.6": norm(6),
        "1.8": linear(6, 3, bias=False),
    }
    content = {"model": numbered(trunk, "0.") | named(layers), "opt": {"hypers": np.ones(3)}}
    with pytest.warns(gradcam.WeightsWarning, match="as in fastai"):
        network = gradcam.load(content)
    maps = gradcam.resnet18(resnet).forward(X).activation("layer4")
    vectors = np.concatenate([maps.max((2, 3)), maps.mean((2, 3))], 1)
    expected = apply(vectors, layers, ["1.4"])
    np.testing.assert_allclose(network.forward(X).scores, expected, rtol=1e-4, atol=1e-4)
    assert network.target_layer == "layer4"


def test_the_target_of_a_vgg_with_the_head_of_fastai_is_no_pooling():
    content = {**convolutions(), **named({"classifier": linear(2 * WIDTH, 3)})}
    with pytest.warns(gradcam.WeightsWarning, match="as in fastai"):
        assert gradcam.load(content).target_layer == "relu5_2"


def test_long_names_of_numbers_are_compared_once(monkeypatch):
    """Not with each published network."""
    searched = []
    monkeypatch.setattr(adapted, "find_network", lambda *given: searched.append(given))
    kernel = np.zeros((1, 1, 1, 1), np.float32)
    names = [f"{'0.' * i}0.weight" for i in range(200)]
    assert adapted.taken_apart(network_tensors(dict.fromkeys(names, kernel)), None) is None
    many = {f"{i}.weight": kernel for i in range(adapted._MAX_NUMBERED + 1)}
    assert adapted.taken_apart(network_tensors(many), None) is None
    assert not searched


def test_a_taken_apart_network_beside_its_average(resnet):
    expected = gradcam.resnet18(resnet).forward(X).scores
    for prefix in ("", "net."):
        average = numbered({key: 2 * v for key, v in resnet.items()}, "model_ema.")
        network = gradcam.load({**average, **numbered(resnet, prefix)})
        np.testing.assert_allclose(network.forward(X).scores, expected, rtol=1e-5)
        assert "running average of the weights (model_ema.)" in network.about


def in_order(name, style):
    """Return a VGG's tensors with other names, and its published ones."""
    tensors = vggs.tensors(name, divide=64, hidden=(6, 5), classes=4)
    found, number, head = {}, 0, iter(["fc.1", "fc1.1", "fc2.0"])
    names: dict[str, str] = {}
    for key, values in tensors.items():
        module, _, parameter = key.rpartition(".")
        if module not in names:
            if module.startswith("classifier"):
                names[module] = next(head)
            else:
                number += values.ndim == 4
                names[module] = style(number, values.ndim == 4)
        found[f"{names[module]}.{parameter}"] = values
    return tensors, found


STYLES = {
    "layer1.0": lambda number, conv: f"net.layer{number}.{0 if conv else 1}",
    "conv1": lambda number, conv: f"net.{'conv' if conv else 'bn'}{number}",
    "sorted": lambda number, conv: f"net.{'conv' if conv else 'bn'}_{number:02}",
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", ["vgg11", "vgg13_bn", "vgg19"])
def test_vggs_in_the_order_of_their_layers(name, style):
    published, content = in_order(name, STYLES[style])
    content = {key.replace("fc", "net.fc"): values for key, values in content.items()}
    if style == "sorted":
        content = dict(sorted(content.items()))
    with pytest.warns(gradcam.WeightsWarning, match="does not say where ReLUs and poolings are"):
        network = gradcam.load(content)
    expected = getattr(gradcam, name)(published).forward(X).scores
    np.testing.assert_allclose(network.forward(X).scores, expected, rtol=1e-5, atol=1e-6)
    assert network.name == name and network.target_layer.startswith("relu5_")


def test_vggs_without_biases():
    tensors = {k: v for k, v in vggs.tensors("vgg11_bn", divide=64).items()}
    zeros = {k: np.zeros_like(v) for k, v in tensors.items() if k.endswith("bias")}
    convolved = {key for key in zeros if f"{key[:-4]}running_var" not in tensors
                 and key.startswith("features")}  # fmt: skip
    expected = gradcam.vgg11_bn(tensors | {key: zeros[key] for key in convolved}).forward(X).scores
    content = {key: values for key, values in tensors.items() if key not in convolved}
    with pytest.warns(gradcam.WeightsWarning, match="of VGG-11 with batch normalisation"):
        network = gradcam.load(content)
    np.testing.assert_allclose(network.forward(X).scores, expected, rtol=1e-5)


@pytest.mark.parametrize("change", ["kernel", "width", "order", "one more"])
def test_other_chains_are_refused(change):
    _, content = in_order("vgg11", STYLES["conv1"])
    keys = [key for key in content if key.endswith("weight")]
    if change == "kernel":
        content[keys[2]] = np.ones((*content[keys[2]].shape[:2], 5, 5), np.float32)
    elif change == "width":
        content[keys[0]] = np.ones((3, 3, 3, 3), np.float32)
    elif change == "order":
        content[keys[1]], content[keys[2]] = content[keys[2]], content[keys[1]]
    else:
        content["net.conv9.weight"] = content["net.conv8.weight"]
        content["net.conv9.bias"] = content["net.conv8.bias"]
    with pytest.raises(WeightsError, match=r"unknown network|closest network"):
        gradcam.load(content)


# --- several networks that fit, several networks in a file ---


def test_two_architectures_that_fit():
    """EfficientNet-B1 and B2 differ in their widths and their preset alone."""
    tensors = gradcam.efficientnet_b1.random_tensors(width=8, classes=2)
    words = r"fit EfficientNet-B1 and EfficientNet-B2, .* gradcam\.efficientnet_b2\(FILE\)"
    with pytest.raises(WeightsError, match=words):
        gradcam.load(tensors)
    for make in (gradcam.efficientnet_b1, gradcam.efficientnet_b2):
        assert make(tensors).name == make.name


INSIDE = [
    *("layer1.0.ema.conv1.weight", "layer2.0.shadow.weight", "layer3.0.average.weight"),
    *("layer2.0.amp.weight", "layer1.0.queue.weight", "layer4.0.opt.weight", "neck.loss.weight"),
]


@pytest.mark.parametrize("name", INSIDE)
def test_modules_of_the_network_are_not_dropped_for_their_names(name, resnet):
    """Attention is called EMA, too; only what lies beside the network is left out."""
    for prefix in ("", "state_dict.model."):
        content = {prefix + key: values for key, values in resnet.items()}
        content[prefix + name] = np.ones((4, 4, 1, 1), np.float32)
        with pytest.raises(WeightsError, match=f"unexpected {prefix}{name}"):
            gradcam.load(content)
    chain = {f"c{key}": values for key, values in in_order("vgg11", STYLES["conv1"])[1].items()}
    with pytest.raises(WeightsError, match=r"unknown network|closest network"):
        gradcam.load({**chain, name: np.ones((4, 4, 1, 1), np.float32)})


def test_running_averages_are_mentioned(resnet):
    doubled = {key: 2 * values for key, values in resnet.items()}
    expected = gradcam.resnet18(resnet).forward(X).scores
    pairs = [
        ({"model": resnet, "model_ema": {f"module.{k}": v for k, v in doubled.items()}}, True),
        ({"state_dict": resnet, "state_dict_ema": doubled}, True),
        ({"encoder_q": resnet, "encoder_k": doubled, "queue": np.ones((3, 4))}, True),
        ({"shadow": resnet, "n_averaged": np.ones(1)}, False),
    ]
    for content, mentioned in pairs:
        network = gradcam.load(content)
        np.testing.assert_array_equal(network.forward(X).scores, expected)
        assert ("also holds a running average" in network.about) == mentioned


def test_tensors_inside_an_object_are_named():
    content = Weights({"a.weight": np.ones((3, 3))}, objects={"model": "my.Net"})
    with pytest.raises(WeightsError, match=r"in model, a whole pickled object .* my\.Net, .*save"):
        gradcam.load(content)


# --- pictures in grey ---


def test_networks_of_one_channel_take_grey_pictures():
    tensors = vggs.tensors("vgg11", divide=64, hidden=(4, 4), classes=3)
    tensors["features.0.weight"] = tensors["features.0.weight"][:, :1]
    picture = RNG.integers(0, 256, (40, 56, 3)).astype(np.uint8)
    network = gradcam.load(tensors)
    with pytest.raises(ValueError, match=r"takes grey pictures, of one channel.*preset='0\.\.1'"):
        network.forward(picture)
    with pytest.raises(ValueError, match="takes grey pictures"):
        gradcam.load(tensors, preset="torchvision").forward(picture)
    preset = gradcam.Preset("mine", mean=(0.4,) * 3, std=(0.2,) * 3)
    tape = gradcam.load(tensors, preset=preset).forward(picture, size="original")
    weights = np.array([19595, 38470, 7471])
    luma = (picture.astype(int) @ weights + 0x8000) >> 16
    expected = (luma / np.float32(255) - np.float32(0.4)) / np.float32(0.2)
    np.testing.assert_allclose(tape.input[0, 0], expected, atol=1e-6)
    assert tape.grad_cam().map.shape == (40, 56) and (tape.picture == picture).all()
    shades = np.repeat(luma.astype(np.uint8)[..., None], 3, axis=2)
    again = gradcam.load(tensors, preset=preset).forward(shades, size="original")
    np.testing.assert_array_equal(again.input, tape.input)
