"""Go through the calls of a Keras model, nested models included, and add their layers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam._importers.builder import Builder
from gradcam._importers.keras.arguments import Arguments
from gradcam._importers.keras.calls import (
    Call,
    Output,
    call_number,
    ordered_calls,
    parse_outputs,
)
from gradcam._importers.keras.step import Step
from gradcam._importers.keras.table import MODELS, function_of
from gradcam._importers.values import Value
from gradcam._text import printable
from gradcam._weights.keras_model import KerasLayer
from gradcam._weights.tensors import WeightsError

_MAX_CALLS = 10_000
"""Calls of layers in a model, each of a nested model counted."""

_MAX_SIZE = 1 << 28
"""Values in a layer's output for one picture."""

_MAX_CHANNELS = 1 << 20

_IN_TRAINING = ("Random", "MixUp", "CutMix", "AugMix", "RandAugment", "Resizing")
"""Beginnings of class names. Keras writes ``training=True`` for all of these; it is not read."""

_INPUTS = ("inputs", "x", "x1", "x2", "y")
"""Names of the inputs of layers and operations."""


@dataclass
class Walk:
    """A model while its layers are added.

    Attributes
    ----------
    builder : Builder
    tensors : mapping of str to array
        Of the file.
    root : KerasLayer
    keras_2 : bool
        Whether the file was written by Keras 1 or 2.
    notes : list of str
        Sentences for the user.
    """

    builder: Builder
    tensors: Mapping[str, NDArray[np.generic]]
    root: KerasLayer
    keras_2: bool
    notes: list[str] = field(default_factory=list)
    _calls: int = 0

    def __post_init__(self) -> None:
        self._count = Counter(layer.name for layer in self.root.leaves())
        self._used: Counter[str] = Counter()
        self._parsed: dict[int, _Parsed] = {}
        self.builder.reserve(self._names(self.root, ()))

    def _names(self, model: KerasLayer, path: tuple[str, ...]) -> Iterator[str]:
        """Yield the names that the layers of a model will have."""
        for layer in model.layers or ():
            if layer.layers is not None:
                yield from self._names(layer, (*path, layer.name))
            else:
                yield self._path(layer, path)

    def run(self, output: str | None) -> Value:
        """Add the layers that an output of the model needs, and return it."""
        return self._model(self.root, [self.builder.input], (), output)[0]

    def _model(
        self, model: KerasLayer, inputs: list[Value], path: tuple[str, ...], output: str | None
    ) -> list[Value]:
        """Add the layers of a model that reads these inputs; return its outputs."""
        check_model(model)
        if model.class_name == "Sequential" and model.layers is not None:
            if len(inputs) != 1:
                raise WeightsError(f"{_title(model)} reads {len(inputs)} values, expected one")
            chosen([Output(layer.name, 0, 0) for layer in model.layers[-1:]], output)
            found = inputs
            for layer in model.layers:
                if layer.class_name == "InputLayer":
                    self._count_call()
                    continue
                if len(found) != 1:
                    raise WeightsError(
                        f"{_title(layer)} reads {len(found)} outputs of the layer before it, "
                        f"expected one"
                    )
                found = self._call(Call(layer, 0), found, {}, path)
            if len(found) != 1:
                raise WeightsError(
                    f"{_title(model)} ends in a model of {len(found)} outputs, expected one"
                )
            return found
        return self._functional(model, inputs, path, output)

    def _functional(
        self, model: KerasLayer, inputs: list[Value], path: tuple[str, ...], output: str | None
    ) -> list[Value]:
        starts, ends, calls, layers = self._parse(model, output)
        if len(starts) != len(inputs):
            raise WeightsError(
                f"{_title(model)} has {len(starts)} inputs, and {len(inputs)} are given"
            )
        given = dict(zip((start.layer for start in starts), inputs, strict=True))
        results: dict[tuple[str, int], list[Value]] = {}

        def value_of(read: Output, end: bool = False) -> Value:
            found = results[read.layer, call_number(read, layers, end)]
            if not 0 <= read.place < len(found):
                raise WeightsError(
                    f"{_title(model)} reads output {read.place} of "
                    f"{printable(read.layer)!r}, which has {len(found)}"
                )
            return found[read.place]

        for call in calls:
            key = call.layer.name, call.number
            if call.layer.name in given:
                results[key] = [given[call.layer.name]]
                continue
            keywords = {k: _resolved(v, value_of) for k, v in call.keywords.items()}
            positional = [_resolved(each, value_of) for each in call.inputs]
            results[key] = self._call(call, positional, keywords, path)
        return [value_of(each, True) for each in ends]

    def _parse(self, model: KerasLayer, output: str | None) -> _Parsed:
        """Return the graph of a functional model: parsed once for all its calls."""
        found = self._parsed.get(id(model))
        if found is None:
            try:
                ends = chosen(parse_outputs(model.config.get("output_layers")), output)
                found = _Parsed(
                    parse_outputs(model.config.get("input_layers")),
                    ends,
                    ordered_calls(model, ends),
                    {layer.name: layer for layer in model.layers or ()},
                )
            except WeightsError as error:
                raise WeightsError(f"{_title(model)} {error}") from error
            self._parsed[id(model)] = found
        return found

    def _call(
        self,
        call: Call,
        inputs: Sequence[object],
        keywords: dict[str, object],
        path: tuple[str, ...],
    ) -> list[Value]:
        """Add the layers of a call; return its outputs."""
        layer = call.layer
        self._count_call()
        inputs = [*inputs, *(keywords.pop(name) for name in _INPUTS if name in keywords)]
        if layer.layers is None:
            return [self._leaf(layer, inputs, keywords, path)]
        try:
            _check_keywords(layer, keywords)
        except WeightsError as error:
            raise WeightsError(f"{_title(layer)} {error}") from error
        (first, *others) = inputs or [None]
        given = first if isinstance(first, list) and not others else inputs
        values = [each for each in given if isinstance(each, Value)]
        if not values or len(values) != len(given):
            raise WeightsError(f"{_title(layer)} does not read outputs of layers alone")
        found = self._model(layer, values, (*path, layer.name), None)
        if len(found) == 1:
            self.builder.also(found[0], layer.name)
        return found

    def _count_call(self) -> None:
        self._calls += 1
        if self._calls > _MAX_CALLS:
            raise WeightsError(f"a model of more than {_MAX_CALLS} calls of layers")

    def _leaf(
        self,
        layer: KerasLayer,
        inputs: list[object],
        keywords: dict[str, object],
        path: tuple[str, ...],
    ) -> Value:
        """Add one call of a layer that is not a model; errors name the layer."""
        try:
            function = function_of(layer)
            if layer.class_name == "TFOpLambda":
                arguments = Arguments(keywords)
            else:
                _check_keywords(layer, keywords)
                _check_precision(layer)
                arguments = Arguments(layer.config)
            arrays = tuple(np.asarray(self.tensors[name]) for name in layer.tensors)
            name = self._name(layer, path)
            self.builder.claim(name)
            step = Step(self.builder, name, arguments, inputs, arrays, self.keras_2, self.notes)
            value = function(step)
            arguments.refuse_others()
            _check_size(value)
        except WeightsError as error:
            raise WeightsError(f"{_title(layer)} {error}") from error
        except ValueError as error:  # of a change of arrangement
            raise WeightsError(f"{_title(layer)}: {error}") from error
        return value

    def _name(self, layer: KerasLayer, path: tuple[str, ...]) -> str:
        """Return the name of a call of a layer: the layer's; NAME:2 is that of its second call."""
        name = self._path(layer, path)
        self._used[name] += 1
        number = self._used[name]
        return name if number == 1 else f"{name}:{number}"

    def _path(self, layer: KerasLayer, path: tuple[str, ...]) -> str:
        """Return the layer's name, with those of its models if several layers have it."""
        name = layer.name or layer.class_name
        return "/".join((*path, name)) if self._count[layer.name] > 1 else name


