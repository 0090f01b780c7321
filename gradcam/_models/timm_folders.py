"""Folders that timm wrote: config.json names the network, which is looked up in a table.

timm's ``tf_`` networks have TensorFlow's padding "same", which depends on the size of a map. It is
computed for the size of the input that config.json says, and the network takes only that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.layers import HEADS, INPUT, Layer, pair
from gradcam._importers.builder import Builder, same_padding
from gradcam._importers.huggingface.modules import Modules
from gradcam._importers.huggingface.settings import Settings
from gradcam._importers.imported import Choices, Imported
from gradcam._importers.timm import families
from gradcam._importers.values import Value
from gradcam._labels.classes import Labels
from gradcam._models import architecture as architectures
from gradcam._models import checkpoints
from gradcam._models.architecture import Architecture
from gradcam._pictures.presets import MAX_SIZE, Preset
from gradcam._text import brief, printable
from gradcam._weights.folder import CONFIG
from gradcam._weights.graph import ModelFolder
from gradcam._weights.tensors import Weights, WeightsError, listed


class _Network(NamedTuple):
    """A network of timm.

    Attributes
    ----------
    architecture : str
        The function of :mod:`gradcam` that makes it.
    eps : float or None
        Of its batch normalisations; None: that of the architecture.
    padding : "table", "half" or "same"
        Of its convolutions: as in the architecture's table, half of the kernel, or TensorFlow's.
    largest : int or None
        The largest side of an input for which it computes what the architecture does.
    """

    architecture: str
    eps: float | None = None
    padding: Literal["table", "half", "same"] = "table"
    largest: int | None = None


_SAME_NAME = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"),
    *("wide_resnet50_2", "wide_resnet101_2"),
    *("densenet121", "densenet161", "densenet169", "densenet201"),
    "inception_v3",
)

_VGG = ("vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn")
"""Their first fully connected layer is a convolution in timm, which has several positions for
inputs of more than 224 pixels."""

_REGNETS = (
    *("x_002", "x_004", "x_004_tv", "x_006", "x_008", "x_016", "x_032", "x_040", "x_064"),
    *("x_080", "x_120", "x_160", "x_320", "y_002", "y_004", "y_006", "y_008", "y_008_tv"),
    *("y_016", "y_032", "y_040", "y_064", "y_080", "y_080_tv", "y_120", "y_160", "y_320"),
    *("y_640", "y_1280", "y_2560"),
)
_CONVNEXTS = ("atto", "femto", "pico", "nano", "tiny", "small", "base", "large", "xlarge")

_FAMILIES: dict[str, tuple[str, Callable[[Modules, Value, float], Value], float]] = {
    **{f"convnext_{size}": ("stem.0.weight", families.convnext, 1e-6) for size in _CONVNEXTS},
    "convnext_xxlarge": ("stem.0.weight", families.convnext, 1e-5),
    **{f"regnet{kind}": ("stem.conv.weight", families.regnet, 1e-5) for kind in _REGNETS},
}
"""Networks of families of every size: the first weight, what adds the layers, and the epsilon."""

_NETWORKS: dict[str, _Network] = {
    **{name: _Network(name) for name in _SAME_NAME},
    **{name: _Network(name, largest=224) for name in _VGG},
    "mobilenetv2_100": _Network("mobilenet_v2"),
    **{f"efficientnet_b{i}": _Network(f"efficientnet_b{i}") for i in range(5)},
    **{f"tf_efficientnet_b{i}": _Network(f"efficientnet_b{i}", 1e-3, "same") for i in range(5)},
    "efficientnet_lite0": _Network("efficientnet_lite0", 1e-5, "half"),
    **{
        f"tf_efficientnet_lite{i}": _Network(f"efficientnet_lite{i}", 1e-3, "same")
        for i in range(5)
    },
    **{
        f"mobilenetv3_{size}_100": _Network(f"mobilenet_v3_{size}", 1e-5)
        for size in ("small", "large")
    },
    **{
        f"tf_mobilenetv3_{size}_100": _Network(f"mobilenet_v3_{size}", 1e-3, "same")
        for size in ("small", "large")
    },
}
"""timm's networks that are those of :mod:`gradcam`, by timm's names without the weights' tag."""

_ARGUMENTS = ("num_classes", "in_chans", "pretrained", "drop_rate", "drop_path_rate", "img_size")
"""Arguments of timm's ``create_model`` that leave the layers as they are, or are seen in the
tensors."""

_SYNSET = re.compile(r"n\d{8}")

_PREFIX = "timm_model."
"""What precedes the names of tensors if transformers saved the network."""


def imported(weights: Weights, choices: Choices) -> Imported:
    """Return the network of a folder.

    Raises
    ------
    WeightsError
        If the network or an argument it was made with is not known, the tensors are not those of
        the network, or there are not as many labels as classes.
    """
    folder = weights.graph
    assert isinstance(folder, ModelFolder)
    settings = Settings(folder.config, CONFIG)
    name = _name(settings)
    data = Settings(_object(settings, "pretrained_cfg"), f"{CONFIG}: pretrained_cfg")
    tensors = _tensors(weights)
    usual = _size(data)
    size = choices.size or usual
    if name in _FAMILIES:
        found = _built(tensors, name, size)
    else:
        found = _from_table(tensors, name, _NETWORKS[name], size)
    _check(settings, data, found)
    preset, reason = _preset(data, found.channels, usual)
    return replace(
        found,
        size=size if found.fixed or preset is None else choices.size,
        preset=preset,
        labels=_labels(settings),
        external=folder.external,
        notes=(f"Pictures need preset=, because {reason}.",) if reason else (),
    )


