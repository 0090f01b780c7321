"""The child process that runs libhdf5, which damaged files can crash or make loop without end.

:mod:`gradcam._weights.hdf5` starts it and reads its answers:

1. One line of JSON: the groups, with their attributes, and the datasets, with their shapes, types
   and offsets in the file; or ``refused``, a sentence. No tensor is read for this.
2. After a line of JSON on its standard input, a list of numbers of datasets: for each a line of
   JSON, empty or with ``refused``, and its values as raw bytes.

Files are refused if they contain objects that weight files do not need, links in particular.
"""

from __future__ import annotations

import io
import json
import math
import os
import sys
from typing import Any

MAX_OBJECTS = 20_000
MAX_DEPTH = 32
MAX_ATTRIBUTE = 16 << 20
"""Maximum size of an attribute in bytes; a model's configuration is the longest."""

ATTRIBUTES = (
    "backend",
    "dtype",
    "keras_version",
    "layer_names",
    "model_config",
    "name",
    "nb_layers",
    "weight_names",
)
"""The attributes of groups that are read, numbered parts of them too (``weight_names0``)."""

EXPANSION = 1032
"""The maximum compression ratio of deflate."""

TABLE_SECONDS = 5
"""Processor time for the first answer; libhdf5 can loop without end on a damaged file."""

BYTES_PER_SECOND = 10_000_000
"""Minimum speed of reading compressed datasets."""

_HEADROOM = 512 << 20
"""Memory in bytes that the child may use besides the datasets that are read."""


class Refused(Exception):
    """The file is damaged, or contains something that is not supported."""


class Window(io.RawIOBase):
    """The `size` bytes of an open file from `start`, as a file object for h5py."""

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        self._descriptor, self._start, self._size = descriptor, start, size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        end = min(len(view), max(self._size - self._position, 0))
        done = 0
        while done < end:
            piece = os.pread(
                self._descriptor, min(end - done, 1 << 24), self._start + self._position
            )
            if not piece:
                break
            view[done : done + len(piece)] = piece
            done += len(piece)
            self._position += len(piece)
        return done


