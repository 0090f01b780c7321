"""The captioner's decoder in PyTorch, for its training: neuraltalk2's LSTM.

code      relu7 of the code network, which does not change
first     W code, the first input of the LSTM; START and the words follow
scores    of all words and END after START and after each word
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradcam.pictograms._facts import FACTS

_EMBEDDED, _HIDDEN = 128, 256

_SCALE = 0.1
"""Codes are multiplied by it, so that the values of true facts are about 1."""


class DecoderNet(nn.Module):
    """Reads codes (N, 694) and captions (words, captions).

    Parameters
    ----------
    words : int
        How many there are; the number after the last one is START as an input, END as an output.
    dropout : float
        The share of values that training leaves out, after the LSTM.
    """

    def __init__(self, words: int, dropout: float) -> None:
        super().__init__()
        self.mark = words
        self.image = nn.Linear(len(FACTS), _EMBEDDED)
        self.embedding = nn.Embedding(words + 1, _EMBEDDED)
        self.lstm = nn.LSTM(_EMBEDDED, _HIDDEN)
        self.output = nn.Linear(_HIDDEN, words + 1)
        self.dropout = nn.Dropout(dropout)

    def first(self, codes: Tensor) -> Tensor:
        """Return the first input of the LSTM for each code, (1, N, E)."""
        seen: Tensor = self.image(_SCALE * codes)
        return seen[None]

    def forward(self, codes: Tensor, read: Tensor) -> Tensor:
        """Return the scores after each word.

        Parameters
        ----------
        codes : (M, 694) Tensor
            A row for each caption.
        read : (T, M) Tensor of int
            START and the words.

        Returns
        -------
        (T, M, words + 1) Tensor
        """
        h, _ = self.lstm(torch.cat([self.first(codes), self.embedding(read)]))
        scores: Tensor = self.output(self.dropout(h[1:]))
        return scores

    @torch.no_grad()
    def described(self, codes: Tensor, length: int = 20) -> list[list[int]]:
        """Return the numbers of the most probable words, one after the other, for each code."""
        _, state = self.lstm(self.first(codes))
        last = torch.full((len(codes),), self.mark)
        said = []
        for _ in range(length):
            h, state = self.lstm(self.embedding(last)[None], state)
            last = self.output(h[0]).argmax(1)
            said.append(last)
        rows = torch.stack(said, 1).tolist()
        return [row[: row.index(self.mark)] if self.mark in row else row for row in rows]

    @torch.no_grad()
    def tensors(self) -> dict[str, Tensor]:
        """Return the weights by the names of the captioner's file."""
        found = {
            f"{part}.{name.removesuffix('_l0')}": tensor
            for part in ("image", "embedding", "lstm", "output")
            for name, tensor in getattr(self, part).named_parameters()
        }
        found["image.weight"] = _SCALE * found["image.weight"]
        return found


def loss_of(scores: Tensor, said: Tensor) -> Tensor:
    """Return the sum of -log p of the words that were said, and of END.

    Parameters
    ----------
    scores : (T, M, words + 1) Tensor
    said : (T, M) Tensor of int
        -100 after the end.
    """
    return F.cross_entropy(scores.flatten(0, 1), said.flatten(), reduction="sum")
