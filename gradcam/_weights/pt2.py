"""Files of ``torch.export.save`` (.pt2), read without PyTorch.

The file is a zip: ``models/model.json`` describes the program, ``data/weights/`` has the bytes of
each parameter and a list of their shapes, ``data/constants/`` those of constants. Nothing is
unpickled: examples of the input, and tensors that are stored as pickles, are left out. The older
format, ``serialized_exported_program.json`` beside pickles, is not read.

Format: torch/_export/serde/schema.py, torch/export/pt2_archive/constants.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gradcam._weights.program import Argument, Call, Program, Ref, Scope
from gradcam._weights.tensors import Weights, WeightsError, as_float32, from_bfloat16
from gradcam._weights.zips import Archive

_MAX_JSON = 64 << 20
"""Maximum size of a description in bytes."""

_MAX_CALLS = 100_000

_TYPES = {
    1: "u1", 2: "i1", 3: "i2", 4: "i4", 5: "i8", 6: "f2", 7: "f4", 8: "f8", 12: "?", 13: "u2",
}  # fmt: skip
"""NumPy's types by the numbers of the format; 13 is bfloat16, whose bits are read."""

_BFLOAT16 = 13

_NAMES = {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32",
          8: "float64", 12: "bool", 13: "bfloat16"}  # fmt: skip
"""PyTorch's names of the types."""

_VALUES = ("as_int", "as_bool", "as_string", "as_expr")
_LISTS = ("as_ints", "as_bools", "as_strings")

_Json = Mapping[str, Any]


def read(path: str | os.PathLike[str]) -> Weights:
    """Map the tensors of a file, and read its program.

    Raises
    ------
    WeightsError
        If the file is damaged, has the older format, or does not hold one program.
    """
    with open(path, "rb") as file:
        archive = Archive(file, path)
        data = np.asarray(np.memmap(file, np.uint8, "r"))
        try:
            return _read(archive, data)
        except WeightsError as error:
            raise WeightsError(_with_path(path, str(error))) from None
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            words = f"{type(error).__name__}: {error!s:.100}"
            raise WeightsError(
                f"{path}: a file of torch.export whose description is damaged ({words})"
            ) from None


def _with_path(path: str | os.PathLike[str], text: str) -> str:
    return text if text.startswith(os.fsdecode(path)) else f"{os.fsdecode(path)}: {text}"


def _read(archive: Archive, data: NDArray[np.uint8]) -> Weights:
    folder, name = _only_model(archive)
    described = _json(archive, f"{folder}models/{name}.json")
    order = _byte_order(archive, folder)
    tensors: dict[str, NDArray[Any]] = {}
    dtypes: dict[str, str] = {}
    for kind in ("weights", "constants"):
        place = f"{folder}data/{kind}/"
        config = f"{place}{name}_{kind}_config.json"
        if config not in archive.members:
            continue
        for tensor, entry in _json(archive, config)["config"].items():
            if entry.get("use_pickle") or entry.get("tensor_meta") is None:
                continue
            block = _block(archive, f"{place}{entry['path_name']}", data)
            tensors[tensor], dtype = _tensor(tensor, entry["tensor_meta"], block, order)
            if dtype:
                dtypes[tensor] = dtype
    return Weights(
        tensors, format="PyTorch (torch.export)", dtypes=dtypes, graph=_program(described)
    )


def _only_model(archive: Archive) -> tuple[str, str]:
    """Return the folder of all members, and the name of the one program."""
    found = []
    for member in archive.members:
        before, word, name = member.rpartition("models/")
        if (
            word
            and name.endswith(".json")
            and "/" not in name
            and (not before or before.endswith("/"))
        ):
            found.append((before, name.removesuffix(".json")))
    if len(found) == 1:
        return found[0]
    if any(name.endswith("serialized_exported_program.json") for name in archive.members):
        raise WeightsError(
            "a file of torch.export in its older format, whose tensors are pickled: open it with "
            "torch.export.load, and pass that to gradcam.from_torch"
        )
    what = f"{len(found)} programs" if found else "no program (compiled by AOTInductor?)"
    raise WeightsError(f"a file of torch.export with {what}, expected one")


