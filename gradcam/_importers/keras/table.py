"""Which function adds which layer or operation, and what is said of those without one."""

from __future__ import annotations

from gradcam._importers.keras import (
    activations,
    arithmetic,
    convolutions,
    normalisations,
    poolings,
    shapes,
)
from gradcam._importers.keras.step import StepFunction
from gradcam._text import printable
from gradcam._weights.keras_model import KerasLayer
from gradcam._weights.tensors import WeightsError

LAYERS: dict[str, StepFunction] = {
    **activations.LAYERS,
    **arithmetic.LAYERS,
    **convolutions.LAYERS,
    **normalisations.LAYERS,
    **poolings.LAYERS,
    **shapes.LAYERS,
}
"""Keras's layers by their classes."""

OPERATIONS: dict[str, StepFunction] = {
    **activations.OPERATIONS,
    **arithmetic.OPERATIONS,
    **poolings.OPERATIONS,
    **shapes.OPERATIONS,
}
"""Keras 3's operations by their classes, without those of :data:`_ALIKE`."""

TENSORFLOW: dict[str, StepFunction] = {
    "__operators__.add": arithmetic.add,
    "clip_by_value": activations.clip,
    "concat": arithmetic.concatenate,
    "identity": shapes.nothing,
    "math.add": arithmetic.add,
    "math.divide": arithmetic.divide,
    "math.multiply": arithmetic.multiply,
    "math.reduce_max": poolings.OPERATIONS["Max"],
    "math.reduce_mean": poolings.OPERATIONS["Mean"],
    "math.sigmoid": activations.OPERATIONS["Sigmoid"],
    "math.subtract": arithmetic.subtract,
    "math.tanh": activations.OPERATIONS["Tanh"],
    "math.truediv": arithmetic.divide,
    "nn.elu": activations.OPERATIONS["Elu"],
    "nn.leaky_relu": activations.OPERATIONS["LeakyRelu"],
    "nn.relu": activations.OPERATIONS["Relu"],
    "nn.relu6": activations.OPERATIONS["Relu6"],
    "nn.selu": activations.OPERATIONS["Selu"],
    "nn.sigmoid": activations.OPERATIONS["Sigmoid"],
    "nn.silu": activations.OPERATIONS["Silu"],
    "nn.softmax": activations.LAYERS["Softmax"],
    "nn.swish": activations.OPERATIONS["Silu"],
    "nn.tanh": activations.OPERATIONS["Tanh"],
    "reshape": shapes.OPERATIONS["Reshape"],
    "squeeze": shapes.OPERATIONS["Squeeze"],
    "tanh": activations.OPERATIONS["Tanh"],
    "transpose": shapes.OPERATIONS["Transpose"],
}
"""TensorFlow's functions that Keras 2 writes as TFOpLambda."""

_ALIKE = ("Add", "Concatenate", "Identity", "Multiply", "Softmax", "Subtract")
"""Layers that have the name and the function of an operation."""

MODELS = ("Functional", "Model", "Sequential")
"""The classes of models whose layers say all that they compute."""

_OWN_MODULES = ("keras", "tf_keras", "tensorflow")
"""The packages whose layers are Keras's own."""

_REASONS = {
    "Conv2DTranspose": "it makes maps larger, as networks for segmentation do",
    "GroupNormalization": "it normalises over groups of channels",
    "Lambda": "it holds code, which is not executed; a Rescaling, Activation or Reshape layer in "
    "its place can be read",
    "LSTM": "it is recurrent",
    "GRU": "it is recurrent",
    "MultiHeadAttention": "it is the attention of transformers",
    "Maximum": "it takes the larger of two values at each position",
    "Minimum": "it takes the smaller of two values at each position",
    "RandomCrop": "it cuts pictures at inference too; make the model without it",
    "CenterCrop": "it cuts pictures; make the model without it",
    "TimeDistributed": "it works on sequences of pictures",
    "UpSampling2D": "it makes maps larger, as networks for segmentation do",
}
"""Why some layers are not supported."""

_ADVICE = "gradcam.Network.from_layers makes networks of other operations from a list of layers"


def function_of(layer: KerasLayer) -> StepFunction:
    """Return the function that adds this layer or operation.

    Raises
    ------
    WeightsError
        If there is none, or the class is not Keras's own.
    """
    name = layer.class_name
    package = layer.module.partition(".")[0]
    if package and package not in _OWN_MODULES and package != "builtins":
        raise WeightsError(
            f"is of a class of its own (module {printable(layer.module)[:60]}), whose code is not "
            f"in the file and would not be executed; {_ADVICE}"
        )
    if name == "TFOpLambda":
        function = layer.config.get("function")
        found = TENSORFLOW.get(function) if isinstance(function, str) else None
        if found is None:
            raise WeightsError(
                f"is TensorFlow's function {printable(str(function))[:60]}, which is not "
                f"supported; {_ADVICE}"
            )
        return found
    # Files of HDF5 do not write the module.
    operation = ".ops." in layer.module or (not layer.module and not _is_layer(layer))
    if operation and name in OPERATIONS:
        return OPERATIONS[name]
    if name in LAYERS and (".ops." not in layer.module or name in _ALIKE):
        return LAYERS[name]
    if not name:
        raise WeightsError("is damaged: the configuration does not say its class")
    reason = _REASONS.get(name)
    if reason is None and not layer.module and (">" in name or "." in name):
        reason = "it is of a class of its own, whose code is not in the file"
    because = f": {reason}" if reason else ", or of a class of its own"
    raise WeightsError(f"is a layer that is not supported{because}; {_ADVICE}")


def _is_layer(layer: KerasLayer) -> bool:
    """Whether a configuration is that of a layer: operations have no data type of their own."""
    return "dtype" in layer.config or "trainable" in layer.config
