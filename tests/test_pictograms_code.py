"""The layers of the picture's code: their training, the network, and what it tells."""

from __future__ import annotations

import argparse

import numpy as np
import pytest
from helpers import largest_difference

torch = pytest.importorskip("torch", reason="training needs PyTorch: pip install gradcam[train]")
pytest.importorskip("safetensors", reason="needs safetensors")

from safetensors.torch import load_file  # noqa: E402

from gradcam.pictograms import _attribute_networks as networks  # noqa: E402
from gradcam.pictograms import _train_code, described  # noqa: E402
from gradcam.pictograms._code_nets import MAPS, CodeNet  # noqa: E402
from gradcam.pictograms._described_maps import (  # noqa: E402
    TESTS,
    VALIDATION,
    numbered_scene,
    stored_codes,
)
from gradcam.pictograms._facts import FACTS, PLACES, facts, places  # noqa: E402
from gradcam.pictograms._waves import over_positions  # noqa: E402

FEW = ["--scenes=24", "--validation=8", "--batch=8", "--threads=1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("code")
    _train_code.main(["--out", str(out), *FEW, "--epochs=1"])
    return out


def test_a_run_writes_the_weights_of_the_network(run):
    made = load_file(run / "scene-code.safetensors")
    shipped = load_file(networks._FOLDER / "scene-code.safetensors")
    assert {name: each.shape for name, each in made.items()} == {
        name: each.shape for name, each in shipped.items()
    }


def test_weights_of_waves_are_those_of_positions():
    torch.manual_seed(0)
    net = CodeNet(dropout=0.2).eval()
    whole, compact = net.tensors(), net.compact()
    assert compact.keys() - whole.keys() == {"fc6.waves"}
    found = over_positions(compact["fc6.waves"].numpy())
    assert largest_difference(found, whole["fc6.weight"]) <= 1e-3


def test_the_log_of_a_run(run):
    log = (run / "training.log").read_text()
    assert "all attributes" in log and "with maxima" in log and "exported" in log


def training(out, maps):
    parser = argparse.ArgumentParser()
    _train_code.add_arguments(parser)
    given = ["--out", str(out), "--maps", str(maps), *FEW, "--epochs=2"]
    return _train_code.Training(parser.parse_args(given))


def test_a_resumed_run_is_the_same_run(run, tmp_path, capsys):
    whole = training(tmp_path / "whole", run)
    whole.run()
    part = training(tmp_path / "part", run)
    part.one_epoch()
    part.done = 1
    part.save()
    resumed = training(tmp_path / "part", run)
    assert "resumed after 1 epochs" in capsys.readouterr().out
    resumed.run()
    for name, each in whole.net.tensors().items():
        assert torch.equal(each, resumed.net.tensors()[name]), name


@pytest.mark.parametrize("maxima", [False, True])
def test_the_network_computes_what_was_trained(monkeypatch, maxima):
    torch.manual_seed(1)
    net = CodeNet(dropout=0.2)
    pictures = [described(n).picture for n in range(4)]
    shipped = networks.code_network({}, "shipped").forward(pictures)
    pool5 = torch.from_numpy(shipped.activation("pool5").copy())
    for _ in range(3):
        net.train()(net.places(pool5))  # statistics
    for layer in (net.fc7, net.fc7_maxima):
        layer.bias.data += 3  # so that many values of the code are above 0
    own = {name: each.detach().numpy().copy() for name, each in net.eval().tensors().items()}
    ours = networks.code_network(own, "own", maxima=maxima).forward(pictures)
    with torch.no_grad():
        places = net.places(pool5)
        theirs = torch.relu(net(places)[int(maxima)]).numpy()
        maps = torch.relu(places + 4).numpy()
    for layer, expected in (("relu6_3", maps), ("relu7", theirs)):
        error = np.abs(ours.activation(layer) - expected).max()
        assert error <= 1e-4 * np.abs(expected).max() > 0


def test_the_loss_is_that_of_plain_numpy():
    rng = np.random.default_rng(0)
    scenes = [numbered_scene(n, VALIDATION) for n in range(3)]
    true = np.stack([np.concatenate([facts(each), places(each)]) for each in scenes])
    scored = rng.normal(-4, 3, (3, 128, 7, 7)).astype(np.float32)
    scores = [rng.normal(size=(3, n)).astype(np.float32) for n in (len(FACTS), PLACES)]
    counted = rng.normal(size=(3, 64)).astype(np.float32)

    def entropy(x, label):
        return np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0) - x * label

    weighted = np.where(np.arange(PLACES) < 214, 1, 0.5) * np.ones((3, 1))
    total = sum(
        np.nansum(entropy(each, true[:, : each.shape[1]]) * weighted[:, : each.shape[1]])
        for each in scores
    )
    some = np.log(np.exp(scored.astype(np.float64)).sum((2, 3)))
    total += entropy(some, true[:, MAPS]).sum() + 0.5 * entropy(counted, true[:, 150:214]).sum()
    several = (true[:, 150:214].reshape(3, 16, 4) * [1, 2, 3, 4]).sum(2).repeat(2, 1)
    distance = np.abs(
        (1 / (1 + np.exp(-scored[:, 96:].astype(np.float64)))).sum((2, 3))
        - true[:, 118:150] * several
    )
    total += 4 * np.where(distance < 1, distance**2 / 2, distance - 0.5).sum()
    found = _train_code.loss_of(
        torch.from_numpy(scored),
        [torch.from_numpy(each) for each in scores],
        torch.from_numpy(counted),
        torch.from_numpy(true),
    )
    assert float(found) == pytest.approx(total / 3, rel=1e-5)


def test_stored_codes_are_those_of_the_network(run):
    for maxima in (False, True):
        network = networks.code_network({}, "shipped", maxima=maxima)
        pictures = [numbered_scene(n, VALIDATION).picture for n in range(8)]
        expected = network.forward(pictures).activation("relu7")
        found = stored_codes(run, 8, VALIDATION, maxima=maxima)
        assert found.shape == (8, PLACES if maxima else len(FACTS))
        assert np.abs(found - expected).max() <= 5e-3 * np.abs(expected).max()


def test_the_shipped_code_tells_facts_about_unseen_scenes():
    scenes = [numbered_scene(n, TESTS) for n in range(150)]
    true = torch.from_numpy(np.stack([facts(each) for each in scenes]))
    shares = {}
    for maxima in (False, True):
        network = networks.code_network({}, "shipped", maxima=maxima)
        codes = network.forward([each.picture for each in scenes]).activation("relu7")
        right = (torch.from_numpy(codes[:, : len(FACTS)].copy()) > 0) == (true > 0)
        shares[maxima] = float(right[:, :150].all(1).float().mean())
    assert shares[False] > 0.7 and shares[True] > 0.8
