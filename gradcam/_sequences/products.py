"""Matrix products, and the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from gradcam import _core
from gradcam._sequences.pointwise import unbroadcast
from gradcam._sequences.shapes import whole_numbers
from gradcam._sequences.values import F32, Given, Value, record, value_of


def embedding(indices: ArrayLike, weight: Given) -> Value:
    """Return a row of a table for each index.

    Parameters
    ----------
    indices : array-like of int
        (T, N), or of any other shape; each from 0 to V - 1.
    weight : Value or array-like
        (V, E).

    Returns
    -------
    Value
        (T, N, E).

    """
    table = value_of(weight)
    if table.array.ndim != 2:
        raise ValueError(f"the table of an embedding is (V, E), not {table.shape}")
    rows = whole_numbers(indices, table.shape[0])

    numbers, size = rows.reshape(-1), table.shape[1]
    return record(
        _core.gather_rows(table.array, numbers).reshape(*rows.shape, size),
        (table,),
        lambda gradient: (_core.scatter_rows(gradient.reshape(-1, size), numbers, table.shape[0]),),
    )


def linear(x: Given, weight: Given, bias: Given | None = None) -> Value:
    """Return ``x @ weight.T + bias``.

    Parameters
    ----------
    x : Value or array-like
        (..., I).
    weight : Value or array-like
        (O, I).
    bias : Value or array-like, optional
        (O,).

    Returns
    -------
    Value
        (..., O).

    """
    value, matrix = value_of(x), value_of(weight)
    inputs: tuple[Value, ...] = (value, matrix)
    if matrix.array.ndim != 2 or value.shape[-1:] != matrix.shape[1:]:
        raise ValueError(
            f"weights of shape {matrix.shape} do not fit values of shape {value.shape}: "
            "(O, I) and (..., I) are needed"
        )
    offset = None if bias is None else value_of(bias)
    if offset is not None:
        if offset.shape != matrix.shape[:1]:
            raise ValueError(f"a bias of shape {offset.shape} for {matrix.shape[0]} outputs")
        inputs += (offset,)

    def backward(gradient: F32) -> list[F32 | None]:
        by_x = times(gradient, matrix.array) if value.needs_gradient else None
        return [by_x, *by_weights(gradient, value.array, inputs[1:])]

    y = times(value.array, matrix.transposed, None if offset is None else offset.array)
    return record(y, inputs, backward)


def times(x: F32, matrix: F32, bias: F32 | None = None) -> F32:
    """Return ``x @ matrix + bias`` of rows (..., K) and a matrix (K, N)."""
    y = _core.matrix_product(x.reshape(1, -1, x.shape[-1]), matrix[None], bias)
    return y.reshape(*x.shape[:-1], matrix.shape[1])


def by_weights(gradient: F32, x: F32, weights: Sequence[Value]) -> list[F32 | None]:
    """Return the gradients by the weights, and by biases, of :func:`linear`.

    Parameters
    ----------
    gradient, x : ndarray
        (..., O), by the output, and (..., I).
    weights : sequence of Value
        The weights and any number of biases.

    """
    flat = gradient.reshape(-1, gradient.shape[-1])
    needed = [value.needs_gradient for value in weights]
    return [
        times(flat.T, x.reshape(len(flat), -1)) if needed[0] else None,
        *(flat.sum(axis=0) if each else None for each in needed[1:]),
    ]


def matmul(a: Given, b: Given) -> Value:
    """Return the matrix products (..., M, K) by (..., K, N), with broadcasting of the first axes.

    Both have at least two axes.
    """
    left, right = value_of(a), value_of(b)
    fits = left.array.ndim >= 2 and right.array.ndim >= 2 and left.shape[-1] == right.shape[-2]
    try:
        np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"shapes {left.shape} and {right.shape} have no matrix product: (..., M, K) and "
            "(..., K, N) are needed"
        )

    def backward(gradient: F32) -> tuple[F32 | None, F32 | None]:
        return (
            unbroadcast(_matrices(gradient, right.array.swapaxes(-1, -2)), left)
            if left.needs_gradient
            else None,
            unbroadcast(_matrices(left.array.swapaxes(-1, -2), gradient), right)
            if right.needs_gradient
            else None,
        )

    return record(_matrices(left.array, right.array), (left, right), backward)


def _matrices(a: F32, b: F32) -> F32:
    """Return ``a @ b`` of at least two axes each."""
    first = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    both = [
        np.broadcast_to(each, (*first, *each.shape[-2:])).reshape(-1, *each.shape[-2:])
        for each in (a, b)
    ]
    return _core.matrix_product(*both).reshape(*first, a.shape[-2], b.shape[-1])


def attend(weights: Given, items: Given) -> Value:
    """Return the sum of a picture's or sequence's items, each times its weight.

    Parameters
    ----------
    weights : Value or array-like
        (N, P), for example a softmax over P steps or positions.
    items : Value or array-like
        (N, P, D).

    Returns
    -------
    Value
        (N, D).

    """
    shares, vectors = value_of(weights), value_of(items)
    if shares.array.ndim != 2 or vectors.array.ndim != 3 or vectors.shape[:2] != shares.shape:
        raise ValueError(
            f"weights of shape {shares.shape} and items of shape {vectors.shape}: (N, P) and "
            "(N, P, D) are needed"
        )

    y = _core.weighted_sum(shares.array, vectors.array[:, :, None])[:, 0]
    return record(
        y,
        (shares, vectors),
        lambda gradient: _core.weighted_sum_gradient(shares.array, vectors.array, gradient),
    )
