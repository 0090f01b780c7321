"""Train the pictogram network, a narrow VGG-16, from image-level labels alone.

    python -m gradcam.pictograms train --out run

Training uses no boxes or masks: the target is the uniform distribution over the classes in the
picture, or over all classes if there is no object. The maps of the network are therefore weakly
supervised localisation, as in the papers.

There are two phases, because the convolutions can be trained mostly on small pictures:

A. pictures of 112 x 112, mostly of one object, for the convolutions with global average pooling
   of relu5_3 and one linear layer (the network of CAM, Zhou et al. 2016);
B. pictures of 224 x 224 with up to four objects, with pool5, fc6, fc7 and fc8 as in VGG-16. The
   linear layer of phase A remains as an auxiliary loss and is removed at the end.

During training, batch normalisation follows every layer but the last. It is folded into the
weights on export, so that the shipped network has only convolutions, ReLUs, pools and linear
layers. Each picture depends only on its number, so a run that is resumed from its checkpoint
continues with the same pictures. Needs PyTorch; shows the progress if tqdm is installed.

``training.log`` is the log of the run that trained the shipped weights, 66 minutes on two cores.
During that run both phases were shortened to the current defaults, so its learning rates decrease
faster than in a run with the defaults. ``weak.log`` is that of the weak network, an AlexNet that
saw 19,200 and 8,000 pictures (``--architecture alexnet --batch-a 32``); the lengths of its phases
were changed during the run.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

from gradcam.pictograms._nets import NETWORKS, PictogramNet, export
from gradcam.pictograms._scenes import CLASSES, scene
from gradcam.pictograms._training_pictures import training_picture

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
VALIDATION_SEED = 1_000_000

T = TypeVar("T")


def preprocess(pictures: NDArray[np.uint8]) -> Tensor:
    """Convert (N, H, W, 3) uint8 to the network's input, (N, 3, H, W) in channels-last order."""
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
    mean = torch.tensor(MEAN).view(3, 1, 1) * 255
    deviation = torch.tensor(DEVIATION).view(3, 1, 1) * 255
    return ((x - mean) / deviation).contiguous(memory_format=torch.channels_last)


class Batches(IterableDataset[tuple[Tensor, Tensor]]):
    """The batches of a phase, from picture `first` on; each of n workers draws every n-th batch."""

    def __init__(self, phase: str, first: int, last: int, size: int) -> None:
        self.phase, self.first, self.last, self.size = phase, first, last, size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        worker = torch.utils.data.get_worker_info()
        skip, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for start in range(self.first + skip * self.size, self.last, step * self.size):
            numbers = range(start, start + self.size)
            drawn = [training_picture(number, self.phase) for number in numbers]
            pictures, targets = zip(*drawn, strict=True)
            yield torch.from_numpy(np.stack(pictures)), torch.from_numpy(np.stack(targets))


class Validation:
    """Scenes of one and of two objects, and the accuracy of the network on them."""

    def __init__(self, scenes: int) -> None:
        self.sets = []
        for objects in (1, 2):
            seeds = range(VALIDATION_SEED * objects, VALIDATION_SEED * objects + scenes)
            drawn = [scene(seed, objects=objects) for seed in seeds]
            truth = torch.tensor([[o.index for o in s.objects] for s in drawn])
            self.sets.append((np.stack([s.picture for s in drawn]), truth))

    @torch.no_grad()
    def __call__(self, net: PictogramNet, phase: str) -> list[float]:
        """Return the accuracy on scenes of one object and on scenes of two objects."""
        net.eval()
        accuracies = []
        for pictures, truth in self.sets:
            found = []
            for start in range(0, len(pictures), 64):
                x = preprocess(pictures[start : start + 64])
                with torch.autocast("cpu", torch.bfloat16):
                    averaged, scores = net(x, phase)
                found.append((averaged if scores is None else scores).topk(truth.shape[1]).indices)
            correct = (torch.cat(found).sort().values == truth.sort().values).all(dim=1)
            accuracies.append(correct.float().mean().item())
        net.train()
        return accuracies


def learning_rate(done: float, peak: float) -> float:
    """Return the rate at the share `done` of a phase: a linear warm-up, then cosine decay."""
    warmup = 0.06
    if done < warmup:
        return peak * (0.05 + 0.95 * done / warmup)
    return peak * (0.005 + 0.995 * 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup))))


