"""The program of a live ExportedProgram of PyTorch, and its parameters as arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from gradcam._weights.program import Argument, Call, Program, Ref, Scope
from gradcam._weights.tensors import Weights
from gradcam._weights.torch_tensors import Parameters


def weights_of(exported: Any, title: str) -> Weights:
    """Return an ExportedProgram as a program and its parameters.

    Parameters
    ----------
    exported : torch.export.ExportedProgram
    title : str
    """
    signature = exported.graph_signature
    held = {**exported.state_dict, **exported.constants}
    held.update((name, tensor) for name, tensor in exported.named_buffers())
    places = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    inputs = {}
    calls = []
    for node in exported.graph.nodes:
        if node.op == "placeholder" and node.name not in places:
            inputs[node.name] = _shape(node)
        elif node.op == "call_function":
            calls.append(_call(node))
        elif node.op == "get_attr":
            places[node.name] = str(node.target)
            held[str(node.target)] = getattr(exported.graph_module, str(node.target), None)
    outputs = tuple(zip(_labels(exported.call_spec.out_spec), _results(exported), strict=True))
    program = Program(tuple(calls), inputs, places, outputs, title)
    tensors = {name: tensor for name, tensor in held.items() if hasattr(tensor, "is_quantized")}
    return Weights(Parameters(tensors), format=title, graph=program)


def _shape(node: Any) -> tuple[int | None, ...]:
    """Return the shape of an input; None for sizes that are left open."""
    value = node.meta.get("val")
    if not hasattr(value, "shape"):
        return ()
    return tuple(size if type(size) is int else None for size in value.shape)


def _results(exported: Any) -> list[Argument]:
    (output,) = (node for node in exported.graph.nodes if node.op == "output")
    results = output.args[0]
    wanted = set(exported.graph_signature.user_outputs)
    found = [_argument(result) for result in results]
    return [each for each in found if not isinstance(each, Ref) or each.name in wanted]


def _call(node: Any) -> Call:
    target = node.target
    schema = getattr(target, "_schema", None)
    if schema is None:
        module = getattr(target, "__module__", "") or ""
        name = getattr(target, "__name__", str(target))
        op = f"{module.rpartition('.')[2] or 'unknown'}.{name}"
        given = {str(i): _argument(value) for i, value in enumerate(node.args)}
    else:
        op = schema.name.replace("::", ".")
        names = [argument.name for argument in schema.arguments]
        given = dict(zip(names, map(_argument, node.args), strict=False))
    given.update((name, _argument(value)) for name, value in node.kwargs.items())
    return Call(op, given, (node.name,), _scopes(node.meta.get("nn_module_stack")))


def _scopes(stack: Mapping[str, tuple[str, object]] | None) -> tuple[Scope, ...]:
    found = (Scope(key, path_of(path)) for key, (path, _) in (stack or {}).items())
    return tuple(scope for scope in found if scope.path)


def path_of(path: str) -> str:
    """Return the path of a module without what stands for the outermost one."""
    for prefix in ("L['self']", "self"):
        if path == prefix or path.startswith(prefix + "."):
            return path[len(prefix) + 1 :]
    return path


def _argument(value: Any) -> Argument:
    """Return an argument of a node of torch.fx."""
    import torch

    if isinstance(value, torch.fx.Node):
        return Ref(value.name)
    if isinstance(value, (list, tuple)):
        return [_argument(each) for each in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value).rpartition(".")[2]  # types, devices: "float32"


def _labels(spec: Any) -> list[str]:
    """Return the names of the results of a model: "" of a single tensor."""

    def labels(spec: Any, prefix: str) -> list[str]:
        children = _children(spec)
        if spec.type is None or not (children or spec.type in (dict, list, tuple)):
            return [prefix]
        keys = _keys(spec.context, len(children))
        parts = [
            labels(child, f"{prefix}.{key}" if prefix else key)
            for key, child in zip(keys, children, strict=True)
        ]
        return [name for part in parts for name in part]

    return labels(spec, "")


def _children(spec: Any) -> Sequence[Any]:
    children = getattr(spec, "children", None)
    if callable(children):
        return cast(Callable[[], Sequence[Any]], children)()
    return cast("Sequence[Any]", getattr(spec, "children_specs", ()))


def _keys(context: object, count: int) -> list[str]:
    """Return the keys of a dict or of the fields of a result, else numbers."""
    context = getattr(context, "_fields", context)  # of a named tuple: its class
    if isinstance(context, (list, tuple)) and len(context) == count:
        return [str(key) for key in context]
    return [str(number) for number in range(count)]
