"""The core and the methods against PyTorch autograd in float64, with the core's decisions.

Two correct float32 programs can differ in the sign of a few ReLUs' inputs, and one difference
changes a pixel gradient by up to 1e-2 of its maximum. So PyTorch uses the core's signs and
positions of maxima (torch_twin.py), and all other differences are rounding.
"""

from __future__ import annotations

import nets
import numpy as np
import pytest
import reference
import vggs
from helpers import assert_close, largest_difference, peer

from gradcam import _core

torch = peer("torch")

import torch.nn.functional as F  # noqa: E402
import torch_twin  # noqa: E402

import gradcam  # noqa: E402

pytestmark = pytest.mark.peers
RULES = ["gradient", "guided", "deconvnet"]
PIXEL_RULES = {"saliency": "gradient", "deconvnet": "deconvnet", "guided_backprop": "guided"}
COMBINED = {"guided_grad_cam": "guided", "deconv_grad_cam": "deconvnet"}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("case", nets.ALL, ids=nets.case_id)
def test_forward_and_all_gradients(case, rule):
    x = case.pictures()
    ours, theirs = case.build(_core.NetworkBuilder), case.build(torch_twin.Builder)
    layers, last = range(len(ours)), len(ours) - 1
    tape = ours.forward(x, keep=layers)
    decisions = {i: tape.activation(i) for i in case.build(reference.Builder).deciding()}
    record = theirs.forward(x, decisions, rule)
    for layer in layers:
        assert_close(tape.activation(layer), record.activation(layer), "network")
    seeds = nets.normal(np.random.default_rng(6), 2, *record.activation(last).shape)
    expected = record.backward(last, seeds, layers)
    for actual, desired in zip(tape.backward(last, seeds, layers, rule), expected, strict=True):
        assert_close(actual, desired, "network")


class Torch:
    """A VGG in PyTorch with the decisions of one of gradcam's tapes; methods by autograd."""

    def __init__(self, net, tensors, tape):
        self.network, self.numbers = vggs.build(net.name, tensors, torch_twin.Builder(3))
        relus = [name for name in net.layers if name.startswith("relu")]
        self.decisions = {self.numbers[name]: tape.activation(name) for name in relus}
        self.x = tape.input
        self.target = net.target_layer
        self.records = {}

    def record(self, rule):
        if rule not in self.records:
            self.records = {rule: self.network.forward(self.x, self.decisions, rule)}
        return self.records[rule]

    def gradient(self, layer, classes, rule):
        record, scores = self.record(rule), self.numbers["fc8"]
        seeds = np.zeros((1, *record.activation(scores).shape))
        seeds[0, np.arange(len(classes)), classes] = 1
        return record.backward(scores, seeds, [self.numbers[layer]])[0][0]

    def cam(self, classes):
        alpha = self.gradient(self.target, classes, "gradient").mean(axis=(2, 3))
        maps = self.record("gradient").activation(self.numbers[self.target])
        return alpha, (alpha[:, :, None, None] * maps).sum(axis=1)

    def combined(self, classes, rule):
        cam = torch.tensor(self.cam(classes)[1]).clamp(min=0)[:, None]
        large = F.interpolate(cam, self.x.shape[2:], mode="bilinear", align_corners=False)
        return self.gradient("input", classes, rule) * large.numpy()


def check_all_methods(tape, theirs, classes, closeness):
    closeness(tape.scores, theirs.record("gradient").activation(theirs.numbers["fc8"]))
    prob = theirs.record("gradient").activation(theirs.numbers["prob"])
    closeness(tape.probabilities, prob)

    def raw(method):
        return np.stack([each.raw for each in tape.explain(method, classes)])

    alpha, cam = theirs.cam(classes)
    closeness(raw("grad_cam"), cam)
    closeness(np.stack([each.weights for each in tape.grad_cam(classes)]), alpha)
    closeness(raw("counterfactual"), -cam)
    for method, rule in PIXEL_RULES.items():
        closeness(raw(method), theirs.gradient("input", classes, rule))
    for method, rule in COMBINED.items():
        closeness(raw(method), theirs.combined(classes, rule))


def forward_with_relus(net, x):
    return net.forward(x, keep=[name for name in net.layers if name.startswith("relu")])


@pytest.mark.parametrize("name", vggs.NAMES)
def test_all_methods_on_narrow_vggs(name):
    tensors = vggs.tensors(name)
    net = getattr(gradcam, name)(tensors)
    tape = forward_with_relus(net, nets.normal(np.random.default_rng(1), 2, 3, 48, 72))

    def closeness(found, right):
        assert_close(found, right, "network")

    check_all_methods(tape, Torch(net, tensors, tape), [3, 7], closeness)


@pytest.mark.slow
def test_full_vgg16():
    """224x224, 138 million random weights: forward, all rules, all methods."""
    tensors = vggs.tensors(divide=1, hidden=(4096, 4096), classes=1000)
    net = gradcam.vgg16(tensors)
    tape = forward_with_relus(net, nets.normal(np.random.default_rng(1), 1, 3, 224, 224))

    def closeness(found, right):
        assert largest_difference(found, right) < 2e-5

    check_all_methods(tape, Torch(net, tensors, tape), [282], closeness)


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("size", [(14, 14), (7, 5), (20, 31), (1, 4), (224, 224)], ids=str)
def test_resize(size, corners):
    maps = nets.normal(np.random.default_rng(8), 2, 3, 7, 6)
    theirs = F.interpolate(
        torch.tensor(maps, dtype=torch.float64), size, mode="bilinear", align_corners=corners
    )
    ours = _core.resize(maps, size, "align_corners" if corners else "half_pixel")
    assert_close(ours, theirs.numpy(), "sum")
