"""Activations, as layers, as operations and as arguments of other layers."""

from __future__ import annotations

import math
from collections.abc import Callable

from gradcam._engine.layers import Attribute
from gradcam._importers.keras.arguments import Arguments
from gradcam._importers.keras.step import Step, StepFunction
from gradcam._importers.values import Value
from gradcam._text import printable
from gradcam._weights.tensors import WeightsError

_SELU = (1.0507009873554805, 1.6732632423543772)
"""Scale and alpha of selu (Klambauer et al., 2017), as Keras has them."""

_ELEMENTWISE: dict[str, tuple[str, dict[str, Attribute]]] = {
    "elu": ("elu", {"alpha": 1.0}),
    "gelu": ("gelu", {"approximate": False}),
    "hard_silu": ("hard_swish", {}),
    "hard_swish": ("hard_swish", {}),
    "leaky_relu": ("leaky_relu", {"slope": 0.2}),
    "relu": ("relu", {}),
    "relu6": ("relu6", {}),
    "sigmoid": ("sigmoid", {}),
    "silu": ("silu", {}),
    "swish": ("silu", {}),
    "tanh": ("tanh", {}),
}
"""Operations of the core, by Keras's names of functions."""

_OTHERS = ("hard_sigmoid", "linear", "log_softmax", "selu", "softmax")
"""Names of functions that are made in another way."""


def named(step: Step, value: Value, name: str) -> Value:
    """Add the activation that Keras's function of this name is."""
    found = _ELEMENTWISE.get(name)
    if found is not None:
        op, attributes = found
        return step.builder.elementwise(value, step.name, op, (), **attributes)
    if name == "linear":
        return value
    if name in ("softmax", "log_softmax"):
        return _softmax(step, value, name, -1)
    if name == "selu":
        scale, alpha = _SELU
        value = step.builder.elementwise(value, f"{step.name}.elu", "elu", alpha=alpha)
        return step.builder.scale_and_shift(value, step.name, scale)
    if name == "hard_sigmoid":
        return _hard_sigmoid(step, value)
    raise WeightsError(
        f"has the activation {printable(name)[:60]!r}, which is not supported; known are "
        f"{', '.join(sorted([*_ELEMENTWISE, *_OTHERS]))}"
    )


def _hard_sigmoid(step: Step, value: Value) -> Value:
    """x / 6 + 1 / 2 between 0 and 1; before Keras 3 it was 0.2 x + 0.5."""
    if not step.keras_2:
        return step.builder.elementwise(value, step.name, "hard_sigmoid")
    value = step.builder.scale_and_shift(value, f"{step.name}.scale", 0.2, 0.5)
    return step.builder.elementwise(value, step.name, "clip", low=0.0, high=1.0)


def _softmax(step: Step, value: Value, op: str, axis: int) -> Value:
    rank = len(value.dims)
    if value.is_map and rank > 2:
        raise WeightsError(f"is a {op} of {value.shape}, expected one of scores")
    if not -rank <= axis < rank or axis % rank == 0 or value.shape[axis] != math.prod(value.core):
        raise WeightsError(
            f"is a {op} along axis {axis} of {value.shape}, expected the axis of all scores"
        )
    if rank == 2:
        value = step.builder.vector_as_seen(value)
    return step.builder.elementwise(value, step.name, op)


def activated(step: Step, make: Callable[[str], Value], kind: str) -> Value:
    """Add a layer, and after it the activation that is its argument ``activation``.

    Parameters
    ----------
    step : Step
    make : function
        Adds the layer under the name that it is given; returns its output.
    kind : str
        The layer before the activation is called NAME.KIND: NAME is the output of both.
    """
    given = step.arguments.get("activation", "linear")
    if given == "linear":
        return make(step.name)
    return given_activation(step, make(f"{step.name}.{kind}"), given)


def given_activation(step: Step, value: Value, given: object) -> Value:
    """Add an activation that an argument is: a function's name, or a layer in a dict."""
    if isinstance(given, str):
        return named(step, value, given)
    entry = given if isinstance(given, dict) else {}
    name, config = entry.get("class_name"), entry.get("config")
    if name == "function":
        raise WeightsError(
            f"has the activation {printable(str(config))[:60]!r}, a function of its own: "
            f"its code is not in the file, and would not be executed"
        )
    function = AS_ARGUMENTS.get(name) if isinstance(name, str) else None
    if function is None or not isinstance(config, dict):
        raise WeightsError(f"has the activation {printable(str(name or given))[:60]!r}")
    inner = Step(step.builder, step.name, Arguments(config), [value], (), step.keras_2)
    found = function(inner)
    inner.arguments.refuse_others()
    return found


# ------------------------------------------------------------------------------ layers


def activation(step: Step) -> Value:
    return given_activation(step, step.value(), step.arguments.get("activation", "linear"))


