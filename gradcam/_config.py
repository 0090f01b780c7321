"""Versions and settings of this installation, for reports of unexpected times or results."""

from __future__ import annotations

import platform
from functools import lru_cache

import numpy as np

from gradcam import _core


def config() -> dict[str, str]:
    """Return versions, kernel level, number of threads and BLAS, as text."""
    return {
        "gradcam": _core.__version__,
        "kernels": f"{_core.cpu_level()} (this CPU supports {', '.join(_core.cpu_levels())})",
        "threads": str(_core.get_num_threads()),
        "BLAS": _core.blas_config(),
        "Python": f"{platform.python_version()} on {platform.platform()}",
        "NumPy": np.__version__,
        "Pillow": _version("pillow"),
        "matplotlib": _version("matplotlib"),
    }


def show_config() -> None:
    """Print the versions and settings of this installation, one per line."""
    entries = config()
    width = max(map(len, entries))
    for name, value in entries.items():
        print(f"{name:{width}}  {value}")


@lru_cache(maxsize=1)
def processor() -> str:
    """Return the name of the processor."""
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    import subprocess  # slow to import

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


def _version(package: str) -> str:
    import importlib.metadata  # slow to import

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
