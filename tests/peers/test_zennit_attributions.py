"""SmoothGrad and integrated gradients against zennit's, in float64, on a narrow VGG-16."""

from __future__ import annotations

import numpy as np
import pytest
import vggs
from helpers import largest_difference, peer, robust_pictures

import gradcam
from gradcam._methods import passes

torch = peer("torch")
attribution = peer("zennit.attribution")

import torch_modules  # noqa: E402

pytestmark = pytest.mark.peers
CLASSES = [3, 7]
MOST = 1e-4


@pytest.fixture(scope="module")
def both():
    """gradcam's tape, PyTorch's model, its input, and what chooses the classes."""
    tensors = vggs.tensors()
    x = robust_pictures(vggs.twin("vgg16", tensors)[0], (2, 3, 32, 48))
    tape = gradcam.vgg16(tensors).forward(x)
    chosen = torch.eye(10, dtype=torch.float64)[CLASSES]
    return tape, torch_modules.VGG("vgg16", tensors), torch.tensor(x, dtype=torch.float64), chosen


def raw(explanations) -> np.ndarray:
    return np.stack([each.raw for each in explanations])


def test_integrated_gradients(both):
    tape, model, x, chosen = both
    with attribution.IntegratedGradients(model, n_iter=8) as attributor:
        theirs = attributor(x, chosen)[1]
    found = tape.integrated_gradients(CLASSES, steps=8, baseline=0.0, quadrature="right")
    assert largest_difference(raw(found), theirs) < MOST


def test_smooth_grad(both, monkeypatch):
    """The last of zennit's samples is the picture itself, without noise."""
    tape, model, x, chosen = both
    pairs = zip(
        *(passes.noisy(each, 1.0, 0, slice(0, 6)) - each for each in tape.input), strict=True
    )
    ranges = np.ptp(tape.input, axis=(1, 2, 3), keepdims=True)
    noise = iter([torch.tensor(np.stack(pair) / ranges, dtype=torch.float64) for pair in pairs])
    monkeypatch.setattr(torch, "randn_like", lambda values: next(noise))
    with attribution.SmoothGrad(model, noise_level=0.05, n_iter=7) as attributor:
        theirs = attributor(x, chosen)[1]
    found = 6 * raw(tape.smooth_grad(CLASSES, samples=6, noise=0.05)) + raw(tape.saliency(CLASSES))
    assert largest_difference(found / 7, theirs) < MOST
