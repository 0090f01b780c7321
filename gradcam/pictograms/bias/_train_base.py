"""The first part of the training: a network that knows people, but neither spoons nor brushes.

As VGG-16 was trained on ImageNet before the paper's authors trained it on doctors and nurses, this
network first learns what people hold (one of ten other things, or nothing), whether their hair is
long, and whether they have an apron and glasses. All these are independent of each other. The
labels belong to whole pictures.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from gradcam.pictograms._attribute_networks import SIDE
from gradcam.pictograms._picture_run import NumberedBatches, PictureRun, preprocess
from gradcam.pictograms.bias import _looks
from gradcam.pictograms.bias._drawing import draw
from gradcam.pictograms.bias._nets import PersonNet
from gradcam.pictograms.bias._people import HAIRS
from gradcam.pictograms.bias._things import OTHERS

_SECOND_WORD = 0x4241
"""Seeds have two words: they differ from all seeds of scenes and of other people."""

_VALIDATION = 10_000_000
"""The number of the first picture for validation."""

THINGS = len(OTHERS) + 1
"""The number of things, nothing among them."""

OUTPUTS = THINGS + 3
"""One for each thing, and long hair, an apron, glasses."""

_Picture = tuple[NDArray[np.uint8], int, tuple[bool, bool, bool]]


_CLOSEST = 1.7
"""How much larger things are in the closest pictures."""


VIEWS = 4
"""Pictures of each person: drawing takes longer than training."""


def small(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture resized as for the network."""
    resized = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def base_pictures(number: int) -> list[_Picture]:
    """Draw person `number`; return pictures of different parts, each with its labels.

    Yields
    ------
    The picture, the index of the thing and the three other labels.
    """
    rng = np.random.default_rng([number, _SECOND_WORD])
    thing, hair = int(rng.integers(THINGS)), int(rng.integers(2))
    drawn, look = draw(rng, OTHERS[thing] if thing < len(OTHERS) else None, HAIRS[hair])
    others = (bool(hair), look.has_apron, look.glasses)
    return [(small(_closer(rng, drawn.picture, look)), thing, others) for _ in range(VIEWS)]


def _closer(
    rng: np.random.Generator, picture: NDArray[np.uint8], look: _looks.Look
) -> NDArray[np.uint8]:
    """Return a part of a picture, in which the hand and the head are: things are of all sizes."""
    side = round(_looks.SIDE / rng.uniform(1, _CLOSEST))
    across = -1 if look.mirrored else 1
    between = np.array([look.x + across * 1.3 * look.radius, look.y + 0.5 * look.radius])
    centre = between + rng.normal(0, 6, 2)
    x, y = (centre - side / 2).round().astype(int).clip(0, _looks.SIDE - side)
    part = picture[y : y + side, x : x + side]
    return part[:, ::-1] if rng.random() < 0.5 else part


class Batches(NumberedBatches):
    """Pictures of people with their labels: the thing; the three others."""

    def drawn(self, numbers: range) -> tuple[Tensor, ...]:
        """Return the pictures with these numbers, and their labels."""
        people = range(numbers.start // VIEWS, numbers.stop // VIEWS)
        drawn = [each for number in people for each in base_pictures(number)]
        pictures, things, others = zip(*drawn, strict=True)
        return (
            torch.from_numpy(np.stack(pictures)),
            torch.tensor(things),
            torch.tensor(others, dtype=torch.float32),
        )


class Base(PictureRun[PersonNet]):
    """The training of this network."""

    checkpoint_name = "base.pt"

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self.phase = "base"
        net = PersonNet(OUTPUTS, drop=0.1)
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if not self.checkpoint.exists():
            first, _, _ = next(iter(Batches(_VALIDATION, _VALIDATION + 64, 64)))
            net.calibrate(preprocess(first.numpy()))
        self.start(net, torch.optim.AdamW(net.parameters(), weight_decay=0.05))

    def run(self) -> PersonNet:
        """Train on the rest of the pictures, and return the network."""
        a = self.arguments
        self.train_on(Batches(self.done, a.pictures, a.batch), a.rate)
        return self.net

    def step(self, *batch: Tensor) -> float:
        """Train on one batch and return its loss."""
        pictures, things, others = batch
        with torch.autocast("cpu", torch.bfloat16):
            found = self.net(preprocess(pictures.numpy())).float()
        loss = F.cross_entropy(found[:, :THINGS], things)
        loss = loss + 1.5 * F.binary_cross_entropy_with_logits(found[:, THINGS:], others)
        return self.descend(loss)

    @torch.no_grad()
    def validate(self) -> str:
        """Return the accuracy of each label on 640 other pictures."""
        self.net.eval()
        rows = []
        for pictures, things, others in Batches(_VALIDATION, _VALIDATION + 640, 64):
            found = self.net(preprocess(pictures.numpy()))
            right = (found[:, :THINGS].argmax(1) == things).float()
            rows.append(torch.cat([right[:, None], ((found[:, THINGS:] > 0) == others).float()], 1))
        thing, hair, apron, glasses = torch.cat(rows).mean(0).tolist()
        return f"things {thing:.1%}, hair {hair:.1%}, aprons {apron:.1%}, glasses {glasses:.1%}"
