"""The recurrent network: from a picture's code to the probabilities of words.

As in neuraltalk2 (Karpathy & Fei-Fei 2015; Vinyals et al. 2015) the code is the first input of an
LSTM, then START and the words follow; after START and after each word a softmax over all words and
END says what may come next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import gradcam._sequences as seq
from gradcam._sequences import Value
from gradcam.captioning._vocabulary import Vocabulary

_F32 = NDArray[np.float32]


_OF_LSTM = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class State(NamedTuple):
    """The LSTM between two words, for N captions: h and c, (N, H)."""

    h: _F32
    c: _F32

    def of(self, captions: Sequence[int]) -> State:
        """Return the state of some of the captions, in this order."""
        rows = np.array(captions)
        return State(self.h[rows], self.c[rows])


class Decoder:
    """The weights of the recurrent network.

    Parameters
    ----------
    tensors : mapping of str to array
        ``image.weight`` (E, K), ``image.bias`` (E,), ``embedding.weight`` (V + 1, E),
        ``lstm.weight_ih`` (4H, E), ``lstm.weight_hh`` (4H, H), ``lstm.bias_ih``, ``lstm.bias_hh``
        (4H,), ``output.weight`` (V + 1, H) and ``output.bias`` (V + 1,), for codes of K values, E
        values for each word, and V words. The last row of the embedding is START, that of the
        output END.
    vocabulary : Vocabulary
        The V words.
    """

    def __init__(self, tensors: Mapping[str, _F32], vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._weights = {name: seq.constant(values) for name, values in tensors.items()}
        by_input, by_state, *biases = (self._weights[f"lstm.{kind}"] for kind in _OF_LSTM)
        self._lstm = by_input, by_state, biases[0], biases[1]
        bias = seq.add(*biases)
        # What the LSTM computes of each word before it knows its state.
        self._given = seq.linear(self._weights["embedding.weight"], by_input, bias).array

    def log_probabilities(self, codes: _F32 | Value, words: Sequence[int]) -> Value:
        """Return the log-probability of each of a caption's words, given those before it.

        Parameters
        ----------
        codes : Value or array
            (N, K).
        words : sequence of int
            T of them; the last one may be END.

        Returns
        -------
        Value
            (T, N).
        """
        given = codes if isinstance(codes, Value) else seq.constant(codes)
        said = self._said(self._outputs(given, words))
        return seq.pick(said, np.tile(np.array(words)[:, None], len(given.array)))

    def one_for_each(self, codes: Value, words: Sequence[int]) -> Value:
        """Return the log-probability of one word for each code: of word t for code t, (T,).

        Parameters
        ----------
        codes : Value
            (T, K).
        words : sequence of int
            As of :meth:`log_probabilities`.
        """
        h, count = self._outputs(codes, words), len(words)
        diagonal = slice(None, None, count + 1)
        outputs = seq.select(seq.reshape(h, (count * count, -1)), diagonal)
        return seq.pick(self._said(outputs), np.array(words))

    def _outputs(self, codes: Value, words: Sequence[int]) -> Value:
        """Return the outputs of the LSTM that say each word, (T, N, H)."""
        read = np.array([[self.vocabulary.mark], *([word] for word in words[:-1])])
        embedded = seq.embedding(read, self._weights["embedding.weight"])
        h, _ = seq.lstm(embedded, *self._lstm, *self._seen(codes))
        return h

    def start(self, code: _F32) -> tuple[State, _F32]:
        """Read START for a code (K,); return as :meth:`step`."""
        h, c = self._seen(seq.constant(code[None]))
        return self.step(State(h.array, c.array), np.array([self.vocabulary.mark]))

    def step(self, state: State, words: NDArray[np.intp]) -> tuple[State, _F32]:
        """Read one more word of N captions.

        Returns
        -------
        State
        (N, V + 1) array of float32
            The log-probability of each word that may follow; the last one is END.
        """
        h, c = seq.lstm_step(self._given[words], self._weights["lstm.weight_hh"], *state)
        scores = self._weights["output.weight"], self._weights["output.bias"]
        return State(h, c), seq.log_softmax_step(h, *scores)

    def _seen(self, codes: Value) -> tuple[Value, Value]:
        """Return h and c after the first input, which is made of the code."""
        first = seq.linear(codes, self._weights["image.weight"], self._weights["image.bias"])
        h, c = seq.lstm(seq.reshape(first, (1, *first.shape)), *self._lstm)
        return seq.select(h, 0), c

    def _said(self, h: Value) -> Value:
        """Return the log-probabilities of all words after outputs of the LSTM."""
        scores = seq.linear(h, self._weights["output.weight"], self._weights["output.bias"])
        return seq.log_softmax(scores)
