"""PyTorch's files, read without PyTorch: small files that it wrote, and malicious files."""

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
from torch_files import (
    dictionary,
    integer,
    integers,
    named,
    storage,
    storage_id,
    stream,
    tensor,
    text,
    zipped,
)

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


def error_message(content: bytes, folder: Path, name: str = "w.pth") -> str:
    """Return the reader's error message for a file; it must be one printable line."""
    path = folder / name
    path.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        weights.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and message.isprintable()
    message = message.removeprefix(f"{path}: ")
    assert len(message) < 450
    return message


def peak_bytes(content: bytes, folder: Path) -> int:
    """Return the maximum memory that Python uses until the error."""
    error_message(content, folder)  # so that imports and caches do not count
    tracemalloc.start()
    try:
        error_message(content, folder)
        return tracemalloc.get_traced_memory()[1] - len(content)
    finally:
        tracemalloc.stop()


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
    format_ = "PyTorch (zip)" if zipfile.is_zipfile(path) else "PyTorch (legacy stream)"
    assert ours.format == format_ and ours.metadata == {}
    for name in ("half", "bfloat16", "double") if path.stem.startswith("kinds") else ():
        assert ours.dtypes[name] == {"half": "float16", "double": "float64"}.get(name, name)


def test_files_contain_all_types():
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


def test_stream_of_2017_is_unaligned():
    """Like torchvision's: the users of its tensors must support that."""
    tensors = weights.load(FOLDER / "state_dict_2017.pth").tensors
    for array in tensors.values():
        assert array.ctypes.data % 4 == 1 and not array.flags.aligned


def test_trailing_data_is_ignored(tmp_path):
    path = FOLDER / "state_dict_stream.pth"
    assert list(loaded(path.read_bytes() + b"<html>" * 99, tmp_path)) == list(expected(path))


def test_zip_that_was_written_again(tmp_path):
    """Compressed members and another folder name, as after unzipping and zipping again."""
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
def test_byte_order_of_a_zip(order, tmp_path):
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


def test_streams_are_always_little_endian(tmp_path):
    """PyTorch swaps bytes on big-endian machines; the flag states the byte order of the machine."""
    source = storage().removesuffix(b"tQ") + b"NtQ"
    values = (4).to_bytes(8, "little") + np.arange(4, dtype="<f4").tobytes()
    content = stream(dictionary(("a", tensor(source=source))), values, "0", little_endian=False)
    np.testing.assert_array_equal(loaded(content, tmp_path)["a"], np.arange(4))


def test_views_of_a_storage_in_a_stream(tmp_path):
    """Until 2017 a storage could be a view of another."""
    part = b"(" + text("7") + integer(1) + integer(2) + b"t"
    source = storage().removesuffix(b"tQ") + part + b"tQ"
    values = (4).to_bytes(8, "little") + np.arange(4, dtype="<f4").tobytes()
    content = stream(dictionary(("a", tensor(size=(2,), source=source))), values, "0")
    np.testing.assert_array_equal(loaded(content, tmp_path)["a"], [1, 2])
    beyond = content.replace(part, b"(" + text("7") + integer(3) + integer(2) + b"t")
    assert "ends beyond the storage" in error_message(beyond, tmp_path)
    assert "ends at value 2" in error_message(
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
    content = zipped(dictionary(("a", plain), ("b", on_gpu), ("c", parameter), ("d", older)))
    tensors = loaded(content, tmp_path)
    assert len(tensors) == 4
    for values in tensors.values():
        np.testing.assert_array_equal(values, [1, 2, 3])


def test_dictionaries_written_by_python_2(tmp_path):
    """Entries as a list of lists, names as byte strings."""
    entry = b"](U\x01a" + tensor() + b"e"
    program = named("collections", "OrderedDict") + b"(](" + entry + b"etR"
    np.testing.assert_array_equal(loaded(zipped(program), tmp_path)["a"], np.arange(4))


def test_axis_of_length_one_with_any_stride(tmp_path):
    content = zipped(dictionary(("a", tensor(0, (1, 4, 1), (1 << 61, 1, 0)))))
    np.testing.assert_array_equal(loaded(content, tmp_path)["a"], np.arange(4).reshape(1, 4, 1))


@pytest.mark.parametrize(
    "entries",
    [
        [("a.b", tensor()), ("a.b", tensor(1, (2,)))],
        [("a.b", tensor()), ("a", dictionary(("b", tensor(1, (2,)))))],
    ],
)
def test_two_tensors_of_one_name_are_refused(entries, tmp_path):
    """The same key twice, or two keys that are equal once they are joined by dots."""
    assert "two tensors in it are called 'a.b'" in error_message(
        zipped(dictionary(*entries)), tmp_path
    )
    twice = loaded(zipped(dictionary(entries[0], entries[0])), tmp_path)
    assert list(twice) == ["a.b"]  # one tensor


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
        (named("argparse", "Namespace") + b")R", "whole .* of the class argparse.Namespace"),
        (
            dictionary(
                ("model", named("my", "Net") + b")\x81" + dictionary(("w", tensor())) + b"b")
            ),
            r"a whole pickled model or object, of the class my\.Net, .*model\.state_dict\(\)",
        ),
        (named("torch._utils", "_rebuild_qtensor"), "asks for torch._utils._rebuild_qtensor"),
    ],
    ids=[
        "tensor",
        "list",
        "number",
        "empty",
        "numbers",
        "model",
        "namespace",
        "inner model",
        "quantised",
    ],
)
def test_other_content_than_a_state_dict_is_described(program, words, tmp_path):
    message = error_message(zipped(program), tmp_path)
    assert re.search(words, message), message


