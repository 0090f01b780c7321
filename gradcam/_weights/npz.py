"""NumPy's .npz: a zip file of .npy members.

Uncompressed members (``numpy.savez``) are mapped into memory; compressed ones
(``numpy.savez_compressed``) are read. Only arrays of numbers are supported, not pickled objects,
text or records.
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

_MAX_HEADER = 4096
"""Maximum size of the header of a .npy member; arrays of numbers have one of 128 bytes."""


def read(path: str | os.PathLike[str]) -> Weights:
    """Read or map the arrays of an .npz file, named like the members without ``.npy``.

    Raises
    ------
    WeightsError
        If the file is truncated, encrypted, has no arrays, or arrays of other types than numbers.
    MemoryError
        If there is not enough memory for a compressed member.
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
    """Return a view of the array in the bytes of an .npy member."""
    stream = io.BytesIO(data[: _MAX_HEADER + 16].tobytes())
    try:
        shape, fortran, dtype = _header(stream)
    except Exception as error:  # NumPy raises errors of many types for damaged headers
        raise WeightsError(f"{where}: not the header of a NumPy array ({error})") from error
    if dtype.hasobject:
        raise WeightsError(f"{where}: holds pickled objects, not numbers")
    if dtype.kind not in "biuf":
        raise WeightsError(f"{where}: holds {dtype}, expected real numbers")
    start = stream.tell()
    needed = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or len(shape) > 32 or start + needed != len(data):
        raise WeightsError(
            f"{where}: shape {shape} of {dtype} needs {needed} bytes, the member has "
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
        raise ValueError(f"version {version} of the format, which only records need")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 2 wrote Frossard's file, which NumPy warns of
        return parse(stream, max_header_size=_MAX_HEADER)
