"""What can be explained: classes, probabilities, units, sums, and functions given by gradients."""

from __future__ import annotations

import nets
import numpy as np
import pytest
import vggs
from helpers import DRAWN, assert_close

import gradcam
from gradcam import Class, Difference, Function, Probability, Sum, Unit


@pytest.fixture(scope="module")
def net():
    return gradcam.vgg11(vggs.tensors("vgg11"))


@pytest.fixture(scope="module")
def tape(net):
    return net.forward(np.random.default_rng(1).standard_normal((3, 48, 80)))


@pytest.fixture(scope="module")
def batch(net):
    return net.forward(np.random.default_rng(2).standard_normal((2, 3, 48, 80)))


def scores(tape):
    return tape.scores[0].astype(np.float64)


@pytest.mark.parametrize("method", DRAWN)
def test_a_class_is_shorthand_for_its_objective(method, tape):
    named = tape.explain(method, Class("class_3"))
    np.testing.assert_array_equal(named.raw, tape.explain(method, 3).raw)
    assert (named.target.index, named.score, named.probability) == (
        3,
        tape.scores[0, 3],
        tape.probabilities[0, 3],
    )
    probable = tape.explain(method, Probability(3))
    np.testing.assert_array_equal(probable.raw, tape.explain(method, 3, on="probability").raw)
    np.testing.assert_array_equal(tape.explain(method, tape.labels[3]).raw, named.raw)


def test_a_difference_has_the_difference_of_gradients(tape):
    found = tape.gradient(Difference("class_3", 7), "relu4_1")
    expected = tape.gradient(3, "relu4_1") - tape.gradient(7, "relu4_1")
    assert_close(found, expected, "network")
    cam = tape.grad_cam(Difference(3, 7))
    assert cam.label == "class_3 - class_7" and cam.target is None and cam.probability is None
    assert cam.score == pytest.approx(scores(tape)[3] - scores(tape)[7], rel=1e-4)
    assert_close(cam.raw, tape.grad_cam(3).raw - tape.grad_cam(7).raw, "network")
    assert "class_3 - class_7" in repr(cam) and cam.map.max() == 1


def test_arithmetic(tape):
    objective = 2 * Class(3) - (Class(7) + 0.5 * Class(1)) + -Class(0)
    weights = {3: 2.0, 7: -1.0, 1: -0.5, 0: -1.0}
    assert isinstance(objective, Sum)
    assert objective.label(tape.labels) == "2 class_3 - class_7 - 0.5 class_1 - class_0"
    expected = sum(weight * scores(tape)[index] for index, weight in weights.items())
    assert objective.value(tape, 0) == pytest.approx(expected, rel=1e-5)
    gradient = sum(weight * tape.gradient(index) for index, weight in weights.items())
    assert_close(tape.gradient(objective), gradient, "network")


def test_one_backward_pass_serves_several_objectives(tape, monkeypatch):
    passes = []
    core = tape.core

    class Counting:
        kept = core.kept
        activation = core.activation

        def backward(self, *arguments):
            passes.append(arguments)
            return core.backward(*arguments)

    monkeypatch.setattr(tape, "core", Counting())
    found = tape.guided_backprop([3, Difference(3, 7), None, Probability(2)])
    assert [each.label for each in found][:2] == ["class_3", "class_3 - class_7"]
    assert [start for start, *_ in passes] == [
        tape.graph.index("fc8"),
        tape.graph.index("prob"),
    ]


@pytest.mark.parametrize("position", [None, (2, 3)])
def test_a_unit_by_finite_differences(net, tape, position):
    """The gradient of a unit in the middle, by nothing but forward passes in float32."""
    unit = Unit("conv3_2", 4, position)
    direction = tape.gradient(unit)[0]
    values = []
    for sign in (1, -1):
        step = sign * 3e-3 * direction / np.abs(direction).max()
        values.append(unit.value(net.forward(tape.input[0] + step), 0))
    slope = (values[0] - values[1]) / (6e-3 / np.abs(direction).max())
    assert slope == pytest.approx((direction.astype(np.float64) ** 2).sum(), rel=2e-2)
    maps = tape.activation("conv3_2")[0, 4]
    expected = maps.mean() if position is None else maps[position]
    assert unit.value(tape, 0) == pytest.approx(expected, rel=1e-5)


