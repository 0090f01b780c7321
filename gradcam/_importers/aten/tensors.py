"""Tensors of a program while it is interpreted: values of the network, or constants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcam._importers.values import Value
from gradcam._weights.tensors import WeightsError

Array = NDArray[Any]

_MAX_DEPTH = 16
"""Lists inside each other."""

_MAX_ITEMS = 20_000
"""Items of an argument, with those of the lists in it."""


class OfSize:
    """Marks what was computed from rows or columns: it is another number for other pictures."""


class Size(OfSize, int):
    """An integer of that kind."""


class SizeFloat(OfSize, float):
    """A number of that kind."""


@dataclass(frozen=True)
class Squares:
    """The squares of a map, which become the divisor of a local response normalisation.

    PyTorch writes that normalisation as several operations; this is what they have done so far.
    Without `beta`, the divisor is not complete.
    """

    map: Value
    before: int = 0
    after: int = 0
    size: int | None = None
    alpha: float = 1.0
    k: float = 0.0
    beta: float | None = None


Content = Value | Array | Squares


class _Storage:
    """What tensors that are views of each other share: how often it was changed in place."""

    __slots__ = ("version",)

    def __init__(self) -> None:
        self.version = 0


class Tensor:
    """A tensor of the program; an operation in place gives it another content.

    A view shares its storage with the tensor that it was made from. After an operation in place on
    one of them, the others cannot be read.
    """

    __slots__ = ("_content", "_storage", "_version", "of_size")

    def __init__(self, content: Content, of: Tensor | None = None) -> None:
        self._content = content
        self.of_size = False
        """Whether it is a constant that was computed from the size of the picture."""
        self._storage: _Storage = of._storage if of is not None else _Storage()
        self._version = self._storage.version

    def read(self) -> Content:
        """Return the content.

        Raises
        ------
        WeightsError
            If another view of it was changed in place.
        """
        if self._version != self._storage.version:
            raise WeightsError(
                "reads a tensor after an operation in place changed another view of it, which is "
                "not supported: use the form that is not in place"
            )
        return self._content

    def write(self, content: Content) -> None:
        """Set the content, as an operation in place does."""
        self.read()
        self._storage.version += 1
        self._version = self._storage.version
        self._content = content

    @property
    def is_constant(self) -> bool:
        """Whether it does not depend on the picture."""
        return isinstance(self._content, np.ndarray)


def items_in(argument: object) -> Iterator[object]:
    """Yield an argument, or the items of a list, also of lists in it.

    Raises
    ------
    WeightsError
        If the lists are too deep or have too many items.
    """
    left, count = [(argument, 0)], 0
    while left:
        item, depth = left.pop()
        count += 1
        if not isinstance(item, (list, tuple)):
            yield item
            continue
        if depth > _MAX_DEPTH or count + len(item) > _MAX_ITEMS:
            raise WeightsError(
                f"has lists of more than {_MAX_ITEMS} items, or more than {_MAX_DEPTH} deep"
            )
        left += [(each, depth + 1) for each in reversed(item)]


def tensors_in(argument: object) -> Iterator[Tensor]:
    """Yield the tensors of an argument, also those in lists."""
    return (item for item in items_in(argument) if isinstance(item, Tensor))
