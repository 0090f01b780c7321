"""Evaluate a graph without a picture: constants as numbers, everything else as layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gradcam._importers.builder import Builder
from gradcam._importers.onnx import activations, arithmetic, arrangement, constants, weighted
from gradcam._importers.onnx.call import MOST, Allowance
from gradcam._importers.onnx.names import Names
from gradcam._importers.onnx.operation import Array, Operand, Operation, title
from gradcam._importers.onnx.refusals import refuse
from gradcam._importers.values import Value
from gradcam._weights.graph import Node
from gradcam._weights.tensors import WeightsError

OPERATIONS: dict[str, Callable[[Operation], Value | tuple[Value, ...]]] = {
    **activations.OPERATIONS,
    **arithmetic.OPERATIONS,
    **arrangement.OPERATIONS,
    **weighted.OPERATIONS,
}
"""The function of each operation that can read a picture."""

_SIZED = ("Gemm", "MatMul", "Reshape")
"""Operations that do not fit a picture of the wrong size."""

_TIMES_STORED = 8
"""How many times the bytes of a file's tensors may be computed, beside other constants."""


class Constants:
    """The values of a graph that are known without a picture.

    Parameters
    ----------
    stored : mapping of str to array
        The tensors of the file.
    opset : int
        The version of the operations.
    """

    def __init__(self, stored: Mapping[str, Array], opset: int) -> None:
        self.arrays: dict[str, Array] = dict(stored)
        self.opset = opset
        stored_bytes = sum(each.nbytes for each in self.arrays.values())
        self._allowance = Allowance(MOST + _TIMES_STORED * stored_bytes)

    def fold(self, node: Node) -> bool:
        """Compute a node whose inputs are all known; return whether that was possible."""
        if any(name and name not in self.arrays for name in node.inputs):
            return False
        try:
            inputs = [self.arrays.get(name) if name else None for name in node.inputs]
            found = constants.fold(node, inputs, self.opset, self._allowance)
        except WeightsError as error:
            raise WeightsError(f"{title(node)}: {error}") from None
        if found is None:
            return False
        self.put(node, found)
        return True

    def put(self, node: Node, arrays: Sequence[Array]) -> None:
        """Add the results of a node."""
        self.arrays.update(zip(node.outputs, arrays, strict=False))


def run(
    nodes: Sequence[Node],
    known: Constants,
    values: dict[str, Value],
    builder: Builder,
    names: Mapping[Node, Names],
    hint: str = "",
) -> None:
    """Add the layers of nodes, each of which comes after those that it reads.

    Parameters
    ----------
    nodes : sequence of Node
    known : Constants
        The results of nodes that depend on the shape of a value alone are added.
    values : dict of str to Value
        The input; the results of the other nodes are added.
    builder : Builder
    names : mapping of Node to Names
    hint : str
        What a message adds if an operation does not fit the size of the picture.

    Raises
    ------
    WeightsError
        If an operation is not supported or does not fit its inputs; the message names the node.
    """
    by_size: set[str] = set()  # constants that differ for other sizes of the picture
    for node in nodes:
        if any(name in by_size for name in node.inputs):
            by_size.update(node.outputs)
        if node.op in ("Shape", "Size") and node.inputs and node.inputs[0] in values:
            known.put(node, [_shape(node, values[node.inputs[0]])])
            by_size.update(node.outputs)
            continue
        if known.fold(node):
            continue
        inputs: tuple[Operand | None, ...] = tuple(
            values.get(each, known.arrays.get(each)) if each else None for each in node.inputs
        )
        operation = Operation(node, inputs, builder, *names[node], known.opset)
        if node.op not in ("Reshape", "Expand") and any(each in by_size for each in node.inputs):
            builder.fixed = True
        try:
            found = _result(operation)
        except WeightsError as error:
            also = f"; {hint}" if hint and node.op in _SIZED else ""
            raise WeightsError(f"{title(node)}: {error}{also}") from None
        values.update(zip(node.outputs, found, strict=False))


def _result(operation: Operation) -> tuple[Value, ...]:
    """Return the outputs of a node that reads a value, or that cannot be computed."""
    function = OPERATIONS.get(operation.node.op)
    if function is None:
        refuse(operation)
    assert function is not None
    found = function(operation)
    return found if isinstance(found, tuple) else (found,)


def _shape(node: Node, value: Value) -> Array:
    """Return the shape of a value, or its number of elements."""
    shape: Array = np.array(value.shape, np.int64)
    if node.op == "Size":
        return np.asarray(shape.prod())
    bounds: list[Any] = [node.attributes.get("start", 0), node.attributes.get("end")]
    start, end = (each if isinstance(each, int) else None for each in bounds)
    part: Array = shape[start:end]
    return part
