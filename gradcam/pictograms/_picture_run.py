"""What trainings over numbered pictures share: batches, what networks read, and the loop."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from gradcam.pictograms._training_run import Net, Run, learning_rate, progress_bar, set_rate

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def preprocess(pictures: NDArray[np.uint8]) -> Tensor:
    """Convert (N, H, W, 3) uint8 to the network's input, (N, 3, H, W) in channels-last order."""
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
    mean = torch.tensor(MEAN).view(3, 1, 1) * 255
    deviation = torch.tensor(DEVIATION).view(3, 1, 1) * 255
    return ((x - mean) / deviation).contiguous(memory_format=torch.channels_last)


class NumberedBatches(IterableDataset[tuple[Tensor, ...]]):
    """Batches of numbered pictures, from `first` on; of n workers each draws every n-th one."""

    def __init__(self, first: int, last: int, size: int) -> None:
        self.first, self.last, self.size = first, last, size

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        worker = torch.utils.data.get_worker_info()
        skip, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for start in range(self.first + skip * self.size, self.last, step * self.size):
            yield self.drawn(range(start, start + self.size))

    def drawn(self, numbers: range) -> tuple[Tensor, ...]:
        """Return the pictures with these numbers, and their labels."""
        raise NotImplementedError


class PictureRun(Run[Net]):
    """A run over numbered pictures, each of which is seen once."""

    def resumed(self) -> str:
        """Return the line of the log that says where a run was resumed."""
        planned = self.arguments.pictures
        return f"{self._label()}resumed at {self.done} pictures; planned are {planned}"

    def _label(self) -> str:
        return f"{self.phase} " if self.phase else ""

    def step(self, *batch: Tensor) -> float:
        """Train on one batch and return its loss."""
        raise NotImplementedError

    def train_on(self, batches: NumberedBatches, peak: float) -> None:
        """Train from picture `done` to the last; validate, log and save regularly.

        Parameters
        ----------
        batches : NumberedBatches
            From picture `done` on.
        peak : float
            The largest learning rate.
        """
        a, size, last = self.arguments, batches.size, batches.last
        every = max(1, a.validate_every // size)
        loader = DataLoader(
            batches,
            batch_size=None,
            num_workers=a.workers,
            prefetch_factor=8 if a.workers else None,
            generator=torch.Generator(),  # its own, so that a resumed run draws the same dropout
        )
        losses: list[float] = []
        start = time.monotonic()
        self.net.train()
        bar = progress_bar(loader, self.phase or "pictures", -(-(last - self.done) // size))
        for number, batch in enumerate(bar, start=1):
            rate = learning_rate(self.done / last, peak)
            set_rate(self.optimiser, rate)
            losses.append(self.step(*batch))
            self.done += size
            if number % every == 0 or self.done >= last:
                seconds = time.monotonic() - start
                self.seconds += seconds
                self.log(
                    f"{self._label()}{self.done:7d} pictures, {self.seconds / 60:5.1f} min, "
                    f"{len(losses) * size / seconds:5.1f}/s, rate {rate:.1e}, "
                    f"loss {np.mean(losses):.4f}; validation: {self.validate()}"
                )
                self.save()
                losses.clear()
                start = time.monotonic()
                self.net.train()
