"""Infidelity and sensitivity against their definitions."""

from __future__ import annotations

import nets
import numpy as np
import pytest

from gradcam import Layer, Network, Probability, measures, pictograms
from gradcam.measures import _sensitivity as sensitivity
from gradcam.measures import _variants as variants


@pytest.fixture(scope="module")
def tape():
    """Of a small network without a preset."""
    rng = np.random.default_rng(1)
    network = Network.from_layers(
        [
            Layer(
                "conv",
                "conv",
                weights={"weight": nets.kernel(rng, 8, 3, 3, 3), "bias": nets.normal(rng, 8)},
                attributes={"padding": 1},
            ),
            Layer("relu", "relu"),
            Layer("pool", "max_pool", attributes={"kernel": 4}),
            Layer("flat", "flatten"),
            Layer("scores", "linear", weights={"weight": nets.kernel(rng, 5, 72)}),
            Layer("prob", "softmax"),
        ]
    )
    return network.forward(nets.normal(rng, 3, 12, 12), input="normalised")


def shifted(picture, random):
    return picture + 0.1 * random.standard_normal(picture.shape)


def replayed(tape, seed, count):
    """The copies that :func:`shifted` makes."""
    picture = tape.input[0].astype(np.float64)
    randoms = [np.random.default_rng((seed, n)) for n in range(count)]
    return np.float32([shifted(picture, random) for random in randoms])


def test_max_sensitivity_is_its_definition(tape):
    found = measures.max_sensitivity(tape, "saliency", 3, perturb=shifted, samples=7, seed=2)
    clean = tape.saliency(3).raw.astype(np.float64)
    changes = [
        np.linalg.norm(tape.run(copy[None]).backward("scores", seed, ["input"])[0][0, 0] - clean)
        for copy in replayed(tape, 2, 7)
        for seed in [np.eye(5, dtype=np.float32)[3][None, None]]
    ]
    assert found == pytest.approx(max(changes) / np.linalg.norm(clean), rel=1e-6)
    one = measures.max_sensitivity(tape, "saliency", 3, perturb=shifted, samples=7, seed=2, batch=1)
    assert one == pytest.approx(found, rel=1e-6)
    assert measures.max_sensitivity(tape, "saliency", radius=0) == pytest.approx(0, abs=1e-6)


def test_the_top_class_is_that_of_the_picture(tape):
    top = int(tape.scores[0].argmax())
    found = measures.max_sensitivity(tape, "grad_cam", radius=2.0, samples=5)
    assert found == measures.max_sensitivity(tape, "grad_cam", top, radius=2.0, samples=5)


def test_the_radius_is_a_share_of_black_to_white():
    """Green values of torchvision's preset are divided by 0.224."""
    tape = pictograms.model().forward(pictograms.scene(3).picture, size=64, record=False)
    made = sensitivity._uniform(0.02 * variants.unit(tape))
    change = made(tape.input[0], np.random.default_rng(0)) - tape.input[0]
    assert 0.99 * 0.02 / 0.224 < abs(change[1]).max() <= 1.0001 * 0.02 / 0.224


@pytest.mark.parametrize("normalise", [False, True])
def test_infidelity_of_slopes_is_its_definition(tape, normalise):
    explanation = tape.saliency(3)
    found = measures.infidelity(
        tape, explanation, perturbation=shifted, samples=9, seed=4, normalise=normalise
    )
    copies = replayed(tape, 4, 9)
    lost = tape.scores[0, 3] - tape.run(copies).scores[:, 3].astype(np.float64)
    predicted = ((tape.input[0] - copies.astype(np.float64)) * explanation.raw).sum((1, 2, 3))
    if normalise:
        predicted *= (predicted * lost).sum() / (predicted**2).sum()
    assert found == pytest.approx(((predicted - lost) ** 2).mean(), rel=1e-5)


