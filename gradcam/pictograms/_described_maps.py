"""Described scenes for training, with what the attribute network computes for them.

The first layers of the captioner and of the question answerers do not change in training. So a
map of these is computed once for each scene and stored; training then reads it in any order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal

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

if TYPE_CHECKING:
    from gradcam._engine.network import Network

TRAINING, VALIDATION, TESTS = 0x74, 0x76, 0x7E
"""The second words of the seeds of scenes, by use; all differ from the seeds of `described`."""

Stored = Literal["relu5_3", "pool5"]

SHAPES: dict[Stored, tuple[int, int, int]] = {
    "relu5_3": (128, 14, 14),
    "pool5": (128, 7, 7),
}
"""Of the maps of one scene."""

SIDE = 112
"""Of the pictures, in pixels."""

_CHUNK = 256


def of_code(scenes: int) -> int:
    """Return how many of the first scenes for training train the code; others train the captioner.

    So this learns from the mistakes that a code makes about scenes that it has not seen.
    """
    return scenes * 2 // 3


def numbered_scene(number: int, use: int, side: int = SIDE) -> Described:
    """Draw scene `number` of a use; one for tests has a layout that training skips.

    Another side gives other places, and so perhaps another scene.
    """
    rng = np.random.default_rng([number, use])
    while True:
        drawn = compose_described(rng, side)
        if drawn.is_for_tests == (use == TESTS):
            return drawn


def stored_maps(
    folder: Path, scenes: int, use: int, workers: int = 2, layer: Stored = "pool5"
) -> NDArray[np.float16]:
    """Return the maps of a layer for scenes 0 to `scenes` - 1 of a use, (scenes, C, h, w).

    Read from a file in `folder`; computed and written there if it is missing.
    """
    path, _ = _files(folder, scenes, use, workers, layer)
    found: NDArray[np.float16] = np.load(path, mmap_mode="r")
    return found


def stored_codes(
    folder: Path, scenes: int, use: int, workers: int = 2, *, maxima: bool = False
) -> NDArray[np.float16]:
    """Return the code of each scene, (scenes, 694) or (scenes, 1086), from the stored pool5.

    They are computed with the weights of the code network that ship, and stored in `folder`.
    `maxima` is as of `code_layers`.
    """
    from gradcam._engine.network import Network
    from gradcam.pictograms._attribute_networks import code_layers, identity

    name = "maxima" if maxima else "code"
    layers, channels = code_layers(maxima=maxima)[1:], SHAPES["pool5"][0]
    network = Network.from_layers(layers, channels=channels, name=name)
    path = folder / f"{identity(network).replace(' ', '-')}-{use:02x}-{scenes}.npy"
    if not path.exists():
        maps = stored_maps(folder, scenes, use, workers, "pool5")
        parts = [
            network.forward(maps[first : first + _CHUNK].astype(np.float32)).activation("relu7")
            for first in range(0, scenes, _CHUNK)
        ]
        with atomic_write(path) as file:
            np.save(file, np.concatenate(parts).astype(np.float16))
    found: NDArray[np.float16] = np.load(path)
    return found


def stored_arrangements(
    folder: Path, scenes: int, use: int, workers: int = 2, layer: Stored = "pool5"
) -> list[Arrangement]:
    """Return what these scenes show, and where; stored beside their maps."""
    _, path = _files(folder, scenes, use, workers, layer)
    return [_arrangement(line) for line in path.read_text("utf-8").splitlines()]


def _files(folder: Path, scenes: int, use: int, workers: int, layer: Stored) -> tuple[Path, Path]:
    """Return the files of the maps and of the arrangements; both are written if one is missing."""
    maps = folder / f"{layer}-{use:02x}-{scenes}.npy"
    lines = maps.with_suffix(".jsonl")
    if not (maps.exists() and lines.exists()):
        new = maps.with_suffix(".new.npy")
        found = np.lib.format.open_memmap(new, "w+", np.float16, (scenes, *SHAPES[layer]))
        texts: list[str] = []
        for computed, drawn in _computed(scenes, use, workers, layer):
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
    scenes: int, use: int, workers: int, layer: Stored
) -> Iterator[tuple[NDArray[np.float32], list[str]]]:
    """Yield the maps of each chunk of scenes, and what they show."""
    network = maps_network(layer)
    starts = range(0, scenes, _CHUNK)
    ends = [min(first + _CHUNK, scenes) for first in starts]
    with ProcessPoolExecutor(workers) as processes:
        for pictures, texts in processes.map(_drawn, starts, ends, [use] * len(ends)):
            yield network.forward(pictures).activation(layer), texts


def maps_network(layer: Stored) -> Network:
    """Return the layers of the attribute network up to this one, as a network."""
    from gradcam._engine.network import Network
    from gradcam.pictograms._attribute_networks import feature_layers, pool5, preset

    layers = [*feature_layers(), pool5()]
    layers = layers[: 1 + [each.name for each in layers].index(layer)]
    return Network.from_layers(layers, preset=preset())
