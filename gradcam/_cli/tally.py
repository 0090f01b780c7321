"""The summary of ``gradcam evaluate localization``: errors over all pictures."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gradcam import measures
from gradcam._cli import terminal
from gradcam._cli.many import Record
from gradcam._labels.classes import is_number

if TYPE_CHECKING:
    from rich.table import Table

NUMBERS = (
    "Some of these names are numbers: if they are indices of the network's classes, from 0, add "
    "--class-indices."
)
"""What is said if the network does not know classes whose names are numbers."""

_MOST_NAMES = 5
"""How many of the classes that the network does not know are named."""

Summary = dict[str, Any]
"""As JSON has it."""


@dataclass
class _OfMethod:
    """One value for each picture."""

    layer: str = ""
    localization_top1: array[float] = field(default_factory=lambda: array("d"))
    localization_top5: array[float] = field(default_factory=lambda: array("d"))
    pointing: array[float] = field(default_factory=lambda: array("d"))
    energy_inside: array[float] = field(default_factory=lambda: array("d"))
    inside_outside: array[float] = field(default_factory=lambda: array("d"))
    infinite: int = 0
    flat: int = 0
    maps: int = 0


_VALUES = (
    *("localization_top1", "localization_top5"),
    *("pointing", "energy_inside", "inside_outside"),
)


class Tally:
    """Counts what the records of pictures say; it needs a few numbers for each picture."""

    def __init__(self) -> None:
        self.pictures = 0
        self.counts: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self._top1, self._top5 = array("d"), array("d")
        self._methods: dict[str, _OfMethod] = {}

    def add(self, record: Record) -> None:
        """Add the record of one picture."""
        if "error" in record:
            self.counts["failed"] += 1
            return
        self.unknown.update(record.get("unknown", ()))
        self.counts["crowds"] += record.get("crowds", 0)
        if record["truth"] != "known":
            self.counts[record["truth"]] += 1
            return
        self.pictures += 1
        self.counts["clipped boxes"] += record["clipped"]
        self.counts["no size"] += record["no_size"]
        results = record["results"]
        ranks = {each["rank"] for each in results}
        self._top1.append(1 not in ranks)
        self._top5.append(ranks == {None})
        for method in dict.fromkeys(each["method"] for each in results):
            self._add(method, [each for each in results if each["method"] == method])

    def _add(self, method: str, results: Sequence[Record]) -> None:
        """Add what one method found in one picture, for each true class."""
        of = self._methods.setdefault(method, _OfMethod(results[0]["layer"]))
        for name, values in (
            ("located_top1", of.localization_top1),
            ("located_top5", of.localization_top5),
        ):
            known = [each[name] for each in results if each[name] is not None]
            if known:
                values.append(not any(known))
        of.pointing.append(_mean(each["pointing"] for each in results))
        of.energy_inside.append(_mean(each["energy_inside"] for each in results))
        ratios = [each["inside_outside"] for each in results]
        of.inside_outside.append(_mean(each for each in ratios if each != "inf"))
        of.infinite += ratios.count("inf")
        of.flat += sum(each["flat"] for each in results)
        of.maps += len(results)

    def summary(self) -> Summary:
        """Return the errors and measures with their intervals, and the counts."""
        return {
            "pictures": self.pictures,
            "classification_top1": _interval(self._top1),
            "classification_top5": _interval(self._top5),
            "methods": [
                {
                    "method": method,
                    "layer": of.layer,
                    **{name: _interval(getattr(of, name)) for name in _VALUES},
                    "maps": of.maps,
                    "flat": of.flat,
                    "infinite_inside_outside": of.infinite,
                }
                for method, of in self._methods.items()
            ],
            "without_ground_truth": self.counts["none"],
            "unknown_class": self.counts["unknown class"],
            "failed": self.counts["failed"],
            "clipped_boxes": self.counts["clipped boxes"],
            "crowds_without_segmentation": self.counts["crowds"],
            "annotations_without_size": self.counts["no size"],
            "unknown_classes": dict(self.unknown.most_common()),
        }


def _mean(values: Iterable[float | None]) -> float:
    """Return the mean of the values that are not None; NaN if there are none."""
    known = [each for each in values if each is not None]
    return sum(known) / len(known) if known else math.nan


def _interval(values: array[float]) -> dict[str, float | int | None]:
    """Return a mean over pictures with its 95 % interval."""
    found = measures.bootstrap(values)._asdict()
    return {name: None if math.isnan(each) else each for name, each in found.items()}


def tables(summary: Summary) -> list[tuple[str, Table]]:
    """Return what is printed of a summary: each table with its title."""
    errors = terminal.table(
        *("Method", ">Classification top-1", ">top-5", ">Localization top-1", ">top-5")
    )
    places = terminal.table(
        *("Method", ">Pointing game, %", ">Energy inside, %", ">Inside/outside", ">Flat maps")
    )
    for each in summary["methods"]:
        errors.add_row(
            each["method"],
            *(_percent(summary[name]) for name in ("classification_top1", "classification_top5")),
            *(_percent(each[name]) for name in ("localization_top1", "localization_top5")),
        )
        places.add_row(
            each["method"],
            _percent(each["pointing"]),
            _percent(each["energy_inside"]),
            _range(each["inside_outside"], 1, 2),
            f"{each['flat']} of {each['maps']}",
        )
    pictures = f"{summary['pictures']} picture{'s' if summary['pictures'] > 1 else ''}"
    return [
        (f"Error in %, over {pictures} (95 % interval)", errors),
        ("Where the map of the true class is", places),
    ]


def sentences(summary: Summary) -> list[str]:
    """Return what was counted besides, in sentences."""
    counted = (
        ("without_ground_truth", "Pictures without ground truth, left out: {}."),
        ("unknown_class", "Pictures whose classes the network does not know, left out: {}."),
        ("failed", "Pictures that failed (see the errors), left out: {}."),
        ("clipped_boxes", "Boxes that reached beyond their picture by up to a pixel, clipped: {}."),
        (
            "crowds_without_segmentation",
            "Crowds without a segmentation, whose place is not known, left out: {}.",
        ),
        ("annotations_without_size", "Annotations that do not say the size of the picture: {}."),
    )
    found = [text.format(summary[name]) for name, text in counted if summary[name]]
    unknown = summary["unknown_classes"]
    if unknown:
        names = ", ".join(f"{name} ({n})" for name, n in [*unknown.items()][:_MOST_NAMES])
        more = ", ..." if len(unknown) > _MOST_NAMES else ""
        found.append(f"Classes that the network does not know, or not for certain: {names}{more}.")
        if any(map(is_number, unknown)):
            found.append(NUMBERS)
    infinite = sum(each["infinite_inside_outside"] for each in summary["methods"])
    if infinite:
        found.append(f"Maps that are 0 everywhere outside, left out of inside/outside: {infinite}.")
    if any(each["flat"] for each in summary["methods"]):
        found.append(
            "A flat map has no box and points nowhere: it counts as an error. Energy inside and "
            "inside/outside leave it out."
        )
    return found


def _percent(interval: Summary) -> str:
    return _range(interval, 100, 1)


def _range(interval: Summary, factor: float, digits: int) -> str:
    """Return a mean with its interval: 33.3 (8.3 to 58.3)."""
    mean, low, high = (interval[name] for name in ("mean", "low", "high"))
    if mean is None:
        return "-"
    text = f"{factor * mean:.{digits}f}"
    if low is None:
        return text
    return f"{text} ({factor * low:.{digits}f} to {factor * high:.{digits}f})"
