"""``gradcam train-head`` on a folder of things, compared with the library."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import new_classes
import pytest
import small_pictograms
from click.testing import CliRunner
from PIL import Image

import gradcam
from gradcam import _cli as cli
from gradcam._text import percent

pytest.importorskip("sklearn", reason="a classifier is trained with scikit-learn")

pytestmark = pytest.mark.filterwarnings("ignore::gradcam.FlatMapWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return new_classes.write(tmp_path_factory.mktemp("data") / "things", 3, 8, 64)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    gradcam.weights.save(small_pictograms.network(), path)
    return path


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*arguments, code=0):
    result = CliRunner().invoke(cli.main, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == code, result.output
    run.errors = result.stderr
    return result.stdout


def test_what_cannot_be_written_is_refused_before_any_work(folder, weights, monkeypatch):
    def refuse(dir):
        raise PermissionError(13, "Permission denied", "a temporary name")

    monkeypatch.setattr(gradcam, "fit_head", lambda *_, **__: pytest.fail("it was trained"))
    shutil.copy(weights, "own.safetensors")
    before = Path("own.safetensors").read_bytes()
    run("train-head", folder, "--weights", "own.safetensors", "--out", "own.safetensors", "--force",
        code=2)  # fmt: skip
    assert "own.safetensors is read" in run.errors
    assert Path("own.safetensors").read_bytes() == before
    labels = ("--labels", folder / "thing_0" / "000.png")
    run("train-head", folder, "--weights", weights, "--out", "a.safetensors", *labels, code=2)
    assert "the labels of the new classifier" in run.errors
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    for options in (("--out", "a.safetensors"), ("--out", "a.safetensors", "--figure", "a.png")):
        run("train-head", folder, "--weights", weights, *options, code=2)
        assert "nothing can be written here" in run.errors
        assert sorted(map(str, Path().iterdir())) == ["own.safetensors"]


def test_what_is_printed_and_written(folder, weights):
    network = gradcam.load(weights)
    expected = gradcam.fit_head(network, folder, folds=4, seed=3).training
    options = ("--out", "my things.safetensors", "--figure", "confusion.png", "--folds", 4)
    text = run("train-head", folder, "--weights", weights, *options, "--seed", 3)
    lines = text.splitlines()
    assert lines[0] == f"{expected.finding}." and lines[1] == expected.details
    assert lines[-2].startswith("Written to my things.safetensors and confusion.png after ")
    assert lines[-1] == "gradcam explain PICTURE --weights 'my things.safetensors'"
    row = next(line for line in lines if line.split()[:1] == ["thing_1"])
    share = expected.recall["thing_1"]
    assert row.split()[1:3] == ["8", str(round(8 * share))] and percent(share) in row
    assert expected.wrong[0].source in text
    assert Image.open("confusion.png").width > 300
    loaded = gradcam.load("my things.safetensors")
    picture = sorted(folder.rglob("*.png"))[0]
    trained = gradcam.fit_head(network, folder, folds=4, seed=3)
    assert (loaded.forward(picture).scores == trained.forward(picture).scores).all()
    text = run("explain", picture, "--weights", "my things.safetensors", "--class", "thing_2")
    assert "thing_2" in text and "learnt from 24 pictures" in run.errors


def test_json(folder, weights):
    options = ("--out", "a.safetensors", "--strength", 0.1, "--layer", "relu", "--json")
    (line,) = run("train-head", folder, "--weights", weights, *options).splitlines()
    record = json.loads(line)
    expected = gradcam.fit_head(small_pictograms.network(), folder, C=0.1, layer="relu").training
    assert record["accuracy"]["mean"] == expected.accuracy
    assert record["accuracy"]["low"] == expected.interval.low
    assert record["confusion"] == expected.confusion.tolist()
    assert record["folds"] == list(expected.per_fold)
    assert record["classes"][2] == {
        "index": 2,
        "label": "thing_2",
        "pictures": 8,
        "right": expected.confusion[2, 2],
    }
    assert [each["source"] for each in record["wrong"]] == [each.source for each in expected.wrong]
    assert (record["layer"], record["C"], record["seed"]) == ("relu", 0.1, 0)
    assert record["use"] == "gradcam explain PICTURE --weights a.safetensors"


def test_no_file_is_replaced_without_force(folder, weights):
    Path("a.safetensors").write_text("precious")
    command = ("train-head", folder, "--weights", weights, "--out", "a.safetensors")
    run(*command, code=2)
    assert "exists already" in run.errors and Path("a.safetensors").read_text() == "precious"
    run(*command, "--force")
    assert len(gradcam.load("a.safetensors").labels) == 3
    Path("a.png").write_text("precious")
    run(*command[:-1], "b.safetensors", "--figure", "a.png", code=2)
    assert Path("a.png").read_text() == "precious" and not Path("b.safetensors").exists()


def test_broken_and_doubtful_pictures(folder, weights):
    shutil.copytree(folder, "set")
    Path("set/thing_0/000.png").write_bytes(b"no picture")
    shutil.copy("set/thing_1/001.png", "set/thing_2/same.png")
    command = ("train-head", "set", "--weights", weights, "--out", "a.safetensors")
    text = run(*command, code=1)
    assert "of 24 held-out pictures" in text and "Note: 1 picture is the same as another" in text
    error = next(line for line in run.errors.splitlines() if line.startswith("Error: "))
    assert error.count("000.png") == 1
    assert "Warning: 1 picture is in several classes" in run.errors
    record = json.loads(run(*command, "--force", "--json", code=1))
    assert record["skipped"] == ["set/thing_0/000.png"]
    assert len(record["notes"]) == len(record["doubts"]) == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--out", "a.pth"), "must end in .safetensors"),
        (("--out", "missing/a.safetensors"), "no folder missing"),
        (("--out", "a.safetensors", "--figure", "a.jpg"), "must end in .png"),
        (("--out", "a.safetensors", "--folds", "1"), "--folds"),
        (("--out", "a.safetensors", "--strength", "0"), "--strength"),
        (("--out", "a.safetensors", "--layer", "nothing"), "no layer is called 'nothing'"),
        ((), "--out"),
    ],
)
def test_bad_options(folder, weights, arguments, complaint):
    run("train-head", folder, "--weights", weights, *arguments, code=2)
    assert complaint in run.errors and not list(Path().iterdir())


def test_bad_folders(folder, weights, tmp_path):
    new_classes.write(tmp_path / "one", 1, 2, 64)
    new_classes.write(tmp_path / "few", 2, 1, 64)
    Path("empty").mkdir()
    for name, complaint in (
        ("missing", "missing: No such file"),
        ("empty", "expected a folder for each class"),
        ("one", "all pictures are of one class"),
        ("few", "'thing_0' has 1 different picture"),
    ):
        run("train-head", name, "--weights", weights, "--out", "a.safetensors", code=2)
        assert complaint in run.errors and not Path("a.safetensors").exists()
    figure = ("--out", "a.safetensors", "--figure", "few/thing_0/confusion.png")
    run("train-head", "few", "--weights", weights, *figure, code=2)
    assert "taken for a picture" in " ".join(run.errors.split())
