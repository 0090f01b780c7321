"""Scenes of pictograms: pictures whose whole truth is known, drawn from a seed.

A scene holds one to four pictograms of different scale, rotation, hue and brightness, which
may overlap one another, before a background of noise, sky, water, hills, leaves or walls and
among shapes that belong to no class. The class, the visible pixels and the box of every
object come with the picture, so whatever an explanation claims can be checked to the pixel.

The same seed gives the same picture: all randomness comes from one PCG64 generator, and all
drawing is done in integers or in single float32 operations. Only a different Pillow may round
a resized or rotated edge differently.

Needs NumPy and Pillow; the pictograms come from ``sprites.png``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from gradcam._labels.classes import Labels

__all__ = ["CLASSES", "Scene", "SceneObject", "class_index", "compose", "scene"]

_FOLDER = Path(__file__).parent
_INDEX: dict[str, Any] = json.loads((_FOLDER / "sprites.json").read_text(encoding="utf-8"))

CLASSES: tuple[tuple[str, str], ...] = tuple(
    (entry["synset"], entry["label"]) for entry in _INDEX["classes"]
)
"""The classes in the order of the network's scores: (WordNet synset, label)."""

_LABELS = Labels([label for _, label in CLASSES], [synset for synset, _ in CLASSES])

MOST_OBJECTS = 4
SMALLEST_SIDE, LARGEST_SIDE = 64, 4096

# The longer side of an object, in pixels of a picture whose shorter side is 224. The largest
# shrinks with the number of objects so that all of them find room.
_LEAST_SIZE = 56
_MOST_SIZE = {1: 130, 2: 130, 3: 112, 4: 98}
# Each object keeps at least this share of its pixels visible.
_LEAST_VISIBLE = 0.6

_Float = NDArray[np.float32]
_Colour = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class SceneObject:
    """One pictogram of a scene.

    Attributes
    ----------
    index
        Its class: a position in `CLASSES`, and in the network's scores.
    label
        The label of that class.
    box
        ``(x0, y0, x1, y1)`` in pixels, x1 and y1 exclusive: the tight box of `mask`.
    mask
        (H, W) bool: its visible pixels, those that no later object covers.
    """

    index: int
    label: str
    box: tuple[int, int, int, int]
    mask: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture and its truth.

    Attributes
    ----------
    picture
        (H, W, 3) uint8, RGB.
    objects
        Its objects, from the back to the front.
    """

    picture: NDArray[np.uint8]
    objects: list[SceneObject]


def class_index(name: str | int) -> int:
    """Return the index of the class with this label, synset or index.

    Raises
    ------
    ValueError, IndexError, TypeError
        If there is no such class, as `gradcam.Labels.find`; for an unknown name the
        message names the nearest.
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
    seed
        A non-negative integer; the same arguments give the same bytes.
    objects
        How many objects, 1 to 4; by default the seed decides. Their classes differ.
    classes
        The classes of the objects, from the back to the front, given exactly: labels, synsets
        or indices, a class as often as it is named. By default the seed decides.
    size
        ``(height, width)`` of the picture, 64 to 4096 pixels each. Objects grow with the
        shorter side; at 224 they are 56 to 130 pixels long.

    Raises
    ------
    ValueError
        If an argument is out of its range or no class has that name.
    IndexError, TypeError
        If a class is given as an index out of range, or as neither index nor name.

    Examples
    --------
    >>> s = scene(7, classes=["cat", "dog"])
    >>> [o.label for o in s.objects], s.picture.shape
    (['cat', 'dog'], (224, 224, 3))
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed must be a non-negative integer, not {seed!r}")
    height, width = _checked_size(size)
    rng = np.random.default_rng(int(seed))
    if classes is not None:
        if isinstance(classes, (str, int)):
            raise ValueError(f"classes must be a sequence, such as [{classes!r}], not {classes!r}")
        chosen = [class_index(name) for name in classes]
        if objects is not None and objects != len(chosen):
            raise ValueError(
                f"objects={objects} contradicts the {len(chosen)} classes given: leave one out"
            )
        objects = len(chosen)
    elif objects is None:
        objects = int(rng.integers(1, MOST_OBJECTS + 1))
    if not isinstance(objects, (int, np.integer)) or not 1 <= objects <= MOST_OBJECTS:
        raise ValueError(f"a scene holds 1 to {MOST_OBJECTS} objects, not {objects!r}")
    if classes is None:
        chosen = rng.choice(len(CLASSES), size=int(objects), replace=False).tolist()
    return compose(rng, chosen, (height, width), scale=min(height, width) / 224)


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    try:
        height, width = size
        whole = int(height) == height and int(width) == width
    except (TypeError, ValueError):
        raise ValueError(f"size must be (height, width) in pixels, not {size!r}") from None
    if not whole or not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in size):
        raise ValueError(
            f"size must be (height, width), whole numbers from {SMALLEST_SIDE} to "
            f"{LARGEST_SIDE} each, not {size!r}"
        )
    return int(height), int(width)


