"""Values of a graph while it is imported: which numbers of which layer, in which arrangement.

Programs arrange the axes of a map differently, and graphs change the arrangement with operations
like Transpose and Reshape, which compute nothing. Here such operations only change how a value is
seen: each of its dimensions is a product of factors, and a factor is an axis of a layer's output,
or a part of one. A transposed map that is transposed back is again the map itself, without a layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

Axis = Literal["N", "C", "H", "W"]
"""An axis of a layer's output: the batch; channels or features; rows; columns."""

Padding = tuple[int, int, int, int]
"""Top, left, bottom, right."""

NO_PADDING: Padding = (0, 0, 0, 0)

_MAX_DIMENSIONS = 32


class Factor(NamedTuple):
    """A part of an axis: its index is that of the axis, divided by `stride`, modulo `size`."""

    axis: Axis
    stride: int
    size: int


Dimension = tuple[Factor, ...]
"""The factors of a dimension, the slowest first; empty for a dimension of size 1."""


@dataclass(frozen=True)
class Value:
    """The output of a layer, as a graph sees it.

    Attributes
    ----------
    layer : str
        The name of the layer.
    core : (C, H, W) or (F,)
        The shape of its output for one picture.
    dims : tuple of Dimension
        The dimensions of the value.
    padding : (top, left, bottom, right)
        Zeros around the map that no layer has added yet; the sizes in `dims` include them.
    """

    layer: str
    core: tuple[int, ...]
    dims: tuple[Dimension, ...]
    padding: Padding = NO_PADDING

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the dimensions."""
        return tuple(math.prod(factor.size for factor in dim) for dim in self.dims)

    @property
    def channels(self) -> int:
        """Channels of a map, or features of a vector."""
        return self.core[0]

    @property
    def is_map(self) -> bool:
        """Whether it has more than one position."""
        return len(self.core) == 3 and self.positions > 1

    @property
    def positions(self) -> int:
        """Positions of the layer's output, with the padding."""
        height, width = self.extent
        return height * width

    @property
    def extent(self) -> tuple[int, int]:
        """Height and width, with the padding; (1, 1) of a vector."""
        if len(self.core) == 1:
            return 1, 1
        top, left, bottom, right = self.padding
        return self.core[1] + top + bottom, self.core[2] + left + right

    def whole(self, axis: Axis) -> Dimension:
        """Return the dimension that is this axis, unchanged."""
        height, width = self.extent
        sizes = {"C": self.channels, "H": height, "W": width}
        if axis == "N":
            return (Factor("N", 1, self._batch()),)
        return () if sizes[axis] == 1 else (Factor(axis, 1, sizes[axis]),)

    def is_arranged(self, layout: str) -> bool:
        """Whether the dimensions are the axes in this order, such as "NCHW"."""
        return self.dims == tuple(map(self.whole, _axes(layout)))

    def arranged(self, layout: str) -> Value:
        """Return the layer's output with the axes in this order, whatever it was seen as."""
        return replace(self, dims=tuple(map(self.whole, _axes(layout))))

    def axis(self, dim: int) -> Axis | None:
        """Return the axis that a dimension is, unchanged; None for any other dimension."""
        found = self.dims[dim]
        if len(found) != 1 or found != self.whole(found[0].axis):
            return None
        return found[0].axis

    def transposed(self, order: Sequence[int]) -> Value:
        """Return the value with its dimensions in this order."""
        if sorted(order) != list(range(len(self.dims))):
            raise ValueError(f"cannot order {len(self.dims)} dimensions as {tuple(order)}")
        return replace(self, dims=tuple(self.dims[i] for i in order))

    def reshaped(self, shape: Sequence[int]) -> Value:
        """Return the value with dimensions of these sizes, of which one may be -1.

        Raises
        ------
        ValueError
            If the sizes do not fit, or a dimension would mix parts of axes in another way than as
            a product.
        """
        if len(shape) > _MAX_DIMENSIONS:
            raise ValueError(f"cannot reshape {self.shape} to {len(shape)} dimensions")
        total = math.prod(self.shape)
        sizes = list(shape)
        if sizes.count(-1) == 1:
            rest = -math.prod(sizes)
            if rest > 0 and total % rest == 0:
                sizes[sizes.index(-1)] = total // rest
        if any(size < 1 for size in sizes) or math.prod(sizes) != total:
            raise ValueError(f"cannot reshape {self.shape} to {tuple(shape)}")
        left = [factor for dim in self.dims for factor in dim]
        if all(factor.axis != "N" for factor in left):  # a batch of one, left out before
            left.insert(0, Factor("N", 1, 1))
        return replace(self, dims=tuple(_merged(_take(left, size)) for size in sizes))

    def with_dims(self, dims: Sequence[Dimension]) -> Value:
        """Return the value with other dimensions of the same factors."""
        return replace(self, dims=tuple(dims))

    def without(self, dims: Sequence[int]) -> Value:
        """Return the value without some dimensions of size 1."""
        if any(self.dims[i] and self.dims[i][0].axis != "N" for i in dims):
            raise ValueError(f"cannot remove the dimensions {tuple(dims)} of {self.shape}")
        return replace(self, dims=tuple(d for i, d in enumerate(self.dims) if i not in dims))

    def of(self, layer: str) -> Value:
        """Return the output of another layer, of the same shape, seen in the same way."""
        return replace(self, layer=layer)

    def _batch(self) -> int:
        found = [f for dim in self.dims for f in dim if f.axis == "N"]
        return found[0].size if found else 1


def output_of(layer: str, core: tuple[int, ...], layout: str, batch: int = 1) -> Value:
    """Return the output of a layer, with its axes in the order of a layout, such as "NCHW"."""
    bare = Value(layer, core, ((Factor("N", 1, batch),),))
    return bare.arranged(layout)


def _axes(layout: str) -> tuple[Axis, ...]:
    axes: dict[str, Axis] = {"N": "N", "C": "C", "H": "H", "W": "W"}
    return tuple(axes[letter] for letter in layout)


def _take(left: list[Factor], size: int) -> list[Factor]:
    """Take factors from the front of a list, whose sizes multiply to `size`."""
    taken: list[Factor] = []
    # A batch of one is a factor too, so that it keeps its place as the first dimension.
    if size == 1 and left and left[0] == Factor("N", 1, 1):
        return [left.pop(0)]
    while size > 1:
        factor = left.pop(0)
        if size % factor.size == 0:
            taken.append(factor)
            size //= factor.size
        elif factor.size % size == 0:  # the outer part of it
            inner = factor.size // size
            taken.append(Factor(factor.axis, factor.stride * inner, size))
            left.insert(0, factor._replace(size=inner))
            size = 1
        else:
            raise ValueError(f"cannot split an axis of {factor.size} into parts of {size}")
    return taken


def _merged(factors: Sequence[Factor]) -> Dimension:
    """Join neighbouring parts of one axis; leave out factors of size 1 but for the batch."""
    result: list[Factor] = []
    for factor in factors:
        if factor.size == 1 and factor.axis != "N":
            continue
        last = result[-1] if result else None
        if last and last.axis == factor.axis and last.stride == factor.stride * factor.size:
            result[-1] = Factor(factor.axis, factor.stride, last.size * factor.size)
        else:
            result.append(factor)
    if len(result) > 1:  # a batch of one, flattened together with other axes
        result = [factor for factor in result if factor != Factor("N", 1, 1)] or result[:1]
    return tuple(result)
