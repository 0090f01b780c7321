"""The network that learns attributes, in PyTorch: a narrow VGG.

It reads pictures of 112 x 112 and ends in maps of 14 x 14, whose means one linear layer reads.
Batch normalisation follows every convolution; it is folded into the weights on export.
"""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gradcam.pictograms._attributes import ATTRIBUTES
from gradcam.pictograms._nets import convolution, folded

SIDE = 112


_PRIOR = -3.5
"""The bias of the scores at first: few attributes are present."""

_POSITIONS = 14 * 14


class VGG(nn.Module):
    """A narrow VGG-16 without its fourth pooling, with a branch of three convolutions for colours.

    The branch reads the picture; relu5_2 and its maps together are the input of conv5_3. The layers
    up to relu4_3 start from an earlier network and do not change. (N, 3, 112, 112) become the
    scores (N, attributes): one linear layer reads the means of the last maps.

    In training a second linear layer scores each position, and the log of the sum of exponentials
    of its scores is compared with the same labels. Large scores count most in it, so that maps
    which are large in few places are learnt sooner than from means alone.
    """

    blocks = ((16, 2), (32, 2), (64, 3), (128, 3), (128, 2))
    pooled = 3
    fixed = 10
    colours = (16, 32, 32)
    channels = 128

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(self.channels, len(ATTRIBUTES))
        self.places = nn.Conv2d(self.channels, len(ATTRIBUTES), 1)
        nn.init.constant_(self.fc.bias, _PRIOR)
        assert self.places.bias is not None
        nn.init.constant_(self.places.bias, _PRIOR - math.log(_POSITIONS))
        layers: list[nn.Module] = []
        channels = 3
        for number, (width, depth) in enumerate(self.blocks, start=1):
            for _ in range(depth):
                layers += convolution(channels, width, 3, padding=1)
                channels = width
            if number <= self.pooled:
                layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        branch: list[nn.Module] = []
        first = 3
        for width in self.colours:
            branch += convolution(first, width, 3, stride=2, padding=1)
            first = width
        self.colour = nn.Sequential(*branch)
        self.last = nn.Sequential(*convolution(channels + first, self.channels, 3, padding=1))
        self.end = [n for n, m in enumerate(layers) if isinstance(m, nn.ReLU)][self.fixed - 1] + 1

    def train(self, mode: bool = True) -> VGG:
        """As of every module, but the layers that do not change keep their statistics."""
        super().train(mode)
        self.features[: self.end].eval()
        return self

    def maps(self, pictures: Tensor) -> Tensor:
        """Return relu5_3."""
        with torch.no_grad():
            shapes = self.features[: self.end](pictures)
        shapes = self.features[self.end :](shapes)
        maps: Tensor = self.last(torch.cat([shapes, self.colour(pictures)], dim=1))
        return maps

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the scores, before the sigmoid."""
        scores: Tensor = self.fc(self.maps(pictures).mean(dim=(2, 3)))
        return scores

    def training_scores(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Return the scores of the means, and those from the scores of all positions."""
        maps = self.maps(pictures)
        places = self.places(maps).float().flatten(2)
        return self.fc(maps.mean(dim=(2, 3))), places.logsumexp(dim=2)

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights by the layers' names."""
        names = [
            f"conv{n}_{i + 1}" for n, (_, depth) in enumerate(self.blocks, 1) for i in range(depth)
        ]
        names += [f"colour{n + 1}" for n in range(len(self.colours))] + ["conv5_3"]
        pairs = [*_pairs(self.features), *_pairs(self.colour), *_pairs(self.last)]
        found: dict[str, Tensor] = {}
        for name, (conv, norm) in zip(names, pairs, strict=True):
            found[f"{name}.weight"], found[f"{name}.bias"] = folded(conv, norm)
        found["fc.weight"], found["fc.bias"] = self.fc.weight, self.fc.bias
        return found

    @torch.no_grad()
    def start_from(self, weights: Path, pictures: Tensor) -> None:
        """Start from the convolutions of a file: of the pictogram network, or of an earlier run.

        Their batch normalisation is folded in; the new one starts as the identity on `pictures`.
        """
        known = load_file(weights)
        places = [name.removesuffix(".weight") for name in known if known[name].dim() == 4]
        places.sort(key=lambda place: [int(n) for n in re.findall(r"\d+", place)])
        x = pictures
        pairs = iter(zip(places, _pairs(self.features), strict=False))
        for module in self.features:
            if isinstance(module, nn.Conv2d):
                place, (conv, norm) = next(pairs)
                conv.weight.copy_(known[f"{place}.weight"].float())
                x = conv(x)
                mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
                norm.running_mean.copy_(mean)  # type: ignore[union-attr]
                norm.running_var.copy_(variance)  # type: ignore[union-attr]
                norm.weight.copy_(torch.sqrt(variance + norm.eps))
                norm.bias.copy_(mean + known[f"{place}.bias"].float())
                x = norm.eval()(x)
            elif not isinstance(module, nn.BatchNorm2d):
                x = module(x)


def _pairs(layers: nn.Sequential) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Return each convolution with its batch normalisation."""
    return [
        (a, b)
        for a, b in itertools.pairwise(layers)
        if isinstance(a, nn.Conv2d) and isinstance(b, nn.BatchNorm2d)
    ]


def export(net: VGG, path: Path) -> None:
    """Write the weights as float16."""
    tensors = {name: t.detach().half().contiguous() for name, t in net.tensors().items()}
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name} does not fit into float16: train longer")
    save_file(tensors, path, metadata={"architecture": "vgg"})
