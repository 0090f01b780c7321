"""The same bits, whatever the number of threads and however often."""

from __future__ import annotations

import numpy as np
import pytest

import gradcam
from gradcam import _core


def _everything(network: gradcam.Network, batch: np.ndarray) -> list[np.ndarray]:
    tape = network.forward(batch, keep=["relu2_2", "pool4"])
    return [
        tape.scores,
        tape.activation("relu2_2"),
        tape.activation("pool4"),
        *(tape.gradient(1, rule=rule) for rule in ("gradient", "guided", "deconvnet")),
        *(np.asarray(explanation.raw) for explanation in tape.grad_cam(list(range(len(batch))))),
    ]


@pytest.mark.parametrize("batch", [1, 3])
def test_results_do_not_depend_on_the_number_of_threads(batch, fast_level, threads):
    network = gradcam.vgg16(gradcam.vgg16.random_tensors(width=8, fc=32, classes=10, seed=1))
    pictures = np.random.default_rng(0).standard_normal((batch, 3, 70, 57)).astype(np.float32)
    _core.set_num_threads(1)
    expected = _everything(network, pictures)
    for count in (2, 3, 7, 2):
        _core.set_num_threads(count)
        for actual, alone in zip(_everything(network, pictures), expected, strict=True):
            assert np.array_equal(actual, alone)


@pytest.mark.parametrize("channels", [64, 256])
def test_pieces_cut_for_many_threads_give_the_same_bits(channels, fast_level, threads):
    """3x3 convolutions whose work is shared out by tiles, and, of 256 channels, by outputs.

    Their blocks of 91 tiles are cut into smaller pieces, of unequal size, for some of these
    threads. Each count has a different picture, so that memory of the previous pass cannot hold
    the values of a missing tile.
    """
    rng = np.random.default_rng(4)
    weight = rng.standard_normal((channels, channels, 3, 3)).astype(np.float32)
    builder = _core.NetworkBuilder(channels)
    relu = builder.relu(builder.conv(0, weight, padding=1))
    network = builder.build()
    for count in (2, 6, 12, 16, 31):
        x = rng.standard_normal((1, channels, 55, 50)).astype(np.float32)
        seeds = rng.standard_normal((1, 1, channels, 55, 50)).astype(np.float32)
        results = []
        for used in (count, 1):
            _core.set_num_threads(used)
            tape = network.forward(x, [relu])
            results.append((tape.activation(relu), tape.backward(relu, seeds, [0])[0]))
        for actual, alone in zip(*results, strict=True):
            assert np.array_equal(actual, alone)


def test_products_of_several_blocks_agree_with_the_twin_and_with_themselves(threads):
    """A 5x5 convolution whose columns take more than one block, forward and backward."""
    rng = np.random.default_rng(2)
    weight = rng.standard_normal((9, 36, 5, 5)).astype(np.float32)
    x = rng.standard_normal((1, 36, 90, 95)).astype(np.float32)
    builder = _core.NetworkBuilder(36)
    relu = builder.relu(builder.conv(0, weight, padding=2))
    network = builder.build()
    seeds = rng.standard_normal((1, 1, 9, 90, 95)).astype(np.float32)
    results = []
    for count in (1, 2, 3):
        _core.set_num_threads(count)
        tape = network.forward(x, [relu])
        results.append((tape.activation(relu), tape.backward(relu, seeds, [0])[0]))
    before = _core.cpu_level()
    _core.set_cpu_level("reference")
    try:
        tape = network.forward(x, [relu])
        expected = (tape.activation(relu), tape.backward(relu, seeds, [0])[0])
    finally:
        _core.set_cpu_level(before)
    for result in results:
        for actual, first, reference in zip(result, results[0], expected, strict=True):
            assert np.array_equal(actual, first)
            np.testing.assert_allclose(actual, reference, atol=1e-3, rtol=1e-4)
