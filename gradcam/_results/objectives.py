"""Objectives: what an explanation explains.

An objective is a number that a network computes: a class's score, a probability, one unit, or a
sum of these. It knows its gradient with respect to the outputs of some layers; the network computes
the rest of the gradient. Methods take objectives; a class's index, label or synset is shorthand for
the objective :class:`Class`.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, SupportsIndex, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcam._labels.classes import Labels, Target, as_python
from gradcam._results.rules import RuleLike
from gradcam._text import brief

_F32 = NDArray[np.float32]
_T = TypeVar("_T")

On = Literal["score", "probability"]
"""What a class stands for: its score before the softmax, or its probability after it."""


class Forward(Protocol):
    """What objectives need of a forward pass; :class:`gradcam.ForwardPass` has it."""

    @property
    def labels(self) -> Labels: ...
    @property
    def score_layer(self) -> str: ...
    @property
    def probability_layer(self) -> str | None: ...
    @property
    def log_probabilities(self) -> bool: ...
    @property
    def scores(self) -> _F32: ...
    @property
    def probabilities(self) -> _F32: ...
    def __len__(self) -> int: ...
    def shape(self, layer: str) -> tuple[int, ...]: ...
    def activation(self, layer: str) -> _F32: ...
    def backward(
        self, layer: str, seeds: ArrayLike, wanted: Sequence[str], rule: RuleLike = "gradient"
    ) -> list[_F32]: ...
    def pooled_gradient(
        self, layer: str, seeds: ArrayLike, wanted: str, rule: RuleLike = "gradient"
    ) -> _F32: ...


@dataclass(frozen=True)
class Answer:
    """What an objective is for one picture.

    Attributes
    ----------
    label : str
        The objective in words.
    score : float
        Its value; for a class or its probability, the class's score.
    target : Target or None
        The class, if it is one.
    probability : float or None
        The probability of the class, if the network has probabilities; of an answer, or of a word
        of a caption.
    """

    label: str
    score: float
    target: Target | None = None
    probability: float | None = None


class Others(NamedTuple):
    """Objectives of one kind whose maps should differ from each other.

    Attributes
    ----------
    kind : str
        What they are, in a word: "class", "answer", "word".
    objectives : tuple of Objective
    names : tuple of str
        What figures call each of them, if not by their labels.
    """

    kind: str
    objectives: tuple[Objective, ...] = ()
    names: tuple[str, ...] = ()


class Objective(ABC):
    """A number that a network computes for each picture.

    Objectives can be added, subtracted and multiplied by numbers:
    ``Class("cat") - 0.5 * Class("dog")``.
    """

    @abstractmethod
    def label(self, labels: Labels) -> str:
        """Return the objective in words.

        Raises
        ------
        ValueError, IndexError, TypeError
            If it names a class that is not one of `labels`.
        """

    @abstractmethod
    def value(self, forward: Forward, n: int) -> float:
        """Return the number for picture `n`."""

    def values(self, forward: Forward) -> _F32:
        """Return the number for each picture, (N,)."""
        values = [self.value(forward, n) for n in range(len(forward))]
        return np.array(values, np.float32)

    @abstractmethod
    def seeds(self, forward: Forward, n: int) -> Mapping[str, _F32]:
        """Return the gradient of the number for picture `n` with respect to layers' outputs.

        Returns
        -------
        dict of str to array
            By layer, in the shape of that layer's output for one picture. The objective must not
            depend on the network in any other way.
        """

    def seed_changes(
        self, forward: Forward, n: int, tangents: Mapping[str, _F32]
    ) -> Mapping[str, _F32]:
        """Return how :meth:`seeds` change along a direction, for second derivatives.

        Parameters
        ----------
        forward : ForwardPass
        n : int
            The picture.
        tangents : mapping of str to array
            By layer, how its output for picture `n` changes along the direction; a layer that is
            missing does not change.

        Returns
        -------
        dict of str to array
            By layer; empty if the objective is a linear function of the layers' outputs.

        Raises
        ------
        ValueError
            If the objective does not say, which is so for a class of your own without this method.
        """
        raise ValueError(
            f"{self.label(forward.labels)}: its second derivatives are not known; "
            f"{type(self).__name__} needs a method seed_changes"
        )

    def reads(self, forward: Forward, n: int) -> frozenset[str]:
        """Return the layers from whose outputs the number for picture `n` is computed."""
        return frozenset(self.seeds(forward, n))

    def answer(self, forward: Forward, n: int) -> Answer:
        """Return the label, the value and, if it is a class, the class for picture `n`."""
        return Answer(self.label(forward.labels), self.value(forward, n))

    def others(self, forward: Forward, n: int) -> Others | None:
        """Return what the objective's map of picture `n` can be compared with, for a report.

        Returns
        -------
        Others or None
            None: classes of the network.
        """
        return None

    def __add__(self, other: Objective) -> Sum:
        if not isinstance(other, Objective):
            return NotImplemented
        return Sum(((1.0, self), (1.0, other)))

    def __radd__(self, other: int) -> Objective:
        return self if other == 0 else NotImplemented  # the start of Python's sum

    def __sub__(self, other: Objective) -> Sum:
        if not isinstance(other, Objective):
            return NotImplemented
        return Sum(((1.0, self), (-1.0, other)))

    def __mul__(self, factor: float) -> Sum:
        if not isinstance(factor, (int, float, np.number)):
            return NotImplemented
        return Sum(((float(factor), self),))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Sum:
        if not isinstance(divisor, (int, float, np.number)):
            return NotImplemented
        return self * (1.0 / divisor)

    def __neg__(self) -> Sum:
        return -1.0 * self


@dataclass(frozen=True)
class Class(Objective):
    """The score of a class, before the softmax.

    Parameters
    ----------
    target : int, str or Target
        The class, by index, label or synset.
    """

    target: int | np.integer | str | Target

    def find(self, labels: Labels) -> Target:
        """Return the class among `labels`."""
        return labels.find(self.target)

    def label(self, labels: Labels) -> str:
        """Return the class's label."""
        return self.find(labels).label

    def value(self, forward: Forward, n: int) -> float:
        """Return the class's score for picture `n`."""
        return float(forward.scores[n, self.find(forward.labels).index])

    def values(self, forward: Forward) -> _F32:
        """Return the class's scores, (N,)."""
        return forward.scores[:, self.find(forward.labels).index]

    def seeds(self, forward: Forward, n: int) -> Mapping[str, _F32]:
        """Return 1 at the class, 0 elsewhere, at the layer of the scores."""
        return {forward.score_layer: self._one_hot(forward)}

    def seed_changes(
        self, forward: Forward, n: int, tangents: Mapping[str, _F32]
    ) -> Mapping[str, _F32]:
        """Return nothing: the seeds are constant."""
        return {}

    def answer(self, forward: Forward, n: int) -> Answer:
        """Return the class with its score and probability for picture `n`."""
        target = self.find(forward.labels)
        probability = None
        if forward.probability_layer is not None:
            probability = float(forward.probabilities[n, target.index])
        return Answer(target.label, float(forward.scores[n, target.index]), target, probability)

    def _one_hot(self, forward: Forward) -> _F32:
        seeds = np.zeros(len(forward.labels), np.float32)
        seeds[self.find(forward.labels).index] = 1
        return seeds


