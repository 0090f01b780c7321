"""Signals and progress callbacks end a call of the core early, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from gradcam import _core

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="this system has no interval timers"
)

CHANNELS, CONVOLUTIONS, PICTURES = 64, 10, 4
LAST = 2 * CONVOLUTIONS


class Alarm(Exception):
    """What the signal handler of these tests raises."""


@contextmanager
def alarm(handler: Callable[..., None], after: float = 0.1) -> Iterator[None]:
    """Call `handler` in the main thread in so many seconds, as Ctrl-C would be handled."""
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, after)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def raise_alarm(*_: object) -> None:
    raise Alarm


@pytest.fixture(params=[1, 2])
def any_threads(request, threads):
    _core.set_num_threads(request.param)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def network(convolutions: int, exact: bool = False):
    builder, x, channels = _core.NetworkBuilder(3), 0, 3
    for _ in range(convolutions):
        weight = 0.05 * normal(CHANNELS, channels, 3, 3)
        x = builder.relu(builder.conv(x, weight, padding=1, exact=exact))
        channels = CHANNELS
    return builder.build()


@pytest.fixture(scope="module")
def deep():
    """A network whose pass takes many times 0.1 s, and pictures for it."""
    return network(CONVOLUTIONS), np.ones((PICTURES, 3, 320, 320), np.float32)


@pytest.fixture(scope="module")
def recorded(deep):
    """A tape, its last layer and seeds; what a network makes at its first use is there."""
    tape, last = deep[0].forward(deep[1]), len(deep[0]) - 1
    small = deep[0].forward(deep[1][:1, :, :8, :8])
    small.backward(last, np.ones((1, 1, CHANNELS, 8, 8)), [0])
    return tape, last, np.ones((1, PICTURES, CHANNELS, 320, 320), np.float32)


@pytest.mark.parametrize("exact", [False, True])
def test_a_signal_handler_that_raises_ends_a_forward_pass(exact, deep, any_threads):
    deep_network = network(CONVOLUTIONS, exact) if exact else deep[0]
    x = normal(1, 3, 40, 40)
    before = deep_network.forward(x).activation(LAST)
    live = _core._live_allocations()
    with alarm(raise_alarm), pytest.raises(Alarm):
        deep_network.forward(deep[1])
    assert _core._live_allocations() == live
    assert np.array_equal(deep_network.forward(x).activation(LAST), before)


@pytest.mark.parametrize("method", ["backward", "pooled_gradient", "backward_seconds"])
def test_a_signal_handler_that_raises_ends_a_backward_pass(method, recorded, any_threads):
    tape, last, seeds = recorded
    call = getattr(tape, method)
    wanted = 0 if method == "pooled_gradient" else [0]
    live = _core._live_allocations()
    with alarm(raise_alarm), pytest.raises(Alarm):
        call(last, seeds, wanted)
    assert _core._live_allocations() == live


def test_ctrl_c_is_a_keyboard_interrupt(deep):
    with alarm(signal.default_int_handler), pytest.raises(KeyboardInterrupt):
        deep[0].forward(deep[1])


def test_a_signal_handler_that_returns_lets_the_pass_go_on(deep):
    handled: list[float] = []
    with alarm(lambda *_: handled.append(time.perf_counter())):
        tape = deep[0].forward(deep[1])
        end = time.perf_counter()
    assert len(handled) == 1 and handled[0] < end
    assert np.isfinite(tape.activation(LAST)).all()


@pytest.mark.slow
def test_a_signal_handler_may_run_another_pass(deep):
    """Also while the interrupted pass holds the lock of the matrix products."""
    exact, results = network(CONVOLUTIONS, exact=True), []
    x = normal(1, 3, 24, 24)
    with alarm(lambda *_: results.append(exact.forward(x).activation(LAST))):
        exact.forward(deep[1][:2])
    assert np.array_equal(results[0], exact.forward(x).activation(LAST))


@pytest.mark.parametrize("which", ["resize", "channel_mean", "weighted_sum", "measure_peak"])
def test_a_signal_ends_other_calls(which):
    """After the signal, and no earlier: each takes long only because it is called on and on."""
    maps = normal(4, 64, 128, 128)
    calls: dict[str, Callable[[], object]] = {
        "resize": lambda: _core.resize(maps, (400, 400)),
        "channel_mean": lambda: _core.channel_mean(maps),
        "weighted_sum": lambda: _core.weighted_sum(np.ones((4, 64)), maps),
        "measure_peak": lambda: _core.measure_peak(1),
    }
    with alarm(raise_alarm), pytest.raises(Alarm):
        while True:
            calls[which]()


@pytest.mark.slow
def test_another_thread_is_not_stopped(deep):
    """Signals are handled by the main thread, which waits here; the pass of another goes on."""
    found, done = [], threading.Event()

    def run() -> None:
        found.append(deep[0].forward(deep[1][:2]).activation(LAST))
        done.set()

    thread = threading.Thread(target=run)
    with alarm(raise_alarm), pytest.raises(Alarm):
        thread.start()
        done.wait()
    done.wait()
    assert np.array_equal(found[0], deep[0].forward(deep[1][:2]).activation(LAST))


# --- progress ---


@pytest.mark.slow
def test_progress_is_reported_often(deep, recorded, threads):
    """Measured in time of the processor: others may use the machine too."""
    _core.set_num_threads(1)
    tape, last, seeds = recorded
    calls = [
        lambda progress: deep[0].forward(deep[1], progress=progress),
        lambda progress: tape.backward(last, seeds, [0], progress=progress),
    ]
    for call in calls:
        times, shares = [time.thread_time()], [0.0]

        def note(share: float, times=times, shares=shares) -> None:
            times.append(time.thread_time())
            shares.append(share)

        call(note)
        assert max(np.diff([*times, time.thread_time()])) < 0.2
        assert shares == sorted(shares) and 0.5 < shares[-1] <= 1.0


def test_a_progress_callback_that_raises_ends_the_pass(deep, recorded):
    def stop(share: float) -> None:
        raise Alarm(share)

    tape, last, seeds = recorded
    with pytest.raises(Alarm):
        deep[0].forward(deep[1], progress=stop)
    with pytest.raises(Alarm):
        tape.backward(last, seeds, [0], progress=stop)
    with pytest.raises(Alarm):
        tape.pooled_gradient(last, seeds, 0, progress=stop)


def test_progress_of_a_pass_in_another_thread(deep):
    threads: set[int] = set()
    thread = threading.Thread(
        target=deep[0].forward,
        args=[deep[1]],
        kwargs={"progress": lambda share: threads.add(threading.get_ident())},
    )
    thread.start()
    ident = thread.ident
    thread.join()
    assert threads == {ident}


def test_progress_changes_no_bit(deep):
    x = normal(2, 3, 200, 200)
    watched = deep[0].forward(x, progress=lambda share: None).activation(LAST)
    assert np.array_equal(watched, deep[0].forward(x).activation(LAST))


def test_progress_must_be_a_function(deep, recorded):
    tape, last, seeds = recorded
    with pytest.raises(TypeError, match="progress must be a function of a float or None"):
        deep[0].forward(deep[1], progress=1)
    with pytest.raises(TypeError, match="progress must be a function"):
        tape.backward(last, seeds, [0], progress="yes")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_progress_callback_may_fork(deep):
    """As multiprocessing does; the child ends without returning into the pass."""
    children: list[int] = []

    def fork(share: float) -> None:
        if not children:
            child = os.fork()
            if child == 0:
                x = normal(1, 3, 24, 24)
                os._exit(int(not np.isfinite(deep[0].forward(x).activation(LAST)).all()))
            children.append(child)

    network(CONVOLUTIONS, exact=True).forward(deep[1][:1], progress=fork)
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
