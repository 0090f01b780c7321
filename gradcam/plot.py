"""Pictures and figures: colours of a map, a map over a picture, sheets, and saving them as PNG.

:meth:`gradcam.Explanation.plot` draws one explanation, :func:`gradcam.compare` all methods side by
side.
"""

from __future__ import annotations

from gradcam._pictures.colour import colour, overlay
from gradcam._pictures.figures import save
from gradcam._results.sheets import sheet

__all__ = ["colour", "overlay", "save", "sheet"]
