"""Sums, products and concatenations, as layers and as operations."""

from __future__ import annotations

import numpy as np

from gradcam._importers.keras.step import Array, Step, StepFunction
from gradcam._importers.values import Value
from gradcam._weights.tensors import WeightsError


def add(step: Step) -> Value:
    return _sum(step, _operands(step), step.name)


def _operands(step: Step) -> list[Value | Array]:
    """Return the operands, whose values have equally many dimensions.

    Keras's layers add dimensions of size 1 after the batch.
    """
    operands = step.operands()
    rank = max(len(each.dims) for each in operands if isinstance(each, Value))
    return [
        each.with_dims((each.dims[0], *[()] * (rank - len(each.dims)), *each.dims[1:]))
        if isinstance(each, Value) and len(each.dims) < rank
        else each
        for each in operands
    ]


def _sum(step: Step, operands: list[Value | Array], name: str) -> Value:
    """Add the sum of values and constants."""
    values = [each for each in operands if isinstance(each, Value)]
    constants = [each for each in operands if not isinstance(each, Value)]
    if len(values) > 1:
        inner = f"{name}.sum" if constants else name
        total = step.builder.sum(values, inner)
    else:
        total = values[0]
    for each in constants[:-1]:
        total = step.builder.scale_and_shift(total, f"{name}.shift", 1.0, each)
    if constants:
        total = step.builder.scale_and_shift(total, name, 1.0, constants[-1])
    return total


def subtract(step: Step) -> Value:
    first, second = _two(step)
    if not isinstance(second, Value):
        return _sum(step, [first, -second], step.name)
    negative = step.builder.scale_and_shift(second, f"{step.name}.negative", -1.0)
    return _sum(step, [first, negative], step.name)


def multiply(step: Step) -> Value:
    operands = _operands(step)
    values = [each for each in operands if isinstance(each, Value)]
    constants = [each for each in operands if not isinstance(each, Value)]
    total = values[0]
    for i, each in enumerate(values[1:], 2):
        last = i == len(values) and not constants
        total = step.builder.product(total, each, step.name if last else f"{step.name}.product")
    for i, constant in enumerate(constants, 1):
        name = step.name if i == len(constants) else f"{step.name}.scale"
        total = step.builder.scale_and_shift(total, name, constant)
    return total


def divide(step: Step) -> Value:
    first, second = _two(step)
    if not isinstance(first, Value) or isinstance(second, Value):
        raise WeightsError("divides by the output of a layer, which is not supported")
    if not np.all(second):
        raise WeightsError("divides by zero")
    return step.builder.scale_and_shift(first, step.name, 1 / np.asarray(second, np.float64))


def negative(step: Step) -> Value:
    return step.builder.scale_and_shift(step.value(), step.name, -1.0)


def average(step: Step) -> Value:
    values = step.values()
    total = step.builder.sum(values, f"{step.name}.sum")
    return step.builder.scale_and_shift(total, step.name, 1 / len(values))


def custom_scale(step: Step) -> Value:
    """``first + scale * second``, a layer of keras.applications.InceptionResNetV2."""
    values = step.values()
    if len(values) != 2:
        raise WeightsError(f"has {len(values)} inputs, expected two")
    scale = step.arguments.number("scale")
    scaled = step.builder.scale_and_shift(values[1], f"{step.name}.scale", scale)
    return _sum(step, [values[0], scaled], step.name)


def concatenate(step: Step) -> Value:
    (axis,) = step.arguments.integers("axis", -1) or [-1]
    values = step.values()
    rank = len(values[0].dims)
    if not -rank <= axis < rank:
        raise WeightsError(f"joins values of shape {values[0].shape} along axis {axis}")
    return step.builder.concatenate(values, axis, step.name)


def _two(step: Step) -> list[Value | Array]:
    operands = _operands(step)
    if len(operands) != 2:
        raise WeightsError(f"has {len(operands)} inputs, expected two")
    return operands


LAYERS: dict[str, StepFunction] = {
    "Add": add,
    "Average": average,
    "Concatenate": concatenate,
    "CustomScaleLayer": custom_scale,
    "Multiply": multiply,
    "Subtract": subtract,
}
"""By the class names of Keras's layers and of Keras 3's operations, which are the same."""

OPERATIONS: dict[str, StepFunction] = {
    "Divide": divide,
    "Negative": negative,
    "TrueDivide": divide,
}
"""By the class names of other operations of Keras 3."""
