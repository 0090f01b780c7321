"""Caffe's published networks beside PyTorch: probabilities, gradients and Grad-CAM."""

from __future__ import annotations

import caffe_nets
import numpy as np
import pytest
from caffe_files import net_bytes
from helpers import largest_difference, peer

import gradcam

torch = peer("torch")
peer("google.protobuf")

import caffe_torch  # noqa: E402
from caffe_schema import Net  # noqa: E402

pytestmark = pytest.mark.peers

LIMIT = 1e-5
"""Of all differences, relative to the largest value of the reference."""


MESSAGES = {
    "BatchNorm": "batch_norm_param",
    "Convolution": "convolution_param",
    "Data": "transform_param",
    "Dropout": "dropout_param",
    "InnerProduct": "inner_product_param",
    "LRN": "lrn_param",
    "Pooling": "pooling_param",
    "Scale": "scale_param",
}


@pytest.mark.parametrize("name", caffe_nets.NETS)
@pytest.mark.parametrize("odd", [0, 1])
def test_gradients(name, odd, tmp_path):
    make, size = caffe_nets.NETS[name]
    size = (size[0] + odd, size[1] + odd)
    net = make(size)
    network = gradcam.load(net.write(tmp_path / "x"))
    shape = (2, 3, *size)
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32) * 2
    tape = network.forward(x, keep=list(network.layers))
    data = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    outputs, _ = caffe_torch.run(net.layers, data, tape.activation)
    scores = outputs[network.score_layer.removesuffix(".flatten")].reshape(2, -1)
    target = network.target_layer
    wanted, pixels = torch.autograd.grad(scores[:, 3].sum(), [outputs[target], data])
    maps = outputs[target].detach()
    cam = (wanted.mean((2, 3), keepdim=True) * maps).sum(1).numpy()
    terms = (wanted.mean((2, 3), keepdim=True) * maps).abs().sum(1).max().item()
    ours = np.stack([each.raw for each in tape.grad_cam(3)])
    differences = {
        "probabilities": np.abs(tape.probabilities - scores.softmax(1).detach().numpy()).max(),
        "scores": largest_difference(tape.scores, scores.detach().numpy()),
        "gradient of the map": largest_difference(tape.gradient(3, target), wanted.numpy()),
        "gradient of the pixels": largest_difference(tape.gradient(3), pixels.numpy()),
        "Grad-CAM": np.abs(ours - cam).max() / terms,
    }
    print(name, size, *(f"{key} {value:.1e}," for key, value in differences.items()))
    assert max(differences.values()) < LIMIT, differences


@pytest.mark.parametrize("name", caffe_nets.NETS)
def test_the_writer_of_tests_writes_what_protobuf_reads(name):
    """The files of these tests are those of Caffe's schema."""
    make, size = caffe_nets.NETS[name]
    layers = make(size).layers
    parsed = Net()
    parsed.ParseFromString(net_bytes(layers))
    assert len(parsed.layer) == len(layers)
    for found, layer in zip(parsed.layer, layers, strict=True):
        assert (found.name, found.type) == (layer.name, layer.type)
        assert " ".join(found.bottom) == layer.bottoms and " ".join(found.top) == layer.tops
        for blob, values in zip(found.blobs, layer.blobs, strict=True):
            assert tuple(blob.shape.dim) == values.shape
            np.testing.assert_array_equal(blob.data, values.reshape(-1))
        if layer.parameters and layer.type in MESSAGES:
            message = getattr(found, MESSAGES[layer.type])
            for key, value in layer.parameters.items():
                assert_stated(getattr(message, key), value)


def assert_stated(found, value) -> None:
    """A field of protobuf, which may be repeated, has this value or these."""
    every = list(value) if isinstance(value, (list, tuple)) else [value]
    found = list(found) if hasattr(found, "__len__") else [found]
    np.testing.assert_allclose(np.array(found, float), np.array(every, float), rtol=1e-6)
