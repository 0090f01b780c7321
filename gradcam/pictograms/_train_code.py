"""Train the layers of the picture's code, which captioner and question answerer share.

    python -m gradcam.pictograms train-code --out run

The attribute VGG's layers up to pool5 do not change; pool5 is computed once for all scenes and
stored in the folder ``--maps``. Two thirds of the scenes are used, since the captioner is trained
on the others; the answerer is trained on all. The layers above it learn which facts are true of a
scene. Those of the first code are what a sentence may say about it; those of the second one are
places, too. The loss has four parts:

- binary cross-entropy of each fact, from both codes before their ReLU;
- that of each attribute with a map, from the log of the sum of exponentials over its positions;
- that of the numbers of objects, from the sums of the maps alone;
- the difference of the sum of a map's sigmoid and the number of objects, so that one object is
  found at one position.

``scene-code.log`` is the log of the run that trained the shipped weights, with the defaults and one
thread; other programs ran at the same time. Needs PyTorch.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from gradcam.pictograms._attributes import ATTRIBUTES
from gradcam.pictograms._code_nets import MAPS, CodeNet
from gradcam.pictograms._commands import new_parser
from gradcam.pictograms._described import NOUNS
from gradcam.pictograms._described_maps import (
    TRAINING,
    VALIDATION,
    of_code,
    stored_arrangements,
    stored_maps,
)
from gradcam.pictograms._facts import COUNTS, FACTS, facts, places
from gradcam.pictograms._questions import MAX_COUNT
from gradcam.pictograms._training_run import EpochRun, adamw, common_options


class Training(EpochRun[CodeNet]):
    """One run over the stored maps."""

    clipped = True

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__(arguments)
        self.maps, self.facts = self._stored(arguments.scenes, TRAINING)
        self.unseen = self._stored(arguments.validation, VALIDATION)
        net = CodeNet(arguments.dropout)
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.start(net, adamw(net, arguments.decay))

    def _stored(self, scenes: int, use: int) -> tuple[Tensor, Tensor]:
        folder, threads = self.maps_folder(), self.arguments.threads
        some = slice(of_code(scenes) if use == TRAINING else None)
        maps = np.array(stored_maps(folder, scenes, use, threads, "pool5")[some])
        seen = stored_arrangements(folder, scenes, use, threads, "pool5")[some]
        true = np.stack([np.concatenate([facts(each), places(each)]) for each in seen])
        return torch.from_numpy(maps), torch.from_numpy(true)

    def one_epoch(self) -> float:
        """Train on all maps once, in a random order; return the loss."""
        parts = torch.split(torch.randperm(len(self.maps)), self.arguments.batch)
        return self.train_on(parts, len(parts), self.step, self.arguments.rate)

    def step(self, chosen: Tensor) -> float:
        """Train on one batch and return its loss."""
        maps = self.maps[chosen].float().contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            places = self.net.places(maps)
            scores, counted = self.net(places), self.net.counted(places)
        told = [each.float() for each in scores]
        loss = loss_of(places.float(), told, counted.float(), self.facts[chosen])
        return self.descend(loss)

    def export(self) -> None:
        """Write the weights."""
        own = {name: each.half().contiguous() for name, each in self.net.compact().items()}
        for name, each in own.items():
            if not torch.isfinite(each).all():
                raise ValueError(f"{name} does not fit into float16: train longer")
        save_file(own, self.out / "scene-code.safetensors", metadata={"architecture": "code"})

    @torch.no_grad()
    def validate(self) -> str:
        """Return how many facts are told of unseen scenes."""
        self.net.eval()
        maps, true = self.unseen
        parts = [self.net(self.net.places(part.float())) for part in torch.split(maps, 256)]
        codes = [torch.cat(each) for each in zip(*parts, strict=True)]
        return f"unseen scenes: {shares(codes[0], true)}; with maxima: {shares(codes[1], true)}"


def loss_of(places: Tensor, scores: list[Tensor], counted: Tensor, true: Tensor) -> Tensor:
    """Return the loss of a batch, for each picture.

    Parameters
    ----------
    places : (N, 128, 7, 7) Tensor
    scores : list of (N, 694) and (N, 1086) Tensor
        Of each code.
    counted : (N, 64) Tensor
    true : (N, 1086) Tensor
        What `facts` and `places` return.
    """
    positions = places.flatten(2)
    attributes, numbers = true[:, MAPS], true[:, COUNTS]
    half = torch.ones(true.shape[1])
    half[COUNTS.stop :] = 0.5  # there are many relations
    told = torch.zeros(())
    for each in scores:
        labels = true[:, : each.shape[1]]
        known = ~labels.isnan()
        weights = half[: each.shape[1]].expand_as(labels)[known]
        told = told + F.binary_cross_entropy_with_logits(
            each[known], labels[known], weights, reduction="sum"
        )
    found = F.binary_cross_entropy_with_logits(
        positions.logsumexp(2), attributes, reduction="sum"
    ) + 0.5 * F.binary_cross_entropy_with_logits(counted, numbers, reduction="sum")
    sizes = 2 * len(NOUNS)
    several = (numbers.view(len(true), -1, MAX_COUNT) * torch.arange(1, MAX_COUNT + 1)).sum(2)
    wanted = attributes[:, -sizes:] * several.repeat_interleave(2, 1)
    once = F.smooth_l1_loss(positions[:, -sizes:].sigmoid().sum(2), wanted, reduction="sum")
    return (told + found + 4 * once) / len(true)


def shares(scores: Tensor, true: Tensor) -> str:
    """Return how many facts are told from the scores of a code, in one line."""
    scores, true = scores[:, : len(FACTS)], true[:, : len(FACTS)]
    right = (scores > 0) == (true > 0)
    everything = right[:, : len(ATTRIBUTES)].all(1).float().mean()
    numbers = true[:, COUNTS].view(len(true), -1, MAX_COUNT)
    there = numbers.any(2)
    said = scores[:, COUNTS].view(len(true), -1, MAX_COUNT).argmax(2)
    counted = (said == numbers.argmax(2))[there].float().mean()
    colours = right[:, MAPS][:, : -2 * len(NOUNS)].view(len(true), len(NOUNS), -1).all(2)[there]
    relations, told = true[:, COUNTS.stop :] == 1, scores[:, COUNTS.stop :] > 0
    known = ~true[:, COUNTS.stop :].isnan()
    both = (relations & told).sum()
    return (
        f"all attributes {everything:.1%}, numbers {counted:.1%}, colours "
        f"{colours.float().mean():.1%}, relations found {both / relations.sum():.1%}, relations "
        f"right {both / (told & known).sum().clamp(min=1):.1%}"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the training."""
    common_options(
        parser,
        maps=True,
        scenes=60_000,
        validation=2_000,
        epochs=9,
        batch=128,
        rate=2e-3,
        decay=0.05,
        dropout=0.2,
    )


def main(arguments: Sequence[str]) -> None:
    """Train from scratch or from the checkpoint in the folder ``--out``, then export."""
    parser = new_parser("pictograms train-code", "Train the layers of the picture's code.")
    add_arguments(parser)
    Training(parser.parse_args(arguments)).run()
