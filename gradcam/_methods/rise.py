"""RISE, Randomized Input Sampling for Explanation (Petsiuk, Das and Saenko, 2018).

The picture x is multiplied by random masks M_i, from 0 to 1, and the map is the mean of the masks,
weighted by the scores: with N masks, and p the probability that a cell of a mask is visible,

    map = 1 / (N p) * sum over i of S(x * M_i) * M_i

A mask is a small grid of cells, each 1 with probability p and else 0, enlarged bilinearly to a
little more than the picture, and cut out at a random place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradcam import _core
from gradcam._engine.forward_pass import ForwardPass
from gradcam._methods.estimates import note_error
from gradcam._methods.passes import (
    bar,
    batch_size,
    batches,
    check_seed,
    layers_read,
    positive,
    real,
)
from gradcam._registry import method
from gradcam._results import notes
from gradcam._results.objectives import Objectives

_F32 = NDArray[np.float32]
_F64 = NDArray[np.float64]


@method(title="RISE", source="Petsiuk et al. 2018", view="range")
def rise(
    tape: ForwardPass,
    objective: Objectives,
    *,
    samples: int = 4000,
    cells: int = 7,
    probability: float = 0.5,
    seed: int = 0,
    batch: int | None = None,
    progress: bool = False,
) -> _F32:
    """The mean of random masks, weighted by the score of the picture under each mask.

    Raw values, of the size of the input: the weighted sum of the masks, divided by their number and
    by `probability`. Only differences within a map have a meaning: the score that the picture has
    under any mask is added everywhere. So the map is drawn from its smallest value to its largest.

    Masks multiply the network's input, as in the authors' code: what is hidden has the value 0,
    which is a preset's mean colour. The authors weight with probabilities: ``on="probability"``.
    The estimate's standard error is noted.

    Parameters
    ----------
    samples : int
        Masks: 4000, as the authors used for VGG-16; they used 8000 for ResNet-50.
    cells : int
        Of a mask, in each direction.
    probability : float
        That a cell is visible, above 0 and below 1.
    seed : int
        Of the masks. They are the same for all pictures, and for every `batch`.
    batch : int, optional
        Masked pictures in a pass.
    progress : bool
        Show a progress bar on standard error.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """
    positive("samples", samples)
    positive("cells", cells)
    check_seed(seed)
    if not 0 < real("probability", probability) < 1:
        raise ValueError(f"probability: expected a number above 0 and below 1, got {probability}")
    size = batch_size(tape, batch)
    maps = np.zeros((objective.count, len(tape), *tape.size), np.float32)
    errors = []
    with bar(samples * len(tape), "RISE", progress) as done:
        for n, picture in enumerate(tape.input):
            estimate = _WeightedMean(objective.count, tape.size)
            keep = layers_read(tape, objective, n)
            for part in batches(samples, size):
                masks = _masks(part, cells, probability, seed, tape.size)
                forward = tape.run(picture * masks[:, None], keep, record=False)
                estimate.add(objective.variant_values(n, forward), masks / probability)
                done(len(masks))
            maps[:, n] = estimate.mean()
            errors.append(estimate.relative_error())
    if samples < 2:
        note_error(samples, errors, seed)
    else:
        notes.add(
            f"Estimated from {samples} random masks (seed {seed}): the standard error is "
            f"{100 * max(errors):.2g} % of the range of the map."
        )
    return maps


def _masks(part: slice, cells: int, probability: float, seed: int, size: tuple[int, int]) -> _F32:
    """Return the masks with the numbers of `part`, (B, height, width)."""
    sides = [-(-length // cells) for length in size]  # of an enlarged cell
    grids, places = [], []
    for number in range(part.start, part.stop):
        rng = np.random.default_rng((seed, number))
        grids.append(rng.random((cells, cells)) < probability)
        places.append([int(rng.integers(side)) for side in sides])
    height, width = size
    enlarged = ((cells + 1) * sides[0], (cells + 1) * sides[1])
    large = _core.resize(np.array(grids, np.float32), enlarged)
    masks = np.empty((len(grids), height, width), np.float32)
    for mask, (row, column), of in zip(masks, places, large, strict=True):
        mask[:] = of[row : row + height, column : column + width]
    return masks


class _WeightedMean:
    """The mean of masks times scores, and its standard error, added up batch by batch.

    Parameters
    ----------
    count : int
        Scores for each mask.
    size : (height, width)
        Of the masks.
    """

    def __init__(self, count: int, size: tuple[int, int]) -> None:
        self._sum: _F64 = np.zeros((count, *size))
        self._squares: _F64 = np.zeros((count, *size))
        self._samples = 0

    def add(self, scores: _F32, masks: _F32) -> None:
        """Add the scores, (S, B), of some masks, (B, height, width)."""
        weights, values = scores.astype(np.float64), masks.astype(np.float64)
        self._sum += np.tensordot(weights, values, 1)
        self._squares += np.tensordot(weights**2, values**2, 1)
        self._samples += len(masks)

    def mean(self) -> _F64:
        """Return the mean, (S, height, width)."""
        return self._sum / self._samples

    def relative_error(self) -> float:
        """Return the root mean square of the standard error, divided by the range of the mean.

        The largest of the S means; 0 for those that are constant.
        """
        if self._samples < 2:
            return float("nan")
        mean = self.mean()
        variance = np.maximum(self._squares / self._samples - mean**2, 0) / (self._samples - 1)
        errors = np.sqrt(variance.mean((1, 2)))
        ranges = np.ptp(mean, axis=(1, 2))
        return float(np.divide(errors, ranges, out=np.zeros_like(errors), where=ranges > 0).max())
