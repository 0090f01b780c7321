"""The command line and the demo page, run on a small untrained network."""

from __future__ import annotations

import copy
import csv
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import DRAWN, peer, run_python, with_a_network
from PIL import Image

import gradcam
from gradcam import _cli as cli
from gradcam import _demo as demo
from gradcam import imagenet, pictograms, weights
from gradcam._cli import many
from gradcam._cli.inputs import output_names
from gradcam._cli.options import MODELS
from gradcam._engine import forward_pass, stream
from gradcam._models.constructors import CONSTRUCTORS
from gradcam._text import percent

LABELS = ["cat", "crane", "crane", "jack-o'-lantern"]
SYNSETS = ["n02121808", "n02012849", "n03126707", "n03590841"]

pytestmark = pytest.mark.filterwarnings("ignore::gradcam.FlatMapWarning")


def small_network(seed=3):
    tensors = gradcam.vgg11.random_tensors(width=4, fc=16, classes=4, seed=seed)
    labels = gradcam.Labels(LABELS, SYNSETS)
    return gradcam.vgg11(tensors, labels=labels, preset=gradcam.Preset("small", size=64))


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch, network):
    """Every test runs in a folder of its own; the pictograms network is the small one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(imagenet, "is_installed", lambda: False)
    monkeypatch.setattr(pictograms, "model", lambda: network)
    return tmp_path


def draw(path, height=40, width=60, seed=0):
    """Write a picture of noise; return its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def run(*arguments, code=0, charset="utf-8"):
    """Run the command; return standard output, having checked the exit status."""
    command = with_a_network([str(a) for a in arguments])
    result = CliRunner(charset).invoke(cli.main, command, catch_exceptions=False)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    run.errors = result.stderr
    return result.stdout


def json_lines(*arguments, code=0):
    return [json.loads(line) for line in run(*arguments, "--json", code=code).splitlines()]


def written(folder="gradcam-out"):
    """The names of the files in a folder, without hidden ones."""
    return sorted(path.name for path in Path(folder).iterdir() if path.name[0] != ".")


def test_every_model_exists():
    for name in MODELS:
        make = getattr(gradcam, name)
        assert callable(make if name in CONSTRUCTORS else make.model)


@pytest.mark.parametrize(
    "command",
    (
        *("", "explain", "predict", "compare", "sheet", "critique", "check", "methods", "demo"),
        *("evaluate", "evaluate localization", "failures"),
        *("visualise", "edit", "adversarial", "invert", "train-head"),
        *("caption", "photographs", "scenes", "notebooks", "info", "convert"),
    ),
)
def test_help(command):
    text = run(*command.split(), "--help")
    assert "Usage:" in text and "--help" in text
    if not command:
        assert "Exit status" in text and "130" in text


def test_help_needs_neither_matplotlib_nor_pillow():
    run_python(
        "import sys\n"
        "from gradcam._cli import main\n"
        "try: main(['explain', '--help'])\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'matplotlib', 'PIL', 'rich'} & set(sys.modules)\n"
    )


def test_the_module_runs():
    found = run_python(
        "import runpy, sys\n"
        "sys.argv[1:] = ['--version']\n"
        "runpy.run_module('gradcam', run_name='__main__')\n"
    )
    assert found == f"gradcam {gradcam.__version__}"


# --- predict ---


def test_predict(network):
    file = draw("a.png")
    text = run("predict", file, "--top", 2)
    (first, second) = network.predict("a.png", 2)[0]
    assert text.index(first[1]) < text.index(second[0])
    assert percent(first[2]) in text and "a.png" in text


def test_predict_as_json(network):
    draw("a.png"), draw("b.png", seed=1)
    records = json_lines("predict", "a.png", "b.png", "-k", 4)
    assert [record["picture"] for record in records] == ["a.png", "b.png"]
    for record in records:
        tape = network.forward(record["picture"])
        ours = [(p["synset"], p["label"], p["probability"]) for p in record["predictions"]]
        assert ours == tape.top(4)
        for p in record["predictions"]:
            assert p["score"] == pytest.approx(float(tape.scores[0, p["index"]]))
            assert LABELS[p["index"]] == p["label"]


# --- explain ---


def test_explain_writes_the_top_class(network):
    draw("a.png")
    text = run("explain", "a.png")
    found = network.forward("a.png").grad_cam()
    (name,) = written()
    assert name.startswith("a-grad_cam-")
    assert text.splitlines()[1].endswith(f" {name}")
    assert text.endswith("\nWritten to gradcam-out\n")
    image = np.asarray(Image.open(Path("gradcam-out", name)))
    np.testing.assert_array_equal(image, found.image)


def test_explain_everything_as_json(network):
    draw("a.png")
    methods = [word for name in DRAWN for word in ("-m", name)]
    options = (
        "-c",
        "CAT",
        "-c",
        1,
        "-c",
        SYNSETS[2],
        "-c",
        "n02121808",
        "-f",
        "png",
        "-f",
        "npz",
        "-o",
        "x/y",
    )
    (record,) = json_lines("explain", "a.png", *methods, *options)
    made = record["explanations"]
    assert len(made) == len(DRAWN) * 3  # the cat was named twice
    tape = network.forward("a.png")
    for found in made:
        index = found["class"]["index"]
        expected = tape.explain(found["method"], index)
        assert (found["layer"], found["score"]) == (expected.layer, expected.score)
        assert found["box"] == (None if expected.box() is None else list(expected.box()))
        image = np.asarray(Image.open(found["file"]))
        np.testing.assert_array_equal(image, expected.image)
        with np.load(found["npz"]) as arrays:
            np.testing.assert_array_equal(arrays["raw"], expected.raw)
    files = {found["file"] for found in made}
    assert len(files) == len(made) and all(Path(file).parent == Path("x/y") for file in files)
    assert {Path(f).name for f in files} >= {"a-saliency-crane-1.png", "a-saliency-crane-2.png"}


def test_top_and_class_together(network):
    draw("a.png")
    top = network.forward("a.png").top(2)
    (record,) = json_lines("explain", "a.png", "-c", 3, "-k", 2)
    explained = [found["class"]["label"] for found in record["explanations"]]
    expected = ["jack-o'-lantern", *(label for _, label, _ in top)]
    assert explained == list(dict.fromkeys(expected))
    assert "a-grad_cam-jack-o-lantern.png" in written()


def test_methods_may_be_written_with_hyphens():
    draw("a.png")
    run("explain", "a.png", "-m", "Guided-Grad-CAM", "-c", "cat")
    assert written() == ["a-guided_grad_cam-cat.png"]


def test_several_layers(network):
    draw("a.png")
    options = ("-c", "cat", "-l", "block3_conv1, relu5_2", "-m", "layer_cam")
    (record,) = json_lines("explain", "a.png", *options)
    expected = network.forward("a.png").layer_cam("cat", layer=["relu3_1", "relu5_2"])
    (found,) = record["explanations"]
    assert found["layer"] == "relu3_1, relu5_2"
    np.testing.assert_array_equal(np.asarray(Image.open(found["file"])), expected.image)


def test_layer_probability_and_colours(network):
    draw("a.png")
    options = ("-c", "cat", "-l", "block3_conv1", "--on", "probability", "--cmap", "paper")
    (record,) = json_lines("explain", "a.png", *options)
    expected = network.forward("a.png").grad_cam("cat", layer="relu3_1", on="probability")
    (found,) = record["explanations"]
    assert found["layer"] == "relu3_1"
    np.testing.assert_array_equal(np.asarray(Image.open(found["file"])), expected.overlay("paper"))


