"""Gradients averaged over positions: from the gradient of maps, and from sums of weights."""

from __future__ import annotations

import contextlib
import gc
from concurrent.futures import ThreadPoolExecutor

import nets
import numpy as np
import pytest
import reference
from helpers import assert_close
from passes import computed, run

from gradcam import _core


def chain(name: str, pools, *, size=(13, 10), batch=2) -> nets.Case:
    """A convolution, a ReLU, poolings, and two linear layers with a ReLU between them."""

    def describe(b, rng):
        x = b.relu(b.conv(0, nets.kernel(rng, 8, 3, 3, 3), nets.normal(rng, 8), padding=1))
        x = b.dropout(b.flatten(pools(b, x)))
        shape = reference.Builder(3)
        pools(shape, shape.conv(0, np.zeros((8, 3, 1, 1))))
        width = shape.build().forward(np.zeros((1, 3, *size))).outputs[-1].size
        x = b.relu(b.linear(x, nets.kernel(rng, 20, width), nets.normal(rng, 20)))
        b.softmax(b.linear(x, nets.kernel(rng, 6, 20)))

    return nets.Case(name, (batch, 3, *size), describe)


def mixing(out: int, inputs: int) -> np.ndarray:
    """The kernel of a 1x1 convolution."""
    return nets.kernel(np.random.default_rng(out), out, inputs, 1, 1)


def joined(b, rng):
    """The pooled map has two readers before the scores, and one other reader."""
    x = b.relu(b.conv(0, nets.kernel(rng, 6, 3, 3, 3), padding=1))
    x = b.max_pool(x, 2)
    both = b.concatenate([b.flatten(x), b.flatten(b.add([x, x]))])
    b.relu(b.flatten(x))
    b.linear(both, nets.kernel(rng, 4, 144))


def another_reader(b, rng):
    """The map has another reader that does not feed the last layer."""
    x = b.relu(b.conv(0, nets.kernel(rng, 6, 3, 3, 3), padding=1))
    b.linear(b.flatten(x), nets.kernel(rng, 4, 6 * 48))
    b.linear(b.flatten(b.max_pool(x, 2)), nets.kernel(rng, 4, 72))


# Computed from the sums of weights, for the ReLU, layer 2.
SHORT = [
    chain("max", lambda b, x: b.max_pool(x, 2), size=(12, 8)),
    chain("max-odd", lambda b, x: b.max_pool(x, 2)),
    chain("max-overlapping", lambda b, x: b.max_pool(x, 3, stride=2, padding=1, ceil_mode=True)),
    chain("vgg", lambda b, x: b.adaptive_average_pool(b.max_pool(x, 2), 7), size=(14, 14)),
    chain("adaptive", lambda b, x: b.adaptive_average_pool(b.max_pool(x, 2), 4)),
    chain("average", lambda b, x: b.average_pool(x, 3, stride=2, ceil_mode=True)),
    chain(
        "padding-not-counted", lambda b, x: b.average_pool(x, 3, padding=1, count_include_pad=False)
    ),
    chain("blocked-average", lambda b, x: b.average_pool(x, 2), size=(12, 8)),
    chain("no-pooling", lambda b, x: x, batch=1),
    nets.Case("another-reader", (3, 3, 8, 6), another_reader),
]
LONG = [
    chain("padded-average", lambda b, x: b.average_pool(x, 3, padding=1)),
    chain("padded-below", lambda b, x: b.average_pool(x, 3, padding=(0, 0, 1, 0))),
    chain("divisor", lambda b, x: b.average_pool(x, 3, divisor=4)),
    chain("global", lambda b, x: b.adaptive_average_pool(x, 1)),
    chain("global-max", lambda b, x: b.global_max_pool(x)),
    chain("relu", lambda b, x: b.relu(b.max_pool(x, 2))),
    chain("pointwise", lambda b, x: b.relu(b.conv(b.max_pool(x, 2), mixing(12, 8)))),
    chain("pointwise-above", lambda b, x: b.relu(b.conv(x, mixing(12, 8))), size=(7, 5)),
    nets.Case("joined", (2, 3, 8, 6), joined),
]
# Convolutions of which weights are stored for their own backward pass.
CONVOLUTIONS = [
    chain("pointwise-strided", lambda b, x: b.conv(b.max_pool(x, 2), mixing(12, 8), stride=2)),
    chain("pointwise-padded", lambda b, x: b.conv(b.max_pool(x, 2), mixing(12, 8), padding=1)),
    chain("pointwise-grouped", lambda b, x: b.conv(b.max_pool(x, 2), mixing(12, 4), groups=2)),
]


