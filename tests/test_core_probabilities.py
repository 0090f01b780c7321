"""Gradients of the softmax and the sigmoid, also where a probability is rounded to 1 or 0."""

from __future__ import annotations

import numpy as np
import pytest
import reference

from gradcam import Layer, _core
from gradcam._engine.assembly import assemble


def head(kind: str, scores: np.ndarray):
    """The core's tape and the twin's record of vectors of scores (N, K)."""
    x = scores.astype(np.float32)[:, :, None, None]
    networks = []
    for builder_type in (_core.NetworkBuilder, reference.Builder):
        builder = builder_type(x.shape[1])
        getattr(builder, kind)(builder.flatten(0))
        networks.append(builder.build())
    return networks[0].forward(x), networks[1].forward(x.astype(np.float64))


def exact_softmax_gradient(scores: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """sum over j of p_i p_j (g_i - g_j): nothing cancels but what the result itself cancels."""
    p = np.exp(scores - scores.max())
    p /= p.sum()
    return p * ((seed[:, None] - seed[None, :]) @ p)


MARGINS = [0.0, 1.0, 8.0, 15.7, 17.0, 20.0, 40.0, 80.0]


@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("winner", [0, 2, 6])
def test_the_gradient_of_a_confident_softmax(margin, winner, cpu_level):
    rng = np.random.default_rng(0)
    scores = rng.uniform(-0.5, 0.5, 7).astype(np.float32)
    scores[winner] += np.float32(margin)
    tape, _ = head("softmax", scores[None])
    seeds = [*np.eye(7), np.ones(7), np.arange(7) == 1, rng.standard_normal(7)]
    for seed in np.asarray(seeds, np.float32):
        (ours,) = tape.backward(2, seed[None, None], [1])
        right = exact_softmax_gradient(scores.astype(np.float64), seed.astype(np.float64))
        np.testing.assert_allclose(ours[0, 0], right, rtol=1e-6, atol=1e-37)


def test_each_vector_of_a_batch_has_its_own_gradient(cpu_level):
    rng = np.random.default_rng(1)
    scores = (30 * rng.standard_normal((5, 11))).astype(np.float32)
    tape, record = head("softmax", scores)
    seeds = rng.standard_normal((3, 5, 11)).astype(np.float32)
    (ours,) = tape.backward(2, seeds, [1])
    for s, n in np.ndindex(3, 5):
        right = exact_softmax_gradient(scores[n].astype(float), seeds[s, n].astype(float))
        np.testing.assert_allclose(ours[s, n], right, rtol=1e-6, atol=1e-37)
    np.testing.assert_allclose(tape.activation(2), record.outputs[2], rtol=1e-5, atol=1e-37)


SCORES = [0.0, 1e-8, 0.7, 5.0, 16.0, 17.5, 40.0, 85.0, 1e3, 1e30]


def test_a_sigmoid_and_its_gradient(cpu_level):
    scores = np.array([SCORES, [-score for score in SCORES]], np.float32)
    tape, record = head("sigmoid", scores)
    np.testing.assert_allclose(tape.activation(2), record.outputs[2], rtol=3e-7, atol=1e-37)
    seeds = np.random.default_rng(2).standard_normal((3, 2, len(SCORES))).astype(np.float32)
    (ours,) = tape.backward(2, seeds, [1])
    e = np.exp(-np.abs(scores.astype(np.float64)))
    np.testing.assert_allclose(ours, seeds * (e / (1 + e) ** 2), rtol=6e-7, atol=1e-37)


def test_a_sigmoid_of_maps(cpu_level):
    """Of several pictures, with more values than one piece of work takes, and several seeds."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2, 9, 50, 51)).astype(np.float32)
    builder = _core.NetworkBuilder(9)
    weight = rng.standard_normal((9, 9, 3, 3)).astype(np.float32)
    builder.sigmoid(builder.conv(0, weight, padding=1))
    tape = builder.build().forward(x, keep=[1])
    scores = tape.activation(1).astype(np.float64)
    p = 1 / (1 + np.exp(-scores))
    np.testing.assert_allclose(tape.activation(2), p, rtol=3e-7)
    seeds = rng.standard_normal((2, 2, 9, 50, 51)).astype(np.float32)
    (ours,) = tape.backward(2, seeds, [1])
    np.testing.assert_allclose(ours, seeds * (p * (1 / (1 + np.exp(scores)))), rtol=2e-6)


def test_a_network_of_layers_may_have_a_sigmoid():
    rng = np.random.default_rng(4)
    layers = [
        Layer("pool", "global_average_pool"),
        Layer("flat", "flatten"),
        Layer("fc", "linear", weights={"weight": rng.standard_normal((1, 3)).astype(np.float32)}),
        Layer("prob", "sigmoid"),
    ]
    assembled = assemble(layers, channels=3)
    tape = assembled.core.forward(np.ones((1, 3, 4, 4)), keep=[3])
    score = tape.activation(3).astype(np.float64)
    np.testing.assert_allclose(tape.activation(4), 1 / (1 + np.exp(-score)), rtol=1e-6)
    assert assembled.classes == 1
