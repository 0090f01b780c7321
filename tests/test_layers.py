"""Custom networks from a list of layers, and invalid layers."""

from __future__ import annotations

import nets
import numpy as np
import pytest
import reference
from helpers import assert_close

from gradcam import Layer, Network

RNG = np.random.default_rng(0)
KERNEL, POINTWISE = nets.kernel(RNG, 6, 3, 3, 3), nets.kernel(RNG, 6, 6, 1, 1)
BIAS, MATRIX = nets.normal(RNG, 6), nets.kernel(RNG, 4, 6)
NORM = {
    "weight": 1 + nets.normal(RNG, 6, scale=0.2),
    "bias": nets.normal(RNG, 6),
    "running_mean": nets.normal(RNG, 6),
    "running_var": RNG.uniform(0.5, 2, 6).astype(np.float32),
}


def conv(name: str, *inputs: str, **weights) -> Layer:
    weights = weights or {"weight": KERNEL, "bias": BIAS}
    padding = weights["weight"].shape[-1] // 2
    return Layer(name, "conv", inputs, weights=weights, attributes={"padding": padding})


def residual() -> list[Layer]:
    """conv, batch norm (folded), ReLU, a branch, sum, ReLU, global average, linear, softmax."""
    return [
        conv("conv1"),
        Layer("bn1", "batch_norm", weights=NORM, attributes={"eps": 1e-3}),
        Layer("relu1", "relu"),
        conv("branch", weight=POINTWISE),
        Layer("bn2", "batch_norm", weights=NORM),
        Layer("sum", "add", ("bn2", "relu1")),
        Layer("relu2", "relu", aliases=("last",)),
        Layer("pool", "global_average_pool"),
        Layer("flat", "flatten"),
        Layer("scores", "linear", weights={"weight": MATRIX}),
        Layer("prob", "softmax"),
    ]


def residual_twin() -> reference.Network:
    builder = reference.Builder(3)

    def norm(x, eps):
        scale = NORM["weight"] / np.sqrt(np.float64(NORM["running_var"]) + eps)
        return builder.affine(x, scale, NORM["bias"] - NORM["running_mean"] * scale)

    relu1 = builder.relu(norm(builder.conv(0, KERNEL, BIAS, padding=1), 1e-3))
    branch = norm(builder.conv(relu1, POINTWISE), 1e-5)
    relu2 = builder.relu(builder.add([branch, relu1]))
    flat = builder.flatten(builder.adaptive_average_pool(relu2, 1))
    builder.softmax(builder.linear(flat, MATRIX))
    return builder.build()


def test_a_residual_network_with_folded_batch_norm():
    net, twin = Network.from_layers(residual()), residual_twin()
    x = nets.normal(np.random.default_rng(1), 2, 3, 7, 9)
    tape = net.forward(x, keep=["relu1", "relu2"])
    record = twin.forward(x, {3: tape.activation("relu1"), 7: tape.activation("last")})
    scores = len(twin) - 2
    assert_close(tape.scores, record.outputs[scores], "network")
    assert net.target_layer == "relu2"
    assert "conv1" not in net.layers and "branch" not in net.layers
    alpha, cam = reference.grad_cam(record, scores, 7, [1, 2])
    for n, found in enumerate(tape.grad_cam([1, 2])):
        assert_close(found.raw, cam[n], "network")
        assert_close(found.weights, alpha[n], "network")
    pixels = reference.pixel_gradient(record, scores, [1, 2], "guided")
    for n, found in enumerate(tape.guided_backprop([1, 2])):
        assert_close(found.raw, pixels[n], "network")


def test_batch_norm_is_folded_only_if_it_is_the_only_reader():
    layers = [
        conv("conv1"),
        Layer("bn1", "batch_norm", weights=NORM),
        Layer("both", "concatenate", ("conv1", "bn1")),
        Layer("pool", "global_average_pool"),
        Layer("scores", "flatten"),
    ]
    net = Network.from_layers(layers)
    assert "conv1" in net.layers
    x = nets.normal(np.random.default_rng(1), 1, 3, 7, 9)
    builder = reference.Builder(3)
    z = builder.conv(0, KERNEL, BIAS, padding=1)
    scale = NORM["weight"] / np.sqrt(np.float64(NORM["running_var"]) + 1e-5)
    y = builder.affine(z, scale, NORM["bias"] - NORM["running_mean"] * scale)
    builder.flatten(builder.adaptive_average_pool(builder.concatenate([z, y]), 1))
    assert_close(net.forward(x).scores, builder.build().forward(x).outputs[-1], "network")


def test_grad_cam_is_cam_before_global_average_pooling():
    """Zhou et al. 2016: equal up to the factor 1 / (number of positions)."""
    layers = [
        conv("conv1"),
        Layer("relu1", "relu"),
        Layer("pool", "global_average_pool"),
        Layer("flat", "flatten"),
        Layer("scores", "linear", weights={"weight": MATRIX}),
    ]
    tape = Network.from_layers(layers).forward(nets.normal(np.random.default_rng(1), 3, 7, 9))
    maps = tape.activation("relu1")[0]
    for index in range(4):
        cam = np.tensordot(MATRIX[index], maps, 1)
        assert_close(tape.grad_cam(index).raw * 63, cam, "network")


def test_a_network_without_softmax_has_no_probabilities():
    tape = Network.from_layers(residual()[:-1]).forward(np.zeros((3, 7, 9)))
    assert tape.grad_cam(0).probability is None
    for call in (
        lambda: tape.probabilities,
        lambda: tape.top(),
        lambda: tape.grad_cam(0, on="probability"),
    ):
        with pytest.raises(ValueError, match="softmax"):
            call()


