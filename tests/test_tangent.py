"""Jacobian-vector and Hessian-vector products under a tape's decisions, and the float64 twin."""

from __future__ import annotations

import math

import numpy as np
import pytest
import random_networks
import reference
import vggs
from random_networks import difference

import gradcam
from gradcam import Class, Difference, Function, Layer, Network, Objectives, Probability, Unit
from gradcam._engine import relevance_pass
from gradcam._engine.forward_pass import ForwardPass
from gradcam._engine.graph import Graph
from gradcam._engine.layers import INPUT, OPS
from gradcam._labels.classes import Labels
from gradcam._results.objectives import LogOdds

STEP = 1e-5
ROUNDING = 1e-10
"""Of a difference of two values of size 1 in float64, divided by 2 STEP; at most."""
SEEDS = range(32)


def tape_of(case: random_networks.Case, x: np.ndarray) -> ForwardPass:
    graph = Graph(case.assemble(), Labels(["0"]), None, "random")
    return ForwardPass(graph, graph.run_core(x), x)


class Nearby:
    """The float64 twin's passes a small step along a direction away, with the tape's decisions."""

    def __init__(self, case: random_networks.Case, tape: ForwardPass, direction: np.ndarray):
        twin, self.numbers = random_networks.build(case, reference.Builder(case.shape[1]))
        names = {number: name for name, number in self.numbers.items()}
        decisions = {number: tape.activation(names[number]) for number in twin.deciding()}
        start, moved = tape.input.astype(np.float64), STEP * direction.astype(np.float64)
        self.passes = [twin.forward(start + sign * moved, decisions) for sign in (1, -1)]

    def change(self, layer: str) -> np.ndarray:
        one, other = (each.activation(self.numbers[layer]) for each in self.passes)
        return (one - other) / (2 * STEP)

    def change_of_gradient(self, layer: str, seeds: np.ndarray) -> np.ndarray:
        one, other = (
            each.backward(self.numbers[layer], seeds[None], [0])[0][0] for each in self.passes
        )
        return (one - other) / (2 * STEP)


def assert_same(found: np.ndarray, nearby: np.ndarray, size: float, words: str) -> None:
    """Check the target; `size` is that of the values whose difference `nearby` is."""
    assert found.shape == nearby.shape
    limit = 1e-5 * np.abs(nearby).max(initial=0) + ROUNDING * size
    assert np.abs(found - nearby).max(initial=0) <= limit, words


def linear_in(layer: str, seeds: np.ndarray) -> Objectives:
    """For each picture n the objective <seeds[n], output of the layer>."""
    each = [
        (Function("f", (layer,), lambda o: 0.0, lambda o, n=n: {layer: seeds[n]}, lambda o, d: {}),)
        for n in range(len(seeds))
    ]
    return Objectives(tuple(each), (False,) * len(each))


def test_random_networks_of_all_operations():
    """J v, its transpose, and the Hessian product, through networks of every operation."""
    seen: set[str] = set()
    curved = 0
    for seed in SEEDS:
        case = random_networks.random_case(seed)
        x, rng = case.pictures(0), np.random.default_rng(seed)
        tape, last = tape_of(case, x), case.layers[-1].name
        seen |= case.operations
        directions = rng.standard_normal((2, *x.shape)).astype(np.float32)
        found = tape.jvp(directions, last)
        seeds = rng.standard_normal(found.shape).astype(np.float32)
        (gradient,) = tape.backward(last, seeds, [INPUT])
        for one in (0, 1):
            left, right = np.vdot(seeds[one], found[one]), np.vdot(gradient[one], directions[one])
            size = max(
                np.linalg.norm(seeds[one]) * np.linalg.norm(found[one]),
                np.linalg.norm(gradient[one]) * np.linalg.norm(directions[one]),
            )
            assert abs(left - right) <= 1e-5 * size, str(case)
        nearby = Nearby(case, tape, directions[0])
        size = np.abs(tape.activation(last)).max()
        assert_same(found[0], nearby.change(last), size, str(case))
        (product,) = tape.hessian_products(linear_in(last, seeds[0]), directions[0])
        expected, size = nearby.change_of_gradient(last, seeds[0]), np.abs(gradient).max()
        assert_same(product, expected, size, str(case))
        curved += np.abs(expected).max() > 1e-3 * size
    assert seen >= set(OPS)
    assert curved > 10


