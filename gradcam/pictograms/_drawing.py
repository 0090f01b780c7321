"""Drawing of scenes: pictograms, their places, brightness and grain; and the same scene again.

A :class:`Recipe` says how a scene was drawn. It holds the states of the random numbers before the
background and before the finish, and where each pictogram is, so that the scene can be drawn
without one of them, or with one elsewhere, and everything else stays exactly the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gradcam.pictograms._backgrounds import Float, background
from gradcam.pictograms._textures import fill

_FOLDER = Path(__file__).parent
INDEX: dict[str, Any] = json.loads((_FOLDER / "sprites.json").read_text(encoding="utf-8"))
"""The classes, with the cells of the sprite sheet that show each, and the distractors' cells."""

OPAQUE = 128
"""The smallest opacity, of 255, of the pixels that belong to an object."""

NO_CLASS = -1
"""In place of the index of a class: of a distractor."""

_State = Mapping[str, Any]


def state_of(rng: np.random.Generator) -> _State:
    """Return the state of a generator of PCG64's random numbers."""
    return rng.bit_generator.state


def _generator(state: _State) -> np.random.Generator:
    """Return a generator that continues from a state."""
    rng = np.random.default_rng(0)
    rng.bit_generator.state = state
    return rng


@dataclass(frozen=True, eq=False)
class Placed:
    """A pictogram at its place.

    Attributes
    ----------
    index : int
        The index of its class, or `NO_CLASS`.
    patch : (h, w, 4) array of uint8
        Its pixels with their opacity.
    x, y : int
        The upper left corner of the patch.
    length : float
        The longer side that was asked for, in pixels.
    state : mapping
        The state of the random numbers before the patch was drawn.
    plain : (h, w, 4) array of uint8, optional
        The pixels before they were given the texture of another class.
    """

    index: int
    patch: NDArray[np.uint8]
    x: int
    y: int
    length: float
    state: _State
    plain: NDArray[np.uint8] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the patch."""
        height, width = self.patch.shape[:2]
        return height, width

    def at(self, x: int, y: int, size: tuple[int, int]) -> Placed:
        """Return it at (x, y), or at the nearest place inside a picture of (height, width)."""
        height, width = self.size
        x, y = min(x, size[1] - width), min(y, size[0] - height)
        return replace(self, x=max(0, x), y=max(0, y))

    def centred_like(self, other: Placed, size: tuple[int, int]) -> Placed:
        """Return it with the centre of another one, or as near as the picture allows."""
        height, width = self.size
        # Rounded towards zero, so that two exchanges leave everything as it was, unless one of them
        # would have left the picture.
        x = other.x + int((other.size[1] - width) / 2)
        y = other.y + int((other.size[0] - height) / 2)
        return self.at(x, y, size)

    def of_class(self, index: int, size: tuple[int, int]) -> Placed:
        """Return the first pictogram of another class, turned, coloured and scaled like this."""
        cell = INDEX["classes"][index]["cells"][0]
        patch = draw_patch(_generator(self.state), cell, self.length, size)
        return replace(self, index=index, patch=patch, plain=None).centred_like(self, size)

    def with_texture(
        self, index: int, size: tuple[int, int], *, shading: bool, pattern: bool
    ) -> Placed:
        """Return it in its own shape, with the texture that `of_class` would have."""
        rng, cell = _generator(self.state), INDEX["classes"][index]["cells"][0]
        texture = draw_patch(rng, cell, self.length, size)
        plain = self.patch if self.plain is None else self.plain
        patch = fill(plain, texture, rng, shading=shading, pattern=pattern)
        return replace(self, patch=patch, plain=plain)


class Drawn(NamedTuple):
    """A picture, and the number of the object that each of its pixels shows, or 0."""

    picture: NDArray[np.uint8]
    owner: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Recipe:
    """How a scene was drawn.

    Attributes
    ----------
    size : (height, width)
    scale : float
        Of the distractors.
    start, finish : mapping
        The states of the random numbers before the background, and before brightness and grain.
    placed : tuple of Placed
        The objects, from the back to the front.
    covers : tuple of Placed
        Distractors in front of all objects.
    """

    size: tuple[int, int]
    scale: float
    start: _State
    finish: _State
    placed: tuple[Placed, ...]
    covers: tuple[Placed, ...] = ()

    @cached_property
    def ground(self) -> Float:
        """The background with the distractors, (H, W, 3); it is drawn when it is first needed."""
        return draw_ground(_generator(self.start), self.size, self.scale)

    def with_objects(self, placed: Sequence[Placed]) -> Recipe:
        """Return this recipe with other objects on the same ground."""
        return self._on_same_ground(replace(self, placed=tuple(placed)))

    def with_cover(self, cover: Placed) -> Recipe:
        """Return this recipe with one more distractor in front."""
        return self._on_same_ground(replace(self, covers=(*self.covers, cover)))

    def _on_same_ground(self, other: Recipe) -> Recipe:
        """Give another recipe this one's ground, so that it is not drawn again."""
        other.__dict__["ground"] = self.ground
        return other

    def draw(self, canvas: Float | None = None) -> Drawn:
        """Draw the picture; on `canvas`, if given, which has the ground and is changed."""
        canvas = self.ground.copy() if canvas is None else canvas
        owner = np.zeros(self.size, np.uint8)
        numbers = [*range(1, len(self.placed) + 1), *[0] * len(self.covers)]
        for number, each in zip(numbers, self.placed + self.covers, strict=True):
            height, width = each.size
            region = owner[each.y : each.y + height, each.x : each.x + width]
            region[each.patch[..., 3] >= OPAQUE] = number
            paste(canvas, each.patch, each.x, each.y)
        return Drawn(finish(_generator(self.finish), canvas), owner)


