"""What keeps pictures made by a network from being noise: penalties, blur, jitter and zoom.

Values are (N, C, h, w).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_F32 = NDArray[np.float32]


def l2(values: _F32, mean: _F32) -> tuple[_F32, _F32]:
    """Return the squared distance from the mean image, (N,), and its gradient."""
    away = values - mean
    return np.einsum("nchw,nchw->n", away, away), 2 * away


def total_variation(values: _F32) -> tuple[_F32, _F32]:
    """Return the squared differences of neighbours, summed, (N,), and their gradient.

    This is the total variation of Mahendran and Vedaldi (2015) with the exponent 2.
    """
    down, right = np.diff(values, axis=2), np.diff(values, axis=3)
    total = np.einsum("nchw,nchw->n", down, down) + np.einsum("nchw,nchw->n", right, right)
    gradient = np.zeros_like(values)
    gradient[:, :, 1:] += down
    gradient[:, :, :-1] -= down
    gradient[:, :, :, 1:] += right
    gradient[:, :, :, :-1] -= right
    return total, 2 * gradient


def blur(values: _F32, sigma: float) -> _F32:
    """Blur with a Gaussian of standard deviation `sigma`, in pixels; weights at edges sum to 1."""
    reach = math.ceil(4 * sigma)
    taps = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    for axis in (2, 3):
        length = values.shape[axis]
        total, weight = np.zeros_like(values), np.zeros(length)
        for offset, tap in zip(range(-reach, reach + 1), taps, strict=True):
            first, last = max(0, -offset), min(length, length - offset)
            if first < last:
                inside = [slice(None)] * 4
                source = inside.copy()
                inside[axis], source[axis] = (
                    slice(first, last),
                    slice(first + offset, last + offset),
                )
                total[tuple(inside)] += np.float32(tap) * values[tuple(source)]
                weight[first:last] += tap
        values = total / _along(weight.astype(np.float32), axis)
    return values


@dataclass(frozen=True)
class View:
    """A picture, shifted and enlarged around its centre: what the network sees in one step.

    Attributes
    ----------
    shift : (rows, columns)
        What leaves one edge comes in at the other.
    factor : float
        The values between pixels are interpolated linearly; edges are repeated.
    """

    shift: tuple[int, int] = (0, 0)
    factor: float = 1.0

    @classmethod
    def random(cls, rng: np.random.Generator, jitter: int, zoom: float) -> View:
        """Return a view shifted by up to `jitter` pixels, and 1 - zoom to 1 + zoom times as large.

        Two integers and a number are drawn, whether they are used or not.
        """
        down, right = (int(each) for each in rng.integers(-jitter, jitter + 1, 2))
        return cls((down, right), 1 + zoom * rng.uniform(-1, 1))

    def __call__(self, values: _F32) -> _F32:
        """Return what is seen of values."""
        seen = values if self.shift == (0, 0) else np.roll(values, self.shift, (2, 3))
        for axis in (2, 3) if self.factor != 1 else ():
            low, share = self._sources(seen.shape[axis])
            above = seen.take(low + 1, axis)
            seen = seen.take(low, axis)
            seen += _along(share, axis) * (above - seen)
        return seen

    def gradient(self, by_seen: _F32) -> _F32:
        """Return the gradient by the values, given the one by what is seen."""
        for axis in (3, 2) if self.factor != 1 else ():
            low, share = self._sources(by_seen.shape[axis])
            # `low` does not fall: equal ones are neighbours, whose gradients are summed.
            starts = np.flatnonzero(np.diff(low, prepend=-1))
            into = np.moveaxis(np.zeros_like(by_seen), axis, 0)
            for offset, part in ((0, 1 - share), (1, share)):
                sums = np.add.reduceat(_along(part, axis) * by_seen, starts, axis)
                into[low[starts] + offset] += np.moveaxis(sums, axis, 0)
            by_seen = np.moveaxis(into, 0, axis)
        if self.shift == (0, 0):
            return by_seen
        return np.roll(by_seen, (-self.shift[0], -self.shift[1]), (2, 3))

    def _sources(self, length: int) -> tuple[NDArray[np.intp], _F32]:
        """Return from which two neighbours each pixel comes: the lower, and the upper's share."""
        centre, at = (length - 1) / 2, np.arange(length)
        source = ((at - centre) / self.factor + centre).clip(0, length - 1)
        low = np.minimum(source.astype(np.intp), length - 2)
        return low, (source - low).astype(np.float32)


def _along(values: _F32, axis: int) -> _F32:
    """Return a row of numbers so that it multiplies along one axis of (N, C, h, w)."""
    return values[:, None] if axis == 2 else values
