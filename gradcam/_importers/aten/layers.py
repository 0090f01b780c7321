"""Operations with weights: convolutions, linear layers, normalisations."""

from __future__ import annotations

import numpy as np

from gradcam._importers.aten.arguments import Arguments, dimension, shown
from gradcam._importers.aten.table import Result, Site, operation, refuse
from gradcam._importers.aten.tensors import Array
from gradcam._importers.builder import Pair
from gradcam._importers.values import NO_PADDING, Padding, Value
from gradcam._weights.tensors import WeightsError


class OtherChannels(WeightsError):
    """The first convolution reads another number of channels than the input was taken to have."""

    def __init__(self, channels: int) -> None:
        super().__init__(f"reads pictures of {channels} channels")
        self.channels = channels


@operation("conv2d", "convolution", "_convolution")
def _convolution(site: Site, a: Arguments) -> Result:
    value, weight = a.value("input"), a.array("weight")
    if a.flag("transposed") or any(a.integers("output_padding") or ()):
        raise WeightsError(
            "is a transposed convolution, which is not supported (upsampling: decoders, generators)"
        )
    if weight.ndim != 4:
        raise WeightsError(
            f"has weights of shape {weight.shape}: only two-dimensional convolutions are supported"
        )
    groups, dilation = a.integer("groups", 1), a.pair("dilation")
    channels = weight.shape[1] * groups
    if value == site.builder.input and channels != value.channels:
        raise OtherChannels(channels)
    return site.builder.conv(
        value,
        site.name,
        weight,
        a.optional_array("bias"),
        stride=a.pair("stride"),
        padding=_padding(a, weight.shape[2:], dilation),
        dilation=dilation,
        groups=groups,
    )


def _padding(a: Arguments, kernel: tuple[int, ...], dilation: Pair) -> Padding:
    """Return a padding of numbers, or one by name: "same" has the larger half at the end."""
    name = a.get("padding")
    if not isinstance(name, str):
        return a.padding()
    if name not in ("same", "valid"):
        raise WeightsError(f"has padding {shown(name)}, expected 'same' or 'valid'")
    if name == "valid":
        return NO_PADDING
    rows, columns = (d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
    return rows // 2, columns // 2, rows - rows // 2, columns - columns // 2


@operation("linear")
def _linear(site: Site, a: Arguments) -> Result:
    return _matrix(site, a.value("input"), a.array("weight"), a.optional_array("bias"))


@operation("mm", "matmul")
def _product(site: Site, a: Arguments) -> Result:
    for name in ("self", "tensor1"):
        if a.get(name) is not None and a.tensor(name).is_constant:
            raise WeightsError("multiplies a constant matrix by the picture's values from the left")
    second = a.tensor("mat2", "other", "tensor2")
    if not second.is_constant:
        raise WeightsError(
            "is a product of two values that both depend on the picture (attention?), which is not "
            "supported: only convolutional networks can be explained"
        )
    return _matrix(site, a.value("self", "tensor1"), _transposed(a.array("mat2", "other")), None)


@operation("addmm")
def _addmm(site: Site, a: Arguments) -> Result:
    beta, alpha = a.number("beta", 1.0), a.number("alpha", 1.0)
    if (beta, alpha) != (1, 1):
        raise WeightsError(f"has beta {beta} and alpha {alpha}, expected 1")
    bias, weight = a.array("self"), _transposed(a.array("mat2"))
    return _matrix(site, a.value("mat1"), weight, bias)


def _transposed(weight: Array) -> Array:
    if weight.ndim != 2:
        raise WeightsError(f"has a second factor of shape {weight.shape}, expected a matrix")
    return np.transpose(weight)


def _matrix(site: Site, value: Value, weight: Array, bias: Array | None) -> Value:
    if bias is not None and bias.size != len(weight):
        raise WeightsError(f"has a bias of shape {bias.shape} for {len(weight)} outputs")
    return site.builder.linear(value, site.name, weight, bias)


@operation("batch_norm")
def _batch_norm(site: Site, a: Arguments) -> Result:
    a.skip("cudnn_enabled")
    if a.get("running_mean") is None or a.get("running_var") is None:
        raise WeightsError(
            "has no running statistics (track_running_stats=False): it normalises by those of the "
            "pictures that it is given, which cannot be explained"
        )
    if a.flag("training"):
        raise WeightsError(
            "is a batch normalisation in training mode: call eval() before the model is exported"
        )
    return _normalised(site, a)


@operation("_native_batch_norm_legit_no_training", "native_batch_norm", "_native_batch_norm_legit")
def _native_batch_norm(site: Site, a: Arguments) -> Result:
    return [_batch_norm(site, a), None, None]


@operation("cudnn_batch_norm", "miopen_batch_norm")
def _cudnn_batch_norm(site: Site, a: Arguments) -> Result:
    return [_batch_norm(site, a), None, None, None]


def _normalised(site: Site, a: Arguments) -> Value:
    value = a.value("input")
    if len(value.dims) == 2 and len(value.dims[1]) > 1:
        value = site.builder.vector_in_order(value)
    if len(value.dims) < 2 or value.dims[1] != value.whole("C"):
        raise WeightsError(f"normalises dimension 1 of {value.shape}, which is not the channels")
    return site.builder.batch_norm(
        value,
        site.name,
        a.array("running_mean"),
        a.array("running_var"),
        a.optional_array("weight"),
        a.optional_array("bias"),
        eps=a.number("eps", a.number("epsilon", 1e-5)),
    )


@operation("layer_norm")
def _layer_norm(site: Site, a: Arguments) -> Result:
    value, shape = a.value("input"), a.integers("normalized_shape")
    a.skip("cudnn_enable")
    if len(value.dims) == 2 and len(value.dims[1]) > 1:
        value = site.builder.vector_in_order(value)
    last = dimension(-1, len(value.dims))
    if shape != [value.channels] or value.dims[last] != value.whole("C"):
        raise WeightsError(
            f"normalises {shown(shape)} of {value.shape}: only a normalisation over the channels "
            f"of each position is supported"
        )
    weight, bias = a.optional_array("weight"), a.optional_array("bias")
    eps = a.number("eps", 1e-5)
    return site.builder.layer_norm(value, site.name, weight, bias, eps=eps)


@operation("native_layer_norm")
def _native_layer_norm(site: Site, a: Arguments) -> Result:
    return [_layer_norm(site, a), None, None]


refuse(
    "group_norm native_group_norm instance_norm",
    "normalises groups of channels over all positions, which is not supported",
)
refuse(
    "conv_transpose1d conv_transpose2d conv_transpose3d",
    "is a transposed convolution, which is not supported (upsampling: decoders, generators)",
)
refuse(
    "conv1d conv3d",
    "is not a two-dimensional convolution: only networks for pictures can be explained",
)
refuse(
    "scaled_dot_product_attention _native_multi_head_attention multi_head_attention_forward "
    "bmm baddbmm einsum _transformer_encoder_layer_fwd",
    "is a part of attention (a transformer), which is not supported: only convolutional networks "
    "can be explained",
)
refuse(
    "lstm gru rnn_tanh rnn_relu lstm_cell gru_cell",
    "is a recurrent layer, which is not supported: only convolutional networks can be explained",
)
refuse(
    "embedding embedding_bag",
    "looks up a table of numbers (words or positions), which is not supported: only convolutional "
    "networks for pictures can be explained",
)
refuse(
    "quantize_per_tensor quantize_per_channel dequantize fake_quantize_per_tensor_affine",
    "is quantised, which is not supported: export the model before quantisation",
)
