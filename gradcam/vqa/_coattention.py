"""Hierarchical question-image co-attention (Lu et al., 2016), parallel, over the last map.

    V           = tanh(W_i v + b + place), for each position v of the last map
    Q at the level of words, phrases and the whole question:
      word      = the embeddings of the words
      phrase_t  = the largest of tanh(W_1 word_t), tanh(W_2 [word_(t-1), word_t]) and
                  tanh(W_3 [word_(t-1), word_t, word_(t+1)]), element by element; zero outside
      question  = the outputs of an LSTM over the phrases
    at each level:
      C         = tanh(Q W_b V^T)                    affinity of words and positions
      a_v       = softmax(w_v tanh(V W_v + C^T Q W_q))
      a_q       = softmax(w_q tanh(Q W_q + C V W_v))
      f         = sum of a_v V + sum of a_q Q
    h_word      = tanh(W f_word)
    h_phrase    = tanh(W [f_phrase, h_word])
    h_question  = tanh(W [f_question, h_phrase]);  scores = W h_question

The matrices of a level are its own. Biases, which the paper leaves out, are in W_v, W_q and W.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from gradcam._engine.network import Network
from gradcam._sequences import (
    Given,
    Value,
    add,
    attend,
    concatenate,
    constant,
    embedding,
    linear,
    lstm,
    matmul,
    maximum,
    reshape,
    select,
    softmax,
    tanh,
    transpose,
)
from gradcam._weights.expected import F32, Shapes, linear_shapes, lstm_shapes
from gradcam.pictograms._attribute_networks import map_network
from gradcam.vqa._attention import Attention

LEVELS = ("word", "phrase", "question")

STRIDES = (1, 1, 1, 1, 2, 1, 1, 1)
"""Of the residual blocks over the attribute VGG's last map."""

BLOCKS = tuple(f"block{number}" for number in range(1, len(STRIDES) + 1))
"""Their names, and those of their maps."""

MAP = BLOCKS[-1]

_LSTM = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _level_shapes(level: str) -> Shapes:
    before = "width" if level == LEVELS[0] else "2 width"
    return {
        f"{level}.affinity.weight": ("width", "width"),
        **linear_shapes(f"{level}.image", "attention", "width"),
        **linear_shapes(f"{level}.question", "attention", "width"),
        f"{level}.image_score.weight": (1, "attention"),
        f"{level}.question_score.weight": (1, "attention"),
        **linear_shapes(f"{level}.fused", "width", before),
    }


class CoAttention:
    """The part above the picture's map; made by :class:`gradcam.vqa.Answerer`.

    Parameters
    ----------
    tensors : mapping of str to array
        Those of :data:`shapes`; checked already.
    """

    layer: ClassVar[str] = MAP
    shapes: ClassVar[Shapes] = {
        **linear_shapes("image", "width", "channels"),
        "position.weight": ("positions", "width"),
        "embedding.weight": ("words", "width"),
        "phrase1.weight": ("width", "width", 1),
        "phrase1.bias": ("width",),
        "phrase2.weight": ("width", "width", 2),
        "phrase2.bias": ("width",),
        "phrase3.weight": ("width", "width", 3),
        "phrase3.bias": ("width",),
        **lstm_shapes("lstm", "width", "width"),
        **_level_shapes("word"),
        **_level_shapes("phrase"),
        **_level_shapes("question"),
        **linear_shapes("answer", "answers", "width"),
    }

    def __init__(self, tensors: Mapping[str, F32]) -> None:
        self._weights = {name: constant(tensors[name]) for name in self.shapes}

    @staticmethod
    def network(tensors: Mapping[str, F32], name: str) -> Network:
        """Return the network that computes the picture's map."""
        return map_network(dict(tensors), name, dict(zip(BLOCKS, STRIDES, strict=True)))

    def encode(self, words: Sequence[int]) -> tuple[Value, ...]:
        """Return what is computed of a question alone: Q at each level, (1, T, width)."""
        word = embedding(np.array(words)[:, None], self._weights["embedding.weight"])
        phrase = self._phrases(word)
        whole, _ = lstm(phrase, *(self._weights[f"lstm.{part}"] for part in _LSTM))
        return tuple(transpose(each, (1, 0, 2)) for each in (word, phrase, whole))

    def _phrases(self, words: Value) -> Value:
        """Return the phrase around each word, (T, 1, width)."""
        nothing = np.zeros((1, *words.shape[1:]), np.float32)
        last = len(words.array)
        padded = concatenate([nothing, words, nothing], axis=0)
        before, at, after = (select(padded, slice(k, k + last)) for k in range(3))
        grams = []
        for count, parts in ((1, (at,)), (2, (before, at)), (3, (before, at, after))):
            kernel = self._weights[f"phrase{count}.weight"]
            flat = reshape(transpose(kernel, (0, 2, 1)), (kernel.shape[0], -1))
            bias = self._weights[f"phrase{count}.bias"]
            grams.append(tanh(linear(concatenate(list(parts)), flat, bias)))
        return maximum(grams)

    def scores(
        self, code: Given, question: tuple[Value, ...]
    ) -> tuple[Value, list[dict[str, Attention]]]:
        """Return the answers' scores, (N, answers), for the maps of N pictures, and the attention.

        Parameters
        ----------
        code : Value or array
            The maps, (N, C, h, w).
        question : tuple of Value
            What :meth:`encode` returned.

        Returns
        -------
        scores : Value
        attention : list of dict of str to Attention
            For each picture, by level.
        """
        maps = code if isinstance(code, Value) else constant(code)
        count, channels, height, width = maps.shape
        at = transpose(reshape(maps, (count, channels, -1)), (0, 2, 1))
        places = tanh(add(self._linear("image", at), self._weights["position.weight"]))
        found: list[dict[str, Attention]] = [{} for _ in range(count)]
        hidden: Value | None = None
        for level, words in zip(LEVELS, question, strict=True):
            on_places, on_words, fused = self._attend(level, places, words)
            features = fused if hidden is None else concatenate([fused, hidden])
            hidden = tanh(self._linear(f"{level}.fused", features))
            for n, each in enumerate(found):
                shares = on_places.array[n].reshape(height, width)
                each[level] = Attention(shares, on_words.array[n])
        assert hidden is not None
        return self._linear("answer", hidden), found

    def _attend(self, level: str, places: Value, words: Value) -> tuple[Value, Value, Value]:
        """Return a_v (N, P), a_q (N, T) and f (N, width) of one level."""
        turned = transpose(places, (0, 2, 1))
        affinity = self._weights[f"{level}.affinity.weight"]
        both = tanh(matmul(matmul(words, affinity), turned))
        by_place = self._linear(f"{level}.image", places)
        by_word = self._linear(f"{level}.question", words)
        from_words = matmul(transpose(both, (0, 2, 1)), by_word)
        on_places = self._shares(f"{level}.image_score", add(by_place, from_words))
        on_words = self._shares(f"{level}.question_score", add(by_word, matmul(both, by_place)))
        weighed = matmul(reshape(on_words, (on_words.shape[0], 1, -1)), words)
        asked = reshape(weighed, (on_words.shape[0], -1))
        return on_places, on_words, add(attend(on_places, places), asked)

    def _shares(self, name: str, features: Value) -> Value:
        """Return the softmax over positions or words, (N, P)."""
        scores = linear(tanh(features), self._weights[f"{name}.weight"])
        return softmax(reshape(scores, scores.shape[:2]))

    def _linear(self, name: str, x: Given) -> Value:
        return linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])
