"""From a model's configuration, the JSON that Keras writes, to a tree of layers.

Nothing of a configuration is executed: it stays names, numbers and lists.
"""

from __future__ import annotations

import re

from gradcam._weights.keras_model import KerasLayer
from gradcam._weights.tensors import WeightsError

MAX_DEPTH = 16
"""Levels of nested models."""


def parse_layer(entry: object, group: str = "", depth: int = 0) -> KerasLayer:
    """Return a layer of a configuration, and for a model its layers.

    Parameters
    ----------
    entry : object
        Of JSON; parts of unexpected types are left out.
    group : str
        The layer's group in a file of Keras 3.
    depth : int
        How many models the layer is nested in.

    Raises
    ------
    WeightsError
        If models are nested more than :data:`MAX_DEPTH` deep.
    """
    if depth > MAX_DEPTH:
        raise WeightsError(f"Keras models are nested more than {MAX_DEPTH} deep")
    values = entry if isinstance(entry, dict) else {}
    config = values.get("config")
    # Sequential models of Keras before 2.2 have the list of layers as their configuration.
    listed = config if isinstance(config, list) else None
    config = config if isinstance(config, dict) else {}
    listed = config.get("layers") if listed is None else listed
    layers = None
    if isinstance(listed, list):
        layers = _parse_layers(listed, group, depth)
        config = {key: value for key, value in config.items() if key != "layers"}
    calls = values.get("inbound_nodes")
    return KerasLayer(
        class_name=_text(values.get("class_name")),
        name=_text(values.get("name")) or _text(config.get("name")),
        config=config,
        module=_text(values.get("module")),
        calls=tuple(calls) if isinstance(calls, list) else (),
        group=group,
        layers=layers,
    )


def _parse_layers(entries: list[object], group: str, depth: int) -> tuple[KerasLayer, ...]:
    """Return the layers of a model, with the groups that Keras 3 gives them."""
    counts: dict[str, int] = {}
    layers = []
    for entry in entries:
        name = _text(entry.get("class_name")) if isinstance(entry, dict) else ""
        kind = _to_snake_case(name)
        count = counts[kind] = counts.get(kind, -1) + 1
        leaf = f"layers/{kind}_{count}" if count else f"layers/{kind}"
        layers.append(parse_layer(entry, f"{group}/{leaf}" if group else leaf, depth + 1))
    return tuple(layers)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _to_snake_case(name: str) -> str:
    """Convert a class's name to Keras's name of its groups: MaxPooling2D to max_pooling2d."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
