"""Random ONNX graphs against float64 NumPy: what is not refused is right.

Axes are transposed, joined, split, left out and put in again, and maps of one position and of small
equal sizes are frequent: axes that are taken for others would not be found by their sizes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from onnx_files import node
from test_onnx_operations import graph

import gradcam
from gradcam import WeightsError

SHAPES = [(1, 4, 4, 4), (1, 4, 4, 5), (1, 4, 1, 4), (1, 4, 2, 1), (1, 3, 4, 3), (1, 1, 4, 4)]
TARGETS = [(1, -1), (4, -1), (1, 4, -1), (1, -1, 4), (-1, 4), (1, 4, 4, -1), (1, 1, -1)]
LAYOUTS = [(0, 2, 3, 1), (0, 3, 1, 2)]


class RandomGraph:
    """Nodes that are made one after the other, with their results.

    Parameters
    ----------
    seed : int

    Attributes
    ----------
    x : array
        The input.
    """

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        shape = self._choice(SHAPES)
        self.x = np.float64(self._normal(*shape))
        self.nodes: list[bytes] = []
        self.tensors: dict[str, np.ndarray] = {}
        self.values: list[tuple[str, np.ndarray]] = [("x", self.x)]
        kernel = self._normal(shape[1], shape[1], 1, 1)
        mixed = np.einsum("nchw,kc->nkhw", self.x, kernel[:, :, 0, 0])
        self._add("Conv", mixed, self._constant(kernel))

    def grow(self, steps: int) -> None:
        """Add nodes, and what makes scores of the last one."""
        self.values = self.values[1:]
        for _ in range(steps):
            name, value = self._last()
            self._choice(OPERATIONS)(self, name, value)
        self.pooled(*self._last(1))
        self.flattened(*self._last(1))
        _, value = self._last(1)
        self._add("Mul", value * 1.5, self._constant(np.float32(1.5)), result="y")

    def data(self) -> bytes:
        """The ONNX file."""
        return graph(self.nodes, self.tensors, shape=self.x.shape, opset=13)

    # ---------------------------------------------------------------- operations

    def activation(self, _: str, value: np.ndarray) -> None:
        self._add("Relu", np.maximum(value, 0))

    def scaled(self, _: str, value: np.ndarray) -> None:
        sizes = [size if self._random.random() < 0.4 else 1 for size in value.shape]
        factors = self._normal(*sizes[self._random.integers(value.ndim + 1) :])
        self._add("Mul", value * factors, self._constant(factors))

    def product(self, _: str, value: np.ndarray) -> None:
        other, second = self._choice(self.values)
        op = self._choice(["Add", "Mul"])
        try:
            shape = np.broadcast_shapes(value.shape, second.shape)
        except ValueError:
            return
        if math.prod(shape) < 4000:
            self._add(op, value + second if op == "Add" else value * second, other)

    def pooled(self, _: str, value: np.ndarray) -> None:
        if value.ndim == 4:
            self._add("GlobalAveragePool", value.mean((2, 3), keepdims=True))

    def flattened(self, _: str, value: np.ndarray) -> None:
        if value.ndim:
            self._add("Flatten", value.reshape(len(value), -1), axis=1)

    def grown(self, _: str, value: np.ndarray) -> None:
        axis = int(self._random.integers(value.ndim + 1))
        if value.ndim < 5:
            self._add("Unsqueeze", np.expand_dims(value, axis), self._constant(np.array([axis])))

    def squeezed(self, _: str, value: np.ndarray) -> None:
        ones = [axis for axis, size in enumerate(value.shape) if size == 1]
        if ones:
            axis = self._choice(ones)
            self._add("Squeeze", np.squeeze(value, axis), self._constant(np.array([axis])))

    def transposed(self, _: str, value: np.ndarray) -> None:
        order = [int(axis) for axis in self._random.permutation(value.ndim)]
        if value.ndim == 4 and self._random.random() < 0.5:
            order = list(self._choice(LAYOUTS))
        self._add("Transpose", value.transpose(order), perm=order)

    def reshaped(self, _: str, value: np.ndarray) -> None:
        target = self._choice(TARGETS)
        if value.size % -math.prod(target) == 0:
            self._add("Reshape", value.reshape(target), self._constant(np.array(target)))

    def reduced(self, _: str, value: np.ndarray) -> None:
        if value.ndim:
            axes = self._choice([list(range(2, value.ndim)), [value.ndim - 1], [0], [1]])
            keep = bool(self._random.integers(2))
            if axes and max(axes) < value.ndim:
                found = value.mean(tuple(axes), keepdims=keep)
                self._add("ReduceMean", found, axes=axes, keepdims=int(keep))

    def joined(self, name: str, value: np.ndarray) -> None:
        if value.ndim and value.size < 1000:
            axis = int(self._random.integers(value.ndim))
            self._add("Concat", np.concatenate([value, value], axis), name, axis=axis)

    def gathered(self, _: str, value: np.ndarray) -> None:
        if value.ndim:
            axis = int(self._random.integers(value.ndim))
            places = self._random.integers(value.shape[axis], size=self._choice([1, 2]))
            chosen = self._constant(places.astype(np.int64))
            self._add("Gather", np.take(value, places, axis), chosen, axis=axis)

    def softmax(self, _: str, value: np.ndarray) -> None:
        if value.ndim:
            axis = int(self._random.integers(value.ndim))
            powers = np.exp(value - value.max(axis, keepdims=True))
            self._add("Softmax", powers / powers.sum(axis, keepdims=True), axis=axis)

    def multiplied(self, _: str, value: np.ndarray) -> None:
        if value.ndim > 1:
            matrix = self._normal(value.shape[-1], self._choice([3, 4]))
            self._add("MatMul", value @ matrix, self._constant(matrix))

    def convolved(self, _: str, value: np.ndarray) -> None:
        if value.ndim == 4:
            kernel = self._normal(4, value.shape[1], 1, 1)
            found = np.einsum("nchw,kc->nkhw", value, kernel[:, :, 0, 0])
            self._add("Conv", found, self._constant(kernel))

    # ---------------------------------------------------------------- parts

    def _add(
        self, op: str, found: np.ndarray, *others: str, result: str = "", **attributes
    ) -> None:
        name = result or f"v{len(self.nodes)}"
        self.nodes.append(node(op, [self._source, *others], [name], **attributes))
        self.values.append((name, found))

    def _last(self, count: int = 4) -> tuple[str, np.ndarray]:
        found = self._choice(self.values[-count:])
        self._source = found[0]
        return found

    def _constant(self, values: np.ndarray) -> str:
        name = f"c{len(self.tensors)}"
        self.tensors[name] = values
        return name

    def _normal(self, *shape: int) -> np.ndarray:
        return self._random.normal(size=shape).astype(np.float32)

    def _choice(self, choices):
        return choices[int(self._random.integers(len(choices)))]

    _source = "x"


OPERATIONS: list[Callable[[RandomGraph, str, np.ndarray], None]] = [
    *(RandomGraph.activation, RandomGraph.scaled, RandomGraph.product, RandomGraph.pooled),
    *(RandomGraph.flattened, RandomGraph.grown, RandomGraph.squeezed, RandomGraph.transposed),
    *(RandomGraph.reshaped, RandomGraph.reduced, RandomGraph.joined, RandomGraph.gathered),
    *(RandomGraph.softmax, RandomGraph.multiplied, RandomGraph.convolved),
]


FOUND = (178, 392, 616, 670, 987)
"""Seeds of graphs whose axes were once taken for others."""


def check(seeds: Iterable[int], path: Path) -> int:
    """Load the graphs of these seeds and compare their scores; return how many were loaded."""
    loaded = 0
    for seed in seeds:
        made = RandomGraph(seed)
        made.grow(1 + seed % 6)
        path.write_bytes(made.data())
        try:
            network = gradcam.load(path, head="softmax")
        except WeightsError:
            continue
        expected = made.values[-1][1]
        found = network.forward(made.x).scores
        assert found.size == expected.size, seed
        desired = expected.reshape(found.shape)
        np.testing.assert_allclose(found, desired, rtol=1e-3, atol=1e-4, err_msg=str(seed))
        loaded += 1
    return loaded


def test_random_graphs(tmp_path):
    assert check((*range(30), *FOUND), tmp_path / "x.onnx") >= 8


@pytest.mark.slow
def test_many_random_graphs(tmp_path):
    assert check(range(40, 4000), tmp_path / "x.onnx") > 800
