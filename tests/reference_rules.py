"""A float64 twin of the rules of relevance, in plain NumPy, beside `reference.py`.

R is the relevance of a layer's output, x its input, z a denominator; a rule is its name and its
parameters. Each rule is written as its authors do, with all contributions of one sign in one sum;
the core sums groups of terms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import reference
from reference import Array, double

Rule = tuple[str, Mapping[str, Any]]

USUAL = {
    "epsilon": {"epsilon": 1e-6, "bias": True},
    "gamma": {"epsilon": 1e-6, "bias": True, "gamma": 0.25},
    "alpha_beta": {"epsilon": 1e-6, "bias": True, "alpha": 2.0, "beta": 1.0},
    "z_plus": {"epsilon": 1e-6, "bias": True},
    "flat": {"epsilon": 1e-6},
    "z_box": {"epsilon": 1e-6},
    "excitation": {},
    "excitation_dual": {},
}
PASSING = (
    reference.Relu,
    reference.Leaky,
    reference.Activation,
    reference.Affine,
    reference.LocalResponseNorm,
    reference.LayerNorm,
)
SHARING = (reference.Add, reference.AveragePool, reference.AdaptiveAveragePool)


def divided(relevance: Array, z: Array, epsilon: float) -> Array:
    z = z + np.where(z < 0, -epsilon, epsilon)
    return np.divide(relevance, z, out=np.zeros_like(relevance), where=z != 0)


def positive(values: Array) -> Array:
    return np.maximum(values, 0)


def negative(values: Array) -> Array:
    return np.minimum(values, 0)


class Weighted:
    """A convolution or linear layer with its input: W x + b, and the gradient of its input."""

    def __init__(self, node: Any, x: Array, bias: bool):
        self.node, self.x, self.w = node, x, node.weight
        zeros = np.zeros(len(node.weight))
        self.b = zeros if node.bias is None or not bias else node.bias

    def z(self, w: Array, x: Array, b: Array | float = 0.0) -> Array:
        bias = np.broadcast_to(b, (len(w),))
        return replace(self.node, weight=w, bias=bias).forward([x], None)[0]

    def back(self, w: Array, s: Array) -> Array:
        state = replace(self.node, weight=w).forward([self.x], None)[1]
        return replace(self.node, weight=w).backward(s, state, "gradient")[0]


def epsilon_rule(of: Weighted, r: Array, *, epsilon: float) -> Array:
    return of.x * of.back(of.w, divided(r, of.z(of.w, of.x, of.b), epsilon))


def of_one_sign(of: Weighted, r: Array, sign: int, epsilon: float) -> Array:
    """R shared among all contributions w x of this sign."""
    same, other = (positive, negative) if sign > 0 else (negative, positive)
    z = of.z(same(of.w), positive(of.x), same(of.b)) + of.z(other(of.w), negative(of.x))
    s = divided(r, z, epsilon)
    return positive(of.x) * of.back(same(of.w), s) + negative(of.x) * of.back(other(of.w), s)


def alpha_beta(of: Weighted, r: Array, *, epsilon: float, alpha: float, beta: float) -> Array:
    return alpha * of_one_sign(of, r, 1, epsilon) - beta * of_one_sign(of, r, -1, epsilon)


def z_plus(of: Weighted, r: Array, *, epsilon: float = 0.0) -> Array:
    return of_one_sign(of, r, 1, epsilon)


def z_minus(of: Weighted, r: Array, *, epsilon: float = 0.0) -> Array:
    return of_one_sign(of, r, -1, epsilon)


def gamma_rule(of: Weighted, r: Array, *, epsilon: float, gamma: float) -> Array:
    """Andeol et al. 2021: contributions of the output's sign count 1 + gamma times."""
    plain = of.z(of.w, of.x, 0.0 if of.node.bias is None else of.node.bias)
    total = np.zeros_like(of.x)
    for sign, same, other in ((1, positive, negative), (-1, negative, positive)):
        w, v = of.w + gamma * same(of.w), of.w + gamma * other(of.w)
        z = of.z(w, positive(of.x), of.b + gamma * same(of.b)) + of.z(v, negative(of.x))
        s = divided(np.where(plain * sign > 0, r, 0.0), z, epsilon)
        total += positive(of.x) * of.back(w, s) + negative(of.x) * of.back(v, s)
    return total


