"""Recognise what a weight file holds: which architecture, in which library's layout.

The readers behind :func:`gradcam.weights.load` return tensors with the names and the order of the
file. Here these names identify the architecture and the layout, and every shape is checked.
:meth:`Checkpoint.tensors` then converts the tensors to torchvision's layout. That is a permutation
and never changes a value:

- convolutions from H, W, I, O (Keras, Frossard) to O, I, H, W;
- fully connected weights from I, O to O, I, or from convolutions (timm's 7x7, Caffe's old
  1 x 1 x O x I) to matrices;
- the inputs of the first of them from a map flattened as H, W, C to one flattened as C, H, W.

A file with a tensor that neither belongs to the network nor to the state of a training run is
refused, and the message names the tensor. What the names and the shapes leave open is assumed, and
:attr:`Checkpoint.assumed` says each assumption.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from gradcam._engine.layers import HEADS
from gradcam._models import (  # noqa: F401  the families register their architectures
    alexnet,
    convnext,
    densenet,
    efficientnet,
    googlenet,
    inception,
    mnasnet,
    mobilenet,
    regnet,
    resnet,
    shufflenet,
    squeezenet,
    vgg,
    vgg_gap,
)
from gradcam._models.adapted import (
    Adapted,
    taken_apart,
    unsigned,
    with_other_grid,
    with_other_head,
    with_own_activations,
)
from gradcam._models.architecture import Architecture
from gradcam._models.chains import in_order
from gradcam._models.choice import chosen
from gradcam._models.layouts import Layout
from gradcam._models.places import Place, averages, network_tensors
from gradcam._models.search import Search, find_layouts
from gradcam._models.shapes import Tensor, check_tensors
from gradcam._pictures import presets
from gradcam._pictures.presets import Preset
from gradcam._text import printable
from gradcam._weights.tensors import Weights, WeightsError, listed


@dataclass(frozen=True)
class Checkpoint:
    """A set of tensors that was recognised as the weights of an architecture.

    Attributes
    ----------
    architecture : str
        The function of :mod:`gradcam` that makes it: "vgg16", "vgg19_bn", ...
    network : Architecture
        The architecture of that name, or a copy of it with the file's own head.
    layout : str
        Whose names and order of axes the tensors have, in words.
    preset : Preset
        How images become input: the caller's preset, else that of the metadata, else the usual one.
    channels : int
        Of the input.
    classes : int
    eps : float
        Added to the variance by batch normalisations.
    head : str or None
        "softmax" or "sigmoid", if the file says how scores become probabilities.
    ignored : tuple of str
        Tensors that the network does not use: the state of a training run, averaged copies.
    in_place : bool
        Whether the core can use the fully connected weights without a copy, in the file or array:
        in torchvision's order, as contiguous float32.
    own_preset : Preset
        What `preset` is if the caller gives none.
    assumed : tuple of str
        Sentences about what the file does not say and was taken for granted.
    notes : tuple of str
        Sentences about what is in the file and was not used.
    metadata : mapping of str to str
        The metadata of the weights, with batch normalisation's "eps" if a graph contains it.
    """

    architecture: str
    network: Architecture
    layout: str
    preset: Preset
    channels: int
    classes: int
    eps: float
    head: str | None
    ignored: tuple[str, ...]
    in_place: bool
    own_preset: Preset
    assumed: tuple[str, ...]
    notes: tuple[str, ...]
    metadata: Mapping[str, str]
    _tensors: tuple[Tensor, ...] = field(repr=False)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the tensors with torchvision's names and layout, as float32.

        Tensors that already have this order and type are not copied.
        """
        return {tensor.target: tensor.convert(tensor.values) for tensor in self._tensors}


