"""VGG-16-GAP: the network of CAM (Zhou et al., 2016), with the names of its authors' Caffe model.

VGG-16's convolutions without the last pooling, one more convolution of 1024 channels, the mean over
positions, and one linear layer. Its CAM is its Grad-CAM, up to a positive factor. The groups of the
last convolution are those that the shape of its weight says.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from gradcam._models.architecture import ANY_GROUPS, Architecture, Row, register

_BLOCKS = (2, 2, 3, 3, 3)
_CHANNELS = (64, 128, 256, 512, 512)


def _rows() -> Iterator[Row]:
    features = (f"features.{number}" for number in count())
    for block, (convolutions, units) in enumerate(zip(_BLOCKS, _CHANNELS, strict=True), 1):
        for i in range(1, convolutions + 1):
            yield _convolution(f"conv{block}_{i}", units, next(features))
            yield Row(f"relu{block}_{i}", "relu", torchvision=next(features))
        if block < len(_BLOCKS):
            window = {"kernel": 2, "stride": 2}
            yield Row(f"pool{block}", "max_pool", attributes=window, torchvision=next(features))
    yield _convolution("CAM_conv", 1024, "CAM_conv", ANY_GROUPS)
    yield Row("CAM_relu", "relu")
    yield Row("CAM_pool", "global_average_pool")
    yield Row("flatten", "flatten")
    yield Row("CAM_fc", "linear", units=1000, torchvision="CAM_fc")
    yield Row("prob", "softmax")


def _convolution(name: str, units: int, torchvision: str, groups: int = 1) -> Row:
    attributes = {"padding": 1, "groups": groups}
    return Row(name, "conv", (), attributes, (3, 3), units, torchvision=torchvision)


register(
    Architecture(
        "vgg16_gap",
        "VGG-16-GAP",
        _rows,
        signs={"caffe": "CAM_conv", "torchvision": "CAM_conv"},
    )
)
