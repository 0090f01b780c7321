"""The networks that learn attributes, in PyTorch: a narrow VGG and a narrow ResNet.

Both read pictures of 112 x 112 and end in maps of 14 x 14, whose means one linear layer reads.
Batch normalisation follows every convolution; it is folded into the weights on export.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
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


class AttributeNet(nn.Module):
    """Maps, their means, a linear layer: (N, 3, 112, 112) to the scores (N, attributes).

    In training a second linear layer scores each position, and the log of the sum of exponentials
    of its scores is compared with the same labels. Large scores count most in it, so that maps
    which are large in few places are learnt sooner than from means alone.
    """

    architecture: str
    channels: int
    """Of the last map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, len(ATTRIBUTES))
        self.places = nn.Conv2d(channels, len(ATTRIBUTES), 1)
        nn.init.constant_(self.fc.bias, _PRIOR)
        assert self.places.bias is not None
        nn.init.constant_(self.places.bias, _PRIOR - math.log(_POSITIONS))

    def maps(self, pictures: Tensor) -> Tensor:
        """Return the last rectified maps, (N, C, 14, 14)."""
        raise NotImplementedError

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
        """Return all weights with batch normalisation folded in."""
        raise NotImplementedError


class VGG(AttributeNet):
    """A narrow VGG-16 without its fourth pooling, with a branch of three convolutions for colours.

    The branch reads the picture; relu5_2 and its maps together are the input of conv5_3. The layers
    up to relu4_3 start from an earlier network and do not change.
    """

    architecture = "vgg"
    blocks = ((16, 2), (32, 2), (64, 3), (128, 3), (128, 2))
    pooled = 3
    fixed = 10
    colours = (16, 32, 32)
    channels = 128

    def __init__(self) -> None:
        super().__init__(self.channels)
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


class Block(nn.Module):
    """A residual block of two 3 x 3 convolutions."""

    def __init__(self, channels: int, width: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, dilation, dilation, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        nn.init.zeros_(self.bn2.weight)
        self.shortcut: nn.Sequential | None = None
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(x + two convolutions of x)."""
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.shortcut is None else self.shortcut(x)))

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Return the block's weights, with batch normalisation folded in."""
        parts = [("conv1", self.conv1, self.bn1), ("conv2", self.conv2, self.bn2)]
        if self.shortcut is not None:
            conv, norm = self.shortcut
            assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
            parts.append(("shortcut", conv, norm))
        found: dict[str, Tensor] = {}
        for part, layer, norm in parts:
            place = f"{name}.{part}"
            found[f"{place}.weight"], found[f"{place}.bias"] = folded(layer, norm)
        return found


class ResNet(AttributeNet):
    """A ResNet of nine blocks, two of 56 x 56 positions, two of 28 x 28 and five of 14 x 14.

    The convolutions of the last two blocks are dilated (Yu et al. 2017), so that each position
    reads what stands around it.
    """

    architecture = "resnet"
    widths = (24, 24, 48, 48, 96, 96, 96, 128, 128)
    strides = (1, 1, 2, 1, 2, 1, 1, 1, 1)
    dilations = (1, 1, 1, 1, 1, 1, 1, 2, 3)
    channels = 128

    def __init__(self) -> None:
        super().__init__(self.channels)
        channels = self.widths[0]
        self.stem = nn.Conv2d(3, channels, 3, 2, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.blocks = nn.ModuleList()
        for width, *shape in zip(self.widths, self.strides, self.dilations, strict=True):
            self.blocks.append(Block(channels, width, *shape))
            channels = width

    def maps(self, pictures: Tensor) -> Tensor:
        """Return the last block's output."""
        x = torch.relu(self.bn(self.stem(pictures)))
        for block in self.blocks:
            x = block(x)
        return x

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights by the layers' names."""
        found: dict[str, Tensor] = {}
        found["stem.weight"], found["stem.bias"] = folded(self.stem, self.bn)
        for number, block in enumerate(self.blocks, start=1):
            assert isinstance(block, Block)
            found |= block.tensors(f"block{number}")
        found["fc.weight"], found["fc.bias"] = self.fc.weight, self.fc.bias
        return found


NETWORKS: dict[str, Callable[[], AttributeNet]] = {"vgg": VGG, "resnet": ResNet}


def export(net: AttributeNet, path: Path) -> None:
    """Write the weights as float16."""
    tensors = {name: t.detach().half().contiguous() for name, t in net.tensors().items()}
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name} does not fit into float16: train longer")
    save_file(tensors, path, metadata={"architecture": net.architecture})
