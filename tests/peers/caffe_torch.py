"""Caffe's layers with PyTorch's autograd in float64, with the decisions of another program.

Which inputs rectifiers pass and where the maxima of poolings are is decided by the maps of gradcam,
since rounding can change it; a pooling is written by the windows that Caffe's documentation states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import caffe_twin
import numpy as np
import torch
import torch.nn.functional as F
from caffe_files import Layer

Decisions = Callable[[str], np.ndarray]
"""A layer's output in the other program, by the layer's name."""


def run(
    layers: Sequence[Layer], data: torch.Tensor, decisions: Decisions
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Return each layer's output by its name, and the last one."""
    blobs = {"data": data, "label": data.new_zeros(len(data))}
    outputs: dict[str, torch.Tensor] = {}
    writers = {"data": "input"}
    last = data
    for layer in layers:
        if layer.type in ("Input", "Data", "SoftmaxWithLoss", "Accuracy") or "loss1" in layer.name:
            continue
        bottoms = layer.bottoms.split()
        values = [blobs[bottom] for bottom in bottoms]
        if layer.type == "Split":
            found: Any = values * 3
            writers |= dict.fromkeys(layer.tops.split(), writers.get(bottoms[0], ""))
        elif layer.type == "ReLU":
            found = values[0] * torch.tensor(decisions(layer.name) > 0)
        elif layer.type == "Pooling" and not layer.parameters.get("pool"):
            found = _max_pool(layer, values[0], decisions(writers[bottoms[0]]))
        else:
            found = LAYERS[layer.type](layer, *values)
        found = found if isinstance(found, list) else [found]
        for top, value in zip(layer.tops.split(), found, strict=False):
            blobs[top] = outputs[layer.name] = value
            if layer.type != "Split":
                writers[top] = layer.name
        last = found[0]
    return outputs, last


def _max_pool(layer: Layer, x: torch.Tensor, decisive: np.ndarray) -> torch.Tensor:
    """The values of x where `decisive` has the maxima of its windows."""
    positions = np.arange(x.shape[2] * x.shape[3]).reshape(1, 1, *x.shape[2:])
    maxima = caffe_twin.pool(layer, decisive.astype(np.float64))
    # Each value of a map is unique up to equal zeros, of which any has the same gradient.
    flat = decisive.reshape(*decisive.shape[:2], -1)
    windows = caffe_twin.windows(layer, x.shape[2:])
    index = np.empty(maxima.shape, np.int64)
    for i, rows in enumerate(windows[0]):
        for j, columns in enumerate(windows[1]):
            inside = positions[0, 0, rows, columns].reshape(-1)
            index[:, :, i, j] = inside[flat[:, :, inside].argmax(2)]
    chosen = torch.tensor(index).flatten(2)
    return x.flatten(2).gather(2, chosen).view(maxima.shape)


def _blobs(layer: Layer) -> list[torch.Tensor]:
    return [torch.tensor(blob, dtype=torch.float64) for blob in layer.blobs]


def _conv(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    both = {name: caffe_twin.both(layer, name, d) for name, d in (("stride", 1), ("pad", 0))}
    groups = layer.parameters.get("group", 1)
    return F.conv2d(x, *_with_bias(layer), both["stride"], both["pad"], groups=groups)


def _with_bias(layer: Layer) -> tuple[torch.Tensor, torch.Tensor | None]:
    weight, bias, *_ = [*_blobs(layer), None]
    return weight, bias


def _inner_product(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    return F.linear(x.flatten(1), *_with_bias(layer))


def _average(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    if layer.parameters.get("global_pooling"):
        return x.mean((2, 3), keepdim=True)
    kernel, stride = layer.parameters["kernel_size"], layer.parameters["stride"]
    return F.avg_pool2d(x, kernel, stride, ceil_mode=True)


def _lrn(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    p = layer.parameters
    return F.local_response_norm(x, p["local_size"], p["alpha"], p["beta"], p.get("k", 1.0))


def _batch_norm(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    mean, variance, factor = _blobs(layer)
    eps = layer.parameters.get("eps", 1e-5)
    return F.batch_norm(x, mean / factor, variance / factor, eps=eps)


def _scale(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    scale, shift = (blob.view(1, -1, 1, 1) for blob in _blobs(layer))
    return x * scale + shift


LAYERS: Mapping[str, Callable[..., Any]] = {
    "BatchNorm": _batch_norm,
    "Concat": lambda layer, *values: torch.cat(values, 1),
    "Convolution": _conv,
    "Dropout": lambda layer, x: x,
    "Eltwise": lambda layer, *values: sum(values),
    "InnerProduct": _inner_product,
    "LRN": _lrn,
    "Pooling": _average,
    "Scale": _scale,
    "Softmax": lambda layer, x: x.softmax(1),
}
