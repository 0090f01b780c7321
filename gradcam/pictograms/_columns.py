"""The columns of the table of all methods, and what was measured for them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

from gradcam.measures import Interval, bootstrap


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
        "top-1 localization error: the most probable class is not in the scene, or the IoU of the "
        "box of its map (15 % of the maximum, largest segment) with the object's is not above "
        "0.5; low is good",
    ),
    "pointing": Column(
        "point-\ning %",
        "share",
        "the maximum of the map is on the object asked for, or at most 15 pixels from it",
    ),
    "on_object": Column("on the\nobject %", "share"),
    "inside": Column(
        "inside/\noutside",
        "ratio",
        "mean of the map on the object over its mean outside, geometric mean; at most 1000",
    ),
    "order": Column(
        "causal\norder %",
        "share",
        "scenes of four objects: the object that truly raises the score gets more evidence for "
        "each of its pixels than another one; 50 by chance",
    ),
    "overlap": Column(
        "causal\nshare %",
        "share",
        "of the evidence for a pixel of each of four objects, what lies where the true effects "
        "are; 25 by chance",
    ),
    "occlusion": Column(
        "occlu-\nsion",
        "number",
        "rank correlation with the occlusion map",
    ),
    "deletion": Column(
        "dele-\ntion",
        "number",
        "area under the probability while the pixels are deleted, the highest first; low is good",
    ),
    "insertion": Column(
        "inser-\ntion",
        "number",
        "the same while they are inserted into the blurred picture; high is good",
    ),
    "classes": Column(
        "classes\ntold %",
        "share",
        "more of the map is on the object asked for than on the other one; 50 if the map is the "
        "same for both classes",
    ),
    "sanity": Column(
        "random\nweights",
        "number",
        "rank correlation with the map of the network with random weights in its fully connected "
        "layers; low is good",
    ),
    "milliseconds": Column("ms a\nmap", "time", "forward pass and maps of both objects, halved"),
}
"""By name, in the order of the table."""


class Figure(TypedDict):
    """A mean over scenes with its 95 % bootstrap interval, None if there is none."""

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
        interval = bootstrap(values[key])
        if column.kind == "ratio":
            mean, low, high = map(math.exp, interval[:3])
            interval = Interval(mean, low, high, interval.size)
        known = [None if math.isnan(each) else each for each in interval[:3]]
        found[key] = Figure(mean=known[0], low=known[1], high=known[2], scenes=interval.size)
    return found


def recorded() -> Evaluation:
    """Return the figures of the built-in model, as ``evaluate --json`` printed them."""
    file = Path(__file__).with_name("evaluation.json")
    evaluation: Evaluation = json.loads(file.read_text(encoding="utf-8"))
    return evaluation
