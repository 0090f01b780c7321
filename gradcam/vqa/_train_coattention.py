"""Train the co-attention question answerer.

    python -m gradcam.vqa train-coattention --out run

The attribute VGG does not change; relu5_3 is computed once and stored in the folder ``--maps``, 3
GB for 60,000 scenes. The small ResNet that follows is trained, with the attention and the answers.
In each epoch some questions of each picture are drawn anew. Its last map also learns to tell facts
about the scene, such as how many cats there are: every picture has all of them, but few questions.

``coattention.log`` is the log of the run that trained the shipped weights. Otherwise as `_train`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from gradcam.pictograms._commands import new_parser
from gradcam.pictograms._described_maps import Stored
from gradcam.pictograms._training_run import common_options
from gradcam.vqa import _file
from gradcam.vqa._coattention_net import CoAttentionNet
from gradcam.vqa._examples import FACT_WEIGHTS, Examples
from gradcam.vqa._train import Training

_Integers = NDArray[np.int64]


class CoAttentionTraining(Training):
    """One run: the network, its optimiser, its progress and its log."""

    layer: ClassVar[Stored] = "relu5_3"

    def new_net(self) -> CoAttentionNet:
        """Return the network before training."""
        a, examples = self.arguments, self.examples
        facts = examples.facts.shape[1]
        return CoAttentionNet(
            len(examples.words), len(examples.answers), facts=facts, dropout=a.dropout
        )

    def batches(self, examples: Examples, order: _Integers) -> Iterator[tuple[Tensor, ...]]:
        """Yield the maps of the pictures of each batch, in this order, questions and facts."""
        a = self.arguments
        rng = np.random.default_rng([a.seed, self.done, 1])
        for start in range(0, len(order), a.batch):
            pictures = np.sort(order[start : start + a.batch])
            maps = torch.from_numpy(np.array(examples.maps[pictures])).float()
            pairs = some(examples.of(pictures), a.questions, rng)
            yield maps, torch.from_numpy(pairs), torch.from_numpy(examples.facts[pictures])

    def loss(self, maps: Tensor, pairs: Tensor, facts: Tensor | None = None) -> Tensor:
        """Return the loss of the answers, and a share of that of the facts."""
        assert facts is not None
        with torch.autocast("cpu", torch.bfloat16):
            seen = self.net.seen(maps)
            told = self.net.told(seen).float()
        scores = self.answered_of(self.examples, seen, pairs)
        share: float = self.arguments.facts
        return F.cross_entropy(scores, pairs[:, 2]) + share * loss_of_facts(told, facts)

    def scores(self, examples: Examples, maps: Tensor, pairs: Tensor) -> Tensor:
        """Return the answers' scores for each example of a batch, (n, answers)."""
        with torch.autocast("cpu", torch.bfloat16):
            seen = self.net.seen(maps)
        return self.answered_of(examples, seen, pairs)

    def answered_of(self, examples: Examples, seen: Tensor, pairs: Tensor) -> Tensor:
        """Return the answers' scores from the last maps of the batch."""
        tokens, lengths = examples.tokens
        after = np.arange(len(tokens))[:, None] >= lengths
        words = torch.from_numpy(np.where(after, len(examples.words), tokens).T)
        asked = words[pairs[:, 1]].view(len(seen), -1, words.shape[1])
        with torch.autocast("cpu", torch.bfloat16):
            found: Tensor = self.net.answered(seen, asked)
        return found.float().flatten(0, 1)

    def export_answerer(self) -> None:
        """Write the file of the answerer."""
        tensors = {name: each.numpy() for name, each in self.net.tensors().items()}
        words, answers = self.examples.words, self.examples.answers
        content = _file.Content("coattention", tensors, words, answers)
        _file.write(content, self.out / "coattention.safetensors")


def loss_of_facts(told: Tensor, facts: Tensor) -> Tensor:
    """Return the loss of scores of facts, before the sigmoid: sums over facts, means over pictures.

    Parameters
    ----------
    told, facts : (P, F)
        NaN in `facts` where one has no meaning.
    """
    known = ~facts.isnan()
    weights = torch.from_numpy(FACT_WEIGHTS).expand_as(facts)[known]
    total = F.binary_cross_entropy_with_logits(told[known], facts[known], weights, reduction="sum")
    return total / len(facts)


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
        epochs=3,
        batch=64,
        rate=1e-3,
        decay=0.05,
        dropout=0.1,
    )
    add = parser.add_argument
    add("--questions", type=int, default=12, help="questions about each picture in an epoch")
    add("--facts", type=float, default=0.05, help="weight of the facts' loss")


def main(arguments: Sequence[str]) -> None:
    """Train from scratch or from the checkpoint in the folder ``--out``, then export."""
    parser = new_parser("vqa train-coattention", "Train the co-attention question answerer.")
    add_arguments(parser)
    parsed = parser.parse_args(arguments)
    parsed.data, parsed.blind = "scenes", False
    CoAttentionTraining(parsed).run()
