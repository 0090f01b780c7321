"""``gradcam inside neighbours`` and ``gradcam inside map``."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import gradcam
from gradcam._cli import main

CLASSES = ("cat", "dog", "zebra")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Four scenes of each of three classes."""
    root = tmp_path_factory.mktemp("scenes")
    for n, label in enumerate(CLASSES):
        (root / label).mkdir()
        for k in range(4):
            picture = gradcam.pictograms.scene(40 + 4 * n + k, classes=[label]).picture
            Image.fromarray(picture).save(root / label / f"{k}.png")
    return root


@pytest.fixture(scope="module")
def stored(scenes, tmp_path_factory):
    """A file of their codes."""
    file = tmp_path_factory.mktemp("codes") / "codes.npz"
    gradcam.inside.codes(gradcam.pictograms.model(), scenes, file=file)
    return file


@pytest.fixture
def run(tmp_path):
    def call(*arguments, status=0):
        model = ["--model", "pictograms"]
        if "--out" not in arguments:
            model += ["--out", str(tmp_path / "out")]
        result = CliRunner().invoke(main, ["inside", *map(str, arguments), *model])
        assert result.exit_code == status, result.output
        assert "Traceback" not in result.output
        return result

    return call


def test_neighbours_of_all_pictures(run, scenes, stored, tmp_path):
    result = run("neighbours", scenes, "--codes", stored, "--count", 2, "--json")
    *records, summary = map(json.loads, result.stdout.splitlines())
    codes = gradcam.inside.load_codes(stored)
    found = codes.neighbours(count=2)
    assert len(records) == 12
    for n, record in enumerate(records):
        assert record["label"] == codes.labels[n]
        assert [each["picture"] for each in record["code"]] == [
            os.fspath(codes.sources[place]) for place in found.places[n]
        ]
        assert [each["distance"] for each in record["pixels"]] == found.pixel_distances[n].tolist()
    precision = found.precision()
    assert summary["precision"]["code"]["mean"] == precision["code"].mean
    assert summary["precision"]["chance"] == precision.chance
    assert summary["finding"] == precision.finding
    assert summary["file"] == str(tmp_path / "out" / "neighbours-relu7.png")
    assert summary["precision_file"] == str(tmp_path / "out" / "precision-relu7.png")
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == [
        "neighbours-relu7.png",
        "precision-relu7.png",
    ]


def test_neighbours_of_pictures(run, scenes, stored, tmp_path):
    new = tmp_path / "new.png"
    Image.fromarray(gradcam.pictograms.scene(99, classes=["zebra"]).picture).save(new)
    known = scenes / "dog" / "1.png"
    options = ("--codes", stored, "--query", new, "--query", known)
    result = run("neighbours", scenes, *options, "--count", 3, "--metric", "cosine")
    assert "zebra" in result.stdout and "in pixels" in result.stdout
    assert result.stdout.count(str(known)) == 1  # it is not its own neighbour
    assert (tmp_path / "out" / "neighbours-relu7.png").exists()
    assert not (tmp_path / "out" / "precision-relu7.png").exists()


def test_codes_are_stored_once(run, scenes, tmp_path):
    file = tmp_path / "codes.npz"
    run("neighbours", scenes, "--codes", file)
    before = file.read_bytes()
    run("neighbours", scenes, "--codes", file)
    assert file.read_bytes() == before
    result = run("neighbours", scenes, "--codes", file, "--layer", "fc6", status=2)
    assert "its codes are of layer 'relu7', not 'fc6'" in result.stderr
    result = run("neighbours", scenes / "cat", "--codes", file, status=2)
    assert "made of 12 pictures, and these 4 are not the same" in result.stderr
    result = run("neighbours", scenes, "--codes", tmp_path / "missing" / "codes.npz", status=2)
    assert "no such folder" in result.stderr
    result = run("neighbours", scenes, "--codes", tmp_path / "codes.txt", status=2)
    assert "saved as .npz" in result.stderr
    file.write_bytes(before[:1000])
    assert "damaged" in run("neighbours", scenes, "--codes", file, status=2).stderr