def progress_bar(batches: Iterable[T], description: str, total: int) -> Iterable[T]:
    """Return the batches with a progress bar, or unchanged if tqdm is not installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        return batches
    bar: Iterable[T] = tqdm(batches, disable=None, desc=description, total=total)
    return bar


class Training:
    """One run: the network, its optimiser, its progress and its log."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.out: Path = arguments.out
        self.out.mkdir(parents=True, exist_ok=True)
        self.checkpoint = self.out / "checkpoint.pt"
        torch.manual_seed(arguments.seed)
        torch.set_num_threads(arguments.threads)
        self.net = NETWORKS[arguments.architecture]()
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.phase, self.done, self.seconds = "A", 0, 0.0
        self.optimiser = self.new_optimiser()
        if self.checkpoint.exists():
            self.resume()
        else:
            settings = {k: v for k, v in vars(arguments).items() if k != "out"}
            self.log(f"PyTorch {torch.__version__}, bfloat16 on the CPU; {settings}")
            self.log(f"{len(CLASSES)} classes, {self.net.description}")
        self.validation = Validation(arguments.validation)

    def new_optimiser(self) -> torch.optim.AdamW:
        """Return AdamW with weight decay for the weights only, not for biases and normalisation."""
        decayed = [p for p in self.net.parameters() if p.dim() > 1]
        others = [p for p in self.net.parameters() if p.dim() <= 1]
        groups: list[dict[str, Any]] = [
            {"params": decayed},
            {"params": others, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=1e-3, weight_decay=self.arguments.decay)

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
            "progress": (self.phase, self.done, self.seconds),
        }
        # Renamed when complete, so that an interrupted run still has the previous checkpoint.
        torch.save(state, self.out / "checkpoint.new")
        os.replace(self.out / "checkpoint.new", self.checkpoint)

    def resume(self) -> None:
        """Continue from the checkpoint."""
        state = torch.load(self.checkpoint, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.phase, self.done, self.seconds = state["progress"]
        a, b = self.arguments.pictures_a, self.arguments.pictures_b
        self.log(f"resumed in phase {self.phase} at {self.done} pictures; planned are {a} and {b}")

    def run(self) -> None:
        """Run the rest of both phases, then export."""
        if self.phase == "A":
            self.run_phase(self.arguments.pictures_a, self.arguments.batch_a, self.arguments.rate_a)
            self.phase, self.done = "B", 0
            self.optimiser = self.new_optimiser()
            self.save()
        self.run_phase(self.arguments.pictures_b, self.arguments.batch_b, self.arguments.rate_b)
        export(self.net, self.out / "pictograms.safetensors")
        self.log(f"exported after {self.seconds / 60:.1f} minutes")

    def run_phase(self, pictures: int, batch: int, peak: float) -> None:
        """Train from picture `done` to the last; validate and save regularly."""
        source = Batches(self.phase, self.done, pictures, batch)
        workers = self.arguments.workers
        loader = DataLoader(
            source, batch_size=None, num_workers=workers, prefetch_factor=8 if workers else None
        )
        every = max(1, self.arguments.validate_every // batch)
        losses: list[float] = []
        self.net.train()
        start = time.monotonic()
        bar = progress_bar(loader, f"phase {self.phase}", -(-pictures // batch))
        for number, (drawn, target) in enumerate(bar, start=1):
            rate = learning_rate(self.done / pictures, peak)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            losses.append(self.step(preprocess(drawn.numpy()), target))
            self.done += batch
            if number % every == 0 or self.done >= pictures:
                seconds = time.monotonic() - start
                self.seconds += seconds
                one, two = self.validation(self.net, self.phase)
                self.log(
                    f"{self.phase} {self.done:7d} pictures, {self.seconds / 60:5.1f} min, "
                    f"{len(losses) * batch / seconds:5.1f}/s, rate {rate:.1e}, "
                    f"loss {np.mean(losses):.4f}; validation: one object {one:.1%}, "
                    f"both of two {two:.1%}"
                )
                self.save()
                losses.clear()
                start = time.monotonic()

    def step(self, pictures: Tensor, target: Tensor) -> float:
        """Train on one batch and return its loss."""
        with torch.autocast("cpu", torch.bfloat16):
            averaged, scores = self.net(pictures, self.phase)
        # The entropy of the targets is subtracted, so that the minimum of the loss is 0.
        entropy = torch.special.entr(target).sum(dim=1).mean()
        loss = F.cross_entropy(averaged.float(), target) - entropy
        if scores is not None:
            weight = self.arguments.auxiliary
            loss = weight * loss + F.cross_entropy(scores.float(), target) - entropy
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return float(loss.detach())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the training."""
    add = parser.add_argument
    add(
        "--out", type=Path, required=True, help="folder for the checkpoint, the log and the weights"
    )
    add("--architecture", choices=NETWORKS, default="vgg16")
    add("--pictures-a", type=int, default=102_400, help="number of pictures in phase A")
    add("--pictures-b", type=int, default=44_800, help="number of pictures in phase B")
    add("--batch-a", type=int, default=64)
    add("--batch-b", type=int, default=32)
    add("--rate-a", type=float, default=2e-3, help="peak learning rate of phase A")
    add("--rate-b", type=float, default=1e-3, help="peak learning rate of phase B")
    add("--decay", type=float, default=0.05, help="AdamW's weight decay")
    add("--auxiliary", type=float, default=0.5, help="weight of phase A's loss in phase B")
    add("--validation", type=int, default=200, help="validation scenes of each kind")
    add("--validate-every", type=int, default=6_400, help="pictures between validations")
    add("--threads", type=int, default=os.cpu_count() or 1)
    add("--workers", type=int, default=1, help="processes that draw pictures")
    add("--seed", type=int, default=0)


def main(arguments: Sequence[str]) -> None:
    """Train from scratch or from the checkpoint in the folder ``--out``, then export."""
    parser = argparse.ArgumentParser(
        prog="python -m gradcam.pictograms train",
        description="Train the pictogram network from image-level labels.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_arguments(parser)
    Training(parser.parse_args(arguments)).run()
