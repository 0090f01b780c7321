"""Operations of ONNX that rearrange, join or cut values: most of them become no layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from gradcam._importers.onnx.operation import Operation, shown
from gradcam._importers.values import Value
from gradcam._weights.tensors import WeightsError

_TO_THE_END = (1 << 31) - 1
"""From this number on, the end of a slice is that of the axis."""


def _reshape(operation: Operation) -> Value:
    value = operation.builder.padded(operation.value())
    target = operation.numbers(1, "shape")
    if target is None:
        raise WeightsError("has no shape")
    if not operation.integer("allowzero", 0):
        if any(size == 0 and i >= len(value.dims) for i, size in enumerate(target)):
            raise WeightsError(f"has the shape {shown(target)} for {len(value.dims)} dimensions")
        target = tuple(size or value.shape[i] for i, size in enumerate(target))
    found = _reshaped(value, target)
    if len(found.dims) == 4:
        for place in (1, 3):  # channels in another order
            found = operation.builder.shuffled(found, place)
    return found


def _reshaped(value: Value, target: Sequence[int]) -> Value:
    try:
        return value.reshaped(target)
    except ValueError as error:
        raise WeightsError(str(error)) from None


def _flatten(operation: Operation) -> Value:
    value = operation.builder.padded(operation.value())
    rank = len(value.dims)
    axis = operation.integer("axis", 1)
    axis = axis + rank if axis < 0 else axis
    if not 0 <= axis <= rank:
        raise WeightsError(f"has axis {axis} of {rank} dimensions")
    return _reshaped(value, (math.prod(value.shape[:axis]), math.prod(value.shape[axis:])))


def _squeeze(operation: Operation) -> Value:
    value = operation.value()
    given = operation.numbers(1, "axes")
    if given is None:
        axes = tuple(i for i, dim in enumerate(value.dims) if not dim)
    else:
        axes = operation.axes(given, len(value.dims))
    if any(value.shape[i] != 1 for i in axes):
        raise WeightsError(f"removes the axes {axes} of {value.shape}, expected axes of size 1")
    return value.without(axes)


def _unsqueeze(operation: Operation) -> Value:
    value = operation.value()
    given = operation.numbers(1, "axes")
    if given is None:
        raise WeightsError("has no axes")
    axes = operation.axes(given, len(value.dims) + len(given))
    left = list(value.dims)
    dims = [() if i in axes else left.pop(0) for i in range(len(value.dims) + len(axes))]
    if 0 in axes and all(factor.axis != "N" for dim in dims for factor in dim):
        dims[0] = value.whole("N")  # a batch of one, left out before
    return value.with_dims(dims)


def _transpose(operation: Operation) -> Value:
    value = operation.value()
    order = operation.integers("perm", tuple(reversed(range(len(value.dims)))))
    try:
        return value.transposed(order)
    except ValueError as error:
        raise WeightsError(str(error)) from None


def _concat(operation: Operation) -> Value:
    if "axis" not in operation.node.attributes:
        raise WeightsError("has no axis")
    values = [operation.value(i) for i in range(len(operation.inputs))]
    if not values:
        raise WeightsError("has no inputs")
    axis = operation.axis(operation.integer("axis", 0), len(values[0].dims))
    if len(values) == 1:
        return values[0]
    return operation.builder.concatenate(values, axis, operation.name, operation.aliases)


# ------------------------------------------------------------------------ parts


def _split(operation: Operation) -> tuple[Value, ...]:
    value = operation.value()
    axis = operation.axis(operation.integer("axis", 0), len(value.dims))
    sizes = operation.numbers(1, "split")
    total, count = value.shape[axis], len(operation.node.outputs)
    if sizes is None:
        operation.require("num_outputs", count, count, "one for each output")
        each = -(-total // count)
        sizes = tuple(min(each, total - each * i) for i in range(count))
    if len(sizes) != count or sum(sizes) != total or min(sizes) < 1:
        raise WeightsError(f"splits {total} into parts of {shown(sizes)} for {count} outputs")
    found, start = [], 0
    for i, size in enumerate(sizes):
        name = f"{operation.name}.{i}"
        aliases = [operation.node.outputs[i]]
        found.append(
            operation.builder.slice(value, axis, start, start + size, name, aliases)
            if operation.node.outputs[i]
            else value
        )
        start += size
    return tuple(found)


def _slice(operation: Operation) -> Value:
    """The bounds are attributes before opset 10, inputs since then."""
    value = operation.value()
    starts, ends = operation.numbers(1, "starts"), operation.numbers(2, "ends")
    if starts is None or ends is None:
        raise WeightsError("has no bounds")
    given = operation.numbers(3, "axes")
    axes = operation.axes(range(len(starts)) if given is None else given, len(value.dims))
    steps = operation.numbers(4, "steps") or (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise WeightsError(f"has {len(starts)} starts, {len(ends)} ends and {len(axes)} axes")
    strides = {}
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = value.shape[axis]
        if step == -1 and value.axis(axis) == "C":
            order = range(size)[slice(start, end if end >= -size else None, step)]
            value = _selected(operation, value, axis, order)
            continue
        if step < 1:
            raise WeightsError(f"has a step of {step} along axis {axis}, expected 1")
        first, last, _ = slice(start, end if end < _TO_THE_END else None).indices(size)
        if value.axis(axis) == "N" or not value.dims[axis]:
            if (first, last) != (0, size):
                raise WeightsError(f"takes {first} to {last} of axis {axis} of {value.shape}")
            continue
        if step > 1:
            strides[axis] = step
        value = operation.builder.slice(value, axis, first, last, operation.name, operation.aliases)
    return _strided(operation, value, strides) if strides else value


def _strided(operation: Operation, value: Value, steps: dict[int, int]) -> Value:
    """Take every second (third, ...) row and column, by a convolution with a stride."""
    axes = {value.axis(dim): step for dim, step in steps.items()}
    if not axes.keys() <= {"H", "W"}:
        raise WeightsError(f"has a step of {max(steps.values())} along an axis of {value.shape}")
    kernel = np.ones((value.channels, 1, 1, 1), np.float32)
    seen = operation.builder.padded(value).arranged("NCHW")
    found = operation.builder.conv(
        seen,
        operation.name,
        kernel,
        stride=(axes.get("H", 1), axes.get("W", 1)),
        groups=value.channels,
        aliases=operation.aliases,
    )
    return _seen_as(found, value)


def _seen_as(found: Value, before: Value) -> Value:
    """Return a map of another size, with its axes where `before` has them."""
    axes = [before.axis(i) for i in range(len(before.dims))]
    return found.with_dims(
        [
            before.dims[i] if axis in ("N", None) else found.whole(axis)
            for i, axis in enumerate(axes)
        ]
    )


def _selected(operation: Operation, value: Value, dim: int, order: Sequence[int]) -> Value:
    """Take channels in any order, by a convolution or a linear layer of zeros and ones.

    -1 stands for a channel of zeros.
    """
    if not order:
        raise WeightsError(f"takes no channel of {value.channels}")
    if len(order) * value.channels > _MAX_SELECTION:
        raise WeightsError(f"takes {len(order)} of {value.channels} channels in another order")
    matrix = np.zeros((len(order), value.channels), np.float32)
    for row, channel in enumerate(order):
        if channel >= 0:
            matrix[row, channel] = 1
    value = operation.builder.padded(value)
    if len(value.core) == 1:
        seen = value.arranged("NC")
        found = operation.builder.linear(seen, operation.name, matrix, aliases=operation.aliases)
    else:
        seen = value.arranged("NCHW")
        found = operation.builder.conv(
            seen, operation.name, matrix[:, :, None, None], aliases=operation.aliases
        )
    dims = list(value.dims)
    dims[dim] = found.whole("C")
    return found.with_dims(dims)


_MAX_SELECTION = 1 << 24
"""Maximum number of weights that take channels in another order."""


def _gather(operation: Operation) -> Value:
    value, indices = operation.value(), operation.constant(1)
    axis = operation.axis(operation.integer("axis", 0), len(value.dims))
    if indices is None or indices.dtype.kind not in "iu":
        raise WeightsError("takes elements by indices that are not constant integers")
    size = value.shape[axis]
    if indices.ndim > 1 and np.array_equal(indices.reshape(-1), np.arange(size)):
        return _reshaped(value, value.shape[:axis] + indices.shape + value.shape[axis + 1 :])
    if indices.ndim > 1:
        raise WeightsError(f"takes elements by indices of shape {indices.shape}, expected a list")
    chosen = [int(i) + size if i < 0 else int(i) for i in indices.reshape(-1)]
    if not chosen or min(chosen) < 0 or max(chosen) >= size:
        raise WeightsError(f"takes the elements {shown(chosen)} of {size}")
    if chosen == list(range(chosen[0], chosen[0] + len(chosen))):
        found = operation.builder.slice(
            value, axis, chosen[0], chosen[-1] + 1, operation.name, operation.aliases
        )
    elif value.axis(axis) == "C":
        found = _selected(operation, value, axis, chosen)
    else:
        raise WeightsError(f"takes elements of axis {axis} of {value.shape}, expected channels")
    if indices.ndim:
        return found
    if found.axis(axis) == "N":
        raise WeightsError("takes one picture of a batch, which is not supported")
    return found.without([axis])


def _pad(operation: Operation) -> Value:
    """The sizes are attributes before opset 11, inputs since then; the axes came with opset 18."""
    value = operation.value()
    mode = operation.text("mode", "constant")
    pads = operation.numbers(1, "pads")
    if pads is None:
        raise WeightsError("has no pads")
    given = operation.numbers(3, "axes")
    rank = len(value.dims)
    axes = operation.axes(range(rank) if given is None else given, rank)
    if len(pads) != 2 * len(axes):
        raise WeightsError(f"has {len(pads)} pads for {len(axes)} axes")
    around = {axis: (pads[i], pads[i + len(axes)]) for i, axis in enumerate(axes)}
    around = {axis: pad for axis, pad in around.items() if pad != (0, 0)}
    if not around:
        return value
    filling = operation.scalar(2, operation.number("value", 0.0))
    if mode != "constant" or filling != 0:
        how = f"with {filling:g}" if mode == "constant" else f"by {shown(mode)}"
        raise WeightsError(f"continues the map {how}; only zeros are supported")
    padding = {"H": (0, 0), "W": (0, 0)}
    for dim, pad in around.items():
        axis = value.axis(dim)
        if axis == "C":
            value = _with_zero_channels(operation, value, dim, pad)
        elif axis in ("H", "W"):
            padding[axis] = pad
        else:
            raise WeightsError(f"adds zeros along axis {dim} of {value.shape}")
    (top, bottom), (left, right) = padding["H"], padding["W"]
    return operation.builder.pad(value, (top, left, bottom, right))


def _with_zero_channels(
    operation: Operation, value: Value, dim: int, pad: tuple[int, int]
) -> Value:
    before, after = pad
    if min(pad) < 0 or sum(pad) > _MAX_SELECTION:
        raise WeightsError(f"adds {before} and {after} channels of zeros")
    order = [-1] * before + list(range(value.channels)) + [-1] * after
    return _selected(operation, value, dim, order)


def _expand(operation: Operation) -> Value:
    """Only to a shape that the value has already."""
    value, target = operation.value(), operation.numbers(1, "shape")
    if target is None:
        raise WeightsError("has no shape")
    if len(target) > len(value.shape) or any(
        size not in (1, own) for size, own in zip(target[::-1], value.shape[::-1], strict=False)
    ):
        raise WeightsError(f"repeats {value.shape} to {shown(target)}, which is not supported")
    return value


OPERATIONS: dict[str, Callable[[Operation], Value | tuple[Value, ...]]] = {
    "Concat": _concat,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Pad": _pad,
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
"""The function of each operation of ONNX."""
