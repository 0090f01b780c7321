"""Figures: pictures, boxes and colour bars drawn with matplotlib.

Figures are built from `matplotlib.figure.Figure` alone, never through pyplot: they need no
display, leave no global state behind, and show themselves in a notebook. They are created and
drawn with matplotlib's default settings, so that a user's rcParams cannot turn or hide anything.
matplotlib is imported by the first figure, not with this module.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from gradcam._files import atomic_write
from gradcam._pictures.colour import COMPRESSION
from gradcam._pictures.fonts import drawable
from gradcam._text import wrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase
    from matplotlib.figure import Figure
    from matplotlib.typing import ColorType

MAX_DRAWN = 1600
"""The longer side of the largest picture in a figure, in pixels."""


_USERS_CHOICE = (
    *("savefig.dpi", "savefig.format", "pdf.fonttype", "ps.fonttype", "svg.fonttype"),
    "svg.hashsalt",
)
"""Settings of the user's that are kept: they concern files, not what a figure shows."""


@dataclass(frozen=True)
class Scale:
    """A colour bar and what it means.

    Attributes
    ----------
    bar : (h, N, 3) array of uint8
        The colours of 0 to 1, from left to right.
    label : str
        What 0 and 1 are.
    ticks : tuple of three str
        What the two ends of the bar and its middle stand for.
    """

    bar: NDArray[np.uint8]
    label: str
    ticks: tuple[str, str, str] = ("0", "0.5", "1")


CLIPPED = ("0", "0.5", "≥ 1")
"""Ticks if values above 1 have the colour of 1."""

AROUND_ZERO = ("≤ -1", "0", "≥ 1")
"""Ticks of signed values."""


@contextmanager
def default_settings() -> Iterator[None]:
    """Use matplotlib's default rcParams inside the block, whatever the user's are."""
    import matplotlib

    with matplotlib.rc_context():
        settings = cast("MutableMapping[str, Any]", matplotlib.rcParams)
        kept = {name: settings[name] for name in _USERS_CHOICE}
        matplotlib.rcdefaults()
        settings.update(kept)
        yield


def draw(
    pixels: NDArray[np.uint8],
    ax: Axes | None,
    *,
    region: tuple[float, float, float, float] | None,
    title: str,
    box: tuple[float, float, float, float] | None,
    scale: Scale | None,
) -> Figure | Axes:
    """Draw one picture, on `ax` or in a figure of its own.

    Parameters
    ----------
    pixels : (H, W, 3) array of uint8
    ax : matplotlib Axes or None
    region : (top, left, bottom, right) or None
        Surrounded by a dashed line.
    title : str
        Empty for none.
    box : (x0, y0, x1, y1) or None
    scale : Scale or None
        The colour bar; None for no bar.

    Returns
    -------
    `ax` if it was given, else the new Figure.
    """
    with default_settings():
        figure: Figure | None = None
        if ax is None:
            figure, ax, title = _one_picture(pixels.shape[:2], title, scale)
        show(ax, pixels)
        bare(ax)
        if region is not None:
            draw_region(ax, region, 1.5)
        if title:
            text, style = text_style(title, () if figure else ax.title.get_fontfamily())
            ax.set_title(text, fontsize=13, **style)
        if box is not None:
            draw_box(ax, box, 2.0)
        if scale is not None:
            colour = "black" if figure else ax.title.get_color()
            bar = ax.inset_axes((1.03, 0, 0.05, 1))
            draw_scale(bar, scale, upright=True, colour=colour)
        return ax if figure is None else figure


def _one_picture(
    shape: tuple[int, ...], title: str, scale: Scale | None
) -> tuple[Figure, Axes, str]:
    """Return a figure for one picture, its axes, and the title in lines that fit."""
    height, width = shape
    w, h = fit(width, height, 6.4, 6.0)
    whole = max(w, 3.2)
    lines = wrap(title, int(whole / 0.12)) if title else []
    right = 0.1 if scale is None else 1.2
    across, up = 0.1 + whole + right, 0.2 + h + 0.24 * len(lines)
    figure = figure_class()(figsize=(across, up), dpi=100)
    place = ((0.1 + (whole - w) / 2) / across, 0.1 / up, w / across, h / up)
    return figure, figure.add_axes(place), "\n".join(lines)


def text_style(text: str, families: Sequence[str] = ()) -> tuple[str, dict[str, Any]]:
    """Return a text as it can be drawn, and the arguments of matplotlib's that draw it as it is.

    Parameters
    ----------
    text
        Neither TeX nor mathematics: a label may contain any character.
    families
        Fonts to be preferred to those of `fonts.drawable`.
    """
    text, found = drawable(text)
    if families and text.isascii():
        found = []
    style = {"fontfamily": [*families, *found], "usetex": False, "parse_math": False}
    return text, style


