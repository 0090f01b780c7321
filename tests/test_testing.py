"""Assertions about explanations: what passes and fails, the sentences and pictures."""

from __future__ import annotations

import unittest
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gradcam
from gradcam import Explanation, pictograms, testing
from gradcam.testing import _failure, _session, _slides


@pytest.fixture(scope="module")
def scene():
    return pictograms.scene(7, classes=["cat", "dog"], size=(90, 130))


@pytest.fixture(scope="module")
def tape(scene):
    return pictograms.model().forward(scene.picture)


@pytest.fixture(scope="module")
def maps(tape):
    return tape.grad_cam(["cat", "dog"])


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The folder of the pictures: where pytest's plugin is not, the environment names it."""
    monkeypatch.setattr(_session, "_session", lambda: None)
    monkeypatch.setenv("GRADCAM_PICTURES", str(tmp_path / "pictures"))
    monkeypatch.delenv("GRADCAM_UPDATE", raising=False)
    monkeypatch.setattr(_failure, "_failures", {})
    return tmp_path / "pictures"


@pytest.fixture
def no_drawing(monkeypatch):
    """Empty pictures: most tests are about sentences, and drawing takes longer."""
    blank = np.zeros((1, 1, 3), np.uint8)
    monkeypatch.setattr(_slides, "slide", lambda *arguments: blank)


quickly = pytest.mark.usefixtures("no_drawing")


def failure(assertion, *arguments, **options):
    """Return the sentence of an assertion that fails, and the path of the picture that it saved."""
    with pytest.raises(AssertionError) as caught:
        assertion(*arguments, **options)
    sentence, line = str(caught.value).split("\n")
    path = Path(line.removeprefix("Picture: "))
    assert path.read_bytes()[:4] == b"\x89PNG"
    return sentence, path


def peak(y, x, shape=(20, 30)):
    values = np.zeros(shape, np.float32)
    values[y, x] = 1
    return values


# --- a place ---


def test_points_at(maps, scene):
    cat, dog = maps
    testing.assert_points_at(cat, scene.objects[0].box)
    testing.assert_points_at(cat, scene.objects[0].mask)
    testing.assert_points_at(dog, [(0, 0, 3, 3), scene.objects[1].box])
    sentence, path = failure(testing.assert_points_at, cat, scene.objects[1].box)
    y, x = np.unravel_index(cat.map.argmax(), cat.map.shape)
    x0, y0, x1, y1 = scene.objects[1].box
    distance = np.hypot(max(x0 - x, x - (x1 - 1), 0), max(y0 - y, y - (y1 - 1), 0))
    assert sentence == (
        f"the maximum of the grad_cam map of 'cat' is at (x {x}, y {y}), {distance:.0f} pixels "
        f"from the box ({x0}, {y0}, {x1}, {y1})"
    )
    with Image.open(path) as picture:
        assert picture.width == 1333 and np.asarray(picture.convert("L")).std() > 30


@quickly
def test_points_at_with_a_tolerance():
    there = peak(10, 15)
    testing.assert_points_at(there, (15, 10, 16, 11))
    testing.assert_points_at(there, (20, 10, 25, 12), tolerance=5)
    sentence, _ = failure(testing.assert_points_at, there, (20, 10, 25, 12), tolerance=4)
    assert sentence == (
        "the maximum of the map is at (x 15, y 10), 5 pixels from the box (20, 10, 25, 12); the "
        "tolerance is 4"
    )
    mask = peak(11, 16) > 0
    sentence, _ = failure(testing.assert_points_at, there, mask, 1.4)
    assert "1.41 pixels from the mask" in sentence  # not rounded to the tolerance
    sentence, _ = failure(testing.assert_points_at, there, [(0, 0, 2, 2), (14, 9, 16, 10)])
    assert "1 pixel from the nearest of the 2 boxes" in sentence