def test_a_network_without_a_preset_takes_arrays_only():
    net = Network.from_layers(residual())
    with pytest.raises(ValueError, match="preset"):
        net.forward(np.zeros((8, 8, 3), np.uint8))
    named = Network.from_layers(residual(), preset="caffe", labels=["a", "b", "c", "d"])
    assert named.forward(np.zeros((8, 8, 3), np.uint8), size="original").grad_cam("c").score


def test_any_number_of_channels():
    weight = nets.kernel(np.random.default_rng(0), 6, 5, 3, 3)
    layers = [conv("conv1", weight=weight), *residual()[1:]]
    x = nets.normal(np.random.default_rng(1), 5, 7, 9)
    tape = Network.from_layers(layers, channels=5).forward(x)
    assert tape.saliency(0).raw.shape == (5, 7, 9)
    assert tape.saliency(0).picture.shape == (7, 9, 3)
    assert tape.saliency(0).image.shape == (7, 9, 3)


def replaced(place: int, layer: Layer) -> list[Layer]:
    return [*residual()[:place], layer, *residual()[place + 1 :]]


BAD_LAYERS = {
    "a batch norm before its convolution": (
        ValueError,
        lambda: [
            Layer("bn", "batch_norm", ("conv",), weights=NORM),
            conv("conv"),
        ],
    ),
    "one name twice, one of them folded": (
        ValueError,
        lambda: [conv("c"), Layer("n", "batch_norm", weights=NORM), conv("c", weight=POINTWISE)],
    ),
    "no layers": (ValueError, list),
    "not layers": (TypeError, lambda: ["conv", "relu"]),
    "unknown operation": (ValueError, lambda: replaced(2, Layer("relu1", "sine"))),
    "unknown input": (ValueError, lambda: replaced(2, Layer("relu1", "relu", ("conv9",)))),
    "input from a later layer": (
        ValueError,
        lambda: replaced(2, Layer("relu1", "relu", ("sum",))),
    ),
    "duplicate name": (ValueError, lambda: replaced(3, conv("relu1", weight=POINTWISE))),
    "name equal to an alias": (
        ValueError,
        lambda: replaced(7, Layer("pool", "global_average_pool", aliases=("last",))),
    ),
    "relu with two inputs": (
        ValueError,
        lambda: replaced(2, Layer("relu1", "relu", ("bn1", "bn1"))),
    ),
    "missing weight": (TypeError, lambda: replaced(0, Layer("conv1", "conv"))),
    "unknown attribute": (
        TypeError,
        lambda: replaced(2, Layer("relu1", "relu", attributes={"slope": 0.1})),
    ),
    "missing running mean": (
        (TypeError, ValueError),
        lambda: replaced(1, Layer("bn1", "batch_norm", weights={"weight": NORM["weight"]})),
    ),
    "negative variance": (
        ValueError,
        lambda: replaced(
            1, Layer("bn1", "batch_norm", weights=NORM | {"running_var": -NORM["running_var"]})
        ),
    ),
    "infinite variance": (
        ValueError,
        lambda: replaced(
            1,
            Layer(
                "bn1", "batch_norm", weights=NORM | {"running_var": NORM["running_var"] * np.inf}
            ),
        ),
    ),
    "batch norm with wrong channels": (
        ValueError,
        lambda: replaced(
            1, Layer("bn1", "batch_norm", weights={key: value[:5] for key, value in NORM.items()})
        ),
    ),
    "weight with 2 axes": (ValueError, lambda: replaced(0, conv("conv1", weight=np.ones((6, 3))))),
}


@pytest.mark.parametrize("name", BAD_LAYERS)
def test_bad_layers_are_refused(name):
    error, layers = BAD_LAYERS[name]
    with pytest.raises(error):
        Network.from_layers(layers())


@pytest.mark.parametrize("place", [2, 5, 9])
def test_error_names_the_invalid_layer(place):
    valid = residual()[place]
    invalid = Layer(valid.name, valid.op, valid.inputs, valid.weights, {"colour": "red"})
    with pytest.raises((TypeError, ValueError), match=valid.name):
        Network.from_layers(replaced(place, invalid))


def test_wrong_number_of_labels_is_refused():
    with pytest.raises(ValueError, match="4"):
        Network.from_layers(residual(), labels=["a", "b"])


def test_products_and_moved_channels():
    """The factors may come first; the number of channels follows the layers."""
    layers = [
        conv("conv1"),
        Layer("mean", "global_average_pool"),
        Layer("scaled", "multiply", ("mean", "conv1")),
        Layer("shuffled", "channel_shuffle", attributes={"groups": 2}),
        Layer("part", "slice", attributes={"start": 1, "stop": 4}),
        Layer("mean2", "global_average_pool"),
        Layer("scores", "flatten"),
    ]
    net = Network.from_layers(layers)
    assert net.target_layer == "part"
    x = nets.normal(np.random.default_rng(1), 2, 3, 7, 9)
    builder = reference.Builder(3)
    y = builder.conv(0, KERNEL, BIAS, padding=1)
    y = builder.multiply([builder.adaptive_average_pool(y, 1), y])
    y = builder.slice(builder.channel_shuffle(y, 2), 1, 4)
    builder.flatten(builder.adaptive_average_pool(y, 1))
    expected = builder.build().forward(x).outputs[-1]
    assert_close(net.forward(x).scores, expected, "network")
    assert len(net.labels) == 3
