"""The reader of caffemodels, fuzzed; what it reads is imported too."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import caffe_files
from wire import message
from wire_mutations import mutate

import gradcam
from gradcam._weights import caffemodel
from gradcam._weights.tensors import Weights, WeightsError

__all__ = ["mutate", "read", "seeds"]

DATA = Path(__file__).resolve().parent.parent / "data" / "caffe"


def read(path: str) -> Weights:
    """Read a file, and import its network or refuse it."""
    weights = caffemodel.read(path)
    with contextlib.suppress(WeightsError):
        gradcam.load(weights)
    return weights


def networks() -> list[bytes]:
    """Whole networks with layers of most types, and a chain without bottoms."""
    net = caffe_files.Net(3)
    net.source("Data", "data label", crop_size=12, mean_value=[1.0, 2.0, 3.0], scale=0.5)
    net.conv("conv", 4, 3, pad=1, stride=2)
    net.norm("bn", "scale")
    net.relu("relu", negative_slope=0.5)
    net.add("norm", "LRN", local_size=3)
    net.pool("pool", 3, 2, pad=1)
    net.add("split", "Split", "pool", "a b")
    net.add("sum", "Eltwise", "a b", operation=1, coeff=[0.5, 2.0])
    net.add("slice", "Slice", "sum", "c d", slice_point=[1])
    net.add("joined", "Concat", "c d a", axis=1)
    net.channels["joined"] = 8
    net.add("power", "Power", scale=2.0)
    net.add("permute", "Permute", order=[0, 2, 3, 1])
    net.add("back", "Permute", order=[0, 3, 1, 2])
    net.add("reshape", "Reshape", shape=[(0, 8, -1)])
    net.fc("fc", 5, 8 * 9)
    net.add("prelu", "PReLU", blobs=[net.normal(5)])
    net.fc("scores", 3, 5)
    net.add("loss", "SoftmaxWithLoss", "scores label")
    whole = caffe_files.net_bytes(net.layers)
    chain = caffe_files.Net(3)
    chain.conv("conv", 4, 3)
    chain.average("mean", global_pooling=1)
    chain.fc("scores", 3, 4)
    old = caffe_files.net_bytes(chain.layers, old=True, inputs=[(3, "data")])
    for layer in chain.layers:
        layer.bottoms = layer.tops = ""
    return [whole, old, caffe_files.net_bytes(chain.layers)]


def seeds() -> list[bytes]:
    """Small nets of both types of layers, also with float64; a file of protobuf."""
    values = np.linspace(-1, 1, 27, dtype="<f4")
    old = [(1, 1), (2, 1), (3, 3), (4, 9), (5, values.tobytes())]
    new = [(7, message((1, b"\x01\x03\x09"))), (5, values.tobytes())]
    wide = [(7, message((1, 3), (1, 9))), (8, values.astype("<f8").tobytes())]
    many = [(7, message((1, 27))), *((5, float(value)) for value in values)]
    nets = []
    for blobs in ([old, old], [new, wide], [many, new]):
        parts = [message(*blob) for blob in blobs]
        first = [(2, "data"), (3, "conv"), (4, "conv"), (5, 4), *((6, part) for part in parts)]
        last = [(1, "fc"), (2, "InnerProduct"), (3, "conv"), *((7, part) for part in parts)]
        nets.append(message((1, "net"), (2, message(*first)), (3, "data"), (100, message(*last))))
    return [*networks(), *nets, (DATA / "vgg11_new.caffemodel").read_bytes()]
