"""Train the attribute network from image-level labels alone.

    python -m gradcam.pictograms train-attributes --out run

The labels say which kinds of objects are in the picture, and their colours and sizes; they say
nothing about places. The convolutions then serve as the fixed first part of the captioner and of
the question answerers, as those of a network trained on ImageNet do in the papers.

The VGG was trained in two runs. The first one, without the branch for colours and from the means of
the maps alone, started from the pictogram network (`attributes-shapes.log`): it learned kinds and
sizes, and hardly any colours. The second one (`attributes-vgg.log`) starts from the first one's
convolutions, keeps those up to relu4_3, and adds the branch. Each picture depends only on its
number, so a run that is resumed from its checkpoint continues with the same pictures. Needs
PyTorch.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from gradcam.pictograms._attribute_nets import SIDE, VGG, export
from gradcam.pictograms._attributes import ATTRIBUTES, attributes
from gradcam.pictograms._colouring import COLOURS
from gradcam.pictograms._commands import new_parser
from gradcam.pictograms._described import NOUNS, compose_described
from gradcam.pictograms._picture_run import NumberedBatches, PictureRun, preprocess
from gradcam.pictograms._training_run import adamw, common_options

_PICTOGRAMS = Path(__file__).parent / "pictograms.safetensors"

PARTS = ("kinds", "colours", "kinds with colours", "kinds with sizes")
"""Of the attributes, in their order."""

TRAINING, VALIDATION = 0x54, 0x56
"""The second words of the seeds, which differ from all seeds of `described`."""


def training_scene(
    number: int, word: int = TRAINING
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draw picture `number`, of no layout that is for tests, with its attributes."""
    rng = np.random.default_rng([number, word])
    while True:
        drawn = compose_described(rng, SIDE)
        if not drawn.is_for_tests:
            return drawn.picture, attributes(drawn)


class Batches(NumberedBatches):
    """Pictures and their attributes."""

    def drawn(self, numbers: range) -> tuple[Tensor, ...]:
        """Return the pictures with these numbers, and their attributes."""
        pictures, present = zip(*map(training_scene, numbers), strict=True)
        return torch.from_numpy(np.stack(pictures)), torch.from_numpy(np.stack(present))


class Training(PictureRun[VGG]):
    """One run of the VGG."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__(arguments)
        drawn = [training_scene(n, VALIDATION) for n in range(arguments.validation)]
        pictures, present = (np.stack(each) for each in zip(*drawn, strict=True))
        self.pictures, self.present = preprocess(pictures), torch.from_numpy(present)
        net = VGG()
        net.start_from(arguments.start, self.pictures)
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.start(net, adamw(net, arguments.decay))

    def save(self) -> None:
        """Write the checkpoint and, from the state so far, the weights."""
        super().save()
        export(self.net, self.out / "attributes-vgg.safetensors")

    def run(self) -> None:
        """Train on the rest of the pictures."""
        a = self.arguments
        self.train_on(Batches(self.done, a.pictures, a.batch), a.rate)
        self.log_export()

    def step(self, *batch: Tensor) -> float:
        """Train on one batch and return its loss."""
        pictures, present = batch
        with torch.autocast("cpu", torch.bfloat16):
            scores = self.net.training_scores(preprocess(pictures.numpy()))
        targets = present.expand(len(scores), -1, -1)
        loss = F.binary_cross_entropy_with_logits(
            torch.stack(scores).float(), targets, reduction="sum"
        )
        return self.descend(loss / (len(scores) * len(present)))

    @torch.no_grad()
    def validate(self) -> str:
        """Return the shares of pictures of which everything is right, by kind of attribute."""
        self.net.eval()
        found = []
        for start in range(0, len(self.pictures), 64):
            with torch.autocast("cpu", torch.bfloat16):
                found.append(self.net(self.pictures[start : start + 64]).float() > 0)
        right = torch.cat(found) == (self.present > 0)
        ends = np.cumsum((len(NOUNS), len(COLOURS), len(NOUNS) * len(COLOURS), len(NOUNS) * 2))
        assert ends[-1] == len(ATTRIBUTES)
        parts = {
            name: slice(end - size, end)
            for name, end, size in zip(PARTS, ends, np.diff(ends, prepend=0), strict=True)
        }
        shares = {name: right[:, part].all(1).float().mean().item() for name, part in parts.items()}
        return ", ".join(f"{name} {share:.1%}" for name, share in shares.items())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the training."""
    common_options(
        parser,
        pictures=76_800,
        batch=64,
        rate=1.5e-3,
        decay=0.05,
        validation=512,
        validate_every=6_400,
        workers=1,
    )
    parser.add_argument(
        "--start", type=Path, default=_PICTOGRAMS, help="weights that the run starts from"
    )


def main(arguments: Sequence[str]) -> None:
    """Train from scratch or from the checkpoint in the folder ``--out``."""
    description = "Train the attribute network from image-level labels."
    parser = new_parser("pictograms train-attributes", description)
    add_arguments(parser)
    Training(parser.parse_args(arguments)).run()
