"""Occlusion: what the score loses if a patch of the picture is hidden (Zeiler and Fergus, 2014).

S is the score, x the picture, x_k the picture with patch k replaced. Patches cover the picture in
steps of the stride. The value of a pixel is the mean over the patches that cover it,

    difference:  S(x) - S(x_k)
    score:       S(x_k)
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Literal, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.crop_pass import PatchPasses
from gradcam._engine.forward_pass import ForwardPass
from gradcam._engine.receptive import Interval
from gradcam._methods.passes import bar, batch_size, layers_read, one_of
from gradcam._methods.replacements import Replacement, replacements
from gradcam._registry import method
from gradcam._results import notes
from gradcam._results.explanation import Evidence
from gradcam._results.objectives import Objectives

Pair = int | tuple[int, int]


@method(title="Occlusion", source="Zeiler & Fergus 2014", view="map")
def occlusion(
    tape: ForwardPass,
    objective: Objectives,
    *,
    patch: Pair = 16,
    stride: Pair = 8,
    baseline: Replacement = "grey",
    values: Literal["difference", "score"] = "difference",
    sigma: float = 10.0,
    seed: int = 0,
    recompute: bool = True,
    batch: int | None = None,
    progress: bool = False,
) -> Evidence:
    """What the score loses if a patch of the picture is hidden.

    Raw values, of the size of the input: the score minus the score of the picture with the patch,
    averaged over the patches that cover a pixel. With ``values="score"``, the score with the patch
    itself, low where the patch hides what matters: Zeiler and Fergus's heat map.

    Patches begin at multiples of the stride, and the last ones are cut off at the edge, as in
    captum; its default is ``baseline=0``.

    Parameters
    ----------
    patch, stride : int or (height, width)
        In pixels of the network's input.
    baseline : float, "black", "grey", "mean", "blur", "noise", (C,) or (C, h, w) array
        What is seen in the patch: black, mid-grey, the picture's mean colour, the blurred picture,
        or normal noise with the picture's mean and deviation in each channel. Numbers are
        preprocessed values.
    values : "difference" or "score"
    sigma : float
        Standard deviation of the blur, in pixels of the input.
    seed : int
        Of the noise.
    recompute : bool
        Layers compute only what the patch can change, as far as that is faster; the result is the
        same but for rounding. False: passes over whole pictures.
    batch : int, optional
        Patches in a pass.
    progress : bool
        Show a progress bar on standard error.

    Raises
    ------
    ValueError
        If a patch is larger than the input, a stride is 0 or larger than the patch, or the baseline
        has another shape than the input.
    """
    one_of("values", values, ("difference", "score"))
    grid = _grid(tape.size, _pair("patch", patch), _pair("stride", stride))
    hidden, size = replacements(tape, baseline, sigma, seed), batch_size(tape, batch)
    scores = np.zeros((objective.count, len(tape), *(len(each.begin) for each in grid)))
    passes: dict[tuple[str, ...], PatchPasses] = {}
    with bar(scores[0].size, "Occlusion", progress) as done:
        for n in range(len(tape)):
            layers = tuple(layers_read(tape, objective, n))
            if layers not in passes:
                passes[layers] = PatchPasses(tape, layers, *grid, recompute=recompute)
            found = []
            for forward in passes[layers].run(n, hidden[n], size):
                found.append(objective.variant_values(n, forward))
                done(len(forward))
            scores[:, n] = np.concatenate(found, 1).reshape(scores[:, n].shape)
    if values == "score":
        notes.add("The map is the score with the patch: low where it hides what raises the score.")
        return Evidence(_averages(scores, grid, tape.size), view="range")
    before = np.nan_to_num(objective.values(tape).astype(np.float64))
    return Evidence(_averages(before[..., None, None] - scores, grid, tape.size))


def _pair(name: str, value: Pair) -> tuple[int, int]:
    """Return an option for rows and for columns."""
    try:
        if isinstance(value, SupportsIndex):
            return (operator.index(value),) * 2
        height, width = value
        return operator.index(height), operator.index(width)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected an integer or (height, width), got {value!r}") from None


def _grid(size: Sequence[int], patch: Sequence[int], stride: Sequence[int]) -> list[Interval]:
    """Return where the patches lie, rows and columns; the last ones end at the edge.

    Raises
    ------
    ValueError
        If they are larger than the input, or would leave positions uncovered.
    """
    height, width = size
    if any(not 1 <= p <= s for p, s in zip(patch, size, strict=True)):
        raise ValueError(
            f"patch: expected 1 to {height} rows and 1 to {width} columns, the size of the input, "
            f"got {patch[0]} x {patch[1]}"
        )
    if any(not 1 <= step <= p for step, p in zip(stride, patch, strict=True)):
        raise ValueError(
            f"stride: expected 1 or more, and at most the patch, {patch[0]} x {patch[1]}, so that "
            f"patches cover every pixel; got {stride[0]} x {stride[1]}"
        )
    grid = []
    for length, covered, step in zip(size, patch, stride, strict=True):
        begins = step * np.arange(-(-(length - covered) // step) + 1)
        grid.append(Interval(begins, np.minimum(begins + covered, length)))
    return grid


def _averages(
    values: NDArray[np.float64], grid: Sequence[Interval], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Return for each pixel the mean of the values of the patches that cover it.

    Parameters
    ----------
    values : (S, N, rows, columns) array
        Of each patch.
    grid : (rows, columns) of Interval
    size : (height, width)

    Returns
    -------
    (S, N, height, width) array
    """
    rows, columns = (_covered(each, length) for each, length in zip(grid, size, strict=True))
    means: NDArray[np.float64] = rows.T @ values @ columns
    return means.astype(np.float32)


def _covered(patches: Interval, size: int) -> NDArray[np.float64]:
    """Return the weight of each patch in the mean of each position, (patches, size)."""
    places = np.arange(size)
    inside = (patches.begin[:, None] <= places) & (places < patches.end[:, None])
    weights: NDArray[np.float64] = inside / inside.sum(0)
    return weights
