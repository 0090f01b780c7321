"""The first question answerer in PyTorch, for its training: deeper LSTM Q, normalised I.

code      i = relu7 / ||relu7||, of the stored relu6_2
question  q = the last outputs of both layers of the LSTM
scores      = W tanh(W_q q) * tanh(W_i i), element by element before W
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FUSED = 512

_POOLED, _FC6, _CODE = 128 * 7 * 7, 512, 512
_EMBEDDED, _HIDDEN = 128, 256


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
    """

    def __init__(self, words: int, answers: int, dropout: float, blind: bool = False) -> None:
        super().__init__()
        self.blind = blind
        self.fc6 = nn.Linear(_POOLED, _FC6)
        self.fc7 = nn.Linear(_FC6, _CODE)
        self.embedding = nn.Embedding(words, _EMBEDDED)
        self.lstm1 = nn.LSTM(_EMBEDDED, _HIDDEN)
        self.lstm2 = nn.LSTM(_HIDDEN, _HIDDEN)
        self.question = nn.Linear(2 * _HIDDEN, FUSED)
        self.image = nn.Linear(_CODE, FUSED)
        self.answer = nn.Linear(FUSED, answers)
        self.dropout = nn.Dropout(dropout)
        # A normalised code has small values, so that tanh would be almost linear at first.
        nn.init.normal_(self.image.weight, std=1.0)

    def encoded(self, maps: Tensor) -> Tensor:
        """Return what is computed of each picture alone: tanh(W_i i), (pictures, 512)."""
        if self.blind:
            code = maps.new_zeros(len(maps), _CODE)
        else:
            hidden = self.dropout(torch.relu(self.fc6(maps.flatten(1))))
            code = F.normalize(self.dropout(torch.relu(self.fc7(hidden))))
        return torch.tanh(self.image(code))

    def asked(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Return what is computed of each question alone: tanh(W_q q), (questions, 512)."""
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

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights by the names of the answerer's file."""
        return {name.removesuffix("_l0"): tensor for name, tensor in self.state_dict().items()}
