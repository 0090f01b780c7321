"""The first question answerer in PyTorch, for its training: deeper LSTM Q, normalised I.

    code      i = relu7 / ||relu7||, of the stored pool5
    question  q = the last outputs of both layers of the LSTM
    scores      = W tanh(W_q q) * tanh(W_i i), element by element before W

In training, batch normalisation precedes fc6 and follows fc6 and fc7; it is folded into their
weights on export. A linear layer tells from relu7 what is in the picture, so that the code
describes the picture before the questions have taught it to; it is removed at the end.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradcam.pictograms._nets import folded, folded_before

_CHANNELS, _BETWEEN, _SIDE, _WAVES = 128, 256, 7, 4
_SHIFT = 4.0
"""Added to the scores of places before the rectifier: what is uncertain is above 0, too."""

_FC6, _CODE, _FUSED = 512, 512, 768
_EMBEDDED, _HIDDEN = 128, 128


def waves() -> Tensor:
    """Return slow waves over the 7 x 7 positions, (16, 49): products of four cosines along y and x.

    fc6 weighs each map by a mixture of these, which has a third as many weights as 49 positions.
    What is learnt about an object at one place then counts at the places around it, too.
    """
    positions = (torch.arange(_SIDE) + 0.5) / _SIDE
    along = torch.cos(torch.pi * torch.arange(_WAVES)[:, None] * positions)
    along[1:] *= 2**0.5
    return torch.einsum("ay,bx->abyx", along, along).flatten(2).flatten(0, 1) / _SIDE


def first_weights(units: int) -> Tensor:
    """Return weights with which fc6 begins, (units, 128 x 16).

    The first units are the means of the maps over all positions, the next ones weigh each map by a
    cosine along x, and along y; the others mix the means of all maps at random.
    """
    whole = torch.zeros(units, _CHANNELS, _WAVES**2)
    for part, wave in enumerate((0, 1, _WAVES)):
        whole[part * _CHANNELS : (part + 1) * _CHANNELS, :, wave] = torch.eye(_CHANNELS)
    rest = units - 3 * _CHANNELS
    whole[-rest:, :, 0] = torch.randn(rest, _CHANNELS) / _CHANNELS**0.5
    return whole.flatten(1)


class LSTMNet(nn.Module):
    """Reads stored maps and questions, (pictures, 128, 7, 7) and (words, questions).

    Parameters
    ----------
    words, answers : int
        How many there are.
    dropout : float
        The share of values that training leaves out, after fc6 and fc7 and before the answers.
    blind : bool
        Whether the code is zero, so that only the question counts.
    facts : int
        How many facts about the picture the code is to tell.
    """

    waves: Tensor

    def __init__(
        self, words: int, answers: int, dropout: float, blind: bool = False, facts: int = 0
    ) -> None:
        super().__init__()
        self.blind = blind
        self.norm5 = nn.BatchNorm2d(_CHANNELS, affine=False)
        self.conv1 = nn.Conv2d(_CHANNELS, _BETWEEN, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(_BETWEEN)
        self.conv2 = nn.Conv2d(_BETWEEN, _CHANNELS, 1)
        assert self.conv2.bias is not None
        nn.init.constant_(self.conv2.bias, -7.0)
        self.register_buffer("waves", waves(), persistent=False)
        self.fc6 = nn.Linear(_CHANNELS * _WAVES**2, _FC6, bias=False)
        self.norm6 = nn.BatchNorm1d(_FC6)
        self.fc7 = nn.Linear(_FC6, _CODE, bias=False)
        self.norm7 = nn.BatchNorm1d(_CODE)
        self.facts = nn.Linear(_CODE, facts) if facts else None
        self.embedding = nn.Embedding(words, _EMBEDDED)
        self.lstm1 = nn.LSTM(_EMBEDDED, _HIDDEN)
        self.lstm2 = nn.LSTM(_HIDDEN, _HIDDEN)
        self.question = nn.Linear(2 * _HIDDEN, _FUSED)
        self.image = nn.Linear(_CODE, _FUSED)
        self.answer = nn.Linear(_FUSED, answers)
        self.dropout = nn.Dropout(dropout)
        self.fc6.weight.data.copy_(first_weights(_FC6))
        self.fc7.weight.data.add_(torch.eye(_CODE, _FC6))
        # A normalised code and an LSTM's outputs have small values, so that both tanh would be
        # almost linear at first and different questions almost the same.
        nn.init.normal_(self.image.weight, std=1.0)
        nn.init.normal_(self.question.weight, std=0.5)

    def code(self, maps: Tensor) -> Tensor:
        """Return relu7 of each picture, (pictures, 512)."""
        if self.blind:
            return maps.new_zeros(len(maps), _CODE)
        return self.code_of(self.places(maps))

    def places(self, maps: Tensor) -> Tensor:
        """Return a score of each of 128 facts at each position, (pictures, 128, 7, 7)."""
        between = torch.relu(self.norm1(self.conv1(self.norm5(maps))))
        scores: Tensor = self.conv2(between)
        return scores

    def code_of(self, places: Tensor) -> Tensor:
        """Return relu7 from what :meth:`places` returns."""
        found = torch.relu(places + _SHIFT).flatten(2) @ self.waves.T
        hidden = self.dropout(torch.relu(self.norm6(self.fc6(found.flatten(1)))))
        codes: Tensor = self.dropout(torch.relu(self.norm7(self.fc7(hidden))))
        return codes

    def seen(self, codes: Tensor) -> Tensor:
        """Return what is computed of each picture's code alone: tanh(W_i i), (pictures, 768)."""
        return torch.tanh(self.image(F.normalize(codes)))

    def asked(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Return what is computed of each question alone: tanh(W_q q), (questions, 768)."""
        states, last, each = self.embedding(words), lengths - 1, torch.arange(len(lengths))
        ends = []
        for layer in (self.lstm1, self.lstm2):
            states, _ = layer(states)
            ends.append(states[last, each])
        return torch.tanh(self.question(torch.cat(ends, 1)))

    def forward(self, pictures: Tensor, questions: Tensor) -> Tensor:
        """Return the answers' scores, (n, answers), for n pairs of what both methods return."""
        scores: Tensor = self.answer(self.dropout(pictures * questions))
        return scores

    @torch.no_grad()
    def tensors(self) -> dict[str, Tensor]:
        """Return the weights by the names of the answerer's file, without normalisation."""
        parts = ("embedding", "lstm1", "lstm2", "question", "image", "answer")
        found = {
            f"{part}.{name.removesuffix('_l0')}": tensor
            for part in parts
            for name, tensor in getattr(self, part).named_parameters()
        }
        found["conv6_1.weight"], found["conv6_1.bias"] = folded_before(
            self.norm5, *folded(self.conv1, self.norm1)
        )
        assert self.conv2.bias is not None
        found["conv6_2.weight"], found["conv6_2.bias"] = self.conv2.weight, self.conv2.bias + _SHIFT
        weight, found["fc6.bias"] = folded(self.fc6, self.norm6)
        mixed = weight.view(len(weight), _CHANNELS, -1) @ self.waves
        found["fc6.weight"] = mixed.flatten(1)
        found["fc7.weight"], found["fc7.bias"] = folded(self.fc7, self.norm7)
        return found