class Table:
    """Groups and datasets of an open file, found by following hard links only.

    Attributes
    ----------
    groups : list of dict
        ``path``, ``address`` (of its header in the file) and ``attributes``.
    datasets : list of dict
        ``path``, ``shape``, ``dtype`` (as NumPy writes it, or "bfloat16") and ``offset`` (of its
        values in the file if they are contiguous, else None).
    """

    def __init__(self, file: Any, size: int) -> None:
        self._size = size
        self._stored = 0
        self._seen: set[int] = set()
        self._opened: list[Any] = []
        self.groups: list[dict[str, Any]] = []
        self.datasets: list[dict[str, Any]] = []
        self._group(file, "", 0)

    def _group(self, group: Any, path: str, depth: int) -> None:
        from h5py import h5l, h5o

        if depth > MAX_DEPTH:
            raise Refused(f"groups are nested more than {MAX_DEPTH} deep")
        self.groups.append(
            {
                "path": path,
                "address": self._new(group, path),
                "attributes": _attributes(group),
            }
        )
        links = group.id.links
        for name in group.id:
            child_path = f"{path}/{name.decode('utf-8')}".lstrip("/")
            kind = links.get_info(name).type
            if kind != h5l.TYPE_HARD:
                word = {h5l.TYPE_SOFT: "a soft link", h5l.TYPE_EXTERNAL: "a link to another file"}
                raise Refused(f"{child_path} is {word.get(kind, 'a link of unknown kind')}")
            object_type = h5o.get_info(group.id, name).type
            if object_type == h5o.TYPE_GROUP:
                self._group(group[name], child_path, depth + 1)
            elif object_type == h5o.TYPE_DATASET:
                self._dataset(group[name], child_path)
            else:
                raise Refused(f"{child_path} is neither group nor dataset")

    def _new(self, thing: Any, path: str) -> int:
        """Return the address of an object, which must not have been found before."""
        from h5py import h5o

        address = int(h5o.get_info(thing.id).addr)
        if address in self._seen:
            raise Refused(f"{path} has two names")
        self._seen.add(address)
        if len(self._seen) > MAX_OBJECTS:
            raise Refused(f"more than {MAX_OBJECTS} groups and datasets")
        return address

    def _dataset(self, dataset: Any, path: str) -> None:
        from h5py import h5d, h5s

        self._new(dataset, path)
        low = dataset.id
        space = low.get_space()
        if space.get_simple_extent_type() not in (h5s.SIMPLE, h5s.SCALAR):
            raise Refused(f"{path} has no values")
        shape = [int(n) for n in space.get_simple_extent_dims()]
        dtype, itemsize = _dtype(dataset, path)
        needed = math.prod(shape) * itemsize
        plan = low.get_create_plist()
        if plan.get_external_count():
            raise Refused(f"{path} has its values in another file")
        layout = plan.get_layout()
        if layout not in (h5d.CONTIGUOUS, h5d.COMPACT, h5d.CHUNKED):
            raise Refused(f"{path} is composed of other datasets")
        stored = int(low.get_storage_size())
        self._stored += stored
        if self._stored > self._size:
            raise Refused(f"{path}: its stored bytes exceed the size of the file")
        if layout == h5d.CHUNKED:
            _check_chunks(low, plan, path, shape, itemsize)
            limit = stored * EXPANSION
        else:
            limit = stored
        if needed > limit:
            raise Refused(
                f"{path}: shape {shape} of {dtype} needs {needed} bytes, {stored} are stored"
            )
        offset = low.get_offset() if layout == h5d.CONTIGUOUS and needed else None
        self._opened.append(dataset)
        self.datasets.append({"path": path, "shape": shape, "dtype": dtype, "offset": offset})

    def send(self, numbers: list[int], stream: Any) -> None:
        """Write datasets to a binary stream: for each a line of JSON, then the values as bytes.

        The line is ``{}``, or the reason for which there are no values and the stream ends.
        """
        for number in numbers:
            dataset, entry = self._opened[number], self.datasets[number]
            try:
                values = dataset[()]
            except Exception as error:  # h5py raises errors of many types
                _send(stream, {"refused": f"{entry['path']}: {error}"})
                return
            kind = "<u2" if entry["dtype"] == "bfloat16" else entry["dtype"]
            _send(stream, {})
            stream.write(values.view(kind).tobytes())


def _send(stream: Any, answer: dict[str, Any]) -> None:
    stream.write(json.dumps(answer).encode() + b"\n")
    stream.flush()


def describe(stream: Any, size: int) -> Table:
    """Return the table of the HDF5 file in a binary stream of `size` bytes.

    Raises
    ------
    Refused
        If libhdf5 finds it damaged, or it contains something that weight files do not need.
    """
    import h5py

    try:
        return Table(h5py.File(stream, "r"), size)
    except (Refused, MemoryError):
        raise
    except Exception as error:  # h5py raises errors of many types
        raise Refused(f"damaged ({error})") from error


def _attributes(group: Any) -> dict[str, Any]:
    """Return the known attributes: strings, lists of strings, or numbers."""
    found = {}
    for name in group.attrs:
        if name.rstrip("0123456789") not in ATTRIBUTES:
            continue
        kind = group.attrs.get_id(name)
        if math.prod(kind.shape or ()) * kind.dtype.itemsize > MAX_ATTRIBUTE:
            raise Refused(f"attribute {name} is longer than {MAX_ATTRIBUTE} bytes")
        if kind.dtype.kind not in "OSiuf":
            raise Refused(f"attribute {name} holds {kind.dtype}")
        found[name] = _plain(group.attrs[name], name)
    return found


