"""Tensors that a network of its own kind needs: their names, and sizes that fit each other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

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


def check(tensors: Mapping[str, F32], shapes: Shapes, known: Mapping[str, int]) -> dict[str, int]:
    """Return all sizes by their names.

    Parameters
    ----------
    tensors : mapping of str to array
    shapes : mapping
        Of all tensors that there must be.
    known : mapping of str to int
        Sizes that are known already.

    Raises
    ------
    gradcam.WeightsError
        If a tensor is missing, is not finite, or has another shape.
    """
    missing = [name for name in shapes if name not in tensors]
    if missing:
        raise WeightsError(f"the tensors {', '.join(missing)} are missing")
    sizes = dict(known)
    for name, expected in shapes.items():
        found = tensors[name].shape
        if len(found) != len(expected):
            raise WeightsError(
                f"{name} has the shape {found}, expected {len(expected)} axes: "
                f"({', '.join(map(str, expected))})"
            )
        for size, symbol in zip(found, expected, strict=True):
            if isinstance(symbol, str) and " " not in symbol:
                sizes.setdefault(symbol, size)
    for name, expected in shapes.items():
        needed = tuple(_size(symbol, sizes) for symbol in expected)
        if tensors[name].shape != needed:
            words = ", ".join(f"{each} {sizes[each]}" for each in _symbols(expected))
            raise WeightsError(
                f"{name} has the shape {tensors[name].shape}, but {needed} is needed ({words}): "
                f"the vocabulary and the tensors do not belong together, or the file is damaged"
            )
        if not np.isfinite(tensors[name]).all():
            raise WeightsError(f"{name} holds values that are not finite")
    return sizes


def _symbols(expected: tuple[str | int, ...]) -> list[str]:
    """Return the names of sizes in a shape, each once."""
    named = [symbol.split()[-1] for symbol in expected if isinstance(symbol, str)]
    return list(dict.fromkeys(named))


def _size(symbol: str | int, sizes: Mapping[str, int]) -> int:
    if isinstance(symbol, int):
        return symbol
    *factor, name = symbol.split()
    return int(factor[0] if factor else 1) * sizes[name]
