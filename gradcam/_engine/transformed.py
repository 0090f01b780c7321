"""The cache of transformed weights of large networks.

3x3 convolutions run on transformed weights, which are four times as large as the weights. For
VGG-16, computing them takes much of the time from the start of a process to its first heat map, and
235 MB of memory. So the first forward pass of a network that was loaded from a file writes them to
the user's cache folder, and later processes map that file: they read what they use, share it, and
the system can free the memory when it needs it.

A file is found by the fingerprints of all weights that it was computed from, and by the layout that
the kernels need: weights that changed have another file, whatever the date of theirs. The digests
of a file are compared before the first pass, on several threads. If a file is missing, damaged or
cannot be written, the network computes its transformed weights in memory.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gradcam import _cache, _core

MIN_BYTES = 32 << 20
"""Networks with less are not cached."""

_KIND: Final = "transformed"

_Sections = Mapping[str, NDArray[np.float32]]
"""Transformed weights by the layer's number."""


class TransformedWeights:
    """The transformed weights of one network.

    Parameters
    ----------
    core : gradcam._core.Network
    tensors : sequence of array
        The weights that are not read any more once the transformed ones exist: if they are
        mapped from a file, their memory is freed.
    source : str
        The path of the weight file.
    """

    def __init__(
        self, core: _core.Network, tensors: Sequence[NDArray[np.float32]], source: str
    ) -> None:
        self._core = core
        self._tensors = tensors
        self._source = source
        self._lock = threading.Lock()
        self._done = False

    def attach(self) -> None:
        """Let the network use the cached weights, once; compute and cache them if necessary."""
        if self._done:
            return
        with self._lock:
            if not self._done:
                self._attach()
                self._done = True

    def _attach(self) -> None:
        sizes = {layer: self._core.pack_floats(layer) for layer in range(len(self._core))}
        sizes = {layer: floats for layer, floats in sizes.items() if floats}
        if 4 * sum(sizes.values()) < MIN_BYTES:
            return
        if _cache.folder() is None:
            self._compute(sizes)
        else:
            self._find_or_store(sizes)
        for tensor in self._tensors:
            _free(tensor)

    def _find_or_store(self, sizes: Mapping[int, int]) -> None:
        keys = {layer: self._core.pack_key(layer) for layer in sizes}
        digest = _digest(keys.values())
        key = {"layers": [[layer, sizes[layer], f"{keys[layer]:016x}"] for layer in sizes]}
        cached = _cache.find(_KIND, digest, key)
        if cached is not None and _cache.usable(cached):
            if self._use(cached.sections):
                return
            _cache.discard(cached, "its values do not belong to the weights")
        sections = self._compute(sizes)
        if sections is not None:
            _cache.store(_KIND, digest, key, sections, self._source)

    def _compute(self, sizes: Mapping[int, int]) -> _Sections | None:
        """Compute all transformed weights in memory and use them.

        Returns None if there is not enough memory, or another thread changes the kernels.
        """
        sections = {}
        try:
            content = np.frombuffer(_memory(4 * sum(sizes.values())), np.float32)
            begin = 0
            for layer, floats in sizes.items():
                part = sections[str(layer)] = content[begin : begin + floats]
                self._core.pack(layer, part)
                begin += floats
        except (OSError, ValueError):
            return None
        self._use(sections)
        return sections

    def _use(self, sections: _Sections) -> bool:
        """Let the network use these; False if a sample of them does not fit its weights."""
        try:
            for layer, part in sections.items():
                self._core.lend_pack(int(layer), part)
        except ValueError:
            return False
        return True


def _digest(keys: Iterable[int]) -> str:
    """Return 32 hexadecimal digits for these fingerprints of layers."""
    digest = 0
    for key in keys:
        digest = (digest * 0x9E3779B185EBCA87 + key) % (1 << 128)
    return f"{digest:032x}"


def _memory(size: int) -> mmap.mmap:
    """Allocate memory, in huge pages if possible."""
    available = _core.available_memory()
    if available is not None and size > available:
        raise OSError("no memory")
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def _free(tensor: NDArray[np.float32]) -> None:
    """Free the memory of a tensor that is mapped from a file: it can be read again."""
    memory: object = tensor
    while isinstance(memory, np.ndarray):
        memory = memory.base
    if not isinstance(memory, mmap.mmap) or not hasattr(mmap, "MADV_DONTNEED"):
        return
    start = _address(tensor) - _address(np.frombuffer(memory, np.uint8))
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE  # whole pages
    end = (start + tensor.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if first < end:
        memory.madvise(mmap.MADV_DONTNEED, first, end - first)


def _address(array: NDArray[Any]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
