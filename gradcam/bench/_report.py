"""The arithmetic of a contest, and its tables."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from gradcam._profile import Machine
from gradcam._tables import aligned


class Ratio(NamedTuple):
    """Ratios of two programs' times, taken round by round."""

    median: float
    least: float
    most: float


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Ours by theirs: below 1, ours is faster. As many times on both sides, one for each round."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


@dataclass
class Times:
    """What one program took for one task.

    Attributes
    ----------
    label : str
        The program, in words.
    peer : str
        Its name among those of ``--against``; "" for gradcam.
    milliseconds : list of float
        One for each round.
    setting : str
        What was chosen as the fastest.
    tried : dict of str to float
        Milliseconds of each setting, when the choice was made.
    difference : float or None
        From gradcam's result, the largest by the largest value.
    """

    label: str
    peer: str
    milliseconds: list[float] = field(default_factory=list)
    setting: str = ""
    tried: dict[str, float] = field(default_factory=dict)
    difference: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.milliseconds)


@dataclass
class Result:
    """One task: gradcam's times, the others', and who could not take part."""

    task: str
    ours: Times
    others: list[Times]
    absent: list[str] = field(default_factory=list)

    def best(self) -> set[int]:
        """Positions in `others` of each peer's fastest entry, where it has several."""
        found = set()
        for peer in {times.peer for times in self.others}:
            entries = [i for i, times in enumerate(self.others) if times.peer == peer]
            if len(entries) > 1:
                found.add(min(entries, key=lambda i: self.others[i].median))
        return found

    def as_dict(self) -> dict[str, Any]:
        """Everything, with all raw times."""
        best = self.best()
        others = [
            {
                **asdict(times),
                "median": times.median,
                "best": i in best or [t.peer for t in self.others].count(times.peer) == 1,
                "ratio": ratio(self.ours.milliseconds, times.milliseconds)._asdict(),
            }
            for i, times in enumerate(self.others)
        ]
        return {
            "task": self.task,
            "gradcam": {**asdict(self.ours), "median": self.ours.median},
            "others": others,
            "absent": self.absent,
        }


def table(results: Sequence[Result], batch: int, machine: Machine, limit: float) -> str:
    """One table: all tasks of a batch on a number of threads; `limit` in GFLOP."""
    rows = [
        [
            f"batch {batch}, {machine.threads} thread{'s' * (machine.threads > 1)}, "
            f"{machine.level}; at best {machine.peak:.0f} GFLOP/s, {machine.bandwidth:.1f} GB/s; "
            f"direct limit {limit:.1f} GFLOP, {limit / machine.peak * 1e3:.1f} ms"
        ],
        ["task", "", "program", "ms", "ratio", "least", "most", "rounds", "differs by"],
    ]
    for result in results:
        best = result.best()
        ours = result.ours
        rounds = str(len(ours.milliseconds))
        rows.append([result.task, "", ours.label, f"{ours.median:.1f}", "", "", "", rounds])
        for i, times in enumerate(result.others):
            found = ratio(ours.milliseconds, times.milliseconds)
            setting = f" ({times.setting})" if times.setting else ""
            rows.append(
                [
                    "",
                    "*" if i in best else "",
                    times.label + setting,
                    f"{times.median:.1f}",
                    *(f"{value:.2f}" for value in found),
                    "",
                    "" if times.difference is None else f"{times.difference:.1e}",
                ]
            )
        rows += [[f"  {sentence}"] for sentence in result.absent]
    return aligned(rows, left=3)


LEGEND = (
    "ms: median over the rounds.  ratio: gradcam / program, median of the rounds' ratios; least "
    "and\nmost are their spread.  * the best setting of a program that has several."
)


def machine() -> dict[str, str | int]:
    """The processor, the system and the load, in words."""
    return {
        "processor": _processor(),
        "processors": os.cpu_count() or 1,
        "system": platform.platform(),
        "Python": platform.python_version(),
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
    }


def is_busy() -> bool:
    """Whether other processes kept a third of a processor or more busy in the last minute."""
    return os.getloadavg()[0] > 1 / 3


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    try:
        told = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"],
            capture_output=True,
            text=True,
            check=True,
        )
        return told.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return platform.processor() or platform.machine()
