"""The grammar of captions: sentences about described scenes, and what is true of them.

    caption  = phrase | phrase relation phrase | phrase "and" phrase
             | phrase relation phrase "and" phrase
    phrase   = number [size] [colour] noun
    relation = "left of" | "right of" | "above" | "below"
    colour   = one colour, or two with "and"

`parse` reads any phrase; phrases that are drawn have size and colour, or neither.

A caption names one to three of the groups of a scene, so that objects remain that it does not
mention. Most captions name sizes and colours, and others none: so a noun is not an alternative to
the size or the colour of the same object, and its probability tells which object is meant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcam.pictograms._colouring import COLOURS
from gradcam.pictograms._described import (
    NOUNS,
    RELATIONS,
    Arrangement,
    Described,
    Group,
    Relation,
    for_tests,
)

NUMBERS = ("a", "an", "two", "three", "four")
SIZES = ("small", "large")
CAPTION_WORDS: tuple[str, ...] = tuple(
    sorted(
        {noun.word for noun in NOUNS}
        | {noun.plural for noun in NOUNS}
        | set(COLOURS)
        | set(SIZES)
        | set(NUMBERS)
        | {"left", "right", "of", "above", "below", "and"}
    )
)
"""All words of captions, in alphabetical order."""

# Captions that name one, two and three groups of a scene of one, two, and three or more groups.
_SHARES_OF_NAMED = ((1.0,), (0.3, 0.7), (0.2, 0.4, 0.4))

_SHARE_OF_FULL = 0.8
"""Of captions that name sizes and colours."""

_BY_WORD = {noun.word: (noun, False) for noun in NOUNS} | {n.plural: (n, True) for n in NOUNS}


@dataclass(frozen=True)
class Phrase:
    """One phrase of a caption, read again.

    Attributes
    ----------
    noun : str
        The noun in the singular.
    count : int
    colours : tuple of str
        Empty if none is named.
    size : str or None
    start, stop : int
        Its words: ``words[start:stop]``; the noun is the last one.
    """

    noun: str
    count: int
    colours: tuple[str, ...]
    size: str | None
    start: int
    stop: int

    def is_true_of(self, scene: Arrangement) -> bool:
        """Return whether there is a group of this kind, number, colour and size."""
        group = scene.group(self.noun)
        return (
            group is not None
            and group.count == self.count
            and self.colours in ((), group.colours)
            and self.size in (None, group.size)
        )


@dataclass(frozen=True)
class Parsed:
    """A caption's phrases, and the relation of the first to the second, if it names one."""

    phrases: tuple[Phrase, ...]
    relation: Relation | None

    def relation_is_true_of(self, scene: Arrangement) -> bool | None:
        """Return whether the relation is true; None if there is none, or a noun is not there."""
        if self.relation is None:
            return None
        groups = [scene.group(phrase.noun) for phrase in self.phrases[:2]]
        if groups[0] is None or groups[1] is None:
            return None
        return scene.may_stand(groups[0], self.relation, groups[1])


def phrase(group: Group, *, size: bool = True, colour: bool = True) -> str:
    """Return the phrase for a group of a described scene: "a small red cat", "two mushrooms".

    Parameters
    ----------
    group : Group
        One of ``scene.groups``.
    size, colour : bool
        Whether they are named.
    """
    words: list[str] = [group.size] if size else []
    words += [" and ".join(group.colours)] if colour else []
    words.append(group.noun.word if group.count == 1 else group.noun.plural)
    number = ("", "", "two", "three", "four")[group.count]
    if group.count == 1:
        number = "an" if words[0][0] in "aeiou" else "a"
    return " ".join([number, *words])


def caption(scene: Arrangement, rng: np.random.Generator) -> str:
    """Return a random true caption."""
    shares = _SHARES_OF_NAMED[min(3, len(scene.groups)) - 1]
    named = 1 + int(rng.choice(len(shares), p=shares))
    order = rng.permutation(len(scene.groups))[:named]
    groups = [scene.groups[int(i)] for i in order]
    full = bool(rng.random() < _SHARE_OF_FULL)
    said = [phrase(group, size=full, colour=full) for group in groups]
    if named == 1:
        return said[0]
    true = [r for r in RELATIONS if scene.stands(groups[0], r, groups[1])]
    joint = true[0] if true and rng.random() < 0.75 else "and"
    if joint == "and":
        return f"{said[0]} and {said[1]}"
    first = f"{said[0]} {joint} {said[1]}"
    return first if named == 2 else f"{first} and {said[2]}"


def captions(
    scene: Arrangement, rng: np.random.Generator, count: int, *, tests: bool = False
) -> list[str]:
    """Return up to `count` random captions: sentences for training, or sentences for tests."""
    drawn = [caption(scene, rng) for _ in range(8 * count if tests else 2 * count)]
    return [each for each in drawn if for_tests(each) == tests][:count]


def parse(words: list[str]) -> Parsed:
    """Read a caption's words by the grammar.

    Raises
    ------
    ValueError
        If the words are no caption: it says at which word.
    """
    phrases: list[Phrase] = []
    relation: Relation | None = None
    at = 0
    while True:
        found = _phrase(words, at)
        phrases.append(found)
        at = found.stop
        if at == len(words):
            return Parsed(tuple(phrases), relation)
        if words[at] == "and":
            at += 1
            continue
        joint = " ".join(words[at : at + 2]) if words[at] in ("left", "right") else words[at]
        if relation is not None or len(phrases) != 1 or joint not in RELATIONS:
            raise ValueError(f"word {at}, {words[at]!r}: expected a relation, 'and' or the end")
        relation = next(r for r in RELATIONS if r == joint)
        at += len(joint.split())


def _phrase(words: list[str], start: int) -> Phrase:
    """Read the phrase that begins at a word."""
    rest = words[start:]
    if not rest or rest[0] not in NUMBERS:
        raise ValueError(f"word {start}: expected a number of objects, such as 'a' or 'two'")
    count = {"a": 1, "an": 1, "two": 2, "three": 3, "four": 4}[rest[0]]
    at, size = 1, None
    if rest[at : at + 1] and rest[at] in SIZES:
        size, at = rest[at], at + 1
    colours: list[str] = []
    while rest[at : at + 1] and rest[at] in COLOURS:
        colours.append(rest[at])
        at += 1
        if rest[at : at + 1] == ["and"] and rest[at + 1 : at + 2] and rest[at + 1] in COLOURS:
            at += 1
    if not rest[at : at + 1] or rest[at] not in _BY_WORD:
        raise ValueError(f"word {start + at}: expected the noun of an object")
    noun, plural = _BY_WORD[rest[at]]
    if plural != (count > 1):
        raise ValueError(f"word {start + at}, {rest[at]!r}: the number does not fit the noun")
    return Phrase(noun.word, count, tuple(colours), size, start, start + at + 1)


def mask_of(scene: Described, found: Phrase) -> NDArray[np.bool_] | None:
    """Return the pixels of the group that a phrase names, or None if there is no such kind."""
    group = scene.group(found.noun)
    return None if group is None else scene.mask(group)
