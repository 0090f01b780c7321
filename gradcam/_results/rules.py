"""Backward rules: what each kind of layer passes back.

The plain backward pass multiplies by each layer's derivative. A rule replaces that at some kinds
of layers: guided backpropagation at the ReLUs, excitation backpropagation at the convolutions. The
three rules of ReLUs in this file and those of `relevance.py` run in the C core; every other rule is
a :class:`Rule` with steps that are written in Python, over the forward function and the
vector-Jacobian product of single layers, through any network.

R is the gradient (or relevance) that arrives at a layer's output, x the layer's input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcam._results.relevance import RELEVANCE, Composite, LayerRule

_F32 = NDArray[np.float32]

CoreRule = Literal["gradient", "guided", "deconvnet"]
"""The rules of the C core."""


class SingleLayer(Protocol):
    """One layer of a forward pass, as a rule sees it."""

    @property
    def name(self) -> str:
        """The layer's name."""

    @property
    def op(self) -> str:
        """The operation, as in :class:`gradcam.Layer`: "conv", "linear", "relu", ..."""

    @property
    def attributes(self) -> Mapping[str, int | float | bool | str | Sequence[int]]:
        """The layer's stride, padding and the like, as in :class:`gradcam.Layer`."""

    @property
    def weights(self) -> Mapping[str, _F32]:
        """The weights that the layer runs with; folded batch normalisations are part of them."""

    @property
    def inputs(self) -> Sequence[_F32]:
        """The layer's inputs in the forward pass, each (N, ...); read-only."""

    @property
    def output(self) -> _F32:
        """The layer's output in the forward pass, (N, ...); read-only."""

    def forward(
        self,
        *,
        inputs: Sequence[ArrayLike] | None = None,
        weights: Mapping[str, ArrayLike] | None = None,
    ) -> _F32:
        """Return the layer's output for other inputs or other weights."""

    def vjp(
        self,
        dy: ArrayLike,
        *,
        inputs: Sequence[ArrayLike] | None = None,
        weights: Mapping[str, ArrayLike] | None = None,
    ) -> list[_F32]:
        """Return the vector-Jacobian product for each input: (S, N, ...) for dy (S, N, ...)."""


Step = Callable[[SingleLayer, _F32], Sequence[ArrayLike]]
"""What a rule does at a layer: from R at its output, (S, N, ...), to R at each of its inputs."""


@dataclass(frozen=True)
class Rule:
    """A backward rule.

    Attributes
    ----------
    name : str
    steps : mapping of str to callable
        By operation ("conv", "linear", "relu", "max_pool", ...): what is passed back there, see
        :data:`Step`. Operations that are not listed pass back the vector-Jacobian product.
    core : str or None
        The rule of the C core that computes the same, which then runs in its place.

    Examples
    --------
    Excitation backpropagation (Zhang et al. 2016; in the core it is
    :class:`gradcam.rules.Excitation`): only positive weights, and each unit's relevance is shared
    among its inputs in proportion to input times weight.

    >>> import numpy as np
    >>> def excite(layer, relevance):
    ...     weights = {"weight": np.maximum(layer.weights["weight"], 0)}
    ...     total = layer.forward(weights=weights)
    ...     share = np.divide(relevance, total, out=np.zeros_like(relevance), where=total > 0)
    ...     return [layer.inputs[0] * layer.vjp(share, weights=weights)[0]]
    >>> def keep(layer, relevance):
    ...     return [relevance]
    >>> excitation = Rule("excitation", {"conv": excite, "linear": excite, "relu": keep})
    """

    name: str
    steps: Mapping[str, Step] = field(default_factory=dict)
    core: CoreRule | None = None


RECTIFIERS = ("relu", "relu6", "leaky_relu", "prelu")
"""The operations for which the guided and the deconvnet rule are defined."""


def _rectified(layer: SingleLayer, values: _F32) -> _F32:
    """Return s(v): 1 where a value is positive, else the rectifier's slope, 0 for a ReLU."""
    slope: _F32 | float = 0.0
    if layer.op == "leaky_relu":
        slope = float(cast(float, layer.attributes.get("slope", 0.01)))
    elif layer.op == "prelu":
        slope = layer.weights["weight"].reshape(-1, *[1] * (layer.inputs[0].ndim - 2))
    return np.where(values > 0, np.float32(1), np.asarray(slope, np.float32))


def _guided(layer: SingleLayer, gradient: _F32) -> list[_F32]:
    (x,) = layer.inputs
    derivative = _rectified(layer, x)
    if layer.op == "relu6":
        derivative = derivative * (x < 6)
    return [gradient * derivative * _rectified(layer, gradient)]


def _deconvnet(layer: SingleLayer, gradient: _F32) -> list[_F32]:
    return [gradient * _rectified(layer, gradient)]


GRADIENT = Rule("gradient", {}, "gradient")
"""The derivative of every layer."""

GUIDED = Rule("guided", dict.fromkeys(RECTIFIERS, _guided), "guided")
"""ReLUs pass back R * (R > 0) * (x > 0) (Springenberg et al. 2014); ReLU6 also * (x < 6).

Leaky ReLUs and PReLUs multiply by their slope where a ReLU multiplies by 0. All other layers pass
back their derivative.
"""

DECONVNET = Rule("deconvnet", dict.fromkeys(RECTIFIERS, _deconvnet), "deconvnet")
"""ReLUs pass back R * (R > 0) (Zeiler and Fergus 2014); the rest as under :data:`GUIDED`."""

RULES: dict[str, Rule] = {rule.name: rule for rule in (GRADIENT, GUIDED, DECONVNET)}
"""The rules that can be given by their names."""

RuleLike = str | Rule | LayerRule | Composite
"""A rule, or the name of one in :data:`RULES` or :data:`RELEVANCE`."""


def find_rule(rule: RuleLike) -> Rule | LayerRule | Composite:
    """Return the rule of that name; a rule is returned as it is.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    if isinstance(rule, (Rule, LayerRule, Composite)):
        return rule
    if isinstance(rule, str) and rule in RULES:
        return RULES[rule]
    if isinstance(rule, str) and rule in RELEVANCE:
        return RELEVANCE[rule]
    raise ValueError(
        f"rule: expected one of {', '.join([*RULES, *RELEVANCE])}, or a rule such as "
        f"gradcam.rules.ZPlus(), got {rule!r}"
    )
