"""Operations on constants that arrange, choose and repeat numbers, as ONNX defines them.

Exporters compute the sizes of a Reshape, a Slice or a Resize with these. Results are views where
NumPy can make one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import accumulate, pairwise

import numpy as np

from gradcam._importers.onnx.call import Array, Call
from gradcam._weights.tensors import WeightsError

Results = tuple[Array, ...]


def _identity(call: Call) -> Results:
    return (call.array(),)


def _constant(call: Call) -> Results | None:
    for name, dtype in (
        ("value", None),
        ("value_int", np.int64),
        ("value_ints", np.int64),
        ("value_float", np.float32),
        ("value_floats", np.float32),
    ):
        value = call.node.attributes.get(name)
        if value is not None and not isinstance(value, str):
            found = np.asarray(value)
            if dtype is not None and found.size and found.dtype.kind != np.dtype(dtype).kind:
                raise WeightsError(f"has an attribute {name} of another type")
            return (np.asarray(found, dtype),)
    return None


def _constant_of_shape(call: Call) -> Results:
    shape = call.numbers(0)
    value = call.node.attributes.get("value", np.zeros(1, np.float32))
    if shape is None or len(shape) > 32:
        raise WeightsError("has no shape, or one of more than 32 dimensions")
    if not isinstance(value, np.ndarray) or value.size != 1:
        raise WeightsError("has a value that is not one number")
    call.make(shape, value.dtype)
    return (np.broadcast_to(value.reshape(()), shape),)


def _shape(call: Call) -> Results:
    shape = call.array().shape
    start, stop = call.integer("start", 0), call.integer("end", len(shape))
    return (np.array(shape[start:stop], np.int64),)


def _size(call: Call) -> Results:
    return (np.array(call.array().size, np.int64),)


def _range(call: Call) -> Results:
    start, limit, step = (call.scalar(i) for i in range(3))
    if step == 0 or not all(np.isfinite(each) for each in (start, limit, step)):
        raise WeightsError(f"counts from {start} to {limit} in steps of {step}")
    if start.dtype.kind in "iu":
        first, last, each = int(start), int(limit), int(step)
        count = max(0, -(-(last - first) // each))
    else:
        count = max(0, math.ceil((float(limit) - float(start)) / float(step)))
    call.make((count,), start.dtype)
    return (start + np.arange(count).astype(start.dtype) * step,)


# ------------------------------------------------------------------------ choosing


def _indices(call: Call, size: int) -> Array:
    """Return the positions that a Gather takes, counted from the first one."""
    found = call.array(1)
    if found.dtype.kind not in "iu":
        raise WeightsError(f"takes {found.dtype} as positions")
    call.make(found.shape, np.dtype(np.int64))
    if found.size and not (-size <= found.min() and found.max() < size):
        raise WeightsError(f"takes positions from {found.min()} to {found.max()} of {size}")
    return np.where(found < 0, found + size, found).astype(np.int64)


def _gather(call: Call) -> Results:
    values = call.array()
    axis = call.axis(call.integer("axis", 0), values.ndim)
    indices = _indices(call, values.shape[axis])
    call.make((*values.shape[:axis], *indices.shape, *values.shape[axis + 1 :]), values.dtype)
    return (np.take(values, indices, axis),)


def _gather_elements(call: Call) -> Results:
    values = call.array()
    axis = call.axis(call.integer("axis", 0), values.ndim)
    indices = _indices(call, values.shape[axis])
    if indices.ndim != values.ndim or any(
        have > size
        for i, (have, size) in enumerate(zip(indices.shape, values.shape, strict=True))
        if i != axis
    ):
        raise WeightsError(f"takes positions of shape {indices.shape} of {values.shape}")
    call.make(indices.shape, values.dtype)
    inside = tuple(
        slice(None) if i == axis else slice(size) for i, size in enumerate(indices.shape)
    )
    return (np.take_along_axis(values[inside], indices, axis),)


def _slice(call: Call) -> Results:
    values = call.array()
    starts, ends = call.listed("starts", 1), call.listed("ends", 2)
    if starts is None or ends is None:
        raise WeightsError("has no starts or no ends")
    found = call.listed("axes", 3)
    axes = call.axes(list(range(len(starts))) if found is None else found, values.ndim) or []
    found = call.numbers(4)
    steps = [1] * len(axes) if found is None else found
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise WeightsError("has starts, ends, axes and steps of different lengths")
    kept = [slice(None)] * values.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        kept[axis] = _positions(start, end, step, values.shape[axis])
    return (values[tuple(kept)],)


def _positions(start: int, end: int, step: int, size: int) -> slice:
    """Return ONNX's range of positions: its first position is moved into the axis if outside."""
    if step == 0:
        raise WeightsError("has a step of 0")
    start = start + size if start < 0 else start
    end = end + size if end < 0 else end
    if step > 0:
        return slice(max(start, 0), max(end, 0), step)
    start = min(max(start, 0), size - 1)
    return slice(start, end if end >= 0 else None, step) if size else slice(0, 0)


def _nonzero(call: Call) -> Results:
    values = call.array()
    call.read(values)
    call.make((max(1, values.ndim), values.size), np.dtype(np.int64))
    found = np.array(np.nonzero(np.atleast_1d(values)), np.int64)
    return (found[: values.ndim],)


