"""VGG-16 at 224x224 against PyTorch: the same weights and picture, interleaved in one run.

    python tests/bench/against_torch.py [ROUNDS]

Prints, for forward, forward + Grad-CAM at relu5_3, and forward + guided backprop, the median
time of each side and the median and spread of the ratios taken round by round. PyTorch runs in
inference mode where no gradient is needed; its backward passes are autograd's, with the guided
rule as a tensor hook, as captum and pytorch-grad-cam do it.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

import gradcam


def torch_vgg16(tensors: dict[str, np.ndarray]) -> nn.Sequential:
    """torchvision's VGG-16, spelt out: torchvision itself is not needed."""
    layers: list[nn.Module] = []
    channels, number = 3, 0
    for convolutions in gradcam.vgg16.blocks:
        for _ in range(convolutions):
            weight = tensors[f"features.{number}.weight"]
            layers += [nn.Conv2d(channels, len(weight), 3, padding=1), nn.ReLU()]
            layers[-2].load_state_dict(
                {p: torch.from_numpy(tensors[f"features.{number}.{p}"]) for p in ("weight", "bias")}
            )
            channels, number = len(weight), number + 2
        layers.append(nn.MaxPool2d(2))
        number += 1
    layers.append(nn.Flatten())
    for number in (0, 3, 6):
        weight = tensors[f"classifier.{number}.weight"]
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        layer.load_state_dict(
            {p: torch.from_numpy(tensors[f"classifier.{number}.{p}"]) for p in ("weight", "bias")}
        )
        layers += [layer] if number == 6 else [layer, nn.ReLU()]
    return nn.Sequential(*layers).eval()


def torch_grad_cam(model: nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    maps = model[:30](x).requires_grad_()  # relu5_3 and what is below needs no gradient
    scores = model[30:](maps)
    (gradient,) = torch.autograd.grad(scores.max(), maps)
    return (gradient.mean((2, 3), keepdim=True) * maps).sum(1).relu()


def torch_guided(model: nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    x = x.clone().requires_grad_()
    values = x
    for layer in model:
        values = layer(values)
        if isinstance(layer, nn.ReLU):
            values.register_hook(lambda gradient: gradient.clamp(min=0))
    (gradient,) = torch.autograd.grad(values.max(), x)
    return gradient


def timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main(rounds: int) -> None:
    torch.set_num_threads(gradcam.get_num_threads())
    tensors = gradcam.vgg16.random_tensors(seed=0)
    network = gradcam.vgg16(tensors)
    model = torch_vgg16(tensors).requires_grad_(False)
    picture = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    x = torch.from_numpy(picture)

    def torch_forward() -> torch.Tensor:
        with torch.inference_mode():
            return model(x)

    scores = network.forward(picture).scores
    error = np.abs(scores - torch_forward().numpy()).max() / np.abs(scores).max()
    gradcam.show_config()
    print(f"PyTorch     {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"largest difference of the scores: {error:.1e} of the largest\n")
    pairs = {
        "forward": (lambda: network.forward(picture).scores, torch_forward),
        "forward + Grad-CAM": (
            lambda: network.forward(picture[0]).grad_cam().raw,
            lambda: torch_grad_cam(model, x),
        ),
        "forward + guided backprop": (
            lambda: network.forward(picture[0]).guided_backprop().raw,
            lambda: torch_guided(model, x),
        ),
    }
    title = f"ms, median of {rounds}"
    print(f"{title:28}{'gradcam':>9}{'PyTorch':>9}{'ratio':>8}   (least, most)")
    for name, (ours, theirs) in pairs.items():
        ours(), theirs()
        times = [(timed(ours), timed(theirs)) for _ in range(rounds)]
        ratios = [a / b for a, b in times]
        mine, peer = (1e3 * statistics.median(column) for column in zip(*times, strict=True))
        print(
            f"{name:28}{mine:9.1f}{peer:9.1f}{statistics.median(ratios):8.2f}"
            f"   ({min(ratios):.2f}, {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
