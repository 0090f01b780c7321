"""Networks of Keras, saved both ways and live: outputs, gradients and Grad-CAM as Keras has them.

Keras runs on PyTorch, whose autograd gives the gradients. Weights, biases and statistics are
random and not constant.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from helpers import largest_difference, peer

import gradcam

os.environ.setdefault("KERAS_BACKEND", "torch")

torch = peer("torch")
keras = peer("keras")
peer("h5py")

from keras import layers as L  # noqa: E402

pytestmark = pytest.mark.peers

FAMILIES = {
    "ConvNeXtTiny": (64, 66),
    "DenseNet121": (64, 66),
    "EfficientNetB0": (65, 66),
    "EfficientNetV2B0": (64, 66),
    "InceptionResNetV2": (107, 109),
    "InceptionV3": (107, 109),
    "MobileNet": (64, 67),
    "MobileNetV2": (64, 67),
    "MobileNetV3Large": (64, 67),
    "MobileNetV3Small": (64, 67),
    "ResNet50": (64, 66),
    "ResNet50V2": (64, 66),
    "VGG16": (64, 66),
    "VGG19": (64, 66),
    "Xception": (79, 81),
}
"""keras.applications, and the height and width of the input. NASNet is not available on PyTorch."""


QUICK = ("EfficientNetB0", "MobileNetV3Small", "ResNet50", "VGG16")


def randomised(model):
    """Give a model random weights, biases and statistics, such that values keep their size."""
    generator = np.random.default_rng(4)
    for weight in model.weights:
        shape, path = tuple(weight.shape), weight.path
        if path.endswith(("count", "seed_generator_state")):
            continue
        if "variance" in path:
            values = generator.uniform(0.5, 1.5, shape)
        elif len(shape) == 1 and "gamma" in path:
            values = generator.uniform(0.6, 1.2, shape)
        elif len(shape) == 1:
            values = generator.normal(0, 0.2, shape)
        else:
            fan_in = np.prod(shape[:-1]) if "depthwise" not in path else np.prod(shape[:2])
            values = generator.normal(0, np.sqrt(1.6 / fan_in), shape)
        weight.assign(values.astype(np.float32))
    return model


def family(name):
    keras.utils.clear_session()
    height, width = FAMILIES[name]
    make = getattr(keras.applications, name)
    return randomised(make(weights=None, classes=5, input_shape=(height, width, 3)))


def input_for(model, channels_last=True, seed=6) -> np.ndarray:
    """Two pictures as the network takes them, with channels first."""
    shape = model.input_shape[1:]
    generator = np.random.default_rng(seed)
    if any(isinstance(each, L.Rescaling | L.Normalization) for each in model.layers):
        x = generator.uniform(0, 255, (2, *shape)).astype(np.float32)
    else:
        x = generator.normal(0, 1, (2, *shape)).astype(np.float32)
    return x.transpose(0, 3, 1, 2).copy() if channels_last else x


def keras_explains(model, x, layer, channels_last=True):
    """Probabilities, and gradients of how far class 1 is ahead of class 0: of the input, and at
    the output of a layer, as Grad-CAM combines them."""
    seen = torch.tensor(x.transpose(0, 2, 3, 1).copy() if channels_last else x)
    seen.requires_grad_()
    both = keras.Model(model.inputs, [model.get_layer(layer).output, model.outputs[0]])
    maps, probabilities = both(seen, training=False)
    ahead = (torch.log(probabilities[:, 1]) - torch.log(probabilities[:, 0])).sum()
    gradient, at_maps = torch.autograd.grad(ahead, [seen, maps])
    positions, channels = ((1, 2), -1) if channels_last else ((2, 3), 1)
    cam = (at_maps.mean(positions, keepdim=True) * maps).sum(channels)
    gradient = gradient.permute(0, 3, 1, 2) if channels_last else gradient
    return [each.detach().numpy() for each in (probabilities, gradient, cam)]


def differences(network, model, x, layer, channels_last=True):
    """The largest differences of probabilities, input gradients and Grad-CAM, for each picture.

    Those of gradients and Grad-CAM are relative to the picture's largest value.
    """
    probabilities, gradient, cam = keras_explains(model, x, layer, channels_last)
    ahead = gradcam.Class(1) - gradcam.Class(0)
    both = network.forward(x, input="normalised").probabilities
    found = []
    for i, each in enumerate(x):
        tape = network.forward(each[None], input="normalised")
        ours = tape.gradient([ahead]).reshape(gradient[i].shape)
        maps = tape.grad_cam([ahead], layer=layer)[0].raw
        found.append(
            (
                float(np.abs(both[i] - probabilities[i]).max()),
                largest_difference(ours, gradient[i]),
                largest_difference(maps, cam[i]),
            )
        )
    return found


SAVED = ("model.keras", "model.h5", "live")


def network_of(model, how, folder):
    if how == "live":
        return gradcam.from_keras(model)
    model.save(folder / how)
    return gradcam.load(folder / how)


TOLERANCE = 1e-4

SEEDS = range(6, 14)
"""Pictures are drawn until one has no tie: a rectifier or maximum at a tie decides in another way
if sums have another order, and then gradients differ by a percent."""


def assert_equal(model, how, folder, layer=None, channels_last=True):
    network = network_of(model, how, folder)
    layer = layer or network.target_layer
    gradients = []
    for seed in SEEDS:
        x = input_for(model, channels_last, seed)
        found = differences(network, model, x, layer, channels_last)
        worst = np.max(found, axis=0)
        assert worst[0] < 1e-5
        assert worst[2] < 1e-4
        gradients += [each[1] for each in found]
        if min(gradients) < TOLERANCE:
            break
    print(f"{model.name}, {how}: probabilities {worst[0]:.1e}, gradient {min(gradients):.1e} "
          f"(of {len(gradients)}), Grad-CAM {worst[2]:.1e}, at {layer}")  # fmt: skip
    assert min(gradients) < TOLERANCE
    assert max(gradients) < 0.2
    return network


LAYERS = {"ConvNeXtTiny": "convnext_tiny_stage_3_block_1_gelu"}
"""Where the target layer is an operation, which Keras does not find by its name."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in FAMILIES],
)
def test_families(name, tmp_path):
    model = family(name)
    for how in SAVED:
        if (name, how) == ("ConvNeXtTiny", "model.h5"):
            continue  # Keras itself does not read it again: LayerScale
        network = assert_equal(model, how, tmp_path, LAYERS.get(name))
        scales = name.startswith(("ConvNeXt", "EfficientNet", "MobileNetV3"))
        assert (network.preset is not None) == scales