def test_a_module_in_a_stream(tmp_path):
    """PyTorch stored the source code of a pickled model's classes in the stream."""
    module = b"(" + text("module") + text("VGG") + text("vgg.py") + text("import os") + b"tQ"
    message = error_message(stream(module), tmp_path)
    assert message.startswith("a whole pickled model") and "model.state_dict()" in message


def test_tar_format_is_refused(tmp_path):
    content = b"sys_info" + bytes(504)
    assert "a tar file" in error_message(content, tmp_path) and "torch.save" in error_message(
        content, tmp_path
    )


def test_a_plain_pickle_is_refused(tmp_path):
    assert "Python pickle" in error_message(pickle.dumps({"a": [1.0, 2.0]}, 2), tmp_path)
    with pytest.raises(WeightsError, match="not a file of torch"):
        path = tmp_path / "w.pth"
        path.write_bytes(b"<html>")
        pth.read(path)


def test_numpy_zips_are_recognised(tmp_path):
    path = tmp_path / "w.pth"
    with open(path, "wb") as file:
        np.savez(file, a=np.ones(3, np.float32))
    assert weights.load(path).format == "NumPy .npz"


# --- what training scripts save beside the tensors ---

BESIDE = {
    "a namespace": named("argparse", "Namespace") + b")\x81" + dictionary(("lr", b"G" + b"0" * 8))
    + b"b",
    "a NumPy scalar": named("numpy._core.multiarray", "scalar") + b"(" + named("numpy", "dtype")
    + b"(" + text("f8") + b"\x89\x88tR" + text("12345678") + b"tR",
    "a device": named("torch", "device") + b"(" + text("cuda") + b"K\x00tR",
    "a type": named("torch", "float32"),
    "a size": named("torch", "Size") + b"(" + integers(3, 224) + b"tR",
    "a set of protocol 2": named("__builtin__", "set") + b"(](K\x01K\x02etR",
    "a set of protocol 4": b"\x8f(K\x01K\x02\x90",
    "a frozenset": b"(K\x01K\x02\x91",
    "a counter": named("collections", "Counter") + b"}K\x03K\x01s\x85R",
    "a defaultdict": named("collections", "defaultdict") + named("__builtin__", "list") + b"\x85R",
    "a path": named("pathlib", "PosixPath") + b"(" + text("/") + text("tmp") + b"tR",
    "a bytearray": b"\x96\x02" + b"\x00" * 7 + b"ab",
    "a large number": b"\x8b\x04\x00\x00\x00\x01\x02\x03\x04",
    "a list of objects": b"](" + named("my", "Callback") + b")\x81e",
    "an object with keywords": named("enum", "Enum") + b")}\x92",
    "an object of a class in another one": named("__builtin__", "getattr") + named("types", "A")
    + text("B") + b"\x86R)\x81}b",
    "the result of a call of a result": named("functools", "partial") + b")R)R)\x81",
    "20,001 numbers of NumPy": named("numpy", "float64") + b"q\x010}("
    + b"".join(b"J" + i.to_bytes(4, "little") + b"h\x01)R" for i in range(20_001)) + b"u",
    "a recursive tuple": b"](N1N0" + b"N" + b"0",
}  # fmt: skip


