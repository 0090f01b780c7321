"""How much a map changes if the picture hardly changes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.tape import Tape
from gradcam._methods.passes import bar, batch_size, check_seed, even_batches, non_negative
from gradcam._methods.passes import positive as at_least_one
from gradcam._registry import Method
from gradcam._results.objectives import On, TargetLike
from gradcam._text import brief
from gradcam.measures._variants import LayerLike, Perturb, Question, copies, unit


def max_sensitivity(
    tape: Tape,
    method: str | Method,
    target: TargetLike = None,
    *,
    radius: float = 0.02,
    samples: int = 10,
    perturb: Perturb | None = None,
    layer: LayerLike = None,
    on: On = "score",
    seed: int = 0,
    batch: int | None = None,
    progress: bool = False,
) -> float:
    """Return how much a map changes at most under small changes of the picture.

    With M the raw values of the method, with their signs, and x' copies of the input x, it is the
    largest ``|M(x') - M(x)| / |M(x)|`` (Euclidean norms), as ``sensitivity_max`` of captum.

    Parameters
    ----------
    tape : Tape
        Of one picture.
    method : str or Method
    target : TargetLike
        None: the top class of the picture, for all copies.
    radius : float
        Each value of the input changes by a uniform random number of at most this size. It is a
        share of the difference of black and white; in values of the input if the network has no
        preset. captum's default, also 0.02, is in values of the input.
    samples : int
        Copies.
    perturb : callable, optional
        What makes the copies, in place of the uniform noise: see :data:`gradcam.measures.Perturb`.
    layer, on
        As of :meth:`gradcam.Tape.explain`.
    seed : int
    batch : int, optional
        Copies in a pass.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    float
        0: the map stays the same. NaN if the map of the picture is zero everywhere.

    Raises
    ------
    ValueError, TypeError
        If a parameter is invalid.
    IndexError
        If there is no class of this index.

    References
    ----------
    Yeh et al., "On the (In)fidelity and Sensitivity of Explanations", 2019.
    """
    question = Question.read(tape, method, target, on, layer)
    count = at_least_one("samples", samples)
    non_negative("radius", radius)
    check_seed(seed)
    if perturb is not None and not callable(perturb):
        raise TypeError(
            f"perturb: expected a function of the input and a generator, got {brief(perturb)}"
        )
    size = batch_size(tape, batch, gradients=True)
    change = _uniform(radius * unit(tape)) if perturb is None else perturb
    clean = question.clean().raw.astype(np.float64)
    length, largest = float(np.linalg.norm(clean)), 0.0
    if length == 0:
        return float("nan")
    with bar(count, "Sensitivity", progress) as done:
        for part in even_batches(count, size):
            for each in question.explain(question.forward(copies(tape, change, seed, part))):
                largest = max(largest, float(np.linalg.norm(each.raw - clean)))
            done(part.stop - part.start)
    return largest / length


def _uniform(radius: NDArray[np.float64]) -> Perturb:
    """Return a function that changes each value by at most `radius`, (C, 1, 1)."""

    def change(picture: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.floating]:
        found: NDArray[np.float64] = picture + radius * random.uniform(-1, 1, picture.shape)
        return found

    return change
