"""Many threads, one network; exceptions beside work; fork after use."""

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
    """A forward pass and a backward pass under each rule, of pictures of their own size."""
    rng = np.random.default_rng(seed)
    x = nets.normal(rng, 1 + seed % 2, 3, 32 + 8 * (seed % 3), 40)
    tape = network.forward(x, keep=[5])
    last = len(network) - 1
    seeds = nets.normal(rng, 2, len(x), 10)
    results = [tape.activation(last), tape.activation(5)]
    for rule in RULES:
        results += tape.backward(last, seeds, [0, 5], rule)
    return results


def same_bits(one, other) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("core_threads", [1, 2])
def test_tapes_in_many_threads_do_not_meet(core_threads, threads, fast_level):
    _core.set_num_threads(core_threads)
    network = vgg()
    alone = [work(network, seed) for seed in range(WORKERS)]
    with ThreadPoolExecutor(WORKERS) as pool:
        together = list(pool.map(work, [network] * WORKERS * 3, list(range(WORKERS)) * 3))
    for i, result in enumerate(together):
        assert same_bits(result, alone[i % WORKERS])


def test_one_tape_in_many_threads():
    network = vgg()
    tape = network.forward(nets.normal(np.random.default_rng(0), 1, 3, 40, 48))
    last = len(network) - 1
    seeds = nets.normal(np.random.default_rng(1), WORKERS, 1, 1, 10)

    def backward(i: int) -> list[np.ndarray]:
        return tape.backward(last, seeds[i], [0], RULES[i % 3])

    alone = [backward(i) for i in range(WORKERS)]
    with ThreadPoolExecutor(WORKERS) as pool:
        together = list(pool.map(backward, list(range(WORKERS)) * 4))
    for i, result in enumerate(together):
        assert same_bits(result, alone[i % WORKERS])


def test_the_first_use_of_a_network_may_be_in_many_threads_at_once(fast_level):
    """Whatever is prepared at first use is prepared once, or the same twice."""
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


def counted_during(call) -> int:
    """How far another Python thread counted while `call` ran.

    With so long an interval no thread is ever interrupted: the counter runs only where `call`
    gives the GIL away (or here, in a sleep).
    """
    count, done = 0, threading.Event()

    def counter():
        nonlocal count
        while not done.is_set():
            count += 1
            time.sleep(0)  # gives the GIL away

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


@pytest.mark.skipif(bool(sysconfig.get_config_var("Py_GIL_DISABLED")), reason="no GIL here")
def test_the_counter_stands_still_while_the_gil_is_held():
    """The measure itself: sorting a list of numbers holds the GIL."""
    numbers = np.random.default_rng(0).uniform(size=200_000).tolist()
    assert counted_during(numbers.sort) == 0


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
    assert counted_during(calls[what]) > 0


def test_exceptions_in_one_thread_leave_the_others_alone():
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
    assert refused and len(set(refused)) == 4, "each refusal has its own words, never another's"
    for i, result in enumerate(found):
        assert same_bits(result, expected[i % 4])


STEADY = 6  # no ReLU of these pictures is near zero: rounding flips none at any level


def test_settings_may_change_while_others_work(threads):
    """Threads and CPU level change under running passes; the results stay right."""
    before = _core.cpu_level()
    network = vgg()
    expected = work(network, STEADY)
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
            for found, right in zip(work(network, STEADY), expected, strict=True):
                np.testing.assert_allclose(found, right, rtol=1e-3, atol=1e-4 * np.abs(right).max())
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


def test_multiprocessing_pools_work():
    """The same by the standard library's pool, as data loaders use it."""
    assert run_python(POOL) == "done"
