"""Operations of ONNX that are refused, and why."""

from __future__ import annotations

from collections.abc import Container, Sequence

from gradcam._importers.onnx.operation import Operation, shown, title
from gradcam._weights.graph import Node
from gradcam._weights.tensors import WeightsError

_QUANTISED = "belongs to a quantised model: export the model with floating-point weights"
_RECURRENT = "is recurrent; only convolutional networks of pictures are supported"
_ATTENTION = "is attention, as transformers use it; only convolutional networks are supported"
_DETECTION = "belongs to detection of objects; only classifiers are supported"
_LARGER = "makes maps larger, as segmentation and generators do; only classifiers are supported"
_BRANCH = "decides at run time what is computed: export the model with fixed sizes, without it"
_GROUPS = (
    "normalises by statistics of each picture, which is not supported; BatchNormalization and "
    "LayerNormalization over the channels are"
)

REASONS: dict[str, str] = {
    **dict.fromkeys(
        (
            *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"),
            *("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"),
        ),
        _QUANTISED,
    ),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _RECURRENT),
    **dict.fromkeys(("Attention", "RotaryEmbedding", "Einsum"), _ATTENTION),
    **dict.fromkeys(("NonMaxSuppression", "RoiAlign", "MaxRoiPool", "NonZero"), _DETECTION),
    **dict.fromkeys(("ConvTranspose", "Resize", "Upsample", "MaxUnpool", "GridSample"), _LARGER),
    **dict.fromkeys(("If", "Loop", "Scan"), _BRANCH),
    **dict.fromkeys(("InstanceNormalization", "GroupNormalization"), _GROUPS),
}
"""What an operation belongs to, for those that occur in other networks than convolutional ones."""


def check(nodes: Sequence[Node], constants: Container[str]) -> None:
    """Raise WeightsError for the first node that belongs to another kind of network.

    This comes before the nodes become layers, because the first node that fails there could be a
    different one, which does not tell the kind of network.
    """
    for node in nodes:
        if node.op in REASONS:
            raise WeightsError(f"{title(node)}: {REASONS[node.op]}")
        if node.op == "MatMul" and not any(name in constants for name in node.inputs):
            raise WeightsError(
                f"{title(node)}: multiplies two maps as matrices, which is attention, as "
                f"transformers use it; only convolutional networks are supported"
            )


def refuse(operation: Operation) -> None:
    """Raise WeightsError for a node whose operation is not supported."""
    op = operation.node.op
    if "." in op:
        domain = op.rpartition(".")[0]
        if "QLinear" in op or "Quantize" in op:
            raise WeightsError(_QUANTISED)
        if domain.startswith("pkg."):
            raise WeightsError(
                "is a function inside the file, as early versions of PyTorch's dynamo exporter "
                "wrote them: export the model with PyTorch 2.5 or newer, or inline it with "
                "onnx.inliner"
            )
        raise WeightsError(
            f"is an operation of the domain {shown(domain)}, not of ONNX: export the model "
            f"without it"
        )
    raise WeightsError(
        "is an operation that is not supported; if the network can be written with the "
        "operations of gradcam.Layer, gradcam.Network.from_layers makes it"
    )
