"""Pictures in rows, with words below each, as a JPEG file: the figures of the README."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradcam._pictures import figures

COLUMNS = 4

_SIDE = 2.5
"""The side of a picture in inches."""


def draw_rows(
    shown: Sequence[tuple[NDArray[np.uint8], str]],
    file: Path,
    *,
    text: float,
    bottom: float,
    quality: int,
) -> None:
    """Draw pictures with the words below them, four in a row.

    Parameters
    ----------
    shown : sequence of (uint8 (H, W, 3), str)
        The pictures, from left to right and from top to bottom, and their words.
    file : Path
    text : float
        Inches for the words below each picture.
    bottom : float
        The share of the figure below the last row of pictures, 0 to 1.
    quality : int
        Of the JPEG file, 1 to 95.
    """
    from matplotlib.figure import Figure
    from PIL import Image

    rows = len(shown) // COLUMNS
    with figures.default_settings():
        figure = Figure(figsize=(COLUMNS * _SIDE, rows * (_SIDE + text)))
        for place, (pixels, words) in enumerate(shown, 1):
            ax = figure.add_subplot(rows, COLUMNS, place)
            figures.show(ax, pixels)
            figures.bare(ax)
            ax.set_xlabel(words, fontsize=12)
        figure.subplots_adjust(0.01, bottom, 0.99, 0.99, 0.05, 0.05 + text / _SIDE)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", dpi=100)
    with Image.open(drawn) as image:
        image.convert("RGB").save(file, "JPEG", quality=quality, optimize=True)
