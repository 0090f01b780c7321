"""Questions that critics of saliency ask, each answered with numbers and a figure.

- :func:`score_and_probability`: what changes if the probability is explained in place of the score?
- :func:`norm_against_confidence`, :func:`norm_along_ascent`: are gradients small where the network
  is confident?
- :func:`second_order`: is the first derivative enough?
- :func:`cross_saliency`: what does the saliency of one class show on the picture of another?
- :func:`deconvnet_and_backprop`: are they equal, but for the ReLU?

Each function returns a small result with the numbers; ``result.plot()`` draws a figure for a slide,
whose title says what was found.

>>> import gradcam
>>> tape = gradcam.pictograms.model().forward(gradcam.pictograms.example("cat_and_dog"))
>>> found = gradcam.critique.second_order(tape, "cat")
>>> found.score.curvature  # of a ReLU network
0.0
>>> figure = found.plot()
"""

from __future__ import annotations

from gradcam.critique._cross_saliency import CrossSaliency, cross_saliency
from gradcam.critique._layers import LayerDifferences, deconvnet_and_backprop
from gradcam.critique._norms import Norms, norm_against_confidence, norm_along_ascent
from gradcam.critique._score_and_probability import ScoreAndProbability, score_and_probability
from gradcam.critique._second_order import Curve, SecondOrder, second_order

__all__ = [
    "CrossSaliency",
    "Curve",
    "LayerDifferences",
    "Norms",
    "ScoreAndProbability",
    "SecondOrder",
    "cross_saliency",
    "deconvnet_and_backprop",
    "norm_against_confidence",
    "norm_along_ascent",
    "score_and_probability",
    "second_order",
]
