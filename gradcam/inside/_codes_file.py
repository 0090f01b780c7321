"""Files of codes: .npz without pickled objects.

Arrays of a file: ``values`` (N, D) float32; ``pixels`` (N, 32, 32, 3) uint8; ``sources`` (N,),
paths, empty for pictures that were no files; ``digests`` (N,), SHA-256 of the files; ``labels``
(N,) or (0,); ``skipped`` (S, 3), pictures that could not be read, why, and digests; ``size``
(2,), of the input; and texts: ``format``, ``folder``, ``layer``, ``network``, ``identity``.
"""

from __future__ import annotations

import errno
import lzma
import os
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam._files import atomic_write, expanded, file_digest
from gradcam.inside._picture_set import SIDE, PictureSet, path_of

_FORMAT = "gradcam codes 2"

_WORDS = ("folder", "layer", "network", "identity")

_TEXTS = ("sources", "digests", "labels", "skipped", *_WORDS)

_Array = NDArray[np.generic]


class Stored(NamedTuple):
    """What a file holds.

    Attributes
    ----------
    values : (N, D) array of float32
    pictures : PictureSet
    skipped : tuple of (name, reason)
    folder : str
        The folder of the pictures; empty if they were given as a list.
    layer, network : str
    size : (height, width)
        Of the input; (0, 0) for each picture's own.
    identity : str
        A digest of all that codes depend on: the network up to the layer, and its input.
    digests : tuple of str
        Of the pictures' files; empty for those that were no files. Not used by :func:`write`.
    skipped_digests : tuple of str
        Of the pictures that could not be read; empty for those that could not be opened. Not used
        by :func:`write`.
    """

    values: NDArray[np.float32]
    pictures: PictureSet
    skipped: tuple[tuple[str, str], ...]
    folder: str
    layer: str
    network: str
    size: tuple[int, int]
    identity: str
    digests: tuple[str, ...] = ()
    skipped_digests: tuple[str, ...] = ()


def write(path: str | os.PathLike[str], stored: Stored) -> None:
    """Write a file: the whole or nothing. An earlier file is replaced."""
    check_file(path)
    paths = [path_of(source) or "" for source in stored.pictures.sources]
    arrays: dict[str, Any] = {
        "format": np.array(_FORMAT),
        "values": stored.values,
        "pixels": stored.pictures.pixels,
        "sources": np.array([os.path.abspath(each) if each else "" for each in paths]),
        "digests": np.array(digests(paths)),
        "labels": np.array(stored.pictures.labels or (), np.str_),
        "skipped": np.array(_skipped(stored), np.str_).reshape(-1, 3),
        "folder": np.array(os.path.abspath(stored.folder) if stored.folder else ""),
        "layer": np.array(stored.layer),
        "network": np.array(stored.network),
        "size": np.array(stored.size, np.int64),
        "identity": np.array(stored.identity),
    }
    with atomic_write(path) as file:
        np.savez(file, **arrays)


def check_file(path: str | os.PathLike[str]) -> None:
    """Refuse a file that cannot be written, before any work.

    Raises
    ------
    ValueError
        If its suffix is not .npz.
    FileNotFoundError
        If its folder does not exist.
    """
    name = expanded(path)
    if not name.lower().endswith(".npz"):
        raise ValueError(f"{name}: codes are saved as .npz")
    folder = os.path.dirname(name)
    if folder and not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, "no such folder", folder)


def _skipped(stored: Stored) -> list[tuple[str, str, str]]:
    """Return the pictures that could not be read, as they are written: whole paths, digests."""
    found = digests([name for name, _ in stored.skipped])
    pairs = zip(stored.skipped, found, strict=True)
    return [(os.path.abspath(name), why, digest) for (name, why), digest in pairs]


def digests(paths: Sequence[str]) -> list[str]:
    """Return the SHA-256 of each file; empty if there is none."""
    found = []
    for path in paths:
        try:
            found.append(file_digest(path, "sha256") if path else "")
        except OSError:
            found.append("")
    return found


def read(path: str | os.PathLike[str]) -> Stored:
    """Read a file.

    Raises
    ------
    ValueError
        If it is damaged, or something else.
    OSError
        If it cannot be opened.
    """
    name = os.fspath(path)
    try:
        return _checked(_arrays(expanded(path), name))
    except _Wrong as error:
        raise ValueError(f"{name} {error}") from None


_DAMAGES = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError),
    *(SyntaxError, TypeError, ValueError, tokenize.TokenError, zipfile.BadZipFile, zlib.error),
    *(struct.error, lzma.LZMAError),
)
"""What NumPy and zipfile raise for damaged files."""


class _Wrong(ValueError):
    """Says what is wrong with arrays that could be read."""


def _arrays(path: str, name: str) -> dict[str, _Array]:
    """Return the arrays of a file."""
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about headers that are damaged
        try:
            with np.load(file, allow_pickle=False) as loaded:
                found = {key: loaded[key] for key in loaded.files}
        except _DAMAGES as error:
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise OSError(error.errno, error.strerror, name) from None
            raise _Wrong("does not hold codes, or is damaged") from None
    return {key: each for key, each in found.items() if isinstance(each, np.ndarray)}


def _checked(arrays: Mapping[str, _Array]) -> Stored:
    """Return what the arrays of a file mean."""
    if not np.array_equal(arrays.get("format", ""), _FORMAT):
        raise _Wrong("does not hold codes: expected what Codes.save writes")
    try:
        right = _are_right(arrays)
        texts = {key: arrays[key].tolist() for key in _TEXTS}
    except (KeyError, TypeError, ValueError, SystemError):  # missing, without length, no text
        right = False
    if not right:
        raise _Wrong("is damaged: its arrays do not belong together")
    sources = tuple(each or None for each in texts["sources"])
    pictures = PictureSet(
        sources, tuple(texts["labels"]) or None, arrays["pixels"].astype(np.uint8)
    )
    height, width = arrays["size"].tolist()
    return Stored(
        arrays["values"].astype(np.float32, copy=False),
        pictures,
        tuple((one, why) for one, why, _ in texts["skipped"]),
        *(texts["folder"], texts["layer"], texts["network"]),
        (int(height), int(width)),
        texts["identity"],
        tuple(texts["digests"]),
        tuple(digest for _, _, digest in texts["skipped"]),
    )


def _are_right(arrays: Mapping[str, _Array]) -> bool:
    """Return whether the arrays of a file have the shapes and types that belong together."""
    values = arrays["values"]
    count = len(values)
    shapes = {
        "pixels": (count, SIDE, SIDE, 3),
        "sources": (count,),
        "digests": (count,),
        "labels": (count if arrays["labels"].size else 0,),
        "skipped": (len(arrays["skipped"]), 3),
        "size": (2,),
        **dict.fromkeys(_WORDS, ()),
    }
    kinds = {"pixels": np.dtype(np.uint8).kind, "size": "i"}
    return (
        count > 0
        and values.ndim == 2
        and values.dtype == np.float32
        and arrays["pixels"].dtype == np.uint8
        and all(arrays[name].shape == shape for name, shape in shapes.items())
        and all(arrays[name].dtype.kind == kinds.get(name, "U") for name in shapes)
        and min(arrays["size"].tolist()) >= 0
        and bool(np.isfinite(values).all())
    )
