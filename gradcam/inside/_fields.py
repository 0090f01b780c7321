"""Receptive fields: which pixels of the input a unit reads, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.graph import Graph
from gradcam._engine.layers import HEADS, INPUT, SEVERAL_INPUTS, Layer
from gradcam._engine.receptive import window

_Bools = NDArray[np.bool_]

_REORDERING = ("concatenate", "slice", "channel_shuffle")
"""Operations after which channels of one map can have different fields."""

_MIXING = ("linear", "flatten", "layer_norm", "local_response_norm", "softmax", "log_softmax")
"""Operations whose output depends on all channels, besides ungrouped convolutions."""


@dataclass(frozen=True, eq=False)
class Fields:
    """The receptive fields of all positions of a map.

    Attributes
    ----------
    rows : (h, H) array of bool
        Which rows of the input are read by each row of the map; h is 1 for a vector.
    columns : (w, W) array of bool
        The same for columns.
    """

    rows: _Bools
    columns: _Bools

    @cached_property
    def sees(self) -> _Bools:
        """(h, w): whether a position reads the input at all, and not only padding."""
        seen: _Bools = np.logical_and.outer(self.rows.any(1), self.columns.any(1))
        return seen

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Return the field of a position, (x0, y0, x1, y1), in pixels of the input.

        It is the smallest box around the pixels that are read: those at its edges are.
        """
        (x0, x1), (y0, y1) = _ends(self.columns[column]), _ends(self.rows[row])
        return x0, y0, x1, y1

    @property
    def largest(self) -> tuple[int, int]:
        """The height and the width of the largest field, in pixels of the input."""
        height, width = (
            max(end - begin for begin, end in map(_ends, read))
            for read in (self.rows, self.columns)
        )
        return height, width


def receptive_fields(
    graph: Graph, layer: str, size: tuple[int, int], unit: int | None = None
) -> Fields:
    """Return the receptive fields of one unit of a layer, or of all of them together.

    Rows and columns are followed back through the network separately, position by position and,
    where channels are put together or taken apart, channel by channel. So they are also exact where
    a layer leaves out positions, as a dilation does, and where the channels of one map come from
    branches of different sizes, as those of an Inception block do.

    Parameters
    ----------
    graph : Graph
    layer : str
    size : (height, width)
        Of the network's input.
    unit : int, optional
        A channel. By default the fields contain what any channel reads.
    """
    back = _Back(graph, graph.names(layer)[0], size)
    return Fields(back.read(0, unit), back.read(1, unit))


def differ_by_unit(graph: Graph, layer: str) -> bool:
    """Return whether units of a layer may have different fields at one position."""
    return any(each.op in _REORDERING for each in _feeding(graph, graph.names(layer)[0]))


def _feeding(graph: Graph, last: str) -> list[Layer]:
    """Return the layers that a layer depends on, and itself, in the order in which they run."""
    names = {last}
    every = list(graph.layers.values())
    for layer in reversed(every):
        if layer.name in names:
            names.update(layer.inputs)
    return [each for each in every if each.name in names]


