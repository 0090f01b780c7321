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
from gradcam.captioning._nets import CaptionNet, loss_of  # noqa: E402
from gradcam.pictograms import _described_maps as stored  # noqa: E402
from gradcam.pictograms._attributes import attributes  # noqa: E402
from gradcam.pictograms._captions import CAPTION_WORDS  # noqa: E402
from gradcam.pictograms._described import compose_described, for_tests  # noqa: E402

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

    def computed(scenes: int, use: int, workers: int, layer: stored.Stored):
        drawn = [compose_described(np.random.default_rng([n, use]), 64) for n in range(scenes)]
        values = np.random.default_rng(use).random((scenes, *stored.SHAPES[layer]), np.float32)
        yield values, [stored._line(each) for each in drawn]

    monkeypatch.setattr(stored, "_computed", computed)


def training(out: Path, *options: str) -> _train.Training:
    parser = argparse.ArgumentParser()
    _train.add_arguments(parser)
    return _train.Training(parser.parse_args(["--out", str(out), *SMALL, *options]))


def test_sentences_become_what_is_read_and_what_is_said():
    read, said = _train.as_numbers(["a cat", "two small dogs"])
    a, cat, two, small, dogs = map(CAPTION_WORDS.index, ("a", "cat", "two", "small", "dogs"))
    assert read.T.tolist() == [[END, a, cat, END], [END, two, small, dogs]]
    assert said.T.tolist() == [[a, cat, END, -100], [two, small, dogs, END]]


def test_batches_have_every_picture_with_sentences_that_are_not_for_tests(maps, tmp_path):
    pictures = _train.Pictures(tmp_path, 6, stored.TRAINING, workers=1)
    rng = np.random.default_rng(0)
    seen = []
    for batch in pictures.batches(4, 3, rng, shuffled=True):
        assert len(batch.places) == batch.read.shape[1] == batch.said.shape[1]
        for place, words in zip(batch.places, batch.said.T.tolist(), strict=True):
            numbers = words[: words.index(END)]
            text = " ".join(CAPTION_WORDS[number] for number in numbers)
            assert not for_tests(text)
            matches = (pictures.maps == batch.maps[place].numpy().astype(np.float16)).all((1, 2, 3))
            (number,) = np.flatnonzero(matches)
            seen.append(number)
            present = attributes(pictures.scenes[number])
            assert batch.present[place].tolist() == present.tolist()
            nouns = [word for word in text.split() if pictures.scenes[number].group(word)]
            assert nouns  # what is said is of this picture
    assert set(seen) == set(range(6))


def test_the_loss_is_that_of_plain_numpy():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(3, 2, 4)).astype(np.float32)
    said = np.array([[1, 0], [3, 2], [-100, 3]])
    logs = scores - np.log(np.exp(scores).sum(2, keepdims=True))
    chosen = [logs[t, n, said[t, n]] for t in range(3) for n in range(2) if said[t, n] >= 0]
    found = loss_of(torch.from_numpy(scores), torch.from_numpy(said))
    assert float(found) == pytest.approx(-np.mean(chosen), rel=1e-5)


def test_the_described_captions_are_the_most_probable_words():
    torch.manual_seed(0)
    net = CaptionNet(5, dropout=0.5).eval()
    net.output.weight.data *= 20
    maps = torch.rand(4, 128, 7, 7)
    with torch.no_grad():
        for each, words in zip(maps, net.described(maps, length=6), strict=True):
            read = torch.tensor([5, *words])[:, None]
            best = net(net.code(each[None]), read)[:, 0].argmax(1).tolist()
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


def test_normalisation_is_folded_into_the_weights(monkeypatch):
    random_attributes.use(monkeypatch)
    torch.manual_seed(0)
    net = CaptionNet(END, dropout=0.3)
    pictures = [compose_described(np.random.default_rng(n), 112).picture for n in range(8)]
    with torch.no_grad():
        net.fc6.weight.normal_(std=0.01)
        for norm in (net.norm0, net.norm6, net.norm7):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
        for norm in (net.norm6, net.norm7):
            norm.weight.uniform_(0.5, 2)
            norm.bias.normal_()
        net.eval()
        captioner = Captioner(arrays(net), CAPTION_WORDS)
        tape = captioner.network.forward(pictures)
        maps = torch.from_numpy(tape.activation("relu6_2").copy())
        sentence = "a small red cat left of two mushrooms"
        read, said = (each.expand(-1, 8) for each in _train.as_numbers([sentence]))
        logs = torch.log_softmax(net(net.code(maps), read), 2).numpy()
    expected = np.take_along_axis(logs, said.numpy()[..., None], 2)[..., 0]
    for n, found in enumerate(captioner.caption(tape, sentence)):
        values = [*found.log_probabilities, found.end]
        assert largest_difference(values, expected[:, n]) <= 1e-5
    for caption, numbers in zip(captioner.describe(tape), net.described(maps), strict=True):
        assert caption.words == tuple(CAPTION_WORDS[number] for number in numbers)


def arrays(net: CaptionNet) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy() for name, tensor in net.tensors().items()}
