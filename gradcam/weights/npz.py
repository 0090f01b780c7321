"""NumPy's .npz: a zip file of .npy members.

Members that are stored as they are (``numpy.savez``) are mapped into memory in place; deflated
ones (``numpy.savez_compressed``) are read. Pickled objects are refused. ``numpy.savez`` does not
align its arrays: the core copies those that do not begin at a multiple of four bytes, where it
would use them in place; safetensors files are aligned.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcam.weights import zips
from gradcam.weights.tensors import Weights, WeightsError, as_float32

_MOST_HEADER = 1 << 16
"""Bytes of a .npy header; NumPy itself reads no more than 10,000."""


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


def _arrays(archive: zips.Zip, path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    members = [m for name, m in archive.members.items() if name.endswith(".npy")]
    if not members:
        raise WeightsError(f"{path}: a zip file without .npy arrays")
    tensors = {}
    for member in members:
        place = archive.place(member)
        content: Any  # all bytes of the file, or those of the member
        if place is None:
            content, place = archive.read(member), 0
        else:
            content = np.memmap(archive.file, np.uint8, "r")
        block = np.frombuffer(content, np.uint8, member.file_size, place)
        tensors[member.filename.removesuffix(".npy")] = as_float32(_array(block, path, member))
    return tensors


def _array(
    block: NDArray[Any], path: str | os.PathLike[str], member: zipfile.ZipInfo
) -> NDArray[Any]:
    """A view of the array that the bytes of a .npy file hold."""
    head = io.BytesIO(block[:_MOST_HEADER].tobytes())
    version = np.lib.format.read_magic(head)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(head)
    else:
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(head)
    if dtype.hasobject:
        raise WeightsError(f"{path}: {member.filename}: holds pickled objects, not numbers")
    start = head.tell()
    needed = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or needed != len(block) - start:
        raise WeightsError(
            f"{path}: {member.filename}: shape {shape} of {dtype} needs {needed} bytes, "
            f"the member holds {len(block) - start}"
        )
    if needed == 0:
        return np.empty(shape, dtype)
    values: NDArray[Any] = np.ndarray(shape, dtype, block, start, order="F" if fortran else "C")
    return values