@pytest.mark.parametrize("case", BESIDE)
def test_values_beside_the_tensors_are_passed_over(case, tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(zipped(dictionary(("a", tensor()), ("beside", BESIDE[case])), protocol=4))
    found = weights.load(path)
    assert list(found.tensors) == ["a"] and (found.notes, found.objects) == ((), {})


def test_tensors_in_dictionaries_of_other_kinds(tmp_path):
    """In a defaultdict, and a parameter with attributes of its own."""
    subclass = named("torch._tensor", "_rebuild_from_type_v2") + b"("
    subclass += named("torch._utils", "_rebuild_tensor_v2") + named(
        "torch.nn.parameter", "Parameter"
    )
    arguments = tensor().partition(b"(")[2].removesuffix(b"R")
    subclass += b"(" + arguments + b"}tR"
    items = named("collections", "defaultdict") + b")R(" + text("b") + subclass + b"u"
    assert list(loaded(zipped(dictionary(("a", items))), tmp_path)) == ["a.b"]


@pytest.mark.parametrize(
    "name", ["code.models.Cfg", "os.stat_result", "platform.uname_result", "sys.flags", "my.A"]
)
def test_classes_in_modules_of_all_kinds_are_no_attack(name, tmp_path):
    """Only functions that run programs are."""
    path = tmp_path / "w.pth"
    thing = named(*name.rsplit(".", 1)) + b")\x81}b"
    path.write_bytes(zipped(dictionary(("a", tensor()), ("thing", thing))))
    (note,) = weights.load(path).notes
    assert name in note


def test_a_class_in_another_one_is_named(tmp_path):
    path = tmp_path / "w.pth"
    inner = named("__builtin__", "getattr") + named("my", "Outer") + text("Inner") + b"\x86R"
    path.write_bytes(zipped(dictionary(("a", tensor()), ("thing", inner + b")\x81}b"))))
    (note,) = weights.load(path).notes
    assert "not read: my.Outer.Inner." in note


def test_objects_of_other_programs_are_named(tmp_path):
    """Only in a note, if they lie beside the tensors; one with tensors is remembered."""
    path = tmp_path / "w.pth"
    logger = named("my.log", "Logger") + b")\x81}b"
    module = named("my.net", "Net") + b")\x81" + dictionary(("w", tensor())) + b"b"
    content = dictionary(("a", tensor()), ("logger", logger), ("net", module))
    path.write_bytes(zipped(content))
    found = weights.load(path)
    assert list(found.tensors) == ["a"] and found.objects == {"net": "my.net.Net"}
    (note,) = found.notes
    assert "not read: my.log.Logger, my.net.Net." in note


# --- malicious files ---

CREATED_FILE = "executed"


def _touch_arguments(folder: Path) -> bytes:
    return b"(" + text(f"touch {folder / CREATED_FILE}") + b"t"


CALLS = {
    "GLOBAL": lambda f: named("posix", "system") + _touch_arguments(f) + b"R",
    "STACK_GLOBAL": lambda f: text("posix") + text("system") + b"\x93" + _touch_arguments(f) + b"R",
    "NEWOBJ": lambda f: named("posix", "system") + _touch_arguments(f) + b"\x81",
    "NEWOBJ_EX": lambda f: named("posix", "system") + _touch_arguments(f) + b"}\x92",
    "in a list": lambda f: b"](" + named("posix", "system") + _touch_arguments(f) + b"Re",
    "as a state": lambda f: b"]" + named("posix", "system") + _touch_arguments(f) + b"Rb",
    "as an argument": lambda f: tensor(
        source=named("posix", "system") + _touch_arguments(f) + b"R"
    ),
}


@pytest.mark.parametrize("form", CALLS)
@pytest.mark.parametrize("wrap", [zipped, stream])
def test_no_code_is_executed(form, wrap, tmp_path):
    program = CALLS[form](tmp_path)
    assert "posix.system" in error_message(wrap(program), tmp_path)
    assert not (tmp_path / CREATED_FILE).exists()


def test_pickle_module_executes_the_same_code(tmp_path):
    """The pickle of the test above is valid for the pickle module."""
    pickle.loads(CALLS["GLOBAL"](tmp_path) + b".")
    assert (tmp_path / CREATED_FILE).exists()


@pytest.mark.parametrize(
    "name",
    [
        *("builtins.eval", "builtins.getattr", "os.system", "torch.load", "."),
        *("torch.storage._load_from_bytes", "torch._utils.os.system"),
        *("collections.OrderedDict.fromkeys", "collections.abc"),
    ],
)
def test_error_names_the_unsupported_global(name, tmp_path):
    module, _, last = name.rpartition(".")
    for program in (named(module, last), text(module) + text(last) + b"\x93"):
        assert name in error_message(zipped(program + b"(" + text("1+1") + b"tR"), tmp_path)


def test_names_with_control_characters_are_escaped(tmp_path):
    assert "\\x1b[2J" in error_message(zipped(named("\x1b[2J", "a" * 250)), tmp_path)


OTHER_INSTRUCTIONS = {
    "INST": b"(" + text("true") + b"iposix\nsystem\n",
    "OBJ": b"(cposix\nsystem\n" + text("true") + b"o",
    "EXT1": b"\x82\x01",
    "EXT2": b"\x83\x01\x00",
    "EXT4": b"\x84\x01\x00\x00\x00",
    "PERSID": b"Pstorage\n",
    "NEXT_BUFFER": b"\x97",
    "DUP": b"]" + b"2a" * 40,
    "INT": b"I" + b"9" * 5000 + b"\n",
}


@pytest.mark.parametrize("name", OTHER_INSTRUCTIONS)
def test_error_names_the_unsupported_instruction(name, tmp_path):
    program = OTHER_INSTRUCTIONS[name]
    if name == "OBJ":  # its class is the first entry
        program = program.replace(b"cposix\nsystem\n", text("posix"))
    assert f"instruction {name}," in error_message(zipped(program), tmp_path)


def test_every_instruction_is_supported_or_named_in_the_error(tmp_path):
    assert set(pickles._STEPS) < {info.name for info in pickletools.opcodes}
    codes = {ord(info.code): info.name for info in pickletools.opcodes}
    for code in range(256):
        if codes.get(code) not in (*pickles._STEPS, "STOP"):
            message = f"instruction {codes[code]}," if code in codes else f"0x{code:02x} exists"
            assert message in error_message(zipped(bytes([code])), tmp_path)


NESTED = b"".join(b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(200))
"""Nested pairs, 200 deep, each with the previous pair twice; memo 0 must exist."""

MALICIOUS = {
    "memo number 2^32": b"]r\xff\xff\xff\xff" + b"0",
    "string of 2^64 bytes": b"\x8d" + b"\xff" * 8,
    "bytes of length 2^63": b"\x8e" + b"\xff" * 7 + b"\x7f",
    "string of 2^32 bytes": b"X\xff\xff\xff\xff",
    "number of 2^31 bytes": b"\x8b\xff\xff\xff\x7f",
    "bytearray of 2^64 bytes": b"\x96" + b"\xff" * 8,
    "a number of 100,000 digits as a key": b"}\x8b\x00\x00\x02\x00" + b"\x7f" * 131_072 + b"Ns",
    "an object that contains itself": named("a", "B") + b")\x81q\x00h\x00b",
    "objects 20,000 deep": named("a", "B") + b")\x81" + (named("a", "B") + b")\x81") * 20_000
    + b"b" * 20_000,
    "subclasses in subclasses": named("torch._tensor", "_rebuild_from_type_v2") + b"q\x00"
    + b"h\x00N)Nt" + b"R",
    "nested pairs in an object": b"]q\x00" + NESTED + named("a", "B") + b"h\xc8\x85R",
    "items added to a dictionary": b"}(N\x90",
    "a pop too many": b"0",
    "a mark that is not there": b"1",
    "string of length -1": b"T\xff\xff\xff\xff",
    "frame of 2^64 bytes": b"\x95" + b"\xff" * 8 + b"0",
    "nested pairs as a key": b"}]q\x00" + NESTED + b"h\xc8Ns",
    "nested pairs as a size": b"]q\x00" + NESTED + tensor().replace(integers(4), b"h\xc8"),
    "nested pairs as a storage": b"]q\x00" + NESTED + b"h\xc8Q",
    "nested pairs as the result": b"]q\x00" + NESTED,
    "lists 20,000 deep": b"](" * 20_000,
    "tuples 20,000 deep": b")" + b"\x85" * 20_000,
    "dictionaries 20,000 deep": b"}" + (text("a") + b"}") * 20_000 + b"s" * 20_000,
    "dictionary that contains itself": b"}q\x00" + text("a") + b"h\x00s",
    "nested dictionaries in pairs": b"}q\x00" + text("a") + tensor() + b"s" + b"".join(
        b"}(" + text("a") + b"h%c" % i + text("b") + b"h%c" % i + b"uq%c" % (i + 1)
        for i in range(25)
    ),
    "dictionary as a name": b"}(}" + tensor() + b"u",
    "nested long names": b"}q\x00" + text("a" * 60_000) + b"h\x00s",
    "unused mark": b"(" * 10,
    "missing mark": b"t",
    "empty stack": b"\x85",
    "unknown memo number": b"h\x07",
    "unterminated line": b"c" + b"a" * 1000,
    "invalid UTF-8": b"X\x02\x00\x00\x00\xff\xff",
    "surrogate": b"}X\x03\x00\x00\x00\xed\xa0\x80" + tensor() + b"s",
    "escapes in a name": named("torch\\x2e", "\\q"),
    "non-ASCII name": named("törch", "ü"),
    "unknown instruction": b"\xff",
    "a call of a type": named("torch", "FloatStorage") + b")R",
    "a call of a string": text("print") + b")R",
    "a call with a list": named("collections", "OrderedDict") + b"]R",
    "state of a list": b"]Nb",
    "state of a function": named("collections", "OrderedDict") + b"}b",
    "entries of a list": b"](NNu",
    "key without a value": b"}(Nu",
    "items of a dictionary": b"}(Ne",
    "protocol 0": b"\x80\x00N",
    "protocol 6": b"\x80\x06N",
    "an OrderedDict of numbers": named("collections", "OrderedDict") + b"(](K\x01K\x02etR",
    "Parameter without arguments": named("torch.nn.parameter", "Parameter") + b"(NtR",
    "a Parameter without values": b"}" + text("a") + named("torch.nn.parameter", "Parameter")
    + b")Rs",
    "a tensor with a tensor as argument": named("torch", "FloatTensor") + b"(" + tensor() + b"tR",
    "tensor as its own state": named("torch", "FloatTensor") + b")Rq\x00(h\x00NNNNtb",
    "tensor without arguments": named("torch._utils", "_rebuild_tensor") + b")R",
}  # fmt: skip


def _wrapped(case: str) -> list:
    """In both kinds of files; of those that take long, the second is slow."""
    deep = [pytest.mark.slow] if "20,000 deep" in case else []
    return [pytest.param(case, zipped), pytest.param(case, stream, marks=deep)]


@pytest.mark.parametrize(("case", "wrap"), [each for case in MALICIOUS for each in _wrapped(case)])
def test_malicious_pickles(case, wrap, tmp_path):
    """Errors are raised with little memory, and without long loops."""
    content = wrap(MALICIOUS[case])
    assert peak_bytes(content, tmp_path) < 200 * len(content) + 20e6


def test_number_of_instructions_is_limited(tmp_path, monkeypatch):
    assert pickles.MAX_STEPS > 100_000 * 14  # a list of so many numbers of NumPy
    monkeypatch.setattr(pickles, "MAX_STEPS", 1000)
    assert "more than 1000 instructions" in error_message(zipped(b"N" * 1100), tmp_path)


INVALID_STORAGES = {
    "a number": integer(3),
    "a string": text("0"),
    "nothing": b"N",
    "an empty tuple": b")",
    "a list": b"]",
    "too few entries": b"(" + text("storage") + b"t",
    "wrong tag": storage_id(tag=text("storagE")),
    "tuple as tag": storage_id(tag=b")"),
    "string as type": storage_id(kind=text("FloatStorage")),
    "function as type": storage_id(kind=named("collections", "OrderedDict")),
    "number as key": storage_id(key=integer(0)),
    "list as key": storage_id(key=b"]"),
    "a negative count": storage_id(count=integer(-1)),
    "a count of 2^62": storage_id(count=integer(1 << 62)),
    "a count of 2^2000": storage_id(count=integer(1 << 2000)),
    "True as count": storage_id(count=b"\x88"),
    "float as count": storage_id(count=b"G" + struct.pack(">d", 4)),
}


@pytest.mark.parametrize("case", INVALID_STORAGES)
def test_invalid_descriptions_of_storages(case, tmp_path):
    identifier = INVALID_STORAGES[case]
    assert "invalid description" in error_message(
        zipped(dictionary(("a", tensor(source=identifier + b"Q")))), tmp_path
    )
    in_stream = identifier[:-1] + b"Nt" if identifier.endswith(b"t") else identifier
    assert "invalid description" in error_message(
        stream(dictionary(("a", tensor(source=in_stream + b"Q")))), tmp_path
    )


def test_storage_with_two_descriptions(tmp_path):
    for other in (storage(3), storage(4, "DoubleStorage")):
        content = zipped(dictionary(("a", tensor()), ("b", tensor(size=(1,), source=other))))
        assert "has two descriptions" in error_message(content, tmp_path)


HUGE = 1 << 61
INVALID_VIEWS = {
    "beyond the end": (1, (4,), (1,)),
    "far beyond the end": (HUGE, (4,), (1,)),
    "beyond the end because of the stride": (0, (4,), (2,)),
    "one value beyond the end": (0, (2, 2), (3, 2)),
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
    "empty, with an enormous size": (0, (0, HUGE), (1, 1)),
    "40 axes": (0, (1,) * 40, (1,) * 40),
    "too few strides": (0, (2, 2), (1,)),
    "too many strides": (0, (2,), (1, 1)),
    "repeated millions of times": (0, (1 << 22,), (0,)),
}


@pytest.mark.parametrize("case", INVALID_VIEWS)
def test_invalid_views(case, tmp_path):
    for program in (
        tensor(*INVALID_VIEWS[case]),
        named("torch._utils", "_rebuild_parameter")
        + b"("
        + tensor(*INVALID_VIEWS[case])
        + b"\x88}tR",
    ):
        assert peak_bytes(zipped(dictionary(("a", program))), tmp_path) < 1e6


def test_many_conversions_of_the_same_values(tmp_path):
    """The converted float32 arrays together are limited to a few times the size of the file."""
    half = {"data/0": bytes(200_000)}
    source = storage(100_000, "HalfStorage")
    entries = [(str(i), tensor(i, (90_000,), (1,), source)) for i in range(200)]
    content = zipped(dictionary(*entries), half)
    assert peak_bytes(content, tmp_path) < 4 * len(content) + 10e6
    same = [(str(i), tensor(0, (90_000,), (1,), source)) for i in range(200)]
    arrays = loaded(zipped(dictionary(*same), half), tmp_path)
    assert len({id(array) for array in arrays.values()}) == 1


def test_a_conjugate_is_refused(tmp_path):
    flagged = tensor().removesuffix(b"tR") + dictionary(("neg", b"\x88")) + b"tR"
    assert "conjugate or negated" in error_message(zipped(dictionary(("a", flagged))), tmp_path)


# --- damaged containers ---


@pytest.mark.parametrize("name", SMALL)
def test_truncated_at_every_byte(name, tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes((FOLDER / name).read_bytes())
    for length in reversed(range(path.stat().st_size)):
        os.truncate(path, length)
        with pytest.raises(WeightsError, match=r"^/.*w\.pth: "):
            weights.load(path)


@pytest.mark.parametrize("rest", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 3))])
@pytest.mark.parametrize("name", SMALL)
def test_bit_flips_everywhere(name, rest, tmp_path):
    """Every file is read or raises WeightsError. Each run takes a quarter of the bytes."""
    content = bytearray((FOLDER / name).read_bytes())
    path = tmp_path / "w.pth"
    refused = 0
    tried = range(0, len(content), 1 if name.endswith("stream.pth") else 3)[rest::4]
    for position in tried:
        content[position] ^= 1 << position % 8
        path.write_bytes(content)
        content[position] ^= 1 << position % 8
        try:
            weights.load(path)
        except WeightsError as error:
            refused += 1
            assert str(error).startswith(str(path))
    assert refused > len(tried) / 3


