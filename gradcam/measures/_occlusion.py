"""Agreement of a map with the occlusion map (the Grad-CAM paper, section 5.3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.tape import Tape
from gradcam._methods.replacements import Replacement
from gradcam._results.explanation import Explanation
from gradcam._results.objectives import On, TargetLike
from gradcam.measures._correlation import spearman
from gradcam.measures._given import MapLike, check_tape, map_at_input, objectives_of
from gradcam.measures._order import check_known, warn_if_flat

_F32 = NDArray[np.float32]


def occlusion_correlation(
    tape: Tape,
    map: MapLike,
    target: TargetLike = None,
    *,
    on: On = "score",
    occlusion: MapLike | None = None,
    patch: int | tuple[int, int] = 16,
    stride: int | tuple[int, int] = 8,
    baseline: Replacement = "grey",
    batch: int | None = None,
    progress: bool = False,
) -> float:
    """Return the rank correlation of a map with the occlusion map, -1 to 1.

    Spearman's correlation over the pixels of the network's input. The occlusion map is what the
    score loses if a patch is hidden, below 0 where hiding raises it. High is good: the map says
    what occlusion says, mostly in a fraction of the time.

    Parameters
    ----------
    tape : Tape
        Of one picture.
    map : Explanation or (H, W) array
    target : TargetLike
        None: what the explanation explains; of an array, the top class.
    on : "score" or "probability"
        What a class stands for.
    occlusion : Explanation or (H, W) array, optional
        The occlusion map, so that several maps share it: ``tape.occlusion(...)``. The other
        options have no effect then.
    patch, stride, baseline, batch, progress
        Of the method `occlusion`.

    Returns
    -------
    float
        NaN if one of the maps is flat.

    Warns
    -----
    FlatMapWarning
        If one of the maps is flat.

    Raises
    ------
    ValueError, TypeError
        If a map does not belong to the picture, or an option is out of its range.
    """
    check_tape(tape)
    values, asked = map_at_input(tape, map), objectives_of(tape, map, target, on)
    if occlusion is None:
        check_known(tape, baseline)
        (objective,) = asked.each[0]
        occlusion = tape.occlusion(
            objective,
            patch=patch,
            stride=stride,
            baseline=baseline,
            batch=batch,
            progress=progress,
        )
    lost = _losses(tape, occlusion)
    flat = [
        warn_if_flat(values, "its correlation with occlusion is NaN"),
        warn_if_flat(lost, "that of occlusion; the correlation is NaN"),
    ]
    return float("nan") if any(flat) else spearman(values, lost)


def _losses(tape: Tape, occlusion: MapLike) -> _F32:
    """Return the signed values of an occlusion map at the network's input, (h, w)."""
    if not isinstance(occlusion, Explanation):
        return map_at_input(tape, occlusion)
    map_at_input(tape, occlusion)  # refuses an explanation of another picture
    if occlusion.view != "map" or occlusion.raw.shape != tape.size:
        raise ValueError(
            f"occlusion: expected an explanation by the method 'occlusion' with "
            f"values='difference', of the size of the network's input, got {occlusion.title} with "
            f"the view {occlusion.view!r} and the shape {occlusion.raw.shape}"
        )
    return occlusion.raw
