"""Maps against pytorch-grad-cam's: float32 (N, H, W), from 0 to 1, resized to the input."""

from __future__ import annotations

import numpy as np
import pytest
import vggs
from helpers import assert_close, peer, robust_pictures

import gradcam

torch = peer("torch")

from gradcam.bench._engines.pytorch import replace_missing_torchvision  # noqa: E402

replace_missing_torchvision()
pytorch_grad_cam = peer("pytorch_grad_cam")

import torch_modules  # noqa: E402
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # noqa: E402

pytestmark = pytest.mark.peers
CLASSES = [3, 7]


@pytest.fixture
def both():
    """gradcam's tape, the package's model and its input; float32, as the package requires."""
    tensors = vggs.tensors()
    x = robust_pictures(vggs.twin("vgg16", tensors)[0], (2, 3, 64, 96))
    tape = gradcam.vgg16(tensors).forward(x)
    return tape, torch_modules.VGG("vgg16", tensors).float(), torch.tensor(x)


@pytest.mark.parametrize("layer", ["relu3_3", "conv4_3", "relu5_3"])
def test_grad_cam(layer, both):
    tape, model, x = both
    targets = [ClassifierOutputTarget(index) for index in CLASSES]
    theirs = pytorch_grad_cam.GradCAM(model, [model.layer(layer)])(x, targets)
    ours = tape.grad_cam(CLASSES, layer=layer)
    for explanation, desired in zip(ours, theirs, strict=True):
        assert explanation.map.shape == desired.shape
        np.testing.assert_allclose(explanation.map, desired, atol=1e-4)


def test_the_top_class_is_the_default(both):
    tape, model, x = both
    theirs = pytorch_grad_cam.GradCAM(model, [model.layer("relu5_3")])(x, None)
    for explanation, desired in zip(tape.grad_cam(), theirs, strict=True):
        np.testing.assert_allclose(explanation.map, desired, atol=1e-4)


def test_guided_backprop(both):
    tape, model, x = both
    method = pytorch_grad_cam.GuidedBackpropReLUModel(model=model, device="cpu")
    theirs = method(x[:1], target_category=3)
    assert_close(tape.guided_backprop([3, 7])[0].raw, theirs.transpose(2, 0, 1), "network")
