"""The comparison of a network with the live model that it was made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.layers import HEADS, INPUT
from gradcam._engine.network import Network
from gradcam._importers.imported import Imported

TOLERANCE = 1e-3
"""Largest difference from the model's output, relative to the largest value of it."""

LOW_PRECISION = 0.05
"""The same for models that compute in 16 bits, and for weights stored in 16 bits."""

_PIXEL_SCALE = 1 / 50
"""Larger than the factors that models multiply pixel values of 0 to 255 by."""


def random_input(imported: Imported, size: tuple[int, int], seed: int = 0) -> NDArray[np.float32]:
    """Return two random pictures of the size (height, width), with values as the model takes them.

    Pixel values of 0 to 255 if its first layer makes them smaller, else values around zero.
    """
    random = np.random.default_rng(seed)
    shape = (2, imported.channels, *size)
    first = [layer for layer in imported.layers if INPUT in layer.inputs]
    scales = [np.abs(x.weights["scale"]).max() if x.op == "affine" else 1.0 for x in first]
    if scales and max(scales) < _PIXEL_SCALE:
        return random.uniform(0, 255, shape).astype(np.float32)
    return random.standard_normal(shape, np.float32)


def output_of(network: Network, imported: Imported, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what the network gives for inputs, after the operation that the model ends in."""
    scores = network.forward(x, input="normalised").scores.astype(np.float64)
    last = imported.layers[-1].op
    if last == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-scores)))
    if last not in HEADS:
        return scores
    logarithm = scores - scores.max(axis=1, keepdims=True)
    logarithm = logarithm - np.log(np.exp(logarithm).sum(axis=1, keepdims=True))
    return np.asarray(logarithm if last == "log_softmax" else np.exp(logarithm))


def difference(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """Return the largest difference, relative to the largest value of `theirs`."""
    theirs = theirs.reshape(len(theirs), -1) if theirs.ndim else theirs
    if ours.shape != theirs.shape:
        return float("inf")
    largest, found = float(np.abs(theirs).max()), float(np.abs(ours - theirs).max())
    return found if largest == 0 else found / largest
