"""Networks of keras.applications with random weights; they need Keras alone, on any backend."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

CLASSES = 10

SIZES = {
    "MobileNet": (64, 64),
    "MobileNetV2": (64, 64),
    "MobileNetV3Small": (64, 80),
    "MobileNetV3Large": (64, 80),
    "DenseNet121": (64, 80),
    "EfficientNetB0": (64, 80),
    "EfficientNetV2B0": (64, 80),
    "ResNet50": (64, 80),
    "ResNet50V2": (64, 80),
    "Xception": (75, 91),
    "InceptionV3": (79, 95),
    "InceptionResNetV2": (79, 95),
    "NASNetMobile": (64, 64),
    "ConvNeXtTiny": (64, 80),
}
"""Height and width of the input: even and odd, and not square where Keras allows it."""


def application(name: str, scores: bool = False) -> Any:
    """Make a network, whose pixels it scales itself if it can; `scores`: without its softmax."""
    own = name.startswith(("MobileNetV3", "EfficientNetV2", "ConvNeXt"))
    return getattr(keras.applications, name)(
        weights=None,
        classes=CLASSES,
        input_shape=(*SIZES[name], 3),
        classifier_activation=None if scores else "softmax",
        **({"include_preprocessing": True} if own else {}),
    )


def randomise(model: Any) -> None:
    """Give a model random parameters and statistics of its normalisations."""
    rng = np.random.default_rng(0)
    values = {
        **dict.fromkeys(("moving_variance", "variance"), lambda s: rng.uniform(0.5, 2, s)),
        **dict.fromkeys(("moving_mean", "mean", "beta", "bias"), lambda s: rng.normal(0, 0.1, s)),
        **dict.fromkeys(("gamma",), lambda s: rng.uniform(0.5, 1.5, s)),
    }
    for weight in model.weights:
        make = values.get(weight.path.rpartition("/")[2])
        if make is not None:
            weight.assign(make(weight.shape).astype(np.float32))
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # else it keeps the statistics that it was built with


def made(name: str) -> Any:
    """Return a network with random weights, which was called once: its export needs that."""
    model = application(name)
    randomise(model)
    model(np.zeros((1, *model.input_shape[1:]), np.float32))
    return model
