"""Train the linear layer of the network that ends in global average pooling.

    python -m gradcam.pictograms train-gap --out gap.safetensors

CAM (Zhou et al. 2016) needs such a network. It has the convolutions of the pictogram network as
they are; the mean of each map of relu5_3 goes into one linear layer, which this file trains. Like
the network, it sees the classes of a picture and no positions. The pictures are those of phase B
of `_train`, with numbers that the network was not trained on. Needs PyTorch.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch.nn import functional as F

from gradcam._methods.passes import bar, batches, positive
from gradcam.pictograms._commands import new_parser
from gradcam.pictograms._networks import FEATURES, model, with_gap
from gradcam.pictograms._scenes import scene
from gradcam.pictograms._train import VALIDATION_SEED
from gradcam.pictograms._training_pictures import training_picture

FIRST = 1_000_000
"""The number of the first picture."""

_BATCH = 16

_F32 = NDArray[np.float32]


def features(pictures: int, progress: bool) -> tuple[_F32, _F32]:
    """Return the mean of each map for each picture, (N, K), and the classes, (N, C)."""
    network = model()
    means, targets = [], []
    with bar(pictures, "pictures", progress) as done:
        for part in batches(pictures, _BATCH):
            numbers = range(FIRST + part.start, FIRST + part.stop)
            drawn = [training_picture(number, "B") for number in numbers]
            tape = network.forward([picture for picture, _ in drawn], record=False)
            means.append(tape.activation(FEATURES).mean((2, 3)))
            targets += [target for _, target in drawn]
            done(len(drawn))
    return np.concatenate(means), np.stack(targets)


def fit(means: _F32, targets: _F32, decay: float, iterations: int) -> tuple[_F32, _F32]:
    """Return the weight (C, K) and the bias (C,) of least cross-entropy, by L-BFGS.

    `decay` times half the squared weights, each for a feature of standard deviation 1, is added.
    """
    torch.manual_seed(0)
    x, y = torch.from_numpy(means).double(), torch.from_numpy(targets).double()
    centre, size = x.mean(0), x.std(0) + 1e-6
    x = (x - centre) / size
    weight = torch.zeros(y.shape[1], x.shape[1], dtype=torch.double, requires_grad=True)
    bias = torch.zeros(y.shape[1], dtype=torch.double, requires_grad=True)
    search = torch.optim.LBFGS([weight, bias], max_iter=iterations, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        search.zero_grad()
        found = F.cross_entropy(x @ weight.T + bias, y) + decay / 2 * weight.square().sum()
        found.backward()  # type: ignore[no-untyped-call]
        return found

    search.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        plain = weight / size
        shift = bias - plain @ centre
    return plain.float().numpy(), shift.float().numpy()


def accuracy(weight: _F32, bias: _F32, objects: int, scenes: int) -> float:
    """Return the share of validation scenes whose classes have the highest scores."""
    network = with_gap(weight, bias)
    seeds = range(VALIDATION_SEED * objects, VALIDATION_SEED * objects + scenes)
    right = 0
    for part in batches(scenes, _BATCH):
        drawn = [scene(seeds[n], objects=objects) for n in range(part.start, part.stop)]
        scores = network.forward([each.picture for each in drawn], record=False).scores
        first = np.argsort(-scores, axis=1)[:, :objects]
        truth = np.array([[each.index for each in one.objects] for one in drawn])
        right += int((np.sort(first) == np.sort(truth)).all(1).sum())
    return right / scenes


def _check(options: argparse.Namespace) -> None:
    """Raise ValueError if an option cannot be used, before the long work."""
    for name in ("pictures", "iterations", "validation"):
        positive(f"--{name}", getattr(options, name))
    if not 0 <= options.decay < math.inf:
        raise ValueError(f"--decay: expected a number of 0 or more, got {options.decay}")
    folder = options.out.absolute().parent
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise ValueError(f"--out: {folder} is not a folder that can be written to")
    if options.out.is_dir():
        raise ValueError(f"--out: expected the name of a file, got the folder {options.out}")


def main(arguments: Sequence[str]) -> None:
    """Train the layer, print its accuracy and write the file ``--out``."""
    description = "Train the linear layer of the network that ends in global average pooling."
    parser = new_parser("pictograms train-gap", description)
    add = parser.add_argument
    add("--out", type=Path, default=Path("gap.safetensors"), help="the file to write")
    add("--pictures", type=int, default=6000)
    add("--decay", type=float, default=1e-3)
    add("--iterations", type=int, default=500)
    add("--validation", type=int, default=200, help="validation scenes of each kind")
    options = parser.parse_args(arguments)
    try:
        _check(options)
    except ValueError as error:
        parser.error(str(error))
    weight, bias = fit(*features(options.pictures, True), options.decay, options.iterations)
    one, two = (accuracy(weight, bias, objects, options.validation) for objects in (1, 2))
    print(f"accuracy on {options.validation} scenes of one object {one:.1%}, of two {two:.1%}")
    tensors = {"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)}
    save_file(tensors, options.out)
