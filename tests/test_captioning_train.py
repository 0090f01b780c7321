"""The training of the captioner, and what is true of captions."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import random_attributes
from helpers import largest_difference

torch = pytest.importorskip("torch", reason="training needs PyTorch: pip install gradcam[train]")

from gradcam.captioning import Captioner, _train, load  # noqa: E402
from gradcam.captioning._nets import DecoderNet, loss_of  # noqa: E402
from gradcam.pictograms import _described_maps as stored  # noqa: E402
from gradcam.pictograms._captions import CAPTION_WORDS, parse  # noqa: E402
from gradcam.pictograms._described import compose_described, for_tests  # noqa: E402
from gradcam.pictograms._facts import FACTS  # noqa: E402

SMALL = ["--scenes=6", "--validation=3", "--batch=3", "--threads=1"]
END = len(CAPTION_WORDS)


@pytest.fixture(autouse=True)
def _restore_number_of_threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random maps in the place of those of the convolutions, of scenes of 64 x 64 pixels."""
    random_attributes.use(monkeypatch)
    random_attributes.use_maps(monkeypatch)


def training(out: Path, *options: str) -> _train.Training:
    parser = argparse.ArgumentParser()
    _train.add_arguments(parser)
    return _train.Training(parser.parse_args(["--out", str(out), *SMALL, *options]))


def test_sentences_become_what_is_read_and_what_is_said():
    read, said = _train.as_numbers(["a cat", "two small dogs"])
    a, cat, two, small, dogs = map(CAPTION_WORDS.index, ("a", "cat", "two", "small", "dogs"))
    assert read.T.tolist() == [[END, a, cat, END], [END, two, small, dogs]]
    assert said.T.tolist() == [[a, cat, END, -100], [two, small, dogs, END]]


def test_each_scene_has_a_true_sentence_that_is_not_for_tests(maps, tmp_path):
    pictures = _train.Pictures(tmp_path, 6, stored.TRAINING, workers=1)
    seen = set()
    for seed in range(40):
        numbers, sentences = pictures.sentences(np.random.default_rng(seed))
        for number, text in zip(numbers, sentences, strict=True):
            assert not for_tests(text)
            phrases = parse(text.split()).phrases
            assert all(each.is_true_of(pictures.scenes[number]) for each in phrases)
            seen.add(number)
    assert seen == {0, 1}  # two of six scenes: the others train the code


def test_drawn_codes_are_true_facts_mixed_with_those_of_others_and_noise(maps, tmp_path):
    pictures = _train.Pictures(tmp_path, 60, stored.TRAINING, workers=1)
    torch.manual_seed(0)
    numbers = torch.arange(20).repeat(50)
    made = pictures.drawn_codes(numbers, share=1.0)
    true = pictures.facts[numbers]
    assert made.shape == (1000, len(FACTS))
    # Two thirds of the own facts in the mean of mixed codes, as the code's size of true facts.
    own, others = made[true == 1].mean() / pictures.level, made[true == 0].mean() / pictures.level
    mixed = _train._MIXED
    assert 1 - 0.45 * mixed < own < 1 - 0.2 * mixed
    assert 0 < others < 0.1
    assert made[true == 0].std() / pictures.level > _train._NOISE


def test_the_loss_of_a_batch_is_that_of_its_sentences(maps, tmp_path):
    run = training(tmp_path)
    run.net.eval()
    numbers, sentences = run.pictures.sentences(np.random.default_rng(0))
    with torch.no_grad():
        found = float(run.loss(numbers, sentences, share=1.0))
        read, said = _train.as_numbers(sentences)
        scores = run.net(run.pictures.codes[numbers].float(), read)
        expected = float(loss_of(scores, said) / (said >= 0).sum())
    assert found == pytest.approx(expected, rel=2e-2)  # bfloat16


def test_the_loss_is_that_of_plain_numpy():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(3, 2, 4)).astype(np.float32)
    said = np.array([[1, 0], [3, 2], [-100, 3]])
    logs = scores - np.log(np.exp(scores).sum(2, keepdims=True))
    chosen = [logs[t, n, said[t, n]] for t in range(3) for n in range(2) if said[t, n] >= 0]
    found = loss_of(torch.from_numpy(scores), torch.from_numpy(said))
    assert float(found) == pytest.approx(-np.sum(chosen), rel=1e-5)


def test_the_described_captions_are_the_most_probable_words():
    torch.manual_seed(0)
    net = DecoderNet(5, dropout=0.5).eval()
    net.output.weight.data *= 20
    codes = 5 * torch.rand(4, len(FACTS))
    with torch.no_grad():
        for each, words in zip(codes, net.described(codes, length=6), strict=True):
            read = torch.tensor([5, *words])[:, None]
            best = net(each[None], read)[:, 0].argmax(1).tolist()
            assert best[: len(words)] == words
            assert len(words) == 6 or best[len(words)] == 5


def test_a_run_trains_resumes_and_exports(maps, tmp_path, capsys):
    whole = training(tmp_path / "whole", "--epochs=2")
    before = whole.net.output.weight.detach().clone()
    whole.run()
    assert not torch.equal(before, whole.net.output.weight)
    log = (tmp_path / "whole" / "captioner.log").read_text()
    assert "epoch  2" in log and "exported" in log and str(tmp_path) not in log
    assert log == capsys.readouterr().out

    part = training(tmp_path / "part", "--epochs=2")
    part.one_epoch()
    part.done = 1
    part.save()
    resumed = training(tmp_path / "part", "--epochs=2")
    assert resumed.done == 1 and "resumed after 1 epochs" in capsys.readouterr().out
    resumed.run()
    for name, tensor in whole.net.tensors().items():
        assert torch.equal(tensor, resumed.net.tensors()[name]), name


def test_the_exported_captioner_is_the_trained_network(maps, tmp_path):
    run = training(tmp_path, "--epochs=1")
    run.run()
    shipped = load(tmp_path / "captioner.safetensors")
    assert shipped.words == CAPTION_WORDS
    for name, tensor in run.net.tensors().items():
        np.testing.assert_allclose(
            shipped._tensors[name], tensor.detach().numpy(), rtol=1e-3, atol=1e-6
        )


def test_the_captioner_computes_what_was_trained(monkeypatch):
    random_attributes.use(monkeypatch)
    torch.manual_seed(0)
    net = DecoderNet(END, dropout=0.3).eval()
    pictures = [compose_described(np.random.default_rng(n), 112).picture for n in range(8)]
    tensors = {name: tensor.detach().numpy() for name, tensor in net.tensors().items()}
    captioner = Captioner(tensors, CAPTION_WORDS)
    tape = captioner.network.forward(pictures)
    codes = torch.from_numpy(tape.activation("relu7").copy())
    sentence = "a small red cat left of two mushrooms"
    read, said = (each.expand(-1, 8) for each in _train.as_numbers([sentence]))
    with torch.no_grad():
        logs = torch.log_softmax(net(codes, read), 2).numpy()
    expected = np.take_along_axis(logs, said.numpy()[..., None], 2)[..., 0]
    for n, found in enumerate(captioner.caption(tape, sentence)):
        values = [*found.log_probabilities, found.end]
        assert largest_difference(values, expected[:, n]) <= 1e-5
    for caption, numbers in zip(captioner.describe(tape), net.described(codes), strict=True):
        assert caption.words == tuple(CAPTION_WORDS[number] for number in numbers)