def _plain(value: Any, name: str) -> Any:
    """Convert the value of an attribute for JSON."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list):
        return [_plain(v, name) for v in value]
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, str):
        return value.encode("utf-8").decode()  # fails if h5py decoded bytes that are not text
    if not isinstance(value, (int, float)):
        raise Refused(f"attribute {name} holds {type(value).__name__}")
    return value


def _dtype(dataset: Any, path: str) -> tuple[str, int]:
    """Return the type of a dataset's numbers, as NumPy writes it, and their size in bytes."""
    from h5py import h5t

    kind = dataset.id.get_type()
    if kind.get_class() in (h5t.INTEGER, h5t.FLOAT):
        dtype = kind.dtype
        if dtype.kind in "iuf" and h5t.py_create(dtype).equal(kind):
            return dtype.str, dtype.itemsize
    elif kind.get_class() == h5t.OPAQUE and kind.get_size() == 2:  # Keras's bfloat16
        mark = dataset.attrs.get("dtype")
        if mark in ("bfloat16", b"bfloat16"):
            return "bfloat16", 2
    raise Refused(f"{path} does not contain ordinary numbers")


def _check_chunks(low: Any, plan: Any, path: str, shape: list[int], itemsize: int) -> None:
    """Raise Refused if chunks are missing, too large, or compressed by unknown filters."""
    from h5py import h5z

    known = (h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32, h5z.FILTER_LZF)
    for number in range(plan.get_nfilters()):
        code, _, _, name = plan.get_filter(number)
        if code not in known:
            raise Refused(f"{path} is compressed by the unknown filter {code} ({name!r})")
    chunk = [int(n) for n in plan.get_chunk()]
    if len(chunk) != len(shape) or min(chunk, default=0) < 1:
        raise Refused(f"{path} has chunks of shape {chunk} for values of shape {shape}")
    if math.prod(chunk) * itemsize > max(math.prod(shape) * itemsize, 1 << 20):
        raise Refused(f"{path} has chunks that are larger than the dataset")
    expected = math.prod(-(-n // c) for n, c in zip(shape, chunk, strict=True))
    if expected > MAX_OBJECTS:
        raise Refused(f"{path} has more than {MAX_OBJECTS} chunks")
    if low.get_num_chunks() != expected:
        raise Refused(f"{path} has only {low.get_num_chunks()} of its {expected} chunks")


def _limit(memory: int, seconds: int) -> None:
    """Limit the memory and processor time that a damaged file can make libhdf5 use."""
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds += int(used.ru_utime + used.ru_stime)
    limits = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, seconds)]
    try:
        with open("/proc/self/statm") as statm:
            taken = int(statm.read().split()[0]) * resource.getpagesize()
        limits.append((resource.RLIMIT_AS, taken + memory))
    except OSError:
        pass  # no /proc: macOS, which does not limit the address space either
    for which, value in limits:
        hard = resource.getrlimit(which)[1]
        wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (wanted, hard))


def main() -> None:
    """Answer the questions about the file of a descriptor: see the module."""
    descriptor, start, size = map(int, sys.argv[1:4])
    sys.path.extend(sys.argv[4:])
    answer = sys.stdout.buffer
    try:
        import h5py  # noqa: F401  # slow: before the time limit
    except ImportError as error:
        _send(answer, {"missing": str(error)})
        return
    _limit(_HEADROOM, TABLE_SECONDS)
    try:
        table = describe(Window(descriptor, start, size), size)
    except MemoryError:
        _send(answer, {"refused": "it needs too much memory"})
        return
    except Refused as error:
        _send(answer, {"refused": str(error)})
        return
    _send(answer, {"groups": table.groups, "datasets": table.datasets})
    numbers = json.loads(sys.stdin.buffer.readline() or b"[]")
    if numbers:
        entries = [table.datasets[number] for number in numbers]
        sizes = [math.prod(entry["shape"]) * 8 for entry in entries]
        _limit(_HEADROOM + 3 * max(sizes), TABLE_SECONDS + sum(sizes) // BYTES_PER_SECOND)
        table.send(numbers, answer)
    answer.flush()


if __name__ == "__main__":
    main()
    os._exit(0)  # without libhdf5's cleanup, which damaged files can crash
