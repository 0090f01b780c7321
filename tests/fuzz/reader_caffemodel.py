"""The reader of caffemodels, fuzzed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from wire import message
from wire_mutations import mutate

from gradcam._weights.caffemodel import read

__all__ = ["mutate", "read", "seeds"]

DATA = Path(__file__).resolve().parent.parent / "data" / "caffe"


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
    return [*nets, (DATA / "vgg11_new.caffemodel").read_bytes()]
