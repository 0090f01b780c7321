"""An operation on constants: its inputs and attributes, checked, and what it may cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcam._weights.graph import Node
from gradcam._weights.tensors import WeightsError

Array = NDArray[Any]

MOST = 2 << 30
"""Bytes that the operations on constants of a small graph may make and read in all."""

_MOST_NUMBERS = 4096
"""Of a list of sizes, axes or positions."""

_OVERHEAD = 64
"""Bytes that are counted for each array beside its numbers."""


class Allowance:
    """How many bytes the operations on constants may still make and read.

    Parameters
    ----------
    left : int
        Bytes.
    """

    def __init__(self, left: int = MOST) -> None:
        self._all = self._left = left

    def take(self, shape: Sequence[int], dtype: np.dtype[Any]) -> None:
        """Count an array of this shape, before it is made or read.

        Raises
        ------
        WeightsError
            If nothing is left for it.
        """
        self._left -= math.prod(shape) * dtype.itemsize + _OVERHEAD
        if self._left < 0:
            raise WeightsError(
                f"computes a constant of shape {_shown(shape)}; constants that are computed may "
                f"take {self._all >> 20} MB in all"
            )


@dataclass(frozen=True, eq=False)
class Call:
    """One operation, all of whose inputs are known.

    Attributes
    ----------
    node : Node
    inputs : sequence of array or None
        None is an optional input that is not used.
    opset : int
        The version of ONNX's operations.
    allowance : Allowance
    """

    node: Node
    inputs: Sequence[Array | None]
    opset: int
    allowance: Allowance

    # -------------------------------------------------------------------- inputs

    def given(self, number: int) -> Array | None:
        """Return an optional input."""
        return self.inputs[number] if number < len(self.inputs) else None

    def array(self, number: int = 0) -> Array:
        """Return an input that must be there."""
        found = self.given(number)
        if found is None:
            raise WeightsError(f"has no input {number}")
        return found

    def arrays(self) -> list[Array]:
        """Return all inputs, of which there is at least one."""
        return [self.array(i) for i in range(max(1, len(self.inputs)))]

    def numbers(self, number: int) -> list[int] | None:
        """Return an optional input that is a list of integers."""
        found = self.given(number)
        if found is None:
            return None
        if found.dtype.kind not in "iu" or found.ndim > 1 or found.size > _MOST_NUMBERS:
            raise WeightsError(
                f"has {found.dtype} of shape {_shown(found.shape)} as input {number}, expected a "
                f"list of integers"
            )
        return [int(each) for each in found.reshape(-1)]

    def scalar(self, number: int) -> Array:
        """Return an input that is one number."""
        found = self.array(number)
        if found.size != 1:
            raise WeightsError(f"has input {number} of shape {found.shape}, expected one number")
        return found.reshape(())

    # -------------------------------------------------------------------- attributes

    def integer(self, name: str, default: int) -> int:
        """Return an attribute that is an integer."""
        value = self.node.attributes.get(name, default)
        if type(value) is not int:
            raise WeightsError(f"has an attribute {name} that is not an integer")
        return value

    def real(self, name: str, default: float) -> float:
        """Return an attribute that is a number."""
        value = self.node.attributes.get(name, default)
        if type(value) not in (int, float):
            raise WeightsError(f"has an attribute {name} that is not a number")
        return float(value)  # type: ignore[arg-type]

    def integers(self, name: str) -> list[int] | None:
        """Return an optional attribute that is a list of integers."""
        if name not in self.node.attributes:
            return None
        value = self.node.attributes[name]
        if not isinstance(value, tuple) or any(type(each) is not int for each in value):
            raise WeightsError(f"has an attribute {name} that is not a list of integers")
        return [int(each) for each in value]

    def listed(self, name: str, number: int) -> list[int] | None:
        """Return a list of integers: an attribute in some versions, an input in others."""
        found = self.integers(name)
        return self.numbers(number) if found is None else found

    def axes(self, found: Sequence[int] | None, rank: int) -> list[int] | None:
        """Return axes counted from the first one, none of them twice."""
        if found is None:
            return None
        result = [self.axis(each, rank) for each in found]
        if len(set(result)) < len(result):
            raise WeightsError(f"has the axes {list(found)}, of which two are equal")
        return result

    def axis(self, found: int, rank: int) -> int:
        """Return an axis counted from the first one."""
        if not -rank <= found < rank:
            raise WeightsError(f"has axis {found} for {rank} dimensions")
        return found % rank

    # -------------------------------------------------------------------- results

    def make(self, shape: Sequence[int], dtype: np.dtype[Any]) -> None:
        """Count the result before it is made."""
        if min(shape, default=0) < 0:
            raise WeightsError(f"computes a constant of shape {_shown(shape)}")
        self.allowance.take(shape, dtype)

    def read(self, values: Array) -> None:
        """Count an input, all of whose numbers are read for a smaller result."""
        self.allowance.take(values.shape, values.dtype)

    def broadcast(self, *shapes: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the result of arrays of these shapes."""
        try:
            return np.broadcast_shapes(*shapes)
        except ValueError:
            listed = " and ".join(map(str, shapes))
            raise WeightsError(f"combines the shapes {listed}, which do not fit") from None


def _shown(shape: Sequence[int]) -> str:
    """Return a shape for a message; of a long one the first sizes."""
    return str(tuple(shape)) if len(shape) <= 8 else f"{tuple(shape[:8])}..."
