"""Passes over variants of a picture: what crops give equals what whole pictures give."""

from __future__ import annotations

import numpy as np
import pytest
import random_networks
import vggs
from nets import kernel

import gradcam
from gradcam import Layer
from gradcam._engine import crop_plan
from gradcam._engine.crop_pass import PatchPasses
from gradcam._engine.forward_pass import ForwardPass, run
from gradcam._engine.graph import Graph
from gradcam._engine.receptive import Interval
from gradcam._labels.classes import Labels


def patches(size: int, patch: int, stride: int) -> Interval:
    begins = np.arange(0, size - patch + stride, stride)
    return Interval(begins, np.minimum(begins + patch, size))


def outputs(passes: PatchPasses, layer: str, shape: tuple[int, ...], batch: int = 7) -> np.ndarray:
    other = np.random.default_rng(5).standard_normal(shape).astype(np.float32)
    return np.concatenate([each.activation(layer) for each in passes.run(0, other, batch)])


def both(tape: ForwardPass, layer: str, *grid: Interval) -> tuple[PatchPasses, float]:
    """The passes on crops, and their largest difference from whole pictures."""
    on_crops = PatchPasses(tape, [layer], *grid)
    whole = PatchPasses(tape, [layer], *grid, recompute=False)
    assert whole.plan.stages == () and whole.plan.last == "input"
    shape = tape.input.shape[1:]
    right = outputs(whole, layer, shape)
    assert len(right) == on_crops.count == len(grid[0].begin) * len(grid[1].begin)
    difference = np.abs(outputs(on_crops, layer, shape) - right).max()
    return on_crops, float(difference / max(np.abs(right).max(), 1e-30))


