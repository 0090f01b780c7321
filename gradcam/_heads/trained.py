"""A network with another end: its layers up to a code, and a linear layer on that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from gradcam._codes import code_layer
from gradcam._engine.layers import INPUT, Layer
from gradcam._engine.network import Network
from gradcam._heads.regression import Linear
from gradcam._heads.training import Training
from gradcam._models.heads import unique
from gradcam._text import percent

if TYPE_CHECKING:
    from numpy.typing import NDArray

_AVERAGES = ("global_average_pool", "adaptive_average_pool", "average_pool")


class TrainedNetwork(Network):
    """A classifier of your own, returned by :func:`gradcam.fit_head`; a Network like any other.

    Attributes
    ----------
    training : Training
        How often it is right on pictures that were held out, and more. It is pickled with the
        network. A file that :func:`gradcam.weights.save` writes does not hold it, only the sentence
        :attr:`about`.
    """

    training: Training

    def __reduce__(self) -> tuple[Callable[..., Network], tuple[object, ...], dict[str, Training]]:  # type: ignore[override]
        make, arguments = super().__reduce__()
        return make, arguments, {"training": self.training}


def usual_layer(network: Network, size: tuple[int, int]) -> str:
    """Return the layer whose output is the code, unless another one is named.

    `size` is the height and width of the input.

    The map that the network averages over its positions before its last layer with weights (the
    output of that average), or that its last layer with weights reads. In networks with
    more than one layer after their last map, as VGG: the target layer.
    """
    layers = network.layers
    try:
        code = layers[code_layer(network)]
    except ValueError:  # the scores have no last layer with weights
        return network.target_layer
    shape = network.shape(code.name, size)
    if len(shape) == 3 and shape[1:] != (1, 1):
        return code.name
    below = _computing(network, code)
    averaged = below.op in _AVERAGES and network.shape(below.name, size)[1:] in ((1, 1), ())
    return code.name if averaged else network.target_layer


_ROUNDING = 1e-3
"""An error of a score that is not worth a layer against it."""


def centre_of(linear: Linear, values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the mean of codes, rounded to float32, if the scores would lose too many digits to it.

    Parameters
    ----------
    linear : Linear
    values : (N, D) array
        The codes that it was learnt from.

    Returns
    -------
    (D,) array, or None
        None if the scores are exact enough without.
    """
    if linear.rounding(values) < _ROUNDING:
        return None
    return np.asarray(values.mean(0).astype(np.float32), np.float64)


def is_exact(linear: Linear, values: NDArray[np.float64], centre: NDArray[np.float64]) -> bool:
    """Return whether the scores of codes minus their centre are exact enough."""
    return linear.centred(centre).rounding(values - centre) < _ROUNDING


def with_head(
    network: Network,
    layer: str,
    linear: Linear,
    classes: Sequence[str],
    *,
    centre: NDArray[np.float64] | None,
    size: tuple[int, int],
    name: str,
) -> TrainedNetwork:
    """Return the network up to a layer, the mean over positions, a linear layer and a softmax.

    Parameters
    ----------
    network : Network
        Preset, input size and, if it is not above `layer`, target layer are kept.
    layer : str
        By its first name.
    linear : Linear
    classes : sequence of str
    centre : (D,) array, or None
        What a layer of its own subtracts before that, as of :func:`centre_of`.
    size : (height, width)
        Of the input of the codes.
    name : str
    """
    if centre is not None:  # subtracted before an average, so that CAM exists
        layer = _averaged(network, layer, size)
    kept = _up_to(network, layer)
    used = {each for layer in kept for each in (layer.name, *layer.aliases)} | {INPUT}
    layers = [*kept, *_end(network, layer, linear, centre, size, used)]
    target = network.target_layer if network.target_layer in used - {INPUT} else None
    made = TrainedNetwork.from_layers(
        layers,
        channels=network.core.channels,
        labels=list(classes),
        preset=network.preset,
        conv="winograd",  # layers that are computed by their definition say so themselves
        name=name,
        target_layer=target,
    )
    made.size, made.fixed = network.size, network.fixed
    return cast("TrainedNetwork", made)


def described(network: TrainedNetwork, source: Network, training: Training) -> TrainedNetwork:
    """Return the network with its training, and the sentence about it."""
    found = training.interval
    network.training, network.assumed = training, source.assumed
    sentence = (
        f"its {len(training.classes)} classes were learnt from {found.size} pictures, on layer "
        f"{training.layer} of {source.name}: in {len(training.strengths)}-fold cross-validation "
        f"{percent(found.mean)} of them were right (95 % interval {percent(found.low)} to "
        f"{percent(found.high)})"
    )
    network.about = " ".join([*source.assumed, sentence])
    return network


def _computing(network: Network, layer: Layer) -> Layer:
    """Return the layer that computes the values of a layer, which may leave them as they are."""
    while layer.op in ("flatten", "dropout"):
        layer = network.layers[layer.inputs[0]]
    return layer


def _averaged(network: Network, layer: str, size: tuple[int, int]) -> str:
    """Return the map whose mean over all positions a layer is; the layer itself if there is none.

    `size` is the height and width of the input.
    """
    below = _computing(network, network.layers[layer])
    averages = below.op in ("global_average_pool", "adaptive_average_pool")
    return below.inputs[0] if averages and network.shape(below.name, size)[1:] == (1, 1) else layer


def _up_to(network: Network, layer: str) -> list[Layer]:
    """Return a layer and all that feed it, in order, without the input."""
    wanted, kept = {layer}, []
    for each in reversed(list(network.layers.values())):
        if each.name in wanted and each.name != INPUT:
            wanted.update(each.inputs)
            kept.append(each)
    return kept[::-1]


def _end(
    network: Network,
    layer: str,
    linear: Linear,
    centre: NDArray[np.float64] | None,
    size: tuple[int, int],
    used: set[str],
) -> list[Layer]:
    """Return the new layers."""

    def rounded(values: NDArray[np.float64]) -> NDArray[np.float32]:
        return values.astype(np.float32)

    ops = ["linear", "softmax"]
    if len(network.shape(layer, size)) == 3:
        ops = ["global_average_pool", "flatten", *ops]
        if network.layers[layer].op == "global_average_pool":
            ops = ops[1:]
    names = {"global_average_pool": "average", "flatten": "code", "linear": "scores"}
    weights = {}
    if centre is not None:
        ops, linear = ["affine", *ops], linear.centred(centre)
        weights["affine"] = {"scale": rounded(np.ones(len(centre))), "shift": rounded(-centre)}
        names["affine"] = "centred"
    weights["linear"] = {"weight": rounded(linear.weight), "bias": rounded(linear.bias)}
    made, before = [], layer
    for op in ops:
        name = unique(names.get(op, "prob"), used)
        made.append(Layer(name, op, (before,), weights.get(op, {})))
        before = name
    return made
