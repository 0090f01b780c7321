"""Steps of gradient ascent on a picture, against PyTorch's autograd and optimisers."""

from __future__ import annotations

import numpy as np
import pytest
import vggs
from helpers import largest_difference, peer, robust_pictures

import gradcam
from gradcam._results.objectives import Class, LogOdds
from gradcam._synthesis.aims import Matching, Raising
from gradcam._synthesis.ascent import Limits, ascend
from gradcam._synthesis.canvas import Canvas
from gradcam._synthesis.recipe import Recipe

torch = peer("torch")

import torch_modules  # noqa: E402

pytestmark = pytest.mark.peers

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def both():
    """A network with torchvision's preset, PyTorch's model, and values for both."""
    tensors = vggs.tensors()
    network = gradcam.vgg16(tensors, preset="torchvision")
    x = robust_pictures(vggs.twin("vgg16", tensors)[0], (1, 3, 32, 32))
    mean, std = (np.array(each, np.float32)[:, None, None] for each in (MEAN, STD))
    return network, torch_modules.VGG("vgg16", tensors), (x * std + mean).astype(np.float32)


def as_input(values):
    mean, std = (torch.tensor(each, dtype=torch.float64)[:, None, None] for each in (MEAN, STD))
    return (values - mean) / std


def penalised(score, values, recipe):
    away = values - torch.tensor(MEAN, dtype=torch.float64)[:, None, None]
    down, right = values.diff(dim=2), values.diff(dim=3)
    variation = (down**2).sum() + (right**2).sum()
    return score - recipe.l2 * (away**2).sum() - recipe.total_variation * variation


@pytest.mark.parametrize("odds", [False, True])
def test_a_step_of_plain_ascent(odds, both):
    network, model, start = both
    recipe = Recipe(*(1, 0.05, "gradient", "pixels", 1e-3, 1e-3), jitter=0, zoom=0.0, clip=False)
    aim = Raising(network, [LogOdds(3) if odds else Class(3)])
    found, _ = ascend(aim, Canvas.of(network), start, recipe, Limits())
    values = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    scores = model(as_input(values))
    score = torch.logit(torch.softmax(scores, 1)[0, 3]) if odds else scores[0, 3]
    penalised(score, values, recipe).backward()
    gradient = values.grad
    expected = values.detach() + 0.05 * gradient / gradient.square().mean().sqrt()
    change = expected.numpy() - start
    assert largest_difference(found - start, change) <= 1e-4


def test_adam(both):
    """Its steps, on a fixed gradient: PyTorch's Adam with a tiny epsilon."""
    gradients = np.random.default_rng(0).standard_normal((6, 1, 3, 8, 8)).astype(np.float32)
    each = iter(gradients)

    def aim(input):
        return {"score": np.zeros(1, np.float32)}, next(each)

    recipe = Recipe(6, 0.01, "adam", "pixels", clip=False)
    found, _ = ascend(aim, Canvas(None, 3), np.zeros_like(gradients[0]), recipe, Limits())
    values = torch.zeros(gradients[0].shape, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([values], lr=0.01, eps=1e-30, maximize=True)
    for gradient in gradients:
        values.grad = torch.tensor(gradient, dtype=torch.float64)
        optimiser.step()
    assert largest_difference(found, values.detach()) <= 1e-5


def test_the_gradient_of_a_code(both):
    network, model, start = both
    canvas = Canvas.of(network)
    tape = network.forward(canvas.to_input(np.full_like(start, 0.5)), input="normalised")
    code = tape.activation("fc8")
    _, found = Matching(network, "fc8", code)(canvas.to_input(start))
    values = torch.tensor(canvas.to_input(start), dtype=torch.float64, requires_grad=True)
    target = torch.tensor(code, dtype=torch.float64)
    (-((model(values) - target) ** 2).sum() / (target**2).sum()).backward()
    assert largest_difference(found, values.grad) <= 1e-4
