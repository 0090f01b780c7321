"""The importer of Keras models, against float64 NumPy, on configurations written by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from keras_models import (
    called,
    functional,
    input_layer,
    layer,
    sequential,
    tensor,
    weights_of,
)

import gradcam
from gradcam._importers.imported import Choices
from gradcam._importers.importing import import_graph
from gradcam._importers.keras import walking
from gradcam._models.live import random_input
from gradcam.weights import WeightsError

RNG = np.random.default_rng(5)
SHAPE = (5, 6, 4)
X = RNG.normal(size=(2, *SHAPE))


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape)


# ------------------------------------------------------------------------------ the reference


def conv(x, kernel, bias=0.0, stride=(1, 1), dilation=(1, 1), groups=1, padding="valid"):
    """Keras's convolution of (N, H, W, C) by (R, S, C / groups, O), as a sum over positions."""
    rows, columns, per_group, outputs = kernel.shape
    size = [(n - 1) * d + 1 for n, d in zip((rows, columns), dilation, strict=True)]
    if padding == "same":
        x = np.pad(x, [(0, 0), *same(x.shape[1:3], size, stride), (0, 0)])
    counts = [
        (n - window) // step + 1 for n, window, step in zip(x.shape[1:3], size, stride, strict=True)
    ]
    result = np.zeros((len(x), *counts, outputs))
    for r in range(rows):
        for s in range(columns):
            part = x[:, r * dilation[0] :, s * dilation[1] :][
                :,
                : (counts[0] - 1) * stride[0] + 1 : stride[0],
                : (counts[1] - 1) * stride[1] + 1 : stride[1],
            ]
            for g in range(groups):
                own = slice(g * outputs // groups, (g + 1) * outputs // groups)
                result[..., own] += (
                    part[..., g * per_group : (g + 1) * per_group] @ kernel[r, s, :, own]
                )
    return result + bias


def same(extent, size, stride):
    """TensorFlow's padding: the larger half of an odd number comes after the map."""
    totals = [
        max(0, (math.ceil(n / step) - 1) * step + window - n)
        for n, window, step in zip(extent, size, stride, strict=True)
    ]
    return [(total // 2, total - total // 2) for total in totals]


def depthwise(x, kernel, **options):
    rows, columns, channels, multiplier = kernel.shape
    moved = kernel.reshape(rows, columns, 1, channels * multiplier)
    return conv(x, moved, groups=channels, **options)


def pooled(x, function, size, stride, padding):
    fill = np.nan
    if padding == "same":
        x = np.pad(x, [(0, 0), *same(x.shape[1:3], size, stride), (0, 0)], constant_values=fill)
    counts = [(n - s) // t + 1 for n, s, t in zip(x.shape[1:3], size, stride, strict=True)]
    windows = [
        [
            function(
                x[
                    :,
                    i * stride[0] : i * stride[0] + size[0],
                    j * stride[1] : j * stride[1] + size[1],
                ],
                axis=(1, 2),
            )
            for j in range(counts[1])
        ]
        for i in range(counts[0])
    ]
    return np.moveaxis(np.array(windows), 2, 0)


# ------------------------------------------------------------------------------ one layer


def scores_of(layers, arrays, x=X, shape=SHAPE, version="3.15.0", first=False):
    """The scores of the layers, and the dense matrix after them that tells all positions apart."""
    matrix = {}

    def model(count):
        matrix["w"] = np.random.default_rng(count).normal(size=(count, 3)) / math.sqrt(count)
        dense = layer("Dense", "fc", units=3, use_bias=False)
        config = sequential(input_layer(shape), *layers, layer("Flatten", "flat"), dense)
        return weights_of(config, {**arrays, "fc": [matrix["w"]]}, version)

    def run(count):
        network = gradcam.load(model(count))
        seen = x if first else x.transpose(0, 3, 1, 2)
        return network.forward(seen.astype(np.float32), input="normalised").scores

    return run, matrix


def check(expected, layers, arrays=None, atol=1e-5, **options):
    """The layers give `expected`, (N, H, W, C) or (N, F), whose values are all told apart."""
    flat = expected.reshape(len(expected), -1)
    run, matrix = scores_of(layers, arrays or {}, **options)
    found = run(flat.shape[1])
    theirs = flat @ matrix["w"]
    np.testing.assert_allclose(found, theirs, atol=atol * max(1.0, np.abs(theirs).max()))


CONVOLUTIONS = [
    ((3, 3), (1, 1), (1, 1), 1, "valid"),
    ((3, 3), (2, 2), (1, 1), 1, "same"),
    ((2, 3), (2, 1), (1, 1), 2, "same"),
    ((1, 3), (1, 1), (1, 2), 1, "valid"),
    ((2, 2), (1, 1), (2, 1), 4, "same"),
    ((5, 4), (3, 2), (1, 1), 1, "same"),
    ((1, 1), (2, 2), (1, 1), 1, "same"),
]


@pytest.mark.parametrize("kernel, stride, dilation, groups, padding", CONVOLUTIONS)
def test_convolutions(kernel, stride, dilation, groups, padding):
    weight, bias = normal(*kernel, 4 // groups, 8), normal(8)
    expected = conv(X, weight, bias, stride, dilation, groups, padding)
    entry = layer(
        "Conv2D",
        "c",
        filters=8,
        kernel_size=list(kernel),
        strides=list(stride),
        dilation_rate=list(dilation),
        groups=groups,
        padding=padding,
        activation="tanh",
    )
    check(np.tanh(expected), [entry], {"c": [weight, bias]})


@pytest.mark.parametrize("multiplier", [1, 3])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_depthwise_and_separable_convolutions(multiplier, padding):
    weight, pointwise = normal(3, 3, 4, multiplier), normal(1, 1, 4 * multiplier, 5)
    bias, options = normal(4 * multiplier), {"stride": (2, 2), "padding": padding}
    config = {
        "kernel_size": [3, 3],
        "strides": [2, 2],
        "padding": padding,
        "depth_multiplier": multiplier,
    }
    expected = depthwise(X, weight, **options)
    check(expected + bias, [layer("DepthwiseConv2D", "d", **config)], {"d": [weight, bias]})
    check(
        np.maximum(conv(expected, pointwise), 0),
        [layer("SeparableConv2D", "s", **config, filters=5, use_bias=False, activation="relu")],
        {"s": [weight, pointwise]},
    )


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("size, stride", [((2, 2), (2, 2)), ((3, 2), (1, 2))])
def test_poolings(size, stride, padding):
    config = {"pool_size": list(size), "strides": list(stride), "padding": padding}
    for name, function in (("MaxPooling2D", np.nanmax), ("AveragePooling2D", np.nanmean)):
        expected = pooled(X, function, size, stride, padding)
        check(expected, [layer(name, "p", **config)])


@pytest.mark.parametrize("kind", ["DepthwiseConv2D", "SeparableConv2D"])
def test_the_groups_that_keras_2_writes(kind):
    """Keras 2's layers of convolutions inherit the argument groups; the config is TF 2.15's."""
    config = {"kernel_size": (2, 2), "strides": (1, 1), "padding": "valid", "groups": 1}
    config |= {"data_format": "channels_last", "dilation_rate": (1, 1), "depth_multiplier": 1}
    config |= {"activation": "linear", "use_bias": False, "activity_regularizer": None}
    config |= {"depthwise_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}}}
    weight, pointwise = normal(2, 2, 4, 1), normal(1, 1, 4, 5)
    expected, arrays = depthwise(X, weight), [weight]
    if kind == "SeparableConv2D":
        config["filters"] = 5
        expected, arrays = conv(expected, pointwise), [weight, pointwise]
    check(expected, [layer(kind, "d", **config)], {"d": arrays}, version="2.15.0")
    with pytest.raises(WeightsError, match="'d' has groups beside"):
        check(expected, [layer(kind, "d", **{**config, "groups": 2})], {"d": arrays})


def test_layers_on_one_position():
    """A vector that is seen as a map of one position."""
    weight, bias = normal(1, 1, 4, 1), normal(4)
    seen = [layer("GlobalMaxPooling2D", "g"), layer("Reshape", "r", target_shape=[1, 1, 4])]
    vector = layer("Dense", "d", units=4, use_bias=False)
    entries = [
        *(seen[0], vector, seen[1]),
        layer("DepthwiseConv2D", "c", kernel_size=1),
        layer("MaxPooling2D", "p", pool_size=1),
        layer("GlobalAveragePooling2D", "g2"),
    ]
    expected = X.max(axis=(1, 2)) * weight.reshape(-1) + bias
    check(expected, entries, {"d": [np.eye(4)], "c": [weight, bias]})


def test_a_cropping_that_cuts_nothing():
    check(X, [layer("Cropping2D", "k")])


def test_adaptive_poolings_and_rectifiers_with_both_bounds():
    halves = [X[:, :3], X[:, 2:]]
    expected = np.stack([part.mean(axis=1).reshape(2, 2, 3, 4).mean(axis=2) for part in halves], 1)
    check(expected, [layer("AdaptiveAveragePooling2D", "p", output_size=2)])
    expected = np.minimum(np.where(X < 0, 0.1 * X, X), 0.5)
    check(expected, [layer("ReLU", "r", max_value=0.5, negative_slope=0.1)])


def test_flattened_maps_side_by_side():
    weight, matrix = normal(2, 2, 4, 3), normal(20 * 3 + 120, 2)
    model = functional(
        input_layer(SHAPE),
        called(layer("Conv2D", "c", filters=3, kernel_size=2, use_bias=False), ["in"]),
        called(layer("Flatten", "f"), ["c"]),
        called(layer("Flatten", "f2"), ["in"]),
        called(layer("Concatenate", "s"), [["f", "f2"]]),
        called(layer("Dense", "d", units=2, use_bias=False), ["s"]),
        output="d",
    )
    flat = np.concatenate([conv(X, weight).reshape(2, -1), X.reshape(2, -1)], axis=1)
    found = graph_scores(model, {"c": [weight], "d": [matrix]})
    np.testing.assert_allclose(found, flat @ matrix, atol=1e-4)


@pytest.mark.parametrize("word", ["channels_last", "channels_first"])
def test_products_of_maps_and_vectors(word):
    """Keras adds dimensions after the batch: a vector is along the last axis of the map."""
    size = (4, 4, 4)  # of which each can be mistaken for another
    model = functional(
        input_layer(size),
        called(layer("GlobalMaxPooling2D", "m", data_format=word), ["in"]),
        called(layer("Multiply", "p"), [["in", "m"]]),
        called(layer("GlobalAveragePooling2D", "g", data_format=word), ["p"]),
        output="g",
    )
    if word == "channels_first":
        with pytest.raises(WeightsError, match=r"Multiply 'p' multiplies .* arranged differently"):
            gradcam.load(weights_of(model))
        return
    x = normal(2, *size).astype(np.float32)
    network = gradcam.load(weights_of(model))
    found = network.forward(x.transpose(0, 3, 1, 2), input="normalised").scores
    np.testing.assert_allclose(found, x.max(axis=(1, 2)) * x.mean(axis=(1, 2)), atol=1e-5)


def test_poolings_over_all_positions():
    for name, function in (("Max", np.max), ("Average", np.mean)):
        for keep in (True, False):
            entry = layer(f"Global{name}Pooling2D", "g", keepdims=keep)
            check(function(X, axis=(1, 2)), [entry])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gelu(x):
    return np.vectorize(lambda v: v * 0.5 * (1 + math.erf(v / math.sqrt(2))))(x)


ACTIVATIONS = {
    "elu": lambda x: np.where(x > 0, x, np.exp(x) - 1),
    "gelu": gelu,
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hard_silu": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "selu": lambda x: 1.05070098 * np.where(x > 0, x, 1.67326324 * (np.exp(x) - 1)),
    "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x),
    "swish": lambda x: x * sigmoid(x),
    "tanh": np.tanh,
}

ACTIVATION_LAYERS = [
    (layer("ReLU", "a", max_value=None, negative_slope=0.0, threshold=0.0), ACTIVATIONS["relu"]),
    (layer("ReLU", "a", max_value=6.0), ACTIVATIONS["relu6"]),
    (layer("ReLU", "a", max_value=1.5), lambda x: np.clip(x, 0, 1.5)),
    (layer("ReLU", "a", negative_slope=0.25), lambda x: np.where(x > 0, x, x / 4)),
    (layer("LeakyReLU", "a", negative_slope=0.3), lambda x: np.where(x > 0, x, 0.3 * x)),
    (layer("LeakyReLU", "a", alpha=0.1), lambda x: np.where(x > 0, x, 0.1 * x)),
    (layer("ELU", "a", alpha=0.5), lambda x: np.where(x > 0, x, 0.5 * (np.exp(x) - 1))),
    *(
        (layer("Activation", "a", activation=name), function)
        for name, function in ACTIVATIONS.items()
    ),
    (
        layer("Activation", "a", activation={"class_name": "ELU", "config": {"alpha": 1.0}}),
        ACTIVATIONS["elu"],
    ),
    *(
        (layer(name, "a", module="keras.src.ops.nn"), ACTIVATIONS[function])
        for name, function in (("Relu", "relu"), ("HardSilu", "hard_silu"), ("Silu", "silu"))
    ),
]


@pytest.mark.parametrize("entry, function", ACTIVATION_LAYERS)
def test_activations(entry, function):
    check(function(3 * X), [entry], x=3 * X)


def test_hard_sigmoid_is_that_of_the_files_version():
    entry = layer("Activation", "a", activation="hard_sigmoid")
    check(np.clip(0.2 * X + 0.5, 0, 1), [entry], version="2.15.0")
    check(ACTIVATIONS["hard_sigmoid"](X), [entry], version="3.0.0")


def test_slopes_of_channels():
    slopes = normal(1, 1, 4)
    check(
        np.where(X > 0, X, slopes * X), [layer("PReLU", "a", shared_axes=[1, 2])], {"a": [slopes]}
    )
    with pytest.raises(WeightsError, match=r"PReLU 'a' .*other axes than the channels"):
        check(X, [layer("PReLU", "a")], {"a": [normal(5, 6, 4)]})


def batch_norm(x, gamma, beta, mean, variance, eps):
    return gamma * (x - mean) / np.sqrt(variance + eps) + beta


@pytest.mark.parametrize("scale, center", [(True, True), (False, True), (False, False)])
def test_batch_normalisation(scale, center):
    gamma, beta, mean, variance = normal(4), normal(4), normal(4), normal(4) ** 2
    arrays = [*[gamma] * scale, *[beta] * center, mean, variance]
    entry = layer("BatchNormalization", "n", axis=[-1], scale=scale, center=center, epsilon=0.01)
    expected = batch_norm(X, gamma if scale else 1, beta if center else 0, mean, variance, 0.01)
    check(expected, [entry], {"n": arrays})


def test_batch_normalisation_of_a_flattened_map_has_the_maps_order():
    parameters = [*(normal(120) for _ in range(3)), normal(120) ** 2]
    expected = batch_norm(X.reshape(2, -1), *parameters, 1e-3)
    check(expected, [layer("Flatten", "f"), layer("BatchNormalization", "n")], {"n": parameters})


def test_layer_normalisation_and_scale():
    gamma, beta = normal(4), normal(4)
    centred = X - X.mean(axis=-1, keepdims=True)
    expected = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-3)
    check(
        expected * gamma + beta, [layer("LayerNormalization", "n", axis=[3])], {"n": [gamma, beta]}
    )
    scale = layer("LayerScale", "s", init_values=1e-6, projection_dim=4)
    check(X * gamma, [scale], {"s": [gamma]})


def test_scalings_of_the_input():
    mean, variance = normal(4), normal(4) ** 2
    check(X * 0.5 - 1, [layer("Rescaling", "r", scale=0.5, offset=-1.0)])
    check(
        X * mean + variance,
        [layer("Rescaling", "r", scale=mean.tolist(), offset=variance.tolist())],
    )
    given = layer("Normalization", "n", axis=[-1], mean=mean.tolist(), variance=variance.tolist())
    check((X - mean) / np.sqrt(variance), [given])
    adapted = layer("Normalization", "n", axis=[-1], mean=None, variance=None)
    check((X - mean) / np.sqrt(variance), [adapted], {"n": [mean, variance, 7]})
    of_all = layer("Normalization", "n", axis=None, mean=2.0, variance=4.0, invert=True)
    check(X * 2 + 2, [of_all])


SHAPES = [
    (
        [layer("ZeroPadding2D", "z", padding=[[1, 2], [0, 3]])],
        np.pad(X, [(0, 0), (1, 2), (0, 3), (0, 0)]),
    ),
    ([layer("Cropping2D", "z", cropping=[[1, 0], [2, 1]])], X[:, 1:, 2:-1]),
    ([layer("Permute", "z", dims=[2, 1, 3])], X.transpose(0, 2, 1, 3)),
    ([layer("Permute", "z", dims=[3, 1, 2])], X.transpose(0, 3, 1, 2)),
    ([layer("Reshape", "z", target_shape=[30, -1])], X),
    ([layer("Dropout", "z", rate=0.5), layer("GaussianNoise", "y", stddev=1.0)], X),
    ([layer("RandomFlip", "z", mode="horizontal", seed=None)], X),
    ([layer("Resizing", "z", height=5, width=6, interpolation="bilinear")], X),
]


@pytest.mark.parametrize("layers, expected", SHAPES)
def test_layers_that_change_the_shape_or_nothing(layers, expected):
    check(expected, layers)


def test_maps_with_channels_first():
    weight = normal(3, 3, 4, 6)
    first = X.transpose(0, 3, 1, 2)
    entries = [
        layer(
            "Conv2D", "c", filters=6, kernel_size=3, use_bias=False, data_format="channels_first"
        ),
        layer("BatchNormalization", "n", axis=1),
    ]
    parameters = [normal(6), normal(6), normal(6), normal(6) ** 2]
    expected = batch_norm(conv(X, weight), *parameters, 1e-3)
    arrays = {"c": [weight], "n": parameters}
    # Keras flattens with channels last if data_format says first, and as the axes are else.
    flat = layer("Flatten", "f", data_format="channels_first")
    check(expected, [*entries, flat], arrays, x=first, shape=(4, 5, 6), first=True)
    as_is = expected.transpose(0, 3, 1, 2)
    check(as_is, entries, arrays, x=first, shape=(4, 5, 6), first=True)


# ------------------------------------------------------------------------------ graphs


def graph_scores(model, arrays=None, x=X, version="3.15.0"):
    network = gradcam.load(weights_of(model, arrays or {}, version))
    return network.forward(x.transpose(0, 3, 1, 2).astype(np.float32), input="normalised").scores


def op(name, own):
    return {
        "class_name": name,
        "module": "keras.src.ops.numpy",
        "name": own,
        "config": {"name": own},
    }


def test_operations_with_constants():
    pool = called(layer("GlobalAveragePooling2D", "g"), ["d"])
    model = functional(
        input_layer(SHAPE),
        called(op("Multiply", "a"), ["in", 2.0]),
        called(op("Subtract", "b"), [1.5, "a"]),
        called(op("Add", "c"), ["b", "in"]),
        called(op("TrueDivide", "d"), ["c", 4]),
        pool,
        output="g",
    )
    expected = ((1.5 - 2 * X + X) / 4).mean(axis=(1, 2))
    np.testing.assert_allclose(graph_scores(model), expected, atol=1e-6)


def old(entry, *nodes):
    """A layer as Keras 2 writes it, without a module; each node is a list of inputs."""
    return {k: v for k, v in entry.items() if k != "module"} | {"inbound_nodes": list(nodes)}


def test_keras_2_writes_nodes_as_lists_and_tensorflows_functions_by_name():
    function = {"function": "math.multiply"}
    model = functional(
        old(input_layer(SHAPE)),
        old(
            layer("TFOpLambda", "tf.math.multiply", **function),
            ["in", 0, 0, {"y": 0.5, "name": None}],
        ),
        old(
            layer("TFOpLambda", "tf.__operators__.add", function="__operators__.add"),
            ["tf.math.multiply", 0, 0, {"y": ["in", 0, 0], "name": None}],
        ),
        old(
            layer("Concatenate", "cat", axis=3),
            [["in", 0, 0, {}], ["tf.__operators__.add", 0, 0, {}]],
        ),
        old(layer("GlobalMaxPooling2D", "g"), [["cat", 0, 0, {}]]),
        output=[["g", 0, 0]],
        inputs=[["in", 0, 0]],
    )
    expected = np.concatenate([X, 1.5 * X], axis=-1).max(axis=(1, 2))
    np.testing.assert_allclose(graph_scores(model, version="2.9.0"), expected, atol=1e-6)


@pytest.mark.parametrize("keras_2", [True, False])
def test_a_nested_model_that_is_called_twice(keras_2):
    """Keras 2 counts the calls of a nested model from 1, Keras 3 from 0."""
    first = 1 if keras_2 else 0
    weight = normal(1, 1, 4, 4)
    inner = functional(
        input_layer(SHAPE, "inner_in"),
        called(layer("Conv2D", "c", filters=4, kernel_size=1, use_bias=False), ["inner_in"]),
        output="c",
        name="inner",
    )
    if keras_2:
        inner["config"]["layers"][1]["inbound_nodes"] = [[["inner_in", 0, 0, {}]]]
        inner["inbound_nodes"] = [[["in", 0, 0, {}]], [["t", 0, 0, {}]]]
        tanh = old(layer("Activation", "t", activation="tanh"), [["in", 0, 0, {}]])
        add = old(
            layer("Concatenate", "s", axis=-1),
            [["inner", first, 0, {}], ["inner", first + 1, 0, {}]],
        )
        pool = old(layer("GlobalAveragePooling2D", "g"), [["s", 0, 0, {}]])
    else:
        inner = called(inner, ["in"], ["t"])
        tanh = called(layer("Activation", "t", activation="tanh"), ["in"])
        add = called(layer("Concatenate", "s", axis=-1), [["x", "y"]])
        for place, argument in enumerate(add["inbound_nodes"][0]["args"][0]):
            argument["config"]["keras_history"] = ["inner", first + place, 0]
        pool = called(layer("GlobalAveragePooling2D", "g"), ["s"])
    model = functional(input_layer(SHAPE), tanh, inner, add, pool, output="g")
    network = gradcam.load(weights_of(model, {"c": [weight]}))
    parts = [conv(X, weight), conv(np.tanh(X), weight)]
    expected = np.concatenate(parts, axis=-1).mean(axis=(1, 2))
    np.testing.assert_allclose(graph_scores(model, {"c": [weight]}), expected, atol=1e-6)
    assert {"c", "c:2", "t", "g"} <= set(network.layers)
    assert "inner" in network.layers["c"].aliases


def test_the_name_of_a_layer_is_that_of_its_output():
    """An activation that is an argument is a layer of its own, and the map before it NAME_conv."""
    entries = [
        layer("Conv2D", "block1", filters=2, kernel_size=1, activation="relu"),
        layer("Dropout", "drop", rate=0.1),
        layer("GlobalAveragePooling2D", "pool"),
        layer("Dense", "predictions", units=3, activation="softmax"),
    ]
    arrays = {"block1": [normal(1, 1, 4, 2), normal(2)], "predictions": [normal(2, 3), normal(3)]}
    network = gradcam.load(weights_of(sequential(input_layer(SHAPE), *entries), arrays))
    assert [name for name in network.layers if name != "input"] == [
        "block1.conv",
        "block1",
        "pool",
        "pool.flatten",
        "predictions.dense",
        "predictions",
    ]
    assert network.layers["block1"].aliases == ("drop",)
    assert network.target_layer == "block1"
    assert network.layers["predictions"].op == "softmax"


def test_layers_of_one_name_in_several_models_have_their_models_names():
    def part(name):
        entry = layer("Conv2D", "c", filters=4, kernel_size=1, use_bias=False)
        return sequential(input_layer(SHAPE), entry, name=name)

    model = sequential(input_layer(SHAPE), part("a"), part("b"), layer("GlobalMaxPooling2D", "g"))
    arrays = {"c": [normal(1, 1, 4, 4)]}
    assert {"a/c", "b/c"} <= set(gradcam.load(weights_of(model, arrays)).layers)


# ------------------------------------------------------------------------------ the input


def classifier(*first, shape=(8, 9, 3), classes=2, name="sequential"):
    entries = [
        *first,
        layer("Conv2D", "c", filters=4, kernel_size=3, activation="relu"),
        layer("GlobalAveragePooling2D", "g"),
        layer("Dense", "fc", units=classes, activation="softmax"),
    ]
    arrays = {"c": [normal(3, 3, 3, 4), normal(4)], "fc": [normal(4, classes), normal(classes)]}
    return weights_of(sequential(input_layer(shape), *entries, name=name), arrays)


@pytest.mark.parametrize(
    "first, preset",
    [
        ([layer("Rescaling", "r", scale=1 / 255)], "0..255"),
        ([layer("Rescaling", "r", scale=1 / 127.5, offset=-1.0)], "0..255"),
        ([layer("RandomFlip", "f"), layer("Rescaling", "r", scale=1 / 255)], "0..255"),
        ([layer("Normalization", "r", mean=[120.0] * 3, variance=[3000.0] * 3)], "0..255"),
        ([layer("Normalization", "r", mean=[0.5] * 3, variance=[0.05] * 3)], "0..1"),
        ([layer("Rescaling", "r", scale=1000.0)], None),
        ([], None),
    ],
)
def test_the_preset_is_that_of_the_models_own_scaling(first, preset):
    network = gradcam.load(classifier(*first))
    assert (network.preset.name if network.preset else None) == preset
    assert ("scales its input itself (r)" in network.about) == bool(first)
    assert ("preset=" in network.about) == (preset is None)
    assert network.size == (8, 9)


def test_a_scaling_of_operations_is_the_models_own():
    entries = [
        input_layer((8, 9, 3)),
        called(layer("TrueDivide", "d", module="keras.src.ops.numpy"), ["in", 127.5]),
        called(layer("Subtract", "s", module="keras.src.ops.numpy"), ["d", 1.0]),
        called(layer("Conv2D", "conv_dw_13", filters=4, kernel_size=3), ["s"]),
        called(layer("GlobalAveragePooling2D", "g"), ["conv_dw_13"]),
    ]
    model = functional(*entries, output="g", name="mobilenet_1.00_224")
    network = gradcam.load(weights_of(model, {"conv_dw_13": [normal(3, 3, 3, 4), normal(4)]}))
    assert network.preset is not None and network.preset.name == "0..255"
    assert "keras-tf" not in network.about


@pytest.mark.parametrize("first", [[], [layer("Rescaling", "r", scale=1 / 255)]])
def test_grey_pictures(first):
    entries = [*first, layer("Conv2D", "c", filters=2, kernel_size=3)]
    model = sequential(input_layer((8, 9, 1)), *entries, layer("GlobalAveragePooling2D", "g"))
    weights = weights_of(model, {"c": [normal(3, 3, 1, 2), normal(2)]})
    network = gradcam.load(weights)
    if not first:
        assert network.preset is None and "give preset=" in network.about
        return
    assert "as grey, 0 to 255" in network.about
    pixels = RNG.integers(0, 256, (8, 9), dtype=np.uint8)
    seen = network.forward(pixels[None, None].astype(np.float32), input="normalised").scores
    np.testing.assert_allclose(network.forward(pixels).scores, seen, atol=1e-5)


@pytest.mark.parametrize(
    "dtype, said",
    [("mixed_bfloat16", "in bfloat16"), ("mixed_float16", "in float16"), ("float64", "in float64")],
)
def test_the_precision_of_the_model_is_said(dtype, said):
    pool = layer("GlobalAveragePooling2D", "g", dtype=dtype)
    about = gradcam.load(weights_of(sequential(input_layer((8, 9, 3)), pool))).about
    assert f"compute {said} in Keras" in about and about.count("compute in ") == 2


def test_pictures_for_a_model_that_scales_its_input():
    weights = classifier(layer("Rescaling", "r", scale=1 / 255))
    pixels = RNG.integers(0, 256, (8, 9, 3), dtype=np.uint8)
    network = gradcam.load(weights)
    seen = pixels.transpose(2, 0, 1)[None].astype(np.float32)
    np.testing.assert_allclose(
        network.forward(pixels).scores, network.forward(seen, input="normalised").scores, atol=1e-5
    )


def test_published_networks_have_their_preset_and_others_are_told_of_it():
    def vgg(classes):
        entries = [
            layer("Conv2D", "block5_conv3", filters=4, kernel_size=3, activation="relu"),
            layer("GlobalAveragePooling2D", "g"),
            layer("Dense", "fc2", units=classes, activation="softmax"),
        ]
        arrays = {"block5_conv3": [normal(3, 3, 3, 4), normal(4)]}
        arrays["fc2"] = [normal(4, classes), normal(classes)]
        model = sequential(input_layer((8, 8, 3)), *entries, name="vgg16")
        return gradcam.load(weights_of(model, arrays))

    published, tuned = vgg(1000), vgg(5)
    assert published.preset is not None and published.preset.name == "keras"
    assert published.labels is not None
    assert tuned.preset is None
    assert "vgg16 of keras.applications it is 'keras'" in tuned.about


def test_an_open_size_is_the_callers():
    strided = layer("Conv2D", "s", filters=3, kernel_size=3, strides=2, padding="same")
    weights = classifier(strided, shape=(None, None, 3))
    weights = weights_of_with(weights, "s", [normal(3, 3, 3, 3), normal(3)])
    network = gradcam.load(weights, size=(13, 18))
    assert network.fixed and network.size == (13, 18)
    with pytest.raises(ValueError, match=r"13 x 18, .* load it with size="):
        network.forward(np.zeros((1, 3, 18, 18), np.float32), input="normalised")
    assert "does not say the size of its input" not in network.about
    assert "does not say the size of its input; 224 x 224" in gradcam.load(weights).about


@pytest.mark.parametrize("output", ["c", "nothing"])
def test_an_output_that_the_model_does_not_have(output):
    with pytest.raises(WeightsError, match=f"has no output '{output}'; its outputs are fc"):
        gradcam.load(classifier(), output=output)
    assert gradcam.load(classifier(), output="fc").layers["fc"].op == "softmax"


def test_one_of_two_outputs():
    entries = [
        input_layer((8, 9, 3)),
        called(layer("GlobalAveragePooling2D", "mean"), ["in"]),
        called(layer("GlobalMaxPooling2D", "largest"), ["in"]),
    ]
    outputs = [["mean", 0, 0], ["largest", 0, 0]]
    weights = weights_of(functional(*entries, output=outputs))
    x = normal(1, 3, 8, 9).astype(np.float32)
    tape = gradcam.load(weights, output="largest").forward(x, input="normalised")
    np.testing.assert_allclose(tape.scores, x.max(axis=(2, 3)), atol=1e-6)


def test_derived_names_leave_the_names_of_the_models_own_layers():
    conv = {"filters": 3, "kernel_size": 1, "use_bias": False}
    entries = [
        layer("Conv2D", "b", activation="relu", **conv),
        layer("ReLU", "b.conv"),
        layer("ZeroPadding2D", "p"),
        layer("Activation", "t", activation="tanh"),
        layer("Cropping2D", "k", cropping=1),
        layer("GlobalAveragePooling2D", "g"),
    ]
    weights = weights_of(sequential(input_layer((8, 9, 3)), *entries), {"b": [normal(1, 1, 3, 3)]})
    layers = gradcam.load(weights).layers
    assert layers["b.conv"].op == "relu" and layers["b"].op == "relu"
    assert [layers[name].op for name in ("b.conv_2", "p", "k")] == ["conv"] * 3


def test_a_nested_model_is_parsed_once_for_all_its_calls(monkeypatch):
    parsed = []
    old = walking.ordered_calls
    monkeypatch.setattr(
        walking, "ordered_calls", lambda model, ends: parsed.append(1) or old(model, ends)
    )
    inner = functional(
        input_layer(SHAPE), called(layer("Activation", "a", activation="relu"), ["in"]), output="a"
    )
    calls = [[["in", 0, 0, {}]], *([[["inner", i, 0, {}]] for i in range(1, 9)])]
    inner = {**inner, "name": "inner", "inbound_nodes": calls}
    pool = {**layer("GlobalAveragePooling2D", "g"), "inbound_nodes": [[["inner", 9, 0, {}]]]}
    gradcam.load(weights_of(functional(input_layer(SHAPE), inner, pool, output="g")))
    assert len(parsed) == 2


@pytest.mark.parametrize(
    "dims, word", [([3, 1, 2], "channels_first"), ([2, 1, 3], "channels_last")]
)
def test_a_permutation_of_the_input(dims, word):
    entries = [
        layer("Permute", "p", dims=dims),
        layer("ReLU", "r"),
        layer("GlobalAveragePooling2D", "g", data_format=word),
    ]
    if dims[0] == 2:
        with pytest.raises(WeightsError, match="an arrangement of the map"):
            gradcam.load(weights_of(sequential(input_layer((5, 6, 3)), *entries)))
        return
    network = gradcam.load(weights_of(sequential(input_layer((5, 6, 3)), *entries)))
    x = normal(1, 3, 5, 6).astype(np.float32)
    scores = network.forward(x, input="normalised").scores
    np.testing.assert_allclose(scores, np.maximum(x, 0).mean(axis=(2, 3)), atol=1e-6)


def weights_of_with(weights, name, arrays):
    """The weights with the arrays of one more layer."""
    graph = weights.graph
    groups = {leaf.group: leaf.tensors for leaf in graph.root.leaves()}
    (group,) = (leaf.group for leaf in graph.root.leaves() if leaf.name == name)
    groups[group] = tuple(f"{group}/{i}" for i in range(len(arrays)))
    tensors = dict(weights.tensors)
    tensors |= {n: a.astype(np.float32) for n, a in zip(groups[group], arrays, strict=True)}
    graph = type(graph)(graph.root.with_tensors(groups), graph.version)
    return gradcam.weights.Weights(tensors, graph=graph)


# ------------------------------------------------------------------------------ refused


def with_layer(entry, keywords=None):
    """A model with this layer after its input."""
    entry = {**called(entry, ["in"], **(keywords or {}))}
    pool = called(layer("GlobalAveragePooling2D", "g"), [entry["name"]])
    return functional(input_layer(SHAPE), entry, pool, output="g")


REFUSED = {
    "Lambda": (with_layer(layer("Lambda", "code", function="x")), r"Lambda 'code' .*not executed"),
    "a class of its own": (
        with_layer(layer("Conv2D", "mine", module="my_package.layers", filters=2)),
        r"Conv2D 'mine' is of a class of its own \(module my_package.layers\)",
    ),
    "a registered class in .h5": (
        with_layer(layer("My>Swish", "mine", module="")),
        "My>Swish 'mine' .*class of its own.*from_layers",
    ),
    "a function as activation": (
        with_layer(
            layer("Activation", "a", activation={"class_name": "function", "config": "mish2"})
        ),
        "Activation 'a' .*'mish2', a function of its own",
    ),
    "an unknown activation": (
        with_layer(layer("Activation", "a", activation="softplus")),
        "'softplus', which is not supported; known are .*gelu",
    ),
    "an unknown argument": (
        with_layer(layer("MaxPooling2D", "p", pool_size=2, circular=True)),
        "MaxPooling2D 'p' has the argument circular=True",
    ),
    "upsampling": (with_layer(layer("UpSampling2D", "u", size=2)), "UpSampling2D 'u' .*larger"),
    "resizing": (
        with_layer(layer("Resizing", "r", height=9, width=6)),
        r"Resizing 'r' resizes \(5, 6\) to \(9, 6\)",
    ),
    "dropout in training": (
        with_layer(layer("Dropout", "d", rate=0.5), {"training": True}),
        "Dropout 'd' is called with training=True",
    ),
    "a mask": (
        with_layer(layer("Softmax", "d"), {"mask": [1]}),
        r"Softmax 'd' is called with mask=\[1\]",
    ),
    "quantised": (
        with_layer(
            layer("Conv2D", "q", dtype={"class_name": "QuantizedDTypePolicy", "config": {}})
        ),
        "Conv2D 'q' is quantised",
    ),
    "no weights": (
        with_layer(layer("Conv2D", "c", filters=2, kernel_size=3)),
        r"Conv2D 'c' has 0 tensors in the file, expected 2 \(kernel, bias\)",
    ),
    "a softmax of maps": (with_layer(layer("Softmax", "s", axis=1)), "Softmax 's' is a softmax of"),
    "an operation on another axis": (
        with_layer(layer("Mean", "m", module="keras.src.ops.numpy", axis=[3], keepdims=True)),
        r"Mean 'm' is taken over the axes \[3\]",
    ),
    "an average of all values": (
        with_layer(layer("Average", "m", module="keras.src.ops.numpy", axis=None)),
        "Average 'm' is a layer that is not supported",
    ),
    "ends in tanh": (
        functional(
            input_layer(SHAPE),
            called(layer("GlobalMaxPooling2D", "g"), ["in"]),
            called(layer("Activation", "t", activation="tanh"), ["g"]),
            output="t",
        ),
        "ends in the activation tanh",
    ),
    "a cycle": (
        functional(
            input_layer(SHAPE),
            called(layer("Add", "a"), [["in", "b"]]),
            called(layer("Activation", "b", activation="relu"), ["a"]),
            output="b",
        ),
        "with a cycle: 'a' and 'b' need each other",
    ),
    "itself": (
        functional(input_layer(SHAPE), called(layer("Add", "a"), [["in", "a"]]), output="a"),
        "with a cycle",
    ),
    "a layer that is not there": (
        functional(input_layer(SHAPE), called(layer("ReLU", "a"), ["nowhere"]), output="a"),
        "reads a layer 'nowhere', which it does not have",
    ),
    "two inputs": (
        functional(
            input_layer(SHAPE),
            input_layer(SHAPE, "second"),
            output="in",
            inputs=[["in", 0, 0], ["second", 0, 0]],
        ),
        r"2 inputs \(in, second\)",
    ),
    "two outputs": (
        functional(input_layer(SHAPE), output=[["a", 0, 0], ["b", 0, 0]]),
        "2 outputs: choose .* by output=NAME, one of a, b",
    ),
    "no input shape": (sequential(layer("ReLU", "r")), "does not say the shape of its input"),
    "vectors": (
        sequential(input_layer([784]), layer("Dense", "d", units=2)),
        r"input has the shape \[None, 784\]; expected pictures",
    ),
    "an enormous input": (
        sequential(input_layer([1 << 20, 4, 3]), layer("ReLU", "r")),
        "at most 16384 rows",
    ),
    "a subclassed model": (
        {**sequential(input_layer(SHAPE), layer("ReLU", "r")), "class_name": "MyModel"},
        "MyModel 'sequential' is a model of a class of its own",
    ),
    "a softmax of parts of the scores": (
        sequential(
            input_layer(SHAPE),
            layer("GlobalMaxPooling2D", "g"),
            layer("Reshape", "r", target_shape=[2, 2]),
            layer("Softmax", "s"),
            layer("Flatten", "f"),
        ),
        r"Softmax 's' is a softmax along axis -1 of \(1, 2, 2\)",
    ),
    "vectors stacked": (
        functional(
            input_layer(SHAPE),
            called(layer("GlobalMaxPooling2D", "g"), ["in"]),
            called(layer("Reshape", "r", target_shape=[4, 1]), ["g"]),
            called(layer("Concatenate", "s", axis=-1), [["r", "r"]]),
            called(layer("Flatten", "f"), ["s"]),
            output="f",
        ),
        "Concatenate 's' joins .* only channels can be joined",
    ),
    "rescaling without a scale": (
        with_layer(layer("Rescaling", "r", offset=1.0)),
        "Rescaling 'r' has a scale or offset that is neither",
    ),
    "the output of a layer as an argument": (
        functional(
            input_layer(SHAPE),
            called(layer("ReLU", "a"), ["in"]),
            called(layer("ReLU", "b"), ["a"], mask=tensor("a")),
            output="b",
        ),
        "ReLU 'b' is called with mask=the output of a layer, which",
    ),
    "axes that are not there": (
        with_layer(layer("Mean", "m", module="keras.src.ops.numpy", axis=[5, 6])),
        r"Mean 'm' is taken over the axes \[5, 6\]",
    ),
    "zeros around a vector": (
        sequential(
            input_layer(SHAPE),
            *(layer("GlobalMaxPooling2D", "g"), layer("Flatten", "f"), layer("ReLU", "a")),
            *(layer("Softmax", "s"), layer("Reshape", "r", target_shape=[1, 1, 4])),
            *(layer("ZeroPadding2D", "z"), layer("GlobalMaxPooling2D", "g2")),
        ),
        "reads the vector .* as a map of one position, with zeros around it",
    ),
    "larger values": (
        functional(input_layer(SHAPE), called(layer("Maximum", "m"), [["in", "in"]]), output="m"),
        "Maximum 'm' .*: it takes the larger of two values",
    ),
    "a model of two outputs in a sequential one": (
        sequential(
            input_layer(SHAPE),
            functional(
                input_layer(SHAPE),
                called(layer("GlobalMaxPooling2D", "g"), ["in"]),
                output=[["g", 0, 0], ["g", 0, 0]],
                name="pair",
            ),
            layer("ReLU", "r"),
        ),
        "ReLU 'r' reads 2 outputs of the layer before it",
    ),
    "damaged": (sequential(input_layer(SHAPE), 7), "is damaged"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_models_that_are_refused(name):
    model, message = REFUSED[name]
    with pytest.raises(WeightsError, match=message):
        gradcam.load(weights_of(model))


def test_one_array_of_statistics():
    model = with_layer(layer("Normalization", "n"))
    with pytest.raises(WeightsError, match="'n' has 1 tensors in the file, expected 3"):
        gradcam.load(weights_of(model, {"n": [np.ones(4)]}))


def test_models_in_models_without_end():
    model = sequential(input_layer(SHAPE), layer("ReLU", "r"))
    for _ in range(20):
        model = sequential(input_layer(SHAPE), model)
    with pytest.raises(WeightsError, match="nested more than 16 deep"):
        weights_of(model)


def test_a_nested_model_called_very_often(monkeypatch):
    """Ten calls of a model of ten calls of a model: counted while they are made."""
    monkeypatch.setattr(walking, "_MAX_CALLS", 300)
    model = sequential(input_layer(SHAPE), layer("Rescaling", "r", scale=2.0), name="m0")
    for depth in range(1, 8):
        inner = model["config"]["name"]
        calls = [[["in", 0, 0, {}]], *([[[inner, i, 0, {}]] for i in range(1, 10)])]
        nested = {**model, "name": inner, "inbound_nodes": calls}
        model = functional(
            input_layer(SHAPE),
            nested,
            output=[[inner, 10, 0]],
            inputs=[["in", 0, 0]],
            name=f"m{depth}",
        )
    with pytest.raises(WeightsError, match="more than 300 calls"):
        gradcam.load(weights_of(model))


# ------------------------------------------------------------------------------ live models


class FakeVariable:
    def __init__(self, values):
        self.values = values
        self.dtype = values.dtype

    def numpy(self):
        return self.values


class FakeLayer:
    def __init__(self, name, arrays):
        self.name = name
        self.weights = [FakeVariable(a) for a in arrays]


class FakeModel(FakeLayer):
    """A model with the methods of Keras that are used, whose output is that of `function`."""

    def __init__(self, config, arrays, function):
        super().__init__("fake", [])
        self.layers = [FakeLayer(name, values) for name, values in arrays.items()]
        self.config, self.function = config, function

    def to_json(self):
        return json.dumps(self.config)

    def __call__(self, x, training):
        assert training is False
        return self.function(x)


def fake(function=lambda scores: scores):
    kernel, matrix = normal(3, 3, 3, 4), normal(4, 2)
    config = sequential(
        input_layer((8, 9, 3)),
        layer("Conv2D", "c", filters=4, kernel_size=3, use_bias=False, activation="relu"),
        layer("GlobalAveragePooling2D", "g"),
        layer("Dense", "fc", units=2, use_bias=False),
    )
    return FakeModel(
        config,
        {"c": [kernel], "g": [], "fc": [matrix]},
        lambda x: function(np.maximum(conv(x, kernel), 0).mean(axis=(1, 2)) @ matrix),
    )


def test_a_live_model():
    model = fake()
    network = gradcam.from_keras(model, labels=["a", "b"])
    x = normal(2, 8, 9, 3).astype(np.float32)
    theirs = model(x, training=False)
    ours = network.forward(x.transpose(0, 3, 1, 2), input="normalised").scores
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    model.layers[0].weights[0].values[:] = 0  # training goes on
    again = network.forward(x.transpose(0, 3, 1, 2), input="normalised").scores
    np.testing.assert_array_equal(again, ours)


@pytest.mark.parametrize("module", ["keras.src.models.functional", "mine"])
def test_a_live_model_of_a_class_of_its_own(module):
    """One whose call is Keras's own computes what its layers say."""
    model = fake()
    model.config["class_name"] = "Mine"
    call = type(model).__call__
    own = type("call", (), {"__module__": module})
    model.__class__ = type("Mine", (FakeModel,), {"call": own, "__call__": call})
    if module == "mine":
        with pytest.raises(WeightsError, match="Mine 'sequential' is a model of a class of its"):
            gradcam.from_keras(model)
    else:
        assert gradcam.from_keras(model).layers["fc"].op == "linear"


def test_a_live_model_that_computes_something_else_is_refused():
    with pytest.raises(WeightsError, match="fake: the network's output differs"):
        gradcam.from_keras(fake(np.tanh))


def test_the_chosen_output_of_a_live_model_is_compared():
    kernel, matrix = normal(3, 2), normal(3, 2)

    def model(change):
        config = functional(
            input_layer((4, 5, 3)),
            called(layer("Activation", "t", activation="tanh"), ["in"]),
            called(layer("GlobalAveragePooling2D", "g"), ["t"]),
            called(layer("Dense", "a", units=2, use_bias=False), ["g"]),
            called(layer("Dense", "b", units=2, use_bias=False), ["g"]),
            output=[["a", 0, 0], ["b", 0, 0]],
        )

        def run(x):
            means = np.tanh(x).mean(axis=(1, 2))
            return [means @ kernel, change(means @ matrix)]

        return FakeModel(config, {"t": [], "g": [], "a": [kernel], "b": [matrix]}, run)

    assert gradcam.from_keras(model(lambda y: y), output="b").labels
    with pytest.raises(WeightsError, match="output differs"):
        gradcam.from_keras(model(np.tanh), output="b")


def test_a_live_model_that_does_not_run():
    def run(scores):
        raise RuntimeError("no way")

    with pytest.raises(WeightsError, match=r"does not run on pictures of 8 x 9 \(no way\)"):
        gradcam.from_keras(fake(run))


def test_models_that_scale_pixels_are_compared_on_pixels():
    for first, largest in ((("Rescaling", 1 / 255), 255), (None, 6)):
        layers = [layer(first[0], "r", scale=first[1])] if first else []
        weights = classifier(*layers)
        x = random_input(import_graph(weights, Choices()), (8, 9))
        assert x.shape == (2, 3, 8, 9) and largest / 4 < x.max() <= largest


@pytest.mark.parametrize("model", ["model.keras", 3, FakeModel])
def test_what_is_no_live_model(model):
    with pytest.raises(TypeError, match="expected a model of Keras"):
        gradcam.from_keras(model)