# ------------------------------------------------------------------------ joining and splitting


def _concat(call: Call) -> Results:
    arrays = call.arrays()
    axis = call.axis(call.integer("axis", 0), arrays[0].ndim)
    others = {(*each.shape[:axis], *each.shape[axis + 1 :]) for each in arrays}
    if len(others) > 1 or any(each.ndim != arrays[0].ndim for each in arrays):
        shapes = ", ".join(str(each.shape) for each in arrays[:4])
        raise WeightsError(f"joins constants of shapes {shapes} along axis {axis}")
    shape = list(arrays[0].shape)
    shape[axis] = sum(each.shape[axis] for each in arrays)
    call.make(shape, np.result_type(*arrays))
    return (np.concatenate(arrays, axis),)


def _split(call: Call) -> Results:
    values = call.array()
    axis = call.axis(call.integer("axis", 0), values.ndim)
    size, count = values.shape[axis], len(call.node.outputs)
    sizes = call.listed("split", 1)
    if sizes is None:
        if count < 1 or call.integer("num_outputs", count) != count:
            raise WeightsError(f"has {count} outputs, which is not its num_outputs")
        if call.opset < 18 and size % count:
            raise WeightsError(f"splits {size} into {count} equal parts")
        part = -(-size // count)
        sizes = [max(0, min(part, size - i * part)) for i in range(count)]
    if len(sizes) != count or min(sizes, default=0) < 0 or sum(sizes) != size:
        raise WeightsError(f"splits {size} into parts of {sizes[:8]} for {count} outputs")
    before = (slice(None),) * axis
    ends = [0, *accumulate(sizes)]
    parts = [(*before, slice(start, end)) for start, end in pairwise(ends)]
    return tuple(values[part] for part in parts)


# ------------------------------------------------------------------------ arranging


def _reshaped(call: Call, values: Array, shape: list[int]) -> Results:
    """Return the numbers in another shape, a copy only if NumPy has to."""
    if not values.flags.c_contiguous:
        call.make(values.shape, values.dtype)
    return (values.reshape(shape),)


def _reshape(call: Call) -> Results:
    values, target = call.array(), call.listed("shape", 1)
    if target is None or len(target) > 32:
        raise WeightsError("has no shape, or one of more than 32 dimensions")
    shape = list(target)
    if not call.integer("allowzero", 0):
        for i, size in enumerate(shape):
            if size == 0 and i >= values.ndim:
                raise WeightsError(f"copies size {i} of the shape {values.shape}")
            shape[i] = values.shape[i] if size == 0 else size
    known = math.prod(size for size in shape if size != -1)
    if shape.count(-1) == 1 and known and values.size % known == 0:
        shape[shape.index(-1)] = values.size // known
    if min(shape, default=0) < 0 or math.prod(shape) != values.size:
        raise WeightsError(f"reshapes {values.shape} to {tuple(target)}")
    return _reshaped(call, values, shape)


def _flatten(call: Call) -> Results:
    values = call.array()
    axis = call.integer("axis", 1)
    if axis != values.ndim:  # one more than the last axis is allowed here
        axis = call.axis(axis, values.ndim)
    rows = math.prod(values.shape[:axis])
    return _reshaped(call, values, [rows, math.prod(values.shape[axis:])])


def _squeeze(call: Call) -> Results:
    values = call.array()
    axes = call.axes(call.listed("axes", 1), values.ndim)
    if axes is None:
        axes = [i for i, size in enumerate(values.shape) if size == 1]
    if any(values.shape[i] != 1 for i in axes):
        raise WeightsError(f"removes the axes {axes} of the shape {values.shape}")
    return (np.squeeze(values, tuple(axes)),)


def _unsqueeze(call: Call) -> Results:
    values, found = call.array(), call.listed("axes", 1)
    if found is None or values.ndim + len(found) > 32:
        raise WeightsError("has no axes, or more than 32")
    return (np.expand_dims(values, tuple(call.axes(found, values.ndim + len(found)) or ())),)


def _transpose(call: Call) -> Results:
    values = call.array()
    order = call.integers("perm")
    if order is None:
        return (values.T,)
    if sorted(order) != list(range(values.ndim)):
        raise WeightsError(f"has the order {order} for {values.ndim} dimensions")
    return (values.transpose(order),)


def _expand(call: Call) -> Results:
    values, target = call.array(), call.numbers(1)
    if target is None or len(target) > 32 or min(target, default=0) < 0:
        raise WeightsError("has no shape, or one that cannot be")
    shape = call.broadcast(values.shape, tuple(target))
    call.make(shape, values.dtype)
    return (np.broadcast_to(values, shape),)


def _tile(call: Call) -> Results:
    values, repeats = call.array(), call.numbers(1)
    if repeats is None or len(repeats) != values.ndim or min(repeats, default=0) < 0:
        raise WeightsError(f"has repeats that do not fit {values.ndim} dimensions")
    sizes = zip(values.shape, repeats, strict=True)
    call.make([size * count for size, count in sizes], values.dtype)
    return (np.tile(values, repeats),)


OPERATIONS: dict[str, Callable[[Call], Results | None]] = {
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Identity": _identity,
    "NonZero": _nonzero,
    "Range": _range,
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
"""The function of each operation; None: a form of it that is not known."""
