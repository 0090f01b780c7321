"""Rules of relevance: layer-wise relevance propagation and excitation backpropagation.

A rule of relevance carries R, at first the score itself, down through the layers. A layer with
weights w shares the R of each output j among its inputs i by what they contribute to it::

    R_i = sum over j of c_ij / (sum over i of c_ij) R_j        c_ij = x_i w_ij, for example

What the other layers do is the same under all rules:

========================================  ====================================================
sums, average poolings                    by contribution, c = x
products                                  all to the map, none to the factors of its channels
max poolings                              to the maximum
slices, concatenations, flatten, dropout  R as it is, where the values come from
activations, batch norms that are layers  R as it is
normalisations over channels              R as it is
========================================  ====================================================

A denominator z becomes z + epsilon, or z - epsilon where z < 0; zennit calls epsilon the
stabiliser. A bias takes its share of R unless ``bias`` is False, zennit's ``zero_params="bias"``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

_F32 = NDArray[np.float32]

_LARGEST = float(np.finfo(np.float32).max)

Parameters = dict[str, float | bool | _F32]
"""What the C core takes besides the name of a rule."""

Bounds = tuple[Sequence[float], Sequence[float]]
"""The input values of black and of white, one for each channel."""


@dataclass(frozen=True)
class LayerRule:
    """A rule of relevance for one layer or for all: a row of the C core's table of rules."""

    row: ClassVar[str] = ""

    @property
    def name(self) -> str:
        """The name in the core's table."""
        return self.row

    def __post_init__(self) -> None:
        if not self.name:
            raise TypeError("LayerRule is the kind of all rules: use one of them, such as ZPlus()")
        for each in fields(self):
            value, name = getattr(self, each.name), f"{type(self).__name__}: {each.name}"
            if each.type in ("bool", bool):
                if not isinstance(value, (bool, np.bool_)):
                    raise TypeError(f"{name} must be True or False, got {value!r}")
                object.__setattr__(self, each.name, bool(value))
            elif each.type in ("float", float):
                if isinstance(value, bool) or not isinstance(value, Real):
                    raise TypeError(f"{name} must be a number, got {value!r}")
                if not 0 <= float(value) <= _LARGEST:
                    raise ValueError(
                        f"{name} is 0 or more, and at most the largest float32, got {value!r}"
                    )
                object.__setattr__(self, each.name, float(value))

    def parameters(self, channels: int, bounds: Bounds | None) -> Parameters:
        """Return the parameters at a layer that reads so many channels.

        Parameters
        ----------
        channels : int
        bounds : pair of sequences of float, or None
            Of what the layer reads; None if they are not known, because the network has no preset
            or the layer does not read the input itself.
        """
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def stabiliser(self) -> Parameters:
        """Return the parameters at layers without weights: epsilon, if there is one."""
        epsilon = getattr(self, "epsilon", None)
        return {} if epsilon is None else {"epsilon": epsilon}


@dataclass(frozen=True)
class Epsilon(LayerRule):
    """Contributions x w; with epsilon 0 it is LRP-0 (Bach et al. 2015).

    A large epsilon absorbs relevance where contributions cancel each other.
    """

    row = "epsilon"
    epsilon: float = 1e-6
    bias: bool = True


@dataclass(frozen=True)
class Gamma(LayerRule):
    """Contributions x (w + gamma max(w, 0)), biases likewise (Montavon et al. 2019).

    Where inputs are negative: contributions of the output's sign count 1 + gamma times (Andeol et
    al. 2021), as in zennit.
    """

    row = "gamma"
    gamma: float = 0.25
    epsilon: float = 1e-6
    bias: bool = True


@dataclass(frozen=True)
class AlphaBeta(LayerRule):
    """alpha times the shares of positive contributions minus beta times those of negative ones.

    alpha - beta is 1, so that relevance is conserved (Bach et al. 2015).
    """

    row = "alpha_beta"
    alpha: float = 2.0
    beta: float = 1.0
    epsilon: float = 1e-6
    bias: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if abs(self.alpha - self.beta - 1) > 1e-6:
            raise ValueError(
                f"AlphaBeta: alpha - beta must be 1, got alpha {self.alpha}, beta {self.beta}"
            )


@dataclass(frozen=True)
class ZPlus(LayerRule):
    """Positive contributions alone: alpha 1, beta 0 (Bach et al. 2015; Montavon et al. 2017)."""

    row = "z_plus"
    epsilon: float = 1e-6
    bias: bool = True


