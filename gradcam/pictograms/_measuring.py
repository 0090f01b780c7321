"""What is measured of one method on one scene.

The effects of objects are compared on scenes of four objects, all else on scenes of two, always of
different classes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import TypeVar

import numpy as np

from gradcam._engine.network import Network
from gradcam._engine.tape import Tape
from gradcam._registry import Method
from gradcam._results.explanation import Explanation, no_flat_warnings
from gradcam.measures import (
    Truth,
    boxes,
    deletion,
    energy_inside,
    insertion,
    inside_outside,
    localization_outcome,
    occlusion_correlation,
    pointing,
    randomised,
    spearman,
)
from gradcam.pictograms._columns import Row, figures
from gradcam.pictograms._effects import Effects, agreement, effects
from gradcam.pictograms._scenes import Scene, scene

FIRST_SEED = {1: 0, 2: 100_000, 4: 200_000}
"""The first seed of the scenes, by the number of objects."""

TOLERANCE = 15
"""Maximum distance in pixels from the object that counts in the pointing game."""

KEPT = 100
"""Scenes, effects and occlusion maps with lower numbers than this are kept for the next method."""

_RATIO = 1000.0
"""Ratios of inside to outside count as at most this, since a map can be zero outside."""

T = TypeVar("T")


class NotServedError(ValueError):
    """A method does not serve a network; the message says why."""


class Subject:
    """A network, and what is true of its scenes whatever the method. It is computed once.

    Attributes
    ----------
    network : Network
    scene : function of a number
        The scene of two objects of this number.
    effects : function of a number
        The effects of the objects of another scene.
    occlusion : function of a number
        The occlusion map of the class of the first object of `scene`.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.scene: Callable[[int], Scene] = _kept(self._scene)
        self.effects: Callable[[int], Effects] = _kept(self._effects)
        self.occlusion: Callable[[int], Explanation] = _kept(self._occlusion)

    @cached_property
    def untrained(self) -> Network:
        """The network with random weights in its fully connected layers."""
        layers = [name for name, layer in self.network.layers.items() if layer.op == "linear"]
        return randomised(self.network, layers)

    def _scene(self, number: int) -> Scene:
        return _finished(numbered_scene(number, objects=2))

    def _effects(self, number: int) -> Effects:
        found = effects(numbered_scene(number, objects=4), self.network)
        return replace(found, scene=_finished(found.scene))

    def _occlusion(self, number: int) -> Explanation:
        drawn = self.scene(number)
        tape = self.network.forward(drawn.picture, record=False)
        return tape.occlusion(drawn.objects[0].index, patch=32, stride=16)


def _kept(compute: Callable[[int], T]) -> Callable[[int], T]:
    """Return the function with its results for the first numbers kept.

    All methods ask for the same numbers in the same order, so that keeping the last ones would be
    of no use.
    """
    kept = lru_cache(maxsize=KEPT)(compute)
    return lambda number: kept(number) if number < KEPT else compute(number)


def _finished(drawn: Scene) -> Scene:
    """Return a scene without what drawing it again needs, which takes most of the memory."""
    return replace(drawn, _recipe=None)


def numbered_scene(number: int, objects: int) -> Scene:
    """Return the scene of this number; training does not use these."""
    return scene(FIRST_SEED[objects] + number, objects=objects)


def by_maps(subject: Subject, method: Method, number: int) -> dict[str, float]:
    """Measure the maps of both objects of a scene.

    Returns
    -------
    dict of str to float
        By column; the mean over the two objects. A flat map finds nothing.
    """
    drawn = subject.scene(number)
    indices = [each.index for each in drawn.objects]
    start = time.perf_counter()
    tape = subject.network.forward(drawn.picture)
    maps = tape.explain(method, indices)
    seconds = time.perf_counter() - start
    with no_flat_warnings():
        found = [_of_map(drawn, n, maps[n]) for n in range(len(maps))]
        fits = _fits(tape, drawn, maps)
    means = {key: float(np.mean([each[key] for each in found])) for key in found[0]}
    return {"localization": float(not fits), **means, "milliseconds": 1000 * seconds / len(maps)}


