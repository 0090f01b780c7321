"""Caffemodels: files of protobuf are read bit for bit, as views; invalid files are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import small_vggs
import vggs
import wire
from helpers import assert_close, count_rejected_bit_flips, resident_bytes
from wire import message, varint

import gradcam
from gradcam import WeightsError
from gradcam._weights import caffemodel, protobuf
from gradcam.weights import load

DATA = Path(__file__).parent / "data" / "caffe"
VALUES = np.arange(1, 7, dtype="<f4").reshape(2, 3)
SHAPE = (7, message((1, varint(2) + varint(3))))
NUMBERS = (5, VALUES.tobytes())


def net(*layers: bytes, field: int = 100, name: str = "net") -> bytes:
    return message((1, name), *((field, layer) for layer in layers))


def layer(*blobs: bytes, name: str = "fc") -> bytes:
    return message((1, name), (2, "InnerProduct"), *((7, blob) for blob in blobs))


@pytest.fixture
def read(tmp_path):
    """A function that writes bytes to a file and reads it."""

    def of(data: bytes):
        path = tmp_path / "x.caffemodel"
        path.write_bytes(data)
        return caffemodel.read(path)

    return of


def one_blob(read, *fields) -> np.ndarray:
    return read(net(layer(message(*fields)))).tensors["fc.weight"]


# --- good files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name, file", [("vgg16", "vgg16_v1"), ("vgg11", "vgg11_new")])
def test_files_of_protobuf(name, file):
    """Both types of layers: all bits, the order, only layers with weights."""
    found = load(DATA / f"{file}.caffemodel")
    tensors = small_vggs.tensors(name)
    with_weights = [(c, t) for c, t, _ in vggs.layers(name) if f"{t}.weight" in tensors]
    expected = {
        f"{caffe}.{role}": tensors[f"{torchvision}.{role}"]
        for caffe, torchvision in with_weights
        for role in ("weight", "bias")
    }
    assert list(found.tensors) == list(expected)
    for key, values in expected.items():
        shape = (1,) * (4 - values.ndim) + values.shape if "v1" in file else values.shape
        assert found.tensors[key].shape == shape
        assert found.tensors[key].tobytes() == values.tobytes()
    assert found.format == "Caffe model"
    assert found.metadata == {"name": f"{name}_small"}


@pytest.mark.parametrize("name, file", [("vgg16", "vgg16_v1"), ("vgg11", "vgg11_new")])
def test_network_from_a_file(name, file):
    x = vggs.picture(32, 48).astype(np.float32).transpose(2, 0, 1)[None] / 255
    ours = getattr(gradcam, name)(DATA / f"{file}.caffemodel")
    twin, numbers = vggs.twin(name, small_vggs.tensors(name))
    assert_close(ours.forward(x).scores, twin.forward(x).outputs[numbers["fc8"]], "network")
    assert ours.preset.name == "caffe"


def test_tensors_are_views_of_the_file():
    for values in caffemodel.read(DATA / "vgg16_v1.caffemodel").tensors.values():
        while isinstance(values, np.ndarray) and not isinstance(values, np.memmap):
            assert not values.flags.owndata and not values.flags.writeable
            values = values.base
        assert isinstance(values, memoryview)


@pytest.mark.parametrize(
    "fields",
    [
        [SHAPE, NUMBERS],
        [(7, message((1, 2), (1, 3))), NUMBERS],
        [(7, message((1, 2), (1, b"\x03"))), NUMBERS],
        [NUMBERS, SHAPE],
        [SHAPE, *((5, float(value)) for value in VALUES.flat)],
        [SHAPE, (5, 1.0), (5, VALUES.ravel()[1:5].tobytes()), (5, 6.0)],
        [SHAPE, (8, VALUES.astype("<f8").tobytes())],
        [SHAPE, NUMBERS, (6, VALUES.tobytes())],
    ],
    ids=[
        "packed",
        "unpacked dims",
        "both dims",
        "reversed",
        "unpacked",
        "pieces",
        "double",
        "diff",
    ],
)
def test_all_encodings_of_a_blob(fields, read):
    found = one_blob(read, *fields)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, VALUES)


def test_converted_types_are_reported(read):
    blobs = message(SHAPE, NUMBERS), message(SHAPE, (8, bytes(48)))
    assert read(net(layer(*blobs))).dtypes == {"fc.bias": "float64"}


def test_unpacked_numbers_are_a_view(read):
    values = np.arange(100_000, dtype="<f4")
    fields = np.zeros(len(values), [("tag", "u1"), ("value", "<f4")])
    fields["tag"], fields["value"] = 5 << 3 | wire.FIXED32, values
    blob = message((7, message((1, len(values))))) + fields.tobytes()
    found = read(net(layer(blob))).tensors["fc.weight"]
    np.testing.assert_array_equal(found, values)
    assert found.strides == (5,)


def test_old_shapes_have_four_axes(read):
    sizes = [(1, 1), (2, 1), (3, 2), (4, 3)]
    assert one_blob(read, *sizes, NUMBERS).shape == (1, 1, 2, 3)


def test_unknown_fields_are_skipped(read):
    more = wire.tag(60, wire.FIXED64) + bytes(8) + message((61, 7), (62, "text"))
    assert one_blob(read, SHAPE, NUMBERS, (50, more)).shape == (2, 3)
    assert "fc.weight" in read(net(layer(message(SHAPE, NUMBERS)) + more) + more).tensors


# --- invalid files ------------------------------------------------------------------------------


def test_truncated_files(tmp_path):
    data = (DATA / "vgg11_new.caffemodel").read_bytes()
    path = tmp_path / "cut"
    all_names = set(caffemodel.read(DATA / "vgg11_new.caffemodel").tensors)
    for end in [*range(600), *range(600, len(data), 37)]:
        path.write_bytes(data[:end])
        try:
            cut = caffemodel.read(path)  # cut between two layers: a valid net, but not a VGG
        except WeightsError as error:
            assert str(error).startswith(f"{path}: ")
        else:
            assert set(cut.tensors) < all_names
            with pytest.raises(WeightsError, match=r"missing|not a classifier"):
                gradcam.vgg11(path)


@pytest.mark.slow
def test_bit_flips(tmp_path):
    """Files are read or refused; the format has no checksum of the numbers."""
    data = (DATA / "vgg11_new.caffemodel").read_bytes()
    assert count_rejected_bit_flips(caffemodel.read, data, tmp_path / "flipped", 400) > 50


LENGTH = wire.tag(7, wire.BYTES)
WRONG = {
    "unterminated varint": (LENGTH + b"\xff" * 30, "number that does not end"),
    "varint of 65 bits": (LENGTH + b"\xff" * 9 + b"\x02", "more than 64 bits"),
    "length beyond the end": (LENGTH + varint(100), "claims 100 bytes, 0 follow"),
    "length of 2^63": (LENGTH + varint(1 << 63), "claims 9223372036854775808 bytes"),
    "a group": (wire.tag(7, wire.GROUP) + wire.tag(7, wire.END_GROUP), "group"),
    "the end of a group": (wire.tag(7, wire.END_GROUP), "group"),
    "wire type 6": (wire.tag(7, 6), "an unknown type"),
    "field 0": (b"\x00\x00", "0 is not a valid field number"),
    "field 2^29": (varint(1 << 32) + b"\x00", "not a valid field number"),
    "truncated float": (wire.tag(5, wire.FIXED32) + b"\x00\x00", "cut off"),
}


@pytest.mark.parametrize("case", WRONG)
def test_invalid_messages(case, read):
    data, error = WRONG[case]
    for file in (
        net(layer(message(SHAPE, NUMBERS))) + data,
        net(layer(message(SHAPE, NUMBERS)) + data),
        net(layer(message(SHAPE, NUMBERS) + data)),
    ):
        with pytest.raises(WeightsError, match=error):
            read(file)


BLOBS = {
    "no numbers": ([SHAPE], "holds no numbers"),
    "too few": ([SHAPE, (5, bytes(20))], r"shape \(2, 3\), but holds 5 numbers"),
    "too many": ([SHAPE, NUMBERS, (5, 1.0)], "holds 7 numbers"),
    "fractional number of values": ([SHAPE, (5, bytes(23))], "does not hold numbers of 4 bytes"),
    "2^60": ([(7, message((1, 1 << 60))), NUMBERS], "1152921504606846976"),
    "size larger than 64 bits": ([(7, message(*[(1, 1 << 40)] * 9)), NUMBERS], "1099511627776"),
    "negative": ([(7, message((1, -2), (1, -3))), NUMBERS], r"has shape \(-2, -3\)"),
    "zero": ([(7, message((1, 0), (1, 1 << 62))), (5, b"")], "has shape"),
    "33 dimensions": ([(7, message(*[(1, 1)] * 33)), (5, 1.0)], "more than 32 integers"),
    "very many dimensions": ([(7, message((1, bytes(10_000)))), NUMBERS], "at most 32 integers"),
    "two shapes": ([SHAPE, SHAPE, NUMBERS], "occurs 2 times"),
    "float32 and float64 values": ([SHAPE, NUMBERS, (8, bytes(48))], "twice"),
    "NVIDIA's float16": ([SHAPE, (10, 2), (12, bytes(12))], "NVIDIA's or Intel's"),
    "text as dimensions": ([(7, message((1, 1.0))), NUMBERS], "not a list of at most 32 integers"),
    "integers as numbers": ([SHAPE, (5, 3)], "does not hold numbers of 4 bytes"),
    "number as message": ([(7, 3), NUMBERS], "holds numbers, expected bytes"),
    "bytes as old dimensions": ([(1, b"x"), NUMBERS], "is not an integer"),
}


@pytest.mark.parametrize("case", BLOBS)
def test_invalid_blobs(case, read):
    fields, pattern = BLOBS[case]
    with pytest.raises(WeightsError, match=pattern) as error:
        one_blob(read, *fields)
    assert "layer 'fc', blob 0" in str(error.value) or "shape" in str(error.value)


BLOB = message(SHAPE, NUMBERS)
NETS = {
    "duplicate layer": (net(layer(BLOB), layer(BLOB)), "two layers with weights are named 'fc'"),
    "duplicate name in old and new layers": (
        net(layer(BLOB)) + message((2, message((4, "fc"), (6, BLOB)))),
        "two layers",
    ),
    "no weights": (net(message((1, "data"), (2, "Data"))), "no layer has weights"),
    "layers of 2013": (net(message((1, layer(BLOB))), field=2), "upgrade_net_proto_binary"),
    "name that is not text": (net(message((1, b"\xff"), (7, BLOB))), "not text"),
    "very long name": (net(layer(BLOB, name="x" * 5000)), "a text of 5000 bytes"),
}


@pytest.mark.parametrize("case", NETS)
def test_invalid_nets(case, read):
    data, error = NETS[case]
    with pytest.raises(WeightsError, match=error):
        read(data)


def test_deep_nesting_is_not_followed(read):
    deep = b""
    for _ in range(3000):
        deep = message((7, deep))
    with pytest.raises(WeightsError, match="holds no numbers"):
        read(net(layer(deep)))


def test_number_of_fields_is_limited(read):
    with pytest.raises(WeightsError, match=f"more than {protobuf.MAX_FIELDS} fields"):
        read(net(layer(BLOB)) + b"\x38\x01" * (protobuf.MAX_FIELDS + 1))


def test_claimed_sizes_are_not_allocated(read):
    before = resident_bytes()
    with pytest.raises(WeightsError):
        one_blob(read, (7, message((1, 1 << 33))), NUMBERS)
    assert resident_bytes() - before < 8 << 20


@pytest.mark.parametrize(
    "start, known",
    [
        ((DATA / "vgg16_v1.caffemodel").read_bytes()[:64], True),
        (b"\n\x14VGG_ILSVRC_16_layers\x12\x8a\x01\x12", True),
        (b"\n\x00\xa2\x06\x05", True),
        (b"\n\x7f" + b"VGG of a very long name, " * 3, True),
        (b"\n", False),
        (b"\n\n\n<html><body>", False),
        (b"\n# A text that begins with an empty line, as some of them do", False),
        (b"\n\x03a\x01b\x12\x00", False),
        (b"\x08\x08\x12\x07pytorch", False),
        (b"\x80\x02\x8a\n", False),
        (b"name: 'VGG_ILSVRC_16_layers'\nlayers {", False),
        (b"", False),
    ],
)
def test_recognise(start, known):
    assert caffemodel.recognise(start) is known
