"""Check the shape of every tensor against the layers before, and convert it to torchvision's."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam._importers.axes import (
    Conversion,
    flat,
    kernel_from_outputs_last,
    matrix_from_outputs_last,
    reshaped,
)
from gradcam._models.architecture import ANY_GROUPS, CHANNELS, Extent, Extents, Row
from gradcam._models.layouts import Layout
from gradcam._models.matches import Match
from gradcam._models.places import Place
from gradcam._weights.tensors import WeightsError


class Tensor(NamedTuple):
    """A tensor, its name in torchvision's layout, and how it gets that layout.

    `in_place` is whether the core uses it without a copy, or it is small or copied in any case.
    """

    target: str
    values: NDArray[Any]
    convert: Conversion
    in_place: bool


def check_tensors(match: Match, layout: Layout) -> tuple[tuple[Tensor, ...], int, int]:
    """Check every shape against the layers before; return tensors, input channels and classes."""
    names = {row.name: layer for layer, row in match.layers.items()}
    extents = Extents()
    channels = _channels(match, layout)
    extents.set_channels(channels)
    tensors = []
    for row in match.architecture.rows:
        inputs = extents.input(row)
        units = inputs.width
        for parameter, target in row.parameters.items():
            place = match.found[names[row.name], parameter]
            values = place.values
            if values.dtype.kind not in "fiu":
                raise WeightsError(
                    f"tensor {place.name!r} has type {values.dtype}, expected real numbers"
                )
            convert: Conversion = flat
            if parameter != "weight" or row.op not in ("conv", "linear"):
                _check_shape(place, _without_ones(values.shape), (units,))
            elif row.op == "conv":
                units, convert = _check_kernel(place, row, inputs, layout)
            else:
                units, convert = _check_matrix(place, inputs, layout)
            usable = values.dtype == np.float32 and values.flags.c_contiguous
            in_place = usable or values.ndim == 1 or row.op != "linear"
            tensors.append(Tensor(target, values, convert, in_place))
        extents.add(row, units)
    return tuple(tensors), channels, units


def _channels(match: Match, layout: Layout) -> int:
    """Return the channels of the input: those of the first convolution, if it has the right form.

    Else the usual ones; the message about its shape then says what is expected.
    """
    layer, row = next(iter(match.layers.items()))
    shape = match.found[layer, "weight"].values.shape
    if row.op != "conv" or len(shape) != 4 or row.groups != 1:
        return CHANNELS
    kernel, channels = (shape[:2], shape[2]) if layout.outputs_last else (shape[2:], shape[1])
    return channels if kernel == row.kernel and channels else CHANNELS


def _check_kernel(place: Place, row: Row, inputs: Extent, layout: Layout) -> tuple[int, Conversion]:
    """Return the output channels and the conversion to (O, I, H, W)."""
    shape = place.values.shape
    if len(shape) == 2 and row.kernel == (1, 1) and not layout.outputs_last:
        shape = (*shape, 1, 1)  # stored as a fully connected layer of each position
    width: int | None = inputs.width // max(1, row.groups)
    if row.groups == ANY_GROUPS and len(shape) == 4 and shape[1] and not inputs.width % shape[1]:
        width = None  # as many as the weight has
    if layout.outputs_last:
        _check_shape(place, shape, (*row.kernel, width, None))
        return shape[-1], kernel_from_outputs_last
    _check_shape(place, shape, (None, width, *row.kernel))
    return shape[0], reshaped(shape)


def _check_matrix(place: Place, inputs: Extent, layout: Layout) -> tuple[int, Conversion]:
    """Return the outputs and the conversion to (O, I)."""
    shape = place.values.shape
    if layout.outputs_last:
        if len(shape) == 4:  # a convolution with the size of its input
            shape = (math.prod(shape[:3]), shape[3])
        _check_shape(place, shape, (inputs.width, None))
        return shape[1], matrix_from_outputs_last(shape, inputs.positions)
    if len(shape) == 4:
        shape = shape[2:] if shape[:2] == (1, 1) else (shape[0], math.prod(shape[1:]))
    _check_shape(place, shape, (None, inputs.width))
    return shape[0], reshaped(shape)


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a vector of Caffe's, (1, 1, 1, n), or of ConvNeXt's, (n, 1, 1)."""
    if len(shape) == 4 and shape[:3] == (1, 1, 1):
        return shape[3:]
    return shape[:1] if len(shape) == 3 and shape[1:] == (1, 1) else shape


def _check_shape(place: Place, shape: tuple[int, ...], expected: tuple[int | None, ...]) -> None:
    if (
        len(shape) != len(expected)
        or 0 in shape
        or any(e not in (None, n) for e, n in zip(expected, shape, strict=True))
    ):
        words = str(expected).replace("None", "any")
        raise WeightsError(
            f"tensor {place.name!r} has shape {place.values.shape}, expected {words}"
        )
