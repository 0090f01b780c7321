"""Assertions about explanations, for pytest, unittest and scripts.

A failure says in a sentence, with numbers, what is wrong, and saves a picture that shows it in the
folder ``gradcam-failures``. With pytest, a plugin lists these pictures at the end of a session; its
options are ``--gradcam-pictures DIR`` and ``--gradcam-update``. Elsewhere the environment variables
``GRADCAM_PICTURES`` and ``GRADCAM_UPDATE`` say the same.

>>> from gradcam import pictograms, testing
>>> scene = pictograms.scene(7, classes=["cat", "dog"])
>>> cat = pictograms.model().forward(scene.picture).grad_cam("cat")
>>> testing.assert_points_at(cat, scene.objects[0].box)
>>> testing.assert_energy_inside(cat, scene.objects[0].mask, at_least=0.4)
"""

from __future__ import annotations

from gradcam.testing._agreement import assert_maps_agree
from gradcam.testing._place import assert_energy_inside, assert_points_at
from gradcam.testing._stored import assert_matches_stored
from gradcam.testing._weights import assert_depends_on_weights, assert_survives_randomisation

__all__ = [
    "assert_depends_on_weights",
    "assert_energy_inside",
    "assert_maps_agree",
    "assert_matches_stored",
    "assert_points_at",
    "assert_survives_randomisation",
]
