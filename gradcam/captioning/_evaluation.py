"""The figures of the evaluation: means with their intervals, and how they are stored."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np

from gradcam._methods.bootstrap import Interval, bootstrap, share


class Figure(TypedDict):
    """A mean with its 95 % interval, and how many cases there are.

    `error` is the standard error, where there is one value for each scene. None: there is no case,
    or for the interval only one.
    """

    mean: float | None
    low: float | None
    high: float | None
    error: float | None
    size: int


class Said(TypedDict):
    """What is true of captions.

    The shares `there`, `not_there` and `right` are of the nouns in all captions, `relations` of the
    relations between objects that are there, `mentioned` of the groups of all scenes, and `grammar`
    of the captions. `nouns` and `log_probability` are means of a caption.
    """

    there: Figure
    not_there: Figure
    right: Figure
    relations: Figure
    mentioned: Figure
    grammar: Figure
    nouns: Figure
    log_probability: Figure


class Perplexity(TypedDict):
    """exp of the mean of -log p of the words and ends of unseen true sentences.

    `own` with the picture of their scene, `other` with that of the scene before.
    """

    sentences: int
    own: float
    other: float


class Example(TypedDict):
    """A caption as it was measured, for comparison with the weights at hand."""

    scene: int
    caption: str
    log_probability: float


class Evaluation(TypedDict):
    """All figures, and the SHA-256 of the weights that they belong to.

    `beam_raises` is the share of scenes for which the beam found a caption that is more probable;
    `pointing` the share of nouns whose map points at the object, and the chance of it; `energy` and
    `area` the shares of the whole caption's map and of the picture; `ratios` the means of inside
    over outside for scenes with several groups of objects, `geometric` the geometric means of
    these, and `alone` the means for scenes with a single group.
    """

    weights: str
    scenes: int
    greedy: Said
    beam: Said
    beam_raises: Figure
    perplexity: Perplexity
    pointing: dict[str, Figure]
    energy: dict[str, Figure]
    area: dict[str, Figure]
    ratios: dict[str, Figure]
    geometric: dict[str, Figure]
    alone: dict[str, Figure]
    largest_ratios: dict[str, int]
    examples: list[Example]


def share_of(count: int, size: int) -> Figure:
    """Return the share of cases that count; the cases must be independent."""
    return _figure(share(count, size), None)


def mean_of(values: Sequence[float]) -> Figure:
    """Return the mean of values, one for each scene, with bootstrap interval; NaN is left out."""
    known = np.array([value for value in values if not math.isnan(value)], np.float64)
    error = float(known.std(ddof=1) / math.sqrt(known.size)) if known.size > 1 else None
    return _figure(bootstrap(known), error)


def means_of(values: Mapping[str, Sequence[float]]) -> dict[str, Figure]:
    """Return :func:`mean_of` by name."""
    return {name: mean_of(each) for name, each in values.items()}


def geometric_mean_of(values: Sequence[float]) -> Figure:
    """Return the geometric mean of values above 0, one for each scene, with its interval."""
    found = bootstrap(np.log(values))
    mean, low, high = (math.exp(each) for each in found[:3])
    return _figure(Interval(mean, low, high, found.size), None)


def _figure(found: Interval, error: float | None) -> Figure:
    mean, low, high = (None if math.isnan(each) else each for each in found[:3])
    return Figure(mean=mean, low=low, high=high, error=error, size=found.size)


def stored(path: Path = Path(__file__).parent / "captioner-evaluation.json") -> Evaluation:
    """Return the figures of the shipped captioner."""
    found: Evaluation = json.loads(path.read_text(encoding="utf-8"))
    return found
