"""The filters that read the picture itself, as pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.graph import Graph
from gradcam._engine.layers import INPUT, Layer
from gradcam._engine.network import check_network
from gradcam._pictures import grids
from gradcam._text import brief

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_F32 = NDArray[np.float32]

Scale = Literal["each", "all"]
"""What the largest weight is taken of: each filter, or all filters of the layer."""

_KEEPING = ("affine", "batch_norm", "dropout")
"""Operations that keep the channels, and only scale and shift them. In a network, a batch
normalisation before a convolution runs as "affine", which has its scale."""

_TILE = 48
"""About the side of a filter in a figure, in pixels."""


@dataclass(frozen=True, eq=False, repr=False)
class Filters:
    """The filters of a convolution that reads the picture.

    Attributes
    ----------
    network, layer : str
    weights : (K, 3, R, S) or (K, 1, R, S) array of float32
        K filters of R x S weights for red, green and blue, whatever the order of the network's
        input; for a network of grey pictures, one channel. If layers before the convolution
        multiply the channels of the input, these factors are part of the weights. So is the scale
        of a batch normalisation that follows and alone reads the convolution.
    colour_shares : (K,) array of float32
        Of each filter, the share of its squared weights that is differences between red, green
        and blue: 0 for a filter of brightness alone, 1 for a filter of colour alone.
    note : str
        What was assumed about the order of the channels; empty for most networks.
    """

    network: str
    layer: str
    weights: _F32
    colour_shares: _F32
    note: str = ""

    def __len__(self) -> int:
        return len(self.weights)

    def __repr__(self) -> str:
        count, channels, height, width = self.weights.shape
        shape = f"{count} of {channels} x {height} x {width}"
        return f"<Filters of {self.network}, layer {self.layer}: {shape}>"

    @property
    def finding(self) -> str:
        """How many filters there are, and how many respond mostly to colour, in a sentence."""
        count, channels, height, width = self.weights.shape
        words = f"{self.layer} of {self.network} has {count} filters of {height} x {width} weights"
        if channels == 1:
            return f"{words} for grey"
        coloured = int((self.colour_shares > 0.5).sum())
        return (
            f"{words} for each colour: {coloured} respond mostly to colour, {count - coloured} "
            f"mostly to brightness"
        )

    def pictures(self, scale: Scale = "each") -> NDArray[np.uint8]:
        """Return each filter as a picture.

        Parameters
        ----------
        scale : "each" or "all"
            A weight of 0 is mid-grey, 128. The largest weight, of each filter or of all filters,
            is 255 if it is positive and 1 if it is negative.

        Returns
        -------
        (K, R, S, 3) array of uint8
        """
        return _as_pictures(self.weights, scale)

    def plot(self, scale: Scale = "each") -> Figure:
        """Draw all filters, row by row in the order of their numbers.

        Parameters
        ----------
        scale : "each" or "all"
            As of :meth:`pictures`.
        """
        height, width = self.weights.shape[2:]
        zoom = max(1, round(_TILE / max(height, width)))
        tiles = grids.mosaic(self.pictures(scale), zoom=zoom, gap=4)
        largest = np.abs(self.weights).max()
        own = (
            "Each filter has its own scale, up to its largest weight"
            if scale == "each"
            else f"All filters have one scale, up to the largest weight, {largest:.2g}"
        )
        details = f"Mid-grey is a weight of 0. {own}. {self.note}".strip()
        return grids.grid(
            [[grids.Cell(tiles)]], heading=self.finding, details=details, smallest=7.0
        )


class Source(NamedTuple):
    """A channel of the picture, and the number by which it was multiplied."""

    channel: int
    factor: float = 1.0


def filters(network: Graph, layer: str | None = None) -> Filters:
    """Return the filters of the first convolution, which can be seen as colours.

    Only filters that read the picture itself have colours. Those of other layers have a weight for
    each map of the layer before. What they respond to is seen in the patches of pictures that
    activate them most (:func:`patches`), and in pictures that the network makes
    (:func:`gradcam.visualise`).

    Parameters
    ----------
    network : Network
    layer : str, optional
        A convolution that reads the picture; by default the first one.

    Returns
    -------
    Filters

    Raises
    ------
    ValueError
        If the layer does not exist, is not a convolution or does not read the picture; if the
        network has no convolution that does, or takes pictures of neither one nor three channels.

    References
    ----------
    Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural
    Networks", NeurIPS 2012, figure 3.
    """
    check_network(network)
    channels = network.core.channels
    if channels not in (1, 3):
        raise ValueError(
            f"{network.name} takes input of {channels} channels, which are not colours: "
            f"network.layers[...].weights has the numbers of its filters"
        )
    reading = reading_convolutions(network.layers, channels)
    if layer is None:
        if not reading:
            raise ValueError(f"{network.name} has no convolution that reads the picture itself")
        name = next(iter(reading))
    else:
        name = network.names(layer)[0]
        _check(network, name, reading)
    weights = _of_colours(network.layers[name], reading[name], channels)
    if not np.isfinite(weights).all():
        raise ValueError(
            f"{name} of {network.name}: its weights, times the factors of the layers before it, "
            f"are too large for float32"
        )
    preset = network.preset
    if preset is not None and preset.channel_order == "BGR":
        weights = weights[:, ::-1]
    unknown = preset is None and channels == 3
    return Filters(
        network=network.name,
        layer=name,
        weights=np.ascontiguousarray(weights),
        colour_shares=_colour_shares(weights),
        note="The order of the channels is not known: red, green and blue is assumed."
        if unknown
        else "",
    )


def reading_convolutions(
    layers: Mapping[str, Layer], channels: int
) -> dict[str, tuple[Source, ...]]:
    """Return the convolutions that read the picture itself, in the order in which they run.

    Between the picture and them are only layers that scale, shift, choose or reorder channels.

    Parameters
    ----------
    layers : mapping of str to Layer
        A network's, with their inputs.
    channels : int
        Of the network's input.

    Returns
    -------
    dict of str to tuple of Source
        What each input channel of the convolution is.
    """
    sources = {INPUT: tuple(Source(channel) for channel in range(channels))}
    found = {}
    for name, layer in layers.items():
        if any(each not in sources for each in layer.inputs) or not layer.inputs:
            continue
        inputs = [sources[each] for each in layer.inputs]
        if layer.op == "conv":
            found[name] = inputs[0]
        elif layer.op in _KEEPING:
            factors = np.ravel(np.asarray(layer.weights.get("scale", 1.0), np.float64))
            factors = np.broadcast_to(factors, len(inputs[0]))
            sources[name] = tuple(
                Source(each.channel, each.factor * float(factor))
                for each, factor in zip(inputs[0], factors, strict=True)
            )
        elif layer.op == "concatenate":
            sources[name] = tuple(source for each in inputs for source in each)
        elif layer.op == "slice":
            start, stop = layer.attributes["start"], layer.attributes["stop"]
            assert isinstance(start, int) and isinstance(stop, int)
            sources[name] = inputs[0][start:stop]
    return found


def _check(network: Graph, name: str, reading: Mapping[str, tuple[Source, ...]]) -> None:
    """Raise ValueError unless the layer is a convolution that reads the picture."""
    if name in reading:
        return
    layer = network.layers[name]
    first = f"; the filters of {next(iter(reading))} can" if reading else ""
    if layer.op != "conv":
        raise ValueError(
            f"{name} is not a convolution ({layer.op}) and has no filters that can be seen{first}"
        )
    maps = np.shape(layer.weights["weight"])[1]
    raise ValueError(
        f"{name} reads {maps} maps of {layer.inputs[0]}, not the picture, so its filters have no "
        f"colours and cannot be seen{first}. To see what they respond to, look at the patches of "
        f"pictures that they respond to (gradcam.inside.patches), or make a picture for one of "
        f"them (gradcam.visualise)"
    )


def _of_colours(layer: Layer, sources: tuple[Source, ...], channels: int) -> _F32:
    """Return a convolution's weights by the picture's channels, (K, C, R, S), times the factors.

    A channel that a filter does not read has weights of 0; if it reads one twice, they are added.
    """
    given = np.asarray(layer.weights["weight"], np.float32)
    count, depth = given.shape[:2]
    weights = np.zeros((count, channels, *given.shape[2:]), np.float32)
    groups = len(sources) // depth
    for number in range(count):
        first = number // (count // groups) * depth
        for source, values in zip(sources[first : first + depth], given[number], strict=True):
            weights[number, source.channel] += values * np.float32(source.factor)
    return weights


def _colour_shares(weights: _F32) -> _F32:
    """Return the share of each filter's squared weights that is differences between channels."""
    squares = (weights.astype(np.float64) ** 2).sum((1, 2, 3))
    brightness = weights.shape[1] * (weights.mean(1, dtype=np.float64) ** 2).sum((1, 2))
    shares = 1 - np.divide(brightness, squares, out=np.ones_like(squares), where=squares > 0)
    found: _F32 = shares.clip(0, 1).astype(np.float32)
    return found


def _as_pictures(weights: _F32, scale: Scale) -> NDArray[np.uint8]:
    if scale not in ("each", "all"):
        raise ValueError(f"scale: expected 'each' or 'all', got {brief(scale)}")
    axes = (1, 2, 3) if scale == "each" else None
    largest = np.abs(weights).max(axes, keepdims=True)
    shares = np.divide(weights, largest, out=np.zeros_like(weights), where=largest > 0)
    pixels = np.rint(128 + 127 * shares).astype(np.uint8).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:3], 3)))
