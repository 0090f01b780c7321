"""VGGs as `torch.nn.Module`s laid out as torchvision's, for packages that hook modules."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import vggs
from torch import nn


class VGG(nn.Module):
    """`features`, `avgpool`, `classifier`; float64; no in-place ReLU, and each used once."""

    def __init__(self, name: str, tensors: Mapping[str, np.ndarray]):
        super().__init__()
        made = [_module(caffe, torchvision, tensors) for caffe, torchvision, _ in vggs.layers(name)]
        names = [torchvision for _, torchvision, _ in vggs.layers(name)]
        self.features = nn.Sequential(*_under("features", names, made))
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(*_under("classifier", names, made))
        self.load_state_dict({key: torch.as_tensor(value) for key, value in tensors.items()})
        self.double().eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))

    def layer(self, caffe: str, name: str = "vgg16") -> nn.Module:
        """The module of a layer by its Caffe name."""
        torchvision = next(each[1] for each in vggs.layers(name) if each[0] == caffe)
        return self.get_submodule(torchvision)


def _under(prefix: str, names: list[str], made: list[nn.Module]) -> list[nn.Module]:
    return [module for name, module in zip(names, made, strict=True) if name.startswith(prefix)]


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
