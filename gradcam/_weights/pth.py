"""PyTorch's files, as ``torch.save`` writes them, read without PyTorch and without executing them.

Two containers hold the same: a pickle of a dictionary of tensors, and the storages that these
tensors view. Since PyTorch 1.6 it is a zip file (``data.pkl``, ``data/0``, ``data/1``, ...);
before, and with ``_use_new_zipfile_serialization=False``, a stream of pickles with the storages
after it, each behind its number of values. torchvision's VGG-16 is such a stream, of 2017.

The pickle is read by :mod:`gradcam._weights.pickles` with the few globals of :data:`ADMITTED`,
which here make placeholders; whatever else it asks for is refused by name. Storages are mapped,
not read: a tensor is a view of the file, unless it is of 16 or 64 bits or the other byte order and
becomes float32. Deflated members of a zip are the exception.

The stream does not align its storages; the core uses fully connected weights where they lie all the
same.

Left out: what is no tensor (numbers, strings, lists), and the format of before April 2017 (a tar
file). Format: torch/serialization.py, torch/_utils.py.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradcam._weights import pickles
from gradcam._weights.pickles import Pairs, Refused
from gradcam._weights.tensors import Weights, WeightsError, as_float32, from_bfloat16

if TYPE_CHECKING:
    from gradcam._weights.zips import Archive

MOST_TENSORS = 20_000
"""Tensors in one file."""

MOST_GROWTH = 16
"""How many times a zip file's size its deflated members may be together, beyond the first 16 MB.
Weights shrink by a tenth; a bomb by a thousand."""

_SPARE_VALUES = 1 << 21
"""Values that all tensors together may have beyond one for every byte of the file: more than that
only views have that overlap or, by strides of zero, repeat."""

_MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"
"""What the stream's first pickle holds: the number 0x1950a86a20f9469cfc6c."""

_PROTOCOL = 1001
"""What its second pickle holds."""

_TAR_MEMBERS = (b"sys_info\0", b"pickle\0", b"tensors\0", b"storages\0")
"""How a file from before the stream can begin: with the name of a tar file's member."""

_MOST_AXES = 32
_MOST_DEPTH = 32
_MOST_NAME = 1000


@dataclass(frozen=True)
class Kind:
    """The type of a storage's values: PyTorch's name for it, NumPy's for what is in the file."""

    name: str
    dtype: str


