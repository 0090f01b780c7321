"""Operations on constants that compute with numbers, as ONNX defines them.

Exporters compute sizes with these, and weights: weights that are standardised, stored as integers,
or split into a length and a direction.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from gradcam._importers.onnx.call import Array, Call
from gradcam._weights.tensors import WeightsError, from_bfloat16

Results = tuple[Array, ...]
Function = Callable[[Call], "Results | None"]

_BFLOAT16 = 16
_DTYPES: dict[int, DTypeLike] = {
    **{1: np.float32, 10: np.float16, 11: np.float64, _BFLOAT16: np.float32},
    **{2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64},
    **{9: np.bool_, 12: np.uint32, 13: np.uint64},
}
"""By TensorProto.data_type."""

_PRODUCTS = 4
"""Products of numbers that count as one byte."""


# ------------------------------------------------------------------------ types


def _cast(call: Call) -> Results | None:
    values, kind = call.array(), call.integer("to", 0)
    if kind not in _DTYPES:
        return None
    dtype = np.dtype(_DTYPES[kind])
    call.make(values.shape, dtype)
    result = values.astype(dtype, copy=False)
    if kind != _BFLOAT16:
        return (result,)
    call.make((3, *values.shape), dtype)  # intermediate arrays
    return (_to_bfloat16(result),)


def _to_bfloat16(values: Array) -> Array:
    """Round float32 numbers to the nearest bfloat16, ties to even."""
    bits = np.ascontiguousarray(values).view(np.uint32).reshape(values.shape)
    rounded = (bits >> np.uint32(16)) & np.uint32(1)
    rounded += bits
    rounded += np.uint32(0x7FFF)  # overflows only for NaN, which is put back
    rounded >>= np.uint32(16)
    found = from_bfloat16(rounded.astype(np.uint16))
    np.copyto(found, values, where=np.isnan(values))
    return found


def _cast_like(call: Call) -> Results:
    values, dtype = call.array(), call.array(1).dtype
    call.make(values.shape, dtype)
    return (values.astype(dtype, copy=False),)


def _dequantize(call: Call) -> Results | None:
    """Weights that are stored as integers: (values - zero point) * scale."""
    values, scale, zero = call.array(), call.array(1), call.given(2)
    if call.integer("block_size", 0) or call.integer("output_dtype", 1) not in _DTYPES:
        return None
    call.make(values.shape, np.dtype(np.float32))
    if scale.size > 1:
        axis = call.axis(call.integer("axis", 1), values.ndim)
        if scale.shape != (values.shape[axis],):
            raise WeightsError(f"has {scale.size} scales for {values.shape[axis]} channels")
        shape = [1] * values.ndim
        shape[axis] = -1
        scale = scale.reshape(shape)
        zero = None if zero is None else zero.reshape(shape)
    moved = values.astype(np.float32)
    if zero is not None:
        moved = moved - zero.astype(np.float32)
    return ((moved * scale).reshape(values.shape),)


# ------------------------------------------------------------------------ one number by another


def _one(function: Callable[[Array], Array]) -> Function:
    """Return the operation that applies a function to each number by itself; its type is kept."""

    def apply(call: Call) -> Results:
        values = call.array()
        call.make(values.shape, values.dtype)
        return (np.asarray(function(values)).astype(values.dtype, copy=False),)

    return apply


def _two(function: Callable[[Array, Array], Array], dtype: DTypeLike | None = None) -> Function:
    """Return the operation that combines two arrays; `dtype` is the result's if it is fixed."""

    def apply(call: Call) -> Results:
        first, second = call.array(0), call.array(1)
        kind = np.dtype(dtype) if dtype else np.result_type(first, second)
        call.make(call.broadcast(first.shape, second.shape), kind)
        return (np.asarray(function(first, second)),)

    return apply


def _several(function: Callable[[Array, Array], Array]) -> Function:
    """Return the operation that combines any number of arrays."""

    def apply(call: Call) -> Results:
        arrays = call.arrays()
        shape = call.broadcast(*(each.shape for each in arrays))
        for _ in arrays:
            call.make(shape, np.result_type(*arrays))
        return (np.asarray(reduce(function, arrays)),)

    return apply


