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
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from gradcam._files import atomic_write
from gradcam.pictograms._described_maps import TRAINING, VALIDATION
from gradcam.pictograms._train import learning_rate, progress_bar
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


class Training:
    """One run: the network, its optimiser, its progress and its log."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.out: Path = arguments.out
        self.out.mkdir(parents=True, exist_ok=True)
        self.checkpoint = self.out / "checkpoint.pt"
        torch.manual_seed(arguments.seed)
        torch.set_num_threads(arguments.threads)
        torch.set_flush_denormal(True)  # moments of weights without gradients would be slow
        self.examples, self.unseen = self.data()
        self.net: Any = self.new_net()  # PyTorch's modules have untyped methods
        decayed = [p for p in self.net.parameters() if p.dim() > 1]
        others = [p for p in self.net.parameters() if p.dim() <= 1]
        groups: list[dict[str, Any]] = [
            {"params": decayed},
            {"params": others, "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, weight_decay=arguments.decay)
        self.epoch, self.seconds = 0, 0.0
        self.codes: Tensor | None = None
        if self.checkpoint.exists():
            self.resume()
        else:
            settings = {k: v for k, v in vars(arguments).items() if k not in ("out", "maps")}
            self.log(f"PyTorch {torch.__version__}, bfloat16 on the CPU; {settings}")
            self.log(
                f"{len(self.examples.maps)} pictures, {len(self.examples.pairs)} questions of "
                f"which {len(self.examples.texts)} differ"
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
        folder: Path = a.maps or self.out
        folder.mkdir(parents=True, exist_ok=True)
        return (
            scene_examples(folder, a.scenes, TRAINING, a.threads, "pool5"),
            scene_examples(folder, a.validation, VALIDATION, a.threads, "pool5"),
        )

    def log(self, line: str) -> None:
        """Print a line and append it to the log file."""
        print(line, flush=True)
        with (self.out / "training.log").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def save(self) -> None:
        """Write the checkpoint."""
        state = {
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "progress": (self.epoch, self.seconds),
            "random": torch.get_rng_state(),
        }
        torch.save(state, self.out / "checkpoint.new")
        os.replace(self.out / "checkpoint.new", self.checkpoint)

    def resume(self) -> None:
        """Continue from the checkpoint."""
        state = torch.load(self.checkpoint, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.epoch, self.seconds = state["progress"]
        torch.set_rng_state(state["random"])
        self.log(f"resumed after {self.epoch} epochs; planned are {self.arguments.epochs}")

    def run(self) -> None:
        """Train the rest of the epochs, then export."""
        while self.epoch < self.arguments.epochs:
            start = time.monotonic()
            loss = self.one_epoch()
            self.epoch += 1
            self.seconds += time.monotonic() - start
            shares = ", ".join(f"{kind} {share:.1%}" for kind, share in self.validate().items())
            self.log(
                f"epoch {self.epoch:2d}, {self.seconds / 60:5.1f} min, loss {loss:.4f}; "
                f"unseen: {shares}"
            )
            self.save()
        if self.arguments.blind:
            self.export_blind()
        else:
            self.export()
        self.log(f"exported after {self.seconds / 60:.1f} minutes")

    def one_epoch(self) -> float:
        """Train on all pictures once, in an order that depends on the epoch; return the loss."""
        a, count = self.arguments, len(self.examples.maps)
        first = self.code_epochs()
        if self.epoch >= first > 0:
            return self.answers_epoch()
        order = np.random.default_rng([a.seed, self.epoch]).permutation(count)
        steps = -(-count // a.batch)
        losses = []
        self.net.train()
        drawn = self.batches(self.examples, order)
        bar = progress_bar(drawn, f"epoch {self.epoch + 1}", steps)
        for number, batch in enumerate(bar):
            self.set_rate((self.epoch + number / steps) / (first or a.epochs), a.rate)
            losses.append(self.step(*batch))
        return float(np.mean(losses))

    def code_epochs(self) -> int:
        """Return in how many epochs the code learns facts alone; the questions follow."""
        a, facts = self.arguments, self.examples.facts.shape[1]
        return getattr(a, "code_epochs", 0) if facts and not a.blind else 0

    def set_rate(self, done: float, peak: float) -> None:
        """Set the learning rate at a share of a phase."""
        rate = learning_rate(done, peak)
        for group in self.optimiser.param_groups:
            group["lr"] = rate

    def answers_epoch(self) -> float:
        """Train what follows the code, which does not change, on random examples."""
        a, first = self.arguments, self.code_epochs()
        if self.codes is None:
            self.codes = self.all_codes()
        rng = np.random.default_rng([a.seed, self.epoch])
        losses = []
        self.net.train()
        for number in progress_bar(range(a.steps), f"epoch {self.epoch + 1}", a.steps):
            self.set_rate(
                (self.epoch - first + number / a.steps) / (a.epochs - first), a.answer_rate
            )
            chosen = self.examples.pairs[rng.integers(len(self.examples.pairs), size=a.examples)]
            codes = self.codes[torch.from_numpy(chosen[:, 0])]
            pairs = torch.from_numpy(chosen.copy())
            pairs[:, 0] = torch.arange(len(pairs))
            losses.append(self.update(self.loss_of_answers(self.examples, codes, pairs)))
        return float(np.mean(losses))

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
        return self.update(self.loss(*batch))

    def update(self, loss: Tensor) -> float:
        """Change the weights along a loss's gradient, and return the loss."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        return float(loss.detach())

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
        known = ~facts.isnan()
        weights = torch.from_numpy(FACT_WEIGHTS).expand_as(facts)[known]
        more = F.binary_cross_entropy_with_logits(
            told[known], facts[known], weights, reduction="sum"
        )
        return (more + seen) / len(maps)

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

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
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
    add = parser.add_argument
    add(
        "--out", type=Path, required=True, help="folder for the checkpoint, the log and the weights"
    )
    add("--maps", type=Path, help="folder for the stored maps; by default that of --out")
    add("--data", choices=("scenes", "easy-vqa"), default="scenes")
    add("--blind", action="store_true", help="train without the pictures")
    add("--scenes", type=int, default=60_000, help="scenes for training")
    add("--validation", type=int, default=2_000, help="scenes for validation")
    add("--epochs", type=int, default=11)
    add("--batch", type=int, default=128, help="pictures in a batch, with all their questions")
    add("--rate", type=float, default=2e-3, help="peak learning rate")
    add("--decay", type=float, default=0.05, help="AdamW's weight decay")
    add("--dropout", type=float, default=0.1)
    add("--code-epochs", type=int, default=7, help="of them, epochs for the picture's code alone")
    add("--answer-rate", type=float, default=6e-3, help="peak learning rate of the answers' epochs")
    add("--steps", type=int, default=250, help="steps in each of the answers' epochs")
    add("--examples", type=int, default=2048, help="examples in a batch of the answers' epochs")
    add("--threads", type=int, default=os.cpu_count() or 1)
    add("--seed", type=int, default=0)


def main(arguments: Sequence[str]) -> None:
    """Train from scratch or from the checkpoint in the folder ``--out``, then export."""
    parser = argparse.ArgumentParser(
        prog="python -m gradcam.vqa train",
        description="Train the first question answerer.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_arguments(parser)
    Training(parser.parse_args(arguments)).run()
