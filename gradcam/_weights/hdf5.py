"""HDF5 files: their groups, attributes and datasets, read by h5py in a child process.

libhdf5 is not safe with damaged or malicious files: some crash it, some make it loop without end.
So a child process (:mod:`gradcam._weights.hdf5_child`) opens the file and reports the offsets of
its tensors; this process never loads the library. It checks the offsets against the size of the
file and maps the tensors itself. Only datasets that are compressed or not contiguous are sent
through a pipe. If the child crashes or takes too long, the file is damaged.
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
from gradcam._weights.zips import check_memory, fill

SIGNATURE = b"\x89HDF\r\n\x1a\n"

_MAX_ANSWER = 64 << 20
"""Maximum length of an answer of the child in bytes."""

_WAITING_SECONDS = 30
"""Time that a child may wait for a processor or a disk, in addition to its processor time."""


@dataclass(frozen=True)
class Group:
    """A group: the attributes that Keras writes, and the address of its header in the file."""

    path: str
    address: int
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Dataset:
    """An array of numbers; `offset` is None if its values are not contiguous in the file."""

    path: str
    number: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    bfloat16: bool
    offset: int | None

    @property
    def kind(self) -> str:
        """The type of its numbers, without their byte order."""
        return "bfloat16" if self.bfloat16 else self.dtype.name

    @property
    def nbytes(self) -> int:
        """The size of its values in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


@contextmanager
def open_table(
    file: BinaryIO, path: str | os.PathLike[str], start: int = 0, size: int | None = None
) -> Iterator[Table]:
    """Open an HDF5 file, which can be a part of another file.

    Parameters
    ----------
    file : binary file
        Open for reading, with a descriptor.
    path : path
        For messages.
    start, size : int
        The offset and the size of the HDF5 file in `file`; all of it by default.

    Raises
    ------
    ImportError
        If h5py is not installed.
    WeightsError
        If the file is damaged, or contains links or other objects that weight files do not need.
    """
    if importlib.util.find_spec("h5py") is None:
        raise ImportError(f'{path}: HDF5 files need h5py: pip install "gradcam[keras]"')
    if not sys.executable or getattr(sys, "frozen", False):
        raise WeightsError(
            f"{path}: HDF5 files are read by a second Python process, which frozen applications "
            f"cannot start: convert it to a safetensors file elsewhere, with `gradcam convert`"
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
def _time_limit(child: subprocess.Popen[bytes], seconds: float) -> Iterator[None]:
    """Kill the child if the block takes longer."""
    timer = threading.Timer(seconds, child.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _start(descriptor: int, start: int, size: int) -> subprocess.Popen[bytes]:
    """Start the child, which imports only h5py and its dependencies, from the same folders."""
    folders = [entry for entry in sys.path if os.path.isabs(entry)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HDF5_")}
    environment["HDF5_PLUGIN_PRELOAD"] = "::"  # load no plugins, whichever filters a file names
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
    """The groups and datasets of an HDF5 file, by path without a slash at the beginning."""

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
        with _time_limit(child, TABLE_SECONDS + _WAITING_SECONDS):
            answer = self._answer()
        try:
            self.groups = {g["path"]: Group(**g) for g in answer["groups"]}
            self.datasets = {
                d["path"]: _dataset(number, **d) for number, d in enumerate(answer["datasets"])
            }
        except (KeyError, TypeError, ValueError) as error:  # the file can damage the child's memory
            raise WeightsError(f"{path}: damaged as HDF5 ({error})") from error
        self._check()

    def tensors(self, paths: Sequence[str]) -> list[NDArray[Any]]:
        """Return the values of datasets: floating-point ones as float32, mapped if possible."""
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
        """Return the bytes of datasets that the child reads, by the datasets' numbers."""
        if not datasets:
            return {}
        total = sum(d.nbytes for d in datasets)
        check_memory(total + 2 * max(d.nbytes for d in datasets), os.fspath(self._path))
        assert self._child.stdin is not None and self._child.stdout is not None
        received = {}
        try:
            seconds = TABLE_SECONDS + _WAITING_SECONDS + total / BYTES_PER_SECOND
            with _time_limit(self._child, seconds):
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
        """Read a line of JSON from the child."""
        assert self._child.stdout is not None
        line = self._child.stdout.readline(_MAX_ANSWER)
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
        """Describe the end of a child that has not sent all of its answer."""
        self._child.kill()  # it may still be ending; no effect if it has ended
        status = self._child.wait()
        if status in (-signal.SIGKILL, -signal.SIGXCPU):
            return "the HDF5 library timed out"
        return f"the HDF5 library crashed with status {status}"

    def _check(self) -> None:
        """Raise WeightsError if contiguous datasets overlap or end beyond the file."""
        placed = [(d.offset, d) for d in self.datasets.values() if d.offset is not None]
        end = 0
        for offset, dataset in sorted(placed, key=lambda pair: pair[0]):
            where = f"{self._path}: {dataset.path}"
            if offset < end:
                raise WeightsError(f"{where} overlaps another dataset: the file is damaged")
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
