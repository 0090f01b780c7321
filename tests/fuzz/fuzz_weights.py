"""Fuzz a reader of weight files: it must read or refuse damaged copies of good files.

    python tests/fuzz/fuzz_weights.py READER [--inputs 200000] [--seed 0] [--keep FOLDER]

READER selects the file ``reader_READER.py`` in this folder, which defines

- ``seeds() -> list[bytes]``: small good files, a few KB each;
- ``read(path)``: the reader under test, which returns a ``Weights``;
- ``mutate(rng, data, others) -> bytes``, optional: a mutation for this format (for a zip:
  damage a member and write it again with a correct checksum). It is used for every second input,
  and may call :func:`mutated` for a part of it.

The package must be importable (``PYTHONPATH=.`` in a checkout that was built in place).

An input is a **finding** if ``read``, or summing the tensors that it returns, raises another error
than WeightsError or OSError, if it takes longer than ``--seconds``, if Python's memory grows by
more than ``--megabytes``, or if the process dies. Inputs are a function of the seed and their
number, and a forked worker runs them: if it crashes or hangs, the parent generates the same input
again, keeps it, and starts another worker with the next input. One input of every kind of finding
is kept in FOLDER, named by its number. The exit status is 1 if there was a finding.

This is not a coverage-guided fuzzer: it finds only errors that a few mutations can trigger.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import importlib
import json
import mmap
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import tracemalloc
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gradcam.weights import WeightsError

# Sizes, counts and positions at the limits of every width, signed and unsigned.
INTERESTING = sorted(
    {(1 << bits) + step for bits in (0, 3, 7, 8, 12, 15, 16, 20, 24, 31, 32, 48, 62, 63, 64)
     for step in (-1, 0, 1)} | {0, 3, 100, -2, -1 << 31, -1 << 63}
)  # fmt: skip

_ADDRESS_SPACE = 4 << 30
"""Bytes that a worker may map in addition to those at its start; this also limits C libraries."""


_POLL = 0.02
"""Seconds between two checks of the progress of a worker."""


def mutated(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Return a damaged copy: one to eight mutations, each at a random position."""
    result = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        rng.choice(_MUTATIONS)(rng, result, others)
    return bytes(result)


def _place(rng: random.Random, data: bytearray) -> int:
    return rng.randrange(len(data) + 1)


def _range(rng: random.Random, data: bytearray) -> slice:
    start = _place(rng, data)
    return slice(start, start + rng.choice((1, 2, 4, 8, 16, rng.randrange(1, len(data) + 2))))


def _truncate(rng, data, others):
    del data[_place(rng, data) :]


def _flip(rng, data, others):
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _byte(rng, data, others):
    if data:
        data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _integer(rng, data, others):
    """Overwrite with, or insert, an integer of one to eight bytes in either byte order."""
    width = rng.choice((1, 2, 4, 8))
    value = rng.choice(INTERESTING) % (1 << 8 * width)
    start = _place(rng, data)
    end = start + rng.choice((0, width))
    data[start:end] = value.to_bytes(width, rng.choice(("little", "big")))


def _insert(rng, data, others):
    start = _place(rng, data)
    data[start:start] = rng.randbytes(rng.choice((1, 1, 2, 4, 8, 64)))


def _delete(rng, data, others):
    del data[_range(rng, data)]


def _repeat(rng, data, others):
    """Copy a part to another position, where it overwrites or is inserted."""
    part = data[_range(rng, data)]
    start = _place(rng, data)
    data[start : start + rng.choice((0, len(part)))] = part


def _repeat_often(rng, data, others):
    part = data[_range(rng, data)][:64]
    start = _place(rng, data)
    data[start:start] = part * rng.randrange(2, 100)


def _splice(rng, data, others):
    other = rng.choice(others)
    start = rng.randrange(len(other) + 1)
    data[_place(rng, data) :] = other[start:]


_MUTATIONS = (
    *(_flip, _flip, _byte, _byte, _integer, _integer, _integer, _truncate, _insert, _delete),
    *(_repeat, _repeat_often, _splice),
)


def make_input(target, seeds: list[bytes], seed: int, number: int) -> bytes:
    """Return an input of the run; the first ones are the unchanged seeds."""
    if number < len(seeds):
        return seeds[number]
    rng = random.Random(f"{seed}/{number}")
    data = rng.choice(seeds)
    mutate = getattr(target, "mutate", mutated) if number % 2 else mutated
    return mutate(rng, data, seeds)


def _examine(target, path: str) -> str:
    """Read one file and sum all values: "read" or "refused"; other errors are raised."""
    try:
        weights = target.read(path)
    except (WeightsError, OSError) as error:
        str(error).encode()  # a message that cannot be printed is also a finding
        return "refused"
    for name, values in weights.tensors.items():
        assert isinstance(name, str) and isinstance(values, np.ndarray)
        name.encode()
        values.sum()
    return "read"


