"""The family of class activation maps against pytorch-grad-cam, torch-cam and captum.

The classes have positive scores: of negative ones, pytorch-grad-cam's Ablation-CAM turns the sign.
"""

from __future__ import annotations

import numpy as np
import pytest
import vggs
from helpers import largest_difference, peer, robust_pictures

import gradcam

torch = peer("torch")

from gradcam.bench._engines.pytorch import replace_missing_torchvision  # noqa: E402

replace_missing_torchvision()
pytorch_grad_cam = peer("pytorch_grad_cam")
torchcam = peer("torchcam.methods")
attr = peer("captum.attr")

import torch_modules  # noqa: E402
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # noqa: E402
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection  # noqa: E402

pytestmark = pytest.mark.peers
LIMIT = 1e-4
LAYERS = ["relu3_3", "relu5_3", "pool5"]


class Peers:
    """A tape, and PyTorch's model with the same weights, in float32 and float64."""

    def __init__(self, scale: float = 1.0) -> None:
        tensors = vggs.tensors()
        tensors["classifier.6.weight"] *= np.float32(scale)
        self.x = robust_pictures(vggs.twin("vgg16", tensors)[0], (2, 3, 64, 96))
        self.tape = gradcam.vgg16(tensors).forward(self.x)
        self.classes = [int(each.argmax()) for each in self.tape.scores]
        assert (self.tape.scores.max(1) > 0).all()
        self.double = torch_modules.VGG("vgg16", tensors)
        self.model = torch_modules.VGG("vgg16", tensors).float()

    def pytorch_grad_cam(self, name: str, layers: list[str], x=None) -> np.ndarray:
        modules = [self.model.layer(layer) for layer in layers]
        method = getattr(pytorch_grad_cam, name)(self.model, modules)
        targets = [ClassifierOutputTarget(index) for index in self.classes]
        return method(torch.tensor(self.x), targets)

    def torchcam(self, name: str, layer: str, **options) -> np.ndarray:
        """Return maps after the ReLU, not normalised."""
        x = torch.tensor(self.x, dtype=torch.float64)
        with getattr(torchcam, name)(self.double, self.double.layer(layer), **options) as method:
            scores = self.double(x)
            if "Score" in name:
                return method(self.classes, normalized=False)[0].numpy()
            return method(self.classes, scores, normalized=False)[0].detach().numpy()

    def check(self, method: str, layer: str, desired: np.ndarray) -> None:
        """Compare evidence with maps that are not normalised."""
        for ours, theirs in zip(self.tape.explain(method, self.classes, layer=layer), desired,
                                strict=True):  # fmt: skip
            assert largest_difference(ours.evidence, theirs) <= LIMIT


@pytest.fixture(scope="module")
def peers():
    return Peers()


@pytest.fixture(scope="module")
def steep():
    """Gradients far above the 1e-7 that pytorch-grad-cam adds to the largest values of maps."""
    return Peers(1000.0)


PYTORCH_GRAD_CAM = {
    "grad_cam": "GradCAM",
    "grad_cam_plus_plus": "GradCAMPlusPlus",
    "x_grad_cam": "XGradCAM",
    "hires_cam": "HiResCAM",
    "grad_cam_elementwise": "GradCAMElementWise",
    "layer_cam": "LayerCAM",
    "score_cam": "ScoreCAM",
    "ablation_cam": "AblationCAM",
}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("method", PYTORCH_GRAD_CAM)
def test_pytorch_grad_cam(method, layer, peers):
    theirs = peers.pytorch_grad_cam(PYTORCH_GRAD_CAM[method], [layer])
    ours = peers.tape.explain(method, peers.classes, layer=layer)
    for explanation, desired in zip(ours, theirs, strict=True):
        assert desired.max() > 0
        np.testing.assert_allclose(explanation.map, desired, atol=LIMIT)


@pytest.mark.parametrize("method", ["grad_cam", "layer_cam"])
def test_several_layers_of_pytorch_grad_cam(method, steep):
    theirs = steep.pytorch_grad_cam(PYTORCH_GRAD_CAM[method], LAYERS)
    ours = steep.tape.explain(method, steep.classes, layer=LAYERS)
    for explanation, desired in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(explanation.map, desired, atol=LIMIT)


