"""``gradcam ask``: questions about pictures on the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from small_answerers import answerer

import gradcam
from gradcam._cli import main

QUESTION = "what colour is the cat?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with two pictures and two answerers."""
    made = tmp_path_factory.mktemp("ask")
    for seed, name in enumerate(("one.png", "two.png")):
        pixels = np.random.default_rng(seed).integers(0, 256, (60, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(made / name)
    for kind in ("lstm", "coattention"):
        answerer(kind).save(made / f"{kind}.safetensors")
    return made


@pytest.fixture
def ask(folder, tmp_path):
    """Run ``gradcam ask`` with a small answerer; outputs go to tmp_path."""

    def run(*arguments, question=QUESTION, kind="lstm", pictures=("one.png",)):
        return CliRunner().invoke(
            main,
            [
                *("ask", *(str(folder / name) for name in pictures), question),
                *("--weights", str(folder / f"{kind}.safetensors")),
                *("--out", str(tmp_path / "out"), *arguments),
            ],
        )

    return run


def test_the_answer_and_its_map(ask, folder, tmp_path):
    result = ask("--json", pictures=("one.png", "two.png"))
    assert result.exit_code == 0, result.output
    made = gradcam.vqa.load(folder / "lstm.safetensors")
    lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    for record, name in zip(lines, ("one", "two"), strict=True):
        tape = made.network.forward(folder / f"{name}.png")
        reply = made.ask(tape, QUESTION)
        assert record["answer"] == reply.text and record["question"] == QUESTION
        assert record["probability"] == pytest.approx(reply.probability, rel=1e-4)
        assert len(record["answers"]) == 5 and record["answers"][0]["answer"] == reply.text
        (explained,) = record["explanations"]
        slug = reply.text.replace(" ", "_")
        file = tmp_path / "out" / f"{name}-grad_cam-what_colour_is_the_cat_{slug}.png"
        assert explained["file"] == str(file)
        expected = tape.grad_cam(reply).render("inferno")
        difference = np.asarray(Image.open(file)).astype(int) - expected
        assert np.abs(difference).max() <= 2


def test_answers_that_are_forced_methods_and_a_figure(ask, tmp_path):
    arguments = ["--answer", "Yellow", "--answer", "yellow and red", "--answer", "yellow"]
    result = ask(*arguments, "-m", "grad_cam", "-m", "saliency", "--figure", kind="coattention")
    assert result.exit_code == 0, result.output
    names = {file.name for file in (tmp_path / "out").glob("*.png")}
    parts = [f"{m}-what_colour_is_the_cat_" for m in ("grad_cam", "saliency")]
    expected = {f"one-{part}{each}.png" for part in parts for each in ("yellow", "red_and_yellow")}
    assert names == expected | {"one-ask-what_colour_is_the_cat.png"}
    assert "red and yellow" in result.stdout and "figure" in result.stdout


def test_layers_and_npz(ask, tmp_path):
    result = ask("--layer", "block3", "-f", "npz", "--json", kind="coattention")
    assert result.exit_code == 0, result.output
    (record,) = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    found = gradcam.Explanation.load(record["explanations"][0]["file"])
    assert found.layer == "block3" and found.raw.shape == (14, 14)


def test_unknown_words_are_a_warning_once(ask):
    result = ask(question="what color is the kat?", pictures=("one.png", "two.png"))
    assert result.exit_code == 0, result.output
    assert result.output.count("2 words of the question are not in the vocabulary") == 1
    assert "'color' (nearest: colour)" in result.output


def test_an_earlier_run_is_resumed(ask):
    assert ask().exit_code == 0
    again = ask("--resume")
    assert again.exit_code == 0 and "1 of 1 pictures were complete already" in again.output
    other = ask("--resume", question="what is the dog?")
    assert other.exit_code == 2 and "question" in other.output


LONG = "what colour is the cat that is left of the dog that is left of the cat"


def test_files_of_long_questions_are_named_after_the_answer(ask, tmp_path):
    for question, answers in ((LONG, ("red", "yellow")), (f"{LONG} and the dog?", ("red",))):
        for answer in answers:
            assert ask("--answer", answer, "--figure", question=question).exit_code == 0
    names = sorted(file.name for file in (tmp_path / "out").glob("*.png"))
    maps = [name for name in names if "-grad_cam-" in name]
    assert [name.rsplit("_", 1)[1] for name in maps].count("red.png") == 2
    assert len(maps) == 3 and len(names) == 5
    assert all(len(name) <= len("one-grad_cam-.png") + 60 for name in names)
    assert all("-what_colour_is_the_cat_that_is_left" in name for name in names)


@pytest.mark.parametrize(
    ("given", "message", "example"),
    [
        ([], "no picture and no question", 'scenes/scene-0.png "what colour is the cat?"'),
        (["{one}"], "1 picture and no question", '{one} "what colour is the cat?"'),
        (["{one}", "{two}"], "2 pictures and no question", '{one} {two} "what colour'),
        (
            ["what is it?"],
            "only 'what is it?', which is no pic",
            'scenes/scene-0.png "what is it?"',
        ),
        (["what is it?", "{one}"], "the question before a picture", '{one} "what is it?"'),
        (["{one}", "is it red?", "{two}"], "the question before", '{one} {two} "is it red?"'),
        (["{one}", "is", "it", "red?"], "3 texts that are no", '{one} "is it red?"'),
        (["{one}", "is it?", "what is it?"], "2 texts that are no", '{one} "what is it?"'),
    ],
)
def test_a_question_that_is_missing_or_at_another_place(folder, given, message, example):
    files = {"one": str(folder / "one.png"), "two": str(folder / "two.png")}
    result = CliRunner().invoke(main, ["ask", *(each.format(**files) for each in given)])
    said = " ".join(result.output.split())
    assert result.exit_code == 2 and message in said
    assert "expected pictures, then one question in quotes" in said
    assert "PICTURE... QUESTION" in said
    assert f"gradcam ask {example.format(**files)}" in said


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ([], {"question": ""}, "has no words"),
        ([], {"question": "cat " * 500}, "at most 50 are read"),
        (["--answer", "yelow"], {}, "there is no answer 'yelow' (nearest: yellow)"),
        (["--model", "lstm"], {}, "either --model or --weights"),
        (["--layer", "fc6"], {}, "no spatial map"),
        (["--layer", "conv99"], {}, "conv99"),
        (["--cmap", "nothing"], {}, "nothing"),
        ([], {"pictures": ("missing.png",)}, "missing.png"),
    ],
)
def test_bad_input(ask, tmp_path, arguments, options, message):
    result = ask(*arguments, **options)
    assert result.exit_code == 2 and message in result.output
    assert "Traceback" not in result.output
    assert not list(tmp_path.rglob("*.png"))


def test_a_picture_that_is_read_is_not_replaced(folder, tmp_path):
    mine = tmp_path / "one-grad_cam-what.png"
    mine.write_bytes((folder / "one.png").read_bytes())
    pictures = [str(folder / "one.png"), str(mine)]
    weights = ["--weights", str(folder / "lstm.safetensors")]
    result = CliRunner().invoke(main, ["ask", *pictures, "what", *weights, "--out", str(tmp_path)])
    assert result.exit_code == 2 and "what is written would replace it" in result.output
    assert mine.read_bytes() == (folder / "one.png").read_bytes()


def test_a_file_that_is_no_answerer(folder, tmp_path):
    path = str(folder / "one.png")
    result = CliRunner().invoke(main, ["ask", path, QUESTION, "--weights", path])
    assert result.exit_code == 2 and "one.png" in result.output
