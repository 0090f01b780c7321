"""Relevance: layer-wise relevance propagation and excitation backpropagation.

- LRP (Bach et al., 2015): the score itself is shared among the pixels, layer by layer, by a rule
  for each kind of layer (`gradcam.rules`). Without biases the relevances sum to the score.
- Excitation backpropagation (Zhang et al., 2016): the probability that a unit of a layer wins when
  each unit passes its own on to its inputs, in proportion to input times positive weight.
- Its contrastive form, c-MWP: less what the dual unit passes on, that with the negated weights of
  the classifier. What speaks for every class alike is cancelled.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.forward_pass import ForwardPass
from gradcam._engine.layers import INPUT, WEIGHTED
from gradcam._engine.rule_pass import between
from gradcam._methods.maps import check_feeds
from gradcam._registry import method
from gradcam._results import notes
from gradcam._results.objectives import Objectives, add_up
from gradcam._results.relevance import RELEVANCE, Composite, Excitation, LayerRule

_F32 = NDArray[np.float32]


@method(title="LRP", source="Bach et al. 2015", view="contribution")
def lrp(
    tape: ForwardPass,
    objective: Objectives,
    *,
    rule: str | LayerRule | Composite = "epsilon_plus",
) -> _F32:
    """How much each pixel contributes to the score: layer-wise relevance propagation.

    Raw values: the relevance, (C, h, w). Its sum is the score, less what biases and stabilisers
    absorb, and what arrives at units to which no input contributes under the rule, for example at
    those of depthwise convolutions that are positive by their bias alone. A loss is noted. The
    relevance starts as gradient times output of the layer that the objective reads: the score
    itself for a class. For a function that is not linear, a difference from its value is noted.

    Parameters
    ----------
    rule : str, LayerRule or Composite
        "epsilon_plus" (z-plus at convolutions, epsilon at linear layers), "epsilon_plus_flat",
        "epsilon_alpha2_beta1", "epsilon_alpha2_beta1_flat", "epsilon_gamma_box", "lrp_0",
        "epsilon", "gamma", "alpha1_beta0", "alpha2_beta1", "z_plus", "flat" or "excitation"; or
        an object of :mod:`gradcam.rules`, such as ``Gamma(0.1)`` or
        ``EpsilonPlus(0.25, bias=False)``.

    Raises
    ------
    ValueError
        If the rule is unknown, a probability is explained (relevance starts at the score), or the
        relevance becomes too large for float32.

    Notes
    -----
    Rules and composites are those of zennit, and agree with it. A batch normalisation is part of
    the convolution before it, as after zennit's canonizers. zennit gives no relevance through
    layers that it has no rule for; here products pass all to the map, none to its factors, and
    normalisations over channels pass it on unchanged.
    """
    chosen = _relevance_rule(rule)
    parts, given = [], np.zeros((objective.count, len(tape)))
    rounding = np.zeros_like(given)
    for start, seeds in objective.seeds(tape).items():
        relevance = seeds * tape.activation(start)
        flat = relevance.reshape(*given.shape, -1)
        given += flat.sum(2, dtype=np.float64)
        rounding += 1e-5 * np.abs(flat).sum(2, dtype=np.float64)
        parts.append(tape.backward(start, relevance, [INPUT], chosen)[0])
    found = add_up(parts)
    sums = found.sum((2, 3, 4), dtype=np.float64)
    _check_finite(sums)
    values = objective.values(tape).astype(np.float64)
    asked = ~np.isnan(values)  # where a picture has as many objectives
    is_other = _note_start(given[asked], values[asked], rounding[asked])
    _note_loss(sums[asked], given[asked], "its sum at the start" if is_other else "the score")
    return found


@method(title="Excitation backprop", source="Zhang et al. 2016", view="map")
def excitation_backprop(tape: ForwardPass, objective: Objectives, *, layer: str) -> _F32:
    """Where the winning units of a layer are: marginal winning probabilities.

    Raw values: the probabilities of all channels, summed, (u, v). For a class they sum to 1, less
    what arrives at units above that no positive weight excites, or passes by the layer.

    Parameters
    ----------
    layer : str, optional
        Any layer with a spatial map, by any of its names; by default the network's
        ``target_layer``. The paper's maps of VGG-16 are of pool4, those of GoogLeNet of pool2.

    Raises
    ------
    ValueError
        If the layer has no spatial map or does not feed what is explained, or a probability is
        explained.
    """
    _check_map(tape, layer)
    check_feeds(tape, objective, layer)
    parts = [
        tape.backward(start, seeds, [layer], Excitation())[0]
        for start, seeds in objective.seeds(tape).items()
    ]
    return _over_channels(add_up(parts))


@method(title="Contrastive excitation backprop", source="Zhang et al. 2016", view="map")
def contrastive_excitation_backprop(
    tape: ForwardPass, objective: Objectives, *, layer: str
) -> _F32:
    """Where the winning units for this class, not for others, are: c-MWP.

    The probabilities of the unit and those of its dual, which has the negated weights, are
    subtracted below the classifier, each divided by its sum, and carried on down to the layer.

    Raw values: the differences, summed over the channels, (u, v); the map shows those above 0.

    Parameters
    ----------
    layer : str, optional
        As of `excitation_backprop`.

    Raises
    ------
    ValueError
        If the layer has no spatial map or is not below the classifier, a probability is explained,
        or an objective has a weight below 0, as a difference of classes has.
    """
    _check_map(tape, layer)
    check_feeds(tape, objective, layer)
    given = objective.seeds(tape)
    if any(np.any(seeds < 0) for seeds in given.values()):
        raise ValueError(
            "contrastive_excitation_backprop: c-MWP explains one class or a sum with weights "
            "above 0, not a difference: explain each class by itself"
        )
    parts = []
    for start, seeds in given.items():
        below = _below_classifier(tape, start, layer)
        unit, dual = (
            tape.backward(start, seeds, [below], Excitation(dual=is_dual))[0]
            for is_dual in (False, True)
        )
        weights = seeds.sum(axis=tuple(range(2, seeds.ndim)), dtype=np.float64)
        contrast = _shares(unit, weights) - _shares(dual, weights)
        parts.append(tape.backward(below, contrast, [layer], Excitation())[0])
    return _over_channels(add_up(parts))


def _relevance_rule(rule: str | LayerRule | Composite) -> LayerRule | Composite:
    """Return a rule of relevance by its name; a rule is returned as it is."""
    if isinstance(rule, (LayerRule, Composite)):
        return rule
    if not isinstance(rule, str) or rule not in RELEVANCE:
        raise ValueError(
            f"lrp: rule must be one of {', '.join(RELEVANCE)}, or a rule such as "
            f"gradcam.rules.ZPlus(), got {rule!r}"
        )
    return RELEVANCE[rule]


def _check_finite(sums: NDArray[np.float64]) -> None:
    """Raise ValueError unless the sums of the relevance are finite."""
    if not np.isfinite(sums).all():
        raise ValueError(
            "the relevance is too large for float32: contributions of both signs cancel, and are "
            "divided by their small sum; use a rule with a larger epsilon, or one such as ZPlus"
        )


def _note_start(
    given: NDArray[np.float64], values: NDArray[np.float64], rounding: NDArray[np.float64]
) -> bool:
    """Note, and return, whether the relevance at the start is not the objectives' values.

    Parameters
    ----------
    given, values, rounding : (E,) array
        Of E explanations: the sum at the start, the value, and the largest rounding error.
    """
    other = np.abs(given - values) > 0.01 * np.abs(values) + rounding
    if other.any():
        one = int(other.argmax())
        which = " (the first such objective)" if len(values) > 1 else ""
        notes.add(
            f"The objective is no linear function of what it reads: the relevance starts from "
            f"gradient times output, {given[one]:.3g}, where the value is {values[one]:.3g}{which}."
        )
    return bool(other.any())


def _note_loss(sums: NDArray[np.float64], given: NDArray[np.float64], start: str) -> None:
    """Note how much of the relevance, which was `start` at first, reached the pixels.

    Parameters
    ----------
    sums, given : (E,) array
        Of E explanations: the sum over the pixels, and at the start.
    start : str
        In words.
    """
    shares = np.abs(sums - given) / np.maximum(np.abs(given), 1e-30)
    if not shares.size or shares.max() <= 0.01:
        return
    text = f"The relevance adds up to {sums[0]:.3g}, {start} is {given[0]:.3g}"
    if len(sums) > 1:
        text = f"The sum of the relevance differs from {start} by at most {_percent(shares.max())}"
    notes.add(
        f"{text}: biases and stabilisers absorbed the rest, or units to which no input contributes."
    )


def _percent(share: float) -> str:
    """Return a share in words."""
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.3g} %"


def _check_map(tape: ForwardPass, layer: str) -> None:
    shape = tape.shape(layer)
    if len(shape) != 3:
        raise ValueError(
            f"layer {layer!r} has no spatial map (its shape is {shape}), so it has no positions in "
            f"the picture: choose a convolution, ReLU or pooling before it, for example "
            f"{tape.graph.target_layer!r}"
        )


def _below_classifier(tape: ForwardPass, start: str, layer: str) -> str:
    """Return the input of the layer with weights that the pass from `start` reaches first."""
    layers = tape.graph.layers
    at = layers[tape.graph.names(start)[0]]
    while at.op not in WEIGHTED:
        if len(at.inputs) != 1:
            raise ValueError(
                f"contrastive_excitation_backprop needs one layer with weights below {start!r}, "
                f"but {at.name!r} ({at.op}) has {len(at.inputs)} inputs"
            )
        at = layers[at.inputs[0]]
    below = at.inputs[0]
    if below not in between(layers, below, [tape.graph.names(layer)[0]]):
        raise ValueError(
            f"layer {layer!r} is not below {at.name!r}, where the unit is contrasted with its dual"
        )
    return below


def _shares(values: _F32, weights: NDArray[np.float64]) -> _F32:
    """Return (S, N, ...) values that sum to the (S, N) weights; zero where their sum is."""
    sums = values.sum(axis=tuple(range(2, values.ndim)), keepdims=True, dtype=np.float64)
    total = weights.reshape(sums.shape)
    if np.any((sums == 0) & (total != 0)):  # weights are 0 where a picture has fewer objectives
        notes.add("No unit below excites the one that is explained, or its dual: its map is zero.")
    scaled = np.divide(total, sums, out=np.zeros_like(sums), where=sums != 0)
    shares: _F32 = (values * scaled).astype(np.float32)
    return shares


def _over_channels(values: _F32) -> _F32:
    sums: _F32 = values.sum(axis=2, dtype=np.float32)
    return sums
