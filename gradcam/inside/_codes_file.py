"""Files of codes: .npz without pickled objects.

Arrays of a file: ``values`` (N, D) float32; ``pixels`` (N, 32, 32, 3) uint8; ``sources`` (N,),
paths, empty for pictures that were no files; ``digests`` (N,), SHA-256 of the files; ``labels``
(N,) or (0,); ``skipped`` (S, 2), names of pictures that could not be read, and why; ``size`` (2,),
of the input; and texts: ``format``, ``folder``, ``layer``, ``network``, ``identity``.
"""

from __future__ import annotations

import errno
import os
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam._files import atomic_write, expanded, file_digest
from gradcam.inside._picture_set import SIDE, PictureSet, path_of

_FORMAT = "gradcam codes 1"

_TEXTS = ("sources", "digests", "labels", "skipped")

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
        "skipped": np.array(_skipped(stored), np.str_).reshape(-1, 2),
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


def _skipped(stored: Stored) -> list[tuple[str, str]]:
    """Return the pictures that could not be read, as they are written: with whole paths."""
    return [(os.path.abspath(name), why) for name, why in stored.skipped]


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
        with np.load(expanded(path), allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, TypeError, AttributeError):
        raise ValueError(f"{name} does not hold codes, or is damaged") from None
    return _checked(arrays, name)


def _checked(arrays: Mapping[str, _Array], name: str) -> Stored:
    """Return what the arrays of a file mean."""
    if "format" not in arrays or str(arrays["format"]) != _FORMAT:
        raise ValueError(f"{name} does not hold codes: expected what Codes.save writes")
    try:
        right = _are_right(arrays)
    except (KeyError, TypeError):
        right = False
    if not right:
        raise ValueError(f"{name} is damaged: its arrays do not belong together")
    texts = {key: arrays[key].tolist() for key in _TEXTS}
    sources = tuple(each or None for each in texts["sources"])
    pictures = PictureSet(
        sources, tuple(texts["labels"]) or None, arrays["pixels"].astype(np.uint8)
    )
    height, width = arrays["size"].tolist()
    return Stored(
        arrays["values"].astype(np.float32, copy=False),
        pictures,
        tuple((one, why) for one, why in texts["skipped"]),
        str(arrays["folder"]),
        str(arrays["layer"]),
        str(arrays["network"]),
        (int(height), int(width)),
        str(arrays["identity"]),
        tuple(texts["digests"]),
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
        "skipped": (len(arrays["skipped"]), 2),
        "size": (2,),
        **dict.fromkeys(("folder", "layer", "network", "identity"), ()),
    }
    kinds = {"pixels": np.dtype(np.uint8).kind, "size": "i"}
    return (
        count > 0
        and values.ndim == 2
        and values.dtype == np.float32
        and arrays["pixels"].dtype == np.uint8
        and all(arrays[name].shape == shape for name, shape in shapes.items())
        and all(arrays[name].dtype.kind == kinds.get(name, "U") for name in shapes)
        and bool(np.isfinite(values).all())
    )
