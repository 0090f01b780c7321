"""Write the layers of a network one by one, with their shapes: what all importers end in.

Each method takes the values that a layer reads and returns its output. An importer knows the terms
of its own format; here are the operations of the core, checked, and the ways to express what the
core does not have: padding by itself, weights for a map that was flattened in another order, a
factor for each position.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gradcam import _core
from gradcam._engine.layers import HEADS, INPUT, POOLS, Attribute, Layer
from gradcam._importers.axes import as_float32, transposed
from gradcam._importers.imported import MAX_LAYERS, Imported
from gradcam._importers.simplify import simplified
from gradcam._importers.values import NO_PADDING, Dimension, Factor, Padding, Value, output_of
from gradcam._weights.tensors import WeightsError

Array = NDArray[Any]
Pair = tuple[int, int]

_NOT_NEGATIVE = ("relu", "relu6", "sigmoid", "hard_sigmoid", "softmax")
"""Operations whose output is never negative: zeros around it do not change a maximum."""

_SAME_SIGN = ("max_pool", "average_pool", "dropout", "concatenate", "add")
"""Operations whose output is never negative if their inputs are not."""

_MAX_CLASSES = 1_000_000

_MAX_CUT = 1 << 26
"""Numbers of a kernel that cuts rows and columns off."""


class Builder:
    """The layers of a network while it is imported.

    Parameters
    ----------
    channels, height, width : int
        Of the input.
    layout : str
        The arrangement of the input's axes: "NCHW" or "NHWC".
    batch : int
        The size of the batch axis in the graph.
    """

    def __init__(
        self, channels: int, height: int, width: int, layout: str = "NCHW", batch: int = 1
    ) -> None:
        self.input = output_of(INPUT, (channels, height, width), layout, batch)
        self.fixed = False
        """Whether a layer fits only this size of the input."""
        self.in_place = True
        """Whether no large weight was reordered."""
        self._layers: list[Layer] = []
        self._numbers: dict[str, int] = {}
        self._places: dict[str, int] = {}
        self._reserved: set[str] = set()
        self._paddings: dict[tuple[str, Padding], str] = {}
        """Names of layers that pad maps, by the map and its padding."""
        self._values: dict[str, Value] = {INPUT: self.input}
        self._not_negative: set[str] = set()
        self._shuffles: dict[tuple[str, int], str] = {}
        self._shrunk: set[str] = set()
        """Layers whose map has one position for this size of the input alone."""
        self._any_size: set[str] = set()
        """Layers whose map has one size for every size of the input."""
        self._helpers: set[str] = set()
        """Convolutions that no file has: zeros, a part of a map, a map repeated."""

    # -------------------------------------------------------------------- layers of any kind

    def reserve(self, names: Iterable[str]) -> None:
        """Reserve the names of the graph's own layers: other layers do not get them."""
        self._reserved.update(names)

    def claim(self, name: str) -> None:
        """Release a reserved name, for the layer that it was reserved for."""
        self._reserved.discard(name)

    def unique(self, name: str) -> str:
        """Return a name that no layer has: this one, or with a number after it."""
        name = name or "layer"
        number, found = self._numbers.get(name, 1), name
        while found in self._values or found in self._reserved:
            number += 1
            found = f"{name}_{number}"
        self._numbers[name] = number
        return found

    def add(
        self,
        name: str,
        op: str,
        inputs: Sequence[Value],
        core: tuple[int, ...],
        weights: Mapping[str, Array] | None = None,
        aliases: Sequence[str] = (),
        **attributes: Attribute,
    ) -> Value:
        """Add a layer of the core; return its output, seen as the first input is.

        Parameters
        ----------
        name : str
            A number is added if another layer has it.
        op : str
            One of :data:`gradcam._engine.layers.OPS`.
        inputs : sequence of Value
            Without pending padding.
        core : (C, H, W) or (F,)
            The shape of its output.
        weights : mapping of str to array, optional
        aliases : sequence of str
            Further names; those that another layer has are left out.
        **attributes
            As in :class:`gradcam.Layer`.

        Raises
        ------
        WeightsError
            If a weight is not finite.
        """
        for key, values in (weights or {}).items():
            # Those of linear layers are checked later, or known by the cache. What is folded into
            # another layer would lose its name until then.
            if op != "linear" and not _core.all_finite(values):
                raise WeightsError(f"has NaN or infinity in its {key}")
        if len(self._layers) == MAX_LAYERS:
            raise WeightsError(f"is layer {MAX_LAYERS + 1}; networks of more are not supported")
        name = self.unique(name)
        self._places[name] = len(self._layers)
        self._layers.append(
            Layer(
                name,
                op,
                tuple(value.layer for value in inputs),
                dict(weights or {}),
                attributes,
                tuple(dict.fromkeys(alias for alias in aliases if alias and alias != name)),
            )
        )
        value = replace(inputs[0], layer=name, core=core, padding=NO_PADDING)
        self._values[name] = value
        if (
            core[1:] == (1, 1)
            and not op.startswith("global")
            and any(each.is_map or each.layer in self._shrunk for each in inputs)
        ):
            self._shrunk.add(name)
        if op in _NOT_NEGATIVE or (
            op in _SAME_SIGN and all(each.layer in self._not_negative for each in inputs)
        ):
            self._not_negative.add(name)
        if value.is_map and all(each.layer in self._any_size for each in inputs):
            self._any_size.add(name)
        return value

    def layer(self, name: str) -> Layer | None:
        """Return the layer of that name; None of the input."""
        return next((layer for layer in reversed(self._layers) if layer.name == name), None)

    def elementwise(
        self, value: Value, name: str, op: str, aliases: Sequence[str] = (), **attributes: Attribute
    ) -> Value:
        """Add an operation on each value by itself, such as an activation."""
        value = self.padded(value)
        found = self.add(name, op, [value], value.core, None, aliases, **attributes)
        return value.of(found.layer)

    def prelu(
        self, value: Value, name: str, slopes: Array, *, aliases: Sequence[str] = ()
    ) -> Value:
        """Add a PReLU (He et al., 2015), with one slope or one for each channel.

        The slopes are broadcast to the value's dimensions as in NumPy.
        """
        value = self.padded(value)
        weights = {"weight": self._by_channel(value, slopes)}
        found = self.add(name, "prelu", [value], value.core, weights, aliases)
        return value.of(found.layer)

    # -------------------------------------------------------------------- padding

    def pad(self, value: Value, padding: Padding, name: str = "") -> Value:
        """Add zeros around a map; a layer is added only if the next one cannot take them.

        Negative numbers cut rows and columns off. Without a layer of its own, `name` is another
        name of the map without the zeros.
        """
        if min(padding) < 0:
            return self._cropped(self.padded(value), padding, name)
        added = cast("Padding", tuple(a + b for a, b in zip(value.padding, padding, strict=True)))
        if name:
            self.also(value, name)
            self._paddings[value.layer, added] = name
        return self._resized(replace(value, padding=added), value)

    def padded(self, value: Value, name: str = "") -> Value:
        """Return the value without pending padding: zeros are added by a layer."""
        if value.padding == NO_PADDING:
            return value
        ones = np.ones((value.channels, 1, 1, 1), np.float32)
        name = name or self._paddings.get((value.layer, value.padding), f"{value.layer}.padded")
        return self._depthwise(value, name, ones, value.padding)

    def _cropped(self, value: Value, padding: Padding, name: str) -> Value:
        """Cut rows and columns off, by a convolution whose kernel has one 1 for each channel."""
        top, left, bottom, right = (max(0, -each) for each in padding)
        height, width = value.extent
        if top + bottom >= height or left + right >= width:
            raise WeightsError(
                f"cuts {top} + {bottom} rows and {left} + {right} columns off a map of "
                f"{height} x {width}"
            )
        shape = (value.channels, 1, top + bottom + 1, left + right + 1)
        if math.prod(shape) > _MAX_CUT:
            raise WeightsError(f"cuts off too much of a map: a kernel of {shape} would be needed")
        kernel = np.zeros(shape, np.float32)
        kernel[:, :, top, left] = 1
        kept = tuple(max(0, each) for each in padding)
        return self.pad(
            self._depthwise(value, name or f"{value.layer}.cropped", kernel, NO_PADDING),
            cast("Padding", kept),
        )

    def _depthwise(self, value: Value, name: str, kernel: Array, padding: Padding) -> Value:
        """Add a convolution of each channel by itself."""
        if len(value.core) == 1:
            raise WeightsError(
                f"reads the vector {value.layer!r} as a map of one position, with zeros around "
                f"it: this is not supported"
            )
        top, left, bottom, right = padding
        height = value.core[1] + top + bottom - kernel.shape[2] + 1
        width = value.core[2] + left + right - kernel.shape[3] + 1
        bare = replace(value, padding=NO_PADDING)
        found = self.add(
            name,
            "conv",
            [bare],
            (value.channels, height, width),
            {"weight": kernel},
            padding=padding,
            groups=value.channels,
        )
        self._helpers.add(found.layer)
        if value.layer in self._not_negative:
            self._not_negative.add(found.layer)
        return self._resized(found, value)

    def _resized(self, value: Value, before: Value) -> Value:
        """Return `value`, whose map has another size or channels than `before`, seen as that."""
        dims = []
        for i, dim in enumerate(before.dims):
            axis = before.axis(i)
            if axis is None and dim:
                raise WeightsError(
                    f"layer {value.layer!r} reads a map whose axes were joined: {before.shape}"
                )
            dims.append(dim if axis in ("N", None) else value.whole(axis))
        return replace(value, dims=tuple(dims))

    # -------------------------------------------------------------------- arrangement

    def arranged(self, value: Value, layout: str) -> Value:
        """Return the value as a map with its axes in this order.

        Channels in another order, as a shuffle leaves them, become a layer.

        Raises
        ------
        WeightsError
            If it is arranged in another way.
        """
        if value.is_arranged(layout):
            return value
        if len(value.dims) == len(layout):
            value = self.shuffled(value, layout.index("C"))
        if not value.is_arranged(layout):
            raise WeightsError(
                f"reads {value.shape}, an arrangement of the map {value.layer!r} other than "
                f"{layout}: expected a map"
            )
        return value

    def shuffled(self, value: Value, place: int) -> Value:
        """Add the shuffle of channels (Zhang et al., 2018) that a dimension describes, once."""
        dim = value.dims[place]
        if len(dim) != 2 or [factor.axis for factor in dim] != ["C", "C"]:
            return value
        inner, outer = dim
        if inner != Factor("C", 1, inner.size) or outer.stride != inner.size:
            return value
        if inner.size * outer.size != value.channels:
            return value
        value = self.padded(value)
        key = (value.layer, outer.size)
        if key not in self._shuffles:
            name = f"{value.layer}.shuffle"
            found = self.add(name, "channel_shuffle", [value], value.core, groups=outer.size)
            self._shuffles[key] = found.layer
        dims = list(value.dims)
        dims[place] = value.whole("C")
        return replace(value, layer=self._shuffles[key], dims=tuple(dims))

    def vector(self, value: Value, name: str = "") -> Value:
        """Return a map as a vector of the core, in the core's order of channels, rows, columns."""
        if len(value.core) == 1:
            return value
        value = self.padded(value)
        sized = value.is_map and value.layer not in self._any_size
        if sized or value.layer in self._shrunk:
            self.fixed = True
        found = self.add(
            name or f"{value.layer}.flatten", "flatten", [value], (math.prod(value.core),)
        )
        return found.arranged("NC")

    def vector_as_seen(self, value: Value) -> Value:
        """Return a value of two dimensions as a vector of the core, its features seen as before.

        Weights for each feature have the order of the graph: see :meth:`in_core_order`.
        """
        if len(value.core) == 1:
            return value
        value = self.padded(value)
        batch, features = value.dims
        _, height, width = value.core
        steps = {"C": height * width, "H": width, "W": 1}
        seen = tuple(Factor("C", steps[f.axis] * f.stride, f.size) for f in features)
        found = self.vector(value).with_dims((batch, seen))
        return found.reshaped(found.shape)

    def in_core_order(self, value: Value, array: Array) -> Array:
        """Return an array with one number for each feature of a vector in the core's order."""
        factors = value.dims[-1]
        if len(value.core) != 1 or factors == value.whole("C"):
            return array
        order = sorted(range(len(factors)), key=lambda i: -factors[i].stride)
        parts = array.reshape([factor.size for factor in factors])
        return np.ascontiguousarray(parts.transpose(order)).reshape(-1)

    def also(self, value: Value, alias: str) -> None:
        """Give the layer that holds a value another name; nothing if it is not that layer's map."""
        place = self._places.get(value.layer)
        if place is None or value.padding != NO_PADDING or not alias:
            return
        layer = self._layers[place]
        self._layers[place] = replace(layer, aliases=(*layer.aliases, alias))

    # -------------------------------------------------------------------- weighted layers

    def conv(
        self,
        value: Value,
        name: str,
        weight: Array,
        bias: Array | None = None,
        *,
        layout: str = "NCHW",
        stride: Pair = (1, 1),
        padding: Padding = NO_PADDING,
        dilation: Pair = (1, 1),
        groups: int = 1,
        aliases: Sequence[str] = (),
    ) -> Value:
        """Add a convolution; `weight` is (O, I / groups, R, S).

        Raises
        ------
        WeightsError
            If the weight does not fit the map.
        """
        value = self.arranged(value, layout)
        if groups < 1 or weight.ndim != 4 or weight.shape[1] * groups != value.channels:
            raise WeightsError(
                f"has weights of shape {weight.shape} in {groups} groups for a map of "
                f"{value.channels} channels"
            )
        total = cast("Padding", tuple(a + b for a, b in zip(value.padding, padding, strict=True)))
        bare = replace(value, padding=NO_PADDING)
        if len(value.core) == 1:
            return self._on_one_position(bare, name, weight, bias, layout, total, groups, aliases)
        height, width = _windows(value.core, weight.shape[2:], stride, total, dilation)
        weights = {"weight": as_float32(weight)}
        if bias is not None:
            weights["bias"] = as_float32(bias)
        found = self.add(
            name,
            "conv",
            [bare],
            (len(weight), height, width),
            weights,
            aliases,
            stride=stride,
            padding=total,
            dilation=dilation,
            groups=groups,
        )
        return found.arranged(layout)

    def _on_one_position(
        self,
        value: Value,
        name: str,
        weight: Array,
        bias: Array | None,
        layout: str,
        padding: Padding,
        groups: int,
        aliases: Sequence[str],
    ) -> Value:
        """Add a convolution of a vector, seen as a map of one position: a linear layer."""
        top, left, bottom, right = padding
        fits = weight.shape[2:] == (top + bottom + 1, left + right + 1)
        if fits and weight.shape[1] == 1 and groups == len(weight):
            shift = 0.0 if bias is None else as_float32(bias).reshape(-1)
            value = value.arranged("NC")
            scale = as_float32(weight)[:, 0, top, left]
            found = self.scale_and_shift(value, name, scale, shift, aliases=aliases)
            return found.arranged(layout)
        if not fits or groups != 1:
            raise WeightsError(
                f"has a kernel of {weight.shape[2:]} in {groups} groups for a map of one position"
            )
        found = self.linear(
            value.arranged("NC"), name, weight[:, :, top, left], bias, aliases=aliases
        )
        return found.arranged(layout)

    def linear(
        self,
        value: Value,
        name: str,
        weight: Array,
        bias: Array | None = None,
        *,
        aliases: Sequence[str] = (),
    ) -> Value:
        """Add a linear layer over the last dimension; `weight` is (O, I), also as a view.

        Over the channels of a map, it is a convolution of one position. The order in which a map
        was flattened is that of the inputs of `weight`.
        """
        if weight.ndim != 2 or weight.shape[1:] != value.shape[-1:]:
            raise WeightsError(
                f"has weights of shape {weight.shape} for inputs of {value.shape[-1:]}"
            )
        if len(value.core) == 3 and value.is_arranged("NHWC"):
            kernel = np.ascontiguousarray(as_float32(weight))[:, :, None, None]
            return self.conv(value, name, kernel, bias, layout="NHWC", aliases=aliases)
        outer = value.dims[:-1]
        if (
            any(factor.axis != "N" for dim in outer for factor in dim)
            or any(outer[1:])
            or any(factor.axis == "N" for factor in value.dims[-1])
        ):
            raise WeightsError(
                f"is a product over the last axis of {value.shape}; only one over the channels, or "
                f"over all features of a picture, is supported"
            )
        value = self.padded(value)
        matrix = self._reordered(as_float32(weight), value)
        value = self.vector(value)
        weights = {"weight": matrix}
        if bias is not None:
            weights["bias"] = as_float32(bias).reshape(-1)
        found = self.add(name, "linear", [value], (len(weight),), weights, aliases)
        return replace(found, dims=(*outer, found.whole("C")))

    def _reordered(self, weight: Array, value: Value) -> Array:
        """Return weights whose inputs have the order of the core: channels, rows, columns."""
        factors = value.dims[-1]
        order = sorted(
            range(len(factors)), key=lambda i: ("CHW".index(factors[i].axis), -factors[i].stride)
        )
        in_order = order == list(range(len(factors)))
        if in_order and weight.flags.c_contiguous:
            return weight
        self.in_place = False
        outputs, sizes = len(weight), [factor.size for factor in factors]
        by_channel = [f.axis for f in factors][-1:] == ["C"] and factors[-1].stride == 1
        channels_last = by_channel and order == [len(order) - 1, *range(len(order) - 1)]
        if weight.T.flags.c_contiguous and (in_order or channels_last):
            positions = 1 if in_order else weight.shape[1] // factors[-1].size
            return transposed(weight.T, positions)
        parts = weight.reshape(outputs, *sizes).transpose(0, *(i + 1 for i in order))
        return np.ascontiguousarray(parts).reshape(outputs, -1)

    def batch_norm(
        self,
        value: Value,
        name: str,
        mean: Array,
        variance: Array,
        weight: Array | None = None,
        bias: Array | None = None,
        *,
        eps: float = 1e-5,
        aliases: Sequence[str] = (),
    ) -> Value:
        """Add a batch normalisation over the channels, in evaluation mode."""
        given = {"weight": weight, "bias": bias, "running_mean": mean, "running_var": variance}
        weights = {k: as_float32(v).reshape(-1) for k, v in given.items() if v is not None}
        for key, values in weights.items():
            if len(values) != value.channels:
                raise WeightsError(
                    f"has {len(values)} values of {key} for {value.channels} channels"
                )
        value = self.padded(value)
        found = self.add(name, "batch_norm", [value], value.core, weights, aliases, eps=eps)
        return value.of(found.layer)

    def layer_norm(
        self,
        value: Value,
        name: str,
        weight: Array | None,
        bias: Array | None,
        *,
        eps: float,
        aliases: Sequence[str] = (),
    ) -> Value:
        """Add a layer normalisation over the channels of each position (Ba et al., 2016)."""
        value = self.padded(value)
        scale = np.ones(value.channels, np.float32) if weight is None else as_float32(weight)
        weights = {"weight": scale.reshape(-1)}
        if bias is not None:
            weights["bias"] = as_float32(bias).reshape(-1)
        found = self.add(name, "layer_norm", [value], value.core, weights, aliases, eps=eps)
        return value.of(found.layer)

    # -------------------------------------------------------------------- arithmetic

    def scale_and_shift(
        self,
        value: Value,
        name: str,
        scale: Array | float = 1.0,
        shift: Array | float = 0.0,
        *,
        aliases: Sequence[str] = (),
    ) -> Value:
        """Add ``scale * value + shift``, each a number or an array with a value for each channel.

        Arrays are broadcast to the value's dimensions as in NumPy.

        Raises
        ------
        WeightsError
            If an array differs along another axis than the channels.
        """
        value = self.padded(value)
        if any(self._mixes(value, array) for array in (scale, shift)):
            value = self.vector_in_order(value)
        channels = {
            key: self._by_channel(value, np.asarray(array))
            for key, array in (("scale", scale), ("shift", shift))
        }
        found = self.add(name, "affine", [value], value.core, channels, aliases)
        return value.of(found.layer)

    def vector_in_order(self, value: Value) -> Value:
        """Return a map that was flattened in the core's order as a vector of the core."""
        if len(value.dims) != 2 or value.dims[0] != value.whole("N"):
            raise WeightsError(
                f"reads {value.shape}, expected a map flattened to (pictures, features)"
            )
        order = sorted(value.dims[1], key=lambda f: ("CHW".index(f.axis), -f.stride))
        if list(value.dims[1]) != order:
            raise WeightsError(
                f"reads {value.shape}, a map flattened in an order not supported here"
            )
        return self.vector(value)

    def _mixes(self, value: Value, array: Array | float) -> bool:
        """Whether an array has a value for each element of a flattened map."""
        shape = np.shape(array)
        sizes = value.shape[len(value.shape) - len(shape) :]
        if not shape or not value.dims:
            return False
        return len(value.dims[-1]) > 1 and shape[-1] == sizes[-1] > 1

    def _by_channel(self, value: Value, array: Array) -> Array:
        """Return an array that is broadcast to the value, as one number for each channel."""
        values = np.asarray(array, np.float32)
        while values.ndim > len(value.dims) and values.shape[0] == 1:
            values = values[0]
        if values.ndim > len(value.dims):
            raise WeightsError(f"combines shapes {value.shape} and {values.shape}")
        first = len(value.dims) - values.ndim
        for i, size in enumerate(values.shape):
            if size not in (1, value.shape[first + i]):
                raise WeightsError(f"combines shapes {value.shape} and {values.shape}")
            if size > 1 and value.axis(first + i) != "C":
                if not np.all(values == np.take(values, [0], i)):
                    raise WeightsError(
                        f"combines the map {value.layer!r} with an array of shape "
                        f"{values.shape}, which differs along other axes than the channels"
                    )
                values = np.take(values, [0], i)
        return np.ascontiguousarray(np.broadcast_to(values.reshape(-1), (value.channels,)))

    def sum(self, values: Sequence[Value], name: str, aliases: Sequence[str] = ()) -> Value:
        """Add the sum of values of one shape."""
        return self._of_several("add", values, name, aliases)

    def product(self, first: Value, second: Value, name: str, aliases: Sequence[str] = ()) -> Value:
        """Add the product of two values of one shape, or of a map and one factor for each channel
        or for each position.

        The dimensions are aligned at the right, as in NumPy.

        Raises
        ------
        WeightsError
            If the smaller value is not repeated along whole axes of the larger one.
        """
        values = [self.padded(first), self.padded(second)]
        values.sort(key=lambda each: (-math.prod(each.core), -len(each.dims)))
        larger, smaller = values
        if smaller.core == (1, *larger.core[1:]) != larger.core and len(smaller.core) == 3:
            ones = np.ones((larger.channels, 1, 1, 1), np.float32)
            layout = _layout_of(smaller)
            smaller = self.conv(smaller, f"{name}.repeated", ones, layout=layout)
            self._helpers.add(smaller.layer)
        by_channel = not smaller.is_map and smaller.channels == larger.channels
        if by_channel and larger.is_map and smaller.layer in self._shrunk:
            self.fixed = True
        if not by_channel:
            return self._of_several("multiply", [larger, smaller], name, aliases)
        _check_repeated(smaller, larger)
        if len(larger.core) == 1:
            larger, smaller = self.vector(larger), self.vector(smaller)
        found = self.add(name, "multiply", [larger, smaller], larger.core, None, aliases)
        return larger.of(found.layer)

    def _of_several(
        self, op: str, values: Sequence[Value], name: str, aliases: Sequence[str]
    ) -> Value:
        values = [self.padded(value) for value in values]
        values = self._of_one_kind(values)
        if len({(value.core, value.shape) for value in values}) > 1 or any(
            value.dims != values[0].dims for value in values
        ):
            shapes = " and ".join(str(value.shape) for value in values[:2])
            raise WeightsError(f"combines {shapes}; expected values of one shape and arrangement")
        found = self.add(name, op, values, values[0].core, None, aliases)
        return values[0].of(found.layer)

    def _of_one_kind(self, values: list[Value]) -> list[Value]:
        """Return maps of one position as vectors, seen as before, if another value is a vector."""
        if len({len(value.core) for value in values}) == 1:
            return values
        return [
            value if value.is_map else self.vector(value).with_dims(value.dims) for value in values
        ]

    def concatenate(
        self, values: Sequence[Value], dim: int, name: str, aliases: Sequence[str] = ()
    ) -> Value:
        """Add the values side by side along a dimension, which must be that of the channels."""
        values = [self.padded(value) for value in values]
        if all(len(value.dims) == 2 for value in values) and any(v.is_map for v in values):
            values = [self.vector_as_seen(value) for value in values]  # maps that were flattened
        values = self._of_one_kind(values)
        dim %= len(values[0].dims)
        values = [self.shuffled(value, dim) if dim < len(value.dims) else value for value in values]
        first = values[0]
        if any(value.dims[dim] != value.whole("C") for value in values) or any(
            value.dims[:dim] + value.dims[dim + 1 :] != first.dims[:dim] + first.dims[dim + 1 :]
            for value in values
        ):
            raise WeightsError(
                f"joins values of shapes {', '.join(str(v.shape) for v in values[:4])} along "
                f"dimension {dim}; only channels can be joined"
            )
        channels = sum(value.channels for value in values)
        found = self.add(name, "concatenate", values, (channels, *first.core[1:]), None, aliases)
        dims = list(first.dims)
        dims[dim] = found.whole("C")
        return replace(found, dims=tuple(dims))

    def slice(
        self, value: Value, dim: int, start: int, stop: int, name: str, aliases: Sequence[str] = ()
    ) -> Value:
        """Add a part of a dimension: of the channels, or rows or columns of a map."""
        dim %= len(value.dims)
        size = value.shape[dim]
        if (start, stop) == (0, size):
            return value
        value = self.shuffled(value, dim)
        axis = value.axis(dim)
        if not 0 <= start < stop <= size:
            raise WeightsError(f"takes {start} to {stop} of {size}")
        value = self.padded(value)
        if axis in ("H", "W"):
            self.fixed = True
            cut = (start, 0, size - stop, 0) if axis == "H" else (0, start, 0, size - stop)
            return self.pad(value, cast("Padding", tuple(-each for each in cut)))
        if axis != "C":
            raise WeightsError(f"takes a part of dimension {dim} of {value.shape}")
        core = (stop - start, *value.core[1:])
        found = self.add(name, "slice", [value], core, None, aliases, start=start, stop=stop)
        dims = list(value.dims)
        dims[dim] = found.whole("C")
        return replace(found, dims=tuple(dims))

    # -------------------------------------------------------------------- poolings

    def pool(
        self,
        value: Value,
        name: str,
        op: str,
        kernel: Pair,
        *,
        layout: str = "NCHW",
        stride: Pair,
        padding: Padding = NO_PADDING,
        ceil_mode: bool = False,
        count_include_pad: bool = False,
        divisor: int | None = None,
        aliases: Sequence[str] = (),
    ) -> Value:
        """Add a pooling over windows: "max_pool" or "average_pool".

        One whose only window is the whole map is a global pooling. `divisor`: of an average, in
        place of the number of positions.
        """
        value = self.arranged(value, layout)
        if value.padding != NO_PADDING:
            # In ceil mode, windows may begin in zeros of the map, but not in the pooling's own.
            inside = op == "max_pool" and padding == NO_PADDING and not ceil_mode
            if inside and value.layer in self._not_negative:
                half = (kernel[0] // 2, kernel[1] // 2) * 2
                if all(p <= h for p, h in zip(value.padding, half, strict=True)):
                    padding, value = value.padding, replace(value, padding=NO_PADDING)
            value = self.padded(value)
        if len(value.core) == 1:
            if kernel != (1, 1) or padding != NO_PADDING:
                raise WeightsError(f"has windows of {kernel} for a map of one position")
            return self.global_pool(value, name, op, layout=layout, aliases=aliases)
        if padding == NO_PADDING and kernel == value.core[1:] and divisor is None:
            self.fixed = self.fixed or value.is_map
            return self.global_pool(value, name, op, layout=layout, aliases=aliases)
        height, width = _windows(value.core, kernel, stride, padding, (1, 1), ceil_mode)
        attributes: dict[str, Attribute] = {"kernel": kernel, "stride": stride}
        if padding != NO_PADDING:
            attributes["padding"] = padding
        if ceil_mode:
            attributes["ceil_mode"] = True
        if op == "average_pool":
            attributes["count_include_pad"] = count_include_pad
            if divisor is not None:
                attributes["divisor"] = divisor
        core = (value.channels, height, width)
        bare = replace(value, padding=NO_PADDING)
        return self.add(name, op, [bare], core, None, aliases, **attributes).arranged(layout)

    def global_pool(
        self,
        value: Value,
        name: str,
        op: str,
        *,
        layout: str = "NCHW",
        aliases: Sequence[str] = (),
    ) -> Value:
        """Add the mean or the maximum over all positions, as a map of one position."""
        value = self.padded(self.arranged(value, layout))
        if len(value.core) == 1:
            return value
        pools = {"max_pool": "global_max_pool", "average_pool": "global_average_pool"}
        core = (value.channels, 1, 1)
        return self.add(name, pools[op], [value], core, None, aliases).arranged(layout)

    def adaptive_pool(
        self,
        value: Value,
        name: str,
        size: Pair,
        *,
        layout: str = "NCHW",
        aliases: Sequence[str] = (),
    ) -> Value:
        """Add the means of areas that cover the map, so many in each direction."""
        if size == (1, 1):
            return self.global_pool(value, name, "average_pool", layout=layout, aliases=aliases)
        value = self.padded(self.arranged(value, layout))
        if len(value.core) == 1 or min(size) < 1:
            raise WeightsError(f"pools a map of {value.shape} to {size}")
        core = (value.channels, *size)
        found = self.add(name, "adaptive_average_pool", [value], core, None, aliases, size=size)
        self._any_size.add(found.layer)
        return found.arranged(layout)

    # -------------------------------------------------------------------- the end

    def finish(
        self, value: Value, *, size: tuple[int, int] | None, name: str, title: str
    ) -> Imported:
        """Return the network that ends in `value`, whose features are the class scores.

        Parameters
        ----------
        value : Value
        size : (height, width) or None
            Of the input, if the file says it.
        name, title : str
            As of :class:`Imported`.

        Raises
        ------
        WeightsError
            If the value is a map, or the input itself.
        """
        if value.is_map or len([dim for dim in value.dims if dim and dim[0].axis != "N"]) > 1:
            raise WeightsError(
                f"ends in {value.shape}, expected one score for each class: this is not a "
                f"classifier (segmentation, detection or features?)"
            )
        if not self._layers:
            raise WeightsError("the graph has no layers")
        if len(value.core) == 1 and value.whole("C") not in value.dims:
            raise WeightsError("ends in a map that was flattened: this is not a classifier")
        if value.channels > _MAX_CLASSES:
            raise WeightsError(f"ends in {value.channels} scores, at most {_MAX_CLASSES} expected")
        value = self._head_last(self.padded(value))
        layers = _with_unique_names(simplified(self._layers, value.layer))
        _, height, width = self.input.core
        return Imported(
            layers=layers,
            channels=self.input.channels,
            classes=value.channels,
            size=(height, width) if self.fixed else size,
            fixed=self.fixed,
            target_layer=self._target(layers),
            name=name,
            title=title,
            in_place=self.in_place,
        )

    def _head_last(self, value: Value) -> Value:
        """Return the scores, or their softmax or sigmoid, as a vector.

        Layers after a head that change nothing are left out. A head of a map of one position comes
        after the vector.
        """
        names: list[str] = []
        ops = set()
        layer = self.layer(value.layer)
        while layer is not None and layer.op not in HEADS and self._changes_nothing(layer):
            names += [layer.name, *layer.aliases]
            ops.add(layer.op)
            layer = self.layer(layer.inputs[0])
        if layer is None or layer.op not in HEADS:
            return self.vector(value)
        if layer.op == "log_softmax" and ops & {"relu", "clip"}:
            return self.vector(value)
        self._layers.remove(layer)
        del self._values[layer.name], self._places[layer.name]
        before = self.vector(self._values[layer.inputs[0]])
        aliases = (*layer.aliases, *names)
        return self.add(layer.name, layer.op, [before], before.core, None, aliases)

    def _changes_nothing(self, layer: Layer) -> bool:
        """Whether a layer leaves probabilities as they are."""
        if layer.op == "affine":
            return bool(np.all(layer.weights["scale"] == 1) and not np.any(layer.weights["shift"]))
        if layer.op == "flatten":
            return not self._values[layer.inputs[0]].is_map
        low, high = (layer.attributes.get(key) for key in ("low", "high"))
        return layer.op in ("dropout", "relu") or (layer.op, low, high) == ("clip", 0.0, 1.0)

    def _target(self, layers: Sequence[Layer]) -> str:
        """Return the last layer with a map of more than one position that is not a pooling.

        Layers that the file does not have are skipped.
        """
        found = INPUT
        for layer in layers:
            skipped = layer.op in (*POOLS, "dropout") or layer.name in self._helpers
            if self._values[layer.name].is_map and not skipped:
                found = layer.name
        return found


def _with_unique_names(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return the layers, each with only those of its aliases that no other layer has."""
    used = {INPUT, *(layer.name for layer in layers)}
    result = []
    for layer in layers:
        aliases = [alias for alias in dict.fromkeys(layer.aliases) if alias not in used]
        used.update(aliases)
        result.append(replace(layer, aliases=tuple(aliases)))
    return tuple(result)


def _check_repeated(smaller: Value, larger: Value) -> None:
    """Raise WeightsError unless the smaller value is repeated along whole axes of the larger one.

    Each of its dimensions is that of the larger one, counted from the right, or has the size 1.
    """
    missing = max(0, len(smaller.dims) - len(larger.dims))
    before: list[Dimension] = [()] * max(0, len(larger.dims) - len(smaller.dims))
    for own, other in zip((*before, *smaller.dims[missing:]), larger.dims, strict=True):
        if own not in (other, (), (Factor("N", 1, 1),)):
            break
    else:
        if not missing:
            return
    raise WeightsError(
        f"multiplies {larger.shape} by {smaller.shape}, whose axes are arranged differently"
    )


def _layout_of(value: Value) -> str:
    """Return the arrangement of a map: "NCHW" or "NHWC"."""
    for layout in ("NCHW", "NHWC"):
        if value.is_arranged(layout):
            return layout
    raise WeightsError(f"reads {value.shape}, which is not a map")


def _windows(
    core: Sequence[int],
    kernel: Sequence[int],
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    ceil_mode: bool = False,
) -> Pair:
    """Return how many windows fit: ``(size + padding - dilation * (kernel - 1) - 1) / stride + 1``.

    In ceil mode the quotient is rounded up, but no window begins in the padding after the map.
    """
    top, left, bottom, right = padding
    counts = []
    for size, before, after, window, step, spread in zip(
        core[1:], (top, left), (bottom, right), kernel, stride, dilation, strict=True
    ):
        room = size + before + after - spread * (window - 1) - 1
        if room < 0 or step < 1:
            raise WeightsError(f"has windows of {tuple(kernel)} for a map of {tuple(core[1:])}")
        count = (-(-room // step) if ceil_mode else room // step) + 1
        if ceil_mode and (count - 1) * step >= size + before:
            count -= 1
        counts.append(count)
    return counts[0], counts[1]


def same_padding(
    extent: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[Padding, bool]:
    """Return TensorFlow's padding "same", and whether it depends on the size of the map.

    The output has ceil(size / stride) positions; the larger half of an odd number of zeros comes
    after the map.
    """
    halves, depends = [], False
    for size, window, step, spread in zip(extent, kernel, stride, dilation, strict=True):
        total = max(0, (-(-size // step) - 1) * step + spread * (window - 1) + 1 - size)
        depends = depends or (step > 1 and window > 1)
        halves.append((total // 2, total - total // 2))
    (top, bottom), (left, right) = halves
    return (top, left, bottom, right), depends
