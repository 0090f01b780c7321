"""One program's process: it waits for a command on standard input, does it, and answers.

Commands and answers are JSON, one a line:

    {"do": "prepare", "task": T, "batch": N, "size": S}  ->  {"setting": ..., "seconds": ...}
    {"do": "run", "task": T, "again": A}                 ->  {"seconds": ...}
    {"do": "layers", "batch": N, "size": S}              ->  {"text": ..., "profile": ...}
    {"do": "measure"}                                    ->  {"peak": ..., "bandwidth": ...}
    {"do": "forget"}                                     ->  {}

The first answer, without a command, is {"versions": {...}}. What cannot be done is answered with
{"missing": PACKAGE} or {"error": SENTENCE}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcam.bench._engines import Engine, Run, Setup, load

SEED = 1
LONG = 1.0
"""Seconds from which on a run is not repeated to be sure of its time."""


def picture(batch: int, size: int) -> NDArray[np.float32]:
    """The input of every program."""
    shape = (batch, 3, size, size)
    return np.random.default_rng(SEED).standard_normal(shape, np.float32)


def timed(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


class Worker:
    """A program, and the tasks that it is prepared for."""

    def __init__(self, name: str, engine: Engine, folder: Path) -> None:
        self.name = name
        self.engine = engine
        self.folder = folder
        self.runs: dict[str, Run] = {}

    def prepare(self, task: str, batch: int, size: int) -> dict[str, Any]:
        """Choose the fastest setting, after a first run that also leaves what came out."""
        variants = self.engine.variants(task, picture(batch, size))
        results, times = {}, {}
        for setting, run in variants.items():
            start = time.perf_counter()
            results[setting] = run()
            times[setting] = time.perf_counter() - start
            if times[setting] < LONG:  # else what a first run takes longer does not matter
                times[setting] = min(timed(run) for _ in range(3))
        best = min(times, key=lambda setting: times[setting])
        np.save(self.folder / f"{self.name}-{task}.npy", results[best])
        self.runs[task] = variants[best]
        return {"setting": best, "seconds": times[best], "tried": times}

    def run(self, task: str, again: bool) -> dict[str, Any]:
        """Time a run, or the second of two: the first finds idle processors, and the caches full
        of another program's data."""
        if again:
            self.runs[task]()
        return {"seconds": timed(self.runs[task])}

    def layers(self, batch: int, size: int) -> dict[str, Any]:
        """The layers of gradcam, the one engine that tells them: forward, and to the pixels."""
        ours: Any = self.engine
        profile = ours.network.forward(picture(batch, size)).profile(rule="guided", to="input")
        return {"text": str(profile), "profile": profile.as_dict()}

    def measure(self) -> dict[str, Any]:
        from gradcam._profile import Machine

        machine = Machine.measure()
        return {"level": machine.level, "peak": machine.peak, "bandwidth": machine.bandwidth}

    def forget(self) -> dict[str, Any]:
        self.runs.clear()
        return {}

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do what a command says."""
        do = command.pop("do")
        answer: dict[str, Any] = getattr(self, do)(**command)
        return answer


def main(name: str, engine: str, tuned: str, threads: str, weights: str) -> None:
    """Serve until standard input ends."""
    # Answers go where standard output went; what libraries print goes to standard error.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def tell(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")

    path = Path(weights)
    try:
        program = load(engine, Setup(path, int(threads), tuned == "tuned"))
        worker = Worker(name, program, path.parent)
        tell({"versions": program.versions()})
    except ModuleNotFoundError as error:
        tell({"missing": error.name})
        return
    for line in sys.stdin:
        try:
            tell(worker.answer(json.loads(line)))
        except ModuleNotFoundError as error:
            tell({"missing": error.name})
        except Exception as error:
            tell({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main(*sys.argv[1:])
