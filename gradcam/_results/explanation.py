"""What every method returns: an array of evidence, and the ways to look at it."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    NamedTuple,
    Protocol,
    SupportsIndex,
    get_args,
    overload,
)

import numpy as np
from numpy.typing import NDArray

from gradcam._files import atomic_write
from gradcam._labels.classes import Target
from gradcam._pictures import captions, colour, figures
from gradcam._pictures.encoding import ENCODERS
from gradcam._pictures.image import Geometry
from gradcam._pictures.segments import Box, Threshold, largest_box
from gradcam._registry import OVER_PICTURE, Method, View
from gradcam._results import report as reports
from gradcam._results.objectives import Forward, Objective, On, TargetLike
from gradcam._text import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Resize = Literal["half_pixel", "align_corners", "nearest"]
"""How a map is made larger: bilinearly with pixel centres at half positions (as most libraries
today) or corners on corners (as the Grad-CAM paper's code), or the value whose centre is nearest
(PyTorch's "nearest-exact")."""

_FULL = 99.5
"""The percentile of the values from which on the colours of pixel methods are full."""

_OWN_SCALE = "0 is the map's minimum, 1 its maximum"
_RANGE_SCALE = "0 is the minimum of all values, 1 their maximum"
_GREY_SCALE = f"0 is the map's minimum, 1 its {_FULL}th percentile"
_SIGN_SCALE = (
    f"red raises the score, blue lowers it; 1 is the {_FULL}th percentile of the absolute values"
)
_SIGN_COLOURS = "RdBu_r"
_NOTHING_RAISES = "nothing raises the score, all contributions lower it or are zero"


_TEXTS = ("method", "title", "view", "label", "synset", "layer", "resize", "channel_order", "about")
"""The attributes that are saved as text."""


NO_PICTURE = 128
"""The grey that is the picture of an explanation that was stored without its own."""


class FlatMapWarning(UserWarning):
    """A map stays zero: it has the same value everywhere, or no contribution raises the score."""


@contextmanager
def no_flat_warnings() -> Iterator[None]:
    """Do not warn that a map is flat, where that is said in another way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FlatMapWarning)
        yield


class Evidence(NamedTuple):
    """What a method's function returns: raw values, and weights if there are any.

    Attributes
    ----------
    raw : array of float32
        (S, N, h, w) for the views "map" and "range", (S, N, C, h, w) for the others: S objectives
        for each of N pictures.
    weights : (S, N, K) array of float32, or None
        The weight of each channel of a layer.
    view : str or None
        How the raw values are shown, if that is not the method's view.
    layer : str or None
        The layer whose map was explained, of methods that find it themselves.
    """

    raw: NDArray[np.float32]
    weights: NDArray[np.float32] | None = None
    view: View | None = None
    layer: str | None = None


class Origin(Protocol):
    """What an explanation was computed from, for whoever computes more of the same picture.

    Attributes
    ----------
    method : Method
        With the options that were given.
    objective : Objective
    layers : tuple of str
        The layers whose maps were explained; empty for methods without a layer.
    """

    @property
    def method(self) -> Method: ...
    @property
    def objective(self) -> Objective: ...
    @property
    def layers(self) -> tuple[str, ...]: ...
    def forward(self) -> Forward:
        """Run the forward pass of this picture again, and return its :class:`gradcam.Tape`."""


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Why a network gave a picture a score, as one method sees it.

    Attributes
    ----------
    method : str
        The method's name (``"grad_cam"``).
    title : str
        The field's name of the method (``"Grad-CAM"``).
    view : "map", "range", "signed", "magnitude" or "contribution"
        How the raw values are shown, see :data:`gradcam.View`.
    label : str
        What was explained, in words: the class's label, or what another objective is.
    target : Target or None
        The class explained: ``.index``, ``.synset``, ``.label``; None if it was something else.
    score : float
        The class's score, before the softmax; the value of another objective.
    probability : float or None
        The probability of the class after the softmax, 0 to 1, or that of an answer, or of a word
        of a caption; None if the network has none, or if something else was explained.
    layer : str
        The layer whose map was explained, or several with commas; ``"input"`` for methods without
        a layer.
    raw : array of float32
        The evidence, signed and at its own resolution. Views "map" and "range": (h, w), for a class
        activation map the weighted sum before its ReLU. Other views: (C, h, w), for each value of
        the network's input, its channels in the network's order.
    weights : (K,) array of float32, or None
        alpha_k, the weight of each channel of `layer`, of methods that have them.
    picture : (H, W, 3) array of uint8
        The original picture, RGB; a rendering of the input if that was given preprocessed.
    geometry : Geometry
        How the network's input lies on the picture.
    resize : str
        How maps are resized: "half_pixel", "align_corners" or "nearest".
    channel_order : "RGB" or "BGR"
        The order of the network's input channels.
    about : str
        What the network knows, if users should be told: see :class:`gradcam.Network`.
    notes : tuple of str
        What to know about how it was computed, in sentences: at which layers the derivative was
        taken although the method has a rule of its own for rectifiers.
    origin : Origin or None
        The network, the method and the objective. It is not saved, and does not count when
        explanations are compared: None after loading and unpickling.
    """

    method: str
    title: str
    view: View
    label: str
    target: Target | None
    score: float
    probability: float | None
    layer: str
    raw: NDArray[np.float32]
    weights: NDArray[np.float32] | None
    picture: NDArray[np.uint8]
    geometry: Geometry
    resize: Resize = "half_pixel"
    channel_order: str = "RGB"
    about: str = ""
    notes: tuple[str, ...] = ()
    origin: Origin | None = field(default=None, metadata={"saved": False})

    @property
    def evidence(self) -> NDArray[np.float32]:
        """(h, w), at the resolution of :attr:`raw`, 0 or more: what :attr:`map` shows.

        View "map": the ReLU. "range": the values above their minimum. "contribution": the ReLU of
        the sum over the channels. Other views: the largest absolute value over the channels
        (Simonyan et al., 2014).
        """
        found: NDArray[np.float32]
        if self.view == "range":
            found = self.raw - self.raw.min()
        elif self.view in ("map", "contribution"):
            found = np.maximum(self.raw if self.view == "map" else self._sums, 0)
        else:
            found = np.abs(self.raw).max(0)
        return found

    @property
    def _sums(self) -> NDArray[np.float32]:
        """The raw values, summed over the channels, (h, w)."""
        sums: NDArray[np.float32] = self.raw.sum(0, dtype=np.float32)
        return sums

    @property
    def over_picture(self) -> bool:
        """Whether the map is usually drawn over the picture, not by itself."""
        return self.view in OVER_PICTURE

    @cached_property
    def map(self) -> NDArray[np.float32]:
        """The evidence resized to the original picture, (H, W), float32, 0 to 1.

        :attr:`evidence`, resized, then min-max. Pixels that a crop removed are 0 and do not count
        for the minimum and maximum. A flat map is 0 everywhere. Read-only.

        Warns
        -----
        FlatMapWarning
            If the map is flat, or no contribution raises the score.
        """
        on_picture = self.geometry.to_picture(self.evidence, self.resize)
        part = self.geometry.seen_part
        high = float(on_picture.max())
        low = min(
            high, float((on_picture if part is None else on_picture[part]).min(initial=np.inf))
        )
        size = float(np.abs(self.raw).max()) if self.view == "range" else high
        rounding = 4 * float(np.finfo(np.float32).eps) * size
        if not rounding < high - low < np.inf:
            named = f"the {self.method} map of {self.label!r} at {self.layer!r}"
            flat = f"is flat ({low:g} to {high:g}): it says nothing about the picture and"
            none = f"is zero: {_NOTHING_RAISES}; it"
            warnings.warn(
                f"{named} {none if self._only_lowers else flat} stays zero",
                FlatMapWarning,
                stacklevel=3,
            )
            return np.zeros_like(on_picture)
        on_picture -= np.float32(low)
        on_picture /= np.float32(high - low)
        if part is not None:
            np.maximum(on_picture, 0, out=on_picture)  # below 0: what the crop removed
        on_picture.flags.writeable = False
        return on_picture

    @property
    def _only_lowers(self) -> bool:
        """Whether there are contributions, none of them above zero."""
        if self.view != "contribution":
            return False
        sums = self._sums
        return bool(sums.max() <= 0 and sums.min() < 0)

    @property
    def region(self) -> tuple[float, float, float, float] | None:
        """(top, left, bottom, right), in pixels: the part of the picture that the network saw.

        None if it saw all of it.
        """
        return self.geometry.region if self.geometry.cropped else None

    @property
    def image(self) -> NDArray[np.uint8]:
        """How the method is usually shown, (H, W, 3) uint8 RGB, of the original picture's size.

        Views "map" and "range": the overlay. "magnitude": the map in grey. "signed": the signed
        values as colours around mid-grey. "contribution": the sums over the channels, red where
        they are positive, blue where they are negative. The last three are full from the 99.5th
        percentile of their values on: a few pixels far above the rest would leave the picture dark.
        Pixels that a crop removed are shown faded.
        """
        return self.render()

    def render(self, cmap: str | None = None, *, caption: bool = False) -> NDArray[np.uint8]:
        """Return :attr:`image`, with another colour map for the overlay.

        Parameters
        ----------
        cmap : str, optional
            As of :meth:`overlay`. Views that are not drawn over the picture have their own colours.
        caption : bool
            Write :attr:`caption` and the colour scale below it.
        """
        if caption:
            return captions.draw(self._captioned(cmap or "inferno"))
        if self.over_picture:
            return self.overlay() if cmap is None else self.overlay(cmap)
        if self.view == "contribution":
            pixels = self._sign_pixels()
        else:
            pixels = self._signed_pixels() if self._is_signed else self._grey_pixels()
        if self.region is not None:
            colour.fade_outside(pixels, self.picture, self.region)
        return pixels

    @property
    def _is_signed(self) -> bool:
        """Whether :attr:`image` shows signed values as colours."""
        return self.view == "signed" and len(self.raw) == 3

    @property
    def caption(self) -> str:
        """Two lines for people: method, class and probability; layer, values and scale.

        The values are the largest one; those of the view "range" are the smallest and the largest.
        """
        heading, details = self._caption()
        return f"{heading}\n{details}"

    def _caption(self, cmap: str = "inferno") -> tuple[str, str]:
        chance = "" if self.probability is None else "probability "
        heading = f"{self.title}: {self.words}, {chance}{self.certainty}"
        values = f"largest value {self.evidence.max():.3g}"
        if self.view == "range":
            values = f"values from {self.raw.min():.3g} to {self.raw.max():.3g}"
        details = [f"Layer {self.layer}, {values}."]
        if self._only_lowers:
            details.append(f"{_NOTHING_RAISES.capitalize()}. Colours: {_SIGN_SCALE}.")
        elif not self.map.any():
            details.append("The map is flat: it says nothing about the picture.")
        elif self._is_signed:
            details.append(
                f"Grey is 0; colours are full from the {_FULL}th percentile of the absolute values."
            )
        elif self.over_picture:
            details.append(f"Colours: {self._own_scale}; {colour.blend_words(cmap)}.")
        elif self.view == "contribution":
            details.append(f"Colours: {_SIGN_SCALE}.")
        else:
            details.append(f"Grey values: {_GREY_SCALE}.")
        if self.region is not None:
            details.append("The network did not see the faded part.")
        details.extend(self.notes)
        return heading, " ".join(details)

    def _captioned(self, cmap: str = "inferno") -> captions.Captioned:
        """Return the picture with all that is written below it."""
        scale = None if self._is_signed else self._scale(cmap if self.over_picture else None)
        return captions.Captioned(self.render(cmap), *self._caption(cmap), scale)

    def _scale(self, cmap: str | None, alpha: float | None = None) -> figures.Scale:
        """Return what the colours mean; without a colour map, the grey values."""
        if self.over_picture:
            return figures.Scale(colour.scale_bar(cmap or "inferno", alpha), self._own_scale)
        if cmap is None and self.view == "contribution":
            return figures.Scale(
                colour.plain_bar(_SIGN_COLOURS), _SIGN_SCALE, ticks=figures.AROUND_ZERO
            )
        if cmap is None:
            return figures.Scale(colour.plain_bar("gray"), _GREY_SCALE, ticks=figures.CLIPPED)
        return figures.Scale(colour.plain_bar(cmap), _OWN_SCALE)

    @property
    def _own_scale(self) -> str:
        """What 0 and 1 are in colours over the picture."""
        return _RANGE_SCALE if self.view == "range" else _OWN_SCALE

    def _sign_pixels(self) -> NDArray[np.uint8]:
        sums = self.geometry.to_picture(self._sums, self.resize)
        size = np.abs(sums)
        full = np.percentile(size, _FULL) or size.max() or 1.0
        return colour.colour(0.5 + 0.5 * sums / np.float32(full), _SIGN_COLOURS)

    def _grey_pixels(self) -> NDArray[np.uint8]:
        full = np.percentile(self.map, _FULL) or 1.0
        grey = np.round(255 * np.minimum(self.map / full, 1)).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)

    def _signed_pixels(self) -> NDArray[np.uint8]:
        signed = self.raw if self.channel_order == "RGB" else self.raw[::-1]
        size = np.abs(signed)
        full = np.percentile(size, _FULL) or size.max() or 1.0
        pixels = np.empty((*self.geometry.picture, 3), np.uint8)
        for channel, plane in enumerate(signed / np.float32(full)):
            on_picture = self.geometry.to_picture(plane, self.resize).clip(-1, 1)
            pixels[:, :, channel] = np.round(127.5 * (1 + on_picture))
        return pixels

    def overlay(self, cmap: str = "inferno", alpha: float | None = None) -> NDArray[np.uint8]:
        """Return the map in colours over the picture, which is faded outside a crop.

        By default over the grey picture, with an opacity that rises with the map from 0 to 0.8;
        with "jet" and "paper" as in the papers: :func:`gradcam.plot.overlay` has the formulas.

        Parameters
        ----------
        cmap : str
            A colour map of matplotlib, or "paper" for the one of the Grad-CAM paper's code.
        alpha : float, optional
            A constant opacity over the coloured picture, 0 (the picture alone) to 1 (the map
            alone).

        Returns
        -------
        (H, W, 3) array of uint8
            RGB.
        """
        return colour.overlay(self.picture, self.map, cmap, alpha, self.region)

    @overload
    def plot(
        self,
        ax: None = None,
        *,
        cmap: str | None = None,
        alpha: float | None = None,
        title: str | None = None,
        box: bool = False,
        colorbar: bool = False,
    ) -> Figure: ...
    @overload
    def plot(
        self,
        ax: Axes,
        *,
        cmap: str | None = None,
        alpha: float | None = None,
        title: str | None = None,
        box: bool = False,
        colorbar: bool = False,
    ) -> Axes: ...
    def plot(
        self,
        ax: Axes | None = None,
        *,
        cmap: str | None = None,
        alpha: float | None = None,
        title: str | None = None,
        box: bool = False,
        colorbar: bool = False,
    ) -> Figure | Axes:
        """Draw the explanation with matplotlib, the way its method is usually shown.

        If the preparation of the network's input cropped the picture, a dashed line surrounds the
        part that the network saw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a figure of its own by default.
        cmap : str, optional
            Show the map in these colours: over the picture for the views "map" and "range", by
            itself for the others.
        alpha : float, optional
            As of :meth:`overlay`.
        title : str, optional
            By default method, label and probability; ``""`` for none.
        box : bool
            Draw the box around the largest segment above 15 % of the map's maximum.
        colorbar : bool
            Draw the scale beside the picture: the colours of 0 to 1, as they look over dark and
            bright parts of the picture. A picture of signed values around grey has none.

        Returns
        -------
        matplotlib Figure, or the Axes that were given
        """
        pixels, scale = self._drawing(cmap, alpha)
        if title is None:
            title = f"{self.title}: {self.words}, {self.certainty}"
        return figures.draw(
            pixels,
            ax,
            region=self.region,
            title=title,
            box=self.box() if box else None,
            scale=scale if colorbar else None,
        )

    def _drawing(
        self, cmap: str | None, alpha: float | None
    ) -> tuple[NDArray[np.uint8], figures.Scale | None]:
        """Return the pixels that :meth:`plot` draws, and their scale if they have one."""
        if self.over_picture:
            return self.overlay(cmap or "inferno", alpha), self._scale(cmap, alpha)
        if cmap is not None:
            return colour.colour(self.map, cmap), self._scale(cmap)
        return self.image, None if self._is_signed else self._scale(None)

    @property
    def words(self) -> str:
        """The label as people write it: ``tiger cat``."""
        return self.label if self.target is None else str(self.target)

    @property
    def certainty(self) -> str:
        """The probability in percent if there is one, else the score."""
        return f"score {self.score:.1f}" if self.probability is None else percent(self.probability)

    def box(self, threshold: Threshold = 0.15) -> Box | None:
        """Return the box around the largest segment of high values: where the object is.

        The segment consists of pixels with at least `threshold` of the map's maximum, connected by
        their sides (Selvaraju et al., 2017, section 4.1).

        Parameters
        ----------
        threshold : float or "otsu"
            A share, above 0 and up to 1; or Otsu's threshold of the histogram of the pixels that
            the network saw.

        Returns
        -------
        (x0, y0, x1, y1) or None
            In pixels of the original picture; x1 and y1 are the first ones outside. None if the
            map is flat.
        """
        return largest_box(self.map, threshold, self.geometry.seen_part)

    def report(
        self,
        *,
        other: TargetLike = None,
        on: On | None = None,
        steps: SupportsIndex = 50,
        seed: SupportsIndex = 0,
        progress: bool = False,
    ) -> reports.Report:
        """Check whether the map is right: :class:`gradcam.measures.Report`.

        The same method is run on the network with random weights, for other classes and at another
        layer. The map is compared with an edge detector, and pixels of the picture are deleted in
        its order and in random orders. The report has a ``finding``, a sentence, and ``plot()``, a
        figure.

        Parameters
        ----------
        other : TargetLike
            Another class, whose map should differ. By default two classes are tried: the most
            probable other one, and one in the middle of the order of the scores.
        on : "probability" or "score", optional
            What a class stands for while pixels are deleted. By default what was explained.
        steps : int
            Of the deletion.
        seed : int
            Of the random weights and random orders.
        progress : bool
            Show a progress bar on standard error.

        Raises
        ------
        ValueError, TypeError
            If :attr:`origin` is None: explain the picture again. Or an option is out of its range.
        IndexError
            If there is no class of the index `other`.
        """
        return reports.writer()(self, other=other, on=on, steps=steps, seed=seed, progress=progress)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        map: bool = True,
        caption: bool = False,
        cmap: str | None = None,
    ) -> None:
        """Write :attr:`image` as a picture, or the values as .npz: the whole file or nothing.

        The .npz holds all attributes, and ``map``; :meth:`load` reads it. ``target`` is the index,
        -1 if it is not a class; ``probability`` is NaN if there is none; ``geometry`` is (picture
        height, width, input height, width, region).

        Parameters
        ----------
        path : path
            Ends in .png, .jpg, .jpeg, .webp or .npz. An earlier file is replaced.
        map : bool
            Whether an .npz holds the picture and the resized map. Without them the file is small
            and not compressed, and is written in a fraction of the time.
        caption : bool
            Write :attr:`caption` and the colour scale below a picture.
        cmap : str, optional
            Of a picture, as of :meth:`render`.

        Raises
        ------
        ValueError
            If the suffix is another one.
        """
        suffix = Path(path).suffix.lower()
        if suffix == ".npz":
            buffer = io.BytesIO()
            (np.savez_compressed if map else np.savez)(buffer, **self._arrays(map))
            content = buffer.getvalue()
        elif suffix in ENCODERS:
            content = ENCODERS[suffix](self.render(cmap, caption=caption))
        else:
            known = ", ".join((*ENCODERS, ".npz"))
            raise ValueError(f"{os.fspath(path)}: an explanation is saved as one of {known}")
        with atomic_write(path) as file:
            file.write(content)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], picture: NDArray[np.uint8] | None = None
    ) -> Explanation:
        """Read an explanation that :meth:`save` wrote as .npz.

        Parameters
        ----------
        path : path
        picture : (H, W, 3) array of uint8, optional
            The original picture, if the file was saved without it; grey by default.

        Raises
        ------
        ValueError
            If the file is damaged or is not an explanation, or the picture has another size.
        OSError
            If the file cannot be opened.
        """
        from zipfile import BadZipFile  # slow to import

        with open(path, "rb") as file:
            try:
                with np.load(file, allow_pickle=False) as saved:
                    found = _from_arrays({name: saved[name] for name in saved.files}, picture)
            except (ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
                raise ValueError(
                    f"{os.fspath(path)}: not an explanation that was saved as .npz ({error})"
                ) from error
        return found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Explanation):
            return NotImplemented
        pairs = [(getattr(self, name), getattr(other, name)) for name in _saved()]
        return all(
            np.array_equal(a, b) if isinstance(a, np.ndarray) else type(a) is type(b) and a == b
            for a, b in pairs
        )

    __hash__ = None  # type: ignore[assignment]

    def __array__(
        self, dtype: np.typing.DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[np.generic]:
        """Return :attr:`map`, so that NumPy's functions take an explanation."""
        return np.array(self.map, dtype, copy=copy)

    def __getstate__(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in _saved()}

    def __setstate__(self, state: dict[str, object]) -> None:
        for name, value in state.items():
            if name in ("raw", "weights") and isinstance(value, np.ndarray):
                value.flags.writeable = False
            object.__setattr__(self, name, value)

    def _arrays(self, map: bool) -> dict[str, Any]:
        arrays: dict[str, Any] = {} if self.weights is None else {"weights": self.weights}
        if map:
            arrays |= {"map": self.map, "picture": self.picture}
        geometry = self.geometry
        return arrays | {
            "raw": self.raw,
            "geometry": np.array([*geometry.picture, *geometry.input, *geometry.region]),
            "channel_order": self.channel_order,
            "method": self.method,
            "title": self.title,
            "view": self.view,
            "layer": self.layer,
            "label": self.label,
            "target": -1 if self.target is None else self.target.index,
            "synset": "" if self.target is None else self.target.synset,
            "score": self.score,
            "probability": np.nan if self.probability is None else self.probability,
            "resize": self.resize,
            "about": self.about,
            "notes": np.array(self.notes, np.str_),
        }

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the picture, its scale and its caption."""
        return captions.as_html(self._captioned())

    def _repr_png_(self) -> bytes:
        """Return what a console with pictures shows, which cannot show HTML."""
        return colour.png(self.image, captions.MAX_SHOWN)

    def __repr__(self) -> str:
        number = "" if self.target is None else f" ({self.target.index})"
        chance = "" if self.probability is None else f", probability {self.probability:.3f}"
        return (
            f"<Explanation: {self.method} of {self.label!r}{number} at {self.layer}, "
            f"score {self.score:.2f}{chance}{''.join(f'; {note}' for note in self.notes)}>"
        )


def _saved() -> list[str]:
    """Return the attributes that are compared, pickled and saved."""
    return [each.name for each in fields(Explanation) if each.metadata.get("saved", True)]


def check_resize(resize: str) -> None:
    """Raise ValueError unless `resize` is a way to resize."""
    if resize not in get_args(Resize):
        raise ValueError(f"resize: expected one of {', '.join(get_args(Resize))}, got {resize!r}")


def _from_arrays(
    saved: dict[str, NDArray[np.generic]], picture: NDArray[np.uint8] | None
) -> Explanation:
    """Return the explanation that was saved as these arrays."""
    text = {name: str(saved[name]) for name in _TEXTS}
    numbers = [float(value) for value in np.asarray(saved["geometry"], np.float64)]
    height, width, input_height, input_width = (int(number) for number in numbers[:4])
    top, left, bottom, right = numbers[4:]
    if picture is None:
        grey = np.full((height, width, 3), NO_PICTURE, np.uint8)
        picture = np.asarray(saved.get("picture", grey), np.uint8)
    if picture.shape != (height, width, 3):
        raise ValueError(f"the picture has the shape {picture.shape}, not {(height, width, 3)}")
    index = int(np.asarray(saved["target"]))
    probability = float(np.asarray(saved["probability"]))
    found = Explanation.__new__(Explanation)
    found.__setstate__(
        {
            **{name: text[name] for name in _TEXTS if name != "synset"},
            "target": None if index < 0 else Target(index, text["synset"], text["label"]),
            "notes": tuple(str(note) for note in saved["notes"]),
            "score": float(np.asarray(saved["score"])),
            "probability": None if np.isnan(probability) else probability,
            "raw": np.asarray(saved["raw"], np.float32),
            "weights": np.asarray(saved["weights"], np.float32) if "weights" in saved else None,
            "picture": picture,
            "geometry": Geometry(
                (height, width), (input_height, input_width), (top, left, bottom, right)
            ),
        }
    )
    check_resize(found.resize)
    if found.view not in get_args(View):
        raise ValueError(f"unknown view {found.view!r}")
    return found
