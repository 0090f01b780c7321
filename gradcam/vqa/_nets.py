"""The first question answerer in PyTorch, for its training: deeper LSTM Q, normalised I.

code      i = relu7 / ||relu7||
question  q = the last outputs of both layers of the LSTM
scores      = W tanh(W_q q) * tanh(W_i i), element by element before W
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradcam.pictograms._code_nets import CodeNet
from gradcam.pictograms._facts import PLACES

_EMBEDDED, _HIDDEN, _FUSED = 128, 128, 768


class LSTMNet(nn.Module):
    """Reads pictures' codes, (pictures, 1086), and questions, (words, questions).

    Parameters
    ----------
    words, answers : int
        How many there are.
    dropout : float
        The share of values that training leaves out, before the answers.
    blind : bool
        Whether the code is zero, so that only the question counts.
    code : CodeNet, optional
        Layers that are trained, too, and compute the codes from maps of pool5, (pictures, 128, 7,
        7), which are then read in the place of codes.
    """

    def __init__(
        self,
        words: int,
        answers: int,
        dropout: float,
        blind: bool = False,
        code: CodeNet | None = None,
    ) -> None:
        super().__init__()
        self.blind, self.code_net = blind, code
        self.embedding = nn.Embedding(words, _EMBEDDED)
        self.lstm1 = nn.LSTM(_EMBEDDED, _HIDDEN)
        self.lstm2 = nn.LSTM(_HIDDEN, _HIDDEN)
        self.question = nn.Linear(2 * _HIDDEN, _FUSED)
        self.image = nn.Linear(PLACES, _FUSED)
        self.answer = nn.Linear(_FUSED, answers)
        self.dropout = nn.Dropout(dropout)
        # A normalised code and an LSTM's outputs have small values, so that both tanh would be
        # almost linear at first and different questions almost the same.
        nn.init.normal_(self.image.weight, std=1.0)
        nn.init.normal_(self.question.weight, std=0.5)

    def code(self, pictures: Tensor) -> Tensor:
        """Return relu7 of each picture, (pictures, 1086)."""
        if self.blind:
            return pictures.new_zeros(len(pictures), PLACES)
        if self.code_net is None:
            return pictures
        _, scores = self.code_net(self.code_net.places(pictures))
        return torch.relu(scores)

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
        of_code = {} if self.code_net is None else self.code_net.tensors()
        return found | {k: v for k, v in of_code.items() if not k.startswith("fc7.")}
