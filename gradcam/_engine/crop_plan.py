"""How to run a network on variants of a picture that differ from it in one patch.

A convolution computes other values only where it sees the patch. So the network is cut at some
layers. A stage leads from one cut to the next: the layers between run on a *crop* of the first
one's map, which contains the *window* of the second one's map that the patch can change, and all
that this window reads. The window is then pasted into the map of the unchanged picture, from which
the next stage takes its crop. From the last cut on, whole maps are run.

Crops are as exact as whole maps: they begin at multiples of the stage's stride, so that strided
layers compute the same positions; their size is congruent to the map's, so that a crop that touches
the end of the map ends like the map; and a window never contains positions that read beyond a side
at which the crop was cut off. All crops of a stage have the same size.

Which cuts are the cheapest is decided by a count of multiplications and copied values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradcam._engine.graph import Graph
from gradcam._engine.layers import INPUT, Layer
from gradcam._engine.receptive import Interval, Positions, map_sizes, reached, read_by, window

Size = tuple[int, int]

_COPY = 100.0
"""The time to copy one value into a crop and out of it, in multiplications of convolutions."""

_OTHER = 6.0
"""The time of one value of a layer that is neither a convolution nor fully connected."""

_WINOGRAD = 0.36
"""The time of a multiplication that Winograd's algorithm saves most of."""

_DEPTHWISE = 3.0
"""The time of a multiplication of a convolution of single channels."""


@dataclass(frozen=True)
class Axis:
    """A stage's rows or columns, for P patches.

    Attributes
    ----------
    crop : int
        The size of the crops of the stage's first map.
    begins : (P,) array of int
        Where they begin on it.
    picture : int
        The size of a picture whose map has the size `crop`.
    window : int
        The size of the windows of the stage's last map.
    inside : (P,) array of int
        Where they begin in what the stage computes of a crop.
    places : (P,) array of int
        Where they begin on the map.
    """

    crop: int
    begins: Positions
    picture: int
    window: int
    inside: Positions
    places: Positions


@dataclass(frozen=True)
class Stage:
    """The layers after `start`, up to `end`, on crops."""

    start: str
    end: str
    rows: Axis
    columns: Axis


@dataclass(frozen=True)
class Plan:
    """How to run the variants.

    Attributes
    ----------
    stages : tuple of Stage
        Each begins where the one before ends, the first at the input.
    last : str
        The layer from which whole maps are run.
    share : float
        The estimated time of a variant, divided by that of a pass over a whole picture.
    """

    stages: tuple[Stage, ...]
    last: str
    share: float

    @property
    def cuts(self) -> list[str]:
        """The layers whose maps of the unchanged picture are needed."""
        return [INPUT, *(stage.end for stage in self.stages)]


WHOLE = Plan((), INPUT, 1.0)
"""Whole pictures."""


def make_plan(graph: Graph, size: Size, wanted: Sequence[str], patches: Sequence[Interval]) -> Plan:
    """Return the cheapest plan.

    Parameters
    ----------
    graph : Graph
    size : (height, width)
        Of the network's input.
    wanted : sequence of str
        The layers whose outputs are read of each variant.
    patches : (rows, columns) of Interval
        The patches: each interval of rows with each one of columns.
    """
    return _Planner(graph, size, wanted, patches).cheapest()


