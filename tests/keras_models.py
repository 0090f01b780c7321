"""Keras models written by hand: configurations as Keras 2 and 3 write them, and their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradcam._weights.keras_config import parse_layer
from gradcam._weights.keras_model import KerasModel
from gradcam._weights.tensors import Weights

Config = dict[str, Any]


def layer(class_name: str, name: str = "", module: str = "keras.layers", **config: Any) -> Config:
    """A layer of a Sequential model."""
    name = name or class_name.lower()
    return {
        "class_name": class_name,
        "module": module,
        "name": name,
        "config": {"name": name, "trainable": True, "dtype": "float32", **config},
    }


def input_layer(shape: Sequence[int | None], name: str = "in") -> Config:
    return layer("InputLayer", name, batch_shape=[None, *shape])


def tensor(name: str, call: int = 0, index: int = 0) -> Config:
    """An output of a layer, as Keras 3 writes it."""
    config = {"shape": [], "dtype": "float32", "keras_history": [name, call, index]}
    return {"class_name": "__keras_tensor__", "config": config}


def called(entry: Config, *calls: Sequence[Any], **keywords: Any) -> Config:
    """A layer of a functional model; each call is a list of arguments, strings of which are names
    of layers."""

    def argument(value: Any) -> Any:
        if isinstance(value, list):
            return [argument(each) for each in value]
        return tensor(value) if isinstance(value, str) else value

    nodes = [{"args": [argument(each) for each in call], "kwargs": keywords} for call in calls]
    return {**entry, "inbound_nodes": nodes}


def sequential(*layers: Config, name: str = "sequential", **config: Any) -> Config:
    return {"class_name": "Sequential", "config": {"name": name, "layers": [*layers], **config}}


def functional(
    *layers: Config, output: Any, inputs: Any = None, name: str = "functional"
) -> Config:
    """A model of these layers; `output` is the name of a layer, or what Keras writes."""
    config = {
        "name": name,
        "layers": [*layers],
        "input_layers": inputs or [layers[0]["name"], 0, 0],
        "output_layers": [output, 0, 0] if isinstance(output, str) else output,
    }
    return {"class_name": "Functional", "name": name, "config": config}


def weights_of(
    model: Config, arrays: Mapping[str, Sequence[Any]] | None = None, version: str = "3.15.0"
) -> Weights:
    """What a reader gives: the model, and the arrays of each layer by its name."""
    root = parse_layer(model)
    tensors: dict[str, np.ndarray] = {}
    groups = {}
    for leaf in root.leaves():
        own = (arrays or {}).get(leaf.name, ())
        groups[leaf.group] = tuple(f"{leaf.group}/{i}" for i in range(len(own)))
        for name, values in zip(groups[leaf.group], own, strict=True):
            tensors[name] = np.asarray(values, np.float32)
    return Weights(tensors, graph=KerasModel(root.with_tensors(groups), version))
