"""Decode pictures with Pillow: which formats are opened, how they become RGB, why it fails.

Pillow is imported only when it is needed.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, BinaryIO, TypeGuard

import numpy as np
from numpy.typing import NDArray

from gradcam import _core
from gradcam._files import expanded
from gradcam._pictures import foreign
from gradcam._text import brief, printable

if TYPE_CHECKING:
    from PIL import Image

_U8 = NDArray[np.uint8]

MAX_PIXELS = 1 << 28
"""The maximum number of pixels of a picture: 268 megapixels, 0.8 GB as RGB.

Reading such a picture takes up to 1.9 GB: Pillow stores 4 bytes for each pixel, and the RGB array
exists beside them.
"""

FORMATS = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "JPEG2000": (".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"),
    "AVIF": (".avif", ".avifs"),
    "HEIF": (".heic", ".heif", ".hif"),
    "JXL": (".jxl",),
    "QOI": (".qoi",),
    "ICO": (".ico",),
    "CUR": (".cur",),
    "ICNS": (".icns",),
    "PSD": (".psd",),
    "DDS": (".dds",),
    "PCX": (".pcx",),
    "SGI": (".sgi", ".bw", ".rgb", ".rgba"),
    "SUN": (".ras",),
    "TGA": (".tga", ".icb", ".vda", ".vst"),
}
"""The formats that are opened, with the suffixes of their files.

They hold pixels, and Pillow decodes them itself or in a library; files are recognised by their
content. Not opened are: EPS, which Pillow passes to Ghostscript; WMF and EMF, which are lists of
drawing commands; BUFR, GRIB and HDF5, whose decoders are whatever a program registered; FPX, MIC
and IPTC, which contain other files; MPEG, which Pillow does not decode; and formats that are hardly
used any more, whose decoders are hardly tested. HEIF and JXL need a package that registers them
(pillow-heif, pillow-jxl-plugin). TGA comes last, because its files
begin with no signature; DIB files have none either, and other files would be taken for them.
"""

SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
"""The suffixes of all files that may be opened, in lower case."""

_QUICK = ("PNG", "JPEG", "GIF", "BMP", "PPM")
"""Formats whose decoders Pillow imports first."""

_BAND = 1 << 22
"""Pixels that are converted at once."""

_SYSTEM_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE)

_pillow_limit = threading.Lock()


class PictureError(ValueError):
    """Raised for a picture that cannot be read; the message says which one and why.

    Attributes
    ----------
    path : str or None
        The file, if the picture is one.
    """

    def __init__(self, message: str, path: str | None = None) -> None:
        super().__init__(message)
        self.path = path


class InputWarning(UserWarning):
    """Values of a picture or of a network's input probably mean something else."""


def is_pillow(source: object) -> TypeGuard[Image.Image]:
    """Return whether `source` is a Pillow image."""
    # If there is a Pillow image, Pillow has been imported. Another thread may be importing it now.
    kind = getattr(sys.modules.get("PIL.Image"), "Image", None)
    return kind is not None and isinstance(source, kind)


def from_path(path: str | os.PathLike[str]) -> _U8:
    """Read the picture in a file; ``~`` is the user's home folder."""
    name = os.fspath(path)
    with _opened(name) as file:
        return from_stream(file, printable(name), path=name)


def _opened(name: str) -> BinaryIO:
    """Open a file; say in words what a name that is not a file's seems to be."""
    try:
        return open(expanded(name), "rb")
    except OSError as error:
        if re.match(r"(?:https?|ftp|s3|gs|file):/|data:", name, re.IGNORECASE):
            raise PictureError(_URL.format(brief(name)), name) from None
        if isinstance(error, IsADirectoryError):
            error.strerror = "a folder, not a picture: pass the pictures in it"
        error.filename = name if len(name) < 4096 else brief(name)
        raise
    except ValueError as error:  # a null character in the path
        raise PictureError(f"{brief(name)}: not a path ({error})", name) from None


_URL = (
    "{} is a URL, and gradcam reads files: download it first (urllib.request.urlretrieve(url, "
    '"picture.jpg")), or pass its content (urllib.request.urlopen(url).read(), '
    "requests.get(url).content)"
)


def from_stream(file: IO[bytes], name: str, path: str | None = None) -> _U8:
    """Read the picture in an open binary file, from its beginning on."""
    with reading(name, path):
        try:
            image = _open(file)
        except Exception as error:
            if type(error).__name__ != "UnidentifiedImageError":
                raise
            file.seek(0)
            reason = foreign.kind(file.read(foreign.LOOK)) or "unknown format"
            raise PictureError(f"cannot be read as a picture ({reason})") from None
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise PictureError(
                f"too large: {height} x {width} pixels; "
                f"the maximum is {MAX_PIXELS / 1e6:.0f} megapixels"
            )
        _require_memory(image)
        return to_rgb(image)


@contextmanager
def reading(name: str, path: str | None = None) -> Iterator[None]:
    """Convert errors of Pillow's decoders to a PictureError that names the picture.

    Errors of the system, such as a full disk, are not the picture's fault and stay as they are.
    """
    try:
        yield
    except PictureError as error:
        raise PictureError(f"{name}: {error}", path) from None
    except (MemoryError, ImportError):
        raise
    except Exception as error:  # for damaged files Pillow's decoders raise many types of errors
        if isinstance(error, OSError) and error.errno in _SYSTEM_ERRORS:
            raise
        raise PictureError(f"{name}: cannot be read as a picture ({error})", path) from error


