"""Sums, products and means of ONNX: of two values, or of a value and constant numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gradcam._importers.onnx.operation import Array, Operation
from gradcam._importers.values import Value
from gradcam._weights.tensors import WeightsError


def _split(operation: Operation) -> tuple[list[Value], Array | None]:
    """Return the inputs that are values, and the other one."""
    values = [each for each in operation.inputs if isinstance(each, Value)]
    constants = [i for i, each in enumerate(operation.inputs) if isinstance(each, np.ndarray)]
    if len(operation.inputs) != 2 or len(values) + len(constants) != 2:
        raise WeightsError(f"has {len(operation.inputs)} inputs, expected 2")
    if not constants:
        return values, None
    found = operation.inputs[constants[0]]
    assert isinstance(found, np.ndarray)
    if found.dtype.kind not in "fiu":
        raise WeightsError(f"takes numbers of type {found.dtype}")
    return values, found


def _affine(
    operation: Operation, value: Value, scale: Array | float = 1.0, shift: Array | float = 0.0
) -> Value:
    return operation.builder.scale_and_shift(
        value, operation.name, scale, shift, aliases=operation.aliases
    )


def _add(operation: Operation) -> Value:
    values, constant = _split(operation)
    if constant is None:
        return operation.builder.sum(values, operation.name, operation.aliases)
    return _affine(operation, values[0], 1.0, constant)


def _sub(operation: Operation) -> Value:
    values, constant = _split(operation)
    if constant is None:
        second = operation.builder.scale_and_shift(values[1], f"{operation.name}.negative", -1.0)
        return operation.builder.sum([values[0], second], operation.name, operation.aliases)
    if isinstance(operation.inputs[0], Value):
        return _affine(operation, values[0], 1.0, -constant.astype(np.float64))
    return _affine(operation, values[0], -1.0, constant)


def _mul(operation: Operation) -> Value:
    values, constant = _split(operation)
    if constant is None:
        return operation.builder.product(values[0], values[1], operation.name, operation.aliases)
    return _affine(operation, values[0], constant)


def _div(operation: Operation) -> Value:
    values, constant = _split(operation)
    if constant is None or not isinstance(operation.inputs[0], Value):
        raise WeightsError(
            "divides by a map, which is not supported: only constant numbers can be divisors"
        )
    if not constant.all():
        raise WeightsError("divides by zero")
    return _affine(operation, values[0], 1 / constant.astype(np.float64))


def _neg(operation: Operation) -> Value:
    return _affine(operation, operation.value(), -1.0)


def _pow(operation: Operation) -> Value:
    exponent = operation.scalar(1, 1.0)
    value = operation.value()
    if exponent == 1:
        return value
    if exponent != 2:
        raise WeightsError(f"has the exponent {exponent}; only 1 and 2 are supported")
    return operation.builder.product(value, value, operation.name, operation.aliases)


def _sum(operation: Operation) -> Value:
    values = [operation.value(i) for i in range(len(operation.inputs))]
    if not values:
        raise WeightsError("has no inputs")
    if len(values) == 1:
        return values[0]
    return operation.builder.sum(values, operation.name, operation.aliases)


def _mean(operation: Operation) -> Value:
    found = _sum(operation)
    count = len(operation.inputs)
    return operation.builder.scale_and_shift(found, f"{operation.name}.mean", 1 / count)


# ------------------------------------------------------------------------ over axes


def _reduce(op: str) -> Callable[[Operation], Value]:
    """Return a function for a mean, sum or maximum over axes."""

    def run(operation: Operation) -> Value:
        value = operation.builder.padded(operation.value())
        given = operation.numbers(1, "axes")
        if given is None or not given:
            if operation.integer("noop_with_empty_axes", 0):
                return value
            given = tuple(range(len(value.dims)))
        axes = operation.axes(given, len(value.dims))
        keep = bool(operation.integer("keepdims", 1))
        return _without(_reduced(operation, value, axes, op), axes, keep)

    return run


def _without(value: Value, axes: Sequence[int], keep: bool) -> Value:
    """Return a value with these dimensions of one element, or without them."""
    dims = [() if i in axes else dim for i, dim in enumerate(value.dims)]
    return value.with_dims([dim for i, dim in enumerate(dims) if keep or i not in axes])


def _reduced(operation: Operation, value: Value, axes: Sequence[int], op: str) -> Value:
    factors = {factor for axis in axes for factor in value.dims[axis]}
    rows, columns, channels = (set(value.whole(axis)) for axis in ("H", "W", "C"))
    if not factors:
        return value
    if factors == rows | columns:
        return _over_positions(operation, value, op)
    if factors in (rows, columns) and op != "sum":
        return _over_one_axis(operation, value, "H" if factors == rows else "W", op)
    if factors == channels and value.is_map and op != "maximum":
        factor = 1.0 if op == "sum" else 1 / value.channels
        kernel = np.full((1, value.channels, 1, 1), factor, np.float32)
        seen = value.arranged("NCHW")
        found = operation.builder.conv(seen, operation.name, kernel, aliases=operation.aliases)
        return found.with_dims(value.dims)
    raise WeightsError(
        f"is over the axes {tuple(axes)} of {value.shape}; only rows and columns are supported"
    )


_POOLS = {"mean": "average_pool", "sum": "average_pool", "maximum": "max_pool"}


def _over_positions(operation: Operation, value: Value, op: str) -> Value:
    found = operation.builder.global_pool(
        value.arranged("NCHW"), operation.name, _POOLS[op], aliases=operation.aliases
    )
    if op == "sum":
        operation.builder.fixed = True
        name = f"{found.layer}.sum"
        found = operation.builder.scale_and_shift(found, name, float(value.positions))
    return found.with_dims(value.dims)


def _over_one_axis(operation: Operation, value: Value, axis: str, op: str) -> Value:
    """Add a pooling over all rows, or over all columns."""
    height, width = value.extent
    kernel = (height, 1) if axis == "H" else (1, width)
    operation.builder.fixed = True
    found = operation.builder.pool(
        value.arranged("NCHW"),
        operation.name,
        _POOLS[op],
        kernel,
        stride=(1, 1),
        aliases=operation.aliases,
    )
    return found.with_dims(value.dims)


OPERATIONS: dict[str, Callable[[Operation], Value]] = {
    "Add": _add,
    "Div": _div,
    "Mean": _mean,
    "Mul": _mul,
    "Neg": _neg,
    "Pow": _pow,
    "ReduceMax": _reduce("maximum"),
    "ReduceMean": _reduce("mean"),
    "ReduceSum": _reduce("sum"),
    "Sub": _sub,
    "Sum": _sum,
}
"""The function of each operation of ONNX."""
