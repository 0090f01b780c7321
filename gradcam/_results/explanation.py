"""What every method returns: an array of evidence, and the ways to look at it."""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, overload

import numpy as np
from numpy.typing import NDArray

from gradcam._files import atomic_write
from gradcam._labels.classes import Target
from gradcam._pictures.image import Geometry
from gradcam._pictures.segments import Box, largest_segment

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

On = Literal["score", "probability"]
"""What a method explains: a class's score before the softmax, or its probability after it."""

Resize = Literal["half_pixel", "align_corners", "nearest"]
"""How a map is made larger: pixel centres at half positions (as most libraries today), corners
on corners (as the Grad-CAM paper's code), or the nearest value."""

_DISPLAY_SIDE = 800
"""The longer side of the picture that a notebook shows, in pixels."""


class FlatMapWarning(UserWarning):
    """A map has the same value everywhere: it says nothing, and stays zero."""


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Why a network gave one picture one class, as one method sees it.

    Attributes
    ----------
    method : str
        The method's name (``"grad_cam"``).
    target : Target
        The class explained: ``.index``, ``.synset``, ``.label``.
    score : float
        The class's score, before the softmax.
    probability : float or None
        After the softmax, 0 to 1; None where the network has none.
    layer : str
        The layer whose map was explained; ``"input"`` for the pixel methods without a CAM.
    raw : array of float32
        The evidence, signed and at its own resolution. CAMs: (h, w), the weighted sum before
        its ReLU. Pixel methods: (C, h, w), for each value of the network's input, its channels
        in the network's order.
    weights : (K,) array of float32, or None
        alpha_k, the weight of each channel of `layer`, of the methods that have a CAM.
    picture : (H, W, 3) array of uint8
        The original picture, RGB; a rendering of the input where that was given preprocessed.
    geometry : Geometry
        How the network's input lies on the picture.
    resize : str
        How maps are resized: "half_pixel", "align_corners" or "nearest".
    channel_order : "RGB" or "BGR"
        The order of the network's input channels.
    """

    method: str
    target: Target
    score: float
    probability: float | None
    layer: str
    raw: NDArray[np.float32]
    weights: NDArray[np.float32] | None
    picture: NDArray[np.uint8]
    geometry: Geometry
    resize: Resize = "half_pixel"
    channel_order: str = "RGB"

    @property
    def evidence(self) -> NDArray[np.float32]:
        """(h, w), at the resolution of :attr:`raw`, 0 or more: what :attr:`map` shows.

        CAMs: the ReLU. Pixel methods: the greatest absolute value over the channels
        (Simonyan et al., 2014).
        """
        return np.maximum(self.raw, 0) if self.raw.ndim == 2 else np.abs(self.raw).max(0)

    @cached_property
    def map(self) -> NDArray[np.float32]:
        """The evidence laid on the original picture, (H, W), float32, 0 to 1.

        :attr:`evidence`, resized, then min-max. What a crop cut away is 0 and counts for neither
        the least nor the greatest value. A flat map is 0 everywhere. Read-only.

        Warns
        -----
        FlatMapWarning
            Where the map is flat.
        """
        on_picture = self.geometry.to_picture(self.evidence, self.resize)
        seen: Any = self.geometry.seen if self.geometry.cropped else True
        high = float(on_picture.max())
        low = min(high, float(on_picture.min(where=seen, initial=np.inf)))
        rounding = 4 * float(np.finfo(np.float32).eps) * high
        if not rounding < high - low < np.inf:
            warnings.warn(
                f"the {self.method} map of {self.target.label!r} at {self.layer!r} is flat "
                f"({low:g} to {high:g}): it says nothing about the picture and stays zero",
                FlatMapWarning,
                stacklevel=3,
            )
            return np.zeros_like(on_picture)
        on_picture -= np.float32(low)
        on_picture /= np.float32(high - low)
        np.maximum(on_picture, 0, out=on_picture)  # below 0: what the crop cut away
        on_picture.flags.writeable = False
        return on_picture

    @property
    def image(self) -> NDArray[np.uint8]:
        """How the method is usually shown, (H, W, 3) uint8 RGB, on the original picture's size.

        CAMs: the overlay. Saliency: the map in grey. The other pixel methods: the signed values
        as colours around mid-grey. Both are full from the 99.5th percentile of their values on: a
        few pixels far above the rest would leave the picture dark. Where a crop cut the picture
        away it is shown faded.
        """
        if self.raw.ndim == 2:
            return self.overlay()
        pixels = self._pixels()
        if self.geometry.cropped:
            from gradcam import plot

            plot.fade_outside(pixels, self.picture, self.geometry.region)
        return pixels

    def _pixels(self) -> NDArray[np.uint8]:
        if self.method == "saliency" or len(self.raw) != 3:
            full = np.percentile(self.map, 99.5) or 1.0
            grey = np.round(255 * np.minimum(self.map / full, 1)).astype(np.uint8)
            return np.repeat(grey[:, :, None], 3, axis=2)
        signed = self.raw if self.channel_order == "RGB" else self.raw[::-1]
        size = np.abs(signed)
        full = np.percentile(size, 99.5) or size.max() or 1.0
        pixels = np.empty((*self.geometry.picture, 3), np.uint8)
        for channel, plane in enumerate(signed / np.float32(full)):
            on_picture = self.geometry.to_picture(plane, self.resize).clip(-1, 1)
            pixels[:, :, channel] = np.round(127.5 * (1 + on_picture))
        return pixels

    def overlay(self, cmap: str = "jet", alpha: float = 0.5) -> NDArray[np.uint8]:
        """The map in colours over the picture, which fades where a crop cut it away.

        Parameters
        ----------
        cmap : str
            A colour map of matplotlib's, or "paper" for the one of the Grad-CAM paper's code.
        alpha : float
            Share of the colours, 0 (the picture alone) to 1 (the map alone).

        Returns
        -------
        (H, W, 3) array of uint8
            RGB.
        """
        from gradcam import plot

        region = self.geometry.region if self.geometry.cropped else None
        return plot.overlay(self.picture, self.map, cmap, alpha, region)

    @overload
    def plot(self, ax: None = None, **options: Any) -> Figure: ...
    @overload
    def plot(self, ax: Axes, **options: Any) -> Axes: ...
    def plot(self, ax: Axes | None = None, **options: Any) -> Figure | Axes:
        """Draw the explanation with matplotlib; options as :func:`gradcam.plot.plot_explanation`.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a figure of its own by default.

        Returns
        -------
        matplotlib Figure, or the Axes that were given
        """
        from gradcam import plot

        return plot.plot_explanation(self, ax, **options)

    def box(self, threshold: float = 0.15) -> Box | None:
        """Where the map sees the object: a box around the largest segment of high values.

        The segment is of pixels with at least `threshold` of the map's maximum, connected by
        their sides (Selvaraju et al., 2017, section 4.1).

        Parameters
        ----------
        threshold : float
            Above 0, at most 1.

        Returns
        -------
        (x0, y0, x1, y1) or None
            In pixels of the original picture; x1 and y1 are the first ones outside. None where
            the map is flat.
        """
        if not isinstance(threshold, (int, float)) or not 0 < threshold <= 1:
            raise ValueError(f"threshold: expected a share above 0 and up to 1, got {threshold!r}")
        highest = self.map.max()
        return largest_segment(self.map >= threshold * highest) if highest > 0 else None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write :attr:`image` as .png, or everything as .npz, whole or not at all.

        The .npz holds ``raw``, ``map``, ``weights`` (where there are any), ``method``,
        ``layer``, ``target`` (the index), ``synset``, ``label``, ``score``, ``probability``
        (NaN where there is none) and ``resize``.

        Raises
        ------
        ValueError
            For any other suffix.
        """
        suffix = Path(path).suffix.lower()
        if suffix not in (".png", ".npz"):
            raise ValueError(f"{os.fspath(path)}: an explanation is saved as .png or as .npz")
        if suffix == ".png":
            content = _png(self.image)
        else:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **self._arrays())
            content = buffer.getvalue()
        with atomic_write(path) as file:
            file.write(content)

    def _arrays(self) -> dict[str, Any]:
        arrays = {
            "raw": self.raw,
            "map": self.map,
            "method": self.method,
            "layer": self.layer,
            "target": self.target.index,
            "synset": self.target.synset,
            "label": self.target.label,
            "score": self.score,
            "probability": np.nan if self.probability is None else self.probability,
            "resize": self.resize,
        }
        return arrays if self.weights is None else {**arrays, "weights": self.weights}

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return _png(self.image, _DISPLAY_SIDE)

    def __repr__(self) -> str:
        chance = "" if self.probability is None else f", probability {self.probability:.3f}"
        return (
            f"<Explanation: {self.method} of {self.target.label!r} ({self.target.index}) at "
            f"{self.layer}, score {self.score:.2f}{chance}>"
        )


def check_resize(resize: str) -> None:
    """Refuse a way to resize that does not exist, before any work."""
    if resize not in get_args(Resize):
        raise ValueError(f"resize: expected one of {', '.join(get_args(Resize))}, got {resize!r}")


def _png(pixels: NDArray[np.uint8], side: int | None = None) -> bytes:
    from PIL import Image

    image = Image.fromarray(pixels)
    if side is not None:
        image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "png", compress_level=2)  # five times as fast for an eighth more bytes
    return buffer.getvalue()
