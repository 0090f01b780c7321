"""Matrix products, and the rows of a table."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

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

    def backward(gradient: F32) -> tuple[F32]:
        whole = np.zeros(table.shape, np.float32)
        np.add.at(whole, rows, gradient)
        return (whole,)

    return record(table.array[rows], (table,), backward)


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
    y = value.array @ matrix.array.T
    if bias is not None:
        offset = value_of(bias)
        if offset.shape != matrix.shape[:1]:
            raise ValueError(f"a bias of shape {offset.shape} for {matrix.shape[0]} outputs")
        y += offset.array
        inputs += (offset,)

    def backward(gradient: F32) -> list[F32 | None]:
        flat = gradient.reshape(-1, gradient.shape[-1])
        by_x = gradient @ matrix.array if value.needs_gradient else None
        by_weight = flat.T @ value.array.reshape(len(flat), -1) if matrix.needs_gradient else None
        return [by_x, by_weight, *(flat.sum(axis=0) for _ in inputs[2:])]

    return record(y, inputs, backward)


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
            unbroadcast(gradient @ right.array.swapaxes(-1, -2), left)
            if left.needs_gradient
            else None,
            unbroadcast(left.array.swapaxes(-1, -2) @ gradient, right)
            if right.needs_gradient
            else None,
        )

    return record(left.array @ right.array, (left, right), backward)


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

    def backward(gradient: F32) -> tuple[F32 | None, F32 | None]:
        return (
            (vectors.array @ gradient[:, :, None])[..., 0] if shares.needs_gradient else None,
            shares.array[:, :, None] * gradient[:, None] if vectors.needs_gradient else None,
        )

    return record((shares.array[:, None] @ vectors.array)[:, 0], (shares, vectors), backward)
