"""Structural similarity of two maps."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

_F64 = NDArray[np.float64]

WINDOW = 11
"""The side of a window, and so the smallest side of a map."""

_RADIUS, _SIGMA = WINDOW // 2, 1.5
_K1, _K2 = 0.01, 0.03


def structural_similarity(first: ArrayLike, second: ArrayLike, range: float = 1.0) -> float:
    """Return the structural similarity (SSIM) of two maps, at most 1 (Wang et al., 2004).

    Local means, variances and the covariance have Gaussian weights, sigma 1.5, in windows of 11 by
    11 values that lie inside the map; the result is the mean over the windows. It is
    scikit-image's ``structural_similarity`` with ``gaussian_weights=True``,
    ``use_sample_covariance=False``.

    Parameters
    ----------
    first, second : (h, w) arrays
        At least 11 by 11.
    range : float
        The difference of the largest and the smallest value there can be, above 0.

    Raises
    ------
    ValueError
        If the shapes differ or are too small, values are not finite, or the range is not above 0.
    """
    a, b = (np.asarray(each, np.float64) for each in (first, second))
    if a.shape != b.shape or a.ndim != 2 or min(a.shape) < WINDOW:
        raise ValueError(
            f"expected two maps of one shape, at least 11 x 11, got {a.shape} and {b.shape}"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()) or not 0 < range < np.inf:
        raise ValueError("the values must be finite, and the range above 0")
    mean_a, mean_b = _smooth(a), _smooth(b)
    variances = _smooth(a * a) - mean_a**2 + _smooth(b * b) - mean_b**2
    covariance = _smooth(a * b) - mean_a * mean_b
    c1, c2 = (_K1 * range) ** 2, (_K2 * range) ** 2
    numerator = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return float((numerator / ((mean_a**2 + mean_b**2 + c1) * (variances + c2))).mean())


def _smooth(values: _F64) -> _F64:
    """Return the weighted mean of each window, (h - 10, w - 10)."""
    weights = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA) ** 2)
    weights /= weights.sum()
    rows: _F64 = sliding_window_view(values, weights.size, 0) @ weights
    columns: _F64 = sliding_window_view(rows, weights.size, 1) @ weights
    return columns
