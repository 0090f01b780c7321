"""Read pictures, convert them to network input, and resize maps back to the picture.

Sizes are (height, width) and regions (top, left, bottom, right), in pixels. A picture is an RGB
array of uint8, (H, W, 3). Pillow is imported only when it is needed.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from typing import IO, Any, Literal, TypeGuard, cast, get_args

import numpy as np
from numpy.typing import NDArray

from gradcam import _core
from gradcam._pictures.decoding import (
    MAX_PIXELS,
    PictureError,
    bands,
    depth_scaler,
    from_path,
    from_stream,
    is_pillow,
    reading,
    to_rgb,
)
from gradcam._pictures.presets import Preset
from gradcam._text import brief, printable

Values = Literal["0..1", "0..255", "normalised"]
"""What the values of an array are: a picture's, 0 to 1 or 0 to 255, or a network's input."""


def is_picture_source(source: object) -> bool:
    """Return whether `source` is a path, a Pillow image or a file; for arrays the shape decides."""
    return isinstance(source, (str, os.PathLike)) or is_pillow(source) or _is_file(source)


def read_picture(source: object) -> NDArray[np.uint8]:
    """Read one picture from a file, a Pillow image or an array.

    Palettes, CMYK and other colour spaces are converted to RGB, 16 bits per channel are scaled
    to 8, transparent pixels are composited on white, and the EXIF orientation is applied. Only
    the first frame of an animation is read. Files are recognised by their content; the formats are
    listed in :data:`gradcam._pictures.decoding.FORMATS`.

    The authors of the weights read pictures with Pillow's ``convert("RGB")``. It returns the same
    pixels, except that it drops the alpha channel, ignores the EXIF orientation, and clips the
    values of 16-bit grey pictures to 255.

    Parameters
    ----------
    source : path, bytes, open binary file, Pillow image or array
        Bytes are the content of a file. Arrays are uint8, uint16 or bool: (H, W) or (H, W, 1) grey,
        (H, W, 2) grey and alpha, (H, W, 3) RGB, (H, W, 4) RGB and alpha. Pictures of OpenCV are
        BGR: pass ``array[..., ::-1]``.

    Returns
    -------
    (H, W, 3) array of uint8

    Warns
    -----
    InputWarning
        If the values of a 16-bit picture seem to have fewer bits.

    Raises
    ------
    PictureError
        If the file is not a picture, is truncated or has more pixels than :data:`MAX_PIXELS`, or
        if the shape of an array is not one of those above.
    TypeError
        If `source` has another type, or the array another dtype.
    MemoryError
        If the picture needs more memory than is available.
    OSError
        If the file cannot be opened (FileNotFoundError, PermissionError, ...).
    """
    if isinstance(source, (str, os.PathLike)):
        return from_path(source)
    if is_pillow(source):
        with reading("the Pillow image"):
            return to_rgb(source)
    if _is_file(source):
        return _from_file(source)
    if hasattr(source, "__array__"):
        return _from_array(np.asarray(source))
    raise TypeError(
        f"picture: expected a path, a Pillow image, the bytes of a file, an open file or an array "
        f"of uint8, got {type(source).__name__}"
    )


def check_values(values: str | None) -> None:
    """Raise ValueError unless `values` is one of :data:`Values`, or None."""
    if values is not None and values not in get_args(Values):
        raise ValueError(
            f"input: expected {', '.join(map(repr, get_args(Values)))} or None, got {brief(values)}"
        )


def picture_from_values(array: NDArray[Any], values: Values) -> NDArray[np.uint8]:
    """Return the picture of an array of numbers of any type whose values are named.

    Values of 0 to 1, as torchvision's ``ToTensor`` returns, are multiplied by 255. Both kinds are
    rounded to integers, as they are in a file.

    Parameters
    ----------
    array : (H, W), (H, W, C) or (C, H, W) array
        One to four channels: grey, grey and alpha, RGB, RGB and alpha.
    values : "0..1" or "0..255"

    Returns
    -------
    (H, W, 3) array of uint8

    Raises
    ------
    PictureError
        If a value is NaN or outside the range, or the shape is none of those above.
    TypeError
        If the array does not hold real numbers.
    """
    if array.dtype.kind not in "fiub":
        raise TypeError(f"picture: expected an array of numbers, got {array.dtype}")
    array = _channels_last(array)
    pixels = np.empty(array.shape, np.uint8)
    for begin, end in bands(*array.shape[:2]):
        rounded = np.rint(np.multiply(array[begin:end], 255.0 if values == "0..1" else 1.0))
        if not (rounded.min() >= 0 and rounded.max() <= 255):
            raise PictureError(
                f"input={values!r} does not fit: the values of the array are {array.min():.4g} to "
                f"{array.max():.4g}"
            )
        pixels[begin:end] = rounded
    return _from_array(pixels)


def _channels_last(array: NDArray[Any]) -> NDArray[Any]:
    """Return one picture of any layout with the channels last."""
    first, last = (array.ndim == 3 and 1 <= array.shape[axis] <= 4 for axis in (0, -1))
    if array.size == 0 or array.ndim not in (2, 3) or (array.ndim == 3 and first == last):
        raise PictureError(
            f"an array of shape {array.shape} is not a picture: expected (H, W), (H, W, C) or "
            f"(C, H, W) with 1 to 4 channels"
        )
    return np.moveaxis(array, 0, -1) if first else array


@dataclass(frozen=True)
class Geometry:
    """The region of the original picture that the network's input shows.

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
        """Return the geometry of an input that shows the whole picture."""
        return cls(picture, input, (0.0, 0.0, float(picture[0]), float(picture[1])))

    @classmethod
    def scaled(
        cls, picture: tuple[int, int], scaled: tuple[int, int], crop: tuple[int, int, int, int]
    ) -> Geometry:
        """Return the geometry of an input that is the part `crop` of the resized picture.

        All of Pillow's filters map the centre of pixel i of a resized side to the position
        (i + 1/2) * length / resized length of the picture.
        """
        top, left, bottom, right = crop
        (height, width), (rows, columns) = picture, scaled
        # The products are integers, so the edges of an uncropped input equal the picture's exactly.
        region = (
            top * height / rows,
            left * width / columns,
            bottom * height / rows,
            right * width / columns,
        )
        return cls(picture, (bottom - top, right - left), region)

    @property
    def cropped(self) -> bool:
        """Whether the input shows only a part of the picture."""
        return self.region != (0.0, 0.0, *map(float, self.picture))

    def resized(self, picture: tuple[int, int]) -> Geometry:
        """Return the geometry of the same input on the picture of another size."""
        y, x = picture[0] / self.picture[0], picture[1] / self.picture[1]
        top, left, bottom, right = self.region
        return Geometry(picture, self.input, (top * y, left * x, bottom * y, right * x))

    def to_picture(
        self, maps: NDArray[np.float32], resize: _core.Method = "half_pixel"
    ) -> NDArray[np.float32]:
        """Resize maps of the input, (..., h, w) of any resolution, to the picture: (..., H, W).

        Pixels outside the crop are 0. If the picture has fewer pixels than the map, the bilinear
        methods first average the values that belong to one pixel.
        """
        top, left, bottom, right = self.region
        top, bottom = _widen_to_one_pixel(top, bottom)
        left, right = _widen_to_one_pixel(left, right)
        if resize != "nearest":
            maps = _shrink(maps, -2, max(1, round(bottom - top)))
            maps = _shrink(maps, -1, max(1, round(right - left)))
        region = (top, left, bottom, right) if self.cropped else None
        return _core.resize(maps, self.picture, resize, region)

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(H, W): the pixels of the picture whose centres are inside the input's region."""
        seen = self.to_picture(np.ones((1, 1), np.float32), "nearest") > 0
        return np.asarray(seen)

    @property
    def seen_part(self) -> NDArray[np.bool_] | None:
        """:attr:`seen`, or None if the input shows all of the picture."""
        return self.seen if self.cropped else None


