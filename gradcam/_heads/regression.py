"""Logistic regression on standardised codes, with scikit-learn, and its cross-validation."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcam._scikit import scikit

_F64 = NDArray[np.float64]
_I64 = NDArray[np.int64]

STRENGTHS = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)
"""The values of scikit-learn's C that are tried: the smallest regularises most."""

USUAL = 0.01
"""C where too few folds are left to choose it."""

PURPOSE = "training a classifier"

_TOLERANCE, _ITERATIONS = 1e-7, 5000

_RANK = 1e-10
"""A direction of a smaller variance, relative to the largest, is rounding."""

_SPREAD = 1e-5
"""A code that varies by less, relative to its mean, is taken for constant: its digits end there."""


class Linear(NamedTuple):
    """A linear layer and the softmax after it.

    Attributes
    ----------
    weight : (K, D) array
        On the codes as they are: the standardisation is folded into it.
    bias : (K,) array
    converged : bool
    """

    weight: _F64
    bias: _F64
    converged: bool

    def centred(self, centre: _F64) -> Linear:
        """Return the layer with the same scores on codes minus the centre, (D,)."""
        return self._replace(bias=self.bias + self.weight @ centre)

    def rounding(self, values: _F64) -> float:
        """Return a bound of the error of the scores of codes, (N, D), computed in float32."""
        terms = np.abs(values) @ np.abs(self.weight).T + np.abs(self.bias)
        return float(terms.max() * np.finfo(np.float32).eps)

    def log_probabilities(self, values: _F64) -> _F64:
        """Return the logarithm of the probabilities of codes, (N, D) -> (N, K)."""
        scores = values @ self.weight.T + self.bias
        scores -= scores.max(1, keepdims=True)
        return np.asarray(scores - np.log(np.exp(scores).sum(1, keepdims=True)))


class Standard(NamedTuple):
    """Standardised codes, in as few coordinates as needed.

    Attributes
    ----------
    values : (N, R) array
        R is at most N: coordinates of the standardised codes in an orthonormal basis.
    basis : (R, D) array, or None
        None for the codes' own coordinates.
    mean, scale : (D,) array
        Codes minus the mean, divided by the scale, are standardised.
    """

    values: _F64
    basis: _F64 | None
    mean: _F64
    scale: _F64


def standard(values: _F64) -> Standard:
    """Standardise codes, (N, D).

    The weights of a regression with an L2 penalty are sums of the codes that it learns from, so of
    fewer pictures than values in a code, only the coordinates in the space of these codes matter.
    A value that is the same for all pictures, or varies by less than 1e-5 of its mean, where the
    digits of float32 end, keeps its scale.
    """
    mean, spread = values.mean(0), values.std(0)
    scale = np.where(spread > _SPREAD * np.abs(mean), spread, 1.0)
    scaled = (values - mean) / scale
    if len(scaled) >= scaled.shape[1]:
        return Standard(scaled, None, mean, scale)
    squares, vectors = np.linalg.eigh(scaled @ scaled.T)
    kept = squares > _RANK * squares[-1]
    lengths = np.sqrt(squares[kept])
    basis = (vectors[:, kept] / lengths).T @ scaled
    return Standard(vectors[:, kept] * lengths, basis, mean, scale)


