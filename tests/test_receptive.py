"""Which positions layers read and reach: against all taps, and against changed values."""

from __future__ import annotations

import numpy as np
import pytest
import random_networks
import reference

from gradcam._engine.graph import Graph
from gradcam._engine.layers import INPUT, Layer
from gradcam._engine.receptive import Interval, Window, map_sizes, reached, read_by, window
from gradcam._labels.classes import Labels

SEEDS = range(25)


def interval(begin: int, end: int) -> Interval:
    return Interval(np.array([begin]), np.array([end]))


def random_window(rng: np.random.Generator) -> Window:
    taps, stride, dilation = (int(n) for n in rng.integers(1, 5, 3))
    before, after = (int(n) for n in rng.integers(0, taps, 2))
    return Window(taps, stride, dilation, before, after, bool(rng.integers(2)))


@pytest.mark.parametrize("seed", range(20))
def test_a_window_against_all_its_taps(seed):
    rng = np.random.default_rng(seed)
    of, size = random_window(rng), int(rng.integers(20, 40))
    count = int(of.output_size(np.array(size)))
    first = np.arange(count) * of.stride - of.before  # of the positions that an output reads
    last = first + (of.taps - 1) * of.dilation
    for _ in range(10):
        begin, end = np.sort(rng.choice(size + 1, 2, replace=False))
        reading = np.flatnonzero((last >= begin) & (first < end))
        found = of.reaches(interval(begin, end)).clipped(count)
        if len(reading):
            assert (found.begin[0], found.end[0]) == (reading[0], reading[-1] + 1)
        begin, end = np.sort(rng.choice(count + 1, 2, replace=False))
        found = of.reads(interval(begin, end))
        assert (found.begin[0], found.end[0]) == (first[begin], last[end - 1] + 1)


@pytest.mark.parametrize("seed", range(10))
def test_sizes_against_the_twin(seed):
    of = random_window(np.random.default_rng(seed))
    sizes = np.arange(of.extent, 50)
    pad = (of.before, of.after)
    if of.dilation > 1:
        expected = [reference.conv_size(s, of.taps, of.stride, pad, of.dilation) for s in sizes]
        of = Window(of.taps, of.stride, of.dilation, *pad)
    else:
        expected = [reference.pool_size(s, of.taps, of.stride, pad, of.ceil_mode) for s in sizes]
    np.testing.assert_array_equal(of.output_size(sizes), expected)
    assert of.output_size(np.array(0)) < 1 or sum(pad) + of.stride > of.extent


def test_layers_that_read_all_positions_have_no_window():
    for op in ("linear", "flatten", "global_average_pool", "adaptive_average_pool", "softmax"):
        assert window(Layer("x", op, (INPUT,)), 0) is None


def graph_of(case: random_networks.Case) -> Graph:
    return Graph(case.assemble(), Labels.numbered(1), None, "random")


def maps_of(graph: Graph, x: np.ndarray) -> dict[str, np.ndarray]:
    tape = graph.run_core(x, list(graph.layers), record=False)
    return {name: tape.activation(n) for n, name in enumerate(graph.layers)}


def test_what_changes_lies_where_it_can():
    """A patch of the input of random networks, and the change of every map."""
    maps = 0
    for seed in SEEDS:
        case = random_networks.random_case(seed)
        graph, x = graph_of(case), case.pictures(0)[:1]
        rng, changed = np.random.default_rng(seed), x.copy()
        (top, bottom), (left, right) = (
            np.sort(rng.choice(size + 1, 2, replace=False)) for size in case.shape[2:]
        )
        changed[..., top:bottom, left:right] += 1
        before, after = maps_of(graph, x), maps_of(graph, changed)
        shapes = graph.shapes(*case.shape[2:])
        rows = reached(graph.layers, shapes, 0, interval(top, bottom))
        columns = reached(graph.layers, shapes, 1, interval(left, right))
        assert rows.keys() == columns.keys()
        for name in rows:
            if len(set(shapes[each][1:] for each in graph.layers[name].inputs)) > 1:
                continue
            difference = np.abs(after[name] - before[name])
            largest = np.abs(before[name]).max()
            outside = np.ones(shapes[name][1:], bool)
            places = (
                slice(int(each[name].begin[0]), int(each[name].end[0])) for each in (rows, columns)
            )
            outside[tuple(places)] = False
            assert difference[0][:, outside].max(initial=0) <= 1e-5 * largest, (name, str(case))
            maps += 1
    assert maps > 100


def test_a_chain_reaches_exactly_what_changes():
    names = ("first", "pool", "second")
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((4, 3, 3, 3)).astype(np.float32)
    layers = [
        Layer(INPUT, INPUT),
        Layer("first", "conv", (INPUT,), {"weight": kernel}, {"padding": 1, "stride": 2}),
        Layer("pool", "average_pool", ("first",), {}, {"kernel": 3, "stride": 1}),
        Layer("second", "conv", ("pool",), {"weight": kernel[:, :, :1].repeat(2, 1)[:, [0] * 4]}),
    ]
    by_name = {layer.name: layer for layer in layers}
    sizes = {name: each.tolist() for name, each in map_sizes(by_name, 0, [20, 21, 5, 4]).items()}
    assert sizes == {
        INPUT: [20, 21, 5, 4],
        "first": [10, 11, 3, 2],
        "pool": [8, 9, 1, -1],
        "second": [8, 9, 1, -1],
    }
    shapes = {name: (4, size[0], 1) for name, size in sizes.items()}
    found = reached(by_name, shapes, 0, interval(9, 11))
    assert {name: (int(found[name].begin[0]), int(found[name].end[0])) for name in names} == {
        "first": (4, 6),
        "pool": (2, 6),
        "second": (2, 6),
    }
    read = read_by(layers[1:], shapes, 0, "second", interval(2, 6))
    assert (int(read[INPUT].begin[0]), int(read[INPUT].end[0])) == (3, 16)


def test_gradients_are_zero_outside_of_the_receptive_field():
    compared = 0
    for seed in SEEDS:
        case = random_networks.random_case(seed)
        graph, x = graph_of(case), case.pictures(0)[:1]
        shapes = graph.shapes(*case.shape[2:])
        local = reached(graph.layers, shapes, 0, interval(0, case.shape[2]))
        last = [name for name in local if name != INPUT]
        layers = [layer for layer in graph.layers.values() if layer.name in local]
        if not last or any(
            len({shapes[each][1:] for each in layer.inputs}) > 1 for layer in layers
        ):
            continue
        name, rng = last[-1], np.random.default_rng(seed)
        place = [int(rng.integers(size)) for size in shapes[name][1:]]
        seeds = np.zeros((1, 1, *shapes[name]), np.float32)
        seeds[0, 0, :, place[0], place[1]] = 1
        core = graph.run_core(x, [name])
        (gradient,) = core.backward(graph.index(name), seeds, [0], "gradient")
        fields = [
            read_by(layers[1:], shapes, a, name, interval(place[a], place[a] + 1))[INPUT]
            for a in (0, 1)
        ]
        outside = np.ones(case.shape[2:], bool)
        outside[tuple(slice(int(each.begin[0]), int(each.end[0])) for each in fields)] = False
        largest = np.abs(gradient).max()  # Winograd's algorithm rounds zeros
        assert np.abs(gradient[0, 0][:, outside]).max(initial=0) <= 1e-5 * largest, str(case)
        compared += 1
    assert compared > 10
