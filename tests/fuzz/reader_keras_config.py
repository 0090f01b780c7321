"""The importer of Keras models, fuzzed: configurations and the shapes of weights.

An input is JSON: a model's configuration, the shapes of each layer's weights, and Keras's version.
"""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_weights import INTERESTING, mutated

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from keras_models import called, functional, input_layer, layer, sequential, weights_of

import gradcam
from gradcam._weights.tensors import Weights, WeightsError

__all__ = ["mutate", "read", "seeds"]

_MAX_WEIGHTS = 1 << 16

_VALUES: tuple[Any, ...] = (
    *(None, True, False, "", "relu", "softmax", "same", "channels_first", "x" * 99, [], {}, [[]]),
    *([1], [1, 2], [1, 2, 3], [-1], 0, -1, 1, 2, 3, 0.5, 1e308, -1e308, "in", "c", "g", "inner"),
    *([["in", 0, 0, {}]], {"class_name": "ReLU", "config": {}}, ["in", 0, 0], "Functional"),
    *("Conv2D", "Dense", "Add", "Flatten", "Sequential", "Multiply", "Reshape", "PReLU"),
)


def read(path: str) -> Weights:
    """Make the network that an input describes."""
    try:
        content = json.loads(Path(path).read_bytes())
        arrays = {
            str(name): [_array(shape) for shape in shapes]
            for name, shapes in content["arrays"].items()
        }
        version = str(content["version"])
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise WeightsError("not an input") from error
    weights = weights_of(content.get("model"), arrays, version)
    gradcam.load(weights)
    return weights


def _array(shape: Sequence[int]) -> np.ndarray:
    size = math.prod(shape)
    if size > _MAX_WEIGHTS or len(shape) > 8:
        raise ValueError(f"shape {shape}")
    return np.linspace(0.5, 1, size, dtype=np.float32).reshape(shape)


def _chain() -> tuple[dict[str, Any], dict[str, Any]]:
    """A Sequential model with a layer of most types."""
    model = sequential(
        input_layer((9, 8, 3)),
        layer("Rescaling", "r", scale=1 / 255),
        layer("Normalization", "m", axis=[-1], mean=[1.0, 2.0, 3.0], variance=[1.0, 2.0, 3.0]),
        layer("RandomFlip", "f", mode="horizontal"),
        layer("ZeroPadding2D", "z", padding=[[1, 1], [0, 1]]),
        layer(
            "Conv2D", "c", filters=4, kernel_size=[3, 3], strides=[2, 2], padding="same",
            activation="elu", groups=1, data_format="channels_last",
        ),
        layer("BatchNormalization", "b", axis=[3], epsilon=1e-3, scale=True, center=True),
        layer("DepthwiseConv2D", "d", kernel_size=[3, 3], depth_multiplier=2, use_bias=False),
        layer("PReLU", "p", shared_axes=[1, 2]),
        layer("SeparableConv2D", "s", filters=6, kernel_size=[1, 1], activation="relu"),
        layer("LayerNormalization", "l", axis=[-1]),
        layer("MaxPooling2D", "x", pool_size=[2, 2], strides=[1, 1], padding="same"),
        layer("Cropping2D", "k", cropping=[[1, 0], [0, 0]]),
        layer("Permute", "t", dims=[2, 1, 3]),
        layer("Flatten", "flat"),
        layer("BatchNormalization", "e", axis=-1),
        layer("Reshape", "h", target_shape=[-1]),
        layer("Dense", "fc", units=3, activation="softmax"),
    )  # fmt: skip
    arrays = {
        "c": [[3, 3, 3, 4], [4]], "b": [[4]] * 4, "d": [[3, 3, 4, 2]], "p": [[1, 1, 8]],
        "s": [[1, 1, 8, 1], [1, 1, 8, 6], [6]], "l": [[6], [6]], "e": [[36]] * 4,
        "fc": [[36, 3], [3]],
    }  # fmt: skip
    return model, arrays


def _graph() -> tuple[dict[str, Any], dict[str, Any]]:
    """A functional model with a nested one that is called twice, sums and products."""
    inner = functional(
        input_layer((6, 6, 4), "inner_in"),
        called(layer("Conv2D", "c", filters=4, kernel_size=1, use_bias=False), ["inner_in"]),
        output="c",
        name="inner",
    )
    squeeze = called(layer("GlobalAveragePooling2D", "q", keepdims=True), ["s"])
    operation = layer("Add", "o", module="keras.src.ops.numpy")
    model = functional(
        input_layer((6, 6, 4)),
        called(layer("Activation", "t", activation="hard_sigmoid"), ["in"]),
        called(inner, ["in"], ["t"]),
        called(layer("Concatenate", "s", axis=-1), [["inner", "t"]]),
        squeeze,
        called(layer("Multiply", "m"), [["s", "q"]]),
        called(operation, ["m", 3.0]),
        called(layer("GlobalMaxPooling2D", "g"), ["o"]),
        called(layer("Dense", "fc", units=2), ["g"]),
        output="fc",
    )
    return model, {"c": [[1, 1, 4, 4]], "fc": [[8, 2], [2]]}


def _old() -> tuple[dict[str, Any], dict[str, Any]]:
    """A model as Keras 2 writes it."""
    entries = [
        (layer("InputLayer", "in", module="", batch_input_shape=[None, 5, 6, 3]), []),
        (
            layer("TFOpLambda", "op", module="", function="math.multiply"),
            [["in", 0, 0, {"y": 0.5, "name": None}]],
        ),
        (layer("Add", "a", module=""), [[["in", 0, 0, {}], ["op", 0, 0, {}]]]),
        (layer("GlobalAveragePooling2D", "g", module=""), [[["a", 0, 0, {}]]]),
        (layer("Dense", "fc", module="", units=2, activation="softmax"), [[["g", 0, 0, {}]]]),
    ]
    layers = [{**entry, "inbound_nodes": calls} for entry, calls in entries]
    return functional(*layers, output=[["fc", 0, 0]]), {"fc": [[3, 2], [2]]}


def seeds() -> list[bytes]:
    found = []
    for (model, arrays), version in ((_chain(), "3.15.0"), (_graph(), "3.0"), (_old(), "2.9.0")):
        content = {"model": model, "arrays": arrays, "version": version}
        found.append(json.dumps(content).encode())
    return found


def mutate(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Change, remove, copy or exchange values of the JSON."""
    try:
        content = json.loads(data)
    except ValueError:
        return mutated(rng, data, others)
    for _ in range(rng.choice((1, 1, 2, 4))):
        places = list(_places(content))
        parent, key = rng.choice(places)
        change = rng.randrange(4)
        if change == 0:
            parent[key] = rng.choice((*_VALUES, *INTERESTING))
        elif change == 1:
            del parent[key]
        elif change == 2:
            other, place = rng.choice(places)
            parent[key] = json.loads(json.dumps(other[place]))
        elif isinstance(parent, list):
            parent.insert(rng.randrange(len(parent) + 1), json.loads(json.dumps(parent[key])))
        if not isinstance(content, dict) or not content:
            break
    return json.dumps(content).encode()


def _places(value: Any):
    """Yield each container with each of its keys."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], (dict, list)) and value[key]:
            yield from _places(value[key])
