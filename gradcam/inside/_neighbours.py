"""Nearest neighbours in code and in pixels, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from gradcam._methods.passes import check_seed, positive
from gradcam._pictures.grids import Cell, grid
from gradcam._text import counted, width
from gradcam.inside._nearest import Metric
from gradcam.inside._picture_set import PictureSet
from gradcam.inside._precision import NO_LABELS, Precision, precision

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_I64 = NDArray[np.int64]
_F64 = NDArray[np.float64]

SAME, OTHER = "#1a9641", "#d7191c"
"""The colours of frames: of pictures of the same class, and of another."""

_DRAWN = 200
"""The longer side of a picture in the figure, in pixels."""

_MOST, _ACROSS = 40, 8
"""Rows of a figure, and neighbours in a row, at most."""


@dataclass(frozen=True, eq=False, repr=False)
class Neighbours:
    """The nearest neighbours of Q pictures in a set, in code and in pixels.

    Attributes
    ----------
    places, pixel_places : (Q, count) arrays of int64
        The neighbours in code and in pixels, the nearest first: places in `pictures`, from 0 on.
    distances, pixel_distances : (Q, count) arrays of float64
        Of codes, as `metric` says; and Euclidean distances of pixels, whose values are 0 to 255.
    pictures : PictureSet
        The set. Its ``sources``, ``labels`` and ``pixels`` are those of the codes.
    queries : PictureSet
        The pictures whose neighbours these are.
    own : (Q,) array of int64
        The place of each query in the set, which is not its own neighbour; -1 for a picture that
        is not in the set.
    metric : "l2" or "cosine"
    layer, network : str
        What the codes are the output of.
    """

    places: _I64
    distances: _F64
    pixel_places: _I64
    pixel_distances: _F64
    pictures: PictureSet
    queries: PictureSet
    own: _I64
    metric: Metric
    layer: str
    network: str

    def __len__(self) -> int:
        return len(self.places)

    @property
    def count(self) -> int:
        """How many neighbours each picture has."""
        return int(self.places.shape[1])

    @property
    def same(self) -> NDArray[np.bool_] | None:
        """(Q, count) whether the neighbours in code are of the same class; None without labels."""
        return self._same(self.places)

    @property
    def pixel_same(self) -> NDArray[np.bool_] | None:
        """(Q, count) the same of the neighbours in pixels."""
        return self._same(self.pixel_places)

    def _same(self, places: _I64) -> NDArray[np.bool_] | None:
        if self.pictures.labels is None or self.queries.labels is None:
            return None
        labels = np.array(self.pictures.labels)[places]
        return np.asarray(labels == np.array(self.queries.labels)[:, None])

    def precision(self, *, seed: int = 0) -> Precision:
        """Return the share of the neighbours that have the class of their query.

        Parameters
        ----------
        seed : int
            Of the bootstrap, which gives 95 % intervals over the queries.

        Raises
        ------
        ValueError
            If there are no labels, or all pictures are of one class.
        """
        check_seed(seed)
        same, pixel_same = self.same, self.pixel_same
        if same is None or pixel_same is None or self.queries.labels is None:
            raise ValueError(NO_LABELS)
        check_classes(self.pictures)
        known = self.pictures.labels or ()
        of_class = {label: known.count(label) for label in set(self.queries.labels)}
        itself = self.own >= 0
        others = np.array([of_class[label] for label in self.queries.labels]) - itself
        found = {"code": same, "pixels": pixel_same}
        sizes = len(self.pictures) - itself
        return precision(self.count, found, self.queries.labels, others, sizes, seed)

    @property
    def finding(self) -> str:
        """What was found, in a sentence."""
        same, pixel_same = self.same, self.pixel_same
        if same is not None and pixel_same is not None:
            of = f"of {same.size} neighbours of {counted(len(self), 'picture')}"
            return (
                f"{int(same.sum())} {of} in code, and {int(pixel_same.sum())} in pixels, are of "
                f"the same class"
            )
        both = zip(self.places, self.pixel_places, strict=True)
        shared = sum(len(np.intersect1d(*each)) for each in both)
        return f"{shared} of {self.places.size} neighbours in code are neighbours in pixels, too"

    def __repr__(self) -> str:
        return (
            f"<Neighbours: {self.count} of each of {counted(len(self), 'picture')}, among "
            f"{len(self.pictures)}, layer {self.layer}>"
        )

    def plot(self, rows: SupportsIndex = 6) -> Figure:
        """Draw a row for each query: the query, its neighbours in code, those in pixels.

        With labels, neighbours of the same class have green frames, those of another red ones.
        Below each picture are its class, or its name, and its distance.

        Parameters
        ----------
        rows : int
            How many queries are drawn, at most: 1 to 40. If there are more, they are chosen at
            equal distances in the order of the set. Of each, at most 8 neighbours are drawn.

        Raises
        ------
        ValueError, TypeError
            If `rows` is another number.
        """
        most = positive("rows", rows)
        if most > _MOST:
            raise ValueError(f"rows: expected 1 to {_MOST}, got {most}")
        chosen = evenly(len(self), most)
        each = range(1, min(self.count, _ACROSS) + 1)
        return grid(
            [self._row(n) for n in chosen],
            heading=f"Nearest in the code of {self.layer} of {self.network}, and nearest in pixels",
            details=self._details(len(chosen)),
            columns=["query", *(f"code {n}" for n in each), *(f"pixels {n}" for n in each)],
            smallest=0.95,
        )

    def _details(self, rows: int) -> str:
        """Return what stands below the figure."""
        distance = "the distance (1 - cosine)" if self.metric == "cosine" else "the distance"
        words = [f"{self.finding}."]
        if self.same is not None:
            words.append("Green: the same class. Red: another.")
        words.append(
            f"Below: the class or the name, and {distance} in code, or that in pixels of 32 x 32."
        )
        if rows < len(self):
            words.append(f"{rows} of {len(self)} queries are shown.")
        if self.count > _ACROSS:
            words.append(f"{_ACROSS} of {self.count} neighbours are shown.")
        return " ".join(words)

    def _row(self, n: int) -> list[Cell]:
        """Return the pictures of one query."""
        cells = [Cell(self.queries.look(n, _DRAWN), _words(self.queries, n))]
        for places, distances, same in (
            (self.places[n], self.distances[n], self.same),
            (self.pixel_places[n], self.pixel_distances[n], self.pixel_same),
        ):
            for k, (place, distance) in enumerate(zip(places[:_ACROSS], distances, strict=False)):
                words = f"{_words(self.pictures, int(place))}\n{_number(distance)}"
                frame = "" if same is None else SAME if same[n, k] else OTHER
                cells.append(Cell(self.pictures.look(int(place), _DRAWN), words, frame=frame))
        return cells


def check_classes(pictures: PictureSet) -> None:
    """Raise ValueError if all pictures are of one class."""
    if len(pictures.classes) == 1:
        raise ValueError(
            f"precision needs two classes or more: all {len(pictures)} pictures are of the class "
            f"{pictures.classes[0]!r}"
        )


def evenly(size: int, most: int) -> list[int]:
    """Return at most so many of the numbers 0 to size - 1, at nearly equal distances."""
    if size <= most:
        return list(range(size))
    return [n * size // most for n in range(most)]


def _words(pictures: PictureSet, place: int) -> str:
    """Return the class of a picture, or its name; a long name without its beginning."""
    if pictures.labels is not None:
        return pictures.labels[place].replace("_", " ")  # so that lines can be broken
    name = pictures.name(place).replace("\\", "/").rsplit("/", 1)[-1]
    return name if width(name) <= 24 else f"...{name[-20:]}"


def _number(distance: float) -> str:
    return f"{distance:,.0f}" if distance >= 1000 else f"{distance:.3g}"
