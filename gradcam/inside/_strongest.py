"""The largest values of units over many pictures, and where they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_F32 = NDArray[np.float32]
_Ints = NDArray[np.int64]


class Strongest:
    """Keeps the largest values of each unit, as picture after picture is added.

    Of equal values, that of the earlier picture is kept, and in one picture that of the earlier
    place. So the result does not depend on how the pictures are divided into batches.
    """

    def __init__(self, units: int, count: int, per_picture: int) -> None:
        self._count, self._per_picture = count, per_picture
        self._values: _F32 = np.full((units, 0), -np.inf, np.float32)
        self._pictures: _Ints = np.zeros((units, 0), np.int64)
        self._places: _Ints = np.zeros((units, 0), np.int64)
        self._sums = np.zeros(units)
        self._seen = 0

    def __len__(self) -> int:
        return len(self._values)

    def add(self, picture: int, values: _F32) -> None:
        """Add the values of a picture: (units, places). Those that are -inf do not count."""
        places = _largest(values, self._per_picture)
        found = np.take_along_axis(values, places, 1)
        all_values = np.concatenate([self._values, found], 1)
        order = np.argsort(-all_values, 1, "stable")[:, : self._count]
        numbers = np.full(places.shape, picture)
        self._values = np.take_along_axis(all_values, order, 1)
        self._pictures = _taken(self._pictures, numbers, order)
        self._places = _taken(self._places, places, order)
        self._sums += values.clip(0).sum(1, dtype=np.float64)
        self._seen += values.shape[1]

    def of(self, unit: int) -> list[tuple[float, int, int]]:
        """Return the largest values of a unit that are above 0: (value, picture, place)."""
        rows = (self._values[unit], self._pictures[unit], self._places[unit])
        every = zip(*(row.tolist() for row in rows), strict=True)
        return [each for each in every if each[0] > 0]

    def pictures(self) -> set[int]:
        """Return the pictures of all values that are kept."""
        return set(self._pictures[self._values > 0].tolist())

    def silent(self) -> tuple[int, ...]:
        """Return the units that have no value above 0."""
        return tuple(np.flatnonzero(self._counts() == 0).tolist())

    def exceptional(self, most: int) -> tuple[int, ...]:
        """Return the units whose kept values are the largest, compared with the unit's mean.

        The smallest kept value counts. Units for which fewer values are kept come later; units
        without one are left out.
        """
        counts = self._counts()
        smallest = self._values[np.arange(len(self)), counts - 1]
        means = self._sums / max(self._seen, 1)
        ratios = np.divide(smallest, means, out=np.zeros(len(self)), where=counts > 0)
        order = np.lexsort((-ratios, -counts))[:most]
        return tuple(int(unit) for unit in order if counts[unit])

    def _counts(self) -> _Ints:
        """Return how many values above 0 are kept of each unit."""
        counts: _Ints = (self._values > 0).sum(1)
        return counts


def _largest(values: _F32, count: int) -> _Ints:
    """Return the places of the largest values of each row, the earliest of equal ones first."""
    if count == 1:
        return np.asarray(values.argmax(1, keepdims=True), np.int64)
    places: _Ints = np.argsort(-values, 1, "stable")[:, :count].astype(np.int64)
    return places


def _taken(one: _Ints, other: _Ints, order: _Ints) -> _Ints:
    return np.take_along_axis(np.concatenate([one, other], 1), order, 1)
