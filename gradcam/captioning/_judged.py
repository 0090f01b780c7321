"""What is true of a caption, by the scene that it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradcam.pictograms._captions import parse
from gradcam.pictograms._described import NOUNS, Arrangement

_NOUNS = {form: noun.word for noun in NOUNS for form in (noun.word, noun.plural)}


@dataclass(frozen=True)
class Judged:
    """How much of one caption is true.

    Attributes
    ----------
    groups : int
        Of the scene.
    named : int
        Nouns in the caption.
    there : int
        How many of these nouns are of objects in the scene.
    mentioned : int
        Groups of the scene that the caption names.
    right : int
        Phrases of which number, size, colour and noun are all true; a noun that is named again
        is not right.
    relations, relations_right : int
        Relations between objects that are there, 0 or 1, and how many are true.
    follows_grammar : bool
        If not, no phrase counts as right.
    """

    groups: int
    named: int
    there: int
    mentioned: int
    right: int
    relations: int
    relations_right: int
    follows_grammar: bool


def noun_of(word: str) -> str | None:
    """Return a noun in the singular; None for other words."""
    return _NOUNS.get(word)


def judged(scene: Arrangement, words: Sequence[str]) -> Judged:
    """Compare a caption's words with the scene."""
    nouns = [_NOUNS[word] for word in words if word in _NOUNS]
    there = [noun for noun in nouns if scene.group(noun) is not None]
    counts = (len(scene.groups), len(nouns), len(there), len(set(there)))
    try:
        parsed = parse(list(words))
    except ValueError:
        return Judged(*counts, 0, 0, 0, follows_grammar=False)
    right = {phrase.noun for phrase in parsed.phrases if phrase.is_true_of(scene)}
    relation = parsed.relation_is_true_of(scene)
    known = relation is not None
    return Judged(*counts, len(right), int(known), int(relation is True), follows_grammar=True)


def share_text(count: int, size: int) -> str:
    """Return a share as text, or a dash if there are no cases."""
    return f"{count / size:.1%}" if size else "-"
