"""Rules of relevance: the core against the float64 twin, conservation, composites, methods."""

from __future__ import annotations

import nets
import numpy as np
import pytest
import reference
import reference_rules
import vggs
from helpers import assert_close
from passes import computed
from test_rules import joined, scaled

import gradcam
from gradcam import Function, Layer, Network, _core, rules
from gradcam._engine import relevance_pass
from gradcam._pictures import presets

RNG = np.random.default_rng(11)

# With a large epsilon no denominator is close to zero: there rounding errors have no bound.
RULES = {
    "epsilon": ("epsilon", {"epsilon": 0.25}),
    "epsilon without bias": ("epsilon", {"epsilon": 0.25, "bias": False}),
    "gamma": ("gamma", {"epsilon": 0.25, "gamma": 0.5}),
    "alpha_beta": ("alpha_beta", {"epsilon": 0.25, "alpha": 2.0, "beta": 1.0}),
    "z_plus": ("z_plus", {"epsilon": 0.25}),
    "flat": ("flat", {"epsilon": 0.25}),
    "z_box": ("z_box", {"epsilon": 0.25}),
}
# Signs of both kinds, all algorithms of convolutions, both layouts, sums, concatenations, gates.
CASES = [
    *("vgg", "residual", "inception", "squeeze-and-excitation", "mobile", "normalised"),
    *("linear-bottlenecks", "other-pools", "hidden-layer"),
]


def both(case):
    """The core's tape, which has kept all maps, and the twin's record with its decisions."""
    made = computed(case, _core.cpu_level())
    return made.tape, made.record


def top(record) -> int:
    """The last layer that relevance can start at."""
    last = len(record.network) - 1
    is_head = isinstance(record.network.nodes[last][0], (reference.Softmax, reference.LogSoftmax))
    return last - is_head


def with_bounds(record, rule):
    """The rule for each layer, with bounds of each channel where it needs some."""
    name, parameters = rule
    if name != "z_box":
        return rule
    channels = [record.outputs[i[0]].shape[1] if i else 1 for _, i in record.network.nodes]
    return [
        (name, parameters | {"low": -4 - np.arange(c) / 8, "high": np.full(c, 5.0)})
        for c in channels
    ]


def assert_rules_agree(case, names=RULES) -> None:
    """R of every layer, of two seeds."""
    tape, record = both(case)
    last = top(record)
    wanted = list(range(last + 1))
    seeds = nets.normal(np.random.default_rng(1), 2, *tape.activation(last).shape)
    for name in names:
        rule = with_bounds(record, RULES[name])
        expected = reference_rules.relevance(record, last, seeds, wanted, rule)
        for found, right in zip(tape.backward(last, seeds, wanted, rule), expected, strict=True):
            assert_close(found, right, "network")


@pytest.mark.parametrize("name", CASES)
def test_every_rule_against_the_twin(name, fast_level):
    assert_rules_agree(nets.by_name(name))


@pytest.mark.slow
@pytest.mark.parametrize("case", nets.SMALL_GRAPHS + nets.CONVOLUTIONS[::3], ids=nets.case_id)
def test_every_rule_of_every_level(case, fast_level):
    assert_rules_agree(case)


def random_conv(seed: int, out: int, channels: int):
    return nets.kernel(np.random.default_rng(seed), out, channels, 3, 3)


def positive_network(builder):
    """Positive maps below the last layer, so that excitation has no denominators near zero."""
    x = builder.relu(builder.conv(0, random_conv(1, 16, 3), np.full(16, 0.5), padding=1))
    x = builder.relu(builder.conv(x, random_conv(2, 24, 16), np.full(24, 0.5), padding=1))
    x = builder.max_pool(x, 2)
    x = builder.flatten(builder.average_pool(x, 2))
    return builder.linear(x, nets.kernel(np.random.default_rng(3), 5, 24 * 4 * 4))


@pytest.mark.parametrize("name", ["excitation", "excitation_dual"])
def test_excitation_against_the_twin(name):
    core, twin = _core.NetworkBuilder(3), reference.Builder(3)
    last = positive_network(core)
    positive_network(twin)
    x = np.abs(nets.normal(RNG, 2, 3, 16, 16))
    tape = core.build().forward(x, range(last + 1))
    record = twin.build().forward(x)
    seeds = np.abs(nets.normal(RNG, 2, 2, 5))
    wanted = [0, 2, 5, 7]
    found = tape.backward(last, seeds, wanted, name)
    expected = reference_rules.relevance(record, last, seeds, wanted, (name, {}))
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, "network")


