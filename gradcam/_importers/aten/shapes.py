"""Operations that arrange values, take parts of them, or pad them."""

from __future__ import annotations

import math
from typing import cast

import numpy as np

from gradcam._importers.aten import response_norm
from gradcam._importers.aten.arguments import Arguments, dimension, shown
from gradcam._importers.aten.table import Result, Site, operation, refuse
from gradcam._importers.aten.tensors import Size, Tensor
from gradcam._importers.values import Padding, Value
from gradcam._weights.tensors import WeightsError

# ------------------------------------------------------------------------ no change

_FLOATS = (5, 6, 7, 15, "float16", "float32", "float64", "bfloat16")
"""Floating-point types, by TorchScript's numbers and by PyTorch's names."""

_MAX_KERNEL = 1 << 24
"""Numbers of a kernel that only moves values."""

_TRAINING = (
    "is in training mode: call eval() before the model is exported (F.dropout takes "
    "training=self.training)"
)


@operation("detach", "alias", "lift", "lift_fresh", "requires_grad_")
def _same(site: Site, a: Arguments) -> Result:
    a.skip("requires_grad")
    return a.tensor("self")


@operation("clone", "lift_fresh_copy")
def _copy(site: Site, a: Arguments) -> Result:
    return a.value("self")


@operation("to", "_to_copy", "contiguous", "float", "type_as", view=True)
def _converted(site: Site, a: Arguments) -> Result:
    """PyTorch copies if the type or the order in memory is another, which is not known here.

    So the result is a view: after a change in place, the other tensor cannot be read.
    """
    a.skip("other")
    dtype, copy = a.get("dtype"), a.flag("copy")
    if dtype is not None and dtype not in _FLOATS:
        raise WeightsError("makes integers of the picture's values, which is not supported")
    if a.tensor("self").is_constant:  # as the type of a tensor that depends on the picture
        return Tensor(a.array("self").astype(np.float32))
    return Tensor(a.value("self")) if copy else a.value("self")


