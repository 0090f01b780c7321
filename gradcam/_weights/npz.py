"""NumPy's .npz: a zip file of .npy members.

Members that are stored as they are (``numpy.savez``) are mapped into memory in place; deflated
ones (``numpy.savez_compressed``) are read. Only numbers are taken: no pickled objects, text or
records.
"""

from __future__ import annotations

import io
import math
import os
import warnings
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gradcam._weights.tensors import Weights, WeightsError, as_float32
from gradcam._weights.zips import Archive

_HEADER = 4096
"""The longest header of a .npy member that is parsed; those of arrays of numbers take 128."""


def read(path: str | os.PathLike[str]) -> Weights:
    """Read or map every array of an .npz file, named as its member without ``.npy``.

    Raises
    ------
    WeightsError
        Where the file is truncated, encrypted, holds no arrays, or something else than numbers.
    MemoryError
        Where a deflated member has no room in memory.
    """
    with open(path, "rb") as file:
        return _arrays(file, path)


def _arrays(file: BinaryIO, path: str | os.PathLike[str]) -> Weights:
    archive = Archive(file, path)
    members = [m for m in archive.members.values() if m.name.endswith(".npy")]
    if not members:
        kind = "PyTorch" if any(n.endswith(".pkl") for n in archive.members) else "other"
        raise WeightsError(f"{path}: a zip file ({kind}) without .npy arrays")
    mapped: NDArray[Any] = np.memmap(file, np.uint8, "r")
    tensors = {}
    dtypes = {}
    for member in members:
        if member.deflated:
            data = archive.read(member)
        else:
            data = mapped[member.start : member.start + member.size]
        name = member.name.removesuffix(".npy")
        values = _array(data, f"{path}: {member.name}")
        tensors[name] = as_float32(values)
        if tensors[name].dtype != values.dtype:
            dtypes[name] = str(values.dtype)
    return Weights(tensors, {}, "NumPy .npz", dtypes)


def _array(data: NDArray[Any], where: str) -> NDArray[Any]:
    """A view of the array that the bytes of an .npy member hold."""
    stream = io.BytesIO(data[: _HEADER + 16].tobytes())
    try:
        shape, fortran, dtype = _header(stream)
    except Exception as error:  # NumPy meets damage with errors of every type
        raise WeightsError(f"{where}: no header of a NumPy array ({error})") from error
    if dtype.hasobject:
        raise WeightsError(f"{where}: holds pickled objects, not numbers")
    if dtype.kind not in "biuf":
        raise WeightsError(f"{where}: holds {dtype}, expected real numbers")
    start = stream.tell()
    needed = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or len(shape) > 32 or start + needed != len(data):
        raise WeightsError(
            f"{where}: shape {shape} of {dtype} needs {needed} bytes, the member holds "
            f"{len(data) - start}"
        )
    if needed == 0:
        return np.empty(shape, dtype)
    result: NDArray[Any] = np.ndarray(shape, dtype, data.data, start, order="F" if fortran else "C")
    result.flags.writeable = False
    return result


def _header(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    parse = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if parse is None:
        raise ValueError(f"version {version} of the format, which is for records")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that Python 2 wrote it: Frossard's file is that old
        header: tuple[tuple[int, ...], bool, np.dtype[Any]] = parse(stream, max_header_size=_HEADER)
    return header
