"""Pictures with a caption: below the pixels, as HTML, and several as a sheet.

A caption is a text of two lines, a heading and details.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcam._pictures import colour, figures
from gradcam._text import wrap

MIN_SHOWN, MAX_SHOWN = 400, 640
"""The longer side of a picture in a notebook, in pixels."""

_SHEET_SIDE = 300
"""The longer side of a picture in a sheet, in pixels."""

_MIN_WIDTH = 300
"""The minimum width of a caption, in pixels."""

_FONT = 14
"""The size of a caption's characters, in pixels; larger below pictures wider than 640."""

_GAP = 8
"""Space around texts and bars, in pixels."""


@dataclass(frozen=True)
class Captioned:
    """A picture and its caption.

    Attributes
    ----------
    pixels : (H, W, 3) array of uint8
    heading, details : str
        The caption; the details say what the colours mean.
    scale : figures.Scale or None
        A colour bar, if the picture has one.
    """

    pixels: NDArray[np.uint8]
    heading: str
    details: str
    scale: figures.Scale | None


def draw(picture: Captioned) -> NDArray[np.uint8]:
    """Return a picture with its scale and caption below it, on white."""
    height, width = picture.pixels.shape[:2]
    wide = max(width, _MIN_WIDTH)
    left = (wide - width) // 2
    framed = np.full((height, wide, 3), 255, np.uint8)
    framed[:, left : left + width] = picture.pixels
    return np.vstack([framed, _text(picture, wide)])


def _text(picture: Captioned, width: int) -> NDArray[np.uint8]:
    """Return the caption and the colour bar as pixels of this width."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    size = _FONT * max(1.0, width / MAX_SHOWN)
    gap = round(_GAP * size / _FONT)
    room = width - 2 * gap
    lines = [(line, "bold") for line in wrap(picture.heading, int(room / (0.66 * size)))]
    lines += [(line, "normal") for line in wrap(picture.details, int(room / (0.58 * size)))]
    bar = 0 if picture.scale is None else round(3 * size)
    height = round(2 * gap + bar + 1.35 * size * len(lines))
    with figures.default_settings():
        figure = figures.figure_class()(figsize=(width / 100, height / 100), dpi=100)
        if picture.scale is not None:
            # Room for the numbers at the ends, which are centred on them.
            left, right = (size * (0.4 * len(text) - 0.2) for text in picture.scale.ticks[::2])
            across = (gap + left) / width, (room - left - right) / width
            place = (across[0], 1 - (gap + size) / height, across[1], size / height)
            unnamed = replace(picture.scale, label="")  # the caption says what it means
            figures.draw_scale(figure.add_axes(place), unnamed, size=0.72 * size)
        for number, (line, weight) in enumerate(lines):
            text, style = figures.text_style(line)
            y = 1 - (gap + bar + 1.35 * size * number) / height
            style |= {"fontweight": weight, "fontsize": 0.72 * size, "va": "top"}
            drawn = figure.text(gap / width, y, text, **style)
            drawn.set_fontsize(0.72 * size * min(1, room / drawn.get_window_extent().width))
        canvas: Any = FigureCanvasAgg(figure)
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3]


def sheet(rows: Sequence[Sequence[Captioned]]) -> NDArray[np.uint8]:
    """Return pictures with captions, made smaller, as one picture: row by row, on white."""
    cells = [[draw(_smaller(picture, _SHEET_SIDE)) for picture in row] for row in rows]
    width = max(cell.shape[1] for row in cells for cell in row)
    count = max(map(len, cells))
    bands = []
    for row in cells:
        height = max(cell.shape[0] for cell in row)
        band = np.full((height, count * (width + _GAP), 3), 255, np.uint8)
        for number, cell in enumerate(row):
            left = number * (width + _GAP)
            band[: cell.shape[0], left : left + cell.shape[1]] = cell
        bands.append(band)
    return np.vstack(bands)


def as_html(picture: Captioned) -> str:
    """Return a picture with its scale and caption, as HTML of a readable size."""
    longer = max(picture.pixels.shape[:2])
    return _figure(picture, min(max(longer, MIN_SHOWN), MAX_SHOWN))


def sheet_html(rows: Sequence[Sequence[Captioned]], more: int) -> str:
    """Return pictures with captions as HTML: those of a row side by side.

    Parameters
    ----------
    rows
    more
        The number of further pictures, which are not shown.
    """
    style = "display: flex; flex-wrap: wrap; gap: 16px; margin-bottom: 16px"
    parts = [
        f'<div style="{style}">{"".join(_figure(each, _SHEET_SIDE) for each in row)}</div>'
        for row in rows
    ]
    if more:
        parts.append(f"<p>{more} more are not shown here.</p>")
    return "\n".join(parts)


def _figure(picture: Captioned, longer: int) -> str:
    """Return a ``figure`` element whose picture has this longer side, in CSS pixels."""
    height, width = picture.pixels.shape[:2]
    wide = max(1, round(width * longer / max(height, width)))
    source = colour.png(picture.pixels, 2 * longer if longer < MIN_SHOWN else MAX_SHOWN)
    image = _image(source, picture.heading, f"width: {wide}px; max-width: 100%")
    heading, details = _escaped(picture.heading), _escaped(picture.details)
    return (
        f'<figure style="margin: 0; width: {max(wide, _MIN_WIDTH)}px; max-width: 100%">{image}'
        f"{'' if picture.scale is None else _bar(picture.scale)}"
        '<figcaption style="font-size: 14px; line-height: 1.4; margin-top: 4px">'
        f"<strong>{heading}</strong><br>{details}</figcaption></figure>"
    )


def _bar(scale: figures.Scale) -> str:
    """Return a colour bar with its ends named."""
    thin = np.ascontiguousarray(scale.bar[:: max(1, len(scale.bar) // 8)])
    image = _image(colour.png(thin), "colour scale", "flex: 1; min-width: 0; height: 12px")
    low, _, high = map(_escaped, scale.ticks)
    return (
        '<div style="display: flex; align-items: center; gap: 6px; font-size: 13px; '
        f'margin-top: 4px"><span>{low}</span>{image}<span>{high}</span></div>'
    )


def _escaped(text: str) -> str:
    from html import escape  # slow to import

    return escape(text)


def _image(source: bytes, text: str, style: str) -> str:
    data = base64.b64encode(source).decode()
    return (
        f'<img src="data:image/png;base64,{data}" alt="{_escaped(text)}" '
        f'style="display: block; {style}">'
    )


def _smaller(picture: Captioned, side: int) -> Captioned:
    from PIL import Image

    image = Image.fromarray(picture.pixels)
    image.thumbnail((side, side))
    return replace(picture, pixels=np.asarray(image))
