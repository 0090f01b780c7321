"""Depthwise convolutions that compute the 1x1 convolution before them, a few rows at a time.

The core does so where the map between the two is large and no other layer reads it. If the map is
kept, each layer runs by itself: all results must be the same bits.
"""

from __future__ import annotations

from typing import NamedTuple

import nets
import numpy as np
import pytest

from gradcam import _core

CHANNELS = 5 * 16 + 3  # of the map between the two: the last block is not full


class Case(NamedTuple):
    """A picture's size, and the arguments of the depthwise convolution."""

    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)


CASES = [
    Case((40, 44), (3, 3), padding=(1, 1, 1, 1)),
    Case((112, 40), (3, 3), (2, 2), (0, 0, 1, 1)),
    Case((61, 25), (5, 5), padding=(2, 2, 2, 2)),
    Case((40, 35), (5, 5), (2, 2), (1, 2, 2, 1)),
    Case((57, 33), (3, 3), (2, 2)),  # the last row is read by no output
    Case((63, 37), (1, 1), (3, 3)),  # two of three rows are read by no output
    Case((102, 30), (1, 1), (3, 3)),  # the last band has all rows that fit, and two more
    Case((54, 24), (3, 3), padding=(2, 2, 1, 2), dilation=(2, 1)),
    Case((40, 44), (2, 3), (3, 1), (1, 0, 1, 0)),
]


def build(case: Case, relu: str) -> tuple[_core.Network, int, int]:
    """A network, and the numbers of the map between the two layers and of the last layer."""
    rng = np.random.default_rng(1)
    b = _core.NetworkBuilder(3)
    x = b.relu(b.conv(0, nets.kernel(rng, 21, 3, 3, 3), nets.normal(rng, 21), padding=1))
    x = b.conv(x, nets.kernel(rng, CHANNELS, 21, 1, 1), nets.normal(rng, CHANNELS))
    between = getattr(b, relu)(x)
    y = b.conv(
        between,
        nets.kernel(rng, CHANNELS, 1, *case.kernel),
        nets.normal(rng, CHANNELS),
        stride=case.stride,
        padding=case.padding,
        dilation=case.dilation,
        groups=CHANNELS,
    )
    last = b.relu(y)
    return b.build(), between, last


@pytest.mark.parametrize("relu", ["relu", "relu6"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_results_are_those_of_single_layers(case, relu, threads, fast_level):
    network, between, last = build(case, relu)
    pictures = nets.normal(np.random.default_rng(2), 3, 3, *case.size)
    _core.set_num_threads(1)
    alone = network.forward(pictures, keep=[between, last])
    assert alone.algorithms()[between - 1] == "packed"
    assert any(alone.seconds()[between - 1 : between + 1])
    seeds = nets.normal(np.random.default_rng(3), 1, *alone.activation(last).shape)
    gradients = [alone.backward(last, seeds, [1, 0], rule) for rule in ("gradient", "guided")]
    for number in (1, 2, 3):
        _core.set_num_threads(number)
        for count in (1, 3):
            tape = network.forward(pictures[:count], keep=[last])
            assert not any(tape.seconds()[between - 1 : between + 1]), "ran in the next step"
            np.testing.assert_array_equal(tape.activation(last), alone.activation(last)[:count])
            for rule, expected in zip(("gradient", "guided"), gradients, strict=True):
                found = tape.backward(last, seeds[:, :count], [1, 0], rule)
                for a, b in zip(found, expected, strict=True):
                    np.testing.assert_array_equal(a, b[:, :count])
            unrecorded = network.forward(pictures[:count], keep=[last], record=False)
            np.testing.assert_array_equal(unrecorded.activation(last), tape.activation(last))
