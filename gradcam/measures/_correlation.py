"""Correlation of maps, of their values and of their ranks."""

from __future__ import annotations

from typing import Any

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
    TypeError
        If the values are not numbers.
    """
    a, b = _pair(first, second)
    return pearson(ranks(a), ranks(b))


def pearson(first: ArrayLike, second: ArrayLike) -> float:
    """Return Pearson's correlation of two arrays of one shape, -1 to 1.

    NaN if one of the arrays has the same value everywhere.

    Raises
    ------
    ValueError
        If the shapes differ, or there are fewer than two values, or values are NaN or infinite.
    TypeError
        If the values are not numbers.
    """
    a, b = (each.astype(np.float64).ravel() for each in _pair(first, second))
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("Pearson's correlation needs finite values")
    if a.min() == a.max() or b.min() == b.max():
        return float("nan")
    a, b = _centred(a), _centred(b)
    return float(np.clip((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()), -1, 1))


def _pair(first: ArrayLike, second: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return two arrays of one shape, having checked them."""
    a, b = np.asarray(first), np.asarray(second)
    if a.dtype.kind not in "fiub" or b.dtype.kind not in "fiub":
        raise TypeError(f"two arrays of numbers are compared, not {a.dtype} and {b.dtype}")
    if a.shape != b.shape:
        raise ValueError(f"two arrays of one shape are compared, not {a.shape} and {b.shape}")
    if a.size < 2 or np.isnan(a).any() or np.isnan(b).any():
        raise ValueError("a correlation needs two or more values, none of them NaN")
    return a, b


def _centred(values: _F64) -> _F64:
    """Return values of which some differ, less their mean, of sizes whose squares are normal."""
    scaled = values / np.abs(values).max()
    scaled -= scaled.mean()
    found: _F64 = scaled / np.abs(scaled).max()
    return found


def ranks(values: ArrayLike) -> _F64:
    """Return the rank of each value from 1 on, as a flat array; equal values share the mean."""
    _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    means: _F64 = last - (counts - 1) / 2
    return means[inverse.ravel()]
