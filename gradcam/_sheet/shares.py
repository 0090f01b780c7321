"""What a map lies on: shares of objects, of places where objects overlap, and of the ground."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gradcam._results.explanation import Explanation, no_flat_warnings
from gradcam._sheet.truth import Known
from gradcam.measures._inside import energy_inside

_Mask = NDArray[np.bool_]

Kind = Literal["object", "overlap", "ground"]

MOST_NAMED = 4
"""Objects that a sentence names."""

FLAT = "The map is flat: it lies nowhere."


@dataclass(frozen=True)
class Share:
    """How much of a map lies on one part of the picture.

    Attributes
    ----------
    name : str
        The object's class, ``"several objects"`` or ``"ground"``.
    kind : "object", "overlap" or "ground"
        "overlap": where the regions of several objects overlap.
    share : float
        Of the map's positive values, 0 to 1; NaN if the map is flat. Those of a map add up to 1.
    """

    name: str
    kind: Kind
    share: float


@dataclass(frozen=True)
class Totals:
    """How much of a map lies on what: objects of its class, other objects, the ground.

    Attributes
    ----------
    own, others, ground : float
        0 to 1, together 1; NaN if the map is flat. What is both on an object of the class and on
        another one counts as `own`. `own` and `others` are NaN if the network does not know the
        class of an object, so that it may be of this class.
    present : bool or None
        Whether there is an object of the class; None if that is not known.
    """

    own: float
    others: float
    ground: float
    present: bool | None


def shares(explanation: Explanation, objects: Sequence[Known]) -> tuple[Share, ...]:
    """Return what a map lies on: each object, largest share first; overlaps; the ground.

    A pixel belongs to an object if it lies on no other one. "several objects" is left out if no
    two objects overlap.
    """
    count = np.zeros(explanation.picture.shape[:2], np.uint16)
    for each in objects:
        count += each.mask
    inside = _measured(explanation)
    found = [Share(each.name, "object", inside(each.mask & (count == 1))) for each in objects]
    found.sort(key=lambda each: -each.share)
    if (count > 1).any():
        found.append(Share("several objects", "overlap", inside(count > 1)))
    return (*found, Share("ground", "ground", inside(count == 0)))


def totals_of(explanation: Explanation, objects: Sequence[Known], index: int) -> Totals:
    """Return how much of the map of the class `index` lies on objects of it, others, the ground."""
    own = np.zeros(explanation.picture.shape[:2], bool)
    every = own.copy()
    for each in objects:
        every |= each.mask
        if each.index == index:
            own |= each.mask
    inside = _measured(explanation)
    if any(each.index is None for each in objects):
        return Totals(math.nan, math.nan, inside(~every), None)
    return Totals(inside(own), inside(every & ~own), inside(~every), bool(own.any()))


def _measured(explanation: Explanation) -> Callable[[_Mask], float]:
    """Return what measures the share of a map inside a mask, which may be empty."""

    def inside(mask: _Mask) -> float:
        with no_flat_warnings():
            if not explanation.map.any():
                return math.nan
            return energy_inside(explanation, mask) if mask.any() else 0.0

    return inside


def ground_area(objects: Sequence[Known], size: tuple[int, int], seen: _Mask | None) -> float:
    """Return the share of the ground in the area that the network saw, 0 to 1."""
    ground = np.ones(size, bool)
    for each in objects:
        ground &= ~each.mask
    return float(ground.mean() if seen is None else ground[seen].mean())


def in_words(found: Sequence[Share]) -> list[str]:
    """Return shares in words: "72 % on the dog", "20 % on the cat", "8 % on the ground".

    Percents are whole numbers that add up to 100; parts without a share are left out, and of more
    than four objects the last are counted together.
    """
    if any(math.isnan(each.share) for each in found):
        return [FLAT]
    objects = [each for each in found if each.kind == "object"]
    parts = [(f"on {_with_article(each.name)}", each.share) for each in objects[:MOST_NAMED]]
    if more := objects[MOST_NAMED:]:
        words = f"on {len(more)} other objects" if len(more) > 1 else "on another object"
        parts.append((words, sum(each.share for each in more)))
    names = {"overlap": "where objects overlap", "ground": "on the ground"}
    parts += [(names[each.kind], each.share) for each in found if each.kind != "object"]
    parts = [(words, share) for words, share in parts if share > 0]
    percents = _whole([share for _, share in parts])
    return [f"{percent} {words}" for percent, (words, _) in zip(percents, parts, strict=True)]


def _with_article(name: str) -> str:
    """Return "the dog"; a numbered object needs no article: "dog 2"."""
    return name if name[-1:].isdigit() else f"the {name}"


def _whole(values: Sequence[float]) -> list[str]:
    """Return shares as whole percents that add up to 100, by the largest remainders.

    Nothing that has a share becomes 0 %, and only a share of the whole is 100 %.
    """
    exact = [100 * value for value in values]
    floors = [math.floor(each) for each in exact]
    left = round(sum(exact)) - sum(floors)
    by_rest = sorted(range(len(exact)), key=lambda n: floors[n] - exact[n])
    for n in by_rest[:left]:
        floors[n] += 1
    words = {0: "less than 1 %", 100: "more than 99 %"}
    alone = len(values) == 1
    return [f"{each} %" if alone else words.get(each, f"{each} %") for each in floors]
