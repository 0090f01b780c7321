"""How sure a mean over pictures is: the bootstrap; and how sure a share of them is."""

from __future__ import annotations

import math
from typing import NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcam._methods.passes import batches, check_seed, integer, positive, real
from gradcam._text import brief

_F64 = NDArray[np.float64]

_LARGEST = 1e290
"""Of the values: many of them can be added up."""

_NUMBERS = 1 << 20
"""Random numbers that are in memory at a time."""


class Interval(NamedTuple):
    """A mean with its confidence interval.

    Attributes
    ----------
    mean : float
    low, high : float
        NaN if there are fewer than two values.
    size : int
        How many values there are, without NaN.
    """

    mean: float
    low: float
    high: float
    size: int

    def __str__(self) -> str:
        return f"{self.mean:.3g} ({self.low:.3g} to {self.high:.3g}, n = {self.size})"


def bootstrap(
    values: ArrayLike, *, level: float = 0.95, samples: SupportsIndex = 2000, seed: int = 0
) -> Interval:
    """Return the mean of values with its bootstrap confidence interval (Efron 1979).

    The percentile method: as many values as there are, drawn at random with replacement, have
    another mean; the interval holds the middle `level` of the means of `samples` such draws. The
    values must be independent: one for each picture, not one for each pixel. For fewer than 20
    values the interval is too narrow, and if all are equal it has no width at all.

    Parameters
    ----------
    values : (N,) array of numbers
        NaN is left out; :attr:`Interval.size` says how many values are left. If none is left, the
        mean and the interval are NaN.
    level : float
        Between 0 and 1.
    samples : int
        1 or more.
    seed : int
        The same seed draws the same samples, in whatever order the values are.

    Raises
    ------
    ValueError, TypeError
        If the values have another shape or are not numbers, one is infinite, or an option is out of
        range.
    """
    if np.ma.isMaskedArray(values):
        raise ValueError("values: got a masked array, whose masked values would count: give NaN")
    given = np.asarray(values)
    if given.dtype.kind not in "fiub":
        raise ValueError(f"values: expected numbers, got {brief(values)}")
    if given.ndim != 1:
        raise ValueError(f"values: expected numbers of the shape (N,), got {given.shape}")
    samples = positive("samples", samples)
    check_seed(seed)
    if not 0 < real("level", level) < 1:
        raise ValueError(f"level: expected a number between 0 and 1, got {level}")
    found = given.astype(np.float64)
    found = np.sort(found[~np.isnan(found)])
    if np.isinf(found).any():
        raise ValueError("values: expected finite numbers or NaN, got infinity")
    if found.size and np.abs(found).max() > _LARGEST:
        raise ValueError(f"values: expected numbers of at most {_LARGEST:g}, to add them up")
    if found.size < 2:
        return Interval(float(found[0]) if found.size else math.nan, math.nan, math.nan, found.size)
    means = _means(found, samples, np.random.default_rng(seed))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(found.mean()), float(low), float(high), found.size)


def share(count: SupportsIndex, size: SupportsIndex) -> Interval:
    """Return a share with its 95 % confidence interval, by the score method (Wilson 1927).

    Unlike the bootstrap's it has a width for a share of 0 or 1, too. The cases must be independent.

    Parameters
    ----------
    count : int
        The cases that are counted, 0 to `size`.
    size : int
        All cases; if there is none, the share and the interval are NaN.

    Raises
    ------
    ValueError, TypeError
        If one is not a whole number or is below 0, or if `count` is above `size`.
    """
    count, size = integer("count", count), integer("size", size)
    if not 0 <= count <= size:
        raise ValueError(f"expected 0 <= count <= size, got count={count}, size={size}")
    if size == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean, z = count / size, 1.959963984540054
    middle = (mean + z * z / (2 * size)) / (1 + z * z / size)
    half = z / (1 + z * z / size) * math.sqrt(mean * (1 - mean) / size + (z / (2 * size)) ** 2)
    return Interval(mean, min(mean, middle - half), max(mean, middle + half), size)


def _means(values: _F64, samples: int, rng: np.random.Generator) -> _F64:
    """Return the mean of each of many draws with replacement, (samples,)."""
    means = np.empty(samples)
    for part in batches(samples, max(1, _NUMBERS // values.size)):
        drawn = rng.integers(values.size, size=(part.stop - part.start, values.size))
        means[part] = values[drawn].mean(1)
    return means
