"""The first question answerer in PyTorch, for its training: deeper LSTM Q, normalised I.

    code      i = relu7 / ||relu7||, of the stored relu6_2
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

from gradcam.pictograms._nets import folded

_CHANNELS, _POSITIONS = 128, 7 * 7
_FC6, _CODE, _FUSED = 512, 512, 768
_EMBEDDED, _HIDDEN = 128, 128


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

    def __init__(
        self, words: int, answers: int, dropout: float, blind: bool = False, facts: int = 0
    ) -> None:
        super().__init__()
        self.blind = blind
        self.norm5 = nn.BatchNorm2d(_CHANNELS, affine=False)
        self.fc6 = nn.Linear(_CHANNELS * _POSITIONS, _FC6, bias=False)
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
        # A normalised code has small values, so that tanh would be almost linear at first.
        nn.init.normal_(self.image.weight, std=1.0)

    def code(self, maps: Tensor) -> Tensor:
        """Return relu7 of each picture, (pictures, 512)."""
        if self.blind:
            return maps.new_zeros(len(maps), _CODE)
        pooled = self.norm5(maps).flatten(1)
        hidden = self.dropout(torch.relu(self.norm6(self.fc6(pooled))))
        return self.dropout(torch.relu(self.norm7(self.fc7(hidden))))

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
        weight, bias = folded(self.fc6, self.norm6)
        mean, variance = self.norm5.running_mean, self.norm5.running_var
        assert mean is not None and variance is not None
        scale = 1 / torch.sqrt(variance + self.norm5.eps)
        found["fc6.weight"] = weight * scale.repeat_interleave(_POSITIONS)
        found["fc6.bias"] = bias - weight @ (mean * scale).repeat_interleave(_POSITIONS)
        found["fc7.weight"], found["fc7.bias"] = folded(self.fc7, self.norm7)
        return found
