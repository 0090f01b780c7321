"""Random weights in the place of the attribute networks', for tests of what follows them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gradcam.pictograms import _attribute_networks

_WIDTHS = (16, 32, 64, 128, 128)


def tensors(seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Return weights of the VGG's convolutions that keep the size of the values."""
    rng = np.random.default_rng(seed)
    found: dict[str, NDArray[np.float32]] = {}
    channels = 3
    for block, (width, depth) in enumerate(
        zip(_WIDTHS, _attribute_networks._BLOCKS, strict=True), start=1
    ):
        for each in range(1, depth + 1):
            scale = np.sqrt(2 / (9 * channels))
            name, shape = f"conv{block}_{each}", (width, channels, 3, 3)
            found[f"{name}.weight"] = (scale * rng.standard_normal(shape)).astype(np.float32)
            found[f"{name}.bias"] = np.full(width, 0.01, np.float32)
            channels = width
    return found


def use(patch: pytest.MonkeyPatch) -> None:
    """Let networks that begin with the attribute VGG begin with random convolutions."""
    made = tensors()
    patch.setattr(_attribute_networks, "_tensors", lambda architecture: made)