@contextlib.contextmanager
def no_collection():
    """The collector of garbage does not run."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def mean(gradient):
    """The mean over the positions of maps; vectors are returned unchanged."""
    return gradient if gradient.ndim == 3 else gradient.mean((3, 4))


@pytest.mark.parametrize(
    "case", [*SHORT, *LONG, *CONVOLUTIONS, *nets.SMALL_GRAPHS], ids=nets.case_id
)
def test_pooled_gradient_of_any_layer(case, fast_level):
    made = computed(case, fast_level)
    for layer in range(len(made.network)):
        seeds = nets.normal(np.random.default_rng(layer), 2, *made.record.outputs[layer].shape)
        wanted = sorted({*range(layer + 1), made.last})  # the last layer is after `layer`: zeros
        expected = made.record.backward(layer, seeds, wanted, "guided")
        for number, gradient in zip(wanted, expected, strict=True):
            found = made.tape.pooled_gradient(layer, seeds, number, "guided")
            assert_close(found, mean(gradient), "network")


@pytest.mark.parametrize("rule", ["gradient", "deconvnet"])
@pytest.mark.parametrize("case", [*SHORT, *LONG, *CONVOLUTIONS], ids=nets.case_id)
def test_other_rules(case, rule, fast_level):
    """From the last layer to the maps that the poolings read."""
    made = computed(case, fast_level)
    seeds = nets.normal(np.random.default_rng(0), 2, *made.record.outputs[made.last].shape)
    (expected,) = made.record.backward(made.last, seeds, [2], rule)
    found = made.tape.pooled_gradient(made.last, seeds, 2, rule)
    assert_close(found, mean(expected), "network")


@pytest.mark.parametrize("case", [*SHORT, *LONG], ids=nets.case_id)
def test_both_algorithms_agree(case, fast_level):
    made = run(case)
    tape, last = made.tape, made.last
    seeds = nets.normal(np.random.default_rng(0), 5, *tape.activation(last).shape)
    with no_collection():  # what tests before left is not freed meanwhile
        before = _core._live_allocations()
        pooled = tape.pooled_gradient(last, seeds, 2)
        kept = _core._live_allocations() - before
        again = tape.pooled_gradient(last, seeds, 2)
        assert _core._live_allocations() - before == kept, "stored once"
    assert kept == (2 if case in SHORT else 0), (
        "sums of weights are stored only where they are used"
    )
    means = _core.channel_mean(tape.backward(last, seeds, [2])[0])
    np.testing.assert_allclose(pooled, means, rtol=1e-5, atol=1e-5 * np.abs(means).max())
    np.testing.assert_array_equal(again, pooled)


def test_sums_are_freed_with_their_network():
    before = _core._live_allocations()
    made = run(SHORT[0])
    made.tape.pooled_gradient(made.last, nets.normal(np.random.default_rng(0), 1, 2, 6), 2)
    del made
    assert _core._live_allocations() == before


def test_maps_of_several_sizes():
    """Without adaptive pooling, several heights and widths fit the linear layer."""
    weight = nets.normal(np.random.default_rng(0), 5, 24)
    builder = _core.NetworkBuilder(3)
    builder.linear(builder.flatten(builder.relu(0)), weight)
    network = builder.build()
    for height, width in [(2, 4), (8, 1)]:
        tape = network.forward(np.ones((1, 3, height, width)))
        means = tape.pooled_gradient(3, np.ones((1, 1, 5)), 1)
        assert_close(means[0, 0], weight.astype(float).sum(0).reshape(3, 8).mean(1), "sum")


def test_first_use_in_many_threads():
    case = SHORT[3]
    seeds = nets.normal(np.random.default_rng(0), 2, 2, 6)
    expected = run(case).tape.pooled_gradient(9, seeds, 2)
    for _ in range(10):
        tape = run(case).tape
        with ThreadPoolExecutor(8) as pool:
            calls = [pool.submit(tape.pooled_gradient, 9, seeds, 2) for _ in range(8)]
            for call in calls:
                np.testing.assert_array_equal(call.result(), expected)


def test_same_bits_for_any_number_of_threads(threads):
    results = []
    for count in (1, 2, 3):
        _core.set_num_threads(count)
        made = run(chain("wide", lambda b, x: b.max_pool(x, 2), size=(40, 34)))
        seeds = nets.normal(np.random.default_rng(0), 5, 2, 6)
        results.append(made.tape.pooled_gradient(made.last, seeds, 2))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_invalid_arguments_are_refused():
    made = run(SHORT[0])
    network, tape, last = made.network, made.tape, made.last
    seeds = np.ones((1, 2, 6), np.float32)
    with pytest.raises(ValueError, match="layer 99"):
        tape.pooled_gradient(last, seeds, 99)
    with pytest.raises(ValueError, match="layer 99"):
        tape.pooled_gradient(99, seeds, 2)
    with pytest.raises(ValueError, match="seeds"):
        tape.pooled_gradient(last, np.ones((1, 3, 6)), 2)
    with pytest.raises(ValueError, match="seeds"):
        tape.pooled_gradient(last, np.full((1, 2, 6), np.nan), 2)
    with pytest.raises(ValueError, match="rule"):
        tape.pooled_gradient(last, seeds, 2, "lrp")
    with pytest.raises(TypeError):
        tape.pooled_gradient(last, seeds, [2])
    unrecorded = network.forward(np.ones((2, 3, 12, 8)), record=False)
    with pytest.raises(ValueError, match="record"):
        unrecorded.pooled_gradient(last, seeds, 2)
    short = network.forward(np.ones((1, 3, 12, 8)), until=2)
    with pytest.raises(ValueError, match="not computed"):
        short.pooled_gradient(last, seeds, 2)
