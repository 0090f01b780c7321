"""The report on one map: its numbers by other ways of computing them, its words and its figure."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import vggs
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

import gradcam
from gradcam import Class, Difference, Explanation, Layer, Network, Probability, Unit, measures
from gradcam.measures import _report, _report_words
from gradcam.measures._given import map_at_input

STEPS = 4


@pytest.fixture(scope="module")
def tape():
    network = gradcam.vgg11(vggs.tensors("vgg11"))
    return network.forward(np.random.default_rng(1).standard_normal((3, 112, 56)))


@pytest.fixture(scope="module")
def report(tape):
    return tape.grad_cam(3, layer="relu4_2").report(steps=STEPS, seed=5)


def ranks(values):
    """Ranks, equal values with the mean of theirs, by counting."""
    flat = np.asarray(values, np.float64).ravel()
    below = (flat[:, None] > flat).sum(1)
    return below + ((flat[:, None] == flat).sum(1) + 1) / 2


def correlation(one, other):
    return np.corrcoef(ranks(one), ranks(other))[0, 1]


def words(figure):
    FigureCanvasAgg(figure).draw()
    found = [text.get_text() for text in figure.texts]
    for ax in figure.axes:
        found += [ax.get_title(), *(text.get_text() for text in ax.texts)]
    return "\n".join(found)


def sobel(grey):
    """By its definition, pixel by pixel."""
    weights = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]]) / 4
    padded = np.pad(grey, 1, mode="edge")
    found = np.empty_like(grey)
    for y, x in np.ndindex(grey.shape):
        window = padded[y : y + 3, x : x + 3]
        both = (window * weights).sum(), (window * weights.T).sum()
        found[y, x] = np.sqrt((both[0] ** 2 + both[1] ** 2) / 2)
    return found


def test_edges(tape):
    expected = sobel(np.float64(tape.input[0]).mean(0))
    np.testing.assert_allclose(measures.edges(tape), expected, atol=1e-6)


def test_the_correlation_with_random_weights(tape, report):
    found = []
    for seed in (5, 6, 7):
        network = measures.randomised(tape.graph, seed=seed)
        random = network.forward(tape.input[0], input="normalised").grad_cam(3, layer="relu4_2")
        found.append(correlation(report.explanation.evidence, random.evidence))
    check = report.checks[0]
    assert check.name == "weights" and check.limit == 0.5
    assert check.value == pytest.approx(np.mean(found), abs=1e-6)


def test_the_correlation_with_edges_and_another_class(tape, report):
    evidence = report.explanation.evidence
    assert report.edges.shape == evidence.shape
    block = tape.size[0] // evidence.shape[0]
    edges = measures.edges(tape).reshape(evidence.shape[0], block, evidence.shape[1], block)
    np.testing.assert_allclose(report.edges, edges.mean((1, 3)), rtol=1e-5)
    assert report.checks[1].value == pytest.approx(correlation(evidence, report.edges), abs=1e-6)
    order = [index for index in np.argsort(-tape.scores[0]) if index != 3]
    assert [each.target.index for each in report.others] == [order[0], order[len(order) // 2]]
    lowest = min(correlation(evidence, each.evidence) for each in report.others)
    assert report.checks[2].value == pytest.approx(lowest, abs=1e-6)
    assert report.nearest_other.words in report.checks[2].finding


def test_the_deletion(tape, report):
    """Fine maps are averaged to 14 x 14 values first."""

    def area(values):
        order = gradcam._core.resize(np.float32(values), tape.size, "half_pixel")
        return measures.deletion(tape, order, 3, on="score", steps=STEPS, seed=5).auc

    assert report.deletion.on == "score" and len(report.deletion.values) == STEPS + 1
    assert report.deletion.auc == pytest.approx(area(report.explanation.evidence), abs=1e-5)
    assert report.edges_deletion.auc == pytest.approx(area(report.edges), abs=1e-5)
    areas = [each.auc for each in report.random_deletions]
    assert len(set(areas)) == 5
    last = report.checks[3]
    assert (last.value, last.limit) == (report.deletion.auc, min(areas))

    fine = tape.saliency(3).report(steps=STEPS, seed=5)
    averaged = fine.explanation.evidence.reshape(14, 8, 14, 4).mean((1, 3))
    assert fine.deletion.auc == pytest.approx(area(averaged), abs=1e-4)


def test_the_layer_beside(tape, report):
    assert report.other_layer.layer == "relu3_2"
    maps = (map_at_input(tape, each) for each in (report.explanation, report.other_layer))
    assert report.layer_correlation == pytest.approx(correlation(*maps), abs=1e-6)
    # Nothing is finer than the first layers.
    assert tape.grad_cam(3, layer="relu1_1").report(steps=1).other_layer is None


def test_a_report_does_not_hold_random_networks(report):
    assert [each.origin for each in report.random_weights] == [None] * 3
    assert all(each.origin is not None for each in report.others)


def test_a_map_of_what_speaks_against_a_class_is_judged_by_the_negated_score():
    """Three of four quarters raise the score, one lowers it: without that quarter it is highest."""
    signs = np.float32([[1, 1], [1, -1]]).repeat(2, 0).repeat(2, 1)
    weights = {"weight": np.stack([np.tile(signs.ravel(), 3), np.ones(48, np.float32)])}
    layers = [
        Layer("relu", "relu"),
        Layer("flat", "flatten", ("relu",)),
        Layer("fc", "linear", ("flat",), weights=weights),
    ]
    picture = np.random.default_rng(2).uniform(0.5, 1.5, (3, 4, 4))
    tape = Network.from_layers(layers).forward(picture)
    against = gradcam.METHODS["counterfactual"]
    assert against.against and gradcam.smooth("counterfactual").against
    assert against.with_options(title="Against").against and not gradcam.METHODS["grad_cam"].against
    lowers = np.float32(signs < 0)
    other = gradcam.METHODS["saliency"]
    method = replace(other, view="map", function=lambda tape, objective: lowers[None, None])
    areas = {}
    for is_against in (True, False):
        found = tape.explain(replace(method, against=is_against), Class(0)).report(steps=4)
        check = found.checks[-1]
        assert check.name == "pixels" and check.passed == is_against
        assert check.finding.endswith("(negated score)") == is_against
        areas[is_against] = found.deletion
    np.testing.assert_allclose(areas[True].values, -areas[False].values, rtol=1e-5)
    assert (areas[True].on, areas[False].on) == ("negated score", "score")
    assert areas[True].label == areas[False].label


def test_the_edges_of_a_picture_of_one_colour(tape):
    flat = tape.graph.forward(np.full((3, 112, 56), 0.5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = flat.saliency(3).report(steps=2)
        figure = report.plot()
    assert not report.edges.any() and report.edges_deletion is None
    assert report.deletion is not None and len(report.random_deletions) == 5
    legends = [ax.get_legend() for ax in figure.axes if ax.get_legend()]
    told = [text.get_text().replace("\n", " ") for text in legends[0].get_texts()]
    assert told[1] == "the picture has no edges"
    assert told[2].startswith("random orders, as of a uniform map")


def test_classes_of_one_label_are_different():
    tensors = vggs.tensors("vgg11")
    labels = ["crane", "crane", *(f"class_{n}" for n in range(2, 10))]
    network = gradcam.vgg11(tensors, labels=labels, preset=gradcam.Preset("small", size=32))
    tape = network.forward(np.random.default_rng(1).standard_normal((3, 32, 32)))
    found = tape.saliency(0).report(other=1, steps=1)
    assert [each.target.index for each in found.others] == [1]
    for same in (Class(0), Probability(0)):
        with pytest.raises(ValueError, match="what the map explains"):
            tape.saliency(0).report(other=same, steps=1)


def test_a_report_is_reproducible(tape, report):
    again = tape.grad_cam(3, layer="relu4_2").report(steps=STEPS, seed=5)
    assert again.checks == report.checks
    other = tape.grad_cam(3, layer="relu4_2").report(steps=STEPS, seed=6)
    assert other.checks[0] != report.checks[0] and other.checks[1] == report.checks[1]


def test_the_figure_says_everything(report):
    text = words(report.plot())
    for part in ("Picture", "Grad-CAM", "Edge detector", "Random weights", "at relu3_2"):
        assert part in text
    assert report.finding.replace(" ", "")[:40] in text.replace("\n", "").replace(" ", "")
    verdicts = text.count("passed"), text.count("failed")
    failed = sum(not each.passed for each in report.checks)
    assert verdicts == (4 - failed, failed) and report.passed == (failed == 0)


@pytest.mark.parametrize("method", ["saliency", "guided_backprop", "occlusion", "lrp"])
def test_reports_of_other_methods(tape, method):
    options = {"patch": 32, "stride": 32} if method == "occlusion" else {}
    found = tape.explain(method, 3, **options).report(steps=2)
    assert found.other_layer is None and np.isnan(found.layer_correlation)
    assert [each.name for each in found.checks] == ["weights", "edges", "class", "pixels"]
    assert found.random_weights[0].method == method
    assert not np.array_equal(found.random_weights[0].raw, found.explanation.raw)


def test_random_weights_keep_the_options_of_the_method(tape):
    found = tape.explain("grad_cam", 3, layer=["relu4_2", "relu5_2"]).report(steps=1)
    assert {each.layer for each in found.random_weights} == {"relu4_2, relu5_2"}
    smooth = tape.smooth_grad(3, samples=2, seed=4).report(steps=1)
    again = tape.smooth_grad(int(smooth.others[0].target.index), samples=2, seed=4)
    np.testing.assert_array_equal(smooth.others[0].raw, again.raw)


def test_what_is_compared_and_deleted(tape):
    difference = tape.saliency(Difference(3, 4)).report(steps=1)
    assert {3, 4}.isdisjoint(each.target.index for each in difference.others)
    assert difference.deletion.on == "value" and difference.deletion.label == "class_3 - class_4"
    unit = tape.grad_cam(Unit("fc7", 2)).report(steps=1)
    assert unit.deletion.label == "unit 2 of fc7" and len(unit.others) == 2
    chance = tape.saliency(Probability(3)).report(steps=1)
    assert chance.deletion.on == "probability"
    assert tape.saliency(3).report(steps=1, on="probability").deletion.on == "probability"
    named = tape.saliency(3).report(steps=1, other=7)
    assert [each.target.index for each in named.others] == [7]
    assert (named.kind, named.names) == ("class", ("class 7",))


def test_a_network_without_probabilities_and_one_with_one_class():
    weight = np.random.default_rng(3).standard_normal((1, 3 * 6 * 5)).astype(np.float32)
    layers = [Layer("flat", "flatten"), Layer("fc", "linear", weights={"weight": weight})]
    network = Network.from_layers(layers)
    tape = network.forward(np.random.default_rng(4).standard_normal((3, 6, 5)))
    report = tape.input_x_gradient(Class(0)).report(steps=3)
    assert [each.name for each in report.checks] == ["weights", "edges", "pixels"]
    assert report.others == () and report.nearest_other is None
    assert "passed" in words(report.plot())


def test_long_names_below_the_picture():
    from gradcam.measures._report_result import _cut

    assert _cut(["a", "b"], keep_end=False) == _cut(["a", "b"], keep_end=True) == ["a", "b"]
    assert _cut(["a", "b", "c"], keep_end=False) == ["a", "b ..."]
    assert _cut(["a", "b", "c"], keep_end=True) == ["... b", "c"]


def test_a_flat_map_is_said_to_be_flat(tape):
    zero = np.zeros_like(tape.input)
    weights = {"weight": np.ones((2, 3 * 112 * 56), np.float32)}
    layers = [Layer("flat", "flatten"), Layer("fc", "linear", weights=weights)]
    flat = Network.from_layers(layers).forward(zero[0]).input_x_gradient(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = flat.report()
        text = words(report.plot())
    assert not report.passed and [each.name for each in report.checks] == ["flat"]
    assert "is flat: it says nothing" in report.finding and "is flat" in text
    assert report.deletion is None and report.random_weights == ()


def test_the_words_of_checks_and_findings(report):
    from gradcam.measures._report_words import edges, finding, others, pixels, weights

    good = [weights(0.03), edges(-0.12), others(0.4, "dog", "class"), pixels(0.21, [0.6, 0.64])]
    assert finding(report.explanation, good) == (
        "class 3, Grad-CAM: the map depends on the weights (rank correlation 0.03), differs from "
        "an edge detector (−0.12), depends on the class (dog: 0.40) and marks pixels that matter: "
        "deletion 0.21, random order 0.62"
    )
    bad = [weights(0.5), edges(0.7), others(0.97, "dog", "class"), pixels(0.7, [0.6, 0.64])]
    assert not any(each.passed for each in bad)
    assert finding(report.explanation, [good[0], *bad[1:3], good[3]]) == (
        "class 3, Grad-CAM: the map fails 2 of 4 checks: it resembles an edge detector (rank "
        "correlation 0.70) and hardly depends on the class (dog: rank correlation 0.97)"
    )
    assert "hardly depends on the weights" in bad[0].finding
    assert "no more than others: deletion 0.70, random order 0.62" in bad[3].finding
    assert _report_words.two(-0.001) == "0.00" and _report_words.number(1234.5) == "1.2e+03"


def test_what_is_refused(tape, tmp_path):
    found = tape.grad_cam(3)
    with pytest.raises(ValueError, match="what the map explains"):
        found.report(other=3)
    with pytest.raises(ValueError, match="got a list"):
        found.report(other=[1, 2])
    with pytest.raises(ValueError, match="steps"):
        found.report(steps=0)
    with pytest.raises(ValueError, match="seed"):
        found.report(seed=-1)
    with pytest.raises(ValueError, match="explain the picture again"):
        found.save(tmp_path / "map.npz")
        Explanation.load(tmp_path / "map.npz").report()
    with pytest.raises(TypeError, match="expected an Explanation"):
        _report.report(found.map)


@pytest.mark.slow
def test_the_built_in_network_by_four_methods():
    """Grad-CAM passes; guided backprop is nearly the same for the cat and the dog."""
    tape = gradcam.pictograms.model().forward(gradcam.pictograms.example("cat_and_dog"))
    assert tape.grad_cam("cat").report().passed
    failed = tape.guided_backprop("cat").report()
    assert [each.name for each in failed.checks if not each.passed] == ["class"]
    wide = Image.fromarray(tape.picture).resize((400, 200))
    other = tape.graph.forward(wide).grad_cam("cat").report(other="dog")
    assert other.passed and other.nearest_other.words == "dog"
