"""Copies in the cache of weights that had to be reordered.

The core uses fully connected weights in the memory-mapped file, without a copy: 494 of VGG-16's
553 MB. That is not possible if the file stores them in another order: files of Keras and Frossard,
and ONNX graphs with transposed matrices (Gemm with transB=0, MatMul). The first network that is
loaded from such a file therefore writes its tensors, in torchvision's layout, to the user's cache
folder, and later ones map that file.

The name of a copy is a digest of the state of the original (device, inode, size, times of change)
and of the versions of the code that wrote it. It is used only if samples of the original's bytes
have not changed, and the copy's pieces have their digests, for which all of it is read. A copy
belongs to exactly one original file: readers that open further files return tensors that need no
reordering.

None of this raises errors: without a copy, the weights are converted again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any, Final

from numpy.typing import NDArray

from gradcam import _cache, _core
from gradcam._files import file_state, sampled_digest
from gradcam._models.checkpoints import Checkpoint
from gradcam._weights.tensors import Weights

MIN_BYTES = 32 << 20
"""Smaller files have no copy; they are converted each time."""

LAYOUT = 2
"""The version of the copies' content: increase this with every change of a layout or a preset. The
version of the package does not change during development."""

_KIND: Final = "converted"

_ORIGINAL = "gradcam original"
"""The key of the digest of the original's samples in a copy's metadata."""


class Copy:
    """The converted copy of one weight file, which may or may not exist.

    Parameters
    ----------
    path : path
        The original. Create the object before the original is read.

    Attributes
    ----------
    state : tuple of int or None
        The state of the original when the object was created, see `gradcam._files.file_state`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self.state = file_state(path)

    def weights(self) -> Weights | None:
        """Return the memory-mapped tensors and the metadata; None if there is no valid copy."""
        found = _cache.find(_KIND, self._digest(), self._key())
        try:
            if found is None or found.metadata.get(_ORIGINAL) != sampled_digest(self._path):
                return None
        except OSError:
            return None
        if not _cache.usable(found):
            return None
        metadata = {name: text for name, text in found.metadata.items() if name != _ORIGINAL}
        return Weights(found.sections, metadata, "converted copy")

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
        size = sum(values.nbytes for values in tensors.values())
        if _cache.folder() is None or size < MIN_BYTES:
            return None
        if not all(_core.all_finite(values) for values in tensors.values()):
            return None  # Network.from_layers names the layer
        try:
            samples = {_ORIGINAL: sampled_digest(self._path)}
        except OSError:
            return None
        if self.state is None or file_state(self._path) != self.state:
            return None  # the file changed while it was read
        usual = {**checkpoint.usual_preset.to_metadata(), "eps": str(checkpoint.eps)}
        stored = {**usual, **metadata, **samples}
        source = os.path.abspath(os.fsdecode(self._path))
        if not _cache.store(_KIND, self._digest(), self._key(), tensors, source, stored):
            return None
        found = self.weights()
        return None if found is None else dict(found.tensors)

    def _key(self) -> dict[str, object]:
        state = None if self.state is None else list(self.state)
        return {"layout": LAYOUT, "version": _core.__version__, "state": state}

    def _digest(self) -> str:
        return hashlib.sha256(repr(self._key()).encode()).hexdigest()[:32]