def relu(step: Step) -> Value:
    """A rectifier, also one with a largest value or a slope of negative values."""
    high = step.arguments.number("max_value", math.inf) if _given(step, "max_value") else None
    slope = step.arguments.number("negative_slope", 0.0)
    if step.arguments.number("threshold", 0.0) != 0:
        raise WeightsError("has a threshold other than 0, which is not supported")
    value = step.value()
    if high is not None and high <= 0:
        raise WeightsError(f"has max_value={high:g}; expected a positive number")
    if slope:
        if high is None:
            return step.builder.elementwise(value, step.name, "leaky_relu", slope=slope)
        value = step.builder.elementwise(value, f"{step.name}.leaky", "leaky_relu", slope=slope)
        return step.builder.elementwise(value, step.name, "clip", low=-math.inf, high=high)
    if high is None:
        return step.builder.elementwise(value, step.name, "relu")
    if high == 6:
        return step.builder.elementwise(value, step.name, "relu6")
    return step.builder.elementwise(value, step.name, "clip", low=0.0, high=high)


def _given(step: Step, name: str) -> bool:
    return step.arguments.get(name) is not None


def leaky_relu(step: Step) -> Value:
    names = ("negative_slope", "alpha")  # Keras 3's and Keras 2's
    slopes = [step.arguments.number(name) for name in names if _given(step, name)]
    slope = slopes[0] if slopes else 0.3
    return step.builder.elementwise(step.value(), step.name, "leaky_relu", slope=slope)


def prelu(step: Step) -> Value:
    """Slopes of negative values for each channel: ``shared_axes=[1, 2]`` of a map."""
    (slopes,) = step.weights("alpha")
    step.arguments.ignore("shared_axes")  # the shape of the slopes says it
    value = step.value()
    if slopes.ndim == 1 and len(value.dims) == 2:
        value = step.by_channel(value, (-1,))
        slopes = step.channels(value, slopes, "alpha")
    return step.builder.prelu(value, step.name, slopes)


def elu(step: Step) -> Value:
    alpha = step.arguments.number("alpha", 1.0)
    return step.builder.elementwise(step.value(), step.name, "elu", alpha=alpha)


def softmax(step: Step) -> Value:
    return _along_axis(step, "softmax")


def _along_axis(step: Step, op: str) -> Value:
    axes = step.arguments.integers("axis") if _given(step, "axis") else [-1]
    if len(axes) != 1:
        raise WeightsError(f"is a {op} along several axes {axes[:8]}")
    return _softmax(step, step.value(), op, axes[0])


# ------------------------------------------------------------------------------ operations


def gelu(step: Step) -> Value:
    approximate = step.arguments.flag("approximate", True)
    return step.builder.elementwise(step.value(), step.name, "gelu", approximate=approximate)


def clip(step: Step) -> Value:
    """``keras.ops.clip`` and ``tf.clip_by_value``."""
    low, high = (
        step.arguments.number(names[0] if _given(step, names[0]) else names[1])
        for names in (("x_min", "clip_value_min"), ("x_max", "clip_value_max"))
    )
    if not low < high:
        raise WeightsError(f"clips between {low:g} and {high:g}")
    return step.builder.elementwise(step.value(), step.name, "clip", low=low, high=high)


def _operation(name: str) -> StepFunction:
    return lambda step: named(step, step.value(), name)


def _leaky_operation(step: Step) -> Value:
    names = ("negative_slope", "alpha")
    slopes = [step.arguments.number(name) for name in names if _given(step, name)]
    slope = slopes[0] if slopes else 0.2
    return step.builder.elementwise(step.value(), step.name, "leaky_relu", slope=slope)


LAYERS: dict[str, StepFunction] = {
    "Activation": activation,
    "ELU": elu,
    "LeakyReLU": leaky_relu,
    "PReLU": prelu,
    "ReLU": relu,
    "Softmax": softmax,
}
"""By the class names of Keras's layers."""

AS_ARGUMENTS: dict[str, StepFunction] = {
    name: LAYERS[name] for name in ("ELU", "LeakyReLU", "ReLU", "Softmax")
}
"""Those that can be arguments of other layers: without variables."""

OPERATIONS: dict[str, StepFunction] = {
    "Clip": clip,
    "Elu": elu,
    "Gelu": gelu,
    "LeakyRelu": _leaky_operation,
    **{
        "".join(part.capitalize() for part in name.split("_")): _operation(name)
        for name in ("hard_sigmoid", "hard_silu", "relu", "relu6", "selu", "sigmoid", "silu")
    },
    "LogSoftmax": lambda step: _along_axis(step, "log_softmax"),
    "Tanh": _operation("tanh"),
}
"""By the class names of Keras 3's operations."""
