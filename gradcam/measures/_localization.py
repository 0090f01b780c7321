"""ILSVRC's localization error: the right class, and a box that fits."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcam._methods.passes import real
from gradcam._tables import as_text
from gradcam.measures._regions import BoxLike, pairwise_iou, region_boxes

ClassName = int | str
"""A class: its index, or its label or synset; the same kind in predictions and in the truth."""

Boxes = BoxLike | Sequence[BoxLike] | None
"""One box, several, or none: [] and None."""

Located = tuple[ClassName, Boxes]
"""A class, and where it is."""

Truth = Located | Mapping[ClassName, Boxes] | None
"""What is true of a picture: its class with one or more boxes, or several classes with theirs.

(class, []): the place is not known. None: nothing is."""

_MOST = 5
_F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """What was right about one picture.

    Attributes
    ----------
    class_top1, class_top5 : bool
        Whether the right class is the first prediction, or one of them.
    located_top1, located_top5 : bool
        Whether one of these predictions also has a box that fits.
    iou_top1, iou_top5 : float
        The largest IoU of a box predicted for the right class with a true box, 0 to 1; 0 if the
        class was not predicted or has no box.
    flat : int
        Predictions without a box, because their maps are flat.
    known : bool
        Whether the truth has a class and a box; if not, the picture is not located.
    """

    class_top1: bool
    class_top5: bool
    located_top1: bool
    located_top5: bool
    iou_top1: float
    iou_top5: float
    flat: int
    known: bool


@dataclass(frozen=True)
class LocalizationError:
    """The errors over several pictures, as in Table 1 of the Grad-CAM paper.

    Attributes
    ----------
    pictures : int
        All of them; errors are shares of these.
    class_top1, class_top5, located_top1, located_top5 : int
        Pictures that are right, see :class:`Outcome`.
    flat : int
        Predictions without a box. Each counts as one that does not fit.
    unknown : int
        Pictures whose true place is not known. Each counts as an error of localization, and of
        classification too if its class is not known.
    """

    pictures: int
    class_top1: int
    class_top5: int
    located_top1: int
    located_top5: int
    flat: int
    unknown: int

    @property
    def localization_top1(self) -> float:
        """Share of the pictures whose first prediction is wrong, or has no box that fits."""
        return self._error(self.located_top1)

    @property
    def localization_top5(self) -> float:
        """Share of the pictures without a right prediction that has a box that fits."""
        return self._error(self.located_top5)

    @property
    def classification_top1(self) -> float:
        """Share of the pictures whose first prediction is wrong."""
        return self._error(self.class_top1)

    @property
    def classification_top5(self) -> float:
        """Share of the pictures without a right prediction."""
        return self._error(self.class_top5)

    def _error(self, right: int) -> float:
        return (self.pictures - right) / self.pictures if self.pictures else float("nan")

    def __str__(self) -> str:
        """Return a line like those of the paper's Table 1, with its counts."""
        from rich.table import Table  # slow to import

        heads = ("top-1 loc error", "top-5 loc error", "top-1 cls error", "top-5 cls error")
        table = Table(*heads, "pictures", "flat maps", "no truth", box=None, pad_edge=False)
        errors = (
            self.localization_top1,
            self.localization_top5,
            self.classification_top1,
            self.classification_top5,
        )
        counts = (self.pictures, self.flat, self.unknown)
        table.add_row(*(f"{100 * error:.2f} %" for error in errors), *map(str, counts))
        return as_text(table)


