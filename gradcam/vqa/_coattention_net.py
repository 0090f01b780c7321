"""The co-attention answerer in PyTorch, for training; `_coattention` states its formulas.

A small ResNet reads relu5_3 of the attribute VGG, 128 maps of 14 x 14: four blocks at this size,
then four with 256 maps of 7 x 7. In the blocks a position learns what stands around it, so that its
vector can answer "what is left of the cat?": attention itself compares no positions with each
other.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from gradcam.pictograms._nets import folded
from gradcam.vqa._coattention import BLOCKS, LEVELS, STRIDES

CHANNELS = 128
LAST_CHANNELS, POSITIONS = CHANNELS * math.prod(STRIDES), 7 * 7


class Block(nn.Module):
    """A residual block with a bottleneck (He et al. 2016); at first it adds nothing.

    Parameters
    ----------
    channels, width : int
        Of the maps before it, and of its own.
    stride : int
        1, or 2 with a projection of the map before it.
    """

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        inner = width // 2
        self.parts = nn.ModuleDict(
            {
                "conv1": _normalised(channels, inner, 1),
                "conv2": _normalised(inner, inner, 3, stride),
                "conv3": _normalised(inner, width, 1),
            }
        )
        if stride != 1:
            self.parts["projection"] = _normalised(channels, width, 1, stride)
        nn.init.zeros_(self.last_scale)

    @property
    def last_scale(self) -> Tensor:
        """The scale of the last normalisation."""
        norm = cast(nn.Sequential, self.parts["conv3"])[1]
        return cast(Tensor, norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(x + three convolutions of x); x is projected if there is a stride."""
        inner = torch.relu(self.parts["conv2"](torch.relu(self.parts["conv1"](x))))
        same = self.parts["projection"](x) if "projection" in self.parts else x
        return torch.relu(same + self.parts["conv3"](inner))

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Return the weights, with batch normalisation folded in."""
        found: dict[str, Tensor] = {}
        for part, layers in self.parts.items():
            conv, norm = cast(nn.Sequential, layers)
            assert isinstance(conv, nn.Conv2d)
            place = f"{name}.{part}"
            found[f"{place}.weight"], found[f"{place}.bias"] = folded(conv, norm)
        return found


def _normalised(channels: int, width: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Return a convolution with batch normalisation."""
    conv = nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width))


def _small_resnet() -> nn.ModuleDict:
    """Return the blocks by their names; a stride doubles the channels."""
    blocks, channels = nn.ModuleDict(), CHANNELS
    for name, stride in zip(BLOCKS, STRIDES, strict=True):
        blocks[name] = Block(channels, channels * stride, stride)
        channels *= stride
    return blocks