def sparse_network(builder):
    """3x3 convolutions of many channels; where the picture is zero, so are the maps below."""
    x = builder.relu(builder.conv(0, random_conv(1, 16, 3), np.full(16, -0.5), padding=1))
    for seed in (2, 3):
        x = builder.relu(builder.conv(x, random_conv(seed, 16, 16), np.full(16, -0.1), padding=1))
    x = builder.flatten(builder.average_pool(x, 2))
    return builder.linear(x, np.abs(nets.kernel(np.random.default_rng(4), 5, 16 * 10 * 11)))


@pytest.mark.parametrize("name", ["excitation", "z_plus", "alpha_beta", "gamma"])
def test_sparse_maps_against_the_twin(name):
    """z is exactly 0 where nothing contributes, also beside large values."""
    core, twin = _core.NetworkBuilder(3), reference.Builder(3)
    last = sparse_network(core)
    sparse_network(twin)
    x = np.zeros((1, 3, 20, 22), np.float32)
    x[:, :, 6:13, 7:15] = nets.normal(np.random.default_rng(5), 1, 3, 7, 8)
    tape, record = core.build().forward(x, range(last + 1)), twin.build().forward(x)
    assert (tape.activation(4) == 0).mean() > 0.3
    rule = (name, {} if name == "excitation" else {"epsilon": 1e-6})
    # Equal parts at every unit of the last map, as a rule of the classifier may give it.
    seeds = np.full((1, *tape.activation(6).shape), 1e-3, np.float32)
    for start, given in ((last, np.eye(5, dtype=np.float32)[:1, None]), (6, seeds)):
        found = tape.backward(start, given, [0, 2, 4], rule)
        expected = reference_rules.relevance(record, start, given, [0, 2, 4], rule)
        for one, other in zip(found, expected, strict=True):
            assert np.abs(one - other).max() <= 1e-5 * np.abs(other).max()
        if name == "excitation":
            assert min(one.min() for one in found[1:]) >= 0


@pytest.mark.parametrize("storage", ["float16", "bfloat16"])
def test_parts_of_weights_of_16_bits(storage):
    weight = nets.kernel(RNG, 9, 40).astype(np.float16)
    bits = (
        weight
        if storage == "float16"
        else (weight.astype(np.float32).view("u4") >> 16).astype("u2")
    )
    values = weight.astype(np.float32)
    if storage == "bfloat16":
        values = (bits.astype("u4") << 16).view(np.float32)
    core, twin = _core.NetworkBuilder(40), reference.Builder(40)
    core.linear(core.flatten(0), bits, dtype=storage)
    twin.linear(twin.flatten(0), values)
    x = nets.normal(RNG, 3, 40, 1, 1)
    tape, record = core.build().forward(x, [0, 1, 2]), twin.build().forward(x)
    seeds = nets.normal(RNG, 2, 3, 9)
    for rule in (RULES["gamma"], RULES["alpha_beta"], RULES["flat"]):
        (found,) = tape.backward(2, seeds, [0], rule)
        assert_close(found, reference_rules.relevance(record, 2, seeds, [0], rule)[0], "sum")