def _tensors(weights: Weights) -> dict[str, NDArray[Any]]:
    """Return the tensors by timm's names."""
    tensors: dict[str, NDArray[Any]] = {}
    for key, values in weights.tensors.items():
        name = key.removeprefix(_PREFIX)
        if name in tensors:
            raise WeightsError(f"two tensors are called {printable(name):.200}, with and without "
                               f"{_PREFIX} before it")  # fmt: skip
        tensors[name] = values
    return tensors


def _check(settings: Settings, data: Settings, found: Imported) -> None:
    """Raise WeightsError if the tensors contradict the classes or the channels of the file."""
    classes = settings.whole("num_classes", found.classes, low=0)
    if classes != found.classes:
        raise WeightsError(
            f"{CONFIG}: num_classes is {classes}, but the tensors end in {found.classes} scores"
        )
    channels = data.wholes("input_size", (3,))[0]
    if channels not in (3, found.channels):  # timm leaves 3 for a network with other channels
        raise WeightsError(
            f"{CONFIG}: input_size has {_channels(channels)}, but the tensors take "
            f"{_channels(found.channels)}"
        )


def _channels(count: int) -> str:
    return f"{count} channel{'s' * (count != 1)}"


def _from_table(
    tensors: Mapping[str, NDArray[Any]], name: str, network: _Network, size: tuple[int, int]
) -> Imported:
    """Return a network that is one of :mod:`gradcam`."""
    architecture = architectures.find(network.architecture)
    eps = architecture.eps_of.get("timm", architecture.eps) if network.eps is None else network.eps
    checkpoint = checkpoints.identify(Weights(tensors, {"eps": str(eps)}), None, architecture)
    if checkpoint.network is not architecture:
        changed = "" if checkpoint.architecture != architecture.name else ", with other layers"
        raise WeightsError(
            f"{CONFIG}: architecture is {name!r}, but the tensors are those of "
            f"{checkpoint.architecture}{changed}"
        )
    if network.largest is not None and max(size) > network.largest:
        raise WeightsError(
            f"{CONFIG}: {name} is known here for inputs up to {network.largest} pixels, and this "
            f"one takes {size[0]} x {size[1]}: {_OTHERWISE}"
        )
    layers = _named(architecture, checkpoint.tensors(), eps)
    if network.padding != "table":
        layers = _padded(layers, size, network.padding)
    if checkpoint.classes == 1 and layers[-1].op in HEADS:
        layers[-1] = replace(layers[-1], op="sigmoid")
    return Imported(
        layers=tuple(layers),
        channels=checkpoint.channels,
        classes=checkpoint.classes,
        size=size,
        fixed=network.padding == "same" or network.largest is not None,
        target_layer=architecture.target_layer,
        name=name,
        title=f"{architecture.title}, a folder of timm",
        architecture=architecture.name if network.padding == "table" else "",
        ignored=checkpoint.ignored,
    )


def _built(tensors: Mapping[str, NDArray[Any]], name: str, size: tuple[int, int]) -> Imported:
    """Return a network of a family whose sizes are seen in the tensors."""
    stem, features, eps = _FAMILIES[name]
    modules = Modules(Builder(1, 1, 1), tensors, "")
    _, channels, _, _ = modules.shape(stem, 4)
    modules = Modules(Builder(channels, *size), tensors, "")
    value = features(modules, modules.builder.input, eps)
    classes = modules.shape(f"{families.CLASSIFIER}.weight", 2)[0]
    value = modules.linear(value, families.CLASSIFIER, classes)
    unused = modules.unused()
    if unused:
        raise WeightsError(f"{CONFIG}: {name} has no layers with the tensors {listed(unused)}")
    return modules.builder.finish(value, size=size, name=name, title=f"{name}, a folder of timm")


_OTHERWISE = (
    "gradcam.from_torch(timm.create_model(...), example) or an export to ONNX makes any network "
    "whose operations are known"
)


def _name(settings: Settings) -> str:
    """Return the name of the network, without the tag of its weights."""
    name = settings.text("architecture", "").partition(".")[0]
    if name not in _NETWORKS and name not in _FAMILIES:
        raise WeightsError(
            f"{CONFIG}: architecture is {brief(name)}, which is not among the networks of timm "
            f"that are known here: {_OTHERWISE}"
        )
    known = {*_ARGUMENTS, "global_pool"}
    arguments = Settings(_object(settings, "model_args"), f"{CONFIG}: model_args")
    if any(each.get("global_pool", "avg") != "avg" for each in (settings, arguments)):
        raise WeightsError(f"{CONFIG}: global_pool is not 'avg': {_OTHERWISE}")
    others = [k for k, value in arguments.values.items() if k not in known and value is not None]
    if others:
        raise WeightsError(
            f"{CONFIG}: the network was made with {listed(others)}, which is not known here: "
            f"{_OTHERWISE}"
        )
    return name


