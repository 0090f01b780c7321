"""Codes: the output of one layer for many pictures, a vector for each."""

from __future__ import annotations

import numpy as np
import pytest
import small_pictograms

import gradcam
from gradcam import Layer, Network, PictureError
from gradcam._codes import code_layer, pooled_codes


@pytest.fixture(scope="module")
def network():
    return small_pictograms.network()


def some_pictures(count=5, side=64):
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (side, side, 3), np.uint8) for _ in range(count)]


def test_codes_are_the_mean_over_positions(network):
    pictures = some_pictures()
    found = pooled_codes(network, pictures, "relu", batch=2)
    maps = network.forward(pictures).activation("relu").astype(np.float64)
    np.testing.assert_allclose(found.values, maps.mean((2, 3)), rtol=1e-5, atol=1e-6)
    assert found.values.dtype == np.float32 and found.layer == "relu"
    assert found.positions.tolist() == [0, 1, 2, 3, 4]
    assert all(one is other for one, other in zip(found.sources, pictures, strict=True))


def test_vectors_are_taken_as_they_are(network):
    pictures = some_pictures()
    found = pooled_codes(network, pictures, "scores")
    np.testing.assert_array_equal(found.values, network.forward(pictures).scores)


def test_preprocessed_input(network):
    pictures = some_pictures(3)
    input = network.forward(pictures).input
    found = pooled_codes(network, input, batch=2)
    np.testing.assert_array_equal(found.values, pooled_codes(network, pictures).values)
    assert found.sources == () and found.positions.tolist() == [0, 1, 2]


def test_the_default_is_what_the_last_weights_read(network):
    assert code_layer(network) == "flatten"
    assert code_layer(gradcam.alexnet()) == "classifier.5"  # a ReLU; a dropout follows
    assert code_layer(gradcam.resnet18()) == "flatten"
    # Its last layer with weights is a convolution, before the pooling.
    squeezed = gradcam.squeezenet1_1()
    assert squeezed.layers[code_layer(squeezed)].op == "concatenate"


def test_scores_of_several_layers_have_no_default():
    kernel = np.ones((2, 3, 1, 1), np.float32)
    layers = [
        Layer("a", "conv", weights={"weight": kernel}),
        Layer("b", "conv", ("input",), {"weight": kernel}),
        Layer("sum", "add", ("a", "b")),
        Layer("pool", "global_average_pool"),
        Layer("flat", "flatten"),
    ]
    network = Network.from_layers(layers)
    with pytest.raises(ValueError, match="name one, layer="):
        code_layer(network)
    assert pooled_codes(network, np.ones((1, 3, 4, 4), np.float32), "a").values.shape == (1, 2)


def test_broken_pictures_are_skipped(network, tmp_path):
    from PIL import Image

    paths = [tmp_path / f"{n}.png" for n in range(4)]
    for path, picture in zip(paths, some_pictures(4), strict=True):
        Image.fromarray(picture).save(path)
    paths[1].write_bytes(b"no picture")
    with pytest.raises(PictureError, match=r"1\.png"):
        pooled_codes(network, paths)
    twice = [*paths, paths[0]]
    found = pooled_codes(network, twice, on_error="skip", batch=2)
    assert found.positions.tolist() == [0, 2, 3, 4]
    assert found.sources == (paths[0], paths[2], paths[3], paths[0])
    assert [path for path, _ in found.skipped] == [paths[1]]
    np.testing.assert_array_equal(found.values[0], found.values[3])
    with pytest.raises(ValueError, match="not a picture"):
        pooled_codes(network, [paths[1]], on_error="skip")
    with pytest.raises(ValueError, match=r"none of the 2 pictures .*; the first, .*1\.png: cannot"):
        pooled_codes(network, [paths[1]] * 2, on_error="skip")


@pytest.mark.parametrize("batch", [0, -1, 2.0, "a", True])
def test_a_batch_that_is_none_is_refused(batch):
    network = small_pictograms.network()
    pictures = list(np.zeros((3, 64, 64, 3), np.uint8))
    for given in (pictures, network.forward(pictures).input):
        with pytest.raises(ValueError, match="batch: expected an integer of 1 or more"):
            pooled_codes(network, given, batch=batch)


def test_bad_input(network):
    with pytest.raises(ValueError, match="no pictures"):
        pooled_codes(network, [])
    with pytest.raises(ValueError, match="no layer is called 'nothing'"):
        pooled_codes(network, some_pictures(1), "nothing")
    big = np.full((1, 3, 64, 64), 3e38, np.float32)
    with pytest.raises(ValueError, match="not finite"):
        pooled_codes(network, big, "relu")
    sizes = [*some_pictures(1), *some_pictures(1, 100)]
    layers = [Layer("flat", "flatten")]
    flat = Network.from_layers(layers, labels=["a"] * 1, preset="0..1")
    with pytest.raises(ValueError, match="pictures of one size"):
        pooled_codes(flat, sizes, "flat", size="original")
    with pytest.raises(TypeError, match="several pictures"):
        pooled_codes(network, "folder")
    with pytest.raises(TypeError, match="several pictures"):
        pooled_codes(network, some_pictures(1)[0])
