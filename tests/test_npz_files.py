"""NumPy's .npz: files of other programs, and malicious ones."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gradcam import _core
from gradcam._weights import npz
from gradcam.weights import WeightsError

VALUES = np.arange(24, dtype=np.float32).reshape(4, 6) / 8


def member(values: np.ndarray = VALUES) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, values)
    return stream.getvalue()


def headed(header: bytes, data: bytes = VALUES.tobytes(), version: int = 1) -> bytes:
    width = 2 if version == 1 else 4
    start = b"\x93NUMPY" + bytes((version, 0)) + len(header).to_bytes(width, "little")
    return start + header + data


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f2", ">f2", "<f8", ">f8", "g"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_types_and_orders(save, dtype, order, tmp_path):
    save(
        tmp_path / "w.npz", a=VALUES.astype(dtype, order=order), b=np.arange(3), c=np.zeros((0, 2))
    )
    weights = npz.read(tmp_path / "w.npz")
    assert weights.format == "NumPy .npz"
    assert list(weights.tensors) == ["a", "b", "c"]
    assert (weights.dtypes.get("c"), "b" in weights.dtypes) == ("float64", False)
    assert weights.tensors["a"].dtype == np.float32
    np.testing.assert_array_equal(weights.tensors["a"], VALUES)
    assert weights.tensors["b"].dtype.kind == "i" and weights.tensors["c"].shape == (0, 2)


def test_stored_members_are_mapped_and_deflated_ones_read(tmp_path):
    np.savez(tmp_path / "s.npz", a=VALUES)
    np.savez_compressed(tmp_path / "d.npz", a=VALUES)
    for name, mapped in (("s.npz", True), ("d.npz", False)):
        base = npz.read(tmp_path / name).tensors["a"]
        assert not base.flags.writeable
        while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
            base = base.base.obj if isinstance(base.base, memoryview) else base.base
        assert isinstance(base, np.memmap) == mapped


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_headers_of_python_2(method, tmp_path, recwarn):
    """As in the weights of 2016: integers have the suffix L."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (4L, 6L), }\n"
    path = zipped(tmp_path / "w.npz", {"a.npy": headed(header)}, method)
    np.testing.assert_array_equal(npz.read(path).tensors["a"], VALUES)
    assert not recwarn.list


def described(descr: str = "'<f4'", order: str = "False", shape: str = "(4, 6)") -> bytes:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()


MALICIOUS = {
    "a header of 4 GB": headed(described(), version=2)[:8] + b"\xff" * 4 + VALUES.tobytes(),
    "a long header": headed(described() + b" " * 10_000),
    "a header that nests": headed(b"(" * 4000 + b")" * 4000),
    "a header of signs": headed(b"-" * 4000 + b"1"),
    "a header that multiplies": headed(described(shape="(9**9**9,)")),
    "a header that calls": headed(described(shape="(print(1),)")),
    "a header of an unknown version": headed(described(), version=9),
    "objects": headed(described("'|O'")),
    "text": member(np.array(["abc"] * 4)),
    "complex numbers": member(np.ones(4, np.complex64)),
    "records": member(np.ones(4, [("a", "<f4"), ("b", "<i4")])),
    "dates": member(np.zeros(4, "datetime64[s]")),
    "a shape too large": headed(described(shape="(1000000, 1000000)")),
    "a shape beyond 64 bits": headed(described(shape=f"({2**40}, {2**40})")),
    "a shape that wraps to zero": headed(described(shape=f"({2**32}, {2**32})"), b""),
    "a negative shape": headed(described(shape="(-4, -6)")),
    "a fractional shape": headed(described(shape="(4.0, 6.0)")),
    "a shape too small": headed(described(shape="(4, 5)")),
    "too many axes": headed(described(shape=str((1,) * 80 + (24,)))),
    "an order of text": headed(described(order="'C'")),
    "an empty member": b"",
    "no array": b"not an array",
}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("name", MALICIOUS)
def test_malicious_members_are_refused(name, method, tmp_path):
    path = zipped(
        tmp_path / "malicious.npz", {"good.npy": member(), "a.npy": MALICIOUS[name]}, method
    )
    with pytest.raises(WeightsError, match=r"malicious\.npz: a\.npy: "):
        npz.read(path)


