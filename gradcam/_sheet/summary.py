"""Where the maps of one rank lie, over all pictures whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gradcam._methods.bootstrap import Interval, bootstrap
from gradcam._sheet.shares import Totals
from gradcam._text import percent

FEWEST = 20
"""Pictures of which an interval is given; of fewer it is too narrow."""


@dataclass(frozen=True)
class RankSummary:
    """Where the maps of one rank lie, over the pictures whose truth is known.

    The intervals are 95 % bootstrap intervals over the pictures, NaN for fewer than 20 pictures;
    their ``size`` is the number of pictures that were averaged.

    Attributes
    ----------
    rank : int
        1: the maps of the most probable classes.
    pictures : int
        Whose truth is known.
    flat : int
        Pictures whose map is flat; they are left out of all that follows but `known` and `present`.
    known : int
        Pictures in which the network knows the classes of all objects.
    present : int
        Of these, pictures in which there is an object of the map's class.
    own : Interval
        The mean share on objects of the class, 0 to 1, over the pictures that have one.
    others : Interval
        The mean share on other objects, over the pictures in which all classes are known.
    ground : Interval
        The mean share on the ground.
    ground_area : float
        The mean share of the ground in the area that the network saw, over the same pictures; NaN
        if there is none.
    """

    rank: int
    pictures: int
    flat: int
    known: int
    present: int
    own: Interval
    others: Interval
    ground: Interval
    ground_area: float


def summarised(rank: int, found: Sequence[tuple[Totals, float]]) -> RankSummary:
    """Return the summary of a rank: `found` has the totals and the area of the ground."""
    drawn = [(totals, area) for totals, area in found if not math.isnan(totals.ground)]
    return RankSummary(
        rank,
        pictures=len(found),
        flat=len(found) - len(drawn),
        known=sum(totals.present is not None for totals, _ in found),
        present=sum(totals.present is True for totals, _ in found),
        own=_mean(totals.own for totals, _ in drawn if totals.present),
        others=_mean(totals.others for totals, _ in drawn),
        ground=_mean(totals.ground for totals, _ in drawn),
        ground_area=sum(area for _, area in drawn) / len(drawn) if drawn else math.nan,
    )


def _mean(values: Iterable[float]) -> Interval:
    """Return the mean, and its interval if there are values enough."""
    found = bootstrap(list(values))
    return found if found.size >= FEWEST else found._replace(low=math.nan, high=math.nan)


def interval(found: Interval) -> str:
    """Return a mean share with its interval, if it has one: "24.1 % (22.0 to 26.3)"."""
    if math.isnan(found.mean):
        return "–"
    if math.isnan(found.low):
        return percent(found.mean)
    return f"{percent(found.mean)} ({100 * found.low:.1f} to {100 * found.high:.1f})"
