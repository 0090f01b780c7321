"""Looking inside a network: filters, activations, patches, units and codes.

Each function returns a result with numbers and a figure: ``.plot()`` draws it.
"""

from __future__ import annotations

from gradcam.inside._activations import Activations, activations
from gradcam.inside._codes import Codes, codes, load_codes
from gradcam.inside._concepts import Concept
from gradcam.inside._dissect import dissect
from gradcam.inside._dissection import Dissection, Unit
from gradcam.inside._filters import Filters, filters
from gradcam.inside._neighbours import Neighbours
from gradcam.inside._patch import Patch
from gradcam.inside._patches import Patches, patches
from gradcam.inside._picture_set import PictureSet
from gradcam.inside._precision import Precision
from gradcam.inside._projection import Projection
from gradcam.inside._sentence import Reason, Sentence

__all__ = [
    "Activations",
    "Codes",
    "Concept",
    "Dissection",
    "Filters",
    "Neighbours",
    "Patch",
    "Patches",
    "PictureSet",
    "Precision",
    "Projection",
    "Reason",
    "Sentence",
    "Unit",
    "activations",
    "codes",
    "dissect",
    "filters",
    "load_codes",
    "patches",
]