def test_units_of_vectors_and_methods_on_them(tape):
    unit = Unit("fc7", 2)
    assert unit.value(tape, 0) == pytest.approx(tape.activation("fc7")[0, 2])
    cam = tape.grad_cam(unit)
    gradient = tape.gradient(unit, "relu5_2")[0]
    assert_close(cam.weights, gradient.mean((1, 2)), "network")
    assert cam.label == "unit 2 of fc7"
    above = tape.gradient(Unit("relu3_2", 4), "relu4_1")
    assert above.shape == tape.activation("relu4_1").shape and not above.any()


def test_a_function_given_by_its_gradient(tape):
    """Half the squared norm of two layers: its gradient by each is the layer itself."""

    def half_norm(outputs):
        return sum(float((x.astype(np.float64) ** 2).sum()) / 2 for x in outputs.values())

    norm = Function("norm", ("fc8", "relu4_1"), half_norm, dict)
    assert norm.value(tape, 0) == pytest.approx(
        half_norm({layer: tape.activation(layer)[0] for layer in ("fc8", "relu4_1")})
    )
    parts = [
        tape.backward(layer, tape.activation(layer)[None], ["input"])[0][0]
        for layer in ("fc8", "relu4_1")
    ]
    assert_close(tape.gradient(norm), parts[0] + parts[1], "network")
    assert tape.saliency(norm).label == "norm"
    assert_close(
        tape.grad_cam(norm, layer="relu3_2").weights,
        tape.gradient(norm, "relu3_2")[0].mean((1, 2)),
        "network",
    )


def test_objectives_of_a_batch(batch):
    one, other = batch.grad_cam([Difference(1, 2), 5])
    assert one.target is None and other.target.index == 5
    expected = batch.grad_cam([1, 1])[0].raw - batch.grad_cam([2, 2])[0].raw
    assert_close(one.raw, expected, "network")
    values = batch.ask([[1, 2], [3]]).values(batch)
    assert values.shape == (2, 2) and np.isnan(values[1, 1])
    np.testing.assert_array_equal(values[:, 0], batch.scores[0, [1, 2]])


def half_norm(outputs):
    return sum(float((x.astype(np.float64) ** 2).sum()) / 2 for x in outputs.values())


EVERY_KIND = [
    Class(3),
    Probability("class_5"),
    Unit("fc7", 2),
    Unit("relu4_1", 3),
    Unit("conv4_1", 3, (1, 2)),
    Difference(1, 2),
    Unit("relu4_1", 3) - 2 * Unit("fc7", 1) + Probability(0),
    Function("norm", ("fc8", "relu4_1"), half_norm, dict),
]


@pytest.mark.parametrize("objective", EVERY_KIND, ids=repr)
def test_values_of_a_batch_are_those_of_its_pictures(objective, batch):
    values = objective.values(batch)
    expected = [objective.value(batch, n) for n in range(2)]
    assert values.shape == (2,)
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-7)
    seen = gradcam.Objective.values(objective, batch)  # what a subclass inherits
    np.testing.assert_allclose(seen, expected, rtol=1e-6)


@pytest.mark.parametrize("objective", EVERY_KIND, ids=repr)
@pytest.mark.parametrize("method", ["saliency", "grad_cam", "guided_grad_cam"])
def test_methods_take_objectives_of_every_kind(method, objective, tape):
    layer = {} if method == "saliency" else {"layer": "relu3_2"}
    found = tape.explain(method, objective, **layer)
    assert found.raw.any()
    if not isinstance(objective, Class):
        assert found.score == pytest.approx(objective.value(tape, 0), rel=1e-5)


QUICK = {"samples": 4, "steps": 4, "patch": 8, "stride": 8}
"""Options under which methods with many passes are quick."""


