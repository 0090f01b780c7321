"""The network for those who name none; the photographs; an incomplete ImageNet network."""

from __future__ import annotations

import json
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import gradcam
from gradcam import _cli as cli
from gradcam import _default, imagenet, pictograms
from gradcam.imagenet._render_photographs import SOURCES

ROOT = Path(__file__).parent.parent
PICTURE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def small(name):
    tensors = gradcam.vgg11.random_tensors(width=2, fc=4, classes=3)
    return gradcam.vgg11(tensors, preset=gradcam.Preset("small", size=64), name=name)


@pytest.fixture(params=[True, False], ids=["installed", "not installed"])
def installed(request, monkeypatch, tmp_path):
    """Whether the ImageNet network is installed; both networks are small ones."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(imagenet, "is_installed", lambda: request.param)
    for module in (imagenet, pictograms):
        network = small(module.__name__)
        monkeypatch.setattr(module, "model", lambda network=network: network)
    _default.announce.cache_clear()
    yield request.param
    _default.announce.cache_clear()


def run(*arguments, code=0):
    result = CliRunner().invoke(cli.main, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


# --- which network, and who is told ---


def test_explain_names_its_network_once(installed, capsys):
    expected = (imagenet if installed else pictograms).model()
    for _ in range(2):
        found = gradcam.explain(PICTURE)
        np.testing.assert_array_equal(found.raw, gradcam.explain(PICTURE, network=expected).raw)
    (line,) = capsys.readouterr().err.splitlines()
    name = "imagenet" if installed else "pictograms"
    assert line.startswith(f"Network: {name}") and "network= names another" in line
    assert (imagenet.INSTALL in line) == (not installed)


def test_nothing_is_said_of_a_network_that_was_named(installed, capsys):
    gradcam.explain(PICTURE, network=imagenet.model())
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("command", ["predict", "explain"])
def test_commands_name_their_network(installed, command):
    Image.fromarray(PICTURE).save("a.png")
    result = run(command, "a.png", "a.png")
    (line,) = result.stderr.splitlines()
    name = "imagenet" if installed else "pictograms"
    assert line.startswith(f"Network: {name}") and "--model or --weights names another" in line
    assert (imagenet.INSTALL in line) == (not installed)
    for model in ("imagenet", "pictograms"):
        assert run(command, "a.png", "--model", model).stderr == ""


def test_a_run_is_not_resumed_with_another_network(monkeypatch, installed):
    Image.fromarray(PICTURE).save("a.png")
    run("explain", "a.png")
    run("explain", "a.png", "--resume")
    name = "imagenet" if installed else "pictograms"
    run("explain", "a.png", "--resume", "--model", name)
    monkeypatch.setattr(imagenet, "is_installed", lambda: not installed)
    assert "--model was" in run("explain", "a.png", "--resume", code=2).stderr


def test_info_lists_both_networks(installed):
    networks = json.loads(run("info", "--json").stdout)["networks"]
    assert "default" in networks["imagenet" if installed else "pictograms"]
    assert (imagenet.INSTALL in networks["imagenet"]) == (not installed)
    text = run("info").stdout
    assert "--model imagenet" in text and "--model pictograms" in text


@pytest.mark.parametrize("option", ["--preset", "--labels", "--head", "--weights"])
def test_trained_networks_have_their_own_settings(installed, option):
    Image.fromarray(PICTURE).save("a.png")
    value = {"--preset": "caffe", "--head": "sigmoid"}.get(option, "a.png")
    result = run("predict", "a.png", "--model", "imagenet", option, value, code=2)
    assert "the imagenet network has its own weights" in result.stderr


# --- an installation that is not complete ---


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(imagenet, "find_spec", lambda name: None)
    imagenet.model.cache_clear()
    assert not imagenet.is_installed()
    with pytest.raises(ImportError, match=r'pip install "gradcam\[imagenet\]"'):
        imagenet.model()
    Image.fromarray(PICTURE).save("a.png")
    assert imagenet.INSTALL in run("predict", "a.png", "--model", "imagenet", code=2).stderr


@pytest.mark.parametrize("content", [None, b"", b"other weights"])
def test_a_damaged_package_is_an_error_and_not_another_network(monkeypatch, tmp_path, content):
    spec = ModuleSpec("package", None, is_package=True)
    spec.submodule_search_locations.append(str(tmp_path))
    monkeypatch.setattr(imagenet, "find_spec", lambda name: spec)
    imagenet.model.cache_clear()
    file = tmp_path / imagenet._FILE
    if content is not None:
        file.parent.mkdir()
        file.write_bytes(content)
    words = "cannot be read" if content is None else "not the published weights"
    for explain in (imagenet.model, lambda: gradcam.explain(PICTURE)):
        with pytest.raises(gradcam.WeightsError, match=words) as caught:
            explain()
        assert str(file) in str(caught.value) and "--force-reinstall" in str(caught.value)


# --- photographs ---


def test_photographs():
    paths = imagenet.examples()
    assert [path.stem for path in paths] == sorted(SOURCES) and len(paths) >= 3
    assert sum(path.stat().st_size for path in paths) < 300_000
    for path in paths:
        assert imagenet.example(path.stem) == path
        with Image.open(path) as image:
            assert image.format == "JPEG" and min(image.size) >= 256
    with pytest.raises(ValueError, match="known are astronaut, cat"):
        imagenet.example("dog")


def test_every_photograph_has_its_author_and_licence():
    sources = imagenet.example("cat").with_name("SOURCES.txt").read_text("utf-8")
    texts = [sources]
    if (ROOT / "NOTICE").exists():
        texts.append(" ".join((ROOT / "NOTICE").read_text("utf-8").split()))
    for name, source in SOURCES.items():
        assert source.licence in ("CC0 1.0", "public domain")
        for text in texts:
            assert f"{name}.jpg" in text and source.author in text and source.licence in text


def test_photographs_are_copied(tmp_path):
    folder = tmp_path / "new" / "photos"
    for _ in range(2):  # the second time, nothing changes
        assert len(run("photographs", folder).stdout.splitlines()) == len(SOURCES)
    for path in imagenet.examples():
        assert (folder / path.name).read_bytes() == path.read_bytes()
    (folder / "cat.jpg").write_bytes(b"mine")
    assert "cat.jpg" in run("photographs", folder, code=2).stderr
    assert (folder / "cat.jpg").read_bytes() == b"mine"
    run("photographs", folder, "--force")
    assert (folder / "cat.jpg").read_bytes() == imagenet.example("cat").read_bytes()
