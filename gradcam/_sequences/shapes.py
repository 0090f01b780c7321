"""Operations that arrange elements and compute nothing."""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcam._sequences.values import F32, Given, Value, record, value_of

_Part: TypeAlias = int | slice | EllipsisType | NDArray[np.integer]
Index: TypeAlias = _Part | tuple[_Part, ...]


def concatenate(values: Sequence[Given], axis: int = -1) -> Value:
    """Return values side by side along an axis; their other axes agree."""
    inputs = tuple(value_of(value) for value in values)
    try:
        joined = np.concatenate([value.array for value in inputs], axis=axis)
    except ValueError as error:
        raise ValueError(
            f"shapes {[value.shape for value in inputs]} cannot be concatenated along axis "
            f"{axis}: {error}"
        ) from None
    ends = np.cumsum([value.shape[axis] for value in inputs])[:-1]
    return record(joined, inputs, lambda gradient: np.split(gradient, ends, axis=axis))


def stack(values: Sequence[Given], axis: int = 0) -> Value:
    """Return values of one shape along a new axis."""
    inputs = tuple(value_of(value) for value in values)
    try:
        stacked = np.stack([value.array for value in inputs], axis=axis)
    except ValueError as error:
        raise ValueError(
            f"shapes {[value.shape for value in inputs]} cannot be stacked: {error}"
        ) from None
    return record(stacked, inputs, lambda gradient: list(np.moveaxis(gradient, axis, 0)))


def select(x: Given, index: Index) -> Value:
    """Return ``x[index]`` by NumPy's rules, for example one step of a sequence.

    Raises
    ------
    ValueError
        If the index is out of range, or nothing is selected.

    """
    value = value_of(x)
    try:
        selected: F32 = np.asarray(value.array[index])
    except IndexError as error:
        raise ValueError(f"values of shape {value.shape}: {error}") from None
    if selected.size == 0:
        raise ValueError(f"nothing is selected by {index!r} from values of shape {value.shape}")

    parts = index if isinstance(index, tuple) else (index,)
    repeats = not all(isinstance(part, int | slice | EllipsisType) for part in parts)

    def backward(gradient: F32) -> tuple[F32]:
        whole = np.zeros(value.shape, np.float32)
        if repeats:
            places = np.arange(value.array.size).reshape(value.shape)[index]
            np.add.at(whole.reshape(-1), places, gradient)
        else:
            whole[index] = gradient
        return (whole,)

    return record(selected, (value,), backward)


def pick(x: Given, indices: ArrayLike) -> Value:
    """Return one element of each row: ``x[..., indices[...]]``.

    Parameters
    ----------
    x : Value or array-like
        (..., V), for example log-probabilities of words.
    indices : array-like of int
        (...), each from 0 to V - 1.

    """
    value = value_of(x)
    if value.array.ndim == 0:
        raise ValueError("a single number has no rows to pick from")
    chosen = whole_numbers(indices, value.shape[-1])
    if chosen.shape != value.shape[:-1]:
        raise ValueError(f"indices of shape {chosen.shape} for rows of shape {value.shape[:-1]}")
    rows = chosen[..., None]

    def backward(gradient: F32) -> tuple[F32]:
        whole = np.zeros(value.shape, np.float32)
        np.put_along_axis(whole, rows, gradient[..., None], axis=-1)
        return (whole,)

    return record(np.take_along_axis(value.array, rows, axis=-1)[..., 0], (value,), backward)


def reshape(x: Given, shape: int | tuple[int, ...]) -> Value:
    """Return the same elements in another shape; one size may be -1.

    Raises
    ------
    ValueError
        If the elements do not fill that shape.
    TypeError
        If a size is not an integer.

    """
    value = value_of(x)
    try:
        reshaped = value.array.reshape(shape)
    except ValueError:
        raise ValueError(
            f"{value.array.size} values of shape {value.shape} do not fill the shape {shape}; at "
            f"most one size may be -1"
        ) from None
    except TypeError:
        raise TypeError(f"the sizes of a shape must be integers, got {shape!r}") from None
    return record(reshaped, (value,), lambda gradient: (gradient.reshape(value.shape),))


def transpose(x: Given, axes: tuple[int, ...]) -> Value:
    """Return the axes in another order, as ``numpy.transpose``.

    Raises
    ------
    ValueError
        If `axes` does not name each axis once.

    """
    value = value_of(x)
    count = value.array.ndim
    places = [axis % count if -count <= axis < count else axis for axis in axes]
    if sorted(places) != list(range(count)):
        raise ValueError(
            f"axes {axes} of values of shape {value.shape}: each of the axes 0 to {count - 1} is "
            f"needed once"
        )
    back = tuple(int(axis) for axis in np.argsort(places))
    return record(
        value.array.transpose(axes), (value,), lambda gradient: (gradient.transpose(back),)
    )


def whole_numbers(indices: ArrayLike, limit: int) -> NDArray[np.intp]:
    """Return indices as an array, each from 0 to ``limit - 1``; ValueError otherwise."""
    given = np.asarray(indices)
    if given.dtype.kind not in "iu":
        raise TypeError(f"indices must be integers, not dtype {given.dtype}")
    if given.size == 0:
        raise ValueError(f"there are no indices: their shape is {given.shape}")
    low, high = int(given.min()), int(given.max())
    if low < 0 or high >= limit:
        raise ValueError(f"index {low if low < 0 else high} is not from 0 to {limit - 1}")
    return given.astype(np.intp, copy=False)
