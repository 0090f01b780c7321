"""Concepts, and how much of the places where a unit fires belongs to each."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
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


class Overlaps:
    """Counts pixels over a set of pictures: of units, of concepts, and of both.

    A picture without a concept of a kind says nothing about this kind and is left out of its
    counts.

    Parameters
    ----------
    thresholds : (K,) array of float32
        From which value on each unit fires; infinity for a unit that is left out.
    """

    def __init__(self, thresholds: NDArray[np.float32]) -> None:
        self.thresholds = thresholds
        self.pictures: Counter[Concept] = Counter()
        self.absent: dict[Concept, None] = {}
        self._concepts: Counter[Concept] = Counter()
        self._units: defaultdict[str, NDArray[np.int64]] = defaultdict(self._zeros)
        self._both: defaultdict[Concept, NDArray[np.int64]] = defaultdict(self._zeros)

    def _zeros(self) -> NDArray[np.int64]:
        return np.zeros(len(self.thresholds), np.int64)

    def add(
        self, maps: NDArray[np.float32], geometry: Geometry, masks: Mapping[Concept, Mask]
    ) -> None:
        """Count the pixels of one picture that the network saw.

        Parameters
        ----------
        maps : (K, h, w) array of float32
        geometry : Geometry
            Through which the maps are enlarged to the picture, bilinearly.
        masks : mapping of Concept to (H, W) array of bool
        """
        seen = geometry.seen_part
        places = {each: (mask if seen is None else mask & seen) for each, mask in masks.items()}
        areas = {each: int(np.count_nonzero(mask)) for each, mask in places.items()}
        self.absent |= dict.fromkeys(each for each, area in areas.items() if not area)
        places = {each: mask.ravel() for each, mask in places.items() if areas[each]}
        kinds = {each.kind for each in places}
        for each in places:
            self.pictures[each] += 1
            self._concepts[each] += areas[each]
        # Bilinear interpolation makes no value larger: other units fire nowhere.
        firing = np.flatnonzero(maps.max(axis=(1, 2)) >= self.thresholds)
        for part in batches(len(firing), max(1, _PIXELS // math.prod(geometry.picture))):
            units = firing[part]
            fires = geometry.to_picture(maps[units]) >= self.thresholds[units, None, None]
            if seen is not None:
                fires &= seen
            rows, pixels = np.nonzero(fires.reshape(len(units), -1))
            for kind in kinds:
                self._units[kind][units] += np.bincount(rows, minlength=len(units))
            for each, place in places.items():
                self._both[each][units] += np.bincount(rows[place[pixels]], minlength=len(units))

    def scores(self) -> tuple[tuple[Concept, ...], NDArray[np.float64]]:
        """Return the concepts that occur, by kind and name, and the IoU of each unit, (K, C)."""
        concepts = tuple(sorted(self.pictures, key=lambda each: (each.kind, each.name)))
        scores = np.zeros((len(self.thresholds), len(concepts)))
        for n, each in enumerate(concepts):
            both = self._both[each]
            scores[:, n] = both / (self._units[each.kind] + self._concepts[each] - both)
        return concepts, scores
