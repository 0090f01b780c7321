"""Store the weights of fully connected layers in 16 bits, rounded from float32."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gradcam._weights.tensors import WeightsError

Storage = Literal["float32", "float16", "bfloat16"]
"""float16 has 11 bits of precision and a maximum of 65504, bfloat16 8 bits and float32's range."""

_ROWS = 256
"""Rows that are rounded at a time, which bounds the additional memory."""


def check_storage(dtype: object, name: str) -> None:
    """Raise ValueError unless `dtype` is one of :data:`Storage`; `name` is the argument's name."""
    if dtype not in get_args(Storage):
        raise ValueError(
            f"{name}: expected {', '.join(map(repr, get_args(Storage)))}, got {dtype!r}"
        )


def stored(weight: NDArray[Any], dtype: Storage) -> NDArray[Any]:
    """Round a matrix for :meth:`gradcam._core.NetworkBuilder.linear` with that ``dtype``.

    Parameters
    ----------
    weight : array of floats
    dtype : Storage
        Values are rounded to nearest, ties to even; the result for bfloat16 is an array of the
        bits, uint16. For float16 an array of float16 is returned unchanged.

    Raises
    ------
    WeightsError
        If a finite value would become infinite.
    """
    if dtype == "float32" or (dtype == "float16" and weight.dtype == np.float16):
        return weight
    result: NDArray[Any] = np.empty(weight.shape, np.float16 if dtype == "float16" else np.uint16)
    for start in range(0, len(weight), _ROWS):
        rows = np.asarray(weight[start : start + _ROWS], np.float32)
        part = result[start : start + _ROWS]
        if dtype == "float16":
            with np.errstate(over="ignore"):
                part[...] = rows
            infinite = np.isinf(part)
        else:
            bits = rows.view(np.uint32)
            part[...] = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
            infinite = (part & 0x7FFF) == 0x7F80
        if infinite.any():
            raise WeightsError(
                f"a weight of {rows[infinite][0]:g} is too large for {dtype}: use float32"
            )
    return result
