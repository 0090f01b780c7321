"""Float64 twins of occlusion and RISE in plain loops; they share no code with gradcam."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import reference

Scores = Callable[[np.ndarray], np.ndarray]
"""From pictures (B, C, h, w) to a number for each."""


def occlusion(
    scores: Scores,
    picture: np.ndarray,
    replacement: np.ndarray,
    patch: tuple[int, int],
    stride: tuple[int, int],
    values: str = "difference",
) -> np.ndarray:
    """Return the map (h, w) of a picture (C, h, w)."""
    height, width = picture.shape[1:]
    places = []
    for top in range(0, height, stride[0]):
        for left in range(0, width, stride[1]):
            places.append(np.s_[top : top + patch[0], left : left + patch[1]])
            if left + patch[1] >= width:
                break
        if top + patch[0] >= height:
            break
    pictures = np.stack([picture.astype(np.float64)] * (1 + len(places)))
    for hidden, (rows, columns) in zip(pictures[1:], places, strict=True):
        hidden[:, rows, columns] = replacement[:, rows, columns]
    before, *after = scores(pictures)
    total, count = np.zeros((height, width)), np.zeros((height, width))
    for place, each in zip(places, after, strict=True):
        total[place] += before - each if values == "difference" else each
        count[place] += 1
    return total / count


def mask(number: int, cells: int, probability: float, seed: int, size: tuple[int, int]):
    """Return one of RISE's masks, (h, w), from the random numbers that gradcam draws."""
    rng = np.random.default_rng((seed, number))
    grid = (rng.random((cells, cells)) < probability).astype(np.float64)
    side = [int(np.ceil(length / cells)) for length in size]
    large = reference.resize(grid, ((cells + 1) * side[0], (cells + 1) * side[1]))
    row, column = (int(rng.integers(each)) for each in side)
    return large[row : row + size[0], column : column + size[1]]


def rise(
    scores: Scores, picture: np.ndarray, samples: int, cells: int, probability: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the map (h, w) of a picture (C, h, w), and the standard error of each value."""
    size = picture.shape[1:]
    masks = np.stack([mask(n, cells, probability, seed, size) for n in range(samples)])
    weights = scores(picture * masks[:, None])
    terms = weights[:, None, None] * masks / probability
    return np.mean(terms, 0), np.std(terms, 0, ddof=1) / np.sqrt(samples)