_KINDS = {
    "Float": "f4",
    "Half": "f2",
    "BFloat16": "u2",  # NumPy has no bfloat16: its bits, widened below
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
"""The types that become float32."""


@dataclass(frozen=True, slots=True)
class Storage:
    """A part of a storage, values `start` to `start + count`; most often the whole of it."""

    key: str
    kind: Kind
    start: int
    count: int


class Tensor(pickles.Placeholder):
    """A view of a storage, in values; without one until its state follows."""

    __slots__ = ("offset", "size", "storage", "strides")

    def __init__(self) -> None:
        self.storage: Storage | None = None
        self.offset = 0
        self.size: tuple[int, ...] = ()
        self.strides: tuple[int, ...] = ()

    def view(self, storage: Any, offset: Any, size: Any, strides: Any) -> None:
        """Set all of it, each number checked; the storage's bounds too."""
        if not isinstance(storage, Storage):
            raise Refused("a tensor in it views no storage: damaged, or made to harm")
        numbers = (offset, *size, *strides) if _tuples(size, strides) else (None,)
        if not all(map(_natural, numbers)) or not len(size) == len(strides) <= _MOST_AXES:
            raise Refused("a tensor in it has no proper shape: damaged, or made to harm")
        last = offset + sum((n - 1) * s for n, s in zip(size, strides, strict=True))
        if 0 not in size and last >= storage.count:
            raise Refused(
                f"a tensor of shape {size} in it reaches to value {last} of a storage that has "
                f"{storage.count}: damaged, or made to harm"
            )
        self.storage, self.offset, self.size, self.strides = storage, offset, size, strides

    def build(self, state: Any) -> None:
        """The state of a tensor of early 2017, or of a Parameter of then and later."""
        if type(state) is tuple and len(state) == 4:
            self.view(*state)
        elif type(state) is tuple and len(state) == 5 and isinstance(state[0], Tensor):
            data = state[0]
            self.view(data.storage, data.offset, data.size, data.strides)
        elif type(state) is not tuple or len(state) != 3:  # three: no more than requires_grad
            raise Refused("a tensor in it has a state of an unknown kind")


def _natural(value: Any) -> bool:
    """Whether this is a size or position that a file can have."""
    return type(value) is int and 0 <= value < 1 << 62


def _tuples(*values: Any) -> bool:
    return all(type(value) is tuple for value in values)


# What the admitted globals do here. Each takes the tuple that the pickle calls it with.


def _ordered_dict(arguments: tuple[Any, ...]) -> Pairs:
    result = Pairs()
    if arguments:  # Python 2 wrote the entries as a list of lists
        entries = arguments[0]
        if type(entries) is not list or any(type(e) is not list or len(e) != 2 for e in entries):
            raise Refused("an OrderedDict in it is made of no pairs: damaged, or made to harm")
        result.items.extend((key, value) for key, value in entries)
    return result


def _rebuild_tensor(arguments: tuple[Any, ...]) -> Tensor:
    """(storage, offset, size, stride[, requires_grad, hooks[, metadata]])."""
    if not 4 <= len(arguments) <= 7:
        raise Refused("a tensor in it is made of too little or too much: damaged")
    if len(arguments) == 7 and (type(arguments[6]) is not Pairs or arguments[6].items):
        raise Refused("a tensor in it is conjugate or negated, which is not read here")
    result = Tensor()
    result.view(*arguments[:4])
    return result


def _parameter(arguments: tuple[Any, ...]) -> Tensor:
    """(data[, requires_grad[, hooks]]), or nothing where a state follows."""
    if not arguments:
        return Tensor()
    if not isinstance(arguments[0], Tensor):
        raise Refused("a Parameter in it holds no tensor: damaged, or made to harm")
    return arguments[0]


def _empty_tensor(arguments: tuple[Any, ...]) -> Tensor:
    if arguments:
        raise Refused("a tensor in it is made in a way that torch.save does not write")
    return Tensor()


ADMITTED: dict[str, Kind | Callable[[tuple[Any, ...]], Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.nn.parameter.Parameter": _parameter,
    **{f"torch.{name}Storage": Kind(name, dtype) for name, dtype in _KINDS.items()},
    # The class of a tensor stands in files of early 2017 only, with what it holds after it.
    **{f"torch.{name}Tensor": _empty_tensor for name in _KINDS if name not in _LATER},
    **{f"torch.cuda.{name}Tensor": _empty_tensor for name in _KINDS if name not in _LATER},
}
"""Every global that a pickle may ask for. None of them is imported."""


def recognise(start: bytes) -> bool:
    """Whether a file that begins with `start` is PyTorch's stream, or the tar file before it.

    The zip is known by its member ``data.pkl``.
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
        Where the file is damaged, holds no dictionary of tensors, or asks for more than that.
    """
    with open(path, "rb") as file:
        start = file.read(64)
    try:
        if start.startswith(b"PK"):
            return _read_zip(path)
        if start.startswith(_TAR_MEMBERS):
            raise Refused(
                "PyTorch's format of before April 2017 (a tar file), which is not read here; "
                "load it in PyTorch and save it again: torch.save(torch.load(OLD), NEW)"
            )
        if not recognise(start):
            raise Refused("no file that torch.save wrote, or damaged at its start")
        return _read_stream(path)
    except pickles.RefusedGlobal as error:
        raise WeightsError(f"{path}: {_explained(error.name)}") from None
    except Refused as error:
        raise WeightsError(f"{path}: {error}") from None


def _explained(name: str) -> str:
    """Why a global was refused, and what to do, in a sentence."""
    if name.startswith(("torch.nn.", "torchvision.", "timm.", "__main__.")):
        return (
            f"a whole pickled model, of the class {name}, which only its own code can load; "
            f"load it in PyTorch and save its tensors: torch.save(model.state_dict(), FILE)"
        )
    return (
        f"its pickle asks for {name}, which no state dict needs, so it is not read and nothing "
        f"in it was executed; if you trust it, load it in PyTorch and save the tensors alone: "
        f"torch.save(model.state_dict(), FILE)"
    )


# The stream.


def _read_stream(path: str | os.PathLike[str]) -> Weights:
    data = np.asarray(np.memmap(path, np.uint8, "r"))
    head = data[: pickles.MAX_BYTES].data
    storages: dict[str, Storage] = {}

    def persistent(identifier: Any) -> Storage:
        if type(identifier) is not tuple or len(identifier) != 6:
            raise Refused(_no_storage(identifier))
        whole = _storage(identifier[:5], storages)
        part = identifier[5]
        if part is None:
            return whole
        if type(part) is not tuple or len(part) != 3 or not all(map(_natural, part[1:])):
            raise Refused("a part of a storage in it has no proper place: damaged")
        if part[1] + part[2] > whole.count:
            raise Refused("a part of a storage in it ends beyond the whole: damaged")
        return Storage(whole.key, whole.kind, part[1], part[2])

    magic, at = pickles.load(head, 0, {})
    version, at = pickles.load(head, at, {})
    if magic != int.from_bytes(_MAGIC[2:], "little") or version != _PROTOCOL:
        raise Refused(f"PyTorch's stream, but not of version {_PROTOCOL}: damaged")
    # The writer's byte order; the stream itself is little-endian, whoever wrote it.
    _, at = pickles.load(head, at, {})
    content, at = pickles.load(head, at, ADMITTED, persistent)
    keys, at = pickles.load(head, at, {})
    if type(keys) is not list or not all(type(k) is str and k in storages for k in keys):
        raise Refused("its list of storages does not fit its tensors: damaged")
    if len(set(keys)) != len(keys):
        raise Refused("its list of storages holds one twice: damaged")
    blocks = {}
    for key in keys:
        count, width = storages[key].count, np.dtype(storages[key].kind.dtype).itemsize
        at += 8
        told = int.from_bytes(data[at - 8 : at].tobytes(), "little")
        if at + count * width > len(data):
            raise Refused(
                f"truncated: a storage of {count} values ends at byte {at + count * width}, the "
                f"file at {len(data)}; download or copy it again"
            )
        if told != count:
            raise Refused(f"a storage of {count} values in it says that it has {told}: damaged")
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
        unpacked = sum(m.size for m in archive.members.values() if m.deflated)
        if unpacked > MOST_GROWTH * len(data) + (1 << 24):
            raise Refused(
                f"its {len(data)} bytes unpack to {unpacked}, which those of weights never do "
                f"(a zip bomb?)"
            )
        storages: dict[str, Storage] = {}

        def persistent(identifier: Any) -> Storage:
            if type(identifier) is not tuple or len(identifier) != 5:
                raise Refused(_no_storage(identifier))
            return _storage(identifier, storages)

        member = archive.members[folder + "data.pkl"]
        if member.size > pickles.MAX_BYTES:
            raise Refused(f"its pickle of {member.size} bytes is too long to be read")
        content, _ = pickles.load(archive.read(member).data, 0, ADMITTED, persistent)
        blocks = {}
        for key, storage in storages.items():
            blocks[key] = _block(archive, f"{folder}data/{key}", storage, data)
        order = _byte_order(archive, folder)
    return _weights(content, blocks, order, len(data) + unpacked, "PyTorch (zip)")


def _folder(archive: Archive) -> str:
    """The folder that all of it lies in: "archive/", or the file's first name."""
    names = [name for name in archive.members if name.split("/")[-1] == "data.pkl"]
    if any(name.split("/")[-1] == "constants.pkl" for name in archive.members):
        raise Refused(
            "a TorchScript program, which is not run here; in PyTorch: "
            "torch.save(torch.jit.load(FILE).state_dict(), NEW)"
        )
    if len(names) != 1:
        raise Refused("a zip file without the one data.pkl that PyTorch's have")
    return names[0].removesuffix("data.pkl")


def _block(archive: Archive, name: str, storage: Storage, data: NDArray[Any]) -> NDArray[Any]:
    """The bytes of a storage: mapped, or unpacked."""
    member = archive.members.get(name)
    if member is None:
        raise Refused(f"its storage {storage.key!r:.100} is missing: damaged")
    needed = storage.count * np.dtype(storage.kind.dtype).itemsize
    if member.size != needed:
        raise Refused(
            f"its storage {storage.key!r:.100} holds {member.size} bytes, where its tensors "
            f"need {needed}: damaged"
        )
    if not member.deflated:
        return data[member.start : member.start + needed]
    values = archive.read(member)
    values.flags.writeable = False
    return values


def _byte_order(archive: Archive, folder: str) -> str:
    """NumPy's sign for the order of the bytes in storages; little-endian where nothing is said."""
    member = archive.members.get(folder + "byteorder")
    if member is None:
        return "<"
    told = archive.read(member).tobytes() if member.size < 10 else b""
    if told not in (b"little", b"big"):
        raise Refused("its byte order is neither little nor big: damaged")
    return "<" if told == b"little" else ">"


# Both.


def _no_storage(identifier: Any) -> str:
    if type(identifier) is tuple and identifier and identifier[0] == "module":
        return (
            "a whole pickled model, which only its own code can load; load it in PyTorch and "
            "save its tensors: torch.save(model.state_dict(), FILE)"
        )
    return "a storage in it has no proper description: damaged, or made to harm"


def _storage(identifier: tuple[Any, ...], known: dict[str, Storage]) -> Storage:
    """The storage that ("storage", type, key, location, count) names, entered in `known`."""
    word, kind, key, location, count = identifier
    if not isinstance(kind, Kind) or not _natural(count) or type(location) is not str:
        raise Refused(_no_storage(identifier))
    if word != "storage" or type(key) is not str:
        raise Refused(_no_storage(identifier))
    storage = known.setdefault(key, Storage(key, kind, 0, count))
    if storage.kind is not kind or storage.count != count:
        raise Refused(f"its storage {key!r:.100} is described in two ways: damaged")
    return storage


def _weights(
    content: Any, blocks: dict[str, NDArray[Any]], order: str, size: int, words: str
) -> Weights:
    """The tensors of an unpickled tree, as arrays; `size` is how many bytes they come from."""
    if isinstance(content, Tensor):
        raise Refused("a single tensor, where the weights of a network are a dictionary of them")
    if type(content) is not Pairs:
        what = "a list" if type(content) is list else "no dictionary"
        raise Refused(f"{what}, where the weights of a network are a dictionary of tensors")
    room = size + _SPARE_VALUES
    arrays: dict[Any, NDArray[Any]] = {}
    tensors, dtypes = {}, {}
    for name, tensor in list(_flattened(content)):  # all of them first: it may refuse
        storage = tensor.storage
        if storage is None or storage.key not in blocks:
            raise Refused(f"{name!r}: a tensor whose values are missing: damaged")
        view = (storage, tensor.offset, tensor.size, tensor.strides)
        if view not in arrays:
            room -= math.prod(max(n, 1) for n in tensor.size)
            if room < 0:
                raise Refused(f"{name!r}: its tensors repeat values too often: made to harm")
            arrays[view] = _array(tensor, storage, blocks[storage.key], order)
        tensors[name] = arrays[view]
        if storage.kind.name in _CONVERTED:
            dtypes[name] = _CONVERTED[storage.kind.name]
    if not tensors:
        raise Refused("a dictionary without tensors, where the weights of a network should be")
    return Weights(tensors, format=words, dtypes=dtypes)


def _flattened(content: Pairs) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of nested dictionaries, by its keys joined with dots, in the file's order."""
    levels = [("", iter(content.items))]
    tensors, entries = 0, 0
    while levels:
        prefix, items = levels[-1]
        for key, value in items:
            entries += 1
            if tensors >= MOST_TENSORS or entries > pickles.MAX_STEPS:
                raise Refused("its dictionaries hold too much: made to harm")
            if not isinstance(value, (Tensor, Pairs)) or type(key) not in (str, int):
                continue
            name = f"{prefix}{key!s:.{_MOST_NAME + 1}}"
            if len(name) > _MOST_NAME or len(levels) > _MOST_DEPTH:
                raise Refused("its dictionaries are nested too deep: made to harm")
            if isinstance(value, Pairs):
                levels.append((name + ".", iter(value.items)))
                break
            tensors += 1
            yield name, value
        else:
            levels.pop()


def _array(tensor: Tensor, storage: Storage, block: NDArray[Any], order: str) -> NDArray[Any]:
    """A tensor's values: a view of its storage's bytes where they are as they should be."""
    dtype: np.dtype[Any] = np.dtype(order + storage.kind.dtype)
    if 0 in tensor.size:
        values: NDArray[Any] = np.empty(tensor.size, dtype)
    else:
        values = np.ndarray(
            tensor.size,
            dtype,
            block,  # NumPy checks the bounds once more
            (storage.start + tensor.offset) * dtype.itemsize,
            # The stride of an axis of length 1 means nothing, and can be anything.
            [s * dtype.itemsize if n > 1 else dtype.itemsize
             for n, s in zip(tensor.size, tensor.strides, strict=True)],
        )  # fmt: skip
    if storage.kind.name == "BFloat16":
        return from_bfloat16(values)
    if storage.kind.name == "Bool":
        return np.asarray(values != 0)
    return as_float32(values.astype(dtype.newbyteorder("="), copy=False))
