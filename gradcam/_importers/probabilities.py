"""Whether a network's last layer holds probabilities already, without being a softmax or sigmoid.

A softmax after them would be wrong. Examples: the mean of two networks'
probabilities, ``[1 - p, p]``, a sigmoid times 0.999.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradcam._engine.layers import HEADS, POOLS, Layer

_MADE = ("softmax", "sigmoid", "hard_sigmoid")
"""Operations whose output is between 0 and 1."""

_KEPT = (
    *(*POOLS, "affine", "clip", "relu", "relu6", "dropout", "flatten", "slice", "channel_shuffle"),
    *("add", "multiply", "concatenate"),
)
"""Operations that make of probabilities alone, probabilities or multiples of them."""


def ends_in_probabilities(layers: Sequence[Layer]) -> bool:
    """Return whether the last layer is not a head and depends on probabilities alone.

    Parameters
    ----------
    layers : sequence of Layer
        Each with its inputs, after the layers that it reads.
    """
    if layers[-1].op in HEADS:
        return False
    found: set[str] = set()
    for layer in layers:
        kept = layer.op in _KEPT and layer.inputs and found.issuperset(layer.inputs)
        if layer.op in _MADE or kept:
            found.add(layer.name)
    return layers[-1].name in found