class _Planner:
    """What is known about the layers for one size of picture, and the search of the cuts."""

    def __init__(
        self, graph: Graph, size: Size, wanted: Sequence[str], patches: Sequence[Interval]
    ) -> None:
        self.shapes = graph.shapes(*size)
        self.wanted = {graph.names(name)[0] for name in wanted}
        self.layers = _feeding(graph.layers, self.wanted)
        local = {name: each for name, each in self.layers.items() if self._is_local(each)}
        self.sizes = [map_sizes(local, axis, range(1, size[axis] + 1)) for axis in (0, 1)]
        self.windows = [
            _of_one_size(reached(local, self.shapes, axis, patches[axis]), self.shapes, axis)
            for axis in (0, 1)
        ]
        self.strides = [_strides(local, axis) for axis in (0, 1)]
        self.costs = {name: self._whole_cost(each) for name, each in self.layers.items()}

    def cheapest(self) -> Plan:
        """Search the cuts: the cheapest way to each of them, then to the end."""
        whole = self._costs_above()
        best: dict[str, tuple[float, tuple[Stage, ...]]] = {INPUT: (0.0, ())}
        for end in self.cuts[1:]:
            found = [
                (best[stage.start][0] + cost, (*best[stage.start][1], stage))
                for stage, cost in self._stages_to(end)
                if stage.start in best
            ]
            if found:
                best[end] = min(found, key=lambda each: each[0])
        last = min(best, key=lambda cut: best[cut][0] + whole[cut])
        share = (best[last][0] + whole[last]) / whole[INPUT]
        return Plan(best[last][1], last, share) if best[last][1] else WHOLE

    @cached_property
    def cuts(self) -> list[str]:
        """Layers through which all layers above are reached, as far as windows are smaller."""
        names = list(self.layers)
        number = {name: n for n, name in enumerate(names)}
        lowest = len(names)
        found = []
        for n in range(len(names) - 1, -1, -1):
            name = names[n]
            if lowest >= n and all(name in strides for strides in self.strides):
                found.append(name)
            lowest = min([lowest, *(number[each] for each in self.layers[name].inputs)])
            if name in self.wanted:
                found = [each for each in found if number[each] <= n]
        return [name for name in reversed(found) if name == INPUT or self._is_useful(name)]

    def _is_local(self, layer: Layer) -> bool:
        """Whether the layer's output depends on its inputs at nearby positions alone."""
        shapes = [self.shapes[each] for each in (*layer.inputs, layer.name)]
        inputs = {shape[1:] for shape in shapes[:-1]}
        return (
            all(len(shape) == 3 for shape in shapes)
            and len(inputs) <= 1
            and window(layer, 0) is not None
        )

    def _is_useful(self, name: str) -> bool:
        """Whether a cut there can be better than one at the layer after it."""
        shape = self.shapes[name]
        if all(w[name][0] == s for w, s in zip(self.windows, shape[1:], strict=True)):
            return False
        readers = [each for each in self.layers.values() if name in each.inputs]
        follows = len(readers) == 1 and len(readers[0].inputs) == 1 and name not in self.wanted
        return not (follows and readers[0].op not in ("conv", "max_pool", "average_pool"))

    def _costs_above(self) -> dict[str, float]:
        """Return the cost of all layers above each cut, for one variant."""
        total, found = 0.0, {}
        for name in reversed(self.layers):
            if name in self.cuts:
                copied = _COPY * math.prod(self.shapes[name]) / 2
                found[name] = total + copied
            total += self.costs[name]
        return found

    def _stages_to(self, end: str) -> list[tuple[Stage, float]]:
        """Return the stages that end there, with their costs for one variant."""
        names = list(self.layers)
        stop = names.index(end) + 1
        below = [self.layers[name] for name in names[1:stop]]
        needed = []
        for axis in (0, 1):
            size, places = self.windows[axis][end]
            needed.append(read_by(below, self.shapes, axis, end, Interval(places, places + size)))
        found = []
        for start in self.cuts[: self.cuts.index(end)]:
            axes = [self._axis(axis, start, end, needed[axis][start]) for axis in (0, 1)]
            if axes[0] is not None and axes[1] is not None:
                stage = Stage(start, end, axes[0], axes[1])
                between = names[names.index(start) + 1 : stop]
                found.append((stage, self._stage_cost(stage, between)))
        return found

    def _axis(self, axis: int, start: str, end: str, needed: Interval) -> Axis | None:
        """Return one axis of a stage whose windows read `needed` of its first map."""
        size, sizes = self.shapes[start][1 + axis], self.sizes[axis]
        stride = self.strides[axis][end] // self.strides[axis][start]
        begins = needed.begin // stride * stride
        crop = int((needed.end - begins).max())
        crop += (size - crop) % stride
        window_size, places = self.windows[axis][end]
        for each in (*range(crop, size, stride), size):
            pictures = np.flatnonzero(sizes[start] == each)
            if len(pictures) == 0:
                continue
            first = np.minimum(begins, size - each)
            inside = places - first // stride
            picture = int(pictures[0])
            if int(inside.max()) + window_size <= int(sizes[end][picture]):
                return Axis(each, first, picture + 1, window_size, inside, places)
        return None

    def _stage_cost(self, stage: Stage, between: Sequence[str]) -> float:
        """Return the cost of a stage for one variant: its layers, and what is copied."""
        rows, columns = stage.rows, stage.columns
        cost = 0.0
        for name in between:
            height = int(self.sizes[0][name][rows.picture - 1])
            width = int(self.sizes[1][name][columns.picture - 1])
            cost += _layer_cost(self.layers[name], self.shapes[name][0], height, width)
        crop = self.shapes[stage.start][0] * rows.crop * columns.crop
        height = int(self.sizes[0][stage.end][rows.picture - 1])
        width = int(self.sizes[1][stage.end][columns.picture - 1])
        return cost + _COPY / 2 * (crop + self.shapes[stage.end][0] * height * width)

    def _whole_cost(self, layer: Layer) -> float:
        shape = self.shapes[layer.name]
        height, width = shape[1:] if len(shape) == 3 else (1, 1)
        return _layer_cost(layer, shape[0], height, width)