@pytest.fixture
def scaled():
    """A method with options of several types."""

    @gradcam.method(title="Scaled gradient", source="Nobody 2026", view="signed")
    def scaled_gradient(
        tape,
        objective,
        *,
        scale: float = 1.0,
        sides: tuple[int, int] = (1, 2),
        progress: bool = False,
    ):
        """The gradient times a number."""
        SHOWN.append(progress)
        return scale * objective.gradient(tape, "input")

    yield scaled_gradient
    del gradcam.METHODS._methods["scaled_gradient"]


SHOWN = []


def test_options_of_methods(scaled, network):
    draw("a.png")
    command = ("explain", "a.png", "-c", 0, "-m", "scaled-gradient", "-m", "saliency", "-f", "npz")
    found = []
    for options in ((), ("-O", "scale=2.5", "-O", "sides=3,4")):
        (record,) = json_lines(*command, *options)
        files = [each["file"] for each in record["explanations"]]
        assert [Path(each).name[:8] for each in files] == ["a-scaled", "a-salien"]
        found.append([gradcam.Explanation.load(each) for each in files])
    (once, saliency), (scaled, same) = found
    np.testing.assert_allclose(scaled.raw, 2.5 * once.raw, rtol=1e-6)
    np.testing.assert_array_equal(same.raw, saliency.raw)
    assert scaled.title == "Scaled gradient (scale 2.5, sides (3, 4))"
    run(*command, "-O", "scale=3", "--resume", code=2)
    assert "--option was {'scale': '2.5', 'sides': '3,4'}" in " ".join(run.errors.split())
    run("compare", "a.png", "-k", 1, "-m", "scaled_gradient", "-O", "scale=2", "--dpi", 30)
    for wrong, words in (("scale=x", "must be a number"), ("sides=1", "separated by commas")):
        run(*command, "-O", wrong, code=2)
        assert words in " ".join(run.errors.split())
    run(*command, "-O", "scale=1", "-O", "scale=2", code=2)
    assert "given twice" in run.errors


def test_a_method_shows_its_progress_to_people(scaled, monkeypatch):
    draw("a.png"), draw("b.png")
    command = ("explain", "-m", "scaled_gradient")
    monkeypatch.setattr(cli.asked.terminal, "is_seen", lambda: True)
    SHOWN.clear()
    run(*command, "a.png")
    run(*command, "a.png", "b.png")
    run(*command, "a.png", "-O", "progress=false")
    assert SHOWN == [True, False, False]


def test_the_list_of_methods(scaled):
    records = [json.loads(line) for line in run("methods", "--json").splitlines()]
    assert [each["name"] for each in records] == list(gradcam.METHODS)
    by_name = {each["name"]: each for each in records}
    assert by_name["grad_cam"]["layer"] and by_name["grad_cam"]["title"] == "Grad-CAM"
    assert by_name["scaled_gradient"]["options"] == {
        "scale": "1",
        "sides": "1,2",
        "progress": "false",
    }
    for name, text in by_name["scaled_gradient"]["options"].items():
        assert scaled.read_option(name, text) == scaled.default(name)
    text = run("methods", "scaled_gradient")
    assert "Nobody 2026" in text and "scale=1  sides=1,2" in text and "grad_cam" not in text
    run("methods", "grad_kam", code=2)
    assert "did you mean 'grad_cam'" in run.errors


def test_units_and_differences(network):
    draw("a.png")
    command = ("explain", "a.png", "-u", "relu4_1:3", "-u", "relu4_1:3:1,2", "-f", "npz")
    run(*command, code=2)
    assert "reads 'relu4_1', which 'relu5_2' does not change" in " ".join(run.errors.split())
    command = (*command, "-l", "relu3_1")
    (record,) = json_lines(*command, "--table", "t.csv")
    made = record["explanations"]
    labels = ["unit 3 of relu4_1", "unit 3 of relu4_1 at (1, 2)"]
    assert [each["label"] for each in made] == labels
    assert all(each["class"] is None and each["probability"] is None for each in made)
    with open("t.csv", newline="") as file:
        assert [(row["class"], row["label"]) for row in csv.DictReader(file)] == [
            ("", label) for label in labels
        ]
    tape = network.forward("a.png")
    found = [gradcam.Explanation.load(each["file"]).raw for each in made]
    for raw, position in zip(found, (None, (1, 2)), strict=True):
        expected = tape.grad_cam(gradcam.Unit("relu4_1", 3, position), layer="relu3_1").raw
        np.testing.assert_array_equal(raw, expected)
    (record,) = json_lines("explain", "a.png", "-c", 0, "--against", 1, "-f", "npz")
    (made,) = record["explanations"]
    assert made["label"] == "cat - crane" and made["file"].endswith("cat_-_crane.npz")
    expected = tape.grad_cam(gradcam.Difference(0, 1)).raw
    np.testing.assert_array_equal(gradcam.Explanation.load(made["file"]).raw, expected)
    text = run("explain", "a.png", "-u", "fc7:2", "-c", 0)
    assert "unit 2 of fc7" in text and "a-grad_cam-unit_2_of_fc7.png" in text
    run("compare", "a.png", "-u", "fc7:2", "--against", 3, "-m", "grad_cam", "--dpi", 30)
    (record,) = json_lines("explain", "a.png", "-u", "fc7:2", "--against", 3, "-k", 2)
    assert [each["label"] for each in record["explanations"]][-1] == "unit 2 of fc7"
    assert all("- jack-o'-lantern" in each["label"] for each in record["explanations"][:-1])
    top = int(tape.scores[0].argmax())
    run("explain", "a.png", "--against", top, code=2)
    assert "--top" in run.errors


def test_check(network):
    draw("a.png"), spoil("b.png")
    command = ("check", "a.png", "b.png", "-c", "cat", "-m", "grad_cam", "-m", "saliency")
    records = json_lines(*command, "--steps", 2, "--dpi", 20, "--other", 1, code=1)
    first, second = records[0]["checks"]
    assert Path(first["file"]).name == "a-check-grad_cam-cat.png"
    assert Path(second["file"]).name == "a-check-saliency-cat.png"
    assert len(written()) == 2 and all(Image.open(each["file"]) for each in (first, second))
    found = network.forward("a.png").saliency("cat").report(steps=2, other=1)
    assert second["finding"] == found.finding and second["passed"] == found.passed
    assert second["values"] == {each.name: each.value for each in found.checks}
    assert second["failed"] == [each.name for each in found.checks if not each.passed]
    assert "crane" in second["finding"] or "fails" in second["finding"]
    assert (second["label"], second["layer"]) == ("cat", "input")
    (alone,) = json_lines("check", "a.png", "-c", "cat", "--steps", 1, "--dpi", 20)
    assert Path(alone["checks"][0]["file"]).name == "a-check-cat.png"
    (alone,) = json_lines("check", "a.png", "-m", "lrp", "-O", "rule=epsilon", "--steps", 1)
    expected = network.forward("a.png").lrp(rule="epsilon").report(steps=1)
    assert alone["checks"][0]["finding"].startswith("cat, LRP (rule epsilon): ")
    assert alone["checks"][0]["values"] == {each.name: each.value for each in expected.checks}
    run("check", "a.png", "-m", "saliency", "-O", "rule=epsilon", code=2)
    assert "--option rule: none of the methods has it" in run.errors
    run("check", "a.png", "-c", "cat", "--other", "cat", code=2)
    assert "it is the class that is checked" in run.errors
    run("check", "a.png", "-m", "saliency", "--layer", "relu1_1", code=2)
    assert "has no effect on saliency" in run.errors


