"""Means and variances of many samples, with their standard errors.

The samples are added up batch by batch, so that memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gradcam._methods.passes import one_of
from gradcam._results import notes

_F32 = NDArray[np.float32]
_F64 = NDArray[np.float64]

Statistic = Literal["mean", "square", "variance"]
"""Of samples v: their mean, the mean of v^2, or the mean of (v - mean)^2."""


def check_statistic(statistic: str, samples: int) -> None:
    """Raise ValueError if it is unknown, or there are too few samples for it."""
    one_of("statistic", statistic, get_args(Statistic))
    if statistic == "variance" and samples < 2:
        raise ValueError(f"samples: a variance needs at least 2, got {samples}")


class Estimate:
    """A statistic of samples that arrive in batches.

    It holds sums of powers of the samples' distances from the first one, in float64: subtracting
    a value near the mean first keeps the digits of the variance.

    Parameters
    ----------
    statistic : "mean", "square" or "variance"
        The variance is divided by the number of samples n, not by n - 1.
    """

    def __init__(self, statistic: Statistic = "mean") -> None:
        self.statistic = statistic
        self.count = 0
        self._first: _F64 = np.zeros(())
        self._sums: list[_F64] = []

    def add(self, samples: NDArray[np.floating]) -> None:
        """Add samples, (S, B, ...): B samples for each of S objectives."""
        values = samples.astype(np.float64)
        if self.statistic == "square":
            values = values**2
        if self.count == 0:
            self._first = values[:, 0].copy()
            powers = 4 if self.statistic == "variance" else 2
            self._sums = [np.zeros_like(self._first) for _ in range(powers)]
        values -= self._first[:, None]
        power = values
        for exponent, total in enumerate(self._sums):
            if exponent:
                power = power * values
            total += power.sum(1)
        self.count += samples.shape[1]

    def value(self) -> _F64:
        """Return the statistic, (S, ...)."""
        if self.statistic == "variance":
            return self._variance()
        mean: _F64 = self._first + self._sums[0] / self.count
        return mean

    def error(self) -> _F64:
        """Return the standard error of :meth:`value`, (S, ...); of two samples or more.

        That of a mean is s / sqrt(n), s^2 being the variance divided by n - 1. That of a variance
        is ``sqrt((m4 - s^4 (n - 3) / (n - 1)) / n)``, m4 being the fourth central moment.
        """
        n = self.count
        unbiased = self._variance() * (n / (n - 1))
        if self.statistic != "variance":
            return np.sqrt(unbiased / n)
        mean, *moments = (each / n for each in self._sums)
        fourth = moments[2] - 4 * mean * moments[1] + 6 * mean**2 * moments[0] - 3 * mean**4
        return np.sqrt(np.maximum(fourth - unbiased**2 * ((n - 3) / (n - 1)), 0) / n)

    def relative_error(self) -> float:
        """Return the root mean square of the standard errors over the largest absolute value.

        The largest such ratio of the S objectives; 0 where all values are zero, NaN for one sample.
        """
        if self.count < 2:
            return float("nan")
        axes = tuple(range(1, self._first.ndim))
        largest = np.abs(self.value()).max(axes)
        errors = np.sqrt((self.error() ** 2).mean(axes))
        return float(np.divide(errors, largest, out=np.zeros_like(errors), where=largest > 0).max())

    def _variance(self) -> _F64:
        mean = self._sums[0] / self.count
        return np.maximum(self._sums[1] / self.count - mean**2, 0)


def stacked(values: Sequence[NDArray[np.floating]], count: int) -> _F32:
    """Return (S, N, ...) float32 of N arrays, each with S objectives or fewer; zero for the rest.

    Parameters
    ----------
    values : sequence of N arrays
        One for each picture, its objectives first.
    count : int
        S.
    """
    found = np.zeros((count, len(values), *values[0].shape[1:]), np.float32)
    for n, each in enumerate(values):
        found[: len(each), n] = each
    return found


def note_error(samples: int, errors: list[float], seed: int, of: str = "") -> None:
    """Note the error of an estimate: the largest of `errors`, shares of the largest value.

    Parameters
    ----------
    samples : int
    errors : list of float
        One for each picture, NaN for one sample.
    seed : int
    of : str
        Which value, if it is not the explanation's: ``"of the mean gradient"``.
    """
    if samples < 2:
        notes.add("One random sample: its error is not known.")
        return
    most = "up to " if len(errors) > 1 else ""
    notes.add(
        f"Estimated from {samples} random samples (seed {seed}): the standard error is "
        f"{most}{100 * max(errors):.2g} % of the largest value{of and f' {of}'}."
    )
