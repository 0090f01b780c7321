"""Weights that a file holds in another layout, kept in torchvision's from one process to the next.

The core uses fully connected weights where they lie, mapped from the file: 494 of VGG-16's 553 MB
are never copied. That is not possible with files of Keras and of Frossard and with ONNX graphs
whose matrices are transposed (Gemm with transB=0, MatMul): they hold them in another order. So the
first network that is made of such a file leaves a safetensors file with its weights in the user's
cache folder (see :mod:`gradcam._engine.transformed`), and later ones map that.

A copy is found by what the system says of the original (place, size, times of change) and by the
versions of what made it, and used only if samples of the original's bytes and of its own values are
those that it was made with. The original is one file: a reader that opens others beside it gives
all tensors in order and in one piece, so that there is nothing to keep.

Nothing here is an error: without a copy, the weights are converted again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradcam import _cache, _core
from gradcam._weights import safetensors
from gradcam._weights.tensors import Weights, WeightsError

if TYPE_CHECKING:
    from gradcam._models.checkpoints import Checkpoint

LEAST_BYTES = 32 << 20
"""Files with less are converted each time."""

MOST_BYTES = 2 << 30
"""What all copies together may take; the ones longest unused go first."""

LAYOUT = 1
"""Counts what copies hold: to be raised with every change of a layout or a preset. The package's
version alone would let the copies of a development version win over what was mended since."""

_SUFFIX = ".weights"
_ORIGINAL, _VALUES = "gradcam original", "gradcam values"
"""The entries of a copy's metadata with the samples."""

_SAMPLES = 32
"""Places in the original, and in each tensor of the copy, that are compared."""

_BLOCK = 4096


class Copy:
    """The place of the converted copy of one weight file.

    Parameters
    ----------
    path : path
        Of the original, before it is read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self._state = _state(path)

    def weights(self) -> Weights | None:
        """The copy's tensors, mapped, and its metadata; None where there is none that fits."""
        place = self._place()
        if place is None:
            return None
        try:
            found = safetensors.read(place)
            samples = (found.metadata.get(_ORIGINAL), found.metadata.get(_VALUES))
            if samples != (_of_file(self._path), _of_values(found.tensors)):
                return None
        except (OSError, WeightsError):
            return None
        with suppress(OSError):  # a folder that others share need not be ours to write to
            os.utime(place)  # it is in use
        metadata = {k: v for k, v in found.metadata.items() if k not in (_ORIGINAL, _VALUES)}
        return Weights(found.tensors, metadata, found.format)

    def write(
        self,
        tensors: Mapping[str, NDArray[Any]],
        checkpoint: Checkpoint,
        metadata: Mapping[str, str],
    ) -> dict[str, NDArray[Any]] | None:
        """Leave a copy behind, if there is room for it, and map it.

        Parameters
        ----------
        tensors : mapping of str to array
            Those of ``checkpoint.tensors()``.
        checkpoint : Checkpoint
        metadata : mapping of str to str
            The original's.

        Returns
        -------
        dict of str to array, or None where there is no copy
        """
        place = self._place()
        size = sum(values.nbytes for values in tensors.values())
        if place is None or size < LEAST_BYTES:
            return None
        try:
            if not _cache.make_room(place, size, MOST_BYTES):
                return None
            entries = {_ORIGINAL: _of_file(self._path), _VALUES: _of_values(tensors)}
            if _state(self._path) != self._state:  # it was changed while it was read
                return None
            entries = {"preset": checkpoint.layout_preset, **metadata, **entries}
            safetensors.write(tensors, place, entries)
        except (OSError, WeightsError):  # WeightsError: not finite, which the layers will tell
            return None
        found = self.weights()
        return None if found is None else dict(found.tensors)

    def _place(self) -> Path | None:
        where = _cache.folder()
        if where is None or self._state is None:
            return None
        key = repr((LAYOUT, _core.__version__, self._state))
        return where / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}{_SUFFIX}"


def _state(path: str | os.PathLike[str]) -> tuple[int, ...] | None:
    """What changes when a file does, as a rule; None where there is no such file."""
    with suppress(OSError, ValueError):
        status = os.stat(path)
        times = status.st_mtime_ns, status.st_ctime_ns  # the first can be set to anything
        return status.st_dev, status.st_ino, status.st_size, *times
    return None


def _of_file(path: str | os.PathLike[str]) -> str:
    """A digest of blocks spread evenly over a file, the first and the last among them."""
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        last = max(os.fstat(file.fileno()).st_size - _BLOCK, 0)
        for i in range(_SAMPLES):
            file.seek(last * i // (_SAMPLES - 1))
            digest.update(file.read(_BLOCK))
    return digest.hexdigest()


def _of_values(tensors: Mapping[str, NDArray[Any]]) -> str:
    """A digest of names, shapes, and values spread evenly over each tensor."""
    digest = hashlib.sha256()
    for name, values in tensors.items():
        digest.update(f"{name} {values.shape}".encode())
        places = np.linspace(0, values.size - 1, _SAMPLES).astype(np.int64)
        digest.update(values.reshape(-1)[places].tobytes())
    return digest.hexdigest()
