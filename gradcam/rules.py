"""Backward rules: what each kind of layer passes back.

>>> import gradcam
>>> tape = gradcam.pictograms.model().forward(gradcam.pictograms.example("cat_and_dog"))
>>> tape.gradient("cat", rule="guided").shape
(1, 3, 224, 224)

Rules of relevance, alone or in a composite of a rule for each layer:

>>> from gradcam.rules import Composite, Epsilon, Flat, Gamma
>>> composite = Composite(Epsilon(), ops={"conv": Gamma(0.1)}, first=Flat())
>>> tape.lrp("cat", rule=composite).raw.shape
(3, 224, 224)

Rules that are written in Python:

>>> rule = gradcam.rules.Rule("positive", {"relu": lambda layer, g: [g * (g > 0)]})
>>> tape.gradient("cat", rule=rule).shape  # the deconvnet
(1, 3, 224, 224)
"""

from __future__ import annotations

from gradcam._results.relevance import (
    RELEVANCE,
    AlphaBeta,
    Composite,
    Epsilon,
    EpsilonAlpha2Beta1,
    EpsilonAlpha2Beta1Flat,
    EpsilonGammaBox,
    EpsilonPlus,
    EpsilonPlusFlat,
    Excitation,
    Flat,
    Gamma,
    LayerRule,
    ZBox,
    ZPlus,
)
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
    "RELEVANCE",
    "RULES",
    "AlphaBeta",
    "Composite",
    "Epsilon",
    "EpsilonAlpha2Beta1",
    "EpsilonAlpha2Beta1Flat",
    "EpsilonGammaBox",
    "EpsilonPlus",
    "EpsilonPlusFlat",
    "Excitation",
    "Flat",
    "Gamma",
    "LayerRule",
    "Rule",
    "RuleLike",
    "SingleLayer",
    "Step",
    "ZBox",
    "ZPlus",
]
