"""The patches of pictures that activate units most, as in figure 4 of Girshick et al. (2014)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, SupportsIndex, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from gradcam import _core
from gradcam._engine.network import Network, Size, check_network
from gradcam._engine.stream import OnError
from gradcam._engine.tape import BatchTape
from gradcam._files import expanded
from gradcam._methods.passes import integer, positive
from gradcam._pictures.folders import pictures_in
from gradcam._pictures.image import Geometry, is_picture_source
from gradcam._text import none_read, three_digits
from gradcam.inside import _patch_figure
from gradcam.inside._fields import Fields, flattened_map, receptive_fields
from gradcam.inside._given import refuse_input
from gradcam.inside._patch import Patch
from gradcam.inside._strongest import Strongest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gradcam._engine.network import BatchArray, PictureLike

P = TypeVar("P", bound="PictureLike")

_F32 = NDArray[np.float32]

_CHOSEN = 6
"""Units that are shown if none are named: as many as in the paper's figure."""


@dataclass(frozen=True, eq=False, repr=False)
class Patches(Mapping[int, "tuple[Patch, ...]"]):
    """The patches that activate units of a layer most: a mapping from units to their patches.

    A unit's patches are in falling order of their values, which are above 0. Of equal values, the
    one of the earlier picture comes first, and in one picture the upper one, then the left one.

    Attributes
    ----------
    network, layer : str
    units : tuple of int
    pictures : int
        How many pictures were read.
    skipped : tuple of (picture, exception)
        The pictures that could not be read.
    silent : tuple of int
        All units of the layer that have no value above 0 on these pictures.
    has_positions : bool
        Whether the layer has a map. A unit of another layer has one value for a picture.
    """

    network: str
    layer: str
    units: tuple[int, ...]
    pictures: int
    skipped: tuple[tuple[PictureLike, Exception], ...]
    silent: tuple[int, ...]
    has_positions: bool
    _patches: Mapping[int, tuple[Patch, ...]]

    def __getitem__(self, unit: int) -> tuple[Patch, ...]:
        return self._patches[unit]

    def __iter__(self) -> Iterator[int]:
        return iter(self.units)

    def __len__(self) -> int:
        return len(self.units)

    def __repr__(self) -> str:
        words = f"{len(self.units)} units of {self.layer} of {self.network}"
        return f"<Patches: {words}, {self.pictures} pictures>"

    @property
    def sees_all(self) -> bool:
        """Whether the field of each patch is the whole input."""
        return all(each.sees_all for found in self.values() for each in found)

    @cached_property
    def finding(self) -> str:
        """The largest value, and how much of the input a unit sees, in a sentence."""
        every = [patch for patches in self.values() for patch in patches]
        best = max(every, key=lambda each: each.value)
        height = max(each.field[3] - each.field[1] for each in every)
        width = max(each.field[2] - each.field[0] for each in every)
        seen = f"up to {height} x {width} pixels of the input"
        if self.sees_all:
            seen = f"the whole input, {height} x {width} pixels"
        value = f"the largest value of {len(self)} units, {three_digits(best.value)}, is that of "
        if len(self) == 1:
            value = f"the largest value is {three_digits(best.value)}, of "
        return (
            f"{self.layer} of {self.network} on {_count(self.pictures)}: {value}unit {best.unit}; "
            f"a unit sees {seen}"
        )

    def plot(
        self, units: SupportsIndex | Sequence[SupportsIndex] | None = None, *, crop: bool = False
    ) -> Figure:
        """Draw the patches, a row for each unit; nine in a row.

        The receptive field and the value are drawn in white on the picture. Pictures that were
        given as paths are read again.

        Parameters
        ----------
        units : int or sequence of int, optional
            Some of :attr:`units`; by default all, or the first of them that fit into 40 rows.
        crop : bool
            Draw the receptive fields alone, without the rest of the pictures.

        Raises
        ------
        IndexError
            If a unit is not among :attr:`units`.
        gradcam.PictureError, OSError
            If a picture can no longer be read.
        """
        asked = self.units if units is None else _numbers(units)
        for unit in asked:
            if unit not in self._patches:
                raise IndexError(f"unit {unit} is not among the {len(self)} units of these patches")
        chosen = {unit: self[unit] for unit in asked}
        return _patch_figure.draw(chosen, self.finding, crop=crop)


