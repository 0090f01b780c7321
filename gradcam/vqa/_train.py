"""Train the first question answerer: deeper LSTM Q, normalised I.

    python -m gradcam.vqa train --out run
    python -m gradcam.vqa train --out run-blind --blind --epochs 2 --batch 512
    python -m gradcam.vqa train --out run-easy --data easy-vqa --epochs 30 --batch 64

The attribute VGG's convolutions up to pool5 do not change; pool5 is computed once for all scenes
and stored in the folder ``--maps``. There are two phases:

- the picture's code: two 1 x 1 convolutions, fc6 and fc7 learn to tell facts about the scene (what
  is in it, how often, and where);
- the answers: the question's LSTM and what follows it are trained on random questions, and the
  code does not change.

Without facts, as of easy-VQA, all is trained together on the answers. With ``--blind`` the code is
zero: how far the questions alone lead.

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
from gradcam.pictograms._described_maps import TRAINING, VALIDATION, Stored
from gradcam.pictograms._training_run import EpochRun, adamw, common_options, new_parser
from gradcam.vqa import _file
from gradcam.vqa._easy_vqa import easy_vqa_examples
from gradcam.vqa._examples import FACT_WEIGHTS, PLACED, Examples, scene_examples
from gradcam.vqa._nets import LSTMNet

_Integers = NDArray[np.int64]


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


class Training(EpochRun[Any]):  # PyTorch's modules have untyped methods
    """One run: the examples, the network, and their losses."""

    clipped = True
    layer: ClassVar[Stored] = "pool5"

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__(arguments)
        torch.set_flush_denormal(True)  # moments of weights without gradients would be slow
        self.examples, self.unseen = self.data()
        self.codes: Tensor | None = None
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
        facts = 0 if a.blind else examples.facts.shape[1]
        return LSTMNet(len(examples.words), len(examples.answers), a.dropout, a.blind, facts)

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
        """Train on all pictures once, in an order that depends on the epoch; return the loss."""
        a, count = self.arguments, len(self.examples.maps)
        first = self.code_epochs()
        if self.done >= first > 0:
            return self.answers_epoch()
        order = np.random.default_rng([a.seed, self.done]).permutation(count)
        drawn, steps = self.batches(self.examples, order), -(-count // a.batch)
        return self.train_on(
            drawn, steps, lambda batch: self.step(*batch), a.rate, (0, first or a.epochs)
        )

    def code_epochs(self) -> int:
        """Return in how many epochs the code learns facts alone; the questions follow."""
        a, facts = self.arguments, self.examples.facts.shape[1]
        return getattr(a, "code_epochs", 0) if facts and not a.blind else 0

    def answers_epoch(self) -> float:
        """Train what follows the code, which does not change, on random examples."""
        a = self.arguments
        codes = self.codes = self.all_codes() if self.codes is None else self.codes
        rng = np.random.default_rng([a.seed, self.done])

        def step(_: int) -> float:
            chosen = self.examples.pairs[rng.integers(len(self.examples.pairs), size=a.examples)]
            pairs = torch.from_numpy(chosen.copy())
            pairs[:, 0] = torch.arange(len(pairs))
            places = torch.from_numpy(chosen[:, 0])
            return self.descend(self.loss_of_answers(self.examples, codes[places], pairs))

        phase = (self.code_epochs(), a.epochs)
        return self.train_on(range(a.steps), a.steps, step, a.answer_rate, phase)

    @torch.no_grad()
    def all_codes(self) -> Tensor:
        """Return the code of every picture for training, (P, 512)."""
        self.net.eval()
        found = []
        for start in range(0, len(self.examples.maps), 512):
            maps = torch.from_numpy(np.array(self.examples.maps[start : start + 512])).float()
            with torch.autocast("cpu", torch.bfloat16):
                found.append(self.net.code(maps).float())
        return torch.cat(found)

    def step(self, *batch: Tensor) -> float:
        """Train on one batch and return its loss."""
        return self.descend(self.loss(*batch))

    def loss(self, maps: Tensor, pairs: Tensor, facts: Tensor | None = None) -> Tensor:
        """Return the loss of the facts while the code learns these, or else of the answers."""
        if facts is None or not self.code_epochs():
            return F.cross_entropy(self.scores(self.examples, maps, pairs), pairs[:, 2])
        with torch.autocast("cpu", torch.bfloat16):
            places = self.net.places(maps)
            codes = self.net.code_of(places)
            told = self.net.facts(codes).float()
        labels = facts[:, PLACED]
        somewhere = places.float().flatten(2).logsumexp(2)
        seen = F.binary_cross_entropy_with_logits(somewhere, labels, reduction="sum")
        return loss_of_facts(told, facts) + seen / len(maps)

    def loss_of_answers(self, examples: Examples, codes: Tensor, pairs: Tensor) -> Tensor:
        """Return the loss of the answers, from the pictures' codes."""
        return F.cross_entropy(self.answered(examples, codes, pairs), pairs[:, 2])

    def scores(self, examples: Examples, maps: Tensor, pairs: Tensor) -> Tensor:
        """Return the answers' scores for each example of a batch, (n, answers)."""
        with torch.autocast("cpu", torch.bfloat16):
            codes = self.net.code(maps)
        return self.answered(examples, codes, pairs)

    def answered(self, examples: Examples, codes: Tensor, pairs: Tensor) -> Tensor:
        """Return the answers' scores for each example, from the pictures' codes."""
        words, lengths = (torch.from_numpy(each) for each in examples.tokens)
        asked, place = pairs[:, 1].unique(return_inverse=True)
        with torch.autocast("cpu", torch.bfloat16):
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
        epochs=11,
        batch=128,
        rate=2e-3,
        decay=0.05,
        dropout=0.1,
    )
    add = parser.add_argument
    add("--data", choices=("scenes", "easy-vqa"), default="scenes")
    add("--blind", action="store_true", help="train without the pictures")
    add("--code-epochs", type=int, default=7, help="of them, epochs for the picture's code alone")
    add("--answer-rate", type=float, default=6e-3, help="peak learning rate of the answers' epochs")
    add("--steps", type=int, default=250, help="steps in each of the answers' epochs")
    add("--examples", type=int, default=2048, help="examples in a batch of the answers' epochs")


def main(arguments: Sequence[str]) -> None:
    """Train from scratch or from the checkpoint in the folder ``--out``, then export."""
    parser = new_parser("vqa train", "Train the first question answerer.")
    add_arguments(parser)
    Training(parser.parse_args(arguments)).run()