def _divide(first: Array, second: Array) -> Array:
    """Divide; quotients of integers are rounded towards zero."""
    if np.result_type(first, second).kind not in "iu":
        return np.true_divide(first, second)
    _check_divisor(second)
    quotient = np.floor_divide(first, second)
    inexact = quotient * second != first
    rounded: Array = quotient + (inexact & ((first < 0) != (second < 0)))
    return rounded.astype(quotient.dtype)


def _check_divisor(values: Array) -> None:
    if not np.all(values):
        raise WeightsError("divides an integer by zero")


def _mod(call: Call) -> Results:
    """The remainder with the sign of the divisor, or of the dividend if fmod is 1."""
    if np.result_type(call.array(0), call.array(1)).kind in "iu":
        _check_divisor(call.array(1))
    return _two(np.fmod if call.integer("fmod", 0) else np.mod)(call) or ()


def _power(call: Call) -> Results:
    """The result has the type of the base."""
    base, exponent = call.array(0), call.array(1)
    call.make(call.broadcast(base.shape, exponent.shape), np.dtype(np.float64))
    integers = base.dtype.kind in "iu" and exponent.dtype.kind in "iu"
    if not (integers and np.all(exponent >= 0)) and base.dtype.kind != "f":
        call.make((base.size + exponent.size,), np.dtype(np.float64))
        base, exponent = base.astype(np.float64), exponent.astype(np.float64)
    return (np.power(base, exponent).astype(call.array(0).dtype, copy=False),)


def _reciprocal(values: Array) -> Array:
    return np.true_divide(1, values, dtype=values.dtype)


def _sigmoid(values: Array) -> Array:
    found: Array = np.true_divide(1, 1 + np.exp(-values))
    return found


def _relu(values: Array) -> Array:
    found: Array = np.maximum(values, np.zeros_like(values, shape=()))
    return found


def _mean(call: Call) -> Results:
    total = (_several(np.add)(call) or ())[0]
    return ((total / len(call.inputs)).astype(total.dtype),)


def _clip(call: Call) -> Results:
    values = call.array()
    call.make(values.shape, values.dtype)
    for number, name, choose in ((1, "min", np.maximum), (2, "max", np.minimum)):
        if name in call.node.attributes:
            values = choose(values, np.asarray(call.real(name, 0), values.dtype))
        elif call.given(number) is not None:
            values = choose(values, call.scalar(number))
    return (values,)


def _where(call: Call) -> Results:
    chosen, first, second = (call.array(i) for i in range(3))
    shape = call.broadcast(chosen.shape, first.shape, second.shape)
    call.make(shape, np.result_type(first, second))
    return (np.where(chosen, first, second),)


# ------------------------------------------------------------------------ over axes


def _over_axes(function: Callable[..., Any]) -> Function:
    """Return the operation that reduces axes, which are an attribute or an input."""

    def apply(call: Call) -> Results:
        values = call.array()
        call.read(values)
        axes = call.axes(call.listed("axes", 1), values.ndim)
        if not axes and call.integer("noop_with_empty_axes", 0):
            return (values,)
        chosen = tuple(axes) if axes else None
        found = function(values, axis=chosen, keepdims=bool(call.integer("keepdims", 1)))
        return (np.asarray(found).astype(values.dtype, copy=False),)

    return apply


def _sum_of_squares(values: Array, **options: Any) -> Any:
    return np.sum(np.square(values), **options)


def _length(values: Array, **options: Any) -> Any:
    return np.sqrt(np.sum(np.square(values), **options))


def _sum_of_magnitudes(values: Array, **options: Any) -> Any:
    return np.sum(np.abs(values), **options)