def patches(
    network: Network,
    pictures: str | os.PathLike[str] | Iterable[P] | BatchArray,
    layer: str | None = None,
    units: SupportsIndex | Sequence[SupportsIndex] | None = None,
    count: SupportsIndex = 9,
    *,
    per_picture: SupportsIndex = 1,
    size: Size = None,
    batch: int = 8,
    on_error: OnError[P] = "raise",
    progress: bool = False,
) -> Patches:
    """Find the patches of pictures that activate units of a layer most.

    The pictures pass through the network once, in batches. Only the best places are kept, and of
    the pictures only those that have one; of pictures that are given as paths, the paths.

    Parameters
    ----------
    network : Network
    pictures : folder, or iterable of pictures
        A folder with all folders in it; or pictures as :meth:`Network.stream` takes them, but not
        preprocessed input: the patches are parts of pictures.
    layer : str, optional
        By any of its names; by default the network's target layer, Grad-CAM's.
    units : int or sequence of int, optional
        Channels of a map, or units of a layer without positions. By default the six units whose
        patches are the most exceptional: the smallest value of a unit's `count` patches is divided
        by the unit's mean over all positions and pictures, negative values counting as 0. Units
        with fewer patches come after those with more.
    count : int
        Patches of each unit.
    per_picture : int
        At most so many patches of one picture. Neighbouring positions have similar values.
    size, batch, on_error, progress
        As of :meth:`Network.stream`.

    Returns
    -------
    Patches

    Raises
    ------
    ValueError
        If there is no picture or none can be read; if the layer does not exist or holds the values
        of a map as a vector; if a unit that was named has no value above 0 on the
        pictures, or a value is not finite.
    IndexError
        If the layer has no unit of a number.
    gradcam.PictureError, OSError
        If a picture cannot be read and `on_error` is "raise".

    References
    ----------
    Girshick, Donahue, Darrell and Malik, "Rich feature hierarchies for accurate object detection
    and semantic segmentation", CVPR 2014, figure 4. There the pictures are region proposals, and
    of patches that overlap only the best one is kept; here it is the best one of a picture.
    """
    check_network(network)
    name = network.names(network.target_layer if layer is None else layer)[0]
    _check_layer(network, name)
    asked = None if units is None else _units(network, name, units)
    most, of_one = positive("count", count), positive("per_picture", per_picture)
    found = _Search(network, name, most, of_one)
    stream = network.stream(
        *(_given(pictures), batch),
        on_error=on_error,
        progress=progress,
        keep=name,
        size=size,
        record=False,
    )
    for sources, tape in stream:
        found.add(sources, tape)
    if not found.read:
        if stream.skipped:
            raise ValueError(none_read("", [error for _, error in stream.skipped]))
        raise ValueError("no pictures: give a folder or a list with at least one")
    return found.result(asked, tuple(stream.skipped))