def fit(codes: Standard, numbers: _I64, c: float) -> Linear:
    """Return the logistic regression on standardised codes.

    The scores of K > 2 classes are those of scikit-learn's softmax; the one score d of two classes
    becomes -d/2 and d/2, which have the same probabilities.

    Parameters
    ----------
    codes : Standard
    numbers : (N,) array
        The class of each, 0 to K - 1; each occurs.
    c : float
        scikit-learn's C: 1 / the strength of the L2 penalty.
    """
    if not codes.values.size:  # all codes are equal: what is left are the classes' frequencies
        shares = np.bincount(numbers) / len(numbers)
        return Linear(np.zeros((len(shares), len(codes.mean))), np.log(shares), True)
    linear_model = scikit("sklearn.linear_model", PURPOSE)
    model = linear_model.LogisticRegression(C=c, tol=_TOLERANCE, max_iter=_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged is said in our words
        model.fit(codes.values, numbers)
    weight, bias = np.asarray(model.coef_), np.asarray(model.intercept_)
    if len(weight) == 1:
        weight, bias = (np.concatenate([-each / 2, each / 2]) for each in (weight, bias))
    if codes.basis is not None:
        weight = weight @ codes.basis
    weight = weight / codes.scale
    return Linear(weight, bias - weight @ codes.mean, bool(np.max(model.n_iter_) < _ITERATIONS))


@dataclass(frozen=True, eq=False)
class Learnt:
    """What was learnt from all pictures, and from all but each fold.

    Attributes
    ----------
    linear : Linear
    strength : float
        Its C.
    strengths : tuple of float
        The C of each fold.
    probabilities : (N, K) array of float64
        Of the pictures when their fold was held out.
    """

    linear: Linear
    strength: float
    strengths: tuple[float, ...]
    probabilities: _F64


def learn(values: _F64, numbers: _I64, folds: _I64, c: float | None) -> Learnt:
    """Learn from all pictures, and test by cross-validation.

    Each fold is held out in turn: standardisation, C and weights come from the other folds alone.
    C is the one of :data:`STRENGTHS` with the smallest mean log loss in cross-validation over
    these other folds; the search begins at the smallest and ends when the loss rises. If there are
    only two folds, nothing is left to choose from, and it is :data:`USUAL`, for the classifier too.

    Parameters
    ----------
    values : (N, D) array of float64
    numbers, folds : (N,) array
        The class and the fold of each; each class is in each fold.
    c : float or None
        None to choose it.
    """
    limits = scikit("threadpoolctl", PURPOSE).threadpool_limits
    with limits(1, user_api="blas"):  # threads wait longer than they compute on small matrices
        return _learn(_Search(values, numbers, folds), c)


def _learn(search: _Search, c: float | None) -> Learnt:
    values, numbers, folds = search.values, search.numbers, search.folds
    probabilities = np.empty((len(values), int(numbers.max()) + 1))
    strengths = []
    for fold in range(search.count):
        search.forget()
        strengths.append(search.chosen(frozenset({fold})) if c is None else c)
        linear, out = search.linear(frozenset({fold}), strengths[-1]), folds == fold
        probabilities[out] = np.exp(linear.log_probabilities(values[out]))
    search.forget()
    strength = search.chosen(frozenset()) if c is None else c
    return Learnt(search.linear(frozenset(), strength), strength, tuple(strengths), probabilities)


class _Search:
    """Fits without some of the folds; each is computed once."""

    def __init__(self, values: _F64, numbers: _I64, folds: _I64) -> None:
        self.values, self.numbers, self.folds = values, numbers, folds
        self.count = int(folds.max()) + 1
        self._known: dict[tuple[frozenset[int], float], Linear] = {}
        self._standard: dict[frozenset[int], Standard] = {}

    def forget(self) -> None:
        """Free memory: what is kept beside the weights can be computed again."""
        self._standard.clear()

    def linear(self, without: frozenset[int], c: float) -> Linear:
        """Return what is learnt from the other folds."""
        if (without, c) not in self._known:
            used = ~np.isin(self.folds, list(without))
            codes = self._standard.get(without) or standard(self.values[used])
            if codes.basis is not None:  # which takes longer than to standardise
                self._standard[without] = codes
            self._known[without, c] = fit(codes, self.numbers[used], c)
        return self._known[without, c]

    def chosen(self, without: frozenset[int]) -> float:
        """Return the C that the other folds choose."""
        if self.count == 2:
            return USUAL
        best, smallest = USUAL, math.inf
        for c in STRENGTHS:
            loss = self._loss(without, c)
            if loss >= smallest:
                break
            best, smallest = c, loss
        return best

    def _loss(self, without: frozenset[int], c: float) -> float:
        """Return the mean log loss when each of the other folds is held out in turn."""
        losses = []
        for fold in set(range(self.count)) - without:
            out = self.folds == fold
            found = self.linear(without | {fold}, c).log_probabilities(self.values[out])
            losses.append(-found[np.arange(len(found)), self.numbers[out]])
        return float(np.concatenate(losses).mean())
