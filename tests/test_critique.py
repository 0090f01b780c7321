"""The critique's questions: their numbers by other ways of computing them, and their figures."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import vggs
from helpers import assert_close
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from test_rules import scaled

import gradcam
from gradcam import Layer, Network, Probability, critique, pictograms

pytestmark = pytest.mark.filterwarnings("ignore::gradcam.FlatMapWarning")


@pytest.fixture(scope="module")
def network():
    return gradcam.vgg11(vggs.tensors("vgg11"))


@pytest.fixture(scope="module")
def tape(network):
    return network.forward(np.random.default_rng(1).standard_normal((3, 32, 48)))


@pytest.fixture(scope="module")
def batch(network):
    return network.forward(np.random.default_rng(2).standard_normal((3, 3, 32, 48)))


@pytest.fixture(scope="module")
def heads():
    """One small linear network with each head."""
    weight = np.random.default_rng(3).standard_normal((4, 3 * 6 * 5)).astype(np.float32) / 8

    def make(head):
        layers = [Layer("flat", "flatten"), Layer("fc", "linear", weights={"weight": weight})]
        return Network.from_layers([*layers, Layer("prob", head)])

    x = np.random.default_rng(4).standard_normal((3, 6, 5))
    return {name: make(name).forward(x) for name in ("softmax", "log_softmax", "sigmoid")}


def length(values):
    return float(np.linalg.norm(np.asarray(values, np.float64)))


def words(figure):
    """All texts of a figure."""
    FigureCanvasAgg(figure).draw()
    texts = [text.get_text() for text in figure.texts]
    for ax in figure.axes:
        texts += [ax.get_title(), ax.get_xlabel(), ax.get_ylabel()]
        texts += [text.get_text() for text in ax.texts]
    return " ".join(" ".join(texts).split())


def on_slide(figure):
    """Check that no text leaves the figure, and return its words."""
    found = words(figure)
    renderer = figure.canvas.get_renderer()
    whole = figure.bbox
    for text in [*figure.texts, *(ax.title for ax in figure.axes)]:
        box = text.get_window_extent(renderer)
        assert box.x0 >= 0 and box.x1 <= whole.x1 and box.y1 <= whole.y1, text.get_text()
    return found


# --- score and probability ---


@pytest.mark.parametrize("head", ["softmax", "log_softmax", "sigmoid"])
def test_the_probability_is_the_log_odds_made_shorter(head, heads):
    tape = heads[head]
    found = critique.score_and_probability(tape, 2)
    p = float(tape.probabilities[0, 2])
    assert found.factor == pytest.approx(p * (1 - p), rel=1e-5)
    assert found.score_norm == pytest.approx(length(tape.gradient(2)), rel=1e-6)
    gradient = tape.gradient(Probability(2))
    assert found.probability_norm == pytest.approx(length(gradient), rel=1e-5)
    dot = np.vdot(tape.gradient(2), gradient)
    expected = dot / (length(gradient) * found.score_norm)
    assert found.cosine == pytest.approx(expected, rel=1e-5)
    np.testing.assert_array_equal(found.score.raw, tape.saliency(2).raw)
    np.testing.assert_array_equal(found.probability.raw, tape.saliency(Probability(2)).raw)


def test_the_figure_of_score_and_probability(tape):
    found = critique.score_and_probability(tape)
    assert found.score.target.index == tape.scores[0].argmax()
    text = on_slide(found.plot())
    assert " ".join(found.finding.split()) in text and "Saliency of the probability" in text
    assert f"{found.score_norm:.3g}" in text and f"{found.probability_norm:.3g}" in text


def test_a_confident_network_in_float32(heads):
    """p rounds to 1 and its gradient to 0; the length is that of the log-odds, and not 0."""
    network = heads["softmax"]
    weight = np.array(network.graph.layers["fc"].weights["weight"]) * 400
    layers = [Layer("flat", "flatten"), Layer("fc", "linear", weights={"weight": weight})]
    tape = Network.from_layers([*layers, Layer("prob", "softmax")]).forward(network.input[0])
    found = critique.score_and_probability(tape)
    scores = np.sort(tape.scores[0].astype(np.float64))[::-1]
    assert scores[0] - scores[1] > 100 and tape.probabilities.max() == 1
    assert not found.probability.raw.any()
    gap = np.exp(scores[1:] - scores[0]).sum()  # 1 - p
    assert 0 < found.factor == pytest.approx(gap, rel=1e-3)
    assert "zero in float32" in words(found.plot())
    measured = critique.norm_against_confidence(tape.graph, tape.input)
    assert measured.log_odds[0] == pytest.approx(-math.log(gap), rel=1e-5)
    assert measured.probability_norm[0] == pytest.approx(found.probability_norm, rel=1e-4)


# --- the gradient's length against the confidence ---


def test_lengths_of_many_pictures(network, batch):
    found = critique.norm_against_confidence(network, batch.input, batch=2)
    assert len(found.classes) == 3 and not found.is_path
    tops = batch.scores.argmax(1)
    np.testing.assert_allclose(found.probability, batch.probabilities[range(3), tops], rtol=1e-4)
    for n, top in enumerate(tops):
        tape = network.forward(batch.input[n])
        assert found.score_norm[n] == pytest.approx(length(tape.gradient(int(top))), rel=1e-4)
        expected = length(tape.gradient(Probability(int(top))))
        assert found.probability_norm[n] == pytest.approx(expected, rel=1e-3)
    one = critique.norm_against_confidence(network, batch.input, "class_3")
    np.testing.assert_allclose(one.probability, batch.probabilities[:, 3], rtol=1e-4)
    assert set(one.classes) == {"class 3"}
    text = on_slide(found.plot())
    assert "3 pictures" in text and "confidence" in text
    pixels = np.random.default_rng(5).integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
    streamed = critique.norm_against_confidence(network, [Image.fromarray(p) for p in pixels])
    assert streamed.score_norm.shape == (2,)


def test_a_path_raises_the_confidence(tape):
    found = critique.norm_along_ascent(tape, 3, steps=6)
    assert found.is_path and 2 <= len(found.classes) <= 7 and set(found.classes) == {"class 3"}
    assert (np.diff(found.log_odds) > 0).all()
    assert found.probability[0] == pytest.approx(tape.probabilities[0, 3], rel=1e-4)
    assert found.score_norm[0] == pytest.approx(length(tape.gradient(3)), rel=1e-5)
    assert "class 3, p from" in on_slide(found.plot())


def test_the_path_of_a_linear_network_is_known(heads):
    """Under a sigmoid the log-odds are the score: each step adds `gain`, the length is constant."""
    found = critique.norm_along_ascent(heads["sigmoid"], 1, steps=4, gain=0.01)
    np.testing.assert_allclose(np.diff(found.log_odds), 0.01, rtol=1e-3)
    np.testing.assert_allclose(found.score_norm, found.score_norm[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("odds", "text"),
    [(0.0, "50 %"), (-3.0, "4.7 %"), (5.0, "99.3 %"), (10.0, "1 − 5e-5"), (30.0, "1 − 9e-14")],
)
def test_confidence_in_words(odds, text):
    from gradcam.critique._norms import confidence

    assert confidence(odds) == text


# --- second derivatives ---


def test_taylor_series_of_score_and_probability(tape):
    found = critique.second_order(tape, 3, points=9)
    assert found.score.curvature == 0 and found.probability.curvature != 0
    middle = len(found.score.steps) // 2
    for curve, values in ((found.score, tape.scores), (found.probability, tape.probabilities)):
        assert curve.true[middle] == pytest.approx(values[0, 3], rel=1e-5)
        assert curve.kept[middle] == pytest.approx(values[0, 3], rel=1e-5)
        h, (before, at, after) = (
            curve.steps[1] - curve.steps[0],
            curve.kept[middle - 1 : middle + 2],
        )
        assert (after - before) / (2 * h) == pytest.approx(curve.slope, rel=2e-2)
        if curve is found.probability:
            assert (after - 2 * at + before) / h**2 == pytest.approx(curve.curvature, rel=5e-2)
    np.testing.assert_allclose(found.score.kept, found.score.first, rtol=1e-4, atol=1e-5)
    kept = replace(found.probability, true=found.probability.kept)
    assert kept.errors[1] < 0.3 * kept.errors[0]
    text = on_slide(found.plot())
    assert "second-order term of the score 0 " in text and "distance" in text


def test_the_default_line_ends_where_the_log_odds_change_by_one(heads):
    found = critique.second_order(heads["sigmoid"], 2, points=5)
    np.testing.assert_allclose(
        found.score.kept - found.score.value, [-1, -0.5, 0, 0.5, 1], rtol=1e-4
    )
    p = found.probability.value
    size = length(heads["sigmoid"].gradient(2)) * length(heads["sigmoid"].input)
    expected = p * (1 - p) * (1 - 2 * p) * size**2
    assert found.probability.curvature == pytest.approx(expected, rel=1e-4)


def test_any_direction_and_networks_that_are_curved_themselves():
    network = Network.from_layers(scaled())
    tape = network.forward(np.random.default_rng(0).standard_normal((3, 7, 9)))
    direction = np.random.default_rng(1).standard_normal((3, 7, 9))
    found = critique.second_order(tape, 1, direction, reach=0.05, points=5)
    twice = critique.second_order(tape, 1, 2 * direction, reach=0.05, points=5)
    assert found.score.curvature == pytest.approx(twice.score.curvature, rel=1e-4) != 0
    assert found.score.kept is None
    before, after = found.score.errors
    assert after < 0.3 * before
    on_slide(found.plot())


def test_lines_that_cannot_be_are_refused(tape):
    for options, complaint in (
        ({"direction": np.zeros((3, 32, 48))}, "all values are zero"),
        ({"direction": np.zeros((3, 4, 4))}, r"expected the shape of the input, \(3, 32, 48\)"),
        ({"reach": 0.0}, "reach"),
        ({"points": 2}, "points"),
    ):
        with pytest.raises(ValueError, match=complaint):
            critique.second_order(tape, 3, **options)


# --- cross saliency ---


def test_every_class_on_every_picture(batch):
    found = critique.cross_saliency(batch, [3, "class_7"])
    assert [len(row) for row in found.explanations] == [2, 2, 2] and found.norms.shape == (3, 2)
    assert found.same_picture.shape == (3, 2, 2) and found.same_class.shape == (2, 3, 3)
    assert found.own == tuple(batch.scores.argmax(1))
    for n, row in enumerate(batch.saliency([[3, 7]] * 3)):
        for k, each in enumerate(row):
            np.testing.assert_array_equal(found.explanations[n][k].raw, each.raw)
            assert found.norms[n, k] == pytest.approx(length(each.raw), rel=1e-5)
        expected = np.corrcoef([each.evidence.ravel() for each in row])
        np.testing.assert_allclose(found.same_picture[n], expected, atol=1e-6)
    maps = [found.explanations[n][1].evidence.ravel() for n in range(3)]
    np.testing.assert_allclose(found.same_class[1], np.corrcoef(maps), atol=1e-6)
    text = on_slide(found.plot())
    mean = found.same_picture[:, 0, 1].mean()
    assert f"two classes on one picture {mean:.2f}" in text and "class 7" in text


def test_classes_by_default(tape, batch):
    assert len(critique.cross_saliency(tape, top=2).explanations[0]) == 2
    tops = list(dict.fromkeys(batch.scores.argmax(1)))
    found = critique.cross_saliency(batch).explanations[0]
    assert [each.target.index for each in found] == tops
    single = critique.cross_saliency(tape, [3])
    assert single.finding == "Saliency of class 3" == words(single.plot()).split(" Picture")[0]
    for wrong, complaint in (([], "at least one"), ("cat", "list"), (["cat"], "cat")):
        with pytest.raises(ValueError, match=complaint):
            critique.cross_saliency(tape, wrong)
    with pytest.raises(ValueError, match="top"):
        critique.cross_saliency(tape, top=0)
    with pytest.raises(ValueError, match="at most 6 pictures"):
        critique.cross_saliency(tape, list(range(7))).plot()


# --- deconvnet and backprop ---


def test_passes_are_equal_down_to_the_first_relu(tape):
    found = critique.deconvnet_and_backprop(tape, 3)
    assert (found.layers[0], found.layers[-1]) == (tape.score_layer, "input")
    first = int(np.flatnonzero(found.is_rectifier)[0])
    assert found.layers[first] == found.equal_down_to == "relu7"
    for values in (found.deconvnet, found.guided):
        assert not values[: first + 1].any() and (values[first + 1 :] > 0.01).all()
    assert not found.without_relus.any()
    for name, rule, values in (
        ("input", "deconvnet", found.deconvnet),
        ("pool4", "guided", found.guided),
    ):
        one, other = tape.gradient(3, name), tape.gradient(3, name, rule=rule)
        expected = length(one.astype(np.float64) - other) / max(length(one), length(other))
        assert values[found.layers.index(name)] == pytest.approx(expected, rel=1e-4)
    text = on_slide(found.plot())
    assert "equal down to relu7" in text and "they are equal everywhere" in text


def test_a_network_without_relus(heads):
    found = critique.deconvnet_and_backprop(heads["softmax"], 1)
    assert not found.deconvnet.any() and not found.is_rectifier.any()
    assert found.equal_down_to == "input" and "has no ReLUs" in found.finding


def test_networks_with_branches_and_folded_norms():
    weights = gradcam.resnet18.random_tensors(width=4, classes=5)
    tape = gradcam.resnet18(weights).forward(np.random.default_rng(0).standard_normal((3, 64, 64)))
    found = critique.deconvnet_and_backprop(tape)
    assert not found.without_relus.any() and found.deconvnet[-1] > 0.1
    assert_close(critique.second_order(tape, 1, points=3).score.curvature, 0.0, "exact")
    on_slide(found.plot())


# --- all of them ---


def test_a_softmax_over_one_class_is_refused():
    weight = {"weight": np.ones((1, 12), np.float32)}
    layers = [Layer("flat", "flatten"), Layer("fc", "linear", weights=weight)]
    tape = Network.from_layers([*layers, Layer("prob", "softmax")]).forward(np.ones((3, 2, 2)))
    for ask in (critique.score_and_probability, critique.norm_along_ascent, critique.second_order):
        with pytest.raises(ValueError, match="a softmax over one class is always 1"):
            ask(tape, 0)


def test_the_tape_of_one_picture_is_needed(batch):
    for ask in (
        critique.score_and_probability,
        critique.norm_along_ascent,
        critique.second_order,
        critique.deconvnet_and_backprop,
    ):
        with pytest.raises(TypeError, match="one of several"):
            ask(batch, 3)
        with pytest.raises(TypeError, match="got str"):
            ask("cat.jpg")


def test_questions_that_cannot_be_asked(network, tape):
    with pytest.raises(ValueError, match="steps"):
        critique.norm_along_ascent(tape, steps=0)
    for ask, options in (
        (critique.norm_along_ascent, {"steps": 1.5}),
        (critique.second_order, {"points": 3.5}),
        (critique.cross_saliency, {"top": 1.5}),
    ):
        with pytest.raises(TypeError, match="expected an integer"):
            ask(tape, **options)
    with pytest.raises(TypeError, match="batch: expected an integer"):
        critique.norm_against_confidence(network, tape.input, batch="a")
    with pytest.raises(TypeError, match="tape: expected"):
        critique.cross_saliency(None)
    with pytest.raises(ValueError, match="gain"):
        critique.norm_along_ascent(tape, gain=math.nan)
    with pytest.raises(ValueError, match=r"preprocessed input is \(N, C, H, W\)"):
        critique.norm_against_confidence(network, tape.input[0])
    with pytest.raises(ValueError, match="batch"):
        critique.norm_against_confidence(network, tape.input, batch=0)
    with pytest.raises(ValueError, match="there is none"):
        critique.norm_against_confidence(network, [])
    bare = Network.from_layers(
        [Layer("flat", "flatten"), Layer("fc", "linear", weights={"weight": np.ones((2, 12))})]
    ).forward(np.ones((3, 2, 2)))
    for ask in (critique.score_and_probability, critique.second_order, critique.norm_along_ascent):
        with pytest.raises(ValueError, match="no probabilities"):
            ask(bare)


def test_pictograms():
    tape = pictograms.model().forward(pictograms.example("cat_and_dog"))
    found = critique.second_order(tape, "cat", points=3)
    assert found.score.curvature == 0 != found.probability.curvature
