"""Train the attribute network from image-level labels alone.

    python -m gradcam.pictograms train-attributes --out run

The labels say which kinds of objects are in the picture, and their colours and sizes; they say
nothing about places. The convolutions then serve as the fixed first part of the captioner and of
the question answerers, as those of a network trained on ImageNet do in the papers.

The VGG was trained in two runs. The first one, without the branch for colours and from the means of
the maps alone, started from the pictogram network (`attributes-shapes.log`): it learned kinds and
sizes, and hardly any colours. The second one (`attributes-vgg.log`) starts from the first one's
convolutions, keeps those up to relu4_3, and adds the branch. Each picture depends only on its
number, so a run that is resumed from its checkpoint continues with the same pictures. Needs
PyTorch.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

from gradcam.pictograms._attribute_nets import SIDE, VGG, export
from gradcam.pictograms._attributes import ATTRIBUTES, attributes
from gradcam.pictograms._colouring import COLOURS
from gradcam.pictograms._described import NOUNS, compose_described
from gradcam.pictograms._train import learning_rate, preprocess, progress_bar

_PICTOGRAMS = Path(__file__).parent / "pictograms.safetensors"

PARTS = ("kinds", "colours", "kinds with colours", "kinds with sizes")
"""Of the attributes, in their order."""

TRAINING, VALIDATION = 0x54, 0x56
"""The second words of the seeds, which differ from all seeds of `described`."""


def training_scene(
    number: int, word: int = TRAINING
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draw picture `number`, of no layout that is for tests, with its attributes."""
    rng = np.random.default_rng([number, word])
    while True:
        drawn = compose_described(rng, SIDE)
        if not drawn.is_for_tests:
            return drawn.picture, attributes(drawn)


class Batches(IterableDataset[tuple[Tensor, Tensor]]):
    """The batches from picture `first` on; each of n workers draws every n-th batch."""

    def __init__(self, first: int, last: int, size: int) -> None:
        self.first, self.last, self.size = first, last, size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        worker = torch.utils.data.get_worker_info()
        skip, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for start in range(self.first + skip * self.size, self.last, step * self.size):
            drawn = [training_scene(number) for number in range(start, start + self.size)]
            pictures, present = zip(*drawn, strict=True)
            yield torch.from_numpy(np.stack(pictures)), torch.from_numpy(np.stack(present))


