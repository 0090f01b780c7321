"""Questions about described scenes, with their answers and the objects that these depend on.

There are four kinds of questions. Within each, the answers are drawn with equal probability, as far
as scenes allow, so that the question alone says little about its answer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gradcam.pictograms._colouring import COLOURS
from gradcam.pictograms._described import NOUNS, RELATIONS, Arrangement, Group, Noun

Kind = Literal["colour", "presence", "relation", "count"]

MAX_COUNT = 4
ANSWERS: tuple[str, ...] = (
    "yes",
    "no",
    *(str(n) for n in range(MAX_COUNT + 1)),
    *COLOURS,
    *(f"{a} and {b}" for a, b in itertools.combinations(COLOURS, 2)),
    *(noun.word for noun in NOUNS),
    "nothing",
)
"""All answers; two colours are in alphabetical order."""

QUESTION_WORDS: tuple[str, ...] = tuple(
    sorted(
        {noun.word for noun in NOUNS}
        | {noun.plural for noun in NOUNS}
        | set(COLOURS)
        | {"what", "colour", "is", "the", "there", "a", "an", "how", "many", "are"}
        | {"left", "right", "of", "above", "below"}
    )
)
"""All words of questions, in alphabetical order."""


@dataclass(frozen=True)
class Question:
    """A question about a scene.

    Attributes
    ----------
    text : str
    answer : str
        One of `ANSWERS`.
    kind : "colour", "presence", "relation" or "count"
    groups : tuple of Group
        The groups on which the answer depends: what was asked about, and what answers it. Empty if
        the answer depends on something that is not there.
    """

    text: str
    answer: str
    kind: Kind
    groups: tuple[Group, ...]


def colour_question(scene: Arrangement, rng: np.random.Generator) -> Question | None:
    """Ask for the colour of a group of one object."""
    singles = [group for group in scene.groups if group.count == 1]
    if not singles:
        return None
    group = singles[int(rng.integers(len(singles)))]
    answer = " and ".join(sorted(group.colours))
    return Question(f"what colour is the {group.noun.word}?", answer, "colour", (group,))


def presence_question(scene: Arrangement, rng: np.random.Generator) -> Question:
    """Ask whether an object is there, in half of the cases with a colour; yes as often as no.

    Where the answer to a question with a colour is no, the object is there in another colour, or
    another object has the colour, as far as the scene allows.
    """
    yes, with_colour = rng.random() < 0.5, rng.random() < 0.5
    group = scene.groups[int(rng.integers(len(scene.groups)))]
    noun, colour = group.noun, group.colours[int(rng.integers(len(group.colours)))]
    about: tuple[Group, ...] = (group,)
    if not yes:
        absent = [each for each in NOUNS if scene.group(each.word) is None]
        others = [each for each in COLOURS if each not in group.colours]
        if with_colour and rng.random() < 0.6:
            colour = others[int(rng.integers(len(others)))]
        else:
            noun, about = absent[int(rng.integers(len(absent)))], ()
    named = f"{colour} {noun.word}" if with_colour else noun.word
    article = "an" if named[0] in "aeiou" else "a"
    return Question(f"is there {article} {named}?", "yes" if yes else "no", "presence", about)


def relation_question(scene: Arrangement, rng: np.random.Generator) -> Question | None:
    """Ask what is left of, right of, above or below an object; None if no answer is clear.

    Exactly one group is clearly there and no other one is near that place; or no group is, and the
    answer is "nothing", which is drawn as often as each object.
    """
    nothing = rng.random() < 0.05
    found = []
    for group in scene.groups:
        if group.count > 1:
            continue
        for relation in RELATIONS:
            others = [each for each in scene.groups if each is not group]
            near = [each for each in others if scene.may_stand(each, relation, group)]
            text = f"what is {relation} the {group.noun.word}?"
            if nothing and not near and others:
                found.append(Question(text, "nothing", "relation", (group,)))
            elif not nothing and len(near) == 1 and scene.stands(near[0], relation, group):
                word = near[0].noun.word
                found.append(Question(text, word, "relation", (group, near[0])))
    return found[int(rng.integers(len(found)))] if found else None


# The share of scenes that have a group of 0, 1, 2, 3 and 4 objects, inverted.
_COUNTS = np.array((1.0, 1.5, 3.6, 6.7, 10.0)) / 22.8


def count_question(scene: Arrangement, rng: np.random.Generator) -> Question | None:
    """Ask how many objects of a kind there are; the answers 0 to 4 are about equally frequent.

    Scenes without a group of the number that was drawn give no question.
    """
    wanted = int(rng.choice(MAX_COUNT + 1, p=_COUNTS))
    groups: list[tuple[Noun, tuple[Group, ...]]]
    if wanted == 0:
        absent = [noun for noun in NOUNS if scene.group(noun.word) is None]
        groups = [(noun, ()) for noun in absent]
    else:
        groups = [(group.noun, (group,)) for group in scene.groups if group.count == wanted]
    if not groups:
        return None
    noun, about = groups[int(rng.integers(len(groups)))]
    return Question(f"how many {noun.plural} are there?", str(wanted), "count", about)


KINDS: dict[Kind, Callable[[Arrangement, np.random.Generator], Question | None]] = {
    "colour": colour_question,
    "presence": presence_question,
    "relation": relation_question,
    "count": count_question,
}
"""The function that asks a question of each kind; None if the scene allows none."""


def questions(scene: Arrangement, rng: np.random.Generator, each: int = 2) -> list[Question]:
    """Return random questions about a described scene, all different.

    Parameters
    ----------
    scene : Described
    rng : numpy.random.Generator
    each : int
        The greatest number of questions of each kind: for the colour of an object, whether
        something is there, what stands left of it, right of it, above or below it, and how many
        there are. Some scenes allow no question of a kind.
    """
    found: dict[str, Question] = {}
    for ask in KINDS.values():
        asked = (ask(scene, rng) for _ in range(3 * each))
        new = {question.text: question for question in asked if question is not None}
        found |= dict(list(new.items())[:each])
    return list(found.values())
