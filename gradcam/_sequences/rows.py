"""Operations on the last axis: of words, answers, steps or positions."""

from __future__ import annotations

import numpy as np

from gradcam._sequences.values import Given, Value, record, value_of


def softmax(x: Given) -> Value:
    """Return the softmax over the last axis."""
    value = _rows(x, "the softmax")
    y = np.exp(value.array - value.array.max(-1, keepdims=True))
    y /= y.sum(-1, keepdims=True)
    return record(
        y, (value,), lambda gradient: (y * (gradient - (gradient * y).sum(-1, keepdims=True)),)
    )


def log_softmax(x: Given) -> Value:
    """Return the logarithm of the softmax over the last axis."""
    value = _rows(x, "the softmax")
    shifted = value.array - value.array.max(-1, keepdims=True)
    y = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return record(
        y, (value,), lambda gradient: (gradient - np.exp(y) * gradient.sum(-1, keepdims=True),)
    )


def normalise(x: Given) -> Value:
    """Return ``x / ||x||`` over the last axis; a row of zeros stays one, without a gradient."""
    value = _rows(x, "a normalised row")
    norm = np.linalg.norm(value.array, axis=-1, keepdims=True)
    inverse = np.where(norm > 0, 1 / np.where(norm > 0, norm, 1), 0).astype(np.float32)
    y = value.array * inverse
    return record(
        y,
        (value,),
        lambda gradient: (inverse * (gradient - y * (gradient * y).sum(-1, keepdims=True)),),
    )


def _rows(x: Given, what: str) -> Value:
    value = value_of(x)
    if value.array.ndim == 0:
        raise ValueError(f"{what} needs at least one axis, but a single number was given")
    return value
