"""Deletion, insertion and pixel flipping: the score while the picture is changed step by step.

Pixels change in the order of the map. If the map is right, deleting the pixels with the highest
values makes the score fall early, and inserting them makes it rise early.
"""

from __future__ import annotations

from typing import Literal, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.tape import Tape
from gradcam._methods.passes import check_seed, one_of, positive, real
from gradcam._methods.replacements import Replacement
from gradcam._pictures.image import render
from gradcam._results.objectives import Class, Objectives, On, Probability, TargetLike
from gradcam.measures._curve import Curve
from gradcam.measures._given import MapLike, check_tape, map_at_input, objectives_of
from gradcam.measures._order import (
    Exchange,
    descending,
    region_means,
    replacement,
    values_of,
    warn_if_flat,
)

_Int = NDArray[np.int64]

_SHOWN = (0.0, 0.1, 0.25, 0.5, 1.0)
"""At which shares of the pixels a curve keeps the changed picture."""

_RANDOM = "the order is random"


def deletion(
    tape: Tape,
    map: MapLike,
    target: TargetLike = None,
    *,
    on: On = "probability",
    steps: SupportsIndex = 100,
    baseline: Replacement = 0.0,
    sigma: float = 5.0,
    seed: SupportsIndex = 0,
    batch: int | None = None,
    progress: bool = False,
) -> Curve:
    """Delete the pixels in the order of a map, the highest first (Petsiuk et al., 2018).

    A low area under the curve, ``.auc``, is good: the score falls early. The default baseline is 0
    at the network's input, as in the authors' code: the mean colour of most presets.

    Parameters
    ----------
    tape : Tape
        Of one picture.
    map : Explanation or (H, W) array
    target : TargetLike
        One class or objective. None: that of the explanation; of an array, the top class.
    on : "probability" or "score"
        What a class stands for, also that of the explanation.
    steps : int
        Each deletes the same number of pixels; at most as many as there are pixels. The authors'
        steps are of 224 pixels, 224 of them.
    baseline : float, "black", "grey", "mean", "blur", "noise", (C,) or (C, h, w) array
        What is put in place of the pixels, as of the method `occlusion`.
    sigma : float
        Standard deviation of the blur, in pixels of the input.
    seed : int
        Of the noise, and of the order of pixels with equal values, which is random.
    batch : int, optional
        Pictures in a pass.
    progress : bool
        Show a progress bar on standard error.

    Warns
    -----
    FlatMapWarning
        If the map is flat: the order is random then.

    Raises
    ------
    ValueError, TypeError
        If the map does not belong to the picture, or an option is out of its range.
    IndexError
        If there is no class of this index.
    """
    check_tape(tape)
    check_seed(seed)
    values, asked = map_at_input(tape, map), objectives_of(tape, map, target, on)
    end = replacement(tape, baseline, sigma, int(seed))
    warn_if_flat(values, _RANDOM)
    change = Exchange(tape.input[0], end, descending(values, int(seed)))
    counts = _counts(change.places, steps)
    return _curve("Deletion", tape, asked, change, counts, batch, progress)


def insertion(
    tape: Tape,
    map: MapLike,
    target: TargetLike = None,
    *,
    on: On = "probability",
    steps: SupportsIndex = 100,
    baseline: Replacement = "blur",
    sigma: float = 5.0,
    seed: SupportsIndex = 0,
    batch: int | None = None,
    progress: bool = False,
) -> Curve:
    """Insert the pixels in the order of a map into a blurred picture (Petsiuk et al., 2018).

    A high area under the curve, ``.auc``, is good: the score rises early. The blur is a Gaussian
    with a standard deviation of 5 pixels, as in the authors' code. Theirs ends after 5 pixels, so
    that it blurs less, and zeros lie outside the picture; here only pixels inside count.

    Parameters
    ----------
    tape, map, target, on, steps, seed, batch, progress
        As of :func:`deletion`.
    baseline : float, "black", "grey", "mean", "blur", "noise", (C,) or (C, h, w) array
        The picture that the pixels are inserted into.
    sigma : float
        Standard deviation of the blur, in pixels of the input.

    Warns
    -----
    FlatMapWarning
        If the map is flat: the order is random then.

    Raises
    ------
    ValueError, TypeError
        If the map does not belong to the picture, or an option is out of its range.
    IndexError
        If there is no class of this index.
    """
    check_tape(tape)
    check_seed(seed)
    values, asked = map_at_input(tape, map), objectives_of(tape, map, target, on)
    start = replacement(tape, baseline, sigma, int(seed))
    warn_if_flat(values, _RANDOM)
    change = Exchange(start, tape.input[0], descending(values, int(seed)))
    counts = _counts(change.places, steps)
    return _curve("Insertion", tape, asked, change, counts, batch, progress)


