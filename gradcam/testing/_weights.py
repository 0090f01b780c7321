"""Assertions that a map depends on what the network learnt, or that it does not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from gradcam import measures
from gradcam._methods.passes import check_seed, positive
from gradcam._results.explanation import Explanation, no_flat_warnings
from gradcam.testing import _slides
from gradcam.testing._failure import fail
from gradcam.testing._words import NOTHING, is_flat, limit, named, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gradcam._engine.tape import Tape

__unittest = True


def assert_depends_on_weights(
    explanation: Explanation, at_most: float = 0.5, *, networks: int = 3, seed: int = 0
) -> None:
    """Assert that a map changes if all weights of the network are replaced with random ones.

    The sanity check of Adebayo et al. (2018): a map that stays the same shows nothing that the
    network learnt. The weights are those of :func:`gradcam.measures.randomised`. What is compared
    is :attr:`gradcam.Explanation.evidence`.

    Parameters
    ----------
    explanation : Explanation
        Computed by this process: one that was loaded has no network.
    at_most : float
        The largest mean rank correlation with the maps of the random networks that is accepted,
        -1 to 1. A flat map of a random network counts as 0.
    networks : int
        The number of random networks.
    seed : int
        That of the first network; the next ones have the next seeds.

    Raises
    ------
    AssertionError
        If it is more, or the map is flat. The message has the numbers and the path of a picture.
    ValueError, TypeError
        If the explanation was loaded, or an argument is wrong.
    """
    __tracebackhide__ = True
    at_most = limit("at_most", at_most, -1, 1)
    found = _with_random_weights("depends_on_weights", explanation, networks, seed)
    if found.mean > at_most:
        sentence = (
            f"with random weights, {named(explanation)} still has a rank correlation of "
            f"{number(found.mean, at_most)} with the map of the trained network{found.of}; at most "
            f"{at_most:g} was expected"
        )
        worst = int(np.argmax(found.correlations))
        fail("depends_on_weights", sentence, lambda: found.slide(sentence, explanation, worst))


def assert_survives_randomisation(
    explanation: Explanation, at_least: float = 0.5, *, networks: int = 3, seed: int = 0
) -> None:
    """Assert that a map stays nearly the same if all weights are replaced with random ones.

    The opposite of :func:`assert_depends_on_weights`: it records that a method shows the picture
    more than the network, as Adebayo et al. (2018) found of guided backpropagation.

    Parameters
    ----------
    explanation : Explanation
    at_least : float
        The smallest mean rank correlation with the maps of the random networks that is accepted,
        -1 to 1.
    networks, seed : int
        As of :func:`assert_depends_on_weights`.

    Raises
    ------
    AssertionError
        If it is less, or the map is flat. The message has the numbers and the path of a picture.
    ValueError, TypeError
        As of :func:`assert_depends_on_weights`.
    """
    __tracebackhide__ = True
    at_least = limit("at_least", at_least, -1, 1)
    found = _with_random_weights("survives_randomisation", explanation, networks, seed)
    if found.mean < at_least:
        sentence = (
            f"with random weights, {named(explanation)} has a rank correlation of only "
            f"{number(found.mean, at_least)} with the map of the trained network{found.of}; at "
            f"least {at_least:g} was expected"
        )
        worst = int(np.argmin(found.correlations))
        fail("survives_randomisation", sentence, lambda: found.slide(sentence, explanation, worst))


@dataclass(frozen=True)
class _Found:
    """The maps of random networks, and their rank correlations with the map."""

    explanations: list[Explanation]
    correlations: list[float]

    @property
    def mean(self) -> float:
        return float(np.mean(self.correlations))

    @property
    def of(self) -> str:
        count = len(self.correlations)
        return "" if count == 1 else f" (mean of {count} networks)"

    def slide(self, sentence: str, explanation: Explanation, number: int) -> Figure:
        """Return a slide with the map and that of one of the random networks."""
        words = (
            f"trained: {_slides.heading_of(explanation)}",
            f"random weights: rank correlation {self.correlations[number]:.2f}",
        )
        pair = zip((explanation, self.explanations[number]), words, strict=True)
        return _slides.slide(sentence, *(replace(_slides.map_panel(e), heading=w) for e, w in pair))


def _with_random_weights(kind: str, explanation: Explanation, networks: int, seed: int) -> _Found:
    """Explain the same picture in the same way with random networks."""
    __tracebackhide__ = True
    if not isinstance(explanation, Explanation):
        raise TypeError(f"explanation: expected an Explanation, got {type(explanation).__name__}")
    origin = explanation.origin
    if origin is None:
        raise ValueError(
            f"{named(explanation)} was loaded and has no network: explain the picture again"
        )
    positive("networks", networks)
    check_seed(seed)
    with no_flat_warnings():
        flat = is_flat(explanation.map)
    if flat:
        sentence = f"{named(explanation)} is flat: {NOTHING}"
        fail(kind, sentence, lambda: _slides.slide(sentence, *_slides.picture_and_map(explanation)))
    tape = cast("Tape", origin.forward())
    found = _Found([], [])
    with no_flat_warnings():
        for number in range(networks):
            network = measures.randomised(tape.graph, seed=seed + number)
            again = network.forward(tape.input[0], input="normalised").explain(
                origin.method,
                origin.objective,
                layer=list(origin.layers) or None,
                resize=explanation.resize,
            )
            correlation = measures.spearman(again.evidence, explanation.evidence)
            found.correlations.append(0.0 if np.isnan(correlation) else correlation)
            found.explanations.append(replace(explanation, raw=again.raw, weights=again.weights))
    return found