class Training:
    """One run: the network, its optimiser, its progress and its log."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.out: Path = arguments.out
        self.out.mkdir(parents=True, exist_ok=True)
        self.checkpoint = self.out / "checkpoint.pt"
        torch.manual_seed(arguments.seed)
        torch.set_num_threads(arguments.threads)
        drawn = [training_scene(n, VALIDATION) for n in range(arguments.validation)]
        pictures, present = (np.stack(each) for each in zip(*drawn, strict=True))
        self.pictures, self.present = preprocess(pictures), torch.from_numpy(present)
        self.net = VGG()
        self.net.start_from(arguments.start, self.pictures)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        decayed = [p for p in self.net.parameters() if p.dim() > 1]
        others = [p for p in self.net.parameters() if p.dim() <= 1]
        groups: list[dict[str, Any]] = [
            {"params": decayed},
            {"params": others, "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=1e-3, weight_decay=arguments.decay)
        self.done, self.seconds = 0, 0.0
        if self.checkpoint.exists():
            self.resume()
        else:
            settings = {k: v for k, v in vars(arguments).items() if k != "out"}
            self.log(f"PyTorch {torch.__version__}, bfloat16 on the CPU; {settings}")

    def log(self, line: str) -> None:
        """Print a line and append it to the log file."""
        print(line, flush=True)
        with (self.out / "training.log").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def save(self) -> None:
        """Write the checkpoint and, from the state so far, the weights."""
        state = {
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "progress": (self.done, self.seconds),
        }
        torch.save(state, self.out / "checkpoint.new")
        os.replace(self.out / "checkpoint.new", self.checkpoint)
        export(self.net, self.out / "attributes-vgg.safetensors")

    def resume(self) -> None:
        """Continue from the checkpoint."""
        state = torch.load(self.checkpoint, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.done, self.seconds = state["progress"]
        self.log(f"resumed at {self.done} pictures; planned are {self.arguments.pictures}")

    def run(self) -> None:
        """Train from picture `done` to the last; validate and save regularly."""
        a = self.arguments
        source = Batches(self.done, a.pictures, a.batch)
        loader = DataLoader(
            source, batch_size=None, num_workers=a.workers, prefetch_factor=8 if a.workers else None
        )
        losses: list[float] = []
        self.net.train()
        start = time.monotonic()
        left = -(-(a.pictures - self.done) // a.batch)
        for number, (drawn, present) in enumerate(
            progress_bar(loader, "attributes", left), start=1
        ):
            rate = learning_rate(self.done / a.pictures, a.rate)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            losses.append(self.step(preprocess(drawn.numpy()), present))
            self.done += a.batch
            if number % max(1, a.validate_every // a.batch) == 0 or self.done >= a.pictures:
                seconds = time.monotonic() - start
                self.seconds += seconds
                self.log(
                    f"{self.done:7d} pictures, {self.seconds / 60:5.1f} min, "
                    f"{len(losses) * a.batch / seconds:5.1f}/s, rate {rate:.1e}, "
                    f"loss {np.mean(losses):.3f}; validation: {self.validate()}"
                )
                self.save()
                losses.clear()
                start = time.monotonic()
        self.log(f"exported after {self.seconds / 60:.1f} minutes")

    def step(self, pictures: Tensor, present: Tensor) -> float:
        """Train on one batch and return its loss."""
        with torch.autocast("cpu", torch.bfloat16):
            scores = self.net.training_scores(pictures)
        targets = present.expand(len(scores), -1, -1)
        loss = F.binary_cross_entropy_with_logits(
            torch.stack(scores).float(), targets, reduction="sum"
        )
        loss = loss / (len(scores) * len(present))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return float(loss.detach())

    @torch.no_grad()
    def validate(self) -> str:
        """Return the shares of pictures of which everything is right, by kind of attribute."""
        self.net.eval()
        found = []
        for start in range(0, len(self.pictures), 64):
            with torch.autocast("cpu", torch.bfloat16):
                found.append(self.net(self.pictures[start : start + 64]).float() > 0)
        self.net.train()
        right = torch.cat(found) == (self.present > 0)
        ends = np.cumsum((len(NOUNS), len(COLOURS), len(NOUNS) * len(COLOURS), len(NOUNS) * 2))
        assert ends[-1] == len(ATTRIBUTES)
        parts = {
            name: slice(end - size, end)
            for name, end, size in zip(PARTS, ends, np.diff(ends, prepend=0), strict=True)
        }
        shares = {name: right[:, part].all(1).float().mean().item() for name, part in parts.items()}
        return ", ".join(f"{name} {share:.1%}" for name, share in shares.items())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the training."""
    add = parser.add_argument
    add(
        "--out", type=Path, required=True, help="folder for the checkpoint, the log and the weights"
    )
    add("--start", type=Path, default=_PICTOGRAMS, help="weights that the run starts from")
    add("--pictures", type=int, default=76_800)
    add("--batch", type=int, default=64)
    add("--rate", type=float, default=1.5e-3, help="peak learning rate")
    add("--decay", type=float, default=0.05, help="AdamW's weight decay")
    add("--validation", type=int, default=512, help="validation pictures")
    add("--validate-every", type=int, default=6_400, help="pictures between validations")
    add("--threads", type=int, default=os.cpu_count() or 1)
    add("--workers", type=int, default=1, help="processes that draw pictures")
    add("--seed", type=int, default=0)


def main(arguments: Sequence[str]) -> None:
    """Train from scratch or from the checkpoint in the folder ``--out``."""
    parser = argparse.ArgumentParser(
        prog="python -m gradcam.pictograms train-attributes",
        description="Train the attribute network from image-level labels.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_arguments(parser)
    Training(parser.parse_args(arguments)).run()