def _json(archive: Archive, name: str) -> _Json:
    member = archive.members.get(name)
    if member is None:
        raise WeightsError(f"its member {name!r:.100} is missing: damaged")
    if member.size > _MAX_JSON:
        raise WeightsError(f"its description {name!r:.100} is larger than {_MAX_JSON} bytes")
    return cast(_Json, json.loads(archive.read(member).tobytes()))


def _byte_order(archive: Archive, folder: str) -> str:
    member = archive.members.get(f"{folder}byteorder")
    text = archive.read(member).tobytes() if member is not None and member.size < 10 else b"little"
    if text not in (b"little", b"big"):
        raise WeightsError("its byte order is neither little nor big: damaged")
    return "<" if text == b"little" else ">"


# ------------------------------------------------------------------------ tensors


def _block(archive: Archive, name: str, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the bytes of a member: mapped, or decompressed."""
    member = archive.members.get(name)
    if member is None:
        raise WeightsError(f"its member {name!r:.100} is missing: damaged")
    if not member.deflated:
        return data[member.start : member.start + member.size]
    values = archive.read(member)
    values.flags.writeable = False
    return values


def _tensor(
    name: str, meta: _Json, block: NDArray[np.uint8], order: str
) -> tuple[NDArray[Any], str]:
    """Return a tensor, a view of its bytes if it needs no conversion; and its type if it did."""
    kind = meta["dtype"]
    if kind not in _TYPES:
        raise WeightsError(f"the tensor {name!r:.100} has a type that is not supported ({kind!r})")
    dtype: np.dtype[Any] = np.dtype(order + _TYPES[kind])
    sizes, strides = _sizes(meta["sizes"]), _sizes(meta["strides"])
    (offset,) = _sizes([meta["storage_offset"]])
    count = len(block) // dtype.itemsize
    last = offset + sum((n - 1) * s for n, s in zip(sizes, strides, strict=True))
    if len(sizes) > 32 or (0 not in sizes and last >= count):
        raise WeightsError(
            f"the tensor {name!r:.100} of shape {tuple(sizes)} does not fit its bytes: damaged"
        )
    repeats = any(n > 1 and s == 0 for n, s in zip(sizes, strides, strict=True))
    if repeats or _product(sizes) > count + 1:
        raise WeightsError(f"the tensor {name!r:.100} repeats its values, which is not supported")
    if 0 in sizes:
        return np.empty(sizes, dtype.newbyteorder("=")), ""
    steps = [s * dtype.itemsize for s in strides]
    values: NDArray[Any] = np.ndarray(sizes, dtype, block, offset * dtype.itemsize, steps)
    if kind == _BFLOAT16:
        return from_bfloat16(values), "bfloat16"
    converted = as_float32(values.astype(dtype.newbyteorder("="), copy=False))
    return converted, _NAMES[kind] if converted.dtype != values.dtype else ""


def _product(sizes: Sequence[int]) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result


def _sizes(entries: Sequence[_Json]) -> list[int]:
    """Return numbers that are not symbols; ValueError if one is negative or very large."""
    found = [entry["as_int"] for entry in entries]
    if not all(type(n) is int and 0 <= n < 1 << 48 for n in found):
        raise ValueError(f"invalid sizes {found!r:.60}")
    return found


# ------------------------------------------------------------------------ the program


def _program(described: _Json) -> Program:
    module = described["graph_module"]
    graph, signature = module["graph"], module["signature"]
    nodes = graph["nodes"]
    if len(nodes) > _MAX_CALLS:
        raise WeightsError(f"its program has more than {_MAX_CALLS} operations")
    inputs: dict[str, tuple[int | None, ...]] = {}
    tensors: dict[str, str] = {}
    for spec in signature["input_specs"]:
        ((kind, content),) = spec.items()
        if kind == "user_input":
            for name in _names(content["arg"]):
                inputs[name] = _shape(graph["tensor_values"][name])
        elif kind in ("parameter", "buffer", "tensor_constant"):
            tensors[content["arg"]["name"]] = content[f"{kind}_name"]
    outputs: list[Argument] = []
    for spec in signature["output_specs"]:
        if "user_output" in spec:
            outputs.append(_argument(spec["user_output"]["arg"]))
    labels = _labels(module["module_call_graph"], len(outputs))
    version = str(described.get("torch_version", "")).partition("+")[0]
    return Program(
        tuple(map(_call, nodes)),
        inputs,
        tensors,
        tuple(zip(labels, outputs, strict=True)),
        f"a program of torch.export of PyTorch {version:.20}",
    )


def _names(argument: _Json) -> Iterator[str]:
    ((kind, content),) = argument.items()
    if kind == "as_tensor":
        yield content["name"]


def _shape(meta: _Json) -> tuple[int | None, ...]:
    sizes = [entry.get("as_int") for entry in meta["sizes"]]
    if not all(n is None or (type(n) is int and 0 < n < 1 << 31) for n in sizes):
        raise ValueError(f"invalid sizes {sizes!r:.60}")
    return tuple(sizes)


def _call(node: _Json) -> Call:
    target = str(node["target"]).removeprefix("torch.ops.")
    op = ".".join(target.split(".")[:2])
    arguments = {
        str(entry.get("name") or number): _argument(entry["arg"])
        for number, entry in enumerate(node["inputs"])
    }
    outputs: list[str] = []
    listed = False
    for entry in node["outputs"]:
        ((kind, content),) = entry.items()
        if kind == "as_tensors":
            outputs += [each["name"] for each in content]
            listed = True
        elif kind.startswith("as_sym"):
            outputs.append(str(content.get("as_name")))
        else:
            outputs.append(content["name"] if kind == "as_tensor" else "")
    stack = (node.get("metadata") or {}).get("nn_module_stack") or ""
    return Call(op, arguments, tuple(map(str, outputs)), _scopes(stack), listed)


def _scopes(stack: str) -> tuple[Scope, ...]:
    """Return the calls of modules: "key,path,class;key,path,class"."""
    parts = [part.split(",") for part in stack.split(";") if part]
    return tuple(Scope(part[0], part[1]) for part in parts if len(part) > 2 and part[1])


def _argument(argument: Any) -> Argument:
    ((kind, content),) = argument.items()
    if kind == "as_tensor":
        return Ref(str(content["name"]))
    if kind == "as_float":
        return float(content)  # "Infinity" and "NaN" are texts
    if kind == "as_floats":
        return list(map(float, content))
    if kind in _VALUES:
        return cast(Argument, content)
    if kind in _LISTS:
        return list(content)
    if kind == "as_none":
        return None
    if kind in ("as_tensors", "as_nested_tensors"):
        return [Ref(str(each["name"])) for each in content]
    if kind in ("as_optional_tensors", "as_sym_ints", "as_sym_bools", "as_sym_floats"):
        return [_argument(each) for each in content]
    if kind in ("as_sym_int", "as_sym_bool", "as_sym_float"):
        return _argument(content)
    if kind == "as_name":
        return Ref(str(content))
    if kind == "as_scalar_type":
        return _NAMES.get(content, "unknown")
    return str(kind)  # layouts, devices and the like, which are not used


def _labels(calls: Sequence[_Json], count: int) -> list[str]:
    """Return the names of the results: "" of a single tensor, keys of a dict, or numbers."""
    whole = [call["signature"] for call in calls if call["fqn"] == ""]
    labels: list[str] = []
    if whole and whole[0]:
        _, spec = json.loads(whole[0]["out_spec"])
        _collect(spec, "", labels)
    return labels if len(labels) == count else [str(number) for number in range(count)]


def _collect(spec: _Json, prefix: str, labels: list[str]) -> None:
    children = spec["children_spec"]
    if spec["type"] is None:
        labels.append(prefix)
    keys: object = json.loads(spec["context"]) if spec["context"] else None
    if not isinstance(keys, list) or len(keys) != len(children):
        keys = list(range(len(children)))
    for key, child in zip(keys, children, strict=True):
        _collect(child, f"{prefix}.{key}" if prefix else str(key), labels)
