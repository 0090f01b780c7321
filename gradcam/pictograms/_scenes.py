"""Scenes of pictograms, drawn from a seed, with the class, box and mask of every object.

A scene has one to four pictograms of random scale, rotation, hue and brightness, which may
overlap, on a random background and among distractors, which belong to no class. The mask of each
object is exact, so explanations can be checked pixel by pixel.

The same seed yields the same picture: all random numbers come from one PCG64 generator, and all
drawing uses integers or single float32 operations. Only another version of Pillow may round the
edges of resized or rotated pictograms differently.

The pictograms are read from ``sprites.png``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gradcam._labels.classes import Labels
from gradcam.pictograms._backgrounds import Float, background

__all__ = ["CLASSES", "Scene", "SceneObject", "class_index", "compose", "scene"]

_FOLDER = Path(__file__).parent
_INDEX: dict[str, Any] = json.loads((_FOLDER / "sprites.json").read_text(encoding="utf-8"))

CLASSES: tuple[tuple[str, str], ...] = tuple(
    (entry["synset"], entry["label"]) for entry in _INDEX["classes"]
)
"""The classes in the order of the network's scores: (WordNet synset, label)."""

_LABELS = Labels([label for _, label in CLASSES], [synset for synset, _ in CLASSES])

MAX_OBJECTS = 4
MIN_SIDE, MAX_SIDE = 64, 4096

# The longer side of an object, in pixels of a picture whose shorter side is 224. The maximum
# depends on the number of objects, so that all of them fit.
_MIN_SIZE = 56
_MAX_SIZE = {1: 130, 2: 130, 3: 112, 4: 98}
# The minimum visible share of each object's pixels.
_MIN_VISIBLE = 0.6

_ATTEMPTS = 60
"""Random positions that are tried for an object."""

_ATTEMPTS_PER_SIZE = 6
"""Positions that are tried before the object is made smaller, so that the search ends."""


@dataclass(frozen=True, eq=False, repr=False)
class SceneObject:
    """One pictogram of a scene.

    Attributes
    ----------
    index : int
        The index of its class in `CLASSES` and in the network's scores.
    label : str
        The label of its class.
    box : (x0, y0, x1, y1)
        The bounding box of `mask` in pixels, x1 and y1 exclusive.
    mask : (H, W) array of bool
        Its visible pixels: those that no later object covers.
    """

    index: int
    label: str
    box: tuple[int, int, int, int]
    mask: NDArray[np.bool_]

    def __repr__(self) -> str:
        return f"<SceneObject {self.label}, box {self.box}>"


@dataclass(frozen=True, eq=False, repr=False)
class Scene:
    """A picture and its ground truth.

    Attributes
    ----------
    picture : (H, W, 3) array of uint8
        RGB.
    objects : list of SceneObject
        From the back to the front.
    """

    picture: NDArray[np.uint8]
    objects: list[SceneObject]

    def __repr__(self) -> str:
        height, width = self.picture.shape[:2]
        labels = ", ".join(each.label for each in self.objects) or "no objects"
        return f"<Scene of {height} x {width}: {labels}>"


def class_index(name: str | int) -> int:
    """Return the index of the class with this label, synset or index.

    Raises
    ------
    ValueError, IndexError, TypeError
        If there is no such class, as `gradcam.Labels.find` does; for an unknown name the message
        suggests similar ones.
    """
    return _LABELS.find(name).index


