"""The training of the pictogram network: pictures, learning rate, export, and a small run."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
load_file = pytest.importorskip("safetensors.torch").load_file

import gradcam  # noqa: E402
from gradcam.pictograms import CLASSES, _nets, scene  # noqa: E402
from gradcam.pictograms import _train as recipe  # noqa: E402
from gradcam.pictograms._picture_run import preprocess  # noqa: E402
from gradcam.pictograms._training_pictures import SIDES, training_picture  # noqa: E402
from gradcam.pictograms._training_run import learning_rate  # noqa: E402

LENGTHS = {"pictures-a": 8, "pictures-b": 4, "batch-a": 4, "batch-b": 2, "validation": 2}
SMALL = [f"--{name}={value}" for name, value in LENGTHS.items()]
SMALL += ["--validate-every=4", "--workers=0", "--threads=1"]


@pytest.fixture(scope="module", autouse=True)
def _restore_number_of_threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("phase", ["A", "B"])
def test_training_pictures_depend_on_their_number_only(phase):
    side = SIDES[phase]
    seen = set()
    for number in range(40):
        picture, target = training_picture(number, phase)
        assert picture.shape == (side, side, 3) and picture.dtype == np.uint8
        present = target[target > 0]
        assert present == pytest.approx(1 / len(present)) and len(present) in (1, 2, 3, 4, 36)
        seen.add(len(present))
    assert {1, 2, len(CLASSES)} <= seen
    again, _ = training_picture(39, phase)
    np.testing.assert_array_equal(picture, again)


def test_training_does_not_use_the_scenes_of_the_evaluation():
    picture, _ = training_picture(0, "B")
    assert not np.array_equal(picture, scene(0).picture)


def test_the_learning_rate_rises_and_falls():
    rates = [learning_rate(share / 100, 1.0) for share in range(101)]
    assert max(rates) == pytest.approx(1, abs=0.01)
    assert rates[0] < 0.1 and rates[-1] < 0.01


@pytest.mark.parametrize("architecture", ["vgg16", "alexnet"])
def test_the_exported_network_has_the_scores_of_the_trained_one(architecture, tmp_path):
    torch.manual_seed(0)
    net = _nets.NETWORKS[architecture]()
    pictures = np.stack([scene(seed).picture for seed in range(2)])
    x = preprocess(pictures)
    with torch.no_grad():
        for _ in range(2):  # so that the running statistics are not the initial ones
            net(x, "B")
        expected = net.eval()(x, "B")[1].numpy()
    _nets.export(net, tmp_path / "weights.safetensors")
    network = gradcam.load(tmp_path / "weights.safetensors")
    assert network.name == architecture
    scores = network.forward(list(pictures)).scores
    # float16 weights have a relative error of 2^-11, in each of sixteen layers.
    np.testing.assert_allclose(scores, expected, atol=0.02 * np.abs(expected).max())
    assert network.labels[5].label == CLASSES[5][1]


def test_a_weight_too_large_for_float16_is_refused(tmp_path):
    net = _nets.VGG16().eval()
    with torch.no_grad():
        net.classifier[-1].weight[0, 0] = 1e6
    with pytest.raises(ValueError, match=r"classifier\.6\.weight does not fit"):
        _nets.export(net, tmp_path / "weights.safetensors")


@pytest.mark.slow
def test_a_small_run_trains_exports_and_resumes_from_its_checkpoint(tmp_path, capsys):
    recipe.main(["--out", str(tmp_path), *SMALL])
    log = (tmp_path / "training.log").read_text()
    assert "A       8 pictures" in log and "B       4 pictures" in log and "exported" in log
    assert str(tmp_path) not in log
    assert log == capsys.readouterr().out
    exported = load_file(tmp_path / "pictograms.safetensors")

    recipe.main(["--out", str(tmp_path), *SMALL])
    assert "resumed in phase B at 4 pictures" in capsys.readouterr().out
    again = load_file(tmp_path / "pictograms.safetensors")
    assert all(torch.equal(again[name], tensor) for name, tensor in exported.items())


def test_the_linear_layer_of_the_other_end_is_fitted(tmp_path):
    from gradcam.pictograms import _train_gap

    rng = np.random.default_rng(0)
    means = rng.random((400, 3)).astype(np.float32)
    true = np.exp(means @ rng.normal(size=(4, 3)).T.astype(np.float32) + [0.5, 0, -1, 1])
    targets = (true / true.sum(1, keepdims=True)).astype(np.float32)
    weight, bias = _train_gap.fit(means, targets, 0.0, 500)
    found = np.exp(means @ weight.T + bias)
    np.testing.assert_allclose(found / found.sum(1, keepdims=True), targets, atol=1e-3)


@pytest.mark.slow
def test_the_linear_layer_is_trained_by_a_command(tmp_path, capsys):
    from gradcam.pictograms.__main__ import main

    file = tmp_path / "gap.safetensors"
    assert main(["train-gap", f"--out={file}", "--pictures=20", "--validation=2"]) == 0
    assert "accuracy on 2 scenes" in capsys.readouterr().out
    tensors = load_file(file)
    assert tensors["weight"].shape == (36, 128) and tensors["bias"].shape == (36,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pictures", "0"], "--pictures: expected 1 or more, got 0"),
        (["--pictures", "-3"], "--pictures: expected 1 or more, got -3"),
        (["--validation", "0"], "--validation: expected 1 or more, got 0"),
        (["--decay", "nan"], "--decay: expected a number of 0 or more, got nan"),
        (["--out", "missing/gap.safetensors"], "is not a folder that can be written to"),
        (["--out", "."], "expected the name of a file, got the folder"),
    ],
)
def test_options_of_train_gap_are_checked_first(arguments, message, tmp_path, monkeypatch, capsys):
    from gradcam.pictograms import _train_gap

    def work(*_):
        raise AssertionError("begun")

    monkeypatch.setattr(_train_gap, "features", work)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        _train_gap.main(arguments)
    assert message in capsys.readouterr().err
    with pytest.raises(AssertionError, match="begun"):
        _train_gap.main([])
