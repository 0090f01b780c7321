"""Processes of the programs that are timed: persistent ones, and whole runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from gradcam.bench._machine import list_processors
from gradcam.bench._programs import MALLOC, PROGRAMS, environment

_MAX_MESSAGE = 160


class Unavailable(Exception):
    """Raised if a program cannot take part; the message says why."""


class Process:
    """A process that executes commands: see ``_worker``."""

    def __init__(
        self, name: str, network: str, weights: Path, threads: int, level: str | None
    ) -> None:
        program = PROGRAMS[name]
        self._log = open(weights.with_name(f"{name}.log"), "w+")  # noqa: SIM115
        processors = list_processors()[:-1] if program.apart else []
        arguments = [program.engine, "tuned" if program.tuned else "", str(threads)]
        arguments += [network, str(weights), ",".join(map(str, processors))]
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

    def request(self, command: str, **arguments: object) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the process has ended: receive() reports its last answer or its exit status
        return self.receive()

    def receive(self) -> dict[str, Any]:
        """Wait for the next answer."""
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
            raise Unavailable(f"failed: {_first_line(answer['error'])}")
        return answer


@contextmanager
def busy_neighbour() -> Iterator[None]:
    """Run a process that reads memory all the time, on the last processor."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gradcam.bench._neighbour", str(list_processors()[-1])],
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        if not process.stdout.readline():  # it prints a line when it begins
            raise Unavailable(f"the neighbour ended with exit status {process.wait()}")
        yield
    finally:
        process.kill()
        process.communicate()


def time_process(arguments: Sequence[object], threads: int, level: str | None) -> float:
    """Run Python with these arguments and return the seconds until the process has ended."""
    begin = time.perf_counter()
    process = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=environment(threads, level),
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - begin
    if process.returncode != 0:
        last = _last_line(process.stderr)
        missing = re.search(r"No module named '(\w+)", last)
        raise Unavailable(f"{missing[1]} is not installed" if missing else f"failed: {last}")
    return seconds


def _last_line(text: str) -> str:
    return _first_line((text.strip().splitlines() or ["no output"])[-1])


def _first_line(text: str) -> str:
    line = text.partition("\n")[0]
    return line if len(line) <= _MAX_MESSAGE else f"{line[: _MAX_MESSAGE - 3]}..."