@dataclass(frozen=True)
class Flat(LayerRule):
    """Equal shares for all inputs of an output, whatever they are (Lapuschkin et al. 2019)."""

    row = "flat"
    epsilon: float = 1e-6


@dataclass(frozen=True)
class ZBox(LayerRule):
    """z-B, for the first layer: x w - low max(w, 0) - high min(w, 0) (Montavon et al. 2017).

    Attributes
    ----------
    low, high : float, sequence of float, or None
        The bounds of the input, for all channels or for each. None: the values of black and of
        white in the network's input preset, for layers that read the input itself.
    """

    row = "z_box"
    low: float | Sequence[float] | None = None
    high: float | Sequence[float] | None = None
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("low", "high"):
            given = getattr(self, name)
            try:
                values = np.asarray(0 if given is None else given, np.float32)
            except (TypeError, ValueError):
                values = np.asarray(np.nan)
            if isinstance(given, (bool, str)) or not np.isfinite(values).all():
                raise ValueError(
                    f"ZBox: {name} must be a finite number, or one for each channel, got {given!r}"
                )

    def parameters(self, channels: int, bounds: Bounds | None) -> Parameters:
        """Return the parameters at a layer that reads so many channels.

        Raises
        ------
        ValueError
            If there are no bounds, or not one for each channel.
        """
        found: Parameters = {"epsilon": self.epsilon}
        for i, name in enumerate(("low", "high")):
            given = getattr(self, name)
            if given is None and bounds is None:
                raise ValueError(
                    f"ZBox: the network has no input preset, or the layer does not read the input "
                    f"itself; give {name}, the {name}est value of what it reads"
                )
            values = np.asarray(bounds[i] if given is None and bounds else given, np.float32)
            if values.shape not in ((), (channels,)):
                raise ValueError(
                    f"ZBox: {name} has the shape {values.shape}, but the layer reads {channels} "
                    f"channels; ZBox is for the first layer"
                )
            found[name] = np.full(channels, values, np.float32)
        if np.any(np.asarray(found["low"]) > np.asarray(found["high"])):
            raise ValueError(f"ZBox: low must be below high, got {self.low!r}, {self.high!r}")
        return found


@dataclass(frozen=True)
class Excitation(LayerRule):
    """Excitation backpropagation: positive contributions alone, without biases.

    Zhang et al. 2016: the marginal winning probability. It is :class:`ZPlus` with epsilon 0 and
    without biases, and runs on the same kernels.

    Attributes
    ----------
    dual : bool
        Of the unit with the negated weights: negative contributions alone.
    """

    dual: bool = False

    @property
    def name(self) -> str:
        """The name in the core's table."""
        return "excitation_dual" if self.dual else "excitation"

    def parameters(self, channels: int, bounds: Bounds | None) -> Parameters:
        """Return no parameters."""
        return {}


class NamedLayer(Protocol):
    """A layer of a network, as a composite sees it."""

    @property
    def op(self) -> str:
        """The operation."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The layers that it reads."""


WEIGHTED = ("conv", "linear")
"""The operations of layers with weights."""


@dataclass(frozen=True)
class Composite:
    """A rule for each layer.

    Attributes
    ----------
    rule : LayerRule
        Of all layers that nothing below names. Sums and average poolings use its epsilon.
    ops : mapping of str to LayerRule
        By operation: "conv", "linear", ...
    first : LayerRule, optional
        Of the first layers with weights: those that no other one comes before.
    layers : mapping of str to LayerRule
        By the layer's name.
    name : str
        For messages.

    Examples
    --------
    >>> from gradcam.rules import Composite, Epsilon, Flat, Gamma
    >>> composite = Composite(Epsilon(), ops={"conv": Gamma(0.1)}, first=Flat())
    """

    rule: LayerRule = field(default_factory=Epsilon)
    ops: Mapping[str, LayerRule] = field(default_factory=dict)
    first: LayerRule | None = None
    layers: Mapping[str, LayerRule] = field(default_factory=dict)
    name: str = "composite"

    def __post_init__(self) -> None:
        for name in ("ops", "layers"):
            if not isinstance(getattr(self, name), Mapping):
                raise TypeError(
                    f"Composite: {name} must be a dict from names to rules, such as "
                    f"{{'conv': ZPlus()}}, got {getattr(self, name)!r}"
                )
        given = [self.rule, *self.ops.values(), *self.layers.values()]
        for rule in given if self.first is None else [*given, self.first]:
            if not isinstance(rule, LayerRule):
                raise TypeError(f"Composite: expected rules such as ZPlus(), got {rule!r}")

    def rules(
        self, layers: Mapping[str, NamedLayer], names: Callable[[str], tuple[str, ...]]
    ) -> dict[str, LayerRule]:
        """Return the rule of each layer of a network.

        Parameters
        ----------
        layers : mapping of str to layer
            In the order in which they run, the input first.
        names : callable
            All names of the layer of a name, the first as in `layers`.

        Raises
        ------
        ValueError
            If there is no layer of a name, or two names are those of one layer.
        """
        own: dict[str, LayerRule] = {}
        for name, rule in self.layers.items():
            first = names(name)[0]
            if first in own:
                raise ValueError(f"Composite: {name!r} is another name of a layer that has a rule")
            own[first] = rule
        found: dict[str, LayerRule] = {}
        below: set[str] = set()
        for name, layer in layers.items():
            is_weighted = layer.op in WEIGHTED
            is_first = is_weighted and not below & set(layer.inputs)
            if is_weighted or below & set(layer.inputs):
                below.add(name)
            usual = self.ops.get(layer.op, self.rule)
            if self.first is not None and is_first:
                usual = self.first
            found[name] = own.get(name, usual)
        return found


