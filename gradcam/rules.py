"""Backward rules: what each kind of layer passes back.

>>> import gradcam
>>> rule = gradcam.rules.Rule("positive", {"relu": lambda layer, g: [g * (g > 0)]})
>>> tape = gradcam.pictograms.model().forward(gradcam.pictograms.example("cat_and_dog"))
>>> tape.gradient("cat", rule=rule).shape  # the deconvnet, written in Python
(1, 3, 224, 224)
"""

from __future__ import annotations

from gradcam._results.rules import (
    DECONVNET,
    GRADIENT,
    GUIDED,
    RECTIFIERS,
    RULES,
    Rule,
    RuleLike,
    SingleLayer,
    Step,
)

__all__ = [
    "DECONVNET",
    "GRADIENT",
    "GUIDED",
    "RECTIFIERS",
    "RULES",
    "Rule",
    "RuleLike",
    "SingleLayer",
    "Step",
]
