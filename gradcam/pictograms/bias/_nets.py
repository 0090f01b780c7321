"""The network of people in PyTorch, and how it becomes a network of gradcam.

It begins as the first four stages of the pictogram network, with batch normalisation after each
convolution. The mean of each of the last maps goes into one linear layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from gradcam._engine.layers import Layer
from gradcam._engine.network import Network
from gradcam.pictograms._attribute_networks import preset
from gradcam.pictograms._nets import folded
from gradcam.pictograms._networks import model
from gradcam.pictograms.bias._networks import FEATURES

_STEM = "pool2"
"""The last layer of the part that learns nothing of the professions."""


class PersonNet(nn.Module):
    """The network, in two parts and a linear layer.

    Parameters
    ----------
    outputs : int
        Of the linear layer.
    drop : float
        The share of means that dropout sets to 0.
    """

    def __init__(self, outputs: int, drop: float) -> None:
        super().__init__()
        self.stem, self.rest = nn.Sequential(), nn.Sequential()
        into = self.stem
        for layer in _first_layers():
            if layer.op == "conv":
                conv = _convolution(layer)
                into.extend([conv, _normalisation(conv)])
            else:
                into.append(nn.ReLU() if layer.op == "relu" else nn.MaxPool2d(2))
            into = self.rest if layer.name == _STEM else into
        self.drop = nn.Dropout(drop)
        self.end = nn.Linear(conv.out_channels, outputs)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the outputs (N, C) for input (N, 3, 112, 112)."""
        return self.after_stem(self.stem(pictures))

    def after_stem(self, x: Tensor) -> Tensor:
        """Return the outputs (N, C) for what `stem` returned."""
        scores: Tensor = self.end(self.drop(self.rest(x).mean((2, 3))))
        return scores

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Choose batch normalisation so that it changes nothing for the pictures `x`."""
        modules = [*self.stem, *self.rest]
        for layer, following in zip(modules, [*modules[1:], None], strict=True):
            if isinstance(following, nn.BatchNorm2d):
                found = layer(x)
                mean, variance = found.mean((0, 2, 3)), found.var((0, 2, 3)) + 1e-6
                following.running_mean, following.running_var = mean, variance
                following.bias.add_(mean)
                following.weight.copy_((variance + following.eps).sqrt())
            x = layer(x)


def _first_layers() -> list[Layer]:
    """Return the layers of the pictogram network up to `FEATURES`, without the input."""
    layers = list(model().layers.values())[1:]
    names = [layer.name for layer in layers]
    return layers[: names.index(FEATURES) + 1]


def _convolution(layer: Layer) -> nn.Conv2d:
    weight, bias = (torch.tensor(np.array(layer.weights[name])) for name in ("weight", "bias"))
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
    conv.weight.data, conv.bias = weight, nn.Parameter(bias)
    return conv


def _normalisation(conv: nn.Conv2d) -> nn.BatchNorm2d:
    """Return batch normalisation that has the bias of the convolution, which then has none."""
    assert conv.bias is not None
    normalisation = nn.BatchNorm2d(conv.out_channels)
    normalisation.bias.data, conv.bias = conv.bias.data, None
    return normalisation


def to_network(net: PersonNet, labels: Sequence[str], name: str) -> Network:
    """Return the network of gradcam, with batch normalisation folded into the weights."""
    modules = [*net.stem, *net.rest]
    found = [
        folded(module, following)
        for module, following in zip(modules, [*modules[1:], None], strict=True)
        if isinstance(module, nn.Conv2d)
    ]
    layers, weights = [], iter(found)
    for layer in _first_layers():
        given = _arrays(*next(weights)) if layer.op == "conv" else {}
        layers.append(Layer(layer.name, layer.op, weights=given, attributes=layer.attributes))
    layers += [
        Layer("average", "global_average_pool"),
        Layer("flatten", "flatten"),
        Layer("fc", "linear", weights=_arrays(net.end.weight, net.end.bias)),
        Layer("prob", "softmax"),
    ]
    return Network.from_layers(
        layers, labels=labels, preset=preset(), name=name, target_layer=FEATURES
    )


def _arrays(weight: Tensor, bias: Tensor) -> dict[str, np.ndarray]:
    return {"weight": weight.detach().float().numpy(), "bias": bias.detach().float().numpy()}
