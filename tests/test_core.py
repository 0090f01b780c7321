"""The C core against the float64 twin, at every CPU level of this machine, and its errors."""

from __future__ import annotations

import gc
import sys
import weakref

import nets
import numpy as np
import pytest
import reference
from helpers import assert_close, resident_bytes, run_python
from passes import RULES, computed, rules_of

from gradcam import _core


def build_both(case):
    """Build the same network with the core and with the twin."""
    return case.build(_core.NetworkBuilder), case.build(reference.Builder)


def algorithm(case) -> str:
    if case in nets.CONVOLUTIONS:
        return "convolution"
    return "network" if case in nets.GRAPHS else "sum"


def everything(network) -> list[int]:
    return list(range(len(network)))


def random_seeds(sets: int, shape: tuple[int, ...], seed: int = 1) -> np.ndarray:
    return nets.normal(np.random.default_rng(seed), sets, *shape)


@pytest.fixture
def small():
    """The small VGG, its pictures and its number of layers."""
    case = nets.by_name("vgg")
    network = case.build(_core.NetworkBuilder)
    return network, case.pictures(), len(network)


# --- fusion, and images in groups ---


# A single layer has nothing to be fused with, but may run without a record.
FUSED = [*nets.GRAPHS, *nets.SINGLES, *(case for case in nets.POOLINGS if "max" in case.name)]


@pytest.mark.parametrize("case", FUSED, ids=nets.case_id)
def test_fusion_gives_the_same_bits(case, fast_level):
    """The kept and wanted layers determine which layers run in one step, but not the results."""
    made = computed(case, fast_level)
    network, separate, last = made.network, made.tape, made.last
    x = case.pictures()
    fused = network.forward(x)
    assert fused.kept == (last,) and fused.batch == len(x)
    assert np.array_equal(separate.activation(last), fused.activation(last))
    unrecorded = network.forward(x, record=False)
    assert np.array_equal(unrecorded.activation(last), fused.activation(last))
    seeds = random_seeds(2, separate.activation(last).shape)
    for rule in rules_of(case):
        expected = separate.backward(last, seeds, everything(network), rule)
        for tape in (separate, fused):
            assert np.array_equal(tape.backward(last, seeds, [0], rule)[0], expected[0])
        for layer in range(1, last):
            assert np.array_equal(separate.backward(last, seeds, [layer], rule)[0], expected[layer])


def algorithms_of(network, batch, layers, keep=(), backward=False):
    tape = network.forward(np.zeros((batch, 3, 6, 9), np.float32), keep=keep)
    found = [tape.algorithms(backward)[layer] for layer in layers]
    return [name.replace("channels", "").strip() for name in found]


def test_channels_are_copied_only_where_they_must_be(fast_level):
    rng = np.random.default_rng(0)
    builder = _core.NetworkBuilder(3)

    def conv(channels):
        return builder.conv(0, nets.kernel(rng, channels, 3, 3, 3), padding=1)

    one, two, three = conv(32), conv(32), conv(16)
    pair = builder.concatenate([one, two])
    affine = builder.affine(pair, nets.normal(rng, 64), nets.normal(rng, 64))
    triple = builder.concatenate([one, two, three])
    odd = conv(5)
    mixed = builder.concatenate([odd, builder.slice(triple, 32, 64)])
    last = builder.concatenate([triple, affine, mixed])
    network = builder.build()
    layers = [pair, triple, mixed - 1, mixed, last]
    place, copied, some = "in place", "copied", "some  copied"
    assert algorithms_of(network, 1, layers) == [place, place, place, copied, place]
    assert algorithms_of(network, 1, layers, [two]) == [some, place, place, copied, place]
    assert algorithms_of(network, 1, layers, [triple]) == [place, place, place, copied, some]
    assert algorithms_of(network, 1, layers, range(last)) == [copied] * 5
    assert algorithms_of(network, 2, layers) == [copied, some, copied, copied, copied]
    assert algorithms_of(network, 2, layers, [pair]) == [copied] * 5
    backward = [place, place, copied, copied, place]
    for batch in (1, 2):
        assert algorithms_of(network, batch, layers, backward=True) == backward


def test_backward_needs_a_recorded_tape(small):
    network, x, count = small
    tape = network.forward(x, keep=[3], record=False)
    assert tape.activation(3).shape[0] == len(x)
    with pytest.raises(ValueError, match="recorded nothing"):
        tape.backward(count - 1, random_seeds(1, (len(x), *tape.shape(count - 1))), [0])


def test_exact_convolution_has_smaller_error(fast_level):
    rng = np.random.default_rng(3)
    x, weight = nets.normal(rng, 1, 64, 30, 30), nets.normal(rng, 64, 64, 3, 3)
    errors = []
    for exact in (True, False):
        builder = _core.NetworkBuilder(64)
        builder.conv(0, weight, padding=1, exact=exact)
        twin = reference.Builder(64)
        twin.conv(0, weight, padding=1)
        expected = twin.build().forward(x, {}).outputs[-1]
        difference = builder.build().forward(x).activation(1) - expected
        errors.append(np.abs(difference).max() / np.abs(expected).max())
    assert errors[0] <= errors[1] < 5e-6
    assert errors[0] < 1.5e-6  # without fused multiply-add: 1.1e-6


def test_smaller_last_group_of_images_with_larger_blocks():
    """Fifteen pictures are processed as eight and seven; seven use larger blocks of tiles."""
    rng = np.random.default_rng(0)
    builder = _core.NetworkBuilder(3)
    builder.conv(0, nets.kernel(rng, 64, 3, 3, 3), padding=1)
    builder.max_pool(1, 16)
    for layer, (out, inputs) in enumerate([(256, 64), (256, 256), (256, 256)], 2):
        builder.conv(layer, nets.kernel(rng, out, inputs, 3, 3), padding=1)
    network = builder.build()
    x = nets.normal(rng, 15, 3, 224, 224)
    batched = network.forward(x).activation(5)
    for i in (0, 7, 8, 14):
        assert np.array_equal(network.forward(x[i : i + 1]).activation(5)[0], batched[i])


def test_groups_of_images_give_the_same_bits():
    """Pictures so large that a batch, or the sets of seeds, are processed in groups."""
    rng = np.random.default_rng(4)
    builder = _core.NetworkBuilder(3)
    builder.conv(0, nets.normal(rng, 16, 3, 3, 3), nets.normal(rng, 16), padding=1)
    builder.relu(1)
    builder.conv(2, nets.normal(rng, 16, 16, 3, 3), padding=1)
    builder.relu(3)
    builder.max_pool(4, 2)
    builder.adaptive_average_pool(5, 1)
    network = builder.build()
    x = nets.normal(rng, 3, 3, 790, 800)  # maps of 40 MB: groups of two pictures and one
    seeds = random_seeds(2, (3, 16, 1, 1))
    tape = network.forward(x, keep=[2, 5])
    wanted = [0, 5]
    gradients = tape.backward(6, seeds, wanted, "guided")
    for i in (0, 2):  # in the first and the second group of a set
        single = network.forward(x[i : i + 1], keep=[2, 5])
        for layer in (2, 5, 6):
            assert np.array_equal(single.activation(layer)[0], tape.activation(layer)[i])
        expected = single.backward(6, seeds[:, i : i + 1], wanted, "guided")
        for actual, desired in zip(gradients, expected, strict=True):
            assert np.array_equal(desired[:, 0], actual[:, i])


