"""The pointing game with rejection: a low map says that the class is not in the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcam._methods.passes import check_seed, real
from gradcam.measures._pointing import Pointed

_F64 = NDArray[np.float64]
_Bool = NDArray[np.bool_]


@dataclass(frozen=True)
class Rejection:
    """The pointing game with rejection.

    Attributes
    ----------
    threshold : float
        A map whose largest value is below it is rejected: its class is said to be absent. -inf: no
        map is rejected, inf: all are.
    accuracy : float
        Share of the predicted classes that are right: present and pointed at, or absent and
        rejected.
    precision : float
        Share of the maps not rejected that point at their class; NaN if all are rejected.
    recall : float
        Share of the predicted classes present whose map is not rejected and points at them; NaN if
        none is present.
    pictures, maps : int
        What these shares are of.
    """

    threshold: float
    accuracy: float
    precision: float
    recall: float
    pictures: int
    maps: int


def pointing_with_rejection(
    pictures: Sequence[Sequence[Pointed]], threshold: float = float("-inf")
) -> Rejection:
    """Judge the maps of the predicted classes of pictures: at the object, or rejected.

    The pointing game judges maps of classes that are present. Here maps of the classes that the
    network predicts are judged, absent ones too, and a map may be rejected if its largest value is
    low (Selvaraju et al., 2020, International Journal of Computer Vision, section 4.3).

    Parameters
    ----------
    pictures : sequence of sequences of Pointed
        For each picture what :func:`pointed` returns for the map of each predicted class; the paper
        takes the first five.
    threshold : float
        A map whose largest value is below it is rejected.

    Raises
    ------
    ValueError
        If there are no maps, or the threshold or a largest value is NaN.
    TypeError
        If the threshold is not a number.
    """
    peaks, present, inside = _columns(pictures)
    if np.isnan(real("threshold", threshold)):
        raise ValueError("threshold: expected a number, got NaN")
    kept = peaks >= threshold
    right = np.where(present, inside & kept, ~kept)
    hits = int((inside & kept).sum())
    return Rejection(
        float(threshold),
        float(right.mean()),
        _share(hits, int(kept.sum())),
        _share(hits, int(present.sum())),
        len(pictures),
        len(peaks),
    )


def fit_rejection(
    pictures: Sequence[Sequence[Pointed]], share: float = 1 / 3, seed: int = 0
) -> Rejection:
    """Set the threshold of rejection on a part of the pictures, and judge the others.

    The threshold is the one of the highest accuracy on the pictures that it is set on, in the
    middle between two largest values; among equally good ones the lowest.

    Parameters
    ----------
    pictures : sequence of sequences of Pointed
        As of :func:`pointing_with_rejection`, two or more.
    share : float
        Of the pictures that the threshold is set on, between 0 and 1; at least one picture is, and
        one is judged.
    seed : int
        Which pictures these are.

    Returns
    -------
    Rejection
        Of the pictures that the threshold was not set on.

    Raises
    ------
    ValueError
        If there are fewer than two pictures, one of the two parts has no maps, or an option is out
        of its range.
    TypeError
        If an option is not a number.
    """
    check_seed(seed)
    if not 0 < real("share", share) < 1:
        raise ValueError(f"share: expected a number between 0 and 1, got {share!r}")
    if len(pictures) < 2:
        raise ValueError("pictures: a threshold is set on one or more and judged on others")
    order = np.random.default_rng(seed).permutation(len(pictures))
    fitted = min(max(round(share * len(pictures)), 1), len(pictures) - 1)
    threshold = _best_threshold(*_columns([pictures[i] for i in order[:fitted]]))
    return pointing_with_rejection([pictures[i] for i in sorted(order[fitted:])], threshold)


def _columns(pictures: Sequence[Sequence[Pointed]]) -> tuple[_F64, _Bool, _Bool]:
    """Return the largest value of all maps, whether their class is present, and pointed at."""
    maps = [each for picture in pictures for each in picture]
    peaks = np.array([each.peak for each in maps], np.float64)
    if not maps or np.isnan(peaks).any():
        raise ValueError("pictures: expected one or more maps, whose largest values are not NaN")
    present = np.array([each.present for each in maps], bool)
    return peaks, present, np.array([each.inside for each in maps], bool) & present


def _best_threshold(peaks: _F64, present: _Bool, inside: _Bool) -> float:
    """Return the threshold of the highest accuracy, by sorting the largest values once."""
    order = np.argsort(peaks, kind="stable")
    peaks, lost, gained = peaks[order], inside[order], ~present[order]
    # Right answers when the first n are rejected, n = 0 to all.
    right = np.concatenate([[0], np.cumsum(gained.astype(int) - lost)]) + int(lost.sum())
    ends = np.concatenate([[-np.inf], (peaks[1:] + peaks[:-1]) / 2, [np.inf]])
    possible = np.concatenate([[True], peaks[1:] > peaks[:-1], [True]])
    return float(ends[np.where(possible, right, -1).argmax()])


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
