"""Units named by masks: Network Dissection (Bau et al. 2017)."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from gradcam._engine.network import Network, check_network
from gradcam._engine.stream import FAILURES, OnError
from gradcam._methods.passes import positive, real
from gradcam._pictures.folders import pictures_in
from gradcam._pictures.image import Geometry
from gradcam._text import brief, none_read, printable
from gradcam.inside._chance import EarlierMasks
from gradcam.inside._concepts import Concept, Mask, Overlaps, checked_masks, firing
from gradcam.inside._dissection import Dissection
from gradcam.inside._examples import Examples
from gradcam.inside._given import refuse_input
from gradcam.inside._quantiles import Quantiles

if TYPE_CHECKING:
    from gradcam._engine.network import PictureLike

Masks = Mapping[Concept, Mask] | Mapping[str, Mask]
"""The masks of one picture, by concept."""

_EXAMPLES = 5
"""Pictures that are kept for each unit."""


class NoConcept(ValueError):
    """Raised if no concept occurs in any picture."""


class _Seen(NamedTuple):
    """One picture after its pass: its position, the layer's maps (K, h, w), where it lies."""

    number: int
    maps: NDArray[np.float32]
    geometry: Geometry


def dissect(
    network: Network,
    pictures: Sequence[PictureLike] | str | os.PathLike[str],
    masks: Sequence[Masks] | Callable[[int, tuple[int, int]], Masks],
    layer: str | None = None,
    *,
    quantile: float = 0.995,
    iou: float = 0.05,
    batch: int = 8,
    on_error: OnError[PictureLike] = "raise",
    progress: bool = False,
) -> Dissection:
    """Name the units of a layer by the concepts whose masks they match.

    For each unit k the threshold T_k is the quantile of its values a over all pictures and
    positions, P(a > T_k) = 0.005. Its map is enlarged bilinearly to each picture, and the unit
    fires where the result is T_k or more. A position lies at the middle of its share of the input,
    as if the map were a small picture; in the paper it lies at the centre of its receptive field,
    which without padding is somewhere else. Over all pictures together, that is compared with the
    masks of each concept:

        IoU = (pixels where the unit fires and the concept is) / (pixels of one or both).

    The unit's name is the concept with the highest IoU, if that is above `iou`. As in the paper,
    the sums for a concept are over the pictures that have at least one concept of its kind: the
    others are taken as not annotated with this kind. Pixels that the network did not see, because
    its input is cropped, do not count.

    With few pictures, many units match some mask by chance. So units are also compared with the
    masks of other pictures, each chosen at random among those before: :attr:`Dissection.by_chance`
    says how many units would get a name, and :attr:`Dissection.caution` whether these are too many.

    Parameters
    ----------
    network : Network
    pictures : sequence of pictures, or a folder
        As of :meth:`gradcam.Network.stream`, but not preprocessed input: the masks lie on
        pictures. The network runs twice on each: once for the thresholds, once for the overlaps. A
        sequence that reads or draws its pictures when they are asked for needs memory for a few of
        them only.
    masks : sequence of mappings, or callable
        For each picture a mapping of each concept in it, a :class:`Concept` or a str, to an (H, W)
        array of bool of the picture's size. Or a function that gets the picture's position and its
        (height, width), and returns such a mapping. A picture without annotation has an empty one.
    layer : str, optional
        A layer with a spatial map; by default the network's target layer.
    quantile : float
        Between 0 and 1. About (1 - quantile) of a unit's values are kept for its threshold. A
        concept whose masks cover far more of the pictures than 1 - quantile cannot have a high IoU:
        colours are found with 0.95.
    iou : float
        0 or more and below 1. 0.05 in the Grad-CAM paper (Selvaraju et al. 2017, arXiv version),
        0.04 in Bau et al.
    batch, progress
        As of :meth:`gradcam.Network.stream`.
    on_error : "raise", "skip" or callable
        What happens with pictures that cannot be read, and with those whose masks cannot: these
        count for the thresholds alone.

    Returns
    -------
    Dissection

    Raises
    ------
    ValueError
        If there is no picture or no concept occurs, none of the pictures or of the masks can be
        read, a mask has another size, an option is out of range, or the layer is unknown or has no
        map.
    TypeError
        If pictures, masks or an option have another type.
    gradcam.PictureError, OSError
        If a picture, or the folder, cannot be read.

    Examples
    --------
    >>> from gradcam import inside, pictograms
    >>> scenes = [pictograms.scene(seed) for seed in range(8)]
    >>> found = inside.dissect(
    ...     pictograms.model(),
    ...     [scene.picture for scene in scenes],
    ...     [pictograms.concepts(scene) for scene in scenes],
    ... )
    >>> found.layer, len(found.names)
    ('relu5_3', 128)
    """
    if not 0 < real("quantile", quantile) < 1:
        raise ValueError(f"quantile: expected a number between 0 and 1, got {quantile!r}")
    if not 0 <= real("iou", iou) < 1:
        raise ValueError(f"iou: expected a number of 0 or more and below 1, got {iou!r}")
    name, shape = _checked_layer(network, layer)
    given = _listed(pictures)
    masks_of = _masks_of(masks, len(given))
    run = _Run(network, given, name, positive("batch", batch), on_error, progress)
    thresholds, silent = run.thresholds(shape, quantile)
    overlaps, chance, examples = run.overlaps(thresholds, silent, masks_of)
    concepts, scores = overlaps.scores()
    if not concepts:
        raise NoConcept(
            "masks: no concept occurs: there is no mask, or none has a pixel that the network sees"
        )
    return Dissection(
        network=network,
        layer=name,
        pictures=run.count,
        quantile=float(quantile),
        iou=float(iou),
        concepts=concepts,
        frequencies=np.array([overlaps.pictures[each] for each in concepts]),
        scores=scores,
        chance_scores=chance.scores()[1].max(1, initial=0) if chance.pictures else None,
        thresholds=thresholds,
        silent=silent,
        absent=tuple(sorted(set(overlaps.absent) - set(concepts))),
        skipped=tuple(run.skipped),
        examples=tuple(map(tuple, examples.of)),
        source=given,
    )


