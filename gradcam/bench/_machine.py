"""The machine that a benchmark runs on: processor, system, load and speed."""

from __future__ import annotations

import os
import platform
from typing import NamedTuple

from gradcam._config import processor

MAX_LOAD = 1 / 3
"""The average number of busy processors in the last minute above which times are unreliable."""


def describe_machine() -> dict[str, str | int]:
    """Return the processor, the system and the load."""
    return {
        "processor": processor(),
        "processors": os.cpu_count() or 1,
        "system": platform.platform(),
        "Python": platform.python_version(),
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
    }


def is_busy() -> bool:
    """Return whether other processes used more than :data:`MAX_LOAD` in the last minute."""
    return os.getloadavg()[0] > MAX_LOAD


def list_processors() -> list[int]:
    """Return the numbers of the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def bind(processors: list[int]) -> None:
    """Let this process use only these processors, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, processors)


class Usage(NamedTuple):
    """Processor time since the system's start, in seconds, summed over all processors.

    Attributes
    ----------
    busy : float
        Of all processes and of other virtual machines.
    stolen : float
        Of other virtual machines alone, as far as they are reported.
    """

    busy: float
    stolen: float


def read_usage() -> Usage | None:
    """Return the processor time, or None where there is no ``/proc/stat``."""
    try:
        with open("/proc/stat") as file:
            return parse_usage(file.readline(), os.sysconf("SC_CLK_TCK"))
    except OSError:
        return None


def parse_usage(line: str, ticks: int) -> Usage:
    """Return the processor time in the first line of ``/proc/stat``, in `ticks` per second."""
    user, nice, system, _, _, interrupts, soft, stolen = map(int, line.split()[1:9])
    busy = user + nice + system + interrupts + soft + stolen
    return Usage(busy / ticks, stolen / ticks)
