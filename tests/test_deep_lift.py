"""DeepLIFT's rescale rule: the float64 twin, and contributions that add up."""

from __future__ import annotations

import numpy as np
import pytest
import random_networks
import reference
import vggs
from helpers import largest_difference
from test_rules import NETWORKS, SHAPES

import gradcam
from gradcam import Class, Function, Layer, Network, Unit
from gradcam._engine.forward_pass import ForwardPass
from gradcam._engine.graph import Graph
from gradcam._engine.layers import OPS
from gradcam._labels.classes import Labels
from gradcam._methods import deeplift

LINEAR = {
    *("conv", "linear", "affine", "average_pool", "adaptive_average_pool", "global_average_pool"),
    *("flatten", "dropout", "add", "concatenate", "slice", "channel_shuffle", "batch_norm"),
}


def test_every_operation_has_a_rule():
    ruled = {*deeplift._SINGLE, *deeplift._MAXIMA, *deeplift._POINTS}
    assert not ruled & LINEAR and ruled | LINEAR == set(OPS)


@pytest.mark.parametrize("name", NETWORKS)
def test_contributions_add_up(name):
    """To the score minus the baseline's, on a chain, a residual and concatenating networks."""
    net = NETWORKS[name]()
    shape = SHAPES.get(name, (2, 3, 32, 64))
    x, start = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    tape, before = net.forward(x), net.forward(np.stack([start[0]] * len(x)))
    for on in ("score", "probability"):
        found = tape.deep_lift([[1, 3], [2]], baseline=start[0], on=on)
        for n, each in enumerate(found):
            for one in each:
                values = [
                    getattr(t, {"score": "scores", "probability": "probabilities"}[on])
                    for t in (tape, before)
                ]
                difference = values[0][n, one.target.index] - values[1][n, one.target.index]
                limit = 1e-5 * np.abs(one.raw).sum() + 2e-7 * abs(values[0][n, one.target.index])
                assert abs(one.raw.sum(dtype=np.float64) - difference) < limit


def test_a_chain():
    tensors = vggs.tensors("vgg11")
    twin, numbers = vggs.twin("vgg11", tensors)
    x, start = np.random.default_rng(0).standard_normal((2, 1, 3, 32, 64)).astype(np.float32)
    net = gradcam.vgg11(tensors)
    keep = [name for name in net.layers if name in numbers]
    records = []
    for picture in (x, start):
        tape = net.forward(picture, keep=keep)
        records.append(twin.forward(picture, {numbers[n]: tape.activation(n) for n in keep}))
    found = net.forward(x).deep_lift([3], baseline=start[0])[0].raw
    seeds = reference.class_seeds(records[0], numbers["fc8"], [3])[0]
    assert largest_difference(found, reference.deep_lift(*records, numbers["fc8"], seeds)[0]) < 1e-5


@pytest.mark.parametrize("seed", range(20))
def test_random_networks_of_all_operations(seed):
    """Against the twin, which takes the core's positions of maxima.

    Differences of outputs lose digits in float32, so that not all are within 1e-5.
    """
    case = random_networks.random_case(seed)
    graph = Graph(case.assemble(), Labels(["0"]), None, "random")
    pair = []
    for number in (0, 1):
        x = case.pictures(number)[:1]
        pair.append(ForwardPass(graph, graph.run_core(x, list(graph.layers)), x))
    tape, start = pair
    last = list(graph.layers)[-1]
    seeds = np.random.default_rng(seed).standard_normal(tape.activation(last).shape)
    seeds = seeds.astype(np.float32)
    found = deeplift._Passes(tape, tape.input[0], start.input[0]).multipliers({last: seeds[None]})
    found = (found * (tape.input - start.input))[0]

    twin, numbers = random_networks.build(case, reference.Builder(case.shape[1]))
    names = {number: name for name, number in numbers.items() if name in graph.layers}
    records = []
    for each in pair:
        decisions = {i: each.activation(names[i]) for i in twin.deciding() if i in names}
        records.append(twin.forward(each.input, decisions))
    expected = reference.deep_lift(*records, numbers[last], seeds)
    assert expected.any() and largest_difference(found, expected) < 2e-5, str(case)
    values = [(seeds * each.outputs[numbers[last]]).sum() for each in records]
    if not {"softmax", "log_softmax", "layer_norm", "local_response_norm"} & case.operations:
        assert abs(expected.sum() - (values[0] - values[1])) < 1e-9 * np.abs(expected).sum()


def test_objectives_of_several_layers_and_of_functions():
    net = gradcam.vgg11(vggs.tensors("vgg11"))
    x = np.random.default_rng(0).standard_normal((2, 3, 32, 64)).astype(np.float32)
    tape = net.forward(x)
    both = Class(3) + 2.0 * Unit("relu3_2", 1, (2, 3))
    parts = [tape.deep_lift(each)[1].raw for each in (Class(3), Unit("relu3_2", 1, (2, 3)))]
    assert largest_difference(tape.deep_lift(both)[1].raw, parts[0] + 2 * parts[1]) < 1e-5
    twice = Function("f", ("fc8",), lambda o: 0.0, lambda o: {"fc8": 2 * np.eye(10)[3]})
    np.testing.assert_allclose(tape.deep_lift(twice)[0].raw, 2 * tape.deep_lift(3)[0].raw)
    of_input = tape.deep_lift(Unit("input", 1), baseline=0.0)[0].raw
    np.testing.assert_allclose(of_input[1], x[0, 1] / (32 * 64), rtol=1e-6)
    assert not of_input[[0, 2]].any()


def test_a_baseline_that_is_the_picture():
    """All contributions are zero."""
    net = gradcam.vgg11(vggs.tensors("vgg11"))
    x = np.random.default_rng(0).standard_normal((3, 32, 64)).astype(np.float32)
    assert not net.forward(x).deep_lift(3, baseline=x).raw.any()


def test_linear_networks_give_input_times_gradient():
    """Also where the picture and the baseline are equal in some values."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((2, 12)).astype(np.float32)
    net = Network.from_layers(
        [Layer("flat", "flatten"), Layer("scores", "linear", weights={"weight": weight})]
    )
    x = rng.standard_normal((3, 2, 2)).astype(np.float32)
    x[0] = 0
    found = net.forward(x).deep_lift(1, baseline=0.0)
    np.testing.assert_allclose(found.raw, net.forward(x).input_x_gradient(1).raw, rtol=1e-6)


def test_rules_that_are_not_deep_lifts_are_noted():
    found = NETWORKS["scaled"]().forward(np.ones((3, 7, 9), np.float32)).deep_lift(1)
    assert any("no rule for multiply" in note for note in found.notes)
    assert not any("no rule for softmax" in note for note in found.notes)
