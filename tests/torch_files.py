"""PyTorch's files written by hand: parts of pickles, and the two containers."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Mapping

import numpy as np


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def integer(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def integers(*values: int) -> bytes:
    return b"(" + b"".join(map(integer, values)) + b"t"


def named(module: str, name: str) -> bytes:
    return b"c" + f"{module}\n{name}\n".encode()


def storage_id(tag=None, kind=None, key=None, count=None) -> bytes:
    """Return the persistent identifier of a storage in a zip (a stream has one more entry)."""
    tag, key = tag or text("storage"), key or text("0")
    kind, count = kind or named("torch", "FloatStorage"), count or integer(4)
    return b"(" + tag + kind + key + text("cpu") + count + b"t"


def storage(count: int = 4, kind: str = "FloatStorage", key: str = "0") -> bytes:
    return storage_id(None, named("torch", kind), text(key), integer(count)) + b"Q"


def tensor(offset=0, size=(4,), strides=(1,), source=None) -> bytes:
    result = named("torch._utils", "_rebuild_tensor_v2") + b"(" + (source or storage())
    result += integer(offset) + integers(*size) + integers(*strides)
    return result + b"\x89" + named("collections", "OrderedDict") + b")RtR"


def dictionary(*entries: tuple[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(name) + value for name, value in entries) + b"u"


def zipped(program: bytes, records=None, method=zipfile.ZIP_STORED, protocol=2) -> bytes:
    """Return PyTorch's zip with a pickle; by default with a storage "0" of four floats."""
    file = io.BytesIO()
    records = {"data/0": np.arange(4, dtype="<f4").tobytes()} if records is None else records
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("archive/data.pkl", bytes([0x80, protocol]) + program + b".")
        for name, content in records.items():
            archive.writestr(f"archive/{name}", content)
    return file.getvalue()


def stream(program: bytes, storages: bytes = b"", keys=(), little_endian=True) -> bytes:
    info = {"protocol_version": 1001, "little_endian": little_endian}
    head = b"".join(pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, info))
    return head + b"\x80\x02" + program + b"." + pickle.dumps(list(keys), 2) + storages


def arrays(tensors: Mapping[str, np.ndarray]) -> tuple[bytes, dict[str, bytes]]:
    """Return the pickle of a state dict of float32 tensors, and the members of its zip."""
    entries, records = [], {}
    for number, (name, values) in enumerate(tensors.items()):
        values = np.ascontiguousarray(values, "<f4")
        strides = tuple(stride // 4 for stride in values.strides)
        source = storage(values.size, key=str(number))
        entries.append((name, tensor(0, values.shape, strides, source)))
        records[f"data/{number}"] = values.tobytes()
    return dictionary(*entries), records