def test_infidelity_of_contributions_and_maps_of_pixels(tape):
    """Squares: a map predicts the sum of its values inside."""
    options = {
        "samples": 6,
        "seed": 1,
        "square": 5,
        "baseline": 0.25,
        "normalise": False,
        "on": "probability",
    }
    x, values, lost = tape.input[0].astype(np.float64), [], []
    for n in range(6):
        random = np.random.default_rng((1, n))
        top, left = random.integers(0, 8), random.integers(0, 8)
        place = np.s_[:, top : top + 5, left : left + 5]
        copy = x.copy()
        copy[place] = 0.25
        forward = tape.run(copy[None])
        lost.append(tape.probabilities[0, 2] - float(forward.probabilities[0, 2]))
        values.append(place)
    probability = Probability(2)
    for explanation in (
        tape.integrated_gradients(probability),
        tape.occlusion(probability, patch=4, stride=2),
    ):
        raw = explanation.raw if explanation.raw.ndim == 3 else explanation.raw[None]
        predicted = [raw[place].sum(dtype=np.float64) for place in values]
        expected = np.mean(np.subtract(predicted, lost) ** 2)
        assert measures.infidelity(tape, explanation, **options) == pytest.approx(expected, 1e-4)
    found = measures.infidelity(tape, raw[0], 2, **options)
    assert found == pytest.approx(expected, rel=1e-4)


def test_infidelity_of_the_right_map_is_zero():
    """A linear network: input times weight is what each value adds to the score."""
    rng = np.random.default_rng(0)
    weight = nets.normal(rng, 4, 300)
    network = Network.from_layers(
        [Layer("flat", "flatten"), Layer("scores", "linear", weights={"weight": weight})],
        labels=list("abcd"),
    )
    tape = network.forward(nets.normal(rng, 3, 10, 10), input="normalised")
    for perturbation in ("square", "noise"):
        for name in ("saliency", "input_x_gradient"):
            explanation = tape.explain(name, "c")
            error = measures.infidelity(
                *(tape, explanation), perturbation=perturbation, normalise=False, baseline=0.0
            )
            assert 0 <= error < 1e-8
            nothing = measures.infidelity(
                *(tape, np.zeros((10, 10)), "c"), perturbation=perturbation, baseline=0.0
            )
            assert nothing > 0.1
    options = {"samples": 20, "baseline": 0.0}
    parts = measures.infidelity(tape, tape.saliency("c"), batch=7, **options)
    assert parts == pytest.approx(measures.infidelity(tape, tape.saliency("c"), **options))


def test_infidelity_is_of_what_was_explained(tape):
    """Contributions to a probability say nothing of the score."""
    options = {"samples": 5, "square": 5, "baseline": 0.0}
    chance = tape.integrated_gradients(Probability(2), baseline=0.0)
    found = measures.infidelity(tape, chance, **options)
    assert found == measures.infidelity(tape, chance, on="probability", **options)
    score = measures.infidelity(tape, chance, on="score", **options)
    assert found < score and score == measures.infidelity(tape, chance, 2, **options)


def test_the_baseline_must_be_known_where_it_is_used(tape):
    noise = {"perturbation": "noise", "samples": 2}
    assert measures.infidelity(tape, tape.saliency(), **noise) >= 0
    for map, options in ((tape.saliency(), {}), (tape.input_x_gradient(), noise)):
        with pytest.raises(ValueError, match="no input preset"):
            measures.infidelity(tape, map, **options)


def test_wrong_arguments(tape):
    for name in ("blur", None, np.zeros(2)):
        with pytest.raises(ValueError, match="perturbation: expected 'square' or 'noise'"):
            measures.infidelity(tape, tape.saliency(), perturbation=name)
    with pytest.raises(ValueError, match="at most the input, 12 x 12, got 13"):
        measures.infidelity(tape, tape.saliency(), square=13, baseline=0.0)
    for name in ("contributions", "normalise"):
        with pytest.raises(TypeError, match=f"{name}: expected True or False, got 'no'"):
            measures.infidelity(tape, tape.saliency(), baseline=0.0, **{name: "no"})
    with pytest.raises(TypeError, match="perturb: expected a function"):
        measures.max_sensitivity(tape, "saliency", perturb="square")
    with pytest.raises(ValueError, match=r"returned the shape \(12, 12\)"):
        measures.max_sensitivity(tape, "saliency", perturb=lambda picture, random: picture[0])
    with pytest.raises(ValueError, match="not finite"):
        measures.infidelity(
            *(tape, tape.saliency()), perturbation=lambda picture, random: picture * np.nan
        )
    with pytest.raises(ValueError, match="radius"):
        measures.max_sensitivity(tape, "saliency", radius=-1)
    with pytest.raises(ValueError, match="samples"):
        measures.max_sensitivity(tape, "saliency", samples=0)
    with pytest.raises(TypeError, match="that of one picture"):
        measures.max_sensitivity(tape.graph, "saliency")