def scene(
    seed: int,
    *,
    objects: int | None = None,
    classes: Sequence[str | int] | None = None,
    size: tuple[int, int] = (224, 224),
) -> Scene:
    """Draw the scene of this seed.

    Parameters
    ----------
    seed : int
        A non-negative integer; the same arguments return the same bytes.
    objects : int, optional
        The number of objects, 1 to 4, all of different classes. By default it is random.
    classes : sequence of str or int, optional
        The class of each object, from the back to the front: labels, synsets or indices. A class
        may occur more than once. By default they are random.
    size : (height, width)
        Of the picture, 64 to 4096 pixels each. The size of objects is proportional to the shorter
        side; if that is 224, they are 56 to 130 pixels long.

    Returns
    -------
    Scene

    Raises
    ------
    ValueError
        If an argument is out of range, or a class is unknown.
    IndexError, TypeError
        If the index of a class is out of range, or a class is neither an index nor a name.

    Examples
    --------
    >>> s = scene(7, classes=["cat", "dog"])
    >>> [o.label for o in s.objects], s.picture.shape
    (['cat', 'dog'], (224, 224, 3))
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed must be a non-negative integer, not {seed!r}")
    height, width = _check_size(size)
    rng = np.random.default_rng(int(seed))
    indices = _random_classes(rng, objects) if classes is None else _given_classes(classes, objects)
    return compose(rng, indices, (height, width), scale=min(height, width) / 224)


def _random_classes(rng: np.random.Generator, objects: int | None) -> list[int]:
    """Return the indices of `objects` different random classes."""
    if objects is None:
        objects = int(rng.integers(1, MAX_OBJECTS + 1))
    _check_count(objects)
    indices: list[int] = rng.choice(len(CLASSES), size=int(objects), replace=False).tolist()
    return indices


def _given_classes(classes: Sequence[str | int], objects: int | None) -> list[int]:
    """Return the indices of `classes`, after checking that there are `objects` of them."""
    if isinstance(classes, (str, int)):
        raise ValueError(f"classes must be a sequence, such as [{classes!r}], not {classes!r}")
    indices = [class_index(name) for name in classes]
    if objects is not None and objects != len(indices):
        raise ValueError(
            f"objects={objects} contradicts the {len(indices)} classes given: omit one of the two"
        )
    _check_count(len(indices))
    return indices


def _check_count(objects: int) -> None:
    if not isinstance(objects, (int, np.integer)) or not 1 <= objects <= MAX_OBJECTS:
        raise ValueError(f"a scene has 1 to {MAX_OBJECTS} objects, not {objects!r}")


def _check_size(size: tuple[int, int]) -> tuple[int, int]:
    try:
        height, width = size
        is_integer = int(height) == height and int(width) == width
    except (TypeError, ValueError):
        raise ValueError(f"size must be (height, width) in pixels, not {size!r}") from None
    if not is_integer or not all(MIN_SIDE <= side <= MAX_SIDE for side in size):
        raise ValueError(
            f"size must be (height, width), integers from {MIN_SIDE} to {MAX_SIDE}, not {size!r}"
        )
    return int(height), int(width)


def compose(
    rng: np.random.Generator, classes: Sequence[int], size: tuple[int, int], scale: float
) -> Scene:
    """Draw a scene with objects of these class indices; `classes` may be empty.

    `scale` multiplies the sizes of the objects, which are defined for a shorter side of 224. The
    arguments are not checked.
    """
    height, width = size
    canvas = background(rng, height, width)
    for _ in range(int(rng.integers(0, 4))):
        cell = int(rng.choice(_INDEX["distractors"]))
        patch = _patch(rng, cell, rng.uniform(26, 84) * scale, size)
        x, y = _random_position(rng, patch, height, width)
        _paste(canvas, patch, x, y)

    # owner: the number of the object that each pixel shows, or 0; area and visible: pixels of
    # each object, by number.
    owner = np.zeros((height, width), np.uint8)
    area = np.zeros(MAX_OBJECTS + 2, np.int64)
    visible = area.copy()
    max_size = _MAX_SIZE[max(1, len(classes))]
    for number, index in enumerate(classes, start=1):
        length = rng.uniform(_MIN_SIZE, max_size) * scale
        cell = int(rng.choice(_INDEX["classes"][index]["cells"]))
        for attempt in range(_ATTEMPTS):
            if attempt % _ATTEMPTS_PER_SIZE == 0:
                patch = _patch(rng, cell, length * 0.88 ** (attempt // _ATTEMPTS_PER_SIZE), size)
                opaque = patch[..., 3] >= 128
            x, y = _random_position(rng, patch, height, width)
            region = owner[y : y + patch.shape[0], x : x + patch.shape[1]]
            covered = np.bincount(region[opaque], minlength=len(visible))
            if np.all(visible[1:number] - covered[1:number] >= _MIN_VISIBLE * area[1:number]):
                break
        visible -= covered
        visible[number] = area[number] = np.count_nonzero(opaque)
        region[opaque] = number
        _paste(canvas, patch, x, y)

    objects = []
    for number, index in enumerate(classes, start=1):
        mask = owner == number
        objects.append(SceneObject(index, CLASSES[index][1], _bounding_box(mask), mask))
    return Scene(_finish(rng, canvas), objects)


def _bounding_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@lru_cache(maxsize=1)
def _sprites() -> list[Image.Image]:
    """Return all glyphs of the sprite sheet as RGBA, cropped to their visible pixels."""
    with Image.open(_FOLDER / "sprites.png") as file:
        sheet = file.convert("RGBA")
    width, height = _INDEX["cell"]
    last = max(_INDEX["distractors"])
    sprites = []
    for cell in range(last + 1):
        row, column = divmod(cell, _INDEX["columns"])
        glyph = sheet.crop((column * width, row * height, (column + 1) * width, (row + 1) * height))
        sprites.append(glyph.crop(glyph.getchannel("A").getbbox()))
    return sprites


def _patch(
    rng: np.random.Generator, cell: int, length: float, max_size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return a randomly transformed glyph whose longer side is about `length`: (h, w, 4) uint8.

    It is smaller if it would not fit into `max_size`, (height, width).
    """
    sprite = _sprites()[cell]
    aspect = rng.uniform(0.88, 1.14)
    turn = rng.normal(0, 12) if rng.random() < 0.85 else rng.uniform(-50, 50)
    hue = rng.normal(0, 0.16)
    saturation = rng.uniform(0.75, 1.15)
    brightness = rng.uniform(0.72, 1.15)
    if rng.random() < 0.5:
        sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    wide, high = sprite.width * aspect, float(sprite.height)
    cos, sin = abs(math.cos(math.radians(turn))), abs(math.sin(math.radians(turn)))
    zoom = min(
        length / max(wide, high),
        (max_size[0] - 3) / (wide * sin + high * cos),
        (max_size[1] - 3) / (wide * cos + high * sin),
    )
    wide, high = max(4, round(wide * zoom)), max(4, round(high * zoom))
    sprite = sprite.resize((wide, high), Image.Resampling.BILINEAR)
    alpha = sprite.getchannel("A")
    sprite = sprite.convert("RGB").convert("RGB", _colour_matrix(hue, saturation, brightness))
    sprite.putalpha(alpha)
    sprite = sprite.rotate(turn, Image.Resampling.BILINEAR, expand=True)
    return np.asarray(sprite.crop(sprite.getchannel("A").getbbox()))


