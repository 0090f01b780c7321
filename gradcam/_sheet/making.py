"""``gradcam.class_sheet``: pictures through a network, a row of the sheet for each."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from gradcam._annotations.scenes import SceneLike
from gradcam._engine.network import Network
from gradcam._engine.stream import FAILURES, OnError
from gradcam._engine.tape import BatchTape
from gradcam._labels.classes import top_indices
from gradcam._methods.passes import positive
from gradcam._registry import METHODS, Method
from gradcam._results.explanation import Explanation
from gradcam._results.objectives import On
from gradcam._sheet.content import MOST, ClassMap, SheetRow
from gradcam._sheet.given import Given, given
from gradcam._sheet.result import ClassSheet
from gradcam._sheet.shares import ground_area, shares, totals_of
from gradcam._sheet.truth import Objects, Truth

if TYPE_CHECKING:
    from gradcam._engine.network import PictureLike

_SIDE = 480
"""The longer side of a picture in the sheet, in pixels."""


def class_sheet(
    network: Network,
    pictures: PictureLike | SceneLike | Iterable[PictureLike | SceneLike],
    *,
    top: SupportsIndex = 3,
    method: str | Method = "grad_cam",
    layer: str | Sequence[str] | None = None,
    on: On = "score",
    truth: str | os.PathLike[str] | Iterable[Objects | None] | None = None,
    class_indices: bool = False,
    names: Iterable[str] | None = None,
    on_error: OnError[object] = "raise",
    batch: int = 8,
    progress: bool = False,
) -> ClassSheet:
    """Show the most probable classes of pictures, with a map for each.

    If the truth is known, each map is also measured: how much of it lies on each object, and how
    much on the ground.

    Parameters
    ----------
    network : Network
    pictures : picture, folder, scene, or several pictures or scenes
        As :meth:`Network.stream` takes them; the path of a folder stands for all pictures in it and
        its folders. A scene, such as of :func:`gradcam.pictograms.scene`, has its own truth. An
        iterator is read during the passes, a few pictures ahead.
    top : int
        How many of the most probable classes, 1 to 10; all if the network has fewer.
    method : str or Method
    layer, on
        As of :meth:`Tape.explain`.
    truth : path, or a list with one element for each picture
        A file or folder of annotations as of ``gradcam evaluate localization``: PASCAL VOC, COCO,
        masks or CSV, for pictures that are paths. Or of each picture a list of ``(label, region)``,
        where a region is an (H, W) mask, a box ``(x0, y0, x1, y1)`` or several boxes, in pixels of
        the picture; None: nothing is known.
    class_indices : bool
        Whether a number that names a class in `truth` is the index of the class in the network,
        from 0; otherwise a number is a label.
    names : list of str, optional
        How the pictures are called; by default paths, and numbers.
    on_error : "raise", "skip", or function of a picture and an exception
        What happens if a picture cannot be read, or its truth is wrong: as of
        :meth:`Network.stream`.
    batch : int
        Pictures in a pass.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    ClassSheet

    Raises
    ------
    ValueError, TypeError
        If there are no pictures, the network has no probabilities, an option is out of range, or
        `truth` or `names` has another length than `pictures` or other elements.
    gradcam.PictureError, AnnotationError, OSError
        If a picture cannot be read, or its truth is wrong, and `on_error` is "raise"; if none of
        the annotations belongs to a picture.
    """
    if (count := positive("top", top)) > MOST:
        raise ValueError(f"top: expected 1 to {MOST} classes, got {count}")
    making = Making(network, METHODS.find(method), count, layer, on)
    every = given(pictures, truth, names, class_indices)
    made = making.sheet(every, on_error=on_error, batch=batch, progress=progress)
    if not made.rows and not made.skipped:
        raise ValueError("there are no pictures")
    return made


class _Waiting:
    """The pictures that are on their way through the network, and those that did not arrive."""

    def __init__(self, on_error: OnError[object]) -> None:
        self.skipped: list[tuple[str, Exception]] = []
        self._given: deque[Given] = deque()
        self._on_error = on_error

    def of(self, given: Iterable[Given]) -> Iterator[PictureLike]:
        """Yield what the network reads."""
        for each in given:
            self._given.append(each)
            yield each.source

    def take(self, source: object) -> Given:
        """Return the first picture that waits with this source."""
        number = next(n for n, each in enumerate(self._given) if each.source is source)
        found = self._given[number]
        del self._given[number]
        return found

    def leave(self, source: object, error: Exception) -> None:
        """Leave out a picture that could not be read."""
        self.fail(self.take(source), error)

    def fail(self, given: Given, error: Exception) -> None:
        """Leave out a picture, or raise its error."""
        if self._on_error == "raise":
            raise error
        if callable(self._on_error):
            self._on_error(given.picture, error)
        self.skipped.append((given.name, error))


@dataclass(frozen=True, eq=False)
class Making:
    """What a sheet shows of each picture; the attributes are as of :func:`class_sheet`."""

    network: Network
    method: Method
    top: int
    layer: str | Sequence[str] | None
    on: On

    def sheet(
        self,
        every: Iterable[Given],
        *,
        on_error: OnError[object],
        batch: int,
        progress: bool,
        each: Callable[[SheetRow], object] = lambda row: None,
    ) -> ClassSheet:
        """Run the network over all pictures, and return their sheet; `each` gets rows at once."""
        waiting = _Waiting(on_error)
        sources = waiting.of(every)
        known = on_error in ("raise", "skip") or callable(on_error)
        stream = self.network.stream(
            [*sources] if isinstance(every, list) else sources,
            batch,
            on_error=waiting.leave if known else on_error,
            progress=progress,
        )
        rows: list[SheetRow] = []
        for some, tape in stream:
            for row in self._rows(tape, [waiting.take(source) for source in some], waiting):
                rows.append(row)
                each(row)
        return ClassSheet(
            self.network.name,
            self.method.title,
            tuple(rows),
            tuple(waiting.skipped),
            self.network.about,
        )

    def _rows(
        self, tape: BatchTape, given: Sequence[Given], waiting: _Waiting
    ) -> Iterator[SheetRow]:
        """Yield the row of each picture of a batch."""
        classes = [top_indices(scores, self.top) for scores in tape.scores]
        probabilities = tape.probabilities
        found = tape.explain(self.method, classes, layer=self.layer, on=self.on)
        for n, each in enumerate(given):
            try:
                truth = each.tell(each.picture, self.network.labels, tape.geometries[n].picture)
            except FAILURES as error:
                waiting.fail(each, error)
            else:
                yield _row(each.name, found[n], probabilities[n], truth)


def _row(
    name: str,
    found: Sequence[Explanation],
    probabilities: NDArray[np.float32],
    truth: Truth | None,
) -> SheetRow:
    """Return the row of a picture, having measured its maps at its full size."""
    geometry = found[0].geometry
    small = _smaller(found[0].picture)
    shown = geometry.resized((small.shape[0], small.shape[1]))
    maps = []
    for rank, each in enumerate(found, 1):
        assert each.target is not None
        index = each.target.index
        maps.append(
            ClassMap(
                *(rank, each.target, float(probabilities[index])),
                replace(each, picture=small, geometry=shown, origin=None),
                () if truth is None else shares(each, truth.objects),
                None if truth is None else totals_of(each, truth.objects, index),
            )
        )
    if truth is None:
        return SheetRow(name, geometry.picture, small, tuple(maps))
    area = ground_area(truth.objects, geometry.picture, geometry.seen_part)
    return SheetRow(name, geometry.picture, small, tuple(maps), area, truth.notes, truth.unknown)


def _smaller(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture whose longer side has at most 480 pixels, in memory of its own."""
    from PIL import Image

    image = Image.fromarray(picture)
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return np.array(image)
