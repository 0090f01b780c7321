"""LRP against zennit's composites, on a narrow VGG-11 and a residual network, zennit in float64.

zennit's composites cannot say what a network of other operations does; where gradcam does more, see
`gradcam.METHODS["lrp"]`.
"""

from __future__ import annotations

import numpy as np
import pytest
import vggs
from helpers import largest_difference, peer, robust_pictures

import gradcam
from gradcam import rules

torch = peer("torch")
composites = peer("zennit.composites")
attribution = peer("zennit.attribution")

sums = peer("zennit.layer")

import torch_modules  # noqa: E402
from test_relevance import with_a_branch  # noqa: E402

pytestmark = pytest.mark.peers
CLASSES = [3, 7]
LOW, HIGH = -4.0, 4.0


def zennit_box(**options):
    return composites.EpsilonGammaBox(low=torch.tensor(LOW), high=torch.tensor(HIGH), **options)


PAIRS = {
    "EpsilonPlus": (composites.EpsilonPlus, rules.EpsilonPlus),
    "EpsilonPlusFlat": (composites.EpsilonPlusFlat, rules.EpsilonPlusFlat),
    "EpsilonAlpha2Beta1": (composites.EpsilonAlpha2Beta1, rules.EpsilonAlpha2Beta1),
    "EpsilonAlpha2Beta1Flat": (composites.EpsilonAlpha2Beta1Flat, rules.EpsilonAlpha2Beta1Flat),
    "EpsilonGammaBox": (zennit_box, lambda **options: rules.EpsilonGammaBox(LOW, HIGH, **options)),
}


@pytest.fixture(scope="module")
def both():
    """gradcam's tape, zennit's model and its input."""
    tensors = vggs.tensors("vgg11")
    x = robust_pictures(vggs.twin("vgg11", tensors)[0], (2, 3, 32, 48))
    tape = gradcam.vgg11(tensors).forward(x)
    return tape, torch_modules.VGG("vgg11", tensors), torch.tensor(x, dtype=torch.float64)


def by_zennit(model, x, composite) -> np.ndarray:
    """The relevance of the pixels; it starts from the score."""
    index = torch.tensor(CLASSES)

    def score_alone(output):
        return torch.nn.functional.one_hot(index, output.shape[1]) * output

    with attribution.Gradient(model, composite, attr_output=score_alone) as attributor:
        return attributor(x.requires_grad_())[1].detach().numpy()


@pytest.mark.parametrize("bias", [True, False], ids=["biases", "no biases"])
@pytest.mark.parametrize("name", PAIRS)
def test_composites(name, bias, both):
    tape, model, x = both
    theirs, ours = PAIRS[name]
    zero = None if bias else "bias"
    expected = by_zennit(model, x, theirs(epsilon=0.1, zero_params=zero))
    found = np.stack([one.raw for one in tape.lrp(CLASSES, rule=ours(epsilon=0.1, bias=bias))])
    assert largest_difference(found, expected) <= 1e-4


def test_excitation_backprop_is_zennits(both):
    tape, model, x = both
    name = composites.COMPOSITES["excitation_backprop"]
    seeds = np.zeros((1, *tape.scores.shape), np.float32)
    seeds[0, [0, 1], CLASSES] = 1
    (found,) = tape.backward(tape.score_layer, seeds, ["input"], "excitation")
    composite = name(zero_params="bias")
    one_hot = torch.nn.functional.one_hot(torch.tensor(CLASSES), tape.scores.shape[1])
    with attribution.Gradient(model, composite) as attributor:
        expected = attributor(x.requires_grad_(), one_hot.double())[1].detach().numpy()
    assert largest_difference(found[0], expected) <= 1e-4


class Residual(torch.nn.Module):
    """The network of `with_a_branch`, with zennit's module for sums."""

    def __init__(self, layers):
        super().__init__()
        for layer in layers:
            if layer.op in ("conv", "linear"):
                weight = torch.tensor(layer.weights["weight"])
                is_conv = layer.op == "conv"
                kind, sizes = (torch.nn.Conv2d, (3, 1, 1)) if is_conv else (torch.nn.Linear, ())
                module = kind(weight.shape[1], weight.shape[0], *sizes, bias=is_conv)
                module.weight.data = weight
                if is_conv:
                    module.bias.data = torch.tensor(layer.weights["bias"])
                setattr(self, layer.name, module)
        self.relu1, self.relu2, self.sum = torch.nn.ReLU(), torch.nn.ReLU(), sums.Sum(dim=-1)
        self.mean = torch.nn.AdaptiveAvgPool2d(1)
        self.double().eval()

    def forward(self, x):
        x = self.relu1(self.stem(x))
        x = self.relu2(self.sum(torch.stack([self.branch(x), x], dim=-1)))
        return self.scores(torch.flatten(self.mean(x), 1))


@pytest.mark.parametrize("name", PAIRS)
def test_a_residual_network(name):
    layers = with_a_branch()
    x = np.random.default_rng(3).standard_normal((2, 3, 12, 14))
    tape = gradcam.Network.from_layers(layers).forward(x)
    theirs, ours = PAIRS[name]
    index = [3, 1]
    model = Residual(layers)

    def score_alone(output):
        return torch.nn.functional.one_hot(torch.tensor(index), output.shape[1]) * output

    with attribution.Gradient(model, theirs(), attr_output=score_alone) as attributor:
        expected = attributor(torch.tensor(x).requires_grad_())[1].detach().numpy()
    found = np.stack([one.raw for one in tape.lrp(index, rule=ours())])
    assert largest_difference(found, expected) <= 1e-4
