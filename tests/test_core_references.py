"""Arrays that the core refuses, or does not use, are not kept alive by it."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from helpers import aligned

from gradcam import _core


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.fixture
def convolution():
    if _core.cpu_level() == "reference":
        pytest.skip("this level has no transformed weights")
    builder = _core.NetworkBuilder(8)
    builder.conv(0, normal(8, 8, 3, 3), padding=1)
    return builder.build()


def gained(call, array: np.ndarray) -> int:
    """References to `array` that 20 calls leave behind."""
    before = sys.getrefcount(array)
    for _ in range(20):
        call(array)
    return sys.getrefcount(array) - before


def test_refused_transformed_weights(convolution):
    def lend(pack):
        with pytest.raises(ValueError, match="not the transformed weights of layer 1"):
            convolution.lend_pack(1, "forward", pack)

    assert gained(lend, aligned(convolution.pack_bytes(1, "forward"))) == 0


def test_transformed_weights_of_the_wrong_size(convolution):
    def lend(pack):
        with pytest.raises(ValueError, match="pack must be"):
            convolution.lend_pack(1, "forward", pack)

    assert gained(lend, aligned(7)) == 0


def test_transformed_weights_that_are_not_needed(convolution):
    """The network has some already: those lent first, or those that it made."""
    pack = aligned(convolution.pack_bytes(1, "forward"))
    convolution.pack(1, "forward", pack)
    assert gained(lambda array: convolution.lend_pack(1, "forward", array), pack) == 1
    x = normal(1, 8, 6, 6)
    output = convolution.forward(x).activation(1)
    builder = _core.NetworkBuilder(8)
    builder.conv(0, normal(8, 8, 3, 3), padding=1)
    own = builder.build()
    assert np.array_equal(own.forward(x).activation(1), output)
    assert gained(lambda array: own.lend_pack(1, "forward", array), pack) == 0


def test_refused_layers():
    builder = _core.NetworkBuilder(8)
    weight, bias = normal(4, 8, 3, 3), normal(4)

    def add(_):
        with pytest.raises(ValueError, match="there is no layer 9"):
            builder.conv(9, weight, bias)

    assert gained(add, weight) == 0 and gained(add, bias) == 0


def test_arrays_live_as_long_as_their_network():
    weight = normal(4, 8, 3, 3)
    before = sys.getrefcount(weight)
    builder = _core.NetworkBuilder(8)
    builder.conv(0, weight)
    network = builder.build()
    assert sys.getrefcount(weight) > before
    del builder, network
    assert sys.getrefcount(weight) == before
