"""Tensors of every layout as float32 with PyTorch's order of axes; only the order changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Conversion = Callable[[NDArray[Any]], NDArray[Any]]
"""A function that converts a tensor to PyTorch's order of axes."""

_TILE = 64
"""Rows and columns that are transposed at a time, so that both fit into the cache."""


def as_float32(values: NDArray[Any]) -> NDArray[Any]:
    """Return the tensor as float32, without a copy if it is float32 already."""
    with np.errstate(over="ignore"):  # infinite values are refused with the layer
        return values.astype(np.float32, copy=False)


def flat(values: NDArray[Any]) -> NDArray[Any]:
    """Return the tensor as a vector."""
    return as_float32(values).reshape(-1)


def reshaped(shape: tuple[int, ...]) -> Conversion:
    """Return the conversion to this shape, for a tensor whose values are in order."""
    return lambda values: as_float32(values).reshape(shape)


def kernel_from_outputs_last(values: NDArray[Any]) -> NDArray[Any]:
    """Return a convolution's weight (H, W, I, O) as (O, I, H, W)."""
    height, width, inputs, outputs = values.shape
    matrix = as_float32(values).reshape(-1, outputs)
    return transposed(matrix, height * width).reshape(outputs, inputs, height, width)


def matrix_from_outputs_last(shape: tuple[int, ...], positions: int) -> Conversion:
    """Return the conversion of a matrix (I, O) of this shape to (O, I).

    The inputs are a map of so many positions, flattened as (H, W, C) and to be (C, H, W).
    """
    return lambda values: transposed(as_float32(values).reshape(shape), positions)


def transposed(matrix: NDArray[Any], positions: int) -> NDArray[Any]:
    """Return (positions * channels, outputs) as (outputs, channels * positions), contiguous.

    This is the only copy that is made: 411 MB for fc6 of VGG-16.
    """
    inputs, outputs = matrix.shape
    channels = inputs // positions
    source = matrix.reshape(positions, channels, outputs)
    result: NDArray[Any] = np.empty((outputs, channels, positions), matrix.dtype)
    for row in range(0, outputs, _TILE):
        for channel in range(0, channels, _TILE):
            tile = np.ascontiguousarray(source[:, channel : channel + _TILE, row : row + _TILE])
            result[row : row + _TILE, channel : channel + _TILE] = tile.transpose(2, 1, 0)
    return result.reshape(outputs, inputs)
