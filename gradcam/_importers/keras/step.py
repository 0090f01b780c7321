"""One call of a Keras layer while it is imported: what its function is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcam._importers.builder import Builder
from gradcam._importers.keras.arguments import Arguments, plain
from gradcam._importers.values import Value
from gradcam._weights.tensors import WeightsError

Array = NDArray[Any]


@dataclass
class Step:
    """A call of a layer.

    Attributes
    ----------
    builder : Builder
    name : str
        Of the layer that holds its output.
    arguments : Arguments
    inputs : list of object
        The positional arguments of the call: values, numbers, or lists of these.
    arrays : tuple of array
        The layer's variables, in Keras's order.
    keras_2 : bool
        Whether the file was written by Keras 1 or 2.
    notes : list of str
        Sentences for the user are appended.
    """

    builder: Builder
    name: str
    arguments: Arguments
    inputs: list[object]
    arrays: tuple[Array, ...]
    keras_2: bool
    notes: list[str] = field(default_factory=list)

    def value(self) -> Value:
        """Return the only input."""
        values = list(_flat(self.inputs))
        if len(values) != 1 or not isinstance(values[0], Value):
            raise WeightsError(f"has {len(values)} inputs, expected one")
        return values[0]

    def operands(self) -> list[Value | Array]:
        """Return the inputs of an arithmetic operation: values and constants."""
        found: list[Value | Array] = []
        for each in _flat(self.inputs):
            if isinstance(each, Value):
                found.append(each)
            elif isinstance(each, (int, float)) and not isinstance(each, bool):
                found.append(np.asarray(each, np.float64))
            elif isinstance(each, np.ndarray):
                found.append(each)
            else:
                raise WeightsError(f"reads {str(each)[:60]}, expected values and numbers")
        if not any(isinstance(each, Value) for each in found):
            raise WeightsError("reads no output of another layer")
        return found

    def values(self) -> list[Value]:
        """Return the inputs, which are all outputs of other layers."""
        found = [each for each in self.operands() if isinstance(each, Value)]
        if len(found) != len(list(_flat(self.inputs))):
            raise WeightsError("reads a constant, expected outputs of other layers")
        return found

    def layout(self) -> str:
        """Return the order of a map's axes that the layer expects: "NHWC" or "NCHW"."""
        known = ("channels_last", "channels_first")
        word = self.arguments.word("data_format", "channels_last", known)
        return "NHWC" if word == "channels_last" else "NCHW"

    def weights(self, *names: str) -> tuple[Array, ...]:
        """Return the layer's variables, which are to be as many as these names."""
        if len(self.arrays) != len(names):
            raise WeightsError(
                f"has {len(self.arrays)} tensors in the file, expected {len(names)} "
                f"({', '.join(names) or 'none'})"
            )
        for name, array in zip(names, self.arrays, strict=True):
            if array.dtype.kind not in "fiu":
                raise WeightsError(f"has a {name} of {array.dtype}, expected numbers")
        return self.arrays

    def by_channel(self, value: Value, axes: Sequence[int]) -> Value:
        """Return the value, whose dimension of the axis is to be that of all channels.

        A map that was flattened becomes a vector, whose features are its channels.
        """
        rank = len(value.dims)
        axis = axes[0] % rank if len(axes) == 1 and -rank <= axes[0] < rank else 0
        if axis == 0:
            raise WeightsError(f"works along the axes {list(axes)[:8]} of {value.shape}")
        if value.dims[axis] == value.whole("C"):
            return value
        if rank != 2:
            raise WeightsError(
                f"works along axis {axis} of {value.shape}, which is not that of the channels"
            )
        return self.builder.vector_as_seen(value)

    def channels(self, value: Value, array: Array, name: str) -> Array:
        """Return an array with one number for each channel, in the order of the core."""
        if array.shape != (value.channels,):
            raise WeightsError(f"has a {name} of shape {array.shape} for {value.channels} channels")
        return self.builder.in_core_order(value, array)


StepFunction = Callable[[Step], Value]
"""Adds the layers of one call; returns its output."""


def constant(value: object) -> Array | None:
    """Return an array that Keras wrote into a configuration; None if it is none."""
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, (int, float, list)):
        return None
    try:
        array = np.asarray(value, np.float64)
    except (ValueError, TypeError, OverflowError):
        return None
    return array


def _flat(inputs: Sequence[object]) -> Iterator[object]:
    """Yield the inputs, with those in lists in their places."""
    for each in inputs:
        if isinstance(each, list):
            yield from _flat(each)
        else:
            yield each
