"""Random weights in the place of the attribute network's, for tests of what follows them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from gradcam.pictograms import _attribute_networks, _described_maps
from gradcam.pictograms._described import compose_described
from gradcam.vqa._coattention import BLOCKS, STRIDES

_WIDTHS = (16, 32, 64, 128, 128)
_COLOUR_WIDTHS = (16, 32, 32)

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
    return found


def code_tensors(units: int = 12, code: int = 694, seed: int = 0) -> _Tensors:
    """Return weights of the layers of the picture's code."""
    rng = np.random.default_rng([seed, 6])
    channels, between = _WIDTHS[-1], 24
    found: _Tensors = {
        "norm5.scale": rng.uniform(0.5, 2, channels).astype(np.float32),
        "norm5.shift": rng.uniform(-1, 1, channels).astype(np.float32),
    }
    _add(found, rng, "conv6_1", (between, channels, 3, 3))
    _add(found, rng, "conv6_2", (between, between, 3, 3))
    _add(found, rng, "skip6", (between, channels, 1, 1))
    _add(found, rng, "conv6_3", (channels, between, 1, 1))
    _add(found, rng, "fc6", (units, 49 * channels))
    _add(found, rng, "fc7", (code, units))
    _add(found, rng, "fc7_maxima", (code, units + channels))
    for name in ("fc7", "fc7_maxima"):
        found[f"{name}.weight"] *= np.float32(0.3)
        found[f"{name}.bias"] += 1
    return found


def features(seed: int = 0) -> _Tensors:
    """Return those of the layers up to relu5_3."""
    return tensors(seed)


def block_tensors(seed: int = 0) -> _Tensors:
    """Return weights of the small ResNet over the VGG's map; each block adds little."""
    rng = np.random.default_rng(seed)
    found: _Tensors = {}
    channels = _WIDTHS[-1]
    for block, stride in zip(BLOCKS, STRIDES, strict=True):
        before, channels = channels, channels * stride
        inner = channels // 2
        _add(found, rng, f"{block}.conv1", (inner, before, 1, 1))
        _add(found, rng, f"{block}.conv2", (inner, inner, 3, 3))
        _add(found, rng, f"{block}.conv3", (channels, inner, 1, 1))
        found[f"{block}.conv3.weight"] *= np.float32(0.3)
        if stride != 1:
            _add(found, rng, f"{block}.projection", (channels, before, 1, 1))
    return found


def _add(found: _Tensors, rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> None:
    """Add the weight and the bias of a convolution."""
    scale = np.sqrt(2 / np.prod(shape[1:]))
    found[f"{name}.weight"] = (scale * rng.standard_normal(shape)).astype(np.float32)
    found[f"{name}.bias"] = np.full(shape[0], 0.01, np.float32)


def use(patch: pytest.MonkeyPatch) -> None:
    """Let networks that begin with the attribute network begin with random convolutions."""
    made, of_code = tensors(), code_tensors()
    patch.setattr(_attribute_networks, "_tensors", lambda: made)
    patch.setattr(_attribute_networks, "_code_tensors", lambda: of_code)


def use_maps(patch: pytest.MonkeyPatch) -> None:
    """Let stored maps be random ones, of scenes of 64 x 64 pixels."""

    def computed(
        scenes: int, use: int, workers: int, layer: _described_maps.Stored
    ) -> Iterator[tuple[NDArray[np.float32], list[str]]]:
        drawn = [compose_described(np.random.default_rng([n, use]), 64) for n in range(scenes)]
        shape = (scenes, *_described_maps.SHAPES[layer])
        values = np.random.default_rng(use).random(shape, np.float32)
        yield values, [_described_maps._line(each) for each in drawn]

    patch.setattr(_described_maps, "_computed", computed)