# --- numbers ---


@pytest.mark.parametrize("case", nets.ALL, ids=nets.case_id)
def test_forward(case, fast_level):
    made = computed(case, fast_level)
    assert len(made.network) == len(made.record.network)
    assert made.network.channels == case.shape[1]
    shapes = made.network.shapes(*case.shape[2:])
    for layer, expected in enumerate(made.record.outputs):
        assert_close(made.tape.activation(layer), expected, algorithm(case))
        assert tuple(shapes[layer]) == expected.shape[1:]
        assert tuple(made.tape.shape(layer)) in (expected.shape, expected.shape[1:])


@pytest.mark.parametrize(
    ("case", "rule"),
    [
        pytest.param(case, rule, id=f"{case.name}-{rule}")
        for case in nets.ALL
        for rule in rules_of(case)
    ],
)
def test_backward_from_the_last_layer_to_all(case, rule, fast_level):
    made = computed(case, fast_level)
    seeds = random_seeds(2, made.record.outputs[made.last].shape)
    wanted = everything(made.network)
    expected = made.record.backward(made.last, seeds, wanted, rule)
    found = made.tape.backward(made.last, seeds, wanted, rule)
    for actual, desired in zip(found, expected, strict=True):
        assert_close(actual, desired, algorithm(case))


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (3, 1), (None, None)])
def test_max_pool_gradient_goes_to_the_first_of_equal_maxima(kernel, stride, blocked, fast_level):
    """In row-major order. After a convolution of few channels, maps are blocked."""
    rng = np.random.default_rng(5)
    x = rng.integers(0, 3, (2, 3, 11, 14)).astype(np.float32)
    gradients = []
    for builder in (_core.NetworkBuilder(3), reference.Builder(3)):
        before = builder.conv(0, np.eye(8, 3, dtype=np.float32)[..., None, None]) if blocked else 0
        last = (
            builder.global_max_pool(before)
            if kernel is None
            else builder.max_pool(before, kernel, stride=stride)
        )
        run = builder.build().forward(x)
        seeds = random_seeds(2, run.activation(last).shape)
        gradients.append(run.backward(last, seeds, [before])[0])
    # Overlapping windows share a maximum.
    np.testing.assert_allclose(*gradients, rtol=1e-6, atol=1e-6)


def test_maxima_of_windows_of_more_positions_than_16_bits_can_count(fast_level):
    builder = _core.NetworkBuilder(1)
    builder.conv(0, np.ones((8, 1, 1, 1)))
    builder.max_pool(1, (1, 65540), stride=1)
    tape = builder.build().forward(np.arange(65600).reshape(1, 1, 1, -1))
    assert np.array_equal(tape.activation(2)[0, 7, 0], np.arange(65539, 65600))
    seeds = random_seeds(1, (1, 8, 1, 61))
    (gradient,) = tape.backward(2, seeds, [1])
    assert np.array_equal(gradient[..., 65539:], seeds)
    assert not gradient[..., :65539].any()


@pytest.mark.parametrize("seed", range(40))
def test_arbitrary_geometry(seed, fast_level):
    case = nets.random_case(seed)
    ours, twin = build_both(case)
    x = case.pictures()
    tape, record = ours.forward(x), twin.forward(x)
    assert_close(tape.activation(1), record.outputs[1], "convolution")
    seeds = random_seeds(2, record.outputs[1].shape)
    (gradient,) = tape.backward(1, seeds, [0])
    assert_close(gradient, record.backward(1, seeds, [0])[0], "convolution")


@pytest.mark.parametrize("case", nets.GRAPHS, ids=nets.case_id)
def test_whole_networks_at_every_level(case, cpu_level):
    """With nothing kept, so that layers are fused and memory is reused wherever possible."""
    made = computed(case, cpu_level)
    tape, last = made.network.forward(case.pictures()), made.last
    assert_close(tape.activation(last), made.record.outputs[last], "network")
    seeds = random_seeds(1, made.record.outputs[last].shape)
    (gradient,) = tape.backward(last, seeds, [0], "guided")
    assert_close(gradient, made.record.backward(last, seeds, [0], "guided")[0], "network")