def _open(file: IO[bytes]) -> Image.Image:
    """Read the header of a picture in one of the formats that are opened."""
    from PIL import Image, UnidentifiedImageError

    # Pillow's limit on the size is global. It is disabled while the header is read; the callers'
    # check replaces it.
    with _pillow_limit:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            Image.preinit()
            try:
                return Image.open(file, formats=[each for each in _QUICK if each in Image.OPEN])
            except UnidentifiedImageError:
                Image.init()
                others = [each for each in FORMATS if each in Image.OPEN and each not in _QUICK]
                return Image.open(file, formats=others)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _require_memory(image: Image.Image) -> None:
    """Raise MemoryError before a large picture is decoded that the machine has no memory for."""
    pixels = image.size[0] * image.size[1]
    if pixels <= _BAND:
        return
    stored = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}.get(image.mode, 4)
    needed = (stored + 3) * pixels + 24 * _BAND
    available = _core.available_memory()
    if available is not None and needed > available:
        raise MemoryError(
            f"no memory for a picture of {image.size[1]} x {image.size[0]} pixels: "
            f"{needed / 1e9:.2f} GB are needed, {available / 1e9:.2f} GB are available"
        )


def to_rgb(image: Image.Image) -> _U8:
    """Return a Pillow image as an upright RGB picture.

    A large one is converted in bands of rows, so that it exists only twice, and turned afterwards.
    """
    from PIL import ExifTags

    image.load()
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    convert = _converter(image)
    if image.width * image.height <= _BAND:
        pixels = convert(image)
    else:
        pixels = np.empty((image.height, image.width, 3), np.uint8)
        for begin, end in bands(image.height, image.width):
            pixels[begin:end] = convert(image.crop((0, begin, image.width, end)))
    turn = _UPRIGHT.get(orientation)
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


def bands(height: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of rows that are converted at once."""
    rows = max(1, _BAND // width)
    for begin in range(0, height, rows):
        yield begin, min(begin + rows, height)


_UPRIGHT: dict[int, Callable[[_U8], _U8]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels, 1),
}
"""EXIF orientations, and what makes the stored rows and columns upright."""


def _converter(image: Image.Image) -> Callable[[Image.Image], _U8]:
    """Return the function that converts the image, or a band of it, to RGB."""
    if image.mode.startswith("I"):
        scale = depth_scaler(
            np.asarray(image.crop((0, begin, image.width, end)))
            for begin, end in bands(image.height, image.width)
        )
        return lambda band: np.repeat(scale(np.asarray(band))[:, :, None], 3, axis=2)
    if image.mode == "F":
        raise PictureError(
            "float values of unknown range; convert the picture to uint8, or pass it as an array "
            "and say what the values mean: input='0..1' or input='0..255'"
        )
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        return _on_white
    return lambda band: np.asarray(band if band.mode == "RGB" else band.convert("RGB"))


def depth_scaler(parts: Iterable[NDArray[Any]]) -> Callable[[NDArray[Any]], _U8]:
    """Return the function that scales values of up to 16 bits to 8, rounded to the nearest integer.

    65535 becomes 255. If no value exceeds 4095, the values are taken for 12-bit ones, or 10-bit
    ones if none exceeds 1023: cameras, scanners and microscopes store these in 16-bit files without
    scaling, and taken for 16 bits the picture would be almost black.

    Parameters
    ----------
    parts : iterable of arrays
        All values of the picture.

    Warns
    -----
    InputWarning
        If the values seem to have fewer than 16 bits.

    Raises
    ------
    PictureError
        If no value exceeds 255: these are 8-bit values in a larger type, and would become black.
        If a value is outside 0 to 65535.
    """
    extrema = [(int(part.min()), int(part.max())) for part in parts]
    low, high = min(low for low, _ in extrema), max(high for _, high in extrema)
    if low < 0 or high > 65535:
        raise PictureError("integer values outside 0 to 65535")
    if 1 < high <= 255:
        raise PictureError(
            f"a picture of 16 bits whose maximum is {high} seems to contain 8-bit values; "
            f"convert it to uint8"
        )
    bits = 10 if 1 < high < 1 << 10 else 12 if 1 < high < 1 << 12 else 16
    full = (1 << bits) - 1
    _warn_of_depth(high, bits)
    return lambda deep: ((deep.astype(np.uint32) * 255 + full // 2) // full).astype(np.uint8)


def _warn_of_depth(high: int, bits: int) -> None:
    """Warn if the values of a picture of 16 bits, up to `high`, seem to have fewer."""
    full = (1 << bits) - 1
    if bits < 16:
        warnings.warn(
            f"a picture of 16 bits whose maximum is {high} is taken for {bits}-bit values, and "
            f"{full} becomes white; if it is really that dark, pass an array: "
            f"forward(array / 65535, input='0..1')",
            InputWarning,
            stacklevel=3,
        )
    elif 1 < high < 1 << 14:
        warnings.warn(
            f"a picture of 16 bits whose maximum is {high} is dark, since 65535 is white; if its "
            f"values have 14 bits, pass an array: forward(array / 16383, input='0..1')",
            InputWarning,
            stacklevel=3,
        )


def _on_white(band: Image.Image) -> _U8:
    from PIL import Image

    white = Image.new("RGBA", band.size, "white")
    return np.asarray(Image.alpha_composite(white, band.convert("RGBA")).convert("RGB"))