def test_error_of_a_truncated_download(tmp_path):
    message = error_message((FOLDER / "state_dict_stream.pth").read_bytes()[:-1], tmp_path)
    assert message.startswith("truncated: a storage of")


def test_inconsistent_streams(tmp_path):
    values = (4).to_bytes(8, "little") + bytes(16)
    program = dictionary(("a", tensor(source=storage().removesuffix(b"tQ") + b"NtQ")))
    assert loaded(stream(program, values, "0"), tmp_path)
    assert "does not match" in error_message(stream(program, values, "01"), tmp_path)
    assert "twice" in error_message(stream(program, values * 2, "00"), tmp_path)
    assert "missing" in error_message(stream(program, values, ""), tmp_path)
    assert "claims to have 5" in error_message(stream(program, b"\5" + values[1:], "0"), tmp_path)
    assert "version" in error_message(
        stream(program, values, "0").replace(b"M\xe9\x03", b"M\xe8\x03", 1), tmp_path
    )


def test_inconsistent_zips(tmp_path):
    program = dictionary(("a", tensor()))
    assert "'0' is missing" in error_message(zipped(program, {}), tmp_path)
    assert "has 12 bytes" in error_message(zipped(program, {"data/0": bytes(12)}), tmp_path)
    assert "byte order" in error_message(
        zipped(program, {"data/0": bytes(16), "byteorder": "middle"}), tmp_path
    )
    assert "exactly one data.pkl" in error_message(zipped(program, {"b/data.pkl": b""}), tmp_path)
    outside = storage(key="../0")
    assert "missing" in error_message(zipped(dictionary(("a", tensor(source=outside)))), tmp_path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zip_with_a_duplicate_name(tmp_path):
    file = io.BytesIO(zipped(dictionary(("a", tensor()))))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("archive/data/0", bytes(16))
    assert "twice" in error_message(file.getvalue(), tmp_path)


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
        pytest.param(20, "<I", 1 << 30, id="compressed size"),
        pytest.param(24, "<I", 1 << 30, id="size"),
        pytest.param(42, "<I", 1 << 30, id="offset beyond the file"),
        pytest.param(42, "<I", 1, id="wrong offset"),
        pytest.param(28, "<H", 3, id="length of the name"),
    ],
)
def test_invalid_zip_entries(offset, layout, value, tmp_path):
    content = _directory(zipped(dictionary(("a", tensor()))), offset, layout, value)
    assert peak_bytes(content, tmp_path) < 1e6