@pytest.mark.parametrize("case", nets.SMALL_GRAPHS, ids=nets.case_id)
def test_backward_from_any_layer(case, fast_level):
    """Several wanted layers at once, and a single one, for which other branches are inactive."""
    made = computed(case, fast_level)
    for layer in everything(made.network):
        seeds = random_seeds(2, made.record.outputs[layer].shape, seed=layer)
        wanted = sorted({0, layer // 2, layer})
        expected = made.record.backward(layer, seeds, wanted, "guided")
        found = made.tape.backward(layer, seeds, wanted, "guided")
        for number, actual, desired in zip(wanted, found, expected, strict=True):
            assert_close(actual, desired, "network")
            (separate,) = made.tape.backward(layer, seeds, [number], "guided")
            assert_close(separate, desired, "network")


@pytest.mark.parametrize("batch", [1, 2, 3, 8, 17])
def test_batches(batch, fast_level):
    ours, twin = build_both(nets.by_name("vgg"))
    x = nets.normal(np.random.default_rng(2), batch, 3, 13, 18)
    tape = ours.forward(x, keep=twin.deciding())
    record = twin.forward(x, {i: tape.activation(i) for i in twin.deciding()})
    last = len(ours) - 1
    assert_close(tape.activation(last), record.outputs[last], "network")
    seeds = random_seeds(3, (batch, 6))
    (gradient,) = tape.backward(last, seeds, [0])
    assert_close(gradient, record.backward(last, seeds, [0])[0], "network")


@pytest.mark.parametrize("threads_used", [1, 2, 3])
def test_any_number_of_threads(threads_used, threads, fast_level):
    _core.set_num_threads(threads_used)
    assert _core.get_num_threads() == threads_used
    ours, twin = build_both(nets.by_name("vgg"))
    x = nets.normal(np.random.default_rng(2), 5, 3, 40, 37)
    tape = ours.forward(x, keep=twin.deciding())
    record = twin.forward(x, {i: tape.activation(i) for i in twin.deciding()})
    last = len(ours) - 1
    assert_close(tape.activation(last), record.outputs[last], "network")
    seeds = random_seeds(2, (5, 6))
    (gradient,) = tape.backward(last, seeds, [0], "guided")
    assert_close(gradient, record.backward(last, seeds, [0], "guided")[0], "network")


def test_the_same_call_gives_the_same_bits(small, fast_level):
    network, x, layers = small
    seeds = random_seeds(2, (2, 6))
    first, second = network.forward(x), network.forward(x)
    np.testing.assert_array_equal(first.activation(layers - 1), second.activation(layers - 1))
    for tape in (first, second):
        np.testing.assert_array_equal(
            first.backward(layers - 1, seeds, [0])[0], tape.backward(layers - 1, seeds, [0])[0]
        )


# --- arguments and results ---


def test_gradients_are_in_the_order_of_wanted(small):
    network, x, layers = small
    tape = network.forward(x)
    seeds = random_seeds(1, (2, 6))
    ascending = tape.backward(layers - 1, seeds, [0, 2, 5])
    descending = tape.backward(layers - 1, seeds, [5, 2, 0])
    for one, other in zip(ascending, reversed(descending), strict=True):
        np.testing.assert_array_equal(one, other)
    repeated = tape.backward(layers - 1, seeds, [2, 2])
    np.testing.assert_array_equal(repeated[0], ascending[1])
    np.testing.assert_array_equal(repeated[1], ascending[1])
    assert tape.backward(layers - 1, seeds, []) == []


def test_layers_that_do_not_feed_the_seed_have_gradient_zero():
    case = nets.by_name("two-heads")
    network = case.build(_core.NetworkBuilder)
    first_head, second_head = 6, len(network) - 1
    tape = network.forward(case.pictures(), keep=[first_head])
    seeds = random_seeds(2, (3, 5))
    gradients = tape.backward(second_head, seeds, [first_head, 5, 0])
    assert not gradients[0].any() and gradients[0].shape == (2, 3, 3)
    assert not gradients[1].any()
    assert gradients[2].any()
    (above,) = tape.backward(2, random_seeds(1, (3, 6, 6, 5)), [second_head])
    assert above.shape == (1, 3, 5) and not above.any()


def test_gradient_at_the_seed_layer_is_the_seed(small):
    network, x, layers = small
    seeds = random_seeds(2, (2, 6))
    (gradient,) = network.forward(x).backward(layers - 1, seeds, [layers - 1])
    np.testing.assert_array_equal(gradient, seeds)


def test_several_seeds_equal_separate_passes(small, fast_level):
    network, x, layers = small
    tape = network.forward(x)
    seeds = random_seeds(5, (2, 6))
    (gradients,) = tape.backward(layers - 1, seeds, [0])
    for i in range(5):
        (gradient,) = tape.backward(layers - 1, seeds[i : i + 1], [0])
        assert_close(gradients[i : i + 1], gradient, "network")


def test_no_seeds_give_no_gradients(small):
    network, x, layers = small
    try:
        (gradient,) = network.forward(x).backward(layers - 1, np.zeros((0, 2, 6)), [0])
    except ValueError:
        return
    assert gradient.shape == (0, *x.shape)


def test_until(small):
    network, x, layers = small
    full = network.forward(x, keep=range(layers))
    for layer in range(layers):
        tape = network.forward(x, until=layer)
        assert tape.kept == (layer,)
        assert_close(tape.activation(layer), full.activation(layer), "network")
    tape = network.forward(x, until=5)
    seeds = random_seeds(1, tape.activation(5).shape)
    (gradient,) = tape.backward(5, seeds, [0])
    assert_close(gradient, full.backward(5, seeds, [0])[0], "network")
    with pytest.raises(ValueError):
        tape.backward(layers - 1, random_seeds(1, (2, 6)), [0])
    with pytest.raises((KeyError, ValueError)):
        tape.activation(layers - 1)


def test_layers_that_the_output_does_not_need_are_not_computed():
    """The first head does not feed the second, which is the last layer."""
    case = nets.by_name("two-heads")
    tape = case.build(_core.NetworkBuilder).forward(case.pictures())
    with pytest.raises(ValueError, match="layer 5"):
        tape.backward(5, np.ones((1, 3, 3)), [0])


def test_keep(small):
    network, x, layers = small
    tape = network.forward(x, keep=[3, 1])
    assert tape.kept == (1, 3, layers - 1)
    with pytest.raises(KeyError):
        tape.activation(2)
    copy = tape.activation(1)
    copy[:] = 0
    assert tape.activation(1).any(), "the tape is immutable: activation returns a copy"


def test_tape_does_not_depend_on_network_and_input_objects(small):
    network, x, layers = small
    seeds = random_seeds(1, (2, 6))
    expected = network.forward(x).backward(layers - 1, seeds, [0])[0]
    tape = nets.by_name("vgg").build(_core.NetworkBuilder).forward(x)
    x[:] = 0
    gc.collect()
    np.testing.assert_array_equal(tape.backward(layers - 1, seeds, [0])[0], expected)


def test_network_keeps_and_releases_its_weights():
    builder = _core.NetworkBuilder(3)
    weight = nets.normal(np.random.default_rng(0), 4, 3)
    expected = weight.copy()
    reference_ = weakref.ref(weight)
    builder.linear(builder.flatten(0), weight)
    network = builder.build()
    del weight, builder
    gc.collect()
    x = np.ones((1, 3, 1, 1))
    assert_close(network.forward(x).activation(2), [expected.sum(axis=1)], "sum")
    del network
    gc.collect()
    assert reference_() is None


def test_linear_weights_are_not_copied():
    """They can be hundreds of megabytes in a memory-mapped file."""
    weight = np.ones((4, 3), np.float32)
    builder = _core.NetworkBuilder(3)
    builder.linear(builder.flatten(0), weight)
    network = builder.build()
    weight[:] = 2
    np.testing.assert_array_equal(
        network.forward(np.ones((1, 3, 1, 1))).activation(2), np.full((1, 4), 6.0)
    )


# --- arrays of every kind ---


def _unaligned(x: np.ndarray) -> np.ndarray:
    raw = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:]
    return raw.view(np.float32).reshape(x.shape)


def test_unaligned_linear_weights_are_not_copied(fast_level):
    raw = np.zeros(4 * 30 * 37 + 1, np.uint8)
    weight = raw[1:].view(np.float32).reshape(30, 37)
    assert not weight.flags.aligned
    builder = _core.NetworkBuilder(37)
    builder.linear(builder.flatten(0), weight)
    network = builder.build()
    weight[...] = np.random.default_rng(0).standard_normal(weight.shape)
    x = np.random.default_rng(1).standard_normal((2, 37, 1, 1)).astype(np.float32)
    scores = network.forward(x).activation(2)
    np.testing.assert_allclose(scores, x[:, :, 0, 0] @ weight.T.astype(np.float64), atol=1e-5)


def _read_only(x: np.ndarray) -> np.ndarray:
    copy = x.copy()
    copy.flags.writeable = False
    return copy


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x.astype(np.float64),
        np.asfortranarray,
        lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
        lambda x: np.ascontiguousarray(x[..., ::-1])[..., ::-1],
        lambda x: x.astype(x.dtype.newbyteorder()),
        lambda x: x.tolist(),
        _unaligned,
        _read_only,
    ],
    ids=["float64", "fortran", "strided", "reversed", "swapped", "list", "unaligned", "readonly"],
)
def test_arrays_are_converted(small, convert):
    network, x, layers = small
    seeds = random_seeds(2, (2, 6))
    tape, expected = network.forward(convert(x)), network.forward(x)
    np.testing.assert_array_equal(tape.activation(layers - 1), expected.activation(layers - 1))
    np.testing.assert_array_equal(
        tape.backward(layers - 1, convert(seeds), [0])[0],
        expected.backward(layers - 1, seeds, [0])[0],
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float16])
def test_other_real_numbers_are_converted(small, dtype):
    network, x, layers = small
    x = np.round(np.abs(x) * 20).astype(dtype)
    np.testing.assert_array_equal(
        network.forward(x).activation(layers - 1),
        network.forward(x.astype(np.float32)).activation(layers - 1),
    )


