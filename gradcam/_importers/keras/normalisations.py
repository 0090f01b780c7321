"""Normalisations and scalings of the input."""

from __future__ import annotations

import numpy as np

from gradcam._importers.keras.step import Array, Step, StepFunction, constant
from gradcam._importers.values import Value
from gradcam._weights.tensors import WeightsError

_SMALLEST = 1e-7
"""The smallest standard deviation that Keras's Normalization divides by."""


def batch_normalization(step: Step) -> Value:
    step.arguments.ignore("momentum", "fused", "synchronized", "renorm_clipping", "renorm_momentum")
    if step.arguments.flag("renorm", False):
        raise WeightsError("has the argument renorm=True, which is not supported")
    eps = step.arguments.number("epsilon", 1e-3)
    scale, center = step.arguments.flag("scale", True), step.arguments.flag("center", True)
    names = [*["gamma"] * scale, *["beta"] * center, "moving_mean", "moving_variance"]
    arrays = dict(zip(names, step.weights(*names), strict=True))
    value = step.by_channel(step.builder.padded(step.value()), step.arguments.integers("axis", -1))
    found = {name: step.channels(value, array, name) for name, array in arrays.items()}
    return step.builder.batch_norm(
        value,
        step.name,
        found["moving_mean"],
        found["moving_variance"],
        found.get("gamma"),
        found.get("beta"),
        eps=eps,
    )


def layer_normalization(step: Step) -> Value:
    """Over the channels of each position."""
    if step.arguments.flag("rms_scaling", False):
        raise WeightsError("has the argument rms_scaling=True, which is not supported")
    eps = step.arguments.number("epsilon", 1e-3)
    scale, center = step.arguments.flag("scale", True), step.arguments.flag("center", True)
    names = [*["gamma"] * scale, *["beta"] * center]
    arrays = dict(zip(names, step.weights(*names), strict=True))
    value = step.by_channel(step.builder.padded(step.value()), step.arguments.integers("axis", -1))
    found = {name: step.channels(value, array, name) for name, array in arrays.items()}
    return step.builder.layer_norm(value, step.name, found.get("gamma"), found.get("beta"), eps=eps)


def layer_scale(step: Step) -> Value:
    """The factors of channels in keras.applications.ConvNeXt."""
    step.arguments.ignore("init_values")
    count = step.arguments.integer("projection_dim")
    (gamma,) = step.weights("gamma")
    value = step.by_channel(step.builder.padded(step.value()), (-1,))
    if gamma.shape != (count,):
        raise WeightsError(f"has factors of shape {gamma.shape}, expected ({count},)")
    return step.builder.scale_and_shift(value, step.name, _aligned(value, gamma))


def rescaling(step: Step) -> Value:
    """``x * scale + offset``, with numbers or one for each channel."""
    value = step.value()
    given = step.arguments.get("scale"), step.arguments.get("offset", 0.0)
    pair = [constant(each) for each in given]
    scale, offset = (None if each is None else _by_channel(value, each) for each in pair)
    if scale is None or offset is None:
        raise WeightsError("has a scale or offset that is neither a number nor a list")
    return step.builder.scale_and_shift(value, step.name, scale, offset)


def normalization(step: Step) -> Value:
    """``(x - mean) / sqrt(variance)``, given or measured on data by ``adapt``."""
    value = step.value()
    of_all = step.arguments.states("axis") and step.arguments.get("axis") is None
    axes = [] if of_all else step.arguments.integers("axis", -1)
    invert = step.arguments.flag("invert", False)
    given = [constant(step.arguments.get(name)) for name in ("mean", "variance")]
    step.arguments.ignore("mean", "variance")
    if given[0] is not None and given[1] is not None:
        mean, variance = given
        step.weights()
    else:
        mean, variance, *_ = step.weights(
            *("mean", "variance", "count")[: 2 if len(step.arrays) == 2 else 3]
        )
    assert mean is not None and variance is not None
    mean, variance = (_on_axes(value, np.asarray(each), axes) for each in (mean, variance))
    if not np.all(variance >= 0):
        raise WeightsError("has a negative variance")
    deviation = np.maximum(np.sqrt(variance, dtype=np.float64), _SMALLEST)
    if invert:
        return step.builder.scale_and_shift(value, step.name, deviation, mean)
    return step.builder.scale_and_shift(value, step.name, 1 / deviation, -mean / deviation)


def _on_axes(value: Value, array: Array, axes: list[int]) -> Array:
    """Return an array over some axes with as many dimensions as the value."""
    rank = len(value.dims)
    if any(not -rank <= axis < rank for axis in axes):
        raise WeightsError(f"works along the axes {axes[:8]} of {value.shape}")
    kept = sorted({axis % rank for axis in axes})
    if array.ndim > len(kept) and array.size != 1:
        raise WeightsError(f"has a mean or variance of shape {array.shape} for axes {axes[:8]}")
    shape = [1] * rank
    if array.size != 1:
        for axis, size in zip(kept[len(kept) - array.ndim :], array.shape, strict=True):
            shape[axis] = size
    return array.reshape(shape)


def _by_channel(value: Value, array: Array) -> Array:
    """Return an array over the last axis or, where channels are first, over that of channels."""
    if array.ndim != 1 or array.size == 1 or value.dims[-1] == value.whole("C"):
        return array
    return array.reshape(-1, *[1] * (len(value.dims) - 2))


def _aligned(value: Value, array: Array) -> Array:
    """Return an array with one number for each channel, over the last axis."""
    if value.dims[-1] != value.whole("C"):
        raise WeightsError(f"scales the last axis of {value.shape}, not that of channels")
    return array


LAYERS: dict[str, StepFunction] = {
    "BatchNormalization": batch_normalization,
    "BatchNormalizationV1": batch_normalization,
    "BatchNormalizationV2": batch_normalization,
    "LayerNormalization": layer_normalization,
    "LayerScale": layer_scale,
    "Normalization": normalization,
    "Rescaling": rescaling,
    "SyncBatchNormalization": batch_normalization,
}
"""By the class names of Keras's layers."""
