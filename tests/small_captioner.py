"""The weights of a small captioner."""

from __future__ import annotations

import numpy as np
import random_attributes

WORDS = ("a", "and", "cat", "dog", "red", "small", "two")

UNITS, CODE, WIDTH, HIDDEN = 12, 10, 6, 9


SCALES = {"embedding": 4.0, "lstm": 2.5, "output": 4.0}
"""So that the next word depends on the words before, but no gate is quite open or closed."""


def tensors(seed: int = 0, words: int = len(WORDS)) -> dict[str, np.ndarray]:
    """Random weights of a captioner; those of the decoder are large, so that words differ."""
    rng = np.random.default_rng(seed)
    shapes = {
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
    return found | code(seed)


def code(seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights of the picture network's fully connected layers."""
    found = random_attributes.code_tensors(UNITS, CODE, seed)
    return {name: each for name, each in found.items() if name.split(".")[0] in ("fc6", "fc7")}
