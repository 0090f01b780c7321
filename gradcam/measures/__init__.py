"""Measures that judge explanations: where a map lies, and whether it says what the network does.

Measures of a place compare a map with a box or a mask of the original picture. Measures of the
network take the tape of one picture, and a map of it or a method. A map is an explanation, or an
array of another program.

>>> import gradcam
>>> from gradcam import measures, pictograms
>>> scene = pictograms.scene(7, classes=["cat", "dog"])
>>> tape = pictograms.model().forward(scene.picture)
>>> cat = tape.grad_cam("cat")
>>> seen = scene.objects[0]  # the cat
>>> measures.pointing(cat, seen.mask, tolerance=0)
True
>>> round(measures.iou(measures.boxes(cat), seen.box), 2)
0.7
>>> round(measures.spearman(cat.map, cat.map), 6)
1.0
"""

from __future__ import annotations

from gradcam._methods.bootstrap import Interval, bootstrap, share
from gradcam._methods.replacements import Replacement
from gradcam._pictures.segments import Box, Threshold
from gradcam._results.report import Check
from gradcam.measures._boxes import boxes
from gradcam.measures._cascade import cascading_randomisation
from gradcam.measures._complexity import complexity, sparseness
from gradcam.measures._confidence import (
    AverageConfidenceChange,
    ConfidenceChange,
    average_confidence_change,
    confidence_change,
)
from gradcam.measures._correlation import pearson, spearman
from gradcam.measures._curve import Curve
from gradcam.measures._curves import deletion, insertion, pixel_flipping
from gradcam.measures._discrimination import Discrimination, discrimination
from gradcam.measures._edges import edges
from gradcam.measures._given import MapLike
from gradcam.measures._grabcut import grabcut_box
from gradcam.measures._infidelity import infidelity
from gradcam.measures._inside import energy_inside, inside_outside
from gradcam.measures._localization import (
    LocalizationError,
    Located,
    Outcome,
    Truth,
    localization_error,
    localization_outcome,
    localization_total,
)
from gradcam.measures._mask_iou import BestMaskIoU, best_mask_iou, mask_iou
from gradcam.measures._noise import noise_robustness
from gradcam.measures._noise_robustness import NoiseRobustness
from gradcam.measures._occlusion import occlusion_correlation
from gradcam.measures._pointing import Pointed, pointed, pointing
from gradcam.measures._random_weights import Draw, randomised
from gradcam.measures._randomisation import Randomisation
from gradcam.measures._regions import Region, iou, region_mask
from gradcam.measures._rejection import Rejection, fit_rejection, pointing_with_rejection
from gradcam.measures._report_result import Report
from gradcam.measures._road import Road, road
from gradcam.measures._seeds import SeedsIoU, seeds, seeds_iou
from gradcam.measures._sensitivity import max_sensitivity
from gradcam.measures._similarity import structural_similarity
from gradcam.measures._stages import Stages
from gradcam.measures._trust import Case, Observer, trust
from gradcam.measures._trust_result import Trust
from gradcam.measures._variants import LayerLike, Perturb

__all__ = [
    "AverageConfidenceChange",
    "BestMaskIoU",
    "Box",
    "Case",
    "Check",
    "ConfidenceChange",
    "Curve",
    "Discrimination",
    "Draw",
    "Interval",
    "LayerLike",
    "LocalizationError",
    "Located",
    "MapLike",
    "NoiseRobustness",
    "Observer",
    "Outcome",
    "Perturb",
    "Pointed",
    "Randomisation",
    "Region",
    "Rejection",
    "Replacement",
    "Report",
    "Road",
    "SeedsIoU",
    "Stages",
    "Threshold",
    "Trust",
    "Truth",
    "average_confidence_change",
    "best_mask_iou",
    "bootstrap",
    "boxes",
    "cascading_randomisation",
    "complexity",
    "confidence_change",
    "deletion",
    "discrimination",
    "edges",
    "energy_inside",
    "fit_rejection",
    "grabcut_box",
    "infidelity",
    "insertion",
    "inside_outside",
    "iou",
    "localization_error",
    "localization_outcome",
    "localization_total",
    "mask_iou",
    "max_sensitivity",
    "noise_robustness",
    "occlusion_correlation",
    "pearson",
    "pixel_flipping",
    "pointed",
    "pointing",
    "pointing_with_rejection",
    "randomised",
    "region_mask",
    "road",
    "seeds",
    "seeds_iou",
    "share",
    "sparseness",
    "spearman",
    "structural_similarity",
    "trust",
]