def test_a_zip_bomb(tmp_path):
    program = dictionary(("a", tensor(size=(1 << 24,), source=storage(1 << 24))))
    content = zipped(program, {"data/0": bytes(1 << 26)}, zipfile.ZIP_DEFLATED)
    assert len(content) < 1e5
    assert peak_bytes(content, tmp_path) < 1e6
    assert "zip bomb" in error_message(content, tmp_path)


def test_a_zip_bomb_that_claims_a_small_size(tmp_path):
    program = dictionary(("a", tensor()))
    content = zipped(program, {"data/0": bytes(1 << 26)}, zipfile.ZIP_DEFLATED)
    assert peak_bytes(_directory(content, 24, "<I", 16), tmp_path) < 4e6


def test_pickle_bomb(tmp_path):
    content = zipped(b"N" * pickles.MAX_BYTES, method=zipfile.ZIP_DEFLATED)
    assert "too long" in error_message(content, tmp_path) and peak_bytes(content, tmp_path) < 1e6


def test_zip_directory_too_large(tmp_path, monkeypatch):
    content = zipped(dictionary(("a", tensor())))
    monkeypatch.setattr(zips, "_DIRECTORY", 100)
    assert "a directory of more than 100" in error_message(content, tmp_path)


def test_an_html_page(tmp_path):
    assert error_message(b"<!DOCTYPE html><title>404</title>", tmp_path, "vgg16.pth")