def test_results_are_contiguous_float32(small):
    network, x, layers = small
    tape = network.forward(x)
    scores = tape.activation(layers - 1)
    (gradient,) = tape.backward(layers - 1, random_seeds(1, (2, 6)), [0])
    for array in (scores, gradient):
        assert array.dtype == np.float32
        assert array.flags.c_contiguous and array.flags.writeable


# --- errors ---


def conv(b, *args, **options):
    return b.conv(0, np.ones((4, 3, 3, 3)), *args, **options)


BAD_LAYERS = {
    "no channels": (ValueError, lambda b: _core.NetworkBuilder(0)),
    "negative channels": ((ValueError, OverflowError), lambda b: _core.NetworkBuilder(-3)),
    "channels of text": (TypeError, lambda b: _core.NetworkBuilder("3")),
    "weight with 3 axes": (ValueError, lambda b: b.conv(0, np.ones((4, 3, 3)))),
    "empty weight": (ValueError, lambda b: b.conv(0, np.ones((0, 3, 3, 3)))),
    "empty kernel": (ValueError, lambda b: b.conv(0, np.ones((4, 3, 0, 3)))),
    "short bias": (ValueError, lambda b: conv(b, np.ones(3))),
    "bias with 2 axes": (ValueError, lambda b: conv(b, np.ones((4, 1)))),
    "stride 0": (ValueError, lambda b: conv(b, stride=0)),
    "negative stride": (ValueError, lambda b: conv(b, stride=-1)),
    "negative padding": (ValueError, lambda b: conv(b, padding=(1, -1))),
    "dilation 0": (ValueError, lambda b: conv(b, dilation=0)),
    "stride of three numbers": ((TypeError, ValueError), lambda b: conv(b, stride=(1, 1, 1))),
    "stride of text": ((TypeError, ValueError), lambda b: conv(b, stride="2")),
    "fractional stride": (TypeError, lambda b: conv(b, stride=1.5)),
    "groups 0": (ValueError, lambda b: conv(b, groups=0)),
    "negative groups": (ValueError, lambda b: conv(b, groups=-1)),
    "groups do not divide out": (
        ValueError,
        lambda b: b.conv(0, np.ones((4, 1, 3, 3)), groups=3),
    ),
    "stride too large for size_t": ((ValueError, OverflowError), lambda b: conv(b, stride=2**70)),
    "complex weight": (TypeError, lambda b: b.conv(0, np.ones((4, 3, 3, 3), complex))),
    "object weight": (TypeError, lambda b: b.conv(0, np.full((4, 3, 3, 3), None))),
    "text weight": ((TypeError, ValueError), lambda b: b.conv(0, "weights")),
    "ragged weight": ((TypeError, ValueError), lambda b: b.linear(0, [[1.0], [1.0, 2.0]])),
    "unknown input": (ValueError, lambda b: b.relu(7)),
    "negative input": (ValueError, lambda b: b.relu(-1)),
    "input of text": (TypeError, lambda b: b.relu("input")),
    "fractional input": (TypeError, lambda b: b.relu(0.5)),
    "pool kernel 0": (ValueError, lambda b: b.max_pool(0, 0)),
    "negative pool kernel": (ValueError, lambda b: b.max_pool(0, (2, -2))),
    "pool stride 0": (ValueError, lambda b: b.average_pool(0, 2, stride=0)),
    "max pool padding too large": (ValueError, lambda b: b.max_pool(0, 2, padding=2)),
    "average pool padding too large": (ValueError, lambda b: b.average_pool(0, 3, padding=2)),
    "divisor 0": (ValueError, lambda b: b.average_pool(0, 2, divisor=0)),
    "negative divisor": (ValueError, lambda b: b.average_pool(0, 2, divisor=-4)),
    "divisor too large": (ValueError, lambda b: b.average_pool(0, 2, divisor=2**32)),
    "fractional divisor": (TypeError, lambda b: b.average_pool(0, 2, divisor=4.0)),
    "divisor of a maximum": (TypeError, lambda b: b.max_pool(0, 2, divisor=4)),
    "adaptive pool size 0": (ValueError, lambda b: b.adaptive_average_pool(0, 0)),
    "negative adaptive pool size": (ValueError, lambda b: b.adaptive_average_pool(0, (-1, 2))),
    "affine of different lengths": (ValueError, lambda b: b.affine(0, np.ones(3), np.ones(2))),
    "affine with 2 axes": (ValueError, lambda b: b.affine(0, np.ones((3, 1)), np.ones((3, 1)))),
    "empty sum": (ValueError, lambda b: b.add([])),
    "sum with an unknown layer": (ValueError, lambda b: b.add([0, 5])),
    "sum of a number": (TypeError, lambda b: b.add(0)),
    "empty concatenation": (ValueError, lambda b: b.concatenate([])),
    "concatenation of text": (TypeError, lambda b: b.concatenate(["0"])),
    "product of one layer": (ValueError, lambda b: b.multiply([0])),
    "product of three layers": (ValueError, lambda b: b.multiply([0, 0, 0])),
    "empty slice": (ValueError, lambda b: b.slice(0, 2, 2)),
    "slice that ends before it starts": (ValueError, lambda b: b.slice(0, 2, 1)),
    "negative start of a slice": (ValueError, lambda b: b.slice(0, -1, 2)),
    "fractional stop of a slice": (TypeError, lambda b: b.slice(0, 0, 1.5)),
    "shuffle of no groups": (ValueError, lambda b: b.channel_shuffle(0, 0)),
    "response over no channels": (ValueError, lambda b: b.local_response_norm(0, 0)),
    "response over half a channel": (TypeError, lambda b: b.local_response_norm(0, 0.5)),
    "response with k 0": (ValueError, lambda b: b.local_response_norm(0, 5, k=0.0)),
    "response with a negative alpha": (
        ValueError,
        lambda b: b.local_response_norm(0, 5, alpha=-1.0),
    ),
    "response with beta NaN": (ValueError, lambda b: b.local_response_norm(0, 5, beta=np.nan)),
    "layer norm without weight": (TypeError, lambda b: b.layer_norm(0)),
    "layer norm of different lengths": (
        ValueError,
        lambda b: b.layer_norm(0, np.ones(3), np.ones(2)),
    ),
    "layer norm with eps 0": (ValueError, lambda b: b.layer_norm(0, np.ones(3), eps=0.0)),
    "layer norm with infinite eps": (ValueError, lambda b: b.layer_norm(0, np.ones(3), eps=np.inf)),
    "linear weight with 1 axis": (ValueError, lambda b: b.linear(b.flatten(0), np.ones(3))),
    "linear bias of another length": (
        ValueError,
        lambda b: b.linear(b.flatten(0), np.ones((2, 3)), np.ones(3)),
    ),
    "missing weight": (TypeError, lambda b: b.conv(0)),
    "unknown option": (TypeError, lambda b: b.relu(0, slope=0.1)),
}


