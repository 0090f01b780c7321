"""What remains of a map if the network's weights become random, from the top layer down."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from gradcam import _core
from gradcam._engine.layers import Layer
from gradcam._engine.tape import Tape
from gradcam._methods.passes import bar, check_seed, flag, one_of
from gradcam._registry import Method
from gradcam._results.explanation import Explanation
from gradcam._results.objectives import On, TargetLike
from gradcam.measures._correlation import pearson, ranks
from gradcam.measures._random_weights import Draw, alone, rebuilt, redrawn
from gradcam.measures._randomisation import Randomisation
from gradcam.measures._similarity import WINDOW, structural_similarity
from gradcam.measures._stages import Stages, groups_of
from gradcam.measures._variants import LayerLike, Question

_F32 = NDArray[np.float32]


def cascading_randomisation(
    tape: Tape,
    method: str | Method,
    target: TargetLike = None,
    *,
    stages: Stages = None,
    independent: bool = False,
    draw: Draw = "initial",
    layer: LayerLike = None,
    on: On = "score",
    seed: int = 0,
    progress: bool = False,
) -> Randomisation:
    """Make the network's weights random from the top layer down, and compare the maps.

    A map that hardly changes does not show what the network has learnt (Adebayo et al., 2018).

    Parameters
    ----------
    tape : Tape
        Of one picture.
    method : str or Method
    target : TargetLike
        None: the top class of the trained network, for all networks.
    stages : int or sequence of str, optional
        By default one stage for each convolution and fully connected layer. A number: so many
        stages of nearly as many layers each, for deep networks. Names: the lowest layer of each
        stage; layers below all of them keep their weights.
    independent : bool
        The layers of one stage alone are random; by default those of earlier stages are, too.
    draw : "initial", "normal" or "permuted"
        As of :func:`randomised`.
    layer, on
        As of :meth:`gradcam.Tape.explain`.
    seed : int
        A layer has the same random weights in all stages.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    Randomisation

    Raises
    ------
    ValueError, TypeError
        If a parameter is invalid, or a layer has no weights.
    IndexError
        If there is no class of this index.

    References
    ----------
    Adebayo et al., "Sanity Checks for Saliency Maps", 2018.
    """
    question = Question.read(tape, method, target, on, layer)
    check_seed(seed)
    flag("independent", independent)
    one_of("draw", draw, get_args(Draw))
    groups = groups_of(tape.graph, stages)
    trained = alone(question.clean())
    found: list[Explanation] = []
    drawn: dict[str, Layer] = {}
    with bar(len(groups), "Random weights", progress) as done:
        for group in groups:
            if independent:
                drawn.clear()
            drawn |= {name: redrawn(tape.graph, name, seed, draw) for name in group}
            network = rebuilt(tape.graph, drawn)
            found.append(alone(question.explain(question.forward(tape.input, network))[0]))
            done(1)
    return Randomisation(
        label=question.label,
        layers=tuple(group[-1] for group in groups),
        counts=tuple(map(len, groups)),
        independent=independent,
        correlations=_correlations(trained.evidence, (each.evidence for each in found)),
        signed_correlations=_correlations(trained.raw, (each.raw for each in found)),
        similarities=np.array([_similarity(trained, each, tape.size) for each in found]),
        trained=trained,
        explanations=tuple(found),
    )


def _correlations(first: _F32, others: Iterable[_F32]) -> NDArray[np.float64]:
    """Return the rank correlation of an array with each of several."""
    order = ranks(first)
    return np.array([pearson(order, ranks(each)) for each in others])


def _similarity(first: Explanation, second: Explanation, size: tuple[int, int]) -> float:
    """Return the structural similarity at the network's input; NaN if it is not defined."""
    one, other = (_scaled(each, size) for each in (first, second))
    if one is None or other is None or min(size) < WINDOW:
        return float("nan")
    return structural_similarity(one, other)


def _scaled(explanation: Explanation, size: tuple[int, int]) -> _F32 | None:
    """Return the map at the network's input, scaled to 0..1; None if it is flat."""
    map = np.asarray(_core.resize(explanation.evidence, size, explanation.resize))
    low, high = map.min(), map.max()
    return (map - low) / (high - low) if high > low else None
