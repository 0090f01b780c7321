"""The attributes that ONNX defines for each operation, in any version from opset 7 to 27.

An attribute that is not among them would be ignored without a message: for example, a misspelled
``strides``.
"""

from __future__ import annotations

from collections.abc import Iterable

from gradcam._importers.onnx.operation import shown, title
from gradcam._weights.graph import Node
from gradcam._weights.tensors import WeightsError, listed

_NONE: tuple[str, ...] = ()
_CONV = ("auto_pad", "dilations", "kernel_shape", "pads", "strides")
_REDUCE = ("axes", "keepdims", "noop_with_empty_axes")

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("Add", "Div", "Mean", "Mul", "Neg", "Pow", "Sub", "Sum"), _NONE),
    **dict.fromkeys(("HardSwish", "Identity", "PRelu", "Relu", "Sigmoid", "Tanh"), _NONE),
    **dict.fromkeys(("Expand", "MatMul", "Max", "Min"), _NONE),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), _NONE),
    **dict.fromkeys(("Concat", "Flatten", "Gather", "LogSoftmax", "Softmax"), ("axis",)),
    **dict.fromkeys(("Celu", "Elu", "LeakyRelu", "Swish"), ("alpha",)),
    **dict.fromkeys(("ReduceMax", "ReduceMean", "ReduceSum"), _REDUCE),
    **dict.fromkeys(("Squeeze", "Unsqueeze"), ("axes",)),
    "AveragePool": (*_CONV, "ceil_mode", "count_include_pad"),
    "BatchNormalization": ("epsilon", "momentum", "spatial", "training_mode"),
    "Cast": ("round_mode", "saturate", "to"),
    "Clip": ("max", "min"),
    "Conv": (*_CONV, "group"),
    "Dropout": ("ratio", "seed"),
    "Gelu": ("approximate",),
    "Gemm": ("alpha", "beta", "transA", "transB"),
    "HardSigmoid": ("alpha", "beta"),
    "LRN": ("alpha", "beta", "bias", "size"),
    "LayerNormalization": ("axis", "epsilon", "stash_type"),
    "MaxPool": (*_CONV, "ceil_mode", "storage_order"),
    "Pad": ("mode", "pads", "value"),
    "Reshape": ("allowzero",),
    "Selu": ("alpha", "gamma"),
    "Shape": ("end", "start"),
    "Slice": ("axes", "ends", "starts"),
    "Split": ("axis", "num_outputs", "split"),
    "Transpose": ("perm",),
}
"""By operation; from https://onnx.ai/onnx/operators/.

MXNet wrote ``spatial`` 0 with weights of one number for each channel, which say what is meant.
"""


def check(nodes: Iterable[Node]) -> None:
    """Raise WeightsError for the first node with an attribute that ONNX does not define.

    Operations that are not in the table are not checked.
    """
    for node in nodes:
        known = ATTRIBUTES.get(node.op)
        unknown = [] if known is None else [name for name in node.attributes if name not in known]
        if unknown:
            names = f"it has {listed(known)}" if known else "it has none"
            raise WeightsError(
                f"{title(node)}: has an attribute {shown(unknown[0])}, which ONNX does not define "
                f"for it ({names})"
            )
