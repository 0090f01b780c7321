"""From a weight file, or a dict of arrays, to a network: the one way in.

    file -> gradcam.weights.load -> checkpoints.identify -> VGG.layers -> Network.from_layers

A file whose weights must be brought into another order leaves a copy in the cache, which takes
its place the next time (:mod:`gradcam._models.converted`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcam import imagenet
from gradcam._engine.layers import Convolution
from gradcam._engine.network import Network
from gradcam._engine.transformed import Packs
from gradcam._labels.classes import Labels
from gradcam._models import checkpoints
from gradcam._models.vgg import FAMILY, VGG
from gradcam._pictures.presets import Preset
from gradcam._weights import reading
from gradcam._weights.storage import Storage, check_storage
from gradcam._weights.tensors import Weights, WeightsError

_MOST_DEPTH = 16
"""Dicts within dicts in which weights are looked for."""


@dataclass(frozen=True)
class Options:
    """What the caller asked for besides the weights; attributes as the parameters of VGG."""

    labels: Labels | Sequence[str] | str | os.PathLike[str] | None
    preset: str | Preset | None
    conv: Convolution | None
    fc_dtype: Storage
    name: str | None


def load(
    weights: str | os.PathLike[str] | Mapping[str, ArrayLike] | Weights,
    *,
    labels: Labels | Sequence[str] | str | os.PathLike[str] | None = None,
    preset: str | Preset | None = None,
    conv: Convolution | None = None,
    fc_dtype: Storage = "float32",
    name: str | None = None,
) -> Network:
    """Make the network that a weight file holds, whichever VGG it is.

    Which of the family the weights belong to can be seen from them, so it need not be said: a
    file that came by mail, or a folder of them, loads with this one function. ``vgg16(FILE)`` says
    it all the same, and refuses a file that holds something else.

    Parameters
    ----------
    weights, labels, preset, conv, fc_dtype, name
        As of :meth:`gradcam.vgg16.__call__ <gradcam._models.vgg.VGG.__call__>`. Published weights
        are asked for by their network, ``gradcam.vgg16("imagenet")``.

    Raises
    ------
    gradcam.WeightsError, OSError, ImportError, ValueError
        As there.
    """
    return make(weights, Options(labels, preset, conv, fc_dtype, name), None)


def make(
    weights: str | os.PathLike[str] | Mapping[str, ArrayLike] | Weights,
    options: Options,
    vgg: VGG | None,
) -> Network:
    """The network of these weights, which is to be `vgg` where that is not None.

    Raises what :func:`load` raises.
    """
    check_storage(options.fc_dtype, "fc_dtype")
    source, copy = "weights", None
    if isinstance(weights, (str, os.PathLike)):
        from gradcam._models import converted  # hashlib, which it needs, is slow to import

        source = os.fsdecode(weights)
        copy = converted.Copy(source)
    content = (copy.weights() if copy else None) or _content(weights)
    try:
        checkpoint = checkpoints.identify(content, options.preset)
        found = next(each for each in FAMILY if each.name == checkpoint.architecture)
        if vgg not in (None, found):
            raise WeightsError(
                f"these are the weights of a {found.name}: use gradcam.{found.name}, or "
                f"gradcam.load for whatever a file holds"
            )
        tensors = checkpoint.tensors()
        if copy is not None and not checkpoint.in_place:
            tensors = copy.write(tensors, checkpoint, checkpoint.metadata) or tensors
        layers = found.layers(tensors, options.fc_dtype, checkpoint.eps)
        labels = known_labels(options.labels, content.metadata, checkpoint.classes)
        if labels is None and checkpoint.classes == 1000:
            labels = imagenet.labels()
        network = Network.from_layers(
            layers,
            labels=labels,
            preset=checkpoint.preset,
            conv=options.conv,
            name=options.name or found.name,
        )
    except WeightsError as error:
        raise WeightsError(f"{source}: {error}") from error
    if copy is not None:
        convolutions = [layer for layer in layers if layer.op == "conv"]
        kernels = [np.asarray(layer.weights["weight"]) for layer in convolutions]
        network.packs = Packs(network.core, kernels)
    return network


def _content(
    weights: str | os.PathLike[str] | Mapping[str, ArrayLike] | Weights,
) -> Weights:
    if isinstance(weights, Weights):
        return weights
    if isinstance(weights, Mapping):
        return Weights(_arrays(weights))
    if hasattr(weights, "state_dict"):
        raise TypeError(
            f"weights: expected a path or a dict of arrays, got a {type(weights).__name__}; "
            f"pass what its state_dict() gives"
        )
    return reading.load(weights)


def _arrays(weights: Mapping[Any, Any]) -> dict[str, NDArray[Any]]:
    """The arrays in nested dicts, by their keys joined with dots; what is none is left out."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, values in _flattened(weights):
        array = _array(name, values)
        if array.dtype.kind not in "biufc" and not hasattr(values, "__array__"):
            continue
        if name in arrays:
            raise WeightsError(f"two tensors are called {name!r}")
        arrays[name] = array
    return arrays


def _flattened(weights: Mapping[Any, Any], *keys: str) -> Iterator[tuple[str, Any]]:
    if len(keys) > _MOST_DEPTH:
        raise WeightsError(f"dicts within more than {_MOST_DEPTH} dicts, or within themselves")
    for key, value in weights.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, *keys, str(key))
        else:
            yield ".".join((*keys, str(key))), value


def known_labels(
    given: Labels | Sequence[str] | str | os.PathLike[str] | None,
    metadata: Mapping[str, str],
    classes: int,
) -> Labels | None:
    """The labels given, or read from the file given, or else those of a weight file's metadata.

    None where nothing names the classes. WeightsError where they are not as many as `classes`, or
    where the metadata's cannot be used.
    """
    found: Labels | None
    if isinstance(given, (bytes, bytearray)):
        raise TypeError(
            f"labels: expected names of classes or the path of a file of them, got {given[:40]!r}"
        )
    given = getattr(given, "tolist", lambda: given)()  # of an array
    if isinstance(given, (str, os.PathLike)):
        found = Labels.read(given)
    elif isinstance(given, Labels):
        found = given
    elif given is None:
        try:
            found = Labels.from_metadata(metadata)
        except ValueError as error:
            raise WeightsError(str(error)) from error
    else:
        found = Labels(given)
    if found is not None and len(found) != classes:
        source = f"{given}: " if isinstance(given, (str, os.PathLike)) else ""
        raise WeightsError(f"{source}{len(found)} labels for a network of {classes} classes")
    return found


def _array(name: object, values: ArrayLike) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:  # RuntimeError: torch's, of gradients
        raise WeightsError(f"tensor {name!r} cannot be read as an array: {error}") from None
