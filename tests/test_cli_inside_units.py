"""``gradcam inside units``: what is written and printed, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import annotation_files
import numpy as np
import pytest
import small_pictograms
from click.testing import CliRunner
from PIL import Image

from gradcam import _cli as cli
from gradcam import imagenet, inside, pictograms
from gradcam._annotations.reading import open_annotations
from gradcam.inside import Concept


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    """The network of the pictograms is a small one."""
    network = small_pictograms.network()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(imagenet, "is_installed", lambda: False)
    monkeypatch.setattr(pictograms, "model", lambda: network)
    return tmp_path


class Ran:
    def __init__(self, arguments: tuple[object, ...], code: int) -> None:
        command = ["inside", "units", *map(str, arguments)]
        result = CliRunner().invoke(cli.main, command, catch_exceptions=False)
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        self.out, self.errors = result.stdout, result.stderr

    @property
    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.out.splitlines()]


def run(*arguments: object, code: int = 0) -> Ran:
    return Ran(arguments, code)


SMALL = ("--scenes", 6, "--layer", "relu", "--quantile", 0.9)


def test_scenes_of_pictograms() -> None:
    done = run(*SMALL, "--seed", 3, "--iou", 0.01, "--table", "units.csv")
    found = pictograms.dissect(
        pictograms.model(), "relu", scenes=6, first=3, quantile=0.9, iou=0.01
    )
    assert done.out.startswith(found.finding)
    assert "Network: pictograms, because the pictures are scenes" in done.errors
    assert Image.open("gradcam-out/units-relu.png").size[0] > 300
    rows = list(csv.DictReader(Path("units.csv").read_text().splitlines()))
    assert [int(row["unit"]) for row in rows] == list(range(6))
    assert [float(row["iou"]) for row in rows] == found.scores.max(1).tolist()
    for unit in found.units:
        row = rows[unit.number]
        assert Concept(row["concept"], row["kind"]) == unit.concept
    for concept in found.detectors:
        assert str(concept) in done.out


def test_json_and_sentences() -> None:
    Image.fromarray(pictograms.scene(5, size=(64, 64)).picture).save("one.png")
    options = ("--iou", 0.01, "--explain", "one.png", "--class", "cat", "--class", "dog", "--json")
    record, cat, dog = run(*SMALL, *options).lines
    found = pictograms.dissect(pictograms.model(), "relu", scenes=6, quantile=0.9, iou=0.01)
    assert record["finding"] == found.finding and record["pictures"] == 6
    assert [each["unit"] for each in record["named"]] == [each.number for each in found.units]
    assert (cat["class"]["label"], dog["class"]["label"]) == ("cat", "dog")
    tape = found.network.forward("one.png")
    said = found.sentence(tape.grad_cam("dog", layer="relu"))
    assert dog["sentence"] == said.text
    assert [each["alpha"] for each in dog["highest"]] == [each.alpha for each in said.highest]
    assert "one.png: The network says" in run(*SMALL, "--explain", "one.png").out


@pytest.mark.parametrize("format", ["coco", "voc", "masks"])
def test_pictures_with_annotations(format: str) -> None:
    scenes = annotation_files.scenes("pictures", 6, classes=["cat", "dog", "zebra"])
    truth = Path("truth.json" if format == "coco" else "truth")
    getattr(annotation_files, format)(truth, scenes)
    command = ("pictures", "--annotations", truth, "--layer", "relu", "--quantile", 0.9)
    (record,) = run(*command, "--iou", 0, "--json").lines
    masks = []
    for scene in scenes.values():
        of_scene: dict[str, np.ndarray] = {}
        for each in scene.objects:
            mask = of_scene.setdefault(each.label, np.zeros((64, 64), bool))
            if format == "voc":
                x0, y0, x1, y1 = each.box
                mask[y0:y1, x0:x1] = True
            else:
                mask |= each.mask
        masks.append(of_scene)
    found = inside.dissect(
        *(small_pictograms.network(), [each.picture for each in scenes.values()], masks, "relu"),
        quantile=0.9,
        iou=0,
    )
    assert [
        (each["unit"], each["concept"], each["kind"], each["iou"]) for each in record["named"]
    ] == [(each.number, each.concept.name, "object", each.iou) for each in found.units]
    assert Path(record["file"]).is_file()


def test_pictures_that_fail_are_named() -> None:
    scenes = annotation_files.scenes("pictures", 4, classes=["cat", "dog"])
    annotation_files.coco(Path("truth.json"), scenes)
    Path("pictures/03.png").write_bytes(b"no picture")
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save("pictures/01.png")
    Path("pictures/readme.txt").write_text("text")
    command = ("pictures", "-a", "truth.json", "--layer", "relu", "--quantile", 0.9)
    Path("nothing.png").write_bytes(b"no picture")
    done = run(*command, "--explain", "nothing.png", code=1)
    assert "pictures/01.png: " in done.errors and "32 x 32" in done.errors
    assert "pictures/03.png: " in done.errors and "nothing.png: cannot be read" in done.errors
    assert "3 of 5 pictures failed" in done.errors and ".txt: 1" in done.errors


def test_no_annotation_belongs_to_the_pictures() -> None:
    scenes = annotation_files.scenes("pictures", 2)
    annotation_files.coco(Path("truth.json"), scenes)
    for number in range(2):
        Path(f"pictures/{number:02}.png").rename(f"pictures/x{number}.png")
    done = run("pictures", "-a", "truth.json", code=2)
    assert "no picture has annotations in truth.json, which has 2, for example" in done.errors
    assert open_annotations(Path("truth.json")).example in done.errors


def test_without_names_there_is_no_figure() -> None:
    done = run(*SMALL, "--iou", 0.99)
    assert done.out.startswith("0 of 6 units of relu have a name")
    assert "No figure: no unit has a name." in done.errors
    assert not Path("gradcam-out").exists()
    (record,) = run(*SMALL, "--iou", 0.99, "--json").lines
    assert record["file"] is None and record["named"] == []
    Path("gradcam-out").mkdir()
    Path("gradcam-out/units-relu.png").touch()
    assert "units-relu.png is that of an earlier run" in run(*SMALL, "--iou", 0.99).errors


def test_few_scenes_are_warned_of() -> None:
    done = run("--layer", "relu", "--quantile", 0.9, "--scenes", 1)
    assert "Warning: fewer than two pictures have masks" in done.errors


def test_wrong_options_are_refused() -> None:
    annotation_files.coco(Path("truth.json"), annotation_files.scenes("pictures", 2))
    Path("empty").mkdir()
    for arguments, words in (
        (("pictures",), "Pictures need annotations"),
        (("-a", "truth.json"), "name the folder of the pictures"),
        (("--format", "coco"), "--format goes with --annotations"),
        (("--class", "cat"), "--class goes with --explain"),
        (("pictures", "-a", "truth.json", "--scenes", 5), "--scenes goes without pictures"),
        (("pictures", "-a", "truth.json", "--seed", 5), "--seed goes without pictures"),
        (("--quantile", 1), "--quantile"),
        (("--explain", "nope.png"), "nope.png: No such file or directory"),
        (("--out", "truth.json/x"), "Not a directory"),
        (("--layer", "nothing"), "nothing"),
        (("--layer", "scores"), "has no map"),
        (("--explain", "truth.json", "--class", "nobody"), "nobody"),
        (("--table", "units.txt"), ".csv or .parquet"),
        (("empty", "-a", "truth.json"), "there is no picture in this folder"),
        (("pictures", "-a", "truth.json", "--out", "pictures"), "cannot be read and written"),
    ):
        assert words in run(*arguments, code=2).errors
    assert not Path("gradcam-out").exists()