def random_layers(rng: np.random.Generator) -> list[Layer]:
    """Residuals with a strided shortcut, depthwise and dilated convolutions, branches."""

    def conv(name: str, x: str, channels: int, out: int, size: int, **attributes) -> Layer:
        weight = kernel(rng, out, channels // attributes.get("groups", 1), size, size)
        return Layer(name, "conv", (x,), {"weight": weight}, attributes)

    return [
        conv("stem", "input", 3, 16, 5, stride=2, padding=(1, 1, 2, 2)),
        Layer("stem_relu", "relu", ("stem",)),
        Layer(
            "pool", "max_pool", ("stem_relu",), {}, {"kernel": 3, "stride": 2, "ceil_mode": True}
        ),
        conv("a", "pool", 16, 16, 3, padding=1),
        Layer("a_relu", "relu", ("a",)),
        conv("b", "a_relu", 16, 24, 3, padding=1, stride=2),
        conv("shortcut", "pool", 16, 24, 1, stride=2),
        Layer("sum", "add", ("b", "shortcut")),
        Layer("block", "relu6", ("sum",)),
        conv("wide", "block", 24, 48, 1),
        conv("depthwise", "wide", 48, 48, 3, padding=1, groups=48),
        conv("narrow", "depthwise", 48, 24, 1),
        Layer("inverted", "add", ("block", "narrow")),
        conv("one", "inverted", 24, 8, 1),
        conv("dilated", "inverted", 24, 8, 3, padding=2, dilation=2),
        Layer(
            *("averages", "average_pool", ("inverted",), {}),
            {"kernel": 3, "stride": 1, "padding": 1, "count_include_pad": False},
        ),
        Layer("joined", "concatenate", ("one", "dilated", "averages")),
        Layer("last", "silu", ("joined",)),
        Layer("mean", "global_average_pool", ("last",)),
        Layer("flat", "flatten", ("mean",)),
        Layer("scores", "linear", ("flat",), {"weight": kernel(rng, 5, 40)}),
    ]


@pytest.fixture(scope="module")
def tape() -> gradcam.BatchTape:
    network = gradcam.Network.from_layers(random_layers(np.random.default_rng(0)))
    x = np.random.default_rng(1).standard_normal((1, 3, 131, 94)).astype(np.float32)
    return network.forward(x)


@pytest.mark.parametrize("layer", ["scores", "last", "inverted", "pool"])
def test_residuals_branches_and_strides(layer, tape):
    passes, difference = both(tape, layer, patches(131, 9, 13), patches(94, 6, 11))
    assert difference < 1e-5
    assert len(passes.plan.stages) > (0 if layer == "pool" else 1)
    assert passes.plan.share < 0.9


def test_layers_in_different_branches(tape):
    """Neither branch may be left out, and no cut may lie above one of the layers."""
    grid = patches(131, 9, 40), patches(94, 6, 30)
    layers = ["dilated", "wide", "scores"]
    passes = [PatchPasses(tape, layers, *grid, recompute=each) for each in (True, False)]
    other = np.ones((3, 131, 94), np.float32)
    for forwards in zip(*(each.run(0, other, 5) for each in passes), strict=True):
        for layer in layers:
            found, right = (each.activation(layer) for each in forwards)
            assert np.abs(found - right).max() < 1e-5 * np.abs(right).max()
    assert passes[0].plan.stages and passes[0].plan.last in ("stem_relu", "pool", "block")


def test_a_vgg():
    network = gradcam.vgg16(vggs.tensors())
    x = np.random.default_rng(1).standard_normal((1, 3, 96, 64)).astype(np.float32)
    passes, difference = both(network.forward(x), "fc8", patches(96, 8, 8), patches(64, 8, 8))
    assert difference < 1e-5
    assert passes.plan.share < 0.6


def test_only_crops_are_computed(tape, monkeypatch):
    """This fails if crops are whole maps, or if whole pictures are run after all."""
    sizes: list[tuple[str, tuple[int, ...]]] = []
    real = Graph.run_core

    def record(self, values, *arguments, **options):
        sizes.append((options.get("start", "input"), values.shape))
        return real(self, values, *arguments, **options)

    monkeypatch.setattr(Graph, "run_core", record)
    passes = PatchPasses(tape, ["scores"], patches(131, 9, 13), patches(94, 6, 11))
    outputs(passes, "scores", (3, 131, 94), passes.count)
    (base, on_input, *_, whole) = sizes
    assert base == ("input", (1, 3, 131, 94))
    assert on_input[0] == "input" and on_input[1][0] == passes.count
    assert on_input[1][2] <= 41 and on_input[1][3] <= 38
    assert whole[0] == passes.plan.last != "input"
    stages = passes.plan.stages
    assert [name for name, _ in sizes[1:]] == [*(s.start for s in stages), passes.plan.last]


@pytest.mark.parametrize("op", ["global_average_pool", "conv"])
def test_layers_that_read_everything_end_the_crops(op):
    rng = np.random.default_rng(0)
    weights = {"weight": kernel(rng, 8, 8, 24, 31)} if op == "conv" else {}
    layers = [
        Layer("a", "conv", ("input",), {"weight": kernel(rng, 8, 3, 3, 3)}, {"padding": 1}),
        Layer("mean", op, ("a",), weights),
        Layer("gate", "sigmoid", ("mean",)),
        Layer("b", "multiply", ("a", "gate")),
        Layer("c", "conv", ("b",), {"weight": kernel(rng, 8, 8, 3, 3)}, {"padding": 1}),
        Layer("d", "global_max_pool", ("c",)),
        Layer("scores", "flatten", ("d",)),
    ]
    network = gradcam.Network.from_layers(layers, labels=list("abcdefgh"))
    x = rng.standard_normal((1, 3, 24, 31)).astype(np.float32)
    passes, difference = both(network.forward(x), "scores", patches(24, 2, 3), patches(31, 2, 4))
    assert difference < 1e-5
    assert passes.plan.cuts in (["input"], ["input", "a"])


def test_random_networks(monkeypatch):
    """With copies that cost nothing, so that small networks are cut wherever they can be."""
    monkeypatch.setattr(crop_plan, "_COPY", 1e-9)
    cut = stages = 0
    for seed in range(40):
        case = random_networks.random_case(seed)
        graph = Graph(case.assemble(), Labels.numbered(1), None, "random")
        x = case.pictures(0)[:1]
        passed = ForwardPass(graph, run(graph, x, record=False), x)
        rng = np.random.default_rng(seed)
        grid = []
        for size in x.shape[2:]:
            patch = int(rng.integers(1, size // 2 + 1))
            grid.append(patches(size, patch, int(rng.integers(1, patch + 1))))
        layers = [name for name, shape in graph.shapes(*x.shape[2:]).items() if len(shape) == 3]
        for layer in (list(graph.layers)[-1], str(rng.choice(layers))):
            passes, difference = both(passed, layer, *grid)
            assert difference < 1e-5, (layer, str(case))
            cut += bool(passes.plan.stages)
            stages += len(passes.plan.stages)
    assert cut > 40 and stages > 80


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "googlenet", "densenet121"])
def test_whole_architectures(name):
    constructor = getattr(gradcam, name)
    network = constructor(constructor.random_tensors())
    x = np.random.default_rng(1).standard_normal((1, 3, 128, 163)).astype(np.float32)
    tape = network.forward(x, record=False)
    grid = patches(128, 16, 40), patches(163, 16, 37)
    passes, difference = both(tape, tape.score_layer, *grid)
    assert difference < 1e-5
    assert passes.plan.share < 0.9
