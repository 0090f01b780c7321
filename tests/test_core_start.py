"""A forward pass that starts at a layer in the middle, against the pass over the whole network."""

from __future__ import annotations

import re

import nets
import numpy as np
import pytest
import reference
from helpers import assert_close

from gradcam import _core

RULES = ["gradient", "guided", "deconvnet"]
# Convolutions, ReLUs and poolings in blocked layout, run in one step or drawn: these depend on the
# vectors of a level. The other graphs do not.
BLOCKED = ["vgg", "vgg-wide", "vgg-narrow", "stem"]
OTHERS = ["residual", "inception", "reused-before-relu", "two-heads", "mobile", "relu-twice"]


def computable(twin, start: int) -> list[int]:
    """The layers that the output of `start` suffices to compute, itself included."""
    found = {start}
    for number, (_, inputs) in enumerate(twin.nodes):
        if inputs and found.issuperset(inputs):
            found.add(number)
    return sorted(found)


def whole_pass(case):
    """The network, its twin, and the tape of a whole pass that keeps everything."""
    network, twin = case.build(_core.NetworkBuilder), case.build(reference.Builder)
    return network, twin, network.forward(case.pictures(), keep=range(len(network)))


def assert_same_gradients(tape, whole, start: int, layers: list[int]) -> None:
    """From the last of `layers`: to all of them, to the first alone, and averaged over positions.

    No bit differs: a map is converted to another layout without rounding, and the sums of a
    layer do not depend on what ran before it.
    """
    seeds = nets.normal(np.random.default_rng(1), 2, tape.batch, *tape.shape(layers[-1]))
    for rule in RULES:
        expected = whole.backward(layers[-1], seeds, layers, rule)
        for found, right in zip(
            tape.backward(layers[-1], seeds, layers, rule), expected, strict=True
        ):
            np.testing.assert_array_equal(found, right)
        (alone,) = tape.backward(layers[-1], seeds, [start], rule)
        np.testing.assert_array_equal(alone, expected[0])
        means = tape.pooled_gradient(layers[-1], seeds, start, rule)
        np.testing.assert_array_equal(means, whole.pooled_gradient(layers[-1], seeds, start, rule))


def assert_every_start_gives_the_same(case) -> None:
    network, twin, whole = whole_pass(case)
    size = case.shape[2:]
    for start in range(1, len(network)):
        layers = computable(twin, start)
        x, until = whole.activation(start), layers[-1]
        kept = network.forward(x, layers, until, start=start, size=size)
        assert kept.kept == tuple(layers)
        for layer in layers:
            np.testing.assert_array_equal(kept.activation(layer), whole.activation(layer))
            assert kept.shape(layer) == whole.shape(layer)
        fused = network.forward(x, until=until, start=start, size=size)
        assert fused.kept == (until,)
        np.testing.assert_array_equal(fused.activation(until), whole.activation(until))
        assert_nothing_is_known_of(kept, range(start))
        assert_same_gradients(kept, whole, start, layers)
        assert_same_gradients(fused, whole, start, feeding(twin, until, layers))


def feeding(twin, layer: int, among: list[int]) -> list[int]:
    """Those of `among` that feed `layer`, itself included."""
    found = {layer}
    for number in range(layer, -1, -1):
        if number in found:
            found.update(twin.nodes[number][1])
    return [number for number in among if number in found]


def assert_nothing_is_known_of(tape, layers: range) -> None:
    for layer in layers:
        with pytest.raises(ValueError, match=f"layer {layer} was not computed"):
            tape.shape(layer)
        with pytest.raises(ValueError, match=f"layer {layer} was not computed"):
            tape.activation(layer)


@pytest.mark.parametrize("cpu_level", _core.cpu_levels()[1:], indirect=True)
@pytest.mark.parametrize("name", BLOCKED)
def test_every_start_at_every_level(name, cpu_level):
    assert_every_start_gives_the_same(nets.by_name(name))


@pytest.mark.parametrize("name", OTHERS)
def test_every_start(name):
    assert_every_start_gives_the_same(nets.by_name(name))