@dataclass(frozen=True)
class Probability(Class):
    """The probability of a class, after the softmax.

    Its gradient is close to zero if the network is confident.
    """

    def value(self, forward: Forward, n: int) -> float:
        """Return the class's probability for picture `n`."""
        return float(forward.probabilities[n, self.find(forward.labels).index])

    def values(self, forward: Forward) -> _F32:
        """Return the class's probabilities, (N,)."""
        return forward.probabilities[:, self.find(forward.labels).index]

    def seeds(self, forward: Forward, n: int) -> Mapping[str, _F32]:
        """Return 1 at the class, 0 elsewhere, at the layer of the probabilities.

        At a layer of log p it is dp / d log p = p.
        """
        layer, seeds = probability_layer(forward), self._one_hot(forward)
        if forward.log_probabilities:
            seeds *= forward.probabilities[n]
        return {layer: seeds}

    def seed_changes(
        self, forward: Forward, n: int, tangents: Mapping[str, _F32]
    ) -> Mapping[str, _F32]:
        """Return nothing, or at a layer of log p the change of p: p times that of log p."""
        layer = probability_layer(forward)
        if not forward.log_probabilities or layer not in tangents:
            return {}
        return {layer: self.seeds(forward, n)[layer] * tangents[layer]}


@dataclass(frozen=True)
class LogOdds(Class):
    """log(p / (1 - p)) of a class's probability p after a softmax over two or more classes.

    It is the class's score minus the logarithm of the sum of the exponentials of all other scores:
    exact where p rounds to 1, and unlike that of p, its gradient does not vanish there.
    """

    def value(self, forward: Forward, n: int) -> float:
        """Return the log-odds for picture `n`, computed in float64."""
        return float(self._odds(forward.scores[n : n + 1], forward.labels)[0])

    def values(self, forward: Forward) -> _F32:
        """Return the log-odds, (N,)."""
        return self._odds(forward.scores, forward.labels).astype(np.float32)

    def seeds(self, forward: Forward, n: int) -> Mapping[str, _F32]:
        """Return 1 at the class, minus the softmax of the other scores elsewhere."""
        seeds = -self._shares(forward, n)
        seeds[self.find(forward.labels).index] = 1
        return {forward.score_layer: seeds.astype(np.float32)}

    def seed_changes(
        self, forward: Forward, n: int, tangents: Mapping[str, _F32]
    ) -> Mapping[str, _F32]:
        """Return the change of minus the softmax of the other scores."""
        layer = forward.score_layer
        if layer not in tangents:
            return {}
        shares, change = self._shares(forward, n), tangents[layer].astype(np.float64)
        return {layer: (shares * (float(shares @ change) - change)).astype(np.float32)}

    def _odds(self, scores: _F32, labels: Labels) -> NDArray[np.float64]:
        index = self.find(labels).index
        others = np.delete(scores, index, axis=1).astype(np.float64)
        highest = others.max(1, keepdims=True)
        total = highest[:, 0] + np.log(np.exp(others - highest).sum(1))
        odds: NDArray[np.float64] = scores[:, index] - total
        return odds

    def _shares(self, forward: Forward, n: int) -> NDArray[np.float64]:
        """Return the softmax of the scores without that of the class, which is 0 there."""
        scores = forward.scores[n].astype(np.float64)
        scores[self.find(forward.labels).index] = -np.inf
        shares = np.exp(scores - scores.max())
        found: NDArray[np.float64] = shares / shares.sum()
        return found


