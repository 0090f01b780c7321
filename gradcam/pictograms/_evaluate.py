"""Measure all methods on scenes whose truth is known: one table.

    python -m gradcam.pictograms evaluate

``evaluation.json`` contains the figures of the built-in networks; it is the output of
``python -m gradcam.pictograms evaluate --json``. What the columns are is in `_columns`, how they
are measured in `_measuring`. Scenes and steps are such that all methods together take at most 20
minutes on two cores, and with ``--quick`` three; methods of many passes get fewer scenes. All
scenes are drawn from fixed seeds, which training does not use.

The results of each of gradcam's methods are stored in the user's cache folder by a digest of the
code, the network, the options and the machine. A second run prints them at once, and one that was
stopped goes on with the method that it was measuring.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, cast

from gradcam._engine.network import Network
from gradcam._labels.classes import top_indices
from gradcam._methods.passes import batches, positive
from gradcam._progress import Advance, progress_bar
from gradcam._registry import METHODS, Method
from gradcam.pictograms import _stored
from gradcam.pictograms._columns import Accuracy, Evaluation, Row
from gradcam.pictograms._measuring import (
    NotServedError,
    Subject,
    measured_row,
    numbered_scene,
)
from gradcam.pictograms._networks import gap_model, model
from gradcam.pictograms._scenes import CLASSES
from gradcam.pictograms._table import to_text

_BATCH = 20

_SHARES = {
    "smooth_grad": 0.2,
    "smooth_grad_squared": 0.2,
    "var_grad": 0.2,
    "integrated_gradients": 0.2,
    "blur_integrated_gradients": 0.075,
    "expected_gradients": 0.1,
    "smooth_grad_cam_plus_plus": 0.4,
    "score_cam": 0.2,
    "occlusion": 0.2,
    "rise": 0.075,
}
"""The share of the scenes for methods of many passes."""

_FEWEST = 2

_OPTIONS: dict[str, dict[str, Any]] = {"rise": {"samples": 1000}}  # a quarter of the default
"""Options with which a method can be measured in the time, unless others are given."""


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes
    ----------
    scenes : int
        Scenes of each kind.
    passes : int
        How many of them are for the measures that need many passes of the network.
    steps : int
        Of deletion and insertion.
    accuracy : int
        Scenes of one and of two objects for the network's accuracy.
    """

    scenes: int = 80
    passes: int = 20
    steps: int = 20
    accuracy: int = 500

    def with_scenes(self, scenes: int) -> Plan:
        """Return the plan for another number of scenes."""
        passes = max(_FEWEST, round(self.passes * scenes / self.scenes))
        return Plan(scenes, min(scenes, passes), self.steps, min(self.accuracy, 10 * scenes))

    def counts(self, method: Method) -> tuple[int, int]:
        """Return the numbers of scenes and of those with many passes for a method."""
        share = _SHARES.get(method.name, 1.0)
        scenes = min(self.scenes, max(_FEWEST, round(share * self.scenes)))
        return scenes, min(scenes, max(1, round(math.sqrt(share) * self.passes)))


FULL = Plan()
QUICK = Plan(scenes=12, passes=3, steps=10, accuracy=100)


def evaluate(
    scenes: int | None = None,
    *,
    network: Network | None = None,
    methods: Sequence[str | Method] | None = None,
    quick: bool = False,
    progress: bool = False,
) -> Evaluation:
    """Measure a network and its explanations by all methods.

    Parameters
    ----------
    scenes : int, optional
        Scenes of each kind; methods of many passes get fewer. By default 80, or 12 if `quick`.
    network : Network, optional
        A network with the classes of the scenes in their order, an input preset and a softmax. By
        default the pictogram network; CAM, and Grad-CAM a second time, are measured on the one
        with global average pooling.
    methods : sequence of str or Method, optional
        By default all of :data:`gradcam.METHODS`.
    quick : bool
        Fewer scenes and steps.
    progress : bool
        Whether to show a progress bar on standard error.

    Raises
    ------
    ValueError, TypeError
        If `scenes` is less than 1, a method is unknown or given twice, there is no method, or the
        network is not one of the kind above.
    KeyboardInterrupt
        If it is stopped; the message says what was stored.
    """
    plan = _plan(scenes, quick)
    chosen = _chosen(methods)
    if network is not None:
        _check_network(network)
    return _evaluated(plan, chosen, network, methods is None, progress)


