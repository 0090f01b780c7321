"""Measures that judge explanations: where a map lies, and whether it says what the network does.

Measures of a place compare a map with a box or a mask of the original picture. Measures of the
network take the tape of one picture and a map of it. A map is an explanation, or an array of
another program.

>>> import gradcam
>>> from gradcam import measures, pictograms
>>> scene = pictograms.scene(7, classes=["cat", "dog"])
>>> tape = pictograms.model().forward(scene.picture)
>>> cat = tape.grad_cam("cat")
>>> round(measures.spearman(cat.map, cat.map), 6)
1.0
"""

from __future__ import annotations

from gradcam.measures._bootstrap import Interval, bootstrap
from gradcam.measures._correlation import pearson, spearman
from gradcam.measures._given import MapLike

__all__ = [
    "Interval",
    "MapLike",
    "bootstrap",
    "pearson",
    "spearman",
]