def _checked_layer(network: Network, layer: str | None) -> tuple[str, tuple[int, int, int]]:
    """Return the first name of a layer, and the shape of its map."""
    check_network(network)
    name = network.names(network.target_layer if layer is None else layer)[0]
    shape = network.shape(name, network.input_size)
    if len(shape) != 3:
        raise ValueError(
            f"layer {name!r} of {network.name} has no map: a unit without positions cannot be "
            f"compared with masks; choose a layer such as {network.target_layer!r}"
        )
    return name, shape


def _listed(pictures: object) -> Sequence[PictureLike]:
    """Return several pictures, those in a folder sorted by their paths."""
    if isinstance(pictures, (str, os.PathLike)):
        return pictures_in(pictures)
    is_list = hasattr(pictures, "__len__") and hasattr(pictures, "__getitem__")
    if not is_list or isinstance(pictures, (bytes, Mapping)) or getattr(pictures, "ndim", 4) != 4:
        raise TypeError(
            f"pictures: expected a list of pictures, which are read twice, or a folder, got "
            f"{brief(pictures)}"
        )
    refuse_input(pictures)
    found = cast("Sequence[PictureLike]", pictures)
    if not len(found):
        raise ValueError("pictures: there is none; give at least one")
    return found


def _masks_of(masks: object, count: int) -> Callable[[int, tuple[int, int]], object]:
    """Return a function of a picture's position and size that returns its masks."""
    if callable(masks):
        return masks
    if not isinstance(masks, Sequence) or isinstance(masks, (str, bytes)):
        raise TypeError(
            f"masks: expected a mapping of concepts to masks for each picture, in a list, or a "
            f"function that returns it, got {brief(masks)}"
        )
    if len(masks) != count:
        raise ValueError(
            f"masks: expected one mapping for each of {count} pictures, got {len(masks)}"
        )
    return lambda number, size: masks[number]


class _Fed:
    """Hands pictures to a stream, and knows the position of each that comes back.

    Attributes
    ----------
    waiting : deque of (int, picture)
        Those that did not come back yet.
    left : list of int
        The positions of those that never will: the stream keeps the order.
    """

    def __init__(self, pictures: Sequence[PictureLike]) -> None:
        self._pictures = pictures
        self.waiting: deque[tuple[int, PictureLike]] = deque()
        self.left: list[int] = []

    def __len__(self) -> int:
        return len(self._pictures)

    def __iter__(self) -> Iterator[PictureLike]:
        for number in range(len(self._pictures)):
            picture = self._pictures[number]
            self.waiting.append((number, picture))
            yield picture

    def number(self, picture: PictureLike) -> int:
        """Return the position of a picture that came back."""
        number, each = self.waiting.popleft()
        while each is not picture:
            self.left.append(number)
            number, each = self.waiting.popleft()
        return number


