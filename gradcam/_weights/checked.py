"""Parts of weight files that are checked before they are used: tensors, and lists of words."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from gradcam import _core
from gradcam._text import brief
from gradcam._weights.tensors import Weights, WeightsError, listed


def check_kind(path: str | os.PathLike[str], found: Weights, architecture: str) -> None:
    """Raise WeightsError unless the metadata name this architecture and version 1 of its format."""
    stated = found.metadata.get("architecture")
    if stated != architecture:
        says = f"its metadata say {brief(stated)}" if stated else "its metadata do not say what"
        raise WeightsError(f"{path}: expected a file of the architecture {architecture!r}; {says}")
    version = found.metadata.get("format")
    if version != "1":
        raise WeightsError(
            f"{path}: version {brief(version)} of the format; this version of gradcam reads '1'"
        )


def words(path: str | os.PathLike[str], found: Weights, name: str) -> tuple[str, ...]:
    """Return a list of words of the metadata.

    Raises
    ------
    WeightsError
        If it is missing, is no JSON list of texts, is empty, or has a word twice.
    """
    text = found.metadata.get(name)
    if text is None:
        raise WeightsError(f"{path}: the metadata have no {name!r}, a JSON list of words")
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: {name!r} in the metadata is not JSON ({error})") from None
    if not isinstance(given, list) or not all(isinstance(each, str) and each for each in given):
        raise WeightsError(f"{path}: {name!r} in the metadata is not a list of words")
    if not given:
        raise WeightsError(f"{path}: {name!r} in the metadata is empty")
    twice = sorted({each for each in given if given.count(each) > 1})
    if twice:
        raise WeightsError(f"{path}: {name!r} in the metadata has words twice: {listed(twice)}")
    return tuple(given)


def size(
    path: str | os.PathLike[str], tensors: Mapping[str, NDArray[np.generic]], name: str, axis: int
) -> int:
    """Return a size of a tensor, from which the shapes of others follow.

    Raises
    ------
    WeightsError
        If there is no such tensor, or it has no such axis.
    """
    if name not in tensors:
        raise WeightsError(f"{path}: the tensor {name!r} is missing; there are {listed(tensors)}")
    shape = tensors[name].shape
    if len(shape) <= axis or 0 in shape:
        raise WeightsError(f"{path}: {name} has the shape {shape}")
    return int(shape[axis])


def fitting(
    path: str | os.PathLike[str],
    tensors: Mapping[str, NDArray[np.generic]],
    shapes: Mapping[str, tuple[int, ...]],
) -> dict[str, NDArray[np.float32]]:
    """Return tensors as float32, having checked that they are those of `shapes`, and finite.

    Raises
    ------
    WeightsError
        If one is missing, is not expected, has another shape, holds integers, or is not finite.
    """
    missing, more = (
        [n for n in a if n not in b] for a, b in ((shapes, tensors), (tensors, shapes))
    )
    if missing:
        raise WeightsError(f"{path}: tensors are missing: {listed(missing)}")
    if more:
        raise WeightsError(f"{path}: tensors that do not belong to it: {listed(more)}")
    checked = {}
    for name, shape in shapes.items():
        array = np.asarray(tensors[name])
        if array.shape != shape:
            raise WeightsError(f"{path}: {name} has the shape {array.shape}, expected {shape}")
        if array.dtype.kind != "f":
            raise WeightsError(f"{path}: {name} holds {array.dtype}, expected floating point")
        values = np.ascontiguousarray(array, np.float32)
        if not _core.all_finite(values):
            raise WeightsError(f"{path}: {name} holds NaN or infinite values")
        checked[name] = values
    return checked
