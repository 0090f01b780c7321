"""Class activation maps with other weights: one table of weights and of ways to combine the maps.

A^k are the maps of a layer, G^k = dS/dA^k. Each method weights the maps, by channel (w_k) or at
each position, and combines the products over the channels:

=====================  ==================================================  ======================
method                 weights                                             combination
=====================  ==================================================  ======================
Grad-CAM               mean of G^k over the positions                      sum
Grad-CAM++             sum of G^2 / (2 G^2 + G^3 sum of A^k) * ReLU(G^k)    sum
XGrad-CAM              sum of G^k A^k / sum of A^k                         sum
HiResCAM               G^k                                                 sum
element-wise Grad-CAM  G^k                                                 sum of the ReLUs
Layer-CAM              ReLU(G^k)                                           sum
Eigen-CAM              1                                                   first component
Eigen-Grad-CAM         G^k                                                 first component
=====================  ==================================================  ======================

The definitions are those of pytorch-grad-cam. Grad-CAM itself is in ``cam.py``: it needs no
gradient at each position.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcam import _core
from gradcam._engine.forward_pass import ForwardPass
from gradcam._methods.estimates import Estimate, note_error, stacked
from gradcam._methods.maps import check_feeds, maps_of
from gradcam._methods.passes import (
    bar,
    batch_size,
    check_seed,
    even_batches,
    noisy,
    non_negative,
    note_constant,
    positive,
)
from gradcam._registry import method
from gradcam._results.explanation import Evidence
from gradcam._results.objectives import Objectives

_F32 = NDArray[np.float32]
_F64 = NDArray[np.float64]

Weights = Callable[[_F32, _F32], _F32]
"""From maps and gradients, (N, K, u, v), to weights: (N, K), or (N, K, u, v) of each position."""

Combination = Callable[[_F32, _F32], _F32]
"""From weights and maps to one map for each picture, (N, u, v)."""


# --- weights ---


def _gradient(maps: _F32, gradients: _F32) -> _F32:
    return gradients


def _positive_gradient(maps: _F32, gradients: _F32) -> _F32:
    return np.maximum(gradients, 0)


def _ones(maps: _F32, gradients: _F32) -> _F32:
    return np.ones((*maps.shape[:2], 1, 1), np.float32)


def _share(maps: _F32, gradients: _F32) -> _F32:
    """Return the mean of the gradient, weighted by the map; 0 for maps whose sum is 0."""
    total = _sums(maps)
    return _ratio(_sums(gradients.astype(np.float64) * maps), total).astype(np.float32)


def _plus_plus(maps: _F32, powers: Sequence[NDArray[np.floating]], epsilon: float) -> _F32:
    """Return Grad-CAM++'s weights from the first three powers of the gradient."""
    first, second, third = (each.astype(np.float64) for each in powers)
    below = 2 * second + _sums(maps)[:, :, None, None] * third + epsilon
    return _sums(_ratio(second, below) * np.maximum(first, 0)).astype(np.float32)


def _sums(maps: NDArray[np.floating]) -> _F64:
    """Return the sum of each map, in float64."""
    found: _F64 = maps.sum((2, 3), dtype=np.float64)
    return found


def _ratio(above: _F64, below: _F64) -> _F64:
    return np.divide(above, below, out=np.zeros_like(above), where=below != 0)


# --- combinations ---


def _sum(weights: _F32, maps: _F32) -> _F32:
    if weights.ndim == 2:
        return _core.weighted_sum(weights, maps)
    total: _F32 = np.einsum("nkuv,nkuv->nuv", weights, maps)
    return total


def _sum_of_positive(weights: _F32, maps: _F32) -> _F32:
    products = weights * maps
    total: _F32 = np.maximum(products, 0, out=products).sum(1)
    return total


def _first_component(weights: _F32, maps: _F32) -> _F32:
    return np.stack([_component(each) for each in weights * maps])


