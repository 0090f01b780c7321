"""The comparison of all programs at one batch size: rounds in which each of them runs once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gradcam import pictograms
from gradcam.bench._process import Process, Unavailable, busy_neighbour, time_process
from gradcam.bench._programs import OURS, Candidate, find_candidates
from gradcam.bench._report import Layers, Result, Table, Times, Yardstick
from gradcam.bench._worker import MAX_REPEATED

PAUSE = 0.1
"""Seconds before each run, in which threads of the previous program stop spinning."""

TORCH_SCRIPT = Path(__file__).parent / "_engines" / "explain_with_torch.py"
SAVE_FOR_TORCH = "import sys, gradcam.bench._engines.pytorch as p; p.save(*sys.argv[1:])"


@dataclass(frozen=True)
class Settings:
    """What is compared.

    Attributes
    ----------
    network : str
        The name of its constructor.
    weights : Path
        A safetensors file in a temporary folder, which is also used for other files.
    batch, size, threads : int
        Pictures in a batch, their side in pixels, and threads of each program.
    level : str or None
        The level of the kernels; None: the highest.
    against, tasks : sequence of str
        The names of peers and of tasks.
    pictures : int
        Pictures of the task ``stream``.
    layers : bool
        Whether to show the times of gradcam's layers, too.
    limit : float
        GFLOP of the direct limit, for one picture.
    reading : float
        GB of the fully connected weights.
    """

    network: str
    weights: Path
    batch: int
    size: int
    threads: int
    level: str | None
    against: Sequence[str]
    tasks: Sequence[str]
    pictures: int
    layers: bool
    limit: float
    reading: float


class Comparison:
    """All tasks at one batch size, in processes that are started for it."""

    def __init__(self, settings: Settings, progress: Callable[[str], None]) -> None:
        self.settings = settings
        self.progress = progress
        self.versions: dict[str, str] = {}
        self._processes: dict[str, Process] = {}
        self._unavailable: dict[str, str] = {}

    def run(self, rounds: int, seconds: float) -> Table:
        """Run all tasks, in about `seconds`."""
        end = time.monotonic() + seconds
        tasks = self.settings.tasks
        results: list[Result] = []
        with ExitStack() as stack:
            self._start_processes(stack)
            for i, task in enumerate(tasks):
                self.progress(task)
                share = (end - time.monotonic()) / (len(tasks) - i)
                run_task = self._run_start if task == "start" else self._run_task
                results.append(run_task(task, rounds, share))
            layers = self._time_layers()
        settings = self.settings
        limit = settings.batch * settings.limit
        return Table(settings.network, settings.batch, settings.threads, limit, results, layers)

    def _start_processes(self, stack: ExitStack) -> None:
        """Start all programs that are needed, then wait until they are ready."""
        settings = self.settings
        names = [OURS]
        for task in settings.tasks:
            if task != "start":
                names += [each.program for each in find_candidates(task, settings.against)]
        for name in dict.fromkeys(names):
            self._processes[name] = stack.enter_context(
                Process(name, settings.network, settings.weights, settings.threads, settings.level)
            )
        for name, process in self._processes.items():
            try:
                self.versions |= process.receive()["versions"]
            except Unavailable as error:
                if name == OURS:
                    raise
                self._unavailable[name] = str(error)

    def _time_layers(self) -> Layers:
        self.progress("layers")
        settings = self.settings
        answer = self._processes[OURS].request(
            "layers", batch=settings.batch, size=settings.size, repeat=5 if settings.layers else 1
        )
        return Layers(answer["text"] if settings.layers else "", answer["profile"])

    def _run_task(self, task: str, rounds: int, seconds: float) -> Result:
        """Run a task in the programs' processes."""
        end = time.monotonic() + seconds
        times, first, unavailable = self._prepare(task)
        warm_up = max(first) < MAX_REPEATED  # for all candidates or for none
        round_seconds = (1 + warm_up) * sum(first) + PAUSE * len(first)

        yardsticks: list[Yardstick] = []
        ours = next(iter(times))

        def run(candidate: Candidate) -> float:
            process, measure = self._processes[candidate.program], candidate is ours
            with busy_neighbour() if candidate.neighbour else nullcontext():
                answer = process.request(
                    "run", task=candidate.task, warm_up=warm_up, measure=measure
                )
            if measure:
                yardsticks.append(Yardstick(**answer["yardstick"]))
            return 1e3 * float(answer["seconds"])

        count = limit_rounds(rounds, end - time.monotonic(), round_seconds)
        unavailable += run_rounds(times, run, count)
        for name in {candidate.program for candidate in times}:
            with suppress(Unavailable):  # it ended; the next request reports that
                self._processes[name].request("clear")
        first_times, *others = times.values()
        others += self._limits(task, yardsticks)
        pictures = self.settings.pictures if task == "stream" else None
        return Result(task, first_times, others, unavailable, pictures, yardsticks)

    def _limits(self, task: str, yardsticks: Sequence[Yardstick]) -> list[Times]:
        """Return the time that the machine's speed in each round allows, for some tasks."""
        settings = self.settings
        if task == "convs":
            limits = [settings.batch * settings.limit / each.peak for each in yardsticks]
            return [Times("direct limit", "", [1e3 * seconds for seconds in limits])]
        if task == "fc":
            limits = [settings.reading / each.bandwidth for each in yardsticks]
            return [Times("reading limit", "", [1e3 * seconds for seconds in limits])]
        return []

    def _prepare(self, task: str) -> tuple[dict[Candidate, Times], list[float], list[str]]:
        """Prepare a task in every program.

        Returns the candidates, the seconds that each of them takes, and messages about those that
        are unavailable.
        """
        times: dict[Candidate, Times] = {}
        seconds: list[float] = []
        unavailable: list[str] = []
        for candidate in find_candidates(task, self.settings.against):
            try:
                if candidate.program in self._unavailable:
                    raise Unavailable(self._unavailable[candidate.program])
                answer = self._processes[candidate.program].request(
                    "prepare",
                    task=candidate.task,
                    batch=self.settings.batch,
                    size=self.settings.size,
                )
            except Unavailable as error:
                if candidate.is_ours:
                    raise
                unavailable.append(f"{candidate.label}: {error}")
                continue
            seconds.append(answer["seconds"])
            times[candidate] = Times(
                candidate.label,
                candidate.peer,
                setting=answer["setting"],
                tried={name: 1e3 * each for name, each in answer["tried"].items()},
                difference=self._difference(times, candidate),
            )
        return times, seconds, unavailable

    def _difference(
        self, previous: Mapping[Candidate, Times], candidate: Candidate
    ) -> float | None:
        """Return the difference of a candidate's result from that of gradcam, the first one."""
        ours = next(iter(previous), None)
        if ours is None or candidate.is_ours:
            return None
        expected, found = (
            np.load(self.settings.weights.with_name(f"{each.program}-{each.task}.npy"))
            for each in (ours, candidate)
        )
        return float(np.abs(found - expected).max() / np.abs(expected).max())

    def _run_start(self, task: str, rounds: int, seconds: float) -> Result:
        """Run whole processes, from their start to a picture on the disk."""
        end = time.monotonic() + seconds
        commands: dict[Candidate, list[object]] = {}
        first: list[float] = []
        unavailable: list[str] = []
        for candidate in find_candidates(task, self.settings.against):
            try:
                commands[candidate] = self._start_command(candidate)
                first.append(self._time_process(commands[candidate]))
            except Unavailable as error:
                if candidate.is_ours:
                    raise
                unavailable.append(f"{candidate.label}: {error}")
                commands.pop(candidate, None)
        times = {candidate: Times(candidate.label, candidate.peer) for candidate in commands}
        round_seconds = sum(first) + PAUSE * len(first)
        unavailable += run_rounds(
            times,
            lambda candidate: 1e3 * self._time_process(commands[candidate]),
            limit_rounds(rounds, end - time.monotonic(), round_seconds),
        )
        ours, *others = times.values()
        return Result(task, ours, others, unavailable)

    def _start_command(self, candidate: Candidate) -> list[object]:
        """Return the arguments of Python that explain one picture, and write what they need."""
        weights, folder = self.settings.weights, self.settings.weights.parent
        picture = pictograms.example("cat_and_dog")
        if candidate.is_ours:
            options = ["--weights", weights, "--out", folder / "out"]
            return ["-m", "gradcam", "explain", picture, *options]
        saved = folder / "weights.pt"
        self._time_process(["-c", SAVE_FOR_TORCH, weights, saved])
        return [TORCH_SCRIPT, saved, picture, folder / "out.png", self.settings.threads]

    def _time_process(self, arguments: Sequence[object]) -> float:
        return time_process(arguments, self.settings.threads, self.settings.level)


def limit_rounds(rounds: int, seconds: float, round_seconds: float) -> int:
    """Return the number of rounds that fit into `seconds`: at least 1, at most `rounds`."""
    return min(rounds, max(1, int(seconds / round_seconds)))


def run_rounds(
    times: dict[Candidate, Times], run: Callable[[Candidate], float], rounds: int
) -> list[str]:
    """Run every candidate once in each round, and add the results of `run` to its times.

    Candidates that fail are removed from `times`. Returns messages about them.
    """
    failed = []
    for number in range(rounds):
        candidates = list(times)
        first = number % len(candidates)
        for candidate in candidates[first:] + candidates[:first]:
            time.sleep(PAUSE)
            try:
                times[candidate].milliseconds.append(run(candidate))
            except Unavailable as error:
                if candidate.is_ours:
                    raise
                failed.append(f"{candidate.label}: {error}")
                del times[candidate]
    return failed
