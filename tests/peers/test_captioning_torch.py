"""A captioner of one's own in PyTorch: its gradient at a layer becomes maps of that layer.

The picture network is explained by gradcam, the LSTM stays in PyTorch: a `gradcam.Function` has its
gradient. The maps are those of PyTorch's own Grad-CAM of the whole program, in float64.
"""

from __future__ import annotations

import numpy as np
import pytest
from helpers import peer

import gradcam

torch = peer("torch")

from torch import nn  # noqa: E402

pytestmark = pytest.mark.peers

WORDS = [3, 1, 4, 1, 5]
"""The caption that is explained."""

SHAPES = {"classifier.4": (32,), "features.5": (10, 8, 8)}
"""The layers that the LSTM reads: the code, and the last map."""

MAP = "features.5"


class CNN(nn.Module):
    """A small network of pictures of 32 x 32."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4)),
            *(nn.Conv2d(6, 10, 3, padding=1), nn.BatchNorm2d(10), nn.ReLU()),
        )
        self.classifier = nn.Sequential(
            *(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(160, 24), nn.ReLU()),
            *(nn.Linear(24, 32), nn.Linear(32, 5)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return scores, which the captioner does not read."""
        return self.classifier(self.features(x))


class Decoder(nn.Module):
    """An LSTM whose first input is the picture's code, or the mean of its map."""

    def __init__(self, channels: int, words: int = 9) -> None:
        super().__init__()
        self.image = nn.Linear(channels, 12)
        self.embedding = nn.Embedding(words, 12)
        self.lstm = nn.LSTM(12, 16)
        self.output = nn.Linear(16, words)

    def forward(self, code: torch.Tensor) -> torch.Tensor:
        """Return the log-probability of each of WORDS for a code (K,) or a map (K, h, w)."""
        first = self.image(code if code.ndim == 1 else code.mean((1, 2)))
        read = torch.cat([first[None], self.embedding(torch.tensor(WORDS[:-1]))])
        said = torch.log_softmax(self.output(self.lstm(read)[0]), 1)
        return said[torch.arange(len(WORDS)), torch.tensor(WORDS)]


def as_objective(decoder: Decoder, layer: str, word: int) -> gradcam.Function:
    """The log-probability of one word as a function of the layer's output."""

    def run(outputs):
        code = torch.tensor(outputs[layer], requires_grad=True)
        return decoder(code)[word], code

    def gradient(outputs):
        value, code = run(outputs)
        return {layer: torch.autograd.grad(value, code)[0].numpy()}

    return gradcam.Function(
        f"word {word}", (layer,), lambda outputs: run(outputs)[0].item(), gradient
    )


@pytest.mark.parametrize("layer", SHAPES)
def test_maps_of_words_are_those_of_pytorch(layer):
    torch.manual_seed(4)
    cnn, decoder = CNN().eval(), Decoder(SHAPES[layer][0]).eval()
    x = torch.randn(1, 3, 32, 32)
    tape = gradcam.from_torch(cnn, x).forward(x.numpy(), input="normalised")
    words = [as_objective(decoder, layer, word) for word in range(len(WORDS))]
    found = tape.grad_cam([words], layer=MAP)[0]
    assert tape.shape(layer) == SHAPES[layer]

    cnn.double(), decoder.double()
    maps = cnn.features(x.double())
    code = maps if layer == MAP else cnn.classifier[:5](maps)
    for word, value in enumerate(decoder(code[0])):
        (gradient,) = torch.autograd.grad(value, maps, retain_graph=True)
        expected = (gradient.mean((2, 3), keepdim=True) * maps).sum(1)[0].detach().numpy()
        assert np.abs(found[word].raw - expected).max() <= 1e-5 * np.abs(expected).max()
        assert found[word].score == pytest.approx(value.item(), rel=1e-5)
