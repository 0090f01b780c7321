"""The convolutions that tell which colour belongs to which object: training, the same layers."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("safetensors", reason="needs safetensors")

from safetensors.torch import load_file  # noqa: E402

from gradcam.pictograms import _attribute_networks as networks  # noqa: E402
from gradcam.pictograms import _train_pairs, described  # noqa: E402
from gradcam.pictograms._described_maps import maps_network  # noqa: E402


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("pairs")
    few = ["--scenes", "24", "--validation", "8", "--batch", "8", "--epochs", "1", "--threads", "1"]
    _train_pairs.main(["--out", str(out), *few])
    return out


def test_a_run_adds_two_convolutions_and_changes_nothing_else(run):
    before = load_file(_train_pairs._WEIGHTS)
    after = load_file(run / "attributes-vgg.safetensors")
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert tensor.shape == after[name].shape
        assert torch.equal(tensor, after[name]) != name.startswith("conv6")
    assert "all labels right" in (run / "training.log").read_text()


def test_the_network_computes_what_was_trained(monkeypatch):
    torch.manual_seed(1)
    net = _train_pairs.PairNet()
    pool5 = maps_network("pool5").forward([described(n).picture for n in range(3)])
    maps = torch.from_numpy(pool5.activation("pool5").copy())
    for _ in range(3):
        net.train()(maps)  # statistics
    own = {name: tensor.numpy() for name, tensor in net.eval().tensors().items()}
    known = {**networks._tensors(), **own}
    monkeypatch.setattr(networks, "_tensors", lambda: known)
    ours = maps_network("relu6_2").forward([described(n).picture for n in range(3)])
    with torch.no_grad():
        x = torch.relu(net.norm1(net.conv1(net.norm(maps))))
        theirs = torch.relu(net.norm2(net.conv2(x))).numpy()
    error = np.abs(ours.activation("relu6_2") - theirs).max()
    assert error <= 1e-4 * np.abs(theirs).max()


def test_colours_are_told(monkeypatch):
    """On unseen scenes one linear layer over the shipped maps finds the colour of each object."""
    from gradcam.pictograms._attributes import ATTRIBUTES, attributes
    from gradcam.pictograms._described_maps import TESTS, numbered_scene

    scenes = [numbered_scene(n, TESTS) for n in range(120)]
    maps = maps_network("relu6_2").forward([s.picture for s in scenes]).activation("relu6_2")
    best = maps.max((2, 3))
    present = np.stack([attributes(s) for s in scenes])
    named = [n for n, name in enumerate(ATTRIBUTES) if " " in name and present[:, n].sum() >= 2]
    right = []
    for n in named:
        with_it, without = best[present[:, n] > 0].mean(0), best[present[:, n] == 0].mean(0)
        direction = with_it - without
        scores = best @ direction
        right.append(np.median(scores[present[:, n] > 0]) > np.quantile(scores, 0.9))
    assert np.mean(right) > 0.8
