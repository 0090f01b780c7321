"""Class activation maps by gradients: Grad-CAM (Selvaraju et al., 2017) and its derivatives.

A^k are the maps of a layer, u x v positions; S is the class's score.

    alpha_k = 1/(u v) * sum over positions of dS/dA^k
    L = ReLU(sum_k alpha_k A^k)

The counterfactual map takes -dS/dA^k: evidence against the class. Guided Grad-CAM is guided
backpropagation times L resized to the input; Deconv Grad-CAM the same with the deconvnet.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gradcam import _core
from gradcam._engine.forward_pass import ForwardPass
from gradcam._engine.layers import INPUT
from gradcam._methods.maps import check_feeds, maps_of, weighted_sums
from gradcam._methods.passes import one_of
from gradcam._registry import method
from gradcam._results.explanation import Evidence, Resize
from gradcam._results.objectives import Objectives
from gradcam._results.rules import RuleLike


@method(title="Grad-CAM", source="Selvaraju et al. 2017", view="map")
def grad_cam(
    tape: ForwardPass,
    objective: Objectives,
    *,
    layer: str,
    relu: bool = True,
    gradient: Literal["signed", "absolute"] = "signed",
    pooling: Literal["mean", "max"] = "mean",
    rule: Literal["gradient", "guided", "deconvnet"] = "gradient",
) -> Evidence:
    """Where a layer's features raise the score.

    Raw values: the weighted sum before the ReLU, (u, v). The weights are the alpha_k. The options
    are the ablations of the paper.

    Parameters
    ----------
    layer : str, optional
        Any layer with a spatial map, by any of its names; by default the network's
        ``target_layer`` (VGG: the last rectified map before the last pooling).
    relu : bool
        False: all values are shown, from the smallest to the largest.
    gradient : "signed" or "absolute"
        Whether the absolute value of each derivative is pooled.
    pooling : "mean" or "max"
        The weight is the mean or the maximum over the positions.
    rule : "gradient", "guided" or "deconvnet"
        What the ReLUs between the layer and the score pass back.

    Raises
    ------
    ValueError
        If the layer has no spatial map, the objective reads a layer that it does not feed, or an
        option has another value.
    """
    one_of("gradient", gradient, ("signed", "absolute"))
    one_of("pooling", pooling, ("mean", "max"))
    one_of("rule", rule, ("gradient", "guided", "deconvnet"))
    maps = maps_of(tape, layer)
    check_feeds(tape, objective, layer)
    if gradient == "signed" and pooling == "mean":
        weights = objective.pooled_gradient(tape, layer, rule)
    else:
        derivatives = objective.gradient(tape, layer, rule)
        if gradient == "absolute":
            np.abs(derivatives, out=derivatives)
        pooled = pooling == "mean"
        weights = _core.channel_mean(derivatives) if pooled else derivatives.max((3, 4))
    return Evidence(weighted_sums(weights, maps), weights, None if relu else "range")


@method(title="Counterfactual", source="Selvaraju et al. 2017", view="map", against=True)
def counterfactual(tape: ForwardPass, objective: Objectives, *, layer: str) -> Evidence:
    """Where a layer's features lower the score: Grad-CAM with the negated gradient."""
    return _cam(tape, objective, layer, sign=-1)


@method(title="Guided Grad-CAM", source="Selvaraju et al. 2017", view="signed")
def guided_grad_cam(
    tape: ForwardPass, objective: Objectives, *, layer: str, resize: Resize
) -> Evidence:
    """Fine detail of the class alone: guided backpropagation times Grad-CAM.

    Raw values: the product, (C, h, w). The weights are the alpha_k.
    """
    return _product(tape, objective, "guided", layer, resize)


@method(title="Deconv Grad-CAM", source="Selvaraju et al. 2017", view="signed")
def deconv_grad_cam(
    tape: ForwardPass, objective: Objectives, *, layer: str, resize: Resize
) -> Evidence:
    """The deconvnet's projection times Grad-CAM.

    Raw values: the product, (C, h, w). The weights are the alpha_k.
    """
    return _product(tape, objective, "deconvnet", layer, resize)


def _cam(tape: ForwardPass, objective: Objectives, layer: str, sign: int = 1) -> Evidence:
    """Return the weights (S, N, K) and the weighted sums (S, N, u, v), before the ReLU."""
    maps = maps_of(tape, layer)
    check_feeds(tape, objective, layer)
    weights = sign * objective.pooled_gradient(tape, layer)
    return Evidence(weighted_sums(weights, maps), weights)


def _product(
    tape: ForwardPass, objective: Objectives, rule: RuleLike, layer: str, resize: Resize
) -> Evidence:
    """Return the pixel gradient under `rule` times the class activation map."""
    cam = _cam(tape, objective, layer)
    gradients: NDArray[np.float32] = objective.gradient(tape, INPUT, rule)
    maps = _core.resize(np.maximum(cam.raw, 0), tape.size, resize)
    return Evidence(gradients * maps[:, :, None], cam.weights)