def localization_outcome(
    predictions: Sequence[Located], truth: Truth, *, min_iou: float = 0.5
) -> Outcome:
    """Judge the predictions of one picture as ILSVRC does.

    A prediction is right if its class is, and one of its boxes has an IoU of more than `min_iou`
    with one of the true boxes (Russakovsky et al., 2015; Selvaraju et al., 2017, section 4.1). True
    boxes count whole, also if the picture was cropped and the network saw only a part of them.

    Parameters
    ----------
    predictions : sequence of (class, boxes)
        One to five different classes, the best first. Of a flat map the boxes are [] or None.
    truth : (class, boxes), {class: boxes} or None
        Of several classes, as in COCO, each one is right.
    min_iou : float
        0 or more, below 1. The IoU must be greater.

    Raises
    ------
    ValueError
        If there are no predictions or more than five, a class occurs twice, or a box is empty.
    TypeError
        If one class is an index and another a name, which cannot be compared; or if a class or
        `min_iou` is something else.
    """
    if not 0 <= real("min_iou", min_iou) < 1:
        raise ValueError(f"min_iou: expected 0 or more and below 1, got {min_iou!r}")
    found = _checked(predictions)
    places = _places(truth)
    kinds = {type(each) for each in (*found, *places)}
    if len(kinds) > 1:
        raise TypeError(
            f"predictions and truth: give all classes as indices or all as names, not "
            f"{[*found]} and {[*places]}"
        )
    overlaps = [_overlap(boxes, places.get(each)) for each, boxes in found.items()]
    best = max(overlaps)
    return Outcome(
        class_top1=next(iter(found)) in places,
        class_top5=not places.keys().isdisjoint(found),
        located_top1=overlaps[0] > min_iou,
        located_top5=best > min_iou,
        iou_top1=overlaps[0],
        iou_top5=best,
        flat=sum(boxes is None for boxes in found.values()),
        known=any(place is not None for place in places.values()),
    )


def _checked(predictions: Sequence[Located]) -> dict[ClassName, _F64 | None]:
    """Return the boxes of each predicted class, in the order of the predictions."""
    if not 1 <= len(predictions) <= _MOST:
        raise ValueError(f"predictions: expected 1 to {_MOST} of them, got {len(predictions)}")
    found = {_class(name): _boxes(boxes) for name, boxes in predictions}
    if len(found) < len(predictions):
        raise ValueError(f"predictions: a class occurs twice: {[name for name, _ in predictions]}")
    return found


def _places(truth: Truth) -> dict[ClassName, _F64 | None]:
    """Return the true boxes of each class of the picture."""
    if truth is None:
        return {}
    pairs = truth.items() if isinstance(truth, Mapping) else [truth]
    return {_class(name): _boxes(boxes) for name, boxes in pairs}


def _overlap(boxes: _F64 | None, place: _F64 | None) -> float:
    """Return the largest IoU of one of the boxes with one of the true ones; 0 without them."""
    if boxes is None or place is None:
        return 0.0
    return float(pairwise_iou(boxes, place).max())


def localization_total(outcomes: Iterable[Outcome]) -> LocalizationError:
    """Return the errors over pictures that were judged one by one; `outcomes` is read once."""
    sums = [0] * 7
    for each in outcomes:
        parts = (1, each.class_top1, each.class_top5, each.located_top1, each.located_top5)
        sums = [a + b for a, b in zip(sums, (*parts, each.flat, not each.known), strict=True)]
    return LocalizationError(*sums)


def localization_error(
    predictions: Iterable[Sequence[Located]],
    truths: Iterable[Truth],
    *,
    min_iou: float = 0.5,
) -> LocalizationError:
    """Return ILSVRC's top-1 and top-5 errors of localization and classification.

    Parameters
    ----------
    predictions : iterable of sequences of (class, boxes)
        For each picture one to five classes, the best first, with their boxes:
        ``(e.target.index, boxes(e))`` of an explanation e.
    truths : iterable of (class, boxes), {class: boxes} or None
        For each picture.
    min_iou : float
        As of :func:`localization_outcome`, which judges each picture.

    Raises
    ------
    ValueError, TypeError
        As of :func:`localization_outcome`; or if the numbers of pictures differ.
    """
    pairs = zip(predictions, truths, strict=True)
    return localization_total(localization_outcome(p, t, min_iou=min_iou) for p, t in pairs)


def _class(name: object) -> ClassName:
    if isinstance(name, str):
        return name
    try:
        if isinstance(name, (bool, np.bool_)):
            raise TypeError
        return operator.index(name)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"class: expected an index or a name, got {name!r}") from None


def _boxes(boxes: Boxes) -> _F64 | None:
    """Return boxes as an array (N, 4), having checked them; None if there are none."""
    if boxes is None or not len(boxes):
        return None
    found = region_boxes(boxes)
    if found is None:
        raise TypeError("boxes: expected boxes (x0, y0, x1, y1), got a mask")
    return found
