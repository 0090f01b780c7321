"""The methods against captum's, on narrow VGG-16s, with captum's options."""

from __future__ import annotations

import numpy as np
import pytest
import vggs
from helpers import assert_close, peer, robust_pictures

import gradcam
from gradcam import rules

torch = peer("torch")
attr = peer("captum.attr")

import torch_modules  # noqa: E402

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore:Setting (forward, )?backward hooks"),
    pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients"),
]
CLASSES = [3, 7]


@pytest.fixture(scope="module")
def both():
    """gradcam's tape, captum's model and its input."""
    tensors = vggs.tensors()
    x = robust_pictures(vggs.twin("vgg16", tensors)[0], (2, 3, 32, 48))
    tape = gradcam.vgg16(tensors).forward(x)
    return tape, torch_modules.VGG("vgg16", tensors), torch.tensor(x, dtype=torch.float64)


def raw(explanations) -> np.ndarray:
    return np.stack([each.raw for each in explanations])


def test_scores(both):
    tape, model, x = both
    assert_close(tape.scores, model(x).detach(), "network")


def test_saliency(both):
    tape, model, x = both
    theirs = attr.Saliency(model).attribute(x, target=CLASSES, abs=False)
    assert_close(raw(tape.saliency(CLASSES)), theirs.detach(), "network")


def test_guided_backprop(both):
    tape, model, x = both
    theirs = attr.GuidedBackprop(model).attribute(x, target=CLASSES)
    assert_close(raw(tape.guided_backprop(CLASSES)), theirs.detach(), "network")


def test_deconvnet(both):
    tape, model, x = both
    theirs = attr.Deconvolution(model).attribute(x, target=CLASSES)
    assert_close(raw(tape.deconvnet(CLASSES)), theirs.detach(), "network")


@pytest.mark.parametrize("layer", ["conv1_1", "relu3_3", "pool4", "conv5_3", "relu5_3"])
def test_grad_cam(layer, both):
    tape, model, x = both
    theirs = attr.LayerGradCam(model, model.layer(layer)).attribute(x, target=CLASSES)
    assert_close(raw(tape.grad_cam(CLASSES, layer=layer)), theirs.detach()[:, 0], "network")


def test_guided_grad_cam(both):
    tape, model, x = both
    method = attr.GuidedGradCam(model, model.layer("relu5_3"))
    theirs = method.attribute(x, target=CLASSES, interpolate_mode="bilinear")
    assert_close(raw(tape.guided_grad_cam(CLASSES)), theirs.detach(), "network")


@pytest.mark.parametrize(
    "patch, stride, baseline",
    [
        ((8, 8), (8, 8), "number"),
        ((10, 7), (7, 6), "colour"),
        ((12, 9), (12, 9), "picture"),
        ((32, 48), (1, 1), "number"),
    ],
)
def test_occlusion(patch, stride, baseline, both):
    """The last patches are cut off at the edge in both."""
    tape, model, x = both
    hidden = {
        "number": 0,
        "colour": np.array([-1.0, 0, 1]),
        "picture": x.numpy()[0, :, ::-1].copy(),
    }
    ours = hidden[baseline]
    shape = {"number": (1, 1, 1, 1), "colour": (1, 3, 1, 1), "picture": (1, 3, 32, 48)}[baseline]
    theirs = attr.Occlusion(model).attribute(
        x,
        (3, *patch),
        strides=(3, *stride),
        target=CLASSES,
        baselines=torch.tensor(np.reshape(ours, shape)),
        perturbations_per_eval=8,
    )
    found = raw(tape.occlusion(CLASSES, patch=patch, stride=stride, baseline=ours))
    for channel in range(3):  # captum repeats the map for each channel that a patch covers
        assert_close(found, theirs[:, channel], "network")


@pytest.mark.parametrize("name", ["epsilon", "gamma"])
def test_lrp(name, both):
    """captum's gamma rule does not change biases, zennit's and this one do: here there are none."""
    tape, model, x = both
    lrp_rules = pytest.importorskip("captum.attr._utils.lrp_rules")
    theirs = {
        "epsilon": lrp_rules.EpsilonRule(0.25),
        "gamma": lrp_rules.GammaRule(0.5, set_bias_to_zero=True),
    }[name]
    ours = {"epsilon": rules.Epsilon(0.25), "gamma": rules.Gamma(0.5, 1e-9, bias=False)}[name]
    linear = rules.Epsilon(0.25)
    first = linear if name == "gamma" else None  # captum's gamma is for inputs of 0 or more
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.rule = theirs
        elif isinstance(module, torch.nn.Linear):
            module.rule = lrp_rules.EpsilonRule(0.25)
    if first is not None:
        model.features[0].rule = lrp_rules.EpsilonRule(0.25)
    found = attr.LRP(model).attribute(x, target=CLASSES).detach()
    composite = rules.Composite(rules.Epsilon(1e-9), {"conv": ours, "linear": linear}, first)
    assert_close(raw(tape.lrp(CLASSES, rule=composite)), found, "network")
