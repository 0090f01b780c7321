"""The cache of transformed weights of large networks.

The core computes with some weights in other forms: "transformed weights". Of each kind, the cache
folder has one file for each network that was loaded from a weight file:

============== ============================================== ================= =================
kind           content                                        for VGG-16        written by
============== ============================================== ================= =================
"forward"      3x3 convolutions, four times as large as the   235 MB            the first forward
               weights                                                          pass
"backward"     the same for the gradients of their inputs     235 MB            the first backward
                                                                                pass through one
"input-major"  fully connected weights in an order in which   495 MB            the first forward
               the weights of zeros need not be read                            pass
"sums"         fully connected weights, summed over the       8 MB              the first Grad-CAM
               positions of the map that the layer reads                        at the last maps
============== ============================================== ================= =================

Later processes map the files: they read what they use, share it, and the system can free the memory
when it needs it. A file that is missing or damaged is written again. If it cannot be written, the
core computes what it needs in memory, but uses no input-major weights.

A file of convolutions is found by the fingerprints of all weights that it was computed from.
Reading all fully connected weights at each start would take more time than the cache saves: files
of these are found by the state of the weight file (device, inode, size, times of change) and by
samples of the weights. Both also depend on the layout that the kernels need.

The digests of a file are compared before it is used, on several threads. Input-major weights are
the exception: a process reads only some of the rows, and the core compares a fingerprint of each
row when it is first used.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gradcam import _cache, _core
from gradcam._container import Container, Key
from gradcam._files import file_state

MIN_BYTES = 32 << 20
"""Networks with less of a kind are not cached."""

_U8 = NDArray[np.uint8]
_Sections = Mapping[str, _U8]
"""Transformed weights by the layer's number."""

_OF_FILE: Final = ("input-major", "sums")
"""The kinds whose files are found by the state of the weight file."""


