"""A small captioner with random weights, and the convolutions that it needs."""

from __future__ import annotations

import numpy as np
import pytest

from gradcam.captioning import Captioner
from gradcam.pictograms import _attribute_networks

WORDS = ("a", "and", "cat", "dog", "red", "small", "two")

UNITS, CODE, WIDTH, HIDDEN = 12, 10, 6, 9


SCALES = {"embedding": 4.0, "lstm": 2.5, "output": 4.0}
"""So that the next word depends on the words before, but no gate is quite open or closed."""


def convolutions() -> dict[str, np.ndarray]:
    """Random weights of the attribute VGG's convolutions, He-scaled."""
    rng = np.random.default_rng(3)
    tensors = {}
    before = 3
    widths = (16, 32, 64, 128, 128)
    for block, (width, depth) in enumerate(zip(widths, _attribute_networks._BLOCKS, strict=True)):
        for each in range(1, depth + 1):
            name, deviation = f"conv{block + 1}_{each}", (2 / (9 * before)) ** 0.5
            kernel = deviation * rng.standard_normal((width, before, 3, 3))
            tensors[f"{name}.weight"] = kernel.astype(np.float32)
            tensors[f"{name}.bias"] = np.zeros(width, np.float32)
            before = width
    return tensors


def tensors(seed: int = 0, words: int = len(WORDS)) -> dict[str, np.ndarray]:
    """Random weights of a captioner; those of the decoder are large, so that words differ."""
    rng = np.random.default_rng(seed)
    shapes = {
        "fc6.weight": (UNITS, 6272),
        "fc6.bias": (UNITS,),
        "fc7.weight": (CODE, UNITS),
        "fc7.bias": (CODE,),
        "image.weight": (WIDTH, CODE),
        "image.bias": (WIDTH,),
        "embedding.weight": (words + 1, WIDTH),
        "lstm.weight_ih": (4 * HIDDEN, WIDTH),
        "lstm.weight_hh": (4 * HIDDEN, HIDDEN),
        "lstm.bias_ih": (4 * HIDDEN,),
        "lstm.bias_hh": (4 * HIDDEN,),
        "output.weight": (words + 1, HIDDEN),
        "output.bias": (words + 1,),
    }
    found = {
        name: (
            rng.standard_normal(shape) * (SCALES.get(name.split(".")[0], 1.5) / shape[-1] ** 0.5)
        ).astype(np.float32)
        for name, shape in shapes.items()
    }
    found["output.bias"][-1] -= 1  # so that captions have several words
    return found


def captioner(patch: pytest.MonkeyPatch, seed: int = 0) -> Captioner:
    """Return the captioner; `patch` replaces the trained convolutions with random ones."""
    patch.setattr(_attribute_networks, "_tensors", lambda architecture: convolutions())
    return Captioner(tensors(seed), WORDS, "small")
