"""What this installation runs on: the first thing to look at when a time or a number surprises."""

from __future__ import annotations

import platform

import numpy as np

from gradcam import _core


def config() -> dict[str, str]:
    """Versions, kernel level, threads and BLAS, in words."""
    return {
        "gradcam": _core.__version__,
        "kernels": f"{_core.cpu_level()} (this CPU runs {', '.join(_core.cpu_levels())})",
        "threads": str(_core.get_num_threads()),
        "BLAS": _core.blas_config(),
        "Python": f"{platform.python_version()} on {platform.platform()}",
        "NumPy": np.__version__,
        "Pillow": _version("pillow"),
        "matplotlib": _version("matplotlib"),
    }


def show_config() -> None:
    """Print :func:`config`, one thing a line."""
    entries = config()
    width = max(map(len, entries))
    for name, value in entries.items():
        print(f"{name:{width}}  {value}")


def _version(package: str) -> str:
    import importlib.metadata  # slow to import, and seldom wanted

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