@dataclass(frozen=True)
class Unit(Objective):
    """One unit of a layer.

    Parameters
    ----------
    layer : str
    index : int
        The unit of a layer without positions, or the channel of a map.
    position : (row, column), optional
        Of a map: the channel's value there. By default, the channel's mean over all positions.
    """

    layer: str
    index: SupportsIndex
    position: tuple[SupportsIndex, SupportsIndex] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.layer, str):
            raise TypeError(f"Unit: layer must be a layer's name, got {brief(self.layer)}")
        if not hasattr(self.index, "__index__"):
            raise TypeError(f"Unit: index must be an integer, got {brief(self.index)}")
        if self.position is None:
            return
        if not isinstance(self.position, Sequence) or len(self.position) != 2:
            raise ValueError(f"Unit: position must be (row, column), got {brief(self.position)}")
        if not all(hasattr(each, "__index__") for each in self.position):
            raise TypeError(f"Unit: position must be two integers, got {brief(self.position)}")

    def label(self, labels: Labels) -> str:
        """Return the unit in words."""
        place = "" if self.position is None else f" at {self.position}"
        return f"unit {self.index} of {self.layer}{place}"

    def value(self, forward: Forward, n: int) -> float:
        """Return the unit's value for picture `n`."""
        seeds = self.seeds(forward, n)[self.layer]
        return float(np.vdot(seeds, forward.activation(self.layer)[n]))

    def values(self, forward: Forward) -> _F32:
        """Return the unit's values, (N,)."""
        seeds = self.seeds(forward, 0)[self.layer]
        return np.array([np.vdot(seeds, each) for each in forward.activation(self.layer)])

    def seeds(self, forward: Forward, n: int) -> Mapping[str, _F32]:
        """Return 1 at the unit, or equal parts that sum to 1 over a channel's positions.

        Raises
        ------
        IndexError
            If the layer has no such unit or position.
        ValueError
            If a position is given for a layer without positions.
        """
        shape = forward.shape(self.layer)
        place = (operator.index(self.index), *map(operator.index, self.position or ()))
        if self.position is not None and len(shape) != 3:
            raise ValueError(f"layer {self.layer!r} has no positions: leave position out")
        if any(not 0 <= i < size for i, size in zip(place, shape, strict=False)):
            raise IndexError(f"{self.label(forward.labels)}: the layer has the shape {shape}")
        seeds = np.zeros(shape, np.float32)
        seeds[place] = np.float32(1) / np.float32(seeds[place].size)
        return {self.layer: seeds}

    def seed_changes(
        self, forward: Forward, n: int, tangents: Mapping[str, _F32]
    ) -> Mapping[str, _F32]:
        """Return nothing: the seeds are constant."""
        return {}


