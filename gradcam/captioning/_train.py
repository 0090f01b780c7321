"""Train the captioner.

    python -m gradcam.captioning train --out run

The convolutions are the attribute VGG's and do not change; their pooled maps are computed once and
stored in the folder ``--maps``. Everything above them is trained: fc6, fc7, the LSTM and the words.
In each epoch new sentences are drawn for every picture; the network learns each word of a sentence
from the picture and the true words before it. Layouts and sentences for tests do not occur.

``captioner.log`` is the log of the run that trained the shipped weights, with the defaults and one
thread. It was paused for about nine minutes in its first epoch, so its times are too long. A run
that is resumed from its checkpoint, which is written after every epoch, continues as if it had not
been stopped. Needs PyTorch.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gradcam.captioning import _file
from gradcam.captioning._judged import judged, share_text
from gradcam.captioning._nets import CaptionNet, loss_of
from gradcam.pictograms._attributes import attributes
from gradcam.pictograms._captions import CAPTION_WORDS, captions
from gradcam.pictograms._described import Arrangement
from gradcam.pictograms._described_maps import (
    TRAINING,
    VALIDATION,
    stored_arrangements,
    stored_maps,
)
from gradcam.pictograms._training_run import EpochRun, adamw, common_options, new_parser

_NUMBERS = {word: number for number, word in enumerate(CAPTION_WORDS)}
_MARK = len(CAPTION_WORDS)
_NOTHING = -100
"""After the end of a sentence; the loss leaves it out."""


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


class Batch(NamedTuple):
    """Pictures with their attributes; captions.

    `places` says which picture each caption is about, `read` and `said` are its words.
    """

    maps: Tensor
    present: Tensor
    places: Tensor
    read: Tensor
    said: Tensor


class Pictures:
    """Numbered scenes: their stored maps, and what they show."""

    def __init__(self, folder: Path, scenes: int, use: int, workers: int) -> None:
        self.maps = stored_maps(folder, scenes, use, workers)
        self.scenes = stored_arrangements(folder, scenes, use, workers)

    def batches(
        self, size: int, each: int, rng: np.random.Generator, *, shuffled: bool
    ) -> Iterator[Batch]:
        """Yield all pictures, in order or shuffled, with up to `each` new sentences for each."""
        order = rng.permutation(len(self.scenes)) if shuffled else np.arange(len(self.scenes))
        for start in range(0, len(order), size):
            numbers = np.sort(order[start : start + size])
            drawn = [captions(self.scenes[n], rng, each) for n in numbers]
            places = np.repeat(np.arange(len(numbers)), [len(one) for one in drawn])
            read, said = as_numbers([sentence for one in drawn for sentence in one])
            maps = torch.from_numpy(np.array(self.maps[numbers])).float()
            present = torch.from_numpy(np.stack([attributes(self.scenes[n]) for n in numbers]))
            yield Batch(maps, present, torch.from_numpy(places), read, said)


class Training(EpochRun[CaptionNet]):
    """One run: the pictures, the network, and their losses."""

    log_name = "captioner.log"
    clipped = True

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__(arguments)
        a, folder = arguments, self.maps_folder()
        self.pictures = Pictures(folder, a.scenes, TRAINING, a.threads)
        self.unseen = Pictures(folder, a.validation, VALIDATION, a.threads)
        net = CaptionNet(_MARK, a.dropout)
        self.start(net, adamw(net, a.decay, (net.fc6.weight, a.places)))

    def export(self) -> None:
        """Write the file of the captioner."""
        tensors = {name: each.detach().numpy() for name, each in self.net.tensors().items()}
        _file.write(self.out / "captioner.safetensors", tensors, CAPTION_WORDS, "float16")

    def one_epoch(self) -> float:
        """Train on all pictures once; order and sentences depend on the epoch. Return the loss."""
        a = self.arguments
        rng = np.random.default_rng([a.seed, self.done])
        steps = -(-len(self.pictures.scenes) // a.batch)
        batches = self.pictures.batches(a.batch, a.sentences, rng, shuffled=True)
        return self.train_on(batches, steps, self.step, a.rate)

    def step(self, batch: Batch) -> float:
        """Train on one batch and return the loss of its words."""
        loss, more = self.losses(batch)
        self.descend(loss + self.arguments.attributes * more)
        return float(loss.detach())

    def losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss of the words, and that of the attributes."""
        with torch.autocast("cpu", torch.bfloat16):
            codes = self.net.code(batch.maps)
            scores = self.net(codes[batch.places], batch.read)
            told = self.net.attributes(codes)
        more = F.binary_cross_entropy_with_logits(told.float(), batch.present)
        return loss_of(scores.float(), batch.said), more

    @torch.no_grad()
    def validate(self) -> str:
        """Return, for unseen scenes, the loss and what is true of the captions that it says."""
        self.net.eval()
        losses: list[float] = []
        found: list[list[int]] = []
        rng = np.random.default_rng(self.arguments.seed)
        for batch in self.unseen.batches(256, 1, rng, shuffled=False):
            losses.append(float(self.losses(batch)[0]))
            found += self.net.described(batch.maps)
        said = [tuple(CAPTION_WORDS[number] for number in each) for each in found]
        return f"unseen scenes: loss {np.mean(losses):.4f}, {shares(self.unseen.scenes, said)}"


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
        epochs=4,
        batch=128,
        rate=2e-3,
        decay=0.05,
        dropout=0.1,
    )
    add = parser.add_argument
    add("--sentences", type=int, default=1, help="sentences for each scene in each epoch")
    add("--places", type=float, default=0.1, help="the share of the rate for fc6")
    add("--attributes", type=float, default=10, help="weight of the attributes' loss")


def main(arguments: Sequence[str]) -> None:
    """Train from scratch or from the checkpoint in the folder ``--out``, then export."""
    parser = new_parser("captioning train", "Train the captioner.")
    add_arguments(parser)
    Training(parser.parse_args(arguments)).run()
