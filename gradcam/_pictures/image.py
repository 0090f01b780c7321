"""Pictures in and out: reading any of them, making network input, and finding the way back.

Sizes are always (height, width), and positions (top, left, bottom, right), in pixels. A picture
is an RGB array of uint8, (H, W, 3). Pillow is imported only when it is needed.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from gradcam import _core
from gradcam._pictures.presets import Preset

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 1 << 28
"""The largest picture that is read, 268 megapixels: 0.8 GB as RGB."""

_pillow_limit = threading.Lock()


class PictureError(ValueError):
    """A picture that cannot be read; the message says which and why."""


def is_picture_source(source: object) -> bool:
    """Whether `source` is one path or one Pillow image (arrays are told apart by their shape)."""
    return isinstance(source, (str, os.PathLike)) or _is_pillow(source)


def read_picture(source: Any) -> NDArray[np.uint8]:
    """Read one picture of any kind.

    Palettes, CMYK and other colour spaces become RGB, 16 bits a channel are scaled to 8,
    transparency is laid on white, and a picture that its EXIF data calls rotated is turned
    upright. Of an animation, the first frame is read.

    Pillow's ``convert("RGB")``, with which the weights' authors read pictures, gives the same
    pixels but for three kinds: it drops transparency and shows the colour beneath, leaves what
    EXIF calls rotated as it lies, and makes all of a 16-bit grey picture white that is above 255.

    Parameters
    ----------
    source : path, Pillow image or array
        Arrays are uint8, uint16 or bool: (H, W) or (H, W, 1) grey, (H, W, 2) grey and alpha,
        (H, W, 3) RGB, (H, W, 4) RGB and alpha.

    Returns
    -------
    (H, W, 3) array of uint8

    Raises
    ------
    PictureError
        Where the file is no picture, truncated, or larger than :data:`MAX_PIXELS`; where an
        array has another shape.
    TypeError
        For other types, and arrays of other dtypes.
    OSError
        Where the file cannot be opened (FileNotFoundError, PermissionError, ...).
    """
    if isinstance(source, (str, os.PathLike)):
        return _from_file(source)
    if _is_pillow(source):
        with _reading("the Pillow image"):
            return _from_pillow(source)
    if hasattr(source, "__array__"):
        return _from_array(np.asarray(source))
    raise TypeError(
        f"a picture is a path, a Pillow image or an array of uint8, got {type(source).__name__}"
    )


@dataclass(frozen=True)
class Geometry:
    """Where the network's input lies on the original picture.

    Attributes
    ----------
    picture : (height, width)
        Size of the original picture.
    input : (height, width)
        Size of the network's input.
    region : (top, left, bottom, right)
        The part of the picture that the input shows, in pixels of the picture.
    """

    picture: tuple[int, int]
    input: tuple[int, int]
    region: tuple[float, float, float, float]

    @classmethod
    def straight(cls, picture: tuple[int, int], input: tuple[int, int]) -> Geometry:
        """The input shows the whole picture."""
        return cls(picture, input, (0.0, 0.0, float(picture[0]), float(picture[1])))

    @classmethod
    def scaled(
        cls, picture: tuple[int, int], scaled: tuple[int, int], crop: tuple[int, int, int, int]
    ) -> Geometry:
        """The input is the part `crop` (top, left, bottom, right) of the resized picture.

        Pillow's filters and its nearest pixel alike put the centre of pixel i of a resized side
        at (i + 1/2) * length / resized length of the picture.
        """
        top, left, bottom, right = crop
        (height, width), (rows, columns) = picture, scaled
        # Each product is whole, so edges that meet the picture's do so exactly.
        region = (
            top * height / rows,
            left * width / columns,
            bottom * height / rows,
            right * width / columns,
        )
        return cls(picture, (bottom - top, right - left), region)

    @property
    def cropped(self) -> bool:
        """Whether there are parts of the picture that the network did not see."""
        return self.region != (0.0, 0.0, *map(float, self.picture))

    def to_picture(
        self, maps: NDArray[np.float32], resize: _core.Method = "half_pixel"
    ) -> NDArray[np.float32]:
        """Lay maps of the input, (..., h, w) of any resolution, on the picture: (..., H, W).

        What a crop cut away is 0. Where the picture has fewer pixels than the map, the bilinear
        ways first average the values that fall on one pixel.
        """
        top, left, bottom, right = self.region
        top, bottom = _at_least_a_pixel(top, bottom)
        left, right = _at_least_a_pixel(left, right)
        if resize != "nearest":
            maps = _shrink(maps, -2, max(1, round(bottom - top)))
            maps = _shrink(maps, -1, max(1, round(right - left)))
        region = (top, left, bottom, right) if self.cropped else None
        return _core.resize(maps, self.picture, resize, region)

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(H, W): the pixels of the picture whose centres the network saw."""
        seen = self.to_picture(np.ones((1, 1), np.float32), "nearest") > 0
        return np.asarray(seen)


