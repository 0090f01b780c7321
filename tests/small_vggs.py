"""VGGs with 1/64 of the channels, for small test files in the repository.

The weights are computed from integers, so that all versions of NumPy produce the same.
"""

from __future__ import annotations

import numpy as np
import vggs

HIDDEN, CLASSES = (8, 6), 5


def numbers(seed: int, shape: tuple[int, ...], scale: float = 1.0) -> np.ndarray:
    """Return float32 values between -scale and scale, multiples of scale / 997."""
    count = int(np.prod(shape))
    raw = (np.arange(count, dtype=np.uint64) + np.uint64(1000 * seed + 1)) * np.uint64(2654435761)
    fractions = ((raw >> np.uint64(7)) % np.uint64(1995)).astype(np.float64) - 997
    return (fractions / 997 * scale).astype(np.float32).reshape(shape)


def tensors(name: str = "vgg16") -> dict[str, np.ndarray]:
    """Return tensors with torchvision's names, scaled so that activations keep their size."""
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
