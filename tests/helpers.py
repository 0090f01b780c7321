"""What several test files share: closeness, optional packages, memory, small VGGs."""

from __future__ import annotations

import gc
import importlib
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import reference

# Float32 arithmetic against float64, by algorithm: abs(ours - reference) must stay below
# atol * max|reference| + rtol * |reference|. Sums of k products err by about sqrt(k) * 6e-8 of
# the sum of magnitudes; Winograd's F(4x4, 3x3) by 2e-6 of the largest value; a network chains
# a dozen such layers.
TOLERANCES = {
    "exact": (0.0, 0.0),
    "elementwise": (1e-7, 1e-6),
    "sum": (2e-6, 2e-6),
    "convolution": (1e-5, 1e-5),
    "network": (3e-5, 3e-5),
}


def assert_close(ours: Any, reference: Any, algorithm: str) -> None:
    """Same shape, finite, and within the algorithm's tolerance."""
    ours, reference = np.asarray(ours), np.asarray(reference)
    assert ours.shape == reference.shape
    assert np.isfinite(ours).all()
    atol, rtol = TOLERANCES[algorithm]
    scale = np.abs(reference).max(initial=0.0)
    np.testing.assert_allclose(ours, reference, rtol=rtol, atol=atol * scale + 1e-30)


def largest_difference(ours: Any, reference: Any) -> float:
    """max |ours - reference| / max |reference|."""
    ours, reference = np.asarray(ours, np.float64), np.asarray(reference, np.float64)
    return float(np.abs(ours - reference).max() / np.abs(reference).max())


def peer(name: str) -> ModuleType:
    """Import a package that only some machines have, or skip the whole file.

    With GRADCAM_REQUIRE_PEERS=1, as in continuous integration, its absence is an error.
    """
    if os.environ.get("GRADCAM_REQUIRE_PEERS") == "1":
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"{name} is not installed")


def run_python(program: str, given: str = "", **environment: str) -> str:
    """Return what a program prints in a new interpreter that reads `given`, within two minutes.

    It runs in this folder: elsewhere in the repository it could find the package's sources in
    place of the package that is installed.
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=Path(__file__).parent,
        env=os.environ | environment,
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stderr}"
    return done.stdout.strip()


def resident_bytes() -> int:
    """Memory that this process holds now, as the operating system counts it (Linux only)."""
    gc.collect()
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        pytest.skip("memory is measured through /proc, which this system does not have")


def private_bytes() -> int:
    """Memory of this process that no file backs: mapped files do not count (Linux only)."""
    gc.collect()
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except FileNotFoundError:
        pytest.skip("memory is measured through /proc, which this system does not have")
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


def is_steady(record: Any, margin: float = 3e-6) -> bool:
    """Whether rounding can flip no decision of a twin's forward pass.

    No ReLU's input may be within `margin` of zero, relative to its map's largest value, and no
    maximum of a pooling window as close to the runner-up (zeros under zeros aside). Needed where
    the program compared with cannot be told which decisions to take.
    """
    for node, inputs in record.network.nodes:
        if not inputs:
            continue
        x = record.outputs[inputs[0]]
        scale = np.abs(x).max()
        if isinstance(node, reference.Relu) and np.abs(x).min() < margin * scale:
            return False
        if isinstance(node, reference.MaxPool):
            best = np.sort(node.windows(x), axis=-1)
            gap = best[..., -1] - best[..., -2]
            if (gap[best[..., -1] > 0] < margin * scale).any():
                return False
    return True


def steady_pictures(network: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The first of many seeded batches whose decisions are steady; float32."""
    for seed in range(200):
        x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
        if is_steady(network.forward(x)):
            return x
    raise AssertionError("no steady pictures: fewer or smaller ones are needed")


def refused_flips(read: Callable[[Path], Any], content: bytes, path: Path, count: int) -> int:
    """How many files with one bit flipped are refused in words, or hold no tensors.

    Flips a bit of each of the first `count` bytes, and of as many anywhere; what is neither read
    nor refused as a weight file is raises here.
    """
    from gradcam import WeightsError

    data = bytearray(content)
    rng = random.Random(0)
    refused = 0
    for place in [*range(count), *(rng.randrange(len(data)) for _ in range(count))]:
        bit = 1 << rng.randrange(8)
        data[place] ^= bit
        path.write_bytes(data)
        try:
            refused += not read(path).tensors
        except WeightsError as error:
            refused += str(error).startswith(f"{path}: ")
        data[place] ^= bit
    return refused


def cost_of_reading(path: Path) -> tuple[float, float, float]:
    """Bytes of a weight file's tensors, of the memory that reading takes, and seconds of it."""
    told = run_python(
        f"""
import time
from helpers import private_bytes
from gradcam.weights import load
before, start = private_bytes(), time.perf_counter()
tensors = load({str(path)!r}).tensors
seconds = time.perf_counter() - start
print(sum(v.nbytes for v in tensors.values()), private_bytes() - before, seconds)
"""
    )
    size, memory, seconds = map(float, told.split())
    return size, memory, seconds
