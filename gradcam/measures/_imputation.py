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
    known = np.where(removed, 0.0, picture)
    if removed.any():
        known += _solve(removed, np.where(removed, _neighbours(known), 0.0))
    return known


def _solve(removed: _Bool, right: _F64) -> _F64:
    """Solve the equations for each channel by preconditioned conjugate gradients."""
    weights = _neighbours(np.ones((1, *removed.shape)))
    precondition = _Preconditioner(removed, weights)
    solution, residual = np.zeros_like(right), right.copy()
    enough = _TOLERANCE**2 * _dot(right, right)
    direction = toward = precondition(residual)
    slope = _dot(residual, toward)
    for _ in range(_STEPS):
        if (_dot(residual, residual) <= enough).all():
            return solution
        image = weights * direction
        image -= _neighbours(direction)
        image *= removed
        step = _share(slope, _dot(direction, image))
        solution += step * direction
        residual -= step * image
        toward = precondition(residual)
        before, slope = slope, _dot(residual, toward)
        direction = toward + direction * _share(slope, before)
    raise RuntimeError(f"linear imputation did not converge in {_STEPS} steps")


def _neighbours(values: _F64) -> _F64:
    """Return the weighted sum of each pixel's neighbours, of (C, h, w)."""
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1)))
    rows = 2 * padded[:, 1:-1]
    rows += padded[:, :-2]
    rows += padded[:, 2:]
    sums: _F64 = 2 * (rows[..., 1:-1] - 2 * values)
    sums += rows[..., :-2]
    sums += rows[..., 2:]
    sums /= 12
    return sums


def _dot(first: _F64, second: _F64) -> _F64:
    """Return the scalar product of each channel, (C, 1, 1)."""
    products: _F64 = np.einsum("cij,cij->c", first, second)[:, None, None]
    return products


def _share(part: _F64, whole: _F64) -> _F64:
    """Return the quotient, 0 where the whole is: a channel that is solved."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


class _Preconditioner:
    """An approximate inverse: the residual on grids of all widths, divided by the diagonals.

    Parameters
    ----------
    removed : (h, w) array of bool
    weights : (1, h, w) array
        The sums of the weights of each pixel's neighbours.
    """

    def __init__(self, removed: _Bool, weights: _F64) -> None:
        self._removed = removed
        self._diagonals = [weights]
        known = np.where(removed, _neighbours((~removed)[None].astype(float)), 0.0)
        while max(known.shape[1:]) > 2:
            known = _coarser(_coarser(known, 1), 2)
            self._diagonals.append(_ENERGY + known)

    def __call__(self, residual: _F64) -> _F64:
        """Return the approximate solution for a residual of (C, h, w)."""
        levels = [residual]
        for _ in self._diagonals[1:]:
            levels.append(_coarser(_coarser(levels[-1], 1), 2))
        found = levels[-1] / self._diagonals[-1]
        for level, diagonal in zip(levels[-2::-1], self._diagonals[-2::-1], strict=True):
            rows = _finer(found, 1, level.shape[1])
            found = _finer(rows, 2, level.shape[2])
            found += level / diagonal
        found *= self._removed
        return found


def _coarser(values: _F64, axis: int) -> _F64:
    """Add the odd positions of an axis to the even ones beside them, half to each."""
    fine = np.moveaxis(values, axis, 0)
    coarse, odd = fine[::2].copy(), fine[1::2]
    coarse[: len(odd)] += odd / 2
    coarse[1:] += odd[: len(coarse) - 1] / 2
    return np.moveaxis(coarse, 0, axis)


def _finer(values: _F64, axis: int, size: int) -> _F64:
    """Interpolate along an axis: the transpose of :func:`_coarser`."""
    coarse = np.moveaxis(values, axis, 0)
    fine = np.empty((size, *coarse.shape[1:]))
    fine[::2], odd = coarse, fine[1::2]
    odd[:] = coarse[: len(odd)] / 2
    odd[: len(coarse) - 1] += coarse[1:] / 2
    return np.moveaxis(fine, 0, axis)
