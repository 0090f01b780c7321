"""The question answerers against the networks that PyTorch trains."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import peer

torch = peer("torch")

import random_attributes  # noqa: E402

from gradcam.pictograms import _attribute_networks as attributes  # noqa: E402
from gradcam.pictograms._code_nets import CodeNet  # noqa: E402
from gradcam.pictograms._described import described  # noqa: E402
from gradcam.pictograms._questions import ANSWERS, QUESTION_WORDS  # noqa: E402
from gradcam.vqa import Answerer  # noqa: E402
from gradcam.vqa._coattention_net import CoAttentionNet  # noqa: E402
from gradcam.vqa._nets import LSTMNet  # noqa: E402

pytestmark = pytest.mark.peers


def random_net(seed: int) -> LSTMNet:
    """Return a network whose batch normalisation has seen something."""
    torch.manual_seed(seed)
    code = CodeNet(dropout=0.2)
    code.conv3.bias.data.fill_(-4)  # so that its maps are above 0 at half of the positions
    code.fc7_maxima.bias.data += 3
    net = LSTMNet(len(QUESTION_WORDS), len(ANSWERS), dropout=0.3, code=code)
    for _ in range(3):
        net.code(3 * torch.rand(8, 128, 7, 7))
    return net.eval()


def test_the_answerer_computes_what_the_trained_network_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random_attributes.use(monkeypatch)
    net = random_net(0)
    tensors = {name: each.detach().numpy() for name, each in net.tensors().items()}
    answerer = Answerer("lstm", tensors, QUESTION_WORDS, ANSWERS)
    text = "what is left of the cat?"
    pictures = [described(seed, side=112).picture for seed in range(3)]
    tape = answerer.network.forward(pictures)
    replies = answerer.ask(tape, text)
    words = torch.tensor([[QUESTION_WORDS.index(word)] for word in text.rstrip("?").split()])
    with torch.no_grad():
        maps = torch.from_numpy(tape.activation("pool5").copy())
        question = net.asked(words, torch.tensor([len(words)]))
        scores = net(net.seen(net.code(maps)), question.expand(3, -1)).numpy()
    assert attributes.SIDE == 112 and maps.shape[1:] == (128, 7, 7)
    for reply, expected in zip(replies, scores, strict=True):
        np.testing.assert_allclose(reply.scores, expected, rtol=0, atol=1e-5 * np.abs(scores).max())


def test_the_gradient_of_an_answer_is_that_of_the_trained_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random_attributes.use(monkeypatch)
    net = random_net(1)
    tensors = {name: each.detach().numpy() for name, each in net.tensors().items()}
    answerer = Answerer("lstm", tensors, QUESTION_WORDS, ANSWERS)
    tape = answerer.network.forward(described(5, side=112).picture)
    reply = answerer.ask(tape, "is there a dog?")
    maps = torch.from_numpy(tape.activation("pool5").copy()).requires_grad_()
    words = torch.tensor([[QUESTION_WORDS.index(word)] for word in ["is", "there", "a", "dog"]])
    score = net(net.seen(net.code(maps)), net.asked(words, torch.tensor([4])))[
        0, ANSWERS.index("yes")
    ]
    (expected,) = torch.autograd.grad(score, maps)
    found = tape.gradient(reply.objective("yes"), "pool5")
    largest = expected.abs().max().item()
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-5 * largest)


def coattention(monkeypatch: pytest.MonkeyPatch) -> tuple[CoAttentionNet, Answerer]:
    """Return the network with random weights, and the answerer with the same ones."""
    random_attributes.use(monkeypatch)
    torch.manual_seed(2)
    net = CoAttentionNet(len(QUESTION_WORDS), len(ANSWERS)).eval()
    for block in net.blocks.values():
        torch.nn.init.uniform_(block.last_scale)
    tensors = {name: each.numpy() for name, each in net.tensors().items()}
    return net, Answerer("coattention", tensors, QUESTION_WORDS, ANSWERS)


def test_co_attention_computes_what_the_trained_network_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net, answerer = coattention(monkeypatch)
    texts = ["what is left of the cat?", "is there a dog?"]
    tape = answerer.network.forward([described(seed, side=112).picture for seed in range(2)])
    words = torch.full((2, 2, 6), net.padding)
    for n, text in enumerate(texts):
        for place, word in enumerate(text.rstrip("?").split()):
            words[:, n, place] = QUESTION_WORDS.index(word)
    with torch.no_grad():
        expected = net(torch.from_numpy(tape.activation("relu5_3").copy()), words).numpy()
    for n, text in enumerate(texts):
        scores = np.stack([reply.scores for reply in answerer.ask(tape, text)])
        largest = np.abs(expected).max()
        np.testing.assert_allclose(scores, expected[:, n], rtol=0, atol=1e-5 * largest)


def test_the_gradient_through_co_attention_is_that_of_the_trained_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net, answerer = coattention(monkeypatch)
    tape = answerer.network.forward(described(5, side=112).picture)
    reply = answerer.ask(tape, "is there a dog?")
    maps = torch.from_numpy(tape.activation("relu5_3").copy()).requires_grad_()
    words = [QUESTION_WORDS.index(word) for word in ["is", "there", "a", "dog"]]
    score = net(maps, torch.tensor([[words]]))[0, 0, ANSWERS.index("yes")]
    (expected,) = torch.autograd.grad(score, maps)
    found = tape.gradient(reply.objective("yes"), "relu5_3")
    largest = expected.abs().max().item()
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-5 * largest)
