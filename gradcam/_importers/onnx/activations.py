"""Activations of ONNX: operations on each value by itself, and the softmax."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from gradcam._importers.onnx.operation import FLOATING, Array, Operation
from gradcam._importers.values import Factor, Value
from gradcam._weights.tensors import WeightsError


def _simple(op: str) -> Callable[[Operation], Value]:
    """Return a function that adds an activation without parameters."""

    def run(operation: Operation) -> Value:
        return _add(operation, operation.value(), op)

    return run


def _add(operation: Operation, value: Value, op: str, **attributes: float | bool) -> Value:
    return operation.builder.elementwise(value, operation.name, op, operation.aliases, **attributes)


def _leaky_relu(operation: Operation) -> Value:
    slope = operation.number("alpha", 0.01)
    return _add(operation, operation.value(), "leaky_relu", slope=slope)


def _elu(operation: Operation) -> Value:
    return _add(operation, operation.value(), "elu", alpha=operation.number("alpha", 1.0))


def _selu(operation: Operation) -> Value:
    """``gamma * elu(x)`` (Klambauer et al., 2017)."""
    alpha = operation.number("alpha", 1.67326319217681884765625)
    gamma = operation.number("gamma", 1.05070102214813232421875)
    found = _add(operation, operation.value(), "elu", alpha=alpha)
    return operation.builder.scale_and_shift(found, f"{found.layer}.scale", gamma)


def _celu(operation: Operation) -> Value:
    """``alpha * elu(x / alpha)`` (Barron, 2017)."""
    alpha, value = operation.number("alpha", 1.0), operation.value()
    if not 0 < alpha < math.inf:
        raise WeightsError(f"has alpha {alpha}, expected a positive number")
    if alpha == 1:
        return _add(operation, value, "elu", alpha=1.0)
    before = operation.builder.scale_and_shift(value, f"{operation.name}.before", 1 / alpha)
    found = _add(operation, before, "elu", alpha=1.0)
    return operation.builder.scale_and_shift(found, f"{found.layer}.scale", alpha)


def _clip(operation: Operation) -> Value:
    """The bounds are attributes before opset 11, inputs since then."""
    low, high = operation.number("min", -math.inf), operation.number("max", math.inf)
    return clipped(
        operation, operation.value(), operation.scalar(1, low), operation.scalar(2, high)
    )


def clipped(operation: Operation, value: Value, low: float, high: float) -> Value:
    """Add a clip; without bounds the value itself."""
    low = -math.inf if low <= float(np.finfo(np.float32).min) else low
    high = math.inf if high >= float(np.finfo(np.float32).max) else high
    if (low, high) == (-math.inf, math.inf):
        return value
    if not low < high:
        raise WeightsError(f"clips to {low} and {high}: every value is the same")
    return _add(operation, value, "clip", low=low, high=high)


def _prelu(operation: Operation) -> Value:
    value, slopes = operation.value(), operation.parameter(1)
    return operation.builder.prelu(value, operation.name, slopes, aliases=operation.aliases)


def _hard_sigmoid(operation: Operation) -> Value:
    """``min(max(alpha * x + beta, 0), 1)``; the core knows alpha = 1 / 6, beta = 1 / 2."""
    alpha, beta = operation.number("alpha", 0.2), operation.number("beta", 0.5)
    value = operation.value()
    if math.isclose(alpha, 1 / 6, rel_tol=1e-6) and beta == 0.5:
        return _add(operation, value, "hard_sigmoid")
    before = operation.builder.scale_and_shift(value, f"{operation.name}.before", alpha, beta)
    return _add(operation, before, "clip", low=0.0, high=1.0)


def _swish(operation: Operation) -> Value:
    """``x * sigmoid(alpha * x)``."""
    value, alpha = operation.value(), operation.number("alpha", 1.0)
    if alpha == 1:
        return _add(operation, value, "silu")
    before = operation.builder.scale_and_shift(value, f"{operation.name}.before", alpha)
    gate = operation.builder.elementwise(before, f"{operation.name}.gate", "sigmoid")
    return operation.builder.product(value, gate, operation.name, operation.aliases)


def _gelu(operation: Operation) -> Value:
    kind = operation.text("approximate", "none")
    if kind not in ("none", "tanh"):
        raise WeightsError(f"has approximate {kind!r}, expected 'none' or 'tanh'")
    return _add(operation, operation.value(), "gelu", approximate=kind == "tanh")


def _softmax(op: str) -> Callable[[Operation], Value]:
    def run(operation: Operation) -> Value:
        value = operation.value()
        rank = len(value.dims)
        axis = operation.axis(operation.integer("axis", -1 if operation.opset >= 13 else 1), rank)
        # Before opset 13, all dimensions from the axis on are one.
        dims = [axis] if operation.opset >= 13 else list(range(axis, rank))
        value = operation.builder.padded(value)
        factors = [factor for i in dims for factor in value.dims[i]]
        if operation.opset < 13:  # all dimensions of a batch of one picture
            factors = [factor for factor in factors if factor != Factor("N", 1, 1)]
        flat = value.is_map and rank == 2 and factors == list(value.dims[1])
        if not factors or (factors != list(value.whole("C")) and not flat):
            raise WeightsError(
                f"is over axis {axis} of {value.shape}, expected the axis of the classes"
            )
        if factors != list(value.whole("C")):
            value = operation.builder.vector_in_order(value)
        return _add(operation, value, op)

    return run


def _dropout(operation: Operation) -> Value:
    """An attribute says how much is dropped; in evaluation mode nothing is."""
    training = operation.constant(2)
    if training is not None and training.any():
        raise WeightsError("is in training mode; export the model in evaluation mode")
    return _add(operation, operation.value(), "dropout")


def _same(operation: Operation) -> Value:
    return operation.value()


def _cast(operation: Operation) -> Value:
    kind = operation.integer("to", 0)
    if kind not in FLOATING:
        raise WeightsError(
            f"converts a map to ONNX's type {kind}, expected a floating-point type "
            f"(quantised models are not supported)"
        )
    return operation.value()


def _bounded(operation: Operation, lower: bool) -> Value:
    """Max or Min of one value and one constant number: a clip."""
    values = [each for each in operation.inputs if isinstance(each, Value)]
    numbers: list[Array] = [each for each in operation.inputs if isinstance(each, np.ndarray)]
    if len(values) == 1 and not numbers:
        return values[0]
    if len(values) != 1 or any(each.size != 1 for each in numbers):
        raise WeightsError(
            "compares two maps, or a map with several numbers; only one number is supported"
        )
    bounds = [float(each.reshape(-1)[0]) for each in numbers]
    if lower:
        return clipped(operation, values[0], max(bounds), math.inf)
    return clipped(operation, values[0], -math.inf, min(bounds))


OPERATIONS: dict[str, Callable[[Operation], Value]] = {
    "Cast": _cast,
    "Celu": _celu,
    "Clip": _clip,
    "Dropout": _dropout,
    "Elu": _elu,
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _simple("hard_swish"),
    "Identity": _same,
    "LeakyRelu": _leaky_relu,
    "LogSoftmax": _softmax("log_softmax"),
    "Max": lambda operation: _bounded(operation, lower=True),
    "Min": lambda operation: _bounded(operation, lower=False),
    "PRelu": _prelu,
    "Relu": _simple("relu"),
    "Selu": _selu,
    "Sigmoid": _simple("sigmoid"),
    "Softmax": _softmax("softmax"),
    "Swish": _swish,
    "Tanh": _simple("tanh"),
}
"""The function of each operation of ONNX."""
