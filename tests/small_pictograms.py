"""A small network with random weights for scenes of pictograms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gradcam import Labels, Layer, Network
from gradcam._pictures import presets
from gradcam.pictograms import CLASSES

LABELS = Labels([label for _, label in CLASSES], [synset for synset, _ in CLASSES])


def network(seed: int = 0) -> Network:
    """A network for pictures of 64 x 64, whose scores are no sums over the objects."""
    rng = np.random.default_rng(seed)
    kernel, linear = rng.normal(size=(6, 3, 5, 5)), rng.normal(size=(36, 6))
    layers = [
        Layer("conv", "conv", weights={"weight": kernel.astype(np.float32)}),
        Layer("relu", "relu"),
        Layer("pool", "max_pool", attributes={"kernel": 20, "stride": 20}),
        Layer("mean", "global_average_pool"),
        Layer("flatten", "flatten"),
        Layer("scores", "linear", weights={"weight": linear.astype(np.float32)}),
        Layer("prob", "softmax"),
    ]
    preset = replace(presets.find("torchvision-straight"), size=64)
    return Network.from_layers(layers, labels=LABELS, preset=preset)