@dataclass(frozen=True)
class Sum(Objective):
    """A weighted sum of objectives.

    Parameters
    ----------
    terms : tuple of (weight, Objective)
    """

    terms: tuple[tuple[float, Objective], ...]

    def __post_init__(self) -> None:
        if not self.terms:
            raise ValueError("a sum needs at least one objective")
        for term in self.terms:
            if not isinstance(term, Sequence) or len(term) != 2:
                raise TypeError(f"Sum: a term must be (weight, objective), got {brief(term)}")
            weight, part = term
            if not isinstance(weight, (int, float, np.number)) or not isinstance(part, Objective):
                raise TypeError(
                    f"Sum: a term must be a number and an objective such as Class('cat'), got "
                    f"{brief(term)}"
                )
        flat = [
            (weight * inner, part) for weight, term in self.terms for inner, part in _terms(term)
        ]
        object.__setattr__(self, "terms", tuple(flat))

    def label(self, labels: Labels) -> str:
        """Return the terms with their signs and weights."""
        text = ""
        for weight, term in self.terms:
            sign = "-" if weight < 0 else "+"
            size = "" if abs(weight) == 1 else f"{abs(weight):g} "
            of = "probability of " if isinstance(term, Probability) else ""
            text += f" {sign} {size}{of}{term.label(labels)}"
        return text.removeprefix(" + ").lstrip()

    def value(self, forward: Forward, n: int) -> float:
        """Return the sum for picture `n`."""
        return sum(weight * term.value(forward, n) for weight, term in self.terms)

    def values(self, forward: Forward) -> _F32:
        """Return the sums, (N,)."""
        return add_up([np.float32(weight) * term.values(forward) for weight, term in self.terms])

    def reads(self, forward: Forward, n: int) -> frozenset[str]:
        """Return the layers that the terms are computed from."""
        return frozenset().union(*(term.reads(forward, n) for _, term in self.terms))

    def seeds(self, forward: Forward, n: int) -> Mapping[str, _F32]:
        """Return the weighted sum of the terms' seeds."""
        return self._total([term.seeds(forward, n) for _, term in self.terms])

    def seed_changes(
        self, forward: Forward, n: int, tangents: Mapping[str, _F32]
    ) -> Mapping[str, _F32]:
        """Return the weighted sum of the changes of the terms' seeds."""
        return self._total([term.seed_changes(forward, n, tangents) for _, term in self.terms])

    def _total(self, parts: Sequence[Mapping[str, _F32]]) -> dict[str, _F32]:
        """Return the weighted sum of arrays by layer, one mapping for each term."""
        total: dict[str, _F32] = {}
        for (weight, _), found in zip(self.terms, parts, strict=True):
            for layer, values in found.items():
                part = np.float32(weight) * values
                total[layer] = total[layer] + part if layer in total else part
        return total