def prepare(
    picture: NDArray[np.uint8], preset: Preset, size: tuple[int, int] | None
) -> tuple[NDArray[np.float32], Geometry]:
    """Make network input of a picture.

    The numbers are, bit for bit, those of the code that :data:`gradcam.PRESETS` names.

    Parameters
    ----------
    picture : (H, W, 3) array of uint8
    preset : Preset
        How the picture is resized, how values are scaled, and whether the picture is cropped: with
        ``shorter_side`` s and ``size`` n it is made to cover s / n times the input, and its
        centre is taken.
    size : (height, width), optional
        Size of the input. None: the picture is neither resized nor cropped.

    Returns
    -------
    (3, h, w) array of float32
        In the preset's order of channels.
    Geometry
    """
    height, width = picture.shape[:2]
    if size is None or (size == (height, width) and preset.shorter_side is None):
        return normalise(picture, preset), Geometry.straight((height, width), (height, width))
    from PIL import Image

    if preset.shorter_side is None:
        scaled = size
    else:
        scaled = _covering((height, width), size, preset.shorter_side / preset.size)
        if scaled[0] * scaled[1] > MAX_PIXELS:
            raise PictureError(
                f"a picture of {height} x {width} is too long and narrow to be cropped: resized "
                f"to cover the input it would have {scaled[0]} x {scaled[1]} pixels"
            )
    resampling = Image.Resampling[preset.interpolation.upper()]
    image = Image.fromarray(picture).resize(scaled[::-1], resampling)
    # Halves are rounded to the even one, as torchvision rounds them.
    top, left = (round((scaled[axis] - size[axis]) / 2) for axis in (0, 1))
    bottom, right = top + size[0], left + size[1]
    crop = np.asarray(image)[top:bottom, left:right]
    return normalise(crop, preset), Geometry.scaled(
        (height, width), scaled, (top, left, bottom, right)
    )


def normalise(picture: NDArray[np.uint8], preset: Preset) -> NDArray[np.float32]:
    """(h, w, 3) RGB of uint8 to the (3, h, w) float32 of the preset."""
    values = np.empty((3, *picture.shape[:2]), np.float32)
    for channel, plane in enumerate(values):
        source = channel if preset.channel_order == "RGB" else 2 - channel
        np.divide(picture[:, :, source], np.float32(preset.scale), out=plane)
        plane -= np.float32(preset.mean[channel])
        plane /= np.float32(preset.std[channel])
    return values


def render(values: NDArray[np.float32], preset: Preset | None) -> NDArray[np.uint8]:
    """A picture of one (C, h, w) network input: :func:`normalise` undone, clipped to 0-255.

    Without a preset the values are stretched from their least to their greatest, and channels
    that are not three are averaged to grey.
    """
    if preset is not None and len(values) == 3:
        mean, std = (np.array(c, np.float32)[:, None, None] for c in (preset.mean, preset.std))
        pixels = (values * std + mean) * np.float32(preset.scale)
        pixels = pixels if preset.channel_order == "RGB" else pixels[::-1]
    else:
        pixels = values if len(values) == 3 else values.mean(0, keepdims=True).repeat(3, 0)
        low, high = pixels.min(), pixels.max()
        pixels = (pixels - low) * (255 / (high - low) if high > low else 0)
    return np.ascontiguousarray(pixels.transpose(1, 2, 0).round().clip(0, 255).astype(np.uint8))


