"""Copies in the cache of weights that had to be reordered.

The core uses fully connected weights in the memory-mapped file, without a copy: 494 of VGG-16's
553 MB. That is not possible if the file stores them in another order: files of Keras and Frossard,
and ONNX graphs with transposed matrices (Gemm with transB=0, MatMul). The first network that is
loaded from such a file therefore writes a safetensors file with torchvision's layout to the user's
cache folder, and later ones map that file.

The name of a copy is a digest of the state of the original (device, inode, size, times of change)
and of the versions of the code that wrote it. It is used only if samples of the original's bytes
and of the copy's values have not changed. A copy belongs to exactly one original file: readers that
open further files return tensors that need no reordering.

None of this raises errors: without a copy, the weights are converted again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcam import _cache, _core
from gradcam._models.checkpoints import Checkpoint
from gradcam._weights import safetensors
from gradcam._weights.tensors import Weights, WeightsError

MIN_BYTES = 32 << 20
"""Smaller files have no copy; they are converted each time."""

MAX_BYTES = 2 << 30
"""The size of all copies together; the least recently used ones are removed first."""

LAYOUT = 1
"""The version of the copies' content: increase this with every change of a layout or a preset. The
version of the package does not change during development."""

_SUFFIX = ".weights"
_ORIGINAL, _VALUES = "gradcam original", "gradcam values"
"""Keys in a copy's metadata: the digests of the samples."""

_SAMPLES = 32
"""Samples of the original, and of each tensor of the copy."""

_BLOCK = 4096
"""Bytes in a sample of the original."""


class Copy:
    """The converted copy of one weight file, which may or may not exist.

    Parameters
    ----------
    path : path
        The original. Create the object before the original is read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self._state = _state(path)

    def weights(self) -> Weights | None:
        """Return the memory-mapped tensors and the metadata; None if there is no valid copy."""
        place = self._place()
        if place is None:
            return None
        try:
            found = safetensors.read(place)
            samples = (found.metadata.get(_ORIGINAL), found.metadata.get(_VALUES))
            if samples != (_file_digest(self._path), _values_digest(found.tensors)):
                return None
        except (OSError, WeightsError):
            return None
        with suppress(OSError):  # no permission, in a shared folder
            os.utime(place)  # marks it as recently used
        metadata = {k: v for k, v in found.metadata.items() if k not in (_ORIGINAL, _VALUES)}
        return Weights(found.tensors, metadata, found.format)

    def write(
        self,
        tensors: Mapping[str, NDArray[Any]],
        checkpoint: Checkpoint,
        metadata: Mapping[str, str],
    ) -> dict[str, NDArray[Any]] | None:
        """Write the copy, if there is space for it, and map it.

        Parameters
        ----------
        tensors : mapping of str to array
            As returned by ``checkpoint.tensors()``.
        checkpoint : Checkpoint
        metadata : mapping of str to str
            The original's.

        Returns
        -------
        dict of str to array, or None if there is no copy
        """
        place = self._place()
        size = sum(values.nbytes for values in tensors.values())
        if place is None or size < MIN_BYTES:
            return None
        try:
            if not _cache.make_room(place, size, MAX_BYTES):
                return None
            entries = {_ORIGINAL: _file_digest(self._path), _VALUES: _values_digest(tensors)}
            if _state(self._path) != self._state:  # it was changed while it was read
                return None
            entries = {"preset": checkpoint.layout_preset, **metadata, **entries}
            safetensors.write(tensors, place, entries)
        except (OSError, WeightsError):  # WeightsError: not finite; from_layers names the layer
            return None
        found = self.weights()
        return None if found is None else dict(found.tensors)

    def _place(self) -> Path | None:
        folder = _cache.folder()
        if folder is None or self._state is None:
            return None
        key = repr((LAYOUT, _core.__version__, self._state))
        return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}{_SUFFIX}"


def _state(path: str | os.PathLike[str]) -> tuple[int, ...] | None:
    """Return what normally changes if a file changes; None if there is no such file."""
    with suppress(OSError, ValueError):
        status = os.stat(path)
        times = status.st_mtime_ns, status.st_ctime_ns  # programs can set the first to any value
        return status.st_dev, status.st_ino, status.st_size, *times
    return None


def _file_digest(path: str | os.PathLike[str]) -> str:
    """Return a digest of blocks spread evenly over a file, including the first and the last."""
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        last = max(os.fstat(file.fileno()).st_size - _BLOCK, 0)
        for i in range(_SAMPLES):
            file.seek(last * i // (_SAMPLES - 1))
            digest.update(file.read(_BLOCK))
    return digest.hexdigest()


def _values_digest(tensors: Mapping[str, NDArray[Any]]) -> str:
    """Return a digest of names, shapes, and values spread evenly over each tensor."""
    digest = hashlib.sha256()
    for name, values in tensors.items():
        digest.update(f"{name} {values.shape}".encode())
        places = np.linspace(0, values.size - 1, _SAMPLES).astype(np.int64)
        digest.update(values.reshape(-1)[places].tobytes())
    return digest.hexdigest()
