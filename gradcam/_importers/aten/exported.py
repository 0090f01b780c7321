"""Import a program of torch.export, live or read from a file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from gradcam._importers.aten.interpreter import Interpreter
from gradcam._importers.aten.outputs import chosen, scores
from gradcam._importers.aten.tensors import Tensor
from gradcam._importers.builder import Builder
from gradcam._importers.imported import (
    DEFAULT_SIZE,
    SIZE_ASSUMED,
    SIZE_TAKEN,
    SIZES_ASSUMED,
    Choices,
    Imported,
)
from gradcam._importers.values import Value
from gradcam._text import printable
from gradcam._weights.program import Argument, Call, Program, Ref, Scope
from gradcam._weights.tensors import Weights, WeightsError, listed


def imported(weights: Weights, choices: Choices) -> Imported:
    """Return the network that a program computes.

    Raises
    ------
    WeightsError
        If an operation is not supported, or the program is not a classifier of pictures.
    """
    program = weights.graph
    assert isinstance(program, Program)
    channels, size, batch = _input(program, choices)
    builder = Builder(channels, *size, batch=batch)
    run = _Run(program, weights, Interpreter(builder))
    for call in program.calls:
        run.call(call)
    _, output = chosen(program.outputs, choices)
    found = finished(run.interpreter, scores(run.read(output)), size, program.title)
    (shape,) = program.inputs.values()
    note = ""
    if found.fixed and None in shape[2:] and choices.size is None:
        note = SIZE_TAKEN.format("The program", *size)
    if not found.fixed:
        note = SIZE_ASSUMED.format(*size)
        if shape[2:] == (None, None):  # PyTorch may have taken numbers from the example's size
            note = SIZES_ASSUMED
    return replace(found, notes=(*found.notes, note)) if note else found


def finished(interpreter: Interpreter, value: Value, size: tuple[int, int], title: str) -> Imported:
    """Return the network that ends in a value, with the names of its modules."""
    found = interpreter.builder.finish(value, size=size, name="network", title=title)
    layers, names = interpreter.names.applied(found.layers)
    target = names.get(found.target_layer, found.target_layer)
    return replace(found, layers=layers, target_layer=target, library="torchvision")


def _input(program: Program, choices: Choices) -> tuple[int, tuple[int, int], int]:
    """Return the channels, the size and the batch of the input."""
    if len(program.inputs) != 1:
        raise WeightsError(
            f"it has {len(program.inputs)} inputs ({listed(program.inputs)}), expected one picture"
        )
    (shape,) = program.inputs.values()
    if len(shape) != 4 or shape[1] is None:
        raise WeightsError(
            f"its input has the shape {shape}, expected pictures: (N, channels, height, width)"
        )
    batch, own = shape[0], shape[2:]
    wanted = choices.size or DEFAULT_SIZE
    height, width = (w if f is None else f for w, f in zip(wanted, own, strict=True))
    return shape[1], (height, width), batch or 2


class _Run:
    """The values of a program by their names, while its calls are made in order."""

    def __init__(self, program: Program, weights: Weights, interpreter: Interpreter) -> None:
        self.interpreter = interpreter
        self._program = program
        self._weights = weights
        self._ends = _ends(program)
        self._found: dict[str, object] = {
            name: Tensor(interpreter.builder.input) for name in program.inputs
        }

    def call(self, call: Call) -> None:
        """Make a call, and remember its results."""
        arguments = {name: self.read(given) for name, given in call.arguments.items()}
        found = self.interpreter.call(call.op, arguments, call.scopes)
        if len(call.outputs) == 1 and not call.listed:
            self._found[call.outputs[0]] = found
        elif isinstance(found, (list, tuple)):
            self._found.update(zip(call.outputs, found, strict=False))
        for name in call.outputs:
            result = self._found.get(name)
            content = result.read() if isinstance(result, Tensor) else None
            if isinstance(content, Value):
                for scope in self._ends.get(name, ()):
                    self.interpreter.names.ended(scope, content.layer)

    def read(self, argument: Argument) -> object:
        """Return an argument with the results of other calls in place of their names."""
        if isinstance(argument, list):
            return [self.read(each) for each in argument]
        if not isinstance(argument, Ref):
            return argument
        name = argument.name
        if name not in self._found:
            tensor = self._program.tensors.get(name)
            if tensor is None or tensor not in self._weights.tensors:
                raise WeightsError(
                    f"it reads {printable(name)!r}, which no earlier operation makes and which is "
                    f"no tensor of it"
                )
            self._found[name] = Tensor(self._weights.tensors[tensor])
        return self._found[name]


def _ends(program: Program) -> Mapping[str, Sequence[Scope]]:
    """Return the calls of modules that end with each result, the innermost first.

    A call of a module ends with a result if that is the only one that is read outside the call.
    """
    makers = {name: call for call in program.calls for name in call.outputs}
    left: dict[str, dict[str, Scope]] = defaultdict(dict)  # by call: results that leave it
    results: dict[str, set[str]] = defaultdict(set)

    def leaves(name: str, reader: Call | None) -> None:
        maker = makers.get(name)
        if maker is None:
            return
        inside = {scope.key for scope in reader.scopes} if reader else set()
        for scope in maker.scopes:
            if scope.key not in inside:
                results[scope.key].add(name)
                left[name][scope.key] = scope

    for call in program.calls:
        for argument in call.arguments.values():
            for name in _names(argument):
                leaves(name, call)
    for _, argument in program.outputs:
        for name in _names(argument):
            leaves(name, None)
    return {
        name: [scope for key, scope in reversed(scopes.items()) if len(results[key]) == 1]
        for name, scopes in left.items()
    }


def _names(argument: Argument) -> list[str]:
    """Return the names of results in an argument."""
    if isinstance(argument, Ref):
        return [argument.name]
    if isinstance(argument, list):
        return [name for each in argument for name in _names(each)]
    return []
