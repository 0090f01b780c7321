"""Small networks that together use all layers and all their special cases.

Each case is a function of a builder (the core's, the twin's, or the one for PyTorch: all have
the same methods) and a random generator, so the same description and seed build the same
network with each of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Rng = np.random.Generator


@dataclass(frozen=True)
class Case:
    """A network and the shape (N, C, H, W) of its pictures."""

    name: str
    shape: tuple[int, int, int, int]
    describe: Callable[[Any, Rng], object]

    def build(self, builder_type: Callable[[int], Any]) -> Any:
        builder = builder_type(self.shape[1])
        self.describe(builder, np.random.default_rng(20))
        return builder.build()

    def pictures(self) -> np.ndarray:
        return normal(np.random.default_rng(7), *self.shape)


def normal(rng: Rng, *shape: int, scale: float = 1.0) -> np.ndarray:
    return (scale * rng.standard_normal(shape)).astype(np.float32)


def kernel(rng: Rng, out: int, channels: int, *size: int) -> np.ndarray:
    """He-scaled weights: maps keep their size through a ReLU."""
    fan_in = channels * int(np.prod(size, dtype=int))
    return normal(rng, out, channels, *size, scale=(2 / fan_in) ** 0.5)


# --- one layer at a time ---


def conv_case(
    shape: tuple[int, int, int, int],
    out: int,
    size: tuple[int, int],
    *,
    bias: bool = True,
    groups: int = 1,
    **options: Any,
) -> Case:
    def describe(b: Any, rng: Rng) -> None:
        weight = kernel(rng, out, shape[1] // groups, *size)
        b.conv(0, weight, normal(rng, out) if bias else None, groups=groups, **options)

    parts = [f"{key}{value}" for key, value in options.items()]
    parts += [f"groups{groups}"] * (groups > 1) + ["nobias"] * (not bias)
    name = "-".join(["conv", "x".join(map(str, (*shape, out))), "k", "x".join(map(str, size))])
    return Case("-".join([name, *parts]).replace(" ", ""), shape, describe)


# Plain maps: matrix products with columns; a 1x1 kernel of stride 1 without padding needs none.
PRODUCTS = [
    conv_case((1, 1, 1, 1), 1, (1, 1)),
    conv_case((1, 3, 7, 5), 4, (3, 3), padding=1),
    conv_case((2, 3, 7, 5), 4, (3, 3), padding=1, bias=False),
    conv_case((1, 5, 3, 3), 7, (3, 3)),
    conv_case((1, 5, 2, 2), 7, (3, 3), padding=1),
    conv_case((1, 5, 1, 1), 7, (3, 3), padding=1),
    conv_case((1, 5, 6, 6), 7, (3, 3), padding=2),
    conv_case((2, 8, 10, 11), 6, (1, 1)),
    conv_case((2, 8, 10, 11), 6, (1, 1), stride=2),
    conv_case((1, 8, 10, 11), 6, (1, 1), padding=1, stride=3),
    conv_case((2, 8, 5, 6), 6, (1, 1), padding=1),
    conv_case((1, 4, 12, 9), 5, (5, 3)),
    conv_case((1, 4, 12, 9), 5, (2, 5), padding=(1, 2)),
    conv_case((1, 4, 12, 9), 5, (1, 7), padding=(0, 3)),
    conv_case((1, 4, 12, 9), 5, (4, 4), padding=2),
    conv_case((2, 6, 13, 10), 4, (3, 3), stride=(2, 3), padding=(1, 0)),
    conv_case((1, 6, 13, 10), 4, (2, 2), stride=3),
    conv_case((2, 6, 13, 10), 4, (3, 3), dilation=2, padding=2),
    conv_case((1, 6, 13, 14), 4, (3, 2), dilation=(2, 3), stride=(1, 2), padding=(3, 1)),
    conv_case((1, 6, 9, 9), 9, (3, 3), groups=3, padding=1),
    conv_case((2, 6, 9, 8), 12, (3, 3), groups=6, padding=1),
    conv_case((1, 6, 9, 8), 12, (5, 3), groups=6, padding=(2, 1), stride=2),
    conv_case((1, 8, 9, 8), 4, (3, 3), groups=2, dilation=2, padding=2, bias=False),
    conv_case((1, 4, 12, 9), 5, (3, 4), padding=(0, 1, 2, 3)),
    conv_case((1, 6, 12, 10), 4, (3, 3), stride=2, padding=(0, 0, 1, 1)),
    conv_case((1, 8, 9, 8), 6, (1, 1), padding=(0, 0, 0, 1)),
]
# Fewer than 8 input and at least 8 output channels: directly, in strips of 8 rows; with dilation
# the kernel of a strip reaches into the next strips.
DIRECT = [
    conv_case((1, 3, 224, 3), 8, (3, 3), padding=1),
    conv_case((1, 3, 23, 19), 8, (7, 7), padding=3, stride=2),
    conv_case((1, 3, 23, 19), 8, (11, 11), padding=2, stride=4),
    conv_case((2, 3, 21, 17), 9, (3, 3), padding=2, dilation=2),
    conv_case((1, 4, 23, 20), 8, (3, 2), padding=(2, 1), dilation=(3, 2), stride=(2, 1)),
    conv_case((2, 7, 10, 31), 35, (3, 3), bias=False),
    conv_case((1, 3, 22, 18), 8, (3, 3), stride=2, padding=(0, 0, 1, 1)),
    conv_case((1, 3, 13, 12), 9, (5, 4), padding=(3, 0, 1, 2)),
]
# 3x3 with padding 1 and at least 8 channels: Winograd's algorithm. Tiles of 4x4 and blocks of
# channels are incomplete at every edge; several pictures in a group of tiles, and several groups;
# weights large enough for the other division of work among threads.
WINOGRAD = [
    conv_case((1, 16, 14, 14), 32, (3, 3), padding=1),
    conv_case((3, 17, 15, 13), 33, (3, 3), padding=1),
    conv_case((1, 64, 9, 31), 48, (3, 3), padding=1),
    conv_case((1, 8, 1, 1), 8, (3, 3), padding=1),
    conv_case((1, 8, 4, 4), 8, (3, 3), padding=1, bias=False),
    conv_case((1, 9, 5, 8), 8, (3, 3), padding=1),
    conv_case((2, 8, 6, 7), 9, (3, 3), padding=1),
    conv_case((7, 12, 9, 10), 20, (3, 3), padding=1),
    conv_case((40, 8, 10, 13), 8, (3, 3), padding=1),
    conv_case((1, 8, 90, 93), 8, (3, 3), padding=1),
    conv_case((2, 24, 3, 200), 16, (3, 3), padding=1),
    conv_case((3, 130, 6, 7), 70, (3, 3), padding=1),
    conv_case((2, 256, 7, 6), 256, (3, 3), padding=1),
    conv_case((1, 9, 7, 6), 10, (3, 3), padding=(1, 1, 1, 0)),
]
# Other convolutions of at least 8 channels: products over packed inputs. Strides with and without
# taps for each remainder, groups whose channels share a vector or fill several, and so few or so
# many positions that threads share out outputs, or blocks of positions.
PACKED = [
    conv_case((1, 8, 5, 6), 8, (1, 1)),
    conv_case((2, 33, 7, 9), 18, (1, 1)),
    conv_case((1, 16, 9, 10), 24, (1, 1), stride=2, bias=False),
    conv_case((1, 17, 12, 9), 20, (3, 3), stride=2, padding=1),
    conv_case((2, 9, 13, 10), 12, (3, 3), stride=(2, 3), padding=(0, 0, 1, 1)),
    conv_case((1, 12, 11, 14), 9, (5, 4), padding=(2, 1)),
    conv_case((1, 8, 13, 14), 11, (3, 2), dilation=(2, 3), stride=(1, 2), padding=(3, 1)),
    conv_case((1, 8, 14, 13), 8, (3, 3), dilation=2, stride=4, padding=2),
    conv_case((1, 10, 3, 3), 9, (7, 7), padding=3),
    conv_case((1, 24, 9, 8), 36, (3, 3), groups=12, padding=1),
    conv_case((1, 24, 9, 8), 40, (3, 3), groups=2, padding=1, stride=2),
    conv_case((2, 32, 6, 7), 64, (3, 3), groups=8, padding=1, bias=False),
    conv_case((1, 512, 4, 4), 70, (1, 1)),
    conv_case((1, 8, 60, 70), 9, (1, 3), padding=(0, 1)),
    conv_case((3, 40, 16, 17), 24, (3, 3), padding=(1, 1, 0, 2)),
]


def depthwise_case(shape: tuple[int, int, int, int], size: tuple[int, int], **options: Any) -> Case:
    return conv_case(shape, shape[1], size, groups=shape[1], **options)


# Groups of 1 to 8 outputs, kernels with code of their own and others; kernels that reach beyond the
# border of the maps, or are larger than the maps; gradients in several phases, some without taps;
# several bands of a plane, several planes of a part.
DEPTHWISE = [
    depthwise_case((2, 17, 15, 13), (3, 3), padding=1),
    depthwise_case((1, 9, 14, 23), (3, 3), padding=1, stride=2),
    depthwise_case((1, 9, 15, 12), (3, 3), padding=(0, 0, 1, 1), stride=2, bias=False),
    depthwise_case((1, 8, 7, 7), (5, 5), padding=2),
    depthwise_case((1, 9, 13, 14), (5, 5), padding=2, stride=2),
    depthwise_case((2, 5, 9, 31), (7, 7), padding=3),
    depthwise_case((1, 5, 3, 2), (7, 5), padding=(3, 2)),
    # Fewer rows than the stride: no gradient needs some of the taps.
    depthwise_case((1, 8, 2, 14), (9, 3), padding=(8, 2), stride=(5, 2)),
    depthwise_case((1, 6, 19, 18), (3, 3), padding=2, dilation=2),
    depthwise_case((1, 10, 12, 11), (3, 3), padding=1, stride=2, dilation=2),
    depthwise_case((1, 3, 11, 23), (2, 2), stride=4),
    depthwise_case((1, 2, 4, 9), (3, 3), padding=4),
    depthwise_case((1, 4, 14, 17), (3, 4), padding=(3, 0, 1, 2), stride=(3, 2), dilation=(2, 3)),
    depthwise_case((1, 3, 71, 60), (3, 3), padding=1),
    depthwise_case((2, 300, 5, 4), (3, 3), padding=1, bias=False),
    depthwise_case((1, 2, 1, 1), (1, 1), stride=3),
]
CONVOLUTIONS = [*PRODUCTS, *DIRECT, *WINOGRAD, *PACKED, *DEPTHWISE]


def pool_case(
    kind: str,
    shape: tuple[int, int, int, int],
    *size: Any,
    blocked: int = 0,
    **options: Any,
) -> Case:
    """A pooling of the picture or, of blocked maps, of a convolution with `blocked` channels."""

    def describe(b: Any, rng: Rng) -> None:
        x = b.conv(0, kernel(rng, blocked, shape[1], 1, 1)) if blocked else 0
        getattr(b, kind)(x, *size, **options)

    parts = [f"{key}{value}" for key, value in options.items()]
    name = [kind, "x".join(map(str, shape)), *(f"k{each}" for each in size), *parts]
    name += [f"blocked{blocked}"] * (blocked > 0)
    return Case("-".join(name).replace(" ", ""), shape, describe)


POOLINGS = [
    pool_case("max_pool", (2, 3, 8, 6), 2),
    pool_case("max_pool", (1, 3, 7, 5), 2),
    pool_case("max_pool", (1, 3, 1, 1), 1),
    pool_case("max_pool", (1, 17, 15, 13), 2),
    pool_case("max_pool", (1, 3, 7, 5), 2, ceil_mode=True),
    pool_case("max_pool", (1, 3, 9, 11), 3, stride=2),
    pool_case("max_pool", (2, 3, 10, 12), 3, stride=2, ceil_mode=True),
    pool_case("max_pool", (1, 3, 10, 12), 3, stride=2, padding=1),
    pool_case("max_pool", (1, 3, 10, 11), 3, stride=2, padding=1, ceil_mode=True),
    pool_case("max_pool", (1, 3, 10, 12), (2, 3), stride=(1, 2), padding=(1, 0)),
    pool_case("max_pool", (1, 3, 10, 12), 2, stride=3),
    pool_case("max_pool", (1, 3, 10, 12), 3, stride=1, padding=1),
    pool_case("max_pool", (1, 2, 5, 5), 2, stride=3, padding=1, ceil_mode=True),
    pool_case("max_pool", (1, 3, 10, 12), 3, stride=2, padding=(0, 0, 1, 1)),
    pool_case("average_pool", (1, 3, 10, 12), 3, stride=2, padding=(0, 1, 1, 0)),
    pool_case(
        "average_pool", (1, 3, 10, 12), 3, stride=2, padding=(1, 0, 0, 1), count_include_pad=False
    ),
    pool_case("average_pool", (2, 3, 8, 6), 2),
    pool_case("average_pool", (1, 3, 7, 5), 2),
    pool_case("average_pool", (1, 3, 7, 5), 2, ceil_mode=True),
    pool_case("average_pool", (1, 3, 9, 11), 3, stride=2, padding=1),
    pool_case("average_pool", (1, 3, 9, 11), 3, stride=2, padding=1, count_include_pad=False),
    pool_case("average_pool", (1, 3, 10, 12), 3, stride=2, padding=1, ceil_mode=True),
    pool_case(
        "average_pool",
        (1, 3, 10, 12),
        3,
        stride=2,
        padding=1,
        ceil_mode=True,
        count_include_pad=False,
    ),
    pool_case("average_pool", (1, 3, 10, 12), (2, 3), stride=(1, 2), padding=(1, 0)),
    pool_case("average_pool", (1, 2, 5, 5), 2, stride=3, padding=1, ceil_mode=True),
    pool_case("adaptive_average_pool", (1, 3, 14, 14), 7),
    pool_case("adaptive_average_pool", (2, 3, 10, 13), 7),
    pool_case("adaptive_average_pool", (1, 3, 4, 5), 7),
    pool_case("adaptive_average_pool", (1, 3, 1, 1), 7),
    pool_case("adaptive_average_pool", (1, 3, 9, 8), (2, 5)),
    pool_case("adaptive_average_pool", (2, 5, 9, 8), 1),
    pool_case("average_pool", (1, 3, 9, 11), 3, stride=2, padding=1, divisor=7),
    pool_case("global_max_pool", (2, 5, 9, 8)),
]
# Blocks of channels are incomplete. Inputs in 1, 2, 3 and more windows of an axis, or in none;
# strides of up to four columns and more; windows of up to 256 and more positions; maps so large
# that their rows are divided among threads.
BLOCKED_POOLINGS = [
    pool_case("max_pool", (2, 3, 13, 12), 3, stride=2, padding=1, blocked=18),
    pool_case("max_pool", (1, 3, 14, 13), 3, stride=2, ceil_mode=True, blocked=18),
    pool_case("max_pool", (2, 3, 9, 10), 3, stride=1, padding=1, blocked=9),
    pool_case("max_pool", (1, 3, 10, 12), (2, 5), stride=(1, 2), padding=(1, 2), blocked=9),
    pool_case("max_pool", (1, 3, 7, 15), 2, stride=3, blocked=8),
    pool_case("max_pool", (1, 3, 9, 17), 3, stride=(5, 4), padding=(0, 1, 1, 0), blocked=8),
    pool_case("max_pool", (1, 3, 8, 6), 2, padding=(0, 0, 1, 1), blocked=8),
    pool_case("max_pool", (1, 3, 11, 9), 5, stride=1, padding=2, blocked=8),
    pool_case("max_pool", (1, 3, 24, 20), 17, stride=1, padding=8, blocked=8),
    pool_case("max_pool", (1, 2, 150, 160), 3, stride=1, padding=1, blocked=8),
    pool_case("global_max_pool", (3, 3, 5, 7), blocked=18),
    pool_case("average_pool", (2, 3, 13, 12), 2, blocked=18),
    pool_case("average_pool", (1, 3, 9, 10), 3, stride=1, padding=1, blocked=9),
    pool_case(
        "average_pool",
        (2, 3, 10, 9),
        3,
        stride=(1, 2),
        padding=(0, 1, 1, 0),
        ceil_mode=True,
        count_include_pad=False,
        blocked=9,
    ),
    pool_case("average_pool", (1, 3, 9, 11), 3, stride=2, padding=1, divisor=4, blocked=8),
    pool_case("average_pool", (1, 3, 12, 13), (4, 5), stride=1, padding=2, blocked=8),
    pool_case("average_pool", (2, 3, 7, 9), (7, 9), blocked=18),
    pool_case("adaptive_average_pool", (2, 3, 10, 13), 7, blocked=18),
    pool_case("adaptive_average_pool", (1, 3, 4, 5), (7, 2), blocked=8),
    pool_case("adaptive_average_pool", (2, 3, 9, 13), 1, blocked=18),
]
POOLINGS += BLOCKED_POOLINGS


def single(name: str, shape: tuple[int, int, int, int], describe: Any) -> Case:
    return Case(name, shape, describe)


def _linear(b: Any, rng: Rng) -> None:
    b.linear(b.flatten(0), kernel(rng, 37, 60), normal(rng, 37))


def _linear_without_bias(b: Any, rng: Rng) -> None:
    b.linear(b.flatten(0), kernel(rng, 5, 60))


def _wide_linear(b: Any, rng: Rng) -> None:
    b.linear(b.flatten(0), kernel(rng, 130, 1029), normal(rng, 130))


def _relu(b: Any, rng: Rng) -> None:
    b.relu(0)


def _flat_relu(b: Any, rng: Rng) -> None:
    b.relu(b.flatten(0))


def _relu6(b: Any, rng: Rng) -> None:
    b.relu6(b.affine(0, 5 * normal(rng, 3), normal(rng, 3)))


def _affine(b: Any, rng: Rng) -> None:
    b.affine(0, normal(rng, 3), normal(rng, 3))


def _flat_affine(b: Any, rng: Rng) -> None:
    b.affine(b.flatten(0), normal(rng, 60), normal(rng, 60))


def response_case(shape: tuple[int, int, int, int], size: int, **options: Any) -> Case:
    def describe(b: Any, rng: Rng) -> None:
        b.local_response_norm(0, size, **options)

    parts = [f"{key}{value}" for key, value in options.items()]
    return Case("-".join(["lrn", "x".join(map(str, shape)), f"n{size}", *parts]), shape, describe)


def layer_norm_case(
    shape: tuple[int, int, int, int], *, flat: bool = False, **options: Any
) -> Case:
    def describe(b: Any, rng: Rng) -> None:
        channels = shape[1] * shape[2] * shape[3] if flat else shape[1]
        bias = None if options else normal(rng, channels)
        b.layer_norm(b.flatten(0) if flat else 0, normal(rng, channels), bias, **options)

    parts = [f"{key}{value}-nobias" for key, value in options.items()] + ["flat"] * flat
    return Case("-".join(["layer_norm", "x".join(map(str, shape)), *parts]), shape, describe)


NORMALISATIONS = [
    response_case((2, 19, 5, 6), 5, alpha=0.5),
    response_case((1, 8, 3, 4), 4, alpha=2.0, beta=0.75, k=2.0),
    response_case((1, 20, 3, 4), 3, alpha=1.0, beta=0.6, k=0.5),
    response_case((2, 3, 2, 3), 1, alpha=1.0),
    response_case((1, 5, 2, 3), 40, alpha=4.0, beta=1.0),
    response_case((1, 1, 1, 1), 5),
    layer_norm_case((2, 21, 5, 7)),
    layer_norm_case((1, 16, 3, 9), eps=0.01),
    layer_norm_case((3, 5, 1, 1)),
    layer_norm_case((1, 1, 2, 2)),
    layer_norm_case((3, 3, 4, 5), flat=True),
]


def _multiply(b: Any, rng: Rng) -> None:
    b.multiply([0, b.affine(0, normal(rng, 3), normal(rng, 3))])


def _flat_multiply(b: Any, rng: Rng) -> None:
    x = b.flatten(0)
    b.multiply([x, b.relu(x)])


def _slice(b: Any, rng: Rng) -> None:
    b.slice(0, 1, 4)


def _flat_slice(b: Any, rng: Rng) -> None:
    b.slice(b.flatten(0), 7, 50)


def _channel_shuffle(b: Any, rng: Rng) -> None:
    b.channel_shuffle(0, 3)


def _flat_shuffle(b: Any, rng: Rng) -> None:
    b.channel_shuffle(b.flatten(0), 4)


def _softmax(b: Any, rng: Rng) -> None:
    b.softmax(b.flatten(0))


def _softmax_of_maps(b: Any, rng: Rng) -> None:
    b.add([b.softmax(0), b.log_softmax(0)])


def _dropout(b: Any, rng: Rng) -> None:
    b.dropout(0)


ACTIVATIONS: dict[str, Callable[[Any, int], int]] = {
    "clip": lambda b, x: b.clip(x, -0.75, 1.5),
    "clip-above": lambda b, x: b.clip(x, 0.25, math.inf),
    "leaky-relu": lambda b, x: b.leaky_relu(x),
    "leaky-relu-steep": lambda b, x: b.leaky_relu(x, slope=-0.5),
    "prelu-one": lambda b, x: b.prelu(x, np.array([0.25], np.float32)),
    "elu": lambda b, x: b.elu(x),
    "elu-alpha": lambda b, x: b.elu(x, alpha=0.5),
    "sigmoid": lambda b, x: b.sigmoid(x),
    "hard-sigmoid": lambda b, x: b.hard_sigmoid(x),
    "silu": lambda b, x: b.silu(x),
    "hard-swish": lambda b, x: b.hard_swish(x),
    "tanh": lambda b, x: b.tanh(x),
    "gelu": lambda b, x: b.gelu(x),
    "gelu-tanh": lambda b, x: b.gelu(x, approximate=True),
}


def activation_case(name: str) -> Case:
    """Of larger values than the pictures have, so that each part of the function is reached."""

    def describe(b: Any, rng: Rng) -> None:
        ACTIVATIONS[name](b, b.affine(0, 2 * normal(rng, 3), normal(rng, 3)))

    return Case(name, (2, 3, 5, 7), describe)


def _prelu(b: Any, rng: Rng) -> None:
    b.prelu(0, normal(rng, 3))


def _flat_prelu(b: Any, rng: Rng) -> None:
    b.prelu(b.flatten(0), normal(rng, 105))


def _flat_activations(b: Any, rng: Rng) -> None:
    x = b.flatten(0)
    b.add([function(b, x) for function in ACTIVATIONS.values()])


SINGLES = [
    single("linear", (3, 3, 4, 5), _linear),
    single("linear-nobias", (1, 3, 4, 5), _linear_without_bias),
    single("linear-wide", (9, 21, 7, 7), _wide_linear),
    single("relu", (2, 3, 5, 7), _relu),
    single("relu-flat", (2, 3, 5, 7), _flat_relu),
    single("relu6", (2, 3, 5, 7), _relu6),
    single("affine", (2, 3, 5, 4), _affine),
    single("affine-flat", (2, 3, 5, 4), _flat_affine),
    single("multiply", (2, 3, 5, 4), _multiply),
    single("multiply-flat", (2, 3, 5, 4), _flat_multiply),
    single("slice", (2, 5, 5, 4), _slice),
    single("slice-flat", (2, 3, 5, 4), _flat_slice),
    single("channel-shuffle", (2, 6, 5, 4), _channel_shuffle),
    single("channel-shuffle-flat", (2, 3, 5, 4), _flat_shuffle),
    *NORMALISATIONS,
    single("softmax", (3, 3, 3, 2), _softmax),
    single("softmax-maps", (2, 3, 3, 2), _softmax_of_maps),
    single("dropout", (2, 3, 5, 4), _dropout),
    *map(activation_case, ACTIVATIONS),
    single("prelu", (2, 3, 5, 7), _prelu),
    single("prelu-flat", (2, 3, 5, 7), _flat_prelu),
    single("activations-flat", (2, 3, 5, 7), _flat_activations),
]


# --- graphs ---


def _vgg(b: Any, rng: Rng) -> None:
    """Two blocks and two fully connected layers."""
    x = b.relu(b.conv(0, kernel(rng, 8, 3, 3, 3), normal(rng, 8, scale=0.1), padding=1))
    x = b.relu(b.conv(x, kernel(rng, 8, 8, 3, 3), normal(rng, 8, scale=0.1), padding=1))
    x = b.max_pool(x, 2)
    x = b.relu(b.conv(x, kernel(rng, 12, 8, 3, 3), normal(rng, 12, scale=0.1), padding=1))
    x = b.max_pool(x, 2)
    x = b.flatten(b.adaptive_average_pool(x, 3))
    x = b.dropout(b.relu(b.linear(x, kernel(rng, 20, 108), normal(rng, 20, scale=0.1))))
    b.softmax(b.linear(x, kernel(rng, 6, 20), normal(rng, 6, scale=0.1)))


def _wide_vgg(b: Any, rng: Rng) -> None:
    """Channels of several vectors, the last one incomplete, and maps of odd size."""
    x = b.relu(b.conv(0, kernel(rng, 40, 3, 3, 3), normal(rng, 40, scale=0.1), padding=1))
    x = b.relu(b.conv(x, kernel(rng, 36, 40, 3, 3), normal(rng, 36, scale=0.1), padding=1))
    x = b.max_pool(x, 2)
    x = b.relu(b.conv(x, kernel(rng, 20, 36, 3, 3), normal(rng, 20, scale=0.1), padding=1))
    x = b.max_pool(x, 2)
    x = b.relu(b.conv(x, kernel(rng, 24, 20, 3, 3), normal(rng, 24, scale=0.1), padding=1))
    b.flatten(b.adaptive_average_pool(x, 1))


def _narrow_vgg(b: Any, rng: Rng) -> None:
    """Two convolutions that run in one step, with incomplete blocks of channels.

    Backward, the second one and the pooling run in one step. No window covers the last row and
    column.
    """
    x = b.relu(b.conv(0, kernel(rng, 20, 3, 3, 3), normal(rng, 20, scale=0.1), padding=1))
    x = b.relu(b.conv(x, kernel(rng, 18, 20, 3, 3), normal(rng, 18, scale=0.1), padding=1))
    b.flatten(b.adaptive_average_pool(b.max_pool(x, 2), 1))


def _other_pools(b: Any, rng: Rng) -> None:
    """Poolings after 3x3 convolutions that are not 2x2, or have windows beyond the map."""
    x = b.relu(b.conv(0, kernel(rng, 9, 3, 3, 3), normal(rng, 9), padding=1))
    x = b.max_pool(x, 2, ceil_mode=True)
    x = b.relu(b.conv(x, kernel(rng, 8, 9, 3, 3), normal(rng, 8), padding=1))
    x = b.max_pool(x, 2, ceil_mode=True)
    x = b.relu(b.conv(x, kernel(rng, 10, 8, 3, 3), normal(rng, 10), padding=1))
    x = b.max_pool(x, 3, stride=2, padding=1)
    b.linear(b.flatten(b.adaptive_average_pool(x, 2)), kernel(rng, 4, 40))


def _residual(b: Any, rng: Rng) -> None:
    """Two residual blocks, the second with a projection, then global average pooling."""
    x = b.conv(0, kernel(rng, 8, 3, 3, 3), normal(rng, 8), padding=1)
    x = b.relu(b.affine(x, normal(rng, 8), normal(rng, 8)))
    y = b.relu(b.conv(x, kernel(rng, 8, 8, 3, 3), padding=1))
    y = b.conv(y, kernel(rng, 8, 8, 3, 3), padding=1)
    x = b.relu(b.add([y, x]))
    y = b.relu(b.conv(x, kernel(rng, 10, 8, 3, 3), padding=1, stride=2))
    x = b.conv(x, kernel(rng, 10, 8, 1, 1), stride=2)
    x = b.relu(b.add([x, y]))
    b.linear(b.flatten(b.adaptive_average_pool(x, 1)), kernel(rng, 5, 10), normal(rng, 5))


def _bottlenecks(b: Any, rng: Rng) -> None:
    """Residual blocks as in ResNet-50 and -34, whose sums run in the step of a convolution."""
    x = b.relu(b.conv(0, kernel(rng, 9, 3, 3, 3), normal(rng, 9, scale=0.1), padding=1))
    y = b.relu(b.conv(x, kernel(rng, 10, 9, 1, 1), normal(rng, 10, scale=0.1)))
    y = b.relu(b.conv(y, kernel(rng, 12, 10, 3, 3), normal(rng, 12), stride=2, padding=1))
    y = b.conv(y, kernel(rng, 18, 12, 1, 1), normal(rng, 18, scale=0.1))
    x = b.relu(b.add([y, b.conv(x, kernel(rng, 18, 9, 1, 1), stride=2)]))
    y = b.relu(b.conv(x, kernel(rng, 8, 18, 1, 1), normal(rng, 8, scale=0.1)))
    x = b.relu(b.add([b.conv(y, kernel(rng, 18, 8, 1, 1)), x]))
    y = b.relu(b.conv(x, kernel(rng, 18, 18, 3, 3), normal(rng, 18, scale=0.1), padding=1))
    x = b.relu(b.add([b.conv(y, kernel(rng, 18, 18, 3, 3), padding=1), x]))
    b.linear(b.flatten(b.adaptive_average_pool(x, 1)), kernel(rng, 5, 18), normal(rng, 5))


def _linear_bottlenecks(b: Any, rng: Rng) -> None:
    """Inverted residual blocks as in MobileNetV2: ReLU6, and a sum that no ReLU follows."""
    x = b.relu6(b.conv(0, 5 * kernel(rng, 9, 3, 3, 3), normal(rng, 9), stride=2, padding=1))
    x = b.relu6(b.conv(x, 3 * kernel(rng, 9, 1, 3, 3), normal(rng, 9), padding=1, groups=9))
    x = b.conv(x, kernel(rng, 8, 9, 1, 1), normal(rng, 8))
    y = b.relu6(b.conv(x, kernel(rng, 20, 8, 1, 1), normal(rng, 20)))
    y = b.relu6(b.conv(y, kernel(rng, 20, 20, 3, 3), normal(rng, 20), padding=1))
    x = b.add([x, b.conv(y, kernel(rng, 8, 20, 1, 1), normal(rng, 8))])
    x = b.flatten(b.adaptive_average_pool(b.relu6(x), 1))
    b.linear(b.relu6(b.linear(x, 4 * kernel(rng, 6, 8))), kernel(rng, 5, 6), normal(rng, 5))


def _shared_sums(b: Any, rng: Rng) -> None:
    """Sums of sums, of a map with itself, and of maps that ReLUs and convolutions read, too."""
    x = b.relu(b.conv(0, kernel(rng, 9, 3, 3, 3), normal(rng, 9, scale=0.1), padding=1))
    y = b.conv(x, kernel(rng, 9, 9, 1, 1), normal(rng, 9, scale=0.1))
    z = b.add([x, b.add([y, x]), y])
    z = b.relu(b.add([z, z]))
    u = b.relu(b.conv(z, kernel(rng, 9, 9, 3, 3), padding=1))
    v = b.conv(z, kernel(rng, 9, 9, 1, 1), normal(rng, 9, scale=0.1))
    z = b.add([b.relu(y), b.add([v, b.add([u, z])])])
    b.linear(b.flatten(b.add([z, b.relu(z)])), kernel(rng, 5, 9 * 6 * 7), normal(rng, 5))


def _activations(b: Any, rng: Rng) -> None:
    """All activations of one blocked map, whose last block is incomplete."""
    x = b.conv(0, kernel(rng, 18, 3, 3, 3), normal(rng, 18), padding=1)
    y = [function(b, x) for function in ACTIVATIONS.values()]
    x = b.add([*y, b.prelu(x, normal(rng, 18))])
    x = b.sigmoid(b.conv(b.tanh(x), kernel(rng, 9, 18, 3, 3), padding=1))
    x = b.layer_norm(x, normal(rng, 9))  # reads the channels that fill up the block
    scores = b.linear(b.flatten(b.adaptive_average_pool(b.sigmoid(x), 2)), kernel(rng, 5, 36))
    b.log_softmax(scores)


def _inception(b: Any, rng: Rng) -> None:
    """One map feeds four branches, which are concatenated and summed with themselves."""
    x = b.relu(b.conv(0, kernel(rng, 6, 3, 3, 3), padding=1))
    one = b.relu(b.conv(x, kernel(rng, 4, 6, 1, 1)))
    three = b.relu(b.conv(x, kernel(rng, 5, 6, 3, 3), padding=1))
    pooled = b.max_pool(x, 3, stride=1, padding=1)
    average = b.average_pool(x, 3, stride=1, padding=1)
    x = b.concatenate([one, three, pooled, average])
    x = b.add([x, x, x])
    b.linear(b.flatten(b.adaptive_average_pool(x, 2)), kernel(rng, 5, 84), normal(rng, 5))


def _reused_before_relu(b: Any, rng: Rng) -> None:
    """A convolution read both before and after its ReLU, and a pooled map read before pooling."""
    z = b.conv(0, kernel(rng, 6, 3, 3, 3), normal(rng, 6), padding=1)
    x = b.relu(z)
    y = b.conv(b.add([z, x]), kernel(rng, 6, 6, 3, 3), padding=1)
    pooled = b.adaptive_average_pool(b.max_pool(x, 2), 2)
    both = b.concatenate([b.adaptive_average_pool(y, 2), pooled])
    b.linear(b.flatten(both), kernel(rng, 4, 48))


def _read_first_by_others(b: Any, rng: Rng) -> None:
    """A convolution and a ReLU whose last readers, a ReLU and a pooling, may not be fused."""
    z = b.conv(0, kernel(rng, 8, 3, 3, 3), normal(rng, 8), padding=1)
    x = b.add([b.sigmoid(z), b.relu(z)])
    x = b.relu(b.conv(x, kernel(rng, 8, 8, 3, 3), padding=1))
    one = b.adaptive_average_pool(x, 2)
    both = b.concatenate([one, b.adaptive_average_pool(b.max_pool(x, 2), 2)])
    b.linear(b.flatten(both), kernel(rng, 4, 64))


def _read_by_two_convolutions(b: Any, rng: Rng) -> None:
    """A ReLU and a pooled map with two 3x3 convolutions as readers: neither may be fused."""
    x = b.relu(b.conv(0, kernel(rng, 9, 3, 3, 3), normal(rng, 9), padding=1))
    one = b.conv(x, kernel(rng, 8, 9, 3, 3), padding=1)
    x = b.add([one, b.conv(x, kernel(rng, 8, 9, 3, 3), padding=1)])
    x = b.max_pool(b.relu(b.conv(x, kernel(rng, 8, 8, 3, 3), normal(rng, 8), padding=1)), 2)
    one = b.conv(x, kernel(rng, 10, 8, 3, 3), padding=1)
    x = b.add([b.conv(x, kernel(rng, 10, 8, 3, 3), padding=1), one])
    b.linear(b.flatten(b.adaptive_average_pool(x, 2)), kernel(rng, 4, 40))


def _two_heads(b: Any, rng: Rng) -> None:
    """Two outputs; neither feeds the other."""
    x = b.relu(b.conv(0, kernel(rng, 6, 3, 3, 3), padding=1))
    flat = b.flatten(b.adaptive_average_pool(x, 2))
    b.softmax(b.linear(flat, kernel(rng, 3, 24)))
    b.linear(b.relu(b.linear(flat, kernel(rng, 7, 24))), kernel(rng, 5, 7))


def _mobile(b: Any, rng: Rng) -> None:
    """Depthwise separable blocks, batch normalisation as its own layer, ceil-mode pooling."""
    x = b.conv(0, kernel(rng, 8, 3, 3, 3), padding=1, stride=2)
    x = b.relu(b.affine(x, normal(rng, 8), normal(rng, 8)))
    x = b.relu(b.conv(x, kernel(rng, 8, 1, 3, 3), padding=1, groups=8))
    x = b.relu(b.conv(x, kernel(rng, 12, 8, 1, 1), normal(rng, 12)))
    x = b.max_pool(x, 3, stride=2, ceil_mode=True)
    x = b.relu(b.conv(x, kernel(rng, 12, 6, 3, 3), padding=2, dilation=2, groups=2))
    b.softmax(b.linear(b.flatten(b.adaptive_average_pool(x, (1, 2))), kernel(rng, 5, 24)))


def _depthwise(b: Any, rng: Rng) -> None:
    """Depthwise convolutions before, after and between ReLUs and sums, all on blocked maps."""
    x = b.relu(b.conv(0, kernel(rng, 9, 3, 3, 3), normal(rng, 9), padding=1))
    x = b.relu(b.conv(x, kernel(rng, 9, 1, 3, 3), normal(rng, 9), padding=1, groups=9))
    y = b.conv(x, kernel(rng, 9, 1, 5, 5), normal(rng, 9), padding=2, groups=9)
    x = b.relu(b.add([x, y]))
    x = b.relu6(b.conv(x, 9 * kernel(rng, 9, 1, 3, 3), padding=1, stride=2, groups=9))
    x = b.max_pool(b.relu(b.conv(x, kernel(rng, 8, 9, 3, 3), padding=1)), 2)
    x = b.conv(x, kernel(rng, 8, 1, 3, 3), padding=1, groups=8)
    b.linear(b.flatten(b.adaptive_average_pool(x, 1)), kernel(rng, 5, 8))


def _hidden_layer(b: Any, rng: Rng) -> None:
    """A linear layer of several parts; a dropout layer and a sum read its ReLU."""
    x = b.relu(b.linear(b.flatten(0), kernel(rng, 75, 60), normal(rng, 75)))
    b.linear(b.add([b.dropout(x), x]), kernel(rng, 5, 75))


def _relu_twice(b: Any, rng: Rng) -> None:
    """A ReLU of a ReLU, a ReLU of the input, and equal zeros in pooling windows."""
    x = b.relu(b.relu(0))
    x = b.max_pool(x, 2, stride=1)
    b.linear(b.flatten(b.max_pool(x, 2)), kernel(rng, 4, 18))


def _stem(b: Any, rng: Rng) -> None:
    """A first convolution of 5x5 and stride 2, which runs in one step with the second one."""
    x = b.relu(b.conv(0, kernel(rng, 20, 3, 5, 5), normal(rng, 20), padding=2, stride=2))
    x = b.relu(b.conv(x, kernel(rng, 9, 20, 3, 3), padding=1))
    b.linear(b.flatten(b.adaptive_average_pool(x, 2)), kernel(rng, 4, 36))


def _squeeze(b: Any, x: int, channels: int, rng: Rng) -> int:
    """Factors of the channels from the mean of each: a map of one position."""
    x = b.adaptive_average_pool(x, 1)
    return b.sigmoid(b.conv(x, kernel(rng, channels, channels, 1, 1), normal(rng, channels)))


def _squeeze_and_excitation(b: Any, rng: Rng) -> None:
    """Factors before and after what they scale, as a map and as a vector, and of several readers.

    After 3x3 convolutions the maps that are scaled are blocked, and the factors plain.
    """
    x = b.relu(b.conv(0, kernel(rng, 12, 3, 3, 3), normal(rng, 12), padding=1))
    x = b.multiply([_squeeze(b, x, 12, rng), x])
    x = b.conv(x, kernel(rng, 20, 12, 3, 3), normal(rng, 20), padding=1)
    x = b.multiply([x, b.flatten(_squeeze(b, x, 20, rng))])
    x = b.multiply([x, b.affine(x, normal(rng, 20), normal(rng, 20))])
    flat = b.flatten(b.adaptive_average_pool(x, 1))
    x = b.multiply([flat, b.adaptive_average_pool(x, 1)])
    b.linear(b.flatten(x), kernel(rng, 5, 20))


def _moved_channels(b: Any, rng: Rng) -> None:
    """Blocked maps whose channels are cut, joined and shuffled within and across vectors."""
    one = b.relu(b.conv(0, kernel(rng, 16, 3, 3, 3), normal(rng, 16), padding=1))
    two = b.relu(b.conv(one, kernel(rng, 19, 16, 3, 3), normal(rng, 19), padding=1))
    x = b.concatenate([one, two, b.affine(two, normal(rng, 19), normal(rng, 19)), one])
    x = b.add([b.channel_shuffle(x, 2), x, b.channel_shuffle(x, 14)])
    x = b.concatenate([b.slice(x, 32, 64), b.slice(x, 3, 36), b.slice(x, 69, 70)])
    x = b.conv(b.affine(x, normal(rng, 66), normal(rng, 66)), kernel(rng, 9, 66, 3, 3), padding=1)
    b.linear(b.flatten(b.adaptive_average_pool(x, 2)), kernel(rng, 4, 36))


def _dense(b: Any, rng: Rng) -> None:
    """Concatenations that grow; a scale and shift with its ReLU, on both layouts."""
    x = b.conv(0, kernel(rng, 12, 3, 3, 3), normal(rng, 12), padding=1)
    for channels in (12, 17, 22):
        y = b.affine(x, normal(rng, channels), normal(rng, channels))
        y = b.relu6(y) if channels == 17 else b.relu(y)
        x = b.concatenate([x, b.conv(y, kernel(rng, 5, channels, 3, 3), padding=1)])
    x = b.relu(b.affine(b.adaptive_average_pool(x, (2, 3)), normal(rng, 27), normal(rng, 27)))
    b.linear(b.flatten(x), kernel(rng, 4, 162), normal(rng, 4))


def _dense_blocks(b: Any, rng: Rng) -> None:
    """A dense block whose layers read all maps before, and maps that are joined in other ways.

    A concatenation of concatenations, one with an input twice, one whose dropout is the last to
    read it, one whose gradient is also that of a sum; two that begin with the same 23 channels; and
    a map that is cut in two.
    """
    maps = [b.relu(b.conv(0, kernel(rng, 16, 3, 3, 3), normal(rng, 16), padding=1))]
    joined = maps[:1]
    for channels in (16, 32, 48):
        y = b.relu(b.affine(joined[-1], normal(rng, channels), normal(rng, channels)))
        maps.append(b.conv(y, kernel(rng, 16, channels, 3, 3), padding=1))
        joined.append(b.concatenate(maps))
    x = b.affine(joined[3], normal(rng, 64), normal(rng, 64))
    low, high = b.slice(x, 0, 16), b.slice(x, 16, 64)
    low = b.relu(b.conv(low, kernel(rng, 16, 16, 1, 1)))
    y = b.dropout(b.concatenate([low, low, b.concatenate([b.relu(high), maps[3]])]))
    others = b.add([maps[0], maps[1]]), b.conv(joined[1], kernel(rng, 16, 32, 1, 1))
    x = b.add([y, b.concatenate([x, *others])])
    x = b.conv(b.dropout(b.concatenate([x, b.relu(x)])), kernel(rng, 7, 192, 3, 3), padding=1)
    y = b.relu(b.affine(b.concatenate([x, low]), normal(rng, 23), normal(rng, 23)))
    x = b.concatenate([x, low, b.conv(y, kernel(rng, 9, 23, 3, 3), padding=1)])
    b.linear(b.flatten(b.adaptive_average_pool(x, 2)), kernel(rng, 4, 128))


def _normalised(b: Any, rng: Rng) -> None:
    """Normalisations over channels, after layers that must leave the last block's filling zero.

    A ConvNeXt block: its layer normalisation reads what a scale per channel and a sum wrote.
    """
    x = b.conv(0, kernel(rng, 20, 3, 3, 3), normal(rng, 20), padding=1)
    x = b.local_response_norm(b.relu(x), 5, alpha=0.5)
    x = b.affine(x, normal(rng, 20), normal(rng, 20))
    x = b.local_response_norm(x, 7, alpha=1.0, k=2.0)
    y = b.layer_norm(b.slice(x, 0, 13), normal(rng, 13), normal(rng, 13))
    y = b.conv(y, kernel(rng, 20, 13, 1, 1), normal(rng, 20))
    x = b.add([x, b.affine(y, normal(rng, 20), np.zeros(20, np.float32))])
    x = b.layer_norm(b.affine(x, normal(rng, 20), normal(rng, 20)), normal(rng, 20))
    x = b.layer_norm(b.adaptive_average_pool(x, 1), normal(rng, 20), normal(rng, 20))
    b.linear(b.layer_norm(b.flatten(x), normal(rng, 20)), kernel(rng, 5, 20), normal(rng, 5))


# The maps are so wide that the first two convolutions run in one step if the maps between them are
# not kept.
FUSED_CONVOLUTIONS = [
    Case("vgg-narrow", (2, 3, 13, 151), _narrow_vgg),
    Case("vgg-wide-maps", (1, 3, 16, 224), _vgg),
    Case("stem", (1, 3, 11, 231), _stem),
]
SMALL_GRAPHS = [
    Case("vgg", (2, 3, 13, 18), _vgg),
    Case("vgg-one", (1, 3, 12, 12), _vgg),
    Case("vgg-wide", (2, 3, 15, 22), _wide_vgg),
    Case("other-pools", (2, 3, 25, 19), _other_pools),
    Case("residual", (2, 3, 9, 12), _residual),
    Case("bottlenecks", (2, 3, 13, 10), _bottlenecks),
    Case("shared-sums", (2, 3, 6, 7), _shared_sums),
    Case("linear-bottlenecks", (2, 3, 15, 12), _linear_bottlenecks),
    Case("activations", (2, 3, 7, 9), _activations),
    Case("inception", (2, 3, 8, 9), _inception),
    Case("reused-before-relu", (2, 3, 8, 6), _reused_before_relu),
    Case("read-first-by-others", (2, 3, 8, 6), _read_first_by_others),
    Case("read-by-two-convolutions", (2, 3, 9, 14), _read_by_two_convolutions),
    Case("two-heads", (3, 3, 6, 5), _two_heads),
    Case("mobile", (2, 3, 17, 15), _mobile),
    Case("depthwise", (2, 3, 14, 17), _depthwise),
    Case("hidden-layer", (3, 3, 4, 5), _hidden_layer),
    Case("squeeze-and-excitation", (2, 3, 7, 10), _squeeze_and_excitation),
    Case("dense", (2, 3, 6, 9), _dense),
    Case("dense-blocks", (2, 3, 6, 9), _dense_blocks),
    Case("dense-blocks-of-one-picture", (1, 3, 6, 9), _dense_blocks),
    Case("normalised", (2, 3, 6, 9), _normalised),
    Case("moved-channels", (2, 3, 6, 9), _moved_channels),
    Case("relu-twice", (1, 2, 7, 7), _relu_twice),
]
GRAPHS = [*SMALL_GRAPHS, *FUSED_CONVOLUTIONS]

# --- at random ---


def random_case(seed: int) -> Case:
    """A convolution or pooling of arbitrary geometry that leaves at least one position."""
    rng = np.random.default_rng(seed)

    def random_pair(low: int, high: int) -> tuple[int, int]:
        return int(rng.integers(low, high + 1)), int(rng.integers(low, high + 1))

    size, stride = random_pair(1, 5), random_pair(1, 4)
    kind = ["conv", "conv3x3", "depthwise", "max_pool", "average_pool"][seed % 5]
    if kind == "conv3x3":
        shape = (int(rng.integers(1, 6)), int(rng.integers(8, 50)), *random_pair(1, 40))
        case = conv_case(shape, int(rng.integers(8, 50)), (3, 3), padding=1)
        return Case(f"random{seed}-{kind}", shape, case.describe)
    if kind in ("conv", "depthwise"):
        groups, dilation, padding = int(rng.integers(1, 4)), random_pair(1, 3), random_pair(0, 6)
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        min_sizes = [dilation[i] * (size[i] - 1) + 1 - 2 * padding[i] for i in (0, 1)]
    else:
        groups, padding = 1, (int(rng.integers(size[0] // 2 + 1)), size[1] // 2)
        options = {"stride": stride, "padding": padding, "ceil_mode": bool(rng.integers(2))}
        min_sizes = [size[i] - 2 * padding[i] for i in (0, 1)]
        if kind == "average_pool":
            options["count_include_pad"] = bool(rng.integers(2))
    height, width = (max(min_size, 1) + int(rng.integers(12)) for min_size in min_sizes)
    shape = (int(rng.integers(1, 4)), groups * int(rng.integers(1, 9)), height, width)
    if kind == "depthwise":
        shape = (shape[0], int(rng.integers(2, 20)), height, width)
        options["groups"] = shape[1]
        case = conv_case(shape, shape[1], size, **options)
    elif kind == "conv":
        case = conv_case(shape, groups * int(rng.integers(1, 9)), size, **options)
    else:
        case = pool_case(kind, shape, size, **options)
    return Case(f"random{seed}-{kind}", shape, case.describe)


LAYERS = CONVOLUTIONS + POOLINGS + SINGLES
ALL = LAYERS + GRAPHS


def by_name(name: str) -> Case:
    return next(case for case in ALL if case.name == name)


def case_id(case: Case) -> str:
    return case.name
