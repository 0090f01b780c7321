"""``gradcam caption`` and ``gradcam scenes``, run on a small captioner with random weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import random_attributes
import small_captioner
from click.testing import CliRunner
from PIL import Image

import gradcam
from gradcam import _cli as cli
from gradcam import captioning, pictograms

pytestmark = pytest.mark.filterwarnings("ignore::gradcam.FlatMapWarning")


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    """Every test runs in a folder of its own, with the small captioner, whose captions are long."""
    random_attributes.use(monkeypatch)
    captioner = captioning.Captioner(small_captioner.tensors(2), small_captioner.WORDS, "small")
    monkeypatch.setattr(captioning, "model", lambda: captioner)
    monkeypatch.chdir(tmp_path)
    return captioner


def run(*arguments, code=0):
    """Run the command; return standard output, having checked the exit status."""
    found = CliRunner().invoke(cli.main, [str(a) for a in arguments], catch_exceptions=False)
    assert found.exit_code == code, found.output
    assert "Traceback" not in found.output
    run.errors = found.stderr
    return found.stdout


def json_lines(*arguments, code=0):
    return [json.loads(line) for line in run(*arguments, "--json", code=code).splitlines()]


def written(folder="gradcam-out"):
    return sorted(path.name for path in Path(folder).iterdir() if path.name[0] != ".")


@pytest.fixture
def scene():
    run("scenes", "scenes", "-n", 1, "--seed", 3)
    return Path("scenes/scene-3.png")


def test_scenes_are_drawn_and_other_files_are_kept():
    text = run("scenes", "scenes", "-n", 2, "--seed", 7)
    assert pictograms.described(8).layout in text
    assert written("scenes") == ["scene-7.png", "scene-8.png"]
    pixels = np.asarray(Image.open("scenes/scene-8.png"))
    assert np.array_equal(pixels, pictograms.described(8).picture)
    run("scenes", "scenes", "-n", 2, "--seed", 7)  # the same files again
    Path("scenes/scene-7.png").write_bytes(b"mine")
    run("scenes", "scenes", "--seed", 7, code=2)
    assert "other files called scene-7.png" in run.errors
    assert Path("scenes/scene-7.png").read_bytes() == b"mine"
    assert written("scenes") == ["scene-7.png", "scene-8.png"]
    run("scenes", "scenes", "--seed", 7, "-n", 1, "--force")
    assert Path("scenes/scene-7.png").read_bytes() != b"mine"


def test_a_caption_with_its_maps(small, scene):
    caption = small.describe(scene)
    (record,) = json_lines("caption", scene, "--word", caption.words[0], "--dpi", 20)
    assert record["caption"] == caption.text and record["ended"] == (caption.end is not None)
    assert [each["word"] for each in record["words"]] == list(caption.words)
    values = [each["log_probability"] for each in record["words"]]
    assert values == list(caption.log_probabilities)
    assert record["log_probability"] == pytest.approx(sum(values))
    word = caption.words[0]
    assert record["words"][0]["probability"] == pytest.approx(np.exp(values[0]))
    files = ["scene-3-caption.png", f"scene-3-grad_cam-{word}.png", "scene-3-words.png"]
    assert written() == files
    (explanation,) = record["explanations"]
    assert explanation["label"] == word
    assert explanation["probability"] == pytest.approx(np.exp(values[0]), rel=1e-5)
    pixels = np.asarray(Image.open(explanation["file"]))
    expected = small.network.forward(str(scene)).grad_cam(caption.word(0)).image
    assert np.array_equal(pixels, expected)


def test_what_is_printed(small, scene):
    text = run("caption", scene, "--beam", 3, "--dpi", 20)
    caption = small.describe(scene, beam=3)
    assert caption.text in text and "scene-3-caption.png, scene-3-words.png" in text
    assert f"{caption.words[0]} {100 * np.exp(caption.log_probabilities[0]):.1f} %" in text
    assert "was not trained on photographs" in run.errors


def test_a_given_caption(small, scene):
    (record,) = json_lines("caption", scene, "--text", "A red cat.", "-w", "CAT,", "-w", "cat")
    assert record["caption"] == "a red cat" and len(record["explanations"]) == 1
    given = small.caption(small.network.forward(str(scene)), "a red cat")
    assert record["log_probability"] == pytest.approx(given.log_probability)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--text", "a red dgo"), "does not know 'dgo' (nearest: dog); it knows the words a, and"),
        (("--text", ""), "the caption has no words"),
        (("--text", "cat " * 500), "the caption has 500 words; at most 50"),
        (("--text", "a cat", "--word", "dog"), "--word dog: it is not in the caption of --text, w"),
        (("--word", "dgo"), "--word dgo: the captioner does not know 'dgo' (nearest: dog)"),
        (("--word", "red cat"), "--word 'red cat': expected one word, got 2"),
        (("--word", " ,"), "--word ' ,': expected one word, got 0"),
        (("a red cat",), "'a red cat' is no picture: a caption that shall be explained goes with"),
        (("--text", "a cat", "--beam", "3"), "give either --text or --beam"),
        (("--beam", "0"), "0 is not in the range 1<=x<=100"),
        (("--layer", "relu7"), "the layer relu7 has no spatial map"),
        (("--weights", "none.safetensors"), "none.safetensors"),
    ],
)
def test_bad_options_before_any_work(scene, options, message):
    run("caption", scene, *options, code=2)
    assert message in " ".join(run.errors.split())
    assert not Path("gradcam-out").exists()


def test_a_picture_that_is_read_is_not_replaced(scene):
    for name in ("scene-3-caption.png", "scene-3-words.png", "scene-3-grad_cam-cat.png"):
        mine = scene.with_name(name)
        mine.write_bytes(scene.read_bytes())
        run("caption", scene, mine, "--out", "scenes", code=2)
        assert f"{name} is read, and what is written would replace it" in run.errors
        assert written("scenes") == sorted([scene.name, mine.name])
        assert mine.read_bytes() == scene.read_bytes()
        mine.unlink()


def test_a_word_that_is_not_said_concerns_one_picture(small, monkeypatch):
    tensors = small_captioner.tensors(2)
    tensors["fc7.weight"] *= np.float32(0.05 / 0.3)  # captions of these scenes then differ
    captioner = captioning.Captioner(tensors, small_captioner.WORDS, "small")
    monkeypatch.setattr(captioning, "model", lambda: captioner)
    run("scenes", "scenes", "-n", 2, "--seed", 5)
    said = [captioner.describe(f"scenes/scene-{seed}.png").words for seed in (5, 6)]
    assert ["and" in words for words in said] == [False, True]
    first, second = json_lines("caption", "scenes", "-w", "and", "--dpi", 20, code=1)
    assert first["error"].endswith(f"no word 'and'; its words are {', '.join(said[0])}")
    assert len(second["explanations"]) == 1
    run("caption", "scenes/scene-5.png", "-w", "and", code=2)
    assert not any("scene-5" in name for name in written())


def test_another_captioner_and_resuming(scene):
    other = captioning.Captioner(small_captioner.tensors(8), small_captioner.WORDS)
    other.save("mine.safetensors")
    arguments = ("caption", scene, "--weights", "mine.safetensors", "--dpi", 20)
    (record,) = json_lines(*arguments)
    assert record["caption"] == captioning.load("mine.safetensors").describe(scene).text
    assert run(*arguments, "--resume") == ""
    assert "1 of 1 pictures were complete already" in run.errors
    run("caption", scene, "--dpi", 20, "--resume", code=2)  # other options


def test_a_file_of_something_else_is_refused(scene):
    gradcam.weights.save({"a": np.zeros(3)}, "other.safetensors")
    run("caption", scene, "--weights", "other.safetensors", code=2)
    assert "expected a file of the architecture 'captioner'" in run.errors
