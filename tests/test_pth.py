"""PyTorch's files, read without PyTorch: small ones that it wrote, and malicious ones."""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import re
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gradcam import weights
from gradcam._weights import pickles, pth, zips
from gradcam.weights import WeightsError

FOLDER = Path(__file__).parent / "data" / "torch"
FILES = sorted(FOLDER.glob("*.pth"))
EXPECTED = dict(np.load(FOLDER / "expected.npz"))
SMALL = ("state_dict_stream.pth", "state_dict_zip.pth")


def expected(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a file; files are named after the functions that create their content."""
    prefix = path.stem.rpartition("_")[0] + "/"
    return {k.removeprefix(prefix): v for k, v in EXPECTED.items() if k.startswith(prefix)}


def refusal(content: bytes, folder: Path, name: str = "w.pth") -> str:
    """The reader's error for a file, which must be one line that can be printed."""
    path = folder / name
    path.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        weights.load(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and message.isprintable() and len(message) < 500
    return message.removeprefix(f"{path}: ")


def peak_bytes(content: bytes, folder: Path) -> int:
    """The maximum memory that Python uses to refuse a file."""
    refusal(content, folder)  # so that imports and caches do not count
    tracemalloc.start()
    try:
        refusal(content, folder)
        return tracemalloc.get_traced_memory()[1] - len(content)
    finally:
        tracemalloc.stop()


# --- pickles by hand ---


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def integer(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def integers(*values: int) -> bytes:
    return b"(" + b"".join(map(integer, values)) + b"t"


def named(module: str, name: str) -> bytes:
    return b"c" + f"{module}\n{name}\n".encode()


def described(word=None, kind=None, key=None, count=None) -> bytes:
    """The persistent identifier of a storage in a zip; in a stream it has one more field."""
    word, key = word or text("storage"), key or text("0")
    kind, count = kind or named("torch", "FloatStorage"), count or integer(4)
    return b"(" + word + kind + key + text("cpu") + count + b"t"


def storage(count: int = 4, kind: str = "FloatStorage", key: str = "0") -> bytes:
    return described(None, named("torch", kind), text(key), integer(count)) + b"Q"


def tensor(offset=0, size=(4,), strides=(1,), source=None) -> bytes:
    made = named("torch._utils", "_rebuild_tensor_v2") + b"(" + (source or storage())
    made += integer(offset) + integers(*size) + integers(*strides)
    return made + b"\x89" + named("collections", "OrderedDict") + b")RtR"


def dictionary(*entries: tuple[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(name) + value for name, value in entries) + b"u"


def zipped(program: bytes, records=None, method=zipfile.ZIP_STORED, protocol=2) -> bytes:
    """PyTorch's zip around a pickle; by default with a storage "0" of four floats."""
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


def loaded(content: bytes, folder: Path) -> dict[str, np.ndarray]:
    path = folder / "w.pth"
    path.write_bytes(content)
    return weights.load(path).tensors


# --- good files ---


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_that_pytorch_wrote(path):
    ours = weights.load(path)
    theirs = expected(path)
    assert list(ours.tensors) == list(theirs)
    for name, values in theirs.items():
        assert ours.tensors[name].dtype == values.dtype, name
        np.testing.assert_array_equal(ours.tensors[name], values, name)
    words = "PyTorch (zip)" if zipfile.is_zipfile(path) else "PyTorch (legacy stream)"
    assert ours.format == words and ours.metadata == {}
    for name in ("half", "bfloat16", "double") if path.stem.startswith("kinds") else ():
        assert ours.dtypes[name] == {"half": "float16", "double": "float64"}.get(name, name)


def test_the_files_cover_all_types():
    names = {path.name for path in FILES}
    assert names >= {f"{k}_{c}.pth" for k in ("kinds", "checkpoint") for c in ("zip", "stream")}
    assert {values.dtype.kind for values in EXPECTED.values()} == set("fiub")


@pytest.mark.parametrize("name", ["kinds_zip.pth", "kinds_stream.pth"])
def test_float32_is_mapped_and_shared(name):
    tensors = weights.load(FOLDER / name).tensors
    for each in ("whole", "shared", "transposed", "strided", "expanded"):
        array = tensors[each]
        assert np.shares_memory(array, tensors["whole"]) and not array.flags.writeable
        while isinstance(array.base, np.ndarray):
            array = array.base
        assert type(array.base).__name__ == "mmap"


def test_the_stream_of_2017_is_not_aligned():
    """Like torchvision's: the users of its tensors must support that."""
    tensors = weights.load(FOLDER / "state_dict_2017.pth").tensors
    for array in tensors.values():
        assert array.ctypes.data % 4 == 1 and not array.flags.aligned


def test_trailing_data_is_ignored(tmp_path):
    path = FOLDER / "state_dict_stream.pth"
    assert list(loaded(path.read_bytes() + b"<html>" * 99, tmp_path)) == list(expected(path))


def test_a_zip_that_was_packed_again(tmp_path):
    """Compressed members, another name of the folder: as after an unzip and a zip by hand."""
    path = tmp_path / "again.pth"
    with (
        zipfile.ZipFile(FOLDER / "kinds_zip.pth") as old,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr("another/" + name.partition("/")[2], old.read(name))
    ours, theirs = weights.load(path).tensors, expected(FOLDER / "kinds_zip.pth")
    for name, values in theirs.items():
        np.testing.assert_array_equal(ours[name], values, name)


@pytest.mark.parametrize("order", ["little", "big"])
def test_the_byte_order_of_a_zip(order, tmp_path):
    code = "<>"[order == "big"]
    values = {"Float": "f4", "Half": "f2", "Double": "f8", "Long": "i8", "Char": "i1"}
    entries, records = [], {"byteorder": order}
    for key, dtype in values.items():
        entries.append((key, tensor(source=storage(4, f"{key}Storage", key))))
        records[f"data/{key}"] = np.array([1, -2, 3, 100], code + dtype).tobytes()
    entries.append(("BFloat16", tensor(source=storage(4, "BFloat16Storage", "b"))))
    bits = np.array([1, -2, 3, 100], "<f4").view("<u4") >> 16
    records["data/b"] = bits.astype(code + "u2").tobytes()
    for name, array in loaded(zipped(dictionary(*entries), records), tmp_path).items():
        assert array.dtype.isnative
        np.testing.assert_array_equal(array, [1, -2, 3, 100], name)


def test_a_stream_is_little_endian_whoever_wrote_it(tmp_path):
    """PyTorch swaps the bytes on machines of the other order; the flag is the writer's order."""
    source = storage().removesuffix(b"tQ") + b"NtQ"
    values = (4).to_bytes(8, "little") + np.arange(4, dtype="<f4").tobytes()
    made = stream(dictionary(("a", tensor(source=source))), values, "0", little_endian=False)
    np.testing.assert_array_equal(loaded(made, tmp_path)["a"], np.arange(4))


def test_parts_of_a_storage_in_a_stream(tmp_path):
    """Until 2017 a storage could be a view of another."""
    part = b"(" + text("7") + integer(1) + integer(2) + b"t"
    source = storage().removesuffix(b"tQ") + part + b"tQ"
    values = (4).to_bytes(8, "little") + np.arange(4, dtype="<f4").tobytes()
    made = stream(dictionary(("a", tensor(size=(2,), source=source))), values, "0")
    np.testing.assert_array_equal(loaded(made, tmp_path)["a"], [1, 2])
    beyond = made.replace(part, b"(" + text("7") + integer(3) + integer(2) + b"t")
    assert "ends beyond the storage" in refusal(beyond, tmp_path)
    assert "ends at value 2" in refusal(
        stream(dictionary(("a", tensor(size=(3,), source=source))), values, "0"), tmp_path
    )


def test_tensors_of_early_2017(tmp_path):
    """A class called without arguments, followed by its state: torch <= 0.1.10, and Parameters."""
    state = b"(" + storage() + integer(1) + integers(3) + integers(1) + b"t"
    plain = named("torch", "FloatTensor") + b")R" + state + b"b"
    on_gpu = named("torch.cuda", "FloatTensor") + b")\x81" + state + b"b"
    flags = b"(\x88\x89" + named("collections", "OrderedDict") + b")Rtb"
    parameter = named("torch.nn.parameter", "Parameter") + b"(" + plain + b"tR" + flags
    older = named("torch.nn.parameter", "Parameter") + b")\x81(" + plain + b"NN\x88\x89tb"
    made = zipped(dictionary(("a", plain), ("b", on_gpu), ("c", parameter), ("d", older)))
    tensors = loaded(made, tmp_path)
    assert len(tensors) == 4
    for values in tensors.values():
        np.testing.assert_array_equal(values, [1, 2, 3])


def test_dictionaries_that_python_2_wrote(tmp_path):
    """Entries as a list of lists, names as byte strings."""
    entry = b"](U\x01a" + tensor() + b"e"
    made = named("collections", "OrderedDict") + b"(](" + entry + b"etR"
    np.testing.assert_array_equal(loaded(zipped(made), tmp_path)["a"], np.arange(4))


def test_an_axis_of_one_may_have_any_stride(tmp_path):
    made = zipped(dictionary(("a", tensor(0, (1, 4, 1), (1 << 61, 1, 0)))))
    np.testing.assert_array_equal(loaded(made, tmp_path)["a"], np.arange(4).reshape(1, 4, 1))


def test_the_last_tensor_of_a_name_is_used(tmp_path):
    """As in Python's dictionaries."""
    made = zipped(dictionary(("a", tensor()), ("a", tensor(1, (2,)))))
    np.testing.assert_array_equal(loaded(made, tmp_path)["a"], [1, 2])


# --- other content than a state dict ---


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (tensor(), "a single tensor, but"),
        (b"](" + tensor() + b"e", "a list, but"),
        (integer(3), "not a dictionary, but"),
        (b"}", "a dictionary without tensors"),
        (dictionary(("epoch", integer(3))), "a dictionary without tensors"),
        (
            named("torchvision.models.vgg", "VGG") + b")\x81}b",
            "whole pickled model.*models.vgg.VGG",
        ),
        (named("argparse", "Namespace") + b")R", "asks for argparse.Namespace, which no state"),
        (named("torch._utils", "_rebuild_qtensor"), "asks for torch._utils._rebuild_qtensor"),
    ],
    ids=["tensor", "list", "number", "empty", "numbers", "model", "namespace", "quantised"],
)
def test_other_content_than_a_state_dict_is_described(program, words, tmp_path):
    message = refusal(zipped(program), tmp_path)
    assert re.search(words, message), message


def test_a_module_in_a_stream(tmp_path):
    """PyTorch stored the source code of a pickled model's classes in the stream."""
    module = b"(" + text("module") + text("VGG") + text("vgg.py") + text("import os") + b"tQ"
    message = refusal(stream(module), tmp_path)
    assert message.startswith("a whole pickled model") and "model.state_dict()" in message


def test_torchscript_is_refused_by_its_name(tmp_path):
    made = zipped(dictionary(("a", tensor())), {"constants.pkl": b"", "code/vgg.py": b""})
    message = refusal(made, tmp_path)
    words = "a TorchScript program, which is not executed here; in PyTorch: torch.save("
    assert message.startswith(words)


def test_the_tar_file_before_the_stream(tmp_path):
    made = b"sys_info" + bytes(504)
    assert "a tar file" in refusal(made, tmp_path) and "torch.save" in refusal(made, tmp_path)


def test_a_plain_pickle_is_refused(tmp_path):
    assert "Python pickle" in refusal(pickle.dumps({"a": [1.0, 2.0]}, 2), tmp_path)
    with pytest.raises(WeightsError, match="not a file of torch"):
        path = tmp_path / "w.pth"
        path.write_bytes(b"<html>")
        pth.read(path)


def test_numpy_zips_are_recognised(tmp_path):
    path = tmp_path / "w.pth"
    with open(path, "wb") as file:
        np.savez(file, a=np.ones(3, np.float32))
    assert weights.load(path).format == "NumPy .npz"


# --- malicious files ---

VICTIM = "executed"


def _system(folder: Path) -> bytes:
    return b"(" + text(f"touch {folder / VICTIM}") + b"t"


CALLS = {
    "GLOBAL": lambda f: named("posix", "system") + _system(f) + b"R",
    "STACK_GLOBAL": lambda f: text("posix") + text("system") + b"\x93" + _system(f) + b"R",
    "NEWOBJ": lambda f: named("posix", "system") + _system(f) + b"\x81",
    "NEWOBJ_EX": lambda f: named("posix", "system") + _system(f) + b"}\x92",
    "in a list": lambda f: b"](" + named("posix", "system") + _system(f) + b"Re",
    "as a state": lambda f: b"]" + named("posix", "system") + _system(f) + b"Rb",
    "as an argument": lambda f: tensor(source=named("posix", "system") + _system(f) + b"R"),
}


@pytest.mark.parametrize("form", CALLS)
@pytest.mark.parametrize("wrap", [zipped, stream])
def test_nothing_is_executed(form, wrap, tmp_path):
    program = CALLS[form](tmp_path)
    assert "posix.system" in refusal(wrap(program), tmp_path)
    assert not (tmp_path / VICTIM).exists()


def test_the_same_pickle_executes_elsewhere(tmp_path):
    """The test above needs a pickle that is executed by others."""
    pickle.loads(CALLS["GLOBAL"](tmp_path) + b".")
    assert (tmp_path / VICTIM).exists()


@pytest.mark.parametrize(
    "name",
    [
        *("builtins.eval", "builtins.getattr", "os.system", "torch.load", "."),
        *("torch.storage._load_from_bytes", "torch._utils.os.system"),
        *("collections.OrderedDict.fromkeys", "collections.abc"),
    ],
)
def test_other_globals_are_refused_by_their_name(name, tmp_path):
    module, _, last = name.rpartition(".")
    for program in (named(module, last), text(module) + text(last) + b"\x93"):
        assert name in refusal(zipped(program + b"(" + text("1+1") + b"tR"), tmp_path)


def test_names_with_control_characters_are_escaped(tmp_path):
    assert "\\x1b[2J" in refusal(zipped(named("\x1b[2J", "a" * 250)), tmp_path)


OTHER_INSTRUCTIONS = {
    "INST": b"(" + text("true") + b"iposix\nsystem\n",
    "OBJ": b"(cposix\nsystem\n" + text("true") + b"o",
    "EXT1": b"\x82\x01",
    "EXT2": b"\x83\x01\x00",
    "EXT4": b"\x84\x01\x00\x00\x00",
    "PERSID": b"Pstorage\n",
    "LONG4": b"\x8b\xff\xff\xff\x7f",
    "BYTEARRAY8": b"\x96" + b"\xff" * 8,
    "NEXT_BUFFER": b"\x97",
    "DUP": b"]" + b"2a" * 40,
    "INT": b"I" + b"9" * 5000 + b"\n",
}


@pytest.mark.parametrize("name", OTHER_INSTRUCTIONS)
def test_other_instructions_are_refused_by_their_name(name, tmp_path):
    program = OTHER_INSTRUCTIONS[name]
    if name == "OBJ":  # its class comes first
        program = program.replace(b"cposix\nsystem\n", text("posix"))
    assert f"instruction {name}," in refusal(zipped(program), tmp_path)


def test_every_instruction_is_admitted_or_refused_by_its_name(tmp_path):
    assert set(pickles._STEPS) < {info.name for info in pickletools.opcodes}
    codes = {ord(info.code): info.name for info in pickletools.opcodes}
    for code in range(256):
        if codes.get(code) not in (*pickles._STEPS, "STOP"):
            words = f"instruction {codes[code]}," if code in codes else f"0x{code:02x} exists"
            assert words in refusal(zipped(bytes([code])), tmp_path)


NESTED = b"".join(b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(200))
"""Pairs of tuples, 200 deep, each with the previous one twice; memo 0 must exist."""

MALICIOUS = {
    "a memo of 2^32": b"]r\xff\xff\xff\xff" + b"0",
    "a string of 2^64": b"\x8d" + b"\xff" * 8,
    "bytes of 2^63": b"\x8e" + b"\xff" * 7 + b"\x7f",
    "a string of 2^32": b"X\xff\xff\xff\xff",
    "a string of -1": b"T\xff\xff\xff\xff",
    "a frame of 2^64": b"\x95" + b"\xff" * 8 + b"0",
    "nested pairs as a key": b"}]q\x00" + NESTED + b"h\xc8Ns",
    "nested pairs as a size": b"]q\x00" + NESTED + tensor().replace(integers(4), b"h\xc8"),
    "nested pairs as a storage": b"]q\x00" + NESTED + b"h\xc8Q",
    "nested pairs as all": b"]q\x00" + NESTED,
    "lists 20,000 deep": b"](" * 20_000,
    "tuples 20,000 deep": b")" + b"\x85" * 20_000,
    "dictionaries 20,000 deep": b"}" + (text("a") + b"}") * 20_000 + b"s" * 20_000,
    "a dictionary in itself": b"}q\x00" + text("a") + b"h\x00s",
    "dictionaries in pairs": b"}q\x00" + text("a") + tensor() + b"s" + b"".join(
        b"}(" + text("a") + b"h%c" % i + text("b") + b"h%c" % i + b"uq%c" % (i + 1)
        for i in range(25)
    ),
    "a dictionary as its name": b"}(}" + tensor() + b"u",
    "a long name in itself": b"}q\x00" + text("a" * 60_000) + b"h\x00s",
    "a mark too many": b"(" * 10,
    "no mark": b"t",
    "an empty stack": b"\x85",
    "an unknown memo": b"h\x07",
    "a line without end": b"c" + b"a" * 1000,
    "no UTF-8": b"X\x02\x00\x00\x00\xff\xff",
    "a surrogate": b"}X\x03\x00\x00\x00\xed\xa0\x80" + tensor() + b"s",
    "escapes in a name": named("torch\\x2e", "\\q"),
    "a name that is not ASCII": named("törch", "ü"),
    "an instruction that does not exist": b"\xff",
    "a call of a type": named("torch", "FloatStorage") + b")R",
    "a call of a string": text("print") + b")R",
    "a call with a list": named("collections", "OrderedDict") + b"]R",
    "a state for a list": b"]Nb",
    "a state for a function": named("collections", "OrderedDict") + b"}b",
    "entries of a list": b"](NNu",
    "half an entry": b"}(Nu",
    "items of a dictionary": b"}(Ne",
    "a protocol of 0": b"\x80\x00N",
    "a protocol of 6": b"\x80\x06N",
    "an OrderedDict of numbers": named("collections", "OrderedDict") + b"(](K\x01K\x02etR",
    "a Parameter of nothing": named("torch.nn.parameter", "Parameter") + b"(NtR",
    "a Parameter without values": b"}" + text("a") + named("torch.nn.parameter", "Parameter")
    + b")Rs",
    "a tensor with a tensor as argument": named("torch", "FloatTensor") + b"(" + tensor() + b"tR",
    "a tensor of its state": named("torch", "FloatTensor") + b")Rq\x00(h\x00NNNNtb",
    "a tensor of nothing": named("torch._utils", "_rebuild_tensor") + b")R",
}  # fmt: skip


@pytest.mark.parametrize("wrap", [zipped, stream])
@pytest.mark.parametrize("case", MALICIOUS)
def test_malicious_pickles(case, wrap, tmp_path):
    """Refused in little memory, and in little time, or this test does not end."""
    made = wrap(MALICIOUS[case])
    assert peak_bytes(made, tmp_path) < 200 * len(made) + 20e6


def test_a_pickle_of_many_instructions(tmp_path):
    assert "more than 1048576 instructions" in refusal(zipped(b"N" * 1_100_000), tmp_path)


IDENTIFIERS = {
    "a number": integer(3),
    "a string": text("0"),
    "nothing": b"N",
    "an empty tuple": b")",
    "a list": b"]",
    "too few": b"(" + text("storage") + b"t",
    "another word": described(word=text("storagE")),
    "a tuple for a word": described(word=b")"),
    "a type that is a string": described(kind=text("FloatStorage")),
    "a function for a type": described(kind=named("collections", "OrderedDict")),
    "a number for a key": described(key=integer(0)),
    "a list for a key": described(key=b"]"),
    "a negative count": described(count=integer(-1)),
    "a count of 2^62": described(count=integer(1 << 62)),
    "a count of 2^2000": described(count=integer(1 << 2000)),
    "a count that is true": described(count=b"\x88"),
    "a count that is a float": described(count=b"G" + struct.pack(">d", 4)),
}


@pytest.mark.parametrize("case", IDENTIFIERS)
def test_invalid_descriptions_of_storages(case, tmp_path):
    identifier = IDENTIFIERS[case]
    assert "invalid description" in refusal(
        zipped(dictionary(("a", tensor(source=identifier + b"Q")))), tmp_path
    )
    in_stream = identifier[:-1] + b"Nt" if identifier.endswith(b"t") else identifier
    assert "invalid description" in refusal(
        stream(dictionary(("a", tensor(source=in_stream + b"Q")))), tmp_path
    )


def test_one_storage_described_twice(tmp_path):
    for other in (storage(3), storage(4, "DoubleStorage")):
        made = zipped(dictionary(("a", tensor()), ("b", tensor(size=(1,), source=other))))
        assert "has two descriptions" in refusal(made, tmp_path)


HUGE = 1 << 61
VIEWS = {
    "beyond the end": (1, (4,), (1,)),
    "far beyond the end": (HUGE, (4,), (1,)),
    "beyond by its stride": (0, (4,), (2,)),
    "beyond by one": (0, (2, 2), (3, 2)),
    "a negative offset": (-1, (2,), (1,)),
    "a negative stride": (3, (4,), (-1,)),
    "a negative size": (0, (-1,), (1,)),
    "two negative sizes": (0, (-2, -2), (2, 1)),
    "2^62 values": (0, (HUGE, 2), (0, 0)),
    "2^122 values": (0, (HUGE, HUGE), (0, 0)),
    "an overflow to 0": (0, (1 << 32, 1 << 32), (1 << 32, 1 << 32)),
    "strides that overflow": (0, (3, 2), (HUGE, 1)),
    "an enormous size": (0, (1 << 1500,), (1,)),
    "an enormous stride": (0, (4,), (1 << 1500,)),
    "nothing, enormous": (0, (0, HUGE), (1, 1)),
    "40 axes": (0, (1,) * 40, (1,) * 40),
    "fewer strides": (0, (2, 2), (1,)),
    "more strides": (0, (2,), (1, 1)),
    "repeated millions of times": (0, (1 << 22,), (0,)),
}


@pytest.mark.parametrize("case", VIEWS)
def test_invalid_views(case, tmp_path):
    for program in (
        tensor(*VIEWS[case]),
        named("torch._utils", "_rebuild_parameter") + b"(" + tensor(*VIEWS[case]) + b"\x88}tR",
    ):
        assert peak_bytes(zipped(dictionary(("a", program))), tmp_path) < 1e6


def test_many_conversions_of_the_same_values(tmp_path):
    """Each view is converted to a new float32 array: together at most a few times the file."""
    half = {"data/0": bytes(200_000)}
    source = storage(100_000, "HalfStorage")
    entries = [(str(i), tensor(i, (90_000,), (1,), source)) for i in range(200)]
    made = zipped(dictionary(*entries), half)
    assert peak_bytes(made, tmp_path) < 4 * len(made) + 10e6
    same = [(str(i), tensor(0, (90_000,), (1,), source)) for i in range(200)]
    arrays = loaded(zipped(dictionary(*same), half), tmp_path)
    assert len({id(array) for array in arrays.values()}) == 1


def test_a_conjugate_is_refused(tmp_path):
    flagged = tensor().removesuffix(b"tR") + dictionary(("neg", b"\x88")) + b"tR"
    assert "conjugate or negated" in refusal(zipped(dictionary(("a", flagged))), tmp_path)


# --- damaged containers ---


@pytest.mark.parametrize("name", SMALL)
def test_truncated_anywhere(name, tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes((FOLDER / name).read_bytes())
    for length in reversed(range(path.stat().st_size)):
        os.truncate(path, length)
        with pytest.raises(WeightsError, match=r"^/.*w\.pth: "):
            weights.load(path)


@pytest.mark.parametrize("name", SMALL)
def test_a_bit_flipped_anywhere(name, tmp_path):
    """Refused or read: never another error."""
    content = bytearray((FOLDER / name).read_bytes())
    path = tmp_path / "w.pth"
    refused = 0
    for place in range(0, len(content), 1 if name.endswith("stream.pth") else 3):
        content[place] ^= 1 << place % 8
        path.write_bytes(content)
        content[place] ^= 1 << place % 8
        try:
            weights.load(path)
        except WeightsError as error:
            refused += 1
            assert str(error).startswith(str(path))
    assert refused > len(content) / 9


def test_a_truncated_download_says_so(tmp_path):
    message = refusal((FOLDER / "state_dict_stream.pth").read_bytes()[:-1], tmp_path)
    assert message.startswith("truncated: a storage of")


def test_a_stream_whose_parts_disagree(tmp_path):
    values = (4).to_bytes(8, "little") + bytes(16)
    program = dictionary(("a", tensor(source=storage().removesuffix(b"tQ") + b"NtQ")))
    assert loaded(stream(program, values, "0"), tmp_path)
    assert "does not match" in refusal(stream(program, values, "01"), tmp_path)
    assert "twice" in refusal(stream(program, values * 2, "00"), tmp_path)
    assert "missing" in refusal(stream(program, values, ""), tmp_path)
    assert "claims to have 5" in refusal(stream(program, b"\5" + values[1:], "0"), tmp_path)
    assert "version" in refusal(
        stream(program, values, "0").replace(b"M\xe9\x03", b"M\xe8\x03", 1), tmp_path
    )


def test_a_zip_whose_parts_disagree(tmp_path):
    program = dictionary(("a", tensor()))
    assert "'0' is missing" in refusal(zipped(program, {}), tmp_path)
    assert "has 12 bytes" in refusal(zipped(program, {"data/0": bytes(12)}), tmp_path)
    assert "byte order" in refusal(
        zipped(program, {"data/0": bytes(16), "byteorder": "middle"}), tmp_path
    )
    assert "exactly one data.pkl" in refusal(zipped(program, {"b/data.pkl": b""}), tmp_path)
    outside = storage(key="../0")
    assert "missing" in refusal(zipped(dictionary(("a", tensor(source=outside)))), tmp_path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_that_contains_a_name_twice(tmp_path):
    file = io.BytesIO(zipped(dictionary(("a", tensor()))))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("archive/data/0", bytes(16))
    assert "twice" in refusal(file.getvalue(), tmp_path)


def _directory(content: bytes, offset: int, layout: str, value: int) -> bytes:
    """Change a field of the last entry in a zip's directory."""
    start = content.rindex(b"PK\x01\x02") + offset
    packed = struct.pack(layout, value)
    return content[:start] + packed + content[start + len(packed) :]


@pytest.mark.parametrize(
    ("offset", "layout", "value"),
    [
        pytest.param(8, "<H", 1, id="encrypted"),
        pytest.param(10, "<H", 12, id="bzip2"),
        pytest.param(10, "<H", 14, id="lzma"),
        pytest.param(10, "<H", 99, id="unknown"),
        pytest.param(20, "<I", 1 << 30, id="packed size"),
        pytest.param(24, "<I", 1 << 30, id="size"),
        pytest.param(42, "<I", 1 << 30, id="offset beyond the file"),
        pytest.param(42, "<I", 1, id="wrong offset"),
        pytest.param(28, "<H", 3, id="length of the name"),
    ],
)
def test_wrong_zip_entries(offset, layout, value, tmp_path):
    made = _directory(zipped(dictionary(("a", tensor()))), offset, layout, value)
    assert peak_bytes(made, tmp_path) < 1e6


def test_a_zip_bomb(tmp_path):
    program = dictionary(("a", tensor(size=(1 << 24,), source=storage(1 << 24))))
    made = zipped(program, {"data/0": bytes(1 << 26)}, zipfile.ZIP_DEFLATED)
    assert len(made) < 1e5
    assert peak_bytes(made, tmp_path) < 1e6
    assert "zip bomb" in refusal(made, tmp_path)


def test_a_zip_bomb_that_claims_a_small_size(tmp_path):
    program = dictionary(("a", tensor()))
    made = zipped(program, {"data/0": bytes(1 << 26)}, zipfile.ZIP_DEFLATED)
    assert peak_bytes(_directory(made, 24, "<I", 16), tmp_path) < 4e6


def test_a_pickle_that_is_a_bomb(tmp_path):
    made = zipped(b"N" * pickles.MAX_BYTES, method=zipfile.ZIP_DEFLATED)
    assert "too long" in refusal(made, tmp_path) and peak_bytes(made, tmp_path) < 1e6


def test_a_directory_too_long_to_list(tmp_path, monkeypatch):
    made = zipped(dictionary(("a", tensor())))
    monkeypatch.setattr(zips, "_DIRECTORY", 100)
    assert "a directory of more than 100" in refusal(made, tmp_path)


def test_an_html_page(tmp_path):
    assert refusal(b"<!DOCTYPE html><title>404</title>", tmp_path, "vgg16.pth")