def test_the_map(run, scenes, stored, tmp_path):
    pytest.importorskip("sklearn", reason="PCA and t-SNE are scikit-learn's")
    result = run("map", scenes, "--codes", stored, "--method", "pca", "--grid", "--json")
    *records, summary = map(json.loads, result.stdout.splitlines())
    expected = gradcam.inside.load_codes(stored).project("pca")
    points = [(each["x"], each["y"]) for each in records]
    np.testing.assert_array_equal(points, expected.points)
    cells = {tuple(each["cell"]) for each in records}
    assert len(cells) == 12 and max(map(max, cells)) == 3
    assert summary["explained"] == expected.explained.tolist()
    assert (tmp_path / "out" / "map-pca-grid-relu7.png").exists()
    result = run("map", scenes, "--codes", stored)
    assert "t-SNE of perplexity 3.67" in result.stdout
    assert (tmp_path / "out" / "map-tsne-relu7.png").exists()
    result = run("map", scenes, "--codes", stored, "--perplexity", 5, status=2)
    assert "perplexity: expected 1 to 3.667 for 12 pictures" in result.stderr
    result = run("map", scenes, "--codes", stored, "--method", "pca", "--perplexity", 5, status=2)
    assert "PCA has none" in result.stderr


def test_pictures_that_cannot_be_read(run, scenes, tmp_path):
    folder = tmp_path / "flat"
    folder.mkdir()
    for n, path in enumerate(sorted(scenes.rglob("*.png"))[:5]):
        (folder / f"{n}.png").write_bytes(path.read_bytes())
    (folder / "broken.png").write_bytes(b"nothing")
    file = tmp_path / "codes.npz"
    for _ in range(2):  # the second time from the file
        result = run("neighbours", folder, "--codes", file, "--count", 2, status=1)
        assert "1 of 6 pictures failed" in result.stderr and "broken.png" in result.stderr
        assert "neighbours in code are neighbours in pixels, too" in result.stdout
    query = folder / "broken.png"
    result = run("neighbours", folder, "--codes", file, "--query", query, status=2)
    assert "broken.png: cannot be read as a picture" in result.stderr


def test_figures_of_an_earlier_run_are_no_class(run, scenes, stored, tmp_path, monkeypatch):
    shutil.copytree(scenes, tmp_path / "set")
    monkeypatch.chdir(tmp_path / "set")
    for _ in range(2):
        result = run("neighbours", ".", "--count", 2, "--out", "gradcam-out", "--json")
        assert len(result.stdout.splitlines()) == 12 + 1
    assert sorted(os.listdir("gradcam-out")) == ["neighbours-relu7.png", "precision-relu7.png"]
    assert gradcam.inside.codes(gradcam.pictograms.model(), ".").pictures.classes == CLASSES
    assert "--out figures" in run("neighbours", ".", "--out", "figures", status=2).stderr


def test_both_figures_are_named(run, scenes, stored, tmp_path):
    lines = run("neighbours", scenes, "--codes", stored).stdout.splitlines()
    assert lines[-3:-1] == ["  neighbours-relu7.png", "  precision-relu7.png"]


def test_queries_are_read_before_the_folder(run, scenes, tmp_path):
    file = tmp_path / "codes.npz"
    run("neighbours", scenes, "--codes", file, "--query", tmp_path / "missing.png", status=2)
    assert not file.exists()


def test_a_query_is_not_replaced_by_the_figure(run, scenes, tmp_path):
    (tmp_path / "out").mkdir()
    query = tmp_path / "out" / "neighbours-relu7.png"
    shutil.copy(scenes / "cat" / "0.png", query)
    before = query.read_bytes()
    result = run("neighbours", scenes, "--query", query, status=2)
    assert "would replace it" in result.stderr and query.read_bytes() == before


def test_a_folder_of_photographs_with_a_folder_says_what_to_do(run, scenes, tmp_path):
    (tmp_path / "photos" / "trip").mkdir(parents=True)
    for name in ("a.png", "trip/b.png"):
        shutil.copy(scenes / "cat" / "0.png", tmp_path / "photos" / name)
    result = run("neighbours", tmp_path / "photos", status=2)
    assert "If the folders are not classes, name a folder with pictures alone" in result.stderr


def test_bad_folders(run, scenes, stored, tmp_path):
    assert "No such file" in run("neighbours", tmp_path / "missing", status=2).stderr
    (tmp_path / "empty").mkdir()
    assert "no picture in this folder" in run("neighbours", tmp_path / "empty", status=2).stderr
    result = run("neighbours", scenes / "cat" / "0.png", status=2)
    assert "expected a folder of pictures, got a file" in result.stderr
    result = run("neighbours", scenes, "--codes", stored, "--count", 12, status=2)
    assert "12 neighbours were asked for, but the set has 11" in result.stderr
