"""Figures: pictures, boxes and colour bars drawn with matplotlib.

Figures are built from `matplotlib.figure.Figure` alone, never through pyplot: they need no
display, leave no global state behind, and show themselves in a notebook. matplotlib is imported by
the first figure, not with this module.
"""

from __future__ import annotations

import io
import os
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from gradcam._files import atomic_write
from gradcam._pictures.colour import COMPRESSION, colour_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_DRAWN = 1600
"""The longer side of the largest picture in a figure, in pixels."""


def draw(
    pixels: NDArray[np.uint8],
    ax: Axes | None,
    *,
    region: tuple[float, float, float, float] | None,
    title: str,
    box: tuple[float, float, float, float] | None,
    scale: str | None,
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
    scale : str or None
        The colour map of the colour bar; None for no bar.

    Returns
    -------
    `ax` if it was given, else the new Figure.
    """
    figure: Figure | None = None
    if ax is None:
        height, width = pixels.shape[:2]
        w, h = fit(width, height, 6.4, 6.0)
        size = (max(w, 3.2) + (0 if scale is None else 1.0), h + 0.5)
        figure = figure_class()(figsize=size, dpi=100, layout="constrained")
        ax = figure.add_subplot()
    show(ax, pixels)
    bare(ax)
    if region is not None:
        draw_region(ax, region, 1.5)
    if title:
        ax.set_title(title, fontsize=13)
    if box is not None:
        draw_box(ax, box, 2.0)
    if scale is not None:
        draw_scale(ax.inset_axes((1.03, 0, 0.04, 1)), scale, "share of the map's maximum")
    return ax if figure is None else figure


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


def draw_scale(ax: Axes, cmap: str, label: str, horizontal: bool = False) -> None:
    """Fill `ax` with the colour bar of 0 to 1."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    mappable = ScalarMappable(Normalize(0, 1), colour_map(cmap))
    direction: Literal["horizontal", "vertical"] = "horizontal" if horizontal else "vertical"
    figure = ax.get_figure(root=True)
    assert figure is not None
    bar = figure.colorbar(mappable, cax=ax, ticks=(0, 0.5, 1), orientation=direction)
    bar.set_label(label, fontsize=12)
    ax.tick_params(labelsize=12)
    bar.outline.set_visible(False)


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
    ax.imshow(pixels, extent=(-0.5, width - 0.5, height - 0.5, -0.5))


def bare(ax: Axes) -> None:
    """Remove ticks and frame."""
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)


def fit(width: float, height: float, max_w: float, max_h: float) -> tuple[float, float]:
    """Scale (width, height) to the largest size inside (max_w, max_h)."""
    zoom = min(max_w / width, max_h / height)
    return width * zoom, height * zoom


@cache
def figure_class() -> type[Figure]:
    """Return a Figure that shows itself as PNG in a notebook, without pyplot."""
    from matplotlib.figure import Figure

    class NotebookFigure(Figure):
        def _repr_png_(self) -> bytes:
            file = io.BytesIO()
            self.savefig(file, format="png")
            return file.getvalue()

    return NotebookFigure
