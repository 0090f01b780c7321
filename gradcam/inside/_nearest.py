"""Exact nearest neighbours by comparing all with all, in blocks.

Squared distances are found in two steps. A matrix product in float64,

    |q - x|^2 = |q|^2 + |x|^2 - 2 q.x,

is fast, but rounds where q and x are nearly equal. So it only finds the candidates: all that its
rounding error may have put behind the last neighbour. Their distances are then computed by
subtraction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gradcam._methods.passes import batches, one_of
from gradcam._text import counted

Metric = Literal["l2", "cosine"]
"""Euclidean distance, or 1 minus the cosine of the angle."""

_F64 = NDArray[np.float64]
_I64 = NDArray[np.int64]
_Rows = Callable[[NDArray[np.generic]], _F64]

_TOGETHER = 1 << 24
"""Distances that are in memory at a time: 128 MB."""

_BLOCK = 1 << 22
"""Numbers of a block of vectors: 32 MB."""


def nearest(
    values: NDArray[np.generic],
    queries: NDArray[np.generic],
    count: int,
    *,
    metric: Metric = "l2",
    own: _I64 | None = None,
) -> tuple[_I64, _F64]:
    """Return the nearest of `values` for each query.

    Parameters
    ----------
    values : (N, D) array of numbers
    queries : (Q, D) array of numbers
    count : int
        How many neighbours, 1 to N; with a place in `own` to N - 1.
    metric : "l2" or "cosine"
    own : (Q,) array of int64, optional
        The place of each query in `values`, which is not a neighbour of itself; -1 for a query that
        is none of them.

    Returns
    -------
    (Q, count) array of int64
        Places in `values`, the nearest first; of equal distances the lower place first.
    (Q, count) array of float64
        The distances.

    Raises
    ------
    ValueError
        If there are not as many neighbours, or the metric is the cosine and a vector is zero.
    """
    one_of("metric", metric, get_args(Metric))
    own = np.full(len(queries), -1) if own is None else own
    less = bool((own >= 0).any())
    most = len(values) - less
    if count > most:
        whose = " besides the picture itself" if less else ""
        were = "was" if count == 1 else "were"
        raise ValueError(
            f"count: {counted(count, 'neighbour')} {were} asked for, but the set has "
            f"{counted(most, 'picture')}{whose}"
        )
    rows = _float64 if metric == "l2" else _directions
    norms = _squared_norms(values, rows)
    places = np.empty((len(queries), count), np.int64)
    squares = np.empty((len(queries), count))
    for part in batches(len(queries), max(1, _TOGETHER // len(values))):
        asked = rows(queries[part])
        rough, error = _rough(values, asked, norms, rows)
        known = np.flatnonzero(own[part] >= 0)
        rough[known, own[part][known]] = np.inf
        for n, row in enumerate(rough, part.start):
            found = _candidates(row, count, error[n - part.start])
            exact = _exact(values, found, asked[n - part.start], rows)
            order = np.lexsort((found, exact))[:count]
            places[n], squares[n] = found[order], exact[order]
    return places, np.sqrt(squares) if metric == "l2" else squares / 2


def _float64(part: NDArray[np.generic]) -> _F64:
    return part.astype(np.float64)


def _directions(part: NDArray[np.generic]) -> _F64:
    """Return vectors of length 1, for which |q - x|^2 / 2 is 1 minus the cosine."""
    long = part.astype(np.float64)
    norms = np.linalg.norm(long, axis=1, keepdims=True)
    zero = int((norms == 0).sum())
    if zero:
        raise ValueError(
            f"metric: {zero} picture{' has' if zero == 1 else 's have'} only zeros in the code, "
            f"which have no direction: use 'l2', or the codes of another layer"
        )
    return np.asarray(long / norms, np.float64)


def _squared_norms(values: NDArray[np.generic], rows: _Rows) -> _F64:
    """Return the squared length of each vector."""
    norms = np.empty(len(values))
    for part in _blocks(values):
        block = rows(values[part])
        norms[part] = np.einsum("nd,nd->n", block, block)
    return norms


def _rough(values: NDArray[np.generic], asked: _F64, norms: _F64, rows: _Rows) -> tuple[_F64, _F64]:
    """Return squared distances, (Q, N), and a bound of their rounding errors, (Q,)."""
    lengths = np.einsum("nd,nd->n", asked, asked)
    rough = np.empty((len(asked), len(values)))
    for part in _blocks(values):
        np.matmul(asked, rows(values[part]).T, out=rough[:, part])
    rough *= -2
    rough += norms
    rough += lengths[:, None]
    error = (4 * values.shape[1] + 16) * np.finfo(np.float64).eps
    return rough, error * (lengths + norms.max())


def _candidates(rough: _F64, count: int, error: float) -> _I64:
    """Return the places that may be among the nearest: in both of two distances lies an error."""
    limit = np.partition(rough, count - 1)[count - 1] + 2 * error
    return np.flatnonzero(rough <= limit)


def _exact(values: NDArray[np.generic], places: _I64, query: _F64, rows: _Rows) -> _F64:
    """Return the squared distances of these places, by subtraction."""
    exact = np.empty(len(places))
    for part in batches(len(places), max(1, _BLOCK // values.shape[1])):
        difference = rows(values[places[part]]) - query
        exact[part] = np.einsum("nd,nd->n", difference, difference)
    return exact


def _blocks(values: NDArray[np.generic]) -> list[slice]:
    return list(batches(len(values), max(1, _BLOCK // values.shape[1])))
