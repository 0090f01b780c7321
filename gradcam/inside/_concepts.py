"""Concepts, and how much of the places where a unit fires belongs to each."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam._methods.passes import batches
from gradcam._pictures.image import Geometry
from gradcam._text import brief

Mask = NDArray[np.bool_]

_PIXELS = 1 << 22
"""Pixels of enlarged maps that are in memory at a time."""


class Concept(NamedTuple):
    """Something that a unit can be named by.

    Attributes
    ----------
    name : str
    kind : str
        What sort of concept it is, such as "class" or "colour". Two concepts of different kinds may
        have one name: orange, the fruit, and orange, the colour.
    """

    name: str
    kind: str = "object"

    def __str__(self) -> str:
        """Return the name, with the kind if it is neither "object" nor "class"."""
        words = self.name.replace("_", " ")
        return words if self.kind in ("object", "class") else f"{words} ({self.kind})"


def checked_masks(given: object, size: tuple[int, int], about: str) -> dict[Concept, Mask]:
    """Return the masks of a picture, having checked them.

    Parameters
    ----------
    given : mapping of Concept or str to (H, W) array of bool
    size : (height, width)
        Of the picture.
    about : str
        Which picture it is, for messages.

    Raises
    ------
    TypeError
        If it is not a mapping, or a concept is neither a Concept nor a str.
    ValueError
        If a mask has another size, or holds something else than True and False; if a concept has no
        name.
    """
    if not isinstance(given, Mapping):
        raise TypeError(
            f"masks of {about}: expected a mapping of concepts to masks, got {brief(given)}"
        )
    found = {}
    for key, value in given.items():
        concept = Concept(key) if isinstance(key, str) else key
        if not isinstance(concept, Concept):
            raise TypeError(
                f"masks of {about}: a concept is a gradcam.inside.Concept or a str, "
                f"got {brief(key)}"
            )
        if not concept.name or not concept.kind:
            raise ValueError(f"masks of {about}: a concept has no name: {concept!r}")
        found[concept] = _checked(value, size, f"{about}, concept {concept}")
    return found


def _checked(mask: object, size: tuple[int, int], about: str) -> Mask:
    array = np.asarray(mask)
    if array.dtype != bool:
        raise ValueError(
            f"mask of {about}: expected an array of True and False, got {array.dtype}; compare its "
            f"values with a number: values > 0"
        )
    if array.shape != size:
        raise ValueError(
            f"mask of {about}: expected the size of the picture, {size[0]} x {size[1]} (height x "
            f"width), got shape {array.shape}"
        )
    return array


def fires(
    maps: NDArray[np.float32], thresholds: NDArray[np.float32], geometry: Geometry
) -> NDArray[np.bool_]:
    """Return where units fire on a picture, (K, H, W): their enlarged maps reach the thresholds.

    The thresholds are subtracted before the maps are enlarged. So a place between positions that
    are all at the threshold is exactly 0, and fires: a unit that saturates, as with ReLU6, has
    many of them, and interpolated values would differ from the threshold by rounding.

    Parameters
    ----------
    maps : (K, h, w) array of float32
    thresholds : (K,) array of float32
    geometry : Geometry
        Through which the maps are enlarged, bilinearly.
    """
    found: NDArray[np.bool_] = geometry.to_picture(maps - thresholds[:, None, None]) >= 0
    if geometry.cropped:
        found &= geometry.seen
    return found


class Firing(NamedTuple):
    """Some units, and each pixel at which one fires: its row in `units`, its place in (H * W)."""

    units: NDArray[np.intp]
    rows: NDArray[np.intp]
    pixels: NDArray[np.intp]


def firing(
    maps: NDArray[np.float32], thresholds: NDArray[np.float32], geometry: Geometry
) -> Iterator[Firing]:
    """Yield where units fire on a picture, some units at a time; see :func:`fires`."""
    # Values that are all below 0 are so between them, too: other units fire nowhere.
    units = np.flatnonzero(maps.max(axis=(1, 2)) >= thresholds)
    for part in batches(len(units), max(1, _PIXELS // math.prod(geometry.picture))):
        some = units[part]
        found = fires(maps[some], thresholds[some], geometry)
        yield Firing(some, *np.nonzero(found.reshape(len(some), -1)))


class Overlaps:
    """Counts pixels over a set of pictures: of units, of concepts, and of both.

    A picture without a concept of a kind says nothing about this kind and is left out of its
    counts.

    Parameters
    ----------
    units : int
        K.
    """

    def __init__(self, units: int) -> None:
        self._count = units
        self.pictures: Counter[Concept] = Counter()
        self.absent: dict[Concept, None] = {}
        self._concepts: Counter[Concept] = Counter()
        self._units: defaultdict[str, NDArray[np.int64]] = defaultdict(self._zeros)
        self._both: defaultdict[Concept, NDArray[np.int64]] = defaultdict(self._zeros)

    def _zeros(self) -> NDArray[np.int64]:
        return np.zeros(self._count, np.int64)

    def concepts(
        self, masks: Mapping[Concept, Mask], seen: NDArray[np.bool_] | None
    ) -> dict[Concept, Mask]:
        """Count the pixels of one picture's concepts; return the masks of those that it has.

        Parameters
        ----------
        masks : mapping of Concept to (H, W) array of bool
        seen : (H, W) array of bool, or None
            Which pixels the network saw; None for all.

        Returns
        -------
        dict of Concept to (H * W,) array of bool
            For :meth:`units`.
        """
        places = {each: (mask if seen is None else mask & seen) for each, mask in masks.items()}
        areas = {each: int(np.count_nonzero(mask)) for each, mask in places.items()}
        self.absent |= dict.fromkeys(each for each, area in areas.items() if not area)
        places = {each: mask.ravel() for each, mask in places.items() if areas[each]}
        for each in places:
            self.pictures[each] += 1
            self._concepts[each] += areas[each]
        return places

    def units(self, firing: Firing, places: Mapping[Concept, Mask]) -> None:
        """Count the pixels at which some units fire, and those that they share with concepts."""
        units, rows, pixels = firing
        for kind in {each.kind for each in places}:
            self._units[kind][units] += np.bincount(rows, minlength=len(units))
        for each, place in places.items():
            self._both[each][units] += np.bincount(rows[place[pixels]], minlength=len(units))

    def scores(self) -> tuple[tuple[Concept, ...], NDArray[np.float64]]:
        """Return the concepts that occur, by kind and name, and the IoU of each unit, (K, C)."""
        concepts = tuple(sorted(self.pictures, key=lambda each: (each.kind, each.name)))
        scores = np.zeros((self._count, len(concepts)))
        for n, each in enumerate(concepts):
            both = self._both[each]
            scores[:, n] = both / (self._units[each.kind] + self._concepts[each] - both)
        return concepts, scores
