"""Train the first question answerer: deeper LSTM Q, normalised I.

    python -m gradcam.vqa train --out run
    python -m gradcam.vqa train --out run-blind --blind --epochs 2
    python -m gradcam.vqa train --out run-easy --data easy-vqa --epochs 30 --batch 64 --rate 2e-3

The picture network, the code network, does not change; the codes of all scenes are computed once
from the maps in the folder ``--maps``, where pool5 is stored. The question's LSTM and what follows
it are trained on random questions. The codes are changed at random in training: their values are
multiplied by 0.5 to 1.5, and noise is added, since codes of scenes that trained the code have fewer
mistakes than others. Of easy-VQA the layers of the code are trained, too. With
``--blind`` the code is zero: how far the questions alone lead.

``lstm.log`` is the log of the run that trained the shipped weights, and ``blind.log`` that of
``blind.json``; other programs ran at the same time. A run that is resumed from its checkpoint,
which is written after every epoch, continues as if it had not been stopped. Needs PyTorch.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from gradcam._files import atomic_write
from gradcam.pictograms._code_nets import CodeNet
from gradcam.pictograms._commands import new_parser
from gradcam.pictograms._described_maps import TRAINING, VALIDATION
from gradcam.pictograms._training_run import EpochRun, adamw, common_options
from gradcam.vqa import _file
from gradcam.vqa._easy_vqa import easy_vqa_examples
from gradcam.vqa._examples import Examples, Read, scene_examples
from gradcam.vqa._nets import LSTMNet

_Integers = NDArray[np.int64]

_NOISE = 0.25
"""Of codes in training; the values of true facts are about 10."""


def batches(
    examples: Examples, size: int, order: _Integers
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield the maps of `size` pictures, in this order, their examples and their facts."""
    for start in range(0, len(order), size):
        pictures = np.sort(order[start : start + size])
        maps = torch.from_numpy(np.array(examples.maps[pictures])).float()
        yield (
            maps,
            torch.from_numpy(examples.of(pictures)),
            torch.from_numpy(examples.facts[pictures]),
        )