def _work(target, seeds: list[bytes], options, first: int, state: mmap.mmap, report: int) -> None:
    """The forked worker: runs the inputs from `first`, and publishes the number before each."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
    resource.setrlimit(resource.RLIMIT_AS, (used + _ADDRESS_SPACE,) * 2)
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    counts: collections.Counter[str] = collections.Counter()
    slowest = (0.0, -1)
    largest = (0, -1)
    findings = []
    path = str(Path(options.scratch, f"input{os.getpid()}"))
    tracemalloc.start()
    for number in range(first, options.inputs):
        state[:8] = number.to_bytes(8, "little")
        data = make_input(target, seeds, options.seed, number)
        Path(path).write_bytes(data)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        start = time.process_time()
        try:
            counts[_examine(target, path)] += 1
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = "".join(traceback.format_exception(error))
            kind = f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}"
            findings.append((kind, number, text))
        seconds = time.process_time() - start
        memory = tracemalloc.get_traced_memory()[1] - before
        slowest, largest = max(slowest, (seconds, number)), max(largest, (memory, number))
        if seconds > options.seconds:
            findings.append(("slow", number, f"{seconds:.2f} s"))
        if memory > options.megabytes << 20:
            findings.append(("memory", number, f"{memory >> 20} MB"))
        if number % 500 == 499 or number == options.inputs - 1:
            line = json.dumps([counts, slowest, largest, findings])
            os.write(report, line.encode() + b"\n")
            counts.clear()
            findings.clear()
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)
    os._exit(0)


def _watch(child: int, state: mmap.mmap, hang: float) -> str:
    """Wait for a worker, and kill it if it hangs; return how it ended, "" without an error."""
    last, polls = b"", 0  # counts polls, because both processes may be suspended for a while
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "" if status == 0 else f"died (status {status})"
        polls += 1
        if state[:8] != last:
            last, polls = state[:8], 0
        elif polls * _POLL > hang:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return f"hung for {hang:g} s"
        time.sleep(_POLL)


def fuzz(target, options) -> int:
    """Run all inputs, and return the number of kinds of findings."""
    seeds = target.seeds()
    state = mmap.mmap(-1, 8)
    counts: collections.Counter[str] = collections.Counter()
    slowest, largest = (0.0, -1), (0, -1)
    findings: dict[str, tuple[int, str, int]] = {}
    start = time.monotonic()
    first = 0
    with tempfile.TemporaryFile() as report:
        while first < options.inputs:
            child = os.fork()
            if child == 0:
                try:
                    _work(target, seeds, options, first, state, report.fileno())
                finally:
                    os._exit(99)
            end = _watch(child, state, 10 * options.seconds)
            if not end:
                break
            number = int.from_bytes(state[:8], "little")
            os.write(report.fileno(), json.dumps([{}, [0, -1], [0, -1], [[end, number, ""]]])
                     .encode() + b"\n")  # fmt: skip
            first = number + 1
        report.seek(0)
        for line in report:
            part, slow, large, found = json.loads(line)
            counts.update(part)
            slowest, largest = max(slowest, tuple(slow)), max(largest, tuple(large))
            for kind, number, text in found:
                times = findings.get(kind, (0, "", 0))[2]
                findings[kind] = (*findings.get(kind, (number, text))[:2], times + 1)
    for kind, (number, text, times) in findings.items():
        Path(options.keep).mkdir(parents=True, exist_ok=True)
        kept = Path(options.keep, f"{options.reader}-{options.seed}-{number}")
        kept.write_bytes(make_input(target, seeds, options.seed, number))
        print(f"FINDING: {kind}, {times} times, first kept as {kept}\n{text}")
    print(
        f"{options.reader}, seed {options.seed}: {options.inputs} inputs from {len(seeds)} files, "
        f"{counts['read']} read, {counts['refused']} refused, {len(findings)} kinds of finding; "
        f"slowest {slowest[0] * 1e3:.0f} ms (input {slowest[1]}), "
        f"maximum memory {largest[0] / 2**20:.1f} MB (input {largest[1]}), "
        f"{time.monotonic() - start:.0f} s"
    )
    return len(findings)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reader", help="NAME of a reader_NAME.py in this folder")
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=2.0, help="maximum time for an input")
    parser.add_argument("--megabytes", type=int, default=64, help="maximum of Python's memory")
    parser.add_argument("--keep", default="fuzz-findings", help="folder for inputs that found")
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(Path(__file__).parent))
    target = importlib.import_module(f"reader_{options.reader}")
    shared_memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared_memory if shared_memory.is_dir() else None) as tmp:
        options.scratch = tmp
        return 1 if fuzz(target, options) else 0


if __name__ == "__main__":
    sys.modules["fuzz_weights"] = sys.modules["__main__"]  # the readers' files import mutated()
    raise SystemExit(main())
