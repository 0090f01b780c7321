"""VGGs for tests: random tensors of any width, a reference network, and the names of all layers.

Written from the paper and the names in torchvision and Keras, not from gradcam's tables.
"""

from __future__ import annotations

from collections.abc import Mapping

import nets
import numpy as np
import reference

CONVOLUTIONS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
NAMES = [*CONVOLUTIONS, *(f"{name}_bn" for name in CONVOLUTIONS)]
CHANNELS = (64, 128, 256, 512, 512)
EPSILON = 1e-5


def blocks(name: str) -> tuple[int, ...]:
    return CONVOLUTIONS[name.removesuffix("_bn")]


def layers(name: str) -> list[tuple[str, str, str | None]]:
    """Return the (Caffe, torchvision, Keras) names of all layers but the input, in order.

    Layers without a name in Keras have None.
    """
    found: list[tuple[str, str, str | None]] = []

    def feature(caffe: str, keras: str | None = None) -> None:
        index = sum(torchvision.startswith("features") for _, torchvision, _ in found)
        found.append((caffe, f"features.{index}", keras))

    for block, count in enumerate(blocks(name), start=1):
        for i in range(1, count + 1):
            feature(f"conv{block}_{i}")
            if name.endswith("_bn"):
                feature(f"bn{block}_{i}")
            feature(f"relu{block}_{i}", f"block{block}_conv{i}")
        feature(f"pool{block}", f"block{block}_pool")
    found += [("avgpool", "avgpool", None), ("flatten", "flatten", "flatten")]
    for i, (number, keras) in enumerate([("6", "fc1"), ("7", "fc2")]):
        found.append((f"fc{number}", f"classifier.{3 * i}", None))
        found.append((f"relu{number}", f"classifier.{3 * i + 1}", keras))
        found.append((f"drop{number}", f"classifier.{3 * i + 2}", None))
    return [*found, ("fc8", "classifier.6", None), ("prob", "prob", "predictions")]


def tensors(
    name: str = "vgg16",
    *,
    divide: int = 16,
    hidden: tuple[int, int] = (24, 20),
    classes: int = 10,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Return He-scaled random weights with torchvision's names, channels divided by `divide`."""
    rng = np.random.default_rng(seed)
    found: dict[str, np.ndarray] = {}
    channels = 3
    for caffe, torchvision, _ in layers(name):
        if caffe.startswith("conv"):
            out = CHANNELS[int(caffe[4]) - 1] // divide
            found[f"{torchvision}.weight"] = nets.kernel(rng, out, channels, 3, 3)
            found[f"{torchvision}.bias"] = nets.normal(rng, out, scale=0.1)
            channels = out
        elif caffe.startswith("bn"):
            found[f"{torchvision}.weight"] = 1 + nets.normal(rng, channels, scale=0.2)
            found[f"{torchvision}.bias"] = nets.normal(rng, channels, scale=0.1)
            found[f"{torchvision}.running_mean"] = nets.normal(rng, channels, scale=0.1)
            found[f"{torchvision}.running_var"] = rng.uniform(0.5, 2, channels).astype(np.float32)
            found[f"{torchvision}.num_batches_tracked"] = np.array(7)
    sizes = [channels * 49, *hidden, classes]
    for i in range(3):
        found[f"classifier.{3 * i}.weight"] = nets.kernel(rng, sizes[i + 1], sizes[i])
        found[f"classifier.{3 * i}.bias"] = nets.normal(rng, sizes[i + 1], scale=0.1)
    return found


def build(
    name: str, tensors: Mapping[str, np.ndarray], builder: reference.Builder
) -> tuple[reference.Network, dict[str, int]]:
    """Return a network of any builder, and the numbers of its layers by Caffe names.

    Batch normalisations are separate layers.
    """
    numbers = {"input": 0}
    x = 0
    for caffe, torchvision, _ in layers(name):
        weight, bias = tensors.get(f"{torchvision}.weight"), tensors.get(f"{torchvision}.bias")
        if caffe.startswith("conv"):
            x = builder.conv(x, weight, bias, padding=1)
        elif caffe.startswith("bn"):
            variance = np.float64(tensors[f"{torchvision}.running_var"])
            scale = weight / np.sqrt(variance + EPSILON)
            x = builder.affine(x, scale, bias - tensors[f"{torchvision}.running_mean"] * scale)
        elif caffe.startswith("relu"):
            x = builder.relu(x)
        elif caffe.startswith("pool"):
            x = builder.max_pool(x, 2)
        elif caffe == "avgpool":
            x = builder.adaptive_average_pool(x, 7)
        elif caffe == "flatten":
            x = builder.flatten(x)
        elif caffe.startswith("fc"):
            x = builder.linear(x, weight, bias)
        elif caffe.startswith("drop"):
            x = builder.dropout(x)
        else:
            x = builder.softmax(x)
        numbers[caffe] = x
    return builder.build(), numbers


def twin(name: str, tensors: Mapping[str, np.ndarray]) -> tuple[reference.Network, dict[str, int]]:
    """Return the reference network, and the numbers of its layers by Caffe names."""
    return build(name, tensors, reference.Builder(3))


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return a picture (H, W, 3) of uint8 with smooth patches, which resizing preserves."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (3, 5, 6))
    fine = reference.resize(coarse, (height, width)) + rng.uniform(-8, 8, (3, height, width))
    return np.rint(fine).clip(0, 255).astype(np.uint8).transpose(1, 2, 0).copy()
