"""Shapes of tensors, stated by the names of their sizes, for networks of any size."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from gradcam._weights import checked
from gradcam._weights.tensors import WeightsError

F32 = NDArray[np.float32]

Shapes = Mapping[str, tuple[str | int, ...]]
"""By tensor, its sizes: a number, the name of a size, or a multiple of one, such as "4 hidden"."""


def lstm_shapes(name: str, inputs: str, hidden: str) -> dict[str, tuple[str | int, ...]]:
    """Return the shapes of the tensors of one layer of an LSTM, in PyTorch's order of the gates."""
    return {
        f"{name}.weight_ih": (f"4 {hidden}", inputs),
        f"{name}.weight_hh": (f"4 {hidden}", hidden),
        f"{name}.bias_ih": (f"4 {hidden}",),
        f"{name}.bias_hh": (f"4 {hidden}",),
    }


def linear_shapes(name: str, outputs: str, inputs: str) -> dict[str, tuple[str | int, ...]]:
    """Return the shapes of the tensors of a linear layer."""
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def fitting(
    path: str | os.PathLike[str],
    tensors: Mapping[str, NDArray[np.generic]],
    shapes: Shapes,
    known: Mapping[str, int],
) -> tuple[dict[str, F32], dict[str, int]]:
    """Return tensors that fit each other as float32, and all sizes by their names.

    Parameters
    ----------
    path : path
        For messages.
    tensors : mapping of str to array
    shapes : mapping
        Of all tensors that there must be, and no others.
    known : mapping of str to int
        Sizes that are known already.

    Raises
    ------
    gradcam.WeightsError
        As of :func:`gradcam._weights.checked.fitting`.
    """
    sizes = dict(known)
    for name, expected in shapes.items():
        for axis, size in enumerate(expected):
            if isinstance(size, str) and " " not in size:
                sizes.setdefault(size, checked.size(path, tensors, name, axis))
    needed = {
        name: tuple(_size(each, sizes) for each in expected) for name, expected in shapes.items()
    }
    return checked.fitting(path, tensors, needed), sizes


def check_count(
    path: str | os.PathLike[str],
    tensors: Mapping[str, NDArray[np.generic]],
    name: str,
    count: int,
    what: str,
) -> None:
    """Raise WeightsError unless a tensor has a row for each of `count` words, or answers."""
    rows = checked.size(path, tensors, name, 0)
    if rows != count:
        raise WeightsError(
            f"{path}: there are {count} {what}, but the weights are for {rows}: the {what} of the "
            f"training are needed, in their order"
        )


def _size(size: str | int, sizes: Mapping[str, int]) -> int:
    if isinstance(size, int):
        return size
    *factor, name = size.split()
    return int(factor[0] if factor else 1) * sizes[name]
