"""MemoryError if memory is insufficient; memory that is kept between passes can be released."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import vggs
from helpers import resident_bytes, run_python

import gradcam
from gradcam import _core

MEGABYTE = 2**20


@pytest.fixture(scope="module")
def network():
    return gradcam.vgg16(vggs.tensors("vgg16"))


@pytest.fixture
def set_available():
    """A function that sets the bytes that are reported as available."""
    gradcam.release_memory()
    yield _core._pretend_memory
    _core._pretend_memory(None)


def test_available_memory_is_a_number_of_bytes():
    available = _core.available_memory()
    if sys.platform.startswith("linux"):
        assert 0 < available < 2**50
    else:
        assert available is None


def test_a_reserve_is_not_available(set_available):
    set_available(100 * MEGABYTE)
    assert 0 < _core.available_memory() < 100 * MEGABYTE
    set_available(MEGABYTE)
    assert _core.available_memory() == 0


def test_pass_too_large_for_memory_is_refused(network, set_available):
    """The sum of all allocations counts, even if each of them is small."""
    x = np.random.default_rng(0).standard_normal((64, 3, 224, 224), np.float32)
    before = _core._live_allocations()
    set_available(64 * MEGABYTE)
    with pytest.raises(MemoryError, match=r"maps of 64 pictures of 224 x 224: .* GB are needed"):
        network.forward(x)
    assert _core._live_allocations() == before
    small = network.forward(x[:1]).scores
    set_available(None)
    np.testing.assert_allclose(network.forward(x).scores[:1], small, rtol=1e-4)


def test_gradients_too_large_for_memory_are_refused(network, set_available):
    x = np.random.default_rng(0).standard_normal((4, 3, 224, 224), np.float32)
    core = network.forward(x).core
    last = len(network.layers) - 1
    seeds = np.ones((16, 4, 10), np.float32)
    gradcam.release_memory()
    set_available(48 * MEGABYTE)
    with pytest.raises(MemoryError, match=r"GB are needed"):
        core.backward(last, seeds, [0])  # 39 MB
    with pytest.raises(MemoryError, match=r"GB are needed"):
        core.backward(last, seeds, [1])  # 206 MB
    core.backward(last, seeds[:1], [0])


def test_results_too_large_for_memory_are_refused(set_available):
    set_available(64 * MEGABYTE)
    with pytest.raises(MemoryError, match=r"an array: .* GB are needed"):
        _core.resize(np.ones((3, 3)), (5000, 5000))


def test_input_too_large_for_memory_is_refused_before_reading(network, set_available):
    set_available(100 * MEGABYTE)
    with pytest.raises(MemoryError, match=r"2 input.* of up to 3000 x 2000.*GB are available"):
        network.forward(["missing.jpg", "missing.jpg"], size=(3000, 2000))
    with pytest.raises(MemoryError, match=r"2 input.* of up to 3000 x 2000.*GB are available"):
        network.forward([np.zeros((3000, 2000, 3), np.uint8)] * 2, size="original")


def test_address_space_limit_raises_memory_error():
    pytest.importorskip("resource")
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux enforces the limit of the address space")
    program = """
import resource, numpy as np, vggs, gradcam
network = gradcam.vgg16(vggs.tensors("vgg16"))
x = np.zeros((256, 3, 224, 224), np.float32)
network.forward(x[:1])
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + (48 << 20),) * 2)
try:
    network.forward(x)
except MemoryError:
    print(network.forward(x[:1]).scores.shape)
"""
    assert run_python(program, GRADCAM_NUM_THREADS="1") == "(1, 10)"


def test_release_memory(network):
    x = np.random.default_rng(0).standard_normal((8, 3, 224, 224), np.float32)
    first = network.forward(x).scores
    before = resident_bytes()
    gradcam.release_memory()
    assert resident_bytes() < before - 4 * MEGABYTE
    np.testing.assert_array_equal(network.forward(x).scores, first)
