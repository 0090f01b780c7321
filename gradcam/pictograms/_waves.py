"""Slow waves over the positions of a map, by which fc6 of the picture's code weighs it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIDE, WAVES = 7, 3
"""Of the maps; of cosines along each axis."""


def waves() -> NDArray[np.float32]:
    """Return products of three cosines along y and x, (9, 49)."""
    positions = (np.arange(SIDE) + 0.5) / SIDE
    along = np.cos(np.pi * np.arange(WAVES)[:, None] * positions)
    along[1:] *= 2**0.5
    products = np.einsum("ay,bx->abyx", along, along).reshape(WAVES**2, SIDE**2)
    found: NDArray[np.float32] = (products / SIDE).astype(np.float32)
    return found


def over_positions(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the weights of positions, (units, C x 49), of weights of waves, (units, C x 9).

    They are rounded to float16, in which they are kept in memory.
    """
    mixed = weights.reshape(len(weights), -1, WAVES**2) @ waves()
    found: NDArray[np.float32] = (
        mixed.reshape(len(weights), -1).astype(np.float16).astype(np.float32)
    )
    return found