@pytest.mark.parametrize("name", BAD_LAYERS)
def test_bad_layers_are_refused(name):
    error, call = BAD_LAYERS[name]
    builder = _core.NetworkBuilder(3)
    with pytest.raises(error) as caught:
        call(builder)
    assert str(caught.value), "the error has a message"


def test_a_builder_builds_once():
    builder = _core.NetworkBuilder(3)
    builder.relu(0)
    builder.build()
    for call in (builder.build, lambda: builder.relu(0), lambda: conv(builder)):
        with pytest.raises(RuntimeError):
            call()


def test_a_refused_layer_leaves_the_builder_usable():
    builder = _core.NetworkBuilder(3)
    with pytest.raises(ValueError):
        builder.conv(0, np.ones((4, 3, 3, 3)), stride=0)
    assert builder.relu(0) == 1
    assert len(builder.build()) == 2


def _network(describe):
    builder = _core.NetworkBuilder(3)
    describe(builder)
    return builder.build()


MISMATCHED_LAYERS = {
    "conv with wrong channels": lambda b: b.conv(0, np.ones((4, 5, 3, 3))),
    "groups with wrong channels": lambda b: conv(b, groups=2),
    "affine with wrong channels": lambda b: b.affine(0, np.ones(4), np.ones(4)),
    "sum of different sizes": lambda b: b.add([0, b.max_pool(0, 2)]),
    "sum of different channels": lambda b: b.add([0, b.conv(0, np.ones((4, 3, 1, 1)))]),
    "concatenation of different sizes": lambda b: b.concatenate([0, b.max_pool(0, 2)]),
    "concatenation of map and vector": lambda b: b.concatenate([0, b.flatten(0)]),
    "product of different sizes": lambda b: b.multiply([0, b.max_pool(0, 2)]),
    "product of different channels": lambda b: b.multiply([0, b.slice(0, 0, 2)]),
    "factors of different channels": lambda b: b.multiply([0, b.flatten(b.max_pool(0, 4))]),
    "slice beyond the channels": lambda b: b.slice(0, 1, 4),
    "shuffle of two groups of three": lambda b: b.channel_shuffle(0, 2),
    "layer norm with wrong channels": lambda b: b.layer_norm(0, np.ones(4)),
    "response of a vector": lambda b: b.local_response_norm(b.flatten(0), 5),
    "linear with wrong length": lambda b: b.linear(b.flatten(0), np.ones((5, 7))),
    "conv on a vector": lambda b: b.conv(b.flatten(0), np.ones((4, 192, 1, 1))),
    "pool of a vector": lambda b: b.max_pool(b.flatten(0), 1),
    "global pool of a vector": lambda b: b.global_max_pool(b.flatten(0)),
    "kernel larger than the picture": lambda b: b.conv(0, np.ones((1, 3, 9, 9))),
    "pool larger than the picture": lambda b: b.max_pool(0, 9),
    "dilated kernel larger than the picture": lambda b: b.conv(
        0, np.ones((1, 3, 3, 3)), dilation=4
    ),
}


@pytest.mark.parametrize("name", MISMATCHED_LAYERS)
def test_mismatched_layers_are_refused(name):
    """The error is raised at the latest when the size of the picture is known."""
    with pytest.raises(ValueError, match=r"layer \d+"):
        network = _network(MISMATCHED_LAYERS[name])
        network.shapes(8, 8)
    with pytest.raises(ValueError, match=r"layer \d+"):
        network = _network(MISMATCHED_LAYERS[name])
        network.forward(np.zeros((1, 3, 8, 8)))


def test_error_of_a_too_small_picture_names_the_layer():
    def describe(b):
        x = b.max_pool(b.relu(b.conv(0, np.ones((4, 3, 3, 3)), padding=1)), 2)
        b.max_pool(x, 4)

    network = _network(describe)
    assert network.shapes(8, 8)[-1] == (4, 1, 1)
    for call in (network.shapes, lambda h, w: network.forward(np.zeros((1, 3, h, w)))):
        with pytest.raises(ValueError, match=r"layer 4"):
            call(8, 7)


BAD_PICTURES = {
    "3 axes": (ValueError, lambda x: x[0]),
    "5 axes": (ValueError, lambda x: x[None]),
    "four channels": (ValueError, lambda x: np.repeat(x, 2, axis=1)[:, :4]),
    "one channel": (ValueError, lambda x: x[:, :1]),
    "no rows": (ValueError, lambda x: x[:, :, :0]),
    "no pictures": (ValueError, lambda x: x[:0]),
    "complex": (TypeError, lambda x: x.astype(complex)),
    "objects": (TypeError, lambda x: x.astype(object)),
    "text": ((TypeError, ValueError), lambda x: "cat.png"),
    "nothing": ((TypeError, ValueError), lambda x: None),
    "NaN": (ValueError, lambda x: np.where(x == x.max(), np.nan, x)),
    "infinity": (ValueError, lambda x: np.where(x == x.max(), np.inf, x)),
    "too large for float32": (ValueError, lambda x: x.astype(np.float64) * 1e300),
}


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("name", BAD_PICTURES)
def test_bad_pictures_are_refused(name, small):
    network, x, _ = small
    error, change = BAD_PICTURES[name]
    with pytest.raises(error):
        network.forward(change(x))
    network.forward(x)


BAD_FORWARDS = {
    "keep an unknown layer": (ValueError, {"keep": [99]}),
    "keep a negative layer": (ValueError, {"keep": [-1]}),
    "keep a name": (TypeError, {"keep": ["relu1"]}),
    "keep a number": (TypeError, {"keep": 3}),
    "until an unknown layer": (ValueError, {"until": 99}),
    "until a negative layer": (ValueError, {"until": -1}),
    "until a name": (TypeError, {"until": "relu1"}),
}


