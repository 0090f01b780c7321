"""Read weight files of every format; the content decides which, not the name.

Each format has a reader, a module of this package with ``recognise`` and ``read``. Readers know
nothing of networks: :mod:`gradcam._models.checkpoints` interprets the tensors.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from importlib import import_module
from typing import BinaryIO, Protocol, TypeGuard, cast

from gradcam._files import expanded
from gradcam._weights.tensors import Weights, WeightsError, listed

KEYWORDS = ("imagenet", "imagenet-caffe", "DEFAULT", "IMAGENET1K_V1", "IMAGENET1K_V2")
"""Names of published weights, some of them other libraries'."""

_START = 64
"""Bytes at the beginning of a file that readers examine."""

_WITH_SIGNATURE = ("safetensors", "keras", "pth")
"""Readers of files that begin with a signature. The members of a zip file determine its reader."""

_WITHOUT_SIGNATURE = ("onnx", "caffemodel")
"""Readers of protocol buffers, which have no signature: asked when no other reader matches."""

_DAMAGE = re.compile("damaged|truncated|cut off|cut short|is empty")
"""Words in the errors for damaged files, whose message then says to download the file again."""


class Reader(Protocol):
    """A module that reads one format."""

    def read(self, path: str | os.PathLike[str], /) -> Weights:
        """Read a file of the format."""


class RecognisingReader(Reader, Protocol):
    """A module that also recognises its format."""

    def recognise(self, start: bytes, /) -> bool:
        """Whether a file that begins with `start` can have the format."""


def load(path: str | os.PathLike[str]) -> Weights:
    """Open a weight file; large float32 tensors are mapped, not read.

    Do not change or truncate the file while its tensors are in use.

    Parameters
    ----------
    path : path
        A file of safetensors, PyTorch (.pth, .pt, TorchScript, .pt2), Keras (.h5, .weights.h5,
        .keras), NumPy (.npz), Caffe (.caffemodel) or ONNX, whatever its name; or a folder of
        Hugging Face, with config.json and weights.

    Returns
    -------
    Weights
        The tensors by their names in the file, and its metadata.

    Raises
    ------
    WeightsError
        If the file is empty, truncated, malformed or of another format.
    OSError
        If it cannot be opened (FileNotFoundError, PermissionError, ...), or is another folder.
    ImportError
        If a library that this format requires is not installed; the message names it.
    MemoryError
        If there is not enough memory for tensors that must be converted or decompressed.
    TypeError
        If `path` is not a path.
    ValueError
        If `path` is a name of published weights.
    """
    path = expanded(os.fsdecode(path))  # refuses a number, which would be a file descriptor
    if is_published(path):
        raise ValueError(
            f"{path!r} is not a file here, but a name of published weights: "
            f"gradcam.vgg16({path!r}) and `--weights {path}` download them"
        )
    try:
        if os.path.isdir(path):
            return _read_folder(path)
        return _find_reader(path).read(path)
    except WeightsError as error:
        if not _DAMAGE.search(str(error)) or str(error).endswith(" again"):
            raise
        raise WeightsError(f"{error}; download or copy it again") from error


def is_published(weights: object) -> TypeGuard[str]:
    """Whether this is a name of published weights, and there is no file of that name."""
    return isinstance(weights, str) and weights in KEYWORDS and not os.path.isfile(weights)


def _read_folder(path: str) -> Weights:
    """Read a folder of Hugging Face; raise IsADirectoryError for any other folder."""
    from gradcam._weights import folder, foreign

    if not folder.is_model_folder(path):
        raise IsADirectoryError(errno.EISDIR, foreign.folder(path), path)
    return folder.read(path, load)


def _find_reader(path: str) -> Reader:
    """Return the reader for the content of a file."""
    with _open(path) as file:
        start = file.read(_START)
    if not start:
        raise WeightsError(f"{path}: the file is empty")
    if start.startswith(b"PK"):
        return _import(_reader_of_zip(path))
    if os.path.basename(path) == "config.json":
        from gradcam._weights import folder

        if folder.is_model_folder(home := os.path.dirname(os.path.abspath(path))):
            raise WeightsError(f"{path}: describes a network without its weights: load the folder "
                               f"{home}")  # fmt: skip
    for name in _WITH_SIGNATURE:
        if _import(name).recognise(start):
            return _import(name)
    from gradcam._weights import foreign

    kind = foreign.kind(path)
    if kind is not None:
        raise WeightsError(f"{path}: {kind}")
    for name in _WITHOUT_SIGNATURE:
        if _import(name).recognise(start):
            return _import(name)
    named = foreign.by_name(path)
    if named is not None:
        raise WeightsError(f"{path}: {named}")
    raise WeightsError(
        f"{path}: not a weight file of a known format (safetensors, PyTorch, Keras, .npz, Caffe, "
        f"ONNX), or damaged at its start"
    )


def _open(path: str) -> BinaryIO:
    if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for its other end
        raise WeightsError(f"{path}: a pipe or a device, not a file: save it to a file first")
    return open(path, "rb")


def _import(name: str) -> RecognisingReader:
    """Import a reader when it is needed: some import a library."""
    return cast(RecognisingReader, import_module(f"gradcam._weights.{name}"))


def _reader_of_zip(path: str) -> str:
    """Return the name of the reader for a zip file, from the names of its members."""
    from gradcam._weights.zips import Archive  # slow to import

    with open(path, "rb") as file:
        names = list(Archive(file, path).members)
    if any(name.endswith(".npy") for name in names):
        return "npz"
    if "model.weights.h5" in names or {"config.json", "metadata.json"} <= set(names):
        return "keras"
    last = {name.rpartition("/")[2] for name in names}
    if {"data.pkl", "constants.pkl"} <= last:
        return "torchscript"
    if "data.pkl" in last:
        return "pth"
    if last & {"archive_format", "serialized_exported_program.json"}:
        return "pt2"
    from gradcam._weights import foreign

    words = foreign.archive(names)
    if words is not None:
        raise WeightsError(f"{path}: {words}")
    content = listed(names, 3) if names else "nothing"
    raise WeightsError(f"{path}: a zip file without weights; it contains {content}")
