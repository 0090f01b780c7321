"""LRP against zennit's composites, on a narrow VGG-11, in zennit in float64.

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

import torch_modules  # noqa: E402

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
