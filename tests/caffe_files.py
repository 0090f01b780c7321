"""Write caffemodels for tests, layer by layer, from a list that :mod:`caffe_twin` runs.

Written from BVLC's published schema (src/caffe/proto/caffe.proto in github.com/BVLC/caffe),
independently of gradcam's reader.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from wire import message, varint

WINDOWS = {"num_output": 1, "bias_term": 2, "pad": 3, "kernel_size": 4, "group": 5, "stride": 6}
WINDOWS |= {"pad_h": 9, "pad_w": 10, "kernel_h": 11, "kernel_w": 12, "stride_h": 13}
WINDOWS |= {"stride_w": 14, "axis": 16, "dilation": 18, "fuse_type": 19}
POOLING = {"pool": 1, "kernel_size": 2, "stride": 3, "pad": 4, "kernel_h": 5, "kernel_w": 6}
POOLING |= {"stride_h": 7, "stride_w": 8, "pad_h": 9, "pad_w": 10, "global_pooling": 12}
POOLING |= {"round_mode": 13}
TRANSFORM = {"scale": 1, "mirror": 2, "crop_size": 3, "mean_file": 4, "mean_value": 5}

PARAMETERS: dict[str, tuple[int, int, dict[str, int]]] = {
    "BatchNorm": (139, 0, {"use_global_stats": 1, "eps": 3}),
    "Bias": (141, 0, {"axis": 1, "num_axes": 2}),
    "Concat": (104, 9, {"concat_dim": 1, "axis": 2}),
    "Convolution": (106, 10, WINDOWS),
    "DepthwiseConvolution": (106, 10, WINDOWS),
    "Data": (100, 36, TRANSFORM),
    "Dropout": (108, 12, {"dropout_ratio": 1, "scale_train": 2}),
    "ELU": (140, 0, {"alpha": 1}),
    "Eltwise": (110, 24, {"operation": 1, "coeff": 2}),
    "Flatten": (135, 0, {"axis": 1, "end_axis": 2}),
    "InnerProduct": (117, 17, {"num_output": 1, "bias_term": 2, "axis": 5, "transpose": 6}),
    "Input": (143, 0, {"shape": 1}),
    "LRN": (118, 18, {"local_size": 1, "alpha": 2, "beta": 3, "norm_region": 4, "k": 5}),
    "PReLU": (131, 0, {"channel_shared": 2}),
    "Permute": (202, 0, {"order": 1}),
    "Pooling": (121, 19, POOLING),
    "Power": (122, 21, {"power": 1, "scale": 2, "shift": 3}),
    "ReLU": (123, 30, {"negative_slope": 1}),
    "Reshape": (133, 0, {"shape": 1, "axis": 2, "num_axes": 3}),
    "Scale": (142, 0, {"axis": 1, "num_axes": 2, "bias_term": 4}),
    "Slice": (126, 31, {"slice_dim": 1, "slice_point": 2, "axis": 3}),
    "Softmax": (125, 39, {"axis": 2}),
}
"""The fields of a type's parameters in LayerParameter and V1LayerParameter, and what is in them."""

OLD_TYPES = {"Accuracy": 1, "Concat": 3, "Convolution": 4, "Data": 5, "Dropout": 6, "Flatten": 8}
OLD_TYPES |= {"InnerProduct": 14, "LRN": 15, "Pooling": 17, "ReLU": 18, "Sigmoid": 19}
OLD_TYPES |= {"Softmax": 20, "SoftmaxWithLoss": 21, "Split": 22, "TanH": 23, "Eltwise": 25}
OLD_TYPES |= {"Power": 26, "Slice": 33}


@dataclass
class Layer:
    """A layer as a prototxt states it; `bottoms` and `tops` are names, separated by spaces."""

    name: str
    type: str
    bottoms: str = ""
    tops: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    blobs: tuple[np.ndarray, ...] = ()
    include: int | None = None
    phase: int | None = None