def tuned():
    """A fine-tuned network: augmentation, scaling, a nested model without its head, a new head."""
    base = keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(64, 67, 3))
    image = keras.Input((64, 67, 3))
    x = L.Rescaling(1 / 127.5, offset=-1)(L.RandomFlip("horizontal")(image))
    x = L.GlobalAveragePooling2D()(base(x, training=False))
    x = L.Dense(8, activation="elu")(L.Dropout(0.2)(x))
    return keras.Model(image, L.Dense(4, activation="softmax")(x), name="tuned")


def mixed():
    """Layers that keras.applications does not use, odd sizes and strides, a shared layer.

    Without an average over more padding on one side than on the other: there Keras on PyTorch
    repeats the map's border, unlike Keras on TensorFlow and JAX, whose mean is over the map alone.
    """
    image = keras.Input((33, 40, 3))
    x = L.Conv2D(8, (3, 2), strides=2, padding="same", activation="gelu")(image)
    shared = L.Conv2D(8, 3, dilation_rate=2, padding="same", groups=2, activation="selu")
    x = L.Average()([shared(x), shared(L.LeakyReLU()(x))])
    x = L.SeparableConv2D(6, (1, 3), depth_multiplier=2, activation="hard_sigmoid")(x)
    x = L.Concatenate()([x, keras.ops.tanh(x) * 0.5 + 1.0])
    x = L.PReLU(shared_axes=[1, 2])(L.AveragePooling2D(3, strides=1, padding="same")(x))
    x = L.Cropping2D(((0, 1), (1, 0)))(L.Conv2D(5, 3, activation="silu", name="last")(x))
    x = L.BatchNormalization()(L.Flatten()(x))
    return keras.Model(image, L.Dense(4, activation="softmax")(x), name="mixed")


@pytest.mark.parametrize("how", SAVED)
@pytest.mark.parametrize("make, layer", [(mixed, "last"), (tuned, None)])
def test_networks_of_ones_own(make, layer, how, tmp_path):
    keras.utils.clear_session()
    model = randomised(make())
    if make is tuned:
        network, x = network_of(model, how, tmp_path), input_for(model)
        theirs = model.predict(x.transpose(0, 2, 3, 1), verbose=0)
        ours = network.forward(x, input="normalised").probabilities
        assert np.abs(ours - theirs).max() < 1e-5
        assert network.target_layer == "out_relu"
        assert network.preset is not None and network.preset.name == "0..255"
    elif (make, how) != (mixed, "model.h5"):  # Keras does not read operations from .h5
        assert_equal(model, how, tmp_path, layer)


@pytest.mark.parametrize("how", ["model.keras", "live"])
def test_channels_first(how, tmp_path):
    keras.utils.clear_session()
    first = {"data_format": "channels_first"}
    image = keras.Input((3, 21, 26))
    x = L.Conv2D(6, 3, strides=2, padding="same", activation="tanh", name="c", **first)(image)
    x = L.BatchNormalization(axis=1)(x)
    x = L.MaxPooling2D(2, **first)(L.DepthwiseConv2D(3, activation="relu", **first)(x))
    x = L.Flatten(**first)(x)
    model = keras.Model(image, L.Dense(3, activation="softmax")(x), name="first")
    assert_equal(randomised(model), how, tmp_path, "c", channels_last=False)
