"""What each program is told to do, one module for each; loaded in that program's process alone."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Run = Callable[[], NDArray[np.float32]]
"""Does a task once, and returns what came out for the first picture."""


@dataclass(frozen=True)
class Setup:
    """What all programs share.

    Attributes
    ----------
    weights : Path
        A safetensors file.
    threads : int
    tuned : bool
        Whether to change what users can change to make a program faster.
    """

    weights: Path
    threads: int
    tuned: bool


class Engine(Protocol):
    """One program, with the weights loaded."""

    def versions(self) -> dict[str, str]:
        """Versions of what takes part, by name."""

    def variants(self, task: str, x: NDArray[np.float32]) -> dict[str, Run]:
        """Ways to do a task on the batch `x`, by the name of the setting; the fastest counts.

        ModuleNotFoundError where the task needs a package that is not there.
        """


def load(name: str, setup: Setup) -> Engine:
    """Start the program of that name; ModuleNotFoundError where it is not there."""
    engine: Engine = importlib.import_module(f"gradcam.bench._engines.{name}").Engine(setup)
    return engine
