"""A backward pass under a rule that is written in Python, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.layers import INPUT, Layer
from gradcam._engine.one_layer import OneLayer
from gradcam._results.rules import Rule

_F32 = NDArray[np.float32]

Derivative = Callable[[str, _F32], _F32]
"""From the gradient of a layer's output to that of its only input."""


def backward(
    layers: Mapping[str, Layer],
    outputs: Mapping[str, _F32],
    start: str,
    seeds: _F32,
    wanted: Sequence[str],
    rule: Rule,
    derivative: Derivative,
) -> list[_F32]:
    """Carry `seeds` from the output of `start` down to the layers wanted.

    Parameters
    ----------
    layers : mapping of str to Layer
        Of the network, in the order in which they run.
    outputs : mapping of str to (N, ...) array
        Of every layer that :func:`needed` names.
    start : str
        The layer that the pass starts from.
    seeds : (S, N, ...) array
        What arrives at its output.
    wanted : sequence of str
    rule : Rule
    derivative : callable
        The vector-Jacobian product of a layer with one input, by the layer's name; it runs where
        the rule has no step.

    Returns
    -------
    list of (S, N, ...) arrays
        One for each layer wanted; zero if the layer does not feed `start`.

    Raises
    ------
    ValueError
        If the rule returns something that does not have the shape of a layer's input.
    """
    active = between(layers, start, wanted)
    arrived = {start: _read_only(np.array(seeds))}
    for name in reversed([name for name in layers if name in active]):
        layer, gradient = layers[name], arrived[name]
        if name not in wanted:
            del arrived[name]
        inputs = [each for each in layer.inputs if each in active]
        if not inputs:
            continue
        one = OneLayer(layer, [outputs[each] for each in layer.inputs], outputs[name])
        for source, part in zip(layer.inputs, _step(rule, one, gradient, derivative), strict=True):
            if source in active:
                total = arrived[source] + part if source in arrived else part
                arrived[source] = _read_only(total)
    sets = len(seeds)
    return [
        arrived[name].copy()
        if name in arrived
        else np.zeros((sets, *outputs[name].shape), np.float32)
        for name in wanted
    ]


def needed(layers: Mapping[str, Layer], start: str, wanted: Sequence[str]) -> list[str]:
    """Return the layers whose outputs :func:`backward` needs, in the order in which they run."""
    active = between(layers, start, wanted)
    passed = [layers[name].inputs for name in active if active & set(layers[name].inputs)]
    read = {each for inputs in passed for each in inputs}
    return [name for name in layers if name in active or name in read or name in wanted]


def between(layers: Mapping[str, Layer], start: str, wanted: Sequence[str]) -> set[str]:
    """Return the layers that feed `start` and are fed by a layer wanted, both ends included."""
    fed = set(wanted)
    for layer in layers.values():
        if layer.name != INPUT and fed & set(layer.inputs):
            fed.add(layer.name)
    feeds = {start}
    for layer in reversed(list(layers.values())):
        if layer.name in feeds:
            feeds.update(layer.inputs)
    return fed & feeds


def _read_only(values: _F32) -> _F32:
    """Return a view that a rule cannot write to: others may use the same array."""
    view: _F32 = values.view()
    view.flags.writeable = False
    return view


def _step(rule: Rule, layer: OneLayer, gradient: _F32, derivative: Derivative) -> list[_F32]:
    """Return what the rule passes back to each of the layer's inputs."""
    step = rule.steps.get(layer.op)
    if step is not None:
        parts = list(step(layer, gradient))
    elif len(layer.inputs) == 1:
        parts = [derivative(layer.name, gradient)]
    else:
        parts = list(layer.vjp(gradient))
    shapes = [(len(gradient), *each.shape) for each in layer.inputs]
    arrays = [np.asarray(part, np.float32) for part in parts]
    if [each.shape for each in arrays] != shapes:
        raise ValueError(
            f"rule {rule.name!r} at layer {layer.name!r} ({layer.op}) returned the shapes "
            f"{[each.shape for each in arrays]}, expected {shapes}"
        )
    return arrays
