"""Convolutions and fully connected layers."""

from __future__ import annotations

import numpy as np

from gradcam._importers.axes import kernel_from_outputs_last
from gradcam._importers.builder import same_padding
from gradcam._importers.keras.activations import activated
from gradcam._importers.keras.step import Array, Step, StepFunction
from gradcam._importers.values import NO_PADDING, Value
from gradcam._weights.tensors import WeightsError


def conv2d(step: Step) -> Value:
    filters, kernel = step.arguments.integer("filters"), _kernel_size(step)
    groups = step.arguments.integer("groups", 1)
    weight, *bias = _weights(step, "kernel")
    _check(weight, (*kernel, None, filters))
    value, layout = step.value(), step.layout()
    oihw = kernel_from_outputs_last(weight)
    step.builder.in_place = False
    windows = _Windows(step, layout)
    return activated(
        step, lambda name: windows.conv(value, name, oihw, bias, groups=groups), "conv"
    )


def depthwise_conv2d(step: Step) -> Value:
    """A convolution of each channel by itself, with `depth_multiplier` outputs for each."""
    multiplier, kernel = step.arguments.integer("depth_multiplier", 1), _kernel_size(step)
    _check_groups(step)
    weight, *bias = _weights(step, "depthwise_kernel")
    _check(weight, (*kernel, None, multiplier))
    value, layout = step.value(), step.layout()
    windows = _Windows(step, layout)
    groups = weight.shape[2]
    oihw = _depthwise(weight)
    return activated(
        step, lambda name: windows.conv(value, name, oihw, bias, groups=groups), "conv"
    )


def separable_conv2d(step: Step) -> Value:
    """A depthwise convolution, called NAME.depthwise, and one of one position."""
    multiplier, kernel = step.arguments.integer("depth_multiplier", 1), _kernel_size(step)
    filters = step.arguments.integer("filters")
    _check_groups(step)
    depthwise, pointwise, *bias = _weights(step, "depthwise_kernel", "pointwise_kernel")
    _check(depthwise, (*kernel, None, multiplier))
    _check(pointwise, (1, 1, None, filters))
    value, layout = step.value(), step.layout()
    groups = depthwise.shape[2]
    windows = _Windows(step, layout)
    value = windows.conv(value, f"{step.name}.depthwise", _depthwise(depthwise), [], groups=groups)
    oihw = kernel_from_outputs_last(pointwise)

    def make(name: str) -> Value:
        given = bias[0] if bias else None
        return step.builder.conv(value, name, oihw, given, layout=layout)

    return activated(step, make, "conv")


def dense(step: Step) -> Value:
    """A fully connected layer over the last axis, of maps too."""
    units = step.arguments.integer("units")
    weight, *bias = _weights(step, "kernel")
    _check(weight, (None, units))
    value = step.value()

    def make(name: str) -> Value:
        return step.builder.linear(value, name, weight.T, bias[0] if bias else None)

    return activated(step, make, "dense")


class _Windows:
    """How the windows of a convolution lie: read from its arguments."""

    def __init__(self, step: Step, layout: str) -> None:
        self.builder, self.layout = step.builder, layout
        self.stride = step.arguments.pair("strides", 1)
        self.dilation = step.arguments.pair("dilation_rate", 1)
        self.padding = step.arguments.word("padding", "valid", ("valid", "same"))

    def conv(
        self, value: Value, name: str, weight: Array, bias: list[Array], *, groups: int
    ) -> Value:
        """Add the convolution; `weight` is (O, I / groups, R, S)."""
        value = self.builder.arranged(value, self.layout)
        padding = NO_PADDING
        if self.padding == "same":
            padding, depends = same_padding(
                value.extent, weight.shape[2:], self.stride, self.dilation
            )
            self.builder.fixed |= depends
        return self.builder.conv(
            value,
            name,
            weight,
            bias[0] if bias else None,
            layout=self.layout,
            stride=self.stride,
            padding=padding,
            dilation=self.dilation,
            groups=groups,
        )


def _weights(step: Step, *names: str) -> tuple[Array, ...]:
    """Return the kernels, and the bias if there is one."""
    bias = ("bias",) if step.arguments.flag("use_bias", True) else ()
    return step.weights(*names, *bias)


def _check_groups(step: Step) -> None:
    """Raise WeightsError if there are groups: Keras 2 writes groups=1 for every convolution."""
    if step.arguments.integer("groups", 1) != 1:
        raise WeightsError("has groups beside the convolution of each channel by itself")


def _kernel_size(step: Step) -> tuple[int, int]:
    return step.arguments.pair("kernel_size")


def _check(weight: Array, shape: tuple[int | None, ...]) -> None:
    """Raise WeightsError if a tensor has another shape than its layer says."""
    if weight.ndim != len(shape) or any(
        expected not in (None, size) for expected, size in zip(shape, weight.shape, strict=True)
    ):
        expected = ", ".join("?" if size is None else str(size) for size in shape)
        raise WeightsError(f"has weights of shape {weight.shape}, expected ({expected})")


def _depthwise(weight: Array) -> Array:
    """Return weights (R, S, C, M) as (C * M, 1, R, S)."""
    rows, columns, channels, multiplier = weight.shape
    moved = weight.transpose(2, 3, 0, 1)
    return np.ascontiguousarray(moved).reshape(channels * multiplier, 1, rows, columns)


LAYERS: dict[str, StepFunction] = {
    "Conv2D": conv2d,
    "Convolution2D": conv2d,
    "Dense": dense,
    "DepthwiseConv2D": depthwise_conv2d,
    "SeparableConv2D": separable_conv2d,
}
"""By the class names of Keras's layers."""
