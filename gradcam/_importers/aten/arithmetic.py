"""Sums, products and what is made of them."""

from __future__ import annotations

from typing import cast

import numpy as np

from gradcam._importers.aten import response_norm
from gradcam._importers.aten.arguments import Arguments, dimension
from gradcam._importers.aten.table import Result, Site, operation, refuse
from gradcam._importers.aten.tensors import Array, Squares, Tensor
from gradcam._importers.values import Value
from gradcam._weights.tensors import WeightsError

Operand = Value | Array | float


def _operand(a: Arguments, name: str) -> Operand:
    """Return a value of the network, or a constant array or number."""
    if not isinstance(a.get(name), Tensor):
        return a.number(name)
    found = a.tensor(name).read()
    if isinstance(found, np.ndarray) and found.dtype.kind in "biu":
        return found.astype(np.float64)  # with PyTorch's values, integers become such numbers
    return a.value(name) if isinstance(found, Squares) else found


@operation("add")
def _add(site: Site, a: Arguments) -> Result:
    return _sum(site, _operand(a, "self"), _operand(a, "other"), a.number("alpha", 1.0))


@operation("sub")
def _subtract(site: Site, a: Arguments) -> Result:
    return _sum(site, _operand(a, "self"), _operand(a, "other"), -a.number("alpha", 1.0))


@operation("rsub")
def _subtract_from(site: Site, a: Arguments) -> Result:
    return _sum(site, _operand(a, "other"), _operand(a, "self"), -a.number("alpha", 1.0))


def _sum(site: Site, first: Operand, second: Operand, factor: float) -> Value:
    """Add ``first + factor * second``."""
    builder = site.builder
    if isinstance(second, Value):
        if factor != 1:
            second = builder.scale_and_shift(second, f"{site.name}.scaled", factor)
        if isinstance(first, Value):
            return builder.sum([first, second], site.name)
        return _shifted(site, second, first)
    assert isinstance(first, Value)
    return _shifted(site, first, second * factor)


def _shifted(site: Site, value: Value, shift: Array | float) -> Value:
    _check_shapes(value, shift)
    return site.builder.scale_and_shift(value, site.name, 1.0, shift)


@operation("mul")
def _multiply(site: Site, a: Arguments) -> Result:
    first, second = _operand(a, "self"), _operand(a, "other")
    if isinstance(first, Value) and isinstance(second, Value):
        return site.builder.product(first, second, site.name)
    value, factor = (first, second) if isinstance(first, Value) else (second, first)
    assert isinstance(value, Value) and not isinstance(factor, Value)
    _check_shapes(value, factor)
    return site.builder.scale_and_shift(value, site.name, factor)


@operation("div")
def _divide(site: Site, a: Arguments) -> Result:
    divisor = a.get("other")
    if isinstance(divisor, Tensor) and isinstance(divisor.read(), Squares):
        return response_norm.divided(site, a.value("self"), cast("Squares", divisor.read()))
    first, second = _operand(a, "self"), _operand(a, "other")
    if isinstance(second, Value):
        raise WeightsError("divides by a value that depends on the picture")
    assert isinstance(first, Value)
    if np.any(np.asarray(second) == 0):
        raise WeightsError("divides by zero")
    _check_shapes(first, second)
    return site.builder.scale_and_shift(first, site.name, 1 / np.asarray(second, np.float64))


@operation("neg")
def _negate(site: Site, a: Arguments) -> Result:
    return site.builder.scale_and_shift(a.value("self"), site.name, -1.0)


@operation("cat", "concat", "concatenate")
def _concatenate(site: Site, a: Arguments) -> Result:
    contents = [tensor.read() for tensor in a.tensors("tensors")]
    values = [each for each in contents if isinstance(each, Value)]
    if len(values) < len(contents):
        raise WeightsError(
            "joins the picture's values and constants (the class token of a transformer?), which "
            "is not supported"
        )
    dim = dimension(a.integer("dim", 0), len(values[0].dims))
    return values[0] if len(values) == 1 else site.builder.concatenate(values, dim, site.name)


@operation("stack")
def _stack(site: Site, a: Arguments) -> Result:
    tensors = a.tensors("tensors")
    found = tensors[0].read() if len(tensors) == 1 else None
    if not isinstance(found, Value):
        raise WeightsError("stacks several values along a new dimension, which is not supported")
    dims = list(found.dims)
    dims.insert(dimension(a.integer("dim", 0), len(dims) + 1), ())
    return found.with_dims(dims)


def _check_shapes(value: Value, array: Array | float) -> None:
    """Raise WeightsError if the result would have more dimensions or values than the value."""
    shape, own = np.shape(array), value.shape
    fits = len(shape) <= len(own) and all(
        size in (1, there) for size, there in zip(shape[::-1], own[::-1], strict=False)
    )
    if not fits:
        raise WeightsError(f"combines shapes {own} and {shape}")


refuse(
    "pow addcmul addcdiv lerp remainder fmod floor_divide outer kron",
    "is an operation that the core does not have",
)