@dataclass(frozen=True)
class Function(Objective):
    """Any function of layers' outputs, given by its gradient with respect to them.

    Parameters
    ----------
    name : str
        In words.
    layers : tuple of str
        The layers that the function reads.
    function : callable
        ``function(outputs)`` returns the function's value for one picture; `outputs` maps each of
        `layers` to its output, (C, H, W) or (F,).
    gradient : callable
        ``gradient(outputs)`` returns the function's gradient by layer, in the shape of its output.
    hessian : callable, optional
        For second derivatives: ``hessian(outputs, directions)`` returns how the gradient changes,
        by layer, if the outputs change by the directions; both map each of `layers` to an array.
    """

    name: str
    layers: tuple[str, ...]
    function: Callable[[Mapping[str, _F32]], float] = field(repr=False)
    gradient: Callable[[Mapping[str, _F32]], Mapping[str, ArrayLike]] = field(repr=False)
    hessian: Callable[[Mapping[str, _F32], Mapping[str, _F32]], Mapping[str, ArrayLike]] | None = (
        field(default=None, repr=False)
    )

    def __post_init__(self) -> None:
        is_list = isinstance(self.layers, Sequence) and not isinstance(self.layers, str)
        if not is_list or not all(isinstance(layer, str) for layer in self.layers):
            raise TypeError(
                f"Function: layers must be a tuple of names, such as ('fc8',), got "
                f"{brief(self.layers)}"
            )
        for name in ("function", "gradient"):
            if not callable(getattr(self, name)):
                raise TypeError(f"Function: {name} must be a function of outputs by layer")

    def label(self, labels: Labels) -> str:
        """Return the function's name."""
        return self.name

    def value(self, forward: Forward, n: int) -> float:
        """Return the function's value for picture `n`."""
        return float(self.function(self._outputs(forward, n)))

    def values(self, forward: Forward) -> _F32:
        """Return the function's values, (N,)."""
        outputs = {layer: forward.activation(layer) for layer in self.layers}
        values = [
            float(self.function({layer: found[n] for layer, found in outputs.items()}))
            for n in range(len(forward))
        ]
        return np.array(values, np.float32)

    def reads(self, forward: Forward, n: int) -> frozenset[str]:
        """Return `layers`."""
        return frozenset(self.layers)

    def seeds(self, forward: Forward, n: int) -> Mapping[str, _F32]:
        """Return the function's gradient for picture `n`.

        Raises
        ------
        ValueError
            If the gradient by a layer does not have the shape of its output, or the layer is not
            one of `layers`.
        """
        found = self._checked("gradient", forward, self.gradient(self._outputs(forward, n)))
        if not found:
            raise ValueError(f"{self.name}: the gradient names no layer")
        return found

    def seed_changes(
        self, forward: Forward, n: int, tangents: Mapping[str, _F32]
    ) -> Mapping[str, _F32]:
        """Return how the gradient for picture `n` changes, by `hessian`.

        Raises
        ------
        ValueError
            If there is no `hessian`, or what it returns does not have the shape of an output.
        """
        if self.hessian is None:
            raise ValueError(
                f"{self.name}: its second derivatives are not known; give a Function its hessian="
            )
        outputs = self._outputs(forward, n)
        moved = {
            layer: tangents[layer] if layer in tangents else np.zeros_like(outputs[layer])
            for layer in self.layers
        }
        return self._checked("hessian", forward, self.hessian(outputs, moved))

    def _checked(
        self, what: str, forward: Forward, given: Mapping[str, ArrayLike]
    ) -> dict[str, _F32]:
        """Return what a callable gave by layer, in the shapes of the outputs."""
        found = {}
        for layer, values in given.items():
            if layer not in self.layers:
                raise ValueError(
                    f"{self.name}: the {what} names {brief(layer)}, which is not one of its "
                    f"layers, {', '.join(self.layers)}"
                )
            array, shape = np.asarray(values, np.float32), forward.shape(layer)
            if array.shape != shape:
                raise ValueError(
                    f"{self.name}: the {what} by {layer!r} has the shape {array.shape}, "
                    f"expected {shape}"
                )
            found[layer] = array
        return found

    def _outputs(self, forward: Forward, n: int) -> dict[str, _F32]:
        return {layer: forward.activation(layer)[n] for layer in self.layers}


ObjectiveLike = int | np.integer | str | Target | Objective
"""An objective; a class by index, label or synset is the class's score."""

TargetLike = ObjectiveLike | None
"""One thing to explain: an objective; a class by index, label or synset; None for the top class."""


def as_objective(target: TargetLike, on: On = "score") -> Objective:
    """Return the objective that `target` stands for: a class is its score or its probability."""
    if isinstance(target, Objective):
        return target
    if target is None:
        raise ValueError("None is the top class of a picture, and has a meaning only for one")
    given = cast(int | str | Target, as_python(target))  # labels refuse everything else
    return Probability(given) if on == "probability" else Class(given)


class Difference(Sum):
    """One objective minus another: what raises the first and lowers the second.

    Parameters
    ----------
    first, second : Objective, int, str or Target
        A class by index, label or synset is the class's score.
    """

    def __init__(self, first: ObjectiveLike, second: ObjectiveLike) -> None:
        super().__init__(((1.0, as_objective(first)), (-1.0, as_objective(second))))