def _fits(tape: Tape, drawn: Scene, maps: list[Explanation]) -> bool:
    """Return whether the first class is in the scene and the box of its map fits."""
    first = int(tape.scores[0].argmax())
    known = {each.index: n for n, each in enumerate(drawn.objects)}
    if first not in known:
        return False
    truth: Truth = {each.index: each.box for each in drawn.objects}
    return localization_outcome([(first, boxes(maps[known[first]]))], truth).located_top1


def _of_map(drawn: Scene, n: int, map: Explanation) -> dict[str, float]:
    """Measure the map of object `n`."""
    own, other = drawn.objects[n].mask, drawn.objects[1 - n].mask
    ratio = inside_outside(map, own)
    energies = (energy_inside(map, own), energy_inside(map, other))
    return {
        "pointing": float(pointing(map, own, TOLERANCE)),
        "on_object": float(pointing(map, own, 0)),
        # Of a map that is zero everywhere, 1: it says as much of the inside as of the outside.
        "inside": 0.0 if math.isnan(ratio) else math.log(np.clip(ratio, 1 / _RATIO, _RATIO)),
        "classes": float(energies[0] > energies[1]),  # False of NaN
    }


def by_effects(subject: Subject, method: Method, number: int) -> dict[str, float]:
    """Compare the map of one object with the effects of all: the first, the second and so on."""
    true = subject.effects(number)
    index = true.scene.objects[number % len(true.scene.objects)].index
    found = subject.network.forward(true.scene.picture).explain(method, index)
    with no_flat_warnings():
        compared = agreement(found, true)
    return {"order": compared.order, "overlap": compared.overlap}


def by_passes(subject: Subject, method: Method, number: int, steps: int) -> dict[str, float]:
    """Measure the map of the first object of a scene by further passes of the network."""
    drawn = subject.scene(number)
    index = drawn.objects[0].index
    tape = subject.network.forward(drawn.picture)
    found = tape.explain(method, index)
    with no_flat_warnings():
        correlation = occlusion_correlation(tape, found, occlusion=subject.occlusion(number))
        deleted = deletion(tape, found, steps=steps).auc
        inserted = insertion(tape, found, steps=steps).auc
        other = subject.untrained.forward(drawn.picture).explain(method, index)
        sanity = spearman(found.evidence, other.evidence)
    return {
        "occlusion": 0.0 if math.isnan(correlation) else correlation,
        "deletion": deleted,
        "insertion": inserted,
        "sanity": sanity,
    }


def measured_row(method: Method, subject: Subject, scenes: int, passes: int, steps: int) -> Row:
    """Measure a method on so many scenes, and by further passes on so many of them.

    Raises
    ------
    NotServedError
        If the method refuses the network.
    """
    start = time.perf_counter()
    _try(method, subject)
    parts = (
        [by_maps(subject, method, n) for n in range(scenes)],
        [by_effects(subject, method, n) for n in range(scenes)],
        [by_passes(subject, method, n, steps) for n in range(passes)],
    )
    values = {key: [each[key] for each in part] for part in parts for key in part[0]}
    return {
        "method": method.name,
        "title": method.title,
        "network": subject.network.name,
        "scenes": scenes,
        "passes": passes,
        "seconds": time.perf_counter() - start,
        "figures": figures(values),
    }


def _try(method: Method, subject: Subject) -> None:
    """Explain one scene, which is not measured: later passes take the usual time.

    Only here is a ValueError taken for the answer that the method does not serve the network.
    """
    drawn = subject.scene(0)
    tape = subject.network.forward(drawn.picture)
    try:
        with no_flat_warnings():
            tape.explain(method, [each.index for each in drawn.objects])
    except ValueError as error:
        raise NotServedError(str(error)) from error
