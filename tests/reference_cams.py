"""The family of class activation maps in float64 NumPy, from their papers' formulas.

A: (N, K, u, v), the maps of a layer. G: the gradients by them, of the same shape.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import reference

import gradcam

Array = np.ndarray


def build(layers: Sequence[gradcam.Layer]) -> tuple[reference.Network, dict[str, int]]:
    """Return the twin of a list of layers, and the numbers of its layers by name."""
    builder = reference.Builder(3)
    numbers, before = {"input": 0}, "input"
    for layer in layers:
        inputs = [numbers[name] for name in layer.inputs or (before,)]
        given = {**layer.weights, **layer.attributes}
        make = getattr(builder, layer.op)
        several = layer.op in ("add", "multiply", "concatenate")
        numbers[layer.name] = make(inputs if several else inputs[0], **given)
        before = layer.name
    return builder.build(), numbers


def sums(products: Array) -> Array:
    return products.sum(1)


def weighted(weights: Array, maps: Array) -> Array:
    return np.einsum("nk,nkuv->nuv", weights, maps)


def grad_cam_plus_plus(a: Array, g: Array, epsilon: float = 1e-6) -> Array:
    return weighted(plus_plus_weights(a, g, g**2, g**3, epsilon), a)


def plus_plus_weights(a: Array, g: Array, g2: Array, g3: Array, epsilon: float) -> Array:
    below = 2 * g2 + a.sum((2, 3), keepdims=True) * g3 + epsilon
    alpha = np.divide(g2, below, out=np.zeros_like(g2), where=below != 0)
    return (alpha * np.maximum(g, 0)).sum((2, 3))


def x_grad_cam(a: Array, g: Array) -> Array:
    total = a.sum((2, 3))
    share = np.divide((a * g).sum((2, 3)), total, out=np.zeros_like(total), where=total != 0)
    return weighted(share, a)


def hires_cam(a: Array, g: Array) -> Array:
    return sums(a * g)


def grad_cam_elementwise(a: Array, g: Array) -> Array:
    return sums(np.maximum(a * g, 0))


def layer_cam(a: Array, g: Array) -> Array:
    return sums(a * np.maximum(g, 0))


def eigen_cam(a: Array, g: Array) -> Array:
    return np.stack([first_component(each) for each in a])


def eigen_grad_cam(a: Array, g: Array) -> Array:
    return np.stack([first_component(each) for each in a * g])


def first_component(maps: Array) -> Array:
    rows = maps.reshape(len(maps), -1).T
    rows = rows - rows.mean(0)
    component = rows @ np.linalg.svd(rows)[2][0]
    sign = 1 if np.dot(component, rows.sum(1)) >= 0 else -1
    return sign * component.reshape(maps.shape[1:])


def run_from(record: reference.Record, layer: int, output: Array) -> list[Array]:
    """Return every layer's output of one pass, with another output of `layer`."""
    outputs = [*record.outputs[:layer], output]
    for node, inputs in record.network.nodes[layer + 1 :]:
        outputs.append(node.forward([outputs[i] for i in inputs], None)[0])
    return outputs


def ablation_weights(record: reference.Record, layer: int, scores: int, index: int) -> Array:
    """S - S_k, of one class, (N, K)."""
    maps = record.outputs[layer]
    whole = record.outputs[scores][:, index]
    losses = []
    for k in range(maps.shape[1]):
        without = maps.copy()
        without[:, k] = 0
        losses.append(whole - run_from(record, layer, without)[scores][:, index])
    return np.stack(losses, 1)


def score_weights(record: reference.Record, layer: int, scores: int, index: int) -> Array:
    """The softmax over the channels of the scores of masked pictures, (N, K)."""
    x, maps = record.outputs[0], record.outputs[layer]
    found = []
    for k in range(maps.shape[1]):
        masks = reference.resize(maps[:, k], x.shape[2:], "align_corners")
        masks = np.stack([reference.normalise(each) for each in masks])
        found.append(record.network.forward(x * masks[:, None]).outputs[scores][:, index])
    powers = np.exp(np.stack(found, 1))
    return powers / powers.sum(1, keepdims=True)


def full_grad(contributions: Sequence[Array], size: tuple[int, int]) -> Array:
    """(N, h, w): absolute values, scaled for each channel, resized and summed."""
    total = 0.0
    for values in contributions:
        scaled = np.stack([[reference.normalise(c) for c in each] for each in np.abs(values)])
        total = total + reference.resize(scaled, size).sum(1)
    return total