def _object(settings: Settings, key: str) -> Mapping[str, object]:
    value = settings.get(key, {})
    if not isinstance(value, dict):
        raise settings.wrong(key, "an object")
    return cast("Mapping[str, object]", value)


def _named(
    architecture: Architecture, tensors: Mapping[str, NDArray[Any]], eps: float
) -> list[Layer]:
    """Return the layers, also with the names that timm has for them."""
    layers = architecture.layers(tensors, eps)
    used = {name for layer in layers for name in (layer.name, *layer.aliases)}
    result = []
    for row, layer in zip(architecture.rows, layers, strict=True):
        name = row.stored.get("timm", "")
        if name and name not in used:
            layer = replace(layer, aliases=(*layer.aliases, name))
        result.append(layer)
    return result


def _padded(
    layers: Sequence[Layer], size: tuple[int, int], padding: Literal["half", "same"]
) -> list[Layer]:
    """Return the layers with the other padding of their convolutions, for inputs of this size."""
    extents, before = {INPUT: size}, INPUT
    result: list[Layer] = []
    for layer in layers:
        extent = extents[layer.inputs[0] if layer.inputs else before]
        if layer.op == "conv":
            kernel = np.shape(layer.weights["weight"])[2:]
            stride = pair(layer.attributes.get("stride", 1))
            if padding == "same":
                zeros, _ = same_padding(extent, kernel, stride, (1, 1))
            else:
                zeros = (kernel[0] // 2, kernel[1] // 2) * 2
            layer = replace(layer, attributes={**layer.attributes, "padding": zeros})
            rows, columns = (-(-n // step) for n, step in zip(extent, stride, strict=True))
            extent = (rows, columns)
        elif layer.op == "global_average_pool":
            extent = (1, 1)
        extents[layer.name] = extent
        before = layer.name
        result.append(layer)
    return result


# ------------------------------------------------------------------------ input and labels

_FILTERS: dict[str, Literal["bilinear", "bicubic", "nearest"]] = {
    "bilinear": "bilinear",
    "bicubic": "bicubic",
    "nearest": "nearest",
}
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _size(data: Settings) -> tuple[int, int]:
    """Return height and width of the input."""
    sizes = data.wholes("input_size", (3, 224, 224))
    if len(sizes) != 3 or max(sizes[1:]) > MAX_SIZE:
        raise data.wrong("input_size", f"channels, height and width, up to {MAX_SIZE} pixels")
    return sizes[1], sizes[2]


def _preset(data: Settings, channels: int, size: tuple[int, int]) -> tuple[Preset | None, str]:
    """Return the preset, or why there is none."""
    mean, std = data.reals("mean", _MEAN), data.reals("std", _STD)
    share = data.real("crop_pct", 0.875, 1e-3, 1e3)
    mode, interpolation = data.text("crop_mode", "center"), data.text("interpolation", "bicubic")
    if not data.values:
        return None, f"{CONFIG} has no pretrained_cfg, which says how pictures become input"
    if channels != 3:
        return None, f"its input has {_channels(channels)}"
    if len(mean) != 3 or len(std) != 3:
        return None, f"mean has {len(mean)} and std {len(std)} numbers, not three each"
    if size[0] != size[1]:
        return None, f"input_size is {size[0]} x {size[1]}, not a square"
    if interpolation not in _FILTERS:
        return None, f"the interpolation {interpolation[:40]!r} is not known here"
    side = math.floor(size[0] / share)
    if mode == "squash" and side == size[0]:
        shorter_side = None
    elif mode == "center" and side >= size[0]:
        shorter_side = side
    else:
        return None, f"crop_mode is {mode[:40]!r} with a crop_pct of {share:g}"
    try:
        return Preset(
            "timm",
            mean=mean,
            std=std,
            size=size[0],
            shorter_side=shorter_side,
            interpolation=_FILTERS[interpolation],
        ), ""
    except ValueError as error:
        raise WeightsError(f"{CONFIG}: {error}") from None


def _labels(settings: Settings) -> Labels | None:
    """Return the classes: WordNet's synsets, or names, with their descriptions."""
    names = settings.get("label_names")
    described = _object(settings, "label_descriptions")
    if names is None:
        return None
    if isinstance(names, dict):
        numbers = {int(key): name for key, name in names.items() if re.fullmatch(r"\d{1,9}", key)}
        if sorted(numbers) != list(range(len(names))):
            raise settings.wrong("label_names", f"the numbers 0 to {len(names) - 1} as keys")
        names = [numbers[i] for i in range(len(numbers))]
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise settings.wrong("label_names", "a list of strings, one for each class")
    texts = [described.get(name, name) for name in names]
    if not all(isinstance(text, str) for text in texts):
        raise settings.wrong("label_descriptions", "an object of strings")
    synsets = [name if _SYNSET.fullmatch(name) else "" for name in names]
    return Labels(cast("list[str]", texts), synsets)
