"""A network as tensors and metadata, and back: for files that gradcam itself writes.

The metadata's entry "gradcam layers" is JSON: the name, operation, inputs, attributes and further
names of each layer, and which tensors are its weights; then what the network's source said beside
them. Labels and preset are entries of their own, as in every weight file. The layers come back as
they were, with equal values.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.layers import OPS, Attribute, Layer
from gradcam._importers.imported import MAX_LAYERS, Choices, Imported
from gradcam._labels.classes import Labels
from gradcam._pictures.presets import MAX_SIZE, Preset
from gradcam._text import printable
from gradcam._weights.tensors import Weights, WeightsError, from_bfloat16

KEY = "gradcam layers"
"""The entry of the metadata that holds the layers; no other program writes one of this name."""

_MAX_NUMBER = 1 << 31
"""Integers of layers are smaller."""

Names = Mapping[tuple[str, str], str]
"""The names of tensors, by the layer and its name of the weight."""

_T = TypeVar("_T")


# ------------------------------------------------------------------------ writing


def encoded(
    imported: Imported, names: Names | None = None
) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return a network as tensors and metadata.

    Parameters
    ----------
    imported : Imported
    names : mapping, optional
        Names of tensors; by default the layer's with the weight's: "conv1.weight".
    """
    names = names or {}
    tensors: dict[str, NDArray[Any]] = {}
    layers = []
    for layer in imported.layers:
        places = {}
        for key, values in layer.weights.items():
            array = _values(layer, key, np.asarray(values))
            if layer.op == "affine" and key == "shift" and not array.any():
                continue
            places[key] = names.get((layer.name, key), f"{layer.name}.{key}")
            tensors[places[key]] = array
        layers.append(_record(layer, places))
    content: dict[str, object] = {
        "layers": layers,
        "channels": imported.channels,
        "classes": imported.classes,
        "size": None if imported.size is None else list(imported.size),
        "fixed": imported.fixed,
        "target_layer": imported.target_layer,
        "name": imported.name,
        "title": imported.title,
        "assumed": list(imported.assumed),
        "notes": list(imported.notes),
    }
    metadata = {KEY: json.dumps(content, separators=(",", ":"))}
    if imported.preset is not None:
        metadata |= imported.preset.to_metadata()
    if imported.labels is not None:
        metadata |= imported.labels.to_metadata()
    return tensors, metadata


