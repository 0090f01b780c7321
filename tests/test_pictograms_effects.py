"""What each object of a scene does to each score, and how maps agree with it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import small_pictograms
from matplotlib.backends.backend_agg import FigureCanvasAgg
from small_pictograms import LABELS

from gradcam import Labels, Network, pictograms
from gradcam.pictograms import Scene, agreement, effects, scene
from gradcam.pictograms._effects import Effects
from gradcam.pictograms._effects_figure import Shown, draw


@pytest.fixture(scope="module")
def network():
    return small_pictograms.network()


@pytest.fixture(scope="module")
def drawn():
    return scene(2, objects=4, size=(64, 64))


@pytest.fixture(scope="module")
def found(network, drawn):
    return effects(drawn, network)


def score_of(network, drawn, present):
    absent = [k for k in range(len(drawn.objects)) if k not in present]
    return network.forward(drawn.without(*absent).picture).scores[0].astype(np.float64)


def test_removal_is_what_a_plain_second_pass_finds(network, drawn, found):
    whole = network.forward(drawn.picture).scores[0]
    assert found.removal.shape == (4, 36)
    for k in range(4):
        without = network.forward(drawn.without(k).picture).scores[0]
        np.testing.assert_allclose(found.removal[k], whole - without, atol=1e-5)
    assert np.abs(found.removal).max() > 0.05


def test_shapley_values_are_the_means_over_all_orders(network, drawn, found):
    wanted = np.zeros((4, 36))
    for order in itertools.permutations(range(4)):
        before = score_of(network, drawn, ())
        for place, k in enumerate(order, start=1):
            after = score_of(network, drawn, order[:place])
            wanted[k] += (after - before) / 24
            before = after
    np.testing.assert_allclose(found.shapley, wanted, atol=1e-5)
    assert np.abs(found.shapley - found.removal).max() > 1e-3  # else this tests nothing


def test_shapley_values_add_up_to_the_score(network, drawn, found):
    total = score_of(network, drawn, range(4)) - score_of(network, drawn, ())
    np.testing.assert_allclose(found.shapley.sum(0), total, atol=1e-5)


@pytest.mark.parametrize("objects", [1, 2, 3])
def test_effects_of_fewer_objects(network, objects):
    drawn = scene(4, objects=objects, size=(64, 64))
    found = effects(drawn, network, on="probability")
    assert found.values.shape == (2**objects, 36)
    np.testing.assert_allclose(found.values.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(found.shapley.sum(0), found.values[-1] - found.values[0], atol=1e-12)
    if objects == 1:
        np.testing.assert_array_equal(found.shapley, found.removal)


def test_effects_are_written_as_a_table(network, drawn, found):
    lines = repr(found).splitlines()
    assert lines[0] == "<Effects of 4 objects, Shapley values of the score:"
    assert lines[1].split() == [each.label for each in drawn.objects]
    for line, row, each in zip(lines[2:], found.shapley, drawn.objects, strict=True):
        name, *cells = line.removesuffix(">").split()
        assert name == each.label
        wanted = [row[other.index] for other in drawn.objects]
        np.testing.assert_allclose(list(map(float, cells)), wanted, rtol=0.01)


def test_an_object_without_a_score_has_no_column(network, drawn, found):
    layers = list(network.layers.values())[1:]
    other = Network.from_layers(layers, labels=[str(i) for i in range(36)], preset=network.preset)
    table = repr(effects(drawn, other)).splitlines()
    assert table[1].strip() == "" and table[2].split() == [drawn.objects[0].label]
    assert found.index(1) == drawn.objects[1].index
    with pytest.raises(ValueError, match="none of the classes of the objects"):
        effects(drawn, other).plot()


def test_objects_are_found_by_their_labels_among_classes_without_synsets(network, drawn):
    """Not by a label of a class whose synset is another one's."""
    layers = list(network.layers.values())[1:]
    names = [each.label for each in LABELS]

    def indices(synsets=None):
        labels = Labels(names[::-1], synsets)
        other = Network.from_layers(layers, labels=labels, preset=network.preset)
        found = effects(drawn, other)
        return [found.index(n) for n in range(4)]

    wanted = [35 - each.index for each in drawn.objects]
    assert indices() == wanted
    first = drawn.objects[0].index
    synsets = [""] * 36
    synsets[35 - first] = "n00000001"
    assert indices(synsets) == [None, *wanted[1:]]
    synsets[4] = LABELS[first].synset
    assert indices(synsets) == [4, *wanted[1:]]


