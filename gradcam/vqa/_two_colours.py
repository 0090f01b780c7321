"""Objects of two colours: where does the network see one, the other, and both?

The Grad-CAM paper asks for the colour of a fire hydrant that is red and yellow, and explains the
answers "red", "yellow" and "yellow and red". Here the mask of each half is known.
"""

from __future__ import annotations

import warnings
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from gradcam._results.explanation import FlatMapWarning
from gradcam.measures import bootstrap
from gradcam.pictograms._colouring import COLOURS
from gradcam.pictograms._described import NOUNS, Described, compose_described
from gradcam.pictograms._described_maps import SIDE, TESTS
from gradcam.vqa._accuracy import Figures, figures
from gradcam.vqa._answerer import Answerer

_SEED = 0x54


class TwoColours(TypedDict):
    """Means over objects, with intervals.

    Of each map's values on the object: `own` is the share on the half of the colour that is
    explained, the mean of both colours; `both` the share on the upper half in the map of the
    right answer, which names both colours. `upper` and `lower` are the shares on the upper half in
    the maps of its colour and of the lower half's colour. A map that is 0 everywhere on the object
    is left out. `right` is the share of right answers.
    """

    own: Figures
    upper: Figures
    lower: Figures
    both: Figures
    right: Figures


def two_colours(answerer: Answerer, objects: int) -> TwoColours:
    """Measure Grad-CAM's maps of both colours of large objects of two colours, alone in a scene."""
    rows = [_measured(answerer, two_coloured_scene(number)) for number in range(objects)]
    own, upper, lower, both, right = (figures(bootstrap(column)) for column in np.array(rows).T)
    return TwoColours(own=own, upper=upper, lower=lower, both=both, right=right)


def two_coloured_scene(number: int) -> Described:
    """Draw scene `number` of one large object of two colours, of a layout for tests."""
    rng = np.random.default_rng([number, TESTS, _SEED])
    while True:
        noun = NOUNS[int(rng.integers(len(NOUNS)))]
        first, second = rng.permutation(list(COLOURS))[:2]
        scene = compose_described(rng, SIDE, [(noun, (str(first), str(second)), "large", 1)])
        if scene.is_for_tests:
            return scene


def share_of(map: NDArray[np.float32], half: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the share of a map's values on one half among those on both; NaN if all are 0."""
    inside, outside = (float(map.sum(where=each, dtype=np.float64)) for each in (half, other))
    total = inside + outside
    return inside / total if total > 0 else float("nan")


def _measured(answerer: Answerer, scene: Described) -> tuple[float, ...]:
    """Return the figures of one object."""
    (group,), (halves,) = scene.groups, scene.halves
    tape = answerer.network.forward(scene.picture)
    reply = answerer.ask(tape, f"what colour is the {group.noun.word}?")
    true = answerer.find_answer(" and ".join(group.colours))
    asked = [reply.objective(answer) for answer in (*group.colours, true)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FlatMapWarning)
        upper, lower, both = (share_of(each.map, *halves) for each in tape.grad_cam(asked))
    return (upper + 1 - lower) / 2, upper, lower, both, float(reply.text == true)
