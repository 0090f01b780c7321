"""What Network Dissection found: the names of units, and how well they fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.network import Network
from gradcam._methods.passes import elements, integer, positive
from gradcam._pictures.image import read_picture
from gradcam._text import brief
from gradcam.inside._concepts import Concept, fires
from gradcam.inside._examples import Example
from gradcam.inside._sentence import Sentence, say
from gradcam.inside._units_figure import Row, draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gradcam._engine.network import PictureLike
    from gradcam._results.explanation import Explanation


class Unit(NamedTuple):
    """A unit with a name.

    Attributes
    ----------
    number : int
        The channel of the layer, from 0 on.
    concept : Concept
    iou : float
    """

    number: int
    concept: Concept
    iou: float


@dataclass(frozen=True, eq=False, repr=False)
class Dissection:
    """The names of the K units of a layer, found by C concepts.

    Attributes
    ----------
    network : Network
    layer : str
        By its first name.
    pictures : int
        How many pictures count.
    quantile, iou : float
        As given: of a unit's values for its threshold; what a name's IoU must be above.
    concepts : tuple of C Concept
        Those that occur, by kind and name.
    frequencies : (C,) array of int64
        In how many pictures each concept occurs.
    scores : (K, C) array of float64
        The IoU of each unit with each concept, 0 to 1; 0 for a silent unit.
    chance_scores : (K,) array of float64, or None
        The highest IoU of each unit with the masks of other pictures; None if fewer than two
        pictures have masks.
    thresholds : (K,) array of float32
        T_k: a unit fires where its enlarged map is this or more.
    silent : (K,) array of bool
        Units whose threshold is their smallest value, 0 after a ReLU, because they fire at fewer
        positions than the quantile leaves, or never. They get no name.
    absent : tuple of Concept
        Concepts that were given, but have no pixel that the network sees in any picture.
    skipped : tuple of (int, exception)
        The positions of the pictures that could not be read, or whose masks could not.
    examples : tuple of K tuples of Example
        The pictures in which each unit is strongest, with its map; the strongest first.
    source : sequence of pictures
        The pictures as given; :meth:`plot` reads some of them again.
    """

    network: Network
    layer: str
    pictures: int
    quantile: float
    iou: float
    concepts: tuple[Concept, ...]
    frequencies: NDArray[np.int64]
    scores: NDArray[np.float64]
    chance_scores: NDArray[np.float64] | None
    thresholds: NDArray[np.float32]
    silent: NDArray[np.bool_]
    absent: tuple[Concept, ...]
    skipped: tuple[tuple[int, Exception], ...]
    examples: tuple[tuple[Example, ...], ...]
    source: Sequence[PictureLike]

    @cached_property
    def names(self) -> tuple[Concept | None, ...]:
        """(K,) The concept that each unit is named by; None for a unit without a name.

        Of several concepts with the same IoU it is the first in :attr:`concepts`.
        """
        best = self.scores.argmax(1).tolist()
        named = (self.scores.max(1) > self.iou) & ~self.silent
        return tuple(
            self.concepts[n] if known else None
            for n, known in zip(best, named.tolist(), strict=True)
        )

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """The units that have a name, the highest IoU first."""
        found = [
            Unit(number, concept, float(self.scores[number].max()))
            for number, concept in enumerate(self.names)
            if concept is not None
        ]
        return tuple(sorted(found, key=lambda each: (-each.iou, each.number)))

    @property
    def detectors(self) -> dict[Concept, tuple[Unit, ...]]:
        """The concepts that name a unit, and the units of each; the highest IoU first."""
        found: dict[Concept, tuple[Unit, ...]] = {}
        for unit in self.units:
            found[unit.concept] = (*found.get(unit.concept, ()), unit)
        return found

    @property
    def by_chance(self) -> int | None:
        """How many units would have a name with the masks of other pictures; None if unknown."""
        if self.chance_scores is None:
            return None
        return int(((self.chance_scores > self.iou) & ~self.silent).sum())

    @property
    def caution(self) -> str:
        """Why the names may be chance, in a sentence; empty if at most 1 in 20 would be."""
        chance, named = self.by_chance, len(self.units)
        more = "use more pictures with masks, or ask for a higher IoU"
        if chance is None:
            return (
                f"fewer than two pictures have masks, so that it is not known how many units would "
                f"have a name by chance: {more}"
            )
        if 20 * chance <= named:
            return ""
        return (
            f"with the masks of other pictures, {chance} of {len(self.names)} units would have a "
            f"name, too, so that some names may be chance: {more}"
        )

    @property
    def finding(self) -> str:
        """What was found, in a sentence."""
        every, found = (Counter(each.kind for each in of) for of in (self.concepts, self.detectors))
        parts = [f"{found[kind]} of {every[kind]} concepts of the kind {kind}" for kind in every]
        if len(every) == 1:
            parts = [f"{len(self.detectors)} of {len(self.concepts)} concepts"]
        text = (
            f"{len(self.units)} of {len(self.names)} units of {self.layer} have a name (IoU above "
            f"{self.iou:g}), by {' and '.join(parts)}"
        )
        if self.by_chance is not None:
            text += f"; with the masks of other pictures it would be {self.by_chance}"
        if quiet := int(self.silent.sum()):
            text += f"; {quiet} fire{'s' * (quiet == 1)} at too few positions to get one"
        return text

    def sentence(self, explanation: Explanation, *, count: SupportsIndex = 5) -> Sentence:
        """Say by the names of units why the network gave a picture a score.

        Of the units that fire on the picture, which have a value above 0 somewhere, the `count`
        with the highest alpha above 0 are evidence for the class, and the `count` with the
        lowest alpha below 0 are evidence against it. Those that have a name are listed; the others
        are counted.

        Parameters
        ----------
        explanation : Explanation
            Of Grad-CAM without options that change its weights, of this network and layer. The
            network runs again on its picture.
        count : int

        Raises
        ------
        ValueError
            If the explanation is of another method, layer or network, or was stored and has no
            network any more; or `count` is below 1.
        TypeError
            If it is something else.

        Notes
        -----
        Selvaraju et al. 2017, "Identifying neurons and textual explanations" of the arXiv version.
        The names say mostly which units the class depends on, and little about the picture: the
        name of a class that the picture does not show is among the highest just as often
        (``python -m gradcam.pictograms names``).
        """
        best = self.scores.max(1).tolist()
        names = [
            None if name is None else (name, iou)
            for name, iou in zip(self.names, best, strict=True)
        ]
        return say(explanation, self.network, self.layer, names, positive("count", count))

    def plot(self, units: Sequence[SupportsIndex] | None = None, *, count: int = 8) -> Figure:
        """Draw the pictures in which units are strongest; where a unit fires, they are bright.

        Of each unit up to five pictures are shown, those in which it fires.

        Parameters
        ----------
        units : list of int, optional
            By default the best unit of each of the `count` concepts with the highest IoU.
        count : int

        Raises
        ------
        IndexError
            If there is no such unit.
        ValueError
            If no unit has a name and none is given, or a unit that is given never fires.
        """
        if units is None:
            best = [each[0].number for each in self.detectors.values()][: positive("count", count)]
            if not best:
                raise ValueError(
                    f"no unit of {self.layer} has a name (IoU above {self.iou:g}): name units to "
                    f"draw, units=[0, 1]"
                )
        else:
            best = [self._number(each) for each in elements("units", units, "units")]
            if not best:
                raise ValueError("units: expected at least one")
        note = f" Caution: {self.caution}." if self.caution else ""
        return draw([self._row(unit) for unit in best], self.finding, self.layer, note)

    def _number(self, unit: SupportsIndex) -> int:
        number = integer("unit", unit)
        if not 0 <= number < len(self.names):
            raise IndexError(
                f"there is no unit {number}: {self.layer} has {len(self.names)}, from 0 on"
            )
        if self.silent[number]:
            raise ValueError(
                f"unit {number} of {self.layer} fires at too few positions of the {self.pictures} "
                f"pictures: it has no threshold, so that there is nothing to draw"
            )
        return number

    def _row(self, unit: int) -> Row:
        name = self.names[unit]
        words = f"unit {unit}: no name" if name is None else f"unit {unit}: {name}"
        pictures: list[tuple[NDArray[np.uint8], NDArray[np.bool_], float]] = []
        for each in self.examples[unit]:
            lit = fires(each.map[None], self.thresholds[[unit]], each.geometry)[0]
            if lit.any() or not pictures:  # the first one says that it fires nowhere
                pictures.append((read_picture(self.source[each.picture]), lit, each.value))
        return Row(words, float(self.scores[unit].max()), pictures)

    def __repr__(self) -> str:
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        absent = f"; absent: {brief([str(each) for each in self.absent])}" if self.absent else ""
        return (
            f"<Dissection of {self.network.name} by {self.pictures} pictures{skipped}: "
            f"{self.finding}{absent}>"
        )