def test_an_activation_that_was_changed(cpu_level):
    """Ablation: the float64 twin runs the layers above on the same changed map."""
    network, twin, whole = whole_pass(nets.by_name("vgg"))
    start, last = 4, len(network) - 1
    x = whole.activation(start)
    x[:, ::2] = 0
    above = reference.Network(
        [(None, ())]
        + [(node, tuple(i - start for i in inputs)) for node, inputs in twin.nodes[start + 1 :]]
    )
    tape = network.forward(x, range(start, last), start=start, size=(13, 18))
    record = above.forward(x, {i - start: tape.activation(i) for i in range(start, last)})
    assert_close(tape.activation(last), record.outputs[-1], "network")
    seeds = nets.normal(np.random.default_rng(1), 1, *record.outputs[-1].shape)
    for rule in RULES:
        (found,) = tape.backward(last, seeds, [start], rule)
        assert_close(found, record.backward(last - start, seeds, [0], rule)[0], "network")


def test_images_go_through_in_groups():
    """Maps of 61 MB go through one at a time."""
    builder = _core.NetworkBuilder(3)
    builder.conv(0, np.ones((1, 3, 1, 1)))
    builder.adaptive_average_pool(builder.relu(builder.dropout(1)), 2)
    network = builder.build()
    size, seeds = (3900, 3900), np.arange(8).reshape(1, 2, 1, 2, 2)
    x = np.random.default_rng(4).random((2, 1, *size), np.float32) - np.float32(0.5)
    tape = network.forward(x, [1], start=1, size=size)
    assert np.array_equal(tape.activation(1), x)
    (gradient,) = tape.backward(4, seeds, [1])
    for i in range(2):
        one = network.forward(x[i : i + 1], start=1, size=size)
        assert np.array_equal(one.activation(4)[0], tape.activation(4)[i])
        assert np.array_equal(one.backward(4, seeds[:, i : i + 1], [1])[0][:, 0], gradient[:, i])


def test_a_pass_of_no_layer_but_the_start():
    network, _, whole = whole_pass(nets.by_name("vgg"))
    x = whole.activation(7)
    before = _core._live_allocations()
    unrecorded = network.forward(x, until=7, record=False, start=7, size=(13, 18))
    blocks = _core._live_allocations() - before
    tape = network.forward(x, until=7, start=7, size=(13, 18))
    assert _core._live_allocations() - before == 2 * blocks, "this ReLU did not run: no record"
    assert tape.kept == unrecorded.kept == (7,)
    np.testing.assert_array_equal(tape.activation(7), x)
    np.testing.assert_array_equal(tape.backward(7, x[None], [7])[0], x[None])
    assert not any(tape.seconds())


def test_size_is_a_pair_or_an_int_and_agrees_with_pictures():
    case = nets.by_name("vgg-one")
    network, _, whole = whole_pass(case)
    for size in ((12, 12), [12, 12], 12):
        tape = network.forward(whole.activation(3), start=3, size=size)
        np.testing.assert_array_equal(tape.activation(15), whole.activation(15))
        tape = network.forward(case.pictures(), start=0, size=size)
        np.testing.assert_array_equal(tape.activation(15), whole.activation(15))


def test_a_layer_that_is_not_needed_need_not_fit():
    builder = _core.NetworkBuilder(3)
    builder.relu(builder.max_pool(0, 2))
    builder.max_pool(2, 9)
    network = builder.build()
    tape = network.forward(np.ones((1, 3, 4, 4)), until=2, start=1, size=8)
    assert tape.activation(2).all()


def test_a_pass_without_a_record():
    network, _, whole = whole_pass(nets.by_name("vgg"))
    tape = network.forward(whole.activation(5), (), None, False, 5, (13, 18))
    np.testing.assert_array_equal(tape.activation(15), whole.activation(15))
    with pytest.raises(ValueError, match="recorded nothing"):
        tape.backward(15, np.ones((1, 2, 6)), [5])


# --- refusals ---


@pytest.fixture(scope="module")
def small():
    """The small VGG and the output of its layer 5, (2, 8, 6, 9), for pictures of 13 x 18."""
    network, _, whole = whole_pass(nets.by_name("vgg"))
    return network, whole.activation(5)