def _component(maps: _F32) -> _F32:
    """Return the first principal component of (K, u, v) maps over their positions, (u, v).

    The positions are the samples, the channels the variables, whose means are subtracted. Of the
    two signs, it has the one with which it correlates positively with the sum of the channels.
    """
    values = maps.reshape(len(maps), -1).astype(np.float64)
    values -= values.mean(1, keepdims=True)
    channels, positions = values.shape
    if channels <= positions:
        component = np.linalg.eigh(values @ values.T)[1][:, -1] @ values
    else:
        variances, vectors = np.linalg.eigh(values.T @ values)
        component = vectors[:, -1] * np.sqrt(max(variances[-1], 0.0))
    if component @ values.sum(0) < 0:
        component = -component
    return component.reshape(maps.shape[1:]).astype(np.float32)


# --- the table ---


@dataclass(frozen=True)
class _Row:
    """A method of the family, without options.

    Attributes
    ----------
    name, title, source : str
        As of :class:`gradcam._registry.Method`.
    weights : callable
    combine : callable
    uses_gradient : bool
        Whether the weights depend on the gradient.
    text : str
        The documentation.
    """

    name: str
    title: str
    source: str
    weights: Weights
    combine: Combination
    text: str
    uses_gradient: bool = True


ROWS = (
    _Row(
        "x_grad_cam",
        "XGrad-CAM",
        "Fu et al. 2020",
        _share,
        _sum,
        """Grad-CAM with gradients that are averaged in proportion to the activation.

        Raw values: the weighted sum before the ReLU, (u, v). The weights are
        sum(dS/dA^k * A^k) / sum(A^k), 0 for maps that sum to 0.
        """,
    ),
    _Row(
        "hires_cam",
        "HiResCAM",
        "Draelos & Carin 2020",
        _gradient,
        _sum,
        """The gradient times the map at each position, summed over the channels.

        Raw values: sum_k dS/dA^k * A^k before the ReLU, (u, v).
        """,
    ),
    _Row(
        "grad_cam_elementwise",
        "Element-wise Grad-CAM",
        "Pillai & Pirsiavash 2021",
        _gradient,
        _sum_of_positive,
        """As HiResCAM, but only products above zero are summed.

        Raw values: sum_k ReLU(dS/dA^k * A^k), (u, v).
        """,
    ),
    _Row(
        "layer_cam",
        "Layer-CAM",
        "Jiang et al. 2021",
        _positive_gradient,
        _sum,
        """Gradients above zero times the map at each position: also for layers with fine maps.

        Raw values: sum_k ReLU(dS/dA^k) * A^k before the ReLU, (u, v). The paper scales the maps
        of early layers by tanh before it combines layers; the average of several layers here is
        that of :meth:`gradcam.Tape.explain`.
        """,
    ),
    _Row(
        "eigen_cam",
        "Eigen-CAM",
        "Muhammad & Yeasin 2020",
        _ones,
        _first_component,
        """The first principal component of a layer's maps: the same for every class.

        Raw values: the component before the ReLU, (u, v), with the means of the channels
        subtracted, as pytorch-grad-cam does and the paper does not. The sign of a component is
        arbitrary; here it correlates positively with the sum of the channels. In pytorch-grad-cam
        the sign is left to the decomposition.
        """,
        uses_gradient=False,
    ),
    _Row(
        "eigen_grad_cam",
        "Eigen-Grad-CAM",
        "Muhammad & Yeasin 2020",
        _gradient,
        _first_component,
        """The first principal component of the gradient times the map: Eigen-CAM for a class.

        Raw values: the component before the ReLU, (u, v). Its sign is the one with which it
        correlates positively with HiResCAM. Eigen-CAM's authors do not define it; it is
        pytorch-grad-cam's, apart from the sign.
        """,
    ),
)
"""The methods that differ in nothing but their weights and how they combine the maps."""


def _explain(row: _Row, tape: ForwardPass, objective: Objectives, layer: str) -> Evidence:
    """Compute a method of the table."""
    maps = maps_of(tape, layer)
    if not row.uses_gradient:
        map = row.combine(row.weights(maps, maps), maps)
        return Evidence(np.broadcast_to(map, (objective.count, *map.shape)))
    check_feeds(tape, objective, layer)
    found = [row.weights(maps, each) for each in objective.gradient(tape, layer)]
    raw = np.stack([row.combine(weights, maps) for weights in found])
    return Evidence(raw, np.stack(found) if found[0].ndim == 2 else None)