def _matmul(call: Call) -> Results:
    first, second = call.array(0), call.array(1)
    if min(first.ndim, second.ndim) < 1:
        raise WeightsError("multiplies a number as a matrix")
    inner = second.shape[-2] if second.ndim > 1 else second.shape[0]
    if first.shape[-1] != inner:
        raise WeightsError(f"multiplies matrices of shapes {first.shape} and {second.shape}")
    outer = call.broadcast(first.shape[:-2], second.shape[:-2])
    rows = first.shape[-2] if first.ndim > 1 else 1
    shape = (*outer, rows, second.shape[-1] if second.ndim > 1 else 1)
    call.make((math.prod(shape) * inner // _PRODUCTS,), np.dtype(np.uint8))
    call.make(shape, np.result_type(first, second))
    return (np.asarray(np.matmul(first, second)),)


# ------------------------------------------------------------------------ standardised weights


def _batch_normalization(call: Call) -> Results:
    """By the constants' own mean and variance in training mode, as for weights."""
    values, scale, shift, mean, variance = (call.array(i) for i in range(5))
    training = call.integer("training_mode", 0) or len([o for o in call.node.outputs if o]) > 1
    if training:
        axes = tuple(i for i in range(values.ndim) if i != 1)
        call.read(values)
        mean, variance = values.mean(axes), values.var(axes)
    return (_normalised(call, values, mean, variance, scale, shift, 1),)


def _instance_normalization(call: Call) -> Results:
    values, scale, shift = (call.array(i) for i in range(3))
    axes = tuple(range(2, values.ndim))
    call.read(values)
    return (_normalised(call, values, values.mean(axes), values.var(axes), scale, shift, 2),)


def _normalised(
    call: Call,
    values: Array,
    mean: Array,
    variance: Array,
    scale: Array,
    shift: Array,
    rank: int,
) -> Array:
    """Normalise (N, C, ...); the statistics have `rank` axes: C, or N and C."""
    if values.ndim < 2:
        raise WeightsError(f"normalises a constant of shape {values.shape}")
    wide = (1,) * (values.ndim - 2)
    channels = values.shape[1]
    expected = values.shape[2 - rank : 2]
    if mean.shape != expected or variance.shape != expected:
        raise WeightsError(f"has means of shape {mean.shape} for {channels} channels")
    if scale.shape != (channels,) or shift.shape != (channels,):
        raise WeightsError(f"has scales of shape {scale.shape} for {channels} channels")
    call.make(values.shape, values.dtype)
    factor = scale / np.sqrt(variance + np.float32(call.real("epsilon", 1e-5)))
    offset = shift - mean * factor
    found = values * factor.reshape(*factor.shape, *wide) + offset.reshape(*offset.shape, *wide)
    return np.asarray(found).astype(values.dtype, copy=False)


OPERATIONS: dict[str, Function] = {
    "Abs": _one(np.abs),
    "Add": _two(np.add),
    "And": _two(np.logical_and, np.bool_),
    "BatchNormalization": _batch_normalization,
    "Cast": _cast,
    "CastLike": _cast_like,
    "Ceil": _one(np.ceil),
    "Clip": _clip,
    "DequantizeLinear": _dequantize,
    "Div": _two(_divide),
    "Equal": _two(np.equal, np.bool_),
    "Exp": _one(np.exp),
    "Floor": _one(np.floor),
    "Greater": _two(np.greater, np.bool_),
    "GreaterOrEqual": _two(np.greater_equal, np.bool_),
    "InstanceNormalization": _instance_normalization,
    "Less": _two(np.less, np.bool_),
    "LessOrEqual": _two(np.less_equal, np.bool_),
    "Log": _one(np.log),
    "MatMul": _matmul,
    "Max": _several(np.maximum),
    "Mean": _mean,
    "Min": _several(np.minimum),
    "Mod": _mod,
    "Mul": _two(np.multiply),
    "Neg": _one(np.negative),
    "Not": _one(np.logical_not),
    "Or": _two(np.logical_or, np.bool_),
    "Pow": _power,
    "Reciprocal": _one(_reciprocal),
    "ReduceL1": _over_axes(_sum_of_magnitudes),
    "ReduceL2": _over_axes(_length),
    "ReduceMax": _over_axes(np.max),
    "ReduceMean": _over_axes(np.mean),
    "ReduceMin": _over_axes(np.min),
    "ReduceProd": _over_axes(np.prod),
    "ReduceSum": _over_axes(np.sum),
    "ReduceSumSquare": _over_axes(_sum_of_squares),
    "Relu": _one(_relu),
    "Round": _one(np.rint),
    "Sigmoid": _one(_sigmoid),
    "Sign": _one(np.sign),
    "Sqrt": _one(np.sqrt),
    "Sub": _two(np.subtract),
    "Sum": _several(np.add),
    "Tanh": _one(np.tanh),
    "Where": _where,
    "Xor": _two(np.logical_xor, np.bool_),
}
"""The function of each operation; None: a form of it that is not known."""
