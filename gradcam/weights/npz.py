"""NumPy's .npz: a zip file of .npy members.

Members that are stored as they are (``numpy.savez``) are mapped into memory in place; deflated
ones (``numpy.savez_compressed``) are read. Pickled objects are refused. ``numpy.savez`` does not
align its arrays: the core copies those that do not begin at a multiple of four bytes, where it
would use them in place; safetensors files are aligned.
"""

from __future__ import annotations

import math
import os
import zipfile
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gradcam.weights.tensors import Weights, WeightsError, as_float32

_LOCAL_HEADER = 30
"""Bytes of a zip member's own header, before its name and extra field."""


def read(path: str | os.PathLike[str]) -> Weights:
    """Read or map every array of an .npz file, named as its member without ``.npy``.

    Raises
    ------
    WeightsError
        Where the file is truncated, encrypted, holds no arrays, or holds pickled objects.
    """
    with open(path, "rb") as file:
        try:
            return Weights(_arrays(file, path), format="NumPy .npz")
        except (WeightsError, MemoryError):
            raise
        except Exception as error:  # zipfile and NumPy meet damage with errors of every type
            raise WeightsError(f"{path}: unreadable as .npz ({error})") from error


def _arrays(file: BinaryIO, path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    tensors = {}
    with zipfile.ZipFile(file) as archive:
        members = [m for m in archive.infolist() if m.filename.endswith(".npy")]
        if not members:
            kind = "PyTorch" if any(n.endswith(".pkl") for n in archive.namelist()) else "other"
            raise WeightsError(f"{path}: a zip file ({kind}) without .npy arrays")
        for member in members:
            if member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1:
                values = _mapped(file, path, member)
            else:
                with archive.open(member) as stream:
                    values = np.lib.format.read_array(stream, allow_pickle=False)
            tensors[member.filename.removesuffix(".npy")] = as_float32(values)
    return tensors


def _mapped(file: BinaryIO, path: str | os.PathLike[str], member: zipfile.ZipInfo) -> NDArray[Any]:
    """A view of the array that an uncompressed member holds."""
    file.seek(member.header_offset)
    header = file.read(_LOCAL_HEADER)
    if len(header) < _LOCAL_HEADER or header[:4] != b"PK\x03\x04":
        raise WeightsError(f"{path}: {member.filename}: no zip header where one should be")
    name_bytes, extra_bytes = (int.from_bytes(header[i : i + 2], "little") for i in (26, 28))
    start = member.header_offset + _LOCAL_HEADER + name_bytes + extra_bytes
    file.seek(start)
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    if dtype.hasobject:
        raise WeightsError(f"{path}: {member.filename}: holds pickled objects, not numbers")
    data = file.tell()
    needed = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or data - start + needed != member.file_size:
        raise WeightsError(
            f"{path}: {member.filename}: shape {shape} of {dtype} needs {needed} bytes, "
            f"the member holds {member.file_size - (data - start)}"
        )
    if data + needed > os.fstat(file.fileno()).st_size:
        raise WeightsError(f"{path}: {member.filename}: truncated")
    if needed == 0:
        return np.empty(shape, dtype)
    return np.asarray(np.memmap(file, dtype, "r", data, shape, "F" if fortran else "C"))