def _values(layer: Layer, key: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return a weight as float32; those of 16 bits are values of float32, too."""
    if key == "weight" and layer.attributes.get("dtype") == "bfloat16" and array.dtype == np.uint16:
        return from_bfloat16(array)
    return array.astype(np.float32, copy=False)


def _record(layer: Layer, places: Mapping[str, str]) -> dict[str, object]:
    """Return a layer for JSON; entries that would be empty are left out."""
    attributes = {
        key: list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
        for key, value in layer.attributes.items()
    }
    parts = {"inputs": list(layer.inputs), "weights": dict(places), "attributes": attributes}
    parts["aliases"] = list(layer.aliases)
    return {
        "name": layer.name,
        "op": layer.op,
        **{key: each for key, each in parts.items() if each},
    }


# ------------------------------------------------------------------------ reading


def imported(weights: Weights, choices: Choices) -> Imported:
    """Return the network that :func:`encoded` wrote.

    Raises
    ------
    WeightsError
        If the metadata is damaged, a tensor is missing, or `choices` ask for what the network
        does not have.
    """
    try:
        content = json.loads(weights.metadata[KEY])
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"metadata: {KEY!r} is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise _damaged("expected a JSON object")
    if choices.output is not None:
        raise WeightsError(
            f"output={choices.output!r}: this file holds a network of one output; leave it out"
        )
    records = _field(content, "layers", list)
    if not 0 < len(records) <= MAX_LAYERS:
        raise _damaged(f"{len(records)} layers; expected 1 to {MAX_LAYERS}")
    size = _size(content)
    return Imported(
        layers=tuple(_layer(each, weights.tensors) for each in records),
        channels=_count(content, "channels"),
        classes=_count(content, "classes"),
        size=size if size is not None or choices.size is None else choices.size,
        fixed=_field(content, "fixed", bool) and size is not None,
        target_layer=_field(content, "target_layer", str),
        name=printable(_field(content, "name", str)),
        title=printable(_field(content, "title", str)),
        preset=_said(Preset, weights.metadata),
        labels=_said(Labels, weights.metadata),
        assumed=tuple(map(printable, _strings(content, "assumed"))),
        notes=tuple(map(printable, _strings(content, "notes"))),
    )


def _damaged(text: str) -> WeightsError:
    return WeightsError(f"metadata: {KEY!r} is damaged: {text}")


def _said(kind: type[_T], metadata: Mapping[str, str]) -> _T | None:
    """Return the labels or the preset of the metadata."""
    try:
        return cast("_T | None", kind.from_metadata(metadata))  # type: ignore[attr-defined]
    except ValueError as error:
        raise WeightsError(str(error)) from error


def _field(content: Mapping[str, object], key: str, kind: type[_T]) -> _T:
    value = content.get(key)
    if type(value) is not kind:
        raise _damaged(f"{key} is {type(value).__name__}, expected {kind.__name__}")
    return value


def _count(content: Mapping[str, object], key: str) -> int:
    value = _field(content, key, int)
    if not 0 < value < _MAX_NUMBER:
        raise _damaged(f"{key} is {value!r:.40}")
    return value


def _size(content: Mapping[str, object]) -> tuple[int, int] | None:
    value = content.get("size")
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise _damaged("size is not a height and a width")
    if not all(type(each) is int and 0 < each <= MAX_SIZE for each in value):
        raise _damaged(f"size is not two integers of 1 to {MAX_SIZE}")
    return value[0], value[1]


def _strings(content: Mapping[str, object], key: str) -> tuple[str, ...]:
    value = content.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _damaged(f"{key} is not a list of strings")
    return tuple(value)


def _layer(record: object, tensors: Mapping[str, NDArray[Any]]) -> Layer:
    """Return a layer; what its operation needs is checked when the network is made."""
    if not isinstance(record, dict):
        raise _damaged("a layer is not a JSON object")
    name, op = _field(record, "name", str), _field(record, "op", str)
    if op not in OPS:
        raise _damaged(f"layer {printable(name)!r:.200}: unknown operation {printable(op)!r:.100}")
    places = record.get("weights", {})
    if not isinstance(places, dict):
        raise _damaged("weights is not a JSON object")
    weights: dict[str, NDArray[Any]] = {}
    for key, place in places.items():
        values = tensors.get(place) if isinstance(place, str) else None
        if values is None or values.dtype.kind not in "fiu":
            raise WeightsError(
                f"layer {printable(name)!r:.200}: the file has no tensor {place!r:.200} of numbers"
            )
        weights[key] = values
    if op == "affine" and weights.keys() == {"scale"}:
        weights["shift"] = np.zeros_like(weights["scale"])
    inputs, aliases = _strings(record, "inputs"), _strings(record, "aliases")
    return Layer(name, op, inputs, weights, _attributes(record), aliases)


def _attributes(record: Mapping[str, object]) -> dict[str, Attribute]:
    value = record.get("attributes", {})
    if not isinstance(value, dict):
        raise _damaged("attributes is not a JSON object")
    return {key: _attribute(key, each) for key, each in value.items()}


def _attribute(key: str, value: object) -> Attribute:
    if isinstance(value, (bool, str)):
        return value
    if type(value) is int and abs(value) < _MAX_NUMBER:
        return value
    if isinstance(value, float) and not math.isnan(value):
        return value
    if isinstance(value, list) and 0 < len(value) <= 4:
        numbers = [_attribute(key, each) for each in value if type(each) is int]
        if len(numbers) == len(value):
            return tuple(cast("list[int]", numbers))
    raise _damaged(f"the attribute {printable(key)!r:.100} has an invalid value")