def changed(path: Path, name: bytes, offset: int, value: bytes) -> Path:
    """The file with some bytes of a member's entry in the directory overwritten."""
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\x01\x02", 0, content.rindex(name)) + offset
    content[place : place + len(value)] = value
    path.write_bytes(content)
    return path


COMPRESSED, SIZE, METHOD, FLAGS, OFFSET = 20, 24, 10, 8, 42
"""Offsets of these fields in an entry of the directory."""


def test_a_member_that_claims_more_than_deflate_can_produce(tmp_path):
    path = zipped(tmp_path / "bomb.npz", {"a.npy": member()}, zipfile.ZIP_DEFLATED)
    with pytest.raises(WeightsError, match="cannot contain the 4294967294 it claims"):
        npz.read(changed(path, b"a.npy", SIZE, struct.pack("<I", 2**32 - 2)))


@pytest.mark.parametrize("more", [-1, 1, 1000])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_with_a_wrong_size(method, more, tmp_path):
    content = member()
    path = zipped(tmp_path / "wrong.npz", {"a.npy": content}, method)
    with pytest.raises(WeightsError, match=r"wrong\.npz: a\.npy"):
        npz.read(changed(path, b"a.npy", SIZE, struct.pack("<I", len(content) + more)))


def test_members_that_share_their_bytes(tmp_path):
    path = zipped(tmp_path / "o.npz", {"a.npy": member(), "b.npy": member()})
    with pytest.raises(WeightsError, match="overlaps another member"):
        npz.read(changed(path, b"b.npy", OFFSET, struct.pack("<I", 0)))


def test_a_member_over_the_directory(tmp_path):
    path = zipped(tmp_path / "o.npz", {"a.npy": member()})
    with zipfile.ZipFile(path) as archive:
        size = archive.infolist()[0].file_size
    changed(path, b"a.npy", SIZE, struct.pack("<I", size + 40))
    with pytest.raises(WeightsError, match="overlaps the directory"):
        npz.read(changed(path, b"a.npy", COMPRESSED, struct.pack("<I", size + 40)))


def test_one_name_twice(tmp_path):
    path = tmp_path / "t.npz"
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a.npy", member())
        archive.writestr("a.npy", member(VALUES + 1))
    with pytest.raises(WeightsError, match=r"'a\.npy' twice"):
        npz.read(path)


def test_encrypted_and_otherwise_compressed(tmp_path):
    path = zipped(tmp_path / "e.npz", {"a.npy": member()})
    with pytest.raises(WeightsError, match="encrypted"):
        npz.read(changed(path, b"a.npy", FLAGS, b"\x01\x00"))
    path = zipped(tmp_path / "b.npz", {"a.npy": member()}, zipfile.ZIP_BZIP2)
    with pytest.raises(WeightsError, match="compressed by method 12"):
        npz.read(path)


def test_damage_within_deflated_bytes(tmp_path):
    path = zipped(tmp_path / "d.npz", {"a.npy": member()}, zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    content[80] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"d\.npz: a\.npy: damaged"):
        npz.read(path)


def test_a_directory_without_end_is_not_read(tmp_path):
    """The directory is read as a whole and kept as objects: its size is bounded."""
    path = tmp_path / "long.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", member())
        archive.comment = b""
    content = path.read_bytes()
    start = content.rindex(b"PK\x01\x02")
    end = content.rindex(b"PK\x05\x06")
    entries = content[start:end] * ((17 << 20) // (end - start))
    tail = bytearray(content[end:])
    tail[12:16] = struct.pack("<I", len(entries))
    path.write_bytes(content[:start] + entries + tail)
    with pytest.raises(WeightsError, match="directory of more than 16777216 bytes"):
        npz.read(path)


def test_members_that_do_not_fit_into_memory_are_not_decompressed(tmp_path):
    np.savez_compressed(tmp_path / "z.npz", a=np.zeros(1 << 20, np.float32))
    _core._pretend_memory(1 << 20)
    try:
        with pytest.raises(MemoryError, match=r"z\.npz: a\.npy needs 4194432 bytes"):
            npz.read(tmp_path / "z.npz")
    finally:
        _core._pretend_memory(None)
