"""The columns of the table of all methods, and what was measured for them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np

from gradcam.measures import Interval, bootstrap

_SAMPLES = 1000
"""Of the median."""


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes
    ----------
    title : str
        Its lines.
    kind : "share", "number", "ratio" or "time"
        How its values are written. Of a ratio the logarithms are averaged.
    note : str
        What it is, and whether high or low is good; empty if it is not in the table.
    """

    title: str
    kind: Literal["share", "number", "ratio", "time"]
    note: str = ""


COLUMNS: Mapping[str, Column] = {
    "localization": Column(
        "loc.\nerror %",
        "share",
        "top-1 localization error: the most probable class is not in the scene, or the IoU of its "
        "box with the object's is not above 0.5. For all methods, the box is that of the largest "
        "segment above 15 % of the map's maximum; for maps of single pixels like theirs, Simonyan "
        "et al. use GrabCut instead. Low is good",
    ),
    "pointing": Column(
        "pointing\n%",
        "share",
        "the maximum of the map is on the object asked for, or at most 15 pixels from it; high is "
        "good",
    ),
    "on_object": Column("on the\nobject %", "share"),
    "inside": Column(
        "inside/\noutside",
        "ratio",
        "mean of the map on the object over its mean outside, geometric mean; from 0.001 to 1000, "
        "1 if the map is the same everywhere; high is good",
    ),
    "order": Column(
        "causal\norder %",
        "share",
        "of two objects, the one that raises the score more gets more evidence for each of its "
        "pixels; pairs count in proportion to the difference of the true effects; 50 by chance; "
        "high is good",
    ),
    "overlap": Column(
        "causal\nshare %",
        "share",
        "of the evidence for a pixel of each object, what lies where the true effects above zero "
        "are. A map that is the same on all four objects has 25 if one of them has all of the "
        "effect, else more. High is good",
    ),
    "occlusion": Column(
        "occlusion",
        "number",
        "rank correlation with the occlusion map of the score: grey patches of 32 x 32 pixels, "
        "stride 16; high is good",
    ),
    "deletion": Column(
        "deletion",
        "number",
        "area under the probability while the pixels get the mean colour of the input preset, "
        "those with the highest values first; low is good",
    ),
    "insertion": Column(
        "insertion",
        "number",
        "the same while they are inserted into the blurred picture; high is good",
    ),
    "classes": Column(
        "classes\ntold %",
        "share",
        "more of the map is on the object asked for than on the other one; 50 if the map is the "
        "same for both classes, 0 if it is flat; high is good",
    ),
    "sanity": Column(
        "random\nweights",
        "number",
        "rank correlation with the map of the network whose fully connected layers have random "
        "weights; its convolutions keep theirs; low is good; scenes in which one of the two maps "
        "is flat do not count",
    ),
    "milliseconds": Column(
        "ms a\nmap",
        "time",
        "time of the forward pass and the maps of both objects, halved; the median over scenes",
    ),
}
"""By name, in the order of the table."""


class Figure(TypedDict):
    """A mean over scenes with its 95 % bootstrap interval, None if there is none.

    Of times it is the median. `scenes` are those that have a value.
    """

    mean: float | None
    low: float | None
    high: float | None
    scenes: int


class Row(TypedDict):
    """What was measured of a method: the figures by column."""

    method: str
    title: str
    network: str
    scenes: int
    passes: int
    seconds: float
    figures: dict[str, Figure]


class Accuracy(TypedDict):
    """The share of scenes of one and of two objects whose classes have the highest scores."""

    scenes: int
    one: float
    two: float
    seconds: float


class Evaluation(TypedDict):
    """The table of all methods.

    `skipped` are the methods that no network here serves, and why; `seconds` is the sum over all
    that was computed, now or in an earlier run.
    """

    scenes: int
    passes: int
    steps: int
    accuracy: dict[str, Accuracy]
    rows: list[Row]
    skipped: dict[str, str]
    seconds: float


def figures(values: Mapping[str, Sequence[float]]) -> dict[str, Figure]:
    """Return the figure of each column from its values, scene by scene."""
    found = {}
    for key, column in COLUMNS.items():
        interval = _median(values[key]) if column.kind == "time" else bootstrap(values[key])
        if column.kind == "ratio":
            mean, low, high = map(math.exp, interval[:3])
            interval = Interval(mean, low, high, interval.size)
        known = [None if math.isnan(each) else each for each in interval[:3]]
        found[key] = Figure(mean=known[0], low=known[1], high=known[2], scenes=interval.size)
    return found


def _median(values: Sequence[float]) -> Interval:
    """Return the median with its bootstrap interval, as :func:`gradcam.measures.bootstrap`."""
    found = np.sort(values)
    if found.size < 2:
        return bootstrap(found)
    drawn = np.random.default_rng(0).integers(found.size, size=(_SAMPLES, found.size))
    low, high = np.quantile(np.median(found[drawn], axis=1), (0.025, 0.975))
    return Interval(float(np.median(found)), float(low), float(high), found.size)


def recorded() -> Evaluation:
    """Return the figures of the built-in model, as ``evaluate --json`` printed them."""
    file = Path(__file__).with_name("evaluation.json")
    evaluation: Evaluation = json.loads(file.read_text(encoding="utf-8"))
    return evaluation
