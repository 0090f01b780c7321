"""Train the co-attention question answerer.

    python -m gradcam.vqa train-coattention --out run

The attribute VGG does not change; pool5 is computed once and stored in the folder ``--maps``. The
residual blocks that follow are trained, with the attention and the answers. In each epoch some
questions of each picture are drawn anew.

``coattention.log`` is the log of the run that trained the shipped weights. Otherwise as `_train`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradcam.pictograms._training_run import common_options, new_parser
from gradcam.vqa import _file
from gradcam.vqa._coattention_net import CoAttentionNet
from gradcam.vqa._examples import Examples
from gradcam.vqa._train import Training

_Integers = NDArray[np.int64]


class CoAttentionTraining(Training):
    """One run: the network, its optimiser, its progress and its log."""

    def new_net(self) -> CoAttentionNet:
        """Return the network before training."""
        a, examples = self.arguments, self.examples
        return CoAttentionNet(len(examples.words), len(examples.answers), dropout=a.dropout)

    def batches(self, examples: Examples, order: _Integers) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the maps of the pictures of each batch, in this order, and some questions."""
        a = self.arguments
        rng = np.random.default_rng([a.seed, self.done, 1])
        for start in range(0, len(order), a.batch):
            pictures = np.sort(order[start : start + a.batch])
            maps = torch.from_numpy(np.array(examples.maps[pictures])).float()
            yield maps, torch.from_numpy(some(examples.of(pictures), a.questions, rng))

    def scores(self, examples: Examples, maps: Tensor, pairs: Tensor) -> Tensor:
        """Return the answers' scores for each example of a batch, (n, answers)."""
        tokens, lengths = examples.tokens
        after = np.arange(len(tokens))[:, None] >= lengths
        words = torch.from_numpy(np.where(after, len(examples.words), tokens).T)
        asked = words[pairs[:, 1]].view(len(maps), -1, words.shape[1])
        with torch.autocast("cpu", torch.bfloat16):
            found: Tensor = self.net(maps, asked)
        return found.float().flatten(0, 1)

    def export_answerer(self) -> None:
        """Write the file of the answerer."""
        tensors = {name: each.numpy() for name, each in self.net.tensors().items()}
        words, answers = self.examples.words, self.examples.answers
        content = _file.Content("coattention", tensors, words, answers)
        _file.write(content, self.out / "coattention.safetensors")


def some(pairs: _Integers, count: int, rng: np.random.Generator) -> _Integers:
    """Return `count` random examples of each picture; again, if it has fewer.

    Parameters
    ----------
    pairs : (n, 4) array of int
        The picture of each example comes first; all examples of a picture stand together.
    """
    _, starts, sizes = np.unique(pairs[:, 0], return_index=True, return_counts=True)
    ranks = [
        np.resize(first + rng.permutation(size), count)
        for first, size in zip(starts, sizes, strict=True)
    ]
    found: _Integers = pairs[np.concatenate(ranks)]
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the training."""
    common_options(
        parser,
        maps=True,
        scenes=60_000,
        validation=2_000,
        epochs=6,
        batch=128,
        rate=1e-3,
        decay=0.05,
        dropout=0.1,
    )
    parser.add_argument(
        "--questions", type=int, default=8, help="questions about each picture in an epoch"
    )


def main(arguments: Sequence[str]) -> None:
    """Train from scratch or from the checkpoint in the folder ``--out``, then export."""
    parser = new_parser("vqa train-coattention", "Train the co-attention question answerer.")
    add_arguments(parser)
    parsed = parser.parse_args(arguments)
    parsed.data, parsed.blind = "scenes", False
    CoAttentionTraining(parsed).run()