def compose(
    rng: np.random.Generator, classes: Sequence[int], size: tuple[int, int], scale: float
) -> Scene:
    """Draw objects of these class indices (none: a mere background) with `rng`.

    `scale` multiplies the objects' sizes, which are meant for a shorter side of 224. This is
    what `scene` and the training call; it checks nothing.
    """
    height, width = size
    canvas = _background(rng, height, width)
    for _ in range(int(rng.integers(0, 4))):
        cell = int(rng.choice(_INDEX["distractors"]))
        patch = _patch(rng, cell, rng.uniform(26, 84) * scale, size)
        x, y = _anywhere(rng, patch, height, width)
        _paste(canvas, patch, x, y)

    # owner: which object each pixel shows, 0 for none; areas: visible and whole, by object.
    owner = np.zeros((height, width), np.uint8)
    whole = np.zeros(MOST_OBJECTS + 2, np.int64)
    visible = whole.copy()
    most = _MOST_SIZE[max(1, len(classes))]
    for number, index in enumerate(classes, start=1):
        length = rng.uniform(_LEAST_SIZE, most) * scale
        cell = int(rng.choice(_INDEX["classes"][index]["cells"]))
        for attempt in range(60):
            if attempt % 6 == 0:
                # Six places tried in vain: a little smaller, so that the search ends.
                patch = _patch(rng, cell, length * 0.88 ** (attempt // 6), size)
                solid = patch[..., 3] >= 128
            x, y = _anywhere(rng, patch, height, width)
            under = owner[y : y + patch.shape[0], x : x + patch.shape[1]]
            covered = np.bincount(under[solid], minlength=len(visible))
            if np.all(visible[1:number] - covered[1:number] >= _LEAST_VISIBLE * whole[1:number]):
                break
        visible -= covered
        visible[number] = whole[number] = np.count_nonzero(solid)
        under[solid] = number
        _paste(canvas, patch, x, y)

    found = []
    for number, index in enumerate(classes, start=1):
        mask = owner == number
        found.append(SceneObject(index, CLASSES[index][1], _tight_box(mask), mask))
    return Scene(_finish(rng, canvas), found)


def _tight_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


# ------------------------------------------------------------------------ pictograms


@lru_cache(maxsize=1)
def _sprites() -> list[Image.Image]:
    """Return every glyph of the sheet as RGBA, cropped to what is drawn."""
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
    rng: np.random.Generator, cell: int, length: float, room: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return a glyph varied at random, its longer side about `length`: (h, w, 4) uint8.

    It is smaller where it would not fit into `room`, a height and a width.
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
        (room[0] - 3) / (wide * sin + high * cos),
        (room[1] - 3) / (wide * cos + high * sin),
    )
    wide, high = max(4, round(wide * zoom)), max(4, round(high * zoom))
    sprite = sprite.resize((wide, high), Image.Resampling.BILINEAR)
    alpha = sprite.getchannel("A")
    sprite = sprite.convert("RGB").convert("RGB", _colour_matrix(hue, saturation, brightness))
    sprite.putalpha(alpha)
    sprite = sprite.rotate(turn, Image.Resampling.BILINEAR, expand=True)
    return np.asarray(sprite.crop(sprite.getchannel("A").getbbox()))


def _colour_matrix(hue: float, saturation: float, brightness: float) -> tuple[float, ...]:
    """Return the 3 x 4 matrix that turns hues by `hue` radians about the grey axis."""
    cos, sin = saturation * math.cos(hue), saturation * math.sin(hue) / math.sqrt(3)
    same, before, after = (1 + 2 * cos) / 3, (1 - cos) / 3 - sin, (1 - cos) / 3 + sin
    rows = ((same, before, after), (after, same, before), (before, after, same))
    return tuple(value for row in rows for value in (*(brightness * v for v in row), 0.0))


def _anywhere(
    rng: np.random.Generator, patch: NDArray[np.uint8], height: int, width: int
) -> tuple[int, int]:
    """Return a place (x, y) for the patch, wholly inside the picture."""
    x = rng.integers(0, width - patch.shape[1] + 1)
    y = rng.integers(0, height - patch.shape[0] + 1)
    return int(x), int(y)


def _paste(canvas: _Float, patch: NDArray[np.uint8], x: int, y: int) -> None:
    region = canvas[y : y + patch.shape[0], x : x + patch.shape[1]]
    alpha = patch[..., 3:] * np.float32(1 / 255)
    region += alpha * (patch[..., :3] - region)


# ------------------------------------------------------------------------ backgrounds

_TILE = 256
_TILES = 12


@lru_cache(maxsize=1)
def _noise_tiles() -> list[_Float]:
    """Return periodic tiles of multi-octave noise, roughly in [-1, 1].

    They are made once, with a seed of their own, because noise is the costliest part of a
    picture; each picture takes another window, mirrored at random.
    """
    rng = np.random.default_rng(1)
    tiles = []
    for _ in range(_TILES):
        roughness = rng.uniform(0.45, 0.75)
        tile = np.zeros((_TILE, _TILE), np.float32)
        weight = 1.0
        for cells in (4, 8, 16, 32, 64, 128):
            grid = rng.integers(0, 256, (cells, cells), dtype=np.uint8)
            # Wrapped on every side, so that the tile's edges meet.
            grid = np.pad(grid, 2, mode="wrap")
            pixels = _TILE // cells
            smooth = Image.fromarray(grid).resize(
                ((cells + 4) * pixels,) * 2, Image.Resampling.BICUBIC
            )
            edge = 2 * pixels
            octave = np.asarray(smooth)[edge : edge + _TILE, edge : edge + _TILE]
            tile += np.float32(weight) * (octave.astype(np.float32) - np.float32(127.5))
            weight *= roughness
        # The sum's deviation is rounded, so that no platform's summation order shows.
        tiles.append(tile / np.float32(round(2 * float(tile.std()))))
    return tiles


def _noise(
    rng: np.random.Generator, height: int, width: int, stretch: tuple[int, int] = (1, 1)
) -> _Float:
    """Return a (height, width) window of noise, coarsened by `stretch` along y and x."""
    tile = _noise_tiles()[int(rng.integers(_TILES))]
    y0, x0 = rng.integers(0, _TILE, 2)
    rows = (np.arange(height) // stretch[0] + y0) % _TILE
    columns = (np.arange(width) // stretch[1] + x0) % _TILE
    if rng.random() < 0.5:
        rows = rows[::-1]
    if rng.random() < 0.5:
        tile = tile.T
    window: _Float = tile[rows[:, None], columns]
    return window


def _jitter(rng: np.random.Generator, colour: _Colour, by: float = 22) -> _Float:
    """Return `colour` with its brightness and each channel varied, as float32."""
    return (np.asarray(colour) + rng.normal(0, by) + rng.normal(0, by / 2, 3)).astype(np.float32)


def _any_colour(rng: np.random.Generator) -> _Float:
    """Return a colour of muted saturation, as most of nature's are."""
    grey = rng.uniform(30, 225)
    return (grey + rng.normal(0, 34, 3)).clip(0, 255).astype(np.float32)


def _gradient(top: _Float, bottom: _Float, height: int, width: int) -> _Float:
    """Return a vertical gradient (height, width, 3)."""
    t = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    column: _Float = top + t * (bottom - top)
    return column.repeat(width, axis=1)


def _sky(rng: np.random.Generator, height: int, width: int) -> _Float:
    """Return a sky, with clouds more often than not."""
    tops = ((70, 130, 205), (95, 150, 215), (40, 52, 96), (196, 120, 96), (150, 160, 172))
    top = _jitter(rng, tops[int(rng.integers(len(tops)))])
    sky = _gradient(top, top + _jitter(rng, (70, 56, 34)), height, width)
    if rng.random() < 0.7:
        cloud = _noise(rng, height, width, (1, int(rng.integers(1, 3))))
        cloud = ((cloud - np.float32(rng.uniform(-0.2, 0.4))) * np.float32(1.6)).clip(0, 0.85)
        sky += cloud[..., None] * (np.float32(236) - sky)
    return sky


def _ridge(rng: np.random.Generator, height: int, width: int, at: float, rough: float) -> Any:
    """Return a (height, width) bool picture of what lies below a random ridge line."""
    line = _noise(rng, 1, width, (1, int(rng.integers(1, 4))))[0] * np.float32(rough * height)
    return np.arange(height, dtype=np.float32)[:, None] > np.float32(at * height) + line


def _meadow(rng: np.random.Generator, height: int, width: int) -> _Float:
    """Draw grass, sand, snow or earth below a sky, with a range of hills at times."""
    picture = _sky(rng, height, width)
    horizon = rng.uniform(0.25, 0.65)
    for layer in range(int(rng.integers(0, 3))):
        hill = _ridge(rng, height, width, horizon - 0.1 + 0.07 * layer, 0.09)
        picture[hill] = _jitter(rng, ((96, 112, 128), (84, 112, 84))[layer])
    grounds = ((78, 138, 52), (112, 146, 62), (206, 178, 122), (220, 226, 234), (122, 92, 62))
    near = _jitter(rng, grounds[int(rng.integers(len(grounds)))])
    ground = _gradient(near * np.float32(1.18), near * np.float32(0.72), height, width)
    ground *= 1 + np.float32(0.28) * _noise(rng, height, width)[..., None]
    below = _ridge(rng, height, width, horizon, rng.uniform(0, 0.05))
    np.copyto(picture, ground, where=below[..., None])
    return picture


def _water(rng: np.random.Generator, height: int, width: int) -> _Float:
    """Draw a sea below a sky, its waves drawn out sideways."""
    picture = _sky(rng, height, width)
    horizon = int(height * rng.uniform(0.15, 0.55))
    deep = _jitter(rng, ((34, 92, 140), (46, 128, 150), (58, 88, 96))[int(rng.integers(3))])
    sea = _gradient(deep * np.float32(1.35), deep * np.float32(0.8), height - horizon, width)
    waves = _noise(rng, height - horizon, width, (1, int(rng.integers(3, 7))))
    picture[horizon:] = sea + np.float32(rng.uniform(14, 34)) * waves[..., None]
    return picture


def _marble(rng: np.random.Generator, height: int, width: int) -> _Float:
    """Mix two or three colours by noise: cloth, stone, fog."""
    picture = np.empty((height, width, 3), np.float32)
    picture[:] = _any_colour(rng)
    for _ in range(int(rng.integers(1, 3))):
        mix = _noise(rng, height, width, tuple(rng.integers(1, 4, 2)))
        mix = (mix * np.float32(rng.uniform(0.3, 1.2)) + np.float32(0.5)).clip(0, 1)
        picture += mix[..., None] * (_any_colour(rng) - picture)
    return picture


def _drawn(
    rng: np.random.Generator,
    base: _Float,
    draw: Callable[[np.random.Generator, ImageDraw.ImageDraw, int, int], None],
) -> _Float:
    """Return `base` with flat shapes drawn over it, and noise over both."""
    height, width = base.shape[:2]
    picture = Image.fromarray(base.clip(0, 255).astype(np.uint8))
    draw(rng, ImageDraw.Draw(picture), height, width)
    shade = 1 + np.float32(rng.uniform(0.06, 0.2)) * _noise(rng, height, width)
    shaded: _Float = np.asarray(picture).astype(np.float32) * shade[..., None]
    return shaded


def _rgb(colour: _Float) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in colour.clip(0, 255))
    return red, green, blue


def _leaves(rng: np.random.Generator, pen: ImageDraw.ImageDraw, height: int, width: int) -> None:
    """Draw leaves of one family of colours, the further ones first and darker."""
    families = ((62, 118, 44), (92, 132, 58), (158, 104, 40), (44, 96, 74), (120, 130, 60))
    family = families[int(rng.integers(len(families)))]
    unit = min(height, width) / 224
    length = rng.uniform(9, 30) * unit
    count = min(int(2.2 * height * width / length**2 / 2), 150)
    outline = np.array([[-1, 0], [-0.4, 0.32], [0.3, 0.36], [1, 0], [0.3, -0.36], [-0.4, -0.32]])
    turns = rng.uniform(0, 2 * math.pi, count)
    sizes = length * rng.uniform(0.6, 1.5, count)
    places = rng.uniform(0, 1, (count, 2)) * (width, height)
    shades = np.linspace(0.5, 1.25, count) + rng.normal(0, 0.1, count)
    for turn, size, place, shade in zip(turns, sizes, places, shades, strict=True):
        cos, sin = math.cos(turn) * size, math.sin(turn) * size
        leaf = outline @ np.array([[cos, sin], [-sin, cos]]) + place
        pen.polygon(
            leaf.ravel().tolist(), fill=tuple(max(0, min(255, int(c * shade))) for c in family)
        )


def _bricks(rng: np.random.Generator, pen: ImageDraw.ImageDraw, height: int, width: int) -> None:
    """Draw a wall of bricks or a floor of planks; the joints are what was there before."""
    unit = min(height, width) / 224
    course = rng.uniform(14, 40) * unit
    brick = course * rng.uniform(1.0, 4.5)
    joint = max(1.0, rng.uniform(1, 2.5) * unit)
    colour = _any_colour(rng)
    for row in range(math.ceil(height / course)):
        x = -rng.uniform(0, brick)
        y = row * course
        while x < width:
            fill = _rgb(colour * np.float32(rng.uniform(0.82, 1.15)))
            pen.rectangle((x, y, max(x, x + brick - joint), y + course - joint), fill=fill)
            x += brick


def _city(rng: np.random.Generator, pen: ImageDraw.ImageDraw, height: int, width: int) -> None:
    """Draw houses with windows side by side, and a street."""
    unit = min(height, width) / 224
    street = height * rng.uniform(0.6, 0.85)
    x = -rng.uniform(0, 30) * unit
    while x < width:
        wide, top = rng.uniform(28, 70) * unit, street - rng.uniform(0.15, 0.6) * height
        wall = _any_colour(rng)
        pen.rectangle((x, top, x + wide, street), fill=_rgb(wall))
        step, pane = rng.uniform(12, 20) * unit, _rgb(wall * np.float32(rng.choice([0.6, 1.4])))
        for wy in np.arange(top + step / 2, street - step, step).tolist():
            for wx in np.arange(x + step / 3, x + wide - step / 2, step).tolist():
                pen.rectangle((wx, wy, wx + step / 2, wy + step / 2), fill=pane)
        x += wide
    pen.rectangle((0, street, width, height), fill=_rgb(_jitter(rng, (96, 96, 100))))


def _blobs(rng: np.random.Generator, pen: ImageDraw.ImageDraw, height: int, width: int) -> None:
    """Draw discs and blocks of any colour, as toys or lights out of focus."""
    for _ in range(int(rng.integers(8, 40))):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        rx, ry = rng.uniform(4, 34, 2) * min(height, width) / 224
        shape = pen.ellipse if rng.random() < 0.6 else pen.rectangle
        shape((x - rx, y - ry, x + rx, y + ry), fill=_rgb(_any_colour(rng)))


def _background(rng: np.random.Generator, height: int, width: int) -> _Float:
    """Return a background (height, width, 3), float32 on the scale of 0 to 255."""
    kind = rng.random()
    if kind < 0.26:
        return _meadow(rng, height, width)
    if kind < 0.38:
        return _water(rng, height, width)
    if kind < 0.56:
        return _marble(rng, height, width)
    if kind < 0.70:
        dark = _gradient(_jitter(rng, (36, 62, 30)), _jitter(rng, (22, 40, 22)), height, width)
        return _drawn(rng, dark, _leaves)
    if kind < 0.80:
        return _drawn(rng, _gradient(_any_colour(rng), _any_colour(rng), height, width), _bricks)
    if kind < 0.90:
        return _drawn(rng, _sky(rng, height, width), _city)
    return _drawn(rng, _marble(rng, height, width), _blobs)


def _finish(rng: np.random.Generator, canvas: _Float) -> NDArray[np.uint8]:
    """Return the picture as uint8, under light of one strength and with a little grain."""
    gain, lift = np.float32(rng.uniform(0.86, 1.1)), np.float32(rng.uniform(-10, 10))
    grain = rng.integers(-3, 4, canvas.shape[:2], dtype=np.int8).astype(np.float32)
    canvas *= gain
    canvas += grain[..., None] + lift
    return np.clip(canvas, 0, 255, out=canvas).astype(np.uint8)
