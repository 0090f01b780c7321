"""The words of a caption as objectives: what made the captioner say them?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

import gradcam._sequences as seq
from gradcam._engine.forward_pass import ForwardPass
from gradcam._labels.classes import Labels
from gradcam._results.objectives import Answer, Forward, Objective, Others
from gradcam.captioning._decoder import Decoder
from gradcam.pictograms._attribute_networks import identity, output_of

_F32 = NDArray[np.float32]

CODE = "relu7"
"""The layer of the picture's code."""


class Sentence:
    """A sequence of words for which log-probabilities are computed, and their gradients.

    The results for the last codes are remembered, since all words ask for the same ones. A result
    never changes, so that threads may share a sentence.

    Parameters
    ----------
    decoder : Decoder
    numbers : sequence of int
        Of the words.
    network : str
        The identity of the network that computes the codes.
    """

    def __init__(self, decoder: Decoder, numbers: Sequence[int], network: str) -> None:
        self.numbers = tuple(numbers)
        self.words = tuple(decoder.vocabulary.words[number] for number in numbers)
        self.network = network
        self._decoder = decoder
        self._values: tuple[_F32, _F32] | None = None
        self._slopes: tuple[_F32, _F32] | None = None

    def values(self, forward: Forward) -> _F32:
        """Return the log-probability of each word for each picture, (T, N)."""
        codes, last = self._codes(forward), self._values
        if last is None or not np.array_equal(last[0], codes):
            last = codes, self._decoder.log_probabilities(codes, self.numbers).array
            self._values = last
        return last[1]

    def gradients(self, forward: Forward, n: int) -> _F32:
        """Return the gradient of each word's log-probability by the code of picture `n`, (T, K).

        There is one backward pass, with a copy of the caption for each word.
        """
        code, last = self._codes(forward)[n], self._slopes
        if last is None or not np.array_equal(last[0], code):
            count = len(self.numbers)
            copies = seq.variable(np.tile(code, (count, 1)))
            output = self._decoder.one_for_each(copies, self.numbers)
            (slopes,) = seq.gradients(output, np.ones(count, np.float32), [copies])
            self._values = code[None], output.array[:, None]
            last = code, slopes
            self._slopes = last
        return last[1]

    def _codes(self, forward: Forward) -> _F32:
        """Return the codes of the pictures, (N, K), having checked whose they are."""
        if isinstance(forward, ForwardPass) and identity(forward.graph) != self.network:
            raise ValueError(
                f"the caption was made by the network {self.network}, but the tape is of the "
                f"network {identity(forward.graph)}: pass the picture to captioner.network.forward"
            )
        return output_of(forward, CODE)


class Words(Objective):
    """Successive words of a caption: the sum of their log-probabilities, each given those before.

    Returned by :meth:`Caption.word` and :meth:`Caption.part`; iterating a caption gives one for
    each word. It is computed anew for each forward pass, so that it can be explained by every
    method.

    Parameters
    ----------
    sentence : Sentence
    start, stop : int
        The words ``start`` to ``stop - 1``.
    """

    def __init__(self, sentence: Sentence, start: int, stop: int) -> None:
        self._sentence = sentence
        self.start, self.stop = start, stop

    @property
    def words(self) -> tuple[str, ...]:
        """The words."""
        return self._sentence.words[self.start : self.stop]

    @property
    def text(self) -> str:
        """The words with blanks between them."""
        return " ".join(self.words)

    def label(self, labels: Labels) -> str:
        """Return the words."""
        return self.text

    def value(self, forward: Forward, n: int) -> float:
        """Return the sum of the words' log-probabilities for picture `n`."""
        return float(self.values(forward)[n])

    def values(self, forward: Forward) -> _F32:
        """Return the sum for each picture, (N,)."""
        found: _F32 = self._sentence.values(forward)[self.start : self.stop].sum(axis=0)
        return found

    def reads(self, forward: Forward, n: int) -> frozenset[str]:
        """Return the layer of the picture's code."""
        return frozenset([CODE])

    def seeds(self, forward: Forward, n: int) -> Mapping[str, _F32]:
        """Return the gradient of the sum by the code of picture `n`."""
        slopes = self._sentence.gradients(forward, n)[self.start : self.stop]
        return {CODE: slopes.sum(axis=0)}

    def answer(self, forward: Forward, n: int) -> Answer:
        """Return the words, their log-probability and, of a single word, its probability."""
        value = self.value(forward, n)
        single = self.stop - self.start == 1
        probability = float(np.exp(value)) if single else None
        return Answer(self.text, value, probability=probability)

    def others(self, forward: Forward, n: int) -> Others:
        """Return the two other words of the caption that are farthest away; of the whole, none."""
        words, own = self._sentence.words, self.words
        away = {
            words[place]: max(self.start - place, place - self.stop + 1)
            for place in reversed(range(len(words)))
            if words[place] not in own
        }
        far = sorted(away, key=lambda word: -away[word])[:2]
        places = (words.index(word) for word in far)
        made = (Words(self._sentence, place, place + 1) for place in places)
        return Others("word", tuple(made))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.text!r}>"
