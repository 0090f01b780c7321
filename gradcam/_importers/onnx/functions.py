"""Functions of one variable that a graph has as several nodes, recognised by their values.

Exporters write gelu, for example, as ``0.5 * x * (1 + erf(x / sqrt(2)))``, in many forms. Here a
group of nodes that computes a function of one value is evaluated at several points, in float64, and
compared with the activations that are known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcam._importers.onnx.operation import Group
from gradcam._weights.graph import Attribute, Node

_F64 = NDArray[np.float64]

_POINTS = np.concatenate([np.linspace(-9, 9, 37), np.linspace(-2.95, 3.05, 13)])
_TOLERANCE = 1e-5
"""Constants in a file are rounded to float32; two different activations differ by 3e-4 at least."""

_MAX_NODES = 12
"""Of a group: gelu by tanh has 8."""


def _erf(x: _F64) -> _F64:
    return np.array([math.erf(each) for each in x])


def _sigmoid(x: _F64) -> _F64:
    return 1 / (1 + np.exp(-x))


def _softplus(x: _F64) -> _F64:
    return np.logaddexp(0, x)


_Function = Callable[..., _F64]

_ONE: dict[str, _Function] = {
    "Erf": _erf,
    "Exp": np.exp,
    "Identity": lambda x: x,
    "Neg": np.negative,
    "Reciprocal": lambda x: 1 / x,
    "Relu": lambda x: np.maximum(x, 0),
    "Sigmoid": _sigmoid,
    "Softplus": _softplus,
    "Sqrt": np.sqrt,
    "Tanh": np.tanh,
}
_TWO: dict[str, _Function] = {
    "Add": np.add,
    "Div": np.divide,
    "Max": np.maximum,
    "Min": np.minimum,
    "Mul": np.multiply,
    "Pow": np.power,
    "Sub": np.subtract,
}
_ROOTS = ("Mul", "Div")
"""The last operation of a group."""

_SIGNS = {"Clip", "Erf", "Exp", "HardSigmoid", "Min", "Pow", "Relu", "Softplus", "Tanh"}
"""A group has one of these: sums and products alone are not an activation."""

_KNOWN: dict[tuple[str, tuple[tuple[str, Attribute], ...]], _F64] = {
    ("Gelu", ()): _POINTS * (1 + _erf(_POINTS / math.sqrt(2))) / 2,
    ("Gelu", (("approximate", "tanh"),)): _POINTS
    * (1 + np.tanh(math.sqrt(2 / math.pi) * (_POINTS + 0.044715 * _POINTS**3)))
    / 2,
    ("HardSigmoid", (("alpha", 1 / 6), ("beta", 0.5))): np.clip(_POINTS / 6 + 0.5, 0, 1),
    ("HardSwish", ()): _POINTS * np.clip(_POINTS / 6 + 0.5, 0, 1),
    ("Sigmoid", ()): _sigmoid(_POINTS),
    ("Swish", ()): _POINTS * _sigmoid(_POINTS),
    ("Tanh", ()): np.tanh(_POINTS),
}
"""The values of activations at the points, by the operation of ONNX and its attributes."""


_MAX_TRIALS = 5_000
"""Functions that are evaluated for one graph; a network has a few hundred."""


@dataclass
class Functions:
    """Where functions of one variable are looked for.

    Attributes
    ----------
    makers : mapping of str to Node
        The node that computes each value.
    constants : mapping of str to array
    trials : int
        How many functions may still be evaluated.
    """

    makers: Mapping[str, Node]
    constants: Mapping[str, NDArray[np.generic]]
    trials: int = _MAX_TRIALS

    def activation(self, root: Node) -> Node | None:
        """Return one node that means the same as `root` and those before it; None if none does."""
        if root.op not in _ROOTS:
            return None
        cone = self._cone(root)
        if not any(node.op in _SIGNS for node in cone):
            return None
        sources = dict.fromkeys(name for node in cone for name in node.inputs if name)
        for source in reversed(sources):
            if source in self.constants or self.trials <= 0:
                continue
            self.trials -= 1
            values = self._values(root, source, cone)
            if values is None:
                continue
            for (op, attributes), known in _KNOWN.items():
                if np.abs(values - known).max() < _TOLERANCE:
                    given, outputs = dict(attributes), root.outputs
                    return Group(op, root.name, (source,), outputs, given, root.scope, root.op)
        return None

    def _number(self, name: str) -> float | None:
        """Return a constant of one number."""
        found = self.constants.get(name)
        if found is None or found.size != 1 or found.dtype.kind not in "fiu":
            return None
        return float(found.reshape(-1)[0])

    def _cone(self, root: Node) -> dict[Node, None]:
        """Return the node and those before it that compute each value by itself."""
        found, waiting = {root: None}, [root]
        while waiting and len(found) < _MAX_NODES:
            for name in waiting.pop(0).inputs:
                node = self.makers.get(name)
                if node is not None and node not in found and _is_elementwise(node):
                    found[node] = None
                    waiting.append(node)
        return found

    def _values(self, root: Node, source: str, cone: Mapping[Node, None]) -> _F64 | None:
        """Return a function's values at the points; None if it depends on more than `source`."""
        known: dict[str, _F64] = {source: _POINTS}
        waiting = [root]
        while waiting:
            node = waiting[-1]
            if node.outputs[0] in known:
                waiting.pop()
                continue
            missing = []
            for name in node.inputs:
                if not name or name in known:
                    continue
                number = self._number(name)
                if number is not None:
                    known[name] = np.full_like(_POINTS, number)
                elif name in self.makers and self.makers[name] in cone:
                    missing.append(self.makers[name])
                else:
                    return None
            if len(waiting) > len(cone):  # a cycle
                return None
            if missing:
                waiting.extend(missing[:1])
                continue
            known[node.outputs[0]] = _computed(node, [known.get(name) for name in node.inputs])
        return known[root.outputs[0]]


def _is_elementwise(node: Node) -> bool:
    known = node.op in _ONE or node.op in _TWO or node.op in ("Clip", "HardSigmoid")
    return len(node.outputs) == 1 and known


def _computed(node: Node, inputs: list[_F64 | None]) -> _F64:
    """Return a node's values; NaN if it is not valid."""
    given = [each for each in inputs if each is not None]
    nothing = np.full_like(_POINTS, math.nan)
    if node.op == "Clip":
        return _clipped(node, [*inputs, None, None]) if inputs else nothing
    if len(given) != len(inputs) or len(given) != (2 if node.op in _TWO else 1):
        return nothing
    if node.op == "HardSigmoid":
        alpha, beta = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)
        if not isinstance(alpha, float) or not isinstance(beta, float):
            return nothing
        return np.clip(alpha * given[0] + beta, 0, 1)
    function = _ONE.get(node.op) or _TWO[node.op]
    with np.errstate(all="ignore"):
        return np.asarray(function(*given), np.float64)


def _clipped(node: Node, inputs: list[_F64 | None]) -> _F64:
    """Return the values of Clip, whose bounds are inputs or attributes."""
    result = np.full_like(_POINTS, math.nan) if inputs[0] is None else inputs[0]
    for bound, name, limit in (
        (inputs[1], "min", np.maximum),
        (inputs[2], "max", np.minimum),
    ):
        value = node.attributes.get(name) if bound is None else bound
        if isinstance(value, (float, np.ndarray)):
            result = np.asarray(limit(result, value), np.float64)
    return result
