"""Gaussian blur of pictures, in float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcam._methods.passes import non_negative

_F64 = NDArray[np.float64]

_MOST = 10
"""The largest standard deviation, in longer sides of a picture: its blur is all but constant."""


def check_sigma(name: str, sigma: float, size: Sequence[int]) -> None:
    """Raise TypeError or ValueError unless a standard deviation suits pictures of (height, width).

    It is a number of 0 or more, and at most 10 times the longer side.
    """
    non_negative(name, sigma)
    most = _MOST * max(size)
    if sigma > most:
        raise ValueError(
            f"{name}: expected at most {most} pixels, {_MOST} times the longer side of the input, "
            f"got {sigma:g}"
        )


def gaussian_blur(pictures: ArrayLike, sigma: float, *, zero_outside: bool = False) -> _F64:
    """Blur the last two axes with a Gaussian of standard deviation `sigma`, in pixels.

    The weights end at 4 sigma, as those of SciPy's ``gaussian_filter``.

    Parameters
    ----------
    pictures : (..., h, w) array
    sigma : float
        0: no blur; at most 10 times the longer side.
    zero_outside : bool
        Whether the picture goes on with zeros, as with SciPy's ``mode="constant"``. By default
        only values inside the picture count, and their weights add up to 1.

    Returns
    -------
    (..., h, w) array of float64
    """
    values = np.asarray(pictures, np.float64)
    check_sigma("sigma", sigma, values.shape[-2:])
    rows, columns = (_matrix(size, sigma, zero_outside) for size in values.shape[-2:])
    blurred: _F64 = rows @ values @ columns.T
    return blurred


def _matrix(size: int, sigma: float, zero_outside: bool) -> _F64:
    """Return the (size, size) matrix of the blur along one axis."""
    if sigma == 0:
        return np.eye(size)
    radius = int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    distance = np.abs(np.arange(size)[:, None] - np.arange(size))
    weights = np.where(distance <= radius, np.exp(-0.5 * (distance / sigma) ** 2), 0.0)
    total = kernel.sum() if zero_outside else weights.sum(1, keepdims=True)
    matrix: _F64 = weights / total
    return matrix
