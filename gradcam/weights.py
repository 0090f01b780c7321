"""Read, write, describe and convert weight files.

>>> from gradcam import weights
>>> weights.load("vgg16.pth").tensors["features.0.weight"].shape
(64, 3, 3, 3)
>>> print(weights.describe("vgg16.pth"))
"""

from __future__ import annotations

from gradcam._models.conversion import convert, save
from gradcam._models.description import Contents, Description, LayerEntry, describe
from gradcam._weights.reading import load
from gradcam._weights.tensors import Weights, WeightsError

__all__ = [
    "Contents",
    "Description",
    "LayerEntry",
    "Weights",
    "WeightsError",
    "convert",
    "describe",
    "load",
    "save",
]
