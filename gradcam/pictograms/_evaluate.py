"""Measure the pictogram network and its explanations on scenes that were not used for training.

    python -m gradcam.pictograms evaluate --scenes 500

``evaluation.json`` contains the figures of the built-in model; it is the output of
``python -m gradcam.pictograms evaluate --json``.

Four figures are measured, on scenes of one object and on scenes of two objects of different
classes:

accuracy  share of the scenes whose classes have the highest score (the two highest scores);
pointing  share of the objects whose visible pixels contain the maximum of the map of their
          class: the pointing game (Zhang et al. 2016) without tolerance;
near      the same with the usual tolerance: at most 15 pixels from the object;
box       share of the objects whose box has an IoU above 0.5 with the box of the largest
          segment of the map at 15 % of its maximum (Selvaraju et al. 2017, section 4.1).

In a scene of two objects a map is computed for each of them, so a map that does not depend on the
class misses one of them. All scenes are drawn from fixed seeds, which training does not use.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np

from gradcam._engine.network import Network
from gradcam._engine.tape import BatchTape
from gradcam._labels.classes import top_indices
from gradcam._results.explanation import Explanation, FlatMapWarning
from gradcam._tables import as_text
from gradcam.measures import iou, pointing
from gradcam.pictograms._networks import model
from gradcam.pictograms._scenes import Scene, SceneObject, scene

METHODS = ("grad_cam", "guided_grad_cam", "guided_backprop", "saliency", "deconvnet")

THRESHOLD = 0.15
"""Threshold of the segments, as a share of the map's maximum."""

TOLERANCE = 15
"""Maximum distance in pixels from the object that counts as near."""

MIN_IOU = 0.5

BATCH = 20

FIRST_SEED = {1: 0, 2: 100_000}
"""The first seed of the scenes, by the number of objects."""


class Hits(NamedTuple):
    """Whether a map finds an object, by each of the criteria."""

    pointing: bool
    near: bool
    box: bool


class Shares(TypedDict):
    """The shares of the objects that a method finds."""

    pointing: float
    near: float
    box: float


class Figures(TypedDict):
    """What was measured on the scenes with one number of objects."""

    scenes: int
    accuracy: float
    methods: dict[str, Shares]


class Evaluation(TypedDict):
    """What was measured on the scenes of one and of two objects."""

    one: Figures
    two: Figures
    seconds: float


def recorded() -> Evaluation:
    """Return the figures of the built-in model, as ``evaluate --json`` printed them."""
    file = Path(__file__).with_name("evaluation.json")
    evaluation: Evaluation = json.loads(file.read_text(encoding="utf-8"))
    return evaluation


def evaluate(
    scenes: int = 500,
    *,
    network: Network | None = None,
    methods: Sequence[str] = METHODS,
    progress: bool = False,
) -> Evaluation:
    """Measure a network and its explanations.

    Parameters
    ----------
    scenes : int
        Number of scenes of one object, and of two objects.
    network : Network, optional
        By default the pictogram network.
    methods : sequence of str
        Names of methods.
    progress : bool
        Whether to print the progress to standard error.

    Raises
    ------
    ValueError
        If `scenes` is less than 1.
    """
    if scenes < 1:
        raise ValueError(f"scenes must be at least 1, not {scenes}")
    network = model() if network is None else network
    start = time.perf_counter()
    one = _evaluate_scenes(network, methods, scenes, objects=1, progress=progress)
    two = _evaluate_scenes(network, methods, scenes, objects=2, progress=progress)
    return {"one": one, "two": two, "seconds": time.perf_counter() - start}


def _evaluate_scenes(
    network: Network, methods: Sequence[str], scenes: int, *, objects: int, progress: bool
) -> Figures:
    """Measure the figures of `scenes` scenes with `objects` objects each."""
    hits: dict[str, list[Hits]] = {method: [] for method in methods}
    correct = 0
    for first in range(0, scenes, BATCH):
        seeds = range(first, min(first + BATCH, scenes))
        batch = [scene(FIRST_SEED[objects] + seed, objects=objects) for seed in seeds]
        tape = network.forward([s.picture for s in batch])
        correct += _count_correct(tape, batch)
        for method in methods:
            hits[method] += _find_objects(tape, method, batch)
        if progress:
            done = f"\robjects: {objects}, scenes: {first + len(batch)} of {scenes}"
            print(done, end="", file=sys.stderr, flush=True)
    if progress:
        print(file=sys.stderr)
    shares = {method: _mean(found) for method, found in hits.items()}
    return {"scenes": scenes, "accuracy": correct / scenes, "methods": shares}


def _count_correct(tape: BatchTape, batch: Sequence[Scene]) -> int:
    """Return the number of scenes whose classes have the highest scores."""
    return sum(
        set(top_indices(scores, len(s.objects))) == {each.index for each in s.objects}
        for scores, s in zip(tape.scores, batch, strict=True)
    )


def _find_objects(tape: BatchTape, method: str, batch: Sequence[Scene]) -> list[Hits]:
    """Explain the class of each object of each scene by `method`, and check where the map is."""
    hits: list[Hits] = []
    for objects in zip(*(s.objects for s in batch), strict=True):
        with warnings.catch_warnings():
            # A flat map has no box and counts as a miss below; it needs no warning.
            warnings.simplefilter("ignore", FlatMapWarning)
            explanations = tape.explain(method, [each.index for each in objects])
            hits += map(_check, explanations, objects)
    return hits


def _check(explanation: Explanation, truth: SceneObject) -> Hits:
    box = explanation.box(threshold=THRESHOLD)
    if box is None:
        return Hits(pointing=False, near=False, box=False)
    return Hits(
        pointing=pointing(explanation, truth.mask, 0),
        near=pointing(explanation, truth.mask, TOLERANCE),
        box=iou(box, truth.box) > MIN_IOU,
    )


def _mean(hits: Sequence[Hits]) -> Shares:
    pointing, near, box = np.mean(hits, axis=0).tolist()
    return {"pointing": pointing, "near": near, "box": box}


def to_text(evaluation: Evaluation) -> str:
    """Return the figures as a table of text."""
    from rich.table import Table  # slow to import

    one, two = evaluation["one"], evaluation["two"]
    table = Table("\nmethod", box=None, pad_edge=False)
    for title in ("pointing game", f"within {TOLERANCE} px", f"box, IoU > {MIN_IOU}"):
        table.add_column(f"{title}\n1 object", justify="right")
        table.add_column("\n2 objects", justify="right")
    for method, first in one["methods"].items():
        second = two["methods"][method]
        shares = [first["pointing"], second["pointing"]]
        shares += [first["near"], second["near"], first["box"], second["box"]]
        table.add_row(method, *(f"{share:.1%}" for share in shares))
    return (
        f"{one['scenes']} scenes of one object, accuracy {one['accuracy']:.1%}\n"
        f"{two['scenes']} scenes of two objects, accuracy {two['accuracy']:.1%}\n\n"
        f"{as_text(table)}\n\n"
        f"{evaluation['seconds']:.0f} s"
    )


def main(arguments: Sequence[str]) -> None:
    """Print the figures as a table or as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m gradcam.pictograms evaluate",
        description="Measure the pictogram network and its explanations on unseen scenes.",
    )
    parser.add_argument("--scenes", type=int, default=500, help="scenes of each kind (500)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    evaluation = evaluate(options.scenes, progress=sys.stderr.isatty())
    print(json.dumps(evaluation, indent=1) if options.json else to_text(evaluation))