def _register(row: _Row) -> None:
    def explain(tape: ForwardPass, objective: Objectives, *, layer: str) -> Evidence:
        return _explain(row, tape, objective, layer)

    explain.__doc__ = row.text
    explain.__name__ = explain.__qualname__ = row.name
    method(title=row.title, source=row.source, view="map")(explain)


# --- the methods ---


@method(title="Grad-CAM++", source="Chattopadhay et al. 2018", view="map")
def grad_cam_plus_plus(
    tape: ForwardPass, objective: Objectives, *, layer: str, epsilon: float = 1e-6
) -> Evidence:
    """Grad-CAM with weights for several objects of a class, from gradients above zero.

    Raw values: the weighted sum before the ReLU, (u, v). The weights are the sums over positions
    of G^2 / (2 G^2 + G^3 sum(A^k) + epsilon) * ReLU(G), with G = dS/dA^k. The paper explains
    exp(S), which multiplies all weights by one number. torch-cam 0.5 sums G^2 ReLU(G).

    Parameters
    ----------
    layer : str, optional
    epsilon : float
        As in pytorch-grad-cam; where G^2 is not much larger, it lowers the weight. 0: as in the
        paper.
    """
    non_negative("epsilon", epsilon)
    maps = maps_of(tape, layer)
    check_feeds(tape, objective, layer)
    gradients = objective.gradient(tape, layer)
    weights = np.stack([_plus_plus(maps, (g, g * g, g * g * g), epsilon) for g in gradients])
    return Evidence(np.stack([_sum(each, maps) for each in weights]), weights)


for _row in ROWS:
    _register(_row)


@method(title="Smooth Grad-CAM++", source="Omeiza et al. 2019", view="map")
def smooth_grad_cam_plus_plus(
    tape: ForwardPass,
    objective: Objectives,
    *,
    layer: str,
    samples: int = 25,
    noise: float = 0.15,
    epsilon: float = 1e-6,
    seed: int = 0,
    batch: int | None = None,
    progress: bool = False,
) -> Evidence:
    """Grad-CAM++ from the mean powers of the gradient over noisy copies of the picture.

    Raw values: the weighted sum before the ReLU, (u, v). The weights are Grad-CAM++'s, with the
    means of G, G^2 and G^3 over the copies in the places of these powers. The maps are those of
    the picture without noise. The paper has the mean of G above the fraction, where Grad-CAM++
    has G^2. torch-cam multiplies by the gradient of the last copy, not by the mean, and sums
    A^k G^3 over the positions, not A^k. The standard error of the mean gradient is noted.

    Parameters
    ----------
    layer : str, optional
    samples : int
        Noisy copies.
    noise : float
        Standard deviation of the noise, as a share of the input's range (maximum - minimum).
    epsilon : float
        As of ``grad_cam_plus_plus``.
    seed : int
        Of the random numbers.
    batch : int, optional
        Copies in a pass.
    progress : bool
        Show a progress bar on standard error.
    """
    samples = positive("samples", samples)
    check_seed(seed)
    non_negative("noise", noise)
    non_negative("epsilon", epsilon)
    maps = maps_of(tape, layer)
    check_feeds(tape, objective, layer)
    size = batch_size(tape, batch, gradients=True)
    note_constant(tape.input)
    weights, errors = [], []
    with bar(len(tape) * samples, "Smooth Grad-CAM++", progress) as done:
        for n, picture in enumerate(tape.input):
            powers = [Estimate(), Estimate(), Estimate()]
            for part in even_batches(samples, size):
                copies = noisy(picture, noise, seed, part)
                asked = objective.variants(n, len(copies))
                product = gradients = asked.gradient(tape.run(copies), layer).astype(np.float64)
                for power in powers:
                    power.add(product)
                    product = product * gradients
                done(len(copies))
            means = zip(*(power.value() for power in powers), strict=True)
            found = [
                _plus_plus(maps[n : n + 1], [p[None] for p in each], epsilon) for each in means
            ]
            weights.append(np.concatenate(found))
            errors.append(powers[0].relative_error())
    note_error(samples, errors, seed, "of the mean gradient")
    together = stacked(weights, objective.count)
    return Evidence(np.stack([_sum(each, maps) for each in together]), together)
