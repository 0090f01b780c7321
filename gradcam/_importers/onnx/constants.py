"""Compute the operations of an ONNX graph that read only constants.

The semantics are those of https://onnx.ai/onnx/operators/, from opset 7 on. Sizes are computed
before arrays are made, so a small file cannot take much memory or time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcam._importers.onnx import constant_numbers, constant_shapes
from gradcam._importers.onnx.call import Allowance, Call
from gradcam._weights.graph import Node
from gradcam._weights.tensors import WeightsError

OPERATIONS = {**constant_numbers.OPERATIONS, **constant_shapes.OPERATIONS}
"""The function of each operation that can be computed."""

_RANDOM = {
    *("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike"),
    *("RandomUniform", "RandomUniformLike"),
}


def fold(
    node: Node,
    inputs: Sequence[NDArray[Any] | None],
    opset: int,
    allowance: Allowance | None = None,
) -> tuple[NDArray[Any], ...] | None:
    """Return the outputs of an operation on constants.

    Parameters
    ----------
    node : Node
    inputs : sequence of array or None
        Its inputs; None is an optional input that is not used.
    opset : int
        The version of ONNX's operations.
    allowance : Allowance, optional
        What the constants of the whole graph may cost; by default as much for this one.

    Returns
    -------
    tuple of array or None
        None for an operation, or a form of it, that is not known here. Outputs beside the first
        one that only training needs are left out.

    Raises
    ------
    WeightsError
        For wrong attributes, axes or positions, results that are too large, and random numbers.
        The message continues the node's title.
    """
    if node.op in _RANDOM:
        raise WeightsError("makes random numbers; export the network in evaluation mode")
    operation = OPERATIONS.get(node.op)
    if operation is None:
        return None
    call = Call(node, inputs, opset, Allowance() if allowance is None else allowance)
    try:
        with np.errstate(all="ignore"):
            return operation(call)
    except WeightsError:
        raise
    except (ArithmeticError, IndexError, TypeError, ValueError):
        kinds = ", ".join(map(_kind, inputs[:4]))
        raise WeightsError(f"cannot be computed from {kinds}") from None


def _kind(found: NDArray[Any] | None) -> str:
    """Return the type and shape of an input, for a message."""
    return "nothing" if found is None else f"{found.dtype} {found.shape}"
