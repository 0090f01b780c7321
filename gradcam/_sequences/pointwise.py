"""Operations on each element by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gradcam import _core
from gradcam._sequences.values import F32, Given, Value, record, value_of


def add(a: Given, b: Given) -> Value:
    """Return ``a + b``, with broadcasting."""
    first, second = _pair(a, b)
    return record(
        first.array + second.array,
        (first, second),
        lambda gradient: (unbroadcast(gradient, first), unbroadcast(gradient, second)),
    )


def subtract(a: Given, b: Given) -> Value:
    """Return ``a - b``, with broadcasting."""
    first, second = _pair(a, b)
    return record(
        first.array - second.array,
        (first, second),
        lambda gradient: (unbroadcast(gradient, first), unbroadcast(-gradient, second)),
    )


def multiply(a: Given, b: Given) -> Value:
    """Return ``a * b``, element by element, with broadcasting."""
    first, second = _pair(a, b)
    return record(
        first.array * second.array,
        (first, second),
        lambda gradient: (
            unbroadcast(gradient * second.array, first),
            unbroadcast(gradient * first.array, second),
        ),
    )


def maximum(values: Sequence[Given]) -> Value:
    """Return the largest of several values at each place; all have one shape.

    The gradient goes to the first of equal maxima.
    """
    inputs = tuple(value_of(value) for value in values)
    if not inputs:
        raise ValueError("no values to take the maximum of")
    if any(value.shape != inputs[0].shape for value in inputs):
        raise ValueError(
            f"values of different shapes have no maximum: {[value.shape for value in inputs]}"
        )
    stacked = np.stack([value.array for value in inputs])
    winner = stacked.argmax(axis=0)
    return record(
        stacked.max(axis=0),
        inputs,
        lambda gradient: [gradient * (winner == i) for i in range(len(inputs))],
    )


def relu(x: Given) -> Value:
    """Return ``max(x, 0)``."""
    value = value_of(x)
    return record(
        np.maximum(value.array, 0), (value,), lambda gradient: (gradient * (value.array > 0),)
    )


def tanh(x: Given) -> Value:
    """Return the hyperbolic tangent."""
    return _smooth(x, _core.tanh)


def sigmoid(x: Given) -> Value:
    """Return ``1 / (1 + exp(-x))``."""
    return _smooth(x, _core.sigmoid)


def _smooth(x: Given, function: Callable[[F32], tuple[F32, F32]]) -> Value:
    """Apply a function that returns its values and its derivatives."""
    value = value_of(x)
    y, derivative = (each.reshape(value.shape) for each in function(value.array.reshape(-1)))
    return record(y, (value,), lambda gradient: (gradient * derivative,))


def unbroadcast(gradient: F32, value: Value) -> F32 | None:
    """Return the gradient by a value that was broadcast: the sum over its copies."""
    if not value.needs_gradient:
        return None
    shape = value.shape
    more = gradient.ndim - len(shape)
    axes = tuple(range(more)) + tuple(
        more + axis
        for axis, size in enumerate(shape)
        if size == 1 and gradient.shape[more + axis] != 1
    )
    return gradient.sum(axis=axes).reshape(shape) if axes else gradient


def _pair(a: Given, b: Given) -> tuple[Value, Value]:
    first, second = value_of(a), value_of(b)
    try:
        np.broadcast_shapes(first.shape, second.shape)
    except ValueError:
        raise ValueError(
            f"shapes {first.shape} and {second.shape} cannot be broadcast to one shape"
        ) from None
    return first, second
