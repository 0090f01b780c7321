"""HDF5 files: their groups, attributes and datasets, read by h5py in a process of its own.

libhdf5 was not made for files that are damaged or hostile: some crash it, some keep it busy for
ever. So a child process (:mod:`gradcam._weights.hdf5_child`) opens the file and tells where its
tensors lie; this process never loads the library. It checks what the child says against the size
of the file and maps the tensors itself. Only datasets that are compressed or lie in several
pieces come through a pipe. A child that crashes or takes too long means a damaged file.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gradcam._weights.hdf5_child import BYTES_PER_SECOND, TABLE_SECONDS
from gradcam._weights.tensors import WeightsError, as_float32, from_bfloat16
from gradcam._weights.zips import ask_for, fill

SIGNATURE = b"\x89HDF\r\n\x1a\n"

_ANSWER = 64 << 20
"""The longest table that is read from the child, in bytes."""

_SLACK = 30
"""Seconds that a child may wait for a processor or a disk, beyond what it may compute."""


@dataclass(frozen=True)
class Group:
    """A group's attributes, as far as Keras writes them, and its header's place in the file."""

    path: str
    address: int
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Dataset:
    """An array of numbers; `offset` is None where its values do not lie in one piece."""

    path: str
    number: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    bfloat16: bool
    offset: int | None

    @property
    def kind(self) -> str:
        """The type of its numbers, whichever the order of their bytes."""
        return "bfloat16" if self.bfloat16 else self.dtype.name

    @property
    def nbytes(self) -> int:
        """The size of its values."""
        return math.prod(self.shape) * self.dtype.itemsize


@contextmanager
def opened(
    file: BinaryIO, path: str | os.PathLike[str], start: int = 0, size: int | None = None
) -> Iterator[Table]:
    """The content of an HDF5 file, which may lie within another one.

    Parameters
    ----------
    file : binary file
        Open for reading, with a descriptor.
    path : path
        For messages.
    start, size : int
        Where the HDF5 file lies in `file`; all of it by default.

    Raises
    ------
    ImportError
        Where h5py is not installed.
    WeightsError
        Where the file is damaged, or holds links or anything else that a weight file need not.
    """
    if importlib.util.find_spec("h5py") is None:
        raise ImportError(f'{path}: HDF5 files need h5py: pip install "gradcam[keras]"')
    if not sys.executable or getattr(sys, "frozen", False):
        raise WeightsError(
            f"{path}: HDF5 files are read by a second Python, which an application that brings its "
            f"own has not: make a safetensors file of it elsewhere, with `gradcam convert`"
        )
    if size is None:
        size = os.fstat(file.fileno()).st_size - start
    child = _start(file.fileno(), start, size)
    try:
        yield Table(child, file, path, start, size)
    finally:
        child.kill()
        child.communicate()


@contextmanager
def _patience(child: subprocess.Popen[bytes], seconds: float) -> Iterator[None]:
    """Ends the child where what it is to do within the block takes longer."""
    timer = threading.Timer(seconds, child.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _start(descriptor: int, start: int, size: int) -> subprocess.Popen[bytes]:
    """The child, which imports nothing but h5py and what that needs, from where we would."""
    folders = [entry for entry in sys.path if os.path.isabs(entry)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HDF5_")}
    environment["HDF5_PLUGIN_PRELOAD"] = "::"  # no library is loaded because a file names it
    environment["OPENBLAS_NUM_THREADS"] = "1"
    program = Path(__file__).with_name("hdf5_child.py")
    return subprocess.Popen(
        [sys.executable, "-I", "-S", program, *map(str, (descriptor, start, size)), *folders],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=[descriptor],
        env=environment,
    )


class Table:
    """What an HDF5 file holds, by path: groups, without a slash at the beginning, and datasets."""

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        file: BinaryIO,
        path: str | os.PathLike[str],
        start: int,
        size: int,
    ) -> None:
        self._child, self._file, self._path = child, file, path
        self._start, self._size = start, size
        with _patience(child, TABLE_SECONDS + _SLACK):
            answer = self._answer()
        try:
            self.groups = {g["path"]: Group(**g) for g in answer["groups"]}
            self.datasets = {
                d["path"]: _dataset(number, **d) for number, d in enumerate(answer["datasets"])
            }
        except (KeyError, TypeError, ValueError) as error:  # its memory may be damaged too
            raise WeightsError(f"{path}: damaged as HDF5 ({error})") from error
        self._check()

    def tensors(self, paths: Sequence[str]) -> list[NDArray[Any]]:
        """These datasets' values: floating ones as float32, mapped where they can be."""
        datasets = [self.datasets[path] for path in paths]
        data: NDArray[Any] = np.memmap(self._file, np.uint8, "r")
        received = self._receive([d for d in datasets if d.offset is None and d.nbytes])
        values = []
        for dataset in datasets:
            if dataset.offset is None:
                buffer, offset = received.get(dataset.number, np.empty(0, np.uint8)), 0
            else:
                buffer, offset = data, self._start + dataset.offset
            values.append(_array(buffer, offset, dataset))
        return values

    def _receive(self, datasets: list[Dataset]) -> dict[int, NDArray[np.uint8]]:
        """What the child reads for us, by the datasets' numbers."""
        if not datasets:
            return {}
        total = sum(d.nbytes for d in datasets)
        ask_for(total + 2 * max(d.nbytes for d in datasets), os.fspath(self._path))
        assert self._child.stdin is not None and self._child.stdout is not None
        received = {}
        try:
            with _patience(self._child, TABLE_SECONDS + _SLACK + total / BYTES_PER_SECOND):
                numbers = [d.number for d in datasets]
                self._child.stdin.write(json.dumps(numbers).encode() + b"\n")
                self._child.stdin.flush()
                for dataset in datasets:
                    self._answer()
                    received[dataset.number] = np.empty(dataset.nbytes, np.uint8)
                    fill(received[dataset.number], self._child.stdout)
        except (EOFError, BrokenPipeError):
            raise WeightsError(f"{self._path}: damaged as HDF5 ({self._end()})") from None
        return received

    def _answer(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline(_ANSWER)
        if not line.endswith(b"\n"):
            raise WeightsError(f"{self._path}: damaged as HDF5 ({self._end()})")
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError as error:
            raise WeightsError(f"{self._path}: damaged as HDF5 ({error})") from error
        if "missing" in answer:
            raise ImportError(f"{self._path}: h5py cannot be imported: {answer['missing']}")
        if "refused" in answer:
            raise WeightsError(f"{self._path}: unreadable as HDF5: {answer['refused']}")
        return answer

    def _end(self) -> str:
        """How the child ended, which had more to say."""
        self._child.kill()  # it may only be about to end; one that has ended stays as it is
        status = self._child.wait()
        if status in (-signal.SIGKILL, -signal.SIGXCPU):
            return "the HDF5 library came to no end with it"
        return f"the HDF5 library crashed on it, with status {status}"

    def _check(self) -> None:
        """Datasets that lie in one piece lie inside the file and apart from each other."""
        placed = [(d.offset, d) for d in self.datasets.values() if d.offset is not None]
        end = 0
        for offset, dataset in sorted(placed, key=lambda pair: pair[0]):
            where = f"{self._path}: {dataset.path}"
            if offset < end:
                raise WeightsError(f"{where} lies over another dataset: the file is damaged")
            end = offset + dataset.nbytes
            if end > self._size:
                raise WeightsError(f"{where} ends beyond the file: it is truncated")


def _dataset(number: int, path: str, shape: list[int], dtype: str, offset: int | None) -> Dataset:
    if min([0, *shape]) < 0 or (offset is not None and offset < 0):
        raise ValueError(f"{path}: shape {shape} at {offset}")
    bfloat16 = dtype == "bfloat16"
    kind = np.dtype("<u2" if bfloat16 else dtype)
    return Dataset(path, number, tuple(shape), kind, bfloat16, offset)


def _array(buffer: NDArray[Any], offset: int, dataset: Dataset) -> NDArray[Any]:
    if dataset.nbytes == 0:
        return as_float32(np.empty(dataset.shape, dataset.dtype))
    values: NDArray[Any] = np.ndarray(dataset.shape, dataset.dtype, buffer.data, offset)
    values.flags.writeable = False
    if dataset.bfloat16:
        return from_bfloat16(values)
    return as_float32(values)
