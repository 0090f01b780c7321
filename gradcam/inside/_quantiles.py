"""Quantiles of each unit's values over many pictures, exactly, in limited memory."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_F32 = NDArray[np.float32]


class Quantiles:
    """Keeps the largest values of each unit, as many as the quantile needs.

    Parameters
    ----------
    units : int
        K.
    most : int
        The largest number of values for each unit that will be added.
    quantile : float
        q, between 0 and 1. For each unit about (1 - q) * most values are kept, twice for a time.
    """

    def __init__(self, units: int, most: int, quantile: float) -> None:
        self.quantile = quantile
        self.count = 0
        self.smallest = np.full(units, np.inf, np.float32)
        self._kept = most - self._rank(most) + 1
        self._parts: list[_F32] = []
        self._length = 0

    def _rank(self, count: int) -> int:
        """Return the position of the quantile among values from small to large, from 1 on."""
        return max(1, math.ceil(self.quantile * count))

    def add(self, values: _F32) -> None:
        """Add values of all units, (K, M)."""
        self.count += values.shape[1]
        np.minimum(self.smallest, values.min(1), out=self.smallest)
        self._parts.append(self._largest(values, self._kept))
        self._length += self._parts[-1].shape[1]
        if self._length > 2 * self._kept:
            together = self._largest(np.concatenate(self._parts, axis=1), self._kept)
            self._parts, self._length = [together], together.shape[1]

    def _largest(self, values: _F32, count: int) -> _F32:
        """Return the `count` largest values of each unit, in any order."""
        if values.shape[1] > count:
            values = np.partition(values, -count, axis=1)[:, -count:]
        return np.array(values)  # not a view of all values

    def found(self) -> _F32:
        """Return the smallest value that at least q of a unit's values do not exceed, (K,).

        So at most 1 - q of a unit's values are above it.
        """
        place = self.count - self._rank(self.count)  # from the largest, from 0 on
        values = np.concatenate(self._parts, axis=1)
        last = values.shape[1] - 1
        found: _F32 = np.partition(values, last - place, axis=1)[:, last - place].copy()
        return found
