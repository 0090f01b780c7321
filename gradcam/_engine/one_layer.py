"""One layer of a forward pass by itself: forward, and the vector-Jacobian product.

Backward rules that are written in Python, and everything else outside the core that needs one
layer's arithmetic, use this. The core runs each layer as a network with one layer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcam import _core
from gradcam._engine.assembly import add_to
from gradcam._engine.layers import Attribute, Layer, as_run
from gradcam._weights.tensors import from_bfloat16

_F32 = NDArray[np.float32]


class OneLayer:
    """A layer with its inputs and its output; see :class:`gradcam.rules.SingleLayer`.

    Parameters
    ----------
    layer : Layer
        As it runs.
    inputs : sequence of (N, ...) arrays
        In the forward pass.
    output : (N, ...) array
        In the forward pass.
    """

    def __init__(self, layer: Layer, inputs: Sequence[_F32], output: _F32) -> None:
        self.layer = layer
        self.inputs = inputs
        self.output = output

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.layer.name

    @property
    def op(self) -> str:
        """The operation."""
        return self.layer.op

    @property
    def attributes(self) -> Mapping[str, Attribute]:
        """The layer's stride, padding and the like."""
        return self.layer.attributes

    @cached_property
    def weights(self) -> Mapping[str, _F32]:
        """The weights that the layer runs with, as float32."""
        return {key: _as_float32(np.asarray(value)) for key, value in self.layer.weights.items()}

    def forward(
        self,
        *,
        inputs: Sequence[ArrayLike] | None = None,
        weights: Mapping[str, ArrayLike] | None = None,
    ) -> _F32:
        """Return the layer's output for other inputs or other weights.

        Parameters
        ----------
        inputs : sequence of (N, ...) arrays, optional
            By default those of the forward pass.
        weights : mapping of str to array, optional
            By default the layer's own. Without "bias" there is no bias.
        """
        given = self._inputs(inputs)
        if self.op == "add":
            total: _F32 = np.sum(np.stack(given), axis=0, dtype=np.float32)
            return total
        if self.op == "multiply":
            one, other = _alike(given)
            return one * other
        if self.op == "concatenate":
            return np.concatenate(given, axis=1)
        tape, top = self._run(given[0], weights, record=False)
        return tape.activation(top)

    def vjp(
        self,
        dy: ArrayLike,
        *,
        inputs: Sequence[ArrayLike] | None = None,
        weights: Mapping[str, ArrayLike] | None = None,
    ) -> list[_F32]:
        """Return the vector-Jacobian product with respect to each input.

        Parameters
        ----------
        dy : (S, N, ...) array
            S gradients of the output.
        inputs, weights
            As of :meth:`forward`.

        Returns
        -------
        list of (S, N, ...) arrays
            One for each input.
        """
        given = self._inputs(inputs)
        gradient = np.asarray(dy, np.float32)
        if self.op == "add":
            return [gradient] * len(given)
        if self.op == "multiply":
            one, other = _alike(given)
            return [_summed(gradient * other, given[0]), _summed(gradient * one, given[1])]
        if self.op == "concatenate":
            edges = np.cumsum([each.shape[1] for each in given])[:-1]
            return list(np.split(gradient, edges, axis=2))
        tape, top = self._run(given[0], weights, record=True)
        (dx,) = tape.backward(top, gradient, [0])
        return [dx.reshape(len(gradient), *given[0].shape)]

    def _inputs(self, inputs: Sequence[ArrayLike] | None) -> list[_F32]:
        if inputs is None:
            return list(self.inputs)
        if len(inputs) != len(self.inputs):
            raise ValueError(
                f"layer {self.name!r} has {len(self.inputs)} inputs, got {len(inputs)}"
            )
        return [np.asarray(each, np.float32) for each in inputs]

    def _run(
        self, x: _F32, weights: Mapping[str, ArrayLike] | None, *, record: bool
    ) -> tuple[_core.Tape, int]:
        """Run the layer as a network; return the tape and the layer's number."""
        layer = self.layer
        if weights is not None:
            attributes = {k: v for k, v in layer.attributes.items() if k != "dtype"}
            layer = as_run(replace(layer, weights=weights, attributes=attributes), None)
        builder = _core.NetworkBuilder(x.shape[1])
        # A vector enters the core as a map of one position.
        number = 0 if x.ndim == 4 else builder.flatten(0)
        top = add_to(builder, layer, [number])
        maps = x if x.ndim == 4 else x[:, :, None, None]
        return builder.build().forward(maps, [top], record=record), top


def _alike(inputs: Sequence[_F32]) -> list[_F32]:
    """Return the inputs of a product with as many axes each."""
    rank = max(each.ndim for each in inputs)
    return [each.reshape(*each.shape, *[1] * (rank - each.ndim)) for each in inputs]


def _summed(gradients: _F32, values: _F32) -> _F32:
    """Return (S, N, ...) gradients summed over the positions that `values` do not have."""
    shape = (len(gradients), *values.shape)
    if math.prod(shape) == gradients.size:
        return gradients.reshape(shape)
    total: _F32 = gradients.sum(axis=(-2, -1), dtype=np.float64).astype(np.float32)
    return total.reshape(shape)


def _as_float32(values: NDArray[np.generic]) -> _F32:
    """Return weights as float32; uint16 are the bits of bfloat16."""
    bits = values.dtype == np.uint16
    return from_bfloat16(values) if bits else values.astype(np.float32, copy=False)
