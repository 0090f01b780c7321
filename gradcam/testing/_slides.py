"""The pictures of failures: a sentence, and two pictures side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcam._pictures import colour, figures
from gradcam._results.explanation import Explanation, no_flat_warnings
from gradcam.critique import _slide
from gradcam.measures import MapLike, Region

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEFT, _WIDTH, _HEIGHT, _GAP = 0.45, 6.1, 4.55, 0.23
"""Of the two pictures, in inches."""


@dataclass(frozen=True)
class Panel:
    """A picture of a failure.

    Attributes
    ----------
    pixels : (H, W, 3) array of uint8
    heading : str
        The line above it.
    bar : (h, N, 3) array of uint8, or None
        The colours of 0 to 1; None if it is no map in colours.
    region : Region or None
        Surrounded by a line.
    maximum : (x, y) or None
        Marked by a cross.
    """

    pixels: NDArray[np.uint8]
    heading: str
    bar: NDArray[np.uint8] | None = None
    region: Region | None = None
    maximum: tuple[int, int] | None = None


def slide(sentence: str, *panels: Panel) -> Figure:
    """Return a slide with one or two pictures below a sentence."""
    sizes = [each.pixels.shape for each in panels]
    heights = [figures.fit(size[1], size[0], _WIDTH, _HEIGHT)[1] for size in sizes]
    bar = panels[-1].bar
    below = 0.3 if bar is None else 0.95
    with figures.default_settings():
        figure = _slide.new(sentence[:1].upper() + sentence[1:], below + max(heights) + 1.95)
        left = _LEFT if len(panels) == 2 else (_slide.WIDTH - _WIDTH) / 2
        for panel in panels:
            ax = _slide.picture(figure, (left, below, _WIDTH, max(heights)), panel.pixels)
            _slide.heading(ax, panel.heading, size=_slide.SMALL)
            _mark(ax, panel)
            left += _WIDTH + _GAP
        if bar is not None:
            scale = figures.Scale(bar, "0 is the map's minimum, 1 its maximum")
            figures.draw_scale(_slide.axes(figure, 3.7, 0.62, 6, 0.16), scale)
        return figure


def picture_and_map(
    map: MapLike, region: Region | None = None, maximum: tuple[int, int] | None = None
) -> list[Panel]:
    """Return the picture, if it is known, and the map."""
    panel = replace(map_panel(map), region=region, maximum=maximum)
    if maximum is not None:
        panel = replace(panel, heading=f"{panel.heading} (cross: the maximum)")
    if not isinstance(map, Explanation):
        return [panel]
    return [Panel(map.picture, "the picture", region=region), panel]


def map_panel(map: MapLike, heading: str = "the map") -> Panel:
    """Return a map as its method is usually shown; one of another program in colours."""
    if isinstance(map, Explanation):
        with no_flat_warnings():
            bar = colour.scale_bar("inferno") if map.over_picture else None
            return Panel(map.image, heading_of(map), bar)
    values = np.asarray(map, np.float64)
    low, high = values.min(), values.max()
    scaled = (values - low) / (high - low) if high > low else np.zeros(values.shape)
    return Panel(colour.colour(scaled), heading, colour.plain_bar("inferno"))


def heading_of(explanation: Explanation) -> str:
    """Return what is written above a map: method, what is explained, and how probable it is."""
    return f"{explanation.title}: {explanation.words}, {explanation.certainty}"


def _mark(ax: Axes, panel: Panel) -> None:
    """Draw the region and the maximum, in white on black."""
    ax.autoscale(False)
    if panel.region is not None:
        _draw(ax, panel.region)
    if panel.maximum is not None:
        for edge, size, line in (("black", 19, 5.5), ("white", 17, 2.5)):
            ax.plot(*panel.maximum, "x", color=edge, ms=size, mew=line, clip_on=False)


def _draw(ax: Axes, region: Region) -> None:
    if isinstance(region, np.ndarray) and region.dtype == bool:
        # Large masks: every few pixels. A border outside closes the line at the picture's edges.
        step = -(-max(region.shape) // figures.MAX_DRAWN)
        inside = np.pad(region[::step, ::step].astype(float), 1)
        x, y = (step * np.arange(-1, length - 1) for length in inside.shape[::-1])
        for edge, line in (("black", 4.5), ("white", 2)):
            ax.contour(x, y, inside, [0.5], colors=edge, linewidths=line)
        return
    for box in np.asarray(region, np.float64).reshape(-1, 4):
        figures.draw_box(ax, (box[0], box[1], box[2], box[3]), 2)