def test_a_rule_for_each_layer():
    """Derivatives and relevance in one pass, and rectifiers with different masks."""
    case = nets.by_name("vgg")
    tape, record = both(case)
    last = top(record)
    names = ["gradient", "guided", "deconvnet"]
    seeds = nets.normal(RNG, 1, *tape.activation(last).shape)
    mixed = [(names[i % 3], {}) for i in range(len(record.network))]
    halves = [RULES["gamma"] if i > last // 2 else ("guided", {}) for i in range(len(mixed))]
    for each in (mixed, halves):
        (found,) = tape.backward(last, seeds, [0], each)
        (expected,) = reference_rules.relevance(record, last, seeds, [0], each)
        assert_close(found, expected, "network")


def test_the_same_bits_for_all_threads_and_batches():
    case = nets.by_name("inception")
    tape, record = both(case)
    last, x = top(record), case.pictures()
    seeds = nets.normal(RNG, 3, *tape.activation(last).shape)
    alone = case.build(_core.NetworkBuilder)
    one = alone.forward(x[1:2], range(len(alone)))
    threads = _core.get_num_threads()
    for rule in RULES.values():
        rule = with_bounds(record, rule)
        (all_of_them,) = tape.backward(last, seeds, [0], rule)
        try:
            _core.set_num_threads(1)
            np.testing.assert_array_equal(tape.backward(last, seeds, [0], rule)[0], all_of_them)
        finally:
            _core.set_num_threads(threads)
        (of_one,) = one.backward(last, seeds[1:2, 1:2], [0], rule)
        np.testing.assert_array_equal(of_one[0, 0], all_of_them[1, 1])


# --- networks ---


def with_a_branch() -> list[Layer]:
    """A sum of a map and a convolution of it, with so many channels that each unit is excited."""

    def conv(name, source, channels):
        weights = {"weight": nets.kernel(RNG, 24, channels, 3, 3), "bias": nets.normal(RNG, 24)}
        return Layer(name, "conv", (source,), weights, {"padding": 1})

    return [
        conv("stem", "input", 3),
        Layer("relu1", "relu"),
        conv("branch", "relu1", 24),
        Layer("sum", "add", ("branch", "relu1")),
        Layer("relu2", "relu"),
        Layer("mean", "global_average_pool"),
        Layer("flat", "flatten"),
        Layer("scores", "linear", weights={"weight": nets.kernel(RNG, 5, 24)}),
        Layer("prob", "softmax"),
    ]


def network_of(kind: str) -> Network:
    if kind == "chain":
        return gradcam.vgg11(vggs.tensors("vgg11"))
    return Network.from_layers({"residual": with_a_branch, "concatenating": joined}[kind]())


SHAPES = {"chain": (2, 3, 32, 64), "residual": (2, 3, 7, 9), "concatenating": (2, 3, 18, 26)}


@pytest.fixture(scope="module", params=SHAPES)
def tape(request):
    x = np.abs(np.random.default_rng(0).standard_normal(SHAPES[request.param]))
    return network_of(request.param).forward(x)


@pytest.mark.parametrize(
    "rule",
    [
        rules.Excitation(),
        rules.ZPlus(0, bias=False),
        rules.Gamma(1.0, 0, bias=False),
        rules.EpsilonPlus(0, bias=False),
        rules.Composite(rules.ZPlus(0, bias=False), first=rules.Flat(0)),
        rules.Composite(rules.ZPlus(0, bias=False), first=rules.ZBox(-5, 5, 0)),
    ],
    ids=["excitation", "z_plus", "gamma", "epsilon_plus", "flat first", "z_box first"],
)
def test_relevance_is_conserved(rule, tape):
    """Without biases and epsilon, down to the input: on a chain, a sum and a concatenation."""
    relevance = np.abs(tape.scores)[None] + 0.1
    first = next(name for name, layer in tape.graph.layers.items() if layer.op == "relu")
    (at_input, at_first) = tape.backward(tape.score_layer, relevance, ["input", first], rule)
    total = relevance.sum((0, 2))
    lost = 1e-3 if isinstance(rule, rules.Gamma) else 2e-4
    np.testing.assert_allclose(at_first.sum((0, 2, 3, 4), dtype=np.float64), total, rtol=lost)
    np.testing.assert_allclose(at_input.sum((0, 2, 3, 4), dtype=np.float64), total, rtol=lost)


# --- methods ---

CLASS = 3
UNIT = np.eye(5)[0]


@pytest.fixture(scope="module")
def chain():
    """A tape of a small VGG-11, the twin's record with its decisions, and the layers' numbers."""
    tensors = vggs.tensors("vgg11")
    x = np.random.default_rng(2).standard_normal((2, 3, 32, 48)).astype(np.float32)
    network = gradcam.vgg11(tensors)
    tape = network.forward(x)
    twin, numbers = vggs.twin("vgg11", tensors)
    names = {number: name for name, number in numbers.items()}
    decisions = {number: tape.activation(names[number]) for number in twin.deciding()}
    return tape, twin.forward(x, decisions), numbers


def by_layer(record, conv, linear, usual, first=None):
    """A rule for each node."""
    found = []
    for node, _ in record.network.nodes:
        rule = {reference.Conv: conv, reference.Linear: linear}.get(type(node), usual)
        if isinstance(node, reference.Conv) and first is not None:
            rule, first = first, None
        found.append(rule)
    return found


EPSILON = ("epsilon", {"epsilon": 0.25})


@pytest.mark.parametrize(
    ("rule", "conv", "first"),
    [
        (rules.EpsilonPlus(0.25), ("z_plus", {}), None),
        (rules.EpsilonPlusFlat(0.25), ("z_plus", {}), ("flat", {})),
        (rules.EpsilonAlpha2Beta1(0.25), ("alpha_beta", {}), None),
        (rules.EpsilonAlpha2Beta1Flat(0.25), ("alpha_beta", {}), ("flat", {})),
        (
            rules.EpsilonGammaBox(-4, (3, 4, 5), gamma=0.5, epsilon=0.25),
            ("gamma", {"gamma": 0.5}),
            ("z_box", {"low": np.full(3, -4.0), "high": np.array([3.0, 4, 5])}),
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_lrp_against_the_twin(rule, conv, first, chain):
    tape, record, numbers = chain
    score = numbers["fc8"]
    seeds = reference.class_seeds(record, score, [CLASS, CLASS]) * record.outputs[score]
    each = by_layer(record, conv, EPSILON, ("epsilon", {}), first)
    (expected,) = reference_rules.relevance(record, score, seeds, [0], each)
    found = np.stack([one.raw for one in tape.lrp(CLASS, rule=rule)])
    assert np.abs(found - expected[0]).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("layer", ["relu3_2", "pool4", "relu5_2"])
def test_excitation_backprop_against_the_twin(layer, chain):
    tape, record, numbers = chain
    score, at = numbers["fc8"], numbers[layer]
    seeds = reference.class_seeds(record, score, [CLASS, CLASS])

    def carried(start, seeds, end, name):
        return reference_rules.relevance(record, start, seeds, [end], (name, {}))[0]

    maps = carried(score, seeds, at, "excitation")[0].sum(1)
    found = np.stack([one.raw for one in tape.excitation_backprop(CLASS, layer=layer)])
    assert np.abs(found - maps).max() <= 1e-5 * np.abs(maps).max()
    np.testing.assert_allclose(found.sum((1, 2)), 1, rtol=1e-4)
    below = numbers["drop7"]
    unit, dual = (carried(score, seeds, below, name) for name in ("excitation", "excitation_dual"))
    contrast = unit / unit.sum(-1, keepdims=True) - dual / dual.sum(-1, keepdims=True)
    maps = carried(below, contrast, at, "excitation")[0].sum(1)
    of_unit = carried(below, unit, at, "excitation")[0].sum(1)  # a difference is smaller
    found = np.stack([one.raw for one in tape.contrastive_excitation_backprop(CLASS, layer=layer)])
    assert np.abs(found - maps).max() <= 1e-5 * np.abs(of_unit).max()


def test_the_sum_of_lrp_is_the_score(chain):
    tape, *_ = chain
    for one in tape.lrp(CLASS, rule=rules.EpsilonPlus(0, bias=False)):
        assert one.raw.sum(dtype=np.float64) == pytest.approx(one.score, rel=1e-3)
        assert not one.notes


def test_a_loss_of_relevance_is_noted(chain):
    tape, *_ = chain
    both = tape.lrp(CLASS, rule=rules.EpsilonPlus(10.0))
    assert "differs from the score by at most 99.9 %" in both[0].notes[0]


def test_the_note_of_one_explanation_gives_its_numbers():
    tape = network_of("residual").forward(np.ones((3, 7, 9), np.float32))
    one = tape.lrp(CLASS, rule=rules.Epsilon(10.0))
    assert f"adds up to {one.raw.sum():.3g}, the score is {one.score:.3g}" in one.notes[0]
    score = Function("f", ("scores",), lambda o: o["scores"][0] + 5, lambda o: {"scores": UNIT})
    notes = tape.lrp(score, rule=rules.Epsilon(0, bias=False)).notes
    assert notes[0].startswith("The objective is no linear function") and len(notes) == 1


def test_contrasts_of_several_pictures_and_classes(chain):
    """Padding adds no note; a weight is a factor; differences are refused."""
    tape, *_ = chain
    alone = tape.contrastive_excitation_backprop(CLASS, layer="pool4")
    ragged = tape.contrastive_excitation_backprop([[1, CLASS], [CLASS]], layer="pool4")
    np.testing.assert_array_equal(ragged[1][0].raw, alone[1].raw)
    assert ragged[1][0].notes == alone[1].notes
    half = tape.contrastive_excitation_backprop(0.5 * gradcam.Class(CLASS), layer="pool4")
    np.testing.assert_allclose(half[0].raw, alone[0].raw / 2, atol=1e-6 * alone[0].raw.max())
    for target in (gradcam.Difference(1, 2), -gradcam.Class(1)):
        with pytest.raises(ValueError, match="c-MWP explains one class"):
            tape.contrastive_excitation_backprop(target, layer="pool4")


def test_relevance_that_is_too_large_is_refused():
    """Contributions that cancel, in one layer after another, are divided by their small sums."""
    weight = np.float32([[1, -0.9999], [1, -0.9997]])[:, :, None, None]
    weights = {"weight": weight, "bias": np.ones(2, np.float32)}
    layers = [gradcam.Layer(f"conv{n}", "conv", weights=weights) for n in range(14)]
    layers.append(gradcam.Layer("scores", "flatten"))
    network = gradcam.Network.from_layers(layers, channels=2, labels=["a", "b"])
    tape = network.forward(np.ones((2, 1, 1), np.float32))
    with pytest.raises(ValueError, match="larger epsilon"):
        tape.lrp(0, rule=rules.Epsilon(0.0, bias=False))


def test_several_objectives_and_units(chain):
    tape, *_ = chain
    several = tape.lrp([[1, 2], [2, 4]])
    np.testing.assert_array_equal(several[1][0].raw, tape.lrp(2)[1].raw)
    unit = gradcam.Unit("relu4_2", 5)
    for one, value in zip(tape.lrp(unit), tape.ask(unit).values(tape)[0], strict=True):
        assert np.isfinite(one.raw).all() and one.raw.any() == (value != 0)


def test_pictures_in_groups_give_the_same(chain, monkeypatch):
    """Memory is bounded: a pass keeps the maps of some pictures only."""
    tape, *_ = chain
    whole = [one.raw for one in tape.lrp(CLASS)]
    again = tape.run(tape.input)
    monkeypatch.setattr(relevance_pass, "_BYTES", 1)
    assert len(relevance_pass.pictures_at_a_time(2, [(3, 4)])) == 2
    relevance = tape.ask(CLASS).seeds(tape)[tape.score_layer] * tape.scores
    (parts,) = again.backward(tape.score_layer, relevance, ["input"], "epsilon_plus")
    np.testing.assert_array_equal(parts[0], whole)
    assert again._kept is None


def test_kept_maps_serve_the_next_rule(chain):
    tape, *_ = chain
    tape.lrp(CLASS)
    kept = tape._kept
    tape.lrp(CLASS, rule="gamma")
    tape.excitation_backprop(CLASS, layer="relu5_2")
    assert kept is not None and tape._kept is kept


# --- composites and errors ---


def test_rules_of_a_composite():
    network = network_of("concatenating")
    flat, box, gamma, plus = rules.Flat(), rules.ZBox(0, 1), rules.Gamma(), rules.ZPlus()
    composite = rules.Composite(plus, {"conv": gamma}, flat, {"right": box})
    found = composite.rules(network.layers, network.names)
    assert found["stem"] is flat and found["left"] is gamma and found["right"] is box
    assert found["scores"] is plus and found["mean"] is plus
    with pytest.raises(ValueError, match="another name of a layer"):
        rules.Composite(layers={"a": plus, "b": box}).rules({}, lambda name: ("same", "a", "b"))
    with pytest.raises(ValueError, match="no layer is called 'none'"):
        rules.Composite(layers={"none": plus}).rules(network.layers, network.names)
    with pytest.raises(TypeError, match="expected rules such as"):
        rules.Composite("z_plus")


def test_the_bounds_of_z_box():
    black, white = presets.find("torchvision").bounds
    found = rules.ZBox().parameters(len(black), (black, white))
    np.testing.assert_allclose(found["low"], black)
    np.testing.assert_allclose(found["high"], white)
    assert rules.ZBox(-1, 2).parameters(3, None)["high"].tolist() == [2, 2, 2]
    for box, match in (
        (rules.ZBox(), "give low, the lowest value"),
        (rules.ZBox(2, 1), "low must be below high"),
        (rules.ZBox([0, 1], 5), "reads 3 channels"),
    ):
        with pytest.raises(ValueError, match=match):
            box.parameters(3, None)


def test_bounds_are_known_for_the_input_alone():
    """Flattened, each channel's bounds are those of all its positions."""
    weight = {"weight": nets.kernel(RNG, 5, 3 * 4)}
    last = [Layer("flat", "flatten"), Layer("scores", "linear", weights=weight)]
    scaled_first = Layer("scale", "affine", weights={"scale": np.ones(3), "shift": np.ones(3)})
    make = {"preset": "torchvision"}
    graph = Network.from_layers(last, **make)
    given = relevance_pass.core_rules(graph, rules.ZBox(), (2, 2))[-1][1]
    np.testing.assert_allclose(
        given["high"], np.repeat(presets.find("torchvision").bounds[1], 4), rtol=1e-6
    )
    graph = Network.from_layers([scaled_first, *last], **make)
    with pytest.raises(ValueError, match="does not read the input itself"):
        relevance_pass.core_rules(graph, rules.ZBox(), (2, 2))


def test_a_sigmoid_inside_the_network_is_no_head():
    layers = [
        Layer("stem", "conv", weights={"weight": nets.kernel(RNG, 8, 3, 3, 3)}),
        Layer("gate", "sigmoid"),
        Layer("mean", "global_average_pool"),
        Layer("flat", "flatten"),
        Layer("scores", "linear", weights={"weight": nets.kernel(RNG, 5, 8)}),
    ]
    tape = Network.from_layers(layers).forward(RNG.standard_normal((3, 7, 9)))
    assert tape.lrp(gradcam.Unit("gate", 1)).raw.any()


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: rules.Epsilon(True), "must be a number"),
        (lambda: rules.Epsilon("1"), "must be a number"),
        (lambda: rules.Epsilon(bias=1), "must be True or False"),
        (lambda: rules.LayerRule(), "kind of all rules"),
        (lambda: rules.Composite(ops=["conv"]), "must be a dict"),
    ],
)
def test_parameters_of_other_types_are_refused(make, match):
    with pytest.raises(TypeError, match=match):
        make()


def test_parameters_are_plain_numbers():
    assert type(rules.Epsilon(np.float32(0.5)).epsilon) is float
    assert type(rules.AlphaBeta(2, 1).alpha) is float


def test_what_is_refused(tape):
    for make, match in (
        (lambda: rules.Epsilon(-1.0), "epsilon is 0 or more"),
        (lambda: rules.Gamma(float("nan")), "gamma is 0 or more"),
        (lambda: rules.AlphaBeta(2.0, 0.5), "alpha - beta must be 1"),
        (lambda: tape.lrp(0, rule="guided"), "lrp: rule must be one of epsilon_plus"),
        (lambda: tape.lrp(0, rule=["gamma"]), "lrp: rule must be one of epsilon_plus"),
        (lambda: rules.Epsilon(1e39), "at most the largest float32"),
        (lambda: rules.ZBox("a", 1), "finite number"),
        (lambda: rules.ZBox(0, float("inf")), "finite number"),
        (lambda: tape.lrp(0, on="probability"), "explain the score"),
        (lambda: tape.excitation_backprop(0, layer=tape.score_layer), "has no spatial map"),
        (
            lambda: tape.gradient(0, rule=rules.Composite(ops={"Conv2d": rules.Flat()})),
            "unknown op",
        ),
        (lambda: tape.backward(tape.score_layer, np.ones((1, 9, 9)), [], "flat"), "seeds must"),
    ):
        with pytest.raises(ValueError, match=match):
            make()


def test_what_is_assumed_is_noted():
    tape = Network.from_layers(scaled()).forward(np.abs(RNG.standard_normal((1, 3, 7, 9))))
    assert any("all relevance went to the map" in note for note in tape.lrp(0)[0].notes)
    layers = [
        Layer("stem", "conv", weights={"weight": nets.kernel(RNG, 8, 3, 3, 3)}),
        Layer("norm", "local_response_norm", attributes={"size": 3}),
        Layer("flat", "flatten"),
        Layer("scores", "linear", weights={"weight": nets.kernel(RNG, 5, 8 * 35)}),
    ]
    tape = Network.from_layers(layers).forward(RNG.standard_normal((1, 3, 7, 9)))
    assert any("local_response_norm" in note for note in tape.lrp(0)[0].notes)


def test_errors_of_the_core():
    tape = nets.by_name("vgg").build(_core.NetworkBuilder).forward(nets.by_name("vgg").pictures())
    last = max(tape.kept)
    seeds = np.zeros((1, 2, *tape.shape(last)), np.float32)
    for rule, error, match in (
        ("lrp", ValueError, "the rules are gradient, guided, deconvnet, epsilon"),
        (("z_plus", {"alpha": "2"}), TypeError, "must be real number"),
        (("z_plus", {"delta": 2.0}), TypeError, "delta"),
        (("z_box", {"low": [0.0], "high": [1.0, 2.0]}), ValueError, "1 lower and 2 upper"),
        (["z_plus"] * 2, ValueError, "one rule, or one for each"),
        (3, TypeError, "by its name"),
    ):
        with pytest.raises(error, match=match):
            tape.backward(last, seeds, [0], rule)