def test_critique(network):
    from gradcam import critique

    draw("a.png"), draw("b.png", seed=1), spoil("c.png")
    asked = ("second_order", "cross_saliency", "norm_against_confidence")
    questions = [part for each in asked for part in ("-q", each)]
    command = ("critique", "a.png", "b.png", "c.png", "-c", "cat", "--dpi", 20, *questions)
    records = json_lines(*command, code=1)
    assert [each.get("picture") for each in records] == ["a.png", "b.png", "c.png", None]
    assert [each["question"] for each in records[0]["findings"]] == list(asked[:2])
    found = critique.second_order(network.forward("a.png"), "cat")
    made = records[0]["findings"][0]
    assert (made["label"], made["finding"]) == ("cat", found.finding)
    assert made["file"] == str(Path("gradcam-out", "a-second_order-cat.png"))
    together = [Path(each["file"]).name for each in records[3]["findings"]]
    assert together == ["norm_against_confidence.png", "cross_saliency.png"]
    files = [each["file"] for record in records for each in record.get("findings", ())]
    assert len(set(files)) == 6 == len(written()) and all(Image.open(file) for file in files)


@pytest.mark.slow
def test_critique_asks_all_questions():
    draw("a.png")
    (record,) = json_lines("critique", "a.png", "--dpi", 20)
    asked = ["score_and_probability", "norm_along_ascent", "second_order"]
    asked += ["deconvnet_and_backprop", "cross_saliency"]
    assert [each["question"] for each in record["findings"]] == asked
    assert all(each["label"] for each in record["findings"][:4])


def test_critique_of_several_classes(monkeypatch):
    draw("a.png"), spoil("c.png")
    command = ("critique", "a.png", "-q", "second_order", "-c", 1, "-c", 2, "--dpi", 20)
    text = run(*command, "-o", "out")
    assert "second-order term" in text and "Written to out" in text
    assert written("out") == ["a-second_order-crane-1.png", "a-second_order-crane-2.png"]
    run("critique", "a.png", "-c", "cta", code=2)
    assert "'cat'" in run.errors
    run("critique", "c.png", code=2)
    run("critique", "a.png", "-q", "norm_against_confidence", code=2)
    assert "several pictures" in run.errors
    monkeypatch.setattr(sys.modules["gradcam._cli.critique"], "_MOST", 1)
    run("critique", "a.png", "-c", 1, "-c", 2, code=2)
    assert "holds 1 classes, not 2" in run.errors


def test_critique_uses_every_class():
    draw("a.png"), draw("b.png", seed=1), spoil("c.png")
    questions = ("-q", "norm_against_confidence", "-q", "cross_saliency", "--dpi", 20)
    command = ("critique", "a.png", "b.png", "c.png", "-c", 1, "-c", 2, *questions)
    together = json_lines(*command, code=1)[-1]
    assert together["pictures"] == 2
    assert [Path(each["file"]).name for each in together["findings"]] == [
        *("norm_against_confidence-crane-1.png", "norm_against_confidence-crane-2.png"),
        "cross_saliency.png",
    ]


def test_equal_names_keep_apart():
    pictures = [draw(name) for name in ("a/cat.png", "b/cat.png", "c/Cat.png", "cat-2.png")]
    run("explain", *pictures, "-c", 0)
    assert written() == [
        *("Cat-4-grad_cam-cat.png", "cat-2-grad_cam-cat.png"),
        *("cat-3-grad_cam-cat.png", "cat-grad_cam-cat.png"),
    ]


def test_output_names():
    names = output_names(["x", "x", "x-2", "X", "x-3", "x-2"])
    assert names == ["x", "x-4", "x-2", "X-5", "x-3", "x-2-2"]
    assert len({name.casefold() for name in names}) == len(names)


def test_a_folder_stands_for_its_pictures():
    for name in ("p/b.png", "p/a.jpg", "p/.hidden.png"):
        draw(name)
    Path("p/notes.txt").write_text("no picture")
    assert [r["picture"] for r in json_lines("predict", "p")] == [
        str(Path("p", name)) for name in ("a.jpg", "b.png")
    ]


def test_folders_of_folders():
    """Hidden ones and the output folder are skipped, links are followed, but not in circles."""
    for name in ("p/cat.png", "p/sub/dir/cat.png", "p/sub/.hidden/x.png", "p/out/old.png"):
        draw(name)
    draw("elsewhere/linked.png")
    Path("p/link").symlink_to(Path("elsewhere").resolve())
    Path("p/sub/up").symlink_to(Path("p").resolve())
    Path("p/notes.txt").write_text("no picture")
    records = json_lines("explain", "p", "-c", "cat", "-o", "p/out")
    files = [found["file"] for record in records for found in record["explanations"]]
    names = ("cat", "link/linked", "sub/dir/cat")
    assert files == [str(Path("p/out", f"{name}-grad_cam-cat.png")) for name in names]
    assert all(Path(file).is_file() for file in files)
    assert run.errors == "Ignored files that are not pictures: .txt: 1\n"


def test_every_suffix_of_a_readable_format():
    suffixes = (".jfif", ".jp2", ".tga", ".JPG", ".tiff", ".ppm", ".ico", ".webp")
    for suffix in suffixes:
        draw("p/a.png")
        Image.open("p/a.png").save(f"p/picture{suffix}")
    records = json_lines("predict", "p")
    found = {Path(record["picture"]).suffix for record in records if "predictions" in record}
    assert found == {".png", *suffixes}


def test_a_folder_that_cannot_be_read_is_an_error(monkeypatch):
    draw("p/a.png"), draw("p/closed/b.png")
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", refusing)
    run("predict", "p", code=1)
    assert run.errors.endswith("Error: p/closed: Permission denied\n")


def test_a_picture_is_done_once():
    draw("p/a.png")
    assert len(json_lines("predict", "p", "p/a.png", Path("p").resolve(), "p/../p/a.png")) == 1


def test_several_folders_keep_apart():
    """In one command by the folders' names, in several by numbers; a second run replaces."""
    for name in ("x/cat.png", "y/cat.png"):
        draw(name)
    run("explain", "x", "y", "-c", 0, "-o", "one")
    assert Path("one/x/cat-grad_cam-cat.png").exists() and Path("one/y").is_dir()
    for _ in range(2):
        for folder in ("x", "y"):
            run("explain", folder, "-c", 0, "-o", "two")
        assert written("two") == ["cat-2-grad_cam-cat.png", "cat-grad_cam-cat.png"]
    Path("x/cat.png").unlink()
    draw("z/cat.png")
    run("explain", "z", "-c", 0, "-o", "two")  # in place of the picture that is gone
    assert written("two") == ["cat-2-grad_cam-cat.png", "cat-grad_cam-cat.png"]


def test_batches_change_nothing():
    for number in range(5):
        draw(f"p/{number}.png", height=40 + number, seed=number)
    options = ("-m", "grad_cam", "-m", "saliency", "-k", 2)
    found = []
    for batch in (1, 2, 8):
        records = json_lines("explain", "p", *options, "--batch", batch)
        files = [Path(each["file"]) for record in records for each in record["explanations"]]
        found.append((records, [file.read_bytes() for file in files]))
    assert len(found[0][0]) == 5 and found[0] == found[1] == found[2]


