"""The co-attention answerer in PyTorch, for training; `_coattention` states its formulas.

Its residual blocks read pool5 of the attribute VGG, which tells what is at each position. In the
blocks a position learns what stands around it, so that its vector can answer "what is left of the
cat?": attention itself compares no positions with each other.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from gradcam.pictograms._nets import folded
from gradcam.vqa._coattention import BLOCKS, LEVELS

CHANNELS, POSITIONS = 128, 7 * 7


class Block(nn.Module):
    """A residual block of two 3 x 3 convolutions (He et al. 2016); at first it changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(CHANNELS)
        self.conv2 = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(CHANNELS)
        nn.init.zeros_(self.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(x + two convolutions of x)."""
        inner = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(x + self.bn2(self.conv2(inner)))

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Return the weights, with batch normalisation folded in."""
        found: dict[str, Tensor] = {}
        for part, conv, norm in (("conv1", self.conv1, self.bn1), ("conv2", self.conv2, self.bn2)):
            place = f"{name}.{part}"
            found[f"{place}.weight"], found[f"{place}.bias"] = folded(conv, norm)
        return found


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
        width: int = 128,
        attention: int = 64,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.padding = words
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.image = nn.Linear(CHANNELS, width)
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
        self.dropout = nn.Dropout(dropout)
        with torch.no_grad():
            self.position.weight.mul_(0.3)
            self.embedding.weight.mul_(0.3)

    def forward(self, maps: Tensor, words: Tensor) -> Tensor:
        """Return the scores, (S, q, answers), before the softmax.

        Parameters
        ----------
        maps : (S, 128, 7, 7)
            pool5 of S scenes.
        words : (S, q, T) int
            Of q questions about each; `padding` after the last word.
        """
        known = words != self.padding
        hidden: Tensor | None = None
        places = self.dropout(self.places(maps))
        for name, level_words in self.questions(words).items():
            level = self.level(name)
            _, _, fused = level.attend(places, self.dropout(level_words), known)
            features = fused if hidden is None else torch.cat((fused, hidden), -1)
            hidden = torch.tanh(level.fused(self.dropout(features)))
        assert hidden is not None
        scores: Tensor = self.answer(self.dropout(hidden))
        return scores

    def level(self, name: str) -> Level:
        """Return the part for the level of this name."""
        return cast(Level, self.levels[name])

    def places(self, maps: Tensor) -> Tensor:
        """Return V, (S, 49, width)."""
        for block in self.blocks:
            maps = block(maps)
        at = maps.flatten(2).transpose(1, 2)
        return torch.tanh(self.image(at) + self.position.weight)

    def questions(self, words: Tensor) -> dict[str, Tensor]:
        """Return Q by level, each (S, q, T, width)."""
        shape = (*words.shape, -1)
        word = self.embedding(words.reshape(-1, words.shape[-1]))
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
        return {level: each.reshape(shape) for level, each in zip(LEVELS, every, strict=True)}

    def tensors(self) -> dict[str, Tensor]:
        """Return all weights by the names in `gradcam.vqa._coattention`."""
        found: dict[str, Tensor] = {}
        for number, block in enumerate(self.blocks, start=1):
            assert isinstance(block, Block)
            found |= block.tensors(f"block{number}")
        for name, tensor in self.state_dict().items():
            if name.startswith("blocks."):
                continue
            for ours, theirs in (("levels.", ""), ("_l0", "")):
                name = name.replace(ours, theirs)
            for number in range(3):
                name = name.replace(f"phrases.{number}.", f"phrase{number + 1}.")
            found[name] = tensor
        found["embedding.weight"] = found["embedding.weight"][: self.padding]
        return {name: tensor.detach() for name, tensor in found.items()}
