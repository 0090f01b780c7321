"""The float64 twin against finite differences, in float64."""

from __future__ import annotations

import nets
import numpy as np
import pytest
import reference

STEP = 1e-6


def test_the_cases_have_names_of_their_own():
    names = [case.name for case in nets.ALL]
    assert len(names) == len(set(names))


# The twin has one convolution, whatever algorithm the core would choose.
CASES = [case for case in nets.ALL if case not in nets.WINOGRAD + nets.DRAWN]


@pytest.mark.parametrize("case", CASES, ids=nets.case_id)
def test_gradient_is_the_slope(case):
    """(f(x + h d) - f(x - h d)) / 2h = gradient . d, for f = sum(seed * last layer)."""
    rng = np.random.default_rng(3)
    network = case.build(reference.Builder)
    x = case.pictures().astype(np.float64)
    record = network.forward(x)
    last = len(network) - 1
    seed = rng.standard_normal(record.outputs[last].shape)
    (gradient,) = record.backward(last, seed[None], [0])
    direction = rng.standard_normal(x.shape)
    above, below = (
        np.sum(seed * network.forward(x + sign * STEP * direction).outputs[last])
        for sign in (1, -1)
    )
    slope = (above - below) / (2 * STEP)
    assert np.sum(gradient[0] * direction) == pytest.approx(slope, rel=1e-6, abs=1e-7)


# In these two, pooling windows hold equal values that are not zero: there is no slope there.
SMOOTH = [case for case in nets.SMALL_GRAPHS if case.name not in ("mobile", "relu-twice")]


@pytest.mark.parametrize("case", SMOOTH, ids=nets.case_id)
def test_gradient_at_an_inner_layer_is_the_slope(case):
    """The same from the middle: the layers above are run again on a changed map.

    Exact zeros stay: where several of them share a pooling window there is no slope.
    """
    rng = np.random.default_rng(4)
    network = case.build(reference.Builder)
    record = network.forward(case.pictures())
    last = len(network) - 1
    seed = rng.standard_normal(record.outputs[last].shape)
    for layer in range(1, last):
        direction = rng.standard_normal(record.outputs[layer].shape)
        direction *= record.outputs[layer] != 0
        (gradient,) = record.backward(last, seed[None], [layer])
        above, below = (
            np.sum(seed * _with_changed_map(network, record, layer, sign * STEP * direction))
            for sign in (1, -1)
        )
        slope = (above - below) / (2 * STEP)
        assert np.sum(gradient[0] * direction) == pytest.approx(slope, rel=1e-6, abs=1e-7)


def _with_changed_map(network, record, changed, by):
    outputs = [record.outputs[0]]
    for number, (node, inputs) in enumerate(network.nodes[1:], start=1):
        y, _ = node.forward([outputs[i] for i in inputs], None)
        outputs.append(y + by if number == changed else y)
    return outputs[-1]


def test_rules_of_the_relu():
    builder = reference.Builder(1)
    builder.relu(0)
    record = builder.build().forward(np.array([[[[-1.0, 0.0, 2.0, 3.0]]]]))
    seed = np.array([[[[[5.0, 6.0, -7.0, 8.0]]]]])
    expected = {"gradient": [0, 0, -7, 8], "guided": [0, 0, 0, 8], "deconvnet": [5, 6, 0, 8]}
    for rule, values in expected.items():
        (gradient,) = record.backward(1, seed, [0], rule)
        np.testing.assert_array_equal(gradient.ravel(), values)


def test_decisions_are_taken_from_the_other_program():
    builder = reference.Builder(1)
    builder.max_pool(builder.relu(0), (1, 2))
    network = builder.build()
    x = np.array([[[[1e-9, 2.0, 3.0, 3.0 + 1e-9]]]])
    other = np.array([[[[0.0, 2.0, 3.0, 3.0]]]])
    seed = np.ones((1, 1, 1, 1, 2))
    assert network.deciding() == [1]
    own = network.forward(x).backward(2, seed, [0])[0]
    forced = network.forward(x, {1: other}).backward(2, seed, [0])[0]
    np.testing.assert_array_equal(own.ravel(), [0, 1, 0, 1])
    np.testing.assert_array_equal(forced.ravel(), [0, 1, 1, 0])


def test_several_seeds_are_several_passes():
    case = nets.by_name("inception")
    record = case.build(reference.Builder).forward(case.pictures())
    last = len(record.outputs) - 1
    seeds = np.random.default_rng(5).standard_normal((3, *record.outputs[last].shape))
    (together,) = record.backward(last, seeds, [0])
    for seed, gradient in zip(seeds, together, strict=True):
        (alone,) = record.backward(last, seed[None], [0])
        np.testing.assert_array_equal(gradient, alone[0])


@pytest.mark.parametrize("method", ["half_pixel", "align_corners", "nearest"])
def test_resize_keeps_constants(method):
    np.testing.assert_allclose(reference.resize(np.full((3, 5), 2.5), (11, 4), method), 2.5)


def test_resize_by_hand():
    row = np.array([[0.0, 4.0]])
    half = reference.resize(row, (1, 4), "half_pixel")
    np.testing.assert_allclose(half, [[0, 1, 3, 4]])
    corners = reference.resize(row, (1, 5), "align_corners")
    np.testing.assert_allclose(corners, [[0, 1, 2, 3, 4]])
    nearest = reference.resize(row, (1, 5), "nearest")
    np.testing.assert_allclose(nearest, [[0, 0, 4, 4, 4]])


def test_resize_into_a_region_leaves_the_rest_zero():
    out = reference.resize(np.ones((2, 2)), (4, 6), "half_pixel", (1.0, 2.0, 3.0, 5.0))
    expected = np.zeros((4, 6))
    expected[1:3, 2:5] = 1
    np.testing.assert_allclose(out, expected)
