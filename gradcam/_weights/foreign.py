"""Recognise files and folders that are not weights read here, for messages that say what to do."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

from gradcam._weights.foreign_messages import message
from gradcam._weights.foreign_text import ORIGINAL, text

_START = 4096
"""Bytes at the beginning of a file that are examined."""

_FOOTER = bytes.fromhex("57fb808b247547db")
"""The last bytes of a TensorFlow checkpoint and of its index."""

_EXPORT = "load it in TensorFlow and save the model as .keras, or as ONNX with tf2onnx"

_PICKLE = (
    "a Python pickle that torch.save did not write; it is not read, because it could run any "
    "program; use torch.save for a state_dict, or numpy.savez for arrays"
)

_SIGNATURES = {
    **dict.fromkeys((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), _PICKLE),
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
    b"MATLAB ": "a MATLAB file, which is not supported: export the network as ONNX "
    "(exportONNXNetwork)",
    b"version https://git-lfs": "a Git LFS pointer, not the weights themselves: run git lfs pull",
    b"GGUF": "a GGUF file, which holds language models, not networks for pictures",
    b"\xdd\x85\x76\x00": f"a network of ncnn (.param.bin): {ORIGINAL}",
    struct.pack("<QQ", 0x112, 0): "parameters of MXNet without their network: export both as ONNX",
    b"RDX3\n": "data of R (.RData), not weights",
    b"X\n\x00\x00\x00": "an object of R (.rds), not weights",
}
"""The first bytes of files that are mistaken for weights, and what the files are."""

_INSIDE = (
    (4, b"TFL3", "a TensorFlow Lite model: convert it with python -m tf2onnx.convert --tflite"),
    (4, b"ORTM", f"a network in ONNX Runtime's own format (.ort): {ORIGINAL}"),
    (8, b"WEBP", "a picture (WebP), not weights"),
    (257, b"ustar", "a tar archive: unpack it first"),
)
"""Bytes at another place: where they begin, the bytes, and what the file is."""

_FOLDERS = (
    (
        ("saved_model.pb",),
        "a TensorFlow SavedModel, a folder: convert it with python -m tf2onnx.convert "
        "--saved-model",
    ),
    (
        ("Manifest.json", "Data"),
        f"a Core ML package (.mlpackage), which is not supported: {ORIGINAL}",
    ),
    (
        ("_CHECKPOINT_METADATA",),
        "a checkpoint of orbax (JAX): save its arrays with numpy.savez, or export the network as "
        "ONNX",
    ),
    (
        ("manifest.ocdbt",),
        "a checkpoint of orbax (JAX): save its arrays with numpy.savez, or export the network as "
        "ONNX",
    ),
    (
        ("config.json", "model.weights.h5"),
        "an unpacked .keras file: pack its files into a zip archive again, or pass the file that "
        "was unpacked",
    ),
    (("data.pkl",), "an unpacked file of torch.save: pass the file itself"),
    (("config.json",), "a folder, perhaps an unpacked archive: pass the file itself"),
)
"""Names in a folder that together say what it is, the most telling first."""

_ENGINE = f"a TensorRT engine, for one kind of GPU: {ORIGINAL}"
_NAMES = {
    **dict.fromkeys((".engine", ".plan", ".trt"), _ENGINE),
    ".bin": "perhaps bare numbers without their network, as OpenVINO and ncnn write them: "
    f"{ORIGINAL}",
    ".weights": "perhaps Darknet's weights without their network",
}
"""Endings of names, for files whose content says nothing."""


def folder(path: str | os.PathLike[str]) -> str:
    """Describe a folder that was given as a weight file."""
    names = {entry.name for entry in Path(path).iterdir()}
    for needed, words in _FOLDERS:
        if names.issuperset(needed):
            return words
    if any(".data-0" in name for name in names):
        return f"a folder with a TensorFlow checkpoint: {_EXPORT}"
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
            return _of_pickle(start) if words is _PICKLE else words
    for offset, signature, words in _INSIDE:
        if start[offset : offset + len(signature)] == signature:
            return words
    if end == _FOOTER:
        return f"a TensorFlow checkpoint, or its index: {_EXPORT}"
    return next((words for words in (find(start) for find in _FINDERS) if words), None)


def by_name(path: str | os.PathLike[str]) -> str | None:
    """Describe a file by its name; None if that says nothing."""
    name = os.path.basename(os.fspath(path)).lower()
    words = _NAMES.get(os.path.splitext(name)[1])
    if ".data-0" in name and "-of-" in name:
        words = f"the numbers of a TensorFlow checkpoint, without their names: {_EXPORT}"
    return None if words is None else f"not a weight file that is read here; by its name {words}"


def archive(names: Iterable[str]) -> str | None:
    """Describe a zip file by the names of its members; None if they say nothing."""
    members = set(names)
    if "MAR-INF/MANIFEST.json" in members:
        return "an archive of TorchServe (.mar): unpack it, and pass the file of weights in it"
    if any(name.endswith("saved_model.pb") for name in members):
        return (
            "a zip file with a TensorFlow SavedModel: unpack it, and convert it with "
            "python -m tf2onnx.convert --saved-model"
        )
    if any(".mlpackage/" in name or name.startswith("Data/com.apple.CoreML/") for name in members):
        return f"a Core ML package (.mlpackage), which is not supported: {ORIGINAL}"
    return None


def _of_pickle(start: bytes) -> str:
    if b"sklearn" in start:
        return "a model of scikit-learn in a Python pickle, not a network of convolutions"
    return _PICKLE


def _compressed(start: bytes) -> str | None:
    """Describe a gzip or zlib stream by what it holds."""
    is_gzip = start.startswith(b"\x1f\x8b")
    if not is_gzip and start[:2] not in (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"):
        return None
    try:
        inside = zlib.decompressobj(47).decompress(start, _START)
    except zlib.error:
        inside = b""
    if inside.startswith((b"X\n\x00\x00\x00", b"RDX3\n", b"RDX2\n")):
        return "an object of R (.rds or .RData), not weights"
    if is_gzip:
        return "a gzip archive: unpack it first (gunzip, or tar xzf)"
    if inside[:1] == b"\x80":
        return f"compressed (joblib's?), {_of_pickle(inside)}"
    return "compressed with zlib: unpack it first" if inside else None


def _msgpack(start: bytes) -> str | None:
    """Describe a map of msgpack whose first key is a text, as Flax writes parameters."""
    if len(start) < 3 or not 0x81 <= start[0] <= 0x8F or not 0xA1 <= start[1] <= 0xBF:
        return None
    key = start[2 : 2 + (start[1] & 0x1F)]
    if not key.isascii() or not key.decode("ascii").isprintable():
        return None
    return (
        "a file of msgpack, in which Flax (JAX) stores parameters without their network: save the "
        "arrays with numpy.savez, or export the network as ONNX"
    )


def _darknet(start: bytes) -> str | None:
    """Describe weights of Darknet: three integers of its version, then how many pictures it saw."""
    if len(start) < 20:
        return None
    major, minor, revision = struct.unpack_from("<3i", start)
    if (major, minor) not in ((0, 1), (0, 2)) or not 0 <= revision <= 10:
        return None
    return (
        "weights of Darknet without their network, which is in a .cfg file: convert both to ONNX, "
        "or to PyTorch"
    )


def _paddle(start: bytes) -> str | None:
    """Describe parameters of PaddlePaddle: versions and levels of zero, then a tensor's type."""
    if len(start) < 22 or start[:16] != bytes(16) or start[20:22] != b"\x08\x05":
        return None
    return (
        "parameters of PaddlePaddle without their network: convert both to ONNX, with paddle2onnx"
    )


_FINDERS: tuple[Callable[[bytes], str | None], ...] = (
    *(_compressed, _msgpack, _darknet, _paddle, message),
    lambda start: text(start, cut=len(start) == _START),
)
