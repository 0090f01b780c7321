"""Poolings."""

from __future__ import annotations

from gradcam._importers.builder import same_padding
from gradcam._importers.keras.step import Step, StepFunction
from gradcam._importers.values import NO_PADDING, Value
from gradcam._weights.tensors import WeightsError

_UNEQUAL = (
    "At the border, {} averages over the map alone, as Keras on TensorFlow does; Keras on PyTorch "
    "repeats the border's values there."
)


def _pool(op: str) -> StepFunction:
    def function(step: Step) -> Value:
        kernel = step.arguments.pair("pool_size", 2)
        given = step.arguments.get("strides")
        stride = kernel if given is None else step.arguments.pair("strides")
        word = step.arguments.word("padding", "valid", ("valid", "same"))
        layout = step.layout()
        value = step.builder.arranged(step.value(), layout)
        padding = NO_PADDING
        if word == "same":
            value = step.builder.padded(value)
            padding, depends = same_padding(value.extent, kernel, stride, (1, 1))
            step.builder.fixed |= depends
            if op == "average_pool" and padding[:2] != padding[2:]:
                step.notes.append(_UNEQUAL.format(step.name))
        return step.builder.pool(
            value, step.name, op, kernel, layout=layout, stride=stride, padding=padding
        )

    return function


def adaptive_average(step: Step) -> Value:
    layout, size = step.layout(), step.arguments.pair("output_size")
    return step.builder.adaptive_pool(step.value(), step.name, size, layout=layout)


def _global(op: str) -> StepFunction:
    def function(step: Step) -> Value:
        layout = step.layout()
        value = step.builder.global_pool(step.value(), step.name, op, layout=layout)
        if step.arguments.flag("keepdims", False):
            return value
        return value.without([layout.index("H"), layout.index("W")])

    return function


def reduced(op: str) -> StepFunction:
    """Return the function of an operation over rows and columns, like ``keras.ops.mean``."""

    def function(step: Step) -> Value:
        value = step.builder.padded(step.value())
        rank = len(value.dims)
        keep = step.arguments.flag("keepdims", False)
        given = step.arguments.integers("axis")
        axes = sorted({axis % rank for axis in given if -rank <= axis < rank})
        layouts = {"NHWC": [1, 2], "NCHW": [2, 3]}
        layout = next((name for name, each in layouts.items() if each == axes), None)
        inside = len(axes) == len(given)
        if rank != 4 or not inside or layout is None or not value.is_arranged(layout):
            raise WeightsError(f"is taken over the axes {given[:8]} of {value.shape}")
        value = step.builder.global_pool(value, step.name, op, layout=layout)
        return value if keep else value.without(axes)

    return function


LAYERS: dict[str, StepFunction] = {
    "AdaptiveAveragePooling2D": adaptive_average,
    "AveragePooling2D": _pool("average_pool"),
    "GlobalAveragePooling2D": _global("average_pool"),
    "GlobalMaxPooling2D": _global("max_pool"),
    "MaxPooling2D": _pool("max_pool"),
}
"""By the class names of Keras's layers."""

OPERATIONS: dict[str, StepFunction] = {
    "Amax": reduced("max_pool"),
    "Max": reduced("max_pool"),
    "Mean": reduced("average_pool"),
}
"""By the class names of Keras 3's operations."""
