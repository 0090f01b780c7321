"""Do the names of units say what a network saw? Measured on scenes.

The Grad-CAM paper explains a class by the names of the units with the highest alpha (Selvaraju et
al. 2017, arXiv version). In a scene the class's objects and their masks are known, so that it can
be counted how often the class itself is among these names, and how often it would be by chance.
A second control asks for a class that is not in the scene: if its name is found as often, the names
repeat the class that was asked for, and say little about the picture.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.network import Network
from gradcam._labels.classes import Labels
from gradcam._methods.bootstrap import Interval, bootstrap
from gradcam._methods.passes import batches, integer, positive
from gradcam._text import brief, percent
from gradcam.inside._concepts import Concept, Mask
from gradcam.inside._dissect import dissect as dissect_by_masks
from gradcam.inside._dissection import Dissection
from gradcam.inside._sentence import Reason, Sentence
from gradcam.pictograms._concepts import CLASS, concepts
from gradcam.pictograms._networks import model
from gradcam.pictograms._scenes import CLASSES, Scene, scene

_BATCH = 8

DISSECTED, EXPLAINED = 500, 300
"""How many scenes name the units, and how many are explained by default."""

FIRST_EXPLAINED = 1_000_000
"""The seed of the first scene that is explained: none of them has named a unit."""


_drawn = lru_cache(maxsize=64)(scene)
"""The latest scenes; a stream reads a few pictures ahead of those whose masks are asked for."""


class _Pictures(Sequence[NDArray[np.uint8]]):
    """The pictures of scenes, drawn when they are asked for."""

    def __init__(self, seeds: range) -> None:
        self._seeds = seeds

    def __len__(self) -> int:
        return len(self._seeds)

    @overload
    def __getitem__(self, number: int) -> NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, number: slice) -> _Pictures: ...
    def __getitem__(self, number: int | slice) -> NDArray[np.uint8] | _Pictures:
        if isinstance(number, slice):
            return _Pictures(self._seeds[number])
        return _drawn(self._seeds[number]).picture


def dissect(
    network: Network | None = None,
    layer: str | None = None,
    *,
    scenes: SupportsIndex = DISSECTED,
    first: SupportsIndex = 0,
    quantile: float = 0.995,
    iou: float = 0.05,
    batch: int = 8,
    progress: bool = False,
) -> Dissection:
    """Name the units of a layer by the classes and colours of scenes.

    Parameters
    ----------
    network : Network, optional
        By default :func:`gradcam.pictograms.model`.
    layer, quantile, iou, batch, progress
        As of :func:`gradcam.inside.dissect`.
    scenes : int
        How many; each is drawn twice and not kept. With fewer than about 100, many classes
        occur only a few times.
    first : int
        The seed of the first one.

    Returns
    -------
    gradcam.inside.Dissection

    Raises
    ------
    ValueError, TypeError
        As of :func:`gradcam.inside.dissect`.
    """
    start = integer("first", first)
    if start < 0:
        raise ValueError(f"first: expected a seed of 0 or more, got {start}")
    seeds = range(start, start + positive("scenes", scenes))

    def masks(number: int, size: tuple[int, int]) -> dict[Concept, Mask]:
        return concepts(_drawn(seeds[number]))

    return dissect_by_masks(
        *(model() if network is None else network, _Pictures(seeds), masks, layer),
        quantile=quantile,
        iou=iou,
        batch=batch,
        progress=progress,
    )


@dataclass(frozen=True, eq=False, repr=False)
class Naming:
    """How often the class that is explained is among the names of the highest units.

    Attributes
    ----------
    dissection : gradcam.inside.Dissection
    classes : tuple of N str
        The class explained in each scene: the most probable one.
    right : (N,) array of bool
        Whether an object of the scene has this class.
    named : (N,) array of bool
        Whether it is the name of one of the highest units.
    against : (N,) array of bool
        Whether it is the name of one of the lowest units.
    absent : (N,) array of bool
        Whether a random class that is not in the scene is the name of one of the highest units, if
        this class is explained instead.
    by_chance : (N,) array of float64
        The probability that it would be the name of one of the highest units if the names were
        shuffled among all units.
    """

    dissection: Dissection
    classes: tuple[str, ...]
    right: NDArray[np.bool_]
    named: NDArray[np.bool_]
    against: NDArray[np.bool_]
    absent: NDArray[np.bool_]
    by_chance: NDArray[np.float64]

    @property
    def share(self) -> Interval:
        """The share of scenes whose class is named, with its 95 % bootstrap interval."""
        return bootstrap(self.named)

    @property
    def control(self) -> Interval:
        """The share with shuffled names, its expected value, with the interval over scenes."""
        return bootstrap(self.by_chance)

    @property
    def absent_share(self) -> Interval:
        """The share of scenes in which a class that is not there is named if it is explained."""
        return bootstrap(self.absent)

    @property
    def finding(self) -> str:
        """What was found, in a sentence."""
        share, control, absent = (
            f"{percent(each.mean)} ({100 * each.low:.1f} to {100 * each.high:.1f})"
            if math.isfinite(each.low)
            else percent(each.mean)
            for each in (self.share, self.control, self.absent_share)
        )
        return (
            f"in {share} of {len(self.classes)} scenes the explained class is among the names of "
            f"the units with the highest weights, in {control} if the names are shuffled; a class "
            f"that is not in the scene is among them in {absent} if it is explained instead"
        )

    def __repr__(self) -> str:
        return f"<Naming by {self.dissection.layer}: {self.finding}>"


def naming(
    dissection: Dissection,
    *,
    scenes: SupportsIndex = EXPLAINED,
    first: SupportsIndex = FIRST_EXPLAINED,
    count: SupportsIndex = 5,
) -> Naming:
    """Explain the most probable class of scenes, and look for it among the names of units.

    Parameters
    ----------
    dissection : gradcam.inside.Dissection
        Of :func:`gradcam.pictograms.dissect`; its network must know classes of the pictograms.
    scenes : int
        How many.
    first : int
        The seed of the first one. These scenes should be others than those that named the units.
    count : int
        How many of the units that fire, with the highest alpha above 0, count; as of
        :meth:`gradcam.inside.Dissection.sentence`.

    Raises
    ------
    ValueError
        If the network has none of the classes of the pictograms; an option is too small.
    """
    if not isinstance(dissection, Dissection):
        raise TypeError(
            f"dissection: expected that of gradcam.pictograms.dissect, got {brief(dissection)}"
        )
    labels = dissection.network.labels
    if not {label for _, label in CLASSES} & {labels[n].label for n in range(len(labels))}:
        raise ValueError(
            f"{dissection.network.name} has none of the classes of the pictograms, so that their "
            f"names cannot be those of its classes"
        )
    highest = positive("count", count)
    start = integer("first", first)
    seeds = range(start, start + positive("scenes", scenes))
    uses = Counter(each.name for each in dissection.names if each and each.kind == CLASS)
    rows = [
        _Row.of(each, uses[each.label], len(dissection.names))
        for each in _explained(dissection, seeds, highest)
    ]
    return Naming(
        dissection,
        tuple(row.label for row in rows),
        np.array([row.right for row in rows]),
        np.array([row.named for row in rows]),
        np.array([row.against for row in rows]),
        np.array([row.absent for row in rows]),
        np.array([row.by_chance for row in rows]),
    )


class _Explained(NamedTuple):
    """A scene, and the sentences about its most probable class and about one that is not there."""

    scene: Scene
    label: str
    said: Sentence
    other: str
    said_of_other: Sentence


class _Row(NamedTuple):
    """What is counted of one scene; see :class:`Naming`."""

    label: str
    right: bool
    named: bool
    against: bool
    absent: bool
    by_chance: float

    @classmethod
    def of(cls, given: _Explained, uses: int, units: int) -> _Row:
        """Count one scene; `uses` of all `units` have the class as their name."""
        chosen = len(given.said.highest)
        return cls(
            given.label,
            any(each.label == given.label for each in given.scene.objects),
            _names(given.said.highest, given.label),
            _names(given.said.lowest, given.label),
            _names(given.said_of_other.highest, given.other),
            1 - math.comb(units - uses, chosen) / math.comb(units, chosen),
        )


def _names(reasons: Sequence[Reason], label: str) -> bool:
    return any(each.concept == Concept(label, CLASS) for each in reasons)


def _explained(dissection: Dissection, seeds: range, count: int) -> Iterator[_Explained]:
    """Yield each scene with what is said about it."""
    labels = dissection.network.labels
    for part in batches(len(seeds), _BATCH):
        drawn = [scene(seed) for seed in seeds[part]]
        tape = dissection.network.forward([each.picture for each in drawn])
        top = [labels[int(scores.argmax())].label for scores in tape.scores]
        others = [
            _absent(each, labels, seed) for each, seed in zip(drawn, seeds[part], strict=True)
        ]
        targets = [list(pair) for pair in zip(top, others, strict=True)]
        found = tape.grad_cam(targets, layer=dissection.layer)
        for each, pair, (first, second) in zip(drawn, targets, found, strict=True):
            said, said_of_other = (dissection.sentence(one, count=count) for one in (first, second))
            yield _Explained(each, pair[0], said, pair[1], said_of_other)


def _absent(drawn: Scene, labels: Labels, seed: int) -> str:
    """Return a random class that the network knows and the scene does not have."""
    known = {each.label for each in labels}
    present = {each.label for each in drawn.objects}
    names = [label for _, label in CLASSES if label in known and label not in present]
    return names[int(np.random.default_rng(seed).integers(len(names)))]