def _evaluated(
    plan: Plan, chosen: Sequence[Method], network: Network | None, all: bool, progress: bool
) -> Evaluation:
    """Measure these methods, each on the first of the networks that it serves."""
    subjects = [Subject(model() if network is None else network)]
    if network is None:
        subjects.append(Subject(gap_model()))
    results, rows, skipped = _Results(plan), [], {}
    try:
        with _bar(len(chosen), progress) as advance:
            for method in chosen:
                advance(method.title)
                try:
                    rows.append(results.row(method, subjects))
                except NotServedError as error:
                    skipped[method.name] = str(error)
            if network is None and all:
                rows.append(results.row(METHODS["grad_cam"], subjects[1:]))
            used = {row["network"] for row in rows} | {subjects[0].network.name}
            networks = [each.network for each in subjects if each.network.name in used]
            accuracy = {each.name: results.accuracy(each) for each in networks}
    except KeyboardInterrupt:
        raise KeyboardInterrupt(results.stopped()) from None
    return {
        "scenes": plan.scenes,
        "passes": plan.passes,
        "steps": plan.steps,
        "accuracy": accuracy,
        "rows": sorted(rows, key=lambda row: row["network"] != subjects[0].network.name),
        "skipped": skipped,
        "seconds": sum(each["seconds"] for each in (*rows, *accuracy.values())),
    }


def _plan(scenes: int | None, quick: bool) -> Plan:
    plan = QUICK if quick else FULL
    return plan if scenes is None else plan.with_scenes(positive("scenes", scenes))


def _chosen(methods: Sequence[str | Method] | None) -> list[Method]:
    """Return the methods with their options; all if none are named."""
    if isinstance(methods, (str, Method)):
        raise TypeError(f"methods: expected a list of methods, got one, {methods!r}")
    found = [METHODS.find(each) for each in (METHODS if methods is None else methods)]
    if not found:
        raise ValueError("methods: expected at least one method, got none")
    for n, each in enumerate(found):
        if each in found[:n]:
            raise ValueError(f"methods: {each.name!r} is given twice")
    return [_light(each) for each in found]


def _check_network(network: Network) -> None:
    """Raise an error unless a network takes pictures and has the classes of the scenes."""
    if not isinstance(network, Network):
        raise TypeError(f"network: expected a gradcam.Network, got {type(network).__name__}")
    wanted = "network: expected one with the classes of gradcam.pictograms.CLASSES in their order"
    if len(network.labels) != len(CLASSES):
        raise ValueError(f"{wanted}: {len(CLASSES)}, got {len(network.labels)}")
    for index, (synset, label) in enumerate(CLASSES):
        known = network.labels[index]
        if known.label != label and (known.synset != synset or not synset):
            raise ValueError(f"{wanted}: class {index} is {label!r}, got {known.label!r}")
    if network.preset is None:
        raise ValueError(
            "network: expected one that takes pictures, got one without an input preset: build or "
            "load it with preset="
        )
    if network.probability_layer is None:
        raise ValueError(
            "network: expected one that ends in a softmax, since deletion and insertion measure "
            "probabilities: add the layer"
        )


def _light(method: Method) -> Method:
    """Return a method with options with which it can be measured in the time."""
    options = _OPTIONS.get(method.name)
    if options is None or METHODS.get(method.name) is not method:
        return method
    return method.with_options(**options)


