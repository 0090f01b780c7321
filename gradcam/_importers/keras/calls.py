"""How the layers of a Keras model are connected: their calls, in an order that computes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from gradcam._importers.keras.arguments import plain
from gradcam._importers.keras.step import constant
from gradcam._text import printable
from gradcam._weights.keras_model import KerasLayer
from gradcam._weights.tensors import WeightsError

_MAX_NESTING = 6
"""Levels of lists in the arguments of a call."""

_CONSTANT = "_CONSTANT_VALUE"
"""Keras 2's name for an input that is a number."""


class Output(NamedTuple):
    """An output of a call of a layer in the same model: the layer's name, and two numbers."""

    layer: str
    call: int
    place: int


@dataclass(frozen=True)
class Call:
    """A call of a layer.

    Attributes
    ----------
    layer : KerasLayer
    number : int
        Of the layer's calls, from 0.
    inputs : list of object
        Positional arguments: outputs, numbers, arrays, strings, None, and lists of these.
    keywords : mapping of str to object
        The same by name.
    """

    layer: KerasLayer
    number: int
    inputs: list[object] = field(default_factory=list)
    keywords: Mapping[str, object] = field(default_factory=dict)

    def reads(self) -> Iterator[Output]:
        """Yield the outputs of other calls that this one needs."""
        yield from outputs_in([self.inputs, list(self.keywords.values())])


def outputs_in(value: object) -> Iterator[Output]:
    """Yield the outputs in nested lists."""
    if isinstance(value, Output):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from outputs_in(each)


def parse_output(value: object) -> Output | None:
    """Return what ``[layer, call, index]`` names; None for anything else."""
    if not isinstance(value, (list, tuple)) or len(value) not in (3, 4):
        return None
    name, call, place = value[:3]
    if isinstance(name, str) and type(call) is int and type(place) is int:
        return Output(name, call, place)
    return None


def parse_outputs(value: object) -> list[Output]:
    """Return the outputs that a model's ``output_layers`` or ``input_layers`` name."""
    if isinstance(value, dict):
        value = list(value.values())
    one = parse_output(value)
    found = [one] if one else [parse_output(v) for v in (value if isinstance(value, list) else [])]
    if not found or None in found:
        raise WeightsError("does not name its inputs and outputs in a form that is known")
    return [each for each in found if each is not None]


def ordered_calls(model: KerasLayer, outputs: list[Output]) -> list[Call]:
    """Return the calls that these outputs of a functional model need, each after its inputs.

    Raises
    ------
    WeightsError
        If the calls depend on each other in a cycle, or on layers that do not exist.
    """
    layers = _by_name(model)
    parsed: dict[tuple[str, int], Call] = {}
    done: dict[tuple[str, int], bool] = {}  # False: its inputs are being collected
    result: list[Call] = []
    waiting = [(each.layer, call_number(each, layers, True)) for each in reversed(outputs)]
    while waiting:
        key = waiting[-1]
        if done.get(key):
            waiting.pop()
            continue
        if key not in parsed:
            parsed[key] = _parse_call(layers, key)
        call = parsed[key]
        if key in done:
            done[key] = True
            result.append(call)
            waiting.pop()
            continue
        done[key] = False
        for read in reversed(list(call.reads())):  # the first one is done first
            needed = (read.layer, call_number(read, layers))
            if done.get(needed) is False:
                raise WeightsError(
                    f"is a graph with a cycle: {printable(key[0])!r} and "
                    f"{printable(needed[0])!r} need each other"
                )
            if needed not in done:
                waiting.append(needed)
    return result


def _by_name(model: KerasLayer) -> dict[str, KerasLayer]:
    layers: dict[str, KerasLayer] = {}
    for layer in model.layers or ():
        if layer.name in layers:
            raise WeightsError(f"has two layers called {printable(layer.name)!r}")
        layers[layer.name] = layer
    return layers


def call_number(output: Output, layers: Mapping[str, KerasLayer], end: bool = False) -> int:
    """Return which call of its layer an output is from.

    Keras counts a nested model's own graph as its call number 0: Keras 2 does so everywhere, Keras
    3 only where a model's outputs are named, and not for a Sequential model.

    Parameters
    ----------
    output : Output
    layers : mapping of str to KerasLayer
        The layers of the model by their names.
    end : bool
        Whether it is an output of the model.
    """
    layer = layers.get(output.layer)
    if layer is None:
        raise WeightsError(f"reads a layer {printable(output.layer)!r}, which it does not have")
    count = max(1, len(layer.calls))
    number = output.call
    if layer.layers is not None:
        old = bool(layer.calls) and isinstance(layer.calls[0], list)
        if old or (end and layer.class_name != "Sequential"):
            number -= 1
        if count == 1:
            number = 0
    if not 0 <= number < count:
        raise WeightsError(
            f"reads call {output.call} of the layer {printable(output.layer)!r}, which has "
            f"{len(layer.calls)}"
        )
    return number


def _parse_call(layers: Mapping[str, KerasLayer], key: tuple[str, int]) -> Call:
    """Return a call as Keras 2 or Keras 3 wrote it."""
    layer = layers[key[0]]
    if not layer.calls:  # an input
        return Call(layer, 0)
    raw = layer.calls[key[1]]
    if isinstance(raw, dict):
        inputs, keywords = raw.get("args"), raw.get("kwargs")
        if isinstance(inputs, list) and isinstance(keywords, dict):
            named = {str(name): _argument(value) for name, value in keywords.items()}
            return Call(layer, key[1], [_argument(each) for each in inputs], named)
    elif isinstance(raw, list):
        entries = [raw] if parse_output(raw) is not None or _is_constant(raw) else raw
        return _old_call(layer, key[1], entries)
    raise WeightsError(f"has a layer {printable(key[0])!r} whose inputs are damaged")


def _old_call(layer: KerasLayer, number: int, entries: list[object]) -> Call:
    """Return a call of Keras 2: a list of ``[layer, call, index, keyword arguments]``."""
    inputs: list[object] = []
    keywords: dict[str, object] = {}
    for entry in entries:
        output = parse_output(entry)
        if output is None and not _is_constant(entry):
            raise WeightsError(f"has a layer {printable(layer.name)!r} whose inputs are damaged")
        assert isinstance(entry, (list, tuple))
        inputs.append(constant(entry[2]) if _is_constant(entry) else output)
        if len(entry) == 4 and isinstance(entry[3], dict):
            for name, value in entry[3].items():
                reference = parse_output(value)
                keywords[str(name)] = reference or _argument(value)
    return Call(layer, number, inputs, keywords)


def _is_constant(entry: object) -> bool:
    return isinstance(entry, (list, tuple)) and len(entry) >= 3 and entry[0] == _CONSTANT


def _argument(value: object, depth: int = 0) -> object:
    """Return an argument of a call with its outputs found, arrays made, and lists kept."""
    if depth > _MAX_NESTING:
        raise WeightsError("has a call whose arguments are nested too deep")
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            config = value.get("config")
            history = config.get("keras_history") if isinstance(config, dict) else None
            output = parse_output(history)
            if output is None:
                raise WeightsError("has a call whose inputs are damaged")
            return output
        if plain(value) is not value:
            array = constant(value)
            return value if array is None else array
        return value
    if isinstance(value, (list, tuple)):
        return [_argument(each, depth + 1) for each in value]
    return value
