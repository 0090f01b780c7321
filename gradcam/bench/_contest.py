"""Who competes in which task, and the rounds: every program once in each, in a rotating order."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from gradcam._profile import Machine
from gradcam.bench._report import Result, Times
from gradcam.bench._worker import LONG

PAUSE = 0.1
"""Seconds before each run, for the threads of the program before to stop spinning."""

MALLOC = {
    # All of malloc's memory stays with the process, in one piece, for the next pass.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    "MALLOC_TOP_PAD_": str(1 << 26),
    "THP_MEM_ALLOC_ENABLE": "1",
}

LEVELS: dict[str, dict[str, str]] = {
    # What holds the others to a level; ONNX Runtime has nothing of the kind.
    "baseline": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    },
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
}


class Program(NamedTuple):
    """A process: the module under engines/, and the environment that it needs."""

    engine: str
    tuned: bool = False


OURS = "gradcam"
PROGRAMS = {
    OURS: Program("ours"),
    "torch": Program("pytorch"),
    "torch-tuned": Program("pytorch", tuned=True),
    "onnxruntime": Program("onnx_runtime"),
    "openvino": Program("open_vino"),
}


@dataclass(frozen=True)
class Contender:
    """One entry of a table.

    Attributes
    ----------
    label : str
        In words.
    peer : str
        Among :data:`PEERS`; "" for gradcam itself.
    program : str
        Among :data:`PROGRAMS`.
    task : str
        As that program's engine knows it.
    """

    label: str
    peer: str
    program: str
    task: str


PEERS = ("torch", "pytorch-grad-cam", "captum", "onnxruntime", "openvino")
TASKS = ("convs", "forward", "grad_cam", "grad_cam5", "guided", "start")

OTHERS: dict[str, list[Contender]] = {
    "convs": [],
    "forward": [
        Contender("PyTorch", "torch", "torch", "forward"),
        Contender("PyTorch, tuned", "torch", "torch-tuned", "forward"),
        Contender("ONNX Runtime", "onnxruntime", "onnxruntime", "forward"),
        Contender("OpenVINO, f32", "openvino", "openvino", "forward"),
    ],
    "grad_cam": [
        Contender("pytorch-grad-cam", "pytorch-grad-cam", "torch", "grad_cam_package"),
        Contender("pytorch-grad-cam, tuned", "pytorch-grad-cam", "torch-tuned", "grad_cam_package"),
        Contender("PyTorch by autograd, tuned", "torch", "torch-tuned", "grad_cam"),
    ],
    "grad_cam5": [Contender("gradcam, one class", "", OURS, "grad_cam")],
    "guided": [
        Contender("captum", "captum", "torch", "guided_package"),
        Contender("captum, tuned", "captum", "torch-tuned", "guided_package"),
        Contender("PyTorch by hooks, tuned", "torch", "torch-tuned", "guided"),
    ],
}


class Unavailable(Exception):
    """A program cannot take part; the message says why."""


class Process:
    """A program in a process of its own: see worker.py."""

    def __init__(self, name: str, weights: Path, threads: int, level: str | None) -> None:
        program = PROGRAMS[name]
        self._log = open(weights.with_name(f"{name}.log"), "w+")  # noqa: SIM115
        arguments = [program.engine, "tuned" if program.tuned else "", str(threads), str(weights)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gradcam.bench._worker", name, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment(threads, level) | (MALLOC if program.tuned else {}),
        )

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def ask(self, do: str, **command: Any) -> dict[str, Any]:
        """Have something done."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **command}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # what it had to say is still to be read
        return self.hear()

    def hear(self) -> dict[str, Any]:
        """The next answer."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._log.seek(0)
            raise Unavailable(f"ended with exit status {code}: {_last_line(self._log.read())}")
        answer: dict[str, Any] = json.loads(line)
        if "missing" in answer:
            raise Unavailable(f"{answer['missing']} is not installed")
        if "error" in answer:
            raise Unavailable(f"failed: {_short(answer['error'])}")
        return answer


def environment(threads: int, level: str | None) -> dict[str, str]:
    """What every program's process finds."""
    found = os.environ | {"OMP_NUM_THREADS": str(threads), "GRADCAM_NUM_THREADS": str(threads)}
    if level is not None:
        found |= {"GRADCAM_CPU_LEVEL": level, **LEVELS.get(level, {})}
    return found


