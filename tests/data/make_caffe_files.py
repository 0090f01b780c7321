"""Write the files of caffe/ with the protobuf library and Caffe's published schema.

PYTHONPATH=tests python tests/data/make_caffe_files.py
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import small_vggs
import vggs
from caffe_schema import V1_TYPES, Net

HERE = Path(__file__).resolve().parent / "caffe"
KINDS = {"conv": "Convolution", "relu": "ReLU", "pool": "Pooling", "fc": "InnerProduct"}


def net(
    name: str,
    tensors: Mapping[str, np.ndarray],
    *,
    old: bool,
    data: str = "data",
    schema: type = Net,
) -> Any:
    """Return a NetParameter as Caffe saves it: all layers, with the blobs of their weights.

    old: layers of the type V1LayerParameter, blobs with num, channels, height and width.
    data: the field of the numbers, "data" or "double_data".
    """
    made = schema(name=f"{name}_small")
    _layer(made, old, "data", "Data", "data", "data")
    before = "data"
    for caffe, torchvision, _ in vggs.layers(name):
        kind = next((KINDS[key] for key in KINDS if caffe.startswith(key)), None)
        if kind is None:
            continue
        top = before if kind == "ReLU" else caffe
        layer = _layer(made, old, caffe, kind, before, top)
        before = top
        if kind == "Convolution":
            layer.convolution_param.pad.append(1)
            layer.convolution_param.kernel_size.append(3)
        if kind in ("Convolution", "InnerProduct"):
            for role in ("weight", "bias"):
                _blob(layer.blobs.add(), tensors[f"{torchvision}.{role}"], old, data)
    return made


def _layer(made: Any, old: bool, name: str, kind: str, bottom: str, top: str) -> Any:
    layer = made.layers.add() if old else made.layer.add()
    layer.name = name
    if kind != "Data":
        layer.bottom.append(bottom)
    layer.top.append(top)
    layer.type = (V1_TYPES | {"Data": 5})[kind] if old else kind
    return layer


def _blob(blob: Any, values: np.ndarray, old: bool, data: str) -> None:
    if old:
        sizes = (1,) * (4 - values.ndim) + values.shape
        blob.num, blob.channels, blob.height, blob.width = sizes
    else:
        blob.shape.dim.extend(values.shape)
    for start in range(0, values.size, 1 << 20):  # Python's floats take eight times the memory
        getattr(blob, data).extend(values.ravel()[start : start + (1 << 20)].tolist())


def main() -> None:
    old = net("vgg16", small_vggs.tensors("vgg16"), old=True)
    (HERE / "vgg16_v1.caffemodel").write_bytes(old.SerializeToString())
    new = net("vgg11", small_vggs.tensors("vgg11"), old=False)
    (HERE / "vgg11_new.caffemodel").write_bytes(new.SerializeToString())


if __name__ == "__main__":
    main()
