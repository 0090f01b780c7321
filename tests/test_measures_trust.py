"""Trust: ratings of two networks by their maps alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import vggs
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

import gradcam
from gradcam import measures
from gradcam.measures._trust_result import rate

pytestmark = pytest.mark.filterwarnings("ignore::gradcam.FlatMapWarning")


@pytest.fixture(scope="module")
def networks():
    preset = gradcam.Preset("small", size=32)
    return [
        gradcam.vgg11(vggs.tensors("vgg11", seed=seed), preset=preset, name=f"n{seed}")
        for seed in (0, 1)
    ]


@pytest.fixture(scope="module")
def cases(networks):
    """Pictures whose right class is the first network's answer, but for the last."""
    rng = np.random.default_rng(1)
    pictures = list(rng.integers(0, 256, (24, 30, 40, 3), np.uint8))
    top = [int(networks[0].forward(each).scores[0].argmax()) for each in pictures]
    other = [int(networks[1].forward(each).scores[0].argmax()) for each in pictures]
    same = [n for n in range(24) if top[n] == other[n]]
    rest = [n for n in range(24) if top[n] != other[n]]
    assert same and rest
    made = [(pictures[n], top[n], (2, 3, 20, 25)) for n in [*same, *rest[:2]]]
    return [*made, (pictures[0], (top[0] + 1) % 10, (0, 0, 9, 9))]


def test_ratings():
    first = np.array([1.0, 1.2, 1.6, 1.0, 1.0, 0.0, 0.3, 0.0])
    second = np.array([1.0, 1.0, 1.0, 1.2, 1.6, 0.0, 0.0, 0.3])
    expected = [0, 1, 2, -1, -2, 0, 2, -2]
    np.testing.assert_array_equal(rate(first, second, 1.1, 1.5), expected)


def test_values_are_those_of_each_map(networks, cases):
    found = measures.trust(*networks, cases, ["grad_cam", "saliency"], batch=3)
    right = [
        n
        for n, (picture, label, _) in enumerate(cases)
        if all(int(each.forward(picture).scores[0].argmax()) == label for each in networks)
    ]
    assert found.right.tolist() == right and found.cases == len(cases)
    for row, method in enumerate(found.methods):
        for column, network in enumerate(networks):
            picture, label, box = cases[right[-1]]
            expected = measures.energy_inside(network.forward(picture).explain(method, label), box)
            expected = np.nan_to_num(expected)
            assert found.values[row, column, -1] == pytest.approx(expected, abs=1e-5)
    accuracy = [
        np.mean([int(each.forward(p).scores[0].argmax()) == label for p, label, _ in cases])
        for each in networks
    ]
    assert found.accuracies == pytest.approx(accuracy)
    np.testing.assert_allclose(found.preferred.sum(1), 1)
    np.testing.assert_allclose([each.mean for each in found.means], found.ratings.mean(1))


def test_swapped_networks_have_the_opposite_ratings(networks, cases):
    one = measures.trust(*networks, cases, ["grad_cam"])
    other = measures.trust(*networks[::-1], cases, ["grad_cam"])
    np.testing.assert_array_equal(one.ratings, -other.ratings)
    assert one.agrees == other.agrees


def test_an_observer_that_knows_the_answer_agrees_with_accuracy(networks, cases):
    """The first network is the more accurate one; the observer always prefers one of them."""
    scores = {"good": 2.0, "bad": 1.0}
    better = networks[0].forward(cases[0][0]).scores[0]

    def observe(explanation, region):
        is_first = any(np.isclose(explanation.score, score) for score in first_scores)
        return scores[preferred if is_first else ("bad" if preferred == "good" else "good")]

    first_scores = [float(networks[0].forward(p).scores[0, label]) for p, label, _ in cases]
    assert better.size == 10
    preferred = "good"
    found = measures.trust(*networks, cases, ["saliency"], observer=observe)
    assert (found.ratings == 2).all() and found.agrees == (True,)
    assert "is favoured by Simonyan saliency (+2.00)" in found.finding
    preferred = "bad"
    found = measures.trust(*networks, cases, ["saliency"], observer=observe)
    assert (found.ratings == -2).all() and found.agrees == (False,)
    assert "no method's maps favour" in found.finding


def test_the_figure(networks, cases):
    found = measures.trust(*networks, cases)
    assert found.methods == ("guided_backprop", "guided_grad_cam", "grad_cam")
    figure = found.plot()
    FigureCanvasAgg(figure).draw()
    labels = [text.get_text() for ax in figure.axes for text in ax.get_yticklabels()]
    assert labels[:3] == ["Guided backprop", "Guided Grad-CAM", "Grad-CAM"]