@pytest.mark.parametrize("layer", LAYERS)
def test_eigen_cam_up_to_the_sign(layer, peers):
    maps = peers.tape.activation(layer)
    products = maps * peers.tape.gradient(peers.classes, layer)
    for method, values in (("eigen_cam", maps), ("eigen_grad_cam", products)):
        theirs = get_2d_projection(values)
        for ours, desired in zip(peers.tape.explain(method, peers.classes, layer=layer), theirs,
                                 strict=True):  # fmt: skip
            sign = np.sign(np.vdot(ours.raw, desired))
            assert largest_difference(sign * ours.raw, desired) <= LIMIT


def test_full_grad_of_pytorch_grad_cam(steep):
    theirs = steep.pytorch_grad_cam("FullGrad", [])
    for explanation, desired in zip(steep.tape.full_grad(steep.classes), theirs, strict=True):
        np.testing.assert_allclose(explanation.map, desired, atol=LIMIT)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    ("method", "name"),
    [("grad_cam", "GradCAM"), ("x_grad_cam", "XGradCAM"), ("layer_cam", "LayerCAM")],
)
def test_torchcam(method, name, layer, peers):
    peers.check(method, layer, peers.torchcam(name, layer))


def test_score_cam_of_torchcam(peers):
    """At a layer as large as the input, where its masks are not resized."""
    peers.check("score_cam", "relu1_2", peers.torchcam("ScoreCAM", "relu1_2"))


def test_what_torchcam_defines_otherwise(peers):
    """Grad-CAM++ without its division; Smooth Grad-CAM++ with the sum of A * G^3."""
    maps = peers.tape.activation("relu5_3").astype(np.float64)
    g = peers.tape.gradient(peers.classes, "relu5_3").astype(np.float64)
    below = 2 * g**2 + (g**3 * maps).sum((2, 3), keepdims=True) + 1e-8
    for name, options, alpha in (
        ("GradCAMpp", {}, g**2),
        ("SmoothGradCAMpp", {"num_samples": 1, "std": 1e-12}, g**2 / below),
    ):
        weights = (alpha * np.maximum(g, 0)).sum((2, 3))
        desired = np.maximum(np.einsum("nk,nkuv->nuv", weights, maps), 0)
        assert largest_difference(peers.torchcam(name, "relu5_3", **options), desired) <= LIMIT


def test_cam_of_torchcam():
    from test_cam_family import with_global_pooling
    from torch import nn

    layers = with_global_pooling()
    model = nn.Sequential(
        *(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 9, 3, padding=1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(9, 5)),
    )
    weighted = [each for each in layers if each.op in ("conv", "linear")]
    for module, layer in zip((model[0], model[3], model[7]), weighted, strict=True):
        module.load_state_dict({key: torch.tensor(each) for key, each in layer.weights.items()})
    x = np.random.default_rng(3).standard_normal((2, 3, 20, 28)).astype(np.float32)
    tape = gradcam.Network.from_layers(layers).forward(x)
    with torchcam.CAM(model, model[4], model[7]) as method:
        model(torch.tensor(x))
        theirs = method([1, 3], normalized=False)[0].numpy()
    for ours, desired in zip(tape.cam([1, 3]), theirs, strict=True):
        assert largest_difference(ours.raw, desired) <= LIMIT


@pytest.mark.parametrize("layer", LAYERS)
def test_captum(layer, peers):
    """Its gradient times activation, summed over the channels, is HiResCAM."""
    x = torch.tensor(peers.x, dtype=torch.float64)
    method = attr.LayerGradientXActivation(peers.double, peers.double.layer(layer))
    theirs = method.attribute(x, target=peers.classes).detach().numpy().sum(1)
    for ours, desired in zip(peers.tape.hires_cam(peers.classes, layer=layer), theirs,
                             strict=True):  # fmt: skip
        assert largest_difference(ours.raw, desired) <= LIMIT