@pytest.fixture(scope="module")
def pooling():
    """A small network that ends in global average pooling and one linear layer."""
    rng = np.random.default_rng(4)

    def conv(name, out, channels):
        weight = nets.kernel(rng, out, channels, 3, 3)
        return gradcam.Layer(name, "conv", weights={"weight": weight}, attributes={"padding": 1})

    layers = [
        conv("conv1", 8, 3),
        gradcam.Layer("relu1", "relu"),
        gradcam.Layer("pool1", "max_pool", attributes={"kernel": 2}),
        conv("conv2", 8, 8),
        gradcam.Layer("relu2", "relu"),
        gradcam.Layer("pool", "global_average_pool"),
        gradcam.Layer("flat", "flatten"),
        gradcam.Layer("scores", "linear", weights={"weight": nets.kernel(rng, 4, 8)}),
        gradcam.Layer("prob", "softmax"),
    ]
    network = gradcam.Network.from_layers(layers, preset=gradcam.Preset("small", size=16))
    return network.forward(rng.standard_normal((2, 3, 16, 16)), input="normalised")


@pytest.mark.parametrize("method", gradcam.METHODS)
def test_every_method_takes_every_kind_of_objective(method, pooling):
    """Two pictures, each with a class, a difference, a channel, a position, a function and a sum.

    Methods that serve some kinds only, as CAM classes, say so.
    """
    asked = [
        Class(1),
        Difference(1, 2),
        Unit("relu2", 3),
        Unit("conv2", 3, (1, 2)),
        Unit("flat", 2) - 2 * Unit("flat", 1) + Probability(0),
        Function("norm", ("flat",), half_norm, dict),
    ]
    found = gradcam.METHODS[method]
    options = {name: value for name, value in QUICK.items() if name in found.options}
    layer = {"layer": "relu1"} if found.takes_layer else {}
    served = []
    for objective in asked:
        try:
            explanations = pooling.explain(method, objective, **layer, **options)
        except ValueError as error:
            assert len(str(error)) > 40, (objective, error)
            continue
        served.append(objective)
        for n, each in enumerate(explanations):
            nothing = not pooling.gradient(objective, "pool")[n].any()
            assert each.raw.any() or (nothing and found.name == "cam"), (objective, n)
            if not isinstance(objective, Class):
                assert each.score == pytest.approx(objective.value(pooling, n), rel=1e-5)
    assert len(served) >= 4
    together = pooling.explain(method, [served, served[:2]], **layer, **options)
    assert [len(each) for each in together] == [len(served), 2]


def test_objectives_for_variants_of_a_picture(net, batch):
    """Each picture of a batch has variants of its own, which its own objectives are asked of."""
    asked = batch.ask([[1, Unit("relu4_1", 3)], [None]])
    for n in range(2):
        pictures = batch.input[n] * np.array([1, 0.5, 0.2], np.float32)[:, None, None, None]
        forward = batch.run(pictures)
        values = asked.variant_values(n, forward)
        assert values.shape == (2, 3)
        variants = asked.variants(n, 3)
        gradients = variants.gradient(forward, "input")
        assert (variants.count, len(variants.each)) == (len(asked.each[n]), 3)
        assert gradients.shape == (len(asked.each[n]), 3, *batch.input.shape[1:])
        for s, objective in enumerate(asked.each[n]):
            for b, picture in enumerate(pictures):
                alone = net.forward(picture)
                assert values[s, b] == pytest.approx(objective.value(alone, 0), rel=1e-4)
                assert_close(gradients[s, b], alone.gradient(objective)[0], "network")
        assert not values[len(asked.each[n]) :].any()