class EpsilonPlus(Composite):
    """z-plus at convolutions, epsilon at linear layers, as zennit's EpsilonPlus."""

    def __init__(self, epsilon: float = 1e-6, *, bias: bool = True) -> None:
        ops = {"conv": ZPlus(bias=bias), "linear": Epsilon(epsilon, bias)}
        super().__init__(Epsilon(bias=bias), ops, name="epsilon_plus")


class EpsilonPlusFlat(Composite):
    """As :class:`EpsilonPlus`, with the flat rule at the first layer."""

    def __init__(self, epsilon: float = 1e-6, *, bias: bool = True) -> None:
        ops = EpsilonPlus(epsilon, bias=bias).ops
        super().__init__(Epsilon(bias=bias), ops, Flat(), name="epsilon_plus_flat")


class EpsilonAlpha2Beta1(Composite):
    """alpha 2, beta 1 at convolutions, epsilon at linear layers, as zennit's class."""

    def __init__(self, epsilon: float = 1e-6, *, bias: bool = True) -> None:
        ops = {"conv": AlphaBeta(2, 1, bias=bias), "linear": Epsilon(epsilon, bias)}
        super().__init__(Epsilon(bias=bias), ops, name="epsilon_alpha2_beta1")


class EpsilonAlpha2Beta1Flat(Composite):
    """As :class:`EpsilonAlpha2Beta1`, with the flat rule at the first layer."""

    def __init__(self, epsilon: float = 1e-6, *, bias: bool = True) -> None:
        ops = EpsilonAlpha2Beta1(epsilon, bias=bias).ops
        super().__init__(Epsilon(bias=bias), ops, Flat(), name="epsilon_alpha2_beta1_flat")


class EpsilonGammaBox(Composite):
    """gamma at convolutions, epsilon at linear layers, z-B at the first, as zennit's class."""

    def __init__(
        self,
        low: float | Sequence[float] | None = None,
        high: float | Sequence[float] | None = None,
        *,
        gamma: float = 0.25,
        epsilon: float = 1e-6,
        bias: bool = True,
    ) -> None:
        ops = {"conv": Gamma(gamma, bias=bias), "linear": Epsilon(epsilon, bias)}
        super().__init__(Epsilon(bias=bias), ops, ZBox(low, high), name="epsilon_gamma_box")


RELEVANCE: dict[str, LayerRule | Composite] = {
    "epsilon_plus": EpsilonPlus(),
    "epsilon_plus_flat": EpsilonPlusFlat(),
    "epsilon_alpha2_beta1": EpsilonAlpha2Beta1(),
    "epsilon_alpha2_beta1_flat": EpsilonAlpha2Beta1Flat(),
    "epsilon_gamma_box": EpsilonGammaBox(),
    "lrp_0": Epsilon(0.0),
    "epsilon": Epsilon(),
    "gamma": Gamma(),
    "alpha1_beta0": AlphaBeta(1, 0),
    "alpha2_beta1": AlphaBeta(),
    "z_plus": ZPlus(),
    "flat": Flat(),
    "excitation": Excitation(),
}
"""The rules of relevance that can be given by their names."""
