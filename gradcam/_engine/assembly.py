"""From a list of layers to the core's network, and what must be known about it."""

from __future__ import annotations

import difflib
import operator
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, SupportsIndex, cast, get_args

import numpy as np

from gradcam import _core
from gradcam._engine.layers import (
    HEADS,
    INPUT,
    POOLS,
    SEVERAL_INPUTS,
    WEIGHTED,
    Attribute,
    Layer,
    as_run,
    complete,
    foldable,
    require_finite,
)
from gradcam._text import brief

Convolution = Literal["winograd", "direct"]
"""How 3x3 convolutions of stride 1 are computed: fast, or by their definition."""


_MAX_LISTED = 60
"""The number of layers that a message lists; VGG-19 has 47."""


def check_convolution(name: str | None) -> Convolution:
    """Return how to compute convolutions; by default as GRADCAM_CONV says, else "winograd".

    Raises
    ------
    ValueError
        If it is unknown; the message says where it was set.
    """
    source = "GRADCAM_CONV" if name is None else "conv"
    name = os.environ.get("GRADCAM_CONV", "winograd") if name is None else name
    if name not in get_args(Convolution):
        raise ValueError(f"{source}: expected 'winograd' or 'direct', got {name!r}")
    return cast(Convolution, name)


class Names:
    """The layers of a network by number and by every name.

    Attributes
    ----------
    layers : tuple of str
        The first name of each layer; the position is the layer's number in the core.
    """

    def __init__(self) -> None:
        self.layers: tuple[str, ...] = ()
        self._aliases: list[tuple[str, ...]] = []
        self._index: dict[str, int] = {}
        self._folded: dict[str, str] = {}

    def add(self, layer: Layer) -> None:
        """Number the next layer."""
        names = tuple(dict.fromkeys((layer.name, *layer.aliases)))
        for name in names:
            if name in self._index or name in self._folded:
                raise ValueError(f"two layers are called {name!r}")
            self._index[name] = len(self.layers)
        self.layers += (layer.name,)
        self._aliases.append(names)

    def fold(self, layer: Layer, into: str) -> None:
        """Remember that `layer` has no output here because it became part of another."""
        for name in dict.fromkeys((layer.name, *layer.aliases)):
            if name in self._index or name in self._folded:
                raise ValueError(f"two layers are called {name!r}")
            self._folded[name] = into

    def index(self, name: str) -> int:
        """Return the number of the layer of that name.

        Raises
        ------
        ValueError
            If the name is unknown (the message lists the layers, if they are not too many), or the
            layer was folded into another one.
        TypeError
            If the name is not a string.
        """
        if not isinstance(name, str):
            raise TypeError(f"a layer is given by its name (str), got {name!r}")
        if name in self._index:
            return self._index[name]
        if name in self._folded:
            into = self._folded[name]
            raise ValueError(
                f"layer {name!r} has no output: the batch normalisation {into!r} was "
                f"folded into it; ask for {into!r}"
            )
        near = difflib.get_close_matches(name, list(self._index), n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        known = f"the layers are {', '.join(self.layers)}"
        if len(self.layers) > _MAX_LISTED:
            known = f"network.layers lists all {len(self.layers)}"
        raise ValueError(f"no layer is called {brief(name)}{hint}; {known}")

    def of(self, name: str) -> tuple[str, ...]:
        """Return every name of the layer that `name` names, its first name first."""
        return self._aliases[self.index(name)]


@dataclass(frozen=True)
class Assembled:
    """A list of layers as the core runs it.

    Attributes
    ----------
    core : _core.Network
    names : Names
    layers : tuple of Layer
        By number, ``"input"`` first: as they run, with batch normalisation folded.
    score_layer : str
        The layer of the class scores: the last one, or the input of a last head.
    probability_layer : str or None
        The last layer if it is a head: softmax, log-softmax or sigmoid.
    classes : int or None
        The number of scores; None if it depends on the size of the input.
    target_layer : str
        The last layer with a map that is not itself a pooling: Grad-CAM's usual choice.
    """

    core: _core.Network
    names: Names
    layers: tuple[Layer, ...]
    score_layer: str
    probability_layer: str | None
    classes: int | None
    target_layer: str

    def with_target(self, layer: str | None) -> Assembled:
        """Return the same with another target layer, by any of its names; None keeps it.

        Raises
        ------
        ValueError, TypeError
            As :meth:`Names.index`.
        """
        if layer is None:
            return self
        return replace(self, target_layer=self.names.layers[self.names.index(layer)])


def assemble(
    layers: Sequence[Layer],
    channels: int,
    conv: Convolution = "winograd",
    *,
    check_linear: bool = True,
) -> Assembled:
    """Build the network that `layers` describe, for pictures of `channels` channels.

    A batch normalisation whose input is a convolution or linear layer that feeds nothing else is
    folded into that layer: scaled weights and one bias, computed in float64 and rounded once.

    Without `check_linear` the caller calls :func:`gradcam._engine.layers.require_finite` for the
    linear layers, or knows that their weights are finite.

    Raises
    ------
    ValueError
        If an operation is unknown, a name occurs twice, an input is not the name of an earlier
        layer, or the core refuses weights or attributes: the message begins with the layer's name.
    TypeError
        If weights or attributes are missing or unknown.
    """
    layers = complete(layers)
    folds = foldable(layers)
    by_name = {layer.name: layer for layer in layers}
    assembly = _Assembly(channels, conv)
    for layer in layers:
        if layer.name in folds:  # runs with its batch normalisation, when that comes
            require_finite(layer)
            assembly.names.fold(layer, into=folds[layer.name].name)
            continue
        before = layer.inputs[0] if layer.op == "batch_norm" else None
        check = check_linear or layer.op != "linear"
        assembly.add(as_run(layer, by_name[before] if before in folds else None, check=check))
    last = layers[-1]
    head = last.op in HEADS
    return Assembled(
        core=assembly.builder.build(),
        names=assembly.names,
        layers=tuple(assembly.layers),
        score_layer=last.inputs[0] if head else last.name,
        probability_layer=last.name if head else None,
        classes=assembly.outputs[last.name].channels,
        target_layer=assembly.target,
    )


@dataclass(frozen=True)
class _Output:
    """What is known about a layer's output, whatever the size of the picture.

    Attributes
    ----------
    number : int
        The layer's number in the core.
    channels : int or None
        Channels or units; None if they depend on the size of the picture.
    spatial : bool
        Whether it has positions.
    """

    number: int
    channels: int | None
    spatial: bool


class _Assembly:
    """Adds layers to a network of the core."""

    def __init__(self, channels: int, conv: Convolution) -> None:
        self.builder = _core.NetworkBuilder(channels)
        self.names = Names()
        self.layers = [Layer(INPUT, INPUT)]
        self.names.add(self.layers[0])
        self.outputs = {INPUT: _Output(0, channels, True)}
        self.target = INPUT
        self._exact = conv == "direct"

    def add(self, layer: Layer) -> None:
        """Add a layer as it runs."""
        missing = [name for name in layer.inputs if name not in self.outputs]
        if missing:
            raise ValueError(
                f"layer {layer.name!r}: no earlier layer is called {', '.join(map(repr, missing))}"
            )
        if self._exact and layer.op == "conv":
            layer = replace(layer, attributes={**layer.attributes, "exact": True})
        inputs = [self.outputs[name] for name in layer.inputs]
        number = add_to(self.builder, layer, [each.number for each in inputs])
        self.layers.append(layer)
        self.names.add(layer)
        spatial = any(each.spatial for each in inputs) and not _ends_space(layer)
        self.outputs[layer.name] = _Output(number, _channels(layer, inputs), spatial)
        if spatial and layer.op not in (*POOLS, "dropout"):
            self.target = layer.name


def add_to(builder: _core.NetworkBuilder, layer: Layer, inputs: list[int]) -> int:
    """Add one layer to the core's network and return its number.

    Raises
    ------
    TypeError, ValueError
        What the core says about the layer, after the layer's name.
    """
    arguments = {**layer.weights, **layer.attributes}
    op = layer.op
    if op == "global_average_pool":
        op, arguments = "adaptive_average_pool", {"size": 1}
    try:
        method = getattr(builder, op)
        number: int = method(inputs if op in SEVERAL_INPUTS else inputs[0], **arguments)
    except (TypeError, ValueError) as error:
        raise type(error)(f"layer {layer.name!r} ({layer.op}): {error}") from error
    return number


def _channels(layer: Layer, inputs: Sequence[_Output]) -> int | None:
    """Return how many channels or units come out; None if the size of the picture decides."""
    if layer.op in WEIGHTED:
        return len(np.asarray(layer.weights["weight"]))
    if layer.op == "concatenate":
        known = [each.channels for each in inputs if each.channels is not None]
        return sum(known) if len(known) == len(inputs) else None
    if layer.op == "slice":
        start, stop = (_integer(layer.attributes[name]) for name in ("start", "stop"))
        return stop - start
    if layer.op == "flatten" and inputs[0].spatial:
        return None
    return inputs[0].channels


def _integer(value: Attribute) -> int:
    """Return an attribute that the core has accepted as an int."""
    return operator.index(cast(SupportsIndex, value))


def _ends_space(layer: Layer) -> bool:
    """Return whether the output has no positions."""
    size = layer.attributes.get("size")
    pair = tuple(size) if isinstance(size, Sequence) else (size, size)
    to_one = layer.op == "adaptive_average_pool" and pair == (1, 1)
    return to_one or layer.op in ("flatten", "linear", "global_average_pool", "global_max_pool")
