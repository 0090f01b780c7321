"""Seeds for weakly supervised segmentation: labels of pixels from the maps of classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gradcam._methods.passes import integer
from gradcam._pictures.segments import Threshold, high_values
from gradcam.measures._given import MapLike, map_on_picture, seen_of

Labels = NDArray[np.integer]

_MOST = 65_535
"""The largest label: what a picture of 16 bits holds."""


@dataclass(frozen=True)
class SeedsIoU:
    """How well labels of pixels agree with the truth.

    Attributes
    ----------
    classes : dict of int to float
        The IoU of each class that occurs in the labels or in the truth, 0 to 1; 0 is the
        background.
    mean : float
        Their mean.
    """

    classes: dict[int, float]
    mean: float


def seeds(
    maps: Sequence[MapLike],
    classes: Sequence[int] | None = None,
    *,
    threshold: Threshold = 0.2,
    conflicts: Literal["smallest", "highest"] = "smallest",
) -> NDArray[np.int64]:
    """Return a label for each pixel from the maps of the classes of a picture, (H, W).

    A pixel belongs to a class whose map is high there, at least 20 % of its maximum; all others are
    background (Kolesnikov and Lampert, 2016, whose seeds the Grad-CAM paper computes from Grad-CAM
    in place of CAM). Unlike there, the background is not found by saliency, and no pixel is
    left without a label.

    Parameters
    ----------
    maps : sequence of MapLike
        One for each class, of one size.
    classes : sequence of int, optional
        The label of each map, 1 to 65535 and all different. By default 1, 2, 3, ...
    threshold : float or "otsu"
        As of :func:`boxes`.
    conflicts : "smallest" or "highest"
        Which class a pixel gets that is high in several maps: the one with the fewest high
        pixels, so that a large object does not hide a small one; or the one whose map, divided by
        its maximum, is highest. Of equal ones the first.

    Returns
    -------
    (H, W) array of int64
        0 is the background. A flat map, and one without values above 0, labels no pixel.

    Raises
    ------
    ValueError
        If there are no maps, their sizes differ, or the classes do not fit.
    TypeError
        If a class is not an integer.
    """
    maps = list(maps)
    if conflicts not in ("smallest", "highest"):
        raise ValueError(f"conflicts: expected 'smallest' or 'highest', got {conflicts!r}")
    values = [map_on_picture(each) for each in maps]
    if not values or any(each.shape != values[0].shape for each in values):
        raise ValueError(
            f"maps: expected one or more of one size, got {[each.shape for each in values]}"
        )
    given = range(1, len(values) + 1) if classes is None else classes
    names = [integer("classes", each) for each in given]
    if (
        len(names) != len(values)
        or len(set(names)) < len(names)
        or not all(1 <= name <= _MOST for name in names)
    ):
        raise ValueError(
            f"classes: expected a label above 0 for each of {len(values)} maps, up to {_MOST} and "
            f"all different, got {names}"
        )
    labels = np.zeros(values[0].shape, np.int64)
    best = np.full(values[0].shape, -np.inf, np.float32)
    for name, map, each in zip(names, maps, values, strict=True):
        high = high_values(each, threshold, seen_of(map))
        if high is None or each.max() <= 0:
            continue
        rank = each / each.max() if conflicts == "highest" else np.float32(-high.sum())
        wins = high & (rank > best)
        labels[wins] = name
        np.copyto(best, rank, where=wins)
    return labels


def seeds_iou(
    labels: Labels | Iterable[Labels],
    truths: Labels | Iterable[Labels],
    *,
    ignore: int | None = 255,
) -> SeedsIoU:
    """Return the IoU of labels of pixels with the truth, for each class and the mean.

    As in PASCAL VOC, intersections and unions are summed over all pictures before they are
    divided, and the background counts as a class.

    Parameters
    ----------
    labels, truths : (H, W) array of int, or an iterable of them
        Of one picture or of several, whose sizes may differ; iterables are read once.
    ignore : int, optional
        The true label of pixels that do not count: in PASCAL VOC 255.

    Raises
    ------
    ValueError
        If the shapes or the numbers of pictures differ, there are no pictures, or labels are not
        integers from 0 to 65535.
    TypeError
        If `ignore` is not an integer.
    """
    if ignore is not None:
        ignore = integer("ignore", ignore)
    if isinstance(labels, np.ndarray) and labels.ndim == 2:
        labels, truths = [labels], [np.asarray(truths)]
    counts = np.zeros((3, 0), np.int64)  # both, found, true
    for found, true in zip(labels, truths, strict=True):
        counts = _add(counts, np.asarray(found), np.asarray(true), ignore)
    shared, unions = counts[0], counts[1] + counts[2] - counts[0]
    if not unions.any():
        raise ValueError("labels: expected one or more pictures with pixels that count")
    classes = {int(c): float(shared[c] / unions[c]) for c in np.flatnonzero(unions)}
    return SeedsIoU(classes, float(np.mean(list(classes.values()))))


def _add(
    counts: NDArray[np.int64], found: Labels, true: Labels, ignore: int | None
) -> NDArray[np.int64]:
    """Return the counts of pixels by class with those of one more picture."""
    if found.shape != true.shape or not all(each.dtype.kind in "iu" for each in (found, true)):
        raise ValueError(
            f"labels: expected integers of the shape of the truth, {true.shape}, got "
            f"{found.dtype} {found.shape} and a truth of {true.dtype}"
        )
    counts_here = slice(None) if ignore is None else true != ignore
    found, true = found[counts_here].ravel(), true[counts_here].ravel()
    if not found.size:
        return counts
    lowest = min(int(found.min()), int(true.min()))
    highest = max(int(found.max()), int(true.max()))
    if lowest < 0 or highest > _MOST:
        raise ValueError(
            f"labels: expected 0 for the background, and classes from 1 to {_MOST}, got "
            f"{lowest} to {highest}"
        )
    found, true = found.astype(np.int64), true.astype(np.int64)
    size = max(counts.shape[1], highest + 1)
    sums = np.zeros((3, size), np.int64)
    sums[:, : counts.shape[1]] = counts
    for row, each in enumerate((found[found == true], found, true)):
        sums[row] += np.bincount(each, minlength=size)
    return sums
