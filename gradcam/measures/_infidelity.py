"""Whether a map predicts how the score changes with the picture."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.tape import Tape
from gradcam._methods.baselines import baseline_pictures
from gradcam._methods.passes import (
    bar,
    batch_size,
    check_seed,
    even_batches,
    flag,
    non_negative,
    one_of,
    positive,
)
from gradcam._methods.replacements import Replacement
from gradcam._results.explanation import Explanation
from gradcam._results.objectives import On, TargetLike
from gradcam.measures._given import MapLike, check_tape, objectives_of
from gradcam.measures._order import check_known
from gradcam.measures._variants import Perturb, attributions, copies, unit

_F32 = NDArray[np.float32]
_F64 = NDArray[np.float64]

_SLOPES = ("signed", "magnitude")
"""Views of methods whose values say how the score changes with a value of the input."""


def infidelity(
    tape: Tape,
    map: MapLike,
    target: TargetLike = None,
    *,
    on: On | None = None,
    perturbation: Literal["square", "noise"] | Perturb = "square",
    square: int | None = None,
    deviation: float = 0.2,
    baseline: Replacement = "black",
    contributions: bool | None = None,
    normalise: bool = True,
    samples: int = 100,
    seed: int = 0,
    batch: int | None = None,
    progress: bool = False,
) -> float:
    """Return the mean squared error of the change of the score that a map predicts.

    With M the map, x the input, x' a changed copy and S the score, it is the mean of
    ``(sum(M * I) - (S(x) - S(x')))^2`` over the copies, where the change I is ``x - x'``, or for
    maps of contributions ``(x - x') / (x - baseline)``, the share of a value that was taken away
    (``x - x'`` where the value is the baseline). It is ``infidelity`` of captum.

    Parameters
    ----------
    tape : Tape
        Of one picture.
    map : Explanation, or (H, W) array
        Of an explanation, the raw values with their signs; those of a layer are resized to the
        network's input. A map without channels is multiplied by the mean share of a pixel's
        channels, or by the sum of their differences.
    target : TargetLike
        One class or objective. None: what the explanation explains; of an array, the top class.
    on : "score" or "probability", optional
        What a class stands for, also that of the explanation. By default what was
        explained; the score if that is not known, as of an array, or if `target` names a class.
    perturbation : "square", "noise" or callable
        "square": the baseline in a square at a random place. "noise": normal noise on each value.
        Or a function: see :data:`gradcam.measures.Perturb`.
    square : int, optional
        Side of the square, in pixels of the input; by default a quarter of the shorter side.
    deviation : float
        Of the noise: a share of the difference of black and white; in values of the input if the
        network has no preset.
    baseline : float, name or array
        As of the method `integrated_gradients`. It is used for squares and for contributions.
    contributions : bool, optional
        Whether the map's values are contributions (captum's ``multiply_by_inputs``) or slopes. By
        default they are slopes for gradients, views "signed" and "magnitude", else contributions.
    normalise : bool
        Multiply the map by the number that makes the error smallest, since most maps have no unit.
        captum's default is False.
    samples : int
        Copies.
    seed : int
    batch : int, optional
        Copies in a pass.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    float
        0 or more, in squared units of the score. With `normalise` at most the mean square of the
        score's changes, which a map of zeros has.

    Raises
    ------
    ValueError, TypeError
        If a parameter is invalid, the map is of another picture, or the network has no preset, so
        that the values of black are not known: give the baseline's.
    IndexError
        If there is no class of this index.

    References
    ----------
    Yeh et al., "On the (In)fidelity and Sensitivity of Explanations", 2019.
    """
    check_tape(tape)
    values, objectives = attributions(tape, map), objectives_of(tape, map, target, on)
    count, size = positive("samples", samples), batch_size(tape, batch)
    check_seed(seed)
    if not callable(perturbation):
        one_of("perturbation", perturbation, ("square", "noise"))
    flag("normalise", normalise)
    if contributions is None:
        contributions = not isinstance(map, Explanation) or map.view not in _SLOPES
    if flag("contributions", contributions) or perturbation == "square":
        check_known(tape, baseline)
    away = baseline_pictures(tape, baseline)[0]
    change = perturbation
    if not callable(change):
        change = _named(tape, change, square, deviation, away)
    before = objectives.values(tape)[0, 0].astype(np.float64)
    predicted, found = np.empty(count), np.empty(count)
    with bar(count, "Infidelity", progress) as done:
        for part in even_batches(count, size):
            inputs = copies(tape, change, seed, part)
            changes = _changes(tape.input[0], inputs, away if contributions else None)
            predicted[part] = _products(values, changes, mean=contributions)
            forward = tape.run(inputs, record=False)
            found[part] = before - objectives.variant_values(0, forward)[0]
            done(len(inputs))
    return _mean_square(predicted, found, normalise)


def _named(tape: Tape, name: str, square: int | None, deviation: float, away: _F32) -> Perturb:
    """Return the perturbation of that name."""
    non_negative("deviation", deviation)
    side = max(1, min(tape.size) // 4) if square is None else positive("square", square)
    if side > min(tape.size):
        height, width = tape.size
        raise ValueError(f"square: expected at most the input, {height} x {width}, got {side}")
    scale = deviation * unit(tape)

    def noise(picture: _F32, random: np.random.Generator) -> NDArray[np.floating]:
        found: _F64 = picture + scale * random.standard_normal(picture.shape)
        return found

    def removal(picture: _F32, random: np.random.Generator) -> NDArray[np.floating]:
        top, left = (int(random.integers(0, size - side + 1)) for size in picture.shape[1:])
        place = np.s_[:, top : top + side, left : left + side]
        found: _F32 = picture.copy()
        found[place] = away[place]
        return found

    return removal if name == "square" else noise


def _changes(picture: _F32, inputs: _F32, away: _F32 | None) -> _F64:
    """Return x - x' of each copy, or with a baseline the share of x - baseline that it is."""
    changes = picture.astype(np.float64) - inputs
    if away is None:
        return changes
    whole = picture.astype(np.float64) - away
    return np.divide(changes, whole, out=changes, where=whole != 0)


def _products(values: _F32, changes: _F64, *, mean: bool) -> _F64:
    """Return the sum of map times change for each copy, (B,)."""
    if len(values) != changes.shape[1]:  # a map without channels
        changes = (changes.mean(1) if mean else changes.sum(1))[:, None]
    found: _F64 = changes.reshape(len(changes), -1) @ values.astype(np.float64).ravel()
    return found


def _mean_square(predicted: _F64, found: _F64, normalise: bool) -> float:
    """Return the mean squared difference, after the best scaling if that is asked for."""
    squares = predicted @ predicted
    if normalise and squares > 0:
        predicted = predicted * (predicted @ found / squares)
    return float(((predicted - found) ** 2).mean())
