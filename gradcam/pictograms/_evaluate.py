"""Measure the pictogram network and its explanations on scenes it has never seen.

    python -m gradcam.pictograms evaluate --scenes 500

Four figures, each over scenes of one object and over scenes of two of different classes:

right     share of the scenes whose classes are the network's first (first two) answers;
pointing  share of the objects whose visible pixels hold the maximum of the map asked for
          their class: the pointing game (Zhang et al. 2016), without any tolerance;
near      the same with the tolerance usual there: 15 pixels from the object will do;
box       share of the objects whose box has an IoU above 0.5 with the box around the largest
          segment of the map at 15 % of its maximum (Selvaraju et al. 2017, section 4.1).

In a scene of two objects the map is asked for both, so a map that does not depend on the class
points at one of them in vain. All scenes are drawn from fixed seeds; training uses no others
of them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradcam import Explanation, FlatMapWarning, Network
from gradcam.pictograms import model
from gradcam.pictograms._scenes import Scene, SceneObject, scene

METHODS = ("grad_cam", "guided_grad_cam", "guided_backprop", "saliency", "deconvnet")
THRESHOLD = 0.15
TOLERANCE = 15
FIGURES = ("pointing", "near", "box")
BATCH = 20
# One object from seed 0 on, two from here on.
FIRST_SEED = {1: 0, 2: 100_000}

Found = tuple[bool, bool, bool]  # pointing, near, box
Box = tuple[int, int, int, int]


def intersection_over_union(a: Box, b: Box) -> float:
    """Return the IoU of two boxes (x0, y0, x1, y1), x1 and y1 exclusive."""
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    shared = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union else 0.0


def evaluate(
    scenes: int = 500,
    *,
    network: Network | None = None,
    methods: Sequence[str] = METHODS,
    progress: bool = False,
) -> dict[str, Any]:
    """Measure `network` (by default the shipped one) on `scenes` scenes of each kind.

    Returns
    -------
    dict
        ``{"one": figures, "two": figures, "seconds": ...}`` with figures of the form
        ``{"scenes": 500, "right": share, "grad_cam": {"pointing": share, "near": share, "box":
        share}, ...}``.
    """
    if scenes < 1:
        raise ValueError(f"scenes must be at least 1, not {scenes}")
    network = model() if network is None else network
    start = time.perf_counter()
    figures: dict[str, Any] = {}
    for name, objects in (("one", 1), ("two", 2)):
        hits: dict[str, list[Found]] = {method: [] for method in methods}
        right = 0
        for first in range(0, scenes, BATCH):
            seeds = range(first, min(first + BATCH, scenes))
            batch = [scene(FIRST_SEED[objects] + seed, objects=objects) for seed in seeds]
            right += _measure(network, batch, objects, hits)
            if progress:
                done = first + len(batch)
                print(f"\rscenes of {name}: {done}/{scenes}", end="", file=sys.stderr, flush=True)
        if progress:
            print(file=sys.stderr)
        figures[name] = {"scenes": scenes, "right": right / scenes}
        for method, found in hits.items():
            shares = np.mean(found, axis=0).tolist()
            figures[name][method] = dict(zip(FIGURES, shares, strict=True))
    figures["seconds"] = time.perf_counter() - start
    return figures


def _measure(
    network: Network, batch: list[Scene], objects: int, hits: dict[str, list[Found]]
) -> int:
    """Add what each method finds in `batch` to `hits`; return how many answers are right."""
    tape = network.forward([s.picture for s in batch])
    for method, found in hits.items():
        for place in range(objects):
            asked = [s.objects[place] for s in batch]
            with warnings.catch_warnings():
                # A flat map points nowhere: it counts as a miss below, and needs no warning.
                warnings.simplefilter("ignore", FlatMapWarning)
                explanations = getattr(tape, method)([o.index for o in asked])
                found += map(_found, explanations, asked)
    answers = np.argsort(-tape.scores, axis=1)[:, :objects]
    return sum(
        set(answer) == {o.index for o in s.objects}
        for answer, s in zip(answers.tolist(), batch, strict=True)
    )


def _found(explanation: Explanation, truth: SceneObject) -> Found:
    """Return whether the map's maximum is on the object, or near it, and its box right."""
    box = explanation.box(threshold=THRESHOLD)
    if box is None:
        return False, False, False
    y, x = np.unravel_index(int(explanation.map.argmax()), explanation.map.shape)
    rows, columns = np.nonzero(truth.mask)
    near = np.min((rows - y) ** 2 + (columns - x) ** 2) <= TOLERANCE**2
    right = intersection_over_union(box, truth.box) > 0.5
    return bool(truth.mask[y, x]), bool(near), right


def table(figures: dict[str, Any]) -> str:
    """Return the figures as a table of text."""
    one, two = figures["one"], figures["two"]
    lines = [
        f"{one['scenes']} scenes of one object: the class first in {one['right']:.1%}",
        f"{two['scenes']} scenes of two objects: both classes first in {two['right']:.1%}",
        "",
        f"{'':16}  {'pointing game':^14}  {'within 15 px':^14}  {'box, IoU > 0.5':^14}",
        f"{'':16}" + f"  {'one':>6}  {'two':>6}" * len(FIGURES),
    ]
    for method in one:
        if isinstance(one[method], dict):
            cells = [f"  {one[method][f]:>6.1%}  {two[method][f]:>6.1%}" for f in FIGURES]
            lines.append(f"{method:16}" + "".join(cells))
    lines += ["", f"{figures['seconds']:.0f} s"]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """Print the table, or the figures as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m gradcam.pictograms evaluate",
        description="Measure the shipped network and its explanations on unseen scenes.",
    )
    parser.add_argument("--scenes", type=int, default=500, help="scenes of each kind (500)")
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    options = parser.parse_args(arguments)
    figures = evaluate(options.scenes, progress=sys.stderr.isatty())
    print(json.dumps(figures, indent=1) if options.json else table(figures))
