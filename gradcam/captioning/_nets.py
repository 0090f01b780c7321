"""The captioner in PyTorch, for its training: neuraltalk2's CNN and LSTM.

code      relu7, of the stored relu6_2
first     W code, the first input of the LSTM; START and the words follow
scores    of all words and END after START and after each word
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_POOLED, _FC6, _CODE = 128 * 7 * 7, 512, 256
_EMBEDDED, _HIDDEN = 128, 256


class CaptionNet(nn.Module):
    """Reads stored maps (N, 128, 7, 7) and captions (words, captions).

    Parameters
    ----------
    words : int
        How many there are; the number after the last one is START as an input, END as an output.
    dropout : float
        The share of values that training leaves out, after fc6, fc7 and the LSTM.
    """

    def __init__(self, words: int, dropout: float) -> None:
        super().__init__()
        self.mark = words
        self.fc6 = nn.Linear(_POOLED, _FC6)
        self.fc7 = nn.Linear(_FC6, _CODE)
        self.image = nn.Linear(_CODE, _EMBEDDED)
        self.embedding = nn.Embedding(words + 1, _EMBEDDED)
        self.lstm = nn.LSTM(_EMBEDDED, _HIDDEN)
        self.output = nn.Linear(_HIDDEN, words + 1)
        self.dropout = nn.Dropout(dropout)

    def encoded(self, maps: Tensor) -> Tensor:
        """Return the first input of the LSTM for each picture, (N, 128)."""
        hidden = self.dropout(torch.relu(self.fc6(maps.flatten(1))))
        first: Tensor = self.image(self.dropout(torch.relu(self.fc7(hidden))))
        return first

    def forward(self, first: Tensor, read: Tensor) -> Tensor:
        """Return the scores after each word.

        Parameters
        ----------
        first : (M, 128) Tensor
            As of :meth:`encoded`, a row for each caption.
        read : (T, M) Tensor of int
            START and the words.

        Returns
        -------
        (T, M, words + 1) Tensor
        """
        h, _ = self.lstm(torch.cat([first[None], self.embedding(read)]))
        scores: Tensor = self.output(self.dropout(h[1:]))
        return scores

    @torch.no_grad()
    def described(self, maps: Tensor, length: int = 20) -> list[list[int]]:
        """Return the numbers of the most probable words, one after the other, for each picture."""
        first = self.encoded(maps)
        _, state = self.lstm(first[None])
        last = torch.full((len(first),), self.mark)
        said = []
        for _ in range(length):
            h, state = self.lstm(self.embedding(last)[None], state)
            last = self.output(h[0]).argmax(1)
            said.append(last)
        rows = torch.stack(said, 1).tolist()
        return [row[: row.index(self.mark)] if self.mark in row else row for row in rows]

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights by the names of the captioner's file."""
        return {name.removesuffix("_l0"): tensor for name, tensor in self.state_dict().items()}


def loss_of(scores: Tensor, said: Tensor) -> Tensor:
    """Return the mean of -log p of the words that were said, and of END.

    Parameters
    ----------
    scores : (T, M, words + 1) Tensor
    said : (T, M) Tensor of int
        -100 after the end.
    """
    return F.cross_entropy(scores.flatten(0, 1), said.flatten())