def identify(
    weights: Weights,
    preset: str | Preset | None = None,
    expected: Architecture | None = None,
) -> Checkpoint:
    """Recognise the architecture and the layout of a set of tensors.

    Parameters
    ----------
    weights : Weights
    preset : str or Preset, optional
        By default that of the metadata, else that of the layout.
    expected : Architecture, optional
        The one that the caller names, which decides if several fit.

    Raises
    ------
    WeightsError
        If they are not the weights of a registered architecture. The message says which is the
        closest, and which tensors are missing, unexpected or misshapen, by their names in the file.
        Also if the preset, eps or head in the metadata is invalid.
    ValueError, TypeError
        If the given preset is invalid.
    """
    places = network_tensors(weights.tensors)
    try:
        found, averages = _recognised(places, weights.ordered, expected)
    except WeightsError as error:
        if not weights.objects:
            raise
        raise WeightsError(f"{error}; {_objects(weights.objects)}") from error
    match, layout = found.match, found.layout
    tensors, channels, classes = check_tensors(match, layout)
    usual = match.architecture.presets.get(layout.library) or presets.find(layout.preset)
    doubt = match.architecture.doubts.get(layout.library)
    own = _preset(weights.metadata, usual, strict=preset is None)
    used = {place.name for place in match.found.values()}
    return Checkpoint(
        architecture=match.architecture.name,
        network=match.architecture,
        layout=layout.title,
        preset=own if preset is None else presets.find(preset),
        channels=channels,
        classes=classes,
        eps=_eps(weights.metadata, match.architecture, layout),
        head=_head(weights.metadata),
        ignored=tuple(name for name in weights.tensors if name not in used),
        in_place=not layout.outputs_last and all(tensor.in_place for tensor in tensors),
        own_preset=own,
        assumed=(*found.assumed, *([doubt] if doubt else [])),
        notes=(*weights.notes, *_averages(averages)),
        metadata=weights.metadata,
        _tensors=tensors,
    )


def _recognised(
    places: Mapping[str, Place], ordered: bool, expected: Architecture | None
) -> tuple[Adapted, tuple[str, ...]]:
    """Return the network in a file, and the prefixes of its running averages."""
    if not places:
        raise WeightsError("the file holds no tensors that could be the weights of a network")
    searches = [Search(places, *each, ordered) for each in find_layouts(places)]
    search = min(searches, key=Search.distance, default=None)
    if search is not None and not search.distance():
        match = chosen(search.complete(), search.layout, expected)
        exact = Adapted(match, search.layout, ())
        adapted = with_other_grid(match, search.layout) or with_own_activations(
            match, search.layout
        )
        return adapted or exact, search.averages
    for each in searches:
        if each.layout.free:
            families = (*each.architectures, *unsigned(each.architectures))
            adapted = with_other_head(places, each.layout, families, expected)
            if adapted is not None:
                return adapted, each.averages
    if not any(map(Search.holds_all, searches)):
        adapted = taken_apart(places, expected) or in_order(places)
        if adapted is not None:
            used = {place.name: place for place in adapted.match.found.values()}
            others = (place for place in places.values() if place.name not in used)
            return adapted, tuple(averages(others, used.values()))
    if search is None:
        raise WeightsError(
            f"the weights of an unknown network, or in an unknown layout: the tensors are "
            f"{listed(places)}; {_GRAPH}"
        )
    advice = f"; if it is another network: {_GRAPH}" if search.layout.free else ""
    raise WeightsError(f"{search.difference()}{advice}")


_GRAPH = (
    "a file of weights does not say how layers are joined, so pass the module to "
    "gradcam.from_torch, export it as ONNX, or state its layers in Network.from_layers"
)
"""What to do with a network that is not known by its tensors."""


def _averages(prefixes: tuple[str, ...]) -> tuple[str, ...]:
    """Say that running averages of the weights are in the file, and not used."""
    if not prefixes:
        return ()
    return (
        f"The file also holds a running average of the weights ({listed(prefixes)}), which is not "
        f"used.",
    )


def _objects(objects: Mapping[str, str]) -> str:
    """Say that tensors are inside pickled objects, and what to do."""
    name, kind = next(iter(objects.items()))
    return (
        f"further tensors are in {printable(name):.80}, a whole pickled object of the class "
        f"{printable(kind):.200}, which only its own code can load: load the file in PyTorch and "
        f"save torch.save(model.state_dict(), FILE)"
    )


# ------------------------------------------------------------------------ metadata


def _preset(metadata: Mapping[str, str], usual: Preset, *, strict: bool) -> Preset:
    """Return the preset of the metadata, else the usual one; if strict, refuse an invalid one."""
    try:
        return Preset.from_metadata(metadata) or usual
    except ValueError as error:
        if not strict:
            return usual
        raise WeightsError(str(error)) from error


def _eps(metadata: Mapping[str, str], architecture: Architecture, layout: Layout) -> float:
    text = metadata.get("eps", str(architecture.eps_of.get(layout.library, architecture.eps)))
    try:
        eps = float(text)
    except ValueError:
        eps = math.nan
    if not 0 < eps < math.inf:
        raise WeightsError(
            f"metadata: eps of batch normalisation must be a positive number, got {text!r}"
        )
    return eps


def _head(metadata: Mapping[str, str]) -> str | None:
    head = metadata.get("head")
    if head is not None and head not in HEADS:
        raise WeightsError(
            f"the network ends in the activation {printable(head):.40}, expected "
            f"{', '.join(HEADS)} or none"
        )
    return head
