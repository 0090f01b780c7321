"""Reading and writing weight files of every kind, known by their content and not by their names.

Each kind has a reader, a file of this package with ``recognise`` and ``read``; it knows bytes and
no networks. What the tensors mean is the business of :mod:`gradcam._models.checkpoints`.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from importlib import import_module
from typing import Any, BinaryIO, TypeGuard

from gradcam._weights import safetensors
from gradcam._weights.tensors import Weights, WeightsError, listed

KEYWORDS = ("imagenet", "imagenet-caffe", "DEFAULT", "IMAGENET1K_V1")
"""Names of published weights, some of them other libraries'."""

_START = 64
"""Bytes of a file that readers are shown."""

_SURE = ("safetensors", "keras", "pth")
"""Readers of files that begin with a signature; zip files are told apart by their members."""

_UNSURE = ("onnx", "caffemodel")
"""Readers of protocol buffers, which have none: asked when nothing else fits."""

_DAMAGE = re.compile("damaged|truncated|cut off|cut short|is empty")
"""What readers call a file that is not as it was written; what to do is then the same for all."""


def load(path: str | os.PathLike[str]) -> Weights:
    """Open a weight file; large float32 tensors are mapped, not read.

    Do not change or truncate the file while its tensors are in use.

    Parameters
    ----------
    path : path
        Of safetensors, PyTorch (.pth, .pt), Keras (.h5, .weights.h5, .keras), NumPy (.npz), Caffe
        (.caffemodel) or ONNX, whatever the file's name.

    Returns
    -------
    Weights
        Tensors by the names that the file gives them, and its metadata.

    Raises
    ------
    WeightsError
        Where the file is empty, truncated, malformed or of another kind.
    OSError
        Where it cannot be opened (FileNotFoundError, PermissionError, ...), or is a folder.
    ImportError
        Where a library is missing that reads this kind of file; the message says which.
    MemoryError
        Where what must be converted or unpacked has no room.
    TypeError
        Where `path` is no path.
    ValueError
        Where it is a name of published weights.
    """
    path = os.fsdecode(path)  # a number would be a file descriptor
    if is_published(path):
        raise ValueError(
            f"{path!r} is no file here, but a name of published weights: gradcam.vgg16({path!r}) "
            f"and `--weights {path}` download them"
        )
    try:
        return _recognised(path)
    except WeightsError as error:
        if not _DAMAGE.search(str(error)) or str(error).endswith(" again"):
            raise
        raise WeightsError(f"{error}; download or copy it again") from error


def _recognised(path: str) -> Weights:
    """Open a weight file by the reader that knows its content."""
    with _opened(path) as file:
        start = file.read(_START)
    if not start:
        raise WeightsError(f"{path}: the file is empty")
    if start.startswith(b"PK"):
        return _read(_zipped(path), path)
    for name in _SURE:
        if _reader(name).recognise(start):
            return _read(name, path)
    from gradcam._weights import foreign

    kind = foreign.kind(path)
    if kind is not None:
        raise WeightsError(f"{path}: {kind}")
    for name in _UNSURE:
        if _reader(name).recognise(start):
            return _read(name, path)
    raise WeightsError(
        f"{path}: no weight file of a kind known here (safetensors, PyTorch, Keras, .npz, Caffe, "
        f"ONNX), or damaged at its start"
    )


def is_published(weights: object) -> TypeGuard[str]:
    """Whether this is a name of published weights, and not of a file that is here."""
    return isinstance(weights, str) and weights in KEYWORDS and not os.path.isfile(weights)


def _opened(path: str) -> BinaryIO:
    if os.path.isdir(path):
        from gradcam._weights import foreign

        raise IsADirectoryError(errno.EISDIR, foreign.folder(path), path)
    if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for its other end
        raise WeightsError(f"{path}: a pipe or a device, not a file: save it to a file first")
    return open(path, "rb")


def _reader(name: str) -> Any:
    """A reader, imported when it is needed: some bring a library."""
    return safetensors if name == "safetensors" else import_module(f"gradcam._weights.{name}")


def _read(reader: str, path: str) -> Weights:
    weights: Weights = _reader(reader).read(path)
    return weights


def _zipped(path: str) -> str:
    """The reader of a zip file, by what lies in it."""
    from gradcam._weights.zips import Archive  # slow to import

    with open(path, "rb") as file:
        names = list(Archive(file, path).members)
    if any(name.endswith(".npy") for name in names):
        return "npz"
    if "model.weights.h5" in names or {"config.json", "metadata.json"} <= set(names):
        return "keras"
    if any(name == "data.pkl" or name.endswith("/data.pkl") for name in names):
        return "pth"
    holds = listed(names, 3) if names else "nothing"
    raise WeightsError(f"{path}: a zip file that holds {holds}, and no weights by itself")
