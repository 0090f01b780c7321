"""VGGs with torchvision's modules, for packages that use module hooks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import vggs
from torch import nn


class VGG(nn.Module):
    """`features`, `avgpool`, `classifier` in float64; each ReLU is its own module, not in place."""

    def __init__(self, name: str, tensors: Mapping[str, np.ndarray]):
        super().__init__()
        layers = vggs.layers(name)
        names = [torchvision for _, torchvision, _ in layers]
        modules = [_module(caffe, torchvision, tensors) for caffe, torchvision, _ in layers]
        self.features = nn.Sequential(*_select("features", names, modules))
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(*_select("classifier", names, modules))
        self.load_state_dict({key: torch.as_tensor(value) for key, value in tensors.items()})
        self.double().eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))

    def layer(self, caffe: str, name: str = "vgg16") -> nn.Module:
        """Return the module of a layer by its Caffe name."""
        torchvision = next(each[1] for each in vggs.layers(name) if each[0] == caffe)
        return self.get_submodule(torchvision)


def _select(prefix: str, names: list[str], modules: list[nn.Module]) -> list[nn.Module]:
    return [each for name, each in zip(names, modules, strict=True) if name.startswith(prefix)]


def _module(caffe: str, torchvision: str, tensors: Mapping[str, np.ndarray]) -> nn.Module:
    weight = tensors.get(f"{torchvision}.weight")
    if caffe.startswith("conv"):
        return nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
    if caffe.startswith("bn"):
        return nn.BatchNorm2d(len(weight))
    if caffe.startswith("relu"):
        return nn.ReLU()
    if caffe.startswith("pool"):
        return nn.MaxPool2d(2)
    if caffe.startswith("fc"):
        return nn.Linear(weight.shape[1], weight.shape[0])
    return nn.Dropout() if caffe.startswith("drop") else nn.Identity()
