"""PyTorch's files, written by ``torch.save``, read without PyTorch and without executing them.

There are two containers for the same content: a pickle of a dictionary of tensors, and the storages
of these tensors. Since PyTorch 1.6 it is a zip file (``data.pkl``, ``data/0``, ``data/1``, ...);
before, and with ``_use_new_zipfile_serialization=False``, a stream of pickles followed by the
storages, each after its number of values. torchvision's VGG-16 is such a stream, of 2017.

:mod:`gradcam._weights.pickles` reads the pickle with the few globals of :data:`ADMITTED`, which
create placeholders. What training scripts save beside the tensors (namespaces, NumPy's scalars,
objects of any class) is ignored, and nothing of it is imported or executed. Storages are
mapped, not read: a tensor is a view of the file, unless it is converted to float32 from 16 or 64
bits or the other byte order. Compressed members of a zip file are read.

The stream does not align its storages; the core can use unaligned weights in place.

Not read: values that are not tensors (numbers, strings, lists), tensors inside objects of other
classes (a whole pickled model), and the format before April 2017 (a tar file). Format:
torch/serialization.py, torch/_utils.py.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradcam._weights import pickles
from gradcam._weights.pickles import Opaque, Pairs, Refused
from gradcam._weights.tensors import Weights, WeightsError, as_float32, from_bfloat16, listed

if TYPE_CHECKING:
    from gradcam._weights.zips import Archive

MAX_TENSORS = 20_000
"""Maximum number of tensors in one file."""

MAX_EXPANSION = 16
"""Maximum ratio of the decompressed size of a zip file's members to the size of the file, in
addition to 16 MB. Compression makes weights smaller by a tenth, a zip bomb by a factor of 1000."""

_SPARE_VALUES = 1 << 21
"""All tensors together can have one value for every byte of the file, and this number in addition.
Only views that overlap, or repeat values by strides of zero, have more."""

_MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"
"""The number in the stream's first pickle, 0x1950a86a20f9469cfc6c, as a pickle contains it."""

_PROTOCOL = 1001
"""The number in the second pickle."""

_TAR_MEMBERS = (b"sys_info\0", b"pickle\0", b"tensors\0", b"storages\0")
"""The first bytes of files before the stream: the name of a tar file's member."""

_MAX_AXES = 32
_MAX_DEPTH = 32
_MAX_NAME = 1000


@dataclass(frozen=True)
class Kind:
    """The type of a storage's values: PyTorch's name, and NumPy's for the bytes in the file."""

    name: str
    dtype: str


_KINDS = {
    "Float": "f4",
    "Half": "f2",
    "BFloat16": "u2",  # NumPy has no bfloat16: the bits are read, and converted to float32
    "Double": "f8",
    "Long": "i8",
    "Int": "i4",
    "Short": "i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "u1",
}

_LATER = ("BFloat16", "Bool")
"""The types that PyTorch did not have in 2017."""

_CONVERTED = {"Half": "float16", "BFloat16": "bfloat16", "Double": "float64"}
"""The types that are converted to float32."""


@dataclass(frozen=True, slots=True)
class Storage:
    """The values `start` to `start + count` of a storage; usually all of them."""

    key: str
    kind: Kind
    start: int
    count: int


class Tensor(pickles.Placeholder):
    """A view of a storage, in values; without a storage until its state follows."""

    __slots__ = ("offset", "size", "storage", "strides")

    def __init__(self) -> None:
        self.storage: Storage | None = None
        self.offset = 0
        self.size: tuple[int, ...] = ()
        self.strides: tuple[int, ...] = ()

    def view(self, storage: Any, offset: Any, size: Any, strides: Any) -> None:
        """Set the storage and the shape, and check them against its size."""
        if not isinstance(storage, Storage):
            raise Refused("a tensor in it has no storage: damaged or malicious")
        numbers = (offset, *size, *strides) if _tuples(size, strides) else (None,)
        if not all(map(_natural, numbers)) or not len(size) == len(strides) <= _MAX_AXES:
            raise Refused("a tensor in it has an invalid shape: damaged or malicious")
        last = offset + sum((n - 1) * s for n, s in zip(size, strides, strict=True))
        if 0 not in size and last >= storage.count:
            raise Refused(
                f"a tensor of shape {size} in it ends at value {last} of a storage of "
                f"{storage.count}: damaged or malicious"
            )
        self.storage, self.offset, self.size, self.strides = storage, offset, size, strides

    def build(self, state: Any) -> None:
        """Set the state of a tensor of early 2017, or of a Parameter."""
        if type(state) is tuple and len(state) == 4:
            self.view(*state)
        elif type(state) is tuple and len(state) == 5 and isinstance(state[0], Tensor):
            data = state[0]
            self.view(data.storage, data.offset, data.size, data.strides)
        elif type(state) is not tuple or len(state) != 3:  # three: requires_grad and hooks
            raise Refused("a tensor in it has a state of an unknown type")