@pytest.mark.parametrize("name", BAD_FORWARDS)
def test_bad_forward_arguments_are_refused(name, small):
    network, x, _ = small
    error, options = BAD_FORWARDS[name]
    with pytest.raises(error):
        network.forward(x, **options)


GOOD_SEEDS = np.ones((1, 2, 6))
BAD_BACKWARDS = {
    "unknown layer": (ValueError, (99, GOOD_SEEDS, [0])),
    "negative layer": (ValueError, (-1, GOOD_SEEDS, [0])),
    "seeds without the axis of sets": (ValueError, (15, np.ones((2, 6)), [0])),
    "seeds of another batch": (ValueError, (15, np.ones((1, 3, 6)), [0])),
    "seeds of another length": (ValueError, (15, np.ones((1, 2, 7)), [0])),
    "seeds of another layer": (ValueError, (2, GOOD_SEEDS, [0])),
    "complex seeds": (TypeError, (15, GOOD_SEEDS.astype(complex), [0])),
    "seeds of objects": (TypeError, (15, GOOD_SEEDS.astype(object), [0])),
    "wanted an unknown layer": (ValueError, (15, GOOD_SEEDS, [99])),
    "wanted a negative layer": (ValueError, (15, GOOD_SEEDS, [-1])),
    "wanted a name": (TypeError, (15, GOOD_SEEDS, ["input"])),
    "wanted a number": (TypeError, (15, GOOD_SEEDS, 0)),
    "unknown rule": (ValueError, (15, GOOD_SEEDS, [0], "lrp")),
    "rule of another type": (TypeError, (15, GOOD_SEEDS, [0], 1)),
}


@pytest.mark.parametrize("name", BAD_BACKWARDS)
def test_bad_backward_arguments_are_refused(name, small):
    network, x, layers = small
    assert layers == 16
    tape = network.forward(x)
    error, arguments = BAD_BACKWARDS[name]
    with pytest.raises(error):
        tape.backward(*arguments)
    tape.backward(15, GOOD_SEEDS, [0])


@pytest.mark.parametrize("layer", [99, -1])
def test_unknown_layers_of_a_tape_are_refused(layer, small):
    network, x, _ = small
    tape = network.forward(x)
    with pytest.raises((KeyError, ValueError, IndexError)):
        tape.activation(layer)
    with pytest.raises((KeyError, ValueError, IndexError)):
        tape.shape(layer)


HUGE = {
    "padding": lambda b: conv(b, padding=2**62),
    "maximum padding": lambda b: conv(b, padding=2**63 - 1),
    "padding of both axes": lambda b: conv(b, padding=2**33),
    "adaptive pool": lambda b: b.adaptive_average_pool(0, (2**32, 2**32)),
    "adaptive pool larger than memory": lambda b: b.adaptive_average_pool(0, (2**24, 2**24)),
    "dilation": lambda b: conv(b, dilation=2**63 - 1),
    "flatten": lambda b: b.flatten(b.adaptive_average_pool(0, (2**31, 2**31))),
    "concatenation": lambda b: b.concatenate([b.adaptive_average_pool(0, 2**30)] * 4000),
}


@pytest.mark.parametrize("name", HUGE)
def test_huge_sizes_are_refused(name):
    with pytest.raises((ValueError, MemoryError, OverflowError)):
        _network(HUGE[name]).forward(np.zeros((1, 3, 8, 8)))


@pytest.mark.parametrize("size", [(2**62, 2**62), (2**40, 3), (-1, 4), (0, 4), (2**70, 1)])
def test_shapes_of_invalid_picture_sizes(size, small):
    with pytest.raises((ValueError, MemoryError, OverflowError)):
        shapes = small[0].shapes(*size)
        assert np.prod([float(side) for side in shapes[1]]) == 8.0 * size[0] * size[1]
        raise MemoryError("shapes may be returned if they can be represented")


RUN_CALLS = """
import sys
import numpy as np
from gradcam import _core

class Clears:
    def __init__(self, numbers):
        self.numbers = numbers

    def __index__(self):
        self.numbers.clear()
        return 2

class Builds:
    def __index__(self):
        builder.build()
        return 1

    def __array__(self, dtype=None, copy=None):
        builder.build()
        return np.ones((4, 3, 3, 3), np.float32)

other = _core.NetworkBuilder(3)
other.relu(0)
network = other.build()
x = np.ones((1, 3, 4, 4), np.float32)
for call in sys.stdin.read().splitlines():
    print(call, file=sys.stderr, flush=True)  # if it crashes, the last line is the call
    numbers, pair = [], []
    numbers += [Clears(numbers)] + [object() for _ in range(100)]
    pair += [Clears(pair), object()]
    builder = _core.NetworkBuilder(3)
    try:
        eval(call)
    except (TypeError, ValueError, RuntimeError, SystemError):
        pass
"""
CALLS = [
    "network.forward(x, keep=numbers)",
    "network.forward(x).backward(1, x[None], numbers)",
    "builder.add(numbers)",
    "_core.resize(x, pair)",
    "builder.relu(Builds())",
    "builder.add([0, Builds()])",
    "builder.concatenate([0, Builds()])",
    "builder.conv(0, Builds())",
    "builder.conv(0, np.ones((4, 3, 3, 3)), groups=Builds())",
    "builder.conv(0, np.ones((4, 3, 3, 3)), stride=Builds())",
    "builder.max_pool(0, Builds())",
    "builder.max_pool(0, 2, stride=Builds())",
    "builder.adaptive_average_pool(0, Builds())",
    "builder.adaptive_average_pool(0, pair)",
    "builder.affine(0, np.ones(3), Builds())",
]


def test_arguments_that_run_code_cannot_crash():
    """Methods that run while an argument is converted may change checked arguments."""
    assert run_python(RUN_CALLS, "\n".join(CALLS)) == ""


def test_types_cannot_be_instantiated_or_subclassed():
    for cls in (_core.Network, _core.Tape):
        with pytest.raises(TypeError):
            cls()
    for final_cls in (_core.Network, _core.Tape, _core.NetworkBuilder):
        with pytest.raises(TypeError):
            type("Sub", (final_cls,), {})


def test_network_without_layers():
    network = _core.NetworkBuilder(3).build()
    x = nets.normal(np.random.default_rng(0), 1, 3, 4, 5)
    tape = network.forward(x)
    np.testing.assert_array_equal(tape.activation(0), x)
    seeds = random_seeds(2, x.shape)
    np.testing.assert_array_equal(tape.backward(0, seeds, [0])[0], seeds)


# --- memory ---

MEGABYTE = 2**20


