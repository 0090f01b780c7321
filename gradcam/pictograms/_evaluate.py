"""Measure all methods on scenes whose truth is known: one table.

    python -m gradcam.pictograms evaluate

``evaluation.json`` contains the figures of the built-in networks; it is the output of
``python -m gradcam.pictograms evaluate --json``. What the columns are is in `_columns`, how they
are measured in `_measuring`. Scenes and steps are such that all methods together take at most 20
minutes on two cores, and with ``--quick`` three; methods of many passes get fewer scenes. All
scenes are drawn from fixed seeds, which training does not use.

The results of each method are stored in the user's cache folder by a digest of the code, the
weights and the options. A second run prints them at once, and one that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
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
from gradcam.pictograms._measuring import Subject, measured_row, numbered_scene
from gradcam.pictograms._networks import gap_model, model
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
        A network with the classes of the scenes. By default the pictogram network; CAM, and
        Grad-CAM a second time, are measured on the one with global average pooling.
    methods : sequence of str or Method, optional
        By default all of :data:`gradcam.METHODS`.
    quick : bool
        Fewer scenes and steps.
    progress : bool
        Whether to show a progress bar on standard error.

    Raises
    ------
    ValueError
        If `scenes` is less than 1, or a method is unknown.
    """
    plan = QUICK if quick else FULL
    if scenes is not None:
        plan = plan.with_scenes(positive("scenes", scenes))
    chosen = [_light(METHODS.find(each)) for each in (methods or METHODS)]
    built_in = network is None
    subjects = [Subject(model() if network is None else network)]
    if built_in:
        subjects.append(Subject(gap_model()))
    rows, skipped = [], {}
    with _bar(len(chosen), progress) as advance:
        for method in chosen:
            advance(method.title)
            try:
                rows.append(_row(method, subjects, plan))
            except ValueError as error:  # no network here is one that the method serves
                skipped[method.name] = str(error)
        if built_in and methods is None:
            rows.append(_row(METHODS["grad_cam"], subjects[1:], plan))
        used = {row["network"] for row in rows} | {subjects[0].network.name}
        accuracy = {
            each.network.name: _accuracy(each.network, plan)
            for each in subjects
            if each.network.name in used
        }
    return {
        "scenes": plan.scenes,
        "passes": plan.passes,
        "steps": plan.steps,
        "accuracy": accuracy,
        "rows": sorted(rows, key=lambda row: row["network"] != subjects[0].network.name),
        "skipped": skipped,
        "seconds": sum(row["seconds"] for row in rows),
    }


def _light(method: Method) -> Method:
    """Return a method with options with which it can be measured in the time."""
    options = _OPTIONS.get(method.name)
    if options is None or METHODS.get(method.name) is not method:
        return method
    return method.with_options(**options)


def _row(method: Method, subjects: Sequence[Subject], plan: Plan) -> Row:
    """Measure a method on the first of the networks that it serves, or find what is stored.

    Raises
    ------
    ValueError
        If it serves none of them.
    """
    subject, *others = subjects
    key = _stored.key("row", method, subject.network, asdict(plan))
    row = _stored.find(key)
    if row is None:
        try:
            row = _measure(method, subject, plan)
        except ValueError:
            if not others:
                raise
            return _row(method, others, plan)
        _stored.store(key, row)
    return cast(Row, row)


def _measure(method: Method, subject: Subject, plan: Plan) -> Row:
    return measured_row(method, subject, *plan.counts(method), steps=plan.steps)


def _accuracy(network: Network, plan: Plan) -> Accuracy:
    """Return the shares of scenes whose classes have the highest scores."""
    key = _stored.key("accuracy", None, network, asdict(plan))
    found = _stored.find(key)
    if found is None:
        one, two = (_share_right(network, objects, plan.accuracy) for objects in (1, 2))
        found = Accuracy(scenes=plan.accuracy, one=one, two=two)
        _stored.store(key, found)
    return cast(Accuracy, found)


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
    )
    add = parser.add_argument
    add("--scenes", type=int, help=f"scenes of each kind ({FULL.scenes}, quick {QUICK.scenes})")
    add("--methods", help="names with commas; by default all")
    add("--quick", action="store_true", help="fewer scenes and steps: three minutes, not twenty")
    add("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    try:
        evaluation = evaluate(
            options.scenes,
            methods=options.methods.split(",") if options.methods else None,
            quick=options.quick,
            progress=sys.stderr.isatty(),
        )
    except ValueError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        raise SystemExit(
            "stopped: methods that were measured are stored, and the same command goes on with "
            "the others"
        ) from None
    print(json.dumps(evaluation, indent=1) if options.json else to_text(evaluation))