def prepare(
    picture: NDArray[np.uint8], preset: Preset, size: tuple[int, int] | None, channels: int = 3
) -> tuple[NDArray[np.float32], Geometry]:
    """Convert a picture to network input.

    The values are bit for bit those of the code that :data:`gradcam.PRESETS` names.

    Parameters
    ----------
    picture : (H, W, 3) array of uint8
    preset : Preset
        How the picture is resized, how values are scaled, and whether the picture is cropped: with
        ``shorter_side`` s and ``size`` n it is resized to cover s / n times the input, then its
        centre is cropped.
    size : (height, width), optional
        Size of the input. If None, the picture is neither resized nor cropped.
    channels : 3 or 1
        Of the input. For one channel the picture becomes grey, as by Pillow's ``convert("L")``.

    Returns
    -------
    (channels, h, w) array of float32
        In the preset's order of channels.
    Geometry

    Raises
    ------
    PictureError
        If the resized picture, before cropping, has more pixels than :data:`MAX_PIXELS`.
    """
    height, width = picture.shape[:2]
    if channels == 1:
        picture = _grey(picture)
    if size is None or (size == (height, width) and preset.shorter_side is None):
        values = normalise(picture, preset)[:channels]
        return values, Geometry.straight((height, width), (height, width))
    scaled, crop = scale(picture, preset, size)
    top, left, bottom, right = crop
    values = normalise(scaled[top:bottom, left:right], preset)[:channels]
    return values, Geometry.scaled((height, width), scaled.shape[:2], crop)


