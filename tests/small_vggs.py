"""VGGs a sixty-fourth as wide, for files small enough to be kept with the tests.

Their numbers come from integers alone, so that every version of NumPy makes the same.
"""

from __future__ import annotations

import numpy as np
import vggs

HIDDEN, CLASSES = (8, 6), 5


def numbers(seed: int, shape: tuple[int, ...], scale: float = 1.0) -> np.ndarray:
    """Float32 between -scale and scale, each a fraction of 997."""
    count = int(np.prod(shape))
    raw = (np.arange(count, dtype=np.uint64) + np.uint64(1000 * seed + 1)) * np.uint64(2654435761)
    fractions = ((raw >> np.uint64(7)) % np.uint64(1995)).astype(np.float64) - 997
    return (fractions / 997 * scale).astype(np.float32).reshape(shape)


def tensors(name: str = "vgg16") -> dict[str, np.ndarray]:
    """By torchvision's names, scaled so that maps neither vanish nor grow."""
    found = {}
    shapes = vggs.tensors(name, divide=64, hidden=HIDDEN, classes=CLASSES)
    for seed, (key, values) in enumerate(shapes.items()):
        if values.ndim > 1:
            found[key] = numbers(seed, values.shape, (6 / values[0].size) ** 0.5)
        elif values.ndim == 1:
            positive = key.endswith("running_var") or (f"{key[:-6]}running_var" in shapes)
            found[key] = numbers(seed, values.shape, 0.1) + np.float32(
                positive and key[-4:] != "bias"
            )
    return found
