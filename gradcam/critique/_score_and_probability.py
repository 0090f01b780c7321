"""What changes if the probability is explained in place of the score?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gradcam._engine.tape import Tape
from gradcam._pictures import figures
from gradcam._results.explanation import Explanation, no_flat_warnings
from gradcam._results.objectives import Class, Probability
from gradcam.critique import _slide
from gradcam.critique._confidence import cosine, factor, log_odds, norm
from gradcam.critique._target import class_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gradcam.critique._target import ClassLike


@dataclass(frozen=True, eq=False)
class ScoreAndProbability:
    """The saliency of a class's score beside that of its probability.

    Attributes
    ----------
    score, probability : Explanation
        Saliency of either. If the network is very confident, that of the probability is zero,
        because float32 rounds the probability to 1.
    score_norm : float
        The length of the score's gradient, per unit of the network's input.
    probability_norm : float
        The length of the probability's gradient: `factor` times that of the log-odds, which is
        exact at any confidence.
    factor : float
        p (1 - p), 0 to 0.25.
    cosine : float
        Between the two gradients, -1 to 1: by how much the competing classes change the direction.
    """

    score: Explanation
    probability: Explanation
    score_norm: float
    probability_norm: float
    factor: float
    cosine: float

    @property
    def finding(self) -> str:
        """What was found, in a sentence."""
        ratio = self.probability_norm / self.score_norm if self.score_norm else 0.0
        sign = "" if self.score.certainty.startswith(("<", ">")) else "= "
        return (
            f"{self.score.words}, p {sign}{self.score.certainty}: the gradient of the probability "
            f"is {_slide.times(ratio)} times as long as that of the score; "
            f"p(1 − p) = {_slide.number(self.factor)}"
        )

    def plot(self) -> Figure:
        """Draw the picture and both saliency maps, each on its own scale, for a slide."""
        with figures.default_settings(), no_flat_warnings():
            figure = _slide.new(self.finding)
            ax = _slide.picture(figure, (0.4, 1.0, 4.0, 4.6), self.score.picture)
            _slide.heading(ax, "Picture")
            _slide.below(ax, f"cosine between the\ntwo gradients: {self.cosine:.2f}", _slide.LARGE)
            shown = (
                (self.score, self.score_norm, "score", _slide.BLUE),
                (self.probability, self.probability_norm, "probability", _slide.RED),
            )
            for number, (found, length, what, colour) in enumerate(shown, start=1):
                place = (0.4 + 4.27 * number, 1.0, 4.0, 4.6)
                ax = _slide.picture(figure, place, found.image)
                _slide.heading(ax, f"Saliency of the {what}", colour)
                flat = "" if found.map.any() else "; zero in float32"
                words = f"length of the gradient\n{_slide.number(length)}{flat}"
                _slide.below(ax, words, _slide.LARGE)
            return figure


def score_and_probability(tape: Tape, target: ClassLike = None) -> ScoreAndProbability:
    """Compare the saliency of a class's score with that of its probability.

    The gradient of the probability is ``p (1 - p)`` times that of the log-odds: it vanishes where
    the network is confident, and it contains the competing classes.

    Parameters
    ----------
    tape : Tape
        Of one picture.
    target : int, str, Target or None
        A class; None is the most probable one.

    Raises
    ------
    ValueError
        If the network has no probabilities, or the class is unknown.
    """
    index = class_of(tape, target)
    odds = log_odds(tape, index)
    gradients = tape.gradient([Class(index), odds])
    share = float(factor(np.float64(odds.value(tape, 0))))
    return ScoreAndProbability(
        score=tape.explain("saliency", Class(index)),
        probability=tape.explain("saliency", Probability(index)),
        score_norm=norm(gradients[0]),
        probability_norm=share * norm(gradients[1]),
        factor=share,
        cosine=cosine(gradients[0], gradients[1]),
    )
