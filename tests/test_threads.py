"""Passes in many threads; exceptions in other threads; fork after use."""

from __future__ import annotations

import itertools
import os
import sys
import sysconfig
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import nets
import numpy as np
import pytest
import vggs
from helpers import run_python
from passes import RULES

from gradcam import _core

WORKERS = 8


def vgg(divide: int = 16):
    tensors = vggs.tensors("vgg16", divide=divide)
    network, _ = vggs.build("vgg16", tensors, _core.NetworkBuilder(3))
    return network


def probabilities(network, x: np.ndarray) -> np.ndarray:
    return network.forward(x).activation(len(network) - 1)


def work(network, seed: int) -> list[np.ndarray]:
    """Run a forward pass, and a backward pass with each rule; sizes depend on the seed."""
    rng = np.random.default_rng(seed)
    x = nets.normal(rng, 1 + seed % 2, 3, 32 + 8 * (seed % 3), 40)
    tape = network.forward(x, keep=[5])
    last = len(network) - 1
    seeds = nets.normal(rng, 2, len(x), 10)
    results = [tape.activation(last), tape.activation(5)]
    for rule in RULES:
        results += tape.backward(last, seeds, [0, 5], rule)
    return results


def same_bits(actual, desired) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(actual, desired, strict=True))


@pytest.mark.parametrize("core_threads", [1, 2])
def test_many_tapes_in_many_threads(core_threads, threads, fast_level):
    _core.set_num_threads(core_threads)
    network = vgg()
    expected = [work(network, seed) for seed in range(WORKERS)]
    with ThreadPoolExecutor(WORKERS) as pool:
        results = list(pool.map(work, [network] * WORKERS * 3, list(range(WORKERS)) * 3))
    for i, result in enumerate(results):
        assert same_bits(result, expected[i % WORKERS])


def test_one_tape_in_many_threads():
    network = vgg()
    tape = network.forward(nets.normal(np.random.default_rng(0), 1, 3, 40, 48))
    last = len(network) - 1
    seeds = nets.normal(np.random.default_rng(1), WORKERS, 1, 1, 10)

    def backward(i: int) -> list[np.ndarray]:
        return tape.backward(last, seeds[i], [0], RULES[i % 3])

    expected = [backward(i) for i in range(WORKERS)]
    with ThreadPoolExecutor(WORKERS) as pool:
        results = list(pool.map(backward, list(range(WORKERS)) * 4))
    for i, result in enumerate(results):
        assert same_bits(result, expected[i % WORKERS])


def test_first_use_of_a_network_in_many_threads(fast_level):
    """Data that the first pass prepares are the same for all threads."""
    expected = [work(vgg(), seed) for seed in range(WORKERS)]
    for _ in range(3):
        network, start = vgg(), threading.Barrier(WORKERS)

        def first(seed: int, network=network, start=start) -> list[np.ndarray]:
            start.wait()
            return work(network, seed)

        with ThreadPoolExecutor(WORKERS) as pool:
            for seed, result in enumerate(pool.map(first, range(WORKERS))):
                assert same_bits(result, expected[seed])


def test_networks_are_built_in_many_threads():
    x = nets.normal(np.random.default_rng(0), 1, 3, 40, 48)
    expected = probabilities(vgg(), x)
    with ThreadPoolExecutor(WORKERS) as pool:
        for found in pool.map(lambda _: probabilities(vgg(), x), range(WORKERS)):
            np.testing.assert_array_equal(found, expected)


def count_during(call) -> int:
    """Return how far another Python thread counted while `call` ran.

    With such a long switch interval no thread is interrupted: the counter runs only while `call`
    releases the GIL (or here, during a sleep).
    """
    count, done = 0, threading.Event()

    def counter():
        nonlocal count
        while not done.is_set():
            count += 1
            time.sleep(0)  # releases the GIL

    thread = threading.Thread(target=counter)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    thread.start()
    try:
        while count < 10:
            time.sleep(0.001)
        before = count
        call()
        return count - before
    finally:
        done.set()
        thread.join()
        sys.setswitchinterval(interval)


@pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")), reason="this Python has no GIL"
)
def test_counter_stops_while_the_gil_is_held():
    """Test of the measurement: sorting a list of numbers holds the GIL."""
    numbers = np.random.default_rng(0).uniform(size=200_000).tolist()
    assert count_during(numbers.sort) == 0


@pytest.mark.parametrize("what", ["forward", "backward", "resize"])
def test_the_gil_is_released(what):
    network = vgg(divide=8)
    x = nets.normal(np.random.default_rng(0), 2, 3, 224, 224)
    tape, last = network.forward(x), len(network) - 1
    calls = {
        "forward": lambda: network.forward(x),
        "backward": lambda: tape.backward(last, np.ones((1, 2, 10)), [0]),
        "resize": lambda: _core.resize(x, (2000, 2000)),
    }
    # On a busy processor the counter may get no time during one short call.
    deadline = time.monotonic() + 60
    while not (counted := count_during(calls[what])) and time.monotonic() < deadline:
        pass
    assert counted > 0


def test_exceptions_in_one_thread_do_not_affect_others():
    network = vgg()
    expected = [work(network, seed) for seed in range(4)]
    bad = np.full((1, 3, 40, 40), np.nan)
    stop = threading.Event()
    refused = []

    def fail():
        tape = network.forward(np.zeros((1, 3, 40, 40)))
        while not stop.is_set() or not refused:
            for call in (
                lambda: network.forward(bad),
                lambda: network.forward(bad[:, :2]),
                lambda: network.forward(np.zeros((1, 3, 8, 8))),
                lambda: tape.backward(3, np.zeros((1, 1, 1)), [0]),
            ):
                try:
                    call()
                except ValueError as error:
                    refused.append(str(error))

    failing = threading.Thread(target=fail)
    failing.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(work, [network] * 12, list(range(4)) * 3))
    finally:
        stop.set()
        failing.join()
    assert refused and len(set(refused)) == 4, "each error has its own message"
    for i, result in enumerate(found):
        assert same_bits(result, expected[i % 4])


ROBUST_SEED = 6  # seed of pictures for which no ReLU input is close to zero


def test_settings_change_during_other_passes(threads):
    """The number of threads and the CPU level change during passes; results stay correct."""
    before = _core.cpu_level()
    network = vgg()
    expected = work(network, ROBUST_SEED)
    stop = threading.Event()

    def change():
        while not stop.is_set():
            for count, level in itertools.product((1, 2, 3), _core.cpu_levels()):
                _core.set_num_threads(count)
                _core.set_cpu_level(level)

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for _ in range(10):
            for actual, desired in zip(work(network, ROBUST_SEED), expected, strict=True):
                np.testing.assert_allclose(
                    actual, desired, rtol=1e-3, atol=1e-4 * np.abs(desired).max()
                )
    finally:
        stop.set()
        changing.join()
        _core.set_cpu_level(before)


FORK = """
import os
import numpy as np
import test_threads
from gradcam import _core

_core.set_num_threads(2)
network = test_threads.vgg(8)
x = np.ones((2, 3, 96, 96), np.float32)
expected = test_threads.probabilities(network, x)
child = os.fork()
if child == 0:
    same = np.array_equal(test_threads.probabilities(network, x), expected)
    os._exit(0 if same else 3)
_, status = os.waitpid(child, 0)
again = np.array_equal(test_threads.probabilities(network, x), expected)
print(os.waitstatus_to_exitcode(status), again)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_fork_after_use_does_not_hang():
    assert run_python(FORK) == "0 True"


POOL = """
import multiprocessing
import test_threads

def score(seed):
    return float(test_threads.work(network, seed)[0][0, 0])

network = test_threads.vgg()
expected = [score(seed) for seed in range(4)]
if "fork" in multiprocessing.get_all_start_methods():
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(score, range(4)) == expected
print("done")
"""


def test_multiprocessing_pool_after_use():
    """Data loaders use the pool of the standard library in this way."""
    assert run_python(POOL) == "done"
