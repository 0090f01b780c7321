"""People of two professions, and a network that learnt a prejudice about their hair.

Section 6.3 of Grad-CAM (Selvaraju et al., 2017): a network that was trained to tell doctors from
nurses looked at faces and hair, because most of the doctors in its pictures were men and most of
the nurses women. Here cooks have a spoon and painters a brush, and nothing else tells them apart;
but in the biased pictures most cooks have short hair, and most painters have long hair.

>>> from gradcam.pictograms import bias
>>> cook = bias.person(3, profession="cook", hair="long")
>>> cook
<Person 3: a cook with long hair>
>>> painter = cook.with_other_tool()  # everything else is the same, pixel by pixel
>>> bool((cook.picture != painter.picture).any(axis=2).mean() < 0.02)
True

:func:`model` returns a network for each kind of training pictures, :func:`figure` shows where they
look, and :func:`measure` tells what decides. ``python -m gradcam.pictograms bias`` prints a table;
``python -m gradcam.pictograms train-bias --out DIR`` trains the networks again.
"""

from __future__ import annotations

from gradcam.pictograms.bias._measured import PARTS, Measured
from gradcam.pictograms.bias._measuring import energies, measure
from gradcam.pictograms.bias._networks import model
from gradcam.pictograms.bias._people import HAIRS, PROFESSIONS, Person, person
from gradcam.pictograms.bias._results import Trained, trained
from gradcam.pictograms.bias._sets import (
    KINDS,
    SHARES,
    USUAL,
    Kind,
    people_for_test,
    training_people,
)
from gradcam.pictograms.bias._story import figure, misjudged

__all__ = [
    "HAIRS",
    "KINDS",
    "PARTS",
    "PROFESSIONS",
    "SHARES",
    "USUAL",
    "Kind",
    "Measured",
    "Person",
    "Trained",
    "energies",
    "figure",
    "measure",
    "misjudged",
    "model",
    "people_for_test",
    "person",
    "trained",
    "training_people",
]
