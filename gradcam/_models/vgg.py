"""VGG (Simonyan and Zisserman, 2015), configurations A, B, D and E, as tables.

Five blocks of 3x3 convolutions, each followed by a ReLU, and each block by a 2x2 max pooling; then
three fully connected layers. With batch normalisation (torchvision's ``vgg16_bn``), every
convolution is followed by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import count

from gradcam._models.architecture import Architecture, Row, register

_CHANNELS = (64, 128, 256, 512, 512)
"""Output channels of the convolutions in each block."""

_SIDE = 7
"""Height and width of the map that fc6 takes; maps of other sizes are averaged to it."""

_DEPTHS = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
"""Convolutions in each block, by the number of layers with weights."""


def _rows(blocks: tuple[int, ...], batch_norm: bool) -> Iterator[Row]:
    features = (f"features.{number}" for number in count())
    for block, convolutions in enumerate(blocks, 1):
        for i in range(1, convolutions + 1):
            yield from _convolution(f"{block}_{i}", _CHANNELS[block - 1], batch_norm, features)
        yield Row(
            f"pool{block}",
            "max_pool",
            attributes={"kernel": 2, "stride": 2},
            torchvision=next(features),
            keras=f"block{block}_pool",
        )
    yield Row("avgpool", "adaptive_average_pool", attributes={"size": _SIDE})
    yield Row("flatten", "flatten")
    yield from _classifier()


def _convolution(
    number: str, units: int, batch_norm: bool, features: Iterator[str]
) -> Iterator[Row]:
    """Yield the rows of convolution `number` ("1_2"); `features` are torchvision's names."""
    keras = "block{}_conv{}".format(*number.split("_"))
    yield Row(
        f"conv{number}",
        "conv",
        attributes={"padding": 1},
        kernel=(3, 3),
        units=units,
        torchvision=next(features),
        stored={"keras": keras},
    )
    if batch_norm:
        yield Row(f"bn{number}", "batch_norm", torchvision=next(features))
    # Keras's layer is the convolution with its ReLU, so that name is the ReLU's output.
    yield Row(f"relu{number}", "relu", torchvision=next(features), keras=keras)


def _classifier() -> Iterator[Row]:
    for i, digit in enumerate((6, 7)):
        keras = f"fc{i + 1}"
        yield Row(
            f"fc{digit}",
            "linear",
            units=4096,
            torchvision=f"classifier.{3 * i}",
            stored={"keras": keras, "timm": f"pre_logits.{keras}"},
        )
        yield Row(f"relu{digit}", "relu", torchvision=f"classifier.{3 * i + 1}", keras=keras)
        yield Row(f"drop{digit}", "dropout", torchvision=f"classifier.{3 * i + 2}")
    stored = {"keras": "predictions", "timm": "head.fc"}
    yield Row("fc8", "linear", units=1000, torchvision="classifier.6", stored=stored)
    yield Row("prob", "softmax", keras="predictions")


for _batch_norm in (False, True):
    for _depth, _blocks in _DEPTHS.items():
        register(
            Architecture(
                f"vgg{_depth}" + "_bn" * _batch_norm,
                f"VGG-{_depth}" + " with batch normalisation" * _batch_norm,
                partial(_rows, _blocks, _batch_norm),
            )
        )