def test_other_types_are_refused(networks, cases):
    with pytest.raises(TypeError, match="second: expected a Network, got 'x'"):
        measures.trust(networks[0], "x", cases)
    with pytest.raises(TypeError, match="methods: expected a list of methods, got 'grad_cam'"):
        measures.trust(*networks, cases, "grad_cam")
    with pytest.raises(TypeError, match=r"cases: expected a list of \(picture, class, region\)"):
        measures.trust(*networks, None)
    with pytest.raises(TypeError, match="observer: expected a function"):
        measures.trust(*networks, cases, observer=3)


def trust_of(accuracies, names=("one", "other")):
    """Two methods, by which the first network is always preferred."""
    values = np.tile(np.array([2.0, 1.0])[:, None], (2, 1, 5))
    titles = ("Grad-CAM", "LRP")
    return measures.Trust(names, accuracies, 8, np.arange(5), titles, titles, values, 1.1, 1.5)


def words(figure):
    FigureCanvasAgg(figure).draw()
    found = [text.get_text() for text in figure.texts]
    for ax in figure.axes:
        legend = ax.get_legend()
        found += [each.get_text() for each in legend.get_texts()] if legend else []
    return " ".join(" ".join(found).split())


def test_networks_of_equal_accuracy_or_name():
    both = "Both networks are right in 5 of 8 cases"
    equal = trust_of((0.75, 0.75))
    assert equal.agrees == (False, False)
    assert equal.finding == f"{both}. They are equally accurate, so that there is no better one"
    named = "the more accurate one, is favoured by Grad-CAM (+2.00) and LRP (+2.00)"
    assert trust_of((0.8, 0.7)).finding == f"{both}: there, one, {named}"
    same = trust_of((0.8, 0.7), ("net", "net"))
    assert same.names == ("net (first)", "net (second)")
    assert same.finding == f"{both}: there, net (first), {named}"
    told = words(same.plot())
    assert "Right answers: net (first) 80.0 %, net (second) 70.0 %" in told
    assert "net (first) neither net (second)" in told


@pytest.mark.parametrize("methods", [1, 2, 7])
def test_the_title_lies_close_above_the_panels(methods):
    found = trust_of((0.8, 0.7))
    several = {"methods": ("a method",) * methods, "titles": ("A method",) * methods}
    figure = replace(found, values=found.values[:1].repeat(methods, 0), **several).plot()
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    title = figure.texts[0].get_window_extent(renderer)
    legend = figure.axes[0].get_legend().get_window_extent(renderer)
    assert 0 < title.y0 - legend.y1 < 0.1 * figure.get_figwidth() * figure.dpi


def test_a_region_that_does_not_fit_is_found_before_any_pass(networks, cases, monkeypatch):
    picture, label, _ = cases[0]
    wrong = (picture, label, np.ones((40, 30), bool))
    with monkeypatch.context() as patch:
        patch.setattr(gradcam.Network, "forward", None)
        with pytest.raises(ValueError, match="case 1: region: the mask is of 40 x 30 pixels"):
            measures.trust(*networks, [cases[0], wrong])
        with pytest.raises(ValueError, match="case 1: none of the 10 classes is called 'loo'"):
            measures.trust(*networks, [cases[0], (picture, "loo", (0, 0, 9, 9))])
    opened = Image.fromarray(picture)  # its size is known when it is read
    with pytest.raises(ValueError, match="case 1: region: the mask is of 40 x 30 pixels"):
        measures.trust(*networks, [cases[0], (opened, *wrong[1:])])


def test_what_is_refused(networks, cases):
    with pytest.raises(ValueError, match="at least one"):
        measures.trust(*networks, [])
    with pytest.raises(ValueError, match="right in none of 1"):
        measures.trust(*networks, cases[-1:])
    with pytest.raises(TypeError, match=r"expected \(picture, class, region\)"):
        measures.trust(*networks, [cases[0][0]])
    with pytest.raises(ValueError, match="the box"):
        measures.trust(*networks, [(*cases[0][:2], (5, 5, 5, 5))])
    with pytest.raises(ValueError, match="1 < slightly <= clearly"):
        measures.trust(*networks, cases, slightly=2, clearly=1.5)
    with pytest.raises(ValueError, match="0 or more"):
        measures.trust(*networks, cases, observer=lambda explanation, region: -1.0)


@pytest.mark.slow
def test_the_built_in_networks():
    """Where both are right, the maps of Grad-CAM tell the better one."""
    scenes = [gradcam.pictograms.scene(seed, objects=1) for seed in range(60)]
    cases = [(each.picture, each.objects[0].label, each.objects[0].mask) for each in scenes]
    strong, weak = gradcam.pictograms.model(), gradcam.pictograms.weak_model()
    found = measures.trust(strong, weak, cases)
    assert found.accuracies[0] > 0.9 > found.accuracies[1] and len(found.right) >= 20
    assert found.agrees[found.methods.index("guided_grad_cam")]
