"""How a score and its map change if noise is added to the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.tape import BatchTape, Tape
from gradcam._methods.passes import (
    bar,
    batch_size,
    check_seed,
    elements,
    even_batches,
    flag,
    non_negative,
    positive,
    real,
)
from gradcam._methods.replacements import bounds
from gradcam._pictures.image import Geometry, render
from gradcam._registry import Method
from gradcam._results.explanation import Explanation, no_flat_warnings
from gradcam._results.objectives import On, TargetLike
from gradcam.measures._correlation import spearman
from gradcam.measures._noise_robustness import NoiseRobustness, Noisy, gathered
from gradcam.measures._pointing import pointing
from gradcam.measures._regions import Region, region_mask
from gradcam.measures._variants import LayerLike, Question, unit

_F32 = NDArray[np.float32]
_F64 = NDArray[np.float64]

_SIGMAS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)


def noise_robustness(
    tape: Tape,
    method: str | Method,
    target: TargetLike = None,
    *,
    sigmas: Sequence[float] = _SIGMAS,
    samples: int = 10,
    region: Region | None = None,
    tolerance: float = 15,
    clip: bool = True,
    layer: LayerLike = None,
    on: On = "score",
    seed: int = 0,
    batch: int | None = None,
    progress: bool = False,
) -> NoiseRobustness:
    """Add normal noise to a picture, and measure the score, its map and the top class.

    Parameters
    ----------
    tape : Tape
        Of one picture.
    method : str or Method
    target : TargetLike
        None: the top class of the picture, for all noisy ones.
    sigmas : sequence of float
        Standard deviations of the noise: shares of the difference of black and white, or values of
        the input if the network has no preset.
    samples : int
        Noisy pictures for each standard deviation. Those of one number have the same noise, times
        the deviation.
    region : Region, optional
        Where the object is in the original picture, a box (x0, y0, x1, y1), a list of boxes, or an
        (H, W) mask: whether each map's maximum lies there, as of :func:`pointing`.
    tolerance : float
        Of the pointing, in pixels of the picture.
    clip : bool
        Cut off what is darker than black and brighter than white, as in a picture; a network
        without a preset knows neither.
    layer, on
        As of :meth:`gradcam.Tape.explain`.
    seed : int
    batch : int, optional
        Noisy pictures in a pass.
    progress : bool
        Show a progress bar on standard error.

    Raises
    ------
    ValueError, TypeError
        If a parameter is invalid.
    IndexError
        If there is no class of this index.
    """
    question = Question.read(tape, method, target, on, layer)
    deviations = _deviations(sigmas)
    count, size = positive("samples", samples), batch_size(tape, batch, gradients=True)
    check_seed(seed)
    non_negative("tolerance", tolerance)
    flag("clip", clip)
    place = None if region is None else region_mask(region, tape.geometry.picture)
    named = "values of the input" if bounds(tape) is None else "from black to white"
    clean, top = question.clean(), int(tape.scores[0].argmax())
    rows: list[list[Noisy]] = []
    examples: list[Explanation] = []
    with bar(len(deviations) * count, "Noise", progress) as done:
        for sigma in deviations:
            rows.append([])
            for part in even_batches(count, size):
                noisy = question.forward(_noisy(tape, sigma, seed, part, clip))
                maps = question.explain(noisy)
                if part.start == 0:
                    examples.append(_example(noisy, maps[0]))
                for n, each in enumerate(maps):
                    same = int(noisy.scores[n].argmax()) == top
                    rows[-1].append(_measured(clean, each, same, place, tolerance))
                done(len(maps))
    return gathered(question.label, clean.title, deviations, named, rows, tuple(examples))


def _measured(
    clean: Explanation,
    noisy: Explanation,
    same: bool,
    place: NDArray[np.bool_] | None,
    tolerance: float,
) -> Noisy:
    """Compare the map of a noisy picture with that of the picture itself."""
    pointed = None
    if place is not None:
        with no_flat_warnings():  # a flat map counts as False
            pointed = pointing(noisy, place, tolerance)
    correlation = spearman(clean.evidence, noisy.evidence)
    return Noisy(noisy.score, noisy.probability, correlation, same, pointed)


def _example(tape: BatchTape, explanation: Explanation) -> Explanation:
    """Return the explanation of the first picture of a tape, to be drawn over its input."""
    return replace(
        explanation,
        picture=render(tape.input[0], tape.graph.preset),
        geometry=Geometry.straight(tape.size, tape.size),
        origin=None,
    )


def _deviations(sigmas: Sequence[float]) -> _F64:
    """Check the standard deviations."""
    given = elements("sigmas", sigmas, "numbers")
    if not given:
        raise ValueError("sigmas: an empty list of numbers; give at least one")
    found = np.array([real("sigmas", each) for each in given])
    if not ((found >= 0) & np.isfinite(found)).all():
        raise ValueError(f"sigmas: expected numbers of 0 or more, got {given}")
    return found


def _noisy(tape: Tape, sigma: float, seed: int, part: slice, clip: bool) -> _F32:
    """Return noisy copies of the input, those with the numbers of `part`."""
    picture, scale, known = tape.input[0], sigma * unit(tape), bounds(tape)
    found = np.empty((part.stop - part.start, *picture.shape), np.float32)
    for place, number in enumerate(range(part.start, part.stop)):
        found[place] = np.random.default_rng((seed, number)).standard_normal(picture.shape)
    found = np.asarray(picture + scale * found, np.float32)
    if clip and known is not None:
        np.clip(found, *known, out=found)
    return found
