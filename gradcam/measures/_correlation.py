"""Rank correlation of maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_F64 = NDArray[np.float64]


def spearman(first: ArrayLike, second: ArrayLike) -> float:
    """Return Spearman's rank correlation of two arrays of one shape, -1 to 1.

    It is Pearson's correlation of the ranks; equal values share the mean of their ranks. NaN if one
    of the arrays has the same value everywhere, for which there is no order.

    Raises
    ------
    ValueError
        If the shapes differ, or there are fewer than two values, or values are NaN.
    """
    a, b = np.asarray(first), np.asarray(second)
    if a.shape != b.shape:
        raise ValueError(f"two arrays of one shape are compared, not {a.shape} and {b.shape}")
    if a.size < 2 or np.isnan(a).any() or np.isnan(b).any():
        raise ValueError("a rank correlation needs two or more values, none of them NaN")
    return pearson(ranks(a), ranks(b))


def pearson(first: ArrayLike, second: ArrayLike) -> float:
    """Return the correlation of two arrays of one shape, -1 to 1; NaN if one is constant."""
    a, b = (np.asarray(each, np.float64).ravel() for each in (first, second))
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float(np.clip((a * b).sum() / size, -1, 1)) if size > 0 else float("nan")


def ranks(values: ArrayLike) -> _F64:
    """Return the rank of each value from 1 on, as a flat array; equal values share the mean."""
    _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    means: _F64 = last - (counts - 1) / 2
    return means[inverse.ravel()]
