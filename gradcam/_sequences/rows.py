"""Operations on the last axis: of words, answers, steps or positions."""

from __future__ import annotations

import numpy as np

from gradcam import _core
from gradcam._sequences.values import Given, Value, record, value_of


def softmax(x: Given) -> Value:
    """Return the softmax over the last axis."""
    return _softmax(x, logarithm=False)


def log_softmax(x: Given) -> Value:
    """Return the logarithm of the softmax over the last axis."""
    return _softmax(x, logarithm=True)


def _softmax(x: Given, logarithm: bool) -> Value:
    value = _rows(x, "the softmax")
    rows = value.array.reshape(-1, value.shape[-1])
    return record(
        _core.softmax_rows(rows, logarithm).reshape(value.shape),
        (value,),
        lambda gradient: (
            _core.softmax_rows(rows, logarithm, gradient.reshape(rows.shape)).reshape(value.shape),
        ),
    )


def normalise(x: Given) -> Value:
    """Return ``x / ||x||`` over the last axis; a row of zeros stays one, without a gradient.

    The norm is computed in float64, in which no sum of squares overflows. A row whose norm has a
    reciprocal beyond float32, below 3e-39, counts as zero.
    """
    value = _rows(x, "a normalised row")
    norm = np.linalg.norm(value.array.astype(np.float64), axis=-1, keepdims=True)
    seen = norm > 1 / float(np.finfo(np.float32).max)
    scale = np.where(seen, 1 / np.where(seen, norm, 1), 0)
    inverse = scale.astype(np.float32)
    y = (value.array * scale).astype(np.float32)
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
