"""Train the captioner.

    python -m gradcam.captioning train --out run

The picture network, the code network, does not change; the codes of all scenes are computed once
from the maps in the folder ``--maps``, where pool5 is stored. The LSTM and the words are trained on
the third of the scenes that did not train the code. In each epoch new sentences are drawn for every
picture; the network learns each word of a sentence from the code and the true words before it.
Layouts and sentences for tests do not occur.

The code's values are scores of facts. So at first most codes are made of the true facts, and later
more and more are those that the network computes: a decoder learns sooner to read codes without
mistakes. Nine of ten codes are mixed with that of another scene, and strong noise is added to all.
The probability of a word then still rises where a fact is as clear as usual, which is what the maps
of words show; without both, the gradient of a word that is almost certain says little.

``captioner.log`` is the log of the run that trained the shipped weights, with the defaults and one
thread; other programs ran at the same time. A run that is resumed from its checkpoint, which is
written after every epoch, continues as if it had not been stopped. Needs PyTorch.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gradcam.captioning import _file
from gradcam.captioning._judged import judged, share_text
from gradcam.captioning._nets import DecoderNet, loss_of
from gradcam.pictograms._captions import CAPTION_WORDS, captions
from gradcam.pictograms._commands import new_parser
from gradcam.pictograms._described import Arrangement
from gradcam.pictograms._described_maps import (
    TRAINING,
    VALIDATION,
    of_code,
    stored_arrangements,
    stored_codes,
)
from gradcam.pictograms._facts import facts
from gradcam.pictograms._training_run import EpochRun, adamw, common_options

_NUMBERS = {word: number for number, word in enumerate(CAPTION_WORDS)}
_MARK = len(CAPTION_WORDS)
_NOTHING = -100
"""After the end of a sentence; the loss leaves it out."""

_TRUE, _NOISE, _UNCLEAR = 0.8, 0.5, 0.3
"""The first share of codes that are made of true facts; noise; the value of an unclear fact.

The last two are shares of the value of a true fact.
"""

_MIXED = 0.9
"""The share of codes that are mixed with another scene's."""

_PARTS = 4
"""How many parts of a batch are computed one after the other."""


