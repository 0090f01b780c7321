"""``inside.activations``: what a layer computes for one picture."""

from __future__ import annotations

import json

import numpy as np
import pytest
import small_pictograms
from click.testing import CliRunner

from gradcam import Layer, Network, inside
from gradcam import _cli as cli

PICTURE = np.random.default_rng(3).integers(0, 256, (64, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def tape():
    return small_pictograms.network().forward(PICTURE)


def of(values, layer="relu"):
    """A result with these values."""
    names = tuple(f"unit {n}" for n in range(len(values)))
    return inside.Activations("small", layer, np.asarray(values, np.float32), PICTURE, names)


def words_of(figure):
    figure.canvas.draw()
    texts = [*figure.texts, *(ax.title for ax in figure.axes)]
    return " ".join(" ".join(text.get_text().split()) for text in texts)


def test_values_are_the_layers(tape):
    found = inside.activations(tape)
    assert found.layer == tape.graph.target_layer == "relu"
    np.testing.assert_array_equal(found.values, tape.activation("relu")[0])
    np.testing.assert_array_equal(inside.activations(tape, "pool").values.shape, (6, 3, 3))
    assert found.picture.shape == (64, 64, 3)


def test_strongest_first():
    maps = np.zeros((5, 2, 2), np.float32)
    maps[1, 0, 1], maps[2, 1, 1], maps[4] = 3, 7, 3
    found = of(maps)
    np.testing.assert_array_equal(found.strongest, [0, 3, 7, 0, 3])
    np.testing.assert_array_equal(found.order(), [2, 4, 1, 0, 3])
    np.testing.assert_array_equal(found.order("index"), range(5))
    assert found.silent == (0, 3)
    assert found.finding == (
        "relu of small: 2 of 5 units are 0 everywhere on this picture; the largest value, 7, is "
        "that of unit 2"
    )
    assert "that of 2 units, the first of which is unit 4" in of(maps[[0, 1, 3, 0, 4]]).finding
    with pytest.raises(ValueError, match="order: expected 'strongest' or 'index', got 'best'"):
        found.order("best")


def test_negative_values_count_as_firing():
    found = of(-np.ones((2, 3, 3)))
    assert found.silent == () and found.strongest.tolist() == [-1, -1]
    assert "Mid-grey is 0" in words_of(found.plot())


def test_figure_of_maps(tape):
    found = inside.activations(tape)
    figure = found.plot(4, order="index", scale="all")
    assert len(figure.axes) == 5
    words = words_of(figure)
    assert f"unit 3: {found.strongest[3]:.3g}" in words and "unit 4:" not in words
    assert "white is the largest value of all maps" in words
    largest = np.abs(found.values).max()
    shown = figure.axes[2].images[0].get_array()[..., 0]
    expected = found.values[1] / largest * 255
    assert np.abs(shown.astype(float) - expected).max() <= 2  # of 256 steps


@pytest.mark.parametrize("layer", ["mean", "flatten", "scores", "prob"])
def test_figure_of_vectors(tape, layer):
    found = inside.activations(tape, layer)
    assert found.values.ndim == 1
    figure = found.plot()
    assert "the largest values" in words_of(figure)
    _, bars, curve = figure.axes
    best = found.order()[: len(bars.patches)]
    np.testing.assert_allclose([bar.get_width() for bar in bars.patches], found.values[best])
    np.testing.assert_allclose(curve.lines[0].get_ydata(), np.sort(found.values)[::-1])
    labels = small_pictograms.LABELS if layer in ("scores", "prob") else None
    first = f"unit {best[0]}" if labels is None else labels[int(best[0])].label
    assert bars.get_yticklabels()[0].get_text() == first == found.names[best[0]]


def test_bad_input(tape):
    batch = small_pictograms.network().forward([PICTURE])
    with pytest.raises(TypeError, match=r"the tape of one picture.*got one of several"):
        inside.activations(batch)
    with pytest.raises(TypeError, match=r"the tape of one picture.*got ndarray"):
        inside.activations(PICTURE)
    with pytest.raises(ValueError, match="no layer is called 'relu9'"):
        inside.activations(tape, "relu9")
    huge = {"weight": np.full((2, 3, 1, 1), 3e38, np.float32)}
    layers = [Layer("conv", "conv", weights=huge), Layer("pool", "global_average_pool")]
    network = Network.from_layers([*layers, Layer("scores", "flatten")], name="huge")
    with pytest.raises(ValueError, match="the output of conv of huge is not finite"):
        inside.activations(network.forward(np.ones((3, 8, 8), np.float32)), "conv")
    with pytest.raises(ValueError, match="count: expected 1 or more, got 0"):
        inside.activations(tape).plot(0)
    with pytest.raises(ValueError, match="count: at most 1000 maps"):
        inside.activations(tape).plot(1001)
    with pytest.raises(ValueError, match="scale: expected 'each' or 'all'"):
        inside.activations(tape).plot(scale="both")


def test_the_shades_are_those_of_the_maps_that_are_drawn():
    values = np.array([[[2.0, 1.0]], [[-1.0, -2.0]]], np.float32)
    picture = np.zeros((8, 8, 3), np.uint8)
    found = inside.Activations("net", "conv", values, picture, ("unit 0", "unit 1"))
    assert "Black is 0, white is" in words_of(found.plot(1))
    assert "Mid-grey is 0" in words_of(found.plot(2))


def test_silent_layers_can_be_drawn():
    zero = {"weight": np.zeros((3, 3, 1, 1), np.float32)}
    layers = [Layer("conv", "conv", weights=zero), Layer("relu", "relu")]
    layers += [Layer("pool", "global_average_pool"), Layer("scores", "flatten")]
    found = inside.activations(Network.from_layers(layers).forward(np.ones((3, 8, 8), np.float32)))
    assert found.silent == (0, 1, 2)
    assert "3 of 3 units are 0 everywhere" in words_of(found.plot())


def test_command(tmp_path):
    from PIL import Image

    Image.fromarray(PICTURE).save(tmp_path / "noise.png")
    command = ["inside", "activations", "--model", "pictograms", "--out", str(tmp_path / "out")]
    run = CliRunner().invoke
    done = run(cli.main, [*command, str(tmp_path / "noise.png"), "--layer", "relu7", "--json"])
    record = json.loads(done.stdout)
    assert done.exit_code == 0 and record["shape"] == [256]
    assert (tmp_path / "out" / "noise-activations-relu7.png").exists()
    done = run(cli.main, [*command, str(tmp_path / "noise.png"), str(tmp_path / "none.png")])
    assert done.exit_code == 1 and "No such file" in done.stderr
    assert (tmp_path / "out" / "noise-activations-relu5_3.png").exists()
    done = run(cli.main, [*command, str(tmp_path / "noise.png"), "--scale", "all", "--count", "2"])
    assert (tmp_path / "out" / "noise-activations-relu5_3-count-2-scale-all.png").exists()
    done = run(cli.main, [*command, str(tmp_path / "noise.png"), "--layer", "relu9"])
    assert done.exit_code == 2 and "no layer is called 'relu9'" in done.stderr
