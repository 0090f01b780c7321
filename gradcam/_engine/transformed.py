"""Transformed weights of large networks, kept in files from one process to the next.

3x3 convolutions run on transformed weights four times as large as the weights. To make those of
VGG-16 takes a good part of the time from the start of a process to its first heat map, and 235 MB
of its memory. So the first forward pass of a network whose weights came from a file leaves them
in the user's cache folder, and later processes map that file: they read what they use, share it,
and the system takes the memory back when it needs it.

A file is found by the fingerprints of the weights that it was made from, of every one of them, and
by the layout that the kernels want: weights that changed, whatever their file's date, have another
file. Nothing here is an error: where a file is missing, damaged or cannot be written, the network
makes its transformed weights in memory.

GRADCAM_CACHE names another folder, or is ``off``.
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

LEAST_BYTES = 32 << 20
"""Networks with less are not worth a file."""

MOST_BYTES = 1 << 30
"""What all files together may take; the ones longest unused go first."""

_PAGE = 4096


class TransformedWeights:
    """The transformed weights of one network; :meth:`attach` lends them to it, once.

    Parameters
    ----------
    core : gradcam._core.Network
    tensors : sequence of array
        The weights that are no more needed when the transformed ones are there: where they are
        mapped from a file, their memory is given back.
    """

    def __init__(self, core: _core.Network, tensors: Sequence[NDArray[np.float32]]) -> None:
        self._core = core
        self._tensors = tensors
        self._lock = threading.Lock()
        self._done = False

    def attach(self) -> None:
        """Lend the network what the cache has; make and keep it where it has not."""
        if self._done:
            return
        with self._lock:
            if not self._done:
                self._attach()
                self._done = True

    def _attach(self) -> None:
        sizes = {layer: self._core.pack_floats(layer) for layer in range(len(self._core))}
        sizes = {layer: floats for layer, floats in sizes.items() if floats}
        if 4 * sum(sizes.values()) < LEAST_BYTES:
            return
        where = _cache.folder()
        if where is None:
            self._make(sizes)
        else:
            keys = {layer: self._core.pack_key(layer) for layer in sizes}
            path = where / f"{_name(keys.values())}.packs"
            header = _header(sizes, keys)
            content = _mapped(path, header, sum(sizes.values()))
            if content is None or not self._lend(sizes, content):
                content = self._make(sizes)
                if content is not None:
                    _write(path, header, content)
        for tensor in self._tensors:
            _give_back(tensor)

    def _make(self, sizes: Mapping[int, int]) -> NDArray[np.float32] | None:
        """Make them all in memory and lend them; None where that was not to be."""
        try:
            content = np.frombuffer(_memory(4 * sum(sizes.values())), np.float32)
            for layer, part in _parts(sizes, content):
                self._core.pack(layer, part)
        except (OSError, ValueError):  # no memory; another thread has changed the level
            return None
        self._lend(sizes, content)
        return content

    def _lend(self, sizes: Mapping[int, int], content: NDArray[np.float32]) -> bool:
        """Whether the network takes them all; it refuses what a sample shows to be others."""
        try:
            for layer, part in _parts(sizes, content):
                self._core.lend_pack(layer, part)
        except ValueError:
            return False
        return True


def _name(keys: Iterable[int]) -> str:
    name = 0
    for key in keys:
        name = (name * 0x9E3779B185EBCA87 + key) % (1 << 128)
    return f"{name:032x}"


def _header(sizes: Mapping[int, int], keys: Mapping[int, int]) -> bytes:
    """What a file begins with: it says what the file holds, and fills whole pages."""
    layers = [[layer, floats, f"{keys[layer]:016x}"] for layer, floats in sizes.items()]
    text = json.dumps({"gradcam": "transformed weights", "layers": layers}).encode()
    return text.ljust(-(-len(text) // _PAGE) * _PAGE)


def _parts(
    sizes: Mapping[int, int], content: NDArray[np.float32]
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The layers, each with its part of the content."""
    begin = 0
    for layer, floats in sizes.items():
        yield layer, content[begin : begin + floats]
        begin += floats


def _memory(size: int) -> mmap.mmap:
    available = _core.available_memory()
    if available is not None and size > available:
        raise OSError("no memory")
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def _mapped(path: Path, header: bytes, count: int) -> NDArray[np.float32] | None:
    """The content of a file, mapped; None where it is missing, another's or cut short."""
    try:
        with open(path, "rb") as file:
            whole = os.fstat(file.fileno()).st_size == len(header) + 4 * count
            if not whole or file.read(len(header)) != header:
                return None
            memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        return None
    with suppress(OSError):
        os.utime(path)  # it is in use
    return np.frombuffer(memory, np.float32, count, len(header))


def _write(path: Path, header: bytes, content: NDArray[np.float32]) -> None:
    """Leave the file behind, if there is room for it."""
    try:
        if not _cache.make_room(path, content.nbytes, MOST_BYTES):
            return
        with atomic_write(path) as file:
            file.write(header)
            file.write(content.data)
    except OSError:
        pass


def _give_back(tensor: NDArray[np.float32]) -> None:
    """Give back the memory of a tensor that is mapped from a file: it is read again if need be."""
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
