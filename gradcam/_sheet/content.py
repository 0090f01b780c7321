"""What a sheet says: a row for each picture, with the most probable classes and their maps."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gradcam._labels.classes import Decoded, Target
from gradcam._methods.bootstrap import Interval, bootstrap
from gradcam._results.explanation import Explanation
from gradcam._sheet.shares import Share, Totals, in_words
from gradcam._text import percent


@dataclass(frozen=True, eq=False, repr=False)
class ClassMap:
    """One of the most probable classes of a picture, and its map.

    Attributes
    ----------
    rank : int
        1 for the most probable class.
    target : Target
        The class: ``.index``, ``.synset``, ``.label``.
    probability : float
        0 to 1.
    explanation : Explanation
        Of the picture as the sheet shows it, :attr:`SheetRow.picture`. Its ``origin`` is None, so
        that a sheet does not hold the pictures in their full size.
    shares : tuple of Share
        How much of the map lies on each object, largest first, then on the ground; together 1.
        Measured at the picture's full size. Empty if the truth is not known.
    totals : Totals or None
        The same for objects of this class, other objects and the ground.
    """

    rank: int
    target: Target
    probability: float
    explanation: Explanation
    shares: tuple[Share, ...] = ()
    totals: Totals | None = None

    @property
    def image(self) -> NDArray[np.uint8]:
        """The map over the picture, (h, w, 3), as :attr:`Explanation.image`; it is not stored."""
        return replace(self.explanation).image

    @property
    def parts(self) -> list[str]:
        """What the map lies on: "72 % on the dog", "28 % on the ground"; empty if not known."""
        return in_words(self.shares) if self.shares else []

    @property
    def words(self) -> str:
        """:attr:`parts` as one text: "72 % on the dog, 28 % on the ground"."""
        return ", ".join(self.parts)

    def __repr__(self) -> str:
        about = f": {self.words}" if self.shares else ""
        return f"<{self.rank}. {self.target.label}, {percent(self.probability)}{about}>"


@dataclass(frozen=True, eq=False, repr=False)
class SheetRow:
    """One picture of a sheet.

    Attributes
    ----------
    name : str
        Its path, or what it was called.
    size : (height, width)
        Of the picture, in pixels.
    picture : (h, w, 3) array of uint8
        RGB; its longer side has at most 480 pixels.
    maps : tuple of ClassMap
        The most probable class first.
    ground_area : float or None
        The share of the ground in the area that the network saw, 0 to 1: what a map with one value
        everywhere would have there. None if the truth is not known.
    notes : tuple of str
        What to know about the truth, in sentences.
    """

    name: str
    size: tuple[int, int]
    picture: NDArray[np.uint8]
    maps: tuple[ClassMap, ...]
    ground_area: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def top(self) -> Decoded:
        """The classes as Keras's ``decode_predictions``: (synset, label, probability)."""
        return [(each.target.synset, each.target.label, each.probability) for each in self.maps]

    @property
    def decoded(self) -> str:
        """:attr:`top` as Keras prints it, to be copied: Python reads it as a list."""
        lines = (f"({s!r}, {label!r}, {np.float32(p)!s})" for s, label, p in self.top)
        return f"[{', '.join(lines)}]"

    def __repr__(self) -> str:
        return f"<SheetRow {self.name}: {', '.join(map(repr, self.maps))}>"


@dataclass(frozen=True)
class RankSummary:
    """Where the maps of one rank lie, over the pictures whose truth is known.

    Attributes
    ----------
    rank : int
        1: the maps of the most probable classes.
    pictures : int
    present : int
        Pictures in which there is an object of that class.
    own, others, ground : Interval
        The mean share on objects of the class, on other objects and on the ground, 0 to 1, with
        95 % bootstrap intervals over the pictures; flat maps are left out.
    """

    rank: int
    pictures: int
    present: int
    own: Interval
    others: Interval
    ground: Interval


@dataclass(frozen=True, eq=False, repr=False)
class Content:
    """All that a sheet says.

    Attributes
    ----------
    network, method : str
        Their names, for people.
    rows : tuple of SheetRow
        In the order of the pictures.
    skipped : tuple of (name, exception)
        The pictures that could not be read, or whose truth is wrong.
    about : str
        What the network knows, if users should be told.
    """

    network: str
    method: str
    rows: tuple[SheetRow, ...]
    skipped: tuple[tuple[str, Exception], ...] = ()
    about: str = ""

    @property
    def has_truth(self) -> bool:
        """Whether the truth of a picture is known."""
        return any(row.ground_area is not None for row in self.rows)

    @cached_property
    def summary(self) -> tuple[RankSummary, ...]:
        """Where the maps of each rank lie; empty if no picture's truth is known."""
        most = max((len(row.maps) for row in self.rows), default=0)
        found = (self._of_rank(rank) for rank in range(1, most + 1))
        return tuple(each for each in found if each is not None)

    def _of_rank(self, rank: int) -> RankSummary | None:
        maps = [each for row in self.rows for each in row.maps if each.rank == rank]
        sums = [each.totals for each in maps if each.totals is not None]
        if not sums:
            return None
        return RankSummary(
            *(rank, len(sums), sum(each.present for each in sums)),
            own=bootstrap([each.own for each in sums]),
            others=bootstrap([each.others for each in sums]),
            ground=bootstrap([each.ground for each in sums]),
        )

    @property
    def ground_area(self) -> float:
        """The mean of :attr:`SheetRow.ground_area`; NaN if no picture's truth is known."""
        known = [row.ground_area for row in self.rows if row.ground_area is not None]
        return float(np.mean(known)) if known else math.nan

    @property
    def finding(self) -> str:
        """The main number in a sentence: how much of the maps lies on the ground, if known."""
        if not self.rows:
            return "No picture could be read."
        if not self.has_truth:
            mean_first = float(np.mean([row.maps[0].probability for row in self.rows]))
            mean = " on average" if len(self.rows) > 1 else ""
            return f"The most probable class has a probability of {percent(mean_first)}{mean}."
        first, *others = self.summary
        lie = f"Of the first class's map {interval(first.ground)} lies on the ground"
        if others:
            last = others[-1]
            lie += f", of the {ordinal(last.rank)} class's map {interval(last.ground)}"
        return f"{lie}; the ground is {percent(self.ground_area)} of the area."


_ORDINALS = ("", "first", "second", "third", "fourth", "fifth")


def ordinal(rank: int) -> str:
    """Return a rank in words or, above five, in digits: "third", "21st"."""
    if rank < len(_ORDINALS):
        return _ORDINALS[rank]
    end = "th" if rank // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    return f"{rank}{end}"


def interval(found: Interval) -> str:
    """Return a mean share with its interval: "24.1 % (22.0 to 26.3)"; without one if unknown."""
    if math.isnan(found.mean):
        return "an unknown share (flat maps)"
    if math.isnan(found.low):
        return percent(found.mean)
    return f"{percent(found.mean)} ({100 * found.low:.1f} to {100 * found.high:.1f})"