def probability_layer(forward: Forward) -> str:
    """Return the layer of the probabilities.

    Raises
    ------
    ValueError
        If the network does not end in a softmax, log-softmax or sigmoid.
    """
    if forward.probability_layer is None:
        raise ValueError(
            "the network does not end in a softmax, log-softmax or sigmoid, so it has scores and "
            "no probabilities: use tape.scores and on='score', or add a softmax layer"
        )
    return forward.probability_layer


@dataclass(frozen=True)
class Objectives:
    """What a method is asked to explain: S objectives for each of N pictures.

    Attributes
    ----------
    each : tuple of N tuples of Objective
        For each picture. S is the largest number; pictures with fewer have zero gradients there.
    listed : tuple of N bool
        Whether a picture's objectives were given as a list, so that its answer is a list.
    """

    each: tuple[tuple[Objective, ...], ...]
    listed: tuple[bool, ...]

    def gradient(self, forward: Forward, layer: str, rule: RuleLike = "gradient") -> _F32:
        """Return the gradients of all objectives with respect to one layer's output.

        Parameters
        ----------
        forward : ForwardPass
            The tape, or another pass of as many pictures.
        layer : str
            ``"input"`` for the network's input.
        rule : str, Rule, LayerRule or Composite
            What each layer passes back, see :mod:`gradcam.rules`. An objective of several layers is
            the sum over them.

        Returns
        -------
        (S, N, ...) array of float32
        """
        return self.gradients(forward, [layer], rule)[0]

    def gradients(
        self, forward: Forward, layers: Sequence[str], rule: RuleLike = "gradient"
    ) -> list[_F32]:
        """Return the gradients with respect to several layers, from the same backward pass."""
        parts = [
            forward.backward(start, seeds, layers, rule)
            for start, seeds in self.seeds(forward).items()
        ]
        return [add_up(part) for part in zip(*parts, strict=True)]

    def pooled_gradient(self, forward: Forward, layer: str, rule: RuleLike = "gradient") -> _F32:
        """Return the gradients with respect to a map, averaged over its positions: (S, N, K)."""
        return add_up(
            [
                forward.pooled_gradient(start, seeds, layer, rule)
                for start, seeds in self.seeds(forward).items()
            ]
        )

    def values(self, forward: Forward) -> _F32:
        """Return the value of each objective, (S, N); NaN where a picture has fewer."""
        values = np.full((self.count, len(self.each)), np.nan, np.float32)
        for n, objectives in enumerate(self.each):
            values[: len(objectives), n] = [each.value(forward, n) for each in objectives]
        return values

    def variants(self, n: int, count: int) -> Objectives:
        """Return the objectives of picture `n`, for a pass of `count` variants of that picture.

        Methods that change a picture and run the network again ask the result for gradients.
        """
        return Objectives((self.each[n],) * count, (True,) * count)

    def part(self, group: slice) -> Objectives:
        """Return the objectives of some of the pictures, for a pass of these."""
        return Objectives(self.each[group], self.listed[group])

    def variant_values(self, n: int, forward: Forward) -> _F32:
        """Return the values for variants of picture `n`, from a pass of them.

        Returns
        -------
        (S, B) array of float32
            For the B pictures of `forward`; 0 if picture `n` has fewer than S objectives.
        """
        values = np.zeros((self.count, len(forward)), np.float32)
        for s, objective in enumerate(self.each[n]):
            values[s] = objective.values(forward)
        return values

    @property
    def count(self) -> int:
        """S."""
        return max(map(len, self.each))

    def seeds(self, forward: Forward) -> dict[str, _F32]:
        """Return the seeds of the backward passes, (S, N, ...), by the layer they start from."""
        return self._stacked(lambda objective, n: objective.seeds(forward, n))

    def seed_changes(self, forward: Forward, tangents: Mapping[str, _F32]) -> dict[str, _F32]:
        """Return how the seeds change along a direction, (S, N, ...), by layer.

        Parameters
        ----------
        forward : ForwardPass
        tangents : mapping of str to (N, ...) array
            By layer, how its output changes along the direction.
        """

        def changes(objective: Objective, n: int) -> Mapping[str, _F32]:
            moved = {layer: values[n] for layer, values in tangents.items()}
            return objective.seed_changes(forward, n, moved)

        return self._stacked(changes)

    def _stacked(self, of: Callable[[Objective, int], Mapping[str, _F32]]) -> dict[str, _F32]:
        """Return ``of(objective, n)`` of all objectives as arrays (S, N, ...) by layer."""
        stacked: dict[str, _F32] = {}
        for n, objectives in enumerate(self.each):
            for s, objective in enumerate(objectives):
                for layer, values in of(objective, n).items():
                    if layer not in stacked:
                        shape = (self.count, len(self.each), *values.shape)
                        stacked[layer] = np.zeros(shape, np.float32)
                    stacked[layer][s, n] = values
        return stacked

    def arrange(self, make: Callable[[int, int, Objective], _T]) -> list[_T | list[_T]]:
        """Return ``make(s, n, objective)`` of every objective, nested as they were asked."""
        answers: list[_T | list[_T]] = []
        for n, (objectives, listed) in enumerate(zip(self.each, self.listed, strict=True)):
            made = [make(s, n, objective) for s, objective in enumerate(objectives)]
            answers.append(made if listed else made[0])
        return answers


