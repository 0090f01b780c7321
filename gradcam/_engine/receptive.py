"""Which positions of a map a layer reads, and which it reaches: arithmetic on one axis.

Rows and columns are independent of each other, so everything here is about one axis: 0 for rows, 1
for columns. Intervals are half open and held in arrays, many of them at once. They are exact for
layers without gaps between the positions that they read, else they contain what is exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.layers import INPUT, SMOOTH, Attribute, Layer, pair
from gradcam._results.rules import RECTIFIERS

Positions = NDArray[np.int64]

_POINTWISE = (
    *(INPUT, "batch_norm", "affine", *RECTIFIERS, *SMOOTH, "sigmoid", "dropout", "add"),
    *("multiply", "concatenate", "slice", "channel_shuffle", "local_response_norm", "layer_norm"),
)
"""Operations whose output at a position of a map depends on their inputs at that position."""

_INVALID = -1
"""The size of a map that does not exist because the picture is too small."""


class Interval(NamedTuple):
    """The positions from `begin` up to, but not including, `end`: arrays of one shape."""

    begin: Positions
    end: Positions

    def clipped(self, size: int) -> Interval:
        """Return the parts on a map of that size: at least one position of each."""
        begin = np.clip(self.begin, 0, size - 1)
        return Interval(begin, np.clip(self.end, begin + 1, size))

    def joined(self, other: Interval | None) -> Interval:
        """Return the shortest intervals that contain both."""
        if other is None:
            return self
        return Interval(np.minimum(self.begin, other.begin), np.maximum(self.end, other.end))


@dataclass(frozen=True)
class Window:
    """The positions that a layer reads: output i reads ``i * stride - before + tap * dilation``.

    Attributes
    ----------
    taps, stride, dilation : int
        Tap is 0 to taps - 1.
    before, after : int
        Padding.
    ceil_mode : bool
        Whether a last window may extend beyond the padding.
    """

    taps: int = 1
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0
    ceil_mode: bool = False

    @property
    def extent(self) -> int:
        """Positions from the first to the last tap, both included."""
        return (self.taps - 1) * self.dilation + 1

    def output_size(self, size: Positions) -> Positions:
        """Return the size of the output for inputs of these sizes; below 1 if they are too small.

        In ceil mode, as in PyTorch, no window begins in the padding after the input.
        """
        room = size + self.before + self.after - self.extent
        if not self.ceil_mode:
            return np.where(room < 0, _INVALID, room // self.stride + 1)
        count = -(-room // self.stride) + 1
        count -= (count - 1) * self.stride >= size + self.before
        return np.where(room + self.stride - 1 < 0, _INVALID, count)

    def reads(self, outputs: Interval) -> Interval:
        """Return the positions that outputs read; some may lie outside of the map."""
        begin = outputs.begin * self.stride - self.before
        return Interval(begin, (outputs.end - 1) * self.stride - self.before + self.extent)

    def reaches(self, inputs: Interval) -> Interval:
        """Return the outputs that read any of these positions; some may not exist."""
        begin = -((self.extent - 1 - inputs.begin - self.before) // self.stride)
        return Interval(begin, (inputs.end - 1 + self.before) // self.stride + 1)


def window(layer: Layer, axis: int) -> Window | None:
    """Return what the layer reads on one axis, or None if each output may depend on all positions.

    A product with a factor for each channel counts as pointwise: its factor comes from a layer that
    reads all positions.
    """
    if layer.op in _POINTWISE:
        return Window()
    if layer.op not in ("conv", "max_pool", "average_pool"):
        return None
    given = layer.attributes
    if layer.op == "conv":
        taps = np.shape(layer.weights["weight"])[2 + axis]
        stride = pair(given.get("stride", 1))[axis]
    else:
        kernel = given["kernel"]
        taps, stride = pair(kernel)[axis], pair(given.get("stride") or kernel)[axis]
    before, after = _sides(given.get("padding", 0), axis)
    dilation = pair(given.get("dilation", 1))[axis]
    return Window(taps, stride, dilation, before, after, bool(given.get("ceil_mode", False)))


def map_sizes(layers: Mapping[str, Layer], axis: int, sizes: Sequence[int]) -> dict[str, Positions]:
    """Return the size of each layer's map for pictures of these sizes, on one axis.

    Parameters
    ----------
    layers : mapping of str to Layer
        A network's, in the order in which they run.
    axis : int
    sizes : sequence of int
        Of the network's input.

    Returns
    -------
    dict of str to array
        Below 1 for pictures that are too small, or for which the inputs of a layer differ. Layers
        from those on that read all positions are missing.
    """
    found = {INPUT: np.asarray(sizes, np.int64)}
    for name, layer in layers.items():
        read = window(layer, axis)
        if not layer.inputs or read is None or any(each not in found for each in layer.inputs):
            continue
        first, *others = (found[each] for each in layer.inputs)
        exists = np.logical_and.reduce([first > 0, *(first == other for other in others)])
        found[name] = np.where(exists, read.output_size(first), _INVALID)
    return found


def reached(
    layers: Mapping[str, Layer],
    shapes: Mapping[str, Sequence[int]],
    axis: int,
    changed: Interval,
) -> dict[str, Interval]:
    """Return which positions of each map depend on some positions of the network's input.

    Parameters
    ----------
    layers : mapping of str to Layer
        A network's, in the order in which they run.
    shapes : mapping of str to (C, H, W)
        Of their outputs.
    axis : int
    changed : Interval
        On the input.

    Returns
    -------
    dict of str to Interval
        On the maps, clipped to them. Layers that read all positions are missing, and so are those
        that such layers feed.
    """
    found = {INPUT: changed.clipped(shapes[INPUT][1 + axis])}
    for name, layer in layers.items():
        read = window(layer, axis)
        if not layer.inputs or read is None or any(each not in found for each in layer.inputs):
            continue
        outputs: Interval | None = None
        for each in layer.inputs:
            outputs = read.reaches(found[each]).joined(outputs)
        assert outputs is not None
        found[name] = outputs.clipped(shapes[name][1 + axis])
    return found


def read_by(
    layers: Iterable[Layer],
    shapes: Mapping[str, Sequence[int]],
    axis: int,
    last: str,
    outputs: Interval,
) -> dict[str, Interval]:
    """Return which positions of each map the outputs of one layer read.

    With all layers up to `last`, the interval of ``"input"`` is the region of the picture that the
    outputs see: their receptive field.

    Parameters
    ----------
    layers : iterable of Layer
        Some of a network's, in the order in which they run: those between the maps that are wanted
        and `last`, `last` included. None of them reads all positions.
    shapes : mapping of str to (C, H, W)
        Of the outputs of `layers` and of their inputs.
    axis : int
    last : str
        The layer.
    outputs : Interval
        Of its map.

    Returns
    -------
    dict of str to Interval
        On the maps, clipped to them; layers that do not feed `last` are missing.
    """
    found = {last: outputs}
    for layer in reversed(list(layers)):
        if layer.name not in found:
            continue
        read = window(layer, axis)
        assert read is not None
        for each in layer.inputs:
            inputs = read.reads(found[layer.name]).clipped(shapes[each][1 + axis])
            found[each] = inputs.joined(found.get(each))
    return found


def _sides(padding: Attribute, axis: int) -> tuple[int, int]:
    """Return the padding before and after, of a number, a pair, or (top, left, bottom, right)."""
    if isinstance(padding, Sequence) and len(padding) == 4:
        return int(padding[axis]), int(padding[2 + axis])
    both = pair(padding)[axis]
    return both, both
