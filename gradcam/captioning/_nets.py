"""The captioner in PyTorch, for its training: neuraltalk2's CNN and LSTM.

code      relu7, of the stored relu6_2
first     W code, the first input of the LSTM; START and the words follow
scores    of all words and END after START and after each word

In training, batch normalisation precedes fc6 and follows fc6 and fc7; it is folded into their
weights on export. So is a layer that reads the means of the maps, whose weights are the same at all
positions: what is learnt about an object at one place then counts everywhere, and the weights of
fc6 itself are only the differences between positions. A linear layer tells the attributes of the
scene from the code, so that the code describes the picture before the LSTM has learnt to read it;
it is removed at the end.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradcam.pictograms._attributes import ATTRIBUTES
from gradcam.pictograms._nets import folded, folded_before

_CHANNELS, _POSITIONS = 128, 7 * 7
_FC6, _CODE = 512, 256
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
        self.norm0 = nn.BatchNorm2d(_CHANNELS, eps=1e-2, affine=False)
        self.fc6 = nn.Linear(_CHANNELS * _POSITIONS, _FC6, bias=False)
        nn.init.zeros_(self.fc6.weight)
        self.means = nn.Linear(_CHANNELS, _FC6, bias=False)
        self.norm6 = nn.BatchNorm1d(_FC6)
        self.fc7 = nn.Linear(_FC6, _CODE, bias=False)
        self.norm7 = nn.BatchNorm1d(_CODE)
        self.attributes = nn.Linear(_CODE, len(ATTRIBUTES))
        self.image = nn.Linear(_CODE, _EMBEDDED)
        self.embedding = nn.Embedding(words + 1, _EMBEDDED)
        self.lstm = nn.LSTM(_EMBEDDED, _HIDDEN)
        self.output = nn.Linear(_HIDDEN, words + 1)
        self.dropout = nn.Dropout(dropout)

    def code(self, maps: Tensor) -> Tensor:
        """Return relu7 for each picture, (N, 256)."""
        pooled = self.norm0(maps)
        hidden = self.fc6(pooled.flatten(1)) + self.means(pooled.mean(dim=(2, 3)))
        hidden = self.dropout(torch.relu(self.norm6(hidden)))
        codes: Tensor = self.dropout(torch.relu(self.norm7(self.fc7(hidden))))
        return codes

    def forward(self, codes: Tensor, read: Tensor) -> Tensor:
        """Return the scores after each word.

        Parameters
        ----------
        codes : (M, 256) Tensor
            A row for each caption.
        read : (T, M) Tensor of int
            START and the words.

        Returns
        -------
        (T, M, words + 1) Tensor
        """
        h, _ = self.lstm(torch.cat([self.image(codes)[None], self.embedding(read)]))
        scores: Tensor = self.output(self.dropout(h[1:]))
        return scores

    @torch.no_grad()
    def described(self, maps: Tensor, length: int = 20) -> list[list[int]]:
        """Return the numbers of the most probable words, one after the other, for each picture."""
        _, state = self.lstm(self.image(self.code(maps))[None])
        last = torch.full((len(maps),), self.mark)
        said = []
        for _ in range(length):
            h, state = self.lstm(self.embedding(last)[None], state)
            last = self.output(h[0]).argmax(1)
            said.append(last)
        rows = torch.stack(said, 1).tolist()
        return [row[: row.index(self.mark)] if self.mark in row else row for row in rows]

    @torch.no_grad()
    def tensors(self) -> dict[str, Tensor]:
        """Return the weights by the names of the captioner's file, without normalisation."""
        found = {
            f"{part}.{name.removesuffix('_l0')}": tensor
            for part in ("image", "embedding", "lstm", "output")
            for name, tensor in getattr(self, part).named_parameters()
        }
        whole = nn.Linear(self.fc6.in_features, self.fc6.out_features, bias=False)
        shared = self.means.weight.repeat_interleave(_POSITIONS, dim=1) / _POSITIONS
        whole.weight.copy_(self.fc6.weight + shared)
        found["fc6.weight"], found["fc6.bias"] = folded_before(
            self.norm0, *folded(whole, self.norm6)
        )
        found["fc7.weight"], found["fc7.bias"] = folded(self.fc7, self.norm7)
        return found


def loss_of(scores: Tensor, said: Tensor) -> Tensor:
    """Return the mean of -log p of the words that were said, and of END.

    Parameters
    ----------
    scores : (T, M, words + 1) Tensor
    said : (T, M) Tensor of int
        -100 after the end.
    """
    return F.cross_entropy(scores.flatten(0, 1), said.flatten())
