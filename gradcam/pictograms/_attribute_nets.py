"""The networks that learn attributes, in PyTorch: a narrow VGG and a narrow ResNet.

Both read pictures of 112 x 112 and end in maps of 14 x 14, whose means one linear layer reads.
Batch normalisation follows every convolution; it is folded into the weights on export.
"""

from __future__ import annotations

import itertools
import math
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
    """Maps, their means, a linear layer: (N, 3, 112, 112) to the scores (N, attributes)."""

    architecture: str
    channels: int
    fc: nn.Linear

    def maps(self, pictures: Tensor) -> Tensor:
        """Return the last rectified maps, (N, C, 14, 14)."""
        raise NotImplementedError

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the scores, before the sigmoid."""
        scores: Tensor = self.fc(self.maps(pictures).mean(dim=(2, 3)))
        return scores

    def training_scores(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Return the scores that the loss compares with the labels, each (N, attributes)."""
        return (self(pictures),)

    def tensors(self) -> dict[str, Tensor]:
        """Return all weights with batch normalisation folded in."""
        raise NotImplementedError


class VGG(AttributeNet):
    """VGG-16 with a quarter of its channels and without its fourth pooling."""

    architecture = "vgg"
    blocks = ((16, 2), (32, 2), (64, 3), (128, 3), (128, 3))
    pooled = 3
    channels = 128

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self.names: list[str] = []
        channels = 3
        for number, (width, depth) in enumerate(self.blocks, start=1):
            for each in range(1, depth + 1):
                layers += convolution(channels, width, 3, padding=1)
                self.names.append(f"conv{number}_{each}")
                channels = width
            if number <= self.pooled:
                layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.fc = nn.Linear(channels, len(ATTRIBUTES))
        nn.init.constant_(self.fc.bias, _PRIOR)

    def maps(self, pictures: Tensor) -> Tensor:
        """Return relu5_3."""
        maps: Tensor = self.features(pictures)
        return maps

    def pairs(self) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
        """Return each convolution with its batch normalisation."""
        modules = list(self.features)
        return [
            (a, b)
            for a, b in itertools.pairwise(modules)
            if isinstance(a, nn.Conv2d) and isinstance(b, nn.BatchNorm2d)
        ]

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights by the layers' names."""
        found: dict[str, Tensor] = {}
        for name, (conv, norm) in zip(self.names, self.pairs(), strict=True):
            found[f"{name}.weight"], found[f"{name}.bias"] = folded(conv, norm)
        found["fc.weight"], found["fc.bias"] = self.fc.weight, self.fc.bias
        return found

    @torch.no_grad()
    def start_from(self, weights: Path, pictures: Tensor) -> None:
        """Start from the pictogram network's convolutions, but for the last quarter of channels.

        Its batch normalisation is folded in; the new one starts as the identity on `pictures`. The
        last quarter of each layer's channels keeps its random weights, and at first does not feed
        the others.
        """
        known = load_file(weights)
        numbers = sorted({int(name.split(".")[1]) for name in known if name.startswith("features")})
        x = pictures
        pairs = iter(zip(numbers, self.pairs(), strict=True))
        for module in self.features:
            if isinstance(module, nn.Conv2d):
                number, (conv, norm) = next(pairs)
                kept = slice(0, conv.out_channels * 3 // 4)
                fed = conv.in_channels * 3 // 4 if conv.in_channels > 3 else 3
                conv.weight[kept] = known[f"features.{number}.weight"][kept].float()
                conv.weight[kept, fed:] = 0
                bias = known[f"features.{number}.bias"][kept].float()
                x = conv(x)
                mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
                norm.running_mean.copy_(mean)  # type: ignore[union-attr]
                norm.running_var.copy_(variance)  # type: ignore[union-attr]
                norm.weight[kept] = torch.sqrt(variance + norm.eps)[kept]
                norm.bias[kept] = mean[kept] + bias
                x = norm.eval()(x)
            elif not isinstance(module, nn.BatchNorm2d):
                x = module(x)


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

    In training a second linear layer scores each position, and the log of the sum of exponentials
    of its scores is compared with the same labels. Large scores count most in it, so that maps
    which are large in few places are learnt sooner than from means alone.
    """

    architecture = "resnet"
    widths = (24, 24, 48, 48, 96, 96, 96, 128, 128)
    strides = (1, 1, 2, 1, 2, 1, 1, 1, 1)
    dilations = (1, 1, 1, 1, 1, 1, 1, 2, 3)
    channels = 128

    def __init__(self) -> None:
        super().__init__()
        channels = self.widths[0]
        self.stem = nn.Conv2d(3, channels, 3, 2, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.blocks = nn.ModuleList()
        for width, *shape in zip(self.widths, self.strides, self.dilations, strict=True):
            self.blocks.append(Block(channels, width, *shape))
            channels = width
        self.fc = nn.Linear(channels, len(ATTRIBUTES))
        self.places = nn.Conv2d(channels, len(ATTRIBUTES), 1)
        nn.init.constant_(self.fc.bias, _PRIOR)
        assert self.places.bias is not None
        nn.init.constant_(self.places.bias, _PRIOR - math.log(_POSITIONS))

    def maps(self, pictures: Tensor) -> Tensor:
        """Return the last block's output."""
        x = torch.relu(self.bn(self.stem(pictures)))
        for block in self.blocks:
            x = block(x)
        return x

    def training_scores(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Return the scores of the means, and those from the scores of all positions."""
        maps = self.maps(pictures)
        places = self.places(maps).float().flatten(2)
        return self.fc(maps.mean(dim=(2, 3))), places.logsumexp(dim=2)

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