BAD = {
    "unknown start": (ValueError, "no layer 99; .* 0 to 15", {"start": 99}),
    "negative start": (ValueError, "negative", {"start": -1}),
    "start of text": (TypeError, "int", {"start": "relu1"}),
    "start of bool": (TypeError, "int", {"start": True}),
    "no size": (ValueError, r"layer 5 needs size=\(height, width\)", {"size": None}),
    "size of three": (ValueError, "pair", {"size": (1, 13, 18)}),
    "size of text": (TypeError, "int", {"size": ("13", "18")}),
    "negative size": (ValueError, "negative", {"size": (-13, 18)}),
    "empty size": (ValueError, "height and width", {"size": (0, 18)}),
    "size too small": (ValueError, r"layer 5 \(max_pool\)", {"size": (1, 18)}),
    "until below": (ValueError, "layer 4 .* below layer 5", {"until": 4}),
    "until unknown": (ValueError, "no layer 16", {"until": 16}),
    "keep below": (ValueError, "layer 0 .* below layer 5", {"keep": [7, 0]}),
    "keep unknown": (ValueError, "no layer 16", {"keep": [16]}),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_are_refused(name, small):
    network, x = small
    error, words, options = BAD[name]
    with pytest.raises(error, match=words):
        network.forward(x, **{"start": 5, "size": (13, 18), **options})


BAD_INPUTS = {
    "the pictures": lambda x: np.ones((2, 3, 13, 18)),
    "other channels": lambda x: x[:, :7],
    "other height": lambda x: x[:, :, :5],
    "other width": lambda x: x[..., :8],
    "one picture without its axis": lambda x: x[0],
    "a vector": lambda x: x.reshape(2, -1),
    "a number": lambda x: 1.0,
    "rank 5": lambda x: x[None],
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_an_input_of_another_shape_is_refused(name, small):
    network, x = small
    bad = BAD_INPUTS[name](x)
    expected = "(N, *(8, 6, 9)), the output of layer 5 for N pictures of 13 x 18"
    words = re.escape(expected) + ".*" + re.escape(str(np.shape(bad)))
    with pytest.raises(ValueError, match=words):
        network.forward(bad, start=5, size=(13, 18))


def test_other_bad_inputs_are_refused(small):
    network, x = small
    for value in (np.nan, np.inf):
        bad = x.copy()
        bad[1, 2, 3, 4] = value
        with pytest.raises(ValueError, match="NaN or infinite"):
            network.forward(bad, start=5, size=(13, 18))
    with pytest.raises(ValueError, match="empty"):
        network.forward(x[:0], start=5, size=(13, 18))
    with pytest.raises(TypeError, match="real numbers"):
        network.forward(x.astype(complex), start=5, size=(13, 18))
    with pytest.raises(ValueError, match=r"shape \(N, \*\(20,\)\), the output of layer 12"):
        network.forward(np.ones((2, 20, 1, 1)), start=12, size=(13, 18))
    with pytest.raises(ValueError, match=r"size is 13 x 17, .* 13 x 18"):
        network.forward(np.ones((2, 3, 13, 18)), size=(13, 17))


@pytest.mark.parametrize("name", OTHERS)
def test_a_layer_that_the_start_does_not_feed_is_refused(name):
    """The sentence names a layer that is needed and the layer below the start that it reads."""
    case = nets.by_name(name)
    network, twin, whole = whole_pass(case)
    for start in range(1, len(network)):
        x, allowed = whole.activation(start), computable(twin, start)
        for layer in sorted(set(range(start, len(network))) - set(allowed)):
            for options in ({"until": layer}, {"until": start, "keep": [layer]}):
                with pytest.raises(ValueError, match=f"layer {start}, where the pass") as caught:
                    network.forward(x, start=start, size=case.shape[2:], **options)
                reader, read = map(int, re.findall(r"layer (\d+)", str(caught.value))[:2])
                assert read < start < reader <= layer
                assert read in twin.nodes[reader][1]


def test_gradients_of_layers_below_the_start_are_refused(small):
    network, x = small
    tape = network.forward(x, start=5, size=(13, 18))
    seeds = np.ones((1, 2, 6))
    for call in (tape.backward, tape.backward_seconds):
        with pytest.raises(ValueError, match="layer 4 was not computed"):
            call(15, seeds, [6, 4])
        with pytest.raises(ValueError, match="layer 2 was not computed"):
            call(2, seeds, [5])
    with pytest.raises(ValueError, match="layer 4 was not computed"):
        tape.pooled_gradient(15, seeds, 4)
    with pytest.raises(ValueError, match="layer 2 was not computed"):
        tape.pooled_gradient(2, seeds, 5)


def test_memory_may_run_out_at_any_allocation(small):
    x = small[1]
    before = _core._live_allocations()

    def run():
        network = nets.by_name("vgg").build(_core.NetworkBuilder)
        tape = network.forward(x, [5, 7], start=5, size=(13, 18))
        tape.backward(15, np.ones((1, 2, 6)), [5])

    for successes in range(1000):
        _core._fail_allocations_after(successes)
        try:
            run()
            break
        except MemoryError:
            pass
        finally:
            _core._fail_allocations_after(-1)
        assert _core._live_allocations() == before
    assert 50 < successes < 999
    assert _core._live_allocations() == before
