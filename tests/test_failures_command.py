"""``gradcam failures`` on a folder of scenes, compared with the library."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

import gradcam
from gradcam import _cli as cli
from gradcam import pictograms

pytestmark = pytest.mark.filterwarnings("ignore::gradcam.FlatMapWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve scenes, most of whose objects cannot be recognised any more."""
    root = tmp_path_factory.mktemp("data") / "scenes"
    for seed in range(12):
        scene = pictograms.scene(700 + seed, objects=1).covered(0, 0.85, seed=seed)
        path = root / scene.objects[0].label / f"{seed}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene.picture).save(path)
    return root


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*arguments, code=0):
    command = ["failures", *map(str, arguments), "--model", "pictograms"]
    result = CliRunner().invoke(cli.main, command, catch_exceptions=False)
    assert result.exit_code == code, result.output
    run.errors = result.stderr
    return result.stdout


def test_everything_is_what_the_library_finds(folder):
    expected = gradcam.failures(pictograms.model(), folder)
    assert expected.wrong_count > 3
    text = run(folder, "--count", 2, "--table", "errors.csv", "--out", "out")
    assert text.startswith(f"{expected.finding}.\n")
    assert "Written to out/failures.png" in text
    first, second, third = (Path(each.source).name for each in expected.wrong[:3])
    assert first in text and second in text and third not in text
    height = Image.open("out/failures.png").height
    rows = list(csv.DictReader(Path("errors.csv").read_text().splitlines()))
    assert [row["picture"] for row in rows] == [each.name for each in expected.wrong]
    for row, each in zip(rows, expected.wrong, strict=True):
        assert (row["synset"], int(row["class"])) == (each.truth.synset, each.truth.index)
        assert row["predicted_label"] == each.predicted.label
        assert float(row["predicted_probability"]) == each.predicted_probability
        assert float(row["probability"]) == each.truth_probability
    found = json.loads(run(folder, "--json", "--method", "Grad-CAM", "--out", "out"))
    assert (found["pictures"], found["wrong"]) == (12, expected.wrong_count)
    assert found["accuracy"]["mean"] == expected.accuracy.mean
    assert [each["picture"] for each in found["failures"]] == [row["picture"] for row in rows]
    assert sum(each["times"] for each in found["confusions"]) == expected.wrong_count
    assert found["file"] == "out/failures.png" and found["unknown"] == {}
    assert Image.open("out/failures.png").height > 1.5 * height  # six rows, not two


def test_unknown_classes_and_broken_pictures(tmp_path):
    scene = pictograms.scene(3, classes=["cat"])
    for name in ("cat", "unicorn"):
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.fromarray(scene.picture).save(tmp_path / "set" / name / "a.png")
    (tmp_path / "gradcam-out").mkdir()
    (tmp_path / "gradcam-out/failures.png").write_text("of an earlier run")
    text = run("set")
    assert text.startswith("1 picture, and it is right.\n") and "unicorn (1)" in text
    assert (tmp_path / "gradcam-out/failures.png").read_text() == "of an earlier run"
    assert "gradcam-out/failures.png is of an earlier run" in run.errors
    found = json.loads(run("set", "--json"))
    assert found["unknown"] == {"unicorn": 1} and found["file"] is None
    assert found["accuracy"] == {"mean": 1.0, "low": None, "high": None}
    (tmp_path / "set/cat/b.png").write_text("no picture")
    assert json.loads(run("set", "--json", code=1))["skipped"] == ["set/cat/b.png"]
    assert run.errors.count("set/cat/b.png") == 1
    (tmp_path / "set/cat/a.png").rename("set/unicorn/b.png")
    run("set", code=2)
    assert "1 more could not be read: set/cat/b.png: " in run.errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "none: No such file or directory"),
        (["empty"], "empty: expected a folder for each class, with its pictures, found no folders"),
        (["numbers"], "if the numbers are indices of its classes, from 0, add --class-indices"),
        (["numbers", "--out", "numbers/out"], "choose another folder"),
        (["numbers", "--out", "numbers"], "choose another folder"),
        (["numbers", "--method", "guided"], "no method is called 'guided'"),
        (["numbers", "--table", "t.txt"], "expected a name that ends in .csv or .parquet"),
        (["numbers", "--class-indices", "--count", "0"], "0 is not in the range"),
        (["far", "--class-indices"], "class index 77 is out of range: there are 36 classes"),
    ],
)
def test_errors(tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "far/77").mkdir(parents=True)
    Image.fromarray(pictograms.scene(3, classes=["cat"]).picture).save(tmp_path / "far/77/a.png")
    (tmp_path / "numbers/6").mkdir(parents=True)
    Image.fromarray(pictograms.scene(3, classes=["cat"]).picture).save(tmp_path / "numbers/6/a.png")
    run(*arguments, code=2)
    assert message in run.errors
    assert not (tmp_path / "t.txt").exists()


def test_numbers_can_be_indices(tmp_path):
    (tmp_path / "numbers/6").mkdir(parents=True)
    Image.fromarray(pictograms.scene(3, classes=["cat"]).picture).save(tmp_path / "numbers/6/a.png")
    assert json.loads(run("numbers", "--class-indices", "--json"))["wrong"] == 0


def test_an_interval_without_width_is_null(tmp_path):
    (tmp_path / "set/cat").mkdir(parents=True)
    picture = Image.fromarray(pictograms.scene(3, classes=["zebra"]).picture)
    for name in ("a.png", "b.png"):
        picture.save(tmp_path / "set/cat" / name)
    found = json.loads(run("set", "--json"))
    assert found["accuracy"] == {"mean": 0.0, "low": None, "high": None}
