"""Files of torch.export.save, written by hand: a zip with a description of the program in JSON."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradcam._weights.program import Ref

_TYPES = {"u1": 1, "i8": 5, "f2": 6, "f4": 7, "f8": 8, "b1": 12}


def call(op: str, output: str | Sequence[str], path: str = "", **arguments: Any) -> dict[str, Any]:
    """A call of an operation of ATen; `path`: of its module, "layer1.conv" or "relu@1"."""
    if isinstance(output, str):
        outputs = [{"as_tensor": {"name": output}}]
    else:
        outputs = [{"as_tensors": [{"name": name} for name in output]}]
    parts = path.partition("@")[0].split(".") if path else []
    stack = ["L__self__,,M"]
    for count in range(1, len(parts) + 1):
        module = ".".join(parts[:count])
        key = path if count == len(parts) else module
        stack.append(f"L__self__{key},{module},torch.nn.M")
    return {
        "target": f"torch.ops.aten.{op}.default",
        "inputs": [
            {"name": name, "arg": _argument(value), "kind": 1} for name, value in arguments.items()
        ],
        "outputs": outputs,
        "metadata": {"nn_module_stack": ";".join(stack)},
    }


def _argument(value: Any) -> dict[str, Any]:
    if isinstance(value, Ref):
        return {"as_tensor": {"name": value.name}}
    if isinstance(value, list) and value and isinstance(value[0], Ref):
        return {"as_tensors": [{"name": each.name} for each in value]}
    if isinstance(value, list):
        return {"as_ints": value}
    if value is None:
        return {"as_none": True}
    kinds = {bool: "as_bool", int: "as_int", float: "as_float", str: "as_string"}
    return {kinds[type(value)]: value}


def _meta(array: np.ndarray) -> dict[str, Any]:
    return {
        "dtype": _TYPES[array.dtype.str[1:]],
        "sizes": [{"as_int": size} for size in array.shape],
        "strides": [{"as_int": step // array.itemsize} for step in array.strides],
        "storage_offset": {"as_int": 0},
    }


def description(
    calls: Sequence[Mapping[str, Any]],
    shape: Sequence[int | None],
    tensors: Mapping[str, np.ndarray],
    outputs: Mapping[str, str],
) -> dict[str, Any]:
    """The description of a program with the input x; the outputs by their keys in a dict."""
    specs = [
        {"parameter": {"arg": {"name": _name(name)}, "parameter_name": name}} for name in tensors
    ]
    leaf = {"type": None, "context": None, "children_spec": []}
    spec = leaf
    if list(outputs) != [""]:
        children = [leaf] * len(outputs)
        context = json.dumps(list(outputs))
        spec = {"type": "builtins.dict", "context": context, "children_spec": children}
    sizes = [{"as_int": n} if n else {"as_expr": {"expr_str": "s0"}} for n in shape]
    return {
        "graph_module": {
            "graph": {"nodes": list(calls), "tensor_values": {"x": {"sizes": sizes}}},
            "signature": {
                "input_specs": [*specs, {"user_input": {"arg": {"as_tensor": {"name": "x"}}}}],
                "output_specs": [
                    {"user_output": {"arg": {"as_tensor": {"name": name}}}}
                    for name in outputs.values()
                ],
            },
            "module_call_graph": [{"fqn": "", "signature": {"out_spec": json.dumps([1, spec])}}],
        },
        "torch_version": "2.13.0",
    }


def _name(tensor: str) -> str:
    return "p_" + tensor.replace(".", "_")


def tensor(name: str) -> Ref:
    """The parameter of this name, as an argument."""
    return Ref(_name(name))


def model(
    calls: Sequence[Mapping[str, Any]],
    shape: Sequence[int | None],
    tensors: Mapping[str, np.ndarray],
    outputs: Mapping[str, str] | str,
    compression: int = zipfile.ZIP_STORED,
) -> bytes:
    """A file with one program."""
    named = {"": outputs} if isinstance(outputs, str) else outputs
    config = {
        name: {"path_name": f"weight_{number}", "use_pickle": False, "tensor_meta": _meta(array)}
        for number, (name, array) in enumerate(tensors.items())
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("m/archive_format", "pt2")
        archive.writestr("m/byteorder", "little")
        described = description(calls, shape, tensors, named)
        archive.writestr("m/models/model.json", json.dumps(described))
        archive.writestr("m/data/weights/model_weights_config.json", json.dumps({"config": config}))
        for number, array in enumerate(tensors.values()):
            archive.writestr(f"m/data/weights/weight_{number}", array.tobytes(order="A"))
    return file.getvalue()
