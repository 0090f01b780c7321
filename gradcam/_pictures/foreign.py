"""What a file that cannot be read as a picture seems to be, and what to do about it."""

from __future__ import annotations

import re

LOOK = 4096
"""Bytes at the start of a file that are looked at."""

_WEIGHTS = "a file of weights, not a picture"
_ARCHIVE = "an archive, not a picture: unpack it first"
_CONVERT = "convert it to PNG first"
_EPS = f"an EPS or PostScript drawing, which is a program and is not run: {_CONVERT}"
_RAW = f"a camera's raw picture: {_CONVERT}"
_VIDEO = "a video, not a picture: save the frame as PNG first"
_DAMAGED = "the file begins as a {} file and is damaged or truncated"

_BRANDS = {
    "a HEIC picture, which Pillow reads with the package pillow-heif only: pip install "
    "pillow-heif, and run pillow_heif.register_heif_opener() first; or convert it to JPEG": (
        *("heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs", "mif1", "msf1"),
    ),
    "an AVIF picture, which Pillow reads from version 11.3 on: pip install -U pillow": (
        *("avif", "avis"),
    ),
    _RAW: ("crx ",),
}
"""Kinds of ISO media files by their brand."""

_JXL = f"a JPEG XL picture, which Pillow does not read: {_CONVERT} (djxl cat.jxl cat.png)"

_SIGNATURES = {
    b"\xff\x0a": _JXL,
    b"\0\0\0\x0cJXL \r\n\x87\n": _JXL,
    b"\x89PNG\r\n\x1a\n": _DAMAGED.format("PNG"),
    b"\xff\xd8\xff": _DAMAGED.format("JPEG"),
    b"GIF8": _DAMAGED.format("GIF"),
    b"BM": _DAMAGED.format("BMP"),
    b"II*\0": _DAMAGED.format("TIFF"),
    b"MM\0*": _DAMAGED.format("TIFF"),
    b"%PDF": f"a PDF document, not a picture: {_CONVERT}",
    b"%!PS": _EPS,
    b"\xc5\xd0\xd3\xc6": _EPS,
    b"\xd7\xcd\xc6\x9a": f"a WMF drawing: {_CONVERT}",
    b"gimp xcf": f"a GIMP drawing: {_CONVERT}",
    b"FUJIFILMCCD-RAW": _RAW,
    b"SIMPLE  =": "a FITS file, which is not read: pass it as an array",
    b"\x1aE\xdf\xa3": _VIDEO,
    b"\0\0\x01\xba": _VIDEO,
    b"\x89HDF": f"an HDF5 file, probably {_WEIGHTS}",
    b"\x93NUMPY": "a NumPy array, not a picture: pass numpy.load(path)",
    b"version https://git-lfs": "a Git LFS pointer, not the picture itself: run git lfs pull",
    b"PK\x03\x04": "a zip archive or a file of weights (.npz, .pth), not a picture",
    b"\x1f\x8b": _ARCHIVE,
    b"BZh": _ARCHIVE,
    b"\xfd7zXZ\0": _ARCHIVE,
    b"7z\xbc\xaf": _ARCHIVE,
    b"Rar!": _ARCHIVE,
    b"\x28\xb5\x2f\xfd": _ARCHIVE,
    **dict.fromkeys((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), _WEIGHTS),
}
"""How files begin that are mistaken for pictures, or that were pictures."""


_WEB_PAGE = "a web page, not a picture: the download returned an error page or needs a login"

_TEXTS = {
    **dict.fromkeys(("<!doctype", "<html", "<head", "<body", "<script", "<?xml"), _WEB_PAGE),
    **dict.fromkeys(("<!--", "<title", "<meta"), _WEB_PAGE),
    **dict.fromkeys(("{", "["), "a JSON text, not a picture"),
    **dict.fromkeys(("data:", "http"), "the text of a URL, not the picture itself"),
}
"""How texts begin, in lower case."""


def kind(start: bytes) -> str | None:
    """Return what a file is that begins with `start`, up to `LOOK` bytes; None if unknown."""
    if not start:
        return "the file is empty"
    for signature, words in _SIGNATURES.items():
        if start.startswith(signature):
            return words
    for recognise in (_iso_media, _riff, _emf, _safetensors, _text):
        found = recognise(start)
        if found is not None:
            return found
    if not start.strip(b"\0"):
        return "the file begins with zeros, as after an interrupted download"
    return None


def _iso_media(start: bytes) -> str | None:
    if start[4:8] != b"ftyp":
        return None
    brand = start[8:12].decode("latin-1")
    return next((words for words, brands in _BRANDS.items() if brand in brands), _VIDEO)


def _emf(start: bytes) -> str | None:
    return f"an EMF drawing: {_CONVERT}" if start[40:44] == b" EMF" else None


def _riff(start: bytes) -> str | None:
    if start[:4] != b"RIFF":
        return None
    return _DAMAGED.format("WebP") if start[8:12] == b"WEBP" else _VIDEO


def _safetensors(start: bytes) -> str | None:
    return _WEIGHTS if start[8:10] == b'{"' and start[4:8] == bytes(4) else None


def _text(start: bytes) -> str | None:
    """Return what a text is; None for anything else."""
    try:
        text = start.decode("utf-8", "strict" if len(start) < LOOK else "ignore")
    except UnicodeDecodeError:
        return None
    if re.search(r"[\0-\x08\x0e-\x1a\x1c-\x1f]", text):
        return None
    text = text.lstrip("\ufeff \t\r\n").lower()
    if "<svg" in text and text.startswith("<") and "<html" not in text:
        return f"an SVG drawing: {_CONVERT}"
    return next((words for begin, words in _TEXTS.items() if text.startswith(begin)), None) or (
        "a text, not a picture" if text else "a text of blanks, not a picture"
    )
