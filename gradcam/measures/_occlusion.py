"""Agreement of a map with the occlusion map (the Grad-CAM paper, section 5.3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.tape import Tape
from gradcam._labels.classes import Target
from gradcam._methods import perturbation
from gradcam._methods.replacements import Replacement
from gradcam._registry import METHODS
from gradcam._results.explanation import Explanation
from gradcam._results.objectives import Objective, On, Probability, TargetLike
from gradcam.measures._correlation import spearman
from gradcam.measures._given import MapLike, check_tape, map_at_input, objectives_of
from gradcam.measures._order import check_known, warn_if_flat

_F32 = NDArray[np.float32]

_KINDS = ("score", "probability")


def occlusion_correlation(
    tape: Tape,
    map: MapLike,
    target: TargetLike = None,
    *,
    on: On | None = None,
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
        One class or objective. None: what the explanation explains; of an array, the top class.
    on : "score" or "probability", optional
        What a class stands for, also that of the explanation. By default what was
        explained; the score if that is not known, as of an array, or if `target` names a class.
    occlusion : Explanation or (H, W) array, optional
        The occlusion map of the same class, so that several maps share it:
        ``tape.occlusion(...)``. With it, `patch`, `stride`, `baseline`, `batch` and `progress` have
        no effect.
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
        If a map does not belong to the picture, `occlusion` is by another method or of another
        class, or an option is out of its range.
    IndexError
        If there is no class of this index.
    """
    check_tape(tape)
    values = map_at_input(tape, map)
    (objective,) = objectives_of(tape, map, target, on).each[0]
    if occlusion is None:
        check_known(tape, baseline)
        occlusion = tape.occlusion(
            objective,
            patch=patch,
            stride=stride,
            baseline=baseline,
            batch=batch,
            progress=progress,
        )
    lost = _losses(tape, occlusion, objective)
    flat = [
        warn_if_flat(values, "its correlation with occlusion is NaN"),
        warn_if_flat(lost, "that of occlusion; the correlation is NaN"),
    ]
    return float("nan") if any(flat) else spearman(values, lost)


def _losses(tape: Tape, occlusion: MapLike, asked: Objective) -> _F32:
    """Return the signed values of an occlusion map at the network's input, (h, w)."""
    if not isinstance(occlusion, Explanation):
        return map_at_input(tape, occlusion)
    map_at_input(tape, occlusion)  # refuses an explanation of another picture
    is_one = METHODS.get(occlusion.method) is perturbation.occlusion
    if not is_one or occlusion.view != "map" or occlusion.raw.shape != tape.size:
        raise ValueError(
            f"occlusion: expected an explanation by the method 'occlusion' with "
            f"values='difference', of the size of the network's input, got {occlusion.title} with "
            f"the view {occlusion.view!r} and the shape {occlusion.raw.shape}"
        )
    if not _explains(tape, occlusion, asked):
        answer = asked.answer(tape, 0)
        raise ValueError(
            f"occlusion: expected the map of what is asked, "
            f"{_words(answer.label, answer.target, asked)}, got that of "
            f"{_words(occlusion.label, occlusion.target, _origin(occlusion))}"
        )
    return occlusion.raw


def _explains(tape: Tape, occlusion: Explanation, asked: Objective) -> bool:
    """Return whether an explanation is of an objective, as far as one from a file says it."""
    answer, origin = asked.answer(tape, 0), _origin(occlusion)
    if answer.target is None or occlusion.target is None:
        return answer.target is occlusion.target and answer.label == occlusion.label
    kinds = {isinstance(each, Probability) for each in (asked, origin) if each is not None}
    return answer.target.index == occlusion.target.index and len(kinds) == 1


def _origin(explanation: Explanation) -> Objective | None:
    """Return what an explanation explains; None if it was loaded from a file."""
    return None if explanation.origin is None else explanation.origin.objective


def _words(label: str, target: Target | None, objective: Objective | None) -> str:
    """Return an objective in words: "the score of crane (134)"."""
    if target is None:
        return label
    kind = "" if objective is None else f"the {_KINDS[isinstance(objective, Probability)]} of "
    return f"{kind}{label} ({target.index})"
