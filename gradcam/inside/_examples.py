"""The pictures in which each unit is strongest."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam._pictures.image import Geometry


class Example(NamedTuple):
    """A picture in which a unit is strong.

    Attributes
    ----------
    picture : int
        Its position among the pictures.
    value : float
        The largest value of the unit there.
    map : (h, w) array of float32
        The unit's values.
    geometry : Geometry
        How the input lies on the picture.
    """

    picture: int
    value: float
    map: NDArray[np.float32]
    geometry: Geometry


class Examples:
    """Keeps the strongest pictures of each of K units; of equal ones, the first."""

    def __init__(self, units: int, count: int) -> None:
        self.of: list[list[Example]] = [[] for _ in range(units)]
        self._count = count
        self._weakest = np.full(units, -np.inf, np.float32)

    def add(self, picture: int, maps: NDArray[np.float32], geometry: Geometry) -> None:
        """Add one picture's maps, (K, h, w)."""
        values = maps.max(axis=(1, 2))
        for unit in np.flatnonzero(values > self._weakest).tolist():
            kept = self.of[unit]
            kept.append(Example(picture, float(values[unit]), maps[unit].copy(), geometry))
            kept.sort(key=lambda each: -each.value)  # keeps the order of equal ones
            del kept[self._count :]
            if len(kept) == self._count:
                self._weakest[unit] = kept[-1].value