class _Run:
    """Two passes over the pictures; those that cannot be read are skipped in both.

    Attributes
    ----------
    skipped : list of (int, exception)
        Of the last pass.
    count : int
        How many pictures count: those that can be read, and their masks, too.
    """

    def __init__(
        self,
        network: Network,
        pictures: Sequence[PictureLike],
        layer: str,
        batch: int,
        on_error: OnError[PictureLike],
        progress: bool,
    ) -> None:
        self.network, self.pictures, self.layer = network, pictures, layer
        self.batch, self.progress = batch, progress
        self.on_error: OnError[PictureLike] = on_error
        self.skipped: list[tuple[int, Exception]] = []
        self.count = 0

    def thresholds(
        self, shape: tuple[int, int, int], quantile: float
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return each unit's threshold, (K,), and whether that is its smallest value."""
        units, height, width = shape
        quantiles = Quantiles(units, len(self.pictures) * height * width, quantile)
        for each in self._seen(self.on_error):
            if not np.isfinite(each.maps).all():
                raise ValueError(
                    f"the output of layer {self.layer!r} of {self.network.name} is not finite for "
                    f"{self._name(each.number)}"
                )
            quantiles.add(each.maps.reshape(units, -1))
        if not quantiles.count:
            raise ValueError(none_read("", [error for _, error in self.skipped]))
        found = quantiles.found()
        return found, found <= quantiles.smallest

    def overlaps(
        self,
        thresholds: NDArray[np.float32],
        silent: NDArray[np.bool_],
        masks_of: Callable[[int, tuple[int, int]], object],
    ) -> tuple[Overlaps, Overlaps, Examples]:
        """Return how units and concepts overlap, and the pictures in which units are strongest.

        The second overlaps are those with the masks of other pictures.
        """
        thresholds = np.where(silent, np.float32(np.inf), thresholds)
        overlaps, chance = Overlaps(len(thresholds)), Overlaps(len(thresholds))
        earlier, examples = EarlierMasks(), Examples(len(thresholds), _EXAMPLES)
        self.skipped.clear()
        for each in self._seen(self.on_error if self.on_error == "raise" else "skip"):
            size = each.geometry.picture
            try:
                masks = checked_masks(masks_of(each.number, size), size, self._name(each.number))
            except FAILURES as error:
                if self.on_error == "raise":
                    raise
                if callable(self.on_error):
                    self.on_error(self.pictures[each.number], error)
                self.skipped.append((each.number, error))
                continue
            seen = each.geometry.seen_part
            own = overlaps.concepts(masks, seen)
            other = chance.concepts(earlier.of_another(masks, size), seen)
            for part in firing(each.maps, thresholds, each.geometry):
                overlaps.units(part, own)
                chance.units(part, other)
            examples.add(each.number, each.maps, each.geometry)
            self.count += 1
        self.skipped.sort(key=lambda each: each[0])
        if not self.count:
            raise ValueError(none_read("the masks of ", [error for _, error in self.skipped]))
        return overlaps, chance, examples

    def _seen(self, on_error: OnError[PictureLike]) -> Iterator[_Seen]:
        """Run the network and yield each picture that can be read; note the others."""
        fed = _Fed(self.pictures)
        stream = self.network.stream(
            *(fed, self.batch),
            keep=self.layer,
            record=False,
            on_error=on_error,
            progress=self.progress,
        )
        for some, tape in stream:
            maps = tape.activation(self.layer)
            for picture, own, geometry in zip(some, maps, tape.geometries, strict=True):
                yield _Seen(fed.number(picture), own, geometry)
        numbers = [*fed.left, *(number for number, _ in fed.waiting)]
        errors = (error for _, error in stream.skipped)
        self.skipped.extend(zip(numbers, errors, strict=True))

    def _name(self, number: int) -> str:
        """Return which picture it is, for messages."""
        picture = self.pictures[number]
        return (
            printable(os.fsdecode(picture))
            if isinstance(picture, (str, os.PathLike))
            else f"picture {number}"
        )