class Training(EpochRun[Any]):  # PyTorch's modules have untyped methods
    """One run: the examples, the network, and their losses."""

    clipped = True
    layer: ClassVar[Read] = "relu7"

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__(arguments)
        self.examples, self.unseen = self.data()
        net = self.new_net()
        self.start(
            net,
            adamw(net, arguments.decay),
            f"{len(self.examples.maps)} pictures, {len(self.examples.pairs)} questions of "
            f"which {len(self.examples.texts)} differ",
        )

    def new_net(self) -> nn.Module:
        """Return the network before training."""
        a, examples = self.arguments, self.examples
        code = CodeNet(a.dropout) if a.data == "easy-vqa" else None
        return LSTMNet(len(examples.words), len(examples.answers), a.dropout, a.blind, code)

    def batches(self, examples: Examples, order: _Integers) -> Iterator[tuple[Tensor, ...]]:
        """Yield what :meth:`loss` takes of the pictures of each batch, in this order."""
        return batches(examples, self.arguments.batch, order)

    def data(self) -> tuple[Examples, Examples]:
        """Return the examples for training, and unseen ones."""
        a = self.arguments
        if a.data == "easy-vqa":
            return easy_vqa_examples("train"), easy_vqa_examples("test")
        folder = self.maps_folder()
        return (
            scene_examples(folder, a.scenes, TRAINING, a.threads, self.layer),
            scene_examples(folder, a.validation, VALIDATION, a.threads, self.layer),
        )

    def one_epoch(self) -> float:
        """Train for an epoch, whose order depends on its number; return the loss."""
        rng = np.random.default_rng([self.arguments.seed, self.done])
        stored = self.layer == "relu7" and self.arguments.data == "scenes"
        return self.of_examples(rng) if stored else self.of_pictures(rng)

    def of_pictures(self, rng: np.random.Generator) -> float:
        """Train on all pictures once, each with all its examples."""
        a, count = self.arguments, len(self.examples.maps)
        drawn, steps = self.batches(self.examples, rng.permutation(count)), -(-count // a.batch)
        return self.train_on(drawn, steps, lambda batch: self.step(*batch), a.rate)

    def of_examples(self, rng: np.random.Generator) -> float:
        """Train on random examples; the codes of their pictures do not change."""
        a, examples = self.arguments, self.examples

        def step(_: int) -> float:
            chosen = examples.pairs[rng.integers(len(examples.pairs), size=a.examples)]
            codes = torch.from_numpy(examples.maps[chosen[:, 0]]).float()
            codes = codes * (0.5 + torch.rand_like(codes)) + _NOISE * torch.randn_like(codes)
            pairs = torch.from_numpy(chosen.copy())
            pairs[:, 0] = torch.arange(len(pairs))
            return self.step(F.dropout(torch.relu(codes), a.dropout), pairs)

        return self.train_on(range(a.steps), a.steps, step, a.rate)

    def step(self, *batch: Tensor) -> float:
        """Train on one batch and return its loss."""
        return self.descend(self.loss(*batch))

    def loss(self, maps: Tensor, pairs: Tensor, facts: Tensor | None = None) -> Tensor:
        """Return the loss of the answers."""
        return F.cross_entropy(self.scores(self.examples, maps, pairs), pairs[:, 2])

    def scores(self, examples: Examples, maps: Tensor, pairs: Tensor) -> Tensor:
        """Return the answers' scores for each example of a batch, (n, answers)."""
        words, lengths = (torch.from_numpy(each) for each in examples.tokens)
        asked, place = pairs[:, 1].unique(return_inverse=True)
        with torch.autocast("cpu", torch.bfloat16):
            codes = self.net.code(maps)
            pictures = self.net.seen(codes).index_select(0, pairs[:, 0])
            questions = self.net.asked(words[:, asked], lengths[asked]).index_select(0, place)
            found: Tensor = self.net(pictures, questions)
        return found.float()

    def validate(self) -> str:
        """Return the share of right answers about unseen pictures, for the log."""
        return "unseen: " + ", ".join(f"{kind} {share:.1%}" for kind, share in self.right().items())

    @torch.no_grad()
    def right(self) -> dict[str, float]:
        """Return the share of right answers about unseen pictures for each kind of question."""
        self.net.eval()
        examples = self.unseen
        right, of_kind = [], []
        order = np.arange(len(examples.maps))
        for maps, pairs, *_ in self.batches(examples, order):
            found = self.scores(examples, maps, pairs).argmax(1)
            right.append((found == pairs[:, 2]).numpy())
            of_kind.append(pairs[:, 3].numpy())
        each, kinds = np.concatenate(right), np.concatenate(of_kind)
        return {
            name: float(each[kinds == number].mean()) if (kinds == number).any() else float("nan")
            for number, name in enumerate(examples.kinds)
        }

    def export(self) -> None:
        """Write the file of the answerer, or what a blind network answers."""
        if self.arguments.blind:
            self.export_blind()
        else:
            self.export_answerer()

    def export_answerer(self) -> None:
        """Write the file of the answerer."""
        tensors = {name: each.detach().numpy() for name, each in self.net.tensors().items()}
        content = _file.Content("lstm", tensors, self.examples.words, self.examples.answers)
        _file.write(content, self.out / "lstm.safetensors")

    @torch.no_grad()
    def export_blind(self) -> None:
        """Write, for each question, what the network answers and the most frequent answer."""
        self.net.eval()
        examples = self.examples
        pairs = torch.zeros(len(examples.texts), 3, dtype=torch.int64)
        pairs[:, 1] = torch.arange(len(pairs))
        found = self.scores(examples, torch.zeros(1, *examples.maps.shape[1:]), pairs).argmax(1)
        counts = np.zeros((len(examples.texts), len(examples.answers)), np.int64)
        np.add.at(counts, (examples.pairs[:, 1], examples.pairs[:, 2]), 1)
        table = {
            text: [examples.answers[int(answer)], examples.answers[int(most)]]
            for text, answer, most in zip(examples.texts, found, counts.argmax(1), strict=True)
        }
        with atomic_write(self.out / "blind.json") as file:
            file.write(json.dumps(table, indent=0).encode())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the training."""
    common_options(
        parser,
        maps=True,
        scenes=60_000,
        validation=2_000,
        epochs=8,
        batch=128,
        rate=6e-3,
        decay=0.3,
        dropout=0.1,
    )
    add = parser.add_argument
    add("--data", choices=("scenes", "easy-vqa"), default="scenes")
    add("--blind", action="store_true", help="train without the pictures")
    add("--steps", type=int, default=250, help="steps in each epoch, of scenes")
    add("--examples", type=int, default=2048, help="examples in a batch, of scenes")


def main(arguments: Sequence[str]) -> None:
    """Train from scratch or from the checkpoint in the folder ``--out``, then export."""
    parser = new_parser("vqa train", "Train the first question answerer.")
    add_arguments(parser)
    Training(parser.parse_args(arguments)).run()
