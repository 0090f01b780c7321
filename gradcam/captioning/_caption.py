"""A caption: its words with their probabilities, and what is explained of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, SupportsIndex

from gradcam._methods.passes import integer
from gradcam._text import brief, with_nearest, words_of
from gradcam.captioning import _figure
from gradcam.captioning._words import Sentence, Words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gradcam._engine.tape import Tape
    from gradcam._registry import Method


class Caption(Words):
    """What a captioner says about a picture, or a caption that was given.

    It is an objective, the sum of its words' log-probabilities without that of the end, which is
    what the Grad-CAM paper explains: ``tape.grad_cam(caption)``. Iterating it gives an objective
    for each word: ``tape.grad_cam([*caption])``.

    Attributes
    ----------
    words : tuple of str
    text : str
        The words with blanks between them.
    log_probabilities : tuple of float
        Of each word, given the picture and the words before it.
    end : float or None
        The log-probability that the caption ends here; None if the search was cut off before.
    """

    def __init__(
        self, sentence: Sentence, log_probabilities: tuple[float, ...], end: float | None
    ) -> None:
        super().__init__(sentence, 0, len(sentence.words))
        self.log_probabilities = log_probabilities
        self.end = end

    @property
    def log_probability(self) -> float:
        """The sum of the words' log-probabilities, for the picture that was described."""
        return sum(self.log_probabilities)

    def word(self, which: str | SupportsIndex, nth: SupportsIndex = 0) -> Words:
        """Return one word as an objective.

        Parameters
        ----------
        which : str or int
            The word, or its position; -1 is the last one. Upper case and punctuation make no
            difference.
        nth : int
            Which one, from 0, of a word that occurs several times.

        Raises
        ------
        ValueError, IndexError
            If the caption has no such word, or not so often; the message names its words.
        TypeError
            If it is neither a word nor a position.
        """
        if not isinstance(which, str):
            if not hasattr(which, "__index__"):
                raise TypeError(
                    f"which: expected a word of the caption or its position, got {brief(which)}; "
                    f"{self._has}"
                )
            return self._one(integer("which", which))
        places = self._places(which)
        number = integer("nth", nth)
        if not 0 <= number < len(places):
            times = "once" if len(places) == 1 else f"{len(places)} times"
            raise IndexError(
                f"nth={number}: {which!r} occurs {times} in the caption; they count from 0"
            )
        return self._one(places[number])

    def _places(self, which: str) -> list[int]:
        """Return where a word stands.

        Raises
        ------
        ValueError
            If it stands nowhere, or is no single word.
        """
        given = tuple(words_of(which))
        if len(given) != 1:
            raise ValueError(
                f"which: expected one word, got {brief(which)}{self._phrase(given)}; {self._has}"
            )
        places = [place for place, each in enumerate(self.words) if each == given[0]]
        if not places:
            raise ValueError(
                f"the caption has no word {with_nearest(given, self.words)}; {self._has}"
            )
        return places

    def _phrase(self, given: tuple[str, ...]) -> str:
        """Return how a phrase is explained, if the caption has it, for a message."""
        for first in range(len(self) if given else 0):
            if self.words[first : first + len(given)] == given:
                return f", which is caption.part({first}, {first + len(given)})"
        return ""

    @property
    def _has(self) -> str:
        """Its words, for a message."""
        return f"its words are {', '.join(self.words)}"

    def part(self, start: SupportsIndex, stop: SupportsIndex) -> Words:
        """Return a phrase as an objective: the words ``start`` to ``stop - 1``.

        Raises
        ------
        IndexError
            If there are no such words.
        """
        first, last = integer("start", start), integer("stop", stop)
        if not 0 <= first < last <= len(self):
            raise IndexError(
                f"start={first}, stop={last}: expected 0 <= start < stop <= {len(self)}; "
                f"{self._has}"
            )
        return Words(self._sentence, first, last)

    def _one(self, place: int) -> Words:
        count = len(self)
        if not -count <= place < count:
            raise IndexError(
                f"word {place}: the caption has the words 0 to {count - 1}; {self._has}"
            )
        return Words(self._sentence, place % count, place % count + 1)

    def __len__(self) -> int:
        return len(self.words)

    def __iter__(self) -> Iterator[Words]:
        return (self._one(place) for place in range(len(self)))

    def plot(self, tape: Tape) -> Figure:
        """Draw the figure of the paper: the picture, Grad-CAM and Guided Grad-CAM of the caption.

        Parameters
        ----------
        tape : Tape
            Of the picture: ``captioner.network.forward(picture)``.
        """
        return _figure.whole(tape, self)

    def plot_words(self, tape: Tape, method: str | Method = "grad_cam") -> Figure:
        """Draw a map for each word, with the word and its probability below it.

        Parameters
        ----------
        tape : Tape
            Of the picture.
        method : str or Method
        """
        return _figure.strip(tape, list(self), method)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<Caption {self.text!r}, log-probability {self.log_probability:.2f}>"
