"""Sampling, paths and DeepLIFT against captum's, in float64, on narrow VGG-16s."""

from __future__ import annotations

import numpy as np
import pytest
import vggs
from helpers import largest_difference, peer, robust_pictures

import gradcam
from gradcam._methods import passes, paths

torch = peer("torch")
attr = peer("captum.attr")

import torch_modules  # noqa: E402

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore:Setting (forward, )?backward hooks"),
    pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients"),
]
CLASSES = [3, 7]
MOST = 1e-4


@pytest.fixture(scope="module")
def both():
    """gradcam's tape, captum's model and its input."""
    tensors = vggs.tensors()
    x = robust_pictures(vggs.twin("vgg16", tensors)[0], (2, 3, 32, 48))
    tape = gradcam.vgg16(tensors).forward(x)
    return tape, torch_modules.VGG("vgg16", tensors), torch.tensor(x, dtype=torch.float64)


@pytest.fixture(scope="module")
def start():
    return np.random.default_rng(5).standard_normal((3, 32, 48)).astype(np.float32)


def raw(explanations) -> np.ndarray:
    return np.stack([each.raw for each in explanations])


def test_input_x_gradient(both):
    tape, model, x = both
    theirs = attr.InputXGradient(model).attribute(x, target=CLASSES)
    assert largest_difference(raw(tape.input_x_gradient(CLASSES)), theirs.detach()) < MOST


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("kind", ["smoothgrad", "smoothgrad_sq", "vargrad"])
def test_noise_tunnel(kind, batch, both, monkeypatch):
    """captum gets the same noise; its standard deviations are absolute."""
    tape, model, x = both
    methods = {"smoothgrad": "smooth_grad", "smoothgrad_sq": "smooth_grad_squared"}
    found = raw(tape.explain(methods.get(kind, "var_grad"), CLASSES, samples=8, noise=0.05))
    for n, index in enumerate(CLASSES):
        picture = tape.input[n]
        copies = passes.noisy(picture, 0.05, 0, slice(0, 8))
        noise = iter(torch.tensor(copies.astype(np.float64) - picture).split(batch))
        with monkeypatch.context() as patched:
            patched.setattr(torch, "normal", lambda mean, deviations, noise=noise: next(noise))
            tunnel = attr.NoiseTunnel(attr.Saliency(model))
            theirs = tunnel.attribute(
                x[n : n + 1],
                nt_type=kind,
                nt_samples=8,
                nt_samples_batch_size=batch,
                stdevs=1.0,
                target=index,
                abs=False,
            )
        assert largest_difference(found[n], theirs.detach()[0]) < MOST


@pytest.mark.parametrize("rule", ["gauss_legendre", "middle", "trapezoid", "left", "right"])
def test_integrated_gradients(rule, both, start):
    """The weights of captum's trapezoid rule add up to 1 - 1 / steps."""
    tape, model, x = both
    options = {"baseline": start, "steps": 10, "quadrature": rule}
    theirs = attr.IntegratedGradients(model).attribute(
        x,
        torch.tensor(start, dtype=torch.float64)[None],
        target=CLASSES,
        n_steps=10,
        method="gausslegendre" if rule == "gauss_legendre" else f"riemann_{rule}",
    )
    found = raw(tape.integrated_gradients(CLASSES, **options))
    factor = 9 / 10 if rule == "trapezoid" else 1
    assert largest_difference(factor * found, theirs.detach()) < MOST


def test_expected_gradients(both, monkeypatch):
    """captum's GradientShap without noise, with the same baselines and places."""
    tape, model, x = both
    given = np.random.default_rng(3).standard_normal((4, 3, 32, 48)).astype(np.float32)
    found = raw(tape.expected_gradients(CLASSES, samples=6, baselines=given, seed=5))
    for n, index in enumerate(CLASSES):
        starts, shares = paths._Draws(tape, tape.input[n], given, 6, 5).next(slice(0, 6))
        chosen = [int((given == start).all((1, 2, 3)).argmax()) for start in starts]
        with monkeypatch.context() as patched:
            patched.setattr(np.random, "choice", lambda *_, chosen=chosen: np.array(chosen))
            patched.setattr(np.random, "uniform", lambda *_, shares=shares: shares.ravel())
            theirs = attr.GradientShap(model).attribute(
                x[n : n + 1],
                torch.tensor(given, dtype=torch.float64),
                n_samples=6,
                stdevs=0.0,
                target=index,
            )
        assert largest_difference(found[n], theirs.detach()[0]) < MOST


class Same(torch.nn.Module):
    """Keeps captum's hooks of a ReLU and of a max pooling on different tensors.

    Without it captum's rule of max pooling has no effect, and its contributions do not add up.
    """

    def forward(self, x):
        return x * 1.0


@pytest.mark.parametrize("conv", ["winograd", "direct"])
def test_deep_lift(conv, both, start):
    """One picture at a time: where x = x', captum's max pooling reads the first one's gradient.

    With a baseline of one colour, windows have several maxima but for rounding: the convolutions
    are computed by their definition then.
    """
    tape, _, x = both
    model = torch_modules.VGG("vgg16", vggs.tensors())
    features = [
        (each, Same()) if isinstance(each, torch.nn.ReLU) else (each,) for each in model.features
    ]
    model.features = torch.nn.Sequential(*(one for each in features for one in each))
    if conv == "direct":
        start = np.zeros_like(start)
        tape = gradcam.vgg16(vggs.tensors(), conv="direct").forward(tape.input.copy())
    found = raw(tape.deep_lift(CLASSES, baseline=start))
    for n, index in enumerate(CLASSES):
        theirs, delta = attr.DeepLift(model).attribute(
            x[n : n + 1],
            torch.tensor(start, dtype=torch.float64)[None],
            target=index,
            return_convergence_delta=True,
        )
        assert abs(delta.item()) < 1e-12
        assert largest_difference(found[n], theirs.detach()[0]) < MOST
