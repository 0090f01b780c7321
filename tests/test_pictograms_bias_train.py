"""The training of the networks that tell cooks from painters: pictures, export, a small run."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import gradcam  # noqa: E402
from gradcam.pictograms import bias  # noqa: E402
from gradcam.pictograms._picture_run import preprocess  # noqa: E402
from gradcam.pictograms.bias import _nets, _train, _train_base  # noqa: E402

SMALL = ["--pictures=32", "--batch=16", "--validate-every=16", "--numbers=1", "--per-class=15"]
SMALL += ["--looks=1", "--workers=0", "--threads=1"]


@pytest.fixture(autouse=True)
def _restore_number_of_threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_pictures_of_the_first_part_depend_on_their_number_only():
    drawn = _train_base.base_pictures(7)
    assert len(drawn) == _train_base.VIEWS
    for (picture, *labels), (again, *same) in zip(drawn, _train_base.base_pictures(7), strict=True):
        assert picture.shape == (112, 112, 3) and picture.dtype == np.uint8
        np.testing.assert_array_equal(picture, again)
        assert labels == same
    assert len({picture.tobytes() for picture, _, _ in drawn}) > 1
    assert "spoon" not in _train_base.OTHERS and "brush" not in _train_base.OTHERS


def test_batches_are_divided_among_their_numbers():
    whole = list(_train_base.Batches(0, 32, 16))
    rest = list(_train_base.Batches(16, 32, 16))
    assert len(whole) == 2 and len(rest) == 1
    for part, same in zip(whole[1], rest[0], strict=True):
        np.testing.assert_array_equal(part, same)
    assert whole[0][2].shape == (16, 3)


def test_calibrated_normalisation_changes_nothing():
    """The maps are those of the pictogram network, from which the training starts."""
    people = [bias.person(seed) for seed in range(3)]
    pictures = np.stack([_train_base.small(each.picture) for each in people])
    x = preprocess(pictures)
    net = _nets.PersonNet(3, 0.5).eval()
    net.calibrate(x)
    with torch.no_grad():
        maps = net.rest(net.stem(x)).numpy()
        probabilities = torch.softmax(net(x), 1).numpy()
    exported = _nets.to_network(net, ["a", "b", "c"], "three")
    tape = exported.forward([each.picture for each in people])
    np.testing.assert_allclose(tape.input, x.numpy(), atol=1e-5)
    np.testing.assert_allclose(tape.activation("relu4_3"), maps, atol=1e-3 * maps.max())
    np.testing.assert_allclose(tape.probabilities, probabilities, atol=1e-4)
    assert maps.shape == (3, 128, 14, 14) and maps.max() > 0

    layers = list(gradcam.pictograms.model().layers.values())
    names = [layer.name for layer in layers]
    plain = gradcam.Network.from_layers(layers[1 : names.index("relu4_3") + 1])
    expected = plain.forward(x.numpy()).activation("relu4_3")
    np.testing.assert_allclose(maps, expected, atol=1e-3 * maps.max())


def test_a_small_run_is_resumed_and_writes_networks_and_figures(tmp_path, capsys):
    _train.main([f"--out={tmp_path}", *SMALL])
    names = {"base.pt", "biased-0.safetensors", "balanced-0.safetensors", "evaluation.json"}
    assert {path.name for path in tmp_path.iterdir()} == names | {"training.log"}
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    content = json.loads(first["evaluation.json"])
    assert [row["kind"] for row in content["networks"]] == ["biased", "balanced"]
    network = gradcam.load(tmp_path / "biased-0.safetensors")
    assert [network.labels[n].label for n in range(2)] == ["cook", "painter"]
    measured = bias.measure(network, 1)
    assert content["networks"][0]["measured"]["hair_effect"] == pytest.approx(measured.hair_effect)
    assert network.target_layer == "relu4_3"
    assert "base resumed" not in capsys.readouterr().out

    (tmp_path / "biased-0.safetensors").unlink()
    _train.main([f"--out={tmp_path}", *SMALL])
    assert "base resumed at 32 pictures" in capsys.readouterr().out
    for name in names - {"base.pt"}:
        assert (tmp_path / name).read_bytes() == first[name], name


def test_wrong_options_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        _train.main([f"--out={tmp_path / 'new'}", "--numbers=0"])
    assert "--numbers: expected" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        _train.main([f"--out={tmp_path / 'new'}", "--batch=10"])
    assert "--batch: expected a multiple of 4" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
