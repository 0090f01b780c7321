"""Recognise files that are not weights, for messages that say what to do."""

from __future__ import annotations

import os
from pathlib import Path

_START = 4096
"""Bytes at the beginning of a file that are examined."""

_FOOTER = bytes.fromhex("57fb808b247547db")
"""The last bytes of a TensorFlow checkpoint and of its index."""

_EXPORT = "load it in TensorFlow and save the model as .weights.h5 or .keras"

_PICKLE = (
    "a Python pickle that torch.save did not write; it is not read, because it could run any "
    "program; use torch.save for a state_dict, or numpy.savez for arrays"
)

_SIGNATURES = {
    **dict.fromkeys((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), _PICKLE),
    b"\x1f\x8b": "a gzip archive: unpack it first (gunzip, or tar xzf)",
    b"BZh": "a bzip2 archive: unpack it first",
    b"\xfd7zXZ\x00": "an xz archive: unpack it first",
    b"7z\xbc\xaf'\x1c": "a 7-Zip archive: unpack it first",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive: unpack it first",
    b"Rar!": "a RAR archive: unpack it first",
    b"\x89PNG": "a picture (PNG), not weights",
    b"\xff\xd8\xff": "a picture (JPEG), not weights",
    b"GIF8": "a picture (GIF), not weights",
    b"%PDF": "a PDF document, not weights",
    b"\x93NUMPY": "a single NumPy array (.npy): save all tensors by name in one .npz file",
    b"MATLAB 5.0": "a MATLAB file (MatConvNet's?), which is not supported: use another format",
    b"version https://git-lfs": "a Git LFS pointer, not the weights themselves: run git lfs pull",
}
"""The first bytes of files that are mistaken for weights, and what the files are."""


def folder(path: str | os.PathLike[str]) -> str:
    """Describe a folder that was given as a weight file."""
    names = {entry.name for entry in Path(path).iterdir()}
    if "saved_model.pb" in names:
        return f"a TensorFlow SavedModel, a folder: {_EXPORT}"
    if "data.pkl" in names or "config.json" in names:
        return "a folder, perhaps an unpacked archive: pass the file itself"
    return "a folder, not a weight file"


def kind(path: str | os.PathLike[str]) -> str | None:
    """Describe a file that is not weights; None if it is not recognised."""
    with open(path, "rb") as file:
        start = file.read(_START)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - len(_FOOTER), 0))
        end = file.read(len(_FOOTER))
    for signature, words in _SIGNATURES.items():
        if start.startswith(signature):
            return words
    if start[257:262] == b"ustar":
        return "a tar archive: unpack it first"
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "a picture (WebP), not weights"
    if end == _FOOTER:
        return f"a TensorFlow checkpoint, or its index: {_EXPORT}"
    return _text(start)


def _text(start: bytes) -> str | None:
    """Describe a text; None if the bytes are not text."""
    try:
        # The last character can be cut off.
        text = start.decode("utf-8", "strict" if len(start) < _START else "ignore")
    except UnicodeDecodeError:
        return None
    if any(ord(character) < 32 and character not in "\t\n\r\f\v\x1b" for character in text):
        return None
    text = text.lstrip("\ufeff \t\r\n").lower()
    if text.startswith(("<!doctype", "<html", "<head", "<body", "<?xml", "<script", "<!--")):
        return "a web page, not weights: an error page, or the download needs a login"
    if text.startswith(("{", "[")):
        if '"weight_map"' in text:
            return (
                "the index of weights in several safetensors files, not the weights themselves: "
                "save them in one file"
            )
        return "a JSON text, not weights"
    if text.startswith("model_checkpoint_path"):
        return f"the state file of a TensorFlow checkpoint, not weights: {_EXPORT}"
    if not text:
        return "a text of white space, not weights"
    return "a text, not weights"