@operation("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
def _dropout(site: Site, a: Arguments) -> Result:
    if a.flag("train") and a.number("p", 0.5) > 0:
        raise WeightsError(_TRAINING)
    a.skip("p")
    return a.tensor("input", "self")


@operation("native_dropout")
def _native_dropout(site: Site, a: Arguments) -> Result:
    if a.flag("train", True) and a.number("p", 0.5) > 0:
        raise WeightsError(_TRAINING)
    a.skip("p")
    return [a.value("input"), None]


# ------------------------------------------------------------------------ arrangement


def _reshaped(site: Site, value: Value, shape: list[int]) -> Value:
    if list(value.shape) == shape:
        return value
    value = site.builder.padded(value)
    try:
        found = value.reshaped(shape)
    except ValueError as error:
        raise WeightsError(f"{error}: the model may fit another size of the input") from None
    shuffled = len(shape) == 4 and [factor.axis for factor in found.dims[1]] == ["C", "C"]
    return site.builder.arranged(found, "NCHW") if shuffled else found


@operation("view", "reshape", "_unsafe_view", "_reshape_alias", view=True)
def _reshape(site: Site, a: Arguments) -> Result:
    a.skip("stride")
    return _reshaped(site, a.value("self"), a.integers("size", "shape") or [])


@operation("view_as", "reshape_as", view=True)
def _reshape_as(site: Site, a: Arguments) -> Result:
    return _reshaped(site, a.value("self"), list(a.value("other").shape))


@operation("flatten", view=True)
def _flatten(site: Site, a: Arguments) -> Result:
    value = a.value("self")
    rank = len(value.dims)
    first = dimension(a.integer("start_dim", 0), rank)
    last = dimension(a.integer("end_dim", -1), rank)
    shape = value.shape
    joined = math.prod(shape[first : last + 1])
    return _reshaped(site, value, [*shape[:first], joined, *shape[last + 1 :]])


@operation("unflatten", view=True)
def _unflatten(site: Site, a: Arguments) -> Result:
    value = a.value("self")
    dim = dimension(a.integer("dim"), len(value.dims))
    shape = list(value.shape)
    return _reshaped(site, value, [*shape[:dim], *(a.integers("sizes") or []), *shape[dim + 1 :]])


@operation("permute", view=True)
def _permute(site: Site, a: Arguments) -> Result:
    value, dims = a.value("self"), a.integers("dims") or []
    order = [dimension(dim, len(value.dims)) for dim in dims]
    try:
        return value.transposed(order)
    except ValueError as error:
        raise WeightsError(str(error)) from None


@operation("transpose", "swapaxes", "swapdims", view=True)
def _transpose(site: Site, a: Arguments) -> Result:
    value = a.value("self")
    rank = len(value.dims)
    first = dimension(a.integer("dim0", a.integer("axis0", 0)), rank)
    second = dimension(a.integer("dim1", a.integer("axis1", 1)), rank)
    order = list(range(rank))
    order[first], order[second] = second, first
    return value.transposed(order)


@operation("t", "numpy_T", view=True)
def _transpose_matrix(site: Site, a: Arguments) -> Result:
    value = a.value("self")
    return value.transposed(range(len(value.dims))[::-1])


@operation("movedim", "moveaxis", view=True)
def _move(site: Site, a: Arguments) -> Result:
    value = a.value("self")
    rank = len(value.dims)
    sources = [dimension(dim, rank) for dim in a.integers("source") or []]
    targets = [dimension(dim, rank) for dim in a.integers("destination") or []]
    order = [dim for dim in range(rank) if dim not in sources]
    for target, source in sorted(zip(targets, sources, strict=True)):
        order.insert(target, source)
    return value.transposed(order)


@operation("squeeze", view=True)
def _squeeze(site: Site, a: Arguments) -> Result:
    value = a.value("self")
    given = a.integers("dim")
    rank = len(value.dims)
    chosen = range(rank) if given is None else [dimension(dim, rank) for dim in given]
    gone = [dim for dim in chosen if value.shape[dim] == 1]
    return value.with_dims([dim for i, dim in enumerate(value.dims) if i not in gone])


@operation("unsqueeze", view=True)
def _unsqueeze(site: Site, a: Arguments) -> Result:
    value = a.value("self")
    dims = list(value.dims)
    dims.insert(dimension(a.integer("dim"), len(dims) + 1), ())
    return value.with_dims(dims)


@operation("expand", view=True)
def _expand(site: Site, a: Arguments) -> Result:
    value, sizes = a.value("self"), a.integers("size") or []
    return _expanded(value, sizes)


@operation("expand_as", view=True)
def _expand_as(site: Site, a: Arguments) -> Result:
    return _expanded(a.value("self"), list(a.value("other").shape))


def _expanded(value: Value, sizes: list[int]) -> Value:
    """Return the value itself: sums and products repeat values where that is needed."""
    own = value.shape
    same = len(sizes) == len(own) and all(s in (-1, o) for s, o in zip(sizes, own, strict=True))
    factors = len(sizes) == len(own) == 4 and value.positions == 1 and sizes[:2] == list(own[:2])
    if not same and not factors:
        raise WeightsError(f"repeats {own} as {tuple(sizes)}, which is not supported")
    return value


@operation("repeat")
def _repeat(site: Site, a: Arguments) -> Result:
    value, counts = a.value("self"), a.integers("repeats") or []
    if set(counts) != {1} or len(counts) != len(value.dims):
        raise WeightsError("repeats a value, which is not supported")
    return value


# ------------------------------------------------------------------------ sizes


@operation("size", "sym_size")
def _size(site: Site, a: Arguments) -> Result:
    value, dim = a.value("self"), a.get("dim")
    if dim is None:
        return [_size_of(value, i) for i in range(len(value.dims))]
    return _size_of(value, dimension(a.integer("dim"), len(value.dims)))


def _size_of(value: Value, dim: int) -> int:
    """Return a size, marked if it differs between pictures."""
    depends = any(factor.axis in ("H", "W") for factor in value.dims[dim])
    return Size(value.shape[dim]) if depends else value.shape[dim]


@operation("dim")
def _dim(site: Site, a: Arguments) -> Result:
    return len(a.value("self").dims)


@operation("numel", "sym_numel")
def _numel(site: Site, a: Arguments) -> Result:
    return math.prod(a.value("self").shape)


@operation("__len__", "len")
def _len(site: Site, a: Arguments) -> Result:
    return a.value("self", "t").shape[0]


@operation("is_floating_point", "is_contiguous")
def _true(site: Site, a: Arguments) -> Result:
    a.skip("self")
    return True


# ------------------------------------------------------------------------ parts


def _part(site: Site, value: Value, dim: int, start: int, stop: int, name: str = "") -> Value:
    """Return the part of a dimension from start up to, but not including, stop."""
    size = value.shape[dim]
    start, stop = (min(max(i + size if i < 0 else i, 0), size) for i in (start, stop))
    if (start, stop) == (0, size):
        return value
    if value.dims[dim] and value.dims[dim][0].axis == "N":
        raise WeightsError("takes a part of the batch, which is not supported")
    return site.builder.slice(value, dim, start, stop, name or site.name)


@operation("slice", view=True)
def _slice(site: Site, a: Arguments) -> Result:
    value = a.value("self")
    dim = dimension(a.integer("dim", 0), len(value.dims))
    size = value.shape[dim]
    start, stop, stride = a.integer("start", 0), a.integer("end", size), a.integer("step", 1)
    if stride == 1:
        return _part(site, value, dim, start, stop)
    chosen = range(size)[slice(start, stop, stride)]
    if value.axis(dim) == "C":
        return _channels(site, value, list(chosen))
    if value.axis(dim) in ("H", "W") and chosen and chosen.start < stride:
        return _every(site, value, dim, chosen, stop)
    raise WeightsError(f"has a step of {stride} along dimension {dim}, which is not supported")


def _every(site: Site, value: Value, dim: int, chosen: range, stop: int) -> Value:
    """Take some rows or columns at equal distances, by a pooling of windows of one position."""
    rows = value.axis(dim) == "H"
    end = value.shape[dim] if stop >= value.shape[dim] else chosen[-1] + 1
    value = _part(site, value, dim, chosen.start, end, f"{site.name}.start")
    stride = (chosen.step, 1) if rows else (1, chosen.step)
    return site.builder.pool(value, site.name, "max_pool", (1, 1), stride=stride)


@operation("narrow", view=True)
def _narrow(site: Site, a: Arguments) -> Result:
    value = a.value("self")
    dim = dimension(a.integer("dim"), len(value.dims))
    start = a.integer("start")
    return _part(site, value, dim, start, start + a.integer("length"))


@operation("select", view=True)
def _select(site: Site, a: Arguments) -> Result:
    value = a.value("self")
    dim = dimension(a.integer("dim"), len(value.dims))
    index, size = a.integer("index"), value.shape[dim]
    if not -size <= index < size:
        raise WeightsError(f"takes index {index} of {size}")
    index %= size
    if value.dims[dim] and value.dims[dim][0].axis == "N" and value.shape[dim] > 1:
        raise WeightsError("takes one picture of the batch, which is not supported")
    found = _part(site, value, dim, index, index + 1)
    return found.with_dims([each for i, each in enumerate(found.dims) if i != dim])


@operation("chunk", "unsafe_chunk", view=True)
def _chunk(site: Site, a: Arguments) -> Result:
    value = a.value("self")
    dim = dimension(a.integer("dim", 0), len(value.dims))
    return _parts(site, value, dim, -(-value.shape[dim] // max(1, a.integer("chunks"))))


@operation("split", "unsafe_split", "split_with_sizes", "unsafe_split_with_sizes", view=True)
def _split(site: Site, a: Arguments) -> Result:
    value = a.value("self")
    dim = dimension(a.integer("dim", 0), len(value.dims))
    sizes = a.get("split_size", "split_sizes")
    if isinstance(sizes, (list, tuple)):
        return _parts(site, value, dim, *(a.integers("split_size", "split_sizes") or []))
    return _parts(site, value, dim, a.integer("split_size"))


def _parts(site: Site, value: Value, dim: int, *sizes: int) -> list[Value]:
    """Return neighbouring parts of these sizes, or of one size if only one is given."""
    total = value.shape[dim]
    if min(sizes, default=0) < 1:
        raise WeightsError(f"splits {total} into parts of {sizes}")
    if len(sizes) == 1:
        sizes = tuple(min(sizes[0], total - at) for at in range(0, total, sizes[0]))
    if sum(sizes) != total:
        raise WeightsError(f"splits {total} into parts of {sizes}")
    found, start = [], 0
    for number, size in enumerate(sizes):
        found.append(_part(site, value, dim, start, start + size, f"{site.name}.{number}"))
        start += size
    return found


@operation("index")
def _index(site: Site, a: Arguments) -> Result:
    value, given = a.value("self"), a.get("indices")
    if not isinstance(given, (list, tuple)):
        raise WeightsError(f"has indices {shown(given)}")
    used = [(i, each) for i, each in enumerate(given) if each is not None]
    ((dim, index),) = used if len(used) == 1 else [(0, None)]
    if not isinstance(index, Tensor) or not index.is_constant:
        raise WeightsError("takes parts by indices that are not constants of one dimension")
    return _chosen(site, value, dim, cast("np.ndarray", index.read()))


@operation("index_select")
def _index_select(site: Site, a: Arguments) -> Result:
    value = a.value("self")
    return _chosen(site, value, dimension(a.integer("dim"), len(value.dims)), a.array("index"))


def _chosen(site: Site, value: Value, dim: int, index: np.ndarray) -> Value:
    if index.dtype == np.bool_:
        index = np.flatnonzero(index)
    if index.ndim != 1 or index.dtype.kind not in "iu" or value.axis(dim) != "C":
        raise WeightsError("takes parts by their indices: only channels can be chosen so")
    return _channels(site, value, [int(i) for i in index])


def _channels(site: Site, value: Value, chosen: list[int]) -> Value:
    """Take channels in any order, by a convolution of one position."""
    count = value.channels
    if not chosen or not all(-count <= i < count for i in chosen):
        raise WeightsError(f"takes channels {shown(chosen)} of {count}")
    _check_kernel(len(chosen) * count)
    weight = np.zeros((len(chosen), count), np.float32)
    weight[np.arange(len(chosen)), chosen] = 1
    if len(value.dims) == 2:
        return site.builder.linear(value, site.name, weight)
    return site.builder.conv(value, site.name, weight[:, :, None, None])


def _check_kernel(values: int) -> None:
    """Raise WeightsError if a kernel that only moves values would be very large."""
    if values > _MAX_KERNEL:
        raise WeightsError(f"would need a kernel of {values} numbers, which is not supported")


# ------------------------------------------------------------------------ padding and pixels


@operation("constant_pad_nd", "pad", "zero_pad2d")
def _pad(site: Site, a: Arguments) -> Result:
    value, padding = a.value("self"), a.integers("pad", "padding") or []
    mode, fill = a.text("mode", "constant"), a.number("value", 0.0)
    if mode != "constant" or fill != 0:
        what = f"the mode {mode!r}" if mode != "constant" else f"the value {fill}"
        raise WeightsError(f"pads with {what}: only zeros are supported")
    if len(padding) % 2 or len(padding) > 2 * len(value.dims):
        raise WeightsError(f"has padding {shown(padding)} of a tensor of {len(value.dims)}")
    if not any(padding):
        return value
    squares = response_norm.padded_squares(value, site.builder.layer(value.layer), padding)
    if squares is not None:
        return squares
    total: dict[str, int] = {}
    for i in range(0, len(padding), 2):
        axis = value.axis(len(value.dims) - 1 - i // 2)
        if (padding[i] or padding[i + 1]) and axis not in ("H", "W"):
            return _pad_channels(site, value, len(value.dims) - 1 - i // 2, padding)
        total[f"before {axis}"], total[f"after {axis}"] = padding[i], padding[i + 1]
    sides = ("before H", "before W", "after H", "after W")
    amounts = cast("Padding", tuple(total.get(side, 0) for side in sides))
    site.builder.fixed = True  # it may be TensorFlow's "same", which depends on the size
    return site.builder.pad(value, amounts)


def _pad_channels(site: Site, value: Value, dim: int, padding: list[int]) -> Value:
    """Add channels of zeros, as shortcuts without weights do (He et al., 2016, option A)."""
    sides = padding[2 * (len(value.dims) - 1 - dim) :][:2]
    if sum(map(bool, padding)) != sum(map(bool, sides)) or value.axis(dim) != "C":
        raise WeightsError(f"pads {value.shape} by {shown(padding)}: only maps can be padded so")
    before, after = sides
    if min(sides) < 0 or len(value.core) != 3:
        raise WeightsError(f"cuts or pads the channels of {value.shape}, which is not supported")
    _check_kernel((before + value.channels + after) * value.channels)
    weight = np.zeros((before + value.channels + after, value.channels), np.float32)
    weight[before + np.arange(value.channels), np.arange(value.channels)] = 1
    return site.builder.conv(value, site.name, weight[:, :, None, None])


@operation("channel_shuffle", "native_channel_shuffle")
def _channel_shuffle(site: Site, a: Arguments) -> Result:
    value, groups = site.builder.arranged(a.value("self"), "NCHW"), a.integer("groups")
    if groups < 1 or value.channels % groups:
        raise WeightsError(f"shuffles {value.channels} channels in {groups} groups")
    value = site.builder.padded(value)
    return site.builder.add(site.name, "channel_shuffle", [value], value.core, groups=groups)


@operation("pixel_unshuffle")
def _pixel_unshuffle(site: Site, a: Arguments) -> Result:
    """Blocks of pixels become channels, by a convolution that takes each pixel of a block."""
    value, factor = site.builder.arranged(a.value("self"), "NCHW"), a.integer("downscale_factor")
    if factor < 1 or any(extent % factor for extent in value.extent):
        raise WeightsError(f"divides a map of {value.extent} into blocks of {factor}")
    size = factor * factor
    _check_kernel(value.channels * size * size)
    weight = np.tile(np.eye(size, dtype=np.float32), (value.channels, 1))
    weight = weight.reshape(-1, 1, factor, factor)
    return site.builder.conv(
        value, site.name, weight, stride=(factor, factor), groups=value.channels
    )


refuse("view_as_real view_as_complex", "is about complex numbers, which is not supported")
refuse("pixel_shuffle", "makes a map larger from its channels, which is not supported")
refuse(
    "reflection_pad2d replication_pad2d _pad_circular circular_pad2d",
    "pads with values of the map: only zeros are supported",
)
refuse("unfold im2col as_strided unfold_copy col2im", "takes overlapping parts of a map")
