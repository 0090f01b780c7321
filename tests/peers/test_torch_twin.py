"""The float64 twin against PyTorch autograd in float64."""

from __future__ import annotations

import nets
import numpy as np
import pytest
import reference
from helpers import peer

torch = peer("torch")

import torch.nn.functional as F  # noqa: E402
import torch_twin  # noqa: E402

pytestmark = pytest.mark.peers
RULES = ["gradient", "guided", "deconvnet"]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("case", nets.ALL, ids=nets.case_id)
def test_forward_and_all_gradients(case, rule):
    x = case.pictures()
    twin = case.build(reference.Builder)
    record, other = twin.forward(x), case.build(torch_twin.Builder).forward(x, rule=rule)
    last = len(twin) - 1
    for layer in range(len(twin)):
        np.testing.assert_allclose(
            record.outputs[layer], other.activation(layer), rtol=1e-12, atol=1e-13
        )
    seeds = np.random.default_rng(6).standard_normal((2, *record.outputs[last].shape))
    wanted = list(range(len(twin)))
    for ours, theirs in zip(
        record.backward(last, seeds, wanted, rule),
        other.backward(last, seeds, wanted),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("size", [(14, 14), (7, 5), (20, 31), (1, 4), (3, 1)])
@pytest.mark.parametrize("corners", [False, True])
def test_resize(size, corners):
    maps = np.random.default_rng(8).standard_normal((2, 3, 7, 6))
    theirs = F.interpolate(torch.tensor(maps), size, mode="bilinear", align_corners=corners)
    ours = reference.resize(maps, size, "align_corners" if corners else "half_pixel")
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("size", [(14, 12), (21, 6), (35, 30)])
def test_resize_nearest(size):
    maps = np.random.default_rng(8).standard_normal((2, 3, 7, 6))
    theirs = F.interpolate(torch.tensor(maps), size, mode="nearest-exact")
    np.testing.assert_array_equal(reference.resize(maps, size, "nearest"), theirs.numpy())