def test_a_picture_that_fails_does_not_fail_its_batch(monkeypatch):
    """Pictures are explained one at a time if a batch fails."""
    for name in ("a", "b", "c"):
        draw(f"{name}.png")
    explain = gradcam.BatchTape.explain

    def failing(self, *arguments, **options):
        if len(self) > 1 or failing.calls == 1:
            failing.calls += len(self) == 1
            raise ValueError("not this one")
        failing.calls += 1
        return explain(self, *arguments, **options)

    failing.calls = 0
    monkeypatch.setattr(gradcam.BatchTape, "explain", failing)
    run("explain", "a.png", "b.png", "c.png", "-c", 0, code=1)
    assert written() == ["a-grad_cam-cat.png", "c-grad_cam-cat.png"]
    assert "Error: b.png: not this one" in run.errors


def test_formats(network):
    draw("a.png")
    options = [word for kind in ("webp", "npz", "jpeg", "png") for word in ("-f", kind)]
    (record,) = json_lines("explain", "a.png", "-c", 0, *options)
    (found,) = record["explanations"]
    expected = network.forward("a.png").grad_cam(0)
    assert found["file"].endswith(".webp")
    for kind, suffix in (("file", ".webp"), ("jpeg", ".jpg"), ("png", ".png")):
        with Image.open(found[kind]) as image:
            assert Path(found[kind]).suffix == suffix and image.size == (60, 40)
            difference = np.asarray(image).astype(int) - expected.image
            assert np.abs(difference).mean() < (40 if suffix != ".png" else 1e-9)
    with np.load(found["npz"]) as arrays:
        np.testing.assert_array_equal(arrays["raw"], expected.raw)
        assert "map" not in arrays
    assert len(written()) == 4


def test_explain_lists_other_probable_classes(monkeypatch):
    tensors = gradcam.vgg11.random_tensors(width=4, fc=16, classes=4)
    tensors["classifier.6.weight"] *= 0.01  # no class is certain
    network = gradcam.vgg11(tensors, labels=gradcam.Labels(LABELS, SYNSETS))
    monkeypatch.setattr(pictograms, "model", lambda: network)
    draw("a.png")
    found = [percent(share) for _, _, share in network.forward("a.png").top(3) if share >= 0.01]
    lines = [line.split() for line in run("explain", "a.png").splitlines()[1:-1]]
    assert [" ".join(words[1:3]) for words in lines] == found and len(found) == 3
    assert [len(words) for words in lines] == [4, 3, 3]  # one file
    assert len(run("explain", "a.png", "-k", 3).splitlines()) == 1 + 3 + 1


# --- resuming, and tables ---


def stop_after(monkeypatch, number, *arguments):
    """Run a command that is interrupted in its pass of this number."""
    with monkeypatch.context() as patched:
        interrupt_at(patched, number)
        run(*arguments, code=130)


def test_resume(monkeypatch):
    for number in range(5):
        draw(f"p/{number}.png", seed=number)
    command = ("explain", "p", "-c", 0, "--batch", 1, "--table", "t.csv")
    stop_after(monkeypatch, 3, *command)
    done = len(written())
    assert 0 < done < 5
    times = {path: path.stat().st_mtime_ns for path in Path("gradcam-out").glob("*.png")}
    records = json_lines(*command, "--resume")
    assert len(records) == 5 - done
    assert f"{done} of 5 pictures were complete already" in run.errors
    assert times.items() <= {p: p.stat().st_mtime_ns for p in Path("gradcam-out").iterdir()}.items()
    with open("t.csv", newline="") as file:
        assert sorted(row["picture"] for row in csv.DictReader(file)) == [
            str(Path("p", f"{number}.png")) for number in range(5)
        ]
    assert json_lines(*command, "--resume") == []
    assert "5 of 5 pictures were complete already" in run.errors


def test_resume_does_changed_and_incomplete_pictures_again():
    for name in "abcde":
        draw(f"{name}.png")
    pictures = [f"{name}.png" for name in "abcde"]
    run("explain", *pictures[:4], "-c", 0, "-f", "png", "-f", "npz")
    draw("a.png", height=50)
    Path("gradcam-out/b-grad_cam-cat.npz").unlink()
    record = Path("gradcam-out/.gradcam-run.jsonl")
    record.write_bytes(record.read_bytes()[:-20])  # the run was killed while it wrote this
    again = ("explain", *pictures, "-c", 0, "-f", "png", "-f", "npz", "--resume")
    assert [r["picture"][0] for r in json_lines(*again)] == ["a", "b", "d", "e"]
    assert json_lines(*again) == []


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("-c", 1), "--class was [0] and is now [1]"),
        (("-c", 0, "-m", "saliency"), "--method was ['grad_cam'] and is now ['saliency']"),
        (("-c", 0, "--cmap", "paper"), "--cmap was 'inferno' and is now 'paper'"),
        (("-c", 0, "--weights", "w.safetensors"), "--weights was None and is now 'w.safetensors'"),
    ],
)
def test_resume_refuses_other_options(options, complaint):
    draw("a.png"), draw("b.png")
    tensors = gradcam.vgg11.random_tensors(width=2, fc=4, classes=4)
    weights.save(tensors, "w.safetensors")
    run("explain", "a.png", "-c", 0, "--resume", "--table", "t.csv")
    files = [*Path("gradcam-out").iterdir(), Path("t.csv")]
    before = {path: path.read_bytes() for path in files}
    run("explain", "a.png", "b.png", *options, "--resume", "--table", "t.csv", code=2)
    assert complaint in " ".join(run.errors.split())
    assert {path: path.read_bytes() for path in files} == before
    assert len(files) == len([*Path("gradcam-out").iterdir()]) + 1
    run("explain", "a.png", *options)  # without --resume everything is done again


def test_resume_notices_other_weights_of_the_same_name():
    draw("a.png")
    command = ("explain", "a.png", "-c", 0, "--weights", "w.safetensors", "--resume")
    for seed in (1, 2):
        tensors = gradcam.vgg11.random_tensors(width=2, fc=4, classes=4, seed=seed)
        weights.save(tensors, "w.safetensors")
        run(*command, code=0 if seed == 1 else 2)
    assert "content of --weights" in run.errors


def test_resume_of_compare():
    draw("a.png"), draw("b.png")
    options = ("-m", "saliency", "-k", 1, "--dpi", 30)
    run("compare", "a.png", *options)
    assert [r["picture"] for r in json_lines("compare", ".", *options, "--resume")] == ["b.png"]


def test_the_table_of_explanations(network):
    draw("a.png"), spoil("b.png"), draw("c.png", seed=1)
    command = ("explain", "a.png", "b.png", "c.png", "-k", 2, "-m", "grad_cam", "-m", "saliency")
    records = json_lines(*command, "--table", "t.csv", code=1)
    with open("t.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    made = [(record["picture"], f) for record in records for f in record.get("explanations", ())]
    assert len(rows) == len(made) == 8
    for row, (picture, found) in zip(rows, made, strict=True):
        assert (row["picture"], row["file"]) == (picture, found["file"])
        assert (int(row["class"]), row["label"]) == (
            found["class"]["index"],
            LABELS[int(row["class"])],
        )
        assert float(row["score"]) == found["score"]
        assert float(row["probability"]) == found["probability"]
        assert [int(row[side]) for side in ("x0", "y0", "x1", "y1")] == found["box"]
        assert (row["method"], row["layer"]) == (found["method"], found["layer"])


def test_the_table_of_predictions(network):
    draw("a.png")
    (record,) = json_lines("predict", "a.png", "-k", 3, "--table", "t.CSV")
    with open("t.CSV", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["rank"]) for row in rows] == [1, 2, 3]
    assert [float(row["probability"]) for row in rows] == [
        each["probability"] for each in record["predictions"]
    ]


