"""The output of a layer for one picture, unit by unit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.tape import Tape, check_one
from gradcam._methods.passes import one_of, positive
from gradcam._pictures import colour, figures, grids
from gradcam._pictures.grids import Cell
from gradcam._pictures.image import render
from gradcam._text import three_digits
from gradcam.inside import _vector_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_F32 = NDArray[np.float32]

Order = Literal["strongest", "index"]
"""Which units come first: those with the largest values, or those with the smallest numbers."""

Scale = Literal["each", "all"]
"""What the largest value is taken of: each map, or all maps of the layer."""

_COLUMNS, _MOST = 9, 1000
"""Maps in a row of a figure, and in a figure."""


@dataclass(frozen=True, eq=False, repr=False)
class Activations:
    """What a layer computes for one picture.

    Attributes
    ----------
    network, layer : str
    values : (K, h, w) or (F,) array of float32
        K maps, or F units of a layer without positions.
    picture : (H, W, 3) array of uint8
        What the network saw: the picture as it was resized and cropped.
    names : tuple of str
        The units in words: ``"unit 31"``; of the scores and the probabilities, the classes.
    """

    network: str
    layer: str
    values: _F32
    picture: NDArray[np.uint8]
    names: tuple[str, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.values.shape))
        return f"<Activations of {self.network}, layer {self.layer}: {shape}>"

    @property
    def strongest(self) -> _F32:
        """(K,): the largest value of each unit."""
        largest: _F32 = self.values.reshape(len(self.values), -1).max(1)
        return largest

    @property
    def silent(self) -> tuple[int, ...]:
        """The units that are 0 everywhere on this picture."""
        fires = self.values.reshape(len(self.values), -1).any(1)
        return tuple(np.flatnonzero(~fires).tolist())

    @property
    def finding(self) -> str:
        """How many units are 0 everywhere, and which one is the strongest, in a sentence."""
        strongest = self.strongest
        largest, best = strongest.max(), self.names[self.order()[0]]
        alike = int((strongest == largest).sum())
        whose = best if alike == 1 else f"{alike} units, the first of which is {best}"
        return (
            f"{self.layer} of {self.network}: {len(self.silent)} of {len(self)} units are 0"
            f"{' everywhere' if self.values.ndim == 3 else ''} on this picture; the largest value, "
            f"{three_digits(largest)}, is that of {whose}"
        )

    def order(self, by: Order = "strongest") -> NDArray[np.int64]:
        """Return the numbers of the units.

        Parameters
        ----------
        by : "strongest" or "index"
            Those with the largest values first; of equal values, those with the larger means,
            then those with the smaller numbers. Or all in the order of their numbers.

        Returns
        -------
        (K,) array of int64
        """
        one_of("order", by, ("strongest", "index"))
        if by == "index":
            return np.arange(len(self))
        means = self.values.reshape(len(self), -1).mean(1, dtype=np.float64)
        return np.lexsort((-means, -self.strongest)).astype(np.int64)

    def plot(
        self, count: SupportsIndex = 35, *, order: Order = "strongest", scale: Scale = "each"
    ) -> Figure:
        """Draw the maps of some units beside the picture.

        Of a layer without positions, the figure shows the strongest units as bars, and the sorted
        values of all units as a curve.

        Parameters
        ----------
        count : int
            How many maps are drawn, at most 1000.
        order : "strongest" or "index"
            Which maps come first, as of :meth:`order`.
        scale : "each" or "all"
            Whether white is the largest value of each map, or of all maps.
        """
        number = positive("count", count)
        if number > _MOST:
            raise ValueError(f"count: at most {_MOST} maps fit into a figure, got {number}")
        one_of("scale", scale, ("each", "all"))
        units = self.order(order)[:number]
        if self.values.ndim == 1:
            with figures.default_settings():
                return _vector_figure.draw(self.values, self.names, self.picture, self.finding)
        pixels = _shown(self.values[units], None if scale == "each" else np.abs(self.values).max())
        strongest = self.strongest
        cells = [
            Cell(tile, f"{self.names[unit]}: {three_digits(strongest[unit])}")
            for unit, tile in zip(units, pixels, strict=True)
        ]
        return _grid(
            [Cell(self.picture, "the picture"), *cells],
            self.finding,
            self._details(scale, bool(self.values[units].min() < 0)),
        )

    def _details(self, scale: Scale, negative: bool) -> str:
        """Return what the shades of grey mean; whether a value that is drawn is negative."""
        largest = "each map's largest value" if scale == "each" else "the largest value of all maps"
        if not negative:
            shades = f"Black is 0, white is {largest}."
        else:
            shades = f"Mid-grey is 0; white, or black of negative values, is {largest}."
        height, width = self.values.shape[1:]
        return (
            f"{shades} A map has {height} x {width} values, one for each position of the picture. "
            f"The numbers are the largest values."
        )


def activations(tape: Tape, layer: str | None = None) -> Activations:
    """Return what a layer computes for one picture.

    Parameters
    ----------
    tape : Tape
        Of one picture: ``network.forward(picture)``. A layer that it did not keep is computed
        again.
    layer : str, optional
        By default the network's target layer, Grad-CAM's.

    Returns
    -------
    Activations

    Raises
    ------
    TypeError
        If the tape is not of one picture.
    ValueError
        If there is no such layer, and the message lists the layers; if a value of the layer is not
        finite.
    """
    check_one(tape)
    graph = tape.graph
    name = graph.names(graph.target_layer if layer is None else layer)[0]
    values = tape.activation(name)[0]
    if not np.isfinite(values).all():
        raise ValueError(
            f"the output of {name} of {graph.name} is not finite: its values are too large for "
            f"float32 on this picture, so that they cannot be compared or drawn"
        )
    if values.ndim == 3 and values.shape[1:] == (1, 1):
        values = values[:, 0, 0]
    names = tuple(f"unit {number}" for number in range(len(values)))
    if name in (graph.score_layer, graph.probability_layer):
        names = tuple(each.label for each in graph.labels)
    picture = render(tape.input[0], graph.preset)
    return Activations(graph.name, name, np.array(values), picture, names)


def _shown(maps: _F32, largest: np.floating | None) -> NDArray[np.uint8]:
    """Return maps in grey, (N, h, w, 3); with negative values, 0 is mid-grey."""
    most = np.abs(maps).max((1, 2), keepdims=True) if largest is None else np.full(1, largest)
    shares = np.divide(maps, most, out=np.zeros_like(maps), where=most > 0)
    if maps.min() < 0:
        shares = (1 + shares) / 2
    return colour.colour(shares, "gray")


def _grid(cells: list[Cell], heading: str, details: str) -> Figure:
    """Draw cells in rows of nine."""
    columns = min(_COLUMNS, len(cells))
    rows = [cells[first : first + columns] for first in range(0, len(cells), columns)]
    return grids.grid(rows, heading=heading, details=details, smallest=1.25)
