"""Copies in the cache of weights that had to be reordered.

The core uses fully connected weights in the memory-mapped file, without a copy: 494 of VGG-16's
553 MB. That is not possible if the file stores them in another order: files of Keras and Frossard,
and ONNX graphs with transposed matrices (Gemm with transB=0, MatMul). The first network that is
loaded from such a file therefore writes its layers (:mod:`gradcam._importers.stored`) to the user's
cache folder, and later ones map that file.

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
from dataclasses import replace
from typing import Final

from gradcam import _cache, _core
from gradcam._files import file_state, sampled_digest
from gradcam._importers import stored
from gradcam._importers.imported import Choices, Imported
from gradcam._weights.tensors import Weights

MIN_BYTES = 32 << 20
"""Smaller files have no copy; they are converted each time."""

LAYOUT = 4
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
    choices : Choices
        What the caller chose for the import: another choice has another copy.

    Attributes
    ----------
    state : tuple of int or None
        The state of the original when the object was created, see `gradcam._files.file_state`.
    """

    def __init__(self, path: str | os.PathLike[str], choices: Choices | None = None) -> None:
        self._path = path
        self._choices = choices or Choices()
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

    def of(self, imported: Imported) -> Imported:
        """Return the network with the weights of a new copy; itself if it needs or gets none."""
        if imported.in_place or imported.external:
            return imported
        found = self.write(imported)
        return imported if found is None else replace(found, architecture=imported.architecture)

    def write(self, imported: Imported) -> Imported | None:
        """Write the copy of a network, if there is space for it, and map it.

        Returns
        -------
        Imported or None
            The same network with the weights of the copy; None if there is no copy.
        """
        tensors, metadata = stored.encoded(imported)
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
        source = os.path.abspath(os.fsdecode(self._path))
        content = {**metadata, **samples}
        if not _cache.store(_KIND, self._digest(), self._key(), tensors, source, content):
            return None
        found = self.weights()
        return None if found is None else stored.imported(found, Choices())

    def _key(self) -> dict[str, object]:
        state = None if self.state is None else list(self.state)
        chosen = {"size": self._choices.size, "output": self._choices.output}
        return {"layout": LAYOUT, "version": _core.__version__, "state": state, **chosen}

    def _digest(self) -> str:
        return hashlib.sha256(repr(self._key()).encode()).hexdigest()[:32]