def test_an_interrupted_run_leaves_a_table(monkeypatch):
    for name in "abcd":
        draw(f"{name}.png")
    stop_after(
        monkeypatch, 3, "explain", *(f"{n}.png" for n in "abcd"), "--batch", 1, "--table", "t.csv"
    )
    with open("t.csv", newline="") as file:
        rows = [row["picture"] for row in csv.DictReader(file)]
    assert rows and rows == [f"{name}.png" for name in "abcd"][: len(rows)]


def test_a_table_in_parquet(monkeypatch):
    parquet = peer("pyarrow.parquet")
    for name in "abcd":
        draw(f"{name}.png")
    pictures = [f"{name}.png" for name in "abcd"]
    flat = np.full((64, 64, 3), 255, np.uint8)
    Image.fromarray(flat).save("a.png")
    run("explain", *pictures, "-c", 0, "--table", "t.csv")
    run("explain", *pictures, "-c", 0, "--table", "t.parquet")
    found = parquet.read_table("t.parquet").to_pylist()
    with open("t.csv", newline="") as file:
        for row, expected in zip(found, csv.DictReader(file), strict=True):
            assert {k: "" if v is None else str(v) for k, v in row.items()} == expected
    stop_after(monkeypatch, 3, "explain", *pictures, "--batch", 1, "--table", "t.parquet")
    rows = [row["picture"] for row in parquet.read_table("t.parquet").to_pylist()]
    assert rows and rows == pictures[: len(rows)]


def test_tables_that_cannot_be_written_are_refused_at_once(monkeypatch):
    draw("a.png")
    run("explain", "a.png", "--table", "t.xlsx", code=2)
    assert ".csv or .parquet" in run.errors
    run("explain", "a.png", "--table", "none/t.csv", code=2)
    assert "No such file" in run.errors
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    run("explain", "a.png", "--table", "t.parquet", code=2)
    assert "pip install 'gradcam[parquet]'" in run.errors
    assert not Path("gradcam-out").exists()


def test_an_empty_folder_is_as_bad_as_a_missing_picture():
    Path("empty").mkdir()
    for missing in ("empty", "none.png"):
        run("predict", missing, code=2)
        assert run.errors.startswith(f"Error: {missing}: ")
        run("explain", draw("a.png"), missing, code=1)
        assert "1 of 2 pictures failed" in run.errors and len(written()) == 1
    run("predict", "a.png", "empty", code=1)
    assert "Error: empty: there is no picture in this folder" in run.errors


@pytest.mark.parametrize("command", ["explain", "compare"])
def test_results_are_not_taken_for_pictures(command):
    draw("p/a.png")
    for folder, out in (("p", "p"), ("p", "p/../p"), (".", Path.cwd())):
        run(command, folder, "-o", out, code=2)
        assert "read and written at once" in run.errors
    assert written("p") == ["a.png"] and written(".") == ["p"]


def test_files_of_an_earlier_run_are_replaced():
    draw("a.png")
    run("explain", "a.png", "-c", 0)
    file = Path("gradcam-out", "a-grad_cam-cat.png")
    before = file.read_bytes()
    draw("a.png", seed=1)
    run("explain", "a.png", "-c", 0)
    assert file.read_bytes() != before and written() == [file.name]


# --- what goes wrong ---


def spoil(path):
    Path(path).write_bytes(draw(path).read_bytes()[:200])
    return path


def test_goes_on_after_an_unreadable_picture():
    draw("a.png"), spoil("b.png"), draw("c.png", seed=1)
    text = run("explain", "a.png", "b.png", "none.png", "c.png", "-c", 0, code=1)
    assert written() == ["a-grad_cam-cat.png", "c-grad_cam-cat.png"]
    assert "a.png" in text and "c.png" in text and "b.png" not in text
    assert "2 of 4 pictures failed" in run.errors
    assert "Error: none.png: No such file or directory" in run.errors
    assert re.search(r"Error: b\.png: .*cannot be read", run.errors)


def test_failures_as_json():
    draw("a.png"), spoil("b.png")
    good, bad = json_lines("predict", "a.png", "b.png", code=1)
    assert "predictions" in good and "error" not in good
    assert bad["picture"] == "b.png" and "cannot be read" in bad["error"]


@pytest.mark.parametrize("command", ["explain", "predict", "compare"])
def test_nothing_done(command):
    assert run(command, spoil("b.png"), code=2) == ""
    assert run.errors.startswith("Error: b.png: ")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("-c", "cta"), "'cat'"),
        (("-c", "crane"), "n02012849"),
        (("-c", "17"), "out of range"),
        (("-l", "conv9_9"), "the layers are input, conv1_1"),
        (("-l", "relu5_2,conv9_9"), "the layers are input, conv1_1"),
        (("-l", "relu5_2,relu4_2", "-m", "guided_grad_cam"), "guided_grad_cam has no map to"),
        (("-l", "fc6"), "no spatial map"),
        (("-m", "saliency", "-m", "deconvnet", "-l", "conv1_1"), "no effect on saliency"),
        (("--cmap", "jett"), "did you mean jet"),
        (("-m", "grad_kam"), "did you mean 'grad_cam'"),
        (("-k", "0"), "0"),
        (("-O", "samples=3"), "none of the methods has it"),
        (("-O", "samples"), "expected NAME=VALUE"),
        (("-u", "relu5_1"), "expected LAYER:INDEX"),
        (("-u", "relu5_1:99"), "relu5_1 has the shape 32 x 4 x 4"),
        (("-u", "relu5_1:1:4,0"), "relu5_1 has the shape 32 x 4 x 4"),
        (("-u", "fc7:1:0,0"), "no positions"),
        (("-u", "relu9:1"), "no layer is called"),
        (("-c", "cat", "--against", "cat"), "cannot be explained against itself"),
        (("--model", "vgg16"), "download"),
        (("--model", "pictograms", "--weights", "w.npz"), "--model vgg16"),
        (("--weights", "none.npz"), "No such file"),
        (("--weights", "a.png"), "Error: a.png: a picture (PNG), not weights"),
        (("--labels", "names.txt"), "its own weights, preset, labels and head"),
        (("--out", "a.png"), "a.png"),
        (("--nonsense",), "--nonsense"),
    ],
)
@pytest.mark.parametrize("command", ["explain", "compare"])
def test_mistakes_are_told_in_a_sentence(command, options, complaint):
    draw("a.png")
    assert run(command, "a.png", *options, code=2) == ""
    assert complaint in run.errors
    assert not Path("gradcam-out").exists()


def test_missing_weights_are_told_how_to_get():
    run("predict", draw("a.png"), "--model", "vgg16", code=2)
    assert "--weights" in run.errors and "torchvision" in run.errors


def test_a_reason_that_all_share_is_told_once():
    run("explain", "a.png", "b.png", code=2)
    assert run.errors == "Error: all 2 pictures: No such file or directory\n"


def test_warnings_name_the_picture(monkeypatch):
    flat = np.full((64, 64, 3), 255, np.uint8)
    Image.fromarray(flat).save("flat.png")
    zeros = {k: np.zeros_like(v) for k, v in gradcam.vgg11.random_tensors(width=2, fc=4).items()}
    monkeypatch.setattr(pictograms, "model", lambda: gradcam.vgg11(zeros))
    run("explain", "flat.png")
    assert run.errors.startswith("Warning: flat.png: the grad_cam map") and "flat" in run.errors


