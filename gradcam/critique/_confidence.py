"""The confidence of a network as log-odds, which are exact where a probability rounds to 1.

With p the probability of a class and m its log-odds, log(p / (1 - p)):

    softmax: m = S_c - log(sum over the other classes of exp(S_j)),    sigmoid: m = S_c,
    dp/dx = p (1 - p) dm/dx.

So the gradient of the probability is that of the log-odds, made shorter by the factor p (1 - p).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.forward_pass import ForwardPass
from gradcam._results.objectives import Class, LogOdds, probability_layer

_F64 = NDArray[np.float64]


def log_odds(forward: ForwardPass, index: int) -> Class:
    """Return the log-odds of a class as an objective.

    Raises
    ------
    ValueError
        If the network has no probabilities, or a softmax over one class.
    """
    if forward.graph.layers[probability_layer(forward)].op == "sigmoid":
        return Class(index)
    if len(forward.labels) == 1:
        raise ValueError(
            f"{forward.graph.name}: a softmax over one class is always 1, so there is no "
            f"probability to ask about"
        )
    return LogOdds(index)


def probability(odds: _F64) -> _F64:
    """Return p from log-odds."""
    e = np.exp(-np.abs(odds))
    found: _F64 = np.where(odds < 0, e, 1.0) / (1 + e)
    return found


def factor(odds: _F64) -> _F64:
    """Return p (1 - p) from log-odds, also where p rounds to 1."""
    e = np.exp(-np.abs(odds))
    found: _F64 = e / (1 + e) ** 2
    return found


def norm(values: NDArray[np.floating]) -> float:
    """Return the Euclidean length of an array."""
    return float(np.sqrt(np.square(values, dtype=np.float64).sum()))


def cosine(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Return the cosine between two arrays; 0 if one of them is zero."""
    lengths = norm(one) * norm(other)
    dot = float((one.astype(np.float64) * other).sum())
    return dot / lengths if lengths else 0.0