def _memory_growth(repeat, times: int) -> int:
    """Growth of resident memory during `times` calls, after as many warm-up calls."""
    for _ in range(times):
        repeat()
    before = resident_bytes()
    for _ in range(times):
        repeat()
    return resident_bytes() - before


def test_passes_do_not_leak_memory(threads):
    """A pass needs over 4 MB here: 15 leaks would be 60 MB."""
    _core.set_num_threads(1)
    network = nets.by_name("vgg").build(_core.NetworkBuilder)
    x = nets.normal(np.random.default_rng(2), 4, 3, 120, 120)
    last = len(network) - 1

    def repeat():
        tape = network.forward(x, keep=[2, 4])
        tape.backward(last, random_seeds(2, (4, 6)), [0, 2])
        tape.activation(2)

    assert _memory_growth(repeat, 15) < 20 * MEGABYTE


def test_networks_do_not_leak_memory():
    """Each has a weight of 2 MB, converted from float64, so the core owns the copy."""
    weight = np.ones((64, 900, 3, 3))

    def repeat():
        builder = _core.NetworkBuilder(900)
        builder.conv(0, weight, padding=1)
        network = builder.build()
        network.forward(np.zeros((1, 900, 3, 3)))

    assert _memory_growth(repeat, 40) < 20 * MEGABYTE


def test_errors_do_not_leak_memory(small):
    """Arrays that are converted before the error (16 MB a call) are freed."""
    network, _, layers = small
    big = np.zeros((1, 3, 800, 900))
    big[0, 0, 0, 0] = np.nan
    tape = network.forward(small[1])

    def repeat():
        for call in (
            lambda: network.forward(big),
            lambda: network.forward(big[:, :2]),
            lambda: tape.backward(2, big[None], [0]),
            lambda: tape.backward(layers - 1, GOOD_SEEDS, [0, 99]),
            lambda: _core.NetworkBuilder(1).conv(0, big.reshape(3, 1, 800, 900), np.ones(2)),
            lambda: _core.resize(big, (-1, 4)),
        ):
            with pytest.raises(ValueError):
                call()

    assert _memory_growth(repeat, 15) < 20 * MEGABYTE


def test_reference_counts_do_not_change(small):
    """References to arguments are neither kept nor released too often."""
    network, x, layers = small
    seeds, wanted = random_seeds(1, (2, 6)), [0]
    tape = network.forward(x)
    counts = [sys.getrefcount(argument) for argument in (x, seeds, wanted, network)]
    for _ in range(20):
        again = network.forward(x, keep=wanted)
        again.backward(layers - 1, seeds, wanted)
        with pytest.raises(ValueError):
            tape.backward(layers - 1, seeds, [99])
    del again
    assert counts == [sys.getrefcount(argument) for argument in (x, seeds, wanted, network)]


@pytest.mark.parametrize("case", nets.GRAPHS, ids=nets.case_id)
def test_memory_error_at_each_allocation(case):
    """If any allocation of the core fails, it raises MemoryError and frees its memory."""
    x = case.pictures()
    before = _core._live_allocations()

    def run():
        network = case.build(_core.NetworkBuilder)
        tape = network.forward(x, keep=[1, 3])
        last = len(network) - 1
        seeds = np.ones((2, *tape.activation(last).shape))
        for rule in RULES:
            tape.backward(last, seeds, [3, 0], rule)
        _core.resize(x, (20, 30), "half_pixel", (1, 2, 15, 20))

    refused = 0
    while True:
        _core._fail_allocations_after(refused)
        try:
            run()
            break
        except MemoryError:
            refused += 1
        finally:
            _core._fail_allocations_after(-1)
        assert _core._live_allocations() == before
    assert refused > len(case.build(_core.NetworkBuilder)), "at least one allocation per layer"
    assert _core._live_allocations() == before


def test_errors_free_all_allocations(small):
    network, x, _ = small
    tape = network.forward(x)
    before = _core._live_allocations()
    for name in BAD_LAYERS:
        error, call = BAD_LAYERS[name]
        with pytest.raises(error):
            call(_core.NetworkBuilder(3))
    for name in HUGE:
        with pytest.raises((ValueError, MemoryError, OverflowError)):
            _network(HUGE[name]).forward(np.zeros((1, 3, 8, 8)))
    for error, arguments in BAD_BACKWARDS.values():
        with pytest.raises(error):
            tape.backward(*arguments)
    assert _core._live_allocations() == before


# --- the arithmetic of explanations ---

METHODS = ["half_pixel", "align_corners", "nearest"]
SIZES = [
    (14, 14, 224, 224),
    (7, 5, 20, 31),
    (9, 8, 3, 2),
    (1, 1, 6, 5),
    (1, 7, 1, 20),
    (6, 6, 6, 6),
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_resize(sizes, method, fast_level):
    height, width, out_height, out_width = sizes
    maps = nets.normal(np.random.default_rng(3), 2, 3, height, width)
    size = (out_height, out_width)
    expected = reference.resize(maps, size, method)
    assert_close(_core.resize(maps, size, method), expected, "sum")


REGIONS = [
    (0.0, 0.0, 20.0, 31.0),
    (2.0, 3.0, 17.0, 30.0),
    (2.25, 3.4, 17.7, 30.9),
    (-4.5, -2.2, 26.0, 40.0),
    (5.0, -3.0, 9.0, 60.0),
    (3.1, 4.1, 4.0, 5.2),
    (100.0, 100.0, 120.0, 120.0),
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("region", REGIONS, ids=str)
def test_resize_into_a_region(region, method, fast_level):
    maps = nets.normal(np.random.default_rng(3), 2, 7, 5)
    found = _core.resize(maps, (20, 31), method, region)
    assert_close(found, reference.resize(maps, (20, 31), method, region), "sum")


@pytest.mark.parametrize("region", [None, (2.0, -30.0, 17.0, 500.0)])
@pytest.mark.parametrize("method", METHODS)
def test_resize_to_many_columns(region, method, fast_level):
    maps = nets.normal(np.random.default_rng(4), 2, 9, 11)
    found = _core.resize(maps, (31, 700), method, region)
    whole = (0.0, 0.0, 31.0, 700.0)
    assert_close(found, reference.resize(maps, (31, 700), method, region or whole), "sum")


BAD_RESIZES = {
    "1 axis": (ValueError, (np.ones(3), (2, 2))),
    "empty map": (ValueError, (np.ones((3, 0)), (2, 2))),
    "empty size": (ValueError, (np.ones((3, 3)), (0, 2))),
    "negative size": (ValueError, (np.ones((3, 3)), (2, -2))),
    "size of three numbers": ((TypeError, ValueError), (np.ones((3, 3)), (2, 2, 2))),
    "fractional size": (TypeError, (np.ones((3, 3)), (2.5, 2))),
    "unknown method": (ValueError, (np.ones((3, 3)), (2, 2), "bicubic")),
    "empty region": (ValueError, (np.ones((3, 3)), (2, 2), "nearest", (1, 1, 1, 2))),
    "reversed region": (ValueError, (np.ones((3, 3)), (2, 2), "nearest", (2, 0, 1, 2))),
    "NaN in the region": (ValueError, (np.ones((3, 3)), (2, 2), "nearest", (0, 0, np.nan, 2))),
    "infinite region": (ValueError, (np.ones((3, 3)), (2, 2), "nearest", (0, 0, np.inf, 2))),
    "region of three numbers": (
        (TypeError, ValueError),
        (np.ones((3, 3)), (2, 2), "nearest", (0, 0, 2)),
    ),
    "complex": (TypeError, (np.ones((3, 3), complex), (2, 2))),
    "larger than memory": ((ValueError, MemoryError), (np.ones((3, 3)), (2**40, 2**40))),
    "too large for size_t": (
        (ValueError, MemoryError, OverflowError),
        (np.ones((3, 3)), (2**70, 2)),
    ),
}


@pytest.mark.parametrize("name", BAD_RESIZES)
def test_bad_resizes_are_refused(name):
    error, arguments = BAD_RESIZES[name]
    with pytest.raises(error):
        _core.resize(*arguments)


@pytest.mark.parametrize("shape", [(3, 1, 1), (2, 5, 14, 14), (2, 2, 17, 7, 9), (1, 512, 14, 14)])
def test_channel_mean(shape, fast_level):
    maps = nets.normal(np.random.default_rng(3), *shape)
    expected = maps.astype(np.float64).mean(axis=(-2, -1))
    assert_close(_core.channel_mean(maps), expected, "sum")


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 5, 14, 14), (3, 17, 7, 9), (1, 512, 14, 14)])
def test_weighted_sum(shape, fast_level):
    rng = np.random.default_rng(3)
    maps, weights = nets.normal(rng, *shape), nets.normal(rng, *shape[:2])
    expected = np.einsum("nc,nchw->nhw", weights.astype(np.float64), maps.astype(np.float64))
    assert_close(_core.weighted_sum(weights, maps), expected, "sum")