def text_width(text: str, size: float, weight: str = "bold") -> float:
    """Return the width of a line as it is drawn, in inches; `size` is in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    text, families = drawable(text)
    font = FontProperties(family=families, size=size, weight=weight)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, False)
    return float(width) / 72


def save(picture: NDArray[np.uint8] | Figure, path: str | os.PathLike[str], dpi: int = 120) -> None:
    """Write a picture or a figure as PNG: the whole file or nothing.

    Parameters
    ----------
    picture
        (H, W, 3) or (H, W) uint8, or a matplotlib Figure.
    path
        An earlier file is replaced.
    dpi
        Pixels per inch of a figure; a picture keeps its own.

    Raises
    ------
    TypeError, ValueError
        If `picture` is something else, or an array of another dtype or shape.
    """
    if isinstance(picture, np.ndarray):
        shape = picture.shape
        if picture.dtype != np.uint8 or len(shape) not in (2, 3) or shape[2:] not in ((), (3,)):
            raise ValueError(
                f"a picture is (H, W, 3) uint8, values 0 to 255, not {shape} {picture.dtype}; "
                f"overlay and colour return one for a map"
            )
    elif not hasattr(picture, "savefig"):
        raise TypeError(
            f"save takes a picture, (H, W, 3) uint8, or a figure, not {type(picture).__name__}"
        )
    with atomic_write(path) as file:
        if isinstance(picture, np.ndarray):
            from PIL import Image

            Image.fromarray(picture).save(file, format="PNG", compress_level=COMPRESSION)
        else:
            options = {"compress_level": COMPRESSION}
            picture.savefig(file, format="png", dpi=dpi, pil_kwargs=options)


def draw_box(
    ax: Axes,
    box: tuple[float, float, float, float],
    width: float,
    linestyle: str | tuple[int, tuple[int, ...]] = "-",
) -> None:
    """Draw a box (x0, y0, x1, y1) in white on black, to be seen on any picture."""
    from matplotlib.patches import Rectangle

    x0, y0, x1, y1 = box
    for edge, line, dashes in (("black", 2 * width, "-"), ("white", width, linestyle)):
        ax.add_patch(
            Rectangle(
                (x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, ec=edge, lw=line, ls=dashes
            )
        )


def draw_region(ax: Axes, region: tuple[float, float, float, float], width: float) -> None:
    """Draw a dashed line around what the network saw."""
    top, left, bottom, right = region
    draw_box(ax, (left, top, right, bottom), width, (0, (6, 4)))


def draw_scale(
    ax: Axes,
    scale: Scale,
    *,
    upright: bool = False,
    size: float = 11,
    colour: ColorType = "black",
) -> None:
    """Fill `ax` with a colour bar and write its label beside or below it."""
    bar = scale.bar.transpose(1, 0, 2)[::-1] if upright else scale.bar
    image = ax.imshow(bar, extent=(0, 1, 0, 1), origin="upper", interpolation="nearest")
    image.axes.set_aspect("auto")
    axis, other = (ax.yaxis, ax.xaxis) if upright else (ax.xaxis, ax.yaxis)
    label, style = text_style(scale.label)
    axis.set_ticks([0, 0.5, 1], scale.ticks)
    axis.set_tick_params(labelsize=size, colors=colour, labelfontfamily=style["fontfamily"])
    axis.set_label_text(label, fontsize=size, color=colour, **style)
    other.set_ticks([])
    if upright:
        ax.yaxis.tick_right()
        ax.yaxis.set_label_position("right")
    for spine in ax.spines.values():
        spine.set_visible(False)


def drawn_size(height: int, width: int) -> tuple[int, int]:
    """Return the height and width in which a figure draws a picture: no more than can be seen."""
    zoom = min(1.0, MAX_DRAWN / max(height, width))
    return max(1, round(height * zoom)), max(1, round(width * zoom))


def show(ax: Axes, pixels: NDArray[np.uint8], size: tuple[int, int] | None = None) -> None:
    """Show pixels in a picture's coordinates: those of `size`, a height and a width."""
    height, width = size or pixels.shape[:2]
    drawn = drawn_size(*pixels.shape[:2])
    if drawn != pixels.shape[:2]:
        from PIL import Image

        small = Image.fromarray(pixels).resize(drawn[::-1], Image.Resampling.BOX)
        pixels = np.asarray(small)
    ax.imshow(
        pixels,
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        origin="upper",
        aspect="equal",
        interpolation="antialiased",
    )


def bare(ax: Axes) -> None:
    """Remove ticks and frame."""
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks([])
        axis.set_ticks([], minor=True)
    for spine in ax.spines.values():
        spine.set_visible(False)


def fit(width: float, height: float, max_w: float, max_h: float) -> tuple[float, float]:
    """Scale (width, height) to the largest size inside (max_w, max_h)."""
    zoom = min(max_w / width, max_h / height)
    return width * zoom, height * zoom


@cache
def figure_class() -> type[Figure]:
    """Return a Figure that shows itself as PNG in a notebook, without pyplot.

    It is drawn and saved with matplotlib's default settings, except for `_USERS_CHOICE`.
    """
    from matplotlib.figure import Figure

    class NotebookFigure(Figure):
        def draw(self, renderer: RendererBase) -> None:
            with default_settings():
                super().draw(renderer)

        def savefig(self, *arguments: Any, **options: Any) -> None:
            with default_settings():
                super().savefig(*arguments, **options)

        def _repr_png_(self) -> bytes:
            file = io.BytesIO()
            self.savefig(file, format="png", dpi=self.dpi)
            return file.getvalue()

    return NotebookFigure
