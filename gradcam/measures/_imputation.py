"""Linear imputation of removed pixels (Rong et al., 2022).

Each removed pixel is the weighted mean of its eight neighbours: 1/6 each for those beside it, 1/12
for the diagonal ones; outside the picture there are none, and the weights are scaled to 1. Removed
neighbours are unknown too, so that it is a system of linear equations, symmetric and positive
definite. It is solved by conjugate gradients with a multilevel preconditioner (Bramble, Pasciak
and Xu, 1990): in large holes, plain ones need hundreds of steps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_F64 = NDArray[np.float64]
_Bool = NDArray[np.bool_]

_TOLERANCE = 1e-8
"""Of the residual, as a share of the right-hand side."""

_STEPS = 2000
"""At most; some dozens are needed."""

_ENERGY = 0.9
"""Of a bilinear hat function of any width under these equations, away from known pixels."""


def linear_imputation(picture: NDArray[np.floating], removed: _Bool) -> _F64:
    """Return a picture whose removed pixels are computed from their neighbours.

    Parameters
    ----------
    picture : (C, h, w) array
    removed : (h, w) array of bool
        At least one pixel is not.

    Returns
    -------
    (C, h, w) array
    """
    known: _F64 = np.where(removed, 0.0, np.asarray(picture, np.float64))
    equations = _Equations(removed)
    for channel in known:  # one at a time, so that what is computed stays in the processor's cache
        channel += equations.solve(_neighbours(channel) * removed)
    return known


class _Equations:
    """The equations of the removed pixels; all arrays are pictures, 0 at pixels that are known.

    Parameters
    ----------
    removed : (h, w) array of bool
    """

    def __init__(self, removed: _Bool) -> None:
        self._removed = removed
        self._weights = _neighbours(np.ones(removed.shape))
        known = _neighbours((~removed).astype(np.float64)) * removed
        self._diagonals = []  # of the coarser grids
        while max(known.shape) > 2:
            known = _coarser(_coarser(known, 0), 1)
            self._diagonals.append(_ENERGY + known)

    def solve(self, right: _F64) -> _F64:
        """Return the solution for a right-hand side, by preconditioned conjugate gradients."""
        solution, residual = np.zeros_like(right), right.copy()
        enough = _TOLERANCE**2 * _dot(right, right)
        direction, slope = np.zeros_like(right), 1.0
        for _ in range(_STEPS):
            if _dot(residual, residual) <= enough:
                return solution
            toward = self._approximately(residual)
            before, slope = slope, _dot(residual, toward)
            direction *= slope / before
            direction += toward
            image = self._weights * direction
            image -= _neighbours(direction)
            image *= self._removed
            step = slope / _dot(direction, image)
            solution += step * direction
            residual -= step * image
        raise RuntimeError(f"linear imputation did not converge in {_STEPS} steps")

    def _approximately(self, right: _F64) -> _F64:
        """Return an approximate solution: the sum over grids, each divided by its diagonal."""
        levels = [right]
        for _ in self._diagonals:
            levels.append(_coarser(_coarser(levels[-1], 0), 1))
        diagonals = [self._weights, *self._diagonals]
        found = levels[-1] / diagonals[-1]
        for level, diagonal in zip(levels[-2::-1], diagonals[-2::-1], strict=True):
            height, width = level.shape
            found = _finer(_finer(found, 0, height), 1, width)
            found += level / diagonal
        masked: _F64 = found * self._removed
        return masked


def _neighbours(values: _F64) -> _F64:
    """Return the weighted sum of each pixel's neighbours, of (h, w)."""
    padded = np.pad(values, 1)
    rows = 2 * padded[1:-1]
    rows += padded[:-2]
    rows += padded[2:]
    sums: _F64 = 2 * (rows[:, 1:-1] - 2 * values)
    sums += rows[:, :-2]
    sums += rows[:, 2:]
    sums /= 12
    return sums


def _dot(first: _F64, second: _F64) -> float:
    """Return the scalar product of two pictures."""
    return float(np.einsum("ij,ij", first, second))


def _coarser(values: _F64, axis: int) -> _F64:
    """Add the odd positions of an axis to the even ones beside them, half to each."""
    fine = values if axis == 0 else values.T
    odd = fine[1::2]
    coarse: _F64 = fine[::2].copy()
    coarse[: len(odd)] += odd / 2
    coarse[1:] += odd[: len(coarse) - 1] / 2
    return coarse if axis == 0 else coarse.T


def _finer(values: _F64, axis: int, size: int) -> _F64:
    """Interpolate along an axis: the transpose of :func:`_coarser`."""
    coarse = values if axis == 0 else values.T
    fine = np.empty((size, *coarse.shape[1:]))
    fine[::2], odd = coarse, fine[1::2]
    odd[:] = coarse[: len(odd)] / 2
    odd[: len(coarse) - 1] += coarse[1:] / 2
    return fine if axis == 0 else fine.T
