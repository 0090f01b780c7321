"""Looking inside a network: filters, activations, patches, units and codes.

Each function returns a result with numbers and a figure: ``.plot()`` draws it.
"""

from __future__ import annotations

from gradcam.inside._activations import Activations, activations
from gradcam.inside._filters import Filters, filters

__all__ = ["Activations", "Filters", "activations", "filters"]
