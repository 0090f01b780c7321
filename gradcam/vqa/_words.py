"""Questions: their words, and what is said of words that the network does not know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradcam._text import brief, counted, with_nearest, words_of

MAX_WORDS = 50
"""Words of the longest question."""

_EXAMPLE = "'what colour is the cat?'"


class UnknownWordWarning(UserWarning):
    """A question has words that the network does not know; it is answered without them."""


@dataclass(frozen=True)
class Question:
    """A question as a network reads it.

    Attributes
    ----------
    text : str
        As it was asked.
    words : tuple of str
        The known words, in their order, in lower case and without punctuation.
    indices : tuple of int
        Their places in the network's vocabulary.
    note : str
        A sentence about words that are not in the vocabulary, which the network does not read, with
        similar ones that are; empty if there are none.
    """

    text: str
    words: tuple[str, ...]
    indices: tuple[int, ...]
    note: str = ""

    def with_answer(self, answer: str) -> str:
        """Return the question and an answer to it as one text."""
        if self.text.endswith(("?", "？")):
            return f"{self.text} {answer}"
        return f"{self.text.rstrip(' .,;:!')}: {answer}"


def read(text: str, vocabulary: Sequence[str]) -> Question:
    """Read a question.

    Parameters
    ----------
    text : str
        Upper and lower case make no difference; punctuation is left out.
    vocabulary : sequence of str
        The words that the network knows.

    Raises
    ------
    TypeError
        If it is not a text.
    ValueError
        If it has no words, more than :data:`MAX_WORDS`, or not one that is known.
    """
    if not isinstance(text, str):
        raise TypeError(f"question: expected a text such as {_EXAMPLE}, got {brief(text)}")
    words = words_of(text)
    if not words:
        raise ValueError(f"question: {brief(text)} has no words; ask, for example, {_EXAMPLE}")
    if len(words) > MAX_WORDS:
        raise ValueError(
            f"question: it has {len(words)} words, and at most {MAX_WORDS} are read: ask something "
            f"shorter, for example {_EXAMPLE}"
        )
    places = {word: place for place, word in enumerate(vocabulary)}
    known = tuple(word for word in words if word in places)
    note = _about([word for word in words if word not in places], vocabulary)
    if not known:
        raise ValueError(f"question: not one of its words is known. {note}")
    return Question(" ".join(text.split()), known, tuple(places[word] for word in known), note)


def _about(unknown: Sequence[str], vocabulary: Sequence[str]) -> str:
    """Return a sentence about unknown words, or an empty text."""
    count = len(dict.fromkeys(unknown))
    if not count:
        return ""
    verb, them = ("is", "it") if count == 1 else ("are", "them")
    return (
        f"{counted(count, 'word')} of the question {verb} not in the vocabulary, and the network "
        f"does not read {them}: {with_nearest(unknown, vocabulary)}."
    )
