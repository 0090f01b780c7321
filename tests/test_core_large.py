"""Graphs of very many layers or inputs: what a pass plans takes time in proportion to its graph."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from gradcam import _core

FEW, FACTOR = 2000, 8
PICTURE = np.ones((1, 1, 1, 1), np.float32)


def seconds(call: Callable[[], object]) -> float:
    """The least time of a few runs, of the processor."""
    times = []
    for _ in range(3):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def concatenation(count: int) -> Callable[[], object]:
    """Of one map with itself."""
    builder = _core.NetworkBuilder(1)
    builder.concatenate([0] * count)
    tape = builder.build().forward(PICTURE)
    return lambda: tape.backward(1, np.ones((1, 1, count, 1, 1)), [0])


def many_maps(count: int) -> Callable[[], object]:
    """The forward and backward pass of a concatenation of as many layers."""
    builder = _core.NetworkBuilder(1)
    builder.concatenate([builder.affine(0, [1.0], [0.0]) for _ in range(count)])
    network = builder.build()
    seeds = np.ones((1, 1, count, 1, 1), np.float32)
    return lambda: network.forward(PICTURE).backward(count + 1, seeds, [0])


def chain(count: int) -> Callable[[], object]:
    """Convolutions that no ReLU follows: each looks for its reader."""
    builder, x = _core.NetworkBuilder(1), 0
    weight = np.ones((1, 1, 1, 1), np.float32)
    for _ in range(count):
        x = builder.affine(builder.conv(x, weight), [1.0], [0.0])
    network = builder.build()
    return lambda: network.forward(PICTURE)


def chain_of_dropouts(count: int) -> Callable[[], object]:
    """The search for the layer with the same sums of gradients."""
    builder, x = _core.NetworkBuilder(1), 0
    for _ in range(count):
        x = builder.dropout(x)
    tape = builder.build().forward(PICTURE)
    seeds = np.ones((1, 1, 1, 1, 1), np.float32)
    return lambda: tape.pooled_gradient(count, seeds, 1)


def every_gradient(count: int) -> Callable[[], object]:
    """All layers are wanted."""
    builder, x = _core.NetworkBuilder(1), 0
    for _ in range(count):
        x = builder.relu(x)
    tape = builder.build().forward(PICTURE)
    seeds, wanted = np.ones((1, 1, 1, 1, 1), np.float32), list(range(count + 1))
    return lambda: tape.backward(count, seeds, wanted)


@pytest.mark.parametrize(
    "make", [concatenation, many_maps, chain, chain_of_dropouts, every_gradient]
)
def test_time_grows_with_the_size_of_the_graph(make):
    """Eight times as many take no more than 24 times as long (64 if it grew with the square)."""
    few, many = seconds(make(FEW)), seconds(make(FACTOR * FEW))
    assert many < 3 * FACTOR * max(few, 1e-3)


def test_one_wanted_layer_may_be_named_twice():
    builder = _core.NetworkBuilder(2)
    last = builder.affine(builder.relu(0), [2.0, 3.0], [0.0, 0.0])
    tape = builder.build().forward(np.ones((1, 2, 3, 3)))
    seeds = np.random.default_rng(0).standard_normal((2, 1, 2, 3, 3)).astype(np.float32)
    first, middle, again, top = tape.backward(last, seeds, [0, 1, 0, last])
    expected = seeds * np.float32([2, 3]).reshape(2, 1, 1)
    for gradient in (first, middle, again):
        np.testing.assert_array_equal(gradient, expected)
    np.testing.assert_array_equal(top, seeds)


def test_a_last_group_of_one_picture(fast_level):
    """The map between the layers is so large that two pictures go through them at a time."""
    rng = np.random.default_rng(0)
    b = _core.NetworkBuilder(3)
    parts = [b.conv(0, rng.standard_normal((16, 3, 1, 1), np.float32)) for _ in range(2)]
    both = b.concatenate(parts)
    b.conv(both, rng.standard_normal((8, 32, 1, 1), np.float32))
    scores = b.conv(both + 1, rng.standard_normal((1, 8, 1, 1), np.float32))
    network = b.build()
    pictures = rng.standard_normal((3, 3, 560, 560), np.float32)
    seeds = rng.standard_normal((1, 3, 1, 560, 560), np.float32)
    (found,) = network.forward(pictures, keep=[scores]).backward(scores, seeds, [0])
    for n in range(3):
        tape = network.forward(pictures[n : n + 1], keep=[scores])
        (alone,) = tape.backward(scores, seeds[:, n : n + 1], [0])
        np.testing.assert_array_equal(found[:, n], alone[:, 0])
