"""Times and rounding errors of ``conv`` and ``fc_dtype``: VGG-16, random weights, batch 1.

    python tests/bench/settings.py [ROUNDS]

All settings run once in each round, in turn. The output is the median time of the forward pass, its
ratio to that of the default (median, minimum, maximum), and the maximum difference of the scores
from those of direct convolutions with float32 weights, divided by the largest score.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np

import gradcam

SETTINGS = {
    "default": {},
    'conv="direct"': {"conv": "direct"},
    'fc_dtype="float16"': {"fc_dtype": "float16"},
    'fc_dtype="bfloat16"': {"fc_dtype": "bfloat16"},
}


def main(rounds: int = 15) -> None:
    tensors = gradcam.vgg16.random_tensors()
    x = np.random.default_rng(1).standard_normal((1, 3, 224, 224), np.float32)
    networks = {name: gradcam.vgg16(tensors, **options) for name, options in SETTINGS.items()}
    scores = {name: network.forward(x).scores for name, network in networks.items()}
    times: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(rounds):
        for name, network in networks.items():
            start = time.perf_counter()
            network.forward(x)
            times[name].append(1e3 * (time.perf_counter() - start))
    exact = scores['conv="direct"']
    for name in networks:
        ratios = [a / b for a, b in zip(times[name], times["default"], strict=True)]
        difference = np.abs(scores[name] - exact).max() / np.abs(exact).max()
        print(
            f"{name:20} {statistics.median(times[name]):7.1f} ms  ratio "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})  "
            f"scores differ by {difference:.1e}"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
