"""Helpers of several test files: tolerances, optional packages, memory, weight files."""

from __future__ import annotations

import gc
import importlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import reference

# Tolerances of float32 against float64, by algorithm: abs(ours - reference) must be at most
# atol * max|reference| + rtol * |reference|. The error of sums of k products is about
# sqrt(k) * 6e-8 of the sum of magnitudes, that of Winograd's F(4x4, 3x3) 2e-6 of the largest value;
# a network has a dozen such layers in sequence.
TOLERANCES = {
    "exact": (0.0, 0.0),
    "elementwise": (1e-7, 1e-6),
    "sum": (2e-6, 2e-6),
    "convolution": (1e-5, 1e-5),
    "network": (3e-5, 3e-5),
}

DRAWN = ("saliency", "deconvnet", "guided_backprop", "grad_cam", "guided_grad_cam", "full_grad")
"""Methods that stand for all others in tests of what is drawn: every network serves them."""


def assert_close(ours: Any, reference: Any, algorithm: str) -> None:
    """Check that shapes agree, and that values are finite and within the tolerance."""
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
    """Import an optional package, or skip the whole file.

    With GRADCAM_REQUIRE_PEERS=1, as in continuous integration, a missing package is an error.
    """
    if os.environ.get("GRADCAM_REQUIRE_PEERS") == "1":
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"{name} is not installed")


def program(*names: str) -> str:
    """Return the path of an optional program, the first of `names` that is found, or skip the test.

    With GRADCAM_REQUIRE_PEERS=1 a missing program is an error, unless the environment variable
    GRADCAM_WITHOUT, words with spaces between them, names it.
    """
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        required = os.environ.get("GRADCAM_REQUIRE_PEERS") == "1"
        if required and names[0] not in os.environ.get("GRADCAM_WITHOUT", "").split():
            pytest.fail(f"{names[0]} is not installed")
        pytest.skip(f"{names[0]} is not installed")
    return found


def run_node(name: str, *arguments: object, given: object = None) -> Any:
    """Return what a program of this folder prints as JSON, run by node.

    It reads `given`, as JSON, from its standard input.
    """
    process = subprocess.run(
        [program("node"), Path(__file__).with_name(name), *map(str, arguments)],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def run_python(program: str, stdin: str = "", **environment: str) -> str:
    """Return the output of a Python program in a new process, which may run for two minutes.

    It runs in this folder: in other folders of the repository it could import the package's
    sources instead of the installed package.
    """
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=Path(__file__).parent,
        env=os.environ | environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, f"exit status {process.returncode}\n{process.stderr}"
    return process.stdout.strip()


_NEED_A_NETWORK = (
    *("explain", "predict", "compare", "critique"),
    *("visualise", "edit", "adversarial", "invert"),
)


def with_a_network(arguments: Sequence[str]) -> list[str]:
    """Add ``--model pictograms`` to a command that reads pictures, unless it names a network."""
    needs = {*_NEED_A_NETWORK} & set(arguments[:1])
    named = {"--model", "--weights", "--help"} & set(arguments)
    return [*arguments, *(("--model", "pictograms") if needs and not named else ())]


def resident_bytes() -> int:
    """Resident memory of this process in bytes (Linux only)."""
    gc.collect()
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        pytest.skip("memory is measured through /proc, which this system does not have")


def private_bytes() -> int:
    """Memory of this process without mapped files, in bytes (Linux only)."""
    gc.collect()
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except FileNotFoundError:
        pytest.skip("memory is measured through /proc, which this system does not have")
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


def is_robust_to_rounding(record: Any, margin: float = 3e-6) -> bool:
    """Whether rounding cannot change a decision (ReLU or max pooling) of a twin's forward pass.

    No input of a ReLU may be within `margin` of zero, relative to the map's largest value, and
    no two largest values of a pooling window may be so close (unless both are zero). Needed for
    comparisons with programs that cannot use the decisions of others.
    """
    for node, inputs in record.network.nodes:
        if not inputs:
            continue
        x = record.outputs[inputs[0]]
        scale = np.abs(x).max()
        if isinstance(node, reference.RECTIFIERS) and np.abs(x).min() < margin * scale:
            return False
        if isinstance(node, reference.MaxPool):
            best = np.sort(node.windows(x), axis=-1)
            gap = best[..., -1] - best[..., -2]
            if (gap[best[..., -1] > 0] < margin * scale).any():
                return False
    return True


def robust_pictures(network: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The first random batch (float32) for which rounding cannot change a decision."""
    for seed in range(200):
        x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
        if is_robust_to_rounding(network.forward(x)):
            return x
    raise AssertionError("no such pictures found: try fewer or smaller ones")


def count_rejected_bit_flips(
    read: Callable[[Path], Any], content: bytes, path: Path, count: int
) -> int:
    """Count the files with one flipped bit that raise WeightsError or contain no tensors.

    Flips one bit in each of the first `count` bytes, and in `count` random bytes. Other errors
    are not caught.
    """
    from gradcam import WeightsError

    data = bytearray(content)
    rng = random.Random(0)
    rejected = 0
    for position in [*range(count), *(rng.randrange(len(data)) for _ in range(count))]:
        bit = 1 << rng.randrange(8)
        data[position] ^= bit
        path.write_bytes(data)
        try:
            rejected += not read(path).tensors
        except WeightsError as error:
            rejected += str(error).startswith(f"{path}: ")
        data[position] ^= bit
    return rejected


def measure_reading(path: Path) -> tuple[float, float, float]:
    """Return the bytes of a file's tensors, the bytes of memory to read it, and the seconds."""
    output = run_python(
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
    size, memory, seconds = map(float, output.split())
    return size, memory, seconds


def aligned(count: int) -> np.ndarray:
    """Return `count` bytes of zeros, aligned to 64 bytes, as the core needs transformed weights."""
    whole = np.zeros(count + 64, np.uint8)
    return whole[-whole.ctypes.data % 64 :][:count]
