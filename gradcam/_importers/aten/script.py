"""Import a module of TorchScript: its program is run on values of the network to be.

Calls of submodules are followed, which gives the paths of the modules; so are branches and loops
whose conditions do not depend on the picture.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from gradcam._importers.aten.exported import finished
from gradcam._importers.aten.interpreter import Interpreter
from gradcam._importers.aten.layers import OtherChannels
from gradcam._importers.aten.outputs import chosen, scores
from gradcam._importers.aten.tensors import OfSize, Tensor
from gradcam._importers.builder import Builder
from gradcam._importers.imported import DEFAULT_SIZE, SIZE_TAKEN, SIZES_ASSUMED, Choices, Imported
from gradcam._importers.values import Value
from gradcam._weights.program import Scope, Script
from gradcam._weights.tensors import Weights, WeightsError
from gradcam._weights.torch_tensors import array_of

MAX_DEPTH = 50
"""Calls of modules inside each other."""

MAX_BLOCKS = 120
"""Graphs and blocks that are run inside each other."""

MAX_STEPS = 1_000_000
"""Nodes that are run in all."""

_FORWARD = re.compile(r"forward\d*")
"""The methods that call a module; a traced module that is called again has another one."""


def imported(weights: Weights, choices: Choices) -> Imported:
    """Return the network that a module of TorchScript computes.

    Raises
    ------
    WeightsError
        If an operation is not supported, or the module is not a classifier of pictures.
    """
    script = weights.graph
    assert isinstance(script, Script)
    size = choices.size or DEFAULT_SIZE
    channels = 3
    for _ in range(2):
        try:
            found = _imported(script.module, channels, size, choices)
            break
        except OtherChannels as error:
            channels = error.channels
    else:
        raise WeightsError("its first convolutions read different numbers of channels")
    if found.fixed and choices.size is None:
        found = replace(found, notes=(*found.notes, SIZE_TAKEN.format("The file", *size)))
    elif not found.fixed:
        found = replace(found, notes=(*found.notes, SIZES_ASSUMED))
    return replace(found, size=size if found.fixed else None)


def _imported(module: Any, channels: int, size: tuple[int, int], choices: Choices) -> Imported:
    builder = Builder(channels, *size, batch=2)
    run = _Run(Interpreter(builder))
    found = run.method(_Module(module, ""), "forward", [Tensor(builder.input)], ())
    _, output = chosen(_labelled(found), choices)
    return finished(run.interpreter, scores(output), size, "a TorchScript module")


def _labelled(found: object, prefix: str = "") -> list[tuple[str, Tensor]]:
    """Return the tensors of a result with their names: keys of dicts, or numbers."""
    if isinstance(found, Tensor):
        return [(prefix, found)]
    pairs: list[tuple[object, object]] = []
    if isinstance(found, dict):
        pairs = list(found.items())
    elif isinstance(found, (list, tuple)):
        pairs = list(enumerate(found))
    return [
        each
        for key, item in pairs
        for each in _labelled(item, f"{prefix}.{key}" if prefix else str(key))
    ]


@dataclass(frozen=True, eq=False)
class _Module:
    """A module of TorchScript and its path."""

    module: Any
    path: str


class _Run:
    """Runs the graphs of methods and functions."""

    def __init__(self, interpreter: Interpreter) -> None:
        self.interpreter = interpreter
        self._steps = 0
        self._depth = 0
        self._uses: Counter[str] = Counter()

    def method(
        self, owner: _Module, name: str, inputs: Sequence[object], scopes: tuple[Scope, ...]
    ) -> object:
        """Call a method of a module."""
        if len(scopes) > MAX_DEPTH:
            raise WeightsError(f"it calls modules more than {MAX_DEPTH} deep")
        core = owner.module._c
        if not core._has_method(name):
            raise WeightsError(f"module {owner.path!r} has no method {name!r}")
        method = core._get_method(name)
        if name == "forward" and (core._get_forward_hooks() or core._get_forward_pre_hooks()):
            raise WeightsError(f"module {owner.path!r} has hooks, which are not supported")
        given = [owner, *inputs]
        given += [each.default_value for each in method.schema.arguments[len(given) :]]
        if not _FORWARD.fullmatch(name) or not owner.path:
            return self.graph(method.graph, given, scopes)
        self._uses[owner.path] += 1
        scope = Scope(f"{owner.path}@{self._uses[owner.path]}", owner.path)
        found = self.graph(method.graph, given, (*scopes, scope))
        content = found.read() if isinstance(found, Tensor) else None
        if isinstance(content, Value):
            self.interpreter.names.ended(scope, content.layer)
        return found

    def graph(self, graph: Any, inputs: Sequence[object], scopes: tuple[Scope, ...]) -> object:
        """Run a graph; return its result, or a list of several."""
        names = [value.debugName() for value in graph.inputs()]
        if len(names) != len(inputs):
            raise WeightsError(
                f"it takes {len(names) - 1} arguments, expected one: a batch of pictures"
            )
        frame: dict[str, object] = dict(zip(names, inputs, strict=True))
        self.nodes(graph.nodes(), frame, scopes)
        results = [frame[value.debugName()] for value in graph.outputs()]
        return results[0] if len(results) == 1 else results

    def nodes(self, nodes: Any, frame: dict[str, object], scopes: tuple[Scope, ...]) -> None:
        """Run nodes in order; their results are added to `frame`."""
        if self._depth == MAX_BLOCKS:
            raise WeightsError(f"its calls and branches are more than {MAX_BLOCKS} deep")
        self._depth += 1
        for node in nodes:
            self._steps += 1
            if self._steps > MAX_STEPS:
                raise WeightsError(f"it takes more than {MAX_STEPS} steps")
            outputs = [value.debugName() for value in node.outputs()]
            found = self._node(node, frame, scopes)
            if len(outputs) == 1:
                frame[outputs[0]] = found
            elif outputs:
                assert isinstance(found, (list, tuple))
                frame.update(zip(outputs, found, strict=True))
        self._depth -= 1

    def _node(self, node: Any, frame: dict[str, object], scopes: tuple[Scope, ...]) -> object:
        kind = node.kind()
        if kind == "prim::Constant":
            return _constant(node)
        inputs = [frame[value.debugName()] for value in node.inputs()]
        if kind in _CONTROL:
            return _CONTROL[kind](self, node, inputs, frame, scopes)
        if kind in _SIMPLE:
            return _SIMPLE[kind](node, inputs)
        library, _, name = kind.partition("::")
        names = _argument_names(node.schema()) if library == "aten" else ()
        if library == "prim":
            arguments = {str(i): each for i, each in enumerate(inputs)}
            if name not in ("min", "max", "abs"):
                raise WeightsError(f"the operation {kind} is not supported{_place(scopes)}")
        else:
            arguments = dict(zip(names, inputs, strict=False))
        return self.interpreter.call(f"{library}.{name}", arguments, scopes)

    # ------------------------------------------------------------------------ control

    def _call_method(
        self,
        node: Any,
        inputs: list[object],
        frame: dict[str, object],
        scopes: tuple[Scope, ...],
    ) -> object:
        owner, *given = inputs
        if not isinstance(owner, _Module):
            raise WeightsError(f"it calls a method of an object, not of a module{_place(scopes)}")
        return self.method(owner, node.s("name"), given, scopes)

    def _call_function(
        self,
        node: Any,
        inputs: list[object],
        frame: dict[str, object],
        scopes: tuple[Scope, ...],
    ) -> object:
        return self.graph(_function(node), inputs[1:], scopes)

    def _if(
        self,
        node: Any,
        inputs: list[object],
        frame: dict[str, object],
        scopes: tuple[Scope, ...],
    ) -> object:
        self._depends(inputs[0])
        block = list(node.blocks())[0 if _condition(inputs[0], scopes) else 1]
        self.nodes(block.nodes(), frame, scopes)
        found = [frame[value.debugName()] for value in block.outputs()]
        return found[0] if len(found) == 1 else found

    def _loop(
        self,
        node: Any,
        inputs: list[object],
        frame: dict[str, object],
        scopes: tuple[Scope, ...],
    ) -> object:
        limit, condition, *carried = inputs
        self._depends(limit, condition)
        (block,) = node.blocks()
        names = [value.debugName() for value in block.inputs()]
        number = 0
        while isinstance(limit, int) and number < limit and _condition(condition, scopes):
            self._steps += 1
            if self._steps > MAX_STEPS:
                raise WeightsError(f"it takes more than {MAX_STEPS} steps")
            frame.update(zip(names, [number, *carried], strict=True))
            self.nodes(block.nodes(), frame, scopes)
            condition, *carried = [frame[value.debugName()] for value in block.outputs()]
            self._depends(condition)
            number += 1
        return carried[0] if len(carried) == 1 else carried

    def _depends(self, *conditions: object) -> None:
        """Note that the network fits one size, if what is done depends on the size."""
        for each in conditions:
            if isinstance(each, OfSize) or (isinstance(each, Tensor) and each.of_size):
                self.interpreter.builder.fixed = True


_Control = Callable[[_Run, Any, "list[object]", "dict[str, object]", "tuple[Scope, ...]"], object]

_CONTROL: dict[str, _Control] = {
    "prim::CallMethod": _Run._call_method,
    "prim::CallFunction": _Run._call_function,
    "prim::If": _Run._if,
    "prim::Loop": _Run._loop,
}
"""Nodes that run other nodes."""


def _condition(condition: object, scopes: tuple[Scope, ...]) -> bool:
    if isinstance(condition, Tensor) and condition.is_constant:
        condition = bool(np.all(condition.read()))  # type: ignore[arg-type]
    if isinstance(condition, (bool, int)):
        return bool(condition)
    raise WeightsError(f"a branch or loop depends on the picture{_place(scopes)}")


def _place(scopes: Sequence[Scope]) -> str:
    return f" (module {scopes[-1].path!r})" if scopes else ""


@lru_cache(maxsize=4096)
def _argument_names(schema: str) -> tuple[str, ...]:
    """Return the names of the arguments of an operation."""
    import torch

    return tuple(argument.name for argument in torch._C.parse_schema(schema).arguments)


def _function(node: Any) -> Any:
    """Return the graph of the function that a node calls."""
    import torch

    graph: Any = torch._C.Graph()
    values = {}
    for number, value in enumerate(node.inputs()):
        if number == 0:
            function = graph.appendNode(graph.createClone(value.node(), lambda v: v))
            values[value.debugName()] = function.output()
        else:
            values[value.debugName()] = graph.addInput()
            values[value.debugName()].setType(value.type())
    call = graph.appendNode(graph.createClone(node, lambda v: values[v.debugName()]))
    for output in call.outputs():
        graph.registerOutput(output)
    torch._C._jit_pass_inline(graph)
    return graph


def _constant(node: Any) -> object:
    """Return the value of a constant; None of a function, whose node is read where it is called."""
    if node.output().type().kind() == "FunctionType":
        return None
    return _wrapped(node.output().toIValue(), "a constant")


def _wrapped(value: Any, name: str) -> object:
    """Return an attribute or a constant as the interpreter takes it."""
    import torch

    if isinstance(value, torch.Tensor):
        return Tensor(array_of(value, name))
    if isinstance(value, (list, tuple)):
        return [_wrapped(each, name) for each in value]
    if isinstance(value, dict):
        return {key: _wrapped(each, name) for key, each in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def _attribute(node: Any, inputs: list[object]) -> object:
    import torch

    (owner,) = inputs
    name = node.s("name")
    if not isinstance(owner, _Module):
        raise WeightsError(f"it reads the attribute {name!r} of an object, not of a module")
    path = f"{owner.path}.{name}" if owner.path else name
    try:
        found = getattr(owner.module, name)
    except AttributeError:
        raise WeightsError(f"module {owner.path!r} has no attribute {name!r}") from None
    if isinstance(found, torch.jit.ScriptModule):
        return _Module(found, path)
    return _wrapped(found, path)


def _same(node: Any, inputs: list[object]) -> object:
    return inputs[0]


def _unpacked(node: Any, inputs: list[object]) -> object:
    (items,) = inputs
    count = len(list(node.outputs()))
    if not isinstance(items, (list, tuple)) or len(items) != count:
        raise WeightsError(f"it takes {count} items from a list of another length")
    return items if count != 1 else items[0]


def _dict(node: Any, inputs: list[object]) -> object:
    return dict(zip(inputs[::2], inputs[1::2], strict=True))


def _item(node: Any, inputs: list[object]) -> object:
    items, index = inputs
    if not isinstance(items, (list, tuple)) or not isinstance(index, int):
        raise WeightsError("it takes an item of something that is not a tuple")
    return items[index]


def _raised(node: Any, inputs: list[object]) -> object:
    raise WeightsError(f"it raises an error for this input: {inputs[0]}")


def _from_number(node: Any, inputs: list[object]) -> object:
    found = Tensor(np.asarray(inputs[0]))
    found.of_size = isinstance(inputs[0], OfSize)
    return found


_SIMPLE: dict[str, Callable[[Any, list[object]], object]] = {
    "prim::GetAttr": _attribute,
    "prim::ListConstruct": lambda node, inputs: inputs,
    "prim::TupleConstruct": lambda node, inputs: inputs,
    "prim::DictConstruct": _dict,
    "prim::ListUnpack": _unpacked,
    "prim::TupleUnpack": _unpacked,
    "prim::TupleIndex": _item,
    "prim::unchecked_cast": _same,
    "prim::unchecked_unwrap_optional": _same,
    "prim::data": _same,
    "prim::Uninitialized": lambda node, inputs: None,
    "prim::Print": lambda node, inputs: None,
    "prim::RaiseException": _raised,
    "prim::NumToTensor": _from_number,
    "prim::dtype": lambda node, inputs: 6,
    "prim::device": lambda node, inputs: "cpu",
    "prim::layout": lambda node, inputs: 0,
    "prim::is_cuda": lambda node, inputs: False,
    "prim::requires_grad": lambda node, inputs: False,
}
"""Nodes that compute nothing."""
