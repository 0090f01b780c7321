"""The cache of transformed weights of large networks.

3x3 convolutions run on transformed weights, which are four times as large as the weights. For
VGG-16, computing them takes much of the time from the start of a process to its first heat map, and
235 MB of memory. So the first forward pass of a network that was loaded from a file writes them to
the user's cache folder, and later processes map that file: they read what they use, share it, and
the system can free the memory when it needs it.

A file is found by the fingerprints of all weights that it was computed from, and by the layout that
the kernels need: weights that changed have another file, whatever the date of theirs. Nothing here
raises an error: if a file is missing, damaged or cannot be written, the network computes its
transformed weights in memory.
"""

from __future__ import annotations

import json
import mmap
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcam import _cache, _core
from gradcam._files import atomic_write

MIN_BYTES = 32 << 20
"""Networks with less are not cached."""

MAX_BYTES = 1 << 30
"""The size of all files together; those unused for longest are removed first."""

_SUFFIX = ".packs"

_PAGE = 4096


class TransformedWeights:
    """The transformed weights of one network.

    Parameters
    ----------
    core : gradcam._core.Network
    tensors : sequence of array
        The weights that are not read any more once the transformed ones exist: if they are
        mapped from a file, their memory is freed.
    """

    def __init__(self, core: _core.Network, tensors: Sequence[NDArray[np.float32]]) -> None:
        self._core = core
        self._tensors = tensors
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
        where = _cache.folder()
        if where is None:
            self._compute(sizes)
        else:
            keys = {layer: self._core.pack_key(layer) for layer in sizes}
            path = where / f"{_name(keys.values())}{_SUFFIX}"
            header = _header(sizes, keys)
            content = _mapped(path, header, sum(sizes.values()))
            if content is None or not self._use(sizes, content):
                content = self._compute(sizes)
                if content is not None:
                    _write(path, header, content)
        for tensor in self._tensors:
            _free(tensor)

    def _compute(self, sizes: Mapping[int, int]) -> NDArray[np.float32] | None:
        """Compute all transformed weights in memory and use them.

        Returns None if there is not enough memory, or another thread changes the kernels.
        """
        try:
            content = np.frombuffer(_memory(4 * sum(sizes.values())), np.float32)
            for layer, part in _parts(sizes, content):
                self._core.pack(layer, part)
        except (OSError, ValueError):
            return None
        self._use(sizes, content)
        return content

    def _use(self, sizes: Mapping[int, int], content: NDArray[np.float32]) -> bool:
        """Let the network use these; False if a sample of them does not fit its weights."""
        try:
            for layer, part in _parts(sizes, content):
                self._core.lend_pack(layer, part)
        except ValueError:
            return False
        return True


def _name(keys: Iterable[int]) -> str:
    """Return the name of a file for these fingerprints of layers."""
    name = 0
    for key in keys:
        name = (name * 0x9E3779B185EBCA87 + key) % (1 << 128)
    return f"{name:032x}"


def _header(sizes: Mapping[int, int], keys: Mapping[int, int]) -> bytes:
    """Return the first bytes of a file: they say what it holds, and fill whole pages."""
    layers = [[layer, floats, f"{keys[layer]:016x}"] for layer, floats in sizes.items()]
    text = json.dumps({"gradcam": "transformed weights", "layers": layers}).encode()
    return text.ljust(-(-len(text) // _PAGE) * _PAGE)


def _parts(
    sizes: Mapping[int, int], content: NDArray[np.float32]
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the layers, each with its part of the content."""
    begin = 0
    for layer, floats in sizes.items():
        yield layer, content[begin : begin + floats]
        begin += floats


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


def _mapped(path: Path, header: bytes, count: int) -> NDArray[np.float32] | None:
    """Map a file and return its content; None if it is missing, truncated or another network's."""
    try:
        with open(path, "rb") as file:
            whole = os.fstat(file.fileno()).st_size == len(header) + 4 * count
            if not whole or file.read(len(header)) != header:
                return None
            memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        return None
    with suppress(OSError):
        os.utime(path)  # mark it as used
    return np.frombuffer(memory, np.float32, count, len(header))


def _write(path: Path, header: bytes, content: NDArray[np.float32]) -> None:
    """Write a file to the cache if there is enough space."""
    try:
        if not _cache.make_room(path, content.nbytes, MAX_BYTES):
            return
        with atomic_write(path) as file:
            file.write(header)
            file.write(content.data)
    except OSError:
        pass


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