def draw_ground(rng: np.random.Generator, size: tuple[int, int], scale: float) -> Float:
    """Draw a background of (height, width) with up to three distractors."""
    canvas = background(rng, *size)
    for _ in range(int(rng.integers(0, 4))):
        cell = int(rng.choice(INDEX["distractors"]))
        patch = draw_patch(rng, cell, rng.uniform(26, 84) * scale, size)
        x, y = random_position(rng, patch, size)
        paste(canvas, patch, x, y)
    return canvas


@lru_cache(maxsize=1)
def sprites() -> list[Image.Image]:
    """Return all glyphs of the sprite sheet as RGBA, cropped to their visible pixels."""
    with Image.open(_FOLDER / "sprites.png") as file:
        sheet = file.convert("RGBA")
    width, height = INDEX["cell"]
    last = max(INDEX["distractors"])
    glyphs = []
    for cell in range(last + 1):
        row, column = divmod(cell, INDEX["columns"])
        glyph = sheet.crop((column * width, row * height, (column + 1) * width, (row + 1) * height))
        glyphs.append(glyph.crop(glyph.getchannel("A").getbbox()))
    return glyphs


def draw_patch(
    rng: np.random.Generator, cell: int, length: float, max_size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return a randomly transformed glyph whose longer side is about `length`: (h, w, 4) uint8.

    It is smaller if it would not fit into `max_size`, (height, width).
    """
    sprite = sprites()[cell]
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


def random_position(
    rng: np.random.Generator, patch: NDArray[np.uint8], size: tuple[int, int]
) -> tuple[int, int]:
    """Return a position (x, y) at which the patch is entirely inside the picture."""
    x = rng.integers(0, size[1] - patch.shape[1] + 1)
    y = rng.integers(0, size[0] - patch.shape[0] + 1)
    return int(x), int(y)


def paste(canvas: Float, patch: NDArray[np.uint8], x: int, y: int) -> None:
    """Draw a patch over the canvas, in place."""
    region = canvas[y : y + patch.shape[0], x : x + patch.shape[1]]
    alpha = patch[..., 3:] * np.float32(1 / 255)
    region += alpha * (patch[..., :3] - region)


def finish(rng: np.random.Generator, canvas: Float) -> NDArray[np.uint8]:
    """Return the picture as uint8, with random brightness and a little grain.

    The canvas is changed.
    """
    gain, lift = np.float32(rng.uniform(0.86, 1.1)), np.float32(rng.uniform(-10, 10))
    grain = rng.integers(-3, 4, canvas.shape[:2], dtype=np.int8).astype(np.float32)
    canvas *= gain
    canvas += grain[..., None] + lift
    return np.clip(canvas, 0, 255, out=canvas).astype(np.uint8)
