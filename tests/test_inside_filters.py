"""``inside.filters``: the weights of the first convolution of every family, and their colours."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

import gradcam
from gradcam import Layer, Network, inside
from gradcam import _cli as cli
from gradcam._engine.layers import complete
from gradcam._models.architecture import registered
from gradcam.inside._filters import reading_convolutions

KERNELS = {"alexnet": 11, "convnext": 4, "densenet": 7, "googlenet": 7, "resn": 7, "wide_resnet": 7}
"""The sides of the first filters, by how a network's name begins; 3 of all others."""


def weights(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def network(*layers, channels=3, preset=None):
    end = [Layer("pool", "global_average_pool"), Layer("scores", "flatten")]
    return Network.from_layers([*layers, *end], channels=channels, preset=preset, name="small")


def conv(name="conv", *inputs, weight=None, **attributes):
    weight = weights(4, 3, 5, 3) if weight is None else weight
    return Layer(name, "conv", inputs, {"weight": weight}, attributes)


@pytest.mark.parametrize("architecture", registered(), ids=lambda each: each.name)
def test_every_family_has_a_first_convolution(architecture):
    width = 16 if architecture.name.startswith("resnext") else 8  # at least the groups
    tensors = architecture.random_tensors(width=width, fc=2, classes=2)
    layers = {each.name: each for each in complete(architecture.layers(tensors))}
    first, *others = reading_convolutions(layers, 3).items()
    assert first[1] == ((0, 1.0), (1, 1.0), (2, 1.0)) and not others
    side = {"squeezenet1_0": 7}.get(architecture.name, 3)
    side = next((n for start, n in KERNELS.items() if architecture.name.startswith(start)), side)
    assert np.shape(layers[first[0]].weights["weight"])[1:] == (3, side, side)


@pytest.mark.parametrize("name", ["resnet18", "vgg16_gap", "efficientnet_lite0"])
def test_weights_are_those_of_the_network(name):
    make = getattr(gradcam, name)
    made = make(make.random_tensors(width=4, classes=3))
    found = inside.filters(made)
    np.testing.assert_array_equal(found.weights, made.layers[found.layer].weights["weight"])
    assert inside.filters(made, found.layer).layer == found.layer
    assert len(found) == len(found.weights) and str(len(found)) in found.finding


def test_the_order_of_the_channels_is_the_presets():
    weight = weights(4, 3, 5, 3)
    for preset, order in (("caffe", [2, 1, 0]), ("torchvision", [0, 1, 2]), (None, [0, 1, 2])):
        found = inside.filters(network(conv(weight=weight), preset=preset))
        np.testing.assert_array_equal(found.weights, weight[:, order])
        assert ("assumed" in found.note) == (preset is None)


def test_pictures_against_a_plain_twin():
    found = inside.filters(network(conv()))
    for scale in ("each", "all"):
        pictures = found.pictures(scale)
        assert pictures.shape == (4, 5, 3, 3) and pictures.dtype == np.uint8
        for number, filter in enumerate(found.weights):
            largest = np.abs(filter if scale == "each" else found.weights).max()
            for row in range(5):
                for column in range(3):
                    expected = np.rint(128 + 127 * (filter[:, row, column] / largest))
                    np.testing.assert_array_equal(pictures[number, row, column], expected)
    with pytest.raises(ValueError, match="scale: expected 'each' or 'all', got 'one'"):
        found.pictures("one")


def test_layers_that_scale_or_reorder_the_input_are_passed():
    weight = weights(4, 3, 5, 3)
    factors = np.array([0.5, -2.0, 3.0], np.float32)
    scaled = Layer("scale", "affine", (), {"scale": factors, "shift": np.zeros(3)})
    found = inside.filters(network(scaled, conv(weight=weight)))
    np.testing.assert_array_equal(found.weights, weight * factors[:, None, None])
    norm = {"running_mean": np.zeros(3), "running_var": np.ones(3), "weight": factors}
    norm = {name: values.astype(np.float32) for name, values in norm.items()}
    before = Layer("norm", "batch_norm", (), norm, {"eps": 0.0})
    found = inside.filters(network(before, conv(weight=weight)))
    np.testing.assert_array_equal(found.weights, weight * factors[:, None, None])
    parts = [
        Layer(f"part{n}", "slice", ("input",), attributes={"start": n, "stop": n + 1})
        for n in range(3)
    ]
    swapped = Layer("swapped", "concatenate", ("part2", "part0", "part1"))
    found = inside.filters(network(*parts, swapped, conv("conv", "swapped", weight=weight)))
    np.testing.assert_array_equal(found.weights, weight[:, [1, 2, 0]])


def test_groups_read_some_channels_only():
    weight = weights(6, 1, 3, 3)
    found = inside.filters(network(conv(weight=weight, groups=3)))
    expected = np.zeros((6, 3, 3, 3), np.float32)
    for number in range(6):
        expected[number, number // 2] = weight[number, 0]
    np.testing.assert_array_equal(found.weights, expected)
    assert found.colour_shares == pytest.approx(np.full(6, 2 / 3), abs=1e-6)


def test_shares_of_colour():
    weight = weights(3, 3, 5, 5)
    weight[0] = weight[0, 0]
    weight[1] -= weight[1].mean(0)
    weight[2] = 0
    found = inside.filters(network(conv(weight=weight)))
    assert found.colour_shares == pytest.approx([0, 1, 0], abs=1e-6)
    assert "1 respond mostly to colour, 2 mostly to brightness" in found.finding


def test_grey_networks():
    grey = network(conv(weight=weights(4, 1, 3, 3)), channels=1)
    found = inside.filters(grey)
    assert found.weights.shape == (4, 1, 3, 3) and found.finding.endswith("for grey")
    pictures = found.pictures()
    assert (pictures[..., 0] == pictures[..., 2]).all()
    assert not found.note


def test_filters_without_colours_are_refused():
    with pytest.raises(TypeError, match=r"network: expected a gradcam\.Network, got None"):
        inside.filters(None)
    second = conv("second", weight=weights(2, 4, 1, 1))
    small = network(conv(), Layer("relu", "relu"), second)
    with pytest.raises(ValueError, match=r"second reads 4 maps of relu.*those of|no colours"):
        inside.filters(small, "second")
    with pytest.raises(ValueError, match=r"relu is not a convolution.*filters of conv can"):
        inside.filters(small, "relu")
    with pytest.raises(ValueError, match="no layer is called 'conv7'"):
        inside.filters(small, "conv7")
    with pytest.raises(ValueError, match="input of 5 channels, which are not colours"):
        inside.filters(network(conv(weight=weights(2, 5, 3, 3)), channels=5))
    with pytest.raises(ValueError, match="no convolution that reads the picture"):
        inside.filters(network(Layer("relu", "relu"), conv()))


def test_figure():
    figure = inside.filters(network(conv(), preset="caffe")).plot("all")
    figure.canvas.draw()
    words = " ".join(" ".join(text.get_text().split()) for text in figure.texts)
    assert "conv of small has 4 filters of 5 x 3 weights" in words
    assert "Mid-grey is a weight of 0. All filters have one scale" in words


def test_command(tmp_path):
    run = CliRunner().invoke
    command = ["inside", "filters", "--model", "pictograms", "--out", str(tmp_path)]
    done = run(cli.main, [*command, "--json"])
    record = json.loads(done.stdout)
    assert done.exit_code == 0 and record["filters"] == 16
    assert (tmp_path / "filters-conv1_1.png").stat().st_size > 1000
    run(cli.main, [*command, "--scale", "all"])
    assert (tmp_path / "filters-conv1_1-scale-all.png").exists()
    done = run(cli.main, [*command, "--layer", "conv3_1"])
    assert done.exit_code == 2 and "gradcam inside patches" in done.stderr
