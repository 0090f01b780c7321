"""Described scenes for training, with what the attribute VGG computes for them.

The convolutions of the captioner and of the question answerer do not change in training. So their
last map, pooled, is computed once for each scene and stored; training then reads it in any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradcam.pictograms._described import Described, compose_described

TRAINING, VALIDATION, TESTS = 0x74, 0x76, 0x7E
"""The second words of the seeds of scenes, by use; all differ from the seeds of `described`."""

SHAPE = (128, 7, 7)
"""Of pool5."""

_SIDE = 112
_CHUNK = 256


def numbered_scene(number: int, use: int, side: int = _SIDE) -> Described:
    """Draw scene `number` of a use; one for tests has a layout that training skips.

    The scene is the same at every side, but for the rounding of places.
    """
    rng = np.random.default_rng([number, use])
    while True:
        drawn = compose_described(rng, side)
        if drawn.is_for_tests == (use == TESTS):
            return drawn


def _pictures(first: int, last: int, use: int) -> NDArray[np.uint8]:
    return np.stack([numbered_scene(number, use).picture for number in range(first, last)])


def stored_maps(folder: Path, scenes: int, use: int, workers: int = 2) -> NDArray[np.float16]:
    """Return pool5 of scenes 0 to `scenes` - 1 of a use, (scenes, 128, 7, 7).

    Read from a file in `folder`; computed and written there if it is missing.
    """
    path = folder / f"pool5-{use:02x}-{scenes}.npy"
    if not path.exists():
        new = path.with_suffix(".new.npy")
        found = np.lib.format.open_memmap(new, "w+", np.float16, (scenes, *SHAPE))
        for first, maps in _computed(scenes, use, workers):
            found[first : first + len(maps)] = maps
        found.flush()
        new.replace(path)
    maps_of_all: NDArray[np.float16] = np.load(path, mmap_mode="r")
    return maps_of_all


def _computed(scenes: int, use: int, workers: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the number of the first scene of each chunk, and the maps of the chunk."""
    from gradcam._engine.layers import Layer
    from gradcam._engine.network import Network
    from gradcam.pictograms._attribute_networks import feature_layers, preset

    pool = Layer("pool5", "max_pool", attributes={"kernel": 2, "stride": 2})
    network = Network.from_layers([*feature_layers("vgg"), pool], preset=preset())
    starts = range(0, scenes, _CHUNK)
    ends = [min(first + _CHUNK, scenes) for first in starts]
    with ProcessPoolExecutor(workers) as pool_of_processes:
        drawn = pool_of_processes.map(_pictures, starts, ends, [use] * len(ends))
        for first, pictures in zip(starts, drawn, strict=True):
            yield first, network.forward(pictures).activation("pool5")
