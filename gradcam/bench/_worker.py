"""The process of one program: executes commands from standard input and prints the answers.

Commands and answers are JSON, one per line:

    {"command": "prepare", "task": T, "batch": N, "size": S}
                                       ->  {"setting": ..., "seconds": ..., "tried": ...}
    {"command": "run", "task": T, "warm_up": W, "measure": M}
                                       ->  {"seconds": ..., "yardstick": ...}
    {"command": "layers", "batch": N, "size": S, "repeat": R}
                                       ->  {"text": ..., "profile": ...}
    {"command": "clear"}                            ->  {}

The first answer, before any command, is {"versions": {...}}. If a command fails, the answer is
{"missing": PACKAGE} or {"error": MESSAGE}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from gradcam.bench._engines import Engine, Run, Setup, load
from gradcam.bench._machine import bind, read_usage
from gradcam.bench._networks import make_input

MAX_REPEATED = 1.0
"""Runs that take this many seconds or more are not repeated."""


def time_run(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


class Worker:
    """A program and the tasks that it is prepared for."""

    def __init__(self, name: str, engine: Engine, folder: Path) -> None:
        self.name = name
        self.engine = engine
        self.folder = folder
        self.runs: dict[str, Run] = {}

    def prepare(self, task: str, batch: int, size: int) -> dict[str, object]:
        """Choose the fastest setting, and save its result to a file."""
        variants = self.engine.variants(task, make_input(batch, size))
        results, times = {}, {}
        for setting, run in variants.items():
            start = time.perf_counter()
            results[setting] = run()
            times[setting] = time.perf_counter() - start
            if times[setting] < MAX_REPEATED:  # the first run of a short task is not representative
                times[setting] = min(time_run(run) for _ in range(3))
        best = min(times, key=lambda setting: times[setting])
        np.save(self.folder / f"{self.name}-{task}.npy", results[best])
        self.runs[task] = variants[best]
        return {"setting": best, "seconds": times[best], "tried": times}

    def run(self, task: str, warm_up: bool, measure: bool) -> dict[str, object]:
        """Time one run, and measure the machine if that is asked for.

        The warm-up run wakes the processors and replaces other programs' data in the caches.
        """
        if warm_up:
            self.runs[task]()
        usage, own, start = read_usage(), time.process_time(), time.perf_counter()
        self.runs[task]()
        seconds = time.perf_counter() - start
        own, later = time.process_time() - own, read_usage()
        if not measure:
            return {"seconds": seconds}
        others = stolen = None
        if usage is not None and later is not None:
            others, stolen = later.busy - usage.busy - own, later.stolen - usage.stolen
        load = {"seconds": seconds, "others": others, "stolen": stolen}
        return {"seconds": seconds, "yardstick": load | _speed()}

    def layers(self, batch: int, size: int, repeat: int) -> dict[str, object]:
        """Time gradcam's layers, forward and back to the pixels."""
        from gradcam._profile import profile
        from gradcam.bench._engines import ours

        assert isinstance(self.engine, ours.Engine)
        tape = self.engine.network.forward(make_input(batch, size))
        found = profile(tape, rule="guided", to="input", repeat=repeat)
        return {"text": str(found), "profile": found.as_dict()}

    def clear(self) -> dict[str, object]:
        """Free the memory of all tasks."""
        self.runs.clear()
        return {}

    def execute(self, command: str, arguments: Mapping[str, Any]) -> dict[str, object]:
        """Execute a command and return the answer."""
        commands: dict[str, Callable[..., dict[str, object]]] = {
            "prepare": self.prepare,
            "run": self.run,
            "layers": self.layers,
            "clear": self.clear,
        }
        return commands[command](**arguments)


def _speed() -> dict[str, object]:
    from gradcam._profile import Machine

    return asdict(Machine.measure())


def main(
    name: str,
    engine: str,
    tuned: str,
    threads: str,
    network: str,
    weights: str,
    processors: str,
) -> None:
    """Execute commands until standard input ends."""
    if processors:
        bind([int(number) for number in processors.split(",")])
    # Answers are written to the original standard output. Output of libraries is redirected to
    # standard error.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def send(answer: Mapping[str, object]) -> None:
        answers.write(json.dumps(answer) + "\n")

    path = Path(weights)
    try:
        program = load(engine, Setup(path, network, int(threads), tuned == "tuned"))
        worker = Worker(name, program, path.parent)
        send({"versions": program.versions()})
    except ModuleNotFoundError as error:
        send({"missing": error.name})
        return
    for line in sys.stdin:
        arguments = json.loads(line)
        try:
            send(worker.execute(arguments.pop("command"), arguments))
        except ModuleNotFoundError as error:
            send({"missing": error.name})
        except Exception as error:
            send({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main(*sys.argv[1:])
