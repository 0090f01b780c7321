"""What Caffe's messages mean: types of layers, and the fields of their parameters.

Field numbers are from BVLC's ``caffe.proto`` (src/caffe/proto in github.com/BVLC/caffe), but for
Permute, which is from the schema of its SSD branch.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["int", "ints", "float", "floats", "text", "shapes", "unused"]
"""How a field is read; "unused": known, and without an effect on what the network computes."""

Fields = dict[int, tuple[str, Kind]]
"""Of a message: the name and the kind of each field, by its number."""


class Parameters(NamedTuple):
    """A message of a layer's parameters.

    Attributes
    ----------
    new, old : int or None
        The field of LayerParameter and of V1LayerParameter that holds it.
    fields : Fields
    """

    new: int
    old: int | None
    fields: Fields


_CONVOLUTION = Parameters(
    106,
    10,
    {
        1: ("num_output", "int"),
        2: ("bias_term", "int"),
        3: ("pad", "ints"),
        4: ("kernel_size", "ints"),
        5: ("group", "int"),
        6: ("stride", "ints"),
        7: ("weight_filler", "unused"),
        8: ("bias_filler", "unused"),
        9: ("pad_h", "int"),
        10: ("pad_w", "int"),
        11: ("kernel_h", "int"),
        12: ("kernel_w", "int"),
        13: ("stride_h", "int"),
        14: ("stride_w", "int"),
        15: ("engine", "unused"),
        16: ("axis", "int"),
        17: ("force_nd_im2col", "unused"),
        18: ("dilation", "ints"),
    },
)
_POOLING = Parameters(
    121,
    19,
    {
        1: ("pool", "int"),
        2: ("kernel_size", "ints"),
        3: ("stride", "ints"),
        4: ("pad", "ints"),
        5: ("kernel_h", "int"),
        6: ("kernel_w", "int"),
        7: ("stride_h", "int"),
        8: ("stride_w", "int"),
        9: ("pad_h", "int"),
        10: ("pad_w", "int"),
        11: ("engine", "unused"),
        12: ("global_pooling", "int"),
        13: ("round_mode", "int"),
    },
)
_INNER_PRODUCT = Parameters(
    117,
    17,
    {
        1: ("num_output", "int"),
        2: ("bias_term", "int"),
        3: ("weight_filler", "unused"),
        4: ("bias_filler", "unused"),
        5: ("axis", "int"),
        6: ("transpose", "int"),
    },
)
_LRN = Parameters(
    118,
    18,
    {
        1: ("local_size", "int"),
        2: ("alpha", "float"),
        3: ("beta", "float"),
        4: ("norm_region", "int"),
        5: ("k", "float"),
        6: ("engine", "unused"),
    },
)
_BATCH_NORM = Parameters(
    139,
    None,
    {
        1: ("use_global_stats", "int"),
        2: ("moving_average_fraction", "unused"),
        3: ("eps", "float"),
    },
)
_SCALE = Parameters(
    142,
    None,
    {
        1: ("axis", "int"),
        2: ("num_axes", "int"),
        3: ("filler", "unused"),
        4: ("bias_term", "int"),
        5: ("bias_filler", "unused"),
    },
)
_BIAS = Parameters(141, None, {1: ("axis", "int"), 2: ("num_axes", "int"), 3: ("filler", "unused")})
_ELTWISE = Parameters(
    110, 24, {1: ("operation", "int"), 2: ("coeff", "floats"), 3: ("stable_prod_grad", "unused")}
)
_CONCAT = Parameters(104, 9, {1: ("concat_dim", "int"), 2: ("axis", "int")})
_SLICE = Parameters(
    126, 31, {1: ("slice_dim", "int"), 2: ("slice_point", "ints"), 3: ("axis", "int")}
)
_SOFTMAX = Parameters(125, 39, {1: ("engine", "unused"), 2: ("axis", "int")})
_ENGINE: Fields = {1: ("engine", "unused")}
_RELU = Parameters(123, 30, {1: ("negative_slope", "float"), 2: ("engine", "unused")})
_PRELU = Parameters(131, None, {1: ("filler", "unused"), 2: ("channel_shared", "int")})
_ELU = Parameters(140, None, {1: ("alpha", "float")})
_POWER = Parameters(122, 21, {1: ("power", "float"), 2: ("scale", "float"), 3: ("shift", "float")})
_FLATTEN = Parameters(135, None, {1: ("axis", "int"), 2: ("end_axis", "int")})
_RESHAPE = Parameters(
    133, None, {1: ("shape", "shapes"), 2: ("axis", "int"), 3: ("num_axes", "int")}
)
_DROPOUT = Parameters(108, 12, {1: ("dropout_ratio", "float"), 2: ("scale_train", "int")})
_PERMUTE = Parameters(202, None, {1: ("order", "ints")})
_INPUT = Parameters(143, None, {1: ("shape", "shapes")})

_TRANSFORM = Parameters(
    100,
    36,
    {
        1: ("scale", "float"),
        2: ("mirror", "unused"),
        3: ("crop_size", "int"),
        4: ("mean_file", "text"),
        5: ("mean_value", "floats"),
        6: ("force_color", "unused"),
        7: ("force_gray", "int"),
    },
)
_DATABASE = Parameters(
    107, 11, {2: ("scale", "float"), 3: ("mean_file", "text"), 5: ("crop_size", "int")}
)
_IMAGES = Parameters(
    115,
    15,
    {
        2: ("scale", "float"),
        3: ("mean_file", "text"),
        5: ("crop_size", "int"),
        9: ("new_height", "int"),
        10: ("new_width", "int"),
        11: ("is_color", "int"),
    },
)
_MEMORY = Parameters(119, 22, {2: ("channels", "int"), 3: ("height", "int"), 4: ("width", "int")})
_DUMMY = Parameters(109, 26, {6: ("shape", "shapes")})

SOURCES = {
    "Input": (_INPUT,),
    "Data": (_DATABASE, _TRANSFORM),
    "ImageData": (_IMAGES, _TRANSFORM),
    "MemoryData": (_MEMORY, _TRANSFORM),
    "DummyData": (_DUMMY,),
    "HDF5Data": (),
    "WindowData": (),
}
"""Layers that read no other one: where pictures and labels come from."""

LAYERS: dict[str, tuple[Parameters, ...]] = {
    "Axpy": (),
    "BatchNorm": (_BATCH_NORM,),
    "Bias": (_BIAS,),
    "Concat": (_CONCAT,),
    "Convolution": (_CONVOLUTION,),
    "ConvolutionDepthwise": (_CONVOLUTION,),
    "DepthwiseConvolution": (_CONVOLUTION,),
    "Dropout": (_DROPOUT,),
    "ELU": (_ELU,),
    "Eltwise": (_ELTWISE,),
    "Flatten": (_FLATTEN,),
    "InnerProduct": (_INNER_PRODUCT,),
    "LRN": (_LRN,),
    "PReLU": (_PRELU,),
    "Permute": (_PERMUTE,),
    "Pooling": (_POOLING,),
    "Power": (_POWER,),
    "ReLU": (_RELU,),
    "ReLU6": (_RELU,),
    "Reshape": (_RESHAPE,),
    "Scale": (_SCALE,),
    "Sigmoid": (Parameters(124, 38, _ENGINE),),
    "Slice": (_SLICE,),
    "Softmax": (_SOFTMAX,),
    "TanH": (Parameters(127, 37, _ENGINE),),
    **SOURCES,
}
"""The messages of each type of layer whose parameters are read."""

MESSAGES = frozenset(p.new for found in LAYERS.values() for p in found)
"""Fields of LayerParameter that hold one of these messages."""

OLD_TYPES = {
    1: "Accuracy",
    2: "BNLL",
    3: "Concat",
    4: "Convolution",
    5: "Data",
    6: "Dropout",
    7: "EuclideanLoss",
    8: "Flatten",
    9: "HDF5Data",
    10: "HDF5Output",
    11: "Im2col",
    12: "ImageData",
    13: "InfogainLoss",
    14: "InnerProduct",
    15: "LRN",
    16: "MultinomialLogisticLoss",
    17: "Pooling",
    18: "ReLU",
    19: "Sigmoid",
    20: "Softmax",
    21: "SoftmaxWithLoss",
    22: "Split",
    23: "TanH",
    24: "WindowData",
    25: "Eltwise",
    26: "Power",
    27: "SigmoidCrossEntropyLoss",
    28: "HingeLoss",
    29: "MemoryData",
    30: "ArgMax",
    31: "Threshold",
    32: "DummyData",
    33: "Slice",
    34: "MVN",
    35: "AbsVal",
    36: "Silence",
    37: "ContrastiveLoss",
    38: "Exp",
    39: "Deconvolution",
}
"""V1LayerParameter's numbers of types, and LayerParameter's names of them."""

CONVOLUTIONS = ("Convolution", "ConvolutionDepthwise", "DepthwiseConvolution")
"""Types of convolutions; those of forks have one group for each channel."""

SEVERAL_INPUTS = ("Concat", "Eltwise", "Axpy")
"""Types of layers that read several others."""

SEVERAL_OUTPUTS = ("Slice", "Split")
"""Types of layers whose outputs several others read."""
