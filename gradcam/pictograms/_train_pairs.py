"""Train two small convolutions that tell which colour and size belongs to which kind of object.

    python -m gradcam.pictograms train-pairs --out run

They are 1 x 1 and read pool5 of the attribute VGG, whose other layers do not change. They learn the
same labels of whole pictures: a linear layer scores each position, and the log of the sum of
exponentials of its scores is compared with the labels. pool5 is stored for all scenes, so that an
epoch takes seconds. Needs PyTorch.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from gradcam.pictograms._attributes import ATTRIBUTES, attributes
from gradcam.pictograms._commands import new_parser
from gradcam.pictograms._described_maps import (
    TRAINING,
    VALIDATION,
    stored_arrangements,
    stored_maps,
)
from gradcam.pictograms._nets import folded, folded_before
from gradcam.pictograms._training_run import EpochRun, common_options

_CHANNELS, _BETWEEN, _POSITIONS = 128, 256, 7 * 7
_WEIGHTS = Path(__file__).parent / "attributes-vgg.safetensors"


class PairNet(nn.Module):
    """conv6_1 and conv6_2 with batch normalisation, and a linear layer for each position."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(_CHANNELS, affine=False)
        self.conv1 = nn.Conv2d(_CHANNELS, _BETWEEN, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(_BETWEEN)
        self.conv2 = nn.Conv2d(_BETWEEN, _CHANNELS, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(_CHANNELS)
        self.places = nn.Conv2d(_CHANNELS, len(ATTRIBUTES), 1)
        assert self.places.bias is not None
        nn.init.constant_(self.places.bias, -3.5 - math.log(_POSITIONS))

    def forward(self, maps: Tensor) -> Tensor:
        """Return the scores of the attributes, before the sigmoid, (N, attributes)."""
        x = torch.relu(self.norm1(self.conv1(self.norm(maps))))
        x = torch.relu(self.norm2(self.conv2(x)))
        scores: Tensor = self.places(x).float().flatten(2).logsumexp(dim=2)
        return scores

    @torch.no_grad()
    def tensors(self) -> dict[str, Tensor]:
        """Return the weights of both convolutions with batch normalisation folded in."""
        found: dict[str, Tensor] = {}
        found["conv6_1.weight"], found["conv6_1.bias"] = folded_before(
            self.norm, *folded(self.conv1, self.norm1)
        )
        found["conv6_2.weight"], found["conv6_2.bias"] = folded(self.conv2, self.norm2)
        return found


class Training(EpochRun[PairNet]):
    """One run over the stored maps."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__(arguments)
        a = arguments
        self.maps, self.present = self._stored(a.scenes, TRAINING)
        self.unseen = self._stored(a.validation, VALIDATION)
        net = PairNet()
        self.start(net, torch.optim.AdamW(net.parameters(), weight_decay=a.decay))

    def _stored(self, scenes: int, use: int) -> tuple[Tensor, Tensor]:
        folder = self.maps_folder()
        maps = np.array(stored_maps(folder, scenes, use, layer="pool5"))
        seen = stored_arrangements(folder, scenes, use, layer="pool5")
        present = np.stack([attributes(each) for each in seen])
        return torch.from_numpy(maps), torch.from_numpy(present)

    def one_epoch(self) -> float:
        """Train on all maps once, in a random order; return the loss."""
        parts = torch.split(torch.randperm(len(self.maps)), self.arguments.batch)
        return self.train_on(parts, len(parts), self.step, self.arguments.rate)

    def step(self, chosen: Tensor) -> float:
        """Train on one batch and return its loss."""
        maps, present = self.maps[chosen].float(), self.present[chosen]
        with torch.autocast("cpu", torch.bfloat16):
            scores = self.net(maps)
        loss = F.binary_cross_entropy_with_logits(scores, present, reduction="sum")
        return self.descend(loss / len(maps))

    def export(self) -> None:
        """Add both convolutions to the attribute network's weights."""
        own = {name: each.half().contiguous() for name, each in self.net.tensors().items()}
        file = self.out / _WEIGHTS.name
        save_file(load_file(_WEIGHTS) | own, file, metadata={"architecture": "vgg"})

    @torch.no_grad()
    def validate(self) -> str:
        """Return the loss on unseen scenes, and how many of them have all labels right."""
        self.net.eval()
        maps, present = self.unseen
        scores = torch.cat([self.net(part.float()) for part in torch.split(maps, 512)])
        loss = F.binary_cross_entropy_with_logits(scores, present, reduction="sum") / len(maps)
        right = ((scores > 0) == (present > 0)).all(1).float().mean()
        return f"unseen scenes: loss {loss:.3f}, all labels right {right:.1%}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the training."""
    common_options(
        parser,
        maps=True,
        scenes=60_000,
        validation=2_000,
        epochs=10,
        batch=256,
        rate=3e-3,
        decay=0.01,
    )


def main(arguments: Sequence[str]) -> None:
    """Train, and write the attribute VGG's weights with both convolutions."""
    description = "Train the convolutions that tell which colour belongs to which object."
    parser = new_parser("pictograms train-pairs", description)
    add_arguments(parser)
    Training(parser.parse_args(arguments)).run()