def ask_one(target: object, forward: Forward, on: On) -> Objectives:
    """Read what a user gave as the target for a single picture: one, or a list of several."""
    return _read([target], forward, on)


def ask_batch(target: object, forward: Forward, on: On) -> Objectives:
    """Read what a user gave as the target for a batch.

    Parameters
    ----------
    target : TargetLike, or a list with one element for each picture
        One target is for every picture. Each element of a list is a target or a list of targets.
    forward : ForwardPass
        N pictures.
    on : "score" or "probability"
        What a class stands for.

    Raises
    ------
    ValueError
        If a list is empty, or does not have one element for each picture.
    IndexError, TypeError
        As :meth:`gradcam.Labels.find`.
    """
    count, given = len(forward), _as_lists(target)
    if not isinstance(given, list):
        return _read([given] * count, forward, on)
    elements = given
    if len(elements) != count:
        raise ValueError(
            f"{len(elements)} targets for a batch of {count} pictures: give one for all, or a "
            f"list with one element (a target or a list of targets) for each picture"
        )
    return _read(elements, forward, on)


def _read(elements: Sequence[object], forward: Forward, on: On) -> Objectives:
    """Read one element, a target or a list of targets, for each picture."""
    check_on(on)
    if on == "probability":
        probability_layer(forward)

    def objective(given: object, n: int) -> Objective:
        if given is None:
            given = int(forward.scores[n].argmax())
        elif isinstance(given, Objective) and on == "probability":
            raise ValueError(
                "on='probability' is for classes by index, label or synset; explain a "
                "gradcam.Probability instead of other objectives"
            )
        found = as_objective(cast(TargetLike, given), on)
        found.label(forward.labels)  # refuse an unknown class before any work
        return found

    def objectives(element: object, n: int) -> tuple[Objective, ...]:
        if not isinstance(element, list):
            return (objective(element, n),)
        if not element:
            raise ValueError("an empty list of classes; give at least one, or None for the top one")
        return tuple(objective(one, n) for one in element)

    lists = [_as_lists(element) for element in elements]
    return Objectives(
        each=tuple(objectives(element, n) for n, element in enumerate(lists)),
        listed=tuple(isinstance(element, list) for element in lists),
    )


def check_on(on: str) -> None:
    """Raise ValueError unless `on` is "score" or "probability"."""
    if on not in ("score", "probability"):
        raise ValueError(f"on: expected 'score' or 'probability', got {brief(on)}")


def _as_lists(target: object) -> object:
    """Return what a user gave as one target, or as a list of targets.

    Arrays of NumPy, PyTorch and pandas, ranges and other sequences become lists.

    Raises
    ------
    TypeError
        If `target` holds several things without being a sequence: a generator, a set, a dict.
    """
    given = as_python(target)
    if isinstance(given, Sequence) and not isinstance(given, (str, bytes)):
        return list(given)
    if isinstance(given, Iterable) and not isinstance(given, (str, bytes, Objective)):
        raise TypeError(
            f"targets: expected a class, an objective or a list of these, got "
            f"{type(given).__name__}; pass a list"
        )
    return given


def _terms(objective: Objective) -> tuple[tuple[float, Objective], ...]:
    return objective.terms if isinstance(objective, Sum) else ((1.0, objective),)


def add_up(parts: Sequence[_F32]) -> _F32:
    """Return the sum of one or more arrays."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