def test_the_true_cause_of_a_score_is_its_object():
    """With the built-in model: each object raises the score of its own class most."""
    found = effects(scene(7, classes=["cat", "dog"]))
    own = found.shapley[:, [each.index for each in found.scene.objects]]
    assert own[0, 0] > 3 and own[1, 1] > 3 and own[0, 1] < 1 and own[1, 0] < 1


def test_effects_that_cannot_be_measured_are_refused(network, drawn):
    with pytest.raises(ValueError, match="no objects"):
        effects(drawn.without(0, 1, 2, 3), network)
    with pytest.raises(ValueError, match="holds only its picture"):
        effects(Scene(drawn.picture, drawn.objects), network)
    with pytest.raises(ValueError, match="probability"):
        effects(drawn, network, on="logit")
    with pytest.raises(ValueError, match="'shapley' or 'removal'"):
        effects(drawn, network).of("loo")
    with pytest.raises(TypeError, match=r"network: expected a gradcam.Network, got str"):
        effects(drawn, "vgg16")
    with pytest.raises(TypeError, match=r"scene: expected a Scene, .* got ndarray"):
        effects(drawn.picture, network)


def given_effects(drawn, true):
    """Effects whose Shapley values of every class are `true`: the score is their sum."""
    count = len(true)
    bits = np.arange(1 << count)[:, None] >> np.arange(count) & 1
    return Effects(drawn, LABELS, "score", np.repeat(bits @ np.array(true)[:, None], 36, axis=1))


def map_of(drawn, values):
    found = np.zeros(drawn.picture.shape[:2])
    for each, value in zip(drawn.objects, values, strict=True):
        found[each.mask] = value
    return found


def test_order_and_overlap_by_their_definitions(drawn):
    true, values = [4.0, 1.0, -2.0, 3.0], [2.0, 1.0, 0.5, 0.5]
    compared = agreement(map_of(drawn, values), given_effects(drawn, true), 0)
    np.testing.assert_allclose(compared.true, [0.5, 0.125, 0, 0.375])
    np.testing.assert_allclose(compared.given, [0.5, 0.25, 0.125, 0.125])
    right = weights = 0.0
    for i, j in itertools.combinations(range(4), 2):
        high, low = (i, j) if compared.true[i] > compared.true[j] else (j, i)
        weight = compared.true[high] - compared.true[low]
        weights += weight
        right += weight * (values[high] > values[low]) + weight * (values[high] == values[low]) / 2
    assert compared.order == pytest.approx(right / weights)
    assert compared.overlap == pytest.approx(0.5 + 0.125 + 0 + 0.125)


def test_perfect_reversed_and_flat_maps(drawn):
    true = [4.0, 3.0, 2.0, 1.0]
    found = given_effects(drawn, true)
    perfect = agreement(map_of(drawn, true), found, "cat")
    assert perfect.order == 1 and perfect.overlap == pytest.approx(1)
    assert agreement(map_of(drawn, true[::-1]), found, 0).order == 0
    flat = agreement(np.ones((64, 64)), found, 0)
    assert flat.order == 0.5 and flat.overlap == pytest.approx(0.1 + 0.2 + 0.25 + 0.25)
    nothing = agreement(np.zeros((64, 64)), found, 0)
    assert nothing.order == 0.5 and nothing.overlap == 0
    assert not agreement(-np.ones((64, 64)), found, 0).given.any()


def test_sums_favour_large_objects_and_means_do_not(drawn):
    found = given_effects(drawn, [1.0, 1.0, 1.0, 1.0])
    sizes = np.array([each.mask.sum() for each in drawn.objects])
    flat = np.ones((64, 64))
    summed = agreement(flat, found, 0, evidence="sum")
    np.testing.assert_allclose(summed.given, sizes / sizes.sum())
    np.testing.assert_allclose(agreement(flat, found, 0).given, 0.25)
    assert math.isnan(summed.order)  # all effects are equal


