"""What measures are given: maps of the picture or the input, and what they explain; correlation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradcam import Class, Difference, Explanation, Probability, measures, pictograms, vgg16
from gradcam.measures._given import map_at_input, map_on_picture, objectives_of


@pytest.fixture(scope="module")
def tape():
    scene = pictograms.scene(7, classes=["cat", "dog"], size=(100, 150))
    return pictograms.model().forward(scene.picture)


def test_map_at_input_of_an_explanation_and_of_its_map(tape):
    cat = tape.grad_cam("cat")
    found = map_at_input(tape, cat)
    assert found.shape == tape.size
    again = map_at_input(tape, cat.map)
    scaled = (found - found.min()) / (found.max() - found.min())
    assert abs(again - scaled).max() < 0.06  # resized twice
    np.testing.assert_array_equal(map_at_input(tape, found), found)


def test_map_at_input_of_a_cropped_picture(tape):
    weights = Path(pictograms.__file__).with_name("pictograms.safetensors")
    cropped = vgg16(weights=weights, preset="torchvision").forward(tape.picture)
    assert cropped.geometry.cropped
    cat = cropped.grad_cam("cat")
    found = map_at_input(cropped, cat)
    again = map_at_input(cropped, cat.map)
    scaled = (found - found.min()) / (found.max() - found.min())
    assert abs(again - scaled).mean() < 0.01


def test_maps_of_other_pictures_and_sizes_are_refused(tape):
    other = pictograms.model().forward(pictograms.scene(3).picture)
    with pytest.raises(ValueError, match="give the tape of its picture"):
        map_at_input(other, tape.grad_cam("cat"))
    with pytest.raises(ValueError, match="100 x 150, or of the network's input, 224 x 224"):
        map_at_input(tape, np.zeros((14, 14)))
    with pytest.raises(ValueError, match="finite"):
        map_on_picture(np.full((3, 3), np.nan))
    with pytest.raises(TypeError, match="numbers"):
        map_on_picture("map")


def test_what_a_map_explains(tape, tmp_path):
    cat = tape.grad_cam("cat")
    (asked,) = objectives_of(tape, cat, None, "probability").each[0]
    assert isinstance(asked, Probability) and cat.target is not None
    assert asked.target == cat.target.index
    both = Difference("cat", "dog")
    difference = tape.grad_cam(both)
    assert objectives_of(tape, difference, None, "probability").each[0] == (both,)
    difference.save(tmp_path / "d.npz")
    loaded = Explanation.load(tmp_path / "d.npz")
    with pytest.raises(ValueError, match="does not hold its objective"):
        objectives_of(tape, loaded, None, "score")
    assert objectives_of(tape, loaded, both, "probability").each[0] == (both,)
    (top,) = objectives_of(tape, cat.map, None, "score").each[0]
    assert top.target == tape.scores[0].argmax()


def test_without_a_word_it_is_what_was_explained(tape, tmp_path):
    chance = tape.saliency(Probability("cat"))
    assert objectives_of(tape, chance, None, None).each[0] == (Probability("cat"),)
    (score,) = objectives_of(tape, chance, None, "score").each[0]
    assert type(score) is Class
    chance.save(tmp_path / "c.npz")
    loaded = Explanation.load(tmp_path / "c.npz")
    for map, target in ((loaded, None), (chance, "cat"), (chance.map, "cat")):
        (asked,) = objectives_of(tape, map, target, None).each[0]
        assert type(asked) is Class and asked.find(tape.labels).label == "cat"


def test_several_targets_are_refused(tape):
    for target in (["cat", "dog"], ["cat"], np.array([0, 1]), [Probability("cat")]):
        with pytest.raises(ValueError, match="target: expected one class or objective, got a list"):
            objectives_of(tape, tape.grad_cam("cat"), target, "score")


def test_spearman_with_equal_values():
    # ranks 1, 2.5, 2.5, 4 and 2, 1, 3.5, 3.5
    assert measures.spearman([1, 2, 2, 9], [5, 4, 7, 7]) == pytest.approx(2.25 / 4.5)
    assert measures.spearman([[1, 2], [3, 4]], [[8, 6], [4, 2]]) == -1
    assert np.isnan(measures.spearman([1, 1], [1, 2]))
    with pytest.raises(ValueError, match="one shape"):
        measures.spearman([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="NaN"):
        measures.spearman([1, np.nan], [1, 2])


def test_pearson():
    a, b = np.random.default_rng(0).normal(size=(2, 3, 7))
    expected = np.corrcoef(a.ravel(), b.ravel())[0, 1]
    assert measures.pearson(a, b) == pytest.approx(expected, abs=1e-14)
    for size in (1e-170, 1e170, 1e300):  # whose squares are not normal numbers
        assert measures.pearson(a * size, b) == pytest.approx(expected, abs=1e-14)
    assert np.isnan(measures.pearson(np.full(1000, 0.1), np.arange(1000)))  # its mean is not 0.1
    assert np.isnan(measures.pearson(np.arange(7), np.zeros(7)))
    assert measures.pearson([1e9, 1e9 + 1, 1e9 + 2], [1, 2, 3]) == 1


@pytest.mark.parametrize("correlation", [measures.pearson, measures.spearman])
def test_bad_arrays_have_no_correlation(correlation):
    for first, second in (([1, 2], [1, 2, 3]), (np.arange(4), [2]), (np.ones((2, 3)), np.ones(6))):
        with pytest.raises(ValueError, match="one shape"):
            correlation(first, second)
    for first in ([], [1], [1, np.nan]):
        with pytest.raises(ValueError, match="two or more values, none of them NaN"):
            correlation(first, first)
    with pytest.raises(TypeError, match="of numbers"):
        correlation(["a", "b"], [1, 2])
    with pytest.raises(ValueError, match="finite"):
        measures.pearson([1, np.inf], [1, 2])