def flat(of: Weighted, r: Array, *, epsilon: float) -> Array:
    ones = np.ones_like(of.w)
    return of.back(ones, divided(r, of.z(ones, np.ones_like(of.x)), epsilon))


def z_box(of: Weighted, r: Array, *, epsilon: float, low: Any, high: Any) -> Array:
    shape = (-1,) + (1,) * (of.x.ndim - 2)
    low, high = (np.broadcast_to(double(v).reshape(shape), of.x.shape) for v in (low, high))
    up, down = positive(of.w), negative(of.w)
    s = divided(r, of.z(of.w, of.x) - of.z(up, low) - of.z(down, high), epsilon)
    return of.x * of.back(of.w, s) - low * of.back(up, s) - high * of.back(down, s)


RULES: dict[str, Callable[..., Array]] = {
    "epsilon": epsilon_rule,
    "gamma": gamma_rule,
    "alpha_beta": alpha_beta,
    "z_plus": z_plus,
    "flat": flat,
    "z_box": z_box,
    "excitation": z_plus,
    "excitation_dual": z_minus,
}


def shared(node: Any, inputs: list[Array], state: Any, r: Array, epsilon: float) -> list[Array]:
    """R in proportion to what each value contributes to a sum or an average."""
    s = divided(r, node.forward(inputs, None)[0], epsilon)
    parts = node.backward(s, state, "gradient")
    return [x * part for x, part in zip(inputs, parts, strict=True)]


def selected(inputs: list[Array], r: Array, gates: Sequence[bool]) -> list[Array]:
    """All of R to the map of a product; half to each of two maps."""
    one, other = (x.size // (x.shape[0] * x.shape[1]) for x in inputs)
    if one != other:
        chosen = [one > other, other > one]
    elif gates[0] != gates[1]:
        chosen = [not gates[0], not gates[1]]
    else:
        return [(r / 2).reshape(x.shape) for x in inputs]
    return [
        r.reshape(x.shape) if is_map else np.zeros_like(x)
        for x, is_map in zip(inputs, chosen, strict=True)
    ]


def is_gate(node: Any) -> bool:
    """Whether a layer is a sigmoid or a hard sigmoid."""
    if not isinstance(node, reference.Activation):
        return False
    ends = node.function(np.array([-40.0, 0.0, 40.0]), np.array([-40.0, 0.0, 40.0]))[0]
    return bool(np.allclose(ends, [0, 0.5, 1], atol=1e-12))


def step(record: reference.Record, number: int, r: Array, rule: Rule) -> list[Array]:
    """From R of a layer's output to that of its inputs, under one rule."""
    name, given = rule
    node, numbers = record.network.nodes[number]
    inputs, state = [record.outputs[i] for i in numbers], record.states[number]
    if name not in RULES:
        return node.backward(r, state, name)
    parameters = {**USUAL[name], **given}
    if isinstance(node, PASSING):
        return [r]
    if isinstance(node, SHARING):
        return shared(node, inputs, state, r, parameters.get("epsilon", 0.0))
    if isinstance(node, reference.Multiply):
        return selected(inputs, r, [is_gate(record.network.nodes[i][0]) for i in numbers])
    if isinstance(node, (reference.Conv, reference.Linear)):
        bias = parameters.pop("bias", False)
        return [RULES[name](Weighted(node, inputs[0], bias), r, **parameters)]
    return node.backward(r, state, "gradient")


def relevance(
    record: reference.Record,
    layer: int,
    seeds: Any,
    wanted: Sequence[int],
    rules: Rule | Sequence[Rule],
) -> list[Array]:
    """R of the layers wanted for each seed: (S, N, ...) each; rules: one, or one for each layer."""
    each = [rules] * len(record.network) if isinstance(rules, tuple) else list(rules)
    found: list[list[Array]] = [[] for _ in wanted]
    for seed in double(seeds):
        arrived = {layer: seed}
        for number in range(layer, min(wanted, default=layer), -1):
            if number in arrived:
                parts = step(record, number, arrived[number], each[number])
                for source, part in zip(record.network.nodes[number][1], parts, strict=True):
                    arrived[source] = arrived.get(source, 0.0) + part
        for of_layer, number in zip(found, wanted, strict=True):
            of_layer.append(arrived.get(number, np.zeros_like(record.outputs[number])))
    return [np.stack(each) for each in found]