def _colour_matrix(hue: float, saturation: float, brightness: float) -> tuple[float, ...]:
    """Return the 3 x 4 matrix that rotates colours by `hue` radians about the grey axis."""
    cos, sin = saturation * math.cos(hue), saturation * math.sin(hue) / math.sqrt(3)
    same, before, after = (1 + 2 * cos) / 3, (1 - cos) / 3 - sin, (1 - cos) / 3 + sin
    rows = ((same, before, after), (after, same, before), (before, after, same))
    return tuple(value for row in rows for value in (*(brightness * v for v in row), 0.0))


def _random_position(
    rng: np.random.Generator, patch: NDArray[np.uint8], height: int, width: int
) -> tuple[int, int]:
    """Return a position (x, y) at which the patch is entirely inside the picture."""
    x = rng.integers(0, width - patch.shape[1] + 1)
    y = rng.integers(0, height - patch.shape[0] + 1)
    return int(x), int(y)


def _paste(canvas: Float, patch: NDArray[np.uint8], x: int, y: int) -> None:
    region = canvas[y : y + patch.shape[0], x : x + patch.shape[1]]
    alpha = patch[..., 3:] * np.float32(1 / 255)
    region += alpha * (patch[..., :3] - region)


def _finish(rng: np.random.Generator, canvas: Float) -> NDArray[np.uint8]:
    """Return the picture as uint8, with random brightness and a little grain."""
    gain, lift = np.float32(rng.uniform(0.86, 1.1)), np.float32(rng.uniform(-10, 10))
    grain = rng.integers(-3, 4, canvas.shape[:2], dtype=np.int8).astype(np.float32)
    canvas *= gain
    canvas += grain[..., None] + lift
    return np.clip(canvas, 0, 255, out=canvas).astype(np.uint8)
