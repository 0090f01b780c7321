"""What maps of answers agree with: occlusion, and the objects that the answer depends on.

In the place of people's attention stands the mask of the objects on which the true answer depends,
which is known exactly. The control is a map of random values at 14 x 14 positions, more than the
maps have.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.tape import Tape
from gradcam._results.explanation import FlatMapWarning
from gradcam.measures import bootstrap, energy_inside, occlusion_correlation, pointing, spearman
from gradcam.pictograms._described import Described
from gradcam.pictograms._described_maps import TESTS, numbered_scene
from gradcam.pictograms._questions import KINDS, Question
from gradcam.vqa._accuracy import Figures, figures, questions_for_tests
from gradcam.vqa._answerer import Answerer
from gradcam.vqa._reply import Reply

PATCH, STRIDE = 16, 8
"""Of occlusion, in pixels of the input of 112 x 112."""

_PLACES = (14, 14)
_SEED = 0x53


class Agreement(TypedDict):
    """Means over questions, with intervals.

    `occlusion` is Spearman's correlation with the occlusion map of the answer's score, `mask` that
    with the mask of the objects; `pointing` the share of maxima on these objects, and `energy` the
    share of the map on them.
    """

    occlusion: Figures
    mask: Figures
    pointing: Figures
    energy: Figures


def agreement(answerer: Answerer, questions: int) -> dict[str, Agreement]:
    """Measure the maps of the network's answers to this many questions about scenes for tests.

    The kinds of questions take turns; questions whose answer depends on something that is not
    there are left out. A flat map, which has no order, counts as a correlation of 0.

    Returns
    -------
    dict
        By method, "grad_cam" and "guided_backprop"; "random" for random maps; and "area", in which
        `pointing` and `energy` are the objects' share of the picture and all else is 0.
    """
    rows: dict[str, list[tuple[float, float, float, float]]] = {}
    for number, (scene, question) in enumerate(asked(questions)):
        tape = answerer.network.forward(scene.picture)
        found = measured(tape, answerer.ask(tape, question.text), scene, question, number)
        for name, row in found.items():
            rows.setdefault(name, []).append(row)
    return {name: _means(np.array(each)) for name, each in rows.items()}


def measured(
    tape: Tape, reply: Reply, scene: Described, question: Question, seed: int
) -> dict[str, tuple[float, float, float, float]]:
    """Return the four figures of each map of one answer."""
    mask = scene.mask(*question.groups)
    occlusion = tape.occlusion(reply, patch=PATCH, stride=STRIDE)
    maps = {
        "grad_cam": tape.grad_cam(reply).map,
        "guided_backprop": tape.guided_backprop(reply).map,
        "random": random_map(seed, (mask.shape[0], mask.shape[1])),
    }
    found = {}
    for name, map in maps.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FlatMapWarning)
            alike = occlusion_correlation(tape, map, reply, occlusion=occlusion)
            inside = energy_inside(map, mask)
            on_mask = spearman(map, mask)
        row = (alike, on_mask, float(pointing(map, mask, 0)), inside)
        found[name] = tuple(np.nan_to_num(row).tolist())
    area = float(mask.mean())
    return found | {"area": (0.0, 0.0, area, area)}


def random_map(seed: int, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return independent values from 0 to 1 at 14 x 14 positions, enlarged bilinearly."""
    from PIL import Image

    values = np.random.default_rng([seed, _SEED]).random(_PLACES, np.float32)
    picture = Image.fromarray(values).resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(picture, np.float32)


def asked(count: int) -> Iterator[tuple[Described, Question]]:
    """Yield scenes for tests with a question each; the kinds take turns."""
    kinds, number, done = list(KINDS), 0, 0
    while done < count:
        scene = numbered_scene(number, TESTS)
        for question in questions_for_tests(scene, number):
            if question.groups and question.kind == kinds[done % len(kinds)]:
                yield scene, question
                done += 1
                break
        number += 1


def _means(rows: NDArray[np.float64]) -> Agreement:
    occlusion, mask, points, energy = (figures(bootstrap(column)) for column in rows.T)
    return Agreement(occlusion=occlusion, mask=mask, pointing=points, energy=energy)