def test_a_score_that_no_object_raises_has_no_truth(drawn):
    compared = agreement(np.ones((64, 64)), given_effects(drawn, [-1.0, -2.0, 0.0, -3.0]), 0)
    assert math.isnan(compared.order) and math.isnan(compared.overlap)


def test_the_class_of_an_explanation_is_the_default(network, drawn, found):
    tape = network.forward(drawn.picture)
    own = tape.occlusion(5, patch=16, stride=16)
    for truth in ("shapley", "removal"):
        by_default = agreement(own, found, truth=truth)
        by_array = agreement(own.map, found, 5, truth=truth)
        np.testing.assert_array_equal(by_default.given, by_array.given)
        np.testing.assert_array_equal(by_default.true, by_array.true)


def test_maps_that_cannot_be_compared_are_refused(drawn, found):
    with pytest.raises(ValueError, match="target: give the class"):
        agreement(np.ones((64, 64)), found)
    with pytest.raises(ValueError, match=r"size of the scene, \(64, 64\), got \(14, 14\)"):
        agreement(np.ones((14, 14)), found, 0)
    with pytest.raises(ValueError, match="'mean' or 'sum'"):
        agreement(np.ones((64, 64)), found, 0, evidence="max")
    with pytest.raises(ValueError, match="none of the 36"):
        agreement(np.ones((64, 64)), found, "xyzzy")
    with pytest.raises(TypeError, match=r"effects: expected what pictograms.effects\("):
        agreement(np.ones((64, 64)), "effects", 0)
    with pytest.raises(TypeError, match="map: expected an Explanation or numbers"):
        agreement("map", found, 0)


def test_explanations_of_something_else_are_refused(network, drawn, found):
    another = network.forward(drawn.without(1).picture).saliency(0)
    for target in (None, 0):
        with pytest.raises(ValueError, match=r"another picture .* explain effects\.scene\.picture"):
            agreement(another, found, target)
    layers = list(network.layers.values())[1:]
    labels = [each.label for each in LABELS][::-1]
    other = Network.from_layers(layers, labels=labels, preset=network.preset)
    foreign = other.forward(drawn.picture).saliency(2)
    with pytest.raises(ValueError, match=f"another network .* class 2, '{labels[2]}', .* it is "):
        agreement(foreign, found)
    few = Effects(drawn, Labels(labels[:2]), "score", found.values[:, :2])
    with pytest.raises(ValueError, match="there are 2 classes"):
        agreement(foreign, few)
    assert agreement(foreign.map, found, 2).given.any()


def test_the_figure_says_what_was_found(drawn):
    columns = [each.index for each in drawn.objects]
    names = [each.label.replace("_", " ") for each in drawn.objects]

    def title(table):
        values = np.zeros((16, 36))
        bits = np.arange(16)[:, None] >> np.arange(4) & 1
        values[:, columns] = bits @ np.array(table)
        figure = Effects(drawn, LABELS, "score", values).plot()
        cells = [text.get_text() for text in figure.axes[1].texts]
        assert cells == [f"{v:+.2f}".replace("-", "−") for v in np.ravel(table)]
        return " ".join(figure.texts[0].get_text().split())

    own = np.eye(4) * 3 - 1
    assert title(own) == "The score of each class is raised most by its own object"
    other = own.copy()
    other[:, 0], other[:, 2] = -1, [0, 0, 1, 2]
    assert title(other) == (
        f"No object raises the score of {names[0]}, the score of {names[2]} is raised most by the "
        f"{names[3]}"
    )


@pytest.mark.parametrize("count", [2, 4])
def test_no_text_of_the_figure_overlaps_another_or_the_picture(drawn, count):
    names = ["American lobster", "steam locomotive", "school bus", "cheeseburger"][:count]
    figure = draw(Shown(drawn.picture, "probability", names, names, np.eye(count)))
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    picture, table = figure.axes
    texts = [table.xaxis.label, table.yaxis.label, *table.texts, *figure.texts]
    texts += [*table.get_xticklabels(), *table.get_yticklabels()]
    boxes = [picture.bbox, *(each.get_window_extent(renderer) for each in texts)]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)


def test_effects_are_part_of_the_package():
    assert pictograms.effects is effects and pictograms.agreement is agreement
