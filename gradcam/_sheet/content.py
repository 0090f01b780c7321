"""What a sheet says: a row for each picture, with the most probable classes and their maps."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gradcam._labels.classes import Decoded, Target
from gradcam._results.explanation import Explanation
from gradcam._sheet.shares import Share, Totals, in_words
from gradcam._sheet.summary import RankSummary, interval, summarised
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
    unknown : tuple of str
        The classes of objects that the network does not know, or not for certain.
    """

    name: str
    size: tuple[int, int]
    picture: NDArray[np.uint8]
    maps: tuple[ClassMap, ...]
    ground_area: float | None = None
    notes: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

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
        by_rank: dict[int, list[tuple[Totals, float]]] = {}
        for row in self.rows:
            for each in row.maps:
                if each.totals is not None and row.ground_area is not None:
                    by_rank.setdefault(each.rank, []).append((each.totals, row.ground_area))
        return tuple(summarised(rank, found) for rank, found in sorted(by_rank.items()))

    @property
    def unknown(self) -> Counter[str]:
        """The classes of objects that the network does not know, and in how many pictures."""
        return Counter(label for row in self.rows for label in row.unknown)

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
        shown = [each for each in (first, *others[-1:]) if each.ground.size]
        if not shown:
            return "The maps are flat: they lie nowhere."
        lie = ", ".join(
            f"of the {ordinal(each.rank)} class's map {interval(each.ground)} lies on the ground"
            if each is shown[0]
            else f"of the {ordinal(each.rank)} class's map {interval(each.ground)}"
            for each in shown
        )
        areas = " and ".join(dict.fromkeys(percent(each.ground_area) for each in shown))
        return f"{lie[:1].upper()}{lie[1:]}; the ground is {areas} of the area."


_ORDINALS = (
    *("first", "second", "third", "fourth", "fifth"),
    *("sixth", "seventh", "eighth", "ninth", "tenth"),
)

MOST = len(_ORDINALS)
"""Classes of a picture that a sheet shows at most."""


def ordinal(rank: int) -> str:
    """Return a rank in words: "third"."""
    return _ORDINALS[rank - 1]
