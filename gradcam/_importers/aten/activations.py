"""Operations on each value by itself, and softmax."""

from __future__ import annotations

import math

from gradcam._importers.aten.arguments import Arguments, dimension
from gradcam._importers.aten.table import Function, Result, Site, operation, refuse
from gradcam._importers.values import Value
from gradcam._weights.tensors import WeightsError

_SIMPLE = {
    "relu": "relu",
    "relu6": "relu6",
    "silu": "silu",
    "hardswish": "hard_swish",
    "hardsigmoid": "hard_sigmoid",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
}
"""The core's operations, by PyTorch's names."""


def _simple(op: str) -> Function:
    def write(site: Site, a: Arguments) -> Result:
        return site.builder.elementwise(a.value("self"), site.name, op)

    return write


for _name, _op in _SIMPLE.items():
    operation(_name)(_simple(_op))


@operation("leaky_relu")
def _leaky_relu(site: Site, a: Arguments) -> Result:
    slope = a.number("negative_slope", 0.01)
    return site.builder.elementwise(a.value("self"), site.name, "leaky_relu", slope=slope)


@operation("rrelu")
def _random_leaky_relu(site: Site, a: Arguments) -> Result:
    if a.flag("training"):
        raise WeightsError("is in training mode: call eval() before the model is exported")
    slope = (a.number("lower", 1 / 8) + a.number("upper", 1 / 3)) / 2
    return site.builder.elementwise(a.value("self"), site.name, "leaky_relu", slope=slope)


@operation("prelu", "_prelu_kernel")
def _prelu(site: Site, a: Arguments) -> Result:
    value, weight = site.builder.padded(a.value("self")), a.array("weight").reshape(-1)
    if len(weight) not in (1, value.channels):
        raise WeightsError(f"has {len(weight)} slopes for {value.channels} channels")
    if len(weight) > 1 and (len(value.dims) < 2 or value.dims[1] != value.whole("C")):
        raise WeightsError(f"has a slope for each index of dimension 1 of {value.shape}")
    found = site.builder.add(site.name, "prelu", [value], value.core, {"weight": weight})
    return value.of(found.layer)


@operation("elu")
def _elu(site: Site, a: Arguments) -> Result:
    if (a.number("scale", 1.0), a.number("input_scale", 1.0)) != (1, 1):
        raise WeightsError("scales its input or output, which is not supported")
    alpha = a.number("alpha", 1.0)
    return site.builder.elementwise(a.value("self"), site.name, "elu", alpha=alpha)


@operation("selu")
def _selu(site: Site, a: Arguments) -> Result:
    """Klambauer et al., 2017: a scaled elu."""
    name = f"{site.name}.elu"
    found = site.builder.elementwise(a.value("self"), name, "elu", alpha=1.6732632423543772)
    return site.builder.scale_and_shift(found, site.name, 1.0507009873554805)


@operation("celu")
def _celu(site: Site, a: Arguments) -> Result:
    if a.number("alpha", 1.0) != 1:
        raise WeightsError("has an alpha other than 1, which is not supported")
    return site.builder.elementwise(a.value("self"), site.name, "elu", alpha=1.0)


@operation("gelu")
def _gelu(site: Site, a: Arguments) -> Result:
    form = a.text("approximate", "none")
    if form not in ("none", "tanh"):
        raise WeightsError(f"has the approximation {form!r}, which is not supported")
    value = a.value("self")
    return site.builder.elementwise(value, site.name, "gelu", approximate=form == "tanh")


def _clip(site: Site, value: Value, low: float, high: float) -> Value:
    if (low, high) == (-math.inf, math.inf):
        return value
    if not low < high:
        raise WeightsError(f"limits values to {low} to {high}")
    return site.builder.elementwise(value, site.name, "clip", low=float(low), high=float(high))


@operation("hardtanh")
def _hardtanh(site: Site, a: Arguments) -> Result:
    return _clip(site, a.value("self"), a.number("min_val", -1.0), a.number("max_val", 1.0))


@operation("clamp", "clip", "clamp_min", "clamp_max")
def _clamp(site: Site, a: Arguments) -> Result:
    return _clip(site, a.value("self"), a.number("min", -math.inf), a.number("max", math.inf))


@operation("threshold")
def _threshold(site: Site, a: Arguments) -> Result:
    if (a.number("threshold"), a.number("value")) != (0, 0):
        raise WeightsError("has a threshold or a value other than 0, which is not supported")
    return site.builder.elementwise(a.value("self"), site.name, "relu")


@operation("softmax", "_softmax")
def _softmax(site: Site, a: Arguments) -> Result:
    return _over_channels(site, a, "softmax")


@operation("log_softmax", "_log_softmax")
def _log_softmax(site: Site, a: Arguments) -> Result:
    return _over_channels(site, a, "log_softmax")


def _over_channels(site: Site, a: Arguments, op: str) -> Value:
    value = a.value("self", "input")
    dim = dimension(a.integer("dim"), len(value.dims))
    if value.dims[dim] != value.whole("C"):
        raise WeightsError(
            f"is a softmax along dimension {dim} of {value.shape}: only one over the channels is "
            f"supported"
        )
    return site.builder.elementwise(value, site.name, op)


refuse(
    "mish softplus softsign log_sigmoid hardshrink softshrink tanhshrink glu exp log sqrt rsqrt "
    "sin cos abs erf log_sigmoid_forward sign floor ceil round square reciprocal",
    "is an operation that the core does not have",
)
