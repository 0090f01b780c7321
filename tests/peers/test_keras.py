"""Files of Keras: tensors bit for bit, and scores and Grad-CAM compared with Keras."""

from __future__ import annotations

import os

import numpy as np
import pytest
from helpers import largest_difference, peer

import gradcam
from gradcam._weights import keras as reader

os.environ.setdefault("KERAS_BACKEND", "torch")

torch = peer("torch")
keras = peer("keras")
h5py = peer("h5py")

from keras import layers  # noqa: E402

pytestmark = pytest.mark.peers


def _legacy_weights(model, path):
    """The format of ``save_weights("x.h5")`` before Keras 3, which keras.applications downloads."""
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


SAVED = {
    "model.h5": lambda model, path: model.save(path),
    "legacy.h5": _legacy_weights,
    "model.weights.h5": lambda model, path: model.save_weights(path),
    "model.keras": lambda model, path: model.save(path),
}


def vgg16(width: int, hidden: int, classes: int, norm: bool = False, names: bool = True):
    """A narrow VGG-16 with all layers; the output is without softmax."""
    given = (lambda name: {"name": name}) if names else (lambda name: {})
    x = image = keras.Input((224, 224, 3))
    for block, (count, scale) in enumerate([(2, 1), (2, 2), (3, 4), (3, 8), (3, 8)], 1):
        for i in range(1, count + 1):
            x = layers.Conv2D(
                width * scale,
                3,
                padding="same",
                activation=None if norm else "relu",
                **given(f"block{block}_conv{i}"),
            )(x)
            if norm:
                x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.MaxPooling2D(2, **given(f"block{block}_pool"))(x)
    x = layers.Flatten()(x)
    for name in ("fc1", "fc2"):
        x = layers.Dense(hidden, activation="relu", **given(name))(x)
        x = layers.Dropout(0.5)(x)
    return keras.Model(image, layers.Dense(classes, **given("predictions"))(x))


def nested():
    """A fine-tuned model: a nested model and a new head."""
    image = keras.Input((224, 224, 3))
    whole = vgg16(2, 8, 5)
    base = keras.Model(whole.inputs, whole.get_layer("block5_pool").output, name="vgg16")
    x = layers.Flatten()(base(image))
    x = layers.Dense(8, activation="relu", name="fc1")(x)
    x = layers.Dense(6, activation="relu", name="fc2")(x)
    return keras.Model(image, layers.Dense(2, name="doctor_or_nurse")(x))


MODELS = {
    "narrow": lambda: vgg16(2, 8, 5),
    "without names": lambda: vgg16(2, 8, 5, names=False),
    "nested": nested,
    "batch normalisation": lambda: vgg16(2, 8, 5, norm=True),
}


def make_model(name: str):
    """Return a model with random weights, biases and statistics."""
    keras.utils.set_random_seed(3)
    model = MODELS[name]()
    generator = np.random.default_rng(4)
    for weight in model.weights:
        if len(weight.shape) == 1:
            weight.assign(generator.uniform(0.01, 0.1, weight.shape))
    return model


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
@pytest.mark.parametrize("head", ["sigmoid", "softmax"])
def test_heads(tmp_path, name, head):
    keras.utils.set_random_seed(3)
    base = vgg16(2, 8, 5)
    model = keras.Model(base.inputs, layers.Activation(head)(base.outputs[0]))
    SAVED[name](model, tmp_path / name)
    picture = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    tape = gradcam.load(tmp_path / name, preset="keras").forward(picture)
    theirs = model.predict(tape.input.transpose(0, 2, 3, 1), verbose=0)
    assert largest_difference(tape.probabilities, theirs) < 1e-5
    refused = keras.Model(base.inputs, layers.Activation("tanh")(base.outputs[0]))
    SAVED[name](refused, tmp_path / f"tanh-{name}")
    with pytest.raises(gradcam.WeightsError, match="ends in the activation tanh"):
        gradcam.load(tmp_path / f"tanh-{name}")


