"""Every layout of weights, laid out here by plain loops, gives the same network bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

import gradcam
from gradcam.models.checkpoints import identify
from gradcam.weights import Weights, WeightsError

CONVOLUTIONS = {
    "vgg11": ["1_1", "2_1", "3_1", "3_2", "4_1", "4_2", "5_1", "5_2"],
    "vgg13": [f"{block}_{i}" for block in range(1, 6) for i in (1, 2)],
    "vgg16": ["1_1", "1_2", "2_1", "2_2", *(f"{b}_{i}" for b in (3, 4, 5) for i in (1, 2, 3))],
    "vgg19": ["1_1", "1_2", "2_1", "2_2", *(f"{b}_{i}" for b in (3, 4, 5) for i in (1, 2, 3, 4))],
}
"""Block and number of each convolution, from the paper's table 1."""

GRID = 7


def tensors(name="vgg16", classes=5, seed=1):
    """A narrow network whose every value differs, biases and variances too."""
    made = getattr(gradcam, name).random_tensors(width=4, fc=8, classes=classes, seed=seed)
    generator = np.random.default_rng(seed)
    for key, values in made.items():
        if values.ndim == 1:
            made[key] = generator.uniform(0.5, 1.5, values.shape).astype(np.float32)
    return made


def layers(made, name="vgg16"):
    """(kind, Caffe name, weight, bias) of every layer, batch normalisation aside, in order."""
    names = iter([f"conv{each}" for each in CONVOLUTIONS[name]])
    found = []
    for key, weight in made.items():
        if key.endswith("weight") and weight.ndim > 1:
            kind = "conv" if weight.ndim == 4 else "linear"
            caffe = next(names) if kind == "conv" else f"fc{6 + 'classifier.0 classifier.3'.split().index(key[:-7])}" if key[:-7] != "classifier.6" else "fc8"
            found.append((kind, caffe, weight, made[key[:-6] + "bias"]))
    return found


def hwio(weight):
    """An (O, I, H, W) array as (H, W, I, O), element by element."""
    o, i, h, w = weight.shape
    turned = np.empty((h, w, i, o), np.float32)
    for place in np.ndindex(h, w, i, o):
        turned[place] = weight[place[3], place[2], place[0], place[1]]
    return turned


def io(weight, caffe):
    """An (O, I) array as (I, O); that of fc6 with its inputs as an H, W, C map has them."""
    outputs, inputs = weight.shape
    turned = np.empty((inputs, outputs), np.float32)
    channels = inputs // GRID**2
    for o in range(outputs):
        for place in range(inputs):
            source = place
            if caffe == "fc6":
                position, channel = divmod(place, channels)
                source = channel * GRID**2 + position
            turned[place, o] = weight[o, source]
    return turned


def turned(kind, caffe, weight):
    return hwio(weight) if kind == "conv" else io(weight, caffe)


def as_keras(made, name="vgg16", names=None):
    ends = {"fc6": "fc1", "fc7": "fc2", "fc8": "predictions"}
    found = {}
    for kind, caffe, weight, bias in layers(made, name):
        layer = ends.get(caffe) or f"block{caffe[4]}_conv{caffe[6]}"
        layer = (names or {}).get(layer, layer)
        found[f"{layer}/kernel"] = turned(kind, caffe, weight)
        found[f"{layer}/bias"] = bias
    return found
