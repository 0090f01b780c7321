"""A small captioner with random weights, and the convolutions that it needs."""

from __future__ import annotations

import numpy as np
import pytest
import random_attributes

from gradcam.captioning import Captioner

WORDS = ("a", "and", "cat", "dog", "red", "small", "two")

UNITS, CODE, WIDTH, HIDDEN = 12, 10, 6, 9


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
        name: (rng.standard_normal(shape) * (2 / shape[-1] ** 0.5)).astype(np.float32)
        for name, shape in shapes.items()
    }
    found["output.bias"][-1] -= 3  # so that captions have several words
    return found


def captioner(patch: pytest.MonkeyPatch, seed: int = 0) -> Captioner:
    """Return the captioner; `patch` replaces the trained convolutions with random ones."""
    random_attributes.use(patch)
    return Captioner(tensors(seed), WORDS, "small")
