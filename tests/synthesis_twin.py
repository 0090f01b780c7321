"""Pictures made by a network, once more: float64, one picture, written from the definitions.

Enlarging, blurring and the Fourier basis are dense matrices here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import reference

import gradcam

Array = np.ndarray

COLOURS = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])


def small(seed: int = 1, order: str = "RGB", bias: float = 0.1) -> tuple[Any, Any]:
    """Return a network of two convolutions with a preset for 16 x 16 pixels, and its twin."""
    rng = np.random.default_rng(seed)
    weights = [
        rng.standard_normal((8, 3, 3, 3)) * 0.3,
        rng.standard_normal((6, 8, 3, 3)) * 0.2,
        rng.standard_normal((5, 6)) * 0.6,
    ]
    first, second, last = (each.astype(np.float32) for each in weights)
    if order == "BGR":
        first = first[:, ::-1].copy()
    shifts = [np.full(n, bias, np.float32) for n in (8, 6, 5)]
    padded = {"padding": 1}
    layers = [
        gradcam.Layer(
            "conv1", "conv", weights=dict(weight=first, bias=shifts[0]), attributes=padded
        ),
        gradcam.Layer("relu1", "relu"),
        gradcam.Layer(
            "conv2", "conv", weights=dict(weight=second, bias=shifts[1]), attributes=padded
        ),
        gradcam.Layer("relu2", "relu"),
        gradcam.Layer("pool", "global_average_pool"),
        gradcam.Layer("flat", "flatten"),
        gradcam.Layer("fc", "linear", weights=dict(weight=last, bias=shifts[2])),
        gradcam.Layer("prob", "softmax"),
    ]
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    if order == "BGR":
        mean, std = mean[::-1], std[::-1]
    preset = gradcam.Preset("small", order, 255.0, mean, std, size=16)
    network = gradcam.Network.from_layers(layers, preset=preset, name="small")
    builder = reference.Builder(3)
    x = builder.relu(builder.conv(0, first, shifts[0], padding=1))
    x = builder.relu(builder.conv(x, second, shifts[1], padding=1))
    builder.linear(builder.flatten(builder.adaptive_average_pool(x, 1)), last, shifts[2])
    return network, builder.build()


RELU1, SCORES = 2, 7
"""The twin's numbers of the first ReLU and of the scores."""


class Twin:
    """The ascent of one picture; values are 0 to 1 in RGB."""

    def __init__(self, network: Any, twin: Any) -> None:
        preset = network.preset
        self.twin = twin
        self.flip = preset.channel_order == "BGR"
        mean, std = np.array(preset.mean), np.array(preset.std)
        self.mean, self.std = (each[::-1] if self.flip else each for each in (mean, std))

    def record(self, values: Array) -> Any:
        found = (values * 255 / 255 - self.mean[:, None, None]) / self.std[:, None, None]
        return self.twin.forward((found[::-1] if self.flip else found)[None])

    def gradient(self, values: Array, layer: int, seeds: Callable[[Array], Array]) -> Array:
        """Return the gradient by the values, given the one by a layer's output."""
        record = self.record(values)
        given = seeds(record.activation(layer)[0])[None, None]
        (found,) = record.backward(layer, given, [0])
        by_input = found[0, 0][::-1] if self.flip else found[0, 0]
        return by_input / self.std[:, None, None]

    def ascend(
        self,
        values: Array,
        layer: int,
        seeds: Callable[[Array], Array],
        *,
        steps: int,
        step: float,
        optimiser: str = "gradient",
        basis: str = "pixels",
        l2: float = 0.0,
        total_variation: float = 0.0,
        blur: float = 0.0,
        blur_every: int = 8,
        jitter: int = 0,
        zoom: float = 0.0,
        seed: int = 0,
        low: Any = 0.0,
        high: Any = 1.0,
    ) -> Array:
        rng = np.random.default_rng(seed)
        size = values.shape[1]
        transform = fourier(size) if basis == "fourier" else np.eye(values.size)
        first, second = np.zeros(values.size), np.zeros(values.size)
        for number in range(1, steps + 1):
            down, right = rng.integers(-jitter, jitter + 1, 2)
            bigger = enlarging(1 + zoom * rng.uniform(-1, 1), size)
            seen = bigger @ np.roll(values, (down, right), (1, 2)) @ bigger.T
            g = bigger.T @ self.gradient(seen, layer, seeds) @ bigger
            g = np.roll(g, (-down, -right), (1, 2))
            g = g - 2 * l2 * (values - self.mean[:, None, None])
            g = transform.T @ (g - total_variation * variation_gradient(values)).ravel()
            if optimiser == "adam":
                first = 0.9 * first + 0.1 * g
                second = 0.999 * second + 0.001 * g**2
                g = (first / (1 - 0.9**number)) / np.sqrt(second / (1 - 0.999**number))
            elif optimiser == "sign":
                g = np.sign(g)
            else:
                g = g / np.sqrt((g**2).mean())
            values = values + step * (transform @ g).reshape(values.shape)
            if blur and number % blur_every == 0 and number < steps:
                weights = blurring(blur, size)
                values = weights @ values @ weights.T
            values = np.clip(values, low, high)
        return values


def variation_gradient(values: Array) -> Array:
    """The gradient of the sum of squared differences between neighbours, pixel by pixel."""
    gradient = np.zeros_like(values)
    _, height, width = values.shape
    for y in range(height):
        for x in range(width):
            for other_y, other_x in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= other_y < height and 0 <= other_x < width:
                    gradient[:, y, x] += 2 * (values[:, y, x] - values[:, other_y, other_x])
    return gradient


def enlarging(factor: float, size: int) -> Array:
    """The matrix of a linear interpolation around the centre, whose edges are repeated."""
    at = ((np.arange(size) - (size - 1) / 2) / factor + (size - 1) / 2).clip(0, size - 1)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(size)))


def blurring(sigma: float, size: int) -> Array:
    """The matrix of a Gaussian blur whose rows sum to 1."""
    at = np.arange(size)
    weights = np.exp(-((at[:, None] - at) ** 2) / (2 * sigma**2))
    return weights / weights.sum(1, keepdims=True)


@functools.cache
def fourier(size: int) -> Array:
    """The matrix of the Fourier basis with decorrelated colours, column by column."""
    frequency = np.fft.fftfreq(size)
    scale = 1 / np.maximum(np.hypot(frequency[:, None], frequency), 1 / size)
    scale = scale / np.sqrt((scale**2).mean())
    colours = COLOURS / np.sqrt((COLOURS**2).sum(0)).max()
    columns = []
    for unit in np.eye(3 * size * size):
        spectrum = np.fft.fft2(unit.reshape(3, size, size)) * scale
        columns.append(np.tensordot(colours, np.fft.ifft2(spectrum).real, 1).ravel())
    return np.stack(columns, axis=1)
