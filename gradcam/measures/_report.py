"""A report on one map: is it right?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import SupportsIndex

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gradcam import _core
from gradcam._engine.forward_pass import run
from gradcam._engine.tape import Tape
from gradcam._methods.passes import bar, check_seed, integer, positive
from gradcam._results.explanation import Explanation
from gradcam._results.objectives import (
    Class,
    Objective,
    On,
    Others,
    Probability,
    Sum,
    TargetLike,
)
from gradcam._results.report import Check
from gradcam._results.rules import RECTIFIERS
from gradcam.measures import _report_words
from gradcam.measures._curve import Curve
from gradcam.measures._curves import deletion
from gradcam.measures._edges import edges
from gradcam.measures._given import is_flat, map_at_input, objectives_of
from gradcam.measures._random_weights import alone, randomised
from gradcam.measures._report_result import Report, correlation, ranked

_F32 = NDArray[np.float32]

RANDOM_NETWORKS = 3
RANDOM_ORDERS = 5

CELLS = 14
"""The most values along a side that give the order of deletion."""


def report(
    explanation: Explanation,
    *,
    other: TargetLike = None,
    on: On | None = None,
    steps: SupportsIndex = 50,
    seed: SupportsIndex = 0,
    progress: bool = False,
) -> Report:
    """Check whether a map is right; see :meth:`gradcam.Explanation.report`."""
    if not isinstance(explanation, Explanation):
        raise TypeError(f"expected an Explanation, got {type(explanation).__name__}")
    if explanation.origin is None:
        raise ValueError(
            "the explanation was loaded, and does not hold its network: explain the picture "
            "again, and ask that explanation for its report"
        )
    check_seed(seed)
    tape = explanation.origin.forward()
    assert isinstance(tape, Tape)
    return _Work(explanation, tape, positive("steps", steps), integer("seed", seed)).report(
        other, on, progress
    )


@dataclass(frozen=True, eq=False)
class _Work:
    """What is computed for a report."""

    explanation: Explanation
    tape: Tape
    steps: int
    seed: int

    def report(self, other: TargetLike, on: On | None, progress: bool) -> Report:
        """Compute everything."""
        objective = _deleted(self.tape, self.explanation, on)
        others = _others(self.tape, self.explanation, other)
        edge_map = averaged(edges(self.tape), *self.explanation.raw.shape[-2:])
        if is_flat(self.explanation):
            flat = Check("flat", float("nan"), float("nan"), _report_words.FLAT)
            return Report(
                *(self.explanation, edge_map, (), (), None, float("nan"), None, None, (), (flat,))
            )
        layer = self._finer_layer()
        total = RANDOM_NETWORKS + len(others.objectives) + (layer is not None) + 2 + RANDOM_ORDERS
        with bar(total, "report", progress) as done:
            return self._computed(objective, others, layer, edge_map, lambda: done(1))

    def _computed(
        self,
        objective: Objective,
        others: Others,
        layer: str | None,
        edge_map: _F32,
        done: Callable[[], None],
    ) -> Report:
        found = self.explanation
        random_weights = []
        for number in range(RANDOM_NETWORKS):
            random_weights.append(alone(self._again(self._random_tape(self.seed + number))))
            done()
        other_maps = []
        for each in others.objectives:
            other_maps.append(self._again(self.tape, each))
            done()
        other_layer = None
        if layer is not None:
            other_layer = self._again(self.tape, layer=layer)
            done()
        curves = []
        for values in self._orders():
            curves.append(None if values is None else self._deletion(values, objective))
            done()
        first, by_edges, *rest = curves
        random = [each for each in rest if each is not None]
        names = others.names or tuple(each.words for each in other_maps)
        assert first is not None
        return Report(
            explanation=found,
            edges=edge_map,
            random_weights=tuple(random_weights),
            others=tuple(other_maps),
            other_layer=other_layer,
            layer_correlation=self._layer_correlation(other_layer),
            deletion=first,
            edges_deletion=by_edges,
            random_deletions=tuple(random),
            kind=others.kind,
            names=names,
            checks=_checks(
                *(found, edge_map, random_weights, other_maps, names, others.kind),
                _report_words.pixels(first.auc, [each.auc for each in random], first.on),
            ),
        )

    def _deletion(self, values: _F32, objective: Objective) -> Curve:
        """Delete pixels in the order of values; the curve says if they speak against a class."""
        order = _core.resize(values, self.tape.size, self.explanation.resize)
        asked = -objective if self._against else objective
        found = deletion(self.tape, order, asked, steps=self.steps, seed=self.seed)
        if not self._against:
            return found
        kinds: dict[type, str] = {Probability: "probability", Class: "score"}
        on = kinds.get(type(objective), "value")
        return replace(found, label=objective.label(self.tape.labels), on=f"negated {on}")

    @property
    def _against(self) -> bool:
        """Whether the map shows what speaks against the class."""
        origin = self.explanation.origin
        return origin is not None and origin.method.against

    def _again(
        self, tape: Tape, objective: Objective | None = None, layer: str | None = None
    ) -> Explanation:
        """Run the same method again, with another network, objective or layer."""
        origin = self.explanation.origin
        assert origin is not None
        return tape.explain(
            origin.method,
            origin.objective if objective is None else objective,
            layer=(list(origin.layers) or None) if layer is None else layer,
            resize=self.explanation.resize,
        )

    def _random_tape(self, seed: int) -> Tape:
        """Return the pass of the same picture through the network with random weights."""
        tape, network = self.tape, randomised(self.tape.graph, seed=seed)
        return Tape(network, run(network, tape.input), tape.input, [tape.picture], [tape.geometry])

    def _finer_layer(self) -> str | None:
        """Return the last layer below the explained one that has a finer map.

        It is one after a rectifier, if there is such a layer of that size.
        """
        origin = self.explanation.origin
        if origin is None or not origin.layers:
            return None
        layers, shapes = self.tape.graph.layers, self.tape.graph.shapes(*self.tape.size)
        names = list(layers)
        names = names[: names.index(origin.layers[0])]
        own = shapes[origin.layers[0]]
        finer = [n for n in names[1:] if len(shapes[n]) == 3 and shapes[n][1] > own[1]]
        if len(own) != 3 or not finer:
            return None
        same = [name for name in finer if shapes[name][1:] == shapes[finer[-1]][1:]]
        rectified = [name for name in same if layers[name].op in RECTIFIERS]
        return (rectified or same)[-1]

    def _layer_correlation(self, other: Explanation | None) -> float:
        if other is None:
            return float("nan")
        maps = (map_at_input(self.tape, each) for each in (self.explanation, other))
        return ranked(*maps)

    def _orders(self) -> list[_F32 | None]:
        """Return what gives the orders of deletion: the map, the edges, and random values.

        None in place of edges that are the same everywhere.
        """
        height, width = (min(CELLS, side) for side in self.explanation.raw.shape[-2:])
        draws = np.random.default_rng(self.seed)
        own, by_edges = (
            averaged(values, height, width)
            for values in (self.explanation.evidence, edges(self.tape))
        )
        random = draws.standard_normal((RANDOM_ORDERS, height, width), np.float32)
        return [own, by_edges if np.ptp(by_edges) > 0 else None, *random]


def averaged(values: _F32, height: int, width: int) -> _F32:
    """Return an array, averaged to another size."""
    found = Image.fromarray(values).resize((width, height), Image.Resampling.BOX)
    return np.asarray(found, np.float32)


def _deleted(tape: Tape, explanation: Explanation, on: On | None) -> Objective:
    """Return the number that is watched while pixels are deleted."""
    if on is None:
        assert explanation.origin is not None
        return explanation.origin.objective
    return objectives_of(tape, explanation, None, on).each[0][0]


def _others(tape: Tape, explanation: Explanation, other: TargetLike) -> Others:
    """Return what else is explained, so that the maps are compared."""
    assert explanation.origin is not None
    explained = explanation.origin.objective
    own_kind = explained.others(tape, 0)
    if other is None and own_kind is not None:
        return own_kind
    name = "class" if own_kind is None else own_kind.kind
    kind = Probability if isinstance(explained, Probability) else Class
    if other is not None:
        on: On = "score" if kind is Class or isinstance(other, Objective) else "probability"
        asked = tape.ask(other, on)
        if any(asked.listed):
            raise ValueError("other: expected one class or objective, got a list")
        found = asked.each[0][0]
        if _same(found, explained, tape):
            raise ValueError(f"other: {explanation.words} is what the map explains: name another")
        return Others(name, (found,))
    own = {each.find(tape.labels).index for each in _classes(explained)}
    left = [int(i) for i in np.argsort(-tape.scores[0], kind="stable") if int(i) not in own]
    chosen = dict.fromkeys((left[0], left[len(left) // 2])) if left else {}
    return Others(name, tuple(kind(index) for index in chosen))


def _same(one: Objective, other: Objective, tape: Tape) -> bool:
    """Return whether two objectives are the same; different classes can have the same label."""
    if isinstance(one, Class) and isinstance(other, Class):
        return one.find(tape.labels).index == other.find(tape.labels).index
    return one.label(tape.labels) == other.label(tape.labels)


def _classes(objective: Objective) -> list[Class]:
    """Return the classes that an objective names."""
    terms = [each for _, each in objective.terms] if isinstance(objective, Sum) else [objective]
    return [each for each in terms if isinstance(each, Class)]


def _checks(
    explanation: Explanation,
    edge_map: _F32,
    random_weights: Sequence[Explanation],
    others: Sequence[Explanation],
    names: Sequence[str],
    kind: str,
    pixels: Check,
) -> tuple[Check, ...]:
    weights = float(np.mean([correlation(explanation, each) for each in random_weights]))
    checks = [
        _report_words.weights(weights),
        _report_words.edges(ranked(explanation.evidence, edge_map)),
    ]
    if others:
        correlations = [correlation(explanation, each) for each in others]
        lowest = int(np.argmin(correlations))
        checks.append(_report_words.others(correlations[lowest], names[lowest], kind))
    return (*checks, pixels)
