"""Values, and their gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcam import _core

F32: TypeAlias = NDArray[np.float32]
Backward: TypeAlias = Callable[[F32], Sequence[F32 | None]]
"""From the gradient by an operation's result to those by its inputs; None for an input that needs
none."""

_numbers = count()


class Value:
    """An array, and the operation that computed it.

    Made by :func:`variable`, :func:`constant` and the operations of this package. An operation is
    recorded only if one of its inputs needs a gradient.

    Attributes
    ----------
    array : ndarray of float32
        C-contiguous, read-only.
    needs_gradient : bool
        Whether a variable takes part in it.

    """

    __slots__ = ("_backward", "_inputs", "_number", "_transposed", "array", "needs_gradient")

    def __init__(
        self,
        array: F32,
        needs_gradient: bool,
        inputs: tuple[Value, ...] = (),
        backward: Backward | None = None,
    ) -> None:
        self.array = array
        self.needs_gradient = needs_gradient
        self._inputs = inputs
        self._backward = backward
        self._number = next(_numbers)
        self._transposed: F32 | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return self.array.shape

    @property
    def transposed(self) -> F32:
        """The array with its axes reversed, made at the first use: the order of fast products."""
        if self._transposed is None:
            self._transposed = read_only(self.array.T)
        return self._transposed

    def __repr__(self) -> str:
        kind = "needs a gradient" if self.needs_gradient else "needs no gradient"
        return f"<Value {self.shape}, {kind}>"


Given: TypeAlias = Value | ArrayLike
"""What operations take: a value, or an array, which counts as a constant. An array is checked each
time it is given; weights are better made a constant once."""


def variable(array: ArrayLike) -> Value:
    """Return a value whose gradient can be wanted.

    Parameters
    ----------
    array : array-like of real numbers
        At least one, all finite. A C-contiguous array of float32 is not copied: do not change it.

    Raises
    ------
    ValueError, TypeError
        If the array is empty, not finite, or does not hold real numbers.

    """
    return Value(_checked(array, "the array"), True)


def constant(array: ArrayLike) -> Value:
    """Return a value without a gradient; otherwise as :func:`variable`."""
    return Value(_checked(array, "the array"), False)


def value_of(given: Given) -> Value:
    """Return the value itself, or an array as a constant."""
    return given if isinstance(given, Value) else constant(given)


def read_only(array: F32) -> F32:
    """Return a C-contiguous view, or copy, that cannot be written."""
    if array.dtype != np.float32 or not array.flags.c_contiguous:
        array = np.ascontiguousarray(array, np.float32).reshape(array.shape)
    view: F32 = array.view()
    view.flags.writeable = False
    return view


def record(array: F32, inputs: tuple[Value, ...], backward: Backward) -> Value:
    """Return the result of an operation; `backward` is kept only where it will be used."""
    if any(value.needs_gradient for value in inputs):
        return Value(read_only(array), True, inputs, backward)
    return Value(read_only(array), False)


def gradients(output: Value, seed: ArrayLike, wanted: Sequence[Value]) -> list[F32]:
    """Return the gradients of ``sum(seed * output)`` by some values.

    Parameters
    ----------
    output : Value
    seed : array-like
        Of the shape of `output`, finite.
    wanted : sequence of Value
        Variables, or values computed from variables.

    Returns
    -------
    list of ndarray of float32
        One for each value wanted, of its shape; zero where `output` does not depend on it.

    Raises
    ------
    ValueError
        If the seed has another shape or is not finite, or a constant is wanted.

    """
    start = _checked(seed, "the seed")
    if start.shape != output.shape:
        raise ValueError(f"the seed has shape {start.shape}, but the output {output.shape}")
    for value in wanted:
        if not value.needs_gradient:
            raise ValueError(
                f"the gradient by a constant of shape {value.shape} is wanted; "
                "make it with variable() instead"
            )
    found = {output: start}
    kept = set(wanted)
    for value in _latest_first(output):
        gradient = found[value] if value in kept else found.pop(value)
        if value._backward is not None:
            _share(found, value._inputs, value._backward(gradient))
    return [
        found[value].copy() if value in found else np.zeros(value.shape, np.float32)
        for value in wanted
    ]


def _share(
    found: dict[Value, F32], inputs: tuple[Value, ...], gradients: Sequence[F32 | None]
) -> None:
    """Add an operation's gradients to those found so far."""
    for value, gradient in zip(inputs, gradients, strict=True):
        if value.needs_gradient and gradient is not None:
            found[value] = found[value] + gradient if value in found else gradient


def _latest_first(output: Value) -> list[Value]:
    """Return all values that `output` was computed from and that need a gradient.

    An operation is made after its inputs, so each value comes before those it was computed from.
    """
    reached = {output} if output.needs_gradient else set()
    waiting = list(reached)
    while waiting:
        for value in waiting.pop()._inputs:
            if value.needs_gradient and value not in reached:
                reached.add(value)
                waiting.append(value)
    return sorted(reached, key=lambda value: value._number, reverse=True)


def _checked(given: ArrayLike, name: str) -> F32:
    array = np.asarray(given)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, not dtype {array.dtype}")
    if array.size == 0:
        raise ValueError(f"{name} is empty: its shape is {array.shape}")
    with np.errstate(over="ignore"):
        values = read_only(array.astype(np.float32, copy=False))
    if not _core.all_finite(values):
        raise ValueError(f"{name} holds NaN or infinite values")
    return values