class _Search:
    """The best places of all units of a layer, on the pictures so far."""

    def __init__(self, network: Network, layer: str, count: int, per_picture: int) -> None:
        self.network, self.layer = network, layer
        shape = network.shape(layer, network.input_size)
        self.best = Strongest(shape[0], count, per_picture)
        self._has_positions = len(shape) == 3
        self.read = 0
        self._kept: dict[int, tuple[PictureLike, Geometry]] = {}
        self._fields: dict[tuple[int, int], tuple[tuple[Fields, ...], NDArray[np.intp]]] = {}

    def add(self, sources: Sequence[PictureLike], tape: BatchTape) -> None:
        """Look at the pictures of a batch."""
        maps = tape.activation(self.layer)
        if not _core.all_finite(maps):
            raise ValueError(
                f"the output of {self.layer} of {self.network.name} is not finite: its values are "
                f"too large for float32 on one of these pictures"
            )
        maps = maps.reshape(*maps.shape[:2], -1)
        fields, which = self._all_fields(tape.size)
        unseen = ~np.array([each.sees.ravel() for each in fields])
        if unseen.any():
            maps[:, unseen[which]] = -np.inf  # a constant: such a position sees only padding
        for source, values, geometry in zip(sources, maps, tape.geometries, strict=True):
            self.best.add(self.read, values)
            self._kept[self.read] = source, geometry
            self.read += 1
        needed = self.best.pictures()
        self._kept = {number: each for number, each in self._kept.items() if number in needed}

    def _all_fields(self, size: tuple[int, int]) -> tuple[tuple[Fields, ...], NDArray[np.intp]]:
        """Return the receptive fields for inputs of this size, and which are those of each unit."""
        if size not in self._fields:
            self._fields[size] = receptive_fields(self.network, self.layer, size)
        return self._fields[size]

    def result(
        self,
        asked: tuple[int, ...] | None,
        skipped: tuple[tuple[PictureLike, Exception], ...],
    ) -> Patches:
        """Return the patches of the units that were asked for, or of the most exceptional ones."""
        silent = self.best.silent()
        where = f"of {self.layer} of {self.network.name}"
        if len(silent) == len(self.best):
            raise ValueError(f"no unit {where} is above 0 on {_these(self.read)}")
        if asked is None:
            asked = self.best.exceptional(_CHOSEN)
        elif none := [unit for unit in asked if unit in set(silent)]:
            numbers = ", ".join(map(str, none[:10])) + (", ..." if len(none) > 10 else "")
            raise ValueError(
                f"unit{'s' if len(none) > 1 else ''} {numbers} {where} never fire"
                f"{'' if len(none) > 1 else 's'}: no value is above 0 on {_these(self.read)}. Name "
                f"other units, give more pictures, or leave units out: then units that fire are "
                f"chosen"
            )
        return Patches(
            network=self.network.name,
            layer=self.layer,
            units=asked,
            pictures=self.read,
            skipped=skipped,
            silent=silent,
            has_positions=self._has_positions,
            _patches={unit: self._patches(unit) for unit in asked},
        )

    def _patches(self, unit: int) -> tuple[Patch, ...]:
        made = []
        for value, number, place in self.best.of(unit):
            source, geometry = self._kept[number]
            every, which = self._all_fields(geometry.input)
            fields = every[which[unit]]
            row, column = divmod(place, len(fields.columns))
            position = (row, column) if self._has_positions else None
            box = fields.box(row, column)
            made.append(Patch(unit, value, position, number, source, box, geometry))
        return tuple(made)


def _given(pictures: str | os.PathLike[str] | Iterable[P] | BatchArray) -> Iterable[P]:
    """Return the pictures of a folder, or those that were given."""
    if isinstance(pictures, (str, os.PathLike)) and not os.path.isfile(expanded(pictures)):
        return cast("Iterable[P]", pictures_in(pictures))
    refuse_input(pictures)
    if is_picture_source(pictures) or getattr(pictures, "ndim", 4) != 4:
        return [cast("P", pictures)]
    return cast("Iterable[P]", pictures)


def _check_layer(network: Network, layer: str) -> None:
    """Raise ValueError if a unit of the layer is a position of a map."""
    source = flattened_map(network, layer, network.input_size)
    if source is not None:
        raise ValueError(
            f"{layer} holds the values of {source} as a vector, so that each of its units is a "
            f"position of that map: name {source}"
        )


def _units(
    network: Network, layer: str, units: SupportsIndex | Sequence[SupportsIndex]
) -> tuple[int, ...]:
    """Return the numbers of units of a layer, each once."""
    numbers = _numbers(units)
    count = network.shape(layer, network.input_size)[0]
    for number in numbers:
        if not 0 <= number < count:
            raise IndexError(
                f"unit {number} of {layer}: the layer has {count} units, 0 to {count - 1}"
            )
    return numbers


def _numbers(units: SupportsIndex | Sequence[SupportsIndex]) -> tuple[int, ...]:
    """Return numbers, each once."""
    several = units.ndim > 0 if isinstance(units, np.ndarray) else isinstance(units, Sequence)
    given = cast("Sequence[SupportsIndex]", units if several else [units])
    numbers = tuple(dict.fromkeys(integer("units", each) for each in given))
    if not numbers:
        raise ValueError("units: name at least one, or leave it out")
    return numbers


def _these(count: int) -> str:
    return "this picture" if count == 1 else f"these {count} pictures"


def _count(count: int) -> str:
    return "1 picture" if count == 1 else f"{count:,} pictures"
