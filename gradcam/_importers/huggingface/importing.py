"""Import a folder of transformers: one table says which families are known."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from gradcam._importers.builder import Builder
from gradcam._importers.huggingface import convnext, efficientnet, mobilenet, regnet, resnet
from gradcam._importers.huggingface.modules import Modules
from gradcam._importers.huggingface.preprocessing import preset_of
from gradcam._importers.huggingface.settings import Settings
from gradcam._importers.imported import Choices, Imported
from gradcam._importers.values import Value
from gradcam._labels.classes import Labels
from gradcam._pictures.presets import MAX_SIZE
from gradcam._text import brief
from gradcam._weights.folder import CONFIG
from gradcam._weights.graph import ModelFolder
from gradcam._weights.tensors import Weights, WeightsError, listed


class _Family(NamedTuple):
    """A family of networks.

    Attributes
    ----------
    title : str
        The class of transformers.
    base : str
        The module that holds all others but the classifier.
    classifier : str
        The linear layer at the end.
    features : function
        Adds all layers up to the features that the classifier reads.
    """

    title: str
    base: str
    classifier: str
    features: Callable[[Modules, Settings, Value], Value]


_FAMILIES = {
    "resnet": _Family("ResNet", "resnet", "classifier.1", resnet.features),
    "regnet": _Family("RegNet", "regnet", "classifier.1", regnet.features),
    "convnext": _Family("ConvNext", "convnext", "classifier", convnext.features),
    "mobilenet_v1": _Family("MobileNetV1", "mobilenet_v1", "classifier", mobilenet.features_v1),
    "mobilenet_v2": _Family("MobileNetV2", "mobilenet_v2", "classifier", mobilenet.features_v2),
    "efficientnet": _Family("EfficientNet", "efficientnet", "classifier", efficientnet.features),
}
"""The families by model_type."""

_ATTENTION = (
    "a transformer, whose attention is not supported: gradcam explains convolutional networks"
)
_REFUSED = {
    **dict.fromkeys(
        (
            *("aimv2", "beit", "clip", "cvt", "data2vec-vision", "deit", "dinat", "dinov2"),
            *("dinov2_with_registers", "dinov3_vit", "donut-swin", "efficientformer", "hiera"),
            *("ijepa", "imagegpt", "levit", "metaclip_2", "mobilevit", "mobilevitv2", "nat"),
            *("perceiver", "pvt", "pvt_v2", "segformer", "siglip", "siglip2", "swiftformer"),
            *("swin", "swinv2", "vit", "vit_hybrid", "vit_mae", "vit_msn"),
        ),
        _ATTENTION,
    ),
    "bit": "BiT, whose group normalisation is not supported",
    "convnextv2": "ConvNeXt V2, whose global response normalisation is not supported",
    "focalnet": "FocalNet, whose focal modulation is not supported",
    "poolformer": "PoolFormer, whose group normalisation is not supported",
}
"""What other values of model_type are, for messages."""

_EXPORT = (
    "gradcam.from_torch(model, example) or its export to ONNX can be tried, if all its operations "
    "are among those of gradcam.Network.from_layers"
)

_NO_MATTER = (
    *("model_type", "architectures", "transformers_version", "dtype", "torch_dtype", "image_size"),
    *("id2label", "label2id", "num_labels", "initializer_range", "problem_type", "_name_or_path"),
    *("out_features", "out_indices", "_out_features", "_out_indices", "stage_names", "is_encoder"),
    *(
        "return_dict",
        "use_return_dict",
        "output_hidden_states",
        "output_attentions",
        "finetuning_task",
    ),
    *("drop_path_rate", "classifier_dropout_prob", "dropout_rate", "drop_connect_rate"),
    *(
        "batch_norm_momentum",
        "num_hidden_layers",
        "semantic_loss_ignore_index",
        "chunk_size_feed_forward",
    ),
    *("use_cache", "tie_word_embeddings", "reshape_last_stage", "apply_layernorm"),
)
"""Settings that change nothing in a network that only classifies."""

_GENERIC = re.compile(r"LABEL_\d+")
"""Labels that transformers makes up for classes without names."""

_HEADS = {"multi_label_classification": "sigmoid", "single_label_classification": "softmax"}


def imported(weights: Weights, choices: Choices) -> Imported:
    """Return the network of a folder.

    Raises
    ------
    WeightsError
        If the family or a setting is not supported, a tensor is missing, unexpected or misshapen,
        or there are not as many labels as classes.
    """
    folder = weights.graph
    assert isinstance(folder, ModelFolder)
    settings = Settings(folder.config, CONFIG)
    family = _family(settings)
    if choices.output is not None:
        raise WeightsError("output= names one of several outputs, and this network has one")
    channels = settings.whole("num_channels", 3)
    preset, reason = preset_of(folder.preprocessor, channels)
    usual = (preset.size,) * 2 if preset else settings.pair("image_size", 224)
    if max(usual) > MAX_SIZE:
        raise settings.wrong("image_size", f"at most {MAX_SIZE} pixels")
    size = choices.size or usual
    builder = Builder(channels, *size)
    modules = Modules(builder, weights.tensors, family.base)
    value = family.features(modules, settings, builder.input)
    value = modules.linear(value, family.classifier, _classes(weights, family))
    head = _head(settings)
    if head:
        value = builder.elementwise(value, "prob", head)
    unused = modules.unused()
    if unused:
        raise WeightsError(f"{CONFIG} describes no layers with the tensors {listed(unused)}")
    found = builder.finish(
        value,
        size=choices.size if preset else size,
        name=str(settings.values["model_type"]),
        title=f"{family.title}ForImageClassification of transformers",
    )
    return replace(
        found,
        preset=preset,
        labels=_labels(settings),
        external=folder.external,
        notes=_notes(settings, reason),
    )


def _family(settings: Settings) -> _Family:
    """Return the family of a folder, or say why it cannot be explained."""
    if settings.get("auto_map") is not None:
        raise WeightsError(
            f"{CONFIG}: auto_map names code of the folder's author, which is not run: {_EXPORT}"
        )
    if settings.get("quantization_config") is not None:
        raise WeightsError(
            f"{CONFIG}: quantization_config says that the weights are quantised: save the model "
            f"with weights of floating-point numbers"
        )
    kind = settings.text("model_type", "")
    if kind in _REFUSED:
        raise WeightsError(f"{CONFIG}: model_type {kind!r} is {_REFUSED[kind]}")
    if kind not in _FAMILIES:
        raise WeightsError(
            f"{CONFIG}: model_type {brief(kind)} is not known here, known are "
            f"{', '.join(_FAMILIES)}; {_EXPORT}"
        )
    family = _FAMILIES[kind]
    name = f"{family.title}ForImageClassification"
    found = settings.get("architectures", [name])
    if found != [name]:
        raise WeightsError(
            f"{CONFIG}: architectures is {brief(found)}, which has no scores of classes; expected "
            f"{name}"
        )
    return family


def _classes(weights: Weights, family: _Family) -> int:
    """Return the number of scores."""
    name = f"{family.classifier}.weight"
    values = weights.tensors.get(name)
    if values is None or values.ndim != 2 or not len(values):
        raise WeightsError(
            f"the tensor {name!r} is missing or is not a matrix: without a classifier there are no "
            f"scores to explain"
        )
    return len(values)


def _head(settings: Settings) -> str:
    """Return how scores become probabilities, if the file says it."""
    problem = settings.get("problem_type")
    if problem is None:
        return ""
    if not isinstance(problem, str) or problem not in _HEADS:
        raise WeightsError(
            f"{CONFIG}: problem_type is {brief(problem)}, expected {', '.join(_HEADS)}: a "
            f"regression has no scores of classes"
        )
    return _HEADS[problem]


def _labels(settings: Settings) -> Labels | None:
    """Return the classes, in the order of their numbers."""
    given = settings.get("id2label")
    if given is None:
        return None
    if not isinstance(given, dict) or not given:
        raise settings.wrong("id2label", "an object from numbers of classes to names")
    names = list(given.values())
    if not all(isinstance(name, str) for name in names):
        raise settings.wrong("id2label", "names that are strings")
    by_number = {key: name for key, name in given.items() if re.fullmatch(r"\d{1,9}", key)}
    numbers = {int(key): name for key, name in by_number.items()}
    if sorted(numbers) != list(range(len(given))):
        raise settings.wrong("id2label", f"the numbers 0 to {len(given) - 1} as keys")
    if all(map(_GENERIC.fullmatch, names)):
        return None
    return Labels([numbers[i] for i in range(len(numbers))])


def _notes(settings: Settings, reason: str) -> tuple[str, ...]:
    """Return what was taken for granted."""
    settings.used.update(_NO_MATTER)
    notes = []
    if reason:
        notes.append(f"Pictures need preset=, because {reason}.")
    others = settings.others()
    if others:
        notes.append(
            f"{CONFIG} has settings that this family does not have in transformers: "
            f"{listed(others)}. They change nothing."
        )
    return tuple(notes)