def _covering(picture: tuple[int, int], size: tuple[int, int], margin: float) -> tuple[int, int]:
    """The size of a picture, its aspect kept, that covers `margin` times `size`.

    For a square `size` this is torchvision's ``Resize(shorter_side)``: the longer side is
    rounded down.
    """
    height, width = picture
    least = (round(size[0] * margin), round(size[1] * margin))
    if least[0] * width >= least[1] * height:
        return least[0], max(least[1], least[0] * width // height)
    return max(least[0], least[1] * height // width), least[1]


def _at_least_a_pixel(begin: float, end: float) -> tuple[float, float]:
    """A share of an axis, widened to a pixel: narrower ones may lie between two centres."""
    missing = max(0.0, 1 - (end - begin)) / 2
    return begin - missing, end + missing


def _shrink(maps: NDArray[np.float32], axis: int, size: int) -> NDArray[np.float32]:
    """Means of equal shares of one axis, `size` of them; as it is where it is no longer."""
    length = maps.shape[axis]
    if length <= size:
        return maps
    # The integral of the values up to each edge, between whole positions by interpolation.
    sums = np.cumsum(np.moveaxis(maps, axis, -1), axis=-1, dtype=np.float64)
    sums = np.concatenate([np.zeros_like(sums[..., :1]), sums], axis=-1)
    edges = np.linspace(0, length, size + 1)
    low = np.minimum(edges.astype(int), length - 1)
    at_edges = sums[..., low] + (edges - low) * (sums[..., low + 1] - sums[..., low])
    means = np.diff(at_edges, axis=-1) * (size / length)
    return np.ascontiguousarray(np.moveaxis(means, -1, axis), np.float32)


def _is_pillow(source: object) -> TypeGuard[Image.Image]:
    # Whoever holds a Pillow image has imported Pillow.
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(source, module.Image)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Turn whatever Pillow's decoders raise into a PictureError that names the picture."""
    try:
        yield
    except PictureError as error:
        raise PictureError(f"{name}: {error}") from None
    except (MemoryError, ImportError):
        raise
    except Exception as error:  # the decoders of damaged files raise errors of every type
        unknown = type(error).__name__ == "UnidentifiedImageError"
        reason = "of no format that Pillow knows" if unknown else error
        raise PictureError(f"{name}: cannot be read as a picture ({reason})") from error


def _from_file(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    from PIL import Image

    with open(path, "rb") as file, _reading(os.fspath(path)):
        # Pillow refuses large pictures by a global limit; its own check is put aside while the
        # header is read, and ours takes its place.
        with _pillow_limit:
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                image = Image.open(file)
            finally:
                Image.MAX_IMAGE_PIXELS = limit
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise PictureError(
                f"{height} x {width} pixels are too many; "
                f"up to {MAX_PIXELS / 1e6:.0f} megapixels are read"
            )
        return _from_pillow(image)


def _from_pillow(image: Image.Image) -> NDArray[np.uint8]:
    from PIL import ExifTags, Image, ImageOps

    image.load()
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        deep = np.asarray(image)
        if deep.min() < 0 or deep.max() > 65535:
            raise PictureError("an integer picture with values outside 0 to 65535")
        image = Image.fromarray(_to_8_bits(deep))
    elif image.mode == "F":
        raise PictureError("a picture of floats, whose range is unknown; convert it to uint8")
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _from_array(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype.kind == "f":
        raise TypeError(
            f"a float array of shape {array.shape} for a picture: pictures are uint8, (H, W, 3), "
            f"values 0 to 255; preprocessed input is one float array, (N, C, H, W)"
        )
    if array.dtype not in (np.uint8, np.uint16, np.bool_):
        raise TypeError(f"pictures are arrays of uint8, uint16 or bool, got {array.dtype}")
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 2, 3, 4) or array.size == 0:
        raise PictureError(
            f"an array of shape {array.shape} is no picture: expected (H, W), or (H, W, 1 to 4) "
            f"with the channels last"
        )
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    elif array.dtype == np.uint16:
        array = _to_8_bits(array)
    if channels == 3:
        return np.array(array, np.uint8, order="C")
    from PIL import Image

    return _from_pillow(Image.fromarray(array.reshape(array.shape[:2]) if channels == 1 else array))


def _to_8_bits(deep: NDArray[Any]) -> NDArray[np.uint8]:
    """0-65535 to 0-255, rounded to the nearest.

    Raises
    ------
    PictureError
        Where no value is above 255: that is 8 bits kept in 16, and would become black.
    """
    if 1 < deep.max() <= 255:
        raise PictureError(
            f"a picture of {deep.dtype} whose values end at {deep.max()}: it seems to hold 8 "
            f"bits; convert it to uint8"
        )
    return ((deep.astype(np.uint32) + 128) // 257).astype(np.uint8)
