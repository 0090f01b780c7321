"""The reader of Keras's files, fuzzed: HDF5, with and without compression, and ``.keras``.

libhdf5 runs in a child process here too, but a forked one with the library loaded: starting Python
for every input would be ten times slower. With FUZZ_INSIDE=1 it runs in the worker, which is
even faster; workers that die are then errors of libhdf5, not findings.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import zip_mutations

import gradcam
from gradcam._weights import hdf5, hdf5_child, keras
from gradcam._weights.tensors import Weights, WeightsError

__all__ = ["mutate", "read", "seeds"]

_DATA = Path(__file__).parent.parent / "data"


def read(path: str) -> Weights:
    """Read a file, and make its network or refuse it."""
    weights = keras.read(path)
    with contextlib.suppress(WeightsError):
        gradcam.load(weights)
    return weights


class _Forked:
    """The part of :class:`subprocess.Popen` that is used."""

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        requests, answers = os.pipe(), os.pipe()
        self.status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.dup2(requests[0], 0)
                os.dup2(answers[1], 1)
                sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115
                sys.argv[1:] = map(str, (descriptor, start, size))
                hdf5_child.main()
                os._exit(0)
            finally:
                os._exit(1)
        os.close(requests[0])
        os.close(answers[1])
        self.stdin, self.stdout = os.fdopen(requests[1], "wb"), os.fdopen(answers[0], "rb")

    def kill(self) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def communicate(self) -> None:
        self.wait()
        with contextlib.suppress(BrokenPipeError):
            self.stdin.close()
        self.stdout.close()


class _Inside:
    """The same without a process, to find the errors of libhdf5."""

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        signal.setitimer(signal.ITIMER_PROF, 1)  # kills the worker if it does not end
        self._answers = io.BytesIO()
        try:
            window = hdf5_child.Window(descriptor, start, size)
            self._table = hdf5_child.describe(window, size)
            answer = {"groups": self._table.groups, "datasets": self._table.datasets}
        except hdf5_child.Refused as error:
            answer = {"refused": str(error)}
        hdf5_child._send(self._answers, answer)
        self._answers.seek(0)
        self.stdin = self.stdout = self

    def readline(self, limit: int) -> bytes:
        return self._answers.readline(limit)

    def readinto(self, buffer: memoryview) -> int:
        return self._answers.readinto(buffer)

    def write(self, numbers: bytes) -> None:
        self._answers = io.BytesIO()
        self._table.send(json.loads(numbers), self._answers)
        self._answers.seek(0)

    def flush(self) -> None:
        pass

    kill = wait = flush

    def communicate(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)


hdf5._start = _Inside if os.environ.get("FUZZ_INSIDE") else _Forked
hdf5_child.TABLE_SECONDS = 1


def _one_layer(name: str) -> bytes:
    """A file of data/ with only its first layer, for more inputs in a second."""
    result = io.BytesIO()
    with h5py.File(_DATA / name) as old, h5py.File(result, "w") as new:
        new.attrs.update(old.attrs)
        root = new
        for group in ("model_weights", "layers"):
            if group in old:
                old, root = old[group], new.create_group(group)
                root.attrs.update(old.attrs)
        layer = next(iter(old))
        old.copy(layer, root)
        if "layer_names" in root.attrs:
            root.attrs["layer_names"] = [layer.encode()]
    return result.getvalue()


def seeds() -> list[bytes]:
    files = [_one_layer(name) for name in ("small.h5", "small_2016.h5", "small.weights.h5")]
    files.append((_DATA / "small.keras").read_bytes())
    for version in ("earliest", "latest"):
        compressed = io.BytesIO()
        with h5py.File(compressed, "w", libver=version, track_order=True) as file:
            group = file.create_group("layers/dense/vars")
            values = np.arange(40, dtype=np.float32).reshape(10, 4)
            group.create_dataset("0", data=values, compression="gzip", chunks=(4, 4), shuffle=True)
            group.create_dataset("1", data=values[0], compression="lzf", fletcher32=True)
        files.append(compressed.getvalue())
    deflated = io.BytesIO()
    with (
        zipfile.ZipFile(deflated, "w", zipfile.ZIP_DEFLATED) as new,
        zipfile.ZipFile(io.BytesIO(files[3])) as old,
    ):
        for member in old.namelist():
            new.writestr(member, old.read(member))
    return [*files, deflated.getvalue()]


def mutate(rng, data, others):
    """Damage one member of a zip file, or flip bits of an HDF5 file."""
    if not data.startswith(b"PK"):
        result = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            result[rng.randrange(len(result))] ^= 1 << rng.randrange(8)
        return bytes(result)
    return zip_mutations.mutate(rng, data, others)
