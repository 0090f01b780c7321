"""The networks that are trained on pictograms, in PyTorch: a narrow VGG-16, a narrow AlexNet.

Batch normalisation follows every layer but the last. It is folded into the weights on export, so
that the exported network has only convolutions, ReLUs, pools and linear layers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gradcam.pictograms._scenes import CLASSES


class PictogramNet(nn.Module):
    """A network with batch normalisation, and the linear layer of phase A.

    Attributes
    ----------
    architecture : str
        The function of :mod:`gradcam` that loads the exported weights.
    description : str
        The widths, for the log.
    """

    architecture: str
    description: str

    def __init__(
        self, features: list[nn.Module], pool: nn.Module, average: nn.Linear, fc: list[nn.Module]
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(*features)
        self.pool5 = pool
        self.average = average
        self.drop_maps = nn.Dropout2d(0.1)
        self.classifier = nn.Sequential(*fc)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, pictures: Tensor, phase: str) -> tuple[Tensor, Tensor | None]:
        """Return the scores from the averaged maps, and in phase B those of fc8."""
        maps = self.features(pictures)
        averaged = self.average(maps.mean(dim=(2, 3)))
        if phase == "A":
            return averaged, None
        pooled = self.pool5(self.drop_maps(maps))
        return averaged, self.classifier(pooled.contiguous().flatten(1))


class VGG16(PictogramNet):
    """VGG-16 with a quarter of its channels."""

    architecture = "vgg16"
    widths = (16, 32, 64, 128, 128)
    depths = (2, 2, 3, 3, 3)
    hidden = 256
    description = f"widths {widths}, fc6 and fc7 of {hidden}"

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        channels = 3
        for width, depth in zip(self.widths, self.depths, strict=True):
            for _ in range(depth):
                layers += convolution(channels, width, 3, padding=1)
                channels = width
            layers.append(nn.MaxPool2d(2, 2))
        units = self.hidden
        fc = [
            *[*linear(channels * 7 * 7, units), nn.Dropout(0.3)],
            *[*linear(units, units), nn.Dropout(0.3)],
            nn.Linear(units, len(CLASSES)),
        ]
        super().__init__(layers[:-1], layers[-1], nn.Linear(channels, len(CLASSES)), fc)


class AlexNet(PictogramNet):
    """AlexNet as in torchvision, with a quarter to three eighths of its channels."""

    architecture = "alexnet"
    widths = (24, 48, 64, 64, 64)
    hidden = 128
    description = f"widths {widths}, two fully connected layers of {hidden}"

    def __init__(self) -> None:
        first, second, third, fourth, fifth = self.widths
        features = [
            *[*convolution(3, first, 11, stride=4, padding=2), nn.MaxPool2d(3, 2)],
            *[*convolution(first, second, 5, padding=2), nn.MaxPool2d(3, 2)],
            *convolution(second, third, 3, padding=1),
            *convolution(third, fourth, 3, padding=1),
            *convolution(fourth, fifth, 3, padding=1),
        ]
        units = self.hidden
        fc = [
            *[nn.Dropout(0.3), *linear(fifth * 6 * 6, units)],
            *[nn.Dropout(0.3), *linear(units, units)],
            nn.Linear(units, len(CLASSES)),
        ]
        super().__init__(features, nn.MaxPool2d(3, 2), nn.Linear(fifth, len(CLASSES)), fc)


NETWORKS: dict[str, Callable[[], PictogramNet]] = {"alexnet": AlexNet, "vgg16": VGG16}
"""By architecture."""

_NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d)


def convolution(
    channels: int, width: int, kernel: int, *, stride: int = 1, padding: int
) -> list[nn.Module]:
    """Return a convolution with batch normalisation and a ReLU."""
    conv = nn.Conv2d(channels, width, kernel, stride=stride, padding=padding, bias=False)
    return [conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]


def linear(channels: int, units: int) -> list[nn.Module]:
    """Return a linear layer with batch normalisation and a ReLU."""
    return [
        nn.Linear(channels, units, bias=False),
        nn.BatchNorm1d(units),
        nn.ReLU(inplace=True),
    ]


def fold_batch_norm(net: PictogramNet) -> dict[str, Tensor]:
    """Return the weights with batch normalisation folded in, under torchvision's names."""
    tensors: dict[str, Tensor] = {}
    for part in ("features", "classifier"):
        number = 0  # torchvision numbers all layers; its networks have no batch normalisation
        modules = list(getattr(net, part))
        for layer, following in zip(modules, [*modules[1:], None], strict=True):
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                weight, bias = folded(layer, following)
                tensors[f"{part}.{number}.weight"], tensors[f"{part}.{number}.bias"] = weight, bias
            number += not isinstance(layer, _NORMALISATIONS)
    return {name: tensor.detach().half().contiguous() for name, tensor in tensors.items()}


def folded(layer: nn.Conv2d | nn.Linear, following: nn.Module | None) -> tuple[Tensor, Tensor]:
    """Return the weight and bias of a layer with the batch normalisation that may follow it."""
    if not isinstance(following, _NORMALISATIONS):
        assert layer.bias is not None
        return layer.weight, layer.bias
    scale, shift = scale_and_shift(following)
    return layer.weight * scale.view(-1, *[1] * (layer.weight.dim() - 1)), shift


def folded_before(
    norm: nn.BatchNorm1d | nn.BatchNorm2d, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the weight and bias of a layer with the batch normalisation of what it reads.

    Parameters
    ----------
    norm : BatchNorm1d or BatchNorm2d
        Of C channels.
    weight : Tensor
        Of a convolution without padding, (K, C, h, w), or of a linear layer that reads flat maps,
        (K, C * positions).
    bias : (K,) Tensor
    """
    scale, shift = (each.double() for each in scale_and_shift(norm))
    by_channel = weight.double().reshape(len(weight), len(scale), -1)
    scaled = (by_channel * scale[:, None]).view_as(weight)
    return scaled.to(weight.dtype), (bias + by_channel.sum(2) @ shift).to(bias.dtype)


def scale_and_shift(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return what a batch normalisation multiplies each channel by, and then adds."""
    assert norm.running_mean is not None and norm.running_var is not None
    deviation = torch.sqrt(norm.running_var + norm.eps)
    if not norm.affine:
        return 1 / deviation, -norm.running_mean / deviation
    scale = norm.weight / deviation
    return scale, norm.bias - norm.running_mean * scale


def export(net: PictogramNet, path: Path) -> None:
    """Write the weights as float16, with the architecture, the preset and the classes."""
    tensors = fold_batch_norm(net)
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(
                f"{name} does not fit into float16: train longer, or with a larger --decay"
            )
    metadata = {
        "architecture": net.architecture,
        "preset": "torchvision-straight",
        "classes": json.dumps(CLASSES),
    }
    save_file(tensors, path, metadata=metadata)
