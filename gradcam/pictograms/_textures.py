"""Objects with the texture of another class: a conflict of shape and texture.

Geirhos et al. (2019, "ImageNet-trained CNNs are biased towards texture") asked networks about cats
with the skin of elephants. The texture comes from the inside of the other class's pictogram, and is
laid into the shape of an object by image quilting (Efros and Freeman 2001): blocks of the texture
overlap, and are cut along the line where they differ least.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_Ints = NDArray[np.int64]

_BLOCK_SHARE = 0.7
"""The side of a block, as a share of the smaller side of the texture's sample."""

_SMALLEST_BLOCK = 6

_MOST_BLOCKS = 16
"""Positions of blocks in the sample, along each side."""

_MOST_PIXELS = 176
"""The longer side up to which a texture is made pixel by pixel; a larger one is made smaller and
then enlarged, so that neither time nor memory grows with its resolution."""

_DARKEST, _BRIGHTEST = 0.35, 1.6
"""How much shading may change the texture's brightness."""

_MUCH = 1 << 40
"""More than any sum of differences."""


def fill(
    patch: NDArray[np.uint8],
    texture: NDArray[np.uint8],
    rng: np.random.Generator,
    *,
    shading: bool,
    pattern: bool = True,
) -> NDArray[np.uint8]:
    """Return a pictogram in its own shape, filled with the texture of another one.

    Parameters
    ----------
    patch : (h, w, 4) array of uint8
        The object, whose opacity stays.
    texture : (k, l, 4) array of uint8
        A pictogram of the other class.
    rng : Generator
        Chooses among blocks that fit about equally well.
    shading : bool
        Whether the texture is darker and brighter where the object is, so that its inner lines
        remain; otherwise only its outline does.
    pattern : bool
        False: the mean colour of the texture alone.
    """
    size = patch.shape[0], patch.shape[1]
    if pattern:
        filled = _filling(texture, size, rng).astype(np.float32)
    else:
        colours = sample(texture).reshape(-1, 3)
        filled = np.tile((colours.sum(0) // len(colours)).astype(np.float32), (*size, 1))
    opaque = patch[..., 3] == 255
    if shading and opaque.any():
        luma = patch[..., :3] @ np.array([299, 587, 114])
        usual = max(float(np.median(luma[opaque])), 1.0)
        factor = luma.astype(np.float32) / np.float32(usual)
        filled *= np.clip(factor, _DARKEST, _BRIGHTEST)[..., None]
    result: NDArray[np.uint8] = patch.copy()
    result[..., :3] = np.clip(np.rint(filled), 0, 255)
    return result


def _filling(
    texture: NDArray[np.uint8], size: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return a rectangle of the texture, (height, width, 3)."""
    zoom = max(1.0, max(size) / _MOST_PIXELS)
    small = tuple(max(1, round(side / zoom)) for side in size)
    if zoom > 1:
        shape = tuple(max(1, round(side / zoom)) for side in texture.shape[:2])
        texture = np.asarray(Image.fromarray(texture).resize(shape[::-1], Image.Resampling.BOX))
    found = quilt(sample(texture), (small[0], small[1]), rng).astype(np.uint8)
    if zoom > 1:
        found = np.asarray(Image.fromarray(found).resize(size[::-1], Image.Resampling.BILINEAR))
    return found


def sample(patch: NDArray[np.uint8]) -> _Ints:
    """Return the largest opaque rectangle of a pictogram, (h, w, 3)."""
    top, left, bottom, right = _largest_rectangle(patch[..., 3] == 255)
    return patch[top:bottom, left:right, :3].astype(np.int64)


def quilt(source: _Ints, size: tuple[int, int], rng: np.random.Generator) -> _Ints:
    """Return more of a texture (Efros and Freeman 2001).

    Parameters
    ----------
    source : (k, l, 3) array of int64
    size : (height, width)
    rng : Generator

    Returns
    -------
    (height, width, 3) array of int64
        Blocks of the source, row by row. Each is one of those that differ least from what is there
        where they overlap.
    """
    height, width = size
    shortest = min(source.shape[:2])
    side = min(shortest, max(_SMALLEST_BLOCK, round(_BLOCK_SHARE * shortest)))
    overlap = side // 3
    step = side - overlap
    rows, columns = (-(-n // step) for n in size)
    whole = np.zeros((rows * step + overlap, columns * step + overlap, 3), np.int64)
    blocks = np.lib.stride_tricks.sliding_window_view(source, (side, side), axis=(0, 1))
    every = [slice(None, None, -(-count // _MOST_BLOCKS)) for count in blocks.shape[:2]]
    blocks = np.moveaxis(blocks[every[0], every[1]].reshape(-1, 3, side, side), 1, -1)
    for row in range(rows):
        for column in range(columns):
            place = whole[row * step :, column * step :][:side, :side]
            _lay(place, blocks, overlap * (row > 0), overlap * (column > 0), rng)
    return whole[:height, :width]


def _lay(place: _Ints, blocks: _Ints, above: int, beside: int, rng: np.random.Generator) -> None:
    """Lay one of the blocks onto a place, of which rows above and columns beside are filled."""
    filled = np.zeros(place.shape[:2], bool)
    filled[:above] = filled[:, :beside] = True
    errors = np.square(blocks[:, filled] - place[filled]).sum((1, 2))
    block = blocks[rng.choice(np.flatnonzero(10 * errors <= 11 * errors.min()))]
    difference = np.square(block - place).sum(2)
    new = np.ones(place.shape[:2], bool)
    if beside:
        new[:, :beside] &= np.arange(beside) >= _cut(difference[:, :beside])[:, None]
    if above:
        new[:above] &= np.arange(above)[:, None] >= _cut(difference[:above].T)
    place[new] = block[new]


def _cut(difference: _Ints) -> _Ints:
    """Return the column, in each row, of the path of least difference from the top to the end."""
    cost = difference.copy()
    for row in range(1, len(cost)):
        before = np.pad(cost[row - 1], 1, constant_values=_MUCH)
        cost[row] += np.minimum(np.minimum(before[:-2], before[1:-1]), before[2:])
    path = np.empty(len(cost), np.int64)
    path[-1] = cost[-1].argmin()
    for row in range(len(cost) - 2, -1, -1):
        low = max(0, int(path[row + 1]) - 1)
        path[row] = low + cost[row, low : path[row + 1] + 2].argmin()
    return path


def _largest_rectangle(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return (top, left, bottom, right) of the largest rectangle of true values.

    The smaller side counts twice: a long narrow strip holds little of a texture.
    """
    best, found = 0, (0, 0, 1, 1)
    depth = np.zeros(mask.shape[1], np.int64)
    for row, line in enumerate(mask):
        depth = np.where(line, depth + 1, 0)
        for left in range(len(depth)):
            height = np.minimum.accumulate(depth[left:])
            width = np.arange(1, len(height) + 1)
            value = height * width * np.minimum(height, width)
            n = int(value.argmax())
            if value[n] > best:
                best = int(value[n])
                found = (row + 1 - int(height[n]), left, row + 1, left + n + 1)
    return found
