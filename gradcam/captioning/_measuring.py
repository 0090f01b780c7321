"""What is measured of captions on one scene: where their maps lie, and what true sentences cost."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.tape import Tape
from gradcam._results.explanation import Explanation
from gradcam.captioning._caption import Caption
from gradcam.captioning._captioner import Captioner
from gradcam.captioning._judged import noun_of
from gradcam.measures import energy_inside, inside_outside, pointing
from gradcam.pictograms._captions import phrase
from gradcam.pictograms._described import Described

METHODS = ("guided_backprop", "grad_cam", "guided_grad_cam")
"""In the order of their ratios in the paper."""

LARGEST = 1000.0
"""Ratios of inside to outside count as at most this, since a map can be zero outside."""


class Part(NamedTuple):
    """A part of a picture: its share of a map's energy, NaN if the map is flat, and of the area."""

    energy: float
    area: float


def pointed(tape: Tape, caption: Caption, scene: Described) -> list[tuple[bool, float]]:
    """Return, for each noun of a caption that is there, where the map of its word points.

    Returns
    -------
    list of (bool, float)
        Whether the maximum of the word's Grad-CAM map is on a visible pixel of an object of this
        kind; and the share of the picture that these objects cover, which is the chance of that.
    """
    found = []
    for word in caption:
        group = scene.group(noun_of(word.text) or "")
        if group is not None:
            mask = scene.mask(group)
            found.append((pointing(tape.grad_cam(word), mask, 0), float(mask.mean())))
    return found


def energies(tape: Tape, caption: Caption, scene: Described) -> dict[str, Part]:
    """Return how the Grad-CAM map of a whole caption divides its energy.

    The parts are the objects that the caption mentions, the others, and the ground.
    """
    nouns = {noun_of(word) for word in caption.words}
    named = [group for group in scene.groups if group.noun.word in nouns]
    others = [group for group in scene.groups if group.noun.word not in nouns]
    mentioned, unmentioned = scene.mask(*named), scene.mask(*others)
    map = tape.grad_cam(caption)
    return {
        "mentioned": _part(map, mentioned),
        "unmentioned": _part(map, unmentioned),
        "ground": _part(map, ~(mentioned | unmentioned)),
    }


def _part(map: Explanation, mask: NDArray[np.bool_]) -> Part:
    return Part(energy_inside(map, mask), float(mask.mean())) if mask.any() else Part(0.0, 0.0)


def ratios(captioner: Captioner, tape: Tape, scene: Described) -> dict[str, list[float]]:
    """Return, by method, for each group the mean of the map inside its boxes over that outside.

    The group's phrase with all attributes, such as "a small red cat", is given as a caption, as
    the Grad-CAM paper does with the captions of regions (section 7.1). Values below 0 count as 0.
    A map that is zero everywhere has the ratio 1, that of a uniform map; one that is zero outside
    has the largest ratio that counts, and one that is zero inside the smallest.
    """
    given = [captioner.caption(tape, phrase(group)) for group in scene.groups]
    boxes = [[scene.scene.objects[m].box for m in group.members] for group in scene.groups]
    uniform = np.ones(scene.picture.shape[:2], np.float32)
    found = {"uniform": [bounded(inside_outside(uniform, each)) for each in boxes]}
    for method in METHODS:
        maps = tape.explain(method, list(given))
        found[method] = [bounded(inside_outside(*each)) for each in zip(maps, boxes, strict=True)]
    return found


def bounded(ratio: float) -> float:
    """Return a ratio that counts: 1 for a flat map, and at most the largest, either way."""
    return 1.0 if math.isnan(ratio) else min(max(ratio, 1 / LARGEST), LARGEST)


def minus_logs(captioner: Captioner, tape: Tape, sentence: str) -> list[float]:
    """Return -log p of each word of a sentence, and of its end, for a picture."""
    caption = captioner.caption(tape, sentence)
    assert caption.end is not None  # a given caption ends
    return [-value for value in (*caption.log_probabilities, caption.end)]
