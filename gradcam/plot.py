"""Pictures and figures: colours of a map, a map over a picture, and saving either as PNG.

:meth:`gradcam.Explanation.plot` draws one explanation, :func:`gradcam.compare` all methods side by
side.
"""

from __future__ import annotations

from gradcam._pictures.colour import colour, overlay
from gradcam._pictures.figures import save

__all__ = ["colour", "overlay", "save"]