def as_numbers(sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return what the network reads and what it should say, each (longest + 1, sentences)."""
    numbers = [[_NUMBERS[word] for word in each.split()] for each in sentences]
    steps = 1 + max(map(len, numbers))
    read = np.full((steps, len(numbers)), _MARK, np.int64)
    said = np.full((steps, len(numbers)), _NOTHING, np.int64)
    for n, each in enumerate(numbers):
        read[1 : len(each) + 1, n] = each
        said[: len(each) + 1, n] = [*each, _MARK]
    return torch.from_numpy(read), torch.from_numpy(said)


class Pictures:
    """Numbered scenes: their codes, what is true of them, and what they show."""

    def __init__(self, folder: Path, scenes: int, use: int, workers: int) -> None:
        some = slice(of_code(scenes) if use == TRAINING else 0, None)
        self.codes = torch.from_numpy(stored_codes(folder, scenes, use, workers)[some])
        self.scenes = stored_arrangements(folder, scenes, use, workers)[some]
        self.facts = torch.from_numpy(np.stack([facts(each) for each in self.scenes]))
        self.level = float(self.codes[self.facts == 1].float().mean())

    def sentences(self, rng: np.random.Generator) -> tuple[list[int], list[str]]:
        """Return a new sentence for each scene that has one, and the numbers of these scenes."""
        drawn = [captions(each, rng, 1) for each in self.scenes]
        chosen = [n for n, found in enumerate(drawn) if found]
        return chosen, [drawn[n][0] for n in chosen]

    def drawn_codes(self, numbers: Tensor, share: float) -> Tensor:
        """Return codes with noise; those of a share of the scenes are made of the true facts."""
        true = self.level * torch.nan_to_num(self.facts[numbers], nan=_UNCLEAR)
        is_true = torch.rand(len(true), 1) < share
        codes = torch.where(is_true, true, self.codes[numbers].float())
        others = codes[torch.randperm(len(codes))]
        own = torch.rand(len(codes), 1).sqrt()
        mixed = torch.where(
            torch.rand(len(codes), 1) < _MIXED, own * codes + (1 - own) * others, codes
        )
        return mixed + _NOISE * self.level * torch.randn_like(codes)


class Training(EpochRun[DecoderNet]):
    """One run: the pictures, the network, and its loss."""

    log_name = "captioner.log"
    clipped = True

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__(arguments)
        a, folder = arguments, self.maps_folder()
        self.pictures = Pictures(folder, a.scenes, TRAINING, a.threads)
        self.unseen = Pictures(folder, a.validation, VALIDATION, a.threads)
        net = DecoderNet(_MARK, a.dropout)
        self.start(net, adamw(net, a.decay))

    def export(self) -> None:
        """Write the file of the captioner."""
        tensors = {name: each.detach().numpy() for name, each in self.net.tensors().items()}
        _file.write(self.out / "captioner.safetensors", tensors, CAPTION_WORDS, "float16")

    def one_epoch(self) -> float:
        """Train on all pictures once; order and sentences depend on the epoch. Return the loss."""
        a = self.arguments
        rng = np.random.default_rng([a.seed, self.done])
        numbers, sentences = self.pictures.sentences(rng)
        order = rng.permutation(len(numbers))
        starts = range(0, len(order), a.batch)

        def step(start: int) -> float:
            chosen = order[start : start + a.batch]
            share = (self.done + start / len(order)) / a.epochs
            return self.descend(
                self.loss([numbers[n] for n in chosen], [sentences[n] for n in chosen], share)
            )

        return self.train_on(starts, len(starts), step, a.rate)

    def loss(self, numbers: list[int], sentences: list[str], share: float) -> Tensor:
        """Return the mean loss of the words of a batch, at this share of the training.

        Sentences of similar lengths are computed together: fewer steps are after an end.
        """
        order = np.argsort([len(each.split()) for each in sentences], kind="stable")
        total, words = torch.zeros(()), 0
        for part in np.array_split(order, min(_PARTS, len(order))):
            places = torch.tensor([numbers[n] for n in part])
            read, said = as_numbers([sentences[n] for n in part])
            codes = self.pictures.drawn_codes(places, _TRUE * (1 - share))
            with torch.autocast("cpu", torch.bfloat16):
                scores = self.net(codes, read)
            total = total + loss_of(scores.float(), said)
            words += int((said != _NOTHING).sum())
        return total / words

    @torch.no_grad()
    def validate(self) -> str:
        """Return, for unseen scenes, the loss and what is true of the captions that it says."""
        self.net.eval()
        numbers, sentences = self.unseen.sentences(np.random.default_rng(self.arguments.seed))
        read, said = as_numbers(sentences)
        codes = self.unseen.codes.float()
        loss = loss_of(self.net(codes[numbers], read), said) / (said != _NOTHING).sum()
        found = self.net.described(codes)
        texts = [tuple(CAPTION_WORDS[number] for number in each) for each in found]
        return f"unseen scenes: loss {loss:.4f}, {shares(self.unseen.scenes, texts)}"


def shares(scenes: Sequence[Arrangement], said: Sequence[tuple[str, ...]]) -> str:
    """Return what is true of captions, in one line."""
    each = [judged(scene, words) for scene, words in zip(scenes, said, strict=True)]
    named, relations = sum(one.named for one in each), sum(one.relations for one in each)
    return ", ".join(
        [
            f"objects there {share_text(sum(one.there for one in each), named)}",
            f"phrases right {share_text(sum(one.right for one in each), named)}",
            f"relations right {share_text(sum(one.relations_right for one in each), relations)}",
            f"{named / len(each):.2f} phrases each",
        ]
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the training."""
    common_options(
        parser,
        maps=True,
        scenes=60_000,
        validation=2_000,
        epochs=24,
        batch=256,
        rate=5e-3,
        decay=0.05,
        dropout=0.1,
    )


def main(arguments: Sequence[str]) -> None:
    """Train from scratch or from the checkpoint in the folder ``--out``, then export."""
    parser = new_parser("captioning train", "Train the captioner.")
    add_arguments(parser)
    Training(parser.parse_args(arguments)).run()