def _natural(value: Any) -> bool:
    """Whether this is a valid size or position in a file."""
    return type(value) is int and 0 <= value < 1 << 62


def _tuples(*values: Any) -> bool:
    return all(type(value) is tuple for value in values)


# The admitted globals. Each takes the tuple of arguments in the pickle.


def _ordered_dict(arguments: tuple[Any, ...]) -> Pairs:
    result = Pairs()
    if arguments:  # Python 2 writes the entries as a list of lists
        entries = arguments[0]
        if type(entries) is not list or any(type(e) is not list or len(e) != 2 for e in entries):
            raise Refused(
                "an OrderedDict in it has an entry that is not a pair: damaged or malicious"
            )
        result.items.extend((key, value) for key, value in entries)
    return result


def _default_dict(arguments: tuple[Any, ...]) -> Pairs:
    """(factory,), followed by the items; or nothing."""
    return Pairs()


def _counter(arguments: tuple[Any, ...]) -> Pairs:
    """({key: count},)."""
    return arguments[0] if arguments and isinstance(arguments[0], Pairs) else Pairs()


def _size(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """((height, width),)."""
    return arguments[0] if arguments and type(arguments[0]) is tuple else arguments


def _rebuild_tensor(arguments: tuple[Any, ...]) -> Tensor:
    """(storage, offset, size, stride[, requires_grad, hooks[, metadata]])."""
    if not 4 <= len(arguments) <= 7:
        raise Refused("a tensor in it has a wrong number of arguments: damaged")
    if len(arguments) == 7 and (type(arguments[6]) is not Pairs or arguments[6].items):
        raise Refused("a tensor in it is conjugate or negated, which is not supported")
    result = Tensor()
    result.view(*arguments[:4])
    return result


def _parameter(arguments: tuple[Any, ...]) -> Tensor:
    """(data[, requires_grad[, hooks]]), or nothing if a state follows."""
    if not arguments:
        return Tensor()
    if not isinstance(arguments[0], Tensor):
        raise Refused("a Parameter in it has no tensor: damaged or malicious")
    return arguments[0]


def _subclass(arguments: tuple[Any, ...]) -> Any:
    """(function, class, arguments, state): a tensor of a subclass, or with attributes."""
    if (
        len(arguments) != 4
        or type(arguments[2]) is not tuple
        or not callable(arguments[0])
        or arguments[0] is _subclass  # nested in itself, as deep as the pickle says
    ):
        raise Refused("a tensor in it has a wrong number of arguments: damaged")
    return arguments[0](arguments[2])


def _empty_tensor(arguments: tuple[Any, ...]) -> Tensor:
    if arguments:
        raise Refused("a tensor in it has arguments that torch.save does not write")
    return Tensor()


ADMITTED: dict[str, Kind | Callable[[tuple[Any, ...]], Any]] = {
    "collections.Counter": _counter,
    "collections.OrderedDict": _ordered_dict,
    "collections.defaultdict": _default_dict,
    "torch.Size": _size,
    "torch._tensor._rebuild_from_type_v2": _subclass,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.nn.parameter.Parameter": _parameter,
    **{f"torch.{name}Storage": Kind(name, dtype) for name, dtype in _KINDS.items()},
    # Only files of early 2017 contain the class of a tensor, followed by its state.
    **{f"torch.{name}Tensor": _empty_tensor for name in _KINDS if name not in _LATER},
    **{f"torch.cuda.{name}Tensor": _empty_tensor for name in _KINDS if name not in _LATER},
}
"""The globals that the reader understands. None of them is imported."""

_UNKNOWN_TENSORS = re.compile(r"torch\._utils\._rebuild_\w+|torch\.(\w+\.)*\w*Storage")
"""Globals of tensors that are not supported: quantised, sparse, complex."""

_HARMFUL = (
    r"(nt|os|posix)\.(_exit|abort|chmod|chown|exec\w+|fork\w*|kill\w*|link|makedirs|mkdir|open"
    r"|popen\w*|posix_spawnp?|putenv|remove\w*|rename\w*|replace|rmdir|spawn\w+|startfile|symlink"
    r"|system|truncate|unlink|write)"
    r"|(builtins|__builtin__)\.(__import__|apply|breakpoint|compile|delattr|eval|exec|execfile|exit"
    r"|globals|input|locals|open|quit|setattr|vars)"
    r"|(asyncio|asyncio\.\w+)\.(create_subprocess_\w+|run|subprocess_\w+)"
    r"|code\.(interact|Interactive\w+)|commands\.get\w+"
    r"|ctypes\.(\w*CDLL|\w*DLL|cdll|windll|oledll|pydll|string_at|memmove|CFUNCTYPE)(\..*)?"
    r"|importlib\.(__import__|_bootstrap.*|import_module|reload)"
    r"|multiprocessing(\.\w+)*\.(Pool|Process|Popen|spawnv_passfds)|pip(\.\w+)*\.main"
    r"|platform\.(_syscmd\w*|popen)|pty\.\w+|pydoc\.(pipepager|pager|tempfilepager|browse)"
    r"|runpy\._?run_\w+|shutil\.(chown|copy\w*|make_archive|move|rmtree|unpack_archive)"
    r"|socket\.(create_\w+|socket|fromfd)|subprocess\.\w+|sys\.(_?exit|exitfunc|modules|set\w+)"
    r"|tempfile\.(mk\w+|\w*TemporaryFile|TemporaryDirectory)|timeit\.(main|repeat|timeit|Timer)"
    r"|urllib(2|\.request)?\.(urlopen|urlretrieve)|webbrowser\.(get|open\w*)"
)
"""Functions that no checkpoint needs, with which a file would run programs or change files in
Python's own reader. Classes of values in the same modules (``os.stat_result``) are not among them.
"""

_REFUSED = re.compile(f"{_UNKNOWN_TENSORS.pattern}|{_HARMFUL}")

_PLAIN = re.compile(
    r"(__builtin__|_codecs|argparse|builtins|collections|copy_reg|copyreg|datetime|decimal|enum"
    r"|fractions|functools|numpy|omegaconf|pathlib|torch|types|typing|uuid)\..*"
)
"""Classes of values beside the tensors that no note mentions."""


def recognise(start: bytes) -> bool:
    """Whether a file that begins with `start` is PyTorch's stream, or the older tar file.

    The zip file is recognised by its member ``data.pkl``.
    """
    return _MAGIC in start[:32] or start.startswith(_TAR_MEMBERS)


def read(path: str | os.PathLike[str]) -> Weights:
    """Map the tensors of a file that ``torch.save`` wrote.

    Nested dictionaries are flattened, their keys joined with dots. Float32 tensors are views of
    the file; float16, bfloat16 and float64 are converted to float32; integers and booleans keep
    their type.

    Raises
    ------
    WeightsError
        If the file is damaged, is not a dictionary of tensors, or asks for functions that run
        programs.
    """
    with open(path, "rb") as file:
        start = file.read(64)
    try:
        if start.startswith(b"PK"):
            return _read_zip(path)
        if start.startswith(_TAR_MEMBERS):
            raise Refused(
                "PyTorch's format before April 2017 (a tar file), which is not supported; "
                "load it in PyTorch and save it again: torch.save(torch.load(OLD), NEW)"
            )
        if not recognise(start):
            raise Refused("not a file of torch.save, or damaged at its start")
        return _read_stream(path)
    except pickles.RefusedGlobal as error:
        raise WeightsError(f"{path}: {_explained(error.name)}") from None
    except Refused as error:
        raise WeightsError(f"{path}: {error}") from None


def _explained(name: str) -> str:
    """Return why a global is refused, and what to do."""
    if _UNKNOWN_TENSORS.fullmatch(name):
        return (
            f"its pickle asks for {name}, a kind of tensor or storage that is not supported "
            f"(quantised, sparse, complex): in PyTorch, save ordinary tensors of real numbers"
        )
    return (
        f"its pickle asks for {name}, which no checkpoint needs and which can run programs: "
        f"malicious; nothing in it was executed"
    )


_OWN_CODE = (
    "save its tensors, torch.save(model.state_dict(), FILE), or, if you trust it, "
    "gradcam.from_torch(torch.load(FILE, weights_only=False), example)"
)
"""What to do with a pickled model."""


def _whole(name: str) -> Refused:
    """Return the error for an object instead of a dictionary of tensors."""
    return Refused(
        f"a whole pickled model or object, of the class {name}, which only its own code can load; "
        f"{_OWN_CODE}"
    )


# The stream.


def _read_stream(path: str | os.PathLike[str]) -> Weights:
    data = np.asarray(np.memmap(path, np.uint8, "r"))
    head = data[: pickles.MAX_BYTES].data
    storages: dict[str, Storage] = {}

    def persistent(identifier: Any) -> Storage:
        if type(identifier) is not tuple or len(identifier) != 6:
            raise _not_a_storage(identifier)
        whole = _storage(identifier[:5], storages)
        part = identifier[5]
        if part is None:
            return whole
        if type(part) is not tuple or len(part) != 3 or not all(map(_natural, part[1:])):
            raise Refused("a part of a storage in it has an invalid position: damaged")
        if part[1] + part[2] > whole.count:
            raise Refused("a part of a storage in it ends beyond the storage: damaged")
        return Storage(whole.key, whole.kind, part[1], part[2])

    magic, at = pickles.load(head, 0, {})
    version, at = pickles.load(head, at, {})
    if magic != int.from_bytes(_MAGIC[2:], "little") or version != _PROTOCOL:
        raise Refused(f"PyTorch's stream, but not of version {_PROTOCOL}: damaged")
    # The writer's byte order; the stream itself is little-endian, whoever wrote it.
    _, at = pickles.load(head, at, {})
    content, at = pickles.load(head, at, ADMITTED, persistent, _REFUSED)
    keys, at = pickles.load(head, at, {})
    if type(keys) is not list or not all(type(k) is str and k in storages for k in keys):
        raise Refused("its list of storages does not match its tensors: damaged")
    if len(set(keys)) != len(keys):
        raise Refused("its list of storages contains one twice: damaged")
    blocks = {}
    for key in keys:
        count, width = storages[key].count, np.dtype(storages[key].kind.dtype).itemsize
        at += 8
        stated = int.from_bytes(data[at - 8 : at].tobytes(), "little")
        if at + count * width > len(data):
            raise Refused(
                f"truncated: a storage of {count} values ends at byte {at + count * width}, the "
                f"file at {len(data)}; download or copy it again"
            )
        if stated != count:
            raise Refused(f"a storage of {count} values in it claims to have {stated}: damaged")
        blocks[key] = data[at : at + count * width]
        at += count * width
    return _weights(content, blocks, "<", len(data), "PyTorch (legacy stream)")


# The zip.


def _read_zip(path: str | os.PathLike[str]) -> Weights:
    from gradcam._weights.zips import Archive  # zipfile is slow to import

    with open(path, "rb") as file:
        archive = Archive(file, path)
        data = np.asarray(np.memmap(file, np.uint8, "r"))
        folder = _folder(archive)
        decompressed = sum(m.size for m in archive.members.values() if m.deflated)
        if decompressed > MAX_EXPANSION * len(data) + (1 << 24):
            raise Refused(
                f"its {len(data)} bytes decompress to {decompressed}, much more than weights do "
                f"(a zip bomb?)"
            )
        storages: dict[str, Storage] = {}

        def persistent(identifier: Any) -> Storage:
            if type(identifier) is not tuple or len(identifier) != 5:
                raise _not_a_storage(identifier)
            return _storage(identifier, storages)

        member = archive.members[folder + "data.pkl"]
        if member.size > pickles.MAX_BYTES:
            raise Refused(
                f"its pickle of {member.size} bytes is too long, the maximum is {pickles.MAX_BYTES}"
            )
        content, _ = pickles.load(archive.read(member).data, 0, ADMITTED, persistent, _REFUSED)
        blocks = {}
        for key, storage in storages.items():
            blocks[key] = _block(archive, f"{folder}data/{key}", storage, data)
        order = _byte_order(archive, folder)
    return _weights(content, blocks, order, len(data) + decompressed, "PyTorch (zip)")


def _folder(archive: Archive) -> str:
    """Return the folder of all members: "archive/", or the name of the original file."""
    names = [name for name in archive.members if name.split("/")[-1] == "data.pkl"]
    if len(names) != 1:
        raise Refused("a zip file without exactly one data.pkl, as PyTorch's have")
    return names[0].removesuffix("data.pkl")


def _block(archive: Archive, name: str, storage: Storage, data: NDArray[Any]) -> NDArray[Any]:
    """Return the bytes of a storage: mapped, or decompressed."""
    member = archive.members.get(name)
    if member is None:
        raise Refused(f"its storage {storage.key!r:.100} is missing: damaged")
    needed = storage.count * np.dtype(storage.kind.dtype).itemsize
    if member.size != needed:
        raise Refused(
            f"its storage {storage.key!r:.100} has {member.size} bytes, but its tensors need "
            f"{needed}: damaged"
        )
    if not member.deflated:
        return data[member.start : member.start + needed]
    values = archive.read(member)
    values.flags.writeable = False
    return values


def _byte_order(archive: Archive, folder: str) -> str:
    """Return NumPy's sign for the byte order of the storages; little-endian by default."""
    member = archive.members.get(folder + "byteorder")
    if member is None:
        return "<"
    order = archive.read(member).tobytes() if member.size < 10 else b""
    if order not in (b"little", b"big"):
        raise Refused("its byte order is neither little nor big: damaged")
    return "<" if order == b"little" else ">"


# Both.


def _not_a_storage(identifier: Any) -> Refused:
    """Return the error for a persistent identifier that does not describe a storage."""
    if type(identifier) is tuple and identifier and identifier[0] == "module":
        return Refused(f"a whole pickled model, which only its own code can load; {_OWN_CODE}")
    return Refused("a storage in it has an invalid description: damaged or malicious")


def _storage(identifier: tuple[Any, ...], known: dict[str, Storage]) -> Storage:
    """Return the storage of ("storage", type, key, location, count), and add it to `known`."""
    word, kind, key, location, count = identifier
    if not isinstance(kind, Kind) or not _natural(count) or type(location) is not str:
        raise _not_a_storage(identifier)
    if word != "storage" or type(key) is not str:
        raise _not_a_storage(identifier)
    storage = known.setdefault(key, Storage(key, kind, 0, count))
    if storage.kind is not kind or storage.count != count:
        raise Refused(f"its storage {key!r:.100} has two descriptions: damaged")
    return storage


def _weights(
    content: Any, blocks: dict[str, NDArray[Any]], order: str, size: int, words: str
) -> Weights:
    """Return the tensors of an unpickled tree as arrays; `size` is the file's in bytes."""
    if isinstance(content, Tensor):
        raise Refused("a single tensor, but the weights of a network are a dictionary of tensors")
    if isinstance(content, (Opaque, pickles.OpaqueClass)):
        raise _whole(content.name)
    if type(content) is not Pairs:
        what = "a list" if type(content) is list else "not a dictionary"
        raise Refused(f"{what}, but the weights of a network are a dictionary of tensors")
    values_left = size + _SPARE_VALUES
    arrays: dict[Any, NDArray[Any]] = {}
    tensors: dict[str, NDArray[Any]] = {}
    dtypes = {}
    objects: dict[str, Opaque] = {}
    for name, tensor in list(_flattened(content)):  # a list: all names are checked first
        if isinstance(tensor, Opaque):
            objects[name] = tensor
            continue
        storage = tensor.storage
        if storage is None or storage.key not in blocks:
            raise Refused(f"{name!r}: a tensor whose values are missing: damaged")
        view = (storage, tensor.offset, tensor.size, tensor.strides)
        if view not in arrays:
            values_left -= math.prod(max(n, 1) for n in tensor.size)
            if values_left < 0:
                raise Refused(f"{name!r}: its tensors repeat values too often: malicious")
            arrays[view] = _array(tensor, storage, blocks[storage.key], order)
        if tensors.setdefault(name, arrays[view]) is not arrays[view]:
            raise Refused(f"two tensors in it are called {name!r}: give them different names")
        if storage.kind.name in _CONVERTED:
            dtypes[name] = _CONVERTED[storage.kind.name]
    holders = _holders(objects)
    if not tensors and holders:
        raise _whole(next(iter(holders.values())))
    if not tensors:
        raise Refused("a dictionary without tensors, not the weights of a network")
    return Weights(
        tensors, format=words, dtypes=dtypes, objects=holders, notes=_notes(objects, holders)
    )


def _holders(objects: dict[str, Opaque]) -> dict[str, str]:
    """Return the classes of the objects that hold tensors, by their names in the file."""
    holders, steps = {}, pickles.MAX_STEPS
    for name, thing in objects.items():
        for part in pickles.contents(thing):
            steps -= 1
            if isinstance(part, Tensor) and not thing.name.startswith("torch.optim."):
                holders[name] = thing.name
                break
            if steps < 0:
                return holders
    return holders


def _notes(objects: dict[str, Opaque], holders: dict[str, str]) -> tuple[str, ...]:
    """Say which objects beside the tensors were not read, but for those of common values."""
    classes = dict.fromkeys(
        each.name
        for name, each in objects.items()
        if name in holders or not _PLAIN.match(each.name)
    )
    if not classes:
        return ()
    return (
        f"The file also holds objects of other programs, which were not read: {listed(classes)}.",
    )


def _flattened(content: Pairs) -> Iterator[tuple[str, Tensor | Opaque]]:
    """Yield the tensors of nested dictionaries in order, with their keys joined by dots.

    Objects of other classes are yielded too. They do not count as tensors: a training's history can
    hold any number of NumPy's scalars.
    """
    levels = [("", iter(content.items))]
    tensors, entries = 0, 0
    while levels:
        prefix, items = levels[-1]
        for key, value in items:
            entries += 1
            if tensors >= MAX_TENSORS or entries > pickles.MAX_STEPS:
                raise Refused("its dictionaries have too many entries: malicious")
            if not isinstance(value, (Tensor, Pairs, Opaque)) or not _is_key(key):
                continue
            name = f"{prefix}{key!s:.{_MAX_NAME + 1}}"
            if len(name) > _MAX_NAME or len(levels) > _MAX_DEPTH:
                raise Refused("its dictionaries are nested too deep: malicious")
            if isinstance(value, Pairs):
                levels.append((name + ".", iter(value.items)))
                break
            tensors += isinstance(value, Tensor)
            yield name, value
        else:
            levels.pop()


def _is_key(key: Any) -> bool:
    """Whether this is a key of a dictionary of tensors: a string or a number."""
    return type(key) is str or (type(key) is int and abs(key) < 1 << 62)


def _array(tensor: Tensor, storage: Storage, block: NDArray[Any], order: str) -> NDArray[Any]:
    """Return the values of a tensor: a view of its storage's bytes if no conversion is needed."""
    dtype: np.dtype[Any] = np.dtype(order + storage.kind.dtype)
    if 0 in tensor.size:
        values: NDArray[Any] = np.empty(tensor.size, dtype)
    else:
        values = np.ndarray(
            tensor.size,
            dtype,
            block,  # NumPy checks the bounds again
            (storage.start + tensor.offset) * dtype.itemsize,
            # The stride of an axis of length 1 has no effect, and can be any number.
            [s * dtype.itemsize if n > 1 else dtype.itemsize
             for n, s in zip(tensor.size, tensor.strides, strict=True)],
        )  # fmt: skip
    if storage.kind.name == "BFloat16":
        return from_bfloat16(values)
    if storage.kind.name == "Bool":
        return np.asarray(values != 0)
    return as_float32(values.astype(dtype.newbyteorder("="), copy=False))