BAD = {
    "a negative integer of NumPy": (IndexError, Unit("fc7", np.int64(-1)), "shape"),
    "no such unit": (IndexError, Unit("fc7", 100_000), "shape"),
    "a negative unit": (IndexError, Unit("fc7", -1), "shape"),
    "no such position": (IndexError, Unit("relu3_2", 0, (50, 0)), "shape"),
    "a position of a vector": (ValueError, Unit("fc7", 0, (0, 0)), "no positions"),
    "no such layer": (ValueError, Unit("relu9_9", 0), "no layer is called"),
    "no such class": (ValueError, Difference("class_3", "zebra"), "zebra"),
    "no such index": (IndexError, Class(99), "99"),
    "a gradient of another shape": (
        ValueError,
        Function("f", ("fc8",), lambda outputs: 0.0, lambda outputs: {"fc8": np.zeros(3)}),
        "shape",
    ),
    "a gradient of nothing": (
        ValueError,
        Function("f", ("fc8",), lambda outputs: 0.0, lambda outputs: {}),
        "names no layer",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_objectives_that_cannot_be_are_refused(name, tape):
    error, objective, message = BAD[name]
    with pytest.raises(error, match=message):
        tape.saliency(objective)


def test_arithmetic_with_other_things_is_refused():
    for attempt in (
        lambda: Class(3) + "cat",
        lambda: Class(3) + 5,
        lambda: Class(3) * Class(2),
        lambda: Class(3) - 1,
        lambda: Class(3) / "2",
    ):
        with pytest.raises(TypeError):
            attempt()


def test_sums_of_sums(tape):
    nested = Sum(((-1.0, Class(1) - Class(2)), (1.0, Probability(3) / 2)))
    assert nested.label(tape.labels) == "- class_1 + class_2 + 0.5 probability of class_3"
    assert sum([Class(1), Class(2)]).label(tape.labels) == "class_1 + class_2"


def test_the_probability_is_for_classes(tape):
    for objective in (Class(3), Unit("fc7", 0), Difference(1, 2)):
        with pytest.raises(ValueError, match=r"gradcam\.Probability"):
            tape.grad_cam(objective, on="probability")


def test_a_network_without_scores_has_objectives():
    """A feature extractor: nothing asks for its scores."""
    weight = np.ones((4, 3, 3, 3), np.float32)
    layers = [
        gradcam.Layer("conv", "conv", weights={"weight": weight}, attributes={"padding": 1}),
        gradcam.Layer("relu", "relu"),
    ]
    tape = gradcam.Network.from_layers(layers).forward(np.ones((3, 8, 8), np.float32))
    found = tape.saliency(Unit("relu", 2))
    assert found.score == pytest.approx(tape.activation("relu")[0, 2].mean())
    assert found.raw.any()


def test_a_layer_that_was_not_kept_is_computed_once(net, monkeypatch):
    tape = net.forward(np.zeros((3, 48, 80), np.float32))
    again = []
    run_core = tape.graph.run_core
    monkeypatch.setattr(
        tape.graph, "run_core", lambda *a, **k: again.append(a) or run_core(*a, **k), raising=True
    )
    found = tape.saliency([Unit("relu4_1", i) for i in range(5)])
    assert len(found) == 5 and len(again) == 1


@pytest.mark.parametrize(
    ("error", "make", "match"),
    [
        (ValueError, lambda: Unit("fc7", 0, (1, 1, 1)), "position must be"),
        (ValueError, lambda: Unit("fc7", 0, 3), "position must be"),
        (TypeError, lambda: Unit("fc7", 0, (1, 0.5)), "two integers"),
        (TypeError, lambda: Unit("fc7", 1.0), "index must be an integer"),
        (TypeError, lambda: Unit(3, 1), "layer must be a layer's name"),
        (TypeError, lambda: Sum((Class(3),)), "a term must be"),
        (TypeError, lambda: Sum(((1.0, "cat"),)), "an objective such as"),
        (TypeError, lambda: Function("f", "fc8", lambda o: 0.0, dict), "tuple of names"),
        (TypeError, lambda: Function("f", ("fc8",), 3, dict), "function must be a function"),
    ],
)
def test_constructors_refuse(error, make, match):
    with pytest.raises(error, match=match):
        make()


def test_a_function_names_only_its_layers(tape):
    bad = Function("f", ("fc8",), lambda o: 0.0, lambda o: {"fc7": np.zeros(64)})
    with pytest.raises(ValueError, match="not one of its layers"):
        tape.saliency(bad)


def test_sums_need_terms():
    with pytest.raises(ValueError, match="at least one"):
        Sum(())
    with pytest.raises(ValueError, match="top class"):
        Difference(None, 3)