@quickly
def test_energy_inside(maps, scene):
    even = np.ones((20, 30))
    even[0, 0] = 2  # not flat
    testing.assert_energy_inside(even, (0, 0, 15, 20))
    sentence, _ = failure(testing.assert_energy_inside, even, (15, 0, 30, 20))
    assert sentence == (
        "49.9 % of the energy of the map is in the box (15, 0, 30, 20), which covers 50.0 % of the "
        "picture; at least 50 % was expected"
    )
    sentence, _ = failure(testing.assert_energy_inside, maps[0], scene.objects[1].mask, 0.2)
    assert sentence.startswith("0") and "of the grad_cam map of 'cat' is in the mask" in sentence
    boxes = [(0, 0, 2, 2), (4, 4, 5, 5)]
    sentence, _ = failure(testing.assert_energy_inside, even, boxes, 1)
    assert "in the 2 boxes, which cover 0.8 %" in sentence
    sentence, _ = failure(testing.assert_energy_inside, peak(1, 1) - 2, (0, 0, 5, 5))
    assert sentence.startswith("no value of the map is above 0")


@quickly
def test_a_flat_map_fails_with_its_own_sentence(tape, tmp_path):
    flat = replace(tape.grad_cam("cat"), raw=np.zeros((14, 14), np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the sentence says it, no warning
        for assertion, *more in (
            (testing.assert_points_at, (0, 0, 5, 5)),
            (testing.assert_energy_inside, (0, 0, 5, 5), 0),
            (testing.assert_matches_stored, tmp_path / "map.npz"),
            (testing.assert_maps_agree, tape.grad_cam("dog"), -1),
            (testing.assert_depends_on_weights,),
        ):
            sentence, _ = failure(assertion, flat, *more)
            assert sentence == (
                "the grad_cam map of 'cat' is flat: it has the same value everywhere, so it says "
                "nothing about the picture"
            )
    sentence, _ = failure(testing.assert_points_at, np.ones((3, 4)), (0, 0, 1, 1))
    assert sentence.startswith("the map is flat")
    with pytest.raises(AssertionError):  # a flat map is not stored
        testing.assert_matches_stored(flat, tmp_path / "map.npz", update=True)
    assert not (tmp_path / "map.npz").exists()


# --- agreement ---


@quickly
def test_maps_agree(maps):
    cat, dog = maps
    testing.assert_maps_agree(cat, cat)
    testing.assert_maps_agree(cat, 5 * cat.map.astype(np.float64) ** 3)  # the same order
    testing.assert_maps_agree(cat, dog, at_least=-1)
    sentence, _ = failure(testing.assert_maps_agree, cat, dog)
    found = gradcam.measures.spearman(cat.map, dog.map)
    assert sentence == (
        f"the rank correlation of the grad_cam map of 'cat' and the grad_cam map of 'dog' is "
        f"{found:.2f}; at least 0.9 was expected"
    )
    sentence, _ = failure(testing.assert_maps_agree, peak(1, 2), peak(3, 4), -0.0016)
    assert "the first map and the second map is -0.0017;" in sentence  # not rounded to the limit
    with pytest.raises(ValueError, match="90 x 130 and 20 x 30 pixels"):
        testing.assert_maps_agree(cat, peak(1, 2))


# --- a stored map ---


@quickly
def test_matches_stored(maps, tmp_path, capsys):
    cat, dog = maps
    path = tmp_path / "new folder" / "cat.npz"
    sentence, _ = failure(testing.assert_matches_stored, cat, path)
    assert sentence == (
        f"no map is stored at {path}: to store this one, run pytest with --gradcam-update, set "
        f"GRADCAM_UPDATE=1, or pass update=True"
    )
    assert not path.exists()
    testing.assert_matches_stored(cat, path, update=True)
    assert path.stat().st_size < 8000
    assert capsys.readouterr().err == f"gradcam: stored the map {path}\n"
    np.testing.assert_array_equal(Explanation.load(path).raw, cat.raw)
    testing.assert_matches_stored(cat, path)
    other = replace(dog, label="cat")
    sentence, _ = failure(testing.assert_matches_stored, other, path)
    assert sentence.startswith("the rank correlation of the grad_cam map of 'cat' and the stored")
    sentence, _ = failure(testing.assert_matches_stored, dog, path)
    assert f"{path} holds the grad_cam map of 'cat', not the grad_cam map of 'dog'" in sentence


@quickly
def test_a_stored_map_is_replaced_only_on_request(maps, tmp_path, monkeypatch):
    cat, dog = maps
    path = tmp_path / "cat.npz"
    testing.assert_matches_stored(cat, path, update=True)
    before = path.read_bytes()
    failure(testing.assert_matches_stored, dog, path)
    assert path.read_bytes() == before
    almost = replace(cat, raw=cat.raw * np.float32(1.001))
    testing.assert_matches_stored(almost, path, update=True)  # agrees: left as it is
    assert path.read_bytes() == before
    monkeypatch.setenv("GRADCAM_UPDATE", "1")
    failure(testing.assert_matches_stored, dog, path, update=False)
    testing.assert_matches_stored(dog, path)
    assert Explanation.load(path).label == "dog"


@quickly
def test_a_stored_map_of_another_picture(maps, tape, tmp_path):
    path = tmp_path / "cat.npz"
    testing.assert_matches_stored(maps[0], path, update=True)
    other = tape.graph.forward(tape.picture[:80]).grad_cam("cat")
    sentence, _ = failure(testing.assert_matches_stored, other, path)
    assert "is of a picture of 90 x 130 pixels, not of 80 x 130" in sentence
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ValueError, match="not an explanation that was saved"):
        testing.assert_matches_stored(maps[0], path, update=True)


# --- random weights ---


@quickly
def test_depends_on_weights(tape):
    cat = tape.grad_cam("cat")
    testing.assert_depends_on_weights(cat, networks=2)
    sentence, _ = failure(testing.assert_survives_randomisation, cat, networks=2)
    mean = np.mean([correlation_with_random_weights(tape, cat, seed) for seed in (0, 1)])
    assert sentence == (
        f"with random weights, the grad_cam map of 'cat' has a rank correlation of only {mean:.2f} "
        f"with the map of the trained network (mean of 2 networks); at least 0.5 was expected"
    )


def correlation_with_random_weights(tape, explanation, seed):
    network = gradcam.measures.randomised(tape.graph, seed=seed)
    again = network.forward(tape.picture).grad_cam("cat")
    return gradcam.measures.spearman(again.evidence, explanation.evidence)


@quickly
def test_what_survives_random_weights(tape):
    edges = tape.eigen_cam("cat")
    testing.assert_survives_randomisation(edges, networks=1)
    sentence, _ = failure(testing.assert_depends_on_weights, edges, networks=1, seed=1)
    assert sentence.startswith("with random weights, the eigen_cam map of 'cat' still has a rank")
    assert "with the map of the trained network; at most 0.5 was expected" in sentence


@quickly
def test_what_needs_a_network(tape, tmp_path):
    cat = tape.grad_cam("cat")
    cat.save(tmp_path / "cat.npz")
    with pytest.raises(ValueError, match="was loaded and has no network"):
        testing.assert_depends_on_weights(Explanation.load(tmp_path / "cat.npz"))
    with pytest.raises(TypeError, match="expected an Explanation, got ndarray"):
        testing.assert_depends_on_weights(cat.map)


def test_methods_with_options_and_other_objectives(tape):
    """The same method, with its options, explains the same objective of the random network."""
    smooth = gradcam.smooth("saliency", samples=2)
    asked = tape.explain(smooth, gradcam.Difference("cat", "dog"), resize="nearest")
    testing.assert_depends_on_weights(asked, 1, networks=1)
    layers = tape.grad_cam("cat", layer=["relu4_3", "relu5_3"])
    testing.assert_depends_on_weights(layers, 1, networks=1)


# --- pictures ---


@pytest.mark.slow
def test_every_kind_of_picture(maps, scene, tape, tmp_path):
    cat, dog = maps
    stored = tmp_path / "cat.npz"
    box, mask = scene.objects[1].box, scene.objects[1].mask
    paths = [
        failure(testing.assert_points_at, cat, mask)[1],
        failure(testing.assert_points_at, cat.map, [box, (0, 0, 3, 3)])[1],
        failure(testing.assert_energy_inside, tape.saliency("cat"), box, 1)[1],
        failure(testing.assert_maps_agree, cat, dog)[1],
        failure(testing.assert_maps_agree, tape.saliency("cat"), dog.map)[1],
        failure(testing.assert_matches_stored, cat, stored)[1],
    ]
    testing.assert_matches_stored(cat, stored, update=True)
    paths += [
        failure(testing.assert_matches_stored, dog, stored)[1],
        failure(testing.assert_survives_randomisation, cat, networks=1)[1],
        failure(testing.assert_points_at, np.zeros((30, 1000)), (0, 0, 3, 3))[1],
    ]
    assert len(set(paths)) == len(paths)
    for path in paths:
        with Image.open(path) as picture:
            assert picture.width == 1333 and 300 < picture.height <= 751


@quickly
def test_names_of_pictures(folder):
    there, box = peak(3, 3), (10, 10, 12, 12)
    paths = [failure(testing.assert_points_at, there, box)[1] for _ in range(2)]
    other = failure(testing.assert_points_at, there, (11, 10, 12, 12))[1]
    energy = failure(testing.assert_energy_inside, there, box)[1]
    stem = "tests-test_testing-test_names_of_pictures"
    assert [path.name for path in (*paths, other, energy)] == [
        f"{stem}-points_at.png",  # the same failure again replaces its picture
        f"{stem}-points_at.png",
        f"{stem}-points_at-2.png",
        f"{stem}-energy_inside.png",
    ]
    assert {path.name for path in folder.iterdir()} == {
        ".gitignore",
        *(path.name for path in (*paths, other, energy)),
    }


@quickly
def test_a_loop_of_failures_saves_few_pictures(folder):
    for x in range(5, 30):
        with pytest.raises(AssertionError) as caught:
            testing.assert_points_at(peak(3, 3), (x, 10, 40, 12))
    assert "No picture: 20 other failures of this test have one." in str(caught.value)
    assert len(list(folder.glob("*.png"))) == 20


def test_file_names_of_tests():
    name = _session.file_name
    assert name("tests/test_a.py::TestB::test_c") == "tests-test_a-TestB-test_c"
    assert name("tests/test_a.py::test_c[cat-0.5]") == "tests-test_a-test_c-cat-0.5"
    strange = [name(f"a.py::t[{each}]") for each in ("x/y", "x-y", "x\\y", "x y", "../x", "", "é")]
    assert len(set(strange)) == len(strange)
    assert all(each and not set("/\\: []") & set(each) for each in strange)
    assert strange[0].startswith("a-t-x-y-")
    assert name("m.Case.test_c (x='a/b')") != name("m.Case.test_c (x='a-b')")


@pytest.mark.parametrize("value", ["x" * 400, "a/b" * 99, "x." + "y" * 300])
@quickly
def test_long_names(value):
    _, path = failure(testing.assert_points_at, peak(3, 3), (10, 10, 12, 12))
    assert len(path.name) <= 255 and path.suffix == ".png"


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GRADCAM_PICTURES", str(tmp_path / "file" / "pictures"))
    with pytest.raises(
        AssertionError, match=r"is at \(x 3, y 3\)[^\n]*\nNo picture could be saved"
    ):
        testing.assert_points_at(peak(3, 3), (10, 10, 12, 12))


# --- wrong arguments ---


@quickly
def test_wrong_arguments_are_not_failures(maps):
    cat, dog = maps
    for error, words, assertion, *arguments in (
        (
            ValueError,
            "at_least: expected 0 to 1",
            testing.assert_energy_inside,
            cat,
            (0, 0, 1, 1),
            2,
        ),
        (TypeError, "at_least: expected a number", testing.assert_maps_agree, cat, dog, "0.5"),
        (ValueError, "at_most: expected -1 to 1", testing.assert_depends_on_weights, cat, 50),
        (ValueError, "outside the picture", testing.assert_points_at, cat, (500, 0, 510, 4)),
        (ValueError, "the mask is of 3 x 4", testing.assert_points_at, cat, np.ones((3, 4), bool)),
        (ValueError, "tolerance", testing.assert_points_at, cat, (0, 0, 3, 3), -1),
        (ValueError, "expected the shape", testing.assert_points_at, [cat], (0, 0, 3, 3)),
        (ValueError, "ends in .npz", testing.assert_matches_stored, cat, "cat.png"),
        (TypeError, "expected an Explanation", testing.assert_matches_stored, cat.map, "c.npz"),
    ):
        with pytest.raises(error, match=words):
            assertion(*arguments)
    with pytest.raises(TypeError, match="update: expected True, False or None, got 'no'"):
        testing.assert_matches_stored(cat, "cat.npz", update="no")


# --- without pytest ---


@quickly
def test_names_in_unittest_and_in_scripts(monkeypatch):
    class Case(unittest.TestCase):
        def test_it(self):
            with self.subTest(x="a/b"):
                Case.name = _session.running_test()

    def function():
        return _session.running_test()

    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    unittest.TestResult()
    Case("test_it").run()
    assert Case.name.endswith("Case.test_it (x='a/b')")
    assert function() == "test_testing-function"
