"""One node of a graph while it is imported: its inputs, its attributes, and the layers it adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gradcam._importers.builder import Builder
from gradcam._importers.values import Value
from gradcam._text import printable
from gradcam._weights.graph import Node
from gradcam._weights.tensors import WeightsError

Array = NDArray[Any]
Operand = Array | Value
"""What a name of a graph stands for: numbers that are known, or the output of a layer."""

Pair = tuple[int, int]

FLOATING = (1, 10, 11, 16)
"""ONNX's numbers of the types float32, float16, double and bfloat16."""

_T = TypeVar("_T", int, float, str, tuple[int, ...])


@dataclass(frozen=True, eq=False)
class Group(Node):
    """Nodes of a file that mean one operation, `op`.

    Attributes
    ----------
    root : str
        The operation of the last of them, whose name and results the group has.
    """

    root: str = ""


def title(node: Node) -> str:
    """Return the operation and the name of a node, for messages."""
    name = node.name or (node.outputs[0] if node.outputs else "")
    op = node.root if isinstance(node, Group) else node.op
    found = f"{printable(op)} {shown(name)}" if name else printable(op)
    if isinstance(node, Group):
        return f"{found}, the last node of a {node.op.rpartition('.')[2]} written as several nodes"
    return found


def shown(value: object) -> str:
    """Return a value of a file as a message shows it."""
    return printable(f"{value!r:.100}")


@dataclass(frozen=True)
class Operation:
    """A node with the values of its inputs.

    Attributes
    ----------
    node : Node
    inputs : tuple of Array, Value or None
        None: an optional input that is not used.
    builder : Builder
        Of the network's layers.
    name : str
        Of the layer that the node becomes.
    aliases : tuple of str
        Further names of that layer.
    opset : int
        The version of the standard operations.
    """

    node: Node
    inputs: tuple[Operand | None, ...]
    builder: Builder
    name: str
    aliases: tuple[str, ...]
    opset: int

    # -------------------------------------------------------------------- inputs

    def operand(self, index: int) -> Operand:
        """Return an input, which must be there."""
        found = self.inputs[index] if index < len(self.inputs) else None
        if found is None:
            raise WeightsError(f"has {len(self.inputs)} inputs, expected at least {index + 1}")
        return found

    def value(self, index: int = 0) -> Value:
        """Return an input that is the output of a layer."""
        found = self.operand(index)
        if not isinstance(found, Value):
            raise WeightsError(f"has constant numbers as input {index}, expected a map")
        return found

    def constant(self, index: int) -> Array | None:
        """Return an input that is known without the picture; None if it is not used."""
        found = self.inputs[index] if index < len(self.inputs) else None
        if isinstance(found, Value):
            raise WeightsError(
                f"takes {shown(self.node.inputs[index])}, which depends on the picture, as a "
                f"parameter: expected constant numbers"
            )
        return found

    def parameter(self, index: int) -> Array:
        """Return an input of constant floating-point numbers, which must be there."""
        found = self.constant(index)
        if found is None:
            raise WeightsError(f"has no parameter {index}")
        if found.dtype.kind != "f":
            raise WeightsError(
                f"takes {shown(self.node.inputs[index])} of type {found.dtype}, expected "
                f"floating-point numbers (quantised models are not supported)"
            )
        return found

    def optional(self, index: int) -> Array | None:
        """Return an input of constant floating-point numbers, if it is used."""
        return None if self.constant(index) is None else self.parameter(index)

    def numbers(self, index: int, attribute: str) -> tuple[int, ...] | None:
        """Return integers that are an attribute in old versions and an input in new ones."""
        found = self.constant(index)
        if found is None:
            if attribute not in self.node.attributes:
                return None
            return self.integers(attribute, ())
        if found.dtype.kind not in "iu" or found.ndim > 1:
            raise WeightsError(f"has {attribute} of type {found.dtype}, expected integers")
        return tuple(int(each) for each in found.reshape(-1))

    def scalar(self, index: int, default: float) -> float:
        """Return an input of one constant number."""
        found = self.constant(index)
        if found is None:
            return default
        if found.size != 1:
            raise WeightsError(f"has {found.size} numbers as input {index}, expected one")
        return float(found.reshape(-1)[0])

    # -------------------------------------------------------------------- attributes

    def integer(self, name: str, default: int) -> int:
        """Return an attribute of one integer."""
        return self._attribute(name, default)

    def number(self, name: str, default: float) -> float:
        """Return an attribute of one number."""
        return self._attribute(name, default)

    def text(self, name: str, default: str) -> str:
        """Return an attribute of text."""
        return self._attribute(name, default)

    def integers(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """Return an attribute of several integers."""
        return self._attribute(name, default)

    def pair(self, name: str, default: Pair) -> Pair:
        """Return an attribute of two integers, for rows and columns."""
        found = self.integers(name, default)
        if len(found) != 2:
            raise WeightsError(f"has {name} {shown(found)}, expected two numbers: a map is 2-D")
        return found[0], found[1]

    def require(self, name: str, default: _T, expected: _T, hint: str = "") -> None:
        """Raise WeightsError unless an attribute has this value."""
        value = self._attribute(name, default)
        if value != expected:
            raise WeightsError(
                f"has {name} {shown(value)}, expected {shown(expected)}{hint and f': {hint}'}"
            )

    def _attribute(self, name: str, default: _T) -> _T:
        value = self.node.attributes.get(name, default)
        floats = isinstance(value, tuple) and any(type(each) is not int for each in value)
        if not isinstance(value, type(default)) or floats:
            kind = "integers" if isinstance(default, tuple) else type(default).__name__
            raise WeightsError(f"has {name} {shown(value)}, expected {kind}")
        return value

    # -------------------------------------------------------------------- axes

    def axes(self, given: Sequence[int], rank: int) -> tuple[int, ...]:
        """Return axes counted from the front, each once."""
        found = tuple(axis + rank if axis < 0 else axis for axis in given)
        if any(not 0 <= axis < rank for axis in found) or len(set(found)) != len(found):
            raise WeightsError(f"has axes {shown(tuple(given))} of {rank} dimensions")
        return found

    def axis(self, given: int, rank: int) -> int:
        """Return one axis counted from the front."""
        return self.axes([given], rank)[0]


def is_one_number(values: Operand | None) -> bool:
    """Whether an input is one constant number."""
    return isinstance(values, np.ndarray) and values.size == 1