def test_means_and_sums_of_mismatched_shapes_are_refused():
    with pytest.raises(ValueError):
        _core.channel_mean(np.ones((3, 4)))
    with pytest.raises(ValueError):
        _core.channel_mean(np.ones((3, 4, 0)))
    for weights in ((3,), (2, 4), (1, 3), (2, 3, 1)):
        with pytest.raises(ValueError):
            _core.weighted_sum(np.ones(weights), np.ones((2, 3, 4, 5)))
    with pytest.raises(ValueError):
        _core.weighted_sum(np.ones((2, 3)), np.ones((2, 3, 4)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 1, 15, 16, 1000, 1002])
def test_all_finite(bad, place, fast_level):
    array = nets.normal(np.random.default_rng(3), 1003)
    array[5], array[6] = np.finfo(np.float32).max, 1e-42
    assert _core.all_finite(array) is True
    array[place] = bad
    assert _core.all_finite(array) is False


# --- settings ---


def test_fingerprints_change_with_the_content():
    data = np.random.default_rng(1).integers(0, 256, 1000, np.uint8)
    found = _core.fingerprints(data, 100, np.array([0, 9, 3]))
    assert found.dtype == np.uint64 and len(set(found.tolist())) == 3
    assert found[2] == _core.fingerprints(data[300:400], 100, np.array([0]))[0]
    for byte, bit in [(300, 0), (355, 7), (399, 3)]:
        changed = data.copy()
        changed[byte] ^= 1 << bit
        again = _core.fingerprints(changed, 100, np.array([0, 9, 3]))
        assert (again == found).tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("data", "piece", "numbers", "error", "message"),
    [
        (np.zeros(10, np.uint8), 5, [2], ValueError, "there is no piece 2; there are 2"),
        (np.zeros(10, np.uint8), 5, [-1], ValueError, "there is no piece -1"),
        (np.zeros(10, np.uint8), 0, [0], ValueError, "1 byte or more"),
        (np.zeros(10, np.int16), 5, [0], TypeError, "data must be an array of uint8"),
        (np.zeros(10, np.uint8), 5, [0.0], TypeError, "numbers must be an array of int64"),
    ],
)
def test_bad_fingerprint_arguments_are_refused(data, piece, numbers, error, message):
    with pytest.raises(error, match=message):
        _core.fingerprints(data, piece, np.array(numbers))


def test_cpu_levels(cpu_level):
    assert _core.cpu_level() == cpu_level
    assert _core.cpu_levels()[:2] == ("reference", "baseline")


@pytest.mark.parametrize("other", _core.cpu_levels())
def test_the_level_may_change_between_forward_and_backward(other, cpu_level):
    ours, twin = build_both(nets.by_name("vgg"))
    x = nets.normal(np.random.default_rng(2), 2, 3, 13, 18)
    tape = ours.forward(x, keep=twin.deciding())
    record = twin.forward(x, {i: tape.activation(i) for i in twin.deciding()})
    seeds, last = random_seeds(2, (2, 6)), len(ours) - 1
    _core.set_cpu_level(other)
    for rule in RULES:
        (gradient,) = tape.backward(last, seeds, [0], rule)
        assert_close(gradient, record.backward(last, seeds, [0], rule)[0], "network")


def test_an_unknown_cpu_level_is_refused():
    before = _core.cpu_level()
    with pytest.raises(ValueError, match="baseline"):
        _core.set_cpu_level("avx1024")
    with pytest.raises(TypeError):
        _core.set_cpu_level(2)
    assert _core.cpu_level() == before


@pytest.mark.parametrize("level", _core.cpu_levels())
def test_cpu_level_from_the_environment(level):
    program = "from gradcam import _core; print(_core.cpu_level())"
    assert run_python(program, GRADCAM_CPU_LEVEL=level) == level


UNKNOWN_SETTINGS = """
from gradcam import _core
for use in (_core.cpu_level, _core.get_num_threads, lambda: _core.NetworkBuilder(3)):
    try:
        use()
    except ValueError as error:
        print(error)
"""


@pytest.mark.parametrize("variable", ["GRADCAM_CPU_LEVEL", "GRADCAM_NUM_THREADS"])
def test_invalid_environment_variables_are_reported(variable):
    lines = run_python(UNKNOWN_SETTINGS, **{variable: "foo"}).splitlines()
    assert len(lines) == 3 and all(variable in line and "'foo'" in line for line in lines)


@pytest.mark.parametrize("count", [0, -1])
def test_bad_thread_counts_are_refused(count, threads):
    with pytest.raises(ValueError):
        _core.set_num_threads(count)
    with pytest.raises(TypeError):
        _core.set_num_threads("two")
    assert _core.get_num_threads() == threads


def test_blas_config():
    assert isinstance(_core.blas_config(), str) and _core.blas_config()
