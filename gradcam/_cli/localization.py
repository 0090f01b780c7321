"""What ``gradcam evaluate localization`` does with a batch of pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gradcam import measures
from gradcam._annotations.reading import Annotations
from gradcam._annotations.truth import Annotation, TrueObject, placed
from gradcam._cli import records
from gradcam._cli.asked import layers
from gradcam._cli.inputs import Job
from gradcam._cli.many import Finish, Record, Saved
from gradcam._cli.table import Columns, Row
from gradcam._engine.tape import BatchTape
from gradcam._labels.classes import Target, known_class
from gradcam._registry import OVER_PICTURE, Method
from gradcam.measures._regions import pairwise_iou

if TYPE_CHECKING:
    from gradcam._engine.network import Network
    from gradcam._results.explanation import Explanation
    from gradcam._results.objectives import On

Segments = Literal["largest", "all"]

TOP = 5
"""How many of the most probable classes count in the top-5 errors."""

COLUMNS: Columns = {
    "picture": str,
    "class": int,
    "synset": str,
    "label": str,
    "rank": int,
    "method": str,
    "layer": str,
    "x0": int,
    "y0": int,
    "x1": int,
    "y1": int,
    "iou": float,
    "located_top1": int,
    "located_top5": int,
    "pointing": int,
    "energy_inside": float,
    "inside_outside": float,
    "flat": int,
}
"""The columns of the table: a row for each picture, method and true class."""


@dataclass(frozen=True)
class Settings:
    """How boxes are found, and what counts.

    Attributes
    ----------
    threshold : float or "otsu"
    segments : "largest" or "all"
    grabcut : bool
        Whether boxes of methods whose maps are of pixels are found by GrabCut.
    tolerance : float
        Of the pointing game, in pixels.
    ignore_size : bool
        Whether annotations may give a picture another size.
    class_indices : bool
        Whether a class that the annotations name by a number is the network's class of this index.
    """

    threshold: measures.Threshold = 0.15
    segments: Segments = "largest"
    grabcut: bool = False
    tolerance: float = 15.0
    ignore_size: bool = False
    class_indices: bool = False


@dataclass(frozen=True)
class Localizing:
    """Explains the true classes of pictures, and compares the maps with the ground truth."""

    network: Network
    annotations: Annotations
    methods: tuple[Method, ...]
    given: Mapping[str, str]
    layer: str | None
    on: On
    settings: Settings
    _known: dict[str, tuple[Annotation, dict[str, Target]]] = field(default_factory=dict)

    def options(self) -> dict[str, object]:
        """Return everything that the results depend on, besides the network and the pictures."""
        return {
            "command": "evaluate localization",
            "--method": [method.name for method in self.methods],
            "--option": self.given,
            "--layer": self.layer,
            "--on": self.on,
            "--format": self.annotations.format,
            "content of --annotations": self.annotations.digest,
            **{f"--{name.replace('_', '-')}": each for name, each in vars(self.settings).items()},
        }

    def before(self, job: Job) -> Record | None:
        """Return the record of a picture without ground truth; keep that of others for `work`.

        Raises
        ------
        AnnotationError, OSError
            If the annotation is wrong.
        """
        annotation = self.annotations.of(job.path)
        labels = {} if annotation is None else _labels(annotation)
        if annotation is None or not labels:
            return {"truth": "none", "crowds": 0 if annotation is None else _crowds(annotation)}
        find = partial(known_class, self.network.labels, class_indices=self.settings.class_indices)
        classes = {label: find(label) for label in labels}
        known = {label: target for label, target in classes.items() if target is not None}
        if not known:
            return {
                "truth": "unknown class",
                "unknown": sorted(classes),
                "crowds": _crowds(annotation),
            }
        self._known[job.name] = annotation, known
        return None

    def work(self, tape: BatchTape, names: Sequence[str]) -> list[Finish]:
        """Explain the true classes of a batch; return what judges each picture."""
        known = [self._known[name] for name in names]
        targets = [
            list(dict.fromkeys(target.index for target in classes.values())) for _, classes in known
        ]
        layer = layers(self.layer)
        found = [
            tape.explain(method, targets, layer=layer if method.takes_layer else None, on=self.on)
            for method in self.methods
        ]
        return [
            partial(
                self._finish,
                name,
                records.predictions(tape, n, TOP),
                tape.geometries[n].picture,
                {method.name: of[n] for method, of in zip(self.methods, found, strict=True)},
            )
            for n, name in enumerate(names)
        ]

    def _finish(
        self,
        name: str,
        predictions: Sequence[records.Prediction],
        size: tuple[int, int],
        explanations: Mapping[str, Sequence[Explanation]],
    ) -> Saved:
        """Compare the maps of one picture with its ground truth."""
        annotation, classes = self._known.pop(name)
        objects = placed(annotation, size, labels=classes, ignore_size=self.settings.ignore_size)
        places, clipped = _places(objects, classes, size)
        ranks = {each["index"]: rank for rank, each in enumerate(predictions, 1)}
        record: Record = {
            "truth": "known",
            "predictions": list(predictions),
            "unknown": sorted({*_labels(annotation)} - {*classes}),
            "clipped": clipped,
            "crowds": _crowds(annotation),
            "no_size": annotation.no_size,
            "results": [
                {"method": method, **self._judged(each, places, ranks)}
                for method, of in explanations.items()
                for each in of
            ],
        }
        return record, []

    def _judged(
        self, found: Explanation, places: Mapping[int, Place], ranks: Mapping[int, int]
    ) -> Record:
        """Return what is right about one map of a true class."""
        assert found.target is not None
        place, settings = places[found.target.index], self.settings
        boxes = self._boxes(found)
        box, overlap = best_box(boxes, place.boxes)
        rank = ranks.get(found.target.index)
        return {
            "class": records.of_class(found.target),
            "layer": found.layer,
            "rank": rank,
            "boxes": len(boxes),
            "box": box,
            "iou": overlap,
            "located_top1": None if overlap is None else rank == 1 and overlap > 0.5,
            "located_top5": None if overlap is None else rank is not None and overlap > 0.5,
            "pointing": measures.pointing(found, place.mask, settings.tolerance),
            "energy_inside": _finite(measures.energy_inside(found, place.mask)),
            "inside_outside": _finite(measures.inside_outside(found, place.mask)),
            "flat": not float(found.map.min()) < float(found.map.max()),
        }

    def _boxes(self, found: Explanation) -> list[measures.Box]:
        if self.settings.grabcut and found.view not in OVER_PICTURE:
            box = measures.grabcut_box(found)
            return [] if box is None else [box]
        return measures.boxes(found, self.settings.threshold, self.settings.segments)


@dataclass(frozen=True, eq=False)
class Place:
    """Where a class is: the boxes of its objects, and all pixels of these."""

    boxes: list[measures.Box]
    mask: np.ndarray[Any, np.dtype[np.bool_]]


def _places(
    objects: Iterable[TrueObject], classes: Mapping[str, Target], size: tuple[int, int]
) -> tuple[dict[int, Place], int]:
    """Return the place of each class, and how many boxes were clipped.

    An object is drawn into its class's place before the next one is drawn.
    """
    places: dict[int, Place] = {}
    clipped = 0
    for each in objects:
        index = classes[each.label].index
        place = places.setdefault(index, Place([], np.zeros(size, bool)))
        if each.box is not None:
            place.boxes.append(each.box)
        if each.mask is not None:
            place.mask[each.mask] = True
        elif each.box is not None:
            place.mask[measures.region_mask(each.box, size)] = True
        clipped += each.clipped
    return places, clipped


def best_box(
    boxes: Sequence[measures.Box], true: Sequence[measures.Box]
) -> tuple[measures.Box | None, float | None]:
    """Return the box that fits best, and its overlap; of the first box, if there is no true one."""
    if not true:
        return (boxes[0] if boxes else None), None
    if not boxes:
        return None, 0.0
    overlaps = pairwise_iou(np.array(boxes, np.float64), np.array(true, np.float64)).max(1)
    best = int(overlaps.argmax())
    return boxes[best], float(overlaps[best])


def _labels(annotation: Annotation) -> dict[str, None]:
    """Return the classes of the objects whose place is known, each once."""
    return dict.fromkeys(each.label for each in annotation.objects if each.has_place)


def _crowds(annotation: Annotation) -> int:
    """Return how many crowds have no segmentation."""
    return sum(not each.has_place for each in annotation.objects)


def _finite(value: float) -> float | str | None:
    """Return a number as JSON has it: "inf" for infinity, None for NaN."""
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else "inf"


def rows(record: Record) -> list[Row]:
    """Return the rows of the table for one picture."""
    return [
        {
            "picture": record["picture"],
            "class": each["class"]["index"],
            "synset": each["class"]["synset"],
            "label": each["class"]["label"],
            **{name: _cell(each[name]) for name in COLUMNS if name in each and name != "class"},
            **dict(zip(("x0", "y0", "x1", "y1"), each["box"] or (), strict=False)),
        }
        for each in record.get("results", ())
    ]


def _cell(value: object) -> str | int | float | None:
    if isinstance(value, bool):
        return int(value)
    if value == "inf":
        return math.inf
    assert value is None or isinstance(value, (str, int, float))
    return value
