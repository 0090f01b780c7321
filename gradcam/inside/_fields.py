"""Receptive fields: which pixels of the input a unit reads, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.graph import Graph
from gradcam._engine.layers import HEADS, INPUT, SEVERAL_INPUTS, Layer
from gradcam._engine.receptive import window

_Bools = NDArray[np.bool_]

_MIXING = ("linear", "flatten", "layer_norm", "softmax", "log_softmax")
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
    graph: Graph, layer: str, size: tuple[int, int]
) -> tuple[tuple[Fields, ...], NDArray[np.intp]]:
    """Return the receptive fields of the units of a layer.

    Rows and columns are followed back through the network separately, position by position and,
    where channels are put together or taken apart, by groups of channels. So they are also exact
    where a layer leaves out positions, as a dilation does, and where the channels of one map come
    from branches of different sizes, as those of an Inception block do. One case is not exact: if a
    unit reads the input through several branches, and one of them reads only padding on one axis,
    what this branch reads on the other axis is in the field, too.

    Parameters
    ----------
    graph : Graph
    layer : str
    size : (height, width)
        Of the network's input.

    Returns
    -------
    tuple of G Fields
    (K,) array of intp
        Which of them are the fields of each unit.
    """
    back = _Back(graph, graph.names(layer)[0], size)
    fields = tuple(map(Fields, back.read(0), back.read(1)))
    return fields, back.groups[back.last]


def _feeding(graph: Graph, last: str) -> list[Layer]:
    """Return the layers that a layer depends on, and itself, in the order in which they run."""
    names = {last}
    every = list(graph.layers.values())
    for layer in reversed(every):
        if layer.name in names:
            names.update(layer.inputs)
    return [each for each in every if each.name in names]


class _Back:
    """The way from a layer back to the input.

    The channels of each map are in groups: those of one group read the same groups of each input.

    Attributes
    ----------
    groups : dict of str to (C,) array of intp
        The group of each channel of a layer.
    """

    def __init__(self, graph: Graph, last: str, size: tuple[int, int]) -> None:
        self.last = last
        self.shapes = graph.shapes(*size)
        self.layers = _feeding(graph, last)
        self.groups: dict[str, NDArray[np.intp]] = {}
        self._reads: dict[str, list[_Bools]] = {}
        for layer in self.layers:
            self._group(layer)

    def _group(self, layer: Layer) -> None:
        """Find the groups of a layer's channels, and which groups of its inputs each reads."""
        count = self.shapes[layer.name][0]
        if layer.name == INPUT:
            self.groups[INPUT] = np.zeros(count, np.intp)
            return
        numbers = range(len(layer.inputs))
        reads = [_channels(layer, self._one_hot(layer, number), count) for number in numbers]
        together, groups = np.unique(np.concatenate(reads, 1), axis=0, return_inverse=True)
        self.groups[layer.name] = groups.reshape(-1)
        ends = np.cumsum([each.shape[1] for each in reads])[:-1]
        self._reads[layer.name] = np.split(together, ends, axis=1)

    def _one_hot(self, layer: Layer, number: int) -> _Bools:
        """Return the group of each channel of an input, (C, groups).

        Of a concatenation, the channels of the other inputs are in none of these groups.
        """
        groups = self.groups[layer.inputs[number]]
        found: _Bools = np.eye(groups.max() + 1, dtype=bool)[groups]
        if layer.op != "concatenate":
            return found
        before = sum(self.shapes[each][0] for each in layer.inputs[:number])
        after = self.shapes[layer.name][0] - before - len(groups)
        return np.pad(found, ((before, after), (0, 0)))

    def read(self, axis: int) -> _Bools:
        """Return which positions of the input are read on one axis.

        Returns
        -------
        (groups of `last`, positions of `last`, positions of the input) array of bool
        """
        sizes = {
            name: shape[1 + axis] if len(shape) == 3 else 1
            for name, shape in ((each.name, self.shapes[each.name]) for each in self.layers)
        }
        groups, places = int(self.groups[self.last].max()) + 1, sizes[self.last]
        start = np.zeros((groups, places, groups, places), bool)
        one, other = np.ogrid[:groups, :places]
        start[one, other, one, other] = True
        found = {self.last: start.reshape(groups * places, groups, places)}
        for layer in reversed(self.layers):
            if layer.name == INPUT:
                continue
            outputs = found.pop(layer.name)
            for each, reads in zip(layer.inputs, self._reads[layer.name], strict=True):
                step = _step(layer, axis, sizes[each], sizes[layer.name])
                inputs = _through(outputs, reads, step)
                found[each] = inputs | found[each] if each in found else inputs
        return np.asarray(found[INPUT].any(1).reshape(groups, places, -1))


def _through(outputs: _Bools, reads: _Bools, step: NDArray[np.float32]) -> _Bools:
    """Return which groups and positions of an input are read for some of the output."""
    if not _is_identity(reads):
        outputs = (reads.T.astype(np.float32) @ outputs.astype(np.float32)) > 0
    if not _is_identity(step):
        outputs = (outputs.astype(np.float32) @ step) > 0
    return outputs


def _is_identity(matrix: NDArray[np.generic]) -> bool:
    return np.array_equal(matrix, np.eye(*matrix.shape)) and len(matrix) == matrix.shape[1]


def _channels(layer: Layer, given: _Bools, count: int) -> _Bools:
    """Return which groups of one input each of a layer's channels reads, (count, groups).

    `given` has the group of each channel of the input.
    """
    if layer.op in _MIXING:
        return np.broadcast_to(given.any(0), (count, given.shape[1]))
    if layer.op == "conv":
        depth = np.shape(layer.weights["weight"])[1]
        given = np.asarray(given.reshape(-1, depth, given.shape[1]).any(1))
    elif layer.op == "slice":
        begin, end = layer.attributes["start"], layer.attributes["stop"]
        assert isinstance(begin, int) and isinstance(end, int)
        given = given[begin:end]
    elif layer.op == "channel_shuffle":
        groups = layer.attributes["groups"]
        assert isinstance(groups, int)
        given = given[np.arange(len(given)).reshape(groups, -1).T.ravel()]
    elif layer.op == "local_response_norm":
        given = _neighbouring(given, layer)
    return np.repeat(given, count // len(given), axis=0)


def _neighbouring(given: _Bools, layer: Layer) -> _Bools:
    """Return the groups that a local response normalisation reads for each channel."""
    size = layer.attributes["size"]
    assert isinstance(size, int)
    before, after = size // 2, (size - 1) // 2
    padded = np.pad(given, ((before, after), (0, 0)))
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, size, axis=0).any(-1))


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