def test_a_full_disk_ends_the_run(monkeypatch):
    """It leaves no half files, and no picture is blamed."""
    for name in "abc":
        draw(f"{name}.png")

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    run("explain", "a.png", "b.png", "c.png", code=2)
    assert run.errors == "Error: gradcam-out: No space left on device\n" and written() == []
    assert not [path for path in Path("gradcam-out").iterdir() if path.suffix == ".tmp"]


def interrupt_at(monkeypatch, number):
    """Raise KeyboardInterrupt in the pass of this number, from 1 on, as the core does.

    Before that, what earlier passes gave is saved: an interruption drops what still waits for it.
    """
    passes, unsaved = [], []
    finish = many._finish
    monkeypatch.setattr(many, "_finish", lambda *of: (finish(*of), unsaved.pop())[0])

    def run_or_interrupt(*arguments):
        passes.append(arguments)
        while len(passes) == number:
            if not unsaved:
                raise KeyboardInterrupt
            time.sleep(0.01)
        unsaved.extend(arguments[1])  # one for each picture
        return forward_pass.run(*arguments)

    monkeypatch.setattr(stream, "run", run_or_interrupt)


def test_interruption(monkeypatch, network):
    draw("a.png")
    interrupt_at(monkeypatch, 1)
    assert run("explain", "a.png", code=130) == ""
    assert "Interrupted" in run.errors


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_interruption_keeps_what_was_done(monkeypatch, options):
    for name in "abcd":
        draw(f"{name}.png")
    spoil("b.png")
    whole = run("predict", "a.png", *options)
    interrupt_at(monkeypatch, 2)
    pictures = [f"{name}.png" for name in "abcd"]
    printed = run("predict", *pictures, "--batch", 1, *options, code=130)
    assert printed.startswith(whole) and "c.png" not in printed and "d.png" not in printed
    assert "1 of 2 pictures failed:\nError: b.png: " in run.errors
    assert "Interrupted" in run.errors


@pytest.mark.parametrize("charset", ["ascii", "cp1251"])
def test_an_output_without_the_letters_is_no_mistake(monkeypatch, charset):
    """Letters that standard output lacks are escaped; click writes UTF-8 where it is ASCII."""
    letters = {"cat": "größer", "crane": "кран", "jack-o'-lantern": "提灯"}
    labels = gradcam.Labels([letters[label] for label in LABELS], SYNSETS)
    tensors = gradcam.vgg11.random_tensors(width=2, fc=4, classes=4)
    network = gradcam.vgg11(tensors, labels=labels)
    monkeypatch.setattr(pictograms, "model", lambda: network)
    draw("höhe.png"), spoil("größe.png")
    for command in ("predict", "explain"):
        text = run(command, "höhe.png", "größe.png", "-k", 4, code=1, charset=charset)
        assert len(text.splitlines()) >= 5 and "1 of 2 pictures failed" in run.errors
        assert not re.search(" $", text, re.MULTILINE)
        if charset != "ascii":
            assert text.startswith("h\\xf6he.png\n")
            assert all(word in text for word in ("gr\\xf6\\xdfer", "кран", "\\u63d0"))
            assert "gr\\xf6\\xdfe.png" in run.errors