class _Back:
    """The way from a layer back to the input."""

    def __init__(self, graph: Graph, last: str, size: tuple[int, int]) -> None:
        self.last = last
        self.shapes = graph.shapes(*size)
        self.layers = _feeding(graph, last)
        self.tracks = any(each.op in _REORDERING for each in self.layers)

    def read(self, axis: int, unit: int | None) -> _Bools:
        """Return which positions of the input are read on one axis: (positions of `last`, input).

        Masks on the way are (positions of `last`, channels, positions of the map). If all channels
        have one field, they are one channel there.
        """
        sizes = {name: shape[1 + axis] if len(shape) == 3 else 1 for name, shape in self._all()}
        start = np.zeros((sizes[self.last], self._channels(self.last), sizes[self.last]), bool)
        units = slice(None) if unit is None or not self.tracks else unit
        start[np.arange(len(start)), units, np.arange(len(start))] = True
        found = {self.last: start}
        for layer in reversed(self.layers):
            if layer.name == INPUT:
                continue
            outputs = found.pop(layer.name)
            for number, each in enumerate(layer.inputs):
                step = _step(layer, axis, sizes[each], sizes[layer.name])
                inputs = self._through(layer, number, outputs, step)
                if each in found:
                    inputs |= found[each]
                found[each] = inputs
        return np.asarray(found[INPUT].any(1))

    def _all(self) -> list[tuple[str, tuple[int, ...]]]:
        return [(each.name, self.shapes[each.name]) for each in self.layers]

    def _channels(self, name: str) -> int:
        return self.shapes[name][0] if self.tracks else 1

    def _through(
        self, layer: Layer, number: int, outputs: _Bools, step: NDArray[np.float32]
    ) -> _Bools:
        """Return which channels and positions of a layer's input are read for its output."""
        count = self._channels(layer.inputs[number])
        groups = count
        if layer.op in _MIXING:
            groups = 1
        elif layer.op == "conv" and self.tracks:
            groups = count // np.shape(layer.weights["weight"])[1]
        elif layer.op in _REORDERING:
            outputs = _reordered(layer, number, outputs, self.shapes)
        by_group = outputs.reshape(len(outputs), groups, -1, outputs.shape[2]).any(2)
        read = (by_group.astype(np.float32) @ step) > 0
        return np.repeat(read, count // groups, axis=1)


def _reordered(
    layer: Layer, number: int, outputs: _Bools, shapes: Mapping[str, tuple[int, ...]]
) -> _Bools:
    """Return the channels of one input of a layer that only chooses or reorders channels."""
    count = shapes[layer.inputs[number]][0]
    if layer.op == "concatenate":
        start = sum(shapes[each][0] for each in layer.inputs[:number])
        return outputs[:, start : start + count]
    if layer.op == "slice":
        begin, end = layer.attributes["start"], layer.attributes["stop"]
        assert isinstance(begin, int) and isinstance(end, int)
        inputs = np.zeros((len(outputs), count, outputs.shape[2]), bool)
        inputs[:, begin:end] = outputs
        return inputs
    groups = layer.attributes["groups"]
    assert isinstance(groups, int)
    order = np.arange(count).reshape(groups, -1).T.ravel()
    inputs = np.empty_like(outputs)
    inputs[:, order] = outputs
    return inputs


def _step(layer: Layer, axis: int, inputs: int, outputs: int) -> NDArray[np.float32]:
    """Return which positions of its input a layer reads on one axis: (outputs, inputs), 1 or 0."""
    step = np.zeros((outputs, inputs), np.float32)
    places = np.arange(outputs)
    reading = window(layer, axis)
    if layer.op == "adaptive_average_pool":
        for place in places:  # bins can share positions
            step[place, place * inputs // outputs : -(-(place + 1) * inputs // outputs)] = 1
    elif layer.op in HEADS and inputs == outputs:
        np.fill_diagonal(step, 1)  # over the channels of each position
    elif reading is None or (layer.op in SEVERAL_INPUTS and inputs != outputs):
        step[:] = 1  # all positions; or one factor for all positions of a map
    else:
        for tap in range(reading.taps):
            read = places * reading.stride - reading.before + tap * reading.dilation
            exists = (read >= 0) & (read < inputs)
            step[places[exists], read[exists]] = 1
    return step


def flattened_map(graph: Graph, layer: str, size: tuple[int, int]) -> str | None:
    """Return the map that a vector holds value by value, as that of a flatten layer; else None.

    A unit of such a vector is a position of the map.
    """
    each = graph.layers[graph.names(layer)[0]]
    while each.op != "flatten":
        vector = len(graph.shape(each.name, size)) == 1
        if not vector or len(each.inputs) != 1 or window(each, 0) is None:
            return None
        each = graph.layers[each.inputs[0]]
    shape = graph.shape(each.inputs[0], size)
    return each.inputs[0] if len(shape) == 3 and shape[1:] != (1, 1) else None


def _ends(read: _Bools) -> tuple[int, int]:
    """Return the first position that is read, and the one after the last; (0, 0) if none is."""
    places = np.flatnonzero(read)
    return (int(places[0]), int(places[-1]) + 1) if places.size else (0, 0)