ACTIVATIONS = [
    Layer("f", "sigmoid"),
    Layer("f", "silu"),
    Layer("f", "tanh"),
    Layer("f", "elu", attributes={"alpha": 0.7}),
    Layer("f", "gelu"),
    Layer("f", "gelu", attributes={"approximate": True}),
    Layer("f", "hard_swish"),
    Layer("f", "hard_sigmoid"),
    Layer("f", "relu6"),
]


@pytest.mark.parametrize("layer", ACTIVATIONS, ids=lambda layer: f"{layer.op}{layer.attributes}")
def test_second_derivatives_of_activations(layer):
    """f'' at values on all sides of its kinks, by finite differences of the twin's f'."""
    network = Network.from_layers([layer, Layer("flat", "flatten")], channels=1, labels=["0"] * 40)
    x = np.linspace(-7.3, 7.4, 40, dtype=np.float32).reshape(1, 1, 5, 8)
    tape = network.forward(x)
    objective = Function(
        "sum", ("flat",), lambda o: 0.0, lambda o: {"flat": np.ones(40)}, lambda o, d: {}
    )
    found = tape.hessian_product(objective, np.ones_like(x))
    builder = reference.Builder(1)
    number = getattr(builder, layer.op)(0, **layer.attributes)
    twin = builder.build()
    one, other = (
        twin.forward(x + np.float64(sign * STEP)).backward(number, np.ones((1, *x.shape)), [0])[0]
        for sign in (1, -1)
    )
    np.testing.assert_allclose(found, (one - other)[0] / (2 * STEP), atol=2e-6)


@pytest.fixture(scope="module")
def tape():
    network = gradcam.vgg11(vggs.tensors("vgg11"))
    return network.forward(np.random.default_rng(1).standard_normal((3, 32, 40)))


@pytest.fixture(scope="module")
def direction(tape):
    return np.random.default_rng(2).standard_normal(tape.input.shape).astype(np.float32)


def test_the_score_of_a_relu_network_has_no_second_derivative(tape, direction):
    for target in (3, Difference(3, 7), Unit("fc7", 2), Unit("conv3_2", 4), 2 * Class(1)):
        assert not tape.hessian_product(target, direction).any()
    assert tape.hessian_product(3, direction, on="probability").any()


def test_pictures_in_groups_give_the_same(monkeypatch):
    """Memory is bounded: changes are computed for some pictures at a time."""
    network = gradcam.vgg11(vggs.tensors("vgg11"))
    rng = np.random.default_rng(3)
    tape = network.forward(rng.standard_normal((3, 3, 32, 32)))
    moved = rng.standard_normal((2, *tape.input.shape)).astype(np.float32)
    objectives = tape.ask(
        [[Probability(1), 2 * Probability(3)], [Probability(2)], [Probability(0)]]
    )
    whole = tape.jvp(moved, "relu4_1"), tape.hessian_products(objectives, moved[0])
    monkeypatch.setattr(relevance_pass, "_BYTES", 1)
    np.testing.assert_array_equal(tape.jvp(moved, "relu4_1"), whole[0])
    np.testing.assert_array_equal(tape.hessian_products(objectives, moved[0]), whole[1])


def test_the_probability_has_that_of_the_softmax(tape, direction):
    """J^T H J v, H the Hessian of the softmax: p_c times the products of (e_c - p), less diag p."""
    p = tape.probabilities[0].astype(np.float64)
    moved = tape.jvp(direction[None], tape.score_layer)[0, 0].astype(np.float64)
    c = int(p.argmax())
    unit = np.eye(len(p))[c]
    hessian = p[c] * (np.outer(unit - p, unit - p) - np.diag(p) + np.outer(p, p))
    seeds = (hessian @ moved).astype(np.float32)
    (expected,) = tape.backward(tape.score_layer, seeds[None, None], [INPUT])
    assert difference(tape.hessian_product(Probability(c), direction), expected[0]) < 1e-5
    several = tape.hessian_product([Probability(c), 3, Class(2) - 3 * Probability(c)], direction)
    assert several.shape == (3, *tape.input.shape) and not several[1].any()
    assert difference(several[2], -3 * expected[0]) < 1e-5


def test_the_log_odds_have_that_of_the_softmax_of_the_others(tape, direction):
    """J^T H J v, H minus the Hessian of the logarithm of the other scores' sum of powers."""
    c = int(tape.scores[0].argmax())
    q = np.exp(tape.scores[0].astype(np.float64))
    q[c] = 0
    q /= q.sum()
    moved = tape.jvp(direction[None], tape.score_layer)[0, 0].astype(np.float64)
    seeds = ((np.outer(q, q) - np.diag(q)) @ moved).astype(np.float32)
    (expected,) = tape.backward(tape.score_layer, seeds[None, None], [INPUT])
    assert expected.any()
    assert difference(tape.hessian_product(LogOdds(c), direction), expected[0]) < 1e-5


