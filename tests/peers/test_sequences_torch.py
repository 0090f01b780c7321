"""Recurrent networks' operations against PyTorch: results and all gradients."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import peer

import gradcam._sequences as seq

torch = peer("torch")

import torch.nn.functional as F  # noqa: E402

pytestmark = pytest.mark.peers


def relative(ours, theirs):
    theirs = theirs.detach().numpy()
    return np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30)


def compare(ours, theirs, our_inputs, their_inputs, tolerance=1e-5):
    """Compare results, and gradients by all inputs for one random seed."""
    assert relative(ours.array, theirs) <= tolerance
    seed = np.random.default_rng(9).normal(size=ours.shape).astype(np.float32)
    found = seq.gradients(ours, seed, our_inputs)
    expected = torch.autograd.grad(
        theirs, their_inputs, torch.tensor(seed, dtype=theirs.dtype), allow_unused=True
    )
    for gradient, other in zip(found, expected, strict=True):
        assert relative(gradient, torch.zeros(gradient.shape) if other is None else other) <= (
            tolerance
        )


@pytest.mark.parametrize(
    ("steps", "batch", "size", "hidden"),
    [(1, 1, 1, 3), (12, 1, 128, 128), (12, 12, 128, 256), (7, 3, 33, 17), (20, 2, 64, 100)],
)
def test_lstm(steps, batch, size, hidden):
    torch.manual_seed(1)
    theirs = torch.nn.LSTM(size, hidden).double()  # of numbers that float32 has
    x = torch.randn(steps, batch, size).double().requires_grad_()
    state = [torch.randn(1, batch, hidden).double().requires_grad_() for _ in range(2)]
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    weights = [getattr(theirs, name) for name in names]
    outputs, (_, cell) = theirs(x, tuple(state))

    ours = [seq.variable(t.detach().numpy()) for t in (x, *weights)]
    ours += [seq.variable(t.detach().numpy()[0]) for t in state]
    h, c = seq.lstm(*ours)
    joined = seq.concatenate([h, seq.reshape(c, (1, batch, hidden))], axis=0)
    seed = np.random.default_rng(9).normal(size=joined.shape).astype(np.float32)
    expected = torch.autograd.grad(
        torch.cat([outputs, cell]), [x, *weights, *state], torch.tensor(seed).double()
    )
    assert relative(joined.array, torch.cat([outputs, cell])) <= 1e-5
    for gradient, other in zip(seq.gradients(joined, seed, ours), expected, strict=True):
        assert relative(gradient.reshape(other.shape), other) <= 1e-5


def test_a_caption_from_code_to_words():
    """The code of a picture, then words; the log-probabilities of a caption."""
    torch.manual_seed(2)
    words, size, hidden, code_size = 40, 24, 37, 65
    indices = torch.tensor([[3, 1], [7, 7], [39, 0]])
    table = torch.randn(words, size, requires_grad=True)
    project = torch.nn.Linear(code_size, size)
    network = torch.nn.LSTM(size, hidden)
    head = torch.nn.Linear(hidden, words)
    code = torch.randn(2, code_size, requires_grad=True)
    steps = torch.cat([project(code)[None], F.embedding(indices, table)])
    scores = F.log_softmax(head(network(steps)[0][1:]), -1)
    theirs = scores.gather(-1, indices[..., None])[..., 0].sum(0)

    def array(tensor):
        return tensor.detach().numpy()

    our_code, our_table = seq.variable(array(code)), seq.variable(array(table))
    first = seq.linear(our_code, array(project.weight), array(project.bias))
    ours = seq.concatenate(
        [seq.reshape(first, (1, 2, size)), seq.embedding(indices.numpy(), our_table)], axis=0
    )
    h, _ = seq.lstm(ours, *(array(weight) for weight in network.parameters()))
    our_scores = seq.linear(seq.select(h, slice(1, None)), array(head.weight), array(head.bias))
    picked = seq.pick(seq.log_softmax(our_scores), indices.numpy())
    total = seq.add(seq.add(seq.select(picked, 0), seq.select(picked, 1)), seq.select(picked, 2))
    compare(total, theirs, [our_code, our_table], [code, table])


CASES = {
    "embedding": (
        lambda w: seq.embedding([[1, 0], [4, 1]], w),
        lambda w: F.embedding(torch.tensor([[1, 0], [4, 1]]), w),
        [(5, 7)],
    ),
    "linear": (seq.linear, F.linear, [(3, 4, 65), (33, 65), (33,)]),
    "softmax": (seq.softmax, lambda x: torch.softmax(x, -1), [(3, 4, 65)]),
    "log_softmax": (seq.log_softmax, lambda x: torch.log_softmax(x, -1), [(3, 65)]),
    "normalise": (seq.normalise, lambda x: F.normalize(x, dim=-1), [(3, 65)]),
    "matmul": (seq.matmul, torch.matmul, [(3, 5, 65), (3, 65, 196)]),
    "attention": (
        lambda w, v: seq.attend(seq.softmax(w), v),
        lambda w, v: torch.einsum("np,npd->nd", torch.softmax(w, -1), v),
        [(3, 196), (3, 196, 33)],
    ),
    "co-attention": (
        lambda q, w, v: seq.tanh(seq.matmul(seq.linear(q, w), seq.transpose(v, (0, 2, 1)))),
        lambda q, w, v: torch.tanh(F.linear(q, w) @ v.transpose(1, 2)),
        [(2, 9, 16), (12, 16), (2, 49, 12)],
    ),
    "gate": (
        lambda a, b: seq.multiply(seq.sigmoid(a), seq.relu(b)),
        lambda a, b: torch.sigmoid(a) * torch.relu(b),
        [(4, 67), (4, 67)],
    ),
    "maximum": (
        lambda a, b: seq.maximum([a, b]),
        torch.maximum,
        [(4, 67), (4, 67)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_operations(name):
    ours, theirs, shapes = CASES[name]
    rng = np.random.default_rng(7)
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    values = [seq.variable(array) for array in arrays]
    tensors = [torch.tensor(array, dtype=torch.float64, requires_grad=True) for array in arrays]
    compare(ours(*values), theirs(*tensors), values, tensors)