def pixel_flipping(
    tape: Tape,
    map: MapLike,
    target: TargetLike = None,
    *,
    on: On = "probability",
    first: Literal["most", "least"] = "most",
    region: SupportsIndex = 1,
    until: float = 1.0,
    steps: SupportsIndex = 100,
    baseline: Replacement = "black",
    sigma: float = 5.0,
    seed: SupportsIndex = 0,
    batch: int | None = None,
    progress: bool = False,
) -> Curve:
    """Replace the most or the least relevant pixels or regions (Bach et al., 2015).

    With ``region=9, until=0.16, baseline="noise"`` it is the region perturbation of Samek et al.
    (2017), whose measure is ``.aopc``; they draw noise from a uniform distribution, and here it is
    normal, with the mean and deviation of the picture.

    Parameters
    ----------
    tape, map, target, on, batch, progress
        As of :func:`deletion`.
    first : "most" or "least"
        Whether the pixels with the highest or the lowest values are replaced first.
    region : int
        The side of square regions in pixels, which are replaced as a whole in the order of the
        means of the map. Their grid begins in the upper left corner; they are cut off at the edges.
    until : float
        The share of the regions that are replaced in the end, above 0 and at most 1.
    steps : int
        Each replaces the same number of regions, at least one.
    baseline : float, "black", "grey", "mean", "blur", "noise", (C,) or (C, h, w) array
        What is put in place of the pixels.
    sigma : float
        Standard deviation of the blur, in pixels of the input.
    seed : int
        Of the noise, and of the order of regions with equal means, which is random.

    Warns
    -----
    FlatMapWarning
        If the map is flat: the order is random then.

    Raises
    ------
    ValueError, TypeError
        If the map does not belong to the picture, or an option is out of its range.
    IndexError
        If there is no class of this index.
    """
    check_tape(tape)
    check_seed(seed)
    one_of("first", first, ("most", "least"))
    side = positive("region", region)
    if side > max(tape.size):
        raise ValueError(f"region: expected at most {max(tape.size)} pixels, got {side}")
    if not 0 < real("until", until) <= 1:
        raise ValueError(f"until: expected a share above 0 and at most 1, got {until}")
    values, asked = map_at_input(tape, map), objectives_of(tape, map, target, on)
    end = replacement(tape, baseline, sigma, int(seed))
    warn_if_flat(values, _RANDOM)
    means, regions = region_means(values, side)
    order = descending(means if first == "most" else -means, int(seed))[regions]
    change = Exchange(tape.input[0], end, order)
    counts = _counts(max(1, round(until * change.places)), steps)
    return _curve("Pixel flipping", tape, asked, change, counts, batch, progress)


def _counts(places: int, steps: SupportsIndex) -> _Int:
    """Return how many places are exchanged after each step, from 0 to `places`."""
    number = min(positive("steps", steps), places)
    return np.rint(np.linspace(0, places, number + 1)).astype(np.int64)


def _curve(
    title: str,
    tape: Tape,
    asked: Objectives,
    change: Exchange,
    counts: _Int,
    batch: int | None,
    progress: bool,
) -> Curve:
    """Return the curve of one objective."""
    values = values_of(
        *(tape, asked, lambda part: change.at(counts[part]), len(counts)),
        batch=batch,
        title=title,
        progress=progress,
    )
    shares = change.shares(counts)
    shown = np.unique([np.abs(shares - share * shares[-1]).argmin() for share in _SHOWN])
    objective = asked.each[0][0]
    kinds: dict[type, str] = {Probability: "probability", Class: "score"}
    return Curve(
        title=title,
        label=objective.label(tape.labels),
        on=kinds.get(type(objective), "value"),
        shares=shares,
        values=values,
        pictures=np.stack([render(each, tape.graph.preset) for each in change.at(counts[shown])]),
        picture_shares=shares[shown],
    )