def test_long_names_are_not_cut_off(monkeypatch):
    """On a terminal of 80 columns, too, a name can be read to its end."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    name = "n" * 100
    text = run("explain", draw(f"{name}.png"), "-c", 3)
    assert "…" not in text and "jack" in text
    assert f"{name}-grad_cam-jack-o-lantern.png" in re.sub(r"\s|\x1b\[\d*m", "", text)


def test_a_bug_is_not_hidden(monkeypatch):
    def bug(*arguments, **options):
        raise ZeroDivisionError

    draw("a.png")
    monkeypatch.setattr(stream, "run", bug)
    with pytest.raises(ZeroDivisionError):
        run("explain", "a.png")


# --- weights, compare, info ---


@pytest.fixture
def weight_file():
    tensors = gradcam.vgg16.random_tensors(width=2, fc=8, classes=3, seed=1)
    labels = gradcam.Labels(["one", "two", "three"])
    weights.save(tensors, "net.safetensors", {**labels.to_metadata(), "preset": "caffe"})
    return "net.safetensors"


def test_weights_of_ones_own(weight_file):
    draw("a.png")
    options = ("--weights", weight_file)
    (record,) = json_lines("predict", "a.png", *options)
    network = gradcam.vgg16(weight_file)
    assert [p["label"] for p in record["predictions"]] == [
        t[1] for t in network.predict("a.png")[0]
    ]
    (other,) = json_lines("predict", "a.png", *options, "--preset", "torchvision")
    assert other["predictions"] != record["predictions"]
    run("predict", "a.png", "--model", "vgg19", *options, code=2)
    assert "net.safetensors: these are the weights of a vgg16: use --model vgg16" in run.errors


@pytest.mark.parametrize(
    "methods",
    [("grad_cam",), pytest.param(("saliency", "grad_cam"), marks=pytest.mark.slow)],
    ids=" ".join,
)
def test_compare_layers(methods):
    draw("a.png")
    chosen = [part for method in methods for part in ("-m", method)]
    asked = ("compare", "a.png", "-c", 0, *chosen, "--dpi", 30)
    run(*asked)
    narrow = Image.open("gradcam-out/a-compare.png").width
    run(*asked, "--layers", "pool3, relu4_1")
    assert Image.open("gradcam-out/a-compare.png").width > narrow
    for more, words in (
        (("--layers", "pool3", "--layer", "pool4"), "not both"),
        (("--layers", "pool3,prob"), "has no spatial map"),
    ):
        run(*asked, *more, code=2)
        assert words in " ".join(run.errors.split())


def test_compare():
    draw("a.png")
    text = run(
        "compare", "a.png", "-c", 0, "-c", 3, "-m", "saliency", "-m", "grad-cam", "--dpi", 50
    )
    assert text.split() == ["a.png", "a-compare.png", "Written", "to", "gradcam-out"]
    narrow = Image.open("gradcam-out/a-compare.png").size
    run("compare", "a.png", "-k", 1, "--dpi", 100, "--scale", "map", "--on", "probability")
    assert Image.open("gradcam-out/a-compare.png").size > narrow


def test_info_of_the_model(network):
    text = run("info")
    assert gradcam._core.cpu_level() in text
    assert "relu5_2" in text and "features.20" in text and "block5_conv2" in text
    content = json.loads(run("info", "--json"))
    assert [layer["name"] for layer in content["layers"]] == list(network.layers)
    shapes = network.shapes(64, 64)
    for layer in content["layers"]:
        assert tuple(layer["shape"]) == shapes[layer["name"]]
        assert layer["values"] == np.prod(layer["shape"])
    names = [(c["index"], c["synset"], c["label"]) for c in content["classes"]]
    assert names == [(t.index, t.synset, t.label) for t in network.labels]
    assert all(f"{index} {synset} {label}" in text for index, synset, label in names)


def test_info_of_the_cache(tmp_path, monkeypatch):
    from gradcam import _cache

    monkeypatch.setenv("GRADCAM_CACHE", str(tmp_path / "cache"))
    assert "0.0 MB in 0 files" in run("info", "--cache")
    values = {"1": np.zeros(100_000, np.float32)}
    for kind, digest in (("sums", "1"), ("converted", "2")):
        assert _cache.store(kind, digest * 32, {}, values, "/weights/vgg.pth")
        assert f"in {digest} file{'s' * (digest != '1')}\n" in run("info", "--cache")
    content = json.loads(run("info", "--cache", "--json"))
    assert content["folder"] == str(tmp_path / "cache")
    assert content["limit"] == _cache.MAX_BYTES
    assert {each["kind"] for each in content["files"]} == {"sums", "converted"}
    assert content["total"] == sum(Path(f["path"]).stat().st_size for f in content["files"])
    text = run("info", "--cache")
    for part in (
        str(tmp_path / "cache"),
        "1.0 MB in 2 files",
        "4,295.0 MB",
        "/weights/vgg.pth",
        f"sums-{'1' * 32}.gradcam",
        "gradcam info --clear-cache",
    ):
        assert part in text
    assert "removed 1.0 MB" in run("info", "--clear-cache")
    assert json.loads(run("info", "--clear-cache", "--json"))["files"] == []
    run("info", "weights.npz", "--cache", code=2)
    run("info", "--model", "vgg16", "--cache", code=2)
    monkeypatch.setenv("GRADCAM_CACHE", "off")
    assert "caching is off" in run("info", "--cache")
    assert json.loads(run("info", "--cache", "--json"))["folder"] is None


def test_info_of_a_model_without_weights():
    text = run("info", "--model", "vgg19_bn")
    assert "282 n02123159 tiger_cat" in text and "block5_conv4" in text
    assert "--weights FILE" in text and "Output" not in text
    content = json.loads(run("info", "--model", "vgg19_bn", "--json"))
    assert all(set(layer) == {"name", "aliases"} for layer in content["layers"])
    assert len(content["classes"]) == 1000


@pytest.mark.parametrize("option", ["--size=64", "--output=zz", "--output=", "--head=sigmoid"])
def test_options_without_effect_are_refused(option):
    for model in ("--model=squeezenet1_1", "--model=pictograms"):
        run("info", model, option, code=2)
        assert "--size and --output go with --weights" in run.errors


def test_captions(network):
    draw("a.png", 100, 300)
    (record,) = json_lines(
        "explain", "a.png", "-c", 0, "-m", "saliency", "-m", "grad_cam", "--caption"
    )
    for made, name in zip(record["explanations"], ("saliency", "grad_cam"), strict=True):
        expected = network.forward("a.png").explain(name, 0).render("inferno", caption=True)
        with Image.open(made["file"]) as image:
            assert len(expected) > 150
            np.testing.assert_array_equal(np.asarray(image), expected)


def test_heads(weight_file):
    draw("a.png")
    sums = {}
    for head in ("softmax", "sigmoid"):
        (record,) = json_lines("predict", "a.png", "--weights", weight_file, "--head", head)
        sums[head] = sum(p["probability"] for p in record["predictions"])
    assert sums["softmax"] == pytest.approx(1, abs=1e-5)
    assert sums["sigmoid"] != pytest.approx(1, abs=1e-2)
    run("predict", "a.png", "--head", "sigmoid", code=2)
    assert "and --output go with --weights" in " ".join(run.errors.split())


def test_the_file_tells_the_architecture():
    draw("a.png")
    weights.save(gradcam.vgg11_bn.random_tensors(width=2, fc=4, classes=3), "net")
    (record,) = json_lines("predict", "a.png", "--weights", "net")
    assert {p["label"] for p in record["predictions"]} == {"class_0", "class_1", "class_2"}
    assert json.loads(run("info", "--weights", "net", "--json"))["model"] == "vgg11_bn"


def test_labels_from_a_file(weight_file):
    draw("a.png")
    Path("names.txt").write_text("ein Hund\nzwei Hunde\ndrei Hunde\n")
    (record,) = json_lines("predict", "a.png", "--weights", weight_file, "--labels", "names.txt")
    assert {p["label"].split()[0] for p in record["predictions"]} == {"ein", "zwei", "drei"}
    run("convert", weight_file, "named.safetensors", "--labels", "names.txt")
    (again,) = json_lines("predict", "a.png", "--weights", "named.safetensors")
    assert again == record
    Path("names.txt").write_text("ein Hund\nzwei Hunde\n")
    run("predict", "a.png", "--weights", weight_file, "--labels", "names.txt", code=2)
    assert "names.txt: 2 labels for a network of 3 classes" in run.errors


def test_published_weights_go_by_their_name(monkeypatch):
    made = []
    monkeypatch.setattr(gradcam, "vgg16", lambda *a, **k: made.append(a) or small_network())
    draw("a.png")
    run("predict", "a.png", "--weights", "imagenet")
    run("predict", "a.png", "--weights", "imagenet-caffe", "--model", "vgg16")
    assert made == [("imagenet",), ("imagenet-caffe",)]


def test_info_of_a_weight_file(weight_file):
    text = run("info", weight_file)
    assert "relu5_3" in text and "16 x 14 x 14" in text and "features.28" in text
    assert "vgg16, 3 classes" in text and "VGG-16, torchvision's names" in text
    assert re.search(r"MFLOP for one picture|in all +20,929 +35\.236", text)
    content = json.loads(run("info", weight_file, "--json"))
    assert content["bytes"] == Path(weight_file).stat().st_size
    assert content["sha256"] == hashlib.sha256(Path(weight_file).read_bytes()).hexdigest()
    assert content["architecture"] == "vgg16" and content["classes"] == 3
    assert content["values"] == sum(tensor["values"] for tensor in content["tensors"])
    layers = {layer["name"]: layer for layer in content["network"]["layers"]}
    assert layers["conv1_2"] == {
        "name": "conv1_2",
        "aliases": ["features.2"],
        "op": "conv",
        "shape": [2, 224, 224],
        "parameters": 2 * 2 * 9 + 2,
        "flop": 2 * 2 * 2 * 9 * 224 * 224,
    }
    total = sum(layer["flop"] for layer in layers.values())
    assert content["network"]["flop"] == total
    assert content["network"]["target_layer"] == "relu5_3"
    run("info", weight_file, "--model", "vgg16", code=2)
    run("info", "none.npz", code=2)
    assert "No such file" in run.errors


def test_info_of_weights_of_another_network():
    weights.save({"conv1.weight": np.ones((2, 3, 7, 7)), "fc.bias": np.ones(2)}, "net")
    text = run("info", "net")
    assert "not known here" in text and "2 x 3 x 7 x 7" in text
    assert json.loads(run("info", "net", "--json"))["architecture"] is None


# --- convert ---


def test_convert(weight_file):
    draw("a.png")
    before = Path(weight_file).read_bytes()
    np.savez("net.npz", **weights.load(weight_file).tensors)
    text = run("convert", "net.npz", "out.safetensors", "--preset", "caffe")
    assert text.startswith("out.safetensors: vgg16, 3 classes, preset caffe, float32, ")
    scores = [gradcam.load(f).forward("a.png").scores for f in (weight_file, "out.safetensors")]
    np.testing.assert_array_equal(*scores)
    run("convert", "net.npz", "out.safetensors", code=2)
    assert "out.safetensors exists already" in run.errors and "--force" in run.errors
    run("convert", "net.npz", "out.safetensors", "--force", "--dtype", "float16")
    found = json.loads(run("info", "out.safetensors", "--json"))
    assert found["dtypes"] == ["float16"] and found["preset"] == "torchvision"
    for options in ((), ("--force",)):
        run("convert", weight_file, weight_file, *options, code=2)
        assert "is the file to read" in run.errors
    run("convert", "a.png", "b.safetensors", code=2)
    assert run.errors == "Error: a.png: a picture (PNG), not weights\n"
    run("convert", weight_file, "b.h5", code=2)
    assert "must end in .safetensors" in run.errors
    assert Path(weight_file).read_bytes() == before
    assert not Path("b.safetensors").exists() and not Path("b.h5").exists()


# --- the demo ---


class Page(HTMLParser):
    """The elements of a page, having checked that they nest."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in ("img", "meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture
