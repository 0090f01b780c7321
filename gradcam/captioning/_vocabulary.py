"""The words of a captioner, and their numbers."""

from __future__ import annotations

from collections.abc import Sequence

from gradcam._text import brief, with_nearest, words_of
from gradcam._weights.tensors import listed

LONGEST = 50
"""Words of the longest caption that is read."""

_SHOWN = 80
"""Known words that a message lists."""


class Vocabulary:
    """Words by their numbers, from 0; the number after the last one is START, or END.

    START is what the decoder reads before the first word, END what it says after the last one. One
    is only read and the other only said, so that both have the same number.

    Parameters
    ----------
    words : sequence of str
        Lower case, without white space and punctuation, each once.

    Raises
    ------
    ValueError, TypeError
        If there are none, or one is something else or there twice.
    """

    def __init__(self, words: Sequence[str]) -> None:
        if isinstance(words, str) or not isinstance(words, Sequence):
            raise TypeError(f"words: expected a list of words, got {brief(words)}")
        self.words = tuple(words)
        for word in self.words:
            if not isinstance(word, str):
                raise TypeError(f"words: expected texts, got {brief(word)}")
            if words_of(word) != [word]:
                raise ValueError(
                    f"words: {brief(word)} is not a word in lower case without punctuation"
                )
        if not self.words:
            raise ValueError("words: an empty list; give at least one")
        self._numbers = {word: number for number, word in enumerate(self.words)}
        twice = [word for word in self._numbers if self.words.count(word) > 1]
        if twice:
            raise ValueError(f"words: {listed(twice)} more than once")

    @property
    def mark(self) -> int:
        """The number of START and of END."""
        return len(self.words)

    def numbers(self, text: str) -> tuple[int, ...]:
        """Return the numbers of a caption's words.

        Raises
        ------
        ValueError
            If there are no words, more than 50, or unknown ones: the message names these, and
            known ones that are spelt alike.
        TypeError
            If it is not a text.
        """
        if not isinstance(text, str):
            raise TypeError(f"a caption is a text, such as 'a red cat', not {brief(text)}")
        found = words_of(text)
        if not found:
            raise ValueError("the caption has no words: give one such as 'a red cat'")
        if len(found) > LONGEST:
            raise ValueError(f"the caption has {len(found)} words; at most {LONGEST} are read")
        unknown = [word for word in found if word not in self._numbers]
        if unknown:
            raise ValueError(
                f"the captioner does not know {with_nearest(unknown, self.words)}; it "
                f"knows the words {listed(self.words, _SHOWN)}"
            )
        return tuple(self._numbers[word] for word in found)
