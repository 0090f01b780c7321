"""One module for each program, which is imported only in that program's process."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Batch = np.ndarray[tuple[int, int, int, int], np.dtype[np.float32]]
"""Preprocessed pictures, (N, C, H, W)."""

Run = Callable[[], NDArray[np.float32]]
"""Runs a task once, and returns the result for the first picture."""

PICTURES = "pictures"
"""The folder of the task ``stream``, beside the weights."""

STREAM_BATCH = 8
"""Pictures in a pass of the task ``stream``."""


@dataclass(frozen=True)
class Setup:
    """Settings of a program.

    Attributes
    ----------
    weights : Path
        A safetensors file.
    network : str
        The name of its constructor: "vgg16".
    threads : int
    tuned : bool
        Whether to use the settings with which users can make a program faster.
    """

    weights: Path
    network: str
    threads: int
    tuned: bool

    @property
    def pictures(self) -> list[Path]:
        """The JPEG files of the task ``stream``."""
        return sorted((self.weights.parent / PICTURES).iterdir())


class Engine(Protocol):
    """A program that has loaded the weights."""

    def versions(self) -> dict[str, str]:
        """Return the versions of the program and its packages, by name."""

    def variants(self, task: str, x: Batch) -> dict[str, Run]:
        """Return the ways to run a task on the batch `x`, by the name of the setting.

        Raises
        ------
        ModuleNotFoundError
            If the task needs a package that is not installed.
        """


def load(name: str, setup: Setup) -> Engine:
    """Load a program by its name.

    Raises
    ------
    ModuleNotFoundError
        If it is not installed.
    """
    engine: Engine = importlib.import_module(f"gradcam.bench._engines.{name}").Engine(setup)
    return engine