class TransformedWeights:
    """The transformed weights of one network.

    Parameters
    ----------
    core : gradcam._core.Network
    kernels, matrices : sequence of array
        The weights of the convolutions and of the linear layers. If they are mapped from a file,
        their memory is freed when their transformed weights are there.
    source : str
        The path of the weight file.
    state : tuple of int or None
        Its state before it was read, see `gradcam._files.file_state`; None if there is no such
        file, or if some of the weights are in other files.
    """

    def __init__(
        self,
        core: _core.Network,
        kernels: Sequence[NDArray[Any]],
        matrices: Sequence[NDArray[Any]],
        source: str,
        state: tuple[int, ...] | None,
    ) -> None:
        self._core = core
        self._kernels = kernels
        self._matrices = matrices
        self._source = source
        self._state = state
        self._lock = threading.RLock()  # signal handlers may start another pass
        self._done: dict[tuple[str, str], frozenset[int]] = {}  # layers, by kind and level
        self._input_major: Container | None = None

    def linear_is_finite(self) -> bool:
        """Return whether the linear weights are known to be finite without reading them.

        They are if there are input-major weights of them: those are made of checked weights.
        """
        sizes = self._sizes("input-major")
        return self._is_cached("input-major", sizes) and (
            self._find("input-major", sizes) is not None
        )

    def begin(self) -> None:
        """Start :meth:`before_forward` on another thread; passes wait for it.

        If it fails there, the first pass does it again.
        """

        def prepare() -> None:
            with suppress(Exception):
                self.before_forward()

        with suppress(RuntimeError):  # the system allows no further thread
            threading.Thread(target=prepare, daemon=True).start()

    def before_forward(self) -> None:
        """Let a forward pass use the cached weights; compute and cache them if necessary."""
        self._attach("forward")
        self._attach("input-major")

    def after_forward(self) -> None:
        """Remove input-major weights in which the core found a damaged row."""
        file = self._input_major
        if file is None:
            return
        damaged = [int(name) for name in file.sections if self._core.pack_damaged(int(name))]
        if damaged:
            self._input_major = None
            _cache.discard(file, f"a row of layer {damaged[0]} has changed")

    def before_backward(self, layers: Collection[int]) -> None:
        """The same for a backward pass through these convolutions."""
        self._attach("backward", layers)

    def before_sums(self) -> None:
        """The same for gradients that are averaged over the positions of the last maps."""
        self._attach("sums")

    def _attach(self, kind: _core.PackKind, layers: Collection[int] | None = None) -> None:
        if self._is_done(kind, layers):
            return
        with self._lock:
            if self._is_done(kind, layers):  # another thread was faster
                return
            sizes = self._sizes(kind)
            done = self._done.get((kind, _core.cpu_level()), frozenset())
            wanted = (sizes.keys() if layers is None else set(layers) & sizes.keys()) - done
            if wanted and self._is_cached(kind, sizes):
                self._find_or_make(kind, sizes, wanted)
                for tensor in self._matrices if kind in _OF_FILE else self._kernels:
                    _free(tensor)
            self._done[kind, _core.cpu_level()] = done.union(sizes if layers is None else layers)

    def _is_done(self, kind: _core.PackKind, layers: Collection[int] | None) -> bool:
        done = self._done.get((kind, _core.cpu_level()))
        return done is not None and (layers is None or done.issuperset(layers))

    def _sizes(self, kind: _core.PackKind) -> dict[int, int]:
        """Return the bytes of this kind by the layers' numbers."""
        sizes = {n: self._core.pack_bytes(n, kind) for n in range(len(self._core))}
        return {n: size for n, size in sizes.items() if size}

    def _is_cached(self, kind: _core.PackKind, sizes: Mapping[int, int]) -> bool:
        """Return whether weights of this kind are not left to the core."""
        if kind != "forward" and _cache.folder() is None:
            return False
        if kind in _OF_FILE and self._state is None:
            return False
        # Sums are small, but all weights are read to make them.
        read = self._sizes("input-major") if kind == "sums" else sizes
        return sum(read.values()) >= MIN_BYTES

    def _find_or_make(
        self, kind: _core.PackKind, sizes: Mapping[int, int], wanted: Collection[int]
    ) -> None:
        found = self._find(kind, sizes)
        if found is not None and self._use(kind, found, wanted, check=True):
            return
        total = sum(sizes.values())
        if kind == "input-major" and not _cache.has_room(total):
            return
        sections = self._make(kind, sizes)
        if sections is None:
            return
        if self._store(kind, sizes, sections):
            found = self._find(kind, sizes)
            if found is not None and self._use(kind, found, wanted, check=False):
                return
        if kind != "input-major":
            self._lend(kind, sections, wanted)

    def _key(self, kind: _core.PackKind, sizes: Mapping[int, int]) -> tuple[str, Key]:
        """Return the digest and the key of a file."""
        with self._sampling(kind):
            keys = {layer: self._core.pack_key(layer, kind) for layer in sizes}
        state = list(self._state or ()) if kind in _OF_FILE else []
        layers = [[layer, sizes[layer], f"{keys[layer]:016x}"] for layer in sizes]
        return _digest([*keys.values(), *state]), {"layers": layers, "state": state}

    def _find(self, kind: _core.PackKind, sizes: Mapping[int, int]) -> Container | None:
        if _cache.folder() is None:
            return None
        found = _cache.find(kind, *self._key(kind, sizes))
        if found is not None and kind == "input-major":
            for section in found.sections.values():
                _advise(section, "MADV_RANDOM")  # rows that are not used are not read
        return found

    def _store(self, kind: _core.PackKind, sizes: Mapping[int, int], sections: _Sections) -> bool:
        """Write a file, unless the weight file changed after it was opened."""
        if _cache.folder() is None:
            return False
        if kind in _OF_FILE and file_state(self._source) != self._state:
            return False
        digest, key = self._key(kind, sizes)
        scattered = kind == "input-major"
        return _cache.store(kind, digest, key, sections, self._source, scattered=scattered)

    def _make(self, kind: _core.PackKind, sizes: Mapping[int, int]) -> _Sections | None:
        """Compute the transformed weights of all layers in memory.

        Returns None if there is not enough memory, or another thread changes the level.
        """
        sections = {}
        places = {layer: -(-size // 64) * 64 for layer, size in sizes.items()}
        try:
            content = np.frombuffer(_memory(sum(places.values())), np.uint8)
            begin = 0
            for layer, size in sizes.items():
                part = sections[str(layer)] = content[begin : begin + size]
                self._core.pack(layer, kind, part)
                begin += places[layer]
        except (OSError, ValueError):
            return None
        return sections

    def _use(
        self, kind: _core.PackKind, file: Container, wanted: Collection[int], *, check: bool
    ) -> bool:
        """Let the network use a file; if it is damaged, remove it and return False."""
        checked = check and kind != "input-major"
        if checked and not _cache.usable(file, [str(layer) for layer in wanted]):
            return False
        if not self._lend(kind, file.sections, wanted):
            _cache.discard(file, "its values do not belong to the weights")
            return False
        if kind == "input-major":
            self._input_major = file
            for section in file.sections.values():  # of which a sample was read
                _free(section)
        return True

    def _lend(self, kind: _core.PackKind, sections: _Sections, wanted: Collection[int]) -> bool:
        """Let the network use these; False if a sample of them does not fit its weights."""
        try:
            with self._sampling(kind):
                for layer in sorted(wanted):
                    self._core.lend_pack(layer, kind, sections[str(layer)])
        except ValueError:
            return False
        return True

    @contextmanager
    def _sampling(self, kind: _core.PackKind) -> Iterator[None]:
        """Keep the system from reading ahead where samples of the linear weights are read."""
        matrices = self._matrices if kind in _OF_FILE else ()
        for matrix in matrices:
            _advise(matrix, "MADV_RANDOM")
        try:
            yield
        finally:
            for matrix in matrices:
                _advise(matrix, "MADV_NORMAL")


def _digest(keys: Iterable[int]) -> str:
    """Return 32 hexadecimal digits for these numbers."""
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


def _free(tensor: NDArray[Any]) -> None:
    """Free the memory of a tensor that is mapped from a file: it can be read again."""
    _advise(tensor, "MADV_DONTNEED")


def _advise(tensor: NDArray[Any], advice: str) -> None:
    """Tell the system how the whole pages of a tensor are used, if it is mapped from a file."""
    memory: object = tensor
    while isinstance(memory, np.ndarray):
        memory = memory.base
    if not isinstance(memory, mmap.mmap) or not hasattr(mmap, advice):
        return
    start = _address(tensor) - _address(np.frombuffer(memory, np.uint8))
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (start + tensor.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if first < end:
        with suppress(OSError):  # for example of memory that is locked
            memory.madvise(getattr(mmap, advice), first, end - first)


def _address(array: NDArray[Any]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
