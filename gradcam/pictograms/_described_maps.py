"""Described scenes for training, with what the attribute VGG computes for them.

The convolutions of the captioner and of the question answerer do not change in training. So their
last map, pooled, is computed once for each scene and stored; training then reads it in any order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradcam._files import atomic_write
from gradcam.pictograms._described import (
    NOUNS,
    Arrangement,
    Asked,
    Described,
    compose_described,
    groups_of,
)

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


def stored_maps(folder: Path, scenes: int, use: int, workers: int = 2) -> NDArray[np.float16]:
    """Return pool5 of scenes 0 to `scenes` - 1 of a use, (scenes, 128, 7, 7).

    Read from a file in `folder`; computed and written there if it is missing.
    """
    found: NDArray[np.float16] = np.load(_files(folder, scenes, use, workers)[0], mmap_mode="r")
    return found


def stored_arrangements(folder: Path, scenes: int, use: int, workers: int = 2) -> list[Arrangement]:
    """Return what these scenes show, and where; stored beside their maps."""
    text = _files(folder, scenes, use, workers)[1].read_text("utf-8")
    return [_arrangement(line) for line in text.splitlines()]


def _files(folder: Path, scenes: int, use: int, workers: int) -> tuple[Path, Path]:
    """Return the files of the maps and of the arrangements; both are written if one is missing."""
    maps = folder / f"pool5-{use:02x}-{scenes}.npy"
    lines = maps.with_suffix(".jsonl")
    if not (maps.exists() and lines.exists()):
        new = maps.with_suffix(".new.npy")
        found = np.lib.format.open_memmap(new, "w+", np.float16, (scenes, *SHAPE))
        texts: list[str] = []
        for computed, drawn in _computed(scenes, use, workers):
            found[len(texts) : len(texts) + len(drawn)] = computed
            texts += drawn
        found.flush()
        with atomic_write(lines) as file:
            file.write("\n".join(texts).encode())
        new.replace(maps)
    return maps, lines


def _drawn(first: int, last: int, use: int) -> tuple[NDArray[np.uint8], list[str]]:
    """Return the pictures of some scenes, and what they show as text."""
    drawn = [numbered_scene(number, use) for number in range(first, last)]
    return np.stack([each.picture for each in drawn]), [_line(each) for each in drawn]


def _line(scene: Arrangement) -> str:
    groups = [[NOUNS.index(g.noun), g.colours, g.size, g.count] for g in scene.groups]
    return json.dumps([groups, scene.centres.tolist()])


def _arrangement(line: str) -> Arrangement:
    groups, centres = json.loads(line)
    asked: list[Asked] = [(NOUNS[n], tuple(colours), s, count) for n, colours, s, count in groups]
    return Arrangement(groups_of(asked), np.array(centres, np.float64))


def _computed(
    scenes: int, use: int, workers: int
) -> Iterator[tuple[NDArray[np.float32], list[str]]]:
    """Yield the maps of each chunk of scenes, and what they show."""
    from gradcam._engine.layers import Layer
    from gradcam._engine.network import Network
    from gradcam.pictograms._attribute_networks import feature_layers, preset

    pool = Layer("pool5", "max_pool", attributes={"kernel": 2, "stride": 2})
    network = Network.from_layers([*feature_layers("vgg"), pool], preset=preset())
    starts = range(0, scenes, _CHUNK)
    ends = [min(first + _CHUNK, scenes) for first in starts]
    with ProcessPoolExecutor(workers) as processes:
        for pictures, texts in processes.map(_drawn, starts, ends, [use] * len(ends)):
            yield network.forward(pictures).activation("pool5"), texts
