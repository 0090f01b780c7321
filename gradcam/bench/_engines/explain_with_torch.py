"""The steps of ``gradcam explain PICTURE --weights FILE``, with PyTorch, as a script.

    python explain_with_torch.py WEIGHTS.pt PICTURE OUT.png THREADS

It starts as fast as possible: weights are mapped into memory, there are no modules whose weights
would be initialised, and torchvision is not imported.
"""

from __future__ import annotations

import sys

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

MEAN = np.array((0.485, 0.456, 0.406), np.float32)
STD = np.array((0.229, 0.224, 0.225), np.float32)


def resize(picture: Image.Image, side: int = 224) -> NDArray[np.float32]:
    """Resize the shorter side to 256 of 224, crop the centre; return (side, side, 3), 0 to 1."""
    scale = round(side * 256 / 224) / min(picture.size)
    size = (int(picture.width * scale), int(picture.height * scale))
    left, top = round((size[0] - side) / 2), round((size[1] - side) / 2)
    cropped = picture.resize(size, Image.Resampling.BILINEAR).crop(
        (left, top, left + side, top + side)
    )
    values = np.array(cropped, np.float32)
    values /= 255
    return values


def normalise(values: NDArray[np.float32]) -> torch.Tensor:
    """Return the network's input, (3, H, W)."""
    return torch.from_numpy(((values - MEAN) / STD).transpose(2, 0, 1).copy())


def grad_cam(tensors: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Return Grad-CAM of the top class at relu5_3, (1, 1, 14, 14)."""
    number = 0
    with torch.no_grad():
        for block, convolutions in enumerate((2, 2, 3, 3, 3)):
            for _ in range(convolutions):
                name = f"features.{number}"
                x = functional.conv2d(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"], 1, 1)
                x, number = x.relu_(), number + 2
            if block < 4:
                x = functional.max_pool2d(x, 2)
            number += 1
    maps = x.requires_grad_()
    x = functional.max_pool2d(maps, 2).flatten(1)
    for number in (0, 3, 6):
        name = f"classifier.{number}"
        x = functional.linear(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"])
        x = x.relu() if number < 6 else x
    (gradient,) = torch.autograd.grad(x.max(), maps)
    return (gradient.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True).detach().relu()


def main(weights: str, file: str, out: str, threads: str) -> None:
    torch.set_num_threads(int(threads))
    picture = Image.open(file).convert("RGB")
    tensors = torch.load(weights, mmap=True, weights_only=True)
    cam = grad_cam(tensors, normalise(resize(picture))[None])
    side = (picture.height, picture.width)
    large = functional.interpolate(cam, side, mode="bilinear", align_corners=False)[0, 0].numpy()
    scaled = (large - large.min()) / max(float(np.ptp(large)), 1e-30)
    heat = matplotlib.colormaps["jet"](scaled)[..., :3] * 255
    mixed = (0.5 * heat + 0.5 * np.asarray(picture)).astype(np.uint8)
    Image.fromarray(mixed).save(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
