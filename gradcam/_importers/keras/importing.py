"""From a Keras model, its configuration and weights, to a network."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import numpy as np

from gradcam._engine.layers import HEADS, INPUT, NONLINEAR, Layer
from gradcam._importers.builder import Builder
from gradcam._importers.imported import DEFAULT_SIZE, SIZE_TAKEN, Choices, Imported
from gradcam._importers.keras.calls import parse_outputs
from gradcam._importers.keras.published import family_of, preset_of
from gradcam._importers.keras.walking import Walk, check_model, precision_of
from gradcam._pictures.presets import MAX_SIZE, PRESETS, Preset
from gradcam._results.rules import RECTIFIERS
from gradcam._text import printable
from gradcam._weights.keras_model import KerasLayer, KerasModel
from gradcam._weights.tensors import Weights, WeightsError

_SPAN = (0.5, 10.0)
"""How far apart black and white usually are in the input of a network's first convolution."""


def imported(weights: Weights, choices: Choices) -> Imported:
    """Return the network that a Keras model describes.

    Raises
    ------
    WeightsError
        If a layer is not supported, or the model is not a classifier of pictures.
    """
    graph = weights.graph
    assert isinstance(graph, KerasModel)
    root = graph.root
    check_model(root)
    channels, size, layout = _input_of(root)
    height, width = (
        given or default for given, default in zip(size, choices.size or DEFAULT_SIZE, strict=True)
    )
    builder = Builder(channels, height, width, layout)
    walk = Walk(builder, weights.tensors, root, graph.version.split(".")[0] in ("1", "2"))
    if choices.output is None:
        _check_one_output(root)
    value = walk.run(choices.output)
    found = builder.finish(
        value,
        size=None if None in size else (height, width),
        name=root.name or "Keras model",
        title=f"a Keras {graph.version or ''} model".replace("  ", " "),
    )
    _check_end(found.layers)
    preset, notes = _preset(found, root)
    if found.fixed and None in size and choices.size is None:
        notes += (SIZE_TAKEN.format("The model", height, width),)
    notes += tuple(
        f"Its layers compute in {precision} in Keras; here they compute in float32."
        for precision in _precisions(root)
    )
    return replace(found, preset=preset, notes=(*found.notes, *notes, *walk.notes[:4]))


def _input_of(root: KerasLayer) -> tuple[int, tuple[int | None, int | None], str]:
    """Return the channels of a model's input, its height and width if given, and its layout."""
    layout = layout_of(root)
    shape = _input_shape(root)
    if shape is None:
        raise WeightsError(
            "the model does not say the shape of its input: build it (model.build, or call it "
            "once) before it is saved"
        )
    if len(shape) != 4:
        raise WeightsError(
            f"the model's input has the shape {shape}; expected pictures, of four dimensions"
        )
    sizes = [None if n is None else n if type(n) is int and 0 < n <= MAX_SIZE else 0 for n in shape]
    order = {letter: sizes[layout.index(letter)] for letter in "CHW"}
    channels, height, width = order["C"], order["H"], order["W"]
    if not channels or 0 in (height, width):
        raise WeightsError(
            f"the model's input has the shape {shape}; expected a number of channels, and at most "
            f"{MAX_SIZE} rows and columns"
        )
    return channels, (height, width), layout


def layout_of(root: KerasLayer) -> str:
    """Return the order of the input's axes: that of the first layer that says one.

    Layers that change the order before it are followed back.
    """
    axes = [1, 2, 3]  # of the input, as the next layer sees them
    for layer in root.leaves():
        word, order = layer.config.get("data_format"), layer.config.get("dims")
        if layer.class_name == "Permute" and isinstance(order, list):
            orders = itertools.permutations((1, 2, 3))
            axes = [axes[i - 1] for i in order] if tuple(order) in orders else axes
        if word in ("channels_first", "channels_last"):
            return "NCHW" if axes[0 if word == "channels_first" else 2] == 1 else "NHWC"
    return "NHWC"


