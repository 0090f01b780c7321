"""The deeper LSTM question with the normalised image (Antol et al., 2015).

    question vector q = the last outputs of both layers of an LSTM over the words
    image code      i = relu7 / ||relu7||
    scores            = W tanh(W_q q) * tanh(W_i i), element by element before W

as in the code of the Grad-CAM paper's authors; relu7 is that of the code network with maxima.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from gradcam._engine.network import Network
from gradcam._sequences import (
    Given,
    Value,
    concatenate,
    constant,
    embedding,
    linear,
    lstm,
    multiply,
    normalise,
    select,
    tanh,
)
from gradcam._weights.expected import F32, Shapes, linear_shapes, lstm_shapes
from gradcam.pictograms._attribute_networks import code_network
from gradcam.vqa._attention import Attention

CODE = "relu7"

_LSTM = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class DeeperLSTM:
    """The part above the picture's code; made by :class:`gradcam.vqa.Answerer`.

    Parameters
    ----------
    tensors : mapping of str to array
        Those of :data:`shapes`; checked already.
    """

    layer: ClassVar[str] = CODE
    shapes: ClassVar[Shapes] = {
        "embedding.weight": ("words", "embedded"),
        **lstm_shapes("lstm1", "embedded", "hidden"),
        **lstm_shapes("lstm2", "hidden", "hidden"),
        **linear_shapes("question", "fused", "2 hidden"),
        **linear_shapes("image", "fused", "code"),
        **linear_shapes("answer", "answers", "fused"),
    }

    def __init__(self, tensors: Mapping[str, F32]) -> None:
        self._weights = {name: constant(tensors[name]) for name in self.shapes}

    @staticmethod
    def network(tensors: Mapping[str, F32], name: str) -> Network:
        """Return the network that computes the picture's code."""
        return code_network(dict(tensors), name, maxima=True)

    def encode(self, words: Sequence[int]) -> tuple[Value, ...]:
        """Return what is computed of a question alone: tanh(W_q q), (1, fused)."""
        states = embedding(np.array(words)[:, None], self._weights["embedding.weight"])
        ends = []
        for name in ("lstm1", "lstm2"):
            states, _ = lstm(states, *(self._weights[f"{name}.{part}"] for part in _LSTM))
            ends.append(select(states, -1))
        return (tanh(self._linear("question", concatenate(ends))),)

    def scores(
        self, code: Given, question: tuple[Value, ...]
    ) -> tuple[Value, list[dict[str, Attention]]]:
        """Return the answers' scores, (N, answers), for the codes of N pictures.

        There is no attention: the second result holds an empty dict for each picture.
        """
        image = tanh(self._linear("image", normalise(code)))
        found = self._linear("answer", multiply(image, question[0]))
        return found, [{} for _ in range(found.shape[0])]

    def _linear(self, name: str, x: Given) -> Value:
        return linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])
