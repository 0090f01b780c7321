"""The facts about a described scene that the picture's codes tell, one for each of their values.

The first code tells `FACTS`. The second one, with maxima, also tells where things are: the mean
place of each kind of object, and for two kinds which one is further to the right and further down.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from gradcam.pictograms._attributes import ATTRIBUTES, attributes
from gradcam.pictograms._described import NOUNS, Arrangement, Relation
from gradcam.pictograms._questions import MAX_COUNT

_WORDS = tuple(noun.word for noun in NOUNS)
_RELATIONS: tuple[Relation, ...] = ("left of", "above")

FACTS: tuple[str, ...] = (
    *ATTRIBUTES,
    *(f"{count} {word}" for word in _WORDS for count in range(1, MAX_COUNT + 1)),
    *(
        f"{one} {relation} {other}"
        for relation in _RELATIONS
        for one, other in itertools.permutations(_WORDS, 2)
    ),
)
"""The attributes, the number of objects of each kind, and which kind is left of or above which."""

COUNTS = slice(len(ATTRIBUTES), len(ATTRIBUTES) + MAX_COUNT * len(NOUNS))
"""Where the numbers of objects stand; the relations follow them."""


PLACES = len(FACTS) + 2 * len(NOUNS) + 3 * (len(NOUNS) * (len(NOUNS) - 1) // 2)
"""How many facts the second code tells."""


def facts(scene: Arrangement) -> NDArray[np.float32]:
    """Return 1 for each fact that is true of a scene, 0 for others, NaN where neither is clear.

    A relation is true if every object of the one kind clearly stands so to every object of the
    other, and false if none does; see `Arrangement.stands` and `Arrangement.may_stand`.

    Returns
    -------
    (694,) array of float32
    """
    counts = np.zeros((len(NOUNS), MAX_COUNT), np.float32)
    relations = np.zeros((len(_RELATIONS), len(NOUNS), len(NOUNS)), np.float32)
    for group in scene.groups:
        counts[NOUNS.index(group.noun), group.count - 1] = 1
    for one, other in itertools.permutations(scene.groups, 2):
        place = NOUNS.index(one.noun), NOUNS.index(other.noun)
        for number, relation in enumerate(_RELATIONS):
            if scene.stands(one, relation, other):
                relations[number][place] = 1
            elif scene.may_stand(one, relation, other):
                relations[number][place] = np.nan
    different = ~np.eye(len(NOUNS), dtype=bool)
    return np.concatenate([attributes(scene), counts.ravel(), relations[:, different].ravel()])


def places(scene: Arrangement) -> NDArray[np.float32]:
    """Return what the second code tells beside the facts, 0 to 1, NaN for kinds that are not there.

    Returns
    -------
    (392,) array of float32
        The mean (x, y) of the objects of each kind; and for each two kinds whether the second is
        further to the right, whether it is further down, and whether the distance along x is the
        larger one.
    """
    centres = np.full((len(NOUNS), 2), np.nan, np.float32)
    for group in scene.groups:
        centres[NOUNS.index(group.noun)] = scene.centres[list(group.members)].mean(0)
    one, other = np.triu_indices(len(NOUNS), 1)
    x, y = (centres[other] - centres[one]).T
    order = np.stack([x > 0, y > 0, np.abs(x) > np.abs(y)]).astype(np.float32)
    order[:, np.isnan(x)] = np.nan
    return np.concatenate([centres.ravel(), order.ravel()])
