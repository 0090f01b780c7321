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
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from gradcam.pictograms._attributes import ATTRIBUTES, attributes
from gradcam.pictograms._described_maps import (
    TRAINING,
    VALIDATION,
    stored_arrangements,
    stored_maps,
)
from gradcam.pictograms._nets import folded
from gradcam.pictograms._train import learning_rate, progress_bar

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
        weight, bias = folded(self.conv1, self.norm1)
        mean, variance = self.norm.running_mean, self.norm.running_var
        assert mean is not None and variance is not None
        scale = 1 / torch.sqrt(variance + self.norm.eps)
        found["conv6_1.weight"] = weight * scale.view(1, -1, 1, 1)
        found["conv6_1.bias"] = bias - weight[:, :, 0, 0] @ (mean * scale)
        found["conv6_2.weight"], found["conv6_2.bias"] = folded(self.conv2, self.norm2)
        return found


class Training:
    """One run over the stored maps."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        a = self.arguments = arguments
        a.out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(a.seed)
        torch.set_num_threads(a.threads)
        self.maps, self.present = self._stored(a.scenes, TRAINING)
        self.unseen = self._stored(a.validation, VALIDATION)
        self.net = PairNet()
        self.optimiser = torch.optim.AdamW(self.net.parameters(), a.rate, weight_decay=0.01)

    def _stored(self, scenes: int, use: int) -> tuple[Tensor, Tensor]:
        folder = self.arguments.maps or self.arguments.out
        maps = np.array(stored_maps(folder, scenes, use, layer="pool5"))
        seen = stored_arrangements(folder, scenes, use, layer="pool5")
        present = np.stack([attributes(each) for each in seen])
        return torch.from_numpy(maps), torch.from_numpy(present)

    def log(self, line: str) -> None:
        """Print a line and append it to the log file."""
        print(line, flush=True)
        with (self.arguments.out / "training.log").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def run(self) -> None:
        """Train, then add both convolutions to the attribute network's weights."""
        a = self.arguments
        settings = {k: v for k, v in vars(a).items() if k not in ("out", "maps")}
        self.log(f"PyTorch {torch.__version__}, bfloat16 on the CPU; {settings}")
        start = time.monotonic()
        batches = -(-len(self.maps) // a.batch)
        for epoch in range(a.epochs):
            order = torch.randperm(len(self.maps))
            losses = []
            parts = torch.split(order, a.batch)
            for number, chosen in enumerate(progress_bar(parts, f"epoch {epoch + 1}", batches)):
                done = (epoch + number / batches) / a.epochs
                for group in self.optimiser.param_groups:
                    group["lr"] = learning_rate(done, a.rate)
                losses.append(self.step(self.maps[chosen], self.present[chosen]))
            self.log(
                f"epoch {epoch + 1:2d}, {(time.monotonic() - start) / 60:4.1f} min, "
                f"loss {np.mean(losses):.3f}; {self.validate()}"
            )
        tensors = load_file(_WEIGHTS) | {
            name: tensor.detach().half().contiguous() for name, tensor in self.net.tensors().items()
        }
        save_file(tensors, a.out / _WEIGHTS.name, metadata={"architecture": "vgg"})

    def step(self, maps: Tensor, present: Tensor) -> float:
        """Train on one batch and return its loss."""
        with torch.autocast("cpu", torch.bfloat16):
            scores = self.net(maps.float())
        loss = F.binary_cross_entropy_with_logits(scores, present, reduction="sum") / len(maps)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return float(loss.detach())

    @torch.no_grad()
    def validate(self) -> str:
        """Return the loss on unseen scenes, and how many of them have all labels right."""
        self.net.eval()
        maps, present = self.unseen
        scores = torch.cat([self.net(part.float()) for part in torch.split(maps, 512)])
        self.net.train()
        loss = F.binary_cross_entropy_with_logits(scores, present, reduction="sum") / len(maps)
        right = ((scores > 0) == (present > 0)).all(1).float().mean()
        return f"unseen scenes: loss {loss:.3f}, all labels right {right:.1%}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the training."""
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder for the log and the weights")
    add("--maps", type=Path, help="folder of the stored maps; by default that of --out")
    add("--scenes", type=int, default=60_000)
    add("--validation", type=int, default=2_000)
    add("--epochs", type=int, default=10)
    add("--batch", type=int, default=256)
    add("--rate", type=float, default=3e-3, help="peak learning rate")
    add("--threads", type=int, default=os.cpu_count() or 1)
    add("--seed", type=int, default=0)


def main(arguments: Sequence[str]) -> None:
    """Train, and write the attribute VGG's weights with both convolutions."""
    parser = argparse.ArgumentParser(
        prog="python -m gradcam.pictograms train-pairs",
        description="Train the convolutions that tell which colour belongs to which object.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_arguments(parser)
    Training(parser.parse_args(arguments)).run()
