"""Attention: what a co-attention network weighs of a picture and of a question."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Attention(NamedTuple):
    """The attention at one level of a question.

    Attributes
    ----------
    positions : (h, w) array of float32
        The share of each position of the map; the sum is 1.
    words : (T,) array of float32
        The share of each known word of the question, or of the phrase around it; the sum is 1.
    """

    positions: NDArray[np.float32]
    words: NDArray[np.float32]
