"""Jacobian-vector and Hessian-vector products against PyTorch's, by differentiating twice."""

from __future__ import annotations

import numpy as np
import pytest
import random_networks
from helpers import peer
from test_tangent import linear_in, tape_of

torch = peer("torch")

import torch_twin  # noqa: E402

pytestmark = pytest.mark.peers

LIMIT = 1e-4
ILL_CONDITIONED = 1e-3
"""Of what PyTorch's own float32 gets wrong: such networks say nothing, and are few."""


@pytest.fixture(autouse=True)
def one_thread():
    """Many small operations: PyTorch's threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Twice:
    """The products of a network in PyTorch, of one dtype."""

    def __init__(self, case, x, dtype):
        network, numbers = random_networks.build(case, torch_twin.Builder(case.shape[1], dtype))
        record = network.forward(x)
        self.input, self.dtype = record.outputs[0], dtype
        self.output = record.outputs[numbers[case.layers[-1].name]]

    def product(self, seeds, direction):
        """J v and the Hessian of <seeds, output> times v."""
        v = torch.as_tensor(direction).to(self.dtype)
        u = torch.as_tensor(seeds).to(self.dtype).requires_grad_(True)
        (g,) = torch.autograd.grad(self.output, self.input, u, create_graph=True)
        (moved,) = torch.autograd.grad(g, u, v, retain_graph=True)
        bent = None
        if g.requires_grad:
            (bent,) = torch.autograd.grad(g, self.input, v, allow_unused=True)
        bent = torch.zeros_like(self.input) if bent is None else bent
        return moved.numpy(), bent.numpy(), float(g.detach().abs().max())


@pytest.mark.parametrize("first", range(2000, 2200, 50))
def test_products_of_random_networks(first):
    compared = curved = 0
    for seed in range(first, first + 50):
        case = random_networks.random_case(seed)
        twin = random_networks.TorchTwin(case, torch_twin.Builder(case.shape[1]))
        x = twin.robust_pictures()
        if x is None:
            continue
        tape, last = tape_of(case, x), case.layers[-1].name
        rng = np.random.default_rng(seed)
        direction = rng.standard_normal(x.shape).astype(np.float32)
        found = tape.jvp(direction[None], last)[0]
        seeds = rng.standard_normal(found.shape).astype(np.float32)
        (bent,) = tape.hessian_products(linear_in(last, seeds), direction)
        moved, expected, size = Twice(case, x, torch.float64).product(seeds, direction)
        single = Twice(case, x, torch.float32).product(seeds, direction)
        for ours, theirs, rounded in ((found, moved, single[0]), (bent, expected, single[1])):
            least = 1e-7 * size if theirs is expected else 0.0
            scale = np.abs(theirs).max()
            error = np.abs(rounded - theirs).max()
            if scale == 0 or error > ILL_CONDITIONED * scale:
                continue
            compared += 1
            difference = np.abs(ours - theirs).max()
            assert difference <= max(LIMIT * scale, 10 * error, least), str(case)
        curved += np.abs(expected).max() > 1e-3 * size
    assert compared > 45 and curved > 8
