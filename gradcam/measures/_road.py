"""ROAD, Remove and Debias (Rong et al., 2022): the score after pixels are removed.

Removed pixels are computed from their neighbours, so that the shape of what was removed can hardly
be seen: it would tell the network something else than the missing pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import SupportsIndex

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.tape import Tape
from gradcam._methods.passes import check_seed, elements, non_negative, real
from gradcam._results.objectives import On, TargetLike
from gradcam.measures._given import MapLike, check_tape, map_at_input, objectives_of
from gradcam.measures._imputation import linear_imputation
from gradcam.measures._order import descending, values_of, warn_if_flat

_F64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Road:
    """The value of what a map explains, after pixels are removed.

    Attributes
    ----------
    before : float
        Of the whole picture.
    shares : (K,) array
        The shares of the pixels that are removed.
    most, least : (K,) array
        The values without the most and without the least relevant pixels.
    """

    before: float
    shares: _F64
    most: _F64
    least: _F64

    @property
    def most_change(self) -> float:
        """The mean of `most` minus `before`: low is good.

        pytorch-grad-cam's ``ROADMostRelevantFirstAverage``.
        """
        return float(self.most.mean() - self.before)

    @property
    def least_change(self) -> float:
        """The mean of `least` minus `before`: high is good.

        pytorch-grad-cam's ``ROADLeastRelevantFirstAverage``.
        """
        return float(self.least.mean() - self.before)

    @property
    def combined(self) -> float:
        """Half the mean of `least` minus `most`: high is good.

        pytorch-grad-cam's ``ROADCombined``.
        """
        return float((self.least - self.most).mean() / 2)


def road(
    tape: Tape,
    map: MapLike,
    target: TargetLike = None,
    *,
    on: On = "probability",
    shares: Sequence[float] = (0.2, 0.4, 0.6, 0.8),
    noise: float = 0.01,
    seed: SupportsIndex = 0,
    batch: int | None = None,
    progress: bool = False,
) -> Road:
    """Remove the most and the least relevant pixels, and compute them from their neighbours.

    pytorch-grad-cam names a share s by the percentile 100 (1 - s); its default is 10 to 90. Where
    a map has the same value at many pixels, it removes all of them or none, and here the share is
    exact, in a random order of these pixels.

    Parameters
    ----------
    tape : Tape
        Of one picture.
    map : Explanation or (H, W) array
    target : TargetLike
        One class or objective. None: that of the explanation; of an array, the top class.
    on : "probability" or "score"
        What a class stands for, also that of the explanation.
    shares : sequence of float
        Of the pixels that are removed, each above 0 and below 1.
    noise : float
        Standard deviation of the normal noise that is added to imputed values, at the input.
    seed : int
        Of the noise, and of the order of pixels with equal values.
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
    non_negative("noise", noise)
    removed = [real("shares", share) for share in elements("shares", shares, "numbers")]
    if not removed or not all(0 < share < 1 for share in removed):
        raise ValueError(f"shares: expected numbers above 0 and below 1, got {removed}")
    values, asked = map_at_input(tape, map), objectives_of(tape, map, target, on)
    warn_if_flat(values, "the order is random")
    # The pixels that stay, as many as lie below the percentile of distinct values.
    kept = [math.ceil(round((1 - share) * (values.size - 1), 6)) for share in removed]
    orders = [descending(each, int(seed)) for each in (values, -values)]
    masks = [order < values.size - count for order in orders for count in kept]
    random = np.random.default_rng(int(seed)).standard_normal(tape.input.shape[1:])

    def make(part: slice) -> NDArray[np.float32]:
        pictures = [
            linear_imputation(tape.input[0], mask) + noise * np.where(mask, random, 0)
            for mask in masks[part]
        ]
        return np.stack(pictures).astype(np.float32)

    found = values_of(
        tape, asked, make, len(masks), batch=batch, title="ROAD", progress=progress
    ).reshape(2, -1)
    return Road(float(asked.values(tape)[0, 0]), np.array(removed), *found)