class Net:
    """A list of layers that is written top down, each reading the one before it.

    Weights are random; those of batch normalisations too.
    """

    def __init__(self, channels: int, seed: int = 0) -> None:
        self.layers: list[Layer] = []
        self.channels: dict[str, int] = {"data": channels}
        self.top = "data"
        self.rng = np.random.default_rng(seed)

    def normal(self, *shape: int, scale: float = 1.0) -> np.ndarray:
        return (self.rng.normal(size=shape) * scale).astype(np.float32)

    def add(
        self, name: str, type: str, bottoms: str = "", tops: str = "", blobs: Any = (), **more: Any
    ) -> str:
        """Add a layer; return its first top, by default its name."""
        include, phase = more.pop("include", None), more.pop("phase", None)
        bottoms, tops = bottoms or self.top, tops or name
        self.layers.append(Layer(name, type, bottoms, tops, more, tuple(blobs), include, phase))
        self.top = tops.split()[0]
        self.channels.setdefault(self.top, self.channels.get(bottoms.split()[0], 0))
        return self.top

    def source(self, type: str, tops: str = "data", **more: Any) -> None:
        self.layers.append(
            Layer("data", type, "", tops, {k: v for k, v in more.items() if k != "include"})
        )
        self.layers[-1].include = more.get("include")

    def conv(
        self, name: str, outputs: int, kernel: int, bottom: str = "", group: int = 1, **more: Any
    ) -> str:
        inputs = self.channels[bottom or self.top] // group
        scale = (2 / (inputs * kernel * kernel)) ** 0.5
        blobs = [self.normal(outputs, inputs, kernel, kernel, scale=scale)]
        if more.get("bias_term", 1):
            blobs.append(self.normal(outputs, scale=0.1))
        if group > 1:
            more["group"] = group
        self.channels[name] = outputs
        return self.add(
            name, "Convolution", bottom, "", blobs, num_output=outputs, kernel_size=kernel, **more
        )

    def fc(self, name: str, outputs: int, inputs: int, bottom: str = "", **more: Any) -> str:
        weight = self.normal(outputs, inputs, scale=inputs**-0.5)
        self.channels[name] = outputs
        blobs = [weight.T if more.get("transpose") else weight, self.normal(outputs, scale=0.1)]
        return self.add(name, "InnerProduct", bottom, "", blobs, num_output=outputs, **more)

    def relu(self, name: str, **more: Any) -> str:
        return self.add(name, "ReLU", "", self.top, **more)

    def norm(self, name: str, scale: str = "", **more: Any) -> str:
        """A batch normalisation in place, and a scale with a shift if that has a name."""
        count, top = self.channels[self.top], self.top
        blobs = [self.normal(count), self.rng.uniform(1, 4, count).astype(np.float32)]
        self.add(name, "BatchNorm", "", top, [*blobs, np.array([2.5], np.float32)], **more)
        if scale:
            blobs = [self.rng.uniform(0.5, 1.5, count).astype(np.float32), self.normal(count)]
            self.add(scale, "Scale", "", top, blobs, bias_term=1)
        return top

    def pool(self, name: str, kernel: int, stride: int, bottom: str = "", **more: Any) -> str:
        return self.add(name, "Pooling", bottom, "", kernel_size=kernel, stride=stride, **more)

    def average(self, name: str, **more: Any) -> str:
        return self.add(name, "Pooling", "", "", pool=1, **more)

    def write(self, path: Any, **more: Any) -> str:
        path.write_bytes(net_bytes(self.layers, **more))
        return str(path)


def blob(values: np.ndarray, old: bool = False) -> bytes:
    numbers = (5, np.ascontiguousarray(values, "<f4").tobytes())
    if old:
        sizes = (1,) * (4 - values.ndim) + values.shape
        return message(*enumerate(sizes, 1), numbers)
    return message((7, message((1, b"".join(map(varint, values.shape))))), numbers)


def parameters(fields: Mapping[str, int], values: Mapping[str, Any]) -> bytes:
    """A message of these values; "shape" holds lists of dimensions."""
    found: list[tuple[int, Any]] = []
    for name, value in values.items():
        every = value if isinstance(value, (list, tuple)) else [value]
        if name == "shape":
            every = [message((1, b"".join(map(varint, shape)))) for shape in every]
        found += [(fields[name], each) for each in every]
    return message(*found)


def layer_bytes(layer: Layer, old: bool = False) -> bytes:
    bottom, top, name, kind, blobs, include = (2, 3, 4, 5, 6, 32) if old else (3, 4, 1, 2, 7, 8)
    found: list[tuple[int, Any]] = [(name, layer.name)]
    found.append((kind, OLD_TYPES[layer.type] if old else layer.type))
    found += [(bottom, each) for each in layer.bottoms.split()]
    found += [(top, each) for each in layer.tops.split()]
    found += [(blobs, blob(values, old)) for values in layer.blobs]
    if layer.include is not None:
        found.append((include, message((1, layer.include))))
    if layer.phase is not None:
        found.append((10, layer.phase))
    new_field, old_field, fields = PARAMETERS.get(layer.type, (0, 0, {}))
    if layer.parameters:
        number = old_field if old else new_field
        found.append((number, parameters(fields, layer.parameters)))
    return message(*found)


def net_bytes(
    layers: Sequence[Layer],
    name: str = "net",
    old: bool = False,
    inputs: Sequence[tuple[int, Any]] = (),
) -> bytes:
    """A NetParameter; `inputs` are further fields before the layers: input, input_dim, ..."""
    field_number = 2 if old else 100
    every = [(field_number, layer_bytes(layer, old)) for layer in layers]
    return message((1, name), *inputs, *every)