def own_tensors(model) -> dict[str, np.ndarray]:
    """Return weights by LAYER/kind, in the order of the model, with nested models."""
    found = {}
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found |= own_tensors(layer)
        else:
            found |= {f"{layer.name}/{w.name}": w.numpy() for w in layer.weights}
    return found


def assert_same(path, model, ordered: bool) -> None:
    theirs = own_tensors(model)
    ours = reader.read(path).tensors
    assert (list if ordered else set)(ours) == (list if ordered else set)(theirs)
    for name, values in theirs.items():
        assert ours[name].dtype == values.dtype
        assert ours[name].tobytes() == values.tobytes(), name


@pytest.mark.parametrize("file", SAVED)
@pytest.mark.parametrize("name", MODELS)
def test_tensors(name, file, tmp_path):
    model = make_model(name)
    SAVED[file](model, tmp_path / file)
    # For a nested model, legacy files contain all trainable weights before the others, and
    # .weights.h5 does not contain the order of layers of different classes.
    ordered = name != "batch normalisation" or file != "model.weights.h5"
    assert_same(tmp_path / file, model, ordered)


def test_bfloat16(tmp_path):
    policy = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("bfloat16")
        model = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="d")])
    finally:
        keras.config.set_dtype_policy(policy)
    model.save_weights(tmp_path / "b.weights.h5")
    weights = reader.read(tmp_path / "b.weights.h5")
    kernel = model.layers[0].kernel.value.detach().float().numpy()
    np.testing.assert_array_equal(weights.tensors["d/kernel"], kernel)
    assert set(weights.dtypes.values()) == {"bfloat16"}


def all_layers(model):
    """Return all layers in order, with those of nested models."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from all_layers(layer)
        elif not isinstance(layer, layers.InputLayer):
            yield layer


def compare(path, model) -> tuple[float, float]:
    """Return the largest differences of scores and Grad-CAM from those of Keras's layers.

    Both get the same random pixels. Keras's map is the mean gradient times the rectified output
    of the last convolution, by PyTorch's autograd.
    """
    pixels = np.random.default_rng(6).uniform(-120, 130, (1, 3, 224, 224)).astype(np.float32)
    rectified = [
        each for each in all_layers(model) if isinstance(each, layers.Conv2D | layers.ReLU)
    ]
    x = torch.tensor(pixels.transpose(0, 2, 3, 1).copy())
    for layer in all_layers(model):
        x = layer(x)
        if layer is rectified[-1]:
            maps = x
    (gradient,) = torch.autograd.grad(x[0, 1], maps)
    theirs = (gradient.mean((1, 2), keepdim=True) * maps).sum(-1)[0].detach().numpy()
    network = gradcam.load(path)
    # Files with the model's configuration have Keras's names; those of weights alone are a VGG-16.
    last = rectified[-1].name if path.name in ("model.keras", "model.h5") else "relu5_3"
    tape = network.forward(pixels)
    return (
        largest_difference(tape.scores, x.detach().numpy()),
        largest_difference(tape.grad_cam([1], layer=last)[0].raw, theirs),
    )


@pytest.mark.parametrize("file", SAVED)
@pytest.mark.parametrize("name", ["narrow", "without names", "nested"])
def test_scores_and_grad_cam(name, file, tmp_path):
    model = make_model(name)
    SAVED[file](model, tmp_path / file)
    scores, cam = compare(tmp_path / file, model)
    print(f"{name}, {file}: scores {scores:.1e}, Grad-CAM {cam:.1e}")
    assert scores < 3e-5
    assert cam < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("file", SAVED)
def test_the_published_network(file, tmp_path):
    """keras.applications' VGG-16, 553 MB."""
    keras.utils.set_random_seed(7)
    model = keras.applications.VGG16(weights=None, classifier_activation=None)
    SAVED[file](model, tmp_path / file)
    assert_same(tmp_path / file, model, ordered=True)
    scores, cam = compare(tmp_path / file, model)
    print(f"VGG16, {file}: scores {scores:.1e}, Grad-CAM {cam:.1e}")
    assert scores < 3e-5
    assert cam < 1e-4
