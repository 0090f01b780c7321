"""Write the Keras files of this folder with Keras: run with ``KERAS_BACKEND=torch``.

Weights are counted, so that tests can tell them: see :func:`counted`. ``small_2016.h5`` has the
layout of the files that keras.applications downloads, which no Keras of today writes; h5py does.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

HERE = Path(__file__).parent

SHAPES = {
    "block1_conv1/kernel": (3, 3, 3, 2),
    "block1_conv1/bias": (2,),
    "block1_conv2/kernel": (3, 3, 2, 4),
    "block1_conv2/bias": (4,),
    "block1_bn/gamma": (4,),
    "block1_bn/beta": (4,),
    "block1_bn/moving_mean": (4,),
    "block1_bn/moving_variance": (4,),
    "fc1/kernel": (16, 5),
    "fc1/bias": (5,),
    "predictions/kernel": (5, 3),
    "predictions/bias": (3,),
}
"""The shapes of the network's weights in all these files, in order."""


def counted(name: str) -> np.ndarray:
    """The values of a weight: its index among the weights, plus increasing fractions."""
    shape = SHAPES[name]
    return np.linspace(0, 1, np.prod(shape), dtype=np.float32).reshape(shape) + list(SHAPES).index(
        name
    )


def _with_keras() -> None:
    import keras
    from keras import layers

    model = keras.Sequential(
        [
            keras.Input((4, 4, 3)),
            layers.Conv2D(2, 3, padding="same", activation="relu", name="block1_conv1"),
            layers.Conv2D(4, 3, padding="same", activation="relu", name="block1_conv2"),
            layers.BatchNormalization(epsilon=1e-4, name="block1_bn"),
            layers.MaxPooling2D(2, name="block1_pool"),
            layers.Flatten(name="flatten"),
            layers.Dense(5, activation="relu", name="fc1"),
            layers.Dense(3, activation="softmax", name="predictions"),
        ],
        name="small",
    )
    for weight in model.weights:
        weight.assign(counted("/".join(weight.path.split("/")[-2:])))
    model.save(HERE / "small.h5")
    model.save(HERE / "small.keras")
    model.save_weights(HERE / "small.weights.h5")


def _as_in_2016() -> None:
    import h5py

    old = {"kernel": "W", "bias": "b", "moving_mean": "running_mean"}
    old["moving_variance"] = "running_std"
    order = list(dict.fromkeys(name.split("/")[0] for name in SHAPES))
    order.insert(3, "block1_pool")
    with h5py.File(HERE / "small_2016.h5", "w") as file:
        file.attrs["layer_names"] = [layer.encode() for layer in order]
        for layer in order:
            group = file.create_group(layer)
            names = {
                f"{layer}_{old.get(kind, kind)}_1:0": counted(f"{layer}/{kind}")
                for owner, kind in (name.split("/") for name in SHAPES)
                if owner == layer
            }
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, values in names.items():
                group.create_dataset(name, data=values)


if __name__ == "__main__":
    _with_keras()
    _as_in_2016()
