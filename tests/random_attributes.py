"""Random weights in the place of the attribute networks', for tests of what follows them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gradcam.pictograms import _attribute_networks

_WIDTHS = (16, 32, 64, 128, 128)
_COLOUR_WIDTHS = (16, 32, 32)
_RESNET_WIDTHS = (24, 24, 48, 48, 96, 96, 96, 128, 128)

_Tensors = dict[str, NDArray[np.float32]]


def tensors(seed: int = 0) -> _Tensors:
    """Return weights of the VGG's convolutions that keep the size of the values."""
    rng = np.random.default_rng(seed)
    found: _Tensors = {}
    channels = 3
    for block, (width, depth) in enumerate(
        zip(_WIDTHS, _attribute_networks._BLOCKS, strict=True), start=1
    ):
        for each in range(1, depth + 1):
            _add(found, rng, f"conv{block}_{each}", (width, channels, 3, 3))
            channels = width
    first = 3
    for number, width in enumerate(_COLOUR_WIDTHS, start=1):
        _add(found, rng, f"colour{number}", (width, first, 3, 3))
        first = width
    _add(found, rng, "conv5_3", (channels, channels + first, 3, 3))
    _add(found, rng, "conv6_1", (2 * channels, channels, 1, 1))
    _add(found, rng, "conv6_2", (channels, 2 * channels, 1, 1))
    return found


def resnet_tensors(seed: int = 0) -> _Tensors:
    """Return weights of the ResNet's convolutions; each block adds little."""
    rng = np.random.default_rng(seed)
    found: _Tensors = {}
    channels = _RESNET_WIDTHS[0]
    _add(found, rng, "stem", (channels, 3, 3, 3))
    for number, width in enumerate(_RESNET_WIDTHS, start=1):
        _add(found, rng, f"block{number}.conv1", (width, channels, 3, 3))
        _add(found, rng, f"block{number}.conv2", (width, width, 3, 3))
        found[f"block{number}.conv2.weight"] *= np.float32(0.3)
        if width != channels:
            _add(found, rng, f"block{number}.shortcut", (width, channels, 1, 1))
        channels = width
    return found


def _add(found: _Tensors, rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> None:
    """Add the weight and the bias of a convolution."""
    scale = np.sqrt(2 / np.prod(shape[1:]))
    found[f"{name}.weight"] = (scale * rng.standard_normal(shape)).astype(np.float32)
    found[f"{name}.bias"] = np.full(shape[0], 0.01, np.float32)


def use(patch: pytest.MonkeyPatch) -> None:
    """Let networks that begin with an attribute network begin with random convolutions."""
    made = {"vgg": tensors(), "resnet": resnet_tensors()}
    patch.setattr(_attribute_networks, "_tensors", made.__getitem__)