def _input_shape(model: KerasLayer) -> list[object] | None:
    """Return the shape of a model's input, with the batch, as its configuration gives it."""
    layers = model.layers or ()
    if model.class_name == "Sequential":
        candidates = layers[:1]
    else:
        starts = parse_outputs(model.config.get("input_layers"))
        if len(starts) != 1:
            names = ", ".join(printable(start.layer) for start in starts[:8])
            raise WeightsError(
                f"the model has {len(starts)} inputs ({names}); expected one, the pictures"
            )
        candidates = tuple(layer for layer in layers if layer.name == starts[0].layer)
    shapes = [
        layer.config.get(key)
        for layer in candidates
        for key in ("batch_shape", "batch_input_shape", "build_input_shape")
    ]
    shapes.append(model.config.get("build_input_shape"))
    for shape in shapes:
        if isinstance(shape, list) and shape:
            return shape
    if candidates and candidates[0].layers is not None:
        return _input_shape(candidates[0])
    return None


def _check_one_output(root: KerasLayer) -> None:
    if root.class_name == "Sequential" or "output_layers" not in root.config:
        return
    outputs = parse_outputs(root.config["output_layers"])
    if len(outputs) > 1:
        names = ", ".join(printable(each.layer) for each in outputs[:8])
        raise WeightsError(
            f"the model has {len(outputs)} outputs: choose that of the class scores by "
            f"output=NAME, one of {names}"
        )


def _check_end(layers: tuple[Layer, ...]) -> None:
    """Raise WeightsError if the last layer is an activation that no classifier ends in."""
    by_name = {layer.name: layer for layer in layers}
    last = layers[-1]
    while last.op == "flatten" and last.inputs[0] in by_name:
        last = by_name[last.inputs[0]]
    if last.op in HEADS or last.op not in (*RECTIFIERS, *NONLINEAR):
        return
    raise WeightsError(
        f"the network ends in the activation {last.op} ({printable(last.name)!r}), expected "
        f"{', '.join(HEADS)} or none"
    )


def _precisions(root: KerasLayer) -> list[str]:
    """Return the data types other than float32 that layers compute in."""
    words = {
        word
        for layer in root.leaves()
        for word in re.findall("bfloat16|float16|float64", precision_of(layer))
    }
    return sorted(words)


# ------------------------------------------------------------------------------ preset


def _preset(found: Imported, root: KerasLayer) -> tuple[Preset | None, tuple[str, ...]]:
    """Return how pictures become input, as far as it is known, and what the user is told."""
    if found.channels not in (1, 3):
        return None, ()
    scaling = _scaling(found.layers)
    if scaling is not None:
        names = ", ".join([scaling.name, *scaling.aliases][:4])
        own = f"The model scales its input itself ({names})"
        preset = _of_scaling(scaling)
        if preset is None:
            return None, (f"{own}, but not as pictures usually are: give preset=.",)
        colours = "RGB" if found.channels == 3 else "grey"
        values = preset.name.replace("..", " to ")
        return preset, (f"{own}: pictures are given to it as {colours}, {values}.",)
    published = preset_of(root, found.classes)
    if published is not None:
        return published, (
            f"By its name and its layers it is {root.name} of keras.applications: pictures are "
            f"prepared as its preprocess_input does.",
        )
    for model in (root, *_models_in(root)):
        family = family_of(model)
        if family is not None:
            return None, (
                f"The file does not say how pictures become input: give preset=. For "
                f"{family[0]} of keras.applications it is {family[1]!r}, but the model may have "
                f"been trained in another way.",
            )
    return None, ("The file does not say how pictures become input: give preset=.",)


def _models_in(model: KerasLayer) -> list[KerasLayer]:
    """Return the models in a model, outer ones first."""
    found = [layer for layer in model.layers or () if layer.layers is not None]
    return found + [inner for layer in found for inner in _models_in(layer)]


def _scaling(layers: tuple[Layer, ...]) -> Layer | None:
    """Return the scale and shift of the input that all other layers read in place of it."""
    first = [layer for layer in layers if INPUT in layer.inputs]
    return first[0] if len(first) == 1 and first[0].op == "affine" else None


def _of_scaling(scaling: Layer) -> Preset | None:
    """Return the preset of a network that scales its input.

    Pixel values of 0 to 255, or of 0 to 1, whichever makes numbers of the usual size.
    """
    scale = np.abs(np.asarray(scaling.weights["scale"], np.float64))
    for span, name in ((255.0, "0..255"), (1.0, "0..1")):
        if np.all((scale * span >= _SPAN[0]) & (scale * span <= _SPAN[1])):
            return PRESETS[name]
    return None
