"""Write the files of onnx/: with PyTorch's two exporters, and one like the ONNX zoo's.

PYTHONPATH=tests:tests/peers python tests/data/make_onnx_files.py
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import small_vggs
import torch
import torch_modules
import vggs
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).resolve().parent / "onnx"


def export(name: str, tensors: Mapping[str, np.ndarray], path: Path, **options: Any) -> None:
    """Export a network with torchvision's structure by torch.onnx.export."""
    counted = {k: np.array(0) for k in _counters(tensors)}
    module = torch_modules.VGG(name, {**tensors, **counted}).float()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (torch.zeros(1, 3, 224, 224),), str(path), verbose=False, **options
        )


def _counters(tensors: Mapping[str, np.ndarray]) -> list[str]:
    means = [key for key in tensors if key.endswith("running_mean")]
    return [key.replace("running_mean", "num_batches_tracked") for key in means]


def zoo(
    name: str,
    tensors: Mapping[str, np.ndarray],
    epsilon: float = 1e-5,
    classes: int = small_vggs.CLASSES,
) -> onnx.ModelProto:
    """Return a model like those of the ONNX zoo, which MXNet's exporter wrote.

    Names by MXNet's layers; weights listed as inputs too; Flatten before every Gemm; Dropout left
    in; batch normalisation with the attribute "spatial" of old.
    """
    nodes, weights = [], []
    counts: dict[str, int] = {}
    before = "data"

    def add(op: str, kind: str, parameters: Mapping[str, np.ndarray] | None = None, **attributes):
        nonlocal before
        number = counts[kind] = counts.get(kind, -1) + 1
        inputs = [before]
        for role, values in (parameters or {}).items():
            inputs.append(f"vgg0_{kind}{number}_{role}")
            weights.append(numpy_helper.from_array(values, inputs[-1]))
        before = f"vgg0_{kind}{number}_fwd"
        nodes.append(helper.make_node(op, inputs, [before], before, **attributes))

    for caffe, torchvision, _ in vggs.layers(name):
        own = {
            role: tensors[f"{torchvision}.{role}"]
            for role in ("weight", "bias", "running_mean", "running_var")
            if f"{torchvision}.{role}" in tensors
        }
        if caffe.startswith("conv"):
            two = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [1, 1]}
            add("Conv", "conv", own, group=1, dilations=[1, 1], **two)
        elif caffe.startswith("bn"):
            own = dict(
                zip(("gamma", "beta", "running_mean", "running_var"), own.values(), strict=True)
            )
            add("BatchNormalization", "batchnorm", own, epsilon=epsilon, momentum=0.9, spatial=0)
        elif caffe.startswith("relu"):
            add("Relu", "relu")
        elif caffe.startswith("pool"):
            add("MaxPool", "pool", kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 0, 0])
        elif caffe.startswith("fc"):
            add("Flatten", "flatten")
            add("Gemm", "dense", own, alpha=1.0, beta=1.0, transA=0, transB=1)
        elif caffe.startswith("drop"):
            add("Dropout", "dropout", ratio=0.5)
    value = helper.make_tensor_value_info
    inputs = [value("data", TensorProto.FLOAT, [1, 3, 224, 224])]
    inputs += [value(w.name, w.data_type, w.dims) for w in weights]
    outputs = [value(before, TensorProto.FLOAT, [1, classes])]
    graph = helper.make_graph(nodes, "mxnet_converted_model", inputs, outputs, weights)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 7)], ir_version=3, producer_name="mxnet"
    )


def forget_the_source(path: Path) -> None:
    """Remove the stack traces in the nodes, which contain paths of this machine."""
    model = onnx.load(path, load_external_data=False)
    for node in model.graph.node:
        del node.metadata_props[:]
    onnx.save(model, path)


def main() -> None:
    plain, normalised = small_vggs.tensors("vgg11"), small_vggs.tensors("vgg11_bn")
    export("vgg11", plain, HERE / "vgg11_torchscript.onnx", dynamo=False)
    # The weights are written to a file beside it, vgg11_dynamo.onnx.data.
    export("vgg11", plain, HERE / "vgg11_dynamo.onnx", dynamo=True)
    forget_the_source(HERE / "vgg11_dynamo.onnx")
    onnx.save(zoo("vgg11_bn", normalised, 1e-3), HERE / "vgg11_bn_zoo.onnx")


if __name__ == "__main__":
    main()
