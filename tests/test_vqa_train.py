"""The training of the first question answerer, its data, and easy-VQA."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="training needs PyTorch: pip install gradcam[train]")

import random_attributes  # noqa: E402

from gradcam.pictograms import _described_maps as stored  # noqa: E402
from gradcam.pictograms._described import compose_described  # noqa: E402
from gradcam.pictograms._questions import ANSWERS, QUESTION_WORDS  # noqa: E402
from gradcam.vqa import _easy_vqa, _file, _train, load  # noqa: E402
from gradcam.vqa._examples import Examples, scene_examples  # noqa: E402
from gradcam.vqa._nets import LSTMNet  # noqa: E402

SMALL = ["--scenes=6", "--validation=3", "--batch=3", "--steps=3", "--examples=16", "--threads=1"]


@pytest.fixture(autouse=True)
def _restore_number_of_threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def maps(monkeypatch: pytest.MonkeyPatch) -> None:
    random_attributes.use_maps(monkeypatch)


@pytest.fixture
def examples(maps: None, tmp_path: Path) -> Examples:
    return scene_examples(tmp_path, 6, stored.TRAINING, workers=1)


def run(out: Path, *options: str) -> _train.Training:
    _train.main(["--out", str(out), *SMALL, *options])
    import argparse

    parser = argparse.ArgumentParser()
    _train.add_arguments(parser)
    return _train.Training(parser.parse_args(["--out", str(out), *SMALL, *options]))


def test_examples_are_true_of_the_scenes(examples: Examples) -> None:
    scenes = [compose_described(np.random.default_rng([n, stored.TRAINING]), 64) for n in range(6)]
    assert (np.diff(examples.pairs[:, 0]) >= 0).all()
    seen = set()
    for picture, text, answer, kind in examples.pairs:
        words = examples.texts[text].rstrip("?").split()
        said, name = examples.answers[answer], examples.kinds[kind]
        group = scenes[picture].group(words[2] if name == "count" else words[-1])
        seen.add(name)
        if name == "count":
            assert said == str(group.count if group else 0)
        elif name == "colour":
            assert group is not None and said == " and ".join(sorted(group.colours))
        elif name == "presence":
            colours = group.colours if group else ()
            assert said == ("yes" if group and (len(words) == 4 or words[3] in colours) else "no")
        elif said != "nothing":
            other = scenes[picture].group(said)
            relation = {"left": "left of", "right": "right of"}.get(words[2], words[2])
            assert scenes[picture].stands(other, relation, group)
    assert seen == set(examples.kinds)


def test_the_words_of_all_questions_are_known(examples: Examples) -> None:
    tokens, lengths = examples.tokens
    assert tokens.shape == (lengths.max(), len(examples.texts))
    for n, text in enumerate(examples.texts):
        words = [QUESTION_WORDS[token] for token in tokens[: lengths[n], n]]
        assert words == text.rstrip("?").split()


def test_examples_of_chosen_pictures(examples: Examples) -> None:
    found = examples.of(np.array([4, 1]))
    pairs = examples.pairs
    wanted = [pairs[pairs[:, 0] == picture, 1:] for picture in (4, 1)]
    assert np.array_equal(found[:, 1:], np.concatenate(wanted))
    assert np.array_equal(found[:, 0], [0] * len(wanted[0]) + [1] * len(wanted[1]))


def test_a_run_that_is_resumed_gives_the_same_weights(maps: None, tmp_path: Path) -> None:
    run(tmp_path / "whole", "--epochs=2")
    # The learning rate depends on the number of epochs, which must be the same.
    first = _train.Training.one_epoch
    stop = KeyboardInterrupt
    calls = []

    def once(self: _train.Training) -> float:
        if calls:
            raise stop
        calls.append(1)
        return first(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_train.Training, "one_epoch", once)
        with pytest.raises(stop):
            run(tmp_path / "parts", "--epochs=2")
    run(tmp_path / "parts", "--epochs=2")
    whole, parts = (
        _file.read(tmp_path / name / "lstm.safetensors", ["lstm"]) for name in ("whole", "parts")
    )
    assert [*whole.words] == [*QUESTION_WORDS] and [*whole.answers] == [*ANSWERS]
    for name, values in whole.tensors.items():
        np.testing.assert_array_equal(values, parts.tensors[name], err_msg=name)
    log = (tmp_path / "parts" / "training.log").read_text()
    assert "resumed after 1 epochs; planned are 2" in log and "relation" in log


def test_a_step_lowers_the_loss_of_its_batch(maps: None, tmp_path: Path) -> None:
    training = run(tmp_path, "--epochs=1", "--dropout=0")
    for group in training.optimiser.param_groups:
        group["lr"] = 1e-3
    (batch,) = _train.batches(training.examples, 6, np.arange(6))
    losses = [training.step(*batch) for _ in range(8)]
    assert losses[-1] < losses[0]


def test_a_blind_run_does_not_see_and_writes_its_answers(maps: None, tmp_path: Path) -> None:
    training = run(tmp_path, "--epochs=2", "--blind")
    table = json.loads((tmp_path / "blind.json").read_text())
    assert list(table) == list(training.examples.texts)
    pairs = training.examples.pairs
    for text, (network, frequent) in table.items():
        said = pairs[pairs[:, 1] == training.examples.texts.index(text), 2]
        counts = np.bincount(said, minlength=len(ANSWERS))
        assert counts[ANSWERS.index(frequent)] == counts.max()
        assert network in ANSWERS
    one, other = (torch.rand(1, 1086) for _ in range(2))
    assert torch.equal(training.net.code(one), training.net.code(other))


def test_questions_of_different_lengths_do_not_change_each_other() -> None:
    torch.manual_seed(0)
    net = LSTMNet(7, 3, dropout=0.0)
    words = torch.randint(0, 7, (5, 2))
    both = net.asked(words, torch.tensor([5, 3]))
    alone = net.asked(words[:3, 1:], torch.tensor([3]))
    torch.testing.assert_close(both[1:], alone)


def test_easy_vqa_is_read_and_trained_by_the_same_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "3.png")
    Image.new("RGB", (64, 64), "blue").save(tmp_path / "9.png")
    asked = (["What is it?", "Is it red?", "Is it red?"], ["circle", "yes", "no"], [9, 3, 9])
    package = types.ModuleType("easy_vqa")
    for part in ("train", "test"):
        setattr(package, f"get_{part}_questions", lambda: asked)
        paths = {number: str(tmp_path / f"{number}.png") for number in (9, 3)}
        setattr(package, f"get_{part}_image_paths", lambda paths=paths: paths)
    package.get_answers = lambda: ["circle", "red", "yes", "no"]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "easy_vqa", package)
    given = []

    def fake(paths: list[Path]) -> np.ndarray:
        given.extend(paths)
        return np.zeros((len(paths), 128, 7, 7), np.float16)

    monkeypatch.setattr(_easy_vqa, "_maps", fake)
    found = _easy_vqa.easy_vqa_examples("train")
    assert given == [tmp_path / "3.png", tmp_path / "9.png"]
    assert found.words == ("is", "it", "red", "what")
    assert found.texts == ("Is it red?", "What is it?")
    assert found.pairs.tolist() == [[0, 0, 2, 2], [1, 0, 3, 2], [1, 1, 0, 0]]
    _train.main(["--out", str(tmp_path / "run"), "--data=easy-vqa", "--epochs=1", "--threads=1"])
    assert load(tmp_path / "run" / "lstm.safetensors").answers == found.answers


def test_easy_vqa_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "easy_vqa", None)
    with pytest.raises(ModuleNotFoundError, match="pip install easy-vqa"):
        _easy_vqa.easy_vqa_examples("train")