class Level(nn.Module):
    """The attention on positions and words at one level of a question."""

    def __init__(self, width: int, attention: int, before: int) -> None:
        super().__init__()
        self.affinity = nn.Linear(width, width, bias=False)
        self.image = nn.Linear(width, attention)
        self.question = nn.Linear(width, attention)
        self.image_score = nn.Linear(attention, 1, bias=False)
        self.question_score = nn.Linear(attention, 1, bias=False)
        self.fused = nn.Linear(before, width)

    def attend(self, places: Tensor, words: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return a_v (S, q, P), a_q (S, q, T) and f (S, q, width).

        Parameters
        ----------
        places : (S, P, width)
            Of S scenes.
        words : (S, q, T, width)
            Of q questions about each scene.
        known : (S, q, T) bool
            False after a question's last word.
        """
        scenes, asked, length, width = words.shape
        positions = places.shape[1]
        projected = (words @ self.affinity.weight).reshape(scenes, asked * length, width)
        both = torch.tanh(projected @ places.transpose(1, 2))  # (S, qT, P)
        both = both * known.reshape(scenes, -1, 1)
        by_place = self.image(places)
        by_word = self.question(words)
        each = both.reshape(scenes * asked, length, positions).transpose(1, 2)
        from_words = (each @ by_word.reshape(scenes * asked, length, -1)).reshape(
            scenes, asked, positions, -1
        )
        on_places = self.image_score(torch.tanh(by_place[:, None] + from_words))[..., 0]
        on_places = on_places.float().softmax(-1)
        from_places = (both @ by_place).reshape(scenes, asked, length, -1)
        on_words = self.question_score(torch.tanh(by_word + from_places))[..., 0].float()
        on_words = on_words.masked_fill(~known, -torch.inf).softmax(-1)
        seen = on_places.to(places.dtype) @ places
        read = (on_words.to(words.dtype)[..., None] * words).sum(2)
        return on_places, on_words, seen + read


class CoAttentionNet(nn.Module):
    """Maps and questions to the scores of answers.

    Parameters
    ----------
    words, answers : int
        How many there are.
    facts : int
        Facts about a scene that are read from the last map in training, beside the answers.
    width, attention : int
        Of the vectors, and of the layers that weigh them.
    dropout : float
        Of the vectors of positions and of words, and of what each level hands on.
    """

    def __init__(
        self,
        words: int,
        answers: int,
        *,
        facts: int = 0,
        width: int = 128,
        attention: int = 64,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.padding = words
        self.blocks = _small_resnet()
        self.image = nn.Linear(LAST_CHANNELS, width)
        self.position = nn.Embedding(POSITIONS, width)
        self.embedding = nn.Embedding(words + 1, width, padding_idx=words)
        self.phrases = nn.ModuleList(nn.Conv1d(width, width, n) for n in (1, 2, 3))
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.levels = nn.ModuleDict(
            {
                level: Level(width, attention, width if level == LEVELS[0] else 2 * width)
                for level in LEVELS
            }
        )
        self.answer = nn.Linear(width, answers)
        self.facts = nn.Linear(LAST_CHANNELS, facts) if facts else None
        self.dropout = nn.Dropout(dropout)
        with torch.no_grad():
            self.position.weight.mul_(0.3)
            self.embedding.weight.mul_(0.3)

    def forward(self, maps: Tensor, words: Tensor) -> Tensor:
        """Return the scores, (S, q, answers), before the softmax.

        Parameters
        ----------
        maps : (S, 128, 14, 14)
            relu5_3 of S scenes.
        words : (S, q, T) int
            Of q questions about each; `padding` after the last word.
        """
        return self.answered(self.seen(maps), words)

    def answered(self, seen: Tensor, words: Tensor) -> Tensor:
        """Return the scores from the last map, which :meth:`seen` returns."""
        known = words != self.padding
        hidden: Tensor | None = None
        at = seen.flatten(2).transpose(1, 2)
        places = self.dropout(
            torch.tanh(self.image(at) + self.position.weight)
        )  # V, (S, 49, width)
        for name, level_words in self.questions(words).items():
            level = self.level(name)
            _, _, fused = level.attend(places, self.dropout(level_words), known)
            features = fused if hidden is None else torch.cat((fused, hidden), -1)
            hidden = torch.tanh(level.fused(self.dropout(features)))
        assert hidden is not None
        scores: Tensor = self.answer(self.dropout(hidden))
        return scores

    def told(self, seen: Tensor) -> Tensor:
        """Return the scores of facts, (S, facts), from the last map: before the sigmoid."""
        assert self.facts is not None
        scores: Tensor = self.facts(seen.mean((2, 3)))
        return scores

    def level(self, name: str) -> Level:
        """Return the part for the level of this name."""
        return cast(Level, self.levels[name])

    def seen(self, maps: Tensor) -> Tensor:
        """Return the last map, (S, 256, 7, 7)."""
        maps = maps.contiguous(memory_format=torch.channels_last)  # faster on CPUs
        for block in self.blocks.values():
            maps = block(maps)
        return maps

    def questions(self, words: Tensor) -> dict[str, Tensor]:
        """Return Q by level, each (S, q, T, width); questions that recur are computed once."""
        distinct, place = words.flatten(0, 1).unique(dim=0, return_inverse=True)
        word = self.embedding(distinct)
        turned = nn.functional.pad(word.transpose(1, 2), (1, 1))
        length = words.shape[-1]
        grams = [
            torch.tanh(conv(turned[..., first : first + length + count - 1]))
            for count, (conv, first) in enumerate(
                zip(self.phrases, (1, 0, 0), strict=True), start=1
            )
        ]
        phrase = torch.stack(grams).amax(0).transpose(1, 2)
        whole, _ = self.lstm(phrase)
        every = (word, phrase, whole)
        return {
            level: each.index_select(0, place).view(*words.shape, -1)
            for level, each in zip(LEVELS, every, strict=True)
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return all weights by the names in `gradcam.vqa._coattention`."""
        found: dict[str, Tensor] = {}
        for name, block in self.blocks.items():
            found |= cast(Block, block).tensors(name)
        for name, tensor in self.state_dict().items():
            if name.startswith(("blocks.", "facts.")):
                continue
            for ours, theirs in (("levels.", ""), ("_l0", "")):
                name = name.replace(ours, theirs)
            for number in range(3):
                name = name.replace(f"phrases.{number}.", f"phrase{number + 1}.")
            found[name] = tensor
        found["embedding.weight"] = found["embedding.weight"][: self.padding]
        return {name: tensor.detach() for name, tensor in found.items()}
