"""Layer normalisation as several nodes, as exporters before opset 17 and TensorFlow write it.

PyTorch: ``d = x - mean(x)``, ``d / sqrt(mean(d * d) + eps)``. TensorFlow: ``x * k + (beta - mean *
k)`` with ``k = gamma / sqrt(variance + eps)``, or ``-mean * k`` and then perhaps beta.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcam._importers.onnx.operation import Group
from gradcam._weights.graph import Node

OPERATION = "gradcam.LayerNormalization"
"""The node that stands for the group. Inputs: x, and perhaps gamma and beta; attributes: epsilon
and the axes of the mean."""


@dataclass(frozen=True)
class Norms:
    """Where layer normalisations are looked for.

    Attributes
    ----------
    makers : mapping of str to Node
        The node that computes each value.
    constants : mapping of str to array
    """

    makers: Mapping[str, Node]
    constants: Mapping[str, NDArray[np.generic]]

    def normalisation(self, root: Node) -> Node | None:
        """Return one node that means the same as `root` and those before it; None if none does."""
        if len(root.inputs) != 2:
            return None
        if root.op == "Div":
            deviation = self._maker(root.inputs[1], "Sqrt")
            if deviation is not None:
                return self._divided(root, root.inputs[0], deviation.inputs[0])
        if root.op == "Mul":
            for difference, factor in (root.inputs, root.inputs[::-1]):
                inner = self._reciprocal(factor)
                if inner is not None:
                    return self._divided(root, difference, inner)
        if root.op == "Add":
            return self._scaled(root)
        return None

    def _maker(self, name: str, *ops: str) -> Node | None:
        """Return the node that computes a value, if it has one of these operations."""
        node = self.makers.get(name)
        return node if node is not None and node.op in ops and node.inputs else None

    def _reciprocal(self, name: str) -> str | None:
        """Return v of ``1 / sqrt(v)``."""
        node = self._maker(name, "Reciprocal")
        root = self._maker(node.inputs[0], "Sqrt") if node else None
        return root.inputs[0] if root else None

    def _number(self, name: str) -> float | None:
        found = self.constants.get(name)
        return float(found.reshape(-1)[0]) if found is not None and found.size == 1 else None

    def _sum_with_number(self, name: str) -> tuple[str, float] | None:
        """Return the value and the constant number whose sum this is."""
        node = self._maker(name, "Add")
        if node is None or len(node.inputs) != 2:
            return None
        for value, constant in (node.inputs, node.inputs[::-1]):
            number = self._number(constant)
            if number is not None:
                return value, number
        return None

    def _variance(self, name: str) -> tuple[str, str, Node, float] | None:
        """Return x, its mean, the node of the mean, and eps, of ``mean((x - mean(x))^2) + eps``."""
        total = self._sum_with_number(name)
        mean = self._maker(total[0], "ReduceMean") if total else None
        if total is None or mean is None:
            return None
        square = self._maker(mean.inputs[0], "Pow", "Mul")
        if square is None or len(square.inputs) != 2:
            return None
        first, second = square.inputs
        if square.op == "Pow" and self._number(second) != 2:
            return None
        if square.op == "Mul" and first != second:
            return None
        difference = self._maker(first, "Sub")
        if difference is None or len(difference.inputs) != 2:
            return None
        x, centre = difference.inputs
        other = self._mean(centre)
        if other is None or other.inputs[0] != x or not self._same_axes(other, mean):
            return None
        return x, centre, mean, total[1]

    def _same_axes(self, first: Node, second: Node) -> bool:
        """Whether two means are over the same axes, and both keep them."""
        axes = [
            self.constants[node.inputs[1]].reshape(-1).tolist()
            if len(node.inputs) > 1 and node.inputs[1] in self.constants
            else list(found)
            if isinstance(found := node.attributes.get("axes"), tuple)
            else None
            for node in (first, second)
        ]
        keeps = all(node.attributes.get("keepdims", 1) == 1 for node in (first, second))
        return keeps and axes[0] is not None and axes[0] == axes[1]

    def _divided(self, root: Node, difference: str, inner: str) -> Node | None:
        found = self._variance(inner)
        node = self._maker(difference, "Sub")
        if found is None or node is None:
            return None
        x, centre, mean, eps = found
        if node.inputs[0] != x or not self._is_mean(node.inputs[1], centre, x, mean):
            return None
        return self._node(root, (x,), mean, eps)

    def _is_mean(self, name: str, centre: str, x: str, mean: Node) -> bool:
        """Whether a value is the mean of x over the same axes as `mean`."""
        if name == centre:
            return True
        node = self._mean(name)
        return node is not None and node.inputs[0] == x and self._same_axes(node, mean)

    def _mean(self, name: str) -> Node | None:
        """Return the node of a mean, which keeps its axes, also if it is reshaped after that."""
        node = self._maker(name, "Reshape")
        return self._maker(node.inputs[0] if node else name, "ReduceMean")

    def _scaled(self, root: Node) -> Node | None:
        """TensorFlow's form, with gamma and beta."""
        for product_name, rest_name in (root.inputs, root.inputs[::-1]):
            product, shift = self._maker(product_name, "Mul"), self._shift(rest_name)
            if product is None or shift is None:
                continue
            beta, centre, factors = shift
            for x, factor in (product.inputs, product.inputs[::-1]):
                found = self._factor(factor)
                variance = self._variance(found[1]) if found and factor in factors else None
                if found is None or variance is None or variance[0] != x:
                    continue
                _, mean_name, mean, eps = variance
                if self._is_mean(centre, mean_name, x, mean):
                    return self._node(root, (x, found[0], beta), mean, eps)
        return None

    def _shift(self, name: str) -> tuple[str, str, tuple[str, ...]] | None:
        """Return beta, the mean, and what it is multiplied by, of ``beta - mean * k``.

        Also of ``-mean * k`` and of ``-mean * k + beta``.
        """
        node = self._maker(name, "Sub", "Add", "Mul")
        if node is None or len(node.inputs) != 2:
            return None
        beta, negative = "", name
        if node.op != "Mul":
            constants = [each for each in node.inputs if each in self.constants]
            others = [each for each in node.inputs if each not in self.constants]
            if len(constants) != 1 or (node.op == "Sub" and constants[0] != node.inputs[0]):
                return None
            beta, negative = constants[0], others[0]
        product = self._maker(negative, "Mul")
        if product is None or len(product.inputs) != 2:
            return None
        for centre, factor in (product.inputs, product.inputs[::-1]):
            inverse = self._maker(centre, "Neg")
            if node.op == "Sub" and self._mean(centre):
                return beta, centre, (factor,)
            if node.op != "Sub" and inverse is not None and self._mean(inverse.inputs[0]):
                return beta, inverse.inputs[0], (factor,)
        return None

    def _factor(self, name: str) -> tuple[str, str] | None:
        """Return gamma, or an empty name, and v of ``gamma / sqrt(v)``."""
        inner = self._reciprocal(name)
        if inner is not None:
            return "", inner
        node = self._maker(name, "Mul")
        if node is None or len(node.inputs) != 2:
            return None
        for gamma, factor in (node.inputs, node.inputs[::-1]):
            inner = self._reciprocal(factor)
            if inner is not None and gamma in self.constants:
                return gamma, inner
        return None

    def _node(self, root: Node, inputs: tuple[str, ...], mean: Node, eps: float) -> Node:
        axes = mean.attributes.get("axes")
        if len(mean.inputs) > 1 and mean.inputs[1] in self.constants:
            axes = tuple(int(each) for each in self.constants[mean.inputs[1]].reshape(-1))
        attributes = {"epsilon": eps, "axes": axes}
        return Group(OPERATION, root.name, inputs, root.outputs, attributes, root.scope, root.op)