def _layer_cost(layer: Layer, channels: int, height: int, width: int) -> float:
    """Return the cost of a layer's output of that size."""
    values = channels * height * width
    if layer.op not in ("conv", "linear"):
        return _OTHER * values
    weight = np.shape(layer.weights["weight"])
    if layer.op == "linear" or weight[2:] != (3, 3):
        return float(values * layer.products)
    if weight[1] == 1:
        return _DEPTHWISE * values * layer.products
    if weight[1] < 8 or _is_strided(layer):
        return float(values * layer.products)
    tiles = -(-height // 4) * -(-width // 4)
    return _WINOGRAD * 16 * tiles * channels * layer.products


def _is_strided(layer: Layer) -> bool:
    """Whether a convolution has gaps between the positions that it computes or reads."""
    windows = [window(layer, axis) for axis in (0, 1)]
    return any(each is None or (each.stride, each.dilation) != (1, 1) for each in windows)


def _feeding(layers: Mapping[str, Layer], wanted: set[str]) -> dict[str, Layer]:
    """Return the layers that feed those wanted, in the order in which they run."""
    needed = {*wanted, INPUT}
    for name in reversed(list(layers)):
        if name in needed:
            needed.update(layers[name].inputs)
    return {name: each for name, each in layers.items() if name in needed}


def _strides(layers: Mapping[str, Layer], axis: int) -> dict[str, int]:
    """Return how many positions of the input one step of each map is.

    Maps to which paths of different strides lead are missing, and those that they feed.
    """
    found = {INPUT: 1}
    for name, layer in layers.items():
        before = {found.get(each) for each in layer.inputs}
        read = window(layer, axis)
        if len(before) == 1 and read is not None:
            (stride,) = before
            if stride is not None:
                found[name] = stride * read.stride
    return found


def _of_one_size(
    changed: Mapping[str, Interval], shapes: Mapping[str, Sequence[int]], axis: int
) -> dict[str, tuple[int, Positions]]:
    """Return the size of the longest interval of each map, and where intervals of it begin."""
    found = {}
    for name, interval in changed.items():
        size = int((interval.end - interval.begin).max())
        found[name] = size, np.minimum(interval.begin, shapes[name][1 + axis] - size)
    return found