def _last_line(text: str) -> str:
    return _short((text.strip().splitlines() or ["it said nothing"])[-1])


def _short(text: str) -> str:
    """The first line, of a length to be read."""
    line = text.partition("\n")[0]
    return line if len(line) <= 160 else f"{line[:157]}..."


class Match:
    """All tasks of one batch size on one number of threads, in processes started for it."""

    def __init__(
        self,
        weights: Path,
        *,
        batch: int,
        size: int,
        threads: int,
        level: str | None,
        against: Sequence[str],
        tasks: Sequence[str],
        layers: bool,
        progress: Callable[[str], None],
    ) -> None:
        self.weights = weights
        self.batch = batch
        self.size = size
        self.threads = threads
        self.level = level
        self.against = against
        self.tasks = tasks
        self.layers: dict[str, Any] | None = {} if layers else None
        self.progress = progress
        self.versions: dict[str, str] = {}
        self._processes: dict[str, Process] = {}
        self._absent: dict[str, str] = {}

    def play(self, limit: float, rounds: int, seconds: float) -> tuple[Machine, list[Result]]:
        """Do all tasks within about `seconds`; `limit` is the GFLOP of the direct limit."""
        end = time.monotonic() + seconds
        results: list[Result] = []
        with ExitStack() as stack:
            self._start(stack)
            machine = self._measure()
            for i, task in enumerate(self.tasks):
                self.progress(task)
                share = (end - time.monotonic()) / (len(self.tasks) - i)
                play = self._start_up if task == "start" else self._task
                results.append(play(task, rounds, share))
            if self.layers is not None:
                self.progress("layers")
                self.layers |= self._processes[OURS].ask("layers", batch=self.batch, size=self.size)
            machine |= self._measure()
        for result in results:
            if result.task == "convs":
                times = [limit / machine.peak * 1e3] * len(result.ours.milliseconds)
                result.others.append(Times("direct limit", "", times))
        return machine, results

    def _measure(self) -> Machine:
        told = self._processes[OURS].ask("measure")
        return Machine(told["level"], self.threads, told["peak"], told["bandwidth"])

    def contenders(self, task: str) -> list[Contender]:
        """Who takes part, gradcam first."""
        ours = Contender(OURS if task != "grad_cam5" else "gradcam, five classes", "", OURS, task)
        return [ours, *(c for c in OTHERS[task] if not c.peer or c.peer in self.against)]

    def _start(self, stack: ExitStack) -> None:
        """Start every program that some task needs, all at once, and wait until they are ready."""
        tasks = [task for task in self.tasks if task in OTHERS]
        names = dict.fromkeys([OURS, *(c.program for t in tasks for c in self.contenders(t))])
        for name in names:
            self._processes[name] = stack.enter_context(
                Process(name, self.weights, self.threads, self.level)
            )
        for name in names:
            try:
                self.versions |= self._processes[name].hear()["versions"]
            except Unavailable as error:
                if name == OURS:
                    raise
                self._absent[name] = str(error)

    def _task(self, task: str, rounds: int, seconds: float) -> Result:
        end = time.monotonic() + seconds
        entries: dict[Contender, Times] = {}
        absent = []
        seconds_of: list[float] = []
        for contender in self.contenders(task):
            try:
                if contender.program in self._absent:
                    raise Unavailable(self._absent[contender.program])
                told = self._processes[contender.program].ask(
                    "prepare", task=contender.task, batch=self.batch, size=self.size
                )
            except Unavailable as error:
                if contender.program == OURS:
                    raise
                absent.append(f"{contender.label}: {error}")
                continue
            seconds_of.append(told["seconds"])
            entries[contender] = Times(
                contender.label,
                contender.peer,
                setting=told["setting"],
                tried={name: 1e3 * each for name, each in told["tried"].items()},
                difference=self._difference(entries, contender),
            )
        again = max(seconds_of) < LONG  # for all of them, or for none
        round_time = (1 + again) * sum(seconds_of) + PAUSE * len(seconds_of)
        count = allowed_rounds(rounds, end - time.monotonic(), round_time)

        def run(contender: Contender) -> float:
            told = self._processes[contender.program].ask("run", task=contender.task, again=again)
            return 1e3 * float(told["seconds"])

        absent += play_rounds(entries, run, count)
        for name in {contender.program for contender in entries} - self._absent.keys():
            self._processes[name].ask("forget")
        ours, *others = entries.values()
        return Result(task, ours, others, absent)

    def _difference(self, before: Mapping[Contender, Times], contender: Contender) -> float | None:
        """How far what came out is from gradcam's."""
        ours = next(iter(before), None)
        if ours is None or contender.program == OURS:
            return None
        expected, found = (
            np.load(self.weights.with_name(f"{each.program}-{each.task}.npy"))
            for each in (ours, contender)
        )
        return float(np.abs(found - expected).max() / np.abs(expected).max())

    def _start_up(self, task: str, rounds: int, seconds: float) -> Result:
        """Whole processes, from their start to a picture on the disk."""
        from gradcam import pictograms

        end = time.monotonic() + seconds
        folder = self.weights.parent
        picture, out = pictograms.example("cat_and_dog"), folder / "out"
        commands = {
            Contender("gradcam explain", "", OURS, task): [
                *("-m", "gradcam", "explain", picture, "--weights", self.weights, "--out", out),
            ],
        }
        absent = []
        if "torch" in self.against:
            saved = folder / "weights.pt"
            save = "import sys, gradcam.bench._engines.pytorch as p; p.save(*sys.argv[1:])"
            script = Path(__file__).parent / "engines" / "explain_with_torch.py"
            contender = Contender("PyTorch, a script", "torch", "torch", task)
            try:
                self._whole(["-c", save, self.weights, saved])
                commands[contender] = [script, saved, picture, folder / "out.png", self.threads]
            except Unavailable as error:
                absent.append(f"{contender.label}: {error}")
        first = {contender: self._whole(command) for contender, command in commands.items()}
        round_time = sum(first.values()) + PAUSE * len(first)
        entries = {contender: Times(contender.label, contender.peer) for contender in commands}
        absent += play_rounds(
            entries,
            lambda contender: 1e3 * self._whole(commands[contender]),
            allowed_rounds(rounds, end - time.monotonic(), round_time),
        )
        ours, *others = entries.values()
        return Result(task, ours, others, absent)

    def _whole(self, arguments: Sequence[object]) -> float:
        """Seconds that a whole process takes."""
        begin = time.perf_counter()
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            env=environment(self.threads, self.level),
            capture_output=True,
            text=True,
        )
        seconds = time.perf_counter() - begin
        if done.returncode != 0:
            last = _last_line(done.stderr)
            missing = re.search(r"No module named '(\w+)", last)
            raise Unavailable(f"{missing[1]} is not installed" if missing else f"failed: {last}")
        return seconds


def allowed_rounds(asked: int, seconds: float, round_seconds: float) -> int:
    """Rounds that fit into the time there is: all that were asked for, one at least."""
    return min(asked, max(1, int(seconds / round_seconds)))


def play_rounds(
    entries: dict[Contender, Times], run: Callable[[Contender], float], rounds: int
) -> list[str]:
    """Run everyone `rounds` times; who fails on the way is taken out of `entries`, and told."""
    failed = []
    for number in range(rounds):
        playing = list(entries)
        first = number % len(playing)
        for contender in playing[first:] + playing[:first]:
            time.sleep(PAUSE)
            try:
                entries[contender].milliseconds.append(run(contender))
            except Unavailable as error:
                if contender.program == OURS:
                    raise
                failed.append(f"{contender.label}: {error}")
                del entries[contender]
    return failed