def scenes(monkeypatch):
    """Two of the scenes that the package contains, and a small network with their classes."""
    labels = [label for _, label in pictograms.CLASSES]
    tensors = gradcam.vgg11.random_tensors(width=4, fc=16, classes=len(labels), seed=3)
    network = gradcam.vgg11(tensors, labels=labels, preset=gradcam.Preset("small", size=64))
    monkeypatch.setattr(pictograms, "model", lambda: network)
    names = ("airliner_and_space_shuttle", "cat_dog_and_ladybug")
    scenes = [path for path in pictograms.examples() if path.stem in names]
    monkeypatch.setattr(pictograms, "examples", lambda: scenes)
    return scenes


def test_demo(monkeypatch, scenes):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    text = run("demo", "--open")
    index = Path("gradcam-demo", "index.html")
    assert str(index) in text and opened == [index.resolve().as_uri()]

    source = index.read_text(encoding="utf-8")
    assert "http" not in source and str(Path.cwd()) not in source
    page = Page(source)
    linked = [image["src"] for image in page.all("img")] + [a["href"] for a in page.all("a")]
    files = {str(path.relative_to("gradcam-demo")) for path in Path("gradcam-demo").rglob("*.png")}
    assert {unquote(link) for link in linked} == files | {"live.html"}
    assert "Content-Security-Policy" in Path("gradcam-demo/live.html").read_text("utf-8")[:1000]
    for image in page.all("img"):
        assert image["alt"]
        with Image.open(Path("gradcam-demo", unquote(image["src"]))) as picture:
            size = (int(image["width"]), int(image["height"]))
            assert np.abs(np.subtract(picture.size, size)).max() <= 1
    assert len(page.all("section")) == 2 + 1  # and one that goes wrong

    again = json.loads(run("demo", "--json"))
    assert again == {"index": str(index), "pictures": 2}
    assert index.read_text(encoding="utf-8") == source


@pytest.mark.parametrize("name", ["index.html", "live.html", "pictures/cat.png"])
def test_the_demo_replaces_no_file_of_others(name):
    file = Path("site", name)
    file.parent.mkdir(parents=True)
    file.write_text("<title>My page</title>")
    told = CliRunner().invoke(cli.main, ["demo", "--out", "site"], catch_exceptions=False)
    assert told.exit_code == 2 and f"{file}: it is not of gradcam" in told.stderr
    assert [each for each in Path("site").rglob("*") if each.is_file()] == [file]
    assert file.read_text() == "<title>My page</title>"


def test_the_demo_does_not_show_a_rate_that_was_not_measured(monkeypatch):
    found = copy.deepcopy(demo.recorded())
    for row in found["rows"]:
        row["figures"]["on_object"]["mean"] = None
    monkeypatch.setattr(demo, "recorded", lambda: found)
    assert demo._rates().count("<td>–</td>") == 3 and "<td>0.0" not in demo._rates()


def test_the_demo_tells_truth_and_answer_apart(tmp_path, scenes):
    network = pictograms.model()
    page = demo.write(tmp_path / "d").read_text(encoding="utf-8")
    truth = {"Airliner and space shuttle": (16, 25), "Cat, dog and ladybug": (5, 6, 10)}
    for title in truth:
        assert f"<h2>{title}</h2>\n<p>The network answered:</p>" in page
        assert f'alt="The scene: {title[0].lower()}{title[1:]}"' in page
    sections = page.split("<section>")[2:]  # the first one is the scene that goes wrong
    for section, scene, objects in zip(sections, scenes, truth.values(), strict=True):
        tape = network.forward(scene)
        chances = tape.probabilities[0]
        likely = {int(chances.argmax()), *np.flatnonzero(chances >= 0.1).tolist()}
        assert section.count("Why <em>") == len(likely | set(objects))
        missed = [index for index in objects if chances[index] < 0.1]
        assert section.count("<b>Missed by the network:</b>") == len(missed)
        assert section.count("<b> missed</b>") == len(missed)
        invented = likely - set(objects)
        assert section.count("<b> not in the scene</b>") == len(invented)
        assert section.count("<b>There is no ") == len(invented)
        for index in objects:
            assert f"Why <em>{network.labels[index].label.replace('_', ' ')}</em>?" in section


def test_the_demo_says_how_often_grad_cam_is_right(tmp_path, scenes):
    """On its own scenes, which were chosen, and on those that were not."""
    page = demo.write(tmp_path / "d").read_text(encoding="utf-8")
    figures = json.loads(Path(pictograms.__file__).with_name("evaluation.json").read_text("utf-8"))
    rows = {each["method"]: each for each in figures["rows"] if each["network"] == "pictograms"}
    accuracy = figures["accuracy"]["pictograms"]
    shares = [rows[method]["figures"]["on_object"]["mean"] for method in demo.SHOWN]
    for share in (accuracy["one"], accuracy["two"], *shares):
        assert f"<td>{percent(share)}</td>" in page
    network, hits = pictograms.model(), []
    about = json.loads(scenes[0].with_name("examples.json").read_text("utf-8"))
    for path in scenes:
        things = about[path.name]
        classes = [each["index"] for each in things["objects"]]
        scene = pictograms.scene(things["seed"], classes=classes, size=tuple(things["size"]))
        for each in scene.objects:
            found = network.forward(path).grad_cam(each.index).map.argmax()
            hits.append(bool(each.mask.flat[found]))
    assert f"in {sum(hits)} of {len(hits)} cases" in " ".join(page.split())
    shown = page.split("<h2>All scenes</h2>")[1]
    assert shown.count("maximum of Grad-CAM is on the object") == sum(hits)
    assert shown.count("maximum of Grad-CAM is not on the object") == len(hits) - sum(hits)


def test_the_demo_shows_a_miss_and_a_class_that_is_not_there(tmp_path, monkeypatch):
    """With the pictograms network itself."""
    monkeypatch.undo()
    monkeypatch.setattr(imagenet, "is_installed", lambda: False)
    scenes = [pictograms.example("cat_and_dog")]
    monkeypatch.setattr(pictograms, "examples", lambda: scenes)
    page = demo.write(tmp_path / "d").read_text(encoding="utf-8")
    wrong = page.split("<section>")[1]
    assert "<b>Miss:</b>" in wrong and "<b>Missed by the network:</b>" in wrong
    assert "There is no volcano in the scene “cat and dog”" in page
    own, one = (
        np.asarray(Image.open(tmp_path / f"d/pictures/absent-{name}.png")).astype(int)
        for name in ("own-scale", "one-scale")
    )
    colourful = [np.ptp(pixels, axis=2).max() for pixels in (own, one)]
    assert colourful[0] > 100 and colourful[1] < 10


@pytest.mark.parametrize(
    ("variable", "command"),
    [
        ("GRADCAM_CPU_LEVEL", "info"),
        ("GRADCAM_NUM_THREADS", "demo"),
        pytest.param("GRADCAM_CPU_LEVEL", "demo", marks=pytest.mark.slow),
        pytest.param("GRADCAM_NUM_THREADS", "info", marks=pytest.mark.slow),
    ],
)
def test_settings_that_cannot_be_followed_are_one_sentence(variable, command):
    done = subprocess.run(
        [sys.executable, "-m", "gradcam", command],
        cwd=Path(__file__).parent,
        env=os.environ | {variable: "foo"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f"Error: {variable}") and "'foo'" in done.stderr
    assert done.stderr.count("\n") == 1