@pytest.mark.parametrize("head", ["softmax", "log_softmax", "sigmoid"])
def test_probabilities_of_all_heads(head, direction):
    """By finite differences of the gradient in float64, of a linear network."""
    rng = np.random.default_rng(3)
    weight = rng.standard_normal((4, 12)).astype(np.float32) / 4
    network = Network.from_layers(
        [
            Layer("flat", "flatten"),
            Layer("fc", "linear", weights={"weight": weight}),
            Layer("prob", head),
        ]
    )
    x, v = (rng.standard_normal((1, 3, 2, 2)).astype(np.float32) for _ in range(2))

    def gradient(values: np.ndarray) -> np.ndarray:
        scores = weight.astype(np.float64) @ values.ravel()
        if head == "sigmoid":
            p = 1 / (1 + np.exp(-scores[1]))
            return p * (1 - p) * weight[1]
        p = np.exp(scores) / np.exp(scores).sum()
        return p[1] * (weight[1] - p @ weight)

    step = STEP * v.astype(np.float64)
    expected = (gradient(x + step) - gradient(x - step)) / (2 * STEP)
    found = network.forward(x).hessian_product(1, v, on="probability")
    assert difference(found.ravel(), expected) < 1e-5


def test_a_function_with_its_hessian(tape, direction):
    """Half the squared norm of a layer: J^T J v, its gradient is the layer itself."""
    layer = "relu3_2"
    norm = Function("norm", (layer,), lambda o: 0.0, dict, lambda outputs, moved: dict(moved))
    moved = tape.jvp(direction[None], layer)
    (expected,) = tape.backward(layer, moved, [INPUT])
    assert difference(tape.hessian_product(norm, direction), expected[0]) < 1e-5
    alias = tape.graph.names(layer)[1]
    same = Function("norm", (alias,), lambda o: 0.0, dict, lambda outputs, moved: dict(moved))
    assert difference(tape.hessian_product(same + norm, direction), 2 * expected[0]) < 1e-5


def test_between_layers_and_of_parts_that_are_not_fed(tape):
    shape = tape.activation("pool3").shape
    given = np.random.default_rng(4).standard_normal((2, *shape)).astype(np.float32)
    found = tape.jvp(given, "fc6", "pool3")
    seeds = np.random.default_rng(5).standard_normal(found.shape).astype(np.float32)
    (back,) = tape.backward("fc6", seeds, ["pool3"])
    assert math.isclose(np.vdot(seeds, found), np.vdot(back, given), rel_tol=1e-4)
    assert not tape.jvp(given, "relu3_2", "pool3").any()
    np.testing.assert_array_equal(tape.jvp(given, "pool3", "pool3"), given)


def test_a_pass_from_the_middle(tape):
    head = tape.run_from("pool3", tape.activation("pool3"))
    given = np.random.default_rng(4).standard_normal((1, *head.input.shape)).astype(np.float32)
    np.testing.assert_allclose(
        head.jvp(given, "fc8", "pool3"), tape.jvp(given, "fc8", "pool3"), rtol=1e-4, atol=1e-6
    )


def test_what_cannot_be_is_refused(tape, direction):
    with pytest.raises(ValueError, match=r"tangents must have the shape \(S, \*\(1, 3, 32, 40\)\)"):
        tape.jvp(direction, "fc8")
    with pytest.raises(ValueError, match="direction must have the shape of the input"):
        tape.hessian_product(3, direction[0])
    with pytest.raises(ValueError, match="no layer is called"):
        tape.jvp(direction[None], "fc9")
    bare = Function("f", ("fc8",), lambda o: 0.0, lambda o: {"fc8": np.ones(10)})
    with pytest.raises(ValueError, match=r"f: its second derivatives are not known.*hessian="):
        tape.hessian_product(bare, direction)
    wrong = Function("f", ("fc8",), lambda o: 0.0, dict, lambda o, moved: {"fc8": np.ones(3)})
    with pytest.raises(ValueError, match="the hessian by 'fc8' has the shape"):
        tape.hessian_product(wrong, direction)

    class Mine(gradcam.Objective):
        def label(self, labels):
            return "mine"

        def value(self, forward, n):
            return 0.0

        def seeds(self, forward, n):
            return Class(3).seeds(forward, n)

    with pytest.raises(ValueError, match=r"mine: .*Mine needs a method seed_changes"):
        tape.hessian_product(Mine(), direction)
