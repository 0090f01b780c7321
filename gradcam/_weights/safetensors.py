"""The safetensors format: the header's length in eight bytes, a JSON header, then the raw tensors.

Specification: https://github.com/huggingface/safetensors#format. The reader checks every number of
the header as a Python integer, which cannot overflow, before it is passed to NumPy.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import Any, Literal, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcam._files import atomic_write
from gradcam._weights.tensors import Weights, WeightsError, as_float32, from_bfloat16

MAX_HEADER = 16_000_000
"""Maximum length of a header in bytes. The format allows 100 MB, for which the JSON parser can take
gigabytes if the file is malicious; 16 MB suffice for more than 100,000 tensors."""

_CHUNK = 1 << 20
"""Values that are checked at a time, which bounds the additional memory."""

_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",  # NumPy has no bfloat16: the bits are read, and converted to float32
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
}

_CONVERTED = {"F64": "float64", "F16": "float16", "BF16": "bfloat16"}
"""The types that are converted to float32, by NumPy's names."""


def recognise(start: bytes) -> bool:
    """Whether a file that begins with `start` can be a safetensors file."""
    length_is_text = all(9 <= byte < 127 for byte in start[:8])  # as a number above 10^17
    return start[8:9] == b"{" and not length_is_text


def read(path: str | os.PathLike[str]) -> Weights:
    """Map a safetensors file into memory.

    Float32 tensors are views of the mapped file; float16, bfloat16 and float64 are converted to
    float32; integers and booleans keep their type.

    Raises
    ------
    WeightsError
        If the file is truncated or its header is malformed.
    """
    size = os.path.getsize(path)
    if size < 8:
        raise WeightsError(f"{path}: {size} bytes are too few for a safetensors file")
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > size - 8:
            raise WeightsError(
                f"{path}: the header claims {length} bytes, but the file has {size} "
                f"(truncated, or not a safetensors file)"
            )
        if length > MAX_HEADER:
            raise WeightsError(
                f"{path}: a header of {length} bytes; more than {MAX_HEADER} are not supported, "
                f"and weights need far fewer"
            )
        header = _parse(path, file.read(length))
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise WeightsError(f"{path}: __metadata__ does not map strings to strings")
    _check(path, header, data_bytes=size - 8 - length)
    if not header:
        return Weights({}, metadata, "safetensors")
    data = (
        np.memmap(path, np.uint8, "r", offset=8 + length)
        if size > 8 + length
        else np.empty(0, np.uint8)
    )
    tensors = {name: _tensor(np.asarray(data), entry) for name, entry in header.items()}
    converted = {name: _CONVERTED.get(entry["dtype"]) for name, entry in header.items()}
    dtypes = {name: dtype for name, dtype in converted.items() if dtype is not None}
    return Weights(tensors, metadata, "safetensors", dtypes)


def write(
    tensors: Mapping[str, ArrayLike],
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
    dtype: Literal["float32", "float16"] = "float32",
) -> None:
    """Write tensors to a safetensors file; after an error there is no file, or the previous one.

    The parameters and errors are those of :func:`gradcam.weights.save`.
    """
    if os.fspath(path).endswith(".npz"):
        raise ValueError(f"{os.fspath(path)}: this function writes safetensors files, not .npz")
    if dtype not in ("float32", "float16"):
        raise ValueError(f"dtype: expected 'float32' or 'float16', got {dtype!r}")
    header: dict[str, Any] = {"__metadata__": _strings(metadata)} if metadata else {}
    kind = "F32" if dtype == "float32" else "F16"
    arrays, end = [], 0
    for name, values in tensors.items():
        array = _converted(name, np.asarray(values), dtype)
        begin, end = end, end + array.nbytes
        shape = list(np.shape(values))  # of a scalar, which the array is not
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
        arrays.append(array)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # aligns the tensors in the mapped file
    with atomic_write(path) as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for array in arrays:
            file.write(array.data)


def _converted(name: object, values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return the values as they are stored: contiguous, little-endian, of the type `dtype`."""
    if not isinstance(name, str) or name == "__metadata__":
        raise WeightsError(f"{name!r} cannot be the name of a tensor")
    if values.dtype.kind not in "fiub":
        raise WeightsError(f"{name}: holds {values.dtype}, expected real numbers")
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(values, dtype=np.dtype(dtype).newbyteorder("<"))
    if not _finite(array):
        raise WeightsError(f"{name}: not finite as {dtype}")
    return array


def _finite(array: NDArray[Any]) -> bool:
    """Whether all values are finite."""
    values = array.reshape(-1)
    chunks = (values[begin : begin + _CHUNK] for begin in range(0, values.size, _CHUNK))
    return all(bool(np.isfinite(chunk).all()) for chunk in chunks)


def _strings(metadata: Mapping[str, str]) -> dict[str, str]:
    for name, value in metadata.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise WeightsError(f"metadata must map strings to strings, not {name!r} to {value!r}")
    return dict(metadata)


def _parse(path: str | os.PathLike[str], text: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        entries = dict(pairs)
        if len(entries) != len(pairs):
            raise WeightsError(f"{path}: the header contains a name twice")
        return entries

    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=unique)
    except WeightsError:
        raise
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: the header is not JSON ({error})") from error
    if not isinstance(header, dict):
        raise WeightsError(f"{path}: the header is not a JSON object")
    return header


def _check(path: str | os.PathLike[str], header: dict[str, Any], data_bytes: int) -> None:
    """Raise WeightsError unless the entries are valid and the tensors fill the data exactly."""
    for name, entry in header.items():
        if not isinstance(entry, dict):
            raise WeightsError(f"{path}: {name}: expected a JSON object")
        shape, offsets = entry.get("shape"), entry.get("data_offsets")
        if not isinstance(entry.get("dtype"), str) or entry["dtype"] not in _DTYPES:
            raise WeightsError(f"{path}: {name}: unknown dtype {entry.get('dtype')!r}")
        if not _naturals(shape) or not _naturals(offsets) or len(offsets) != 2 or len(shape) > 32:
            raise WeightsError(f"{path}: {name}: shape {shape!r} or offsets {offsets!r} malformed")
        needed = math.prod(shape) * np.dtype(_DTYPES[entry["dtype"]]).itemsize
        if offsets[1] - offsets[0] != needed:
            raise WeightsError(
                f"{path}: {name}: shape {shape} of {entry['dtype']} needs {needed} bytes, "
                f"its offsets {offsets} span {offsets[1] - offsets[0]}"
            )
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        if entry["data_offsets"][0] != end:
            raise WeightsError(
                f"{path}: {name}: begins at byte {entry['data_offsets'][0]} of the data, but the "
                f"tensor before it ends at {end}"
            )
        end = entry["data_offsets"][1]
    if end != data_bytes:
        raise WeightsError(
            f"{path}: the header describes {end} bytes of tensors, the file has {data_bytes} "
            f"({'truncated' if data_bytes < end else 'it has other data too'})"
        )


def _naturals(values: Any) -> TypeGuard[list[int]]:
    """Whether these are valid sizes or positions in a file."""
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 1 << 62 for v in values)


def _tensor(data: NDArray[Any], entry: dict[str, Any]) -> NDArray[Any]:
    begin, end = entry["data_offsets"]
    values = data[begin:end].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
    if entry["dtype"] == "BF16":
        values = from_bfloat16(values)
    return as_float32(values)
