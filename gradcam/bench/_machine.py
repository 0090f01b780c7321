"""The machine that a benchmark runs on: processor, system and load."""

from __future__ import annotations

import os
import platform
import subprocess

MAX_LOAD = 1 / 3
"""The average number of busy processors in the last minute above which times are unreliable."""


def describe_machine() -> dict[str, str | int]:
    """Return the processor, the system and the load."""
    return {
        "processor": _processor(),
        "processors": os.cpu_count() or 1,
        "system": platform.platform(),
        "Python": platform.python_version(),
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
    }


def is_busy() -> bool:
    """Return whether other processes used more than :data:`MAX_LOAD` in the last minute."""
    return os.getloadavg()[0] > MAX_LOAD


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    try:
        result = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"],
            capture_output=True,
            text=True,
            check=True,
        )
        return result.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return platform.processor() or platform.machine()
