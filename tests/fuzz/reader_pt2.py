"""The reader and the importer of files of torch.export, fuzzed."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from pt2_files import call, model, tensor
from zip_mutations import mutate

import gradcam
from gradcam._weights import pt2
from gradcam._weights.program import Ref
from gradcam.weights import Weights

__all__ = ["mutate", "read", "seeds"]


def read(path: str) -> Weights:
    weights = pt2.read(path)
    for values in weights.tensors.values():
        values.sum()
    try:
        gradcam.load(weights)
    except ImportError:  # constants that PyTorch would have to compute
        return weights
    return weights


def seeds() -> list[bytes]:
    """A residual network with a shuffle; one with parts of channels, padding and constants."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    tensors = {"a.weight": normal(4, 3, 3, 3), "b.mean": normal(4), "b.var": np.abs(normal(4)) + 1}
    tensors |= {"fc.weight": normal(5, 4), "fc.bias": normal(5).astype(np.float16)}
    statistics = {"running_mean": tensor("b.mean"), "running_var": tensor("b.var")}
    stem = [
        call("conv2d", "c", "a", input=Ref("x"), weight=tensor("a.weight"), padding=[1, 1]),
        call("batch_norm", "n", "b", input=Ref("c"), **statistics, training=False, eps=1e-5),
        call("relu_", "r", "relu", self=Ref("n")),
        call("view", "v", self=Ref("r"), size=[2, 2, 2, 6, 6]),
        call("transpose", "t", self=Ref("v"), dim0=1, dim1=2),
        call("view", "s", self=Ref("t"), size=[2, 4, 6, 6]),
        call("add", "sum", self=Ref("s"), other=Ref("r")),
        call("max_pool2d", "m", "pool", self=Ref("sum"), kernel_size=[2, 2], ceil_mode=True),
    ]
    weight, bias = tensor("fc.weight"), tensor("fc.bias")
    end = [
        call("mean", "g", self=Ref("m"), dim=[2, 3]),
        call("linear", "y", "fc", input=Ref("g"), weight=weight, bias=bias),
    ]
    parts = [
        call("constant_pad_nd", "p", self=Ref("x"), pad=[1, 0, 1, 0]),
        call("chunk", ["k", "l", "o"], self=Ref("p"), chunks=3, dim=1),
        call("cat", "j", tensors=[Ref("o"), Ref("k")], dim=1),
        call("permute", "w", self=tensor("fc.weight"), dims=[1, 0]),
        call("avg_pool2d", "q", self=Ref("j"), kernel_size=[7, 7]),
        call("flatten", "f", self=Ref("q"), start_dim=1),
        call("softmax", "y", self=Ref("f"), dim=1),
    ]
    return [
        model([*stem, *end], (2, 3, 6, 6), tensors, "y"),
        model([*stem, *end], (None, 3, None, None), tensors, {"logits": "y", "maps": "m"}),
        model(parts, (2, 3, 6, 6), tensors, "y", zipfile.ZIP_DEFLATED),
    ]
