"""What the network says if it sees only what a map shows (Chattopadhay et al., 2018)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from gradcam._engine.tape import Tape
from gradcam._methods.passes import layers_read
from gradcam._methods.replacements import Replacement
from gradcam._results.objectives import On, TargetLike
from gradcam._text import brief
from gradcam.measures._given import MapLike, check_tape, map_at_input, objectives_of
from gradcam.measures._order import replacement, warn_if_flat


@dataclass(frozen=True)
class ConfidenceChange:
    """The confidence in the picture, and in the picture times the map.

    Attributes
    ----------
    before : float
        The probability or the score of the picture.
    after : float
        That of the picture times the map; NaN if the map is flat.
    """

    before: float
    after: float

    @property
    def drop(self) -> float:
        """The loss as a share of `before`, 0 or more; NaN if that is not above 0."""
        return self.loss / self.before if self.before > 0 else float("nan")

    @property
    def loss(self) -> float:
        """How much lower `after` is than `before`, 0 or more; NaN if the map is flat.

        pytorch-grad-cam's ``DropInConfidence``.
        """
        lost = self.before - self.after
        return max(0.0, lost) if lost == lost else lost

    @property
    def increase(self) -> bool:
        """Whether the confidence is higher than before."""
        return self.after > self.before


@dataclass(frozen=True)
class AverageConfidenceChange:
    """The means of Chattopadhay et al. (2018) over pictures.

    Attributes
    ----------
    drop : float
        The mean of the drops, 0 to 1 for probabilities, 0 or more for scores: their "average drop
        %" divided by 100. Low is good.
    increase : float
        The share of the pictures whose confidence increased: their "% increase in confidence"
        divided by 100. High is good.
    pictures : int
        How many were averaged.
    left_out : int
        How many were not, because their map is flat or their confidence was not above 0.
    """

    drop: float
    increase: float
    pictures: int
    left_out: int


def confidence_change(
    tape: Tape,
    map: MapLike,
    target: TargetLike = None,
    *,
    on: On = "probability",
    baseline: Replacement = 0.0,
    sigma: float = 5.0,
    seed: int = 0,
) -> ConfidenceChange:
    """Return the confidence in the picture, and in the picture times the map.

    The map is scaled to 0 to 1 at the network's input, min-max; pytorch-grad-cam takes the given
    values, and torchcam scales before it resizes. With the default baseline it multiplies the
    preprocessed picture, as theirs do: what the map hides becomes 0, the mean colour of most
    presets. With ``baseline="black"`` it multiplies the colours.

    Parameters
    ----------
    tape : Tape
        Of one picture.
    map : Explanation or (H, W) array
    target : TargetLike
        One class or objective. None: that of the explanation; of an array, the top class.
    on : "probability" or "score"
        What a class stands for, also that of the explanation. The drop is a share of it, and
        has a meaning only above 0.
    baseline : float, "black", "grey", "mean", "blur", "noise", (C,) or (C, h, w) array
        What is seen where the map is 0, as of the method `occlusion`.
    sigma : float
        Standard deviation of the blur, in pixels of the input.
    seed : int
        Of the noise.

    Warns
    -----
    FlatMapWarning
        If the map is flat: the confidence after it is NaN then.

    Raises
    ------
    ValueError, TypeError
        If the map does not belong to the picture, or an option is out of its range.
    IndexError
        If there is no class of this index.
    """
    check_tape(tape)
    values, asked = map_at_input(tape, map), objectives_of(tape, map, target, on)
    hidden = replacement(tape, baseline, sigma, seed)
    before = float(asked.values(tape)[0, 0])
    if warn_if_flat(values, "it hides nothing or all, and the confidence after it is NaN"):
        return ConfidenceChange(before, float("nan"))
    low, high = values.min(), values.max()
    scaled = np.clip((values - low) / (high - low), 0, 1)
    seen = hidden + scaled * (tape.input - hidden)
    after = asked.values(tape.run(seen, layers_read(tape, asked, 0), record=False))
    return ConfidenceChange(before, float(after[0, 0]))


def average_confidence_change(changes: Iterable[ConfidenceChange]) -> AverageConfidenceChange:
    """Average the results of :func:`confidence_change` over pictures.

    Raises
    ------
    ValueError
        If there are none.
    TypeError
        If they are something else.
    """
    if not isinstance(changes, Iterable):
        raise TypeError(f"changes: expected results of confidence_change, got {brief(changes)}")
    every = list(changes)
    for each in every:
        if not isinstance(each, ConfidenceChange):
            raise TypeError(f"changes: expected results of confidence_change, got {brief(each)}")
    if not every:
        raise ValueError("changes: expected at least one result of confidence_change, got none")
    counted = [each for each in every if each.drop == each.drop]
    return AverageConfidenceChange(
        drop=_mean([each.drop for each in counted]),
        increase=_mean([each.increase for each in counted]),
        pictures=len(counted),
        left_out=len(every) - len(counted),
    )


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