class _Results:
    """Results that are found in the cache folder, or else measured and stored there."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.stored = 0
        self.lost = 0

    def row(self, method: Method, subjects: Sequence[Subject]) -> Row:
        """Return the row of a method on the first of the networks that it serves.

        Raises
        ------
        NotServedError
            If it serves none of them.
        """
        subject, *others = subjects
        key = _stored.key("row", method, subject.network, asdict(self.plan))
        try:
            return cast(Row, self._found(key, lambda: _measure(method, subject, self.plan)))
        except NotServedError:
            if not others:
                raise
        return self.row(method, others)

    def accuracy(self, network: Network) -> Accuracy:
        """Return the shares of scenes whose classes have the highest scores."""
        key = _stored.key("accuracy", None, network, asdict(self.plan))
        return cast(Accuracy, self._found(key, lambda: _accuracy(network, self.plan.accuracy)))

    def _found(
        self, key: str | None, measure: Callable[[], Row | Accuracy]
    ) -> Mapping[str, object]:
        found = _stored.find(key)
        if found is not None:
            self.stored += 1
            return found
        made = cast(Mapping[str, object], measure())
        if _stored.store(key, made):
            self.stored += 1
        else:
            self.lost += 1
        return made

    def stopped(self) -> str:
        """Return what a run that is stopped here leaves."""
        if not self.stored + self.lost:
            return "stopped before the first method was measured"
        if not self.lost:
            return (
                f"stopped: {self.stored} results that were measured are stored, and the same "
                f"command goes on with the others"
            )
        return (
            f"stopped: {self.lost} of {self.stored + self.lost} results that were measured could "
            f"not be stored in the cache folder, and the same command measures them again"
        )


def _measure(method: Method, subject: Subject, plan: Plan) -> Row:
    return measured_row(method, subject, *plan.counts(method), steps=plan.steps)


def _accuracy(network: Network, scenes: int) -> Accuracy:
    start = time.perf_counter()
    one, two = (_share_right(network, objects, scenes) for objects in (1, 2))
    return Accuracy(scenes=scenes, one=one, two=two, seconds=time.perf_counter() - start)


def _share_right(network: Network, objects: int, scenes: int) -> float:
    right = 0
    for part in batches(scenes, _BATCH):
        drawn = [numbered_scene(number, objects) for number in range(part.start, part.stop)]
        scores = network.forward([each.picture for each in drawn], record=False).scores
        for row, each in zip(scores, drawn, strict=True):
            right += set(top_indices(row, objects)) == {one.index for one in each.objects}
    return right / scenes


@contextmanager
def _bar(total: int, shown: bool) -> Iterator[Advance]:
    if not shown:
        yield lambda name: None
        return
    from rich.console import Console  # slow to import

    with progress_bar(total, Console(stderr=True)) as advance:
        yield advance


def main(arguments: Sequence[str]) -> None:
    """Print the table, or the figures as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m gradcam.pictograms evaluate",
        description="Measure the pictogram network and all methods on unseen scenes.",
        epilog="Each method that was measured is stored in the cache folder. A run that is stopped "
        "loses the method that it was measuring, and the same command goes on from there.",
    )
    add = parser.add_argument
    add("--scenes", type=int, help=f"scenes of each kind ({FULL.scenes}, quick {QUICK.scenes})")
    add("--methods", help="names with commas; by default all")
    add("--quick", action="store_true", help="fewer scenes and steps: three minutes, not twenty")
    add("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    named = None if options.methods is None else options.methods.split(",")
    try:
        plan, chosen = _plan(options.scenes, options.quick), _chosen(named)
    except ValueError as error:
        parser.error(str(error))
    try:
        evaluation = _evaluated(plan, chosen, None, named is None, sys.stderr.isatty())
    except KeyboardInterrupt as error:
        raise SystemExit(str(error) or "stopped") from None
    print(json.dumps(evaluation, indent=1) if options.json else to_text(evaluation))
