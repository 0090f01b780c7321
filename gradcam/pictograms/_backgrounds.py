"""Random backgrounds of the scenes: sky, water, hills, leaves, walls, houses, noise.

Each function draws from the generator `rng` that it is given, and returns an array of
(height, width, 3), float32, on the scale of 0 to 255.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Float = NDArray[np.float32]
Colour = tuple[float, float, float]

_TILE = 256
_TILES = 12


@lru_cache(maxsize=1)
def _noise_tiles() -> list[Float]:
    """Return periodic tiles of multi-octave noise, roughly in [-1, 1].

    Noise is the most expensive part of a picture. The tiles are therefore computed once, from a
    fixed seed, and each picture uses a random window of one of them, flipped at random.
    """
    rng = np.random.default_rng(1)
    tiles = []
    for _ in range(_TILES):
        roughness = rng.uniform(0.45, 0.75)
        tile = np.zeros((_TILE, _TILE), np.float32)
        weight = 1.0
        for cells in (4, 8, 16, 32, 64, 128):
            grid = rng.integers(0, 256, (cells, cells), dtype=np.uint8)
            # Wrapped at every side, so that the tile is periodic.
            grid = np.pad(grid, 2, mode="wrap")
            pixels = _TILE // cells
            smooth = Image.fromarray(grid).resize(
                ((cells + 4) * pixels,) * 2, Image.Resampling.BICUBIC
            )
            edge = 2 * pixels
            octave = np.asarray(smooth)[edge : edge + _TILE, edge : edge + _TILE]
            tile += np.float32(weight) * (octave.astype(np.float32) - np.float32(127.5))
            weight *= roughness
        # Rounded, so that the result does not depend on the platform's order of summation.
        tiles.append(tile / np.float32(round(2 * float(tile.std()))))
    return tiles


def _noise(
    rng: np.random.Generator, height: int, width: int, stretch: tuple[int, int] = (1, 1)
) -> Float:
    """Return a (height, width) window of noise, stretched by `stretch` along y and x."""
    tile = _noise_tiles()[int(rng.integers(_TILES))]
    y0, x0 = rng.integers(0, _TILE, 2)
    rows = (np.arange(height) // stretch[0] + y0) % _TILE
    columns = (np.arange(width) // stretch[1] + x0) % _TILE
    if rng.random() < 0.5:
        rows = rows[::-1]
    if rng.random() < 0.5:
        tile = tile.T
    window: Float = tile[rows[:, None], columns]
    return window


def _jitter(rng: np.random.Generator, colour: Colour, by: float = 22) -> Float:
    """Return `colour` with random changes of its brightness and of each channel."""
    return (np.asarray(colour) + rng.normal(0, by) + rng.normal(0, by / 2, 3)).astype(np.float32)


def _any_colour(rng: np.random.Generator) -> Float:
    """Return a random colour of low saturation."""
    grey = rng.uniform(30, 225)
    return (grey + rng.normal(0, 34, 3)).clip(0, 255).astype(np.float32)


def _gradient(top: Float, bottom: Float, height: int, width: int) -> Float:
    """Return a vertical gradient (height, width, 3)."""
    t = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    column: Float = top + t * (bottom - top)
    return column.repeat(width, axis=1)


def _sky(rng: np.random.Generator, height: int, width: int) -> Float:
    """Draw a sky, in most cases with clouds."""
    tops = ((70, 130, 205), (95, 150, 215), (40, 52, 96), (196, 120, 96), (150, 160, 172))
    top = _jitter(rng, tops[int(rng.integers(len(tops)))])
    sky = _gradient(top, top + _jitter(rng, (70, 56, 34)), height, width)
    if rng.random() < 0.7:
        cloud = _noise(rng, height, width, (1, int(rng.integers(1, 3))))
        cloud = ((cloud - np.float32(rng.uniform(-0.2, 0.4))) * np.float32(1.6)).clip(0, 0.85)
        sky += cloud[..., None] * (np.float32(236) - sky)
    return sky


def _below_ridge(
    rng: np.random.Generator, height: int, width: int, at: float, rough: float
) -> NDArray[np.bool_]:
    """Return the (height, width) mask of the pixels below a random ridge line."""
    line = _noise(rng, 1, width, (1, int(rng.integers(1, 4))))[0] * np.float32(rough * height)
    rows = np.arange(height, dtype=np.float32)[:, None]
    below: NDArray[np.bool_] = rows > np.float32(at * height) + line
    return below


def _meadow(rng: np.random.Generator, height: int, width: int) -> Float:
    """Draw grass, sand, snow or earth below a sky, with 0 to 2 ranges of hills."""
    picture = _sky(rng, height, width)
    horizon = rng.uniform(0.25, 0.65)
    for layer in range(int(rng.integers(0, 3))):
        hill = _below_ridge(rng, height, width, horizon - 0.1 + 0.07 * layer, 0.09)
        picture[hill] = _jitter(rng, ((96, 112, 128), (84, 112, 84))[layer])
    grounds = ((78, 138, 52), (112, 146, 62), (206, 178, 122), (220, 226, 234), (122, 92, 62))
    near = _jitter(rng, grounds[int(rng.integers(len(grounds)))])
    ground = _gradient(near * np.float32(1.18), near * np.float32(0.72), height, width)
    ground *= 1 + np.float32(0.28) * _noise(rng, height, width)[..., None]
    below = _below_ridge(rng, height, width, horizon, rng.uniform(0, 0.05))
    np.copyto(picture, ground, where=below[..., None])
    return picture


def _water(rng: np.random.Generator, height: int, width: int) -> Float:
    """Draw a sea with horizontal waves below a sky."""
    picture = _sky(rng, height, width)
    horizon = int(height * rng.uniform(0.15, 0.55))
    deep = _jitter(rng, ((34, 92, 140), (46, 128, 150), (58, 88, 96))[int(rng.integers(3))])
    sea = _gradient(deep * np.float32(1.35), deep * np.float32(0.8), height - horizon, width)
    waves = _noise(rng, height - horizon, width, (1, int(rng.integers(3, 7))))
    picture[horizon:] = sea + np.float32(rng.uniform(14, 34)) * waves[..., None]
    return picture


def _marble(rng: np.random.Generator, height: int, width: int) -> Float:
    """Mix two or three colours by noise, which looks like cloth, stone or fog."""
    picture = np.empty((height, width, 3), np.float32)
    picture[:] = _any_colour(rng)
    for _ in range(int(rng.integers(1, 3))):
        mix = _noise(rng, height, width, tuple(rng.integers(1, 4, 2)))
        mix = (mix * np.float32(rng.uniform(0.3, 1.2)) + np.float32(0.5)).clip(0, 1)
        picture += mix[..., None] * (_any_colour(rng) - picture)
    return picture


def _with_shapes(
    rng: np.random.Generator,
    base: Float,
    draw: Callable[[np.random.Generator, ImageDraw.ImageDraw, int, int], None],
) -> Float:
    """Return `base` with the shapes of `draw` over it, multiplied by noise."""
    height, width = base.shape[:2]
    picture = Image.fromarray(base.clip(0, 255).astype(np.uint8))
    draw(rng, ImageDraw.Draw(picture), height, width)
    shade = 1 + np.float32(rng.uniform(0.06, 0.2)) * _noise(rng, height, width)
    shaded: Float = np.asarray(picture).astype(np.float32) * shade[..., None]
    return shaded


def _rgb(colour: Float) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in colour.clip(0, 255))
    return red, green, blue


def _leaves(rng: np.random.Generator, pen: ImageDraw.ImageDraw, height: int, width: int) -> None:
    """Draw leaves in shades of one colour, the dark ones first."""
    colours = ((62, 118, 44), (92, 132, 58), (158, 104, 40), (44, 96, 74), (120, 130, 60))
    colour = colours[int(rng.integers(len(colours)))]
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
            leaf.ravel().tolist(), fill=tuple(max(0, min(255, int(c * shade))) for c in colour)
        )


def _bricks(rng: np.random.Generator, pen: ImageDraw.ImageDraw, height: int, width: int) -> None:
    """Draw bricks or planks; the joints show the previous picture."""
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
    """Draw a row of houses with windows, and a street."""
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
    """Draw ellipses and rectangles of random colours."""
    for _ in range(int(rng.integers(8, 40))):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        rx, ry = rng.uniform(4, 34, 2) * min(height, width) / 224
        shape = pen.ellipse if rng.random() < 0.6 else pen.rectangle
        shape((x - rx, y - ry, x + rx, y + ry), fill=_rgb(_any_colour(rng)))


def background(rng: np.random.Generator, height: int, width: int) -> Float:
    """Draw a background of a random kind."""
    kind = rng.random()
    if kind < 0.26:
        return _meadow(rng, height, width)
    if kind < 0.38:
        return _water(rng, height, width)
    if kind < 0.56:
        return _marble(rng, height, width)
    if kind < 0.70:
        dark = _gradient(_jitter(rng, (36, 62, 30)), _jitter(rng, (22, 40, 22)), height, width)
        return _with_shapes(rng, dark, _leaves)
    if kind < 0.80:
        base = _gradient(_any_colour(rng), _any_colour(rng), height, width)
        return _with_shapes(rng, base, _bricks)
    if kind < 0.90:
        return _with_shapes(rng, _sky(rng, height, width), _city)
    return _with_shapes(rng, _marble(rng, height, width), _blobs)
