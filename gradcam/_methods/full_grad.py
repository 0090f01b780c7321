"""FullGrad: the gradients of the input and of all biases (Srinivas and Fleuret, 2019).

A network of ReLUs is S = x * dS/dx + sum over its biases of b * dS/db.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gradcam import _core
from gradcam._engine import rule_pass
from gradcam._engine.forward_pass import ForwardPass
from gradcam._engine.layers import INPUT, NONLINEAR
from gradcam._engine.several_layers import spread
from gradcam._methods.passes import layers_read
from gradcam._registry import method
from gradcam._results import notes
from gradcam._results.explanation import Evidence, Resize
from gradcam._results.objectives import Objectives

_F32 = NDArray[np.float32]

_BIASES = {"conv": "bias", "linear": "bias", "affine": "shift"}
"""The names of biases, by operation."""

_BENT = ("relu6", *NONLINEAR)
"""Operations that add something of their own, which is no bias of a layer."""


@method(title="FullGrad", source="Srinivas & Fleuret 2019", view="map")
def full_grad(tape: ForwardPass, objective: Objectives, *, resize: Resize) -> Evidence:
    """All that adds up to the score: the input and every bias, times their gradients.

    Raw values: 0 or more, (h, w) of the input. The absolute values of input times gradient, and of
    bias times gradient at each position of each convolution, are scaled to 0 to 1 for each channel
    by their minimum and maximum, resized to the input, and summed. Batch normalisations count
    as the biases of the convolutions that they are folded into; in pytorch-grad-cam they, and
    these convolutions, count for themselves. The authors' program scales all channels of a layer
    together. Biases of linear layers have no position and are not shown.
    """
    raw = np.zeros((objective.count, len(tape), *tape.size), np.float32)
    for s, total in enumerate(raw):
        for _, values in contributions(tape, objective, s):
            if values.ndim == 4:
                total += _map(values, tape.size, resize)
    _note_other_terms(tape, objective)
    return Evidence(raw)


def contributions(tape: ForwardPass, objective: Objectives, s: int) -> Iterator[tuple[str, _F32]]:
    """Yield the terms of the objectives with number `s` by layer, with signs.

    Yields
    ------
    str, array
        Of ``"input"``, input times gradient, (N, C, h, w); of each layer with biases, bias times
        gradient at each position, (N, K, u, v) or (N, K). For a network of convolutions, linear
        layers, ReLUs and poolings their sum is the score.
    """
    alone = Objectives(tuple(each[s : s + 1] for each in objective.each), objective.listed)
    biases = {
        layer.name: np.asarray(layer.weights[_BIASES[layer.op]], np.float32)
        for layer in tape.graph.layers.values()
        if layer.op in _BIASES and layer.weights.get(_BIASES[layer.op]) is not None
    }
    gradients = alone.gradients(tape, [INPUT, *biases])
    yield INPUT, tape.input * gradients.pop(0)[0]
    for name, bias in biases.items():
        gradient = gradients.pop(0)[0]  # no longer held when the next is read
        yield name, bias.reshape(-1, *[1] * (gradient.ndim - 2)) * gradient


def _map(values: _F32, size: tuple[int, int], resize: Resize) -> _F32:
    """Return the absolute values, scaled for each channel, summed over channels and resized."""
    values = np.abs(values)
    low, scale = spread(values)
    sums: _F32 = ((values - low) / scale).sum(1)
    return _core.resize(sums, size, resize)


def _note_other_terms(tape: ForwardPass, objective: Objectives) -> None:
    """Note which layers below the objectives add something that is no bias."""
    read = {name for n in range(len(tape)) for name in layers_read(tape, objective, n)}
    layers = tape.graph.layers
    below = {each for name in read for each in rule_pass.between(layers, name, [INPUT])}
    operations = {layers[name].op for name in below}
    found = [op for op in _BENT if op in operations]
    if found:
        notes.add(
            f"FullGrad's terms add up to the score for networks of ReLUs; what {', '.join(found)} "
            f"layers add is not shown."
        )