class _Parsed(NamedTuple):
    """The graph of a functional model: its inputs, its outputs, its calls, and its layers."""

    starts: list[Output]
    ends: list[Output]
    calls: list[Call]
    layers: Mapping[str, KerasLayer]


def check_model(model: KerasLayer) -> None:
    """Raise WeightsError if a model's layers may not say all that it computes."""
    if model.class_name not in MODELS or model.layers is None:
        raise WeightsError(
            f"{_title(model)} is a model of a class of its own, whose code is not in the file and "
            f"would not be executed; make a Functional model of its layers"
        )


def chosen(outputs: list[Output], name: str | None) -> list[Output]:
    """Return the outputs, or only that of this name.

    Raises
    ------
    WeightsError
        If there is none of this name.
    """
    if name is None:
        return outputs
    found = [each for each in outputs if each.layer == name]
    if not found:
        names = ", ".join(printable(each.layer) for each in outputs[:8])
        raise WeightsError(f"has no output {printable(name)[:60]!r}; its outputs are {names}")
    return found[:1]


def _title(layer: KerasLayer) -> str:
    return f"{printable(layer.class_name)[:60] or 'layer'} {printable(layer.name)[:200]!r}"


def _resolved(value: object, value_of: Callable[[Output], Value]) -> object:
    """Return an argument of a call with values in place of outputs."""
    if isinstance(value, Output):
        return value_of(value)
    if isinstance(value, list):
        return [_resolved(each, value_of) for each in value]
    return value


def _check_keywords(layer: KerasLayer, keywords: Mapping[str, object]) -> None:
    """Raise WeightsError if a layer is called with an argument that may change its output."""
    for name, value in keywords.items():
        if value is None or (name == "training" and value is False):
            continue
        if name == "training" and layer.class_name.startswith(_IN_TRAINING):
            continue
        raise WeightsError(
            f"is called with {printable(name)[:60]}={_in_words(value)}, which is not supported"
        )


def _in_words(value: object) -> str:
    """Return an argument of a call as a message says it."""
    several = isinstance(value, list) and any(isinstance(each, Value) for each in value)
    if several or isinstance(value, Value):
        return "outputs of layers" if several else "the output of a layer"
    return printable(repr(value))[:60]


def precision_of(layer: KerasLayer) -> str:
    """Return the policy of a layer's data types in words, "DTypePolicy mixed_float16"."""
    policy = layer.config.get("dtype")
    if isinstance(policy, dict):
        inner = policy.get("config")
        name = inner.get("name") if isinstance(inner, dict) else ""
        policy = f"{policy.get('class_name')} {name}"
    return str(policy)


def _check_precision(layer: KerasLayer) -> None:
    """Raise WeightsError if a layer's weights are quantised."""
    policy = precision_of(layer)
    if any(word in policy for word in ("Quantized", "int8", "int4", "float8")):
        raise WeightsError(
            "is quantised, which is not supported; save the model before it is quantised"
        )


def _check_size(value: Value) -> None:
    if math.prod(value.core) > _MAX_SIZE or value.channels > _MAX_CHANNELS:
        raise WeightsError(f"has an output of shape {value.shape}, which is too large")
