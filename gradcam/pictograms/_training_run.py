"""What all trainings share: options, folder, log, checkpoint, learning rate; epochs.

A run is resumed from the checkpoint in its folder and continues as if it had not been stopped, if
what it draws depends only on `Run.done`. Needs PyTorch; shows the progress if tqdm is installed.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

T = TypeVar("T")
Net = TypeVar("Net", bound=nn.Module)

_OPTIONS: dict[str, tuple[type, str | None]] = {
    "scenes": (int, "scenes for training"),
    "pictures": (int, "pictures for training"),
    "validation": (int, "scenes for validation"),
    "validate_every": (int, "pictures between validations"),
    "epochs": (int, None),
    "batch": (int, "pictures in a batch"),
    "rate": (float, "peak learning rate"),
    "decay": (float, "AdamW's weight decay"),
    "dropout": (float, "share of values that are left out"),
    "workers": (int, "processes that draw pictures"),
    "threads": (int, None),
    "seed": (int, None),
}


def common_options(
    parser: argparse.ArgumentParser, *, maps: bool = False, **defaults: float
) -> None:
    """Add ``--out``, ``--threads``, ``--seed``, and those options whose defaults are given.

    Parameters
    ----------
    parser : ArgumentParser
    maps : bool
        Whether the run reads stored maps, from the folder ``--maps``.
    **defaults : float
        By name, as in `_OPTIONS`.
    """
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder for checkpoint, log and weights")
    if maps:
        add("--maps", type=Path, help="folder for the stored maps; by default that of --out")
    for name, default in (defaults | {"threads": os.cpu_count() or 1, "seed": 0}).items():
        kind, text = _OPTIONS[name]
        add(f"--{name.replace('_', '-')}", type=kind, default=default, help=text)


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


def adamw(net: nn.Module, decay: float) -> torch.optim.AdamW:
    """Return AdamW with weight decay for the weights only, not for biases and normalisation."""
    weights = [each for each in net.parameters() if each.dim() > 1]
    others = [each for each in net.parameters() if each.dim() <= 1]
    groups: list[dict[str, Any]] = [
        {"params": weights},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, weight_decay=decay)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all weights."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def descend(
    optimiser: torch.optim.Optimizer, loss: Tensor, clipped: nn.Module | None = None
) -> float:
    """Change the weights along the gradient; return the loss.

    The gradient by the weights of `clipped` is made shorter if its norm is larger than 1.
    """
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if clipped is not None:
        torch.nn.utils.clip_grad_norm_(clipped.parameters(), 1.0)
    optimiser.step()
    return float(loss.detach())


class Run(Generic[Net]):
    """One run: its folder, its log, the network, the optimiser, and the progress.

    Making one creates the folder, and sets the seed and the threads. Then :meth:`start` is called.

    Parameters
    ----------
    arguments : argparse.Namespace
        With those of :func:`common_options`.

    Attributes
    ----------
    log_name, checkpoint_name : str
        Files in the folder.
    clipped : bool
        Whether the norm of the gradient is at most 1.
    phase : str
        Of runs that have several, which one it is.
    done : int
        How many epochs, or pictures of this phase, were trained on.
    seconds : float
        Time for training so far.
    """

    log_name = "training.log"
    checkpoint_name = "checkpoint.pt"
    clipped = False
    net: Net
    optimiser: torch.optim.Optimizer

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.out: Path = arguments.out
        self.out.mkdir(parents=True, exist_ok=True)
        self.checkpoint = self.out / self.checkpoint_name
        self.phase, self.done, self.seconds = "", 0, 0.0
        torch.manual_seed(arguments.seed)
        torch.set_num_threads(arguments.threads)

    def maps_folder(self) -> Path:
        """Return the folder of the stored maps, which exists."""
        folder: Path = self.arguments.maps or self.out
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def start(self, net: Net, optimiser: torch.optim.Optimizer, *lines: str) -> None:
        """Resume from the checkpoint, or log the settings and `lines`."""
        self.net, self.optimiser = net, optimiser
        if self.checkpoint.exists():
            self._resume()
            self.log(self.resumed())
            return
        self.log_settings()
        for line in lines:
            self.log(line)

    def resumed(self) -> str:
        """Return the line of the log that says where a run was resumed."""
        raise NotImplementedError

    def log(self, line: str) -> None:
        """Print a line and append it to the log file."""
        print(line, flush=True)
        with (self.out / self.log_name).open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def log_settings(self) -> None:
        """Log the options."""
        options = vars(self.arguments).items()
        settings = {name: value for name, value in options if name not in ("out", "maps")}
        self.log(f"PyTorch {torch.__version__}, bfloat16 on the CPU; {settings}")

    def save(self) -> None:
        """Write the checkpoint; the previous one is kept until it is complete."""
        state = {
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "progress": (self.phase, self.done, self.seconds),
            "random": torch.get_rng_state(),
        }
        new = self.checkpoint.with_suffix(".new")
        torch.save(state, new)
        os.replace(new, self.checkpoint)

    def _resume(self) -> None:
        state = torch.load(self.checkpoint, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.phase, self.done, self.seconds = state["progress"]
        torch.set_rng_state(state["random"])

    def descend(self, loss: Tensor) -> float:
        """Change the weights along a loss's gradient, and return the loss."""
        return descend(self.optimiser, loss, self.net if self.clipped else None)

    def validate(self) -> str:
        """Return how good the network is at what it has not seen, for the log."""
        raise NotImplementedError

    def log_export(self) -> None:
        """Log that the weights are written, and how long the training took."""
        self.log(f"exported after {self.seconds / 60:.1f} minutes")


class EpochRun(Run[Net]):
    """A run over the same examples in each epoch; a checkpoint follows each of them."""

    def resumed(self) -> str:
        """Return the line of the log that says where a run was resumed."""
        return f"resumed after {self.done} epochs; planned are {self.arguments.epochs}"

    def run(self) -> None:
        """Train the rest of the epochs, then export."""
        while self.done < self.arguments.epochs:
            start = time.monotonic()
            loss = self.one_epoch()
            self.done += 1
            self.seconds += time.monotonic() - start
            self.log(
                f"epoch {self.done:2d}, {self.seconds / 60:5.1f} min, loss {loss:.4f}; "
                f"{self.validate()}"
            )
            self.save()
        self.export()
        self.log_export()

    def one_epoch(self) -> float:
        """Train for an epoch and return the mean loss."""
        raise NotImplementedError

    def export(self) -> None:
        """Write the trained weights."""
        raise NotImplementedError

    def train_on(
        self,
        batches: Iterable[T],
        steps: int,
        step: Callable[[T], float],
        peak: float,
    ) -> float:
        """Train on the batches of one epoch; return the mean loss.

        Parameters
        ----------
        batches : iterable
        steps : int
            How many batches there are.
        step : callable
            Trains on one batch and returns its loss.
        peak : float
            The largest learning rate.
        """
        losses = []
        self.net.train()
        bar = progress_bar(batches, f"epoch {self.done + 1}", steps)
        for number, batch in enumerate(bar):
            share = (self.done + number / steps) / self.arguments.epochs
            set_rate(self.optimiser, learning_rate(share, peak))
            losses.append(step(batch))
        return float(np.mean(losses))
