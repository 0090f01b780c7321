"""Run the layers of :mod:`caffe_files` in float64 with NumPy, by the definitions of Caffe's layers.

Written from Caffe's documentation of its layers, without gradcam's importer: poolings by loops over
their windows, in place writing by a dict of blobs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from caffe_files import Layer

Array = np.ndarray


def run(layers: Sequence[Layer], data: Array) -> dict[str, Array]:
    """Return the last value of each blob."""
    blobs = {"data": data.astype(np.float64), "label": np.zeros(len(data))}
    for layer in layers:
        if layer.type in ("Input", "Data", "SoftmaxWithLoss", "Accuracy", "Silence"):
            continue
        values = [blobs[bottom] for bottom in layer.bottoms.split()]
        found = LAYERS[layer.type](layer, *values)
        found = found if isinstance(found, list) else [found]
        blobs.update(zip(layer.tops.split(), found, strict=False))
    return blobs


def both(layer: Layer, name: str, default: int) -> tuple[int, int]:
    """A parameter for rows and columns."""
    short = "kernel" if name == "kernel_size" else name
    if f"{short}_h" in layer.parameters:
        return layer.parameters[f"{short}_h"], layer.parameters[f"{short}_w"]
    value = layer.parameters.get(name, default)
    return tuple(value) if isinstance(value, (list, tuple)) else (value, value)


def conv(layer: Layer, x: Array) -> Array:
    weight = layer.blobs[0].astype(np.float64)
    groups = layer.parameters.get("group", 1)
    if layer.type == "DepthwiseConvolution":
        groups = x.shape[1]
    (ph, pw), (sh, sw) = both(layer, "pad", 0), both(layer, "stride", 1)
    dh, dw = both(layer, "dilation", 1)
    x = np.pad(x, [(0, 0), (0, 0), (ph, ph), (pw, pw)])
    kh, kw = weight.shape[2:]
    size = (dh * (kh - 1) + 1, dw * (kw - 1) + 1)
    windows = np.lib.stride_tricks.sliding_window_view(x, size, (2, 3))
    windows = windows[:, :, ::sh, ::sw, ::dh, ::dw]
    parts = [
        np.einsum("nihwrs,oirs->nohw", part, kernel, optimize=True)
        for part, kernel in zip(
            np.split(windows, groups, 1), np.split(weight, groups, 0), strict=True
        )
    ]
    bias = layer.blobs[1].reshape(1, -1, 1, 1) if len(layer.blobs) > 1 else 0
    return np.concatenate(parts, 1) + bias


def inner_product(layer: Layer, x: Array) -> Array:
    weight = layer.blobs[0].astype(np.float64)
    if layer.parameters.get("transpose"):
        weight = weight.T
    bias = layer.blobs[1] if len(layer.blobs) > 1 else 0
    return x.reshape(len(x), -1) @ weight.reshape(weight.shape[-2:]).T + bias


def spans(layer: Layer, shape: Sequence[int]) -> list[list[tuple[int, int]]]:
    """Where the windows of a pooling begin and end, in rows and columns, also outside the map."""
    if layer.parameters.get("global_pooling"):
        return [[(0, size)] for size in shape]
    kernel, stride, pad = (
        both(layer, "kernel_size", 0),
        both(layer, "stride", 1),
        both(layer, "pad", 0),
    )
    sides = []
    for size, k, s, p in zip(shape, kernel, stride, pad, strict=True):
        rounded = math.floor if layer.parameters.get("round_mode") == 1 else math.ceil
        count = rounded((size + 2 * p - k) / s) + 1
        if any(pad) and (count - 1) * s >= size + p:
            count -= 1
        sides.append([(i * s - p, min(i * s - p + k, size + p)) for i in range(count)])
    return sides


def windows(layer: Layer, shape: Sequence[int]) -> list[list[slice]]:
    """The same, as slices of the map."""
    return [[slice(max(0, begin), end) for begin, end in side] for side in spans(layer, shape)]


def pool(layer: Layer, x: Array) -> Array:
    average = layer.parameters.get("pool", 0) == 1
    inside, sides = windows(layer, x.shape[2:]), spans(layer, x.shape[2:])
    result = np.empty((*x.shape[:2], *map(len, sides)))
    for i, rows in enumerate(inside[0]):
        for j, columns in enumerate(inside[1]):
            window = x[:, :, rows, columns]
            count = math.prod(end - begin for begin, end in (sides[0][i], sides[1][j]))
            result[:, :, i, j] = window.sum((2, 3)) / count if average else window.max((2, 3))
    return result


def lrn(layer: Layer, x: Array) -> Array:
    p = layer.parameters
    size, alpha = p.get("local_size", 5), p.get("alpha", 1.0)
    half = size // 2
    squares = np.pad(x**2, [(0, 0), (half, half), (0, 0), (0, 0)])
    sums = sum(squares[:, i : i + x.shape[1]] for i in range(size))
    return x / (p.get("k", 1.0) + alpha / size * sums) ** p.get("beta", 0.75)


def batch_norm(layer: Layer, x: Array) -> Array:
    mean, variance, factor = (blob.astype(np.float64) for blob in layer.blobs)
    axes = (1, -1, *[1] * (x.ndim - 2))
    mean, variance = (mean / factor).reshape(axes), (variance / factor).reshape(axes)
    return (x - mean) / np.sqrt(variance + layer.parameters.get("eps", 1e-5))


def scale(layer: Layer, x: Array, factors: Array | None = None) -> Array:
    axis = layer.parameters.get("axis", 1)
    if factors is not None:
        return x * factors.reshape(
            *[1] * axis, *factors.shape, *[1] * (x.ndim - axis - factors.ndim)
        )
    axes = (1, -1, *[1] * (x.ndim - 2))
    shift = layer.blobs[1].reshape(axes) if layer.parameters.get("bias_term") else 0
    return x * layer.blobs[0].reshape(axes) + shift


def eltwise(layer: Layer, *values: Array) -> Array:
    if layer.parameters.get("operation", 1) == 0:
        return np.prod(values, axis=0)
    factors = layer.parameters.get("coeff", [1.0] * len(values))
    return sum(factor * value for factor, value in zip(factors, values, strict=True))


def concat(layer: Layer, *values: Array) -> Array:
    return np.concatenate(values, layer.parameters.get("axis", 1))


def cut(layer: Layer, x: Array) -> list[Array]:
    points = layer.parameters.get("slice_point")
    return np.split(x, points or len(layer.tops.split()), layer.parameters.get("axis", 1))


def flatten(layer: Layer, x: Array) -> Array:
    return x.reshape(len(x), -1)


def reshape(layer: Layer, x: Array) -> Array:
    (shape,) = layer.parameters["shape"]
    sizes = [x.shape[i] if size == 0 else size for i, size in enumerate(shape)]
    return x.reshape(sizes)


def softmax(layer: Layer, x: Array) -> Array:
    powers = np.exp(x - x.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def prelu(layer: Layer, x: Array) -> Array:
    slopes = layer.blobs[0].reshape(1, -1, *[1] * (x.ndim - 2))
    return np.maximum(x, 0) + slopes * np.minimum(x, 0)


def relu(layer: Layer, x: Array) -> Array:
    return np.maximum(x, 0) + layer.parameters.get("negative_slope", 0.0) * np.minimum(x, 0)


def elu(layer: Layer, x: Array) -> Array:
    return np.where(x > 0, x, layer.parameters.get("alpha", 1.0) * np.expm1(np.minimum(x, 0)))


def power(layer: Layer, x: Array) -> Array:
    return layer.parameters.get("shift", 0.0) + layer.parameters.get("scale", 1.0) * x


LAYERS: dict[str, Callable[..., Any]] = {
    "Axpy": lambda layer, a, x, y: a.reshape(*a.shape[:2], 1, 1) * x + y,
    "BatchNorm": batch_norm,
    "Concat": concat,
    "Convolution": conv,
    "DepthwiseConvolution": conv,
    "Dropout": lambda layer, x: x,
    "ELU": elu,
    "Eltwise": eltwise,
    "Flatten": flatten,
    "InnerProduct": inner_product,
    "LRN": lrn,
    "PReLU": prelu,
    "Permute": lambda layer, x: x.transpose(layer.parameters["order"]),
    "Pooling": pool,
    "Power": power,
    "ReLU": relu,
    "ReLU6": lambda layer, x: np.clip(x, 0, 6),
    "Reshape": reshape,
    "Scale": scale,
    "Sigmoid": lambda layer, x: 1 / (1 + np.exp(-x)),
    "Slice": cut,
    "Softmax": softmax,
    "Split": lambda layer, x: [x] * len(layer.tops.split()),
    "TanH": lambda layer, x: np.tanh(x),
}