def _grey(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an RGB picture with the luma (ITU-R 601) of its pixels in all three channels."""
    from PIL import Image

    return np.asarray(Image.fromarray(picture).convert("L").convert("RGB"))


def scale(
    picture: NDArray[np.uint8], preset: Preset, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], tuple[int, int, int, int]]:
    """Resize a picture as a preset does, and say which part of it becomes the input.

    If the result is prepared again, it is not resized: the input is the same.

    Parameters
    ----------
    picture, preset, size
        As of :func:`prepare`.

    Returns
    -------
    (H, W, 3) array of uint8
    (top, left, bottom, right)
    """
    from PIL import Image

    height, width = picture.shape[:2]
    scaled = _resized_size((height, width), size, preset)
    resampling = Image.Resampling[preset.interpolation.upper()]
    image = Image.fromarray(picture).resize(scaled[::-1], resampling)
    # round() rounds halves to even, as torchvision does.
    rounded = round if preset.crop_offset == "nearest" else int
    top, left = (rounded((scaled[axis] - size[axis]) / 2) for axis in (0, 1))
    return np.asarray(image), (top, left, top + size[0], left + size[1])


def normalise(picture: NDArray[np.uint8], preset: Preset) -> NDArray[np.float32]:
    """Return the network input, (3, h, w) float32, of an (h, w, 3) RGB picture of uint8."""
    values = np.empty((3, *picture.shape[:2]), np.float32)
    for channel, plane in enumerate(values):
        source = channel if preset.channel_order == "RGB" else 2 - channel
        np.divide(picture[:, :, source], np.float32(preset.scale), out=plane)
        plane -= np.float32(preset.mean[channel])
        plane /= np.float32(preset.std[channel])
    return values


def render(values: NDArray[np.float32], preset: Preset | None) -> NDArray[np.uint8]:
    """Return the picture of one (C, h, w) network input: the inverse of :func:`normalise`.

    Values are clipped to 0-255. Without a preset, the range of the values is scaled to 0-255, and
    if there are not three channels, their mean is shown in grey.
    """
    if preset is not None and preset.takes(len(values)):
        values = np.broadcast_to(values, (3, *values.shape[1:]))
        mean, std = (np.array(c, np.float32)[:, None, None] for c in (preset.mean, preset.std))
        pixels = values * std
        pixels += mean
        pixels *= np.float32(preset.scale)
        pixels = pixels if preset.channel_order == "RGB" else pixels[::-1]
    else:
        pixels = values if len(values) == 3 else values.mean(0, keepdims=True).repeat(3, 0)
        low, high = pixels.min(), pixels.max()
        pixels = (pixels - low) * (255 / (high - low) if high > low else 0)
    picture = np.empty((*pixels.shape[1:], 3), np.uint8)
    for channel, plane in enumerate(pixels):
        picture[:, :, channel] = np.rint(plane).clip(0, 255).astype(np.uint8)
    return picture


def _resized_size(
    picture: tuple[int, int], size: tuple[int, int], preset: Preset
) -> tuple[int, int]:
    """Return the size that a picture is resized to before an input of `size` is cropped from it."""
    if preset.shorter_side is None:
        return size
    margin = preset.shorter_side / preset.size
    height, width = _covering(picture, size, margin, nearest=preset.longer_side == "nearest")
    if height * width > MAX_PIXELS:
        raise PictureError(
            f"the aspect ratio of a {picture[0]} x {picture[1]} picture is too large to crop it: "
            f"resized to cover the input it would have {height} x {width} pixels, more than "
            f"{MAX_PIXELS}"
        )
    return height, width


def _covering(
    picture: tuple[int, int], size: tuple[int, int], margin: float, *, nearest: bool = False
) -> tuple[int, int]:
    """Return the smallest size with the picture's aspect ratio that covers `margin` times `size`.

    The longer side is rounded to the nearest integer, or down: for a square `size` this is
    torchvision's ``Resize(shorter_side)``.
    """
    height, width = picture
    minimum = (round(size[0] * margin), round(size[1] * margin))
    if minimum[0] * width >= minimum[1] * height:
        return minimum[0], max(minimum[1], _divided(minimum[0] * width, height, nearest))
    return max(minimum[0], _divided(minimum[1] * height, width, nearest)), minimum[1]


def _divided(length: int, by: int, nearest: bool) -> int:
    """Return a quotient, rounded to the nearest integer or down."""
    return (2 * length + by) // (2 * by) if nearest else length // by


def _widen_to_one_pixel(begin: float, end: float) -> tuple[float, float]:
    """Widen an interval to one pixel: a narrower one may contain no pixel's centre."""
    missing = max(0.0, 1 - (end - begin)) / 2
    return begin - missing, end + missing


def _shrink(maps: NDArray[np.float32], axis: int, size: int) -> NDArray[np.float32]:
    """Average one axis to `size` values; an axis that is not longer is returned unchanged."""
    length = maps.shape[axis]
    if length <= size:
        return maps
    # The integral of the values up to each edge, linearly interpolated between integer positions.
    sums = np.cumsum(np.moveaxis(maps, axis, -1), axis=-1, dtype=np.float64)
    sums = np.concatenate([np.zeros_like(sums[..., :1]), sums], axis=-1)
    edges = np.linspace(0, length, size + 1)
    low = np.minimum(edges.astype(int), length - 1)
    at_edges = sums[..., low] + (edges - low) * (sums[..., low + 1] - sums[..., low])
    means = np.diff(at_edges, axis=-1) * (size / length)
    return np.ascontiguousarray(np.moveaxis(means, -1, axis), np.float32)


def _from_array(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype.kind == "f":
        raise TypeError(
            f"picture: got a float array of shape {array.shape}: say what its values are, "
            f"input='0..1' or input='0..255'; preprocessed input is one float array, (N, C, H, W)"
        )
    if array.dtype not in (np.uint8, np.uint16, np.bool_):
        raise TypeError(
            f"picture: expected an array of uint8, uint16 or bool, got {array.dtype}; if its "
            f"values are 0 to 255, pass input='0..255'"
        )
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 2, 3, 4) or array.size == 0:
        raise PictureError(
            f"an array of shape {array.shape} is not a picture: expected (H, W), or (H, W, C) "
            f"with 1 to 4 channels; for (C, H, W) pass input='0..255'"
        )
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    elif array.dtype == np.uint16:
        array = _to_8_bits(array)
    if channels == 3:
        return np.array(array, np.uint8, order="C")
    from PIL import Image

    return to_rgb(Image.fromarray(array.reshape(array.shape[:2]) if channels == 1 else array))


def _to_8_bits(deep: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Scale a picture of 16 bits to 8."""
    scale = depth_scaler([deep])
    pixels = np.empty(deep.shape, np.uint8)
    for begin, end in bands(*deep.shape[:2]):
        pixels[begin:end] = scale(deep[begin:end])
    return pixels


def _is_file(source: object) -> TypeGuard[bytes | bytearray | memoryview | IO[bytes]]:
    """Return whether `source` is the content of a file, or an open file."""
    return isinstance(source, (bytes, bytearray, memoryview)) or hasattr(source, "read")


def _from_file(source: bytes | bytearray | memoryview | IO[bytes]) -> NDArray[np.uint8]:
    if isinstance(source, (bytes, bytearray, memoryview)):
        return from_stream(io.BytesIO(source), "the bytes")
    path = getattr(source, "name", None)
    path = path if isinstance(path, str) else None
    if isinstance(source, io.TextIOBase):
        raise TypeError(f"picture: {path or 'the file'} is open as text; open it with mode 'rb'")
    file = source
    if not getattr(source, "seekable", bool)():  # a pipe, or the answer of a server
        content = cast(object, source.read())
        if not isinstance(content, bytes):
            raise TypeError(f"picture: expected a file of bytes, got {brief(content)}")
        file = io.BytesIO(content)
    return from_stream(file, printable(path or "the open file"), path)
