"""The attribute network in PyTorch, and the layers made of its weights."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch: pip install gradcam[train]")

from gradcam.pictograms import _attribute_networks as networks  # noqa: E402
from gradcam.pictograms._attribute_nets import VGG  # noqa: E402
from gradcam.pictograms._attributes import ATTRIBUTES  # noqa: E402
from gradcam.pictograms._described import described  # noqa: E402
from gradcam.pictograms._picture_run import preprocess  # noqa: E402


def test_the_layers_compute_what_the_trained_network_does(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [described(seed, side=112).picture for seed in range(2)]
    x = preprocess(np.stack(pictures))
    torch.manual_seed(0)
    net = VGG()
    with torch.no_grad():
        for _ in range(2):  # so that the running statistics are not the initial ones
            net(x)
        net.eval()
        maps, scores = net.maps(x).numpy(), net(x).numpy()
    tensors = {name: tensor.detach().numpy() for name, tensor in net.tensors().items()}
    monkeypatch.setattr(networks, "_tensors", lambda: tensors)
    tape = networks.attribute_model.__wrapped__().forward(pictures)
    assert scores.shape == (2, len(ATTRIBUTES))
    for name, expected in ((networks.LAST_MAP, maps), ("fc", scores)):
        largest = np.abs(expected).max()
        np.testing.assert_allclose(tape.activation(name), expected, rtol=0, atol=1e-5 * largest)


def test_the_position_with_the_largest_score_counts_most_in_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = VGG()
    maps = torch.zeros(1, 128, 14, 14)
    monkeypatch.setattr(net, "maps", lambda pictures: maps)
    _, at_first = net.training_scores(maps)
    assert at_first.mean().item() == pytest.approx(-3.5, abs=0.05)
    with torch.no_grad():
        net.places.weight[0, 0] = 1
        net.places.bias.zero_()
    maps[0, 0, 3, 4] = 9
    means, places = net.training_scores(maps)
    assert places[0, 0].item() == pytest.approx(np.log(np.exp(9) + 195), abs=1e-3)
    expected = net.fc.bias + net.fc.weight[:, 0] * 9 / 196
    torch.testing.assert_close(means[0], expected, atol=1e-5, rtol=1e-5)
